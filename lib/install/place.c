/* SPDX-License-Identifier: MIT */
/* From identified files in a staging folder to a record: choose the folder once, rename, record.
 * The journal says "placing" before the first change and goes away after the last, so that each
 * step can be redone. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/path.h"
#include "base/record.h"
#include "install/install.h"
#include "store/sidecar.h"
#include "store/store.h"

#define MAX_TWINS 10000

/* Is there an entry of this name, whatever its case? Other file systems would take the two for
 * one. */
static int name_is_taken(int folder, const char *name)
{
    int copy = mmgr__io_open_dir(folder, ".");
    DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
    int taken = 0;
    for (struct dirent *entry; dir && !taken && (entry = readdir(dir));)
        taken = strcasecmp(entry->d_name, name) == 0;
    if (dir)
        closedir(dir);
    else
        mmgr__io_close(copy);
    return taken;
}

/* Open a folder below another, made where it is missing. A link in its place leads elsewhere:
 * -ELOOP. */
static int enter_folder(int parent, const char *name)
{
    int error = mmgr__io_mkdir(parent, name, 0755);
    if (error == 0)
        error = mmgr__io_fsync_dir(parent, ".");
    return error == 0 || error == -EEXIST
               ? mmgr__io_open_beneath(parent, name, O_RDONLY | O_DIRECTORY, 0)
               : error;
}

/* Where a model goes: models_dir/BASE/TYPE, open, and the name that is wanted there. */
struct spot {
    char *base, *type, *name;
    int folder;
    int twin; /* next "~n" to try */
};

static void spot_close(struct spot *spot)
{
    mmgr__free(spot->base);
    mmgr__free(spot->type);
    mmgr__free(spot->name);
    mmgr__io_close(spot->folder);
}

static enum mmgr_result spot_open(const mmgr_installer *installer, const mmgr_record *record,
                                  struct spot *spot)
{
    *spot =
        (struct spot){.base = mmgr__path_portable_name(mmgr_record_text(record, MMGR_FIELD_BASE)),
                      .type = mmgr__path_portable_name(mmgr_record_text(record, MMGR_FIELD_TYPE)),
                      .name = mmgr__path_portable_name(mmgr_record_text(record, MMGR_FIELD_NAME)),
                      .folder = -1,
                      .twin = 1};
    enum mmgr_result result = spot->base && spot->type && spot->name ? MMGR_OK : mmgr__oom();
    int top = result == MMGR_OK ? mmgr__io_open_dir(AT_FDCWD, installer->models_dir) : -1;
    if (result == MMGR_OK && top < 0)
        result = mmgr__fail_errno(-top, "open", installer->models_dir);
    int middle = result == MMGR_OK ? enter_folder(top, spot->base) : -1;
    if (result == MMGR_OK && middle < 0) {
        result = mmgr__fail_errno(-middle, "enter", spot->base);
        mmgr__error_prefix("%s", installer->models_dir);
    }
    if (result == MMGR_OK && (spot->folder = enter_folder(middle, spot->type)) < 0) {
        result = mmgr__fail_errno(-spot->folder, "enter", spot->type);
        mmgr__error_prefix("%s/%s", installer->models_dir, spot->base);
    }
    mmgr__io_close(middle);
    mmgr__io_close(top);
    if (result != MMGR_OK)
        spot_close(spot);
    return result;
}

/* NAME, NAME~2, … the first that is free. Owned; NULL: no memory, or none is free. */
static char *next_name(struct spot *spot)
{
    while (spot->twin < MAX_TWINS) {
        int twin = spot->twin++;
        char *name = twin == 1 ? mmgr__strdup(spot->name) : mmgr__printf("%s~%d", spot->name, twin);
        if (!name || !name_is_taken(spot->folder, name))
            return name;
        mmgr__free(name);
    }
    return NULL;
}

