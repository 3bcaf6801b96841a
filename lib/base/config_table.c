/* SPDX-License-Identifier: MIT */
/* The table of config fields and the rules for their values. docs/config.md lists the same fields; a test
 * compares the two. */
#include "base/config_table.h"

#include <string.h>
#include <strings.h>

#include "base/alloc.h"

const struct config_field mmgr__config_fields[CONFIG_FIELDS] = {
    [CONFIG_ROOT] = {"root", CONFIG_KIND_PATH, NULL, NULL, {NULL}},
    [CONFIG_MODELS_DIR] = {"models_dir", CONFIG_KIND_PATH, "models", NULL, {NULL}},
    [CONFIG_MODEL_CONFIG_DB] = {"model_config_db", CONFIG_KIND_DATABASE, "auto", NULL, {NULL}},
    [CONFIG_CONF_PATH] = {"conf_path", CONFIG_KIND_PATH, "configs/models.yaml", NULL, {NULL}},
    [CONFIG_RULES_FOLDER] = {"rules_folder", CONFIG_KIND_PATH, NULL, NULL, {NULL}},
    [CONFIG_MAX_CACHE_RAM] = {"max_cache_ram", CONFIG_KIND_SIZE, "0", NULL, {NULL}},
    [CONFIG_MAX_CACHE_VRAM] = {"max_cache_vram", CONFIG_KIND_SIZE, "0", NULL, {NULL}},
    [CONFIG_MAX_CONVERT_CACHE] = {"max_convert_cache", CONFIG_KIND_SIZE, "20 GB", NULL, {NULL}},
    [CONFIG_PRECISION] =
        {"precision", CONFIG_KIND_CHOICE, "auto", " auto float32 float16 bfloat16 ", {NULL}},
    [CONFIG_DEVICE] = {"device", CONFIG_KIND_WORD, "auto", NULL, {NULL}},
    [CONFIG_MAX_PARALLEL_DOWNLOADS] =
        {"max_parallel_downloads", CONFIG_KIND_COUNT, "5", NULL, {NULL}},
    [CONFIG_ALLOW_UNKNOWN] = {"allow_unknown", CONFIG_KIND_BOOL, "false", NULL, {NULL}},
    [CONFIG_ALLOW_PRIVATE_HOSTS] = {"allow_private_hosts", CONFIG_KIND_HOSTS, NULL, NULL, {NULL}},
    [CONFIG_TOKENS] = {"tokens", CONFIG_KIND_TOKENS, NULL, NULL, {NULL}},
    [CONFIG_HF_ENDPOINT] =
        {"hf_endpoint", CONFIG_KIND_URL, "https://huggingface.co", NULL, {"HF_ENDPOINT"}},
    [CONFIG_HF_OFFLINE] =
        {"hf_offline", CONFIG_KIND_BOOL, "false", NULL, {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}},
    [CONFIG_HF_HOME] = {"hf_home", CONFIG_KIND_PATH, NULL, NULL, {"HF_HOME"}},
    [CONFIG_HF_HUB_CACHE] =
        {"hf_hub_cache", CONFIG_KIND_PATH, NULL, NULL, {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}},
    [CONFIG_CIVITAI_ENDPOINT] =
        {"civitai_endpoint", CONFIG_KIND_URL, "https://civitai.com", NULL, {NULL}},
    [CONFIG_CA_FILE] = {"ca_file", CONFIG_KIND_PATH, NULL, NULL, {"CURL_CA_BUNDLE", "SSL_CERT_FILE"}},
};

int mmgr__config_field_find(const char *name)
{
    for (int i = 0; name && i < CONFIG_FIELDS; i++)
        if (strcmp(mmgr__config_fields[i].name, name) == 0)
            return i;
    return -1;
}

static char *normal_bool(const char *value, const char **why)
{
    static const char *const words[][2] = {{"true", "true"}, {"yes", "true"},    {"on", "true"},
                                           {"1", "true"},    {"false", "false"}, {"no", "false"},
                                           {"off", "false"}, {"0", "false"}};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcasecmp(value, words[i][0]) == 0)
            return mmgr__strdup(words[i][1]);
    *why = "it is neither true nor false";
    return NULL;
}

