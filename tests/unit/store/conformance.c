/* SPDX-License-Identifier: MIT */
/* The conformance suite of record stores. */
#include "conformance.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"

static const char *extension;

static const char *store_path(void)
{
    static char name[64];

    snprintf(name, sizeof name, "store%s", extension);
    return in_folder(name);
}

static mmgr_store *open_here(void)
{
    return open_store(store_path());
}

static void creates_and_keeps(void **state)
{
    char name[64];
    mmgr_store *store;
    mmgr_record *record = NULL;
    int exists = -1;

    snprintf(name, sizeof name, "a/b/store%s", extension);
    store = open_store(in_folder(name));
    assert_string_equal(mmgr_store_version(store), "1");
    assert_ok(mmgr_store_exists(store, "k", &exists));
    assert_int_equal(exists, 0);
    add_record(store, "k", "N", "sd-1", "p", "\"description\":\"d\"");
    assert_ok(mmgr_store_close(store));
    store = open_store(in_folder(name));
    assert_ok(mmgr_store_exists(store, "k", &exists));
    assert_int_equal(exists, 1);
    assert_ok(mmgr_store_get(store, "k", &record));
    assert_string_equal(mmgr_record_text(record, MMGR_FIELD_DESCRIPTION), "d");
    mmgr_record_unref(record);
    assert_ok(mmgr_store_close(store));
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
    assert_ok(mmgr_store_close(store));
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
    options.flags = 2;
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

    snprintf(name, sizeof name, "a/store%s", extension);
    options.path = in_folder(name);
    assert_ok(mmgr_store_open(&options, &store));
    assert_string_equal(found(store, NULL), "");
    assert_error(mmgr_store_add(store, record, NULL), MMGR_ERR_STATE, "read only", NULL, NULL);
    assert_ok(mmgr_store_close(store));
    assert_int_equal(entries(folder), 0);
    /* An empty file stays empty. */
    options.path = store_path();
    file = fopen(options.path, "w");
    fclose(file);
    assert_ok(mmgr_store_open(&options, &store));
    assert_ok(mmgr_store_close(store));
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
    assert_ok(mmgr_store_open(&options, &store));
    assert_ok(mmgr_store_get(store, "k", &record));
    assert_error(mmgr_store_add(store, record, NULL), MMGR_ERR_STATE, NULL, NULL, NULL);
    assert_error(mmgr_store_update(store, "k", "{}", NULL), MMGR_ERR_STATE, NULL, NULL, NULL);
    assert_error(mmgr_store_delete(store, "k"), MMGR_ERR_STATE, NULL, NULL, NULL);
    mmgr_record_unref(record);
    add_record(writer, "k2", "N", "sd-1", "p2", "");
    assert_string_equal(found(store, NULL), "k k2");
    assert_ok(mmgr_store_close(writer));
    assert_string_equal(found(store, NULL), "k k2");
    assert_ok(mmgr_store_close(store));
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
    assert_ok(mmgr_store_close(store));
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
    assert_ok(mmgr_store_close(store));
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
    assert_ok(mmgr_store_close(store));
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
    assert_ok(mmgr_store_close(store));
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
    assert_ok(mmgr_store_close(store));
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
    assert_ok(mmgr_store_close(store));
}

static void newer_content_survives(void **state)
{
    static const char unknown[] = "\"x_big\":123456789012345678901234567890,\"x_f\":1.0e+007,"
                                  "\"x_o\":{ \"a\" : [ ] }";
    mmgr_store *store = open_here();
    mmgr_record *record = NULL;
    char *json;

    add_record(store, "k", "N", "sd-77", "p", unknown);
    assert_ok(mmgr_store_close(store));
    store = open_here();
    assert_ok(mmgr_store_update(store, "k", "{\"description\":\"d\"}", NULL));
    assert_ok(mmgr_store_close(store));
    store = open_here();
    assert_ok(mmgr_store_get(store, "k", &record));
    assert_int_equal(mmgr_record_term(record, MMGR_FIELD_BASE), MMGR_BASE_OTHER);
    assert_string_equal(mmgr_record_text(record, MMGR_FIELD_BASE), "sd-77");
    assert_ok(mmgr_record_to_json(record, &json));
    assert_non_null(strstr(json, unknown));
    mmgr_string_free(json);
    mmgr_record_unref(record);
    assert_ok(mmgr_store_close(store));
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

    assert_ok(mmgr_store_open(&options, &store));
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
    assert_ok(mmgr_store_close(store));
    mmgr_config_unref(config);
}

static void outside_paths_stay_absolute(void **state)
{
    mmgr_config *config = config_at(folder);
    struct mmgr_store_options options = {
        .struct_size = sizeof options, .path = store_path(), .config = config};
    mmgr_store *store;
    mmgr_record *record = NULL;

    assert_ok(mmgr_store_open(&options, &store));
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
    assert_ok(mmgr_store_close(store));
}

