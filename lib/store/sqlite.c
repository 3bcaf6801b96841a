/* SPDX-License-Identifier: MIT */
/* SQLite back end: the function table. One connection writes; readers take one of a small pool,
 * so that a reader waits neither for a commit nor, until four are busy, for another reader. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/path.h"
#include "store/sqlite_db.h"

#define READERS_MAX 4

struct sqlite_store {
    char *path;
    struct mmgr__store_place place;
    struct mmgr__db *writer; /* NULL when the store is only read */
    enum mmgr__db_mode read_mode;
    struct mmgr__store_host host; /* its handle is `writer`, for reading too */
    /* Of the pool, a leaf, never held while SQL runs; on a host's handle, held during each use. */
    pthread_mutex_t lock;
    pthread_cond_t freed;
    struct mmgr__db *idle;
    int readers;
};

static void take_host(struct sqlite_store *store)
{
    if (store->host.lock != NULL)
        store->host.lock(store->host.user);
    pthread_mutex_lock(&store->lock);
}

static void give_host(struct sqlite_store *store)
{
    pthread_mutex_unlock(&store->lock);
    if (store->host.unlock != NULL)
        store->host.unlock(store->host.user);
}

static void sqlite_close(void *self)
{
    struct sqlite_store *store = self;

    while (store->idle != NULL) {
        struct mmgr__db *next = store->idle->next;

        mmgr__db_close(store->idle);
        store->idle = next;
    }
    /* Last, so that it is the one to fold the WAL back into the file. */
    if (store->host.handle != NULL)
        take_host(store);
    mmgr__db_close(store->writer);
    if (store->host.handle != NULL)
        give_host(store);
    pthread_cond_destroy(&store->freed);
    pthread_mutex_destroy(&store->lock);
    mmgr__free(store->path);
    mmgr__free(store);
}

static const char *sqlite_version(const void *self)
{
    return MMGR__DB_SCHEMA_TEXT;
}

/* Our own writer needs no lock: the store lets one thread write at a time. */
static enum mmgr_result begin_write(struct sqlite_store *store)
{
    enum mmgr_result result;

    if (store->host.handle != NULL)
        take_host(store);
    result = mmgr__db_begin(store->writer, 1);
    if (result != MMGR_OK && store->host.handle != NULL)
        give_host(store);
    return result;
}

static enum mmgr_result end_write(struct sqlite_store *store, enum mmgr_result result)
{
    result = mmgr__db_end(store->writer, 1, result);
    if (store->host.handle != NULL)
        give_host(store);
    return result;
}

static enum mmgr_result take_reader(struct sqlite_store *store, struct mmgr__db **db)
{
    enum mmgr_result result;

    if (store->host.handle != NULL) {
        take_host(store);
        *db = store->writer;
        return MMGR_OK;
    }
    pthread_mutex_lock(&store->lock);
    while (store->idle == NULL && store->readers >= READERS_MAX)
        pthread_cond_wait(&store->freed, &store->lock);
    if (store->idle != NULL) {
        *db = store->idle;
        store->idle = (*db)->next;
        pthread_mutex_unlock(&store->lock);
        return MMGR_OK;
    }
    store->readers++;
    pthread_mutex_unlock(&store->lock);
    result = mmgr__db_open(store->path, store->read_mode, db);
    if (result != MMGR_OK) {
        pthread_mutex_lock(&store->lock);
        store->readers--;
        pthread_cond_signal(&store->freed);
        pthread_mutex_unlock(&store->lock);
    }
    return result;
}

static void give_reader(struct sqlite_store *store, struct mmgr__db *db)
{
    if (store->host.handle != NULL) {
        give_host(store);
        return;
    }
    pthread_mutex_lock(&store->lock);
    db->next = store->idle;
    store->idle = db;
    pthread_cond_signal(&store->freed);
    pthread_mutex_unlock(&store->lock);
}

static int may_write(const char *path)
{
    return faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0;
}

/* A store that this user cannot write to is read without touching anything, unless a log beside
 * it says that somebody is at work or has not finished. */
static enum mmgr__db_mode choose_read_mode(const char *path)
{
    char *folder = mmgr__path_dirname(path), *log = mmgr__printf("%s-wal", path);
    enum mmgr__db_mode mode = MMGR__DB_READ;
    struct stat st;

    if (folder != NULL && log != NULL && (!may_write(path) || !may_write(folder)) &&
        (mmgr__io_stat(AT_FDCWD, log, &st, 1) != 0 || st.st_size == 0))
        mode = MMGR__DB_FROZEN;
    mmgr__free(folder);
    mmgr__free(log);
    return mode;
}

static enum mmgr_result open_reader(struct sqlite_store *store)
{
    struct mmgr__db *db;
    enum mmgr_result result;

