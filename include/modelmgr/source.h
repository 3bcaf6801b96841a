/* SPDX-License-Identifier: MIT */
/** @file
 * Source strings: the ways in which a person names a model.
 *
 *   ./file, ../file, /file, ~/file, file:…     a local path
 *   https://host/…                             a URL (pages of the hub become its repository)
 *   org/name[@revision][:variant][:subfolder]  a repository of the Hugging Face hub
 *   org/name::path/to/file                     one file or folder of it
 *   hf:…                                       forces the hub even where such a path exists
 *   civitai:model[@version], https://civitai.com/models/…   a Civitai model
 */
#ifndef MODELMGR_SOURCE_H
#define MODELMGR_SOURCE_H

#include "taxonomy.h"

MMGR_BEGIN_DECLS

/** Kinds of source. */
enum mmgr_source_kind {
    MMGR_SOURCE_NONE = 0,
    MMGR_SOURCE_LOCAL = 1,
    MMGR_SOURCE_URL = 2,
    MMGR_SOURCE_HUGGINGFACE = 3,
    MMGR_SOURCE_CIVITAI = 4,
    MMGR_SOURCE_KIND_FORCE_32_ = MMGR_ENUM_32_BITS
};

/**
 * Parse a source string. Touches the disk only to see whether a path exists; uses no network.
 * @param text         Source string; surrounding blanks and quotes are dropped.
 * @param[out] source  Given; release with mmgr_source_unref().
 * @return MMGR_OK; MMGR_ERR_UNSUPPORTED_SOURCE (says what is wrong with it); MMGR_ERR_PATH_NOT_FOUND (a
 *   local path that does not exist); MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_source_parse(const char *text, mmgr_source **source);

/**
 * Keep a source.
 * @param source  Source.
 * @return The source, with one more reference.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API mmgr_source *mmgr_source_ref(const mmgr_source *source);

/**
 * Release a source.
 * @param source  Source, or NULL for no effect.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API void mmgr_source_unref(mmgr_source *source);

/**
 * Kind of a source.
 * @param source  Source.
 * @return Kind.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_source_kind mmgr_source_kind(const mmgr_source *source);

/** Parts of a source. */
enum mmgr_source_part {
    MMGR_SOURCE_PART_TEXT = 1,      /**< canonical source string; parses back to the same source */
    MMGR_SOURCE_PART_PATH = 2,      /**< local: absolute path */
    MMGR_SOURCE_PART_URL = 3,       /**< URL */
    MMGR_SOURCE_PART_REPO = 4,      /**< hub: "org/name"; Civitai: model id */
    MMGR_SOURCE_PART_REVISION = 5,  /**< hub: branch, tag or commit; Civitai: version id */
    MMGR_SOURCE_PART_VARIANT = 6,   /**< repo variant, or a GGUF quantisation such as "Q4_K_M" */
    MMGR_SOURCE_PART_SUBFOLDER = 7, /**< folder or file inside the repository */
    MMGR_SOURCE_PART_ENDPOINT = 8,  /**< hub: endpoint of a pasted URL when it is not the default one */
    MMGR_SOURCE_PART_FORCE_32_ = MMGR_ENUM_32_BITS
};

/**
 * A part of a source.
 * @param source  Source.
 * @param part    Which part.
 * @return Lent text, or NULL when the source has no such part.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_source_part(const mmgr_source *source, enum mmgr_source_part part);

MMGR_END_DECLS
#endif
