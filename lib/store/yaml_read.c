/* SPDX-License-Identifier: MIT */
/* YAML back end: from the file to records. Each model becomes the JSON text that a row of the database would
 * hold and goes through the same checks. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/path.h"
#include "store/yaml_store.h"

#define NOT_OURS "is no record store of this library"

/* The model that is being read, for errors. */
struct reading {
    const char *path;
    const struct mmgr__store_place *place;
    const char *key;
    const struct mmgr__yaml *node;
};

static enum mmgr_result not_ours(const char *path, const struct mmgr__yaml *node, const char *why)
{
    mmgr__fail(MMGR_ERR_STORE_INCOMPATIBLE, "%s:%u:%u: %s; it was not changed", path, node->line,
               node->column, why);
    mmgr__error_set_subject(path);
    return MMGR_ERR_STORE_INCOMPATIBLE;
}

static enum mmgr_result bad_member(const struct reading *reading, const struct mmgr__yaml *node,
                                   const char *field, const char *why)
{
    mmgr__fail(MMGR_ERR_INVALID_CONFIG, "%s:%u:%u: model %s: field \"%s\" %s", reading->path,
               node->line, node->column, reading->key, field, why);
    mmgr__error_set_field(field);
    mmgr__error_set_subject(reading->key);
    return MMGR_ERR_INVALID_CONFIG;
}

/* Any node as JSON: plain scalars that look like JSON values are those values, the rest is text. */
static void put_node(struct mmgr__buf *json, const struct mmgr__yaml *node)
{
    if (node->kind == MMGR__YAML_SCALAR) {
        if (node->quoted)
            mmgr__buf_json_string(json, node->text);
        else if (mmgr__yaml_is_null(node->text))
            mmgr__buf_puts(json, "null");
        else if (strcmp(node->text, "true") == 0 || strcmp(node->text, "false") == 0 ||
                 mmgr__yaml_is_number(node->text))
            mmgr__buf_puts(json, node->text);
        else
            mmgr__buf_json_string(json, node->text);
        return;
    }
    mmgr__buf_puts(json, node->kind == MMGR__YAML_MAP ? "{" : "[");
    for (size_t i = 0; i < node->count; i++) {
        mmgr__buf_puts(json, i > 0 ? "," : "");
        if (node->kind == MMGR__YAML_MAP) {
            mmgr__buf_json_string(json, node->keys[i]->text);
            mmgr__buf_puts(json, ":");
        }
        put_node(json, node->items[i]);
    }
    mmgr__buf_puts(json, node->kind == MMGR__YAML_MAP ? "}" : "]");
}

/* A field whose values are text, whatever they look like. */
static enum mmgr_result put_text(const struct reading *reading, struct mmgr__buf *json,
                                 const struct mmgr__yaml *node, const char *name)
{
    if (node->kind != MMGR__YAML_SCALAR)
        return bad_member(reading, node, name, "must be text");
    mmgr__buf_json_string(json, node->text);
    return MMGR_OK;
}

static enum mmgr_result put_list(const struct reading *reading, struct mmgr__buf *json,
                                 const struct mmgr__yaml *node, const char *name)
{
    enum mmgr_result result = MMGR_OK;

    if (node->kind != MMGR__YAML_LIST)
        return bad_member(reading, node, name, "must be a list");
    mmgr__buf_puts(json, "[");
    for (size_t i = 0; i < node->count && result == MMGR_OK; i++) {
        mmgr__buf_puts(json, i > 0 ? "," : "");
        result = put_text(reading, json, node->items[i], name);
    }
    mmgr__buf_puts(json, "]");
    return result;
}

static enum mmgr_result put_value(const struct reading *reading, struct mmgr__buf *json,
                                  const struct mmgr__yaml *node, const char *name)
{
    const struct mmgr__field *field = mmgr__field_by_name(name);

    if (node->kind == MMGR__YAML_SCALAR && !node->quoted && mmgr__yaml_is_null(node->text)) {
        mmgr__buf_puts(json, "null");
        return MMGR_OK;
    }
    if (field != NULL && (field->kind == MMGR__FIELD_TEXT || field->kind == MMGR__FIELD_TERM ||
                          field->kind == MMGR__FIELD_TIME))
        return put_text(reading, json, node, name);
    if (field != NULL && field->kind == MMGR__FIELD_LIST)
        return put_list(reading, json, node, name);
    put_node(json, node);
    return MMGR_OK;
}

/* An item of the list below must be members of an object and nothing else. */
static enum mmgr_result check_raw(const struct reading *reading, const struct mmgr__yaml *item)
{
    struct mmgr__jscan scan;
    char *object;
    int sound;

