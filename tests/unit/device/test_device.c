/* SPDX-License-Identifier: MIT */
/* Devices: the built-in ones, the switches of the test device, and tables of hosts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/alloc.h"
#include "device/device.h"

static void test_open(void **state)
{
    mmgr_device *device = NULL;
    assert_int_equal(mmgr_device_open("cuda:0", &device), MMGR_ERR_NO_DEVICE);
    assert_non_null(strstr(mmgr_error_message(mmgr_last_error()), "cuda:0"));
    assert_int_equal(mmgr_device_open("fake:", &device), MMGR_ERR_ARGUMENT);
    assert_int_equal(mmgr_device_open("fake:x", &device), MMGR_ERR_ARGUMENT);
    assert_int_equal(mmgr_device_open(NULL, &device), MMGR_ERR_ARGUMENT);
    assert_int_equal(mmgr_device_open("cpu", NULL), MMGR_ERR_ARGUMENT);
    assert_null(device);
    mmgr_device_unref(NULL);
    for (int n = 1; n <= 3; n++) {
        mmgr__alloc_fail_at((uint64_t)n, 0);
        assert_int_equal(mmgr_device_open("fake:10", &device), MMGR_ERR_NO_MEMORY);
        mmgr__alloc_fail_at(0, 0);
    }
    assert_int_equal(mmgr__alloc_live(), 0);
}

static void test_cpu(void **state)
{
    mmgr_device *device;
    uint64_t available = 0, total = 0;
    assert_int_equal(mmgr_device_open("cpu", &device), MMGR_OK);
    assert_string_equal(mmgr_device_name(device), "cpu");
    assert_true(mmgr__device_is_host(device));
    assert_int_equal(mmgr_device_memory(device, &available, &total), MMGR_OK);
    assert_true(available > 0 && available <= total);
    static const uint64_t sizes[] = {1, 4096, 4097, (4u << 20) + 5};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *memory = NULL;
        assert_int_equal(mmgr__device_allocate(device, sizes[i], (void **)&memory), MMGR_OK);
        assert_int_equal((uintptr_t)memory % MMGR__DEVICE_ALIGNMENT, 0);
        memset(memory, 1, sizes[i]);
        mmgr__device_release(device, memory, sizes[i]);
    }
    void *memory = &device;
    assert_int_equal(mmgr__device_allocate(device, UINT64_MAX, &memory), MMGR_ERR_NO_MEMORY);
    assert_ptr_equal(memory, &device);
    assert_int_equal(mmgr__device_allocate(device, 0, &memory), MMGR_OK);
    assert_null(memory);
    mmgr_device_unref(device);
}

static void test_fake(void **state)
{
    mmgr_device *device;
    struct mmgr__fake_numbers numbers;
    uint64_t available, total;
    void *a, *b, *c = NULL;
    char back[6] = "";
    assert_int_equal(mmgr_device_open("fake:1k", &device), MMGR_OK);
    assert_false(mmgr__device_is_host(device));
    assert_int_equal(mmgr__device_allocate(device, 600, &a), MMGR_OK);
    assert_int_equal((uintptr_t)a % MMGR__DEVICE_ALIGNMENT, 0);
    assert_int_equal(mmgr__device_allocate(device, 424, &b), MMGR_OK);
    assert_int_equal(mmgr__device_allocate(device, 1, &c), MMGR_ERR_DEVICE_MEMORY);
    assert_null(c);
    assert_int_equal(mmgr_device_memory(device, &available, &total), MMGR_OK);
    assert_int_equal(available, 0);
    assert_int_equal(total, 1024);
    assert_int_equal(mmgr__device_upload(device, a, "hello", 6), MMGR_OK);
    assert_int_equal(mmgr__device_synchronize(device), MMGR_OK);
    assert_int_equal(mmgr_device_download(device, back, a, 6), MMGR_OK);
    assert_string_equal(back, "hello");
    mmgr__device_release(device, a, 600);
    mmgr__device_release(device, b, 424);
    assert_true(mmgr__fake_numbers(device, &numbers));
    assert_int_equal(numbers.used, 0);
    assert_int_equal(numbers.high, 1024);
    assert_int_equal(numbers.allocations, 2);
    assert_int_equal(numbers.releases, 2);
    assert_int_equal(numbers.upload_bytes, 6);

    mmgr__fake_fail_at(device, MMGR__FAKE_ALLOCATE, 2);
    assert_int_equal(mmgr__device_allocate(device, 1, &a), MMGR_OK);
    assert_int_equal(mmgr__device_allocate(device, 1, &b), MMGR_ERR_DEVICE_MEMORY);
    mmgr__fake_fail_at(device, MMGR__FAKE_UPLOAD, 1);
    assert_int_equal(mmgr__device_upload(device, a, "x", 1), MMGR_ERR_PLUGIN);
    assert_int_equal(mmgr__device_upload(device, a, "x", 1), MMGR_OK);
    mmgr__fake_fail_at(device, MMGR__FAKE_SYNCHRONIZE, 1);
    assert_int_equal(mmgr__device_synchronize(device), MMGR_ERR_PLUGIN);
    mmgr__device_release(device, a, 1);
    mmgr_device_unref(device);
    assert_int_equal(mmgr__alloc_live(), 0);
}

static int freed;

static void host_free(void *self)
{
    freed++;
}

static enum mmgr_result host_memory(void *self, uint64_t *free_bytes, uint64_t *total_bytes)
{
    *free_bytes = 1;
    *total_bytes = UINT64_MAX;
    return MMGR_OK;
}

static enum mmgr_result host_allocate(void *self, uint64_t bytes, uint64_t alignment, void **memory)
{
    return bytes > 10 ? MMGR_ERR_DEVICE_MEMORY
                      : MMGR_OK; /* "OK" without memory is a fault of the host */
}

