/* SPDX-License-Identifier: MIT */
/* Sharded indexes: weight_map read by the scanner, because it has as many members as there are
 * tensors. */
#include <string.h>

#include "base/alloc.h"
#include "base/path.h"
#include "format/header.h"

#define INDEX_MAX   ((size_t)100 << 20)
#define MAPPING_MAX 1000000
#define SHARD_MAX   10000

static enum mmgr_result bad(const struct mmgr__index *index, size_t at, const char *why)
{
    mmgr__fail(MMGR_ERR_INVALID_FILE, "%s: not a sound index: offset %zu: %s", index->path, at,
               why);
    mmgr__error_set_subject(index->path);
    mmgr__error_set_offset(at);
    return MMGR_ERR_INVALID_FILE;
}

/* Decode the string just read where it stands. */
static char *take_text(struct mmgr__index *index, const struct mmgr__jscan *scan)
{
    char *start = index->text + scan->start;
    int64_t length = (int64_t)(scan->end - scan->start);

    if (scan->escaped)
        length = mmgr__jscan_unescape(start, (size_t)length, start);
    if (length < 0)
        return NULL;
    start[length] = '\0';
    return start;
}

static enum mmgr_result read_map(struct mmgr__index *index, struct mmgr__jscan *scan)
{
    enum mmgr__jscan_kind kind = mmgr__jscan_next(scan);

    if (kind != MMGR__JSCAN_OBJECT)
        return bad(index, scan->at,
                   kind == MMGR__JSCAN_ERROR ? scan->problem : "weight_map is not an object");
    while ((kind = mmgr__jscan_next(scan)) == MMGR__JSCAN_KEY) {
        const char *tensor = take_text(index, scan), *shard = NULL;
        size_t at = scan->start;
        void *array = index->map;

        kind = mmgr__jscan_next(scan);
        if (kind == MMGR__JSCAN_ERROR)
            break;
        if (kind == MMGR__JSCAN_STRING)
            shard = take_text(index, scan);
        if (tensor == NULL || shard == NULL)
            return bad(index, at, "a member of weight_map is not a tensor name with a file name");
        if (index->count == MAPPING_MAX)
            return bad(index, at, "weight_map has more than 1000000 members");
        if (!mmgr__grow(&array, &index->capacity, index->count + 1, sizeof(index->map[0])))
            return mmgr__oom();
        index->map = array;
        index->map[index->count++] = (struct mmgr__mapping){tensor, shard};
    }
    return kind == MMGR__JSCAN_ERROR ? bad(index, scan->at, scan->problem) : MMGR_OK;
}

static enum mmgr_result parse(struct mmgr__index *index, size_t length)
{
    struct mmgr__jscan scan;
    enum mmgr__jscan_kind kind;
    int found = 0;

    mmgr__jscan_init(&scan, index->text, length);
    kind = mmgr__jscan_next(&scan);
    if (kind != MMGR__JSCAN_OBJECT)
        return bad(index, scan.at,
                   kind == MMGR__JSCAN_ERROR ? scan.problem : "it is not an object");
    while ((kind = mmgr__jscan_next(&scan)) == MMGR__JSCAN_KEY) {
        const char *name = take_text(index, &scan);
        if (name == NULL)
            return bad(index, scan.start, "a member has a bad name");
        if (strcmp(name, "weight_map") == 0) {
            if (found++)
                return bad(index, scan.start, "weight_map stands twice");
            enum mmgr_result result = read_map(index, &scan);
            if (result != MMGR_OK)
                return result;
        } else if (!mmgr__jscan_skip(&scan, mmgr__jscan_next(&scan))) {
            return bad(index, scan.at, scan.problem);
        }
    }
    if (kind == MMGR__JSCAN_ERROR || (kind = mmgr__jscan_next(&scan)) != MMGR__JSCAN_END)
        return bad(index, scan.at, scan.problem);
    if (!found || index->count == 0)
        return bad(index, 0, "it has no weight_map");
    return MMGR_OK;
}

/* The shards in the order in which the map names them first, each checked. */
static enum mmgr_result add_shards(struct mmgr__folder *folder, const char *inner,
                                   const struct mmgr__index *index,
                                   struct mmgr__selection *selection)
{
    struct mmgr__names seen = {0};
    enum mmgr_result result = mmgr__names_init(&seen, 64);
    const char *last = "";

    for (size_t i = 0; result == MMGR_OK && i < index->count; i++) {
        const char *shard = index->map[i].shard;
        uint32_t ignored;
        if (strcmp(shard, last) == 0 || mmgr__names_find(&seen, shard, &ignored))
            continue;
        last = shard;
        if (seen.count * 2 > seen.mask) {
            /* The table is small because shards are few; begin again with a larger one. */
            struct mmgr__names larger = {0};
            result = seen.count >= SHARD_MAX ? bad(index, 0, "it names more than 10000 files")
                                             : mmgr__names_init(&larger, (seen.mask + 1) * 2);
            for (size_t s = 0; result == MMGR_OK && s <= seen.mask; s++)
                if (seen.slots[s].text != NULL)
                    mmgr__names_put(&larger, seen.slots[s].text, strlen(seen.slots[s].text), 0);
            if (result != MMGR_OK)
                break;
            mmgr__names_free(&seen);
            seen = larger;
        }
        mmgr__names_put(&seen, shard, strlen(shard), 0);
        result = mmgr__path_check_relative(shard);
        if (result == MMGR_OK && !mmgr__selection_add(selection, inner, shard, index->group))
            result = mmgr__oom();
        if (result == MMGR_ERR_UNSAFE_PATH)
            mmgr__error_prefix("index %s/%s", mmgr__folder_path(folder), index->path);
    }
    mmgr__names_free(&seen);
    return result;
}

enum mmgr_result mmgr__index_add(struct mmgr__folder *folder, const char *path,
                                 struct mmgr__selection *selection)
{
    void *array = selection->indexes;
    size_t length = 0;

    if (!mmgr__grow(&array, &selection->index_capacity, selection->index_count + 1,
                    sizeof(selection->indexes[0])))
        return mmgr__oom();
    selection->indexes = array;
    struct mmgr__index *index = &selection->indexes[selection->index_count++];
    *index = (struct mmgr__index){.path = mmgr__strdup(path), .group = selection->groups++};
    char *inner = mmgr__strdup(path);
    enum mmgr_result result = index->path == NULL || inner == NULL ? mmgr__oom() : MMGR_OK;

    if (result == MMGR_OK)
        result = mmgr__folder_read(folder, path, INDEX_MAX, &index->text, &length);
    if (result == MMGR_OK)
        result = parse(index, length);
    if (result == MMGR_OK) {
        char *slash = strrchr(inner, '/');
        *(slash != NULL ? slash : inner) = '\0';
        result = add_shards(folder, inner, index, selection);
    }
    mmgr__free(inner);
    return result;
}
