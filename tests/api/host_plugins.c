/* SPDX-License-Identifier: MIT */
/* The function tables of the example host: transport, device and loader, from the public headers
 * alone. */
#include "host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct exchange {
    struct web *web;
    mmgr_sink sink;
    const unsigned char *data; /* NULL: no such file */
    size_t size;
    size_t at;
    uint64_t max_body;
    int gated;
    int ranged;
    int head_only;
    int cancelled;
    int paused;
    int holders; /* the serving thread and the library */
};

void web_init(struct web *web)
{
    memset(web, 0, sizeof *web);
    pthread_mutex_init(&web->lock, NULL);
    pthread_cond_init(&web->changed, NULL);
    for (size_t i = 0; i < sizeof web->small; i++)
        web->small[i] = (unsigned char)(i * 3);
    for (size_t i = 0; i < sizeof web->large; i++)
        web->large[i] = (unsigned char)(i * 7 + (i >> 8));
}

void web_open_gate(struct web *web, int open)
{
    pthread_mutex_lock(&web->lock);
    web->gate_open = open;
    pthread_cond_broadcast(&web->changed);
    pthread_mutex_unlock(&web->lock);
}

void web_destroy(struct web *web)
{
    pthread_mutex_lock(&web->lock);
    while (web->live > 0)
        pthread_cond_wait(&web->changed, &web->lock);
    pthread_mutex_unlock(&web->lock);
    pthread_cond_destroy(&web->changed);
    pthread_mutex_destroy(&web->lock);
}

/* The thread may outlive the library's interest, and the other way round: the last one frees. */
static void drop(struct exchange *exchange)
{
    struct web *web = exchange->web;
    pthread_mutex_lock(&web->lock);
    int last = --exchange->holders == 0;
    if (last) {
        free(exchange);
        web->live--;
        pthread_cond_broadcast(&web->changed);
    }
    pthread_mutex_unlock(&web->lock);
}

static int send_head(struct exchange *exchange)
{
    char length[64];
    char range[96];
    const char *headers[4] = {"ETag: \"v1\"", "Accept-Ranges: bytes", length, range};
    size_t left = exchange->size - exchange->at;
    mmgr_response response;
    int stop = 0;
    memset(&response, 0, sizeof response);
    response.struct_size = sizeof response;
    response.status = exchange->data == NULL ? 404 : exchange->ranged ? 206 : 200;
    response.headers = headers;
    response.header_count = exchange->ranged ? 4 : 3;
    snprintf(length, sizeof length, "Content-Length: %lu", (unsigned long)left);
    snprintf(range, sizeof range, "Content-Range: bytes %lu-%lu/%lu", (unsigned long)exchange->at,
             (unsigned long)exchange->size - 1, (unsigned long)exchange->size);
    exchange->sink.head(exchange->sink.user, &response, &stop);
    return stop;
}

/* 1 when the exchange was cancelled; returns when bytes may flow. */
static int wait_for_leave(struct exchange *exchange)
{
    struct web *web = exchange->web;
    pthread_mutex_lock(&web->lock);
    while (!exchange->cancelled && (exchange->paused || (exchange->gated && !web->gate_open &&
                                                         exchange->at >= exchange->size / 2)))
        pthread_cond_wait(&web->changed, &web->lock);
    int cancelled = exchange->cancelled;
    pthread_mutex_unlock(&web->lock);
    return cancelled;
}

static void *serve(void *argument)
{
    struct exchange *exchange = (struct exchange *)argument;
    enum mmgr_result result = MMGR_OK;
    uint64_t sent = 0;
    int stop = send_head(exchange);
    while (!stop && !exchange->head_only && exchange->at < exchange->size) {
        size_t bytes = exchange->size - exchange->at < 4096 ? exchange->size - exchange->at : 4096;
        stop = wait_for_leave(exchange);
        if (stop)
            break;
        if (sent + bytes > exchange->max_body) {
            result = MMGR_ERR_TOO_LARGE;
            break;
        }
        exchange->sink.body(exchange->sink.user, exchange->data + exchange->at, bytes, &stop);
        exchange->at += bytes;
        sent += bytes;
    }
    exchange->sink.end(exchange->sink.user, stop ? MMGR_ERR_CANCELLED : result, NULL);
    drop(exchange);
    return NULL;
}

static void find_file(struct exchange *exchange, const mmgr_request *request)
{
    struct web *web = exchange->web;
    if (strcmp(request->url, WEB_URL "small.bin") == 0) {
        exchange->data = web->small;
        exchange->size = sizeof web->small;
    } else if (strcmp(request->url, WEB_URL "large.bin") == 0) {
        exchange->data = web->large;
        exchange->size = sizeof web->large;
        exchange->gated = 1;
    }
    for (uint32_t i = 0; i < request->header_count; i++) {
        unsigned long from;
        if (sscanf(request->headers[i], "Range: bytes=%lu-", &from) == 1 && from < exchange->size) {
            exchange->at = from;
            exchange->ranged = 1;
            web->resumed++;
        }
    }
}

