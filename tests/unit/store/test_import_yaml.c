/* SPDX-License-Identifier: MIT */
/* Import of models.yaml: versions, keys, members, formats, paths, and files that are none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "import_tools.h"

#define YAML MMGR_IMPORT_MODELS_YAML
#define HEAD "__metadata__:\n  version: 3.0.0\n"

static mmgr_store *fresh_store(void)
{
    static int number;
    char name[32];

    snprintf(name, sizeof name, "store%d.db", number++);
    return open_store(in_folder(name));
}

static void entries_become_records(void **state)
{
    static const struct {
        const char *entry;
        struct {
            enum mmgr_field field;
            const char *text; /* "~" stands for the root of the source */
        } wanted[7];
        const char *kept;
    } cases[] = {
        {"sd-1/main/A (v2)/with/slashes: {path: sd-1/main/folder, description: 12, variant: normal,"
         " format: diffusers}",
         {{MMGR_FIELD_BASE, "sd-1"},
          {MMGR_FIELD_TYPE, "main"},
          {MMGR_FIELD_NAME, "A (v2)/with/slashes"},
          {MMGR_FIELD_PATH, "~/models/sd-1/main/folder"},
          {MMGR_FIELD_DESCRIPTION, "12"},
          {MMGR_FIELD_VARIANT, "normal"},
          {MMGR_FIELD_FORMAT, "diffusers"}},
         NULL},
        {"sd-2/main/B: {path: /abs/b.ckpt, format: ckpt, config: configs/v2.yaml, vae: vae/v,"
         " prediction_type: v_prediction, upcast_attention: True, error: broken, note: 1.50,"
         " flag: false, word: '7', nothing: ~, list: [a, b], key: mine, location: x}",
         {{MMGR_FIELD_PATH, "/abs/b.ckpt"},
          {MMGR_FIELD_FORMAT, "checkpoint"},
          {MMGR_FIELD_CONFIG_PATH, "~/configs/v2.yaml"},
          {MMGR_FIELD_VAE, "~/models/vae/v"},
          {MMGR_FIELD_PREDICTION_TYPE, "v_prediction"},
          {MMGR_FIELD_UPCAST_ATTENTION, "true"}},
         "\"note\":1.50,\"flag\":false,\"word\":\"7\"}"},
        /* Below the root and not in models. */
        {"sd-1/vae/C: {path: elsewhere/c.pt}",
         {{MMGR_FIELD_PATH, "~/elsewhere/c.pt"}, {MMGR_FIELD_FORMAT, "checkpoint"}},
         NULL},
        /* In both. */
        {"any/clip_vision/D: {path: both}",
         {{MMGR_FIELD_PATH, "~/models/both"}, {MMGR_FIELD_FORMAT, "diffusers"}},
         NULL},
    };
    json_t *report;
    mmgr_store *store = fresh_store();
    char text[8192] = HEAD;

    write_file("source/elsewhere/c.pt", "");
    write_file("source/both", "");
    write_file("source/models/both", "");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        strcat(text, cases[i].entry);
        strcat(text, "\n");
    }
    report = import(store, YAML, write_file("source/configs/models.yaml", text), 0, NULL);
    assert_int_equal(count_of(report, "skipped"), 0);
    assert_int_equal(count_of(report, "added"), sizeof cases / sizeof cases[0]);
    assert_int_equal(count_of(report, "missing"), 2);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *key = json_string_value(json_array_get(json_object_get(report, "added"), i));
        mmgr_record *record = NULL;
        char *json = NULL;

        assert_int_equal(strspn(key, "0123456789abcdef"), 32);
        assert_ok(mmgr_store_get(store, key, &record));
        for (size_t j = 0; j < 7 && cases[i].wanted[j].field != 0; j++) {
            const char *wanted = cases[i].wanted[j].text;
            char place[9000];

            snprintf(place, sizeof place, "%s%s", in_folder("source"), wanted + 1);
            assert_string_equal(mmgr_record_text(record, cases[i].wanted[j].field),
                                wanted[0] == '~' ? place : wanted);
        }
        assert_ok(mmgr_record_to_json(record, &json));
        if (cases[i].kept != NULL && strstr(json, cases[i].kept) == NULL)
            fail_msg("%s is not in %s", cases[i].kept, json);
        assert_null(strstr(json, "broken"));
        mmgr_string_free(json);
        mmgr_record_unref(record);
    }
    json_decref(report);
    /* Keys are fresh, so it is the paths that tell. */
    report = import(store, YAML, in_folder("source/configs/models.yaml"), 0, NULL);
    assert_int_equal(count_of(report, "added"), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(skipped(report, i, "field"), "path");
    json_decref(report);
    assert_ok(mmgr_store_close(store));
}

