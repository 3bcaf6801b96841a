/* SPDX-License-Identifier: MIT */
/* Error codes, the thread's last error, and the removal of secrets from texts. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

struct entry {
    enum mmgr_result code;
    const char *name;
    int exit_code, retryable;
    const char *text;
};

static const struct entry table[] = {
#include "base/error_table.inc"
};

static _Thread_local struct mmgr_error last = {.offset = MMGR_NO_OFFSET};

static const struct entry *find(enum mmgr_result result)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].code == result)
            return &table[i];
    return NULL;
}

const char *mmgr_result_name(enum mmgr_result result)
{
    if (result == MMGR_OK)
        return "ok";
    if (result == MMGR_DONE)
        return "done";
    const struct entry *entry = find(result);
    return entry != NULL ? entry->name : "unknown_error";
}

const char *mmgr_result_text(enum mmgr_result result)
{
    if (result == MMGR_OK)
        return "no error";
    if (result == MMGR_DONE)
        return "there is nothing more";
    const struct entry *entry = find(result);
    return entry != NULL ? entry->text : "an error that this library does not know";
}

int mmgr_result_exit_code(enum mmgr_result result)
{
    if (result == MMGR_OK || result == MMGR_DONE)
        return 0;
    const struct entry *entry = find(result);
    return entry != NULL ? entry->exit_code : 1;
}

int mmgr_result_is_retryable(enum mmgr_result result)
{
    const struct entry *entry = find(result);
    return entry != NULL && entry->retryable;
}

const mmgr_error *mmgr_last_error(void)
{
    return &last;
}

enum mmgr_result mmgr_error_code(const mmgr_error *error)
{
    return error != NULL ? error->code : MMGR_OK;
}

const char *mmgr_error_message(const mmgr_error *error)
{
    return error != NULL ? error->message : "";
}

const char *mmgr_error_field(const mmgr_error *error)
{
    return error != NULL && error->field[0] != '\0' ? error->field : NULL;
}

const char *mmgr_error_subject(const mmgr_error *error)
{
    return error != NULL && error->subject[0] != '\0' ? error->subject : NULL;
}

int32_t mmgr_error_os_errno(const mmgr_error *error)
{
    return error != NULL ? error->os_errno : 0;
}

int32_t mmgr_error_http_status(const mmgr_error *error)
{
    return error != NULL ? error->http_status : 0;
}

uint64_t mmgr_error_offset(const mmgr_error *error)
{
    return error != NULL ? error->offset : MMGR_NO_OFFSET;
}

/* The arguments may point into `last` itself, so texts are made in a buffer first. */
static void set_text(char *to, size_t size, char *text)
{
    mmgr__redact(text);
    mmgr__text_one_line(text);
    size_t length = strnlen(text, size - 1);
    memcpy(to, text, length);
    to[length] = '\0';
    mmgr__text_one_line(to); /* the copy may have cut a character in two */
}

static void copy_text(char *to, size_t size, const char *text)
{
    char buffer[sizeof last.message * 2];
    snprintf(buffer, sizeof buffer, "%s", text != NULL ? text : "");
    set_text(to, size, buffer);
}

enum mmgr_result mmgr__fail(enum mmgr_result code, const char *format, ...)
{
    char buffer[sizeof last.message * 2];
    va_list args;
    va_start(args, format);
    vsnprintf(buffer, sizeof buffer, format, args);
    va_end(args);
    mmgr__error_clear(&last);
    last.code = code;
    set_text(last.message, sizeof last.message, buffer);
    return code;
}

enum mmgr_result mmgr__oom(void)
{
    return mmgr__fail(MMGR_ERR_NO_MEMORY, "out of memory");
}

enum mmgr_result mmgr__bad_argument(const char *what)
{
    enum mmgr_result result =
        mmgr__fail(MMGR_ERR_ARGUMENT, "argument %s is missing or out of range", what);
    mmgr__error_set_field(what);
    return result;
}

enum mmgr_result mmgr__errno_code(int os_errno)
{
    switch (os_errno) {
    case 0:
        return MMGR_OK;
    case ENOENT:
        return MMGR_ERR_PATH_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return MMGR_ERR_PERMISSION;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return MMGR_ERR_NO_SPACE;
    case ENOMEM:
        return MMGR_ERR_NO_MEMORY;
    case EEXIST:
        return MMGR_ERR_EXISTS;
    case EAGAIN:
    case EBUSY:
        return MMGR_ERR_BUSY;
    case ELOOP:
    case EXDEV:
        return MMGR_ERR_UNSAFE_PATH;
    default:
        return MMGR_ERR_IO;
    }
}

/* English whatever the host's locale; NULL for a number that the C library does not know. */
static const char *errno_text(int os_errno)
{
#ifdef __GLIBC__
    return strerrordesc_np(os_errno);
#else
    return strerror(os_errno);
#endif
}

enum mmgr_result mmgr__fail_errno(int os_errno, const char *doing, const char *path)
{
    char why[128];
    const char *text = errno_text(os_errno);
    if (text == NULL) {
        snprintf(why, sizeof why, "error number %d", os_errno);
        text = why;
    }
    enum mmgr_result result =
        mmgr__fail(mmgr__errno_code(os_errno), "cannot %s %s: %s", doing, path, text);
    mmgr__error_set_subject(path);
    last.os_errno = os_errno;
    return result;
}

void mmgr__error_set_field(const char *field)
{
    char buffer[sizeof last.field];
    snprintf(buffer, sizeof buffer, "%s", field != NULL ? field : "");
    mmgr__text_one_line(buffer);
    memcpy(last.field, buffer, sizeof last.field);
}

void mmgr__error_set_subject(const char *subject)
{
    copy_text(last.subject, sizeof last.subject, subject);
}

void mmgr__error_set_offset(uint64_t offset)
{
    last.offset = offset;
}

void mmgr__error_set_http(int32_t status)
{
    last.http_status = status;
}

void mmgr__error_set_errno(int32_t os_errno)
{
    last.os_errno = os_errno;
}

void mmgr__error_prefix(const char *format, ...)
{
    char prefix[sizeof last.message], buffer[sizeof last.message * 2 + 2];
    va_list args;
    va_start(args, format);
    vsnprintf(prefix, sizeof prefix, format, args);
    va_end(args);
    snprintf(buffer, sizeof buffer, "%s: %s", prefix, last.message);
    set_text(last.message, sizeof last.message, buffer);
}

void mmgr__error_save(struct mmgr_error *to)
{
    *to = last;
}

enum mmgr_result mmgr__error_restore(const struct mmgr_error *from)
{
    last = *from;
    return last.code;
}

void mmgr__error_clear(struct mmgr_error *error)
{
    memset(error, 0, sizeof *error);
    error->offset = MMGR_NO_OFFSET;
}