static enum mmgr_result web_start(void *self, const mmgr_request *request, const mmgr_sink *sink,
                                  void **transfer)
{
    struct web *web = (struct web *)self;
    pthread_attr_t attributes;
    pthread_t thread;
    struct exchange *exchange = (struct exchange *)calloc(1, sizeof *exchange);
    if (exchange == NULL)
        return MMGR_ERR_NO_MEMORY;
    exchange->web = web;
    exchange->sink = *sink;
    exchange->max_body = request->max_body;
    exchange->head_only = (request->flags & MMGR_REQUEST_HEAD) != 0;
    exchange->holders = 2;
    pthread_mutex_lock(&web->lock);
    find_file(exchange, request);
    web->requests++;
    int refuse = web->refuse;
    web->live++;
    pthread_mutex_unlock(&web->lock);
    /* The sink may be called before this function returns, so the output goes first. */
    *transfer = exchange;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (refuse || pthread_create(&thread, &attributes, serve, exchange) != 0) {
        exchange->holders = 1;
        drop(exchange);
        refuse = 1;
    }
    pthread_attr_destroy(&attributes);
    return refuse ? MMGR_ERR_NETWORK : MMGR_OK;
}

static void set_flag(struct exchange *exchange, int *flag, int value)
{
    pthread_mutex_lock(&exchange->web->lock);
    *flag = value;
    pthread_cond_broadcast(&exchange->web->changed);
    pthread_mutex_unlock(&exchange->web->lock);
}

static void web_cancel(void *self, void *transfer)
{
    struct exchange *exchange = (struct exchange *)transfer;
    (void)self;
    set_flag(exchange, &exchange->cancelled, 1);
}

static void web_pause(void *self, void *transfer, int paused)
{
    struct exchange *exchange = (struct exchange *)transfer;
    (void)self;
    set_flag(exchange, &exchange->paused, paused);
}

static void web_release(void *self, void *transfer)
{
    (void)self;
    drop((struct exchange *)transfer);
}

const mmgr_transport_ops web_transport = {
    sizeof(mmgr_transport_ops), 1, "memory", web_start, web_cancel, web_pause, web_release,
};

void gpu_init(struct gpu *gpu, uint64_t capacity)
{
    memset(gpu, 0, sizeof *gpu);
    pthread_mutex_init(&gpu->lock, NULL);
    gpu->capacity = capacity;
}

void gpu_free(void *self)
{
    struct gpu *gpu = (struct gpu *)self;
    pthread_mutex_destroy(&gpu->lock);
    gpu->freed++;
}

static enum mmgr_result gpu_memory(void *self, uint64_t *free_bytes, uint64_t *total_bytes)
{
    struct gpu *gpu = (struct gpu *)self;
    pthread_mutex_lock(&gpu->lock);
    *free_bytes = gpu->capacity > gpu->used ? gpu->capacity - gpu->used : 0;
    *total_bytes = gpu->capacity;
    pthread_mutex_unlock(&gpu->lock);
    return MMGR_OK;
}

static enum mmgr_result gpu_allocate(void *self, uint64_t bytes, uint64_t alignment, void **memory)
{
    struct gpu *gpu = (struct gpu *)self;
    enum mmgr_result result = MMGR_ERR_DEVICE_MEMORY;
    void *block = NULL;
    if (alignment < sizeof(void *))
        alignment = sizeof(void *);
    pthread_mutex_lock(&gpu->lock);
    if (gpu->used <= gpu->capacity && bytes <= gpu->capacity - gpu->used &&
        posix_memalign(&block, (size_t)alignment, (size_t)bytes) == 0) {
        gpu->used += bytes;
        *memory = block;
        result = MMGR_OK;
    }
    pthread_mutex_unlock(&gpu->lock);
    return result;
}

static void gpu_release(void *self, void *memory, uint64_t bytes)
{
    struct gpu *gpu = (struct gpu *)self;
    pthread_mutex_lock(&gpu->lock);
    gpu->used -= bytes;
    pthread_mutex_unlock(&gpu->lock);
    free(memory);
}

static enum mmgr_result gpu_upload(void *self, void *memory, const void *host, uint64_t bytes)
{
    (void)self;
    memcpy(memory, host, (size_t)bytes);
    return MMGR_OK;
}

static enum mmgr_result gpu_download(void *self, void *host, const void *memory, uint64_t bytes)
{
    (void)self;
    memcpy(host, memory, (size_t)bytes);
    return MMGR_OK;
}

static enum mmgr_result gpu_synchronize(void *self)
{
    (void)self;
    return MMGR_OK;
}

static int gpu_is_host(void *self)
{
    (void)self;
    return 0;
}

const mmgr_device_ops gpu_device = {
    sizeof(mmgr_device_ops),
    1,
    "toy:0",
    gpu_memory,
    gpu_allocate,
    gpu_release,
    gpu_upload,
    gpu_download,
    gpu_synchronize,
    gpu_is_host,
};

static struct loader *object_owner; /* object_free has no user pointer of its own */

static void free_object(void *object)
{
    object_owner->objects--;
    free(object);
}

static enum mmgr_result load(void *self, const mmgr_load_request *request, mmgr_load_result *result)
{
    struct loader *loader = (struct loader *)self;
    loader->loads++;
    switch (loader->mode) {
    case LOAD_TENSORS:
        return mmgr_tensor_set_read(request->path, request->submodel, request->variant,
                                    &result->tensors);
    case LOAD_OBJECT:
        object_owner = loader;
        result->object = calloc(1, 16);
        result->object_free = free_object;
        result->bytes = 16;
        loader->objects += result->object != NULL;
        return result->object != NULL ? MMGR_OK : MMGR_ERR_NO_MEMORY;
    case LOAD_NOTHING:
        return MMGR_OK;
    case LOAD_FAILURE:
        break;
    }
    return MMGR_ERR_INVALID_FILE;
}

const mmgr_loader_ops host_loader = {
    sizeof(mmgr_loader_ops), 1, "host", load, NULL, NULL, NULL,
};

void loader_free(void *self)
{
    ((struct loader *)self)->freed++;
}
