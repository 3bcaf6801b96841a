/* SPDX-License-Identifier: MIT */
/* What the load layer needs of a device, with errors that name it, and the switches of the test
 * device. */
#ifndef DEVICE_DEVICE_H
#define DEVICE_DEVICE_H

#include <modelmgr/device.h>

#include "base/error.h"
#include "base/thread.h"

struct mmgr_device {
    mmgr__refs refs;
    mmgr_device_ops ops;
    char *name;
    void *self;
    void (*self_free)(void *);
};

/* Tensors start at multiples of this, on any device: what vector units and copy engines like. */
#define MMGR__DEVICE_ALIGNMENT 64u

/* bytes may be 0: *memory is NULL then. DEVICE_MEMORY, NO_MEMORY, PLUGIN. */
enum mmgr_result mmgr__device_allocate(const mmgr_device *device, uint64_t bytes, void **memory);
void mmgr__device_release(const mmgr_device *device, void *memory, uint64_t bytes);
enum mmgr_result mmgr__device_upload(const mmgr_device *device, void *memory, const void *host,
                                     uint64_t bytes);
enum mmgr_result mmgr__device_synchronize(const mmgr_device *device);
int mmgr__device_is_host(const mmgr_device *device);

/* The tables of the built-in devices. Each makes its `self` and says how to free it. */
enum mmgr_result mmgr__cpu_table(mmgr_device_ops *ops);
enum mmgr_result mmgr__fake_table(uint64_t capacity, mmgr_device_ops *ops, void **self,
                                  void (**self_free)(void *));
/* RAM of this machine in bytes: free for new use, and in all, bounded by this process's control
 * group. */
void mmgr__host_memory(uint64_t *available, uint64_t *total);

/* --- the test device ("fake:BYTES") ----------------------------------------------------------- */

struct mmgr__fake_numbers {
    uint64_t used, high, allocations, releases, uploads, upload_bytes, downloads, synchronizes;
};
/* 0 when the device is no fake one. */
int mmgr__fake_numbers(const mmgr_device *device, struct mmgr__fake_numbers *numbers);
enum mmgr__fake_op {
    MMGR__FAKE_ALLOCATE,
    MMGR__FAKE_UPLOAD,
    MMGR__FAKE_SYNCHRONIZE,
    MMGR__FAKE_OPS
};
/* Make the number-th call (1-based, counted from now) of an operation fail; 0 = none. */
void mmgr__fake_fail_at(const mmgr_device *device, enum mmgr__fake_op op, uint64_t number);

#endif
