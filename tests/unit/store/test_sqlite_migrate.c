/* SPDX-License-Identifier: MIT */
/* Stores of every earlier schema, as their releases wrote them, become stores of today: nothing is lost, a
 * backup is made before, and whatever fails on the way leaves the old store. */
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "fixture.h"

#define OLDEST 1
#define NEWEST 2 /* of today; each has a golden store */

static const char *golden(int schema, const char *extension)
{
    static char path[4096];

    snprintf(path, sizeof path, "%s/tests/fixtures/stores/schema%d.%s", getenv("MMGR_SOURCE_ROOT"),
             schema, extension);
    return path;
}

static void copy_file(const char *from, const char *to)
{
    static char bytes[1 << 20];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    size_t got;

    assert_non_null(in);
    assert_non_null(out);
    got = fread(bytes, 1, sizeof bytes, in);
    assert_in_range(got, 512, sizeof bytes - 1);
    assert_int_equal(fwrite(bytes, 1, got, out), got);
    fclose(in);
    fclose(out);
}

static int same_file(const char *one, const char *two)
{
    static char a[1 << 20], b[1 << 20];
    FILE *first = fopen(one, "rb"), *second = fopen(two, "rb");
    size_t length = fread(a, 1, sizeof a, first);
    int same = fread(b, 1, sizeof b, second) == length && memcmp(a, b, length) == 0;

    fclose(first);
    fclose(second);
    return same;
}

