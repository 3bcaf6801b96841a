/* SPDX-License-Identifier: MIT */
/* Making errors. A failing function calls mmgr__fail() once, where the cause is known, and callers pass
 * the code up unchanged; they may add what they know with mmgr__error_set_*(). */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <modelmgr/error.h>

/* Fixed buffers, so that an error can be made without memory. Texts are cut at a UTF-8 boundary. */
struct mmgr_error {
    enum mmgr_result code;
    int32_t os_errno;
    int32_t http_status;
    uint64_t offset;
    char message[1024];
    char field[128];
    char subject[1024];
};

/* Set this thread's last error and return code. The message names the thing and says why. Secrets are
 * redacted here (mmgr__redact). */
enum mmgr_result mmgr__fail(enum mmgr_result code, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
enum mmgr_result mmgr__oom(void);               /* NO_MEMORY */
enum mmgr_result mmgr__bad_argument(const char *what); /* ARGUMENT; field = what */

/* Code for an errno: ENOENT PATH_NOT_FOUND, EACCES/EPERM/EROFS PERMISSION, ENOSPC/EDQUOT/EFBIG NO_SPACE,
 * ENOMEM NO_MEMORY, EEXIST EXISTS, EAGAIN/EBUSY BUSY, ELOOP/EXDEV UNSAFE_PATH, else IO. */
enum mmgr_result mmgr__errno_code(int os_errno);
/* Fail with the code of an errno: "cannot <doing> <path>: <strerror>"; subject = path. */
enum mmgr_result mmgr__fail_errno(int os_errno, const char *doing, const char *path);

/* Add to the thread's last error. */
void mmgr__error_set_field(const char *field);
void mmgr__error_set_subject(const char *subject);
void mmgr__error_set_offset(uint64_t offset);
void mmgr__error_set_http(int32_t status);
void mmgr__error_set_errno(int32_t os_errno);
/* Put "prefix: " before the message. */
void mmgr__error_prefix(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Copies, for jobs and events: from the thread's last error, and back into it. */
void mmgr__error_save(struct mmgr_error *to);
enum mmgr_result mmgr__error_restore(const struct mmgr_error *from);
void mmgr__error_clear(struct mmgr_error *error);

/* Replace what looks like a secret in a text, in place: values of Authorization and Cookie, query
 * parameters token, X-Amz-Signature, Signature, Policy, sig, key, and words that begin with "hf_". */
void mmgr__redact(char *text);

#endif
