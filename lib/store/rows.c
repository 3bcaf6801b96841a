/* SPDX-License-Identifier: MIT */
/* What all back ends share: errors by name, stored JSON to records, paths in and out of the
 * store. */
#include <string.h>
#include <sys/vfs.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/path.h"
#include "store/store.h"

enum mmgr_result mmgr__store_unknown(const char *key)
{
    mmgr__fail(MMGR_ERR_UNKNOWN_MODEL, "no model with the key %s", key);
    mmgr__error_set_subject(key);
    return MMGR_ERR_UNKNOWN_MODEL;
}

enum mmgr_result mmgr__store_duplicate(const char *field, const char *value, const char *other)
{
    mmgr__fail(MMGR_ERR_DUPLICATE_MODEL, "the %s %s is already that of model %s", field, value,
               other);
    mmgr__error_set_field(field);
    mmgr__error_set_subject(other);
    return MMGR_ERR_DUPLICATE_MODEL;
}

/* A path that is no path of a file system, such as external://provider/model, stays as it is. */
static int is_foreign(const char *path)
{
    return strstr(path, "://") != NULL;
}

char *mmgr__store_inward(const char *path, const char *folder)
{
    char *absolute, *stored;
    const char *inside;

    if (is_foreign(path) || (path[0] != '/' && folder == NULL))
        return mmgr__strdup(path);
    if (!mmgr__store_outward(path, folder, &absolute))
        return NULL;
    inside = folder != NULL ? mmgr__path_inside(absolute, folder) : NULL;
    stored = mmgr__strdup(inside != NULL ? inside : absolute);
    mmgr__free(absolute);
    return stored;
}

int mmgr__store_outward(const char *path, const char *folder, char **absolute)
{
    char *joined;

    *absolute = NULL;
    if (is_foreign(path) || (path[0] != '/' && folder == NULL))
        return 1;
    joined = path[0] == '/' ? mmgr__strdup(path) : mmgr__path_join(folder, path);
    if (joined == NULL)
        return 0;
    *absolute = mmgr__path_absolute(joined);
    mmgr__free(joined);
    return *absolute != NULL;
}

enum mmgr_result mmgr__store_read_row(const struct mmgr__store_place *place, const char *key,
                                      const char *json, size_t length,
                                      mmgr_record_builder **builder)
{
    mmgr_record_builder *made = NULL;
    char *location = NULL;
    const char *path;
    const char *named;
    enum mmgr_result result = mmgr_record_builder_new(NULL, &made);

    if (result != MMGR_OK)
        return result;
    /* The key goes in first, so that errors can name it. */
    result = mmgr__record_builder_put(made, MMGR_FIELD_KEY, key);
    if (result == MMGR_OK)
        result = mmgr__record_builder_load(made, json, length);
    named = mmgr__record_builder_text(made, MMGR_FIELD_KEY);
    if (result == MMGR_OK && (named == NULL || strcmp(named, key) != 0)) {
        result = mmgr__fail(MMGR_ERR_INVALID_CONFIG, "model %s: its record names another key", key);
        mmgr__error_set_field("key");
    }
    path = result == MMGR_OK ? mmgr__record_builder_text(made, MMGR_FIELD_PATH) : NULL;
    if (path != NULL) {
        if (!mmgr__store_outward(path, place->models_dir, &location))
            result = mmgr__oom();
        else
            result = mmgr__record_builder_set_location(made, location);
        mmgr__free(location);
    }
    if (result == MMGR_OK) {
        *builder = made;
        return MMGR_OK;
    }
    if (result == MMGR_ERR_INVALID_CONFIG)
        mmgr__error_set_subject(key);
    mmgr_record_builder_free(made);
    return result;
}

int mmgr__store_on_network(const char *path)
{
    static const uint32_t magic[] = {
        0x6969 /* NFS */,    0x517b /* SMB */,     0xff534d42 /* CIFS */,   0xfe534d42 /* SMB2 */,
        0x01021997 /* 9p */, 0x5346414f /* AFS */, 0x0bd00bd0 /* Lustre */, 0x00c36400 /* Ceph */};
    struct statfs fs;

    if (statfs(path, &fs) != 0)
        return 0;
    for (size_t i = 0; i < sizeof magic / sizeof magic[0]; i++) {
        if ((uint32_t)fs.f_type == magic[i])
            return 1;
    }
    return 0;
}

static enum mmgr_result set_inward(mmgr_record_builder *builder, enum mmgr_field field,
                                   const char *folder)
{
    const char *path = mmgr__record_builder_text(builder, field);
    enum mmgr_result result = MMGR_OK;
    char *stored;

    if (path == NULL)
        return MMGR_OK;
    stored = mmgr__store_inward(path, folder);
    if (stored == NULL)
        return mmgr__oom();
    if (strcmp(stored, path) != 0)
        result = mmgr__record_builder_put(builder, field, stored);
    mmgr__free(stored);
    return result;
}

enum mmgr_result mmgr__store_canonical(const struct mmgr__store_place *place,
                                       mmgr_record_builder *builder)
{
    enum mmgr_result result = set_inward(builder, MMGR_FIELD_PATH, place->models_dir);
    const char *path = mmgr__record_builder_text(builder, MMGR_FIELD_PATH);
    char *location = NULL;

    /* A vae may be a key as well, which has no slash in front and is left alone. */
    if (result == MMGR_OK)
        result = set_inward(builder, MMGR_FIELD_VAE, place->models_dir);
    if (result == MMGR_OK)
        result = set_inward(builder, MMGR_FIELD_CONFIG_PATH, place->root);
    if (result != MMGR_OK || path == NULL)
        return result;
    if (!mmgr__store_outward(path, place->models_dir, &location))
        return mmgr__oom();
    result = mmgr__record_builder_set_location(builder, location);
    mmgr__free(location);
    return result;
}
