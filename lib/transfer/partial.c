/* SPDX-License-Identifier: MIT */
/* The part file: lock, prefix, bytes, order of durability. The journal's text is journal.c's. */
#include "transfer/partial.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "base/thread.h"
#include "transfer/journal.h"

#define LONGEST_NAME 230
#define LOCK_TRIES   8
#define HASH_BLOCK   (1u << 20)

static enum mmgr_result fail_at(const struct mmgr__partial *p, int error, const char *doing)
{
    char *path = mmgr__printf("%s/%s", p->folder, p->part);
    enum mmgr_result rc = mmgr__fail_errno(-error, doing, path != NULL ? path : p->part);
    mmgr__free(path);
    return rc;
}

static int hash_name(const char *text, char hex[65])
{
    struct mmgr__digest *digest = NULL;
    int done = mmgr__digest_new(MMGR__SHA256, 0, &digest) == MMGR_OK &&
               mmgr__digest_update(digest, text, strlen(text)) == MMGR_OK &&
               mmgr__digest_hex(digest, hex) == MMGR_OK;
    mmgr__digest_free(digest);
    hex[done ? 16 : 0] = '\0';
    return done;
}

int mmgr__partial_names(const struct mmgr__partial_options *options, char **part, char **journal)
{
    char hex[65];
    const char *name = options->name;
    if (name == NULL || strlen(name) > LONGEST_NAME) {
        const char *text = name;
        if (text == NULL)
            text = options->identity != NULL ? options->identity : options->source;
        if (!hash_name(text, hex))
            return 0;
        name = hex;
    }
    *part = mmgr__printf(".%s%s", name, MMGR__PART_SUFFIX);
    *journal = mmgr__printf(".%s%s", name, MMGR__JOURNAL_SUFFIX);
    if (*part != NULL && *journal != NULL)
        return 1;
    mmgr__free(*part);
    mmgr__free(*journal);
    *part = *journal = NULL;
    return 0;
}

static void destroy(struct mmgr__partial *p)
{
    mmgr__io_unlock(p->fd);
    mmgr__digest_free(p->digest);
    mmgr__free(p->folder);
    mmgr__free(p->part);
    mmgr__free(p->journal);
    mmgr__free(p->temporary);
    mmgr__free(p->source);
    mmgr__free(p->sha256);
    mmgr__free(p->etag);
    mmgr__free(p->weak_etag);
    mmgr__free(p->last_modified);
    mmgr__free(p);
}

/* Open the part file with its lock. A file that was renamed or removed between the open and the
 * lock is no longer ours to write to: look again. */
static enum mmgr_result take_lock(struct mmgr__partial *p)
{
    for (int tries = 0; tries < LOCK_TRIES; tries++) {
        struct stat held, named;
        int fd = mmgr__io_lock(p->dirfd, p->part, 1, 0);
        if (fd == -EAGAIN)
            return mmgr__fail(MMGR_ERR_BUSY, "%s/%s is being written by another download",
                              p->folder, p->part);
        if (fd < 0)
            return fail_at(p, fd, "open");
        if (fstat(fd, &held) == 0 && mmgr__io_stat(p->dirfd, p->part, &named, 0) == 0 &&
            held.st_ino == named.st_ino && held.st_dev == named.st_dev) {
            if (!S_ISREG(held.st_mode)) {
                mmgr__io_unlock(fd);
                return mmgr__fail(MMGR_ERR_UNSAFE_PATH, "%s/%s is no regular file", p->folder,
                                  p->part);
            }
            p->fd = fd;
            return MMGR_OK;
        }
        mmgr__io_unlock(fd);
    }
    return mmgr__fail(MMGR_ERR_BUSY, "%s/%s is being written by another download", p->folder,
                      p->part);
}

