/* SPDX-License-Identifier: MIT */
/* A job as the host sees it: references, handlers, numbers and texts. */
#include <string.h>

#include "base/alloc.h"
#include "transfer/queue_internal.h"

struct mmgr__shared *mmgr__shared_new(void)
{
    struct mmgr__shared *shared = mmgr__alloc0(1, sizeof *shared);
    if (shared == NULL)
        return NULL;
    if (mmgr__cond_init(&shared->changed) != 0) {
        mmgr__free(shared);
        return NULL;
    }
    mmgr__refs_init(&shared->refs);
    pthread_mutex_init(&shared->lock, NULL);
    return shared;
}

struct mmgr__shared *mmgr__shared_ref(struct mmgr__shared *shared)
{
    mmgr__refs_take(&shared->refs);
    return shared;
}

void mmgr__shared_unref(struct mmgr__shared *shared)
{
    if (shared == NULL || !mmgr__refs_drop(&shared->refs))
        return;
    pthread_cond_destroy(&shared->changed);
    pthread_mutex_destroy(&shared->lock);
    mmgr__free(shared);
}

mmgr_download *mmgr_download_ref(mmgr_download *job)
{
    if (job != NULL)
        mmgr__refs_take(&job->refs);
    return job;
}

/* Overwrite a secret before its memory goes back. */
static void free_secret(char *text)
{
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    mmgr__free(text);
}

void mmgr_download_unref(mmgr_download *job)
{
    if (job == NULL || !mmgr__refs_drop(&job->refs))
        return;
    for (size_t i = 0; i < job->part_count; i++) {
        mmgr__spec_clear(&job->parts[i].spec);
        mmgr__part_release(NULL, job, &job->parts[i], 1);
    }
    mmgr__free(job->parts);
    mmgr__finished_clear(&job->finished);
    pthread_mutex_destroy(&job->finished_lock);
    mmgr__handlers_unref(job->handlers);
    mmgr__free(job->source);
    mmgr__free(job->destination);
    mmgr__free(job->filename);
    free_secret(job->token);
    mmgr__free(job->label);
    mmgr__free(job->move_root);
    mmgr__free(job->path);
    mmgr__free(job->content_type);
    mmgr__shared_unref(job->shared);
    mmgr__free(job);
}

enum mmgr_result mmgr_download_add_handler(mmgr_download *job, mmgr_event_fn fn, void *user,
                                           mmgr_user_free_fn user_free)
{
    if (job == NULL || fn == NULL)
        return mmgr__bad_argument(job == NULL ? "job" : "fn");
    return mmgr__handlers_add(job->handlers, fn, user, user_free);
}

void mmgr_download_clear_handlers(mmgr_download *job)
{
    if (job != NULL)
        mmgr__handlers_clear(job->handlers);
}

uint64_t mmgr_download_id(const mmgr_download *job)
{
    return job != NULL ? job->id : 0;
}

static enum mmgr__job_state state_of(const mmgr_download *job)
{
    pthread_mutex_lock(&job->shared->lock);
    enum mmgr__job_state state = job->state;
    pthread_mutex_unlock(&job->shared->lock);
    return state;
}

enum mmgr_download_status mmgr_download_status(const mmgr_download *job)
{
    return job != NULL ? mmgr__job_status_of(state_of(job)) : MMGR_DOWNLOAD_IDLE;
}

const char *mmgr_download_status_name(enum mmgr_download_status status)
{
    static const char *const names[] = {"idle",      "enqueued", "running",  "paused",
                                        "completed", "error",    "cancelled"};
    unsigned index = (unsigned)status;
    return index < sizeof names / sizeof names[0] ? names[index] : NULL;
}

uint64_t mmgr__job_bytes(const mmgr_download *job, uint64_t *total)
{
    uint64_t bytes = 0, sum = 0;
    int known = 1;
    for (size_t i = 0; i < job->part_count; i++) {
        const struct mmgr__part *part = &job->parts[i];
        bytes += part->bytes;
        sum += part->total;
        known &= part->total > 0 || part->state == MMGR__PART_DONE || part->spec.size == 0;
    }
    *total = known ? sum : 0;
    return bytes;
}

