/* SPDX-License-Identifier: MIT */
/* Install jobs: their life, their events, and the getters of the public interface. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/event.h"
#include "base/log.h"
#include "install/install.h"

static const char *const status_names[] = {"waiting", "downloading", "running", "completed",
                                           "error",   "cancelled",   "paused"};

const char *mmgr_install_status_name(enum mmgr_install_status status)
{
    return (uint32_t)status < sizeof status_names / sizeof *status_names ? status_names[status]
                                                                         : NULL;
}

static int keep(char **member, const char *text)
{
    *member = mmgr__strdup(text);
    return !text || *member;
}

enum mmgr_result mmgr__install_new(mmgr_installer *installer,
                                   const struct mmgr_install_options *options, mmgr_source *parsed,
                                   mmgr_install **job)
{
    mmgr_install *made = mmgr__alloc0(1, sizeof *made);
    if (!made)
        return mmgr__oom();
    mmgr__refs_init(&made->refs);
    made->installer = installer;
    mmgr__refs_take(&installer->refs);
    made->staging.lock = -1;
    made->error.offset = MMGR_NO_OFFSET;
    made->flags = options->flags;
    made->priority = options->priority;
    made->parsed = parsed ? mmgr_source_ref(parsed) : NULL;
    const char *text = parsed ? mmgr_source_part(parsed, MMGR_SOURCE_PART_TEXT) : options->source;
    if (!keep(&made->source, text) || !keep(&made->token, options->token) ||
        !keep(&made->overrides, options->overrides) || !keep(&made->name, options->name)) {
        mmgr_install_unref(made);
        return mmgr__oom();
    }
    *job = made;
    return MMGR_OK;
}

mmgr_install *mmgr_install_ref(mmgr_install *job)
{
    if (job)
        mmgr__refs_take(&job->refs);
    return job;
}

static void free_hashes(mmgr_install *job)
{
    for (size_t i = 0; job->part_sha256 && job->plan && i < job->plan->count; i++)
        mmgr__free(job->part_sha256[i]);
    mmgr__free(job->part_sha256);
    job->part_sha256 = NULL;
}

/* The plan is replaced whole: the hashes of its parts go with it. */
void mmgr__install_set_plan(mmgr_install *job, mmgr_plan *plan)
{
    pthread_mutex_t *mutex = &job->installer->mutex;
    pthread_mutex_lock(mutex);
    free_hashes(job);
    mmgr_plan *old = job->plan;
    job->plan = plan;
    job->total = plan ? plan->total : 0;
    pthread_mutex_unlock(mutex);
    mmgr_plan_free(old);
}

void mmgr_install_unref(mmgr_install *job)
{
    if (!job || !mmgr__refs_drop(&job->refs))
        return;
    free_hashes(job);
    mmgr_plan_free(job->plan);
    mmgr__staging_close(&job->staging);
    mmgr_source_unref(job->parsed);
    mmgr_download_unref(job->download);
    mmgr_record_unref(job->record);
    char *texts[] = {job->source, job->token, job->overrides, job->name, job->local_path};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        mmgr__free(texts[i]);
    mmgr__installer_unref(job->installer);
    mmgr__free(job);
}

void mmgr__install_event(mmgr_install *job, enum mmgr_event_type type, const mmgr_event *progress)
{
    struct mmgr__event_data data = {
        .type = type, .job = job->id, .decide = mmgr__install_decide, .service = job->installer};
    struct mmgr__event_part *parts = NULL;
    char *path = NULL;
    pthread_mutex_lock(&job->installer->mutex);
    data.bytes = job->bytes;
    data.total = job->total;
    path = mmgr__strdup(job->local_path);
    pthread_mutex_unlock(&job->installer->mutex);
    data.texts[MMGR_EVENT_TEXT_SOURCE] = job->source;
    data.texts[MMGR_EVENT_TEXT_LOCAL_PATH] = path;
    if (job->record)
        data.texts[MMGR_EVENT_TEXT_KEY] = mmgr_record_text(job->record, MMGR_FIELD_KEY);
    if (type == MMGR_EVENT_INSTALL_ERROR || type == MMGR_EVENT_INSTALL_PAUSED)
        data.error = job->error.code != MMGR_OK ? &job->error : NULL;
    uint32_t count = progress ? mmgr_event_part_count(progress) : 0;
    if (count && (parts = mmgr__alloc0(count, sizeof *parts))) {
        for (uint32_t i = 0; i < count; i++)
            mmgr_event_part(progress, i, &parts[i].path, &parts[i].bytes, &parts[i].total);
        data.parts = parts;
        data.part_count = count;
    }
    mmgr__bus_send(job->installer->bus, &data);
    mmgr__free(parts);
    mmgr__free(path);
}

void mmgr__install_status(mmgr_install *job, enum mmgr_install_status status,
                          enum mmgr_event_type event)
{
    pthread_mutex_lock(&job->installer->mutex);
    job->status = status;
    job->announcing = event != MMGR_EVENT_NONE;
    pthread_mutex_unlock(&job->installer->mutex);
    if (event != MMGR_EVENT_NONE)
        mmgr__install_event(job, event, NULL);
    pthread_mutex_lock(&job->installer->mutex);
    job->announcing = 0;
    pthread_cond_broadcast(&job->installer->changed);
    pthread_mutex_unlock(&job->installer->mutex);
}

void mmgr__install_end_cancelled(mmgr_install *job)
{
    if (mmgr__install_drop_staging(job) != MMGR_OK)
        mmgr__log(MMGR_LOG_WARNING, "install", "%s", mmgr_error_message(mmgr_last_error()));
    pthread_mutex_lock(&job->installer->mutex);
    int refuse = job->refuse;
    pthread_mutex_unlock(&job->installer->mutex);
    if (refuse) {
        mmgr__fail(MMGR_ERR_CANCELLED, "a handler ended the install of %s", job->source);
        mmgr__install_fail(job);
    } else {
        mmgr__install_status(job, MMGR_INSTALL_CANCELLED, MMGR_EVENT_INSTALL_CANCELLED);
    }
}

