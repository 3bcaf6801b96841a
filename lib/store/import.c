/* SPDX-License-Identifier: MIT */
/* Import of another tool's models: options, the list of records and of what was skipped, adding,
 * report. */
#include "store/import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/io.h"
#include "base/options.h"
#include "base/path.h"
#include "base/text.h"
#include "base/yaml.h"
#include "store/store.h"

#define CONFIG_MAX ((size_t)1 << 20)

static const struct {
    enum mmgr_import_kind kind;
    const char *folder; /* of the source in its root */
    enum mmgr_result (*read)(struct mmgr__import *import);
} kinds[] = {
    {MMGR_IMPORT_INVOKEAI, "databases", mmgr__import_invokeai},
    {MMGR_IMPORT_MODELS_YAML, "configs", mmgr__import_yaml},
};
#define KIND_COUNT (sizeof kinds / sizeof kinds[0])

enum mmgr_result mmgr__import_unfit(const char *path, const char *format, ...)
{
    char why[512];
    va_list args;

    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    mmgr__fail(MMGR_ERR_INVALID_FILE, "%s %s", path, why);
    mmgr__error_set_subject(path);
    return MMGR_ERR_INVALID_FILE;
}

/* ---- items */

static void clear_item(struct mmgr__import_item *item)
{
    mmgr_record_unref(item->record);
    mmgr__free(item->key);
    mmgr__free(item->name);
    mmgr__free(item->path);
    mmgr__free(item->field);
    mmgr__free(item->reason);
    memset(item, 0, sizeof *item);
}

void mmgr__import_clear(struct mmgr__import *import)
{
    for (size_t i = 0; i < import->count; i++)
        clear_item(&import->items[i]);
    mmgr__free(import->items);
    import->items = NULL;
    import->count = import->capacity = 0;
}

static enum mmgr_result append(struct mmgr__import *import, const struct mmgr__import_item *item)
{
    void *items = import->items;

    if (!mmgr__grow(&items, &import->capacity, import->count + 1, sizeof *item))
        return mmgr__oom();
    import->items = items;
    import->items[import->count++] = *item;
    return MMGR_OK;
}

/* Copy a text of the source for the report: what is no UTF-8 is replaced, what is too long for
 * any field is cut. 0 = no memory. */
static int copy_text(char **to, const char *text)
{
    *to = NULL;
    if (text == NULL)
        return 1;
    *to = mmgr__strndup(text, strnlen(text, 8192));
    if (*to != NULL)
        mmgr__text_one_line(*to);
    return *to != NULL;
}

/* What makes an item a skipped one; the reason is the thread's last error. */
static enum mmgr_result describe_skip(struct mmgr__import_item *item, const char *key,
                                      const char *name, const char *path)
{
    struct mmgr_error cause;

    mmgr__error_save(&cause);
    memset(item, 0, sizeof *item);
    item->code = cause.code;
    if (copy_text(&item->key, key) && copy_text(&item->name, name) &&
        copy_text(&item->path, path) && copy_text(&item->field, mmgr_error_field(&cause)) &&
        copy_text(&item->reason, mmgr_error_message(&cause)))
        return MMGR_OK;
    clear_item(item);
    return mmgr__oom();
}

enum mmgr_result mmgr__import_skip(struct mmgr__import *import, const char *key, const char *name,
                                   const char *path)
{
    struct mmgr__import_item item;
    enum mmgr_result result = describe_skip(&item, key, name, path);

    if (result == MMGR_OK)
        result = append(import, &item);
    if (result != MMGR_OK)
        clear_item(&item);
    return result;
}

/* Whether a failure is the fault of one model, which the others need not pay for. */
static int is_of_one_model(enum mmgr_result result)
{
    return result == MMGR_ERR_INVALID_CONFIG || result == MMGR_ERR_DUPLICATE_MODEL;
}

enum mmgr_result mmgr__import_take(struct mmgr__import *import, mmgr_record_builder *builder,
                                   enum mmgr_result result, const char *key)
{
    struct mmgr__import_item item = {0};
    const char *known = mmgr__record_builder_text(builder, MMGR_FIELD_KEY);

    if (result == MMGR_OK)
        result = mmgr__record_builder_finish(builder, &item.record);
    if (is_of_one_model(result))
        return mmgr__import_skip(import, known != NULL ? known : key,
                                 mmgr__record_builder_text(builder, MMGR_FIELD_NAME),
                                 mmgr__record_builder_text(builder, MMGR_FIELD_PATH));
    if (result == MMGR_OK)
        result = append(import, &item);
    if (result != MMGR_OK)
        clear_item(&item);
    return result;
}