    if (item->kind != MMGR__YAML_SCALAR)
        return bad_member(reading, item, MMGR__YAML_JSON_KEY, "must be a list of texts");
    object = mmgr__printf("{%s}", item->text);
    if (object == NULL)
        return mmgr__oom();
    mmgr__jscan_init(&scan, object, strlen(object));
    mmgr__jscan_next(&scan);
    sound = mmgr__jscan_next(&scan) == MMGR__JSCAN_KEY &&
            mmgr__jscan_skip(&scan, MMGR__JSCAN_OBJECT) &&
            mmgr__jscan_next(&scan) == MMGR__JSCAN_END;
    mmgr__free(object);
    return sound ? MMGR_OK
                 : bad_member(reading, item, MMGR__YAML_JSON_KEY,
                              "has an item that is no member of a JSON object");
}

/* Members in their JSON form. */
static enum mmgr_result put_raw(const struct reading *reading, struct mmgr__buf *json,
                                const struct mmgr__yaml *node)
{
    enum mmgr_result result = MMGR_OK;

    if (node->kind != MMGR__YAML_LIST)
        return bad_member(reading, node, MMGR__YAML_JSON_KEY, "must be a list");
    for (size_t i = 0; i < node->count && result == MMGR_OK; i++) {
        result = check_raw(reading, node->items[i]);
        mmgr__buf_puts(json, json->length > 1 ? "," : "");
        mmgr__buf_puts(json, result == MMGR_OK ? node->items[i]->text : "");
    }
    return result;
}

static enum mmgr_result to_json(const struct reading *reading, struct mmgr__buf *json)
{
    const struct mmgr__yaml *node = reading->node;
    enum mmgr_result result = MMGR_OK;

    mmgr__buf_puts(json, "{");
    for (size_t i = 0; i < node->count && result == MMGR_OK; i++) {
        const char *name = node->keys[i]->text;

        if (strcmp(name, MMGR__YAML_FILES_KEY) == 0)
            continue;
        if (strcmp(name, MMGR__YAML_JSON_KEY) == 0) {
            result = put_raw(reading, json, node->items[i]);
            continue;
        }
        mmgr__buf_puts(json, json->length > 1 ? "," : "");
        mmgr__buf_json_string(json, name);
        mmgr__buf_puts(json, ":");
        result = put_value(reading, json, node->items[i], name);
    }
    mmgr__buf_puts(json, "}");
    return result == MMGR_OK && json->failed ? mmgr__oom() : result;
}

/* Where the field of the last error stands in the file. */
static enum mmgr_result place_error(const struct reading *reading, enum mmgr_result result)
{
    const char *field = mmgr_error_field(mmgr_last_error());
    const struct mmgr__yaml *node = reading->node;

    if (result != MMGR_ERR_INVALID_CONFIG)
        return result;
    if (field != NULL && mmgr__yaml_get(node, field) != NULL)
        node = mmgr__yaml_get(node, field);
    mmgr__error_prefix("%s:%u:%u", reading->path, node->line, node->column);
    return result;
}

/* ---- the manifest */

/* A member of a manifest row, and where it goes: a text, or a whole number. */
struct row_member {
    const char *name;
    char **text;
    uint64_t *number, most;
    int is_signed;
};

static int read_number(const char *text, const struct row_member *member)
{
    int negative = member->is_signed && text[0] == '-';
    uint64_t number;

    if (!mmgr__parse_u64(text + negative, &number) || number > member->most)
        return 0;
    *member->number = negative ? -number : number;
    return 1;
}

static enum mmgr_result read_row_member(const struct reading *reading,
                                        const struct row_member *member,
                                        const struct mmgr__yaml *node)
{
    char why[64];

    if (node->kind == MMGR__YAML_SCALAR && !node->quoted && mmgr__yaml_is_null(node->text))
        return MMGR_OK;
    if (node->kind == MMGR__YAML_SCALAR && member->text != NULL) {
        *member->text = node->text;
        return MMGR_OK;
    }
    if (node->kind == MMGR__YAML_SCALAR && read_number(node->text, member))
        return MMGR_OK;
    snprintf(why, sizeof why, "has a row with a bad %s", member->name);
    return bad_member(reading, node, MMGR__YAML_FILES_KEY, why);
}

