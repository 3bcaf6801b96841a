/* SPDX-License-Identifier: MIT */
/* Searches by name, base and type, and by tags, beside the same SQL without anything around it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "race.h"
#include "records.h"

struct search {
    struct bench *bench;
    struct mmgr_search_options options;
    struct bare_query query;
    uint32_t rows;
};

static int search_bare(void *user, uint32_t i)
{
    const struct search *search = user;

    return bare_run(&search->query) == search->rows;
}

static int search_ours(void *user, uint32_t i)
{
    const struct search *search = user;
    mmgr_record_list *list = NULL;
    int same;

    if (!ok(mmgr_store_search(search->bench->store, &search->options, &list)))
        return 0;
    same = mmgr_record_list_count(list) == search->rows;
    mmgr_record_list_free(list);
    return same;
}

/* What the rows of one kind of search showed: the worst of them, when bare SQLite only reads the records, and
 * when it parses them too. */
struct worst {
    struct score scores[2];
};

static int bench_search(struct search *search, const char *what, struct worst *worst)
{
    struct race race = {.bare = search_bare, .ours = search_ours, .user = search};
    mmgr_record_list *list = NULL;
    struct score score;
    char line[128];

    if (!ok(mmgr_store_search(search->bench->store, &search->options, &list)))
        return 0;
    search->rows = mmgr_record_list_count(list);
    if (!bare_same(&search->query, list)) {
        fprintf(stderr, "the sides differ: %s\n", what);
        mmgr_record_list_free(list);
        return 0;
    }
    mmgr_record_list_free(list);
    for (int parse = 0; parse < 2; parse++) {
        search->query.parse = parse;
        if (!race_run(&race, &score))
            return 0;
        snprintf(line, sizeof line, "  %s: %u rows%s", what, search->rows,
                 parse ? ", bare parses" : "");
        race_print(line, 0, &score);
        if (score.ratio > worst->scores[parse].ratio)
            worst->scores[parse] = score;
    }
    return 1;
}

static void print_worst(const char *what, const struct worst *worst)
{
    char line[128];

    snprintf(line, sizeof line, "%s, at worst", what);
    race_print(line, 1.3, &worst->scores[0]);
    snprintf(line, sizeof line, "%s, at worst, bare parses", what);
    race_print(line, 0, &worst->scores[1]);
}

/* Ways to write a search by three values; the fastest is the one that ours is measured against. */
struct forms {
    const char *sql[4];
    uint32_t count;
    uint32_t turns; /* the values may change places: in how many ways that is tried */
};

static const struct forms name_forms = {
    {"SELECT m.key, m.record FROM mmgr_models m WHERE m.name = ? AND m.type = ?"
     " AND EXISTS (SELECT 1 FROM mmgr_bases b WHERE b.base = ? AND b.id = m.id)",
     "SELECT m.key, m.record FROM mmgr_models m INDEXED BY mmgr_models_name WHERE m.name = ?"
     " AND m.type = ? AND EXISTS (SELECT 1 FROM mmgr_bases b WHERE b.base = ? AND b.id = m.id)"},
    2,
    1};

static const struct forms tag_forms = {
    {"SELECT m.key, m.record FROM mmgr_models m WHERE m.id IN (SELECT id FROM mmgr_tags"
     " WHERE tag = ? INTERSECT SELECT id FROM mmgr_tags WHERE tag = ?"
     " INTERSECT SELECT id FROM mmgr_tags WHERE tag = ?)",
     "SELECT m.key, m.record FROM mmgr_tags a CROSS JOIN mmgr_tags b ON b.tag = ?2 AND b.id = a.id"
     " CROSS JOIN mmgr_tags c ON c.tag = ?3 AND c.id = a.id"
     " CROSS JOIN mmgr_models m ON m.id = a.id WHERE a.tag = ?1",
     "SELECT m.key, m.record FROM mmgr_tags a CROSS JOIN mmgr_models m ON m.id = a.id"
     " WHERE a.tag = ?1 AND EXISTS (SELECT 1 FROM mmgr_tags t WHERE t.tag = ?2 AND t.id = a.id)"
     " AND EXISTS (SELECT 1 FROM mmgr_tags t WHERE t.tag = ?3 AND t.id = a.id)"},
    3,
    3};

