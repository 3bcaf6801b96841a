/* SPDX-License-Identifier: MIT */
/* Listing the files of a model folder, and removing folders that are our own. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/path.h"
#include "install/install.h"
#include "store/sidecar.h"

#define MAX_DEPTH 20
#define MAX_FILES 100000

int mmgr__has_weight_suffix(const char *name)
{
    static const char *const suffixes[] = {".safetensors", ".ckpt", ".pt",  ".pth",
                                           ".bin",         ".gguf", ".onnx"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (mmgr__ends_with_nocase(name, suffixes[i]))
            return 1;
    return 0;
}

static enum mmgr_result add_item(struct mmgr__walk *walk, const char *relative,
                                 const struct stat *st, int is_link)
{
    if (walk->count >= MAX_FILES)
        return mmgr__fail(MMGR_ERR_INVALID_FILE, "the folder holds more than %d files", MAX_FILES);
    if (!mmgr__grow((void **)&walk->items, &walk->capacity, walk->count + 1, sizeof *walk->items))
        return mmgr__oom();
    char *copy = mmgr__strdup(relative);
    if (!copy)
        return mmgr__oom();
    walk->items[walk->count++] =
        (struct mmgr__walk_item){copy, (uint64_t)st->st_size,
                                 (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
                                 is_link};
    return MMGR_OK;
}

/* Links to files are followed (a hub's cache is made of them), links to folders are not: they
 * can loop. */
static enum mmgr_result walk_folder(struct mmgr__walk *walk, const char *root, const char *below,
                                    int depth);

static int is_wanted(const char *name, uint32_t flags)
{
    if (flags & MMGR__WALK_SIDECARS)
        return strcmp(name, MMGR__SIDECAR_NAME) == 0;
    return name[0] != '.';
}

static enum mmgr_result walk_entry(struct mmgr__walk *walk, const char *root, const char *below,
                                   const char *name, int depth)
{
    char *relative = *below ? mmgr__path_join(below, name) : mmgr__strdup(name);
    char *full = relative ? mmgr__path_join(root, relative) : NULL;
    enum mmgr_result result = MMGR_OK;
    struct stat link, target;
    if (!full)
        result = mmgr__oom();
    else if (mmgr__io_stat(AT_FDCWD, full, &link, 0) < 0 ||
             mmgr__io_stat(AT_FDCWD, full, &target, 1) < 0)
        result = MMGR_OK; /* vanished, or a dangling link: not part of the model */
    else if (S_ISDIR(link.st_mode) && name[0] != '.')
        result = walk_folder(walk, root, relative, depth + 1);
    else if (S_ISREG(target.st_mode) && is_wanted(name, walk->flags))
        result = add_item(walk, relative, &target, S_ISLNK(link.st_mode));
    mmgr__free(full);
    mmgr__free(relative);
    return result;
}

static enum mmgr_result walk_folder(struct mmgr__walk *walk, const char *root, const char *below,
                                    int depth)
{
    int lenient = depth > 0 && (walk->flags & MMGR__WALK_LENIENT);
    if (depth > MAX_DEPTH && lenient)
        return MMGR_OK;
    if (depth > MAX_DEPTH)
        return mmgr__fail(MMGR_ERR_INVALID_FILE, "%s/%s: folders are nested deeper than %d", root,
                          below, MAX_DEPTH);
    char *path = *below ? mmgr__path_join(root, below) : mmgr__strdup(root);
    if (!path)
        return mmgr__oom();
    DIR *dir = opendir(path);
    if (!dir) {
        enum mmgr_result result = lenient ? MMGR_OK : mmgr__fail_errno(errno, "list", path);
        mmgr__free(path);
        return result;
    }
    enum mmgr_result result = MMGR_OK;
    for (struct dirent *entry; result == MMGR_OK && (entry = readdir(dir));)
        if (entry->d_name[0] != '.' || is_wanted(entry->d_name, walk->flags))
            result = walk_entry(walk, root, below, entry->d_name, depth);
    closedir(dir);
    mmgr__free(path);
    return result;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct mmgr__walk_item *)a)->relative,
                  ((const struct mmgr__walk_item *)b)->relative);
}

