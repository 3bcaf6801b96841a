/* SPDX-License-Identifier: MIT */
/* A file that is on its way: `.NAME.mmgr-part` and `.NAME.mmgr-journal` beside the target.
 *
 * The journal never claims more than is on the disk: data, fsync, journal. Bytes of two versions
 * of a file never meet: before bytes are dropped the journal is made to claim nothing. The part
 * file carries the lock, so that two processes never write to it. */
#ifndef TRANSFER_PARTIAL_H
#define TRANSFER_PARTIAL_H

#include "base/digest.h"
#include "base/error.h"

#define MMGR__PART_SUFFIX    ".mmgr-part"
#define MMGR__JOURNAL_SUFFIX ".mmgr-journal"
#define MMGR__UNKNOWN_SIZE   UINT64_MAX

struct mmgr__partial_options {
    int dirfd;          /* folder of the target; stays the caller's */
    const char *folder; /* its path, for messages */
    const char *name;   /* name of the target, or NULL while unknown: then by `source` */
    /* URL without query, or path: the journal of another source is not resumed ... */
    const char *source;
    const char *sha256;           /* ... unless both expect this hash; or NULL */
    const char *identity;         /* hashed: names targets without a name; NULL: source */
    uint64_t size;                /* expected bytes or MMGR__UNKNOWN_SIZE */
    uint64_t sync_bytes;          /* make durable after so many bytes, */
    int64_t sync_ns;              /* or after so long */
    int (*cancelled)(void *user); /* polled while the prefix is hashed */
    void *user;
};

struct mmgr__partial {
    int dirfd, fd; /* fd: the part file, locked */
    char *folder, *part, *journal, *temporary;
    char *source, *sha256;
    /* What the server said about the version whose bytes these are; NULL or unknown when it did
     * not. */
    char *etag; /* strong entity tag with its quotes */
    char *weak_etag, *last_modified;
    uint64_t size;
    uint64_t offset;  /* bytes written and hashed */
    uint64_t durable; /* bytes that the journal claims */
    int has_journal;
    struct mmgr__digest *digest; /* SHA-256 over offset bytes */
    uint64_t sync_bytes;
    int64_t sync_ns, synced_at;
};

/* Open or make. BUSY when someone else writes to it; NO_SPACE, PERMISSION, IO. After it, offset
 * tells how many bytes are there already. */
enum mmgr_result mmgr__partial_open(const struct mmgr__partial_options *options,
                                    struct mmgr__partial **partial);
/* Tell whose bytes come now; any text may be NULL. */
enum mmgr_result mmgr__partial_identify(struct mmgr__partial *p, const char *etag, int weak,
                                        const char *last_modified, uint64_t size);
/* Whether the bytes can be continued: a strong tag, or a date with a size, or an expected hash. */
int mmgr__partial_resumable(const struct mmgr__partial *p);
enum mmgr_result mmgr__partial_write(struct mmgr__partial *p, const void *data, size_t bytes);
/* data -> disk -> journal */
enum mmgr_result mmgr__partial_sync(struct mmgr__partial *p);
/* Drop all bytes and the version they came from. */
enum mmgr_result mmgr__partial_restart(struct mmgr__partial *p);
/* Reserve the room for the whole file. NO_SPACE. */
enum mmgr_result mmgr__partial_reserve(struct mmgr__partial *p, uint64_t size);
/* fsync -> rename to `name` -> fsync of the folder -> journal away. EXISTS when the target is
 * there and overwrite is 0. The partial is closed when this succeeds. */
enum mmgr_result mmgr__partial_finish(struct mmgr__partial **partial, const char *name,
                                      int overwrite);
/* Close; keep: bytes made durable first, else both files are removed. NULL allowed. */
void mmgr__partial_close(struct mmgr__partial *p, int keep);
/* Remove what an earlier run left, unless someone holds it. */
void mmgr__partial_remove(const struct mmgr__partial_options *options);
/* Remove a journal without its part: what a kill between the rename and the journal's end leaves.
 * */
void mmgr__partial_sweep(const struct mmgr__partial_options *options);

/* Names of part and journal (owned); 0 when memory ran out. */
int mmgr__partial_names(const struct mmgr__partial_options *options, char **part, char **journal);

#endif
