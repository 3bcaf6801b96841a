/* SPDX-License-Identifier: MIT */
/* A transport that plays a script: each request gets the first unused answer that fits it. Answers come from
 * a thread of their own, as a real transport's do. */
#ifndef TESTS_FAKE_TRANSPORT_H
#define TESTS_FAKE_TRANSPORT_H

#include <modelmgr/transport.h>

struct fake_answer {
    const char *url;           /* exactly */
    const char *authorization; /* NULL: any; "": must be absent; else the whole token */
    int32_t status;            /* 0: no head comes */
    const char *headers;       /* lines separated by \n, or NULL */
    const char *body;          /* or NULL */
    const char *peer;          /* NULL: not known */
    enum mmgr_result end;      /* result given to the sink */
    int hang;                  /* after head and body: wait for the cancel */
    int again;                 /* serves any number of requests */
    uint64_t pad;              /* send this many bytes more than body */
};

struct fake_request {
    char url[2048];
    char authorization[512]; /* "" = none */
    uint32_t flags;
    int identity, agent; /* Accept-Encoding: identity and User-Agent were there */
};

struct fake;
struct fake *fake_new(const struct fake_answer *answers, uint32_t count);
void fake_free(struct fake *fake);
extern const mmgr_transport_ops fake_ops;
uint32_t fake_request_count(struct fake *fake);
const struct fake_request *fake_request(struct fake *fake, uint32_t index);
/* A request that no answer fitted was made. */
int fake_surprised(struct fake *fake);
uint32_t fake_unused(struct fake *fake); /* answers that no request used */

#endif
