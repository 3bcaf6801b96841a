/* SPDX-License-Identifier: MIT */
/* Writing and reading side-cars. What is read is input from outside, like any file in a model's
 * folder. */
#include "store/sidecar.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/path.h"

#define VERSION      1
#define MOST_BYTES   ((size_t)64 << 20)
#define MOST_FILES   100000
#define NAME_VERSION "modelmgr_record"

/* The hashes of a manifest row: member, place in the row, hex digits (0: any number of SHA-256). */
static const struct {
    const char *name;
    size_t offset, digits;
} hashes[] = {
    {"sha256", offsetof(struct mmgr__file, sha256), 64},
    {"git_sha1", offsetof(struct mmgr__file, git_sha1), 40},
    {"xxh3", offsetof(struct mmgr__file, xxh3), 32},
    {"blocks", offsetof(struct mmgr__file, blocks), 0},
};
#define HASH_COUNT (sizeof hashes / sizeof hashes[0])

static char **hash_of(struct mmgr__file *file, size_t index)
{
    return (char **)((char *)file + hashes[index].offset);
}

/* Is the model one file? Its side-car lies beside it then, else in it. */
static int is_single(const mmgr_record *record)
{
    return record->file_count == 1 && record->files[0].path[0] == '\0';
}

/* --- writing */

static void write_row(struct mmgr__buf *json, const struct mmgr__file *row)
{
    struct mmgr__file file = *row;

    mmgr__buf_puts(json, "{\"path\":");
    mmgr__buf_json_string(json, file.path);
    mmgr__buf_printf(json, ",\"size\":%llu,\"mtime_ns\":%lld", (unsigned long long)file.size,
                     (long long)file.mtime_ns);
    for (size_t i = 0; i < HASH_COUNT; i++) {
        if (*hash_of(&file, i) == NULL)
            continue;
        mmgr__buf_printf(json, ",\"%s\":", hashes[i].name);
        mmgr__buf_json_string(json, *hash_of(&file, i));
    }
    mmgr__buf_puts(json, "}");
}

/* The record as it is stored, but with its path relative to the side-car's folder. */
static char *movable_json(const mmgr_record *record)
{
    struct mmgr_record copy = *record;
    const char *path = record->text[MMGR_FIELD_PATH];

    copy.text[MMGR_FIELD_PATH] = (char *)(is_single(record) ? mmgr__path_basename(path) : "");
    return mmgr__record_stored_json(&copy);
}

enum mmgr_result mmgr__sidecar_write(const char *folder, const mmgr_record *record)
{
    char *path = mmgr__path_join(folder, MMGR__SIDECAR_NAME), *stored = movable_json(record), *text;
    struct mmgr__buf json = {.limit = MOST_BYTES};
    enum mmgr_result result = MMGR_OK;

    mmgr__buf_printf(&json, "{\"" NAME_VERSION "\":%d,\"record\":", VERSION);
    mmgr__buf_puts(&json, stored != NULL ? stored : "");
    mmgr__buf_puts(&json, ",\"files\":[");
    for (uint32_t i = 0; i < record->file_count; i++) {
        mmgr__buf_puts(&json, i > 0 ? "," : "");
        write_row(&json, &record->files[i]);
    }
    mmgr__buf_puts(&json, "]}\n");
    text = mmgr__buf_take(&json);
    if (path == NULL || stored == NULL || text == NULL) {
        result = mmgr__oom();
    } else {
        int error = mmgr__io_write_file(path, text, strlen(text), 0644);

        if (error < 0)
            result = mmgr__fail_errno(-error, "write", path);
    }
    mmgr__free(text);
    mmgr__free(stored);
    mmgr__free(path);
    return result;
}

/* --- reading */

/* The file whole, reached without a link. */
static enum mmgr_result read_whole(const char *root, const char *path, char **text, size_t *length)
{
    int dirfd = mmgr__io_open_dir(AT_FDCWD, root);
    int fd = dirfd < 0 ? dirfd : mmgr__io_open_beneath(dirfd, path, O_RDONLY | O_NONBLOCK, 0);
    struct stat st;
    enum mmgr_result result = MMGR_OK;

