/* SPDX-License-Identifier: MIT */
/* Listeners: events that the host pulls, with a descriptor to wait on. */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/event_private.h"

enum mmgr_result mmgr_listener_open(mmgr_bus *bus, uint32_t mask, mmgr_listener **listener)
{
    mmgr_listener *made;

    if (!bus || !listener || !mask)
        return mmgr__bad_argument(!bus ? "bus" : !listener ? "listener" : "mask");
    made = mmgr__alloc0(1, sizeof(*made));
    if (!made)
        return mmgr__oom();
    made->bus = bus;
    made->mask = mask;
    made->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (made->fd < 0) {
        int os_errno = errno;

        mmgr__free(made);
        mmgr__fail(MMGR_ERR_IO, "cannot make a descriptor for an event listener");
        mmgr__error_set_errno(os_errno);
        return MMGR_ERR_IO;
    }
    mmgr__cond_init(&made->cond);
    pthread_mutex_lock(&bus->mutex);
    made->next = bus->listeners;
    bus->listeners = made;
    pthread_mutex_unlock(&bus->mutex);
    *listener = made;
    return MMGR_OK;
}

void mmgr__listener_woken(mmgr_listener *listener)
{
    /* The counter only says "not empty"; it is set with the first event and read with the last. */
    if (listener->queue.first == listener->queue.last) {
        eventfd_t old;

        eventfd_read(listener->fd, &old);
        eventfd_write(listener->fd, 1);
    }
    pthread_cond_signal(&listener->cond);
}

enum mmgr_result mmgr_listener_next(mmgr_listener *listener, int64_t timeout_ns, mmgr_event **event)
{
    int64_t deadline = mmgr__deadline(timeout_ns);
    struct event_node *node;
    mmgr_bus *bus;
    int status = 0;

    if (!listener || !event)
        return mmgr__bad_argument(listener ? "event" : "listener");
    bus = listener->bus;
    pthread_mutex_lock(&bus->mutex);
    while (!listener->queue.first && status == 0 && timeout_ns != 0)
        status = mmgr__cond_wait_until(&listener->cond, &bus->mutex, deadline);
    node = listener->queue.first;
    if (node) {
        eventfd_t old;

        mmgr__event_queue_remove(&listener->queue, node);
        if (!listener->queue.first)
            eventfd_read(listener->fd, &old);
    }
    pthread_mutex_unlock(&bus->mutex);
    if (!node)
        return MMGR_ERR_TIMEOUT;
    *event = mmgr_event_ref(node->event);
    mmgr__event_node_free(node);
    return MMGR_OK;
}

int mmgr_listener_fd(const mmgr_listener *listener)
{
    return listener ? listener->fd : -1;
}

void mmgr_listener_close(mmgr_listener *listener)
{
    mmgr_listener **at;
    mmgr_bus *bus;

    if (!listener)
        return;
    bus = listener->bus;
    pthread_mutex_lock(&bus->mutex);
    for (at = &bus->listeners; *at && *at != listener; at = &(*at)->next)
        ;
    if (*at)
        *at = listener->next;
    pthread_mutex_unlock(&bus->mutex);
    mmgr__event_queue_clear(&listener->queue);
    close(listener->fd);
    pthread_cond_destroy(&listener->cond);
    mmgr__free(listener);
}
