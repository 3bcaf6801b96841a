/* SPDX-License-Identifier: MIT */
/* Source strings: decides by a table of forms what a person means, and gives it one canonical text. */
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/http.h"
#include "base/io.h"
#include "base/path.h"
#include "hub/hub.h"

#include <fcntl.h>

#define SOURCE_MAX 8192

enum mmgr_result mmgr__source_fail(const char *text, const char *why)
{
    mmgr__fail(MMGR_ERR_UNSUPPORTED_SOURCE, "\"%.300s\": %s", text, why);
    mmgr__error_set_subject(text);
    return MMGR_ERR_UNSUPPORTED_SOURCE;
}

static int exists(const char *path)
{
    struct stat st;

    return mmgr__io_stat(AT_FDCWD, path, &st, 1) == 0;
}

static enum mmgr_result set_part(struct mmgr_source *source, enum mmgr_source_part part, char *text)
{
    mmgr__free(source->parts[part]);
    source->parts[part] = text;
    return text ? MMGR_OK : mmgr__oom();
}

/* A local path. One that is missing is a missing path, never another form. */
static enum mmgr_result parse_path(const char *text, struct mmgr_source *source)
{
    char *path = mmgr__path_absolute(text);

    if (!path)
        return mmgr__oom();
    if (!exists(path)) {
        mmgr__fail(MMGR_ERR_PATH_NOT_FOUND, "there is no file or folder %s", path);
        mmgr__error_set_subject(path);
        mmgr__free(path);
        return MMGR_ERR_PATH_NOT_FOUND;
    }
    source->kind = MMGR_SOURCE_LOCAL;
    return set_part(source, MMGR_SOURCE_PART_PATH, path);
}

/* file:relative, file:/absolute, file:///absolute, file://localhost/absolute; percent-encoded. */
static enum mmgr_result parse_file(const char *text, struct mmgr_source *source)
{
    const char *rest = text + 5;
    enum mmgr_result result;
    char *path;

    if (strncmp(rest, "//localhost/", 12) == 0)
        rest += 11;
    else if (strncmp(rest, "///", 3) == 0)
        rest += 2;
    else if (strncmp(rest, "//", 2) == 0)
        return mmgr__source_fail(text, "a file of another machine cannot be read");
    if (!*rest)
        return mmgr__source_fail(text, "a path is missing");
    path = mmgr__url_decode(rest);
    if (!path)
        return strstr(rest, "%00") ? mmgr__source_fail(text, "a path cannot hold a NUL byte")
                                   : mmgr__oom();
    result = parse_path(path, source);
    mmgr__free(path);
    return result;
}

/* hf://models/org/name@rev/path, or hf: before the short form. */
static enum mmgr_result parse_hf(const char *text, struct mmgr_source *source)
{
    source->kind = MMGR_SOURCE_HUGGINGFACE;
    if (strncmp(text + 3, "//", 2) == 0)
        return mmgr__hub_parse_uri(text + 5, text, source);
    return mmgr__hub_parse_grammar(text + 3, text, source);
}

static enum mmgr_result set_number(struct mmgr_source *source, enum mmgr_source_part part,
                                   const char *text, size_t length, const char *whole)
{
    if (length == 0 || length > 18 || strspn(text, "0123456789") < length)
        return mmgr__source_fail(whole,
                                 "a Civitai model is civitai:NUMBER or civitai:NUMBER@VERSION");
    return set_part(source, part, mmgr__strndup(text, length));
}

/* civitai:model[@version] */
static enum mmgr_result parse_civitai(const char *text, struct mmgr_source *source)
{
    const char *rest = text + 8;
    size_t length = strcspn(rest, "@");
    enum mmgr_result result;

    source->kind = MMGR_SOURCE_CIVITAI;
    result = set_number(source, MMGR_SOURCE_PART_REPO, rest, length, text);
    if (result == MMGR_OK && rest[length] == '@')
        result = set_number(source, MMGR_SOURCE_PART_REVISION, rest + length + 1,
                            strlen(rest + length + 1), text);
    return result;
}

/* https://civitai.com/models/1234[/slug][?modelVersionId=5] */
static enum mmgr_result parse_civitai_page(const struct mmgr__url *url, const char *text,
                                           struct mmgr_source *source)
{
    const char *id = url->path + strlen("/models/");
    const char *version = url->query;
    enum mmgr_result result;

