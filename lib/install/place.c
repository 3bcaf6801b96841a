/* SPDX-License-Identifier: MIT */
/* From files in a staging folder to a record: identify, choose the folder once, rename, record. The journal
 * says "placing" before the first change and goes away after the last, so that each step can be redone. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>

#include <modelmgr/config.h>
#include <modelmgr/hash.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/path.h"
#include "base/record.h"
#include "install/install.h"
#include "store/store.h"

#define MAX_TWINS 10000

/* --- identification ------------------------------------------------------------------------------- */

/* The caller's overrides, with the name that the plan chose where they have none. Owned JSON text. */
static char *effective_overrides(const mmgr_plan *plan)
{
    json_t *object = NULL;
    if (plan->overrides &&
        mmgr__json_parse(plan->overrides, strlen(plan->overrides), MMGR_ERR_INVALID_CONFIG, "overrides",
                         &object) != MMGR_OK)
        return NULL;
    if (!object)
        object = json_object();
    if (object && !json_object_get(object, "name"))
        json_object_set_new(object, "name", json_string(plan->name));
    char *text = object ? mmgr__json_dump(object) : NULL;
    json_decref(object);
    if (!text)
        mmgr__oom();
    return text;
}

/* Fields that identification may fill in; each only where the kind of the model has it. */
static enum mmgr_result set_probed(mmgr_record_builder *builder, const mmgr_probe_result *probe)
{
    const struct mmgr__kind *kind = mmgr__kind_find(mmgr_probe_result_text(probe, MMGR_FIELD_TYPE),
                                                    mmgr_probe_result_text(probe, MMGR_FIELD_FORMAT));
    const struct mmgr__field *field;
    enum mmgr_result result = MMGR_OK;
    for (uint32_t i = 0; result == MMGR_OK && (field = mmgr__field_at(i)); i++) {
        const char *value = mmgr_probe_result_text(probe, field->id);
        int has = field->general || field->required || !kind;
        for (size_t k = 0; !has && k < sizeof kind->fields / sizeof *kind->fields; k++)
            has = kind->fields[k] == field->id;
        if (value && has)
            result = mmgr_record_builder_set(builder, field->id, value);
    }
    return result;
}

static enum mmgr_result set_origin(mmgr_record_builder *builder, const mmgr_plan *plan, const char *path)
{
    const struct {
        enum mmgr_field field;
        const char *value;
    } rows[] = {
        {MMGR_FIELD_KEY, plan->key},           {MMGR_FIELD_PATH, path},
        {MMGR_FIELD_SOURCE, plan->source},     {MMGR_FIELD_SOURCE_TYPE, plan->source_type},
        {MMGR_FIELD_REVISION, plan->revision}, {MMGR_FIELD_SOURCE_API_RESPONSE, plan->response},
        {MMGR_FIELD_TAGS, plan->tags},         {MMGR_FIELD_SOURCE_URL, plan->page_url},
    };
    enum mmgr_result result = MMGR_OK;
    for (size_t i = 0; result == MMGR_OK && i < sizeof rows / sizeof *rows; i++)
        if (rows[i].value)
            result = mmgr_record_builder_set(builder, rows[i].field, rows[i].value);
    return result;
}

/* One manifest row a file below `path`; hashes by name from the plan and what the download found. */
static enum mmgr_result set_manifest(mmgr_record_builder *builder, const mmgr_plan *plan, const char *path,
                                     char *const *part_sha256, uint32_t flags, uint64_t *total)
{
    struct mmgr__walk walk;
    enum mmgr_result result = mmgr__walk(path, &walk);
    if (result != MMGR_OK)
        return result;
    mmgr__record_builder_clear_files(builder);
    *total = 0;
    for (size_t i = 0; result == MMGR_OK && i < walk.count; i++) {
        char *relative = walk.items[i].relative;
        char *full = *relative ? mmgr__path_join(path, relative) : mmgr__strdup(path);
        struct stat st;
        struct mmgr__file file = {.path = relative, .flags = flags};
        int error = full ? mmgr__io_stat(AT_FDCWD, full, &st, 1) : -ENOMEM;
        if (error < 0) {
            result = mmgr__fail_errno(-error, "find", full ? full : path);
        } else {
            file.size = (uint64_t)st.st_size;
            file.mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
            file.device = st.st_dev;
            file.inode = st.st_ino;
            for (size_t p = 0; p < plan->count; p++)
                if (!*relative || strcmp(plan->files[p].relative, relative) == 0) {
                    file.sha256 = part_sha256 && part_sha256[p] ? part_sha256[p] : plan->files[p].sha256;
                    file.git_sha1 = plan->files[p].git_sha1;
                    break;
                }
            result = mmgr__record_builder_add_file(builder, &file);
            *total += file.size;
        }
        mmgr__free(full);
    }
    mmgr__walk_free(&walk);
    return result;
}

