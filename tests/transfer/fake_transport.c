/* SPDX-License-Identifier: MIT */
/* The scripted transport of the queue's tests. */
#include "fake_transport.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

struct transfer {
    struct fake *fake;
    mmgr_sink sink;
    struct fake_request request;
    uint64_t max_body;
    pthread_t thread;
    int cancelled, paused; /* under the fake's lock */
};

void fake_header(struct fake_reply *reply, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(reply->headers[reply->header_count++], sizeof reply->headers[0], format, args);
    va_end(args);
}

void fake_drop_header(struct fake_reply *reply, const char *name)
{
    for (int i = 0; i < reply->header_count; i++) {
        if (strncasecmp(reply->headers[i], name, strlen(name)) != 0)
            continue;
        reply->header_count--;
        memmove(reply->headers[i], reply->headers[reply->header_count], sizeof reply->headers[0]);
        i--;
    }
}

void fake_serve(struct fake *fake, const struct fake_request *request, struct fake_reply *reply)
{
    unsigned long long first = 0, last = fake->size - 1;
    int fields = sscanf(request->range, "bytes=%llu-%llu", &first, &last);
    int ranged = fields > 0;
    if (ranged && request->if_range[0] != '\0' &&
        (fake->etag == NULL || strcmp(request->if_range, fake->etag) != 0))
        ranged = 0;
    if (fake->etag != NULL)
        fake_header(reply, "ETag: %s", fake->etag);
    if (fake->last_modified != NULL)
        fake_header(reply, "Last-Modified: %s", fake->last_modified);
    if (ranged && first >= fake->size) {
        reply->status = 416;
        fake_header(reply, "Content-Range: bytes */%zu", fake->size);
        return;
    }
    if (!ranged) {
        first = 0;
        last = fake->size - 1;
    }
    if (last >= fake->size)
        last = fake->size - 1;
    reply->status = ranged ? 206 : 200;
    reply->body = fake->content + first;
    reply->length = fake->size > 0 ? (size_t)(last - first + 1) : 0;
    fake_header(reply, "Content-Length: %zu", reply->length);
    if (ranged)
        fake_header(reply, "Content-Range: bytes %llu-%llu/%zu", first, last, fake->size);
}

/* Wait while the reader wants nothing; 0 when the transfer is cancelled. */
static int may_go_on(struct transfer *t, size_t sent)
{
    struct fake *fake = t->fake;
    pthread_mutex_lock(&fake->lock);
    int held = 0;
    while (!t->cancelled && (t->paused || (sent >= fake->hold_at && !fake->gate_open))) {
        if (!held && !t->paused) {
            held = 1;
            fake->held++;
            pthread_cond_broadcast(&fake->change);
        }
        pthread_cond_wait(&fake->change, &fake->lock);
    }
    fake->held -= held;
    int go = !t->cancelled;
    pthread_mutex_unlock(&fake->lock);
    return go;
}

static enum mmgr_result send_body(struct transfer *t, const struct fake_reply *reply)
{
    size_t sent = 0;
    size_t length = reply->cut < reply->length ? reply->cut : reply->length;
    int stop = 0;
    while (!stop && sent < length) {
        size_t part = length - sent < t->fake->chunk ? length - sent : t->fake->chunk;
        if (!may_go_on(t, sent))
            return MMGR_ERR_CANCELLED;
        if (part > t->max_body - sent)
            return MMGR_ERR_TOO_LARGE;
        t->sink.body(t->sink.user, reply->body + sent, part, &stop);
        sent += part;
        if (t->fake->chunk_us > 0)
            usleep(t->fake->chunk_us);
    }
    if (!stop && !may_go_on(t, sent))
        return MMGR_ERR_CANCELLED;
    return stop ? MMGR_ERR_CANCELLED : reply->end;
}