/* The record of an item is not taken after all, for the thread's last error. */
static enum mmgr_result turn_down(struct mmgr__import_item *item)
{
    struct mmgr__import_item skipped;
    enum mmgr_result result =
        describe_skip(&skipped, mmgr_record_text(item->record, MMGR_FIELD_KEY),
                      mmgr_record_text(item->record, MMGR_FIELD_NAME),
                      mmgr_record_text(item->record, MMGR_FIELD_PATH));

    if (result != MMGR_OK)
        return result;
    clear_item(item);
    *item = skipped;
    return MMGR_OK;
}

/* ---- what readers use */

enum mmgr_result mmgr__import_set(mmgr_record_builder *builder, enum mmgr_field field,
                                  const char *text)
{
    struct mmgr__buf json = {0};
    enum mmgr_result result;
    char *document;

    mmgr__buf_printf(&json, "{\"%s\":", mmgr_field_name(field));
    mmgr__buf_json_string(&json, text);
    mmgr__buf_puts(&json, "}");
    document = mmgr__buf_take(&json);
    if (document == NULL)
        return mmgr__oom();
    result = mmgr__record_builder_load(builder, document, strlen(document));
    mmgr__free(document);
    return result;
}

static int exists(const char *path)
{
    struct stat st;

    return mmgr__io_stat(AT_FDCWD, path, &st, 1) == 0;
}

char *mmgr__import_resolve(const char *path, const char *folder, const char *other)
{
    char *first = NULL, *second = NULL;

    if (!mmgr__store_outward(path, folder, &first))
        return NULL;
    if (first == NULL)
        return mmgr__strdup(path);
    if (other == NULL || exists(first))
        return first;
    if (mmgr__store_outward(path, other, &second) && !exists(second)) {
        mmgr__free(second);
        return first;
    }
    mmgr__free(first);
    return second;
}

/* ---- where the source lies */

/* The folder above a folder of this name, or the file's own. Owned. */
static char *find_root(const char *path, const char *name)
{
    char *folder = mmgr__path_dirname(path), *root;

    if (folder == NULL || strcmp(mmgr__path_basename(folder), name) != 0)
        return folder;
    root = mmgr__path_dirname(folder);
    mmgr__free(folder);
    return root;
}

/* The member models_dir of ROOT/invokeai.yaml; *models_dir stays where there is none. */
static enum mmgr_result read_models_dir(const char *root, char **models_dir)
{
    const struct mmgr__yaml *member;
    struct mmgr__yaml *tree = NULL;
    char *path = mmgr__path_join(root, "invokeai.yaml"), *text = NULL;
    enum mmgr_result result = MMGR_OK;
    size_t length = 0;
    int error =
        path != NULL ? mmgr__io_read_file(AT_FDCWD, path, CONFIG_MAX, &text, &length) : -ENOMEM;

    if (error == -ENOMEM)
        result = mmgr__oom();
    else if (error != 0 && error != -ENOENT)
        result = mmgr__fail_errno(-error, "read", path);
    if (error == 0)
        result = mmgr__yaml_parse(text, length, MMGR_ERR_INVALID_FILE, path, &tree);
    member = mmgr__yaml_get(tree, "models_dir");
    if (result == MMGR_OK && member != NULL && member->kind == MMGR__YAML_SCALAR &&
        member->text[0] != '\0') {
        *models_dir = mmgr__import_resolve(member->text, root, NULL);
        result = *models_dir != NULL ? MMGR_OK : mmgr__oom();
    }
    mmgr__yaml_free(tree);
    mmgr__free(text);
    mmgr__free(path);
    return result;
}

static enum mmgr_result find_models_dir(struct mmgr__import *import, const char *given)
{
    enum mmgr_result result = MMGR_OK;

    if (given != NULL) {
        import->models_dir = mmgr__path_absolute(given);
    } else {
        result = read_models_dir(import->root, &import->models_dir);
        if (result == MMGR_OK && import->models_dir == NULL)
            import->models_dir = mmgr__path_join(import->root, "models");
    }
    return result != MMGR_OK || import->models_dir != NULL ? result : mmgr__oom();
}

static enum mmgr_result locate(struct mmgr__import *import, const struct mmgr_import_options *given,
                               const char *folder)
{
    struct stat st;
    int error;

    import->path = mmgr__path_absolute(given->path);
    if (import->path == NULL)
        return mmgr__oom();
    error = mmgr__io_stat(AT_FDCWD, import->path, &st, 1);
    if (error != 0)
        return mmgr__fail_errno(-error, "import", import->path);
    if (!S_ISREG(st.st_mode))
        return mmgr__import_unfit(import->path, "is no regular file");
    import->root = find_root(import->path, folder);
    return import->root != NULL ? find_models_dir(import, given->models_dir) : mmgr__oom();
}

