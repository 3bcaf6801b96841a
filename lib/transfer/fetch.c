/* SPDX-License-Identifier: MIT */
/* One attempt to fetch a part over HTTP: hops, ranges, body, and what to do when something is
 * wrong. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/http.h"
#include "base/io.h"
#include "base/log.h"
#include "base/path.h"
#include "base/text.h"
#include "transfer/answer.h"
#include "transfer/queue_internal.h"

#define PATIENCE_NS   INT64_C(500000000) /* longest that bytes wait in memory for more */
#define MOST_REQUESTS 64 /* of one attempt without a byte: hops, restarts, resolves */
#define SNIFF_BYTES   512

/* How an attempt that did not finish is to be treated. */
enum trouble {
    TROUBLE_NONE,
    TROUBLE_AGAIN,  /* as often as there is progress */
    TROUBLE_BROKEN, /* once more; the bytes that are there are not to blame */
    TROUBLE_BAD,    /* once more, from the start */
    TROUBLE_FINAL
};

struct fetch {
    struct mmgr__run *run;
    struct mmgr__hops hops;
    char *first_origin;
    struct mmgr__question question;
    int resolved, restarts; /* since the last byte */
    uint64_t unknown_end;   /* the body told no length and ended here: this is the size */
    enum trouble trouble;
    int64_t wait_ns;
};

static struct mmgr__partial *partial_of(const struct fetch *f)
{
    return f->run->part->partial;
}

static enum mmgr_result trouble(struct fetch *f, enum trouble kind, enum mmgr_result rc)
{
    f->trouble = kind;
    return rc;
}

/* Size of the file as far as it is known. */
static uint64_t known_size(const struct fetch *f)
{
    uint64_t expected = f->run->part->spec.size;
    return expected != MMGR__UNKNOWN_SIZE ? expected : partial_of(f)->size;
}

static enum mmgr_result start_chain(struct fetch *f)
{
    mmgr__hops_free(&f->hops);
    memset(&f->hops, 0, sizeof f->hops);
    return mmgr__hops_start(&f->hops, f->run->queue->config, f->run->part->spec.source,
                            f->run->job->token);
}

static void ask(struct fetch *f)
{
    const struct mmgr__partial *p = partial_of(f);
    const struct mmgr__part *part = f->run->part;
    uint64_t size = known_size(f), window = f->run->queue->tuning.window_bytes;
    char *origin = mmgr__url_origin(&f->hops.url);
    f->question = (struct mmgr__question){
        .from = p->offset,
        .to = UINT64_MAX,
        .size = p->size,
        .expected = part->spec.size,
        .etag = p->etag,
        .weak_etag = p->weak_etag,
        .last_modified = p->last_modified,
        .foreign = origin != NULL && strcmp(origin, f->first_origin) != 0,
        .html_wanted = part->name != NULL && (mmgr__ends_with_nocase(part->name, ".html") ||
                                              mmgr__ends_with_nocase(part->name, ".htm")),
    };
    if (p->offset == 0)
        f->question.size = MMGR__UNKNOWN_SIZE;
    /* Servers refuse to send very large files in one piece. */
    if (size != MMGR__UNKNOWN_SIZE && size - p->offset > window)
        f->question.to = p->offset + window - 1;
    f->question.ranged = p->offset > 0 || f->question.to != UINT64_MAX;
    mmgr__free(origin);
}

/* Lines of the request; the caller frees them with free_lines(). */
static enum mmgr_result request_lines(struct fetch *f, struct mmgr__strings *lines)
{
    const struct mmgr__question *q = &f->question;
    const struct mmgr__partial *p = partial_of(f);
    char range[80];
    int failed = 0, whole = 1;
    whole &= mmgr__strings_add(lines, mmgr__user_agent());
    whole &= mmgr__strings_add(lines, "Accept-Encoding: identity");
    if (q->ranged) {
        if (q->to != UINT64_MAX)
            snprintf(range, sizeof range, "Range: bytes=%llu-%llu", (unsigned long long)q->from,
                     (unsigned long long)q->to);
        else
            snprintf(range, sizeof range, "Range: bytes=%llu-", (unsigned long long)q->from);
        whole &= mmgr__strings_add(lines, range);
    }
    if (q->from > 0 && p->etag != NULL) {
        char *line = mmgr__printf("If-Range: %s", p->etag);
        whole &= line != NULL && mmgr__strings_add(lines, line);
        mmgr__free(line);
    }
    char *authorization = mmgr__hops_authorization(&f->hops, &failed);
    if (authorization != NULL) {
        f->question.had_token = 1;
        whole &= mmgr__strings_add(lines, authorization);
        explicit_bzero(authorization, strlen(authorization));
        mmgr__free(authorization);
    }
    return whole && !failed ? MMGR_OK : mmgr__oom();
}

