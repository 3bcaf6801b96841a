/* SPDX-License-Identifier: MIT */
/* Import of InvokeAI's models.yaml of version 3 or later: keys "base/type/name", each with a map
 * of what is known of the model. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/json.h"
#include "base/path.h"
#include "base/yaml.h"
#include "store/import.h"

#define FILE_MAX       ((size_t)16 << 20)
#define OLDEST_VERSION 3

/* Formats of a folder and of a single file, where the entry names none or only says that it is a
 * file. */
static const struct {
    const char *type, *folder, *file;
} formats[] = {
    {"main", "diffusers", "checkpoint"},
    {"vae", "diffusers", "checkpoint"},
    {"controlnet", "diffusers", "checkpoint"},
    {"lora", "diffusers", "lycoris"},
    {"embedding", "embedding_folder", "embedding_file"},
    {"ip_adapter", "invokeai", "invokeai"},
    {"clip_vision", "diffusers", "diffusers"},
    {"t2i_adapter", "diffusers", "diffusers"},
    {"onnx", "onnx", "onnx"},
};

/* Members of an entry that are not taken over as they stand: they are resolved or worked out, or
 * they would pass for fields of ours that a models.yaml does not have. */
static const char *const special[] = {"path",  "vae",   "config",      "format",
                                      "error", "key",   "name",        "type",
                                      "base",  "bases", "config_path", "location"};

static int is_one_of(const char *text, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(words[i], text) == 0)
            return 1;
    }
    return 0;
}
#define IS_ONE_OF(text, words) is_one_of(text, words, sizeof words / sizeof words[0])

/* ---- scalars */

static int is_null(const struct mmgr__yaml *scalar)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};

    return !scalar->quoted && IS_ONE_OF(scalar->text, words);
}

/* The member's text; NULL when it is absent, null or no scalar. */
static const char *text_of(const struct mmgr__yaml *entry, const char *name)
{
    const struct mmgr__yaml *member = mmgr__yaml_get(entry, name);

    return member != NULL && member->kind == MMGR__YAML_SCALAR && !is_null(member) ? member->text
                                                                                   : NULL;
}

/* What a plain scalar is in JSON when it is no text; NULL when it is. */
static const char *literal_of(const struct mmgr__yaml *scalar)
{
    static const char *const yes[] = {"true", "True", "TRUE"}, *const no[] = {"false", "False",
                                                                              "FALSE"};
    struct mmgr__jscan scan;

    if (scalar->quoted)
        return NULL;
    if (IS_ONE_OF(scalar->text, yes))
        return yes[0];
    if (IS_ONE_OF(scalar->text, no))
        return no[0];
    mmgr__jscan_init(&scan, scalar->text, strlen(scalar->text));
    return mmgr__jscan_next(&scan) == MMGR__JSCAN_NUMBER &&
                   mmgr__jscan_next(&scan) == MMGR__JSCAN_END
               ? scalar->text
               : NULL;
}

static void write_text(struct mmgr__buf *json, const char *name, const char *text)
{
    mmgr__buf_puts(json, json->length > 1 ? "," : "");
    mmgr__buf_json_string(json, name);
    mmgr__buf_puts(json, ":");
    mmgr__buf_json_string(json, text);
}

static void write_scalar(struct mmgr__buf *json, const char *name, const struct mmgr__yaml *scalar)
{
    const struct mmgr__field *field = mmgr__field_by_name(name);
    /* A description that is a number in YAML is a text all the same. */
    int is_text =
        field != NULL && field->kind != MMGR__FIELD_BOOL && field->kind != MMGR__FIELD_NUMBER &&
        field->kind != MMGR__FIELD_REAL;
    const char *literal = is_text ? NULL : literal_of(scalar);

    if (literal == NULL) {
        write_text(json, name, scalar->text);
        return;
    }
    mmgr__buf_puts(json, json->length > 1 ? "," : "");
    mmgr__buf_json_string(json, name);
    mmgr__buf_printf(json, ":%s", literal);
}

/* ---- one entry */

