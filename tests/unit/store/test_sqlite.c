/* SPDX-License-Identifier: MIT */
/* What only the SQLite back end has: foreign files untouched, broken rows, settings, the
 * manifest, and the calls for other services. */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "fixture.h"
#include "store/store.h"

static void sql(const char *path, const char *text)
{
    sqlite3 *db;
    char *problem = NULL;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, &problem) != SQLITE_OK)
        fail_msg("%s: %s", text, problem);
    sqlite3_close(db);
}

static int64_t sql_number(const char *path, const char *text)
{
    sqlite3_stmt *statement;
    sqlite3 *db;
    int64_t value;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, text, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return value;
}

static void write_file(const char *path, const void *data, size_t length)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, length, file), length);
    fclose(file);
}

/* Names, sizes, times and a sum of all bytes of everything in the folder. */
static void snapshot(char text[4096])
{
    char command[8192];
    FILE *pipe;
    size_t got;

    snprintf(command, sizeof command,
             "cd '%s' && find . -type f | sort | while read f; do stat -c '%%n %%s %%y' \"$f\"; "
             "md5sum < \"$f\"; "
             "done",
             folder);
    pipe = popen(command, "r");
    got = fread(text, 1, 4095, pipe);
    text[got] = '\0';
    pclose(pipe);
    assert_true(got > 0);
}

static void refused_untouched(const char *path, const char *message)
{
    struct mmgr_store_options options = {.struct_size = sizeof options, .path = path};
    char before[4096], after[4096];
    mmgr_store *store = NULL;

    snapshot(before);
    assert_error(mmgr_store_open(&options, &store), MMGR_ERR_STORE_INCOMPATIBLE, message, NULL,
                 path);
    assert_null(store);
    snapshot(after);
    assert_string_equal(before, after);
}

static void foreign_files(void **state)
{
    char bytes[5000];

    memset(bytes, 'x', sizeof bytes);
    write_file(in_folder("one.db"), "x", 1);
    refused_untouched(in_folder("one.db"), "not a SQLite database");
    write_file(in_folder("text.db"), bytes, sizeof bytes);
    refused_untouched(in_folder("text.db"), "not a SQLite database");
    write_file(in_folder("magic.db"), "SQLite format 3", 16);
    refused_untouched(in_folder("magic.db"), "another application");
    sql(in_folder("other.db"), "CREATE TABLE models(id TEXT); INSERT INTO models VALUES('x')");
    refused_untouched(in_folder("other.db"), "another application");
    sql(in_folder("app.db"), "PRAGMA application_id=7; CREATE TABLE t(x)");
    refused_untouched(in_folder("app.db"), "application id 7");
}

/* A database in use by its own application: its WAL is neither replayed nor folded in. */
static void foreign_database_with_wal(void **state)
{
    const char *path = in_folder("wal.db");
    sqlite3 *db;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES(1)",
                     NULL, NULL, NULL),
        SQLITE_OK);
    assert_int_equal(access(in_folder("wal.db-wal"), F_OK), 0);
    refused_untouched(path, "another application");
    sqlite3_close(db);
}

static void other_versions(void **state)
{
    const char *path = in_folder("store.db");

    mmgr_store_close(open_store(path));
    sql(path, "PRAGMA journal_mode=DELETE; PRAGMA user_version=3");
    refused_untouched(path, "a release that knows version 3 is needed");
    sql(path, "PRAGMA user_version=0");
    refused_untouched(path, "no schema version");
    sql(path, "PRAGMA user_version=2; PRAGMA application_id=0");
    refused_untouched(path, "another application");
}

static void damaged_store(void **state)
{
    const char *path = in_folder("store.db");
    struct mmgr_store_options options = {.struct_size = sizeof options, .path = path};
    mmgr_store *store = NULL;
    char header[100];
    FILE *file;

    mmgr_store_close(open_store(path));
    sql(path, "DROP TABLE mmgr_files");
    assert_error(mmgr_store_open(&options, &store), MMGR_ERR_STORE_INCOMPATIBLE, "files", NULL,
                 path);
    file = fopen(path, "rb");
    assert_int_equal(fread(header, 1, 100, file), 100);
    fclose(file);
    write_file(path, header, 100);
    assert_error(mmgr_store_open(&options, &store), MMGR_ERR_STORE_INCOMPATIBLE, NULL, NULL, path);
}

