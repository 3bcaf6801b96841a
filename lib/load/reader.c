/* SPDX-License-Identifier: MIT */
/* Reads stretches of files into memory, in large pieces, by a few threads when there is much to
 * read. */
#include <stdatomic.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/io.h"
#include "base/thread.h"
#include "load/tensors.h"

/* Storage wants several large reads in flight; more threads than this gain nothing on one drive. */
#define PIECE         ((uint64_t)8 << 20)
#define PARALLEL_FROM ((uint64_t)32 << 20)
#define MOST_THREADS  4

struct job {
    const struct mmgr__span *spans;
    size_t count;
    uint64_t *first_piece; /* number of each span's first piece, and at [count] the number of all */
    atomic_uint_fast64_t next;
    atomic_int failed;
    pthread_mutex_t guard;
    struct mmgr_error error; /* the first one */
};

static enum mmgr_result read_piece(const struct mmgr__span *span, uint64_t piece)
{
    uint64_t start = piece * PIECE;
    uint64_t bytes = span->bytes - start < PIECE ? span->bytes - start : PIECE;
    int64_t got =
        mmgr__io_pread(span->fd, span->memory + start, (size_t)bytes, span->offset + start);
    enum mmgr_result result = MMGR_OK;
    if (got < 0) {
        result = mmgr__fail_errno((int)-got, "read", span->name);
    } else if ((uint64_t)got < bytes) {
        result = mmgr__fail(MMGR_ERR_INVALID_FILE, "%s was cut short while it was being read",
                            span->name);
        mmgr__error_set_subject(span->name);
    }
    if (result != MMGR_OK)
        mmgr__error_set_offset(span->offset + start + (got > 0 ? (uint64_t)got : 0));
    return result;
}

static void *run(void *argument)
{
    struct job *job = argument;
    size_t span = 0;
    while (!atomic_load_explicit(&job->failed, memory_order_relaxed)) {
        uint64_t piece = atomic_fetch_add_explicit(&job->next, 1, memory_order_relaxed);
        if (piece >= job->first_piece[job->count])
            break;
        while (piece >= job->first_piece[span + 1])
            span++;
        if (read_piece(&job->spans[span], piece - job->first_piece[span]) == MMGR_OK)
            continue;
        pthread_mutex_lock(&job->guard);
        if (!atomic_exchange(&job->failed, 1))
            mmgr__error_save(&job->error);
        pthread_mutex_unlock(&job->guard);
    }
    return NULL;
}

enum mmgr_result mmgr__read_spans(const struct mmgr__span *spans, size_t count)
{
    struct job job = {.spans = spans, .count = count};
    uint64_t bytes = 0;
    job.first_piece = mmgr__alloc0(count + 1, sizeof *job.first_piece);
    if (job.first_piece == NULL)
        return mmgr__oom();
    for (size_t i = 0; i < count; i++) {
        job.first_piece[i + 1] = job.first_piece[i] + (spans[i].bytes + PIECE - 1) / PIECE;
        bytes += spans[i].bytes;
    }
    pthread_mutex_init(&job.guard, NULL);
    pthread_t threads[MOST_THREADS - 1];
    int started = 0;
    /* A thread that cannot be had is no failure: this one reads everything if need be. */
    while (bytes >= PARALLEL_FROM && started < MOST_THREADS - 1 &&
           mmgr__thread_start(&threads[started], run, &job, "mmgr-read") == 0)
        started++;
    run(&job);
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&job.guard);
    mmgr__free(job.first_piece);
    return atomic_load(&job.failed) ? mmgr__error_restore(&job.error) : MMGR_OK;
}
