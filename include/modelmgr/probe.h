/* SPDX-License-Identifier: MIT */
/** @file
 * Identification: what kind of model a file or folder is, from headers and configs alone.
 *
 * The rules are data (lib/probe/rules, docs/rules.md); every rule is tried, the best score wins, and the
 * result says which evidence decided.
 */
#ifndef MODELMGR_PROBE_H
#define MODELMGR_PROBE_H

#include "record.h"

MMGR_BEGIN_DECLS

/** Options of mmgr_prober_new(). */
struct mmgr_prober_options {
    uint32_t struct_size;     /**< sizeof(struct mmgr_prober_options) */
    uint32_t flags;           /**< must be 0 */
    const char *rules_folder; /**< folder with more rule files (*.yaml); NULL: built-in rules only */
};

/**
 * Make a prober with the built-in rules.
 * @param options      Options or NULL.
 * @param[out] prober  Given; release with mmgr_prober_unref().
 * @return MMGR_OK; MMGR_ERR_INVALID_FILE (a rule file; names file and line); MMGR_ERR_PATH_NOT_FOUND;
 *   MMGR_ERR_IO; MMGR_ERR_ARGUMENT; MMGR_ERR_ABI_SIZE; MMGR_ERR_ABI_NEWER; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_prober_new(const struct mmgr_prober_options *options, mmgr_prober **prober);

/**
 * Add the rules of a text in rule-file form.
 * @param prober  Prober that has not identified anything yet.
 * @param name    Name of the rule file for messages.
 * @param text    Rule file.
 * @return MMGR_OK; MMGR_ERR_INVALID_FILE (names line); MMGR_ERR_STATE; MMGR_ERR_ARGUMENT;
 *   MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: one thread at a time, until the prober is used.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_prober_add_rules(mmgr_prober *prober, const char *name, const char *text);

/**
 * Keep a prober.
 * @param prober  Prober.
 * @return The prober, with one more reference.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API mmgr_prober *mmgr_prober_ref(mmgr_prober *prober);

/**
 * Release a prober.
 * @param prober  Prober, or NULL for no effect.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API void mmgr_prober_unref(mmgr_prober *prober);

/** Flags of mmgr_probe_options. */
#define MMGR_PROBE_ALLOW_UNKNOWN 1u /**< a sound file that no rule knows is of type "unknown" */

/** Options of mmgr_probe_path(). */
struct mmgr_probe_options {
    uint32_t struct_size;  /**< sizeof(struct mmgr_probe_options) */
    uint32_t flags;        /**< MMGR_PROBE_* */
    const char *overrides; /**< JSON object of record fields that are known already, or NULL */
};

/**
 * Identify a file or folder.
 * @param prober       Prober.
 * @param path         File or folder.
 * @param options      Options or NULL.
 * @param[out] result  Given; release with mmgr_probe_result_unref().
 * @return MMGR_OK; MMGR_ERR_UNIDENTIFIED (the message names the best runners-up); MMGR_ERR_INVALID_CONFIG
 *   (overrides); and everything that mmgr_checkpoint_open() returns.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_probe_path(mmgr_prober *prober, const char *path,
                                          const struct mmgr_probe_options *options,
                                          mmgr_probe_result **result);

/**
 * Keep a result.
 * @param result  Result.
 * @return The result, with one more reference.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API mmgr_probe_result *mmgr_probe_result_ref(const mmgr_probe_result *result);

/**
 * Release a result.
 * @param result  Result, or NULL for no effect.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API void mmgr_probe_result_unref(mmgr_probe_result *result);

/**
 * An identified field: type, format, base, variant, prediction type, upcast attention, repo variant, name,
 * description, config path, image encoder id, trigger phrases (JSON array), file size.
 * @param result  Result.
 * @param field   Field.
 * @return Lent text, or NULL when the rule says nothing of it.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_probe_result_text(const mmgr_probe_result *result, enum mmgr_field field);

/**
 * Name of the rule that won.
 * @param result  Result.
 * @return Lent text; "unknown" when no rule did.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_probe_result_rule(const mmgr_probe_result *result);

/**
 * Number of pieces of evidence.
 * @param result  Result.
 * @return Number.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint32_t mmgr_probe_result_evidence_count(const mmgr_probe_result *result);

/**
 * A piece of evidence, one sentence.
 * @param result  Result.
 * @param index   0 … count - 1.
 * @return Lent text, or NULL when there is no such piece.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_probe_result_evidence(const mmgr_probe_result *result, uint32_t index);

/**
 * Bytes read from disk for the identification.
 * @param result  Result.
 * @return Bytes.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint64_t mmgr_probe_result_bytes_read(const mmgr_probe_result *result);

/**
 * The result as JSON: the fields, "rule", "score", "evidence", "runners_up" ([{"rule", "score", "missing"}]).
 * @param result     Result.
 * @param[out] json  Given text.
 * @return MMGR_OK; MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_probe_result_to_json(const mmgr_probe_result *result, char **json);

MMGR_END_DECLS
#endif
