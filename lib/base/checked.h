/* SPDX-License-Identifier: MIT */
/* Checked arithmetic on untrusted numbers: each returns 1 and writes the result, or 0 on overflow. */
#ifndef BASE_CHECKED_H
#define BASE_CHECKED_H

#include <stdint.h>

static inline int mmgr__add_u64(uint64_t a, uint64_t b, uint64_t *sum)
{
    return !__builtin_add_overflow(a, b, sum);
}

static inline int mmgr__sub_u64(uint64_t a, uint64_t b, uint64_t *difference)
{
    return !__builtin_sub_overflow(a, b, difference);
}

static inline int mmgr__mul_u64(uint64_t a, uint64_t b, uint64_t *product)
{
    return !__builtin_mul_overflow(a, b, product);
}

#endif
