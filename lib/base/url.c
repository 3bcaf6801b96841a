/* SPDX-License-Identifier: MIT */
/* URLs: strict parsing on top of libcurl's parser, resolving of redirects, percent-encoding. */
#include "base/http.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/path.h"
#include "base/text.h"

#define URL_MAX 8192

static int is_alnum(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static int hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What no URL may hold, whoever wrote it. Parsers disagree about these, and disagreement between the one
 * that checks and the one that connects is how guards are passed. */
static const char *bad_text(const char *text)
{
    size_t length = strnlen(text, URL_MAX + 1);

    if (length == 0)
        return "it is empty";
    if (length > URL_MAX)
        return "it is too long";
    if (!mmgr__utf8_valid(text, length))
        return "it is not UTF-8";
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p < 0x20 || *p == 0x7f)
            return "it holds a control character";
        if (*p == '\\')
            return "it holds a backslash";
    }
    return NULL;
}

/* Percent-encode blanks and bytes beyond ASCII, as browsers do; everything else stays. */
static char *encode_foreign(const char *text)
{
    struct mmgr__buf buf = {0};

    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == ' ' || *p >= 0x80)
            mmgr__buf_printf(&buf, "%%%02X", *p);
        else
            mmgr__buf_append(&buf, p, 1);
    }
    return mmgr__buf_take(&buf);
}

/* Part of a parsed URL as owned text; *absent is set instead when the URL has none. */
static char *take_part(CURLU *handle, CURLUPart part, unsigned flags, int *absent)
{
    char *from_curl = NULL;
    char *copy = NULL;

    *absent = curl_url_get(handle, part, &from_curl, flags) != CURLUE_OK;
    if (!*absent)
        copy = mmgr__strdup(from_curl);
    curl_free(from_curl);
    return copy;
}

/* Host as curl gives it, made comparable: lower-case, IPv6 without brackets. NULL = not a host. */
static const char *normal_host(char *host)
{
    size_t length = strlen(host);

    if (host[0] == '[') {
        if (length < 4 || host[length - 1] != ']')
            return NULL;
        memmove(host, host + 1, length - 2);
        host[length - 2] = '\0';
        for (char *p = host; *p; p++) {
            if (hex_value((unsigned char)*p) < 0 && *p != ':' && *p != '.')
                return NULL;
            if (*p >= 'A' && *p <= 'F')
                *p = (char)(*p | 0x20);
        }
        return host;
    }
    for (char *p = host; *p; p++) {
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p | 0x20);
        if (!is_alnum((unsigned char)*p) && !strchr("-._", *p))
            return NULL;
    }
    return length > 0 && length <= 253 && host[0] != '.' ? host : NULL;
}

static uint16_t default_port(const char *scheme)
{
    return strcmp(scheme, "https") == 0 ? 443 : 80;
}

char *mmgr__url_origin(const struct mmgr__url *url)
{
    int v6 = strchr(url->host, ':') != NULL;
    char port[16] = "";

    if (url->port != default_port(url->scheme))
        snprintf(port, sizeof(port), ":%u", url->port);
    return mmgr__printf("%s://%s%s%s%s", url->scheme, v6 ? "[" : "", url->host, v6 ? "]" : "",
                        port);
}

static enum mmgr_result refuse(const char *text, const char *why)
{
    mmgr__fail(MMGR_ERR_UNSUPPORTED_SOURCE, "\"%.200s\" is not a usable URL: %s", text, why);
    mmgr__error_set_subject(text);
    return MMGR_ERR_UNSUPPORTED_SOURCE;
}

/* Fill the parts that name the server. */
static enum mmgr_result take_server(CURLU *handle, const char *text, struct mmgr__url *url)
{
    uint64_t number = 0;
    int absent;
    char *port = take_part(handle, CURLUPART_PORT, CURLU_DEFAULT_PORT, &absent);
    int port_bad = !port || !mmgr__parse_u64(port, &number) || number == 0 || number > 65535;

