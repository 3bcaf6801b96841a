/* SPDX-License-Identifier: MIT */
/* The parser of filter expressions; docs/filters.md has the grammar. It reads the text itself,
 * without a list of tokens before, since what a letter means depends on where it stands: "." is in
 * values and between names. */
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/json.h"
#include "store/filter.h"

struct parser {
    const char *text;
    size_t at;
    size_t tests, nesting;
};

static enum mmgr_result fail(const struct parser *parser, const char *why)
{
    return mmgr__filter_fail(parser->at, "%s", why);
}

static void skip_space(struct parser *parser)
{
    parser->at += strspn(parser->text + parser->at, " \t\r\n");
}

/* Pass a keyword, if it comes next. */
static int accept_word(struct parser *parser, const char *keyword)
{
    size_t length;

    skip_space(parser);
    length = mmgr__filter_name_length(parser->text + parser->at);
    if (length != strlen(keyword) || strncasecmp(parser->text + parser->at, keyword, length) != 0)
        return 0;
    parser->at += length;
    return 1;
}

/* Pass a character, if it comes next. */
static int accept_char(struct parser *parser, char c)
{
    skip_space(parser);
    if (parser->text[parser->at] != c)
        return 0;
    parser->at++;
    return 1;
}

/* ---- texts in quotes */

static int is_high_surrogate(const char *escape)
{
    return (escape[2] == 'd' || escape[2] == 'D') && memchr("89abAB", escape[3], 6) != NULL;
}

/* Append what the escape at the start of the text stands for; its length, or 0. */
static size_t unescape(const char *text, struct mmgr__buf *decoded)
{
    size_t there = strnlen(text, 12), length = text[1] == 'u' ? 6 : 2;
    char out[12];
    int64_t got;

    if (text[1] == '\'') {
        mmgr__buf_puts(decoded, "'");
        return length;
    }
    /* Half of a pair means nothing without the other half. */
    if (length == 6 && there == 12 && is_high_surrogate(text))
        length = 12;
    if (there < length)
        return 0;
    got = mmgr__jscan_unescape(text, length, out);
    if (got <= 0)
        return 0;
    mmgr__buf_append(decoded, out, (size_t)got);
    return length;
}

/* Read the text in quotes at this place. */
static enum mmgr_result read_quoted(struct parser *parser, char **text)
{
    char quote = parser->text[parser->at];
    size_t at = parser->at + 1;
    struct mmgr__buf decoded = {0};
    enum mmgr_result result = MMGR_OK;
    char *taken;

    while (result == MMGR_OK && parser->text[at] != quote) {
        size_t length = 1;

        if (parser->text[at] == '\0')
            result = fail(parser, "a text in quotes has no end");
        else if (parser->text[at] != '\\')
            mmgr__buf_append(&decoded, parser->text + at, 1);
        else if ((length = unescape(parser->text + at, &decoded)) == 0)
            result = mmgr__filter_fail(at, "this escape stands for nothing");
        at += length;
    }
    taken = result == MMGR_OK ? mmgr__buf_take(&decoded) : NULL;
    mmgr__buf_free(&decoded);
    if (result != MMGR_OK)
        return result;
    if (taken == NULL)
        return mmgr__oom();
    parser->at = at + 1;
    *text = taken;
    return MMGR_OK;
}

/* ---- fields */

#define WORD_MAX 32

/* Letters to change, add or leave out to make one word of the other. */
static size_t distance(const char *a, size_t a_length, const char *b)
{
    size_t b_length = strlen(b), row[WORD_MAX + 1];

    if (b_length > WORD_MAX)
        return WORD_MAX;
    for (size_t k = 0; k <= b_length; k++)
        row[k] = k;
    for (size_t i = 1; i <= a_length; i++) {
        size_t corner = row[0];

        row[0] = i;
        for (size_t k = 1; k <= b_length; k++) {
            size_t best = corner + (a[i - 1] != b[k - 1]);

            corner = row[k];
            if (row[k] + 1 < best)
                best = row[k] + 1;
            if (row[k - 1] + 1 < best)
                best = row[k - 1] + 1;
            row[k] = best;
        }
    }
    return row[b_length];
}

