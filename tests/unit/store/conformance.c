/* SPDX-License-Identifier: MIT */
/* The conformance suite of record stores: the life of records, and their paths. */
#include "conformance.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend.h"

static void creates_and_keeps(void **state)
{
    char name[64];
    mmgr_store *store;
    mmgr_record *record = NULL;
    int exists = -1;

    if (backend->adopted)
        snprintf(name, sizeof name, "store%s", backend->extension);
    else
        snprintf(name, sizeof name, "a/b/store%s", backend->extension);
    store = open_at(in_folder(name));
    assert_string_equal(mmgr_store_version(store), backend->version);
    assert_ok(mmgr_store_exists(store, "k", &exists));
    assert_int_equal(exists, 0);
    add_record(store, "k", "N", "sd-1", "p", "\"description\":\"d\"");
    close_store(store);
    store = open_at(in_folder(name));
    assert_ok(mmgr_store_exists(store, "k", &exists));
    assert_int_equal(exists, 1);
    assert_ok(mmgr_store_get(store, "k", &record));
    assert_string_equal(mmgr_record_text(record, MMGR_FIELD_DESCRIPTION), "d");
    mmgr_record_unref(record);
    close_store(store);
    assert_ok(mmgr_store_close(NULL));
}

static void empty_file_is_initialised(void **state)
{
    FILE *file = fopen(store_path(), "w");
    mmgr_store *store;

    fclose(file);
    store = open_here();
    add_record(store, "k", "N", "sd-1", "p", "");
    assert_string_equal(found(store, NULL), "k");
    close_store(store);
}

static void refused_opens(void **state)
{
    struct mmgr_store_options options = {.struct_size = sizeof options};
    mmgr_store *store = (mmgr_store *)&options;

    assert_error(mmgr_store_open(&options, &store), MMGR_ERR_ARGUMENT, NULL, "path", NULL);
    assert_error(mmgr_store_open(NULL, &store), MMGR_ERR_ARGUMENT, NULL, "path", NULL);
    assert_error(mmgr_store_open(&options, NULL), MMGR_ERR_ARGUMENT, NULL, "store", NULL);
    options.path = in_folder("store.txt");
    assert_error(mmgr_store_open(&options, &store), MMGR_ERR_UNSUPPORTED, "ends in .db", NULL,
                 options.path);
    assert_int_equal(access(options.path, F_OK), -1);
    options.path = store_path();
    options.flags = 64;
    assert_error(mmgr_store_open(&options, &store), MMGR_ERR_ARGUMENT, NULL, "flags", NULL);
    options.flags = 0;
    options.struct_size = 4;
    assert_error(mmgr_store_open(&options, &store), MMGR_ERR_ABI_SIZE, NULL, NULL, NULL);
    options.struct_size = sizeof options;
    mkdir(options.path, 0700);
    assert_error(mmgr_store_open(&options, &store), MMGR_ERR_STORE_INCOMPATIBLE, "no regular file",
                 NULL, NULL);
    assert_ptr_equal(store, &options);
}

static int entries(const char *path)
{
    DIR *dir = opendir(path);
    int count = 0;

    while (dir != NULL && readdir(dir) != NULL)
        count++;
    if (dir != NULL)
        closedir(dir);
    return count - 2;
}

static void read_only_creates_nothing(void **state)
{
    char name[64];
    struct mmgr_store_options options = {.struct_size = sizeof options,
                                         .flags = MMGR_STORE_READ_ONLY};
    mmgr_record *record = simple_record("k", "N", "sd-1", "p", "");
    mmgr_store *store;
    FILE *file;

    snprintf(name, sizeof name, "a/store%s", backend->extension);
    options.path = in_folder(name);
    assert_ok(open_by(&options, &store));
    assert_string_equal(found(store, NULL), "");
    assert_error(mmgr_store_add(store, record, NULL), MMGR_ERR_STATE, "read only", NULL, NULL);
    close_store(store);
    assert_int_equal(entries(folder), 0);
    /* An empty file stays empty. */
    options.path = store_path();
    file = fopen(options.path, "w");
    fclose(file);
    assert_ok(open_by(&options, &store));
    close_store(store);
    assert_int_equal(entries(folder), 1);
    mmgr_record_unref(record);
}