    mmgr__io_close(dirfd);
    if (fd < 0)
        return mmgr__fail_errno(fd == -ENOTDIR ? ENOENT : -fd, "open", path);
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size > MOST_BYTES) {
        result = mmgr__fail(MMGR_ERR_INVALID_FILE, "%s is no file of a side-car's size", path);
    } else {
        char *data = mmgr__alloc((size_t)st.st_size + 1);
        int64_t got = data == NULL ? -ENOMEM : mmgr__io_pread(fd, data, (size_t)st.st_size, 0);

        if (got >= 0) {
            data[got] = '\0';
            *text = data;
            *length = (size_t)got;
        } else {
            mmgr__free(data);
            result = mmgr__fail_errno((int)-got, "read", path);
        }
    }
    mmgr__io_close(fd);
    return result;
}

static enum mmgr_result invalid(const char *path, const char *why)
{
    mmgr__fail(MMGR_ERR_INVALID_FILE, "%s: %s", path, why);
    mmgr__error_set_subject(path);
    return MMGR_ERR_INVALID_FILE;
}

enum part { PART_VERSION, PART_RECORD, PART_FILES, PART_COUNT };

struct span {
    const char *text; /* NULL: not there */
    size_t length;
};

/* Where the values of the members lie in the text; the record's is then read byte for byte. */
static enum mmgr_result find_parts(const char *path, const char *text, size_t length,
                                   struct span parts[PART_COUNT])
{
    static const char *const names[PART_COUNT] = {NAME_VERSION, "record", "files"};
    struct mmgr__jscan scan;
    enum mmgr__jscan_kind kind;

    mmgr__jscan_init(&scan, text, length);
    if (mmgr__jscan_next(&scan) != MMGR__JSCAN_OBJECT)
        return invalid(path, "this is no side-car");
    while ((kind = mmgr__jscan_next(&scan)) == MMGR__JSCAN_KEY) {
        struct span key = {text + scan.start, scan.end - scan.start};
        size_t start;

        kind = mmgr__jscan_next(&scan);
        start = scan.start;
        if (!mmgr__jscan_skip(&scan, kind))
            return invalid(path, scan.problem != NULL ? scan.problem : "its JSON is broken");
        for (int i = 0; i < PART_COUNT; i++) {
            if (strlen(names[i]) != key.length || memcmp(names[i], key.text, key.length) != 0)
                continue;
            if (parts[i].text != NULL)
                return invalid(path, "a member is there twice");
            parts[i] = (struct span){text + start, scan.at - start};
        }
    }
    if (kind != MMGR__JSCAN_OBJECT_END || mmgr__jscan_next(&scan) != MMGR__JSCAN_END)
        return invalid(path, scan.problem != NULL ? scan.problem : "its JSON is broken");
    return MMGR_OK;
}

static enum mmgr_result check_parts(const char *path, const struct span parts[PART_COUNT])
{
    uint64_t version = 0;

    if (parts[PART_VERSION].text == NULL ||
        !mmgr__jscan_u64(parts[PART_VERSION].text, parts[PART_VERSION].length, &version) ||
        version == 0)
        return invalid(path, "this is no side-car");
    if (version > VERSION)
        return mmgr__fail(MMGR_ERR_UNSUPPORTED, "%s was written by a newer release", path);
    if (parts[PART_RECORD].text == NULL || parts[PART_FILES].text == NULL)
        return invalid(path, "it lacks the record or its files");
    return MMGR_OK;
}

static int is_size(const json_t *value)
{
    return json_is_integer(value) && json_integer_value(value) >= 0;
}

/* One row into `file`, whose texts are lent by the JSON. */
static enum mmgr_result read_row(const char *path, const json_t *row, int single,
                                 struct mmgr__file *file)
{
    const json_t *mtime = json_object_get(row, "mtime_ns");

