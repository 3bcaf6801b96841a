/* SPDX-License-Identifier: MIT */
/* Fetching over a scripted transport: which calls are made, where the token goes, what each refusal becomes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <modelmgr/log.h>

#include "base/alloc.h"
#include "fake_transport.h"
#include "hub/hub.h"

#define SHA1               "00112233445566778899aabbccddeeff00112233"
#define SHA256             "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define API                "https://huggingface.co/api/models/"
#define INFO(id, siblings) "{\"id\":\"" id "\",\"sha\":\"" SHA1 "\",\"siblings\":[" siblings "]}"
#define ONE                                                                         \
    "{\"rfilename\":\"model.safetensors\",\"size\":5,\"lfs\":{\"sha256\":\"" SHA256 \
    "\",\"size\":5}}"

/* A hub over a script, with the environment cleared but for what the test sets. */
static mmgr_hub *open_hub(struct fake *fake)
{
    struct mmgr_config_options config_options = {
        .struct_size = sizeof(config_options), .root = "/nowhere", .flags = MMGR_CONFIG_NO_FILE};
    struct mmgr_hub_options options = {
        .struct_size = sizeof(options), .transport = &fake_ops, .transport_self = fake};
    mmgr_hub *hub = NULL;

    assert_int_equal(mmgr_config_new(&config_options, &options.config), MMGR_OK);
    assert_int_equal(mmgr_hub_open(&options, &hub), MMGR_OK);
    mmgr_config_unref(options.config);
    hub->retry_ns = 0;
    return hub;
}

static enum mmgr_result fetch(mmgr_hub *hub, const char *text, const char *token,
                              mmgr_metadata **metadata)
{
    mmgr_source *source = NULL;
    enum mmgr_result result;

    if (mmgr_source_parse(text, &source) != MMGR_OK)
        fail_msg("%s: %s", text, mmgr_error_message(mmgr_last_error()));
    result = mmgr_hub_fetch(hub, source, token, metadata);
    mmgr_source_unref(source);
    return result;
}

static int clear(void **state)
{
    static const char *const variables[] = {"HF_TOKEN",
                                            "HF_ENDPOINT",
                                            "HF_HUB_OFFLINE",
                                            "TRANSFORMERS_OFFLINE",
                                            "HUGGING_FACE_HUB_TOKEN",
                                            "HF_TOKEN_PATH",
                                            "HF_HOME",
                                            "MODELMGR_TOKENS",
                                            "HF_HUB_DISABLE_IMPLICIT_TOKEN",
                                            "XDG_CACHE_HOME"};

    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
        unsetenv(variables[i]);
    return setenv("HOME", "/nowhere", 1);
}