static void read_only_reads(void **state)
{
    struct mmgr_store_options options = {
        .struct_size = sizeof options, .flags = MMGR_STORE_READ_ONLY, .path = store_path()};
    mmgr_store *writer = open_here(), *store;
    mmgr_record *record = NULL;

    add_record(writer, "k", "N", "sd-1", "p", "");
    assert_ok(open_by(&options, &store));
    assert_ok(mmgr_store_get(store, "k", &record));
    assert_error(mmgr_store_add(store, record, NULL), MMGR_ERR_STATE, NULL, NULL, NULL);
    assert_error(mmgr_store_update(store, "k", "{}", NULL), MMGR_ERR_STATE, NULL, NULL, NULL);
    assert_error(mmgr_store_delete(store, "k"), MMGR_ERR_STATE, NULL, NULL, NULL);
    mmgr_record_unref(record);
    add_record(writer, "k2", "N", "sd-1", "p2", "");
    assert_string_equal(found(store, NULL), "k k2");
    close_store(writer);
    assert_string_equal(found(store, NULL), "k k2");
    close_store(store);
    assert_int_equal(entries(folder), 1);
}

static void add_and_duplicates(void **state)
{
    mmgr_store *store = open_here();
    mmgr_record *record = simple_record("k1", "N", "sd-1", "p1", ""), *added = NULL, *got = NULL;

    assert_ok(mmgr_store_add(store, record, &added));
    assert_non_null(mmgr_record_text(added, MMGR_FIELD_CREATED_AT));
    assert_string_equal(mmgr_record_text(added, MMGR_FIELD_CREATED_AT),
                        mmgr_record_text(added, MMGR_FIELD_UPDATED_AT));
    assert_ok(mmgr_store_get(store, "k1", &got));
    assert_string_equal(mmgr_record_text(added, MMGR_FIELD_CREATED_AT),
                        mmgr_record_text(got, MMGR_FIELD_CREATED_AT));
    mmgr_record_unref(got);
    mmgr_record_unref(added);
    added = NULL;
    assert_error(mmgr_store_add(store, record, &added), MMGR_ERR_DUPLICATE_MODEL, "k1", "key",
                 "k1");
    mmgr_record_unref(record);
    record = simple_record("k2", "N", "sd-1", "p1", "");
    assert_error(mmgr_store_add(store, record, &added), MMGR_ERR_DUPLICATE_MODEL, "p1", "path",
                 "k1");
    assert_null(added);
    mmgr_record_unref(record);
    /* The name is not unique. */
    add_record(store, "k2", "N", "sd-1", "p2", "");
    assert_string_equal(found(store, NULL), "k1 k2");
    assert_error(mmgr_store_add(store, NULL, NULL), MMGR_ERR_ARGUMENT, NULL, "record", NULL);
    assert_error(mmgr_store_add(NULL, NULL, NULL), MMGR_ERR_ARGUMENT, NULL, "store", NULL);
    close_store(store);
}

static void get_unknown(void **state)
{
    mmgr_store *store = open_here();
    mmgr_record *record = NULL;
    int exists = 7;

    assert_error(mmgr_store_get(store, "nope", &record), MMGR_ERR_UNKNOWN_MODEL, "nope", NULL,
                 "nope");
    assert_null(record);
    assert_error(mmgr_store_delete(store, "nope"), MMGR_ERR_UNKNOWN_MODEL, "nope", NULL, "nope");
    assert_error(mmgr_store_update(store, "nope", "{}", NULL), MMGR_ERR_UNKNOWN_MODEL, "nope", NULL,
                 "nope");
    assert_error(mmgr_store_get(store, NULL, &record), MMGR_ERR_ARGUMENT, NULL, "key", NULL);
    assert_error(mmgr_store_get(store, "k", NULL), MMGR_ERR_ARGUMENT, NULL, "record", NULL);
    assert_error(mmgr_store_exists(store, NULL, &exists), MMGR_ERR_ARGUMENT, NULL, "key", NULL);
    assert_int_equal(exists, 7);
    close_store(store);
}

