/* SPDX-License-Identifier: MIT */
/* Import of InvokeAI databases: what becomes of each row, where paths lead, duplicates, and
 * hostile files. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "import_tools.h"

#define DATABASE "source/databases/invokeai.db"
#define AI       MMGR_IMPORT_INVOKEAI

/* A config as InvokeAI writes it, with further members. */
#define CONFIG(key, path, name, more)                                                      \
    "{\"key\":\"" key "\",\"hash\":\"blake3:00ff\",\"path\":\"" path "\",\"name\":\"" name \
    "\",\"base\":\"sd-1\",\"description\":null,\"source\":\"a/b\",\"source_type\":"        \
    "\"hf_repo_id\",\"source_api_response\":null,\"cover_image\":null," more "}"
#define MAIN_CKPT "\"type\":\"main\",\"format\":\"checkpoint\""
#define LORA      "\"type\":\"lora\",\"format\":\"lycoris\""

static const char *database(void)
{
    write_file("source/databases/x", "");
    unlink(in_folder("source/databases/x"));
    return in_folder(DATABASE);
}

static mmgr_store *fresh_store(void)
{
    static int number;
    char name[32];

    snprintf(name, sizeof name, "store%d.db", number++);
    return open_store(in_folder(name));
}

/* ---- rows to records */