static enum mmgr_result unknown_field(const struct parser *parser, size_t at, const char *name)
{
    const struct mmgr__field *field, *nearest = NULL;
    size_t length = strlen(name), least = 3;

    for (uint32_t i = 0; length <= WORD_MAX && (field = mmgr__field_at(i)) != NULL; i++) {
        size_t apart = distance(name, length, field->name);

        /* With as many changes as letters everything is near. */
        if (apart < least && apart < length) {
            least = apart;
            nearest = field;
        }
    }
    if (nearest == NULL)
        return mmgr__filter_fail(at, "there is no field \"%.100s\"", name);
    return mmgr__filter_fail(at, "there is no field \"%.100s\"; did you mean \"%s\"?", name,
                             nearest->name);
}

/* SQLite's paths know no escapes, and a name with one is spelled in more than one way in JSON. */
static int fits_in_path(const char *name)
{
    for (const char *c = name; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\' || (unsigned char)*c < 0x20)
            return 0;
    }
    return name[0] != '\0';
}

/* Read one name of a path; *quoted says how it is written. */
static enum mmgr_result read_name(struct parser *parser, char **name, int *quoted)
{
    size_t at = parser->at, length = mmgr__filter_name_length(parser->text + at);
    enum mmgr_result result;
    char *read;

    *quoted = parser->text[at] == '"';
    if (!*quoted) {
        if (length == 0)
            return fail(parser, "the name of a field is expected here");
        read = mmgr__strndup(parser->text + at, length);
        if (read == NULL)
            return mmgr__oom();
        parser->at += length;
        *name = read;
        return MMGR_OK;
    }
    result = read_quoted(parser, &read);
    if (result != MMGR_OK)
        return result;
    if (!fits_in_path(read)) {
        mmgr__free(read);
        return mmgr__filter_fail(
            at, "a name cannot be empty or hold '\"', '\\' or a control character");
    }
    *name = read;
    return MMGR_OK;
}

/* Add the next name to the path. */
static enum mmgr_result read_step(struct parser *parser, struct mmgr__strings *path)
{
    enum mmgr_result result;
    char *name;
    int quoted;

    if (path->count >= MMGR__FILTER_NESTING_MAX)
        return mmgr__filter_fail(parser->at, "a path has at most %d names",
                                 MMGR__FILTER_NESTING_MAX);
    result = read_name(parser, &name, &quoted);
    if (result != MMGR_OK)
        return result;
    if (!mmgr__strings_add(path, name))
        result = mmgr__oom();
    mmgr__free(name);
    return result;
}

/* What the first name, written without quotes, means: a field, or the way into one. */
static enum mmgr_result find_field(struct parser *parser, size_t at, const char *name,
                                   struct mmgr__filter_test *test)
{
    const struct mmgr__field *field = mmgr__field_by_name(name);

    if (mmgr__filter_is_keyword(name, strlen(name)))
        return mmgr__filter_fail(at, "the name of a field is expected here, not \"%s\"", name);
    if (field == NULL)
        return unknown_field(parser, at, name);
    if (parser->text[parser->at] != '.')
        test->field = field;
    else if (field->kind != MMGR__FIELD_OBJECT)
        return mmgr__filter_fail(parser->at, "field \"%s\" has no members", name);
    return MMGR_OK;
}

static enum mmgr_result read_field(struct parser *parser, struct mmgr__filter_test *test)
{
    size_t at = parser->at;
    enum mmgr_result result;
    char *name;
    int quoted;

    result = read_name(parser, &name, &quoted);
    if (result != MMGR_OK)
        return result;
    if (!quoted)
        result = find_field(parser, at, name, test);
    if (result == MMGR_OK && test->field == NULL && !mmgr__strings_add(&test->path, name))
        result = mmgr__oom();
    mmgr__free(name);
    while (result == MMGR_OK && parser->text[parser->at] == '.') {
        parser->at++;
        result = read_step(parser, &test->path);
    }
    return result;
}

static enum mmgr_result check_text(const char *text)
{
    size_t length = strnlen(text, MMGR__FILTER_TEXT_MAX + 1), at = 0;

