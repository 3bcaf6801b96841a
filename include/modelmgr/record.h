/* SPDX-License-Identifier: MIT */
/** @file
 * Model records: what is known of one model, as an immutable snapshot, and the builder that makes one.
 *
 * A record's kind is its (type, format); lib/base/fields holds the table that says which fields each kind
 * has. Every field has a JSON name; fields that a newer release wrote are kept as their raw text.
 */
#ifndef MODELMGR_RECORD_H
#define MODELMGR_RECORD_H

#include "error_codes.h"
#include "taxonomy.h"
#include "types.h"

MMGR_BEGIN_DECLS

/** Fields of a record. Numbers never change. */
enum mmgr_field {
    MMGR_FIELD_KEY = 1,                  /**< "key": 1–64 of [A-Za-z0-9_-]; 32 random hex characters when made here */
    MMGR_FIELD_NAME = 2,                 /**< "name" */
    MMGR_FIELD_TYPE = 3,                 /**< "type" */
    MMGR_FIELD_FORMAT = 4,               /**< "format" */
    MMGR_FIELD_BASE = 5,                 /**< "base" */
    MMGR_FIELD_BASES = 6,                /**< "bases": list, contains base */
    MMGR_FIELD_PATH = 7,                 /**< "path": POSIX, relative to models_dir when inside it */
    MMGR_FIELD_HASH = 8,                 /**< "hash": algorithm:hex */
    MMGR_FIELD_DESCRIPTION = 9,          /**< "description" */
    MMGR_FIELD_SOURCE = 10,              /**< "source": the source string, parses back to itself */
    MMGR_FIELD_SOURCE_TYPE = 11,         /**< "source_type" */
    MMGR_FIELD_SOURCE_API_RESPONSE = 12, /**< "source_api_response": the hub's answer, verbatim text */
    MMGR_FIELD_CONFIG_PATH = 13,         /**< "config_path": relative to the root */
    MMGR_FIELD_VARIANT = 14,             /**< "variant" */
    MMGR_FIELD_PREDICTION_TYPE = 15,     /**< "prediction_type" */
    MMGR_FIELD_UPCAST_ATTENTION = 16,    /**< "upcast_attention": true or false */
    MMGR_FIELD_REPO_VARIANT = 17,        /**< "repo_variant" */
    MMGR_FIELD_VAE = 18,                 /**< "vae": path relative to models_dir, or a key */
    MMGR_FIELD_TRIGGER_PHRASES = 19,     /**< "trigger_phrases": list */
    MMGR_FIELD_TAGS = 20,                /**< "tags": list */
    MMGR_FIELD_DEFAULT_SETTINGS = 21,    /**< "default_settings": object, as JSON text */
    MMGR_FIELD_COVER_IMAGE = 22,         /**< "cover_image" */
    MMGR_FIELD_FILE_SIZE = 23,           /**< "file_size": bytes of all files */
    MMGR_FIELD_CREATED_AT = 24,          /**< "created_at": RFC 3339 UTC with milliseconds; set by the store */
    MMGR_FIELD_UPDATED_AT = 25,          /**< "updated_at": likewise */
    MMGR_FIELD_SOURCE_URL = 26,          /**< "source_url": page to show to people */
    MMGR_FIELD_IMAGE_ENCODER_MODEL_ID = 27, /**< "image_encoder_model_id" (IP adapters) */
    MMGR_FIELD_REVISION = 28,            /**< "revision": commit of the source that was installed */
    MMGR_FIELD_CONVERTED_AT = 29,        /**< "converted_at": last conversion of a single file, s since 1970 */
    MMGR_FIELD_CPU_ONLY = 30,            /**< "cpu_only": true or false (VAE, text and image encoders) */
    MMGR_FIELD_EXPERT = 31,              /**< "expert": which half of a two-expert denoiser (main, LoRA) */
    MMGR_FIELD_HAS_DUAL_EXPERT = 32,     /**< "has_dual_expert": true or false (main) */
    MMGR_FIELD_BOUNDARY_RATIO = 33,      /**< "boundary_ratio": 0 to 1, share of the steps of the first expert (main) */
    MMGR_FIELD_LATENT_CHANNELS = 34,     /**< "latent_channels": number (VAE) */
    MMGR_FIELD_COND_IN_CHANNELS = 35,    /**< "cond_in_channels": number (ControlNet) */
    MMGR_FIELD_SUBMODELS = 36,           /**< "submodels": object, submodel → where it lies (main pipelines) */
    MMGR_FIELD_PROVIDER_ID = 37,         /**< "provider_id" (external models) */
    MMGR_FIELD_PROVIDER_MODEL_ID = 38,   /**< "provider_model_id" (external models) */
    MMGR_FIELD_CAPABILITIES = 39,        /**< "capabilities": object (external models) */
    MMGR_FIELD_FORCE_32_ = MMGR_ENUM_32_BITS
};