static void rows_become_records(void **state)
{
    static const char created[] = "2024-08-29 12:34:56.789";
    static const struct {
        const char *config;
        struct {
            enum mmgr_field field;
            const char *text; /* "~" stands for the root of the source */
        } wanted[8];
        const char *kept; /* in the record's JSON, byte for byte */
    } cases[] = {
        {CONFIG("8c0b1a2e-1111-4222-8333-444455556666", "sd-1/main/a.safetensors", "A \\u00e9",
                MAIN_CKPT ",\"trigger_phrases\":[\"x\",\"y\"],\"default_settings\":{\"steps\":30},"
                          "\"variant\":\"inpaint\",\"config_path\":\"stable-diffusion/v1.yaml\","
                          "\"converted_at\":1724934896.1234567890123,\"prediction_type\":"
                          "\"epsilon\",\"upcast_attention\":false"),
         {{MMGR_FIELD_KEY, "8c0b1a2e-1111-4222-8333-444455556666"},
          {MMGR_FIELD_NAME, "A é"},
          {MMGR_FIELD_PATH, "~/models/sd-1/main/a.safetensors"},
          {MMGR_FIELD_HASH, "blake3:00ff"},
          {MMGR_FIELD_CONFIG_PATH, "~/configs/stable-diffusion/v1.yaml"},
          {MMGR_FIELD_TRIGGER_PHRASES, "[\"x\",\"y\"]"},
          {MMGR_FIELD_VARIANT, "inpaint"},
          {MMGR_FIELD_CREATED_AT, "2024-08-29T12:34:56.789Z"}},
         "\"converted_at\":1724934896.1234567890123"},
        {CONFIG("b", "/abs/./b.safetensors", "B",
                MAIN_CKPT ",\"config_path\":\"/etc/b.yaml\",\"vae\":\"sd-1/vae/v\","
                          "\"repo_variant\":\"\""),
         {{MMGR_FIELD_PATH, "/abs/b.safetensors"},
          {MMGR_FIELD_CONFIG_PATH, "/etc/b.yaml"},
          {MMGR_FIELD_VAE, "~/models/sd-1/vae/v"},
          {MMGR_FIELD_REPO_VARIANT, "default"}},
         NULL},
        {CONFIG("c", "c", "C", MAIN_CKPT ",\"vae\":\"8c0b1a2e-1111-4222-8333-444455556666\""),
         {{MMGR_FIELD_VAE, "8c0b1a2e-1111-4222-8333-444455556666"}},
         NULL},
        {CONFIG("d", "d/d.safetensors", "D",
                "\"type\":\"wan_future\",\"format\":\"sdnq_next\",\"expert\":\"high\",\"cpu_only\":"
                "null,\"x_submodels\":{\"unet\": {\"path_or_prefix\":\"x\"}},\"x_ratio\":"
                "0.8750,\"file_size\":123456789012,\"tags\":null"),
         {{MMGR_FIELD_TYPE, "wan_future"},
          {MMGR_FIELD_FORMAT, "sdnq_next"},
          {MMGR_FIELD_FILE_SIZE, "123456789012"},
          {MMGR_FIELD_TAGS, NULL}},
         "\"x_submodels\":{\"unet\": {\"path_or_prefix\":\"x\"}},\"x_ratio\":0.8750"},
        {CONFIG("e", "external://openai/gpt-image", "E",
                "\"type\":\"external_image_generator\",\"format\":\"external_api\",\"provider_id\":"
                "\"openai\""),
         {{MMGR_FIELD_PATH, "external://openai/gpt-image"}},
         "\"provider_id\":\"openai\""},
        /* A field that the kind does not have here, but may have there. */
        {CONFIG("f", "f", "F", LORA ",\"config_path\":\"lora.yaml\""),
         {{MMGR_FIELD_CONFIG_PATH, "~/lora.yaml"}},
         NULL},
    };
    static const char *const schemas[] = {schema_429, schema_614};
    static const char *const ids[] = {"1", "2", "3",
                                      "4", "5", "6"}; /* the key in the config wins */

    write_file("source/lora.yaml", "");
    write_file("source/models/c", "");
    for (size_t s = 0; s < 2; s++) {
        mmgr_store *store = fresh_store();
        sqlite3 *db = make_database(database(), schemas[s]);
        json_t *report;

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
            insert_row(db, ids[i], cases[i].config, created);
        sqlite3_close(db);
        report = import(store, AI, in_folder(DATABASE), 0, NULL);
        assert_int_equal(count_of(report, "skipped"), 0);
        assert_int_equal(count_of(report, "added"), sizeof cases / sizeof cases[0]);
        /* All but c, which is there, and the external one, which is no file. */
        assert_int_equal(count_of(report, "missing"), sizeof cases / sizeof cases[0] - 2);
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            const char *key =
                json_string_value(json_array_get(json_object_get(report, "added"), i));
            mmgr_record *record = NULL;
            char *json = NULL;

            assert_ok(mmgr_store_get(store, key, &record));
            assert_string_equal(
                json_string_value(json_array_get(json_object_get(report, "names"), i)),
                mmgr_record_text(record, MMGR_FIELD_NAME));
            for (size_t j = 0; j < 8 && cases[i].wanted[j].field != 0; j++) {
                const char *text = cases[i].wanted[j].text;
                const char *got = mmgr_record_text(record, cases[i].wanted[j].field);
                char place[9000];

                snprintf(place, sizeof place, "%s%s", in_folder("source"),
                         text != NULL && text[0] == '~' ? text + 1 : "");
                if (text == NULL)
                    assert_null(got);
                else
                    assert_string_equal(got, text[0] == '~' ? place : text);
            }
            assert_ok(mmgr_record_to_json(record, &json));
            if (cases[i].kept != NULL && strstr(json, cases[i].kept) == NULL)
                fail_msg("%s is not in %s", cases[i].kept, json);
            mmgr_string_free(json);
            mmgr_record_unref(record);
        }
        json_decref(report);
        assert_ok(mmgr_store_close(store));
        unlink(in_folder(DATABASE));
    }
}

