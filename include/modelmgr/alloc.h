/* SPDX-License-Identifier: MIT */
/** @file
 * The library's memory allocator, replaceable by the host.
 *
 * Covers the library's own allocations; SQLite, libcurl and other libraries keep theirs. Weights go through
 * the device's table (device.h), not through this one.
 */
#ifndef MODELMGR_ALLOC_H
#define MODELMGR_ALLOC_H

#include "error_codes.h"
#include "types.h"

MMGR_BEGIN_DECLS

/** Allocator functions. All are required, thread-safe, and follow the C library's rules for malloc and its
 *  kin, except that sizes are never 0. */
typedef struct mmgr_allocator {
    uint32_t struct_size; /**< sizeof(mmgr_allocator) */
    uint32_t reserved;    /**< must be 0 */
    void *(*alloc)(size_t bytes, void *user);
    void *(*resize)(void *memory, size_t bytes, void *user);
    void (*release)(void *memory, void *user);
    void *user;
} mmgr_allocator;

/**
 * Replace the process-wide allocator. Call it before any other function of the library.
 *
 * @param allocator  Functions, copied; NULL restores the C library's.
 * @return MMGR_OK; MMGR_ERR_ARGUMENT when a function is missing; MMGR_ERR_ABI_SIZE; MMGR_ERR_ABI_NEWER;
 *   MMGR_ERR_STATE when memory of the present allocator is still in use.
 *
 * Thread-safety: unsafe; no other call into the library may run.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_set_allocator(const mmgr_allocator *allocator);

MMGR_END_DECLS
#endif
