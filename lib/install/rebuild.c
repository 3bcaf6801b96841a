/* SPDX-License-Identifier: MIT */
/* Records anew from the side-cars of placed models, for a database that was lost. */
#include <fcntl.h>
#include <string.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/log.h"
#include "base/path.h"
#include "base/record.h"
#include "install/install.h"
#include "store/sidecar.h"
#include "store/store.h"

/* Why a side-car was skipped, by the error that it met. */
static const struct {
    enum mmgr_result result;
    const char *reason;
} reasons[] = {
    {MMGR_ERR_INVALID_FILE, "invalid"},
    {MMGR_ERR_INVALID_CONFIG, "invalid"},
    {MMGR_ERR_UNSAFE_PATH, "unsafe"},
    {MMGR_ERR_UNSUPPORTED, "newer"},
    {MMGR_ERR_PATH_NOT_FOUND, "missing"},
    {MMGR_ERR_HASH_MISMATCH, "changed"},
    {MMGR_ERR_DUPLICATE_MODEL, "duplicate"},
    {MMGR_ERR_PERMISSION, "unreadable"},
    {MMGR_ERR_IO, "unreadable"},
};

static const char *reason_of(enum mmgr_result result)
{
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].result == result)
            return reasons[i].reason;
    return NULL;
}

struct rebuild {
    mmgr_installer *installer;
    struct mmgr__strings locations; /* of the records that are there */
    struct mmgr__buf added, skipped;
    int added_count, skipped_count;
};

static enum mmgr_result note_location(const mmgr_record *record, void *user)
{
    struct rebuild *rebuild = user;
    const char *location = mmgr_record_location(record);
    return location && !mmgr__strings_add(&rebuild->locations, location) ? mmgr__oom() : MMGR_OK;
}

/* *known: the model has its record. DUPLICATE_MODEL: its key or its files are those of another. */
static enum mmgr_result check_free(const struct rebuild *rebuild, const mmgr_record *record,
                                   int *known)
{
    const char *key = mmgr_record_text(record, MMGR_FIELD_KEY);
    const char *location = mmgr_record_location(record);
    mmgr_record *other;
    enum mmgr_result result = mmgr_store_get(rebuild->installer->store, key, &other);
    *known = 0;
    if (result == MMGR_OK) {
        const char *place = mmgr_record_location(other);
        *known = place && strcmp(place, location) == 0;
        if (!*known)
            result = mmgr__store_duplicate("key", key, key);
        mmgr_record_unref(other);
    } else if (result == MMGR_ERR_UNKNOWN_MODEL) {
        result = mmgr__belongs(&rebuild->locations, location, NULL)
                     ? mmgr__fail(MMGR_ERR_DUPLICATE_MODEL,
                                  "the files at %s are those of another model", location)
                     : MMGR_OK;
    }
    return result;
}

/* The record with its files as they are now: all of them, reached without a link. */
static enum mmgr_result check_files(const mmgr_installer *installer, const mmgr_record *record,
                                    mmgr_record **checked)
{
    const char *location = mmgr_record_location(record);
    mmgr_record_builder *builder = NULL;
    int dirfd = mmgr__io_open_dir(AT_FDCWD, installer->models_dir);
    int model =
        dirfd < 0 ? dirfd
                  : mmgr__io_open_beneath(dirfd, mmgr__path_inside(location, installer->models_dir),
                                          O_PATH, 0);
    enum mmgr_result result = model < 0 ? mmgr__fail_errno(-model, "open", location) : MMGR_OK;
    if (result == MMGR_OK)
        result = mmgr_record_builder_new(record, &builder);
    if (result == MMGR_OK)
        result = mmgr__take_files(record, model, location, MMGR_FILE_OWNED, builder);
    if (result == MMGR_OK)
        result = mmgr_record_builder_build(builder, checked);
    mmgr_record_builder_free(builder);
    mmgr__io_close(model);
    mmgr__io_close(dirfd);
    return result;
}