/* The plan's journal, with where the files go and the record that is to be committed. */
static json_t *placing_journal(const mmgr_plan *plan, const mmgr_record *record, const char *folder,
                               char *const *part_sha256)
{
    json_t *journal = mmgr__journal_of_plan(plan, MMGR__STATE_PLACING);
    char *stored = mmgr__record_stored_json(record);
    int ok = journal && stored &&
             json_object_set_new(journal, "folder", json_string(folder)) == 0 &&
             json_object_set_new(journal, "record", json_string(stored)) == 0;
    json_t *files = json_object_get(journal, "files"), *row;
    size_t index;
    json_array_foreach(files, index, row) if (ok && part_sha256 && part_sha256[index]) ok =
        json_object_set_new(row, "sha256", json_string(part_sha256[index])) == 0;
    mmgr__free(stored);
    if (!ok) {
        json_decref(journal);
        return NULL;
    }
    return journal;
}

/* The path of a model whose files are in a folder: the folder, or the one file in it. Owned. */
static char *model_path(const char *folder, const mmgr_plan *plan)
{
    return plan->single ? mmgr__path_join(folder, plan->files[0].relative) : mmgr__strdup(folder);
}

/* The record as it will be: with the time of its making, and the manifest of what is staged. */
static enum mmgr_result finish_record(const struct mmgr__staging *staging, const mmgr_plan *plan,
                                      const mmgr_record *identified, char *const *part_sha256,
                                      mmgr_record **record)
{
    char now[32], *path = model_path(staging->files, plan);
    mmgr_record_builder *builder = NULL;
    uint64_t total;
    enum mmgr_result result = path ? mmgr_record_builder_new(identified, &builder) : mmgr__oom();
    mmgr__format_time(mmgr__now_realtime(), now);
    if (result == MMGR_OK && !mmgr_record_text(identified, MMGR_FIELD_CREATED_AT))
        result = mmgr_record_builder_set(builder, MMGR_FIELD_CREATED_AT, now);
    if (result == MMGR_OK)
        result = mmgr_record_builder_set(builder, MMGR_FIELD_PATH, path);
    if (result == MMGR_OK)
        result = mmgr__set_manifest(builder, plan, path, part_sha256, MMGR_FILE_OWNED, &total);
    if (result == MMGR_OK)
        result = mmgr_record_builder_build(builder, record);
    mmgr_record_builder_free(builder);
    mmgr__free(path);
    return result;
}

/* files/ → models_dir/BASE/TYPE/name. EXISTS when someone took the name in the meantime. */
static enum mmgr_result move_into_place(const struct mmgr__staging *staging,
                                        const struct spot *spot, const char *name)
{
    int error = mmgr__io_rename(AT_FDCWD, staging->files, spot->folder, name, 1);
    if (error == 0)
        error = mmgr__io_fsync_dir(spot->folder, ".");
    if (error == 0)
        error = mmgr__io_fsync_dir(AT_FDCWD, staging->folder);
    return error < 0 ? mmgr__fail_errno(-error, "move the model to", name) : MMGR_OK;
}

static enum mmgr_result choose_and_move(struct mmgr__staging *staging, const mmgr_plan *plan,
                                        const mmgr_record *identified, struct spot *spot,
                                        char *const *part_sha256, json_t **journal)
{
    for (;;) {
        char *name = next_name(spot);
        char *folder = name ? mmgr__printf("%s/%s/%s", spot->base, spot->type, name) : NULL;
        json_t *made = folder ? placing_journal(plan, identified, folder, part_sha256) : NULL;
        enum mmgr_result result = MMGR_OK;
        if (!name && spot->twin >= MAX_TWINS)
            result = mmgr__fail(MMGR_ERR_EXISTS, "no free folder name for %s", spot->name);
        else
            result = made ? mmgr__install_journal_write(staging, made) : mmgr__oom();
        if (result == MMGR_OK)
            result = move_into_place(staging, spot, name);
        int again = result == MMGR_ERR_EXISTS && made;
        mmgr__free(folder);
        mmgr__free(name);
        if (result == MMGR_OK) {
            *journal = made;
            return MMGR_OK;
        }
        json_decref(made);
        if (!again)
            return result;
    }
}