void mmgr__install_fail(mmgr_install *job)
{
    pthread_mutex_lock(&job->installer->mutex);
    mmgr__error_save(&job->error);
    pthread_mutex_unlock(&job->installer->mutex);
    mmgr__install_status(job, MMGR_INSTALL_ERROR, MMGR_EVENT_INSTALL_ERROR);
}

uint64_t mmgr_install_id(const mmgr_install *job)
{
    return job ? job->id : 0;
}

enum mmgr_install_status mmgr_install_status(const mmgr_install *job)
{
    if (!job)
        return MMGR_INSTALL_WAITING;
    pthread_mutex_lock(&job->installer->mutex);
    enum mmgr_install_status status = job->status;
    pthread_mutex_unlock(&job->installer->mutex);
    return status;
}

int mmgr_install_is_terminal(const mmgr_install *job)
{
    enum mmgr_install_status status = mmgr_install_status(job);
    return status == MMGR_INSTALL_COMPLETED || status == MMGR_INSTALL_ERROR ||
           status == MMGR_INSTALL_CANCELLED;
}

int mmgr_install_is_inplace(const mmgr_install *job)
{
    return job && (job->flags & MMGR_INSTALL_INPLACE) != 0;
}

void mmgr_install_progress(const mmgr_install *job, uint64_t *bytes, uint64_t *total)
{
    if (!job)
        return;
    pthread_mutex_lock(&job->installer->mutex);
    if (bytes)
        *bytes = job->bytes;
    if (total)
        *total = job->total;
    pthread_mutex_unlock(&job->installer->mutex);
}

enum mmgr_result mmgr_install_text(const mmgr_install *job, enum mmgr_install_text which,
                                   char **text)
{
    if (!job || !text)
        return mmgr__bad_argument(job ? "text" : "job");
    pthread_mutex_lock(&job->installer->mutex);
    const char *found = NULL;
    switch (which) {
    case MMGR_INSTALL_TEXT_SOURCE:
        found = job->source;
        break;
    case MMGR_INSTALL_TEXT_LOCAL_PATH:
        found = job->local_path;
        break;
    case MMGR_INSTALL_TEXT_CONFIG_IN:
        found = job->overrides;
        break;
    case MMGR_INSTALL_TEXT_KEY:
        found = job->plan ? job->plan->key : NULL;
        break;
    default:
        break;
    }
    char *copy = mmgr__strdup(found);
    pthread_mutex_unlock(&job->installer->mutex);
    if (found && !copy)
        return mmgr__oom();
    *text = copy;
    return MMGR_OK;
}

enum mmgr_result mmgr_install_record(const mmgr_install *job, mmgr_record **record)
{
    if (!job || !record)
        return mmgr__bad_argument(job ? "record" : "job");
    if (mmgr_install_status(job) != MMGR_INSTALL_COMPLETED)
        return mmgr__fail(MMGR_ERR_STATE, "the install of %s has not completed", job->source);
    *record = mmgr_record_ref(job->record);
    return MMGR_OK;
}

const mmgr_error *mmgr_install_error(const mmgr_install *job)
{
    if (!job)
        return NULL;
    enum mmgr_install_status status = mmgr_install_status(job);
    int has = status == MMGR_INSTALL_ERROR || status == MMGR_INSTALL_PAUSED;
    return has && job->error.code != MMGR_OK ? &job->error : NULL;
}

struct mmgr_install_list {
    uint32_t count;
    mmgr_install **items;
};

enum mmgr_result mmgr_installer_list(mmgr_installer *installer, const char *source,
                                     mmgr_install_list **list)
{
    if (!installer || !list)
        return mmgr__bad_argument(installer ? "list" : "installer");
    mmgr_install_list *made = mmgr__alloc0(1, sizeof *made);
    if (!made)
        return mmgr__oom();
    /* Jobs carry the canonical string; people ask with the one that they typed. */
    mmgr_source *parsed = NULL;
    if (source && mmgr_source_parse(source, &parsed) != MMGR_OK)
        parsed = NULL;
    const char *canonical = parsed ? mmgr_source_part(parsed, MMGR_SOURCE_PART_TEXT) : NULL;
    pthread_mutex_lock(&installer->mutex);
    uint32_t count = 0;
    for (mmgr_install *job = installer->jobs; job; job = job->next)
        count++;
    made->items = mmgr__alloc0(count ? count : 1, sizeof *made->items);
    for (mmgr_install *job = installer->jobs; made->items && job; job = job->next)
        if (!source || strcmp(source, job->source) == 0 ||
            (canonical && strcmp(canonical, job->source) == 0))
            made->items[made->count++] = mmgr_install_ref(job);
    pthread_mutex_unlock(&installer->mutex);
    mmgr_source_unref(parsed);
    if (!made->items) {
        mmgr__free(made);
        return mmgr__oom();
    }
    *list = made;
    return MMGR_OK;
}

uint32_t mmgr_install_list_count(const mmgr_install_list *list)
{
    return list ? list->count : 0;
}

mmgr_install *mmgr_install_list_at(const mmgr_install_list *list, uint32_t index)
{
    return list && index < list->count ? list->items[index] : NULL;
}

void mmgr_install_list_free(mmgr_install_list *list)
{
    if (!list)
        return;
    for (uint32_t i = 0; i < list->count; i++)
        mmgr_install_unref(list->items[i]);
    mmgr__free(list->items);
    mmgr__free(list);
}
