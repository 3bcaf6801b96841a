/* SPDX-License-Identifier: MIT */
/* How fast a header of 1,500 tensors is read: our scanner with every check, against jansson's tree
 * alone. Prints the figures; it never fails for being slow. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"
#include "format/header.h"

#define TENSORS 1500
#define ROUNDS  200

static size_t make_header(char *text, size_t room)
{
    size_t length = (size_t)snprintf(text, room, "{\"__metadata__\":{\"format\":\"pt\"}");
    uint64_t at = 0;

    for (int i = 0; i < TENSORS; i++) {
        uint64_t bytes = UINT64_C(1280) * 640 * 2;
        length += (size_t)snprintf(
            text + length, room - length,
            ",\"model.diffusion_model.output_blocks.%d.1.transformer_blocks.%d.attn%d."
            "to_out.0.weight\":{\"dtype\":\"F16\",\"shape\":[1280,640],"
            "\"data_offsets\":[%llu,%llu]}",
            i / 20, i / 2 % 10, i % 2 + 1, (unsigned long long)at,
            (unsigned long long)(at + bytes));
        at += bytes;
    }
    length += (size_t)snprintf(text + length, room - length, "}");
    return length;
}

/* The header is in memory; the data behind it is as long as it says, and nobody reads it. */
struct memory {
    const char *data;
};

static enum mmgr_result read_memory(void *self, uint64_t offset, void *data, size_t bytes)
{
    memcpy(data, ((struct memory *)self)->data + offset, bytes);
    return MMGR_OK;
}

static void close_memory(void *self)
{
    (void)self;
}

int main(void)
{
    static const struct mmgr__source_ops ops = {read_memory, close_memory};
    size_t room = TENSORS * 256;
    char *text = malloc(room + 8);
    size_t length = make_header(text + 8, room);
    struct memory memory = {text};
    double ours, theirs;

    for (int i = 0; i < 8; i++)
        text[i] = (char)((uint64_t)length >> (8 * i));
    int64_t start = mmgr__now_monotonic();
    for (int i = 0; i < ROUNDS; i++) {
        struct mmgr__bytes bytes = {&ops, &memory, "memory",
                                    8 + length + UINT64_C(1280) * 640 * 2 * TENSORS, 0};
        struct mmgr__header header;
        if (mmgr__safetensors_read(&bytes, "memory", &header) != MMGR_OK ||
            header.count != TENSORS) {
            fprintf(stderr, "%s\n", mmgr_error_message(mmgr_last_error()));
            return 1;
        }
        mmgr__header_free(&header);
    }
    ours = (double)(mmgr__now_monotonic() - start) / ROUNDS / 1000;
    start = mmgr__now_monotonic();
    for (int i = 0; i < ROUNDS; i++) {
        json_t *tree = json_loadb(text + 8, length, JSON_REJECT_DUPLICATES, NULL);
        if (tree == NULL)
            return 1;
        json_decref(tree);
    }
    theirs = (double)(mmgr__now_monotonic() - start) / ROUNDS / 1000;
    printf("header of %zu bytes, %d tensors: scanner with all checks %.1f us (%.2f GB/s), "
           "jansson tree %.1f us, ratio %.1f\n",
           length, TENSORS, ours, (double)length / ours / 1000, theirs, theirs / ours);
    free(text);
    return 0;
}