enum mmgr_result mmgr__walk(const char *path, struct mmgr__walk *walk)
{
    return mmgr__walk_for(path, 0, walk);
}

enum mmgr_result mmgr__walk_for(const char *path, uint32_t flags, struct mmgr__walk *walk)
{
    *walk = (struct mmgr__walk){.flags = flags};
    struct stat st;
    int error = mmgr__io_stat(AT_FDCWD, path, &st, 1);
    if (error < 0)
        return mmgr__fail_errno(-error, "find", path);
    enum mmgr_result result;
    if (S_ISDIR(st.st_mode))
        result = walk_folder(walk, path, "", 0);
    else if (S_ISREG(st.st_mode))
        result = add_item(walk, "", &st, 0);
    else
        result = mmgr__fail(MMGR_ERR_INVALID_FILE, "%s is neither a file nor a folder", path);
    if (result != MMGR_OK) {
        mmgr__walk_free(walk);
        return result;
    }
    if (walk->count)
        qsort(walk->items, walk->count, sizeof *walk->items, by_name);
    return MMGR_OK;
}

void mmgr__walk_free(struct mmgr__walk *walk)
{
    for (size_t i = 0; i < walk->count; i++)
        mmgr__free(walk->items[i].relative);
    mmgr__free(walk->items);
    memset(walk, 0, sizeof *walk);
}

static int remove_below(int parent, const char *name, int depth);

static int remove_entries(int dirfd, int depth)
{
    int copy = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
    DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
    if (!dir) {
        int error = -errno;
        mmgr__io_close(copy);
        return error;
    }
    int error = 0;
    for (struct dirent *entry; !error && (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            error = remove_below(dirfd, entry->d_name, depth + 1);
    closedir(dir);
    return error;
}

/* A link is removed, never followed: the folder is opened in a way that refuses links. */
static int remove_below(int parent, const char *name, int depth)
{
    struct stat st;
    int error = mmgr__io_stat(parent, name, &st, 0);
    if (error < 0)
        return error;
    if (!S_ISDIR(st.st_mode))
        return mmgr__io_unlink(parent, name);
    int fd = depth < 64 ? mmgr__io_open_beneath(parent, name, O_RDONLY | O_DIRECTORY, 0) : -ELOOP;
    if (fd < 0)
        return fd;
    error = remove_entries(fd, depth);
    mmgr__io_close(fd);
    return error ? error : mmgr__io_rmdir(parent, name);
}

int mmgr__remove_tree(const char *path)
{
    char *folder = mmgr__path_dirname(path);
    int parent = folder ? mmgr__io_open_dir(AT_FDCWD, folder) : -ENOMEM;
    mmgr__free(folder);
    int error = parent < 0 ? parent : remove_below(parent, mmgr__path_basename(path), 0);
    mmgr__io_close(parent);
    return error == -ENOENT ? 0 : error;
}

static int remove_hidden_in(int dirfd, int depth);

static int remove_hidden_entry(int dirfd, const char *name, int depth)
{
    struct stat st;
    int error = mmgr__io_stat(dirfd, name, &st, 0);
    if (*name == '.')
        return error == 0 ? remove_below(dirfd, name, depth) : error;
    if (error < 0 || !S_ISDIR(st.st_mode))
        return error;
    int fd = depth < 64 ? mmgr__io_open_beneath(dirfd, name, O_RDONLY | O_DIRECTORY, 0) : -ELOOP;
    if (fd < 0)
        return fd;
    error = remove_hidden_in(fd, depth);
    mmgr__io_close(fd);
    return error;
}

static int remove_hidden_in(int dirfd, int depth)
{
    int copy = mmgr__io_open_dir(dirfd, ".");
    DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
    if (!dir) {
        int error = copy < 0 ? copy : -errno;
        mmgr__io_close(copy);
        return error;
    }
    int error = 0;
    for (struct dirent *entry; !error && (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            error = remove_hidden_entry(dirfd, entry->d_name, depth + 1);
    closedir(dir);
    return error == -ENOENT ? 0 : error;
}

int mmgr__remove_hidden(const char *path)
{
    int fd = mmgr__io_open_dir(AT_FDCWD, path);
    if (fd < 0)
        return fd;
    int error = remove_hidden_in(fd, 0);
    mmgr__io_close(fd);
    return error;
}
