/* SPDX-License-Identifier: MIT */
/* The app config: sources and their order, values that are refused, the hub client's variables, tokens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include <modelmgr/log.h>

#include "base/alloc.h"
#include "base/config.h"
#include "base/error.h"

static char folder[256]; /* root of the test, removed at its end */

static void write_text(const char *name, const char *text, mode_t mode)
{
    char path[512];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    chmod(path, mode);
}

static const char *const variables[] = {
    "MODELMGR_ROOT",
    "MODELMGR_MODELS_DIR",
    "MODELMGR_MAX_CACHE_RAM",
    "MODELMGR_ALLOW_UNKNOWN",
    "MODELMGR_TOKENS",
    "MODELMGR_PRECISION",
    "MODELMGR_HF_OFFLINE",
    "MODELMGR_MODEL_CONFIG_DB",
    "HF_ENDPOINT",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "HF_TOKEN_PATH",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN",
    "CURL_CA_BUNDLE",
    "SSL_CERT_FILE",
    "XDG_DATA_HOME",
    "XDG_CACHE_HOME",
    "CIVITAI_API_KEY",
    "CIVITAI_TOKEN",
    "MMGR_TEST_PART",
};

static int setup(void **state)
{
    strcpy(folder, "/tmp/mmgr-config-XXXXXX");
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
        unsetenv(variables[i]);
    return mkdtemp(folder) && setenv("HOME", folder, 1) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    static const char *const names[] = {
        "modelmgr.yaml",      "other.yaml", "token", ".cache/huggingface/token",
        ".cache/huggingface", ".cache"};
    char path[512];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        remove(path);
    }
    return rmdir(folder);
}

static mmgr_config *open_config(uint32_t flags)
{
    struct mmgr_config_options options = {
        .struct_size = sizeof(options), .flags = flags, .root = folder};
    mmgr_config *config = NULL;

    if (mmgr_config_new(&options, &config) != MMGR_OK)
        fail_msg("%s", mmgr_error_message(mmgr_last_error()));
    return config;
}

static void expect(const mmgr_config *config, const char *field, const char *value,
                   const char *origin)
{
    const char *found = mmgr_config_get(config, field);
    char full[512];

    /* "$/x" stands for a path below the test's folder. */
    if (value && value[0] == '$') {
        snprintf(full, sizeof(full), "%s%s", folder, value + 1);
        value = full;
    }
    if (value ? !found || strcmp(found, value) != 0 : found != NULL)
        fail_msg("%s is %s, not %s", field, found ? found : "unset", value ? value : "unset");
    if (strcmp(mmgr_config_origin(config, field), origin) != 0)
        fail_msg("%s comes from %s, not %s", field, mmgr_config_origin(config, field), origin);
}

static void defaults(void **state)
{
    static const char *const rows[][2] = {
        {"models_dir", "$/models"},
        {"model_config_db", "auto"},
        {"conf_path", "$/configs/models.yaml"},
        {"rules_folder", NULL},
        {"max_cache_ram", "0"},
        {"max_cache_vram", "0"},
        {"max_convert_cache", "20 GB"},
        {"precision", "auto"},
        {"device", "auto"},
        {"max_parallel_downloads", "5"},
        {"allow_unknown", "false"},
        {"allow_private_hosts", NULL},
        {"tokens", NULL},
        {"hf_endpoint", "https://huggingface.co"},
        {"hf_offline", "false"},
        {"hf_home", "$/.cache/huggingface"},
        {"hf_hub_cache", "$/.cache/huggingface/hub"},
        {"civitai_endpoint", "https://civitai.com"},
        {"ca_file", NULL},
    };
    mmgr_config *config = open_config(0);
    int64_t number = 0;

    expect(config, "root", folder, "setter");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect(config, rows[i][0], rows[i][1], "default");
    assert_int_equal(mmgr_config_get_number(config, "max_convert_cache", &number), MMGR_OK);
    assert_int_equal(number, 20000000000);
    assert_int_equal(mmgr_config_get_number(config, "max_parallel_downloads", &number), MMGR_OK);
    assert_int_equal(number, 5);
    assert_int_equal(mmgr_config_get_number(config, "root", &number), MMGR_ERR_ARGUMENT);
    assert_int_equal(mmgr_config_get_number(config, "nothing", &number), MMGR_ERR_ARGUMENT);
    assert_null(mmgr_config_get(config, "nothing"));
    assert_null(mmgr_config_origin(config, "nothing"));
    assert_null(mmgr_config_field_name(1000));
    assert_false(mmgr__config_offline(config));
    assert_null(mmgr__config_hf_token(config));
    mmgr_config_unref(config);
}

