/* SPDX-License-Identifier: MIT */
/* HTTP rules above any transport: URLs and origins, which token goes where, what a redirect may do, and a
 * blocking GET for small documents. */
#ifndef BASE_HTTP_H
#define BASE_HTTP_H

#include <modelmgr/config.h>
#include <modelmgr/transport.h>

#include "base/error.h"

struct mmgr__url {
    char *text;   /* normalised, without fragment and user info */
    char *scheme; /* "http" or "https" */
    char *host;   /* lower-case, IPv6 without brackets */
    uint16_t port;
    char *path;   /* begins with "/"; as sent (percent-encoded) */
    char *query;  /* without "?", or NULL */
};
/* UNSUPPORTED_SOURCE for anything but a well-formed absolute http or https URL; user info is refused. */
enum mmgr_result mmgr__url_parse(const char *text, struct mmgr__url *url);
enum mmgr_result mmgr__url_resolve(const struct mmgr__url *base, const char *location, struct mmgr__url *url);
void mmgr__url_free(struct mmgr__url *url);
int mmgr__url_same_origin(const struct mmgr__url *a, const struct mmgr__url *b);
char *mmgr__url_origin(const struct mmgr__url *url); /* "https://host:port", port only when not default */
char *mmgr__url_encode(const char *text, const char *keep); /* percent-encode all but unreserved and keep */
char *mmgr__url_decode(const char *text); /* one pass; NULL = no memory or %00 */
/* Last path component, decoded, or NULL. */
char *mmgr__url_filename(const struct mmgr__url *url);

/* Address rules. A text is a literal or a host name; names are private when "localhost" or "*.localhost"
 * or "*.local". For a literal: loopback, link-local, private, unique-local, unspecified, multicast, CGNAT,
 * and IPv6 forms that wrap such an IPv4. */
int mmgr__address_is_private(const char *address);
int mmgr__address_is_loopback(const char *address); /* literal, or "localhost" */

/* One chain of requests that began at a URL which the user or the config named. Decides, per hop, whether
 * to go there, with which token, and whether private peers are allowed:
 * - https never goes to http; only http and https; at most 10 hops;
 * - the token stays with the origin (scheme, host, port, path prefix) that it was given for; over plain
 *   http it goes to loopback and to hosts that the config names with http only;
 * - once a public peer has been talked to, private addresses are refused unless the config names them;
 *   a first URL that is itself private allows private ones. */
struct mmgr__hops {
    struct mmgr__url url;      /* where to go now */
    const mmgr_config *config; /* may be NULL */
    char *token;               /* explicit token of the caller, bound to the first URL's origin; "" = send
                                * no token anywhere; NULL = what the config has */
    char *token_origin;
    int count;
    int public_seen;
};
enum mmgr_result mmgr__hops_start(struct mmgr__hops *hops, const mmgr_config *config, const char *url,
                                  const char *token);
/* Follow a Location header. PROTOCOL (missing, loop), REFUSED_ADDRESS (downgrade, private). */
enum mmgr_result mmgr__hops_follow(struct mmgr__hops *hops, const char *location);
/* Tell which peer answered; REFUSED_ADDRESS when it must not have been talked to. */
enum mmgr_result mmgr__hops_peer(struct mmgr__hops *hops, const char *peer);
/* "Authorization: Bearer …" for the present hop (owned), or NULL when no token goes there (*failed = 0) or
 * memory ran out (*failed = 1). */
char *mmgr__hops_authorization(const struct mmgr__hops *hops, int *failed);
int mmgr__hops_allow_private(const struct mmgr__hops *hops);
void mmgr__hops_free(struct mmgr__hops *hops);

/* Value of a header among "Name: value" lines, without leading blanks, or NULL. Case-insensitive. */
const char *mmgr__header(const char *const *headers, uint32_t count, const char *name);
/* ETag without W/ and quotes (owned), *weak set; NULL when malformed or no memory. */
char *mmgr__etag(const char *value, int *weak);
/* "bytes a-b/total" (total UINT64_MAX for "*"; a = b = 0 and *unsatisfied = 1 for bytes-star/N). 0 = bad. */
int mmgr__content_range(const char *value, uint64_t *first, uint64_t *last, uint64_t *total,
                        int *unsatisfied);
/* Safe file name of a Content-Disposition value (filename* before filename), or NULL when there is none
 * that is one safe component. */
char *mmgr__disposition_filename(const char *value);
/* Nanoseconds to wait by Retry-After (seconds or date) or RateLimit (t=), capped at 5 minutes; -1 = none. */
int64_t mmgr__retry_after(const char *const *headers, uint32_t count);
/* User-Agent header line of this library. Static. */
const char *mmgr__user_agent(void);

/* Blocking GET of a small document with redirects. Any status is a success of this function. */
struct mmgr__http_answer {
    int32_t status;
    char **headers;       /* of the last hop; owned */
    uint32_t header_count;
    char *body;           /* NUL-terminated */
    size_t length;
    char *url;            /* of the last hop */
};
/* limit: most bytes of body, else TOO_LARGE. timeout_ns: for the whole call, else TIMEOUT. */
enum mmgr_result mmgr__http_get(const mmgr_transport_ops *transport, void *self, const mmgr_config *config,
                                const char *url, const char *token, const char *const *extra_headers,
                                uint32_t extra_count, size_t limit, int64_t timeout_ns,
                                struct mmgr__http_answer *answer);
void mmgr__http_answer_free(struct mmgr__http_answer *answer);

#endif
