/* SPDX-License-Identifier: MIT */
/* Single tests of filters: which op and which value a field takes, and the text of a test. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/json.h"
#include "base/record.h"
#include "store/filter.h"

#define EQUAL MMGR__FILTER_GROUP_EQUAL
#define ORDER MMGR__FILTER_GROUP_ORDER
#define MATCH MMGR__FILTER_GROUP_MATCH
#define IN    MMGR__FILTER_GROUP_IN
#define EMPTY MMGR__FILTER_GROUP_NULL

static const struct mmgr__filter_op_row ops[] = {
    [MMGR_FILTER_EQ] = {"=", EQUAL, 0, MMGR_FILTER_EQ},
    [MMGR_FILTER_NE] = {"!=", EQUAL, 1, MMGR_FILTER_EQ},
    [MMGR_FILTER_LT] = {"<", ORDER, 0, MMGR_FILTER_LT},
    [MMGR_FILTER_LE] = {"<=", ORDER, 0, MMGR_FILTER_LE},
    [MMGR_FILTER_GT] = {">", ORDER, 0, MMGR_FILTER_GT},
    [MMGR_FILTER_GE] = {">=", ORDER, 0, MMGR_FILTER_GE},
    [MMGR_FILTER_CONTAINS] = {"~", MATCH, 0, MMGR_FILTER_CONTAINS},
    [MMGR_FILTER_NOT_CONTAINS] = {"!~", MATCH, 1, MMGR_FILTER_CONTAINS},
    [MMGR_FILTER_STARTS_WITH] = {"^=", MATCH, 0, MMGR_FILTER_STARTS_WITH},
    [MMGR_FILTER_IN] = {"in", IN, 0, MMGR_FILTER_IN},
    [MMGR_FILTER_NOT_IN] = {"not in", IN, 1, MMGR_FILTER_IN},
    [MMGR_FILTER_IS_NULL] = {"is null", EMPTY, 1, MMGR_FILTER_IS_NOT_NULL},
    [MMGR_FILTER_IS_NOT_NULL] = {"is not null", EMPTY, 0, MMGR_FILTER_IS_NOT_NULL},
};
#define OP_COUNT (sizeof ops / sizeof ops[0])

/* What each kind of field is called, takes and allows; after the kinds of the table that of a
 * member. */
#define MEMBER (MMGR__FIELD_REAL + 1)
static const struct {
    const char *name, *takes;
    unsigned groups;
} kinds[] = {
    [MMGR__FIELD_TEXT] = {"a text", "a text", EQUAL | ORDER | MATCH | IN | EMPTY},
    [MMGR__FIELD_TERM] = {"a term", "a text", EQUAL | ORDER | MATCH | IN | EMPTY},
    [MMGR__FIELD_LIST] = {"a list", "a text", EQUAL | MATCH | IN | EMPTY},
    [MMGR__FIELD_BOOL] = {"true or false", "true or false", EQUAL | EMPTY},
    [MMGR__FIELD_NUMBER] = {"a number", "a size such as 1024 or 2GiB", EQUAL | ORDER | IN | EMPTY},
    [MMGR__FIELD_OBJECT] = {"an object", "", EMPTY},
    [MMGR__FIELD_TIME] = {"a time", "a time such as 2024-01-31 or 2024-01-31T12:00:00Z",
                          EQUAL | ORDER | IN | EMPTY},
    [MMGR__FIELD_REAL] = {"a number", "a number such as 0.5", EQUAL | ORDER | IN | EMPTY},
    [MEMBER] = {"a member", "a value that has an order", EQUAL | ORDER | MATCH | IN | EMPTY},
};

const struct mmgr__filter_op_row *mmgr__filter_op(enum mmgr_filter_op op)
{
    return (size_t)op < OP_COUNT && ops[op].text != NULL ? &ops[op] : NULL;
}

enum mmgr_filter_op mmgr__filter_op_find(const char *text, size_t length)
{
    for (size_t i = 0; i < OP_COUNT; i++) {
        if (ops[i].text != NULL && strlen(ops[i].text) == length &&
            memcmp(ops[i].text, text, length) == 0)
            return (enum mmgr_filter_op)i;
    }
    return (enum mmgr_filter_op)0;
}

enum mmgr_result mmgr__filter_fail(uint64_t at, const char *format, ...)
{
    char why[512];
    va_list args;

    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    if (at == MMGR_NO_OFFSET)
        mmgr__fail(MMGR_ERR_ARGUMENT, "filter: %s", why);
    else
        mmgr__fail(MMGR_ERR_ARGUMENT, "filter: at byte %llu: %s", (unsigned long long)at, why);
    mmgr__error_set_field("filter");
    mmgr__error_set_offset(at);
    return MMGR_ERR_ARGUMENT;
}

