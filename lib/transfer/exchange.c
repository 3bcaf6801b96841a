/* SPDX-License-Identifier: MIT */
/* One HTTP exchange: the sink on the transport's side, a blocking reader on the runner's,
 * back-pressure. */
#include "transfer/exchange.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

/* A transport that goes on this far after it was told to pause is broken. */
#define OVERRUN_BYTES (8u * 1024u * 1024u)

/* Make the transport's state what is wanted. Called and left with the lock held; the transport is
 * called without it, by one thread at a time, and the one that is at it does what others came to
 * want. */
static void apply_pause(struct mmgr__exchange *x)
{
    while (!x->pause_busy && x->transfer != NULL && !x->ended && x->want_pause != x->is_paused) {
        int want = x->want_pause;
        void *transfer = x->transfer;
        x->pause_busy = 1;
        pthread_mutex_unlock(&x->lock);
        x->ops->pause(x->self, transfer, want);
        pthread_mutex_lock(&x->lock);
        x->is_paused = want;
        x->pause_busy = 0;
        pthread_cond_broadcast(&x->wake);
    }
}

static void copy_head(struct mmgr__exchange *x, const mmgr_response *response)
{
    x->status = response->status;
    x->peer = mmgr__strdup(response->peer);
    x->out_of_memory |= response->peer != NULL && x->peer == NULL;
    if (response->header_count == 0)
        return;
    x->headers = mmgr__alloc0(response->header_count, sizeof *x->headers);
    if (x->headers == NULL) {
        x->out_of_memory = 1;
        return;
    }
    for (uint32_t i = 0; i < response->header_count; i++) {
        x->headers[i] = mmgr__strdup(response->headers[i]);
        if (x->headers[i] == NULL) {
            x->out_of_memory = 1;
            return;
        }
        x->header_count = i + 1;
    }
}

static void sink_head(void *user, const mmgr_response *response, int *stop)
{
    struct mmgr__exchange *x = user;
    pthread_mutex_lock(&x->lock);
    if (!x->head_there)
        copy_head(x, response);
    x->head_there = 1;
    *stop = x->out_of_memory || (x->stop != NULL && atomic_load(x->stop));
    pthread_cond_broadcast(&x->wake);
    pthread_mutex_unlock(&x->lock);
}

static int take_bytes(struct mmgr__exchange *x, const void *data, size_t bytes)
{
    if (bytes > OVERRUN_BYTES || x->fill_length > OVERRUN_BYTES) {
        x->overrun = 1;
        return 0;
    }
    void *fill = x->fill;
    if (!mmgr__grow(&fill, &x->fill_capacity, x->fill_length + bytes, 1)) {
        x->out_of_memory = 1;
        return 0;
    }
    x->fill = fill;
    memcpy(x->fill + x->fill_length, data, bytes);
    x->fill_length += bytes;
    if (x->fill_length >= x->room)
        x->want_pause = 1;
    return 1;
}

static void sink_body(void *user, const void *data, size_t bytes, int *stop)
{
    struct mmgr__exchange *x = user;
    pthread_mutex_lock(&x->lock);
    if (!x->head_there || (x->stop != NULL && atomic_load(x->stop)) || !take_bytes(x, data, bytes))
        *stop = 1;
    apply_pause(x);
    pthread_cond_broadcast(&x->wake);
    pthread_mutex_unlock(&x->lock);
}

static void sink_end(void *user, enum mmgr_result result, const char *message)
{
    struct mmgr__exchange *x = user;
    pthread_mutex_lock(&x->lock);
    x->result = result;
    snprintf(x->message, sizeof x->message, "%s", message != NULL ? message : "");
    x->ended = 1;
    pthread_cond_broadcast(&x->wake);
    pthread_mutex_unlock(&x->lock);
}

int mmgr__exchange_init(struct mmgr__exchange *x, const mmgr_transport_ops *ops, void *self,
                        size_t room)
{
    memset(x, 0, sizeof *x);
    x->ops = ops;
    x->self = self;
    x->room = room;
    if (mmgr__cond_init(&x->wake) != 0)
        return 0;
    pthread_mutex_init(&x->lock, NULL);
    return 1;
}

void mmgr__exchange_destroy(struct mmgr__exchange *x)
{
    mmgr__exchange_trim(x);
    pthread_cond_destroy(&x->wake);
    pthread_mutex_destroy(&x->lock);
}

void mmgr__exchange_poke(struct mmgr__exchange *x)
{
    pthread_mutex_lock(&x->lock);
    pthread_cond_broadcast(&x->wake);
    pthread_mutex_unlock(&x->lock);
}

void mmgr__exchange_trim(struct mmgr__exchange *x)
{
    mmgr__free(x->fill);
    mmgr__free(x->drain);
    x->fill = x->drain = NULL;
    x->fill_capacity = x->drain_capacity = 0;
}

static void clear_head(struct mmgr__exchange *x)
{
    for (uint32_t i = 0; i < x->header_count; i++)
        mmgr__free(x->headers[i]);
    mmgr__free(x->headers);
    mmgr__free(x->peer);
    x->headers = NULL;
    x->header_count = 0;
    x->peer = NULL;
}

