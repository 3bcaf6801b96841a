/* SPDX-License-Identifier: MIT */
/* Small models, records and a service for the tests of loading. */
#include "models.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/temp_dir.h"
#include "base/alloc.h"
#include "base/io.h"

int models_setup(void **state)
{
    return temp_setup(state);
}

int models_teardown(void **state)
{
    int result = temp_teardown(state);
    if (mmgr__alloc_live() != 0) {
        print_error("%llu allocations are left\n", (unsigned long long)mmgr__alloc_live());
        return -1;
    }
    return result;
}

const char *models_path(const char *name)
{
    static char buffers[8][1024];
    static unsigned next;
    char *buffer = buffers[next++ % 8];
    snprintf(buffer, sizeof buffers[0], "%s/%s", temp_dir, name);
    return buffer;
}

static void make_folder_of(const char *name)
{
    char folder[1024];
    snprintf(folder, sizeof folder, "%s", models_path(name));
    *strrchr(folder, '/') = '\0';
    assert_int_equal(mmgr__io_mkdirs(folder, 0777), 0);
}

void models_text(const char *name, const char *text)
{
    make_folder_of(name);
    temp_write(name, text, strlen(text));
}

unsigned char model_byte(unsigned seed, const char *name, unsigned i)
{
    unsigned hash = 2166136261u ^ seed;
    for (; *name != '\0'; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    return (unsigned char)((hash + i * 2654435761u) >> 13);
}

void models_safetensors(const char *path, unsigned seed, const struct model_tensor *tensors,
                        unsigned count)
{
    char header[16384] = "{";
    unsigned length = 1, offset = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct model_tensor *t = &tensors[i];
        char shape[64];
        snprintf(shape, sizeof shape, "[%u]", t->bytes);
        length +=
            (unsigned)snprintf(header + length, sizeof header - length,
                               "%s\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%u,%u]}",
                               i > 0 ? "," : "", t->name, t->dtype != NULL ? t->dtype : "U8",
                               t->dtype != NULL ? t->shape : shape, offset, offset + t->bytes);
        offset += t->bytes;
    }
    length += (unsigned)snprintf(header + length, sizeof header - length, "}");
    unsigned char *data = malloc(8 + length + offset), *at = data + 8 + length;
    for (unsigned i = 0; i < 8; i++)
        data[i] = i < 4 ? (unsigned char)(length >> (8 * i)) : 0;
    memcpy(data + 8, header, length);
    for (unsigned i = 0; i < count; i++)
        for (unsigned k = 0; k < tensors[i].bytes; k++)
            *at++ = model_byte(seed, tensors[i].name, k);
    make_folder_of(path);
    temp_write(path, data, 8 + length + offset);
    free(data);
}

void models_file(const char *path, unsigned seed, unsigned bytes)
{
    struct model_tensor tensor = {"w", NULL, NULL, bytes};
    models_safetensors(path, seed, &tensor, 1);
}

mmgr_record *models_record(const char *key, const char *type, const char *format, const char *path,
                           const char *more)
{
    char json[4096];
    snprintf(json, sizeof json,
             "{\"key\":\"%s\",\"name\":\"%s\",\"type\":\"%s\",\"format\":\"%s\",\"base\":\"sd-1\","
             "\"path\":\"%s\"%s}",
             key, key, type, format, path, more != NULL ? more : "");
    mmgr_record *record = NULL;
    if (mmgr_record_from_json(json, &record) != MMGR_OK)
        fail_msg("record: %s", mmgr_error_message(mmgr_last_error()));
    return record;
}

int sweep_allocations(enum mmgr_result (*run)(void *user), void *user, int *rounds)
{
    uint64_t live = mmgr__alloc_live();
    enum mmgr_result result;
    int faults = 0, reached;
    *rounds = 0;
    do {
        uint64_t before = mmgr__alloc_count();
        ++*rounds;
        mmgr__alloc_fail_at((uint64_t)*rounds, *rounds % 2);
        result = run(user);
        reached = mmgr__alloc_count() - before >= (uint64_t)*rounds;
        mmgr__alloc_fail_at(0, 0);
        faults += (result != MMGR_OK && result != MMGR_ERR_NO_MEMORY) || mmgr__alloc_live() != live;
    } while (reached); /* a failure may be tolerated; this one was not even met */
    return faults + (result != MMGR_OK);
}

static void check(enum mmgr_result result)
{
    if (result != MMGR_OK)
        fail_msg("%s: %s", mmgr_result_name(result), mmgr_error_message(mmgr_last_error()));
}

void fixture_open(struct fixture *fixture, const struct service_setup *setup)
{
    char root[512];
    snprintf(root, sizeof root, "%s", models_path("root"));
    struct mmgr_config_options config = {
        sizeof config, MMGR_CONFIG_NO_ENVIRONMENT | MMGR_CONFIG_NO_FILE, root, NULL};
    check(mmgr_config_new(&config, &fixture->config));
    struct mmgr_store_options store = {.struct_size = sizeof store, .config = fixture->config};
    check(mmgr_store_open(&store, &fixture->store));
    check(mmgr_device_open(setup->device != NULL ? setup->device : "cpu", &fixture->device));
    struct mmgr_load_service_options options = {
        .struct_size = sizeof options,
        .config = fixture->config,
        .store = fixture->store,
        .registry = setup->registry,
        .bus = setup->bus,
        .device = fixture->device,
        .max_ram = setup->max_ram != 0 ? setup->max_ram : MMGR_NONE,
        .max_vram = setup->max_vram != 0 ? setup->max_vram : MMGR_NONE};
    check(mmgr_load_service_open(&options, &fixture->service));
}

void fixture_close(struct fixture *fixture)
{
    check(mmgr_load_service_close(fixture->service));
    check(mmgr_store_close(fixture->store));
    mmgr_device_unref(fixture->device);
    mmgr_config_unref(fixture->config);
}

uint64_t fixture_number(const struct fixture *fixture, enum mmgr_cache_number which)
{
    return mmgr_load_service_number(fixture->service, which);
}

mmgr_loaded *fixture_load(struct fixture *fixture, const mmgr_record *record, const char *submodel)
{
    struct mmgr_load_options options = {.struct_size = sizeof options, .submodel = submodel};
    mmgr_loaded *loaded = NULL;
    check(mmgr_load_service_load(fixture->service, record, &options, &loaded));
    return loaded;
}

enum mmgr_result fixture_try(struct fixture *fixture, const mmgr_record *record,
                             const char *submodel)
{
    struct mmgr_load_options options = {.struct_size = sizeof options, .submodel = submodel};
    mmgr_loaded *loaded = NULL;
    enum mmgr_result result = mmgr_load_service_load(fixture->service, record, &options, &loaded);
    if (result != MMGR_OK)
        assert_null(loaded);
    mmgr_loaded_unref(loaded);
    return result;
}
