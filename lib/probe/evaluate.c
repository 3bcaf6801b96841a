/* SPDX-License-Identifier: MIT */
/* Tries one rule on a subject: which of its tests hold, how many points that is, and why. */
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "probe/rules.h"

struct run {
    struct mmgr__subject *subject;
    struct mmgr__strings *evidence, *missing; /* NULL: nobody asks */
    int failed;                               /* no memory */
};

static void say(struct run *run, struct mmgr__strings *list, const struct mmgr__buf *text)
{
    if (list != NULL &&
        (text->failed || !mmgr__strings_add(list, text->data != NULL ? text->data : "")))
        run->failed = 1;
}

/* --- tensors
 * --------------------------------------------------------------------------------------- */

static int shape_fits(const mmgr_checkpoint *checkpoint, uint32_t tensor,
                      const struct mmgr__test *test)
{
    uint32_t rank = mmgr_checkpoint_tensor_rank(checkpoint, tensor);
    const uint64_t *shape = mmgr_checkpoint_tensor_shape(checkpoint, tensor);

    if (test->rank != 0 && rank + 1 != test->rank)
        return 0;
    for (size_t i = 0; i < test->dim_count; i++) {
        const struct mmgr__dim *dim = &test->dims[i];
        int64_t at = dim->index < 0 ? (int64_t)rank + dim->index : dim->index;
        int found = 0;
        if (at < 0 || at >= (int64_t)rank)
            return 0;
        for (size_t v = 0; v < dim->count; v++)
            found |= shape[at] == dim->values[v];
        if (!found)
            return 0;
    }
    return 1;
}

/* Tensors that match the test, and the first of them. */
static uint64_t count_keys(const struct mmgr__subject *subject, const struct mmgr__test *test,
                           uint32_t *first, uint64_t *other)
{
    uint64_t count = 0;

    *other = 0;
    for (size_t p = 0; p < test->pattern_count; p++) {
        for (uint32_t at = subject->hits.first[test->patterns[p]]; at != 0;
             at = subject->hits.items[at - 1].next) {
            uint32_t tensor = subject->hits.items[at - 1].tensor;
            if (!shape_fits(subject->checkpoint, tensor, test))
                (*other)++;
            else if (count++ == 0)
                *first = tensor;
        }
    }
    return count;
}

static void describe_tensor(const struct mmgr__subject *subject, uint32_t tensor,
                            struct mmgr__buf *text)
{
    char shown[MMGR__DISPLAY_ROOM];
    const uint64_t *shape = mmgr_checkpoint_tensor_shape(subject->checkpoint, tensor);
    uint32_t rank = mmgr_checkpoint_tensor_rank(subject->checkpoint, tensor);

    mmgr__buf_printf(text, "tensor %s has shape [",
                     mmgr__display(mmgr_checkpoint_tensor_name(subject->checkpoint, tensor), shown,
                                   sizeof(shown)));
    for (uint32_t d = 0; d < rank; d++)
        mmgr__buf_printf(text, "%s%" PRIu64, d > 0 ? ", " : "", shape[d]);
    mmgr__buf_puts(text, "]");
}

static void describe_wish(const struct mmgr__test *test, struct mmgr__buf *text)
{
    mmgr__buf_printf(text, "%stensor like %s", test->every ? "every " : "no ", test->shown);
    for (size_t i = 0; i < test->dim_count; i++) {
        mmgr__buf_printf(text, "%s dimension %d of ", i == 0 ? " with" : " and",
                         test->dims[i].index);
        for (size_t v = 0; v < test->dims[i].count; v++)
            mmgr__buf_printf(text, "%s%" PRIu64, v > 0 ? " or " : "", test->dims[i].values[v]);
    }
    if (test->min > 1)
        mmgr__buf_printf(text, ", %" PRIu64 " times", test->min);
}

static int test_key(struct run *run, const struct mmgr__test *test)
{
    struct mmgr__buf text = {0};
    uint32_t first = 0;
    uint64_t other, count = count_keys(run->subject, test, &first, &other);
    int holds = count >= test->min && count <= test->max && (!test->every || other == 0);

    if (holds && run->evidence != NULL && count > 0)
        describe_tensor(run->subject, first, &text);
    else if (holds)
        mmgr__buf_printf(&text, "%" PRIu64 " tensors like %s", count, test->shown);
    else if (run->missing != NULL)
        describe_wish(test, &text);
    if (holds && count > 1 && run->evidence != NULL)
        mmgr__buf_printf(&text, "; %" PRIu64 " more are like it", count - 1);
    say(run, holds ? run->evidence : run->missing, &text);
    mmgr__buf_free(&text);
    return holds;
}

