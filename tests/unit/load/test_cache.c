/* SPDX-License-Identifier: MIT */
/* The RAM cache: hits, the budget, what is dropped and in which order, holding, unloading. */
#include "models.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"

enum { MODELS = 5 };
static mmgr_record *records[MODELS];
static struct fixture fixture;

/* Models "m0" to "m4", of 100, 200, … bytes. */
static void open_all(const struct service_setup *setup)
{
    for (int i = 0; i < MODELS; i++) {
        char key[16], file[32];
        snprintf(key, sizeof key, "m%d", i);
        snprintf(file, sizeof file, "m%d.safetensors", i);
        models_file(file, (unsigned)i, 100u * (unsigned)(i + 1));
        records[i] = models_record(key, "lora", "lycoris", models_path(file), NULL);
    }
    fixture_open(&fixture, setup);
}

static void close_all(void)
{
    for (int i = 0; i < MODELS; i++)
        mmgr_record_unref(records[i]);
    fixture_close(&fixture);
}

static uint64_t number(enum mmgr_cache_number which)
{
    return fixture_number(&fixture, which);
}

/* 1 when loading it was a hit. The model is not held afterwards. */
static int touch(int model)
{
    uint64_t hits = number(MMGR_CACHE_HITS);
    assert_int_equal(fixture_try(&fixture, records[model], NULL), MMGR_OK);
    return number(MMGR_CACHE_HITS) == hits + 1;
}

static void test_hits(void **state)
{
    struct service_setup setup = {0};
    open_all(&setup);
    mmgr_loaded *first = fixture_load(&fixture, records[0], NULL);
    mmgr_loaded *second = fixture_load(&fixture, records[0], NULL);
    assert_ptr_equal(mmgr_loaded_state_dict(first), mmgr_loaded_state_dict(second));
    assert_int_equal(number(MMGR_CACHE_MISSES), 1);
    assert_int_equal(number(MMGR_CACHE_HITS), 1);
    assert_int_equal(number(MMGR_CACHE_MODELS), 1);
    assert_int_equal(number(MMGR_CACHE_RAM_BYTES), 100);
    mmgr_loaded_ref(first);
    mmgr_loaded_unref(first);
    mmgr_loaded_unref(first);
    mmgr_loaded_unref(second);
    mmgr_loaded_unref(NULL);
    assert_int_equal(number(MMGR_CACHE_MODELS), 1);
    close_all();
}

static void test_lru(void **state)
{
    struct service_setup setup = {.max_ram = 600};
    open_all(&setup);
    touch(0);
    touch(1);
    touch(2); /* 100 + 200 + 300: full */
    assert_int_equal(number(MMGR_CACHE_EVICTIONS), 0);
    assert_true(touch(0)); /* m1 is now the oldest */
    touch(3);              /* 400: m1 and m2 go */
    assert_int_equal(number(MMGR_CACHE_EVICTIONS), 2);
    assert_int_equal(number(MMGR_CACHE_RAM_BYTES), 500);
    assert_true(touch(0));
    assert_true(touch(3));
    assert_false(touch(1)); /* 200: m0 goes */
    assert_int_equal(number(MMGR_CACHE_RAM_BYTES), 600);
    assert_true(touch(3));
    assert_false(touch(0));
    assert_true(number(MMGR_CACHE_RAM_HIGH) <= 600);
    close_all();
}

static void test_held(void **state)
{
    struct service_setup setup = {.max_ram = 300};
    open_all(&setup);
    mmgr_loaded *held = fixture_load(&fixture, records[1], NULL);
    touch(0);
    touch(0);
    mmgr_loaded *other = fixture_load(&fixture, records[0], NULL);
    assert_int_equal(number(MMGR_CACHE_OVERRUNS), 0);
    /* Everything is held: it is loaded all the same, and counted. */
    mmgr_loaded *third = fixture_load(&fixture, records[2], NULL);
    assert_int_equal(number(MMGR_CACHE_OVERRUNS), 1);
    assert_int_equal(number(MMGR_CACHE_RAM_BYTES), 600);
    assert_int_equal(number(MMGR_CACHE_EVICTIONS), 0);
    const unsigned char *data = mmgr_tensor_set_at(mmgr_loaded_state_dict(held), 0)->data;
    assert_int_equal(data[199], model_byte(1, "w", 199));
    /* As soon as something is free it goes. */
    mmgr_loaded_unref(held);
    assert_int_equal(number(MMGR_CACHE_RAM_BYTES), 400);
    mmgr_loaded_unref(third);
    assert_int_equal(number(MMGR_CACHE_RAM_BYTES), 100);
    mmgr_loaded_unref(other);
    assert_true(touch(0));
    /* A model that is larger than the whole budget stays no longer than it is held. */
    other = fixture_load(&fixture, records[4], NULL);
    assert_int_equal(number(MMGR_CACHE_RAM_BYTES), 500);
    mmgr_loaded_unref(other);
    assert_int_equal(number(MMGR_CACHE_RAM_BYTES), 0);
    close_all();
}

