/* SPDX-License-Identifier: MIT */
/* Filters as SQL. Every test becomes an expression in parentheses that is 0 or 1, whatever is in
 * the row.
 *
 * SQLite's parser has room for about 100 open tokens, which parentheses in parentheses would soon
 * fill. So "not" is worked into the tests, and below the outermost level the tests are joined with
 * "&" and "|". These bind alike and from left to right: what comes first needs no parentheses, and
 * with the highest item first, 256 tests need no more than 8 parentheses one in the other, however
 * deep the filter nests. On the outermost level AND and OR stay, so that SQLite can use an index
 * and stop early. */
#include "store/filter.h"

/* The SQL around the field and its value. Values are bound as JSON, so that a number of a filter
 * is read by the same code as a number of a record. */
static const struct {
    const char *before, *between, *after;
} conditions[] = {
    [MMGR_FILTER_EQ] = {"", " IS ", ""},
    [MMGR_FILTER_LT] = {"coalesce(", " < ", ", 0)"},
    [MMGR_FILTER_LE] = {"coalesce(", " <= ", ", 0)"},
    [MMGR_FILTER_GT] = {"coalesce(", " > ", ", 0)"},
    [MMGR_FILTER_GE] = {"coalesce(", " >= ", ", 0)"},
    [MMGR_FILTER_CONTAINS] = {"coalesce(instr(lower(", "), lower(", ")) > 0, 0)"},
    [MMGR_FILTER_STARTS_WITH] = {"coalesce(instr(", ", ", ") = 1, 0)"},
};

/* Lists that have a table of their own, and the item in a row of it. */
static const struct {
    enum mmgr_field field;
    const char *rows, *item;
} tables[] = {
    {MMGR_FIELD_TAGS, "mmgr_tags t WHERE t.id = m.id AND (", "t.tag"},
    {MMGR_FIELD_BASES, "mmgr_bases t WHERE t.id = m.id AND (", "t.base"},
};

/* Types of JSON that a value of each type is compared with. */
static const char *const json_types[MMGR__FILTER_TYPES] = {
    [MMGR__FILTER_TEXT] = "('text')",
    [MMGR__FILTER_NUMBER] = "('integer', 'real')",
    [MMGR__FILTER_BOOL] = "('true', 'false')",
};

/* Append "?" for the path of a member; its names hold no quotes and nothing that needs an escape. */
static void put_path(struct mmgr__clause *clause, const struct mmgr__strings *path)
{
    struct mmgr__buf text = {0};

    mmgr__buf_puts(&text, "$");
    for (size_t i = 0; i < path->count; i++)
        mmgr__buf_printf(&text, ".\"%s\"", path->items[i]);
    clause->failed |= text.failed;
    if (!text.failed)
        mmgr__clause_text(clause, text.data);
    mmgr__buf_free(&text);
}

/* A member of the record: NULL where it is not set, and where it is not of the type that is asked
 * for. */
static void put_member(struct mmgr__clause *clause, const struct mmgr__filter_test *test,
                       const char *types)
{
    mmgr__clause_put(clause, "CASE WHEN NOT json_valid(m.record) THEN NULL");
    if (types != NULL) {
        mmgr__clause_put(clause, " WHEN json_type(m.record, ");
        put_path(clause, &test->path);
        mmgr__clause_put(clause, ") NOT IN ");
        mmgr__clause_put(clause, types);
        mmgr__clause_put(clause, " THEN NULL");
    }
    mmgr__clause_put(clause, " ELSE json_extract(m.record, ");
    put_path(clause, &test->path);
    mmgr__clause_put(clause, ") END");
}

/* What is compared: `item` of a list, a field, or a member of the types. */
static void put_subject(struct mmgr__clause *clause, const struct mmgr__filter_test *test,
                        const char *item, const char *types)
{
    if (item != NULL)
        mmgr__clause_put(clause, item);
    else if (test->field != NULL)
        mmgr__clause_field(clause, test->field);
    else
        put_member(clause, test, types);
}

/* Append "?" for the JSON list of the values of one type. */
static void put_values(struct mmgr__clause *clause, const struct mmgr__filter_test *test,
                       enum mmgr__filter_type type)
{
    struct mmgr__buf json = {0};

    for (size_t i = 0; i < test->count; i++) {
        if (test->values[i].type == type) {
            mmgr__buf_puts(&json, json.length > 0 ? "," : "[");
            mmgr__buf_puts(&json, test->values[i].json);
        }
    }
    mmgr__buf_puts(&json, "]");
    clause->failed |= json.failed;
    if (!json.failed)
        mmgr__clause_text(clause, json.data);
    mmgr__buf_free(&json);
}

/* Equal to one of the values. A number is not the text that looks like it, so each type goes by
 * itself. */