static void free_lines(struct mmgr__strings *lines)
{
    for (size_t i = 0; i < lines->count; i++) /* one of them may hold a token */
        explicit_bzero(lines->items[i], strlen(lines->items[i]));
    mmgr__strings_free(lines);
}

/* What an exchange that broke says about the next attempt. */
static enum trouble trouble_of(enum mmgr_result rc)
{
    switch (rc) {
    case MMGR_ERR_NETWORK:
    case MMGR_ERR_TIMEOUT:
    case MMGR_ERR_CANCELLED: /* by the transport, not by us */
        return TROUBLE_AGAIN;
    case MMGR_ERR_PROTOCOL:
        return TROUBLE_BROKEN;
    case MMGR_ERR_TOO_LARGE:
        return TROUBLE_BAD;
    default:
        return TROUBLE_FINAL;
    }
}

/* Send the request and wait for the head. */
static enum mmgr_result exchange(struct fetch *f)
{
    struct mmgr__exchange *x = f->run->exchange;
    const struct mmgr__transfer_tuning *tuning = &f->run->queue->tuning;
    struct mmgr__strings lines = {0};
    ask(f);
    uint64_t size = known_size(f);
    enum mmgr_result rc = request_lines(f, &lines);
    if (rc != MMGR_OK) {
        free_lines(&lines);
        return trouble(f, TROUBLE_FINAL, rc);
    }
    mmgr_request request = {
        .struct_size = sizeof request,
        .flags = mmgr__hops_allow_private(&f->hops) ? MMGR_REQUEST_ALLOW_PRIVATE : 0,
        .url = f->hops.url.text,
        .headers = (const char *const *)lines.items,
        .header_count = (uint32_t)lines.count,
        .max_body = size != MMGR__UNKNOWN_SIZE ? size : tuning->unknown_limit,
        .connect_timeout_ns = tuning->connect_ns,
        .stall_timeout_ns = tuning->stall_ns,
    };
    rc = mmgr__exchange_start(x, &request, &f->run->job->stop);
    free_lines(&lines);
    if (rc != MMGR_OK)
        return trouble(f, TROUBLE_FINAL, rc);
    rc = mmgr__exchange_head(x);
    if (rc != MMGR_OK)
        return trouble(f, trouble_of(rc), rc);
    rc = mmgr__hops_peer(&f->hops, x->peer);
    return rc == MMGR_OK ? rc : trouble(f, TROUBLE_FINAL, rc);
}

/* Name of the file from the answer's Content-Disposition, else from the URL that the host gave. */
static enum mmgr_result take_name(struct fetch *f, int *done)
{
    const struct mmgr__exchange *x = f->run->exchange;
    const char *value =
        mmgr__header((const char *const *)x->headers, x->header_count, "Content-Disposition");
    char *name = value != NULL ? mmgr__disposition_filename(value) : NULL;
    struct mmgr__url url;
    if (name == NULL && mmgr__url_parse(f->run->part->spec.source, &url) == MMGR_OK) {
        name = mmgr__url_filename(&url);
        mmgr__url_free(&url);
    }
    char *safe = mmgr__path_portable_name(name != NULL ? name : "download");
    mmgr__free(name);
    if (safe == NULL)
        return mmgr__oom();
    enum mmgr_result rc = mmgr__run_name(f->run, safe, done);
    mmgr__free(safe);
    return rc;
}

static enum mmgr_result note_type(struct fetch *f)
{
    const struct mmgr__exchange *x = f->run->exchange;
    const char *type =
        mmgr__header((const char *const *)x->headers, x->header_count, "Content-Type");
    mmgr_download *job = f->run->job;
    char *copy = mmgr__strdup(type);
    if (type == NULL || job->is_multi) {
        mmgr__free(copy);
        return MMGR_OK;
    }
    if (copy == NULL)
        return mmgr__oom();
    pthread_mutex_lock(&job->shared->lock);
    char *old = job->content_type;
    job->content_type = copy;
    pthread_mutex_unlock(&job->shared->lock);
    mmgr__free(old);
    return MMGR_OK;
}

