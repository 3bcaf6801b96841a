/* SPDX-License-Identifier: MIT */
/* Brings the weights of a checkpoint into RAM: one slab a file, the file's data as it lies on
 * disk. */
#include <errno.h>
#include <string.h>

#include <modelmgr/load.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/io.h"
#include "format/format.h"
#include "load/tensors.h"

/* How one file's tensors lie in its slab. Normally as in the file; when that would leave a
 * tensor at an address that its elements must not have, each tensor gets a place of its own. */
struct place {
    uint64_t begin, end; /* stretch of the file that holds tensors */
    uint64_t bytes;      /* of the slab */
    uint64_t spans;
    int spread;
};

static uint64_t round_up(uint64_t value)
{
    return (value + MMGR__DEVICE_ALIGNMENT - 1) / MMGR__DEVICE_ALIGNMENT * MMGR__DEVICE_ALIGNMENT;
}

static uint64_t element_size(const mmgr_checkpoint *checkpoint, uint64_t tensor)
{
    uint64_t bits = mmgr_dtype_bits(mmgr_checkpoint_tensor_dtype(checkpoint, tensor));
    return bits >= 8 ? bits / 8 : 1;
}

/* Lay out every file; `places` has one zeroed item a file. */
static void lay_out(const mmgr_checkpoint *checkpoint, struct place *places)
{
    uint64_t count = mmgr_checkpoint_tensor_count(checkpoint);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t begin = mmgr_checkpoint_tensor_offset(checkpoint, i);
        uint64_t bytes = mmgr_checkpoint_tensor_bytes(checkpoint, i);
        struct place *place = &places[mmgr_checkpoint_tensor_file(checkpoint, i)];
        if (bytes == 0)
            continue;
        if (place->spans == 0 || begin < place->begin)
            place->begin = begin;
        if (begin + bytes > place->end)
            place->end = begin + bytes;
        place->bytes += round_up(bytes);
        place->spans++;
    }
    for (uint64_t i = 0; i < count; i++) {
        struct place *place = &places[mmgr_checkpoint_tensor_file(checkpoint, i)];
        uint64_t inside = mmgr_checkpoint_tensor_offset(checkpoint, i) - place->begin;
        if (mmgr_checkpoint_tensor_bytes(checkpoint, i) > 0 &&
            inside % element_size(checkpoint, i) != 0)
            place->spread = 1;
    }
    for (uint32_t i = 0; i < mmgr_checkpoint_file_count(checkpoint); i++) {
        if (!places[i].spread && places[i].spans > 0) {
            places[i].bytes = places[i].end - places[i].begin;
            places[i].spans = 1;
        }
    }
}

uint64_t mmgr__tensor_set_estimate(const mmgr_checkpoint *checkpoint)
{
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < mmgr_checkpoint_tensor_count(checkpoint); i++)
        bytes += mmgr_checkpoint_tensor_bytes(checkpoint, i);
    return bytes;
}

/* What is open while a checkpoint is read. */
struct files {
    int *fds;
    struct stat *before;
    uint32_t count;
};

static void close_files(struct files *files)
{
    for (uint32_t i = 0; i < files->count; i++)
        mmgr__io_close(files->fds[i]);
    mmgr__free(files->fds);
    mmgr__free(files->before);
}

static enum mmgr_result open_files(const mmgr_checkpoint *checkpoint, struct files *files)
{
    uint32_t count = mmgr_checkpoint_file_count(checkpoint);
    files->fds = mmgr__alloc0((size_t)count + 1, sizeof *files->fds);
    files->before = mmgr__alloc0((size_t)count + 1, sizeof *files->before);
    if (files->fds == NULL || files->before == NULL)
        return mmgr__oom();
    for (uint32_t i = 0; i < count; i++) {
        enum mmgr_result result = mmgr__checkpoint_open_file(checkpoint, i, &files->fds[i]);
        if (result != MMGR_OK)
            return result;
        files->count = i + 1;
        if (fstat(files->fds[i], &files->before[i]) != 0)
            return mmgr__fail_errno(errno, "look at", mmgr_checkpoint_file_path(checkpoint, i));
    }
    return MMGR_OK;
}

/* What was read is worth nothing if somebody wrote to the file meanwhile. */
static enum mmgr_result check_unchanged(const mmgr_checkpoint *checkpoint,
                                        const struct files *files)
{
    for (uint32_t i = 0; i < files->count; i++) {
        const char *path = mmgr_checkpoint_file_path(checkpoint, i);
        const struct stat *before = &files->before[i];
        struct stat now;
        if (fstat(files->fds[i], &now) != 0)
            return mmgr__fail_errno(errno, "look at", path);
        if (now.st_size != before->st_size || now.st_mtim.tv_sec != before->st_mtim.tv_sec ||
            now.st_mtim.tv_nsec != before->st_mtim.tv_nsec) {
            enum mmgr_result result =
                mmgr__fail(MMGR_ERR_INVALID_FILE, "%s was changed while it was being read", path);
            mmgr__error_set_subject(path);
            return result;
        }
    }
    return MMGR_OK;
}

static void fill_tensor(const mmgr_checkpoint *checkpoint, uint64_t index, int64_t *strides,
                        mmgr_tensor *tensor)
{
    tensor->name = mmgr_checkpoint_tensor_name(checkpoint, index);
    tensor->shape = mmgr_checkpoint_tensor_shape(checkpoint, index);
    tensor->strides = strides;
    tensor->bytes = mmgr_checkpoint_tensor_bytes(checkpoint, index);
    tensor->rank = mmgr_checkpoint_tensor_rank(checkpoint, index);
    tensor->dtype = mmgr_checkpoint_tensor_dtype(checkpoint, index);
    const int64_t *given = mmgr_checkpoint_tensor_strides(checkpoint, index);
    uint64_t step = 1;
    for (uint32_t k = tensor->rank; k-- > 0;) {
        strides[k] = given != NULL ? given[k] : (int64_t)step;
        /* An empty tensor may have any other dimensions; its strides mean nothing. */
        if (__builtin_mul_overflow(step, tensor->shape[k], &step) || step > INT64_MAX)
            step = 0;
    }
}

