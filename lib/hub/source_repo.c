/* SPDX-License-Identifier: MIT */
/* The ways to write a repository of the Hugging Face hub: the short form, hf:// URIs and web pages. */
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/http.h"
#include "base/path.h"
#include "hub/hub.h"

static const char *const variants[] = {"default", "fp16", "fp32", "onnx", "openvino", "flax"};
#define VARIANT_HELP \
    "the variants are default, fp16, fp32, onnx, openvino, flax, or a GGUF quantisation such as Q4_K_M or BF16"

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int is_word(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* Q4_K_M, IQ2_XS, TQ1_0, UD-Q4_K_XL, MXFP4_MOE; upper-case. */
static int quantisation_shape(const char *text)
{
    static const char *const heads[] = {"IQ", "TQ", "Q", "MXFP"};

    if (strcmp(text, "F16") == 0 || strcmp(text, "F32") == 0 || strcmp(text, "BF16") == 0)
        return 1;
    if (strncmp(text, "UD-", 3) == 0)
        text += 3;
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        const char *rest = text + strlen(heads[i]);

        if (strncmp(text, heads[i], strlen(heads[i])) != 0 || !is_digit(*rest))
            continue;
        rest += strspn(rest, "0123456789");
        while (*rest == '_' && is_word(rest[1]) && rest[1] != '_')
            rest += 1 + strspn(rest + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
        return *rest == '\0';
    }
    return 0;
}

int mmgr__hub_is_quantisation(const char *variant)
{
    return quantisation_shape(variant);
}

int mmgr__hub_variant(const char *text, char out[32])
{
    size_t length = strlen(text);

    if (length == 0 || length > 31)
        return 0;
    for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
        if (strcmp(text, variants[i]) == 0) {
            memcpy(out, text, length + 1);
            return 1;
        }
    }
    /* "f16" in small letters is more often a slip for "fp16" than a quantisation. */
    if (strcasecmp(text, "f16") == 0 || strcasecmp(text, "f32") == 0 ||
        strcasecmp(text, "bf16") == 0) {
        memcpy(out, text, length + 1);
        return quantisation_shape(text);
    }
    for (size_t i = 0; i <= length; i++)
        out[i] = (char)(text[i] >= 'a' && text[i] <= 'z' ? text[i] - 'a' + 'A' : text[i]);
    return quantisation_shape(out);
}

/* One of the two names: word characters, "-" and ".", beginning and ending with a word character. */
static int name_valid(const char *name, size_t length)
{
    if (length == 0 || length > 96 || !is_word(name[0]) || !is_word(name[length - 1]))
        return 0;
    for (size_t i = 0; i < length; i++) {
        if (!is_word(name[i]) && name[i] != '-' && name[i] != '.')
            return 0;
        if (i > 0 && (name[i] == '-' || name[i] == '.') && name[i - 1] == name[i])
            return 0;
    }
    return length < 4 || memcmp(name + length - 4, ".git", 4) != 0;
}

int mmgr__hub_repo_valid(const char *repo, size_t length)
{
    const char *slash = memchr(repo, '/', length);
    size_t org = slash ? (size_t)(slash - repo) : 0;

    return slash && name_valid(repo, org) && name_valid(slash + 1, length - org - 1);
}

int mmgr__hub_id_valid(const char *id)
{
    return strchr(id, '/') ? mmgr__hub_repo_valid(id, strlen(id)) : name_valid(id, strlen(id));
}

static int revision_valid(const char *text, size_t length)
{
    if (length == 0 || length > 255 || text[0] == '/' || text[0] == '-' || text[length - 1] == '/')
        return 0;
    for (size_t i = 0; i < length; i++) {
        if (!is_word(text[i]) && !strchr("-./+", text[i]))
            return 0;
        if (i > 0 && (text[i] == '.' || text[i] == '/') && text[i - 1] == text[i])
            return 0;
    }
    return 1;
}

static enum mmgr_result put(struct mmgr_source *source, enum mmgr_source_part part,
                            const char *text, size_t length)
{
    mmgr__free(source->parts[part]);
    source->parts[part] = mmgr__strndup(text, length);
    return source->parts[part] ? MMGR_OK : mmgr__oom();
}

