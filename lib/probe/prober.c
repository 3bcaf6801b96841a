/* SPDX-License-Identifier: MIT */
/* The prober: its rules, and the choice of the rule that a file or folder fits best. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/options.h"
#include "base/path.h"
#include "probe/prober.h"

#define RULE_FILE_MAX ((size_t)1 << 20)
#define OTHERS_SHOWN  5

/* --- making one
 * ------------------------------------------------------------------------------------ */

static enum mmgr_result add_folder(mmgr_prober *prober, const char *path)
{
    struct mmgr__folder *folder;
    struct mmgr__strings paths = {0};
    enum mmgr_result result = mmgr__folder_open(path, &folder);

    if (result != MMGR_OK)
        return result;
    result = mmgr__folder_walk(folder, &paths);
    for (size_t i = 0; result == MMGR_OK && i < paths.count; i++) {
        char *text = NULL;
        if (!mmgr__ends_with(paths.items[i], ".yaml"))
            continue;
        result = mmgr__folder_text(folder, paths.items[i], RULE_FILE_MAX, &text);
        if (result == MMGR_OK && text != NULL)
            result = mmgr__rules_parse(&prober->rules, paths.items[i], text, strlen(text));
        mmgr__free(text);
    }
    mmgr__strings_free(&paths);
    mmgr__folder_close(folder);
    return result;
}

enum mmgr_result mmgr_prober_new(const struct mmgr_prober_options *options, mmgr_prober **prober)
{
    struct mmgr_prober_options wanted;
    enum mmgr_result result = MMGR__IMPORT(wanted, options, rules_folder);

    if (result != MMGR_OK)
        return result;
    if (wanted.flags != 0 || prober == NULL)
        return mmgr__bad_argument(prober == NULL ? "prober" : "flags");
    mmgr_prober *made = mmgr__alloc0(1, sizeof(*made));
    if (made == NULL)
        return mmgr__oom();
    mmgr__refs_init(&made->refs);
    for (const struct mmgr__rule_file *file = mmgr__rule_files;
         result == MMGR_OK && file->name != NULL; file++)
        result = mmgr__rules_parse(&made->rules, file->name, file->text, strlen(file->text));
    if (result == MMGR_OK && wanted.rules_folder != NULL)
        result = add_folder(made, wanted.rules_folder);
    if (result != MMGR_OK) {
        mmgr_prober_unref(made);
        return result;
    }
    *prober = made;
    return MMGR_OK;
}

enum mmgr_result mmgr_prober_add_rules(mmgr_prober *prober, const char *name, const char *text)
{
    if (prober == NULL || name == NULL || text == NULL)
        return mmgr__bad_argument(prober == NULL ? "prober" : name == NULL ? "name" : "text");
    if (atomic_load(&prober->used))
        return mmgr__fail(MMGR_ERR_STATE, "rules cannot be added to a prober that has been used");
    return mmgr__rules_parse(&prober->rules, name, text, strlen(text));
}

enum mmgr_result mmgr__prober_check_overrides(const mmgr_prober *prober, const char *json)
{
    struct mmgr__overrides overrides = {0};
    enum mmgr_result result = mmgr__overrides_parse(json, &prober->rules, &overrides);

    if (result == MMGR_OK)
        mmgr__overrides_free(&overrides);
    return result;
}

mmgr_prober *mmgr_prober_ref(mmgr_prober *prober)
{
    if (prober != NULL)
        mmgr__refs_take(&prober->refs);
    return prober;
}

void mmgr_prober_unref(mmgr_prober *prober)
{
    if (prober == NULL || !mmgr__refs_drop(&prober->refs))
        return;
    mmgr__rules_free(&prober->rules);
    mmgr__free(prober);
}

/* --- choosing
 * ---------------------------------------------------------------------------------------- */

struct choice {
    struct mmgr__subject subject;
    struct mmgr__overrides overrides;
    struct mmgr__outcome *outcomes; /* one a rule */
    size_t count;
    const struct mmgr__outcome *best;
};