static void test_unload(void **state)
{
    struct service_setup setup = {0};
    open_all(&setup);
    touch(0);
    mmgr_loaded *held = fixture_load(&fixture, records[1], NULL);
    assert_int_equal(mmgr_load_service_unload(fixture.service, "m0"), MMGR_OK);
    assert_int_equal(mmgr_load_service_unload(fixture.service, "m1"), MMGR_OK);
    assert_int_equal(mmgr_load_service_unload(fixture.service, "nobody"), MMGR_OK);
    assert_int_equal(number(MMGR_CACHE_RAM_BYTES), 200);
    assert_false(touch(0));
    /* The held one lives on, but nobody finds it: a load reads afresh. */
    mmgr_loaded *fresh = fixture_load(&fixture, records[1], NULL);
    assert_ptr_not_equal(mmgr_loaded_state_dict(fresh), mmgr_loaded_state_dict(held));
    assert_int_equal(number(MMGR_CACHE_RAM_BYTES), 500);
    const unsigned char *data = mmgr_tensor_set_at(mmgr_loaded_state_dict(held), 0)->data;
    assert_int_equal(data[0], model_byte(1, "w", 0));
    mmgr_loaded_unref(held);
    assert_int_equal(number(MMGR_CACHE_RAM_BYTES), 300);
    mmgr_loaded_unref(fresh);
    assert_int_equal(mmgr_load_service_unload(fixture.service, NULL), MMGR_OK);
    assert_int_equal(number(MMGR_CACHE_RAM_BYTES), 0);
    assert_int_equal(number(MMGR_CACHE_MODELS), 0);
    close_all();
}

/* A record that names other files under the same key is another model; other fields do not
 * matter. */
static void test_changed_record(void **state)
{
    struct service_setup setup = {0};
    open_all(&setup);
    touch(0);
    mmgr_record *renamed = models_record("m0", "lora", "lycoris", models_path("m0.safetensors"),
                                         ",\"description\":\"new words\"");
    assert_int_equal(fixture_try(&fixture, renamed, NULL), MMGR_OK);
    assert_int_equal(number(MMGR_CACHE_HITS), 1);
    mmgr_record *moved =
        models_record("m0", "lora", "lycoris", models_path("m1.safetensors"), NULL);
    mmgr_loaded *loaded = fixture_load(&fixture, moved, NULL);
    assert_int_equal(mmgr_tensor_set_bytes(mmgr_loaded_state_dict(loaded)), 200);
    assert_int_equal(number(MMGR_CACHE_RAM_BYTES), 200);
    mmgr_loaded_unref(loaded);
    mmgr_record *rehashed = models_record("m0", "lora", "lycoris", models_path("m1.safetensors"),
                                          ",\"hash\":\"sampled:99\"");
    assert_int_equal(fixture_try(&fixture, rehashed, NULL), MMGR_OK);
    assert_int_equal(number(MMGR_CACHE_MISSES), 3);
    mmgr_record_unref(renamed);
    mmgr_record_unref(moved);
    mmgr_record_unref(rehashed);
    close_all();
}

static void test_failed_load(void **state)
{
    struct service_setup setup = {.max_ram = 1000};
    open_all(&setup);
    assert_int_equal(truncate(models_path("m2.safetensors"), 120), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fixture_try(&fixture, records[2], NULL), MMGR_ERR_INVALID_FILE);
        assert_int_equal(number(MMGR_CACHE_RAM_BYTES), 0);
        assert_int_equal(number(MMGR_CACHE_MODELS), 0);
    }
    /* A failure is not remembered. */
    models_file("m2.safetensors", 2, 300);
    assert_int_equal(fixture_try(&fixture, records[2], NULL), MMGR_OK);
    assert_int_equal(unlink(models_path("m2.safetensors")), 0);
    assert_int_equal(fixture_try(&fixture, records[2], NULL), MMGR_ERR_MODEL_NOT_FOUND);
    close_all();
}

static enum mmgr_result load_once(void *user)
{
    mmgr_loaded *loaded = NULL;
    enum mmgr_result result = mmgr_load_service_load(fixture.service, records[0], NULL, &loaded);
    assert_true((result == MMGR_OK) == (loaded != NULL));
    mmgr_loaded_unref(loaded);
    assert_int_equal(mmgr_load_service_unload(fixture.service, NULL), MMGR_OK);
    assert_int_equal(number(MMGR_CACHE_RAM_BYTES), 0);
    assert_int_equal(number(MMGR_CACHE_MODELS), 0);
    return result;
}

static void test_no_memory(void **state)
{
    struct service_setup setup = {0};
    open_all(&setup);
    int rounds;
    assert_int_equal(sweep_allocations(load_once, NULL, &rounds), 0);
    assert_true(rounds > 10);
    close_all();
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, models_setup, models_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(test_hits),           WITH_FOLDER(test_lru),
        WITH_FOLDER(test_held),           WITH_FOLDER(test_unload),
        WITH_FOLDER(test_changed_record), WITH_FOLDER(test_failed_load),
        WITH_FOLDER(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
