/* SPDX-License-Identifier: MIT */
/* Inside of the installer. docs/install.md tells the states and the order of durability.
 *
 * Lock order: installer->mutex is the only lock here and is never held across a call into
 * another service, the disk or the network. A job's status changes only by the one thread that
 * has it in hand: the planner, the dispatcher while its download lives, the placer; a cancel
 * takes a job that rests or waits from them under the mutex first, so that there is exactly one
 * terminal event. */
#ifndef INSTALL_INSTALL_H
#define INSTALL_INSTALL_H

#include <jansson.h>
#include <modelmgr/install.h>

#include "base/error.h"
#include "base/text.h"
#include "base/thread.h"

/* One file that an install brings. */
struct mmgr__plan_file {
    char *origin;   /* path inside the repository or the source folder */
    char *relative; /* path below the model's folder */
    char *from;     /* URL or absolute local path */
    char *sha256, *git_sha1;
    uint64_t size;    /* UINT64_MAX: unknown */
    int64_t mtime_ns; /* of a local file; 0 otherwise */
};

struct mmgr_plan {
    char *source, *name, *overrides, *repo, *revision, *variant, *subfolder;
    char *identity;   /* what makes two installs the same: source, commit, variant */
    char *staging_id; /* folder below .staging */
    char *key;
    char *local;                      /* absolute path of a local source */
    char *response, *page_url, *tags; /* of the hub; tags as a JSON array */
    char *destination; /* absolute folder, or models_dir while base and type are not known */
    const char *source_type;
    uint32_t flags; /* MMGR_INSTALL_* */
    int single;     /* the model is one file, not a folder */
    int has_links;  /* some files of a local folder are reached through links */
    int named;      /* the caller chose the name */
    int key_given;  /* the caller's overrides have the key */
    int url_name;   /* the file's name comes from the server */
    struct mmgr__plan_file *files;
    size_t count, capacity;
    uint64_t total;
};

enum mmgr_result mmgr__plan_make(mmgr_installer *installer,
                                 const struct mmgr_install_options *options,
                                 const mmgr_source *source, mmgr_plan **plan);
/* DUPLICATE_MODEL when the store has this source, commit and variant already. */
enum mmgr_result mmgr__plan_check_duplicate(mmgr_installer *installer, const mmgr_plan *plan);
enum mmgr_result mmgr__plan_add_file(mmgr_plan *plan, const char *origin, const char *relative,
                                     const char *from, uint64_t size, const char *sha256,
                                     const char *git_sha1);

/* Name of a model by the name of its file. Owned; NULL = no memory. */
char *mmgr__plan_stem(const char *name);

/* A staging folder: ROOT/models/.staging/ID with journal.json, lock and files/. */
struct mmgr__staging {
    char *folder, *files, *journal;
    int lock; /* descriptor, or -1 */
};
/* state of a journal, in the order in which they come */
#define MMGR__STATE_FETCHING "fetching" /* files/ is being filled */
#define MMGR__STATE_PLACING  "placing"  /* files/ goes to "path", then "record" is committed */
#define MMGR__STATE_REMOVING "removing" /* the record of "key" and its "files" go away */

/* Open (and make, with create) a staging folder and take its lock. BUSY when another process
 * holds it; PATH_NOT_FOUND when it is not there and create is 0. Does not make files/: where it
 * is missing, a journal in state "placing" means that the rename was done. */
enum mmgr_result mmgr__staging_open(mmgr_installer *installer, const char *id, int create,
                                    struct mmgr__staging *staging);
void mmgr__staging_close(struct mmgr__staging *staging);
/* Remove journal, files and folder, in this order: a crash on the way leaves a folder without a
 * journal, which recovery removes. `staging` is closed. */
enum mmgr_result mmgr__staging_drop(struct mmgr__staging *staging);
enum mmgr_result mmgr__install_journal_write(const struct mmgr__staging *staging,
                                             const json_t *journal);
