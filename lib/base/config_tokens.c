/* SPDX-License-Identifier: MIT */
/* Access tokens: bound to an origin and a path prefix, or found where the hub's own client looks for them. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/alloc.h"
#include "base/config.h"
#include "base/config_table.h"
#include "base/io.h"
#include "base/log.h"
#include "base/path.h"

static void clear_token(char *token)
{
    if (token)
        explicit_bzero(token, strlen(token));
    mmgr__free(token);
}

static void clear_binding(struct config_token *binding)
{
    mmgr__url_free(&binding->url);
    mmgr__free(binding->prefix);
    clear_token(binding->token);
    memset(binding, 0, sizeof(*binding));
}

void mmgr__config_tokens_free(mmgr_config *config)
{
    for (size_t i = 0; i < config->token_count; i++)
        clear_binding(&config->tokens[i]);
    mmgr__free(config->tokens);
    clear_token(config->hf_token);
    clear_token(config->civitai_token);
    mmgr__free(config->hf_token_source);
}

static enum mmgr_result bad_prefix(const char *prefix)
{
    mmgr__fail(
        MMGR_ERR_ARGUMENT,
        "\"%.200s\" is no token prefix: scheme://host[:port][/path] is expected, patterns are not "
        "accepted",
        prefix);
    mmgr__error_set_field("tokens");
    return MMGR_ERR_ARGUMENT;
}

/* Parse a prefix; its path loses a trailing slash. */
static enum mmgr_result parse_prefix(const char *prefix, struct config_token *binding)
{
    enum mmgr_result result;
    size_t length;

    if (strpbrk(prefix, "^*$()|?#\\<>{}"))
        return bad_prefix(prefix);
    result = mmgr__url_parse(prefix, &binding->url);
    if (result != MMGR_OK)
        return result == MMGR_ERR_NO_MEMORY ? result : bad_prefix(prefix);
    length = strlen(binding->url.path);
    while (length > 1 && binding->url.path[length - 1] == '/')
        binding->url.path[--length] = '\0';
    binding->prefix = mmgr__url_origin(&binding->url);
    if (binding->prefix && length > 1) {
        char *origin = binding->prefix;

        binding->prefix = mmgr__printf("%s%s", origin, binding->url.path);
        mmgr__free(origin);
    }
    return binding->prefix ? MMGR_OK : mmgr__oom();
}

static int token_is_clean(const char *token)
{
    const unsigned char *p = (const unsigned char *)token;

    while (*p > 0x20 && *p < 0x7f)
        p++;
    return *token && *p == '\0';
}

static size_t find_binding(const mmgr_config *config, const char *prefix, enum config_origin origin)
{
    size_t i = 0;

    while (i < config->token_count &&
           (config->tokens[i].origin != origin || strcmp(config->tokens[i].prefix, prefix) != 0))
        i++;
    return i;
}

enum mmgr_result mmgr__config_bind_token(mmgr_config *config, const char *prefix, const char *token,
                                         enum config_origin origin)
{
    struct config_token made = {.origin = origin};
    enum mmgr_result result;
    size_t at;

    if (token && !token_is_clean(token)) {
        /* The token itself must not be shown. */
        mmgr__fail(MMGR_ERR_ARGUMENT, "the token for \"%.200s\" is empty or holds blanks", prefix);
        mmgr__error_set_field("tokens");
        return MMGR_ERR_ARGUMENT;
    }
    result = parse_prefix(prefix, &made);
    if (result == MMGR_OK && token) {
        made.token = mmgr__strdup(token);
        if (!made.token || !mmgr__grow((void **)&config->tokens, &config->token_capacity,
                                       config->token_count + 1, sizeof(made)))
            result = mmgr__oom();
    }
    if (result != MMGR_OK) {
        clear_binding(&made);
        return result;
    }
    at = find_binding(config, made.prefix, origin);
    if (at < config->token_count) {
        clear_binding(&config->tokens[at]);
        config->tokens[at] = config->tokens[--config->token_count];
    }
    if (token)
        config->tokens[config->token_count++] = made;
    else
        clear_binding(&made);
    return MMGR_OK;
}