static void formats_are_worked_out(void **state)
{
    static const struct {
        const char *type, *given, *path, *wanted; /* folder: there; else not */
    } cases[] = {
        {"main", NULL, "folder", "diffusers"},
        {"main", NULL, "folder.ckpt", "diffusers"}, /* what it is counts more than its name */
        {"main", NULL, "a.safetensors", "checkpoint"},
        {"main", NULL, "A.CKPT", "checkpoint"},
        {"main", NULL, "file", "checkpoint"},
        {"main", NULL, "none", "diffusers"},
        {"main", "safetensors", "none", "checkpoint"},
        {"vae", NULL, "v.pt", "checkpoint"},
        {"controlnet", NULL, "folder", "diffusers"},
        {"lora", NULL, "folder", "diffusers"},
        {"lora", NULL, "l.safetensors", "lycoris"},
        {"lora", "safetensors", "l", "lycoris"},
        {"lora", "lycoris", "folder", "lycoris"},
        {"embedding", NULL, "folder", "embedding_folder"},
        {"embedding", NULL, "e.bin", "embedding_file"},
        {"ip_adapter", NULL, "folder", "invokeai"},
        {"clip_vision", NULL, "folder", "diffusers"},
        {"t2i_adapter", NULL, "folder", "diffusers"},
        {"onnx", NULL, "folder", "onnx"},
        {"of_next_year", "new", "folder", "new"},
        {"of_next_year", NULL, "folder", NULL},
    };

    write_file("source/models/folder/x", "");
    write_file("source/models/folder.ckpt/x", "");
    write_file("source/models/file", "");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mmgr_store *store = fresh_store();
        mmgr_record *record = NULL;
        char text[1024];
        json_t *report;

        snprintf(text, sizeof text, HEAD "sd-1/%s/x:\n  path: %s\n%s%s\n", cases[i].type,
                 cases[i].path, cases[i].given != NULL ? "  format: " : "",
                 cases[i].given != NULL ? cases[i].given : "");
        report = import(store, YAML, write_file("source/models.yaml", text), 0, NULL);
        if (cases[i].wanted == NULL) {
            assert_non_null(strstr(skipped(report, 0, "reason"), "line 3"));
            assert_non_null(strstr(skipped(report, 0, "reason"), "has no format"));
        } else {
            assert_int_equal(count_of(report, "added"), 1);
            assert_ok(mmgr_store_get_by_name(store, "x", NULL, NULL, &record));
            assert_string_equal(mmgr_record_text(record, MMGR_FIELD_FORMAT), cases[i].wanted);
        }
        mmgr_record_unref(record);
        json_decref(report);
        assert_ok(mmgr_store_close(store));
    }
}

static void bad_entries_are_skipped(void **state)
{
    static const struct {
        const char *entry, *name, *reason, *field;
    } cases[] = {
        {"alone: {path: a}", "alone", "not of the form", NULL},
        {"sd-1/main: {path: b}", "sd-1/main", "not of the form", NULL},
        {"sd-1//c: {path: c}", "sd-1//c", "not of the form", NULL},
        {"/main/d: {path: d}", "/main/d", "not of the form", NULL},
        {"sd-1/main/: {path: e}", "sd-1/main/", "not of the form", NULL},
        {"sd-1/main/f: text", "sd-1/main/f", "followed by no map", NULL},
        {"sd-1/main/g: [path]", "sd-1/main/g", "followed by no map", NULL},
        {"sd-1/main/h: {description: x}", "h", "has no path", NULL},
        {"sd-1/main/i: {path: }", "i", "has no path", NULL},
        {"sd-1/main/j: {path: [j]}", "j", "has no path", NULL},
        {"sd-1/main/k: {path: ../k}", "k", "\"..\"", "path"},
        {"sd-1/main/l: {path: l, upcast_attention: maybe}", "l", "true or false",
         "upcast_attention"},
        {"sd-1/main/m: {path: m, config: ../../etc/x}", "m", "\"..\"", "config_path"},
        {"sd-1/main/n: {path: n, tags: x}", "n", "must be a list", "tags"},
    };
    size_t count = sizeof cases / sizeof cases[0];
    mmgr_store *store = fresh_store();
    char text[8192] = HEAD;
    json_t *report;

    for (size_t i = 0; i < count; i++) {
        strcat(text, cases[i].entry);
        strcat(text, "\n");
    }
    strcat(text, "sd-1/main/good: {path: good}\n");
    report = import(store, YAML, write_file("source/models.yaml", text), 0, NULL);
    assert_int_equal(count_of(report, "added"), 1);
    assert_int_equal(count_of(report, "skipped"), count);
    for (size_t i = 0; i < count; i++) {
        const char *reason = skipped(report, i, "reason"), *field = skipped(report, i, "field");
        char line[32];

        snprintf(line, sizeof line, "line %zu: ", i + 3);
        if (strncmp(reason, line, strlen(line)) != 0 || strstr(reason, cases[i].reason) == NULL)
            fail_msg("%zu: %s", i, reason);
        assert_string_equal(skipped(report, i, "name"), cases[i].name);
        assert_string_equal(skipped(report, i, "code"), "invalid_config");
        assert_null(skipped(report, i, "key"));
        assert_true(field == cases[i].field || strcmp(field, cases[i].field) == 0);
    }
    json_decref(report);
    assert_ok(mmgr_store_close(store));
}

