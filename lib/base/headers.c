/* SPDX-License-Identifier: MIT */
/* Values of HTTP headers that servers get wrong or use to attack: each parser takes one text and either
 * understands all of it or says no. */
#include "base/http.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/alloc.h"
#include "base/path.h"
#include "base/text.h"
#include "base/thread.h"

#define SECOND          INT64_C(1000000000)
#define WAIT_MAX        (300 * SECOND)
#define ETAG_MAX        1024
#define DISPOSITION_MAX 4096

static const char *skip_blanks(const char *text)
{
    return text + strspn(text, " \t");
}

/* Length without trailing blanks. */
static size_t trimmed(const char *text, size_t length)
{
    while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t'))
        length--;
    return length;
}

const char *mmgr__header(const char *const *headers, uint32_t count, const char *name)
{
    size_t length = strlen(name);

    for (uint32_t i = 0; i < count; i++)
        if (strncasecmp(headers[i], name, length) == 0 && headers[i][length] == ':')
            return skip_blanks(headers[i] + length + 1);
    return NULL;
}

char *mmgr__etag(const char *value, int *weak)
{
    const char *text = skip_blanks(value);
    size_t length;
    int is_weak = strncmp(text, "W/", 2) == 0;

    if (is_weak)
        text += 2;
    length = trimmed(text, strnlen(text, ETAG_MAX + 1));
    if (length == 0 || length > ETAG_MAX)
        return NULL;
    /* Some object stores leave the quotes out. */
    if (text[0] == '"') {
        if (length < 3 || text[length - 1] != '"')
            return NULL;
        text++;
        length -= 2;
    }
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c <= 0x20 || c == '"' || c == 0x7f)
            return NULL;
    }
    *weak = is_weak;
    return mmgr__strndup(text, length);
}

/* Decimal number at *text, advanced behind it; 0 when there is none or it is beyond 64 bits. */
static int take_number(const char **text, uint64_t *value)
{
    size_t digits = strspn(*text, "0123456789");
    char copy[24];

    if (digits == 0 || digits >= sizeof(copy))
        return 0;
    memcpy(copy, *text, digits);
    copy[digits] = '\0';
    *text += digits;
    return mmgr__parse_u64(copy, value);
}

int mmgr__content_range(const char *value, uint64_t *first, uint64_t *last, uint64_t *total,
                        int *unsatisfied)
{
    const char *p = skip_blanks(value);
    uint64_t a = 0, b = 0, size = UINT64_MAX;
    int empty;

    if (strncasecmp(p, "bytes", 5) != 0 || (p[5] != ' ' && p[5] != '\t'))
        return 0;
    p = skip_blanks(p + 5);
    empty = *p == '*';
    if (empty)
        p++;
    else if (!take_number(&p, &a) || *p++ != '-' || !take_number(&p, &b) || b < a ||
             b == UINT64_MAX)
        return 0;
    if (*p++ != '/')
        return 0;
    if (*p == '*' && !empty)
        p++;
    else if (!take_number(&p, &size) || size == UINT64_MAX || (!empty && b >= size))
        return 0;
    if (*skip_blanks(p) != '\0')
        return 0;
    *first = a;
    *last = b;
    *total = size;
    *unsatisfied = empty;
    return 1;
}

/* One "; name=value" of a Content-Disposition. */
struct parameter {
    const char *name;
    size_t name_length;
    char *value; /* owned, unquoted */
};

/* Read the parameter at *text (behind the semicolon). 0 = malformed or no memory. */
static int take_parameter(const char **text, struct parameter *parameter)
{
    const char *p = skip_blanks(*text);
    struct mmgr__buf buf = {0};

    parameter->name = p;
    parameter->name_length = strcspn(p, "=; \t");
    p = skip_blanks(p + parameter->name_length);
    if (parameter->name_length == 0 || *p++ != '=')
        return 0;
    p = skip_blanks(p);
    if (*p == '"') {
        for (p++; *p && *p != '"'; p++) {
            if (*p == '\\' && p[1])
                p++;
            mmgr__buf_append(&buf, p, 1);
        }
        if (*p++ != '"') {
            mmgr__buf_free(&buf);
            return 0;
        }
    } else {
        size_t length = strcspn(p, ";");

        mmgr__buf_append(&buf, p, trimmed(p, length));
        p += length;
    }
    p = skip_blanks(p);
    parameter->value = *p == ';' || *p == '\0' ? mmgr__buf_take(&buf) : NULL;
    mmgr__buf_free(&buf);
    *text = p;
    return parameter->value != NULL;
}

