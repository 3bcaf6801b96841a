/* SPDX-License-Identifier: MIT */
/* The app config: puts the sources of each field in order and answers what is in force. */
#include "base/config.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/config_table.h"
#include "base/options.h"
#include "base/path.h"

static const char *const origin_names[] = {"default", "file", "environment", "setter"};

/* Lend a text for the life of the config: equal texts are kept once. NULL = no memory. */
static const char *intern(mmgr_config *config, const char *text)
{
    for (size_t i = 0; i < config->pool.count; i++)
        if (strcmp(config->pool.items[i], text) == 0)
            return config->pool.items[i];
    return mmgr__strings_add(&config->pool, text) ? config->pool.items[config->pool.count - 1]
                                                  : NULL;
}

static enum mmgr_result find_home(mmgr_config *config)
{
    const char *home = mmgr__config_getenv(config, "HOME");
    struct passwd entry;
    struct passwd *found = NULL;
    char buffer[4096];

    if (!home && getpwuid_r(geteuid(), &entry, buffer, sizeof(buffer), &found) == 0 && found)
        home = found->pw_dir;
    if (!home || home[0] != '/')
        return MMGR_OK;
    config->home = mmgr__strdup(home);
    return config->home ? MMGR_OK : mmgr__oom();
}

/* "<$variable or ~/folder>/name". Owned; NULL = no memory, or no home (*failed = 0). */
static char *base_folder(const mmgr_config *config, const char *variable, const char *folder,
                         const char *name, int *failed)
{
    const char *base = mmgr__config_getenv(config, variable);
    char *path = NULL;

    *failed = 0;
    if (base && base[0] == '/')
        path = mmgr__path_join(base, name);
    else if (config->home)
        path = mmgr__printf("%s/%s/%s", config->home, folder, name);
    else
        return NULL;
    *failed = path == NULL;
    return path;
}

/* The built-in value of a field, where it is not a constant. */
static enum mmgr_result built_in(mmgr_config *config, int id, char **text)
{
    const char *fallback = mmgr__config_fields[id].fallback;
    int failed = 0;

    *text = NULL;
    if (id == CONFIG_ROOT)
        *text = base_folder(config, "XDG_DATA_HOME", ".local/share", "modelmgr", &failed);
    else if (id == CONFIG_HF_HOME)
        *text = base_folder(config, "XDG_CACHE_HOME", ".cache", "huggingface", &failed);
    else if (id == CONFIG_HF_HUB_CACHE && config->value[CONFIG_HF_HOME])
        failed = !(*text = mmgr__path_join(config->value[CONFIG_HF_HOME], "hub"));
    else if (fallback)
        failed = !(*text = mmgr__strdup(fallback));
    return failed ? mmgr__oom() : MMGR_OK;
}

/* Make a path absolute: the root against the working folder, all others against the root. */
static char *absolute(const mmgr_config *config, int id, const char *path)
{
    char *expanded = NULL;
    char *joined = NULL;
    char *result;

    if (path[0] == '~' && config->home && (path[1] == '/' || path[1] == '\0'))
        expanded = mmgr__printf("%s%s", config->home, path + 1);
    else
        expanded = mmgr__strdup(path);
    if (expanded && expanded[0] != '/' && expanded[0] != '~' && id != CONFIG_ROOT)
        joined = mmgr__path_join(config->value[CONFIG_ROOT], expanded);
    result = expanded ? mmgr__path_absolute(joined ? joined : expanded) : NULL;
    mmgr__free(expanded);
    mmgr__free(joined);
    return result;
}

static int is_path(int id, const char *text)
{
    enum config_kind kind = mmgr__config_fields[id].kind;

    return kind == CONFIG_KIND_PATH ||
           (kind == CONFIG_KIND_DATABASE && strcmp(text, "auto") != 0 && strcmp(text, "none") != 0);
}

/* Work out the value in force of one field. */
static enum mmgr_result settle_field(mmgr_config *config, int id)
{
    int origin = CONFIG_SETTER;
    char *made = NULL;
    const char *text;

