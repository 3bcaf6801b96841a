/* SPDX-License-Identifier: MIT */
/* JSON: jansson for documents, with bounds; and a strict single-pass scanner for large headers and for
 * keeping unknown members byte for byte. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <jansson.h>
#include <modelmgr/error.h>

/* Parse a document with bounds: size, depth 64, no duplicate keys, no NUL, valid UTF-8. `code` is the
 * error to fail with; `what` names the document; message has line and column, offset is set. */
enum mmgr_result mmgr__json_parse(const char *text, size_t length, enum mmgr_result code, const char *what,
                                  json_t **root);
char *mmgr__json_dump(const json_t *value); /* compact, keys in insertion order; owned; NULL = no memory */
/* Member as text, or NULL when absent or no string. */
const char *mmgr__json_text(const json_t *object, const char *member);

/* Pull scanner over a byte range that stays in memory. Strict RFC 8259. Positions are byte offsets. */
enum mmgr__jscan_kind {
    MMGR__JSCAN_END, MMGR__JSCAN_ERROR, MMGR__JSCAN_OBJECT, MMGR__JSCAN_OBJECT_END, MMGR__JSCAN_ARRAY,
    MMGR__JSCAN_ARRAY_END, MMGR__JSCAN_KEY, MMGR__JSCAN_STRING, MMGR__JSCAN_NUMBER, MMGR__JSCAN_TRUE,
    MMGR__JSCAN_FALSE, MMGR__JSCAN_NULL
};
struct mmgr__jscan {
    const char *text;
    size_t length, at;     /* at: offset of the next byte to read */
    size_t start, end;     /* token just read; of a string or key, the span inside the quotes */
    int escaped;           /* the string holds escapes: use mmgr__jscan_unescape() */
    const char *problem;   /* after ERROR */
    uint32_t depth, max_depth; /* max_depth 0 = 64; at most 512 */
    uint64_t in_object[8];     /* bit per depth */
    int state;                 /* private */
};
extern const char mmgr__jscan_not_utf8[]; /* the problem of such a string; `at` is its start */
void mmgr__jscan_init(struct mmgr__jscan *scan, const char *text, size_t length);
enum mmgr__jscan_kind mmgr__jscan_next(struct mmgr__jscan *scan);
/* Skip the value whose first token was just read (object, array: to its end). 0 on error. */
int mmgr__jscan_skip(struct mmgr__jscan *scan, enum mmgr__jscan_kind kind);
/* The caller has read the value that was to come (after a KEY) by itself; it ended before `at`. */
void mmgr__jscan_passed(struct mmgr__jscan *scan, size_t at);
/* Decode a string span with escapes into out (at least end - start bytes); length, or -1: bad escape, lone
 * surrogate, U+0000, invalid UTF-8. */
int64_t mmgr__jscan_unescape(const char *text, size_t length, char *out);
/* Unsigned integer without sign, fraction, exponent or leading zero; 0 otherwise or beyond u64. */
int mmgr__jscan_u64(const char *text, size_t length, uint64_t *value);

#endif
