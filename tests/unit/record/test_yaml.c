/* SPDX-License-Identifier: MIT */
/* The YAML reader: the tree it makes and everything that it refuses, with line and column. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/yaml.h"

static struct mmgr__yaml *parse(const char *text)
{
    struct mmgr__yaml *root = NULL;

    if (mmgr__yaml_parse(text, strlen(text), MMGR_ERR_INVALID_CONFIG, "t.yaml", &root) != MMGR_OK)
        fail_msg("%s", mmgr_error_message(mmgr_last_error()));
    return root;
}

static void tree(void **state)
{
    struct mmgr__yaml *root = parse("# head\n"
                                    "a: 1\n"
                                    "b:\n"
                                    "  - x\n"
                                    "  - {c: '5', d: [p, q]}\n"
                                    "\"e f\": |\n"
                                    "  two\n"
                                    "  lines\n"
                                    "g:\n");
    const struct mmgr__yaml *list, *map;

    assert_int_equal(root->kind, MMGR__YAML_MAP);
    assert_int_equal(root->count, 4);
    assert_string_equal(mmgr__yaml_get(root, "a")->text, "1");
    assert_int_equal(mmgr__yaml_get(root, "a")->quoted, 0);
    list = mmgr__yaml_get(root, "b");
    assert_int_equal(list->kind, MMGR__YAML_LIST);
    assert_int_equal(list->count, 2);
    map = list->items[1];
    assert_int_equal(map->line, 5);
    assert_int_equal(map->column, 5);
    assert_string_equal(mmgr__yaml_get(map, "c")->text, "5");
    assert_int_equal(mmgr__yaml_get(map, "c")->quoted, 1);
    assert_int_equal(mmgr__yaml_get(map, "d")->count, 2);
    assert_string_equal(mmgr__yaml_get(root, "e f")->text, "two\nlines\n");
    assert_string_equal(mmgr__yaml_get(root, "g")->text, "");
    assert_null(mmgr__yaml_get(root, "z"));
    assert_null(mmgr__yaml_get(list, "z"));
    assert_null(mmgr__yaml_get(NULL, "z"));
    mmgr__yaml_free(root);
    mmgr__yaml_free(NULL);
}

static void nothing_is_an_empty_map(void **state)
{
    static const char *const texts[] = {"", "\n\n", "# only a comment\n", "---\n...\n"};

    for (size_t i = 0; i < 3; i++) {
        struct mmgr__yaml *root = parse(texts[i]);

        assert_int_equal(root->kind, MMGR__YAML_MAP);
        assert_int_equal(root->count, 0);
        mmgr__yaml_free(root);
    }
}

static void refused(void **state)
{
    static const struct {
        const char *text, *place, *why;
    } cases[] = {
        {"a: &x 1\nb: *x\n", "t.yaml:1:4: ", "anchors"},
        {"a: 1\nb: *x\n", "t.yaml:2:4: ", "anchors"},
        {"a: &x [1]\n", "t.yaml:1:4: ", "anchors"},
        {"a: &x {b: c}\n", "t.yaml:1:4: ", "anchors"},
        {"*x : 1\n", "t.yaml:1:1: ", "anchors"},
        {"a: !!python/object:os.system x\n", "t.yaml:1:4: ", "tags"},
        {"a: !!str x\n", "t.yaml:1:4: ", "tags"},
        {"a: !t [x]\n", "t.yaml:1:4: ", "tags"},
        {"a: !t {x: y}\n", "t.yaml:1:4: ", "tags"},
        {"a: 1\nb: 2\na: 3\n", "t.yaml:3:1: ", "the key \"a\" is there twice"},
        {"l:\n  - {c: 1, c: 2}\n", "t.yaml:2:12: ", "twice"},
        {"a: 1\n---\nb: 2\n", "t.yaml:2:1: ", "one document"},
        {"[a]: 1\n", "t.yaml:1:1: ", "a key must be plain text"},
        {"{a: b}: 1\n", "t.yaml:1:1: ", "a key must be plain text"},
        {"a: \"\\0\"\n", "t.yaml:1:4: ", "NUL"},
        {"a: [1\n", "t.yaml:2:1: ", ""},
        {"a:\n\t- b\n", "t.yaml:2:1: ", ""},
        {"a: 'x\n", "t.yaml:2:1: ", ""},
        {"a: \xff\n", "t.yaml:1:4: ", ""},
        {"# \xc3\xa4\n\xc3\xa4: \xff\n", "t.yaml:2:4: ", ""},
        {"a: 1\r\nb: 2\rc: \x01\n", "t.yaml:3:4: ", ""},
        {"\xef\xbb\xbf*x\n", "t.yaml:1:1: ", "anchors"},
        {"\xef\xbb\xbf" "a: \xff\n", "t.yaml:1:4: ", ""},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mmgr__yaml *root = NULL;
        uint64_t before = mmgr__alloc_live();
        const char *message;

        assert_int_equal(mmgr__yaml_parse(cases[i].text, strlen(cases[i].text),
                                          MMGR_ERR_INVALID_CONFIG, "t.yaml", &root),
                         MMGR_ERR_INVALID_CONFIG);
        message = mmgr_error_message(mmgr_last_error());
        if (strncmp(message, cases[i].place, strlen(cases[i].place)) != 0 ||
            strstr(message, cases[i].why) == NULL)
            fail_msg("%s -> %s", cases[i].text, message);
        assert_null(root);
        assert_int_equal(mmgr__alloc_live(), before);
    }
}

/* Nine levels of nine aliases would be 3.8e8 nodes. */
static void alias_bomb(void **state)
{
    char text[2048];
    size_t used = (size_t)snprintf(text, sizeof text, "a: &a [x,x,x,x,x,x,x,x,x]\n");
    struct mmgr__yaml *root = NULL;
    uint64_t count;

    for (char c = 'b'; c <= 'i'; c++)
        used += (size_t)snprintf(text + used, sizeof text - used,
                                 "%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c - 1,
                                 c - 1, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1);
    count = mmgr__alloc_count();
    assert_int_equal(mmgr__yaml_parse(text, used, MMGR_ERR_INVALID_CONFIG, "bomb", &root),
                     MMGR_ERR_INVALID_CONFIG);
    assert_true(mmgr__alloc_count() - count < 20);
}

