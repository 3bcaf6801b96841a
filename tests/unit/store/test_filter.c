/* SPDX-License-Identifier: MIT */
/* Filters: what each op finds on each kind of field, limits, and memory that runs out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "filter_steps.h"

static const char *const records[] = {
    "{\"key\":\"a\",\"name\":\"Flux Dev\",\"type\":\"main\",\"format\":\"diffusers\",\"base\":\"flux\","
    "\"bases\":[\"flux\",\"sdxl\"],\"path\":\"flux/main/dev\",\"hash\":\"blake3:aa\","
    "\"description\":\"A \\\"good\\\"\\nmodel\",\"variant\":\"dev\",\"upcast_attention\":true,"
    "\"repo_variant\":\"fp16\",\"tags\":[\"photo\",\"New\"],\"trigger_phrases\":[\"a cat\",\"dog\"],"
    "\"default_settings\":{\"width\":1024,\"cfg\":3.5,\"vae\":\"v1\",\"on\":true,\"none\":null,"
    "\"deep\":{\"a-b\":{\"c d\":7}},\"list\":[1]},\"file_size\":2147483648,"
    "\"created_at\":\"2024-01-31T12:00:00.000Z\",\"updated_at\":\"2024-03-01T00:00:00Z\","
    "\"x_future\":3,\"x y\":{\"z\":{\"name\":\"t\"}}}",
    "{\"key\":\"b\",\"name\":\"flux dev lora\",\"type\":\"lora\",\"format\":\"lycoris\","
    "\"base\":\"sdxl\",\"path\":\"sdxl/lora/x\",\"created_at\":\"2024-02-01T00:00:00Z\","
    "\"updated_at\":\"2024-02-01T00:00:00Z\"}",
    "{\"key\":\"c\",\"name\":\"\u00dcber\",\"type\":\"main\",\"format\":\"checkpoint\",\"base\":\"sd-1\","
    "\"path\":\"/models/c.ckpt\",\"description\":\"100% a_b\",\"upcast_attention\":false,"
    "\"source\":\"hf:org/name\",\"tags\":[\"photo\"],\"trigger_phrases\":[\"Cat\"],"
    "\"default_settings\":{\"width\":512,\"cfg\":\"3.5\",\"on\":false},\"file_size\":5,"
    "\"created_at\":\"2024-02-01T00:00:00.000000001Z\",\"updated_at\":\"2024-02-02T00:00:00Z\","
    "\"x_future\":\"3\"}",
};

/* A row that no record of ours would be: values of other types. */
static const char odd_json[] = "{\"description\":5,\"trigger_phrases\":\"a cat\","
                               "\"default_settings\":[1],\"upcast_attention\":\"true\","
                               "\"x_future\":[3],\"x y\":{\"z\":[]}}";

static sqlite3 *open_rows(void)
{
    sqlite3 *db = filter_db_open();

    assert_non_null(db);
    for (size_t i = 0; i < COUNT(records); i++) {
        mmgr_record *record = record_of(records[i]);

        assert_true(filter_db_add(db, record));
        mmgr_record_unref(record);
    }
    assert_true(filter_db_add_raw(db, "x", "not JSON"));
    assert_true(filter_db_add_raw(db, "y", odd_json));
    return db;
}