    mmgr__free(port);
    if (port_bad)
        return absent || port ? refuse(text, "its port is out of range") : mmgr__oom();
    url->port = (uint16_t)number;
    url->scheme = take_part(handle, CURLUPART_SCHEME, 0, &absent);
    if (!url->scheme)
        return absent ? refuse(text, "it has no scheme") : mmgr__oom();
    for (char *p = url->scheme; *p; p++)
        *p = (char)(*p | 0x20);
    url->host = take_part(handle, CURLUPART_HOST, 0, &absent);
    if (!url->host)
        return absent ? refuse(text, "it names no host") : mmgr__oom();
    if (!normal_host(url->host))
        return refuse(text,
                      "its host name is not valid (write international names in their xn-- form)");
    return MMGR_OK;
}

static enum mmgr_result take_rest(CURLU *handle, struct mmgr__url *url)
{
    int absent;
    char *origin;

    url->path = take_part(handle, CURLUPART_PATH, 0, &absent);
    if (!url->path)
        url->path = absent ? mmgr__strdup("/") : NULL;
    if (!url->path)
        return mmgr__oom();
    url->query = take_part(handle, CURLUPART_QUERY, 0, &absent);
    if (!url->query && !absent)
        return mmgr__oom();
    if (url->query && !*url->query) {
        mmgr__free(url->query);
        url->query = NULL;
    }
    origin = mmgr__url_origin(url);
    if (origin)
        url->text = mmgr__printf("%s%s%s%s", origin, url->path, url->query ? "?" : "",
                                 url->query ? url->query : "");
    mmgr__free(origin);
    return url->text ? MMGR_OK : mmgr__oom();
}

static enum mmgr_result take_parts(CURLU *handle, const char *text, struct mmgr__url *url)
{
    struct mmgr__url made = {0};
    enum mmgr_result result;
    int absent;
    char *part = take_part(handle, CURLUPART_USER, 0, &absent);

    mmgr__free(part);
    if (!absent)
        return refuse(text, "user names and passwords in URLs are not accepted");
    part = take_part(handle, CURLUPART_PASSWORD, 0, &absent);
    mmgr__free(part);
    if (!absent)
        return refuse(text, "user names and passwords in URLs are not accepted");
    part = take_part(handle, CURLUPART_ZONEID, 0, &absent);
    mmgr__free(part);
    if (!absent)
        return refuse(text, "a zone in an address means nothing to other machines");
    result = take_server(handle, text, &made);
    if (result == MMGR_OK)
        result = take_rest(handle, &made);
    if (result != MMGR_OK) {
        mmgr__url_free(&made);
        return result;
    }
    *url = made;
    return MMGR_OK;
}

/* Length of "http://" or "https://" at the start of text, else 0. A further slash is refused: curl would
 * skip it and take the next word for the host. */
static size_t web_prefix(const char *text)
{
    size_t length = strncasecmp(text, "https://", 8) == 0  ? 8
                    : strncasecmp(text, "http://", 7) == 0 ? 7
                                                           : 0;

    return length && text[length] != '/' && text[length] != '\0' ? length : 0;
}

static enum mmgr_result parse_absolute(const char *text, struct mmgr__url *url)
{
    size_t prefix = web_prefix(text);
    enum mmgr_result result;
    CURLU *handle;

    if (!prefix)
        return refuse(text, "it does not begin with http:// or https:// and a host");
    if (memchr(text + prefix, '@', strcspn(text + prefix, "/?#")))
        return refuse(text, "user names and passwords in URLs are not accepted");
    handle = curl_url();
    if (!handle)
        return mmgr__oom();
    switch (curl_url_set(handle, CURLUPART_URL, text, 0)) {
    case CURLUE_OK:
        result = take_parts(handle, text, url);
        break;
    case CURLUE_OUT_OF_MEMORY:
        result = mmgr__oom();
        break;
    default:
        result = refuse(text, "it is malformed");
    }
    curl_url_cleanup(handle);
    return result;
}

enum mmgr_result mmgr__url_parse(const char *text, struct mmgr__url *url)
{
    const char *bad = bad_text(text);
    enum mmgr_result result;
    char *encoded;

