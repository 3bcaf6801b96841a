/* SPDX-License-Identifier: MIT */
/* Fuzz target: any bytes as a safetensors file. With libFuzzer it is the entry point; built with
 * -DREPLAY it runs the files and folders named on the command line through the same function. */
#include <stdint.h>
#include <stdio.h>
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

#ifdef REPLAY
#include <dirent.h>

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return 0;
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    uint8_t *data = malloc(size > 0 ? (size_t)size : 1);
    size_t got = size > 0 ? fread(data, 1, (size_t)size, file) : 0;
    fclose(file);
    LLVMFuzzerTestOneInput(data, got);
    free(data);
    return 1;
}

int main(int argc, char **argv)
{
    int files = 0;

    for (int i = 1; i < argc; i++) {
        DIR *stream = opendir(argv[i]);
        const struct dirent *entry;
        while (stream != NULL && (entry = readdir(stream)) != NULL) {
            char path[4096];
            snprintf(path, sizeof(path), "%s/%s", argv[i], entry->d_name);
            if (entry->d_name[0] != '.')
                files += replay_file(path);
        }
        if (stream != NULL)
            closedir(stream);
        else
            files += replay_file(argv[i]);
    }
    printf("%d inputs\n", files);
    return files > 0 ? 0 : 1;
}
#endif