/* key, name, type, base, format, extras: a little collection to search in. */
static mmgr_store *collection(void)
{
    static const char *const records[] = {
        "{\"key\":\"a\",\"name\":\"Delta\",\"type\":\"main\",\"format\":\"diffusers\","
        "\"base\":\"sd-1\","
        "\"path\":\"pa\",\"hash\":\"sha256:aa\",\"tags\":[\"x\",\"y\"],\"file_size\":30,"
        "\"source\":\"o/n\"}",
        "{\"key\":\"b\",\"name\":\"alpha\",\"type\":\"main\",\"format\":\"checkpoint\","
        "\"base\":\"sdxl\","
        "\"path\":\"pb\",\"tags\":[\"x\"],\"bases\":[\"sdxl\",\"sd-1\"],\"file_size\":4}",
        "{\"key\":\"c\",\"name\":\"Bravo\",\"type\":\"lora\",\"format\":\"lycoris\","
        "\"base\":\"sd-1\","
        "\"path\":\"/abs/pc\",\"tags\":[\"y\"],\"file_size\":200}",
        "{\"key\":\"d\",\"name\":\"Delta\",\"type\":\"vae\",\"format\":\"diffusers\","
        "\"base\":\"any\","
        "\"path\":\"pd\"}",
    };
    mmgr_store *store = open_here();

    for (size_t i = 0; i < 4; i++) {
        mmgr_record *record = record_of(records[i]);

        assert_ok(mmgr_store_add(store, record, NULL));
        mmgr_record_unref(record);
    }
    return store;
}

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
        {{.sort = "-name"}, "a d c b"},
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
    assert_ok(mmgr_store_close(store));
}

static void search_every_sort_field(void **state)
{
    mmgr_store *store = collection();
    mmgr_record_list *list = NULL;

    for (int field = 1; mmgr_field_name((enum mmgr_field)field) != NULL; field++) {
        struct mmgr_search_options options = {.struct_size = sizeof options,
                                              .sort = mmgr_field_name((enum mmgr_field)field)};
        int many = field == MMGR_FIELD_BASES || field == MMGR_FIELD_TAGS ||
                   field == MMGR_FIELD_TRIGGER_PHRASES || field == MMGR_FIELD_DEFAULT_SETTINGS;

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
    assert_ok(mmgr_store_close(store));
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
    assert_error(mmgr_store_search(store, &options, &list), MMGR_ERR_UNSUPPORTED, "filter",
                 "filter", NULL);
    options = (struct mmgr_search_options){.struct_size = sizeof options, .text = "a"};
    assert_error(mmgr_store_search(store, &options, &list), MMGR_ERR_UNSUPPORTED, "text", "text",
                 NULL);
    options = (struct mmgr_search_options){.struct_size = sizeof options, .tag_count = 1};
    assert_error(mmgr_store_search(store, &options, &list), MMGR_ERR_ARGUMENT, NULL, "tags", NULL);
    options = (struct mmgr_search_options){.struct_size = 8};
    assert_error(mmgr_store_search(store, &options, &list), MMGR_ERR_ABI_SIZE, NULL, NULL, NULL);
    newer.known.struct_size = sizeof newer;
    assert_error(mmgr_store_search(store, &newer.known, &list), MMGR_ERR_ABI_NEWER, NULL, NULL,
                 NULL);
    assert_error(mmgr_store_search(store, NULL, NULL), MMGR_ERR_ARGUMENT, NULL, "list", NULL);
    assert_null(list);
    assert_ok(mmgr_store_close(store));
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
    assert_ok(mmgr_store_close(store));
}

static void two_handles_see_each_other(void **state)
{
    mmgr_store *one = open_here(), *two = open_here();

    add_record(one, "k1", "N", "sd-1", "p1", "");
    assert_string_equal(found(two, NULL), "k1");
    add_record(two, "k2", "N", "sd-1", "p2", "");
    assert_string_equal(found(one, NULL), "k1 k2");
    /* Closing one must not cost the other its locks. */
    assert_ok(mmgr_store_close(two));
    add_record(one, "k3", "N", "sd-1", "p3", "");
    assert_ok(mmgr_store_delete(one, "k1"));
    two = open_here();
    assert_string_equal(found(two, NULL), "k2 k3");
    assert_ok(mmgr_store_close(one));
    assert_ok(mmgr_store_close(two));
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
    assert_ok(mmgr_store_close(store));
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
    assert_ok(mmgr_store_open(&options, &store));
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
    assert_ok(mmgr_store_close(store));
    mmgr_listener_close(listener);
    assert_ok(mmgr_bus_close(bus));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int store_conformance(const char *with_extension)
{
    const struct CMUnitTest tests[] = {
        TEST(creates_and_keeps),
        TEST(empty_file_is_initialised),
        TEST(refused_opens),
        TEST(read_only_creates_nothing),
        TEST(read_only_reads),
        TEST(add_and_duplicates),
        TEST(get_unknown),
        TEST(update_is_sparse),
        TEST(update_keeps_created),
        TEST(refused_updates_change_nothing),
        TEST(delete_removes_all_traces),
        TEST(newer_content_survives),
        TEST(paths_resolve_by_config),
        TEST(outside_paths_stay_absolute),
        TEST(search_by_each),
        TEST(search_every_sort_field),
        TEST(search_totals_and_refusals),
        TEST(by_name),
        TEST(two_handles_see_each_other),
        TEST(threads),
        TEST(events),
    };

    extension = with_extension;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