static enum mmgr_result set_content(mmgr_record_builder *builder, const char *path, uint64_t total)
{
    char *hash, size[24];
    enum mmgr_result result = mmgr_hash_path(path, NULL, &hash);
    if (result != MMGR_OK)
        return result;
    result = mmgr_record_builder_set(builder, MMGR_FIELD_HASH, hash);
    mmgr_string_free(hash);
    snprintf(size, sizeof size, "%llu", (unsigned long long)total);
    return result == MMGR_OK ? mmgr_record_builder_set(builder, MMGR_FIELD_FILE_SIZE, size) : result;
}

enum mmgr_result mmgr__identify(mmgr_installer *installer, const mmgr_plan *plan, const char *path,
                                char *const *part_sha256, uint32_t file_flags, mmgr_record **record)
{
    char *overrides = effective_overrides(plan);
    if (!overrides)
        return mmgr_error_code(mmgr_last_error());
    int allow = (plan->flags & MMGR_INSTALL_ALLOW_UNKNOWN) != 0;
    const char *configured = mmgr_config_get(installer->config, "allow_unknown");
    if (configured && strcmp(configured, "true") == 0)
        allow = 1;
    struct mmgr_probe_options options = {.struct_size = sizeof options,
                                         .flags = allow ? MMGR_PROBE_ALLOW_UNKNOWN : 0,
                                         .overrides = overrides};
    mmgr_probe_result *probe = NULL;
    mmgr_record_builder *builder = NULL;
    uint64_t total = 0;
    enum mmgr_result result = mmgr_probe_path(installer->prober, path, &options, &probe);
    if (result == MMGR_OK)
        result = mmgr_record_builder_new(NULL, &builder);
    if (result == MMGR_OK)
        result = set_probed(builder, probe);
    if (result == MMGR_OK)
        result = set_origin(builder, plan, path);
    if (result == MMGR_OK)
        result = set_manifest(builder, plan, path, part_sha256, file_flags, &total);
    if (result == MMGR_OK)
        result = set_content(builder, path, total);
    if (result == MMGR_OK)
        result = mmgr_record_builder_merge(builder, overrides);
    if (result == MMGR_OK)
        result = mmgr_record_builder_build(builder, record);
    mmgr_record_builder_free(builder);
    mmgr_probe_result_unref(probe);
    mmgr__free(overrides);
    return result;
}

/* --- placement ------------------------------------------------------------------------------------ */

/* Is there an entry of this name, whatever its case? Other file systems would take the two for one. */
static int name_is_taken(const char *folder, const char *name)
{
    DIR *dir = opendir(folder);
    int taken = 0;
    for (struct dirent *entry; dir && !taken && (entry = readdir(dir));)
        taken = strcasecmp(entry->d_name, name) == 0;
    if (dir)
        closedir(dir);
    return taken;
}

/* "BASE/TYPE/NAME", "BASE/TYPE/NAME~2", … the first that is free from `*twin` on. Owned. */
static char *choose_folder(const mmgr_installer *installer, const mmgr_record *record, int *twin)
{
    char *name = mmgr__path_portable_name(mmgr_record_text(record, MMGR_FIELD_NAME));
    char *base = mmgr__path_portable_name(mmgr_record_text(record, MMGR_FIELD_BASE));
    char *type = mmgr__path_portable_name(mmgr_record_text(record, MMGR_FIELD_TYPE));
    char *parent = base && type ? mmgr__printf("%s/%s/%s", installer->models_dir, base, type) : NULL;
    char *found = NULL;
    for (; name && parent && !found && *twin < MAX_TWINS; (*twin)++) {
        char *candidate = *twin == 1 ? mmgr__strdup(name) : mmgr__printf("%s~%d", name, *twin);
        if (!candidate)
            break;
        if (!name_is_taken(parent, candidate))
            found = mmgr__printf("%s/%s/%s", base, type, candidate);
        mmgr__free(candidate);
    }
    mmgr__free(parent);
    mmgr__free(type);
    mmgr__free(base);
    mmgr__free(name);
    return found;
}

