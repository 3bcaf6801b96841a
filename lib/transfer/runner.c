/* SPDX-License-Identifier: MIT */
/* The runners: threads that take the most urgent part, run it, and settle what came of it. */
#include <fcntl.h>
#include <string.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/log.h"
#include "base/path.h"
#include "transfer/queue_internal.h"

/* Memory of the transfer buffers of all files together stays below 48 MiB: two buffers for each. */
#define MOST_ROOM (1u << 20)
#define ALL_ROOM  (24u << 20)

/* A job that is to stop and of which no runner holds a part. Lock held. */
static mmgr_download *next_winding(mmgr_queue *queue)
{
    for (size_t i = 0; i < queue->job_count; i++) {
        mmgr_download *job = queue->jobs[i];
        if (mmgr__job_winding(job->state) && job->active == 0 && !job->cleaning)
            return job;
    }
    return NULL;
}

/* The waiting part of the most urgent job: lower priority first, then the older job. Lock held.
 * *wake: when the next part that waits after a failure may go on. */
static struct mmgr__part *next_part(mmgr_queue *queue, mmgr_download **of, int64_t *wake)
{
    struct mmgr__part *best = NULL;
    int64_t now = mmgr__now_monotonic();
    *wake = INT64_MAX;
    if (queue->active_parts >= queue->max_parallel)
        return NULL;
    for (size_t i = 0; i < queue->job_count; i++) {
        mmgr_download *job = queue->jobs[i];
        if (job->state != MMGR__JOB_ENQUEUED && job->state != MMGR__JOB_RUNNING)
            continue;
        if (best != NULL && (*of)->priority <= job->priority)
            continue;
        for (size_t k = 0; k < job->part_count; k++) {
            struct mmgr__part *part = &job->parts[k];
            if (part->state != MMGR__PART_WAITING)
                continue;
            if (part->not_before > now) {
                *wake = part->not_before < *wake ? part->not_before : *wake;
                continue;
            }
            best = part;
            *of = job;
            break;
        }
    }
    return best;
}

/* Whether the bytes of a job that stops are to stay. Lock held. */
static int keeps_bytes(const mmgr_download *job)
{
    return job->state == MMGR__JOB_PAUSING || job->state == MMGR__JOB_RESTARTING ||
           (job->flags & MMGR_DOWNLOAD_PRESERVE_PARTIAL) != 0;
}

static void drop_finished_journal(const mmgr_download *job)
{
    int fd = job->is_multi ? mmgr__io_open_dir(AT_FDCWD, job->destination) : -1;
    if (fd < 0)
        return;
    static const char *const names[] = {MMGR__FINISHED_NAME, MMGR__FINISHED_NAME ".tmp"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct stat st;
        if (mmgr__io_stat(fd, names[i], &st, 0) == 0)
            mmgr__io_unlink(fd, names[i]);
    }
    mmgr__io_close(fd);
}

static void log_end(const mmgr_queue *queue, const mmgr_download *job, enum mmgr__job_state state)
{
    const char *name = job->label != NULL ? job->label : job->source;
    if ((queue->flags & MMGR_QUEUE_QUIET) != 0)
        return;
    /* The job's owner hears of the error from the job: the log need not say it louder. */
    if (state == MMGR__JOB_ERROR)
        mmgr__log(MMGR_LOG_INFO, "transfer", "download %llu of %s failed: %s",
                  (unsigned long long)job->id, name, job->error.message);
    else
        mmgr__log(MMGR_LOG_INFO, "transfer", "download %llu of %s: %s", (unsigned long long)job->id,
                  name, mmgr_download_status_name(mmgr__job_status_of(state)));
}

/* Close what a stopping job holds, then say that it has stopped. Lock held on entry and on return.
 * */
static void clean(mmgr_queue *queue, mmgr_download *job)
{
    int keep;
    mmgr_download_ref(job);
    job->cleaning = 1;
    do { /* again when a pause became a cancel meanwhile */
        keep = keeps_bytes(job);
        pthread_mutex_unlock(&queue->shared->lock);
        for (size_t i = 0; i < job->part_count; i++)
            mmgr__part_release(queue, job, &job->parts[i], keep);
        if (!keep)
            drop_finished_journal(job);
        pthread_mutex_lock(&queue->shared->lock);
    } while (keep && !keeps_bytes(job));
    job->cleaning = 0;
    for (size_t i = 0; i < job->part_count; i++) {
        if (job->parts[i].state == MMGR__PART_WAITING)
            job->parts[i].not_before = 0;
    }
    mmgr__job_input(queue, job, MMGR__INPUT_STOPPED);
    enum mmgr__job_state state = job->state;
    pthread_mutex_unlock(&queue->shared->lock);
    log_end(queue, job, state);
    mmgr_download_unref(job);
    pthread_mutex_lock(&queue->shared->lock);
}

/* After a move: the source's folders, deepest first as far as they are empty. */
static void remove_empty_folders(const mmgr_download *job)
{
    for (size_t i = 0; i < job->part_count; i++) {
        char *folder = mmgr__path_dirname(job->parts[i].spec.source);
        while (folder != NULL && (strcmp(folder, job->move_root) == 0 ||
                                  mmgr__path_inside(folder, job->move_root) != NULL)) {
            if (mmgr__io_rmdir(AT_FDCWD, folder) != 0)
                break;
            char *parent = mmgr__path_dirname(folder);
            mmgr__free(folder);
            folder = parent;
        }
        mmgr__free(folder);
    }
}

