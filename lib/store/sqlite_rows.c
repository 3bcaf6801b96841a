/* SPDX-License-Identifier: MIT */
/* SQLite back end: records as rows, on one connection and inside a transaction that the caller has begun. */
#include <string.h>

#include "base/alloc.h"
#include "store/sqlite_db.h"

/* NULL for the columns that are not set. */
static const char *column(sqlite3_stmt *statement, int index)
{
    return (const char *)sqlite3_column_text(statement, index);
}

static enum mmgr_result read_files(struct mmgr__db *db, int64_t id, mmgr_record_builder *builder)
{
    sqlite3_stmt *statement;
    int row = 1;
    enum mmgr_result result = mmgr__db_statement(db, SQL_FILES, &statement, "i", id);

    while (result == MMGR_OK && row) {
        struct mmgr__file file;

        result = mmgr__db_step(db, statement, &row);
        if (result != MMGR_OK || !row)
            break;
        /* Lent to the call below, which copies; the casts only undo const. */
        file.path = (char *)column(statement, 0);
        file.size = (uint64_t)sqlite3_column_int64(statement, 1);
        file.sha256 = (char *)column(statement, 2);
        file.git_sha1 = (char *)column(statement, 3);
        file.xxh3 = (char *)column(statement, 4);
        file.blocks = (char *)column(statement, 5);
        file.mtime_ns = sqlite3_column_int64(statement, 6);
        file.device = (uint64_t)sqlite3_column_int64(statement, 7);
        file.inode = (uint64_t)sqlite3_column_int64(statement, 8);
        file.flags = (uint32_t)sqlite3_column_int64(statement, 9);
        result = file.path != NULL ? mmgr__record_builder_add_file(builder, &file) : mmgr__oom();
        if (result != MMGR_OK)
            sqlite3_reset(statement);
    }
    return result;
}

/* Read the record of the row that SQL_GET stands on. */
static enum mmgr_result read_row(struct mmgr__db *db, const struct mmgr__store_place *place,
                                 sqlite3_stmt *statement, const char *key, int64_t id,
                                 mmgr_record **record)
{
    mmgr_record_builder *builder;
    const char *json = column(statement, 2);
    enum mmgr_result result =
        json != NULL ? mmgr__store_read_row(place, key, json,
                                            (size_t)sqlite3_column_bytes(statement, 2), &builder)
                     : mmgr__oom();

    if (result != MMGR_OK)
        return result;
    result = read_files(db, id, builder);
    if (result == MMGR_OK)
        result = mmgr__record_builder_finish(builder, record);
    mmgr_record_builder_free(builder);
    return result;
}

/* Step to the model's row; the statement is to be reset where there is one. */
static enum mmgr_result find_row(struct mmgr__db *db, const char *key, sqlite3_stmt **statement,
                                 int *row)
{
    enum mmgr_result result = mmgr__db_statement(db, SQL_GET, statement, "s", key);

    return result == MMGR_OK ? mmgr__db_step(db, *statement, row) : result;
}

enum mmgr_result mmgr__db_get(struct mmgr__db *db, const struct mmgr__store_place *place,
                              const char *key, mmgr_record **record, int64_t *id)
{
    sqlite3_stmt *statement;
    int row = 0;
    enum mmgr_result result = find_row(db, key, &statement, &row);

    if (result != MMGR_OK)
        return result;
    if (!row)
        return mmgr__store_unknown(key);
    *id = sqlite3_column_int64(statement, 0);
    /* The manifest is read while the row's statement stands: both are of one moment. */
    result = read_row(db, place, statement, key, *id, record);
    sqlite3_reset(statement);
    return result;
}

enum mmgr_result mmgr__db_exists(struct mmgr__db *db, const char *key, int *exists)
{
    sqlite3_stmt *statement;
    int row = 0;
    enum mmgr_result result = find_row(db, key, &statement, &row);

    if (result != MMGR_OK)
        return result;
    sqlite3_reset(statement);
    *exists = row;
    return MMGR_OK;
}

/* The first column of the row, copied into a key's buffer; "" when there is no row. */
static enum mmgr_result find_key(struct mmgr__db *db, sqlite3_stmt *statement, char key[65])
{
    int row = 0;
    enum mmgr_result result = mmgr__db_step(db, statement, &row);

