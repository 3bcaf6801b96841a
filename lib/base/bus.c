/* SPDX-License-Identifier: MIT */
/* The bus: numbers events, hands them to the one dispatcher thread and to the listeners. */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/event_private.h"
#include "base/options.h"

enum mmgr_result mmgr_bus_open(const struct mmgr_bus_options *options, mmgr_bus **bus)
{
    struct mmgr_bus_options local;
    enum mmgr_result result;
    mmgr_bus *made;

    if (!bus)
        return mmgr__bad_argument("bus");
    result = MMGR__IMPORT(local, options, flags);
    if (result != MMGR_OK)
        return result;
    if (local.flags)
        return mmgr__bad_argument("flags");
    made = mmgr__alloc0(1, sizeof(*made));
    if (made)
        made->subscribers = mmgr__handlers_new();
    if (!made || !made->subscribers) {
        mmgr__free(made);
        return mmgr__oom();
    }
    pthread_mutex_init(&made->mutex, NULL);
    pthread_cond_init(&made->work, NULL);
    pthread_cond_init(&made->done, NULL);
    *bus = made;
    return MMGR_OK;
}

/* With the lock held. */
static int on_dispatcher(const mmgr_bus *bus)
{
    return bus->started && pthread_equal(bus->dispatcher, pthread_self());
}

int mmgr__bus_in_handler(const mmgr_bus *bus)
{
    mmgr_bus *locked = (mmgr_bus *)bus;
    int inside;

    pthread_mutex_lock(&locked->mutex);
    inside = on_dispatcher(bus);
    pthread_mutex_unlock(&locked->mutex);
    return inside;
}

static void deliver(mmgr_bus *bus, const struct event_node *node)
{
    enum mmgr_decision decision = MMGR_DECISION_CONTINUE;

    for (int i = 0; i < 2; i++)
        if (node->handlers[i])
            mmgr__handlers_call(node->handlers[i], node->event, &decision);
    mmgr__handlers_call(bus->subscribers, node->event, &decision);
    if (decision != MMGR_DECISION_CONTINUE && node->decide)
        node->decide(node->service, node->event->job, decision);
}

static void *dispatch(void *argument)
{
    mmgr_bus *bus = argument;

    pthread_mutex_lock(&bus->mutex);
    for (;;) {
        struct event_node *node = bus->queue.first;
        uint64_t ticket;

        if (!node && bus->closing)
            break;
        if (!node) {
            pthread_cond_wait(&bus->work, &bus->mutex);
            continue;
        }
        mmgr__event_queue_remove(&bus->queue, node);
        bus->busy = 1;
        pthread_mutex_unlock(&bus->mutex);
        deliver(bus, node);
        ticket = node->ticket;
        mmgr__event_node_free(node);
        pthread_mutex_lock(&bus->mutex);
        bus->busy = 0;
        bus->delivered = ticket;
        pthread_cond_broadcast(&bus->done);
    }
    pthread_mutex_unlock(&bus->mutex);
    return NULL;
}

/* With the lock held: the dispatcher runs from now on. */
static enum mmgr_result start_dispatcher(mmgr_bus *bus)
{
    int status;

    if (bus->started)
        return MMGR_OK;
    status = mmgr__thread_start(&bus->dispatcher, dispatch, bus, "mmgr-events");
    if (status != 0) {
        mmgr__fail(MMGR_ERR_NO_MEMORY, "cannot start the dispatcher thread of the event bus");
        mmgr__error_set_errno(status < 0 ? -status : status);
        return MMGR_ERR_NO_MEMORY;
    }
    bus->started = 1;
    return MMGR_OK;
}

enum mmgr_result mmgr_bus_subscribe(mmgr_bus *bus, uint32_t mask, mmgr_event_fn fn, void *user,
                                    mmgr_user_free_fn user_free, uint64_t *id)
{
    enum mmgr_result result;

    if (!bus || !fn || !mask)
        return mmgr__bad_argument(!bus ? "bus" : !fn ? "fn" : "mask");
    pthread_mutex_lock(&bus->mutex);
    result = start_dispatcher(bus);
    if (result == MMGR_OK)
        result = mmgr__handlers_subscribe(bus->subscribers, mask, bus->sequence, fn, user,
                                          user_free, id);
    pthread_mutex_unlock(&bus->mutex);
    return result;
}

enum mmgr_result mmgr_bus_unsubscribe(mmgr_bus *bus, uint64_t id)
{
    if (!bus)
        return mmgr__bad_argument("bus");
    return mmgr__handlers_remove(bus->subscribers, id);
}

static int wants_dispatch(mmgr_bus *bus, const struct mmgr__event_data *data)
{
    for (int i = 0; i < 2; i++)
        if (data->handlers[i] && !mmgr__handlers_empty(data->handlers[i]))
            return 1;
    return !mmgr__handlers_empty(bus->subscribers);
}

static struct event_node *dispatch_node(mmgr_event *event, const struct mmgr__event_data *data)
{
    struct event_node *node = mmgr__event_node_new(event);

    if (!node)
        return NULL;
    for (int i = 0; i < 2; i++)
        node->handlers[i] = mmgr__handlers_ref(data->handlers[i]);
    node->decide = data->decide;
    node->service = data->service;
    return node;
}

