/* SPDX-License-Identifier: MIT */
/* The conformance suite of record stores: several handles, threads, and telling of changes. */
#include "conformance.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "backend.h"

static void changes_of_others_are_counted(void **state)
{
    mmgr_store *one = open_here(), *two = open_here();
    uint64_t before = 99, after = 99;

    assert_ok(mmgr_store_changes(one, &before));
    add_record(one, "k", "N", "sd-1", "p", "");
    assert_ok(mmgr_store_changes(one, &after));
    assert_int_equal(after, before); /* one's own are told by events */
    assert_ok(mmgr_store_update(two, "k", "{\"name\":\"M\"}", NULL));
    assert_ok(mmgr_store_changes(one, &after));
    assert_true(after > before);
    assert_ok(mmgr_store_changes(one, &before));
    assert_int_equal(after, before);
    assert_error(mmgr_store_changes(one, NULL), MMGR_ERR_ARGUMENT, NULL, "changes", NULL);
    close_store(one);
    close_store(two);
}

static void two_handles_see_each_other(void **state)
{
    mmgr_store *one = open_here(), *two = open_here();

    add_record(one, "k1", "N", "sd-1", "p1", "");
    assert_string_equal(found(two, NULL), "k1");
    add_record(two, "k2", "N", "sd-1", "p2", "");
    assert_string_equal(found(one, NULL), "k1 k2");
    /* Closing one must not cost the other its locks. */
    close_store(two);
    add_record(one, "k3", "N", "sd-1", "p3", "");
    assert_ok(mmgr_store_delete(one, "k1"));
    two = open_here();
    assert_string_equal(found(two, NULL), "k2 k3");
    close_store(one);
    close_store(two);
}

struct worker {
    pthread_t thread;
    mmgr_store *store;
    int number, failures;
};

static void *work(void *argument)
{
    struct worker *worker = argument;
    char key[32];

    for (int i = 0; i < 10; i++) {
        mmgr_record_list *list = NULL;
        mmgr_record *record;

        snprintf(key, sizeof key, "t%d-%d", worker->number, i);
        record = simple_record(key, "N", "sd-1", key, "\"tags\":[\"t\"]");
        worker->failures += mmgr_store_add(worker->store, record, NULL) != MMGR_OK;
        mmgr_record_unref(record);
        worker->failures +=
            mmgr_store_update(worker->store, key, "{\"name\":\"M\"}", NULL) != MMGR_OK;
        worker->failures += mmgr_store_search(worker->store, NULL, &list) != MMGR_OK;
        mmgr_record_list_free(list);
        worker->failures += mmgr_store_get(worker->store, key, &record) != MMGR_OK;
        mmgr_record_unref(record);
    }
    return NULL;
}

static void threads(void **state)
{
    struct mmgr_search_options options = {.struct_size = sizeof options, .name = "M", .limit = 1};
    struct worker workers[6];
    mmgr_store *store = open_here();
    mmgr_record_list *list = NULL;

    for (int i = 0; i < 6; i++) {
        workers[i] = (struct worker){.store = store, .number = i};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < 6; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_int_equal(workers[i].failures, 0);
    }
    assert_ok(mmgr_store_search(store, &options, &list));
    assert_int_equal(mmgr_record_list_total(list), 60);
    mmgr_record_list_free(list);
    close_store(store);
}

static void next_event(mmgr_listener *listener, enum mmgr_event_type type, const char *key)
{
    mmgr_event *event = NULL;

    assert_int_equal(mmgr_listener_next(listener, INT64_C(10000000000), &event), MMGR_OK);
    assert_int_equal(mmgr_event_type(event), type);
    assert_string_equal(mmgr_event_text(event, MMGR_EVENT_TEXT_KEY), key);
    mmgr_event_unref(event);
}

