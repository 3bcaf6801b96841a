/* SPDX-License-Identifier: MIT */
#include "fake_transport.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUESTS_MAX 64

struct fake {
    pthread_mutex_t mutex;
    const struct fake_answer *answers;
    uint32_t count, request_count;
    int *used;
    int surprised;
    struct fake_request requests[REQUESTS_MAX];
};

struct transfer {
    const struct fake_answer *answer;
    mmgr_sink sink;
    uint64_t max_body;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    int cancelled;
};

struct fake *fake_new(const struct fake_answer *answers, uint32_t count)
{
    struct fake *fake = calloc(1, sizeof(*fake));

    pthread_mutex_init(&fake->mutex, NULL);
    fake->answers = answers;
    fake->count = count;
    fake->used = calloc(count + 1, sizeof(int));
    return fake;
}

void fake_free(struct fake *fake)
{
    pthread_mutex_destroy(&fake->mutex);
    free(fake->used);
    free(fake);
}

uint32_t fake_request_count(struct fake *fake)
{
    return fake->request_count;
}

const struct fake_request *fake_request(struct fake *fake, uint32_t index)
{
    return &fake->requests[index];
}

int fake_surprised(struct fake *fake)
{
    return fake->surprised;
}

uint32_t fake_unused(struct fake *fake)
{
    uint32_t unused = 0;

    for (uint32_t i = 0; i < fake->count; i++)
        unused += !fake->used[i];
    return unused;
}

static void note(struct fake *fake, const mmgr_request *request, struct fake_request *seen)
{
    memset(seen, 0, sizeof(*seen));
    snprintf(seen->url, sizeof(seen->url), "%s", request->url);
    seen->flags = request->flags;
    for (uint32_t i = 0; i < request->header_count; i++) {
        const char *header = request->headers[i];

        if (strncmp(header, "Authorization: Bearer ", 22) == 0)
            snprintf(seen->authorization, sizeof(seen->authorization), "%s", header + 22);
        seen->identity |= strcmp(header, "Accept-Encoding: identity") == 0;
        seen->agent |= strncmp(header, "User-Agent: libmodelmgr/", 24) == 0;
    }
    if (fake->request_count < REQUESTS_MAX)
        fake->requests[fake->request_count++] = *seen;
}

static const struct fake_answer *choose(struct fake *fake, const struct fake_request *seen)
{
    for (uint32_t i = 0; i < fake->count; i++) {
        const struct fake_answer *answer = &fake->answers[i];

        if ((fake->used[i] && !answer->again) || strcmp(answer->url, seen->url) != 0)
            continue;
        if (answer->authorization && strcmp(answer->authorization, seen->authorization) != 0)
            continue;
        fake->used[i] = 1;
        return answer;
    }
    fprintf(stderr, "no answer for %s (token \"%s\")\n", seen->url, seen->authorization);
    fake->surprised = 1;
    return NULL;
}

static int send_head(struct transfer *transfer)
{
    const struct fake_answer *answer = transfer->answer;
    char text[4096];
    const char *lines[64];
    uint32_t count = 0;
    int stop = 0;
    mmgr_response response = {.struct_size = sizeof(response),
                              .status = answer->status,
                              .headers = lines,
                              .peer = answer->peer};

    snprintf(text, sizeof(text), "%s", answer->headers ? answer->headers : "");
    for (char *save = NULL, *line = strtok_r(text, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save))
        lines[count++] = line;
    response.header_count = count;
    transfer->sink.head(transfer->sink.user, &response, &stop);
    return stop;
}

static int send_body(struct transfer *transfer)
{
    const char *body = transfer->answer->body ? transfer->answer->body : "";
    size_t left = strlen(body);
    uint64_t pad = transfer->answer->pad;
    char zeros[1000] = {0};
    int stop = 0;

    while (left > 0 && !stop) {
        size_t step = left > 999 ? 999 : left;

        transfer->sink.body(transfer->sink.user, body, step, &stop);
        body += step;
        left -= step;
    }
    while (pad > 0 && !stop) {
        size_t step = pad > sizeof(zeros) ? sizeof(zeros) : (size_t)pad;

        transfer->sink.body(transfer->sink.user, zeros, step, &stop);
        pad -= step;
    }
    return stop;
}

static void *play(void *argument)
{
    struct transfer *transfer = argument;
    int stop = transfer->answer->status ? send_head(transfer) : 0;

    if (!stop)
        stop = send_body(transfer);
    pthread_mutex_lock(&transfer->mutex);
    while (transfer->answer->hang && !transfer->cancelled && !stop)
        pthread_cond_wait(&transfer->cond, &transfer->mutex);
    stop |= transfer->cancelled;
    pthread_mutex_unlock(&transfer->mutex);
    transfer->sink.end(transfer->sink.user, stop ? MMGR_ERR_CANCELLED : transfer->answer->end,
                       stop                    ? "stopped"
                       : transfer->answer->end ? "as the script says"
                                               : NULL);
    return NULL;
}

static enum mmgr_result start(void *self, const mmgr_request *request, const mmgr_sink *sink,
                              void **out)
{
    struct fake *fake = self;
    struct fake_request seen;
    const struct fake_answer *answer;
    struct transfer *transfer;

    pthread_mutex_lock(&fake->mutex);
    note(fake, request, &seen);
    answer = choose(fake, &seen);
    pthread_mutex_unlock(&fake->mutex);
    if (!answer)
        return MMGR_ERR_NETWORK;
    transfer = calloc(1, sizeof(*transfer));
    transfer->answer = answer;
    transfer->sink = *sink;
    pthread_mutex_init(&transfer->mutex, NULL);
    pthread_cond_init(&transfer->cond, NULL);
    *out = transfer;
    pthread_create(&transfer->thread, NULL, play, transfer);
    return MMGR_OK;
}

static void cancel(void *self, void *handle)
{
    struct transfer *transfer = handle;

    pthread_mutex_lock(&transfer->mutex);
    transfer->cancelled = 1;
    pthread_cond_signal(&transfer->cond);
    pthread_mutex_unlock(&transfer->mutex);
}

static void set_pause(void *self, void *handle, int paused)
{
}

static void release(void *self, void *handle)
{
    struct transfer *transfer = handle;

    pthread_join(transfer->thread, NULL);
    pthread_cond_destroy(&transfer->cond);
    pthread_mutex_destroy(&transfer->mutex);
    free(transfer);
}

const mmgr_transport_ops fake_ops = {.struct_size = sizeof(fake_ops),
                                     .api_version = 1,
                                     .name = "fake",
                                     .start = start,
                                     .cancel = cancel,
                                     .pause = set_pause,
                                     .release = release};
