/* SPDX-License-Identifier: MIT */
/** @file
 * The installer: from a source string to a model that is on disk, verified, identified and recorded.
 */
#ifndef MODELMGR_INSTALL_H
#define MODELMGR_INSTALL_H

#include "event.h"
#include "metadata.h"
#include "probe.h"
#include "queue.h"
#include "store.h"

MMGR_BEGIN_DECLS

/** State of an install job. */
enum mmgr_install_status {
    MMGR_INSTALL_WAITING = 0,     /**< "waiting" */
    MMGR_INSTALL_DOWNLOADING = 1, /**< "downloading" */
    MMGR_INSTALL_RUNNING = 2,     /**< "running": identifying, placing, recording */
    MMGR_INSTALL_COMPLETED = 3,   /**< "completed", terminal */
    MMGR_INSTALL_ERROR = 4,       /**< "error", terminal */
    MMGR_INSTALL_CANCELLED = 5,   /**< "cancelled", terminal */
    MMGR_INSTALL_PAUSED = 6,      /**< "paused" */
    MMGR_INSTALL_STATUS_FORCE_32_ = MMGR_ENUM_32_BITS
};

/** Flags of mmgr_installer_options. */
#define MMGR_INSTALLER_READ_ONLY 1u /**< create and recover nothing: only plans are made */

/** Options of mmgr_installer_open(). All services are required and must outlive the installer. */
struct mmgr_installer_options {
    uint32_t struct_size; /**< sizeof(struct mmgr_installer_options) */
    uint32_t flags;       /**< MMGR_INSTALLER_* */
    mmgr_config *config;
    mmgr_store *store;
    mmgr_queue *queue;
    mmgr_hub *hub;
    mmgr_prober *prober;
    mmgr_bus *bus;
};

/**
 * Open an installer. Recovers what a crash left: local steps are finished or undone, unfinished downloads
 * become paused jobs; uses no network.
 * @param options         Options.
 * @param[out] installer  Given; close with mmgr_installer_close().
 * @return MMGR_OK; MMGR_ERR_ARGUMENT; MMGR_ERR_IO; MMGR_ERR_PERMISSION; MMGR_ERR_NO_SPACE; MMGR_ERR_ABI_SIZE;
 *   MMGR_ERR_ABI_NEWER; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_installer_open(const struct mmgr_installer_options *options,
                                              mmgr_installer **installer);

/**
 * Close an installer: running downloads are paused and stay resumable, the step in hand is finished.
 * @param installer  Installer, or NULL for no effect.
 * @return MMGR_OK, or MMGR_ERR_BUSY from inside a handler.
 *
 * Thread-safety: must not race with other calls on this installer.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_installer_close(mmgr_installer *installer);

/** Flags of mmgr_install_options. */
#define MMGR_INSTALL_INPLACE 1u       /**< local source: record it where it is */
#define MMGR_INSTALL_MOVE 2u          /**< local source: move instead of copy */
#define MMGR_INSTALL_ALLOW_UNKNOWN 4u /**< record a sound file that no rule knows as type "unknown" */

/** Options of mmgr_installer_submit() and mmgr_installer_plan(). */
struct mmgr_install_options {
    uint32_t struct_size;  /**< sizeof(struct mmgr_install_options) */
    uint32_t flags;        /**< MMGR_INSTALL_* */
    const char *source;    /**< source string (source.h); required */
    const char *variant;   /**< repo variant; NULL: the source's, else by the config's precision */
    const char *revision;  /**< branch, tag or commit; NULL: the source's, else the default branch */
    const char *token;     /**< access token, used for the source's origin only, never stored */
    const char *overrides; /**< JSON object of record fields that win over identification, or NULL */
    const char *name;      /**< name of the model; NULL: from the overrides, else from the source */
    int32_t priority;      /**< of the download; 0 = the default 10 */
    uint32_t reserved;     /**< must be 0 */
};