static uint64_t resumed_bytes(const mmgr_download *job)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < job->part_count; i++)
        bytes += job->parts[i].resumed;
    return bytes;
}

int64_t mmgr_download_number(const mmgr_download *job, enum mmgr_download_number which)
{
    if (job == NULL)
        return 0;
    uint64_t total = 0;
    int64_t number = 0;
    pthread_mutex_lock(&job->shared->lock);
    uint64_t bytes = mmgr__job_bytes(job, &total);
    switch (which) {
    case MMGR_DOWNLOAD_NUMBER_BYTES:
        number = (int64_t)bytes;
        break;
    case MMGR_DOWNLOAD_NUMBER_TOTAL:
        number = (int64_t)total;
        break;
    case MMGR_DOWNLOAD_NUMBER_RESUMED_FROM:
        number = (int64_t)resumed_bytes(job);
        break;
    case MMGR_DOWNLOAD_NUMBER_PRIORITY:
        number = job->priority;
        break;
    case MMGR_DOWNLOAD_NUMBER_SEQUENCE:
        number = (int64_t)job->sequence;
        break;
    case MMGR_DOWNLOAD_NUMBER_STARTED:
        number = job->started;
        break;
    case MMGR_DOWNLOAD_NUMBER_ENDED:
        number = job->ended;
        break;
    case MMGR_DOWNLOAD_NUMBER_PARTS:
        number = (int64_t)job->part_count;
        break;
    default:
        break;
    }
    pthread_mutex_unlock(&job->shared->lock);
    return number;
}

/* Lock held. */
static const char *text_of(const mmgr_download *job, enum mmgr_download_text which)
{
    switch (which) {
    case MMGR_DOWNLOAD_TEXT_SOURCE:
        return job->source;
    case MMGR_DOWNLOAD_TEXT_DESTINATION:
        return job->destination;
    case MMGR_DOWNLOAD_TEXT_PATH:
        return job->path;
    case MMGR_DOWNLOAD_TEXT_SHA256:
        return job->state == MMGR__JOB_COMPLETED && !job->is_multi ? job->parts[0].done_sha256
                                                                   : NULL;
    case MMGR_DOWNLOAD_TEXT_CONTENT_TYPE:
        return job->content_type;
    default:
        return NULL;
    }
}

enum mmgr_result mmgr_download_text(const mmgr_download *job, enum mmgr_download_text which,
                                    char **text)
{
    if (job == NULL || text == NULL || which < MMGR_DOWNLOAD_TEXT_SOURCE ||
        which > MMGR_DOWNLOAD_TEXT_CONTENT_TYPE)
        return mmgr__bad_argument(job == NULL ? "job" : text == NULL ? "text" : "which");
    pthread_mutex_lock(&job->shared->lock);
    const char *value = text_of(job, which);
    char *copy = mmgr__strdup(value);
    pthread_mutex_unlock(&job->shared->lock);
    if (value != NULL && copy == NULL)
        return mmgr__oom();
    *text = copy;
    return MMGR_OK;
}

const mmgr_error *mmgr_download_error(const mmgr_download *job)
{
    return job != NULL && state_of(job) == MMGR__JOB_ERROR ? &job->error : NULL;
}

const char *mmgr_download_part_sha256(const mmgr_download *job, uint32_t index)
{
    if (job == NULL || index >= job->part_count || state_of(job) != MMGR__JOB_COMPLETED)
        return NULL;
    return job->parts[index].done_sha256;
}

uint32_t mmgr_download_list_count(const mmgr_download_list *list)
{
    return list != NULL ? (uint32_t)list->count : 0;
}

mmgr_download *mmgr_download_list_at(const mmgr_download_list *list, uint32_t index)
{
    return list != NULL && index < list->count ? list->items[index] : NULL;
}

void mmgr_download_list_free(mmgr_download_list *list)
{
    if (list == NULL)
        return;
    for (size_t i = 0; i < list->count; i++)
        mmgr_download_unref(list->items[i]);
    mmgr__free(list->items);
    mmgr__free(list);
}