/* The plan's journal, with where the files go and the record that is to be committed. */
static json_t *placing_journal(const mmgr_plan *plan, const mmgr_record *record, const char *folder,
                               char *const *part_sha256)
{
    json_t *journal = mmgr__journal_of_plan(plan, MMGR__STATE_PLACING);
    char *stored = mmgr__record_stored_json(record);
    int ok = journal && stored && json_object_set_new(journal, "folder", json_string(folder)) == 0 &&
             json_object_set_new(journal, "record", json_string(stored)) == 0;
    json_t *files = json_object_get(journal, "files"), *row;
    size_t index;
    json_array_foreach(files, index, row)
        if (ok && part_sha256 && part_sha256[index])
            ok = json_object_set_new(row, "sha256", json_string(part_sha256[index])) == 0;
    mmgr__free(stored);
    if (!ok) {
        json_decref(journal);
        return NULL;
    }
    return journal;
}

static int sync_parents(const struct mmgr__staging *staging, const char *folder)
{
    char *parent = mmgr__path_dirname(folder);
    int error = parent ? mmgr__io_fsync_dir(AT_FDCWD, parent) : -ENOMEM;
    mmgr__free(parent);
    return error < 0 ? error : mmgr__io_fsync_dir(AT_FDCWD, staging->folder);
}

/* files/ → models_dir/folder. EXISTS when someone took the name in the meantime. */
static enum mmgr_result move_into_place(mmgr_installer *installer, const struct mmgr__staging *staging,
                                        const char *folder)
{
    char *target = mmgr__path_join(installer->models_dir, folder);
    char *parent = target ? mmgr__path_dirname(target) : NULL;
    int error = parent ? mmgr__io_mkdirs(parent, 0755) : -ENOMEM;
    if (error == 0)
        error = mmgr__io_rename(AT_FDCWD, staging->files, AT_FDCWD, target, 1);
    if (error == 0)
        error = sync_parents(staging, target);
    enum mmgr_result result = error < 0 ? mmgr__fail_errno(-error, "move the model to", target) : MMGR_OK;
    mmgr__free(parent);
    mmgr__free(target);
    return result;
}

static enum mmgr_result choose_and_move(mmgr_installer *installer, struct mmgr__staging *staging,
                                        const mmgr_plan *plan, const mmgr_record *identified,
                                        char *const *part_sha256, json_t **journal)
{
    int twin = 1;
    for (;;) {
        char *folder = choose_folder(installer, identified, &twin);
        if (!folder)
            return mmgr__fail(MMGR_ERR_EXISTS, "no free folder name for %s",
                              mmgr_record_text(identified, MMGR_FIELD_NAME));
        json_t *made = placing_journal(plan, identified, folder, part_sha256);
        enum mmgr_result result = made ? mmgr__install_journal_write(staging, made) : mmgr__oom();
        if (result == MMGR_OK)
            result = move_into_place(installer, staging, folder);
        mmgr__free(folder);
        if (result == MMGR_OK) {
            *journal = made;
            return MMGR_OK;
        }
        json_decref(made);
        if (result != MMGR_ERR_EXISTS)
            return result;
    }
}

