/* SPDX-License-Identifier: MIT */
/* An import never writes to its source, whatever lies beside it, leaves nothing behind, and
 * survives a source that changes, a disk that refuses and a lack of memory. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "import_tools.h"

#define DATABASE "source/databases/invokeai.db"
#define AI       MMGR_IMPORT_INVOKEAI
#define ROW(key)                                                                                \
    "{\"key\":\"" key "\",\"name\":\"" key "\",\"path\":\"" key "\",\"hash\":\"x:0\",\"base\":" \
    "\"sd-1\",\"type\":\"lora\",\"format\":\"lycoris\",\"source\":\"s\",\"source_type\":\"path\"}"
#define NOW "2024-01-01 00:00:00.000"

/* What an earlier use of the database has left. */
enum left { CLEAN, CLEAN_WAL, OPEN_WAL, KILLED_WAL, KILLED_JOURNAL, LINKED_WAL, LEFT_COUNT };

static const char *database(void)
{
    write_file("source/databases/x", "");
    unlink(in_folder("source/databases/x"));
    return in_folder(DATABASE);
}

/* Rows a and b are committed, c is not. */
static void use_and_die(const char *path, int wal)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        sqlite3 *db = make_database(path, wal ? schema_614 : schema_429);

        run_sql(db, "PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=1");
        insert_row(db, "a", ROW("a"), NOW);
        insert_row(db, "b", ROW("b"), NOW);
        run_sql(db, "BEGIN");
        insert_row(db, "c", ROW("c"), NOW);
        /* More than the cache holds: what is not committed yet reaches the file. */
        run_sql(db, "CREATE TABLE filler(x); INSERT INTO filler WITH RECURSIVE n(i) AS (SELECT 1"
                    " UNION ALL SELECT i + 1 FROM n WHERE i < 500) SELECT zeroblob(1000) FROM n");
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* The source in one of those states; *db is a connection that is still open, or NULL. */
static void leave(enum left left, sqlite3 **db)
{
    const char *path = database();

    *db = NULL;
    switch (left) {
    case CLEAN:
    case CLEAN_WAL:
    case OPEN_WAL:
        *db = make_database(path, left == CLEAN ? schema_429 : schema_614);
        run_sql(*db, "PRAGMA wal_autocheckpoint=0");
        insert_row(*db, "a", ROW("a"), NOW);
        insert_row(*db, "b", ROW("b"), NOW);
        if (left != OPEN_WAL) {
            sqlite3_close(*db);
            *db = NULL;
        }
        break;
    case KILLED_WAL:
    case KILLED_JOURNAL:
        use_and_die(path, left == KILLED_WAL);
        break;
    default:
        use_and_die(in_folder("source/databases/real.db"), 1);
        assert_int_equal(symlink("real.db", path), 0);
    }
}

static int has(const char *name)
{
    struct stat st;

    return stat(in_folder(name), &st) == 0 && st.st_size > 0;
}

static void library_reads(enum left left)
{
    mmgr_store *store = open_store(in_folder("store.db"));

    json_decref(import(store, AI, in_folder(DATABASE), 0, NULL));
    assert_string_equal(found(store, NULL), "a b");
    assert_ok(mmgr_store_close(store));
    unlink(in_folder("store.db"));
}

/* Planted: what a reader does that opens the file as SQLite does by default. */
static void careless_reads(enum left left)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(in_folder(DATABASE), &db), SQLITE_OK);
    run_sql(db, left == CLEAN || left == CLEAN_WAL ? "UPDATE models SET id = 'z' WHERE id = 'a'"
                                                   : "SELECT * FROM models");
    sqlite3_close(db);
}

/* Number of states in which the source was not left as it was. */
static int written_to(void (*reads)(enum left left))
{
    int written = 0;

    for (enum left left = CLEAN; left < LEFT_COUNT; left++) {
        const char *before;
        sqlite3 *db;

        leave(left, &db);
        assert_int_equal(has("source/databases/invokeai.db-wal"),
                         left == OPEN_WAL || left == KILLED_WAL);
        assert_int_equal(has("source/databases/invokeai.db-journal"), left == KILLED_JOURNAL);
        before = look_below("source");
        reads(left);
        written += strcmp(look_below("source"), before) != 0;
        sqlite3_close(db);
        assert_int_equal(system("rm -rf \"$TMPDIR/../source/databases\""), 0);
    }
    return written;
}

static void source_is_never_written(void **state)
{
    assert_int_equal(written_to(library_reads), 0);
    /* Of an open log the careless reader may touch no more than the shared memory. */
    assert_in_range(written_to(careless_reads), LEFT_COUNT - 1, LEFT_COUNT);
}

/* The other connection goes on working as if nothing had been. */
static void a_live_database_stays_usable(void **state)
{
    mmgr_store *store = open_store(in_folder("store.db"));
    sqlite3 *db;

    leave(OPEN_WAL, &db);
    run_sql(db, "BEGIN IMMEDIATE");
    insert_row(db, "c", ROW("c"), NOW);
    json_decref(import(store, AI, in_folder(DATABASE), 0, NULL));
    assert_string_equal(found(store, NULL), "a b");
    run_sql(db, "COMMIT");
    json_decref(import(store, AI, in_folder(DATABASE), 0, NULL));
    assert_string_equal(found(store, NULL), "a b c");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_ok(mmgr_store_close(store));
}

