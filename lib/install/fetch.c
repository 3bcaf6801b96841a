/* SPDX-License-Identifier: MIT */
/* From a source to its files in a staging folder: plans the job, writes the journal, hands the
 * files to the download queue and follows it. */
#include <string.h>

#include "base/alloc.h"
#include "base/config.h"
#include "base/io.h"
#include "base/json.h"
#include "base/path.h"
#include "install/install.h"

static void close_staging(mmgr_install *job)
{
    mmgr__staging_close(&job->staging);
}

/* The staging folder of a job that failed: its bytes stay for the next try when they may be good
 * for it. */
static void leave_staging(mmgr_install *job, const mmgr_event *event)
{
    int empty = job->fresh && mmgr_event_bytes(event) == 0;
    if (!empty && mmgr_error_code(mmgr_event_error(event)) != MMGR_ERR_HASH_MISMATCH) {
        close_staging(job);
    } else {
        struct mmgr_error error; /* the reason for the failure is not to be replaced */
        mmgr__error_save(&error);
        mmgr__install_drop_staging(job);
        mmgr__error_restore(&error);
    }
}

enum mmgr_result mmgr__install_drop_staging(mmgr_install *job)
{
    if (job->staging.folder)
        return mmgr__staging_drop(&job->staging);
    if (!job->plan || !job->plan->staging_id)
        return MMGR_OK;
    enum mmgr_result result =
        mmgr__staging_open(job->installer, job->plan->staging_id, 0, &job->staging);
    if (result == MMGR_OK)
        result = mmgr__staging_drop(&job->staging);
    return result == MMGR_ERR_PATH_NOT_FOUND ? MMGR_OK : result;
}

static int is_cancelled(mmgr_install *job)
{
    pthread_mutex_lock(&job->installer->mutex);
    int cancel = job->cancel;
    pthread_mutex_unlock(&job->installer->mutex);
    return cancel;
}

