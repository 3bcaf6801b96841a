/* SPDX-License-Identifier: MIT */
/* Records as snapshots: life, getters, the manifest, lists of records. */
#include "base/record.h"

#include <string.h>

#include "base/alloc.h"
#include "base/record_parts.h"

void mmgr__file_clear(struct mmgr__file *file)
{
    mmgr__free(file->path);
    mmgr__free(file->sha256);
    mmgr__free(file->git_sha1);
    mmgr__free(file->xxh3);
    mmgr__free(file->blocks);
    memset(file, 0, sizeof *file);
}

void mmgr__record_wipe(struct mmgr_record *record)
{
    for (int i = 0; i < MMGR__FIELD_MAX; i++) {
        mmgr__free(record->text[i]);
        mmgr__strings_free(&record->list[i]);
    }
    mmgr__free(record->extra);
    mmgr__free(record->location);
    for (uint32_t i = 0; i < record->file_count; i++)
        mmgr__file_clear(&record->files[i]);
    mmgr__free(record->files);
    memset(record, 0, sizeof *record);
}

/* 0 when memory ran out. */
static int copy_text(char **to, const char *from)
{
    if (from == NULL)
        return 1;
    *to = mmgr__strdup(from);
    return *to != NULL;
}

static int copy_file(struct mmgr__file *to, const struct mmgr__file *from)
{
    *to = *from;
    to->path = to->sha256 = to->git_sha1 = to->xxh3 = to->blocks = NULL;
    return copy_text(&to->path, from->path) && copy_text(&to->sha256, from->sha256) &&
           copy_text(&to->git_sha1, from->git_sha1) && copy_text(&to->xxh3, from->xxh3) &&
           copy_text(&to->blocks, from->blocks);
}

/* The array's capacity is always file_count rounded up to a power of two, so none has to be
 * kept. */
static int copy_files(struct mmgr_record *to, const struct mmgr_record *from)
{
    size_t capacity = 1;

    if (from->file_count == 0)
        return 1;
    while (capacity < from->file_count)
        capacity *= 2;
    to->files = mmgr__alloc0(capacity, sizeof *to->files);
    if (to->files == NULL)
        return 0;
    for (uint32_t i = 0; i < from->file_count; i++) {
        to->file_count = i + 1;
        if (!copy_file(&to->files[i], &from->files[i]))
            return 0;
    }
    return 1;
}

enum mmgr_result mmgr__record_copy(struct mmgr_record *to, const struct mmgr_record *from)
{
    int ok = 1;

    memset(to, 0, sizeof *to);
    for (int i = 0; i < MMGR__FIELD_MAX && ok; i++) {
        ok = copy_text(&to->text[i], from->text[i]);
        to->term[i] = from->term[i];
        for (size_t k = 0; k < from->list[i].count && ok; k++)
            ok = mmgr__strings_add(&to->list[i], from->list[i].items[k]);
    }
    ok = ok && copy_text(&to->extra, from->extra) && copy_text(&to->location, from->location) &&
         copy_files(to, from);
    if (ok)
        return MMGR_OK;
    mmgr__record_wipe(to);
    return mmgr__oom();
}

mmgr_record *mmgr_record_ref(const mmgr_record *record)
{
    mmgr_record *shared = (mmgr_record *)record; /* only the count changes */

    if (shared != NULL)
        mmgr__refs_take(&shared->refs);
    return shared;
}

void mmgr_record_unref(mmgr_record *record)
{
    if (record == NULL || !mmgr__refs_drop(&record->refs))
        return;
    mmgr__record_wipe(record);
    mmgr__free(record);
}

static int field_in_range(enum mmgr_field field)
{
    return (int)field > 0 && (int)field < MMGR__FIELD_MAX;
}

const char *mmgr_record_text(const mmgr_record *record, enum mmgr_field field)
{
    return record != NULL && field_in_range(field) ? record->text[field] : NULL;
}

int32_t mmgr_record_term(const mmgr_record *record, enum mmgr_field field)
{
    return record != NULL && field_in_range(field) ? record->term[field] : 0;
}

uint32_t mmgr_record_list_size(const mmgr_record *record, enum mmgr_field field)
{
    return record != NULL && field_in_range(field) ? (uint32_t)record->list[field].count : 0;
}

const char *mmgr_record_list_item(const mmgr_record *record, enum mmgr_field field, uint32_t index)
{
    return index < mmgr_record_list_size(record, field) ? record->list[field].items[index] : NULL;
}