/* A model that is not there is told by the end of its name. */
static int is_folder(const char *path)
{
    static const char *const suffixes[] = {".safetensors", ".ckpt", ".pt",  ".pth",
                                           ".bin",         ".onnx", ".gguf"};
    struct stat st;

    if (mmgr__io_stat(AT_FDCWD, path, &st, 1) == 0)
        return S_ISDIR(st.st_mode);
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        if (mmgr__ends_with_nocase(path, suffixes[i]))
            return 0;
    }
    return 1;
}

/* NULL when it can only be guessed. */
static const char *choose_format(const char *type, const char *given, const char *path)
{
    static const char *const single_file[] = {"safetensors", "ckpt"};
    int says_file = given != NULL && IS_ONE_OF(given, single_file);

    if (given != NULL && !says_file)
        return given;
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (strcmp(formats[i].type, type) == 0)
            return says_file || !is_folder(path) ? formats[i].file : formats[i].folder;
    }
    return given;
}

/* "base/type/name", in which the name may hold slashes, taken apart in place. */
struct stanza {
    char *base, *type, *name;
};

static int split(char *key, struct stanza *stanza)
{
    stanza->base = key;
    stanza->type = strchr(key, '/');
    stanza->name = stanza->type != NULL ? strchr(stanza->type + 1, '/') : NULL;
    if (stanza->name == NULL)
        return 0;
    *stanza->type++ = '\0';
    *stanza->name++ = '\0';
    return stanza->base[0] != '\0' && stanza->type[0] != '\0' && stanza->name[0] != '\0';
}

static void write_entry(struct mmgr__buf *json, const struct stanza *stanza,
                        const struct mmgr__yaml *entry)
{
    mmgr__buf_puts(json, "{");
    write_text(json, "name", stanza->name);
    write_text(json, "type", stanza->type);
    write_text(json, "base", stanza->base);
    for (size_t i = 0; i < entry->count; i++) {
        if (entry->items[i]->kind == MMGR__YAML_SCALAR && !is_null(entry->items[i]) &&
            !IS_ONE_OF(entry->keys[i]->text, special))
            write_scalar(json, entry->keys[i]->text, entry->items[i]);
    }
    mmgr__buf_puts(json, "}");
}

/* Set a path of the entry, resolved, where the entry has it. */
static enum mmgr_result set_path(mmgr_record_builder *builder, enum mmgr_field field,
                                 const char *path, const char *folder, const char *other)
{
    enum mmgr_result result;
    char *absolute;

    if (path == NULL)
        return MMGR_OK;
    /* First as it stands, so that a path which leads out of its folder is refused as in any
     * record. */
    result = mmgr__import_set(builder, field, path);
    if (result != MMGR_OK)
        return result;
    absolute = mmgr__import_resolve(path, folder, other);
    result = absolute != NULL ? mmgr__import_set(builder, field, absolute) : mmgr__oom();
    mmgr__free(absolute);
    return result;
}

static enum mmgr_result fill(const struct mmgr__import *import, const struct stanza *stanza,
                             const struct mmgr__yaml *entry, mmgr_record_builder *builder)
{
    struct mmgr__buf buf = {0};
    const char *path, *format = NULL;
    char *json;
    enum mmgr_result result;

    write_entry(&buf, stanza, entry);
    json = mmgr__buf_take(&buf);
    if (json == NULL)
        return mmgr__oom();
    result = mmgr__record_builder_load(builder, json, strlen(json));
    mmgr__free(json);
    if (result == MMGR_OK)
        result = set_path(builder, MMGR_FIELD_PATH, text_of(entry, "path"), import->models_dir,
                          import->root);
    if (result == MMGR_OK)
        result = set_path(builder, MMGR_FIELD_VAE, text_of(entry, "vae"), import->models_dir,
                          import->root);
    if (result == MMGR_OK)
        result =
            set_path(builder, MMGR_FIELD_CONFIG_PATH, text_of(entry, "config"), import->root, NULL);
    path = mmgr__record_builder_text(builder, MMGR_FIELD_PATH);
    if (result == MMGR_OK && path != NULL)
        format = choose_format(stanza->type, text_of(entry, "format"), path);
    return result == MMGR_OK && format != NULL
               ? mmgr__import_set(builder, MMGR_FIELD_FORMAT, format)
               : result;
}

/* A fault of one entry, at its line. */
static enum mmgr_result bad_entry(const struct mmgr__yaml *key, const char *why)
{
    return mmgr__fail(MMGR_ERR_INVALID_CONFIG, "line %u: \"%s\" %s", key->line, key->text, why);
}

