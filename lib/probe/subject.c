/* SPDX-License-Identifier: MIT */
/* What is being probed: its headers, its configs (read when a rule first asks), its name. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/path.h"
#include "probe/rules.h"

static const char *const suffixes[] = {
    ".safetensors.index.json", ".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf"};

/* File without its suffix, or folder name, of the absolute path. */
static char *make_name(const char *absolute, int folder)
{
    const char *base = mmgr__path_basename(absolute);
    size_t length = strlen(base);

    for (size_t i = 0; !folder && i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
        if (mmgr__ends_with_nocase(base, suffixes[i]) && length > strlen(suffixes[i]))
            return mmgr__strndup(base, length - strlen(suffixes[i]));
    return mmgr__strdup(base);
}

static char *make_hint(const char *absolute, const char *name)
{
    char *hint = NULL;

    if (strcmp(name, "vae") == 0) {
        char *parent = mmgr__path_dirname(absolute);
        hint = parent != NULL ? mmgr__strdup(mmgr__path_basename(parent)) : NULL;
        mmgr__free(parent);
    } else {
        hint = mmgr__strdup(name);
    }
    for (char *c = hint; c != NULL && *c != '\0'; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    return hint;
}

static enum mmgr_result add_names(struct mmgr__subject *subject, int folder)
{
    char *absolute = mmgr__path_absolute(subject->path);

    if (absolute == NULL)
        return mmgr__oom();
    subject->name = make_name(absolute, folder);
    subject->hint = subject->name != NULL ? make_hint(absolute, subject->name) : NULL;
    mmgr__free(absolute);
    return subject->hint == NULL ? mmgr__oom() : MMGR_OK;
}

/* Bytes of all files: what the model takes on the disk. */
static enum mmgr_result add_size(struct mmgr__subject *subject)
{
    struct mmgr__strings paths = {0};

    if (subject->folder == NULL) {
        for (uint32_t i = 0; i < mmgr_checkpoint_file_count(subject->checkpoint); i++)
            subject->file_size += mmgr__checkpoint_file_size(subject->checkpoint, i);
        return MMGR_OK;
    }
    enum mmgr_result result = mmgr__folder_walk(subject->folder, &paths);
    for (size_t i = 0; result == MMGR_OK && i < paths.count; i++) {
        struct stat st;
        char *path = mmgr__path_join(mmgr__folder_path(subject->folder), paths.items[i]);
        if (path == NULL)
            result = mmgr__oom();
        else if (mmgr__io_stat(AT_FDCWD, path, &st, 0) == 0)
            subject->file_size += (uint64_t)st.st_size;
        mmgr__free(path);
    }
    mmgr__strings_free(&paths);
    return result;
}

enum mmgr_result mmgr__subject_open(const char *path, const struct mmgr__rules *rules,
                                    struct mmgr__subject *subject)
{
    struct stat st;
    int error = mmgr__io_stat(AT_FDCWD, path, &st, 1);
    enum mmgr_result result = MMGR_OK;

    *subject = (struct mmgr__subject){.path = path};
    if (error != 0)
        return mmgr__fail_errno(-error, "open", path);
    if (S_ISDIR(st.st_mode))
        result = mmgr__folder_open(path, &subject->folder);
    if (result == MMGR_OK)
        result = mmgr_checkpoint_open(path, NULL, &subject->checkpoint);
    /* A folder may be known by its configs although its weights are in a format that is not
     * read. */
    if (result == MMGR_ERR_UNSUPPORTED && subject->folder != NULL) {
        mmgr__error_save(&subject->unread);
        result = MMGR_OK;
    }
    if (result == MMGR_OK)
        result = add_names(subject, subject->folder != NULL);
    if (result == MMGR_OK)
        result = add_size(subject);
    if (result == MMGR_OK)
        result = mmgr__hits_collect(&rules->patterns, subject->checkpoint, &subject->hits);
    if (result != MMGR_OK)
        mmgr__subject_close(subject);
    return result;
}

void mmgr__subject_close(struct mmgr__subject *subject)
{
    for (size_t i = 0; i < subject->config_count; i++) {
        mmgr__free(subject->configs[i].path);
        json_decref(subject->configs[i].root);
    }
    mmgr__free(subject->configs);
    mmgr__hits_free(&subject->hits);
    mmgr_checkpoint_unref(subject->checkpoint);
    mmgr__folder_close(subject->folder);
    mmgr__free(subject->name);
    mmgr__free(subject->hint);
    *subject = (struct mmgr__subject){0};
}

uint64_t mmgr__subject_bytes_read(const struct mmgr__subject *subject)
{
    return (subject->checkpoint != NULL ? mmgr_checkpoint_bytes_read(subject->checkpoint) : 0) +
           (subject->folder != NULL ? mmgr__folder_bytes_read(subject->folder) : 0);
}

const json_t *mmgr__subject_config(struct mmgr__subject *subject, const char *path)
{
    json_t *root = NULL;
    void *array = subject->configs;

    if (subject->folder == NULL || subject->failed != MMGR_OK)
        return NULL;
    for (size_t i = 0; i < subject->config_count; i++)
        if (strcmp(subject->configs[i].path, path) == 0)
            return subject->configs[i].root;
    char *copy = mmgr__strdup(path);
    if (copy == NULL || !mmgr__grow(&array, &subject->config_capacity, subject->config_count + 1,
                                    sizeof(subject->configs[0]))) {
        mmgr__free(copy);
        subject->failed = mmgr__oom();
        return NULL;
    }
    subject->configs = array;
    subject->failed = mmgr__folder_config(subject->folder, path, &root);
    subject->configs[subject->config_count++] = (struct mmgr__config_slot){copy, root};
    return root;
}

/* The shortest decimal text that is this number, whatever the host's locale: 0.13025, 1, 1e-05. */
static char *real_text(double number)
{
    char text[40];
    size_t length = 0;

    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, number);
        double again = strtod(text, NULL);
        if (again <= number && again >= number)
            break;
    }
    for (const char *c = text; *c != '\0'; c++) {
        if (strchr("0123456789e+-", *c) != NULL)
            text[length++] = *c;
        else if (length > 0 && text[length - 1] != '.')
            text[length++] = '.'; /* the locale's decimal point, however many bytes it has */
    }
    text[length] = '\0';
    return mmgr__strdup(text);
}

char *mmgr__subject_value(struct mmgr__subject *subject, const char *file, const char *field)
{
    const json_t *value = mmgr__subject_config(subject, file);

    while (value != NULL && field != NULL && *field != '\0') {
        char part[128];
        size_t length = strcspn(field, ".");
        uint64_t index;
        if (length >= sizeof(part))
            return NULL;
        memcpy(part, field, length);
        part[length] = '\0';
        field += length + (field[length] == '.');
        if (json_is_array(value))
            value = mmgr__parse_u64(part, &index) ? json_array_get(value, (size_t)index) : NULL;
        else
            value = json_object_get(value, part);
    }
    if (value == NULL || json_is_null(value))
        return NULL;
    char *text = json_is_string(value) ? mmgr__strdup(json_string_value(value))
                 : json_is_real(value) ? real_text(json_real_value(value))
                                       : mmgr__json_dump(value);
    if (text == NULL)
        subject->failed = mmgr__oom();
    return text;
}