static void bad_rows_are_skipped(void **state)
{
    static const struct {
        const char *id, *config, *key, *name, *field, *reason;
    } cases[] = {
        {"'a'", "'no JSON'", "a", NULL, NULL, "not valid JSON"},
        {"'b'", "'[1]'", "b", NULL, NULL, "must be a JSON object"},
        {"'c'", "''", "c", NULL, NULL, "not valid JSON"},
        {"'d'", "x'7b7d'", "d", NULL, "config", "holds no text"},
        {"'e'", "NULL", "e", NULL, "config", "holds no text"},
        {"'f'", "17", "f", NULL, "config", "holds no text"},
        {"'g'", "CAST(x'7b226e616d65223a22ff227d' AS TEXT)", "g", NULL, "name", "not valid UTF-8"},
        {"'h'", "CAST(x'7b226e616d65223a2241227d007d' AS TEXT)", "h", "A", NULL, "not valid JSON"},
        {"'i'", "'{\"name\":\"a\\u0000b\"}'", "i", NULL, "name", "NUL"},
        {"'j'", "'{\"name\":\"J\",\"name\":\"K\"}'", "j", "J", "name", "twice"},
        {"'k'", "'{\"name\":\"K\",\"x\":' || replace(hex(zeroblob(100000)), '0', '[')", "k", "K",
         "x", "nested too deep"},
        {"'l'", "'{\"name\":\"L\",\"type\":\"vae\",\"format\":\"checkpoint\",\"base\":\"any\"}'",
         "l", "L", "path", "is missing"},
        {"'m'", "'{\"name\":\"M\",\"path\":\"../m\"}'", "m", "M", "path", "\"..\""},
        {"'n'", "'{\"key\":\"n n\",\"name\":\"N\"}'", "n", NULL, "key", "letters"},
        {"'o o'", "'{\"name\":\"O\"}'", "o o", "O", "key", "letters"},
        {"NULL", "'{\"name\":\"P\"}'", NULL, "P", NULL, "neither a key nor an id"},
        {"'q'", "'{\"name\":\"Q\",\"file_size\":-1}'", "q", "Q", "file_size", "whole number"},
        {"'r'", "'{\"name\":\"R\",\"trigger_phrases\":\"r\"}'", "r", "R", "trigger_phrases",
         "must be a list"},
        {"'s'", "'{\"name\":\"S\",\"description\":\"' || hex(zeroblob(600000)) || '\"}'", "s", "S",
         "description", "is longer than"},
        {"'t'", "'{\"name\":\"T\"}' || hex(zeroblob(34000000))", NULL, NULL, NULL, "too large"},
        {"CAST(x'ff75' AS TEXT)", "'{\"name\":\"U\"}'", "?u", "U", "key", "letters"},
    };
    size_t count = sizeof cases / sizeof cases[0];
    sqlite3 *db = make_database(database(), schema_loose);
    mmgr_store *store = fresh_store();
    json_t *report;

    for (size_t i = 0; i < count; i++) {
        char sql[1024];

        snprintf(sql, sizeof sql, "INSERT INTO models VALUES(%s, %s, NULL)", cases[i].id,
                 cases[i].config);
        run_sql(db, sql);
    }
    insert_row(db, "good", CONFIG("good", "good", "Good", LORA), "yesterday");
    sqlite3_close(db);
    report = import(store, AI, in_folder(DATABASE), 0, NULL);
    assert_int_equal(count_of(report, "added"), 1);
    assert_int_equal(count_of(report, "skipped"), count);
    for (size_t i = 0; i < count; i++) {
        static const char *const members[] = {"key", "name", "field", "code"};
        const char *const wanted[] = {cases[i].key, cases[i].name, cases[i].field,
                                      "invalid_config"};

        if (strstr(skipped(report, i, "reason"), cases[i].reason) == NULL)
            fail_msg("%zu: %s", i, skipped(report, i, "reason"));
        for (size_t j = 0; j < 4; j++) {
            const char *got = skipped(report, i, members[j]);

            if (wanted[j] == NULL ? got != NULL : got == NULL || strcmp(got, wanted[j]) != 0)
                fail_msg("%zu: %s is %s", i, members[j], got != NULL ? got : "null");
        }
    }
    assert_string_equal(found(store, NULL), "good");
    json_decref(report);
    assert_ok(mmgr_store_close(store));
}

/* ---- duplicates, repeating, dry run */

