/* SPDX-License-Identifier: MIT */
/* Control of jobs: find, resume, pause, cancel, wait, prune. */
#include <errno.h>

#include "base/event.h"
#include "install/install.h"

int mmgr__install_ended(enum mmgr_install_status status)
{
    return status == MMGR_INSTALL_COMPLETED || status == MMGR_INSTALL_ERROR ||
           status == MMGR_INSTALL_CANCELLED;
}

/* A reference to the job, or NULL with UNKNOWN_JOB as the last error. */
static mmgr_install *find_job(mmgr_installer *installer, uint64_t id)
{
    pthread_mutex_lock(&installer->mutex);
    mmgr_install *job = installer->jobs;
    while (job && job->id != id)
        job = job->next;
    if (job)
        mmgr_install_ref(job);
    pthread_mutex_unlock(&installer->mutex);
    if (!job)
        mmgr__fail(MMGR_ERR_UNKNOWN_JOB, "there is no install job %llu", (unsigned long long)id);
    return job;
}

enum mmgr_result mmgr__install_resume(mmgr_installer *installer, mmgr_install *job)
{
    pthread_mutex_lock(&installer->mutex);
    enum mmgr_install_status status = job->status;
    int rests = status == MMGR_INSTALL_PAUSED && !job->cancel;
    mmgr_download *download = rests || status == MMGR_INSTALL_DOWNLOADING
                                  ? job->download ? mmgr_download_ref(job->download) : NULL
                                  : NULL;
    if (rests)
        job->status = download ? MMGR_INSTALL_DOWNLOADING : MMGR_INSTALL_WAITING;
    pthread_mutex_unlock(&installer->mutex);
    enum mmgr_result result = MMGR_OK;
    if (mmgr__install_ended(status))
        return mmgr__fail(MMGR_ERR_STATE, "the install of %s has ended", job->source);
    if (download) { /* also where it runs: a pause may be under way, and the last word counts */
        result = mmgr_queue_start(installer->queue, mmgr_download_id(download));
        if (result == MMGR_ERR_STATE) /* it has all its bytes, or is being cancelled */
            result = MMGR_OK;
    } else if (rests &&
               (result = mmgr__worker_push(installer, &installer->planner, job)) != MMGR_OK) {
        pthread_mutex_lock(&installer->mutex);
        job->status = MMGR_INSTALL_PAUSED;
        pthread_mutex_unlock(&installer->mutex);
    }
    mmgr_download_unref(download);
    return result;
}

enum mmgr_result mmgr_installer_get(mmgr_installer *installer, uint64_t id, mmgr_install **job)
{
    if (!installer || !job)
        return mmgr__bad_argument(installer ? "job" : "installer");
    mmgr_install *found = find_job(installer, id);
    if (!found)
        return MMGR_ERR_UNKNOWN_JOB;
    *job = found;
    return MMGR_OK;
}

enum mmgr_result mmgr_installer_resume(mmgr_installer *installer, uint64_t id)
{
    if (!installer)
        return mmgr__bad_argument("installer");
    mmgr_install *job = find_job(installer, id);
    if (!job)
        return MMGR_ERR_UNKNOWN_JOB;
    enum mmgr_result result = mmgr__install_resume(installer, job);
    mmgr_install_unref(job);
    return result;
}

enum mmgr_result mmgr_installer_pause(mmgr_installer *installer, uint64_t id)
{
    if (!installer)
        return mmgr__bad_argument("installer");
    mmgr_install *job = find_job(installer, id);
    if (!job)
        return MMGR_ERR_UNKNOWN_JOB;
    pthread_mutex_lock(&installer->mutex);
    enum mmgr_install_status status = job->status;
    mmgr_download *download = status == MMGR_INSTALL_DOWNLOADING && job->download
                                  ? mmgr_download_ref(job->download)
                                  : NULL;
    pthread_mutex_unlock(&installer->mutex);
    enum mmgr_result result = MMGR_OK;
    if (download)
        result = mmgr_queue_pause(installer->queue, mmgr_download_id(download));
    else if (status != MMGR_INSTALL_PAUSED)
        result = mmgr__fail(MMGR_ERR_STATE, "the install of %s is not downloading", job->source);
    mmgr_download_unref(download);
    mmgr_install_unref(job);
    return result;
}

enum cancel_way {
    CANCEL_LATE,     /* ended, or being placed */
    CANCEL_HERE,     /* nobody has it in hand: it ends in this call */
    CANCEL_DOWNLOAD, /* its download tells the dispatcher, which ends it */
    CANCEL_NOTED     /* the thread that has it in hand ends it at its next step */
};

/* With the mutex held: how a job is to be cancelled; it is claimed where that is this call's
 * work. */
static enum cancel_way claim_cancel(mmgr_installer *installer, mmgr_install *job)
{
    if (mmgr__install_ended(job->status) || job->status == MMGR_INSTALL_RUNNING)
        return CANCEL_LATE;
    int rests = job->status == MMGR_INSTALL_PAUSED && !job->download && !job->cancel;
    job->cancel = 1;
    if (rests)
        return CANCEL_HERE;
    if (mmgr__worker_take_back(&installer->planner, job) ||
        mmgr__worker_take_back(&installer->placer, job)) {
        mmgr__refs_drop(&job->refs); /* the worker's reference; the caller holds another */
        return CANCEL_HERE;
    }
    return job->download ? CANCEL_DOWNLOAD : CANCEL_NOTED;
}

