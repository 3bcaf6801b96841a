/* SPDX-License-Identifier: MIT */
/* SQLite back end: searching, counting and ordering. */
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "store/sqlite_db.h"

#define TAGS_MAX 256

/* The condition, and its values in the order of their question marks. */
struct condition {
    struct mmgr__buf sql;
    struct mmgr__strings values;
    int failed;
};

static void add(struct condition *condition, const char *sql, const char *value)
{
    if (value == NULL)
        return;
    mmgr__buf_puts(&condition->sql, sql);
    if (!mmgr__strings_add(&condition->values, value))
        condition->failed = 1;
}

static void read_query(struct condition *condition, const struct mmgr__query *query)
{
    mmgr__buf_puts(&condition->sql, " FROM models WHERE 1");
    add(condition, " AND name = ?", query->name);
    add(condition, " AND type = ?", query->type);
    add(condition, " AND format = ?", query->format);
    add(condition, " AND path = ?", query->path);
    add(condition, " AND hash = ?", query->hash);
    add(condition, " AND source = ?", query->source);
    add(condition,
        " AND EXISTS (SELECT 1 FROM bases WHERE bases.key = models.key AND bases.base = ?)",
        query->base);
    for (uint32_t i = 0; i < query->tag_count; i++)
        add(condition,
            " AND EXISTS (SELECT 1 FROM tags WHERE tags.key = models.key AND tags.tag = ?)",
            query->tags[i]);
}

static void write_order(struct mmgr__buf *sql, const struct mmgr__query *query)
{
    static const enum mmgr_field columns[] = {
        MMGR_FIELD_KEY,      MMGR_FIELD_NAME,         MMGR_FIELD_TYPE,       MMGR_FIELD_FORMAT,
        MMGR_FIELD_BASE,     MMGR_FIELD_PATH,         MMGR_FIELD_HASH,       MMGR_FIELD_SOURCE,
        MMGR_FIELD_REVISION, MMGR_FIELD_REPO_VARIANT, MMGR_FIELD_CREATED_AT, MMGR_FIELD_UPDATED_AT};
    const char *direction = query->descending ? " DESC" : "";
    int is_column = 0;

    if (query->sort == NULL) {
        mmgr__buf_puts(sql, " ORDER BY type, base, name COLLATE NOCASE, name, format, key");
        return;
    }
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++)
        is_column |= columns[i] == query->sort->id;
    /* The names come from our own table of fields, never from the caller. */
    if (query->sort->id == MMGR_FIELD_NAME)
        mmgr__buf_printf(sql, " ORDER BY name COLLATE NOCASE%s, name%s, key", direction, direction);
    else if (is_column)
        mmgr__buf_printf(sql, " ORDER BY %s%s, key", query->sort->name, direction);
    else
        mmgr__buf_printf(
            sql,
            " ORDER BY CASE WHEN json_valid(record) THEN json_extract(record, '$.%s') END%s,"
            " key",
            query->sort->name, direction);
}

/* Prepare "SELECT <what> <condition> <tail>" with the values bound. */
static enum mmgr_result prepare(struct mmgr__db *db, const char *what,
                                const struct condition *condition, const char *tail,
                                sqlite3_stmt **statement)
{
    char *sql = mmgr__printf("SELECT %s%s%s", what, condition->sql.data, tail);
    int rc;

    if (sql == NULL)
        return mmgr__oom();
    rc = sqlite3_prepare_v2(db->db, sql, -1, statement, NULL);
    mmgr__free(sql);
    for (size_t i = 0; rc == SQLITE_OK && i < condition->values.count; i++)
        rc = sqlite3_bind_text(*statement, (int)i + 1, condition->values.items[i], -1,
                               SQLITE_STATIC);
    if (rc == SQLITE_OK)
        return MMGR_OK;
    sqlite3_finalize(*statement);
    return mmgr__db_fail(db, rc, "search");
}

