/* SPDX-License-Identifier: MIT */
/* The rule for size-first structs of callers: copy into a full local struct, refuse impossible sizes and
 * non-zero bytes that this library does not know. */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include <modelmgr/error.h>

/* `given` may be NULL (all zero). `minimum` is the struct's size in its first release. */
enum mmgr_result mmgr__options_import(void *local, size_t local_size, size_t minimum, const void *given,
                                      const char *name);
#define MMGR__IMPORT(local, given, last_member_of_v1)                                                   \
    mmgr__options_import(&(local), sizeof(local),                                                       \
                         offsetof(__typeof__(local), last_member_of_v1) + sizeof((local).last_member_of_v1), \
                         (given), #given)

#endif