/**
 * JSON name of a field.
 * @param field  Field.
 * @return Static text, or NULL when there is no such field.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_field_name(enum mmgr_field field);

/**
 * Make a record of JSON, with a fresh key when it has none.
 *
 * @param json         A JSON object.
 * @param[out] record  Given; release with mmgr_record_unref().
 * @return MMGR_OK; MMGR_ERR_INVALID_CONFIG (names the field); MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_record_from_json(const char *json, mmgr_record **record);

/**
 * Keep a record.
 * @param record  Record.
 * @return The record, with one more reference.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API mmgr_record *mmgr_record_ref(const mmgr_record *record);

/**
 * Release a record.
 * @param record  Record, or NULL for no effect.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API void mmgr_record_unref(mmgr_record *record);

/**
 * A field as text: strings as they are, numbers and booleans as JSON writes them, objects as JSON text.
 * @param record  Record.
 * @param field   Field; lists are read with mmgr_record_list_item().
 * @return Lent text, or NULL when the field is not set.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_record_text(const mmgr_record *record, enum mmgr_field field);

/**
 * A field of the taxonomy as its number (type, format, base, variant, prediction type, repo variant,
 * source type).
 * @param record  Record.
 * @param field   Field.
 * @return Term; 0 when it is not set or no field of the taxonomy.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API int32_t mmgr_record_term(const mmgr_record *record, enum mmgr_field field);

/**
 * Number of items of a list field (bases, tags, trigger phrases).
 * @param record  Record.
 * @param field   Field.
 * @return Number; 0 when it is not set or no list.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint32_t mmgr_record_list_size(const mmgr_record *record, enum mmgr_field field);

/**
 * Item of a list field.
 * @param record  Record.
 * @param field   Field.
 * @param index   0 … size - 1.
 * @return Lent text, or NULL when there is no such item.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_record_list_item(const mmgr_record *record, enum mmgr_field field, uint32_t index);

/**
 * Absolute path of the model, where the record came from a store that knows models_dir.
 * @param record  Record.
 * @return Lent text; the path as stored when it is absolute; NULL when it cannot be resolved.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_record_location(const mmgr_record *record);

/**
 * The whole record as JSON; fields that are not set are null.
 * @param record     Record.
 * @param[out] json  Given text.
 * @return MMGR_OK; MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_record_to_json(const mmgr_record *record, char **json);

/** What a manifest row says of its file. */
#define MMGR_FILE_OWNED 1u  /**< placed by this library, deleted with the model */
#define MMGR_FILE_LINKED 2u /**< belongs to someone else, never deleted */

