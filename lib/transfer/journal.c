/* SPDX-License-Identifier: MIT */
/* Reading and writing the queue's journals: small JSON documents with a version, replaced
 * atomically. */
#include "transfer/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/json.h"
#include "base/text.h"

#define JOURNAL_VERSION 1
#define JOURNAL_LIMIT   (64u * 1024u)
#define FINISHED_LIMIT  (16u * 1024u * 1024u)

static int write_text(int dirfd, const char *name, const char *temporary, struct mmgr__buf *buf)
{
    if (buf->failed)
        return -ENOMEM;
    int fd = mmgr__io_open_write(dirfd, temporary, O_CREAT | O_TRUNC, 0644);
    if (fd < 0)
        return fd;
    int error = mmgr__io_pwrite(fd, buf->data, buf->length, 0);
    if (error == 0)
        error = mmgr__io_fsync(fd, temporary);
    mmgr__io_close(fd);
    if (error == 0)
        error = mmgr__io_rename(dirfd, temporary, dirfd, name, 0);
    if (error != 0) {
        mmgr__io_unlink(dirfd, temporary);
        return error;
    }
    error = mmgr__io_fsync(dirfd, name);
    return error == -EINVAL || error == -ENOTSUP ? 0 : error;
}

static json_t *read_document(int dirfd, const char *name, size_t limit, int *there)
{
    char *text = NULL;
    size_t length = 0;
    json_t *root = NULL;
    int error = mmgr__io_read_file(dirfd, name, limit, &text, &length);
    *there = error != -ENOENT;
    if (error != 0)
        return NULL;
    if (mmgr__json_parse(text, length, MMGR_ERR_INVALID_FILE, name, &root) != MMGR_OK)
        root = NULL;
    mmgr__free(text);
    if (root != NULL && json_integer_value(json_object_get(root, "version")) != JOURNAL_VERSION) {
        json_decref(root);
        root = NULL;
    }
    return root;
}

/* Numbers go as text, because a JSON number is not sure to hold 64 bits everywhere. */
static int number_of(const json_t *object, const char *member, uint64_t *value)
{
    const char *text = mmgr__json_text(object, member);
    return text != NULL && mmgr__parse_u64(text, value);
}

static int text_of(const json_t *object, const char *member, char **text)
{
    const char *value = mmgr__json_text(object, member);
    *text = mmgr__strdup(value);
    return value == NULL || *text != NULL;
}

void mmgr__journal_clear(struct mmgr__journal *journal)
{
    mmgr__free(journal->source);
    mmgr__free(journal->sha256);
    mmgr__free(journal->etag);
    mmgr__free(journal->weak_etag);
    mmgr__free(journal->last_modified);
    memset(journal, 0, sizeof *journal);
    journal->size = UINT64_MAX;
}

int mmgr__journal_read(int dirfd, const char *name, struct mmgr__journal *journal)
{
    int there = 0;
    memset(journal, 0, sizeof *journal);
    journal->size = UINT64_MAX;
    json_t *root = read_document(dirfd, name, JOURNAL_LIMIT, &there);
    if (root == NULL)
        return there;
    int whole =
        text_of(root, "source", &journal->source) && text_of(root, "sha256", &journal->sha256) &&
        text_of(root, "etag", &journal->etag) && text_of(root, "weak_etag", &journal->weak_etag) &&
        text_of(root, "last_modified", &journal->last_modified) &&
        number_of(root, "offset", &journal->offset) && journal->source != NULL;
    if (json_object_get(root, "size") != NULL && !number_of(root, "size", &journal->size))
        whole = 0;
    if (!whole)
        mmgr__journal_clear(journal);
    json_decref(root);
    return there;
}

static void put_text(struct mmgr__buf *buf, const char *member, const char *text)
{
    if (text == NULL)
        return;
    mmgr__buf_printf(buf, ",\"%s\":", member);
    mmgr__buf_json_string(buf, text);
}

