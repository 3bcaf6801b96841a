/* SPDX-License-Identifier: MIT */
/* Size-first structs of callers: older and newer callers meet this library's layout here. */
#include "base/options.h"

#include <string.h>

#include "base/error.h"

/* No struct of ours comes near this; a larger size is a sign of uninitialised memory. */
#define LARGEST_STRUCT 65536u

enum mmgr_result mmgr__options_import(void *local, size_t local_size, size_t minimum,
                                      const void *given, const char *name)
{
    uint32_t size = (uint32_t)local_size;
    if (given == NULL) {
        memset(local, 0, local_size);
        memcpy(local, &size, sizeof size);
        return MMGR_OK;
    }
    uint32_t given_size;
    memcpy(&given_size, given, sizeof given_size);
    if (given_size < minimum || given_size > LARGEST_STRUCT) {
        enum mmgr_result result =
            mmgr__fail(MMGR_ERR_ABI_SIZE, "%s: struct_size is %u, at least %zu is needed", name,
                       given_size, minimum);
        mmgr__error_set_field(name);
        return result;
    }
    const unsigned char *bytes = given;
    for (size_t at = local_size; at < given_size; at++) {
        if (bytes[at] != 0) {
            enum mmgr_result result = mmgr__fail(
                MMGR_ERR_ABI_NEWER,
                "%s: byte %zu of the struct is set, but this library knows only %zu bytes", name,
                at, local_size);
            mmgr__error_set_field(name);
            return result;
        }
    }
    memset(local, 0, local_size);
    memcpy(local, given, given_size < local_size ? given_size : local_size);
    memcpy(local, &size, sizeof size);
    return MMGR_OK;
}