enum mmgr_result mmgr__place(mmgr_installer *installer, struct mmgr__staging *staging, const mmgr_plan *plan,
                             const mmgr_record *identified, char *const *part_sha256, mmgr_record **placed)
{
    char *path = mmgr__path_join(installer->staging_dir, "place.lock");
    if (!path)
        return mmgr__oom();
    /* One chooser at a time over all processes: names are compared without regard to case, which no
     * single system call does. */
    int lock = mmgr__io_lock(AT_FDCWD, path, 1, 1);
    enum mmgr_result result = lock < 0 ? mmgr__fail_errno(-lock, "lock", path) : MMGR_OK;
    mmgr__free(path);
    if (result != MMGR_OK)
        return result;
    json_t *journal = NULL;
    result = mmgr__plan_check_duplicate(installer, plan);
    if (result == MMGR_OK)
        result = choose_and_move(installer, staging, plan, identified, part_sha256, &journal);
    if (result == MMGR_OK)
        result = mmgr__finish_placing(installer, staging, journal, placed);
    json_decref(journal);
    mmgr__io_unlock(lock);
    return result;
}

/* The model's path below models_dir, which is the folder, or the one file in it. Owned. */
static char *placed_path(const mmgr_installer *installer, const char *folder, int single)
{
    char *target = mmgr__path_join(installer->models_dir, folder);
    struct mmgr__walk walk;
    if (!target || !single || mmgr__walk(target, &walk) != MMGR_OK)
        return target;
    char *file = walk.count == 1 ? mmgr__path_join(target, walk.items[0].relative) : NULL;
    mmgr__walk_free(&walk);
    if (!file)
        return target;
    mmgr__free(target);
    return file;
}

enum mmgr_result mmgr__finish_placing(mmgr_installer *installer, struct mmgr__staging *staging,
                                      const json_t *journal, mmgr_record **placed)
{
    const char *folder = mmgr__json_text(journal, "folder"), *stored = mmgr__json_text(journal, "record");
    if (!folder || !stored || mmgr__path_check_relative(folder) != MMGR_OK)
        return mmgr__fail(MMGR_ERR_INVALID_FILE, "%s names no folder or no record", staging->journal);
    mmgr_plan *plan;
    enum mmgr_result result = mmgr__plan_of_journal(journal, &plan);
    if (result != MMGR_OK)
        return result;
    mmgr_record *record = NULL, *base = NULL;
    mmgr_record_builder *builder = NULL;
    uint64_t total;
    char *path = placed_path(installer, folder, plan->single);
    result = path ? mmgr_record_from_json(stored, &base) : mmgr__oom();
    if (result == MMGR_OK)
        result = mmgr_record_builder_new(base, &builder);
    if (result == MMGR_OK)
        result = mmgr_record_builder_set(builder, MMGR_FIELD_PATH, path);
    if (result == MMGR_OK)
        result = set_manifest(builder, plan, path, NULL, MMGR_FILE_OWNED, &total);
    if (result == MMGR_OK)
        result = mmgr_record_builder_build(builder, &record);
    if (result == MMGR_OK)
        result = mmgr__store_add_full(installer->store, record, MMGR__STORE_AGAIN, placed);
    if (result == MMGR_OK && mmgr__staging_drop(staging) != MMGR_OK)
        mmgr__log(MMGR_LOG_WARNING, "install", "%s", mmgr_error_message(mmgr_last_error()));
    mmgr_record_unref(record);
    mmgr_record_builder_free(builder);
    mmgr_record_unref(base);
    mmgr__free(path);
    mmgr_plan_free(plan);
    return result;
}

enum mmgr_result mmgr__resume_placing(mmgr_installer *installer, struct mmgr__staging *staging,
                                      const json_t *journal, mmgr_record **placed)
{
    struct stat st;
    if (mmgr__io_stat(AT_FDCWD, staging->files, &st, 0) < 0)
        return mmgr__finish_placing(installer, staging, journal, placed);
    const char *stored = mmgr__json_text(journal, "record");
    mmgr_plan *plan = NULL;
    mmgr_record *record = NULL;
    enum mmgr_result result = stored ? mmgr_record_from_json(stored, &record)
                                     : mmgr__fail(MMGR_ERR_INVALID_FILE, "%s has no record",
                                                  staging->journal);
    if (result == MMGR_OK)
        result = mmgr__plan_of_journal(journal, &plan);
    if (result == MMGR_OK)
        result = mmgr__place(installer, staging, plan, record, NULL, placed);
    mmgr_plan_free(plan);
    mmgr_record_unref(record);
    return result;
}

/* --- the job -------------------------------------------------------------------------------------- */

