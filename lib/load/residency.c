/* SPDX-License-Identifier: MIT */
/* What is on the execution device: locks bring models there, and models that nobody locks make
 * room. */
#include "base/alloc.h"
#include "load/service.h"
#include "load/tensors.h"

/* Unlocked models on the device that are to be moved off, least recently used first. */
struct victims {
    struct mmgr__entry **items;
    size_t count;
    uint64_t bytes;
};

struct mmgr__entry *mmgr__residency_reap(mmgr_load_service *service)
{
    pthread_mutex_lock(&service->guard);
    struct mmgr__entry *chain = service->dead;
    service->dead = NULL;
    pthread_mutex_unlock(&service->guard);
    for (struct mmgr__entry *entry = chain; entry != NULL; entry = entry->next) {
        mmgr_tensor_set_unref(entry->on_device);
        entry->on_device = NULL;
        pthread_mutex_lock(&service->guard);
        service->device_bytes -= entry->device_bytes;
        pthread_mutex_unlock(&service->guard);
    }
    return chain;
}

/* All unlocked models on the device, least recently used first. Guard held; sorted by insertion,
 * since there are tens of them at most. */
static int collect(mmgr_load_service *service, struct victims *all)
{
    size_t room = 0;
    for (struct mmgr__entry *entry = service->entries; entry != NULL; entry = entry->next)
        room += entry->on_device != NULL && entry->locks == 0;
    *all = (struct victims){mmgr__alloc0(room + 1, sizeof *all->items), 0, 0};
    if (all->items == NULL)
        return 0;
    for (struct mmgr__entry *entry = service->entries; entry != NULL; entry = entry->next) {
        if (entry->on_device == NULL || entry->locks > 0)
            continue;
        size_t at = all->count++;
        for (; at > 0 && all->items[at - 1]->used > entry->used; at--)
            all->items[at] = all->items[at - 1];
        all->items[at] = entry;
        all->bytes += entry->device_bytes;
    }
    return 1;
}

/* Keep of the victims what is needed to free `missing` bytes: the oldest that suffice, less
 * those that turn out not to be needed beside the others. */
static void choose(struct victims *all, uint64_t missing)
{
    size_t count = 0, kept = 0;
    uint64_t bytes = 0;
    while (count < all->count && bytes < missing)
        bytes += all->items[count++]->device_bytes;
    for (size_t i = count; i-- > 0;)
        if (bytes - all->items[i]->device_bytes >= missing) {
            bytes -= all->items[i]->device_bytes;
            all->items[i] = NULL;
        }
    for (size_t i = 0; i < count; i++)
        if (all->items[i] != NULL)
            all->items[kept++] = all->items[i];
    all->count = kept;
    all->bytes = bytes;
}

/* Move models off so that `missing` bytes become free; moves nothing when that cannot be.
 * `moves` held. *freed tells what came free. */
static enum mmgr_result offload(mmgr_load_service *service, uint64_t missing, uint64_t *freed)
{
    struct victims victims;
    pthread_mutex_lock(&service->guard);
    int have = collect(service, &victims);
    if (have && victims.bytes < missing)
        victims.count = 0;
    else if (have)
        choose(&victims, missing);
    mmgr_tensor_set **sets = have ? mmgr__alloc0(victims.count + 1, sizeof *sets) : NULL;
    *freed = 0;
    for (size_t i = 0; sets != NULL && i < victims.count; i++) {
        sets[i] = victims.items[i]->on_device;
        victims.items[i]->on_device = NULL;
        *freed += victims.items[i]->device_bytes;
        victims.items[i]->device_bytes = 0;
    }
    pthread_mutex_unlock(&service->guard);
    for (size_t i = 0; sets != NULL && i < victims.count; i++)
        mmgr_tensor_set_unref(sets[i]);
    if (*freed > 0) {
        pthread_mutex_lock(&service->guard);
        service->device_bytes -= *freed;
        service->offloads += victims.count;
        pthread_mutex_unlock(&service->guard);
    }
    mmgr__free(victims.items);
    int failed = sets == NULL;
    mmgr__free(sets);
    return failed ? mmgr__oom() : MMGR_OK;
}

static enum mmgr_result no_room(const mmgr_load_service *service, uint64_t need)
{
    enum mmgr_result result = mmgr__fail(
        MMGR_ERR_DEVICE_MEMORY, "device %s: no room for %llu bytes beside the models in use",
        mmgr_device_name(service->device), (unsigned long long)need);
    mmgr__error_set_subject(mmgr_device_name(service->device));
    return result;
}