static void settings(void **state)
{
    const char *path = in_folder("store.db");
    mmgr_store *store = open_store(path);
    struct stat st;

    add_record(store, "k", "N", "sd-1", "p", "");
    assert_int_equal(stat(in_folder("store.db-wal"), &st), 0);
    assert_true(st.st_size > 0);
    assert_ok(mmgr_store_close(store));
    /* Folded back into one file by the last to close. */
    assert_int_equal(stat(in_folder("store.db-wal"), &st), -1);
    assert_int_equal(sql_number(path, "PRAGMA application_id"), 0x4d4d6772);
    assert_int_equal(sql_number(path, "PRAGMA user_version"), 2);
    assert_int_equal(sql_number(path, "SELECT value FROM mmgr_meta WHERE name = 'schema'"), 2);
}

/* A trigger that somebody planted in the file does not run. */
static void planted_trigger(void **state)
{
    const char *path = in_folder("store.db");
    mmgr_store *store;

    mmgr_store_close(open_store(path));
    sql(path, "CREATE TRIGGER t AFTER INSERT ON mmgr_models BEGIN DELETE FROM mmgr_models; END");
    store = open_store(path);
    add_record(store, "k", "N", "sd-1", "p", "");
    assert_string_equal(found(store, NULL), "k");
    assert_ok(mmgr_store_close(store));
}

static int warnings;

static void count_warning(enum mmgr_log_level level, const char *component, const char *message,
                          void *user)
{
    warnings += level == MMGR_LOG_WARNING && strstr(message, "bad") != NULL;
}

static void broken_rows_hide_nothing(void **state)
{
    static const char *const damage[] = {
        "UPDATE mmgr_models SET record = '{not json' WHERE key = 'bad'",
        "UPDATE mmgr_models SET record = '[]' WHERE key = 'bad'",
        "UPDATE mmgr_models SET record = json_set(record, '$.type', 5) WHERE key = 'bad'",
        "UPDATE mmgr_models SET record = json_remove(record, '$.name') WHERE key = 'bad'",
        "UPDATE mmgr_models SET record = json_set(record, '$.key', 'another') WHERE key = 'bad'",
        "UPDATE mmgr_models SET record = json_set(record, '$.key', NULL) WHERE key = 'bad'",
        "UPDATE mmgr_models SET record = json_set(record, '$.key', '') WHERE key = 'bad'",
        "UPDATE mmgr_models SET record = json_set(record, '$.path', '../../etc') WHERE key = 'bad'",
        ("UPDATE mmgr_models SET record = json_set(record, '$.bases', json('[\"flux\"]')) WHERE key "
         "= 'bad'"),
    };
    static const char *const names[] = {
        "UPDATE mmgr_models SET name = CAST(x'41ff42' AS TEXT) WHERE key = 'bad'",
        "UPDATE mmgr_models SET name = CAST(x'410042' AS TEXT) WHERE key = 'bad'",
    };
    const char *path = in_folder("store.db");
    struct mmgr_search_options options = {.struct_size = sizeof options, .sort = "description"};
    mmgr_store *store = open_store(path);
    mmgr_record_list *list = NULL;
    mmgr_record *record = NULL;
    int exists = 0;

    add_record(store, "bad", "N", "sd-1", "p1", "\"tags\":[\"a\"]");
    add_record(store, "good", "N", "sd-1", "p2", "");
    sql(path, "CREATE TABLE saved AS SELECT record FROM mmgr_models WHERE key = 'bad'");
    mmgr_set_log(MMGR_LOG_WARNING, count_warning, NULL);
    for (size_t i = 0; i < sizeof damage / sizeof damage[0]; i++) {
        sql(path, "UPDATE mmgr_models SET record = (SELECT record FROM saved) WHERE key = 'bad'");
        assert_string_equal(found(store, NULL), "bad good");
        sql(path, damage[i]);
        warnings = 0;
        assert_string_equal(found(store, NULL), "good");
        assert_string_equal(found(store, &options), "good");
        if (warnings != 2)
            fail_msg("%s: %d warnings", damage[i], warnings);
        assert_error(mmgr_store_get(store, "bad", &record), MMGR_ERR_INVALID_CONFIG, "bad", NULL,
                     "bad");
        assert_error(mmgr_store_update(store, "bad", "{}", NULL), MMGR_ERR_INVALID_CONFIG, NULL,
                     NULL, "bad");
    }
    mmgr_set_log(MMGR_LOG_OFF, NULL, NULL);
    assert_ok(mmgr_store_search(store, NULL, &list));
    assert_int_equal(mmgr_record_list_total(list), 1);
    mmgr_record_list_free(list);
    /* A page that ends at a text which is none. */
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        sql(path, names[i]);
        options = (struct mmgr_search_options){.struct_size = sizeof options, .limit = 1};
        assert_ok(mmgr_store_search(store, &options, &list));
        assert_int_equal(mmgr_record_list_count(list), 0);
        assert_non_null(mmgr_record_list_cursor(list));
        options.cursor = mmgr_record_list_cursor(list);
        assert_string_equal(found(store, &options), "good");
        mmgr_record_list_free(list);
    }
    assert_ok(mmgr_store_exists(store, "bad", &exists));
    assert_int_equal(exists, 1);
    assert_ok(mmgr_store_delete(store, "bad"));
    assert_ok(mmgr_store_close(store));
}

