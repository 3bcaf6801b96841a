/* SPDX-License-Identifier: MIT */
/* The conformance suite of record stores: searches by field, filter and text. */
#include "conformance.h"

#include <stdio.h>
#include <string.h>

#include "backend.h"

static void search_by_each(void **state)
{
    static const char *const tags[] = {"x", "y"};
    const struct {
        struct mmgr_search_options options;
        const char *keys;
    } cases[] = {
        {{0}, "c a b d"},
        {{.name = "Delta"}, "a d"},
        {{.name = "delta"}, ""},
        {{.type = "main"}, "a b"},
        {{.format = "diffusers"}, "a d"},
        {{.base = "sd-1"}, "c a b"},
        {{.base = "sdxl"}, "b"},
        {{.path = "pa"}, "a"},
        {{.path = "/abs/pc"}, "c"},
        {{.path = "/abs/./x/../pc"}, "c"},
        {{.hash = "sha256:aa"}, "a"},
        {{.hash = "aa"}, ""},
        {{.source = "o/n"}, "a"},
        {{.tags = tags, .tag_count = 1}, "a b"},
        {{.tags = tags, .tag_count = 2}, "a"},
        {{.type = "main", .base = "sd-1", .name = "alpha"}, "b"},
        {{.name = "x' OR '1'='1"}, ""},
        {{.sort = "name"}, "b c a d"},
        {{.sort = "-name"}, "d a c b"},
        {{.sort = "file_size"}, "d b a c"},
        {{.sort = "-file_size"}, "c a b d"},
        {{.sort = "key", .limit = 2}, "a b"},
        {{.sort = "key", .limit = 2, .offset = 1}, "b c"},
        {{.sort = "-key", .offset = 3}, "a"},
        {{.sort = "key", .offset = 99}, ""},
        {{.limit = UINT64_MAX, .offset = 1}, "a b d"},
    };
    mmgr_store *store = collection();

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mmgr_search_options options = cases[i].options;

        options.struct_size = sizeof options;
        if (strcmp(found(store, &options), cases[i].keys) != 0)
            fail_msg("case %zu: found \"%s\", not \"%s\"", i, found(store, &options),
                     cases[i].keys);
    }
    close_store(store);
}

static void search_every_sort_field(void **state)
{
    mmgr_store *store = collection();
    mmgr_record_list *list = NULL;

    for (int field = 1; mmgr_field_name((enum mmgr_field)field) != NULL; field++) {
        struct mmgr_search_options options = {.struct_size = sizeof options,
                                              .sort = mmgr_field_name((enum mmgr_field)field)};
        int many = field == MMGR_FIELD_BASES || field == MMGR_FIELD_TAGS ||
                   field == MMGR_FIELD_TRIGGER_PHRASES || field == MMGR_FIELD_DEFAULT_SETTINGS ||
                   field == MMGR_FIELD_SUBMODELS || field == MMGR_FIELD_CAPABILITIES;

        if (many) {
            assert_error(mmgr_store_search(store, &options, &list), MMGR_ERR_ARGUMENT, options.sort,
                         "sort", NULL);
            continue;
        }
        assert_ok(mmgr_store_search(store, &options, &list));
        assert_int_equal(mmgr_record_list_count(list), 4);
        mmgr_record_list_free(list);
        list = NULL;
    }
    close_store(store);
}

static void search_totals_and_refusals(void **state)
{
    struct mmgr_search_options options = {
        .struct_size = sizeof options, .type = "main", .limit = 1};
    struct {
        struct mmgr_search_options known;
        uint64_t later;
    } newer = {.later = 1};
    mmgr_store *store = collection();
    mmgr_record_list *list = NULL;

    assert_ok(mmgr_store_search(store, &options, &list));
    assert_int_equal(mmgr_record_list_count(list), 1);
    assert_int_equal(mmgr_record_list_total(list), 2);
    mmgr_record_list_free(list);
    list = NULL;
    options = (struct mmgr_search_options){.struct_size = sizeof options, .sort = "nmae"};
    assert_error(mmgr_store_search(store, &options, &list), MMGR_ERR_ARGUMENT, "nmae", "sort",
                 NULL);
    options.sort = "-";
    assert_error(mmgr_store_search(store, &options, &list), MMGR_ERR_ARGUMENT, NULL, "sort", NULL);
    options = (struct mmgr_search_options){.struct_size = sizeof options, .filter = "a = 1"};
    assert_error(mmgr_store_search(store, &options, &list), MMGR_ERR_ARGUMENT, "\"a\"", "filter",
                 NULL);
    assert_int_equal(mmgr_error_offset(mmgr_last_error()), 0);
    options = (struct mmgr_search_options){.struct_size = sizeof options, .text = " - \"!\" "};
    assert_error(mmgr_store_search(store, &options, &list), MMGR_ERR_ARGUMENT, "no word", "text",
                 NULL);
    options = (struct mmgr_search_options){.struct_size = sizeof options, .flags = 2};
    assert_error(mmgr_store_search(store, &options, &list), MMGR_ERR_ARGUMENT, NULL, "flags", NULL);
    options = (struct mmgr_search_options){.struct_size = sizeof options, .tag_count = 1};
    assert_error(mmgr_store_search(store, &options, &list), MMGR_ERR_ARGUMENT, NULL, "tags", NULL);
    options = (struct mmgr_search_options){.struct_size = 8};
    assert_error(mmgr_store_search(store, &options, &list), MMGR_ERR_ABI_SIZE, NULL, NULL, NULL);
    newer.known.struct_size = sizeof newer;
    assert_error(mmgr_store_search(store, &newer.known, &list), MMGR_ERR_ABI_NEWER, NULL, NULL,
                 NULL);
    assert_error(mmgr_store_search(store, NULL, NULL), MMGR_ERR_ARGUMENT, NULL, "list", NULL);
    assert_null(list);
    close_store(store);
}

