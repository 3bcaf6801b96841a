/* SPDX-License-Identifier: MIT */
/* Four threads at once on one service: one read for all who ask, and budgets that hold at every
 * moment. */
#include "models.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "device/device.h"

enum { MODELS = 8, THREADS = 4, ROUNDS = 1500, CAPACITY = 1500, MAX_VRAM = 1300, MAX_RAM = 2000 };
static mmgr_record *records[MODELS];
static struct fixture fixture;
static atomic_int faults;
static pthread_barrier_t barrier;

static unsigned size_of(int model)
{
    return 100u * (unsigned)(model + 1);
}

static void fault(const char *what)
{
    if (atomic_fetch_add(&faults, 1) == 0)
        fprintf(stderr, "%s: %s\n", what, mmgr_error_message(mmgr_last_error()));
}

static int same(const mmgr_tensor *tensor, int model)
{
    const unsigned char *data = tensor->data;
    for (unsigned i = 0; i < size_of(model); i += 7)
        if (data[i] != model_byte((unsigned)model, "w", i))
            return 0;
    return tensor->bytes == size_of(model);
}

/* Lock, look at the bytes on the device, check the invariants that hold at every moment. */
static void use(mmgr_loaded *loaded, int model, int nested)
{
    const mmgr_tensor_set *set = NULL;
    enum mmgr_result result = mmgr_loaded_lock(loaded, &set);
    if (result == MMGR_ERR_DEVICE_MEMORY)
        return; /* the others hold the room */
    if (result != MMGR_OK) {
        fault("lock");
        return;
    }
    if (!same(mmgr_tensor_set_at(set, 0), model))
        fault("bytes on the device");
    if (fixture_number(&fixture, MMGR_CACHE_DEVICE_BYTES) > MAX_VRAM)
        fault("device budget");
    if (nested)
        use(loaded, model, 0);
    if (mmgr_loaded_unlock(loaded) != MMGR_OK)
        fault("unlock");
}

static void *random_work(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument * 7919u + 1;
    for (int round = 0; round < ROUNDS; round++) {
        int model = rand_r(&seed) % MODELS;
        mmgr_loaded *loaded = NULL;
        if (mmgr_load_service_load(fixture.service, records[model], NULL, &loaded) != MMGR_OK) {
            fault("load");
            continue;
        }
        if (!same(mmgr_tensor_set_at(mmgr_loaded_state_dict(loaded), 0), model))
            fault("bytes in RAM");
        if (rand_r(&seed) % 4 != 0)
            use(loaded, model, rand_r(&seed) % 2);
        if (rand_r(&seed) % 50 == 0) {
            char key[16];
            snprintf(key, sizeof key, "m%d", rand_r(&seed) % MODELS);
            mmgr_load_service_unload(fixture.service, rand_r(&seed) % 2 ? key : NULL);
        }
        mmgr_loaded_unref(loaded);
    }
    return NULL;
}

static void run_threads(void *(*work)(void *))
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&faults), 0);
}

static void make_models(void)
{
    for (int i = 0; i < MODELS; i++) {
        char key[16], file[32];
        snprintf(key, sizeof key, "m%d", i);
        snprintf(file, sizeof file, "m%d.safetensors", i);
        models_file(file, (unsigned)i, size_of(i));
        records[i] = models_record(key, "lora", "lycoris", models_path(file), NULL);
    }
}

static void free_models(void)
{
    for (int i = 0; i < MODELS; i++)
        mmgr_record_unref(records[i]);
}

static void test_random(void **state)
{
    char device[32];
    snprintf(device, sizeof device, "fake:%d", CAPACITY);
    struct service_setup setup = {.device = device, .max_ram = MAX_RAM, .max_vram = MAX_VRAM};
    make_models();
    fixture_open(&fixture, &setup);
    run_threads(random_work);
    struct mmgr__fake_numbers numbers;
    mmgr__fake_numbers(fixture.device, &numbers);
    assert_true(numbers.high <= MAX_VRAM);
    /* Nobody holds anything any more. */
    assert_true(fixture_number(&fixture, MMGR_CACHE_RAM_BYTES) <= MAX_RAM);
    assert_int_equal(fixture_number(&fixture, MMGR_CACHE_DEVICE_BYTES), numbers.used);
    assert_int_equal(fixture_number(&fixture, MMGR_CACHE_HITS) +
                         fixture_number(&fixture, MMGR_CACHE_MISSES),
                     THREADS * ROUNDS);
    assert_true(fixture_number(&fixture, MMGR_CACHE_EVICTIONS) > 0);
    assert_true(fixture_number(&fixture, MMGR_CACHE_OFFLOADS) > 0);
    mmgr_load_service_unload(fixture.service, NULL);
    assert_int_equal(fixture_number(&fixture, MMGR_CACHE_RAM_BYTES), 0);
    mmgr__fake_numbers(fixture.device, &numbers);
    assert_int_equal(numbers.used, 0);
    fixture_close(&fixture);
    free_models();
}

/* A host's loader that counts, and takes long enough for the others to come. */
static atomic_int loads, fail_loads;

static enum mmgr_result counting_load(void *self, const mmgr_load_request *request,
                                      mmgr_load_result *result)
{
    atomic_fetch_add(&loads, 1);
    struct timespec time = {0, 20000000};
    nanosleep(&time, NULL);
    if (atomic_load(&fail_loads))
        return MMGR_ERR_TIMEOUT;
    return mmgr_tensor_set_read(request->path, NULL, NULL, &result->tensors);
}

static void *load_one(void *argument)
{
    mmgr_loaded *loaded = NULL;
    pthread_barrier_wait(&barrier);
    enum mmgr_result result = mmgr_load_service_load(fixture.service, records[0], NULL, &loaded);
    if (result != (atomic_load(&fail_loads) ? MMGR_ERR_PLUGIN : MMGR_OK))
        fault("load");
    if (result != MMGR_OK && strstr(mmgr_error_message(mmgr_last_error()), "counting") == NULL)
        fault("the waiters' error says why");
    pthread_barrier_wait(&barrier);
    mmgr_loaded_unref(loaded);
    return NULL;
}

static void test_one_read(void **state)
{
    mmgr_loader_ops ops = {sizeof ops, 1, "counting", counting_load, NULL, NULL, NULL};
    struct service_setup setup = {0};
    assert_int_equal(mmgr_loader_registry_new(&setup.registry), MMGR_OK);
    assert_int_equal(
        mmgr_loader_registry_add(setup.registry, "any", "lora", "lycoris", &ops, NULL, NULL),
        MMGR_OK);
    make_models();
    fixture_open(&fixture, &setup);
    pthread_barrier_init(&barrier, NULL, THREADS);
    run_threads(load_one);
    assert_int_equal(atomic_load(&loads), 1);
    assert_int_equal(fixture_number(&fixture, MMGR_CACHE_MISSES), 1);
    assert_int_equal(fixture_number(&fixture, MMGR_CACHE_HITS), THREADS - 1);
    mmgr_load_service_unload(fixture.service, NULL);
    atomic_store(&fail_loads, 1);
    run_threads(load_one);
    assert_int_equal(fixture_number(&fixture, MMGR_CACHE_MODELS), 0);
    pthread_barrier_destroy(&barrier);
    fixture_close(&fixture);
    mmgr_loader_registry_unref(setup.registry);
    free_models();
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, models_setup, models_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {WITH_FOLDER(test_random), WITH_FOLDER(test_one_read)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
