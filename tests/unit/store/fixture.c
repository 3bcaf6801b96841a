/* SPDX-License-Identifier: MIT */
/* Implementation of fixture.h. */
#include "fixture.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char folder[4096];

int folder_make(void **state)
{
    const char *base = getenv("TMPDIR");

    snprintf(folder, sizeof folder, "%s/mmgr-store-XXXXXX", base != NULL ? base : "/tmp");
    return mkdtemp(folder) == NULL;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

int folder_remove(void **state)
{
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *in_folder(const char *name)
{
    static char paths[4][8192];
    static int next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

void assert_ok_(enum mmgr_result result, const char *call, const char *file, int line)
{
    if (result != MMGR_OK) {
        print_error("%s: %s: %s\n", call, mmgr_result_name(result),
                    mmgr_error_message(mmgr_last_error()));
        _fail(file, line);
    }
}

void assert_error(enum mmgr_result result, enum mmgr_result wanted, const char *message,
                  const char *field, const char *subject)
{
    const mmgr_error *error = mmgr_last_error();

    if (result != wanted)
        fail_msg("%s instead of %s: %s", mmgr_result_name(result), mmgr_result_name(wanted),
                 mmgr_error_message(error));
    assert_int_equal(mmgr_error_code(error), wanted);
    if (message != NULL && strstr(mmgr_error_message(error), message) == NULL)
        fail_msg("\"%s\" is not in: %s", message, mmgr_error_message(error));
    if (field != NULL)
        assert_string_equal(mmgr_error_field(error), field);
    if (subject != NULL)
        assert_string_equal(mmgr_error_subject(error), subject);
}

mmgr_record *record_of(const char *json)
{
    mmgr_record *record = NULL;

    assert_ok(mmgr_record_from_json(json, &record));
    return record;
}

mmgr_record *simple_record(const char *key, const char *name, const char *base, const char *path,
                           const char *more)
{
    char json[4096];

    snprintf(json, sizeof json,
             "{\"key\":\"%s\",\"name\":\"%s\",\"type\":\"main\",\"format\":\"diffusers\","
             "\"base\":\"%s\","
             "\"path\":\"%s\"%s%s}",
             key, name, base, path, more[0] != '\0' ? "," : "", more);
    return record_of(json);
}

void add_record(mmgr_store *store, const char *key, const char *name, const char *base,
                const char *path, const char *more)
{
    mmgr_record *record = simple_record(key, name, base, path, more);

    assert_ok(mmgr_store_add(store, record, NULL));
    mmgr_record_unref(record);
}

mmgr_store *open_store(const char *path)
{
    struct mmgr_store_options options = {
        .struct_size = sizeof options, .path = path, .flags = MMGR_STORE_LENIENT};
    mmgr_store *store = NULL;

    assert_ok(mmgr_store_open(&options, &store));
    return store;
}

mmgr_config *config_at(const char *root)
{
    struct mmgr_config_options options = {.struct_size = sizeof options,
                                          .flags = MMGR_CONFIG_NO_ENVIRONMENT | MMGR_CONFIG_NO_FILE,
                                          .root = root};
    mmgr_config *config = NULL;

    assert_ok(mmgr_config_new(&options, &config));
    return config;
}

const char *found(mmgr_store *store, const struct mmgr_search_options *options)
{
    static char keys[4096];
    mmgr_record_list *list = NULL;

    assert_ok(mmgr_store_search(store, options, &list));
    keys[0] = '\0';
    for (uint32_t i = 0; i < mmgr_record_list_count(list); i++) {
        size_t used = strlen(keys);

        snprintf(keys + used, sizeof keys - used, "%s%s", used > 0 ? " " : "",
                 mmgr_record_text(mmgr_record_list_at(list, i), MMGR_FIELD_KEY));
    }
    mmgr_record_list_free(list);
    return keys;
}
