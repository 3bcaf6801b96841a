/* SPDX-License-Identifier: MIT */
/* What a record may hold when it comes from outside: values and members that this release knows. A store that
 * a newer release wrote is read without this check, so that its records survive. */
#include <string.h>

#include "base/record_parts.h"
#include "base/settings.h"

static int is_unknown_term(const struct mmgr__field *field, const char *text)
{
    return mmgr_term_parse(field->taxonomy, text) == MMGR_TERM_OTHER;
}

static enum mmgr_result check_field(const mmgr_record *record, const mmgr_record *old,
                                    const struct mmgr__field *field)
{
    const char *text = record->text[field->id];
    const char *before = old != NULL ? old->text[field->id] : NULL;

    if (field->taxonomy == 0 || text == NULL || (before != NULL && strcmp(before, text) == 0))
        return MMGR_OK;
    if (field->kind == MMGR__FIELD_TERM)
        return is_unknown_term(field, text)
                   ? mmgr__record_bad(record, field->name, "has the unknown value \"%.100s\"", text)
                   : MMGR_OK;
    for (size_t i = 0; i < record->list[field->id].count; i++) {
        const char *item = record->list[field->id].items[i];

        if (is_unknown_term(field, item) &&
            (old == NULL || !mmgr__strings_has(&old->list[field->id], item)))
            return mmgr__record_bad(record, field->name, "has the unknown item \"%.100s\"", item);
    }
    return MMGR_OK;
}

struct known {
    const mmgr_record *record, *old;
    const char *name; /* looked for in the old record */
    int found;
};

static enum mmgr_result find_name(const struct mmgr__extra *extra, void *user)
{
    struct known *known = user;

    known->found |= strcmp(extra->name, known->name) == 0;
    return MMGR_OK;
}

static enum mmgr_result check_extra(const struct mmgr__extra *extra, void *user)
{
    struct known *known = user;
    enum mmgr_result result = MMGR_OK;

    known->name = extra->name;
    known->found = 0;
    if (known->old != NULL)
        result = mmgr__record_each_extra(known->old, find_name, known);
    if (result == MMGR_OK && !known->found)
        result = mmgr__record_bad(known->record, extra->name, "is no field of a model record");
    return result;
}

static int same_text(const mmgr_record *one, const mmgr_record *two, enum mmgr_field field)
{
    const char *a = one->text[field], *b = two != NULL ? two->text[field] : NULL;

    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

enum mmgr_result mmgr__record_check_known(const mmgr_record *record, const mmgr_record *old)
{
    struct known known = {.record = record, .old = old};
    const struct mmgr__field *field;

    for (uint32_t i = 0; (field = mmgr__field_at(i)) != NULL; i++) {
        enum mmgr_result result = check_field(record, old, field);

        if (result != MMGR_OK)
            return result;
    }
    if (!same_text(record, old, MMGR_FIELD_DEFAULT_SETTINGS)) {
        enum mmgr_result result = mmgr__settings_check(record);

        if (result != MMGR_OK)
            return result;
    }
    return mmgr__record_each_extra(record, check_extra, &known);
}
