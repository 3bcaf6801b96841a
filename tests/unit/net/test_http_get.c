/* SPDX-License-Identifier: MIT */
/* The blocking GET over a scripted transport: redirects, bounds, time, tokens, broken answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/http.h"
#include "fake_transport.h"

#define SECOND INT64_C(1000000000)

static void outcomes(void **state)
{
    static const struct {
        struct fake_answer answers[3];
        enum mmgr_result result;
        int32_t status;
        const char *body, *url;
    } rows[] = {
        {{{.url = "https://h/a", .status = 200, .body = "hello"}},
         MMGR_OK,
         200,
         "hello",
         "https://h/a"},
        {{{.url = "https://h/a", .status = 404, .body = "gone"}},
         MMGR_OK,
         404,
         "gone",
         "https://h/a"},
        {{{.url = "https://h/a", .status = 204}}, MMGR_OK, 204, "", "https://h/a"},
        {{{.url = "https://h/a", .status = 304, .headers = "Location: /b"}},
         MMGR_OK,
         304,
         "",
         "https://h/a"},
        {{{.url = "https://h/a", .status = 307, .headers = "location: /b?c", .body = "moved"},
          {.url = "https://h/b?c", .status = 200, .body = "there"}},
         MMGR_OK,
         200,
         "there",
         "https://h/b?c"},
        {{{.url = "https://h/a",
           .status = 302,
           .headers = "Location: https://cdn/x",
           .pad = 300000},
          {.url = "https://cdn/x", .status = 200, .body = "there"}},
         MMGR_OK,
         200,
         "there",
         "https://cdn/x"},
        {{{.url = "https://h/a", .status = 301}}, MMGR_ERR_PROTOCOL, 0, NULL, NULL},
        {{{.url = "https://h/a", .status = 302, .headers = "Location: /a", .again = 1}},
         MMGR_ERR_PROTOCOL,
         0,
         NULL,
         NULL},
        {{{.url = "https://h/a", .status = 302, .headers = "Location: http://h/a"}},
         MMGR_ERR_REFUSED_ADDRESS,
         0,
         NULL,
         NULL},
        {{{.url = "https://h/a",
           .status = 302,
           .headers = "Location: https://in/b",
           .peer = "1.1.1.1"},
          {.url = "https://in/b", .status = 200, .body = "secret", .peer = "10.0.0.1"}},
         MMGR_ERR_REFUSED_ADDRESS,
         0,
         NULL,
         NULL},
        {{{.url = "https://h/a", .status = 200, .headers = "Content-Encoding: gzip", .body = "x"}},
         MMGR_ERR_PROTOCOL,
         0,
         NULL,
         NULL},
        {{{.url = "https://h/a",
           .status = 200,
           .headers = "Content-Encoding: identity",
           .body = "x"}},
         MMGR_OK,
         200,
         "x",
         "https://h/a"},
        {{{.url = "https://h/a", .status = 200, .pad = 4096}}, MMGR_OK, 200, NULL, "https://h/a"},
        {{{.url = "https://h/a", .status = 200, .pad = 4097}}, MMGR_ERR_TOO_LARGE, 0, NULL, NULL},
        {{{.url = "https://h/a", .status = 200, .body = "cut", .end = MMGR_ERR_NETWORK}},
         MMGR_ERR_NETWORK,
         0,
         NULL,
         NULL},
        {{{.url = "https://h/a", .end = MMGR_ERR_TIMEOUT}}, MMGR_ERR_TIMEOUT, 0, NULL, NULL},
        {{{.url = "https://h/a", .status = 200, .body = "never", .hang = 1}},
         MMGR_ERR_TIMEOUT,
         0,
         NULL,
         NULL},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake *fake;
        struct mmgr__http_answer answer = {.status = 7};
        enum mmgr_result result;
        uint32_t count = 0;
        /* Only the row that hangs waits for the clock. */
        int64_t timeout = rows[i].answers[0].hang ? SECOND / 20 : 60 * SECOND;

        while (count < 3 && rows[i].answers[count].url)
            count++;
        fake = fake_new(rows[i].answers, count);
        result = mmgr__http_get(&fake_ops, fake, NULL, "https://h/a", NULL, NULL, 0, 4096, timeout,
                                &answer);
        if (result != rows[i].result)
            fail_msg("row %zu gave %s: %s", i, mmgr_result_name(result),
                     mmgr_error_message(mmgr_last_error()));
        assert_false(fake_surprised(fake));
        assert_int_equal(fake_unused(fake), 0);
        for (uint32_t r = 0; r < fake_request_count(fake); r++)
            assert_true(fake_request(fake, r)->identity && fake_request(fake, r)->agent);
        if (result == MMGR_OK) {
            assert_int_equal(answer.status, rows[i].status);
            assert_string_equal(answer.url, rows[i].url);
            if (rows[i].body)
                assert_string_equal(answer.body, rows[i].body);
            mmgr__http_answer_free(&answer);
        } else {
            assert_int_equal(answer.status, 7);
            assert_int_equal(mmgr_error_code(mmgr_last_error()), result);
            assert_non_null(strstr(mmgr_error_message(mmgr_last_error()), "://"));
        }
        fake_free(fake);
        assert_int_equal(mmgr__alloc_live(), 0);
    }
}

