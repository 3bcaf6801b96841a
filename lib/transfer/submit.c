/* SPDX-License-Identifier: MIT */
/* From the options of a submission to a job: everything that can be refused at once is refused
 * here. */
#include <ctype.h>
#include <fcntl.h>
#include <string.h>

#include "base/alloc.h"
#include "base/config.h"
#include "base/http.h"
#include "base/io.h"
#include "base/path.h"
#include "base/text.h"
#include "transfer/queue_internal.h"

#define KNOWN_FLAGS                                                             \
    (MMGR_DOWNLOAD_HOLD | MMGR_DOWNLOAD_PRESERVE_PARTIAL | MMGR_DOWNLOAD_MOVE | \
     MMGR_DOWNLOAD_OVERWRITE)

static enum mmgr_result check(const struct mmgr_download_options *o)
{
    if (o->destination == NULL || o->destination[0] == '\0')
        return mmgr__bad_argument("destination");
    if ((o->source == NULL) == (o->parts == NULL))
        return mmgr__bad_argument("source");
    if ((o->flags & ~KNOWN_FLAGS) != 0)
        return mmgr__bad_argument("flags");
    if (o->reserved != 0)
        return mmgr__bad_argument("reserved");
    if (o->sha256 != NULL && !mmgr__is_hex(o->sha256, 64))
        return mmgr__bad_argument("sha256");
    if (o->parts != NULL && (o->parts->count == 0 || o->parts->count > UINT32_MAX))
        return mmgr__bad_argument("parts");
    if (o->parts != NULL && (o->filename != NULL || o->sha256 != NULL || o->size != 0))
        return mmgr__bad_argument(o->filename != NULL ? "filename"
                                  : o->sha256 != NULL ? "sha256"
                                                      : "size");
    return o->filename != NULL ? mmgr__path_check_component(o->filename) : MMGR_OK;
}

static int is_folder(const char *path)
{
    struct stat st;
    return mmgr__io_stat(AT_FDCWD, path, &st, 1) == 0 && S_ISDIR(st.st_mode);
}

/* Take a list of parts into the job, with sources made absolute. */
static enum mmgr_result take_parts(mmgr_download *job, const mmgr_parts *list)
{
    job->parts = mmgr__alloc0(list->count, sizeof *job->parts);
    if (job->parts == NULL)
        return mmgr__oom();
    job->is_multi = 1;
    for (size_t i = 0; i < list->count; i++) {
        struct mmgr__part *part = &job->parts[i];
        char *normal = NULL;
        part->dirfd = -1;
        job->part_count = i + 1;
        enum mmgr_result rc = mmgr__spec_copy(&part->spec, &list->items[i]);
        if (rc == MMGR_OK)
            rc = mmgr__spec_source(part->spec.source, &normal, &part->spec.is_local);
        if (rc != MMGR_OK)
            return rc;
        mmgr__free(part->spec.source);
        part->spec.source = normal;
        if (part->spec.size != MMGR__UNKNOWN_SIZE)
            part->total = part->spec.size;
    }
    return MMGR_OK;
}

/* A local folder becomes a job of parts; like cp, into an existing folder it goes under its own
 * name. */
static enum mmgr_result take_folder(mmgr_download *job, const char *folder, const char *filename)
{
    if (mmgr__path_inside(job->destination, folder) != NULL ||
        strcmp(job->destination, folder) == 0)
        return mmgr__fail(MMGR_ERR_ARGUMENT, "%s lies inside %s, from which it is to be filled",
                          job->destination, folder);
    if (filename != NULL || is_folder(job->destination)) {
        char *inner = mmgr__path_join(job->destination,
                                      filename != NULL ? filename : mmgr__path_basename(folder));
        if (inner == NULL)
            return mmgr__oom();
        mmgr__free(job->destination);
        job->destination = inner;
    }
    mmgr_parts *list = NULL;
    enum mmgr_result rc = mmgr_parts_new(&list);
    if (rc == MMGR_OK)
        rc = mmgr__parts_of_folder(folder, list);
    if (rc == MMGR_OK && list->count == 0)
        rc = mmgr__fail(MMGR_ERR_ARGUMENT, "%s holds no file", folder);
    if (rc == MMGR_OK)
        rc = take_parts(job, list);
    mmgr_parts_free(list);
    if (rc == MMGR_OK && (job->flags & MMGR_DOWNLOAD_MOVE) != 0) {
        job->move_root = mmgr__strdup(folder);
        rc = job->move_root != NULL ? MMGR_OK : mmgr__oom();
    }
    return rc;
}