    memset(key, 0, 65);
    if (result == MMGR_OK && row) {
        const char *text = column(statement, 0);

        if (text == NULL)
            result = mmgr__oom();
        else
            memccpy(key, text, 0, 64);
        sqlite3_reset(statement);
    }
    return result;
}

static enum mmgr_result check_source_free(struct mmgr__db *db, const mmgr_record *record)
{
    const char *source = mmgr_record_text(record, MMGR_FIELD_SOURCE);
    sqlite3_stmt *statement;
    char other[65];
    enum mmgr_result result;

    if (source == NULL)
        return MMGR_OK;
    result = mmgr__db_statement(db, SQL_BY_SOURCE, &statement, "ssss", source,
                                mmgr_record_text(record, MMGR_FIELD_REVISION),
                                mmgr_record_text(record, MMGR_FIELD_REPO_VARIANT),
                                mmgr_record_text(record, MMGR_FIELD_KEY));
    if (result == MMGR_OK)
        result = find_key(db, statement, other);
    if (result == MMGR_OK && other[0] != '\0')
        result = mmgr__store_duplicate("source", source, other);
    return result;
}

/* Insert or update the row; the statement's last parameter is the id, which an insert does not have. */
static enum mmgr_result write_model(struct mmgr__db *db, enum mmgr__sql which,
                                    const mmgr_record *record, int64_t id)
{
    const char *size = mmgr_record_text(record, MMGR_FIELD_FILE_SIZE);
    char *json = mmgr__record_stored_json(record);
    int64_t created = 0, updated = 0;
    uint64_t bytes = 0;
    enum mmgr_result result;

    if (json == NULL)
        return mmgr__oom();
    mmgr__parse_time(mmgr_record_text(record, MMGR_FIELD_CREATED_AT), &created);
    mmgr__parse_time(mmgr_record_text(record, MMGR_FIELD_UPDATED_AT), &updated);
    if (size != NULL)
        mmgr__parse_u64(size, &bytes);
    result = mmgr__db_write(
        db, which, which == SQL_INSERT ? "ssssssssssniis" : "ssssssssssniisi",
        mmgr_record_text(record, MMGR_FIELD_KEY), mmgr_record_text(record, MMGR_FIELD_PATH),
        mmgr_record_text(record, MMGR_FIELD_NAME), mmgr_record_text(record, MMGR_FIELD_TYPE),
        mmgr_record_text(record, MMGR_FIELD_BASE), mmgr_record_text(record, MMGR_FIELD_FORMAT),
        mmgr_record_text(record, MMGR_FIELD_HASH), mmgr_record_text(record, MMGR_FIELD_SOURCE),
        mmgr_record_text(record, MMGR_FIELD_REVISION),
        mmgr_record_text(record, MMGR_FIELD_REPO_VARIANT), size != NULL, (int64_t)bytes, created,
        updated, json, id);
    mmgr__free(json);
    return result;
}

static enum mmgr_result write_list(struct mmgr__db *db, enum mmgr__sql which, int64_t id,
                                   const mmgr_record *record, enum mmgr_field field)
{
    enum mmgr_result result = MMGR_OK;

    for (uint32_t i = 0; i < mmgr_record_list_size(record, field) && result == MMGR_OK; i++)
        result = mmgr__db_write(db, which, "is", id, mmgr_record_list_item(record, field, i));
    return result;
}

/* The items of a list as one text; *joined NULL when there are none. 0 when memory ran out. Between two stands
 * a word that nobody types (U+E000, private use), so that no phrase is found across them. */
static int join_items(const mmgr_record *record, enum mmgr_field field, char **joined)
{
    struct mmgr__buf text = {0};

    *joined = NULL;
    if (mmgr_record_list_size(record, field) == 0)
        return 1;
    for (uint32_t i = 0; i < mmgr_record_list_size(record, field); i++) {
        mmgr__buf_puts(&text, i > 0 ? " \xee\x80\x80 " : "");
        mmgr__buf_puts(&text, mmgr_record_list_item(record, field, i));
    }
    *joined = mmgr__buf_take(&text);
    return *joined != NULL;
}

