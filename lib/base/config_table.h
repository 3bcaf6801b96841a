/* SPDX-License-Identifier: MIT */
/* The table of config fields, and the inside of a config; for the config's own files. */
#ifndef BASE_CONFIG_TABLE_H
#define BASE_CONFIG_TABLE_H

#include <modelmgr/config.h>

#include "base/http.h"
#include "base/text.h"
#include "base/thread.h"

enum config_field_id {
    CONFIG_ROOT,
    CONFIG_MODELS_DIR,
    CONFIG_MODEL_CONFIG_DB,
    CONFIG_CONF_PATH,
    CONFIG_RULES_FOLDER,
    CONFIG_MAX_CACHE_RAM,
    CONFIG_MAX_CACHE_VRAM,
    CONFIG_MAX_CONVERT_CACHE,
    CONFIG_PRECISION,
    CONFIG_DEVICE,
    CONFIG_MAX_PARALLEL_DOWNLOADS,
    CONFIG_ALLOW_UNKNOWN,
    CONFIG_ALLOW_PRIVATE_HOSTS,
    CONFIG_TOKENS,
    CONFIG_HF_ENDPOINT,
    CONFIG_HF_OFFLINE,
    CONFIG_HF_HOME,
    CONFIG_HF_HUB_CACHE,
    CONFIG_CIVITAI_ENDPOINT,
    CONFIG_CA_FILE,
    CONFIG_FIELDS
};

enum config_kind {
    CONFIG_KIND_PATH,     /* relative to the root; the root itself to the working folder */
    CONFIG_KIND_DATABASE, /* "auto", "none" or a path */
    CONFIG_KIND_SIZE,
    CONFIG_KIND_COUNT, /* 1 … 1000 */
    CONFIG_KIND_BOOL,
    CONFIG_KIND_CHOICE,
    CONFIG_KIND_WORD,  /* letters, digits and "_-:." */
    CONFIG_KIND_HOSTS, /* list of host names and addresses */
    CONFIG_KIND_URL,   /* origin with an optional path, kept without a trailing slash */
    CONFIG_KIND_TOKENS /* map of prefixes and tokens */
};

enum config_origin { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_ENVIRONMENT, CONFIG_SETTER };

struct config_field {
    const char *name;
    enum config_kind kind;
    const char *fallback;           /* NULL: unset, or worked out (root, hf_home, hf_hub_cache) */
    const char *choices;            /* of a CHOICE: " a b c " */
    const char *hub_environment[2]; /* variables of the hub's own client, read by its rules */
};

extern const struct config_field mmgr__config_fields[CONFIG_FIELDS];

/* Index of a field, or -1. */
int mmgr__config_field_find(const char *name);
/* Normal form of a value (owned), or NULL with *why set (NULL when memory ran out). */
char *mmgr__config_normal(const struct config_field *field, const char *value, const char **why);

struct config_token {
    struct mmgr__url url; /* the prefix */
    char *prefix;         /* as text, without a trailing slash */
    char *token;
    enum config_origin origin;
};

struct mmgr_config {
    mmgr__refs refs;
    atomic_int frozen;
    uint32_t flags;
    char *home;                       /* the user's home folder, or NULL */
    char *given[CONFIG_FIELDS][4];    /* by origin; [0] unused */
    const char *value[CONFIG_FIELDS]; /* in force; in the pool */
    enum config_origin origin[CONFIG_FIELDS];
    struct mmgr__strings pool; /* every text ever lent: it outlives changes */
    struct config_token *tokens;
    size_t token_count, token_capacity;
    struct mmgr__url hf_url, civitai_url; /* the endpoints in force */
    char *hf_token, *hf_token_source, *civitai_token;
    atomic_int hf_token_refused;
};

/* Tokens. Sets a binding of one origin; token NULL removes it. ARGUMENT names the prefix. */
enum mmgr_result mmgr__config_bind_token(mmgr_config *config, const char *prefix, const char *token,
                                         enum config_origin origin);
void mmgr__config_tokens_free(mmgr_config *config);
/* Tokens of the hubs' own clients: environment, then the token file. */
enum mmgr_result mmgr__config_read_hub_tokens(mmgr_config *config);

/* Weaker sources: fill given[][] from the environment and from a YAML file. */
enum mmgr_result mmgr__config_read_environment(mmgr_config *config);
enum mmgr_result mmgr__config_read_file(mmgr_config *config, const char *path, int required);
/* Environment variable that is set and not empty, or NULL; NULL under MMGR_CONFIG_NO_ENVIRONMENT. */
const char *mmgr__config_getenv(const mmgr_config *config, const char *name);
/* The hub client's path rule: "~" and "$VAR" expanded. Owned. */
char *mmgr__config_expand(const mmgr_config *config, const char *path);
/* The hub client's boolean rule. */
int mmgr__config_hub_true(const char *value);

#endif
