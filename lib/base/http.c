/* SPDX-License-Identifier: MIT */
/* A blocking GET for small documents on top of the asynchronous transport: follows redirects by the rules of
 * the hops and bounds time and size. */
#include "base/http.h"

#include <pthread.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/text.h"
#include "base/thread.h"

#define SECOND            INT64_C(1000000000)
#define CONNECT_TIMEOUT   (15 * SECOND)
#define STALL_TIMEOUT     (30 * SECOND)
#define REDIRECT_BODY_MAX (64 * 1024)
#define HEADERS_MAX       512
#define EXTRA_MAX         16

/* One exchange. The transport's thread fills it, the caller's thread waits for `ended`. */
struct exchange {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    struct mmgr__hops *hops;
    size_t limit;
    int32_t status;
    struct mmgr__strings headers;
    struct mmgr__buf body;
    size_t taken;
    struct mmgr_error error; /* why we stopped the transport; code MMGR_OK = we did not */
    int enough;              /* stopped because nothing more was wanted */
    int ended;
    enum mmgr_result result;
};

static int is_redirect(int32_t status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Keep the error just made on this thread for the one that waits, and stop. */
static void stop_with_error(struct exchange *exchange, int *stop)
{
    if (exchange->error.code == MMGR_OK)
        mmgr__error_save(&exchange->error);
    *stop = 1;
}

static enum mmgr_result take_head(struct exchange *exchange, const mmgr_response *response)
{
    const char *encoding;

    if (response->status >= 100 && response->status < 200)
        return MMGR_OK;
    exchange->status = response->status;
    if (response->header_count > HEADERS_MAX)
        return mmgr__fail(MMGR_ERR_PROTOCOL, "%s: too many headers", exchange->hops->url.text);
    for (uint32_t i = 0; i < response->header_count; i++)
        if (!mmgr__strings_add(&exchange->headers, response->headers[i]))
            return mmgr__oom();
    encoding = mmgr__header(response->headers, response->header_count, "Content-Encoding");
    if (encoding && *encoding && strcasecmp(encoding, "identity") != 0)
        return mmgr__fail(MMGR_ERR_PROTOCOL, "%s: the answer is encoded as \"%.40s\" unasked",
                          exchange->hops->url.text, encoding);
    return mmgr__hops_peer(exchange->hops, response->peer);
}

static void on_head(void *user, const mmgr_response *response, int *stop)
{
    struct exchange *exchange = user;

    if (take_head(exchange, response) != MMGR_OK)
        stop_with_error(exchange, stop);
}

static void on_body(void *user, const void *data, size_t bytes, int *stop)
{
    struct exchange *exchange = user;

    if (is_redirect(exchange->status)) {
        /* A short body is read to its end, so that the connection can serve the next hop. */
        exchange->taken += bytes;
        exchange->enough = exchange->taken > REDIRECT_BODY_MAX;
        *stop = exchange->enough;
        return;
    }
    if (bytes > exchange->limit - exchange->body.length) {
        mmgr__fail(MMGR_ERR_TOO_LARGE, "%s: the answer is larger than %zu bytes",
                   exchange->hops->url.text, exchange->limit);
        stop_with_error(exchange, stop);
        return;
    }
    mmgr__buf_append(&exchange->body, data, bytes);
    if (exchange->body.failed) {
        mmgr__oom();
        stop_with_error(exchange, stop);
    }
}

static void on_end(void *user, enum mmgr_result result, const char *message)
{
    struct exchange *exchange = user;

    pthread_mutex_lock(&exchange->mutex);
    exchange->result = exchange->enough ? MMGR_OK : result;
    if (exchange->result != MMGR_OK && exchange->error.code == MMGR_OK) {
        mmgr__fail(result, "%s: %s", exchange->hops->url.text,
                   message && *message ? message : mmgr_result_text(result));
        mmgr__error_save(&exchange->error);
    }
    exchange->ended = 1;
    pthread_cond_signal(&exchange->cond);
    pthread_mutex_unlock(&exchange->mutex);
}

/* Start the transfer and wait for its end; past the deadline it is cancelled, which also ends it. */
static enum mmgr_result run(const mmgr_transport_ops *transport, void *self,
                            const mmgr_request *request, struct exchange *exchange,
                            int64_t deadline)
{
    mmgr_sink sink = {.struct_size = sizeof(sink),
                      .head = on_head,
                      .body = on_body,
                      .end = on_end,
                      .user = exchange};
    void *transfer = NULL;
    int late = 0;
    enum mmgr_result result = transport->start(self, request, &sink, &transfer);

    if (result != MMGR_OK)
        return mmgr__fail(result, "%s: %s", exchange->hops->url.text, mmgr_result_text(result));
    pthread_mutex_lock(&exchange->mutex);
    while (!exchange->ended) {
        if (mmgr__cond_wait_until(&exchange->cond, &exchange->mutex, late ? INT64_MAX : deadline) ==
                0 ||
            exchange->ended || late)
            continue;
        late = 1;
        pthread_mutex_unlock(&exchange->mutex);
        transport->cancel(self, transfer);
        pthread_mutex_lock(&exchange->mutex);
    }
    pthread_mutex_unlock(&exchange->mutex);
    if (transport->release)
        transport->release(self, transfer);
    if (late && exchange->result != MMGR_OK) {
        mmgr__fail(MMGR_ERR_TIMEOUT, "%s: no whole answer in time", exchange->hops->url.text);
        mmgr__error_set_subject(exchange->hops->url.text);
        return MMGR_ERR_TIMEOUT;
    }
    if (exchange->error.code != MMGR_OK) {
        mmgr__error_restore(&exchange->error);
        mmgr__error_set_subject(exchange->hops->url.text);
        return exchange->error.code;
    }
    return exchange->result;
}

/* One hop: build the header list from nothing, ask, leave the answer in the exchange. */
static enum mmgr_result ask(const mmgr_transport_ops *transport, void *self,
                            struct exchange *exchange, const char *const *extra,
                            uint32_t extra_count, int64_t deadline)
{
    const char *headers[EXTRA_MAX + 3];
    uint32_t count = 0;
    int64_t left = deadline == INT64_MAX ? CONNECT_TIMEOUT : deadline - mmgr__now_monotonic();
    enum mmgr_result result;
    char *authorization;
    int failed;
    mmgr_request request = {.struct_size = sizeof(request),
                            .url = exchange->hops->url.text,
                            .headers = headers,
                            .max_body = UINT64_MAX,
                            .stall_timeout_ns = STALL_TIMEOUT};

    if (left <= 0) {
        mmgr__fail(MMGR_ERR_TIMEOUT, "%s: no whole answer in time", exchange->hops->url.text);
        mmgr__error_set_subject(exchange->hops->url.text);
        return MMGR_ERR_TIMEOUT;
    }
    authorization = mmgr__hops_authorization(exchange->hops, &failed);
    if (failed)
        return mmgr__oom();
    headers[count++] = mmgr__user_agent();
    headers[count++] = "Accept-Encoding: identity";
    for (uint32_t i = 0; i < extra_count && i < EXTRA_MAX; i++)
        headers[count++] = extra[i];
    if (authorization)
        headers[count++] = authorization;
    request.header_count = count;
    request.connect_timeout_ns = left < CONNECT_TIMEOUT ? left : CONNECT_TIMEOUT;
    request.flags = mmgr__hops_allow_private(exchange->hops) ? MMGR_REQUEST_ALLOW_PRIVATE : 0;
    result = run(transport, self, &request, exchange, deadline);
    mmgr__free(authorization);
    return result;
}

static void reset(struct exchange *exchange)
{
    mmgr__strings_free(&exchange->headers);
    mmgr__buf_free(&exchange->body);
    memset(&exchange->headers, 0, sizeof(exchange->headers));
    memset(&exchange->body, 0, sizeof(exchange->body));
    exchange->body.limit = exchange->limit;
    exchange->status = 0;
    exchange->taken = 0;
    exchange->enough = exchange->ended = 0;
}

static enum mmgr_result give(struct exchange *exchange, struct mmgr__http_answer *answer)
{
    struct mmgr__http_answer made = {.status = exchange->status, .length = exchange->body.length};

    made.url = mmgr__strdup(exchange->hops->url.text);
    made.body = mmgr__buf_take(&exchange->body);
    if (!made.url || !made.body) {
        mmgr__http_answer_free(&made);
        return mmgr__oom();
    }
    made.headers = exchange->headers.items;
    made.header_count = (uint32_t)exchange->headers.count;
    memset(&exchange->headers, 0, sizeof(exchange->headers));
    *answer = made;
    return MMGR_OK;
}

static enum mmgr_result follow(const mmgr_transport_ops *transport, void *self,
                               struct exchange *exchange, const char *const *extra,
                               uint32_t extra_count, int64_t deadline)
{
    for (;;) {
        const char *location;
        enum mmgr_result result;

        reset(exchange);
        result = ask(transport, self, exchange, extra, extra_count, deadline);
        if (result != MMGR_OK)
            return result;
        if (!is_redirect(exchange->status))
            return MMGR_OK;
        location = mmgr__header((const char *const *)exchange->headers.items,
                                (uint32_t)exchange->headers.count, "Location");
        result = mmgr__hops_follow(exchange->hops, location);
        if (result != MMGR_OK)
            return result;
    }
}

enum mmgr_result mmgr__http_get(const mmgr_transport_ops *transport, void *self,
                                const mmgr_config *config, const char *url, const char *token,
                                const char *const *extra_headers, uint32_t extra_count,
                                size_t limit, int64_t timeout_ns, struct mmgr__http_answer *answer)
{
    struct mmgr__hops hops = {0};
    struct exchange exchange = {.hops = &hops, .limit = limit};
    enum mmgr_result result = mmgr__hops_start(&hops, config, url, token);

    if (result != MMGR_OK)
        return result;
    pthread_mutex_init(&exchange.mutex, NULL);
    mmgr__cond_init(&exchange.cond);
    result =
        follow(transport, self, &exchange, extra_headers, extra_count, mmgr__deadline(timeout_ns));
    if (result == MMGR_OK)
        result = give(&exchange, answer);
    reset(&exchange);
    pthread_cond_destroy(&exchange.cond);
    pthread_mutex_destroy(&exchange.mutex);
    mmgr__hops_free(&hops);
    return result;
}

void mmgr__http_answer_free(struct mmgr__http_answer *answer)
{
    if (!answer)
        return;
    for (uint32_t i = 0; i < answer->header_count; i++)
        mmgr__free(answer->headers[i]);
    mmgr__free(answer->headers);
    mmgr__free(answer->body);
    mmgr__free(answer->url);
    memset(answer, 0, sizeof(*answer));
}