/* Where a single file goes: folder and, when it is known already, name. */
static enum mmgr_result place_single(mmgr_download *job, const char *filename, int slash)
{
    struct mmgr__part *part = &job->parts[0];
    if (filename != NULL || slash || is_folder(job->destination)) {
        part->folder = mmgr__strdup(job->destination);
        if (filename == NULL && part->spec.is_local)
            filename = mmgr__path_basename(part->spec.source);
        part->name = mmgr__strdup(filename);
        if (filename != NULL && part->name == NULL)
            return mmgr__oom();
    } else {
        part->folder = mmgr__path_dirname(job->destination);
        part->name = mmgr__strdup(mmgr__path_basename(job->destination));
        if (part->name == NULL)
            return mmgr__oom();
    }
    if (part->folder == NULL)
        return mmgr__oom();
    if (part->name == NULL)
        return MMGR_OK;
    if (part->name[0] == '\0')
        return mmgr__bad_argument("destination");
    job->path = mmgr__path_join(part->folder, part->name);
    return job->path != NULL ? MMGR_OK : mmgr__oom();
}

static enum mmgr_result take_single(mmgr_download *job, const struct mmgr_download_options *o,
                                    char *normal, int is_local)
{
    size_t length = strlen(o->destination);
    job->parts = mmgr__alloc0(1, sizeof *job->parts);
    if (job->parts == NULL) {
        mmgr__free(normal);
        return mmgr__oom();
    }
    struct mmgr__part *part = &job->parts[0];
    job->part_count = 1;
    part->dirfd = -1;
    part->spec.source = normal;
    part->spec.is_local = is_local;
    part->spec.size = o->size > 0 ? o->size : MMGR__UNKNOWN_SIZE;
    part->total = o->size;
    for (size_t i = 0; o->sha256 != NULL && i <= 64; i++)
        part->spec.sha256[i] = (char)tolower((unsigned char)o->sha256[i]);
    return place_single(job, o->filename, o->destination[length - 1] == '/');
}

static enum mmgr_result take_source(mmgr_download *job, const struct mmgr_download_options *o)
{
    char *normal = NULL;
    int is_local = 0;
    if (o->parts != NULL) {
        enum mmgr_result rc = take_parts(job, o->parts);
        job->path = mmgr__strdup(job->destination);
        return rc != MMGR_OK || job->path != NULL ? rc : mmgr__oom();
    }
    enum mmgr_result rc = mmgr__spec_source(o->source, &normal, &is_local);
    if (rc != MMGR_OK)
        return rc;
    if (!is_local || !is_folder(normal))
        return take_single(job, o, normal, is_local);
    rc = o->sha256 == NULL && o->size == 0 ? take_folder(job, normal, o->filename)
                                           : mmgr__bad_argument("sha256");
    mmgr__free(normal);
    if (rc == MMGR_OK)
        job->path = mmgr__strdup(job->destination);
    return rc != MMGR_OK || job->path != NULL ? rc : mmgr__oom();
}

static enum mmgr_result check_online(const mmgr_queue *queue, const mmgr_download *job)
{
    if (queue->config == NULL || !mmgr__config_offline(queue->config))
        return MMGR_OK;
    for (size_t i = 0; i < job->part_count; i++) {
        if (!job->parts[i].spec.is_local)
            return mmgr__fail(MMGR_ERR_OFFLINE, "offline mode forbids fetching %s",
                              job->parts[i].spec.source);
    }
    return MMGR_OK;
}

static int copy_text(char **to, const char *from)
{
    *to = mmgr__strdup(from);
    return from == NULL || *to != NULL;
}

static enum mmgr_result fill(mmgr_queue *queue, mmgr_download *job,
                             const struct mmgr_download_options *o)
{
    job->flags = o->flags;
    job->priority = o->priority != 0 ? o->priority : MMGR__DEFAULT_PRIORITY;
    job->state = MMGR__JOB_IDLE;
    job->shared = mmgr__shared_ref(queue->shared);
    job->handlers = mmgr__handlers_new();
    if (job->handlers == NULL || !copy_text(&job->source, o->source) ||
        !copy_text(&job->token, o->token) || !copy_text(&job->label, o->label))
        return mmgr__oom();
    job->destination = mmgr__path_absolute(o->destination);
    if (job->destination == NULL)
        return mmgr__oom();
    enum mmgr_result rc = take_source(job, o);
    if (rc == MMGR_OK && job->source == NULL && !copy_text(&job->source, job->parts[0].spec.source))
        rc = mmgr__oom();
    return rc == MMGR_OK ? check_online(queue, job) : rc;
}

enum mmgr_result mmgr__job_new(mmgr_queue *queue, const struct mmgr_download_options *o,
                               mmgr_download **job)
{
    enum mmgr_result rc = check(o);
    if (rc != MMGR_OK)
        return rc;
    mmgr_download *made = mmgr__alloc0(1, sizeof *made);
    if (made == NULL)
        return mmgr__oom();
    mmgr__refs_init(&made->refs);
    pthread_mutex_init(&made->finished_lock, NULL);
    rc = fill(queue, made, o);
    if (rc != MMGR_OK) {
        mmgr_download_unref(made);
        return rc;
    }
    *job = made;
    return MMGR_OK;
}
