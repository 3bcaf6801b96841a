/* SPDX-License-Identifier: MIT */
/* Paths as text, and the nasty names that come from outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/path.h"
#include "base/text.h"

static void same(char *got, const char *expected)
{
    assert_non_null(got);
    assert_string_equal(got, expected);
    mmgr__free(got);
}

static void test_text(void **state)
{
    same(mmgr__path_join("/a", "b"), "/a/b");
    same(mmgr__path_join("/a/", "b"), "/a/b");
    same(mmgr__path_join("/", "b"), "/b");
    same(mmgr__path_join("", "b"), "b");
    same(mmgr__path_join("a//", "/b/c"), "a/b/c");
    same(mmgr__path_dirname("/a/b"), "/a");
    same(mmgr__path_dirname("/a"), "/");
    same(mmgr__path_dirname("a"), ".");
    same(mmgr__path_dirname("a/b/"), "a");
    same(mmgr__path_dirname("/a//b"), "/a");
    assert_string_equal(mmgr__path_basename("/a/b.x"), "b.x");
    assert_string_equal(mmgr__path_basename("b"), "b");
    assert_string_equal(mmgr__path_inside("/a/b/c", "/a"), "b/c");
    assert_string_equal(mmgr__path_inside("/a/b", "/a/"), "b");
    assert_string_equal(mmgr__path_inside("/a", "/"), "a");
    assert_null(mmgr__path_inside("/ab/c", "/a"));
    assert_null(mmgr__path_inside("/a", "/a"));
    assert_null(mmgr__path_inside("/a/", "/a"));
}

static void test_absolute(void **state)
{
    char folder[4096], expected[8200];
    setenv("HOME", "/home/someone", 1);
    same(mmgr__path_absolute("~"), "/home/someone");
    same(mmgr__path_absolute("~/x"), "/home/someone/x");
    same(mmgr__path_absolute("/a/./b//../c/"), "/a/c");
    same(mmgr__path_absolute("/.."), "/");
    same(mmgr__path_absolute("/a/../../.."), "/");
    assert_non_null(getcwd(folder, sizeof folder));
    snprintf(expected, sizeof expected, "%s/x", folder);
    same(mmgr__path_absolute("x"), expected);
    snprintf(expected, sizeof expected, "%s/~x", folder);
    same(mmgr__path_absolute("~x"), expected);
}

static void test_check(void **state)
{
    static const char *const good[] = {"a",   "a/b.c", "unet/x.safetensors",        "..a", "a..",
                                       "...", "ab:c",  "\xc3\xa9/\xf0\x9f\x98\x80", " a",  "-rf",
                                       "~"};
    static const char *const bad[] = {"",     "/",        "/a",    "a/",     "a//b",  ".",
                                      "..",   "a/..",     "../a",  "a/../b", "a/./b", "a\\b",
                                      "C:",   "C:x",      "a:b",   "a/c:/b", "a\nb",  "a\x7f",
                                      "\xff", "\xc0\xaf", "a/\x01"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(mmgr__path_check_relative(good[i]), MMGR_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (mmgr__path_check_relative(bad[i]) != MMGR_ERR_UNSAFE_PATH)
            fail_msg("accepted: %s", bad[i]);
    char text[5000];
    memset(text, 'a', sizeof text);
    text[255] = '\0';
    assert_int_equal(mmgr__path_check_relative(text), MMGR_OK);
    text[255] = 'a';
    text[256] = '\0';
    assert_int_equal(mmgr__path_check_relative(text), MMGR_ERR_UNSAFE_PATH);
    for (size_t i = 100; i < sizeof text; i += 100)
        text[i] = '/';
    text[256] = 'a';
    text[4096] = '\0';
    assert_int_equal(mmgr__path_check_relative(text), MMGR_OK);
    text[4096] = 'a';
    text[4097] = '\0';
    assert_int_equal(mmgr__path_check_relative(text), MMGR_ERR_UNSAFE_PATH);
    assert_int_equal(mmgr__path_check_component("a"), MMGR_OK);
    assert_int_equal(mmgr__path_check_component("a/b"), MMGR_ERR_UNSAFE_PATH);
    assert_int_equal(mmgr__path_check_component(".."), MMGR_ERR_UNSAFE_PATH);
    assert_string_equal(mmgr_error_subject(mmgr_last_error()), "..");
}

static void test_portable(void **state)
{
    static const struct {
        const char *from, *to;
    } rows[] = {
        {"model", "model"},
        {"Model v1.5 (fp16)", "Model v1.5 (fp16)"},
        {"", "unnamed"},
        {".", "unnamed"},
        {"..", "unnamed"},
        {"...", "unnamed"},
        {"   ", "unnamed"},
        {"a/b\\c", "a_b_c"},
        {"../../etc/passwd", "_._.._etc_passwd"},
        {"name.", "name"},
        {"name. . ", "name"},
        {"  name", "name"},
        {"CON", "_CON"},
        {"con.txt", "_con.txt"},
        {"aux.bin", "_aux.bin"},
        {"AUX .bin", "_AUX .bin"},
        {"nul", "_nul"},
        {"COM1", "_COM1"},
        {"lpt9.x", "_lpt9.x"},
        {"com\xc2\xb9", "_com\xc2\xb9"},
        {"conin$", "_conin$"},
        {"console", "console"},
        {"COM10", "COM10"},
        {"a:b", "a_b"},
        {"a<b>c\"d|e?f*g", "a_b_c_d_e_f_g"},
        {"-rf", "_rf"},
        {"~root", "_root"},
        {".hidden", "_hidden"},
        {"a\nb\x1b"
         "c\x7f",
         "a_b_c_"},
        {"a\xe2\x80\xae"
         "b",
         "a_b"}, /* right-to-left override */
        {"a\xe2\x80\x8b"
         "b",
         "a_b"}, /* zero width space */
        {"\xef\xbb\xbf"
         "a",
         "_a"}, /* byte order mark */
        {"a\xff"
         "b\xc3",
         "a_b_"}, /* no UTF-8 */
        {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
        {"e\xcc\x81", "e\xcc\x81"}, /* NFD stays NFD: twins meet at the exclusive mkdir */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        same(mmgr__path_portable_name(rows[i].from), rows[i].to);
}

