/* SPDX-License-Identifier: MIT */
/* Implementation of yaml_files.h. */
#include "yaml_files.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void put_file(const char *path, const char *text, size_t length)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

char *take_file(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    char *text;
    long size;

    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    size = ftell(file);
    assert_true(size >= 0);
    rewind(file);
    text = malloc((size_t)size + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)size, file), size);
    fclose(file);
    text[size] = '\0';
    if (length != NULL)
        *length = (size_t)size;
    return text;
}

const char *names_in(const char *path)
{
    static char names[4096];
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);

    assert_true(count >= 0);
    names[0] = '\0';
    for (int i = 0; i < count; i++) {
        size_t used = strlen(names);

        if (strcmp(entries[i]->d_name, ".") != 0 && strcmp(entries[i]->d_name, "..") != 0)
            snprintf(names + used, sizeof names - used, "%s%s", used > 0 ? " " : "",
                     entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return names;
}
