/* SPDX-License-Identifier: MIT */
/* Records from and to JSON. Members that this release does not know are carried as raw text: no
 * number type of ours can round them. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/record_parts.h"

#define UNKNOWN_MAX       256               /* members of newer releases */
#define UNKNOWN_BYTES_MAX ((size_t)1 << 20) /* all of them */
#define NAME_USUAL        64 /* bytes; names of members that need no memory of their own */

/* Decoded text of the string token just read; owned, *length without the NUL; NULL with an error
 * set. */
static char *token_text(const struct mmgr_record *draft, const char *field,
                        const struct mmgr__jscan *scan, size_t *length)
{
    size_t span = scan->end - scan->start;
    char *text = mmgr__alloc(span + 1);
    int64_t got = (int64_t)span;

    if (text == NULL) {
        mmgr__oom();
        return NULL;
    }
    if (scan->escaped)
        got = mmgr__jscan_unescape(scan->text + scan->start, span, text);
    else
        memcpy(text, scan->text + scan->start, span);
    if (got < 0) {
        mmgr__free(text);
        mmgr__record_bad(draft, field, "holds a bad escape, a lone surrogate or a NUL character");
        return NULL;
    }
    text[got] = '\0';
    *length = (size_t)got;
    return text;
}

static enum mmgr_result last_code(void)
{
    return mmgr_error_code(mmgr_last_error());
}

static const char *kind_name(enum mmgr__jscan_kind kind)
{
    switch (kind) {
    case MMGR__JSCAN_OBJECT:
        return "an object";
    case MMGR__JSCAN_ARRAY:
        return "a list";
    case MMGR__JSCAN_STRING:
        return "text";
    case MMGR__JSCAN_NUMBER:
        return "a number";
    default:
        return "true or false";
    }
}

/* The document as a whole is wrong: no field to name, but the key where it is known. */
static enum mmgr_result bad_document(const struct mmgr_record *draft, const char *why)
{
    const char *key = draft->text[MMGR_FIELD_KEY];

    mmgr__fail(MMGR_ERR_INVALID_CONFIG, "model %s: %s", key != NULL ? key : "record", why);
    if (key != NULL)
        mmgr__error_set_subject(key);
    return MMGR_ERR_INVALID_CONFIG;
}

static enum mmgr_result bad_json(const struct mmgr_record *draft, const char *field,
                                 const struct mmgr__jscan *scan)
{
    char why[256];

    snprintf(why, sizeof why, "is not valid JSON at byte %zu: %s", scan->at,
             scan->problem != NULL ? scan->problem : "unexpected end");
    if (field != NULL)
        mmgr__record_bad(draft, field, "%s", why);
    else
        bad_document(draft, why);
    mmgr__error_set_offset(scan->at);
    return MMGR_ERR_INVALID_CONFIG;
}

static enum mmgr_result read_text(struct mmgr_record *draft, const struct mmgr__field *field,
                                  const struct mmgr__jscan *scan)
{
    size_t length;
    enum mmgr_result result;
    char *text;

    if (!scan->escaped)
        return mmgr__value_text(draft, field, scan->text + scan->start, scan->end - scan->start);
    text = token_text(draft, field->name, scan, &length);
    if (text == NULL)
        return last_code();
    result = mmgr__value_text(draft, field, text, length);
    mmgr__free(text);
    return result;
}

static enum mmgr_result read_list(struct mmgr_record *draft, const struct mmgr__field *field,
                                  struct mmgr__jscan *scan)
{
    struct mmgr__strings items = {0};
    enum mmgr_result result = MMGR_OK;
    enum mmgr__jscan_kind kind;

    while (result == MMGR_OK && (kind = mmgr__jscan_next(scan)) != MMGR__JSCAN_ARRAY_END) {
        size_t length;
        char *text;

        if (kind == MMGR__JSCAN_ERROR || kind == MMGR__JSCAN_END) {
            result = bad_json(draft, field->name, scan);
        } else if (kind != MMGR__JSCAN_STRING) {
            result = mmgr__record_bad(draft, field->name, "must be a list of texts");
        } else if ((text = token_text(draft, field->name, scan, &length)) == NULL) {
            result = last_code();
        } else if (!mmgr__strings_take(&items, text)) {
            result = mmgr__oom();
        }
    }
    if (result == MMGR_OK)
        result = mmgr__value_list(draft, field, &items);
    mmgr__strings_free(&items);
    return result;
}

