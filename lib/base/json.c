/* SPDX-License-Identifier: MIT */
/* JSON documents through jansson, with bounds set before a tree is built, and the strict
 * scanner. */
#include "base/json.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"

#define DOCUMENT_MAX  ((size_t)64 << 20)
#define DEFAULT_DEPTH 64
#define HARD_DEPTH    512

enum state {
    WANT_VALUE,        /* a value must come */
    WANT_VALUE_OR_END, /* just after '[' */
    WANT_KEY_OR_END,   /* just after '{' */
    AFTER_VALUE,       /* ',' or the end of the container */
    AFTER_ALL,         /* only white space may follow */
    BROKEN
};

/* Bytes that end or interrupt the plain run of a string: 1 = quote, 2 = backslash, 3 = control,
 * 4 = not ASCII. */
static int string_byte(unsigned char byte)
{
    if (byte == '"')
        return 1;
    if (byte == '\\')
        return 2;
    if (byte < 0x20)
        return 3;
    return byte >= 0x80 ? 4 : 0;
}

/* Marks in the high bit of each byte of a word whether that byte is one of the above. A borrow can
 * set a mark too many above a true one, never one too few below it, so the lowest mark is always
 * right. */
static uint64_t special_bytes(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
    uint64_t quote = word ^ (ones * '"'), slash = word ^ (ones * '\\');

    return (((quote - ones) & ~quote) | ((slash - ones) & ~slash) | (word - ones * 0x20) | word) &
           high;
}