const char *mmgr_record_location(const mmgr_record *record)
{
    const char *path;

    if (record == NULL)
        return NULL;
    if (record->location != NULL)
        return record->location;
    path = record->text[MMGR_FIELD_PATH];
    return path != NULL && path[0] == '/' ? path : NULL;
}

uint32_t mmgr_record_file_count(const mmgr_record *record)
{
    return record != NULL ? record->file_count : 0;
}

static const struct mmgr__file *file_at(const mmgr_record *record, uint32_t index)
{
    return index < mmgr_record_file_count(record) ? &record->files[index] : NULL;
}

const char *mmgr_record_file_path(const mmgr_record *record, uint32_t index)
{
    const struct mmgr__file *file = file_at(record, index);

    return file != NULL ? file->path : NULL;
}

uint64_t mmgr_record_file_size(const mmgr_record *record, uint32_t index)
{
    const struct mmgr__file *file = file_at(record, index);

    return file != NULL ? file->size : 0;
}

const char *mmgr_record_file_hash(const mmgr_record *record, uint32_t index, const char *algorithm)
{
    const struct mmgr__file *file = file_at(record, index);

    if (file == NULL || algorithm == NULL)
        return NULL;
    if (strcmp(algorithm, "sha256") == 0)
        return file->sha256;
    if (strcmp(algorithm, "git-sha1") == 0)
        return file->git_sha1;
    return strcmp(algorithm, "xxh3") == 0 ? file->xxh3 : NULL;
}

uint32_t mmgr_record_file_flags(const mmgr_record *record, uint32_t index)
{
    const struct mmgr__file *file = file_at(record, index);

    return file != NULL ? file->flags : 0;
}

enum mmgr_result mmgr__record_builder_add_file(mmgr_record_builder *builder,
                                               const struct mmgr__file *file)
{
    struct mmgr_record *draft = &builder->draft;
    struct mmgr__file copy;
    struct mmgr__file *files;

    if (!copy_file(&copy, file)) {
        mmgr__file_clear(&copy);
        return mmgr__oom();
    }
    if ((draft->file_count & (draft->file_count - 1)) == 0) {
        size_t capacity = draft->file_count == 0 ? 1 : (size_t)draft->file_count * 2;

        files = mmgr__realloc(draft->files, capacity * sizeof *files);
        if (files == NULL) {
            mmgr__file_clear(&copy);
            return mmgr__oom();
        }
        draft->files = files;
    }
    draft->files[draft->file_count++] = copy;
    return MMGR_OK;
}

void mmgr__record_builder_clear_files(mmgr_record_builder *builder)
{
    struct mmgr_record *draft = &builder->draft;

    for (uint32_t i = 0; i < draft->file_count; i++)
        mmgr__file_clear(&draft->files[i]);
    mmgr__free(draft->files);
    draft->files = NULL;
    draft->file_count = 0;
}

int mmgr__record_same_files(const mmgr_record *one, const mmgr_record *two)
{
    if (one->file_count != two->file_count)
        return 0;
    for (uint32_t i = 0; i < one->file_count; i++) {
        const struct mmgr__file *a = &one->files[i], *b = &two->files[i];

        if (!mmgr__same_text(a->path, b->path) || a->size != b->size ||
            !mmgr__same_text(a->sha256, b->sha256) || !mmgr__same_text(a->git_sha1, b->git_sha1) ||
            !mmgr__same_text(a->xxh3, b->xxh3) || !mmgr__same_text(a->blocks, b->blocks) ||
            a->mtime_ns != b->mtime_ns || a->device != b->device || a->inode != b->inode ||
            a->flags != b->flags)
            return 0;
    }
    return 1;
}

uint32_t mmgr_record_list_count(const mmgr_record_list *list)
{
    return list != NULL ? (uint32_t)list->count : 0;
}

const mmgr_record *mmgr_record_list_at(const mmgr_record_list *list, uint32_t index)
{
    return index < mmgr_record_list_count(list) ? list->items[index] : NULL;
}

uint64_t mmgr_record_list_total(const mmgr_record_list *list)
{
    return list != NULL ? list->total : 0;
}

const char *mmgr_record_list_cursor(const mmgr_record_list *list)
{
    return list != NULL ? list->cursor : NULL;
}

void mmgr_record_list_free(mmgr_record_list *list)
{
    if (list == NULL)
        return;
    for (size_t i = 0; i < list->count; i++)
        mmgr_record_unref(list->items[i]);
    mmgr__free(list->items);
    mmgr__free(list->cursor);
    mmgr__free(list);
}