static mmgr_record *with_files(const char *key, const char *path, int count)
{
    mmgr_record *base = simple_record(
        key, "N", "sd-1", path, "\"tags\":[\"a\",\"b\"],\"source\":\"o/n\",\"revision\":\"r1\"");
    mmgr_record_builder *builder;
    mmgr_record *record;
    char name[32], sha256[65];

    assert_ok(mmgr_record_builder_new(base, &builder));
    for (int i = 0; i < count; i++) {
        struct mmgr__file file = {.path = name,
                                  .size = UINT64_C(1) << 40,
                                  .sha256 = sha256,
                                  .mtime_ns = -5,
                                  .device = UINT64_MAX,
                                  .inode = 7,
                                  .flags = MMGR_FILE_OWNED};

        snprintf(name, sizeof name, "dir/f%d", i);
        memset(sha256, 'a' + i % 6, 64);
        sha256[64] = '\0';
        assert_ok(mmgr__record_builder_add_file(builder, &file));
    }
    assert_ok(mmgr_record_builder_build(builder, &record));
    mmgr_record_builder_free(builder);
    mmgr_record_unref(base);
    return record;
}

static void manifest(void **state)
{
    const char *path = in_folder("store.db");
    mmgr_store *store = open_store(path);
    mmgr_record *record = with_files("k", "p", 3), *got = NULL;
    mmgr_record_list *list = NULL;

    assert_ok(mmgr_store_add(store, record, NULL));
    mmgr_record_unref(record);
    /* Edits of fields leave it alone. */
    assert_ok(mmgr_store_update(store, "k", "{\"name\":\"M\"}", &got));
    assert_int_equal(mmgr_record_file_count(got), 3);
    mmgr_record_unref(got);
    assert_ok(mmgr_store_get(store, "k", &got));
    assert_int_equal(mmgr_record_file_count(got), 3);
    assert_string_equal(mmgr_record_file_path(got, 2), "dir/f2");
    assert_true(mmgr_record_file_size(got, 2) == UINT64_C(1) << 40);
    assert_int_equal(mmgr_record_file_hash(got, 2, "sha256")[0], 'c');
    assert_null(mmgr_record_file_hash(got, 2, "xxh3"));
    assert_int_equal(mmgr_record_file_flags(got, 2), MMGR_FILE_OWNED);
    assert_true(got->files[2].device == UINT64_MAX && got->files[2].inode == 7 &&
                got->files[2].mtime_ns == -5);
    mmgr_record_unref(got);
    assert_ok(mmgr_store_search(store, NULL, &list));
    assert_int_equal(mmgr_record_file_count(mmgr_record_list_at(list, 0)), 0);
    mmgr_record_list_free(list);
    assert_ok(mmgr_store_delete(store, "k"));
    assert_ok(mmgr_store_close(store));
    assert_int_equal(sql_number(path,
                                "SELECT (SELECT count(*) FROM mmgr_files) + (SELECT count(*) FROM mmgr_tags)"
                                " + (SELECT count(*) FROM mmgr_bases)"),
                     0);
}

