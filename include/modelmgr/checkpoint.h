/* SPDX-License-Identifier: MIT */
/** @file
 * Checkpoints: the tensors and metadata of a model file or folder, read from headers alone.
 *
 * One view for every format. Opening reads headers and configs, never weights, and executes nothing.
 */
#ifndef MODELMGR_CHECKPOINT_H
#define MODELMGR_CHECKPOINT_H

#include "tensor.h"

MMGR_BEGIN_DECLS

/** Options of mmgr_checkpoint_open(). */
struct mmgr_checkpoint_options {
    uint32_t struct_size;  /**< sizeof(struct mmgr_checkpoint_options) */
    uint32_t flags;        /**< must be 0 */
    const char *component; /**< folder of a pipeline to open, such as "unet"; NULL: the whole path */
    const char *variant;   /**< repo variant of the weight files, such as "fp16"; where a part has no files of
                                it, and for NULL, the nearest that is there, full precision first */
};

/** How the numbers of a tensor are packed. */
enum mmgr_block_type {
    MMGR_BLOCK_NONE = 0, /**< plain elements */
    MMGR_BLOCK_FORCE_32_ = MMGR_ENUM_32_BITS
};

/**
 * Open a model file, a folder with weight files, or a sharded index (*.index.json).
 *
 * @param path             File or folder.
 * @param options          Options or NULL.
 * @param[out] checkpoint  Given; release with mmgr_checkpoint_unref().
 * @return MMGR_OK; MMGR_ERR_PATH_NOT_FOUND; MMGR_ERR_INVALID_FILE (names file, offset and rule);
 *   MMGR_ERR_UNSAFE_PATH (an index or config leads outside its folder); MMGR_ERR_UNSAFE_FILE;
 *   MMGR_ERR_UNSUPPORTED (a format that this release does not read); MMGR_ERR_UNKNOWN_SUBMODEL;
 *   MMGR_ERR_PERMISSION; MMGR_ERR_IO; MMGR_ERR_ARGUMENT; MMGR_ERR_ABI_SIZE; MMGR_ERR_ABI_NEWER;
 *   MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_checkpoint_open(const char *path,
                                               const struct mmgr_checkpoint_options *options,
                                               mmgr_checkpoint **checkpoint);

/**
 * Keep a checkpoint.
 * @param checkpoint  Checkpoint.
 * @return The checkpoint, with one more reference.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API mmgr_checkpoint *mmgr_checkpoint_ref(const mmgr_checkpoint *checkpoint);

/**
 * Release a checkpoint.
 * @param checkpoint  Checkpoint, or NULL for no effect.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API void mmgr_checkpoint_unref(mmgr_checkpoint *checkpoint);

/**
 * Format on disk: "safetensors" or "folder".
 * @param checkpoint  Checkpoint.
 * @return Static text.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_checkpoint_format(const mmgr_checkpoint *checkpoint);

/**
 * Bytes read from disk to open this checkpoint.
 * @param checkpoint  Checkpoint.
 * @return Bytes.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint64_t mmgr_checkpoint_bytes_read(const mmgr_checkpoint *checkpoint);

/**
 * Number of weight files.
 * @param checkpoint  Checkpoint.
 * @return Number.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint32_t mmgr_checkpoint_file_count(const mmgr_checkpoint *checkpoint);

/**
 * Path of a weight file, relative to the opened folder (its base name when a file was opened).
 * @param checkpoint  Checkpoint.
 * @param file        0 … count - 1.
 * @return Lent text, or NULL when there is no such file.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_checkpoint_file_path(const mmgr_checkpoint *checkpoint, uint32_t file);

/**
 * Number of metadata entries (safetensors `__metadata__`).
 * @param checkpoint  Checkpoint.
 * @return Number.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint64_t mmgr_checkpoint_metadata_count(const mmgr_checkpoint *checkpoint);

/**
 * A metadata entry.
 * @param checkpoint  Checkpoint.
 * @param index       0 … count - 1.
 * @param[out] key    Lent text.
 * @param[out] value  Lent text.
 * @return MMGR_OK, or MMGR_ERR_ARGUMENT when there is no such entry.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_checkpoint_metadata_at(const mmgr_checkpoint *checkpoint, uint64_t index,
                                                      const char **key, const char **value);

/**
 * Number of tensors.
 * @param checkpoint  Checkpoint.
 * @return Number.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint64_t mmgr_checkpoint_tensor_count(const mmgr_checkpoint *checkpoint);

/**
 * Find a tensor by name. Parts of a pipeline opened whole may use the same names: the first is found.
 * @param checkpoint  Checkpoint.
 * @param name        Name.
 * @param[out] index  Its index.
 * @return MMGR_OK; MMGR_ERR_UNKNOWN_TENSOR; MMGR_ERR_ARGUMENT.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_checkpoint_find(const mmgr_checkpoint *checkpoint, const char *name,
                                               uint64_t *index);

/**
 * Name of a tensor.
 * @param checkpoint  Checkpoint.
 * @param index       0 … count - 1.
 * @return Lent text, or NULL when there is no such tensor.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_checkpoint_tensor_name(const mmgr_checkpoint *checkpoint, uint64_t index);

/**
 * Element type of a tensor.
 * @param checkpoint  Checkpoint.
 * @param index       0 … count - 1.
 * @return Element type; MMGR_DTYPE_NONE when there is no such tensor.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_dtype mmgr_checkpoint_tensor_dtype(const mmgr_checkpoint *checkpoint, uint64_t index);

/**
 * Rank of a tensor.
 * @param checkpoint  Checkpoint.
 * @param index       0 … count - 1.
 * @return Number of dimensions.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint32_t mmgr_checkpoint_tensor_rank(const mmgr_checkpoint *checkpoint, uint64_t index);

/**
 * Shape of a tensor.
 * @param checkpoint  Checkpoint.
 * @param index       0 … count - 1.
 * @return Lent: rank numbers, outermost first; NULL for a scalar or when there is no such tensor.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const uint64_t *mmgr_checkpoint_tensor_shape(const mmgr_checkpoint *checkpoint, uint64_t index);

/**
 * Strides of a tensor.
 * @param checkpoint  Checkpoint.
 * @param index       0 … count - 1.
 * @return Lent: rank numbers, in elements; NULL when the tensor is contiguous with the last dimension
 *   running fastest.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const int64_t *mmgr_checkpoint_tensor_strides(const mmgr_checkpoint *checkpoint, uint64_t index);

/**
 * Where a tensor's data begins in its file.
 * @param checkpoint  Checkpoint.
 * @param index       0 … count - 1.
 * @return Bytes from the start of the file.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint64_t mmgr_checkpoint_tensor_offset(const mmgr_checkpoint *checkpoint, uint64_t index);

/**
 * Size of a tensor's data.
 * @param checkpoint  Checkpoint.
 * @param index       0 … count - 1.
 * @return Bytes.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint64_t mmgr_checkpoint_tensor_bytes(const mmgr_checkpoint *checkpoint, uint64_t index);

/**
 * File that holds a tensor.
 * @param checkpoint  Checkpoint.
 * @param index       0 … count - 1.
 * @return Index of the file for mmgr_checkpoint_file_path().
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint32_t mmgr_checkpoint_tensor_file(const mmgr_checkpoint *checkpoint, uint64_t index);

/**
 * Storage that a tensor is a view of; tensors with the same number share their bytes.
 * @param checkpoint  Checkpoint.
 * @param index       0 … count - 1.
 * @return Storage number.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint64_t mmgr_checkpoint_tensor_storage(const mmgr_checkpoint *checkpoint, uint64_t index);

/**
 * How the numbers of a tensor are packed.
 * @param checkpoint  Checkpoint.
 * @param index       0 … count - 1.
 * @return Block type.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_block_type mmgr_checkpoint_tensor_block(const mmgr_checkpoint *checkpoint,
                                                           uint64_t index);

MMGR_END_DECLS
#endif