    store->read_mode = choose_read_mode(store->path);
    result = take_reader(store, &db);
    if (result != MMGR_OK)
        return result;
    result = mmgr__db_check_schema(db);
    give_reader(store, db);
    return result;
}

static enum mmgr_result open_writer(struct sqlite_store *store, int missing)
{
    enum mmgr_result result =
        mmgr__db_open(store->path, missing ? MMGR__DB_CREATE : MMGR__DB_WRITE, &store->writer);

    return result == MMGR_OK ? mmgr__db_prepare_schema(store->writer) : result;
}

static struct sqlite_store *new_store(const struct mmgr__store_place *place)
{
    struct sqlite_store *store = mmgr__alloc0(1, sizeof *store);

    if (store == NULL)
        return NULL;
    pthread_mutex_init(&store->lock, NULL);
    mmgr__cond_init(&store->freed);
    store->place = *place;
    return store;
}

enum mmgr_result mmgr__store_adopt(const struct mmgr__store_host *host, const char *source_id,
                                   const struct mmgr__store_place *place, int read_only,
                                   void **self)
{
    struct sqlite_store *store;
    enum mmgr_result result;

    /* The text is a constant inside the library: one address, one copy. Another copy, even of the
     * same release, must not touch the handle. */
    if (source_id != sqlite3_sourceid())
        return mmgr__fail(MMGR_ERR_UNSUPPORTED,
                          "the handle belongs to another copy of SQLite than this library uses");
    store = new_store(place);
    if (store == NULL)
        return mmgr__oom();
    result = mmgr__db_adopt(host->handle, &store->writer);
    if (result == MMGR_OK) {
        store->host = *host;
        take_host(store);
        result = mmgr__db_prepare_guest(store->writer, read_only);
        give_host(store);
    }
    if (result != MMGR_OK) {
        sqlite_close(store);
        return result;
    }
    *self = store;
    return MMGR_OK;
}

static enum mmgr_result sqlite_open(const char *path, const struct mmgr__store_place *place,
                                    int read_only, void **self)
{
    struct sqlite_store *store;
    int missing = 0;
    enum mmgr_result result;

    if (!sqlite3_threadsafe())
        return mmgr__fail(MMGR_ERR_UNSUPPORTED, "this SQLite was built without threads");
    result = mmgr__db_peek(path, &missing);
    if (result != MMGR_OK)
        return result;
    store = new_store(place);
    if (store == NULL)
        return mmgr__oom();
    store->path = mmgr__strdup(path);
    if (store->path == NULL)
        result = mmgr__oom();
    else
        result = read_only ? open_reader(store) : open_writer(store, missing);
    if (result != MMGR_OK) {
        sqlite_close(store);
        return result;
    }
    *self = store;
    return MMGR_OK;
}

/* NULL for the columns that are not set. */
static const char *column(sqlite3_stmt *statement, int index)
{
    return (const char *)sqlite3_column_text(statement, index);
}

