/* SPDX-License-Identifier: MIT */
/* What the files of the benchmark of the store share. */
#ifndef TESTS_BENCH_RECORDS_H
#define TESTS_BENCH_RECORDS_H

#include <modelmgr/store.h>

#include "bare.h"

#define DEFAULT_ORDER "m.type, m.base, m.label, m.name, m.format, m.key"

struct bench {
    char folder[4096], path[4200], other[4200]; /* databases of both sides */
    uint32_t count;
    struct made *made;
    char (*keys)[33]; /* of all records, in no order */
    sqlite3 *bare;
    mmgr_store *store;
};

/* 1 when the call succeeded; else 0, and its error is printed. */
int ok_(enum mmgr_result result, const char *call);
#define ok(call) ok_(call, #call)

/* Rows of the table. 0: the sides do not agree. */
int bench_names(struct bench *bench);
int bench_tags(struct bench *bench);
int bench_pages(struct bench *bench);
int bench_memory(struct bench *bench);

#endif
