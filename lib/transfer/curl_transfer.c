/* SPDX-License-Identifier: MIT */
/* One libcurl transfer: its options, the address guard, and the callbacks that feed the sink. */
#include "transfer/curl_internal.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/http.h"
#include "base/text.h"

#define DEFAULT_CONNECT_NS       (15 * INT64_C(1000000000))
#define DEFAULT_STALL_NS         (30 * INT64_C(1000000000))
#define SLOWEST_BYTES_PER_SECOND 1024L

static void condemn(struct curl_transfer *transfer, enum mmgr_result result, const char *message)
{
    if (transfer->result != MMGR_OK)
        return;
    transfer->result = result;
    snprintf(transfer->message, sizeof transfer->message, "%s", message);
}

void mmgr__curl_drop_lines(struct curl_transfer *transfer)
{
    for (uint32_t i = 0; i < transfer->line_count; i++)
        mmgr__free(transfer->lines[i]);
    transfer->line_count = 0;
    transfer->head_bytes = 0;
}

/* Whether the transfer may talk to this address. The message does not tell what a name resolved
 * to. */
static int peer_allowed(struct curl_transfer *transfer, const char *address, int port)
{
    if (transfer->allow_private || !mmgr__address_is_private(address))
        return 1;
    if (transfer->proxy_port != 0 && port == transfer->proxy_port)
        return 1;
    condemn(transfer, MMGR_ERR_REFUSED_ADDRESS,
            "the host lies in a private network, to which this source may not lead");
    return 0;
}

/* Before connecting: nothing is sent to a forbidden address, not even a SYN. */
static curl_socket_t on_open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct curl_transfer *transfer = user;
    char text[INET6_ADDRSTRLEN] = "";
    int port = 0;
    if (purpose != CURLSOCKTYPE_IPCXN)
        return CURL_SOCKET_BAD;
    if (address->family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, &address->addr, sizeof in);
        inet_ntop(AF_INET, &in.sin_addr, text, sizeof text);
        port = ntohs(in.sin_port);
    } else if (address->family == AF_INET6) {
        /* struct curl_sockaddr declares a sockaddr, but libcurl gives it the room of an IPv6 one.
         * */
        struct sockaddr_in6 in6;
        memcpy(&in6, (const void *)&address->addr, sizeof in6);
        inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof text);
        port = ntohs(in6.sin6_port);
    }
    if (text[0] == '\0' || !peer_allowed(transfer, text, port))
        return CURL_SOCKET_BAD;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Before the request is sent, on reused connections too. */
static int on_prereq(void *user, char *peer, char *local, int peer_port, int local_port)
{
    (void)local;
    (void)local_port;
    return peer_allowed(user, peer, peer_port) ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

static int add_line(struct curl_transfer *transfer, const char *text, size_t length)
{
    transfer->head_bytes += length;
    if (transfer->line_count == HEAD_LINES || transfer->head_bytes > HEAD_BYTES) {
        condemn(transfer, MMGR_ERR_PROTOCOL, "the head of the answer is too large");
        return 0;
    }
    char *copy = mmgr__strndup(text, length);
    if (copy == NULL) {
        condemn(transfer, MMGR_ERR_NO_MEMORY, "out of memory");
        return 0;
    }
    transfer->lines[transfer->line_count++] = copy;
    return 1;
}

/* The blank line that ends a head. Interim answers (1xx) are skipped. */
static int head_ends(struct curl_transfer *transfer)
{
    long status = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200) {
        if (++transfer->interim > INTERIM_ANSWERS) {
            condemn(transfer, MMGR_ERR_PROTOCOL, "the server sends interim answers without end");
            return 0;
        }
        mmgr__curl_drop_lines(transfer);
        return 1;
    }
    char *peer = NULL;
    curl_easy_getinfo(transfer->easy, CURLINFO_PRIMARY_IP, &peer);
    transfer->status = (int)status;
    transfer->head_given = 1;
    mmgr_response response = {.struct_size = sizeof response,
                              .status = (int32_t)status,
                              .headers = (const char *const *)transfer->lines,
                              .header_count = transfer->line_count,
                              .peer = peer != NULL && peer[0] != '\0' ? peer : NULL};
    int stop = 0;
    transfer->sink.head(transfer->sink.user, &response, &stop);
    mmgr__curl_drop_lines(transfer);
    if (stop)
        condemn(transfer, MMGR_ERR_CANCELLED, "abandoned");
    return !stop;
}