enum mmgr_result mmgr__exchange_start(struct mmgr__exchange *x, const mmgr_request *request,
                                      const atomic_int *stop)
{
    mmgr_sink sink = {.struct_size = sizeof sink,
                      .head = sink_head,
                      .body = sink_body,
                      .end = sink_end,
                      .user = x};
    pthread_mutex_lock(&x->lock);
    x->stop = stop;
    x->transfer = NULL;
    x->ended = x->head_there = x->out_of_memory = x->overrun = 0;
    x->want_pause = x->is_paused = x->pause_busy = 0;
    x->status = 0;
    x->fill_length = 0;
    x->live = 1;
    pthread_mutex_unlock(&x->lock);
    void *transfer = NULL;
    struct mmgr_error none; /* a host cannot set an error: an old one must not pass for its reason */
    mmgr__error_clear(&none);
    mmgr__error_restore(&none);
    enum mmgr_result rc = x->ops->start(x->self, request, &sink, &transfer);
    if (rc != MMGR_OK && mmgr_error_code(mmgr_last_error()) != rc)
        mmgr__fail(rc, "the transport %s does not start: %s", x->ops->name, mmgr_result_text(rc));
    pthread_mutex_lock(&x->lock);
    if (rc != MMGR_OK) {
        x->live = 0;
    } else {
        x->transfer = transfer;
        apply_pause(x);
    }
    pthread_mutex_unlock(&x->lock);
    return rc;
}

/* Why the exchange is over, as an error of this thread. */
static enum mmgr_result verdict(const struct mmgr__exchange *x)
{
    if (x->out_of_memory)
        return mmgr__oom();
    if (x->overrun)
        return mmgr__fail(MMGR_ERR_PLUGIN, "the transport %s does not heed a pause",
                          x->ops->name);
    if (x->result == MMGR_OK)
        return MMGR_OK;
    return mmgr__fail(x->result, "%s",
                      x->message[0] != '\0' ? x->message : mmgr_result_text(x->result));
}

static int told_to_stop(const struct mmgr__exchange *x)
{
    return x->stop != NULL && atomic_load(x->stop);
}

enum mmgr_result mmgr__exchange_head(struct mmgr__exchange *x)
{
    enum mmgr_result rc = MMGR_OK;
    pthread_mutex_lock(&x->lock);
    while (!x->head_there && !x->ended && !told_to_stop(x))
        pthread_cond_wait(&x->wake, &x->lock);
    if (told_to_stop(x))
        rc = mmgr__fail(MMGR_ERR_CANCELLED, "told to stop");
    else if (x->out_of_memory)
        rc = mmgr__oom();
    else if (!x->head_there) {
        rc = verdict(x);
        if (rc == MMGR_OK)
            rc = mmgr__fail(MMGR_ERR_PROTOCOL, "the answer has no head");
    }
    pthread_mutex_unlock(&x->lock);
    return rc;
}

enum mmgr_result mmgr__exchange_read(struct mmgr__exchange *x, size_t least, int64_t patience_ns,
                                     const void **data, size_t *length, int *end)
{
    enum mmgr_result rc = MMGR_OK;
    int64_t deadline = mmgr__deadline(patience_ns);
    *length = 0;
    *end = 0;
    pthread_mutex_lock(&x->lock);
    while (!x->ended && !told_to_stop(x) && x->fill_length < least && !x->want_pause) {
        if (mmgr__cond_wait_until(&x->wake, &x->lock, deadline) != 0)
            break;
    }
    if (told_to_stop(x)) {
        rc = mmgr__fail(MMGR_ERR_CANCELLED, "told to stop");
    } else if (x->fill_length > 0) {
        unsigned char *full = x->fill;
        size_t capacity = x->fill_capacity;
        *data = full;
        *length = x->fill_length;
        x->fill = x->drain;
        x->fill_capacity = x->drain_capacity;
        x->fill_length = 0;
        x->drain = full;
        x->drain_capacity = capacity;
        x->want_pause = 0;
        apply_pause(x);
    } else if (x->ended) {
        *end = 1;
        rc = verdict(x);
    }
    pthread_mutex_unlock(&x->lock);
    return rc;
}

void mmgr__exchange_stop(struct mmgr__exchange *x)
{
    pthread_mutex_lock(&x->lock);
    int live = x->live, ended = x->ended;
    void *transfer = x->transfer;
    pthread_mutex_unlock(&x->lock);
    if (live) {
        if (!ended)
            x->ops->cancel(x->self, transfer);
        pthread_mutex_lock(&x->lock);
        while (!x->ended || x->pause_busy)
            pthread_cond_wait(&x->wake, &x->lock);
        x->live = 0;
        x->transfer = NULL;
        pthread_mutex_unlock(&x->lock);
        if (x->ops->release != NULL)
            x->ops->release(x->self, transfer);
    }
    clear_head(x);
    x->fill_length = 0;
}
