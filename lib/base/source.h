/* SPDX-License-Identifier: MIT */
/* Byte sources: where the readers of formats get their bytes from (a file, memory, later HTTP ranges). */
#ifndef BASE_SOURCE_H
#define BASE_SOURCE_H

#include <modelmgr/error.h>

/* read: exactly `bytes` at `offset`, or an error that names `name` and the offset. */
struct mmgr__source_ops {
    enum mmgr_result (*read)(void *self, uint64_t offset, void *data, size_t bytes);
    void (*close)(void *self);
};
struct mmgr__bytes {
    const struct mmgr__source_ops *ops;
    void *self;
    const char *name;    /* path or URL, for messages; lives as long as the source */
    uint64_t size;
    uint64_t bytes_read; /* kept by mmgr__bytes_read() */
};
enum mmgr_result mmgr__bytes_open_file(const char *path, struct mmgr__bytes *bytes);
enum mmgr_result mmgr__bytes_open_beneath(int dirfd, const char *path, struct mmgr__bytes *bytes);
/* data is lent, name is copied. */
enum mmgr_result mmgr__bytes_open_memory(const void *data, size_t size, const char *name,
                                         struct mmgr__bytes *bytes);
/* INVALID_FILE "truncated" when the range is past the end; subject = name, offset set. */
enum mmgr_result mmgr__bytes_read(struct mmgr__bytes *bytes, uint64_t offset, void *data, size_t count);
void mmgr__bytes_close(struct mmgr__bytes *bytes);

#endif
