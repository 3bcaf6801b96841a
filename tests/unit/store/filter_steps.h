/* SPDX-License-Identifier: MIT */
/* Short forms for tests of filters. */
#ifndef TESTS_STORE_FILTER_STEPS_H
#define TESTS_STORE_FILTER_STEPS_H

#include "filter_db.h"
#include "fixture.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

mmgr_filter *parsed(const char *text);
/* The text of a filter, in one of a few static buffers. */
const char *text_of(const mmgr_filter *filter);

#endif
