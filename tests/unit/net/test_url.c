/* SPDX-License-Identifier: MIT */
/* URLs: what is accepted, how it is normalised, what is refused, and percent-encoding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/http.h"

static void accepted(void **state)
{
    static const struct {
        const char *given, *text, *host, *path, *query;
        int port;
    } rows[] = {
        {"https://huggingface.co/a/b", "https://huggingface.co/a/b", "huggingface.co", "/a/b", NULL,
         443},
        {"HTTPS://HuggingFace.CO", "https://huggingface.co/", "huggingface.co", "/", NULL, 443},
        {"http://h:80/x", "http://h/x", "h", "/x", NULL, 80},
        {"http://h:8080/x#part", "http://h:8080/x", "h", "/x", NULL, 8080},
        {"https://h:443/?a=b&c=%20", "https://h/?a=b&c=%20", "h", "/", "a=b&c=%20", 443},
        {"https://h/a/../b/./c", "https://h/b/c", "h", "/b/c", NULL, 443},
        {"https://h/a%2Fb", "https://h/a%2Fb", "h", "/a%2Fb", NULL, 443},
        {"https://h/?", "https://h/", "h", "/", NULL, 443},
        {"http://[::1]:9/x", "http://[::1]:9/x", "::1", "/x", NULL, 9},
        {"http://[2001:DB8::1]/", "http://[2001:db8::1]/", "2001:db8::1", "/", NULL, 80},
        {"http://0x7f.1/", "http://127.0.0.1/", "127.0.0.1", "/", NULL, 80},
        {"http://2130706433/", "http://127.0.0.1/", "127.0.0.1", "/", NULL, 80},
        {"https://h/caf\xc3\xa9", "https://h/caf%C3%A9", "h", "/caf%C3%A9", NULL, 443},
        {"https://h?x=1", "https://h/?x=1", "h", "/", "x=1", 443},
        {"https://a_b.example-c.org/", "https://a_b.example-c.org/", "a_b.example-c.org", "/", NULL,
         443},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct mmgr__url url = {0};

        if (mmgr__url_parse(rows[i].given, &url) != MMGR_OK)
            fail_msg("%s: %s", rows[i].given, mmgr_error_message(mmgr_last_error()));
        assert_string_equal(url.text, rows[i].text);
        assert_string_equal(url.host, rows[i].host);
        assert_string_equal(url.path, rows[i].path);
        assert_int_equal(url.port, rows[i].port);
        if (rows[i].query)
            assert_string_equal(url.query, rows[i].query);
        else
            assert_null(url.query);
        mmgr__url_free(&url);
    }
    assert_int_equal(mmgr__alloc_live(), 0);
}

static void refused(void **state)
{
    static const char *const rows[] = {
        "",
        "huggingface.co/a/b",
        "//h/x",
        "ftp://h/x",
        "file:///etc/passwd",
        "gopher://h/",
        "https:",
        "https:/h/x",
        "https://",
        "https:///h/x",
        "https:////h",
        "http://user@h/",
        "http://u:p@h/",
        "http://@h/",
        "https://h/a b",
        "https://h/a\nb",
        "https://h\\@evil/",
        "https://h\t/",
        "https://h:0/",
        "https://h:65536/",
        "https://h:x/",
        "https://h:-1/",
        "https://[::1/",
        "https://[::1%25eth0]/",
        "https://[zz]/",
        "https://exa mple/",
        "https://ex%0aample/",
        ("https://b\xc3\xbc"
         "cher.example/"),
        "https://h/\xff",
        "https://.h/",
        "https://a*b/",
        "https://a,b/",
        "javascript:alert(1)",
        "https://h<x>/",
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct mmgr__url url = {.port = 77};

        if (mmgr__url_parse(rows[i], &url) != MMGR_ERR_UNSUPPORTED_SOURCE)
            fail_msg("accepted: %s", rows[i]);
        assert_int_equal(url.port, 77);
        assert_null(url.text);
    }
    assert_int_equal(mmgr__alloc_live(), 0);
}

static void too_long(void **state)
{
    char text[9000] = "https://h/";
    struct mmgr__url url;

    memset(text + 10, 'a', sizeof(text) - 11);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(mmgr__url_parse(text, &url), MMGR_ERR_UNSUPPORTED_SOURCE);
}

static void resolved(void **state)
{
    static const struct {
        const char *base, *location, *text; /* text NULL: refused */
    } rows[] = {
        {"https://h/a/b", "/c", "https://h/c"},
        {"https://h/a/b", "c?x=1", "https://h/a/c?x=1"},
        {"https://h/a/b?x=1", "?y=2", "https://h/a/b?y=2"},
        {"https://h/a/b", "//other/c", "https://other/c"},
        {"https://h/a/b", "http://other:81/c", "http://other:81/c"},
        {"https://h:8443/a", "/c", "https://h:8443/c"},
        {"https://h/a", "../../c", "https://h/c"},
        {"https://h/a", "/with blank", "https://h/with%20blank"},
        {"https://h/a", "/x#part", "https://h/x"},
        {"https://h/a", "", NULL},
        {"https://h/a", "https:/c", NULL},
        {"https://h/a", "https:c", NULL},
        {"https://h/a", "///c", NULL},
        {"https://h/a", "\\\\evil\\c", NULL},
        {"https://h/a", "/\\evil", NULL},
        {"https://h/a", "file:///etc/passwd", NULL},
        {"https://h/a", "https://u:p@h/", NULL},
        {"https://h/a", "/a\r\nX: y", NULL},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct mmgr__url base, url = {0};
        enum mmgr_result result;

        assert_int_equal(mmgr__url_parse(rows[i].base, &base), MMGR_OK);
        result = mmgr__url_resolve(&base, rows[i].location, &url);
        if (!rows[i].text && result != MMGR_ERR_UNSUPPORTED_SOURCE)
            fail_msg("accepted: %s as %s", rows[i].location, result == MMGR_OK ? url.text : "?");
        if (rows[i].text && result != MMGR_OK)
            fail_msg("%s: %s", rows[i].location, mmgr_error_message(mmgr_last_error()));
        if (rows[i].text)
            assert_string_equal(url.text, rows[i].text);
        mmgr__url_free(&url);
        mmgr__url_free(&base);
    }
    assert_int_equal(mmgr__alloc_live(), 0);
}

