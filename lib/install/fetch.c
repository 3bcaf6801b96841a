/* SPDX-License-Identifier: MIT */
/* From a source to its files in a staging folder: plans the job, writes the journal, hands the files to
 * the download queue and follows it. */
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/log.h"
#include "base/path.h"
#include "install/install.h"

static void close_staging(mmgr_install *job)
{
    mmgr__staging_close(&job->staging);
}

/* Bytes stay for the next try when they are still good for it. */
static int keeps_bytes(enum mmgr_result code)
{
    return code != MMGR_ERR_HASH_MISMATCH && code != MMGR_ERR_CANCELLED;
}

static void take_progress(mmgr_install *job, const mmgr_event *event)
{
    pthread_mutex_lock(&job->installer->mutex);
    job->bytes = mmgr_event_bytes(event);
    if (mmgr_event_total_bytes(event))
        job->total = mmgr_event_total_bytes(event);
    pthread_mutex_unlock(&job->installer->mutex);
}

static enum mmgr_result take_hashes(mmgr_install *job)
{
    size_t count = job->plan->count;
    char **hashes = mmgr__alloc0(count, sizeof *hashes);
    int ok = hashes != NULL;
    for (size_t i = 0; ok && i < count; i++) {
        const char *hash = mmgr_download_part_sha256(job->download, (uint32_t)i);
        ok = !hash || (hashes[i] = mmgr__strdup(hash));
    }
    job->part_sha256 = hashes;
    return ok ? MMGR_OK : mmgr__oom();
}

static void downloads_complete(mmgr_install *job)
{
    if (take_hashes(job) != MMGR_OK ||
        mmgr__worker_push(job->installer, &job->installer->placer, job) != MMGR_OK) {
        close_staging(job);
        mmgr__install_fail(job);
        return;
    }
    if (!job->plan->local)
        mmgr__install_event(job, MMGR_EVENT_INSTALL_DOWNLOADS_COMPLETE, NULL);
}

static void download_failed(mmgr_install *job, const mmgr_error *error)
{
    if (keeps_bytes(mmgr_error_code(error)))
        close_staging(job);
    else
        mmgr__staging_drop(&job->staging);
    mmgr__error_restore(error);
    mmgr__install_fail(job);
}

/* Runs on the dispatcher thread, in the order of the download's events. */
static void on_download(const mmgr_event *event, enum mmgr_decision *decision, void *user)
{
    mmgr_install *job = user;
    (void)decision;
    switch (mmgr_event_type(event)) {
    case MMGR_EVENT_DOWNLOAD_RUNNING:
        take_progress(job, event);
        if (!job->plan->local)
            mmgr__install_event(job, MMGR_EVENT_INSTALL_DOWNLOADING, event);
        break;
    case MMGR_EVENT_DOWNLOAD_PAUSED:
        mmgr__install_status(job, MMGR_INSTALL_PAUSED, MMGR_EVENT_INSTALL_PAUSED);
        break;
    case MMGR_EVENT_DOWNLOAD_COMPLETED:
        take_progress(job, event);
        downloads_complete(job);
        break;
    case MMGR_EVENT_DOWNLOAD_ERROR:
        download_failed(job, mmgr_event_error(event));
        break;
    case MMGR_EVENT_DOWNLOAD_CANCELLED:
        mmgr__staging_drop(&job->staging);
        mmgr__install_status(job, MMGR_INSTALL_CANCELLED, MMGR_EVENT_INSTALL_CANCELLED);
        break;
    default:
        break;
    }
}

static void release_job(void *user)
{
    mmgr_install_unref(user);
}

static enum mmgr_result make_parts(const mmgr_plan *plan, mmgr_parts **parts)
{
    mmgr_parts *made;
    enum mmgr_result result = mmgr_parts_new(&made);
    for (size_t i = 0; result == MMGR_OK && i < plan->count; i++)
        result = mmgr_parts_add(made, plan->files[i].from, plan->files[i].relative, plan->files[i].size,
                                plan->files[i].sha256, plan->files[i].git_sha1);
    if (result == MMGR_OK)
        *parts = made;
    return result;
}

static enum mmgr_result submit_download(mmgr_install *job)
{
    mmgr_installer *installer = job->installer;
    struct mmgr_download_options options = {
        .struct_size = sizeof options,
        .flags = MMGR_DOWNLOAD_HOLD | MMGR_DOWNLOAD_PRESERVE_PARTIAL,
        .destination = job->staging.files,
        .token = job->token,
        .priority = job->priority,
        .handler = on_download,
        .handler_user = mmgr_install_ref(job),
        .handler_user_free = release_job,
        .label = job->source,
    };
    mmgr_parts *parts = NULL;
    enum mmgr_result result = MMGR_OK;
    if (job->plan->url_name)
        options.source = job->plan->files[0].from;
    else if ((result = make_parts(job->plan, &parts)) == MMGR_OK)
        options.parts = parts;
    mmgr_download *download = NULL;
    if (result == MMGR_OK)
        result = mmgr_queue_submit(installer->queue, &options, &download);
    mmgr_parts_free(parts);
    if (result != MMGR_OK) {
        mmgr_install_unref(job);
        return result;
    }
    pthread_mutex_lock(&installer->mutex);
    mmgr_download *old = job->download;
    job->download = download;
    job->status = MMGR_INSTALL_DOWNLOADING;
    int cancel = job->cancel;
    pthread_cond_broadcast(&installer->changed);
    pthread_mutex_unlock(&installer->mutex);
    mmgr_download_unref(old);
    uint64_t id = mmgr_download_id(download);
    return cancel ? mmgr_queue_cancel(installer->queue, id) : mmgr_queue_start(installer->queue, id);
}

