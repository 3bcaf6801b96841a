/* SPDX-License-Identifier: MIT */
/* The one door to memory. Every allocation of the library passes here, so that a test can count them and
 * make each one fail in turn. Functions return NULL on failure and set no error: callers do (mmgr__oom()). */
#ifndef BASE_ALLOC_H
#define BASE_ALLOC_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

void *mmgr__alloc(size_t bytes);                 /* bytes > 0; contents undefined */
void *mmgr__alloc0(size_t count, size_t size);   /* zeroed; checks the product */
void *mmgr__realloc(void *memory, size_t bytes); /* memory may be NULL; on failure memory stays */
void mmgr__free(void *memory);                   /* NULL allowed */
char *mmgr__strdup(const char *text);            /* NULL gives NULL */
char *mmgr__strndup(const char *text, size_t length);
char *mmgr__printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *mmgr__vprintf(const char *format, va_list args);

/* Grow an array to hold at least `need` elements of `size` bytes; *capacity is updated. 0 on failure. */
int mmgr__grow(void **array, size_t *capacity, size_t need, size_t size);

/* Test hooks: allocations so far, and the number (1-based, counted from the call) that is to fail;
 * 0 = none. With `forever` every later one fails too. */
uint64_t mmgr__alloc_count(void);
uint64_t mmgr__alloc_live(void);
void mmgr__alloc_fail_at(uint64_t number, int forever);

#endif