static enum mmgr_result write_words(struct mmgr__db *db, int64_t id, const mmgr_record *record)
{
    char *tags = NULL, *phrases = NULL;
    enum mmgr_result result;

    if (join_items(record, MMGR_FIELD_TAGS, &tags) &&
        join_items(record, MMGR_FIELD_TRIGGER_PHRASES, &phrases))
        result = mmgr__db_write(db, SQL_ADD_WORDS, "issss", id,
                                mmgr_record_text(record, MMGR_FIELD_NAME),
                                mmgr_record_text(record, MMGR_FIELD_DESCRIPTION), tags, phrases);
    else
        result = mmgr__oom();
    mmgr__free(tags);
    mmgr__free(phrases);
    return result;
}

static enum mmgr_result write_files(struct mmgr__db *db, int64_t id, const mmgr_record *record)
{
    enum mmgr_result result = MMGR_OK;

    for (uint32_t i = 0; i < record->file_count && result == MMGR_OK; i++) {
        const struct mmgr__file *file = &record->files[i];

        result = mmgr__db_write(db, SQL_ADD_FILE, "isissssiiii", id, file->path,
                                (int64_t)file->size, file->sha256, file->git_sha1, file->xxh3,
                                file->blocks, file->mtime_ns, (int64_t)file->device,
                                (int64_t)file->inode, (int64_t)file->flags);
        if (result != MMGR_OK && mmgr__db_is_taken(db)) {
            const char *key = mmgr_record_text(record, MMGR_FIELD_KEY);

            result = mmgr__fail(MMGR_ERR_INVALID_CONFIG, "model %s: its manifest has the file"
                                " \"%s\" twice", key, file->path);
            mmgr__error_set_field(MMGR__FILES_MEMBER);
            mmgr__error_set_subject(key);
        }
    }
    return result;
}

/* The row was refused because its key or its path is there already: say which, and whose. */
static enum mmgr_result explain_taken(struct mmgr__db *db, const mmgr_record *record)
{
    const char *key = mmgr_record_text(record, MMGR_FIELD_KEY);
    const char *path = mmgr_record_text(record, MMGR_FIELD_PATH);
    sqlite3_stmt *statement;
    char other[65];
    enum mmgr_result result = mmgr__db_statement(db, SQL_BY_PATH, &statement, "s", path);

    if (result == MMGR_OK)
        result = find_key(db, statement, other);
    if (result != MMGR_OK)
        return result;
    if (other[0] != '\0' && strcmp(other, key) != 0)
        return mmgr__store_duplicate("path", path, other);
    return mmgr__store_duplicate("key", key, key);
}

static enum mmgr_result explain_taken_on_add(struct mmgr__db *db, const mmgr_record *record,
                                             uint32_t flags, int *existed)
{
    const char *key = mmgr_record_text(record, MMGR_FIELD_KEY), *path;
    sqlite3_stmt *statement;
    int row = 0;
    enum mmgr_result result = find_row(db, key, &statement, &row);

    if (result != MMGR_OK)
        return result;
    if (!row)
        return explain_taken(db, record);
    path = column(statement, 1);
    *existed = (flags & MMGR__STORE_AGAIN) != 0 && path != NULL &&
               strcmp(path, mmgr_record_text(record, MMGR_FIELD_PATH)) == 0;
    sqlite3_reset(statement);
    return *existed ? MMGR_OK : mmgr__store_duplicate("key", key, key);
}

static enum mmgr_result add_one(struct mmgr__db *db, const mmgr_record *record, uint32_t flags,
                                int *existed)
{
    enum mmgr_result result = MMGR_OK;
    int64_t id;

    if ((flags & MMGR__STORE_UNIQUE_SOURCE) != 0)
        result = check_source_free(db, record);
    if (result != MMGR_OK)
        return result;
    /* That key and path are free is seen from the insert itself, which costs nothing in the usual case. */
    result = write_model(db, SQL_INSERT, record, 0);
    if (result != MMGR_OK)
        return mmgr__db_is_taken(db) ? explain_taken_on_add(db, record, flags, existed) : result;
    id = sqlite3_last_insert_rowid(db->db);
    result = write_list(db, SQL_ADD_TAG, id, record, MMGR_FIELD_TAGS);
    if (result == MMGR_OK)
        result = write_list(db, SQL_ADD_BASE, id, record, MMGR_FIELD_BASES);
    if (result == MMGR_OK)
        result = write_words(db, id, record);
    return result == MMGR_OK ? write_files(db, id, record) : result;
}