/* A file whose name the server chose is whole once it stands under that name. */
static int url_file_is_there(mmgr_install *job)
{
    struct mmgr__walk walk;
    if (!job->plan->url_name || mmgr__walk(job->staging.files, &walk) != MMGR_OK)
        return 0;
    int there = walk.count == 1;
    mmgr__walk_free(&walk);
    return there;
}

/* What an earlier process left for the same install: its key, or a step that only needs finishing. */
static enum mmgr_result adopt_journal(mmgr_install *job, int *finished)
{
    json_t *journal;
    enum mmgr_result result = mmgr__install_journal_read(&job->staging, &journal);
    if (result != MMGR_OK || !journal)
        return result;
    const char *state = mmgr__json_text(journal, "state");
    if (strcmp(state, MMGR__STATE_PLACING) == 0) {
        result = mmgr__resume_placing(job->installer, &job->staging, journal, &job->record);
        *finished = result == MMGR_OK;
    } else if (strcmp(state, MMGR__STATE_FETCHING) == 0) {
        char *key = mmgr__strdup(mmgr__json_text(journal, "key"));
        if (key) {
            mmgr__free(job->plan->key);
            job->plan->key = key;
        } else {
            result = mmgr__oom();
        }
    }
    json_decref(journal);
    return result;
}

static enum mmgr_result start_fetch(mmgr_install *job)
{
    mmgr_installer *installer = job->installer;
    enum mmgr_result result = mmgr__staging_open(installer, job->plan->staging_id, 1, &job->staging);
    if (result != MMGR_OK)
        return result;
    int finished = 0;
    result = adopt_journal(job, &finished);
    if (finished) {
        mmgr__install_status(job, MMGR_INSTALL_COMPLETED, MMGR_EVENT_INSTALL_COMPLETED);
        return MMGR_OK;
    }
    json_t *journal = result == MMGR_OK ? mmgr__journal_of_plan(job->plan, MMGR__STATE_FETCHING) : NULL;
    if (result == MMGR_OK)
        result = journal ? mmgr__install_journal_write(&job->staging, journal) : mmgr__oom();
    json_decref(journal);
    if (result == MMGR_OK) {
        pthread_mutex_lock(&installer->mutex);
        mmgr__free(job->local_path);
        job->local_path = mmgr__strdup(job->staging.files);
        pthread_mutex_unlock(&installer->mutex);
        result = url_file_is_there(job) ? mmgr__worker_push(installer, &installer->placer, job)
                                        : submit_download(job);
    }
    if (result != MMGR_OK)
        close_staging(job);
    return result;
}

static enum mmgr_result plan_job(mmgr_install *job)
{
    if (job->plan)
        return MMGR_OK; /* taken from a journal */
    struct mmgr_install_options options = {.struct_size = sizeof options,
                                           .flags = job->flags,
                                           .source = job->source,
                                           .token = job->token,
                                           .overrides = job->overrides,
                                           .name = job->name};
    mmgr_plan *plan;
    enum mmgr_result result = mmgr__plan_make(job->installer, &options, job->parsed, &plan);
    if (result == MMGR_OK)
        mmgr__install_set_plan(job, plan);
    return result;
}

void mmgr__install_plan(mmgr_install *job)
{
    pthread_mutex_lock(&job->installer->mutex);
    int cancel = job->cancel;
    pthread_mutex_unlock(&job->installer->mutex);
    enum mmgr_result result =
        cancel ? mmgr__fail(MMGR_ERR_CANCELLED, "%s: cancelled", job->source) : plan_job(job);
    if (result == MMGR_OK && (job->flags & MMGR_INSTALL_INPLACE))
        result = mmgr__worker_push(job->installer, &job->installer->placer, job);
    else if (result == MMGR_OK)
        result = start_fetch(job);
    if (result != MMGR_OK)
        mmgr__install_fail(job);
}

/* For the closing installer: nothing of the download reaches the job any more. */
void mmgr__install_detach_download(mmgr_install *job)
{
    if (!job->download)
        return;
    mmgr_queue_pause(job->installer->queue, mmgr_download_id(job->download));
    mmgr_download_clear_handlers(job->download);
}