/* Hash the bytes that the journal vouches for. */
static enum mmgr_result hash_prefix(struct mmgr__partial *p, uint64_t bytes,
                                    const struct mmgr__partial_options *options)
{
    void *block = bytes > 0 ? mmgr__alloc(HASH_BLOCK) : NULL;
    if (bytes > 0 && block == NULL)
        return mmgr__oom();
    enum mmgr_result rc = MMGR_OK;
    while (rc == MMGR_OK && p->offset < bytes) {
        uint64_t left = bytes - p->offset;
        size_t want = left < HASH_BLOCK ? (size_t)left : HASH_BLOCK;
        int64_t got = mmgr__io_pread(p->fd, block, want, p->offset);
        if (options->cancelled != NULL && options->cancelled(options->user))
            rc = mmgr__fail(MMGR_ERR_CANCELLED, "told to stop");
        else if (got < 0)
            rc = fail_at(p, (int)got, "read");
        else if ((size_t)got != want)
            rc = mmgr__fail(MMGR_ERR_IO, "%s/%s shrank while it was read", p->folder, p->part);
        else
            rc = mmgr__digest_update(p->digest, block, want);
        if (rc == MMGR_OK)
            p->offset += want;
    }
    mmgr__free(block);
    return rc;
}

/* Whether the journal that was read belongs to the file that is wanted now. */
static int journal_fits(const struct mmgr__journal *journal,
                        const struct mmgr__partial_options *options, uint64_t file_size)
{
    if (options->sha256 != NULL && journal->sha256 != NULL &&
        strcmp(options->sha256, journal->sha256) != 0)
        return 0;
    if (!mmgr__same_text(options->sha256, journal->sha256) &&
        !mmgr__same_text(options->source, journal->source))
        return 0;
    if (options->size != MMGR__UNKNOWN_SIZE && journal->size != MMGR__UNKNOWN_SIZE &&
        options->size != journal->size)
        return 0;
    if (journal->size != MMGR__UNKNOWN_SIZE && journal->offset > journal->size)
        return 0;
    return journal->offset > 0 && journal->offset <= file_size;
}

/* Remove a file if it is there; the step is counted only when it changes the disk. */
static void remove_if_there(int dirfd, const char *name)
{
    struct stat st;
    if (mmgr__io_stat(dirfd, name, &st, 0) == 0)
        mmgr__io_unlink(dirfd, name);
}

static enum mmgr_result load(struct mmgr__partial *p, const struct mmgr__partial_options *options)
{
    struct stat st;
    remove_if_there(p->dirfd, p->temporary); /* of a process that was killed */
    if (fstat(p->fd, &st) != 0)
        return fail_at(p, -errno, "read");
    struct mmgr__journal journal;
    p->has_journal = mmgr__journal_read(p->dirfd, p->journal, &journal);
    uint64_t claimed = 0;
    if (p->has_journal && journal_fits(&journal, options, (uint64_t)st.st_size)) {
        claimed = journal.offset;
        p->etag = journal.etag;
        p->weak_etag = journal.weak_etag;
        p->last_modified = journal.last_modified;
        p->size = journal.size;
        journal.etag = journal.weak_etag = journal.last_modified = NULL;
    }
    mmgr__journal_clear(&journal);
    if (claimed > 0 && !mmgr__partial_resumable(p))
        claimed = 0;
    if (claimed == 0)
        return p->has_journal || st.st_size > 0 ? mmgr__partial_restart(p) : MMGR_OK;
    if ((uint64_t)st.st_size > claimed) {
        int error = mmgr__io_truncate(p->fd, claimed);
        if (error != 0)
            return fail_at(p, error, "truncate");
    }
    p->durable = claimed;
    return hash_prefix(p, claimed, options);
}

