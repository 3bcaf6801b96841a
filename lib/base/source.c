/* SPDX-License-Identifier: MIT */
/* Byte sources over a file and over memory. */
#include "base/source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/error.h"
#include "base/io.h"

struct file_source {
    int fd;
    char *name;
};

static enum mmgr_result truncated(const char *name, uint64_t offset, size_t bytes)
{
    enum mmgr_result result = mmgr__fail(
        MMGR_ERR_INVALID_FILE, "%s is truncated: %zu bytes are missing or cut short at offset %llu",
        name, bytes, (unsigned long long)offset);
    mmgr__error_set_subject(name);
    mmgr__error_set_offset(offset);
    return result;
}

static enum mmgr_result file_read(void *self, uint64_t offset, void *data, size_t bytes)
{
    struct file_source *source = self;
    int64_t got = mmgr__io_pread(source->fd, data, bytes, offset);
    if (got < 0) {
        enum mmgr_result result = mmgr__fail_errno((int)-got, "read", source->name);
        mmgr__error_set_offset(offset);
        return result;
    }
    /* The file was long enough when it was opened: someone has shortened it since. */
    return (uint64_t)got == bytes ? MMGR_OK : truncated(source->name, offset, bytes);
}

static void file_close(void *self)
{
    struct file_source *source = self;
    mmgr__io_close(source->fd);
    mmgr__free(source->name);
    mmgr__free(source);
}

static const struct mmgr__source_ops file_ops = {file_read, file_close};

static enum mmgr_result open_failed(int error, const char *path)
{
    if (error != -EINVAL)
        return mmgr__fail_errno(-error, "open", path);
    enum mmgr_result result = mmgr__fail(MMGR_ERR_INVALID_FILE, "%s is not a regular file", path);
    mmgr__error_set_subject(path);
    return result;
}

/* Takes the descriptor over. */
static enum mmgr_result wrap(int fd, const char *path, struct mmgr__bytes *bytes)
{
    struct stat st;
    int error = fstat(fd, &st) != 0 ? -errno : S_ISREG(st.st_mode) ? 0 : -EINVAL;
    if (error != 0) {
        mmgr__io_close(fd);
        return open_failed(error, path);
    }
    struct file_source *source = mmgr__alloc0(1, sizeof *source);
    char *name = mmgr__strdup(path);
    if (source == NULL || name == NULL) {
        mmgr__free(source);
        mmgr__free(name);
        mmgr__io_close(fd);
        return mmgr__oom();
    }
    source->fd = fd;
    source->name = name;
    *bytes = (struct mmgr__bytes){&file_ops, source, name, (uint64_t)st.st_size, 0};
    return MMGR_OK;
}

enum mmgr_result mmgr__bytes_open_file(const char *path, struct mmgr__bytes *bytes)
{
    int fd = mmgr__io_open_read(AT_FDCWD, path);
    return fd < 0 ? open_failed(fd, path) : wrap(fd, path, bytes);
}

enum mmgr_result mmgr__bytes_open_beneath(int dirfd, const char *path, struct mmgr__bytes *bytes)
{
    int fd = mmgr__io_open_beneath(dirfd, path, O_RDONLY | O_NONBLOCK, 0);
    return fd < 0 ? open_failed(fd, path) : wrap(fd, path, bytes);
}

struct memory_source {
    const char *data;
    char name[];
};

static enum mmgr_result memory_read(void *self, uint64_t offset, void *data, size_t bytes)
{
    struct memory_source *source = self;
    memcpy(data, source->data + offset, bytes);
    return MMGR_OK;
}

static void memory_close(void *self)
{
    mmgr__free(self);
}

static const struct mmgr__source_ops memory_ops = {memory_read, memory_close};

enum mmgr_result mmgr__bytes_open_memory(const void *data, size_t size, const char *name,
                                         struct mmgr__bytes *bytes)
{
    size_t length = strlen(name) + 1;
    struct memory_source *source = mmgr__alloc(sizeof *source + length);
    if (source == NULL)
        return mmgr__oom();
    source->data = data;
    memcpy(source->name, name, length);
    *bytes = (struct mmgr__bytes){&memory_ops, source, source->name, size, 0};
    return MMGR_OK;
}

enum mmgr_result mmgr__bytes_read(struct mmgr__bytes *bytes, uint64_t offset, void *data,
                                  size_t count)
{
    uint64_t end;
    if (!mmgr__add_u64(offset, count, &end) || end > bytes->size)
        return truncated(bytes->name, offset, count);
    if (count == 0)
        return MMGR_OK;
    enum mmgr_result result = bytes->ops->read(bytes->self, offset, data, count);
    if (result == MMGR_OK)
        bytes->bytes_read += count;
    return result;
}

void mmgr__bytes_close(struct mmgr__bytes *bytes)
{
    if (bytes->ops != NULL)
        bytes->ops->close(bytes->self);
    *bytes = (struct mmgr__bytes){0};
}
