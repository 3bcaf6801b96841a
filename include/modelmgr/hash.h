/* SPDX-License-Identifier: MIT */
/** @file
 * Content hashes of model files and folders.
 */
#ifndef MODELMGR_HASH_H
#define MODELMGR_HASH_H

#include "error_codes.h"
#include "types.h"

MMGR_BEGIN_DECLS

/**
 * Hash a model file or folder.
 *
 * "sampled" is XXH3-128 over the size (u64 little-endian), 16 KiB of the head, of the middle and of the
 * tail, or over the whole file up to 48 KiB: a hint for finding files, never a proof. "xxh3" (XXH3-128) and
 * "sha256" read everything. A folder hashes the sorted lines `relpath NUL size NUL hash LF` of its weight
 * files with the same algorithm.
 *
 * @param path       File or folder.
 * @param algorithm  "sampled", "xxh3" or "sha256"; NULL for "sampled".
 * @param[out] hash  Given text "algorithm:hex".
 * @return MMGR_OK; MMGR_ERR_PATH_NOT_FOUND; MMGR_ERR_PERMISSION; MMGR_ERR_IO; MMGR_ERR_ARGUMENT (no such
 *   algorithm); MMGR_ERR_INVALID_FILE (folder without weight files); MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_hash_path(const char *path, const char *algorithm, char **hash);

MMGR_END_DECLS
#endif
