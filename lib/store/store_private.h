/* SPDX-License-Identifier: MIT */
/* The inside of a store's handle, for the files that implement the public calls. */
#ifndef STORE_STORE_PRIVATE_H
#define STORE_STORE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include <modelmgr/event.h>

#include "store/store.h"

struct mmgr__store_watch;

struct mmgr_store {
    const struct mmgr__store_ops *ops;
    void *self;
    const char *version;
    struct mmgr__store_place place;
    mmgr_config *config;
    mmgr_bus *bus;
    pthread_mutex_t write; /* one writer at a time; events leave in the order of their commits */
    struct mmgr__store_host host;
    struct mmgr__store_watch *watch; /* NULL: nobody asked for it */
    atomic_int users;
    int read_only, lenient;
    int polled;       /* the back end was asked for changes before; under the write lock */
    uint64_t changes; /* of others, as far as we know; likewise */
    pid_t pid; /* SQLite's handles must not be used in a forked child */
};

enum mmgr_result mmgr__store_check(const mmgr_store *store);
enum mmgr_result mmgr__store_check_writable(const mmgr_store *store);
/* The host's lock comes before ours: a host that holds it already may call the store. */
void mmgr__store_lock(mmgr_store *store);
void mmgr__store_unlock(mmgr_store *store);
/* Send an event on the store's bus; under the lock. key may be NULL. */
void mmgr__store_send(const mmgr_store *store, enum mmgr_event_type type, const char *key);

/* Look whether others have changed the records, and count it; under the lock. */
enum mmgr_result mmgr__store_poll(mmgr_store *store, int *changed);
/* Start the thread that sends MMGR_EVENT_STORE_CHANGED when others change the records. */
enum mmgr_result mmgr__store_watch_start(mmgr_store *store);
/* End it; no event comes after this returns. */
void mmgr__store_watch_stop(mmgr_store *store);

#endif
