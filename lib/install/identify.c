/* SPDX-License-Identifier: MIT */
/* The record of a model's files: what the probe says, where it comes from, its manifest; and
 * over all of it the caller's overrides. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <modelmgr/config.h>
#include <modelmgr/hash.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/json.h"
#include "base/path.h"
#include "base/record.h"
#include "install/install.h"

/* The caller's overrides, with the name that the plan chose where they have none. Owned JSON
 * text. */
static char *effective_overrides(const mmgr_plan *plan)
{
    json_t *object = NULL;
    if (plan->overrides &&
        mmgr__json_parse(plan->overrides, strlen(plan->overrides), MMGR_ERR_INVALID_CONFIG,
                         "overrides", &object) != MMGR_OK)
        return NULL;
    if (!object)
        object = json_object();
    int ok = object && (json_object_get(object, "name") ||
                        json_object_set_new(object, "name", json_string(plan->name)) == 0);
    char *text = ok ? mmgr__json_dump(object) : NULL;
    json_decref(object);
    if (!text)
        mmgr__oom();
    return text;
}

/* Fields that identification may fill in; each only where the kind of the model has it. */
static enum mmgr_result set_probed(mmgr_record_builder *builder, const mmgr_probe_result *probe)
{
    const struct mmgr__kind *kind =
        mmgr__kind_find(mmgr_probe_result_text(probe, MMGR_FIELD_TYPE),
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

static enum mmgr_result set_origin(mmgr_record_builder *builder, const mmgr_plan *plan,
                                   const char *path)
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

/* One manifest row a file below `path`; hashes by name from the plan and what the download
 * found. */
enum mmgr_result mmgr__set_manifest(mmgr_record_builder *builder, const mmgr_plan *plan,
                                    const char *path, char *const *part_sha256, uint32_t flags,
                                    uint64_t *total)
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
                    file.sha256 =
                        part_sha256 && part_sha256[p] ? part_sha256[p] : plan->files[p].sha256;
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
    return result == MMGR_OK ? mmgr_record_builder_set(builder, MMGR_FIELD_FILE_SIZE, size)
                             : result;
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
        result = mmgr__set_manifest(builder, plan, path, part_sha256, file_flags, &total);
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
