/* SPDX-License-Identifier: MIT */
/* Results of identification, and the fields that a caller gives beforehand. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "probe/prober.h"

mmgr_probe_result *mmgr__result_new(mmgr_prober *prober)
{
    mmgr_probe_result *result = mmgr__alloc0(1, sizeof(*result));

    if (result == NULL)
        return NULL;
    mmgr__refs_init(&result->refs);
    result->prober = mmgr_prober_ref(prober);
    return result;
}

mmgr_probe_result *mmgr_probe_result_ref(const mmgr_probe_result *result)
{
    mmgr_probe_result *same = (mmgr_probe_result *)result;

    if (same != NULL)
        mmgr__refs_take(&same->refs);
    return same;
}

void mmgr_probe_result_unref(mmgr_probe_result *result)
{
    if (result == NULL || !mmgr__refs_drop(&result->refs))
        return;
    for (size_t i = 0; i < MMGR__FIELD_MAX; i++)
        mmgr__free(result->text[i]);
    for (size_t i = 0; i < result->other_count; i++)
        mmgr__free(result->others[i].missing);
    mmgr__free(result->others);
    mmgr__free(result->rule);
    mmgr__strings_free(&result->evidence);
    mmgr_prober_unref(result->prober);
    mmgr__free(result);
}

int mmgr__result_set(mmgr_probe_result *result, enum mmgr_field field, const char *text)
{
    char *copy = mmgr__strdup(text);

    if (copy == NULL)
        return 0;
    mmgr__free(result->text[field]);
    result->text[field] = copy;
    return 1;
}

const char *mmgr_probe_result_text(const mmgr_probe_result *result, enum mmgr_field field)
{
    return result != NULL && field > 0 && field < MMGR__FIELD_MAX ? result->text[field] : NULL;
}

const char *mmgr_probe_result_rule(const mmgr_probe_result *result)
{
    return result != NULL ? result->rule : NULL;
}

uint32_t mmgr_probe_result_evidence_count(const mmgr_probe_result *result)
{
    return result != NULL ? (uint32_t)result->evidence.count : 0;
}

const char *mmgr_probe_result_evidence(const mmgr_probe_result *result, uint32_t index)
{
    return index < mmgr_probe_result_evidence_count(result) ? result->evidence.items[index] : NULL;
}

uint64_t mmgr_probe_result_bytes_read(const mmgr_probe_result *result)
{
    return result != NULL ? result->bytes_read : 0;
}

static int is_raw(enum mmgr__field_kind kind)
{
    return kind == MMGR__FIELD_BOOL || kind == MMGR__FIELD_NUMBER || kind == MMGR__FIELD_OBJECT ||
           kind == MMGR__FIELD_LIST || kind == MMGR__FIELD_REAL;
}

enum mmgr_result mmgr_probe_result_to_json(const mmgr_probe_result *result, char **json)
{
    /* These are in every answer, null when the rule says nothing of them. */
    static const enum mmgr_field always[] = {MMGR_FIELD_TYPE,
                                             MMGR_FIELD_BASE,
                                             MMGR_FIELD_FORMAT,
                                             MMGR_FIELD_VARIANT,
                                             MMGR_FIELD_PREDICTION_TYPE,
                                             MMGR_FIELD_NAME};
    const size_t fixed = sizeof(always) / sizeof(always[0]);
    struct mmgr__buf buf = {0};
    const struct mmgr__field *field;

    if (result == NULL || json == NULL)
        return mmgr__bad_argument(result == NULL ? "result" : "json");
    for (size_t i = 0; i < fixed; i++) {
        mmgr__buf_printf(&buf, "%s\"%s\":", i == 0 ? "{" : ",", mmgr__field_by_id(always[i])->name);
        mmgr__buf_json_string(&buf, result->text[always[i]]);
    }
    for (uint32_t i = 0; (field = mmgr__field_at(i)) != NULL; i++) {
        const char *text = result->text[field->id];
        int done = text == NULL;
        for (size_t a = 0; a < fixed; a++)
            done |= always[a] == field->id;
        if (done)
            continue;
        mmgr__buf_printf(&buf, ",\"%s\":", field->name);
        if (is_raw(field->kind))
            mmgr__buf_puts(&buf, text);
        else
            mmgr__buf_json_string(&buf, text);
    }
    mmgr__buf_puts(&buf, ",\"rule\":");
    mmgr__buf_json_string(&buf, result->rule);
    mmgr__buf_printf(&buf, ",\"score\":%d,\"evidence\":[", result->score);
    for (size_t i = 0; i < result->evidence.count; i++) {
        mmgr__buf_puts(&buf, i > 0 ? "," : "");
        mmgr__buf_json_string(&buf, result->evidence.items[i]);
    }
    mmgr__buf_puts(&buf, "],\"runners_up\":[");
    for (size_t i = 0; i < result->other_count; i++) {
        mmgr__buf_puts(&buf, i > 0 ? ",{\"rule\":" : "{\"rule\":");
        mmgr__buf_json_string(&buf, result->others[i].rule);
        mmgr__buf_printf(&buf, ",\"score\":%d,\"missing\":", result->others[i].score);
        mmgr__buf_json_string(&buf, result->others[i].missing);
        mmgr__buf_puts(&buf, "}");
    }
    mmgr__buf_puts(&buf, "]}");
    char *text = mmgr__buf_take(&buf);
    if (text == NULL)
        return mmgr__oom();
    *json = text;
    return MMGR_OK;
}

