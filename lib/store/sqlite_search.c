/* SPDX-License-Identifier: MIT */
/* SQLite back end: a search as one statement, its rows as records. */
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "store/filter.h"
#include "store/order.h"
#include "store/sqlite_db.h"
#include "store/words.h"

#define TAGS_MAX 256
#define MANY     4096 /* models with a tag */

static void put_condition(struct mmgr__clause *clause, const char *sql, const char *value)
{
    if (value == NULL)
        return;
    mmgr__clause_put(clause, sql);
    mmgr__clause_text(clause, value);
}

/* How many models have the tag, counted up to a limit. */
static enum mmgr_result count_uses(struct mmgr__db *db, const char *tag, int64_t limit,
                                   int64_t *count)
{
    sqlite3_stmt *statement;
    int row;
    enum mmgr_result result = mmgr__db_statement(db, SQL_TAG_USES, &statement, "si", tag, limit);

    if (result == MMGR_OK)
        result = mmgr__db_step(db, statement, &row);
    if (result == MMGR_OK) {
        *count = sqlite3_column_int64(statement, 0);
        sqlite3_reset(statement);
    }
    return result;
}

/* The tag that the fewest models have: it is the one to begin with. The limit grows until one tag stays below it,
 * so that this costs about as much as reading the rows of that tag; beyond MANY it is not worth knowing. */
static enum mmgr_result find_rarest(struct mmgr__db *db, const struct mmgr__query *query,
                                    uint32_t *rarest)
{
    int64_t limit = 8, count, least;
    enum mmgr_result result = MMGR_OK;

    *rarest = 0;
    if (query->tag_count == 1)
        return MMGR_OK;
    do {
        limit *= 8;
        least = INT64_MAX;
        for (uint32_t i = 0; i < query->tag_count && result == MMGR_OK; i++) {
            result = count_uses(db, query->tags[i], least < limit ? least : limit, &count);
            if (result == MMGR_OK && count < least) {
                least = count;
                *rarest = i;
            }
        }
    } while (result == MMGR_OK && least == limit && limit < MANY);
    return result;
}

/* Fields that few models share, and that have an index. */
static int by_column(const struct mmgr__query *query)
{
    return query->name != NULL || query->path != NULL || query->hash != NULL ||
           query->source != NULL;
}

/* Where the rows come from. The full-text index and the table of tags lead to few rows and come first, which
 * CROSS JOIN makes SQLite keep to; for fields of a model it has indexes and decides by itself. */
static enum mmgr_result put_source(struct mmgr__db *db, const struct mmgr__query *query,
                                   struct mmgr__clause *clause, uint32_t *first_tag)
{
    enum mmgr_result result = MMGR_OK;
    char *words;

    *first_tag = query->tag_count;
    if (query->words != NULL) {
        result = mmgr__words_query(query->words, &words);
        if (result != MMGR_OK)
            return result;
        put_condition(clause,
                      " FROM mmgr_text CROSS JOIN mmgr_models m ON m.id = mmgr_text.rowid"
                      " WHERE mmgr_text MATCH ",
                      words);
        mmgr__free(words);
    } else if (query->tag_count > 0 && !by_column(query)) {
        result = find_rarest(db, query, first_tag);
        if (result != MMGR_OK)
            return result;
        put_condition(clause,
                      " FROM mmgr_tags t0 CROSS JOIN mmgr_models m ON m.id = t0.id WHERE t0.tag = ",
                      query->tags[*first_tag]);
    } else {
        mmgr__clause_put(clause, " FROM mmgr_models m WHERE 1");
    }
    return result;
}

static enum mmgr_result put_conditions(struct mmgr__db *db, const struct mmgr__query *query,
                                       struct mmgr__clause *clause)
{
    uint32_t first_tag; /* which the rows come from; tag_count: from none */
    enum mmgr_result result = put_source(db, query, clause, &first_tag);