static enum mmgr_result put_revision(struct mmgr_source *source, const char *text, size_t length,
                                     const char *whole)
{
    if (!revision_valid(text, length))
        return mmgr__source_fail(whole, "the revision is no branch, tag or commit");
    return put(source, MMGR_SOURCE_PART_REVISION, text, length);
}

/* Folder or file of the repository; slashes around it do not matter, none left means all of it. */
static enum mmgr_result put_folder(struct mmgr_source *source, const char *text, size_t length,
                                   const char *whole)
{
    enum mmgr_result result;

    while (length > 0 && *text == '/')
        text++, length--;
    while (length > 0 && text[length - 1] == '/')
        length--;
    if (length == 0)
        return MMGR_OK;
    result = put(source, MMGR_SOURCE_PART_SUBFOLDER, text, length);
    /* A blank at the end would be lost when the source is read again. */
    if (result == MMGR_OK &&
        (memchr(text, ':', length) || text[length - 1] == ' ' ||
         mmgr__path_check_relative(source->parts[MMGR_SOURCE_PART_SUBFOLDER]) != MMGR_OK))
        return mmgr__source_fail(
            whole, "the folder or file inside the repository is no safe relative path");
    return result;
}

/* ":variant", ":variant:folder", "::folder" or ":" behind the name. */
static enum mmgr_result parse_suffix(const char *text, const char *whole,
                                     struct mmgr_source *source)
{
    const char *colon = strchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : strlen(text);
    char given[40], variant[32];
    enum mmgr_result result = MMGR_OK;

    if (length >= sizeof(given))
        return mmgr__source_fail(whole, VARIANT_HELP);
    memcpy(given, text, length);
    given[length] = '\0';
    if (length > 0 && !mmgr__hub_variant(given, variant))
        return mmgr__source_fail(whole, VARIANT_HELP);
    if (length > 0)
        result = put(source, MMGR_SOURCE_PART_VARIANT, variant, strlen(variant));
    if (result != MMGR_OK || !colon)
        return result;
    if (!colon[1] || colon[1] == ':')
        return mmgr__source_fail(whole, "the folder behind the variant is missing");
    return put_folder(source, colon + 1, strlen(colon + 1), whole);
}

enum mmgr_result mmgr__hub_parse_grammar(const char *text, const char *whole,
                                         struct mmgr_source *source)
{
    size_t name = strcspn(text, "@:");
    size_t end = strcspn(text, ":");
    enum mmgr_result result;

    if (!mmgr__hub_repo_valid(text, name))
        return mmgr__source_fail(whole,
                                 "neither an existing path, nor a URL, nor a repository org/name");
    result = put(source, MMGR_SOURCE_PART_REPO, text, name);
    if (result == MMGR_OK && text[name] == '@')
        result = put_revision(source, text + name + 1, end - name - 1, whole);
    if (result == MMGR_OK && text[end] == ':' && text[end + 1])
        result = parse_suffix(text + end + 1, whole, source);
    return result;
}

/* Length of the first segments of text, up to count of them. */
static size_t segments(const char *text, int count)
{
    size_t length = 0;

    for (int i = 0; i < count && text[length]; i++) {
        length += i > 0;
        length += strcspn(text + length, "/");
    }
    return length;
}

/* A revision in a path: one segment, but three for refs/pr/1 and refs/convert/parquet. */
static size_t revision_length(const char *text)
{
    return segments(text, mmgr__starts_with(text, "refs/") ? 3 : 1);
}

/* Decode a percent-encoded piece. NULL = no memory, or %00 (then *bad). */
static char *decode(const char *text, size_t length, int *bad)
{
    char *piece = mmgr__strndup(text, length);
    char *decoded = piece ? mmgr__url_decode(piece) : NULL;

    *bad = piece && !decoded && strstr(piece, "%00");
    mmgr__free(piece);
    return decoded;
}

typedef enum mmgr_result (*put_fn)(struct mmgr_source *, const char *, size_t, const char *);