static const struct {
    const char *text, *keys;
} finds[] = {
    /* text and terms, columns and members of the record */
    {"name = 'Flux Dev'", "a "},
    {"name = 'flux dev'", ""},
    {"name != \"Flux Dev\"", "b c x y "},
    {"name < 'a'", "a x y "},
    {"name <= 'Flux Dev'", "a x y "},
    {"name > 'Flux Dev'", "b c "},
    {"name >= 'Flux Dev'", "a b c "},
    {"name ~ FLUX", "a b "},
    {"name !~ FLUX", "c x y "},
    {"name ~ '\u00fcber'", ""},
    {"name ~ '\u00dcBER'", "c "},
    {"name ^= Flux", "a "},
    {"name ^= ''", "a b c x y "},
    {"name in ('Flux Dev', \"\\u00dcber\", none)", "a c "},
    {"name not in ('Flux Dev', \"\\u00dcber\")", "b x y "},
    {"name is null", ""},
    {"type = main", "a c "},
    {"type in (lora, vae)", "b "},
    {"format ^= dif or format ^= lyc", "a b "},
    {"path = /models/c.ckpt", "c "},
    {"hash = blake3:aa", "a "},
    {"hash != blake3:aa", "b c x y "},
    {"hash is null", "b c x y "},
    {"hash is not null", "a "},
    {"hash in (blake3:aa)", "a "},
    {"hash not in (blake3:aa)", "b c x y "},
    {"source ^= hf:", "c "},
    {"repo_variant = fp16", "a "},
    {"variant = dev", "a "},
    {"variant != dev", "b c x y "},
    {"variant < e", "a "},
    {"description ~ GOOD", "a "},
    {"description !~ good", "b c x y "},
    {"description = 'A \"good\"\\nmodel'", "a "},
    {"description ~ '%'", "c "},
    {"description ~ 'a_B'", "c "},
    {"description ^= 'A \"'", "a "},
    {"description ^= 'a'", ""},
    {"description is null", "b x "},
    {"description is not null", "a c y "},
    {"description in (5, '100% a_b')", "c "},
    /* numbers */
    {"file_size = 2GiB", "a "},
    {"file_size = '2 GiB'", "a "},
    {"file_size = 2147483648", "a "},
    {"file_size != 5", "a b x y "},
    {"file_size < 6", "c "},
    {"file_size <= 5", "c "},
    {"file_size > 5", "a "},
    {"file_size >= 5", "a c "},
    {"file_size in (5, 2GiB)", "a c "},
    {"file_size not in (5)", "a b x y "},
    {"file_size is null", "b x y "},
    {"file_size is not null", "a c "},
    {"file_size < 9223372036854775807", "a c "},
    /* booleans */
    {"upcast_attention = true", "a "},
    {"upcast_attention = FALSE", "c "},
    {"upcast_attention != true", "b c x y "},
    {"upcast_attention != false", "a b x y "},
    {"upcast_attention is null", "b x "},
    {"upcast_attention is not null", "a c y "},
    /* times */
    {"created_at = 2024-01-31T12:00:00Z", "a "},
    {"created_at = 2024-01-31", ""},
    {"created_at >= 2024-01-31 and created_at < 2024-02-01", "a "},
    {"created_at = 2024-02-01", "b "},
    {"created_at != 2024-02-01", "a c x y "},
    {"created_at <= 2024-02-01T00:00:00Z", "a b x y "},
    {"created_at > 2024-02-01", "c "},
    {"created_at in (2024-02-01, '2024-01-31T12:00:00.000Z')", "a b "},
    {"created_at not in (2024-02-01)", "a c x y "},
    {"updated_at < 2024-03-01", "b c x y "},
    {"updated_at is null", ""},
    /* lists: tables of their own, and in the record */
    {"tags = photo", "a c "},
    {"tags = Photo", ""},
    {"tags != photo", "b x y "},
    {"tags ~ NE", "a "},
    {"tags !~ ne", "b c x y "},
    {"tags ^= ph", "a c "},
    {"tags in (New, none)", "a "},
    {"tags not in (New, none)", "b c x y "},
    {"tags is null", "b x y "},
    {"tags is not null", "a c "},
    {"tags = photo and not tags = New", "c "},
    {"bases = sdxl", "a b "},
    {"bases != sdxl", "c x y "},
    {"bases ^= sd", "a b c "},
    {"bases in (flux, sd-1)", "a c "},
    {"bases is null", "x y "},
    {"trigger_phrases = 'a cat'", "a y "},
    {"trigger_phrases ~ cat", "a c y "},
    {"trigger_phrases !~ cat", "b x "},
    {"trigger_phrases ^= Ca", "c "},
    {"trigger_phrases in (dog, Cat)", "a c "},
    {"trigger_phrases not in (dog, Cat)", "b x y "},
    {"trigger_phrases != dog", "b c x y "},
    {"trigger_phrases is null", "b x "},
    {"trigger_phrases is not null", "a c y "},
    /* objects and members */
    {"default_settings is null", "b x "},
    {"default_settings is not null", "a c y "},
    {"default_settings.width = 1024", "a "},
    {"default_settings.width >= 512", "a c "},
    {"default_settings.width != 1024", "b c x y "},
    {"default_settings.width = '1024'", ""},
    {"default_settings.width ~ 10", ""},
    {"default_settings.width in (512, '1024')", "c "},
    {"default_settings.cfg = 3.5", "a "},
    {"default_settings.cfg = 35e-1", "a "},
    {"default_settings.cfg = '3.5'", "c "},
    {"default_settings.cfg in (3.5, '3.5')", "a c "},
    {"default_settings.cfg not in (3.5, '3.5')", "b x y "},
    {"default_settings.cfg < 4", "a "},
    {"default_settings.cfg < 1e999", "a "},
    {"default_settings.cfg > -1e999", "a "},
    {"default_settings.cfg ~ 5", "c "},
    {"default_settings.cfg ^= 3", "c "},
    {"default_settings.on = true", "a "},
    {"default_settings.on = 1", ""},
    {"default_settings.on = 'true'", ""},
    {"default_settings.on != true", "b c x y "},
    {"default_settings.on in (true, false)", "a c "},
    {"default_settings.none is null", "a b c x y "},
    {"default_settings.none = null or default_settings.vae = v1", NULL},
    {"default_settings.vae = v1", "a "},
    {"default_settings.deep is not null", "a "},
    {"default_settings.deep ~ a", ""},
    {"default_settings.deep.a-b.\"c d\" = 7", "a "},
    {"default_settings.list is not null", "a "},
    {"default_settings.list = 1", ""},
    {"\"default_settings\".width = 512", "c "},
    {"\"x_future\" = 3", "a "},
    {"\"x_future\" = '3'", "c "},
    {"\"x_future\" in (3, '3')", "a c "},
    {"\"x_future\" is not null", "a c y "},
    {"\"x y\".z.name = t", "a "},
    {"\"x y\".z is not null", "a y "},
    {"\"x y\".\"z\".\"name\" ^= t", "a "},
    {"\"name\" ~ flux", "a b "},
    {"\"absent\" != 1", "a b c x y "},
    {"\"a.b[0]$\" is null", "a b c x y "},
    /* expressions */
    {"type = main and base = flux or type = lora", "a b "},
    {"type = main and (base = flux or type = lora)", "a "},
    {"not type = main", "b x y "},
    {"not not type = main", "a c "},
    {"not (type = main or type = lora)", "x y "},
    {"not (type = main and base = flux)", "b c x y "},
    {"NOT hash IS NULL AND Type = main", NULL},
    {"NOT hash IS NULL AND type = main", "a "},
    {"not hash = blake3:aa", "b c x y "},
    {"type=main and(base=flux)or\t(type='lora')\n", "a b "},
};

