/* SPDX-License-Identifier: MIT */
/* Fuzz target: any bytes as a safetensors file; what is accepted must keep every promise. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "format/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What every accepted file must fulfil, whatever it is made of. */
static void check(const struct mmgr__header *header, size_t size)
{
    uint64_t reached = header->data_offset;

    for (size_t i = 0; i < header->count; i++) {
        const struct mmgr__tensor *tensor = &header->tensors[i];
        uint64_t bits = mmgr_dtype_bits((enum mmgr_dtype)tensor->dtype);
        uint32_t place = UINT32_MAX;
        for (uint16_t d = 0; d < tensor->rank; d++)
            bits *= header->dims[tensor->shape + d];
        if (tensor->begin != reached || tensor->end < tensor->begin || tensor->end > size ||
            bits != (tensor->end - tensor->begin) * 8 ||
            !mmgr__utf8_valid(tensor->name, strlen(tensor->name)) ||
            !mmgr__names_find(&header->names, tensor->name, &place) || place != i)
            abort();
        reached = tensor->end;
    }
    if (reached != size)
        abort();
    for (size_t i = 0; i < header->metadata_count; i++)
        if (!mmgr__utf8_valid(header->metadata[i].value, strlen(header->metadata[i].value)))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mmgr__bytes bytes;
    struct mmgr__header header;

    if (mmgr__bytes_open_memory(data, size, "fuzz", &bytes) != MMGR_OK)
        return 0;
    if (mmgr__safetensors_read(&bytes, "fuzz", &header) == MMGR_OK) {
        check(&header, size);
        mmgr__header_free(&header);
    }
    mmgr__bytes_close(&bytes);
    return 0;
}