    source->kind = MMGR_SOURCE_CIVITAI;
    result = set_number(source, MMGR_SOURCE_PART_REPO, id, strcspn(id, "/"), text);
    while (version && strncmp(version, "modelVersionId=", 15) != 0) {
        version = strchr(version, '&');
        version = version ? version + 1 : NULL;
    }
    if (result == MMGR_OK && version)
        result = set_number(source, MMGR_SOURCE_PART_REVISION, version + 15,
                            strcspn(version + 15, "&"), text);
    return result;
}

/* A secret in the query would end up in records and logs. */
static int carries_token(const struct mmgr__url *url)
{
    static const char *const names[] = {"token=", "access_token=", "api_key="};

    for (const char *p = url->query; p; p = strchr(p, '&') ? strchr(p, '&') + 1 : NULL)
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
            if (strncasecmp(p, names[i], strlen(names[i])) == 0)
                return 1;
    return 0;
}

/* Hosts whose pages are repositories without any configuration; endpoint NULL: the configured one. */
static const struct web_host {
    const char *host, *endpoint;
} web_hosts[] = {
    {"huggingface.co", NULL},
    {"www.huggingface.co", NULL},
    {"hf.co", NULL},
    {"hf-mirror.com", "https://hf-mirror.com"},
};

static enum mmgr_result parse_url_parts(const struct mmgr__url *url, const char *text,
                                        struct mmgr_source *source)
{
    if (carries_token(url))
        return mmgr__source_fail(
            url->host, "the URL holds an access token; give the token by itself, so that it "
                       "is kept out of records and logs");
    for (size_t i = 0; i < sizeof(web_hosts) / sizeof(web_hosts[0]); i++) {
        if (strcmp(url->host, web_hosts[i].host) != 0 || (url->port != 443 && url->port != 80))
            continue;
        source->kind = MMGR_SOURCE_HUGGINGFACE;
        if (web_hosts[i].endpoint) {
            enum mmgr_result result =
                set_part(source, MMGR_SOURCE_PART_ENDPOINT, mmgr__strdup(web_hosts[i].endpoint));

            if (result != MMGR_OK)
                return result;
        }
        return mmgr__hub_parse_page(url->path, text, source);
    }
    if (strcmp(url->host, "civitai.com") == 0 && url->port == 443 &&
        mmgr__starts_with(url->path, "/models/"))
        return parse_civitai_page(url, text, source);
    source->kind = MMGR_SOURCE_URL;
    return set_part(source, MMGR_SOURCE_PART_URL, mmgr__strdup(url->text));
}

static enum mmgr_result parse_url(const char *text, struct mmgr_source *source)
{
    struct mmgr__url url;
    enum mmgr_result result = mmgr__url_parse(text, &url);

    if (result != MMGR_OK)
        return result;
    result = parse_url_parts(&url, text, source);
    mmgr__url_free(&url);
    return result;
}

/* hf.co/org/name:QUANT and huggingface.co/org/name, as copied from an address bar without its scheme. */
static enum mmgr_result parse_bare_host(const char *text, struct mmgr_source *source)
{
    source->kind = MMGR_SOURCE_HUGGINGFACE;
    return mmgr__hub_parse_page(strchr(text, '/'), text, source);
}

static enum mmgr_result parse_windows(const char *text, struct mmgr_source *source)
{
    return mmgr__source_fail(text, "Windows paths are not supported on this system");
}

static enum mmgr_result parse_short(const char *text, struct mmgr_source *source)
{
    source->kind = MMGR_SOURCE_HUGGINGFACE;
    return mmgr__hub_parse_grammar(text, text, source);
}

static int begins(const char *text, const char *prefix)
{
    return strncasecmp(text, prefix, strlen(prefix)) == 0;
}

static int looks_like_path(const char *text)
{
    return text[0] == '/' || mmgr__starts_with(text, "./") || mmgr__starts_with(text, "../") ||
           mmgr__starts_with(text, "~/") || strcmp(text, ".") == 0 || strcmp(text, "..") == 0 ||
           strcmp(text, "~") == 0;
}

static int is_file(const char *text)
{
    return begins(text, "file:");
}
static int is_url(const char *text)
{
    return begins(text, "http:") || begins(text, "https:");
}
static int is_hf(const char *text)
{
    return begins(text, "hf:");
}
static int is_civitai(const char *text)
{
    return begins(text, "civitai:");
}
static int is_bare_host(const char *text)
{
    return begins(text, "hf.co/") || begins(text, "huggingface.co/");
}
static int is_any(const char *text)
{
    return 1;
}

