/* SPDX-License-Identifier: MIT */
/* Clocks, timed waits, atomics for reference counts. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

int64_t mmgr__now_realtime(void);  /* ns since 1970-01-01 UTC */
int64_t mmgr__now_monotonic(void); /* ns */
/* A condition on the monotonic clock. */
int mmgr__cond_init(pthread_cond_t *cond);
/* Deadline for a public timeout argument: negative = never (INT64_MAX). */
int64_t mmgr__deadline(int64_t timeout_ns);
/* Wait until signalled or the monotonic deadline; 0, or ETIMEDOUT. */
int mmgr__cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t deadline);
int mmgr__thread_start(pthread_t *thread, void *(*run)(void *), void *argument, const char *name);

typedef atomic_uint_fast32_t mmgr__refs;
static inline void mmgr__refs_init(mmgr__refs *refs) { atomic_init(refs, 1); }
static inline void mmgr__refs_take(mmgr__refs *refs) { atomic_fetch_add_explicit(refs, 1, memory_order_relaxed); }
/* 1 when this was the last. */
static inline int mmgr__refs_drop(mmgr__refs *refs)
{
    return atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel) == 1;
}

void mmgr__random(void *data, size_t bytes); /* from the kernel */
void mmgr__random_hex(char *text, size_t digits); /* lower-case, NUL-terminated: digits + 1 bytes */
/* "2024-01-31T12:00:00.000Z" */
void mmgr__format_time(int64_t ns, char text[32]);

#endif