static void update_is_sparse(void **state)
{
    mmgr_store *store = open_here();
    mmgr_record *updated = NULL, *got = NULL;

    add_record(store, "k", "N", "sd-1", "p", "\"description\":\"d\",\"tags\":[\"a\",\"b\"]");
    assert_ok(mmgr_store_update(store, "k", "{\"name\":\"M\",\"description\":null,\"key\":\"k\"}",
                                &updated));
    assert_string_equal(mmgr_record_text(updated, MMGR_FIELD_NAME), "M");
    assert_ok(mmgr_store_get(store, "k", &got));
    assert_string_equal(mmgr_record_text(got, MMGR_FIELD_NAME), "M");
    assert_null(mmgr_record_text(got, MMGR_FIELD_DESCRIPTION));
    assert_string_equal(mmgr_record_text(got, MMGR_FIELD_TAGS), "[\"a\",\"b\"]");
    mmgr_record_unref(updated);
    mmgr_record_unref(got);
    /* What is searched by follows. */
    assert_ok(mmgr_store_update(store, "k", "{\"tags\":[\"b\",\"c\"],\"base\":\"sdxl\"}", NULL));
    const char *tags[] = {"c"};
    struct mmgr_search_options options = {
        .struct_size = sizeof options, .tags = tags, .tag_count = 1};
    assert_string_equal(found(store, &options), "k");
    tags[0] = "a";
    assert_string_equal(found(store, &options), "");
    options = (struct mmgr_search_options){.struct_size = sizeof options, .base = "sd-1"};
    assert_string_equal(found(store, &options), "");
    options.base = "sdxl";
    assert_string_equal(found(store, &options), "k");
    close_store(store);
}

static void update_keeps_created(void **state)
{
    mmgr_store *store = open_here();
    mmgr_record *record = NULL;

    add_record(store, "k", "N", "sd-1", "p", "\"created_at\":\"2020-01-02T03:04:05.678Z\"");
    assert_ok(mmgr_store_update(
        store, "k", "{\"created_at\":\"2021-01-01T00:00:00.000Z\",\"name\":\"M\"}", &record));
    assert_string_equal(mmgr_record_text(record, MMGR_FIELD_CREATED_AT),
                        "2020-01-02T03:04:05.678Z");
    assert_true(strcmp(mmgr_record_text(record, MMGR_FIELD_UPDATED_AT), "2022") > 0);
    mmgr_record_unref(record);
    close_store(store);
}

static void refused_updates_change_nothing(void **state)
{
    static const struct {
        const char *patch, *field, *subject;
        enum mmgr_result result;
    } cases[] = {
        {"{\"name\":\"X\",\"tags\":1}", "tags", "k", MMGR_ERR_INVALID_CONFIG},
        {"{\"name\":\"X\",\"path\":null}", "path", "k", MMGR_ERR_INVALID_CONFIG},
        {"{\"name\":\"X\",\"config_path\":\"c\"}", "config_path", "k", MMGR_ERR_INVALID_CONFIG},
        {"{\"name\":\"X\",\"key\":\"other\"}", "key", "k", MMGR_ERR_INVALID_CONFIG},
        {"{\"name\":\"X\",\"key\":null}", "key", "k", MMGR_ERR_INVALID_CONFIG},
        {"{\"name\":\"X\",\"path\":\"q\"}", "path", "other", MMGR_ERR_DUPLICATE_MODEL},
        {"{\"name\":\"X\"", NULL, NULL, MMGR_ERR_INVALID_CONFIG},
    };
    mmgr_store *store = open_here();
    mmgr_record *before = NULL, *after = NULL;
    char *one, *two;

    add_record(store, "k", "N", "sd-1", "p", "\"tags\":[\"a\"]");
    add_record(store, "other", "O", "sd-1", "q", "");
    assert_ok(mmgr_store_get(store, "k", &before));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_error(mmgr_store_update(store, "k", cases[i].patch, &after), cases[i].result, NULL,
                     cases[i].field, cases[i].subject);
    assert_null(after);
    assert_ok(mmgr_store_get(store, "k", &after));
    assert_ok(mmgr_record_to_json(before, &one));
    assert_ok(mmgr_record_to_json(after, &two));
    assert_string_equal(one, two);
    mmgr_string_free(one);
    mmgr_string_free(two);
    mmgr_record_unref(before);
    mmgr_record_unref(after);
    close_store(store);
}