static void test_portable_length(void **state)
{
    char text[1000];
    for (size_t lead = 0; lead < 4; lead++) {
        memset(text, 'a', lead);
        size_t at = lead;
        for (; at < 300; at += 3)
            memcpy(text + at, "\xe2\x82\xac", 3);
        strcpy(text + at, ".safetensors");
        char *name = mmgr__path_portable_name(text);
        size_t length = strlen(name);
        assert_true(length <= 200 && length >= 198);
        assert_true(mmgr__utf8_valid(name, length));
        assert_true(mmgr__ends_with(name, ".safetensors"));
        assert_int_equal(mmgr__path_check_component(name), MMGR_OK);
        mmgr__free(name);
    }
}

/* Whatever the bytes, the result is one safe component, and reducing it again changes nothing. */
static void test_portable_property(void **state)
{
    static const char alphabet[] = "aZ./\\: ~-\x01\x7f\xc3\xa9\xe2\x80\xae\xffnulCON9*";
    uint32_t random = 1;
    for (int round = 0; round < 20000; round++) {
        char text[16];
        size_t length = (size_t)round % sizeof text;
        for (size_t i = 0; i < length; i++) {
            random = random * 1664525u + 1013904223u;
            text[i] = alphabet[(random >> 16) % (sizeof alphabet - 1)];
        }
        text[length] = '\0';
        char *name = mmgr__path_portable_name(text);
        assert_int_equal(mmgr__path_check_component(name), MMGR_OK);
        same(mmgr__path_portable_name(name), name);
        mmgr__free(name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_absolute),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_portable),
        cmocka_unit_test(test_portable_length),
        cmocka_unit_test(test_portable_property),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
