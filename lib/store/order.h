/* SPDX-License-Identifier: MIT */
/* The order of a search, and the cursor that says where its next page starts. */
#ifndef STORE_ORDER_H
#define STORE_ORDER_H

#include "store/clause.h"
#include "store/store.h"

#define MMGR__ORDER_TERMS 6

/* Expressions over mmgr_models m, first to last; a record's key is always the last, so that no two rows are
 * equal. */
struct mmgr__order {
    const char *sort; /* as the caller wrote it */
    struct mmgr__clause terms[MMGR__ORDER_TERMS];
    size_t count;
    int descending; /* all of them */
    int nullable;   /* the first term may be NULL */
};

/* ARGUMENT (field "sort") for a field that does not exist or that holds more than one value. */
enum mmgr_result mmgr__order_init(struct mmgr__order *order, const char *sort, int by_rank);
void mmgr__order_free(struct mmgr__order *order);
/* " ORDER BY …" */
void mmgr__order_put(const struct mmgr__order *order, struct mmgr__clause *clause);
/* ", a, b": the values of the terms as further columns of a result. */
void mmgr__order_put_columns(const struct mmgr__order *order, struct mmgr__clause *clause);
/* " AND …": only what comes after the cursor. ARGUMENT (field "cursor") when it is none of this order. */
enum mmgr_result mmgr__order_put_after(const struct mmgr__order *order, const char *cursor,
                                       struct mmgr__clause *clause);
/* Cursor of the row that the statement stands on, its terms from this column on; NULL = no memory. */
char *mmgr__order_cursor(const struct mmgr__order *order, sqlite3_stmt *statement, int column);

#endif
