/* SPDX-License-Identifier: MIT */
/* Text: buffers, UTF-8, numbers, lists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"

static void test_buffer(void **state)
{
    struct mmgr__buf buf = {0};
    mmgr__buf_puts(&buf, "a");
    mmgr__buf_printf(&buf, "%d", 12);
    mmgr__buf_append(&buf, "xyz", 2);
    char *text = mmgr__buf_take(&buf);
    assert_string_equal(text, "a12xy");
    mmgr__free(text);
    text = mmgr__buf_take(&buf);
    assert_string_equal(text, "");
    mmgr__free(text);
    struct mmgr__buf small = {.limit = 4};
    mmgr__buf_puts(&small, "1234");
    assert_false(small.failed);
    mmgr__buf_puts(&small, "5");
    assert_true(small.failed);
    mmgr__buf_puts(&small, "");
    assert_null(mmgr__buf_take(&small));
    assert_false(small.failed);
    mmgr__alloc_fail_at(1, 0);
    mmgr__buf_puts(&buf, "x");
    mmgr__buf_puts(&buf, "y");
    mmgr__alloc_fail_at(0, 0);
    assert_null(mmgr__buf_take(&buf));
}

static void test_json_string(void **state)
{
    struct mmgr__buf buf = {0};
    mmgr__buf_json_string(&buf, "ab\"\\\n\t\r\x01\x7f\xc3\xa9 c\xff");
    mmgr__buf_json_string(&buf, NULL);
    char *text = mmgr__buf_take(&buf);
    assert_string_equal(text, "\"ab\\\"\\\\\\n\\t\\r\\u0001\\u007f\xc3\xa9 c\xef\xbf\xbd\"null");
    mmgr__free(text);
}

static void test_utf8(void **state)
{
    static const char *const good[] = {"",
                                       "a",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xef\xbf\xbf",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xc2\x61",
                                      "\xe0\x9f\xbf",
                                      "\xe2\x82",
                                      "\xed\xa0\x80",
                                      "\xed\xbf\xbf",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "a\xfe"};
    /* At each place within a word, with ASCII before and behind. */
    for (int before = 0; before <= 16; before++) {
        char text[64];
        for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
            int length = snprintf(text, sizeof text, "%.*s%s%s", before, "0123456789abcdef",
                                  good[i], before % 3 == 0 ? "" : "0123456789");
            assert_true(mmgr__utf8_valid(text, (size_t)length));
        }
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            int length = snprintf(text, sizeof text, "%.*s%s%s", before, "0123456789abcdef", bad[i],
                                  before % 3 == 0 ? "" : "0123456789");
            assert_false(mmgr__utf8_valid(text, (size_t)length));
        }
    }
    assert_true(mmgr__utf8_valid("a\0b", 3));
}

static void test_small_helpers(void **state)
{
    assert_true(mmgr__starts_with("abc", "ab"));
    assert_false(mmgr__starts_with("a", "ab"));
    assert_true(mmgr__ends_with("abc", "bc"));
    assert_false(mmgr__ends_with("c", "bc"));
    assert_true(mmgr__ends_with_nocase("x.SafeTensors", ".safetensors"));
    assert_false(mmgr__ends_with("x.SafeTensors", ".safetensors"));
    assert_true(mmgr__is_hex("09afAF", 6));
    assert_false(mmgr__is_hex("09afAF", 5));
    assert_false(mmgr__is_hex("09", 3));
    assert_false(mmgr__is_hex("0g", 2));
}

static void test_numbers(void **state)
{
    uint64_t value = 7;
    assert_true(mmgr__parse_u64("18446744073709551615", &value));
    assert_true(value == UINT64_MAX);
    static const char *const bad[] = {"",    "-1", "+1", " 1", "1 ", "18446744073709551616",
                                      "0x1", "1e3"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(mmgr__parse_u64(bad[i], &value));
    assert_true(value == UINT64_MAX);
}

static void test_sizes(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {
        {"0", 0},
        {"1024", 1024},
        {"4 GiB", 4294967296u},
        {"20GB", 20000000000u},
        {"512M", 536870912},
        {"1k", 1024},
        {"1kb", 1000},
        {"7 B", 7},
        {"1T", 1099511627776u},
        {"2TB", 2000000000000u},
        {"1.5 GiB", 1610612736},
        {"0.25M", 262144},
        {"16777215 TiB", 18446742974197923840u},
    };
    static const char *const bad[] = {"",       "GiB", "-1",           "1.5",
                                      "1.",     ".5M", "1 XB",         "1 GiBs",
                                      "1 G iB", "1e3", "16777216 TiB", "99999999999999999999",
                                      "1,5 GiB"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        uint64_t bytes = 99;
        if (!mmgr__parse_size(good[i].text, &bytes) || bytes != good[i].bytes)
            fail_msg("%s: %llu", good[i].text, (unsigned long long)bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint64_t bytes = 99;
        if (mmgr__parse_size(bad[i], &bytes) || bytes != 99)
            fail_msg("accepted: %s", bad[i]);
    }
}

static void test_strings(void **state)
{
    struct mmgr__strings list = {0};
    assert_true(mmgr__strings_add(&list, "b"));
    assert_true(mmgr__strings_add(&list, "a"));
    assert_true(mmgr__strings_has(&list, "a"));
    assert_false(mmgr__strings_has(&list, "c"));
    mmgr__strings_sort(&list);
    assert_string_equal(list.items[0], "a");
    mmgr__alloc_fail_at(1, 0);
    assert_false(mmgr__strings_add(&list, "c"));
    mmgr__alloc_fail_at(0, 0);
    assert_int_equal(list.count, 2);
    mmgr__strings_free(&list);
    assert_int_equal(mmgr__alloc_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buffer),  cmocka_unit_test(test_json_string),
        cmocka_unit_test(test_utf8),    cmocka_unit_test(test_small_helpers),
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
