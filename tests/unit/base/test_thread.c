/* SPDX-License-Identifier: MIT */
/* Clocks, deadlines, conditions, random text, times as text, threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/text.h"
#include "base/thread.h"

static void test_time_text(void **state)
{
    char text[32];
    mmgr__format_time(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    mmgr__format_time(1706702400123456789, text);
    assert_string_equal(text, "2024-01-31T12:00:00.123Z");
    mmgr__format_time(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999Z");
    mmgr__format_time(INT64_MAX, text);
    assert_string_equal(text, "2262-04-11T23:47:16.854Z");
}

static void test_deadline(void **state)
{
    assert_true(mmgr__deadline(-1) == INT64_MAX);
    assert_true(mmgr__deadline(INT64_MAX) == INT64_MAX);
    int64_t before = mmgr__now_monotonic();
    assert_true(mmgr__deadline(0) >= before);
    assert_true(mmgr__now_realtime() > 1600000000000000000);
}

static void test_wait(void **state)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t cond;
    assert_int_equal(mmgr__cond_init(&cond), 0);
    pthread_mutex_lock(&mutex);
    int64_t deadline = mmgr__deadline(2000000);
    int result;
    do
        result = mmgr__cond_wait_until(&cond, &mutex, deadline);
    while (result == 0);
    assert_int_equal(result, ETIMEDOUT);
    assert_true(mmgr__now_monotonic() >= deadline);
    pthread_mutex_unlock(&mutex);
    pthread_cond_destroy(&cond);
}

static void test_random(void **state)
{
    char a[131], b[131];
    mmgr__random_hex(a, 130);
    mmgr__random_hex(b, 130);
    assert_true(mmgr__is_hex(a, 130));
    assert_string_not_equal(a, b);
    mmgr__random_hex(a, 1);
    assert_true(mmgr__is_hex(a, 1));
}

static void *report(void *argument)
{
    sigset_t set;
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    *(int *)argument = sigismember(&set, SIGTERM) && sigismember(&set, SIGINT);
    return NULL;
}

static void test_thread(void **state)
{
    int blocked = 0;
    pthread_t thread;
    assert_int_equal(mmgr__thread_start(&thread, report, &blocked, "a-name-longer-than-fifteen"),
                     0);
    pthread_join(thread, NULL);
    assert_true(blocked);
    sigset_t set;
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    assert_false(sigismember(&set, SIGTERM));
}

static void test_refs(void **state)
{
    mmgr__refs refs;
    mmgr__refs_init(&refs);
    mmgr__refs_take(&refs);
    assert_false(mmgr__refs_drop(&refs));
    assert_true(mmgr__refs_drop(&refs));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time_text), cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_wait),      cmocka_unit_test(test_random),
        cmocka_unit_test(test_thread),    cmocka_unit_test(test_refs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