static char *normal_choice(const struct config_field *field, const char *value, const char **why)
{
    char word[32] = " ";
    size_t length = strlen(value);

    if (length > 0 && length < sizeof(word) - 3 && !strchr(value, ' ')) {
        memcpy(word + 1, value, length);
        word[1 + length] = ' ';
        if (strstr(field->choices, word))
            return mmgr__strdup(value);
    }
    *why = "it is none of the values that the field may have";
    return NULL;
}

static char *normal_word(const char *value, const char **why)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-:.";

    if (*value && value[strspn(value, allowed)] == '\0')
        return mmgr__strdup(value);
    *why = "it holds other characters than letters, digits and _-:.";
    return NULL;
}

/* "a, B ,[::1]" becomes "a,b,::1". */
static char *normal_hosts(const char *value, const char **why)
{
    struct mmgr__buf buf = {0};

    while (*value) {
        size_t length = strcspn(value, ", \t");
        size_t skip = length;

        if (length > 2 && value[0] == '[' && value[length - 1] == ']') {
            value++;
            length -= 2;
            skip -= 1;
        }
        for (size_t i = 0; i < length; i++) {
            char c = value[i];

            if (c >= 'A' && c <= 'Z')
                c = (char)(c | 0x20);
            if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strchr("-._:", c))) {
                *why = "a host name or an address is expected, without scheme, port or wildcard";
                mmgr__buf_free(&buf);
                return NULL;
            }
            if (i == 0 && buf.length > 0)
                mmgr__buf_puts(&buf, ",");
            mmgr__buf_append(&buf, &c, 1);
        }
        value += skip;
        value += strspn(value, ", \t");
    }
    return mmgr__buf_take(&buf);
}

static char *normal_url(const char *value, const char **why)
{
    struct mmgr__url url;
    char *text = NULL;
    enum mmgr_result result = mmgr__url_parse(value, &url);

    if (result == MMGR_ERR_NO_MEMORY)
        return NULL;
    if (result != MMGR_OK || url.query) {
        *why = "it is not a URL of the form https://host[:port][/path]";
    } else {
        size_t length = strlen(url.text);

        while (length > 0 && url.text[length - 1] == '/')
            length--;
        text = mmgr__strndup(url.text, length);
    }
    if (result == MMGR_OK)
        mmgr__url_free(&url);
    return text;
}

char *mmgr__config_normal(const struct config_field *field, const char *value, const char **why)
{
    uint64_t number;

    *why = NULL;
    if (strlen(value) > 8192 || !mmgr__utf8_valid(value, strlen(value))) {
        *why = "it is too long or not UTF-8";
        return NULL;
    }
    switch (field->kind) {
    case CONFIG_KIND_PATH:
    case CONFIG_KIND_DATABASE:
        *why = *value ? NULL : "it is empty";
        return *value ? mmgr__strdup(value) : NULL;
    case CONFIG_KIND_SIZE:
        if (mmgr__parse_size(value, &number) && number <= INT64_MAX)
            return mmgr__strdup(value);
        *why = "it is not a size such as 4 GiB";
        return NULL;
    case CONFIG_KIND_COUNT:
        if (mmgr__parse_u64(value, &number) && number >= 1 && number <= 1000)
            return mmgr__strdup(value);
        *why = "it is not a number from 1 to 1000";
        return NULL;
    case CONFIG_KIND_BOOL:
        return normal_bool(value, why);
    case CONFIG_KIND_CHOICE:
        return normal_choice(field, value, why);
    case CONFIG_KIND_WORD:
        return normal_word(value, why);
    case CONFIG_KIND_HOSTS:
        return normal_hosts(value, why);
    case CONFIG_KIND_URL:
        return normal_url(value, why);
    case CONFIG_KIND_TOKENS:
        break;
    }
    *why = "tokens are set one prefix at a time";
    return NULL;
}
