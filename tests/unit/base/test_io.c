/* SPDX-License-Identifier: MIT */
/* The disk door: opening beneath a folder (both ways), atomic writes, locks, and the fault hook. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "base/io.h"
#include "temp_dir.h"

static int beneath(int folder, const char *path)
{
    int fd = mmgr__io_open_beneath(folder, path, O_RDONLY, 0);
    mmgr__io_close(fd);
    return fd < 0 ? fd : 0;
}

static void check_beneath(void)
{
    int folder = mmgr__io_open_dir(AT_FDCWD, temp_path("in"));
    assert_true(folder >= 0);
    assert_int_equal(beneath(folder, "f"), 0);
    assert_int_equal(beneath(folder, "sub/g"), 0);
    assert_int_equal(beneath(folder, "sub//g"), 0);
    assert_int_equal(beneath(folder, "sub/./g"), 0);
    assert_int_equal(beneath(folder, "sub"), 0);
    assert_int_equal(beneath(folder, "."), 0);
    assert_int_equal(beneath(folder, ""), -ENOENT);
    assert_int_equal(beneath(folder, "none"), -ENOENT);
    assert_int_equal(beneath(folder, "none/f"), -ENOENT);
    assert_int_equal(beneath(folder, "f/g"), -ENOTDIR);
    assert_int_equal(beneath(folder, "f/"), -ENOTDIR);
    assert_int_equal(beneath(folder, "../out"), -EXDEV);
    assert_int_equal(beneath(folder, "sub/../f"), -EXDEV);
    assert_int_equal(beneath(folder, ".."), -EXDEV);
    assert_int_equal(beneath(folder, temp_path("out")), -EXDEV);
    assert_int_equal(beneath(folder, "link"), -ELOOP);
    assert_int_equal(beneath(folder, "linkdir/g"), -ELOOP);
    assert_int_equal(beneath(folder, "linkout/out"), -ELOOP);
    assert_int_equal(beneath(folder, "dangling"), -ELOOP);
    char longest[400];
    memset(longest, 'n', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(beneath(folder, longest), -ENAMETOOLONG);
    int fd = mmgr__io_open_beneath(folder, "sub/new", O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(mmgr__io_pwrite(fd, "x", 1, 0), 0);
    mmgr__io_close(fd);
    assert_int_equal(mmgr__io_open_beneath(folder, "sub/new", O_WRONLY | O_CREAT | O_EXCL, 0600),
                     -EEXIST);
    assert_int_equal(mmgr__io_open_beneath(folder, "dangling", O_WRONLY | O_CREAT, 0600), -ELOOP);
    assert_int_equal(access(temp_path("target"), F_OK), -1);
    assert_int_equal(mmgr__io_unlink(folder, "sub/new"), 0);
    mmgr__io_close(folder);
}

static void test_beneath(void **state)
{
    assert_int_equal(mmgr__io_mkdirs(temp_path("in/sub"), 0755), 0);
    temp_write("in/f", "f", 1);
    temp_write("in/sub/g", "g", 1);
    temp_write("out", "o", 1);
    assert_int_equal(symlink("f", temp_path("in/link")), 0);
    assert_int_equal(symlink("sub", temp_path("in/linkdir")), 0);
    assert_int_equal(symlink("..", temp_path("in/linkout")), 0);
    assert_int_equal(symlink("../target", temp_path("in/dangling")), 0);
    check_beneath();
    mmgr__io_force_fallback(1);
    check_beneath();
    mmgr__io_force_fallback(0);
}

static int entries(const char *folder)
{
    char command[1200], line[64] = "";
    snprintf(command, sizeof command, "ls -A '%s' | wc -l", folder);
    FILE *pipe = popen(command, "r");
    assert_non_null(fgets(line, sizeof line, pipe));
    pclose(pipe);
    return atoi(line);
}

/* A hook that fails the n-th step, whichever it is. */
static int countdown, steps;

static int fail_nth(enum mmgr__io_op op, const char *name, void *user)
{
    assert_non_null(name);
    steps++;
    return countdown > 0 && --countdown == 0 ? EIO : 0;
}