static void order_of_sources(void **state)
{
    mmgr_config *config;
    const char *lent;

    write_text("modelmgr.yaml",
               "models_dir: from_file\nmax_cache_ram: 1 GiB\nprecision: float16\n"
               "allow_private_hosts: [Nas.local, 10.0.0.7]\nrules_folder: ~/rules\n",
               0600);
    setenv("MODELMGR_MAX_CACHE_RAM", "2 GiB", 1);
    setenv("MODELMGR_PRECISION", "", 1);
    config = open_config(0);
    expect(config, "models_dir", "$/from_file", "file");
    expect(config, "max_cache_ram", "2 GiB", "environment");
    expect(config, "precision", "float16", "file");
    expect(config, "allow_private_hosts", "nas.local,10.0.0.7", "file");
    expect(config, "rules_folder", "$/rules", "file");
    lent = mmgr_config_get(config, "max_cache_ram");
    assert_int_equal(mmgr_config_set(config, "max_cache_ram", "3 GiB"), MMGR_OK);
    expect(config, "max_cache_ram", "3 GiB", "setter");
    assert_string_equal(lent, "2 GiB");
    assert_int_equal(mmgr_config_set(config, "max_cache_ram", NULL), MMGR_OK);
    expect(config, "max_cache_ram", "2 GiB", "environment");
    assert_int_equal(mmgr_config_set(config, "root", "/elsewhere"), MMGR_OK);
    expect(config, "models_dir", "/elsewhere/from_file", "file");
    mmgr_config_unref(config);

    config = open_config(MMGR_CONFIG_NO_ENVIRONMENT);
    expect(config, "max_cache_ram", "1 GiB", "file");
    mmgr_config_unref(config);
    config = open_config(MMGR_CONFIG_NO_FILE);
    expect(config, "models_dir", "$/models", "default");
    mmgr_config_unref(config);
}

