/* SPDX-License-Identifier: MIT */
/* YAML back end: what a text must look like in the file so that every reader takes it for text, and which JSON values
 * come back from it as they were. */
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "store/yaml_store.h"

/* Text that other programs, which may know YAML 1.1, would read as something else when it stands plain. */
static const char *const words[] = {"true", "false", "True", "False", "TRUE", "FALSE", "yes", "no",
                                    "Yes",  "No",    "YES",  "NO",    "on",   "off",   "On",  "Off",
                                    "ON",   "OFF",   "y",    "n",     "Y",    "N",     "<<",  "="};
static const char *const number_starts[] = {"0x", "0X", "0b", "0B", "0o",
                                            "0O", ".i", ".I", ".n", ".N"};

int mmgr__yaml_is_null(const char *text)
{
    return text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0 ||
           strcmp(text, "Null") == 0 || strcmp(text, "NULL") == 0;
}

int mmgr__yaml_is_number(const char *text)
{
    struct mmgr__jscan scan;

    mmgr__jscan_init(&scan, text, strlen(text));
    return mmgr__jscan_next(&scan) == MMGR__JSCAN_NUMBER && scan.start == 0 &&
           scan.end == strlen(text) && mmgr__jscan_next(&scan) == MMGR__JSCAN_END;
}

int mmgr__yaml_needs_escapes(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;

    for (; *at != '\0'; at++) {
        if (*at < 0x20 || *at == 0x7f || (*at == 0xc2 && at[1] < 0xa0) ||
            (*at == 0xe2 && at[1] == 0x80 && (at[2] == 0xa8 || at[2] == 0xa9)) ||
            (*at == 0xef && at[1] == 0xbb && at[2] == 0xbf))
            return 1;
    }
    return 0;
}

/* Numbers of any base, times, infinities; what only begins like one is better quoted than misread. */
static int looks_like_number(const char *text)
{
    const char *digits = text + (text[0] == '+' || text[0] == '-');

    for (size_t i = 0; i < sizeof number_starts / sizeof number_starts[0]; i++) {
        if (mmgr__starts_with(digits, number_starts[i]))
            return 1;
    }
    return strcspn(digits, "0123456789") <= (size_t)(*digits == '.') &&
           digits[strspn(digits, "0123456789+-._:eETtZz ")] == '\0';
}

int mmgr__yaml_is_text(const char *text)
{
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(words[i], text) == 0)
            return 0;
    }
    return !mmgr__yaml_is_null(text) && !looks_like_number(text);
}

/* ---- JSON values */

char *mmgr__yaml_token_text(const struct mmgr__jscan *scan, enum mmgr__jscan_kind kind, int *sound)
{
    size_t length = scan->end - scan->start;
    char *text = mmgr__strndup(scan->text + scan->start, length);
    int64_t decoded;

    *sound = 1;
    if (text == NULL || !scan->escaped || (kind != MMGR__JSCAN_STRING && kind != MMGR__JSCAN_KEY))
        return text;
    decoded = mmgr__jscan_unescape(scan->text + scan->start, length, text);
    *sound = decoded >= 0;
    text[*sound ? decoded : 0] = '\0';
    return text;
}

static int has_doubles(struct mmgr__strings *names)
{
    mmgr__strings_sort(names);
    for (size_t i = 1; i < names->count; i++) {
        if (strcmp(names->items[i - 1], names->items[i]) == 0)
            return 1;
    }
    return 0;
}

static int put_normal(struct mmgr__buf *json, struct mmgr__jscan *scan, enum mmgr__jscan_kind kind);

static int put_items(struct mmgr__buf *json, struct mmgr__jscan *scan, int map)
{
    enum mmgr__jscan_kind last = map ? MMGR__JSCAN_OBJECT_END : MMGR__JSCAN_ARRAY_END, kind;
    struct mmgr__strings names = {0};
    const char *comma = "";
    int possible = 1;

    mmgr__buf_puts(json, map ? "{" : "[");
    while (possible && (kind = mmgr__jscan_next(scan)) != last && kind != MMGR__JSCAN_ERROR) {
        if (!map || kind == MMGR__JSCAN_KEY) {
            mmgr__buf_puts(json, comma);
            comma = ",";
        }
        if (kind == MMGR__JSCAN_KEY) {
            char *name = mmgr__strndup(scan->text + scan->start, scan->end - scan->start);

            json->failed |= name == NULL || !mmgr__strings_add(&names, name);
            mmgr__free(name);
        }
        possible = put_normal(json, scan, kind);
    }
    mmgr__buf_puts(json, map ? "}" : "]");
    /* YAML refuses the same name twice. */
    possible = possible && !has_doubles(&names);
    mmgr__strings_free(&names);
    return possible;
}

/* Write a JSON value as our reader would make it of YAML; 0 when YAML cannot hold it at all. */
static int put_normal(struct mmgr__buf *json, struct mmgr__jscan *scan, enum mmgr__jscan_kind kind)
{
    char *text;
    int possible;

    if (kind == MMGR__JSCAN_OBJECT || kind == MMGR__JSCAN_ARRAY)
        return put_items(json, scan, kind == MMGR__JSCAN_OBJECT);
    text = mmgr__yaml_token_text(scan, kind, &possible);
    if (text == NULL) {
        json->failed = 1;
    } else if (kind == MMGR__JSCAN_STRING || kind == MMGR__JSCAN_KEY) {
        mmgr__buf_json_string(json, text);
        mmgr__buf_puts(json, kind == MMGR__JSCAN_KEY ? ":" : "");
    } else {
        mmgr__buf_puts(json, text);
    }
    mmgr__free(text);
    return possible;
}

/* Depth that still fits into a file below the maps around it. */
#define DEPTH_MAX 56

enum mmgr_result mmgr__yaml_check_natural(const char *value, size_t length, int *natural)
{
    struct mmgr__jscan scan;
    struct mmgr__buf json = {0};
    enum mmgr_result result;

    mmgr__jscan_init(&scan, value, length);
    scan.max_depth = DEPTH_MAX;
    *natural = put_normal(&json, &scan, mmgr__jscan_next(&scan)) && json.length == length &&
               memcmp(json.data, value, length) == 0;
    result = json.failed ? mmgr__oom() : MMGR_OK;
    mmgr__buf_free(&json);
    return result;
}
