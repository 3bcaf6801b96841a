/* SPDX-License-Identifier: MIT */
/* Judging the head of an answer. No byte of a body is taken before this has said so. */
#include "transfer/answer.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/http.h"
#include "base/text.h"

#define UNKNOWN UINT64_MAX

static struct mmgr__answer verdict(enum mmgr__answer_kind kind, enum mmgr_result code)
{
    return (struct mmgr__answer){
        .kind = kind, .code = code, .total = UNKNOWN, .body = UNKNOWN, .wait_ns = -1};
}

static struct mmgr__answer restart(const char *why)
{
    struct mmgr__answer answer = verdict(MMGR__ANSWER_RESTART, MMGR_OK);
    answer.why = why;
    return answer;
}

static struct mmgr__answer bad(enum mmgr_result code, const char *message)
{
    return verdict(MMGR__ANSWER_BAD, mmgr__fail(code, "%s", message));
}

/* Content-Length of all such headers: 1 known, 0 none, -1 malformed or contradicting. */
static int content_length(const char *const *headers, uint32_t count, uint64_t *length)
{
    int found = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t value = 0;
        char text[32];
        if (strncasecmp(headers[i], "Content-Length:", 15) != 0)
            continue;
        const char *at = headers[i] + 15;
        at += strspn(at, " \t");
        size_t digits = strcspn(at, " \t");
        if (digits == 0 || digits >= sizeof text || at[digits + strspn(at + digits, " \t")] != '\0')
            return -1;
        memcpy(text, at, digits);
        text[digits] = '\0';
        if (!mmgr__parse_u64(text, &value) || (found && value != *length))
            return -1;
        *length = value;
        found = 1;
    }
    return found;
}

/* Message of the hub for people, printable and short; "" when there is none. */
static void server_message(const char *const *headers, uint32_t count, char text[256])
{
    const char *value = mmgr__header(headers, count, "X-Error-Message");
    text[0] = '\0';
    if (value == NULL || !mmgr__utf8_valid(value, strlen(value)) || strlen(value) > 240)
        return;
    snprintf(text, 256, " (%s)", value);
}

static struct mmgr__answer fail_http(enum mmgr__answer_kind kind, enum mmgr_result code,
                                     int32_t status, const char *what, const char *const *headers,
                                     uint32_t count)
{
    char said[256];
    server_message(headers, count, said);
    mmgr__fail(code, "the server answers %d: %s%s", (int)status, what, said);
    mmgr__error_set_http(status);
    return verdict(kind, code);
}

static struct mmgr__answer not_found(const char *const *headers, uint32_t count)
{
    const char *code = mmgr__header(headers, count, "X-Error-Code");
    if (code != NULL && strcasecmp(code, "RepoNotFound") == 0)
        return fail_http(MMGR__ANSWER_FAIL, MMGR_ERR_REPO_NOT_FOUND, 404,
                         "there is no such repository, or it is private", headers, count);
    if (code != NULL && strcasecmp(code, "RevisionNotFound") == 0)
        return fail_http(MMGR__ANSWER_FAIL, MMGR_ERR_REVISION_NOT_FOUND, 404,
                         "the repository has no such revision", headers, count);
    return fail_http(MMGR__ANSWER_FAIL, MMGR_ERR_ENTRY_NOT_FOUND, 404, "there is no such file",
                     headers, count);
}

static struct mmgr__answer denied(const struct mmgr__question *q, int32_t status,
                                  const char *const *headers, uint32_t count)
{
    const char *code = mmgr__header(headers, count, "X-Error-Code");
    if (code != NULL && strcasecmp(code, "GatedRepo") == 0)
        return fail_http(MMGR__ANSWER_FAIL, MMGR_ERR_GATED, status,
                         "access to the repository must be requested on its page first", headers,
                         count);
    if (status == 401 && !q->had_token)
        return fail_http(MMGR__ANSWER_FAIL, MMGR_ERR_NOT_AUTHORIZED, status,
                         "it wants an access token; what is asked for may also not exist", headers,
                         count);
    return fail_http(MMGR__ANSWER_FAIL, MMGR_ERR_NOT_AUTHORIZED, status,
                     q->had_token ? "it does not accept the access token for this file"
                                  : "access is denied; an access token may be needed",
                     headers, count);
}

