/* SPDX-License-Identifier: MIT */
/* The store under faults: killed, refused or out of memory at every step, and on a full disk.
 * After each the store holds the state before or the state after, and goes on working. */
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
#include "fixture.h"
#include "store/store.h"

static mmgr_record *full_record(const char *key)
{
    mmgr_record *base = simple_record(key, key, "sd-1", key, "\"tags\":[\"a\",\"b\"]"), *record;
    mmgr_record_builder *builder;

    assert_ok(mmgr_record_builder_new(base, &builder));
    for (int i = 0; i < 2; i++) {
        char name[32];
        struct mmgr__file file = {.path = name, .size = 5, .flags = MMGR_FILE_OWNED};

        snprintf(name, sizeof name, "f%d", i);
        assert_ok(mmgr__record_builder_add_file(builder, &file));
    }
    assert_ok(mmgr_record_builder_build(builder, &record));
    mmgr_record_builder_free(builder);
    mmgr_record_unref(base);
    return record;
}

/* ---- what is in a store, as text */

static enum mmgr_result describe(const mmgr_record *record, void *user)
{
    char *text = user;
    size_t used = strlen(text);

    snprintf(text + used, 4096 - used, "%s=%s %s %u;", mmgr_record_text(record, MMGR_FIELD_KEY),
             mmgr_record_text(record, MMGR_FIELD_NAME), mmgr_record_text(record, MMGR_FIELD_TAGS),
             mmgr_record_file_count(record));
    return MMGR_OK;
}