    *file = (struct mmgr__file){.path = (char *)mmgr__json_text(row, "path"),
                                .size = (uint64_t)json_integer_value(json_object_get(row, "size")),
                                .mtime_ns = json_integer_value(mtime),
                                .flags = MMGR_FILE_OWNED};
    if (file->path == NULL || !is_size(json_object_get(row, "size")) ||
        (mtime != NULL && !json_is_integer(mtime)) || single != (file->path[0] == '\0'))
        return invalid(path, "a row of its files has no path or no size");
    if (!single && mmgr__path_check_relative(file->path) != MMGR_OK)
        return MMGR_ERR_UNSAFE_PATH;
    for (size_t i = 0; i < HASH_COUNT; i++) {
        const json_t *value = json_object_get(row, hashes[i].name);
        const char *text = json_string_value(value);
        size_t length = text != NULL ? strlen(text) : 0;

        if (value == NULL)
            continue;
        if (length == 0 || !mmgr__is_hex(text, length) ||
            (hashes[i].digits != 0 ? length != hashes[i].digits : length % 64 != 0))
            return invalid(path, "a row of its files has a malformed hash");
        *hash_of(file, i) = (char *)text;
    }
    return MMGR_OK;
}

static enum mmgr_result check_distinct(const char *path, struct mmgr__strings *names)
{
    mmgr__strings_sort(names);
    for (size_t i = 1; i < names->count; i++) {
        if (strcmp(names->items[i - 1], names->items[i]) == 0)
            return invalid(path, "a file is there twice");
    }
    return MMGR_OK;
}

static enum mmgr_result read_files(const char *path, struct span part, int single,
                                   mmgr_record_builder *builder)
{
    struct mmgr__strings names = {0};
    struct mmgr__file file;
    const json_t *row;
    size_t index;
    json_t *rows;
    enum mmgr_result result =
        mmgr__json_parse(part.text, part.length, MMGR_ERR_INVALID_FILE, path, &rows);

    if (result != MMGR_OK)
        return result;
    if (!json_is_array(rows) || json_array_size(rows) > MOST_FILES ||
        (single ? json_array_size(rows) != 1 : json_array_size(rows) == 0))
        result = invalid(path, "its files are not those of a model");
    json_array_foreach(rows, index, row)
    {
        if (result == MMGR_OK)
            result = read_row(path, row, single, &file);
        if (result == MMGR_OK && !mmgr__strings_add(&names, file.path))
            result = mmgr__oom();
        if (result == MMGR_OK)
            result = mmgr__record_builder_add_file(builder, &file);
    }
    if (result == MMGR_OK)
        result = check_distinct(path, &names);
    mmgr__strings_free(&names);
    json_decref(rows);
    return result;
}

/* The path that the record has where its side-car lies; *single is told by the path inside. */
static enum mmgr_result set_path(const char *root, const char *folder, const char *path,
                                 mmgr_record_builder *builder, int *single)
{
    const char *inside = mmgr__record_builder_text(builder, MMGR_FIELD_PATH);
    char *below, *full;
    enum mmgr_result result;

    *single = inside != NULL;
    if (mmgr__record_builder_text(builder, MMGR_FIELD_KEY) == NULL)
        return invalid(path, "its record has no key");
    if (*single && mmgr__path_check_component(inside) != MMGR_OK)
        return MMGR_ERR_UNSAFE_PATH;
    below = *single ? mmgr__path_join(folder, inside) : mmgr__strdup(folder);
    full = below != NULL ? mmgr__path_join(root, below) : NULL;
    result = full != NULL ? mmgr_record_builder_set(builder, MMGR_FIELD_PATH, full) : mmgr__oom();
    if (result == MMGR_OK)
        result = mmgr__record_builder_set_location(builder, full);
    mmgr__free(full);
    mmgr__free(below);
    return result;
}

