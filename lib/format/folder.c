/* SPDX-License-Identifier: MIT */
/* Reading inside a model's folder: every path is opened beneath it, links are not followed, sizes,
 * depths and numbers of entries are bounded, and only regular files are read. */
#include "format/header.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/path.h"
#include "format/folder.h"

#define CONFIG_MAX   ((size_t)4 << 20)
#define WALK_DEPTH   8
#define WALK_ENTRIES 100000

struct mmgr__folder {
    char *path;
    int fd;
    uint64_t bytes_read;
};

enum mmgr_result mmgr__folder_open(const char *path, struct mmgr__folder **folder)
{
    struct mmgr__folder *made = mmgr__alloc0(1, sizeof(*made));

    if (made == NULL)
        return mmgr__oom();
    made->path = mmgr__strdup(path);
    if (made->path == NULL) {
        mmgr__free(made);
        return mmgr__oom();
    }
    made->fd = mmgr__io_open_dir(AT_FDCWD, path);
    if (made->fd < 0) {
        int error = -made->fd;
        mmgr__folder_close(made);
        return mmgr__fail_errno(error, "open folder", path);
    }
    *folder = made;
    return MMGR_OK;
}

void mmgr__folder_close(struct mmgr__folder *folder)
{
    if (folder == NULL)
        return;
    mmgr__io_close(folder->fd);
    mmgr__free(folder->path);
    mmgr__free(folder);
}

const char *mmgr__folder_path(const struct mmgr__folder *folder)
{
    return folder->path;
}

int mmgr__folder_fd(const struct mmgr__folder *folder)
{
    return folder->fd;
}

uint64_t mmgr__folder_bytes_read(const struct mmgr__folder *folder)
{
    return folder->bytes_read;
}

int mmgr__folder_has(const struct mmgr__folder *folder, const char *path)
{
    struct stat st;
    int fd = mmgr__io_open_beneath(folder->fd, path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, 0);
    int found = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);

    mmgr__io_close(fd);
    return found;
}

/* Name of a file below the folder for messages, and as the subject. */
static enum mmgr_result fail_below(struct mmgr__folder *folder, enum mmgr_result code,
                                   const char *path, const char *why)
{
    mmgr__fail(code, "%s/%s %s", folder->path, path, why);
    mmgr__error_set_subject(path);
    return code;
}

enum mmgr_result mmgr__folder_read(struct mmgr__folder *folder, const char *path, size_t limit,
                                   char **data, size_t *length)
{
    struct mmgr__bytes bytes;
    enum mmgr_result result = mmgr__bytes_open_beneath(folder->fd, path, &bytes);

    if (result != MMGR_OK)
        return result;
    char *text = NULL;
    if (bytes.size > limit)
        result =
            fail_below(folder, MMGR_ERR_INVALID_FILE, path, "is larger than such a file may be");
    else if ((text = mmgr__alloc((size_t)bytes.size + 1)) == NULL)
        result = mmgr__oom();
    else
        result = mmgr__bytes_read(&bytes, 0, text, (size_t)bytes.size);
    if (result == MMGR_OK) {
        text[bytes.size] = '\0';
        *data = text;
        *length = (size_t)bytes.size;
        folder->bytes_read += bytes.size;
    } else {
        mmgr__free(text);
    }
    mmgr__bytes_close(&bytes);
    return result;
}

enum mmgr_result mmgr__folder_config(struct mmgr__folder *folder, const char *path, json_t **config)
{
    char *text;
    size_t length;
    json_t *root;
    enum mmgr_result result = mmgr__folder_read(folder, path, CONFIG_MAX, &text, &length);

    if (result == MMGR_ERR_PATH_NOT_FOUND) {
        *config = NULL;
        return MMGR_OK;
    }
    if (result != MMGR_OK)
        return result;
    result = mmgr__json_parse(text, length, MMGR_ERR_INVALID_FILE, path, &root);
    mmgr__free(text);
    if (result != MMGR_OK) {
        mmgr__error_set_subject(path);
        return result;
    }
    if (!json_is_object(root)) {
        json_decref(root);
        return fail_below(folder, MMGR_ERR_INVALID_FILE, path, "is not a JSON object");
    }
    *config = root;
    return MMGR_OK;
}