    put_condition(clause, " AND m.name = ", query->name);
    /* SQLite does not know that a type has many models and a name few, and would take the index that also gives
     * the order. The plus sign keeps it from that. */
    put_condition(clause, by_column(query) ? " AND +m.type = " : " AND m.type = ", query->type);
    put_condition(clause, " AND m.format = ", query->format);
    put_condition(clause, " AND m.path = ", query->path);
    put_condition(clause, " AND m.hash = ", query->hash);
    put_condition(clause, " AND m.source = ", query->source);
    for (uint32_t i = 0; i < query->tag_count; i++) {
        if (i == first_tag)
            continue;
        put_condition(clause, " AND EXISTS (SELECT 1 FROM mmgr_tags t WHERE t.tag = ",
                      query->tags[i]);
        mmgr__clause_put(clause, first_tag < query->tag_count ? " AND t.id = t0.id)" : " AND t.id = m.id)");
    }
    if (query->base != NULL) {
        put_condition(clause, " AND EXISTS (SELECT 1 FROM mmgr_bases b WHERE b.base = ",
                      query->base);
        mmgr__clause_put(clause, " AND b.id = m.id)");
    }
    for (size_t i = 0; i < sizeof query->filters / sizeof query->filters[0]; i++) {
        if (query->filters[i] != NULL) {
            mmgr__clause_put(clause, " AND ");
            mmgr__filter_sql(query->filters[i], clause);
        }
    }
    return result;
}

static enum mmgr_result count_all(struct mmgr__db *db, const struct mmgr__query *query,
                                  uint64_t *total)
{
    struct mmgr__clause clause = {.failed = 0};
    sqlite3_stmt *statement;
    enum mmgr_result result;
    int row;

    mmgr__clause_put(&clause, "SELECT count(*)");
    result = put_conditions(db, query, &clause);
    if (result == MMGR_OK)
        result = mmgr__db_query(db, &clause, &statement);
    if (result == MMGR_OK) {
        result = mmgr__db_step(db, statement, &row);
        if (result == MMGR_OK)
            *total = (uint64_t)sqlite3_column_int64(statement, 0);
        mmgr__db_release(statement);
    }
    mmgr__clause_free(&clause);
    return result;
}

