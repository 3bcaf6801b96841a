/* SPDX-License-Identifier: MIT */
/* Tensor sets as callers see them, and their copies on other devices. */
#include "base/alloc.h"
#include "base/error.h"
#include "load/tensors.h"

#include <modelmgr/load.h>

mmgr_tensor_set *mmgr_tensor_set_ref(const mmgr_tensor_set *set)
{
    mmgr_tensor_set *same = (mmgr_tensor_set *)set;
    if (same != NULL)
        mmgr__refs_take(&same->refs);
    return same;
}

void mmgr_tensor_set_unref(mmgr_tensor_set *set)
{
    if (set == NULL || !mmgr__refs_drop(&set->refs))
        return;
    for (uint32_t i = 0; i < set->slab_count; i++)
        mmgr__device_release(set->device, set->slabs[i].memory, set->slabs[i].bytes);
    mmgr__free(set->slabs);
    mmgr__free(set->tensors);
    if (set->origin == NULL) {
        mmgr__free(set->strides);
        mmgr__free(set->slab_of);
    }
    mmgr_tensor_set_unref(set->origin);
    mmgr_checkpoint_unref(set->checkpoint);
    mmgr_device_unref(set->device);
    mmgr__free(set);
}

uint64_t mmgr_tensor_set_count(const mmgr_tensor_set *set)
{
    return set != NULL ? set->count : 0;
}

const mmgr_tensor *mmgr_tensor_set_at(const mmgr_tensor_set *set, uint64_t index)
{
    return set != NULL && index < set->count ? &set->tensors[index] : NULL;
}

enum mmgr_result mmgr_tensor_set_find(const mmgr_tensor_set *set, const char *name,
                                      const mmgr_tensor **tensor)
{
    uint64_t index;
    if (set == NULL)
        return mmgr__bad_argument("set");
    if (name == NULL)
        return mmgr__bad_argument("name");
    if (tensor == NULL)
        return mmgr__bad_argument("tensor");
    if (set->checkpoint == NULL) {
        enum mmgr_result result =
            mmgr__fail(MMGR_ERR_UNKNOWN_TENSOR, "no tensor \"%s\": the set is empty", name);
        mmgr__error_set_subject(name);
        return result;
    }
    enum mmgr_result result = mmgr_checkpoint_find(set->checkpoint, name, &index);
    if (result == MMGR_OK)
        *tensor = &set->tensors[index];
    return result;
}

uint64_t mmgr_tensor_set_bytes(const mmgr_tensor_set *set)
{
    return set != NULL ? set->bytes : 0;
}

const mmgr_device *mmgr_tensor_set_device(const mmgr_tensor_set *set)
{
    return set != NULL ? set->device : NULL;
}

enum mmgr_result mmgr__tensor_set_empty(mmgr_tensor_set **set)
{
    mmgr_tensor_set *made = mmgr__alloc0(1, sizeof *made);
    if (made == NULL)
        return mmgr__oom();
    mmgr__refs_init(&made->refs);
    enum mmgr_result result = mmgr_device_open("cpu", &made->device);
    if (result != MMGR_OK) {
        mmgr__free(made);
        return result;
    }
    *set = made;
    return MMGR_OK;
}

uint64_t mmgr__tensor_set_footprint(const mmgr_tensor_set *set)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < set->slab_count; i++)
        bytes += set->slabs[i].bytes;
    return bytes;
}

static enum mmgr_result upload_slabs(const mmgr_tensor_set *from, mmgr_tensor_set *to)
{
    for (uint32_t i = 0; i < from->slab_count; i++) {
        const struct mmgr__slab *slab = &from->slabs[i];
        enum mmgr_result result =
            mmgr__device_allocate(to->device, slab->bytes, &to->slabs[i].memory);
        if (result != MMGR_OK)
            return result;
        to->slabs[i].bytes = slab->bytes;
        to->slab_count = i + 1;
        result = mmgr__device_upload(to->device, to->slabs[i].memory, slab->memory, slab->bytes);
        if (result != MMGR_OK)
            return result;
    }
    return mmgr__device_synchronize(to->device);
}

enum mmgr_result mmgr__tensor_set_upload(const mmgr_tensor_set *from, mmgr_device *device,
                                         mmgr_tensor_set **set)
{
    mmgr_tensor_set *made = mmgr__alloc0(1, sizeof *made);
    if (made == NULL)
        return mmgr__oom();
    mmgr__refs_init(&made->refs);
    made->device = mmgr_device_ref(device);
    made->checkpoint = mmgr_checkpoint_ref(from->checkpoint);
    made->origin = mmgr_tensor_set_ref(from);
    made->slab_of = from->slab_of;
    made->strides = from->strides;
    made->slabs = mmgr__alloc0(from->slab_count + 1, sizeof *made->slabs);
    made->tensors = mmgr__alloc0((size_t)from->count + 1, sizeof *made->tensors);
    enum mmgr_result result = MMGR_OK;
    if (made->slabs == NULL || made->tensors == NULL)
        result = mmgr__oom();
    if (result == MMGR_OK)
        result = upload_slabs(from, made);
    if (result != MMGR_OK) {
        mmgr_tensor_set_unref(made);
        return result;
    }
    made->count = from->count;
    made->bytes = from->bytes;
    for (uint64_t i = 0; i < from->count; i++) {
        uint32_t slab = from->slab_of[i];
        made->tensors[i] = from->tensors[i];
        if (from->tensors[i].data != NULL)
            made->tensors[i].data =
                (char *)made->slabs[slab].memory +
                ((char *)from->tensors[i].data - (char *)from->slabs[slab].memory);
    }
    *set = made;
    return MMGR_OK;
}
