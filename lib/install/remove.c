/* SPDX-License-Identifier: MIT */
/* Removing models: the intent is journalled, then the record goes, then the files that are still
 * the ones that were recorded, then folders that became empty. Never a tree. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/path.h"
#include "base/record.h"
#include "install/install.h"
#include "store/sidecar.h"

/* The folder from which a model's files are reached without following a link: models_dir for
 * models inside it, else the folder that holds the model. */
static char *removal_root(const mmgr_installer *installer, const char *location, const char **below)
{
    const char *inside = mmgr__path_inside(location, installer->models_dir);
    char *root = inside ? mmgr__strdup(installer->models_dir) : mmgr__path_dirname(location);
    *below = inside ? inside : mmgr__path_basename(location);
    return root;
}

/* The model must be reachable beneath its root, or be gone. */
static enum mmgr_result check_reachable(const char *root, const char *below)
{
    int dirfd = mmgr__io_open_dir(AT_FDCWD, root);
    if (dirfd < 0)
        return dirfd == -ENOENT ? MMGR_OK : mmgr__fail_errno(-dirfd, "open", root);
    int fd = mmgr__io_open_beneath(dirfd, below, O_PATH, 0);
    mmgr__io_close(dirfd);
    if (fd == -ELOOP || fd == -EXDEV)
        return mmgr__fail(MMGR_ERR_UNSAFE_PATH, "%s/%s leads through a symbolic link", root, below);
    if (fd < 0 && fd != -ENOENT && fd != -ENOTDIR)
        return mmgr__fail_errno(-fd, "reach", below);
    mmgr__io_close(fd);
    return MMGR_OK;
}

static json_t *removing_journal(const mmgr_record *record, int force)
{
    json_t *journal =
        json_pack("{s:i, s:s, s:s, s:s, s:b, s:[]}", "version", 1, "state", MMGR__STATE_REMOVING,
                  "key", mmgr_record_text(record, MMGR_FIELD_KEY), "location",
                  mmgr_record_location(record), "force", force, "files");
    json_t *files = json_object_get(journal, "files");
    for (uint32_t i = 0; files && i < record->file_count; i++) {
        const struct mmgr__file *file = &record->files[i];
        if (!force && (file->flags & MMGR_FILE_LINKED))
            continue;
        json_t *row =
            json_pack("{s:s, s:I, s:I, s:I}", "path", file->path, "size", (json_int_t)file->size,
                      "device", (json_int_t)file->device, "inode", (json_int_t)file->inode);
        if (!row || json_array_append_new(files, row) != 0) {
            json_decref(journal);
            return NULL;
        }
    }
    return journal;
}

/* The side-car goes with the model: a row of its own in the journal, when there is one. */
static enum mmgr_result add_sidecar(const char *root, const char *below, const mmgr_record *record,
                                    json_t *journal)
{
    struct stat st;
    char *path = mmgr__sidecar_find(root, below, record);
    char *full = path ? mmgr__path_join(root, path) : NULL;
    int ok = 1;
    if (full && mmgr__io_stat(AT_FDCWD, full, &st, 0) == 0)
        ok = json_object_set_new(journal, "sidecar",
                                 json_pack("{s:s, s:I, s:I, s:I}", "path", path, "size",
                                           (json_int_t)st.st_size, "device", (json_int_t)st.st_dev,
                                           "inode", (json_int_t)st.st_ino)) == 0;
    mmgr__free(full);
    mmgr__free(path);
    return ok ? MMGR_OK : mmgr__oom();
}

/* Open the folder of a path beneath another, without following a link. */
static int open_parent(int dirfd, const char *path)
{
    if (!strchr(path, '/'))
        return mmgr__io_open_dir(dirfd, ".");
    char *folder = mmgr__path_dirname(path);
    int fd = folder ? mmgr__io_open_beneath(dirfd, folder, O_RDONLY | O_DIRECTORY, 0) : -ENOMEM;
    mmgr__free(folder);
    return fd;
}

