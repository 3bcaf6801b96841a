/* SPDX-License-Identifier: MIT */
/* One part from its opening to its place: what remote and local sources have in common. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/io.h"
#include "base/log.h"
#include "base/path.h"
#include "transfer/queue_internal.h"

#define UNKNOWN_STEP (UINT64_C(4) << 20) /* bytes between two reports while the size is unknown */

int mmgr__run_stopped(const struct mmgr__run *run)
{
    return atomic_load(&run->job->stop);
}

int mmgr__run_cancelled(void *run)
{
    return mmgr__run_stopped(run);
}

void mmgr__run_progress(struct mmgr__run *run, uint64_t bytes, uint64_t total)
{
    mmgr_download *job = run->job;
    pthread_mutex_lock(&job->shared->lock);
    run->part->bytes = bytes;
    run->part->total = total != MMGR__UNKNOWN_SIZE ? total : 0;
    uint64_t all = 0, done = mmgr__job_bytes(job, &all);
    if (job->state == MMGR__JOB_RUNNING && (done >= job->next_event || (all > 0 && done >= all))) {
        job->next_event = done + (all > 0 ? (all + 99) / 100 : UNKNOWN_STEP);
        mmgr__job_event(run->queue, job, MMGR_EVENT_DOWNLOAD_RUNNING);
    }
    pthread_mutex_unlock(&job->shared->lock);
}

/* Make and open the folder of a part, one component after the other and never through a symbolic
 * link, so that nothing is made outside the destination. */
static int open_below(int dest, const char *below)
{
    int fd = dest;
    while (fd >= 0 && below[0] != '\0') {
        size_t length = strcspn(below, "/");
        char *name = mmgr__strndup(below, length);
        int error = name != NULL ? mmgr__io_mkdir(fd, name, 0755) : -ENOMEM;
        if (error == 0)
            error = mmgr__io_fsync_dir(fd, "."); /* the folder must keep the new name */
        int inner = error != 0 && error != -EEXIST
                        ? error
                        : mmgr__io_open_beneath(fd, name, O_RDONLY | O_DIRECTORY, 0);
        mmgr__free(name);
        if (fd != dest)
            mmgr__io_close(fd);
        fd = inner;
        below += length;
        below += strspn(below, "/");
    }
    return fd;
}

/* Split the path of a part into folder and name, once. */
static enum mmgr_result name_part(mmgr_download *job, struct mmgr__part *part)
{
    if (part->folder != NULL)
        return MMGR_OK;
    char *path = mmgr__path_join(job->destination, part->spec.path);
    part->folder = path != NULL ? mmgr__path_dirname(path) : NULL;
    part->name = mmgr__strdup(mmgr__path_basename(part->spec.path));
    mmgr__free(path);
    return part->folder != NULL && part->name != NULL ? MMGR_OK : mmgr__oom();
}

static enum mmgr_result open_folder(mmgr_download *job, struct mmgr__part *part)
{
    enum mmgr_result rc = name_part(job, part);
    if (rc != MMGR_OK || part->dirfd >= 0)
        return rc;
    const char *root = job->is_multi ? job->destination : part->folder;
    const char *slash = job->is_multi ? strrchr(part->spec.path, '/') : NULL;
    int fd = mmgr__io_mkdirs(root, 0755);
    if (fd == 0)
        fd = mmgr__io_open_dir(AT_FDCWD, root);
    if (fd >= 0 && slash != NULL) {
        char *below = mmgr__strndup(part->spec.path, (size_t)(slash - part->spec.path));
        int inner = below != NULL ? open_below(fd, below) : -ENOMEM;
        mmgr__free(below);
        mmgr__io_close(fd);
        fd = inner;
    }
    if (fd < 0)
        return mmgr__fail_errno(-fd, "open the folder", part->folder);
    part->dirfd = fd;
    return MMGR_OK;
}

