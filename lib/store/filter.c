/* SPDX-License-Identifier: MIT */
/* Filters as trees: their life, putting them together, and their canonical text. */
#include "store/filter.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

mmgr_filter *mmgr_filter_ref(const mmgr_filter *filter)
{
    mmgr_filter *shared = (mmgr_filter *)filter; /* only the count changes */

    if (shared != NULL)
        mmgr__refs_take(&shared->refs);
    return shared;
}

void mmgr_filter_unref(mmgr_filter *filter)
{
    if (filter == NULL || !mmgr__refs_drop(&filter->refs))
        return;
    for (size_t i = 0; i < filter->count; i++)
        mmgr_filter_unref(filter->items[i]);
    mmgr__free(filter->items);
    mmgr__filter_test_free(&filter->test);
    mmgr__free(filter);
}

/* ---- text */

/* Whether an item of a filter stands in parentheses in its text. */
static int needs_parentheses(enum mmgr__filter_kind kind, const mmgr_filter *item)
{
    if (kind == MMGR__FILTER_ANY)
        return item->kind == MMGR__FILTER_ANY;
    return item->kind == MMGR__FILTER_ALL || item->kind == MMGR__FILTER_ANY;
}

static void write_filter(struct mmgr__buf *text, const mmgr_filter *filter)
{
    if (filter->kind == MMGR__FILTER_TEST)
        mmgr__buf_puts(text, filter->test.text);
    else if (filter->kind == MMGR__FILTER_NOT)
        mmgr__buf_puts(text, "not ");
    for (size_t i = 0; i < filter->count; i++) {
        int parentheses = needs_parentheses(filter->kind, filter->items[i]);

        if (i > 0)
            mmgr__buf_puts(text, filter->kind == MMGR__FILTER_ALL ? " and " : " or ");
        mmgr__buf_puts(text, parentheses ? "(" : "");
        write_filter(text, filter->items[i]);
        mmgr__buf_puts(text, parentheses ? ")" : "");
    }
}

enum mmgr_result mmgr_filter_text(const mmgr_filter *filter, char **text)
{
    struct mmgr__buf written = {0};
    char *taken;

    if (filter == NULL || text == NULL)
        return mmgr__bad_argument(filter == NULL ? "filter" : "text");
    write_filter(&written, filter);
    taken = mmgr__buf_take(&written);
    if (taken == NULL)
        return mmgr__oom();
    *text = taken;
    return MMGR_OK;
}

/* ---- putting together */

/* The canonical text can be longer than what was given; as its length is bounded, it can be
 * parsed. */
static enum mmgr_result check_length(const mmgr_filter *filter)
{
    char *text;
    size_t length;
    enum mmgr_result result = mmgr_filter_text(filter, &text);

    if (result != MMGR_OK)
        return result;
    length = strlen(text);
    mmgr__free(text);
    if (length > MMGR__FILTER_TEXT_MAX)
        return mmgr__filter_fail(MMGR_NO_OFFSET, "it is longer than %d bytes",
                                 MMGR__FILTER_TEXT_MAX);
    return MMGR_OK;
}

/* Take an item over, and what follows from it for the whole. */
static void add_item(mmgr_filter *filter, mmgr_filter *item)
{
    size_t nesting = item->nesting + (size_t)needs_parentheses(filter->kind, item) +
                     (filter->kind == MMGR__FILTER_NOT);

    filter->items[filter->count++] = item;
    filter->tests += item->tests;
    if (nesting > filter->nesting)
        filter->nesting = nesting;
    /* Two that are as high need one level more, the second being in parentheses. */
    if (item->rank == filter->rank && filter->count > 1 && item->count > 0)
        filter->rank++;
    else if (item->rank > filter->rank)
        filter->rank = item->rank;
}