/* Enter what came of a part. Lock held on entry and on return. */
static void settle(struct mmgr__runner *runner, struct mmgr__run *run, enum mmgr__run_end end)
{
    mmgr_queue *queue = runner->queue;
    mmgr_download *job = run->job;
    struct mmgr__part *part = run->part;
    part->state = end == MMGR__RUN_DONE ? MMGR__PART_DONE : MMGR__PART_WAITING;
    part->not_before = 0;
    int last = 0;
    if (end == MMGR__RUN_DONE) {
        last = ++job->done == job->part_count;
    } else if (end == MMGR__RUN_RETRY) {
        part->not_before = mmgr__now_monotonic() + run->retry_in;
    } else if (end == MMGR__RUN_FAILED) {
        mmgr__job_input(queue, job, MMGR__INPUT_FAIL);
    }
    if (last) {
        pthread_mutex_unlock(&queue->shared->lock);
        drop_finished_journal(job);
        if (job->move_root != NULL)
            remove_empty_folders(job);
        pthread_mutex_lock(&queue->shared->lock);
        mmgr__job_input(queue, job, MMGR__INPUT_DONE);
    }
    runner->job = NULL;
    runner->part = NULL;
    job->active--;
    queue->active_parts--;
    if (last) {
        pthread_mutex_unlock(&queue->shared->lock);
        log_end(queue, job, MMGR__JOB_COMPLETED);
        pthread_mutex_lock(&queue->shared->lock);
    }
    mmgr__runners_wake(queue);
}

/* Lock held on entry and on return. */
static void work(struct mmgr__runner *runner, mmgr_download *job, struct mmgr__part *part)
{
    mmgr_queue *queue = runner->queue;
    int begins = job->sequence == 0;
    mmgr_download_ref(job);
    part->state = MMGR__PART_ACTIVE;
    runner->job = job;
    runner->part = part;
    job->active++;
    queue->active_parts++;
    mmgr__job_input(queue, job, MMGR__INPUT_PICK);
    mmgr__runners_wake(queue); /* another part may wait for another runner */
    pthread_mutex_unlock(&queue->shared->lock);
    if (begins && (queue->flags & MMGR_QUEUE_QUIET) == 0)
        mmgr__log(MMGR_LOG_INFO, "transfer", "download %llu of %s to %s",
                  (unsigned long long)job->id, job->label != NULL ? job->label : job->source,
                  job->destination);
    struct mmgr__run run = {
        .queue = queue, .job = job, .part = part, .exchange = &runner->exchange};
    enum mmgr__run_end end = mmgr__run_part(&run);
    mmgr__exchange_trim(&runner->exchange);
    pthread_mutex_lock(&queue->shared->lock);
    settle(runner, &run, end);
    pthread_mutex_unlock(&queue->shared->lock);
    mmgr_download_unref(job);
    pthread_mutex_lock(&queue->shared->lock);
}

/* Whether a closing queue may let its runners go. Lock held. */
static int all_quiet(const mmgr_queue *queue)
{
    if (queue->active_parts > 0)
        return 0;
    for (size_t i = 0; i < queue->job_count; i++) {
        if (mmgr__job_winding(queue->jobs[i]->state))
            return 0;
    }
    return 1;
}

static void *run_runner(void *argument)
{
    struct mmgr__runner *runner = argument;
    mmgr_queue *queue = runner->queue;
    pthread_mutex_lock(&queue->shared->lock);
    for (;;) {
        int64_t wake = INT64_MAX;
        mmgr_download *job = next_winding(queue);
        struct mmgr__part *part = NULL;
        if (job != NULL) {
            clean(queue, job);
        } else if ((part = next_part(queue, &job, &wake)) != NULL) {
            work(runner, job, part);
        } else if (queue->closing && all_quiet(queue)) {
            break;
        } else {
            queue->idle++;
            mmgr__cond_wait_until(&queue->work, &queue->shared->lock, wake);
            queue->idle--;
        }
    }
    pthread_cond_broadcast(&queue->work);
    pthread_mutex_unlock(&queue->shared->lock);
    return NULL;
}

static struct mmgr__runner *new_runner(mmgr_queue *queue)
{
    struct mmgr__runner *runner = mmgr__alloc0(1, sizeof *runner);
    size_t room = ALL_ROOM / queue->max_parallel;
    if (queue->tuning.room_bytes != 0)
        room = queue->tuning.room_bytes;
    if (runner == NULL)
        return NULL;
    runner->queue = queue;
    if (!mmgr__exchange_init(&runner->exchange, queue->ops, queue->self,
                             room < MOST_ROOM ? room : MOST_ROOM)) {
        mmgr__free(runner);
        return NULL;
    }
    return runner;
}

int mmgr__runners_wake(mmgr_queue *queue)
{
    /* None while the queue is being closed: the closing thread joins those that there are. */
    if (!queue->closing && queue->idle == 0 && queue->runner_count < queue->max_parallel + 1) {
        struct mmgr__runner *runner = new_runner(queue);
        if (runner != NULL &&
            mmgr__thread_start(&runner->thread, run_runner, runner, "mmgr-file") == 0) {
            queue->runners[queue->runner_count++] = runner;
        } else if (runner != NULL) {
            mmgr__exchange_destroy(&runner->exchange);
            mmgr__free(runner);
        }
    }
    pthread_cond_broadcast(&queue->work);
    return queue->runner_count > 0;
}