static enum mmgr_result read_file_row(const struct reading *reading, const struct mmgr__yaml *row,
                                      mmgr_record_builder *builder)
{
    uint64_t mtime = 0, flags = 0;
    struct mmgr__file file = {.path = NULL};
    const struct row_member members[] = {
        {"path", &file.path, NULL, 0, 0},
        {"size", NULL, &file.size, INT64_MAX, 0},
        {"sha256", &file.sha256, NULL, 0, 0},
        {"git_sha1", &file.git_sha1, NULL, 0, 0},
        {"xxh3", &file.xxh3, NULL, 0, 0},
        {"blocks", &file.blocks, NULL, 0, 0},
        {"mtime_ns", NULL, &mtime, INT64_MAX, 1},
        {"device", NULL, &file.device, UINT64_MAX, 0},
        {"inode", NULL, &file.inode, UINT64_MAX, 0},
        {"flags", NULL, &flags, UINT32_MAX, 0},
    };
    const size_t count = sizeof members / sizeof members[0];
    enum mmgr_result result = MMGR_OK;

    if (row->kind != MMGR__YAML_MAP)
        return bad_member(reading, row, MMGR__YAML_FILES_KEY, "must be a list of maps");
    for (size_t i = 0; i < row->count && result == MMGR_OK; i++) {
        size_t at = 0;

        while (at < count && strcmp(members[at].name, row->keys[i]->text) != 0)
            at++;
        /* It could not be kept: rows are written as this release knows them. */
        result = at < count ? read_row_member(reading, &members[at], row->items[i])
                            : bad_member(reading, row->keys[i], MMGR__YAML_FILES_KEY,
                                         "has a row with an unknown member");
    }
    if (result != MMGR_OK)
        return result;
    if (file.path == NULL)
        return bad_member(reading, row, MMGR__YAML_FILES_KEY, "has a row without a path");
    if (file.path[0] != '\0' && mmgr__path_check_relative(file.path) != MMGR_OK)
        return bad_member(reading, mmgr__yaml_get(row, "path"), MMGR__YAML_FILES_KEY,
                          "has a row with an unsafe path");
    file.mtime_ns = (int64_t)mtime;
    file.flags = (uint32_t)flags;
    return mmgr__record_builder_add_file(builder, &file);
}

static enum mmgr_result read_files(const struct reading *reading, mmgr_record_builder *builder)
{
    const struct mmgr__yaml *list = mmgr__yaml_get(reading->node, MMGR__YAML_FILES_KEY);
    enum mmgr_result result = MMGR_OK;

    if (list == NULL)
        return MMGR_OK;
    if (list->kind != MMGR__YAML_LIST)
        return bad_member(reading, list, MMGR__YAML_FILES_KEY, "must be a list");
    for (size_t i = 0; i < list->count && result == MMGR_OK; i++)
        result = read_file_row(reading, list->items[i], builder);
    return result;
}

/* ---- models */

/* Times that nobody wrote, and paths in the form that is stored. */
static enum mmgr_result complete(const struct reading *reading, int64_t when,
                                 mmgr_record_builder *builder)
{
    static const enum mmgr_field times[] = {MMGR_FIELD_CREATED_AT, MMGR_FIELD_UPDATED_AT};
    enum mmgr_result result = mmgr__store_canonical(reading->place, builder);
    char now[32];

    mmgr__format_time(when, now);
    for (size_t i = 0; i < 2 && result == MMGR_OK; i++) {
        if (mmgr__record_builder_text(builder, times[i]) == NULL)
            result = mmgr__record_builder_put(builder, times[i], now);
    }
    return result;
}

static enum mmgr_result read_model(const struct reading *reading, int64_t when,
                                   mmgr_record **record)
{
    mmgr_record_builder *builder = NULL;
    struct mmgr__buf json = {0};
    enum mmgr_result result;

    if (reading->node->kind != MMGR__YAML_MAP)
        return bad_member(reading, reading->node, "key", "must have a map of fields");
    result = to_json(reading, &json);
    if (result == MMGR_OK) {
        result =
            mmgr__store_read_row(reading->place, reading->key, json.data, json.length, &builder);
        if (result == MMGR_OK)
            result = complete(reading, when, builder);
        result = place_error(reading, result);
    }
    if (result == MMGR_OK)
        result = read_files(reading, builder);
    if (result == MMGR_OK)
        result = place_error(reading, mmgr__record_builder_finish(builder, record));
    mmgr_record_builder_free(builder);
    mmgr__buf_free(&json);
    return result;
}

static enum mmgr_result check_root(const char *path, const struct mmgr__yaml *root)
{
    const struct mmgr__yaml *version = mmgr__yaml_get(root, MMGR__YAML_VERSION_KEY);
    const struct mmgr__yaml *models = mmgr__yaml_get(root, MMGR__YAML_MODELS_KEY);
    uint64_t number = 0;
    char why[128];

