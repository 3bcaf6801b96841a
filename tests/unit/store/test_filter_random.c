/* SPDX-License-Identifier: MIT */
/* Random filters over random records: SQL finds what a plain evaluator says, the canonical text
 * means the same, and a filter that is put together is the one that is parsed. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/record.h"
#include "filter_db.h"
#include "fixture.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define ROWS         12
#define ROUNDS       18
#define FILTERS      60

/* Bugs of the evaluator, to see that the comparison finds them. */
enum bug {
    NO_BUG,
    UNSET_IS_NOT_UNEQUAL, /* an unset field fails != and its kin */
    CASE_MATTERS,         /* ~ looks at the case */
    ALL_ITEMS,            /* of a list all items must fit */
    ORDER_WITHOUT_EQUAL,  /* <= is < */
    NUMBERS_ARE_TEXT,     /* a member that is text is compared with a number */
    OR_OF_AND_IS_AND,     /* an or whose second part is an and takes all */
    BUGS
};

static uint64_t seed;

static uint32_t below(uint32_t bound)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(seed >> 33) % bound;
}

/* ---- fields and values */

enum kind { TEXT, LIST, NUMBER, TIME, BOOLEAN, MEMBER };

static const struct {
    const char *written; /* in an expression */
    enum kind kind;
    const char *path[3]; /* in the JSON */
} fields[] = {
    {"name", TEXT, {"name"}},
    {"base", TEXT, {"base"}},
    {"description", TEXT, {"description"}},
    {"hash", TEXT, {"hash"}},
    {"variant", TEXT, {"variant"}},
    {"tags", LIST, {"tags"}},
    {"bases", LIST, {"bases"}},
    {"trigger_phrases", LIST, {"trigger_phrases"}},
    {"file_size", NUMBER, {"file_size"}},
    {"created_at", TIME, {"created_at"}},
    {"upcast_attention", BOOLEAN, {"upcast_attention"}},
    {"default_settings.width", MEMBER, {"default_settings", "width"}},
    {"default_settings.deep.\"a b\"", MEMBER, {"default_settings", "deep", "a b"}},
    {"\"x_new\"", MEMBER, {"x_new"}},
};

/* As text and as it is stored; what has an order of its own is stored so that the order of texts
 * is it. */
static const char *const texts[] = {"a:b", "A:B", "ab", "b", "a:bc", "\u00fcb", "%:_"};
static const struct {
    const char *written;
    int64_t value;
} sizes[] = {{"0", 0},       {"5", 5},       {"1KiB", 1024},
             {"1 KB", 1000}, {"1024", 1024}, {"2GiB", INT64_C(2) << 30}};
static const struct {
    const char *written, *stored;
} times[] = {{"2024-01-31", "2024-01-31T00:00:00Z"},
             {"2024-01-31T00:00:00Z", "2024-01-31T00:00:00Z"},
             {"2024-01-31T12:00:00Z", "2024-01-31T12:00:00Z"},
             {"1969-12-31", "1969-12-31T00:00:00Z"}};
static const char *const scalars[] = {"1",     "1.0",   "-2.5",  "1e1",    "10",      "true",
                                      "false", "\"1\"", "\"a\"", "\"AB\"", "\"true\""};

/* ---- records */

/* A list of up to two more texts after the first, which may be NULL. */
static void put_list(char *json, size_t size, const char *name, const char *first)
{
    size_t used = strlen(json);

    used += (size_t)snprintf(json + used, size - used, ",\"%s\":[", name);
    for (uint32_t i = 0, count = below(3) + (first != NULL); i < count; i++)
        used += (size_t)snprintf(json + used, size - used, "%s\"%s\"", i > 0 ? "," : "",
                                 i == 0 && first != NULL ? first : texts[below(COUNT(texts))]);
    snprintf(json + used, size - used, "]");
}

static void put(char *json, size_t size, const char *format, const char *value)
{
    size_t used = strlen(json);

    if (below(3) > 0)
        snprintf(json + used, size - used, format, value);
}