int mmgr__journal_write(int dirfd, const char *name, const char *temporary,
                        const struct mmgr__journal *journal)
{
    struct mmgr__buf buf = {0};
    mmgr__buf_printf(&buf, "{\"version\":%d", JOURNAL_VERSION);
    put_text(&buf, "source", journal->source);
    put_text(&buf, "sha256", journal->sha256);
    put_text(&buf, "etag", journal->etag);
    put_text(&buf, "weak_etag", journal->weak_etag);
    put_text(&buf, "last_modified", journal->last_modified);
    if (journal->size != UINT64_MAX)
        mmgr__buf_printf(&buf, ",\"size\":\"%llu\"", (unsigned long long)journal->size);
    mmgr__buf_printf(&buf, ",\"offset\":\"%llu\"}\n", (unsigned long long)journal->offset);
    int error = write_text(dirfd, name, temporary, &buf);
    mmgr__buf_free(&buf);
    return error;
}

static void clear_item(struct mmgr__finished *item)
{
    mmgr__free(item->path);
    mmgr__free(item->source);
    mmgr__free(item->sha256);
}

void mmgr__finished_clear(struct mmgr__finished_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        clear_item(&list->items[i]);
    mmgr__free(list->items);
    memset(list, 0, sizeof *list);
}

const struct mmgr__finished *mmgr__finished_find(const struct mmgr__finished_list *list,
                                                 const char *path)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i].path, path) == 0)
            return &list->items[i];
    }
    return NULL;
}

int mmgr__finished_add(struct mmgr__finished_list *list, const struct mmgr__finished *item)
{
    struct mmgr__finished copy = *item;
    copy.path = mmgr__strdup(item->path);
    copy.source = mmgr__strdup(item->source);
    copy.sha256 = mmgr__strdup(item->sha256);
    void *items = list->items;
    if (copy.path == NULL || copy.source == NULL || copy.sha256 == NULL ||
        !mmgr__grow(&items, &list->capacity, list->count + 1, sizeof *list->items)) {
        clear_item(&copy);
        return 0;
    }
    list->items = items;
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i].path, copy.path) == 0) {
            clear_item(&list->items[i]);
            list->items[i] = copy;
            return 1;
        }
    }
    list->items[list->count++] = copy;
    return 1;
}

void mmgr__finished_read(int dirfd, struct mmgr__finished_list *list)
{
    int there = 0;
    json_t *root = read_document(dirfd, MMGR__FINISHED_NAME, FINISHED_LIMIT, &there);
    const json_t *parts = json_object_get(root, "parts");
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *part = json_array_get(parts, i);
        uint64_t mtime = 0;
        struct mmgr__finished item = {.path = (char *)(uintptr_t)mmgr__json_text(part, "path"),
                                      .source = (char *)(uintptr_t)mmgr__json_text(part, "source"),
                                      .sha256 = (char *)(uintptr_t)mmgr__json_text(part, "sha256")};
        if (item.path == NULL || item.source == NULL || item.sha256 == NULL ||
            !number_of(part, "size", &item.size) || !number_of(part, "inode", &item.inode) ||
            !number_of(part, "mtime_ns", &mtime))
            continue;
        item.mtime_ns = (int64_t)mtime;
        if (!mmgr__finished_add(list, &item))
            break;
    }
    json_decref(root);
}

int mmgr__finished_write(int dirfd, const struct mmgr__finished_list *list)
{
    struct mmgr__buf buf = {0};
    mmgr__buf_printf(&buf, "{\"version\":%d,\"parts\":[", JOURNAL_VERSION);
    for (size_t i = 0; i < list->count; i++) {
        const struct mmgr__finished *item = &list->items[i];
        mmgr__buf_printf(&buf, "%s\n{\"size\":\"%llu\",\"inode\":\"%llu\",\"mtime_ns\":\"%llu\"",
                         i > 0 ? "," : "", (unsigned long long)item->size,
                         (unsigned long long)item->inode, (unsigned long long)item->mtime_ns);
        put_text(&buf, "path", item->path);
        put_text(&buf, "source", item->source);
        put_text(&buf, "sha256", item->sha256);
        mmgr__buf_puts(&buf, "}");
    }
    mmgr__buf_puts(&buf, "]}\n");
    int error = write_text(dirfd, MMGR__FINISHED_NAME, MMGR__FINISHED_NAME ".tmp", &buf);
    mmgr__buf_free(&buf);
    return error;
}
