/* SPDX-License-Identifier: MIT */
/* Writing log lines; formatted only when the level is wanted, redacted always. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <modelmgr/log.h>

void mmgr__log(enum mmgr_log_level level, const char *component, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
