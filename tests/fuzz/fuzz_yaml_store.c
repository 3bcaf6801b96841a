/* SPDX-License-Identifier: MIT */
/* Fuzz target: any bytes as a YAML store. What is accepted is written again with the same records, and what was
 * written once is written the same ever after. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/store/same_record.h"
#include "base/alloc.h"
#include "store/yaml_store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PATH "fuzz.yaml"

static const struct mmgr__store_place place = {"/root/models", "/root"};

static enum mmgr_result read_file(const char *text, size_t size, struct mmgr__yaml_file *file)
{
    return mmgr__yaml_file_read(text, size, PATH, &place, INT64_C(1700000000123456789), file);
}

/* Write a file whose records are in the database, and read it again. */
static char *write_and_read(struct mmgr__db *db, const struct mmgr__yaml_file *file, size_t *length,
                            struct mmgr__yaml_file *again)
{
    char *text;

    if (mmgr__yaml_file_write(db, &place, PATH, file, &text, length) != MMGR_OK ||
        read_file(text, *length, again) != MMGR_OK || again->count != file->count ||
        (file->root != NULL && strcmp(again->head, file->head) != 0))
        abort();
    for (size_t i = 0; i < file->count; i++) {
        const char *key = mmgr_record_text(file->records[i], MMGR_FIELD_KEY);
        mmgr_record *record = NULL;
        int64_t id;

        if (mmgr__db_get(db, &place, key, &record, &id) != MMGR_OK)
            abort();
        if (record_difference(record, again->records[i]) != NULL)
            abort();
        mmgr_record_unref(record);
    }
    return text;
}

/* The same by way of the database; NULL when two of the models have one path, or a manifest has one twice. */
static char *save(struct mmgr__db *db, const struct mmgr__yaml_file *file, size_t *length,
                  struct mmgr__yaml_file *again)
{
    struct mmgr__adding adding = {.records = (const mmgr_record *const *)file->records,
                                  .count = file->count};
    enum mmgr_result added;
    char *text = NULL;

    if (mmgr__db_begin(db, 1) != MMGR_OK)
        abort();
    added = mmgr__db_add(db, &adding);
    if (added == MMGR_OK)
        text = write_and_read(db, file, length, again);
    else if (added != MMGR_ERR_DUPLICATE_MODEL && added != MMGR_ERR_INVALID_CONFIG)
        abort();
    mmgr__db_end(db, 1, MMGR_ERR_STATE); /* roll back */
    return text;
}

static void check(struct mmgr__db *db, const struct mmgr__yaml_file *file)
{
    struct mmgr__yaml_file again = {.count = 0}, last = {.count = 0};
    size_t length, length_again;
    char *text = save(db, file, &length, &again), *text_again;

    if (text == NULL)
        return;
    text_again = save(db, &again, &length_again, &last);
    if (text_again == NULL || length != length_again || memcmp(text, text_again, length) != 0)
        abort();
    mmgr__free(text);
    mmgr__free(text_again);
    mmgr__yaml_file_free(&again);
    mmgr__yaml_file_free(&last);
}

/* Where in the file is said by every refusal. */
static void check_refusal(enum mmgr_result result)
{
    const char *message = mmgr_error_message(mmgr_last_error());

    if (result != MMGR_ERR_STORE_INCOMPATIBLE && result != MMGR_ERR_INVALID_CONFIG)
        abort();
    if (strncmp(message, PATH ":", strlen(PATH) + 1) != 0 ||
        message[strlen(PATH) + 1 + strspn(message + strlen(PATH) + 1, "0123456789")] != ':')
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct mmgr__db *db; /* kept, as opening one takes longer than all the rest */
    static uint64_t live;
    struct mmgr__yaml_file file = {.count = 0};
    char *text = malloc(size + 1);
    enum mmgr_result result;

    if (db == NULL) {
        if (mmgr__db_open_memory(PATH, &db) != MMGR_OK)
            abort();
        live = mmgr__alloc_live();
    }
    memcpy(text, data, size);
    text[size] = '\0';
    result = read_file(text, size, &file);
    if (result == MMGR_OK)
        check(db, &file);
    else
        check_refusal(result);
    mmgr__yaml_file_free(&file);
    free(text);
    if (mmgr__alloc_live() != live)
        abort();
    return 0;
}