enum mmgr_result mmgr__place(mmgr_installer *installer, struct mmgr__staging *staging,
                             const mmgr_plan *plan, const mmgr_record *identified,
                             char *const *part_sha256, mmgr_record **placed)
{
    char *path = mmgr__path_join(installer->staging_dir, "place.lock");
    if (!path)
        return mmgr__oom();
    /* One chooser at a time over all processes: names are compared without regard to case, which no
     * single system call does. */
    int lock = mmgr__io_lock(AT_FDCWD, path, 1, 1);
    enum mmgr_result result = lock < 0 ? mmgr__fail_errno(-lock, "lock", path) : MMGR_OK;
    mmgr__free(path);
    if (result != MMGR_OK)
        return result;
    json_t *journal = NULL;
    mmgr_record *record = NULL;
    struct spot spot = {.folder = -1};
    result = mmgr__plan_check_duplicate(installer, plan);
    if (result == MMGR_OK)
        result = finish_record(staging, plan, identified, part_sha256, &record);
    /* Hidden beside the staged files, it comes to its place with them. */
    if (result == MMGR_OK)
        result = mmgr__sidecar_write(staging->files, record);
    if (result == MMGR_OK)
        result = spot_open(installer, record, &spot);
    if (result == MMGR_OK) {
        result = choose_and_move(staging, plan, record, &spot, part_sha256, &journal);
        spot_close(&spot);
    }
    if (result == MMGR_OK)
        result = mmgr__finish_placing(installer, staging, journal, placed);
    json_decref(journal);
    mmgr_record_unref(record);
    mmgr__io_unlock(lock);
    return result;
}

/* The path of a placed model. Owned. */
static char *placed_path(const mmgr_installer *installer, const char *folder, const mmgr_plan *plan)
{
    char *target = mmgr__path_join(installer->models_dir, folder);
    char *path = target ? model_path(target, plan) : NULL;
    mmgr__free(target);
    return path;
}

/* Texts that a placing journal must have. */
static enum mmgr_result check_placing(const struct mmgr__staging *staging, const json_t *journal)
{
    const char *folder = mmgr__json_text(journal, "folder");
    if (!folder || !mmgr__json_text(journal, "record"))
        return mmgr__fail(MMGR_ERR_INVALID_FILE, "%s names no folder or no record",
                          staging->journal);
    return mmgr__path_check_relative(folder);
}

/* What remains of the staging folder is no reason to call the install failed: recovery removes
 * it. */
static void drop_journal(struct mmgr__staging *staging)
{
    struct mmgr_error error;
    mmgr__error_save(&error);
    if (mmgr__staging_drop(staging) != MMGR_OK)
        mmgr__log(MMGR_LOG_WARNING, "install", "%s", mmgr_error_message(mmgr_last_error()));
    mmgr__error_restore(&error);
}

enum mmgr_result mmgr__finish_placing(mmgr_installer *installer, struct mmgr__staging *staging,
                                      const json_t *journal, mmgr_record **placed)
{
    mmgr_plan *plan;
    enum mmgr_result result = check_placing(staging, journal);
    if (result == MMGR_OK)
        result = mmgr__plan_of_journal(journal, &plan);
    if (result != MMGR_OK)
        return result;
    mmgr_record *record = NULL, *base = NULL;
    mmgr_record_builder *builder = NULL;
    uint64_t total;
    char *path = placed_path(installer, mmgr__json_text(journal, "folder"), plan);
    result = path ? mmgr_record_from_json(mmgr__json_text(journal, "record"), &base) : mmgr__oom();
    if (result == MMGR_OK)
        result = mmgr_record_builder_new(base, &builder);
    if (result == MMGR_OK)
        result = mmgr_record_builder_set(builder, MMGR_FIELD_PATH, path);
    if (result == MMGR_OK)
        result = mmgr__set_manifest(builder, plan, path, NULL, MMGR_FILE_OWNED, &total);
    if (result == MMGR_OK)
        result = mmgr_record_builder_build(builder, &record);
    if (result == MMGR_OK)
        result = mmgr__store_add_full(installer->store, record, MMGR__STORE_AGAIN, placed);
    /* A record that someone made of the placed files meanwhile has them now. */
    const char *field =
        result == MMGR_ERR_DUPLICATE_MODEL ? mmgr_error_field(mmgr_last_error()) : NULL;
    if (result == MMGR_OK || (field && strcmp(field, "path") == 0))
        drop_journal(staging);
    mmgr_record_unref(record);
    mmgr_record_builder_free(builder);
    mmgr_record_unref(base);
    mmgr__free(path);
    mmgr_plan_free(plan);
    return result;
}

