/* SPDX-License-Identifier: MIT */
/* Filters as text: what is refused and where, the canonical text, and filters that are put
 * together. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "filter_steps.h"

/* ---- refusals */

static const struct {
    const char *text;
    uint64_t at;
    const char *message;
} refusals[] = {
    {"", 0, "filter: at byte 0: the name of a field is expected here"},
    {"  ", 2, "the name of a field is expected"},
    {"name = a and ", 13, "the name of a field is expected"},
    {"name = a or or name = b", 12, "expected here, not \"or\""},
    {"and name = a", 0, "expected here, not \"and\""},
    {"5 = 5", 0, "the name of a field is expected"},
    {"      nmae = x", 6, "at byte 6: there is no field \"nmae\"; did you mean \"name\"?"},
    {"tag = x", 0, "did you mean \"tags\"?"},
    {"filesize > 1", 0, "did you mean \"file_size\"?"},
    {"Name = x", 0, "did you mean \"name\"?"},
    {"x = 1", 0, "filter: at byte 0: there is no field \"x\""},
    {"location = a", 0, "there is no field \"location\""},
    {"a_word_that_is_much_longer_than_any_field = a", 0, "there is no field"},
    {"name.x = 1", 4, "field \"name\" has no members"},
    {"tags.x = 1", 4, "field \"tags\" has no members"},
    {"default_settings. = 1", 17, "the name of a field is expected"},
    {"default_settings .a = 1", 17, "an operator is expected"},
    {"default_settings.1 = 1", 17, "the name of a field is expected"},
    {"\"\" = 1", 0, "a name cannot be empty"},
    {"\"a\".\"\\\"\" = 1", 4, "a name cannot be empty or hold '\"'"},
    {"\"a\\\\b\" = 1", 0, "a name cannot be empty or hold"},
    {"\"a\\nb\" = 1", 0, "a name cannot be empty or hold"},
    {"'name' = 1", 0, "the name of a field is expected"},
    {"name", 4, "an operator is expected"},
    {"name x", 5, "an operator is expected"},
    {"name == x", 5, "there is no operator \"==\""},
    {"name =~ x", 5, "there is no operator \"=~\""},
    {"name <> x", 5, "there is no operator \"<>\""},
    {"name ! x", 5, "there is no operator \"!\""},
    {"name =", 6, "a value is expected"},
    {"name = )", 7, "a value is expected"},
    {"name = \u00fcber", 7, "a value is expected"},
    {"name = null", 7, "\"null\" is no value"},
    {"name = and type = main", 7, "\"and\" is no value"},
    {"name is x", 8, "\"null\" is expected"},
    {"name is not x", 12, "\"null\" is expected"},
    {"name not x", 9, "\"in\" is expected after \"not\""},
    {"name in x", 8, "\"(\" and values are expected"},
    {"name in ()", 9, "a value is expected"},
    {"name in (a,)", 11, "a value is expected"},
    {"name in (a b)", 11, "\",\" or \")\" is expected"},
    {"name in (a", 10, "\",\" or \")\" is expected"},
    {"name = a b", 9, "\"and\", \"or\" or the end is expected"},
    {"name = a)", 8, "\"and\", \"or\" or the end is expected"},
    {"(name = a", 9, "\"and\", \"or\" or \")\" is expected"},
    {"(name = a name = b)", 10, "\"and\", \"or\" or \")\" is expected"},
    {"name = \"a", 7, "a text in quotes has no end"},
    {"name = 'a\\'", 7, "a text in quotes has no end"},
    {"name = 'a\\", 9, "this escape stands for nothing"},
    {"name = 'a\\x'", 9, "this escape stands for nothing"},
    {"name = 'a\\u12'", 9, "this escape stands for nothing"},
    {"name = 'a\\u0000'", 9, "this escape stands for nothing"},
    {"name = 'a\\ud800'", 9, "this escape stands for nothing"},
    {"name = 'a\\ud800\\u0041'", 9, "this escape stands for nothing"},
    {"name = 'a\\udc00\\ud800'", 9, "this escape stands for nothing"},
    {"name = 'a' and \xff", 15, "this is not valid UTF-8"},
    {"name = '\xc3'", 8, "this is not valid UTF-8"},
    {"name = '\xed\xa0\x80'", 8, "this is not valid UTF-8"},
    /* op and kind */
    {"tags < a", 5, "\"<\" does not apply to field \"tags\", which is a list"},
    {"bases >= a", 6, "does not apply"},
    {"upcast_attention > true", 17, "which is true or false"},
    {"upcast_attention in (true)", 17, "\"in\" does not apply"},
    {"upcast_attention ~ true", 17, "does not apply"},
    {"file_size ~ 1", 10, "\"~\" does not apply to field \"file_size\", which is a number"},
    {"file_size ^= 1", 10, "does not apply"},
    {"created_at !~ 1", 11, "which is a time"},
    {"default_settings = a", 17,
     "\"=\" does not apply to field \"default_settings\", which is an object"},
    {"default_settings in (a)", 17, "does not apply"},
    /* values */
    {"file_size = abc", 12,
     "field \"file_size\" takes a size such as 1024 or 2GiB here, not \"abc\""},
    {"file_size = -1", 12, "takes a size"},
    {"file_size in (1, 2x)", 17, "not \"2x\""},
    {"file_size = 9223372036854775808", 12, "takes a size"},
    {"upcast_attention = 1", 19, "field \"upcast_attention\" takes true or false here, not \"1\""},
    {"created_at > yesterday", 13, "takes a time such as 2024-01-31"},
    {"created_at > 2024-02-30", 13, "takes a time"},
    {"created_at > 2024-01", 13, "takes a time"},
    {"created_at > 2024-01-31T12:00:00", 13, "takes a time"},
    {"default_settings.on < true", 22,
     "field \"on\" takes a value that has an order here, not \"true\""},
};