/**
 * What an install would do. Writes nothing.
 * @param installer  Installer.
 * @param options    Options; source is required.
 * @param[out] plan  Given; free with mmgr_plan_free().
 * @return What mmgr_source_parse(), mmgr_hub_fetch() and mmgr_metadata_select() return, and
 *   MMGR_ERR_DUPLICATE_MODEL (subject is the key that is there); MMGR_ERR_INVALID_CONFIG (overrides).
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_installer_plan(mmgr_installer *installer,
                                              const struct mmgr_install_options *options, mmgr_plan **plan);

/**
 * Free a plan.
 * @param plan  Plan, or NULL for no effect.
 *
 * Thread-safety: one thread at a time.
 * Since: 0.1
 */
MMGR_API void mmgr_plan_free(mmgr_plan *plan);

/**
 * A plan as JSON: `{"repo", "revision", "variant", "files": [{"path", "size", "sha256", "action"}],
 * "total_bytes", "destination"}`; action is "download", "copy", "move", "link" or "keep".
 * @param plan       Plan.
 * @param[out] json  Given text.
 * @return MMGR_OK; MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: one thread at a time.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_plan_to_json(const mmgr_plan *plan, char **json);

/**
 * Bytes that a plan would bring.
 * @param plan  Plan.
 * @return Bytes.
 *
 * Thread-safety: one thread at a time.
 * Since: 0.1
 */
MMGR_API uint64_t mmgr_plan_total_bytes(const mmgr_plan *plan);

/**
 * Submit an install. A live job for the same source, revision and variant is returned instead of a second.
 * @param installer  Installer.
 * @param options    Options; source is required.
 * @param[out] job   Given; release with mmgr_install_unref(); may be NULL.
 * @return MMGR_OK; MMGR_ERR_UNSUPPORTED_SOURCE; MMGR_ERR_PATH_NOT_FOUND; MMGR_ERR_INVALID_CONFIG
 *   (overrides); MMGR_ERR_OFFLINE; MMGR_ERR_STATE (read-only, or closing); MMGR_ERR_ARGUMENT;
 *   MMGR_ERR_ABI_SIZE; MMGR_ERR_ABI_NEWER; MMGR_ERR_NO_MEMORY. Everything else is the job's error.
 *
 * Thread-safety: safe, also from a handler.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_installer_submit(mmgr_installer *installer,
                                                const struct mmgr_install_options *options,
                                                mmgr_install **job);

/**
 * Wait until a job is terminal.
 * @param installer   Installer.
 * @param id          Job id.
 * @param timeout_ns  Nanoseconds; 0 polls, negative waits for ever.
 * @return MMGR_OK when terminal, whatever the outcome; MMGR_ERR_TIMEOUT; MMGR_ERR_UNKNOWN_JOB;
 *   MMGR_ERR_BUSY from inside a handler.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_installer_wait(mmgr_installer *installer, uint64_t id, int64_t timeout_ns);

/**
 * Wait until every job is terminal or paused.
 * @param installer   Installer.
 * @param timeout_ns  Nanoseconds; 0 polls, negative waits for ever.
 * @return MMGR_OK; MMGR_ERR_TIMEOUT; MMGR_ERR_BUSY from inside a handler.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_installer_wait_all(mmgr_installer *installer, int64_t timeout_ns);

/**
 * Resume a paused job.
 * @param installer  Installer.
 * @param id         Job id.
 * @return MMGR_OK (also when it runs already); MMGR_ERR_UNKNOWN_JOB; MMGR_ERR_STATE (terminal).
 *
 * Thread-safety: safe, also from a handler.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_installer_resume(mmgr_installer *installer, uint64_t id);

/**
 * Pause a job that downloads; its bytes are kept.
 * @param installer  Installer.
 * @param id         Job id.
 * @return MMGR_OK; MMGR_ERR_UNKNOWN_JOB; MMGR_ERR_STATE (not downloading).
 *
 * Thread-safety: safe, also from a handler.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_installer_pause(mmgr_installer *installer, uint64_t id);

/**
 * Cancel a job; its staged bytes are dropped.
 * @param installer  Installer.
 * @param id         Job id.
 * @return MMGR_OK; MMGR_ERR_UNKNOWN_JOB; MMGR_ERR_STATE (terminal, or already being placed).
 *
 * Thread-safety: safe, also from a handler.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_installer_cancel(mmgr_installer *installer, uint64_t id);

/**
 * A job by its id.
 * @param installer  Installer.
 * @param id         Job id.
 * @param[out] job   Given; release with mmgr_install_unref().
 * @return MMGR_OK; MMGR_ERR_UNKNOWN_JOB; MMGR_ERR_ARGUMENT.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_installer_get(mmgr_installer *installer, uint64_t id, mmgr_install **job);

/**
 * Jobs, in the order of submission.
 * @param installer  Installer.
 * @param source     Only the jobs of this source string; NULL: all.
 * @param[out] list  Given; free with mmgr_install_list_free().
 * @return MMGR_OK; MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_installer_list(mmgr_installer *installer, const char *source,
                                              mmgr_install_list **list);

/**
 * Forget every terminal job.
 * @param installer  Installer.
 * @return MMGR_OK; MMGR_ERR_ARGUMENT.
 *
 * Thread-safety: safe, also from a handler.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_installer_prune(mmgr_installer *installer);

/**
 * Number of jobs in a list.
 * @param list  List.
 * @return Number; 0 for NULL.
 *
 * Thread-safety: one thread at a time.
 * Since: 0.1
 */