static enum mmgr_result read_text(const char *root, const char *folder, const char *path,
                                  const char *text, size_t length, mmgr_record **record)
{
    struct span parts[PART_COUNT] = {{NULL, 0}};
    mmgr_record_builder *builder = NULL;
    int single = 0;
    enum mmgr_result result = find_parts(path, text, length, parts);

    if (result == MMGR_OK)
        result = check_parts(path, parts);
    if (result == MMGR_OK)
        result = mmgr_record_builder_new(NULL, &builder);
    if (result == MMGR_OK)
        result =
            mmgr__record_builder_load(builder, parts[PART_RECORD].text, parts[PART_RECORD].length);
    if (result == MMGR_OK)
        result = set_path(root, folder, path, builder, &single);
    if (result == MMGR_OK)
        result = read_files(path, parts[PART_FILES], single, builder);
    if (result == MMGR_OK)
        result = mmgr__record_builder_finish(builder, record);
    mmgr_record_builder_free(builder);
    return result;
}

enum mmgr_result mmgr__sidecar_read(const char *root, const char *folder, mmgr_record **record)
{
    char *path = mmgr__path_join(folder, MMGR__SIDECAR_NAME), *text = NULL;
    size_t length = 0;
    enum mmgr_result result = path != NULL ? read_whole(root, path, &text, &length) : mmgr__oom();

    if (result == MMGR_OK)
        result = read_text(root, folder, path, text, length, record);
    mmgr__free(text);
    mmgr__free(path);
    return result;
}

/* --- following the record */

static int is_of(const mmgr_record *found, const mmgr_record *record)
{
    return strcmp(mmgr_record_text(found, MMGR_FIELD_KEY),
                  mmgr_record_text(record, MMGR_FIELD_KEY)) == 0;
}

/* The folder, below root, in which the side-car of a model at `below` lies. Owned. */
static char *folder_of(const char *below, const mmgr_record *record)
{
    if (!is_single(record))
        return mmgr__strdup(below);
    return strchr(below, '/') != NULL ? mmgr__path_dirname(below) : mmgr__strdup("");
}

char *mmgr__sidecar_find(const char *root, const char *below, const mmgr_record *record)
{
    char *folder = folder_of(below, record), *path = NULL;
    mmgr_record *found = NULL;
    struct mmgr_error error;
    enum mmgr_result result;

    mmgr__error_save(&error);
    result = folder != NULL ? mmgr__sidecar_read(root, folder, &found) : mmgr__oom();
    if (result == MMGR_OK && is_of(found, record))
        path = mmgr__path_join(folder, MMGR__SIDECAR_NAME);
    else if (result != MMGR_OK && result != MMGR_ERR_PATH_NOT_FOUND)
        mmgr__log(MMGR_LOG_WARNING, "store", "side-car left as it is: %s",
                  mmgr_error_message(mmgr_last_error()));
    mmgr__error_restore(&error);
    mmgr_record_unref(found);
    mmgr__free(folder);
    return path;
}

void mmgr__sidecar_refresh(const char *models_dir, const mmgr_record *record)
{
    const char *below = mmgr_record_text(record, MMGR_FIELD_PATH);
    char *found, *path, *folder;
    struct mmgr_error error;

    if (models_dir == NULL || below == NULL || below[0] == '/')
        return;
    found = mmgr__sidecar_find(models_dir, below, record);
    if (found == NULL)
        return;
    mmgr__error_save(&error);
    path = mmgr__path_join(models_dir, found);
    folder = path != NULL ? mmgr__path_dirname(path) : NULL;
    if ((folder != NULL ? mmgr__sidecar_write(folder, record) : mmgr__oom()) != MMGR_OK)
        mmgr__log(MMGR_LOG_WARNING, "store", "the side-car of model %s is out of date: %s",
                  mmgr_record_text(record, MMGR_FIELD_KEY), mmgr_error_message(mmgr_last_error()));
    mmgr__error_restore(&error);
    mmgr__free(folder);
    mmgr__free(path);
    mmgr__free(found);
}