/* ---- into the store */

/* Pointers to items with a record, sorted by one of their fields and then by their place in the
 * list. */
struct by_field {
    const char *text;
    struct mmgr__import_item *item;
};

static int compare(const void *a, const void *b)
{
    const struct by_field *one = a, *two = b;
    int order = strcmp(one->text, two->text);

    return order != 0 ? order : one->item < two->item ? -1 : one->item > two->item;
}

/* Of records of the source that share a key or a path the first is taken. */
static enum mmgr_result turn_down_doubles(struct mmgr__import *import, enum mmgr_field field)
{
    struct by_field *sorted = mmgr__alloc0(import->count + 1, sizeof *sorted);
    const struct by_field *first = sorted;
    enum mmgr_result result = MMGR_OK;
    size_t count = 0;

    if (sorted == NULL)
        return mmgr__oom();
    for (size_t i = 0; i < import->count; i++) {
        struct mmgr__import_item *item = &import->items[i];

        if (item->record != NULL)
            sorted[count++] = (struct by_field){mmgr_record_text(item->record, field), item};
    }
    qsort(sorted, count, sizeof *sorted, compare);
    for (size_t i = 1; i < count && result == MMGR_OK; i++) {
        if (strcmp(sorted[i].text, first->text) != 0) {
            first = &sorted[i];
            continue;
        }
        mmgr__store_duplicate(mmgr_field_name(field), first->text,
                              mmgr_record_text(first->item->record, MMGR_FIELD_KEY));
        result = turn_down(sorted[i].item);
    }
    mmgr__free(sorted);
    return result;
}

/* The records that are handed to the store, and the items that they belong to. */
struct handed {
    const mmgr_record **records;
    struct mmgr__import_item **items;
};

static enum mmgr_result turn_down_handed(size_t index, void *user)
{
    return turn_down(((struct handed *)user)->items[index]);
}

/* Add the records in one transaction; one that is a duplicate is turned down. */
static enum mmgr_result add_all(mmgr_store *store, struct mmgr__import *import)
{
    struct handed handed = {mmgr__alloc0(import->count + 1, sizeof(mmgr_record *)),
                            mmgr__alloc0(import->count + 1, sizeof(struct mmgr__import_item *))};
    enum mmgr_result result = MMGR_OK;
    size_t count = 0;

    if (handed.records != NULL && handed.items != NULL) {
        for (size_t i = 0; i < import->count; i++) {
            if (import->items[i].record == NULL)
                continue;
            handed.records[count] = import->items[i].record;
            handed.items[count++] = &import->items[i];
        }
        result = mmgr__store_add_batch(store, handed.records, count, turn_down_handed, &handed);
    } else {
        result = mmgr__oom();
    }
    mmgr__free(handed.records);
    mmgr__free(handed.items);
    return result;
}

/* DUPLICATE_MODEL when adding the record would be. */
static enum mmgr_result check_one(mmgr_store *store, const mmgr_record *record)
{
    struct mmgr_search_options search = {.struct_size = sizeof search, .limit = 1};
    const char *key = mmgr_record_text(record, MMGR_FIELD_KEY);
    mmgr_record_list *list;
    int taken = 0;
    enum mmgr_result result = mmgr_store_exists(store, key, &taken);

    if (result == MMGR_OK && taken)
        result = mmgr__store_duplicate("key", key, key);
    if (result != MMGR_OK)
        return result;
    search.path = mmgr_record_text(record, MMGR_FIELD_PATH);
    result = mmgr_store_search(store, &search, &list);
    if (result != MMGR_OK)
        return result;
    if (mmgr_record_list_count(list) > 0)
        result = mmgr__store_duplicate(
            "path", search.path, mmgr_record_text(mmgr_record_list_at(list, 0), MMGR_FIELD_KEY));
    mmgr_record_list_free(list);
    return result;
}

static enum mmgr_result check_all(mmgr_store *store, struct mmgr__import *import)
{
    enum mmgr_result result = MMGR_OK;

    for (size_t i = 0; i < import->count && result == MMGR_OK; i++) {
        if (import->items[i].record == NULL)
            continue;
        result = check_one(store, import->items[i].record);
        if (is_of_one_model(result))
            result = turn_down(&import->items[i]);
    }
    return result;
}

/* ---- report */

static int is_missing(const mmgr_record *record)
{
    const char *path = mmgr_record_text(record, MMGR_FIELD_PATH);

    return strstr(path, "://") == NULL && !exists(path);
}

/* Append ,"name":[…]: this field of each record, or of those whose file is missing. */
static void write_list(struct mmgr__buf *json, const char *name, const struct mmgr__import *import,
                       enum mmgr_field field, int missing_only)
{
    const char *comma = "";

