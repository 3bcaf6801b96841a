/* SPDX-License-Identifier: MIT */
/* The files below some folders, by path and by size, and their hashes: each file is read at most
 * once. */
#ifndef INSTALL_FINDER_H
#define INSTALL_FINDER_H

#include "base/digest.h"
#include "base/error.h"

#define MMGR__FINDER_HASHES 3 /* by enum mmgr__digest_kind */

struct mmgr__found {
    char *path; /* absolute */
    size_t root; /* length of the folder that was searched, at the start of path */
    uint64_t size;
    int was_read;
    char hash[MMGR__FINDER_HASHES][65]; /* "" where it was not wanted, or could not be read */
};

/* Zero-initialise. */
struct mmgr__finder {
    struct mmgr__found *files; /* sorted by path once indexed */
    size_t count, capacity;
    struct mmgr__found **by_size;
    uint64_t hashed_bytes;
};

/* Add the regular files below a folder. Links are not followed, hidden entries and folders that
 * cannot be listed are left out. */
enum mmgr_result mmgr__finder_add(struct mmgr__finder *finder, const char *folder);
/* After the last folder. */
enum mmgr_result mmgr__finder_index(struct mmgr__finder *finder);
/* The files of a size: the first of *count in a row, or NULL. */
struct mmgr__found *const *mmgr__finder_of_size(const struct mmgr__finder *finder, uint64_t size,
                                                size_t *count);
/* The file at a path, or NULL. */
struct mmgr__found *mmgr__finder_at(const struct mmgr__finder *finder, const char *path);
/* The files below a folder, in the order of their paths: the first of *count in a row, or NULL. */
struct mmgr__found *mmgr__finder_below(const struct mmgr__finder *finder, const char *folder,
                                       size_t *count);
/* Take the hashes of a file, a bit for each kind, if it was not read yet. One that cannot be read
 * is logged and has none. */
enum mmgr_result mmgr__finder_hash(struct mmgr__finder *finder, struct mmgr__found *file,
                                   uint32_t kinds);
void mmgr__finder_free(struct mmgr__finder *finder);

#endif