static void origins(void **state)
{
    static const struct {
        const char *a, *b, *origin;
        int same;
    } rows[] = {
        {"https://h/x", "https://H:443/y", "https://h", 1},
        {"https://h/x", "http://h/x", "https://h", 0},
        {"https://h/x", "https://h:444/x", "https://h", 0},
        {"http://h:81/x", "http://h:81", "http://h:81", 1},
        {"https://h/x", "https://h2/x", "https://h", 0},
        {"http://[::1]:5/", "http://[::1]:5/a", "http://[::1]:5", 1},
        {"https://h./x", "https://h/x", "https://h.", 0},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct mmgr__url a, b;
        char *origin;

        assert_int_equal(mmgr__url_parse(rows[i].a, &a), MMGR_OK);
        assert_int_equal(mmgr__url_parse(rows[i].b, &b), MMGR_OK);
        origin = mmgr__url_origin(&a);
        assert_string_equal(origin, rows[i].origin);
        assert_int_equal(mmgr__url_same_origin(&a, &b), rows[i].same);
        mmgr__free(origin);
        mmgr__url_free(&a);
        mmgr__url_free(&b);
    }
}

static void coding(void **state)
{
    static const struct {
        const char *plain, *keep, *encoded;
    } rows[] = {
        {"refs/pr/1", NULL, "refs%2Fpr%2F1"},
        {"a/b c", "/", "a/b%20c"},
        {"-._~aZ9", NULL, "-._~aZ9"},
        {"\xc3\xa9%", NULL, "%C3%A9%25"},
        {"", NULL, ""},
        {"a?b#c&d+e", "/", "a%3Fb%23c%26d%2Be"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *encoded = mmgr__url_encode(rows[i].plain, rows[i].keep);
        char *decoded = mmgr__url_decode(encoded);

        assert_string_equal(encoded, rows[i].encoded);
        assert_string_equal(decoded, rows[i].plain);
        mmgr__free(encoded);
        mmgr__free(decoded);
    }
    assert_null(mmgr__url_decode("a%00b"));
    char *once = mmgr__url_decode("%2525%zz%4");
    assert_string_equal(once, "%25%zz%4");
    mmgr__free(once);
}

static void filenames(void **state)
{
    static const struct {
        const char *url, *name;
    } rows[] = {
        {"https://h/a/model.safetensors?x=1", "model.safetensors"},
        {"https://h/a/", NULL},
        {"https://h", NULL},
        {"https://h/a%20b.bin", "a b.bin"},
        {"https://h/..%2f..%2fx", NULL},
        {"https://h/a%5cb", NULL},
        {"https://h/%2e%2e", NULL},
        {"https://h/a%00b", NULL},
        {"https://h/a%0ab", NULL},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct mmgr__url url;
        char *name;

        assert_int_equal(mmgr__url_parse(rows[i].url, &url), MMGR_OK);
        name = mmgr__url_filename(&url);
        if (rows[i].name && (!name || strcmp(name, rows[i].name) != 0))
            fail_msg("%s: %s", rows[i].url, name ? name : "(none)");
        if (!rows[i].name && name)
            fail_msg("%s gave %s", rows[i].url, name);
        mmgr__free(name);
        mmgr__url_free(&url);
    }
}

/* Every allocation failed in turn: no leak, no crash, NO_MEMORY. */
static void no_memory(void **state)
{
    for (uint64_t n = 1; n < 40; n++) {
        struct mmgr__url base, url = {0};
        enum mmgr_result result;

        assert_int_equal(mmgr__url_parse("https://h/a", &base), MMGR_OK);
        mmgr__alloc_fail_at(n, 0);
        result = mmgr__url_resolve(&base, "/b c?d", &url);
        mmgr__alloc_fail_at(0, 0);
        assert_true(result == MMGR_OK || result == MMGR_ERR_NO_MEMORY);
        mmgr__url_free(&url);
        mmgr__url_free(&base);
        assert_int_equal(mmgr__alloc_live(), 0);
        if (result == MMGR_OK)
            return;
        assert_true(n < 39);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted),  cmocka_unit_test(refused),   cmocka_unit_test(too_long),
        cmocka_unit_test(resolved),  cmocka_unit_test(origins),   cmocka_unit_test(coding),
        cmocka_unit_test(filenames), cmocka_unit_test(no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
