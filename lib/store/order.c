/* SPDX-License-Identifier: MIT */
/* Orders of a search and cursors. A cursor holds the sort and the values of the last row's terms, as JSON in
 * hexadecimal: it needs no state on our side, and stays right when rows come and go. */
#include "store/order.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/json.h"

#define CURSOR_MAX ((size_t)128 << 10)

static enum mmgr_result bad_sort(const char *sort, const char *why)
{
    mmgr__fail(MMGR_ERR_ARGUMENT, "cannot sort by \"%.100s\": %s", sort, why);
    mmgr__error_set_field("sort");
    return MMGR_ERR_ARGUMENT;
}

static void add_term(struct mmgr__order *order, const char *sql)
{
    mmgr__clause_put(&order->terms[order->count++], sql);
}

/* What the indexes of the schema can give is never NULL. */
static int may_be_null(const struct mmgr__field *field)
{
    return !field->required && field->id != MMGR_FIELD_CREATED_AT &&
           field->id != MMGR_FIELD_UPDATED_AT;
}

enum mmgr_result mmgr__order_init(struct mmgr__order *order, const char *sort, int by_rank)
{
    static const char *const usual[] = {"m.type", "m.base", "m.label", "m.name", "m.format"};
    const struct mmgr__field *field;
    size_t i;

    *order = (struct mmgr__order){.sort = sort != NULL ? sort : ""};
    if (order->sort[0] == '\0') {
        for (i = 0; !by_rank && i < sizeof usual / sizeof usual[0]; i++)
            add_term(order, usual[i]);
        if (by_rank)
            add_term(order, "rank");
        add_term(order, "m.key");
        return MMGR_OK;
    }
    order->descending = order->sort[0] == '-';
    field = mmgr__field_by_name(order->sort + order->descending);
    if (field == NULL)
        return bad_sort(sort, "there is no such field");
    if (field->kind == MMGR__FIELD_LIST || field->kind == MMGR__FIELD_OBJECT)
        return bad_sort(sort, "it holds more than one value");
    if (field->id == MMGR_FIELD_NAME)
        add_term(order, "m.label");
    mmgr__clause_field(&order->terms[order->count++], field);
    if (field->id != MMGR_FIELD_KEY)
        add_term(order, "m.key");
    order->nullable = may_be_null(field);
    return MMGR_OK;
}

void mmgr__order_free(struct mmgr__order *order)
{
    for (size_t i = 0; i < order->count; i++)
        mmgr__clause_free(&order->terms[i]);
    order->count = 0;
}

static void put_term(const struct mmgr__order *order, size_t i, struct mmgr__clause *clause)
{
    clause->failed |= order->terms[i].failed;
    if (!order->terms[i].failed)
        mmgr__clause_put(clause, order->terms[i].sql.data);
}

void mmgr__order_put_columns(const struct mmgr__order *order, struct mmgr__clause *clause)
{
    for (size_t i = 0; i < order->count; i++) {
        mmgr__clause_put(clause, ", ");
        put_term(order, i, clause);
    }
}

void mmgr__order_put(const struct mmgr__order *order, struct mmgr__clause *clause)
{
    for (size_t i = 0; i < order->count; i++) {
        mmgr__clause_put(clause, i == 0 ? " ORDER BY " : ", ");
        put_term(order, i, clause);
        mmgr__clause_put(clause, order->descending ? " DESC" : "");
    }
}

static void put_value(struct mmgr__clause *clause, const json_t *value)
{
    if (json_is_string(value))
        mmgr__clause_text(clause, json_string_value(value));
    else if (json_is_integer(value))
        mmgr__clause_integer(clause, json_integer_value(value));
    else
        mmgr__clause_real(clause, json_real_value(value));
}

/* (a, b, …) > (?, ?, …): a form for which SQLite goes straight to the place in an index. */
static void put_row_value(const struct mmgr__order *order, const json_t *cursor,
                          struct mmgr__clause *clause)
{
    mmgr__clause_put(clause, " AND (");
    for (size_t i = 0; i < order->count; i++) {
        mmgr__clause_put(clause, i > 0 ? ", " : "");
        put_term(order, i, clause);
    }
    mmgr__clause_put(clause, order->descending ? ") < (" : ") > (");
    for (size_t i = 0; i < order->count; i++) {
        mmgr__clause_put(clause, i > 0 ? ", " : "");
        put_value(clause, json_array_get(cursor, i + 1));
    }
    mmgr__clause_put(clause, ")");
}

/* The same for a first term that may be NULL, which sorts before everything else. Two terms: it and the key. */
static void put_null_safe(const struct mmgr__order *order, const json_t *cursor,
                          struct mmgr__clause *clause)
{
    const json_t *first = json_array_get(cursor, 1), *key = json_array_get(cursor, 2);
    int at_null = json_is_null(first);