/* A JSON value without the white space between its tokens; owned. */
static char *compact(const char *json, size_t length)
{
    char *text = mmgr__alloc(length + 1);
    size_t used = 0;
    int quoted = 0;

    if (text == NULL)
        return NULL;
    for (size_t i = 0; i < length; i++) {
        if (!quoted && strchr(" \t\r\n", json[i]) != NULL)
            continue;
        text[used++] = json[i];
        if (quoted && json[i] == '\\' && i + 1 < length)
            text[used++] = json[++i];
        else if (json[i] == '"')
            quoted = !quoted;
    }
    text[used] = '\0';
    return text;
}

static enum mmgr_result read_object(struct mmgr_record *draft, const struct mmgr__field *field,
                                    struct mmgr__jscan *scan)
{
    size_t start = scan->start;
    char *text;

    if (!mmgr__jscan_skip(scan, MMGR__JSCAN_OBJECT))
        return bad_json(draft, field->name, scan);
    if (scan->at - start > field->max_bytes)
        return mmgr__record_bad(draft, field->name, "is longer than %u bytes", field->max_bytes);
    text = compact(scan->text + start, scan->at - start);
    if (text == NULL)
        return mmgr__oom();
    mmgr__value_put(draft, field, text);
    return MMGR_OK;
}

static enum mmgr_result read_number(struct mmgr_record *draft, const struct mmgr__field *field,
                                    const struct mmgr__jscan *scan)
{
    uint64_t number;

    if (!mmgr__jscan_u64(scan->text + scan->start, scan->end - scan->start, &number) ||
        number > INT64_MAX)
        return mmgr__record_bad(draft, field->name, "must be a whole number from 0 to 2^63 - 1");
    return mmgr__value_text(draft, field, scan->text + scan->start, scan->end - scan->start);
}

/* Set a field from the value whose first token was just read. */
static enum mmgr_result read_value(struct mmgr_record *draft, const struct mmgr__field *field,
                                   struct mmgr__jscan *scan, enum mmgr__jscan_kind kind)
{
    static const char *const wanted[] = {
        [MMGR__FIELD_TEXT] = "text",       [MMGR__FIELD_TERM] = "text",
        [MMGR__FIELD_LIST] = "a list",     [MMGR__FIELD_BOOL] = "true or false",
        [MMGR__FIELD_NUMBER] = "a number", [MMGR__FIELD_OBJECT] = "an object",
        [MMGR__FIELD_TIME] = "text",       [MMGR__FIELD_REAL] = "a number",
    };

    if (kind == MMGR__JSCAN_ERROR || kind == MMGR__JSCAN_END)
        return bad_json(draft, field->name, scan);
    if (kind == MMGR__JSCAN_NULL) {
        mmgr__value_clear(draft, field);
        return MMGR_OK;
    }
    switch (field->kind) {
    case MMGR__FIELD_TEXT:
    case MMGR__FIELD_TERM:
    case MMGR__FIELD_TIME:
        if (kind == MMGR__JSCAN_STRING)
            return read_text(draft, field, scan);
        break;
    case MMGR__FIELD_LIST:
        if (kind == MMGR__JSCAN_ARRAY)
            return read_list(draft, field, scan);
        break;
    case MMGR__FIELD_BOOL:
        if (kind == MMGR__JSCAN_TRUE || kind == MMGR__JSCAN_FALSE)
            return mmgr__value_text(draft, field, kind == MMGR__JSCAN_TRUE ? "true" : "false",
                                    kind == MMGR__JSCAN_TRUE ? 4 : 5);
        break;
    case MMGR__FIELD_NUMBER:
        if (kind == MMGR__JSCAN_NUMBER)
            return read_number(draft, field, scan);
        break;
    case MMGR__FIELD_REAL:
        if (kind == MMGR__JSCAN_NUMBER)
            return mmgr__value_text(draft, field, scan->text + scan->start,
                                    scan->end - scan->start);
        break;
    case MMGR__FIELD_OBJECT:
        if (kind == MMGR__JSCAN_OBJECT)
            return read_object(draft, field, scan);
        break;
    }
    return mmgr__record_bad(draft, field->name, "must be %s, not %s", wanted[field->kind],
                            kind_name(kind));
}