/* *journal is NULL when there is none. INVALID_FILE when it is not one of ours. */
enum mmgr_result mmgr__install_journal_read(const struct mmgr__staging *staging, json_t **journal);
json_t *mmgr__journal_of_plan(const mmgr_plan *plan, const char *state);
enum mmgr_result mmgr__plan_of_journal(const json_t *journal, mmgr_plan **plan);
/* Remove what is below a folder that is ours, then the folder. Does not follow links. */
int mmgr__remove_tree(const char *path);
/* Remove the hidden entries in a folder of ours: what a download that met an error left of its
 * own. */
int mmgr__remove_hidden(const char *path);

struct mmgr_install {
    mmgr__refs refs;
    mmgr_installer *installer; /* valid while the installer is open */
    struct mmgr_install *next;
    uint64_t id;
    enum mmgr_install_status status;
    char *source;                                        /* canonical */
    char *variant, *revision, *token, *overrides, *name; /* as given */
    uint32_t flags;
    int32_t priority;
    mmgr_source *parsed;
    mmgr_plan *plan;              /* once made */
    struct mmgr__staging staging; /* open while the job downloads or is placed */
    mmgr_download *download;
    char *local_path;
    char **part_sha256; /* plan->count items once downloaded */
    uint64_t bytes, total;
    mmgr_record *record;
    struct mmgr_error error;
    int cancel;     /* asked for, and will be obeyed */
    int refuse;     /* a handler's decision: the cancel is to end in error */
    int fresh;      /* its staging folder was made for it: nothing of an earlier try is in there */
    int announcing; /* the event of the new status is on its way: no waiter wakes yet */
};

struct mmgr__work {
    struct mmgr__work *next;
    mmgr_install *job;
};
/* A thread that takes jobs one by one, in order. Started with the first. */
struct mmgr__worker {
    mmgr_installer *installer;
    struct mmgr__work *head, **tail;
    void (*run)(mmgr_install *job);
    pthread_t thread;
    pthread_cond_t wake;
    const char *name;
    int started;
};

struct mmgr_installer {
    mmgr__refs refs; /* the opener and every job: a job's getters work after the close */
    mmgr_config *config;
    mmgr_store *store;
    mmgr_queue *queue;
    mmgr_hub *hub;
    mmgr_prober *prober;
    mmgr_bus *bus;
    char *models_dir, *staging_dir;
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* a job's status changed */
    mmgr_install *jobs, **jobs_tail;
    uint64_t next_id;
    struct mmgr__worker planner, placer;
    int read_only, closing;
};

/* installer.c */
/* STATE when the installer is closing. */
enum mmgr_result mmgr__worker_push(mmgr_installer *installer, struct mmgr__worker *worker,
                                   mmgr_install *job);
/* With the mutex held: take a job back that the worker has not begun. 1 when it was there; its
 * reference is the caller's then. */
int mmgr__worker_take_back(struct mmgr__worker *worker, mmgr_install *job);
void mmgr__installer_unref(mmgr_installer *installer);
/* What a handler of an install event wants. */
void mmgr__install_decide(void *service, uint64_t id, enum mmgr_decision decision);
/* job.c */
enum mmgr_result mmgr__install_new(mmgr_installer *installer,
                                   const struct mmgr_install_options *options, mmgr_source *parsed,
                                   mmgr_install **job);
/* With the mutex held: give the job its id and put it into the installer's list, which takes a
 * reference. */
void mmgr__install_append(mmgr_installer *installer, mmgr_install *job);
/* Change the status, send the event that belongs to it, then wake waiters: a handler of the
 * event sees the new status, and whoever waited finds the event on the bus. */
void mmgr__install_status(mmgr_install *job, enum mmgr_install_status status,
                          enum mmgr_event_type event);
/* End cancelled (or, where a handler wanted that, in error), without staged bytes. */
void mmgr__install_end_cancelled(mmgr_install *job);
/* End in error with the thread's last error. */
void mmgr__install_fail(mmgr_install *job);
void mmgr__install_event(mmgr_install *job, enum mmgr_event_type type, const mmgr_event *progress);
void mmgr__install_set_plan(mmgr_install *job, mmgr_plan *plan);
/* fetch.c: from a planned job to its files in staging; runs on the planner thread. */
void mmgr__install_plan(mmgr_install *job);
/* Drop the staged bytes of a job whose staging folder may or may not be open. */
enum mmgr_result mmgr__install_drop_staging(mmgr_install *job);
void mmgr__install_detach_download(mmgr_install *job);
/* place.c: from files in staging to a record; runs on the one install thread. */
void mmgr__install_place(mmgr_install *job);
/* The record is committed: numbers, path, status and event. */
void mmgr__install_completed(mmgr_install *job);
enum mmgr_result mmgr__identify(mmgr_installer *installer, const mmgr_plan *plan, const char *path,
                                char *const *part_sha256, uint32_t file_flags,
                                mmgr_record **record);