static mmgr_record *random_record(int number)
{
    const char *base = texts[below(COUNT(texts))];
    char json[4096], size[32];

    snprintf(json, sizeof json,
             "{\"key\":\"k%02d\",\"path\":\"p%02d\",\"type\":\"main\",\"format\":\"diffusers\","
             "\"name\":\"%s\",\"base\":\"%s\",\"created_at\":\"%s\",\"updated_at\":\"%s\"",
             number, number, texts[below(COUNT(texts))], base, times[below(COUNT(times))].stored,
             times[0].stored);
    put(json, sizeof json, ",\"description\":\"%s\"", texts[below(COUNT(texts))]);
    put(json, sizeof json, ",\"hash\":\"%s\"", texts[below(2)]);
    put(json, sizeof json, ",\"variant\":\"%s\"", texts[below(COUNT(texts))]);
    put(json, sizeof json, ",\"upcast_attention\":%s", below(2) ? "true" : "false");
    snprintf(size, sizeof size, "%lld", (long long)sizes[below(COUNT(sizes))].value);
    put(json, sizeof json, ",\"file_size\":%s", size);
    put(json, sizeof json, ",\"x_new\":%s", scalars[below(COUNT(scalars))]);
    put_list(json, sizeof json, "tags", NULL);
    put_list(json, sizeof json, "bases", base);
    put_list(json, sizeof json, "trigger_phrases", NULL);
    if (below(2)) {
        put(json, sizeof json, ",\"default_settings\":{\"o\":[]%s", "");
        if (strstr(json, "default_settings") != NULL) {
            put(json, sizeof json, ",\"width\":%s", scalars[below(COUNT(scalars))]);
            put(json, sizeof json, ",\"deep\":{\"a b\":%s}", scalars[below(COUNT(scalars))]);
            strncat(json, "}", sizeof json - strlen(json) - 1);
        }
    }
    strncat(json, "}", sizeof json - strlen(json) - 1);
    return record_of(json);
}

/* ---- filters */

struct node {
    int what; /* 0 test, 1 not, 2 and, 3 or */
    struct node *items[3];
    int count;
    size_t field;
    enum mmgr_filter_op op;
    char values[3][40]; /* as given, without quotes */
    int types[3];       /* of a member: 0 text, 1 number, 2 boolean */
};

static struct node nodes[256];
static size_t node_count;

static void random_value(struct node *node, int i)
{
    char *value = node->values[i];
    const char *from;
    int matches = node->op >= MMGR_FILTER_CONTAINS && node->op <= MMGR_FILTER_STARTS_WITH;
    int ordered = node->op >= MMGR_FILTER_LT && node->op <= MMGR_FILTER_GE;

    node->types[i] = 0;
    switch (fields[node->field].kind) {
    case NUMBER:
        from = sizes[below(COUNT(sizes))].written;
        break;
    case TIME:
        from = times[below(COUNT(times))].written;
        break;
    case BOOLEAN:
        from = below(2) ? "true" : "FALSE";
        break;
    case MEMBER:
        do {
            from = scalars[below(COUNT(scalars))];
            node->types[i] = from[0] == '"' ? 0 : from[0] == 't' || from[0] == 'f' ? 2 : 1;
        } while (ordered && node->types[i] == 2);
        if (matches)
            node->types[i] = 0;
        break;
    default:
        from = texts[below(COUNT(texts))];
        if (below(4) == 0)
            from += strlen(from) - 1;
        if ((unsigned char)*from >= 0x80)
            from = "";
        break;
    }
    snprintf(value, sizeof node->values[0], "%s", from[0] == '"' ? from + 1 : from);
    if (from[0] == '"')
        value[strlen(value) - 1] = '\0';
}

static enum mmgr_filter_op random_op(enum kind kind)
{
    static const uint32_t allowed[] = {[TEXT] = 0x3ffe, [LIST] = 0x3f86,    [NUMBER] = 0x3c7e,
                                       [TIME] = 0x3c7e, [BOOLEAN] = 0x3006, [MEMBER] = 0x3ffe};
    uint32_t op;

    do
        op = 1 + below(13);
    while ((allowed[kind] >> op & 1) == 0);
    return (enum mmgr_filter_op)op;
}

