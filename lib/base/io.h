/* SPDX-License-Identifier: MIT */
/* The one door to the disk. Reads are counted, and everything that changes the disk passes a hook first,
 * so that a test can fail or kill the process at each step. All functions return 0 or a byte count, or a
 * negative errno; they set no error (mmgr__fail_errno() does). Descriptors are close-on-exec. */
#ifndef BASE_IO_H
#define BASE_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

enum mmgr__io_op {
    MMGR__IO_OPEN_WRITE, MMGR__IO_WRITE, MMGR__IO_TRUNCATE, MMGR__IO_ALLOCATE, MMGR__IO_FSYNC,
    MMGR__IO_RENAME, MMGR__IO_UNLINK, MMGR__IO_MKDIR, MMGR__IO_RMDIR, MMGR__IO_CLONE,
    MMGR__IO_CHMOD,
    MMGR__IO_POINT /* a step that is no single call, such as a database commit */
};

/* Called before each step that changes the disk; a return other than 0 is the errno to fail with.
 * `name` is the path or the point's name. NULL removes the hook. */
typedef int (*mmgr__io_hook)(enum mmgr__io_op op, const char *name, void *user);
void mmgr__io_set_hook(mmgr__io_hook hook, void *user);
int mmgr__io_point(const char *name); /* 0, or the negative errno that the hook asks for */

/* Counters of the whole process: bytes and calls read, bytes and calls written, fsyncs, renames. */
struct mmgr__io_counters {
    uint64_t read_bytes, read_calls, write_bytes, write_calls, fsyncs, renames, opens;
};
void mmgr__io_counters(struct mmgr__io_counters *counters);

int mmgr__io_open_read(int dirfd, const char *path);  /* regular file only, O_NONBLOCK guard: -EINVAL else */
int mmgr__io_open_dir(int dirfd, const char *path);
/* Open for writing; flags of open(2) beside O_WRONLY|O_CLOEXEC|O_NOFOLLOW, such as O_CREAT|O_EXCL. */
int mmgr__io_open_write(int dirfd, const char *path, int flags, mode_t mode);
/* Open beneath a folder: no "..", no absolute path, no symbolic link on the way. openat2 where the kernel
 * has it, else component by component. -EXDEV or -ELOOP when the path would leave the folder. */
int mmgr__io_open_beneath(int dirfd, const char *path, int flags, mode_t mode);
/* Test hook: 1 = behave as on a kernel without openat2. */
void mmgr__io_force_fallback(int on);
void mmgr__io_close(int fd);

int64_t mmgr__io_pread(int fd, void *data, size_t bytes, uint64_t offset);  /* whole or up to the end */
int mmgr__io_pwrite(int fd, const void *data, size_t bytes, uint64_t offset); /* whole */
int mmgr__io_truncate(int fd, uint64_t size);
/* Reserve blocks without changing the size; 0 also where the file system cannot. */
int mmgr__io_allocate(int fd, uint64_t offset, uint64_t bytes);
int mmgr__io_fsync(int fd, const char *name);
int mmgr__io_fsync_dir(int dirfd, const char *path);   /* opens, syncs, closes */
int mmgr__io_rename(int dirfd_from, const char *from, int dirfd_to, const char *to, int no_replace);
int mmgr__io_unlink(int dirfd, const char *path);
int mmgr__io_mkdir(int dirfd, const char *path, mode_t mode);
int mmgr__io_rmdir(int dirfd, const char *path);
int mmgr__io_clone(int fd_to, int fd_from); /* FICLONE; -EOPNOTSUPP and the like where it cannot */
/* Give a file the owner, group and permissions of another; of the former two what this user may give. */
int mmgr__io_copy_rights(int fd, const struct stat *from);
int mmgr__io_stat(int dirfd, const char *path, struct stat *st, int follow);

/* Whole small file; NUL-terminated. -EFBIG beyond limit, -ENOMEM. */
int mmgr__io_read_file(int dirfd, const char *path, size_t limit, char **data, size_t *length);
/* Write a file atomically: temporary name beside it, write, fsync, rename, fsync of the folder. */
int mmgr__io_write_file(const char *path, const void *data, size_t length, mode_t mode);
/* Is it the name of a temporary file, such as a process that is killed there leaves? */
int mmgr__io_is_temporary(const char *name);
/* mkdir -p; each folder that is made is fsynced into its parent. */
int mmgr__io_mkdirs(const char *path, mode_t mode);

/* Lock on a file of its own (OFD; flock where there is none), never unlinked while in use. Returns the
 * descriptor that holds it, or negative: -EAGAIN when someone else has it and wait is 0. */
int mmgr__io_lock(int dirfd, const char *path, int exclusive, int wait);
void mmgr__io_unlock(int fd);

/* Free bytes for this user on the file system of a path. */
int mmgr__io_free_space(const char *path, uint64_t *bytes);

#endif
