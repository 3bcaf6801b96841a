/* SPDX-License-Identifier: MIT */
/* Comparing records and disk: which models are gone, which files belong to no record. Changes
 * neither. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/path.h"
#include "install/install.h"

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Is the path a recorded model, or inside one? */
static int belongs(const struct mmgr__strings *locations, const char *path)
{
    if (locations->count == 0)
        return 0;
    char *copy = mmgr__strdup(path);
    int found = 0;
    while (copy && !found) {
        char *cut = strrchr(copy, '/');
        found = bsearch(&(char *){copy}, locations->items, locations->count, sizeof(char *),
                        compare) != NULL;
        if (!cut || cut == copy)
            break;
        *cut = '\0';
    }
    mmgr__free(copy);
    return found;
}

static enum mmgr_result compare_records(const mmgr_record_list *list,
                                        struct mmgr__strings *locations, struct mmgr__buf *missing)
{
    int count = 0;
    for (uint32_t i = 0; i < mmgr_record_list_count(list); i++) {
        const mmgr_record *record = mmgr_record_list_at(list, i);
        const char *location = mmgr_record_location(record);
        struct stat st;
        if (location && !mmgr__strings_add(locations, location))
            return mmgr__oom();
        if (location && mmgr__io_stat(AT_FDCWD, location, &st, 1) == 0)
            continue;
        mmgr__buf_puts(missing, count++ ? ",{\"key\":" : "{\"key\":");
        mmgr__buf_json_string(missing, mmgr_record_text(record, MMGR_FIELD_KEY));
        mmgr__buf_puts(missing, ",\"path\":");
        mmgr__buf_json_string(missing, mmgr_record_text(record, MMGR_FIELD_PATH));
        mmgr__buf_puts(missing, "}");
    }
    mmgr__strings_sort(locations);
    return MMGR_OK;
}

static enum mmgr_result find_orphans(const mmgr_installer *installer,
                                     const struct mmgr__strings *locations,
                                     struct mmgr__buf *orphans)
{
    struct mmgr__walk walk;
    enum mmgr_result result = mmgr__walk(installer->models_dir, &walk);
    if (result == MMGR_ERR_PATH_NOT_FOUND)
        return MMGR_OK;
    if (result != MMGR_OK)
        return result;
    int count = 0;
    for (size_t i = 0; i < walk.count; i++) {
        char *path = mmgr__path_join(installer->models_dir, walk.items[i].relative);
        if (path && mmgr__has_weight_suffix(path) && !belongs(locations, path)) {
            mmgr__buf_puts(orphans, count++ ? "," : "");
            mmgr__buf_json_string(orphans, path);
        }
        if (!path)
            orphans->failed = 1;
        mmgr__free(path);
    }
    mmgr__walk_free(&walk);
    return MMGR_OK;
}

enum mmgr_result mmgr_installer_sync(mmgr_installer *installer, char **json)
{
    if (!installer || !json)
        return mmgr__bad_argument(installer ? "json" : "installer");
    mmgr_record_list *list;
    enum mmgr_result result = mmgr_store_search(installer->store, NULL, &list);
    if (result != MMGR_OK)
        return result;
    struct mmgr__strings locations = {0};
    struct mmgr__buf buf = {0};
    mmgr__buf_puts(&buf, "{\"added\":[],\"missing\":[");
    result = compare_records(list, &locations, &buf);
    mmgr__buf_puts(&buf, "],\"orphans\":[");
    if (result == MMGR_OK)
        result = find_orphans(installer, &locations, &buf);
    mmgr__buf_puts(&buf, "]}");
    char *text = mmgr__buf_take(&buf);
    if (result == MMGR_OK && !text)
        result = mmgr__oom();
    if (result == MMGR_OK)
        *json = text;
    else
        mmgr__free(text);
    mmgr__strings_free(&locations);
    mmgr_record_list_free(list);
    return result;
}
