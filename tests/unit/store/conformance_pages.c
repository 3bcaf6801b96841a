/* SPDX-License-Identifier: MIT */
/* The conformance suite of record stores: many records, in and out. */
#include "conformance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"

/* Read all by pages of `limit`: the keys, joined as found() does. */
static const char *found_by_pages(mmgr_store *store, struct mmgr_search_options options)
{
    static char keys[4096];
    mmgr_record_list *list = NULL, *next = NULL;

    keys[0] = '\0';
    assert_ok(mmgr_store_search(store, &options, &list));
    for (;;) {
        for (uint32_t i = 0; i < mmgr_record_list_count(list); i++) {
            size_t used = strlen(keys);

            snprintf(keys + used, sizeof keys - used, "%s%s", used > 0 ? " " : "",
                     mmgr_record_text(mmgr_record_list_at(list, i), MMGR_FIELD_KEY));
        }
        options.cursor = mmgr_record_list_cursor(list);
        if (options.cursor == NULL)
            break;
        assert_int_equal(mmgr_record_list_count(list), options.limit);
        assert_ok(mmgr_store_search(store, &options, &next));
        mmgr_record_list_free(list);
        list = next;
    }
    mmgr_record_list_free(list);
    return keys;
}

static void pages_follow_cursors(void **state)
{
    mmgr_store *store = collection();
    struct mmgr_search_options options = {.struct_size = sizeof options};
    mmgr_record_list *list = NULL;
    char sort[64], cursor[512], all[4096];

    for (int i = 0; i < 20; i++) {
        char key[16], more[128];

        snprintf(key, sizeof key, "p%02d", i);
        snprintf(more, sizeof more, "\"description\":\"alpha %d\"%s", i % 3,
                 i % 4 == 0 ? ",\"file_size\":7" : "");
        add_record(store, key, i % 2 ? "alpha" : "Alpha", "sd-1", key, more);
    }
    /* Every order, both ways, with NULLs on either side, in pages of each size. */
    for (int field = 0; field == 0 || mmgr_field_name((enum mmgr_field)field) != NULL; field++) {
        for (int down = 0; down < 2; down++) {
            snprintf(sort, sizeof sort, "%s%s", down ? "-" : "",
                     field > 0 ? mmgr_field_name((enum mmgr_field)field) : "");
            options.sort = field > 0 ? sort : NULL;
            options.limit = 0;
            if (mmgr_store_search(store, &options, &list) != MMGR_OK)
                continue; /* a list or an object */
            mmgr_record_list_free(list);
            snprintf(all, sizeof all, "%s", found(store, &options));
            for (options.limit = 1; options.limit < 26; options.limit += 3)
                assert_string_equal(found_by_pages(store, options), all);
        }
    }
    options = (struct mmgr_search_options){.struct_size = sizeof options, .text = "alpha"};
    snprintf(all, sizeof all, "%s", found(store, &options));
    options.limit = 2;
    assert_string_equal(found_by_pages(store, options), all);
    /* The total is that of the whole search, or not counted. */
    options = (struct mmgr_search_options){.struct_size = sizeof options, .limit = 5};
    assert_ok(mmgr_store_search(store, &options, &list));
    assert_int_equal(mmgr_record_list_total(list), 24);
    snprintf(cursor, sizeof cursor, "%s", mmgr_record_list_cursor(list));
    mmgr_record_list_free(list);
    options.cursor = cursor;
    assert_ok(mmgr_store_search(store, &options, &list));
    assert_int_equal(mmgr_record_list_total(list), 24);
    mmgr_record_list_free(list);
    options.flags = MMGR_SEARCH_NO_TOTAL;
    assert_ok(mmgr_store_search(store, &options, &list));
    assert_int_equal(mmgr_record_list_total(list), 0);
    mmgr_record_list_free(list);
    list = NULL;
    /* A cursor of another order, and what is none. */
    options.sort = "name";
    assert_error(mmgr_store_search(store, &options, &list), MMGR_ERR_ARGUMENT, "cursor", "cursor",
                 NULL);
    options.sort = NULL;
    static const char *const broken[] = {"", "zz", "5", "5b5d", "7b7d", "5b22225d", "ABCD"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        options.cursor = broken[i];
        assert_error(mmgr_store_search(store, &options, &list), MMGR_ERR_ARGUMENT, NULL, "cursor",
                     NULL);
    }
    /* Half of one. */
    options.cursor = cursor;
    while (cursor[0] != '\0') {
        cursor[strlen(cursor) - 1] = '\0';
        assert_error(mmgr_store_search(store, &options, &list), MMGR_ERR_ARGUMENT, NULL, "cursor",
                     NULL);
    }
    assert_null(list);
    close_store(store);
}

