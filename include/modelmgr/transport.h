/* SPDX-License-Identifier: MIT */
/** @file
 * The HTTP transport table, by which a host may bring its own networking.
 *
 * A transfer is one HTTP exchange: one request, one answer, no redirect followed, no retry. Redirects,
 * tokens, retries and address rules are the library's work, above the transport.
 */
#ifndef MODELMGR_TRANSPORT_H
#define MODELMGR_TRANSPORT_H

#include "error_codes.h"
#include "types.h"

MMGR_BEGIN_DECLS

/** Flags of a request. */
#define MMGR_REQUEST_ALLOW_PRIVATE 1u /**< loopback, link-local and private peers are allowed */
#define MMGR_REQUEST_HEAD 2u          /**< HEAD instead of GET */

/** One request, lent for the start call: what is needed later must be copied. Only the library makes these;
 *  new members are appended. */
typedef struct mmgr_request {
    uint32_t struct_size;
    uint32_t flags;                    /**< MMGR_REQUEST_* */
    const char *url;                   /**< absolute, http or https */
    const char *const *headers;        /**< header_count lines "Name: value" */
    uint32_t header_count;
    uint32_t reserved;
    uint64_t max_body;                 /**< most bytes of body to take; more: TOO_LARGE. UINT64_MAX: any */
    int64_t connect_timeout_ns;        /**< longest wait for a connection */
    int64_t stall_timeout_ns;          /**< longest silence while the answer comes; 0 = transport's default */
} mmgr_request;

/** Head of an answer, lent for the call. */
typedef struct mmgr_response {
    uint32_t struct_size;
    int32_t status;                    /**< HTTP status, such as 206 */
    const char *const *headers;        /**< header_count lines "Name: value", as received */
    uint32_t header_count;
    uint32_t reserved;
    const char *peer;                  /**< address of the connected peer, or NULL when unknown */
} mmgr_response;

/** Where the answer goes; lent for the start call, to be copied. The transport calls these from its own
 *  thread, one at a time per transfer, the first perhaps before start has returned: head once (not at all
 *  when no answer came), body any number of times, end exactly once and last (also after a cancel). */
typedef struct mmgr_sink {
    uint32_t struct_size;
    uint32_t reserved;
    /** *stop is preset to 0; 1 makes the transport abandon the transfer (end then says CANCELLED). */
    void (*head)(void *user, const mmgr_response *response, int *stop);
    void (*body)(void *user, const void *data, size_t bytes, int *stop);
    /** result: MMGR_OK when the whole answer came, whatever its status; else NETWORK, TIMEOUT, PROTOCOL,
     *  REFUSED_ADDRESS, CANCELLED, … with one line of explanation (may be NULL). */
    void (*end)(void *user, enum mmgr_result result, const char *message);
    void *user;
} mmgr_sink;

/** A transport. Members are only appended. All functions are required unless said otherwise and may be
 *  called from any thread. A failure's code becomes the job's error. */
typedef struct mmgr_transport_ops {
    uint32_t struct_size;
    uint32_t api_version; /**< 1 */
    const char *name;
    /** Start a transfer and return at once. If it fails, no function of the sink is called. transfer is the
     *  transport's own pointer for the functions below. A request with a Range header is answered with 206
     *  and Content-Range, or with 200 and the whole body. */
    enum mmgr_result (*start)(void *self, const mmgr_request *request, const mmgr_sink *sink,
                              void **transfer);
    /** Cancel a transfer; its sink's end follows, unless it came already: the call may cross it. Any thread,
     *  also from the sink, until release. */
    void (*cancel)(void *self, void *transfer);
    /** Stop (1) or resume (0) taking body bytes, so that memory stays bounded. Any thread. */
    void (*pause)(void *self, void *transfer, int paused);
    /** The library will not touch the transfer again; called once, after end was called and perhaps before
     *  it has returned, but never from inside the sink. May be NULL. */
    void (*release)(void *self, void *transfer);
} mmgr_transport_ops;

MMGR_END_DECLS
#endif
