/* SPDX-License-Identifier: MIT */
/* The weaker sources of config values: the environment and the YAML file. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/config_table.h"
#include "base/io.h"
#include "base/log.h"
#include "base/yaml.h"

#define FILE_MAX (1024 * 1024)

const char *mmgr__config_getenv(const mmgr_config *config, const char *name)
{
    const char *value = config->flags & MMGR_CONFIG_NO_ENVIRONMENT ? NULL : getenv(name);

    return value && *value ? value : NULL;
}

int mmgr__config_hub_true(const char *value)
{
    return strcasecmp(value, "1") == 0 || strcasecmp(value, "on") == 0 ||
           strcasecmp(value, "yes") == 0 || strcasecmp(value, "true") == 0;
}

/* Append the value of the variable that text (behind the dollar) names; returns what was read of text. A
 * variable that is not set stays as it is written. */
static size_t expand_variable(struct mmgr__buf *buf, const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    int braced = *text == '{';
    const char *name = text + braced;
    size_t length = braced ? strcspn(name, "}") : strspn(name, letters);
    size_t used = length + (braced ? 2 : 0);
    char copy[256];
    const char *value;

    if (length == 0 || length >= sizeof(copy) || (braced && name[length] != '}')) {
        mmgr__buf_puts(buf, "$");
        return 0;
    }
    memcpy(copy, name, length);
    copy[length] = '\0';
    value = getenv(copy);
    if (value) {
        mmgr__buf_puts(buf, value);
    } else {
        mmgr__buf_puts(buf, "$");
        mmgr__buf_append(buf, text, used);
    }
    return used;
}

char *mmgr__config_expand(const mmgr_config *config, const char *path)
{
    struct mmgr__buf buf = {0};

    if (config->home && path[0] == '~' && (path[1] == '/' || path[1] == '\0')) {
        mmgr__buf_puts(&buf, config->home);
        path++;
    }
    while (*path) {
        size_t plain = strcspn(path, "$");

        mmgr__buf_append(&buf, path, plain);
        path += plain;
        if (*path == '$')
            path += 1 + expand_variable(&buf, path + 1);
    }
    return mmgr__buf_take(&buf);
}

static enum mmgr_result bad_variable(const char *variable, const char *why)
{
    mmgr__fail(MMGR_ERR_INVALID_CONFIG, "environment variable %s: %s", variable, why);
    mmgr__error_set_field(variable);
    return MMGR_ERR_INVALID_CONFIG;
}

/* A variable of the hub's own client: its boolean and path rules hold. */
static enum mmgr_result take_hub_variable(mmgr_config *config, int id, const char *variable,
                                          const char *value)
{
    const struct config_field *field = &mmgr__config_fields[id];
    const char *why = NULL;
    char *normal;

    if (field->kind == CONFIG_KIND_BOOL)
        normal = mmgr__strdup(mmgr__config_hub_true(value) ? "true" : "false");
    else if (field->kind == CONFIG_KIND_PATH)
        normal = mmgr__config_expand(config, value);
    else
        normal = mmgr__config_normal(field, value, &why);
    if (!normal)
        return why ? bad_variable(variable, why) : mmgr__oom();
    config->given[id][CONFIG_ENVIRONMENT] = normal;
    return MMGR_OK;
}

/* MODELMGR_TOKENS: "prefix=token" separated by commas or blanks. */
static enum mmgr_result take_tokens_variable(mmgr_config *config, const char *variable,
                                             const char *value)
{
    enum mmgr_result result = MMGR_OK;

    while (*value && result == MMGR_OK) {
        size_t length = strcspn(value, ", \t\n");
        char *item = mmgr__strndup(value, length);
        char *equals = item ? strchr(item, '=') : NULL;

        if (!item)
            return mmgr__oom();
        if (length > 0 && !equals) {
            result = bad_variable(variable, "prefix=token is expected");
        } else if (length > 0) {
            *equals = '\0';
            result = mmgr__config_bind_token(config, item, equals + 1, CONFIG_ENVIRONMENT);
            if (result == MMGR_ERR_ARGUMENT)
                result = bad_variable(variable, mmgr_error_message(mmgr_last_error()));
        }
        explicit_bzero(item, length);
        mmgr__free(item);
        value += length + (value[length] != '\0');
    }
    return result;
}

static enum mmgr_result take_field(mmgr_config *config, int id)
{
    const struct config_field *field = &mmgr__config_fields[id];
    char variable[64] = "MODELMGR_";
    const char *value;
    const char *why;

    for (size_t i = 0, at = strlen(variable); field->name[i]; i++) {
        char c = field->name[i];

        variable[at + i] = (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
        variable[at + i + 1] = '\0';
    }
    value = mmgr__config_getenv(config, variable);
    if (value && field->kind == CONFIG_KIND_TOKENS)
        return take_tokens_variable(config, variable, value);
    if (value) {
        config->given[id][CONFIG_ENVIRONMENT] = mmgr__config_normal(field, value, &why);
        if (config->given[id][CONFIG_ENVIRONMENT])
            return MMGR_OK;
        return why ? bad_variable(variable, why) : mmgr__oom();
    }
    for (int i = 0; i < 2 && field->hub_environment[i]; i++) {
        value = mmgr__config_getenv(config, field->hub_environment[i]);
        if (value)
            return take_hub_variable(config, id, field->hub_environment[i], value);
    }
    return MMGR_OK;
}

enum mmgr_result mmgr__config_read_environment(mmgr_config *config)
{
    enum mmgr_result result = MMGR_OK;

