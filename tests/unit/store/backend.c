/* SPDX-License-Identifier: MIT */
/* Implementation of backend.h. */
#include "backend.h"

#include <sqlite3.h>
#include <stdio.h>

const struct store_backend *backend;

const char *store_path(void)
{
    static char name[64];

    snprintf(name, sizeof name, "store%s", backend->extension);
    return in_folder(name);
}

/* The hosts' handles under the stores that are open on them. */
static struct {
    mmgr_store *store;
    sqlite3 *handle;
} adopted[8];

enum mmgr_result open_by(struct mmgr_store_options *options, mmgr_store **store)
{
    sqlite3 *handle = NULL;
    enum mmgr_result result;
    size_t slot = 0;

    if (!backend->adopted)
        return mmgr_store_open(options, store);
    assert_int_equal(sqlite3_open(options->path, &handle), SQLITE_OK);
    sqlite3_busy_timeout(handle, 10000);
    options->path = NULL;
    options->sqlite = handle;
    options->sqlite_source_id = sqlite3_sourceid();
    result = mmgr_store_open(options, store);
    if (result != MMGR_OK) {
        sqlite3_close(handle);
        return result;
    }
    while (adopted[slot].store != NULL)
        assert_in_range(++slot, 0, 7);
    adopted[slot].store = *store;
    adopted[slot].handle = handle;
    return MMGR_OK;
}

mmgr_store *open_at(const char *path)
{
    struct mmgr_store_options options = {
        .struct_size = sizeof options, .path = path, .flags = MMGR_STORE_LENIENT};
    mmgr_store *store = NULL;

    assert_ok(open_by(&options, &store));
    return store;
}

mmgr_store *open_here(void)
{
    return open_at(store_path());
}

void close_store(mmgr_store *store)
{
    assert_ok(mmgr_store_close(store));
    for (size_t i = 0; i < sizeof adopted / sizeof adopted[0]; i++) {
        if (adopted[i].store == store) {
            assert_int_equal(sqlite3_close(adopted[i].handle), SQLITE_OK);
            adopted[i].store = NULL;
        }
    }
}

mmgr_store *collection(void)
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