static int test_all_keys(struct run *run, const struct mmgr__test *test)
{
    const struct mmgr__subject *subject = run->subject;
    uint64_t tensors =
        subject->checkpoint != NULL ? mmgr_checkpoint_tensor_count(subject->checkpoint) : 0;
    uint64_t matched = 0;
    unsigned char *seen = tensors > 0 ? mmgr__alloc0((size_t)tensors / 8 + 1, 1) : NULL;
    struct mmgr__buf text = {0};

    if (tensors > 0 && seen == NULL)
        run->failed = 1;
    for (size_t p = 0; seen != NULL && p < test->pattern_count; p++) {
        for (uint32_t at = subject->hits.first[test->patterns[p]]; at != 0;
             at = subject->hits.items[at - 1].next) {
            uint32_t tensor = subject->hits.items[at - 1].tensor;
            matched += !(seen[tensor / 8] >> (tensor % 8) & 1);
            seen[tensor / 8] |= (unsigned char)(1 << (tensor % 8));
        }
    }
    mmgr__free(seen);
    int holds = tensors > 0 && matched == tensors;
    mmgr__buf_printf(&text,
                     holds ? "all %" PRIu64 " tensors are named like %s"
                           : "%" PRIu64 " tensors are not named like %s",
                     holds ? tensors : tensors - matched, test->shown);
    say(run, holds ? run->evidence : run->missing, &text);
    mmgr__buf_free(&text);
    return holds;
}

static int test_tensors(struct run *run, const struct mmgr__test *test)
{
    uint64_t count = run->subject->checkpoint != NULL
                         ? mmgr_checkpoint_tensor_count(run->subject->checkpoint)
                         : 0;
    int holds = count >= test->min && count <= test->max;
    struct mmgr__buf text = {0};

    mmgr__buf_printf(
        &text, holds ? "it has %" PRIu64 " tensors" : "%" PRIu64 " tensors are too few or too many",
        count);
    say(run, holds ? run->evidence : run->missing, &text);
    mmgr__buf_free(&text);
    return holds;
}

/* Size of dimension 1 of the tensor "stem" + one of two suffixes, or 0. */
static uint64_t factor(const struct mmgr__subject *subject, const char *stem, size_t length,
                       const char *plain, const char *factored)
{
    const char *const ends[2] = {plain, factored};

    for (int i = 0; i < 2; i++) {
        char name[4200];
        uint64_t index;
        if (length + strlen(ends[i]) >= sizeof(name))
            return 0;
        memcpy(name, stem, length);
        memcpy(name + length, ends[i], strlen(ends[i]) + 1);
        if (mmgr_checkpoint_find(subject->checkpoint, name, &index) == MMGR_OK &&
            mmgr_checkpoint_tensor_rank(subject->checkpoint, index) >= 2)
            return mmgr_checkpoint_tensor_shape(subject->checkpoint, index)[1];
    }
    return 0;
}

/* A Kronecker product of two factors, each whole or factored again: its input width is the product
 * of theirs. The pattern ends in ".lokr_w1" or ".lokr_w1_b". */
static int test_kron(struct run *run, const struct mmgr__test *test)
{
    const struct mmgr__subject *subject = run->subject;
    struct mmgr__buf text = {0};
    int holds = 0;

    for (size_t p = 0; !holds && p < test->pattern_count; p++) {
        for (uint32_t at = subject->hits.first[test->patterns[p]]; !holds && at != 0;
             at = subject->hits.items[at - 1].next) {
            const char *name = mmgr_checkpoint_tensor_name(subject->checkpoint,
                                                           subject->hits.items[at - 1].tensor);
            const char *end = strstr(name, ".lokr_w1");
            uint64_t product;
            if (end == NULL)
                continue;
            size_t stem = (size_t)(end - name);
            holds = !__builtin_mul_overflow(factor(subject, name, stem, ".lokr_w1", ".lokr_w1_b"),
                                            factor(subject, name, stem, ".lokr_w2", ".lokr_w2_b"),
                                            &product) &&
                    product == test->product;
        }
    }
    mmgr__buf_printf(&text, "%s LoKr pair like %s takes %" PRIu64 " values", holds ? "a" : "no",
                     test->shown, test->product);
    say(run, holds ? run->evidence : run->missing, &text);
    mmgr__buf_free(&text);
    return holds;
}

