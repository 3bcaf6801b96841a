/* SPDX-License-Identifier: MIT */
/* Being told of changes by others: what an idle watch costs, and what happens where the kernel does not help. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fixture.h"

#define SECOND INT64_C(1000000000)

static mmgr_bus *bus;
static mmgr_listener *listener;

static mmgr_store *open_watched(const char *path)
{
    struct mmgr_store_options options = {
        .struct_size = sizeof options, .path = path, .flags = MMGR_STORE_WATCH};
    mmgr_store *store = NULL;

    assert_ok(mmgr_bus_open(NULL, &bus));
    assert_ok(mmgr_listener_open(bus, MMGR_EVENTS_STORE, &listener));
    options.bus = bus;
    assert_ok(mmgr_store_open(&options, &store));
    return store;
}

static void close_watched(mmgr_store *store)
{
    assert_ok(mmgr_store_close(store));
    mmgr_listener_close(listener);
    assert_ok(mmgr_bus_close(bus));
}

static void expect_change(void)
{
    mmgr_event *event = NULL;

    assert_int_equal(mmgr_listener_next(listener, 20 * SECOND, &event), MMGR_OK);
    assert_int_equal(mmgr_event_type(event), MMGR_EVENT_STORE_CHANGED);
    assert_string_equal(mmgr_event_name(event), "store.changed");
    mmgr_event_unref(event);
}

static const char *program; /* this one */

static int add_here(const char *path, const char *key)
{
    mmgr_store *store = open_store(path);

    add_record(store, key, "N", "sd-1", key, "");
    return mmgr_store_close(store) != MMGR_OK;
}

/* Another process adds a record. It is a program of its own: a mere child would hold, and seem to lose, what the
 * threads of its parent were at. */
static void add_elsewhere(const char *path, const char *key)
{
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        execl(program, program, "add", path, key, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void other_processes_are_seen(void **state)
{
    static const char *const names[] = {"store.db", "store.yaml"};

    for (size_t i = 0; i < 2; i++) {
        const char *path = in_folder(names[i]);
        mmgr_store *store = open_watched(path);

        add_elsewhere(path, "a");
        expect_change();
        add_elsewhere(path, "b");
        expect_change();
        assert_string_equal(found(store, NULL), "a b");
        close_watched(store);
    }
}

/* How often the threads of this process with the name have gone to sleep; -1: there is none. */
static long sleeps_of(const char *name)
{
    DIR *dir = opendir("/proc/self/task");
    struct dirent *entry;
    long sleeps = -1;

    while ((entry = readdir(dir)) != NULL) {
        char path[512], line[256];
        FILE *file;
        int ours = 0;

        snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        file = entry->d_name[0] != '.' ? fopen(path, "r") : NULL;
        while (file != NULL && fgets(line, sizeof line, file) != NULL) {
            if (strncmp(line, "Name:", 5) == 0)
                ours = strstr(line, name) != NULL;
            if (ours && strncmp(line, "voluntary_ctxt_switches:", 24) == 0)
                sleeps = strtol(line + 24, NULL, 10) + (sleeps > 0 ? sleeps : 0);
        }
        if (file != NULL)
            fclose(file);
    }
    closedir(dir);
    return sleeps;
}

static void nap(int64_t ns)
{
    struct timespec time = {ns / SECOND, ns % SECOND};

    nanosleep(&time, NULL);
}

/* Once nothing happens any more, the thread does not wake at all; and there is none without the flag. */
static void idle_costs_nothing(void **state)
{
    const char *path = in_folder("store.db");
    mmgr_store *store = open_watched(path), *other;
    long before, after = -1;

    add_elsewhere(path, "a");
    expect_change();
    /* The last of the looks after a change comes after 5.3 s, later where the machine is busy. A thread that
     * looks by the clock would never be still for twice its interval. */
    for (int i = 0; i < 30; i++) {
        before = after;
        nap(2 * SECOND);
        after = sleeps_of("mmgr-store");
        if (after == before)
            break;
    }
    assert_true(after > 0);
    assert_int_equal(after, before);
    add_elsewhere(path, "b");
    expect_change();
    assert_true(sleeps_of("mmgr-store") > before);
    close_watched(store);
    other = open_store(path);
    assert_int_equal(sleeps_of("mmgr-store"), -1);
    assert_ok(mmgr_store_close(other));
}

/* Without a descriptor for the kernel's notices the thread looks by itself. */
static void works_without_the_kernels_help(void **state)
{
    const char *path = in_folder("store.yaml");
    struct rlimit before, tight;
    mmgr_store *store;
    int lowest;

    add_elsewhere(path, "a");
    assert_ok(mmgr_bus_open(NULL, &bus));
    assert_ok(mmgr_listener_open(bus, MMGR_EVENTS_STORE, &listener));
    struct mmgr_store_options options = {
        .struct_size = sizeof options, .path = path, .flags = MMGR_STORE_WATCH, .bus = bus};
    lowest = open("/dev/null", O_RDONLY);
    close(lowest);
    getrlimit(RLIMIT_NOFILE, &before);
    tight = before;
    tight.rlim_cur = (rlim_t)lowest + 1; /* one for the end of the thread, none for notices */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    assert_int_equal(mmgr_store_open(&options, &store), MMGR_OK);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    add_elsewhere(path, "b");
    expect_change();
    close_watched(store);
}

/* A store that is only read is told as well; one that is not there yet has nothing to tell. */
static void readers_are_told(void **state)
{
    const char *path = in_folder("store.db");
    struct mmgr_store_options options = {.struct_size = sizeof options,
                                         .path = path,
                                         .flags = MMGR_STORE_WATCH | MMGR_STORE_READ_ONLY};
    mmgr_store *store = NULL;

    assert_ok(mmgr_bus_open(NULL, &bus));
    assert_ok(mmgr_listener_open(bus, MMGR_EVENTS_STORE, &listener));
    options.bus = bus;
    assert_ok(mmgr_store_open(&options, &store));
    assert_ok(mmgr_store_close(store));
    add_elsewhere(path, "a");
    assert_ok(mmgr_store_open(&options, &store));
    add_elsewhere(path, "b");
    expect_change();
    close_watched(store);
}

/* Also a file, and a whole folder, that is put in the place of another. */
static void replaced_folder(void **state)
{
    char path[4200], inner[4200], other[4200];
    mmgr_store *store;

    snprintf(inner, sizeof inner, "%s/inner", folder);
    snprintf(other, sizeof other, "%s/other", folder);
    snprintf(path, sizeof path, "%s/inner/store.yaml", folder);
    add_elsewhere(path, "a");
    /* Opened anew each time, so that no look of an earlier change finds it. */
    store = open_watched(path);
    assert_int_equal(rename(path, other), 0);
    expect_change();
    assert_string_equal(found(store, NULL), "");
    assert_int_equal(rename(other, path), 0);
    expect_change();
    close_watched(store);
    store = open_watched(path);
    assert_int_equal(rename(inner, other), 0);
    expect_change();
    add_elsewhere(path, "b");
    expect_change();
    assert_string_equal(found(store, NULL), "b");
    close_watched(store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(other_processes_are_seen),       TEST(idle_costs_nothing),
        TEST(works_without_the_kernels_help), TEST(readers_are_told),
        TEST(replaced_folder),
    };

    program = argv[0];
    if (argc == 4 && strcmp(argv[1], "add") == 0)
        return add_here(argv[2], argv[3]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
