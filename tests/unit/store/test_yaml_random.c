/* SPDX-License-Identifier: MIT */
/* Random records of awkward texts through a YAML store and a SQLite store: each must come back from both byte for
 * byte, also after the file was written anew by the order of the one before. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/path.h"
#include "same_record.h"
#include "store/store.h"
#include "yaml_files.h"

#define ROUNDS  8
#define RECORDS 400 /* a round */

static uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);

static uint32_t random_below(uint32_t bound)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 33) % bound;
}

#define PICK(table) table[random_below(sizeof table / sizeof table[0])]

static const char *const pieces[] = {
    " ", "  ", "\t", "\n", "\n\n", "\r\n", "\r", "'", "\"", "\\", "\\n", ":", ": ", " #", "#",
    "- ", "-", "? ", "%", "@", "`", "&a", "*a", "!t", "!!int ", "|", ">", "{", "}", "[", "]", ",",
    "a", "a", "b c", "word", "null", "~", "Null", "true", "FALSE", "yes", "No", "on", "off", "y",
    "=", "<<", "---", "...", "%YAML 1.1", "1", "-1", "+1", "017", "0x1F", "0o17", "0b11", "1_000",
    "1e5", "1.5", ".5", "5.", ".inf", "-.INF", ".NaN", "12:30:45", "190:20:30.15", "2024-01-31",
    "2024-01-31T12:00:00Z", "2001-12-14 21:59:43.10 -5", "\xc2\x85", "\xe2\x80\xa8",
    "\xe2\x80\xa9", "\xef\xbb\xbf", "\xef\xbf\xbe", "\xc2\xa0", "\xc2\x9f", "\x7f", "\x01",
    "\x1b", "\xe2\x80\x8b", "\xc3\xa4", "\xe6\xbc\xa2\xe5\xad\x97", "\xf0\x9f\x98\x80",
    "\xf4\x8f\xbf\xbf", "\xee\x80\x80", "_json", "_files", "key: value", "- item",
    "modelmgr_store: 1",
};

/* A text of a few pieces; without control characters where none may be. */
static void put_text(struct mmgr__buf *text, int free_text)
{
    uint32_t count = random_below(6);

    for (uint32_t i = 0; i < count; i++) {
        const char *piece = PICK(pieces);

        if (free_text || ((unsigned char)piece[0] >= 0x20 && piece[0] != 0x7f))
            mmgr__buf_puts(text, piece);
    }
    for (uint32_t i = random_below(60) == 0 ? (free_text ? 3000 : 900) : 0; i > 0; i--)
        mmgr__buf_puts(text, i % 100 == 0 && free_text ? " " : "w");
}

static char *random_text(int free_text)
{
    struct mmgr__buf text = {0};
    char *taken;

    put_text(&text, free_text);
    taken = mmgr__buf_take(&text);
    assert_non_null(taken);
    return taken;
}

/* ---- JSON as another release might have written it */

static void put_space(struct mmgr__buf *json)
{
    static const char *const spaces[] = {"", "", "", "", "", "", " ", "  ", "\n", "\t", "\r\n "};

    mmgr__buf_puts(json, PICK(spaces));
}

/* A string with escapes where none are needed; `sound`: of characters. */
static void put_string(struct mmgr__buf *json, int sound)
{
    static const char *const escapes[] = {"\\u0041", "\\/",      "\\ud83d\\ude00",
                                          "\\u00e4", "\\u001B", "\\u2028",
                                          "\\ud800", "\\u0000"};
    char *text = random_text(1);

    mmgr__buf_json_string(json, text);
    if (random_below(6) == 0) {
        json->length--; /* the quote */
        mmgr__buf_puts(json, escapes[random_below(sound ? 6 : 8)]);
        mmgr__buf_puts(json, "\"");
    }
    mmgr__free(text);
}

