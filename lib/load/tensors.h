/* SPDX-License-Identifier: MIT */
/* Tensor sets: slabs of memory on one device, with tensors as views of them. */
#ifndef LOAD_TENSORS_H
#define LOAD_TENSORS_H

#include <modelmgr/checkpoint.h>
#include <modelmgr/tensor.h>

#include "device/device.h"

/* One allocation. All tensors of one weight file lie in one. */
struct mmgr__slab {
    void *memory;
    uint64_t bytes;
};

struct mmgr_tensor_set {
    mmgr__refs refs;
    mmgr_device *device;
    mmgr_checkpoint *checkpoint; /* names and shapes; NULL for an empty set */
    mmgr_tensor_set
        *origin; /* of a copy: the set that it was copied from, which owns the strides */
    mmgr_tensor *tensors;
    uint32_t *slab_of; /* slab of each tensor; of a copy, the origin's */
    uint64_t count, bytes;
    int64_t *strides;
    struct mmgr__slab *slabs;
    uint32_t slab_count;
};

/* A set without tensors, for parts of a pipeline that hold no weights. */
enum mmgr_result mmgr__tensor_set_empty(mmgr_tensor_set **set);
/* Bytes of all slabs: what a set takes of its device. */
uint64_t mmgr__tensor_set_footprint(const mmgr_tensor_set *set);
/* Read the weights of an opened checkpoint into RAM. INVALID_FILE when a file changed meanwhile. */
enum mmgr_result mmgr__tensor_set_load(mmgr_checkpoint *checkpoint, mmgr_tensor_set **set);
/* Bytes that the above will allocate. */
uint64_t mmgr__tensor_set_estimate(const mmgr_checkpoint *checkpoint);
/* Copy a set to another device. DEVICE_MEMORY, PLUGIN, NO_MEMORY; nothing stays allocated then. */
enum mmgr_result mmgr__tensor_set_upload(const mmgr_tensor_set *from, mmgr_device *device,
                                         mmgr_tensor_set **set);

/* A stretch of a weight file and where it goes. */
struct mmgr__span {
    int fd;
    const char *name; /* of the file, for messages */
    uint64_t offset, bytes;
    char *memory;
};
/* Read all spans, with a few threads when there is much to read. INVALID_FILE when a file is too
 * short. */
enum mmgr_result mmgr__read_spans(const struct mmgr__span *spans, size_t count);

#endif