/* Enter whose bytes are about to come, and make room for them. */
static enum mmgr_result prepare(struct fetch *f, const struct mmgr__answer *answer)
{
    struct mmgr__partial *p = partial_of(f);
    const struct mmgr__exchange *x = f->run->exchange;
    const char *const *headers = (const char *const *)x->headers;
    enum mmgr_result rc = MMGR_OK;
    if (p->offset == 0) {
        const char *etag = mmgr__header(headers, x->header_count, "ETag");
        int weak = 0;
        char *plain = etag != NULL ? mmgr__etag(etag, &weak) : NULL;
        rc = mmgr__partial_identify(p, plain != NULL ? etag : NULL, weak,
                                    mmgr__header(headers, x->header_count, "Last-Modified"),
                                    answer->total);
        mmgr__free(plain);
        if (rc == MMGR_OK && answer->total != MMGR__UNKNOWN_SIZE)
            rc = mmgr__partial_reserve(p, answer->total);
    }
    return rc == MMGR_OK ? note_type(f) : rc;
}

static enum mmgr_result take_body(struct fetch *f, const struct mmgr__answer *answer)
{
    struct mmgr__run *run = f->run;
    struct mmgr__partial *p = partial_of(f);
    uint64_t got = 0, total = known_size(f);
    enum mmgr_result rc = MMGR_OK;
    int end = 0;
    while (rc == MMGR_OK && !end) {
        const void *data = NULL;
        size_t length = 0;
        rc = mmgr__exchange_read(run->exchange, run->queue->tuning.block_bytes, PATIENCE_NS, &data,
                                 &length, &end);
        if (rc != MMGR_OK)
            return trouble(f, trouble_of(rc), rc);
        got += length;
        if (got > answer->body || (total != MMGR__UNKNOWN_SIZE && length > total - p->offset))
            return trouble(f, TROUBLE_BAD,
                           mmgr__fail(MMGR_ERR_TOO_LARGE, "more bytes came than were announced"));
        if (length == 0)
            continue;
        rc = mmgr__partial_write(p, data, length);
        if (rc != MMGR_OK)
            return trouble(f, TROUBLE_FINAL, rc);
        f->resolved = f->restarts = 0;
        mmgr__run_progress(run, p->offset, total);
    }
    if (answer->body != UINT64_MAX && got != answer->body)
        return trouble(f, TROUBLE_AGAIN, mmgr__fail(MMGR_ERR_NETWORK, "the answer broke off"));
    if (answer->body == UINT64_MAX)
        f->unknown_end = p->offset;
    return MMGR_OK;
}

static enum mmgr_result drop_bytes(struct fetch *f, const char *why)
{
    struct mmgr__partial *p = partial_of(f);
    mmgr__log(MMGR_LOG_WARNING, "transfer",
              "%s: fetched again from the start (%llu bytes dropped): %s", p->source,
              (unsigned long long)p->offset, why);
    enum mmgr_result rc = mmgr__partial_restart(p);
    pthread_mutex_lock(&f->run->job->shared->lock);
    f->run->part->resumed = 0;
    f->run->job->next_event = 0;
    pthread_mutex_unlock(&f->run->job->shared->lock);
    mmgr__run_progress(f->run, 0, f->run->part->spec.size);
    return rc == MMGR_OK ? rc : trouble(f, TROUBLE_FINAL, rc);
}

static enum mmgr_result restart(struct fetch *f, const char *why)
{
    if (++f->restarts > 1)
        return trouble(f, TROUBLE_BAD, mmgr__fail(MMGR_ERR_SOURCE_CHANGED, "%s", why));
    return drop_bytes(f, why);
}

static enum mmgr_result body(struct fetch *f, const struct mmgr__answer *answer, int *done)
{
    enum mmgr_result rc = MMGR_OK;
    if (answer->kind == MMGR__ANSWER_FRESH)
        rc = drop_bytes(f, answer->why);
    if (rc == MMGR_OK && f->run->part->name == NULL) {
        rc = take_name(f, done);
        if (rc != MMGR_OK || *done)
            return trouble(f, TROUBLE_FINAL, rc);
    }
    if (rc == MMGR_OK && (rc = prepare(f, answer)) != MMGR_OK)
        return trouble(f, TROUBLE_FINAL, rc);
    return rc == MMGR_OK ? take_body(f, answer) : rc;
}