static enum mmgr_result put_decoded(struct mmgr_source *source, put_fn set, const char *text,
                                    size_t length, const char *whole)
{
    int bad = 0;
    char *decoded = decode(text, length, &bad);
    enum mmgr_result result;

    if (!decoded)
        return bad ? mmgr__source_fail(whole, "it holds a NUL byte") : mmgr__oom();
    result = set(source, decoded, strlen(decoded), whole);
    mmgr__free(decoded);
    return result;
}

/* Repository kinds that hold no models, in URIs and pages. */
static int other_kind(const char *text)
{
    static const char *const kinds[] = {"datasets/", "spaces/",      "buckets/",
                                        "kernels/",  "collections/", "papers/",
                                        "docs/",     "blog/",        "settings/"};

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (mmgr__starts_with(text, kinds[i]))
            return 1;
    return 0;
}

enum mmgr_result mmgr__hub_parse_uri(const char *text, const char *whole,
                                     struct mmgr_source *source)
{
    size_t name, at;
    enum mmgr_result result;

    if (other_kind(text))
        return mmgr__source_fail(whole, "only model repositories can be installed");
    if (mmgr__starts_with(text, "models/"))
        text += 7;
    name = segments(text, 2);
    at = strcspn(text, "@");
    name = at < name ? at : name;
    if (!mmgr__hub_repo_valid(text, name))
        return mmgr__source_fail(whole, "hf://org/name[@revision][/path] is expected");
    result = put(source, MMGR_SOURCE_PART_REPO, text, name);
    text += name;
    if (result == MMGR_OK && *text == '@') {
        size_t length = revision_length(text + 1);

        result = put_decoded(source, put_revision, text + 1, length, whole);
        text += 1 + length;
    }
    return result == MMGR_OK ? put_decoded(source, put_folder, text, strlen(text), whole) : result;
}

/* The third word of a page's path: whether a revision and a path follow it. */
static const struct page {
    const char *word;
    int revision, path;
} pages[] = {
    {"tree", 1, 1},     {"blob", 1, 1},    {"resolve", 1, 1}, {"raw", 1, 1},
    {"revision", 1, 0}, {"commits", 1, 0}, {"commit", 1, 0},  {"discussions", 0, 0},
};

static enum mmgr_result parse_page_rest(const char *text, const char *whole,
                                        struct mmgr_source *source)
{
    size_t word = strcspn(text, "/");
    enum mmgr_result result = MMGR_OK;

    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        size_t length;

        if (strlen(pages[i].word) != word || memcmp(pages[i].word, text, word) != 0)
            continue;
        text += word + (text[word] == '/');
        length = revision_length(text);
        if (pages[i].revision && length == 0 && *text)
            return mmgr__source_fail(whole, "the revision is missing");
        if (pages[i].revision && length > 0)
            result = put_decoded(source, put_revision, text, length, whole);
        if (result == MMGR_OK && pages[i].path)
            result = put_decoded(source, put_folder, text + length, strlen(text + length), whole);
        return result;
    }
    return mmgr__source_fail(whole, "this page of the hub is no repository, folder or file");
}

enum mmgr_result mmgr__hub_parse_page(const char *path, const char *whole,
                                      struct mmgr_source *source)
{
    const char *text = path + (*path == '/');
    size_t name;
    enum mmgr_result result;

    if (mmgr__starts_with(text, "api/models/"))
        text += strlen("api/models/");
    if (other_kind(text))
        return mmgr__source_fail(whole, "only model repositories can be installed");
    name = segments(text, 2);
    /* hf.co/org/name:Q4_K_M, as other programs write it. */
    if (text[name] == '\0' && strpbrk(text, ":@"))
        return mmgr__hub_parse_grammar(text, whole, source);
    if (!mmgr__hub_repo_valid(text, name))
        return mmgr__source_fail(whole, "the page is no repository org/name");
    result = put(source, MMGR_SOURCE_PART_REPO, text, name);
    text += name + strspn(text + name, "/");
    return result == MMGR_OK && *text ? parse_page_rest(text, whole, source) : result;
}
