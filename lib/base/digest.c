/* SPDX-License-Identifier: MIT */
/* Digests over streams: SHA-256 and git's blob SHA-1 by libcrypto, XXH3-128 by xxHash. */
#include "base/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/io.h"

#define BLOCK ((size_t)1 << 20)

struct mmgr__digest {
    enum mmgr__digest_kind kind;
    EVP_MD_CTX *evp;
    XXH3_state_t *xxh3;
};

static enum mmgr_result crypto_failed(void)
{
    return mmgr__fail(MMGR_ERR_UNSUPPORTED, "the crypto library refuses to compute this hash");
}

static enum mmgr_result start_evp(struct mmgr__digest *digest, uint64_t size)
{
    digest->evp = EVP_MD_CTX_new();
    if (digest->evp == NULL)
        return mmgr__oom();
    const EVP_MD *md = digest->kind == MMGR__SHA256 ? EVP_sha256() : EVP_sha1();
    if (EVP_DigestInit_ex(digest->evp, md, NULL) != 1)
        return crypto_failed();
    if (digest->kind == MMGR__GIT_SHA1) {
        char header[32];
        int length = snprintf(header, sizeof header, "blob %llu", (unsigned long long)size);
        if (EVP_DigestUpdate(digest->evp, header, (size_t)length + 1) != 1)
            return crypto_failed();
    }
    return MMGR_OK;
}

enum mmgr_result mmgr__digest_new(enum mmgr__digest_kind kind, uint64_t size,
                                  struct mmgr__digest **digest)
{
    struct mmgr__digest *made = mmgr__alloc0(1, sizeof *made);
    if (made == NULL)
        return mmgr__oom();
    made->kind = kind;
    enum mmgr_result result = MMGR_OK;
    if (kind == MMGR__XXH3) {
        made->xxh3 = XXH3_createState();
        if (made->xxh3 == NULL || XXH3_128bits_reset(made->xxh3) != XXH_OK)
            result = mmgr__oom();
    } else {
        result = start_evp(made, size);
    }
    if (result != MMGR_OK) {
        mmgr__digest_free(made);
        return result;
    }
    *digest = made;
    return MMGR_OK;
}

enum mmgr_result mmgr__digest_update(struct mmgr__digest *digest, const void *data, size_t bytes)
{
    if (bytes == 0)
        return MMGR_OK;
    int done = digest->kind == MMGR__XXH3 ? XXH3_128bits_update(digest->xxh3, data, bytes) == XXH_OK
                                          : EVP_DigestUpdate(digest->evp, data, bytes) == 1;
    return done ? MMGR_OK : crypto_failed();
}

/* Finish a copy, so that the digest can go on. */
static enum mmgr_result finish_evp(const EVP_MD_CTX *evp, unsigned char raw[EVP_MAX_MD_SIZE],
                                   unsigned *length)
{
    EVP_MD_CTX *copy = EVP_MD_CTX_new();
    if (copy == NULL)
        return mmgr__oom();
    int done = EVP_MD_CTX_copy_ex(copy, evp) == 1 && EVP_DigestFinal_ex(copy, raw, length) == 1;
    EVP_MD_CTX_free(copy);
    return done ? MMGR_OK : crypto_failed();
}

enum mmgr_result mmgr__digest_hex(const struct mmgr__digest *digest, char hex[65])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char raw[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    if (digest->kind == MMGR__XXH3) {
        XXH128_canonical_t canonical;
        XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(digest->xxh3));
        length = sizeof canonical.digest;
        memcpy(raw, canonical.digest, length);
    } else {
        enum mmgr_result result = finish_evp(digest->evp, raw, &length);
        if (result != MMGR_OK)
            return result;
    }
    for (unsigned i = 0; i < length; i++) {
        hex[2 * i] = digits[raw[i] >> 4];
        hex[2 * i + 1] = digits[raw[i] & 15];
    }
    hex[2 * length] = '\0';
    return MMGR_OK;
}

void mmgr__digest_free(struct mmgr__digest *digest)
{
    if (digest == NULL)
        return;
    EVP_MD_CTX_free(digest->evp);
    XXH3_freeState(digest->xxh3);
    mmgr__free(digest);
}

static enum mmgr_result feed_file(int fd, const char *path, struct mmgr__digest *digest,
                                  uint64_t size, int (*cancel)(void *user), void *user)
{
    char *block = mmgr__alloc(BLOCK);
    if (block == NULL)
        return mmgr__oom();
    enum mmgr_result result = MMGR_OK;
    uint64_t done = 0;
    for (;;) {
        if (cancel != NULL && cancel(user)) {
            result = mmgr__fail(MMGR_ERR_CANCELLED, "hashing %s was cancelled", path);
            break;
        }
        int64_t got = mmgr__io_pread(fd, block, BLOCK, done);
        if (got < 0)
            result = mmgr__fail_errno((int)-got, "read", path);
        else
            result = mmgr__digest_update(digest, block, (size_t)got);
        if (result != MMGR_OK || got == 0)
            break;
        done += (uint64_t)got;
    }
    if (result == MMGR_OK && done != size) {
        result = mmgr__fail(MMGR_ERR_IO, "%s changed its size while it was being hashed", path);
        mmgr__error_set_subject(path);
    }
    mmgr__free(block);
    return result;
}

enum mmgr_result mmgr__digest_file(int fd, const char *path, enum mmgr__digest_kind kind,
                                   char hex[65], int (*cancel)(void *user), void *user)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return mmgr__fail_errno(errno, "look at", path);
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    struct mmgr__digest *digest;
    enum mmgr_result result = mmgr__digest_new(kind, (uint64_t)st.st_size, &digest);
    if (result != MMGR_OK)
        return result;
    result = feed_file(fd, path, digest, (uint64_t)st.st_size, cancel, user);
    if (result == MMGR_OK)
        result = mmgr__digest_hex(digest, hex);
    mmgr__digest_free(digest);
    return result;
}