static int copy_options(struct mmgr__partial *p, const struct mmgr__partial_options *options)
{
    p->dirfd = options->dirfd;
    p->fd = -1;
    p->size = options->size;
    p->sync_bytes = options->sync_bytes;
    p->sync_ns = options->sync_ns;
    p->synced_at = mmgr__now_monotonic();
    p->folder = mmgr__strdup(options->folder);
    p->source = mmgr__strdup(options->source);
    p->sha256 = mmgr__strdup(options->sha256);
    if (!mmgr__partial_names(options, &p->part, &p->journal))
        return 0;
    p->temporary = mmgr__printf("%s.tmp", p->journal);
    return p->folder != NULL && p->source != NULL && p->temporary != NULL &&
           (p->sha256 != NULL || options->sha256 == NULL);
}

enum mmgr_result mmgr__partial_open(const struct mmgr__partial_options *options,
                                    struct mmgr__partial **partial)
{
    struct mmgr__partial *p = mmgr__alloc0(1, sizeof *p);
    if (p == NULL)
        return mmgr__oom();
    enum mmgr_result rc = copy_options(p, options) ? MMGR_OK : mmgr__oom();
    if (rc == MMGR_OK)
        rc = mmgr__digest_new(MMGR__SHA256, 0, &p->digest);
    if (rc == MMGR_OK)
        rc = take_lock(p);
    if (rc == MMGR_OK)
        rc = load(p, options);
    if (rc != MMGR_OK) {
        destroy(p);
        return rc;
    }
    *partial = p;
    return MMGR_OK;
}

static enum mmgr_result replace(char **text, const char *with)
{
    char *copy = mmgr__strdup(with);
    if (with != NULL && copy == NULL)
        return mmgr__oom();
    mmgr__free(*text);
    *text = copy;
    return MMGR_OK;
}

enum mmgr_result mmgr__partial_identify(struct mmgr__partial *p, const char *etag, int weak,
                                        const char *last_modified, uint64_t size)
{
    enum mmgr_result rc = replace(&p->etag, weak ? NULL : etag);
    if (rc == MMGR_OK)
        rc = replace(&p->weak_etag, weak ? etag : NULL);
    if (rc == MMGR_OK)
        rc = replace(&p->last_modified, last_modified);
    p->size = size;
    return rc;
}

int mmgr__partial_resumable(const struct mmgr__partial *p)
{
    return p->etag != NULL || p->sha256 != NULL ||
           (p->last_modified != NULL && p->size != MMGR__UNKNOWN_SIZE);
}

static enum mmgr_result write_journal(struct mmgr__partial *p, uint64_t offset)
{
    struct mmgr__journal journal = {.source = p->source,
                                    .sha256 = p->sha256,
                                    .etag = p->etag,
                                    .weak_etag = p->weak_etag,
                                    .last_modified = p->last_modified,
                                    .size = p->size,
                                    .offset = offset};
    int error = mmgr__journal_write(p->dirfd, p->journal, p->temporary, &journal);
    if (error != 0)
        return fail_at(p, error, "write the journal of");
    p->has_journal = 1;
    p->durable = offset;
    return MMGR_OK;
}

enum mmgr_result mmgr__partial_sync(struct mmgr__partial *p)
{
    p->synced_at = mmgr__now_monotonic();
    if (p->offset == p->durable)
        return MMGR_OK;
    int error = mmgr__io_fsync(p->fd, p->part);
    if (error != 0)
        return fail_at(p, error, "sync");
    return write_journal(p, p->offset);
}

enum mmgr_result mmgr__partial_write(struct mmgr__partial *p, const void *data, size_t bytes)
{
    int error = mmgr__io_pwrite(p->fd, data, bytes, p->offset);
    if (error != 0)
        return fail_at(p, error, "write");
    enum mmgr_result rc = mmgr__digest_update(p->digest, data, bytes);
    if (rc != MMGR_OK)
        return rc;
    p->offset += bytes;
    if (p->offset - p->durable >= p->sync_bytes ||
        mmgr__now_monotonic() - p->synced_at >= p->sync_ns)
        return mmgr__partial_sync(p);
    return MMGR_OK;
}

