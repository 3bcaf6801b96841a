/* SPDX-License-Identifier: MIT */
/* Inside of the queue. One lock guards jobs, parts and runners; it is shared with the jobs,
 * because a job may outlive its queue. Order: queue lock -> bus, queue lock -> an exchange's lock.
 * No disk, network, handler or log hook is called with the queue lock held. */
#ifndef TRANSFER_QUEUE_INTERNAL_H
#define TRANSFER_QUEUE_INTERNAL_H

#include <modelmgr/queue.h>

#include "base/error.h"
#include "base/event.h"
#include "base/thread.h"
#include "transfer/curl_transport.h"
#include "transfer/exchange.h"
#include "transfer/journal.h"
#include "transfer/partial.h"
#include "transfer/state.h"
#include "transfer/transfer.h"

#define MMGR__MOST_PARALLEL    64u
#define MMGR__DEFAULT_PRIORITY 10

/* One file that a caller asks for. */
struct mmgr__part_spec {
    char *source; /* URL or absolute path */
    char *path;   /* below the destination; NULL: the single file of the job */
    uint64_t size;
    char sha256[65], git_sha1[41]; /* "" = unknown */
    int is_local;
};
struct mmgr_parts {
    struct mmgr__part_spec *items;
    size_t count, capacity;
};

enum mmgr__part_state { MMGR__PART_WAITING, MMGR__PART_ACTIVE, MMGR__PART_DONE };

struct mmgr__part {
    struct mmgr__part_spec spec;
    /* Under the lock. */
    enum mmgr__part_state state;
    uint64_t bytes, total, resumed; /* total 0: unknown */
    int64_t not_before;             /* monotonic; waits after a failure */
    /* Of the runner that has the part, or of the cleaner when none has. */
    char *folder, *name; /* folder of the target; name NULL while unknown */
    int late_name;       /* the server named it: the partial file goes by the URL */
    int dirfd;           /* -1: not open */
    struct mmgr__partial *partial;
    int touched; /* a partial file of this job may be on the disk */
    int spoiled; /* its bytes are worth nothing */
    uint32_t attempts, strikes;
    uint64_t high; /* most bytes that were ever there */
    char done_sha256[65];
};

struct mmgr__shared {
    mmgr__refs refs;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* some job's state */
};

struct mmgr_download {
    mmgr__refs refs;
    struct mmgr__shared *shared;
    /* Constant after the submission. */
    uint64_t id;
    uint32_t flags;
    char *source, *destination, *filename, *token, *label;
    char *move_root; /* folder that a move is to leave empty */
    int is_multi;
    struct mmgr__handlers *handlers;
    struct mmgr__part *parts;
    size_t part_count;
    atomic_int stop; /* runners are to let go */
    /* Under the lock. */
    enum mmgr__job_state state;
    int32_t priority;
    uint64_t sequence;
    int64_t started, ended;
    size_t done;     /* parts in their place */
    uint32_t active; /* runners that have a part */
    int cleaning;
    uint64_t next_event; /* bytes at which to report again */
    char *path, *content_type;
    int has_error;
    struct mmgr_error error;
    /* Under a lock of their own, which is held over the disk and never with the queue lock. */
    pthread_mutex_t finished_lock;
    struct mmgr__finished_list finished;
    int finished_loaded;
};

struct mmgr_download_list {
    mmgr_download **items;
    size_t count;
};

struct mmgr__runner {
    mmgr_queue *queue;
    pthread_t thread;
    struct mmgr__exchange exchange;
    mmgr_download *job; /* under the lock */
    struct mmgr__part *part;
};

struct mmgr_queue {
    struct mmgr__shared *shared;
    uint32_t flags, max_parallel, max_retries;
    mmgr_bus *bus;
    int owns_bus;
    mmgr_config *config;
    mmgr_transport_ops host_ops; /* the host's table, copied */
    const mmgr_transport_ops *ops;
    void *self;
    struct mmgr__curl *curl;
    struct mmgr__handlers *defaults;
    struct mmgr__transfer_tuning tuning;
    /* Under the lock. */
    pthread_cond_t work;
    mmgr_download **jobs;
    size_t job_count, job_capacity;
    uint64_t next_id, next_sequence;
    struct mmgr__runner *
        *runners; /* max_parallel + 1: one more for pauses and cancels while all are busy */
    uint32_t runner_count, idle, active_parts, users;
    int closing;
};

/* What a runner works on. */
struct mmgr__run {
    mmgr_queue *queue;
    mmgr_download *job;
    struct mmgr__part *part;
    struct mmgr__exchange *exchange;
    int64_t retry_in; /* with MMGR__RUN_RETRY */
};
enum mmgr__run_end { MMGR__RUN_DONE, MMGR__RUN_STOPPED, MMGR__RUN_RETRY, MMGR__RUN_FAILED };

/* job.c */
struct mmgr__shared *mmgr__shared_new(void);
struct mmgr__shared *mmgr__shared_ref(struct mmgr__shared *shared);
void mmgr__shared_unref(struct mmgr__shared *shared);
uint64_t mmgr__job_bytes(const mmgr_download *job, uint64_t *total);
/* parts.c */
enum mmgr_result mmgr__spec_copy(struct mmgr__part_spec *to, const struct mmgr__part_spec *from);
void mmgr__spec_clear(struct mmgr__part_spec *spec);
enum mmgr_result mmgr__spec_source(const char *source, char **normal, int *is_local);
enum mmgr_result mmgr__parts_of_folder(const char *folder, mmgr_parts *parts);
/* submit.c: options are the library's own copy; the handler is not taken yet */
enum mmgr_result mmgr__job_new(mmgr_queue *queue, const struct mmgr_download_options *options,
                               mmgr_download **job);
/* queue.c: all with the lock held */
enum mmgr_result mmgr__job_input(mmgr_queue *queue, mmgr_download *job, enum mmgr__job_input input);
void mmgr__job_event(mmgr_queue *queue, mmgr_download *job, enum mmgr_event_type type);
/* runner.c: lock held. Make sure that a thread will look for work; 0 when there is none and none
 * starts. */
int mmgr__runners_wake(mmgr_queue *queue);
/* run.c: without the lock, by the runner that has the part */
enum mmgr__run_end mmgr__run_part(struct mmgr__run *run);
void mmgr__run_progress(struct mmgr__run *run, uint64_t bytes, uint64_t total);
int mmgr__run_stopped(const struct mmgr__run *run);
int mmgr__run_cancelled(void *run); /* the same, as a callback */
enum mmgr__run_end mmgr__run_open(struct mmgr__run *run);
/* The name is known now: is there such a file already? *done: and it is what is wanted. */
enum mmgr_result mmgr__run_name(struct mmgr__run *run, const char *name, int *done);
/* All bytes are there: check, place, remember. */
enum mmgr_result mmgr__run_finish(struct mmgr__run *run);
/* Close what a part holds; keep: its bytes stay resumable. */
void mmgr__part_release(mmgr_queue *queue, mmgr_download *job, struct mmgr__part *part, int keep);
/* fetch.c, local.c */
enum mmgr__run_end mmgr__fetch_part(struct mmgr__run *run);
enum mmgr__run_end mmgr__local_part(struct mmgr__run *run);

#endif