/* Rows that come and go between two pages neither repeat others nor hide them. */
static void pages_survive_changes(void **state)
{
    mmgr_store *store = collection();
    struct mmgr_search_options options = {.struct_size = sizeof options, .sort = "key", .limit = 2};
    mmgr_record_list *list = NULL, *next = NULL;

    assert_ok(mmgr_store_search(store, &options, &list));
    assert_ok(mmgr_store_delete(store, "b"));
    add_record(store, "aa", "N", "sd-1", "paa", "");
    add_record(store, "e", "N", "sd-1", "pe", "");
    options.cursor = mmgr_record_list_cursor(list);
    options.limit = 0;
    assert_string_equal(found(store, &options), "c d e");
    assert_ok(mmgr_store_search(store, &options, &next));
    assert_null(mmgr_record_list_cursor(next));
    mmgr_record_list_free(next);
    mmgr_record_list_free(list);
    close_store(store);
}

/* A page may end at a value of any size: a number that no double holds, a text as long as its field allows. */
static void pages_end_anywhere(void **state)
{
    static const char form[] = "{\"key\":\"%s\",\"name\":\"N\",\"type\":\"main\",\"format\":\"checkpoint\","
                               "\"base\":\"sd-1\",\"path\":\"%s\",\"converted_at\":%s,"
                               "\"description\":\"%0*d\"}";
    static const char *const times[] = {"1e999", "-1e999", "-0.0", "1e-999", "9007199254740993"};
    static const char *const sorts[] = {"converted_at", "-converted_at", "description"};
    mmgr_store *store = open_here();
    char *json = malloc(512 * 1024);
    struct mmgr_search_options options = {.struct_size = sizeof options};

    for (int i = 0; i < 5; i++) {
        const char key[] = {(char)('a' + i), '\0'};
        mmgr_record *record;

        snprintf(json, 512 * 1024, form, key, key, times[i], 400 * 1024, i);
        record = record_of(json);
        assert_ok(mmgr_store_add(store, record, NULL));
        mmgr_record_unref(record);
    }
    for (size_t i = 0; i < sizeof sorts / sizeof sorts[0]; i++) {
        char all[64];

        options.sort = sorts[i];
        options.limit = 0;
        snprintf(all, sizeof all, "%s", found(store, &options));
        options.limit = 1;
        assert_string_equal(found_by_pages(store, options), all);
    }
    free(json);
    close_store(store);
}

static void add_many(void **state)
{
    mmgr_store *store = open_here();
    const mmgr_record *records[50];
    char key[16];

    for (int i = 0; i < 50; i++) {
        snprintf(key, sizeof key, "m%02d", i);
        records[i] = simple_record(key, "N", "sd-1", key, "\"tags\":[\"t\"]");
    }
    assert_ok(mmgr_store_add_many(store, records, 10));
    /* One that is there already undoes all others. */
    assert_error(mmgr_store_add_many(store, records + 9, 41), MMGR_ERR_DUPLICATE_MODEL, "m09",
                 "key", "m09");
    struct mmgr_search_options options = {.struct_size = sizeof options, .limit = 1};
    mmgr_record_list *list = NULL;
    assert_ok(mmgr_store_search(store, &options, &list));
    assert_int_equal(mmgr_record_list_total(list), 10);
    mmgr_record_list_free(list);
    assert_ok(mmgr_store_add_many(store, records + 10, 40));
    assert_ok(mmgr_store_add_many(store, NULL, 0));
    assert_error(mmgr_store_add_many(store, NULL, 1), MMGR_ERR_ARGUMENT, NULL, "records", NULL);
    assert_ok(mmgr_store_search(store, &options, &list));
    assert_int_equal(mmgr_record_list_total(list), 50);
    mmgr_record_list_free(list);
    for (int i = 0; i < 50; i++)
        mmgr_record_unref((mmgr_record *)records[i]);
    close_store(store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int conformance_pages(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pages_follow_cursors),
        TEST(pages_end_anywhere),
        TEST(pages_survive_changes),
        TEST(add_many),
    };

    return cmocka_run_group_tests_name(backend->name, tests, NULL, NULL);
}
