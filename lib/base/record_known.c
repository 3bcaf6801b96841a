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

/* A known type and a known format that no kind pairs: a leftover of the kind that it was before. */
static enum mmgr_result check_pair(const mmgr_record *record, const mmgr_record *old)
{
    const char *type = record->text[MMGR_FIELD_TYPE], *format = record->text[MMGR_FIELD_FORMAT];

    if (old == NULL || (mmgr__same_text(type, old->text[MMGR_FIELD_TYPE]) &&
                        mmgr__same_text(format, old->text[MMGR_FIELD_FORMAT])))
        return MMGR_OK;
    if (record->term[MMGR_FIELD_TYPE] <= MMGR_TERM_OTHER ||
        record->term[MMGR_FIELD_FORMAT] <= MMGR_TERM_OTHER || mmgr__kind_find(type, format) != NULL)
        return MMGR_OK;
    return mmgr__record_bad(record, "format", "is \"%s\", which models of type %s do not have", format,
                            type);
}

enum mmgr_result mmgr__record_check_known(const mmgr_record *record, const mmgr_record *old)
{
    struct known known = {.record = record, .old = old};
    const struct mmgr__field *field;
    enum mmgr_result result;

    for (uint32_t i = 0; (field = mmgr__field_at(i)) != NULL; i++) {
        result = check_field(record, old, field);
        if (result != MMGR_OK)
            return result;
    }
    result = check_pair(record, old);
    if (result == MMGR_OK && !mmgr__same_text(record->text[MMGR_FIELD_DEFAULT_SETTINGS],
                                              old != NULL ? old->text[MMGR_FIELD_DEFAULT_SETTINGS]
                                                          : NULL))
        result = mmgr__settings_check(record);
    return result == MMGR_OK ? mmgr__record_each_extra(record, check_extra, &known) : result;
}
