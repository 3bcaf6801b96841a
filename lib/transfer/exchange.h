/* SPDX-License-Identifier: MIT */
/* One HTTP exchange as a runner sees it: start, wait for the head, read blocks, stop. Behind it the
 * transport's thread fills one buffer while the runner empties the other. */
#ifndef TRANSFER_EXCHANGE_H
#define TRANSFER_EXCHANGE_H

#include <modelmgr/transport.h>

#include "base/thread.h"

struct mmgr__exchange {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    const mmgr_transport_ops *ops;
    void *self;
    size_t room;            /* bytes at which the transfer is paused */
    const atomic_int *stop; /* the job is to let go; NULL: never */

    /* Of the exchange that runs; all under the lock. */
    void *transfer;
    int live; /* started, end not yet taken */
    int ended, head_there, out_of_memory, overrun;
    int want_pause, is_paused, pause_busy;
    int32_t status;
    char **headers;
    uint32_t header_count;
    char *peer;
    enum mmgr_result result;
    char message[256];
    unsigned char *fill, *drain;
    size_t fill_length, fill_capacity, drain_capacity;
};

int mmgr__exchange_init(struct mmgr__exchange *x, const mmgr_transport_ops *ops, void *self,
                        size_t room);
void mmgr__exchange_destroy(struct mmgr__exchange *x);
/* Wake the runner, so that it looks at *stop. Any thread. */
void mmgr__exchange_poke(struct mmgr__exchange *x);

enum mmgr_result mmgr__exchange_start(struct mmgr__exchange *x, const mmgr_request *request,
                                      const atomic_int *stop);
/* Wait for the head; then status, headers and peer are set. CANCELLED when the job is to stop. */
enum mmgr_result mmgr__exchange_head(struct mmgr__exchange *x);
/* Next block of body: waits until `least` bytes are there, the end, or `patience_ns`. *length 0:
 * see *end. At the end returns how the exchange went. Valid until the next call. */
enum mmgr_result mmgr__exchange_read(struct mmgr__exchange *x, size_t least, int64_t patience_ns,
                                     const void **data, size_t *length, int *end);
/* End the exchange whatever its state, and free what belongs to it; the buffers stay. */
void mmgr__exchange_stop(struct mmgr__exchange *x);
/* Free the buffers. */
void mmgr__exchange_trim(struct mmgr__exchange *x);

#endif