/* "UTF-8'language'percent-encoded", also ISO-8859-1. NULL = other charset or malformed. */
static char *decode_extended(const char *value)
{
    const char *quote = strchr(value, '\'');
    const char *text = quote ? strchr(quote + 1, '\'') : NULL;
    struct mmgr__buf buf = {0};
    char *decoded;

    if (!text)
        return NULL;
    decoded = mmgr__url_decode(text + 1);
    if (!decoded || strncasecmp(value, "UTF-8'", 6) == 0)
        return decoded;
    if (strncasecmp(value, "ISO-8859-1'", 11) == 0) {
        for (const unsigned char *p = (const unsigned char *)decoded; *p; p++) {
            char two[2] = {(char)(0xc0 | *p >> 6), (char)(0x80 | (*p & 0x3f))};

            if (*p < 0x80)
                mmgr__buf_append(&buf, p, 1);
            else
                mmgr__buf_append(&buf, two, 2);
        }
        mmgr__free(decoded);
        return mmgr__buf_take(&buf);
    }
    mmgr__free(decoded);
    return NULL;
}

/* Read all parameters: filename and filename*, each at most once. 0 = malformed. */
static int take_filenames(const char *value, char **simple, char **extended)
{
    const char *p = value + strcspn(value, ";");

    while (*p == ';') {
        struct parameter parameter = {0};
        char **to = NULL;

        p++;
        if (*skip_blanks(p) == '\0')
            return 1;
        if (!take_parameter(&p, &parameter))
            return 0;
        if (parameter.name_length == 8 && strncasecmp(parameter.name, "filename", 8) == 0)
            to = simple;
        else if (parameter.name_length == 9 && strncasecmp(parameter.name, "filename*", 9) == 0)
            to = extended;
        if (to && *to) {
            mmgr__free(parameter.value);
            return 0;
        }
        if (to)
            *to = parameter.value;
        else
            mmgr__free(parameter.value);
    }
    return 1;
}

char *mmgr__disposition_filename(const char *value)
{
    char *simple = NULL, *extended = NULL, *name = NULL;

    if (strnlen(value, DISPOSITION_MAX + 1) <= DISPOSITION_MAX &&
        take_filenames(value, &simple, &extended)) {
        if (extended)
            name = decode_extended(extended);
        /* The plain form only stands in for a charset that we do not know, never for an unsafe name. */
        if (!name && simple && (!extended || strncasecmp(extended, "UTF-8'", 6) != 0))
            name = mmgr__strdup(simple);
    }
    mmgr__free(simple);
    mmgr__free(extended);
    if (name && mmgr__path_check_component(name) != MMGR_OK) {
        mmgr__free(name);
        name = NULL;
    }
    return name;
}

static int64_t cap(uint64_t seconds)
{
    return seconds > (uint64_t)(WAIT_MAX / SECOND) ? WAIT_MAX : (int64_t)seconds * SECOND;
}

/* Longest t= among the buckets that are used up (r=0), or among all when none says so; -1 = none. */
static int64_t rate_limit_wait(const char *value)
{
    int64_t spent = -1, any = -1;

    while (*value) {
        size_t length = strcspn(value, ",");
        const char *end = value + length;
        uint64_t left = 1, seconds = 0;
        int has_time = 0;

        for (const char *p = value; p < end; p++) {
            const char *q = skip_blanks(p + 1);

            if (*p != ';')
                continue;
            if (strncmp(q, "r=", 2) == 0) {
                q += 2;
                take_number(&q, &left);
            } else if (strncmp(q, "t=", 2) == 0) {
                q += 2;
                /* A number beyond 64 bits is a wait that the cap cuts anyway. */
                has_time = *q >= '0' && *q <= '9';
                if (has_time && !take_number(&q, &seconds))
                    seconds = UINT64_MAX - 1;
            }
        }
        if (has_time && cap(seconds + 1) > any)
            any = cap(seconds + 1);
        if (has_time && left == 0 && cap(seconds + 1) > spent)
            spent = cap(seconds + 1);
        value = *end ? end + 1 : end;
    }
    return spent >= 0 ? spent : any;
}

int64_t mmgr__retry_after(const char *const *headers, uint32_t count)
{
    const char *value = mmgr__header(headers, count, "Retry-After");
    const char *limit = mmgr__header(headers, count, "RateLimit");

    if (value && *value >= '0' && *value <= '9') {
        const char *p = value;
        uint64_t seconds;
        size_t digits = strspn(value, "0123456789");

        if (*skip_blanks(value + digits) == '\0')
            return take_number(&p, &seconds) ? cap(seconds) : WAIT_MAX;
    }
    /* A date begins with the name of a day; curl_getdate() would also take half a number for one. */
    if (value && ((*value >= 'A' && *value <= 'Z') || (*value >= 'a' && *value <= 'z'))) {
        time_t date = curl_getdate(value, NULL);
        int64_t now = mmgr__now_realtime() / SECOND;

        if (date != (time_t)-1)
            return (int64_t)date <= now ? 0 : cap((uint64_t)((int64_t)date - now));
    }
    return limit ? rate_limit_wait(limit) : -1;
}

const char *mmgr__user_agent(void)
{
    return "User-Agent: libmodelmgr/" MMGR_VERSION_STRING;
}
