/* SPDX-License-Identifier: MIT */
/* The bare side. */
#include "bare.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/record.h"
#include "store/sqlite_db.h"

enum { ADD_MODEL, ADD_TAG, ADD_BASE, ADD_WORDS, ADD_FILE, ADD_COUNT };

static const char *const adds[ADD_COUNT] = {
    [ADD_MODEL] =
        "INSERT INTO mmgr_models(key, path, name, type, base, format, hash, source, revision,"
        " repo_variant, file_size, created_at, updated_at, record)"
        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    [ADD_TAG] = "INSERT INTO mmgr_tags(id, tag) VALUES(?1, ?2)",
    [ADD_BASE] = "INSERT INTO mmgr_bases(id, base) VALUES(?1, ?2)",
    [ADD_WORDS] = "INSERT INTO mmgr_text(rowid, name, description, tags, trigger_phrases)"
                  " VALUES(?1, ?2, ?3, ?4, ?5)",
    [ADD_FILE] =
        "INSERT INTO mmgr_files(id, path, size, sha256, git_sha1, xxh3, blocks, mtime_ns, device,"
        " inode, flags) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
};

static int complain(sqlite3 *db, const char *what)
{
    fprintf(stderr, "bare SQLite: %s: %s\n", what, db != NULL ? sqlite3_errmsg(db) : "no memory");
    return 0;
}

static int run(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK || complain(db, sql);
}

sqlite3 *bare_open(const char *path)
{
    sqlite3 *db = NULL;

    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) == SQLITE_OK &&
        run(db, "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY;"
                "PRAGMA synchronous=FULL; PRAGMA foreign_keys=OFF; PRAGMA journal_mode=WAL"))
        return db;
    complain(db, path);
    sqlite3_close(db);
    return NULL;
}

static void put_text(sqlite3_stmt *statement, int column, const char *text)
{
    sqlite3_bind_text(statement, column, text, -1, SQLITE_STATIC);
}

static int done(sqlite3_stmt *statement)
{
    int rc = sqlite3_step(statement);

    sqlite3_reset(statement);
    return rc == SQLITE_DONE;
}

static int add_items(sqlite3_stmt *add, sqlite3_int64 id, const mmgr_record *record,
                     enum mmgr_field field)
{
    for (uint32_t i = 0; i < mmgr_record_list_size(record, field); i++) {
        sqlite3_bind_int64(add, 1, id);
        put_text(add, 2, mmgr_record_list_item(record, field, i));
        if (!done(add))
            return 0;
    }
    return 1;
}

static int add_file(sqlite3_stmt *add, sqlite3_int64 id, const struct mmgr__file *file)
{
    sqlite3_bind_int64(add, 1, id);
    put_text(add, 2, file->path);
    sqlite3_bind_int64(add, 3, (sqlite3_int64)file->size);
    put_text(add, 4, file->sha256);
    sqlite3_bind_int64(add, 8, file->mtime_ns);
    sqlite3_bind_int64(add, 9, (sqlite3_int64)file->device);
    sqlite3_bind_int64(add, 10, (sqlite3_int64)file->inode);
    sqlite3_bind_int64(add, 11, file->flags);
    return done(add);
}

static int add_one(sqlite3 *db, sqlite3_stmt *const *add, const struct made *made)
{
    static const enum mmgr_field texts[] = {
        MMGR_FIELD_KEY,      MMGR_FIELD_PATH,        MMGR_FIELD_NAME, MMGR_FIELD_TYPE,
        MMGR_FIELD_BASE,     MMGR_FIELD_FORMAT,      MMGR_FIELD_HASH, MMGR_FIELD_SOURCE,
        MMGR_FIELD_REVISION, MMGR_FIELD_REPO_VARIANT};
    const mmgr_record *record = made->record;
    sqlite3_int64 id;

    for (int i = 0; i < 10; i++)
        put_text(add[ADD_MODEL], i + 1, mmgr_record_text(record, texts[i]));
    sqlite3_bind_int64(add[ADD_MODEL], 11, made->file_size);
    sqlite3_bind_int64(add[ADD_MODEL], 12, made->created);
    sqlite3_bind_int64(add[ADD_MODEL], 13, made->updated);
    put_text(add[ADD_MODEL], 14, made->json);
    if (!done(add[ADD_MODEL]))
        return 0;
    id = sqlite3_last_insert_rowid(db);
    sqlite3_bind_int64(add[ADD_WORDS], 1, id);
    put_text(add[ADD_WORDS], 2, mmgr_record_text(record, MMGR_FIELD_NAME));
    put_text(add[ADD_WORDS], 3, mmgr_record_text(record, MMGR_FIELD_DESCRIPTION));
    put_text(add[ADD_WORDS], 4, made->tags);
    put_text(add[ADD_WORDS], 5, made->phrases);
    return done(add[ADD_WORDS]) && add_items(add[ADD_TAG], id, record, MMGR_FIELD_TAGS) &&
           add_items(add[ADD_BASE], id, record, MMGR_FIELD_BASES) &&
           add_file(add[ADD_FILE], id, &record->files[0]);
}