/* Is it still the file that was recorded? */
static int is_recorded(int parent, const char *name, const json_t *row)
{
    struct stat st;
    return mmgr__io_stat(parent, name, &st, 0) == 0 && S_ISREG(st.st_mode) &&
           st.st_size == json_integer_value(json_object_get(row, "size")) &&
           (json_int_t)st.st_dev == json_integer_value(json_object_get(row, "device")) &&
           (json_int_t)st.st_ino == json_integer_value(json_object_get(row, "inode"));
}

/* Unlink one file of the manifest if it is still the one that was recorded. 1 when it went, 0
 * when there is nothing to do, negative errno. */
static int unlink_recorded(int dirfd, const char *path, const json_t *row)
{
    const char *name = mmgr__path_basename(path);
    int parent = open_parent(dirfd, path);
    if (parent < 0)
        return parent == -ENOMEM ? parent : 0;
    int error = is_recorded(parent, name, row) ? mmgr__io_unlink(parent, name) : -ENOENT;
    if (error == 0)
        error = mmgr__io_fsync_dir(parent, ".");
    mmgr__io_close(parent);
    return error == 0 ? 1 : error == -ENOENT ? 0 : error;
}

/* Remove folders that are empty, from the deepest up to, not including, the root. */
static void remove_empty(int dirfd, const char *path)
{
    char *folder = strchr(path, '/') ? mmgr__path_dirname(path) : NULL;
    while (folder) {
        int parent = open_parent(dirfd, folder);
        int error = parent < 0 ? parent : mmgr__io_rmdir(parent, mmgr__path_basename(folder));
        mmgr__io_close(parent);
        char *above = error == 0 && strchr(folder, '/') ? mmgr__path_dirname(folder) : NULL;
        mmgr__free(folder);
        folder = above;
    }
}

/* What updates of the side-car that were killed left beside it. */
static void remove_temporaries(int dirfd, const char *sidecar)
{
    int parent = open_parent(dirfd, sidecar);
    DIR *dir = parent >= 0 ? fdopendir(parent) : NULL;
    if (!dir)
        mmgr__io_close(parent);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (mmgr__io_is_temporary(entry->d_name))
            mmgr__io_unlink(parent, entry->d_name);
    if (dir)
        closedir(dir);
}

struct removal {
    int dirfd, count;
    char *root;
    const json_t *sidecar; /* its row: no file of the manifest, so not reported */
    struct mmgr__buf *deleted;
};

static enum mmgr_result delete_one(struct removal *removal, const char *path, const json_t *row)
{
    int gone = unlink_recorded(removal->dirfd, path, row);
    char *full = mmgr__path_join(removal->root, path);
    if (gone < 0)
        mmgr__fail_errno(-gone, "delete", full ? full : path);
    if (gone > 0 && row != removal->sidecar) {
        mmgr__buf_puts(removal->deleted, removal->count++ ? "," : "");
        mmgr__buf_json_string(removal->deleted, full);
    }
    if (row == removal->sidecar)
        remove_temporaries(removal->dirfd, path);
    if (gone > 0)
        remove_empty(removal->dirfd, path);
    mmgr__free(full);
    return gone < 0 ? mmgr__errno_code(-gone) : MMGR_OK;
}

/* Before anything is changed: may we delete from the folder of this file? */
static enum mmgr_result check_one(struct removal *removal, const char *path, const json_t *row)
{
    int parent = open_parent(removal->dirfd, path);
    if (parent < 0)
        return parent == -EACCES ? mmgr__fail_errno(EACCES, "delete", path) : MMGR_OK;
    int denied = is_recorded(parent, mmgr__path_basename(path), row) &&
                 faccessat(parent, ".", W_OK | X_OK, AT_EACCESS) != 0;
    int error = errno;
    mmgr__io_close(parent);
    return denied ? mmgr__fail_errno(error, "delete", path) : MMGR_OK;
}

/* Do `each` for the side-car and every file of a removal's journal, by its path below the root;
 * stops at an error. The side-car comes first, so that it does not keep a folder from going. */