static void delete_removes_all_traces(void **state)
{
    mmgr_store *store = open_here();

    add_record(store, "k", "N", "sd-1", "p", "\"tags\":[\"a\"]");
    assert_ok(mmgr_store_delete(store, "k"));
    assert_string_equal(found(store, NULL), "");
    /* Key and path are free again; old tags do not come back. */
    add_record(store, "k", "N", "sd-2", "p", "");
    const char *tags[] = {"a"};
    struct mmgr_search_options options = {
        .struct_size = sizeof options, .tags = tags, .tag_count = 1};
    assert_string_equal(found(store, &options), "");
    close_store(store);
}

static void newer_content_survives(void **state)
{
    static const char unknown[] = "\"x_big\":123456789012345678901234567890,\"x_f\":1.0e+007,"
                                  "\"x_o\":{ \"a\" : [ ] }";
    mmgr_store *store = open_here();
    mmgr_record *record = NULL;
    char *json;

    add_record(store, "k", "N", "sd-77", "p", unknown);
    close_store(store);
    store = open_here();
    assert_ok(mmgr_store_update(store, "k", "{\"description\":\"d\"}", NULL));
    close_store(store);
    store = open_here();
    assert_ok(mmgr_store_get(store, "k", &record));
    assert_int_equal(mmgr_record_term(record, MMGR_FIELD_BASE), MMGR_BASE_OTHER);
    assert_string_equal(mmgr_record_text(record, MMGR_FIELD_BASE), "sd-77");
    assert_ok(mmgr_record_to_json(record, &json));
    assert_non_null(strstr(json, unknown));
    mmgr_string_free(json);
    mmgr_record_unref(record);
    close_store(store);
}

static void resolves(const mmgr_store *store, const mmgr_record *record, enum mmgr_field field,
                     const char *expected)
{
    char *path = NULL;

    assert_ok(mmgr_store_resolve(store, record, field, &path));
    if (expected == NULL)
        assert_null(path);
    else
        assert_string_equal(path, expected);
    mmgr_string_free(path);
}