int bare_fill(const char *path, const struct made *made, uint32_t count)
{
    sqlite3 *db = bare_open(path);
    sqlite3_stmt *add[ADD_COUNT] = {NULL};
    int ok = db != NULL && run(db, mmgr__db_schema) && run(db, "BEGIN IMMEDIATE");

    for (int i = 0; i < ADD_COUNT && ok; i++)
        ok = sqlite3_prepare_v2(db, adds[i], -1, &add[i], NULL) == SQLITE_OK ||
             complain(db, adds[i]);
    for (uint32_t i = 0; i < count && ok; i++)
        ok = add_one(db, add, &made[i]) || complain(db, "insert");
    ok = ok && run(db, "COMMIT");
    for (int i = 0; i < ADD_COUNT; i++)
        sqlite3_finalize(add[i]);
    sqlite3_close(db);
    return ok;
}

int bare_prepare(sqlite3 *db, const char *sql, struct bare_query *query)
{
    return sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &query->statement, NULL) ==
               SQLITE_OK ||
           complain(db, sql);
}

static void bind_values(const struct bare_query *query)
{
    for (int i = 0; i < 4 && query->values[i] != NULL; i++)
        put_text(query->statement, i + 1, query->values[i]);
}

int64_t bare_run(const struct bare_query *query)
{
    sqlite3_stmt *statement = query->statement;
    int64_t rows = 0;
    int rc;

    bind_values(query);
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *key = (const char *)sqlite3_column_text(statement, 0);
        const char *record = (const char *)sqlite3_column_text(statement, 1);
        size_t length = (size_t)sqlite3_column_bytes(statement, 1);

        if (query->parse) {
            json_t *tree = json_loadb(record, length, 0, NULL);

            if (tree == NULL)
                break;
            json_decref(tree);
        }
        rows += key != NULL && record != NULL;
    }
    sqlite3_reset(statement);
    return rc == SQLITE_DONE ? rows : -1;
}

static int same_row(sqlite3_stmt *statement, const mmgr_record *record)
{
    char *json = record != NULL ? mmgr__record_stored_json(record) : NULL;
    int same = json != NULL && strcmp(json, (const char *)sqlite3_column_text(statement, 1)) == 0 &&
               strcmp(mmgr_record_text(record, MMGR_FIELD_KEY),
                      (const char *)sqlite3_column_text(statement, 0)) == 0;

    mmgr__free(json);
    return same;
}

int bare_same(const struct bare_query *query, const mmgr_record_list *list)
{
    uint32_t rows = 0;
    int same = 1;

    bind_values(query);
    while (same && sqlite3_step(query->statement) == SQLITE_ROW)
        same = same_row(query->statement, mmgr_record_list_at(list, rows++));
    sqlite3_reset(query->statement);
    if (same && rows == mmgr_record_list_count(list))
        return 1;
    fprintf(stderr, "row %u differs (of %u ours)\n", rows, mmgr_record_list_count(list));
    return 0;
}

char *bare_text(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    char *text = NULL;

    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        text = strdup((const char *)sqlite3_column_text(statement, 0));
    else
        complain(db, sql);
    sqlite3_finalize(statement);
    return text;
}

int bare_same_files(const char *path, const char *other)
{
    /* What the store sets by itself is left out: when it was stored. */
    static const char *const parts[][2] = {
        {"id, key, path, name, type, base, format, hash, source, revision, repo_variant, file_size, created_at,"
         " json_remove(record, '$.updated_at')",
         "mmgr_models"},
        {"*", "mmgr_tags"},
        {"*", "mmgr_bases"},
        {"*", "mmgr_files"},
        {"rowid, *", "mmgr_text"},
    };
    sqlite3 *db = bare_open(path);
    char sql[1024];
    int same = db != NULL;

    snprintf(sql, sizeof sql, "ATTACH '%s' AS other", other);
    same = same && run(db, sql);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && same; i++) {
        char *differing;

        snprintf(
            sql, sizeof sql,
            "SELECT (SELECT count(*) FROM (SELECT %s FROM main.%s EXCEPT SELECT %s FROM other.%s)) +"
            " abs((SELECT count(*) FROM main.%s) - (SELECT count(*) FROM other.%s))",
            parts[i][0], parts[i][1], parts[i][0], parts[i][1], parts[i][1], parts[i][1]);
        differing = bare_text(db, sql);
        same = differing != NULL && strcmp(differing, "0") == 0;
        if (!same)
            fprintf(stderr, "%s: %s rows differ\n", parts[i][1],
                    differing != NULL ? differing : "?");
        free(differing);
    }
    sqlite3_close(db);
    return same;
}