enum mmgr_result mmgr__record_read_value(struct mmgr_record *draft, const struct mmgr__field *field,
                                         const char *json, size_t length)
{
    struct mmgr__jscan scan;
    enum mmgr_result result;

    if (!mmgr__utf8_valid(json, length))
        return mmgr__record_bad(draft, field->name, "is not valid UTF-8");
    mmgr__jscan_init(&scan, json, length);
    result = read_value(draft, field, &scan, mmgr__jscan_next(&scan));
    if (result == MMGR_OK && mmgr__jscan_next(&scan) != MMGR__JSCAN_END)
        result = bad_json(draft, field->name, &scan);
    return result;
}

/* Unknown members of one document: their decoded names, and the raw text of those that are not
 * null. */
struct unknown {
    struct mmgr__strings names;
    struct mmgr__buf raw;
    size_t count; /* of members in raw */
};

static enum mmgr_result read_unknown(struct mmgr_record *draft, struct unknown *unknown,
                                     const char *name, struct mmgr__jscan *scan, size_t key_start)
{
    enum mmgr__jscan_kind kind = mmgr__jscan_next(scan);

    if (!mmgr__jscan_skip(scan, kind))
        return bad_json(draft, name, scan);
    if (mmgr__strings_has(&unknown->names, name))
        return mmgr__record_bad(draft, name, "is there twice");
    if (unknown->names.count >= UNKNOWN_MAX)
        return mmgr__record_bad(draft, name, "is one unknown field too many (%d)", UNKNOWN_MAX);
    if (!mmgr__strings_add(&unknown->names, name))
        return mmgr__oom();
    if (kind == MMGR__JSCAN_NULL)
        return MMGR_OK;
    unknown->count++;
    if (unknown->raw.length > 0)
        mmgr__buf_puts(&unknown->raw, ",");
    mmgr__buf_append(&unknown->raw, scan->text + key_start, scan->at - key_start);
    if (unknown->raw.length > UNKNOWN_BYTES_MAX)
        return mmgr__record_bad(draft, name, "and other unknown fields are larger than 1 MiB");
    return unknown->raw.failed ? mmgr__oom() : MMGR_OK;
}

static enum mmgr_result read_member(struct mmgr_record *draft, struct mmgr__jscan *scan,
                                    struct unknown *unknown, uint64_t *touched)
{
    size_t key_start = scan->start - 1, length = scan->end - scan->start;
    char usual[NAME_USUAL], *name = usual;
    const struct mmgr__field *field;
    enum mmgr_result result;

    if (!scan->escaped && length < sizeof usual) {
        memcpy(usual, scan->text + scan->start, length);
        usual[length] = '\0';
    } else if ((name = token_text(draft, "(name)", scan, &length)) == NULL) {
        return last_code();
    }
    field = mmgr__field_by_name(name);
    if (strcmp(name, "location") == 0) {
        /* Worked out from the path, never taken from outside. */
        result =
            mmgr__jscan_skip(scan, mmgr__jscan_next(scan)) ? MMGR_OK : bad_json(draft, NULL, scan);
    } else if (field == NULL) {
        result = read_unknown(draft, unknown, name, scan, key_start);
    } else if (*touched & (UINT64_C(1) << field->id)) {
        result = mmgr__record_bad(draft, field->name, "is there twice");
    } else {
        *touched |= UINT64_C(1) << field->id;
        result = read_value(draft, field, scan, mmgr__jscan_next(scan));
    }
    if (name != usual)
        mmgr__free(name);
    return result;
}

