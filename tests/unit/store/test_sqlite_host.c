/* SPDX-License-Identifier: MIT */
/* A store on the host's own sqlite3 handle: beside the host's tables, inside its transactions,
 * under its lock. */
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

struct host {
    sqlite3 *db;
    pthread_mutex_t mutex;
    int depth, taken;
};

static void host_lock(void *user)
{
    struct host *host = user;

    pthread_mutex_lock(&host->mutex);
    host->depth++;
    host->taken++;
}

static void host_unlock(void *user)
{
    struct host *host = user;

    host->depth--;
    pthread_mutex_unlock(&host->mutex);
}

static void host_open(struct host *host)
{
    pthread_mutexattr_t recursive;

    memset(host, 0, sizeof *host);
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&host->mutex, &recursive);
    assert_int_equal(sqlite3_open(in_folder("host.db"), &host->db), SQLITE_OK);
}

static void run(struct host *host, const char *sql)
{
    char *problem = NULL;

    if (sqlite3_exec(host->db, sql, NULL, NULL, &problem) != SQLITE_OK)
        fail_msg("%s: %s", sql, problem);
}

static int64_t number(struct host *host, const char *sql)
{
    sqlite3_stmt *statement;
    int64_t value;

    assert_int_equal(sqlite3_prepare_v2(host->db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return value;
}

static enum mmgr_result adopt(struct host *host, uint32_t flags, mmgr_store **store)
{
    struct mmgr_store_options options = {.struct_size = sizeof options,
                                         .flags = flags,
                                         .sqlite = host->db,
                                         .sqlite_source_id = sqlite3_sourceid(),
                                         .sqlite_lock = host_lock,
                                         .sqlite_unlock = host_unlock,
                                         .sqlite_lock_user = host};

    return mmgr_store_open(&options, store);
}

static void host_close(struct host *host)
{
    assert_int_equal(host->depth, 0);
    /* Every statement of ours is gone, else this were BUSY. */
    assert_int_equal(sqlite3_close(host->db), SQLITE_OK);
    pthread_mutex_destroy(&host->mutex);
}

static void beside_the_hosts_tables(void **state)
{
    struct host host;
    mmgr_store *store;

    host_open(&host);
    run(&host, "PRAGMA application_id=77; PRAGMA user_version=9; CREATE TABLE own(x);"
               "INSERT INTO own VALUES(1)");
    assert_ok(adopt(&host, 0, &store));
    add_record(store, "k", "N", "sd-1", "p", "\"tags\":[\"a\"]");
    assert_ok(mmgr_store_update(store, "k", "{\"name\":\"M\"}", NULL));
    assert_string_equal(found(store, NULL), "k");
    assert_true(host.taken > 3);
    assert_ok(mmgr_store_close(store));
    assert_int_equal(number(&host, "PRAGMA application_id"), 77);
    assert_int_equal(number(&host, "PRAGMA user_version"), 9);
    assert_int_equal(number(&host, "SELECT x FROM own"), 1);
    assert_ok(adopt(&host, 0, &store));
    assert_string_equal(found(store, NULL), "k");
    assert_ok(mmgr_store_delete(store, "k"));
    assert_ok(mmgr_store_close(store));
    host_close(&host);
}

/* What the host rolls back is gone, what it commits stays, and the store ends neither for it. */
static void inside_the_hosts_transaction(void **state)
{
    mmgr_record *record = simple_record("k", "N", "sd-1", "p", "");
    struct host host;
    mmgr_store *store;

    host_open(&host);
    assert_ok(adopt(&host, 0, &store));
    run(&host, "CREATE TABLE own(x); BEGIN; INSERT INTO own VALUES(1)");
    assert_ok(mmgr_store_add(store, record, NULL));
    /* A refused call undoes its own work only. */
    assert_error(mmgr_store_add(store, record, NULL), MMGR_ERR_DUPLICATE_MODEL, NULL, "key", "k");
    assert_error(mmgr_store_update(store, "k", "{\"tags\":1}", NULL), MMGR_ERR_INVALID_CONFIG, NULL,
                 "tags", NULL);
    assert_string_equal(found(store, NULL), "k");
    assert_int_equal(sqlite3_get_autocommit(host.db), 0);
    assert_int_equal(number(&host, "SELECT count(*) FROM own"), 1);
    run(&host, "ROLLBACK");
    assert_string_equal(found(store, NULL), "");
    run(&host, "BEGIN");
    assert_ok(mmgr_store_add(store, record, NULL));
    run(&host, "COMMIT");
    assert_string_equal(found(store, NULL), "k");
    mmgr_record_unref(record);
    assert_ok(mmgr_store_close(store));
    host_close(&host);
}

static void refused(void **state)
{
    struct mmgr_store_options options = {.struct_size = sizeof options};
    char id[128];
    struct host host;
    mmgr_store *store = NULL;

    host_open(&host);
    /* The same text at another address: another copy of the library. */
    snprintf(id, sizeof id, "%s", sqlite3_sourceid());
    options.sqlite = host.db;
    options.sqlite_source_id = id;
    assert_error(mmgr_store_open(&options, &store), MMGR_ERR_UNSUPPORTED, "another copy", NULL,
                 NULL);
    options.sqlite_source_id = NULL;
    assert_error(mmgr_store_open(&options, &store), MMGR_ERR_UNSUPPORTED, NULL, NULL, NULL);
    options.sqlite_source_id = sqlite3_sourceid();
    options.path = in_folder("store.db");
    assert_error(mmgr_store_open(&options, &store), MMGR_ERR_ARGUMENT, NULL, "path", NULL);
    options.path = NULL;
    options.sqlite_lock = host_lock;
    assert_error(mmgr_store_open(&options, &store), MMGR_ERR_ARGUMENT, NULL, "sqlite_unlock", NULL);
    options.sqlite_unlock = host_unlock;
    options.sqlite = NULL;
    options.path = in_folder("store.db");
    assert_error(mmgr_store_open(&options, &store), MMGR_ERR_ARGUMENT, NULL, "sqlite_lock", NULL);
    assert_error(adopt(&host, MMGR_STORE_READ_ONLY, &store), MMGR_ERR_STORE_INCOMPATIBLE,
                 "no records", NULL, NULL);
    run(&host, "CREATE TABLE mmgr_models(id TEXT)");
    assert_error(adopt(&host, 0, &store), MMGR_ERR_STORE_INCOMPATIBLE, "of its own", NULL, NULL);
    run(&host, "DROP TABLE mmgr_models; CREATE TABLE mmgr_meta(name TEXT, value TEXT);"
               "INSERT INTO mmgr_meta VALUES('schema', '3')");
    assert_error(adopt(&host, 0, &store), MMGR_ERR_STORE_INCOMPATIBLE, "newer release", NULL, NULL);
    assert_int_equal(number(&host, "SELECT count(*) FROM sqlite_schema"), 1);
    assert_null(store);
    host_close(&host);
}

/* What a store does on the handle, first words of each statement. */
static char statements[2048];

static int trace(unsigned kind, void *user, void *statement, void *text)
{
    size_t used = strlen(statements);

    snprintf(statements + used, sizeof statements - used, "%.20s;", (const char *)text);
    return 0;
}

/* A transaction that is going to write says so at its start: to find out later would mean to give up what was
 * read. In a transaction of the host it is the host that decided. */
static void no_late_upgrade(void **state)
{
    struct host host;
    mmgr_store *store = NULL;

    host_open(&host);
    assert_ok(adopt(&host, 0, &store));
    sqlite3_trace_v2(host.db, SQLITE_TRACE_STMT, trace, NULL);
    add_record(store, "k", "N", "sd-1", "p", "");
    assert_int_equal(strncmp(statements, "BEGIN IMMEDIATE;", 16), 0);
    statements[0] = '\0';
    assert_ok(mmgr_store_update(store, "k", "{\"name\":\"M\"}", NULL));
    assert_int_equal(strncmp(statements, "BEGIN IMMEDIATE;", 16), 0);
    statements[0] = '\0';
    assert_ok(mmgr_store_delete(store, "k"));
    assert_int_equal(strncmp(statements, "BEGIN IMMEDIATE;", 16), 0);
    run(&host, "BEGIN IMMEDIATE");
    statements[0] = '\0';
    add_record(store, "k", "N", "sd-1", "p", "");
    assert_int_equal(strncmp(statements, "SAVEPOINT", 9), 0);
    assert_null(strstr(statements, "COMMIT"));
    run(&host, "COMMIT");
    sqlite3_trace_v2(host.db, 0, NULL, NULL);
    assert_ok(mmgr_store_close(store));
    host_close(&host);
}

struct worker {
    pthread_t thread;
    mmgr_store *store;
    struct host *host;
    int number, failures;
};

/* One half of the threads hold the host's lock while they call. */
static void *work(void *argument)
{
    struct worker *worker = argument;

    for (int i = 0; i < 20; i++) {
        char key[32];
        mmgr_record *record;

        snprintf(key, sizeof key, "t%d-%d", worker->number, i);
        record = simple_record(key, "N", "sd-1", key, "");
        if (worker->number % 2 == 0)
            host_lock(worker->host);
        worker->failures += mmgr_store_add(worker->store, record, NULL) != MMGR_OK;
        mmgr_record_unref(record);
        worker->failures += mmgr_store_get(worker->store, key, &record) != MMGR_OK;
        mmgr_record_unref(record);
        if (worker->number % 2 == 0)
            host_unlock(worker->host);
    }
    return NULL;
}

static void threads_under_the_hosts_lock(void **state)
{
    struct worker workers[4];
    struct host host;
    mmgr_store *store;

    host_open(&host);
    assert_ok(adopt(&host, 0, &store));
    for (int i = 0; i < 4; i++) {
        workers[i] = (struct worker){.store = store, .host = &host, .number = i};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_int_equal(workers[i].failures, 0);
    }
    assert_int_equal(number(&host, "SELECT count(*) FROM mmgr_models"), 80);
    assert_ok(mmgr_store_close(store));
    host_close(&host);
}

/* Each change then gives a row, and a statement that stands on one would keep transactions from ending. */
static void host_counts_changes(void **state)
{
    struct host host;
    mmgr_store *store = NULL;

    host_open(&host);
    run(&host, "PRAGMA count_changes=ON");
    assert_ok(adopt(&host, 0, &store));
    add_record(store, "k", "N", "sd-1", "p", "\"tags\":[\"a\",\"b\"]");
    assert_ok(mmgr_store_update(store, "k", "{\"tags\":[\"c\"]}", NULL));
    assert_string_equal(found(store, NULL), "k");
    assert_ok(mmgr_store_delete(store, "k"));
    assert_ok(mmgr_store_close(store));
    host_close(&host);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(beside_the_hosts_tables),
        TEST(inside_the_hosts_transaction),
        TEST(refused), TEST(no_late_upgrade), TEST(host_counts_changes),
        TEST(threads_under_the_hosts_lock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
