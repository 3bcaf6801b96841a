/* SPDX-License-Identifier: MIT */
/* Orders of a search and cursors. A cursor holds the sort and the values of the last row's terms, byte for byte
 * in hexadecimal: it needs no state on our side, and stays right when rows come and go. The row may be a broken
 * one, which must not end the list, so a text in it need not be UTF-8, nor a number be finite. */
#include "store/order.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

/* The longest field is 16 MiB of text; each byte takes two digits. */
#define CURSOR_MAX ((size_t)33 << 20)

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

static void put_value(struct mmgr__clause *clause, const struct mmgr__clause_value *value)
{
    if (value->kind == 's')
        mmgr__clause_bytes(clause, value->text, value->length);
    else if (value->kind == 'i')
        mmgr__clause_integer(clause, value->integer);
    else
        mmgr__clause_real(clause, value->real);
}

/* (a, b, …) > (?, ?, …): a form for which SQLite goes straight to the place in an index. */
static void put_row_value(const struct mmgr__order *order,
                          const struct mmgr__clause_value *values, struct mmgr__clause *clause)
{
    mmgr__clause_put(clause, " AND (");
    for (size_t i = 0; i < order->count; i++) {
        mmgr__clause_put(clause, i > 0 ? ", " : "");
        put_term(order, i, clause);
    }
    mmgr__clause_put(clause, order->descending ? ") < (" : ") > (");
    for (size_t i = 0; i < order->count; i++) {
        mmgr__clause_put(clause, i > 0 ? ", " : "");
        put_value(clause, &values[i]);
    }
    mmgr__clause_put(clause, ")");
}

/* The same for a first term that may be NULL, which sorts before everything else. Two terms: it and the key. */
static void put_null_safe(const struct mmgr__order *order,
                          const struct mmgr__clause_value *values, struct mmgr__clause *clause)
{
    const struct mmgr__clause_value *first = &values[0], *key = &values[1];
    int at_null = first->kind == 'n';

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

/* A value in a cursor: its kind, the length of what follows, and that. */
#define VALUE_HEAD (1 + sizeof(uint32_t))

/* Read the next value, which may be lent from the cursor; 0 when it is none. */
static int next_value(const char **at, size_t *left, struct mmgr__clause_value *value)
{
    uint32_t length;

    if (*left < VALUE_HEAD)
        return 0;
    *value = (struct mmgr__clause_value){.kind = **at};
    memcpy(&length, *at + 1, sizeof length);
    *at += VALUE_HEAD;
    *left -= VALUE_HEAD;
    if (length > *left)
        return 0;
    value->text = (char *)*at; /* the cast only undoes const */
    value->length = length;
    if (value->kind == 'i' && length == sizeof value->integer)
        memcpy(&value->integer, *at, length);
    else if (value->kind == 'd' && length == sizeof value->real)
        memcpy(&value->real, *at, length);
    else if (value->kind != 's' && !(value->kind == 'n' && length == 0))
        return 0;
    *at += length;
    *left -= length;
    return 1;
}

/* The values of a cursor's terms; 0 when it is none of this order. */
static int read_values(const struct mmgr__order *order, const char *cursor, size_t left,
                       struct mmgr__clause_value *values)
{
    struct mmgr__clause_value sort;

    if (!next_value(&cursor, &left, &sort) || sort.length != strlen(order->sort) ||
        memcmp(sort.text, order->sort, sort.length) != 0)
        return 0;
    for (size_t i = 0; i < order->count; i++) {
        if (!next_value(&cursor, &left, &values[i]) ||
            (values[i].kind == 'n' && !(order->nullable && i == 0)))
            return 0;
    }
    return left == 0;
}

enum mmgr_result mmgr__order_put_after(const struct mmgr__order *order, const char *cursor,
                                       struct mmgr__clause *clause)
{
    struct mmgr__clause_value values[MMGR__ORDER_TERMS];
    size_t length = 0;
    int failed;
    char *bytes = unhex(cursor, &length, &failed);

    if (failed)
        return mmgr__oom();
    if (bytes == NULL || !read_values(order, bytes, length, values)) {
        mmgr__free(bytes);
        mmgr__fail(MMGR_ERR_ARGUMENT, "the cursor does not belong to a search in this order");
        mmgr__error_set_field("cursor");
        return MMGR_ERR_ARGUMENT;
    }
    if (order->nullable)
        put_null_safe(order, values, clause);
    else
        put_row_value(order, values, clause);
    mmgr__free(bytes);
    return MMGR_OK;
}

static void put_hex(struct mmgr__buf *hex, const void *data, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *bytes = data;

    for (size_t i = 0; i < length; i++) {
        mmgr__buf_append(hex, &digits[bytes[i] >> 4], 1);
        mmgr__buf_append(hex, &digits[bytes[i] & 15], 1);
    }
}

static void write_value(struct mmgr__buf *hex, char kind, const void *data, size_t size)
{
    uint32_t length = (uint32_t)size;

    put_hex(hex, &kind, 1);
    put_hex(hex, &length, sizeof length);
    put_hex(hex, data, size);
}

static void write_column(struct mmgr__buf *hex, sqlite3_stmt *statement, int column)
{
    int64_t integer = sqlite3_column_int64(statement, column);
    double real = sqlite3_column_double(statement, column);
    const void *text;

    switch (sqlite3_column_type(statement, column)) {
    case SQLITE_NULL:
        write_value(hex, 'n', NULL, 0);
        return;
    case SQLITE_INTEGER:
        write_value(hex, 'i', &integer, sizeof integer);
        return;
    case SQLITE_FLOAT:
        write_value(hex, 'd', &real, sizeof real);
        return;
    default:
        text = sqlite3_column_text(statement, column);
        hex->failed |= text == NULL;
        if (text != NULL)
            write_value(hex, 's', text, (size_t)sqlite3_column_bytes(statement, column));
    }
}

char *mmgr__order_cursor(const struct mmgr__order *order, sqlite3_stmt *statement, int column)
{
    struct mmgr__buf hex = {0};

    write_value(&hex, 's', order->sort, strlen(order->sort));
    for (size_t i = 0; i < order->count; i++)
        write_column(&hex, statement, column + (int)i);
    return mmgr__buf_take(&hex);
}