/* What goes over the wire, and what comes of it. `request_count` 0: as many as there are answers. */
static const struct row {
    const char *source, *token, *variable, *value;
    struct fake_answer answers[5];
    enum mmgr_result result;
    const char *says; /* part of the message, or of the first file's URL when it succeeds */
} rows[] = {
    {"org/name",
     NULL,
     NULL,
     NULL,
     {{.url = API "org/name?blobs=true",
       .authorization = "",
       .status = 200,
       .body = INFO("org/name", ONE)}},
     MMGR_OK,
     "https://huggingface.co/org/name/resolve/" SHA1 "/model.safetensors"},
    {"org/name@refs/pr/1",
     NULL,
     NULL,
     NULL,
     {{.url = API "org/name/revision/refs%2Fpr%2F1?blobs=true",
       .status = 200,
       .body = INFO("org/name", ONE)}},
     MMGR_OK,
     "/org/name/resolve/" SHA1 "/"},
    /* tokens: given, from the environment, bound by the config */
    {"org/name",
     "T",
     "HF_TOKEN",
     "hf_env",
     {{.url = API "org/name?blobs=true",
       .authorization = "T",
       .status = 200,
       .body = INFO("org/name", ONE)}},
     MMGR_OK,
     NULL},
    {"org/name",
     NULL,
     "HF_TOKEN",
     "hf_env",
     {{.url = API "org/name?blobs=true",
       .authorization = "hf_env",
       .status = 200,
       .body = INFO("org/name", ONE)}},
     MMGR_OK,
     NULL},
    {"org/name",
     NULL,
     "MODELMGR_TOKENS",
     "https://huggingface.co=bound",
     {{.url = API "org/name?blobs=true",
       .authorization = "bound",
       .status = 200,
       .body = INFO("org/name", ONE)}},
     MMGR_OK,
     NULL},
    {"https://hf-mirror.com/org/name",
     NULL,
     "HF_TOKEN",
     "hf_env",
     {{.url = "https://hf-mirror.com/api/models/org/name?blobs=true",
       .authorization = "",
       .status = 200,
       .body = INFO("org/name", ONE)}},
     MMGR_OK,
     "https://hf-mirror.com/org/name/resolve/" SHA1},
    /* the configured endpoint, and its pages given as URLs */
    {"org/name",
     NULL,
     "HF_ENDPOINT",
     "http://127.0.0.1:9/hub/",
     {{.url = "http://127.0.0.1:9/hub/api/models/org/name?blobs=true",
       .status = 200,
       .body = INFO("org/name", ONE)}},
     MMGR_OK,
     "http://127.0.0.1:9/hub/org/name/resolve/" SHA1},
    {"http://127.0.0.1:9/org/name/tree/v1",
     NULL,
     "HF_ENDPOINT",
     "http://127.0.0.1:9",
     {{.url = "http://127.0.0.1:9/api/models/org/name/revision/v1?blobs=true",
       .status = 200,
       .body = INFO("org/name", ONE)}},
     MMGR_OK,
     NULL},
    {"https://example.org/x.safetensors",
     NULL,
     NULL,
     NULL,
     {{.url = NULL}},
     MMGR_ERR_UNSUPPORTED_SOURCE,
     "example.org"},
    {"civitai:5", NULL, NULL, NULL, {{.url = NULL}}, MMGR_ERR_UNSUPPORTED_SOURCE, "no fetcher"},
    {"org/name", NULL, "HF_HUB_OFFLINE", "1", {{.url = NULL}}, MMGR_ERR_OFFLINE, "org/name"},
    /* renamed: the token goes along on the same host, the new name is used from then on */
    {"old/name",
     "T",
     NULL,
     NULL,
     {{.url = API "old/name?blobs=true",
       .authorization = "T",
       .status = 307,
       .headers = "Location: /api/models/new/name?blobs=true"},
      {.url = API "new/name?blobs=true",
       .authorization = "T",
       .status = 200,
       .body = INFO("new/name", ONE)}},
     MMGR_OK,
     "https://huggingface.co/new/name/resolve/"},
    {"org/name",
     "T",
     NULL,
     NULL,
     {{.url = API "org/name?blobs=true",
       .authorization = "T",
       .status = 308,
       .headers = "Location: https://other.example/api/models/org/name"},
      {.url = "https://other.example/api/models/org/name",
       .authorization = "",
       .status = 200,
       .body = INFO("org/name", ONE)}},
     MMGR_OK,
     NULL},
    /* sizes missing: the pages of the tree */
    {"org/name",
     "T",
     NULL,
     NULL,
     {{.url = API "org/name?blobs=true",
       .status = 200,
       .body = INFO("org/name", "{\"rfilename\":\"a\"}")},
      {.url = API "org/name/tree/" SHA1 "?recursive=true",
       .authorization = "T",
       .status = 200,
       .headers = "Link: <" API "org/name/tree/" SHA1 "?recursive=true&cursor=2>; rel=\"next\"",
       .body = "[{\"type\":\"file\",\"path\":\"b\",\"size\":1,\"oid\":\"" SHA1 "\"}]"},
      {.url = API "org/name/tree/" SHA1 "?recursive=true&cursor=2",
       .authorization = "T",
       .status = 200,
       .body = "[{\"type\":\"file\",\"path\":\"a\",\"size\":1,\"oid\":\"" SHA1 "\"}]"}},
     MMGR_OK,
     "/resolve/" SHA1 "/a"},
    {"org/name",
     NULL,
     NULL,
     NULL,
     {{.url = API "org/name?blobs=true",
       .status = 200,
       .body = INFO("org/name", "{\"rfilename\":\"a\"}")},
      {.url = API "org/name/tree/" SHA1 "?recursive=true",
       .status = 200,
       .headers = "Link: <https://evil.example/next>; rel=\"next\"",
       .body = "[]"}},
     MMGR_ERR_PROTOCOL,
     "evil.example"},
    {"org/name",
     NULL,
     NULL,
     NULL,
     {{.url = API "org/name?blobs=true",
       .status = 200,
       .body = INFO("org/name", "{\"rfilename\":\"a\"}")},
      {.url = API "org/name/tree/" SHA1 "?recursive=true",
       .status = 200,
       .body = "[{\"type\":\"file\",\"path\":\"../a\",\"size\":1}]"}},
     MMGR_ERR_UNSAFE_PATH,
     "../a"},
    /* refusals */
    {"org/name",
     NULL,
     NULL,
     NULL,
     {{.url = API "org/name?blobs=true", .status = 401, .headers = "X-Error-Code: RepoNotFound"}},
     MMGR_ERR_REPO_NOT_FOUND,
     "private"},
    {"org/name",
     NULL,
     NULL,
     NULL,
     {{.url = API "org/name?blobs=true", .status = 401}},
     MMGR_ERR_REPO_NOT_FOUND,
     "token"},
    {"org/name",
     "T",
     NULL,
     NULL,
     {{.url = API "org/name?blobs=true",
       .status = 401,
       .headers = "X-Error-Message: Invalid credentials in Authorization header"}},
     MMGR_ERR_NOT_AUTHORIZED,
     "given with the call"},
    {"org/name",
     NULL,
     "MODELMGR_TOKENS",
     "https://huggingface.co=bound",
     {{.url = API "org/name?blobs=true", .authorization = "bound", .status = 401}},
     MMGR_ERR_NOT_AUTHORIZED,
     "token of the configuration"},
    {"org/name",
     NULL,
     NULL,
     NULL,
     {{.url = API "org/name?blobs=true", .status = 401, .headers = "X-Error-Code: GatedRepo"}},
     MMGR_ERR_GATED,
     NULL},
    {"org/name",
     "T",
     NULL,
     NULL,
     {{.url = API "org/name?blobs=true", .status = 403, .headers = "X-Error-Code: GatedRepo"}},
     MMGR_ERR_GATED,
     "https://huggingface.co/org/name"},
    {"org/name",
     "T",
     NULL,
     NULL,
     {{.url = API "org/name?blobs=true",
       .status = 403,
       .headers = "X-Error-Message: Access to this resource is disabled."}},
     MMGR_ERR_HTTP,
     "disabled"},
    {"org/name",
     "T",
     NULL,
     NULL,
     {{.url = API "org/name?blobs=true", .status = 403}},
     MMGR_ERR_NOT_AUTHORIZED,
     NULL},
    {"org/name",
     "T",
     NULL,
     NULL,
     {{.url = API "org/name?blobs=true", .status = 404, .headers = "X-Error-Code: RepoNotFound"}},
     MMGR_ERR_REPO_NOT_FOUND,
     "org/name"},
    {"org/name@nope",
     NULL,
     NULL,
     NULL,
     {{.url = API "org/name/revision/nope?blobs=true",
       .status = 404,
       .headers = "X-Error-Code: RevisionNotFound"}},
     MMGR_ERR_REVISION_NOT_FOUND,
     "nope"},
    {"org/name@nope",
     NULL,
     NULL,
     NULL,
     {{.url = API "org/name/revision/nope?blobs=true", .status = 404}},
     MMGR_ERR_REVISION_NOT_FOUND,
     "nope"},
    {"org/name",
     NULL,
     NULL,
     NULL,
     {{.url = API "org/name?blobs=true", .status = 404, .headers = "X-Error-Code: EntryNotFound"}},
     MMGR_ERR_ENTRY_NOT_FOUND,
     NULL},
    {"org/name",
     NULL,
     NULL,
     NULL,
     {{.url = API "org/name?blobs=true", .status = 429, .headers = "RateLimit: \"api\";r=0;t=29"}},
     MMGR_ERR_RATE_LIMITED,
     "30 s"},
    /* a short wait is waited for, also more than once, but not for ever */
    {"org/name",
     NULL,
     NULL,
     NULL,
     {{.url = API "org/name?blobs=true", .status = 429, .headers = "Retry-After: 0"},
      {.url = API "org/name?blobs=true", .status = 429, .headers = "Retry-After: 0"},
      {.url = API "org/name?blobs=true", .status = 200, .body = INFO("org/name", ONE)}},
     MMGR_OK,
     NULL},
    {"org/name",
     NULL,
     NULL,
     NULL,
     {{.url = API "org/name?blobs=true", .status = 429, .headers = "Retry-After: 0"},
      {.url = API "org/name?blobs=true", .status = 429, .headers = "Retry-After: 0"},
      {.url = API "org/name?blobs=true", .status = 429, .headers = "Retry-After: 0"}},
     MMGR_ERR_RATE_LIMITED,
     NULL},
    {"org/name",
     NULL,
     NULL,
     NULL,
     {{.url = API "org/name?blobs=true", .status = 410}},
     MMGR_ERR_HTTP,
     "410"},
    {"org/name",
     NULL,
     NULL,
     NULL,
     {{.url = API "org/name?blobs=true", .status = 200, .body = "<html>"}},
     MMGR_ERR_PROTOCOL,
     "org/name"},
    {"org/name",
     NULL,
     NULL,
     NULL,
     {{.url = API "org/name?blobs=true",
       .status = 200,
       .body = "{\"id\":\"org/name\",\"siblings\":[]}"}},
     MMGR_ERR_PROTOCOL,
     "commit"},
    {"org/name",
     NULL,
     NULL,
     NULL,
     {{.url = API "org/name?blobs=true",
       .status = 200,
       .body = INFO("org/name", "{\"rfilename\":\"/x\"}")}},
     MMGR_ERR_UNSAFE_PATH,
     "org/name"},
    {"org/name",
     NULL,
     NULL,
     NULL,
     {{.url = API "org/name?blobs=true", .status = 200, .pad = 33u << 20}},
     MMGR_ERR_TOO_LARGE,
     NULL},
    {"org/name",
     NULL,
     NULL,
     NULL,
     {{.url = API "org/name?blobs=true",
       .status = 302,
       .headers = "Location: https://127.0.0.1/x",
       .peer = "1.1.1.1"}},
     MMGR_ERR_REFUSED_ADDRESS,
     NULL},
    /* passing troubles are tried again, a few times */
    {"org/name",
     NULL,
     NULL,
     NULL,
     {{.url = API "org/name?blobs=true", .status = 503},
      {.url = API "org/name?blobs=true", .end = MMGR_ERR_NETWORK},
      {.url = API "org/name?blobs=true", .status = 200, .body = INFO("org/name", ONE)}},
     MMGR_OK,
     NULL},
    {"org/name",
     NULL,
     NULL,
     NULL,
     {{.url = API "org/name?blobs=true", .status = 500},
      {.url = API "org/name?blobs=true", .status = 502},
      {.url = API "org/name?blobs=true", .status = 504}},
     MMGR_ERR_HTTP,
     "504"},
    {"org/name",
     NULL,
     NULL,
     NULL,
     {{.url = API "org/name?blobs=true", .end = MMGR_ERR_TIMEOUT}},
     MMGR_ERR_TIMEOUT,
     NULL},
    /* an old login does not stand in the way of a public repository, but is named where it matters */
    {"org/name",
     NULL,
     "HF_TOKEN",
     "hf_old",
     {{.url = API "org/name?blobs=true", .authorization = "hf_old", .status = 401},
      {.url = API "org/name?blobs=true",
       .authorization = "",
       .status = 200,
       .body = INFO("org/name", ONE)}},
     MMGR_OK,
     NULL},
    {"org/name",
     NULL,
     "HF_TOKEN",
     "hf_old",
     {{.url = API "org/name?blobs=true",
       .authorization = "hf_old",
       .status = 401,
       .headers = "X-Error-Message: Invalid credentials in Authorization header"},
      {.url = API "org/name?blobs=true",
       .authorization = "",
       .status = 401,
       .headers = "X-Error-Code: RepoNotFound"}},
     MMGR_ERR_NOT_AUTHORIZED,
     "environment variable HF_TOKEN"},
    {"org/name",
     NULL,
     "HF_TOKEN",
     "hf_good",
     {{.url = API "org/name?blobs=true",
       .authorization = "hf_good",
       .status = 404,
       .headers = "X-Error-Code: RepoNotFound"}},
     MMGR_ERR_REPO_NOT_FOUND,
     NULL},
};

