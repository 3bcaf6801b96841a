/* SPDX-License-Identifier: MIT */
/* A transport without a network: a scripted server in memory, one thread for each transfer, and a
 * log. */
#ifndef TESTS_FAKE_TRANSPORT_H
#define TESTS_FAKE_TRANSPORT_H

#include <modelmgr/transport.h>
#include <pthread.h>

#define FAKE_LOG 512

struct fake_request {
    char url[512], range[96], if_range[128], authorization[128], accept_encoding[64];
    uint32_t flags;
    int number; /* 1, 2, … */
};
struct fake_reply {
    int status;
    char headers[16][600];
    int header_count;
    const unsigned char *body;
    size_t length;
    size_t cut;           /* stop after so many bytes ... */
    enum mmgr_result end; /* ... with this; MMGR_OK at the honest end */
    const char *peer;
};
struct fake;
typedef void (*fake_script)(struct fake *fake, const struct fake_request *request,
                            struct fake_reply *reply);

struct fake {
    mmgr_transport_ops ops;
    fake_script script; /* NULL: fake_serve() */
    void *user;
    const unsigned char *content; /* what fake_serve() gives */
    size_t size;
    const char *etag, *last_modified;
    size_t chunk;      /* bytes in one call of the sink */
    unsigned chunk_us; /* rest after each, so that the reader keeps up and writes small blocks */
    /* Under the lock. */
    pthread_mutex_t lock;
    pthread_cond_t change;
    struct fake_request log[FAKE_LOG];
    int requests, running, most_running;
    size_t hold_at; /* every body waits after so many bytes until fake_open_gate() */
    int held;       /* bodies that wait there */
    int gate_open;
};

void fake_init(struct fake *fake, const unsigned char *content, size_t size);
void fake_destroy(struct fake *fake);
void fake_open_gate(struct fake *fake);
void fake_wait_held(struct fake *fake, int count);
/* A faithful server: ranges, If-Range, validators. */
void fake_serve(struct fake *fake, const struct fake_request *request, struct fake_reply *reply);
void fake_header(struct fake_reply *reply, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void fake_drop_header(struct fake_reply *reply, const char *name);

#endif