static void token_and_private_flag_follow_the_hops(void **state)
{
    static const struct fake_answer answers[] = {
        {.url = "https://h/a", .status = 302, .headers = "Location: /b", .peer = "1.1.1.1"},
        {.url = "https://h/b",
         .status = 302,
         .headers = "Location: https://cdn/c",
         .peer = "1.1.1.1"},
        {.url = "https://cdn/c",
         .status = 302,
         .headers = "Location: https://h:444/d",
         .peer = "2.2.2.2"},
        {.url = "https://h:444/d", .status = 200, .headers = "X-A: 1\nX-B: 2", .peer = "1.1.1.1"},
    };
    static const char *const extra[] = {"Accept: application/json"};
    static const char *const sent[] = {"T", "T", "", ""};
    struct fake *fake = fake_new(answers, 4);
    struct mmgr__http_answer answer;

    assert_int_equal(
        mmgr__http_get(&fake_ops, fake, NULL, "https://h/a", "T", extra, 1, 100, -1, &answer),
        MMGR_OK);
    assert_int_equal(fake_request_count(fake), 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_string_equal(fake_request(fake, i)->authorization, sent[i]);
        assert_int_equal(fake_request(fake, i)->flags, i == 0 ? MMGR_REQUEST_ALLOW_PRIVATE : 0);
    }
    assert_int_equal(answer.header_count, 2);
    assert_string_equal(mmgr__header((const char *const *)answer.headers, 2, "x-b"), "2");
    mmgr__http_answer_free(&answer);
    fake_free(fake);
}

static void no_memory(void **state)
{
    static const struct fake_answer answers[] = {
        {.url = "https://h/a", .status = 302, .headers = "Location: /b", .again = 1},
        {.url = "https://h/b", .status = 200, .headers = "X: y", .body = "hello", .again = 1},
    };

    for (uint64_t n = 1; n < 200; n++) {
        struct fake *fake = fake_new(answers, 2);
        struct mmgr__http_answer answer = {0};
        enum mmgr_result result;

        mmgr__alloc_fail_at(n, 0);
        result =
            mmgr__http_get(&fake_ops, fake, NULL, "https://h/a", "T", NULL, 0, 100, -1, &answer);
        mmgr__alloc_fail_at(0, 0);
        assert_true(result == MMGR_OK || result == MMGR_ERR_NO_MEMORY);
        mmgr__http_answer_free(&answer);
        fake_free(fake);
        assert_int_equal(mmgr__alloc_live(), 0);
        if (result == MMGR_OK)
            return;
        assert_true(n < 199);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outcomes),
        cmocka_unit_test(token_and_private_flag_follow_the_hops),
        cmocka_unit_test(no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
