/* SPDX-License-Identifier: MIT */
/* Metadata of a model as a value: building, checking the file names, reading. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/path.h"
#include "hub/hub.h"

mmgr_metadata *mmgr__metadata_new(void)
{
    mmgr_metadata *metadata = mmgr__alloc0(1, sizeof(*metadata));

    if (metadata)
        mmgr__refs_init(&metadata->refs);
    return metadata;
}

static void clear_file(struct hub_file *file)
{
    mmgr__free(file->path);
    mmgr__free(file->url);
    mmgr__free(file->sha256);
    mmgr__free(file->git_sha1);
}

void mmgr__metadata_drop_files(mmgr_metadata *metadata)
{
    for (size_t i = 0; i < metadata->file_count; i++)
        clear_file(&metadata->files[i]);
    metadata->file_count = 0;
}

mmgr_metadata *mmgr_metadata_ref(const mmgr_metadata *metadata)
{
    mmgr_metadata *shared = (mmgr_metadata *)metadata;

    if (shared)
        mmgr__refs_take(&shared->refs);
    return shared;
}

void mmgr_metadata_unref(mmgr_metadata *metadata)
{
    if (!metadata || !mmgr__refs_drop(&metadata->refs))
        return;
    for (size_t i = 0; i < sizeof(metadata->texts) / sizeof(metadata->texts[0]); i++)
        mmgr__free(metadata->texts[i]);
    mmgr__metadata_drop_files(metadata);
    mmgr__free(metadata->files);
    mmgr__free(metadata->tag_dict);
    mmgr__strings_free(&metadata->tags);
    mmgr__free(metadata);
}

enum mmgr_result mmgr__metadata_set(mmgr_metadata *metadata, enum mmgr_metadata_text which,
                                    const char *text)
{
    char *copy = mmgr__strdup(text);

    if (text && !copy)
        return mmgr__oom();
    mmgr__free(metadata->texts[which]);
    metadata->texts[which] = copy;
    return MMGR_OK;
}

enum mmgr_result mmgr__metadata_add(mmgr_metadata *metadata, const struct hub_file *file)
{
    struct hub_file made = {.size = file->size};

    if (!mmgr__grow((void **)&metadata->files, &metadata->file_capacity, metadata->file_count + 1,
                    sizeof(made)))
        return mmgr__oom();
    made.path = mmgr__strdup(file->path);
    made.url = mmgr__strdup(file->url);
    made.sha256 = mmgr__strdup(file->sha256);
    made.git_sha1 = mmgr__strdup(file->git_sha1);
    if (!made.path || (file->url && !made.url) || (file->sha256 && !made.sha256) ||
        (file->git_sha1 && !made.git_sha1)) {
        clear_file(&made);
        return mmgr__oom();
    }
    metadata->files[metadata->file_count++] = made;
    return MMGR_OK;
}

mmgr_metadata *mmgr__metadata_without_files(const mmgr_metadata *metadata)
{
    mmgr_metadata *copy = mmgr__metadata_new();
    int ok = copy != NULL;

    for (int i = 1; i < 9 && ok; i++)
        ok = mmgr__metadata_set(copy, (enum mmgr_metadata_text)i, metadata->texts[i]) == MMGR_OK;
    for (size_t i = 0; i < metadata->tags.count && ok; i++)
        ok = mmgr__strings_add(&copy->tags, metadata->tags.items[i]);
    if (ok && metadata->tag_dict)
        ok = (copy->tag_dict = mmgr__strdup(metadata->tag_dict)) != NULL;
    if (ok)
        return copy;
    mmgr_metadata_unref(copy);
    return NULL;
}

/* Order of paths up to case, with "/" before every other character, so that a file and a folder of one name
 * come to stand next to each other. */
