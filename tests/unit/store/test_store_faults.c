/* SPDX-License-Identifier: MIT */
/* The store under faults: killed, refused or out of memory at every step, and on a full disk. After each the store
 * holds the state before or the state after, goes on working, and leaves nothing lying about. Argument: the
 * extension of the stores. */
#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "steps.h"
#include "store/store.h"
#include "yaml_files.h"

static int is_yaml(void)
{
    return strcmp(steps_extension, ".yaml") == 0;
}

struct fault {
    int at, seen, error; /* error 0: kill */
};

static int strike(enum mmgr__io_op op, const char *name, void *user)
{
    struct fault *fault = user;

    if (++fault->seen != fault->at)
        return 0;
    if (fault->error == 0)
        raise(SIGKILL);
    return fault->error;
}

/* Kill a child at every point of a step; the number of states that are neither old nor new. */
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
            struct fault fault = {.at = *points + 1};

            mmgr__io_set_hook(strike, &fault);
            _exit(open_and_run(step, path) != MMGR_OK);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        done = WIFEXITED(status);
        if (done)
            assert_int_equal(WEXITSTATUS(status), 0);
        else
            assert_int_equal(WTERMSIG(status), SIGKILL);
        state_of(path, now);
        if (strcmp(now, states.after) != 0 && (done || strcmp(now, states.before) != 0))
            bad++;
        else if (!goes_on(path))
            bad++;
    }
    return bad;
}

static void killed_anywhere(void **state)
{
    static const struct {
        enum step step;
        int points; /* at least */
    } cases[] = {{OPEN, 2}, {ADD, 7}, {UPDATE, 8}, {REMOVE, 5}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int points;

        assert_int_equal(kill_sweep(cases[i].step, &points), 0);
        assert_in_range(points, cases[i].points, 100);
    }
}

/* Take one half of what belongs together away. */
static void halve(const char *path)
{
    size_t length;
    char *text;
    sqlite3 *db;

    if (is_yaml()) {
        text = take_file(path, &length);
        put_file(path, text, length / 2);
        free(text);
        return;
    }
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "DELETE FROM mmgr_tags WHERE tag = 'b'", NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
}

/* The harness must see a step that is not atomic, a store that was halved by hand, and a file that stays. */
static void planted_bugs_are_found(void **state)
{
    const char *path;
    char now[4096];
    int points;

    assert_true(kill_sweep(TWO_STEPS, &points) > 0);
    path = prepare(ADD);
    halve(path);
    state_of(path, now);
    assert_memory_equal(now, "broken: ", 8);
    path = prepare(ADD);
    assert_true(goes_on(path));
    snprintf(now, sizeof now, "%s.left", path);
    put_file(now, "x", 1);
    assert_ok(open_and_run(UPDATE, path));
    assert_false(goes_on(path));
}

static void refused_anywhere(void **state)
{
    static const enum step steps[] = {OPEN, ADD, UPDATE, REMOVE};

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct states states;
        enum mmgr_result result = MMGR_ERR_IO;
        int late = 0;

        find_states(steps[i], &states);
        for (int at = 1; result != MMGR_OK; at++) {
            struct fault fault = {.at = at, .error = at % 2 ? EIO : ENOSPC};
            const char *path = prepare(steps[i]);
            char now[4096];

            mmgr__io_set_hook(strike, &fault);
            result = open_and_run(steps[i], path);
            mmgr__io_set_hook(NULL, NULL);
            if (result != MMGR_OK) {
                assert_int_equal(result, at % 2 ? MMGR_ERR_IO : MMGR_ERR_NO_SPACE);
                state_of(path, now);
                /* A YAML store is the new one before the folder is synced. */
                if (is_yaml() && strcmp(now, states.before) != 0 && ++late == 1) {
                    assert_string_equal(now, states.after);
                    assert_true(goes_on(path));
                    continue;
                }
                assert_string_equal(now, states.before);
                assert_int_equal(open_and_run(steps[i], path), MMGR_OK);
            }
            state_of(path, now);
            assert_string_equal(now, states.after);
            assert_true(goes_on(path));
        }
        assert_int_equal(late, is_yaml() && steps[i] != OPEN);
    }
}

/* One failed write leaves the open store usable. */
static void goes_on_after_a_failed_commit(void **state)
{
    mmgr_store *store = open_store(prepare(ADD));
    struct fault fault = {.error = EIO};

    enum mmgr_result result = MMGR_ERR_IO;

    for (fault.at = 1; result != MMGR_OK; fault.at++) {
        fault.seen = 0;
        mmgr__io_set_hook(strike, &fault);
        result = run_step(UPDATE, store);
        mmgr__io_set_hook(NULL, NULL);
        assert_true(result == MMGR_OK || result == MMGR_ERR_IO);
        assert_string_equal(found(store, NULL), "old");
    }
    assert_true(fault.at > 5);
    assert_ok(run_step(REMOVE, store));
    assert_string_equal(found(store, NULL), "");
    assert_ok(mmgr_store_close(store));
}

/* ---- memory */

struct memory {
    mmgr_store *store;
    const char *path;
    int leak; /* planted bug: lose a block when something fails */
    void *lost;
};

static enum mmgr_result open_without_memory(struct memory *memory)
{
    return open_and_run(OPEN, memory->path);
}