static void put_in(struct mmgr__clause *clause, const struct mmgr__filter_test *test,
                   const char *item)
{
    unsigned done = 0;

    for (size_t i = 0; i < test->count; i++) {
        enum mmgr__filter_type type = test->values[i].type;

        if (done & (1u << type))
            continue;
        mmgr__clause_put(clause, done != 0 ? " OR coalesce(" : "coalesce(");
        put_subject(clause, test, item, json_types[type]);
        mmgr__clause_put(clause, " IN (SELECT v.value FROM json_each(");
        put_values(clause, test, type);
        mmgr__clause_put(clause, ") v), 0)");
        done |= 1u << type;
    }
}

/* The condition of a positive op. */
static void put_condition(struct mmgr__clause *clause, const struct mmgr__filter_test *test,
                          enum mmgr_filter_op op, const char *item)
{
    int common;

    if (op == MMGR_FILTER_IN) {
        put_in(clause, test, item);
        return;
    }
    if (op == MMGR_FILTER_IS_NOT_NULL) {
        put_subject(clause, test, item, NULL);
        mmgr__clause_put(clause, " IS NOT NULL");
        return;
    }
    /* SQLite takes each equality for a rare one, and would start at a type that half of all models have rather
     * than at a name. */
    common = op == MMGR_FILTER_EQ && test->field != NULL && test->field->kind == MMGR__FIELD_TERM;
    mmgr__clause_put(clause, common ? "likelihood(" : "");
    mmgr__clause_put(clause, conditions[op].before);
    put_subject(clause, test, item, json_types[test->values[0].type]);
    mmgr__clause_put(clause, conditions[op].between);
    mmgr__clause_put(clause, "json_extract(");
    mmgr__clause_text(clause, test->values[0].json);
    mmgr__clause_put(clause, ", '$')");
    mmgr__clause_put(clause, conditions[op].after);
    mmgr__clause_put(clause, common ? ", 0.5)" : "");
}

/* Append the rows that hold the items of a list, up to the condition on an item; gives the name of
 * the item. */
static const char *put_rows(struct mmgr__clause *clause, const struct mmgr__field *list)
{
    mmgr__clause_put(clause, "EXISTS (SELECT 1 FROM ");
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        if (tables[i].field == list->id) {
            mmgr__clause_put(clause, tables[i].rows);
            return tables[i].item;
        }
    }
    mmgr__clause_put(clause, "json_each(CASE WHEN json_valid(m.record) THEN m.record END, '$.");
    mmgr__clause_put(clause, list->name);
    mmgr__clause_put(clause, "') t WHERE (");
    return "t.value";
}

static void put_test(struct mmgr__clause *clause, const struct mmgr__filter_test *test, int negated)
{
    const struct mmgr__filter_op_row *op = mmgr__filter_op(test->op);

    negated ^= op->negated;
    mmgr__clause_put(clause, negated ? "(NOT (" : "(");
    if (test->field != NULL && test->field->kind == MMGR__FIELD_LIST) {
        put_condition(clause, test, op->positive, put_rows(clause, test->field));
        mmgr__clause_put(clause, "))");
    } else {
        put_condition(clause, test, op->positive, NULL);
    }
    mmgr__clause_put(clause, negated ? "))" : ")");
}

static void put_filter(struct mmgr__clause *clause, const mmgr_filter *filter, int negated,
                       int outermost)
{
    const char *word;
    size_t first = 0;

    while (filter->kind == MMGR__FILTER_NOT) {
        negated = !negated;
        filter = filter->items[0];
    }
    if (filter->kind == MMGR__FILTER_TEST) {
        put_test(clause, &filter->test, negated);
        return;
    }
    /* Not (a and b) is (not a) or (not b). */
    if ((filter->kind == MMGR__FILTER_ALL) != negated)
        word = outermost ? " AND " : " & ";
    else
        word = outermost ? " OR " : " | ";
    for (size_t i = 1; i < filter->count && !outermost; i++) {
        if (filter->items[i]->rank > filter->items[first]->rank)
            first = i;
    }
    put_filter(clause, filter->items[first], negated, 0);
    for (size_t i = 0; i < filter->count; i++) {
        const mmgr_filter *item = filter->items[i];
        int parentheses = item->kind != MMGR__FILTER_TEST;

        if (i == first)
            continue;
        mmgr__clause_put(clause, word);
        mmgr__clause_put(clause, parentheses ? "(" : "");
        put_filter(clause, item, negated, 0);
        mmgr__clause_put(clause, parentheses ? ")" : "");
    }
}

void mmgr__filter_sql(const mmgr_filter *filter, struct mmgr__clause *clause)
{
    mmgr__clause_put(clause, "(");
    put_filter(clause, filter, 0, 1);
    mmgr__clause_put(clause, ")");
}
