/* SPDX-License-Identifier: MIT */
/* The tables that filters look into, in memory. */
#include "filter_db.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/record.h"
#include "store/sqlite_db.h"

sqlite3 *filter_db_open(void)
{
    sqlite3 *db;

    if (sqlite3_open(":memory:", &db) == SQLITE_OK &&
        sqlite3_exec(db, mmgr__db_schema, NULL, NULL, NULL) == SQLITE_OK)
        return db;
    sqlite3_close(db);
    return NULL;
}

static int insert(sqlite3 *db, const char *sql, const char *const *values, int count)
{
    sqlite3_stmt *statement;
    int rc;

    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        return 0;
    for (int i = 0; i < count; i++)
        sqlite3_bind_text(statement, i + 1, values[i], -1, SQLITE_STATIC);
    rc = sqlite3_step(statement);
    sqlite3_finalize(statement);
    return rc == SQLITE_DONE;
}

static int add_items(sqlite3 *db, const mmgr_record *record, enum mmgr_field field, const char *sql)
{
    for (uint32_t i = 0; i < mmgr_record_list_size(record, field); i++) {
        const char *item = mmgr_record_list_item(record, field, i);

        if (!insert(db, sql, &item, 1))
            return 0;
    }
    return 1;
}

int filter_db_add(sqlite3 *db, const mmgr_record *record)
{
    static const enum mmgr_field columns[] = {
        MMGR_FIELD_KEY,       MMGR_FIELD_PATH,         MMGR_FIELD_NAME,      MMGR_FIELD_TYPE,
        MMGR_FIELD_BASE,      MMGR_FIELD_FORMAT,       MMGR_FIELD_HASH,      MMGR_FIELD_SOURCE,
        MMGR_FIELD_REVISION,  MMGR_FIELD_REPO_VARIANT, MMGR_FIELD_FILE_SIZE, MMGR_FIELD_CREATED_AT,
        MMGR_FIELD_UPDATED_AT};
    const char *values[14];
    char times[2][32];
    char *json = mmgr__record_stored_json(record);
    int ok;

    for (int i = 0; i < 13; i++) {
        int64_t ns = 0;

        values[i] = mmgr_record_text(record, columns[i]);
        if (i < 11)
            continue;
        if (values[i] != NULL)
            mmgr__parse_time(values[i], &ns);
        snprintf(times[i - 11], sizeof times[0], "%lld", (long long)ns);
        values[i] = times[i - 11];
    }
    values[13] = json;
    ok = json != NULL &&
         insert(db,
                "INSERT INTO mmgr_models(key, path, name, type, base, format, hash, source,"
                " revision, repo_variant, file_size, created_at, updated_at, record)"
                " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                values, 14) &&
         add_items(db, record, MMGR_FIELD_TAGS,
                   "INSERT INTO mmgr_tags(tag, id) SELECT ?, max(id) FROM mmgr_models") &&
         add_items(db, record, MMGR_FIELD_BASES,
                   "INSERT INTO mmgr_bases(base, id) SELECT ?, max(id) FROM mmgr_models");
    mmgr__free(json);
    return ok;
}

int filter_db_add_raw(sqlite3 *db, const char *key, const char *json)
{
    const char *values[] = {key, json};

    return insert(db,
                  "INSERT INTO mmgr_models(key, path, name, type, base, format, created_at,"
                  " updated_at, record) VALUES(?1, ?1, '', '', '', '', 0, 0, ?2)",
                  values, 2);
}

/* Run "SELECT m.key, <before> <filter> <after>" and collect the keys of rows whose second column
 * is 1. */
static int run(sqlite3 *db, const mmgr_filter *filter, const char *before, const char *after,
               char *keys, size_t size)
{
    struct mmgr__clause clause = {.failed = 0};
    sqlite3_stmt *statement = NULL;
    size_t used = 0;
    int rc;

    keys[0] = '\0';
    mmgr__clause_put(&clause, before);
    mmgr__filter_sql(filter, &clause);
    mmgr__clause_put(&clause, after);
    rc = clause.failed ? SQLITE_NOMEM
                       : sqlite3_prepare_v2(db, clause.sql.data, -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = mmgr__clause_bind(&clause, statement);
    while (rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        int64_t holds = sqlite3_column_int64(statement, 1);

        rc = SQLITE_OK;
        if (sqlite3_column_type(statement, 1) != SQLITE_INTEGER || (holds != 0 && holds != 1))
            rc = SQLITE_MISMATCH;
        else if (holds && used < size)
            used += (size_t)snprintf(keys + used, size - used, "%s ",
                                     (const char *)sqlite3_column_text(statement, 0));
    }
    sqlite3_finalize(statement);
    mmgr__clause_free(&clause);
    return rc;
}

int filter_db_find(sqlite3 *db, const mmgr_filter *filter, char *keys, size_t size)
{
    char again[4096];
    int rc = run(db, filter, "SELECT m.key, ", " FROM mmgr_models m ORDER BY m.key", keys, size);

    if (rc != SQLITE_DONE)
        return rc;
    /* As a store asks: SQLite may now use indices and stop early. */
    rc = run(db, filter, "SELECT m.key, 1 FROM mmgr_models m WHERE 1 AND m.path <> '' AND ",
             " ORDER BY m.key LIMIT 1000 OFFSET 0", again, sizeof again);
    return rc == SQLITE_DONE && strcmp(keys, again) != 0 ? SQLITE_MISMATCH : rc;
}