static int agrees(const char *wanted, const char *given)
{
    return wanted == NULL || strcmp(wanted, given) == 0;
}

/* The best match; what the caller knows restricts the candidates. A base that no candidate has is
 * the caller's own word on a model that the rules know otherwise, and so is a format; a type never
 * is. */
static const struct mmgr__outcome *choose(const struct choice *choice)
{
    const char *const *given = (const char *const *)choice->overrides.text;

    for (int strictness = 2; strictness >= 0; strictness--) {
        const struct mmgr__outcome *best = NULL;
        for (size_t i = 0; i < choice->count; i++) {
            const struct mmgr__outcome *outcome = &choice->outcomes[i];
            if (!outcome->matched || !agrees(given[MMGR_FIELD_TYPE], outcome->rule->type) ||
                (strictness > 0 && !agrees(given[MMGR_FIELD_FORMAT], outcome->rule->format)) ||
                (strictness > 1 && !agrees(given[MMGR_FIELD_BASE], outcome->rule->base)))
                continue;
            /* Of equals the rule that is read first wins: files by name, rules as they stand. */
            if (best == NULL || outcome->score > best->score)
                best = outcome;
        }
        if (best != NULL)
            return best;
    }
    return NULL;
}

static int by_score(const void *left, const void *right)
{
    const struct mmgr__outcome *a = *(const struct mmgr__outcome *const *)left;
    const struct mmgr__outcome *b = *(const struct mmgr__outcome *const *)right;

    if (a->matched != b->matched)
        return b->matched - a->matched;
    if (a->score != b->score)
        return b->score - a->score;
    return a->rule < b->rule ? -1 : a->rule > b->rule;
}

/* The outcomes that came nearest, best first; the winner is left out. Owned; *count may be 0. */
static enum mmgr_result nearest(const struct choice *choice, const struct mmgr__outcome ***list,
                                size_t *count)
{
    *list = mmgr__alloc0(choice->count + 1, sizeof(**list));
    *count = 0;
    if (*list == NULL)
        return mmgr__oom();
    for (size_t i = 0; i < choice->count; i++)
        if (&choice->outcomes[i] != choice->best &&
            (choice->outcomes[i].matched || choice->outcomes[i].score > 0))
            (*list)[(*count)++] = &choice->outcomes[i];
    qsort(*list, *count, sizeof(**list), by_score);
    if (*count > OTHERS_SHOWN)
        *count = OTHERS_SHOWN;
    return MMGR_OK;
}

static enum mmgr_result add_others(const struct choice *choice, mmgr_probe_result *result)
{
    const struct mmgr__outcome **list;
    size_t count;
    enum mmgr_result status = nearest(choice, &list, &count);

    if (status == MMGR_OK && count > 0)
        result->others = mmgr__alloc0(count, sizeof(result->others[0]));
    if (status == MMGR_OK && count > 0 && result->others == NULL)
        status = mmgr__oom();
    for (size_t i = 0; status == MMGR_OK && i < count; i++) {
        struct mmgr__runner_up *other = &result->others[result->other_count++];
        other->rule = list[i]->rule->name;
        other->score = list[i]->score;
        const char *missing =
            list[i]->missing.count > 0 ? list[i]->missing.items[0] : "its score is lower";
        other->missing = mmgr__strdup(missing);
        if (other->missing == NULL)
            status = mmgr__oom();
    }
    mmgr__free(list);
    return status;
}

static enum mmgr_result unidentified(const struct choice *choice)
{
    const struct mmgr__outcome **list;
    size_t count;
    struct mmgr__buf text = {0};
    enum mmgr_result status = nearest(choice, &list, &count);

