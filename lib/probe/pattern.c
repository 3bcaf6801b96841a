/* SPDX-License-Identifier: MIT */
/* Patterns of tensor names, and the one pass in which the patterns of all rules are tried. */
#include <string.h>

#include "base/alloc.h"
#include "probe/rules.h"

#define EXPANSION_MAX 512
#define PATTERN_ROOM  512

int mmgr__pattern_matches(const char *pattern, const char *name)
{
    for (;; pattern++) {
        if (*pattern == '*') {
            while (pattern[1] == '*')
                pattern++;
            if (pattern[1] == '\0')
                return 1;
            for (; *name != '\0'; name++)
                if (mmgr__pattern_matches(pattern + 1, name))
                    return 1;
            return 0;
        }
        if (*pattern == '#') {
            if (*name < '0' || *name > '9')
                return 0;
            while (*name >= '0' && *name <= '9')
                name++;
        } else if (*pattern != *name++) {
            return 0;
        } else if (*pattern == '\0') {
            return 1;
        }
    }
}

static int is_wild(char c)
{
    return c == '*' || c == '#';
}

static uint32_t *bucket_of(struct mmgr__patterns *patterns, const char *text, size_t length)
{
    if (!is_wild(text[0]))
        return &patterns->by_first[(unsigned char)text[0]];
    if (!is_wild(text[length - 1]))
        return &patterns->by_last[(unsigned char)text[length - 1]];
    return &patterns->loose;
}

/* Number of the pattern, which is added when new; 0 = no memory, else number plus one. */
static uint32_t add_plain(struct mmgr__patterns *patterns, const char *text)
{
    size_t length = strlen(text);
    uint32_t *bucket = bucket_of(patterns, text, length);

    for (uint32_t at = *bucket; at != 0; at = patterns->items[at - 1].next)
        if (strcmp(patterns->items[at - 1].text, text) == 0)
            return at;
    void *array = patterns->items;
    char *copy = mmgr__strdup(text);
    if (copy == NULL ||
        !mmgr__grow(&array, &patterns->capacity, patterns->count + 1, sizeof(patterns->items[0]))) {
        mmgr__free(copy);
        return 0;
    }
    patterns->items = array;
    struct mmgr__pattern *pattern = &patterns->items[patterns->count];
    *pattern = (struct mmgr__pattern){.text = copy, .length = (uint32_t)length, .next = *bucket};
    pattern->prefix = (uint32_t)strcspn(text, "*#");
    while (pattern->suffix < length && !is_wild(text[length - 1 - pattern->suffix]))
        pattern->suffix++;
    pattern->digits = strchr(text, '#') != NULL;
    *bucket = (uint32_t)++patterns->count;
    return *bucket;
}

/* What mmgr__pattern_matches() answers, with the cheap questions first. */
static int fits(const struct mmgr__pattern *pattern, const char *name, size_t length)
{
    const char *at = pattern->text + pattern->prefix, *end = pattern->text + pattern->length;

    if (length < pattern->prefix || memcmp(name, pattern->text, pattern->prefix) != 0)
        return 0;
    if (pattern->prefix == pattern->length)
        return length == pattern->length;
    if (length < (size_t)pattern->prefix + pattern->suffix ||
        memcmp(name + length - pattern->suffix, end - pattern->suffix, pattern->suffix) != 0)
        return 0;
    if (pattern->digits)
        return mmgr__pattern_matches(at, name + pattern->prefix);
    /* Only "*" is left: the literals between must follow each other, and the leftmost place will
     * do. */
    const char *from = name + pattern->prefix, *to = name + length - pattern->suffix;
    end -= pattern->suffix;
    while (at < end) {
        size_t wild = strspn(at, "*"), plain;
        at += wild;
        plain = at < end ? strcspn(at, "*") : 0;
        if (at + plain > end)
            plain = (size_t)(end - at);
        if (plain == 0)
            break;
        from = memmem(from, (size_t)(to - from), at, plain);
        if (from == NULL)
            return 0;
        from += plain;
        at += plain;
    }
    return 1;
}

struct expansion {
    struct mmgr__patterns *patterns;
    uint32_t *ids;
    size_t count, capacity;
    char text[PATTERN_ROOM];
};