static void root_folder(void **state)
{
    static const struct {
        const char *variable, *value, *root;
    } rows[] = {
        {NULL, NULL, "$/.local/share/modelmgr"},
        {"XDG_DATA_HOME", "relative/is/ignored", "$/.local/share/modelmgr"},
        {"XDG_DATA_HOME", "/data", "/data/modelmgr"},
        {"MODELMGR_ROOT", "/my/root/", "/my/root"},
        {"MODELMGR_ROOT", "~/root", "$/root"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        mmgr_config *config = NULL;

        if (rows[i].variable)
            setenv(rows[i].variable, rows[i].value, 1);
        assert_int_equal(mmgr_config_new(NULL, &config), MMGR_OK);
        expect(config, "root", rows[i].root, mmgr_config_origin(config, "root"));
        mmgr_config_unref(config);
    }
}

static void bad_files(void **state)
{
    static const struct {
        const char *text, *place, *field;
    } rows[] = {
        {"root: /x\nmodel_dir: y\n", ":2:1:", "model_dir"},
        {"max_cache_ram: lots\n", ":1:16:", "max_cache_ram"},
        {"precision: float8\n", ":1:12:", "precision"},
        {"\n\nallow_unknown: maybe\n", ":3:16:", "allow_unknown"},
        {"max_parallel_downloads: 0\n", ":1:25:", "max_parallel_downloads"},
        {"max_parallel_downloads: -1\n", ":1:25:", "max_parallel_downloads"},
        {"hf_endpoint: hub.corp\n", ":1:14:", "hf_endpoint"},
        {"hf_endpoint: https://u:p@hub.corp\n", ":1:14:", "hf_endpoint"},
        {"models_dir: [a]\n", ":1:13:", "models_dir"},
        {"models_dir: ''\n", ":1:13:", "models_dir"},
        {"allow_private_hosts: ['*.corp']\n", ":1:22:", "allow_private_hosts"},
        {"allow_private_hosts: 'http://nas'\n", ":1:22:", "allow_private_hosts"},
        {"allow_private_hosts: [[a]]\n", ":1:22:", "allow_private_hosts"},
        {"tokens: hf_secret\n", ":1:9:", "tokens"},
        {"tokens:\n  'huggingface.co': hf_secret\n", ":2:3:", "tokens"},
        {"tokens:\n  '^https://huggingface.co': hf_secret\n", ":2:3:", "tokens"},
        {"tokens:\n  'https://.*\\.co': hf_secret\n", ":2:3:", "tokens"},
        {"tokens:\n  'https://a': [hf_secret]\n", ":2:16:", "tokens"},
        {"tokens:\n  'https://a': \"hf_sec ret\"\n", ":2:3:", "tokens"},
        {"[a, b]\n", ":1:1:", "(file)"},
        {"a: {\n", ":", NULL},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct mmgr_config_options options = {.struct_size = sizeof(options), .root = folder};
        mmgr_config *config = (mmgr_config *)1;
        const char *message;

        write_text("modelmgr.yaml", rows[i].text, 0600);
        if (mmgr_config_new(&options, &config) != MMGR_ERR_INVALID_CONFIG)
            fail_msg("accepted: %s", rows[i].text);
        assert_ptr_equal(config, (mmgr_config *)1);
        message = mmgr_error_message(mmgr_last_error());
        if (!strstr(message, "modelmgr.yaml") || !strstr(message, rows[i].place) ||
            strstr(message, "hf_sec"))
            fail_msg("%s\ngave: %s", rows[i].text, message);
        if (rows[i].field)
            assert_string_equal(mmgr_error_field(mmgr_last_error()), rows[i].field);
        assert_int_equal(mmgr__alloc_live(), 0);
    }
}

static void named_file(void **state)
{
    struct mmgr_config_options options = {.struct_size = sizeof(options), .root = folder};
    char path[512];
    mmgr_config *config = NULL;

    snprintf(path, sizeof(path), "%s/other.yaml", folder);
    options.file = path;
    assert_int_equal(mmgr_config_new(&options, &config), MMGR_ERR_PATH_NOT_FOUND);
    assert_string_equal(mmgr_error_subject(mmgr_last_error()), path);
    write_text("other.yaml", "# nothing but this\n", 0600);
    assert_int_equal(mmgr_config_new(&options, &config), MMGR_OK);
    mmgr_config_unref(config);
    write_text("other.yaml", "device: cuda:1\nprecision: null\n", 0600);
    assert_int_equal(mmgr_config_new(&options, &config), MMGR_OK);
    expect(config, "device", "cuda:1", "file");
    expect(config, "precision", "auto", "default");
    mmgr_config_unref(config);
    options.flags = 64;
    assert_int_equal(mmgr_config_new(&options, &config), MMGR_ERR_ARGUMENT);
}

static void bad_variables(void **state)
{
    static const char *const rows[][2] = {
        {"MODELMGR_MAX_CACHE_RAM", "4 XB"},   {"MODELMGR_ALLOW_UNKNOWN", "perhaps"},
        {"HF_ENDPOINT", "hub.corp"},          {"MODELMGR_TOKENS", "https://a"},
        {"MODELMGR_TOKENS", "a.b=hf_secret"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        mmgr_config *config = NULL;

        setenv(rows[i][0], rows[i][1], 1);
        assert_int_equal(mmgr_config_new(NULL, &config), MMGR_ERR_INVALID_CONFIG);
        assert_string_equal(mmgr_error_field(mmgr_last_error()), rows[i][0]);
        assert_null(strstr(mmgr_error_message(mmgr_last_error()), "hf_secret"));
        unsetenv(rows[i][0]);
    }
}

static void hub_variables(void **state)
{
    static const struct {
        const char *set[2][2];
        const char *field, *value, *origin;
    } rows[] = {
        {{{"HF_ENDPOINT", "https://mirror.corp:8443/hf/"}},
         "hf_endpoint",
         "https://mirror.corp:8443/hf",
         "environment"},
        {{{"HF_HUB_OFFLINE", "1"}}, "hf_offline", "true", "environment"},
        {{{"HF_HUB_OFFLINE", "yes"}}, "hf_offline", "true", "environment"},
        {{{"HF_HUB_OFFLINE", "On"}}, "hf_offline", "true", "environment"},
        {{{"HF_HUB_OFFLINE", "2"}}, "hf_offline", "false", "environment"},
        {{{"HF_HUB_OFFLINE", "whatever"}}, "hf_offline", "false", "environment"},
        {{{"TRANSFORMERS_OFFLINE", "TRUE"}}, "hf_offline", "true", "environment"},
        {{{"HF_HUB_OFFLINE", "0"}, {"TRANSFORMERS_OFFLINE", "1"}},
         "hf_offline",
         "false",
         "environment"},
        {{{"HF_HUB_OFFLINE", ""}, {"TRANSFORMERS_OFFLINE", "1"}},
         "hf_offline",
         "true",
         "environment"},
        {{{"HF_HUB_OFFLINE", "1"}, {"MODELMGR_HF_OFFLINE", "false"}},
         "hf_offline",
         "false",
         "environment"},
        {{{"HF_HOME", "~/hf"}}, "hf_home", "$/hf", "environment"},
        {{{"HF_HOME", "~/hf"}}, "hf_hub_cache", "$/hf/hub", "default"},
        {{{"HF_HOME", "/base/${MMGR_TEST_PART}/$MMGR_TEST_PART/$MMGR_NOT_SET"},
          {"MMGR_TEST_PART", "p"}},
         "hf_home",
         "/base/p/p/$MMGR_NOT_SET",
         "environment"},
        {{{"XDG_CACHE_HOME", "/xdg"}}, "hf_home", "/xdg/huggingface", "default"},
        {{{"HUGGINGFACE_HUB_CACHE", "/old"}}, "hf_hub_cache", "/old", "environment"},
        {{{"HUGGINGFACE_HUB_CACHE", "/old"}, {"HF_HUB_CACHE", "/new"}},
         "hf_hub_cache",
         "/new",
         "environment"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        mmgr_config *config;

        for (int v = 0; v < 2 && rows[i].set[v][0]; v++)
            setenv(rows[i].set[v][0], rows[i].set[v][1], 1);
        config = open_config(0);
        expect(config, rows[i].field, rows[i].value, rows[i].origin);
        mmgr_config_unref(config);
        for (int v = 0; v < 2 && rows[i].set[v][0]; v++)
            unsetenv(rows[i].set[v][0]);
    }
}

static char logged[1024];

static void on_log(enum mmgr_log_level level, const char *component, const char *message,
                   void *user)
{
    snprintf(logged, sizeof(logged), "%d %s %s", (int)level, component, message);
}

static void hub_token(void **state)
{
    static const struct {
        const char *set[2][2];
        const char *token, *source;
    } rows[] = {
        {{{NULL}}, "hf_file", "the file "},
        {{{"HF_TOKEN", " hf_env\r\n"}}, "hf_env", "the environment variable HF_TOKEN"},
        {{{"HUGGING_FACE_HUB_TOKEN", "hf_old"}},
         "hf_old",
         "the environment variable HUGGING_FACE_HUB_TOKEN"},
        {{{"HF_TOKEN", "hf_env"}, {"HUGGING_FACE_HUB_TOKEN", "hf_old"}},
         "hf_env",
         "the environment variable HF_TOKEN"},
        {{{"HF_TOKEN", "  "}}, "hf_file", "the file "},
        {{{"HF_TOKEN", "hf_env"}, {"HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"}}, NULL, NULL},
        {{{"HF_HUB_DISABLE_IMPLICIT_TOKEN", "0"}}, "hf_file", "the file "},
        {{{"HF_TOKEN_PATH", "/nowhere/token"}}, NULL, NULL},
        {{{"HF_HOME", "/nowhere"}}, NULL, NULL},
    };
    char path[512];
    int named;

    snprintf(path, sizeof(path), "%s/.cache", folder);
    mkdir(path, 0700);
    strcat(path, "/huggingface");
    mkdir(path, 0700);
    write_text(".cache/huggingface/token", "\n hf_file \r\n", 0600);
    mmgr_set_log(MMGR_LOG_WARNING, on_log, NULL);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        mmgr_config *config;
        const char *token;

        for (int v = 0; v < 2 && rows[i].set[v][0]; v++)
            setenv(rows[i].set[v][0], rows[i].set[v][1], 1);
        config = open_config(0);
        token = mmgr__config_hf_token(config);
        if (rows[i].token ? !token || strcmp(token, rows[i].token) : token != NULL)
            fail_msg("row %zu: %s", i, token ? token : "none");
        if (rows[i].source)
            assert_non_null(strstr(mmgr__config_hf_token_source(config), rows[i].source));
        /* It is bound to the endpoint, and to nothing else. */
        token =
            mmgr__config_token(config, "https", "huggingface.co", 443, "/api/models/a/b", &named);
        assert_int_equal(token != NULL, rows[i].token != NULL);
        assert_null(mmgr__config_token(config, "https", "huggingface.co", 444, "/a", &named));
        assert_null(mmgr__config_token(config, "https", "cdn.huggingface.co", 443, "/a", &named));
        assert_null(mmgr__config_token(config, "http", "huggingface.co", 80, "/a", &named));
        mmgr_config_unref(config);
        for (int v = 0; v < 2 && rows[i].set[v][0]; v++)
            unsetenv(rows[i].set[v][0]);
    }
    assert_string_equal(logged, "");
    write_text(".cache/huggingface/token", "hf_file", 0644);
    mmgr_config_unref(open_config(0));
    assert_non_null(strstr(logged, "can be read by other users"));
    assert_null(strstr(logged, "hf_file"));
    mmgr_set_log(MMGR_LOG_OFF, NULL, NULL);
    assert_null(
        mmgr__config_hf_token((mmgr_config *)(*state = open_config(MMGR_CONFIG_NO_ENVIRONMENT))));
    mmgr_config_unref(*state);
}

static void bound_tokens(void **state)
{
    static const char *const bad[] = {
        "",           "huggingface.co",  "huggingface", "https://",
        "ftp://h",    "https://h?x=1",   "https://h#x", "https://u:p@h",
        "^https://h", "https://h/.*",    "https://h$",  "https://(a|b)",
        ".*",         "https://h/a\\.b", "https://*.h",
    };
    mmgr_config *config;
    char *json = NULL;
    json_t *root;
    int named = 0;

    write_text("modelmgr.yaml",
               "tokens:\n  https://filehost: hf_from_file\n  https://both: hf_weak\n", 0600);
    setenv("MODELMGR_TOKENS", "https://envhost/x=hf_from_env, https://both=hf_middle", 1);
    setenv("CIVITAI_API_KEY", "civ_key", 1);
    config = open_config(0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (mmgr_config_add_token(config, bad[i], "hf_secret") != MMGR_ERR_ARGUMENT)
            fail_msg("accepted: %s", bad[i]);
    assert_int_equal(mmgr_config_add_token(config, "https://h", "two words"), MMGR_ERR_ARGUMENT);
    assert_int_equal(mmgr_config_add_token(config, "https://h", "line\nbreak"), MMGR_ERR_ARGUMENT);
    assert_null(strstr(mmgr_error_message(mmgr_last_error()), "break"));
    assert_string_equal(mmgr_config_origin(config, "tokens"), "environment");
    assert_string_equal(mmgr__config_token(config, "https", "both", 443, "/", &named), "hf_middle");
    assert_int_equal(mmgr_config_add_token(config, "https://both", "hf_strong"), MMGR_OK);
    assert_string_equal(mmgr__config_token(config, "https", "both", 443, "/", &named), "hf_strong");
    assert_int_equal(mmgr_config_add_token(config, "https://both", NULL), MMGR_OK);
    assert_string_equal(mmgr__config_token(config, "https", "both", 443, "/", &named), "hf_middle");
    assert_string_equal(mmgr__config_token(config, "https", "filehost", 443, "/any", &named),
                        "hf_from_file");
    assert_string_equal(mmgr__config_token(config, "https", "envhost", 443, "/x/y", &named),
                        "hf_from_env");
    assert_null(mmgr__config_token(config, "https", "envhost", 443, "/xy", &named));
    assert_string_equal(mmgr__config_token(config, "https", "civitai.com", 443, "/api", &named),
                        "civ_key");
    assert_int_equal(named, 0);
    assert_int_equal(mmgr_config_set(config, "tokens", "x"), MMGR_ERR_INVALID_CONFIG);
    assert_null(mmgr_config_get(config, "tokens"));
    assert_int_equal(mmgr_config_to_json(config, &json), MMGR_OK);
    assert_null(strstr(json, "hf_"
                             "from"));
    assert_null(strstr(json, "civ_key"));
    root = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    assert_int_equal(json_object_size(root), 20);
    assert_int_equal(json_array_size(json_object_get(json_object_get(root, "tokens"), "value")), 4);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(root, "max_convert_cache"), "value")),
        20000000000);
    json_decref(root);
    mmgr_string_free(json);
    mmgr_config_unref(config);
    assert_int_equal(mmgr__alloc_live(), 0);
}