/* ---- words */

static int is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

size_t mmgr__filter_name_length(const char *text)
{
    size_t length = 0;

    while (is_letter(text[length]) ||
           (length > 0 && (is_digit(text[length]) || text[length] == '-')))
        length++;
    return length;
}

size_t mmgr__filter_value_length(const char *text)
{
    size_t length = 0;

    while (is_letter(text[length]) || is_digit(text[length]) ||
           (text[length] != '\0' && strchr("-.:/+@~", text[length]) != NULL))
        length++;
    return length;
}

int mmgr__filter_is_keyword(const char *text, size_t length)
{
    static const char *const keywords[] = {"and", "or", "not", "in", "is", "null"};

    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++) {
        if (strlen(keywords[i]) == length && strncasecmp(keywords[i], text, length) == 0)
            return 1;
    }
    return 0;
}

/* ---- values */

static unsigned kind_of(const struct mmgr__filter_test *test)
{
    return test->field != NULL ? (unsigned)test->field->kind : (unsigned)MEMBER;
}

static const char *name_of(const struct mmgr__filter_test *test)
{
    return test->field != NULL ? test->field->name : test->path.items[test->path.count - 1];
}

static const char *boolean(const char *text)
{
    return strcasecmp(text, "true") == 0 ? "true" : strcasecmp(text, "false") == 0 ? "false" : NULL;
}

static int is_json_number(const char *text)
{
    struct mmgr__jscan scan;

    mmgr__jscan_init(&scan, text, strlen(text));
    return mmgr__jscan_next(&scan) == MMGR__JSCAN_NUMBER && scan.start == 0 &&
           scan.end == scan.length;
}

/* What a value without quotes counts as where no table says it. */
static enum mmgr__filter_type looks_like(const char *text)
{
    if (boolean(text) != NULL)
        return MMGR__FILTER_BOOL;
    return is_json_number(text) ? MMGR__FILTER_NUMBER : MMGR__FILTER_TEXT;
}

/* A date alone is its first moment. */
static int parse_time(const char *text, int64_t *ns)
{
    char full[32];

    if (strlen(text) != strlen("2024-01-31"))
        return mmgr__parse_time(text, ns);
    snprintf(full, sizeof full, "%sT00:00:00Z", text);
    return mmgr__parse_time(full, ns);
}

static char *json_of_text(const char *text)
{
    struct mmgr__buf json = {0};

    mmgr__buf_json_string(&json, text);
    return mmgr__buf_take(&json);
}

static enum mmgr_result take_json(struct mmgr__filter_value *value, enum mmgr__filter_type type,
                                  char *json)
{
    value->type = type;
    value->json = json;
    return json != NULL ? MMGR_OK : mmgr__oom();
}

static enum mmgr_result bad_value(const struct mmgr__filter_test *test,
                                  const struct mmgr__filter_value *value)
{
    return mmgr__filter_fail(value->at, "field \"%s\" takes %s here, not \"%.100s\"", name_of(test),
                             kinds[kind_of(test)].takes, value->text);
}

static enum mmgr_result read_member_value(const struct mmgr__filter_test *test,
                                          struct mmgr__filter_value *value)
{
    unsigned group = ops[test->op].group;
    enum mmgr__filter_type type =
        value->quoted || group == MATCH ? MMGR__FILTER_TEXT : looks_like(value->text);

    if (type == MMGR__FILTER_BOOL && group == ORDER)
        return bad_value(test, value);
    if (type == MMGR__FILTER_TEXT)
        return take_json(value, type, json_of_text(value->text));
    return take_json(value, type,
                     mmgr__strdup(type == MMGR__FILTER_BOOL ? boolean(value->text) : value->text));
}

/* Read a value as the kind of the field asks for. */
static enum mmgr_result read_value(const struct mmgr__filter_test *test,
                                   struct mmgr__filter_value *value)
{
    uint64_t size;
    int64_t time;

    switch (kind_of(test)) {
    case MMGR__FIELD_BOOL:
        if (boolean(value->text) == NULL)
            return bad_value(test, value);
        return take_json(value, MMGR__FILTER_BOOL, mmgr__strdup(boolean(value->text)));
    case MMGR__FIELD_NUMBER:
        if (!mmgr__parse_size(value->text, &size) || size > INT64_MAX)
            return bad_value(test, value);
        return take_json(value, MMGR__FILTER_NUMBER,
                         mmgr__printf("%llu", (unsigned long long)size));
    case MMGR__FIELD_REAL:
        if (!is_json_number(value->text))
            return bad_value(test, value);
        return take_json(value, MMGR__FILTER_NUMBER, mmgr__strdup(value->text));
    case MMGR__FIELD_TIME:
        if (!parse_time(value->text, &time))
            return bad_value(test, value);
        return take_json(value, MMGR__FILTER_NUMBER, mmgr__printf("%lld", (long long)time));
    case MEMBER:
        return read_member_value(test, value);
    default:
        return take_json(value, MMGR__FILTER_TEXT, json_of_text(value->text));
    }
}