static struct mmgr__answer later(int32_t status, const char *const *headers, uint32_t count)
{
    struct mmgr__answer answer = status == 429
                                     ? fail_http(MMGR__ANSWER_WAIT, MMGR_ERR_RATE_LIMITED, status,
                                                 "it asks for fewer requests", headers, count)
                                     : fail_http(MMGR__ANSWER_WAIT, MMGR_ERR_HTTP, status,
                                                 "it cannot answer now", headers, count);
    answer.wait_ns = mmgr__retry_after(headers, count);
    return answer;
}

/* 416: the range lies past the end. */
static struct mmgr__answer past_the_end(const struct mmgr__question *q, const char *const *headers,
                                        uint32_t count)
{
    uint64_t first = 0, last = 0, total = UNKNOWN;
    int unsatisfied = 0;
    const char *range = mmgr__header(headers, count, "Content-Range");
    if (!q->ranged)
        return fail_http(MMGR__ANSWER_FAIL, MMGR_ERR_PROTOCOL, 416, "no range was asked for",
                         headers, count);
    if (q->from == 0)
        return fail_http(MMGR__ANSWER_BAD, MMGR_ERR_PROTOCOL, 416,
                         "the file is smaller than announced", headers, count);
    if (range != NULL && mmgr__content_range(range, &first, &last, &total, &unsatisfied) &&
        unsatisfied && total == q->from && (q->size == UNKNOWN || q->size == total) &&
        (q->expected == UNKNOWN || q->expected == total)) {
        struct mmgr__answer answer = verdict(MMGR__ANSWER_WHOLE, MMGR_OK);
        answer.total = total;
        return answer;
    }
    return restart("the server has no bytes beyond those that are there");
}

static int other_version(const struct mmgr__question *q, const char *const *headers, uint32_t count)
{
    const char *etag = mmgr__header(headers, count, "ETag");
    const char *known = q->etag != NULL ? q->etag : q->weak_etag;
    const char *modified = mmgr__header(headers, count, "Last-Modified");
    if (etag != NULL && known != NULL)
        return strcmp(etag, known) != 0;
    return modified != NULL && q->last_modified != NULL && strcmp(modified, q->last_modified) != 0;
}

static struct mmgr__answer check_total(const struct mmgr__question *q, struct mmgr__answer answer)
{
    if (answer.total == UNKNOWN || q->expected == UNKNOWN || answer.total == q->expected)
        return answer;
    enum mmgr_result code = answer.total > q->expected ? MMGR_ERR_TOO_LARGE : MMGR_ERR_PROTOCOL;
    return verdict(MMGR__ANSWER_BAD,
                   mmgr__fail(code, "the server offers %llu bytes, but %llu were promised",
                              (unsigned long long)answer.total, (unsigned long long)q->expected));
}

static struct mmgr__answer partial(const struct mmgr__question *q, const char *const *headers,
                                   uint32_t count)
{
    struct mmgr__answer answer = verdict(MMGR__ANSWER_BODY, MMGR_OK);
    uint64_t first = 0, last = 0, length = 0;
    int unsatisfied = 0;
    const char *range = mmgr__header(headers, count, "Content-Range");
    const char *type = mmgr__header(headers, count, "Content-Type");
    const char *problem = NULL;
    if (!q->ranged)
        return fail_http(MMGR__ANSWER_BAD, MMGR_ERR_PROTOCOL, 206,
                         "a part, though the whole was asked for", headers, count);
    if (type != NULL && strncasecmp(type, "multipart/", 10) == 0)
        problem = "the server sends several ranges in one";
    else if (range == NULL ||
             !mmgr__content_range(range, &first, &last, &answer.total, &unsatisfied) || unsatisfied)
        problem = "the server does not say which part it sends";
    else if (first != q->from || last < first || last > q->to ||
             (answer.total != UNKNOWN && last >= answer.total))
        problem = "the server sends another part than was asked for";
    else if (content_length(headers, count, &length) != 0 && length != last - first + 1)
        problem = "the part's length contradicts its range";
    else if (q->size != UNKNOWN && answer.total != q->size)
        problem = "the size of the file has changed at the source";
    else if (other_version(q, headers, count))
        problem = "the file has changed at the source";
    if (problem != NULL)
        return q->from > 0 ? restart(problem) : bad(MMGR_ERR_PROTOCOL, problem);
    answer.body = last - first + 1;
    return check_total(q, answer);
}

