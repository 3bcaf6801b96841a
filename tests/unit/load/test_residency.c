/* SPDX-License-Identifier: MIT */
/* Locks and the device: uploads, nesting, what makes room for what, failures that leave nothing
 * behind. */
#include "models.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "device/device.h"

enum { MODELS = 6 };
static const unsigned sizes[MODELS] = {100, 200, 300, 400, 500, 600};
static mmgr_record *records[MODELS];
static mmgr_loaded *loaded[MODELS];
static struct fixture fixture;

static void open_all(const struct service_setup *setup)
{
    fixture_open(&fixture, setup);
    for (int i = 0; i < MODELS; i++) {
        char key[16], file[32];
        snprintf(key, sizeof key, "m%d", i);
        snprintf(file, sizeof file, "m%d.safetensors", i);
        models_file(file, (unsigned)i, sizes[i]);
        records[i] = models_record(key, "lora", "lycoris", models_path(file), NULL);
        loaded[i] = fixture_load(&fixture, records[i], NULL);
    }
}

static void close_all(void)
{
    struct mmgr__fake_numbers numbers = {0};
    mmgr_device *device = mmgr_device_ref(fixture.device);
    for (int i = 0; i < MODELS; i++) {
        mmgr_loaded_unref(loaded[i]);
        mmgr_record_unref(records[i]);
    }
    fixture_close(&fixture);
    mmgr__fake_numbers(device, &numbers);
    assert_int_equal(numbers.used, 0);
    mmgr_device_unref(device);
}

static uint64_t number(enum mmgr_cache_number which)
{
    return fixture_number(&fixture, which);
}

static struct mmgr__fake_numbers fake(void)
{
    struct mmgr__fake_numbers numbers = {0};
    assert_true(mmgr__fake_numbers(fixture.device, &numbers));
    return numbers;
}

static void lock(int model)
{
    const mmgr_tensor_set *set = NULL;
    assert_int_equal(mmgr_loaded_lock(loaded[model], &set), MMGR_OK);
    assert_ptr_equal(mmgr_tensor_set_device(set), fixture.device);
    const mmgr_tensor *tensor = mmgr_tensor_set_at(set, 0);
    unsigned char back[1024];
    assert_int_equal(mmgr_device_download(fixture.device, back, tensor->data, tensor->bytes),
                     MMGR_OK);
    for (unsigned i = 0; i < sizes[model]; i++)
        if (back[i] != model_byte((unsigned)model, "w", i))
            fail_msg("model %d, byte %u", model, i);
}

static void unlock(int model)
{
    assert_int_equal(mmgr_loaded_unlock(loaded[model]), MMGR_OK);
}

/* 1 when the model is on the device: locking it uploads nothing. */
static int is_there(int model)
{
    uint64_t uploads = number(MMGR_CACHE_UPLOADS);
    lock(model);
    unlock(model);
    return number(MMGR_CACHE_UPLOADS) == uploads;
}

static void test_lock(void **state)
{
    struct service_setup setup = {.device = "fake:1000"};
    open_all(&setup);
    const mmgr_tensor_set *first = NULL, *second = NULL;
    assert_int_equal(mmgr_loaded_lock(loaded[0], &first), MMGR_OK);
    assert_int_equal(mmgr_loaded_lock(loaded[0], &second), MMGR_OK);
    assert_ptr_equal(first, second);
    assert_ptr_not_equal(first, mmgr_loaded_state_dict(loaded[0]));
    assert_int_equal(number(MMGR_CACHE_DEVICE_BYTES), 100);
    assert_int_equal(fake().uploads, 1);
    unlock(0);
    unlock(0);
    assert_int_equal(mmgr_loaded_unlock(loaded[0]), MMGR_ERR_STATE);
    assert_int_equal(number(MMGR_CACHE_DEVICE_BYTES), 100);
    assert_true(is_there(0));
    assert_int_equal(mmgr_loaded_lock(loaded[0], NULL), MMGR_OK);
    unlock(0);
    assert_int_equal(mmgr_loaded_lock(NULL, NULL), MMGR_ERR_ARGUMENT);
    assert_int_equal(mmgr_loaded_unlock(NULL), MMGR_ERR_ARGUMENT);
    /* Locks belong to the handle that took them. */
    mmgr_loaded *other = fixture_load(&fixture, records[0], NULL);
    assert_int_equal(mmgr_loaded_lock(other, NULL), MMGR_OK);
    assert_int_equal(mmgr_loaded_unlock(loaded[0]), MMGR_ERR_STATE);
    mmgr_loaded_unref(other); /* gives its lock back */
    lock(4);
    lock(3);
    assert_int_equal(number(MMGR_CACHE_DEVICE_BYTES), 1000);
    assert_int_equal(mmgr_loaded_lock(loaded[1], NULL), MMGR_ERR_DEVICE_MEMORY);
    unlock(3);
    unlock(4);
    close_all();
}