/* A step that failed because the installer closes: the close says what becomes of the job. */
static int is_closing(mmgr_installer *installer, enum mmgr_result result)
{
    pthread_mutex_lock(&installer->mutex);
    int closing = installer->closing;
    pthread_mutex_unlock(&installer->mutex);
    return closing && result == MMGR_ERR_STATE;
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

/* The job and its download hold each other: at the end of the download they let go. */
static void release_download(mmgr_install *job)
{
    pthread_mutex_lock(&job->installer->mutex);
    mmgr_download *download = job->download;
    job->download = NULL;
    pthread_mutex_unlock(&job->installer->mutex);
    if (download)
        mmgr_download_clear_handlers(download);
    mmgr_download_unref(download);
}

static void downloads_complete(mmgr_install *job)
{
    enum mmgr_result result = take_hashes(job);
    release_download(job);
    if (result == MMGR_OK && !job->plan->local)
        mmgr__install_event(job, MMGR_EVENT_INSTALL_DOWNLOADS_COMPLETE, NULL);
    if (result == MMGR_OK)
        result = mmgr__worker_push(job->installer, &job->installer->placer, job);
    if (result == MMGR_OK || is_closing(job->installer, result))
        return;
    close_staging(job);
    mmgr__install_fail(job);
}

static void download_failed(mmgr_install *job, const mmgr_event *event)
{
    release_download(job);
    mmgr__error_restore(mmgr_event_error(event));
    leave_staging(job, event);
    mmgr__install_fail(job);
}

/* A pause that was taken back before its event came is none. */
static void download_paused(mmgr_install *job)
{
    if (mmgr_download_status(job->download) == MMGR_DOWNLOAD_PAUSED)
        mmgr__install_status(job, MMGR_INSTALL_PAUSED, MMGR_EVENT_INSTALL_PAUSED);
}

/* Someone may have resumed the download by way of the queue. */
static void download_runs(mmgr_install *job)
{
    pthread_mutex_lock(&job->installer->mutex);
    if (job->status == MMGR_INSTALL_PAUSED)
        job->status = MMGR_INSTALL_DOWNLOADING;
    pthread_mutex_unlock(&job->installer->mutex);
}

/* Runs on the dispatcher thread, in the order of the download's events. */
static void on_download(const mmgr_event *event, enum mmgr_decision *decision, void *user)
{
    mmgr_install *job = user;
    (void)decision;
    switch (mmgr_event_type(event)) {
    case MMGR_EVENT_DOWNLOAD_ENQUEUED:
        download_runs(job);
        break;
    case MMGR_EVENT_DOWNLOAD_RUNNING:
        take_progress(job, event);
        if (!job->plan->local)
            mmgr__install_event(job, MMGR_EVENT_INSTALL_DOWNLOADING, event);
        break;
    case MMGR_EVENT_DOWNLOAD_PAUSED:
        download_paused(job);
        break;
    case MMGR_EVENT_DOWNLOAD_COMPLETED:
        take_progress(job, event);
        downloads_complete(job);
        break;
    case MMGR_EVENT_DOWNLOAD_ERROR:
        download_failed(job, event);
        break;
    case MMGR_EVENT_DOWNLOAD_CANCELLED:
        release_download(job);
        mmgr__install_end_cancelled(job);
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
    mmgr_parts *made = NULL;
    enum mmgr_result result = mmgr_parts_new(&made);
    for (size_t i = 0; result == MMGR_OK && i < plan->count; i++)
        result =
            mmgr_parts_add(made, plan->files[i].from, plan->files[i].relative, plan->files[i].size,
                           plan->files[i].sha256, plan->files[i].git_sha1);
    if (result == MMGR_OK)
        *parts = made;
    else
        mmgr_parts_free(made);
    return result;
}

static enum mmgr_result submit_download(mmgr_install *job)
{
    mmgr_installer *installer = job->installer;
    struct mmgr_download_options options = {
        .struct_size = sizeof options,
        /* What stands in the staging folder and is not what is wanted is ours to replace. */
        .flags = MMGR_DOWNLOAD_HOLD | MMGR_DOWNLOAD_PRESERVE_PARTIAL | MMGR_DOWNLOAD_OVERWRITE,
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
    uint64_t id = mmgr_download_id(download);
    pthread_mutex_lock(&installer->mutex);
    mmgr_download *old = job->download;
    job->download = download;
    job->status = MMGR_INSTALL_DOWNLOADING;
    int cancel = job->cancel;
    pthread_cond_broadcast(&installer->changed);
    pthread_mutex_unlock(&installer->mutex);
    mmgr_download_unref(old);
    /* From here on the dispatcher has the job in hand. A cancel that came meanwhile may have
     * been first. */
    result =
        cancel ? mmgr_queue_cancel(installer->queue, id) : mmgr_queue_start(installer->queue, id);
    return result == MMGR_ERR_STATE ? MMGR_OK : result;
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

/* Files of a local source that changed since its copy was begun: the copy is begun again. */
static int same_files(const mmgr_plan *a, const mmgr_plan *b)
{
    if (a->count != b->count)
        return 0;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->files[i].relative, b->files[i].relative) != 0 ||
            a->files[i].size != b->files[i].size || a->files[i].mtime_ns != b->files[i].mtime_ns)
            return 0;
    return 1;
}

static enum mmgr_result adopt_fetching(mmgr_install *job, const json_t *journal)
{
    mmgr_plan *old;
    enum mmgr_result result = mmgr__plan_of_journal(journal, &old);
    if (result != MMGR_OK)
        return result;
    int error =
        job->plan->local && !same_files(job->plan, old) ? mmgr__remove_tree(job->staging.files) : 0;
    if (error < 0)
        result = mmgr__fail_errno(-error, "remove", job->staging.files);
    pthread_mutex_lock(&job->installer->mutex);
    if (!job->plan->key_given) {
        char *key = job->plan->key;
        job->plan->key = old->key;
        old->key = key;
    }
    pthread_mutex_unlock(&job->installer->mutex);
    mmgr_plan_free(old);
    return result;
}

/* What an earlier process left for the same install: its key, or a step that only needs
 * finishing. */
static enum mmgr_result adopt_journal(mmgr_install *job, int *finished)
{
    json_t *journal;
    enum mmgr_result result = mmgr__install_journal_read(&job->staging, &journal);
    job->fresh = result == MMGR_OK && !journal;
    if (result != MMGR_OK || !journal)
        return result;
    const char *state = mmgr__json_text(journal, "state");
    int back = 0;
    if (strcmp(state, MMGR__STATE_PLACING) == 0) {
        result = mmgr__resume_placing(job->installer, &job->staging, journal, &job->record, &back);
        *finished = result == MMGR_OK && !back;
    }
    if (result == MMGR_OK && !*finished)
        result = adopt_fetching(job, journal);
    json_decref(journal);
    return result;
}

static void finished_by_journal(mmgr_install *job)
{
    pthread_mutex_lock(&job->installer->mutex);
    job->status = MMGR_INSTALL_RUNNING;
    pthread_mutex_unlock(&job->installer->mutex);
    mmgr__install_event(job, MMGR_EVENT_INSTALL_RUNNING, NULL);
    mmgr__install_completed(job);
}

static enum mmgr_result start_fetch(mmgr_install *job)
{
    mmgr_installer *installer = job->installer;
    enum mmgr_result result =
        mmgr__staging_open(installer, job->plan->staging_id, 1, &job->staging);
    if (result != MMGR_OK)
        return result;
    int finished = 0, error;
    result = adopt_journal(job, &finished);
    if (finished) {
        finished_by_journal(job);
        return MMGR_OK;
    }
    json_t *journal =
        result == MMGR_OK ? mmgr__journal_of_plan(job->plan, MMGR__STATE_FETCHING) : NULL;
    if (result == MMGR_OK)
        result = journal ? mmgr__install_journal_write(&job->staging, journal) : mmgr__oom();
    json_decref(journal);
    if (result == MMGR_OK && (error = mmgr__io_mkdirs(job->staging.files, 0755)) < 0)
        result = mmgr__fail_errno(-error, "make the folder", job->staging.files);
    if (result != MMGR_OK)
        return result;
    pthread_mutex_lock(&installer->mutex);
    mmgr__free(job->local_path);
    job->local_path = mmgr__strdup(job->staging.files);
    pthread_mutex_unlock(&installer->mutex);
    return url_file_is_there(job) ? mmgr__worker_push(installer, &installer->placer, job)
                                  : submit_download(job);
}

/* Put another endpoint in front of one URL of a repository. */
static enum mmgr_result move_url(char **url, const char *mark, const char *endpoint)
{
    const char *rest = *url ? strstr(*url, mark) : NULL;
    if (!rest)
        return MMGR_OK;
    char *moved = mmgr__printf("%s%s", endpoint, rest);
    if (!moved)
        return mmgr__oom();
    mmgr__free(*url);
    *url = moved;
    return MMGR_OK;
}

/* A repository is fetched from the hub that is configured now: a mirror may have taken the place of
 * the one that the plan was made with. The commit and the hashes stay, so nothing else can come. */
static enum mmgr_result move_to_endpoint(mmgr_installer *installer, mmgr_plan *plan)
{
    const char *endpoint = mmgr__config_hf_endpoint(installer->config);
    if (!plan->repo || !endpoint)
        return MMGR_OK;
    char *mark = mmgr__printf("/%s/resolve/", plan->repo);
    char *page = mmgr__printf("/%s", plan->repo);
    enum mmgr_result result = mark && page ? MMGR_OK : mmgr__oom();
    pthread_mutex_lock(&installer->mutex); /* hosts may be looking at the job's plan */
    for (size_t i = 0; result == MMGR_OK && i < plan->count; i++)
        result = move_url(&plan->files[i].from, mark, endpoint);
    if (result == MMGR_OK)
        result = move_url(&plan->page_url, page, endpoint);
    pthread_mutex_unlock(&installer->mutex);
    mmgr__free(mark);
    mmgr__free(page);
    return result;
}

/* A plan from a journal is done as it is, pinned to its commit; only the hub's address and what it
 * says of a local source may be out of date. */
static enum mmgr_result plan_job(mmgr_install *job)
{
    if (job->plan && !job->plan->local) {
        enum mmgr_result result = move_to_endpoint(job->installer, job->plan);
        return result == MMGR_OK ? mmgr__plan_check_duplicate(job->installer, job->plan) : result;
    }
    if (!job->parsed)
        return mmgr__fail(MMGR_ERR_PATH_NOT_FOUND, "%s is not there any more", job->source);
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
    enum mmgr_result result = is_cancelled(job) ? MMGR_OK : plan_job(job);
    if (is_cancelled(job)) {
        mmgr__install_end_cancelled(job);
        return;
    }
    if (result == MMGR_OK && (job->flags & MMGR_INSTALL_INPLACE))
        result = mmgr__worker_push(job->installer, &job->installer->placer, job);
    else if (result == MMGR_OK)
        result = start_fetch(job);
    if (result == MMGR_OK || is_closing(job->installer, result))
        return;
    if (result == MMGR_ERR_DUPLICATE_MODEL) {
        /* Another process finished this install meanwhile. */
        struct mmgr_error error;
        mmgr__error_save(&error);
        mmgr__install_drop_staging(job);
        mmgr__error_restore(&error);
    }
    close_staging(job);
    mmgr__install_fail(job);
}

/* For the closing installer: nothing of the download reaches the job any more. */
void mmgr__install_detach_download(mmgr_install *job)
{
    pthread_mutex_lock(&job->installer->mutex);
    mmgr_download *download = job->download ? mmgr_download_ref(job->download) : NULL;
    pthread_mutex_unlock(&job->installer->mutex);
    if (!download)
        return;
    mmgr_queue_pause(job->installer->queue, mmgr_download_id(download));
    mmgr_download_clear_handlers(download); /* waits for one that runs, and reads job->download */
    mmgr_download_unref(download);
    release_download(job);
}
