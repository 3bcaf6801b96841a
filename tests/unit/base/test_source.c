/* SPDX-License-Identifier: MIT */
/* Byte sources: bounds, truncation, what is no regular file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/io.h"
#include "base/source.h"
#include "temp_dir.h"

static void check_reads(struct mmgr__bytes *bytes)
{
    char data[16] = "";
    assert_int_equal(bytes->size, 10);
    assert_int_equal(mmgr__bytes_read(bytes, 3, data, 4), MMGR_OK);
    assert_memory_equal(data, "3456", 4);
    assert_int_equal(mmgr__bytes_read(bytes, 10, data, 0), MMGR_OK);
    assert_int_equal(bytes->bytes_read, 4);
    assert_int_equal(mmgr__bytes_read(bytes, 8, data, 3), MMGR_ERR_INVALID_FILE);
    assert_int_equal(mmgr_error_offset(mmgr_last_error()), 8);
    assert_string_equal(mmgr_error_subject(mmgr_last_error()), bytes->name);
    assert_int_equal(mmgr__bytes_read(bytes, UINT64_MAX, data, 2), MMGR_ERR_INVALID_FILE);
    assert_int_equal(mmgr__bytes_read(bytes, 11, data, 0), MMGR_ERR_INVALID_FILE);
    assert_int_equal(bytes->bytes_read, 4);
    mmgr__bytes_close(bytes);
    mmgr__bytes_close(bytes);
}

static void test_memory(void **state)
{
    struct mmgr__bytes bytes;
    assert_int_equal(mmgr__bytes_open_memory("0123456789", 10, "m", &bytes), MMGR_OK);
    check_reads(&bytes);
}

static void test_file(void **state)
{
    struct mmgr__bytes bytes;
    temp_write("f", "0123456789", 10);
    assert_int_equal(mmgr__bytes_open_file(temp_path("f"), &bytes), MMGR_OK);
    check_reads(&bytes);
    int folder = mmgr__io_open_dir(AT_FDCWD, temp_dir);
    assert_int_equal(mmgr__bytes_open_beneath(folder, "f", &bytes), MMGR_OK);
    check_reads(&bytes);
    assert_int_equal(symlink("f", temp_path("l")), 0);
    assert_int_equal(mmgr__bytes_open_beneath(folder, "l", &bytes), MMGR_ERR_UNSAFE_PATH);
    assert_int_equal(mmgr__bytes_open_beneath(folder, "../f", &bytes), MMGR_ERR_UNSAFE_PATH);
    mmgr__io_close(folder);
    assert_int_equal(mmgr__bytes_open_file(temp_path("l"), &bytes), MMGR_OK);
    mmgr__bytes_close(&bytes);
}

static void test_not_regular(void **state)
{
    struct mmgr__bytes bytes;
    assert_int_equal(mmgr__bytes_open_file(temp_path("none"), &bytes), MMGR_ERR_PATH_NOT_FOUND);
    assert_int_equal(mmgr__bytes_open_file(temp_dir, &bytes), MMGR_ERR_INVALID_FILE);
    assert_int_equal(mkfifo(temp_path("fifo"), 0600), 0);
    assert_int_equal(mmgr__bytes_open_file(temp_path("fifo"), &bytes), MMGR_ERR_INVALID_FILE);
    int folder = mmgr__io_open_dir(AT_FDCWD, temp_dir);
    assert_int_equal(mmgr__bytes_open_beneath(folder, "fifo", &bytes), MMGR_ERR_INVALID_FILE);
    mmgr__io_close(folder);
}

static void test_shrinks(void **state)
{
    struct mmgr__bytes bytes;
    char data[10];
    temp_write("f", "0123456789", 10);
    assert_int_equal(mmgr__bytes_open_file(temp_path("f"), &bytes), MMGR_OK);
    assert_int_equal(truncate(temp_path("f"), 5), 0);
    assert_int_equal(mmgr__bytes_read(&bytes, 2, data, 6), MMGR_ERR_INVALID_FILE);
    mmgr__bytes_close(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),
        cmocka_unit_test_setup_teardown(test_file, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_not_regular, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_shrinks, temp_setup, temp_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