static size_t on_header(char *data, size_t size, size_t count, void *user)
{
    struct curl_transfer *transfer = user;
    size_t length = size * count, shown = length;
    if (transfer->head_given) /* trailers of a chunked body */
        return length;
    if (memchr(data, '\0', length) != NULL) {
        condemn(transfer, MMGR_ERR_PROTOCOL, "a header holds a NUL byte");
        return 0;
    }
    while (shown > 0 && (data[shown - 1] == '\n' || data[shown - 1] == '\r'))
        shown--;
    if (shown >= 5 && strncasecmp(data, "HTTP/", 5) == 0) {
        mmgr__curl_drop_lines(transfer);
        return length;
    }
    if (shown > 0)
        return add_line(transfer, data, shown) ? length : 0;
    return head_ends(transfer) ? length : 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *user)
{
    struct curl_transfer *transfer = user;
    size_t length = size * count;
    if (atomic_load(&transfer->cancel)) {
        condemn(transfer, MMGR_ERR_CANCELLED, "cancelled");
        return 0;
    }
    if (atomic_load(&transfer->pause)) {
        transfer->paused = 1;
        return CURL_WRITEFUNC_PAUSE;
    }
    if (!transfer->head_given) {
        condemn(transfer, MMGR_ERR_PROTOCOL, "the answer has no head");
        return 0;
    }
    if (length > transfer->max_body - transfer->taken) {
        condemn(transfer, MMGR_ERR_TOO_LARGE, "the answer is larger than was announced or allowed");
        return 0;
    }
    transfer->taken += length;
    int stop = 0;
    transfer->sink.body(transfer->sink.user, data, length, &stop);
    if (stop) {
        condemn(transfer, MMGR_ERR_CANCELLED, "abandoned");
        return 0;
    }
    return length;
}

/* Port of the proxy that libcurl will take from the environment for this URL, or 0. The person who
 * set the variable chose that peer, so the address guard lets it pass. */
static uint16_t proxy_port(const char *url)
{
    const char *value = NULL;
    if (strncasecmp(url, "https:", 6) == 0) {
        value = getenv("https_proxy");
        value = value != NULL ? value : getenv("HTTPS_PROXY");
    } else {
        value = getenv("http_proxy");
    }
    value = value != NULL ? value : getenv("all_proxy");
    value = value != NULL ? value : getenv("ALL_PROXY");
    if (value == NULL || value[0] == '\0')
        return 0;
    uint16_t port = 0;
    char *text = NULL;
    CURLU *parsed = curl_url();
    if (parsed == NULL)
        return 0;
    if (curl_url_set(parsed, CURLUPART_URL, value, CURLU_GUESS_SCHEME | CURLU_NON_SUPPORT_SCHEME) ==
            CURLUE_OK &&
        curl_url_get(parsed, CURLUPART_PORT, &text, 0) == CURLUE_OK) {
        uint64_t number = 0;
        if (mmgr__parse_u64(text, &number) && number < 65536)
            port = (uint16_t)number;
        curl_free(text);
    } else {
        port = 1080; /* libcurl's default for a proxy */
    }
    curl_url_cleanup(parsed);
    return port;
}

static enum mmgr_result add_headers(struct curl_transfer *transfer, const mmgr_request *request)
{
    int encoding = 0;
    for (uint32_t i = 0; i < request->header_count; i++) {
        struct curl_slist *list = curl_slist_append(transfer->headers, request->headers[i]);
        if (list == NULL)
            return mmgr__oom();
        transfer->headers = list;
        encoding |= strncasecmp(request->headers[i], "Accept-Encoding:", 16) == 0;
    }
    if (encoding)
        return MMGR_OK;
    struct curl_slist *list = curl_slist_append(transfer->headers, "Accept-Encoding: identity");
    if (list == NULL)
        return mmgr__oom();
    transfer->headers = list;
    return MMGR_OK;
}

