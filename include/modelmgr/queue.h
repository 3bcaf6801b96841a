/* SPDX-License-Identifier: MIT */
/** @file
 * The download queue: jobs that bring files from URLs or local paths to their place, resumably and verified.
 */
#ifndef MODELMGR_QUEUE_H
#define MODELMGR_QUEUE_H

#include "event.h"
#include "transport.h"

MMGR_BEGIN_DECLS

/** State of a download job. */
enum mmgr_download_status {
    MMGR_DOWNLOAD_IDLE = 0,      /**< "idle": created on hold */
    MMGR_DOWNLOAD_ENQUEUED = 1,  /**< "enqueued" */
    MMGR_DOWNLOAD_RUNNING = 2,   /**< "running" */
    MMGR_DOWNLOAD_PAUSED = 3,    /**< "paused" */
    MMGR_DOWNLOAD_COMPLETED = 4, /**< "completed", terminal */
    MMGR_DOWNLOAD_ERROR = 5,     /**< "error", terminal */
    MMGR_DOWNLOAD_CANCELLED = 6, /**< "cancelled", terminal */
    MMGR_DOWNLOAD_STATUS_FORCE_32_ = MMGR_ENUM_32_BITS
};

/** Flags of mmgr_queue_options. */
#define MMGR_QUEUE_QUIET 1u /**< no log lines at start and end of a job */

/** Options of mmgr_queue_open(). */
struct mmgr_queue_options {
    uint32_t struct_size;                /**< sizeof(struct mmgr_queue_options) */
    uint32_t flags;                      /**< MMGR_QUEUE_* */
    mmgr_bus *bus;                       /**< where events go; NULL: a bus of its own, see mmgr_queue_bus() */
    mmgr_config *config;                 /**< tokens, offline mode; NULL: none, online */
    const mmgr_transport_ops *transport; /**< the host's networking, copied; NULL: built in (libcurl) */
    void *transport_self;                /**< first argument of its functions; must outlive the queue */
    uint32_t max_parallel;               /**< most files in transfer at once; 0 = 5; above 64 counts as 64 */
    uint32_t max_retries;                /**< attempts without progress before a file fails; 0 = 5 */
};

/**
 * Open a queue. Its threads start with the first job.
 * @param options     Options or NULL.
 * @param[out] queue  Given; close with mmgr_queue_close().
 * @return MMGR_OK; MMGR_ERR_ARGUMENT; MMGR_ERR_ABI_SIZE; MMGR_ERR_ABI_NEWER; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_queue_open(const struct mmgr_queue_options *options, mmgr_queue **queue);

/**
 * Close a queue: running jobs are paused with their bytes kept, threads are joined.
 * @param queue  Queue, or NULL for no effect.
 * @return MMGR_OK, or MMGR_ERR_BUSY from inside a handler or while another service uses the queue.
 *
 * Thread-safety: must not race with other calls on this queue.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_queue_close(mmgr_queue *queue);

/**
 * The bus on which the queue sends its events.
 * @param queue  Queue.
 * @return Lent bus.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API mmgr_bus *mmgr_queue_bus(mmgr_queue *queue);

/**
 * The queue's HTTP transport, for other services that are to share it.
 * @param queue      Queue.
 * @param[out] ops   Lent table, as long as the queue is open.
 * @param[out] self  First argument of its functions.
 * @return MMGR_OK; MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_queue_transport(mmgr_queue *queue, const mmgr_transport_ops **ops,
                                               void **self);

/**
 * Add a default handler: called for every job of the queue, after the job's own handlers.
 * @param queue      Queue.
 * @param fn         Handler.
 * @param user       Passed to fn.
 * @param user_free  Frees user, or NULL.
 * @return MMGR_OK; MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe, also from a handler.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_queue_add_handler(mmgr_queue *queue, mmgr_event_fn fn, void *user,
                                                 mmgr_user_free_fn user_free);

/**
 * Start a list of parts for a multi-file job.
 * @param[out] parts  Given; free with mmgr_parts_free().
 * @return MMGR_OK; MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: one thread at a time.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_parts_new(mmgr_parts **parts);

/**
 * Free a list of parts.
 * @param parts  List, or NULL for no effect.
 *
 * Thread-safety: one thread at a time.
 * Since: 0.1
 */
