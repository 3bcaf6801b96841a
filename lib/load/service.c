/* SPDX-License-Identifier: MIT */
/* The load service: its options and budgets, statistics, unloading, and loaded handles. */
#include "load/service.h"

#include <string.h>

#include "base/alloc.h"
#include "base/event.h"
#include "base/config.h"
#include "base/options.h"
#include "device/device.h"
#include "store/store.h"

#define GIB ((uint64_t)1 << 30)

/* Half of the machine's memory (or of the control group's share) less 2 GiB for everybody else,
 * yet never less than a quarter. */
static uint64_t default_ram(void)
{
    uint64_t available, total;
    mmgr__host_memory(&available, &total);
    uint64_t half = total / 2 > 2 * GIB ? total / 2 - 2 * GIB : 0;
    return half > total / 4 ? half : total / 4;
}

/* Option over config over default; MMGR_NONE lifts the bound. */
static enum mmgr_result budget(const mmgr_config *config, const char *field, int64_t option,
                               uint64_t otherwise, uint64_t *bytes)
{
    if (option < MMGR_NONE)
        return mmgr__bad_argument(field);
    if (option == 0) {
        enum mmgr_result result = mmgr_config_get_number(config, field, &option);
        if (result != MMGR_OK)
            return result;
    }
    *bytes = option < 0 ? UINT64_MAX : option == 0 ? otherwise : (uint64_t)option;
    return MMGR_OK;
}

static enum mmgr_result choose_device(const struct mmgr_load_service_options *options,
                                      mmgr_device **device)
{
    if (options->device != NULL) {
        *device = mmgr_device_ref(options->device);
        return MMGR_OK;
    }
    const char *name = mmgr_config_get(options->config, "device");
    /* Of the built-in devices the CPU is the only one for work. */
    if (name == NULL || strcmp(name, "auto") == 0)
        name = "cpu";
    return mmgr_device_open(name, device);
}

static void free_service(mmgr_load_service *service)
{
    mmgr_device_unref(service->device);
    mmgr_loader_registry_unref(service->registry);
    mmgr__bus_unuse(service->bus);
    mmgr__store_unuse(service->store);
    mmgr_config_unref(service->config);
    pthread_mutex_destroy(&service->moves);
    pthread_mutex_destroy(&service->guard);
    pthread_cond_destroy(&service->loaded);
    mmgr__free(service);
}

static enum mmgr_result set_up(mmgr_load_service *service,
                               const struct mmgr_load_service_options *options)
{
    service->config = mmgr_config_ref(options->config);
    service->store = options->store;
    mmgr__store_use(service->store);
    service->bus = options->bus;
    mmgr__bus_use(service->bus);
    enum mmgr_result result = budget(options->config, "max_cache_ram", options->max_ram,
                                     default_ram(), &service->max_ram);
    if (result == MMGR_OK)
        /* Without a word the device's own size is the bound. */
        result = budget(options->config, "max_cache_vram", options->max_vram, UINT64_MAX,
                        &service->max_vram);
    if (result == MMGR_OK && options->registry != NULL)
        service->registry = mmgr_loader_registry_ref(options->registry);
    else if (result == MMGR_OK)
        result = mmgr_loader_registry_new(&service->registry);
    if (result == MMGR_OK)
        result = choose_device(options, &service->device);
    if (result == MMGR_OK)
        service->device_is_host = mmgr__device_is_host(service->device);
    return result;
}

enum mmgr_result mmgr_load_service_open(const struct mmgr_load_service_options *options,
                                        mmgr_load_service **service)
{
    struct mmgr_load_service_options given;
    if (service == NULL)
        return mmgr__bad_argument("service");
    enum mmgr_result result = MMGR__IMPORT(given, options, max_vram);
    if (result != MMGR_OK)
        return result;
    if (given.flags != 0)
        return mmgr__bad_argument("options.flags");
    if (given.config == NULL)
        return mmgr__bad_argument("options.config");
    if (given.store == NULL)
        return mmgr__bad_argument("options.store");
    mmgr_load_service *made = mmgr__alloc0(1, sizeof *made);
    if (made == NULL)
        return mmgr__oom();
    pthread_mutex_init(&made->moves, NULL);
    pthread_mutex_init(&made->guard, NULL);
    mmgr__cond_init(&made->loaded);
    result = set_up(made, &given);
    if (result != MMGR_OK) {
        free_service(made);
        return result;
    }
    mmgr__config_freeze(given.config);
    *service = made;
    return MMGR_OK;
}