    while (origin > CONFIG_DEFAULT && !config->given[id][origin])
        origin--;
    if (origin == CONFIG_DEFAULT && built_in(config, id, &made) != MMGR_OK)
        return MMGR_ERR_NO_MEMORY;
    text = origin == CONFIG_DEFAULT ? made : config->given[id][origin];
    if (text && is_path(id, text)) {
        char *path = absolute(config, id, text);

        mmgr__free(made);
        made = path;
        text = path;
        if (!path)
            return mmgr__oom();
    }
    config->origin[id] = (enum config_origin)origin;
    config->value[id] = text ? intern(config, text) : NULL;
    mmgr__free(made);
    return text && !config->value[id] ? mmgr__oom() : MMGR_OK;
}

static enum mmgr_result settle_url(const char *text, struct mmgr__url *url)
{
    struct mmgr__url made;
    enum mmgr_result result = mmgr__url_parse(text, &made);

    if (result != MMGR_OK)
        return result;
    mmgr__url_free(url);
    *url = made;
    return MMGR_OK;
}

static enum mmgr_result settle(mmgr_config *config)
{
    enum mmgr_result result = MMGR_OK;

    for (int id = 0; id < CONFIG_FIELDS && result == MMGR_OK; id++) {
        if (mmgr__config_fields[id].kind != CONFIG_KIND_TOKENS)
            result = settle_field(config, id);
        if (result == MMGR_OK && id == CONFIG_ROOT && !config->value[id]) {
            result =
                mmgr__fail(MMGR_ERR_INVALID_CONFIG, "root is not set, and there is no home folder");
            mmgr__error_set_field("root");
        }
    }
    if (result == MMGR_OK)
        result = settle_url(config->value[CONFIG_HF_ENDPOINT], &config->hf_url);
    if (result == MMGR_OK)
        result = settle_url(config->value[CONFIG_CIVITAI_ENDPOINT], &config->civitai_url);
    if (result == MMGR_OK)
        result = mmgr__config_read_hub_tokens(config);
    return result;
}

/* Read the sources from the strongest to the weakest: the file's place depends on the root. */
static enum mmgr_result read_sources(mmgr_config *config, const struct mmgr_config_options *options)
{
    enum mmgr_result result = find_home(config);
    char *file;

    if (result == MMGR_OK && options->root) {
        const char *why;

        config->given[CONFIG_ROOT][CONFIG_SETTER] =
            mmgr__config_normal(&mmgr__config_fields[CONFIG_ROOT], options->root, &why);
        if (!config->given[CONFIG_ROOT][CONFIG_SETTER])
            return why ? mmgr__bad_argument("root") : mmgr__oom();
    }
    if (result == MMGR_OK)
        result = mmgr__config_read_environment(config);
    if (result == MMGR_OK)
        result = settle_field(config, CONFIG_ROOT);
    if (result != MMGR_OK || (config->flags & MMGR_CONFIG_NO_FILE))
        return result;
    if (options->file)
        return mmgr__config_read_file(config, options->file, 1);
    if (!config->value[CONFIG_ROOT])
        return MMGR_OK;
    file = mmgr__path_join(config->value[CONFIG_ROOT], "modelmgr.yaml");
    result = file ? mmgr__config_read_file(config, file, 0) : mmgr__oom();
    mmgr__free(file);
    return result;
}

enum mmgr_result mmgr_config_new(const struct mmgr_config_options *options, mmgr_config **config)
{
    struct mmgr_config_options local;
    mmgr_config *made;
    enum mmgr_result result;