static enum mmgr_result add_record(struct rebuild *rebuild, const mmgr_record *record)
{
    mmgr_record *checked = NULL, *added = NULL;
    enum mmgr_result result = check_files(rebuild->installer, record, &checked);
    if (result == MMGR_OK)
        result = mmgr__store_add_full(rebuild->installer->store, checked, 0, &added);
    if (result == MMGR_OK) {
        mmgr__buf_puts(&rebuild->added, rebuild->added_count++ ? "," : "");
        mmgr__buf_json_string(&rebuild->added, mmgr_record_text(added, MMGR_FIELD_KEY));
        if (!mmgr__strings_add(&rebuild->locations, mmgr_record_location(added)))
            result = mmgr__oom();
        mmgr__strings_sort(&rebuild->locations);
    }
    mmgr_record_unref(added);
    mmgr_record_unref(checked);
    return result;
}

/* The side-car in a folder below models_dir. */
static enum mmgr_result take_sidecar(struct rebuild *rebuild, const char *folder)
{
    mmgr_record *record = NULL;
    int known = 0;
    enum mmgr_result result =
        *folder ? mmgr__sidecar_read(rebuild->installer->models_dir, folder, &record)
                : mmgr__fail(MMGR_ERR_INVALID_FILE, "a model has a folder of its own");
    if (result == MMGR_OK)
        result = check_free(rebuild, record, &known);
    if (result == MMGR_OK && !known)
        result = add_record(rebuild, record);
    mmgr_record_unref(record);
    const char *reason = reason_of(result);
    if (!reason)
        return result;
    mmgr__log(MMGR_LOG_WARNING, "install", "skipped the side-car of %s: %s", folder,
              mmgr_error_message(mmgr_last_error()));
    mmgr__buf_puts(&rebuild->skipped, rebuild->skipped_count++ ? ",{\"path\":" : "{\"path\":");
    mmgr__buf_json_string(&rebuild->skipped, folder);
    mmgr__buf_puts(&rebuild->skipped, ",\"reason\":");
    mmgr__buf_json_string(&rebuild->skipped, reason);
    mmgr__buf_puts(&rebuild->skipped, "}");
    return MMGR_OK;
}

static enum mmgr_result take_all(struct rebuild *rebuild)
{
    struct mmgr__walk walk;
    enum mmgr_result result = mmgr__walk_for(rebuild->installer->models_dir,
                                             MMGR__WALK_SIDECARS | MMGR__WALK_LENIENT, &walk);
    if (result == MMGR_ERR_PATH_NOT_FOUND)
        return MMGR_OK;
    if (result != MMGR_OK)
        return result;
    result = mmgr__store_each(rebuild->installer->store, note_location, rebuild);
    mmgr__strings_sort(&rebuild->locations);
    for (size_t i = 0; result == MMGR_OK && i < walk.count; i++) {
        const char *path = walk.items[i].relative, *slash = strrchr(path, '/');
        char *folder = slash ? mmgr__path_dirname(path) : mmgr__strdup("");
        result = folder ? take_sidecar(rebuild, folder) : mmgr__oom();
        mmgr__free(folder);
    }
    mmgr__walk_free(&walk);
    return result;
}

enum mmgr_result mmgr_installer_rebuild(mmgr_installer *installer, char **report)
{
    if (!installer || !report)
        return mmgr__bad_argument(installer ? "report" : "installer");
    if (installer->read_only)
        return mmgr__fail(MMGR_ERR_STATE, "this installer changes nothing");
    struct rebuild rebuild = {.installer = installer};
    struct mmgr__buf json = {0};
    enum mmgr_result result = take_all(&rebuild);
    mmgr__buf_puts(&json, "{\"added\":[");
    mmgr__buf_append(&json, rebuild.added.data, rebuild.added.length);
    mmgr__buf_puts(&json, "],\"skipped\":[");
    mmgr__buf_append(&json, rebuild.skipped.data, rebuild.skipped.length);
    mmgr__buf_puts(&json, "],");
    if (result == MMGR_OK)
        result = mmgr__compare(installer, &json);
    mmgr__buf_puts(&json, "}");
    json.failed |= rebuild.added.failed | rebuild.skipped.failed;
    mmgr__strings_free(&rebuild.locations);
    mmgr__buf_free(&rebuild.added);
    mmgr__buf_free(&rebuild.skipped);
    return mmgr__give_report(&json, result, report);
}