static void test_cpu(void **state)
{
    struct service_setup setup = {.device = "cpu", .max_vram = 1};
    open_all(&setup);
    const mmgr_tensor_set *set = NULL;
    assert_int_equal(mmgr_loaded_lock(loaded[5], &set), MMGR_OK);
    assert_ptr_equal(set, mmgr_loaded_state_dict(loaded[5]));
    assert_int_equal(number(MMGR_CACHE_UPLOADS), 0);
    assert_int_equal(number(MMGR_CACHE_DEVICE_BYTES), 0);
    unlock(5);
    assert_int_equal(mmgr_loaded_unlock(loaded[5]), MMGR_ERR_STATE);
    for (int i = 0; i < MODELS; i++) {
        mmgr_loaded_unref(loaded[i]);
        mmgr_record_unref(records[i]);
    }
    fixture_close(&fixture);
}

/* The least recently used go, no more of them than needed, and nothing is copied back. */
static void test_offload_order(void **state)
{
    struct service_setup setup = {.device = "fake:1000"};
    open_all(&setup);
    is_there(0); /* 100 */
    is_there(1); /* 200 */
    is_there(2); /* 300 */
    is_there(3); /* 400: full */
    is_there(0);
    assert_int_equal(number(MMGR_CACHE_OFFLOADS), 0);
    lock(4); /* 500 are needed: m1 and m2 are the oldest and suffice */
    assert_int_equal(number(MMGR_CACHE_OFFLOADS), 2);
    assert_int_equal(number(MMGR_CACHE_DEVICE_BYTES), 1000);
    unlock(4);
    assert_true(is_there(0));
    assert_true(is_there(3));
    assert_true(is_there(4));
    assert_int_equal(fake().downloads, 9); /* those of this test itself, one a lock */
    assert_int_equal(fake().high, 1000);
    close_all();
}

/* The oldest is small and of no help beside the next one: it stays. */
static void test_smallest_set(void **state)
{
    struct service_setup setup = {.device = "fake:1000"};
    open_all(&setup);
    is_there(0); /* 100, oldest */
    is_there(4); /* 500 */
    is_there(3); /* 400 */
    lock(2);     /* 300: m0 alone is too little, m4 alone is enough */
    assert_int_equal(number(MMGR_CACHE_OFFLOADS), 1);
    unlock(2);
    assert_true(is_there(0));
    assert_true(is_there(3));
    assert_true(is_there(2));
    close_all();
}

static void test_budget(void **state)
{
    struct service_setup setup = {.device = "fake:100000", .max_vram = 700};
    open_all(&setup);
    is_there(2);
    is_there(3);
    lock(5); /* 600 of 700: both go */
    assert_int_equal(number(MMGR_CACHE_DEVICE_BYTES), 600);
    assert_int_equal(mmgr_loaded_lock(loaded[1], NULL), MMGR_ERR_DEVICE_MEMORY);
    assert_int_equal(number(MMGR_CACHE_DEVICE_BYTES), 600);
    lock(0);
    unlock(0);
    unlock(5);
    close_all();
}

/* What can never fit moves nothing. */
static void test_too_large(void **state)
{
    struct service_setup setup = {.device = "fake:450"};
    open_all(&setup);
    is_there(0);
    is_there(1);
    assert_int_equal(mmgr_loaded_lock(loaded[4], NULL), MMGR_ERR_DEVICE_MEMORY);
    assert_string_equal(mmgr_error_subject(mmgr_last_error()), "fake:450");
    assert_int_equal(number(MMGR_CACHE_OFFLOADS), 0);
    assert_true(is_there(0));
    assert_true(is_there(1));
    close_all();
}

/* Each call of the device fails in turn: the caches stay true and nothing is left. */
static void test_failures(void **state)
{
    struct service_setup setup = {.device = "fake:1000"};
    open_all(&setup);
    for (int op = 0; op < MMGR__FAKE_OPS; op++) {
        mmgr__fake_fail_at(fixture.device, op, 1);
        enum mmgr_result expected =
            op == MMGR__FAKE_ALLOCATE ? MMGR_ERR_DEVICE_MEMORY : MMGR_ERR_PLUGIN;
        assert_int_equal(mmgr_loaded_lock(loaded[0], NULL), expected);
        assert_int_equal(mmgr_loaded_unlock(loaded[0]), MMGR_ERR_STATE);
        assert_int_equal(fake().used, 0);
        assert_int_equal(number(MMGR_CACHE_DEVICE_BYTES), 0);
    }
    close_all();
}