static struct node *random_node(int depth)
{
    struct node *node = &nodes[node_count++];

    memset(node, 0, sizeof *node);
    node->what = depth > 0 && node_count < 100 ? (int)below(4) : 0;
    if (node->what != 0) {
        node->count = node->what == 1 ? 1 : 2 + (int)below(2);
        for (int i = 0; i < node->count; i++)
            node->items[i] = random_node(depth - 1);
        return node;
    }
    node->field = below(COUNT(fields));
    node->op = random_op(fields[node->field].kind);
    node->count = node->op >= MMGR_FILTER_IS_NULL ? 0
                  : node->op >= MMGR_FILTER_IN    ? 1 + (int)below(3)
                                                  : 1;
    for (int i = 0; i < node->count; i++)
        random_value(node, i);
    return node;
}

/* The text of a filter, with parentheses where they must be and sometimes where they need not. */
static void write_node(const struct node *node, int inside, char *text, size_t size)
{
    static const char *const ops[] = {"",  "=",  "!=", "<",  "<=",     ">",       ">=",
                                      "~", "!~", "^=", "in", "not in", "is null", "IS not Null"};
    int many = node->op == MMGR_FILTER_IN || node->op == MMGR_FILTER_NOT_IN;
    int parentheses = (node->what >= 2 && node->what != 2 + inside) || below(8) == 0;
#define PUT(...) snprintf(text + strlen(text), size - strlen(text), __VA_ARGS__)

    if (node->what == 2 && inside == 1)
        parentheses = below(2);
    PUT("%s", parentheses ? "(" : "");
    if (node->what == 0) {
        PUT("%s %s", fields[node->field].written, ops[node->op]);
        for (int i = 0; i < node->count; i++) {
            int bare = fields[node->field].kind == MEMBER && node->types[i] != 0;

            PUT("%s", i > 0 ? " ," : many ? "( " : " ");
            PUT(bare ? "%s" : "\"%s\"", node->values[i]);
        }
        PUT("%s", many ? ")" : "");
    } else {
        for (int i = 0; i < node->count; i++) {
            PUT("%s", node->what == 1 ? "not " : i == 0 ? "" : node->what == 2 ? " AND " : " or ");
            write_node(node->items[i], node->what == 1 ? -3 : node->what - 2, text, size);
        }
    }
    PUT("%s", parentheses ? ")" : "");
#undef PUT
}

static mmgr_filter *build(const struct node *node)
{
    mmgr_filter *items[3], *built = NULL;
    const char *values[] = {node->values[0], node->values[1], node->values[2]};

    if (node->what == 0) {
        assert_ok(mmgr_filter_test(fields[node->field].written, node->op, values,
                                   (uint32_t)node->count, &built));
        return built;
    }
    for (int i = 0; i < node->count; i++)
        items[i] = build(node->items[i]);
    if (node->what == 1)
        assert_ok(mmgr_filter_not(items[0], &built));
    else
        assert_ok((node->what == 2 ? mmgr_filter_all : mmgr_filter_any)(
            (const mmgr_filter *const *)items, (uint32_t)node->count, &built));
    for (int i = 0; i < node->count; i++)
        mmgr_filter_unref(items[i]);
    return built;
}

/* Whether a builder, which sees no quotes, could mean this: no member's text looks like something
 * else. */
static int can_be_built(const struct node *node)
{
    for (int i = 0; i < node->count; i++) {
        if (node->what != 0) {
            if (!can_be_built(node->items[i]))
                return 0;
        } else if (fields[node->field].kind == MEMBER && node->types[i] == 0 &&
                   strspn(node->values[i], "0123456789true") == strlen(node->values[i])) {
            return 0;
        }
    }
    return 1;
}

/* ---- the evaluator */

static int order(enum mmgr_filter_op op, int compared, enum bug bug)
{
    switch (op) {
    case MMGR_FILTER_LT:
        return compared < 0;
    case MMGR_FILTER_LE:
        return bug == ORDER_WITHOUT_EQUAL ? compared < 0 : compared <= 0;
    case MMGR_FILTER_GT:
        return compared > 0;
    case MMGR_FILTER_GE:
        return compared >= 0;
    default:
        return compared == 0;
    }
}

