/* SPDX-License-Identifier: MIT */
/* A model whose files were moved: the record gets the new place, the manifest the files' new
 * identities. Nothing is moved on disk here. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <modelmgr/hash.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/path.h"
#include "base/record.h"
#include "install/install.h"
#include "store/store.h"

/* One file of the manifest, as it is at the new place. */
static enum mmgr_result take_file(int model, const char *path, struct mmgr__file *file)
{
    struct stat st;
    int fd = *file->path ? mmgr__io_open_beneath(model, file->path, O_PATH, 0) : model;
    if (fd < 0)
        return mmgr__fail_errno(fd == -ENOTDIR ? ENOENT : -fd, "find", path);
    int error = fstat(fd, &st) != 0 ? errno : S_ISREG(st.st_mode) ? 0 : ENOENT;
    if (fd != model)
        mmgr__io_close(fd);
    if (error)
        return mmgr__fail_errno(error, "find the file", path);
    if ((uint64_t)st.st_size != file->size) {
        mmgr__fail(MMGR_ERR_HASH_MISMATCH, "%s has %llu bytes, but the model's file had %llu", path,
                   (unsigned long long)st.st_size, (unsigned long long)file->size);
        mmgr__error_set_subject(path);
        return MMGR_ERR_HASH_MISMATCH;
    }
    file->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    file->device = st.st_dev;
    file->inode = st.st_ino;
    return MMGR_OK;
}

enum mmgr_result mmgr__take_files(const mmgr_record *record, int model, const char *location,
                                  uint32_t flags, mmgr_record_builder *builder)
{
    enum mmgr_result result = MMGR_OK;
    mmgr__record_builder_clear_files(builder);
    for (uint32_t i = 0; result == MMGR_OK && i < record->file_count; i++) {
        struct mmgr__file file = record->files[i];
        char *path = *file.path ? mmgr__path_join(location, file.path) : mmgr__strdup(location);
        file.flags = flags;
        result = path ? take_file(model, path, &file) : mmgr__oom();
        if (result == MMGR_OK)
            result = mmgr__record_builder_add_file(builder, &file);
        mmgr__free(path);
    }
    return result;
}

/* The folder or the file that the model is now. As for a model that is recorded where it is, the
 * way there may lead through links. */
static enum mmgr_result open_model(const mmgr_record *record, const char *location, int *model)
{
    int single = record->file_count == 1 && !*record->files[0].path;
    struct stat st;
    int fd = mmgr__io_stat(AT_FDCWD, location, &st, 1);
    if (fd == 0 && record->file_count > 0 && single == S_ISDIR(st.st_mode)) {
        mmgr__fail(MMGR_ERR_PATH_NOT_FOUND, "%s is a %s, but the model is a %s", location,
                   single ? "folder" : "file", single ? "file" : "folder");
        mmgr__error_set_subject(location);
        return MMGR_ERR_PATH_NOT_FOUND;
    }
    if (fd == 0)
        fd = S_ISDIR(st.st_mode) ? mmgr__io_open_dir(AT_FDCWD, location)
                                 : mmgr__io_open_read(AT_FDCWD, location);
    if (fd < 0)
        return mmgr__fail_errno(-fd, "open", location);
    *model = fd;
    return MMGR_OK;
}

/* The same record at another place. */
static enum mmgr_result at_place(const mmgr_installer *installer, const mmgr_record *record,
                                 const char *location, mmgr_record **moved)
{
    uint32_t flags =
        mmgr__path_inside(location, installer->models_dir) ? MMGR_FILE_OWNED : MMGR_FILE_LINKED;
    mmgr_record_builder *builder = NULL;
    int model = -1;
    enum mmgr_result result = open_model(record, location, &model);
    if (result == MMGR_OK)
        result = mmgr_record_builder_new(record, &builder);
    if (result == MMGR_OK)
        result = mmgr__take_files(record, model, location, flags, builder);
    if (result == MMGR_OK)
        result = mmgr_record_builder_set(builder, MMGR_FIELD_PATH, location);
    if (result == MMGR_OK)
        result = mmgr_record_builder_build(builder, moved);
    mmgr_record_builder_free(builder);
    mmgr__io_close(model);
    return result;
}

struct move {
    const mmgr_record *seen, *moved;
};

