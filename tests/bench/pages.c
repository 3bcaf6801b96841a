/* SPDX-License-Identifier: MIT */
/* Pages of a long list: what they cost near its end, and how much memory a walk takes. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "race.h"
#include "records.h"

#define PAGE 50

struct order {
    const char *sort, *what, *sql;
    /* No index gives the order: each page looks at all rows, and a walk over all pages would take minutes. */
    int slow;
};

static const struct order orders[] = {
    {NULL, "default order", DEFAULT_ORDER, 0},
    {"name", "by name", "m.label, m.name, m.key", 0},
    {"-created_at", "by -created_at", "m.created_at DESC, m.key DESC", 0},
    {"file_size", "by file_size (no index)", "m.file_size, m.key", 1},
};

/* Goes through pages [first, first + count), again and again. */
struct walk {
    struct bench *bench;
    const char *sort;
    char (*keys)[33]; /* of all records in this order, as bare SQLite gives them */
    uint32_t first, count;
    char *start, *cursor; /* of the first page and of the next; NULL: from the beginning */
    uint32_t at;          /* next record */
};

static void set_cursor(char **cursor, const char *text)
{
    char *copy = text != NULL ? strdup(text) : NULL;

    free(*cursor);
    *cursor = copy;
}

static int get_page(struct bench *bench, const char *sort, const char *cursor, uint64_t offset,
                    mmgr_record_list **list)
{
    struct mmgr_search_options options = {.struct_size = sizeof options,
                                          .sort = sort,
                                          .cursor = cursor,
                                          .offset = offset,
                                          .limit = PAGE,
                                          .flags = MMGR_SEARCH_NO_TOTAL};

    return ok(mmgr_store_search(bench->store, &options, list));
}

static int walk_init(struct walk *walk)
{
    mmgr_record_list *list = NULL;

    if (walk->first == 0)
        return 1;
    if (!get_page(walk->bench, walk->sort, NULL, (uint64_t)(walk->first - 1) * PAGE, &list))
        return 0;
    set_cursor(&walk->start, mmgr_record_list_cursor(list));
    mmgr_record_list_free(list);
    return walk->start != NULL;
}

static void walk_free(struct walk *walk)
{
    free(walk->start);
    free(walk->cursor);
}

static int walk_on(struct walk *walk, uint32_t i)
{
    mmgr_record_list *list = NULL;
    uint32_t count, left;
    int same;

    if (i % walk->count == 0) {
        set_cursor(&walk->cursor, walk->start);
        walk->at = walk->first * PAGE;
    }
    if (!get_page(walk->bench, walk->sort, walk->cursor, 0, &list))
        return 0;
    left = walk->bench->count - walk->at;
    count = mmgr_record_list_count(list);
    same = count == (left < PAGE ? left : PAGE);
    for (uint32_t k = 0; k < count && same; k++)
        same = strcmp(mmgr_record_text(mmgr_record_list_at(list, k), MMGR_FIELD_KEY),
                      walk->keys[walk->at + k]) == 0;
    if (!same)
        fprintf(stderr, "the page at %u differs from what bare SQLite has there\n", walk->at);
    walk->at += count;
    set_cursor(&walk->cursor, mmgr_record_list_cursor(list));
    mmgr_record_list_free(list);
    return same;
}

static int walk_first(void *user, uint32_t i)
{
    return walk_on(&((struct walk *)user)[0], i);
}

static int walk_second(void *user, uint32_t i)
{
    return walk_on(&((struct walk *)user)[1], i);
}

static int offset_page(void *user, uint32_t i)
{
    const struct walk *walk = user;
    mmgr_record_list *list = NULL;
    int result = get_page(walk->bench, walk->sort, NULL,
                          (uint64_t)(walk[1].first + i % walk[1].count) * PAGE, &list);

    mmgr_record_list_free(list);
    return result;
}

static int read_keys(struct bench *bench, const struct order *order, char (*keys)[33])
{
    char sql[256];
    sqlite3_stmt *statement = NULL;
    uint32_t count = 0;

    snprintf(sql, sizeof sql, "SELECT m.key FROM mmgr_models m ORDER BY %s", order->sql);
    if (sqlite3_prepare_v2(bench->bare, sql, -1, &statement, NULL) == SQLITE_OK) {
        while (count < bench->count && sqlite3_step(statement) == SQLITE_ROW)
            snprintf(keys[count++], sizeof keys[0], "%s",
                     (const char *)sqlite3_column_text(statement, 0));
    }
    sqlite3_finalize(statement);
    return count == bench->count;
}