static int compare_folded(const void *a, const void *b)
{
    const unsigned char *p = (const unsigned char *)((const struct hub_file *)a)->path;
    const unsigned char *q = (const unsigned char *)((const struct hub_file *)b)->path;

    for (;; p++, q++) {
        int c = *p >= 'A' && *p <= 'Z' ? *p | 0x20 : *p;
        int d = *q >= 'A' && *q <= 'Z' ? *q | 0x20 : *q;

        c = c == '/' ? 1 : c;
        d = d == '/' ? 1 : d;
        if (c != d)
            return c - d;
        if (c == 0)
            return 0;
    }
}

static int compare_plain(const void *a, const void *b)
{
    return strcmp(((const struct hub_file *)a)->path, ((const struct hub_file *)b)->path);
}

static enum mmgr_result unsafe(const char *path, const char *why)
{
    mmgr__fail(MMGR_ERR_UNSAFE_PATH, "the repository lists the file \"%.300s\": %s", path, why);
    mmgr__error_set_subject(path);
    return MMGR_ERR_UNSAFE_PATH;
}

/* A folder of git's own, in which other programs run what they find. */
static int has_git_folder(const char *path)
{
    while (*path) {
        size_t length = strcspn(path, "/");

        if (length == 4 && strncasecmp(path, ".git", 4) == 0)
            return 1;
        path += length + (path[length] == '/');
    }
    return 0;
}

enum mmgr_result mmgr__metadata_check_files(mmgr_metadata *metadata)
{
    struct hub_file *files = metadata->files;
    size_t count = metadata->file_count;

    for (size_t i = 0; i < count; i++) {
        enum mmgr_result result = mmgr__path_check_relative(files[i].path);

        if (result != MMGR_OK)
            return result;
        if (has_git_folder(files[i].path))
            return unsafe(files[i].path, "it lies in a .git folder");
    }
    if (count > 1)
        qsort(files, count, sizeof(*files), compare_folded);
    for (size_t i = 1; i < count; i++) {
        size_t length = strlen(files[i - 1].path);

        if (compare_folded(&files[i - 1], &files[i]) == 0)
            return unsafe(files[i].path,
                          "another file has the same name, at least on some file systems");
        if (strncasecmp(files[i - 1].path, files[i].path, length) == 0 &&
            files[i].path[length] == '/')
            return unsafe(files[i - 1].path, "it is also the name of a folder");
    }
    if (count > 1)
        qsort(files, count, sizeof(*files), compare_plain);
    return MMGR_OK;
}

const char *mmgr_metadata_text(const mmgr_metadata *metadata, enum mmgr_metadata_text which)
{
    return metadata && which > 0 && which < 9 ? metadata->texts[which] : NULL;
}

uint32_t mmgr_metadata_tag_count(const mmgr_metadata *metadata)
{
    return metadata ? (uint32_t)metadata->tags.count : 0;
}

const char *mmgr_metadata_tag(const mmgr_metadata *metadata, uint32_t index)
{
    return metadata && index < metadata->tags.count ? metadata->tags.items[index] : NULL;
}

uint32_t mmgr_metadata_file_count(const mmgr_metadata *metadata)
{
    return metadata ? (uint32_t)metadata->file_count : 0;
}

const char *mmgr_metadata_file_text(const mmgr_metadata *metadata, uint32_t index,
                                    enum mmgr_metadata_file_text which)
{
    const struct hub_file *file;

    if (!metadata || index >= metadata->file_count)
        return NULL;
    file = &metadata->files[index];
    switch (which) {
    case MMGR_METADATA_FILE_PATH:
        return file->path;
    case MMGR_METADATA_FILE_URL:
        return file->url;
    case MMGR_METADATA_FILE_SHA256:
        return file->sha256;
    case MMGR_METADATA_FILE_GIT_SHA1:
        return file->git_sha1;
    default:
        return NULL;
    }
}

uint64_t mmgr_metadata_file_size(const mmgr_metadata *metadata, uint32_t index)
{
    return metadata && index < metadata->file_count ? metadata->files[index].size : UINT64_MAX;
}