/* One model pushes another off the device; all is gone again at the end. */
static enum mmgr_result lock_two(void *user)
{
    enum mmgr_result result = MMGR_OK;
    for (int i = 3; i <= 5 && result == MMGR_OK; i += 2) {
        mmgr_loaded *held = NULL;
        result = mmgr_load_service_load(fixture.service, records[i], NULL, &held);
        if (result == MMGR_OK)
            result = mmgr_loaded_lock(held, NULL);
        if (result == MMGR_OK)
            result = mmgr_loaded_unlock(held);
        mmgr_loaded_unref(held);
    }
    assert_int_equal(number(MMGR_CACHE_DEVICE_BYTES), fake().used);
    mmgr_load_service_unload(fixture.service, NULL);
    assert_int_equal(fake().used, 0);
    return result;
}

static void test_no_memory(void **state)
{
    struct service_setup setup = {.device = "fake:900"};
    open_all(&setup);
    for (int i = 0; i < MODELS; i++) {
        mmgr_loaded_unref(loaded[i]);
        loaded[i] = NULL;
    }
    mmgr_load_service_unload(fixture.service, NULL);
    int rounds;
    assert_int_equal(sweep_allocations(lock_two, NULL, &rounds), 0);
    assert_true(rounds > 20);
    assert_true(number(MMGR_CACHE_OFFLOADS) > 0);
    close_all();
}

/* The device says "full" although its figures promise room: others are moved off until it is
 * true. */
static void test_fragmented(void **state)
{
    struct service_setup setup = {.device = "fake:1000"};
    open_all(&setup);
    is_there(0);
    is_there(1);
    mmgr__fake_fail_at(fixture.device, MMGR__FAKE_ALLOCATE, 1);
    lock(2);
    assert_int_equal(number(MMGR_CACHE_OFFLOADS), 1);
    unlock(2);
    assert_true(is_there(1));
    close_all();
}

/* Dropping a model from RAM takes it off the device as well; one that is locked stays where it
 * is. */
static void test_unload(void **state)
{
    struct service_setup setup = {.device = "fake:1000"};
    open_all(&setup);
    is_there(0);
    lock(1);
    mmgr_loaded_unref(loaded[0]);
    loaded[0] = NULL;
    assert_int_equal(mmgr_load_service_unload(fixture.service, NULL), MMGR_OK);
    assert_int_equal(number(MMGR_CACHE_DEVICE_BYTES), 200);
    assert_int_equal(fake().used, 200);
    lock(1);
    unlock(1);
    unlock(1);
    mmgr_loaded_unref(loaded[1]);
    loaded[1] = NULL;
    assert_int_equal(number(MMGR_CACHE_DEVICE_BYTES), 0);
    assert_int_equal(fake().used, 0);
    close_all();
}

static void test_evicted_from_ram(void **state)
{
    struct service_setup setup = {.device = "fake:1000", .max_ram = 700};
    fixture_open(&fixture, &setup);
    for (int i = 0; i < MODELS; i++) {
        char key[16], file[32];
        snprintf(key, sizeof key, "m%d", i);
        snprintf(file, sizeof file, "m%d.safetensors", i);
        models_file(file, (unsigned)i, sizes[i]);
        records[i] = models_record(key, "lora", "lycoris", models_path(file), NULL);
        loaded[i] = fixture_load(&fixture, records[i], NULL);
        is_there(i);
        mmgr_loaded_unref(loaded[i]);
        loaded[i] = NULL;
        assert_true(number(MMGR_CACHE_RAM_BYTES) <= 700);
        assert_int_equal(number(MMGR_CACHE_DEVICE_BYTES), fake().used);
        assert_true(number(MMGR_CACHE_DEVICE_BYTES) <= number(MMGR_CACHE_RAM_BYTES));
    }
    close_all();
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, models_setup, models_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(test_lock),
        WITH_FOLDER(test_cpu),
        WITH_FOLDER(test_offload_order),
        WITH_FOLDER(test_smallest_set),
        WITH_FOLDER(test_budget),
        WITH_FOLDER(test_too_large),
        WITH_FOLDER(test_failures),
        WITH_FOLDER(test_no_memory),
        WITH_FOLDER(test_fragmented),
        WITH_FOLDER(test_unload),
        WITH_FOLDER(test_evicted_from_ram),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