static void script(void **state)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        mmgr_metadata *metadata = NULL;
        uint32_t count = 0;
        struct fake *fake;
        mmgr_hub *hub;
        enum mmgr_result result;

        clear(NULL);
        if (row->variable)
            setenv(row->variable, row->value, 1);
        while (count < 5 && row->answers[count].url)
            count++;
        fake = fake_new(row->answers, count);
        hub = open_hub(fake);
        result = fetch(hub, row->source, row->token, &metadata);
        if (result != row->result || fake_surprised(fake) || fake_unused(fake))
            fail_msg("row %zu (%s) gave %s: %s; %u answers unused", i, row->source,
                     mmgr_result_name(result), mmgr_error_message(mmgr_last_error()),
                     fake_unused(fake));
        if (result == MMGR_OK) {
            const char *url = mmgr_metadata_file_text(metadata, 0, MMGR_METADATA_FILE_URL);

            assert_string_equal(mmgr_metadata_text(metadata, MMGR_METADATA_REVISION), SHA1);
            if (row->says && !strstr(url, row->says))
                fail_msg("row %zu: %s", i, url);
        } else {
            const char *message = mmgr_error_message(mmgr_last_error());

            assert_null(metadata);
            if (row->says && !strstr(message, row->says))
                fail_msg("row %zu says: %s", i, message);
            assert_null(strstr(message, "hf_old"));
        }
        mmgr_metadata_unref(metadata);
        mmgr_hub_close(hub);
        fake_free(fake);
        assert_int_equal(mmgr__alloc_live(), 0);
    }
}

