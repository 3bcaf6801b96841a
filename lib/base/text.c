/* SPDX-License-Identifier: MIT */
/* Text: a growing buffer with a bound, UTF-8 checks, small string helpers. */
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"

#define DEFAULT_LIMIT  ((size_t)1 << 30)
#define FIRST_CAPACITY 64 /* bytes; to grow from a few costs more than they do */

/* Make room for `more` bytes and the NUL. */
static int reserve(struct mmgr__buf *buf, size_t more)
{
    size_t limit = buf->limit != 0 ? buf->limit : DEFAULT_LIMIT;
    if (buf->failed || more > limit || buf->length > limit - more) {
        buf->failed = 1;
        return 0;
    }
    void *data = buf->data;
    size_t need = buf->length + more + 1;
    if (!mmgr__grow(&data, &buf->capacity, need > FIRST_CAPACITY ? need : FIRST_CAPACITY, 1)) {
        buf->failed = 1;
        return 0;
    }
    buf->data = data;
    return 1;
}

void mmgr__buf_append(struct mmgr__buf *buf, const void *data, size_t length)
{
    if (length == 0 || !reserve(buf, length))
        return;
    memcpy(buf->data + buf->length, data, length);
    buf->length += length;
    buf->data[buf->length] = '\0';
}

void mmgr__buf_puts(struct mmgr__buf *buf, const char *text)
{
    mmgr__buf_append(buf, text, strlen(text));
}

void mmgr__buf_printf(struct mmgr__buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0)
        buf->failed = 1;
    if (length <= 0 || !reserve(buf, (size_t)length))
        return;
    va_start(args, format);
    vsnprintf(buf->data + buf->length, (size_t)length + 1, format, args);
    va_end(args);
    buf->length += (size_t)length;
}

/* Length of the well-formed UTF-8 sequence at the start of the text, or 0. */
static size_t sequence(const unsigned char *text, size_t left)
{
    unsigned first = text[0];
    if (first < 0x80)
        return 1;
    size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || length > left)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    /* The second byte tells overlong forms, surrogates and numbers past U+10FFFF. */
    if ((first == 0xe0 && text[1] < 0xa0) || (first == 0xed && text[1] > 0x9f) ||
        (first == 0xf0 && text[1] < 0x90) || (first == 0xf4 && text[1] > 0x8f))
        return 0;
    return length;
}

/* Bytes from the start on that stand in JSON as they are. */
static size_t plain_bytes(const unsigned char *text, size_t left)
{
    size_t run = 0;
    while (run < left && text[run] >= 0x20 && text[run] < 0x7f && text[run] != '"' &&
           text[run] != '\\')
        run++;
    return run;
}

void mmgr__buf_json_string(struct mmgr__buf *buf, const char *text)
{
    if (text == NULL) {
        mmgr__buf_puts(buf, "null");
        return;
    }
    const unsigned char *at = (const unsigned char *)text;
    size_t left = strlen(text);
    mmgr__buf_puts(buf, "\"");
    while (left > 0) {
        size_t length = plain_bytes(at, left);
        if (length > 0) {
            mmgr__buf_append(buf, at, length);
            at += length;
            left -= length;
            continue;
        }
        length = sequence(at, left);
        if (length == 0)
            mmgr__buf_puts(buf, "\xef\xbf\xbd"); /* U+FFFD stands for a byte that is no UTF-8 */
        else if (*at == '"' || *at == '\\')
            mmgr__buf_printf(buf, "\\%c", *at);
        else if (*at == '\n')
            mmgr__buf_puts(buf, "\\n");
        else if (*at == '\t')
            mmgr__buf_puts(buf, "\\t");
        else if (*at == '\r')
            mmgr__buf_puts(buf, "\\r");
        else if (*at < 0x20 || *at == 0x7f)
            mmgr__buf_printf(buf, "\\u%04x", *at);
        else
            mmgr__buf_append(buf, at, length);
        at += length != 0 ? length : 1;
        left -= length != 0 ? length : 1;
    }
    mmgr__buf_puts(buf, "\"");
}

char *mmgr__buf_take(struct mmgr__buf *buf)
{
    char *text = NULL;
    if (!buf->failed) {
        text = buf->data != NULL ? buf->data : mmgr__strdup("");
        buf->data = NULL;
    }
    mmgr__buf_free(buf);
    return text;
}

void mmgr__buf_free(struct mmgr__buf *buf)
{
    mmgr__free(buf->data);
    *buf = (struct mmgr__buf){.limit = buf->limit};
}

/* Bytes from the start on that are surely ASCII: looked at a word at a time, so not to the last one. */
static size_t ascii_words(const unsigned char *text, size_t left)
{
    const uint64_t high = UINT64_C(0x8080808080808080);
    size_t run = 0;
    uint64_t word;
    for (; left - run >= sizeof word; run += sizeof word) {
        memcpy(&word, text + run, sizeof word);
        if ((word & high) != 0)
            break;
    }
    return run;
}

size_t mmgr__utf8_prefix(const char *text, size_t length)
{
    const unsigned char *at = (const unsigned char *)text;
    while (length > 0) {
        size_t step = ascii_words(at, length);
        if (step == 0)
            step = sequence(at, length);
        if (step == 0)
            break;
        at += step;
        length -= step;
    }
    return (size_t)((const char *)at - text);
}

