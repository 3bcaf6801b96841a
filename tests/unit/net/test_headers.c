/* SPDX-License-Identifier: MIT */
/* Header values: entity tags, ranges, file names, waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/http.h"

#define SECOND INT64_C(1000000000)

static void lookup(void **state)
{
    const char *const headers[] = {"Content-Type: text/html", "x-linked-ETAG:\t \"abc\"",
                                   "Empty:", "No-Colon"};

    assert_string_equal(mmgr__header(headers, 4, "content-type"), "text/html");
    assert_string_equal(mmgr__header(headers, 4, "X-Linked-Etag"), "\"abc\"");
    assert_string_equal(mmgr__header(headers, 4, "empty"), "");
    assert_null(mmgr__header(headers, 4, "Content"));
    assert_null(mmgr__header(headers, 4, "No-Colon"));
    assert_null(mmgr__header(NULL, 0, "Any"));
}

static void etags(void **state)
{
    static const struct {
        const char *value, *tag;
        int weak;
    } rows[] = {
        {"\"abc\"", "abc", 0}, {"W/\"abc\"", "abc", 1}, {"  \"abc\"  ", "abc", 0},
        {"abc", "abc", 0},     {"\"\"", NULL, 0},       {"\"abc", NULL, 0},
        {"abc\"", NULL, 0},    {"\"a\"b\"", NULL, 0},   {"", NULL, 0},
        {"W/", NULL, 0},       {"\"a b\"", NULL, 0},    {"\"a\rb\"", NULL, 0},
        {"\"", NULL, 0},
    };
    char big[9000];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int weak = 0;
        char *tag = mmgr__etag(rows[i].value, &weak);

        if (rows[i].tag ? !tag || strcmp(tag, rows[i].tag) != 0 : tag != NULL)
            fail_msg("%s gave %s", rows[i].value, tag ? tag : "(none)");
        assert_int_equal(weak, rows[i].tag ? rows[i].weak : 0);
        mmgr__free(tag);
    }
    memset(big, 'x', sizeof(big));
    big[0] = big[sizeof(big) - 2] = '"';
    big[sizeof(big) - 1] = '\0';
    assert_null(mmgr__etag(big, &(int){0}));
}

static void ranges(void **state)
{
    static const struct {
        const char *value;
        int ok, unsatisfied;
        uint64_t first, last, total;
    } rows[] = {
        {"bytes 0-99/200", 1, 0, 0, 99, 200},
        {"bytes 100-199/*", 1, 0, 100, 199, UINT64_MAX},
        {"BYTES 5-5/6 ", 1, 0, 5, 5, 6},
        {"bytes */200", 1, 1, 0, 0, 200},
        {"bytes 0-0/1", 1, 0, 0, 0, 1},
        {"bytes 18446744073709551613-18446744073709551613/*", 1, 0, UINT64_MAX - 2, UINT64_MAX - 2,
         UINT64_MAX},
        {"", 0},
        {"bytes", 0},
        {"bytes 0-99", 0},
        {"bytes 99-0/200", 0},
        {"bytes 0-200/200", 0},
        {"bytes -5-9/20", 0},
        {"bytes 0-/20", 0},
        {"bytes */*", 0},
        {"bytes 0-9/20x", 0},
        {"items 0-9/20", 0},
        {"bytes=0-9/20", 0},
        {"bytes 0 - 9/20", 0},
        {"bytes 0-18446744073709551615/*", 0},
        {"bytes 0-99999999999999999999999/*", 0},
        {"bytes 0x1-5/9", 0},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t first = 7, last = 7, total = 7;
        int unsatisfied = 7;

        if (mmgr__content_range(rows[i].value, &first, &last, &total, &unsatisfied) != rows[i].ok)
            fail_msg("\"%s\"", rows[i].value);
        if (rows[i].ok) {
            assert_true(first == rows[i].first && last == rows[i].last && total == rows[i].total);
            assert_int_equal(unsatisfied, rows[i].unsatisfied);
        } else {
            assert_true(first == 7 && last == 7 && total == 7 && unsatisfied == 7);
        }
    }
}

