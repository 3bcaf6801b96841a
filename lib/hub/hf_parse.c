/* SPDX-License-Identifier: MIT */
/* What the Hugging Face hub answers, from bytes to metadata. Nothing here does I/O, so it can be fuzzed. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/http.h"
#include "base/json.h"
#include "hub/hub.h"

/* Fail over a member: `list`[index].member is wrong. list NULL: member of the document itself. */
static enum mmgr_result wrong(const char *list, size_t index, const char *member, const char *why)
{
    char field[128];

    if (list)
        snprintf(field, sizeof(field), "%s[%zu]%s%s", list, index, *member ? "." : "", member);
    else
        snprintf(field, sizeof(field), "%s", member);
    mmgr__fail(MMGR_ERR_PROTOCOL, "the hub's answer: %s %s", field, why);
    mmgr__error_set_field(field);
    return MMGR_ERR_PROTOCOL;
}

static int absent(const json_t *value)
{
    return !value || json_is_null(value);
}

int mmgr__hub_is_hash(const char *text, size_t length)
{
    return mmgr__is_hex(text, length) && strpbrk(text, "ABCDEF") == NULL;
}

/* Size member, UINT64_MAX when it is absent. */
static enum mmgr_result take_size(const json_t *object, const char *list, size_t index,
                                  const char *name, uint64_t *size)
{
    const json_t *value = json_object_get(object, "size");

    if (absent(value))
        return MMGR_OK;
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return wrong(list, index, name, "is not a size");
    *size = (uint64_t)json_integer_value(value);
    return MMGR_OK;
}

/* Hash member, NULL when it is absent. */
static enum mmgr_result take_hash(const json_t *object, const char *member, size_t digits,
                                  const char *list, size_t index, const char *name,
                                  const char **hash)
{
    const json_t *value = json_object_get(object, member);

    if (absent(value))
        return MMGR_OK;
    if (!json_is_string(value) || !mmgr__hub_is_hash(json_string_value(value), digits))
        return wrong(list, index, name, "is not a hash in lower-case hexadecimal");
    *hash = json_string_value(value);
    return MMGR_OK;
}

/* A file of either listing. They name the same things differently. */
static enum mmgr_result take_file(const json_t *entry, const char *list, size_t index,
                                  const char *path_member, const char *blob_member,
                                  const char *lfs_member, mmgr_metadata *metadata)
{
    const json_t *lfs = json_object_get(entry, "lfs");
    struct hub_file file = {.size = UINT64_MAX};
    const char *path = mmgr__json_text(entry, path_member);
    const char *sha256 = NULL, *git_sha1 = NULL;
    char name[32];
    enum mmgr_result result;

    if (!path)
        return wrong(list, index, path_member, "is missing or no text");
    result = take_size(entry, list, index, "size", &file.size);
    if (result == MMGR_OK)
        result = take_hash(entry, blob_member, 40, list, index, blob_member, &git_sha1);
    if (result != MMGR_OK)
        return result;
    if (!absent(lfs)) {
        uint64_t size = UINT64_MAX;

        if (!json_is_object(lfs))
            return wrong(list, index, "lfs", "is not an object");
        snprintf(name, sizeof(name), "lfs.%s", lfs_member);
        result = take_hash(lfs, lfs_member, 64, list, index, name, &sha256);
        if (result == MMGR_OK)
            result = take_size(lfs, list, index, "lfs.size", &size);
        if (result != MMGR_OK)
            return result;
        if (size != UINT64_MAX)
            file.size = size;
        /* The blob in git is then only a pointer to the bytes. */
        git_sha1 = NULL;
    }
    file.path = (char *)path;
    file.sha256 = (char *)sha256;
    file.git_sha1 = (char *)git_sha1;
    return mmgr__metadata_add(metadata, &file);
}

static enum mmgr_result take_siblings(const json_t *root, mmgr_metadata *metadata)
{
    const json_t *siblings = json_object_get(root, "siblings");
    size_t count = json_array_size(siblings);