/* One request and what follows from its answer. */
static enum mmgr_result request(struct fetch *f, int *done)
{
    struct mmgr__exchange *x = f->run->exchange;
    enum mmgr_result rc = exchange(f);
    if (rc != MMGR_OK)
        return rc;
    const char *const *headers = (const char *const *)x->headers;
    struct mmgr__answer answer =
        mmgr__answer_judge(&f->question, x->status, headers, x->header_count);
    switch (answer.kind) {
    case MMGR__ANSWER_BODY:
    case MMGR__ANSWER_FRESH:
        return body(f, &answer, done);
    case MMGR__ANSWER_WHOLE:
        f->unknown_end = answer.total;
        return MMGR_OK;
    case MMGR__ANSWER_REDIRECT:
        rc = mmgr__hops_follow(&f->hops, mmgr__header(headers, x->header_count, "Location"));
        return rc == MMGR_OK ? rc : trouble(f, TROUBLE_FINAL, rc);
    case MMGR__ANSWER_RESOLVE:
        if (f->resolved++)
            return trouble(f, TROUBLE_FINAL, answer.code);
        rc = start_chain(f);
        return rc == MMGR_OK ? rc : trouble(f, TROUBLE_FINAL, rc);
    case MMGR__ANSWER_RESTART:
        return restart(f, answer.why);
    case MMGR__ANSWER_WAIT:
        f->wait_ns = answer.wait_ns;
        return trouble(f, TROUBLE_AGAIN, answer.code);
    case MMGR__ANSWER_BAD:
        return trouble(f, TROUBLE_BROKEN, answer.code);
    default:
        return trouble(f, TROUBLE_FINAL, answer.code);
    }
}

static int is_whole(const struct fetch *f)
{
    uint64_t size = known_size(f), offset = partial_of(f)->offset;
    return size != MMGR__UNKNOWN_SIZE ? offset == size : f->unknown_end == offset;
}

/* Text where a model should be: the pointer of git's large-file storage, or a web page without its
 * type. */
static enum mmgr_result sniff(struct fetch *f)
{
    struct mmgr__partial *p = partial_of(f);
    const struct mmgr__part_spec *spec = &f->run->part->spec;
    char head[SNIFF_BYTES + 1];
    if (p->offset == 0 && spec->size != 0)
        return mmgr__fail(MMGR_ERR_PROTOCOL, "the server sends an empty file");
    int64_t got = mmgr__io_pread(p->fd, head, SNIFF_BYTES, 0);
    if (got < 0)
        return mmgr__fail_errno((int)-got, "read", p->part);
    head[got] = '\0';
    if (p->offset < 1024 && mmgr__starts_with(head, "version https://git-lfs.github.com/spec/"))
        return mmgr__fail(MMGR_ERR_PROTOCOL,
                          "a pointer of git's large-file storage came instead of the file");
    const char *text = head + strspn(head, " \t\r\n");
    if (!f->question.html_wanted &&
        (strncasecmp(text, "<!doctype html", 14) == 0 || strncasecmp(text, "<html", 5) == 0))
        return mmgr__fail(
            MMGR_ERR_NOT_AUTHORIZED,
            "a web page came instead of the file; the server may want an access token");
    return MMGR_OK;
}

static enum mmgr_result finish(struct fetch *f)
{
    struct mmgr__run *run = f->run;
    const struct mmgr__part_spec *spec = &run->part->spec;
    char hex[65];
    int proved = mmgr__digest_hex(partial_of(f)->digest, hex) == MMGR_OK &&
                 spec->sha256[0] != '\0' && strcmp(hex, spec->sha256) == 0;
    enum mmgr_result rc = proved ? MMGR_OK : sniff(f);
    if (rc == MMGR_ERR_NOT_AUTHORIZED)
        return trouble(f, TROUBLE_FINAL, rc);
    if (rc == MMGR_OK)
        rc = mmgr__run_finish(run);
    if (rc == MMGR_ERR_HASH_MISMATCH || rc == MMGR_ERR_PROTOCOL)
        return trouble(f, TROUBLE_BAD, rc);
    return rc == MMGR_OK ? rc : trouble(f, TROUBLE_FINAL, rc);
}