static void named_hosts(void **state)
{
    mmgr_config *config;

    setenv("HF_ENDPOINT", "http://mirror.corp", 1);
    setenv("MODELMGR_TOKENS", "https://tok.corp=hf_x", 1);
    config = open_config(0);
    int named = 0;

    assert_int_equal(
        mmgr_config_set(config, "allow_private_hosts", " Nas.local, [FD00::1] ,10.0.0.7"), MMGR_OK);
    assert_true(mmgr__config_names_host(config, "mirror.corp"));
    assert_true(mmgr__config_names_host(config, "tok.corp"));
    assert_true(mmgr__config_names_host(config, "nas.local"));
    assert_true(mmgr__config_names_host(config, "fd00::1"));
    assert_true(mmgr__config_names_host(config, "10.0.0.7"));
    assert_false(mmgr__config_names_host(config, "10.0.0.70"));
    assert_false(mmgr__config_names_host(config, "0.0.7"));
    assert_false(mmgr__config_names_host(config, "local"));
    assert_false(mmgr__config_names_host(config, ""));
    assert_false(mmgr__config_names_host(config, "civitai.com"));
    mmgr__config_token(config, "http", "mirror.corp", 80, "/", &named);
    assert_int_equal(named, 1);
    mmgr__config_token(config, "http", "tok.corp", 80, "/", &named);
    assert_int_equal(named, 0);
    mmgr_config_unref(config);
}