    if (!json_is_array(siblings))
        return wrong(NULL, 0, "siblings", "is not a list");
    if (count > HUB_FILES_MAX)
        return wrong(NULL, 0, "siblings", "lists more files than a model has");
    for (size_t i = 0; i < count; i++) {
        const json_t *entry = json_array_get(siblings, i);
        enum mmgr_result result =
            json_is_object(entry)
                ? take_file(entry, "siblings", i, "rfilename", "blobId", "sha256", metadata)
                : wrong("siblings", i, "", "is not an object");

        if (result != MMGR_OK)
            return result;
    }
    return MMGR_OK;
}

static enum mmgr_result take_tags(const json_t *root, mmgr_metadata *metadata)
{
    const json_t *tags = json_object_get(root, "tags");
    const json_t *card = json_object_get(root, "cardData");

    if (!absent(tags) && !json_is_array(tags))
        return wrong(NULL, 0, "tags", "is not a list");
    for (size_t i = 0; i < json_array_size(tags); i++) {
        const char *tag = json_string_value(json_array_get(tags, i));

        if (!tag)
            return wrong("tags", i, "", "is not a text");
        if (!mmgr__strings_add(&metadata->tags, tag))
            return mmgr__oom();
    }
    if (json_is_object(card)) {
        metadata->tag_dict = mmgr__json_dump(card);
        if (!metadata->tag_dict)
            return mmgr__oom();
    }
    return MMGR_OK;
}

/* A text member that may be absent. */
static enum mmgr_result take_text(const json_t *root, const char *member, mmgr_metadata *metadata,
                                  enum mmgr_metadata_text which)
{
    const json_t *value = json_object_get(root, member);

    if (absent(value))
        return MMGR_OK;
    if (!json_is_string(value))
        return wrong(NULL, 0, member, "is not a text");
    return mmgr__metadata_set(metadata, which, json_string_value(value));
}

static enum mmgr_result take_names(const json_t *root, const char *endpoint,
                                   mmgr_metadata *metadata)
{
    const char *id = mmgr__json_text(root, "id");
    const char *slash;
    enum mmgr_result result;
    char *page, *author;

    if (!id || !mmgr__hub_id_valid(id))
        return wrong(NULL, 0, "id", "is not a repository");
    slash = strchr(id, '/');
    result = mmgr__metadata_set(metadata, MMGR_METADATA_TYPE, "huggingface");
    if (result == MMGR_OK)
        result = mmgr__metadata_set(metadata, MMGR_METADATA_ID, id);
    if (result == MMGR_OK)
        result = mmgr__metadata_set(metadata, MMGR_METADATA_NAME, slash ? slash + 1 : id);
    if (result == MMGR_OK)
        result = take_text(root, "author", metadata, MMGR_METADATA_AUTHOR);
    if (result == MMGR_OK && slash && !metadata->texts[MMGR_METADATA_AUTHOR]) {
        author = mmgr__strndup(id, (size_t)(slash - id));
        result = author ? mmgr__metadata_set(metadata, MMGR_METADATA_AUTHOR, author) : mmgr__oom();
        mmgr__free(author);
    }
    if (result == MMGR_OK)
        result = take_text(root, "lastModified", metadata, MMGR_METADATA_LAST_MODIFIED);
    if (result != MMGR_OK)
        return result;
    page = mmgr__printf("%s/%s", endpoint, id);
    result = page ? mmgr__metadata_set(metadata, MMGR_METADATA_PAGE_URL, page) : mmgr__oom();
    mmgr__free(page);
    return result;
}

static enum mmgr_result take_info(const json_t *root, const char *endpoint, mmgr_metadata *metadata)
{
    const json_t *sha = json_object_get(root, "sha");
    enum mmgr_result result;

