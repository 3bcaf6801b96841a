/* SPDX-License-Identifier: MIT */
/* Builders: edits on a draft, checked as a whole when the record is made. */
#include <string.h>

#include "base/alloc.h"
#include "base/record_parts.h"
#include "base/settings.h"

#define BIT(id) (UINT64_C(1) << (id))

#define PATCH_MAX ((size_t)32 << 20)
/* Every record that fits its fields' bounds, with each byte of their texts escaped. */
#define STORED_MAX ((size_t)128 << 20)

enum mmgr_result mmgr_record_builder_new(const mmgr_record *base, mmgr_record_builder **builder)
{
    mmgr_record_builder *made;

    if (builder == NULL)
        return mmgr__bad_argument("builder");
    made = mmgr__alloc0(1, sizeof *made);
    if (made == NULL)
        return mmgr__oom();
    if (base != NULL) {
        enum mmgr_result result = mmgr__record_copy(&made->draft, base);

        if (result != MMGR_OK) {
            mmgr__free(made);
            return result;
        }
    }
    *builder = made;
    return MMGR_OK;
}

void mmgr_record_builder_free(mmgr_record_builder *builder)
{
    if (builder == NULL)
        return;
    mmgr__record_wipe(&builder->draft);
    mmgr__free(builder);
}

enum mmgr_result mmgr__record_builder_set_location(mmgr_record_builder *builder,
                                                   const char *location)
{
    char *copy = mmgr__strdup(location);

    if (location != NULL && copy == NULL)
        return mmgr__oom();
    mmgr__free(builder->draft.location);
    builder->draft.location = copy;
    return MMGR_OK;
}

const char *mmgr__record_builder_text(const mmgr_record_builder *builder, enum mmgr_field field)
{
    return builder->draft.text[field];
}

/* Items separated by commas, blanks around them dropped. */
static enum mmgr_result set_comma_list(struct mmgr_record *draft, const struct mmgr__field *field,
                                       const char *value)
{
    struct mmgr__strings items = {0};
    enum mmgr_result result = MMGR_OK;

    while (result == MMGR_OK && *value != '\0') {
        size_t length = strcspn(value, ","), start = 0, end = length;
        char *item;

        while (start < end && value[start] == ' ')
            start++;
        while (end > start && value[end - 1] == ' ')
            end--;
        if (end > start) {
            item = mmgr__strndup(value + start, end - start);
            if (item == NULL || !mmgr__strings_add(&items, item))
                result = mmgr__oom();
            mmgr__free(item);
        }
        value += length + (value[length] == ',');
    }
    if (result == MMGR_OK)
        result = mmgr__value_list(draft, field, &items);
    mmgr__strings_free(&items);
    return result;
}

static enum mmgr_result set_from_text(struct mmgr_record *draft, const struct mmgr__field *field,
                                      const char *value)
{
    switch (field->kind) {
    case MMGR__FIELD_TEXT:
    case MMGR__FIELD_TERM:
    case MMGR__FIELD_TIME:
        return mmgr__value_text(draft, field, value, strlen(value));
    case MMGR__FIELD_LIST:
        if (value[strspn(value, " \t\r\n")] != '[')
            return set_comma_list(draft, field, value);
        break;
    default:
        break;
    }
    return mmgr__record_read_value(draft, field, value, strlen(value));
}

enum mmgr_result mmgr__record_builder_put(mmgr_record_builder *builder, enum mmgr_field field,
                                          const char *value)
{
    const struct mmgr__field *row = mmgr__field_by_id(field);

    if (value != NULL && value[0] != '\0')
        return set_from_text(&builder->draft, row, value);
    mmgr__value_clear(&builder->draft, row);
    return MMGR_OK;
}

/* `bases` that only repeated the primary base follows it. */
static void follow_base(struct mmgr_record *draft, const char *old_base)
{
    const struct mmgr__strings *bases = &draft->list[MMGR_FIELD_BASES];
    const char *base = draft->text[MMGR_FIELD_BASE];

    if (old_base != NULL && base != NULL && strcmp(old_base, base) != 0 && bases->count == 1 &&
        strcmp(bases->items[0], old_base) == 0)
        mmgr__value_clear(draft, mmgr__field_by_id(MMGR_FIELD_BASES));
}