static void bounds(void **state)
{
    size_t size = ((size_t)64 << 20) + 1;
    char *text = malloc(size);
    struct mmgr__yaml *root = NULL;
    char deep[200];

    memset(text, '#', size);
    assert_int_equal(mmgr__yaml_parse(text, size, MMGR_ERR_INVALID_CONFIG, "big", &root),
                     MMGR_ERR_INVALID_CONFIG);
    free(text);
    memset(deep, '[', 65);
    memset(deep + 65, ']', 65);
    assert_int_equal(mmgr__yaml_parse(deep, 130, MMGR_ERR_INVALID_FILE, "deep", &root),
                     MMGR_ERR_INVALID_FILE);
    assert_non_null(strstr(mmgr_error_message(mmgr_last_error()), "deep:1:65: nested"));
    assert_int_equal(mmgr__yaml_parse(deep + 1, 128, MMGR_ERR_INVALID_FILE, "deep", &root),
                     MMGR_OK);
    mmgr__yaml_free(root);
}

static void memory_runs_out(void **state)
{
    static const char text[] = "a: 1\nb: [x, {c: d, e: f}]\n";
    uint64_t before = mmgr__alloc_live();
    enum mmgr_result result = MMGR_ERR_NO_MEMORY;

    for (uint64_t k = 1; result != MMGR_OK; k++) {
        struct mmgr__yaml *root = NULL;

        mmgr__alloc_fail_at(k, 0);
        result = mmgr__yaml_parse(text, strlen(text), MMGR_ERR_INVALID_CONFIG, "t", &root);
        mmgr__alloc_fail_at(0, 0);
        if (result != MMGR_OK)
            assert_int_equal(result, MMGR_ERR_NO_MEMORY);
        mmgr__yaml_free(root);
        assert_int_equal(mmgr__alloc_live(), before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tree),    cmocka_unit_test(nothing_is_an_empty_map),
        cmocka_unit_test(refused), cmocka_unit_test(alias_bomb),
        cmocka_unit_test(bounds),  cmocka_unit_test(memory_runs_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