enum mmgr_result mmgr__folder_text(struct mmgr__folder *folder, const char *path, size_t limit,
                                   char **text)
{
    size_t length;
    enum mmgr_result result = mmgr__folder_read(folder, path, limit, text, &length);

    if (result == MMGR_ERR_PATH_NOT_FOUND) {
        *text = NULL;
        return MMGR_OK;
    }
    return result;
}

/* --- listing
 * ------------------------------------------------------------------------------------- */

static int kind_of(int fd, const struct dirent *entry)
{
    struct stat st;

    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type;
    if (mmgr__io_stat(fd, entry->d_name, &st, 0) != 0)
        return DT_UNKNOWN;
    return S_ISREG(st.st_mode) ? DT_REG : S_ISDIR(st.st_mode) ? DT_DIR : DT_UNKNOWN;
}

enum mmgr_result mmgr__folder_list(struct mmgr__folder *folder, const char *path,
                                   struct mmgr__strings *files, struct mmgr__strings *folders)
{
    const char *below = path[0] == '\0' ? "." : path;
    int fd = path[0] == '\0'
                 ? mmgr__io_open_dir(folder->fd, ".")
                 : mmgr__io_open_beneath(folder->fd, path, O_RDONLY | O_DIRECTORY | O_NONBLOCK, 0);
    if (fd < 0)
        return mmgr__fail_errno(-fd, "open folder", below);
    DIR *stream = fdopendir(fd);
    if (stream == NULL) {
        int error = errno;
        mmgr__io_close(fd);
        return mmgr__fail_errno(error, "list", below);
    }
    enum mmgr_result result = MMGR_OK;
    size_t entries = 0;
    const struct dirent *entry;
    while (result == MMGR_OK && (entry = readdir(stream)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        if (++entries > WALK_ENTRIES) {
            result = fail_below(folder, MMGR_ERR_INVALID_FILE, below,
                                "has too many entries for a model");
            break;
        }
        int kind = kind_of(dirfd(stream), entry);
        struct mmgr__strings *list = kind == DT_DIR ? folders : kind == DT_REG ? files : NULL;
        if (list != NULL && !mmgr__strings_add(list, entry->d_name))
            result = mmgr__oom();
    }
    closedir(stream);
    if (result == MMGR_OK) {
        mmgr__strings_sort(files);
        mmgr__strings_sort(folders);
    }
    return result;
}

static enum mmgr_result walk(struct mmgr__folder *folder, const char *path, unsigned depth,
                             struct mmgr__strings *paths)
{
    struct mmgr__strings files = {0}, folders = {0};
    enum mmgr_result result = mmgr__folder_list(folder, path, &files, &folders);

    for (size_t i = 0; result == MMGR_OK && i < files.count; i++) {
        char *joined =
            path[0] == '\0' ? mmgr__strdup(files.items[i]) : mmgr__path_join(path, files.items[i]);
        if (joined == NULL || !mmgr__strings_add(paths, joined))
            result = mmgr__oom();
        mmgr__free(joined);
    }
    if (result == MMGR_OK && paths->count > WALK_ENTRIES)
        result = fail_below(folder, MMGR_ERR_INVALID_FILE, ".", "has too many files for a model");
    for (size_t i = 0; result == MMGR_OK && i < folders.count && depth < WALK_DEPTH; i++) {
        char *joined = path[0] == '\0' ? mmgr__strdup(folders.items[i])
                                       : mmgr__path_join(path, folders.items[i]);
        result = joined == NULL ? mmgr__oom() : walk(folder, joined, depth + 1, paths);
        mmgr__free(joined);
    }
    mmgr__strings_free(&files);
    mmgr__strings_free(&folders);
    return result;
}

enum mmgr_result mmgr__folder_walk(struct mmgr__folder *folder, struct mmgr__strings *paths)
{
    enum mmgr_result result = walk(folder, "", 0, paths);

    if (result == MMGR_OK)
        mmgr__strings_sort(paths);
    return result;
}
