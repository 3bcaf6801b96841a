/* SPDX-License-Identifier: MIT */
/* Checked arithmetic, against 128-bit arithmetic over every pair of edge values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/checked.h"

__extension__ typedef unsigned __int128 wide;

static uint64_t edges[600];
static int edge_count;

/* Every power of two, its neighbours, their complements, and factors of 2^64 - 1. */
static void fill(void)
{
    for (int bit = 0; bit < 64; bit++)
        for (int step = -1; step <= 1; step++) {
            edges[edge_count++] = ((uint64_t)1 << bit) + (uint64_t)step;
            edges[edge_count++] = ~(((uint64_t)1 << bit) + (uint64_t)step);
        }
    static const uint64_t more[] = {
        3, 5, 17, 257, 641, 65537, 6700417, 4294967297u, 6148914691236517205u};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        edges[edge_count++] = more[i];
        edges[edge_count++] = UINT64_MAX / more[i];
        edges[edge_count++] = UINT64_MAX / more[i] + 1;
    }
}

static void check(int fits, int said, uint64_t got, wide exact)
{
    if (said != fits || (fits && got != (uint64_t)exact))
        fail_msg("said %d, fits %d, got %llx", said, fits, (unsigned long long)got);
}

static void test_pairs(void **state)
{
    fill();
    for (int i = 0; i < edge_count; i++)
        for (int k = 0; k < edge_count; k++) {
            uint64_t a = edges[i], b = edges[k], out = 0;
            wide sum = (wide)a + b, product = (wide)a * b;
            int said = mmgr__add_u64(a, b, &out);
            check(sum <= UINT64_MAX, said, out, sum);
            said = mmgr__mul_u64(a, b, &out);
            check(product <= UINT64_MAX, said, out, product);
            said = mmgr__sub_u64(a, b, &out);
            check(a >= b, said, out, (wide)a - b);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pairs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