MMGR_API uint32_t mmgr_install_list_count(const mmgr_install_list *list);

/**
 * Job of a list.
 * @param list   List.
 * @param index  0 … count - 1.
 * @return Lent job, or NULL.
 *
 * Thread-safety: one thread at a time.
 * Since: 0.1
 */
MMGR_API mmgr_install *mmgr_install_list_at(const mmgr_install_list *list, uint32_t index);

/**
 * Free a list and its references.
 * @param list  List, or NULL for no effect.
 *
 * Thread-safety: one thread at a time.
 * Since: 0.1
 */
MMGR_API void mmgr_install_list_free(mmgr_install_list *list);

/**
 * Keep a job. It may outlive its installer: its getters go on answering.
 * @param job  Job.
 * @return The job, with one more reference.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API mmgr_install *mmgr_install_ref(mmgr_install *job);

/**
 * Release a job; it runs on.
 * @param job  Job, or NULL for no effect.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API void mmgr_install_unref(mmgr_install *job);

/**
 * Id of a job: 1, 2, …
 * @param job  Job.
 * @return Id.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint64_t mmgr_install_id(const mmgr_install *job);

/**
 * State of a job now.
 * @param job  Job.
 * @return State.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_install_status mmgr_install_status(const mmgr_install *job);

/**
 * Name of a state, such as "running".
 * @param status  State.
 * @return Static text, or NULL.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_install_status_name(enum mmgr_install_status status);

/**
 * Whether a job has ended.
 * @param job  Job.
 * @return 1 when it is completed, in error or cancelled; else 0.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API int mmgr_install_is_terminal(const mmgr_install *job);

/**
 * Whether a job records its source where it is.
 * @param job  Job.
 * @return 1 or 0.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API int mmgr_install_is_inplace(const mmgr_install *job);

/**
 * Bytes done and in all.
 * @param job         Job.
 * @param[out] bytes  Bytes done; may be NULL.
 * @param[out] total  Bytes in all, 0 while unknown; may be NULL.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API void mmgr_install_progress(const mmgr_install *job, uint64_t *bytes, uint64_t *total);

/** Texts of a job. */
enum mmgr_install_text {
    MMGR_INSTALL_TEXT_SOURCE = 1,     /**< canonical source string */
    MMGR_INSTALL_TEXT_LOCAL_PATH = 2, /**< where the files are now */
    MMGR_INSTALL_TEXT_CONFIG_IN = 3,  /**< overrides as given, JSON */
    MMGR_INSTALL_TEXT_KEY = 4,        /**< key of the record, chosen when the job is planned */
    MMGR_INSTALL_TEXT_FORCE_32_ = MMGR_ENUM_32_BITS
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
MMGR_API enum mmgr_result mmgr_install_text(const mmgr_install *job, enum mmgr_install_text which,
                                            char **text);

/**
 * Record that a completed job made (the seed's config_out).
 * @param job          Job.
 * @param[out] record  Given; release with mmgr_record_unref().
 * @return MMGR_OK; MMGR_ERR_STATE when the job has not completed; MMGR_ERR_ARGUMENT.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_install_record(const mmgr_install *job, mmgr_record **record);

/**
 * Error of a job.
 * @param job  Job.
 * @return Lent error, or NULL unless the job is in state "error" or was paused by a failure.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const mmgr_error *mmgr_install_error(const mmgr_install *job);

/**
 * Record a model where it is (no copy, no job).
 * @param installer    Installer.
 * @param path         File or folder.
 * @param overrides    JSON object of fields that win over identification, or NULL.
 * @param[out] record  Given; may be NULL.
 * @return MMGR_OK; MMGR_ERR_DUPLICATE_MODEL; MMGR_ERR_UNIDENTIFIED; MMGR_ERR_INVALID_FILE;
 *   MMGR_ERR_UNSAFE_FILE; MMGR_ERR_PATH_NOT_FOUND; MMGR_ERR_INVALID_CONFIG; MMGR_ERR_BUSY; MMGR_ERR_IO;
 *   MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_installer_register_path(mmgr_installer *installer, const char *path,
                                                       const char *overrides, mmgr_record **record);

/**
 * Copy a model into models_dir and record it. Blocks.
 * @param installer    Installer.
 * @param path         File or folder.
 * @param overrides    JSON object of fields that win over identification, or NULL.
 * @param[out] record  Given; may be NULL.
 * @return As mmgr_installer_register_path(), and MMGR_ERR_NO_SPACE, MMGR_ERR_CANCELLED.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_installer_install_path(mmgr_installer *installer, const char *path,
                                                      const char *overrides, mmgr_record **record);

/** What mmgr_installer_remove() does with the files. */
enum mmgr_remove_mode {
    MMGR_REMOVE_INSIDE = 0, /**< delete them if they are inside models_dir */
    MMGR_REMOVE_KEEP = 1,   /**< keep them: unregister only */
    MMGR_REMOVE_FORCE = 2,  /**< delete them wherever they are */
    MMGR_REMOVE_MODE_FORCE_32_ = MMGR_ENUM_32_BITS
};

/**
 * Remove a model's record and, by mode, its files. Only files of the manifest that are still the ones that
 * were recorded are deleted, then folders that are empty; never a tree. Called again after an error
 * on the way, it goes on where it stopped.
 * @param installer     Installer.
 * @param key           Key.
 * @param mode          What to do with the files.
 * @param[out] deleted  Given: JSON array of the absolute paths that were deleted; may be NULL.
 * @return MMGR_OK; MMGR_ERR_UNKNOWN_MODEL; MMGR_ERR_INVALID_CONFIG (a broken row of the store, which
 *   only MMGR_REMOVE_KEEP removes); MMGR_ERR_UNSAFE_PATH (the recorded path leads through a link);
 *   MMGR_ERR_STATE (read-only); MMGR_ERR_BUSY; MMGR_ERR_PERMISSION; MMGR_ERR_IO; MMGR_ERR_ARGUMENT;
 *   MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_installer_remove(mmgr_installer *installer, const char *key,
                                                enum mmgr_remove_mode mode, char **deleted);

/**
 * Compare records and disk. Changes neither.
 * @param installer  Installer.
 * @param[out] json  Given: `{"added": [], "missing": [{"key", "path"}], "orphans": [path]}`. Missing are the
 *   models of which any file of the manifest is gone; orphans are weight files of no record (absolute).
 * @return MMGR_OK; MMGR_ERR_BUSY; MMGR_ERR_IO; MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_installer_sync(mmgr_installer *installer, char **json);

/**
 * Make records anew from the side-cars of placed models, for a store that was lost, and compare as
 * mmgr_installer_sync() does afterwards. A record is added for each side-car in models_dir whose
 * files are all there with their sizes and which no record has yet; its content is not hashed. Keys
 * stay: a key or a place that another record has is skipped.
 * @param installer    Installer.
 * @param[out] report  Given: `{"added": [key], "skipped": [{"path", "reason"}], "missing": [],
 *   "orphans": []}`; path is the folder below models_dir, reason "invalid", "unsafe", "newer" (of a
 *   newer release), "missing" or "changed" (a file), "duplicate" or "unreadable".
 * @return MMGR_OK; MMGR_ERR_STATE (read-only); MMGR_ERR_INVALID_FILE (models_dir holds too many
 *   files); MMGR_ERR_BUSY; MMGR_ERR_PERMISSION; MMGR_ERR_NO_SPACE; MMGR_ERR_IO; MMGR_ERR_ARGUMENT;
 *   MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_installer_rebuild(mmgr_installer *installer, char **report);

/**
 * Tell the record of a model where its files are now. Moves nothing. Every file of the manifest
 * must be there with its size, and where the record has a sampled hash, the content must have it
 * too.
 * @param installer    Installer.
 * @param key          Key.
 * @param new_path     File or folder; a relative path counts from the working folder.
 * @param flags        0.
 * @param[out] record  Given: the record as it is now; may be NULL.
 * @return MMGR_OK; MMGR_ERR_UNKNOWN_MODEL; MMGR_ERR_PATH_NOT_FOUND (subject is the file that is
 *   missing); MMGR_ERR_HASH_MISMATCH (subject is the file with another size or content);
 *   MMGR_ERR_DUPLICATE_MODEL (the path is that of another record); MMGR_ERR_UNSAFE_PATH (a link
 *   below the model); MMGR_ERR_INVALID_FILE (a folder without weight files);
 *   MMGR_ERR_INVALID_CONFIG (the path cannot be recorded); MMGR_ERR_STATE (read-only);
 *   MMGR_ERR_BUSY; MMGR_ERR_PERMISSION; MMGR_ERR_NO_SPACE; MMGR_ERR_IO; MMGR_ERR_ARGUMENT;
 *   MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_installer_relocate(mmgr_installer *installer, const char *key,
                                                  const char *new_path, uint32_t flags,
                                                  mmgr_record **record);

/** Flags of mmgr_relink_options. */
#define MMGR_RELINK_DRY_RUN 1u /**< report, but change no record */

/** Options of mmgr_installer_relink(). */
struct mmgr_relink_options {
    uint32_t struct_size;       /**< sizeof(struct mmgr_relink_options) */
    uint32_t flags;             /**< MMGR_RELINK_* */
    const char *const *folders; /**< where to look */
    uint32_t folder_count;      /**< 0: models_dir */
    uint32_t reserved;          /**< must be 0 */
};

/**
 * Find the models whose files were moved, and tell their records where they are now. Sought are the
 * models of which any file is missing: by the sizes of their files and, for folders, the paths
 * below the model; what is found is proved by its whole content, each file being read at most once.
 * Only a SHA-256, a git blob hash or an XXH3 of every file, or of the record, proves; a sampled
 * hash does not. Files of other records are passed over, links are not followed. Of several copies,
 * the one whose path ends most like the old one is taken. Blocks.
 * @param installer    Installer.
 * @param options      Options; NULL for models_dir.
 * @param[out] report  Given: `{"relinked": [{"key", "from", "to"}], "unresolved": [{"key", "path",
 *   "reason"}], "dry_run": bool, "hashed_bytes": n}`; paths as they are recorded, reason
 *   "not_found", "no_proof" (the record has no full hash), "mismatch" (other content), "ambiguous"
 *   (several copies) or "changed" (meanwhile).
 * @return MMGR_OK; MMGR_ERR_PATH_NOT_FOUND (a folder); MMGR_ERR_INVALID_FILE (a folder holds too
 *   many files); MMGR_ERR_STATE (read-only); MMGR_ERR_BUSY; MMGR_ERR_PERMISSION; MMGR_ERR_NO_SPACE;
 *   MMGR_ERR_IO; MMGR_ERR_ARGUMENT; MMGR_ERR_ABI_SIZE; MMGR_ERR_ABI_NEWER; MMGR_ERR_NO_MEMORY.
 *   Models that were relinked before an error stay so.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_installer_relink(mmgr_installer *installer,
                                                const struct mmgr_relink_options *options,
                                                char **report);

MMGR_END_DECLS
#endif