static void put_value(struct mmgr__buf *json, int depth)
{
    static const char *const scalars[] = {
        "null", "true", "false", "0",     "-0", "1.50", "1e400", "-1E-7", "12345678901234567890123",
        "{}",   "[]",   "\"\"",  "[[[]]]"};
    uint32_t kind = random_below(depth > 0 ? 5 : 3), count = random_below(4);
    int map = kind == 4;

    if (kind < 2) {
        put_string(json, 0);
        return;
    }
    if (kind == 2) {
        mmgr__buf_puts(json, PICK(scalars));
        return;
    }
    mmgr__buf_puts(json, map ? "{" : "[");
    for (uint32_t i = 0; i < count; i++) {
        mmgr__buf_puts(json, i > 0 ? "," : "");
        put_space(json);
        if (map) {
            put_string(json, 0);
            put_space(json);
            mmgr__buf_puts(json, ":");
            put_space(json);
        }
        put_value(json, depth - 1);
        put_space(json);
    }
    mmgr__buf_puts(json, map ? "}" : "]");
}

/* Members that no release knows, with names that look like others. */
static void put_unknown(struct mmgr__buf *json)
{
    static const char *const names[] = {"_json",
                                        "_files",
                                        "names",
                                        "Name",
                                        "key ",
                                        "<<",
                                        "~",
                                        "null",
                                        "5",
                                        "a: b",
                                        "- x",
                                        "# y",
                                        "\xf0\x9f\x98\x80",
                                        "x\\ny",
                                        "\\u0078",
                                        "",
                                        "true"};
    uint32_t first = random_below(sizeof names / sizeof names[0]), count = random_below(4);

    for (uint32_t i = 0; i < count; i++) {
        mmgr__buf_printf(json, ",\"%s\"", names[(first + i) % (sizeof names / sizeof names[0])]);
        put_space(json);
        mmgr__buf_puts(json, ":");
        put_space(json);
        /* A null would be no member at all. */
        mmgr__buf_puts(json, "[");
        put_value(json, 4);
        mmgr__buf_puts(json, "]");
    }
}

/* ---- records */

static void put_member(struct mmgr__buf *json, const char *name, int free_text)
{
    char *text = random_text(free_text);

    mmgr__buf_printf(json, ",\"%s\":", name);
    mmgr__buf_json_string(json, text);
    mmgr__free(text);
}

static void put_list(struct mmgr__buf *json, const char *name)
{
    uint32_t count = random_below(4);

    mmgr__buf_printf(json, ",\"%s\":[", name);
    for (uint32_t i = 0; i < count; i++) {
        char *text = random_text(0);

        mmgr__buf_puts(json, i > 0 ? "," : "");
        mmgr__buf_json_string(json, text[0] != '\0' ? text : "null");
        mmgr__free(text);
    }
    mmgr__buf_puts(json, "]");
}

static char *random_json(int number)
{
    static const char *const keys[] = {"null", "true",  "1e",       "0x", "-",
                                       "---",  "_json", "2024-01-", "12", "a"};
    static const char *const terms[] = {"sd-1", "~",    "yes",      "1.5", "- x",
                                        "#",    "a: b", "\xc3\xa4", "'",   "\xef\xbb\xbf"};
    struct mmgr__buf json = {0};
    char *taken;

    mmgr__buf_printf(&json,
                     "{\"key\":\"%s%d\",\"type\":\"main\",\"format\":\"diffusers\",\"path\":\"p%d ",
                     PICK(keys), number, number);
    mmgr__buf_printf(&json, "%s\",\"name\":\"%s\",\"base\":\"%s\"", PICK(terms), PICK(terms),
                     PICK(terms));
    for (int i = 0; i < 3; i++)
        put_member(&json, i == 0 ? "description" : i == 1 ? "source" : "revision", i == 0);
    mmgr__buf_printf(&json, ",\"variant\":\"%s\",\"hash\":\"a:%u\"", PICK(terms),
                     random_below(100));
    put_member(&json, "source_api_response", 1);
    put_member(&json, "cover_image", 1);
    put_list(&json, "tags");
    put_list(&json, "trigger_phrases");
    mmgr__buf_printf(
        &json, ",\"upcast_attention\":%s,\"file_size\":%u,\"created_at\":\"2024-01-31T12:00:00Z\"",
        random_below(2) ? "true" : "false", random_below(1000));
    mmgr__buf_puts(&json,
                   ",\"updated_at\":\"2024-01-31T12:00:00.5Z\",\"default_settings\":{\"a\":");
    put_value(&json, 3);
    mmgr__buf_puts(&json, "}");
    put_unknown(&json);
    mmgr__buf_puts(&json, "}");
    taken = mmgr__buf_take(&json);
    assert_non_null(taken);
    return taken;
}