/* Are the files of a placed model there with their sizes? */
static int placed_whole(const mmgr_installer *installer, const char *folder, const mmgr_plan *plan)
{
    int whole = 1;
    for (size_t i = 0; whole && i < plan->count; i++) {
        char *target = mmgr__path_join(installer->models_dir, folder);
        char *file = target ? mmgr__path_join(target, plan->files[i].relative) : NULL;
        struct stat st;
        whole = file && mmgr__io_stat(AT_FDCWD, file, &st, 1) == 0 && S_ISREG(st.st_mode) &&
                (plan->files[i].size == UINT64_MAX || (uint64_t)st.st_size == plan->files[i].size);
        mmgr__free(file);
        mmgr__free(target);
    }
    return whole;
}

/* Undo a placement of which files are gone: what there is becomes the start of another fetch. */
static enum mmgr_result take_back(mmgr_installer *installer, struct mmgr__staging *staging,
                                  const mmgr_plan *plan, json_t *journal)
{
    char *target = mmgr__path_join(installer->models_dir, mmgr__json_text(journal, "folder"));
    int error = target ? mmgr__io_rename(AT_FDCWD, target, AT_FDCWD, staging->files, 1) : -ENOMEM;
    if (error == -ENOENT)
        error = 0;
    enum mmgr_result result =
        error < 0 ? mmgr__fail_errno(-error, "take back", target ? target : "a model") : MMGR_OK;
    mmgr__free(target);
    json_t *fetching = result == MMGR_OK ? mmgr__journal_of_plan(plan, MMGR__STATE_FETCHING) : NULL;
    if (result == MMGR_OK)
        result = fetching ? mmgr__install_journal_write(staging, fetching) : mmgr__oom();
    if (result == MMGR_OK &&
        json_object_set_new(journal, "state", json_string(MMGR__STATE_FETCHING)) != 0)
        result = mmgr__oom();
    json_decref(fetching);
    return result;
}

enum mmgr_result mmgr__resume_placing(mmgr_installer *installer, struct mmgr__staging *staging,
                                      json_t *journal, mmgr_record **placed, int *back)
{
    struct stat st;
    mmgr_plan *plan = NULL;
    mmgr_record *record = NULL;
    enum mmgr_result result = check_placing(staging, journal);
    if (result == MMGR_OK)
        result = mmgr__plan_of_journal(journal, &plan);
    if (result != MMGR_OK)
        return result;
    if (mmgr__io_stat(AT_FDCWD, staging->files, &st, 0) == 0) {
        /* The side-car is written anew: nothing of an interrupted writing comes to the model. */
        int error = mmgr__remove_hidden(staging->files);
        result = error < 0 ? mmgr__fail_errno(-error, "tidy up", staging->files)
                           : mmgr_record_from_json(mmgr__json_text(journal, "record"), &record);
        if (result == MMGR_OK)
            result = mmgr__place(installer, staging, plan, record, NULL, placed);
    } else if (placed_whole(installer, mmgr__json_text(journal, "folder"), plan)) {
        result = mmgr__finish_placing(installer, staging, journal, placed);
    } else if ((result = take_back(installer, staging, plan, journal)) == MMGR_OK) {
        *back = 1;
    }
    mmgr_plan_free(plan);
    mmgr_record_unref(record);
    return result;
}