static void finds_what_it_says(void **state)
{
    sqlite3 *db = open_rows();
    char keys[256];

    for (size_t i = 0; i < COUNT(finds); i++) {
        mmgr_filter *filter = NULL;

        if (finds[i].keys == NULL) {
            assert_int_equal(mmgr_filter_parse(finds[i].text, &filter), MMGR_ERR_ARGUMENT);
            continue;
        }
        filter = parsed(finds[i].text);
        if (filter_db_find(db, filter, keys, sizeof keys) != SQLITE_DONE)
            fail_msg("%s: %s", finds[i].text, sqlite3_errmsg(db));
        if (strcmp(keys, finds[i].keys) != 0)
            fail_msg("%s: found \"%s\" instead of \"%s\"", finds[i].text, keys, finds[i].keys);
        mmgr_filter_unref(filter);
    }
    sqlite3_close(db);
}

/* Whatever is in the rows, the statement runs to its end. */
static void no_row_does_harm(void **state)
{
    static const char *const odd[] = {"5",        "1e400", "\"a cat\"", "\"\"", "[1]",
                                      "[[1],{}]", "true",  "null",      "{}",   "{\"k\":\"a\"}"};
    sqlite3 *db = filter_db_open();
    char keys[256];

    for (size_t i = 0; i < COUNT(odd); i++) {
        char json[1024], key[8];

        snprintf(key, sizeof key, "k%zu", i);
        snprintf(json, sizeof json,
                 "{\"name\":%s,\"description\":%s,\"trigger_phrases\":%s,\"upcast_attention\":%s,"
                 "\"variant\":%s,\"x_future\":%s,\"x y\":{\"z\":%s},"
                 "\"default_settings\":{\"width\":%s,\"cfg\":%s,\"deep\":%s}}",
                 odd[i], odd[i], odd[i], odd[i], odd[i], odd[i], odd[i], odd[i], odd[i], odd[i]);
        assert_true(filter_db_add_raw(db, key, json));
        assert_true(filter_db_add_raw(db, key + 1, odd[i]));
    }
    for (size_t i = 0; i < COUNT(finds); i++) {
        mmgr_filter *filter;

        if (finds[i].keys == NULL)
            continue;
        filter = parsed(finds[i].text);
        if (filter_db_find(db, filter, keys, sizeof keys) != SQLITE_DONE)
            fail_msg("%s: %s", finds[i].text, sqlite3_errmsg(db));
        mmgr_filter_unref(filter);
    }
    sqlite3_close(db);
}

