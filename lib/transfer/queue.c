/* SPDX-License-Identifier: MIT */
/* The queue: opening and closing, commands, events. Every change of a job's state passes
 * mmgr__job_input(). */
#include <string.h>

#include "base/alloc.h"
#include "base/config.h"
#include "base/options.h"
#include "transfer/queue_internal.h"

static void destroy(mmgr_queue *queue)
{
    for (size_t i = 0; i < queue->job_count; i++)
        mmgr_download_unref(queue->jobs[i]);
    mmgr__free(queue->jobs);
    for (uint32_t i = 0; i < queue->runner_count; i++) {
        mmgr__exchange_destroy(&queue->runners[i]->exchange);
        mmgr__free(queue->runners[i]);
    }
    mmgr__free(queue->runners);
    mmgr__curl_free(queue->curl);
    mmgr__handlers_unref(queue->defaults);
    mmgr__bus_unuse(queue->bus);
    if (queue->owns_bus)
        mmgr_bus_close(queue->bus);
    mmgr_config_unref(queue->config);
    pthread_cond_destroy(&queue->work);
    mmgr__shared_unref(queue->shared);
    mmgr__free(queue);
}

static void default_tuning(struct mmgr__transfer_tuning *tuning)
{
    const int64_t second = INT64_C(1000000000);
    *tuning = (struct mmgr__transfer_tuning){
        .backoff_base_ns = second,
        .backoff_cap_ns = 60 * second,
        .wait_cap_ns = 300 * second,
        .connect_ns = 15 * second,
        .stall_ns = 30 * second,
        .sync_bytes = UINT64_C(64) << 20,
        .sync_ns = 5 * second,
        .block_bytes = UINT64_C(256) << 10,
        .window_bytes = UINT64_C(8) << 30,
        .unknown_limit = UINT64_C(1) << 40,
        .min_progress = UINT64_C(64) << 10,
    };
}

static enum mmgr_result import_transport(const mmgr_transport_ops *transport,
                                         mmgr_transport_ops *ops)
{
    if (transport == NULL)
        return MMGR_OK;
    enum mmgr_result rc = MMGR__IMPORT(*ops, transport, release);
    if (rc != MMGR_OK)
        return rc;
    if (ops->api_version != 1 || ops->name == NULL || ops->start == NULL || ops->cancel == NULL ||
        ops->pause == NULL)
        return mmgr__bad_argument("transport");
    return MMGR_OK;
}

static enum mmgr_result set_up(mmgr_queue *queue, const struct mmgr_queue_options *o)
{
    queue->shared = mmgr__shared_new();
    queue->defaults = mmgr__handlers_new();
    queue->runners = mmgr__alloc0(queue->max_parallel + 1, sizeof(struct mmgr__runner *));
    if (queue->shared == NULL || queue->defaults == NULL || queue->runners == NULL)
        return mmgr__oom();
    if (o->config != NULL) {
        queue->config = mmgr_config_ref(o->config);
        mmgr__config_freeze(o->config);
    }
    queue->bus = o->bus;
    if (queue->bus == NULL) {
        enum mmgr_result rc = mmgr_bus_open(NULL, &queue->bus);
        if (rc != MMGR_OK)
            return rc;
        queue->owns_bus = 1;
    }
    mmgr__bus_use(queue->bus);
    queue->self = o->transport_self;
    if (o->transport != NULL) {
        queue->ops = &queue->host_ops;
        return MMGR_OK;
    }
    queue->ops = mmgr__curl_ops();
    enum mmgr_result rc = mmgr__curl_new(
        queue->config != NULL ? mmgr_config_get(queue->config, "ca_file") : NULL, &queue->curl);
    queue->self = queue->curl;
    return rc;
}

enum mmgr_result mmgr_queue_open(const struct mmgr_queue_options *options, mmgr_queue **queue)
{
    struct mmgr_queue_options o;
    mmgr_transport_ops ops;
    if (queue == NULL)
        return mmgr__bad_argument("queue");
    enum mmgr_result rc = MMGR__IMPORT(o, options, max_retries);
    if (rc == MMGR_OK && (o.flags & ~MMGR_QUEUE_QUIET) != 0)
        rc = mmgr__bad_argument("flags");
    if (rc == MMGR_OK)
        rc = import_transport(o.transport, &ops);
    if (rc != MMGR_OK)
        return rc;
    mmgr_queue *made = mmgr__alloc0(1, sizeof *made);
    if (made == NULL)
        return mmgr__oom();
    if (mmgr__cond_init(&made->work) != 0) {
        mmgr__free(made);
        return mmgr__oom();
    }
    if (o.transport != NULL)
        made->host_ops = ops;
    made->flags = o.flags;
    made->max_parallel = o.max_parallel == 0 ? 5 : o.max_parallel;
    if (made->max_parallel > MMGR__MOST_PARALLEL)
        made->max_parallel = MMGR__MOST_PARALLEL;
    made->max_retries = o.max_retries == 0 ? 5 : o.max_retries;
    default_tuning(&made->tuning);
    rc = set_up(made, &o);
    if (rc != MMGR_OK) {
        destroy(made);
        return rc;
    }
    *queue = made;
    return MMGR_OK;
}

