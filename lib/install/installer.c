/* SPDX-License-Identifier: MIT */
/* The installer service: its opening and closing, and its two threads (plans, places). */
#include <fcntl.h>
#include <string.h>

#include "base/alloc.h"
#include "base/config.h"
#include "base/event.h"
#include "base/io.h"
#include "base/options.h"
#include "base/path.h"
#include "hub/hub.h"
#include "install/install.h"
#include "store/store.h"
#include "transfer/transfer.h"

static void *work(void *argument)
{
    struct mmgr__worker *worker = argument;
    mmgr_installer *installer = worker->installer;
    pthread_mutex_lock(&installer->mutex);
    for (;;) {
        while (!worker->head && !installer->closing)
            pthread_cond_wait(&worker->wake, &installer->mutex);
        if (installer->closing)
            break;
        struct mmgr__work *item = worker->head;
        if (!(worker->head = item->next))
            worker->tail = &worker->head;
        pthread_mutex_unlock(&installer->mutex);
        worker->run(item->job);
        mmgr_install_unref(item->job);
        mmgr__free(item);
        pthread_mutex_lock(&installer->mutex);
    }
    pthread_mutex_unlock(&installer->mutex);
    return NULL;
}

enum mmgr_result mmgr__worker_push(mmgr_installer *installer, struct mmgr__worker *worker,
                                   mmgr_install *job)
{
    struct mmgr__work *item = mmgr__alloc0(1, sizeof *item);
    if (!item)
        return mmgr__oom();
    item->job = mmgr_install_ref(job);
    pthread_mutex_lock(&installer->mutex);
    int closing = installer->closing, error = 0;
    if (!closing && !worker->started &&
        !(error = mmgr__thread_start(&worker->thread, work, worker, worker->name)))
        worker->started = 1;
    if (!closing && !error) {
        *worker->tail = item;
        worker->tail = &item->next;
        pthread_cond_signal(&worker->wake);
    }
    pthread_mutex_unlock(&installer->mutex);
    if (!closing && !error)
        return MMGR_OK;
    mmgr_install_unref(job);
    mmgr__free(item);
    return closing ? mmgr__fail(MMGR_ERR_STATE, "the installer is closing")
                   : mmgr__fail(MMGR_ERR_NO_MEMORY, "cannot start a thread");
}

int mmgr__worker_take_back(struct mmgr__worker *worker, mmgr_install *job)
{
    for (struct mmgr__work **link = &worker->head; *link; link = &(*link)->next) {
        struct mmgr__work *item = *link;
        if (item->job != job)
            continue;
        *link = item->next;
        if (worker->tail == &item->next)
            worker->tail = link;
        mmgr__free(item);
        return 1;
    }
    return 0;
}

static void worker_init(mmgr_installer *installer, struct mmgr__worker *worker, const char *name,
                        void (*run)(mmgr_install *))
{
    worker->installer = installer;
    worker->tail = &worker->head;
    worker->run = run;
    worker->name = name;
    mmgr__cond_init(&worker->wake);
}

static void worker_stop(struct mmgr__worker *worker)
{
    if (worker->started)
        pthread_join(worker->thread, NULL);
    for (struct mmgr__work *item = worker->head, *next; item; item = next) {
        next = item->next;
        mmgr_install_unref(item->job);
        mmgr__free(item);
    }
    pthread_cond_destroy(&worker->wake);
}

void mmgr__installer_unref(mmgr_installer *installer)
{
    if (!mmgr__refs_drop(&installer->refs))
        return;
    pthread_cond_destroy(&installer->changed);
    pthread_mutex_destroy(&installer->mutex);
    mmgr__free(installer->models_dir);
    mmgr__free(installer->staging_dir);
    mmgr__free(installer);
}

/* Threads have ended: let go of the jobs and of the services. */
static void let_go(mmgr_installer *installer)
{
    mmgr_install *job = installer->jobs;
    installer->jobs = NULL;
    installer->jobs_tail = &installer->jobs;
    for (mmgr_install *next; job; job = next) {
        next = job->next;
        mmgr_install_unref(job);
    }
    mmgr__store_unuse(installer->store);
    mmgr__hub_unuse(installer->hub);
    mmgr__bus_unuse(installer->bus);
    mmgr__queue_unhold(installer->queue);
    mmgr_config_unref(installer->config);
    mmgr_prober_unref(installer->prober);
    mmgr__installer_unref(installer);
}

