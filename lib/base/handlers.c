/* SPDX-License-Identifier: MIT */
/* Lists of event handlers: a job's own, a service's defaults, a bus's subscribers. One dispatcher calls
 * them, any thread adds and removes, also from inside a handler. */
#include <string.h>

#include "base/alloc.h"
#include "base/event_private.h"

struct handler {
    struct handler *next;
    uint64_t id, since;
    uint32_t mask;
    int running; /* the dispatcher is inside fn */
    int removed; /* unlinked while it ran; whoever is in charge frees it when it returns */
    mmgr_event_fn fn;
    void *user;
    mmgr_user_free_fn user_free;
};

struct mmgr__handlers {
    mmgr__refs refs;
    pthread_mutex_t mutex; /* innermost of all locks; never held during a callback */
    pthread_cond_t returned;
    struct handler *first;
    uint64_t last_id;
    pthread_t runner; /* thread of the handler that runs */
};

static void free_handler(struct handler *handler)
{
    if (handler->user_free)
        handler->user_free(handler->user);
    mmgr__free(handler);
}

struct mmgr__handlers *mmgr__handlers_new(void)
{
    struct mmgr__handlers *handlers = mmgr__alloc0(1, sizeof(*handlers));

    if (!handlers)
        return NULL;
    mmgr__refs_init(&handlers->refs);
    pthread_mutex_init(&handlers->mutex, NULL);
    pthread_cond_init(&handlers->returned, NULL);
    return handlers;
}

struct mmgr__handlers *mmgr__handlers_ref(struct mmgr__handlers *handlers)
{
    if (handlers)
        mmgr__refs_take(&handlers->refs);
    return handlers;
}

void mmgr__handlers_unref(struct mmgr__handlers *handlers)
{
    if (!handlers || !mmgr__refs_drop(&handlers->refs))
        return;
    while (handlers->first) {
        struct handler *handler = handlers->first;

        handlers->first = handler->next;
        free_handler(handler);
    }
    pthread_cond_destroy(&handlers->returned);
    pthread_mutex_destroy(&handlers->mutex);
    mmgr__free(handlers);
}

enum mmgr_result mmgr__handlers_subscribe(struct mmgr__handlers *handlers, uint32_t mask,
                                          uint64_t since, mmgr_event_fn fn, void *user,
                                          mmgr_user_free_fn user_free, uint64_t *id)
{
    struct handler *handler = mmgr__alloc0(1, sizeof(*handler));
    struct handler **end;

    if (!handler)
        return mmgr__oom();
    handler->since = since;
    handler->mask = mask;
    handler->fn = fn;
    handler->user = user;
    handler->user_free = user_free;
    pthread_mutex_lock(&handlers->mutex);
    handler->id = ++handlers->last_id;
    if (id)
        *id = handler->id;
    for (end = &handlers->first; *end; end = &(*end)->next)
        ;
    *end = handler;
    pthread_mutex_unlock(&handlers->mutex);
    return MMGR_OK;
}

enum mmgr_result mmgr__handlers_add(struct mmgr__handlers *handlers, mmgr_event_fn fn, void *user,
                                    mmgr_user_free_fn user_free)
{
    return mmgr__handlers_subscribe(handlers, MMGR_EVENTS_ALL, 0, fn, user, user_free, NULL);
}

/* With the lock held: unlink *at and let go of the lock. The handler is freed here, or, when this is a call
 * from inside it, by the dispatcher after it has returned. */
static void unlink_and_unlock(struct mmgr__handlers *handlers, struct handler **at)
{
    struct handler *handler = *at;

    *at = handler->next;
    if (handler->running && pthread_equal(handlers->runner, pthread_self())) {
        handler->removed = 1;
        pthread_mutex_unlock(&handlers->mutex);
        return;
    }
    while (handler->running)
        pthread_cond_wait(&handlers->returned, &handlers->mutex);
    pthread_mutex_unlock(&handlers->mutex);
    free_handler(handler);
}

enum mmgr_result mmgr__handlers_remove(struct mmgr__handlers *handlers, uint64_t id)
{
    struct handler **at;

    pthread_mutex_lock(&handlers->mutex);
    for (at = &handlers->first; *at && (*at)->id != id; at = &(*at)->next)
        ;
    if (!*at) {
        pthread_mutex_unlock(&handlers->mutex);
        return mmgr__bad_argument("id");
    }
    unlink_and_unlock(handlers, at);
    return MMGR_OK;
}

void mmgr__handlers_clear(struct mmgr__handlers *handlers)
{
    pthread_mutex_lock(&handlers->mutex);
    while (handlers->first) {
        unlink_and_unlock(handlers, &handlers->first);
        pthread_mutex_lock(&handlers->mutex);
    }
    pthread_mutex_unlock(&handlers->mutex);
}

int mmgr__handlers_empty(struct mmgr__handlers *handlers)
{
    int empty;

    pthread_mutex_lock(&handlers->mutex);
    empty = handlers->first == NULL;
    pthread_mutex_unlock(&handlers->mutex);
    return empty;
}

/* With the lock held: the next handler after number `id` that wants the event. */
static struct handler *next_for(struct mmgr__handlers *handlers, uint64_t id,
                                const mmgr_event *event)
{
    struct handler *handler = handlers->first;

    while (handler && (handler->id <= id || event->sequence <= handler->since ||
                       !(handler->mask & mmgr__event_group(event->type))))
        handler = handler->next;
    return handler;
}

void mmgr__handlers_call(struct mmgr__handlers *handlers, const mmgr_event *event,
                         enum mmgr_decision *decision)
{
    struct handler *handler;
    uint64_t id = 0;

    pthread_mutex_lock(&handlers->mutex);
    while ((handler = next_for(handlers, id, event))) {
        enum mmgr_decision wish = MMGR_DECISION_CONTINUE;

        id = handler->id;
        handler->running = 1;
        handlers->runner = pthread_self();
        pthread_mutex_unlock(&handlers->mutex);
        handler->fn(event, &wish, handler->user);
        if (wish > *decision && wish <= MMGR_DECISION_FAIL)
            *decision = wish;
        pthread_mutex_lock(&handlers->mutex);
        if (handler->removed) {
            pthread_mutex_unlock(&handlers->mutex);
            free_handler(handler);
            pthread_mutex_lock(&handlers->mutex);
        } else {
            handler->running = 0;
            pthread_cond_broadcast(&handlers->returned);
        }
    }
    pthread_mutex_unlock(&handlers->mutex);
}
