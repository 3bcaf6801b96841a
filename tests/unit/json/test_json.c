/* SPDX-License-Identifier: MIT */
/* The JSON scanner and the bounded document parser. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/json.h"

/* Tokens of a text as letters; 'E' at the end for an error, '.' for a sound end. */
static void scan_letters(const char *text, size_t length, char *out, size_t room)
{
    static const char letters[] = ".E{}[]ksntfz";
    struct mmgr__jscan scan;
    size_t done = 0;
    enum mmgr__jscan_kind kind;
    /* An exact copy on the heap, so that a read past the end is seen by a sanitizer. */
    char *copy = malloc(length > 0 ? length : 1);

    memcpy(copy, text, length);
    mmgr__jscan_init(&scan, copy, length);
    do {
        kind = mmgr__jscan_next(&scan);
        assert_true(scan.start <= scan.end && scan.end <= length && scan.at <= length);
        if (done + 1 < room)
            out[done++] = letters[kind];
    } while (kind != MMGR__JSCAN_END && kind != MMGR__JSCAN_ERROR);
    assert_true((kind == MMGR__JSCAN_ERROR) == (scan.problem != NULL));
    assert_int_equal(mmgr__jscan_next(&scan), kind);
    out[done] = '\0';
    free(copy);
}

static void expect_tokens(const char *text, const char *letters)
{
    char found[256];

    scan_letters(text, strlen(text), found, sizeof(found));
    if (strcmp(found, letters) != 0)
        print_error("for %s\n", text);
    assert_string_equal(found, letters);
}

static void sound_documents(void **state)
{
    expect_tokens("{}", "{}.");
    expect_tokens(" [ ] ", "[].");
    expect_tokens("{\"a\":1,\"b\":[true,false,null,\"x\"]}", "{knk[tfzs]}.");
    expect_tokens("\r\n\t {\"a\" : {\"b\" : -1.5e+3 } , \"c\":[[],{}]}", "{k{kn}k[[]{}]}.");
    expect_tokens("0", "n.");
    expect_tokens("-0", "n.");
    expect_tokens("1E5", "n.");
    expect_tokens("\"\"", "s.");
    expect_tokens("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"", "s.");
    expect_tokens("\"\xc3\xa9 a long text beyond one word \xf0\x9f\x98\x80\"", "s.");
}

static void broken_documents(void **state)
{
    static const char *const texts[] = {
        "",
        " ",
        "{",
        "[",
        "}",
        "]",
        "{]",
        "[}",
        "[1,]",
        "{\"a\":1,}",
        "{,}",
        "[,1]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\" 1}",
        "{a:1}",
        "{'a':1}",
        "{1:2}",
        "[1 2]",
        "[1]]",
        "{}{}",
        "{} x",
        "01",
        "-",
        "1.",
        ".5",
        "+1",
        "1e",
        "1e+",
        "0x10",
        "NaN",
        "Infinity",
        "-Infinity",
        "tru",
        "True",
        "nul",
        "\"",
        "\"abc",
        "\"\\x41\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\",
        "\"a\nb\"",
        "\"a\x01\"",
        "\"\x1f\"",
        "\"\xc0\xaf\"",
        "\"\x80\"",
        "\"\xe2\x82\"",
        "\"\xed\xa0\x80\"",
        "\"\xf4\x90\x80\x80\"",
        "/**/1",
        "\xef\xbb\xbf{}",
        "[1,2,3}",
        "\"long enough for a word\x02\"",
        "\v1",
    };
    char found[64];

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        scan_letters(texts[i], strlen(texts[i]), found, sizeof(found));
        if (found[strlen(found) - 1] != 'E')
            print_error("accepted: %s\n", texts[i]);
        assert_int_equal(found[strlen(found) - 1], 'E');
    }
    scan_letters("\"a\0b\"", 5, found, sizeof(found));
    assert_string_equal(found, "E");
    scan_letters("1\0", 2, found, sizeof(found));
    assert_string_equal(found, "nE");
}

/* Every prefix of a sound document is broken, and reading it stays inside. */
static void prefixes(void **state)
{
    const char *text = "{\"ab\\u00e9\":[1.5e3,true,null],\"\xc3\xa4\":{\"x\":\"y\\\"\"}}";
    char found[128];

    for (size_t length = 0; length < strlen(text); length++) {
        scan_letters(text, length, found, sizeof(found));
        assert_int_equal(found[strlen(found) - 1], 'E');
    }
}