static enum mmgr_result read_without_memory(struct memory *memory)
{
    const char *tags[] = {"a"};
    struct mmgr_search_options options = {.struct_size = sizeof options,
                                          .base = "sd-1",
                                          .tags = tags,
                                          .tag_count = 1,
                                          .sort = "-name"};
    mmgr_record_list *list = NULL;
    mmgr_record *record = NULL;
    int exists;
    enum mmgr_result result = mmgr_store_search(memory->store, &options, &list);

    if (result == MMGR_OK)
        result = mmgr_store_get(memory->store, "old", &record);
    if (result == MMGR_OK)
        result = mmgr_store_exists(memory->store, "old", &exists);
    mmgr_record_list_free(list);
    mmgr_record_unref(record);
    if (result != MMGR_OK && memory->leak)
        memory->lost = mmgr__alloc(1);
    return result;
}

static enum mmgr_result write_without_memory(struct memory *memory)
{
    mmgr_record *record = NULL, *added = NULL, *updated = NULL;
    enum mmgr_result result;

    result = mmgr_record_from_json(
        "{\"key\":\"new\",\"name\":\"n\",\"type\":\"main\",\"format\":\"diffusers\","
        "\"base\":\"sd-1\",\"path\":\"p\",\"tags\":[\"t\"]}",
        &record);
    if (result == MMGR_OK)
        result = mmgr__store_add_full(memory->store, record, MMGR__STORE_AGAIN, &added);
    if (result == MMGR_OK)
        result = mmgr_store_update(memory->store, "new", "{\"tags\":[\"u\"],\"y\":1}", &updated);
    if (result == MMGR_OK)
        result = mmgr_store_delete(memory->store, "new");
    mmgr_record_unref(record);
    mmgr_record_unref(added);
    mmgr_record_unref(updated);
    return result;
}

/* Fail each allocation in turn, singly and for good; the number of leaks and wrong codes. */
static int memory_sweep(enum mmgr_result (*run)(struct memory *), struct memory *memory,
                        uint64_t *count)
{
    int bad = 0;

    assert_int_equal(run(memory), MMGR_OK); /* what is kept from now on is there */
    for (int forever = 0; forever < 2; forever++) {
        uint64_t live = mmgr__alloc_live(), used;

        /* A call may succeed without an allocation that it can do without. */
        *count = 0;
        do {
            uint64_t before = mmgr__alloc_count();
            enum mmgr_result result;

            mmgr__alloc_fail_at(++*count, forever);
            result = run(memory);
            mmgr__alloc_fail_at(0, 0);
            used = mmgr__alloc_count() - before;
            bad += result != MMGR_OK && result != MMGR_ERR_NO_MEMORY;
            /* A store may have dropped what it keeps in memory. */
            if (mmgr__alloc_live() != live)
                assert_int_equal(run(memory), MMGR_OK);
            bad += mmgr__alloc_live() != live;
            mmgr__free(memory->lost);
            memory->lost = NULL;
        } while (used >= *count);
    }
    return bad;
}

static void memory_runs_out(void **state)
{
    const char *path = prepare(ADD);
    struct memory memory = {.path = path};
    uint64_t count;
    char now[4096];

    assert_int_equal(memory_sweep(open_without_memory, &memory, &count), 0);
    assert_true(count > 5);
    memory.store = open_store(path);
    assert_int_equal(memory_sweep(read_without_memory, &memory, &count), 0);
    assert_true(count > 50);
    assert_int_equal(memory_sweep(write_without_memory, &memory, &count), 0);
    assert_true(count > 100);
    memory.leak = 1;
    assert_true(memory_sweep(read_without_memory, &memory, &count) > 50);
    assert_ok(mmgr_store_close(memory.store));
    state_of(path, now);
    assert_string_equal(now, "old=old [\"a\",\"b\"] 2;");
}

/* ---- the disk is full: no file may grow beyond a limit, as with a quota */

static void full_disk(void **state)
{
    int refused = 0, done = 0;

    signal(SIGXFSZ, SIG_IGN);
    for (rlim_t limit = 0; !done; limit += is_yaml() ? 256 : 4096) {
        const char *path = prepare(ADD);
        char now[4096];
        int status;
        pid_t child = fork();

        assert_true(limit < (1 << 20));
        if (child == 0) {
            struct rlimit bound;
            enum mmgr_result result;

            getrlimit(RLIMIT_FSIZE, &bound);
            bound.rlim_cur = limit;
            setrlimit(RLIMIT_FSIZE, &bound);
            result = open_and_run(ADD, path);
            if (result == MMGR_OK)
                _exit(0);
            if (result != MMGR_ERR_NO_SPACE) {
                print_error("limit %llu: %s: %s\n", (unsigned long long)limit,
                            mmgr_result_name(result), mmgr_error_message(mmgr_last_error()));
                _exit(3);
            }
            bound.rlim_cur = bound.rlim_max;
            setrlimit(RLIMIT_FSIZE, &bound);
            _exit(open_and_run(ADD, path) == MMGR_OK ? 1 : 2);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_in_range(WEXITSTATUS(status), 0, 1);
        done = WEXITSTATUS(status) == 0;
        refused += !done;
        state_of(path, now);
        assert_string_equal(now, "new=new [\"a\",\"b\"] 2;old=old [\"a\",\"b\"] 2;");
    }
    assert_true(refused >= 2);
    signal(SIGXFSZ, SIG_DFL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(killed_anywhere),  TEST(planted_bugs_are_found),
        TEST(refused_anywhere), TEST(goes_on_after_a_failed_commit),
        TEST(memory_runs_out),  TEST(full_disk),
    };

    if (argc == 2)
        steps_extension = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