static void duplicates_are_skipped(void **state)
{
    sqlite3 *db = make_database(database(), schema_loose);
    mmgr_store *store = fresh_store();
    char before[65536];
    json_t *dry, *report;

    insert_row(db, "1", CONFIG("one", "p/one", "One", LORA), NULL);
    insert_row(db, "2", CONFIG("one", "p/two", "Two", LORA), NULL);
    insert_row(db, "3", CONFIG("three", "p//./one", "Three", LORA), NULL);
    insert_row(db, "4", CONFIG("taken", "p/four", "Four", LORA), NULL);
    insert_row(db, "5", CONFIG("five", "p/five", "Five", LORA), NULL);
    insert_row(db, "6", CONFIG("six", "p/six", "Six", LORA), NULL);
    sqlite3_close(db);
    add_record(store, "taken", "Old", "sd-1", "/old", "");
    add_record(store, "other", "Other", "sd-1", in_folder("source/models/p/five"), "");
    snprintf(before, sizeof before, "%s", content_of(store));
    dry = import(store, AI, in_folder(DATABASE), MMGR_IMPORT_DRY_RUN, NULL);
    assert_string_equal(content_of(store), before);
    report = import(store, AI, in_folder(DATABASE), 0, NULL);
    /* The dry run said what would be. */
    assert_true(json_equal(json_object_get(dry, "added"), json_object_get(report, "added")));
    assert_true(json_equal(json_object_get(dry, "skipped"), json_object_get(report, "skipped")));
    assert_true(json_equal(json_object_get(dry, "missing"), json_object_get(report, "missing")));
    assert_int_equal(count_of(report, "added"), 2);
    assert_int_equal(count_of(report, "skipped"), 4);
    for (size_t i = 0; i < 4; i++) {
        static const char *const keys[] = {"one", "three", "taken", "five"};
        static const char *const fields[] = {"key", "path", "key", "path"};

        assert_string_equal(skipped(report, i, "code"), "duplicate_model");
        assert_string_equal(skipped(report, i, "key"), keys[i]);
        assert_string_equal(skipped(report, i, "field"), fields[i]);
        assert_non_null(skipped(report, i, "path"));
    }
    assert_string_equal(found(store, NULL), "one six taken other");
    json_decref(report);
    report = import(store, AI, in_folder(DATABASE), 0, NULL);
    assert_int_equal(count_of(report, "added"), 0);
    assert_int_equal(count_of(report, "skipped"), 6);
    json_decref(report);
    json_decref(dry);
    assert_ok(mmgr_store_close(store));
}

static void a_store_that_is_read_only(void **state)
{
    sqlite3 *db = make_database(database(), schema_429);
    struct mmgr_store_options options = {.struct_size = sizeof options,
                                         .flags = MMGR_STORE_READ_ONLY,
                                         .path = in_folder("nowhere.db")};
    mmgr_store *store = NULL;
    char *text = NULL;

    insert_row(db, "a", CONFIG("a", "a", "A", LORA), "2024-01-01 00:00:00.000");
    sqlite3_close(db);
    assert_ok(mmgr_store_open(&options, &store));
    json_decref(import(store, AI, in_folder(DATABASE), MMGR_IMPORT_DRY_RUN, NULL));
    assert_error(run_import(store, AI, in_folder(DATABASE), 0, NULL, &text), MMGR_ERR_STATE,
                 "read only", NULL, NULL);
    assert_null(text);
    assert_ok(mmgr_store_close(store));
    assert_int_equal(access(in_folder("nowhere.db"), F_OK), -1);
}

/* ---- where paths lead */