enum mmgr_result mmgr__record_each_extra(const struct mmgr_record *record, mmgr__extra_fn fn,
                                         void *user)
{
    char *json = record->extra != NULL ? mmgr__printf("{%s}", record->extra) : NULL;
    struct mmgr__jscan scan;
    enum mmgr_result result = MMGR_OK;

    if (record->extra == NULL)
        return MMGR_OK;
    if (json == NULL)
        return mmgr__oom();
    mmgr__jscan_init(&scan, json, strlen(json));
    mmgr__jscan_next(&scan);
    while (result == MMGR_OK && mmgr__jscan_next(&scan) == MMGR__JSCAN_KEY) {
        struct mmgr__extra extra = {.member = json + scan.start - 1};
        char *name = token_text(record, "(name)", &scan, &extra.member_length);

        if (name == NULL) {
            result = last_code();
            break;
        }
        extra.name = name;
        extra.kind = mmgr__jscan_next(&scan);
        extra.value = json + scan.start - (extra.kind == MMGR__JSCAN_STRING);
        if (!mmgr__jscan_skip(&scan, extra.kind)) {
            result = bad_json(record, NULL, &scan);
        } else {
            extra.member_length = (size_t)(json + scan.at - extra.member);
            extra.value_length = (size_t)(json + scan.at - extra.value);
            result = fn(&extra, user);
        }
        mmgr__free(name);
    }
    mmgr__free(json);
    return result;
}

/* The members of `extra` that the new document does not name. */
struct others {
    const struct unknown *unknown;
    struct mmgr__buf kept;
    size_t count;
};

static enum mmgr_result keep_other(const struct mmgr__extra *extra, void *user)
{
    struct others *others = user;

    if (mmgr__strings_has(&others->unknown->names, extra->name))
        return MMGR_OK;
    others->count++;
    if (others->kept.length > 0)
        mmgr__buf_puts(&others->kept, ",");
    mmgr__buf_append(&others->kept, extra->member, extra->member_length);
    return MMGR_OK;
}

static enum mmgr_result merge_unknown(struct mmgr_record *draft, const struct unknown *unknown)
{
    struct others others = {unknown, {0}, unknown->count};
    struct mmgr__buf *merged = &others.kept;
    enum mmgr_result result;
    char *text;

    if (unknown->names.count == 0)
        return MMGR_OK;
    result = mmgr__record_each_extra(draft, keep_other, &others);
    /* What is accepted here must be accepted when the record is read again. */
    if (result == MMGR_OK && others.count > UNKNOWN_MAX)
        result = mmgr__record_bad(draft, unknown->names.items[0],
                                  "and other unknown fields are more than %d", UNKNOWN_MAX);
    if (merged->length > 0 && unknown->raw.length > 0)
        mmgr__buf_puts(merged, ",");
    mmgr__buf_append(merged, unknown->raw.data, unknown->raw.length);
    text = result == MMGR_OK ? mmgr__buf_take(merged) : NULL;
    mmgr__buf_free(merged);
    if (result != MMGR_OK)
        return result;
    if (text == NULL)
        return mmgr__oom();
    mmgr__free(draft->extra);
    draft->extra = text;
    if (text[0] == '\0') {
        mmgr__free(text);
        draft->extra = NULL;
    } else if (strlen(text) > UNKNOWN_BYTES_MAX) {
        return mmgr__record_bad(draft, unknown->names.items[0],
                                "and other unknown fields are larger than 1 MiB");
    }
    return MMGR_OK;
}

/* Bytes that are no UTF-8: in which member? The scanner stops at the text that holds them. */
static enum mmgr_result bad_utf8(const struct mmgr_record *draft, const char *json, size_t length)
{
    size_t at = mmgr__utf8_prefix(json, length);
    char name[NAME_USUAL] = "";
    struct mmgr__jscan scan;

