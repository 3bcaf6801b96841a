/* SPDX-License-Identifier: MIT */
/* The conformance suite on one back end; the argument says which. */
#include <stdio.h>
#include <string.h>

#include "conformance.h"

static const struct store_backend backends[] = {
    {"sqlite", ".db", "2", 0},
    {"adopted", ".host", "2", 1},
    {"yaml", ".yaml", "1", 0},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < sizeof backends / sizeof backends[0]; i++) {
        if (strcmp(argv[1], backends[i].name) == 0)
            return store_conformance(&backends[i]);
    }
    fprintf(stderr, "usage: test_store sqlite | adopted | yaml\n");
    return 2;
}