static void read_only(void **state)
{
    mmgr_config *config = open_config(0);

    mmgr__config_freeze(config);
    assert_int_equal(mmgr_config_set(config, "device", "cpu"), MMGR_ERR_STATE);
    assert_int_equal(mmgr_config_add_token(config, "https://h", "t"), MMGR_ERR_STATE);
    expect(config, "device", "auto", "default");
    assert_ptr_equal(mmgr_config_ref(config), config);
    mmgr_config_unref(config);
    mmgr_config_unref(config);
    mmgr_config_unref(NULL);
    assert_int_equal(mmgr__alloc_live(), 0);
}

static void store_path(void **state)
{
    static const char *const rows[][2] = {{"auto", "$/databases/modelmgr.db"},
                                          {"none", "$/configs/models.yaml"},
                                          {"x.db", "$/x.db"},
                                          {"/abs/y.yaml", "/abs/y.yaml"}};

    for (size_t i = 0; i < 4; i++) {
        mmgr_config *config = open_config(0);
        char full[512];
        char *path;

        assert_int_equal(mmgr_config_set(config, "model_config_db", rows[i][0]), MMGR_OK);
        snprintf(full, sizeof(full), "%s%s", rows[i][1][0] == '$' ? folder : "",
                 rows[i][1] + (rows[i][1][0] == '$'));
        path = mmgr__config_store_path(config);
        assert_string_equal(path, full);
        mmgr__free(path);
        mmgr_config_unref(config);
    }
}