/* The record may have been edited since it was read; its files must be those that were checked. */
static enum mmgr_result move_record(const mmgr_record *old, mmgr_record **changed, void *user)
{
    const struct move *move = user;
    if (!mmgr__record_same_files(old, move->seen)) {
        mmgr__fail(MMGR_ERR_BUSY, "the files of model %s were changed meanwhile",
                   mmgr_record_text(old, MMGR_FIELD_KEY));
        return MMGR_ERR_BUSY;
    }
    mmgr_record_builder *builder;
    enum mmgr_result result = mmgr_record_builder_new(old, &builder);
    if (result != MMGR_OK)
        return result;
    mmgr__record_builder_clear_files(builder);
    for (uint32_t i = 0; result == MMGR_OK && i < move->moved->file_count; i++)
        result = mmgr__record_builder_add_file(builder, &move->moved->files[i]);
    if (result == MMGR_OK)
        result = mmgr_record_builder_set(builder, MMGR_FIELD_PATH,
                                         mmgr_record_text(move->moved, MMGR_FIELD_PATH));
    if (result == MMGR_OK)
        result = mmgr_record_builder_build(builder, changed);
    mmgr_record_builder_free(builder);
    return result;
}

static enum mmgr_result commit(mmgr_installer *installer, const mmgr_record *record,
                               const mmgr_record *moved, mmgr_record **changed)
{
    struct move move = {record, moved};
    return mmgr__store_change(installer->store, mmgr_record_text(record, MMGR_FIELD_KEY),
                              move_record, &move, changed);
}

enum mmgr_result mmgr__relocate(mmgr_installer *installer, const mmgr_record *record,
                                const char *location)
{
    mmgr_record *moved = NULL;
    enum mmgr_result result = at_place(installer, record, location, &moved);
    if (result == MMGR_OK)
        result = commit(installer, record, moved, NULL);
    mmgr_record_unref(moved);
    return result;
}

/* Where the record has a sampled hash, it is cheap to see that other content has been given. */
static enum mmgr_result check_sampled(const mmgr_record *record, const char *location)
{
    const char *wanted = mmgr_record_text(record, MMGR_FIELD_HASH);
    if (!wanted || !mmgr__starts_with(wanted, "sampled:"))
        return MMGR_OK;
    char *hash;
    enum mmgr_result result = mmgr_hash_path(location, "sampled", &hash);
    if (result != MMGR_OK)
        return result;
    if (strcmp(hash, wanted) != 0) {
        result = mmgr__fail(MMGR_ERR_HASH_MISMATCH, "%s has the hash %s, but the model's was %s",
                            location, hash, wanted);
        mmgr__error_set_subject(location);
    }
    mmgr_string_free(hash);
    return result;
}

static enum mmgr_result relocate_to(mmgr_installer *installer, const char *key,
                                    const char *location, mmgr_record **changed)
{
    mmgr_record *record, *moved = NULL;
    enum mmgr_result result = mmgr_store_get(installer->store, key, &record);
    if (result != MMGR_OK)
        return result;
    /* The files first, so that one that is missing is named. */
    result = at_place(installer, record, location, &moved);
    if (result == MMGR_OK)
        result = check_sampled(record, location);
    if (result == MMGR_OK)
        result = commit(installer, record, moved, changed);
    mmgr_record_unref(moved);
    mmgr_record_unref(record);
    return result;
}

enum mmgr_result mmgr_installer_relocate(mmgr_installer *installer, const char *key,
                                         const char *new_path, uint32_t flags, mmgr_record **record)
{
    if (!installer || !key || !new_path || !*new_path || flags)
        return mmgr__bad_argument(!installer                ? "installer"
                                  : !key                    ? "key"
                                  : !new_path || !*new_path ? "new_path"
                                                            : "flags");
    if (installer->read_only)
        return mmgr__fail(MMGR_ERR_STATE, "this installer changes nothing");
    char *location = mmgr__path_absolute(new_path);
    if (!location)
        return mmgr__oom();
    mmgr_record *changed = NULL;
    enum mmgr_result result = relocate_to(installer, key, location, &changed);
    mmgr__free(location);
    if (result == MMGR_OK && record)
        *record = changed;
    else
        mmgr_record_unref(changed);
    return result;
}