/* Slabs, tensors that point into them, and the spans to read. spans has room for all. */
static enum mmgr_result place_tensors(mmgr_tensor_set *set, const struct place *places,
                                      const struct files *files, struct mmgr__span *spans)
{
    const mmgr_checkpoint *checkpoint = set->checkpoint;
    for (uint32_t i = 0; i < files->count; i++) {
        enum mmgr_result result =
            mmgr__device_allocate(set->device, places[i].bytes, &set->slabs[i].memory);
        if (result != MMGR_OK)
            return result;
        set->slabs[i].bytes = places[i].bytes;
        set->slab_count = i + 1;
    }
    uint64_t *used = mmgr__alloc0((size_t)files->count + 1, sizeof *used);
    if (used == NULL)
        return mmgr__oom();
    int64_t *strides = set->strides;
    size_t span_count = 0;
    for (uint64_t i = 0; i < set->count; i++) {
        uint32_t file = mmgr_checkpoint_tensor_file(checkpoint, i);
        const struct place *place = &places[file];
        mmgr_tensor *tensor = &set->tensors[i];
        fill_tensor(checkpoint, i, strides, tensor);
        strides += tensor->rank;
        set->slab_of[i] = file;
        set->bytes += tensor->bytes;
        if (tensor->bytes == 0)
            continue;
        uint64_t offset = mmgr_checkpoint_tensor_offset(checkpoint, i);
        char *slab = set->slabs[file].memory;
        tensor->data = slab + (place->spread ? used[file] : offset - place->begin);
        if (place->spread || used[file] == 0)
            spans[span_count++] =
                (struct mmgr__span){.fd = files->fds[file],
                                    .name = mmgr_checkpoint_file_path(checkpoint, file),
                                    .offset = place->spread ? offset : place->begin,
                                    .bytes = place->spread ? tensor->bytes : place->bytes,
                                    .memory = place->spread ? tensor->data : slab};
        used[file] += round_up(tensor->bytes);
    }
    mmgr__free(used);
    return mmgr__read_spans(spans, span_count);
}

static enum mmgr_result load(mmgr_tensor_set *set)
{
    const mmgr_checkpoint *checkpoint = set->checkpoint;
    uint32_t file_count = mmgr_checkpoint_file_count(checkpoint);
    uint64_t dims = 0, span_count = 0;
    set->count = mmgr_checkpoint_tensor_count(checkpoint);
    for (uint64_t i = 0; i < set->count; i++)
        dims += mmgr_checkpoint_tensor_rank(checkpoint, i);
    set->tensors = mmgr__alloc0((size_t)set->count + 1, sizeof *set->tensors);
    set->slab_of = mmgr__alloc0((size_t)set->count + 1, sizeof *set->slab_of);
    set->strides = mmgr__alloc0((size_t)dims + 1, sizeof *set->strides);
    set->slabs = mmgr__alloc0((size_t)file_count + 1, sizeof *set->slabs);
    struct place *places = mmgr__alloc0((size_t)file_count + 1, sizeof *places);
    struct mmgr__span *spans = NULL;
    struct files files = {0};
    enum mmgr_result result = MMGR_OK;
    if (set->tensors == NULL || set->slab_of == NULL || set->strides == NULL ||
        set->slabs == NULL || places == NULL)
        result = mmgr__oom();
    if (result == MMGR_OK) {
        lay_out(checkpoint, places);
        for (uint32_t i = 0; i < file_count; i++)
            span_count += places[i].spans;
        spans = mmgr__alloc0((size_t)span_count + 1, sizeof *spans);
        result = spans != NULL ? open_files(checkpoint, &files) : mmgr__oom();
    }
    if (result == MMGR_OK)
        result = place_tensors(set, places, &files, spans);
    if (result == MMGR_OK)
        result = check_unchanged(checkpoint, &files);
    close_files(&files);
    mmgr__free(places);
    mmgr__free(spans);
    return result;
}

enum mmgr_result mmgr__tensor_set_load(mmgr_checkpoint *checkpoint, mmgr_tensor_set **set)
{
    mmgr_tensor_set *made;
    enum mmgr_result result = mmgr__tensor_set_empty(&made);
    if (result != MMGR_OK)
        return result;
    made->checkpoint = mmgr_checkpoint_ref(checkpoint);
    result = load(made);
    if (result != MMGR_OK) {
        mmgr_tensor_set_unref(made);
        return result;
    }
    *set = made;
    return MMGR_OK;
}

enum mmgr_result mmgr_tensor_set_read(const char *path, const char *component, const char *variant,
                                      mmgr_tensor_set **set)
{
    if (set == NULL)
        return mmgr__bad_argument("set");
    struct mmgr_checkpoint_options options = {
        .struct_size = sizeof options, .component = component, .variant = variant};
    mmgr_checkpoint *checkpoint;
    enum mmgr_result result = mmgr_checkpoint_open(path, &options, &checkpoint);
    if (result != MMGR_OK)
        return result;
    result = mmgr__tensor_set_load(checkpoint, set);
    mmgr_checkpoint_unref(checkpoint);
    return result;
}