    mmgr__buf_printf(json, ",\"%s\":[", name);
    for (size_t i = 0; i < import->count; i++) {
        const mmgr_record *record = import->items[i].record;

        if (record == NULL || (missing_only && !is_missing(record)))
            continue;
        mmgr__buf_puts(json, comma);
        mmgr__buf_json_string(json, mmgr_record_text(record, field));
        comma = ",";
    }
    mmgr__buf_puts(json, "]");
}

static void write_member(struct mmgr__buf *json, const char *name, const char *text)
{
    mmgr__buf_printf(json, ",\"%s\":", name);
    mmgr__buf_json_string(json, text);
}

static void write_skipped(struct mmgr__buf *json, const struct mmgr__import *import)
{
    const char *comma = "";

    mmgr__buf_puts(json, ",\"skipped\":[");
    for (size_t i = 0; i < import->count; i++) {
        const struct mmgr__import_item *item = &import->items[i];

        if (item->record != NULL)
            continue;
        mmgr__buf_printf(json, "%s{\"code\":\"%s\"", comma, mmgr_result_name(item->code));
        write_member(json, "key", item->key);
        write_member(json, "name", item->name);
        write_member(json, "path", item->path);
        write_member(json, "field", item->field);
        write_member(json, "reason", item->reason);
        mmgr__buf_puts(json, "}");
        comma = ",";
    }
    mmgr__buf_puts(json, "]");
}

static enum mmgr_result write_report(const struct mmgr__import *import, int dry_run, char **report)
{
    struct mmgr__buf json = {0};
    char *source, *models_dir = NULL;

    if (!copy_text(&source, import->path) || !copy_text(&models_dir, import->models_dir)) {
        mmgr__free(source);
        return mmgr__oom();
    }
    mmgr__buf_printf(&json, "{\"dry_run\":%s", dry_run ? "true" : "false");
    write_list(&json, "added", import, MMGR_FIELD_KEY, 0);
    write_list(&json, "names", import, MMGR_FIELD_NAME, 0);
    write_skipped(&json, import);
    write_list(&json, "missing", import, MMGR_FIELD_KEY, 1);
    mmgr__buf_puts(&json, ",\"linked_bytes\":0");
    write_member(&json, "source", source);
    write_member(&json, "models_dir", models_dir);
    mmgr__buf_puts(&json, "}");
    mmgr__free(source);
    mmgr__free(models_dir);
    *report = mmgr__buf_take(&json);
    return *report != NULL ? MMGR_OK : mmgr__oom();
}

static enum mmgr_result check_options(const struct mmgr_import_options *given, size_t *kind)
{
    if ((given->flags & ~MMGR_IMPORT_DRY_RUN) != 0)
        return mmgr__bad_argument("flags");
    if (given->reserved != 0)
        return mmgr__bad_argument("reserved");
    if (given->path == NULL || given->path[0] == '\0')
        return mmgr__bad_argument("path");
    if (given->models_dir != NULL && given->models_dir[0] == '\0')
        return mmgr__bad_argument("models_dir");
    for (*kind = 0; *kind < KIND_COUNT; ++*kind) {
        if (kinds[*kind].kind == given->kind)
            return MMGR_OK;
    }
    return mmgr__bad_argument("kind");
}

enum mmgr_result mmgr_store_import(mmgr_store *store, const struct mmgr_import_options *options,
                                   char **report)
{
    struct mmgr_import_options given;
    struct mmgr__import import = {0};
    char *text = NULL;
    size_t kind;
    int dry_run;
    enum mmgr_result result;

    if (store == NULL || report == NULL)
        return mmgr__bad_argument(store == NULL ? "store" : "report");
    result = MMGR__IMPORT(given, options, models_dir);
    if (result == MMGR_OK)
        result = check_options(&given, &kind);
    if (result != MMGR_OK)
        return result;
    dry_run = (given.flags & MMGR_IMPORT_DRY_RUN) != 0;
    result = locate(&import, &given, kinds[kind].folder);
    if (result == MMGR_OK)
        result = kinds[kind].read(&import);
    if (result == MMGR_OK)
        result = turn_down_doubles(&import, MMGR_FIELD_KEY);
    if (result == MMGR_OK)
        result = turn_down_doubles(&import, MMGR_FIELD_PATH);
    if (result == MMGR_OK)
        result = dry_run ? check_all(store, &import) : add_all(store, &import);
    if (result == MMGR_OK)
        result = write_report(&import, dry_run, &text);
    mmgr__import_clear(&import);
    mmgr__free(import.path);
    mmgr__free(import.root);
    mmgr__free(import.models_dir);
    if (result == MMGR_OK)
        *report = text;
    return result;
}
