/* SPDX-License-Identifier: MIT */
/* Metadata as JSON: our own form, written and read back; the hub's form is read by hf_parse.c. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/http.h"
#include "base/json.h"
#include "hub/hub.h"

/* Text members of our form. */
static const struct member {
    const char *name;
    enum mmgr_metadata_text which;
    int required;
} members[] = {
    {"type", MMGR_METADATA_TYPE, 1},         {"id", MMGR_METADATA_ID, 1},
    {"name", MMGR_METADATA_NAME, 0},         {"author", MMGR_METADATA_AUTHOR, 0},
    {"revision", MMGR_METADATA_REVISION, 0}, {"last_modified", MMGR_METADATA_LAST_MODIFIED, 0},
    {"page_url", MMGR_METADATA_PAGE_URL, 0},
};

static void put_file(struct mmgr__buf *buf, const struct hub_file *file)
{
    mmgr__buf_puts(buf, "{\"path\":");
    mmgr__buf_json_string(buf, file->path);
    if (file->size == UINT64_MAX)
        mmgr__buf_puts(buf, ",\"size\":null,\"url\":");
    else
        mmgr__buf_printf(buf, ",\"size\":%llu,\"url\":", (unsigned long long)file->size);
    mmgr__buf_json_string(buf, file->url);
    mmgr__buf_puts(buf, ",\"sha256\":");
    mmgr__buf_json_string(buf, file->sha256);
    mmgr__buf_puts(buf, ",\"git_sha1\":");
    mmgr__buf_json_string(buf, file->git_sha1);
    mmgr__buf_puts(buf, "}");
}

enum mmgr_result mmgr_metadata_to_json(const mmgr_metadata *metadata, char **json)
{
    struct mmgr__buf buf = {0};
    char *text;

    if (!metadata || !json)
        return mmgr__bad_argument(metadata ? "json" : "metadata");
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        mmgr__buf_printf(&buf, "%s\"%s\":", i ? "," : "{", members[i].name);
        mmgr__buf_json_string(&buf, metadata->texts[members[i].which]);
    }
    mmgr__buf_puts(&buf, ",\"tags\":[");
    for (size_t i = 0; i < metadata->tags.count; i++) {
        mmgr__buf_puts(&buf, i ? "," : "");
        mmgr__buf_json_string(&buf, metadata->tags.items[i]);
    }
    mmgr__buf_printf(&buf, "],\"tag_dict\":%s,\"files\":[",
                     metadata->tag_dict ? metadata->tag_dict : "{}");
    for (size_t i = 0; i < metadata->file_count; i++) {
        mmgr__buf_puts(&buf, i ? "," : "");
        put_file(&buf, &metadata->files[i]);
    }
    mmgr__buf_puts(&buf, "]}");
    text = mmgr__buf_take(&buf);
    if (!text)
        return mmgr__oom();
    *json = text;
    return MMGR_OK;
}

static enum mmgr_result wrong(const char *field, const char *why)
{
    mmgr__fail(MMGR_ERR_PROTOCOL, "metadata: %s %s", field, why);
    mmgr__error_set_field(field);
    return MMGR_ERR_PROTOCOL;
}

static int absent(const json_t *value)
{
    return !value || json_is_null(value);
}

static enum mmgr_result read_file(const json_t *entry, size_t index, mmgr_metadata *metadata)
{
    const char *path = mmgr__json_text(entry, "path"), *url = mmgr__json_text(entry, "url");
    const char *sha256 = mmgr__json_text(entry, "sha256"),
               *git_sha1 = mmgr__json_text(entry, "git_sha1");
    const json_t *size = json_object_get(entry, "size");
    struct hub_file file = {(char *)path, (char *)url, (char *)sha256, (char *)git_sha1,
                            UINT64_MAX};
    struct mmgr__url parsed = {0};
    char field[64];
    const char *member = NULL;
    enum mmgr_result result = url ? mmgr__url_parse(url, &parsed) : MMGR_ERR_PROTOCOL;

    mmgr__url_free(&parsed);
    if (result == MMGR_ERR_NO_MEMORY)
        return result;
    if (!path)
        member = "path";
    else if (result != MMGR_OK)
        member = "url";
    else if (!absent(size) && (!json_is_integer(size) || json_integer_value(size) < 0))
        member = "size";
    else if (!absent(json_object_get(entry, "sha256")) &&
             !(sha256 && mmgr__hub_is_hash(sha256, 64)))
        member = "sha256";
    else if (!absent(json_object_get(entry, "git_sha1")) &&
             !(git_sha1 && mmgr__hub_is_hash(git_sha1, 40)))
        member = "git_sha1";
    if (member) {
        snprintf(field, sizeof(field), "files[%zu].%s", index, member);
        return wrong(field, "is missing or malformed");
    }
    if (!absent(size))
        file.size = (uint64_t)json_integer_value(size);
    return mmgr__metadata_add(metadata, &file);
}

static enum mmgr_result read_lists(const json_t *root, mmgr_metadata *metadata)
{
    const json_t *tags = json_object_get(root, "tags");
    const json_t *dict = json_object_get(root, "tag_dict");
    const json_t *files = json_object_get(root, "files");

    if (!absent(tags) && !json_is_array(tags))
        return wrong("tags", "is not a list");
    for (size_t i = 0; i < json_array_size(tags); i++) {
        const char *tag = json_string_value(json_array_get(tags, i));

        if (!tag)
            return wrong("tags", "holds something else than texts");
        if (!mmgr__strings_add(&metadata->tags, tag))
            return mmgr__oom();
    }
    if (!absent(dict) && !json_is_object(dict))
        return wrong("tag_dict", "is not an object");
    if (json_object_size(dict) > 0 && !(metadata->tag_dict = mmgr__json_dump(dict)))
        return mmgr__oom();
    if (json_array_size(files) > HUB_FILES_MAX)
        return wrong("files", "lists more files than a model has");
    for (size_t i = 0; i < json_array_size(files); i++) {
        enum mmgr_result result = read_file(json_array_get(files, i), i, metadata);

        if (result != MMGR_OK)
            return result;
    }
    return mmgr__metadata_check_files(metadata);
}

static enum mmgr_result read_own(const json_t *root, mmgr_metadata *metadata)
{
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        const json_t *value = json_object_get(root, members[i].name);
        enum mmgr_result result;

        if (absent(value) && !members[i].required)
            continue;
        if (!json_is_string(value) || !*json_string_value(value))
            return wrong(members[i].name, "is missing or no text");
        result = mmgr__metadata_set(metadata, members[i].which, json_string_value(value));
        if (result != MMGR_OK)
            return result;
    }
    return read_lists(root, metadata);
}

enum mmgr_result mmgr_metadata_from_json(const char *json, mmgr_metadata **metadata)
{
    mmgr_metadata *made;
    json_t *root = NULL;
    enum mmgr_result result;

    if (!json || !metadata)
        return mmgr__bad_argument(json ? "metadata" : "json");
    result = mmgr__json_parse(json, strlen(json), MMGR_ERR_PROTOCOL, "metadata", &root);
    if (result != MMGR_OK)
        return result;
    if (!json_is_array(json_object_get(root, "files"))) {
        json_decref(root);
        return mmgr__hf_parse_info(json, strlen(json), HUB_DEFAULT_ENDPOINT, metadata);
    }
    made = mmgr__metadata_new();
    result = made ? read_own(root, made) : mmgr__oom();
    json_decref(root);
    if (result != MMGR_OK) {
        mmgr_metadata_unref(made);
        return result;
    }
    *metadata = made;
    return MMGR_OK;
}