    if (status != MMGR_OK)
        return status;
    for (size_t i = 0; i < count && i < 3; i++)
        mmgr__buf_printf(&text, "%s%s (%s)", i == 0 ? "; nearest: " : ", ", list[i]->rule->name,
                         list[i]->missing.count > 0 ? list[i]->missing.items[0]
                                                    : "contradicts what was given");
    status = mmgr__fail(MMGR_ERR_UNIDENTIFIED, "no rule knows what %s is%s", choice->subject.path,
                        text.data != NULL ? text.data : "");
    mmgr__error_set_subject(choice->subject.path);
    mmgr__buf_free(&text);
    mmgr__free(list);
    return status;
}

/* --- fields
 * ------------------------------------------------------------------------------------------ */

/* First line of a small text file. */
static enum mmgr_result first_line(struct mmgr__subject *subject, const char *file, char **line)
{
    enum mmgr_result status = MMGR_OK;

    *line = NULL;
    if (subject->folder != NULL)
        status = mmgr__folder_text(subject->folder, file, 65536, line);
    if (status == MMGR_OK && *line != NULL)
        (*line)[strcspn(*line, "\r\n")] = '\0';
    if (*line != NULL && (*line)[0] != '\0' && !mmgr__utf8_valid(*line, strlen(*line))) {
        mmgr__free(*line);
        *line = NULL;
    }
    return status;
}

static enum mmgr_result apply_setting(struct mmgr__subject *subject,
                                      const struct mmgr__setting *setting,
                                      mmgr_probe_result *result)
{
    for (size_t i = 0; i < setting->count; i++) {
        const struct mmgr__choice *choice = &setting->choices[i];
        char *read = NULL;
        enum mmgr_result status = MMGR_OK;
        if (!mmgr__tests_hold(subject, &choice->tests))
            continue;
        if (choice->file != NULL && choice->field != NULL)
            read = mmgr__subject_value(subject, choice->file, choice->field);
        else if (choice->file != NULL)
            status = first_line(subject, choice->file, &read);
        const char *text = choice->value != NULL ? choice->value : read;
        const struct mmgr__field *field = mmgr__field_by_id(setting->field);
        /* A config may say what records do not know; then the next choice speaks. */
        int usable = text != NULL && text[0] != '\0' &&
                     (field->taxonomy == 0 || choice->file == NULL ||
                      mmgr_term_parse(field->taxonomy, text) != MMGR_TERM_OTHER);
        if (status == MMGR_OK && usable && !mmgr__result_set(result, setting->field, text))
            status = mmgr__oom();
        mmgr__free(read);
        if (subject->failed != MMGR_OK)
            status = subject->failed;
        if (status != MMGR_OK || usable)
            return status;
    }
    return subject->failed;
}

/* "fp16" when the weight files that were chosen say so in their names. */
static const char *repo_variant(const struct mmgr__subject *subject)
{
    char variant[32] = "";

    for (uint32_t i = 0;
         subject->checkpoint != NULL && i < mmgr_checkpoint_file_count(subject->checkpoint); i++) {
        const char *path = mmgr_checkpoint_file_path(subject->checkpoint, i);
        if (mmgr__weight_variant(path, variant, sizeof(variant)) && strcmp(variant, "fp16") == 0)
            return "fp16";
        if (strcmp(variant, "fp32") == 0)
            return "fp32";
    }
    return "default";
}

/* A config that lies beside a checkpoint under its name is its config. */
static enum mmgr_result add_config_path(const struct mmgr__subject *subject,
                                        mmgr_probe_result *result)
{
    struct stat st;
    char *absolute = mmgr__path_absolute(subject->path);
    char *folder = absolute != NULL ? mmgr__path_dirname(absolute) : NULL;
    char *path = folder != NULL ? mmgr__printf("%s/%s.yaml", folder, subject->name) : NULL;
    enum mmgr_result status = path == NULL ? mmgr__oom() : MMGR_OK;

    if (status == MMGR_OK && mmgr__io_stat(AT_FDCWD, path, &st, 1) == 0 && S_ISREG(st.st_mode) &&
        !mmgr__result_set(result, MMGR_FIELD_CONFIG_PATH, path))
        status = mmgr__oom();
    mmgr__free(absolute);
    mmgr__free(folder);
    mmgr__free(path);
    return status;
}

