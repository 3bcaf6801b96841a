/* SPDX-License-Identifier: MIT */
/* Inside of the probe layer: rules as they are after reading, the key matcher that all of them
 * share, what is being probed, and the outcome of a rule. The form of the rule files is in
 * docs/rules.md. */
#ifndef PROBE_RULES_H
#define PROBE_RULES_H

#include <modelmgr/probe.h>

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "format/format.h"

/* --- patterns of tensor names
 * ---------------------------------------------------------------------- */

/* "*" any run, "#" one or more digits, "(a|b|)" one of; all else itself. Alternatives are
 * expanded. */
struct mmgr__pattern {
    char *text;
    uint32_t prefix, suffix; /* literal bytes before the first and behind the last wildcard */
    uint32_t length;         /* of the whole; equal to prefix when there is no wildcard */
    int digits;              /* holds "#" */
    uint32_t next;           /* next pattern of the same bucket, plus one */
};
struct mmgr__patterns {
    struct mmgr__pattern *items;
    size_t count, capacity;
    uint32_t by_first[256], by_last[256], loose; /* buckets: first pattern, plus one */
};
/* Expand `text` and add what is new; the numbers go to *ids (owned). Fails with a reason for
 * people. */
const char *mmgr__patterns_add(struct mmgr__patterns *patterns, const char *text, uint32_t **ids,
                               size_t *count);
void mmgr__patterns_free(struct mmgr__patterns *patterns);
int mmgr__pattern_matches(const char *pattern, const char *name);

/* What one pass over the names found: for each pattern its tensors, in order. */
struct mmgr__hit {
    uint32_t tensor, next; /* next hit of the same pattern, plus one */
};
struct mmgr__hits {
    uint32_t *first, *last; /* by pattern, plus one */
    struct mmgr__hit *items;
    size_t count, capacity;
};
enum mmgr_result mmgr__hits_collect(const struct mmgr__patterns *patterns,
                                    const mmgr_checkpoint *checkpoint, struct mmgr__hits *hits);
void mmgr__hits_free(struct mmgr__hits *hits);

/* --- rules
 * ----------------------------------------------------------------------------------------- */

enum mmgr__test_kind {
    MMGR__TEST_KEY,
    MMGR__TEST_ALL_KEYS,
    MMGR__TEST_TENSORS,
    MMGR__TEST_CONFIG,
    MMGR__TEST_METADATA,
    MMGR__TEST_FILE,
    MMGR__TEST_NAME,
    MMGR__TEST_KRON,
    MMGR__TEST_ANY,
    MMGR__TEST_ALL
};
struct mmgr__dim {
    int32_t index; /* negative: from the end */
    uint64_t *values;
    size_t count;
};
struct mmgr__test {
    enum mmgr__test_kind kind;
    int points;
    char *shown;        /* for people */
    uint32_t *patterns; /* KEY, ALL_KEYS, KRON */
    size_t pattern_count;
    struct mmgr__dim *dims;
    size_t dim_count;
    uint32_t rank;     /* plus one; 0 = any */
    uint64_t min, max; /* number of tensors */
    int every, missing;
    char *file, *field, *fallback; /* CONFIG; METADATA: field is the key; FILE: file */
    struct mmgr__strings values;   /* CONFIG, METADATA: one of; NAME: patterns; empty: anything */
    struct mmgr__strings parts;    /* METADATA: one of these is part of the value */
    uint64_t product;              /* KRON */
    struct mmgr__test *tests;      /* ANY, ALL */
    size_t test_count;
};
struct mmgr__tests {
    struct mmgr__test *items;
    size_t count;
};
/* A value of a further field, if its tests hold: a text, or what a config or a file's first line
 * says. */
struct mmgr__choice {
    char *value, *file, *field;
    struct mmgr__tests tests;
};
struct mmgr__setting {
    enum mmgr_field field;
    struct mmgr__choice *choices;
    size_t count;
};
enum mmgr__subject_kind { MMGR__ON_ANY, MMGR__ON_FILE, MMGR__ON_FOLDER };
struct mmgr__rule {
    char *name, *type, *base, *format;
    enum mmgr__subject_kind on;
    struct mmgr__tests all, some, none;
    struct mmgr__setting *settings;
    size_t setting_count;
};
struct mmgr__rules {
    struct mmgr__rule *items;
    size_t count, capacity;
    struct mmgr__patterns patterns;
};
enum mmgr_result mmgr__rules_parse(struct mmgr__rules *rules, const char *name, const char *text,
                                   size_t length);
void mmgr__rules_free(struct mmgr__rules *rules);

/* The built-in rule files, embedded at build time; ends with a NULL name. */
struct mmgr__rule_file {
    const char *name, *text;
};
extern const struct mmgr__rule_file mmgr__rule_files[];

/* --- what is probed
 * -------------------------------------------------------------------------------- */

struct mmgr__config_slot {
    char *path;
    json_t *root; /* NULL: no such file */
};
struct mmgr__subject {
    const char *path;
    char *name; /* file without its suffix, or folder */
    char *hint; /* lower-case name for hints; a folder "vae" is called by its parent */
    struct mmgr__folder *folder; /* NULL: a file */
    mmgr_checkpoint *checkpoint; /* NULL: a folder whose weights are in a format that is not read */
    struct mmgr__hits hits;
    struct mmgr__config_slot *configs;
    size_t config_count, config_capacity;
    uint64_t file_size;
    struct mmgr_error unread; /* why there is no checkpoint */
    enum mmgr_result
        failed; /* a config could not be read: sticky, the thread's last error has why */
};
enum mmgr_result mmgr__subject_open(const char *path, const struct mmgr__rules *rules,
                                    struct mmgr__subject *subject);
void mmgr__subject_close(struct mmgr__subject *subject);
/* Config of the folder, or NULL. */
const json_t *mmgr__subject_config(struct mmgr__subject *subject, const char *path);
/* Member of a config by path such as "architectures.0" as text; NULL when absent or null. Owned. */
char *mmgr__subject_value(struct mmgr__subject *subject, const char *file, const char *field);
uint64_t mmgr__subject_bytes_read(const struct mmgr__subject *subject);

/* --- evaluation
 * ------------------------------------------------------------------------------------ */

struct mmgr__outcome {
    const struct mmgr__rule *rule;
    int matched;
    int score;                     /* points of what holds */
    struct mmgr__strings evidence; /* only when asked for */
    struct mmgr__strings missing;
};
/* Whether all tests hold; points are added up, sentences are written where lists are given. */
int mmgr__tests_hold(struct mmgr__subject *subject, const struct mmgr__tests *tests);
enum mmgr_result mmgr__rule_evaluate(struct mmgr__subject *subject, const struct mmgr__rule *rule,
                                     struct mmgr__outcome *outcome);
void mmgr__outcome_free(struct mmgr__outcome *outcome);

#endif