static void manifest_with_doubles(void **state)
{
    mmgr_store *store = open_store(in_folder("store.db"));
    mmgr_record *record = with_files("k", "p", 1), *twice = NULL;
    char name[] = "dir/f0";
    struct mmgr__file file = {.path = name};
    mmgr_record_builder *builder;

    assert_ok(mmgr_record_builder_new(record, &builder));
    assert_ok(mmgr__record_builder_add_file(builder, &file));
    assert_ok(mmgr_record_builder_build(builder, &twice));
    assert_error(mmgr_store_add(store, twice, NULL), MMGR_ERR_INVALID_CONFIG, "\"dir/f0\" twice", "_files", "k");
    assert_string_equal(found(store, NULL), "");
    mmgr_record_builder_free(builder);
    mmgr_record_unref(record);
    mmgr_record_unref(twice);
    assert_ok(mmgr_store_close(store));
}

static void adding_again(void **state)
{
    mmgr_store *store = open_store(in_folder("store.db"));
    mmgr_record *record = with_files("k", "p", 2), *added = NULL, *other = with_files("k", "q", 2);

    assert_ok(mmgr__store_add_full(store, record, MMGR__STORE_AGAIN, NULL));
    assert_ok(mmgr_store_update(store, "k", "{\"description\":\"edited\"}", NULL));
    assert_ok(mmgr__store_add_full(store, record, MMGR__STORE_AGAIN, &added));
    assert_string_equal(mmgr_record_text(added, MMGR_FIELD_DESCRIPTION), "edited");
    assert_int_equal(mmgr_record_file_count(added), 2);
    mmgr_record_unref(added);
    assert_error(mmgr__store_add_full(store, other, MMGR__STORE_AGAIN, NULL),
                 MMGR_ERR_DUPLICATE_MODEL, NULL, "key", "k");
    mmgr_record_unref(record);
    mmgr_record_unref(other);
    assert_ok(mmgr_store_close(store));
}

static void same_source_twice(void **state)
{
    mmgr_store *store = open_store(in_folder("store.db"));
    mmgr_record *one = with_files("k1", "p1", 1), *two = with_files("k2", "p2", 1);

    assert_ok(mmgr__store_add_full(store, one, MMGR__STORE_UNIQUE_SOURCE, NULL));
    assert_error(mmgr__store_add_full(store, two, MMGR__STORE_UNIQUE_SOURCE, NULL),
                 MMGR_ERR_DUPLICATE_MODEL, "o/n", "source", "k1");
    assert_ok(mmgr_store_update(store, "k1", "{\"repo_variant\":\"fp16\"}", NULL));
    assert_ok(mmgr__store_add_full(store, two, MMGR__STORE_UNIQUE_SOURCE, NULL));
    mmgr_record_unref(one);
    mmgr_record_unref(two);
    assert_ok(mmgr_store_close(store));
}

struct walk {
    mmgr_store *store;
    char keys[64];
    int stop_after;
};

static enum mmgr_result visit(const mmgr_record *record, void *user)
{
    struct walk *walk = user;

    assert_int_equal(mmgr_record_file_count(record), 1);
    strcat(walk->keys, mmgr_record_text(record, MMGR_FIELD_KEY));
    /* The store may be called from here. */
    if (strcmp(walk->keys, "a") == 0)
        assert_ok(mmgr_store_delete(walk->store, "b"));
    return --walk->stop_after == 0 ? MMGR_ERR_CANCELLED : MMGR_OK;
}

