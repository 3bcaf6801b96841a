/* SPDX-License-Identifier: MIT */
/* The table of names: open addressing, a seed of its own, and a bound on the length of a search, so
 * that names chosen to collide cost a refusal and not an hour. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <string.h>

#include "base/alloc.h"
#include "base/thread.h"
#include "format/header.h"

#define LONGEST_SEARCH 512

enum mmgr_result mmgr__names_init(struct mmgr__names *names, size_t expected)
{
    size_t size = 16;

    while (size < expected + expected / 2)
        size *= 2;
    struct mmgr__name_slot *slots = mmgr__alloc0(size, sizeof(*slots));
    if (slots == NULL)
        return mmgr__oom();
    names->slots = slots;
    names->mask = size - 1;
    names->count = 0;
    mmgr__random(&names->seed, sizeof(names->seed));
    return MMGR_OK;
}

int mmgr__names_put(struct mmgr__names *names, const char *text, size_t length, uint32_t value)
{
    uint64_t wide = XXH3_64bits_withSeed(text, length, names->seed);
    uint32_t hash = (uint32_t)(wide >> 32);
    size_t at = wide & names->mask;

    if (names->count > names->mask)
        return -1;
    for (size_t step = 0; step < LONGEST_SEARCH; step++, at = (at + 1) & names->mask) {
        struct mmgr__name_slot *slot = &names->slots[at];
        if (slot->text == NULL) {
            *slot = (struct mmgr__name_slot){text, hash, value};
            names->count++;
            return 1;
        }
        if (slot->hash == hash && strcmp(slot->text, text) == 0)
            return 0;
    }
    return -1;
}

int mmgr__names_find(const struct mmgr__names *names, const char *text, uint32_t *value)
{
    if (names->slots == NULL)
        return 0;
    uint64_t wide = XXH3_64bits_withSeed(text, strlen(text), names->seed);
    uint32_t hash = (uint32_t)(wide >> 32);
    size_t at = wide & names->mask;

    for (size_t step = 0; step < LONGEST_SEARCH; step++, at = (at + 1) & names->mask) {
        const struct mmgr__name_slot *slot = &names->slots[at];
        if (slot->text == NULL)
            return 0;
        if (slot->hash == hash && strcmp(slot->text, text) == 0) {
            *value = slot->value;
            return 1;
        }
    }
    return 0;
}

void mmgr__names_free(struct mmgr__names *names)
{
    mmgr__free(names->slots);
    *names = (struct mmgr__names){0};
}