MMGR_API void mmgr_parts_free(mmgr_parts *parts);

/**
 * Add a part.
 * @param parts   List.
 * @param source  URL or local path of the part.
 * @param path    Path below the job's destination, POSIX, relative, without "..".
 * @param size    Bytes; UINT64_MAX when unknown.
 * @param sha256  Lower-case hex, or NULL when unknown.
 * @param git_sha1 Lower-case hex of the git blob, or NULL when unknown.
 * @return MMGR_OK; MMGR_ERR_UNSAFE_PATH; MMGR_ERR_ARGUMENT (also when the path is there already);
 *   MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: one thread at a time.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_parts_add(mmgr_parts *parts, const char *source, const char *path,
                                         uint64_t size, const char *sha256, const char *git_sha1);

/** Flags of mmgr_download_options. */
#define MMGR_DOWNLOAD_HOLD 1u             /**< stay idle until started */
#define MMGR_DOWNLOAD_PRESERVE_PARTIAL 2u /**< keep the partial file after an error or a cancel */
#define MMGR_DOWNLOAD_MOVE 4u             /**< local source: move instead of copy */
#define MMGR_DOWNLOAD_OVERWRITE 8u        /**< replace an existing destination file */

/** Options of mmgr_queue_submit(). */
struct mmgr_download_options {
    uint32_t struct_size;     /**< sizeof(struct mmgr_download_options) */
    uint32_t flags;           /**< MMGR_DOWNLOAD_* */
    const char *source;       /**< URL, or local file or folder; NULL with parts */
    const char *destination;  /**< file, or existing folder; required. With parts: folder, made if missing */
    const char *filename;     /**< name inside the folder; NULL: Content-Disposition, else the URL */
    const mmgr_parts *parts;  /**< parts of a multi-file job, copied; NULL for one file */
    const char *token;        /**< access token for the source's origin; NULL: what the config has */
    const char *sha256;       /**< expected hash, hex; NULL: unknown */
    uint64_t size;            /**< expected bytes; 0 = unknown */
    int32_t priority;         /**< lower first; 0 = the default 10 */
    uint32_t reserved;        /**< must be 0 */
    mmgr_event_fn handler;    /**< the job's first handler, or NULL */
    void *handler_user;       /**< passed to handler */
    mmgr_user_free_fn handler_user_free; /**< frees handler_user, or NULL */
    const char *label;        /**< what events call the source; NULL: source */
};