static int is_windows(const char *text)
{
    int letter = (text[0] >= 'a' && text[0] <= 'z') || (text[0] >= 'A' && text[0] <= 'Z');

    return (letter && text[1] == ':' && (text[2] == '\\' || text[2] == '/')) || strchr(text, '\\');
}

/* The forms in the order of asking; the first that fits decides. */
static const struct form {
    int (*fits)(const char *text);
    enum mmgr_result (*parse)(const char *text, struct mmgr_source *source);
} forms[] = {
    {looks_like_path, parse_path}, {is_file, parse_file},
    {is_url, parse_url},           {is_hf, parse_hf},
    {is_civitai, parse_civitai},   {exists, parse_path},
    {is_windows, parse_windows},   {is_bare_host, parse_bare_host},
    {is_any, parse_short},
};

/* Whether a text is read as the short form of a repository, and not as a path of that name, say. */
static int is_short(const char *text)
{
    size_t i = 0;

    while (!forms[i].fits(text))
        i++;
    return forms[i].parse == parse_short;
}

/* The text without surrounding blanks and one pair of quotes. Owned. */
static char *trimmed(const char *text)
{
    size_t length;

    text += strspn(text, " \t\r\n");
    length = strlen(text);
    while (length > 0 && strchr(" \t\r\n", text[length - 1]))
        length--;
    if (length >= 2 && (text[0] == '"' || text[0] == '\'') && text[length - 1] == text[0]) {
        text++;
        length -= 2;
    }
    return mmgr__strndup(text, length);
}

static const char *unusable(const char *text)
{
    size_t length = strlen(text);

    if (length == 0)
        return "the source is empty";
    if (length > SOURCE_MAX)
        return "the source is too long";
    if (!mmgr__utf8_valid(text, length))
        return "the source is not UTF-8";
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return "the source holds a control character";
    return NULL;
}

static enum mmgr_result parse_text(const char *text, struct mmgr_source *source)
{
    const char *why = unusable(text);

    if (why)
        return mmgr__source_fail("source", why);
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
        if (forms[i].fits(text))
            return forms[i].parse(text, source);
    return mmgr__source_fail(text, "no known form");
}

enum mmgr_result mmgr_source_parse(const char *text, mmgr_source **source)
{
    enum mmgr_result result;
    mmgr_source *made;
    char *inner;

    if (!text || !source)
        return mmgr__bad_argument(text ? "source" : "text");
    made = mmgr__alloc0(1, sizeof(*made));
    inner = trimmed(text);
    if (made)
        mmgr__refs_init(&made->refs);
    result = made && inner ? parse_text(inner, made) : mmgr__oom();
    if (result == MMGR_OK)
        result = mmgr__source_settle(made);
    mmgr__free(inner);
    if (result != MMGR_OK) {
        mmgr_source_unref(made);
        return result;
    }
    *source = made;
    return MMGR_OK;
}

/* A path as text that is read back as that path. */
static char *path_text(const char *path)
{
    char *encoded;
    char *text;

    if (!mmgr__ends_with(path, " "))
        return mmgr__strdup(path);
    encoded = mmgr__url_encode(path, "/");
    text = encoded ? mmgr__printf("file://%s", encoded) : NULL;
    mmgr__free(encoded);
    return text;
}

/* The page of a repository at an endpoint of its own. */
static char *page_text(const struct mmgr_source *source)
{
    const char *revision = source->parts[MMGR_SOURCE_PART_REVISION];
    const char *folder = source->parts[MMGR_SOURCE_PART_SUBFOLDER];
    char *encoded_revision = mmgr__url_encode(revision ? revision : "main", NULL);
    char *encoded_folder = mmgr__url_encode(folder ? folder : "", "/");
    char *text = NULL;

    if (encoded_revision && encoded_folder)
        text = mmgr__printf(
            "%s/%s%s%s%s%s", source->parts[MMGR_SOURCE_PART_ENDPOINT],
            source->parts[MMGR_SOURCE_PART_REPO], revision || folder ? "/tree/" : "",
            revision || folder ? encoded_revision : "", folder ? "/" : "", encoded_folder);
    mmgr__free(encoded_revision);
    mmgr__free(encoded_folder);
    return text;
}

