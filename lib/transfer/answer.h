/* SPDX-License-Identifier: MIT */
/* What an answer means for a file that is being fetched: a pure function from question and head to
 * a verdict. */
#ifndef TRANSFER_ANSWER_H
#define TRANSFER_ANSWER_H

#include "base/error.h"

/* What was asked, and what is known about the file. */
struct mmgr__question {
    uint64_t from;     /* first byte wanted; > 0 means that bytes are there already */
    uint64_t to;       /* last byte of the range, UINT64_MAX: to the end */
    int ranged;        /* a Range was sent */
    uint64_t size;     /* bytes of the version that `from` bytes come from; UINT64_MAX unknown */
    uint64_t expected; /* bytes that the caller promised; UINT64_MAX unknown */
    const char *etag;  /* of that version, strong, with quotes; or NULL */
    const char *weak_etag;
    const char *last_modified;
    int foreign;     /* the answer comes from another origin than the one first asked */
    int had_token;   /* a token was sent */
    int html_wanted; /* the file is a web page itself */
};

enum mmgr__answer_kind {
    MMGR__ANSWER_BODY,  /* take the body */
    MMGR__ANSWER_FRESH, /* drop what is there, then take the body: it is the whole file */
    MMGR__ANSWER_WHOLE, /* nothing is missing */
    MMGR__ANSWER_REDIRECT,
    MMGR__ANSWER_RESOLVE, /* a signed address has run out: ask the first URL again */
    MMGR__ANSWER_RESTART, /* the bytes that are there cannot be continued: drop them, ask anew */
    MMGR__ANSWER_WAIT,    /* ask again later */
    MMGR__ANSWER_BAD,     /* the content is not what it should be: one more try from the start */
    MMGR__ANSWER_FAIL
};

struct mmgr__answer {
    enum mmgr__answer_kind kind;
    enum mmgr_result code; /* of WAIT, BAD and FAIL; the thread's last error is set then */
    uint64_t total;        /* bytes of the file, UINT64_MAX unknown */
    uint64_t body;         /* bytes of this body, UINT64_MAX unknown */
    int64_t wait_ns;       /* what the server asks for with WAIT, or -1 */
    const char *why;       /* of FRESH and RESTART, for the log */
};

struct mmgr__answer mmgr__answer_judge(const struct mmgr__question *question, int32_t status,
                                       const char *const *headers, uint32_t count);

#endif