/* --- configs, metadata, files, names
 * ----------------------------------------------------------------- */

static int test_config(struct run *run, const struct mmgr__test *test)
{
    char *value = mmgr__subject_value(run->subject, test->file, test->field);
    const char *seen = value != NULL ? value : test->fallback;
    struct mmgr__buf text = {0};
    int holds = 0;
    char shown[MMGR__DISPLAY_ROOM];

    /* A default stands for an absent member of a config that is there. */
    if (value == NULL && mmgr__subject_config(run->subject, test->file) == NULL)
        seen = NULL;
    if (test->missing)
        holds = value == NULL;
    else if (seen != NULL && test->values.count == 0)
        holds = 1;
    for (size_t i = 0; seen != NULL && !test->missing && i < test->values.count; i++)
        holds |= strcmp(seen, test->values.items[i]) == 0;
    mmgr__buf_printf(&text, "%s: %s is %s", test->file, test->field != NULL ? test->field : "it",
                     seen != NULL ? mmgr__display(seen, shown, sizeof(shown)) : "not there");
    if (!holds && test->values.count > 0)
        mmgr__buf_printf(&text, ", not %s%s", test->values.items[0],
                         test->values.count > 1 ? " or the like" : "");
    say(run, holds ? run->evidence : run->missing, &text);
    mmgr__buf_free(&text);
    mmgr__free(value);
    return holds;
}

static const char *metadata_value(const mmgr_checkpoint *checkpoint, const char *wanted)
{
    const char *key, *value;

    for (uint64_t i = 0; checkpoint != NULL && i < mmgr_checkpoint_metadata_count(checkpoint); i++)
        if (mmgr_checkpoint_metadata_at(checkpoint, i, &key, &value) == MMGR_OK &&
            strcmp(key, wanted) == 0)
            return value;
    return NULL;
}

static int test_metadata(struct run *run, const struct mmgr__test *test)
{
    const char *value = metadata_value(run->subject->checkpoint, test->field);
    int holds = value != NULL && test->values.count == 0 && test->parts.count == 0;
    struct mmgr__buf text = {0};
    char shown[MMGR__DISPLAY_ROOM];

    for (size_t i = 0; value != NULL && i < test->values.count; i++)
        holds |= strcmp(value, test->values.items[i]) == 0;
    for (size_t i = 0; value != NULL && i < test->parts.count; i++)
        holds |= strstr(value, test->parts.items[i]) != NULL;
    mmgr__buf_printf(&text, "metadata %s is %s", test->field,
                     value != NULL ? mmgr__display(value, shown, sizeof(shown)) : "not there");
    say(run, holds ? run->evidence : run->missing, &text);
    mmgr__buf_free(&text);
    return holds;
}

static int test_file(struct run *run, const struct mmgr__test *test)
{
    int holds = run->subject->folder != NULL && mmgr__folder_has(run->subject->folder, test->file);
    struct mmgr__buf text = {0};

    mmgr__buf_printf(&text, holds ? "it holds %s" : "there is no %s in it", test->file);
    say(run, holds ? run->evidence : run->missing, &text);
    mmgr__buf_free(&text);
    return holds;
}

static int test_name(struct run *run, const struct mmgr__test *test)
{
    int holds = 0;
    struct mmgr__buf text = {0};
    char shown[MMGR__DISPLAY_ROOM];

    for (size_t i = 0; i < test->values.count; i++)
        holds |= mmgr__pattern_matches(test->values.items[i], run->subject->hint);
    mmgr__buf_printf(&text, "its name \"%s\" is %slike %s",
                     mmgr__display(run->subject->hint, shown, sizeof(shown)), holds ? "" : "not ",
                     test->values.items[0]);
    say(run, holds ? run->evidence : run->missing, &text);
    mmgr__buf_free(&text);
    return holds;
}

/* --- putting together
 * -------------------------------------------------------------------------------- */

static int run_test(struct run *run, const struct mmgr__test *test, int *points);