/**
 * Submit a job.
 * @param queue     Queue.
 * @param options   Options; source (or parts) and destination are required.
 * @param[out] job  Given; release with mmgr_download_unref(); may be NULL.
 * @return MMGR_OK; MMGR_ERR_ARGUMENT; MMGR_ERR_UNSUPPORTED_SOURCE (malformed URL, unknown scheme);
 *   MMGR_ERR_PATH_NOT_FOUND (local source); MMGR_ERR_UNSAFE_PATH (filename); MMGR_ERR_OFFLINE;
 *   MMGR_ERR_ABI_SIZE; MMGR_ERR_ABI_NEWER; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe, also from a handler.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_queue_submit(mmgr_queue *queue, const struct mmgr_download_options *options,
                                            mmgr_download **job);

/**
 * Start an idle job or resume a paused one where it left off.
 * @param queue  Queue.
 * @param id     Job id.
 * @return MMGR_OK (also when it is running already); MMGR_ERR_UNKNOWN_JOB; MMGR_ERR_STATE (terminal).
 *
 * Thread-safety: safe, also from a handler.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_queue_start(mmgr_queue *queue, uint64_t id);

/**
 * Pause a job; its bytes are kept.
 * @param queue  Queue.
 * @param id     Job id.
 * @return MMGR_OK (also when it is paused already); MMGR_ERR_UNKNOWN_JOB; MMGR_ERR_STATE (terminal).
 *
 * Thread-safety: safe, also from a handler.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_queue_pause(mmgr_queue *queue, uint64_t id);

/**
 * Cancel a job; its partial files go away unless they are to be preserved.
 * @param queue  Queue.
 * @param id     Job id.
 * @return MMGR_OK; MMGR_ERR_UNKNOWN_JOB; MMGR_ERR_STATE (already terminal).
 *
 * Thread-safety: safe, also from a handler.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_queue_cancel(mmgr_queue *queue, uint64_t id);

/**
 * Change a job's priority, also while it waits or runs.
 * @param queue     Queue.
 * @param id        Job id.
 * @param priority  Lower first; 0 = the default 10.
 * @return MMGR_OK; MMGR_ERR_UNKNOWN_JOB; MMGR_ERR_STATE (terminal).
 *
 * Thread-safety: safe, also from a handler.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_queue_set_priority(mmgr_queue *queue, uint64_t id, int32_t priority);

/**
 * Start every idle job and resume every paused one.
 * @param queue  Queue.
 * @return MMGR_OK; MMGR_ERR_ARGUMENT.
 *
 * Thread-safety: safe, also from a handler.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_queue_start_all(mmgr_queue *queue);

/**
 * Pause every job that is not terminal.
 * @param queue  Queue.
 * @return MMGR_OK; MMGR_ERR_ARGUMENT.
 *
 * Thread-safety: safe, also from a handler.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_queue_pause_all(mmgr_queue *queue);

/**
 * Cancel every job that is not terminal.
 * @param queue  Queue.
 * @return MMGR_OK; MMGR_ERR_ARGUMENT.
 *
 * Thread-safety: safe, also from a handler.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_queue_cancel_all(mmgr_queue *queue);

/**
 * Wait until a job is terminal.
 * @param queue       Queue.
 * @param id          Job id.
 * @param timeout_ns  Nanoseconds; 0 polls, negative waits for ever.
 * @return MMGR_OK when terminal, whatever the outcome; MMGR_ERR_TIMEOUT; MMGR_ERR_UNKNOWN_JOB;
 *   MMGR_ERR_BUSY from inside a handler. Handlers may still be on their way to the terminal event.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_queue_wait(mmgr_queue *queue, uint64_t id, int64_t timeout_ns);

/**
 * Wait until every enqueued or running job is terminal or paused.
 * @param queue       Queue.
 * @param timeout_ns  Nanoseconds; 0 polls, negative waits for ever.
 * @return MMGR_OK; MMGR_ERR_TIMEOUT; MMGR_ERR_BUSY from inside a handler.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_queue_join(mmgr_queue *queue, int64_t timeout_ns);

/**
 * A job by its id.
 * @param queue     Queue.
 * @param id        Job id.
 * @param[out] job  Given; release with mmgr_download_unref().
 * @return MMGR_OK; MMGR_ERR_UNKNOWN_JOB; MMGR_ERR_ARGUMENT.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_queue_get(mmgr_queue *queue, uint64_t id, mmgr_download **job);

/**
 * All jobs, in the order of submission, terminal ones included until pruned.
 * @param queue      Queue.
 * @param[out] list  Given; free with mmgr_download_list_free().
 * @return MMGR_OK; MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_queue_list(mmgr_queue *queue, mmgr_download_list **list);

/**
 * Forget every terminal job.
 * @param queue  Queue.
 * @return MMGR_OK; MMGR_ERR_ARGUMENT.
 *
 * Thread-safety: safe, also from a handler.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_queue_prune(mmgr_queue *queue);

/**
 * Number of jobs in a list.
 * @param list  List.
 * @return Number; 0 for NULL.
 *
 * Thread-safety: one thread at a time.
 * Since: 0.1
 */
MMGR_API uint32_t mmgr_download_list_count(const mmgr_download_list *list);

/**
 * Job of a list.
 * @param list   List.
 * @param index  0 … count - 1.
 * @return Lent job, or NULL.
 *
 * Thread-safety: one thread at a time.
 * Since: 0.1
 */
MMGR_API mmgr_download *mmgr_download_list_at(const mmgr_download_list *list, uint32_t index);

/**
 * Free a list and its references.
 * @param list  List, or NULL for no effect.
 *
 * Thread-safety: one thread at a time.
 * Since: 0.1
 */
