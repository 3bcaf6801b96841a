/* SPDX-License-Identifier: MIT */
/* Helpers of the format and probe tests. */
#include "files.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

char *make_folder(void)
{
    const char *base = getenv("TMPDIR");
    char *path = malloc(4096);

    snprintf(path, 4096, "%s/mmgr-test-XXXXXX", base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(path));
    return path;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *place)
{
    (void)st;
    (void)kind;
    (void)place;
    return remove(path);
}

void drop_folder(char *folder)
{
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(folder);
}

const char *at(const char *folder, const char *name)
{
    static char paths[8][4096];
    static int next;
    char *path = paths[next++ % 8];

    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

void put_file(const char *path, const void *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

void put_text(const char *path, const char *text)
{
    put_file(path, text, strlen(text));
}

void make_dir(const char *path)
{
    assert_int_equal(mkdir(path, 0755), 0);
}

void put_safetensors(const char *path, const char *json, uint64_t data_bytes)
{
    uint64_t length = strlen(json);
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    for (int i = 0; i < 8; i++)
        fputc((int)(length >> (8 * i) & 0xFF), file);
    fputs(json, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(truncate(path, (off_t)(8 + length + data_bytes)), 0);
}

void make_model(const char *arguments)
{
    const char *root = getenv("MMGR_SOURCE_ROOT");
    char command[8192];

    snprintf(
        command, sizeof(command),
        "PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 '%s/tests/models/make_model.py' %s >/dev/null",
        root != NULL ? root : ".", arguments);
    assert_int_equal(system(command), 0);
}