/* "not" is the complement, whatever the test. */
static void not_is_the_complement(void **state)
{
    sqlite3 *db = open_rows();
    char keys[256], others[256];

    for (size_t i = 0; i < COUNT(finds); i++) {
        mmgr_filter *filter, *negated = NULL;

        if (finds[i].keys == NULL)
            continue;
        filter = parsed(finds[i].text);
        assert_ok(mmgr_filter_not(filter, &negated));
        assert_int_equal(filter_db_find(db, filter, keys, sizeof keys), SQLITE_DONE);
        assert_int_equal(filter_db_find(db, negated, others, sizeof others), SQLITE_DONE);
        assert_int_equal(strlen(keys) + strlen(others), strlen("a b c x y "));
        for (const char *key = "abcxy"; *key != '\0'; key++)
            assert_int_equal((strchr(keys, *key) != NULL) + (strchr(others, *key) != NULL), 1);
        mmgr_filter_unref(filter);
        mmgr_filter_unref(negated);
    }
    sqlite3_close(db);
}

/* The outermost level is left to SQLite, which then uses an index: that of the rarer value. */
static void an_index_is_used(void **state)
{
    static const struct {
        const char *filter, *plan;
    } cases[] = {
        {"type = main and (tags = photo or name ~ x)", "INDEX mmgr_models_order (type=?)"},
        {"type = main and name = x", "INDEX mmgr_models_name (name=?)"},
        {"type = main and path = x", "INDEX sqlite_autoindex_mmgr_models_2 (path=?)"},
    };
    sqlite3 *db = open_rows();

    for (size_t i = 0; i < COUNT(cases); i++) {
        mmgr_filter *filter = parsed(cases[i].filter);
        struct mmgr__clause clause = {.failed = 0};
        sqlite3_stmt *statement;
        const char *plan;

        mmgr__clause_put(&clause, "EXPLAIN QUERY PLAN SELECT m.key FROM mmgr_models m WHERE ");
        mmgr__filter_sql(filter, &clause);
        mmgr__clause_put(&clause, " ORDER BY m.type, m.base, m.label, m.name, m.format, m.key");
        assert_false(clause.failed);
        assert_int_equal(sqlite3_prepare_v2(db, clause.sql.data, -1, &statement, NULL), SQLITE_OK);
        assert_int_equal(mmgr__clause_bind(&clause, statement), SQLITE_OK);
        assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
        plan = (const char *)sqlite3_column_text(statement, 3);
        if (strstr(plan, cases[i].plan) == NULL)
            fail_msg("%s: %s", cases[i].filter, plan);
        sqlite3_finalize(statement);
        mmgr__clause_free(&clause);
        mmgr_filter_unref(filter);
    }
    sqlite3_close(db);
}

static void text_leads_back(void **state)
{
    for (size_t i = 0; i < COUNT(finds); i++) {
        mmgr_filter *filter, *again;

        if (finds[i].keys == NULL)
            continue;
        filter = parsed(finds[i].text);
        again = parsed(text_of(filter));
        assert_string_equal(text_of(again), text_of(filter));
        mmgr_filter_unref(filter);
        mmgr_filter_unref(again);
    }
}

/* ---- limits */

/* `before` this many times, a middle, and `after` as many times. */
static char *repeated(const char *before, const char *middle, const char *after, size_t times)
{
    size_t size = (strlen(before) + strlen(after)) * times + strlen(middle) + 1, used = 0;
    char *text = malloc(size);

    text[0] = '\0';
    for (size_t i = 0; i < times; i++)
        used += (size_t)snprintf(text + used, size - used, "%s", before);
    used += (size_t)snprintf(text + used, size - used, "%s", middle);
    for (size_t i = 0; i < times; i++)
        used += (size_t)snprintf(text + used, size - used, "%s", after);
    return text;
}

