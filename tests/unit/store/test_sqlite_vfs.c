/* SPDX-License-Identifier: MIT */
/* Faults below SQLite: each write, sync, truncation and deletion of a file fails or is the last
 * thing that the process does. A file layer of our own stands between SQLite and the real one. */
#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "steps.h"

/* The operation at which to strike; `kill` else fail. Counted since arm(). */
static struct {
    int at, seen, kill, wal_syncs;
} fault;

static void arm(int at, int kill)
{
    fault.at = at;
    fault.seen = 0;
    fault.kill = kill;
}

/* SQLITE_OK, or the code to fail with. */
static int pass(int code)
{
    if (++fault.seen != fault.at)
        return SQLITE_OK;
    if (fault.kill)
        raise(SIGKILL);
    errno = EIO;
    return code;
}

struct file {
    sqlite3_file base;
    int is_wal;
    sqlite3_file *real;
};

#define REAL(f) (((struct file *)(f))->real)
#define FORWARD(name, declared, ...)                            \
    static int name declared                                    \
    {                                                           \
        return REAL(f)->pMethods->name(REAL(f), ##__VA_ARGS__); \
    }

FORWARD(xClose, (sqlite3_file * f))
FORWARD(xRead, (sqlite3_file * f, void *data, int amount, sqlite3_int64 offset), data, amount,
        offset)
FORWARD(xFileSize, (sqlite3_file * f, sqlite3_int64 *size), size)
FORWARD(xLock, (sqlite3_file * f, int level), level)
FORWARD(xUnlock, (sqlite3_file * f, int level), level)
FORWARD(xCheckReservedLock, (sqlite3_file * f, int *out), out)
FORWARD(xFileControl, (sqlite3_file * f, int op, void *argument), op, argument)
FORWARD(xSectorSize, (sqlite3_file * f))
FORWARD(xDeviceCharacteristics, (sqlite3_file * f))
FORWARD(xShmMap, (sqlite3_file * f, int page, int size, int extend, void volatile **out), page,
        size, extend, out)
FORWARD(xShmLock, (sqlite3_file * f, int offset, int n, int flags), offset, n, flags)
FORWARD(xShmUnmap, (sqlite3_file * f, int remove_it), remove_it)

static void xShmBarrier(sqlite3_file *f)
{
    REAL(f)->pMethods->xShmBarrier(REAL(f));
}

static int xWrite(sqlite3_file *f, const void *data, int amount, sqlite3_int64 offset)
{
    int rc = pass(fault.at % 2 ? SQLITE_IOERR_WRITE : SQLITE_FULL);

    return rc == SQLITE_OK ? REAL(f)->pMethods->xWrite(REAL(f), data, amount, offset) : rc;
}

static int xTruncate(sqlite3_file *f, sqlite3_int64 size)
{
    int rc = pass(SQLITE_IOERR_TRUNCATE);

    return rc == SQLITE_OK ? REAL(f)->pMethods->xTruncate(REAL(f), size) : rc;
}

static int xSync(sqlite3_file *f, int flags)
{
    int rc = pass(SQLITE_IOERR_FSYNC);

    fault.wal_syncs += ((struct file *)f)->is_wal;
    return rc == SQLITE_OK ? REAL(f)->pMethods->xSync(REAL(f), flags) : rc;
}

static const sqlite3_io_methods methods = {2,
                                           xClose,
                                           xRead,
                                           xWrite,
                                           xTruncate,
                                           xSync,
                                           xFileSize,
                                           xLock,
                                           xUnlock,
                                           xCheckReservedLock,
                                           xFileControl,
                                           xSectorSize,
                                           xDeviceCharacteristics,
                                           xShmMap,
                                           xShmLock,
                                           xShmBarrier,
                                           xShmUnmap,
                                           NULL,
                                           NULL};

static sqlite3_vfs *real_vfs, shim;

static int xOpen(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
    struct file *file = (struct file *)f;
    int rc;

    file->real = (sqlite3_file *)(file + 1);
    file->is_wal = (flags & SQLITE_OPEN_WAL) != 0;
    rc = real_vfs->xOpen(real_vfs, name, file->real, flags, out);
    file->base.pMethods = rc == SQLITE_OK ? &methods : NULL;
    return rc;
}

static int xDelete(sqlite3_vfs *vfs, const char *name, int sync)
{
    int rc = pass(SQLITE_IOERR_DELETE);

    return rc == SQLITE_OK ? real_vfs->xDelete(real_vfs, name, sync) : rc;
}

static void install_shim(void)
{
    real_vfs = sqlite3_vfs_find(NULL);
    shim = *real_vfs; /* whatever is not wrapped goes straight through */
    shim.zName = "faults";
    shim.pNext = NULL;
    shim.szOsFile = (int)sizeof(struct file) + real_vfs->szOsFile;
    shim.xOpen = xOpen;
    shim.xDelete = xDelete;
    sqlite3_vfs_register(&shim, 1);
}

static const enum step steps[] = {OPEN, ADD, UPDATE, REMOVE};

/* The number of states that are neither old nor new. */
static int kill_sweep(enum step step, int *points)
{
    struct states states;
    int bad = 0, done = 0;

    find_states(step, &states);
    for (*points = 0; !done; ++*points) {
        const char *path = prepare(step);
        char now[4096];
        int status;
        pid_t child = fork();

        if (child == 0) {
            arm(*points + 1, 1);
            _exit(open_and_run(step, path) != MMGR_OK);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        done = WIFEXITED(status);
        assert_true(done ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGKILL);
        state_of(path, now);
        bad += strcmp(now, states.after) != 0 && (done || strcmp(now, states.before) != 0);
    }
    return bad;
}

static void killed_at_each_operation(void **state)
{
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        int points;

        assert_int_equal(kill_sweep(steps[i], &points), 0);
        assert_true(points > 5);
    }
}

static void planted_bug_is_found(void **state)
{
    int points;

    assert_true(kill_sweep(TWO_STEPS, &points) > 0);
}

/* The failure of a sync may come after the commit was written: then the new state is as true as
 * the old. */
static void fails_at_each_operation(void **state)
{
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct states states;
        int points = 0, failures = 0;

        find_states(steps[i], &states);
        do {
            const char *path = prepare(steps[i]);
            enum mmgr_result result;
            char now[4096];

            arm(++points, 0);
            result = open_and_run(steps[i], path);
            fault.at = 0;
            if (result != MMGR_OK) {
                failures++;
                if (result != MMGR_ERR_IO && result != MMGR_ERR_NO_SPACE)
                    fail_msg("step %d, operation %d: %s", (int)steps[i], points,
                             mmgr_error_message(mmgr_last_error()));
            }
            state_of(path, now);
            if (strcmp(now, states.after) != 0 &&
                (result == MMGR_OK || strcmp(now, states.before) != 0))
                fail_msg("step %d, operation %d: %s", (int)steps[i], points, now);
            if (strcmp(now, states.after) != 0)
                assert_ok(open_and_run(steps[i], path));
        } while (fault.seen >= points);
        assert_true(failures > 2);
    }
}

/* A call that returned success is on the disk: the log was synced before. */
static void success_means_synced(void **state)
{
    mmgr_store *store = open_store(prepare(ADD));

    for (enum step step = ADD; step <= REMOVE; step++) {
        fault.wal_syncs = 0;
        assert_ok(run_step(step, store));
        assert_true(fault.wal_syncs > 0);
    }
    assert_ok(mmgr_store_close(store));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(killed_at_each_operation),
        TEST(planted_bug_is_found),
        TEST(fails_at_each_operation),
        TEST(success_means_synced),
    };

    install_shim();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