static void each(void **state)
{
    mmgr_store *store = open_store(in_folder("store.db"));
    struct walk walk = {.store = store};
    const char *const keys[] = {"a", "b", "c", "d"};

    for (size_t i = 0; i < 4; i++) {
        mmgr_record *record = with_files(keys[i], keys[i], 1);

        assert_ok(mmgr_store_add(store, record, NULL));
        mmgr_record_unref(record);
    }
    assert_ok(mmgr__store_each(store, visit, &walk));
    assert_string_equal(walk.keys, "acd");
    walk = (struct walk){.store = store, .keys = "x", .stop_after = 2};
    assert_int_equal(mmgr__store_each(store, visit, &walk), MMGR_ERR_CANCELLED);
    assert_string_equal(walk.keys, "xac");
    assert_ok(mmgr_store_close(store));
}

static void close_waits_for_users(void **state)
{
    mmgr_store *store = open_store(in_folder("store.db"));

    mmgr__store_use(store);
    assert_error(mmgr_store_close(store), MMGR_ERR_BUSY, NULL, NULL, NULL);
    mmgr__store_unuse(store);
    assert_ok(mmgr_store_close(store));
}

static void forked_child_is_refused(void **state)
{
    mmgr_store *store = open_store(in_folder("store.db"));
    int status;
    pid_t child;

    add_record(store, "k", "N", "sd-1", "p", "");
    child = fork();
    if (child == 0) {
        mmgr_record *record = NULL;
        int exists;

        _exit(mmgr_store_get(store, "k", &record) != MMGR_ERR_STATE ||
              mmgr_store_exists(store, "k", &exists) != MMGR_ERR_STATE ||
              mmgr_store_update(store, "k", "{}", NULL) != MMGR_ERR_STATE ||
              mmgr_store_delete(store, "k") != MMGR_ERR_STATE ||
              mmgr_store_close(store) != MMGR_OK);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_string_equal(found(store, NULL), "k");
    assert_ok(mmgr_store_close(store));
}

/* Somebody else writes and does not finish: BUSY, and later it works. */
static void locked_by_another(void **state)
{
    const char *path = in_folder("store.db");
    mmgr_store *store = open_store(path);
    mmgr_record *record = simple_record("k", "N", "sd-1", "p", "");
    sqlite3 *db;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_string_equal(found(store, NULL), ""); /* readers go on */
    assert_error(mmgr_store_add(store, record, NULL), MMGR_ERR_BUSY, path, NULL, path);
    sqlite3_close(db);
    assert_ok(mmgr_store_add(store, record, NULL));
    mmgr_record_unref(record);
    assert_ok(mmgr_store_close(store));
}

/* A host may share the caches of its connections; those of a store are its own, and readers do not wait. */
static void shared_cache(void **state)
{
    const char *path = in_folder("store.db");
    mmgr_record *record = NULL;
    mmgr_store *store;
    sqlite3 *db;

    assert_int_equal(sqlite3_enable_shared_cache(1), SQLITE_OK);
    store = open_store(path);
    add_record(store, "k", "N", "sd-1", "p", "");
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE; UPDATE mmgr_models SET hash = 'x:y'", NULL,
                                  NULL, NULL),
                     SQLITE_OK);
    assert_ok(mmgr_store_get(store, "k", &record));
    sqlite3_enable_shared_cache(0);
    mmgr_record_unref(record);
    sqlite3_close(db);
    assert_ok(mmgr_store_close(store));
}

