/* SPDX-License-Identifier: MIT */
/* Are two records the same, byte for byte? Only the order of the members that this release does not know is free: a
 * YAML store keeps the one that a person gave them. */
#ifndef TESTS_STORE_SAME_RECORD_H
#define TESTS_STORE_SAME_RECORD_H

#include "base/record.h"

/* NULL, or the name of what differs, in a static buffer. */
const char *record_difference(const mmgr_record *one, const mmgr_record *two);

#endif