/* Whether another process sees the lock of a writer (SQLite's RESERVED byte). */
static int others_see_a_writer(const char *path)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        struct flock lock = {
            .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0x40000001, .l_len = 1};
        int fd = open(path, O_RDWR);

        _exit(fd < 0 || fcntl(fd, F_GETLK, &lock) != 0 ? 2 : lock.l_type == F_WRLCK);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
    return WEXITSTATUS(status);
}

/* Closing any descriptor of a file drops all POSIX locks that the process holds on it; a host that
 * has the database open itself keeps its own. */
static void locks_of_this_process_survive(void **state)
{
    mmgr_store *store = open_store(in_folder("store.db"));
    sqlite3 *db = make_database(database(), schema_429);
    int fd;

    insert_row(db, "a", ROW("a"), NOW);
    run_sql(db, "BEGIN IMMEDIATE");
    /* A journal makes the import copy. */
    insert_row(db, "b", ROW("b"), NOW);
    assert_true(has(DATABASE "-journal"));
    json_decref(import(store, AI, in_folder(DATABASE), 0, NULL));
    assert_string_equal(found(store, NULL), "a");
    assert_true(others_see_a_writer(in_folder(DATABASE)));
    /* Control: this is how they would have been lost. */
    fd = open(in_folder(DATABASE), O_RDONLY);
    close(fd);
    assert_false(others_see_a_writer(in_folder(DATABASE)));
    sqlite3_close(db);
    assert_ok(mmgr_store_close(store));
}

/* ---- a journal that names a file elsewhere, which SQLite deletes after rolling back */

static void put_number(unsigned char *to, uint32_t number)
{
    for (int i = 0; i < 4; i++)
        to[i] = (unsigned char)(number >> (24 - 8 * i));
}

static void name_in_journal(const char *journal, const char *victim)
{
    static const unsigned char magic[] = {0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7};
    unsigned char head[4], tail[16];
    uint32_t length = (uint32_t)strlen(victim), sum = 0;
    FILE *file = fopen(journal, "ab");

    for (uint32_t i = 0; i < length; i++)
        sum += (uint32_t)(int32_t)victim[i];
    put_number(head, 0x40000000 / 4096 + 1); /* page of the lock bytes */
    put_number(tail, length);
    put_number(tail + 4, sum);
    memcpy(tail + 8, magic, sizeof magic);
    assert_non_null(file);
    fwrite(head, 1, sizeof head, file);
    fwrite(victim, 1, length, file);
    fwrite(tail, 1, sizeof tail, file);
    assert_int_equal(fclose(file), 0);
}

static void a_journal_deletes_no_files(void **state)
{
    mmgr_store *store = open_store(in_folder("store.db"));
    char victim[9000], *text = NULL;
    sqlite3 *db;

    snprintf(victim, sizeof victim, "%s", write_file("victim", "precious"));
    leave(KILLED_JOURNAL, &db);
    name_in_journal(in_folder(DATABASE "-journal"), victim);
    assert_error(run_import(store, AI, in_folder(DATABASE), 0, NULL, &text), MMGR_ERR_INVALID_FILE,
                 "several databases", NULL, in_folder(DATABASE));
    assert_true(has("victim"));
    assert_nothing_left();
    /* Control: the journal would have done it. */
    careless_reads(KILLED_JOURNAL);
    assert_false(has("victim"));
    assert_ok(mmgr_store_close(store));
}

/* ---- a source that changes, a disk that refuses */

struct writer {
    int times; /* how often the source is written to when the copy is */
    enum mmgr__io_op refuse;
    int error, calls;
};

static int meddle(enum mmgr__io_op op, const char *name, void *user)
{
    struct writer *writer = user;

    if (op == MMGR__IO_WRITE && writer->times > 0) {
        FILE *file = fopen(in_folder(DATABASE "-wal"), "ab");

        writer->times--;
        fputs("more", file);
        fclose(file);
    }
    writer->calls++;
    return writer->error != 0 && op == writer->refuse ? writer->error : 0;
}

static void a_source_that_changes_is_read_again(void **state)
{
    static const struct {
        int times;
        enum mmgr_result wanted;
    } cases[] = {{1, MMGR_OK}, {1000, MMGR_ERR_BUSY}};

    for (size_t i = 0; i < 2; i++) {
        mmgr_store *store = open_store(in_folder("store.db"));
        struct writer writer = {.times = cases[i].times};
        char *text = NULL;
        enum mmgr_result result;
        sqlite3 *db;

        leave(KILLED_WAL, &db);
        mmgr__io_set_hook(meddle, &writer);
        result = run_import(store, AI, in_folder(DATABASE), MMGR_IMPORT_DRY_RUN, NULL, &text);
        mmgr__io_set_hook(NULL, NULL);
        if (cases[i].wanted == MMGR_OK)
            assert_int_equal(result, MMGR_OK);
        else
            assert_error(result, MMGR_ERR_BUSY, "was written to", NULL, in_folder(DATABASE));
        assert_nothing_left();
        mmgr_string_free(text);
        assert_ok(mmgr_store_close(store));
        unlink(in_folder(DATABASE));
        unlink(in_folder(DATABASE "-wal"));
        unlink(in_folder(DATABASE "-shm"));
    }
}