static enum mmgr_result for_files(mmgr_installer *installer, const json_t *journal,
                                  enum mmgr_result (*each)(struct removal *, const char *,
                                                           const json_t *),
                                  struct mmgr__buf *deleted)
{
    const char *location = mmgr__json_text(journal, "location"), *below;
    struct removal removal = {.deleted = deleted};
    removal.root = location ? removal_root(installer, location, &below) : NULL;
    if (!removal.root)
        return location ? mmgr__oom()
                        : mmgr__fail(MMGR_ERR_INVALID_FILE, "a journal has no location");
    removal.dirfd = mmgr__io_open_dir(AT_FDCWD, removal.root);
    removal.sidecar = json_object_get(journal, "sidecar");
    const char *sidecar = mmgr__json_text(removal.sidecar, "path");
    size_t index;
    const json_t *row;
    enum mmgr_result result = MMGR_OK;
    if (sidecar && removal.dirfd >= 0 && mmgr__path_check_relative(sidecar) == MMGR_OK)
        result = each(&removal, sidecar, removal.sidecar);
    json_array_foreach(json_object_get(journal, "files"), index, row)
    {
        const char *name = mmgr__json_text(row, "path");
        char *path = !name ? NULL : *name ? mmgr__path_join(below, name) : mmgr__strdup(below);
        if (name && !path)
            result = mmgr__oom();
        else if (result == MMGR_OK && removal.dirfd >= 0 && path &&
                 mmgr__path_check_relative(path) == MMGR_OK)
            result = each(&removal, path, row);
        mmgr__free(path);
    }
    mmgr__io_close(removal.dirfd);
    mmgr__free(removal.root);
    return result;
}

enum mmgr_result mmgr__finish_removing(mmgr_installer *installer, struct mmgr__staging *staging,
                                       const json_t *journal, char **deleted)
{
    const char *key = mmgr__json_text(journal, "key");
    struct mmgr__buf buf = {0};
    enum mmgr_result result = mmgr_store_delete(installer->store, key);
    if (result == MMGR_ERR_UNKNOWN_MODEL)
        result = MMGR_OK; /* an earlier try came this far */
    mmgr__buf_puts(&buf, "[");
    if (result == MMGR_OK)
        result = for_files(installer, journal, delete_one, &buf);
    mmgr__buf_puts(&buf, "]");
    if (result == MMGR_OK)
        result = mmgr__staging_drop(staging);
    char *text = mmgr__buf_take(&buf);
    if (result == MMGR_OK && deleted && !text)
        result = mmgr__oom();
    if (result == MMGR_OK && deleted)
        *deleted = text;
    else
        mmgr__free(text);
    return result;
}

static enum mmgr_result remove_with_files(mmgr_installer *installer, const mmgr_record *record,
                                          int force, char **deleted)
{
    const char *below, *location = mmgr_record_location(record);
    char *root = removal_root(installer, location, &below);
    enum mmgr_result result = root ? check_reachable(root, below) : mmgr__oom();
    char *id = mmgr__printf("remove-%s", mmgr_record_text(record, MMGR_FIELD_KEY));
    struct mmgr__staging staging = {.lock = -1};
    if (result == MMGR_OK)
        result = id ? mmgr__staging_open(installer, id, 1, &staging) : mmgr__oom();
    mmgr__free(id);
    if (result != MMGR_OK) {
        mmgr__free(root);
        return result;
    }
    json_t *journal = removing_journal(record, force);
    result = journal ? add_sidecar(root, below, record, journal) : mmgr__oom();
    mmgr__free(root);
    if (result == MMGR_OK)
        result = for_files(installer, journal, check_one, NULL);
    if (result == MMGR_OK)
        result = mmgr__install_journal_write(&staging, journal);
    if (result != MMGR_OK) {
        struct mmgr_error error;
        mmgr__error_save(&error);
        mmgr__staging_drop(&staging);
        mmgr__error_restore(&error);
    }
    if (result == MMGR_OK)
        result = mmgr__finish_removing(installer, &staging, journal, deleted);
    json_decref(journal);
    mmgr__staging_close(&staging);
    return result;
}

