/* SPDX-License-Identifier: MIT */
/* Entries of the RAM cache: finding, counting, dropping the least recently used within the
 * budget. */
#include <string.h>

#include "base/alloc.h"
#include "load/service.h"
#include "load/tensors.h"

struct mmgr__entry *mmgr__entry_new(const mmgr_record *record, const char *submodel,
                                    const char *origin)
{
    struct mmgr__entry *entry = mmgr__alloc0(1, sizeof *entry);
    if (entry == NULL)
        return NULL;
    entry->key = mmgr__strdup(mmgr_record_text(record, MMGR_FIELD_KEY));
    entry->submodel = mmgr__strdup(submodel != NULL ? submodel : "");
    entry->origin = mmgr__strdup(origin);
    entry->holders = 1;
    if (entry->key == NULL || entry->submodel == NULL || entry->origin == NULL) {
        mmgr__entry_free(entry);
        return NULL;
    }
    return entry;
}

void mmgr__entry_free(struct mmgr__entry *entry)
{
    mmgr_tensor_set_unref(entry->ram);
    if (entry->object != NULL && entry->object_free != NULL)
        entry->object_free(entry->object);
    mmgr__free(entry->key);
    mmgr__free(entry->submodel);
    mmgr__free(entry->origin);
    mmgr__free(entry);
}

struct mmgr__entry *mmgr__cache_find(mmgr_load_service *service, const char *key,
                                     const char *submodel)
{
    for (struct mmgr__entry *entry = service->entries; entry != NULL; entry = entry->next)
        if (!entry->stale && strcmp(entry->key, key) == 0 &&
            strcmp(entry->submodel, submodel != NULL ? submodel : "") == 0)
            return entry;
    return NULL;
}

void mmgr__cache_insert(mmgr_load_service *service, struct mmgr__entry *entry)
{
    entry->next = service->entries;
    service->entries = entry;
    mmgr__cache_touch(service, entry);
}

void mmgr__cache_touch(mmgr_load_service *service, struct mmgr__entry *entry)
{
    entry->used = ++service->clock;
}

void mmgr__cache_account(mmgr_load_service *service, struct mmgr__entry *entry, uint64_t bytes)
{
    service->ram_bytes += bytes - entry->bytes;
    entry->bytes = bytes;
    if (service->ram_bytes > service->ram_high)
        service->ram_high = service->ram_bytes;
}

void mmgr__cache_detach(mmgr_load_service *service, struct mmgr__entry *entry,
                        struct mmgr__entry **chain)
{
    for (struct mmgr__entry **at = &service->entries; *at != NULL; at = &(*at)->next)
        if (*at == entry) {
            *at = entry->next;
            break;
        }
    mmgr__cache_account(service, entry, 0);
    service->models -= entry->state == MMGR__ENTRY_READY;
    entry->next = *chain;
    *chain = entry;
}

void mmgr__cache_retire(mmgr_load_service *service, struct mmgr__entry *entry,
                        struct mmgr__entry **chain)
{
    entry->stale = 1;
    if (entry->holders == 0)
        mmgr__cache_detach(service, entry, chain);
}

int mmgr__cache_make_room(mmgr_load_service *service, uint64_t need, struct mmgr__entry **chain)
{
    uint64_t wanted;
    if (__builtin_add_overflow(service->ram_bytes, need, &wanted))
        wanted = UINT64_MAX;
    while (wanted > service->max_ram) {
        struct mmgr__entry *oldest = NULL;
        for (struct mmgr__entry *entry = service->entries; entry != NULL; entry = entry->next)
            if (entry->holders == 0 && (oldest == NULL || entry->used < oldest->used))
                oldest = entry;
        if (oldest == NULL)
            return 0;
        wanted -= oldest->bytes;
        service->evictions++;
        mmgr__cache_detach(service, oldest, chain);
    }
    return 1;
}

void mmgr__cache_dispose(mmgr_load_service *service, struct mmgr__entry *chain)
{
    int resident = 0;
    while (chain != NULL) {
        struct mmgr__entry *entry = chain;
        chain = entry->next;
        if (entry->on_device == NULL) {
            mmgr__entry_free(entry);
            continue;
        }
        pthread_mutex_lock(&service->guard);
        entry->next = service->dead;
        service->dead = entry;
        pthread_mutex_unlock(&service->guard);
        resident = 1;
    }
    if (!resident)
        return;
    pthread_mutex_lock(&service->moves);
    struct mmgr__entry *reaped = mmgr__residency_reap(service);
    pthread_mutex_unlock(&service->moves);
    while (reaped != NULL) {
        struct mmgr__entry *entry = reaped;
        reaped = entry->next;
        mmgr__entry_free(entry);
    }
}

void mmgr__cache_release(mmgr_load_service *service, struct mmgr__entry *entry, uint32_t locks)
{
    struct mmgr__entry *chain = NULL;
    pthread_mutex_lock(&service->guard);
    entry->locks -= locks;
    entry->holders--;
    if (entry->state == MMGR__ENTRY_FAILED) {
        /* It left the list when it failed. */
        if (entry->holders == 0)
            chain = entry;
        entry->next = NULL;
    } else {
        mmgr__cache_touch(service, entry);
        if (entry->stale && entry->holders == 0)
            mmgr__cache_detach(service, entry, &chain);
        /* What went over the budget while everything was held comes down as soon as something is
         * free. */
        mmgr__cache_make_room(service, 0, &chain);
    }
    pthread_mutex_unlock(&service->guard);
    mmgr__cache_dispose(service, chain);
}