MMGR_API void mmgr_download_list_free(mmgr_download_list *list);

/**
 * Keep a job.
 * @param job  Job.
 * @return The job, with one more reference.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API mmgr_download *mmgr_download_ref(mmgr_download *job);

/**
 * Release a job; it runs on.
 * @param job  Job, or NULL for no effect.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API void mmgr_download_unref(mmgr_download *job);

/**
 * Add a handler to a job, after those that it has.
 * @param job        Job.
 * @param fn         Handler.
 * @param user       Passed to fn.
 * @param user_free  Frees user, or NULL.
 * @return MMGR_OK; MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe, also from a handler.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_download_add_handler(mmgr_download *job, mmgr_event_fn fn, void *user,
                                                    mmgr_user_free_fn user_free);

/**
 * Remove all handlers of a job.
 * @param job  Job.
 *
 * Thread-safety: safe, also from a handler.
 * Since: 0.1
 */
MMGR_API void mmgr_download_clear_handlers(mmgr_download *job);

/**
 * Id of a job: 1, 2, …
 * @param job  Job.
 * @return Id.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint64_t mmgr_download_id(const mmgr_download *job);

/**
 * State of a job now.
 * @param job  Job.
 * @return State.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_download_status mmgr_download_status(const mmgr_download *job);

/**
 * Name of a state, such as "running".
 * @param status  State.
 * @return Static text, or NULL.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_download_status_name(enum mmgr_download_status status);

/** Numbers of a job. */
enum mmgr_download_number {
    MMGR_DOWNLOAD_NUMBER_BYTES = 1,        /**< bytes there so far */
    MMGR_DOWNLOAD_NUMBER_TOTAL = 2,        /**< bytes in all, 0 while unknown */
    MMGR_DOWNLOAD_NUMBER_RESUMED_FROM = 3, /**< bytes that were already there when the transfer began */
    MMGR_DOWNLOAD_NUMBER_PRIORITY = 4,
    MMGR_DOWNLOAD_NUMBER_SEQUENCE = 5,     /**< order in which jobs left the queue; 0 = not yet */
    MMGR_DOWNLOAD_NUMBER_STARTED = 6,      /**< time, ns since 1970; 0 = not yet */
    MMGR_DOWNLOAD_NUMBER_ENDED = 7,        /**< likewise */
    MMGR_DOWNLOAD_NUMBER_PARTS = 8,        /**< number of parts; 1 for a single file */
    MMGR_DOWNLOAD_NUMBER_FORCE_32_ = MMGR_ENUM_32_BITS
};

/**
 * A number of a job.
 * @param job    Job.
 * @param which  Which number.
 * @return The number.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API int64_t mmgr_download_number(const mmgr_download *job, enum mmgr_download_number which);

/** Texts of a job. */
enum mmgr_download_text {
    MMGR_DOWNLOAD_TEXT_SOURCE = 1,
    MMGR_DOWNLOAD_TEXT_DESTINATION = 2,
    MMGR_DOWNLOAD_TEXT_PATH = 3,         /**< final path; NULL while the name is not known */
    MMGR_DOWNLOAD_TEXT_SHA256 = 4,       /**< hash of the finished file; NULL before, and with parts */
    MMGR_DOWNLOAD_TEXT_CONTENT_TYPE = 5,
    MMGR_DOWNLOAD_TEXT_FORCE_32_ = MMGR_ENUM_32_BITS
};

/**
 * A text of a job.
 * @param job        Job.
 * @param which      Which text.
 * @param[out] text  Given: text, or NULL when there is none.
 * @return MMGR_OK; MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_download_text(const mmgr_download *job, enum mmgr_download_text which,
                                             char **text);

/**
 * Error of a job.
 * @param job  Job.
 * @return Lent error, or NULL unless the job is in state "error".
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const mmgr_error *mmgr_download_error(const mmgr_download *job);

/**
 * SHA-256 of a finished part.
 * @param job    Job.
 * @param index  0 … parts - 1.
 * @return Lent lower-case hex; NULL before the job has completed.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_download_part_sha256(const mmgr_download *job, uint32_t index);

MMGR_END_DECLS
#endif