static enum mmgr_result read_files(struct mmgr__db *db, const char *key,
                                   mmgr_record_builder *builder)
{
    sqlite3_stmt *statement;
    int row = 1;
    enum mmgr_result result = mmgr__db_statement(db, SQL_FILES, &statement, "s", key);

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

enum mmgr_result mmgr__db_read_record(struct mmgr__db *db, const struct mmgr__store_place *place,
                                      const char *key, const char *json, size_t length,
                                      int with_files, mmgr_record **record)
{
    mmgr_record_builder *builder;
    enum mmgr_result result = mmgr__store_read_row(place, key, json, length, &builder);

    if (result != MMGR_OK)
        return result;
    if (with_files)
        result = read_files(db, key, builder);
    if (result == MMGR_OK)
        result = mmgr__record_builder_finish(builder, record);
    mmgr_record_builder_free(builder);
    return result;
}

/* Inside a transaction. */
static enum mmgr_result get_here(struct sqlite_store *store, struct mmgr__db *db, const char *key,
                                 mmgr_record **record)
{
    sqlite3_stmt *statement;
    int row = 0;
    enum mmgr_result result = mmgr__db_statement(db, SQL_GET, &statement, "s", key);

    if (result == MMGR_OK)
        result = mmgr__db_step(db, statement, &row);
    if (result != MMGR_OK)
        return result;
    if (!row)
        return mmgr__store_unknown(key);
    if (column(statement, 1) == NULL)
        result = mmgr__oom();
    else
        result = mmgr__db_read_record(db, &store->place, key, column(statement, 1),
                                      (size_t)sqlite3_column_bytes(statement, 1), 1, record);
    sqlite3_reset(statement);
    return result;
}

static enum mmgr_result sqlite_get(void *self, const char *key, mmgr_record **record)
{
    struct sqlite_store *store = self;
    mmgr_record *found = NULL;
    struct mmgr__db *db;
    enum mmgr_result result = take_reader(store, &db);

    if (result != MMGR_OK)
        return result;
    result = mmgr__db_begin(db, 0);
    if (result == MMGR_OK)
        result = mmgr__db_end(db, 0, get_here(store, db, key, &found));
    give_reader(store, db);
    if (result == MMGR_OK)
        *record = found;
    else
        mmgr_record_unref(found);
    return result;
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

/* The transaction has the write lock, so what is free now stays free. */
static enum mmgr_result check_path_free(struct mmgr__db *db, const mmgr_record *record)
{
    const char *path = mmgr_record_text(record, MMGR_FIELD_PATH);
    sqlite3_stmt *statement;
    char other[65];
    enum mmgr_result result = mmgr__db_statement(db, SQL_BY_PATH, &statement, "ss", path,
                                                 mmgr_record_text(record, MMGR_FIELD_KEY));

    if (result == MMGR_OK)
        result = find_key(db, statement, other);
    if (result == MMGR_OK && other[0] != '\0')
        result = mmgr__store_duplicate("path", path, other);
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

static enum mmgr_result write_model(struct mmgr__db *db, enum mmgr__sql which,
                                    const mmgr_record *record)
{
    char *json = mmgr__record_stored_json(record);
    int64_t created = 0, updated = 0;
    enum mmgr_result result;

    if (json == NULL)
        return mmgr__oom();
    mmgr__parse_time(mmgr_record_text(record, MMGR_FIELD_CREATED_AT), &created);
    mmgr__parse_time(mmgr_record_text(record, MMGR_FIELD_UPDATED_AT), &updated);
    result = mmgr__db_write(
        db, which, "ssssssssssiis", mmgr_record_text(record, MMGR_FIELD_KEY),
        mmgr_record_text(record, MMGR_FIELD_PATH), mmgr_record_text(record, MMGR_FIELD_NAME),
        mmgr_record_text(record, MMGR_FIELD_TYPE), mmgr_record_text(record, MMGR_FIELD_BASE),
        mmgr_record_text(record, MMGR_FIELD_FORMAT), mmgr_record_text(record, MMGR_FIELD_HASH),
        mmgr_record_text(record, MMGR_FIELD_SOURCE), mmgr_record_text(record, MMGR_FIELD_REVISION),
        mmgr_record_text(record, MMGR_FIELD_REPO_VARIANT), created, updated, json);
    mmgr__free(json);
    return result;
}

static enum mmgr_result write_list(struct mmgr__db *db, enum mmgr__sql which,
                                   const mmgr_record *record, enum mmgr_field field)
{
    enum mmgr_result result = MMGR_OK;

    for (uint32_t i = 0; i < mmgr_record_list_size(record, field) && result == MMGR_OK; i++)
        result = mmgr__db_write(db, which, "ss", mmgr_record_text(record, MMGR_FIELD_KEY),
                                mmgr_record_list_item(record, field, i));
    return result;
}

static enum mmgr_result write_lists(struct mmgr__db *db, const mmgr_record *record)
{
    enum mmgr_result result = write_list(db, SQL_ADD_TAG, record, MMGR_FIELD_TAGS);

    return result == MMGR_OK ? write_list(db, SQL_ADD_BASE, record, MMGR_FIELD_BASES) : result;
}

static enum mmgr_result write_files(struct mmgr__db *db, const mmgr_record *record)
{
    enum mmgr_result result = MMGR_OK;

    for (uint32_t i = 0; i < record->file_count && result == MMGR_OK; i++) {
        const struct mmgr__file *file = &record->files[i];

        result = mmgr__db_write(
            db, SQL_ADD_FILE, "ssissssiiii", mmgr_record_text(record, MMGR_FIELD_KEY), file->path,
            (int64_t)file->size, file->sha256, file->git_sha1, file->xxh3, file->blocks,
            file->mtime_ns, (int64_t)file->device, (int64_t)file->inode, (int64_t)file->flags);
    }
    return result;
}

static enum mmgr_result add_here(struct mmgr__db *db, const mmgr_record *record, uint32_t flags,
                                 int *existed)
{
    const char *key = mmgr_record_text(record, MMGR_FIELD_KEY);
    sqlite3_stmt *statement;
    int row = 0;
    enum mmgr_result result = mmgr__db_statement(db, SQL_GET, &statement, "s", key);

    if (result == MMGR_OK)
        result = mmgr__db_step(db, statement, &row);
    if (result == MMGR_OK && row) {
        const char *path = column(statement, 0);

        *existed = (flags & MMGR__STORE_AGAIN) != 0 && path != NULL &&
                   strcmp(path, mmgr_record_text(record, MMGR_FIELD_PATH)) == 0;
        sqlite3_reset(statement);
        return *existed ? MMGR_OK : mmgr__store_duplicate("key", key, key);
    }
    if (result == MMGR_OK)
        result = check_path_free(db, record);
    if (result == MMGR_OK && (flags & MMGR__STORE_UNIQUE_SOURCE) != 0)
        result = check_source_free(db, record);
    if (result == MMGR_OK)
        result = write_model(db, SQL_INSERT, record);
    if (result == MMGR_OK)
        result = write_lists(db, record);
    return result == MMGR_OK ? write_files(db, record) : result;
}

static enum mmgr_result sqlite_add(void *self, const mmgr_record *record, uint32_t flags,
                                   int *existed)
{
    struct sqlite_store *store = self;
    enum mmgr_result result = begin_write(store);

    if (result != MMGR_OK)
        return result;
    return end_write(store, add_here(store->writer, record, flags, existed));
}

static enum mmgr_result change_here(struct mmgr__db *db, const mmgr_record *changed)
{
    const char *key = mmgr_record_text(changed, MMGR_FIELD_KEY);
    enum mmgr_result result = check_path_free(db, changed);

    if (result == MMGR_OK)
        result = write_model(db, SQL_UPDATE, changed);
    if (result == MMGR_OK)
        result = mmgr__db_write(db, SQL_DROP_TAGS, "s", key);
    if (result == MMGR_OK)
        result = mmgr__db_write(db, SQL_DROP_BASES, "s", key);
    return result == MMGR_OK ? write_lists(db, changed) : result;
}

static enum mmgr_result sqlite_update(void *self, const char *key, mmgr__store_edit edit,
                                      void *user, mmgr_record **updated)
{
    struct sqlite_store *store = self;
    mmgr_record *old = NULL, *changed = NULL;
    enum mmgr_result result = begin_write(store);

    if (result != MMGR_OK)
        return result;
    result = get_here(store, store->writer, key, &old);
    if (result == MMGR_OK)
        result = edit(old, &changed, user);
    if (result == MMGR_OK)
        result = change_here(store->writer, changed);
    result = end_write(store, result);
    mmgr_record_unref(old);
    if (result == MMGR_OK)
        *updated = changed;
    else
        mmgr_record_unref(changed);
    return result;
}

static enum mmgr_result remove_here(struct mmgr__db *db, const char *key)
{
    static const enum mmgr__sql parts[] = {SQL_DROP_TAGS, SQL_DROP_BASES, SQL_DROP_FILES};
    enum mmgr_result result = mmgr__db_write(db, SQL_DELETE, "s", key);

    if (result == MMGR_OK && sqlite3_changes(db->db) == 0)
        return mmgr__store_unknown(key);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && result == MMGR_OK; i++)
        result = mmgr__db_write(db, parts[i], "s", key);
    return result;
}

static enum mmgr_result sqlite_remove(void *self, const char *key)
{
    struct sqlite_store *store = self;
    enum mmgr_result result = begin_write(store);

    if (result != MMGR_OK)
        return result;
    return end_write(store, remove_here(store->writer, key));
}

static enum mmgr_result sqlite_exists(void *self, const char *key, int *exists)
{
    struct sqlite_store *store = self;
    sqlite3_stmt *statement;
    struct mmgr__db *db;
    int row = 0;
    enum mmgr_result result = take_reader(store, &db);

    if (result != MMGR_OK)
        return result;
    result = mmgr__db_statement(db, SQL_GET, &statement, "s", key);
    if (result == MMGR_OK) {
        result = mmgr__db_step(db, statement, &row);
        sqlite3_reset(statement);
    }
    give_reader(store, db);
    if (result == MMGR_OK)
        *exists = row;
    return result;
}

static enum mmgr_result sqlite_search(void *self, const struct mmgr__query *query,
                                      mmgr_record_list *list)
{
    struct sqlite_store *store = self;
    struct mmgr__db *db;
    enum mmgr_result result = take_reader(store, &db);

    if (result != MMGR_OK)
        return result;
    result = mmgr__db_search(db, &store->place, query, list);
    give_reader(store, db);
    return result;
}

const struct mmgr__store_ops mmgr__store_sqlite = {
    .extension = ".db",
    .open = sqlite_open,
    .close = sqlite_close,
    .version = sqlite_version,
    .add = sqlite_add,
    .update = sqlite_update,
    .remove = sqlite_remove,
    .get = sqlite_get,
    .exists = sqlite_exists,
    .search = sqlite_search,
};