static char *repo_text(const struct mmgr_source *source)
{
    const char *revision = source->parts[MMGR_SOURCE_PART_REVISION];
    const char *variant = source->parts[MMGR_SOURCE_PART_VARIANT];
    const char *folder = source->parts[MMGR_SOURCE_PART_SUBFOLDER];
    char *text;
    char *forced;

    if (source->parts[MMGR_SOURCE_PART_ENDPOINT])
        return page_text(source);
    text = mmgr__printf("%s%s%s%s%s%s%s", source->parts[MMGR_SOURCE_PART_REPO], revision ? "@" : "",
                        revision ? revision : "", variant || folder ? ":" : "",
                        variant ? variant : "", folder ? ":" : "", folder ? folder : "");
    if (!text || is_short(text))
        return text;
    forced = mmgr__printf("hf:%s", text);
    mmgr__free(text);
    return forced;
}

enum mmgr_result mmgr__source_settle(struct mmgr_source *source)
{
    const char *version = source->parts[MMGR_SOURCE_PART_REVISION];
    char *text = NULL;

    switch (source->kind) {
    case MMGR_SOURCE_LOCAL:
        text = path_text(source->parts[MMGR_SOURCE_PART_PATH]);
        break;
    case MMGR_SOURCE_URL:
        text = mmgr__strdup(source->parts[MMGR_SOURCE_PART_URL]);
        break;
    case MMGR_SOURCE_HUGGINGFACE:
        text = repo_text(source);
        break;
    default:
        text = mmgr__printf("civitai:%s%s%s", source->parts[MMGR_SOURCE_PART_REPO],
                            version ? "@" : "", version ? version : "");
    }
    return set_part(source, MMGR_SOURCE_PART_TEXT, text);
}

/* What follows the endpoint in a URL of that endpoint, beginning with "/", or NULL. */
static const char *below(const struct mmgr__url *url, const struct mmgr__url *endpoint)
{
    size_t length = strlen(endpoint->path);

    while (length > 0 && endpoint->path[length - 1] == '/')
        length--;
    if (!mmgr__url_same_origin(url, endpoint) || strncmp(url->path, endpoint->path, length) != 0)
        return NULL;
    return url->path[length] == '/' ? url->path + length : NULL;
}

static enum mmgr_result parse_below(const char *text, const struct mmgr__url *url,
                                    const struct mmgr__url *endpoint, struct mmgr_source *source)
{
    const char *path = below(url, endpoint);

    source->kind = MMGR_SOURCE_HUGGINGFACE;
    return path ? mmgr__hub_parse_page(path, text, source)
                : mmgr__source_fail(text, "not a page of the hub");
}

enum mmgr_result mmgr__source_at_endpoint(const mmgr_source *source, const char *endpoint,
                                          mmgr_source **repository)
{
    const char *text = source->parts[MMGR_SOURCE_PART_URL];
    struct mmgr__url url = {0}, base = {0};
    mmgr_source *made = NULL;
    enum mmgr_result result =
        text ? mmgr__url_parse(text, &url) : mmgr__source_fail("source", "not a URL");

    if (result == MMGR_OK)
        result = mmgr__url_parse(endpoint, &base);
    if (result == MMGR_OK && !(made = mmgr__alloc0(1, sizeof(*made))))
        result = mmgr__oom();
    if (result == MMGR_OK) {
        mmgr__refs_init(&made->refs);
        result = parse_below(text, &url, &base, made);
    }
    if (result == MMGR_OK)
        result = mmgr__source_settle(made);
    mmgr__url_free(&url);
    mmgr__url_free(&base);
    if (result != MMGR_OK) {
        mmgr_source_unref(made);
        return result;
    }
    *repository = made;
    return MMGR_OK;
}

mmgr_source *mmgr_source_ref(const mmgr_source *source)
{
    mmgr_source *shared = (mmgr_source *)source;

    if (shared)
        mmgr__refs_take(&shared->refs);
    return shared;
}

void mmgr_source_unref(mmgr_source *source)
{
    if (!source || !mmgr__refs_drop(&source->refs))
        return;
    for (size_t i = 0; i < sizeof(source->parts) / sizeof(source->parts[0]); i++)
        mmgr__free(source->parts[i]);
    mmgr__free(source);
}

enum mmgr_source_kind mmgr_source_kind(const mmgr_source *source)
{
    return source ? source->kind : MMGR_SOURCE_NONE;
}

const char *mmgr_source_part(const mmgr_source *source, enum mmgr_source_part part)
{
    return source && part > 0 && part < 9 ? source->parts[part] : NULL;
}