void mmgr__queue_tune(mmgr_queue *queue, const struct mmgr__transfer_tuning *tuning)
{
    struct mmgr__transfer_tuning *t = &queue->tuning;
#define TAKE(member) t->member = tuning->member != 0 ? tuning->member : t->member
    TAKE(backoff_base_ns);
    TAKE(backoff_cap_ns);
    TAKE(wait_cap_ns);
    TAKE(connect_ns);
    TAKE(stall_ns);
    TAKE(sync_bytes);
    TAKE(sync_ns);
    TAKE(block_bytes);
    TAKE(room_bytes);
    TAKE(window_bytes);
    TAKE(unknown_limit);
    TAKE(min_progress);
#undef TAKE
}

void mmgr__queue_hold(mmgr_queue *queue)
{
    pthread_mutex_lock(&queue->shared->lock);
    queue->users++;
    pthread_mutex_unlock(&queue->shared->lock);
}

void mmgr__queue_unhold(mmgr_queue *queue)
{
    pthread_mutex_lock(&queue->shared->lock);
    queue->users--;
    pthread_mutex_unlock(&queue->shared->lock);
}

enum mmgr_result mmgr_queue_close(mmgr_queue *queue)
{
    if (queue == NULL)
        return MMGR_OK;
    if (mmgr__bus_in_handler(queue->bus))
        return mmgr__fail(MMGR_ERR_BUSY, "a queue cannot be closed from inside a handler");
    pthread_mutex_lock(&queue->shared->lock);
    if (queue->users > 0) {
        pthread_mutex_unlock(&queue->shared->lock);
        return mmgr__fail(MMGR_ERR_BUSY, "the queue is in use by another service");
    }
    queue->closing = 1;
    for (size_t i = 0; i < queue->job_count; i++)
        mmgr__job_input(queue, queue->jobs[i], MMGR__INPUT_PAUSE);
    pthread_cond_broadcast(&queue->work);
    uint32_t count = queue->runner_count;
    pthread_mutex_unlock(&queue->shared->lock);
    for (uint32_t i = 0; i < count; i++)
        pthread_join(queue->runners[i]->thread, NULL);
    /* Events in flight may still bring decisions of handlers; the queue must live until they are
     * told. */
    mmgr__bus_drain(queue->bus);
    destroy(queue);
    return MMGR_OK;
}

mmgr_bus *mmgr_queue_bus(mmgr_queue *queue)
{
    return queue != NULL ? queue->bus : NULL;
}

enum mmgr_result mmgr_queue_transport(mmgr_queue *queue, const mmgr_transport_ops **ops,
                                      void **self)
{
    if (queue == NULL || ops == NULL || self == NULL)
        return mmgr__bad_argument(queue == NULL ? "queue" : ops == NULL ? "ops" : "self");
    *ops = queue->ops;
    *self = queue->self;
    return MMGR_OK;
}

enum mmgr_result mmgr_queue_add_handler(mmgr_queue *queue, mmgr_event_fn fn, void *user,
                                        mmgr_user_free_fn user_free)
{
    if (queue == NULL || fn == NULL)
        return mmgr__bad_argument(queue == NULL ? "queue" : "fn");
    return mmgr__handlers_add(queue->defaults, fn, user, user_free);
}

/* The job of this id, or NULL with the error set. Lock held. */
static mmgr_download *find(mmgr_queue *queue, uint64_t id)
{
    for (size_t i = 0; i < queue->job_count; i++) {
        if (queue->jobs[i]->id == id)
            return queue->jobs[i];
    }
    mmgr__fail(MMGR_ERR_UNKNOWN_JOB, "there is no download job %llu", (unsigned long long)id);
    return NULL;
}

/* A handler's wish, told on the dispatcher's thread. A job that does not run any more ignores it.
 * */
static void on_decision(void *service, uint64_t id, enum mmgr_decision decision)
{
    mmgr_queue *queue = service;
    pthread_mutex_lock(&queue->shared->lock);
    mmgr_download *job = find(queue, id);
    if (job != NULL && decision == MMGR_DECISION_PAUSE)
        mmgr__job_input(queue, job, MMGR__INPUT_PAUSE);
    else if (job != NULL && decision == MMGR_DECISION_CANCEL)
        mmgr__job_input(queue, job, MMGR__INPUT_CANCEL);
    else if (job != NULL && decision == MMGR_DECISION_FAIL && !mmgr__job_terminal(job->state)) {
        mmgr__fail(MMGR_ERR_CANCELLED, "a handler ended the job");
        mmgr__job_input(queue, job, MMGR__INPUT_FAIL);
    }
    pthread_mutex_unlock(&queue->shared->lock);
}

