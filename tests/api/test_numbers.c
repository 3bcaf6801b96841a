/* SPDX-License-Identifier: MIT */
/* Every public number is the one that is written down in numbers.h, and none is missing there. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <modelmgr/modelmgr.h>

#include "tap.h"

struct number {
    const char *name;
    int64_t is;
    int64_t was;
};

/* 0xffffffff and -1 are different numbers here, as their types are in the headers. */
static const struct number numbers[] = {
#define NUMBER(name, value) {#name, (int64_t)(name), (int64_t)(value)},
#include "numbers.h"
#undef NUMBER
};

static const struct number *find(const char *name)
{
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (strcmp(numbers[i].name, name) == 0)
            return &numbers[i];
    return NULL;
}

static int is_build_matter(const char *name)
{
    return strstr(name, "_FORCE_32_") != NULL || strstr(name, "MMGR_VERSION_") == name ||
           strcmp(name, "MMGR_ENUM_32_BITS") == 0;
}

/* Name of the number that a line of a header defines. */
static int defines_number(const char *line, char name[64])
{
    char value[64];
    if (sscanf(line, " %63[A-Z0-9_a-z] = %63s", name, value) != 2 &&
        sscanf(line, "#define %63[A-Z0-9_a-z] %63s", name, value) != 2)
        return 0;
    return strncmp(name, "MMGR_", 5) == 0 && strchr("(-0123456789", value[0]) != NULL &&
           !is_build_matter(name);
}

static int scan(const char *path)
{
    char line[512];
    char name[64];
    int found = 0;
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (!defines_number(line, name))
            continue;
        found++;
        if (find(name) == NULL)
            tap(0, "%s of %s is in numbers.h", name, path);
    }
    if (file != NULL)
        fclose(file);
    return found;
}

int main(int argc, char **argv)
{
    char name[64];
    int found = 0;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        tap(numbers[i].is == numbers[i].was, "%s", numbers[i].name);
    for (int i = 1; i < argc; i++)
        found += scan(argv[i]);
    tap(found == (int)(sizeof numbers / sizeof numbers[0]), "%d numbers in the headers", found);
    tap(defines_number("    MMGR_NEW_THING = 7, /* x */", name) && find(name) == NULL,
        "a number that is not written down would be noticed");
    return tap_end();
}