/**
 * Number of files in the record's manifest.
 * @param record  Record; search results carry their manifest only when read by key.
 * @return Number of files.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint32_t mmgr_record_file_count(const mmgr_record *record);

/**
 * Path of a file of the manifest, relative to the model's path ("" when the model is that one file).
 * @param record  Record.
 * @param index   0 … count - 1.
 * @return Lent text, or NULL when there is no such file.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_record_file_path(const mmgr_record *record, uint32_t index);

/**
 * Size of a file of the manifest.
 * @param record  Record.
 * @param index   0 … count - 1.
 * @return Bytes.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint64_t mmgr_record_file_size(const mmgr_record *record, uint32_t index);

/**
 * A hash of a file of the manifest.
 * @param record     Record.
 * @param index      0 … count - 1.
 * @param algorithm  "sha256", "git-sha1" or "xxh3".
 * @return Lent lower-case hex, or NULL when that hash is not known.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_record_file_hash(const mmgr_record *record, uint32_t index, const char *algorithm);

/**
 * Flags of a file of the manifest.
 * @param record  Record.
 * @param index   0 … count - 1.
 * @return MMGR_FILE_* flags.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint32_t mmgr_record_file_flags(const mmgr_record *record, uint32_t index);

/**
 * Start a record from nothing or from another record.
 * @param base          Record to start from, or NULL.
 * @param[out] builder  Given; free with mmgr_record_builder_free().
 * @return MMGR_OK; MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_record_builder_new(const mmgr_record *base, mmgr_record_builder **builder);

/**
 * Free a builder.
 * @param builder  Builder, or NULL for no effect.
 *
 * Thread-safety: one thread at a time.
 * Since: 0.1
 */
MMGR_API void mmgr_record_builder_free(mmgr_record_builder *builder);

/**
 * Set a field from text: strings as they are; numbers, booleans, objects as JSON; lists as a JSON array or
 * as items separated by commas.
 * @param builder  Builder.
 * @param field    Field.
 * @param value    Text, copied; NULL or "" clears the field.
 * @return MMGR_OK; MMGR_ERR_INVALID_CONFIG (names the field); MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: one thread at a time.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_record_builder_set(mmgr_record_builder *builder, enum mmgr_field field,
                                                  const char *value);

/**
 * Set fields from a JSON object; null clears, fields that are absent stay. All or nothing.
 * @param builder  Builder.
 * @param json     JSON object.
 * @return MMGR_OK; MMGR_ERR_INVALID_CONFIG (names the field); MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: one thread at a time.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_record_builder_merge(mmgr_record_builder *builder, const char *json);

/**
 * Validate and make the record; the builder stays usable.
 * @param builder      Builder.
 * @param[out] record  Given; release with mmgr_record_unref().
 * @return MMGR_OK; MMGR_ERR_INVALID_CONFIG (names the field); MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: one thread at a time.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_record_builder_build(mmgr_record_builder *builder, mmgr_record **record);

/**
 * Number of records in a list.
 * @param list  List.
 * @return Number; 0 for NULL.
 *
 * Thread-safety: one thread at a time.
 * Since: 0.1
 */
MMGR_API uint32_t mmgr_record_list_count(const mmgr_record_list *list);

/**
 * Record of a list.
 * @param list   List.
 * @param index  0 … count - 1.
 * @return Lent record, or NULL when there is no such record.
 *
 * Thread-safety: one thread at a time.
 * Since: 0.1
 */
MMGR_API const mmgr_record *mmgr_record_list_at(const mmgr_record_list *list, uint32_t index);

/**
 * Where the next page of the search starts: give it as mmgr_search_options.cursor, with everything else
 * the same.
 * @param list  List.
 * @return Lent text, opaque, of [0-9a-f]; NULL when there are no further records, or the search had no limit.
 *
 * Thread-safety: one thread at a time.
 * Since: 0.1
 */
MMGR_API const char *mmgr_record_list_cursor(const mmgr_record_list *list);

/**
 * Number of records that the search found before its limit was applied.
 * @param list  List.
 * @return Number; 0 where the search was told to do without (MMGR_SEARCH_NO_TOTAL).
 *
 * Thread-safety: one thread at a time.
 * Since: 0.1
 */
MMGR_API uint64_t mmgr_record_list_total(const mmgr_record_list *list);

/**
 * Free a list and its references.
 * @param list  List, or NULL for no effect.
 *
 * Thread-safety: one thread at a time.
 * Since: 0.1
 */
MMGR_API void mmgr_record_list_free(mmgr_record_list *list);

MMGR_END_DECLS
#endif