enum mmgr_result mmgr__filter_add_value(struct mmgr__filter_test *test, char *text, int quoted,
                                        uint64_t at)
{
    if (!mmgr__grow((void **)&test->values, &test->capacity, test->count + 1,
                    sizeof *test->values)) {
        mmgr__free(text);
        return mmgr__oom();
    }
    test->values[test->count++] =
        (struct mmgr__filter_value){.text = text, .quoted = quoted, .at = at};
    return MMGR_OK;
}

void mmgr__filter_test_free(struct mmgr__filter_test *test)
{
    for (size_t i = 0; i < test->count; i++) {
        mmgr__free(test->values[i].text);
        mmgr__free(test->values[i].json);
    }
    mmgr__free(test->values);
    mmgr__free(test->text);
    mmgr__strings_free(&test->path);
    *test = (struct mmgr__filter_test){.field = NULL};
}

static enum mmgr_result check(struct mmgr__filter_test *test)
{
    const struct mmgr__filter_op_row *op = mmgr__filter_op(test->op);
    enum mmgr_result result = MMGR_OK;

    if ((kinds[kind_of(test)].groups & op->group) == 0)
        return mmgr__filter_fail(test->op_at, "\"%s\" does not apply to field \"%s\", which is %s",
                                 op->text, name_of(test), kinds[kind_of(test)].name);
    for (size_t i = 0; i < test->count && result == MMGR_OK; i++)
        result = read_value(test, &test->values[i]);
    return result;
}

/* ---- text */

static void write_field(struct mmgr__buf *text, const struct mmgr__filter_test *test)
{
    const struct mmgr__strings *path = &test->path;

    if (test->field != NULL) {
        mmgr__buf_puts(text, test->field->name);
        return;
    }
    for (size_t i = 0; i < path->count; i++) {
        const struct mmgr__field *known = mmgr__field_by_name(path->items[i]);
        /* A first name in quotes says that no table knows it, or that the record is meant as it
         * is. */
        int bare = i > 0 ? path->items[i][mmgr__filter_name_length(path->items[i])] == '\0'
                         : path->count > 1 && known != NULL && known->kind == MMGR__FIELD_OBJECT;

        mmgr__buf_puts(text, i > 0 ? "." : "");
        if (bare)
            mmgr__buf_puts(text, path->items[i]);
        else
            mmgr__buf_json_string(text, path->items[i]);
    }
}

static void write_value(struct mmgr__buf *text, const struct mmgr__filter_test *test,
                        const struct mmgr__filter_value *value)
{
    size_t length = mmgr__filter_value_length(value->text);

    if (length == 0 || value->text[length] != '\0' ||
        mmgr__filter_is_keyword(value->text, length) ||
        (test->field == NULL && looks_like(value->text) != value->type))
        mmgr__buf_json_string(text, value->text);
    else
        mmgr__buf_puts(text, value->text);
}

static char *text_of(const struct mmgr__filter_test *test)
{
    int many = ops[test->op].group == IN;
    struct mmgr__buf text = {0};

    write_field(&text, test);
    mmgr__buf_printf(&text, " %s", ops[test->op].text);
    for (size_t i = 0; i < test->count; i++) {
        mmgr__buf_puts(&text, i > 0 ? ", " : many ? " (" : " ");
        write_value(&text, test, &test->values[i]);
    }
    mmgr__buf_puts(&text, many ? ")" : "");
    return mmgr__buf_take(&text);
}

enum mmgr_result mmgr__filter_make(struct mmgr__filter_test *test, mmgr_filter **filter)
{
    mmgr_filter *made = NULL;
    enum mmgr_result result = check(test);

    if (result == MMGR_OK) {
        test->text = text_of(test);
        made = mmgr__alloc0(1, sizeof *made);
        if (test->text == NULL || made == NULL)
            result = mmgr__oom();
        else if (strlen(test->text) > MMGR__FILTER_TEXT_MAX)
            result = mmgr__filter_fail(MMGR_NO_OFFSET, "it is longer than %d bytes",
                                       MMGR__FILTER_TEXT_MAX);
    }
    if (result != MMGR_OK) {
        mmgr__free(made);
        mmgr__filter_test_free(test);
        return result;
    }
    mmgr__refs_init(&made->refs);
    made->kind = MMGR__FILTER_TEST;
    made->tests = 1;
    made->test = *test;
    *test = (struct mmgr__filter_test){.field = NULL};
    *filter = made;
    return MMGR_OK;
}