/* At a limit all of it works, one more is refused at its place. */
static void has_limits(void **state)
{
    static const struct {
        const char *before, *middle, *after;
        size_t times;
        uint64_t at;
        const char *message;
    } cases[] = {
        {"(", "type = main", ")", MMGR__FILTER_NESTING_MAX, 64, "nests deeper than 64 levels"},
        {"not ", "type = main", "", MMGR__FILTER_NESTING_MAX, 256, "nests deeper than 64 levels"},
        {"not(", "type = main", ")", MMGR__FILTER_NESTING_MAX / 2, 128, "nests deeper"},
        {"type = main or ", "type = lora", "", MMGR__FILTER_TESTS_MAX - 1, 3840,
         "more than 256 tests"},
    };
    sqlite3 *db = open_rows();
    char keys[64];

    for (size_t i = 0; i < COUNT(cases); i++) {
        char *fits = repeated(cases[i].before, cases[i].middle, cases[i].after, cases[i].times);
        char *over = repeated(cases[i].before, cases[i].middle, cases[i].after, cases[i].times + 1);
        mmgr_filter *filter = parsed(fits), *none = NULL;

        assert_int_equal(filter_db_find(db, filter, keys, sizeof keys), SQLITE_DONE);
        assert_true(keys[0] == 'a');
        assert_error(mmgr_filter_parse(over, &none), MMGR_ERR_ARGUMENT, cases[i].message, "filter",
                     NULL);
        assert_int_equal(mmgr_error_offset(mmgr_last_error()), cases[i].at);
        mmgr_filter_unref(filter);
        free(fits);
        free(over);
    }
    sqlite3_close(db);
}

/* Only what is inside counts as nesting. */
static void many_side_by_side(void **state)
{
    char *text = repeated("(not name = a) and ", "name = a", "", MMGR__FILTER_TESTS_MAX - 1);

    mmgr_filter_unref(parsed(text));
    free(text);
}

static void limits_length(void **state)
{
    static const char head[] = "name = ";
    char *text = malloc(MMGR__FILTER_TEXT_MAX + 2);
    mmgr_filter *filter = NULL, *none = NULL;

    memset(text, 'a', MMGR__FILTER_TEXT_MAX + 1);
    memcpy(text, head, strlen(head));
    text[MMGR__FILTER_TEXT_MAX] = '\0';
    filter = parsed(text);
    assert_error(mmgr_filter_not(filter, &none), MMGR_ERR_ARGUMENT, "longer than 65536", "filter",
                 NULL);
    mmgr_filter_unref(filter);
    text[MMGR__FILTER_TEXT_MAX] = 'a';
    text[MMGR__FILTER_TEXT_MAX + 1] = '\0';
    assert_error(mmgr_filter_parse(text, &none), MMGR_ERR_ARGUMENT, "longer than 65536", "filter",
                 NULL);
    assert_int_equal(mmgr_error_offset(mmgr_last_error()), MMGR__FILTER_TEXT_MAX);
    /* A text that only its canonical form makes too long. */
    text[MMGR__FILTER_TEXT_MAX] = '\0';
    memset(text + strlen(head), '\1', MMGR__FILTER_TEXT_MAX - strlen(head));
    text[strlen(head)] = text[MMGR__FILTER_TEXT_MAX - 1] = '"';
    assert_error(mmgr_filter_parse(text, &none), MMGR_ERR_ARGUMENT, "longer than 65536", "filter",
                 NULL);
    free(text);
}

static void limits_paths(void **state)
{
    char *fits = repeated(".b", " is null", "", MMGR__FILTER_NESTING_MAX - 1);
    char *over = repeated(".b", " is null", "", MMGR__FILTER_NESTING_MAX);
    char text[512];
    mmgr_filter *filter = NULL;

    snprintf(text, sizeof text, "\"a\"%s", fits);
    mmgr_filter_unref(parsed(text));
    snprintf(text, sizeof text, "\"a\"%s", over);
    assert_error(mmgr_filter_parse(text, &filter), MMGR_ERR_ARGUMENT, "a path has at most 64 names",
                 "filter", NULL);
    free(fits);
    free(over);
}

/* Grow a filter around one, alternating, until a limit says no: a tree of two sides of the same
 * height, or a chain. Whatever comes about, SQLite must take it. */