    if (!json_is_object(root))
        return wrong(NULL, 0, "(document)", "is not an object");
    result = take_names(root, endpoint, metadata);
    if (result != MMGR_OK)
        return result;
    if (!absent(sha) && (!json_is_string(sha) || !mmgr__hub_is_hash(json_string_value(sha), 40)))
        return wrong(NULL, 0, "sha", "is not a commit");
    if (!absent(sha))
        result = mmgr__metadata_set(metadata, MMGR_METADATA_REVISION, json_string_value(sha));
    if (result == MMGR_OK)
        result = take_tags(root, metadata);
    if (result == MMGR_OK)
        result = take_siblings(root, metadata);
    if (result == MMGR_OK)
        result = mmgr__metadata_check_files(metadata);
    return result == MMGR_OK ? mmgr__hf_set_urls(metadata, endpoint) : result;
}

enum mmgr_result mmgr__hf_parse_info(const char *json, size_t length, const char *endpoint,
                                     mmgr_metadata **metadata)
{
    mmgr_metadata *made;
    json_t *root;
    char *copy;
    enum mmgr_result result =
        mmgr__json_parse(json, length, MMGR_ERR_PROTOCOL, "the hub's answer", &root);

    if (result != MMGR_OK)
        return result;
    made = mmgr__metadata_new();
    result = made ? take_info(root, endpoint, made) : mmgr__oom();
    json_decref(root);
    if (result == MMGR_OK) {
        copy = mmgr__strndup(json, length);
        made->texts[MMGR_METADATA_RESPONSE] = copy;
        result = copy ? MMGR_OK : mmgr__oom();
    }
    if (result != MMGR_OK) {
        mmgr_metadata_unref(made);
        return result;
    }
    *metadata = made;
    return MMGR_OK;
}

static enum mmgr_result take_page(const json_t *root, mmgr_metadata *metadata)
{
    size_t count = json_array_size(root);

    if (!json_is_array(root))
        return wrong(NULL, 0, "(document)", "is not a list");
    for (size_t i = 0; i < count; i++) {
        const json_t *entry = json_array_get(root, i);
        const char *type = json_is_object(entry) ? mmgr__json_text(entry, "type") : NULL;
        enum mmgr_result result;

        if (!type)
            return wrong("tree", i, "type", "is missing or no text");
        if (strcmp(type, "file") != 0)
            continue;
        if (metadata->file_count >= HUB_FILES_MAX)
            return wrong(NULL, 0, "tree", "lists more files than a model has");
        result = take_file(entry, "tree", i, "path", "oid", "oid", metadata);
        if (result != MMGR_OK)
            return result;
    }
    return MMGR_OK;
}

enum mmgr_result mmgr__hf_parse_tree(const char *json, size_t length, mmgr_metadata *metadata)
{
    json_t *root;
    enum mmgr_result result =
        mmgr__json_parse(json, length, MMGR_ERR_PROTOCOL, "the hub's file list", &root);

    if (result != MMGR_OK)
        return result;
    result = take_page(root, metadata);
    json_decref(root);
    return result;
}

enum mmgr_result mmgr__hf_set_urls(mmgr_metadata *metadata, const char *endpoint)
{
    const char *revision = metadata->texts[MMGR_METADATA_REVISION];

    for (size_t i = 0; i < metadata->file_count; i++) {
        char *path = mmgr__url_encode(metadata->files[i].path, "/");
        char *url =
            path ? mmgr__printf("%s/%s/resolve/%s/%s", endpoint, metadata->texts[MMGR_METADATA_ID],
                                revision ? revision : "main", path)
                 : NULL;

        mmgr__free(path);
        if (!url)
            return mmgr__oom();
        mmgr__free(metadata->files[i].url);
        metadata->files[i].url = url;
    }
    return MMGR_OK;
}

char *mmgr__hf_next_link(const char *value)
{
    while (value && *value) {
        const char *open = strchr(value, '<');
        const char *close = open ? strchr(open, '>') : NULL;
        size_t rest;

        if (!close)
            return NULL;
        rest = strcspn(close, ",");
        for (const char *p = close; p < close + rest; p++)
            if (strncmp(p, "rel=\"next\"", 10) == 0 || strncmp(p, "rel=next", 8) == 0)
                return mmgr__strndup(open + 1, (size_t)(close - open - 1));
        value = close + rest;
        value += *value == ',';
    }
    return NULL;
}