enum mmgr_result mmgr_installer_open(const struct mmgr_installer_options *options,
                                     mmgr_installer **installer)
{
    struct mmgr_installer_options given;
    enum mmgr_result result = MMGR__IMPORT(given, options, bus);
    if (result != MMGR_OK)
        return result;
    if (!installer || !given.config || !given.store || !given.queue || !given.hub ||
        !given.prober || !given.bus || given.flags & ~MMGR_INSTALLER_READ_ONLY)
        return mmgr__bad_argument("options");
    mmgr_installer *made = mmgr__alloc0(1, sizeof *made);
    if (!made)
        return mmgr__oom();
    mmgr__refs_init(&made->refs);
    made->config = mmgr_config_ref(given.config);
    mmgr__config_freeze(made->config);
    made->store = given.store;
    mmgr__store_use(made->store);
    made->queue = given.queue;
    mmgr__queue_hold(made->queue);
    made->hub = given.hub;
    mmgr__hub_use(made->hub);
    made->prober = mmgr_prober_ref(given.prober);
    made->bus = given.bus;
    mmgr__bus_use(made->bus);
    made->read_only = (given.flags & MMGR_INSTALLER_READ_ONLY) != 0;
    made->next_id = 1;
    made->jobs_tail = &made->jobs;
    pthread_mutex_init(&made->mutex, NULL);
    mmgr__cond_init(&made->changed);
    worker_init(made, &made->planner, "mmgr-plan", mmgr__install_plan);
    worker_init(made, &made->placer, "mmgr-install", mmgr__install_place);
    const char *models = mmgr_config_get(made->config, "models_dir");
    made->models_dir = mmgr__strdup(models);
    made->staging_dir = models ? mmgr__path_join(models, ".staging") : NULL;
    if (!made->staging_dir)
        result = models ? mmgr__oom() : mmgr__bad_argument("models_dir");
    else if (!made->read_only)
        result = mmgr__recover(made);
    if (result != MMGR_OK) {
        worker_stop(&made->planner);
        worker_stop(&made->placer);
        let_go(made);
        return result;
    }
    *installer = made;
    return MMGR_OK;
}

/* The next job that has not ended, with a reference; takes the one of `job` back. A handler may
 * submit while the installer closes, so the list is not to be walked without the lock. */
static mmgr_install *next_job(mmgr_installer *installer, mmgr_install *job)
{
    pthread_mutex_lock(&installer->mutex);
    mmgr_install *next = job ? job->next : installer->jobs;
    while (next && mmgr__install_ended(next->status))
        next = next->next;
    if (next)
        mmgr_install_ref(next);
    pthread_mutex_unlock(&installer->mutex);
    mmgr_install_unref(job);
    return next;
}

/* The installer closes: a job with a journal can be resumed later, one without is gone. */
static void rest(mmgr_install *job)
{
    struct stat st;
    int kept = job->staging.journal && mmgr__io_stat(AT_FDCWD, job->staging.journal, &st, 0) == 0;
    mmgr__staging_close(&job->staging);
    if (job->status == MMGR_INSTALL_PAUSED)
        return;
    if (kept)
        mmgr__install_status(job, MMGR_INSTALL_PAUSED, MMGR_EVENT_INSTALL_PAUSED);
    else
        mmgr__install_status(job, MMGR_INSTALL_CANCELLED, MMGR_EVENT_INSTALL_CANCELLED);
}

enum mmgr_result mmgr_installer_close(mmgr_installer *installer)
{
    if (!installer)
        return MMGR_OK;
    if (mmgr__bus_in_handler(installer->bus))
        return mmgr__fail(MMGR_ERR_BUSY, "an installer cannot be closed from a handler");
    pthread_mutex_lock(&installer->mutex);
    installer->closing = 1;
    pthread_cond_broadcast(&installer->planner.wake);
    pthread_cond_broadcast(&installer->placer.wake);
    pthread_mutex_unlock(&installer->mutex);
    /* The planner may still submit a download, so it goes first; then no handler of ours may
     * run. */
    worker_stop(&installer->planner);
    for (mmgr_install *job = next_job(installer, NULL); job; job = next_job(installer, job))
        mmgr__install_detach_download(job);
    mmgr__bus_drain(installer->bus);
    worker_stop(&installer->placer);
    for (mmgr_install *job = next_job(installer, NULL); job; job = next_job(installer, job))
        rest(job);
    mmgr__bus_drain(
        installer->bus); /* a handler of the last events may still want to decide something */
    let_go(installer);
    return MMGR_OK;
}