static void models_dir_is_worked_out(void **state)
{
    static const struct {
        const char *database, *yaml, *option, *wanted; /* below the test's folder */
    } cases[] = {
        {"source/databases/a.db", NULL, NULL, "source/models"},
        {"source/databases/b.db", "models_dir: big/store", NULL, "source/big/store"},
        {"source/databases/c.db", "models_dir: ''", NULL, "source/models"},
        {"source/databases/d.db", "precision: auto", NULL, "source/models"},
        {"source/databases/e.db", "models_dir: big", "given", "given"},
        {"source/f.db", NULL, NULL, "source/models"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mmgr_store *store = fresh_store();
        mmgr_record *record = NULL;
        char path[9000], wanted[9000];
        json_t *report;
        sqlite3 *db;

        snprintf(path, sizeof path, "%s", write_file(cases[i].database, ""));
        db = make_database(path, schema_429);
        insert_row(db, "k", CONFIG("k", "p", "N", LORA), "2024-01-01 00:00:00.000");
        sqlite3_close(db);
        if (cases[i].yaml != NULL)
            write_file("source/invokeai.yaml", cases[i].yaml);
        report =
            import(store, AI, path, 0, cases[i].option != NULL ? in_folder(cases[i].option) : NULL);
        assert_string_equal(json_string_value(json_object_get(report, "models_dir")),
                            in_folder(cases[i].wanted));
        assert_string_equal(json_string_value(json_object_get(report, "source")), path);
        assert_ok(mmgr_store_get(store, "k", &record));
        snprintf(wanted, sizeof wanted, "%s/p", in_folder(cases[i].wanted));
        assert_string_equal(mmgr_record_text(record, MMGR_FIELD_PATH), wanted);
        mmgr_record_unref(record);
        json_decref(report);
        assert_ok(mmgr_store_close(store));
        unlink(in_folder("source/invokeai.yaml"));
    }
}

static void a_broken_invokeai_yaml_is_named(void **state)
{
    sqlite3 *db = make_database(database(), schema_429);
    mmgr_store *store = fresh_store();
    char *text = NULL;

    sqlite3_close(db);
    write_file("source/invokeai.yaml", "a: [");
    assert_error(run_import(store, AI, in_folder(DATABASE), 0, NULL, &text), MMGR_ERR_INVALID_FILE,
                 "invokeai.yaml:2:1:", NULL, NULL);
    json_decref(import(store, AI, in_folder(DATABASE), 0, in_folder("models")));
    assert_ok(mmgr_store_close(store));
}

/* A model inside the store's own models_dir is recorded relative to it. */
static void own_paths_become_relative(void **state)
{
    mmgr_config *config = config_at(in_folder("source"));
    struct mmgr_store_options options = {.struct_size = sizeof options, .config = config};
    sqlite3 *db = make_database(database(), schema_429);
    mmgr_record *record = NULL;
    mmgr_store *store = NULL;

    insert_row(db, "k", CONFIG("k", "sd-1/x", "N", LORA), "2024-01-01 00:00:00.000");
    sqlite3_close(db);
    assert_ok(mmgr_store_open(&options, &store));
    json_decref(import(store, AI, in_folder(DATABASE), 0, NULL));
    assert_ok(mmgr_store_get(store, "k", &record));
    assert_string_equal(mmgr_record_text(record, MMGR_FIELD_PATH), "sd-1/x");
    assert_string_equal(mmgr_record_location(record), in_folder("source/models/sd-1/x"));
    mmgr_record_unref(record);
    assert_ok(mmgr_store_close(store));
    mmgr_config_unref(config);
}

/* ---- sources that are none */

static void other_files_are_refused(void **state)
{
    static const struct {
        const char *sql, *message;
    } cases[] = {
        {"CREATE TABLE model_config(id TEXT, config TEXT)", "before 4.0"},
        {"CREATE TABLE other(id TEXT)", "no table models"},
        {"CREATE VIEW models AS SELECT 'a' AS id, '{}' AS config, '' AS created_at", "is a view"},
        {"CREATE VIRTUAL TABLE models USING fts5(id, config, created_at)", "virtual table"},
        {"CREATE TABLE models(key TEXT PRIMARY KEY, record TEXT)", "lacks a plain column"},
        {"CREATE TABLE models(x TEXT, config TEXT, created_at TEXT,"
         " id TEXT GENERATED ALWAYS AS (hex(zeroblob(x))) VIRTUAL)",
         "lacks a plain column"},
        {"CREATE TABLE models(id TEXT PRIMARY KEY, config TEXT, created_at TEXT) WITHOUT ROWID",
         "rowid"},
        {"CREATE TABLE models(id, config, created_at);"
         "INSERT INTO models WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
         " WHERE i < 100001) SELECT i, '{}', '' FROM n",
         "more than 100000 models"},
        {"PRAGMA journal_mode=OFF; CREATE TABLE models(id, config, created_at);"
         "INSERT INTO models WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
         " WHERE i < 5) SELECT i, hex(zeroblob(30000000)), '' FROM n",
         "more than 256 MiB"},
        {"CREATE TABLE models(id, config, created_at); PRAGMA writable_schema=ON;"
         "UPDATE sqlite_schema SET sql = 'CREATE TABLE models(id, config'",
         "damaged"},
    };
    mmgr_store *store = fresh_store();

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sqlite3 *db = make_database(database(), cases[i].sql);
        char *text = NULL;

        sqlite3_close(db);
        assert_error(run_import(store, AI, in_folder(DATABASE), 0, NULL, &text),
                     MMGR_ERR_INVALID_FILE, cases[i].message, NULL, in_folder(DATABASE));
        assert_null(text);
        unlink(in_folder(DATABASE));
    }
    assert_error(run_import(store, AI, in_folder("source/none.db"), 0, NULL, NULL),
                 MMGR_ERR_ARGUMENT, NULL, "report", NULL);
    assert_ok(mmgr_store_close(store));
}

