/* SPDX-License-Identifier: MIT */
/* Implementation of steps.h. */
#include "steps.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "store/store.h"
#include "yaml_files.h"

const char *steps_extension = ".db";

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
        "SELECT (SELECT count(*) FROM mmgr_tags WHERE id NOT IN (SELECT id FROM mmgr_models))"
        " + (SELECT count(*) FROM mmgr_bases WHERE id NOT IN (SELECT id FROM mmgr_models))"
        " + (SELECT count(*) FROM mmgr_files WHERE id NOT IN (SELECT id FROM mmgr_models))"
        " + (SELECT count(*) FROM mmgr_text WHERE rowid NOT IN (SELECT id FROM mmgr_models))"
        " + (SELECT count(*) FROM mmgr_models WHERE id NOT IN (SELECT id FROM mmgr_bases))"
        " + (SELECT count(*) FROM mmgr_models WHERE id NOT IN (SELECT rowid FROM mmgr_text))"
        " + (SELECT count(*) FROM mmgr_models m WHERE (SELECT count(*) FROM mmgr_tags t WHERE"
        "    t.id = m.id) <> json_array_length(record, '$.tags'))"
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

void state_of(const char *path, char text[4096])
{
    struct mmgr_store_options options = {
        .struct_size = sizeof options, .path = path, .flags = MMGR_STORE_LENIENT};
    int is_db = strcmp(steps_extension, ".db") == 0;
    mmgr_store *store;

    text[0] = '\0';
    if (mmgr_store_open(&options, &store) != MMGR_OK) {
        snprintf(text, 4096, "broken: %s", mmgr_error_message(mmgr_last_error()));
        return;
    }
    assert_ok(mmgr__store_each(store, describe, text));
    assert_ok(mmgr_store_close(store));
    if (is_db && halves(path) != 0)
        snprintf(text, 4096, "broken: %lld", (long long)halves(path));
}

int goes_on(const char *path)
{
    struct mmgr_store_options options = {.struct_size = sizeof options, .path = path};
    mmgr_record *record = full_record("last");
    char parent[8192];
    mmgr_store *store;
    enum mmgr_result result = mmgr_store_open(&options, &store);

    if (result == MMGR_OK) {
        result = mmgr_store_add(store, record, NULL);
        mmgr_store_close(store);
    }
    mmgr_record_unref(record);
    snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(path, '/') - path), path);
    return result == MMGR_OK && strcmp(names_in(parent), strrchr(path, '/') + 1) == 0;
}

enum mmgr_result run_step(enum step step, mmgr_store *store)
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

enum mmgr_result open_and_run(enum step step, const char *path)
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

const char *prepare(enum step step)
{
    static int number;
    static char path[8192];
    mmgr_record *record;
    mmgr_store *store;

    snprintf(path, sizeof path, "%s/%d", folder, number++);
    assert_int_equal(mkdir(path, 0777), 0);
    snprintf(path + strlen(path), sizeof path - strlen(path), "/store%s", steps_extension);
    if (step == OPEN)
        return path;
    store = open_store(path);
    record = full_record("old");
    assert_ok(mmgr_store_add(store, record, NULL));
    mmgr_record_unref(record);
    assert_ok(mmgr_store_close(store));
    return path;
}

void find_states(enum step step, struct states *states)
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