/* The record goes, the files stay. Without its side-car no rebuild brings the record back; of a
 * record that cannot be read (NULL) the side-car is not known, and may be what makes it whole. */
static enum mmgr_result unregister(mmgr_installer *installer, const char *key,
                                   const mmgr_record *record)
{
    const char *path = record ? mmgr_record_text(record, MMGR_FIELD_PATH) : NULL;
    enum mmgr_result result = mmgr_store_delete(installer->store, key);
    char *sidecar = result == MMGR_OK && path && *path != '/'
                        ? mmgr__sidecar_find(installer->models_dir, path, record)
                        : NULL;
    char *full = sidecar ? mmgr__path_join(installer->models_dir, sidecar) : NULL;
    int error = full ? mmgr__io_unlink(AT_FDCWD, full) : 0;
    if (error < 0)
        mmgr__log(MMGR_LOG_WARNING, "install", "%s stays: %s", full, strerror(-error));
    mmgr__free(full);
    mmgr__free(sidecar);
    return result;
}

/* A removal that failed on the way has no record any more, but its journal: the next call goes
 * on with it. */
static enum mmgr_result continue_removal(mmgr_installer *installer, const char *key, char **deleted)
{
    struct mmgr_error unknown;
    mmgr__error_save(&unknown);
    struct mmgr__staging staging = {.lock = -1};
    json_t *journal = NULL;
    char *id = mmgr__printf("remove-%s", key);
    enum mmgr_result result = id && mmgr__path_check_component(id) == MMGR_OK
                                  ? mmgr__staging_open(installer, id, 0, &staging)
                                  : MMGR_ERR_PATH_NOT_FOUND;
    if (result == MMGR_OK)
        result = mmgr__install_journal_read(&staging, &journal);
    if (journal)
        result = mmgr__finish_removing(installer, &staging, journal, deleted);
    else if (result == MMGR_OK || result == MMGR_ERR_PATH_NOT_FOUND)
        result = mmgr__error_restore(&unknown);
    json_decref(journal);
    mmgr__free(id);
    mmgr__staging_close(&staging);
    return result;
}

enum mmgr_result mmgr_installer_remove(mmgr_installer *installer, const char *key,
                                       enum mmgr_remove_mode mode, char **deleted)
{
    if (!installer || !key)
        return mmgr__bad_argument(installer ? "key" : "installer");
    if (mode != MMGR_REMOVE_INSIDE && mode != MMGR_REMOVE_KEEP && mode != MMGR_REMOVE_FORCE)
        return mmgr__bad_argument("mode");
    mmgr_record *record = NULL;
    if (installer->read_only)
        return mmgr__fail(MMGR_ERR_STATE, "this installer changes nothing");
    enum mmgr_result result = mmgr_store_get(installer->store, key, &record);
    if (result == MMGR_ERR_UNKNOWN_MODEL)
        return continue_removal(installer, key, deleted);
    if (result != MMGR_OK && !(result == MMGR_ERR_INVALID_CONFIG && mode == MMGR_REMOVE_KEEP))
        return result;
    const char *location = record ? mmgr_record_location(record) : NULL;
    int inside = location && mmgr__path_inside(location, installer->models_dir);
    if (location && (mode == MMGR_REMOVE_FORCE || (mode == MMGR_REMOVE_INSIDE && inside))) {
        result = remove_with_files(installer, record, mode == MMGR_REMOVE_FORCE, deleted);
    } else {
        char *none = deleted ? mmgr__strdup("[]") : NULL;
        result = deleted && !none ? mmgr__oom() : unregister(installer, key, record);
        if (result == MMGR_OK && deleted)
            *deleted = none;
        else
            mmgr__free(none);
    }
    mmgr_record_unref(record);
    return result;
}