/* All must hold, or (any) the best that holds counts. */
static int run_group(struct run *run, const struct mmgr__test *test, int *points)
{
    struct mmgr__strings evidence = {0}, missing = {0};
    int any = test->kind == MMGR__TEST_ANY, holds = !any, sum = 0;
    struct run inner = *run;

    for (size_t i = 0; i < test->test_count; i++) {
        int gained = 0;
        inner.evidence = run->evidence != NULL && (!any || !holds) ? &evidence : NULL;
        inner.missing = run->missing != NULL && !(any && holds) ? &missing : NULL;
        int one = run_test(&inner, &test->tests[i], &gained);
        if (any && one && gained > sum)
            sum = gained;
        else if (!any)
            sum += gained;
        if (any && one)
            holds = 1;
        else if (!any && !one)
            holds = 0;
    }
    run->failed |= inner.failed;
    struct mmgr__strings *from = holds ? &evidence : &missing,
                         *to = holds ? run->evidence : run->missing;
    for (size_t i = 0; to != NULL && i < from->count; i++)
        if (!mmgr__strings_add(to, from->items[i]))
            run->failed = 1;
    mmgr__strings_free(&evidence);
    mmgr__strings_free(&missing);
    *points = sum + (holds ? test->points : 0);
    return holds;
}

static int run_test(struct run *run, const struct mmgr__test *test, int *points)
{
    int holds;

    switch (test->kind) {
    case MMGR__TEST_ANY:
    case MMGR__TEST_ALL:
        return run_group(run, test, points);
    case MMGR__TEST_KEY:
        holds = test_key(run, test);
        break;
    case MMGR__TEST_ALL_KEYS:
        holds = test_all_keys(run, test);
        break;
    case MMGR__TEST_TENSORS:
        holds = test_tensors(run, test);
        break;
    case MMGR__TEST_CONFIG:
        holds = test_config(run, test);
        break;
    case MMGR__TEST_METADATA:
        holds = test_metadata(run, test);
        break;
    case MMGR__TEST_FILE:
        holds = test_file(run, test);
        break;
    case MMGR__TEST_NAME:
        holds = test_name(run, test);
        break;
    default:
        holds = test_kron(run, test);
        break;
    }
    *points = holds ? test->points : 0;
    return holds;
}

int mmgr__tests_hold(struct mmgr__subject *subject, const struct mmgr__tests *tests)
{
    struct run run = {.subject = subject};

    for (size_t i = 0; i < tests->count; i++) {
        int points;
        if (!run_test(&run, &tests->items[i], &points))
            return 0;
    }
    if (run.failed && subject->failed == MMGR_OK)
        subject->failed = mmgr__oom();
    return 1;
}

static int subject_fits(const struct mmgr__subject *subject, const struct mmgr__rule *rule)
{
    return rule->on == MMGR__ON_ANY || (rule->on == MMGR__ON_FOLDER) == (subject->folder != NULL);
}

enum mmgr_result mmgr__rule_evaluate(struct mmgr__subject *subject, const struct mmgr__rule *rule,
                                     struct mmgr__outcome *outcome)
{
    struct run run = {subject, &outcome->evidence, &outcome->missing, 0};
    struct run quiet = {.subject = subject};

    outcome->rule = rule;
    outcome->matched = 0;
    outcome->score = 0;
    if (!subject_fits(subject, rule))
        return MMGR_OK;
    outcome->matched = 1;
    for (size_t i = 0; i < rule->all.count; i++) {
        int points;
        outcome->matched &= run_test(&run, &rule->all.items[i], &points);
        outcome->score += points;
    }
    for (size_t i = 0; i < rule->none.count; i++) {
        struct mmgr__strings found = {0};
        int points;
        quiet.evidence = &found;
        if (run_test(&quiet, &rule->none.items[i], &points)) {
            struct mmgr__buf text = {0};
            outcome->matched = 0;
            mmgr__buf_printf(&text, "against it: %s",
                             found.count > 0 ? found.items[0] : "an exclusion");
            say(&run, run.missing, &text);
            mmgr__buf_free(&text);
        }
        mmgr__strings_free(&found);
    }
    run.missing = NULL;
    for (size_t i = 0; i < rule->some.count; i++) {
        int points;
        run_test(&run, &rule->some.items[i], &points);
        outcome->score += points;
    }
    if (subject->failed != MMGR_OK)
        return subject->failed;
    return run.failed || quiet.failed ? mmgr__oom() : MMGR_OK;
}

void mmgr__outcome_free(struct mmgr__outcome *outcome)
{
    mmgr__strings_free(&outcome->evidence);
    mmgr__strings_free(&outcome->missing);
    *outcome = (struct mmgr__outcome){0};
}
