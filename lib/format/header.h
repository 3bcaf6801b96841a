/* SPDX-License-Identifier: MIT */
/* Inside of the format layer: one file's parsed header, the table of names, and the choice of
 * files. */
#ifndef FORMAT_HEADER_H
#define FORMAT_HEADER_H

#include "base/error.h"
#include "base/source.h"
#include "format/format.h"

/* A table from texts to numbers. The texts are lent and must outlive it. */
struct mmgr__name_slot {
    const char *text;
    uint32_t hash, value;
};
struct mmgr__names {
    struct mmgr__name_slot *slots;
    size_t mask, count;
    uint64_t seed;
};
enum mmgr_result mmgr__names_init(struct mmgr__names *names, size_t expected); /* NO_MEMORY */
/* 1: put in; 0: already there; -1: no room, or so many collisions that someone chose the names. */
int mmgr__names_put(struct mmgr__names *names, const char *text, size_t length, uint32_t value);
int mmgr__names_find(const struct mmgr__names *names, const char *text, uint32_t *value);
void mmgr__names_free(struct mmgr__names *names);

struct mmgr__tensor {
    const char *name;
    uint64_t begin, end; /* from the start of the file */
    uint32_t shape;      /* index of the first dimension in dims */
    uint16_t rank;
    uint16_t dtype;
};
struct mmgr__pair {
    const char *key, *value;
};
struct mmgr__header {
    char *text; /* the header's bytes; names and metadata are decoded in place */
    struct mmgr__tensor *tensors;
    size_t count, capacity;
    uint64_t *dims;
    size_t dim_count, dim_capacity;
    struct mmgr__pair *metadata;
    size_t metadata_count, metadata_capacity;
    struct mmgr__names names; /* tensor name to its place in the list */
    uint64_t data_offset, file_size;
};

/* Parse the header of a safetensors file. `shown` is the path for messages. The tensors come out in
 * the order of their data. UNSUPPORTED for a file of another known format. */
enum mmgr_result mmgr__safetensors_read(struct mmgr__bytes *bytes, const char *shown,
                                        struct mmgr__header *header);
void mmgr__header_free(struct mmgr__header *header);

/* A weight file to read: its path below the folder, and the index that asked for it. */
struct mmgr__weight {
    char *path;
    uint32_t group; /* files of one group are shards of one model part */
};
struct mmgr__mapping {
    const char *tensor, *shard;
};
struct mmgr__index {
    char *text;
    char *path;
    struct mmgr__mapping *map;
    size_t count, capacity;
    uint32_t group;
};
struct mmgr__selection {
    struct mmgr__weight *weights;
    size_t count, capacity;
    struct mmgr__index *indexes;
    size_t index_count, index_capacity;
    uint32_t groups;
    const char *foreign; /* a format that was passed over, when nothing else is there */
    uint64_t bytes_read;
};
void mmgr__selection_free(struct mmgr__selection *selection);
/* Which weight files make up the folder, or one component of it. */
enum mmgr_result mmgr__folder_select(struct mmgr__folder *folder, const char *component,
                                     const char *variant, struct mmgr__selection *selection);
/* Read a sharded index below the folder and add its shards to the selection. */
enum mmgr_result mmgr__index_add(struct mmgr__folder *folder, const char *path,
                                 struct mmgr__selection *selection);
int mmgr__selection_add(struct mmgr__selection *selection, const char *folder, const char *name,
                        uint32_t group); /* 0 = no memory */

/* A regular file below the folder, whole, at most `limit` bytes. A missing one is
 * PATH_NOT_FOUND. */
enum mmgr_result mmgr__folder_read(struct mmgr__folder *folder, const char *path, size_t limit,
                                   char **data, size_t *length);
int mmgr__folder_fd(const struct mmgr__folder *folder);

#endif