int mmgr__utf8_valid(const char *text, size_t length)
{
    return mmgr__utf8_prefix(text, length) == length;
}

void mmgr__text_one_line(char *text)
{
    unsigned char *from = (unsigned char *)text, *to = from;
    size_t left = strlen(text);
    while (left > 0) {
        size_t step = sequence(from, left);
        if (step == 0) {
            /* A lead byte whose sequence would pass the end was cut there by a full buffer. */
            size_t want = *from >= 0xf0 ? 4 : *from >= 0xe0 ? 3 : 2;
            size_t tail = 1;
            while (tail < left && (from[tail] & 0xc0) == 0x80)
                tail++;
            if (*from >= 0xc2 && *from <= 0xf4 && tail == left && tail < want)
                break;
            *to++ = '?';
            from++;
            left--;
            continue;
        }
        if (*from < 0x20 || *from == 0x7f)
            *from = ' ';
        memmove(to, from, step);
        to += step;
        from += step;
        left -= step;
    }
    *to = '\0';
}

int mmgr__starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

int mmgr__ends_with(const char *text, const char *suffix)
{
    size_t length = strlen(text), tail = strlen(suffix);
    return length >= tail && memcmp(text + length - tail, suffix, tail) == 0;
}

int mmgr__same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* ASCII only, whatever the locale. */
static int lower(int c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

int mmgr__ends_with_nocase(const char *text, const char *suffix)
{
    size_t length = strlen(text), tail = strlen(suffix);
    if (length < tail)
        return 0;
    for (size_t i = 0; i < tail; i++)
        if (lower((unsigned char)text[length - tail + i]) != lower((unsigned char)suffix[i]))
            return 0;
    return 1;
}

int mmgr__is_hex(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        int c = lower((unsigned char)text[i]);
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return 0;
    }
    return text[length] == '\0';
}

int mmgr__parse_u64(const char *text, uint64_t *value)
{
    uint64_t number = 0;
    if (*text == '\0')
        return 0;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || !mmgr__mul_u64(number, 10, &number) ||
            !mmgr__add_u64(number, (uint64_t)(*text - '0'), &number))
            return 0;
    }
    *value = number;
    return 1;
}

static int equal_nocase(const char *a, const char *b)
{
    return strlen(a) == strlen(b) && mmgr__ends_with_nocase(a, b);
}

/* Factor of a unit, or 0. "K", "M", … alone are binary, as "KiB"; "KB" is decimal. */
static uint64_t unit_factor(const char *unit)
{
    static const char letters[] = "kmgt";
    if (*unit == '\0' || equal_nocase(unit, "b"))
        return 1;
    const char *letter = strchr(letters, lower((unsigned char)*unit));
    if (letter == NULL)
        return 0;
    uint64_t step = unit[1] == '\0' || equal_nocase(unit + 1, "ib") ? 1024
                    : equal_nocase(unit + 1, "b")                   ? 1000
                                                                    : 0;
    uint64_t factor = step;
    for (; letter > letters; letter--)
        factor *= step;
    return factor;
}

int mmgr__parse_size(const char *text, uint64_t *bytes)
{
    uint64_t whole = 0, part = 0, scale = 1;
    if (*text < '0' || *text > '9')
        return 0;
    for (; *text >= '0' && *text <= '9'; text++)
        if (!mmgr__mul_u64(whole, 10, &whole) ||
            !mmgr__add_u64(whole, (uint64_t)(*text - '0'), &whole))
            return 0;
    if (*text == '.') {
        text++;
        if (*text < '0' || *text > '9')
            return 0;
        for (; *text >= '0' && *text <= '9'; text++) {
            /* Six digits are finer than anyone means; more are read and dropped. */
            if (scale < 1000000) {
                part = part * 10 + (uint64_t)(*text - '0');
                scale *= 10;
            }
        }
    }
    while (*text == ' ')
        text++;
    uint64_t factor = unit_factor(text), sum;
    if (factor == 0 || (factor == 1 && scale > 1) || !mmgr__mul_u64(whole, factor, &sum) ||
        !mmgr__add_u64(sum, part * factor / scale, &sum))
        return 0;
    *bytes = sum;
    return 1;
}

int mmgr__strings_take(struct mmgr__strings *list, char *text)
{
    void *items = list->items;
    if (text == NULL || !mmgr__grow(&items, &list->capacity, list->count + 1, sizeof *list->items)) {
        mmgr__free(text);
        return 0;
    }
    list->items = items;
    list->items[list->count++] = text;
    return 1;
}

int mmgr__strings_add(struct mmgr__strings *list, const char *text)
{
    return mmgr__strings_take(list, mmgr__strdup(text));
}

int mmgr__strings_has(const struct mmgr__strings *list, const char *text)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], text) == 0)
            return 1;
    return 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void mmgr__strings_sort(struct mmgr__strings *list)
{
    if (list->count > 1)
        qsort(list->items, list->count, sizeof *list->items, compare);
}

void mmgr__strings_free(struct mmgr__strings *list)
{
    for (size_t i = 0; i < list->count; i++)
        mmgr__free(list->items[i]);
    mmgr__free(list->items);
    *list = (struct mmgr__strings){0};
}
