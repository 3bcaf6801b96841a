/* SPDX-License-Identifier: MIT */
/* The memory door: counters, fault switch, helpers, the host's allocator, size-first structs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include <modelmgr/alloc.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/options.h"

static void test_counts(void **state)
{
    uint64_t before = mmgr__alloc_count(), live = mmgr__alloc_live();
    char *a = mmgr__alloc(10);
    char *b = mmgr__strdup("text");
    assert_int_equal(mmgr__alloc_count(), before + 2);
    assert_int_equal(mmgr__alloc_live(), live + 2);
    a = mmgr__realloc(a, 1000);
    assert_non_null(a);
    assert_int_equal(mmgr__alloc_count(), before + 3);
    assert_int_equal(mmgr__alloc_live(), live + 2);
    mmgr__free(a);
    mmgr__free(b);
    mmgr__free(NULL);
    assert_int_equal(mmgr__alloc_live(), live);
}

/* Bit i tells whether allocation i of ten succeeded. */
static unsigned pattern(void)
{
    unsigned bits = 0;
    for (int i = 0; i < 10; i++) {
        void *memory = mmgr__alloc(8);
        bits |= (unsigned)(memory != NULL) << i;
        mmgr__free(memory);
    }
    return bits;
}

static void test_fail_at(void **state)
{
    for (unsigned n = 1; n <= 10; n++) {
        mmgr__alloc_fail_at(n, 0);
        assert_int_equal(pattern(), 0x3ff & ~(1u << (n - 1)));
        mmgr__alloc_fail_at(n, 1);
        assert_int_equal(pattern(), (1u << (n - 1)) - 1);
    }
    mmgr__alloc_fail_at(0, 0);
    assert_int_equal(pattern(), 0x3ff);
}

static void test_realloc_failure_keeps_memory(void **state)
{
    char *text = mmgr__strdup("keep");
    mmgr__alloc_fail_at(1, 0);
    assert_null(mmgr__realloc(text, 100000));
    mmgr__alloc_fail_at(0, 0);
    assert_string_equal(text, "keep");
    mmgr__free(text);
}

static void test_products(void **state)
{
    assert_null(mmgr__alloc0(SIZE_MAX / 2, 3));
    unsigned char *zeros = mmgr__alloc0(100, 3);
    for (int i = 0; i < 300; i++)
        assert_int_equal(zeros[i], 0);
    mmgr__free(zeros);
    void *array = NULL;
    size_t capacity = 0;
    assert_true(mmgr__grow(&array, &capacity, 9, 4));
    assert_true(capacity >= 9);
    void *same = array;
    assert_true(mmgr__grow(&array, &capacity, 9, 4));
    assert_ptr_equal(same, array);
    assert_false(mmgr__grow(&array, &capacity, SIZE_MAX / 2, 4));
    assert_false(mmgr__grow(&array, &capacity, SIZE_MAX, 1));
    assert_ptr_equal(same, array);
    mmgr__free(array);
}

static void test_texts(void **state)
{
    char *cut = mmgr__strndup("abcdef", 3), *whole = mmgr__strndup("ab", 10);
    char *made = mmgr__printf("%s-%d", "x", 7);
    assert_string_equal(cut, "abc");
    assert_string_equal(whole, "ab");
    assert_string_equal(made, "x-7");
    assert_null(mmgr__strdup(NULL));
    mmgr__free(cut);
    mmgr__free(whole);
    mmgr__free(made);
}

static int host_calls;

static void *host_alloc(size_t bytes, void *user)
{
    ++*(int *)user;
    return malloc(bytes);
}

static void *host_resize(void *memory, size_t bytes, void *user)
{
    ++*(int *)user;
    return realloc(memory, bytes);
}

static void host_release(void *memory, void *user)
{
    ++*(int *)user;
    free(memory);
}

static void test_host_allocator(void **state)
{
    mmgr_allocator host = {sizeof host, 0, host_alloc, host_resize, host_release, &host_calls};
    void *held = mmgr__alloc(1);
    assert_int_equal(mmgr_set_allocator(&host), MMGR_ERR_STATE);
    mmgr__free(held);
    assert_int_equal(mmgr_set_allocator(&host), MMGR_OK);
    void *memory = mmgr__alloc(1);
    memory = mmgr__realloc(memory, 2);
    assert_int_equal(mmgr_set_allocator(NULL), MMGR_ERR_STATE);
    mmgr__free(memory);
    assert_int_equal(host_calls, 3);
    host.release = NULL;
    assert_int_equal(mmgr_set_allocator(&host), MMGR_ERR_ARGUMENT);
    host.struct_size = 8;
    assert_int_equal(mmgr_set_allocator(&host), MMGR_ERR_ABI_SIZE);
    assert_int_equal(mmgr_set_allocator(NULL), MMGR_OK);
    mmgr__free(mmgr__alloc(1));
    assert_int_equal(host_calls, 3);
}

struct options_v1 {
    uint32_t struct_size, flags;
    uint64_t value;
};
struct options_v2 {
    uint32_t struct_size, flags;
    uint64_t value, more;
};

static void test_options(void **state)
{
    struct options_v1 local = {0};
    struct options_v2 newer = {sizeof newer, 3, 42, 0};
    assert_int_equal(mmgr__options_import(&local, sizeof local, sizeof local, &newer, "o"),
                     MMGR_OK);
    assert_int_equal(local.flags, 3);
    assert_int_equal(local.value, 42);
    assert_int_equal(local.struct_size, sizeof local);
    newer.more = 1;
    assert_int_equal(mmgr__options_import(&local, sizeof local, sizeof local, &newer, "o"),
                     MMGR_ERR_ABI_NEWER);
    struct options_v2 full = {.more = 9};
    struct options_v1 older = {sizeof older, 1, 2};
    assert_int_equal(mmgr__options_import(&full, sizeof full, sizeof older, &older, "o"), MMGR_OK);
    assert_int_equal(full.value, 2);
    assert_int_equal(full.more, 0);
    older.struct_size = sizeof older - 1;
    assert_int_equal(mmgr__options_import(&full, sizeof full, sizeof older, &older, "o"),
                     MMGR_ERR_ABI_SIZE);
    older.struct_size = 0x7fffffff;
    assert_int_equal(mmgr__options_import(&full, sizeof full, sizeof older, &older, "o"),
                     MMGR_ERR_ABI_SIZE);
    assert_int_equal(full.value, 2);
    assert_int_equal(MMGR__IMPORT(full, (struct options_v2 *)NULL, more), MMGR_OK);
    assert_int_equal(full.value, 0);
    assert_string_equal(mmgr_error_field(mmgr_last_error()), "o");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_fail_at),
        cmocka_unit_test(test_realloc_failure_keeps_memory),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_host_allocator),
        cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
