/* SPDX-License-Identifier: MIT */
/* Rounds, medians and lines of the benchmarks. */
#include "race.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/thread.h"

#define ROUNDS_MAX 32
#define CALLS_MAX  20000

uint32_t race_rounds = 11;
int64_t race_round_ns = 40000000;

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, uint32_t count)
{
    qsort(values, count, sizeof *values, compare);
    return count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

double race_time(race_side side, void *user, uint32_t first, uint32_t calls)
{
    int64_t start = mmgr__now_monotonic();

    for (uint32_t i = 0; i < calls; i++) {
        if (!side(user, first + i))
            return -1;
    }
    return (double)(mmgr__now_monotonic() - start) / calls;
}

/* Also warms both sides up: the first call opens connections and prepares statements. */
static uint32_t choose_calls(const struct race *race)
{
    double bare, ours, fit;

    if (race_time(race->bare, race->user, 0, 1) < 0 || race_time(race->ours, race->user, 0, 1) < 0)
        return 0;
    bare = race_time(race->bare, race->user, 1, 3);
    ours = race_time(race->ours, race->user, 1, 3);
    if (bare < 0 || ours < 0)
        return 0;
    fit = (double)race_round_ns / (bare > 1 ? bare : 1);
    return fit > CALLS_MAX ? CALLS_MAX : fit < 1 ? 1 : (uint32_t)fit;
}

int race_run(const struct race *race, struct score *score)
{
    double ratios[ROUNDS_MAX], times[2][ROUNDS_MAX];
    uint32_t rounds = race->rounds != 0 ? race->rounds : race_rounds;
    uint32_t calls = race->calls != 0 ? race->calls : choose_calls(race);

    if (calls == 0)
        return 0;
    for (uint32_t round = 0; round < rounds; round++) {
        /* Who goes second may find a cache warm: they take turns at that too. */
        for (uint32_t turn = 0; turn < 2; turn++) {
            uint32_t ours = (turn + round) % 2;

            times[ours][round] =
                race_time(ours ? race->ours : race->bare, race->user, round * calls, calls);
            if (times[ours][round] < 0)
                return 0;
        }
        ratios[round] = times[1][round] / times[0][round];
    }
    score->ratio = median(ratios, rounds);
    score->low = ratios[0];
    score->high = ratios[rounds - 1];
    score->bare_ns = median(times[0], rounds);
    score->ours_ns = median(times[1], rounds);
    return 1;
}

void race_print(const char *what, double target, const struct score *score)
{
    char aim[32] = "";

    if (target > 0)
        snprintf(aim, sizeof aim, "%.2f %s", target, score->ratio <= target ? "met" : "missed");
    printf("%-52s %6.2f  %6.2f .. %-6.2f  %12.1f  %12.1f  %s\n", what, score->ratio, score->low,
           score->high, score->bare_ns / 1000, score->ours_ns / 1000, aim);
    fflush(stdout);
}
