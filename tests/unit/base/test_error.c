/* SPDX-License-Identifier: MIT */
/* Error codes, the thread's last error, UTF-8 cuts, the removal of secrets, the log hook. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include <modelmgr/log.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"

static void test_registry(void **state)
{
    assert_string_equal(mmgr_result_name(MMGR_OK), "ok");
    assert_string_equal(mmgr_result_name(MMGR_ERR_UNKNOWN_MODEL), "unknown_model");
    assert_int_equal(mmgr_result_exit_code(MMGR_ERR_UNKNOWN_MODEL), 3);
    assert_int_equal(mmgr_result_exit_code(MMGR_OK), 0);
    assert_int_equal(mmgr_result_is_retryable(MMGR_ERR_NETWORK), 1);
    assert_int_equal(mmgr_result_is_retryable(MMGR_ERR_INVALID_FILE), 0);
    assert_string_equal(mmgr_result_name((enum mmgr_result) - 12345), "unknown_error");
    assert_int_equal(mmgr_result_exit_code((enum mmgr_result) - 12345), 1);
}

static void test_last_error(void **state)
{
    assert_int_equal(mmgr__fail(MMGR_ERR_IO, "cannot %s", "x"), MMGR_ERR_IO);
    mmgr__error_set_field("f");
    mmgr__error_set_subject("s");
    mmgr__error_set_offset(7);
    mmgr__error_set_http(404);
    mmgr__error_prefix("model %s", "m");
    const mmgr_error *error = mmgr_last_error();
    assert_int_equal(mmgr_error_code(error), MMGR_ERR_IO);
    assert_string_equal(mmgr_error_message(error), "model m: cannot x");
    assert_string_equal(mmgr_error_field(error), "f");
    assert_string_equal(mmgr_error_subject(error), "s");
    assert_int_equal(mmgr_error_offset(error), 7);
    assert_int_equal(mmgr_error_http_status(error), 404);
    struct mmgr_error saved;
    mmgr__error_save(&saved);
    /* The new message is made of the old one, and nothing else of the old one stays. */
    mmgr__fail(MMGR_ERR_BUSY, "again: %s", mmgr_error_message(error));
    assert_string_equal(mmgr_error_message(error), "again: model m: cannot x");
    assert_null(mmgr_error_field(error));
    assert_true(mmgr_error_offset(error) == MMGR_NO_OFFSET);
    assert_int_equal(mmgr__error_restore(&saved), MMGR_ERR_IO);
    assert_string_equal(mmgr_error_message(error), "model m: cannot x");
    assert_int_equal(mmgr_error_code(NULL), MMGR_OK);
    assert_string_equal(mmgr_error_message(NULL), "");
}

static void *other_thread(void *unused)
{
    int clean = mmgr_error_code(mmgr_last_error()) == MMGR_OK &&
                mmgr_error_offset(mmgr_last_error()) == MMGR_NO_OFFSET;
    mmgr__fail(MMGR_ERR_TIMEOUT, "other");
    return clean ? (void *)1 : NULL;
}

static void test_per_thread(void **state)
{
    mmgr__fail(MMGR_ERR_IO, "mine");
    pthread_t thread;
    void *clean;
    pthread_create(&thread, NULL, other_thread, NULL);
    pthread_join(thread, &clean);
    assert_non_null(clean);
    assert_string_equal(mmgr_error_message(mmgr_last_error()), "mine");
}

static void test_cut(void **state)
{
    /* For every length, a text of 3-byte characters is cut between two of them. */
    char text[4000];
    for (size_t lead = 0; lead < 4; lead++) {
        memset(text, 'a', lead);
        for (size_t i = lead; i + 3 < sizeof text; i += 3)
            memcpy(text + i, "\xe2\x82\xac", 4);
        mmgr__fail(MMGR_ERR_IO, "%s", text);
        const char *message = mmgr_error_message(mmgr_last_error());
        size_t length = strlen(message);
        assert_true(length >= 1020 && length <= 1023);
        assert_true(mmgr__utf8_valid(message, length));
        assert_int_equal((length - lead) % 3, 0);
        mmgr__error_set_subject(text);
        const char *subject = mmgr_error_subject(mmgr_last_error());
        assert_true(mmgr__utf8_valid(subject, strlen(subject)));
        mmgr__error_set_field(text);
        const char *field = mmgr_error_field(mmgr_last_error());
        assert_true(mmgr__utf8_valid(field, strlen(field)));
    }
    mmgr__fail(MMGR_ERR_IO, "a\nb\x1b[31m \xff\xc3(\x01");
    assert_string_equal(mmgr_error_message(mmgr_last_error()), "a b [31m ?\?( ");
}