static int has_field(const struct mmgr__kind *kind, enum mmgr_field field)
{
    for (size_t i = 0; kind != NULL && i < sizeof(kind->fields) / sizeof(kind->fields[0]); i++)
        if (kind->fields[i] == field)
            return 1;
    return 0;
}

/* Fields that need no rule. */
static enum mmgr_result add_general(struct choice *choice, mmgr_probe_result *result)
{
    const struct mmgr__subject *subject = &choice->subject;
    const char *type = result->text[MMGR_FIELD_TYPE], *base = result->text[MMGR_FIELD_BASE];
    char size[24];
    const char *given = choice->overrides.text[MMGR_FIELD_NAME];
    const char *name = given != NULL ? given : subject->name;
    char *description =
        mmgr__printf("%s model \"%s\"%s%s", type, name,
                     strcmp(base, "any") == 0 ? "" : " for ", strcmp(base, "any") == 0 ? "" : base);

    snprintf(size, sizeof(size), "%" PRIu64, subject->file_size);
    int set = description != NULL && mmgr__result_set(result, MMGR_FIELD_NAME, name) &&
              mmgr__result_set(result, MMGR_FIELD_DESCRIPTION, description) &&
              mmgr__result_set(result, MMGR_FIELD_FILE_SIZE, size) &&
              (subject->folder == NULL ||
               mmgr__result_set(result, MMGR_FIELD_REPO_VARIANT, repo_variant(subject)));
    mmgr__free(description);
    if (!set)
        return mmgr__oom();
    const struct mmgr__kind *kind = mmgr__kind_find(type, result->text[MMGR_FIELD_FORMAT]);
    if (subject->folder == NULL && has_field(kind, MMGR_FIELD_CONFIG_PATH))
        return add_config_path(subject, result);
    return MMGR_OK;
}

static enum mmgr_result fill(struct choice *choice, const char *type, const char *base,
                             const char *format, mmgr_probe_result *result)
{
    const struct mmgr__rule *rule = choice->best != NULL ? choice->best->rule : NULL;
    char *const *given = choice->overrides.text;
    enum mmgr_result status = MMGR_OK;

    if (!mmgr__result_set(result, MMGR_FIELD_TYPE,
                          given[MMGR_FIELD_TYPE] != NULL ? given[MMGR_FIELD_TYPE] : type) ||
        !mmgr__result_set(result, MMGR_FIELD_BASE,
                          given[MMGR_FIELD_BASE] != NULL ? given[MMGR_FIELD_BASE] : base) ||
        !mmgr__result_set(result, MMGR_FIELD_FORMAT,
                          given[MMGR_FIELD_FORMAT] != NULL ? given[MMGR_FIELD_FORMAT] : format))
        return mmgr__oom();
    status = add_general(choice, result);
    for (size_t i = 0; status == MMGR_OK && rule != NULL && i < rule->setting_count; i++)
        status = apply_setting(&choice->subject, &rule->settings[i], result);
    for (size_t i = 0; status == MMGR_OK && i < MMGR__FIELD_MAX; i++)
        if (given[i] != NULL && !mmgr__result_set(result, (enum mmgr_field)i, given[i]))
            status = mmgr__oom();
    return status;
}

/* --- probing
 * ----------------------------------------------------------------------------------------- */

static enum mmgr_result evaluate_all(mmgr_prober *prober, struct choice *choice)
{
    enum mmgr_result status = MMGR_OK;

    choice->outcomes = mmgr__alloc0(prober->rules.count + 1, sizeof(choice->outcomes[0]));
    if (choice->outcomes == NULL)
        return mmgr__oom();
    for (size_t i = 0; status == MMGR_OK && i < prober->rules.count; i++)
        status = mmgr__rule_evaluate(&choice->subject, &prober->rules.items[i],
                                     &choice->outcomes[choice->count++]);
    return status;
}