static void dispositions(void **state)
{
    static const struct {
        const char *value, *name;
    } rows[] = {
        {"attachment; filename=\"model.safetensors\"", "model.safetensors"},
        {"attachment; filename=model.bin", "model.bin"},
        {"ATTACHMENT;FileName=\"a.bin\";", "a.bin"},
        {"inline; size=5; filename=\"a b.bin\" ; x=y", "a b.bin"},
        {"attachment; filename=\"a\\\"b.bin\"", "a\"b.bin"},
        {"attachment; filename=\"x.bin\"; filename*=UTF-8''na%C3%AFve.bin", "na\xc3\xafve.bin"},
        {"attachment; filename*=ISO-8859-1'en'na%EFve.bin", "na\xc3\xafve.bin"},
        {"attachment; filename=\"x.bin\"; filename*=KOI8-R''abc", "x.bin"},
        {"attachment", NULL},
        {"", NULL},
        {"attachment; filename=", NULL},
        {"attachment; filename=\"\"", NULL},
        /* names that lead elsewhere, and tricks with the parameter itself */
        {"attachment; filename=\"../../x\"", NULL},
        {"attachment; filename=\"/etc/passwd\"", NULL},
        {"attachment; filename=\"..\\\\x\"", NULL},
        {"attachment; filename=\"..\"", NULL},
        {"attachment; filename=\".\"", NULL},
        {"attachment; filename*=UTF-8''..%2f..%2fx", NULL},
        {"attachment; filename*=UTF-8''%2e%2e", NULL},
        {"attachment; filename*=UTF-8''a%00b", NULL},
        {"attachment; filename=\"ok.bin\"; filename*=UTF-8''..%2fx", NULL},
        {"attachment; filename=\"ok.bin\"; filename*=UTF-8''a%00b", NULL},
        {"attachment; filename=\"a.bin\"; filename=\"b.bin\"", NULL},
        {"attachment; filename*=UTF-8''a; filename*=UTF-8''b", NULL},
        {"attachment; filename=\"a\nb\"", NULL},
        {"attachment; filename=\"open.bin", NULL},
        {"attachment; filename=\"a.bin\" trailing", NULL},
        {"attachment; =x", NULL},
        {"attachment; filename*=UTF-8'broken", NULL},
        {"attachment; filename=\"\xff\xfe\"", NULL},
    };
    char big[12000] = "attachment; filename=\"";

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *name = mmgr__disposition_filename(rows[i].value);

        if (rows[i].name ? !name || strcmp(name, rows[i].name) != 0 : name != NULL)
            fail_msg("%s gave %s", rows[i].value, name ? name : "(none)");
        mmgr__free(name);
    }
    memset(big + 22, 'a', 10000);
    strcpy(big + 10022, "\"");
    assert_null(mmgr__disposition_filename(big));
    assert_int_equal(mmgr__alloc_live(), 0);
}

static void waits(void **state)
{
    static const struct {
        const char *retry_after, *rate_limit;
        int64_t wait;
    } rows[] = {
        {"Retry-After: 1", NULL, 1 * SECOND},
        {"Retry-After: 0", NULL, 0},
        {"Retry-After: 99999999999", NULL, 300 * SECOND},
        {"Retry-After: 99999999999999999999999999", NULL, 300 * SECOND},
        {"Retry-After: -5", NULL, -1},
        {"Retry-After: soon", NULL, -1},
        {"Retry-After: ", NULL, -1},
        {"Retry-After: 1.5", NULL, -1},
        {"Retry-After: Fri, 31 Dec 2099 23:59:59 GMT", NULL, 300 * SECOND},
        {"Retry-After: Sun, 06 Nov 1994 08:49:37 GMT", NULL, 0},
        {NULL, NULL, -1},
        {NULL, "RateLimit: \"api\";r=0;t=55", 56 * SECOND},
        {NULL, "RateLimit: \"api\";r=3;t=55", 56 * SECOND},
        {NULL, "RateLimit: \"api\";r=9;t=200, \"resolvers\";r=0;t=10", 11 * SECOND},
        {NULL, "RateLimit: \"api\";r=0;t=99999999999999999999999", 300 * SECOND},
        {NULL, "RateLimit: nonsense", -1},
        {NULL, "RateLimit: \"api\";r=0;t=-4", -1},
        {"Retry-After: 2", "RateLimit: \"api\";r=0;t=55", 2 * SECOND},
        {"Retry-After: x", "RateLimit: \"api\";r=0;t=55", 56 * SECOND},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *headers[2];
        uint32_t count = 0;
        int64_t wait;

        if (rows[i].retry_after)
            headers[count++] = rows[i].retry_after;
        if (rows[i].rate_limit)
            headers[count++] = rows[i].rate_limit;
        wait = mmgr__retry_after(headers, count);
        if (wait != rows[i].wait)
            fail_msg("%s / %s gave %lld", rows[i].retry_after ? rows[i].retry_after : "-",
                     rows[i].rate_limit ? rows[i].rate_limit : "-", (long long)wait);
    }
}

static void agent(void **state)
{
    assert_int_equal(strncmp(mmgr__user_agent(), "User-Agent: libmodelmgr/", 24), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lookup),       cmocka_unit_test(etags), cmocka_unit_test(ranges),
        cmocka_unit_test(dispositions), cmocka_unit_test(waits), cmocka_unit_test(agent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
