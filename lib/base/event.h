/* SPDX-License-Identifier: MIT */
/* Sending events. A service fills a struct mmgr__event_data (everything is copied) and sends it on a bus. */
#ifndef BASE_EVENT_H
#define BASE_EVENT_H

#include <modelmgr/event.h>

#include "base/error.h"

struct mmgr__event_part {
    const char *path;
    uint64_t bytes, total;
};
/* Handlers of one job, shared by the job and its events in flight. Thread-safe. */
struct mmgr__handlers;
struct mmgr__handlers *mmgr__handlers_new(void);
struct mmgr__handlers *mmgr__handlers_ref(struct mmgr__handlers *handlers);
void mmgr__handlers_unref(struct mmgr__handlers *handlers); /* last one calls every user_free */
enum mmgr_result mmgr__handlers_add(struct mmgr__handlers *handlers, mmgr_event_fn fn, void *user,
                                    mmgr_user_free_fn user_free);
void mmgr__handlers_clear(struct mmgr__handlers *handlers);

struct mmgr__event_data {
    enum mmgr_event_type type;
    uint64_t job, bytes, total;
    const char *texts[8]; /* indexed by enum mmgr_event_text */
    const struct mmgr_error *error;
    const struct mmgr__event_part *parts;
    uint32_t part_count;
    /* Called in this order before the bus's subscribers: the job's handlers, the service's defaults. */
    struct mmgr__handlers *handlers[2];
    /* Told, on the dispatcher thread with no lock held, the strongest decision of all handlers when it is
     * not CONTINUE. `service` must live until its last event is delivered: mmgr__bus_drain(). */
    void (*decide)(void *service, uint64_t job, enum mmgr_decision decision);
    void *service;
};
/* Send. Never blocks on handlers. Progress events (…_RUNNING of downloads, …_DOWNLOADING of installs) of one
 * job that wait are merged. Returns NO_MEMORY only for events that are not progress. */
enum mmgr_result mmgr__bus_send(mmgr_bus *bus, const struct mmgr__event_data *data);
/* Wait until everything sent so far has been delivered to callbacks; BUSY from inside a handler. */
enum mmgr_result mmgr__bus_drain(mmgr_bus *bus);
/* While a service uses the bus, closing it is BUSY. NULL allowed. */
void mmgr__bus_use(mmgr_bus *bus);
void mmgr__bus_unuse(mmgr_bus *bus);
/* 1 when called on the bus's dispatcher thread. */
int mmgr__bus_in_handler(const mmgr_bus *bus);

#endif