static void test_errno(void **state)
{
    assert_int_equal(mmgr__fail_errno(ENOENT, "open", "/x/y"), MMGR_ERR_PATH_NOT_FOUND);
    assert_string_equal(mmgr_error_message(mmgr_last_error()),
                        "cannot open /x/y: No such file or directory");
    assert_string_equal(mmgr_error_subject(mmgr_last_error()), "/x/y");
    assert_int_equal(mmgr_error_os_errno(mmgr_last_error()), ENOENT);
    static const struct {
        int os_errno;
        enum mmgr_result code;
    } rows[] = {
        {EACCES, MMGR_ERR_PERMISSION},
        {EPERM, MMGR_ERR_PERMISSION},
        {EROFS, MMGR_ERR_PERMISSION},
        {ENOSPC, MMGR_ERR_NO_SPACE},
        {EDQUOT, MMGR_ERR_NO_SPACE},
        {EFBIG, MMGR_ERR_NO_SPACE},
        {ENOMEM, MMGR_ERR_NO_MEMORY},
        {EEXIST, MMGR_ERR_EXISTS},
        {EAGAIN, MMGR_ERR_BUSY},
        {EBUSY, MMGR_ERR_BUSY},
        {ELOOP, MMGR_ERR_UNSAFE_PATH},
        {EXDEV, MMGR_ERR_UNSAFE_PATH},
        {EIO, MMGR_ERR_IO},
        {99999, MMGR_ERR_IO},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(mmgr__fail_errno(rows[i].os_errno, "do", "p"), rows[i].code);
}

#define CANARY "s3cr3tCanary"

static void test_redaction(void **state)
{
    static const char *const texts[] = {
        "GET https://h/x?token=" CANARY "&a=1 failed",
        "https://h/x?a=1&X-Amz-Signature=" CANARY,
        "https://h/x?Signature=" CANARY "&Policy=" CANARY "&Key-Pair-Id=" CANARY "#f",
        "?sig=" CANARY "&key=" CANARY,
        "?TOKEN=" CANARY,
        "Authorization: Bearer " CANARY,
        "authorization:Basic " CANARY " " CANARY,
        "sent Cookie: a=" CANARY "; b=" CANARY,
        "set-cookie: " CANARY,
        "Proxy-Authorization: " CANARY,
        "used Bearer " CANARY " there",
        "token hf_" CANARY " is wrong",
        "(hf_" CANARY ")",
        "https://user:" CANARY "@host/path",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        mmgr__fail(MMGR_ERR_IO, "%s", texts[i]);
        mmgr__error_set_subject(texts[i]);
        if (strstr(mmgr_error_message(mmgr_last_error()), CANARY) != NULL ||
            strstr(mmgr_error_subject(mmgr_last_error()), CANARY) != NULL)
            fail_msg("not redacted: %s", texts[i]);
    }
    char keep[] = "set hf_token in https://host/a?page=2&monkey=3 for key=abc, token=here";
    mmgr__redact(keep);
    assert_string_equal(keep,
                        "set hf_token in https://host/a?page=2&monkey=3 for key=abc, token=here");
    char rest[] = "https://h/x?token=abcdef&page=2 end";
    mmgr__redact(rest);
    assert_string_equal(rest, "https://h/x?token=***&page=2 end");
}

static char logged[4096];
static int lines;

static void on_log(enum mmgr_log_level level, const char *component, const char *message,
                   void *user)
{
    lines++;
    snprintf(logged, sizeof logged, "%d %s %s", (int)level, component, message);
}

static void test_log(void **state)
{
    mmgr__log(MMGR_LOG_ERROR, "x", "nobody hears");
    mmgr_set_log(MMGR_LOG_INFO, on_log, NULL);
    mmgr__log(MMGR_LOG_DEBUG, "x", "too quiet");
    assert_int_equal(lines, 0);
    mmgr__log(MMGR_LOG_INFO, "base", "token hf_%s %d\nx", CANARY, 5);
    assert_int_equal(lines, 1);
    assert_string_equal(logged, "3 base token hf_*** 5 x");
    mmgr_set_log(MMGR_LOG_OFF, NULL, NULL);
    mmgr__log(MMGR_LOG_ERROR, "x", "again nobody");
    assert_int_equal(lines, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registry),   cmocka_unit_test(test_last_error),
        cmocka_unit_test(test_per_thread), cmocka_unit_test(test_cut),
        cmocka_unit_test(test_errno),      cmocka_unit_test(test_redaction),
        cmocka_unit_test(test_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
