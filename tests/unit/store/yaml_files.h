/* SPDX-License-Identifier: MIT */
/* Files as bytes, for the tests of YAML stores. */
#ifndef TESTS_STORE_YAML_FILES_H
#define TESTS_STORE_YAML_FILES_H

#include "fixture.h"

void put_file(const char *path, const char *text, size_t length);
/* Its bytes, with a NUL behind them; length may be NULL. Free them. */
char *take_file(const char *path, size_t *length);
/* Names in a folder, sorted, joined by blanks, in a static buffer. */
const char *names_in(const char *path);

#endif