enum mmgr_result mmgr__filter_join(enum mmgr__filter_kind kind, const mmgr_filter *const *items,
                                   size_t count, mmgr_filter **filter)
{
    enum mmgr_result result = MMGR_OK;
    size_t tests = 0;
    mmgr_filter *made;

    for (size_t i = 0; i < count; i++) {
        tests += items[i]->tests;
        if (tests > MMGR__FILTER_TESTS_MAX)
            return mmgr__filter_fail(MMGR_NO_OFFSET, "it has more than %d tests",
                                     MMGR__FILTER_TESTS_MAX);
    }
    if (count == 1 && kind != MMGR__FILTER_NOT) {
        *filter = mmgr_filter_ref(items[0]);
        return MMGR_OK;
    }
    made = mmgr__alloc0(1, sizeof *made);
    if (made == NULL)
        return mmgr__oom();
    mmgr__refs_init(&made->refs);
    made->kind = kind;
    made->items = mmgr__alloc0(tests, sizeof(mmgr_filter *)); /* no item has fewer than one */
    if (made->items == NULL)
        result = mmgr__oom();
    for (size_t i = 0; i < count && result == MMGR_OK; i++) {
        /* "a and (b and c)" is "a and b and c": who adds one test after the other does not nest. */
        int same = items[i]->kind == kind && kind != MMGR__FILTER_NOT;

        for (size_t k = 0; k < (same ? items[i]->count : 1); k++)
            add_item(made, mmgr_filter_ref(same ? items[i]->items[k] : items[i]));
    }
    if (result == MMGR_OK && made->nesting > MMGR__FILTER_NESTING_MAX)
        result = mmgr__filter_fail(MMGR_NO_OFFSET, "it nests deeper than %d levels",
                                   MMGR__FILTER_NESTING_MAX);
    if (result == MMGR_OK)
        result = check_length(made);
    if (result != MMGR_OK)
        mmgr_filter_unref(made);
    else
        *filter = made;
    return result;
}

static enum mmgr_result join(enum mmgr__filter_kind kind, const mmgr_filter *const *filters,
                             uint32_t count, mmgr_filter **filter)
{
    if (filters == NULL || count == 0 || filter == NULL)
        return mmgr__bad_argument(filters == NULL ? "filters" : count == 0 ? "count" : "filter");
    for (uint32_t i = 0; i < count; i++) {
        if (filters[i] == NULL)
            return mmgr__bad_argument("filters");
    }
    return mmgr__filter_join(kind, filters, count, filter);
}

enum mmgr_result mmgr_filter_all(const mmgr_filter *const *filters, uint32_t count,
                                 mmgr_filter **filter)
{
    return join(MMGR__FILTER_ALL, filters, count, filter);
}

enum mmgr_result mmgr_filter_any(const mmgr_filter *const *filters, uint32_t count,
                                 mmgr_filter **filter)
{
    return join(MMGR__FILTER_ANY, filters, count, filter);
}

enum mmgr_result mmgr_filter_not(const mmgr_filter *filter, mmgr_filter **out)
{
    if (filter == NULL || out == NULL)
        return mmgr__bad_argument(filter == NULL ? "filter" : "out");
    return mmgr__filter_join(MMGR__FILTER_NOT, &filter, 1, out);
}

/* How many values an op takes. */
static int count_fits(const struct mmgr__filter_op_row *op, uint32_t count)
{
    if (op->group == MMGR__FILTER_GROUP_NULL)
        return count == 0;
    return op->group == MMGR__FILTER_GROUP_IN ? count > 0 : count == 1;
}

static enum mmgr_result add_values(struct mmgr__filter_test *test, const char *const *values,
                                   uint32_t count)
{
    enum mmgr_result result = MMGR_OK;
    size_t total = 0;

    for (uint32_t i = 0; i < count && result == MMGR_OK; i++) {
        char *copy;

        if (values[i] == NULL)
            return mmgr__bad_argument("values");
        total += strlen(values[i]) + 1;
        if (total > MMGR__FILTER_TEXT_MAX)
            return mmgr__filter_fail(MMGR_NO_OFFSET, "it is longer than %d bytes",
                                     MMGR__FILTER_TEXT_MAX);
        if (!mmgr__utf8_valid(values[i], strlen(values[i])))
            return mmgr__filter_fail(MMGR_NO_OFFSET, "a value is not valid UTF-8");
        copy = mmgr__strdup(values[i]);
        result = copy != NULL ? mmgr__filter_add_value(test, copy, 0, MMGR_NO_OFFSET) : mmgr__oom();
    }
    return result;
}

enum mmgr_result mmgr_filter_test(const char *field, enum mmgr_filter_op op,
                                  const char *const *values, uint32_t count, mmgr_filter **filter)
{
    const struct mmgr__filter_op_row *row = mmgr__filter_op(op);
    struct mmgr__filter_test test = {.op = op, .op_at = MMGR_NO_OFFSET};
    enum mmgr_result result;

    if (field == NULL || filter == NULL || (values == NULL && count > 0))
        return mmgr__bad_argument(field == NULL ? "field" : filter == NULL ? "filter" : "values");
    if (row == NULL)
        return mmgr__bad_argument("op");
    if (!count_fits(row, count))
        return mmgr__filter_fail(MMGR_NO_OFFSET, "\"%s\" does not take %u values", row->text,
                                 count);
    result = mmgr__filter_read_field(field, &test);
    if (result == MMGR_OK)
        result = add_values(&test, values, count);
    if (result == MMGR_OK)
        return mmgr__filter_make(&test, filter);
    mmgr__filter_test_free(&test);
    return result;
}