static void add_files(mmgr_record_builder *builder)
{
    uint32_t count = random_below(4);

    for (uint32_t i = 0; i < count; i++) {
        char *text = random_text(0), *path = mmgr__printf("%u/%s", i, text), hash[] = "0e5",
             other[] = "1234";
        struct mmgr__file file = {
            .path = path, .size = random_below(1000), .sha256 = random_below(2) ? hash : NULL};

        if (mmgr__path_check_relative(path) != MMGR_OK)
            path[1] = '\0';
        file.blocks = random_below(2) ? other : NULL;
        file.mtime_ns = (int64_t)random_below(1000) - 500;
        file.device = random_below(2) ? UINT64_MAX - random_below(9) : 1;
        file.inode = UINT64_C(1) << random_below(64);
        file.flags = random_below(16);
        assert_ok(mmgr__record_builder_add_file(builder, &file));
        mmgr__free(path);
        mmgr__free(text);
    }
}

static mmgr_record *random_record(int number)
{
    char *json = random_json(number);
    mmgr_record_builder *builder;
    mmgr_record *record = NULL;

    assert_ok(mmgr_record_builder_new(NULL, &builder));
    if (mmgr_record_builder_merge(builder, json) != MMGR_OK)
        fail_msg("%s\n%s", mmgr_error_message(mmgr_last_error()), json);
    add_files(builder);
    assert_ok(mmgr_record_builder_build(builder, &record));
    mmgr_record_builder_free(builder);
    mmgr__free(json);
    return record;
}

/* ---- stores */

static const struct mmgr__store_ops *const kinds[] = {&mmgr__store_sqlite, &mmgr__store_yaml};
static const struct mmgr__store_place place = {NULL, NULL};

static void *open_kind(int kind)
{
    void *self = NULL;

    assert_ok(kinds[kind]->open(in_folder(kind == 0 ? "a.db" : "a.yaml"), &place, 0, &self));
    return self;
}

static mmgr_record *get(int kind, void *self, const char *key)
{
    mmgr_record *record = NULL;

    if (kinds[kind]->get(self, key, &record) != MMGR_OK)
        fail_msg("%s: %s", key, mmgr_error_message(mmgr_last_error()));
    return record;
}

/* Open both anew and compare all records from `from` on; then take that one out of both. */
static void compare_all(mmgr_record *const *records, int from)
{
    void *selves[2] = {open_kind(0), open_kind(1)};

    for (int i = from; i < RECORDS; i++) {
        const char *key = mmgr_record_text(records[i], MMGR_FIELD_KEY);

        for (int kind = 0; kind < 2; kind++) {
            mmgr_record *got = get(kind, selves[kind], key);
            const char *difference = record_difference(records[i], got);

            if (difference != NULL)
                fail_msg("%s, model %s: %s", kinds[kind]->extension, key, difference);
            mmgr_record_unref(got);
        }
    }
    for (int kind = 0; kind < 2; kind++) {
        assert_ok(
            kinds[kind]->remove(selves[kind], mmgr_record_text(records[from], MMGR_FIELD_KEY)));
        kinds[kind]->close(selves[kind]);
    }
}

