/* SPDX-License-Identifier: MIT */
/* Inside of a prober and of its results. */
#ifndef PROBE_PROBER_H
#define PROBE_PROBER_H

#include <stdatomic.h>

#include "base/fields.h"
#include "base/thread.h"
#include "probe/rules.h"

struct mmgr_prober {
    mmgr__refs refs;
    struct mmgr__rules rules;
    atomic_int used;
};

struct mmgr__runner_up {
    const char *rule; /* of the prober that the result holds */
    int score;
    char *missing; /* first thing that kept it from winning */
};
struct mmgr_probe_result {
    mmgr__refs refs;
    mmgr_prober *prober;
    char *text[MMGR__FIELD_MAX]; /* by field */
    char *rule;
    int score;
    struct mmgr__strings evidence;
    struct mmgr__runner_up *others;
    size_t other_count;
    uint64_t bytes_read;
};
mmgr_probe_result *mmgr__result_new(mmgr_prober *prober); /* NULL = no memory */
/* Copy a text into a field; 0 = no memory. */
int mmgr__result_set(mmgr_probe_result *result, enum mmgr_field field, const char *text);

/* What the caller already knows. */
struct mmgr__overrides {
    char *text[MMGR__FIELD_MAX];
};
enum mmgr_result mmgr__overrides_parse(const char *json, const struct mmgr__rules *rules,
                                       struct mmgr__overrides *overrides);
void mmgr__overrides_free(struct mmgr__overrides *overrides);
/* Would probing take these overrides? NULL is fine. */
enum mmgr_result mmgr__prober_check_overrides(const mmgr_prober *prober, const char *json);

#endif