/* Of the fields that an edit names, those that it changes. */
static uint64_t changed_fields(const struct mmgr_record *before, const struct mmgr_record *after,
                               uint64_t touched)
{
    const struct mmgr__field *field;

    for (uint32_t i = 0; (field = mmgr__field_at(i)) != NULL; i++) {
        if (mmgr__same_text(before->text[field->id], after->text[field->id]))
            touched &= ~BIT(field->id);
    }
    return touched;
}

/* Run an edit on a copy of the draft, so that a failure leaves it as it was. */
struct edit {
    const struct mmgr__field *field; /* one field from text, or NULL: a JSON object */
    const char *text;
};

static enum mmgr_result apply(mmgr_record_builder *builder, const struct edit *edit)
{
    struct mmgr_record copy;
    uint64_t touched = 0;
    enum mmgr_result result = mmgr__record_copy(&copy, &builder->draft);

    if (result != MMGR_OK)
        return result;
    if (edit->field == NULL) {
        result = mmgr__record_read_json(&copy, edit->text, strlen(edit->text), PATCH_MAX, &touched);
    } else {
        touched = BIT(edit->field->id);
        if (edit->text == NULL || edit->text[0] == '\0')
            mmgr__value_clear(&copy, edit->field);
        else
            result = set_from_text(&copy, edit->field, edit->text);
    }
    if (result != MMGR_OK) {
        mmgr__record_wipe(&copy);
        return result;
    }
    if (!(touched & BIT(MMGR_FIELD_BASES)))
        follow_base(&copy, builder->draft.text[MMGR_FIELD_BASE]);
    touched = changed_fields(&builder->draft, &copy, touched);
    mmgr__record_wipe(&builder->draft);
    builder->draft = copy;
    builder->touched |= touched;
    return MMGR_OK;
}

enum mmgr_result mmgr_record_builder_set(mmgr_record_builder *builder, enum mmgr_field field,
                                         const char *value)
{
    const struct mmgr__field *row = mmgr__field_by_id(field);
    struct edit edit = {row, value};

    if (builder == NULL || row == NULL)
        return mmgr__bad_argument(builder == NULL ? "builder" : "field");
    return apply(builder, &edit);
}

enum mmgr_result mmgr_record_builder_merge(mmgr_record_builder *builder, const char *json)
{
    struct edit edit = {NULL, json};

    if (builder == NULL || json == NULL)
        return mmgr__bad_argument(builder == NULL ? "builder" : "json");
    return apply(builder, &edit);
}

enum mmgr_result mmgr__record_builder_load(mmgr_record_builder *builder, const char *json,
                                           size_t length)
{
    uint64_t untold = 0;

    return mmgr__record_read_json(&builder->draft, json, length, STORED_MAX, &untold);
}

static int kind_has(const struct mmgr__kind *kind, enum mmgr_field id)
{
    for (size_t i = 0; i < sizeof kind->fields / sizeof kind->fields[0]; i++) {
        if (kind->fields[i] == id)
            return 1;
    }
    return 0;
}

/* Settings that are left over from another type, and that the new one does not have. */
static void drop_settings(struct mmgr_record *draft, uint64_t touched)
{
    const uint64_t type = BIT(MMGR_FIELD_TYPE), settings = BIT(MMGR_FIELD_DEFAULT_SETTINGS);

    if ((touched & type) != 0 && (touched & settings) == 0 &&
        mmgr__settings_check(draft) == MMGR_ERR_INVALID_CONFIG)
        mmgr__value_clear(draft, mmgr__field_by_id(MMGR_FIELD_DEFAULT_SETTINGS));
}

/* Fields that the kind does not have: refused when the caller set them, dropped when they are
 * left over from another kind, kept when they came with the record (a newer release may know
 * better). */
static enum mmgr_result check_kind(struct mmgr_record *draft, uint64_t touched)
{
    const char *type = draft->text[MMGR_FIELD_TYPE], *format = draft->text[MMGR_FIELD_FORMAT];
    const struct mmgr__kind *kind = mmgr__kind_find(type, format);
    int other_kind = (touched & (BIT(MMGR_FIELD_TYPE) | BIT(MMGR_FIELD_FORMAT))) != 0;
    const struct mmgr__field *field;