static void paths_resolve_by_config(void **state)
{
    mmgr_config *config = config_at(folder);
    struct mmgr_store_options options = {
        .struct_size = sizeof options, .path = store_path(), .config = config};
    mmgr_store *store;
    mmgr_record *record, *added = NULL;
    char more[8192], path[8192], *unresolved = NULL;

    assert_ok(open_by(&options, &store));
    snprintf(path, sizeof path, "%s/models/./sd-1/x", folder);
    snprintf(more, sizeof more, "\"vae\":\"%s/models/v\"", folder);
    record = simple_record("k", "N", "sd-1", path, more);
    assert_ok(mmgr_store_add(store, record, &added));
    assert_string_equal(mmgr_record_text(added, MMGR_FIELD_PATH), "sd-1/x");
    assert_string_equal(mmgr_record_text(added, MMGR_FIELD_VAE), "v");
    assert_string_equal(mmgr_record_location(added), in_folder("models/sd-1/x"));
    resolves(store, added, MMGR_FIELD_PATH, in_folder("models/sd-1/x"));
    resolves(store, added, MMGR_FIELD_VAE, in_folder("models/v"));
    resolves(store, added, MMGR_FIELD_CONFIG_PATH, NULL);
    assert_error(mmgr_store_resolve(store, added, MMGR_FIELD_NAME, &unresolved), MMGR_ERR_ARGUMENT,
                 NULL, "field", NULL);
    mmgr_record_unref(record);
    mmgr_record_unref(added);
    record = simple_record("v", "N", "sd-1", "/elsewhere/y",
                           "\"vae\":\"0123456789abcdef0123456789abcdef\"");
    resolves(store, record, MMGR_FIELD_PATH, "/elsewhere/y");
    resolves(store, record, MMGR_FIELD_VAE, NULL); /* a key, not a path */
    mmgr_record_unref(record);
    /* The same place in another spelling is the same path. */
    record = simple_record("k2", "N", "sd-1", "sd-1//./x", "");
    assert_error(mmgr_store_add(store, record, NULL), MMGR_ERR_DUPLICATE_MODEL, "sd-1/x", "path",
                 "k");
    mmgr_record_unref(record);
    struct mmgr_search_options search = {.struct_size = sizeof search, .path = path};
    assert_string_equal(found(store, &search), "k");
    search.path = "sd-1/x";
    assert_string_equal(found(store, &search), "k");
    /* A config of a model lies under the root, not under models_dir. */
    snprintf(more, sizeof more,
             "{\"key\":\"c\",\"name\":\"N\",\"type\":\"main\",\"format\":\"checkpoint\","
             "\"base\":\"sd-1\",\"path\":\"c\",\"config_path\":\"%s/configs/v1.yaml\"}",
             folder);
    record = record_of(more);
    assert_ok(mmgr_store_add(store, record, &added));
    assert_string_equal(mmgr_record_text(added, MMGR_FIELD_CONFIG_PATH), "configs/v1.yaml");
    resolves(store, added, MMGR_FIELD_CONFIG_PATH, in_folder("configs/v1.yaml"));
    mmgr_record_unref(record);
    mmgr_record_unref(added);
    close_store(store);
    mmgr_config_unref(config);
}

static void outside_paths_stay_absolute(void **state)
{
    mmgr_config *config = config_at(folder);
    struct mmgr_store_options options = {
        .struct_size = sizeof options, .path = store_path(), .config = config};
    mmgr_store *store;
    mmgr_record *record = NULL;

    assert_ok(open_by(&options, &store));
    mmgr_config_unref(config);
    add_record(store, "out", "N", "sd-1", "/elsewhere/x.safetensors", "");
    add_record(store, "ext", "N", "external", "external://provider/model", "");
    assert_ok(mmgr_store_get(store, "out", &record));
    assert_string_equal(mmgr_record_text(record, MMGR_FIELD_PATH), "/elsewhere/x.safetensors");
    assert_string_equal(mmgr_record_location(record), "/elsewhere/x.safetensors");
    mmgr_record_unref(record);
    assert_ok(mmgr_store_get(store, "ext", &record));
    assert_string_equal(mmgr_record_text(record, MMGR_FIELD_PATH), "external://provider/model");
    assert_null(mmgr_record_location(record));
    mmgr_record_unref(record);
    close_store(store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

static int records(void)
{
    const struct CMUnitTest tests[] = {
        TEST(creates_and_keeps),
        TEST(add_and_duplicates),
        TEST(get_unknown),
        TEST(update_is_sparse),
        TEST(update_keeps_created),
        TEST(refused_updates_change_nothing),
        TEST(delete_removes_all_traces),
        TEST(newer_content_survives),
        TEST(paths_resolve_by_config),
        TEST(outside_paths_stay_absolute),
    };
    const struct CMUnitTest files[] = {
        TEST(empty_file_is_initialised),
        TEST(refused_opens),
        TEST(read_only_creates_nothing),
        TEST(read_only_reads),
    };

    return cmocka_run_group_tests_name(backend->name, tests, NULL, NULL) +
           (backend->adopted ? 0 : cmocka_run_group_tests_name(backend->name, files, NULL, NULL));
}

int store_conformance(const struct store_backend *which)
{
    backend = which;
    return records() + conformance_input() + conformance_search() + conformance_pages() +
           conformance_sharing();
}