static int sign(double number)
{
    return number < 0 ? -1 : number > 0;
}

static double number_of(const struct node *node, int i)
{
    for (size_t k = 0; k < COUNT(sizes); k++) {
        if (fields[node->field].kind == NUMBER && strcmp(sizes[k].written, node->values[i]) == 0)
            return (double)sizes[k].value;
    }
    return strtod(node->values[i], NULL);
}

static const char *text_of(const struct node *node, int i)
{
    for (size_t k = 0; k < COUNT(times); k++) {
        if (fields[node->field].kind == TIME && strcmp(times[k].written, node->values[i]) == 0)
            return times[k].stored;
    }
    return node->values[i];
}

static int contains(const char *text, const char *part, enum bug bug)
{
    for (size_t length = strlen(part); strlen(text) >= length; text++) {
        if (bug == CASE_MATTERS ? strncmp(text, part, length) == 0
                                : strncasecmp(text, part, length) == 0)
            return 1;
    }
    return 0;
}

/* Whether one value of the JSON is to one value of the test as the positive op says. */
static int fits(const json_t *value, const struct node *node, enum mmgr_filter_op op, int i,
                enum bug bug)
{
    enum kind kind = fields[node->field].kind;
    int type = kind == NUMBER ? 1 : kind == BOOLEAN ? 2 : kind == MEMBER ? node->types[i] : 0;

    if (type == 1 && bug == NUMBERS_ARE_TEXT && kind == MEMBER && json_is_string(value))
        return order(op, strcmp(json_string_value(value), node->values[i]), bug);
    if (type == 1)
        return json_is_number(value) &&
               order(op, sign(json_number_value(value) - number_of(node, i)), bug);
    if (type == 2)
        return json_is_boolean(value) &&
               json_is_true(value) == (strcasecmp(node->values[i], "true") == 0);
    if (!json_is_string(value))
        return 0;
    if (op == MMGR_FILTER_CONTAINS)
        return contains(json_string_value(value), node->values[i], bug);
    if (op == MMGR_FILTER_STARTS_WITH)
        return strncmp(json_string_value(value), node->values[i], strlen(node->values[i])) == 0;
    return order(op, strcmp(json_string_value(value), text_of(node, i)), bug);
}

static int test_holds(const struct node *node, const json_t *record, enum bug bug)
{
    static const struct {
        enum mmgr_filter_op op, positive;
    } negative[] = {{MMGR_FILTER_NE, MMGR_FILTER_EQ},
                    {MMGR_FILTER_NOT_CONTAINS, MMGR_FILTER_CONTAINS},
                    {MMGR_FILTER_NOT_IN, MMGR_FILTER_IN},
                    {MMGR_FILTER_IS_NULL, MMGR_FILTER_IS_NOT_NULL}};
    enum mmgr_filter_op op = node->op;
    const json_t *value = record;
    size_t found = 0, items = 1;
    int negated = 0;

    for (size_t i = 0; i < COUNT(negative); i++) {
        if (negative[i].op == node->op) {
            op = negative[i].positive;
            negated = 1;
        }
    }
    for (int i = 0; i < 3 && fields[node->field].path[i] != NULL; i++)
        value = json_object_get(value, fields[node->field].path[i]);
    if (json_is_array(value))
        items = json_array_size(value);
    if (value == NULL || json_is_null(value) || items == 0)
        return negated && !(bug == UNSET_IS_NOT_UNEQUAL && node->op != MMGR_FILTER_IS_NULL);
    if (op == MMGR_FILTER_IS_NOT_NULL)
        return !negated;
    for (size_t k = 0; k < items; k++) {
        int one = 0;

        for (int i = 0; i < node->count; i++)
            one |= fits(json_is_array(value) ? json_array_get(value, k) : value, node, op, i, bug);
        found += (size_t)one;
    }
    return (bug == ALL_ITEMS ? found == items : found > 0) != negated;
}