static void both_stores_agree(void **state)
{
    for (int round = 0; round < ROUNDS; round++) {
        mmgr_record *records[RECORDS];
        struct mmgr__adding adding = {.records = (const mmgr_record *const *)records,
                                      .count = RECORDS};

        for (int i = 0; i < RECORDS; i++)
            records[i] = random_record(i);
        for (int kind = 0; kind < 2; kind++) {
            void *self = open_kind(kind);

            assert_ok(kinds[kind]->add(self, &adding));
            kinds[kind]->close(self);
        }
        for (int from = 0; from < 3; from++)
            compare_all(records, from);
        for (int i = 0; i < RECORDS; i++)
            mmgr_record_unref(records[i]);
        assert_int_equal(unlink(in_folder("a.db")) | unlink(in_folder("a.yaml")), 0);
    }
}

/* The control: a change of one byte anywhere is seen. */
static void one_byte_is_seen(void **state)
{
    static const struct {
        const char *before, *after, *difference;
    } cases[] = {
        {"\"description\":\"x \"", "\"description\":\"x\"", "description"},
        {"\"description\":\"1\"", "\"description\":null", "description"},
        {"\"tags\":[\"a\",\"b\"]", "\"tags\":[\"b\",\"a\"]", "tags"},
        {"\"upcast_attention\":true", "\"upcast_attention\":false", "upcast_attention"},
        {"\"default_settings\":{\"a\":1}", "\"default_settings\":{\"a\":1.0}", "default_settings"},
        {"\"x\":[1,2]", "\"x\":[1, 2]", "\"x\":[1,2], \"x\":[1, 2]"},
        {"\"x\":1", "\"\\u0078\":1", "\"x\":1, \"\\u0078\":1"},
        {"\"x\":1", "\"y\":1", "\"x\":1, \"y\":1"},
        {"\"x\":1,\"y\":2", "\"x\":1", "\"y\":2, nothing"},
        {"\"x\":1,\"y\":2", "\"y\":2,\"x\":1", NULL},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mmgr_record *one = simple_record("k", "N", "sd-1", "p", cases[i].before);
        mmgr_record *two = simple_record("k", "N", "sd-1", "p", cases[i].after);
        const char *difference = record_difference(one, two);

        if (cases[i].difference == NULL)
            assert_null(difference);
        else if (difference == NULL || strcmp(difference, cases[i].difference) != 0)
            fail_msg("%s, %s: %s", cases[i].before, cases[i].after, difference);
        mmgr_record_unref(one);
        mmgr_record_unref(two);
    }
}

/* The control: a text that lost its quotes in the file is another text. */
static void lost_quotes_are_seen(void **state)
{
    mmgr_record *record =
        simple_record("k", "N", "sd-1", "p",
                      "\"description\":\"x \",\"created_at\":"
                      "\"2024-01-31T12:00:00Z\",\"updated_at\":\"2024-01-31T12:00:00Z\"");
    struct mmgr__adding adding = {.records = (const mmgr_record *const *)&record, .count = 1};
    void *self = open_kind(1);
    mmgr_record *got;
    char *text, *at;

    assert_ok(mmgr__store_yaml.add(self, &adding));
    got = get(1, self, "k");
    assert_null(record_difference(record, got));
    mmgr_record_unref(got);
    text = take_file(in_folder("a.yaml"), NULL);
    at = strstr(text, "'x '");
    assert_non_null(at);
    at[0] = at[3] = ' ';
    put_file(in_folder("a.yaml"), text, strlen(text));
    got = get(1, self, "k");
    assert_string_equal(record_difference(record, got), "description");
    mmgr_record_unref(got);
    mmgr_record_unref(record);
    mmgr__store_yaml.close(self);
    free(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(both_stores_agree), TEST(one_byte_is_seen),
                                       TEST(lost_quotes_are_seen)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