static void refuses(void **state)
{
    for (size_t i = 0; i < COUNT(refusals); i++) {
        mmgr_filter *filter = (mmgr_filter *)&refusals;
        enum mmgr_result result = mmgr_filter_parse(refusals[i].text, &filter);

        if (result != MMGR_ERR_ARGUMENT)
            fail_msg("\"%s\" is not refused", refusals[i].text);
        assert_error(result, MMGR_ERR_ARGUMENT, refusals[i].message, "filter", NULL);
        if (mmgr_error_offset(mmgr_last_error()) != refusals[i].at)
            fail_msg("\"%s\": at byte %llu, not %llu", refusals[i].text,
                     (unsigned long long)mmgr_error_offset(mmgr_last_error()),
                     (unsigned long long)refusals[i].at);
        assert_ptr_equal(filter, &refusals);
    }
}

/* Only what is near is proposed. */
static void proposes_what_is_near(void **state)
{
    mmgr_filter *filter = NULL;

    assert_int_equal(mmgr_filter_parse("xy = 1", &filter), MMGR_ERR_ARGUMENT);
    assert_string_equal(mmgr_error_message(mmgr_last_error()),
                        "filter: at byte 0: there is no field \"xy\"");
    assert_int_equal(mmgr_filter_parse("bese = 1", &filter), MMGR_ERR_ARGUMENT);
    assert_string_equal(mmgr_error_message(mmgr_last_error()),
                        "filter: at byte 0: there is no field \"bese\"; did you mean \"base\"?");
    assert_null(filter);
}

/* ---- canonical text */

