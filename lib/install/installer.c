/* SPDX-License-Identifier: MIT */
/* The installer service: opening and closing, its two threads (plans, places), and control of jobs. */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/config.h"
#include "base/event.h"
#include "base/fields.h"
#include "base/json.h"
#include "base/options.h"
#include "base/path.h"
#include "install/install.h"
#include "store/store.h"

/* --- threads -------------------------------------------------------------------------------------- */

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

enum mmgr_result mmgr__worker_push(mmgr_installer *installer, struct mmgr__worker *worker, mmgr_install *job)
{
    struct mmgr__work *item = mmgr__alloc0(1, sizeof *item);
    if (!item)
        return mmgr__oom();
    item->job = mmgr_install_ref(job);
    pthread_mutex_lock(&installer->mutex);
    int error = 0;
    if (!worker->started && !(error = mmgr__thread_start(&worker->thread, work, worker, worker->name)))
        worker->started = 1;
    if (!error) {
        *worker->tail = item;
        worker->tail = &item->next;
        pthread_cond_signal(&worker->wake);
    }
    pthread_mutex_unlock(&installer->mutex);
    if (error) {
        mmgr_install_unref(job);
        mmgr__free(item);
        return mmgr__fail(MMGR_ERR_NO_MEMORY, "cannot start a thread");
    }
    return MMGR_OK;
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

/* --- open and close ------------------------------------------------------------------------------- */

static void installer_free(mmgr_installer *installer)
{
    for (mmgr_install *job = installer->jobs, *next; job; job = next) {
        next = job->next;
        mmgr_install_unref(job);
    }
    pthread_cond_destroy(&installer->changed);
    pthread_mutex_destroy(&installer->mutex);
    mmgr__store_unuse(installer->store);
    mmgr_config_unref(installer->config);
    mmgr_prober_unref(installer->prober);
    mmgr__free(installer->models_dir);
    mmgr__free(installer->staging_dir);
    mmgr__free(installer);
}

enum mmgr_result mmgr_installer_open(const struct mmgr_installer_options *options,
                                     mmgr_installer **installer)
{
    struct mmgr_installer_options given;
    enum mmgr_result result = MMGR__IMPORT(given, options, bus);
    if (result != MMGR_OK)
        return result;
    if (!installer || !given.config || !given.store || !given.queue || !given.hub || !given.prober ||
        !given.bus || given.flags & ~MMGR_INSTALLER_READ_ONLY)
        return mmgr__bad_argument("options");
    mmgr_installer *made = mmgr__alloc0(1, sizeof *made);
    if (!made)
        return mmgr__oom();
    made->config = mmgr_config_ref(given.config);
    mmgr__config_freeze(made->config);
    made->store = given.store;
    mmgr__store_use(made->store);
    made->queue = given.queue;
    made->hub = given.hub;
    made->prober = mmgr_prober_ref(given.prober);
    made->bus = given.bus;
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
        installer_free(made);
        return result;
    }
    *installer = made;
    return MMGR_OK;
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
    /* The planner may still submit a download, so it goes first; then no handler of ours may run. */
    worker_stop(&installer->planner);
    for (mmgr_install *job = installer->jobs; job; job = job->next)
        mmgr__install_detach_download(job);
    mmgr__bus_drain(installer->bus);
    worker_stop(&installer->placer);
    for (mmgr_install *job = installer->jobs; job; job = job->next)
        mmgr__staging_close(&job->staging);
    installer_free(installer);
    return MMGR_OK;
}

/* --- jobs ----------------------------------------------------------------------------------------- */

static int is_terminal(enum mmgr_install_status status)
{
    return status == MMGR_INSTALL_COMPLETED || status == MMGR_INSTALL_ERROR ||
           status == MMGR_INSTALL_CANCELLED;
}