    if (length > MMGR__FILTER_TEXT_MAX)
        return mmgr__filter_fail(MMGR__FILTER_TEXT_MAX, "it is longer than %d bytes",
                                 MMGR__FILTER_TEXT_MAX);
    while (at < length) {
        size_t step = 1;

        while (step < 4 && at + step < length && !mmgr__utf8_valid(text + at, step))
            step++;
        if (!mmgr__utf8_valid(text + at, step))
            return mmgr__filter_fail(at, "this is not valid UTF-8");
        at += step;
    }
    return MMGR_OK;
}

enum mmgr_result mmgr__filter_read_field(const char *text, struct mmgr__filter_test *test)
{
    struct parser parser = {.text = text};
    enum mmgr_result result = check_text(text);

    if (result == MMGR_OK)
        result = read_field(&parser, test);
    if (result == MMGR_OK && text[parser.at] != '\0')
        result = fail(&parser, "the name of the field goes on in a way that it cannot");
    return result;
}

/* ---- tests */

static enum mmgr_result read_value(struct parser *parser, struct mmgr__filter_test *test)
{
    const char *word;
    size_t length, at;
    enum mmgr_result result;
    char *text = NULL;

    skip_space(parser);
    at = parser->at;
    word = parser->text + at;
    if (*word == '"' || *word == '\'') {
        result = read_quoted(parser, &text);
        return result == MMGR_OK ? mmgr__filter_add_value(test, text, 1, at) : result;
    }
    length = mmgr__filter_value_length(word);
    if (length == 0)
        return fail(parser, "a value is expected here");
    /* "hash = null" and "a = and b = 2" are slips, not texts. */
    if (mmgr__filter_is_keyword(word, length))
        return mmgr__filter_fail(at, "\"%.*s\" is no value; as a text it must be in quotes",
                                 (int)length, word);
    text = mmgr__strndup(word, length);
    if (text == NULL)
        return mmgr__oom();
    parser->at += length;
    return mmgr__filter_add_value(test, text, 0, at);
}

static enum mmgr_result read_values(struct parser *parser, struct mmgr__filter_test *test)
{
    enum mmgr_result result;

    if (!accept_char(parser, '('))
        return fail(parser, "\"(\" and values are expected after \"in\"");
    do {
        result = read_value(parser, test);
    } while (result == MMGR_OK && accept_char(parser, ','));
    if (result == MMGR_OK && !accept_char(parser, ')'))
        result = fail(parser, "\",\" or \")\" is expected after a value");
    return result;
}

/* Read the op and its values. */
static enum mmgr_result read_condition(struct parser *parser, struct mmgr__filter_test *test)
{
    size_t length;

    skip_space(parser);
    test->op_at = parser->at;
    if (accept_word(parser, "is")) {
        test->op = accept_word(parser, "not") ? MMGR_FILTER_IS_NOT_NULL : MMGR_FILTER_IS_NULL;
        return accept_word(parser, "null") ? MMGR_OK : fail(parser, "\"null\" is expected here");
    }
    if (accept_word(parser, "not")) {
        test->op = MMGR_FILTER_NOT_IN;
        return accept_word(parser, "in") ? read_values(parser, test)
                                         : fail(parser, "\"in\" is expected after \"not\"");
    }
    if (accept_word(parser, "in")) {
        test->op = MMGR_FILTER_IN;
        return read_values(parser, test);
    }
    /* All of them, so that "=~" is not taken for "=" and a value that begins with "~". */
    length = strspn(parser->text + parser->at, "=!<>~^");
    if (length == 0)
        return fail(parser, "an operator is expected here");
    test->op = mmgr__filter_op_find(parser->text + parser->at, length);
    if (test->op == 0)
        return mmgr__filter_fail(parser->at, "there is no operator \"%.*s\"",
                                 (int)(length < 100 ? length : 100), parser->text + parser->at);
    parser->at += length;
    return read_value(parser, test);
}

static enum mmgr_result read_test(struct parser *parser, mmgr_filter **filter)
{
    struct mmgr__filter_test test = {.field = NULL};
    enum mmgr_result result;

