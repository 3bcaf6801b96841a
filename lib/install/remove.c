/* SPDX-License-Identifier: MIT */
/* Removing models: the intent is journalled, then the record goes, then the files that are still the ones
 * that were recorded, then folders that became empty. Never a tree. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/json.h"
#include "base/path.h"
#include "base/record.h"
#include "install/install.h"

/* The folder from which a model's files are reached without following a link: models_dir for models inside
 * it, else the folder that holds the model. */
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
    if (fd >= 0)
        mmgr__io_close(fd);
    return MMGR_OK;
}

static json_t *removing_journal(const mmgr_record *record, int force)
{
    json_t *journal =
        json_pack("{s:i, s:s, s:s, s:s, s:b, s:[]}", "version", 1, "state", MMGR__STATE_REMOVING, "key",
                  mmgr_record_text(record, MMGR_FIELD_KEY), "location", mmgr_record_location(record),
                  "force", force, "files");
    json_t *files = json_object_get(journal, "files");
    for (uint32_t i = 0; files && i < record->file_count; i++) {
        const struct mmgr__file *file = &record->files[i];
        if (!force && (file->flags & MMGR_FILE_LINKED))
            continue;
        json_t *row = json_pack("{s:s, s:I, s:I, s:I}", "path", file->path, "size", (json_int_t)file->size,
                                "device", (json_int_t)file->device, "inode", (json_int_t)file->inode);
        if (!row || json_array_append_new(files, row) != 0) {
            json_decref(journal);
            return NULL;
        }
    }
    return journal;
}

/* Unlink one file of the manifest if it is still the one that was recorded. 1 when it went. */
static int unlink_recorded(int dirfd, const char *path, const json_t *row)
{
    char *folder = mmgr__path_dirname(path);
    const char *name = mmgr__path_basename(path);
    int parent = !folder                      ? -ENOMEM
                 : strchr(path, '/') == NULL ? mmgr__io_open_dir(dirfd, ".")
                                             : mmgr__io_open_beneath(dirfd, folder, O_RDONLY | O_DIRECTORY, 0);
    mmgr__free(folder);
    if (parent < 0)
        return 0;
    struct stat st;
    int same = mmgr__io_stat(parent, name, &st, 0) == 0 && S_ISREG(st.st_mode) &&
               st.st_size == json_integer_value(json_object_get(row, "size")) &&
               (json_int_t)st.st_dev == json_integer_value(json_object_get(row, "device")) &&
               (json_int_t)st.st_ino == json_integer_value(json_object_get(row, "inode"));
    int gone = same && mmgr__io_unlink(parent, name) == 0;
    if (gone)
        mmgr__io_fsync_dir(parent, ".");
    mmgr__io_close(parent);
    return gone;
}

/* Remove folders that are empty, from the deepest up to, not including, the root. */
static void remove_empty(int dirfd, const char *path)
{
    char *folder = strchr(path, '/') ? mmgr__path_dirname(path) : NULL;
    while (folder && mmgr__io_rmdir(dirfd, folder) == 0) {
        char *parent = strchr(folder, '/') ? mmgr__path_dirname(folder) : NULL;
        mmgr__free(folder);
        folder = parent;
    }
    mmgr__free(folder);
}

static enum mmgr_result delete_files(mmgr_installer *installer, const json_t *journal,
                                     struct mmgr__buf *deleted)
{
    const char *location = mmgr__json_text(journal, "location"), *below;
    char *root = location ? removal_root(installer, location, &below) : NULL;
    if (!root)
        return location ? mmgr__oom() : mmgr__fail(MMGR_ERR_INVALID_FILE, "a journal has no location");
    int dirfd = mmgr__io_open_dir(AT_FDCWD, root);
    size_t index;
    const json_t *row;
    int count = 0;
    json_array_foreach(json_object_get(journal, "files"), index, row) {
        const char *name = mmgr__json_text(row, "path");
        char *path = !name ? NULL : *name ? mmgr__path_join(below, name) : mmgr__strdup(below);
        if (dirfd >= 0 && path && mmgr__path_check_relative(path) == MMGR_OK &&
            unlink_recorded(dirfd, path, row)) {
            char *full = mmgr__path_join(root, path);
            mmgr__buf_puts(deleted, count++ ? "," : "");
            mmgr__buf_json_string(deleted, full);
            mmgr__free(full);
            remove_empty(dirfd, path);
        }
        mmgr__free(path);
    }
    if (dirfd >= 0)
        mmgr__io_close(dirfd);
    mmgr__free(root);
    return MMGR_OK;
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
        result = delete_files(installer, journal, &buf);
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

static enum mmgr_result remove_with_files(mmgr_installer *installer, const mmgr_record *record, int force,
                                          char **deleted)
{
    const char *below, *location = mmgr_record_location(record);
    char *root = removal_root(installer, location, &below);
    enum mmgr_result result = root ? check_reachable(root, below) : mmgr__oom();
    mmgr__free(root);
    char *id = mmgr__printf("remove-%s", mmgr_record_text(record, MMGR_FIELD_KEY));
    struct mmgr__staging staging = {.lock = -1};
    if (result == MMGR_OK)
        result = id ? mmgr__staging_open(installer, id, 1, &staging) : mmgr__oom();
    mmgr__free(id);
    if (result != MMGR_OK)
        return result;
    json_t *journal = removing_journal(record, force);
    result = journal ? mmgr__install_journal_write(&staging, journal) : mmgr__oom();
    if (result == MMGR_OK)
        result = mmgr__finish_removing(installer, &staging, journal, deleted);
    json_decref(journal);
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
    mmgr_record *record;
    enum mmgr_result result = mmgr_store_get(installer->store, key, &record);
    if (result != MMGR_OK)
        return result;
    const char *location = mmgr_record_location(record);
    int inside = location && mmgr__path_inside(location, installer->models_dir);
    if (location && (mode == MMGR_REMOVE_FORCE || (mode == MMGR_REMOVE_INSIDE && inside))) {
        result = remove_with_files(installer, record, mode == MMGR_REMOVE_FORCE, deleted);
    } else {
        char *none = deleted ? mmgr__strdup("[]") : NULL;
        result = deleted && !none ? mmgr__oom() : mmgr_store_delete(installer->store, key);
        if (result == MMGR_OK && deleted)
            *deleted = none;
        else
            mmgr__free(none);
    }
    mmgr_record_unref(record);
    return result;
}