/* First byte from `at` on that is no plain character, or the end. */
static size_t plain_run(const char *text, size_t at, size_t end)
{
    while (end - at >= sizeof(uint64_t)) {
        uint64_t word, marks;

        memcpy(&word, text + at, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        marks = special_bytes(word);
        if (marks != 0)
            return at + (size_t)__builtin_ctzll(marks) / 8;
#else
        marks = special_bytes(word);
        if (marks != 0)
            break;
#endif
        at += sizeof(word);
    }
    while (at < end && string_byte((unsigned char)text[at]) == 0)
        at++;
    return at;
}

void mmgr__jscan_init(struct mmgr__jscan *scan, const char *text, size_t length)
{
    memset(scan, 0, sizeof(*scan));
    scan->text = text;
    scan->length = length;
    scan->state = WANT_VALUE;
}

const char mmgr__jscan_not_utf8[] = "a string is not valid UTF-8";

static enum mmgr__jscan_kind broken(struct mmgr__jscan *scan, size_t at, const char *problem)
{
    scan->state = BROKEN;
    scan->problem = problem;
    scan->at = at;
    scan->start = scan->end = at;
    return MMGR__JSCAN_ERROR;
}

static void skip_white(struct mmgr__jscan *scan)
{
    const char *text = scan->text;
    size_t at = scan->at;

    while (at < scan->length &&
           (text[at] == ' ' || text[at] == '\n' || text[at] == '\r' || text[at] == '\t'))
        at++;
    scan->at = at;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Length of the escape at `at` (the backslash), or 0. */
static size_t escape_length(const char *text, size_t at, size_t end)
{
    if (end - at < 2)
        return 0;
    if (text[at + 1] == 'u') {
        if (end - at < 6)
            return 0;
        for (size_t i = 2; i < 6; i++)
            if (hex_digit(text[at + i]) < 0)
                return 0;
        return 6;
    }
    return text[at + 1] != '\0' && strchr("\"\\/bfnrt", text[at + 1]) != NULL ? 2 : 0;
}

/* Read the string whose opening quote is at scan->at; 0 on error. */
static int read_string(struct mmgr__jscan *scan)
{
    const char *text = scan->text;
    size_t start = scan->at + 1, at = start;
    int wide = 0;

    scan->escaped = 0;
    for (;;) {
        at = plain_run(text, at, scan->length);
        if (at >= scan->length) {
            broken(scan, at, "a string is not closed");
            return 0;
        }
        int what = string_byte((unsigned char)text[at]);
        if (what == 1)
            break;
        if (what == 3) {
            broken(scan, at, "a control character stands in a string");
            return 0;
        }
        if (what == 4) {
            wide = 1;
            at++;
            continue;
        }
        size_t skip = escape_length(text, at, scan->length);
        if (skip == 0) {
            broken(scan, at, "a string holds a bad escape");
            return 0;
        }
        scan->escaped = 1;
        at += skip;
    }
    if (wide && !mmgr__utf8_valid(text + start, at - start)) {
        broken(scan, start, mmgr__jscan_not_utf8);
        return 0;
    }
    scan->start = start;
    scan->end = at;
    scan->at = at + 1;
    return 1;
}

static size_t digits(const char *text, size_t at, size_t end)
{
    while (at < end && text[at] >= '0' && text[at] <= '9')
        at++;
    return at;
}

static enum mmgr__jscan_kind read_number(struct mmgr__jscan *scan)
{
    const char *text = scan->text;
    size_t start = scan->at, at = start, end = scan->length, from;

    if (text[at] == '-')
        at++;
    from = at;
    at = digits(text, at, end);
    if (at == from)
        return broken(scan, start, "a number has no digits");
    if (text[from] == '0' && at > from + 1)
        return broken(scan, start, "a number begins with a zero");
    if (at < end && text[at] == '.') {
        from = ++at;
        at = digits(text, at, end);
        if (at == from)
            return broken(scan, start, "a number has no digits behind its point");
    }
    if (at < end && (text[at] == 'e' || text[at] == 'E')) {
        at++;
        if (at < end && (text[at] == '+' || text[at] == '-'))
            at++;
        from = at;
        at = digits(text, at, end);
        if (at == from)
            return broken(scan, start, "a number has no digits in its exponent");
    }
    scan->start = start;
    scan->end = scan->at = at;
    return MMGR__JSCAN_NUMBER;
}

static enum mmgr__jscan_kind read_word(struct mmgr__jscan *scan)
{
    static const struct {
        const char *text;
        size_t length;
        enum mmgr__jscan_kind kind;
    } words[] = {{"true", 4, MMGR__JSCAN_TRUE},
                 {"false", 5, MMGR__JSCAN_FALSE},
                 {"null", 4, MMGR__JSCAN_NULL}};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (scan->length - scan->at < words[i].length ||
            memcmp(scan->text + scan->at, words[i].text, words[i].length) != 0)
            continue;
        scan->start = scan->at;
        scan->end = scan->at += words[i].length;
        return words[i].kind;
    }
    return broken(scan, scan->at, "a value was expected");
}

static int inside_object(const struct mmgr__jscan *scan)
{
    uint32_t level = scan->depth - 1;

    return (int)(scan->in_object[level / 64] >> (level % 64) & 1);
}

static void value_done(struct mmgr__jscan *scan)
{
    scan->state = scan->depth == 0 ? AFTER_ALL : AFTER_VALUE;
}

static enum mmgr__jscan_kind begin(struct mmgr__jscan *scan, int object)
{
    uint32_t limit = scan->max_depth == 0 ? DEFAULT_DEPTH : scan->max_depth;
    uint32_t level = scan->depth;

    if (level >= limit || level >= HARD_DEPTH)
        return broken(scan, scan->at, "nested too deep");
    if (object)
        scan->in_object[level / 64] |= UINT64_C(1) << (level % 64);
    else
        scan->in_object[level / 64] &= ~(UINT64_C(1) << (level % 64));
    scan->depth++;
    scan->start = scan->at;
    scan->end = ++scan->at;
    scan->state = object ? WANT_KEY_OR_END : WANT_VALUE_OR_END;
    return object ? MMGR__JSCAN_OBJECT : MMGR__JSCAN_ARRAY;
}

static enum mmgr__jscan_kind finish(struct mmgr__jscan *scan, int object)
{
    scan->start = scan->at;
    scan->end = ++scan->at;
    scan->depth--;
    value_done(scan);
    return object ? MMGR__JSCAN_OBJECT_END : MMGR__JSCAN_ARRAY_END;
}

static enum mmgr__jscan_kind read_value(struct mmgr__jscan *scan)
{
    enum mmgr__jscan_kind kind;
    char c = scan->text[scan->at];

    if (c == '{' || c == '[')
        return begin(scan, c == '{');
    if (c == '"')
        kind = read_string(scan) ? MMGR__JSCAN_STRING : MMGR__JSCAN_ERROR;
    else if (c == '-' || (c >= '0' && c <= '9'))
        kind = read_number(scan);
    else
        kind = read_word(scan);
    if (kind != MMGR__JSCAN_ERROR)
        value_done(scan);
    return kind;
}

static enum mmgr__jscan_kind read_key(struct mmgr__jscan *scan)
{
    size_t start, end;

    if (scan->text[scan->at] != '"')
        return broken(scan, scan->at, "a member name was expected");
    if (!read_string(scan))
        return MMGR__JSCAN_ERROR;
    start = scan->start;
    end = scan->end;
    skip_white(scan);
    if (scan->at >= scan->length || scan->text[scan->at] != ':')
        return broken(scan, scan->at, "a colon was expected");
    scan->at++;
    scan->start = start;
    scan->end = end;
    scan->state = WANT_VALUE;
    return MMGR__JSCAN_KEY;
}

enum mmgr__jscan_kind mmgr__jscan_next(struct mmgr__jscan *scan)
{
    if (scan->state == BROKEN)
        return MMGR__JSCAN_ERROR;
    skip_white(scan);
    if (scan->at >= scan->length) {
        scan->start = scan->end = scan->at;
        return scan->state == AFTER_ALL ? MMGR__JSCAN_END
                                        : broken(scan, scan->at, "the text ends early");
    }
    char c = scan->text[scan->at];
    switch (scan->state) {
    case AFTER_VALUE:
        if (c == ',') {
            scan->at++;
            skip_white(scan);
            if (scan->at >= scan->length)
                return broken(scan, scan->at, "the text ends early");
            if (inside_object(scan))
                return read_key(scan);
            return read_value(scan);
        }
        if (c == (inside_object(scan) ? '}' : ']'))
            return finish(scan, c == '}');
        return broken(scan, scan->at, "a comma or the end of the list was expected");
    case WANT_VALUE_OR_END:
        return c == ']' ? finish(scan, 0) : read_value(scan);
    case WANT_VALUE:
        return read_value(scan);
    case WANT_KEY_OR_END:
        return c == '}' ? finish(scan, 1) : read_key(scan);
    default:
        return broken(scan, scan->at, "something follows the end of the document");
    }
}

int mmgr__jscan_skip(struct mmgr__jscan *scan, enum mmgr__jscan_kind kind)
{
    uint32_t depth = scan->depth;

    if (kind == MMGR__JSCAN_ERROR)
        return 0;
    if (kind != MMGR__JSCAN_OBJECT && kind != MMGR__JSCAN_ARRAY)
        return 1;
    while (scan->depth >= depth)
        if (mmgr__jscan_next(scan) == MMGR__JSCAN_ERROR)
            return 0;
    return 1;
}

void mmgr__jscan_passed(struct mmgr__jscan *scan, size_t at)
{
    scan->at = at;
    value_done(scan);
}

static int32_t code_unit(const char *text)
{
    int32_t value = 0;

    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(text[i]);
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static size_t put_utf8(uint32_t point, char *out)
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    size_t more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    out[0] = (char)((0xFF00 >> (more + 1)) | (point >> (6 * more)));
    for (size_t i = 1; i <= more; i++)
        out[i] = (char)(0x80 | (point >> (6 * (more - i)) & 0x3F));
    return more + 1;
}

/* Decode the \u escape at text (behind "\u"); bytes of input used behind it, or 0. */
static size_t decode_unicode(const char *text, size_t left, char *out, size_t *written)
{
    int32_t unit = left >= 4 ? code_unit(text) : -1;
    size_t used = 4;

    if (unit <= 0 || (unit >= 0xDC00 && unit <= 0xDFFF))
        return 0;
    if (unit >= 0xD800 && unit <= 0xDBFF) {
        int32_t low = left >= 10 && text[4] == '\\' && text[5] == 'u' ? code_unit(text + 6) : -1;
        if (low < 0xDC00 || low > 0xDFFF)
            return 0;
        unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
        used = 10;
    }
    *written = put_utf8((uint32_t)unit, out);
    return used;
}

int64_t mmgr__jscan_unescape(const char *text, size_t length, char *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    size_t at = 0, done = 0;

    while (at < length) {
        size_t run = plain_run(text, at, length);
        while (run < length && (unsigned char)text[run] >= 0x80)
            run = plain_run(text, run + 1, length);
        memmove(out + done, text + at, run - at);
        done += run - at;
        at = run;
        if (at == length)
            break;
        if (text[at] != '\\' || length - at < 2)
            return -1;
        if (text[at + 1] == 'u') {
            size_t written = 0,
                   used = decode_unicode(text + at + 2, length - at - 2, out + done, &written);
            if (used == 0)
                return -1;
            at += 2 + used;
            done += written;
            continue;
        }
        const char *found = text[at + 1] == '\0' ? NULL : strchr(from, text[at + 1]);
        if (found == NULL)
            return -1;
        out[done++] = to[found - from];
        at += 2;
    }
    return mmgr__utf8_valid(out, done) ? (int64_t)done : -1;
}

int mmgr__jscan_u64(const char *text, size_t length, uint64_t *value)
{
    uint64_t sum = 0;

    if (length == 0 || (text[0] == '0' && length > 1))
        return 0;
    for (size_t i = 0; i < length; i++) {
        unsigned digit = (unsigned)(unsigned char)text[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(sum, UINT64_C(10), &sum) ||
            __builtin_add_overflow(sum, (uint64_t)digit, &sum))
            return 0;
    }
    *value = sum;
    return 1;
}

static enum mmgr_result fail_at(enum mmgr_result code, const char *what, const char *text,
                                size_t length, size_t offset, const char *problem)
{
    size_t line = 1, column = 1;

    for (size_t i = 0; i < offset && i < length; i++) {
        if (text[i] == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)text[i] & 0xC0) != 0x80) {
            column++;
        }
    }
    mmgr__fail(code, "%s is not valid JSON: line %zu, column %zu: %s", what, line, column, problem);
    mmgr__error_set_offset(offset);
    return code;
}

