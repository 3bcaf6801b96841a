/* SPDX-License-Identifier: MIT */
/* Text: a growing buffer with a bound, UTF-8 checks, small string helpers. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* Zero-initialise; `failed` is set (and stays) when memory or the bound runs out, so that callers check
 * once at the end. `data` is always NUL-terminated when length > 0. limit 0 = 1 GiB. */
struct mmgr__buf {
    char *data;
    size_t length, capacity, limit;
    int failed;
};

void mmgr__buf_append(struct mmgr__buf *buf, const void *data, size_t length);
void mmgr__buf_puts(struct mmgr__buf *buf, const char *text);
void mmgr__buf_printf(struct mmgr__buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void mmgr__buf_json_string(struct mmgr__buf *buf, const char *text); /* quoted and escaped; NULL: null */
char *mmgr__buf_take(struct mmgr__buf *buf); /* owned text ("" when empty), or NULL when failed; resets */
void mmgr__buf_free(struct mmgr__buf *buf);

size_t mmgr__utf8_prefix(const char *text, size_t length); /* bytes from the start on that are valid */
int mmgr__utf8_valid(const char *text, size_t length); /* strict: no overlongs, surrogates, > U+10FFFF */
/* Make a text fit for one line of a message, in place: control characters become blanks, bytes that are not
 * UTF-8 become '?', a sequence cut at the end is dropped. */
void mmgr__text_one_line(char *text);
int mmgr__starts_with(const char *text, const char *prefix);
int mmgr__ends_with(const char *text, const char *suffix);
int mmgr__same_text(const char *a, const char *b); /* NULL is only the same as NULL */
int mmgr__ends_with_nocase(const char *text, const char *suffix);
int mmgr__is_hex(const char *text, size_t length); /* exactly length hex digits and the end */
/* Decimal, whole text, no sign; 0 when malformed or too large. */
int mmgr__parse_u64(const char *text, uint64_t *value);
/* "1024", "4 GiB", "20GB", "512M" (M = MiB); 0 when malformed. */
int mmgr__parse_size(const char *text, uint64_t *bytes);

/* Lists of owned strings. */
struct mmgr__strings {
    char **items;
    size_t count, capacity;
};
int mmgr__strings_add(struct mmgr__strings *list, const char *text); /* 0 on failure */
int mmgr__strings_take(struct mmgr__strings *list, char *text); /* takes it over, also on failure (0) */
int mmgr__strings_has(const struct mmgr__strings *list, const char *text);
void mmgr__strings_sort(struct mmgr__strings *list);
void mmgr__strings_free(struct mmgr__strings *list);

#endif