/* Retire the entries of a key, or all. */
static void retire(mmgr_load_service *service, const char *key)
{
    struct mmgr__entry *chain = NULL, *next;
    pthread_mutex_lock(&service->guard);
    for (struct mmgr__entry *entry = service->entries; entry != NULL; entry = next) {
        next = entry->next;
        if (key == NULL || strcmp(entry->key, key) == 0)
            mmgr__cache_retire(service, entry, &chain);
    }
    pthread_mutex_unlock(&service->guard);
    mmgr__cache_dispose(service, chain);
}

enum mmgr_result mmgr_load_service_close(mmgr_load_service *service)
{
    if (service == NULL)
        return MMGR_OK;
    pthread_mutex_lock(&service->guard);
    int held = 0;
    for (struct mmgr__entry *entry = service->entries; entry != NULL; entry = entry->next)
        held |= entry->holders > 0;
    pthread_mutex_unlock(&service->guard);
    if (held)
        return mmgr__fail(MMGR_ERR_BUSY,
                          "cannot close the load service: loaded models are still held");
    retire(service, NULL);
    free_service(service);
    return MMGR_OK;
}

enum mmgr_result mmgr_load_service_unload(mmgr_load_service *service, const char *key)
{
    if (service == NULL)
        return mmgr__bad_argument("service");
    retire(service, key);
    return MMGR_OK;
}

static uint64_t number(const mmgr_load_service *service, enum mmgr_cache_number which)
{
    switch (which) {
    case MMGR_CACHE_HITS:
        return service->hits;
    case MMGR_CACHE_MISSES:
        return service->misses;
    case MMGR_CACHE_EVICTIONS:
        return service->evictions;
    case MMGR_CACHE_RAM_BYTES:
        return service->ram_bytes;
    case MMGR_CACHE_RAM_HIGH:
        return service->ram_high;
    case MMGR_CACHE_MODELS:
        return service->models;
    case MMGR_CACHE_DEVICE_BYTES:
        return service->device_bytes;
    case MMGR_CACHE_OFFLOADS:
        return service->offloads;
    case MMGR_CACHE_UPLOADS:
        return service->uploads;
    case MMGR_CACHE_OVERRUNS:
        return service->overruns;
    default:
        return 0;
    }
}

uint64_t mmgr_load_service_number(const mmgr_load_service *service, enum mmgr_cache_number which)
{
    if (service == NULL)
        return 0;
    pthread_mutex_t *guard = &((mmgr_load_service *)service)->guard;
    pthread_mutex_lock(guard);
    uint64_t value = number(service, which);
    pthread_mutex_unlock(guard);
    return value;
}

mmgr_loaded *mmgr_loaded_ref(mmgr_loaded *loaded)
{
    if (loaded != NULL)
        mmgr__refs_take(&loaded->refs);
    return loaded;
}

void mmgr_loaded_unref(mmgr_loaded *loaded)
{
    if (loaded == NULL || !mmgr__refs_drop(&loaded->refs))
        return;
    mmgr__cache_release(loaded->service, loaded->entry, loaded->locks);
    mmgr_record_unref(loaded->record);
    mmgr__free(loaded);
}

const mmgr_record *mmgr_loaded_record(const mmgr_loaded *loaded)
{
    return loaded != NULL ? loaded->record : NULL;
}

const mmgr_tensor_set *mmgr_loaded_state_dict(const mmgr_loaded *loaded)
{
    return loaded != NULL ? loaded->entry->ram : NULL;
}

void *mmgr_loaded_object(const mmgr_loaded *loaded)
{
    return loaded != NULL ? loaded->entry->object : NULL;
}