enum mmgr_result mmgr__json_parse(const char *text, size_t length, enum mmgr_result code,
                                  const char *what, json_t **root)
{
    struct mmgr__jscan scan;
    enum mmgr__jscan_kind kind;
    json_error_t error;

    if (length > DOCUMENT_MAX)
        return mmgr__fail(code, "%s has %zu bytes; at most %zu are read", what, length,
                          DOCUMENT_MAX);
    mmgr__jscan_init(&scan, text, length);
    do {
        kind = mmgr__jscan_next(&scan);
    } while (kind != MMGR__JSCAN_END && kind != MMGR__JSCAN_ERROR);
    if (kind == MMGR__JSCAN_ERROR)
        return fail_at(code, what, text, length, scan.at, scan.problem);
    json_t *tree = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (tree == NULL) {
        if (json_error_code(&error) == json_error_out_of_memory)
            return mmgr__oom();
        return fail_at(code, what, text, length, error.position < 0 ? 0 : (size_t)error.position,
                       error.text);
    }
    *root = tree;
    return MMGR_OK;
}

static int append_text(const char *data, size_t length, void *user)
{
    struct mmgr__buf *buf = user;

    mmgr__buf_append(buf, data, length);
    return buf->failed ? -1 : 0;
}

char *mmgr__json_dump(const json_t *value)
{
    struct mmgr__buf buf = {0};

    if (value == NULL ||
        json_dump_callback(value, append_text, &buf, JSON_COMPACT | JSON_ENCODE_ANY) != 0) {
        mmgr__buf_free(&buf);
        return NULL;
    }
    return mmgr__buf_take(&buf);
}

const char *mmgr__json_text(const json_t *object, const char *member)
{
    return json_string_value(json_object_get(object, member));
}