static int any_match(const struct choice *choice)
{
    for (size_t i = 0; i < choice->count; i++)
        if (choice->outcomes[i].matched)
            return 1;
    return 0;
}

/* Which words describe it: those of the best rule, the caller's, or "unknown". NULL: nobody has
 * any. */
static const char *decide(const struct choice *choice, uint32_t flags)
{
    char *const *given = choice->overrides.text;

    if (choice->best != NULL)
        return choice->best->rule->name;
    if (given[MMGR_FIELD_TYPE] != NULL && given[MMGR_FIELD_BASE] != NULL &&
        given[MMGR_FIELD_FORMAT] != NULL && !any_match(choice))
        return "given";
    return (flags & MMGR_PROBE_ALLOW_UNKNOWN) != 0 && choice->subject.checkpoint != NULL ? "unknown"
                                                                                         : NULL;
}

static enum mmgr_result make_result(mmgr_prober *prober, struct choice *choice, uint32_t flags,
                                    mmgr_probe_result **result)
{
    choice->best = choose(choice);
    const char *rule = decide(choice, flags);
    if (rule == NULL && choice->subject.checkpoint == NULL)
        return mmgr__error_restore(&choice->subject.unread);
    if (rule == NULL)
        return unidentified(choice);
    mmgr_probe_result *made = mmgr__result_new(prober);
    if (made == NULL)
        return mmgr__oom();
    enum mmgr_result status = MMGR_OK;
    if (choice->best != NULL) {
        const struct mmgr__rule *won = choice->best->rule;
        made->score = choice->best->score;
        for (size_t i = 0; status == MMGR_OK && i < choice->best->evidence.count; i++)
            if (!mmgr__strings_add(&made->evidence, choice->best->evidence.items[i]))
                status = mmgr__oom();
        if (status == MMGR_OK)
            status = fill(choice, won->type, won->base, won->format, made);
    } else {
        status = fill(choice, "unknown", "unknown", "unknown", made);
    }
    made->rule = mmgr__strdup(rule);
    if (status == MMGR_OK && made->rule == NULL)
        status = mmgr__oom();
    if (status == MMGR_OK)
        status = add_others(choice, made);
    made->bytes_read = mmgr__subject_bytes_read(&choice->subject);
    if (status != MMGR_OK) {
        mmgr_probe_result_unref(made);
        return status;
    }
    *result = made;
    return MMGR_OK;
}

enum mmgr_result mmgr_probe_path(mmgr_prober *prober, const char *path,
                                 const struct mmgr_probe_options *options,
                                 mmgr_probe_result **result)
{
    struct mmgr_probe_options wanted;
    struct choice choice = {0};
    enum mmgr_result status = MMGR__IMPORT(wanted, options, overrides);

    if (status != MMGR_OK)
        return status;
    if (prober == NULL || path == NULL || path[0] == '\0' || result == NULL)
        return mmgr__bad_argument(prober == NULL ? "prober" : result == NULL ? "result" : "path");
    if ((wanted.flags & ~MMGR_PROBE_ALLOW_UNKNOWN) != 0)
        return mmgr__bad_argument("flags");
    atomic_store(&prober->used, 1);
    status = mmgr__overrides_parse(wanted.overrides, &prober->rules, &choice.overrides);
    if (status == MMGR_OK)
        status = mmgr__subject_open(path, &prober->rules, &choice.subject);
    if (status == MMGR_OK)
        status = evaluate_all(prober, &choice);
    if (status == MMGR_OK)
        status = make_result(prober, &choice, wanted.flags, result);
    for (size_t i = 0; i < choice.count; i++)
        mmgr__outcome_free(&choice.outcomes[i]);
    mmgr__free(choice.outcomes);
    mmgr__subject_close(&choice.subject);
    mmgr__overrides_free(&choice.overrides);
    return status;
}
