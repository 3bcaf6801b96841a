/* SPDX-License-Identifier: MIT */
/** @file
 * Element types, and named tensor sets: what a loaded model is.
 */
#ifndef MODELMGR_TENSOR_H
#define MODELMGR_TENSOR_H

#include "error_codes.h"
#include "types.h"

MMGR_BEGIN_DECLS

/** Element types, named as safetensors (or ggml) write them. Numbers never change. */
enum mmgr_dtype {
    MMGR_DTYPE_NONE = 0,
    MMGR_DTYPE_BOOL = 1,
    MMGR_DTYPE_F4 = 2,       /**< 4 bits */
    MMGR_DTYPE_F6_E2M3 = 3,  /**< 6 bits */
    MMGR_DTYPE_F6_E3M2 = 4,  /**< 6 bits */
    MMGR_DTYPE_U8 = 5,
    MMGR_DTYPE_I8 = 6,
    MMGR_DTYPE_F8_E5M2 = 7,
    MMGR_DTYPE_F8_E4M3 = 8,
    MMGR_DTYPE_F8_E8M0 = 9,
    MMGR_DTYPE_F8_E4M3FNUZ = 10,
    MMGR_DTYPE_F8_E5M2FNUZ = 11,
    MMGR_DTYPE_I16 = 12,
    MMGR_DTYPE_U16 = 13,
    MMGR_DTYPE_F16 = 14,
    MMGR_DTYPE_BF16 = 15,
    MMGR_DTYPE_I32 = 16,
    MMGR_DTYPE_U32 = 17,
    MMGR_DTYPE_F32 = 18,
    MMGR_DTYPE_C64 = 19,     /**< complex of two F32 */
    MMGR_DTYPE_F64 = 20,
    MMGR_DTYPE_I64 = 21,
    MMGR_DTYPE_U64 = 22,
    MMGR_DTYPE_FORCE_32_ = MMGR_ENUM_32_BITS
};

/**
 * Name of an element type, such as "BF16".
 * @param dtype  Element type.
 * @return Static text, or NULL when there is no such type.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_dtype_name(enum mmgr_dtype dtype);

/**
 * Size of an element.
 * @param dtype  Element type.
 * @return Bits; 0 when there is no such type.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint32_t mmgr_dtype_bits(enum mmgr_dtype dtype);

/** One tensor, lent by a tensor set. Only the library makes these; new members are appended. */
typedef struct mmgr_tensor {
    const char *name;
    const uint64_t *shape;   /**< rank numbers, outermost first */
    const int64_t *strides;  /**< rank numbers, in elements */
    void *data;              /**< on the set's device; host memory for the CPU device; NULL when bytes is 0 */
    uint64_t bytes;          /**< size of the data in bytes */
    uint32_t rank;           /**< 0 for a scalar */
    enum mmgr_dtype dtype;
} mmgr_tensor;

/**
 * Number of tensors in a set.
 * @param set  Set.
 * @return Number; 0 for NULL.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint64_t mmgr_tensor_set_count(const mmgr_tensor_set *set);

/**
 * A tensor of a set, in the order of its file.
 * @param set    Set.
 * @param index  0 … count - 1.
 * @return Lent as long as the set is held (and, on a device, locked); NULL when there is no such tensor.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const mmgr_tensor *mmgr_tensor_set_at(const mmgr_tensor_set *set, uint64_t index);

/**
 * Find a tensor by name.
 * @param set          Set.
 * @param name         Name.
 * @param[out] tensor  Lent as by mmgr_tensor_set_at().
 * @return MMGR_OK; MMGR_ERR_UNKNOWN_TENSOR; MMGR_ERR_ARGUMENT.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_tensor_set_find(const mmgr_tensor_set *set, const char *name,
                                               const mmgr_tensor **tensor);

/**
 * Bytes of all tensors of a set.
 * @param set  Set.
 * @return Bytes.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint64_t mmgr_tensor_set_bytes(const mmgr_tensor_set *set);

/**
 * Device that holds the data of a set.
 * @param set  Set.
 * @return Lent device.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const mmgr_device *mmgr_tensor_set_device(const mmgr_tensor_set *set);

MMGR_END_DECLS
#endif