void mmgr__install_append(mmgr_installer *installer, mmgr_install *job)
{
    pthread_mutex_lock(&installer->mutex);
    job->id = installer->next_id++;
    *installer->jobs_tail = job;
    installer->jobs_tail = &job->next;
    pthread_mutex_unlock(&installer->mutex);
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

/* The source with the options' variant and revision written into it, so that one text says it all. */
static enum mmgr_result effective_source(const struct mmgr_install_options *options, mmgr_source **source)
{
    mmgr_source *parsed;
    enum mmgr_result result = mmgr_source_parse(options->source, &parsed);
    if (result != MMGR_OK)
        return result;
    if ((!options->variant && !options->revision) ||
        mmgr_source_kind(parsed) != MMGR_SOURCE_HUGGINGFACE) {
        if (mmgr_source_kind(parsed) != MMGR_SOURCE_HUGGINGFACE && options->revision) {
            mmgr_source_unref(parsed);
            return mmgr__fail(MMGR_ERR_ARGUMENT, "%s has no revisions", options->source);
        }
        *source = parsed;
        return MMGR_OK;
    }
    const char *variant = options->variant ? options->variant
                                           : mmgr_source_part(parsed, MMGR_SOURCE_PART_VARIANT);
    const char *revision = options->revision ? options->revision
                                             : mmgr_source_part(parsed, MMGR_SOURCE_PART_REVISION);
    const char *subfolder = mmgr_source_part(parsed, MMGR_SOURCE_PART_SUBFOLDER);
    char *text = mmgr__printf("hf:%s%s%s%s%s%s%s", mmgr_source_part(parsed, MMGR_SOURCE_PART_REPO),
                              revision ? "@" : "", revision ? revision : "",
                              variant || subfolder ? ":" : "", variant ? variant : "",
                              subfolder ? ":" : "", subfolder ? subfolder : "");
    result = text ? mmgr_source_parse(text, source) : mmgr__oom();
    mmgr__free(text);
    mmgr_source_unref(parsed);
    return result;
}

static enum mmgr_result check_overrides(const char *overrides)
{
    json_t *object;
    if (!overrides)
        return MMGR_OK;
    enum mmgr_result result = mmgr__json_parse(overrides, strlen(overrides), MMGR_ERR_INVALID_CONFIG,
                                               "overrides", &object);
    if (result != MMGR_OK)
        return result;
    if (!json_is_object(object))
        result = mmgr__fail(MMGR_ERR_INVALID_CONFIG, "the overrides are no JSON object");
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
        if (result == MMGR_OK && !mmgr__field_by_name(name)) {
            result = mmgr__fail(MMGR_ERR_INVALID_CONFIG, "records have no field \"%s\"", name);
            mmgr__error_set_field(name);
        }
    json_decref(object);
    return result;
}

/* A job of the same source that has not ended, with a reference; a paused one takes the new options. */
static mmgr_install *live_job(mmgr_installer *installer, const mmgr_source *source,
                              const struct mmgr_install_options *options)
{
    const char *text = mmgr_source_part(source, MMGR_SOURCE_PART_TEXT);
    pthread_mutex_lock(&installer->mutex);
    mmgr_install *job = installer->jobs;
    while (job && (is_terminal(job->status) || strcmp(job->source, text) != 0))
        job = job->next;
    if (job)
        mmgr_install_ref(job);
    if (job && job->status == MMGR_INSTALL_PAUSED && job->plan) {
        const char *values[] = {options->token, options->overrides, options->overrides, options->name};
        char **members[] = {&job->token, &job->overrides, &job->plan->overrides, &job->plan->name};
        for (size_t i = 0; i < 4; i++) {
            char *copy = values[i] ? mmgr__strdup(values[i]) : NULL;
            if (copy) {
                mmgr__free(*members[i]);
                *members[i] = copy;
            }
        }
    }
    pthread_mutex_unlock(&installer->mutex);
    return job;
}

static enum mmgr_result resume_job(mmgr_installer *installer, mmgr_install *job)
{
    pthread_mutex_lock(&installer->mutex);
    enum mmgr_install_status status = job->status;
    mmgr_download *download = job->download ? mmgr_download_ref(job->download) : NULL;
    if (status == MMGR_INSTALL_PAUSED)
        job->status = download ? MMGR_INSTALL_DOWNLOADING : MMGR_INSTALL_WAITING;
    pthread_mutex_unlock(&installer->mutex);
    enum mmgr_result result = MMGR_OK;
    if (is_terminal(status))
        result = mmgr__fail(MMGR_ERR_STATE, "the install of %s has ended", job->source);
    else if (status == MMGR_INSTALL_PAUSED)
        result = download ? mmgr_queue_start(installer->queue, mmgr_download_id(download))
                          : mmgr__worker_push(installer, &installer->planner, job);
    mmgr_download_unref(download);
    return result;
}

enum mmgr_result mmgr_installer_submit(mmgr_installer *installer,
                                       const struct mmgr_install_options *options, mmgr_install **job)
{
    struct mmgr_install_options given;
    enum mmgr_result result = MMGR__IMPORT(given, options, reserved);
    if (result != MMGR_OK)
        return result;
    if (!installer || !given.source)
        return mmgr__bad_argument(installer ? "source" : "installer");
    if (installer->read_only || installer->closing)
        return mmgr__fail(MMGR_ERR_STATE, "this installer takes no jobs");
    mmgr_source *source;
    if ((result = check_overrides(given.overrides)) != MMGR_OK ||
        (result = effective_source(&given, &source)) != MMGR_OK)
        return result;
    mmgr_install *made = live_job(installer, source, &given);
    if (made) {
        result = mmgr_install_status(made) == MMGR_INSTALL_PAUSED ? resume_job(installer, made) : MMGR_OK;
    } else if (mmgr_source_kind(source) != MMGR_SOURCE_LOCAL && mmgr__config_offline(installer->config)) {
        result = mmgr__fail(MMGR_ERR_OFFLINE, "%s cannot be fetched in offline mode", given.source);
    } else if ((result = mmgr__install_new(installer, &given, source, &made)) == MMGR_OK) {
        mmgr__install_append(installer, mmgr_install_ref(made));
        result = mmgr__worker_push(installer, &installer->planner, made);
    }
    mmgr_source_unref(source);
    if (result == MMGR_OK && job)
        *job = made;
    else
        mmgr_install_unref(made);
    return result;
}

enum mmgr_result mmgr_installer_plan(mmgr_installer *installer, const struct mmgr_install_options *options,
                                     mmgr_plan **plan)
{
    struct mmgr_install_options given;
    enum mmgr_result result = MMGR__IMPORT(given, options, reserved);
    if (result != MMGR_OK)
        return result;
    if (!installer || !plan || !given.source)
        return mmgr__bad_argument(!installer ? "installer" : plan ? "source" : "plan");
    mmgr_source *source;
    if ((result = check_overrides(given.overrides)) != MMGR_OK ||
        (result = effective_source(&given, &source)) != MMGR_OK)
        return result;
    result = mmgr__plan_make(installer, &given, source, plan);
    mmgr_source_unref(source);
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
    enum mmgr_result result = resume_job(installer, job);
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
    mmgr_download *download =
        status == MMGR_INSTALL_DOWNLOADING && job->download ? mmgr_download_ref(job->download) : NULL;
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

/* A job that an earlier process left: nothing runs, so its staging is dropped right here. */
static enum mmgr_result drop_paused(mmgr_install *job)
{
    struct mmgr__staging staging;
    enum mmgr_result result =
        mmgr__staging_open(job->installer, job->plan->staging_id, 0, &staging);
    if (result == MMGR_OK)
        result = mmgr__staging_drop(&staging);
    else if (result == MMGR_ERR_PATH_NOT_FOUND)
        result = MMGR_OK;
    if (result == MMGR_OK)
        mmgr__install_status(job, MMGR_INSTALL_CANCELLED, MMGR_EVENT_INSTALL_CANCELLED);
    return result;
}

enum mmgr_result mmgr_installer_cancel(mmgr_installer *installer, uint64_t id)
{
    if (!installer)
        return mmgr__bad_argument("installer");
    mmgr_install *job = find_job(installer, id);
    if (!job)
        return MMGR_ERR_UNKNOWN_JOB;
    pthread_mutex_lock(&installer->mutex);
    enum mmgr_install_status status = job->status;
    mmgr_download *download = job->download ? mmgr_download_ref(job->download) : NULL;
    job->cancel = 1;
    pthread_mutex_unlock(&installer->mutex);
    enum mmgr_result result = MMGR_OK;
    if (is_terminal(status) || status == MMGR_INSTALL_RUNNING)
        result = mmgr__fail(MMGR_ERR_STATE, "the install of %s is %s", job->source,
                            mmgr_install_status_name(status));
    else if (download)
        result = mmgr_queue_cancel(installer->queue, mmgr_download_id(download));
    else if (status == MMGR_INSTALL_PAUSED)
        result = drop_paused(job);
    mmgr_download_unref(download);
    mmgr_install_unref(job);
    return result;
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
    while (!is_terminal(job->status) && !late)
        late = mmgr__cond_wait_until(&installer->changed, &installer->mutex, deadline) == ETIMEDOUT;
    int done = is_terminal(job->status);
    pthread_mutex_unlock(&installer->mutex);
    enum mmgr_result result =
        done ? MMGR_OK : mmgr__fail(MMGR_ERR_TIMEOUT, "the install of %s is not done yet", job->source);
    mmgr_install_unref(job);
    return result;
}

static int all_resting(const mmgr_installer *installer)
{
    for (const mmgr_install *job = installer->jobs; job; job = job->next)
        if (!is_terminal(job->status) && job->status != MMGR_INSTALL_PAUSED)
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
        if (is_terminal(job->status)) {
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

/* --- without a job of the caller's ---------------------------------------------------------------- */

static enum mmgr_result run_local(mmgr_installer *installer, const char *path, const char *overrides,
                                  uint32_t flags, mmgr_record **record)
{
    if (!installer || !path)
        return mmgr__bad_argument(installer ? "path" : "installer");
    char *source = mmgr__printf("file:%s", path);
    struct mmgr_install_options options = {
        .struct_size = sizeof options, .flags = flags, .source = source, .overrides = overrides};
    mmgr_install *job;
    enum mmgr_result result = source ? mmgr_installer_submit(installer, &options, &job) : mmgr__oom();
    mmgr__free(source);
    if (result != MMGR_OK)
        return result;
    result = mmgr_installer_wait(installer, job->id, MMGR_WAIT_FOREVER);
    if (result == MMGR_OK && mmgr_install_status(job) != MMGR_INSTALL_COMPLETED)
        result = mmgr__error_restore(&job->error);
    if (result == MMGR_OK && record)
        *record = mmgr_record_ref(job->record);
    mmgr_install_unref(job);
    return result;
}

enum mmgr_result mmgr_installer_register_path(mmgr_installer *installer, const char *path,
                                              const char *overrides, mmgr_record **record)
{
    return run_local(installer, path, overrides, MMGR_INSTALL_INPLACE, record);
}

enum mmgr_result mmgr_installer_install_path(mmgr_installer *installer, const char *path,
                                             const char *overrides, mmgr_record **record)
{
    return run_local(installer, path, overrides, 0, record);
}
