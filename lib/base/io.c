/* SPDX-License-Identifier: MIT */
/* The one door to the disk: single steps, each counted and, when it changes the disk, passed by
 * the hook. */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Atomic(mmgr__io_hook) hook;
static _Atomic(void *) hook_user;
static atomic_int no_openat2;
static struct {
    atomic_uint_fast64_t read_bytes, read_calls, write_bytes, write_calls, fsyncs, renames, opens;
} counted;

static void count(atomic_uint_fast64_t *counter, uint64_t by)
{
    atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

void mmgr__io_set_hook(mmgr__io_hook fn, void *user)
{
    atomic_store(&hook, NULL);
    atomic_store(&hook_user, user);
    atomic_store(&hook, fn);
}

void mmgr__io_force_fallback(int on)
{
    atomic_store(&no_openat2, on);
}

/* 0, or the negative errno that the hook asks for. */
static int pass(enum mmgr__io_op op, const char *name)
{
    mmgr__io_hook fn = atomic_load(&hook);
    if (fn == NULL)
        return 0;
    int error = fn(op, name != NULL ? name : "", atomic_load(&hook_user));
    return error > 0 ? -error : error;
}

int mmgr__io_point(const char *name)
{
    return pass(MMGR__IO_POINT, name);
}

void mmgr__io_counters(struct mmgr__io_counters *counters)
{
    counters->read_bytes = atomic_load(&counted.read_bytes);
    counters->read_calls = atomic_load(&counted.read_calls);
    counters->write_bytes = atomic_load(&counted.write_bytes);
    counters->write_calls = atomic_load(&counted.write_calls);
    counters->fsyncs = atomic_load(&counted.fsyncs);
    counters->renames = atomic_load(&counted.renames);
    counters->opens = atomic_load(&counted.opens);
}

static int open_at(int dirfd, const char *path, int flags, mode_t mode)
{
    int fd;
    do
        fd = openat(dirfd, path, flags | O_CLOEXEC | O_NOCTTY, mode);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return -errno;
    count(&counted.opens, 1);
    return fd;
}

int mmgr__io_open_read(int dirfd, const char *path)
{
    /* Without O_NONBLOCK a FIFO that poses as a model would block for ever. */
    int fd = open_at(dirfd, path, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0)
        return fd;
    struct stat st;
    int error = fstat(fd, &st) != 0 ? -errno : S_ISREG(st.st_mode) ? 0 : -EINVAL;
    if (error != 0) {
        close(fd);
        return error;
    }
    return fd;
}

int mmgr__io_open_dir(int dirfd, const char *path)
{
    return open_at(dirfd, path, O_RDONLY | O_DIRECTORY, 0);
}

int mmgr__io_open_write(int dirfd, const char *path, int flags, mode_t mode)
{
    int error = pass(MMGR__IO_OPEN_WRITE, path);
    return error != 0 ? error : open_at(dirfd, path, flags | O_WRONLY | O_NOFOLLOW, mode);
}

/* ".." is refused by text, also where it would stay inside: a path from outside has no use for
 * it. */
static int check_beneath(const char *path)
{
    if (path[0] == '\0')
        return -ENOENT;
    if (path[0] == '/')
        return -EXDEV;
    for (const char *at = path; *at != '\0';) {
        size_t length = strcspn(at, "/");
        if (length == 2 && at[0] == '.' && at[1] == '.')
            return -EXDEV;
        at += length;
        at += strspn(at, "/");
    }
    return 0;
}

static int open_by_openat2(int dirfd, const char *path, int flags, mode_t mode)
{
    struct open_how how = {
        /* openat2 refuses what makes no sense together */
        .flags = (uint64_t)(flags | O_CLOEXEC | ((flags & O_PATH) != 0 ? 0 : O_NOCTTY)),
        .mode = (flags & O_CREAT) != 0 ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    long fd;
    int tries = 0;
    do
        fd = syscall(SYS_openat2, dirfd, path, &how, sizeof how);
    while (fd < 0 && (errno == EINTR || (errno == EAGAIN && ++tries < 8)));
    return fd < 0 ? -errno : (int)fd;
}

/* A folder opened with O_NOFOLLOW says ENOTDIR for a symbolic link: tell the two apart. */
static int open_component(int dirfd, const char *name, int flags, mode_t mode)
{
    int fd = open_at(dirfd, name, flags | O_NOFOLLOW, mode);
    struct stat st;
    if (fd == -ENOTDIR && fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISLNK(st.st_mode))
        return -ELOOP;
    /* O_PATH with O_NOFOLLOW opens the link itself, which openat2 refuses. */
    if (fd >= 0 && (flags & O_PATH) != 0 && (fstat(fd, &st) != 0 || S_ISLNK(st.st_mode))) {
        close(fd);
        return -ELOOP;
    }
    return fd;
}

/* Each component is opened from the descriptor of the one before, never through a link, so that
 * nobody can swap a folder between a check and its use. */
static int open_by_components(int dirfd, const char *path, int flags, mode_t mode)
{
    int at_fd = dirfd;
    for (;;) {
        char name[NAME_MAX + 1];
        size_t length = strcspn(path, "/");
        size_t gap = strspn(path + length, "/");
        if (length > NAME_MAX) {
            if (at_fd != dirfd)
                close(at_fd);
            return -ENAMETOOLONG;
        }
        memcpy(name, path, length);
        name[length] = '\0';
        int is_last = path[length + gap] == '\0';
        int final_flags = gap > 0 ? flags | O_DIRECTORY : flags;
        int fd = is_last ? open_component(at_fd, name, final_flags, mode)
                         : open_component(at_fd, name, O_PATH | O_DIRECTORY, 0);
        if (at_fd != dirfd)
            close(at_fd);
        if (fd < 0 || is_last)
            return fd;
        at_fd = fd;
        path += length + gap;
    }
}

int mmgr__io_open_beneath(int dirfd, const char *path, int flags, mode_t mode)
{
    int error = check_beneath(path);
    if (error == 0 && (flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) != 0)
        error = pass(MMGR__IO_OPEN_WRITE, path);
    if (error != 0)
        return error;
    if (!atomic_load_explicit(&no_openat2, memory_order_relaxed)) {
        int fd = open_by_openat2(dirfd, path, flags, mode);
        if (fd >= 0)
            count(&counted.opens, 1);
        /* A sandbox that does not know the call says EPERM; the long way then gives the true
         * answer. */
        if (fd != -ENOSYS && fd != -EPERM && fd != -EAGAIN)
            return fd;
    }
    return open_by_components(dirfd, path, flags, mode);
}

void mmgr__io_close(int fd)
{
    if (fd >= 0)
        close(fd);
}

int64_t mmgr__io_pread(int fd, void *data, size_t bytes, uint64_t offset)
{
    size_t done = 0;
    while (done < bytes) {
        ssize_t got = pread(fd, (char *)data + done, bytes - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        count(&counted.read_calls, 1);
        count(&counted.read_bytes, (uint64_t)got);
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (int64_t)done;
}

int mmgr__io_pwrite(int fd, const void *data, size_t bytes, uint64_t offset)
{
    size_t done = 0;
    while (done < bytes) {
        int error = pass(MMGR__IO_WRITE, NULL);
        if (error != 0)
            return error;
        ssize_t put = pwrite(fd, (const char *)data + done, bytes - done, (off_t)(offset + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        count(&counted.write_calls, 1);
        count(&counted.write_bytes, (uint64_t)put);
        done += (size_t)put;
    }
    return 0;
}

int mmgr__io_truncate(int fd, uint64_t size)
{
    int error = pass(MMGR__IO_TRUNCATE, NULL);
    if (error == 0 && ftruncate(fd, (off_t)size) != 0)
        error = -errno;
    return error;
}

int mmgr__io_allocate(int fd, uint64_t offset, uint64_t bytes)
{
    int error = pass(MMGR__IO_ALLOCATE, NULL);
    if (error != 0 || bytes == 0)
        return error;
    int failed;
    do
        failed = fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes);
    while (failed != 0 && errno == EINTR);
    if (failed != 0 && errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL)
        return -errno;
    return 0;
}

int mmgr__io_fsync(int fd, const char *name)
{
    int error = pass(MMGR__IO_FSYNC, name);
    if (error != 0)
        return error;
    count(&counted.fsyncs, 1);
    /* A failed sync is never tried again: the kernel may have marked the lost pages clean. */
    return fsync(fd) != 0 ? -errno : 0;
}

int mmgr__io_rename(int dirfd_from, const char *from, int dirfd_to, const char *to, int no_replace)
{
    int error = pass(MMGR__IO_RENAME, to);
    if (error != 0)
        return error;
    if (!no_replace) {
        if (renameat(dirfd_from, from, dirfd_to, to) != 0)
            return -errno;
    } else if (syscall(SYS_renameat2, dirfd_from, from, dirfd_to, to, RENAME_NOREPLACE) != 0) {
        if (errno != EINVAL && errno != ENOSYS)
            return -errno;
        /* Some network file systems know no RENAME_NOREPLACE; a link refuses an existing target
         * too. */
        if (linkat(dirfd_from, from, dirfd_to, to, 0) == 0) {
            if (unlinkat(dirfd_from, from, 0) != 0)
                return -errno;
        } else if (errno != EPERM && errno != EOPNOTSUPP) {
            return -errno;
        } else {
            /* Folders cannot be linked. Only a non-empty target stops this one. */
            struct stat st;
            if (fstatat(dirfd_to, to, &st, AT_SYMLINK_NOFOLLOW) == 0)
                return -EEXIST;
            if (renameat(dirfd_from, from, dirfd_to, to) != 0)
                return -errno;
        }
    }
    count(&counted.renames, 1);
    return 0;
}

int mmgr__io_unlink(int dirfd, const char *path)
{
    int error = pass(MMGR__IO_UNLINK, path);
    return error != 0 ? error : unlinkat(dirfd, path, 0) != 0 ? -errno : 0;
}

int mmgr__io_mkdir(int dirfd, const char *path, mode_t mode)
{
    int error = pass(MMGR__IO_MKDIR, path);
    return error != 0 ? error : mkdirat(dirfd, path, mode) != 0 ? -errno : 0;
}

int mmgr__io_rmdir(int dirfd, const char *path)
{
    int error = pass(MMGR__IO_RMDIR, path);
    return error != 0 ? error : unlinkat(dirfd, path, AT_REMOVEDIR) != 0 ? -errno : 0;
}

int mmgr__io_clone(int fd_to, int fd_from)
{
    int error = pass(MMGR__IO_CLONE, NULL);
    return error != 0 ? error : ioctl(fd_to, FICLONE, fd_from) != 0 ? -errno : 0;
}

int mmgr__io_copy_rights(int fd, const struct stat *from)
{
    int error = pass(MMGR__IO_CHMOD, NULL);
    if (error != 0)
        return error;
    /* Only root gives a file away, and only a member gives it to a group; who may do neither keeps it. */
    if (fchown(fd, from->st_uid, from->st_gid) != 0 && fchown(fd, (uid_t)-1, from->st_gid) != 0)
        errno = 0;
    return fchmod(fd, from->st_mode & 07777) != 0 ? -errno : 0;
}

int mmgr__io_stat(int dirfd, const char *path, struct stat *st, int follow)
{
    return fstatat(dirfd, path, st, follow ? 0 : AT_SYMLINK_NOFOLLOW) != 0 ? -errno : 0;
}

static int set_lock(int fd, int exclusive, int wait)
{
    struct flock lock = {.l_type = exclusive ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET};
    int failed;
    do
        failed = fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock);
    while (failed != 0 && errno == EINTR);
    if (failed != 0 && (errno == EINVAL || errno == ENOSYS)) {
        do
            failed = flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | (wait ? 0 : LOCK_NB));
        while (failed != 0 && errno == EINTR);
    }
    return failed == 0 ? 0 : errno == EACCES ? -EAGAIN : -errno;
}

int mmgr__io_lock(int dirfd, const char *path, int exclusive, int wait)
{
    int fd = pass(MMGR__IO_OPEN_WRITE, path);
    if (fd == 0)
        fd = open_at(dirfd, path, O_RDWR | O_CREAT | O_NOFOLLOW, 0644);
    if (fd < 0)
        return fd;
    int error = set_lock(fd, exclusive, wait);
    if (error != 0) {
        close(fd);
        return error;
    }
    return fd;
}

void mmgr__io_unlock(int fd)
{
    if (fd < 0)
        return;
    /* Said aloud, because a child that inherited the descriptor would keep the lock past the
     * close. */
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &lock) != 0)
        flock(fd, LOCK_UN);
    close(fd);
}

int mmgr__io_free_space(const char *path, uint64_t *bytes)
{
    struct statvfs fs;
    if (statvfs(path, &fs) != 0)
        return -errno;
    *bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    return 0;
}