enum mmgr_result mmgr__db_add(struct mmgr__db *db, struct mmgr__adding *adding)
{
    for (adding->at = 0; adding->at < adding->count; adding->at++) {
        const mmgr_record *record = adding->records[adding->at];
        enum mmgr_result result =
            record != NULL ? add_one(db, record, adding->flags, &adding->existed) : MMGR_OK;

        /* A refused record has left nothing behind. */
        if (result == MMGR_ERR_DUPLICATE_MODEL && adding->refused != NULL)
            result = adding->refused(adding->at, adding->user);
        if (result != MMGR_OK)
            return result;
    }
    return MMGR_OK;
}

static int differs(const mmgr_record *one, const mmgr_record *two, enum mmgr_field field)
{
    return !mmgr__same_text(one->text[field], two->text[field]);
}

/* Write again what an edit has changed, and nothing else. */
static enum mmgr_result change(struct mmgr__db *db, int64_t id, const mmgr_record *old,
                               const mmgr_record *changed)
{
    int tags = differs(old, changed, MMGR_FIELD_TAGS);
    int bases = differs(old, changed, MMGR_FIELD_BASES);
    int words = tags || differs(old, changed, MMGR_FIELD_NAME) ||
                differs(old, changed, MMGR_FIELD_DESCRIPTION) ||
                differs(old, changed, MMGR_FIELD_TRIGGER_PHRASES);
    int files = !mmgr__record_same_files(old, changed);
    const struct {
        int wanted;
        enum mmgr__sql drop;
    } parts[] = {{tags, SQL_DROP_TAGS},
                 {bases, SQL_DROP_BASES},
                 {words, SQL_DROP_WORDS},
                 {files, SQL_DROP_FILES}};
    enum mmgr_result result = write_model(db, SQL_UPDATE, changed, id);

    if (result != MMGR_OK)
        return mmgr__db_is_taken(db) ? explain_taken(db, changed) : result;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && result == MMGR_OK; i++) {
        if (parts[i].wanted)
            result = mmgr__db_write(db, parts[i].drop, "i", id);
    }
    if (result == MMGR_OK && tags)
        result = write_list(db, SQL_ADD_TAG, id, changed, MMGR_FIELD_TAGS);
    if (result == MMGR_OK && bases)
        result = write_list(db, SQL_ADD_BASE, id, changed, MMGR_FIELD_BASES);
    if (result == MMGR_OK && words)
        result = write_words(db, id, changed);
    return result == MMGR_OK && files ? write_files(db, id, changed) : result;
}

enum mmgr_result mmgr__db_update(struct mmgr__db *db, const struct mmgr__store_place *place,
                                 const char *key, mmgr__store_edit edit, void *user,
                                 mmgr_record **updated)
{
    mmgr_record *old = NULL, *changed = NULL;
    int64_t id;
    enum mmgr_result result = mmgr__db_get(db, place, key, &old, &id);

    if (result == MMGR_OK)
        result = edit(old, &changed, user);
    if (result == MMGR_OK)
        result = change(db, id, old, changed);
    mmgr_record_unref(old);
    if (result == MMGR_OK)
        *updated = changed;
    else
        mmgr_record_unref(changed);
    return result;
}

enum mmgr_result mmgr__db_remove(struct mmgr__db *db, const char *key)
{
    static const enum mmgr__sql parts[] = {SQL_DROP_TAGS, SQL_DROP_BASES, SQL_DROP_FILES,
                                           SQL_DROP_WORDS, SQL_DELETE};
    sqlite3_stmt *statement;
    int64_t id = 0;
    int row = 0;
    enum mmgr_result result = find_row(db, key, &statement, &row);

    if (result == MMGR_OK && !row)
        return mmgr__store_unknown(key);
    if (result == MMGR_OK) {
        id = sqlite3_column_int64(statement, 0);
        sqlite3_reset(statement);
    }
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && result == MMGR_OK; i++)
        result = mmgr__db_write(db, parts[i], "i", id);
    return result;
}
