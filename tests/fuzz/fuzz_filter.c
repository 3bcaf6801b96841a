/* SPDX-License-Identifier: MIT */
/* Fuzz target: a filter expression; what is accepted must have a canonical text that means the
 * same, and SQL that SQLite takes and runs to the end, over any row. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/store/filter_db.h"
#include "base/alloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const rows[] = {
    ("{\"name\":\"a\",\"description\":\"text\",\"trigger_phrases\":[\"a\",\"B\"],"
     "\"upcast_attention\":true,\"default_settings\":{\"width\":1024,\"a\":{\"b\":\"c\"}},\"x\":[1,2.5]}"),
    "{\"trigger_phrases\":\"a b\",\"default_settings\":\"a\",\"x\":null,\"name\":[\"a\"]}",
    "{\"description\":5,\"trigger_phrases\":{\"a\":1},\"default_settings\":[],\"x\":\"a\",\"y\":1e400}",
    "not JSON",
};

static sqlite3 *open_rows(void)
{
    sqlite3 *db = filter_db_open();

    if (db == NULL)
        abort();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char key[2] = {(char)('a' + i), '\0'};

        if (!filter_db_add_raw(db, key, rows[i]))
            abort();
    }
    if (sqlite3_exec(db,
                     "INSERT INTO mmgr_tags VALUES('a', 1); INSERT INTO mmgr_bases VALUES('b', 1)",
                     NULL, NULL, NULL) != SQLITE_OK)
        abort();
    return db;
}

static void check(const mmgr_filter *filter)
{
    static sqlite3 *db; /* kept, as opening one takes longer than all the rest */
    mmgr_filter *again = NULL;
    char *text = NULL, *text_again = NULL, keys[64], keys_again[64];

    if (db == NULL)
        db = open_rows();
    if (mmgr_filter_text(filter, &text) != MMGR_OK || mmgr_filter_parse(text, &again) != MMGR_OK ||
        mmgr_filter_text(again, &text_again) != MMGR_OK || strcmp(text, text_again) != 0)
        abort();
    if (filter_db_find(db, filter, keys, sizeof keys) != SQLITE_DONE ||
        filter_db_find(db, again, keys_again, sizeof keys_again) != SQLITE_DONE ||
        strcmp(keys, keys_again) != 0)
        abort();
    mmgr_string_free(text);
    mmgr_string_free(text_again);
    mmgr_filter_unref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mmgr_filter *filter = NULL;
    char *text = malloc(size + 1);

    memcpy(text, data, size);
    text[size] = '\0';
    if (mmgr_filter_parse(text, &filter) == MMGR_OK)
        check(filter);
    else if (strcmp(mmgr_error_field(mmgr_last_error()), "filter") != 0)
        abort();
    mmgr_filter_unref(filter);
    free(text);
    if (mmgr__alloc_live() != 0)
        abort();
    return 0;
}