static long to_ms(int64_t ns, int64_t otherwise)
{
    int64_t value = (ns > 0 ? ns : otherwise) / 1000000;
    if (value < 1)
        value = 1;
    return value > 86400000 ? 86400000L : (long)value;
}

enum mmgr_result mmgr__curl_prepare(struct curl_transfer *transfer, const mmgr_request *request,
                                    const char *ca_file)
{
    CURL *easy = transfer->easy;
    enum mmgr_result rc = add_headers(transfer, request);
    if (rc != MMGR_OK)
        return rc;
    transfer->allow_private = (request->flags & MMGR_REQUEST_ALLOW_PRIVATE) != 0;
    transfer->is_head = (request->flags & MMGR_REQUEST_HEAD) != 0;
    transfer->proxy_port = proxy_port(request->url);
    transfer->max_body = request->max_body;
    long stall = to_ms(request->stall_timeout_ns, DEFAULT_STALL_NS);
    int bad = 0;
#define SET(option, value) bad |= curl_easy_setopt(easy, option, value) != CURLE_OK
    SET(CURLOPT_URL, request->url);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_NOPROGRESS, 1L);
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    /* One connection, one congestion window for each file; see docs/transfer.md. */
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_HTTP_CONTENT_DECODING, 0L);
    SET(CURLOPT_NOBODY, transfer->is_head ? 1L : 0L);
    SET(CURLOPT_HTTPHEADER, transfer->headers);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(CURLOPT_BUFFERSIZE, 256L * 1024L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, to_ms(request->connect_timeout_ns, DEFAULT_CONNECT_NS));
    SET(CURLOPT_LOW_SPEED_LIMIT, SLOWEST_BYTES_PER_SECOND);
    SET(CURLOPT_LOW_SPEED_TIME, (stall + 999) / 1000);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    SET(CURLOPT_OPENSOCKETDATA, transfer);
    SET(CURLOPT_PREREQFUNCTION, on_prereq);
    SET(CURLOPT_PREREQDATA, transfer);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, transfer);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, transfer);
    SET(CURLOPT_ERRORBUFFER, transfer->curl_message);
    if (ca_file != NULL)
        SET(CURLOPT_CAINFO, ca_file);
    SET(CURLOPT_PRIVATE, transfer);
#undef SET
    /* libcurl may be built without HSTS; then there is nothing to switch off. */
    curl_easy_setopt(easy, CURLOPT_HSTS_CTRL, 0L);
    return bad ? mmgr__fail(MMGR_ERR_UNSUPPORTED, "this libcurl lacks an option that is needed")
               : MMGR_OK;
}

static enum mmgr_result code_of(CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return MMGR_OK;
    case CURLE_OUT_OF_MEMORY:
        return MMGR_ERR_NO_MEMORY;
    case CURLE_OPERATION_TIMEDOUT:
        return MMGR_ERR_TIMEOUT;
    case CURLE_UNSUPPORTED_PROTOCOL: /* also HTTP/0.9 */
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_URL_MALFORMAT:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_FILESIZE_EXCEEDED:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CERTPROBLEM:
        return MMGR_ERR_PROTOCOL;
    default:
        return MMGR_ERR_NETWORK;
    }
}

enum mmgr_result mmgr__curl_verdict(struct curl_transfer *transfer, CURLcode code,
                                    const char **message)
{
    *message = NULL;
    if (transfer->result != MMGR_OK) {
        *message = transfer->message;
        return transfer->result;
    }
    enum mmgr_result result = code_of(code);
    if (result == MMGR_OK && !transfer->head_given) {
        *message = "the answer has no head";
        return MMGR_ERR_PROTOCOL;
    }
    if (result != MMGR_OK)
        *message =
            transfer->curl_message[0] != '\0' ? transfer->curl_message : curl_easy_strerror(code);
    return result;
}
