/* SPDX-License-Identifier: MIT */
/* What a file name says about the file, for the selection of a model's files. */
#ifndef HUB_SELECT_H
#define HUB_SELECT_H

#include <stddef.h>

enum hub_family {
    HUB_NO_WEIGHTS,
    HUB_SAFETENSORS,
    HUB_PICKLE,
    HUB_GGUF,
    HUB_ONNX,
    HUB_OPENVINO,
    HUB_FLAX
};

/* A weight file, taken apart: "unet/model.fp16-00001-of-00002.safetensors" is folder "unet/", stem "model",
 * label "fp16", shard 1 of 2. */
struct hub_weight {
    const char *path;
    size_t file, folder_length;
    enum hub_family family;
    char stem[256], label[20];
    unsigned shard, shards; /* 0 of 0: not a shard */
    int usual;              /* has a name by which libraries find it in a folder model */
    int keep;
};

/* 0 when the file holds no weights (or only those of a training run). */
int mmgr__weight_parse(const char *path, struct hub_weight *weight);
/* Small files that belong to a folder model: configs, vocabularies, templates. */
int mmgr__is_companion(const char *path);
/* "model.safetensors.index.json": the weights that it indexes, as by mmgr__weight_parse(); else 0. */
int mmgr__index_parse(const char *path, struct hub_weight *weight);
/* The path names this GGUF quantisation as a word of its own. */
int mmgr__names_quantisation(const char *path, const char *quantisation);
/* GGUF files that go with a model but are none: projectors, importance matrices. */
int mmgr__is_gguf_side_file(const char *path);

#endif
