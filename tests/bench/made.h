/* SPDX-License-Identifier: MIT */
/* Records for benchmarks: always the same ones, as large, as varied and as skewed as those of real collections. */
#ifndef TESTS_BENCH_MADE_H
#define TESTS_BENCH_MADE_H

#include <modelmgr/record.h>
#include <stdint.h>

#define MADE_TAGS 511 /* different ones; that of rank 0 is the most common */

/* One record, ready to be stored in either way. */
struct made {
    mmgr_record *record;
    char *json;           /* as the store keeps it */
    char *tags, *phrases; /* as its full-text index has them; NULL: none */
    int64_t file_size, created, updated;
    uint16_t ranks[8]; /* of its tags */
    uint32_t tag_count;
};

/* NULL after a failure, which was printed. */
struct made *made_new(uint32_t count);
void made_free(struct made *made, uint32_t count);
/* Text of the tag with a rank, in one of a few static buffers. */
const char *made_tag(uint32_t rank);

#endif
