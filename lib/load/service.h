/* SPDX-License-Identifier: MIT */
/* Inside of the load service. docs/loading.md tells the states and the lock order. */
#ifndef LOAD_SERVICE_H
#define LOAD_SERVICE_H

#include <modelmgr/load.h>

#include "base/error.h"
#include "base/thread.h"
#include "load/registry.h"

enum mmgr__entry_state { MMGR__ENTRY_LOADING, MMGR__ENTRY_READY, MMGR__ENTRY_FAILED };

/* One model or submodel in the cache. Everything but the texts is guarded by the service's
 * guard. */
struct mmgr__entry {
    struct mmgr__entry *next;
    char *key, *submodel; /* submodel "" for a whole model */
    char *origin; /* what the record said of the model's files; another origin is another model */
    enum mmgr__entry_state state;
    int stale;        /* nobody finds it any more; goes with its last holder */
    uint32_t holders; /* loaded handles, and calls that wait for the load */
    uint32_t locks;   /* of all handles together */
    uint64_t used;    /* the service's clock at the last use */
    uint64_t bytes;   /* counted in ram_bytes; an estimate while loading */
    mmgr_tensor_set *ram;
    void *object;
    void (*object_free)(void *);
    mmgr_tensor_set *on_device; /* changed only with `moves` held as well */
    uint64_t device_bytes;
    struct mmgr_error error; /* of a FAILED one */
};

/* Lock order: moves, then guard. Loaders, object_free and events are called with neither held;
 * device functions with `moves` at most. */
struct mmgr_load_service {
    mmgr_config *config;
    mmgr_store *store;
    mmgr_loader_registry *registry;
    mmgr_bus *bus;
    mmgr_device *device;
    int device_is_host;
    uint64_t max_ram, max_vram;
    pthread_mutex_t moves; /* one copy to or from the device at a time */
    pthread_mutex_t guard;
    pthread_cond_t loaded; /* an entry left LOADING */
    struct mmgr__entry *entries;
    struct mmgr__entry *dead; /* out of the list, but still on the device */
    uint64_t clock, ram_bytes, ram_high, device_bytes, models;
    uint64_t hits, misses, evictions, offloads, uploads, overruns;
};

struct mmgr_loaded {
    mmgr__refs refs;
    mmgr_load_service *service;
    struct mmgr__entry *entry;
    mmgr_record *record;
    uint32_t locks; /* taken through this handle; guarded by the service's guard */
};

/* --- cache.c: entries and the RAM budget. "guarded": the caller holds the guard. -------------- */

struct mmgr__entry *mmgr__entry_new(const mmgr_record *record, const char *submodel,
                                    const char *origin);
void mmgr__entry_free(struct mmgr__entry *entry); /* no lock held; not on a device any more */
struct mmgr__entry *mmgr__cache_find(mmgr_load_service *service, const char *key,
                                     const char *submodel);
void mmgr__cache_insert(mmgr_load_service *service, struct mmgr__entry *entry);
/* Take an entry out of the list and put it on the chain of those to dispose of. */
void mmgr__cache_detach(mmgr_load_service *service, struct mmgr__entry *entry,
                        struct mmgr__entry **chain);
/* Make the entry unfindable; detach it when nobody holds it. */
void mmgr__cache_retire(mmgr_load_service *service, struct mmgr__entry *entry,
                        struct mmgr__entry **chain);
/* Drop the least recently used models that nobody holds until `need` more bytes fit. 0 = they do
 * not. */
int mmgr__cache_make_room(mmgr_load_service *service, uint64_t need, struct mmgr__entry **chain);
/* Change what an entry counts for. */
void mmgr__cache_account(mmgr_load_service *service, struct mmgr__entry *entry, uint64_t bytes);
void mmgr__cache_touch(mmgr_load_service *service, struct mmgr__entry *entry);
/* Free detached entries, off the device first. No lock held. */
void mmgr__cache_dispose(mmgr_load_service *service, struct mmgr__entry *chain);
/* Give one hold back. No lock held. */
void mmgr__cache_release(mmgr_load_service *service, struct mmgr__entry *entry, uint32_t locks);

/* --- residency.c ------------------------------------------------------------------------------ */

/* Free the device memory of dead entries and hand them back as a chain. `moves` held. */
struct mmgr__entry *mmgr__residency_reap(mmgr_load_service *service);

/* --- fill.c: making an entry's contents ------------------------------------------------------- */

/* Load what the record says into an entry that only this thread fills. No lock held. */
enum mmgr_result mmgr__entry_fill(mmgr_load_service *service, struct mmgr__entry *entry,
                                  const struct mmgr__loader *loader,
                                  const mmgr_load_request *request);

/* --- convert.c -------------------------------------------------------------------------------- */

/* If the loader wants its model converted, make sure that it is; *path is what to load then
 * (owned), else NULL. */
enum mmgr_result mmgr__convert(mmgr_load_service *service, const struct mmgr__loader *loader,
                               const mmgr_load_request *request, char **path);
/* What a host's function returned, as our error; the host may have left a better message.
 * `before` is the thread's last error from before the call. */
enum mmgr_result mmgr__host_result(const struct mmgr__loader *loader, const char *doing,
                                   enum mmgr_result result, const struct mmgr_error *before);
void mmgr__host_begin(struct mmgr_error *before);

#endif
