/* SPDX-License-Identifier: MIT */
/* Digests against published vectors and against git's own numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>

#include "base/digest.h"
#include "base/error.h"
#include "base/io.h"
#include "temp_dir.h"

struct vector {
    enum mmgr__digest_kind kind;
    const char *text, *hex;
};
static const struct vector vectors[] = {
    {MMGR__SHA256, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {MMGR__SHA256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {MMGR__GIT_SHA1, "", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"},
    {MMGR__GIT_SHA1, "hello world\n", "3b18e512dba79e4c8300dd08aeb37f8e728b8dad"},
    {MMGR__XXH3, "", "99aa06d3014798d86001c324468d497f"},
};

static void test_vectors(void **state)
{
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        const struct vector *v = &vectors[i];
        size_t length = strlen(v->text);
        struct mmgr__digest *digest;
        char hex[65];
        assert_int_equal(mmgr__digest_new(v->kind, length, &digest), MMGR_OK);
        for (size_t k = 0; k < length; k++)
            assert_int_equal(mmgr__digest_update(digest, v->text + k, 1), MMGR_OK);
        assert_int_equal(mmgr__digest_hex(digest, hex), MMGR_OK);
        assert_string_equal(hex, v->hex);
        assert_int_equal(mmgr__digest_hex(digest, hex), MMGR_OK);
        assert_string_equal(hex, v->hex);
        mmgr__digest_free(digest);
    }
}

static void test_goes_on_after_hex(void **state)
{
    struct mmgr__digest *digest;
    char hex[65];
    for (int kind = MMGR__SHA256; kind <= MMGR__XXH3; kind++) {
        char once[65];
        assert_int_equal(mmgr__digest_new(kind, 3, &digest), MMGR_OK);
        mmgr__digest_update(digest, "abc", 3);
        mmgr__digest_hex(digest, once);
        mmgr__digest_free(digest);
        assert_int_equal(mmgr__digest_new(kind, 3, &digest), MMGR_OK);
        mmgr__digest_update(digest, "a", 1);
        mmgr__digest_hex(digest, hex);
        assert_string_not_equal(hex, once);
        mmgr__digest_update(digest, "bc", 2);
        mmgr__digest_hex(digest, hex);
        assert_string_equal(hex, once);
        mmgr__digest_free(digest);
    }
    mmgr__digest_free(NULL);
}

static int stop_at(void *user)
{
    return --*(int *)user < 0;
}

static void test_file(void **state)
{
    static char big[3000000];
    memset(big, 'x', sizeof big);
    temp_write("big", big, sizeof big);
    int fd = mmgr__io_open_read(AT_FDCWD, temp_path("big"));
    assert_true(fd >= 0);
    struct mmgr__digest *digest;
    char hex[65], expected[65];
    for (int kind = MMGR__SHA256; kind <= MMGR__XXH3; kind++) {
        mmgr__digest_new(kind, sizeof big, &digest);
        mmgr__digest_update(digest, big, sizeof big);
        mmgr__digest_hex(digest, expected);
        mmgr__digest_free(digest);
        assert_int_equal(mmgr__digest_file(fd, "big", kind, hex, NULL, NULL), MMGR_OK);
        assert_string_equal(hex, expected);
    }
    int polls = 1;
    assert_int_equal(mmgr__digest_file(fd, "big", MMGR__XXH3, hex, stop_at, &polls),
                     MMGR_ERR_CANCELLED);
    mmgr__io_close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_goes_on_after_hex),
        cmocka_unit_test_setup_teardown(test_file, temp_setup, temp_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
