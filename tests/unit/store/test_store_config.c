/* SPDX-License-Identifier: MIT */
/* Opening by the app's config: each case of model_config_db, and what goes before it. */
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"

static mmgr_config *config_with(const char *field, const char *value)
{
    mmgr_config *config = config_at(folder);

    if (field != NULL)
        assert_ok(mmgr_config_set(config, field, value));
    return config;
}

/* The store of a config; its file is the one below the root. */
static void opens(mmgr_config *config, const char *expected, const char *version)
{
    struct mmgr_store_options options = {.struct_size = sizeof options, .config = config};
    mmgr_store *store = NULL;

    assert_int_equal(access(expected, F_OK), -1);
    assert_ok(mmgr_store_open(&options, &store));
    assert_string_equal(mmgr_store_version(store), version);
    add_record(store, "k", "N", "sd-1", "p", "");
    assert_ok(mmgr_store_close(store));
    assert_int_equal(access(expected, F_OK), 0);
    mmgr_config_unref(config);
}

static void every_case(void **state)
{
    char path[8192];
    mmgr_config *config;

    opens(config_with(NULL, NULL), in_folder("databases/modelmgr.db"), "2");
    unlink(in_folder("databases/modelmgr.db"));
    opens(config_with("model_config_db", "auto"), in_folder("databases/modelmgr.db"), "2");
    opens(config_with("model_config_db", "my/own.db"), in_folder("my/own.db"), "2");
    opens(config_with("model_config_db", "my/own.yaml"), in_folder("my/own.yaml"), "1");
    opens(config_with("model_config_db", "my/short.yml"), in_folder("my/short.yml"), "1");
    opens(config_with("model_config_db", "UPPER.YAML"), in_folder("UPPER.YAML"), "1");
    snprintf(path, sizeof path, "%s/abs/olute.db", folder);
    opens(config_with("model_config_db", path), path, "2");
    opens(config_with("model_config_db", "none"), in_folder("configs/models.yaml"), "1");
    config = config_with("model_config_db", "none");
    assert_ok(mmgr_config_set(config, "conf_path", "else/where.yaml"));
    opens(config, in_folder("else/where.yaml"), "1");
    config = config_with("model_config_db", "none");
    assert_ok(mmgr_config_set(config, "conf_path", "else/where.db"));
    opens(config, in_folder("else/where.db"), "2");
}

static void refused(void **state)
{
    struct mmgr_store_options options = {.struct_size = sizeof options};
    mmgr_store *store = NULL;
    FILE *file;

    options.config = config_with("model_config_db", "models.txt");
    assert_error(mmgr_store_open(&options, &store), MMGR_ERR_UNSUPPORTED, "models.txt", NULL, NULL);
    mmgr_config_unref(options.config);
    /* A URI may hold a password. */
    options.config = config_with("model_config_db", "postgresql://user:secret@host/db");
    assert_error(mmgr_store_open(&options, &store), MMGR_ERR_UNSUPPORTED, "URI", NULL, NULL);
    assert_null(strstr(mmgr_error_message(mmgr_last_error()), "secret"));
    mmgr_config_unref(options.config);
    /* The legacy file of the application that came before us is not taken for ours, nor touched. */
    mkdir(in_folder("configs"), 0700);
    file = fopen(in_folder("configs/models.yaml"), "w");
    fputs("__metadata__:\n  version: 3.0.0\nsd-1/main/x:\n  path: x\n", file);
    fclose(file);
    options.config = config_with("model_config_db", "none");
    assert_error(mmgr_store_open(&options, &store), MMGR_ERR_STORE_INCOMPATIBLE, "can be imported",
                 NULL, NULL);
    mmgr_config_unref(options.config);
    assert_null(store);
}

/* A path in the options, or a connection, goes before the config, whose folders still count. */
static void stronger_than_the_config(void **state)
{
    mmgr_config *config = config_with("model_config_db", "never.db");
    struct mmgr_store_options options = {
        .struct_size = sizeof options, .config = config, .path = in_folder("given.db")};
    mmgr_store *store = NULL;
    mmgr_record *record = NULL;
    sqlite3 *db;

    assert_ok(mmgr_store_open(&options, &store));
    assert_ok(mmgr_store_close(store));
    assert_int_equal(access(in_folder("given.db"), F_OK), 0);
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    options.path = NULL;
    options.sqlite = db;
    options.sqlite_source_id = sqlite3_sourceid();
    assert_ok(mmgr_store_open(&options, &store));
    add_record(store, "k", "N", "sd-1", "sd-1/x", "");
    assert_ok(mmgr_store_get(store, "k", &record));
    assert_string_equal(mmgr_record_location(record), in_folder("models/sd-1/x"));
    mmgr_record_unref(record);
    assert_ok(mmgr_store_close(store));
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(access(in_folder("never.db"), F_OK), -1);
    mmgr_config_unref(config);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(every_case), TEST(refused),
                                       TEST(stronger_than_the_config)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