static void search_by_filter(void **state)
{
    static const struct {
        const char *filter, *keys;
    } cases[] = {
        {"name = Delta", "a d"},
        {"type = main and not base = sdxl", "a"},
        {"tags = x or type = vae", "a b d"},
        {"bases = sd-1 and file_size < 100", "a b"},
        {"file_size >= 30", "c a"},
        {"hash is null", "c b d"},
        {"name ~ ELT", "a d"},
    };
    mmgr_store *store = collection();
    mmgr_filter *where = NULL;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mmgr_search_options options = {.struct_size = sizeof options,
                                              .filter = cases[i].filter};

        if (strcmp(found(store, &options), cases[i].keys) != 0)
            fail_msg("%s: found \"%s\", not \"%s\"", cases[i].filter, found(store, &options),
                     cases[i].keys);
    }
    /* Both ways of giving a filter, and a field beside them. */
    assert_ok(mmgr_filter_parse("tags = x", &where));
    struct mmgr_search_options options = {
        .struct_size = sizeof options, .where = where, .filter = "file_size < 10"};
    assert_string_equal(found(store, &options), "b");
    options.filter = NULL;
    options.name = "Delta";
    assert_string_equal(found(store, &options), "a");
    mmgr_filter_unref(where);
    close_store(store);
}

static void search_by_text(void **state)
{
    static const struct {
        const char *text, *keys;
    } cases[] = {
        {"photo", "t1 t2 t3"}, /* the name first, then the tag, then the description */
        {"PHOTO", "t1 t2 t3"},
        {"photo real", "t1 t2"},
        {"\"photo real\"", "t1"},
        {"real photo", "t1 t2"},
        {"pho", "t1 t2 t3"},
        {"\"pho\"", ""},
        {"photo \u2013 real", "t1 t2"}, /* a dash and a sign, which are no words, ask for nothing */
        {"\u2602 photo -\u2602", "t1 t2 t3"},
        {"photo -real", "t3"},
        {"photo -\"photo real\"", "t2 t3"},
        {"cine", "t2"}, /* without its accent */
        {"sd_xl", "t3"},
        {"sdxl", ""},
        {"name", ""}, /* no column's name */
        {"AND", ""},
        {"photo*", "t1 t2 t3"},
        {"photo \"", "t1 t2 t3"},
        {"(photo)", "t1 t2 t3"},
        {"nowhere", ""},
    };
    mmgr_store *store = open_here();

    add_record(store, "t1", "Photo Real", "sd-1", "p1", "");
    add_record(store, "t2", "Other", "sd-1", "p2",
               "\"tags\":[\"photo\",\"real\"],\"trigger_phrases\":[\"cin\u00e9ma\"]");
    add_record(store, "t3", "Third", "sd-1", "p3",
               "\"description\":\"for photographs with sd-xl, among other things\"");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mmgr_search_options options = {.struct_size = sizeof options,
                                              .text = cases[i].text};

        if (strcmp(found(store, &options), cases[i].keys) != 0)
            fail_msg("%s: found \"%s\", not \"%s\"", cases[i].text, found(store, &options),
                     cases[i].keys);
    }
    /* The index follows changes. */
    assert_ok(mmgr_store_update(store, "t1", "{\"name\":\"Painting\"}", NULL));
    assert_ok(mmgr_store_update(store, "t2", "{\"tags\":null}", NULL));
    struct mmgr_search_options options = {.struct_size = sizeof options, .text = "photo"};
    assert_string_equal(found(store, &options), "t3");
    assert_ok(mmgr_store_delete(store, "t3"));
    assert_string_equal(found(store, &options), "");
    options.text = "painting";
    options.base = "sd-1";
    options.filter = "name = Painting";
    assert_string_equal(found(store, &options), "t1");
    close_store(store);
}

static void by_name(void **state)
{
    mmgr_store *store = collection();
    mmgr_record *record = NULL;

    assert_error(mmgr_store_get_by_name(store, "None", NULL, NULL, &record), MMGR_ERR_UNKNOWN_MODEL,
                 "None", NULL, "None");
    assert_error(mmgr_store_get_by_name(store, "Delta", "flux", NULL, &record),
                 MMGR_ERR_UNKNOWN_MODEL, "flux", NULL, "Delta");
    assert_error(mmgr_store_get_by_name(store, "Delta", NULL, NULL, &record),
                 MMGR_ERR_AMBIGUOUS_MODEL, "a, d", NULL, "Delta");
    assert_null(record);
    assert_ok(mmgr_store_get_by_name(store, "Delta", NULL, "vae", &record));
    assert_string_equal(mmgr_record_text(record, MMGR_FIELD_KEY), "d");
    mmgr_record_unref(record);
    assert_ok(mmgr_store_get_by_name(store, "alpha", "sd-1", "main", &record));
    assert_string_equal(mmgr_record_text(record, MMGR_FIELD_KEY), "b");
    mmgr_record_unref(record);
    assert_error(mmgr_store_get_by_name(store, NULL, NULL, NULL, &record), MMGR_ERR_ARGUMENT, NULL,
                 "name", NULL);
    close_store(store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int conformance_search(void)
{
    const struct CMUnitTest tests[] = {
        TEST(search_by_each),
        TEST(search_every_sort_field),
        TEST(search_totals_and_refusals),
        TEST(search_by_filter),
        TEST(search_by_text),
        TEST(by_name),
    };

    return cmocka_run_group_tests_name(backend->name, tests, NULL, NULL);
}