    for (int id = 0; id < CONFIG_FIELDS && result == MMGR_OK; id++)
        result = take_field(config, id);
    return result;
}

static enum mmgr_result bad_node(const char *name, const struct mmgr__yaml *node, const char *field,
                                 const char *why)
{
    mmgr__fail(MMGR_ERR_INVALID_CONFIG, "%s:%u:%u: %s: %s", name, node->line, node->column, field,
               why);
    mmgr__error_set_field(field);
    mmgr__error_set_subject(name);
    return MMGR_ERR_INVALID_CONFIG;
}

static int is_null(const struct mmgr__yaml *node)
{
    return node->kind == MMGR__YAML_SCALAR && !node->quoted &&
           (!*node->text || strcmp(node->text, "~") == 0 || strcasecmp(node->text, "null") == 0);
}

static enum mmgr_result take_tokens_node(mmgr_config *config, const char *name,
                                         const struct mmgr__yaml *map)
{
    if (map->kind != MMGR__YAML_MAP)
        return bad_node(name, map, "tokens", "a map of prefixes and tokens is expected");
    for (size_t i = 0; i < map->count; i++) {
        const struct mmgr__yaml *item = map->items[i];
        enum mmgr_result result;

        if (item->kind != MMGR__YAML_SCALAR || is_null(item))
            return bad_node(name, item, "tokens", "a token is expected");
        result = mmgr__config_bind_token(config, map->keys[i]->text, item->text, CONFIG_FILE);
        if (result == MMGR_ERR_ARGUMENT) {
            char why[512];

            strncpy(why, mmgr_error_message(mmgr_last_error()), sizeof(why) - 1);
            why[sizeof(why) - 1] = '\0';
            return bad_node(name, map->keys[i], "tokens", why);
        }
        if (result != MMGR_OK)
            return result;
    }
    return MMGR_OK;
}

/* A list of scalars as the comma-separated text that the field has elsewhere. */
static char *join_list(const struct mmgr__yaml *list)
{
    struct mmgr__buf buf = {0};

    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i]->kind != MMGR__YAML_SCALAR) {
            mmgr__buf_free(&buf);
            return NULL;
        }
        mmgr__buf_puts(&buf, i ? "," : "");
        mmgr__buf_puts(&buf, list->items[i]->text);
    }
    return mmgr__buf_take(&buf);
}

static enum mmgr_result take_node(mmgr_config *config, const char *name,
                                  const struct mmgr__yaml *key, const struct mmgr__yaml *node)
{
    int id = mmgr__config_field_find(key->text);
    const struct config_field *field;
    const char *why = NULL;
    char *text;

    if (id < 0)
        return bad_node(name, key, key->text, "there is no such field");
    field = &mmgr__config_fields[id];
    if (is_null(node))
        return MMGR_OK;
    if (field->kind == CONFIG_KIND_TOKENS)
        return take_tokens_node(config, name, node);
    if (node->kind == MMGR__YAML_LIST && field->kind == CONFIG_KIND_HOSTS)
        text = join_list(node);
    else if (node->kind == MMGR__YAML_SCALAR)
        text = mmgr__strdup(node->text);
    else
        return bad_node(name, node, field->name, "a single value is expected");
    if (!text)
        return node->kind == MMGR__YAML_LIST
                   ? bad_node(name, node, field->name, "a list of names is expected")
                   : mmgr__oom();
    config->given[id][CONFIG_FILE] = mmgr__config_normal(field, text, &why);
    mmgr__free(text);
    if (config->given[id][CONFIG_FILE])
        return MMGR_OK;
    return why ? bad_node(name, node, field->name, why) : mmgr__oom();
}

static enum mmgr_result take_root(mmgr_config *config, const char *name,
                                  const struct mmgr__yaml *root)
{
    enum mmgr_result result = MMGR_OK;

    if (is_null(root))
        return MMGR_OK;
    if (root->kind != MMGR__YAML_MAP)
        return bad_node(name, root, "(file)", "a map of fields is expected");
    for (size_t i = 0; i < root->count && result == MMGR_OK; i++)
        result = take_node(config, name, root->keys[i], root->items[i]);
    return result;
}

enum mmgr_result mmgr__config_read_file(mmgr_config *config, const char *path, int required)
{
    struct mmgr__yaml *root = NULL;
    struct stat st;
    char *data = NULL;
    size_t length = 0;
    enum mmgr_result result;
    int status = mmgr__io_read_file(AT_FDCWD, path, FILE_MAX, &data, &length);

    if (status == -ENOENT && !required)
        return MMGR_OK;
    if (status == -EFBIG) {
        mmgr__fail(MMGR_ERR_INVALID_CONFIG, "%s: the file is larger than 1 MiB", path);
        mmgr__error_set_subject(path);
        return MMGR_ERR_INVALID_CONFIG;
    }
    if (status < 0)
        return mmgr__fail_errno(-status, "read", path);
    result = mmgr__yaml_parse(data, length, MMGR_ERR_INVALID_CONFIG, path, &root);
    explicit_bzero(data, length);
    mmgr__free(data);
    if (result != MMGR_OK)
        return result;
    if (root)
        result = take_root(config, path, root);
    mmgr__yaml_free(root);
    if (result == MMGR_OK && config->token_count > 0 &&
        mmgr__io_stat(AT_FDCWD, path, &st, 1) == 0 && (st.st_mode & 077))
        mmgr__log(MMGR_LOG_WARNING, "config", "%s holds tokens and can be read by other users",
                  path);
    return result;
}