    mmgr__clause_put(clause, " AND (");
    if (!at_null) {
        put_term(order, 0, clause);
        mmgr__clause_put(clause, order->descending ? " < " : " > ");
        put_value(clause, first);
        mmgr__clause_put(clause, " OR ");
    }
    /* The other side of the border between NULL and the rest. */
    if (at_null != order->descending) {
        put_term(order, 0, clause);
        mmgr__clause_put(clause, at_null ? " IS NOT NULL OR " : " IS NULL OR ");
    }
    mmgr__clause_put(clause, "(");
    put_term(order, 0, clause);
    mmgr__clause_put(clause, at_null ? " IS NULL" : " = ");
    if (!at_null)
        put_value(clause, first);
    mmgr__clause_put(clause, order->descending ? " AND m.key < " : " AND m.key > ");
    put_value(clause, key);
    mmgr__clause_put(clause, "))");
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* From hexadecimal; owned, NULL when it is none (or memory ran out: *failed). */
static char *unhex(const char *cursor, size_t *length, int *failed)
{
    char *text = strlen(cursor) <= CURSOR_MAX ? mmgr__alloc(strlen(cursor) / 2 + 1) : NULL;

    *failed = text == NULL && strlen(cursor) <= CURSOR_MAX;
    if (text == NULL)
        return NULL;
    for (*length = 0; cursor[0] != '\0'; cursor += 2) {
        int high = hex_value(cursor[0]), low = high < 0 ? -1 : hex_value(cursor[1]);

        if (low < 0) {
            mmgr__free(text);
            return NULL;
        }
        text[(*length)++] = (char)(high << 4 | low);
    }
    text[*length] = '\0';
    return text;
}

static int fits(const struct mmgr__order *order, const json_t *cursor)
{
    const char *sort = json_string_value(json_array_get(cursor, 0));

    if (sort == NULL || strcmp(sort, order->sort) != 0 ||
        json_array_size(cursor) != order->count + 1)
        return 0;
    for (size_t i = 0; i < order->count; i++) {
        const json_t *value = json_array_get(cursor, i + 1);

        if (!json_is_string(value) && !json_is_number(value) &&
            !(json_is_null(value) && order->nullable && i == 0))
            return 0;
    }
    return 1;
}

enum mmgr_result mmgr__order_put_after(const struct mmgr__order *order, const char *cursor,
                                       struct mmgr__clause *clause)
{
    size_t length = 0;
    int failed;
    char *text = unhex(cursor, &length, &failed);
    json_t *values = text != NULL ? json_loadb(text, length, 0, NULL) : NULL;

    mmgr__free(text);
    if (failed)
        return mmgr__oom();
    if (values == NULL || !fits(order, values)) {
        json_decref(values);
        mmgr__fail(MMGR_ERR_ARGUMENT, "the cursor does not belong to a search in this order");
        mmgr__error_set_field("cursor");
        return MMGR_ERR_ARGUMENT;
    }
    if (order->nullable)
        put_null_safe(order, values, clause);
    else
        put_row_value(order, values, clause);
    json_decref(values);
    return MMGR_OK;
}

static json_t *value_of(sqlite3_stmt *statement, int column)
{
    switch (sqlite3_column_type(statement, column)) {
    case SQLITE_NULL:
        return json_null();
    case SQLITE_INTEGER:
        return json_integer(sqlite3_column_int64(statement, column));
    case SQLITE_FLOAT:
        return json_real(sqlite3_column_double(statement, column));
    default:
        return json_stringn((const char *)sqlite3_column_text(statement, column),
                            (size_t)sqlite3_column_bytes(statement, column));
    }
}

char *mmgr__order_cursor(const struct mmgr__order *order, sqlite3_stmt *statement, int column)
{
    static const char digits[] = "0123456789abcdef";
    json_t *values = json_pack("[s]", order->sort);
    struct mmgr__buf hex = {0};
    char *text;
    int ok = values != NULL;

    for (size_t i = 0; i < order->count && ok; i++)
        ok = json_array_append_new(values, value_of(statement, column + (int)i)) == 0;
    text = ok ? mmgr__json_dump(values) : NULL;
    json_decref(values);
    for (size_t i = 0; text != NULL && text[i] != '\0'; i++) {
        mmgr__buf_append(&hex, &digits[(unsigned char)text[i] >> 4], 1);
        mmgr__buf_append(&hex, &digits[(unsigned char)text[i] & 15], 1);
    }
    hex.failed |= text == NULL;
    mmgr__free(text);
    return mmgr__buf_take(&hex);
}