/* Whether path is prefix itself or below it. */
static int path_below(const char *path, const char *prefix)
{
    size_t length = strlen(prefix);

    while (length > 0 && prefix[length - 1] == '/')
        length--;
    return strncmp(path, prefix, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

static int same_place(const struct mmgr__url *url, const char *scheme, const char *host,
                      uint16_t port, const char *path)
{
    return url->host && strcmp(url->scheme, scheme) == 0 && strcmp(url->host, host) == 0 &&
           url->port == port && path_below(path, url->path);
}

static int names_http(const struct mmgr__url *url, const char *host)
{
    return url->host && strcmp(url->scheme, "http") == 0 && strcmp(url->host, host) == 0;
}

const char *mmgr__config_token(const mmgr_config *config, const char *scheme, const char *host,
                               uint16_t port, const char *path, int *http_named)
{
    const struct config_token *best = NULL;

    *http_named = names_http(&config->hf_url, host) || names_http(&config->civitai_url, host);
    for (size_t i = 0; i < config->token_count; i++) {
        const struct config_token *binding = &config->tokens[i];

        *http_named |= names_http(&binding->url, host);
        if (!same_place(&binding->url, scheme, host, port, path))
            continue;
        if (!best || strlen(binding->url.path) > strlen(best->url.path) ||
            (strcmp(binding->url.path, best->url.path) == 0 && binding->origin > best->origin))
            best = binding;
    }
    if (best)
        return best->token;
    if (mmgr__config_hf_token(config) && same_place(&config->hf_url, scheme, host, port, path))
        return config->hf_token;
    if (config->civitai_token && same_place(&config->civitai_url, scheme, host, port, path))
        return config->civitai_token;
    return NULL;
}

int mmgr__config_names_host(const mmgr_config *config, const char *host)
{
    const char *list = config->value[CONFIG_ALLOW_PRIVATE_HOSTS];
    size_t length = strlen(host);

    /* The built-in endpoints are public ones and need no exception. */
    if ((config->origin[CONFIG_HF_ENDPOINT] != CONFIG_DEFAULT &&
         strcmp(config->hf_url.host, host) == 0) ||
        (config->origin[CONFIG_CIVITAI_ENDPOINT] != CONFIG_DEFAULT &&
         strcmp(config->civitai_url.host, host) == 0))
        return 1;
    for (size_t i = 0; i < config->token_count; i++)
        if (strcmp(config->tokens[i].url.host, host) == 0)
            return 1;
    while (list && *list) {
        size_t item = strcspn(list, ",");

        if (item == length && strncmp(list, host, length) == 0)
            return 1;
        list += item + (list[item] == ',');
    }
    return 0;
}

/* The hub client's rule for token texts: no line breaks, no blanks around. NULL when nothing is left, or
 * when what is left cannot stand in a header. */
static char *clean_token(const char *text)
{
    struct mmgr__buf buf = {0};
    char *token;
    size_t length;

    for (; *text; text++)
        if (*text != '\r' && *text != '\n' && !(buf.length == 0 && (*text == ' ' || *text == '\t')))
            mmgr__buf_append(&buf, text, 1);
    token = mmgr__buf_take(&buf);
    length = token ? strlen(token) : 0;
    while (length > 0 && (token[length - 1] == ' ' || token[length - 1] == '\t'))
        token[--length] = '\0';
    if (token && !token_is_clean(token)) {
        clear_token(token);
        token = NULL;
    }
    return token;
}

static enum mmgr_result read_token_file(mmgr_config *config, const char *path)
{
    struct stat st;
    char *data = NULL;
    size_t length = 0;
    int status = mmgr__io_read_file(AT_FDCWD, path, 16384, &data, &length);

    if (status == -ENOMEM)
        return mmgr__oom();
    if (status < 0)
        return MMGR_OK; /* as the hub's client: no file, no token */
    config->hf_token = clean_token(data);
    clear_token(data);
    if (!config->hf_token)
        return MMGR_OK;
    if (mmgr__io_stat(AT_FDCWD, path, &st, 1) == 0 && (st.st_mode & 077))
        mmgr__log(MMGR_LOG_WARNING, "config", "the token file %s can be read by other users", path);
    config->hf_token_source = mmgr__printf("the file %s", path);
    return config->hf_token_source ? MMGR_OK : mmgr__oom();
}

static enum mmgr_result read_hf_token(mmgr_config *config)
{
    static const char *const variables[] = {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"};
    const char *path = mmgr__config_getenv(config, "HF_TOKEN_PATH");
    const char *disabled = mmgr__config_getenv(config, "HF_HUB_DISABLE_IMPLICIT_TOKEN");
    enum mmgr_result result;
    char *file;

    if (disabled && mmgr__config_hub_true(disabled))
        return MMGR_OK;
    for (int i = 0; i < 2; i++) {
        const char *value = mmgr__config_getenv(config, variables[i]);

        if (!value)
            continue;
        config->hf_token = clean_token(value);
        if (config->hf_token) {
            config->hf_token_source = mmgr__printf("the environment variable %s", variables[i]);
            return config->hf_token_source ? MMGR_OK : mmgr__oom();
        }
        break; /* as the hub's client: the first variable that is set decides */
    }
    if (!path && !config->value[CONFIG_HF_HOME])
        return MMGR_OK;
    file = path ? mmgr__config_expand(config, path)
                : mmgr__path_join(config->value[CONFIG_HF_HOME], "token");
    if (!file)
        return mmgr__oom();
    result = read_token_file(config, file);
    mmgr__free(file);
    return result;
}

enum mmgr_result mmgr__config_read_hub_tokens(mmgr_config *config)
{
    static const char *const variables[] = {"CIVITAI_API_KEY", "CIVITAI_TOKEN"};

    clear_token(config->hf_token);
    clear_token(config->civitai_token);
    mmgr__free(config->hf_token_source);
    config->hf_token = config->civitai_token = config->hf_token_source = NULL;
    if (config->flags & MMGR_CONFIG_NO_ENVIRONMENT)
        return MMGR_OK;
    for (int i = 0; i < 2 && !config->civitai_token; i++) {
        const char *value = mmgr__config_getenv(config, variables[i]);

        config->civitai_token = value ? clean_token(value) : NULL;
    }
    return read_hf_token(config);
}

const char *mmgr__config_hf_token(const mmgr_config *config)
{
    return atomic_load(&config->hf_token_refused) ? NULL : config->hf_token;
}

void mmgr__config_refuse_hf_token(const mmgr_config *config)
{
    atomic_store(&((mmgr_config *)config)->hf_token_refused, 1);
}

const char *mmgr__config_hf_token_source(const mmgr_config *config)
{
    return config->hf_token_source;
}