/* Once refused, the token of the environment is left out everywhere: also by the downloads that follow. */
static void refused_token_stays_out(void **state)
{
    static const struct fake_answer answers[] = {
        {.url = API "org/name?blobs=true", .authorization = "hf_old", .status = 401},
        {.url = API "org/name?blobs=true",
         .authorization = "",
         .status = 200,
         .body = INFO("org/name", ONE),
         .again = 1},
    };
    struct fake *fake = fake_new(answers, 2);
    mmgr_metadata *metadata = NULL;
    mmgr_hub *hub;
    int named;

    clear(NULL);
    setenv("HF_TOKEN", "hf_old", 1);
    hub = open_hub(fake);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fetch(hub, "org/name", NULL, &metadata), MMGR_OK);
        mmgr_metadata_unref(metadata);
    }
    assert_int_equal(fake_request_count(fake), 3);
    assert_null(mmgr__config_token(hub->config, "https", "huggingface.co", 443, "/org/name/resolve",
                                   &named));
    mmgr_hub_close(hub);
    fake_free(fake);
}

/* ---- fetchers of the host */

static int accepts_example(void *self, const mmgr_source *source)
{
    const char *url = mmgr_source_part(source, MMGR_SOURCE_PART_URL);

    return url && strstr(url, "example.org") != NULL;
}

