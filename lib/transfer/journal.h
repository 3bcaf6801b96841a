/* SPDX-License-Identifier: MIT */
/* Text of the two journals of the queue: of one partial file, and of the finished parts of a job.
 * */
#ifndef TRANSFER_JOURNAL_H
#define TRANSFER_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

/* Of a partial file. Texts are owned by what mmgr__journal_read() filled. */
struct mmgr__journal {
    char *source, *sha256, *etag, *weak_etag, *last_modified;
    uint64_t size;   /* UINT64_MAX: unknown */
    uint64_t offset; /* bytes that are on the disk */
};
/* 1 when there is a file of that name, whatever it holds; a broken one claims nothing. */
int mmgr__journal_read(int dirfd, const char *name, struct mmgr__journal *journal);
/* Atomically, by way of `temporary`; 0 or a negative errno. */
int mmgr__journal_write(int dirfd, const char *name, const char *temporary,
                        const struct mmgr__journal *journal);
void mmgr__journal_clear(struct mmgr__journal *journal);

/* Of a multi-file job: parts that are in their place, so that a resumed job need not hash them
 * again. */
#define MMGR__FINISHED_NAME ".mmgr-finished-journal"
struct mmgr__finished {
    char *path, *source, *sha256;
    uint64_t size, inode;
    int64_t mtime_ns;
};
struct mmgr__finished_list {
    struct mmgr__finished *items;
    size_t count, capacity;
};
void mmgr__finished_read(int dirfd, struct mmgr__finished_list *list);
/* Add or replace; 0 when memory ran out. */
int mmgr__finished_add(struct mmgr__finished_list *list, const struct mmgr__finished *item);
const struct mmgr__finished *mmgr__finished_find(const struct mmgr__finished_list *list,
                                                 const char *path);
int mmgr__finished_write(int dirfd, const struct mmgr__finished_list *list);
void mmgr__finished_clear(struct mmgr__finished_list *list);

#endif
