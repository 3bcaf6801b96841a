/* SPDX-License-Identifier: MIT */
/* The files below some folders, by path and by size, and their hashes. */
#include "install/finder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/log.h"
#include "base/path.h"
#include "install/install.h"

#define BLOCK (1u << 20)

enum mmgr_result mmgr__finder_add(struct mmgr__finder *finder, const char *folder)
{
    struct mmgr__walk walk;
    int fd = mmgr__io_open_dir(AT_FDCWD, folder);
    if (fd < 0)
        return mmgr__fail_errno(-fd, "open the folder", folder);
    mmgr__io_close(fd);
    enum mmgr_result result = mmgr__walk_for(folder, MMGR__WALK_LENIENT, &walk);
    if (result != MMGR_OK)
        return result;
    if (!mmgr__grow((void **)&finder->files, &finder->capacity, finder->count + walk.count,
                    sizeof *finder->files))
        result = mmgr__oom();
    for (size_t i = 0; result == MMGR_OK && i < walk.count; i++) {
        char *path = walk.items[i].is_link ? NULL : mmgr__path_join(folder, walk.items[i].relative);
        if (path)
            finder->files[finder->count++] = (struct mmgr__found){
                .path = path, .root = strlen(folder), .size = walk.items[i].size};
        else if (!walk.items[i].is_link)
            result = mmgr__oom();
    }
    mmgr__walk_free(&walk);
    return result;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct mmgr__found *)a)->path, ((const struct mmgr__found *)b)->path);
}

static int by_size(const void *a, const void *b)
{
    const struct mmgr__found *one = *(struct mmgr__found *const *)a;
    const struct mmgr__found *other = *(struct mmgr__found *const *)b;
    if (one->size != other->size)
        return one->size < other->size ? -1 : 1;
    return strcmp(one->path, other->path);
}

enum mmgr_result mmgr__finder_index(struct mmgr__finder *finder)
{
    size_t kept = 0;
    if (finder->count)
        qsort(finder->files, finder->count, sizeof *finder->files, by_path);
    /* Folders may lie in each other. */
    for (size_t i = 0; i < finder->count; i++) {
        if (kept && strcmp(finder->files[kept - 1].path, finder->files[i].path) == 0)
            mmgr__free(finder->files[i].path);
        else
            finder->files[kept++] = finder->files[i];
    }
    finder->count = kept;
    finder->by_size = mmgr__alloc0(kept + 1, sizeof *finder->by_size);
    if (!finder->by_size)
        return mmgr__oom();
    for (size_t i = 0; i < kept; i++)
        finder->by_size[i] = &finder->files[i];
    qsort(finder->by_size, kept, sizeof *finder->by_size, by_size);
    return MMGR_OK;
}

struct mmgr__found *const *mmgr__finder_of_size(const struct mmgr__finder *finder, uint64_t size,
                                                size_t *count)
{
    size_t low = 0, high = finder->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (finder->by_size[middle]->size < size)
            low = middle + 1;
        else
            high = middle;
    }
    for (*count = 0; low + *count < finder->count && finder->by_size[low + *count]->size == size;)
        ++*count;
    return *count ? finder->by_size + low : NULL;
}

struct mmgr__found *mmgr__finder_at(const struct mmgr__finder *finder, const char *path)
{
    struct mmgr__found wanted = {.path = (char *)path};
    return finder->count ? bsearch(&wanted, finder->files, finder->count, sizeof wanted, by_path)
                         : NULL;
}

struct mmgr__found *mmgr__finder_below(const struct mmgr__finder *finder, const char *folder,
                                       size_t *count)
{
    size_t low = 0, high = finder->count, length = strlen(folder);
    *count = 0;
    /* The first path that is not less than "folder/". */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const char *path = finder->files[middle].path;
        int order = strncmp(path, folder, length);
        if (order < 0 || (order == 0 && (unsigned char)path[length] < '/'))
            low = middle + 1;
        else
            high = middle;
    }
    while (low + *count < finder->count &&
           mmgr__path_inside(finder->files[low + *count].path, folder))
        ++*count;
    return *count ? finder->files + low : NULL;
}

