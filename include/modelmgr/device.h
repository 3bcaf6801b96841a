/* SPDX-License-Identifier: MIT */
/** @file
 * Devices: where weights live while they are used. CPU and a test device are built in; hosts bring others
 * as a function table.
 */
#ifndef MODELMGR_DEVICE_H
#define MODELMGR_DEVICE_H

#include "error_codes.h"
#include "types.h"

MMGR_BEGIN_DECLS

/** A device's functions. Members are only appended; all are required unless said otherwise. All may be
 *  called from any thread. */
typedef struct mmgr_device_ops {
    uint32_t struct_size;
    uint32_t api_version; /**< 1 */
    const char *name;     /**< such as "cuda:0" */
    /** Free and total bytes; neither output is NULL. total UINT64_MAX: not bounded. */
    enum mmgr_result (*memory_info)(void *self, uint64_t *free_bytes, uint64_t *total_bytes);
    /** Allocate bytes (> 0) aligned to a power of two. MMGR_ERR_DEVICE_MEMORY when there is no room; of other
     *  codes only MMGR_ERR_NO_MEMORY is passed on, the rest becomes MMGR_ERR_PLUGIN. */
    enum mmgr_result (*allocate)(void *self, uint64_t bytes, uint64_t alignment, void **memory);
    void (*release)(void *self, void *memory, uint64_t bytes);
    /** Copy from host memory. May return before the copy is done; synchronize() ends it. */
    enum mmgr_result (*upload)(void *self, void *memory, const void *host, uint64_t bytes);
    /** Copy to host memory; done on return. */
    enum mmgr_result (*download)(void *self, void *host, const void *memory, uint64_t bytes);
    enum mmgr_result (*synchronize)(void *self);
    /** 1 when memory is host memory that the CPU may touch. */
    int (*is_host)(void *self);
} mmgr_device_ops;

/**
 * Make a device of a host's functions.
 * @param ops          Functions, copied.
 * @param self         Passed to them.
 * @param self_free    Frees self with the last reference, or NULL; not called when this function fails.
 * @param[out] device  Given; release with mmgr_device_unref().
 * @return MMGR_OK; MMGR_ERR_ARGUMENT; MMGR_ERR_ABI_SIZE; MMGR_ERR_ABI_NEWER; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_device_new(const mmgr_device_ops *ops, void *self, void (*self_free)(void *),
                                          mmgr_device **device);

/**
 * Open a built-in device: "cpu", or "fake:BYTES", a test device with that capacity in host memory.
 * @param name         Name.
 * @param[out] device  Given; release with mmgr_device_unref().
 * @return MMGR_OK; MMGR_ERR_NO_DEVICE; MMGR_ERR_ARGUMENT; MMGR_ERR_NO_MEMORY.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_device_open(const char *name, mmgr_device **device);

/**
 * Keep a device.
 * @param device  Device.
 * @return The device, with one more reference.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API mmgr_device *mmgr_device_ref(const mmgr_device *device);

/**
 * Release a device.
 * @param device  Device, or NULL for no effect.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API void mmgr_device_unref(mmgr_device *device);

/**
 * Name of a device.
 * @param device  Device.
 * @return Lent text; "" for NULL.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_device_name(const mmgr_device *device);

/**
 * Memory of a device.
 * @param device            Device.
 * @param[out] free_bytes   Bytes that are free; may be NULL.
 * @param[out] total_bytes  Bytes in all, UINT64_MAX when not bounded; may be NULL.
 * @return MMGR_OK; MMGR_ERR_ARGUMENT; MMGR_ERR_PLUGIN.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_device_memory(const mmgr_device *device, uint64_t *free_bytes,
                                             uint64_t *total_bytes);

/**
 * Copy from a device's memory to host memory, for a look at a tensor.
 * @param device  Device.
 * @param host    Where to.
 * @param memory  Where from.
 * @param bytes   How many.
 * @return MMGR_OK; MMGR_ERR_ARGUMENT; MMGR_ERR_PLUGIN.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_device_download(const mmgr_device *device, void *host, const void *memory,
                                               uint64_t bytes);

MMGR_END_DECLS
#endif
