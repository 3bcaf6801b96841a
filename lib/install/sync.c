/* SPDX-License-Identifier: MIT */
/* Comparing records and disk: which models are gone or incomplete, which files belong to no record. Changes
 * neither. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/path.h"
#include "install/install.h"
#include "store/store.h"

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int mmgr__belongs(const struct mmgr__strings *locations, const char *path, const char *except)
{
    if (locations->count == 0)
        return 0;
    char *copy = mmgr__strdup(path);
    int found = 0;
    while (copy && !found) {
        char *cut = strrchr(copy, '/');
        found = bsearch(&(char *){copy}, locations->items, locations->count, sizeof(char *),
                        compare) != NULL &&
                !(except && strcmp(copy, except) == 0);
        if (!cut || cut == copy)
            break;
        *cut = '\0';
    }
    mmgr__free(copy);
    return found;
}

struct comparison {
    struct mmgr__strings locations;
    struct mmgr__buf *json; /* the missing models so far */
    int count;
};

int mmgr__model_is_there(const mmgr_record *record)
{
    struct stat st;
    const char *location = mmgr_record_location(record);
    int there = location && mmgr__io_stat(AT_FDCWD, location, &st, 1) == 0;
    for (uint32_t i = 0; there && i < mmgr_record_file_count(record); i++) {
        const char *relative = mmgr_record_file_path(record, i);
        char *path = *relative ? mmgr__path_join(location, relative) : mmgr__strdup(location);
        there = !path || mmgr__io_stat(AT_FDCWD, path, &st, 1) == 0;
        mmgr__free(path);
    }
    return there;
}

static enum mmgr_result compare_record(const mmgr_record *record, void *user)
{
    struct comparison *comparison = user;
    const char *location = mmgr_record_location(record);
    if (location && !mmgr__strings_add(&comparison->locations, location))
        return mmgr__oom();
    if (mmgr__model_is_there(record))
        return MMGR_OK;
    mmgr__buf_puts(comparison->json, comparison->count++ ? ",{\"key\":" : "{\"key\":");
    mmgr__buf_json_string(comparison->json, mmgr_record_text(record, MMGR_FIELD_KEY));
    mmgr__buf_puts(comparison->json, ",\"path\":");
    mmgr__buf_json_string(comparison->json, mmgr_record_text(record, MMGR_FIELD_PATH));
    mmgr__buf_puts(comparison->json, "}");
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
        if (path && mmgr__has_weight_suffix(path) && !mmgr__belongs(locations, path, NULL)) {
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

enum mmgr_result mmgr__give_report(struct mmgr__buf *buf, enum mmgr_result result, char **report)
{
    char *text = mmgr__buf_take(buf);
    if (result == MMGR_OK && !text)
        result = mmgr__oom();
    if (result == MMGR_OK)
        *report = text;
    else
        mmgr__free(text);
    return result;
}

enum mmgr_result mmgr__compare(mmgr_installer *installer, struct mmgr__buf *json)
{
    struct comparison comparison = {.json = json};
    mmgr__buf_puts(json, "\"missing\":[");
    enum mmgr_result result = mmgr__store_each(installer->store, compare_record, &comparison);
    mmgr__strings_sort(&comparison.locations);
    mmgr__buf_puts(json, "],\"orphans\":[");
    if (result == MMGR_OK)
        result = find_orphans(installer, &comparison.locations, json);
    mmgr__buf_puts(json, "]");
    mmgr__strings_free(&comparison.locations);
    return result;
}

enum mmgr_result mmgr_installer_sync(mmgr_installer *installer, char **json)
{
    if (!installer || !json)
        return mmgr__bad_argument(installer ? "json" : "installer");
    struct mmgr__buf buf = {0};
    mmgr__buf_puts(&buf, "{\"added\":[],");
    enum mmgr_result result = mmgr__compare(installer, &buf);
    mmgr__buf_puts(&buf, "}");
    return mmgr__give_report(&buf, result, json);
}
