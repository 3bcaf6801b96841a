/* SPDX-License-Identifier: MIT */
/* Fuzz target: a source string; what is accepted must have a canonical text that means the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "hub/hub.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const mmgr_source *source)
{
    mmgr_source *again = NULL;

    if (mmgr_source_parse(mmgr_source_part(source, MMGR_SOURCE_PART_TEXT), &again) != MMGR_OK)
        abort();
    for (int part = 1; part < 9; part++) {
        const char *a = mmgr_source_part(source, (enum mmgr_source_part)part);
        const char *b = mmgr_source_part(again, (enum mmgr_source_part)part);

        if (!a != !b || (a && strcmp(a, b) != 0))
            abort();
    }
    mmgr_source_unref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mmgr_source *source = NULL;
    char *text = malloc(size + 1);

    memcpy(text, data, size);
    text[size] = '\0';
    if (mmgr_source_parse(text, &source) == MMGR_OK)
        check(source);
    mmgr_source_unref(source);
    free(text);
    if (mmgr__alloc_live() != 0)
        abort();
    return 0;
}