static void special_byte_at_each_place(void **state)
{
    /* The word-wise search must find a special byte wherever it stands, whatever surrounds it. */
    char text[48], found[16];

    for (size_t fill = 0x20; fill < 0x100; fill++) {
        if (fill == '"' || fill == '\\' || fill >= 0x80)
            continue;
        for (size_t at = 1; at < 40; at++) {
            memset(text, (int)fill, sizeof(text));
            text[0] = '"';
            text[40] = '"';
            scan_letters(text, 41, found, sizeof(found));
            assert_string_equal(found, "s.");
            text[at] = 0x1f;
            scan_letters(text, 41, found, sizeof(found));
            assert_string_equal(found, "E");
            text[at] = '"';
            scan_letters(text, at + 1, found, sizeof(found));
            assert_string_equal(found, "s.");
            text[at] = (char)0x80;
            scan_letters(text, 41, found, sizeof(found));
            assert_string_equal(found, "E");
        }
    }
}

static void depth_limit(void **state)
{
    char text[1300], found[1400];
    struct mmgr__jscan scan;

    for (size_t depth = 1; depth < 600; depth++) {
        enum mmgr__jscan_kind kind;
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        scan_letters(text, 2 * depth, found, sizeof(found));
        assert_int_equal(found[strlen(found) - 1], depth <= 64 ? '.' : 'E');
        mmgr__jscan_init(&scan, text, 2 * depth);
        scan.max_depth = 1000;
        do {
            kind = mmgr__jscan_next(&scan);
        } while (kind != MMGR__JSCAN_END && kind != MMGR__JSCAN_ERROR);
        assert_int_equal(kind, depth <= 512 ? MMGR__JSCAN_END : MMGR__JSCAN_ERROR);
    }
}

static void spans_and_skip(void **state)
{
    const char *text = "{\"ab\":{\"x\":[1,{}]},\"c\\n\":17,\"d\":\"e\"}";
    struct mmgr__jscan scan;

    mmgr__jscan_init(&scan, text, strlen(text));
    assert_int_equal(mmgr__jscan_next(&scan), MMGR__JSCAN_OBJECT);
    assert_int_equal(mmgr__jscan_next(&scan), MMGR__JSCAN_KEY);
    assert_int_equal(scan.end - scan.start, 2);
    assert_memory_equal(text + scan.start, "ab", 2);
    assert_int_equal(scan.escaped, 0);
    assert_int_equal(mmgr__jscan_skip(&scan, mmgr__jscan_next(&scan)), 1);
    assert_int_equal(text[scan.at], ',');
    assert_int_equal(mmgr__jscan_next(&scan), MMGR__JSCAN_KEY);
    assert_int_equal(scan.escaped, 1);
    assert_int_equal(mmgr__jscan_next(&scan), MMGR__JSCAN_NUMBER);
    assert_memory_equal(text + scan.start, "17", 2);
    assert_int_equal(mmgr__jscan_next(&scan), MMGR__JSCAN_KEY);
    assert_int_equal(mmgr__jscan_skip(&scan, mmgr__jscan_next(&scan)), 1);
    assert_int_equal(mmgr__jscan_next(&scan), MMGR__JSCAN_OBJECT_END);
    assert_int_equal(mmgr__jscan_next(&scan), MMGR__JSCAN_END);
    mmgr__jscan_init(&scan, "[[1,[}]", 7);
    assert_int_equal(mmgr__jscan_skip(&scan, mmgr__jscan_next(&scan)), 0);
}

static void expect_unescaped(const char *text, const char *wanted)
{
    char out[256];
    int64_t length = mmgr__jscan_unescape(text, strlen(text), out);

    if (wanted == NULL) {
        assert_int_equal(length, -1);
        return;
    }
    assert_int_equal(length, strlen(wanted));
    assert_memory_equal(out, wanted, strlen(wanted));
}

static void unescaping(void **state)
{
    expect_unescaped("", "");
    expect_unescaped("plain text of more than eight bytes", "plain text of more than eight bytes");
    expect_unescaped("\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t");
    expect_unescaped("a\\u0041\\u00e9\\u20AC\\ud83d\\ude00z",
                     "aA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z");
    expect_unescaped("\\u0001\\uffff", "\x01\xef\xbf\xbf");
    expect_unescaped("\xc3\xa4\\n", "\xc3\xa4\n");
    expect_unescaped("\\u0000", NULL);
    expect_unescaped("\\ud800", NULL);
    expect_unescaped("\\ud800x", NULL);
    expect_unescaped("\\ud83d\\u0041", NULL);
    expect_unescaped("\\udc00", NULL);
    expect_unescaped("\\x", NULL);
    expect_unescaped("\\", NULL);
    expect_unescaped("\\u12", NULL);
    expect_unescaped("\xff", NULL);
}

