/* SPDX-License-Identifier: MIT */
/* The inside of events, handler lists and the bus; for the event system's own files. */
#ifndef BASE_EVENT_PRIVATE_H
#define BASE_EVENT_PRIVATE_H

#include "base/event.h"
#include "base/thread.h"

#define EVENT_TEXTS 8

struct event_part {
    char *path;
    uint64_t bytes, total;
};

/* Immutable once sent. */
struct mmgr_event {
    mmgr__refs refs;
    enum mmgr_event_type type;
    uint64_t sequence, job, bytes, total;
    int64_t time;
    char *texts[EVENT_TEXTS];
    struct mmgr_error *error;
    struct event_part *parts;
    uint32_t part_count;
};

/* Copy of the data, without sequence and time; NULL = no memory. */
mmgr_event *mmgr__event_new(const struct mmgr__event_data *data);
/* Group of a type, one of MMGR_EVENTS_*; 0 for a type that does not exist. */
uint32_t mmgr__event_group(enum mmgr_event_type type);
int mmgr__event_is_progress(enum mmgr_event_type type);

/* Handler lists beyond base/event.h. A subscriber hears the events of its groups that were sent after
 * number `since`. */
enum mmgr_result mmgr__handlers_subscribe(struct mmgr__handlers *handlers, uint32_t mask,
                                          uint64_t since, mmgr_event_fn fn, void *user,
                                          mmgr_user_free_fn user_free, uint64_t *id);
/* ARGUMENT when there is no such handler. Waits for a call that runs on another thread. */
enum mmgr_result mmgr__handlers_remove(struct mmgr__handlers *handlers, uint64_t id);
/* Call every handler for the event, with no lock held; *decision is raised to the strongest wish. */
void mmgr__handlers_call(struct mmgr__handlers *handlers, const mmgr_event *event,
                         enum mmgr_decision *decision);
int mmgr__handlers_empty(struct mmgr__handlers *handlers);

/* First-in first-out list of events. What the dispatcher needs beside the event stays in its node, so that
 * an event that a host keeps does not keep handlers alive. */
struct event_node {
    struct event_node *next, *previous;
    mmgr_event *event;
    uint64_t ticket;
    struct mmgr__handlers *handlers[2];
    void (*decide)(void *service, uint64_t job, enum mmgr_decision decision);
    void *service;
};
struct event_queue {
    struct event_node *first, *last;
};
struct event_node *mmgr__event_node_new(
    mmgr_event *event); /* takes a reference; NULL = no memory */
void mmgr__event_node_free(struct event_node *node);
void mmgr__event_queue_add(struct event_queue *queue, struct event_node *node);
void mmgr__event_queue_remove(struct event_queue *queue, struct event_node *node);
/* The waiting progress event that `event` makes obsolete: the job's newest one, of the same type. */
struct event_node *mmgr__event_queue_obsolete(const struct event_queue *queue,
                                              const mmgr_event *event);
void mmgr__event_queue_clear(struct event_queue *queue);

struct mmgr_listener {
    struct mmgr_listener *next;
    mmgr_bus *bus;
    uint32_t mask;
    int fd; /* counts 1 while events wait */
    pthread_cond_t cond;
    struct event_queue queue;
    struct event_node *incoming; /* made for the event being sent */
};

/* With the bus's lock held: an event was added. */
void mmgr__listener_woken(struct mmgr_listener *listener);

struct mmgr_bus {
    pthread_mutex_t mutex; /* guards all below; never held during a callback */
    pthread_cond_t work;   /* for the dispatcher: an event, or closing */
    pthread_cond_t done;   /* for drain: an event was delivered */
    struct event_queue queue;
    uint64_t sequence, tickets, delivered;
    int started, closing, busy;
    uint32_t users; /* services that send on it */
    pthread_t dispatcher;
    struct mmgr__handlers *subscribers;
    struct mmgr_listener *listeners;
};

#endif