static void unreadable(void **state)
{
    const char *path = in_folder("store.db");
    struct mmgr_store_options options = {.struct_size = sizeof options, .path = path};
    int status;
    pid_t child;

    mmgr_store_close(open_store(path));
    assert_int_equal(chmod(path, 0), 0);
    child = fork();
    if (child == 0) {
        mmgr_store *store = NULL;

        /* root may read everything: be nobody */
        if (geteuid() == 0 &&
            (chmod(folder, 0777) != 0 || setegid(65534) != 0 || seteuid(65534) != 0))
            _exit(2);
        _exit(mmgr_store_open(&options, &store) != MMGR_ERR_PERMISSION);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* A folder and a file that this user cannot write to: read without a trace. */
static void read_only_folder(void **state)
{
    const char *path = in_folder("sub/a?b%#.db");
    struct mmgr_store_options options = {
        .struct_size = sizeof options, .path = path, .flags = MMGR_STORE_READ_ONLY};
    mmgr_store *store = open_store(path);
    int status;
    pid_t child;

    add_record(store, "k", "N", "sd-1", "p", "");
    assert_ok(mmgr_store_close(store));
    assert_int_equal(chmod(path, 0444), 0);
    assert_int_equal(chmod(in_folder("sub"), 0555), 0);
    child = fork();
    if (child == 0) {
        mmgr_record *record = NULL;

        if (geteuid() == 0 &&
            (chmod(folder, 0755) != 0 || setegid(65534) != 0 || seteuid(65534) != 0))
            _exit(2);
        if (mmgr_store_open(&options, &store) != MMGR_OK ||
            mmgr_store_get(store, "k", &record) != MMGR_OK) {
            print_error("%s\n", mmgr_error_message(mmgr_last_error()));
            _exit(3);
        }
        options.flags = 0;
        _exit(mmgr_store_open(&options, &store) != MMGR_ERR_PERMISSION);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(access(in_folder("sub/a?b%#.db-wal"), F_OK), -1);
    assert_int_equal(chmod(in_folder("sub"), 0755), 0);
}

/* Be a user who may only read the store in the folder "sub", or its owner again. */
static void be_guest(int guest)
{
    static int root = -1;

    if (root < 0)
        root = geteuid() == 0;
    if (root && !guest)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(chmod(in_folder("sub/store.db"), guest ? 0444 : 0644), 0);
    assert_int_equal(chmod(in_folder("sub"), guest ? 0555 : 0755), 0);
    if (root && guest)
        assert_int_equal(seteuid(65534), 0);
}

/* Also after a test that failed as a guest. */
static int owner_remove(void **state)
{
    be_guest(0);
    return folder_remove(state);
}

/* A user who cannot write sees what the owner does, also after the owner has left no log behind. */
static void guests_see_changes(void **state)
{
    char path[4096 + 16];
    struct mmgr_store_options options = {
        .struct_size = sizeof options, .path = path, .flags = MMGR_STORE_READ_ONLY};
    mmgr_store *store, *guest = NULL;
    uint64_t before = 0, after = 0;
    char key[16];

    snprintf(path, sizeof path, "%s/sub/store.db", folder);
    store = open_store(path);
    assert_int_equal(chmod(folder, 0755), 0);
    add_record(store, "k", "N", "sd-1", "p", "");
    assert_ok(mmgr_store_close(store));
    be_guest(1);
    assert_ok(mmgr_store_open(&options, &guest));
    assert_string_equal(found(guest, NULL), "k");
    assert_ok(mmgr_store_changes(guest, &before));
    be_guest(0);
    store = open_store(path);
    assert_ok(mmgr_store_delete(store, "k"));
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "k%d", i);
        add_record(store, key, "N", "sd-1", key, "");
    }
    assert_ok(mmgr_store_close(store));
    be_guest(1);
    struct mmgr_search_options last = {.struct_size = sizeof last, .path = "k199"};
    mmgr_record *record = NULL;
    assert_error(mmgr_store_get(guest, "k", &record), MMGR_ERR_UNKNOWN_MODEL, NULL, NULL, "k");
    assert_string_equal(found(guest, &last), "k199");
    assert_ok(mmgr_store_changes(guest, &after));
    assert_int_equal(after, before + 1);
    assert_ok(mmgr_store_changes(guest, &after));
    assert_int_equal(after, before + 1);
    assert_ok(mmgr_store_close(guest));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(foreign_files),
        TEST(foreign_database_with_wal),
        TEST(other_versions),
        TEST(damaged_store),
        TEST(settings),
        TEST(planted_trigger),
        TEST(broken_rows_hide_nothing),
        TEST(shared_cache),
        cmocka_unit_test_setup_teardown(guests_see_changes, folder_make, owner_remove),
        TEST(manifest),
        TEST(manifest_with_doubles),
        TEST(adding_again),
        TEST(same_source_twice),
        TEST(each),
        TEST(close_waits_for_users),
        TEST(forked_child_is_refused),
        TEST(locked_by_another),
        TEST(unreadable),
        TEST(read_only_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