static enum mmgr_result count_all(struct mmgr__db *db, const struct condition *condition,
                                  uint64_t *total)
{
    sqlite3_stmt *statement;
    int row;
    enum mmgr_result result = prepare(db, "count(*)", condition, "", &statement);

    if (result != MMGR_OK)
        return result;
    result = mmgr__db_step(db, statement, &row);
    if (result == MMGR_OK)
        *total = (uint64_t)sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return result;
}

/* Read the present row into the list. A broken one must not hide the rest. */
static enum mmgr_result take_row(struct mmgr__db *db, const struct mmgr__store_place *place,
                                 sqlite3_stmt *statement, mmgr_record_list *list)
{
    const char *key = (const char *)sqlite3_column_text(statement, 0);
    const char *json = (const char *)sqlite3_column_text(statement, 1);
    mmgr_record *record;
    enum mmgr_result result;

    if (key == NULL || json == NULL)
        return mmgr__oom();
    result = mmgr__db_read_record(db, place, key, json, (size_t)sqlite3_column_bytes(statement, 1),
                                  0, &record);
    if (result == MMGR_ERR_INVALID_CONFIG) {
        mmgr__log(MMGR_LOG_WARNING, "store", "skipped a broken record: %s",
                  mmgr_error_message(mmgr_last_error()));
        list->total--;
        return MMGR_OK;
    }
    if (result != MMGR_OK)
        return result;
    if (!mmgr__grow((void **)&list->items, &list->capacity, list->count + 1, sizeof *list->items)) {
        mmgr_record_unref(record);
        return mmgr__oom();
    }
    list->items[list->count++] = record;
    return MMGR_OK;
}

static enum mmgr_result read_rows(struct mmgr__db *db, const struct mmgr__store_place *place,
                                  const struct mmgr__query *query,
                                  const struct condition *condition, mmgr_record_list *list)
{
    int64_t limit = query->limit == 0 || query->limit > INT64_MAX ? -1 : (int64_t)query->limit;
    int64_t offset = query->offset > INT64_MAX ? INT64_MAX : (int64_t)query->offset;
    struct mmgr__buf tail = {0};
    sqlite3_stmt *statement;
    enum mmgr_result result;
    char *text;
    int row = 1;

    write_order(&tail, query);
    mmgr__buf_printf(&tail, " LIMIT %lld OFFSET %lld", (long long)limit, (long long)offset);
    text = mmgr__buf_take(&tail);
    if (text == NULL)
        return mmgr__oom();
    result = prepare(db, "key, record", condition, text, &statement);
    mmgr__free(text);
    if (result != MMGR_OK)
        return result;
    while (result == MMGR_OK && row) {
        result = mmgr__db_step(db, statement, &row);
        if (result == MMGR_OK && row)
            result = take_row(db, place, statement, list);
    }
    sqlite3_finalize(statement);
    return result;
}

enum mmgr_result mmgr__db_search(struct mmgr__db *db, const struct mmgr__store_place *place,
                                 const struct mmgr__query *query, mmgr_record_list *list)
{
    struct condition condition = {{0}, {0}, 0};
    enum mmgr_result result;

    if (query->tag_count > TAGS_MAX) {
        mmgr__fail(MMGR_ERR_ARGUMENT, "a search can have at most %d tags", TAGS_MAX);
        mmgr__error_set_field("tags");
        return MMGR_ERR_ARGUMENT;
    }
    read_query(&condition, query);
    result = condition.failed || condition.sql.failed ? mmgr__oom() : mmgr__db_begin(db, 0);
    if (result == MMGR_OK) {
        /* One transaction: the total and the rows are of the same moment. */
        result = count_all(db, &condition, &list->total);
        if (result == MMGR_OK)
            result = read_rows(db, place, query, &condition, list);
        result = mmgr__db_end(db, 0, result);
    }
    mmgr__buf_free(&condition.sql);
    mmgr__strings_free(&condition.values);
    return result;
}
