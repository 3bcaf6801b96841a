/* SPDX-License-Identifier: MIT */
/* What the value of a record field may be, and putting it in its place. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/record_parts.h"

#define ITEMS_MAX 4096

enum mmgr_result mmgr__record_bad(const struct mmgr_record *draft, const char *field,
                                  const char *format, ...)
{
    const char *key = draft->text[MMGR_FIELD_KEY];
    char why[512];
    va_list args;

    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    if (key != NULL)
        mmgr__fail(MMGR_ERR_INVALID_CONFIG, "model %s: field \"%s\" %s", key, field, why);
    else
        mmgr__fail(MMGR_ERR_INVALID_CONFIG, "model record: field \"%s\" %s", field, why);
    mmgr__error_set_field(field);
    if (key != NULL)
        mmgr__error_set_subject(key);
    return MMGR_ERR_INVALID_CONFIG;
}

void mmgr__value_clear(struct mmgr_record *draft, const struct mmgr__field *field)
{
    mmgr__free(draft->text[field->id]);
    draft->text[field->id] = NULL;
    draft->term[field->id] = 0;
    mmgr__strings_free(&draft->list[field->id]);
}

void mmgr__value_put(struct mmgr_record *draft, const struct mmgr__field *field, char *text)
{
    mmgr__value_clear(draft, field);
    draft->text[field->id] = text;
    if (field->kind == MMGR__FIELD_TERM)
        draft->term[field->id] = mmgr_term_parse(field->taxonomy, text);
}

static int has_control(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return 1;
    }
    return 0;
}

static int is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '-';
}

/* A relative path must stay where it is resolved. */
static int climbs_out(const char *path, size_t length)
{
    size_t start = 0;

    if (path[0] == '/')
        return 0;
    for (size_t i = 0; i <= length; i++) {
        if (i < length && path[i] != '/')
            continue;
        if (i - start == 2 && path[start] == '.' && path[start + 1] == '.')
            return 1;
        start = i + 1;
    }
    return 0;
}

/* "algorithm:digest"; imported forms with further colons are kept as they are. */
static int is_hash(const char *text, size_t length)
{
    size_t at = 0;

    while (at < length && is_word(text[at]))
        at++;
    return at > 0 && at + 1 < length && text[at] == ':' && memchr(text, ' ', length) == NULL;
}

/* NULL when the text may stand in the field, else why not. */
static const char *problem_of(const struct mmgr__field *field, const char *text, size_t length)
{
    switch (field->id) {
    case MMGR_FIELD_DESCRIPTION:
    case MMGR_FIELD_SOURCE_API_RESPONSE:
    case MMGR_FIELD_COVER_IMAGE:
        return NULL;
    case MMGR_FIELD_KEY:
        for (size_t i = 0; i < length; i++) {
            if (!is_word(text[i]))
                return "may only hold letters, digits, '_' and '-'";
        }
        return NULL;
    default:
        break;
    }
    if (has_control(text, length))
        return "holds a control character";
    switch (field->id) {
    case MMGR_FIELD_PATH:
        if (text[strspn(text, "./")] == '\0' && strstr(text, "..") == NULL)
            return "names no file or folder";
        return climbs_out(text, length) ? "is a relative path with \"..\"" : NULL;
    case MMGR_FIELD_VAE:
    case MMGR_FIELD_CONFIG_PATH:
        return climbs_out(text, length) ? "is a relative path with \"..\"" : NULL;
    case MMGR_FIELD_HASH:
        return is_hash(text, length) ? NULL : "must be \"algorithm:digest\"";
    case MMGR_FIELD_SOURCE_URL:
        return strncmp(text, "https://", 8) == 0 || strncmp(text, "http://", 7) == 0
                   ? NULL
                   : "must be an http or https URL";
    default:
        return NULL;
    }
}

static enum mmgr_result check_form(const struct mmgr_record *draft, const struct mmgr__field *field,
                                   const char *text, size_t length)
{
    if (length > field->max_bytes)
        return mmgr__record_bad(draft, field->name, "is longer than %u bytes", field->max_bytes);
    if (memchr(text, '\0', length) != NULL)
        return mmgr__record_bad(draft, field->name, "holds a NUL character");
    if (!mmgr__utf8_valid(text, length))
        return mmgr__record_bad(draft, field->name, "is not valid UTF-8");
    return MMGR_OK;
}

