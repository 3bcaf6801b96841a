/* SPDX-License-Identifier: MIT */
/* One thing done in two ways, ours and bare, side by side: both sides take turns on the same machine within
 * one run, so that only the ratio has to be believed. */
#ifndef TESTS_BENCH_RACE_H
#define TESTS_BENCH_RACE_H

#include <stdint.h>

/* Does the thing once; `i` counts up and is the same for both sides. 0: it failed, and said why. */
typedef int (*race_side)(void *user, uint32_t i);

struct race {
    const char *what;
    double target; /* most that ours may cost of bare; 0: none is set */
    race_side bare, ours;
    void *user;
    uint32_t calls;  /* of one side in a round; 0: as many as race_round_ns holds */
    uint32_t rounds; /* 0: race_rounds */
};

/* Over the rounds: ours / bare, and nanoseconds of one call (medians). */
struct score {
    double ratio, low, high;
    double bare_ns, ours_ns;
};

extern uint32_t race_rounds;
extern int64_t race_round_ns;

int race_run(const struct race *race, struct score *score);
/* Nanoseconds of one of some calls, on the average; negative after a failure. */
double race_time(race_side side, void *user, uint32_t first, uint32_t calls);
/* One line: ratio, target, met or missed. */
void race_print(const char *what, double target, const struct score *score);

#endif