    if (version == NULL && mmgr__yaml_get(root, "__metadata__") != NULL)
        return not_ours(path, root,
                        NOT_OURS " but a models.yaml of InvokeAI, whose models can be imported");
    if (root->kind != MMGR__YAML_MAP || version == NULL)
        return not_ours(path, root, NOT_OURS " (it has no " MMGR__YAML_VERSION_KEY ")");
    if (version->kind != MMGR__YAML_SCALAR || !mmgr__parse_u64(version->text, &number) ||
        number == 0)
        return not_ours(path, version, NOT_OURS " (" MMGR__YAML_VERSION_KEY " is no version)");
    if (number > MMGR__YAML_VERSION) {
        snprintf(why, sizeof why,
                 "was written by a newer release: it has version %llu, and this library knows "
                 "versions up to %d",
                 (unsigned long long)number, MMGR__YAML_VERSION);
        return not_ours(path, version, why);
    }
    if (models != NULL && models->kind != MMGR__YAML_MAP &&
        !(models->kind == MMGR__YAML_SCALAR && mmgr__yaml_is_null(models->text)))
        return not_ours(path, models, MMGR__YAML_MODELS_KEY " must be a map");
    return MMGR_OK;
}

static enum mmgr_result read_models(const char *path, const struct mmgr__store_place *place,
                                    int64_t when, struct mmgr__yaml_file *file)
{
    const struct mmgr__yaml *models = mmgr__yaml_get(file->root, MMGR__YAML_MODELS_KEY);
    enum mmgr_result result = MMGR_OK;

    if (models == NULL || models->count == 0)
        return MMGR_OK;
    file->records = mmgr__alloc0(models->count, sizeof(mmgr_record *));
    if (file->records == NULL)
        return mmgr__oom();
    while (file->count < models->count && result == MMGR_OK) {
        struct reading reading = {path, place, models->keys[file->count]->text,
                                  models->items[file->count]};

        result = read_model(&reading, when, &file->records[file->count]);
        file->count += result == MMGR_OK;
    }
    return result;
}

/* Length of the end of line that stands here, of those that YAML knows; 0: none. */
static size_t line_end(const char *at)
{
    static const char *const ends[] = {"\r\n",     "\n",           "\r",
                                       "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9"};

    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        if (*at == ends[i][0] && mmgr__starts_with(at, ends[i]))
            return strlen(ends[i]);
    }
    return 0;
}

/* Nothing, or nothing but a comment, up to the end of the line? */
static int is_blank(const char *at)
{
    at += strspn(at, " \t");
    return *at == '\0' || *at == '#' || line_end(at) > 0;
}

/* Blank lines, comments, the start of the document, and directives when that follows. */
static char *head_of(const char *text)
{
    const char *at = text + (mmgr__starts_with(text, "\xef\xbb\xbf") ? 3 : 0), *end = at;
    int directives = 0, begun = 0;

    while (*at != '\0') {
        int begins = !begun && mmgr__starts_with(at, "---") && at[3] != '#' && is_blank(at + 3);

        if (*at != '%' && !begins && !is_blank(at))
            break;
        directives = !begins && (directives || *at == '%');
        begun |= begins;
        while (*at != '\0' && line_end(at) == 0)
            at++;
        at += line_end(at);
        if (!directives)
            end = at;
    }
    return mmgr__strndup(text, (size_t)(end - text));
}

enum mmgr_result mmgr__yaml_file_read(const char *text, size_t length, const char *path,
                                      const struct mmgr__store_place *place, int64_t when,
                                      struct mmgr__yaml_file *file)
{
    struct mmgr__yaml_file made = {.head = head_of(text)};
    enum mmgr_result result = made.head != NULL ? MMGR_OK : mmgr__oom();

    if (result == MMGR_OK)
        result = mmgr__yaml_parse(text, length, MMGR_ERR_STORE_INCOMPATIBLE, path, &made.root);
    if (result == MMGR_OK && strlen(made.head) == length) {
        /* Nothing but comments is a store that is about to be made. */
        mmgr__yaml_free(made.root);
        made.root = NULL;
    } else if (result == MMGR_OK) {
        result = check_root(path, made.root);
        if (result == MMGR_OK)
            result = read_models(path, place, when, &made);
    }
    if (result == MMGR_OK)
        *file = made;
    else
        mmgr__yaml_file_free(&made);
    return result;
}

void mmgr__yaml_file_free(struct mmgr__yaml_file *file)
{
    for (size_t i = 0; i < file->count; i++)
        mmgr_record_unref(file->records[i]);
    mmgr__free(file->records);
    mmgr__yaml_free(file->root);
    mmgr__free(file->head);
    *file = (struct mmgr__yaml_file){.count = 0};
}