static void files_that_are_no_database(void **state)
{
    static const struct {
        const char *name, *text;
        enum mmgr_result wanted;
    } cases[] = {
        {"source/text.db",
         "this is no database, but it is long enough to be looked at closely: "
         "a hundred bytes of header and more than that",
         MMGR_ERR_INVALID_FILE},
        {"source/empty.db", "", MMGR_ERR_INVALID_FILE},
        {"source/half.db", "SQLite format 3", MMGR_ERR_INVALID_FILE},
        {"source/none.db", NULL, MMGR_ERR_PATH_NOT_FOUND},
        {"source", NULL, MMGR_ERR_INVALID_FILE},
    };
    mmgr_store *store = fresh_store();

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *path = in_folder(cases[i].name);
        char *text = NULL;

        if (cases[i].text != NULL)
            write_file(cases[i].name, cases[i].text);
        assert_error(run_import(store, AI, path, 0, NULL, &text), cases[i].wanted,
                     in_folder(cases[i].name), NULL, in_folder(cases[i].name));
    }
    assert_string_equal(content_of(store), "");
    assert_ok(mmgr_store_close(store));
}

/* Every byte of a small database is broken in turn: no crash, and an answer of a known kind. */
static void damaged_databases(void **state)
{
    sqlite3 *db = make_database(database(), "PRAGMA page_size=512;");
    mmgr_store *store = fresh_store();
    char data[4096];
    size_t length;
    FILE *file;
    int refused = 0;

    run_sql(db, schema_loose);
    insert_row(db, "k",
               CONFIG("k", "p", "N",
                      LORA ",\"x\":\"0123456789012345678901234567890123456"
                           "78901234567890123456789012345678901234567\""),
               NULL);
    sqlite3_close(db);
    file = fopen(in_folder(DATABASE), "rb");
    length = fread(data, 1, sizeof data, file);
    fclose(file);
    assert_in_range(length, 1024, sizeof data - 1);
    for (size_t i = 0; i < length; i += 3) {
        char kept = data[i], *text = NULL;
        enum mmgr_result result;

        data[i] = (char)(kept ^ 0xff);
        file = fopen(in_folder(DATABASE), "wb");
        fwrite(data, 1, length, file);
        fclose(file);
        data[i] = kept;
        result = run_import(store, AI, in_folder(DATABASE), MMGR_IMPORT_DRY_RUN, NULL, &text);
        if (result != MMGR_OK && result != MMGR_ERR_INVALID_FILE)
            fail_msg("byte %zu: %s: %s", i, mmgr_result_name(result),
                     mmgr_error_message(mmgr_last_error()));
        refused += result != MMGR_OK;
        mmgr_string_free(text);
    }
    assert_true(refused > 20);
    assert_nothing_left();
    assert_ok(mmgr_store_close(store));
}

static void arguments(void **state)
{
    static const struct {
        struct mmgr_import_options options;
        const char *field;
    } cases[] = {
        {{.kind = AI, .path = "x", .flags = 2}, "flags"},
        {{.kind = AI, .path = "x", .reserved = 1}, "reserved"},
        {{.kind = AI}, "path"},
        {{.kind = AI, .path = ""}, "path"},
        {{.kind = AI, .path = "x", .models_dir = ""}, "models_dir"},
        {{.path = "x"}, "kind"},
        {{.kind = (enum mmgr_import_kind)3, .path = "x"}, "kind"},
    };
    mmgr_store *store = fresh_store();
    char *text = NULL;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mmgr_import_options options = cases[i].options;

        options.struct_size = sizeof options;
        assert_error(mmgr_store_import(store, &options, &text), MMGR_ERR_ARGUMENT, NULL,
                     cases[i].field, NULL);
    }
    assert_error(mmgr_store_import(store, NULL, &text), MMGR_ERR_ARGUMENT, NULL, "path", NULL);
    assert_null(text);
    assert_ok(mmgr_store_close(store));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, import_setup, import_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rows_become_records),
        TEST(bad_rows_are_skipped),
        TEST(duplicates_are_skipped),
        TEST(a_store_that_is_read_only),
        TEST(models_dir_is_worked_out),
        TEST(a_broken_invokeai_yaml_is_named),
        TEST(own_paths_become_relative),
        TEST(other_files_are_refused),
        TEST(files_that_are_no_database),
        TEST(damaged_databases),
        TEST(arguments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