    if (kind == NULL)
        return MMGR_OK;
    for (uint32_t i = 0; (field = mmgr__field_at(i)) != NULL; i++) {
        if (field->general || draft->text[field->id] == NULL || kind_has(kind, field->id))
            continue;
        if (touched & BIT(field->id))
            return mmgr__record_bad(draft, field->name,
                                    "does not exist for models of type %s, format %s", type,
                                    format);
        if (other_kind)
            mmgr__value_clear(draft, field);
    }
    return MMGR_OK;
}

static enum mmgr_result check_bases(struct mmgr_record *draft)
{
    const struct mmgr__field *field = mmgr__field_by_id(MMGR_FIELD_BASES);
    char *base = draft->text[MMGR_FIELD_BASE];
    struct mmgr__strings one = {&base, 1, 1};

    if (draft->list[MMGR_FIELD_BASES].count == 0)
        return mmgr__value_list(draft, field, &one);
    if (!mmgr__strings_has(&draft->list[MMGR_FIELD_BASES], base))
        return mmgr__record_bad(draft, field->name, "must contain the base \"%s\"", base);
    return MMGR_OK;
}

static enum mmgr_result check(struct mmgr_record *draft, uint64_t touched)
{
    const struct mmgr__field *field;
    enum mmgr_result result;

    for (uint32_t i = 0; (field = mmgr__field_at(i)) != NULL; i++) {
        if (field->required && draft->text[field->id] == NULL)
            return mmgr__record_bad(draft, field->name, "is missing");
    }
    drop_settings(draft, touched);
    result = check_kind(draft, touched);
    return result == MMGR_OK ? check_bases(draft) : result;
}

static enum mmgr_result give_key(struct mmgr_record *draft)
{
    char key[33];

    if (draft->text[MMGR_FIELD_KEY] != NULL)
        return MMGR_OK;
    mmgr__random_hex(key, 32);
    return mmgr__value_text(draft, mmgr__field_by_id(MMGR_FIELD_KEY), key, 32);
}

enum mmgr_result mmgr__record_builder_finish(mmgr_record_builder *builder, mmgr_record **record)
{
    enum mmgr_result result = give_key(&builder->draft);
    mmgr_record *made;

    if (result == MMGR_OK)
        result = check(&builder->draft, builder->touched);
    if (result != MMGR_OK)
        return result;
    made = mmgr__alloc(sizeof *made);
    if (made == NULL)
        return mmgr__oom();
    *made = builder->draft;
    mmgr__refs_init(&made->refs);
    memset(builder, 0, sizeof *builder);
    *record = made;
    return MMGR_OK;
}

enum mmgr_result mmgr_record_builder_build(mmgr_record_builder *builder, mmgr_record **record)
{
    mmgr_record_builder copy = {.touched = 0};
    enum mmgr_result result;

    if (builder == NULL || record == NULL)
        return mmgr__bad_argument(builder == NULL ? "builder" : "record");
    /* The key stays with the builder: building twice makes the same model twice. */
    result = give_key(&builder->draft);
    if (result == MMGR_OK)
        result = mmgr__record_copy(&copy.draft, &builder->draft);
    if (result != MMGR_OK)
        return result;
    copy.touched = builder->touched;
    result = mmgr__record_builder_finish(&copy, record);
    mmgr__record_wipe(&copy.draft);
    return result;
}

enum mmgr_result mmgr_record_from_json(const char *json, mmgr_record **record)
{
    mmgr_record_builder *builder = NULL;
    enum mmgr_result result;

    if (json == NULL || record == NULL)
        return mmgr__bad_argument(json == NULL ? "json" : "record");
    result = mmgr_record_builder_new(NULL, &builder);
    if (result != MMGR_OK)
        return result;
    result = mmgr_record_builder_merge(builder, json);
    if (result == MMGR_OK)
        result = mmgr__record_builder_finish(builder, record);
    mmgr_record_builder_free(builder);
    return result;
}