static void check_content(const char *name, const char *expected)
{
    char *data;
    size_t length;
    assert_int_equal(mmgr__io_read_file(AT_FDCWD, temp_path(name), 100, &data, &length), 0);
    assert_string_equal(data, expected);
    assert_int_equal(length, strlen(expected));
    mmgr__free(data);
}

static void test_write_file(void **state)
{
    assert_int_equal(mmgr__io_write_file(temp_path("f"), "old", 3, 0600), 0);
    struct stat st;
    assert_int_equal(mmgr__io_stat(AT_FDCWD, temp_path("f"), &st, 1), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    struct mmgr__io_counters before, after;
    mmgr__io_counters(&before);
    assert_int_equal(mmgr__io_write_file(temp_path("f"), "newer", 5, 0600), 0);
    mmgr__io_counters(&after);
    assert_int_equal(after.fsyncs - before.fsyncs, 2);
    assert_int_equal(after.renames - before.renames, 1);
    assert_int_equal(after.write_bytes - before.write_bytes, 5);
    check_content("f", "newer");

    /* Whatever step fails, the old or the new text is there whole, and no temporary file stays. */
    steps = 0;
    mmgr__io_set_hook(fail_nth, NULL);
    assert_int_equal(mmgr__io_write_file(temp_path("f"), "third", 5, 0600), 0);
    int all = steps;
    assert_int_equal(all, 5); /* open, write, fsync, rename, fsync of the folder */
    for (int n = 1; n <= all; n++) {
        countdown = n;
        assert_int_equal(mmgr__io_write_file(temp_path("f"), "again", 5, 0600), -EIO);
        countdown = 0;
        check_content("f", n < 5 ? "third" : "again");
        assert_int_equal(entries(temp_dir), 1);
    }
    mmgr__io_set_hook(NULL, NULL);
    assert_int_equal(mmgr__io_write_file(temp_path("no/f"), "x", 1, 0600), -ENOENT);
}

static void test_read_file(void **state)
{
    char *data = NULL;
    size_t length;
    char text[100];
    memset(text, 'x', sizeof text);
    temp_write("f", text, sizeof text);
    assert_int_equal(mmgr__io_read_file(AT_FDCWD, temp_path("f"), 99, &data, &length), -EFBIG);
    assert_int_equal(mmgr__io_read_file(AT_FDCWD, temp_path("f"), 100, &data, &length), 0);
    assert_int_equal(length, 100);
    assert_int_equal(data[100], '\0');
    mmgr__free(data);
    temp_write("e", "", 0);
    assert_int_equal(mmgr__io_read_file(AT_FDCWD, temp_path("e"), 0, &data, &length), 0);
    assert_string_equal(data, "");
    mmgr__free(data);
    /* stat says 0 bytes of these */
    assert_int_equal(mmgr__io_read_file(AT_FDCWD, "/proc/self/status", 1 << 20, &data, &length), 0);
    assert_true(length > 100);
    mmgr__free(data);
    assert_int_equal(mmgr__io_read_file(AT_FDCWD, "/proc/self/status", 100, &data, &length),
                     -EFBIG);
    assert_int_equal(mmgr__io_read_file(AT_FDCWD, temp_dir, 100, &data, &length), -EINVAL);
    mmgr__alloc_fail_at(1, 0);
    assert_int_equal(mmgr__io_read_file(AT_FDCWD, temp_path("f"), 100, &data, &length), -ENOMEM);
    mmgr__alloc_fail_at(0, 0);
}

static void test_mkdirs(void **state)
{
    struct mmgr__io_counters before, after;
    mmgr__io_counters(&before);
    assert_int_equal(mmgr__io_mkdirs(temp_path("a/b//c/"), 0700), 0);
    mmgr__io_counters(&after);
    assert_int_equal(after.fsyncs - before.fsyncs, 3);
    assert_int_equal(mmgr__io_mkdirs(temp_path("a/b/c"), 0700), 0);
    mmgr__io_counters(&before);
    assert_int_equal(after.fsyncs, before.fsyncs);
    temp_write("a/file", "", 0);
    assert_int_equal(mmgr__io_mkdirs(temp_path("a/file"), 0700), -ENOTDIR);
    assert_int_equal(mmgr__io_mkdirs(temp_path("a/file/x"), 0700), -ENOTDIR);
    assert_int_equal(mmgr__io_mkdirs("", 0700), -ENOENT);
}

static void test_rename(void **state)
{
    temp_write("a", "a", 1);
    temp_write("b", "b", 1);
    assert_int_equal(mmgr__io_rename(AT_FDCWD, temp_path("a"), AT_FDCWD, temp_path("b"), 1),
                     -EEXIST);
    check_content("b", "b");
    assert_int_equal(mmgr__io_rename(AT_FDCWD, temp_path("a"), AT_FDCWD, temp_path("c"), 1), 0);
    check_content("c", "a");
    assert_int_equal(mmgr__io_rename(AT_FDCWD, temp_path("c"), AT_FDCWD, temp_path("b"), 0), 0);
    check_content("b", "a");
    assert_int_equal(entries(temp_dir), 1);
}

/* Try to lock in a second process; its result as an exit status. */
static int lock_in_child(int exclusive)
{
    pid_t child = fork();
    if (child == 0) {
        int fd = mmgr__io_lock(AT_FDCWD, temp_path("lock"), exclusive, 0);
        _exit(fd >= 0 ? 0 : -fd);
    }
    int status;
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}

static void test_lock(void **state)
{
    int fd = mmgr__io_lock(AT_FDCWD, temp_path("lock"), 1, 0);
    assert_true(fd >= 0);
    assert_int_equal(lock_in_child(1), EAGAIN);
    assert_int_equal(lock_in_child(0), EAGAIN);
    /* The same process has no second right either. */
    assert_int_equal(mmgr__io_lock(AT_FDCWD, temp_path("lock"), 1, 0), -EAGAIN);
    mmgr__io_unlock(fd);
    assert_int_equal(lock_in_child(1), 0);
    fd = mmgr__io_lock(AT_FDCWD, temp_path("lock"), 0, 1);
    assert_true(fd >= 0);
    assert_int_equal(lock_in_child(0), 0);
    assert_int_equal(lock_in_child(1), EAGAIN);
    mmgr__io_unlock(fd);
    assert_int_equal(access(temp_path("lock"), F_OK), 0);
}

/* The operation that the hook is to refuse; the others pass. */
static int refuse(enum mmgr__io_op op, const char *name, void *user)
{
    return op == *(const enum mmgr__io_op *)user ? ENOSPC : 0;
}

static int run(enum mmgr__io_op op, int fd)
{
    switch (op) {
    case MMGR__IO_OPEN_WRITE: {
        int opened = mmgr__io_open_write(AT_FDCWD, temp_path("w"), O_CREAT, 0600);
        mmgr__io_close(opened);
        return opened < 0 ? opened : 0;
    }
    case MMGR__IO_WRITE:
        return mmgr__io_pwrite(fd, "x", 1, 0);
    case MMGR__IO_TRUNCATE:
        return mmgr__io_truncate(fd, 10);
    case MMGR__IO_ALLOCATE:
        return mmgr__io_allocate(fd, 0, 4096);
    case MMGR__IO_FSYNC:
        return mmgr__io_fsync(fd, "f");
    case MMGR__IO_RENAME:
        return mmgr__io_rename(AT_FDCWD, temp_path("w"), AT_FDCWD, temp_path("r"), 1);
    case MMGR__IO_UNLINK:
        return mmgr__io_unlink(AT_FDCWD, temp_path("r"));
    case MMGR__IO_MKDIR:
        return mmgr__io_mkdir(AT_FDCWD, temp_path("d"), 0700);
    case MMGR__IO_RMDIR:
        return mmgr__io_rmdir(AT_FDCWD, temp_path("d"));
    case MMGR__IO_CLONE: {
        int other = mmgr__io_open_read(AT_FDCWD, temp_path("f"));
        int error = mmgr__io_clone(fd, other);
        mmgr__io_close(other);
        /* Most file systems cannot, each in its own words; only the hook says ENOSPC. */
        return error == -ENOSPC ? error : 0;
    }
    case MMGR__IO_CHMOD: {
        struct stat st = {.st_mode = S_IFREG | 0600, .st_uid = getuid(), .st_gid = getgid()};

        return mmgr__io_copy_rights(fd, &st);
    }
    case MMGR__IO_POINT:
        return mmgr__io_point("commit");
    }
    return -ENOSYS;
}

static void test_hook(void **state)
{
    int fd = mmgr__io_open_write(AT_FDCWD, temp_path("f"), O_CREAT, 0600);
    assert_true(fd >= 0);
    for (enum mmgr__io_op op = MMGR__IO_OPEN_WRITE; op <= MMGR__IO_POINT; op++) {
        mmgr__io_set_hook(refuse, &op);
        if (run(op, fd) != -ENOSPC)
            fail_msg("operation %d passed the hook", (int)op);
        mmgr__io_set_hook(NULL, NULL);
        assert_int_equal(run(op, fd), 0);
    }
    enum mmgr__io_op op = MMGR__IO_OPEN_WRITE;
    mmgr__io_set_hook(refuse, &op);
    assert_int_equal(mmgr__io_lock(AT_FDCWD, temp_path("lock"), 1, 0), -ENOSPC);
    int folder = mmgr__io_open_dir(AT_FDCWD, temp_dir);
    assert_int_equal(mmgr__io_open_beneath(folder, "x", O_WRONLY | O_CREAT, 0600), -ENOSPC);
    assert_true(mmgr__io_open_beneath(folder, "f", O_RDONLY, 0) >= 0);
    mmgr__io_set_hook(NULL, NULL);
    mmgr__io_close(folder);
    mmgr__io_close(fd);
}

static void test_copy_rights(void **state)
{
    mode_t mask = umask(077);
    struct stat from = {.st_mode = S_IFREG | 0664, .st_uid = getuid(), .st_gid = getgid()}, to;
    int fd = mmgr__io_open_write(AT_FDCWD, temp_path("f"), O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(mmgr__io_copy_rights(fd, &from), 0);
    assert_int_equal(fstat(fd, &to), 0);
    assert_int_equal(to.st_mode, from.st_mode);
    assert_int_equal(to.st_uid, from.st_uid);
    assert_int_equal(to.st_gid, from.st_gid);
    /* Whoever may not give a file away keeps it: only root does. */
    from.st_uid = from.st_gid = 12345;
    assert_int_equal(mmgr__io_copy_rights(fd, &from), 0);
    assert_int_equal(fstat(fd, &to), 0);
    assert_int_equal(to.st_uid, getuid() == 0 ? 12345 : getuid());
    assert_int_equal(to.st_mode, from.st_mode);
    mmgr__io_close(fd);
    umask(mask);
}

static void test_reads(void **state)
{
    temp_write("f", "0123456789", 10);
    struct mmgr__io_counters before, after;
    mmgr__io_counters(&before);
    int fd = mmgr__io_open_read(AT_FDCWD, temp_path("f"));
    char data[20];
    assert_int_equal(mmgr__io_pread(fd, data, 4, 2), 4);
    assert_memory_equal(data, "2345", 4);
    assert_int_equal(mmgr__io_pread(fd, data, 20, 5), 5);
    assert_int_equal(mmgr__io_pread(fd, data, 20, 50), 0);
    mmgr__io_counters(&after);
    assert_int_equal(after.read_bytes - before.read_bytes, 9);
    assert_int_equal(after.opens - before.opens, 1);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    mmgr__io_close(fd);
    assert_int_equal(mmgr__io_open_read(AT_FDCWD, temp_dir), -EINVAL);
    assert_int_equal(symlink("f", temp_path("l")), 0);
    assert_int_equal(mmgr__io_open_write(AT_FDCWD, temp_path("l"), 0, 0), -ELOOP);
    uint64_t bytes = 0;
    assert_int_equal(mmgr__io_free_space(temp_dir, &bytes), 0);
    assert_true(bytes > 0);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, temp_setup, temp_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(test_beneath), WITH_FOLDER(test_write_file), WITH_FOLDER(test_read_file),
        WITH_FOLDER(test_mkdirs),  WITH_FOLDER(test_rename),     WITH_FOLDER(test_lock),
        WITH_FOLDER(test_hook),    WITH_FOLDER(test_reads),
        WITH_FOLDER(test_copy_rights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
