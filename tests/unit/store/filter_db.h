/* SPDX-License-Identifier: MIT */
/* A database in memory with the tables that filters look into, for tests of filters alone. Needs
 * no cmocka, so that the fuzz target can use it. */
#ifndef TESTS_STORE_FILTER_DB_H
#define TESTS_STORE_FILTER_DB_H

#include <sqlite3.h>

#include "store/filter.h"

/* NULL when SQLite or memory fails. */
sqlite3 *filter_db_open(void);
/* Add a row for a record, or one with this text in the place of the record; 0 on failure. */
int filter_db_add(sqlite3 *db, const mmgr_record *record);
int filter_db_add_raw(sqlite3 *db, const char *key, const char *json);
/* Find the keys of the rows for which the filter holds, in order, each followed by a blank. The
 * code of SQLite: SQLITE_DONE unless something is wrong, SQLITE_MISMATCH where the expression is
 * not 0 or 1. */
int filter_db_find(sqlite3 *db, const mmgr_filter *filter, char *keys, size_t size);

#endif
