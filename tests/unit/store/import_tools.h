/* SPDX-License-Identifier: MIT */
/* What the tests of imports share: a root of another tool, its files before and after, reports. */
#ifndef TESTS_STORE_IMPORT_TOOLS_H
#define TESTS_STORE_IMPORT_TOOLS_H

#include <jansson.h>
#include <sqlite3.h>

#include "fixture.h"

/* A fresh folder for a test, with the folders source/ and tmp/, which is TMPDIR meanwhile. */
int import_setup(void **state);
int import_teardown(void **state);

/* Write a file of a text, with its folders. Returns its path. */
const char *write_file(const char *name, const char *text);
/* Names, sizes, times and contents of all below a folder, as one text in one of two static
 * buffers. */
const char *look_below(const char *name);
/* Nothing is left in the folder for temporary files. */
void assert_nothing_left(void);

enum mmgr_result run_import(mmgr_store *store, enum mmgr_import_kind kind, const char *path,
                            uint32_t flags, const char *models_dir, char **report);
/* The report of an import that must succeed. */
json_t *import(mmgr_store *store, enum mmgr_import_kind kind, const char *path, uint32_t flags,
               const char *models_dir);
size_t count_of(const json_t *report, const char *list);
/* Text of a member of the first skipped model; NULL when null. */
const char *skipped(const json_t *report, size_t index, const char *member);
/* Everything that the store holds, as JSON lines; in one of two static buffers. */
const char *content_of(mmgr_store *store);

/* The tables of InvokeAI: of release 4.2.9, of 6.14, and one that takes any row. */
extern const char schema_429[], schema_614[], schema_loose[];
sqlite3 *make_database(const char *path, const char *schema);
void run_sql(sqlite3 *db, const char *sql);
void insert_row(sqlite3 *db, const char *id, const char *config, const char *created_at);

#endif