static void text_is_canonical(void **state)
{
    static const struct {
        const char *text, *canonical;
    } cases[] = {
        {" name\n=\t'a' ", "name = a"},
        {"name='a b'", "name = \"a b\""},
        {"name=''", "name = \"\""},
        {"name='null'", "name = \"null\""},
        {"name='AND'", "name = \"AND\""},
        {"name='true'", "name = true"},
        {"name='5'", "name = 5"},
        {"name='\"\\'\\\\\\n\\t\\r\\u0001\\u00fc\\ud83d\\ude00\\/'",
         "name = \"\\\"'\\\\\\n\\t\\r\\u0001\u00fc\U0001f600/\""},
        {"file_size='2GiB'", "file_size = 2GiB"},
        {"file_size=\"2 GiB\"", "file_size = \"2 GiB\""},
        {"tags NOT  IN('a',b , \"c,\")", "tags not in (a, b, \"c,\")"},
        {"hash Is Null", "hash is null"},
        {"hash IS NOT NULL", "hash is not null"},
        {"\"x\".\"a\".\"b c\" = 1", "\"x\".a.\"b c\" = 1"},
        {"\"x\" = '1'", "\"x\" = \"1\""},
        {"\"x\" = 1.50", "\"x\" = 1.50"},
        {"\"x\" in ('a', 'true', TRUE, '1', 01)", "\"x\" in (a, \"true\", TRUE, \"1\", 01)"},
        {"\"x\" ~ 1", "\"x\" ~ \"1\""},
        {"\"default_settings\".width = 1", "default_settings.width = 1"},
        {"\"default_settings\" is null", "\"default_settings\" is null"},
        {"\"name\".a = 1", "\"name\".a = 1"},
        {"default_settings.not.\"1\" = 1", "default_settings.not.\"1\" = 1"},
        {"((name=a))", "name = a"},
        {"name=a and (name=b and name=c)", "name = a and name = b and name = c"},
        {"name=a or (name=b and name=c)", "name = a or name = b and name = c"},
        {"(name=a or name=b) and name=c", "(name = a or name = b) and name = c"},
        {"(name=a or name=b) or name=c", "name = a or name = b or name = c"},
        {"not(name=a)", "not name = a"},
        {"not not(name=a and name=b)", "not not (name = a and name = b)"},
        {"not name=a and name=b", "not name = a and name = b"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        mmgr_filter *filter = parsed(cases[i].text), *again = parsed(cases[i].canonical);

        assert_string_equal(text_of(filter), cases[i].canonical);
        assert_string_equal(text_of(again), cases[i].canonical);
        mmgr_filter_unref(filter);
        mmgr_filter_unref(again);
    }
}

/* ---- putting together */

static mmgr_filter *test_of(const char *field, enum mmgr_filter_op op, const char *const *values,
                            uint32_t count)
{
    mmgr_filter *filter = NULL;

    assert_ok(mmgr_filter_test(field, op, values, count, &filter));
    return filter;
}

static void assert_same(mmgr_filter *filter, const char *text)
{
    mmgr_filter *same = parsed(text);

    assert_string_equal(text_of(filter), text_of(same));
    mmgr_filter_unref(same);
    mmgr_filter_unref(filter);
}

static void built_is_as_parsed(void **state)
{
    static const char *const one[] = {"a b"}, *const number[] = {"1024"}, *const flag[] = {"true"};
    static const char *const some[] = {"1", "x", "false", "'q'"}, *const size[] = {"2 GiB"};
    static const enum mmgr_filter_op with_one[] = {
        MMGR_FILTER_EQ,       MMGR_FILTER_NE,           MMGR_FILTER_LT,
        MMGR_FILTER_LE,       MMGR_FILTER_GT,           MMGR_FILTER_GE,
        MMGR_FILTER_CONTAINS, MMGR_FILTER_NOT_CONTAINS, MMGR_FILTER_STARTS_WITH};
    static const char *const written[] = {"=", "!=", "<", "<=", ">", ">=", "~", "!~", "^="};
    const mmgr_filter *parts[3];
    mmgr_filter *all, *any, *negated = NULL;

    for (size_t i = 0; i < COUNT(with_one); i++) {
        char text[64];

        snprintf(text, sizeof text, "name %s 'a b'", written[i]);
        assert_same(test_of("name", with_one[i], one, 1), text);
    }
    assert_same(test_of("tags", MMGR_FILTER_IN, some, 4), "tags in (1, x, false, \"'q'\")");
    assert_same(test_of("\"x\"", MMGR_FILTER_NOT_IN, some, 4),
                "\"x\" not in (1, x, false, \"'q'\")");
    assert_same(test_of("default_settings.\"a b\".c", MMGR_FILTER_GE, number, 1),
                "default_settings.\"a b\".c >= 1024");
    assert_same(test_of("\"x\"", MMGR_FILTER_EQ, flag, 1), "\"x\" = true");
    assert_same(test_of("file_size", MMGR_FILTER_LT, size, 1), "file_size < '2 GiB'");
    assert_same(test_of("hash", MMGR_FILTER_IS_NULL, NULL, 0), "hash is null");
    assert_same(test_of("hash", MMGR_FILTER_IS_NOT_NULL, one, 0), "hash is not null");

    parts[0] = test_of("type", MMGR_FILTER_EQ, some + 1, 1);
    parts[1] = test_of("tags", MMGR_FILTER_EQ, some, 1);
    assert_ok(mmgr_filter_any(parts, 2, &any));
    parts[2] = any;
    assert_ok(mmgr_filter_all(parts, 3, &all));
    assert_ok(mmgr_filter_not(all, &negated));
    for (int i = 0; i < 3; i++)
        mmgr_filter_unref((mmgr_filter *)parts[i]);
    assert_same(mmgr_filter_ref(all), "type = x and tags = 1 and (type = x or tags = 1)");
    mmgr_filter_unref(all);
    assert_same(negated, "not (type = x and tags = 1 and (type = x or tags = 1))");
}

/* One alone is itself, and adding one by one does not nest. */
static void joining_stays_flat(void **state)
{
    mmgr_filter *sum = parsed("name = a"), *next = NULL;
    const mmgr_filter *parts[] = {sum, NULL};

    assert_ok(mmgr_filter_all(parts, 1, &next));
    assert_ptr_equal(next, sum);
    mmgr_filter_unref(next);
    parts[1] = parsed("name = b");
    for (int i = 1; i < MMGR__FILTER_TESTS_MAX; i++) {
        parts[0] = sum;
        assert_ok(mmgr_filter_all(parts, 2, &next));
        mmgr_filter_unref(sum);
        sum = next;
    }
    assert_int_equal(sum->count, MMGR__FILTER_TESTS_MAX);
    assert_int_equal(sum->nesting, 0);
    parts[0] = sum;
    assert_error(mmgr_filter_all(parts, 2, &next), MMGR_ERR_ARGUMENT,
                 "filter: it has more than 256 tests", "filter", NULL);
    assert_int_equal(mmgr_error_offset(mmgr_last_error()), MMGR_NO_OFFSET);
    mmgr_filter_unref(sum);
    mmgr_filter_unref((mmgr_filter *)parts[1]);
}

static void building_refuses(void **state)
{
    static const char *const values[] = {"a", NULL}, *const bad[] = {"\xff"};
    const mmgr_filter *none[] = {NULL};
    mmgr_filter *filter = NULL;
    char *big = malloc(MMGR__FILTER_TEXT_MAX + 2);
    const char *const long_value[] = {big};

    assert_error(mmgr_filter_test("name", (enum mmgr_filter_op)0, values, 1, &filter),
                 MMGR_ERR_ARGUMENT, NULL, "op", NULL);
    assert_error(mmgr_filter_test("name", (enum mmgr_filter_op)14, values, 1, &filter),
                 MMGR_ERR_ARGUMENT, NULL, "op", NULL);
    assert_error(mmgr_filter_test("name", MMGR_FILTER_EQ, values, 2, &filter), MMGR_ERR_ARGUMENT,
                 "\"=\" does not take 2 values", "filter", NULL);
    assert_error(mmgr_filter_test("name", MMGR_FILTER_IN, values, 0, &filter), MMGR_ERR_ARGUMENT,
                 "\"in\" does not take 0 values", "filter", NULL);
    assert_error(mmgr_filter_test("name", MMGR_FILTER_IS_NULL, values, 1, &filter),
                 MMGR_ERR_ARGUMENT, "does not take 1 values", "filter", NULL);
    assert_error(mmgr_filter_test("name", MMGR_FILTER_IN, values, 2, &filter), MMGR_ERR_ARGUMENT,
                 NULL, "values", NULL);
    assert_error(mmgr_filter_test("name", MMGR_FILTER_EQ, NULL, 1, &filter), MMGR_ERR_ARGUMENT,
                 NULL, "values", NULL);
    assert_error(mmgr_filter_test("name", MMGR_FILTER_EQ, bad, 1, &filter), MMGR_ERR_ARGUMENT,
                 "not valid UTF-8", "filter", NULL);
    assert_error(mmgr_filter_test("nmae", MMGR_FILTER_EQ, values, 1, &filter), MMGR_ERR_ARGUMENT,
                 "at byte 0: there is no field", "filter", NULL);
    assert_error(mmgr_filter_test("name x", MMGR_FILTER_EQ, values, 1, &filter), MMGR_ERR_ARGUMENT,
                 "at byte 4: the name of the field", "filter", NULL);
    assert_error(mmgr_filter_test("", MMGR_FILTER_EQ, values, 1, &filter), MMGR_ERR_ARGUMENT,
                 "at byte 0", "filter", NULL);
    assert_error(mmgr_filter_test("file_size", MMGR_FILTER_EQ, values, 1, &filter),
                 MMGR_ERR_ARGUMENT, "filter: field \"file_size\" takes a size", "filter", NULL);
    assert_error(mmgr_filter_test("tags", MMGR_FILTER_LT, values, 1, &filter), MMGR_ERR_ARGUMENT,
                 "filter: \"<\" does not apply", "filter", NULL);
    memset(big, 'a', MMGR__FILTER_TEXT_MAX + 1);
    big[MMGR__FILTER_TEXT_MAX + 1] = '\0';
    assert_error(mmgr_filter_test("name", MMGR_FILTER_EQ, long_value, 1, &filter),
                 MMGR_ERR_ARGUMENT, "it is longer than 65536 bytes", "filter", NULL);
    assert_error(mmgr_filter_all(none, 1, &filter), MMGR_ERR_ARGUMENT, NULL, "filters", NULL);
    assert_error(mmgr_filter_any(none, 0, &filter), MMGR_ERR_ARGUMENT, NULL, "count", NULL);
    assert_null(filter);
    free(big);
}

/* The last: what the others have made is gone. */
static void all_memory_is_free(void **state)
{
    assert_int_equal(mmgr__alloc_live(), 0);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(refuses),
        TEST(proposes_what_is_near),
        TEST(text_is_canonical),
        TEST(built_is_as_parsed),
        TEST(joining_stays_flat),
        TEST(building_refuses),
        TEST(all_memory_is_free),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
