/* SPDX-License-Identifier: MIT */
/* A piece of SQL that is being put together, with the values of its question marks. Nothing of a caller ever
 * becomes SQL text: values are bound, names come from our own table of fields. */
#ifndef STORE_CLAUSE_H
#define STORE_CLAUSE_H

#include <sqlite3.h>

#include "base/fields.h"
#include "base/text.h"

struct mmgr__clause_value {
    char kind; /* 's' text, 'i' integer, 'd' real */
    char *text;
    size_t length; /* of the text, in bytes */
    int64_t integer;
    double real;
};

/* Zero-initialise. `failed` is set and stays when memory runs out; check it once at the end. */
struct mmgr__clause {
    struct mmgr__buf sql;
    struct mmgr__clause_value *values;
    size_t count, capacity;
    int failed;
};
void mmgr__clause_put(struct mmgr__clause *clause, const char *sql);
/* Append "?" and its value, which is copied. */
void mmgr__clause_text(struct mmgr__clause *clause, const char *value);
void mmgr__clause_bytes(struct mmgr__clause *clause, const char *text, size_t length);
void mmgr__clause_integer(struct mmgr__clause *clause, int64_t value);
void mmgr__clause_real(struct mmgr__clause *clause, double value);
/* Append the expression that gives a field of a row of mmgr_models, which is called m: NULL where it is not
 * set; text, but integers for numbers, booleans (0 and 1) and times (nanoseconds since 1970). */
void mmgr__clause_field(struct mmgr__clause *clause, const struct mmgr__field *field);
/* 1 when the field is a column of its own, which needs no look into the record. */
int mmgr__clause_is_column(const struct mmgr__field *field);
/* Bind all values, from the first question mark on; a code of SQLite. They must outlive the statement. */
int mmgr__clause_bind(const struct mmgr__clause *clause, sqlite3_stmt *statement);
void mmgr__clause_free(struct mmgr__clause *clause);

#endif