static void a_disk_that_refuses(void **state)
{
    static const struct {
        enum mmgr__io_op op;
        int error;
        enum mmgr_result wanted;
    } cases[] = {
        {MMGR__IO_MKDIR, EACCES, MMGR_ERR_PERMISSION},
        {MMGR__IO_OPEN_WRITE, EIO, MMGR_ERR_IO},
        {MMGR__IO_WRITE, ENOSPC, MMGR_ERR_NO_SPACE},
    };
    mmgr_store *store = open_store(in_folder("store.db"));
    sqlite3 *db;

    leave(KILLED_WAL, &db);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct writer writer = {.refuse = cases[i].op, .error = cases[i].error};
        char *text = NULL;

        mmgr__io_set_hook(meddle, &writer);
        assert_int_equal(run_import(store, AI, in_folder(DATABASE), 0, NULL, &text),
                         cases[i].wanted);
        mmgr__io_set_hook(NULL, NULL);
        assert_true(writer.calls > 0);
        assert_null(text);
        assert_nothing_left();
    }
    assert_string_equal(found(store, NULL), "");
    assert_ok(mmgr_store_close(store));
}

/* ---- memory */

struct memory {
    mmgr_store *store;
    enum mmgr_import_kind kind;
    const char *path;
    uint32_t flags;
    int leak; /* planted bug: lose a block when something fails */
    void *lost;
};

static enum mmgr_result import_without_memory(struct memory *memory)
{
    char *text = NULL;
    enum mmgr_result result =
        run_import(memory->store, memory->kind, memory->path, memory->flags, NULL, &text);

    mmgr_string_free(text);
    if (result != MMGR_OK && memory->leak)
        memory->lost = mmgr__alloc(1);
    return result;
}

/* Fail each allocation in turn, singly and for good; the number of leaks, wrong codes and
 * remains. */
static int memory_sweep(struct memory *memory, uint64_t *count)
{
    int bad = 0;

    assert_int_equal(import_without_memory(memory), MMGR_OK);
    for (int forever = 0; forever < 2; forever++) {
        uint64_t before = mmgr__alloc_live();
        enum mmgr_result result = MMGR_ERR_NO_MEMORY;

        for (*count = 1; result != MMGR_OK; ++*count) {
            mmgr__alloc_fail_at(*count, forever);
            result = import_without_memory(memory);
            mmgr__alloc_fail_at(0, 0);
            bad += result != MMGR_OK && result != MMGR_ERR_NO_MEMORY;
            bad += mmgr__alloc_live() != before;
            mmgr__free(memory->lost);
            memory->lost = NULL;
            assert_nothing_left();
        }
    }
    return bad;
}

static void memory_runs_out(void **state)
{
    static const struct {
        enum left left;
        uint32_t flags;
    } cases[] = {{CLEAN, MMGR_IMPORT_DRY_RUN}, {OPEN_WAL, MMGR_IMPORT_DRY_RUN}, {CLEAN, 0}};
    struct memory memory = {.store = open_store(in_folder("store.db")), .kind = AI};
    char path[9000];
    uint64_t count;

    write_file("source/invokeai.yaml", "models_dir: models");
    snprintf(path, sizeof path, "%s", database());
    memory.path = path;
    for (size_t i = 0; i < 3; i++) {
        sqlite3 *db;

        leave(cases[i].left, &db);
        memory.flags = cases[i].flags;
        assert_int_equal(memory_sweep(&memory, &count), 0);
        assert_true(count > 100);
        sqlite3_close(db);
        unlink(path);
    }
    memory.kind = MMGR_IMPORT_MODELS_YAML;
    snprintf(path, sizeof path, "%s",
             write_file("source/configs/models.yaml",
                        "__metadata__: {version: 3.0.0}\nbad: {}\n"
                        "sd-1/main/a: {path: a, vae: v, config: c, other: 1}\n"
                        "sd-1/lora/b: {path: b.safetensors, description: d}\n"));
    assert_int_equal(memory_sweep(&memory, &count), 0);
    assert_true(count > 100);
    memory.leak = 1;
    assert_true(memory_sweep(&memory, &count) > 100);
    assert_ok(mmgr_store_close(memory.store));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, import_setup, import_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(source_is_never_written),
        TEST(a_live_database_stays_usable),
        TEST(locks_of_this_process_survive),
        TEST(a_journal_deletes_no_files),
        TEST(a_source_that_changes_is_read_again),
        TEST(a_disk_that_refuses),
        TEST(memory_runs_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