/* Open the file beneath the folder that was searched: a link that came since leads nowhere. */
static int open_found(const struct mmgr__found *file)
{
    char *root = mmgr__strndup(file->path, file->root);
    int dirfd = root ? mmgr__io_open_dir(AT_FDCWD, root) : -ENOMEM;
    const char *relative = file->path + file->root;
    struct stat st;
    int fd = dirfd < 0 ? dirfd
                       : mmgr__io_open_beneath(dirfd, relative + (*relative == '/'),
                                               O_RDONLY | O_NONBLOCK, 0);
    mmgr__io_close(dirfd);
    mmgr__free(root);
    if (fd >= 0 &&
        (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != file->size)) {
        mmgr__io_close(fd);
        fd = -ENOENT; /* it is another file now */
    }
    return fd;
}

/* All hashes in one reading. */
static enum mmgr_result digest_all(struct mmgr__finder *finder, const struct mmgr__found *file,
                                   int fd, struct mmgr__digest *const *digests)
{
    enum mmgr_result result = MMGR_OK;
    uint64_t at = 0;
    int64_t got = 1;
    char *block = mmgr__alloc(BLOCK);
    if (!block)
        return mmgr__oom();
    while (result == MMGR_OK && got > 0) {
        got = mmgr__io_pread(fd, block, BLOCK, at);
        if (got < 0)
            result = mmgr__fail_errno((int)-got, "read", file->path);
        for (int i = 0; result == MMGR_OK && got > 0 && i < MMGR__FINDER_HASHES; i++)
            if (digests[i])
                result = mmgr__digest_update(digests[i], block, (size_t)got);
        at += got > 0 ? (uint64_t)got : 0;
    }
    finder->hashed_bytes += at;
    mmgr__free(block);
    return result;
}

static enum mmgr_result hash_open(struct mmgr__finder *finder, struct mmgr__found *file, int fd,
                                  uint32_t kinds)
{
    struct mmgr__digest *digests[MMGR__FINDER_HASHES] = {NULL};
    enum mmgr_result result = MMGR_OK;
    for (int i = 0; result == MMGR_OK && i < MMGR__FINDER_HASHES; i++)
        if (kinds & (1u << i))
            result = mmgr__digest_new((enum mmgr__digest_kind)i, file->size, &digests[i]);
    if (result == MMGR_OK)
        result = digest_all(finder, file, fd, digests);
    for (int i = 0; i < MMGR__FINDER_HASHES; i++) {
        if (result == MMGR_OK && digests[i])
            result = mmgr__digest_hex(digests[i], file->hash[i]);
        mmgr__digest_free(digests[i]);
    }
    return result;
}

enum mmgr_result mmgr__finder_hash(struct mmgr__finder *finder, struct mmgr__found *file,
                                   uint32_t kinds)
{
    if (file->was_read || !kinds)
        return MMGR_OK;
    file->was_read = 1;
    int fd = open_found(file);
    enum mmgr_result result =
        fd < 0 ? mmgr__fail_errno(-fd, "open", file->path) : hash_open(finder, file, fd, kinds);
    mmgr__io_close(fd);
    if (result == MMGR_OK || result == MMGR_ERR_NO_MEMORY)
        return result;
    mmgr__log(MMGR_LOG_WARNING, "install", "not compared: %s",
              mmgr_error_message(mmgr_last_error()));
    return MMGR_OK;
}

void mmgr__finder_free(struct mmgr__finder *finder)
{
    for (size_t i = 0; i < finder->count; i++)
        mmgr__free(finder->files[i].path);
    mmgr__free(finder->files);
    mmgr__free(finder->by_size);
    memset(finder, 0, sizeof *finder);
}
