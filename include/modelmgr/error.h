/* SPDX-License-Identifier: MIT */
/** @file
 * Error codes and error details.
 *
 * Every fallible function returns an enum mmgr_result (MMGR_OK is 0, MMGR_DONE ends an iteration). The
 * detail of a failed direct call is the calling thread's last error; the detail of background work belongs
 * to the job or event that failed. The registry of codes is lib/gen/errors.yaml.
 */
#ifndef MODELMGR_ERROR_H
#define MODELMGR_ERROR_H

#include "error_codes.h"
#include "types.h"

MMGR_BEGIN_DECLS

/** mmgr_error_offset() of an error that concerns no place in a file. */
#define MMGR_NO_OFFSET UINT64_MAX

/**
 * Stable name of a code, such as "unknown_model"; "ok" for MMGR_OK.
 *
 * @param result  A code.
 * @return Static text; "unknown_error" for a number that this library does not know.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_result_name(enum mmgr_result result);

/**
 * One English sentence that says what a code means.
 *
 * @param result  A code.
 * @return Static text.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_result_text(enum mmgr_result result);

/**
 * Exit status that a command-line program should end with after this result.
 *
 * @param result  A code.
 * @return 0 done, 1 failed, 2 wrong usage, 3 not found, 4 ambiguous, 5 refused as unsafe.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API int mmgr_result_exit_code(enum mmgr_result result);

/**
 * Whether the same call may succeed later although the user changed nothing.
 *
 * @param result  A code.
 * @return 1 or 0.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API int mmgr_result_is_retryable(enum mmgr_result result);

/**
 * Detail of the last failed call on this thread. A success does not clear it.
 *
 * @return Lent until the next failing call on this thread; never NULL (code MMGR_OK when nothing failed).
 *
 * Thread-safety: safe (thread-local).
 * Since: 0.1
 */
MMGR_API const mmgr_error *mmgr_last_error(void);

/**
 * Code of an error.
 *
 * @param error  Error, or NULL.
 * @return Its code; MMGR_OK for NULL.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_error_code(const mmgr_error *error);

/**
 * Message of an error: one line without newline, without secrets, naming the thing that is wrong.
 *
 * @param error  Error, or NULL.
 * @return Lent text, "" for NULL.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_error_message(const mmgr_error *error);

/**
 * Name of the field, option or JSON member at fault.
 *
 * @param error  Error, or NULL.
 * @return Lent text, or NULL when the error concerns no field.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_error_field(const mmgr_error *error);

/**
 * Path, URL, repository or key that the error is about.
 *
 * @param error  Error, or NULL.
 * @return Lent text, or NULL.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_error_subject(const mmgr_error *error);

/**
 * errno of the system call that failed.
 *
 * @param error  Error, or NULL.
 * @return errno, or 0 when no system call failed.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API int32_t mmgr_error_os_errno(const mmgr_error *error);

/**
 * HTTP status that the server gave.
 *
 * @param error  Error, or NULL.
 * @return Status, or 0 when there was none.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API int32_t mmgr_error_http_status(const mmgr_error *error);

/**
 * Place in the file at which it is broken.
 *
 * @param error  Error, or NULL.
 * @return Offset in bytes from the start of the file, or MMGR_NO_OFFSET.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API uint64_t mmgr_error_offset(const mmgr_error *error);

MMGR_END_DECLS
#endif