    mmgr__jscan_init(&scan, json, length);
    mmgr__jscan_next(&scan);
    while (mmgr__jscan_next(&scan) == MMGR__JSCAN_KEY) {
        snprintf(name, sizeof name, "%.*s", (int)(scan.end - scan.start), json + scan.start);
        if (!mmgr__jscan_skip(&scan, mmgr__jscan_next(&scan)))
            break;
        name[0] = '\0';
    }
    if (name[0] != '\0' && scan.problem == mmgr__jscan_not_utf8)
        mmgr__record_bad(draft, name, "is not valid UTF-8 at byte %zu", at);
    else
        bad_document(draft, "its JSON is not valid UTF-8");
    mmgr__error_set_offset(at);
    return MMGR_ERR_INVALID_CONFIG;
}

enum mmgr_result mmgr__record_read_json(struct mmgr_record *draft, const char *json, size_t length,
                                        size_t most, uint64_t *touched)
{
    struct unknown unknown = {{0}, {0}, 0};
    struct mmgr__jscan scan;
    enum mmgr_result result = MMGR_OK;
    enum mmgr__jscan_kind kind;
    char why[64];

    if (length > most) {
        snprintf(why, sizeof why, "its JSON is longer than %zu MiB", most >> 20);
        return bad_document(draft, why);
    }
    if (!mmgr__utf8_valid(json, length))
        return bad_utf8(draft, json, length);
    mmgr__jscan_init(&scan, json, length);
    kind = mmgr__jscan_next(&scan);
    if (kind == MMGR__JSCAN_ERROR || kind == MMGR__JSCAN_END)
        return bad_json(draft, NULL, &scan);
    if (kind != MMGR__JSCAN_OBJECT) {
        snprintf(why, sizeof why, "must be a JSON object, not %s",
                 kind == MMGR__JSCAN_NULL ? "null" : kind_name(kind));
        return bad_document(draft, why);
    }
    while (result == MMGR_OK && (kind = mmgr__jscan_next(&scan)) == MMGR__JSCAN_KEY)
        result = read_member(draft, &scan, &unknown, touched);
    if (result == MMGR_OK &&
        (kind != MMGR__JSCAN_OBJECT_END || mmgr__jscan_next(&scan) != MMGR__JSCAN_END))
        result = bad_json(draft, NULL, &scan);
    if (result == MMGR_OK)
        result = merge_unknown(draft, &unknown);
    mmgr__strings_free(&unknown.names);
    mmgr__buf_free(&unknown.raw);
    return result;
}

static void write_field(struct mmgr__buf *json, const mmgr_record *record,
                        const struct mmgr__field *field)
{
    const char *text = record->text[field->id];

    mmgr__buf_puts(json, json->length > 1 ? ",\"" : "\"");
    mmgr__buf_puts(json, field->name);
    mmgr__buf_puts(json, "\":");
    if (text == NULL)
        mmgr__buf_puts(json, "null");
    else if (field->kind == MMGR__FIELD_TEXT || field->kind == MMGR__FIELD_TERM ||
             field->kind == MMGR__FIELD_TIME)
        mmgr__buf_json_string(json, text);
    else
        mmgr__buf_puts(json, text);
}

static char *write_record(const mmgr_record *record, int stored)
{
    struct mmgr__buf json = {0};
    const struct mmgr__field *field;

    mmgr__buf_puts(&json, "{");
    for (uint32_t i = 0; (field = mmgr__field_at(i)) != NULL; i++) {
        if (record->text[field->id] != NULL || !stored)
            write_field(&json, record, field);
        if (field->id == MMGR_FIELD_PATH && !stored) {
            mmgr__buf_puts(&json, ",\"location\":");
            mmgr__buf_json_string(&json, mmgr_record_location(record));
        }
    }
    if (record->extra != NULL) {
        mmgr__buf_puts(&json, json.length > 1 ? "," : "");
        mmgr__buf_puts(&json, record->extra);
    }
    mmgr__buf_puts(&json, "}");
    return mmgr__buf_take(&json);
}

char *mmgr__record_stored_json(const mmgr_record *record)
{
    return write_record(record, 1);
}

enum mmgr_result mmgr_record_to_json(const mmgr_record *record, char **json)
{
    char *text;

    if (record == NULL || json == NULL)
        return mmgr__bad_argument(record == NULL ? "record" : "json");
    text = write_record(record, 0);
    if (text == NULL)
        return mmgr__oom();
    *json = text;
    return MMGR_OK;
}