/* Read the present row into the list. A broken one must not hide the rest. */
static enum mmgr_result take_row(const struct mmgr__store_place *place, sqlite3_stmt *statement,
                                 mmgr_record_list *list, uint64_t *broken)
{
    const char *key = (const char *)sqlite3_column_text(statement, 0);
    const char *json = (const char *)sqlite3_column_text(statement, 1);
    mmgr_record_builder *builder;
    mmgr_record *record = NULL;
    enum mmgr_result result;

    if (key == NULL || json == NULL)
        return mmgr__oom();
    result = mmgr__store_read_row(place, key, json, (size_t)sqlite3_column_bytes(statement, 1),
                                  &builder);
    if (result == MMGR_OK) {
        result = mmgr__record_builder_finish(builder, &record);
        mmgr_record_builder_free(builder);
    }
    if (result == MMGR_ERR_INVALID_CONFIG) {
        mmgr__log(MMGR_LOG_WARNING, "store", "skipped a broken record: %s",
                  mmgr_error_message(mmgr_last_error()));
        ++*broken;
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

/* What is known of the number of all rows once a page was read. */
struct page {
    uint64_t rows, broken;
    int more; /* there are rows behind the limit */
};

/* One row more than the limit is asked for, to know whether there is a next page; the cursor is that of the
 * last row of this one. */
static enum mmgr_result read_page(struct mmgr__db *db, const struct mmgr__store_place *place,
                                  const struct mmgr__query *query, const struct mmgr__order *order,
                                  sqlite3_stmt *statement, mmgr_record_list *list,
                                  struct page *page)
{
    enum mmgr_result result = MMGR_OK;
    char *cursor = NULL;
    int row = 1;

    while (result == MMGR_OK) {
        result = mmgr__db_step(db, statement, &row);
        if (result != MMGR_OK || !row)
            break;
        if (query->limit > 0 && page->rows == query->limit) {
            page->more = 1;
            break;
        }
        page->rows++;
        result = take_row(place, statement, list, &page->broken);
        if (result == MMGR_OK && page->rows == query->limit) {
            cursor = mmgr__order_cursor(order, statement, 2);
            result = cursor != NULL ? MMGR_OK : mmgr__oom();
        }
    }
    if (result == MMGR_OK && page->more)
        list->cursor = cursor;
    else
        mmgr__free(cursor);
    return result;
}

static enum mmgr_result put_page(struct mmgr__db *db, const struct mmgr__query *query,
                                 const struct mmgr__order *order, struct mmgr__clause *clause)
{
    int64_t limit = query->limit == 0 || query->limit >= INT64_MAX ? -1 : (int64_t)query->limit + 1;
    int64_t offset = query->offset > INT64_MAX ? INT64_MAX : (int64_t)query->offset;
    enum mmgr_result result;

    mmgr__clause_put(clause, "SELECT m.key, m.record");
    if (query->limit > 0)
        mmgr__order_put_columns(order, clause);
    result = put_conditions(db, query, clause);
    if (result == MMGR_OK && query->cursor != NULL)
        result = mmgr__order_put_after(order, query->cursor, clause);
    mmgr__order_put(order, clause);
    mmgr__clause_put(clause, " LIMIT ");
    mmgr__clause_integer(clause, limit);
    if (offset > 0) {
        mmgr__clause_put(clause, " OFFSET ");
        mmgr__clause_integer(clause, offset);
    }
    return result;
}

/* The total needs no counting where the page shows the end. */
static enum mmgr_result find_total(struct mmgr__db *db, const struct mmgr__query *query,
                                   const struct page *page, uint64_t *total)
{
    enum mmgr_result result = MMGR_OK;

    if (query->no_total)
        return MMGR_OK;
    if (!page->more && query->cursor == NULL && (page->rows > 0 || query->offset == 0))
        *total = query->offset + page->rows;
    else
        result = count_all(db, query, total);
    if (result == MMGR_OK)
        *total -= page->broken < *total ? page->broken : *total;
    return result;
}

static enum mmgr_result search(struct mmgr__db *db, const struct mmgr__store_place *place,
                               const struct mmgr__query *query, const struct mmgr__order *order,
                               mmgr_record_list *list)
{
    struct mmgr__clause clause = {.failed = 0};
    struct page page = {0};
    sqlite3_stmt *statement = NULL;
    enum mmgr_result result = put_page(db, query, order, &clause);

    if (result == MMGR_OK)
        result = mmgr__db_query(db, &clause, &statement);
    if (result == MMGR_OK) {
        result = read_page(db, place, query, order, statement, list, &page);
        /* Where rows are left, the open statement keeps the count at the same moment as the page. */
        if (result == MMGR_OK)
            result = find_total(db, query, &page, &list->total);
        mmgr__db_release(statement);
    }
    mmgr__clause_free(&clause);
    return result;
}

enum mmgr_result mmgr__db_search(struct mmgr__db *db, const struct mmgr__store_place *place,
                                 const struct mmgr__query *query, mmgr_record_list *list)
{
    /* One moment for the page and for a count after its last row. */
    int alone = (query->cursor == NULL && query->offset == 0) || query->no_total;
    struct mmgr__order order;
    enum mmgr_result result;

    if (query->tag_count > TAGS_MAX) {
        mmgr__fail(MMGR_ERR_ARGUMENT, "a search can have at most %d tags", TAGS_MAX);
        mmgr__error_set_field("tags");
        return MMGR_ERR_ARGUMENT;
    }
    result = mmgr__order_init(&order, query->sort, query->words != NULL);
    if (result == MMGR_OK && !alone)
        result = mmgr__db_begin(db, 0);
    if (result == MMGR_OK) {
        result = search(db, place, query, &order, list);
        if (!alone)
            result = mmgr__db_end(db, 0, result);
    }
    mmgr__order_free(&order);
    return result;
}