/* Source as a journal may keep it: without query, where secrets live. Owned. */
static char *bare_source(const struct mmgr__part_spec *spec)
{
    size_t length = spec->is_local ? strlen(spec->source) : strcspn(spec->source, "?#");
    return mmgr__strndup(spec->source, length);
}

static void fill_options(const struct mmgr__run *run, const char *bare,
                         struct mmgr__partial_options *options)
{
    const struct mmgr__part *part = run->part;
    *options = (struct mmgr__partial_options){
        .dirfd = part->dirfd,
        .folder = part->folder,
        .name = part->late_name ? NULL : part->name,
        .source = bare,
        .identity = part->spec.source,
        .sha256 = part->spec.sha256[0] != '\0' ? part->spec.sha256 : NULL,
        .size = part->spec.size,
        .sync_bytes = run->queue->tuning.sync_bytes,
        .sync_ns = run->queue->tuning.sync_ns,
        .cancelled = mmgr__run_cancelled,
        .user = (void *)(uintptr_t)run,
    };
}

/* A part of a multi-file job that an earlier run finished and noted. */
static int noted_as_finished(const struct mmgr__run *run, const struct stat *st, const char *bare)
{
    mmgr_download *job = run->job;
    struct mmgr__part *part = run->part;
    int fits = 0;
    if (!job->is_multi)
        return 0;
    pthread_mutex_lock(&job->finished_lock);
    const struct mmgr__finished *item = mmgr__finished_find(&job->finished, part->spec.path);
    if (item != NULL && item->size == (uint64_t)st->st_size &&
        item->inode == (uint64_t)st->st_ino &&
        item->mtime_ns == (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec)
        fits = part->spec.sha256[0] != '\0' ? strcmp(item->sha256, part->spec.sha256) == 0
                                            : strcmp(item->source, bare) == 0;
    if (fits)
        memcpy(part->done_sha256, item->sha256, sizeof part->done_sha256);
    pthread_mutex_unlock(&job->finished_lock);
    return fits;
}

/* Hashes of a file: SHA-256, and the git id when git is not NULL. */
static enum mmgr_result hash_file(struct mmgr__run *run, int dirfd, const char *path, char hex[65],
                                  char *git)
{
    int fd = mmgr__io_open_read(dirfd, path);
    if (fd < 0)
        return mmgr__fail_errno(-fd, "read", path);
    enum mmgr_result rc = mmgr__digest_file(fd, path, MMGR__SHA256, hex, mmgr__run_cancelled, run);
    if (rc == MMGR_OK && git != NULL)
        rc = mmgr__digest_file(fd, path, MMGR__GIT_SHA1, git, mmgr__run_cancelled, run);
    mmgr__io_close(fd);
    return rc;
}

/* Whether the file that is there, of the right size, is what is wanted. A local source is what it
 * must equal when no hash was promised. */
static enum mmgr_result check_present(struct mmgr__run *run, int *wanted)
{
    struct mmgr__part *part = run->part;
    const struct mmgr__part_spec *spec = &part->spec;
    char hex[65] = "", git[65] = "", want[65] = "";
    enum mmgr_result rc =
        hash_file(run, part->dirfd, part->name, hex, spec->git_sha1[0] != '\0' ? git : NULL);
    memcpy(want, spec->sha256, sizeof want);
    if (rc == MMGR_OK && spec->is_local && want[0] == '\0')
        rc = hash_file(run, AT_FDCWD, spec->source, want, NULL);
    if (rc != MMGR_OK)
        return rc;
    *wanted = (want[0] == '\0' || strcmp(hex, want) == 0) &&
              (spec->git_sha1[0] == '\0' || strcmp(git, spec->git_sha1) == 0);
    if (*wanted)
        memcpy(part->done_sha256, hex, sizeof hex);
    return MMGR_OK;
}

static enum mmgr_result look_for_target(struct mmgr__run *run, const char *bare, int *done)
{
    struct mmgr__part *part = run->part;
    struct mmgr__partial_options options;
    struct stat st;
    int error = mmgr__io_stat(part->dirfd, part->name, &st, 0);
    fill_options(run, bare, &options);
    mmgr__partial_sweep(&options);
    if (error == -ENOENT)
        return MMGR_OK;
    if (error != 0)
        return mmgr__fail_errno(-error, "read", part->name);
    const struct mmgr__part_spec *spec = &part->spec;
    int known =
        spec->sha256[0] != '\0' || spec->git_sha1[0] != '\0' || spec->size != MMGR__UNKNOWN_SIZE;
    int wanted = 0;
    if (S_ISREG(st.st_mode)) {
        int fits = spec->size == MMGR__UNKNOWN_SIZE || spec->size == (uint64_t)st.st_size;
        wanted = noted_as_finished(run, &st, bare);
        if (!wanted && known && fits) {
            enum mmgr_result rc = check_present(run, &wanted);
            if (rc != MMGR_OK)
                return rc;
        }
    }
    if (wanted) {
        mmgr__run_progress(run, (uint64_t)st.st_size, (uint64_t)st.st_size);
        *done = 1;
        return MMGR_OK;
    }
    if (S_ISREG(st.st_mode) && (run->job->flags & MMGR_DOWNLOAD_OVERWRITE) != 0)
        return MMGR_OK;
    return mmgr__fail(MMGR_ERR_EXISTS, "%s/%s is there already%s", part->folder, part->name,
                      known ? " with other content" : "");
}

/* Bytes of a part that are on the disk already, whole or partial. */
static uint64_t bytes_there(int dest, const struct mmgr__part_spec *spec)
{
    const char *name = mmgr__path_basename(spec->path);
    char *partial =
        mmgr__printf("%.*s.%s%s", (int)(name - spec->path), spec->path, name, MMGR__PART_SUFFIX);
    struct stat st;
    uint64_t bytes = 0;
    if (mmgr__io_stat(dest, spec->path, &st, 0) == 0)
        bytes = (uint64_t)st.st_size;
    else if (partial != NULL && mmgr__io_stat(dest, partial, &st, 0) == 0)
        bytes = (uint64_t)st.st_blocks * 512; /* with the room that is reserved */
    mmgr__free(partial);
    return bytes < spec->size ? bytes : spec->size;
}

/* Whether all parts of known size will find room; known before the first byte of any. */
static enum mmgr_result check_room(const mmgr_download *job, int dest)
{
    uint64_t need = 0, have = 0;
    for (size_t i = 0; i < job->part_count; i++) {
        const struct mmgr__part_spec *spec = &job->parts[i].spec;
        if (spec->size != MMGR__UNKNOWN_SIZE &&
            !mmgr__add_u64(need, spec->size - bytes_there(dest, spec), &need))
            need = UINT64_MAX;
    }
    /* A move needs no room on one file system; on another, each file reserves its own. */
    if ((job->flags & MMGR_DOWNLOAD_MOVE) != 0 ||
        mmgr__io_free_space(job->destination, &have) != 0 || have >= need)
        return MMGR_OK;
    return mmgr__fail(MMGR_ERR_NO_SPACE, "%s needs %llu more bytes, but %llu are free",
                      job->destination, (unsigned long long)need, (unsigned long long)have);
}

/* Once for a job of several files: what an earlier run finished, and whether there is room for the
 * rest. */
static enum mmgr_result begin_job(struct mmgr__run *run)
{
    mmgr_download *job = run->job;
    enum mmgr_result rc = MMGR_OK;
    pthread_mutex_lock(&job->finished_lock);
    if (job->is_multi && !job->finished_loaded) {
        int fd = mmgr__io_open_dir(AT_FDCWD, job->destination);
        if (fd < 0)
            rc = mmgr__fail_errno(-fd, "open the folder", job->destination);
        else
            rc = check_room(job, fd);
        if (rc == MMGR_OK) {
            mmgr__finished_read(fd, &job->finished);
            job->finished_loaded = 1;
        }
        mmgr__io_close(fd);
    }
    pthread_mutex_unlock(&job->finished_lock);
    return rc;
}

enum mmgr_result mmgr__run_name(struct mmgr__run *run, const char *name, int *done)
{
    struct mmgr__part *part = run->part;
    char *copy = mmgr__strdup(name);
    char *path = mmgr__path_join(part->folder, name);
    char *bare = bare_source(&part->spec);
    enum mmgr_result rc = MMGR_OK;
    if (copy == NULL || path == NULL || bare == NULL) {
        mmgr__free(copy);
        mmgr__free(path);
        mmgr__free(bare);
        return mmgr__oom();
    }
    part->name = copy;
    part->late_name = 1;
    pthread_mutex_lock(&run->job->shared->lock);
    char *old = run->job->path;
    run->job->path = path;
    pthread_mutex_unlock(&run->job->shared->lock);
    mmgr__free(old);
    rc = look_for_target(run, bare, done);
    mmgr__free(bare);
    return rc;
}

static enum mmgr_result open_partial(struct mmgr__run *run, const char *bare)
{
    struct mmgr__part *part = run->part;
    struct mmgr__partial_options options;
    fill_options(run, bare, &options);
    enum mmgr_result rc = mmgr__partial_open(&options, &part->partial);
    if (rc != MMGR_OK)
        return rc;
    part->touched = 1;
    part->high = part->partial->offset;
    pthread_mutex_lock(&run->job->shared->lock);
    part->resumed = part->partial->offset;
    pthread_mutex_unlock(&run->job->shared->lock);
    if (part->partial->offset > 0) {
        mmgr__log(MMGR_LOG_INFO, "transfer", "%s: %llu bytes are there already", bare,
                  (unsigned long long)part->partial->offset);
        mmgr__run_progress(run, part->partial->offset,
                           part->spec.size != MMGR__UNKNOWN_SIZE ? part->spec.size
                                                                 : part->partial->size);
    }
    return MMGR_OK;
}

static enum mmgr_result open_part(struct mmgr__run *run, int *done)
{
    struct mmgr__part *part = run->part;
    if (part->partial != NULL) /* held from the attempt before */
        return MMGR_OK;
    enum mmgr_result rc = open_folder(run->job, part);
    if (rc == MMGR_OK)
        rc = begin_job(run);
    if (rc != MMGR_OK)
        return rc;
    char *bare = bare_source(&part->spec);
    if (bare == NULL)
        return mmgr__oom();
    if (part->name != NULL)
        rc = look_for_target(run, bare, done);
    if (rc == MMGR_OK && !*done)
        rc = open_partial(run, bare);
    mmgr__free(bare);
    return rc;
}

enum mmgr__run_end mmgr__run_open(struct mmgr__run *run)
{
    int done = 0;
    enum mmgr_result rc = open_part(run, &done);
    if (rc != MMGR_OK)
        return mmgr__run_stopped(run) ? MMGR__RUN_STOPPED : MMGR__RUN_FAILED;
    return done ? MMGR__RUN_DONE : MMGR__RUN_RETRY;
}

/* Note a finished part, so that a resumed job need not read it again. Failing to is no harm. */
static void note_finished(struct mmgr__run *run)
{
    mmgr_download *job = run->job;
    struct mmgr__part *part = run->part;
    struct stat st;
    char *bare = bare_source(&part->spec);
    if (job->is_multi && job->part_count > 1 && bare != NULL &&
        mmgr__io_stat(part->dirfd, part->name, &st, 0) == 0) {
        struct mmgr__finished item = {.path = part->spec.path,
                                      .source = bare,
                                      .sha256 = part->done_sha256,
                                      .size = (uint64_t)st.st_size,
                                      .inode = (uint64_t)st.st_ino,
                                      .mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 +
                                                  st.st_mtim.tv_nsec};
        pthread_mutex_lock(&job->finished_lock);
        int fd = mmgr__io_open_dir(AT_FDCWD, job->destination);
        if (mmgr__finished_add(&job->finished, &item) && fd >= 0)
            mmgr__finished_write(fd, &job->finished);
        mmgr__io_close(fd);
        pthread_mutex_unlock(&job->finished_lock);
    }
    mmgr__free(bare);
}

static enum mmgr_result check_hashes(struct mmgr__run *run)
{
    struct mmgr__part *part = run->part;
    const struct mmgr__part_spec *spec = &part->spec;
    char hex[65], git[65];
    enum mmgr_result rc = mmgr__digest_hex(part->partial->digest, hex);
    if (rc != MMGR_OK)
        return rc;
    if (spec->sha256[0] != '\0' && strcmp(hex, spec->sha256) != 0)
        return mmgr__fail(MMGR_ERR_HASH_MISMATCH, "the data has SHA-256 %s, but %s was promised",
                          hex, spec->sha256);
    if (spec->git_sha1[0] != '\0') {
        rc = mmgr__digest_file(part->partial->fd, part->name, MMGR__GIT_SHA1, git,
                               mmgr__run_cancelled, run);
        if (rc != MMGR_OK)
            return rc;
        if (strcmp(git, spec->git_sha1) != 0)
            return mmgr__fail(MMGR_ERR_HASH_MISMATCH,
                              "the data has the git id %s, but %s was promised", git,
                              spec->git_sha1);
    }
    memcpy(part->done_sha256, hex, sizeof hex);
    return MMGR_OK;
}

enum mmgr_result mmgr__run_finish(struct mmgr__run *run)
{
    struct mmgr__part *part = run->part;
    uint64_t bytes = part->partial->offset;
    enum mmgr_result rc = check_hashes(run);
    if (rc == MMGR_OK && mmgr__run_stopped(run))
        rc = mmgr__fail(MMGR_ERR_CANCELLED, "told to stop");
    if (rc == MMGR_OK)
        rc = mmgr__partial_finish(&part->partial, part->name,
                                  (run->job->flags & MMGR_DOWNLOAD_OVERWRITE) != 0);
    if (rc != MMGR_OK)
        return rc;
    part->touched = 0;
    note_finished(run);
    mmgr__run_progress(run, bytes, bytes);
    return MMGR_OK;
}

void mmgr__part_release(mmgr_queue *queue, mmgr_download *job, struct mmgr__part *part, int keep)
{
    keep = keep && !part->spoiled;
    mmgr__partial_close(part->partial, keep);
    if (part->partial == NULL && !keep && part->touched && part->dirfd >= 0 && queue != NULL) {
        struct mmgr__run run = {.queue = queue, .job = job, .part = part};
        char *bare = bare_source(&part->spec);
        struct mmgr__partial_options options;
        if (bare != NULL) {
            fill_options(&run, bare, &options);
            mmgr__partial_remove(&options);
        }
        mmgr__free(bare);
    }
    part->partial = NULL;
    if (!keep)
        part->touched = 0;
    if (keep && part->touched && queue != NULL)
        return; /* the folder stays open: a cancel may still have to remove the files */
    mmgr__io_close(part->dirfd);
    part->dirfd = -1;
    if (queue == NULL) {
        mmgr__free(part->folder);
        mmgr__free(part->name);
        part->folder = part->name = NULL;
    }
}

enum mmgr__run_end mmgr__run_part(struct mmgr__run *run)
{
    enum mmgr__run_end end = mmgr__run_open(run);
    if (end == MMGR__RUN_RETRY) /* not done yet */
        end = run->part->spec.is_local ? mmgr__local_part(run) : mmgr__fetch_part(run);
    if (end == MMGR__RUN_DONE) {
        mmgr__io_close(run->part->dirfd);
        run->part->dirfd = -1;
    }
    return end;
}
