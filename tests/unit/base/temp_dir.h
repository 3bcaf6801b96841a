/* SPDX-License-Identifier: MIT */
/* A temporary folder for one test: made under $TMPDIR, removed with everything in it. */
#ifndef TEMP_DIR_H
#define TEMP_DIR_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char temp_dir[512];

static inline int temp_remove_one(const char *path, const struct stat *st, int flag,
                                  struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static inline int temp_setup(void **state)
{
    const char *base = getenv("TMPDIR");
    (void)state;
    snprintf(temp_dir, sizeof temp_dir, "%s/mmgr-test-XXXXXX", base != NULL ? base : "/tmp");
    return mkdtemp(temp_dir) != NULL ? 0 : -1;
}

static inline int temp_teardown(void **state)
{
    (void)state;
    return nftw(temp_dir, temp_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* "TEMP/name", in one of four rotating buffers. */
static inline const char *temp_path(const char *name)
{
    static char buffers[4][1024];
    static int next;
    char *buffer = buffers[next++ % 4];
    snprintf(buffer, sizeof buffers[0], "%s/%s", temp_dir, name);
    return buffer;
}

static inline void temp_write(const char *name, const void *data, size_t length)
{
    FILE *file = fopen(temp_path(name), "wb");
    if (file == NULL || fwrite(data, 1, length, file) != length || fclose(file) != 0) {
        perror(name);
        exit(99);
    }
}

#endif
