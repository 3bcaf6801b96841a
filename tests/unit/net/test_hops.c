/* SPDX-License-Identifier: MIT */
/* Where a chain of redirects may go, and where its token goes with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/http.h"

static mmgr_config *plain_config(void)
{
    struct mmgr_config_options options = {.struct_size = sizeof(options),
                                          .root = "/nowhere",
                                          .flags =
                                              MMGR_CONFIG_NO_ENVIRONMENT | MMGR_CONFIG_NO_FILE};
    mmgr_config *config = NULL;

    assert_int_equal(mmgr_config_new(&options, &config), MMGR_OK);
    return config;
}

/* One redirect: from a URL, whose peer answered, to a Location, whose peer answers. */
static void redirects(void **state)
{
    static const struct {
        const char *start, *peer, *location, *next_peer;
        enum mmgr_result follow, then;
        const char *named; /* allow_private_hosts */
    } rows[] = {
        {"https://h/a", "1.1.1.1", "/b", "1.1.1.1", MMGR_OK, MMGR_OK, NULL},
        {"https://h/a", "1.1.1.1", "https://cdn/b", "2.2.2.2", MMGR_OK, MMGR_OK, NULL},
        {"http://h/a", "1.1.1.1", "https://h/b", "1.1.1.1", MMGR_OK, MMGR_OK, NULL},
        {"https://h/a", "1.1.1.1", "http://h/b", NULL, MMGR_ERR_REFUSED_ADDRESS, MMGR_OK, NULL},
        {"https://h/a", "1.1.1.1", "file:///etc/passwd", NULL, MMGR_ERR_REFUSED_ADDRESS, MMGR_OK,
         NULL},
        {"https://h/a", "1.1.1.1", "gopher://h/", NULL, MMGR_ERR_REFUSED_ADDRESS, MMGR_OK, NULL},
        {"https://h/a", "1.1.1.1", "ftp://h/", NULL, MMGR_ERR_REFUSED_ADDRESS, MMGR_OK, NULL},
        {"https://h/a", "1.1.1.1", "", NULL, MMGR_ERR_PROTOCOL, MMGR_OK, NULL},
        {"https://h/a", "1.1.1.1", NULL, NULL, MMGR_ERR_PROTOCOL, MMGR_OK, NULL},
        {"https://h/a", "1.1.1.1", "https://", NULL, MMGR_ERR_PROTOCOL, MMGR_OK, NULL},
        {"https://h/a", "1.1.1.1", "https://u:p@evil/", NULL, MMGR_ERR_PROTOCOL, MMGR_OK, NULL},
        /* a public server points inside */
        {"https://h/a", "1.1.1.1", "https://127.0.0.1/", NULL, MMGR_ERR_REFUSED_ADDRESS, MMGR_OK,
         NULL},
        {"https://h/a", "1.1.1.1", "https://0x7f.1/", NULL, MMGR_ERR_REFUSED_ADDRESS, MMGR_OK,
         NULL},
        {"https://h/a", "1.1.1.1", "https://2130706433/", NULL, MMGR_ERR_REFUSED_ADDRESS, MMGR_OK,
         NULL},
        {"https://h/a", "1.1.1.1", "https://%31%32%37.0.0.1/", NULL, MMGR_ERR_REFUSED_ADDRESS,
         MMGR_OK, NULL},
        {"https://h/a", "1.1.1.1", "https://[::ffff:7f00:1]/", NULL, MMGR_ERR_REFUSED_ADDRESS,
         MMGR_OK, NULL},
        {"https://h/a", "1.1.1.1", "https://169.254.169.254/", NULL, MMGR_ERR_REFUSED_ADDRESS,
         MMGR_OK, NULL},
        {"https://h/a", "1.1.1.1", "https://nas.local/", NULL, MMGR_ERR_REFUSED_ADDRESS, MMGR_OK,
         NULL},
        {"https://h/a", "1.1.1.1", "https://localhost/", NULL, MMGR_ERR_REFUSED_ADDRESS, MMGR_OK,
         NULL},
        {"https://h/a", "1.1.1.1", "https://rebound/", "10.0.0.1", MMGR_OK,
         MMGR_ERR_REFUSED_ADDRESS, NULL},
        {"https://h/a", "1.1.1.1", "/b", "10.0.0.1", MMGR_OK, MMGR_ERR_REFUSED_ADDRESS, NULL},
        {"https://h/a", NULL, "https://127.0.0.1/", NULL, MMGR_ERR_REFUSED_ADDRESS, MMGR_OK, NULL},
        /* private ones are fine when named by the user, the config, or a private server */
        {"http://127.0.0.1:8000/a", "127.0.0.1", "http://127.0.0.1:9000/b", "127.0.0.1", MMGR_OK,
         MMGR_OK, NULL},
        {"http://hub.corp/a", "10.0.0.5", "http://10.0.0.6/b", "10.0.0.6", MMGR_OK, MMGR_OK, NULL},
        {"https://h/a", "1.1.1.1", "https://10.0.0.6/b", "10.0.0.6", MMGR_OK, MMGR_OK, "10.0.0.6"},
        {"https://h/a", "1.1.1.1", "https://mirror.corp/b", "10.0.0.6", MMGR_OK, MMGR_OK,
         "x,mirror.corp"},
        {"https://h/a", "1.1.1.1", "https://mirror.corp.evil/b", "10.0.0.6", MMGR_OK,
         MMGR_ERR_REFUSED_ADDRESS, "mirror.corp"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        mmgr_config *config = plain_config();
        struct mmgr__hops hops;
        enum mmgr_result result;

        if (rows[i].named)
            assert_int_equal(mmgr_config_set(config, "allow_private_hosts", rows[i].named),
                             MMGR_OK);
        assert_int_equal(mmgr__hops_start(&hops, config, rows[i].start, NULL), MMGR_OK);
        assert_true(mmgr__hops_allow_private(&hops));
        assert_int_equal(mmgr__hops_peer(&hops, rows[i].peer), MMGR_OK);
        result = mmgr__hops_follow(&hops, rows[i].location);
        if (result != rows[i].follow)
            fail_msg("row %zu: follow gave %s", i, mmgr_result_name(result));
        if (result == MMGR_OK) {
            result = mmgr__hops_peer(&hops, rows[i].next_peer);
            if (result != rows[i].then)
                fail_msg("row %zu: peer gave %s", i, mmgr_result_name(result));
            assert_int_equal(mmgr__hops_allow_private(&hops),
                             !(rows[i].then || (hops.public_seen && !rows[i].named)));
        } else {
            assert_non_null(mmgr_error_subject(mmgr_last_error()));
        }
        mmgr__hops_free(&hops);
        mmgr_config_unref(config);
    }
    assert_int_equal(mmgr__alloc_live(), 0);
}

static void too_many(void **state)
{
    struct mmgr__hops hops;
    char location[32];

    assert_int_equal(mmgr__hops_start(&hops, NULL, "https://h/0", NULL), MMGR_OK);
    for (int i = 1; i <= 10; i++) {
        snprintf(location, sizeof(location), "/%d", i);
        assert_int_equal(mmgr__hops_follow(&hops, location), MMGR_OK);
    }
    assert_int_equal(mmgr__hops_follow(&hops, "/11"), MMGR_ERR_PROTOCOL);
    assert_string_equal(hops.url.path, "/10");
    mmgr__hops_free(&hops);
}

/* Which token goes to which URL. */
static void tokens(void **state)
{
    static const struct {
        const char *start, *token, *next, *sent; /* next NULL: no redirect; sent NULL: no token */
    } rows[] = {
        /* a token of the call stays with the first origin */
        {"https://h/a", "T", NULL, "T"},
        {"https://h/a", "T", "/b", "T"},
        {"https://h/a", "T", "https://h:443/c", "T"},
        {"https://h/a", "T", "https://h:444/c", NULL},
        {"https://h/a", "T", "https://cdn.h/c", NULL},
        {"https://h/a", "T", "https://evil/c?h", NULL},
        {"http://h/a", "T", "https://h/c", NULL},
        /* never over plain http, but to loopback and to what the config names so */
        {"http://h/a", "T", NULL, NULL},
        {"http://127.0.0.1:8/a", "T", NULL, "T"},
        {"http://[::1]/a", "T", NULL, "T"},
        {"http://localhost/a", "T", NULL, "T"},
        {"http://10.0.0.1/a", "T", NULL, NULL},
        {"http://plain.corp/a", "T", NULL, "T"},
        /* the config's bindings: longest prefix, whole components, own origin */
        {"https://bound/x", NULL, NULL, "root"},
        {"https://bound/org", NULL, NULL, "org"},
        {"https://bound/org/x", NULL, NULL, "org"},
        {"https://bound/organic", NULL, NULL, "root"},
        {"https://bound:8443/x", NULL, NULL, NULL},
        {"http://bound/x", NULL, NULL, NULL},
        {"https://bound.evil/x", NULL, NULL, NULL},
        {"https://h/a", NULL, "https://bound/x", "root"},
        {"http://plain.corp/in/x", NULL, NULL, "plain"},
        {"http://plain.corp/x", NULL, NULL, NULL},
        {"https://bound/x", "T", NULL, "T"},
        /* an empty token: none, whatever the config has */
        {"https://bound/x", "", NULL, NULL},
        {"https://h/a", "", "https://bound/x", NULL},
    };
    mmgr_config *config = plain_config();

    assert_int_equal(mmgr_config_add_token(config, "https://bound", "root"), MMGR_OK);
    assert_int_equal(mmgr_config_add_token(config, "https://bound/org/", "org"), MMGR_OK);
    assert_int_equal(mmgr_config_add_token(config, "http://plain.corp/in", "plain"), MMGR_OK);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct mmgr__hops hops;
        int failed = 1;
        char *line;

        assert_int_equal(mmgr__hops_start(&hops, config, rows[i].start, rows[i].token), MMGR_OK);
        if (rows[i].next)
            assert_int_equal(mmgr__hops_follow(&hops, rows[i].next), MMGR_OK);
        line = mmgr__hops_authorization(&hops, &failed);
        assert_int_equal(failed, 0);
        if (rows[i].sent ? !line || strncmp(line, "Authorization: Bearer ", 22) ||
                               strcmp(line + 22, rows[i].sent)
                         : line != NULL)
            fail_msg("row %zu (%s): %s", i, rows[i].start, line ? line : "none");
        mmgr__free(line);
        mmgr__hops_free(&hops);
    }
    mmgr_config_unref(config);
}

static void bad_tokens(void **state)
{
    static const char *const rows[] = {"a\r\nX: y", "a b", "a\n", "\x7f", "\t"};
    struct mmgr__hops hops;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(mmgr__hops_start(&hops, NULL, "https://h/", rows[i]), MMGR_ERR_ARGUMENT);
    assert_int_equal(mmgr__alloc_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(redirects), cmocka_unit_test(too_many),
                                       cmocka_unit_test(tokens), cmocka_unit_test(bad_tokens)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