/* Requests until the file is whole. */
static enum mmgr_result attempt(struct fetch *f)
{
    enum mmgr_result rc = start_chain(f);
    int done = 0, idle = 0;
    if (rc != MMGR_OK)
        return trouble(f, TROUBLE_FINAL, rc);
    f->first_origin = mmgr__url_origin(&f->hops.url);
    if (f->first_origin == NULL)
        return trouble(f, TROUBLE_FINAL, mmgr__oom());
    while (rc == MMGR_OK && !is_whole(f)) {
        uint64_t before = partial_of(f)->offset;
        rc = request(f, &done);
        mmgr__exchange_stop(f->run->exchange);
        if (rc != MMGR_OK || done)
            return rc;
        if (mmgr__run_stopped(f->run))
            return mmgr__fail(MMGR_ERR_CANCELLED, "told to stop");
        if (partial_of(f)->offset > before) {
            uint64_t got = partial_of(f)->offset - before;
            if (got < f->run->queue->tuning.min_progress && !is_whole(f))
                return trouble(f, TROUBLE_AGAIN,
                               mmgr__fail(MMGR_ERR_NETWORK, "the server sends the file in crumbs"));
            idle = 0;
        } else if (++idle > MOST_REQUESTS) {
            return trouble(f, TROUBLE_AGAIN,
                           mmgr__fail(MMGR_ERR_NETWORK, "the server sends no bytes"));
        }
    }
    if (f->run->part->name == NULL) { /* all bytes were there from an earlier run */
        rc = take_name(f, &done);
        if (rc != MMGR_OK || done)
            return trouble(f, TROUBLE_FINAL, rc);
    }
    return finish(f);
}

/* Full jitter: anything up to the exponential bound. */
static int64_t backoff(const struct mmgr__transfer_tuning *tuning, uint32_t attempts)
{
    int64_t bound = tuning->backoff_base_ns;
    uint64_t random = 0;
    while (attempts-- > 1 && bound < tuning->backoff_cap_ns)
        bound *= 2;
    if (bound > tuning->backoff_cap_ns)
        bound = tuning->backoff_cap_ns;
    mmgr__random(&random, sizeof random);
    return bound / 2 + (int64_t)(random % (uint64_t)(bound / 2 + 1));
}

/* Whether there is another attempt, and when. */
static int try_again(struct fetch *f)
{
    struct mmgr__run *run = f->run;
    struct mmgr__part *part = run->part;
    const struct mmgr__transfer_tuning *tuning = &run->queue->tuning;
    struct mmgr_error kept;
    if (f->trouble == TROUBLE_FINAL || f->trouble == TROUBLE_NONE)
        return 0;
    if (f->trouble == TROUBLE_BROKEN) {
        if (++part->strikes > 1)
            return 0;
    } else if (f->trouble == TROUBLE_BAD) {
        mmgr__error_save(&kept);
        if (++part->strikes > 1 || drop_bytes(f, kept.message) != MMGR_OK) {
            part->spoiled = kept.code != MMGR_ERR_SOURCE_CHANGED;
            mmgr__error_restore(&kept);
            return 0;
        }
        part->high = 0;
    } else if (part->partial->offset >= part->high + tuning->min_progress) {
        part->high = part->partial->offset;
        part->attempts = 0;
    }
    if (++part->attempts >= run->queue->max_retries)
        return 0;
    run->retry_in = backoff(tuning, part->attempts);
    if (f->wait_ns > run->retry_in)
        run->retry_in = f->wait_ns < tuning->wait_cap_ns ? f->wait_ns : tuning->wait_cap_ns;
    return 1;
}

enum mmgr__run_end mmgr__fetch_part(struct mmgr__run *run)
{
    struct fetch f = {.run = run, .unknown_end = UINT64_MAX, .wait_ns = -1};
    enum mmgr_result rc = attempt(&f);
    enum mmgr__run_end end = MMGR__RUN_DONE;
    mmgr__exchange_stop(run->exchange);
    if (rc == MMGR_OK &&
        run->part->partial != NULL) { /* the file was there under the name just learnt */
        mmgr__partial_close(run->part->partial, 0);
        run->part->partial = NULL;
        run->part->touched = 0;
    }
    if (rc != MMGR_OK && mmgr__run_stopped(run)) {
        end = MMGR__RUN_STOPPED;
    } else if (rc != MMGR_OK && try_again(&f)) {
        end = MMGR__RUN_RETRY;
        mmgr__log(MMGR_LOG_DEBUG, "transfer", "%s: %s; another try in %lld ms",
                  run->part->partial->source, mmgr_error_message(mmgr_last_error()),
                  (long long)(run->retry_in / 1000000));
    } else if (rc != MMGR_OK) {
        end = MMGR__RUN_FAILED;
        if (run->part->partial != NULL) {
            mmgr__error_prefix("%s", run->part->partial->source);
            mmgr__error_set_subject(run->part->partial->source);
        }
    }
    mmgr__hops_free(&f.hops);
    mmgr__free(f.first_origin);
    return end;
}