    if (++parser->tests > MMGR__FILTER_TESTS_MAX)
        return mmgr__filter_fail(parser->at, "there are more than %d tests",
                                 MMGR__FILTER_TESTS_MAX);
    result = read_field(parser, &test);
    if (result == MMGR_OK)
        result = read_condition(parser, &test);
    if (result == MMGR_OK)
        return mmgr__filter_make(&test, filter);
    mmgr__filter_test_free(&test);
    return result;
}

/* ---- expressions */

static enum mmgr_result read_chain(struct parser *parser, enum mmgr__filter_kind kind,
                                   mmgr_filter **filter);

static enum mmgr_result read_parentheses(struct parser *parser, mmgr_filter **filter)
{
    mmgr_filter *inner;
    enum mmgr_result result = read_chain(parser, MMGR__FILTER_ANY, &inner);

    if (result != MMGR_OK)
        return result;
    if (!accept_char(parser, ')')) {
        mmgr_filter_unref(inner);
        return fail(parser, "\"and\", \"or\" or \")\" is expected here");
    }
    *filter = inner;
    return MMGR_OK;
}

static enum mmgr_result read_not(struct parser *parser, mmgr_filter **filter);

static enum mmgr_result read_negation(struct parser *parser, mmgr_filter **filter)
{
    mmgr_filter *inner;
    const mmgr_filter *item;
    enum mmgr_result result = read_not(parser, &inner);

    if (result != MMGR_OK)
        return result;
    item = inner;
    result = mmgr__filter_join(MMGR__FILTER_NOT, &item, 1, filter);
    mmgr_filter_unref(inner);
    return result;
}

static enum mmgr_result read_not(struct parser *parser, mmgr_filter **filter)
{
    size_t at;
    int negated;
    enum mmgr_result result;

    skip_space(parser);
    at = parser->at;
    negated = accept_word(parser, "not");
    if (!negated && !accept_char(parser, '('))
        return read_test(parser, filter);
    if (++parser->nesting > MMGR__FILTER_NESTING_MAX)
        return mmgr__filter_fail(at, "it nests deeper than %d levels here",
                                 MMGR__FILTER_NESTING_MAX);
    result = negated ? read_negation(parser, filter) : read_parentheses(parser, filter);
    parser->nesting--;
    return result;
}

/* Read what "or" joins, each being what "and" joins. */
static enum mmgr_result read_chain(struct parser *parser, enum mmgr__filter_kind kind,
                                   mmgr_filter **filter)
{
    const char *word = kind == MMGR__FILTER_ANY ? "or" : "and";
    mmgr_filter **items = NULL;
    size_t count = 0, capacity = 0;
    enum mmgr_result result;

    do {
        mmgr_filter *item;

        result = kind == MMGR__FILTER_ANY ? read_chain(parser, MMGR__FILTER_ALL, &item)
                                          : read_not(parser, &item);
        if (result != MMGR_OK)
            break;
        if (!mmgr__grow((void **)&items, &capacity, count + 1, sizeof(mmgr_filter *))) {
            mmgr_filter_unref(item);
            result = mmgr__oom();
            break;
        }
        items[count++] = item;
    } while (accept_word(parser, word));
    if (result == MMGR_OK)
        result = mmgr__filter_join(kind, (const mmgr_filter *const *)items, count, filter);
    for (size_t i = 0; i < count; i++)
        mmgr_filter_unref(items[i]);
    mmgr__free(items);
    return result;
}

enum mmgr_result mmgr_filter_parse(const char *text, mmgr_filter **filter)
{
    struct parser parser = {.text = text};
    mmgr_filter *read;
    enum mmgr_result result;

    if (text == NULL || filter == NULL)
        return mmgr__bad_argument(text == NULL ? "text" : "filter");
    result = check_text(text);
    if (result == MMGR_OK)
        result = read_chain(&parser, MMGR__FILTER_ANY, &read);
    if (result != MMGR_OK)
        return result;
    skip_space(&parser);
    if (text[parser.at] != '\0') {
        mmgr_filter_unref(read);
        return fail(&parser, "\"and\", \"or\" or the end is expected here; a text with blanks or other"
                             " signs stands in quotes");
    }
    *filter = read;
    return MMGR_OK;
}