    if (!config)
        return mmgr__bad_argument("config");
    result = MMGR__IMPORT(local, options, file);
    if (result != MMGR_OK)
        return result;
    if (local.flags & ~(MMGR_CONFIG_NO_ENVIRONMENT | MMGR_CONFIG_NO_FILE))
        return mmgr__bad_argument("flags");
    made = mmgr__alloc0(1, sizeof(*made));
    if (!made)
        return mmgr__oom();
    mmgr__refs_init(&made->refs);
    made->flags = local.flags;
    result = read_sources(made, &local);
    if (result == MMGR_OK)
        result = settle(made);
    if (result != MMGR_OK) {
        mmgr_config_unref(made);
        return result;
    }
    *config = made;
    return MMGR_OK;
}

mmgr_config *mmgr_config_ref(mmgr_config *config)
{
    if (config)
        mmgr__refs_take(&config->refs);
    return config;
}

void mmgr_config_unref(mmgr_config *config)
{
    if (!config || !mmgr__refs_drop(&config->refs))
        return;
    for (int id = 0; id < CONFIG_FIELDS; id++)
        for (int origin = 0; origin < 4; origin++)
            mmgr__free(config->given[id][origin]);
    mmgr__config_tokens_free(config);
    mmgr__strings_free(&config->pool);
    mmgr__url_free(&config->hf_url);
    mmgr__url_free(&config->civitai_url);
    mmgr__free(config->home);
    mmgr__free(config);
}

void mmgr__config_freeze(mmgr_config *config)
{
    atomic_store(&config->frozen, 1);
}

static enum mmgr_result check_writable(mmgr_config *config)
{
    if (!atomic_load(&config->frozen))
        return MMGR_OK;
    return mmgr__fail(MMGR_ERR_STATE, "the config is read-only since a service uses it");
}

enum mmgr_result mmgr_config_set(mmgr_config *config, const char *field, const char *value)
{
    int id = mmgr__config_field_find(field);
    enum mmgr_result result;
    const char *why = NULL;
    char *normal = NULL;
    char *old;

    if (!config || !field)
        return mmgr__bad_argument(config ? "field" : "config");
    result = check_writable(config);
    if (result != MMGR_OK)
        return result;
    if (id < 0)
        why = "there is no such field";
    else if (value)
        normal = mmgr__config_normal(&mmgr__config_fields[id], value, &why);
    if (why) {
        mmgr__fail(MMGR_ERR_INVALID_CONFIG, "%.100s: %s", field, why);
        mmgr__error_set_field(field);
        return MMGR_ERR_INVALID_CONFIG;
    }
    if (value && !normal)
        return mmgr__oom();
    old = config->given[id][CONFIG_SETTER];
    config->given[id][CONFIG_SETTER] = normal;
    result = settle(config);
    if (result != MMGR_OK) {
        config->given[id][CONFIG_SETTER] = old;
        old = normal;
    }
    mmgr__free(old);
    return result;
}

const char *mmgr_config_get(const mmgr_config *config, const char *field)
{
    int id = mmgr__config_field_find(field);

    return config && id >= 0 ? config->value[id] : NULL;
}

enum mmgr_result mmgr_config_get_number(const mmgr_config *config, const char *field,
                                        int64_t *value)
{
    int id = mmgr__config_field_find(field);
    enum config_kind kind;
    uint64_t number = 0;

    if (!config || !value)
        return mmgr__bad_argument(config ? "value" : "config");
    kind = id >= 0 ? mmgr__config_fields[id].kind : CONFIG_KIND_WORD;
    if (kind == CONFIG_KIND_SIZE
            ? !mmgr__parse_size(config->value[id], &number)
            : kind != CONFIG_KIND_COUNT || !mmgr__parse_u64(config->value[id], &number))
        return mmgr__bad_argument("field");
    *value = (int64_t)number;
    return MMGR_OK;
}

const char *mmgr_config_origin(const mmgr_config *config, const char *field)
{
    int id = mmgr__config_field_find(field);
    enum config_origin origin = CONFIG_DEFAULT;

    if (!config || id < 0)
        return NULL;
    if (id != CONFIG_TOKENS)
        return origin_names[config->origin[id]];
    for (size_t i = 0; i < config->token_count; i++)
        if (config->tokens[i].origin > origin)
            origin = config->tokens[i].origin;
    return origin_names[origin];
}

