/* SPDX-License-Identifier: MIT */
/* The table of element types. */
#include <string.h>

#include "format/format.h"

struct row {
    const char *name;
    uint32_t bits;
};

static const struct row rows[] = {
    [MMGR_DTYPE_BOOL] = {"BOOL", 8},
    [MMGR_DTYPE_F4] = {"F4", 4},
    [MMGR_DTYPE_F6_E2M3] = {"F6_E2M3", 6},
    [MMGR_DTYPE_F6_E3M2] = {"F6_E3M2", 6},
    [MMGR_DTYPE_U8] = {"U8", 8},
    [MMGR_DTYPE_I8] = {"I8", 8},
    [MMGR_DTYPE_F8_E5M2] = {"F8_E5M2", 8},
    [MMGR_DTYPE_F8_E4M3] = {"F8_E4M3", 8},
    [MMGR_DTYPE_F8_E8M0] = {"F8_E8M0", 8},
    [MMGR_DTYPE_F8_E4M3FNUZ] = {"F8_E4M3FNUZ", 8},
    [MMGR_DTYPE_F8_E5M2FNUZ] = {"F8_E5M2FNUZ", 8},
    [MMGR_DTYPE_I16] = {"I16", 16},
    [MMGR_DTYPE_U16] = {"U16", 16},
    [MMGR_DTYPE_F16] = {"F16", 16},
    [MMGR_DTYPE_BF16] = {"BF16", 16},
    [MMGR_DTYPE_I32] = {"I32", 32},
    [MMGR_DTYPE_U32] = {"U32", 32},
    [MMGR_DTYPE_F32] = {"F32", 32},
    [MMGR_DTYPE_C64] = {"C64", 64},
    [MMGR_DTYPE_F64] = {"F64", 64},
    [MMGR_DTYPE_I64] = {"I64", 64},
    [MMGR_DTYPE_U64] = {"U64", 64},
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static const struct row *find(enum mmgr_dtype dtype)
{
    size_t number = (size_t)dtype;

    return number < ROWS && rows[number].name != NULL ? &rows[number] : NULL;
}

const char *mmgr_dtype_name(enum mmgr_dtype dtype)
{
    const struct row *row = find(dtype);

    return row != NULL ? row->name : NULL;
}

uint32_t mmgr_dtype_bits(enum mmgr_dtype dtype)
{
    const struct row *row = find(dtype);

    return row != NULL ? row->bits : 0;
}

enum mmgr_dtype mmgr__dtype_parse(const char *name, size_t length)
{
    for (size_t i = 1; length > 0 && i < ROWS; i++)
        /* The first byte alone rules out most rows. The text may hold anything, NUL too. */
        if (rows[i].name[0] == name[0] && strlen(rows[i].name) == length &&
            memcmp(rows[i].name, name, length) == 0)
            return (enum mmgr_dtype)i;
    return MMGR_DTYPE_NONE;
}