static int64_t number(const char *path, const char *query)
{
    sqlite3_stmt *statement = NULL;
    sqlite3 *db;
    int64_t value = -1;

    if (sqlite3_open(path, &db) == SQLITE_OK &&
        sqlite3_prepare_v2(db, query, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return value;
}

/* Path of the first file in the folder whose name holds the text, or NULL; *count of all such. */
static const char *find_file(const char *text, int *count)
{
    static char path[8192];
    DIR *dir = opendir(folder);
    struct dirent *entry;

    *count = 0;
    while ((entry = readdir(dir)) != NULL) {
        if (strstr(entry->d_name, text) != NULL && (*count)++ == 0)
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    }
    closedir(dir);
    return *count > 0 ? path : NULL;
}

/* Every record that the old release listed is there, member for member. */
static void holds_all(mmgr_store *store, int schema)
{
    json_t *wanted = json_load_file(golden(schema, "json"), JSON_DECODE_INT_AS_REAL, NULL);
    json_t *models, *model, *value;
    const char *name;
    size_t i;

    assert_non_null(wanted);
    models = json_object_get(wanted, "models");
    assert_true(json_array_size(models) >= 5);
    json_array_foreach(models, i, model) {
        mmgr_record *record = NULL;
        json_t *found;
        char *json;

        assert_ok(mmgr_store_get(store, json_string_value(json_object_get(model, "key")), &record));
        assert_ok(mmgr_record_to_json(record, &json));
        found = json_loads(json, JSON_DECODE_INT_AS_REAL, NULL); /* one number is too large for an int */
        json_object_del(found, "location");
        json_object_foreach(model, name, value) {
            assert_true(json_equal(json_object_get(found, name), value));
        }
        if (json_object_get(model, "x_big") != NULL)
            assert_non_null(strstr(json, "\"x_big\":123456789012345678901234567890,\"x_f\":1.0e+007,"
                                         "\"x_o\":{ \"a\" : [ ] }"));
        json_decref(found);
        mmgr_string_free(json);
        mmgr_record_unref(record);
    }
    json_decref(wanted);
}

static void searches_work(mmgr_store *store)
{
    static const char *const tag[] = {"photo"};
    const struct {
        struct mmgr_search_options options;
        const char *keys;
    } cases[] = {
        {{.tags = tag, .tag_count = 1}, "main1"},
        {{.base = "sd-2"}, "multi1"},
        {{.text = "photographs"}, "main1"},
        {{.text = "cine"}, "main1"},
        {{.text = "real life jugger"}, "main1"},
        {{.filter = "file_size > 6GiB"}, "main1"},
        {{.filter = "source = 'org/name' and revision = abc"}, "multi1"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mmgr_search_options options = cases[i].options;

        options.struct_size = sizeof options;
        assert_string_equal(found(store, &options), cases[i].keys);
    }
}

static void every_golden_store(void **state)
{
    for (int schema = OLDEST; schema <= NEWEST; schema++) {
        const char *path = in_folder("store.db"), *backup;
        mmgr_record *record = NULL;
        mmgr_store *store;
        char old[64];
        int count;

        copy_file(golden(schema, "db"), path);
        store = open_store(path);
        assert_string_equal(mmgr_store_version(store), "2");
        holds_all(store, schema);
        searches_work(store);
        /* The manifest came along. */
        struct mmgr_search_options odd = {.struct_size = sizeof odd, .name = "Odd one"};
        assert_ok(mmgr_store_get(store, found(store, &odd), &record));
        assert_int_equal(mmgr_record_file_count(record), 1);
        assert_int_equal(mmgr_record_file_size(record, 0), 430);
        assert_string_equal(mmgr_record_file_hash(record, 0, "sha256"),
                            "6ca983072453bc32efc5ef744a8ca6ec50be6a80c0180537b58c3a816e83d68c");
        assert_int_equal(mmgr_record_file_flags(record, 0), MMGR_FILE_OWNED);
        mmgr_record_unref(record);
        /* A row that was broken before is still there, and can be deleted. */
        assert_error(mmgr_store_get(store, "broken1", &record), MMGR_ERR_INVALID_CONFIG, NULL, NULL,
                     "broken1");
        assert_ok(mmgr_store_delete(store, "broken1"));
        assert_ok(mmgr_store_update(store, "main1", "{\"tags\":[\"new\"]}", NULL));
        assert_ok(mmgr_store_close(store));
        assert_int_equal(number(path, "PRAGMA user_version"), NEWEST);
        assert_int_equal(number(path, "SELECT count(*) FROM sqlite_schema WHERE name = 'models'"), 0);
        if (schema == NEWEST) { /* nothing to migrate */
            assert_null(find_file(".backup", &count));
            continue;
        }
        /* The backup is the old store: the old release could go on with it. */
        snprintf(old, sizeof old, ".schema%d-", schema);
        backup = find_file(old, &count);
        assert_int_equal(count, 1);
        assert_int_equal(number(backup, "PRAGMA user_version"), schema);
        assert_int_equal(number(backup, "SELECT count(*) FROM models"), 6);
        assert_int_equal(
            number(backup, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"),
            0);
        /* Opened again, nothing more happens. */
        assert_ok(mmgr_store_close(open_store(path)));
        find_file(".backup", &count);
        assert_int_equal(count, 1);
        assert_null(find_file(".part", &count));
        assert_int_equal(unlink(find_file(".backup", &count)), 0);
    }
}

static void read_only_says_what_is_needed(void **state)
{
    const char *path = in_folder("store.db");
    struct mmgr_store_options options = {
        .struct_size = sizeof options, .path = path, .flags = MMGR_STORE_READ_ONLY};
    mmgr_store *store = NULL;
    int count;

    copy_file(golden(1, "db"), path);
    assert_error(mmgr_store_open(&options, &store), MMGR_ERR_STORE_INCOMPATIBLE,
                 "schema version 1; it must be opened for writing once, to become 2", NULL, path);
    assert_true(same_file(golden(1, "db"), path));
    assert_null(find_file(".backup", &count));
}

/* ---- faults */

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

static enum mmgr_result open_and_close(const char *path)
{
    struct mmgr_store_options options = {.struct_size = sizeof options, .path = path};
    mmgr_store *store;
    enum mmgr_result result = mmgr_store_open(&options, &store);

    if (result == MMGR_OK)
        mmgr_store_close(store);
    return result;
}

/* Old: schema 1 with its six rows. New: schema 2 with them. Anything else is between. */
static int is_old(const char *path)
{
    return number(path, "PRAGMA user_version") == 1 &&
           number(path, "SELECT count(*) FROM models") == 6 &&
           number(path, "SELECT count(*) FROM sqlite_schema WHERE name GLOB 'mmgr_*'") == 0;
}

static int is_new(const char *path)
{
    return number(path, "PRAGMA user_version") == 2 &&
           number(path, "SELECT count(*) FROM mmgr_models") == 6 &&
           number(path, "SELECT count(*) FROM mmgr_text") == 6;
}

static void killed_on_the_way(void **state)
{
    const char *path = in_folder("store.db");
    int done = 0, points = 0, count;

    for (; !done; points++) {
        pid_t child;
        int status;

        copy_file(golden(1, "db"), path);
        child = fork();
        if (child == 0) {
            struct fault fault = {.at = points + 1};

            mmgr__io_set_hook(strike, &fault);
            _exit(open_and_close(path) != MMGR_OK);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        done = WIFEXITED(status);
        assert_int_equal(done ? WEXITSTATUS(status) : 0, 0);
        assert_true(done ? is_new(path) : is_old(path) || is_new(path));
        assert_int_equal(open_and_close(path), MMGR_OK);
        assert_true(is_new(path));
        assert_null(find_file(".part", &count)); /* what the killed one left is gone */
    }
    assert_true(points >= 4); /* backup, rename, sync of the folder, commit */
}

static void refused_on_the_way(void **state)
{
    const char *path = in_folder("store.db");
    struct fault fault = {.seen = 0};
    int count, refused = 0;

    for (int at = 1; at == 1 || fault.seen >= fault.at; at++) {
        enum mmgr_result result;

        fault = (struct fault){.at = at, .error = at % 2 ? EIO : ENOSPC};
        copy_file(golden(1, "db"), path);
        mmgr__io_set_hook(strike, &fault);
        result = open_and_close(path);
        mmgr__io_set_hook(NULL, NULL);
        assert_null(find_file(".part", &count));
        if (result == MMGR_OK) { /* nothing was there to be removed */
            assert_true(is_new(path));
            continue;
        }
        refused++;
        assert_int_equal(result, at % 2 ? MMGR_ERR_IO : MMGR_ERR_NO_SPACE);
        assert_true(is_old(path));
    }
    assert_true(is_new(path));
    assert_true(refused >= 4); /* backup, rename, sync of the folder, commit */
}

/* A migration in two transactions is what the sweep must see. */
static void planted_half_migration_is_seen(void **state)
{
    const char *path = in_folder("store.db");
    sqlite3 *db;

    copy_file(golden(1, "db"), path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "DELETE FROM models WHERE key = 'main1'", NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    assert_false(is_old(path) || is_new(path));
}

/* Members of a kind that no release wrote are those of a broken row, which must not keep the rest from coming. */
static void odd_members(void **state)
{
    static const char *const odd[] = {
        "UPDATE models SET record = json_set(record, '$.trigger_phrases', 'no list')",
        "UPDATE models SET record = json_set(record, '$.trigger_phrases', 5)",
        "UPDATE models SET record = json_set(record, '$.trigger_phrases', json('{\"a\":[1]}'))",
        "UPDATE models SET record = json_set(record, '$.description', json('[1]'))",
        "UPDATE models SET record = replace(record, '\"key\":', '\"file_size\":99999999999999999999,\"key\":')",
        "UPDATE models SET record = json_set(record, '$.file_size', 'large')",
        "UPDATE models SET record = '5'",
    };

    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        const char *path = in_folder("store.db");
        mmgr_record *record = NULL;
        mmgr_store *store;
        char change[512];
        sqlite3 *db;

        copy_file(golden(1, "db"), path);
        snprintf(change, sizeof change, "%s WHERE key = 'main1'", odd[i]);
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, change, NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
        store = open_store(path);
        assert_error(mmgr_store_get(store, "main1", &record), MMGR_ERR_INVALID_CONFIG, NULL, NULL,
                     "main1");
        assert_ok(mmgr_store_get(store, "ext1", &record));
        mmgr_record_unref(record);
        assert_ok(mmgr_store_close(store));
    }
}

/* Several processes open the old store at once: one migrates, with one backup, and all go on. */
static void many_first_openers(void **state)
{
    const char *path = in_folder("store.db");
    int status, count;

    copy_file(golden(1, "db"), path);
    for (int i = 0; i < 8; i++) {
        pid_t child = fork();

        if (child == 0)
            _exit(open_and_close(path) != MMGR_OK);
    }
    for (int i = 0; i < 8; i++) {
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    assert_true(is_new(path));
    find_file(".backup", &count);
    assert_int_equal(count, 1);
}

/* ---- a database of a host */

static void adopted(void **state)
{
    const char *path = in_folder("host.db");
    struct mmgr_store_options options = {.struct_size = sizeof options,
                                         .sqlite_source_id = sqlite3_sourceid()};
    mmgr_store *store = NULL;
    sqlite3 *db;
    int count;

    copy_file(golden(1, "db"), path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "PRAGMA application_id=7; PRAGMA user_version=99;"
                                  "CREATE TABLE host(x); INSERT INTO host VALUES(1); BEGIN IMMEDIATE",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    options.sqlite = db;
    /* A backup cannot be made of what is being written. */
    assert_error(mmgr_store_open(&options, &store), MMGR_ERR_STATE, "outside of a transaction", NULL,
                 NULL);
    assert_null(find_file(".part", &count));
    assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    assert_ok(mmgr_store_open(&options, &store));
    holds_all(store, 1);
    searches_work(store);
    assert_ok(mmgr_store_close(store));
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(number(path, "PRAGMA user_version"), 99);
    assert_int_equal(number(path, "PRAGMA application_id"), 7);
    assert_int_equal(number(path, "SELECT x FROM host"), 1);
    assert_int_equal(number(path, "SELECT count(*) FROM mmgr_models"), 6);
    find_file(".backup", &count);
    assert_int_equal(count, 1);
}

/* A host's own tables that bear the names which schema 1 had are not ours. */
static void hosts_own_names(void **state)
{
    struct mmgr_store_options options = {.struct_size = sizeof options,
                                         .sqlite_source_id = sqlite3_sourceid()};
    mmgr_store *store = NULL;
    sqlite3 *db;

    assert_int_equal(sqlite3_open(in_folder("host.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "CREATE TABLE models(id); CREATE TABLE tags(t);"
                                  "CREATE TABLE meta(name, value); INSERT INTO meta VALUES('schema', 1)",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    options.sqlite = db;
    assert_ok(mmgr_store_open(&options, &store));
    add_record(store, "k", "N", "sd-1", "p", "");
    assert_ok(mmgr_store_close(store));
    assert_int_equal(sqlite3_exec(db, "SELECT id FROM models; SELECT t FROM tags", NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_golden_store), TEST(read_only_says_what_is_needed),
        TEST(killed_on_the_way),  TEST(refused_on_the_way),
        TEST(planted_half_migration_is_seen), TEST(many_first_openers), TEST(odd_members),
        TEST(adopted),            TEST(hosts_own_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
