/* SPDX-License-Identifier: MIT */
/* Waiting for jobs, looking them up, listing and pruning them. */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "transfer/queue_internal.h"

static mmgr_download *find(mmgr_queue *queue, uint64_t id)
{
    for (size_t i = 0; i < queue->job_count; i++) {
        if (queue->jobs[i]->id == id)
            return queue->jobs[i];
    }
    return NULL;
}

static enum mmgr_result unknown(uint64_t id)
{
    return mmgr__fail(MMGR_ERR_UNKNOWN_JOB, "there is no download job %llu",
                      (unsigned long long)id);
}

/* A handler that waits for a job would wait for its own event to be over. */
static enum mmgr_result check_waiter(mmgr_queue *queue)
{
    if (queue == NULL)
        return mmgr__bad_argument("queue");
    if (mmgr__bus_in_handler(queue->bus))
        return mmgr__fail(MMGR_ERR_BUSY, "a handler must not wait for jobs");
    return MMGR_OK;
}

enum mmgr_result mmgr_queue_wait(mmgr_queue *queue, uint64_t id, int64_t timeout_ns)
{
    enum mmgr_result rc = check_waiter(queue);
    if (rc != MMGR_OK)
        return rc;
    int64_t deadline = mmgr__deadline(timeout_ns);
    mmgr_download *job = NULL;
    if ((rc = mmgr_queue_get(queue, id, &job)) != MMGR_OK)
        return rc;
    pthread_mutex_lock(&queue->shared->lock);
    while (rc == MMGR_OK && !mmgr__job_terminal(job->state)) {
        if (mmgr__cond_wait_until(&queue->shared->changed, &queue->shared->lock, deadline) != 0 &&
            !mmgr__job_terminal(job->state))
            rc = MMGR_ERR_TIMEOUT;
    }
    pthread_mutex_unlock(&queue->shared->lock);
    mmgr_download_unref(job);
    return rc != MMGR_ERR_TIMEOUT
               ? rc
               : mmgr__fail(rc, "the download job %llu is not over yet", (unsigned long long)id);
}

/* Lock held. */
static int any_busy(const mmgr_queue *queue)
{
    for (size_t i = 0; i < queue->job_count; i++) {
        enum mmgr_download_status status = mmgr__job_status_of(queue->jobs[i]->state);
        if (status == MMGR_DOWNLOAD_ENQUEUED || status == MMGR_DOWNLOAD_RUNNING)
            return 1;
    }
    return 0;
}

enum mmgr_result mmgr_queue_join(mmgr_queue *queue, int64_t timeout_ns)
{
    enum mmgr_result rc = check_waiter(queue);
    if (rc != MMGR_OK)
        return rc;
    int64_t deadline = mmgr__deadline(timeout_ns);
    pthread_mutex_lock(&queue->shared->lock);
    while (rc == MMGR_OK && any_busy(queue)) {
        if (mmgr__cond_wait_until(&queue->shared->changed, &queue->shared->lock, deadline) != 0 &&
            any_busy(queue))
            rc = MMGR_ERR_TIMEOUT;
    }
    pthread_mutex_unlock(&queue->shared->lock);
    return rc != MMGR_ERR_TIMEOUT ? rc : mmgr__fail(rc, "downloads are still running");
}

enum mmgr_result mmgr_queue_get(mmgr_queue *queue, uint64_t id, mmgr_download **job)
{
    if (queue == NULL || job == NULL)
        return mmgr__bad_argument(queue == NULL ? "queue" : "job");
    pthread_mutex_lock(&queue->shared->lock);
    mmgr_download *found = find(queue, id);
    if (found != NULL)
        *job = mmgr_download_ref(found);
    pthread_mutex_unlock(&queue->shared->lock);
    return found != NULL ? MMGR_OK : unknown(id);
}

enum mmgr_result mmgr_queue_list(mmgr_queue *queue, mmgr_download_list **list)
{
    if (queue == NULL || list == NULL)
        return mmgr__bad_argument(queue == NULL ? "queue" : "list");
    mmgr_download_list *made = mmgr__alloc0(1, sizeof *made);
    if (made == NULL)
        return mmgr__oom();
    pthread_mutex_lock(&queue->shared->lock);
    made->items = mmgr__alloc0(queue->job_count + 1, sizeof(mmgr_download *));
    for (size_t i = 0; made->items != NULL && i < queue->job_count; i++)
        made->items[made->count++] = mmgr_download_ref(queue->jobs[i]);
    pthread_mutex_unlock(&queue->shared->lock);
    if (made->items == NULL) {
        mmgr__free(made);
        return mmgr__oom();
    }
    *list = made;
    return MMGR_OK;
}

enum mmgr_result mmgr_queue_prune(mmgr_queue *queue)
{
    if (queue == NULL)
        return mmgr__bad_argument("queue");
    for (;;) { /* one by one: the last reference calls the host's user_free, without the lock */
        mmgr_download *job = NULL;
        pthread_mutex_lock(&queue->shared->lock);
        for (size_t i = 0; i < queue->job_count; i++) {
            if (!mmgr__job_terminal(queue->jobs[i]->state))
                continue;
            job = queue->jobs[i];
            queue->job_count--;
            memmove(&queue->jobs[i], &queue->jobs[i + 1],
                    (queue->job_count - i) * sizeof(mmgr_download *));
            break;
        }
        pthread_mutex_unlock(&queue->shared->lock);
        if (job == NULL)
            return MMGR_OK;
        mmgr_download_unref(job);
    }
}