void mmgr__job_event(mmgr_queue *queue, mmgr_download *job, enum mmgr_event_type type)
{
    struct mmgr__event_data data = {.type = type,
                                    .job = job->id,
                                    .handlers = {job->handlers, queue->defaults},
                                    .decide = on_decision,
                                    .service = queue};
    struct mmgr__event_part *parts = NULL;
    data.bytes = mmgr__job_bytes(job, &data.total);
    data.texts[MMGR_EVENT_TEXT_SOURCE] = job->label != NULL ? job->label : job->source;
    data.texts[MMGR_EVENT_TEXT_LOCAL_PATH] = job->path != NULL ? job->path : job->destination;
    char hash[80] = "sha256:";
    if (type == MMGR_EVENT_DOWNLOAD_COMPLETED && !job->is_multi) {
        memcpy(hash + 7, job->parts[0].done_sha256, sizeof job->parts[0].done_sha256);
        data.texts[MMGR_EVENT_TEXT_HASH] = hash;
    }
    if (type == MMGR_EVENT_DOWNLOAD_ERROR)
        data.error = &job->error;
    if (job->is_multi && (parts = mmgr__alloc0(job->part_count, sizeof *parts)) != NULL) {
        for (size_t i = 0; i < job->part_count; i++)
            parts[i] = (struct mmgr__event_part){job->parts[i].spec.path, job->parts[i].bytes,
                                                 job->parts[i].total};
        data.parts = parts;
        data.part_count = (uint32_t)job->part_count;
    }
    if (mmgr__bus_send(queue->bus, &data) != MMGR_OK)
        mmgr__error_set_subject(
            job->source); /* no memory for an event: the state is still to be read */
    mmgr__free(parts);
}

static void wind(mmgr_queue *queue, mmgr_download *job)
{
    atomic_store(&job->stop, 1);
    for (uint32_t i = 0; i < queue->runner_count; i++) {
        if (queue->runners[i]->job == job)
            mmgr__exchange_poke(&queue->runners[i]->exchange);
    }
    mmgr__runners_wake(queue);
}

static void end_job(mmgr_queue *queue, mmgr_download *job, enum mmgr_event_type type)
{
    job->ended = mmgr__now_realtime();
    mmgr__job_event(queue, job, type);
}

enum mmgr_result mmgr__job_input(mmgr_queue *queue, mmgr_download *job, enum mmgr__job_input input)
{
    struct mmgr__job_step step = mmgr__job_step(job->state, input);
    if (step.action == MMGR__ACT_REFUSE)
        return MMGR_ERR_STATE;
    if (input == MMGR__INPUT_FAIL && step.next == MMGR__JOB_FAILING && !job->has_error) {
        mmgr__error_save(&job->error);
        job->has_error = 1;
    }
    job->state = step.next;
    switch (step.action) {
    case MMGR__ACT_ENQUEUE:
        atomic_store(&job->stop, 0);
        mmgr__job_event(queue, job, MMGR_EVENT_DOWNLOAD_ENQUEUED);
        mmgr__runners_wake(queue);
        break;
    case MMGR__ACT_BEGIN:
        if (job->sequence == 0) {
            job->sequence = ++queue->next_sequence;
            job->started = mmgr__now_realtime();
        }
        job->next_event = 0;
        mmgr__job_event(queue, job, MMGR_EVENT_DOWNLOAD_RUNNING);
        break;
    case MMGR__ACT_WIND:
        wind(queue, job);
        break;
    case MMGR__ACT_PAUSED:
        mmgr__job_event(queue, job, MMGR_EVENT_DOWNLOAD_PAUSED);
        break;
    case MMGR__ACT_COMPLETED:
        end_job(queue, job, MMGR_EVENT_DOWNLOAD_COMPLETED);
        break;
    case MMGR__ACT_ERROR:
        end_job(queue, job, MMGR_EVENT_DOWNLOAD_ERROR);
        break;
    case MMGR__ACT_CANCELLED:
        end_job(queue, job, MMGR_EVENT_DOWNLOAD_CANCELLED);
        break;
    default:
        break;
    }
    pthread_cond_broadcast(&queue->shared->changed);
    return MMGR_OK;
}