static void *run(void *argument)
{
    struct transfer *t = argument;
    struct fake *fake = t->fake;
    struct fake_reply *reply = calloc(1, sizeof *reply);
    const char *lines[16];
    int stop = 0;
    enum mmgr_result result = MMGR_OK;
    reply->cut = SIZE_MAX;
    reply->peer = "93.184.216.34";
    if (fake->script != NULL)
        fake->script(fake, &t->request, reply);
    else
        fake_serve(fake, &t->request, reply);
    for (int i = 0; i < reply->header_count; i++)
        lines[i] = reply->headers[i];
    mmgr_response response = {.struct_size = sizeof response,
                              .status = reply->status,
                              .headers = lines,
                              .header_count = (uint32_t)reply->header_count,
                              .peer = reply->peer};
    if (reply->status == 0) {
        result = reply->end;
    } else {
        t->sink.head(t->sink.user, &response, &stop);
        result = stop ? MMGR_ERR_CANCELLED : send_body(t, reply);
    }
    free(reply);
    pthread_mutex_lock(&fake->lock);
    fake->running--;
    pthread_cond_broadcast(&fake->change);
    pthread_mutex_unlock(&fake->lock);
    t->sink.end(t->sink.user, result, result == MMGR_OK ? NULL : "scripted end");
    return NULL;
}

static void note_header(struct fake_request *request, const char *line)
{
    const struct {
        const char *name;
        char *to;
        size_t room;
    } wanted[] = {{"Range: ", request->range, sizeof request->range},
                  {"If-Range: ", request->if_range, sizeof request->if_range},
                  {"Authorization: ", request->authorization, sizeof request->authorization},
                  {"Accept-Encoding: ", request->accept_encoding, sizeof request->accept_encoding}};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        if (strncasecmp(line, wanted[i].name, strlen(wanted[i].name)) == 0)
            snprintf(wanted[i].to, wanted[i].room, "%s", line + strlen(wanted[i].name));
    }
}

static enum mmgr_result op_start(void *self, const mmgr_request *request, const mmgr_sink *sink,
                                 void **out)
{
    struct fake *fake = self;
    struct transfer *t = calloc(1, sizeof *t);
    t->fake = fake;
    t->sink = *sink;
    t->max_body = request->max_body;
    t->request.flags = request->flags;
    snprintf(t->request.url, sizeof t->request.url, "%s", request->url);
    for (uint32_t i = 0; i < request->header_count; i++)
        note_header(&t->request, request->headers[i]);
    pthread_mutex_lock(&fake->lock);
    t->request.number = ++fake->requests;
    if (fake->requests <= FAKE_LOG)
        fake->log[fake->requests - 1] = t->request;
    fake->running++;
    if (fake->running > fake->most_running)
        fake->most_running = fake->running;
    pthread_mutex_unlock(&fake->lock);
    *out = t;
    if (pthread_create(&t->thread, NULL, run, t) != 0)
        abort();
    return MMGR_OK;
}

static void op_cancel(void *self, void *transfer)
{
    struct fake *fake = self;
    pthread_mutex_lock(&fake->lock);
    ((struct transfer *)transfer)->cancelled = 1;
    pthread_cond_broadcast(&fake->change);
    pthread_mutex_unlock(&fake->lock);
}

static void op_pause(void *self, void *transfer, int paused)
{
    struct fake *fake = self;
    pthread_mutex_lock(&fake->lock);
    ((struct transfer *)transfer)->paused = paused;
    pthread_cond_broadcast(&fake->change);
    pthread_mutex_unlock(&fake->lock);
}

static void op_release(void *self, void *transfer)
{
    (void)self;
    pthread_join(((struct transfer *)transfer)->thread, NULL);
    free(transfer);
}

void fake_init(struct fake *fake, const unsigned char *content, size_t size)
{
    memset(fake, 0, sizeof *fake);
    fake->ops = (mmgr_transport_ops){.struct_size = sizeof fake->ops,
                                     .api_version = 1,
                                     .name = "fake",
                                     .start = op_start,
                                     .cancel = op_cancel,
                                     .pause = op_pause,
                                     .release = op_release};
    fake->content = content;
    fake->size = size;
    fake->etag = "\"v1\"";
    fake->chunk = 1000;
    fake->hold_at = SIZE_MAX;
    pthread_mutex_init(&fake->lock, NULL);
    pthread_cond_init(&fake->change, NULL);
}

void fake_destroy(struct fake *fake)
{
    pthread_mutex_destroy(&fake->lock);
    pthread_cond_destroy(&fake->change);
}

void fake_open_gate(struct fake *fake)
{
    pthread_mutex_lock(&fake->lock);
    fake->gate_open = 1;
    pthread_cond_broadcast(&fake->change);
    pthread_mutex_unlock(&fake->lock);
}

void fake_wait_held(struct fake *fake, int count)
{
    pthread_mutex_lock(&fake->lock);
    while (fake->held < count)
        pthread_cond_wait(&fake->change, &fake->lock);
    pthread_mutex_unlock(&fake->lock);
}