/* Bring the budget and the device's own figure to at least `need` free bytes. `moves` held. */
static enum mmgr_result make_room(mmgr_load_service *service, uint64_t need)
{
    uint64_t unused = 0, total = 0, freed = 0;
    enum mmgr_result result = mmgr_device_memory(service->device, &unused, &total);
    if (result != MMGR_OK)
        return result;
    pthread_mutex_lock(&service->guard);
    uint64_t used = service->device_bytes;
    pthread_mutex_unlock(&service->guard);
    uint64_t budget = service->max_vram > used ? service->max_vram - used : 0;
    uint64_t room = total == UINT64_MAX || budget < unused ? budget : unused;
    if (need <= room)
        return MMGR_OK;
    result = offload(service, need - room, &freed);
    if (result == MMGR_OK && freed < need - room)
        result = no_room(service, need);
    return result;
}

/* Copy an entry's tensors to the device, moving others off as long as the device says that it is
 * full. `moves` held. */
static enum mmgr_result upload(mmgr_load_service *service, struct mmgr__entry *entry, uint64_t need,
                               mmgr_tensor_set **set)
{
    enum mmgr_result result = make_room(service, need);
    while (result == MMGR_OK) {
        result = mmgr__tensor_set_upload(entry->ram, service->device, set);
        if (result != MMGR_ERR_DEVICE_MEMORY)
            return result;
        /* The figures promised room, yet it was not there: fragments, or another user of the
         * device. */
        struct mmgr_error why;
        uint64_t freed = 0;
        mmgr__error_save(&why);
        result = offload(service, 1, &freed);
        if (result == MMGR_OK && freed == 0)
            return mmgr__error_restore(&why);
    }
    return result;
}

/* Take one lock if the model is where it has to be. Guard held. */
static int lock_in_place(mmgr_loaded *loaded, const mmgr_tensor_set **set)
{
    struct mmgr__entry *entry = loaded->entry;
    mmgr_load_service *service = loaded->service;
    const mmgr_tensor_set *here = service->device_is_host ? entry->ram : entry->on_device;
    if (entry->ram != NULL && here == NULL)
        return 0;
    entry->locks++;
    loaded->locks++;
    mmgr__cache_touch(service, entry);
    *set = here;
    return 1;
}

/* Bring the model to the device and lock it. `moves` held. */
static enum mmgr_result lock_by_moving(mmgr_loaded *loaded, const mmgr_tensor_set **set)
{
    mmgr_load_service *service = loaded->service;
    struct mmgr__entry *entry = loaded->entry;
    pthread_mutex_lock(&service->guard);
    int done = lock_in_place(loaded, set); /* another thread may have brought it meanwhile */
    pthread_mutex_unlock(&service->guard);
    if (done)
        return MMGR_OK;
    uint64_t need = mmgr__tensor_set_footprint(entry->ram);
    mmgr_tensor_set *made = NULL;
    enum mmgr_result result = upload(service, entry, need, &made);
    if (result != MMGR_OK)
        return result;
    pthread_mutex_lock(&service->guard);
    entry->on_device = made;
    entry->device_bytes = need;
    service->device_bytes += need;
    service->uploads++;
    lock_in_place(loaded, set);
    pthread_mutex_unlock(&service->guard);
    return MMGR_OK;
}

enum mmgr_result mmgr_loaded_lock(mmgr_loaded *loaded, const mmgr_tensor_set **set)
{
    if (loaded == NULL)
        return mmgr__bad_argument("loaded");
    mmgr_load_service *service = loaded->service;
    const mmgr_tensor_set *held = NULL;
    enum mmgr_result result = MMGR_OK;
    pthread_mutex_lock(&service->guard);
    int done = lock_in_place(loaded, &held);
    pthread_mutex_unlock(&service->guard);
    if (!done) {
        pthread_mutex_lock(&service->moves);
        /* What was dropped from RAM may still lie on the device. */
        struct mmgr__entry *reaped = mmgr__residency_reap(service);
        result = lock_by_moving(loaded, &held);
        pthread_mutex_unlock(&service->moves);
        mmgr__cache_dispose(service, reaped);
    }
    if (result == MMGR_OK && set != NULL)
        *set = held;
    return result;
}

enum mmgr_result mmgr_loaded_unlock(mmgr_loaded *loaded)
{
    if (loaded == NULL)
        return mmgr__bad_argument("loaded");
    mmgr_load_service *service = loaded->service;
    pthread_mutex_lock(&service->guard);
    int locked = loaded->locks > 0;
    if (locked) {
        loaded->locks--;
        loaded->entry->locks--;
        mmgr__cache_touch(service, loaded->entry);
    }
    pthread_mutex_unlock(&service->guard);
    if (!locked)
        return mmgr__fail(MMGR_ERR_STATE, "model %s is not locked through this handle",
                          loaded->entry->key);
    return MMGR_OK;
}