    if (bad)
        return refuse(text, bad);
    if (strchr(text, ' '))
        return refuse(text, "it holds a blank");
    encoded = encode_foreign(text);
    if (!encoded)
        return mmgr__oom();
    result = parse_absolute(encoded, url);
    mmgr__free(encoded);
    return result;
}

/* Length of "scheme:" at the start of a reference, or 0. */
static size_t scheme_length(const char *text)
{
    size_t n = 0;

    while (is_alnum((unsigned char)text[n]) || (n > 0 && text[n] && strchr("+-.", text[n])))
        n++;
    return n > 0 && text[n] == ':' ? n + 1 : 0;
}

static enum mmgr_result resolve_relative(const struct mmgr__url *base, const char *location,
                                         struct mmgr__url *url)
{
    enum mmgr_result result;
    CURLU *handle = curl_url();
    CURLUcode code;

    if (!handle)
        return mmgr__oom();
    code = curl_url_set(handle, CURLUPART_URL, base->text, 0);
    if (code == CURLUE_OK)
        code = curl_url_set(handle, CURLUPART_URL, location, 0);
    if (code == CURLUE_OUT_OF_MEMORY)
        result = mmgr__oom();
    else
        result = code == CURLUE_OK ? take_parts(handle, location, url)
                                   : refuse(location, "it is malformed");
    curl_url_cleanup(handle);
    return result;
}

enum mmgr_result mmgr__url_resolve(const struct mmgr__url *base, const char *location,
                                   struct mmgr__url *url)
{
    const char *bad = bad_text(location);
    enum mmgr_result result;
    char *encoded;
    char *full;

    if (bad)
        return refuse(location, bad);
    encoded = encode_foreign(location);
    if (!encoded)
        return mmgr__oom();
    if (scheme_length(encoded)) {
        result = parse_absolute(encoded, url);
    } else if (strncmp(encoded, "//", 2) == 0) {
        full = mmgr__printf("%s:%s", base->scheme, encoded);
        result = full ? parse_absolute(full, url) : mmgr__oom();
        mmgr__free(full);
    } else {
        result = resolve_relative(base, encoded, url);
    }
    mmgr__free(encoded);
    return result;
}

void mmgr__url_free(struct mmgr__url *url)
{
    if (!url)
        return;
    mmgr__free(url->text);
    mmgr__free(url->scheme);
    mmgr__free(url->host);
    mmgr__free(url->path);
    mmgr__free(url->query);
    memset(url, 0, sizeof(*url));
}

int mmgr__url_same_origin(const struct mmgr__url *a, const struct mmgr__url *b)
{
    return strcmp(a->scheme, b->scheme) == 0 && strcmp(a->host, b->host) == 0 && a->port == b->port;
}

char *mmgr__url_encode(const char *text, const char *keep)
{
    struct mmgr__buf buf = {0};

    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (is_alnum(*p) || strchr("-._~", *p) || (keep && strchr(keep, *p)))
            mmgr__buf_append(&buf, p, 1);
        else
            mmgr__buf_printf(&buf, "%%%02X", *p);
    }
    return mmgr__buf_take(&buf);
}

char *mmgr__url_decode(const char *text)
{
    char *decoded = mmgr__alloc(strlen(text) + 1);
    char *to = decoded;

    if (!decoded)
        return NULL;
    while (*text) {
        int high = text[0] == '%' ? hex_value((unsigned char)text[1]) : -1;
        int low = high >= 0 ? hex_value((unsigned char)text[2]) : -1;

        if (low < 0) {
            *to++ = *text++;
            continue;
        }
        if (high == 0 && low == 0) {
            mmgr__free(decoded);
            return NULL;
        }
        *to++ = (char)(high * 16 + low);
        text += 3;
    }
    *to = '\0';
    return decoded;
}

char *mmgr__url_filename(const struct mmgr__url *url)
{
    const char *slash = strrchr(url->path, '/');
    char *name = slash && slash[1] ? mmgr__url_decode(slash + 1) : NULL;

    if (name && mmgr__path_check_component(name) != MMGR_OK) {
        mmgr__free(name);
        return NULL;
    }
    return name;
}
