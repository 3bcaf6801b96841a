/* SPDX-License-Identifier: MIT */
/* Recognises files of formats that this release does not read, by content first. */
#include <string.h>

#include "base/text.h"
#include "format/format.h"

struct magic {
    size_t at, length;
    const char *bytes, *name;
};

static const struct magic magics[] = {
    {0, 4, "GGUF", "GGUF"},
    {0, 4, "FUGG", "GGUF of the other byte order"},
    {0, 4, "lmgg", "GGML"},
    {0, 4, "tjgg", "GGML (GGJT)"},
    {0, 4, "PK\003\004", "PyTorch zip"},
    {0, 4, "PK\005\006", "empty zip"},
    {0, 8, "\211HDF\r\n\032\n", "HDF5 (Keras)"},
    {4, 4, "TFL3", "TensorFlow Lite"},
    {257, 5, "ustar", "tar"},
    {0, 6, "7z\274\257\047\034", "7-Zip"},
    {0, 2, "\037\213", "gzip"},
    {0, 6, "\223NUMPY", "NumPy"},
    {0, 8, "TRTENGIN", "TensorRT engine"},
};

static const struct {
    const char *suffix, *name;
} suffixes[] = {
    {".onnx", "ONNX"},
    {".onnx_data", "ONNX"},
    {".pb", "TensorFlow or ONNX protobuf"},
    {".msgpack", "Flax msgpack"},
    {".ckpt", "pickle"},
    {".pt", "pickle"},
    {".pth", "pickle"},
    {".bin", "pickle"},
    {".gguf", "GGUF"},
    {".xml", "OpenVINO"},
};

const char *mmgr__foreign_format(const unsigned char *head, size_t bytes, const char *name)
{
    for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++)
        if (bytes >= magics[i].at + magics[i].length &&
            memcmp(head + magics[i].at, magics[i].bytes, magics[i].length) == 0)
            return magics[i].name;
    /* PROTO n, then an opcode; text pickles of protocol 0 and 1 are left to the name. */
    if (bytes >= 3 && head[0] == 0x80 && head[1] >= 1 && head[1] <= 5 && head[2] >= 0x20)
        return "pickle";
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
        if (mmgr__ends_with_nocase(name, suffixes[i].suffix))
            return suffixes[i].name;
    return NULL;
}

int mmgr__is_weight_name(const char *name)
{
    if (mmgr__ends_with_nocase(name, ".xml"))
        return 0;
    if (mmgr__ends_with_nocase(name, ".safetensors"))
        return 1;
    return mmgr__foreign_format((const unsigned char *)"", 0, name) != NULL;
}
