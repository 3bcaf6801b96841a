/* SPDX-License-Identifier: MIT */
/** @file
 * Import: the models that another tool has recorded, taken over as records.
 *
 * The source is read and never written to, and no model file is touched, copied or moved: records name the
 * files where they are.
 */
#ifndef MODELMGR_IMPORT_H
#define MODELMGR_IMPORT_H

#include "store.h"

MMGR_BEGIN_DECLS

/** What is imported. */
enum mmgr_import_kind {
    MMGR_IMPORT_INVOKEAI = 1,    /**< InvokeAI's database of release 4.0 or later (databases/invokeai.db) */
    MMGR_IMPORT_MODELS_YAML = 2, /**< InvokeAI's models.yaml of version 3 or later (configs/models.yaml) */
    MMGR_IMPORT_KIND_FORCE_32_ = MMGR_ENUM_32_BITS
};

/** Flags of mmgr_import_options. */
#define MMGR_IMPORT_DRY_RUN 1u /**< only say what would be done: the store is not changed */

/** Options of mmgr_store_import(). */
struct mmgr_import_options {
    uint32_t struct_size;       /**< sizeof(struct mmgr_import_options) */
    uint32_t flags;             /**< MMGR_IMPORT_* */
    enum mmgr_import_kind kind; /**< what the file is */
    uint32_t reserved;          /**< must be 0 */
    const char *path;           /**< the file; needed */
    /** Folder in which the source's relative paths lie. NULL: what invokeai.yaml beside the source names,
     *  or models in the source's root. The root is the folder above databases/ (database) or configs/
     *  (models.yaml), else the file's own folder. */
    const char *models_dir;
};

/**
 * Add the models that another tool has recorded.
 *
 * A model that cannot be taken over is skipped, with its reason in the report, and stops no other. Key,
 * created_at and all fields that this release does not know are kept; keys of a models.yaml are fresh.
 * Models whose key or path is recorded already are skipped, so that an import can be repeated.
 *
 * @param store        Store.
 * @param options      Options.
 * @param[out] report  Given: a JSON object. "added": keys, and "names" in the same order; "skipped": a list
 *   of {"key", "name", "path" (each null when not known), "code": an error's name, "field", "reason"};
 *   "missing": keys of added records whose file is not on disk; "linked_bytes": 0; "dry_run"; "source" and
 *   "models_dir": absolute paths.
 * @return MMGR_OK, also when all were skipped; MMGR_ERR_PATH_NOT_FOUND; MMGR_ERR_INVALID_FILE (no such
 *   database or YAML file, or one of an older release; the message says what was found);
 *   MMGR_ERR_BUSY (the source was written to while it was read, or the store is in use);
 *   MMGR_ERR_STATE (the store is read-only); MMGR_ERR_PERMISSION; MMGR_ERR_IO; MMGR_ERR_NO_SPACE;
 *   MMGR_ERR_ARGUMENT; MMGR_ERR_ABI_SIZE; MMGR_ERR_ABI_NEWER; MMGR_ERR_NO_MEMORY. After an
 *   error the store is as it was: all are added in one transaction.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_store_import(mmgr_store *store, const struct mmgr_import_options *options,
                                            char **report);

MMGR_END_DECLS
#endif