static int holds(const struct node *node, const json_t *record, enum bug bug)
{
    int any = 0, all = 1;

    if (node->what == 0)
        return test_holds(node, record, bug);
    for (int i = 0; i < node->count; i++) {
        int one = holds(node->items[i], record, bug);

        any |= one;
        all &= one;
    }
    if (bug == OR_OF_AND_IS_AND && node->what == 3 && node->items[1]->what == 2)
        return all;
    return node->what == 1 ? !any : node->what == 2 ? all : any;
}

/* ---- the comparison */

static const char *canonical(mmgr_filter *filter, char *buffer, size_t size)
{
    char *text;

    assert_ok(mmgr_filter_text(filter, &text));
    snprintf(buffer, size, "%s", text);
    mmgr_string_free(text);
    return buffer;
}

/* Compare one filter; 1 when SQL and evaluator differ. */
static int differs(sqlite3 *db, json_t *const *rows, enum bug bug, size_t *found)
{
    static char text[32768], first[32768], second[32768];
    char keys[256], again_keys[256], wanted[256] = "";
    const struct node *node = (node_count = 0, random_node(5));
    mmgr_filter *filter = NULL, *again = NULL;

    text[0] = '\0';
    write_node(node, -3, text, sizeof text);
    if (mmgr_filter_parse(text, &filter) != MMGR_OK)
        fail_msg("%s: %s", text, mmgr_error_message(mmgr_last_error()));
    assert_ok(mmgr_filter_parse(canonical(filter, first, sizeof first), &again));
    assert_string_equal(canonical(again, second, sizeof second), first);
    assert_int_equal(filter_db_find(db, filter, keys, sizeof keys), SQLITE_DONE);
    assert_int_equal(filter_db_find(db, again, again_keys, sizeof again_keys), SQLITE_DONE);
    assert_string_equal(keys, again_keys);
    if (can_be_built(node)) {
        mmgr_filter *built = build(node);

        assert_string_equal(canonical(built, second, sizeof second), first);
        mmgr_filter_unref(built);
    }
    for (int i = 0; i < ROWS; i++) {
        if (holds(node, rows[i], bug))
            snprintf(wanted + strlen(wanted), sizeof wanted - strlen(wanted), "k%02d ", i);
    }
    mmgr_filter_unref(filter);
    mmgr_filter_unref(again);
    *found += strlen(keys) / 4;
    if (strcmp(keys, wanted) != 0 && bug == NO_BUG)
        print_error("%s: found %s instead of %s\n", text, keys, wanted);
    return strcmp(keys, wanted) != 0;
}

/* The number of filters on which SQL and evaluator differ. */
static int compare(enum bug bug, int rounds, size_t *found)
{
    int different = 0;

    seed = 1;
    for (int round = 0; round < rounds; round++) {
        sqlite3 *db = filter_db_open();
        json_t *rows[ROWS];

        for (int i = 0; i < ROWS; i++) {
            mmgr_record *record = random_record(i);
            char *json = mmgr__record_stored_json(record);

            rows[i] = json_loads(json, 0, NULL);
            assert_non_null(rows[i]);
            assert_true(filter_db_add(db, record));
            mmgr_string_free(json);
            mmgr_record_unref(record);
        }
        for (int i = 0; i < FILTERS; i++)
            different += differs(db, rows, bug, found);
        for (int i = 0; i < ROWS; i++)
            json_decref(rows[i]);
        sqlite3_close(db);
    }
    return different;
}

static void sql_and_evaluator_agree(void **state)
{
    size_t found = 0;

    assert_int_equal(compare(NO_BUG, ROUNDS, &found), 0);
    /* Neither all nor nothing is found, or nothing would be compared. */
    assert_in_range(found, ROUNDS * FILTERS * ROWS / 5, ROUNDS * FILTERS * ROWS * 4 / 5);
}

static void planted_bugs_are_found(void **state)
{
    size_t found = 0;

    for (int bug = NO_BUG + 1; bug < BUGS; bug++) {
        if (compare((enum bug)bug, ROUNDS / 6, &found) == 0)
            fail_msg("bug %d was not found", bug);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sql_and_evaluator_agree),
        cmocka_unit_test(planted_bugs_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
