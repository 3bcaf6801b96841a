/* SPDX-License-Identifier: MIT */
/* How fast the record store is beside bare SQLite: both sides in turns, in one run, on the same records. Prints
 * ratios and their targets and never fails for being slow; it fails when the sides do not return the same.
 *
 *   bench_records [NUMBER-OF-RECORDS] */
#include "records.h"

#include <ftw.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "race.h"

#define QUICK 10000 /* with fewer records nobody looks at the figures */

int ok_(enum mmgr_result result, const char *call)
{
    if (result == MMGR_OK)
        return 1;
    fprintf(stderr, "%s: %s\n", call, mmgr_error_message(mmgr_last_error()));
    return 0;
}

static mmgr_store *open_store(const char *path, uint32_t flags)
{
    struct mmgr_store_options options = {
        .struct_size = sizeof options, .path = path, .flags = flags};
    mmgr_store *store = NULL;

    return ok(mmgr_store_open(&options, &store)) ? store : NULL;
}

/* ---- bulk add */

static void remove_database(const char *path)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    char file[4300];

    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        snprintf(file, sizeof file, "%s%s", path, ends[i]);
        unlink(file);
    }
}

static int fill_bare(void *user, uint32_t i)
{
    struct bench *bench = user;

    remove_database(bench->other);
    return bare_fill(bench->other, bench->made, bench->count);
}

static int fill_ours(void *user, uint32_t i)
{
    struct bench *bench = user;
    const mmgr_record **records = malloc(bench->count * sizeof *records);
    mmgr_store *store;
    int result;

    remove_database(bench->path);
    store = open_store(bench->path, 0);
    for (uint32_t k = 0; records != NULL && k < bench->count; k++)
        records[k] = bench->made[k].record;
    result =
        store != NULL && records != NULL && ok(mmgr_store_add_many(store, records, bench->count));
    mmgr_store_close(store);
    free(records);
    return result;
}

static void print_head(const struct bench *bench)
{
    struct stat st = {0};
    size_t bytes = 0;

    stat(bench->path, &st);
    for (uint32_t i = 0; i < bench->count; i++)
        bytes += strlen(bench->made[i].json);
    printf("SQLite %s, %u records of %zu bytes of JSON on average, database of %lld bytes\n",
           sqlite3_libversion(), bench->count, bytes / bench->count, (long long)st.st_size);
    printf("%-52s %6s  %6s .. %-6s  %12s  %12s  %s\n", "ours / bare", "median", "min", "max",
           "bare us", "ours us", "target");
}

static int bench_bulk(struct bench *bench)
{
    struct race race = {
        .bare = fill_bare, .ours = fill_ours, .user = bench, .calls = 1, .rounds = 3};
    struct score score;

    if (!race_run(&race, &score) || !bare_same_files(bench->path, bench->other))
        return 0;
    print_head(bench);
    race_print("add all records in one go", 1.5, &score);
    return 1;
}

/* ---- get by key */

struct get {
    struct bench *bench;
    sqlite3_stmt *statement;
};

static const char *key_at(const struct bench *bench, uint32_t i)
{
    /* A walk with a large odd step looks random to the caches. */
    return bench->keys[(uint64_t)i * 48271 % bench->count];
}

static int get_bare(void *user, uint32_t i)
{
    const struct get *get = user;
    json_t *tree = NULL;

    sqlite3_bind_text(get->statement, 1, key_at(get->bench, i), -1, SQLITE_STATIC);
    if (sqlite3_step(get->statement) == SQLITE_ROW)
        tree = json_loadb((const char *)sqlite3_column_text(get->statement, 0),
                          (size_t)sqlite3_column_bytes(get->statement, 0), 0, NULL);
    sqlite3_reset(get->statement);
    json_decref(tree);
    return tree != NULL;
}

static int get_ours(void *user, uint32_t i)
{
    const struct get *get = user;
    mmgr_record *record = NULL;

    if (!ok(mmgr_store_get(get->bench->store, key_at(get->bench, i), &record)))
        return 0;
    mmgr_record_unref(record);
    return 1;
}

