/* SPDX-License-Identifier: MIT */
/* Digests over streams: SHA-256, git's blob SHA-1, XXH3-128. */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include <modelmgr/error.h>

enum mmgr__digest_kind { MMGR__SHA256, MMGR__GIT_SHA1, MMGR__XXH3 };
struct mmgr__digest;
/* For GIT_SHA1 the size of the blob must be known at the start; else ignored. */
enum mmgr_result mmgr__digest_new(enum mmgr__digest_kind kind, uint64_t size, struct mmgr__digest **digest);
enum mmgr_result mmgr__digest_update(struct mmgr__digest *digest, const void *data, size_t bytes);
/* Lower-case hex, NUL-terminated, at most 65 bytes. The digest can go on afterwards (a copy is finished). */
enum mmgr_result mmgr__digest_hex(const struct mmgr__digest *digest, char hex[65]);
void mmgr__digest_free(struct mmgr__digest *digest);

/* Hash a whole open file from offset 0 to its end; cancel may be NULL, else polled: non-zero stops with
 * CANCELLED. */
enum mmgr_result mmgr__digest_file(int fd, const char *path, enum mmgr__digest_kind kind, char hex[65],
                                   int (*cancel)(void *user), void *user);

#endif