static struct mmgr__answer whole(const struct mmgr__question *q, const char *const *headers,
                                 uint32_t count)
{
    struct mmgr__answer answer = verdict(MMGR__ANSWER_BODY, MMGR_OK);
    uint64_t length = 0;
    int known = content_length(headers, count, &length);
    const char *type = mmgr__header(headers, count, "Content-Type");
    if (known < 0)
        return bad(MMGR_ERR_PROTOCOL, "the answer's Content-Length is malformed");
    if (type != NULL && strncasecmp(type, "text/html", 9) == 0 && !q->html_wanted &&
        (known == 0 || q->expected != length))
        return verdict(
            MMGR__ANSWER_FAIL,
            mmgr__fail(MMGR_ERR_NOT_AUTHORIZED,
                       "a web page came instead of the file; the server may want an access "
                       "token, or the URL may be that of a page"));
    /* With a transfer coding the length does not count. */
    if (known > 0 && mmgr__header(headers, count, "Transfer-Encoding") == NULL)
        answer.total = answer.body = length;
    answer = check_total(q, answer);
    if (answer.kind == MMGR__ANSWER_BODY && q->from > 0) {
        answer.kind = MMGR__ANSWER_FRESH;
        answer.why = "the server sends the whole file instead of the part that is missing";
    }
    return answer;
}

static struct mmgr__answer success(const struct mmgr__question *q, int32_t status,
                                   const char *const *headers, uint32_t count)
{
    const char *encoding = mmgr__header(headers, count, "Content-Encoding");
    if (encoding != NULL && strcasecmp(encoding, "identity") != 0)
        return q->from > 0 ? restart("the server sends encoded bytes though it was asked not to")
                           : bad(MMGR_ERR_PROTOCOL,
                                 "the server sends encoded bytes though it was asked not to");
    return status == 206 ? partial(q, headers, count) : whole(q, headers, count);
}

static int is_redirect(int32_t status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

struct mmgr__answer mmgr__answer_judge(const struct mmgr__question *q, int32_t status,
                                       const char *const *headers, uint32_t count)
{
    if (status == 200 || status == 206)
        return success(q, status, headers, count);
    if (is_redirect(status))
        return verdict(MMGR__ANSWER_REDIRECT, MMGR_OK);
    if (q->foreign && (status == 400 || status == 401 || status == 403 || status == 410)) {
        struct mmgr__answer answer = denied(q, status, headers, count);
        answer.kind = MMGR__ANSWER_RESOLVE;
        return answer;
    }
    switch (status) {
    case 204:
        if (q->expected == 0) {
            struct mmgr__answer answer = verdict(MMGR__ANSWER_WHOLE, MMGR_OK);
            answer.total = 0;
            return answer;
        }
        return fail_http(MMGR__ANSWER_BAD, MMGR_ERR_PROTOCOL, status, "no content", headers, count);
    case 401:
    case 403:
        return denied(q, status, headers, count);
    case 404:
        return not_found(headers, count);
    case 410:
        return fail_http(MMGR__ANSWER_FAIL, MMGR_ERR_ENTRY_NOT_FOUND, status, "the file is gone",
                         headers, count);
    case 416:
        return past_the_end(q, headers, count);
    case 408:
    case 429:
        return later(status, headers, count);
    default:
        if (status >= 500)
            return later(status, headers, count);
        return fail_http(MMGR__ANSWER_FAIL, MMGR_ERR_HTTP, status, "it does not give the file",
                         headers, count);
    }
}