/* --- overrides
 * --------------------------------------------------------------------------------------- */

void mmgr__overrides_free(struct mmgr__overrides *overrides)
{
    for (size_t i = 0; i < MMGR__FIELD_MAX; i++)
        mmgr__free(overrides->text[i]);
    *overrides = (struct mmgr__overrides){0};
}

/* A term that neither this release nor any rule knows is a slip of the keyboard. */
static int known_term(const struct mmgr__rules *rules, const struct mmgr__field *field,
                      const char *text)
{
    if (field->taxonomy == 0 || field->kind != MMGR__FIELD_TERM ||
        mmgr_term_parse(field->taxonomy, text) != MMGR_TERM_OTHER)
        return 1;
    for (size_t i = 0; i < rules->count; i++) {
        const struct mmgr__rule *rule = &rules->items[i];
        if ((field->id == MMGR_FIELD_TYPE && strcmp(rule->type, text) == 0) ||
            (field->id == MMGR_FIELD_BASE && strcmp(rule->base, text) == 0) ||
            (field->id == MMGR_FIELD_FORMAT && strcmp(rule->format, text) == 0))
            return 1;
    }
    return 0;
}

static enum mmgr_result take_member(const char *name, const json_t *value,
                                    const struct mmgr__rules *rules,
                                    struct mmgr__overrides *overrides)
{
    const struct mmgr__field *field = mmgr__field_by_name(name);
    char *text =
        json_is_string(value) ? mmgr__strdup(json_string_value(value)) : mmgr__json_dump(value);

    if (text == NULL)
        return mmgr__oom();
    if (field == NULL || !known_term(rules, field, text)) {
        mmgr__fail(MMGR_ERR_INVALID_CONFIG,
                   field == NULL ? "there is no field \"%s\"" : "field \"%s\" cannot be \"%s\"",
                   name, text);
        mmgr__error_set_field(name);
        mmgr__free(text);
        return MMGR_ERR_INVALID_CONFIG;
    }
    overrides->text[field->id] = text;
    return MMGR_OK;
}

enum mmgr_result mmgr__overrides_parse(const char *json, const struct mmgr__rules *rules,
                                       struct mmgr__overrides *overrides)
{
    mmgr_record_builder *builder = NULL;
    json_t *root = NULL, *value;
    const char *name;

    if (json == NULL)
        return MMGR_OK;
    enum mmgr_result result =
        mmgr__json_parse(json, strlen(json), MMGR_ERR_INVALID_CONFIG, "overrides", &root);
    if (result == MMGR_OK && !json_is_object(root))
        result = mmgr__fail(MMGR_ERR_INVALID_CONFIG, "overrides are not a JSON object");
    /* The record's own rules say what a field may be. */
    if (result == MMGR_OK)
        result = mmgr_record_builder_new(NULL, &builder);
    if (result == MMGR_OK)
        result = mmgr_record_builder_merge(builder, json);
    mmgr_record_builder_free(builder);
    if (result == MMGR_OK) {
        json_object_foreach(root, name, value)
        {
            if (!json_is_null(value) && result == MMGR_OK)
                result = take_member(name, value, rules, overrides);
        }
    }
    json_decref(root);
    if (result != MMGR_OK)
        mmgr__overrides_free(overrides);
    return result;
}
