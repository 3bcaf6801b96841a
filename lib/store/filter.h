/* SPDX-License-Identifier: MIT */
/* The inside of filters: a tree of tests, the same whether parsed or put together, and its way to
 * SQL. Nothing in it changes once it is made, so that filters share their parts. */
#ifndef STORE_FILTER_H
#define STORE_FILTER_H

#include <modelmgr/filter.h>

#include "base/fields.h"
#include "base/text.h"
#include "base/thread.h"
#include "store/clause.h"

#define MMGR__FILTER_TEXT_MAX    65536 /* bytes, as given and in canonical form */
#define MMGR__FILTER_TESTS_MAX   256
#define MMGR__FILTER_NESTING_MAX 64 /* parentheses and "not" around a test; names in a path */

/* What a value is compared as. */
enum mmgr__filter_type { MMGR__FILTER_TEXT, MMGR__FILTER_NUMBER, MMGR__FILTER_BOOL };
#define MMGR__FILTER_TYPES 3

struct mmgr__filter_value {
    char *text;  /* as given, without quotes */
    int quoted;  /* it stood in quotes: of a member it is text, whatever it looks like */
    uint64_t at; /* its place in the expression, or MMGR_NO_OFFSET */
    /* Both are set when the test is made. The value as JSON is what is compared. */
    enum mmgr__filter_type type;
    char *json;
};

struct mmgr__filter_test {
    /* A field of the table, or NULL and the path of a member of the record as it is stored. */
    const struct mmgr__field *field;
    struct mmgr__strings path;
    enum mmgr_filter_op op;
    uint64_t op_at;
    struct mmgr__filter_value *values;
    size_t count, capacity;
    char *text; /* canonical; set when the test is made */
};

enum mmgr__filter_kind {
    MMGR__FILTER_TEST, MMGR__FILTER_NOT, MMGR__FILTER_ALL, MMGR__FILTER_ANY
};

struct mmgr_filter {
    mmgr__refs refs;
    enum mmgr__filter_kind kind;
    struct mmgr__filter_test test; /* of a TEST */
    mmgr_filter **items;           /* of the others; no ALL holds an ALL, no ANY an ANY */
    size_t count;
    size_t tests;   /* in the whole tree */
    size_t nesting; /* parentheses and "not" in the canonical text, one in the other */
    size_t rank;    /* parentheses in the SQL, one in the other; filter_sql.c */
};

/* One row an op. */
struct mmgr__filter_op_row {
    const char *text;
    unsigned group;  /* MMGR__FILTER_GROUP_*; the kinds of field say which they allow */
    int negated;     /* holds where `positive` does not */
    enum mmgr_filter_op positive;
};
#define MMGR__FILTER_GROUP_EQUAL 1u
#define MMGR__FILTER_GROUP_ORDER 2u
#define MMGR__FILTER_GROUP_MATCH 4u
#define MMGR__FILTER_GROUP_IN    8u
#define MMGR__FILTER_GROUP_NULL  16u
const struct mmgr__filter_op_row *mmgr__filter_op(enum mmgr_filter_op op); /* NULL: there is none */
/* The op that is written so, or 0. */
enum mmgr_filter_op mmgr__filter_op_find(const char *text, size_t length);

/* ARGUMENT, field "filter", at a byte of the expression unless that is MMGR_NO_OFFSET. */
enum mmgr_result mmgr__filter_fail(uint64_t at, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Length of the name, or the value, without quotes that the text begins with; 0 when it does not. */
size_t mmgr__filter_name_length(const char *text);
size_t mmgr__filter_value_length(const char *text);
int mmgr__filter_is_keyword(const char *text, size_t length);

/* Read the field of a test: sets field or path. `text` is all there is. */
enum mmgr_result mmgr__filter_read_field(const char *text, struct mmgr__filter_test *test);
/* Add a value; takes the text over. */
enum mmgr_result mmgr__filter_add_value(struct mmgr__filter_test *test, char *text, int quoted,
                                        uint64_t at);
void mmgr__filter_test_free(struct mmgr__filter_test *test);

/* Check a test (field, op, values) and make a filter of it; moves the content out, on failure too. */
enum mmgr_result mmgr__filter_make(struct mmgr__filter_test *test, mmgr_filter **filter);
/* NOT of one, or ALL or ANY; of one alone these are that one. The items stay the caller's. */
enum mmgr_result mmgr__filter_join(enum mmgr__filter_kind kind, const mmgr_filter *const *items,
                                   size_t count, mmgr_filter **filter);
/* Append the filter as one expression in parentheses, 0 or 1 and never NULL, over a row of
 * mmgr_models, which is called m. */
void mmgr__filter_sql(const mmgr_filter *filter, struct mmgr__clause *clause);

#endif
