/* SPDX-License-Identifier: MIT */
/* Steps to be done under faults, and the states of a store before and after each. */
#ifndef TESTS_STORE_STEPS_H
#define TESTS_STORE_STEPS_H

#include "fixture.h"

/* TWO_STEPS is the planted bug: two transactions. */
enum step { OPEN, ADD, UPDATE, REMOVE, TWO_STEPS };

extern const char *steps_extension; /* of the stores, ".db" unless set */

struct states {
    char before[4096], after[4096];
};

enum mmgr_result run_step(enum step step, mmgr_store *store);
/* Open the store at a path, do the step, close. */
enum mmgr_result open_and_run(enum step step, const char *path);
/* Path of a fresh store with one record, "old", in a folder of its own; of nothing at all for OPEN. */
const char *prepare(enum step step);
/* What the store holds, "broken: N" when N rows lack their other half, or it cannot be read. */
void state_of(const char *path, char text[4096]);
/* Change the store once more: is that possible, and is its file then the only one in the folder? */
int goes_on(const char *path);
void find_states(enum step step, struct states *states);

#endif