const char *mmgr_config_field_name(uint32_t index)
{
    return index < CONFIG_FIELDS ? mmgr__config_fields[index].name : NULL;
}

enum mmgr_result mmgr_config_add_token(mmgr_config *config, const char *prefix, const char *token)
{
    enum mmgr_result result;

    if (!config || !prefix)
        return mmgr__bad_argument(config ? "prefix" : "config");
    result = check_writable(config);
    return result == MMGR_OK ? mmgr__config_bind_token(config, prefix, token, CONFIG_SETTER)
                             : result;
}

/* A list of texts separated by commas as a JSON array. */
static void json_list(struct mmgr__buf *buf, const char *list)
{
    mmgr__buf_puts(buf, "[");
    while (list && *list) {
        size_t length = strcspn(list, ",");
        char *item = mmgr__strndup(list, length);

        if (!item) {
            buf->failed = 1;
            return;
        }
        mmgr__buf_json_string(buf, item);
        mmgr__free(item);
        list += length;
        if (*list)
            mmgr__buf_puts(buf, ",");
        list += *list != '\0';
    }
    mmgr__buf_puts(buf, "]");
}

static void json_value(struct mmgr__buf *buf, const mmgr_config *config, int id)
{
    int64_t number;

    switch (mmgr__config_fields[id].kind) {
    case CONFIG_KIND_SIZE:
    case CONFIG_KIND_COUNT:
        if (mmgr_config_get_number(config, mmgr__config_fields[id].name, &number) == MMGR_OK)
            mmgr__buf_printf(buf, "%lld", (long long)number);
        return;
    case CONFIG_KIND_BOOL:
        mmgr__buf_puts(buf, config->value[id]);
        return;
    case CONFIG_KIND_HOSTS:
        json_list(buf, config->value[id]);
        return;
    case CONFIG_KIND_TOKENS:
        mmgr__buf_puts(buf, "[");
        for (size_t i = 0; i < config->token_count; i++) {
            mmgr__buf_puts(buf, i ? "," : "");
            mmgr__buf_json_string(buf, config->tokens[i].prefix);
        }
        mmgr__buf_puts(buf, "]");
        return;
    default:
        mmgr__buf_json_string(buf, config->value[id]);
    }
}

enum mmgr_result mmgr_config_to_json(const mmgr_config *config, char **json)
{
    struct mmgr__buf buf = {0};
    char *text;

    if (!config || !json)
        return mmgr__bad_argument(config ? "json" : "config");
    mmgr__buf_puts(&buf, "{");
    for (int id = 0; id < CONFIG_FIELDS; id++) {
        mmgr__buf_printf(&buf, "%s\"%s\":{\"value\":", id ? "," : "", mmgr__config_fields[id].name);
        json_value(&buf, config, id);
        mmgr__buf_printf(&buf, ",\"origin\":\"%s\"}",
                         mmgr_config_origin(config, mmgr__config_fields[id].name));
    }
    mmgr__buf_puts(&buf, "}");
    text = mmgr__buf_take(&buf);
    if (!text)
        return mmgr__oom();
    *json = text;
    return MMGR_OK;
}

int mmgr__config_offline(const mmgr_config *config)
{
    return strcmp(config->value[CONFIG_HF_OFFLINE], "true") == 0;
}

const char *mmgr__config_hf_endpoint(const mmgr_config *config)
{
    return config->value[CONFIG_HF_ENDPOINT];
}

char *mmgr__config_store_path(const mmgr_config *config)
{
    const char *database = config->value[CONFIG_MODEL_CONFIG_DB];

    if (strcmp(database, "auto") == 0)
        return mmgr__path_join(config->value[CONFIG_ROOT], "databases/modelmgr.db");
    return mmgr__strdup(strcmp(database, "none") == 0 ? config->value[CONFIG_CONF_PATH] : database);
}