static int bench_get(struct bench *bench)
{
    struct get get = {.bench = bench};
    struct race race = {.bare = get_bare, .ours = get_ours, .user = &get};
    struct score score;
    int result = sqlite3_prepare_v3(bench->bare, "SELECT record FROM mmgr_models WHERE key = ?", -1,
                                    SQLITE_PREPARE_PERSISTENT, &get.statement, NULL) == SQLITE_OK &&
                 race_run(&race, &score);

    sqlite3_finalize(get.statement);
    if (result)
        race_print("get by key", 1.3, &score);
    return result;
}

/* ---- open */

static int open_bare(void *user, uint32_t i)
{
    const struct bench *bench = user;
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_open_v2(bench->path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                                 NULL) == SQLITE_OK &&
                 sqlite3_prepare_v2(db, "SELECT count(*) FROM sqlite_schema", -1, &statement,
                                    NULL) == SQLITE_OK &&
                 sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_int(statement, 0) > 0;

    sqlite3_finalize(statement);
    sqlite3_close(db);
    return result;
}

static int open_to_write(void *user, uint32_t i)
{
    return ok(mmgr_store_close(open_store(((struct bench *)user)->path, 0)));
}

static int open_to_read(void *user, uint32_t i)
{
    return ok(mmgr_store_close(open_store(((struct bench *)user)->path, MMGR_STORE_READ_ONLY)));
}

/* Both sides open for writing, because the last connection that closes removes the log: one that may only read
 * would leave it, and the next open would cost something else. */
static int bench_open(struct bench *bench)
{
    struct race race = {.bare = open_bare, .ours = open_to_write, .user = bench};
    struct score score;

    /* Nobody else may have the file open, or nothing would be removed. */
    mmgr_store_close(bench->store);
    bench->store = NULL;
    sqlite3_close(bench->bare);
    bench->bare = NULL;
    if (!race_run(&race, &score))
        return 0;
    race_print("open and close", 2, &score);
    race.ours = open_to_read;
    if (!race_run(&race, &score))
        return 0;
    race_print("open and close, read only", 2, &score);
    return 1;
}

/* ---- all of it */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static int prepare(struct bench *bench)
{
    const char *base = getenv("TMPDIR");

    snprintf(bench->folder, sizeof bench->folder, "%s/mmgr-bench-XXXXXX",
             base != NULL ? base : "/tmp");
    if (mkdtemp(bench->folder) == NULL) {
        perror(bench->folder);
        bench->folder[0] = '\0';
        return 0;
    }
    snprintf(bench->path, sizeof bench->path, "%s/ours.db", bench->folder);
    snprintf(bench->other, sizeof bench->other, "%s/bare.db", bench->folder);
    bench->made = made_new(bench->count);
    bench->keys = malloc(bench->count * sizeof *bench->keys);
    if (bench->made == NULL || bench->keys == NULL)
        return 0;
    for (uint32_t i = 0; i < bench->count; i++)
        snprintf(bench->keys[i], sizeof bench->keys[i], "%s",
                 mmgr_record_text(bench->made[i].record, MMGR_FIELD_KEY));
    return 1;
}

static int bench_all(struct bench *bench)
{
    int same = prepare(bench) && bench_bulk(bench);

    if (!same)
        return 0;
    bench->bare = bare_open(bench->path);
    bench->store = open_store(bench->path, 0);
    return bench->bare != NULL && bench->store != NULL && bench_get(bench) && bench_names(bench) &&
           bench_tags(bench) && bench_pages(bench) && bench_memory(bench) && bench_open(bench);
}

int main(int argc, char **argv)
{
    struct bench bench = {.count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 100000};
    int same;

    if (bench.count < 1000) {
        fprintf(stderr, "usage: bench_records [NUMBER-OF-RECORDS, at least 1000]\n");
        return 2;
    }
    if (bench.count < QUICK) {
        race_rounds = 2;
        race_round_ns = 1000000;
    }
    same = bench_all(&bench);
    mmgr_store_close(bench.store);
    sqlite3_close(bench.bare);
    made_free(bench.made, bench.count);
    free(bench.keys);
    if (bench.folder[0] != '\0')
        nftw(bench.folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (!same)
        fprintf(stderr, "the benchmark failed\n");
    return !same;
}
