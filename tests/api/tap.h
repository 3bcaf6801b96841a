/* SPDX-License-Identifier: MIT */
/* Counts checks and prints them in the Test Anything Protocol. */
#ifndef TESTS_API_TAP_H
#define TESTS_API_TAP_H

#include <stdarg.h>
#include <stdio.h>

static int tap_checks, tap_failures;

__attribute__((format(printf, 2, 3))) static inline int tap(int good, const char *format, ...)
{
    va_list arguments;
    tap_checks++;
    tap_failures += !good;
    printf("%sok %d - ", good ? "" : "not ", tap_checks);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
    return good;
}

static inline int tap_end(void)
{
    printf("1..%d\n", tap_checks);
    return tap_failures != 0;
}

#endif
