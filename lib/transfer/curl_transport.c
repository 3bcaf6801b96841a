/* SPDX-License-Identifier: MIT */
/* The loop of the built-in transport: one thread owns the multi handle; other threads leave
 * wishes. */
#include "transfer/curl_transport.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "transfer/curl_internal.h"

#define POLL_MS 10000

struct mmgr__curl {
    pthread_mutex_t lock;
    CURLM *multi;
    pthread_t thread;
    int started, closing;
    char *ca_file;
    struct curl_transfer *transfers; /* every transfer whose end has not been told */
};

static pthread_once_t init_once = PTHREAD_ONCE_INIT;
static CURLcode init_result;

static void init_libcurl(void)
{
    init_result = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void drop(struct curl_transfer *transfer)
{
    if (!mmgr__refs_drop(&transfer->refs))
        return;
    mmgr__curl_drop_lines(transfer);
    curl_easy_cleanup(transfer->easy);
    curl_slist_free_all(transfer->headers);
    mmgr__free(transfer);
}

/* Tell the end and forget the transfer. On the loop's thread, no lock held. */
static void finish(struct mmgr__curl *self, struct curl_transfer *transfer, CURLcode code)
{
    const char *message = NULL;
    enum mmgr_result result = mmgr__curl_verdict(transfer, code, &message);
    if (transfer->added)
        curl_multi_remove_handle(self->multi, transfer->easy);
    curl_easy_cleanup(
        transfer->easy); /* here, where the connections are, not in the user's thread */
    transfer->easy = NULL;
    pthread_mutex_lock(&self->lock);
    struct curl_transfer **link = &self->transfers;
    while (*link != transfer)
        link = &(*link)->next;
    *link = transfer->next;
    pthread_mutex_unlock(&self->lock);
    transfer->sink.end(transfer->sink.user, result, message);
    drop(transfer);
}

static void cancel_now(struct mmgr__curl *self, struct curl_transfer *transfer)
{
    transfer->result = MMGR_ERR_CANCELLED;
    snprintf(transfer->message, sizeof transfer->message, "cancelled");
    finish(self, transfer, CURLE_ABORTED_BY_CALLBACK);
}

static void add_now(struct mmgr__curl *self, struct curl_transfer *transfer)
{
    if (curl_multi_add_handle(self->multi, transfer->easy) == CURLM_OK)
        transfer->added = 1;
    else
        finish(self, transfer, CURLE_OUT_OF_MEMORY);
}

/* One transfer for which another thread has left a wish, or NULL. */
static struct curl_transfer *next_wish(struct mmgr__curl *self, int *closing)
{
    pthread_mutex_lock(&self->lock);
    *closing = self->closing;
    struct curl_transfer *at = self->transfers;
    while (at != NULL && !self->closing && at->added && !atomic_load(&at->cancel) &&
           !atomic_load(&at->resume))
        at = at->next;
    pthread_mutex_unlock(&self->lock);
    return at;
}

/* Returns 1 when the loop is to end. */
static int grant_wishes(struct mmgr__curl *self)
{
    for (;;) {
        int closing = 0;
        struct curl_transfer *transfer = next_wish(self, &closing);
        if (transfer == NULL)
            return closing;
        if (closing || atomic_load(&transfer->cancel)) {
            cancel_now(self, transfer);
        } else if (!transfer->added) {
            add_now(self, transfer);
        } else {
            atomic_store(&transfer->resume, 0);
            if (transfer->paused && !atomic_load(&transfer->pause)) {
                transfer->paused = 0;
                curl_easy_pause(transfer->easy, CURLPAUSE_CONT);
            }
        }
    }
}

static void collect_ended(struct mmgr__curl *self)
{
    int left = 0;
    CURLMsg *message = NULL;
    while ((message = curl_multi_info_read(self->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result; /* the message dies with the handle's removal */
        char *transfer = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
        finish(self, (struct curl_transfer *)(void *)transfer, code);
    }
}

static void *run(void *argument)
{
    struct mmgr__curl *self = argument;
    while (!grant_wishes(self)) {
        int running = 0;
        curl_multi_perform(self->multi, &running);
        collect_ended(self);
        curl_multi_poll(self->multi, NULL, 0, POLL_MS, NULL);
    }
    return NULL;
}

enum mmgr_result mmgr__curl_new(const char *ca_file, struct mmgr__curl **transport)
{
    pthread_once(&init_once, init_libcurl);
    if (init_result != CURLE_OK)
        return mmgr__fail(MMGR_ERR_UNSUPPORTED, "libcurl cannot start: %s",
                          curl_easy_strerror(init_result));
    struct mmgr__curl *self = mmgr__alloc0(1, sizeof *self);
    if (self == NULL)
        return mmgr__oom();
    self->ca_file = mmgr__strdup(ca_file);
    self->multi = curl_multi_init();
    if (self->multi == NULL || (ca_file != NULL && self->ca_file == NULL)) {
        curl_multi_cleanup(self->multi);
        mmgr__free(self->ca_file);
        mmgr__free(self);
        return mmgr__oom();
    }
    curl_multi_setopt(self->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    pthread_mutex_init(&self->lock, NULL);
    *transport = self;
    return MMGR_OK;
}

void mmgr__curl_free(struct mmgr__curl *self)
{
    if (self == NULL)
        return;
    pthread_mutex_lock(&self->lock);
    self->closing = 1;
    int started = self->started;
    pthread_mutex_unlock(&self->lock);
    if (started) {
        curl_multi_wakeup(self->multi);
        pthread_join(self->thread, NULL);
    }
    curl_multi_cleanup(self->multi);
    pthread_mutex_destroy(&self->lock);
    mmgr__free(self->ca_file);
    mmgr__free(self);
}

static enum mmgr_result new_transfer(struct mmgr__curl *self, const mmgr_request *request,
                                     const mmgr_sink *sink, struct curl_transfer **made)
{
    struct curl_transfer *transfer = mmgr__alloc0(1, sizeof *transfer);
    if (transfer == NULL)
        return mmgr__oom();
    mmgr__refs_init(&transfer->refs);
    transfer->owner = self;
    transfer->sink = *sink;
    transfer->easy = curl_easy_init();
    enum mmgr_result rc =
        transfer->easy != NULL ? mmgr__curl_prepare(transfer, request, self->ca_file)
                               : mmgr__oom();
    if (rc != MMGR_OK) {
        drop(transfer);
        return rc;
    }
    *made = transfer;
    return MMGR_OK;
}

static enum mmgr_result op_start(void *user, const mmgr_request *request, const mmgr_sink *sink,
                                 void **out)
{
    struct mmgr__curl *self = user;
    struct curl_transfer *transfer = NULL;
    enum mmgr_result rc = new_transfer(self, request, sink, &transfer);
    if (rc != MMGR_OK)
        return rc;
    pthread_mutex_lock(&self->lock);
    if (!self->started && mmgr__thread_start(&self->thread, run, self, "mmgr-net") == 0)
        self->started = 1;
    if (self->started && !self->closing) {
        mmgr__refs_take(&transfer->refs);
        transfer->next = self->transfers;
        self->transfers = transfer;
        *out = transfer;
        transfer = NULL;
    }
    pthread_mutex_unlock(&self->lock);
    if (transfer != NULL) {
        drop(transfer);
        return mmgr__fail(MMGR_ERR_NO_MEMORY, "the network thread cannot start");
    }
    curl_multi_wakeup(self->multi);
    return MMGR_OK;
}

static void op_cancel(void *user, void *transfer)
{
    struct mmgr__curl *self = user;
    atomic_store(&((struct curl_transfer *)transfer)->cancel, 1);
    curl_multi_wakeup(self->multi);
}

static void op_pause(void *user, void *item, int paused)
{
    struct mmgr__curl *self = user;
    struct curl_transfer *transfer = item;
    atomic_store(&transfer->pause, paused);
    if (paused)
        return;
    atomic_store(&transfer->resume, 1);
    curl_multi_wakeup(self->multi);
}

static void op_release(void *user, void *transfer)
{
    (void)user;
    drop(transfer);
}

const mmgr_transport_ops *mmgr__curl_ops(void)
{
    static const mmgr_transport_ops ops = {
        .struct_size = sizeof ops,
        .api_version = 1,
        .name = "libcurl",
        .start = op_start,
        .cancel = op_cancel,
        .pause = op_pause,
        .release = op_release,
    };
    return &ops;
}