static enum mmgr_result fetch_example(void *self, const mmgr_source *source, const char *token,
                                      mmgr_metadata **metadata)
{
    if (strstr(mmgr_source_part(source, MMGR_SOURCE_PART_URL), "broken"))
        return MMGR_ERR_PLUGIN;
    if (strstr(mmgr_source_part(source, MMGR_SOURCE_PART_URL), "empty"))
        return MMGR_OK;
    return mmgr_metadata_from_json("{\"type\":\"example\",\"id\":\"5\",\"files\":[]}", metadata);
}

static void on_free(void *self)
{
    ++*(int *)self;
}

static void host_fetchers(void **state)
{
    mmgr_fetcher_ops ops = {.struct_size = sizeof(ops),
                            .api_version = 1,
                            .name = "example",
                            .accepts = accepts_example,
                            .fetch = fetch_example};
    struct fake *fake = fake_new(NULL, 0);
    mmgr_hub *hub = open_hub(fake);
    mmgr_metadata *metadata = NULL;
    mmgr_source *source = NULL;
    int freed = 0;

    assert_int_equal(mmgr_source_parse("https://example.org/5", &source), MMGR_OK);
    assert_false(mmgr__hub_knows(hub, source));
    ops.api_version = 2;
    assert_int_equal(mmgr_hub_add_fetcher(hub, &ops, &freed, on_free), MMGR_ERR_ARGUMENT);
    ops.api_version = 1;
    assert_int_equal(mmgr_hub_add_fetcher(hub, &ops, &freed, on_free), MMGR_OK);
    assert_true(mmgr__hub_knows(hub, source));
    mmgr_source_unref(source);
    assert_int_equal(fetch(hub, "https://example.org/5", NULL, &metadata), MMGR_OK);
    assert_string_equal(mmgr_metadata_text(metadata, MMGR_METADATA_TYPE), "example");
    mmgr_metadata_unref(metadata);
    metadata = NULL;
    assert_int_equal(fetch(hub, "https://example.org/broken", NULL, &metadata), MMGR_ERR_PLUGIN);
    assert_int_equal(mmgr_error_code(mmgr_last_error()), MMGR_ERR_PLUGIN);
    assert_int_equal(fetch(hub, "https://example.org/empty", NULL, &metadata), MMGR_ERR_PLUGIN);
    assert_null(metadata);
    assert_int_equal(fetch(hub, "https://example.com/5", NULL, &metadata),
                     MMGR_ERR_UNSUPPORTED_SOURCE);
    assert_int_equal(freed, 0);
    mmgr_hub_close(hub);
    assert_int_equal(freed, 1);
    fake_free(fake);
    assert_int_equal(mmgr__alloc_live(), 0);
}

static void bad_options(void **state)
{
    struct mmgr_hub_options options = {.struct_size = sizeof(options)};
    mmgr_hub *hub = NULL;

    assert_int_equal(mmgr_hub_open(NULL, &hub), MMGR_ERR_ARGUMENT);
    assert_int_equal(mmgr_hub_open(&options, &hub), MMGR_ERR_ARGUMENT);
    options.struct_size = 3;
    assert_int_equal(mmgr_hub_open(&options, &hub), MMGR_ERR_ABI_SIZE);
    assert_int_equal(mmgr_hub_fetch(NULL, NULL, NULL, NULL), MMGR_ERR_ARGUMENT);
    assert_null(hub);
    mmgr_hub_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(script, clear),
        cmocka_unit_test_setup(refused_token_stays_out, clear),
        cmocka_unit_test_setup(host_fetchers, clear),
        cmocka_unit_test_setup(bad_options, clear),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