static int whole_walk(struct bench *bench, const struct order *order, char (*keys)[33],
                      uint32_t pages)
{
    struct walk walk = {.bench = bench, .sort = order->sort, .keys = keys, .count = pages};
    int same = 1;

    for (uint32_t i = 0; i < pages && same; i++)
        same = walk_on(&walk, i);
    same = same && walk.cursor == NULL && walk.at == bench->count;
    walk_free(&walk);
    return same;
}

static int bench_order(struct bench *bench, const struct order *order, char (*keys)[33])
{
    uint32_t pages = (bench->count + PAGE - 1) / PAGE, tenth = pages / 10 > 0 ? pages / 10 : 1;
    uint32_t few = order->slow && tenth > 20 ? 20 : tenth;
    struct walk walks[2] = {
        {.bench = bench, .sort = order->sort, .keys = keys, .first = 0, .count = few},
        {.bench = bench, .sort = order->sort, .keys = keys, .first = pages - few, .count = few}};
    struct race race = {
        .target = 1.2, .bare = walk_first, .ours = walk_second, .user = walks, .calls = few};
    struct score score;
    char what[64];
    int result = read_keys(bench, order, keys) &&
                 (order->slow || whole_walk(bench, order, keys, pages)) && walk_init(&walks[1]);

    if (order->slow)
        race.rounds = 3;
    if (result && (result = race_run(&race, &score))) {
        snprintf(what, sizeof what, "last pages / first pages, %s", order->what);
        race_print(what, race.target, &score);
    }
    if (result && order->sort == NULL) {
        race = (struct race){
            .bare = walk_second, .ours = offset_page, .user = walks, .calls = few, .rounds = 3};
        if ((result = race_run(&race, &score)))
            race_print("  (last pages by OFFSET / by cursor)", 0, &score);
    }
    walk_free(&walks[0]);
    walk_free(&walks[1]);
    return result;
}

int bench_pages(struct bench *bench)
{
    char(*keys)[33] = malloc(bench->count * sizeof *keys);
    int result = keys != NULL;

    for (size_t i = 0; i < sizeof orders / sizeof orders[0] && result; i++)
        result = bench_order(bench, &orders[i], keys);
    free(keys);
    return result;
}

/* Of everything in this process: library, SQLite, jansson. 0 where the C library is not asked, as under a
 * sanitizer. */
static double heap(void)
{
    struct mallinfo2 info = mallinfo2();

    return (double)info.uordblks + (double)info.hblkhd;
}

/* Most bytes in use while a page is in hand, and most that SQLite ever had, in a walk of some pages. */
static int walk_for_memory(struct bench *bench, uint32_t pages, double *most, double *sqlite)
{
    double before = heap(), used;
    int64_t sqlite_before = sqlite3_memory_used();
    char *cursor = NULL;
    int result = 1;

    sqlite3_memory_highwater(1);
    *most = 0;
    for (uint32_t i = 0; i < pages && result; i++) {
        mmgr_record_list *list = NULL;

        result = get_page(bench, NULL, cursor, 0, &list);
        used = heap() - before;
        *most = used > *most ? used : *most;
        set_cursor(&cursor, result ? mmgr_record_list_cursor(list) : NULL);
        mmgr_record_list_free(list);
    }
    *sqlite = (double)(sqlite3_memory_highwater(0) - sqlite_before);
    free(cursor);
    return result;
}

static void print_memory(const char *what, double target, double one, double all)
{
    struct score score = {.ratio = all / one,
                          .low = all / one,
                          .high = all / one,
                          .bare_ns = one * 1000 / 1024,
                          .ours_ns = all * 1000 / 1024};

    if (one > 0)
        race_print(what, target, &score);
    else
        printf("%-52s cannot be measured here\n", what);
}

int bench_memory(struct bench *bench)
{
    uint32_t pages = (bench->count + PAGE - 1) / PAGE;
    double one[2], all[2];

    /* The first walk fills SQLite's page cache up to its bound, which is no part of a listing. */
    if (!walk_for_memory(bench, pages, &all[0], &all[1]) ||
        !walk_for_memory(bench, 1, &one[0], &one[1]) ||
        !walk_for_memory(bench, pages, &all[0], &all[1]))
        return 0;
    print_memory("memory of all pages / of one page (KiB)", 1.5, one[0], all[0]);
    print_memory("  (peak of SQLite alone, KiB)", 0, one[1], all[1]);
    return 1;
}
