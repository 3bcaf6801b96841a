/* SPDX-License-Identifier: MIT */
/* What the last process left behind, by its journals: local steps are finished, unfinished
 * downloads become paused jobs. Every step can be interrupted and done again. No network. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "install/install.h"

static enum mmgr_result add_paused_job(mmgr_installer *installer, const json_t *journal)
{
    mmgr_plan *plan;
    enum mmgr_result result = mmgr__plan_of_journal(journal, &plan);
    if (result != MMGR_OK)
        return result;
    struct mmgr_install_options options = {.struct_size = sizeof options,
                                           .flags = plan->flags,
                                           .source = plan->source,
                                           .overrides = plan->overrides,
                                           .name = plan->name};
    mmgr_source *parsed = NULL;
    if (mmgr_source_parse(plan->source, &parsed) != MMGR_OK)
        parsed = NULL; /* a local source that is gone: the job says so when it is resumed */
    mmgr_install *job;
    result = mmgr__install_new(installer, &options, parsed, &job);
    mmgr_source_unref(parsed);
    if (result != MMGR_OK) {
        mmgr_plan_free(plan);
        return result;
    }
    mmgr__install_set_plan(job, plan);
    job->status = MMGR_INSTALL_PAUSED;
    mmgr__install_append(installer, job); /* nobody else knows the installer yet */
    mmgr_install_unref(job);
    return MMGR_OK;
}

static enum mmgr_result recover_placing(mmgr_installer *installer, struct mmgr__staging *staging,
                                        json_t *journal)
{
    int back = 0;
    struct stat st;
    enum mmgr_result result = mmgr__resume_placing(installer, staging, journal, NULL, &back);
    if (result == MMGR_OK && back)
        return add_paused_job(installer, journal);
    if (result == MMGR_ERR_DUPLICATE_MODEL && staging->folder &&
        mmgr__io_stat(AT_FDCWD, staging->files, &st, 0) == 0)
        return mmgr__staging_drop(staging); /* another process installed the same meanwhile */
    return result;
}

static enum mmgr_result recover_one(mmgr_installer *installer, const char *id)
{
    struct mmgr__staging staging;
    enum mmgr_result result = mmgr__staging_open(installer, id, 0, &staging);
    if (result != MMGR_OK)
        return result == MMGR_ERR_BUSY || result == MMGR_ERR_PATH_NOT_FOUND ? MMGR_OK : result;
    json_t *journal = NULL;
    result = mmgr__install_journal_read(&staging, &journal);
    if (result == MMGR_OK && !journal) {
        result = mmgr__staging_drop(&staging); /* nothing was begun, or all was done */
    } else if (result == MMGR_OK) {
        const char *state = mmgr__json_text(journal, "state");
        if (strcmp(state, MMGR__STATE_FETCHING) == 0)
            result = add_paused_job(installer, journal);
        else if (strcmp(state, MMGR__STATE_PLACING) == 0)
            result = recover_placing(installer, &staging, journal);
        else if (strcmp(state, MMGR__STATE_REMOVING) == 0)
            result = mmgr__finish_removing(installer, &staging, journal, NULL);
        else
            result = mmgr__fail(MMGR_ERR_INVALID_FILE, "%s: unknown state \"%s\"", staging.journal,
                                state);
    }
    json_decref(journal);
    mmgr__staging_close(&staging);
    return result;
}

enum mmgr_result mmgr__recover(mmgr_installer *installer)
{
    DIR *dir = opendir(installer->staging_dir);
    if (!dir)
        return errno == ENOENT ? MMGR_OK : mmgr__fail_errno(errno, "list", installer->staging_dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.' || strchr(entry->d_name, '.'))
            continue; /* "place.lock" is no staging folder */
        /* One that cannot be recovered stays as it is, and must not keep the others from it. */
        if (recover_one(installer, entry->d_name) != MMGR_OK)
            mmgr__log(MMGR_LOG_WARNING, "install", "not recovered: %s",
                      mmgr_error_message(mmgr_last_error()));
    }
    closedir(dir);
    return MMGR_OK;
}