static enum mmgr_result cancel_job(mmgr_install *job, int refuse)
{
    mmgr_installer *installer = job->installer;
    pthread_mutex_lock(&installer->mutex);
    enum mmgr_install_status status = job->status;
    enum cancel_way way = claim_cancel(installer, job);
    if (way != CANCEL_LATE && refuse)
        job->refuse = 1;
    mmgr_download *download = way == CANCEL_DOWNLOAD ? mmgr_download_ref(job->download) : NULL;
    pthread_mutex_unlock(&installer->mutex);
    enum mmgr_result result = MMGR_OK;
    if (way == CANCEL_LATE)
        result = mmgr__fail(MMGR_ERR_STATE, "the install of %s is %s", job->source,
                            mmgr_install_status_name(status));
    else if (way == CANCEL_HERE)
        mmgr__install_end_cancelled(job);
    else if (download && (result = mmgr_queue_cancel(installer->queue,
                                                     mmgr_download_id(download))) == MMGR_ERR_STATE)
        result = MMGR_OK; /* all bytes are there: the placer sees the wish, as its first step */
    mmgr_download_unref(download);
    return result;
}

enum mmgr_result mmgr_installer_cancel(mmgr_installer *installer, uint64_t id)
{
    if (!installer)
        return mmgr__bad_argument("installer");
    mmgr_install *job = find_job(installer, id);
    if (!job)
        return MMGR_ERR_UNKNOWN_JOB;
    enum mmgr_result result = cancel_job(job, 0);
    mmgr_install_unref(job);
    return result;
}

void mmgr__install_decide(void *service, uint64_t id, enum mmgr_decision decision)
{
    mmgr_install *job = find_job(service, id);
    if (job && decision == MMGR_DECISION_PAUSE)
        mmgr_installer_pause(service, id);
    else if (job)
        cancel_job(job, decision == MMGR_DECISION_FAIL);
    mmgr_install_unref(job);
}

static int has_ended(const mmgr_install *job)
{
    return mmgr__install_ended(job->status) && !job->announcing;
}

enum mmgr_result mmgr_installer_wait(mmgr_installer *installer, uint64_t id, int64_t timeout_ns)
{
    if (!installer)
        return mmgr__bad_argument("installer");
    if (mmgr__bus_in_handler(installer->bus))
        return mmgr__fail(MMGR_ERR_BUSY, "waiting from a handler would never end");
    mmgr_install *job = find_job(installer, id);
    if (!job)
        return MMGR_ERR_UNKNOWN_JOB;
    int64_t deadline = mmgr__deadline(timeout_ns);
    int late = 0;
    pthread_mutex_lock(&installer->mutex);
    while (!has_ended(job) && !late)
        late = mmgr__cond_wait_until(&installer->changed, &installer->mutex, deadline) == ETIMEDOUT;
    int done = has_ended(job);
    pthread_mutex_unlock(&installer->mutex);
    enum mmgr_result result =
        done ? MMGR_OK
             : mmgr__fail(MMGR_ERR_TIMEOUT, "the install of %s is not done yet", job->source);
    mmgr_install_unref(job);
    return result;
}

static int all_resting(const mmgr_installer *installer)
{
    for (const mmgr_install *job = installer->jobs; job; job = job->next)
        if (job->announcing ||
            (!mmgr__install_ended(job->status) && job->status != MMGR_INSTALL_PAUSED))
            return 0;
    return 1;
}

enum mmgr_result mmgr_installer_wait_all(mmgr_installer *installer, int64_t timeout_ns)
{
    if (!installer)
        return mmgr__bad_argument("installer");
    if (mmgr__bus_in_handler(installer->bus))
        return mmgr__fail(MMGR_ERR_BUSY, "waiting from a handler would never end");
    int64_t deadline = mmgr__deadline(timeout_ns);
    int late = 0;
    pthread_mutex_lock(&installer->mutex);
    while (!all_resting(installer) && !late)
        late = mmgr__cond_wait_until(&installer->changed, &installer->mutex, deadline) == ETIMEDOUT;
    int done = all_resting(installer);
    pthread_mutex_unlock(&installer->mutex);
    return done ? MMGR_OK : mmgr__fail(MMGR_ERR_TIMEOUT, "not all installs are done yet");
}

enum mmgr_result mmgr_installer_prune(mmgr_installer *installer)
{
    if (!installer)
        return mmgr__bad_argument("installer");
    mmgr_install *ended = NULL;
    pthread_mutex_lock(&installer->mutex);
    mmgr_install **link = &installer->jobs;
    while (*link) {
        mmgr_install *job = *link;
        if (has_ended(job)) {
            *link = job->next;
            job->next = ended;
            ended = job;
        } else {
            link = &job->next;
        }
    }
    installer->jobs_tail = link;
    pthread_mutex_unlock(&installer->mutex);
    for (mmgr_install *job = ended, *next; job; job = next) {
        next = job->next;
        mmgr_install_unref(job);
    }
    return MMGR_OK;
}
