/* SPDX-License-Identifier: MIT */
/* What a program would write that keeps records in SQLite by itself, without checks: the side that the store is
 * measured against. Same schema, same settings, prepared statements. */
#ifndef TESTS_BENCH_BARE_H
#define TESTS_BENCH_BARE_H

#include <sqlite3.h>

#include "made.h"

/* Open with the settings of the store, or NULL. Failures of this file are printed. */
sqlite3 *bare_open(const char *path);
/* Make a new database of all records in one transaction. */
int bare_fill(const char *path, const struct made *made, uint32_t count);

/* A prepared query of "key, record"; values are bound from the first question mark on. */
struct bare_query {
    sqlite3_stmt *statement;
    const char *values[4];
    int parse; /* read each record with jansson too */
};
int bare_prepare(sqlite3 *db, const char *sql, struct bare_query *query);
/* Read all its rows; their number, or -1. */
int64_t bare_run(const struct bare_query *query);
/* Does the list hold the same records in the same order? */
int bare_same(const struct bare_query *query, const mmgr_record_list *list);
/* Do two files hold the same, but for the time of the change? */
int bare_same_files(const char *path, const char *other);
/* First value of a query as text, owned, or NULL. */
char *bare_text(sqlite3 *db, const char *sql);

#endif
