/* SPDX-License-Identifier: MIT */
/* Local sources: a move by rename, a copy by reflink, else by reading and writing; same checks,
 * same events. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/path.h"
#include "transfer/queue_internal.h"

#define COPY_BLOCK (1u << 20)

static enum mmgr_result stopped(void)
{
    return mmgr__fail(MMGR_ERR_CANCELLED, "told to stop");
}

static enum mmgr_result check_size(const struct mmgr__part_spec *spec, uint64_t size)
{
    if (spec->size == MMGR__UNKNOWN_SIZE || spec->size == size)
        return MMGR_OK;
    return mmgr__fail(MMGR_ERR_HASH_MISMATCH, "%s has %llu bytes, but %llu were promised",
                      spec->source, (unsigned long long)size, (unsigned long long)spec->size);
}

/* What tells one version of a local file from another, in the place of an entity tag. */
static char *version_tag(const struct stat *st)
{
    return mmgr__printf("\"%llu-%lld-%lld.%09ld\"", (unsigned long long)st->st_ino,
                        (long long)st->st_size, (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
}

/* Let the partial file be of this version: bytes of another one are dropped. */
static enum mmgr_result settle_version(struct mmgr__partial *p, const struct stat *st)
{
    char *tag = version_tag(st);
    enum mmgr_result rc = tag != NULL ? MMGR_OK : mmgr__oom();
    if (rc == MMGR_OK && p->offset > 0 && (p->etag == NULL || strcmp(p->etag, tag) != 0))
        rc = mmgr__partial_restart(p);
    if (rc == MMGR_OK)
        rc = mmgr__partial_identify(p, tag, 0, NULL, (uint64_t)st->st_size);
    mmgr__free(tag);
    return rc;
}

/* Bytes that are there by reflink still pass the digest. */
static enum mmgr_result copy_blocks(struct mmgr__run *run, int fd, int cloned, uint64_t size)
{
    struct mmgr__partial *p = run->part->partial;
    void *block = mmgr__alloc(COPY_BLOCK);
    if (block == NULL)
        return mmgr__oom();
    enum mmgr_result rc = MMGR_OK;
    while (rc == MMGR_OK && p->offset < size) {
        uint64_t left = size - p->offset;
        int64_t got =
            mmgr__io_pread(fd, block, left < COPY_BLOCK ? (size_t)left : COPY_BLOCK, p->offset);
        if (mmgr__run_stopped(run))
            rc = stopped();
        else if (got < 0)
            rc = mmgr__fail_errno((int)-got, "read", run->part->spec.source);
        else if (got == 0)
            rc = mmgr__fail(MMGR_ERR_SOURCE_CHANGED, "%s shrank while it was copied",
                            run->part->spec.source);
        else if (cloned)
            rc = mmgr__digest_update(p->digest, block, (size_t)got);
        else
            rc = mmgr__partial_write(p, block, (size_t)got);
        if (rc == MMGR_OK && cloned)
            p->offset += (uint64_t)got;
        if (rc == MMGR_OK)
            mmgr__run_progress(run, p->offset, size);
    }
    mmgr__free(block);
    return rc;
}

static enum mmgr_result copy_file(struct mmgr__run *run, int fd, const struct stat *st)
{
    struct mmgr__partial *p = run->part->partial;
    uint64_t size = (uint64_t)st->st_size;
    struct stat after;
    enum mmgr_result rc = settle_version(p, st);
    int cloned = rc == MMGR_OK && p->offset == 0 && size > 0 && mmgr__io_clone(p->fd, fd) == 0;
    if (rc == MMGR_OK && !cloned)
        rc = mmgr__partial_reserve(p, size);
    if (rc == MMGR_OK)
        rc = copy_blocks(run, fd, cloned, size);
    if (rc != MMGR_OK)
        return rc;
    if (fstat(fd, &after) != 0 || after.st_size != st->st_size ||
        after.st_mtim.tv_sec != st->st_mtim.tv_sec ||
        after.st_mtim.tv_nsec != st->st_mtim.tv_nsec) {
        run->part->spoiled = 1;
        return mmgr__fail(MMGR_ERR_SOURCE_CHANGED, "%s changed while it was copied",
                          run->part->spec.source);
    }
    rc = mmgr__run_finish(run);
    if (rc == MMGR_ERR_HASH_MISMATCH) {
        run->part->spoiled = 1;
        mmgr__error_prefix("%s", run->part->spec.source);
    }
    return rc;
}

static enum mmgr_result sync_parent(const char *path)
{
    char *folder = mmgr__path_dirname(path);
    int error = folder != NULL ? mmgr__io_fsync_dir(AT_FDCWD, folder) : -ENOMEM;
    mmgr__free(folder);
    return error == 0 ? MMGR_OK : mmgr__fail_errno(-error, "sync the folder of", path);
}

/* Move by rename; *done stays 0 where only a copy can do it: another file system, or a symbolic
 * link. */
static enum mmgr_result move_file(struct mmgr__run *run, int fd, const struct stat *st, int *done)
{
    struct mmgr__part *part = run->part;
    const char *source = part->spec.source;
    struct stat link;
    char hex[65];
    if (mmgr__io_stat(AT_FDCWD, source, &link, 0) != 0 || !S_ISREG(link.st_mode) ||
        part->partial->offset > 0)
        return MMGR_OK;
    enum mmgr_result rc =
        mmgr__digest_file(fd, source, MMGR__SHA256, hex, mmgr__run_cancelled, run);
    if (rc != MMGR_OK)
        return rc;
    if (part->spec.sha256[0] != '\0' && strcmp(hex, part->spec.sha256) != 0)
        return mmgr__fail(MMGR_ERR_HASH_MISMATCH, "%s has SHA-256 %s, but %s was promised", source,
                          hex, part->spec.sha256);
    int error = mmgr__io_fsync(fd, source);
    if (error == 0)
        error = mmgr__io_rename(AT_FDCWD, source, part->dirfd, part->name,
                                (run->job->flags & MMGR_DOWNLOAD_OVERWRITE) == 0);
    if (error == -EXDEV)
        return MMGR_OK;
    if (error != 0)
        return mmgr__fail_errno(-error, "move", source);
    error = mmgr__io_fsync(part->dirfd, part->folder);
    if (error != 0 && error != -EINVAL && error != -ENOTSUP)
        return mmgr__fail_errno(-error, "sync the folder", part->folder);
    rc = sync_parent(source);
    memcpy(part->done_sha256, hex, sizeof hex);
    *done = rc == MMGR_OK;
    mmgr__partial_close(part->partial, 0); /* it was never needed */
    part->partial = NULL;
    part->touched = 0;
    mmgr__run_progress(run, (uint64_t)st->st_size, (uint64_t)st->st_size);
    return rc;
}

static enum mmgr_result bring(struct mmgr__run *run)
{
    const char *source = run->part->spec.source;
    int moves = (run->job->flags & MMGR_DOWNLOAD_MOVE) != 0, done = 0;
    struct stat st;
    int fd = mmgr__io_open_read(AT_FDCWD, source);
    if (fd < 0)
        return mmgr__fail_errno(-fd, "read", source);
    enum mmgr_result rc = fstat(fd, &st) == 0 ? MMGR_OK : mmgr__fail_errno(errno, "read", source);
    if (rc == MMGR_OK)
        rc = check_size(&run->part->spec, (uint64_t)st.st_size);
    if (rc == MMGR_OK && moves)
        rc = move_file(run, fd, &st, &done);
    if (rc == MMGR_OK && !done) {
        rc = copy_file(run, fd, &st);
        int error = rc == MMGR_OK && moves ? mmgr__io_unlink(AT_FDCWD, source) : 0;
        if (error != 0)
            rc = mmgr__fail_errno(-error, "remove the moved file", source);
    }
    mmgr__io_close(fd);
    return rc;
}

enum mmgr__run_end mmgr__local_part(struct mmgr__run *run)
{
    enum mmgr_result rc = bring(run);
    if (rc == MMGR_OK)
        return MMGR__RUN_DONE;
    return mmgr__run_stopped(run) ? MMGR__RUN_STOPPED : MMGR__RUN_FAILED;
}