/* With the lock held: make every node that the event needs, before anything is changed. */
static enum mmgr_result make_nodes(mmgr_bus *bus, mmgr_event *event,
                                   const struct mmgr__event_data *data, struct event_node **node)
{
    int failed = 0;

    *node = NULL;
    if (wants_dispatch(bus, data)) {
        enum mmgr_result result = start_dispatcher(bus);

        if (result != MMGR_OK)
            return result;
        failed = !(*node = dispatch_node(event, data));
    }
    for (struct mmgr_listener *l = bus->listeners; l; l = l->next) {
        l->incoming = NULL;
        if (!failed && (l->mask & mmgr__event_group(event->type)))
            failed = !(l->incoming = mmgr__event_node_new(event));
    }
    if (!failed)
        return MMGR_OK;
    for (struct mmgr_listener *l = bus->listeners; l; l = l->next) {
        mmgr__event_node_free(l->incoming);
        l->incoming = NULL;
    }
    mmgr__event_node_free(*node);
    *node = NULL;
    return mmgr__oom();
}

/* With the lock held: append, in the place of what the event makes obsolete; gives that back. */
static struct event_node *append(struct event_queue *queue, struct event_node *node)
{
    struct event_node *obsolete = mmgr__event_queue_obsolete(queue, node->event);

    if (obsolete)
        mmgr__event_queue_remove(queue, obsolete);
    mmgr__event_queue_add(queue, node);
    return obsolete;
}

/* With the lock held. What is dropped is gathered in *dropped, to be freed without the lock. */
static void place_nodes(mmgr_bus *bus, struct event_node *node, struct event_queue *dropped)
{
    struct event_node *obsolete;

    if (node) {
        node->ticket = ++bus->tickets;
        obsolete = append(&bus->queue, node);
        if (obsolete)
            mmgr__event_queue_add(dropped, obsolete);
        pthread_cond_signal(&bus->work);
    }
    for (struct mmgr_listener *l = bus->listeners; l; l = l->next) {
        if (!l->incoming)
            continue;
        obsolete = append(&l->queue, l->incoming);
        l->incoming = NULL;
        if (obsolete)
            mmgr__event_queue_add(dropped, obsolete);
        mmgr__listener_woken(l);
    }
}

enum mmgr_result mmgr__bus_send(mmgr_bus *bus, const struct mmgr__event_data *data)
{
    struct event_queue dropped = {0};
    struct event_node *node = NULL;
    mmgr_event *event;
    enum mmgr_result result;

    if (!bus)
        return MMGR_OK;
    event = mmgr__event_new(data);
    if (!event)
        return mmgr__event_is_progress(data->type) ? MMGR_OK : mmgr__oom();
    pthread_mutex_lock(&bus->mutex);
    result = make_nodes(bus, event, data, &node);
    if (result == MMGR_OK) {
        event->sequence = ++bus->sequence;
        event->time = mmgr__now_realtime();
        place_nodes(bus, node, &dropped);
    }
    pthread_mutex_unlock(&bus->mutex);
    mmgr__event_queue_clear(&dropped);
    mmgr_event_unref(event);
    return mmgr__event_is_progress(data->type) ? MMGR_OK : result;
}

enum mmgr_result mmgr__bus_drain(mmgr_bus *bus)
{
    enum mmgr_result result = MMGR_OK;
    uint64_t target;

    if (!bus)
        return MMGR_OK;
    pthread_mutex_lock(&bus->mutex);
    target = bus->tickets;
    if (on_dispatcher(bus))
        result = MMGR_ERR_BUSY;
    while (result == MMGR_OK && bus->delivered < target && (bus->queue.first || bus->busy))
        pthread_cond_wait(&bus->done, &bus->mutex);
    pthread_mutex_unlock(&bus->mutex);
    return result == MMGR_OK ? MMGR_OK
                             : mmgr__fail(result, "an event handler cannot wait for its own end");
}

void mmgr__bus_use(mmgr_bus *bus)
{
    if (!bus)
        return;
    pthread_mutex_lock(&bus->mutex);
    bus->users++;
    pthread_mutex_unlock(&bus->mutex);
}

void mmgr__bus_unuse(mmgr_bus *bus)
{
    if (!bus)
        return;
    pthread_mutex_lock(&bus->mutex);
    bus->users--;
    pthread_mutex_unlock(&bus->mutex);
}

enum mmgr_result mmgr_bus_close(mmgr_bus *bus)
{
    int inside;
    int started;
    uint32_t users;

    if (!bus)
        return MMGR_OK;
    pthread_mutex_lock(&bus->mutex);
    inside = on_dispatcher(bus);
    started = bus->started;
    users = bus->users + (bus->listeners != NULL);
    bus->closing = !inside && users == 0;
    pthread_cond_signal(&bus->work);
    pthread_mutex_unlock(&bus->mutex);
    if (inside)
        return mmgr__fail(MMGR_ERR_BUSY, "the bus cannot be closed by one of its own handlers");
    if (users > 0)
        return mmgr__fail(MMGR_ERR_BUSY, "services or listeners are still open on the bus");
    if (started)
        pthread_join(bus->dispatcher, NULL);
    mmgr__handlers_unref(bus->subscribers);
    mmgr__event_queue_clear(&bus->queue);
    pthread_cond_destroy(&bus->done);
    pthread_cond_destroy(&bus->work);
    pthread_mutex_destroy(&bus->mutex);
    mmgr__free(bus);
    return MMGR_OK;
}