/* Expand the rest of a pattern behind what is in expansion->text. */
static const char *expand(struct expansion *expansion, size_t length, const char *rest)
{
    size_t plain = strcspn(rest, "()");

    if (length + plain >= PATTERN_ROOM)
        return "a pattern is too long";
    memcpy(expansion->text + length, rest, plain);
    length += plain;
    rest += plain;
    if (*rest == ')')
        return "a pattern has ) without (";
    if (*rest == '(') {
        const char *end = strchr(rest, ')'), *option = rest + 1;
        if (end == NULL || memchr(option, '(', (size_t)(end - option)) != NULL)
            return "a pattern has ( without ), or one in another";
        for (;;) {
            size_t size = 0;
            while (option + size < end && option[size] != '|')
                size++;
            if (length + size >= PATTERN_ROOM)
                return "a pattern is too long";
            memcpy(expansion->text + length, option, size);
            const char *why = expand(expansion, length + size, end + 1);
            if (why != NULL || option + size == end)
                return why;
            option += size + 1;
        }
    }
    expansion->text[length] = '\0';
    if (expansion->count == EXPANSION_MAX)
        return "a pattern stands for more than 512 patterns";
    uint32_t number = add_plain(expansion->patterns, expansion->text);
    void *array = expansion->ids;
    if (number == 0 ||
        !mmgr__grow(&array, &expansion->capacity, expansion->count + 1, sizeof(uint32_t)))
        return "out of memory";
    expansion->ids = array;
    expansion->ids[expansion->count++] = number - 1;
    return NULL;
}

const char *mmgr__patterns_add(struct mmgr__patterns *patterns, const char *text, uint32_t **ids,
                               size_t *count)
{
    struct expansion expansion = {
        .patterns = patterns, .ids = *ids, .count = *count, .capacity = *count};
    const char *why = text[0] == '\0' ? "a pattern is empty" : expand(&expansion, 0, text);

    *ids = expansion.ids;
    *count = expansion.count;
    return why;
}

void mmgr__patterns_free(struct mmgr__patterns *patterns)
{
    for (size_t i = 0; i < patterns->count; i++)
        mmgr__free(patterns->items[i].text);
    mmgr__free(patterns->items);
    *patterns = (struct mmgr__patterns){0};
}

static int note(struct mmgr__hits *hits, uint32_t pattern, uint32_t tensor)
{
    void *array = hits->items;

    if (!mmgr__grow(&array, &hits->capacity, hits->count + 1, sizeof(hits->items[0])))
        return 0;
    hits->items = array;
    hits->items[hits->count] = (struct mmgr__hit){tensor, 0};
    uint32_t number = (uint32_t)++hits->count;
    if (hits->first[pattern] == 0)
        hits->first[pattern] = number;
    else
        hits->items[hits->last[pattern] - 1].next = number;
    hits->last[pattern] = number;
    return 1;
}

static int try_bucket(const struct mmgr__patterns *patterns, uint32_t bucket, const char *name,
                      size_t length, uint32_t tensor, struct mmgr__hits *hits)
{
    for (uint32_t at = bucket; at != 0; at = patterns->items[at - 1].next)
        if (fits(&patterns->items[at - 1], name, length) && !note(hits, at - 1, tensor))
            return 0;
    return 1;
}

enum mmgr_result mmgr__hits_collect(const struct mmgr__patterns *patterns,
                                    const mmgr_checkpoint *checkpoint, struct mmgr__hits *hits)
{
    uint64_t tensors = checkpoint != NULL ? mmgr_checkpoint_tensor_count(checkpoint) : 0;

    hits->first = mmgr__alloc0(patterns->count + 1, sizeof(uint32_t));
    hits->last = mmgr__alloc0(patterns->count + 1, sizeof(uint32_t));
    if (hits->first == NULL || hits->last == NULL)
        return mmgr__oom();
    for (uint64_t t = 0; t < tensors; t++) {
        const char *name = mmgr_checkpoint_tensor_name(checkpoint, t);
        size_t length = strlen(name);
        unsigned char last = length > 0 ? (unsigned char)name[length - 1] : 0;
        if (!try_bucket(patterns, patterns->by_first[(unsigned char)name[0]], name, length,
                        (uint32_t)t, hits) ||
            !try_bucket(patterns, patterns->by_last[last], name, length, (uint32_t)t, hits) ||
            !try_bucket(patterns, patterns->loose, name, length, (uint32_t)t, hits))
            return mmgr__oom();
    }
    return MMGR_OK;
}

void mmgr__hits_free(struct mmgr__hits *hits)
{
    mmgr__free(hits->first);
    mmgr__free(hits->last);
    mmgr__free(hits->items);
    *hits = (struct mmgr__hits){0};
}
