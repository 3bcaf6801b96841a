/* SPDX-License-Identifier: MIT */
/* Conversion by host loaders into models_dir/.convert/<key>, and the calls into hosts' loaders.
 * A conversion is made under a temporary name and renamed when it is complete, so a kill never
 * leaves half of one. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/config.h"
#include "base/io.h"
#include "base/path.h"
#include "load/service.h"

void mmgr__host_begin(struct mmgr_error *before)
{
    struct mmgr_error none;
    mmgr__error_save(before);
    mmgr__error_clear(&none);
    mmgr__error_restore(&none);
}

enum mmgr_result mmgr__host_result(const struct mmgr__loader *loader, const char *doing,
                                   enum mmgr_result result, const struct mmgr_error *before)
{
    if (result == MMGR_OK) {
        mmgr__error_restore(before);
        return MMGR_OK;
    }
    if (mmgr_error_code(mmgr_last_error()) == result) {
        mmgr__error_prefix("loader %s", loader->name);
        return result;
    }
    return mmgr__fail(MMGR_ERR_PLUGIN, "loader %s: %s failed with %s", loader->name, doing,
                      mmgr_result_name(result));
}

/* Remove a file or a folder with what is in it; 0 also when there is none. Links are not
 * followed. */
static int remove_tree(int dirfd, const char *name, int depth)
{
    int error = mmgr__io_unlink(dirfd, name);
    if (error != -EISDIR && error != -EPERM)
        return error == -ENOENT ? 0 : error;
    int fd = mmgr__io_open_beneath(dirfd, name, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    DIR *dir = fdopendir(fd);
    if (dir == NULL || depth == 0) {
        error = depth == 0 ? -ELOOP : -errno;
        if (dir != NULL)
            closedir(dir);
        else
            mmgr__io_close(fd);
        return error;
    }
    error = 0;
    const struct dirent *item;
    while (error == 0 && (item = readdir(dir)) != NULL)
        if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0)
            error = remove_tree(fd, item->d_name, depth - 1);
    closedir(dir);
    return error != 0 ? error : mmgr__io_rmdir(dirfd, name);
}

/* The names in the convert folder that belong to one model. */
struct names {
    char *folder, *final, *temporary;
    char file[160], part[160];
};

static void free_names(struct names *names)
{
    mmgr__free(names->folder);
    mmgr__free(names->final);
    mmgr__free(names->temporary);
}

static enum mmgr_result make_names(const mmgr_load_service *service, const mmgr_record *record,
                                   struct names *names)
{
    const char *models = mmgr_config_get(service->config, "models_dir");
    const char *key = mmgr_record_text(record, MMGR_FIELD_KEY);
    if (models == NULL)
        return mmgr__fail(MMGR_ERR_STATE, "the config has no models_dir to convert models into");
    snprintf(names->part, sizeof names->part, ".%s.part", key);
    snprintf(names->file, sizeof names->file, "%s", key);
    names->folder = mmgr__path_join(models, ".convert");
    if (names->folder != NULL) {
        names->final = mmgr__path_join(names->folder, names->file);
        names->temporary = mmgr__path_join(names->folder, names->part);
    }
    return names->final != NULL && names->temporary != NULL ? MMGR_OK : mmgr__oom();
}

/* Make the conversion and put it in place of an older one. The folder's lock is held. */
static enum mmgr_result convert_into(const struct mmgr__loader *loader,
                                     const mmgr_load_request *request, const struct names *names,
                                     int folder)
{
    int error = remove_tree(folder, names->part, 16); /* left by a kill */
    if (error != 0)
        return mmgr__fail_errno(-error, "remove", names->temporary);
    struct mmgr_error before;
    mmgr__host_begin(&before);
    enum mmgr_result result = loader->ops.convert(loader->self, request, names->temporary);
    result = mmgr__host_result(loader, "a conversion", result, &before);
    if (result != MMGR_OK) {
        remove_tree(folder, names->part, 16);
        return result;
    }
    error = remove_tree(folder, names->file, 16);
    if (error == 0)
        error = mmgr__io_rename(folder, names->part, folder, names->file, 1);
    if (error == 0)
        error = mmgr__io_fsync_dir(AT_FDCWD, names->folder);
    return error == 0 ? MMGR_OK : mmgr__fail_errno(-error, "put in place", names->final);
}

static enum mmgr_result convert_locked(const struct mmgr__loader *loader,
                                       const mmgr_load_request *request, const struct names *names)
{
    int error = mmgr__io_mkdirs(names->folder, 0777);
    if (error != 0)
        return mmgr__fail_errno(-error, "make folder", names->folder);
    int folder = mmgr__io_open_dir(AT_FDCWD, names->folder);
    int lock = folder >= 0 ? mmgr__io_lock(folder, ".lock", 1, 1) : folder;
    enum mmgr_result result = MMGR_OK;
    if (lock < 0)
        result = mmgr__fail_errno(-lock, "lock", names->folder);
    /* Another process may have made it while this one waited for the lock. */
    else if (loader->ops.needs_conversion(loader->self, request, names->final))
        result = convert_into(loader, request, names, folder);
    mmgr__io_unlock(lock);
    mmgr__io_close(folder);
    return result;
}

enum mmgr_result mmgr__convert(mmgr_load_service *service, const struct mmgr__loader *loader,
                               const mmgr_load_request *request, char **path)
{
    *path = NULL;
    if (loader->ops.needs_conversion == NULL)
        return MMGR_OK;
    struct names names = {0};
    struct stat st;
    enum mmgr_result result = make_names(service, request->record, &names);
    if (result == MMGR_OK && loader->ops.needs_conversion(loader->self, request, names.final))
        result = convert_locked(loader, request, &names);
    /* A loader that needs no conversion of this model loads the model itself. */
    if (result == MMGR_OK && mmgr__io_stat(AT_FDCWD, names.final, &st, 0) == 0) {
        *path = names.final;
        names.final = NULL;
    }
    free_names(&names);
    return result;
}