enum mmgr_result mmgr__value_text(struct mmgr_record *draft, const struct mmgr__field *field,
                                  const char *text, size_t length)
{
    enum mmgr_result result = check_form(draft, field, text, length);
    const char *problem;
    int64_t time;
    char *copy;

    if (result != MMGR_OK)
        return result;
    if (length == 0 && field->id == MMGR_FIELD_REPO_VARIANT) {
        text = mmgr_term_name(MMGR_TAXONOMY_REPO_VARIANT, MMGR_REPO_VARIANT_DEFAULT);
        length = strlen(text);
    }
    if (length == 0) {
        mmgr__value_clear(draft, field);
        return MMGR_OK;
    }
    copy = mmgr__strndup(text, length);
    if (copy == NULL)
        return mmgr__oom();
    problem = problem_of(field, copy, length);
    if (problem == NULL && field->kind == MMGR__FIELD_TIME && !mmgr__parse_time(copy, &time))
        problem = "must be a time such as 2024-01-31T12:00:00.000Z";
    if (problem != NULL) {
        mmgr__free(copy);
        return mmgr__record_bad(draft, field->name, "%s", problem);
    }
    mmgr__value_put(draft, field, copy);
    return MMGR_OK;
}

/* Check and copy the items, without doubles. */
static enum mmgr_result copy_items(const struct mmgr_record *draft, const struct mmgr__field *field,
                                   const struct mmgr__strings *items, struct mmgr__strings *copy)
{
    if (items->count > ITEMS_MAX)
        return mmgr__record_bad(draft, field->name, "has more than %d items", ITEMS_MAX);
    for (size_t i = 0; i < items->count; i++) {
        enum mmgr_result result =
            check_form(draft, field, items->items[i], strlen(items->items[i]));

        if (result != MMGR_OK)
            return result;
        if (items->items[i][0] == '\0')
            return mmgr__record_bad(draft, field->name, "has an empty item");
        if (has_control(items->items[i], strlen(items->items[i])))
            return mmgr__record_bad(draft, field->name, "has an item with a control character");
        if (!mmgr__strings_has(copy, items->items[i]) && !mmgr__strings_add(copy, items->items[i]))
            return mmgr__oom();
    }
    return MMGR_OK;
}

enum mmgr_result mmgr__value_list(struct mmgr_record *draft, const struct mmgr__field *field,
                                  const struct mmgr__strings *items)
{
    struct mmgr__strings copy = {0};
    struct mmgr__buf json = {0};
    enum mmgr_result result = copy_items(draft, field, items, &copy);
    char *text = NULL;

    if (result != MMGR_OK)
        goto out;
    mmgr__buf_puts(&json, "[");
    for (size_t i = 0; i < copy.count; i++) {
        mmgr__buf_puts(&json, i > 0 ? "," : "");
        mmgr__buf_json_string(&json, copy.items[i]);
    }
    mmgr__buf_puts(&json, "]");
    text = mmgr__buf_take(&json);
    if (text == NULL)
        result = mmgr__oom();
    else if (strlen(text) > field->max_bytes)
        result = mmgr__record_bad(draft, field->name, "is longer than %u bytes", field->max_bytes);
    if (result != MMGR_OK)
        goto out;
    mmgr__value_clear(draft, field);
    if (copy.count > 0) {
        draft->text[field->id] = text;
        draft->list[field->id] = copy;
        return MMGR_OK;
    }
out:
    mmgr__free(text);
    mmgr__strings_free(&copy);
    return result;
}

/* Two or more digits as a number, or -1. */
static int number_at(const char *text, int digits)
{
    int value = 0;

    for (int i = 0; i < digits; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

int mmgr__parse_time(const char *text, int64_t *ns)
{
    static const char form[] = "0000-00-00T00:00:00";
    struct tm parts = {0}, check;
    int64_t fraction = 0, unit = 100000000;
    time_t seconds;

    for (size_t i = 0; form[i] != '\0'; i++) {
        int digit = text[i] >= '0' && text[i] <= '9';

        if (form[i] == '0' ? !digit : text[i] != form[i])
            return 0;
    }
    parts.tm_year = number_at(text, 4) - 1900;
    parts.tm_mon = number_at(text + 5, 2) - 1;
    parts.tm_mday = number_at(text + 8, 2);
    parts.tm_hour = number_at(text + 11, 2);
    parts.tm_min = number_at(text + 14, 2);
    parts.tm_sec = number_at(text + 17, 2);
    text += 19;
    if (*text == '.') {
        for (text++; *text >= '0' && *text <= '9' && unit > 0; text++, unit /= 10)
            fraction += (*text - '0') * unit;
    }
    check = parts;
    seconds = timegm(&check);
    /* timegm() carries what is out of range; a date that exists comes back unchanged. */
    if (strcmp(text, "Z") != 0 || check.tm_mon != parts.tm_mon || check.tm_mday != parts.tm_mday ||
        check.tm_hour != parts.tm_hour || check.tm_min != parts.tm_min ||
        check.tm_sec != parts.tm_sec)
        return 0;
    return !__builtin_mul_overflow((int64_t)seconds, INT64_C(1000000000), ns) &&
           !__builtin_add_overflow(*ns, fraction, ns);
}
