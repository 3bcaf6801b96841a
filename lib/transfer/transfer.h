/* SPDX-License-Identifier: MIT */
/* What services above the queue need beyond its public header, and the dials that tests turn. */
#ifndef TRANSFER_TRANSFER_H
#define TRANSFER_TRANSFER_H

#include <modelmgr/queue.h>

/* A service that uses the queue or its transport holds it: the queue cannot be closed meanwhile. */
void mmgr__queue_hold(mmgr_queue *queue);
void mmgr__queue_unhold(mmgr_queue *queue);

/* Zero in a member leaves the default. Only before the first job. */
struct mmgr__transfer_tuning {
    int64_t backoff_base_ns; /* 1 s: first wait after a failure; doubles, with jitter */
    int64_t backoff_cap_ns;  /* 60 s */
    int64_t wait_cap_ns;     /* 5 min: longest Retry-After that is honoured */
    int64_t connect_ns;      /* 15 s */
    int64_t stall_ns;        /* 30 s */
    uint64_t sync_bytes;     /* 64 MiB: bytes between two syncs of data and journal */
    int64_t sync_ns;         /* 5 s */
    uint64_t block_bytes;    /* 256 KiB: smallest write while bytes flow */
    uint64_t room_bytes;   /* at most 1 MiB, less with many files: bytes in memory before a pause */
    uint64_t window_bytes; /* 8 GiB: longest range of one request */
    uint64_t unknown_limit; /* 1 TiB: most bytes of a file whose size nobody tells */
    uint64_t min_progress;  /* 64 KiB: bytes that make an attempt count as progress */
};
void mmgr__queue_tune(mmgr_queue *queue, const struct mmgr__transfer_tuning *tuning);

#endif