/* Choose a free folder, write the journal, rename, record, drop the staging. */
enum mmgr_result mmgr__place(mmgr_installer *installer, struct mmgr__staging *staging,
                             const mmgr_plan *plan, const mmgr_record *identified,
                             char *const *part_sha256, mmgr_record **placed);
/* From a "placing" journal on: the rest, and the part after the rename. Where files of the
 * placed model are missing or cut, what there is goes back to files/ and the journal to
 * "fetching": *placed is untouched and *back is 1. */
enum mmgr_result mmgr__resume_placing(mmgr_installer *installer, struct mmgr__staging *staging,
                                      json_t *journal, mmgr_record **placed, int *back);
enum mmgr_result mmgr__finish_placing(mmgr_installer *installer, struct mmgr__staging *staging,
                                      const json_t *journal, mmgr_record **placed);
/* One manifest row a file below `path`; hashes by name from the plan and what the download
 * found. */
enum mmgr_result mmgr__set_manifest(mmgr_record_builder *builder, const mmgr_plan *plan,
                                    const char *path, char *const *part_sha256, uint32_t flags,
                                    uint64_t *total);
/* control.c */
int mmgr__install_ended(enum mmgr_install_status status);
enum mmgr_result mmgr__install_resume(mmgr_installer *installer, mmgr_install *job);
/* recover.c */
enum mmgr_result mmgr__recover(mmgr_installer *installer);
/* remove.c */
enum mmgr_result mmgr__finish_removing(mmgr_installer *installer, struct mmgr__staging *staging,
                                       const json_t *journal, char **deleted);
/* sync.c */
/* Is the model there, with every file of its manifest? Their content is not this call's concern. */
int mmgr__model_is_there(const mmgr_record *record);
/* Is the path one of the locations (sorted), or inside one? `except` (or NULL) does not count. */
int mmgr__belongs(const struct mmgr__strings *locations, const char *path, const char *except);
/* Give a finished report to the caller when all went well, else drop it. */
enum mmgr_result mmgr__give_report(struct mmgr__buf *buf, enum mmgr_result result, char **report);
/* Append `"missing":[…],"orphans":[…]`. */
enum mmgr_result mmgr__compare(mmgr_installer *installer, struct mmgr__buf *json);
/* relocate.c */
/* The manifest of a record, with the sizes checked and times, device and inode as they are now at
 * a place, into a builder. `model` is the opened folder or file there; below it no link is
 * followed. PATH_NOT_FOUND, HASH_MISMATCH (another size) and UNSAFE_PATH name the file. */
enum mmgr_result mmgr__take_files(const mmgr_record *record, int model, const char *location,
                                  uint32_t flags, mmgr_record_builder *builder);
/* Let the record be that of the same model at another place, an absolute path. */
enum mmgr_result mmgr__relocate(mmgr_installer *installer, const mmgr_record *record,
                                const char *location);
/* files.c */
/* All regular files below a folder (or the file itself), sorted; hidden entries are left out. */
struct mmgr__walk_item {
    char *relative;
    uint64_t size;
    int64_t mtime_ns;
    int is_link;
};
struct mmgr__walk {
    struct mmgr__walk_item *items;
    size_t count, capacity;
    uint32_t flags;
};
#define MMGR__WALK_SIDECARS 1u /* side-cars instead of what is not hidden */
#define MMGR__WALK_LENIENT  2u /* pass over folders below that cannot be listed or are too deep */
enum mmgr_result mmgr__walk(const char *path, struct mmgr__walk *walk);
enum mmgr_result mmgr__walk_for(const char *path, uint32_t flags, struct mmgr__walk *walk);
void mmgr__walk_free(struct mmgr__walk *walk);
int mmgr__has_weight_suffix(const char *name);

#endif
