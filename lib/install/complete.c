/* SPDX-License-Identifier: MIT */
/* The last part of a job, on the one install thread: identify what came, place and record it. */
#include <fcntl.h>
#include <string.h>

#include <modelmgr/hash.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/path.h"
#include "install/install.h"
#include "store/store.h"

/* A move is a copy whose originals go away once the record is committed: a crash costs nothing. */
static void remove_originals(const mmgr_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        struct stat st;
        if (mmgr__io_stat(AT_FDCWD, plan->files[i].from, &st, 0) == 0 && S_ISREG(st.st_mode) &&
            (uint64_t)st.st_size == plan->files[i].size &&
            (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec == plan->files[i].mtime_ns)
            mmgr__io_unlink(AT_FDCWD, plan->files[i].from);
    }
    if (plan->single)
        return;
    for (size_t i = plan->count; i-- > 0;) {
        char *folder = mmgr__path_dirname(plan->files[i].from);
        while (folder &&
               (strcmp(folder, plan->local) == 0 || mmgr__path_inside(folder, plan->local)) &&
               mmgr__io_rmdir(AT_FDCWD, folder) == 0) {
            char *parent = mmgr__path_dirname(folder);
            mmgr__free(folder);
            folder = parent;
        }
        mmgr__free(folder);
    }
}

static enum mmgr_result record_in_place(mmgr_install *job)
{
    mmgr_installer *installer = job->installer;
    int inside = mmgr__path_inside(job->plan->local, installer->models_dir) != NULL;
    mmgr_record *record;
    enum mmgr_result result = mmgr__identify(installer, job->plan, job->plan->local, NULL,
                                             inside ? MMGR_FILE_OWNED : MMGR_FILE_LINKED, &record);
    if (result != MMGR_OK)
        return result;
    result = mmgr__store_add_full(installer->store, record, 0, &job->record);
    mmgr_record_unref(record);
    return result;
}

/* The one file of a model whose name the server may have chosen. */
static enum mmgr_result adopt_file_name(mmgr_install *job, char **path)
{
    mmgr_plan *plan = job->plan;
    struct mmgr__walk walk;
    enum mmgr_result result = mmgr__walk(job->staging.files, &walk);
    if (result != MMGR_OK)
        return result;
    if (walk.count != 1) {
        result = mmgr__fail(MMGR_ERR_INVALID_FILE, "%s: %zu files came where one was expected",
                            job->source, walk.count);
        mmgr__walk_free(&walk);
        return result;
    }
    char *relative = mmgr__strdup(walk.items[0].relative);
    char *name = plan->url_name && !plan->named ? mmgr__plan_stem(walk.items[0].relative) : NULL;
    *path = mmgr__path_join(job->staging.files, walk.items[0].relative);
    mmgr__walk_free(&walk);
    if (!relative || !*path || (plan->url_name && !plan->named && !name)) {
        mmgr__free(relative);
        mmgr__free(name);
        return mmgr__oom();
    }
    mmgr__free(plan->files[0].relative);
    plan->files[0].relative = relative;
    if (name) {
        mmgr__free(plan->name);
        plan->name = name;
    }
    return MMGR_OK;
}

/* A file that was there already, from an earlier try, was not hashed on its way. */
static enum mmgr_result hash_unhashed(mmgr_install *job, const char *path)
{
    mmgr_plan *plan = job->plan;
    if (!plan->url_name || plan->files[0].sha256 || (job->part_sha256 && job->part_sha256[0]))
        return MMGR_OK;
    char *hash;
    enum mmgr_result result = mmgr_hash_path(path, "sha256", &hash);
    if (result != MMGR_OK)
        return result;
    plan->files[0].sha256 = mmgr__strdup(strchr(hash, ':') + 1);
    mmgr_string_free(hash);
    return plan->files[0].sha256 ? MMGR_OK : mmgr__oom();
}

static enum mmgr_result identify_staged(mmgr_install *job, mmgr_record **record)
{
    char *path = NULL;
    int error = mmgr__remove_hidden(job->staging.files);
    enum mmgr_result result =
        error < 0 ? mmgr__fail_errno(-error, "tidy up", job->staging.files) : MMGR_OK;
    if (result == MMGR_OK && job->plan->single)
        result = adopt_file_name(job, &path);
    else if (result == MMGR_OK && !(path = mmgr__strdup(job->staging.files)))
        result = mmgr__oom();
    if (result == MMGR_OK)
        result = hash_unhashed(job, path);
    if (result == MMGR_OK)
        result = mmgr__identify(job->installer, job->plan, path, job->part_sha256, MMGR_FILE_OWNED,
                                record);
    mmgr__free(path);
    if (result != MMGR_OK) {
        /* The path in staging says nothing to the one who named the source. */
        mmgr__error_prefix("%s", job->plan->source);
        mmgr__error_set_subject(job->plan->source);
    }
    return result;
}

/* The staging folder after a failure. Bytes of which no try will make a model go, others stay;
 * once the model is in its place, the journal stays in any case. */
static void leave_failed(mmgr_install *job, enum mmgr_result result)
{
    struct mmgr_error error;
    struct stat st;
    mmgr__error_save(&error);
    int useless = result == MMGR_ERR_INVALID_FILE || result == MMGR_ERR_UNSAFE_FILE ||
                  result == MMGR_ERR_DUPLICATE_MODEL;
    if (useless && job->staging.folder && mmgr__io_stat(AT_FDCWD, job->staging.files, &st, 0) == 0)
        mmgr__install_drop_staging(job);
    mmgr__staging_close(&job->staging);
    mmgr__error_restore(&error);
}

static enum mmgr_result record_staged(mmgr_install *job)
{
    mmgr_record *record = NULL;
    enum mmgr_result result = identify_staged(job, &record);
    if (result == MMGR_OK)
        result = mmgr__place(job->installer, &job->staging, job->plan, record, job->part_sha256,
                             &job->record);
    if (result == MMGR_OK && (job->flags & MMGR_INSTALL_MOVE))
        remove_originals(job->plan);
    mmgr_record_unref(record);
    return result;
}

void mmgr__install_completed(mmgr_install *job)
{
    pthread_mutex_lock(&job->installer->mutex);
    uint64_t size = 0;
    for (uint32_t i = 0; i < mmgr_record_file_count(job->record); i++)
        size += mmgr_record_file_size(job->record, i);
    job->bytes = job->total = size;
    mmgr__free(job->local_path);
    job->local_path = mmgr__strdup(mmgr_record_location(job->record));
    pthread_mutex_unlock(&job->installer->mutex);
    mmgr__install_status(job, MMGR_INSTALL_COMPLETED, MMGR_EVENT_INSTALL_COMPLETED);
}

void mmgr__install_place(mmgr_install *job)
{
    pthread_mutex_lock(&job->installer->mutex);
    int cancel = job->cancel;
    if (!cancel)
        job->status = MMGR_INSTALL_RUNNING; /* from here on a cancel comes too late */
    pthread_mutex_unlock(&job->installer->mutex);
    if (cancel) {
        mmgr__install_end_cancelled(job);
        return;
    }
    mmgr__install_event(job, MMGR_EVENT_INSTALL_RUNNING, NULL);
    enum mmgr_result result =
        job->flags & MMGR_INSTALL_INPLACE ? record_in_place(job) : record_staged(job);
    if (result == MMGR_OK) {
        mmgr__staging_close(&job->staging);
        mmgr__install_completed(job);
    } else {
        leave_failed(job, result);
        mmgr__install_fail(job);
    }
}