/* A move is a copy whose originals go away once the record is committed: a crash costs nothing. */
static void remove_originals(const mmgr_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        struct stat st;
        if (mmgr__io_stat(AT_FDCWD, plan->files[i].from, &st, 0) == 0 && S_ISREG(st.st_mode) &&
            (uint64_t)st.st_size == plan->files[i].size)
            mmgr__io_unlink(AT_FDCWD, plan->files[i].from);
    }
    if (plan->single)
        return;
    for (size_t i = plan->count; i-- > 0;) {
        char *folder = mmgr__path_dirname(plan->files[i].from);
        while (folder && (strcmp(folder, plan->local) == 0 || mmgr__path_inside(folder, plan->local)) &&
               mmgr__io_rmdir(AT_FDCWD, folder) == 0) {
            char *parent = mmgr__path_dirname(folder);
            mmgr__free(folder);
            folder = parent;
        }
        mmgr__free(folder);
    }
}

static enum mmgr_result record_in_place(mmgr_install *job)
{
    mmgr_installer *installer = job->installer;
    int inside = mmgr__path_inside(job->plan->local, installer->models_dir) != NULL;
    mmgr_record *record;
    enum mmgr_result result = mmgr__identify(installer, job->plan, job->plan->local, NULL,
                                             inside ? MMGR_FILE_OWNED : MMGR_FILE_LINKED, &record);
    if (result != MMGR_OK)
        return result;
    result = mmgr__store_add_full(installer->store, record, 0, &job->record);
    mmgr_record_unref(record);
    return result;
}

static enum mmgr_result record_staged(mmgr_install *job)
{
    char *path = mmgr__strdup(job->staging.files);
    struct mmgr__walk walk;
    enum mmgr_result result = path ? MMGR_OK : mmgr__oom();
    if (result == MMGR_OK && job->plan->single && (result = mmgr__walk(path, &walk)) == MMGR_OK) {
        mmgr__free(path);
        path = walk.count == 1 ? mmgr__path_join(job->staging.files, walk.items[0].relative) : NULL;
        if (!path)
            result = mmgr__fail(MMGR_ERR_INVALID_FILE, "%s: %zu files came where one was expected",
                                job->source, walk.count);
        mmgr__walk_free(&walk);
    }
    mmgr_record *record = NULL;
    if (result == MMGR_OK)
        result = mmgr__identify(job->installer, job->plan, path, job->part_sha256, MMGR_FILE_OWNED, &record);
    if (result == MMGR_OK)
        result = mmgr__place(job->installer, &job->staging, job->plan, record, job->part_sha256,
                             &job->record);
    if (result == MMGR_OK && (job->flags & MMGR_INSTALL_MOVE))
        remove_originals(job->plan);
    mmgr_record_unref(record);
    mmgr__free(path);
    return result;
}

void mmgr__install_place(mmgr_install *job)
{
    mmgr__install_status(job, MMGR_INSTALL_RUNNING, MMGR_EVENT_INSTALL_RUNNING);
    enum mmgr_result result =
        job->flags & MMGR_INSTALL_INPLACE ? record_in_place(job) : record_staged(job);
    if (result == MMGR_ERR_DUPLICATE_MODEL && job->staging.folder) {
        /* Another process was first: the bytes are of no more use. */
        struct mmgr_error error;
        mmgr__error_save(&error);
        mmgr__staging_drop(&job->staging);
        mmgr__error_restore(&error);
    }
    mmgr__staging_close(&job->staging);
    if (result != MMGR_OK) {
        mmgr__install_fail(job);
        return;
    }
    pthread_mutex_lock(&job->installer->mutex);
    uint64_t size = 0;
    for (uint32_t i = 0; i < mmgr_record_file_count(job->record); i++)
        size += mmgr_record_file_size(job->record, i);
    job->bytes = job->total = size;
    mmgr__free(job->local_path);
    job->local_path = mmgr__strdup(mmgr_record_location(job->record));
    pthread_mutex_unlock(&job->installer->mutex);
    mmgr__install_status(job, MMGR_INSTALL_COMPLETED, MMGR_EVENT_INSTALL_COMPLETED);
}