static enum mmgr_result take_entry(struct mmgr__import *import, const struct mmgr__yaml *key,
                                   const struct mmgr__yaml *entry, const struct stanza *stanza)
{
    mmgr_record_builder *builder = NULL;
    enum mmgr_result result = mmgr_record_builder_new(NULL, &builder);

    if (result != MMGR_OK)
        return result;
    result = fill(import, stanza, entry, builder);
    if (result == MMGR_OK && mmgr__record_builder_text(builder, MMGR_FIELD_PATH) == NULL)
        result = bad_entry(key, "has no path");
    else if (result == MMGR_OK && mmgr__record_builder_text(builder, MMGR_FIELD_FORMAT) == NULL)
        result = bad_entry(key, "has no format, and its type does not tell it");
    else if (result == MMGR_ERR_INVALID_CONFIG)
        mmgr__error_prefix("line %u", key->line);
    result = mmgr__import_take(import, builder, result, NULL);
    mmgr_record_builder_free(builder);
    return result;
}

static enum mmgr_result read_entry(struct mmgr__import *import, const struct mmgr__yaml *key,
                                   const struct mmgr__yaml *entry)
{
    char *parts = mmgr__strdup(key->text);
    struct stanza stanza;
    const char *why = NULL;
    enum mmgr_result result;

    if (parts == NULL)
        return mmgr__oom();
    if (!split(parts, &stanza))
        why = "is not of the form base/type/name";
    else if (entry->kind != MMGR__YAML_MAP)
        why = "is followed by no map";
    if (why != NULL) {
        bad_entry(key, why);
        result = mmgr__import_skip(import, NULL, key->text, text_of(entry, "path"));
    } else {
        result = take_entry(import, key, entry, &stanza);
    }
    mmgr__free(parts);
    return result;
}

/* ---- the file */

static enum mmgr_result check_version(const char *path, const struct mmgr__yaml *root)
{
    const char *version = text_of(mmgr__yaml_get(root, "__metadata__"), "version");
    size_t digits = version != NULL ? strspn(version, "0123456789") : 0;
    uint64_t major = 0;

    if (root->kind != MMGR__YAML_MAP)
        return mmgr__import_unfit(path, "is no models.yaml: it holds no map");
    if (version == NULL)
        return mmgr__import_unfit(
            path,
            "is no models.yaml of version %d or later: it has no __metadata__ with a"
            " version",
            OLDEST_VERSION);
    for (size_t i = 0; i < digits && major < 1000; i++)
        major = major * 10 + (uint64_t)(version[i] - '0');
    if (digits == 0 || (version[digits] != '\0' && version[digits] != '.') ||
        major < OLDEST_VERSION)
        return mmgr__import_unfit(path, "is a models.yaml of version %.40s; %d or later is needed",
                                  version, OLDEST_VERSION);
    return MMGR_OK;
}

static enum mmgr_result read_tree(struct mmgr__import *import, const struct mmgr__yaml *root)
{
    enum mmgr_result result = check_version(import->path, root);

    for (size_t i = 0; i < root->count && result == MMGR_OK; i++) {
        if (strcmp(root->keys[i]->text, "__metadata__") != 0)
            result = read_entry(import, root->keys[i], root->items[i]);
    }
    return result;
}

enum mmgr_result mmgr__import_yaml(struct mmgr__import *import)
{
    struct mmgr__yaml *root = NULL;
    char *text = NULL;
    size_t length;
    enum mmgr_result result;
    int error = mmgr__io_read_file(AT_FDCWD, import->path, FILE_MAX, &text, &length);

    if (error == -EFBIG)
        return mmgr__import_unfit(import->path, "is no models.yaml: it is larger than 16 MiB");
    if (error != 0)
        return error == -ENOMEM ? mmgr__oom() : mmgr__fail_errno(-error, "read", import->path);
    result = mmgr__yaml_parse(text, length, MMGR_ERR_INVALID_FILE, import->path, &root);
    mmgr__free(text);
    if (result != MMGR_OK)
        return result;
    result = read_tree(import, root);
    mmgr__yaml_free(root);
    return result;
}