/* Prepare one form; the best time of some tries, negative after a failure. */
static double try_form(struct search *search, const char *form, const char *const *values,
                       uint32_t turn)
{
    char sql[1024];
    double best = -1;

    search->query = (struct bare_query){.statement = NULL};
    for (uint32_t k = 0; k < 3; k++)
        search->query.values[k] = values[(k + turn) % 3];
    snprintf(sql, sizeof sql, "%s ORDER BY %s", form, DEFAULT_ORDER);
    if (!bare_prepare(search->bench->bare, sql, &search->query))
        return -1;
    search->rows = (uint32_t)bare_run(&search->query);
    for (int k = 0; k < 5; k++) {
        double time = race_time(search_bare, search, 0, 4);

        best = best < 0 || time < best ? time : best;
    }
    return best;
}

/* Leaves the fastest form as the query of the search. */
static int choose_form(struct search *search, const struct forms *forms, const char *const *values)
{
    struct bare_query chosen = {.statement = NULL};
    double fastest = 0;

    for (uint32_t i = 0; i < forms->count * forms->turns; i++) {
        double time = try_form(search, forms->sql[i / forms->turns], values, i % forms->turns);
        int better = time >= 0 && (chosen.statement == NULL || time < fastest);

        sqlite3_finalize(better ? chosen.statement : search->query.statement);
        if (better) {
            chosen = search->query;
            fastest = time;
        }
    }
    search->query = chosen;
    return chosen.statement != NULL;
}

static void drop_form(struct search *search)
{
    sqlite3_finalize(search->query.statement);
    search->query.statement = NULL;
}

int bench_names(struct bench *bench)
{
    static const char groups[] =
        "SELECT name || char(10) || type || char(10) || base FROM mmgr_models"
        " GROUP BY name, type, base";
    static const char *const cases[][2] = {
        {"in use once", "HAVING count(*) = 1 ORDER BY name LIMIT 1"},
        {"in use a few times",
         "HAVING count(*) BETWEEN 2 AND 9 ORDER BY count(*) DESC, name LIMIT 1"},
        {"in use most often", "ORDER BY count(*) DESC, name LIMIT 1"}};
    struct search search = {.bench = bench, .options = {.struct_size = sizeof search.options}};
    struct worst worst = {.scores = {{0}}};
    int result = 1;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0] && result; i++) {
        char line[512], *found, *rest;
        const char *values[3];

        snprintf(line, sizeof line, "%s %s", groups, cases[i][1]);
        found = rest = bare_text(bench->bare, line);
        if (found == NULL)
            return 0;
        for (int k = 0; k < 3; k++)
            values[k] = strsep(&rest, "\n");
        search.options.name = values[0];
        search.options.type = values[1];
        search.options.base = values[2];
        snprintf(line, sizeof line, "name %s", cases[i][0]);
        result = choose_form(&search, &name_forms, values) && bench_search(&search, line, &worst);
        drop_form(&search);
        free(found);
    }
    if (result)
        print_worst("search by name, base, type", &worst);
    return result;
}

/* Ranks of three tags of one record, each within its limits; 0: no record has such tags. */
static int find_tags(const struct bench *bench, const uint16_t (*limits)[2], const char **tags)
{
    for (uint32_t i = 0; i < bench->count; i++) {
        const struct made *made = &bench->made[i];
        uint32_t used = 0, found = 0;

        for (uint32_t k = 0; found < 3 && k < made->tag_count; k++) {
            if ((used >> k & 1) == 0 && made->ranks[k] >= limits[found][0] &&
                made->ranks[k] <= limits[found][1]) {
                tags[found++] = made_tag(made->ranks[k]);
                used |= UINT32_C(1) << k;
                k = UINT32_MAX; /* the next tag may stand before this one */
            }
        }
        if (found == 3)
            return 1;
    }
    fprintf(stderr, "no record has such tags\n");
    return 0;
}

int bench_tags(struct bench *bench)
{
    static const struct {
        const char *what;
        uint16_t limits[3][2];
    } cases[] = {
        {"three common tags", {{0, 0}, {1, 1}, {2, 2}}},
        {"common, common, rare", {{0, 0}, {1, 6}, {127, 510}}},
        {"rare, common, common", {{127, 510}, {1, 6}, {0, 0}}},
        {"three in between", {{7, 126}, {7, 126}, {7, 126}}},
        {"three rare tags", {{127, 510}, {127, 510}, {127, 510}}},
    };
    struct search search = {.bench = bench,
                            .options = {.struct_size = sizeof search.options, .tag_count = 3}};
    struct worst worst = {.scores = {{0}}};
    const char *tags[3];
    int result = 1;

    search.options.tags = tags;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0] && result; i++) {
        result = find_tags(bench, cases[i].limits, tags) &&
                 choose_form(&search, &tag_forms, tags) &&
                 bench_search(&search, cases[i].what, &worst);
        drop_form(&search);
    }
    if (result)
        print_worst("search by three tags", &worst);
    return result;
}