enum mmgr_result mmgr__partial_restart(struct mmgr__partial *p)
{
    enum mmgr_result rc = mmgr__partial_identify(p, NULL, 0, NULL, MMGR__UNKNOWN_SIZE);
    struct mmgr__digest *digest = NULL;
    if (rc == MMGR_OK)
        rc = mmgr__digest_new(MMGR__SHA256, 0, &digest);
    if (rc != MMGR_OK)
        return rc;
    mmgr__digest_free(p->digest);
    p->digest = digest;
    p->offset = 0;
    if (p->has_journal) /* first: a journal that claims old bytes must not outlive them */
        rc = write_journal(p, 0);
    p->durable = 0;
    if (rc != MMGR_OK)
        return rc;
    int error = mmgr__io_truncate(p->fd, 0);
    return error != 0 ? fail_at(p, error, "truncate") : MMGR_OK;
}

enum mmgr_result mmgr__partial_reserve(struct mmgr__partial *p, uint64_t size)
{
    if (size <= p->offset)
        return MMGR_OK;
    uint64_t have = 0, need = size - p->offset;
    if (mmgr__io_free_space(p->folder, &have) == 0 && have < need)
        return mmgr__fail(MMGR_ERR_NO_SPACE, "%s needs %llu more bytes for %s, but %llu are free",
                          p->folder, (unsigned long long)need, p->part, (unsigned long long)have);
    int error = mmgr__io_allocate(p->fd, p->offset, need);
    return error != 0 ? fail_at(p, error, "reserve room for") : MMGR_OK;
}

enum mmgr_result mmgr__partial_finish(struct mmgr__partial **partial, const char *name,
                                      int overwrite)
{
    struct mmgr__partial *p = *partial;
    int error = mmgr__io_fsync(p->fd, p->part);
    if (error != 0)
        return fail_at(p, error, "sync");
    error = mmgr__io_rename(p->dirfd, p->part, p->dirfd, name, !overwrite);
    if (error == -EEXIST)
        return mmgr__fail(MMGR_ERR_EXISTS, "%s/%s is there already", p->folder, name);
    if (error != 0)
        return fail_at(p, error, "rename");
    error = mmgr__io_fsync(p->dirfd, p->folder);
    if (error != 0 && error != -EINVAL && error != -ENOTSUP)
        return fail_at(p, error, "sync the folder of");
    if (p->has_journal)
        mmgr__io_unlink(p->dirfd, p->journal);
    destroy(p);
    *partial = NULL;
    return MMGR_OK;
}

void mmgr__partial_close(struct mmgr__partial *p, int keep)
{
    if (p == NULL)
        return;
    if (keep && p->offset > 0) {
        if (mmgr__partial_sync(p) != MMGR_OK)
            mmgr__log(MMGR_LOG_WARNING, "transfer",
                      "%s/%s: the last %llu bytes will be fetched again", p->folder, p->part,
                      (unsigned long long)(p->offset - p->durable));
    } else {
        remove_if_there(p->dirfd, p->journal);
        mmgr__io_unlink(p->dirfd, p->part);
    }
    destroy(p);
}

void mmgr__partial_remove(const struct mmgr__partial_options *options)
{
    struct mmgr__partial *p = mmgr__alloc0(1, sizeof *p);
    struct stat st;
    if (p == NULL)
        return;
    if (!copy_options(p, options)) {
        destroy(p);
        return;
    }
    remove_if_there(p->dirfd, p->temporary);
    if (mmgr__io_stat(p->dirfd, p->part, &st, 0) == 0 && take_lock(p) == MMGR_OK)
        mmgr__partial_close(p, 0);
    else
        destroy(p);
}

void mmgr__partial_sweep(const struct mmgr__partial_options *options)
{
    char *part = NULL, *journal = NULL;
    struct stat st;
    if (!mmgr__partial_names(options, &part, &journal))
        return;
    if (mmgr__io_stat(options->dirfd, part, &st, 0) == -ENOENT)
        remove_if_there(options->dirfd, journal);
    mmgr__free(part);
    mmgr__free(journal);
}
