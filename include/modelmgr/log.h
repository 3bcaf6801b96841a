/* SPDX-License-Identifier: MIT */
/** @file
 * Log hook. The library prints nothing; without a hook it is silent.
 */
#ifndef MODELMGR_LOG_H
#define MODELMGR_LOG_H

#include "error_codes.h"
#include "types.h"

MMGR_BEGIN_DECLS

/** Severity, most severe first. */
enum mmgr_log_level {
    MMGR_LOG_OFF = 0,
    MMGR_LOG_ERROR = 1,
    MMGR_LOG_WARNING = 2,
    MMGR_LOG_INFO = 3,
    MMGR_LOG_DEBUG = 4,
    MMGR_LOG_LEVEL_FORCE_32_ = MMGR_ENUM_32_BITS
};

/**
 * Receives one log line. Secrets are redacted before it is called.
 *
 * @param level      Severity.
 * @param component  Layer that speaks, such as "transfer". Static.
 * @param message    One line without newline, lent for the call.
 * @param user       Pointer given with the hook.
 *
 * May be called from any thread, also from several at once, with no lock of the library held.
 */
typedef void (*mmgr_log_fn)(enum mmgr_log_level level, const char *component, const char *message,
                            void *user);

/**
 * Set the process-wide log hook.
 *
 * @param level  Least severe level that is passed on; MMGR_LOG_OFF for none.
 * @param fn     Hook, or NULL for none.
 * @param user   Passed to fn.
 *
 * When the call returns, a line that another thread was already writing may still arrive at the old hook.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API void mmgr_set_log(enum mmgr_log_level level, mmgr_log_fn fn, void *user);

MMGR_END_DECLS
#endif
