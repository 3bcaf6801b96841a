/* SPDX-License-Identifier: MIT */
/* Version numbers and the list of libraries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include <modelmgr/version.h>

#include "base/alloc.h"

static void test_version(void **state)
{
    char text[32];
    uint32_t number = mmgr_version();
    snprintf(text, sizeof text, "%u.%u.%u", number / 1000000, number / 1000 % 1000, number % 1000);
    assert_string_equal(text, mmgr_version_string());
    assert_int_equal(number, MMGR_VERSION_NUMBER);
}

static void test_info(void **state)
{
    char *text = NULL;
    assert_int_equal(mmgr_version_info(NULL), MMGR_ERR_ARGUMENT);
    mmgr__alloc_fail_at(1, 1);
    assert_int_equal(mmgr_version_info(&text), MMGR_ERR_NO_MEMORY);
    mmgr__alloc_fail_at(0, 0);
    assert_null(text);
    assert_int_equal(mmgr_version_info(&text), MMGR_OK);
    json_t *root = json_loads(text, 0, NULL);
    assert_non_null(root);
    assert_string_equal(json_string_value(json_object_get(root, "version")), mmgr_version_string());
    assert_true(json_is_integer(json_object_get(root, "schema")));
    assert_true(json_is_array(json_object_get(root, "features")));
    json_t *libraries = json_object_get(root, "libraries");
    static const char *const names[] = {"sqlite3", "libcurl", "jansson",
                                        "libyaml", "xxhash",  "libcrypto"};
    assert_int_equal(json_object_size(libraries), sizeof names / sizeof *names);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_non_null(strchr(json_string_value(json_object_get(libraries, names[i])), '.'));
    json_decref(root);
    mmgr_string_free(text);
    mmgr_string_free(NULL);
    assert_int_equal(mmgr__alloc_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_version), cmocka_unit_test(test_info)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