/* The table of docs/config.md and the fields of the library name the same things in the same order. */
static void documented(void **state)
{
    const char *source_root = getenv("MMGR_SOURCE_ROOT");
    char path[1024], line[1024], name[64];
    uint32_t index = 0;
    FILE *file;

    assert_non_null(source_root);
    snprintf(path, sizeof(path), "%s/docs/config.md", source_root);
    file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) {
        if (sscanf(line, "| `%63[a-z_]` |", name) != 1)
            continue;
        assert_non_null(mmgr_config_field_name(index));
        assert_string_equal(name, mmgr_config_field_name(index));
        index++;
    }
    fclose(file);
    assert_null(mmgr_config_field_name(index));
    assert_true(index > 0);
}

static void no_memory(void **state)
{
    struct mmgr_config_options options = {.struct_size = sizeof(options), .root = folder};

    write_text("modelmgr.yaml", "models_dir: m\ntokens:\n  https://a: b\n", 0600);
    setenv("HF_TOKEN", "hf_x", 1);
    for (uint64_t n = 1; n < 1000; n++) {
        mmgr_config *config = NULL;
        enum mmgr_result result;

        mmgr__alloc_fail_at(n, 0);
        result = mmgr_config_new(&options, &config);
        mmgr__alloc_fail_at(0, 0);
        if (result != MMGR_OK && result != MMGR_ERR_NO_MEMORY)
            fail_msg("allocation %d: %s", (int)n, mmgr_error_message(mmgr_last_error()));
        mmgr_config_unref(config);
        assert_int_equal(mmgr__alloc_live(), 0);
        if (result == MMGR_OK)
            return;
        assert_true(n < 999);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(defaults),     CASE(order_of_sources), CASE(root_folder),   CASE(bad_files),
        CASE(named_file),   CASE(bad_variables),    CASE(hub_variables), CASE(hub_token),
        CASE(bound_tokens), CASE(named_hosts),      CASE(read_only),     CASE(store_path),
        CASE(documented),   CASE(no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