static void versions(void **state)
{
    static const struct {
        const char *head, *message; /* NULL: taken */
    } cases[] = {
        {"__metadata__: {version: 3.0.0}", NULL},
        {"__metadata__: {version: 3.0}", NULL},
        {"__metadata__: {version: 3}", NULL},
        {"__metadata__: {version: '3.1.2'}", NULL},
        {"__metadata__: {version: 10.0.0}", NULL},
        {"__metadata__: {version: 99999999999999999999999.0}", NULL},
        {"__metadata__: {version: 2.9.9}", "version 2.9.9; 3 or later"},
        {"__metadata__: {version: 0.3}", "version 0.3"},
        {"__metadata__: {version: 30x}", "version 30x"},
        {"__metadata__: {version: three}", "version three"},
        {"__metadata__: {version: [3]}", "no __metadata__ with a version"},
        {"__metadata__: 3", "no __metadata__ with a version"},
        {"stable-diffusion-1.5: {weights: x.ckpt}", "no __metadata__ with a version"},
        {"", "no __metadata__ with a version"},
        {"- 3", "holds no map"},
        {"3.0.0", "holds no map"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mmgr_store *store = fresh_store();
        const char *path = write_file("source/models.yaml", cases[i].head);
        char *text = NULL;

        if (cases[i].message == NULL)
            json_decref(import(store, YAML, path, 0, NULL));
        else
            assert_error(run_import(store, YAML, path, 0, NULL, &text), MMGR_ERR_INVALID_FILE,
                         cases[i].message, NULL, path);
        assert_null(text);
        assert_ok(mmgr_store_close(store));
    }
}

static void hostile_files(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {HEAD "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
         "models.yaml:3:4: anchors and aliases"},
        {HEAD "sd-1/main/x: !!python/object:os.system {path: x}\n", "tags are not allowed"},
        {HEAD "sd-1/main/x: {path: x}\nsd-1/main/x: {path: y}\n", "is there twice"},
        {HEAD "sd-1/main/x: {path: x, path: y}\n", "is there twice"},
        {HEAD "sd-1/main/x: {path: x\n", "models.yaml:4:"},
        {HEAD "\tsd-1/main/x: x\n", "models.yaml:3:1:"},
        {HEAD "---\na: b\n", "only one document"},
        {HEAD "sd-1/main/x: {path: \"\xff\"}\n", "models.yaml"},
        {HEAD "x: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n",
         "nested more than 64 deep"},
        {"SQLite format 3", "holds no map"},
    };
    mmgr_store *store = fresh_store();

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *path = write_file("source/models.yaml", cases[i].text);
        char *text = NULL;

        assert_error(run_import(store, YAML, path, 0, NULL, &text), MMGR_ERR_INVALID_FILE,
                     cases[i].message, NULL, path);
        assert_null(text);
    }
    assert_string_equal(content_of(store), "");
    assert_ok(mmgr_store_close(store));
}

static void a_file_that_is_too_large(void **state)
{
    mmgr_store *store = fresh_store();
    char *text = NULL;

    assert_int_equal(truncate(write_file("source/models.yaml", HEAD), (16 << 20) + 1), 0);
    assert_error(run_import(store, YAML, in_folder("source/models.yaml"), 0, NULL, &text),
                 MMGR_ERR_INVALID_FILE, "16 MiB", NULL, in_folder("source/models.yaml"));
    assert_error(run_import(store, YAML, in_folder("source/none.yaml"), 0, NULL, &text),
                 MMGR_ERR_PATH_NOT_FOUND, NULL, NULL, in_folder("source/none.yaml"));
    assert_ok(mmgr_store_close(store));
}

/* The root is above configs/, and models_dir in it unless it is given. */
static void where_paths_lead(void **state)
{
    static const struct {
        const char *file, *option, *wanted;
    } cases[] = {
        {"source/configs/models.yaml", NULL, "source/models/x"},
        {"source/models.yaml", NULL, "source/models/x"},
        {"source/deep/models.yaml", NULL, "source/deep/models/x"},
        {"source/models.yaml", "given", "given/x"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mmgr_store *store = fresh_store();
        const char *path = write_file(cases[i].file, HEAD "sd-1/lora/x: {path: x}\n");
        json_t *report = import(store, YAML, path, 0,
                                cases[i].option != NULL ? in_folder(cases[i].option) : NULL);
        mmgr_record *record = NULL;

        assert_ok(mmgr_store_get_by_name(store, "x", NULL, NULL, &record));
        assert_string_equal(mmgr_record_text(record, MMGR_FIELD_PATH), in_folder(cases[i].wanted));
        mmgr_record_unref(record);
        json_decref(report);
        assert_ok(mmgr_store_close(store));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, import_setup, import_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(entries_become_records),  TEST(formats_are_worked_out),
        TEST(bad_entries_are_skipped), TEST(versions),
        TEST(hostile_files),           TEST(a_file_that_is_too_large),
        TEST(where_paths_lead),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