/* Rows of which one half is missing: 0 in every healthy store. */
static int64_t halves(const char *path)
{
    static const char query[] =
        "SELECT (SELECT count(*) FROM tags WHERE key NOT IN (SELECT key FROM models))"
        " + (SELECT count(*) FROM bases WHERE key NOT IN (SELECT key FROM models))"
        " + (SELECT count(*) FROM files WHERE key NOT IN (SELECT key FROM models))"
        " + (SELECT count(*) FROM models WHERE key NOT IN (SELECT key FROM bases))"
        " + (SELECT count(*) FROM models WHERE (SELECT count(*) FROM tags WHERE tags.key = "
        "models.key)"
        "    <> json_array_length(record, '$.tags'))"
        " + (SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok')";
    sqlite3_stmt *statement = NULL;
    sqlite3 *db;
    int64_t count = -1;

    if (sqlite3_open(path, &db) == SQLITE_OK &&
        sqlite3_prepare_v2(db, query, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        count = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return count;
}

static void state_of(const char *path, char text[4096])
{
    mmgr_store *store = open_store(path);

    text[0] = '\0';
    assert_ok(mmgr__store_each(store, describe, text));
    assert_ok(mmgr_store_close(store));
    if (halves(path) != 0)
        snprintf(text, 4096, "broken: %lld", (long long)halves(path));
}

/* ---- what is done under faults */

enum step { OPEN, ADD, UPDATE, REMOVE, TWO_STEPS };

/* One step on the store at a path; 0 = done. TWO_STEPS is the planted bug: two transactions. */
static enum mmgr_result run_step(enum step step, mmgr_store *store)
{
    mmgr_record *record;
    enum mmgr_result result = MMGR_OK;

    switch (step) {
    case OPEN:
        break;
    case ADD:
    case TWO_STEPS:
        record = full_record("new");
        result = mmgr_store_add(store, record, NULL);
        mmgr_record_unref(record);
        if (result == MMGR_OK && step == TWO_STEPS)
            result = mmgr_store_update(store, "new", "{\"tags\":[\"x\"]}", NULL);
        break;
    case UPDATE:
        result = mmgr_store_update(store, "old",
                                   "{\"name\":\"changed\",\"tags\":[\"x\",\"y\",\"z\"]}", NULL);
        break;
    case REMOVE:
        result = mmgr_store_delete(store, "old");
        break;
    }
    return result;
}

static enum mmgr_result open_and_run(enum step step, const char *path)
{
    struct mmgr_store_options options = {.struct_size = sizeof options, .path = path};
    mmgr_store *store;
    enum mmgr_result result = mmgr_store_open(&options, &store);

    if (result != MMGR_OK)
        return result;
    result = run_step(step, store);
    mmgr_store_close(store);
    return result;
}

/* A store with one record, in a fresh file; nothing at all for OPEN. */
static const char *prepare(enum step step)
{
    static int number;
    static char path[8192];
    mmgr_record *record;
    mmgr_store *store;

    snprintf(path, sizeof path, "%s/store%d.db", folder, number++);
    if (step == OPEN)
        return path;
    store = open_store(path);
    record = full_record("old");
    assert_ok(mmgr_store_add(store, record, NULL));
    mmgr_record_unref(record);
    assert_ok(mmgr_store_close(store));
    return path;
}

struct states {
    char before[4096], after[4096];
};

static void find_states(enum step step, struct states *states)
{
    const char *path = prepare(step);

    state_of(path, states->before);
    assert_int_equal(open_and_run(step, path), MMGR_OK);
    state_of(path, states->after);
    assert_true(strncmp(states->before, "broken", 6) != 0 &&
                strncmp(states->after, "broken", 6) != 0);
    if (step != OPEN)
        assert_string_not_equal(states->before, states->after);
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
    }
    return bad;
}

static void killed_anywhere(void **state)
{
    static const struct {
        enum step step;
        int points;
    } cases[] = {{OPEN, 2}, {ADD, 7}, {UPDATE, 8}, {REMOVE, 5}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int points;

        assert_int_equal(kill_sweep(cases[i].step, &points), 0);
        assert_in_range(points, cases[i].points, 100);
    }
}

/* The harness must see a step that is not atomic, and a store that was halved by hand. */
static void planted_bugs_are_found(void **state)
{
    const char *path;
    char now[4096];
    sqlite3 *db;
    int points;

    assert_true(kill_sweep(TWO_STEPS, &points) > 0);
    path = prepare(ADD);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "DELETE FROM tags WHERE tag = 'b'", NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    state_of(path, now);
    assert_string_equal(now, "broken: 1");
}

static void refused_anywhere(void **state)
{
    static const enum step steps[] = {OPEN, ADD, UPDATE, REMOVE};

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct states states;
        enum mmgr_result result = MMGR_ERR_IO;

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
                assert_string_equal(now, states.before);
                assert_int_equal(open_and_run(steps[i], path), MMGR_OK);
            }
            state_of(path, now);
            assert_string_equal(now, states.after);
        }
    }
}

/* One failed write leaves the open store usable. */
static void goes_on_after_a_failed_commit(void **state)
{
    mmgr_store *store = open_store(prepare(ADD));
    struct fault fault = {.error = EIO};

    for (fault.at = 1; fault.at < 5; fault.at++) {
        fault.seen = 0;
        mmgr__io_set_hook(strike, &fault);
        assert_int_equal(run_step(UPDATE, store), MMGR_ERR_IO);
        mmgr__io_set_hook(NULL, NULL);
        assert_string_equal(found(store, NULL), "old");
    }
    assert_ok(run_step(UPDATE, store));
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
        uint64_t before = mmgr__alloc_live();
        enum mmgr_result result = MMGR_ERR_NO_MEMORY;

        for (*count = 1; result != MMGR_OK; ++*count) {
            mmgr__alloc_fail_at(*count, forever);
            result = run(memory);
            mmgr__alloc_fail_at(0, 0);
            bad += result != MMGR_OK && result != MMGR_ERR_NO_MEMORY;
            bad += mmgr__alloc_live() != before;
            mmgr__free(memory->lost);
            memory->lost = NULL;
        }
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
    for (rlim_t limit = 0; !done; limit += 4096) {
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(killed_anywhere),  TEST(planted_bugs_are_found),
        TEST(refused_anywhere), TEST(goes_on_after_a_failed_commit),
        TEST(memory_runs_out),  TEST(full_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