static void events(void **state)
{
    struct mmgr_store_options options = {.struct_size = sizeof options, .path = store_path()};
    mmgr_store *store;
    mmgr_bus *bus;
    mmgr_listener *listener;
    mmgr_event *event = NULL;
    mmgr_record *record = simple_record("k", "N", "sd-1", "p", "");

    assert_ok(mmgr_bus_open(NULL, &bus));
    assert_ok(mmgr_listener_open(bus, MMGR_EVENTS_STORE, &listener));
    options.bus = bus;
    assert_ok(open_by(&options, &store));
    assert_ok(mmgr_store_add(store, record, NULL));
    assert_int_equal(mmgr_store_add(store, record, NULL), MMGR_ERR_DUPLICATE_MODEL);
    assert_ok(mmgr_store_update(store, "k", "{}", NULL));
    assert_int_equal(mmgr_store_update(store, "k", "[]", NULL), MMGR_ERR_INVALID_CONFIG);
    assert_ok(mmgr_store_delete(store, "k"));
    assert_int_equal(mmgr_store_delete(store, "k"), MMGR_ERR_UNKNOWN_MODEL);
    next_event(listener, MMGR_EVENT_STORE_ADDED, "k");
    next_event(listener, MMGR_EVENT_STORE_UPDATED, "k");
    next_event(listener, MMGR_EVENT_STORE_DELETED, "k");
    assert_int_equal(mmgr_listener_next(listener, 0, &event), MMGR_ERR_TIMEOUT);
    mmgr_record_unref(record);
    close_store(store);
    mmgr_listener_close(listener);
    assert_ok(mmgr_bus_close(bus));
}

/* A watched store tells of changes by others, and only of those. */
static void watched(void **state)
{
    struct mmgr_store_options options = {
        .struct_size = sizeof options, .path = store_path(), .flags = MMGR_STORE_WATCH};
    mmgr_store *store = NULL, *other;
    mmgr_listener *listener;
    mmgr_event *event = NULL;
    mmgr_bus *bus;

    assert_error(mmgr_store_open(&options, &store), MMGR_ERR_ARGUMENT, NULL, "bus", NULL);
    assert_ok(mmgr_bus_open(NULL, &bus));
    assert_ok(mmgr_listener_open(bus, MMGR_EVENTS_STORE, &listener));
    options.bus = bus;
    assert_ok(mmgr_store_open(&options, &store));
    other = open_here();
    add_record(store, "mine", "N", "sd-1", "p", "");
    assert_int_equal(mmgr_listener_next(listener, INT64_C(10000000000), &event), MMGR_OK);
    assert_int_equal(mmgr_event_type(event), MMGR_EVENT_STORE_ADDED);
    mmgr_event_unref(event);
    assert_int_equal(mmgr_listener_next(listener, INT64_C(300000000), &event), MMGR_ERR_TIMEOUT);
    for (int i = 0; i < 3; i++) {
        char patch[64];

        snprintf(patch, sizeof patch, "{\"name\":\"M%d\"}", i);
        assert_ok(mmgr_store_update(other, "mine", patch, NULL));
        assert_int_equal(mmgr_listener_next(listener, INT64_C(10000000000), &event), MMGR_OK);
        assert_int_equal(mmgr_event_type(event), MMGR_EVENT_STORE_CHANGED);
        assert_null(mmgr_event_text(event, MMGR_EVENT_TEXT_KEY));
        mmgr_event_unref(event);
    }
    close_store(other);
    assert_ok(mmgr_store_close(store));
    mmgr_listener_close(listener);
    assert_ok(mmgr_bus_close(bus));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int conformance_sharing(void)
{
    const struct CMUnitTest tests[] = {
        TEST(two_handles_see_each_other),
        TEST(changes_of_others_are_counted),
        TEST(threads),
        TEST(events),
    };
    const struct CMUnitTest files[] = {
        TEST(watched),
    };

    return cmocka_run_group_tests_name(backend->name, tests, NULL, NULL) +
           (backend->adopted ? 0 : cmocka_run_group_tests_name(backend->name, files, NULL, NULL));
}
