/* SPDX-License-Identifier: MIT */
/** @file
 * App config: where things are and how much of the machine the library may use.
 *
 * A value comes, strongest first, from a setter, the environment, the YAML file, the built-in default.
 * Fields are named as in the file; docs/config.md lists them. Sizes are bytes or numbers with a unit
 * ("4 GiB", "20GB"). A config becomes read-only when a service is opened with it.
 */
#ifndef MODELMGR_CONFIG_H
#define MODELMGR_CONFIG_H

#include "error_codes.h"
#include "types.h"

MMGR_BEGIN_DECLS

/** Flags of mmgr_config_options. */
#define MMGR_CONFIG_NO_ENVIRONMENT 1u /**< do not look at the environment */
#define MMGR_CONFIG_NO_FILE 2u        /**< do not read a YAML file */

/** Options of mmgr_config_new(). */
struct mmgr_config_options {
    uint32_t struct_size; /**< sizeof(struct mmgr_config_options) */
    uint32_t flags;       /**< MMGR_CONFIG_* */
    const char *root;     /**< root folder; NULL: $MODELMGR_ROOT, $XDG_DATA_HOME/modelmgr, ~/.local/share/modelmgr */
    const char *file;     /**< YAML file; NULL: modelmgr.yaml in the root when it exists */
};

/**
 * Read the configuration. Creates nothing on disk.
 *
 * @param options      Options or NULL.
 * @param[out] config  Given; release with mmgr_config_unref().
 * @return MMGR_OK; MMGR_ERR_INVALID_CONFIG (unknown field, wrong value; names field, line and column);
 *   MMGR_ERR_PATH_NOT_FOUND (a named file is missing); MMGR_ERR_IO; MMGR_ERR_ARGUMENT; MMGR_ERR_ABI_SIZE;
 *   MMGR_ERR_ABI_NEWER; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_config_new(const struct mmgr_config_options *options, mmgr_config **config);

/**
 * Keep a config.
 * @param config  Config.
 * @return The config, with one more reference.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API mmgr_config *mmgr_config_ref(mmgr_config *config);

/**
 * Release a config.
 * @param config  Config, or NULL for no effect.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API void mmgr_config_unref(mmgr_config *config);

/**
 * Set a field.
 *
 * @param config  Config that no service uses yet.
 * @param field   Name, such as "models_dir".
 * @param value   Value as it would stand in the file; NULL returns to the weaker sources.
 * @return MMGR_OK; MMGR_ERR_INVALID_CONFIG (names the field); MMGR_ERR_STATE (already read-only);
 *   MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: one thread at a time, until a service uses the config.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_config_set(mmgr_config *config, const char *field, const char *value);

/**
 * Value of a field in its text form; paths absolute. Tokens are never returned.
 *
 * @param config  Config.
 * @param field   Name.
 * @return Lent text; NULL when the field is unset or there is no such field.
 *
 * Thread-safety: safe once read-only.
 * Since: 0.1
 */
MMGR_API const char *mmgr_config_get(const mmgr_config *config, const char *field);

/**
 * Value of a size or number field.
 *
 * @param config      Config.
 * @param field       Name.
 * @param[out] value  Bytes or number.
 * @return MMGR_OK; MMGR_ERR_ARGUMENT when the field is no number.
 *
 * Thread-safety: safe once read-only.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_config_get_number(const mmgr_config *config, const char *field,
                                                 int64_t *value);

/**
 * Where the value of a field comes from.
 *
 * @param config  Config.
 * @param field   Name.
 * @return "default", "file", "environment" or "setter"; NULL when there is no such field.
 *
 * Thread-safety: safe once read-only.
 * Since: 0.1
 */
MMGR_API const char *mmgr_config_origin(const mmgr_config *config, const char *field);

/**
 * Name of the index-th field, in the order of the documentation.
 *
 * @param index  0, 1, …
 * @return Static text, or NULL past the last.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_config_field_name(uint32_t index);

/**
 * Bind an access token to an origin and, optionally, a path prefix.
 *
 * @param config  Config that no service uses yet.
 * @param prefix  "scheme://host[:port][/path/prefix]", nothing else (no patterns).
 * @param token   Token, copied; NULL removes the binding.
 * @return MMGR_OK; MMGR_ERR_ARGUMENT (no such form); MMGR_ERR_STATE; MMGR_ERR_NO_MEMORY.
 *
 * The longest matching prefix wins. Over plain http a token is sent only to loopback addresses and to hosts
 * that a prefix names with "http://".
 *
 * Thread-safety: one thread at a time, until a service uses the config.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_config_add_token(mmgr_config *config, const char *prefix, const char *token);

/**
 * The effective configuration as JSON: `{field: {"value", "origin"}}`; of tokens only the prefixes.
 *
 * @param config     Config.
 * @param[out] json  Given text.
 * @return MMGR_OK; MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe once read-only.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_config_to_json(const mmgr_config *config, char **json);

MMGR_END_DECLS
#endif