/* A command of the host, with its error message. */
static enum mmgr_result command(mmgr_queue *queue, uint64_t id, enum mmgr__job_input input)
{
    if (queue == NULL)
        return mmgr__bad_argument("queue");
    pthread_mutex_lock(&queue->shared->lock);
    mmgr_download *job = find(queue, id);
    enum mmgr_result rc = job != NULL ? mmgr__job_input(queue, job, input) : MMGR_ERR_UNKNOWN_JOB;
    if (rc == MMGR_ERR_STATE)
        mmgr__fail(rc, "the download job %llu has ended or is about to (%s)",
                   (unsigned long long)id,
                   mmgr_download_status_name(mmgr__job_status_of(job->state)));
    pthread_mutex_unlock(&queue->shared->lock);
    return rc;
}

enum mmgr_result mmgr_queue_start(mmgr_queue *queue, uint64_t id)
{
    return command(queue, id, MMGR__INPUT_START);
}

enum mmgr_result mmgr_queue_pause(mmgr_queue *queue, uint64_t id)
{
    return command(queue, id, MMGR__INPUT_PAUSE);
}

enum mmgr_result mmgr_queue_cancel(mmgr_queue *queue, uint64_t id)
{
    return command(queue, id, MMGR__INPUT_CANCEL);
}

static enum mmgr_result command_all(mmgr_queue *queue, enum mmgr__job_input input)
{
    if (queue == NULL)
        return mmgr__bad_argument("queue");
    pthread_mutex_lock(&queue->shared->lock);
    for (size_t i = 0; i < queue->job_count; i++)
        mmgr__job_input(queue, queue->jobs[i], input);
    pthread_mutex_unlock(&queue->shared->lock);
    return MMGR_OK;
}

enum mmgr_result mmgr_queue_start_all(mmgr_queue *queue)
{
    return command_all(queue, MMGR__INPUT_START);
}

enum mmgr_result mmgr_queue_pause_all(mmgr_queue *queue)
{
    return command_all(queue, MMGR__INPUT_PAUSE);
}

enum mmgr_result mmgr_queue_cancel_all(mmgr_queue *queue)
{
    return command_all(queue, MMGR__INPUT_CANCEL);
}

enum mmgr_result mmgr_queue_set_priority(mmgr_queue *queue, uint64_t id, int32_t priority)
{
    if (queue == NULL)
        return mmgr__bad_argument("queue");
    enum mmgr_result rc = MMGR_OK;
    pthread_mutex_lock(&queue->shared->lock);
    mmgr_download *job = find(queue, id);
    if (job == NULL)
        rc = MMGR_ERR_UNKNOWN_JOB;
    else if (mmgr__job_terminal(job->state))
        rc = mmgr__fail(MMGR_ERR_STATE, "the download job %llu has ended", (unsigned long long)id);
    else
        job->priority = priority != 0 ? priority : MMGR__DEFAULT_PRIORITY;
    pthread_mutex_unlock(&queue->shared->lock);
    return rc;
}

/* Put a job into the list. Lock held. The handler comes last: if anything fails, the host keeps
 * its pointer. */
static enum mmgr_result enter(mmgr_queue *queue, mmgr_download *job,
                              const struct mmgr_download_options *o)
{
    void *jobs = queue->jobs;
    if (queue->closing)
        return mmgr__fail(MMGR_ERR_STATE, "the queue is being closed");
    if (!mmgr__grow(&jobs, &queue->job_capacity, queue->job_count + 1, sizeof(mmgr_download *)))
        return mmgr__oom();
    queue->jobs = jobs;
    if (!mmgr__runners_wake(queue))
        return mmgr__fail(MMGR_ERR_NO_MEMORY, "no thread can be started");
    if (o->handler != NULL) {
        enum mmgr_result rc =
            mmgr__handlers_add(job->handlers, o->handler, o->handler_user, o->handler_user_free);
        if (rc != MMGR_OK)
            return rc;
    }
    job->id = ++queue->next_id;
    queue->jobs[queue->job_count++] = job;
    return MMGR_OK;
}

enum mmgr_result mmgr_queue_submit(mmgr_queue *queue, const struct mmgr_download_options *options,
                                   mmgr_download **job)
{
    struct mmgr_download_options o;
    if (queue == NULL || options == NULL)
        return mmgr__bad_argument(queue == NULL ? "queue" : "options");
    mmgr_download *made = NULL;
    enum mmgr_result rc = MMGR__IMPORT(o, options, label);
    if (rc == MMGR_OK)
        rc = mmgr__job_new(queue, &o, &made);
    if (rc != MMGR_OK)
        return rc;
    pthread_mutex_lock(&queue->shared->lock);
    rc = enter(queue, made, &o);
    if (rc == MMGR_OK) {
        if (job != NULL)
            *job = mmgr_download_ref(made);
        if ((made->flags & MMGR_DOWNLOAD_HOLD) == 0)
            mmgr__job_input(queue, made, MMGR__INPUT_START);
    }
    pthread_mutex_unlock(&queue->shared->lock);
    if (rc != MMGR_OK)
        mmgr_download_unref(made);
    return rc;
}
