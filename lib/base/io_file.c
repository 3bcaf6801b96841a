/* SPDX-License-Identifier: MIT */
/* What is made of several steps of the I/O door: whole files, folders with their parents. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/path.h"
#include "base/text.h"
#include "base/thread.h"

int mmgr__io_fsync_dir(int dirfd, const char *path)
{
    int fd = mmgr__io_open_dir(dirfd, path);
    if (fd < 0)
        return fd;
    int error = mmgr__io_fsync(fd, path);
    mmgr__io_close(fd);
    /* Some file systems cannot sync a folder; their renames are as durable as they get. */
    return error == -EINVAL || error == -ENOTSUP ? 0 : error;
}

/* Read to the end; the size that stat gave is a hint only. */
static int read_all(int fd, size_t hint, size_t limit, char **data, size_t *length)
{
    size_t capacity = (hint < limit ? hint : limit) + 2, used = 0;
    char *buffer = mmgr__alloc(capacity);
    if (buffer == NULL)
        return -ENOMEM;
    for (;;) {
        int64_t got = mmgr__io_pread(fd, buffer + used, capacity - 1 - used, used);
        if (got < 0 || used + (size_t)got > limit) {
            mmgr__free(buffer);
            return got < 0 ? (int)got : -EFBIG;
        }
        used += (size_t)got;
        if (used < capacity - 1)
            break;
        void *grown = buffer;
        if (!mmgr__grow(&grown, &capacity, capacity * 2, 1)) {
            mmgr__free(buffer);
            return -ENOMEM;
        }
        buffer = grown;
    }
    buffer[used] = '\0';
    *data = buffer;
    *length = used;
    return 0;
}

int mmgr__io_read_file(int dirfd, const char *path, size_t limit, char **data, size_t *length)
{
    int fd = mmgr__io_open_read(dirfd, path);
    if (fd < 0)
        return fd;
    struct stat st;
    int error = fstat(fd, &st) != 0 ? -errno : 0;
    if (error == 0 && (uint64_t)st.st_size > limit)
        error = -EFBIG;
    if (error == 0)
        error = read_all(fd, (size_t)st.st_size, limit, data, length);
    mmgr__io_close(fd);
    return error;
}

static int write_synced(const char *path, const void *data, size_t length, mode_t mode)
{
    int fd = mmgr__io_open_write(AT_FDCWD, path, O_CREAT | O_EXCL, mode);
    if (fd < 0)
        return fd;
    int error = mmgr__io_pwrite(fd, data, length, 0);
    if (error == 0)
        error = mmgr__io_fsync(fd, path);
    mmgr__io_close(fd);
    if (error != 0)
        mmgr__io_unlink(AT_FDCWD, path);
    return error;
}

#define TEMPORARY_START  ".mmgr-"
#define TEMPORARY_END    ".tmp"
#define TEMPORARY_DIGITS 16

int mmgr__io_is_temporary(const char *name)
{
    return strlen(name) == strlen(TEMPORARY_START TEMPORARY_END) + TEMPORARY_DIGITS &&
           mmgr__starts_with(name, TEMPORARY_START) && mmgr__ends_with(name, TEMPORARY_END);
}

int mmgr__io_write_file(const char *path, const void *data, size_t length, mode_t mode)
{
    char name[32] = TEMPORARY_START;
    size_t start = strlen(name);
    mmgr__random_hex(name + start, TEMPORARY_DIGITS);
    memcpy(name + start + TEMPORARY_DIGITS, TEMPORARY_END, sizeof TEMPORARY_END);
    char *folder = mmgr__path_dirname(path);
    char *temporary = folder != NULL ? mmgr__path_join(folder, name) : NULL;
    int error = temporary != NULL ? write_synced(temporary, data, length, mode) : -ENOMEM;
    if (error == 0) {
        error = mmgr__io_rename(AT_FDCWD, temporary, AT_FDCWD, path, 0);
        if (error != 0)
            mmgr__io_unlink(AT_FDCWD, temporary);
        else
            error = mmgr__io_fsync_dir(AT_FDCWD, folder);
    }
    mmgr__free(temporary);
    mmgr__free(folder);
    return error;
}

/* Make one folder whose parent exists; 0 also when it is there already. */
static int make_one(const char *path, mode_t mode)
{
    struct stat st;
    int error = mmgr__io_mkdir(AT_FDCWD, path, mode);
    if (error == -EEXIST) {
        error = mmgr__io_stat(AT_FDCWD, path, &st, 1);
        return error != 0 ? error : S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
    }
    if (error != 0)
        return error;
    char *parent = mmgr__path_dirname(path);
    if (parent == NULL)
        return -ENOMEM;
    error = mmgr__io_fsync_dir(AT_FDCWD, parent);
    mmgr__free(parent);
    return error;
}

int mmgr__io_mkdirs(const char *path, mode_t mode)
{
    struct stat st;
    if (path[0] == '\0')
        return -ENOENT;
    if (mmgr__io_stat(AT_FDCWD, path, &st, 1) == 0)
        return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
    char *prefix = mmgr__strdup(path);
    if (prefix == NULL)
        return -ENOMEM;
    int error = 0;
    size_t at = strspn(path, "/");
    while (error == 0 && path[at] != '\0') {
        at += strcspn(path + at, "/");
        prefix[at] = '\0';
        if (mmgr__io_stat(AT_FDCWD, prefix, &st, 1) != 0 || !S_ISDIR(st.st_mode))
            error = make_one(prefix, mode);
        if (path[at] != '\0') {
            prefix[at] = path[at];
            at += strspn(path + at, "/");
        }
    }
    mmgr__free(prefix);
    return error;
}