static void deep_filters_compile(void **state)
{
    sqlite3 *db = open_rows();
    char keys[64];

    for (int shape = 0; shape < 4; shape++) {
        mmgr_filter *filter = parsed("default_settings.width in (1, a, true)"), *next = NULL;
        mmgr_filter *leaf = parsed("default_settings.width not in (1, a, true)");
        int levels = 0;

        for (;; levels++) {
            const mmgr_filter *pair[2] = {shape & 1 ? filter : leaf, filter};
            enum mmgr_result result =
                levels % 2 ? mmgr_filter_all(pair, 2, &next) : mmgr_filter_any(pair, 2, &next);

            if (result != MMGR_OK)
                break;
            mmgr_filter_unref(filter);
            filter = next;
            if (shape & 2) {
                if (mmgr_filter_not(filter, &next) != MMGR_OK)
                    break;
                mmgr_filter_unref(filter);
                filter = next;
            }
        }
        assert_int_equal(filter_db_find(db, filter, keys, sizeof keys), SQLITE_DONE);
        assert_in_range(levels, 8, 200);
        mmgr_filter_unref(filter);
        mmgr_filter_unref(leaf);
    }
    sqlite3_close(db);
}

/* ---- memory */

/* A planted bug: lose a block when something fails. */
static int leak;
static void *lost;

static enum mmgr_result work(void)
{
    static const char *const values[] = {"1", "x"};
    struct mmgr__clause clause = {.failed = 0};
    mmgr_filter *parts[2] = {NULL, NULL}, *all = NULL, *negated = NULL;
    char *text = NULL;
    enum mmgr_result result;

    result = mmgr_filter_parse("not (name = \"a\\n\" or tags in (a, b)) and \"x\".y > 5 and"
                               " created_at > 2024-01-31 and file_size < 5k and"
                               " upcast_attention = true and trigger_phrases ~ a",
                               &parts[0]);
    if (result == MMGR_OK)
        result = mmgr_filter_test("\"x\".\"y z\"", MMGR_FILTER_IN, values, 2, &parts[1]);
    if (result == MMGR_OK)
        result = mmgr_filter_all((const mmgr_filter *const *)parts, 2, &all);
    if (result == MMGR_OK)
        result = mmgr_filter_not(all, &negated);
    if (result == MMGR_OK)
        result = mmgr_filter_text(negated, &text);
    if (result == MMGR_OK) {
        mmgr__filter_sql(negated, &clause);
        if (clause.failed)
            result = MMGR_ERR_NO_MEMORY;
    }
    mmgr__clause_free(&clause);
    mmgr_string_free(text);
    mmgr_filter_unref(parts[0]);
    mmgr_filter_unref(parts[1]);
    mmgr_filter_unref(all);
    mmgr_filter_unref(negated);
    if (result != MMGR_OK && leak)
        lost = mmgr__alloc(1);
    return result;
}

/* Fail each allocation in turn, singly and for good; the number of leaks and wrong codes. */
static int memory_sweep(uint64_t *count)
{
    int bad = 0;

    for (int forever = 0; forever < 2; forever++) {
        uint64_t before = mmgr__alloc_live();
        enum mmgr_result result = MMGR_ERR_NO_MEMORY;

        for (*count = 1; result != MMGR_OK; ++*count) {
            mmgr__alloc_fail_at(*count, forever);
            result = work();
            mmgr__alloc_fail_at(0, 0);
            bad += result != MMGR_OK && result != MMGR_ERR_NO_MEMORY;
            bad += mmgr__alloc_live() != before;
            mmgr__free(lost);
            lost = NULL;
        }
    }
    return bad;
}

static void memory_runs_out(void **state)
{
    uint64_t count;

    assert_int_equal(memory_sweep(&count), 0);
    assert_true(count > 100);
    leak = 1;
    assert_true(memory_sweep(&count) > 50);
    leak = 0;
}

/* The last: what the others have made is gone. */
static void all_memory_is_free(void **state)
{
    assert_int_equal(mmgr__alloc_live(), 0);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(finds_what_it_says),   TEST(no_row_does_harm), TEST(not_is_the_complement),
        TEST(an_index_is_used),     TEST(text_leads_back),  TEST(has_limits),
        TEST(many_side_by_side),    TEST(limits_length),    TEST(limits_paths),
        TEST(deep_filters_compile), TEST(memory_runs_out),  TEST(all_memory_is_free),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