static void unsigned_numbers(void **state)
{
    uint64_t value = 7;

    assert_int_equal(mmgr__jscan_u64("0", 1, &value), 1);
    assert_int_equal(value, 0);
    assert_int_equal(mmgr__jscan_u64("18446744073709551615", 20, &value), 1);
    assert_true(value == UINT64_MAX);
    assert_int_equal(mmgr__jscan_u64("18446744073709551616", 20, &value), 0);
    assert_int_equal(mmgr__jscan_u64("99999999999999999999999", 23, &value), 0);
    assert_int_equal(mmgr__jscan_u64("", 0, &value), 0);
    assert_int_equal(mmgr__jscan_u64("01", 2, &value), 0);
    assert_int_equal(mmgr__jscan_u64("-1", 2, &value), 0);
    assert_int_equal(mmgr__jscan_u64("1.0", 3, &value), 0);
    assert_int_equal(mmgr__jscan_u64("1e3", 3, &value), 0);
}

static void documents(void **state)
{
    json_t *root = NULL;
    const char *text = "{\"b\": \"x\",\n \"a\": [1, 2.5, true]}";

    assert_int_equal(mmgr__json_parse(text, strlen(text), MMGR_ERR_PROTOCOL, "the answer", &root),
                     MMGR_OK);
    assert_string_equal(mmgr__json_text(root, "b"), "x");
    assert_null(mmgr__json_text(root, "a"));
    assert_null(mmgr__json_text(root, "c"));
    char *dumped = mmgr__json_dump(root);
    assert_string_equal(dumped, "{\"b\":\"x\",\"a\":[1,2.5,true]}");
    mmgr__free(dumped);
    json_decref(root);
    assert_null(mmgr__json_dump(NULL));
}

static void expect_refused(const char *text, size_t offset, const char *place)
{
    json_t *root = (json_t *)&root;

    assert_int_equal(mmgr__json_parse(text, strlen(text), MMGR_ERR_INVALID_CONFIG, "doc", &root),
                     MMGR_ERR_INVALID_CONFIG);
    assert_ptr_equal(root, (json_t *)&root);
    assert_int_equal(mmgr_error_code(mmgr_last_error()), MMGR_ERR_INVALID_CONFIG);
    assert_int_equal(mmgr_error_offset(mmgr_last_error()), offset);
    if (strstr(mmgr_error_message(mmgr_last_error()), place) == NULL)
        print_error("%s\n", mmgr_error_message(mmgr_last_error()));
    assert_non_null(strstr(mmgr_error_message(mmgr_last_error()), place));
}

static void refused_documents(void **state)
{
    char deep[200];

    expect_refused("{\"a\":1,\n  \"b\" 2}", 14, "line 2, column 7");
    expect_refused("[\"\xc3\xa4\" x]", 6, "line 1, column 6");
    expect_refused("", 0, "line 1, column 1");
    memset(deep, '[', 100);
    memset(deep + 100, ']', 99);
    deep[199] = '\0';
    expect_refused(deep, 64, "nested too deep");
    json_t *root = NULL;
    assert_int_equal(mmgr__json_parse("{\"a\":1,\"a\":2}", 13, MMGR_ERR_PROTOCOL, "doc", &root),
                     MMGR_ERR_PROTOCOL);
    assert_int_equal(mmgr__json_parse("\"\\u0000\"", 8, MMGR_ERR_PROTOCOL, "doc", &root),
                     MMGR_ERR_PROTOCOL);
    assert_int_equal(mmgr__json_parse("\"\\ud800\"", 8, MMGR_ERR_PROTOCOL, "doc", &root),
                     MMGR_ERR_PROTOCOL);
    assert_null(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_documents), cmocka_unit_test(broken_documents),
        cmocka_unit_test(prefixes),        cmocka_unit_test(special_byte_at_each_place),
        cmocka_unit_test(depth_limit),     cmocka_unit_test(spans_and_skip),
        cmocka_unit_test(unescaping),      cmocka_unit_test(unsigned_numbers),
        cmocka_unit_test(documents),       cmocka_unit_test(refused_documents),
    };

    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