static void host_release(void *self, void *memory, uint64_t bytes)
{
}

static enum mmgr_result host_upload(void *self, void *memory, const void *host, uint64_t bytes)
{
    return MMGR_ERR_TIMEOUT;
}

static enum mmgr_result host_download(void *self, void *host, const void *memory, uint64_t bytes)
{
    return (enum mmgr_result)77;
}

static enum mmgr_result host_synchronize(void *self)
{
    return MMGR_OK;
}

static int host_is_host(void *self)
{
    return 0;
}

static void test_host_table(void **state)
{
    mmgr_device_ops ops = {
        sizeof ops,   1,           "vulkan:0",    host_memory,      host_allocate,
        host_release, host_upload, host_download, host_synchronize, host_is_host};
    mmgr_device *device = NULL;
    void *memory = NULL;
    assert_int_equal(mmgr_device_new(&ops, &freed, host_free, &device), MMGR_OK);
    assert_string_equal(mmgr_device_name(device), "vulkan:0");
    assert_int_equal(mmgr__device_allocate(device, 11, &memory), MMGR_ERR_DEVICE_MEMORY);
    assert_int_equal(mmgr__device_allocate(device, 9, &memory), MMGR_ERR_PLUGIN);
    assert_int_equal(mmgr__device_upload(device, &freed, &freed, 1), MMGR_ERR_PLUGIN);
    assert_int_equal(mmgr_device_download(device, &freed, &memory, 1), MMGR_ERR_PLUGIN);
    assert_string_equal(mmgr_error_subject(mmgr_last_error()), "vulkan:0");
    struct mmgr__fake_numbers numbers;
    assert_false(mmgr__fake_numbers(device, &numbers));
    mmgr_device_ref(device);
    mmgr_device_unref(device);
    assert_int_equal(freed, 0);
    mmgr_device_unref(device);
    assert_int_equal(freed, 1);

    mmgr_device *none = NULL;
    ops.upload = NULL;
    assert_int_equal(mmgr_device_new(&ops, NULL, host_free, &none), MMGR_ERR_ARGUMENT);
    ops.upload = host_upload;
    ops.api_version = 2;
    assert_int_equal(mmgr_device_new(&ops, NULL, host_free, &none), MMGR_ERR_ARGUMENT);
    ops.struct_size = 16;
    assert_int_equal(mmgr_device_new(&ops, NULL, host_free, &none), MMGR_ERR_ABI_SIZE);
    assert_null(none);
    assert_int_equal(freed, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_cpu),
        cmocka_unit_test(test_fake),
        cmocka_unit_test(test_host_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
