/* SPDX-License-Identifier: MIT */
/* Fuzz target: any bytes as the stored form of a record, and what follows a byte 0xff as a patch. What is accepted
 * has a stored form that means the same; what is refused has changed nothing. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void refused(enum mmgr_result result)
{
    if (result != MMGR_ERR_INVALID_CONFIG || mmgr_error_message(mmgr_last_error())[0] == '\0')
        abort();
}

/* NULL when it is refused. */
static mmgr_record *load(const char *json, size_t length)
{
    mmgr_record_builder *builder;
    mmgr_record *record = NULL;
    enum mmgr_result result;

    if (mmgr_record_builder_new(NULL, &builder) != MMGR_OK)
        abort();
    result = mmgr__record_builder_load(builder, json, length);
    if (result == MMGR_OK)
        result = mmgr__record_builder_finish(builder, &record);
    if (result != MMGR_OK)
        refused(result);
    mmgr_record_builder_free(builder);
    return record;
}

/* The record's stored form, which must load again and stay the same; owned. */
static char *check(const mmgr_record *record)
{
    char *json = mmgr__record_stored_json(record), *json_again;
    mmgr_record *again = load(json, strlen(json));

    if (again == NULL)
        abort();
    json_again = mmgr__record_stored_json(again);
    if (strcmp(json, json_again) != 0)
        abort();
    mmgr__free(json_again);
    mmgr_record_unref(again);
    return json;
}

/* Merge a patch; `json` is the record's stored form. */
static void merge(const mmgr_record *record, const char *json, const char *patch)
{
    mmgr_record_builder *builder;
    mmgr_record *changed = NULL;
    enum mmgr_result result;
    char *after;
    int merged;

    if (mmgr_record_builder_new(record, &builder) != MMGR_OK)
        abort();
    result = mmgr_record_builder_merge(builder, patch);
    merged = result == MMGR_OK;
    if (!merged)
        refused(result);
    result = mmgr_record_builder_build(builder, &changed);
    if (result == MMGR_OK) {
        after = check(changed);
        if (!merged && strcmp(json, after) != 0)
            abort();
        mmgr__free(after);
    } else if (merged) {
        refused(result);
    } else {
        abort();
    }
    mmgr_record_unref(changed);
    mmgr_record_builder_free(builder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    const char *patch = size > 0 ? memchr(data, 0xff, size) : NULL;
    size_t length = patch != NULL ? (size_t)(patch - (const char *)data) : size;
    mmgr_record *record;

    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    record = load(text, length);
    if (record != NULL) {
        char *json = check(record);

        if (patch != NULL)
            merge(record, json, text + length + 1);
        mmgr__free(json);
    }
    mmgr_record_unref(record);
    free(text);
    if (mmgr__alloc_live() != 0)
        abort();
    return 0;
}
