/* SPDX-License-Identifier: MIT */
/* Records that must be refused: each names its field and leaves the builder alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <modelmgr/error.h>
#include <modelmgr/record.h>

#include "base/alloc.h"
#include "base/record.h"

#define MINIMAL                                                                  \
    "{\"key\":\"k1\",\"name\":\"N\",\"type\":\"main\",\"format\":\"diffusers\"," \
    "\"base\":\"sd-1\",\"path\":\"p\"}"

static const struct {
    const char *json;    /* patch */
    const char *field;   /* NULL: the document as a whole */
    const char *message; /* part of it */
} cases[] = {
    {"{\"name\":5}", "name", "must be text, not a number"},
    {"{\"name\":{}}", "name", "must be text, not an object"},
    {"{\"name\":[]}", "name", "must be text, not a list"},
    {"{\"name\":true}", "name", "not true or false"},
    {"{\"name\":null}", "name", "is missing"},
    {"{\"name\":\"\"}", "name", "is missing"},
    {"{\"name\":\"a\\u0000b\"}", "name", "NUL"},
    {"{\"name\":\"a\\nb\"}", "name", "control character"},
    {"{\"name\":\"\\ud800\"}", "name", "surrogate"},
    {"{\"type\":7}", "type", "must be text"},
    {"{\"type\":null}", "type", "is missing"},
    {"{\"base\":\"x123456789012345678901234567890123456789012345678901234567890123456\"}", "base",
     "longer"},
    {"{\"key\":\"no blanks\"}", "key", "letters"},
    {"{\"key\":\"../x\"}", "key", "letters"},
    {"{\"path\":\"a/../../b\"}", "path", "\"..\""},
    {"{\"path\":\"..\"}", "path", "\"..\""},
    {"{\"path\":null}", "path", "is missing"},
    {"{\"vae\":\"../v\"}", "vae", "\"..\""},
    {"{\"hash\":\"abcdef\"}", "hash", "algorithm:digest"},
    {"{\"hash\":\":ff\"}", "hash", "algorithm:digest"},
    {"{\"source_url\":\"javascript:x\"}", "source_url", "http"},
    {"{\"upcast_attention\":1}", "upcast_attention", "true or false"},
    {"{\"upcast_attention\":\"true\"}", "upcast_attention", "true or false"},
    {"{\"file_size\":-1}", "file_size", "whole number"},
    {"{\"file_size\":1.0}", "file_size", "whole number"},
    {"{\"file_size\":9223372036854775808}", "file_size", "whole number"},
    {"{\"file_size\":\"1\"}", "file_size", "must be a number, not text"},
    {"{\"tags\":\"a\"}", "tags", "must be a list, not text"},
    {"{\"tags\":[1]}", "tags", "list of texts"},
    {"{\"tags\":[\"\"]}", "tags", "empty item"},
    {"{\"tags\":[\"a\\u0000\"]}", "tags", "NUL"},
    {"{\"tags\":[[\"a\"]]}", "tags", "list of texts"},
    {"{\"bases\":[\"sdxl\"]}", "bases", "must contain the base \"sd-1\""},
    {"{\"base\":\"flux\",\"bases\":[\"sd-1\"]}", "bases", "must contain the base \"flux\""},
    {"{\"default_settings\":[]}", "default_settings", "must be an object"},
    {"{\"created_at\":\"yesterday\"}", "created_at", "time"},
    {"{\"created_at\":0}", "created_at", "must be text"},
    {"{\"config_path\":\"c.yaml\"}", "config_path", "does not exist for models of type main"},
    {"{\"image_encoder_model_id\":\"i\"}", "image_encoder_model_id", "does not exist"},
    {"{\"type\":\"vae\",\"variant\":\"dev\"}", "variant", "does not exist for models of type vae"},
    {"{\"name\":\"a\",\"name\":\"b\"}", "name", "twice"},
    {"{\"name\":\"a\",\"n\\u0061me\":\"b\"}", "name", "twice"},
    {"{\"new\":1,\"new\":2}", "new", "twice"},
    {"{\"new\":1,\"n\\u0065w\":null}", "new", "twice"},
    {"{\"name\":\"a\"", NULL, "not valid JSON"},
    {"{\"name\":\"a\"} x", NULL, "not valid JSON"},
    {"{\"name\"}", NULL, "not valid JSON"},
    {"{name:1}", NULL, "not valid JSON"},
    {"{\"new\":01}", NULL, "not valid JSON"},
    {"{\"new\":NaN}", NULL, "not valid JSON"},
    {"{\"new\":[1,]}", NULL, "not valid JSON"},
    {"[]", NULL, "must be a JSON object, not a list"},
    {"null", NULL, "must be a JSON object, not null"},
    {"\"x\"", NULL, "must be a JSON object, not text"},
    {"", NULL, "not valid JSON"},
    {"{\"name\":\"\xff\"}", NULL, "UTF-8"},
    {"{\"new\":\"\xc0\x80\"}", NULL, "UTF-8"},
};

static void refused(const char *json, const char *field, const char *message)
{
    mmgr_record *base, *record = NULL;
    mmgr_record_builder *builder;
    enum mmgr_result result;

    assert_int_equal(mmgr_record_from_json(MINIMAL, &base), MMGR_OK);
    assert_int_equal(mmgr_record_builder_new(base, &builder), MMGR_OK);
    result = mmgr_record_builder_merge(builder, json);
    if (result == MMGR_OK)
        result = mmgr_record_builder_build(builder, &record);
    if (result != MMGR_ERR_INVALID_CONFIG)
        fail_msg("%.60s: %s", json, mmgr_result_name(result));
    assert_null(record);
    if (strstr(mmgr_error_message(mmgr_last_error()), message) == NULL)
        fail_msg("%.60s: message %s", json, mmgr_error_message(mmgr_last_error()));
    if (field != NULL) {
        assert_string_equal(mmgr_error_field(mmgr_last_error()), field);
        assert_non_null(strstr(mmgr_error_message(mmgr_last_error()), field));
    }
    mmgr_record_builder_free(builder);
    mmgr_record_unref(base);
}

static void table(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        refused(cases[i].json, cases[i].field, cases[i].message);
}

static void too_long(void **state)
{
    size_t size = ((size_t)1 << 20) + 64;
    char *json = malloc(size);

    memset(json, 'x', size);
    memcpy(json, "{\"description\":\"", 16);
    memcpy(json + size - 3, "\"}", 3);
    refused(json, "description", "longer than 1048576 bytes");
    memcpy(json, "{\"unknown_one\":\"", 16);
    refused(json, "unknown_one", "larger than 1 MiB");
    free(json);
}

static void too_many_unknown(void **state)
{
    char json[8192] = "{";
    size_t used = 1;

    for (int i = 0; i < 257; i++)
        used +=
            (size_t)snprintf(json + used, sizeof json - used, "%s\"u%d\":1", i > 0 ? "," : "", i);
    snprintf(json + used, sizeof json - used, "}");
    refused(json, "u256", "too many");
}

/* What edits accept in turns must be accepted when the record is read again, or nobody could read it any more. */
static void too_many_unknown_in_turns(void **state)
{
    char json[8192] = "{";
    size_t used = 1;
    mmgr_record_builder *builder;

    for (int i = 1; i < 256; i++)
        used += (size_t)snprintf(json + used, sizeof json - used, "%s\"x%d\":2", i > 1 ? "," : "", i);
    snprintf(json + used, sizeof json - used, "}");
    assert_int_equal(mmgr_record_builder_new(NULL, &builder), MMGR_OK);
    assert_int_equal(mmgr_record_builder_merge(builder, "{\"x0\":0,\"x1\":1}"), MMGR_OK);
    assert_int_equal(mmgr_record_builder_merge(builder, json), MMGR_OK);
    assert_int_equal(mmgr_record_builder_merge(builder, "{\"x256\":1}"), MMGR_ERR_INVALID_CONFIG);
    assert_string_equal(mmgr_error_field(mmgr_last_error()), "x256");
    assert_non_null(strstr(mmgr_error_message(mmgr_last_error()), "more than 256"));
    assert_int_equal(mmgr_record_builder_merge(builder, "{\"x256\":1,\"x0\":null}"), MMGR_OK);
    mmgr_record_builder_free(builder);
}

/* The stored form of a long text is longer than any patch may be. */
static void the_longest_text_is_read_again(void **state)
{
    size_t size = (size_t)16 << 20;
    char *text = malloc(size + 1), *json;
    mmgr_record *record = NULL, *again = NULL;
    mmgr_record_builder *builder;

    memset(text, '"', size);
    text[size] = '\0';
    assert_int_equal(mmgr_record_builder_new(NULL, &builder), MMGR_OK);
    assert_int_equal(mmgr_record_builder_merge(builder, MINIMAL), MMGR_OK);
    assert_int_equal(mmgr_record_builder_set(builder, MMGR_FIELD_SOURCE_API_RESPONSE, text), MMGR_OK);
    assert_int_equal(mmgr_record_builder_build(builder, &record), MMGR_OK);
    mmgr_record_builder_free(builder);
    json = mmgr__record_stored_json(record);
    assert_non_null(json);
    assert_int_equal(mmgr_record_builder_new(NULL, &builder), MMGR_OK);
    assert_int_equal(mmgr__record_builder_load(builder, json, strlen(json)), MMGR_OK);
    assert_int_equal(mmgr_record_builder_build(builder, &again), MMGR_OK);
    assert_string_equal(mmgr_record_text(again, MMGR_FIELD_SOURCE_API_RESPONSE), text);
    mmgr_record_builder_free(builder);
    mmgr__free(json);
    mmgr_record_unref(record);
    mmgr_record_unref(again);
    free(text);
}

static void nested_too_deep(void **state)
{
    char json[1024] = "{\"new\":";

    memset(json + 7, '[', 200);
    memset(json + 207, ']', 200);
    memcpy(json + 407, "}", 2);
    refused(json, NULL, "not valid JSON");
}

static void bad_arguments(void **state)
{
    mmgr_record *record;

    assert_int_equal(mmgr_record_from_json(NULL, &record), MMGR_ERR_ARGUMENT);
    assert_int_equal(mmgr_record_from_json("{}", NULL), MMGR_ERR_ARGUMENT);
    assert_int_equal(mmgr_record_from_json("{}", &record), MMGR_ERR_INVALID_CONFIG);
    assert_int_equal(mmgr_record_to_json(NULL, NULL), MMGR_ERR_ARGUMENT);
    assert_int_equal(mmgr_record_builder_new(NULL, NULL), MMGR_ERR_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(too_long),
        cmocka_unit_test(too_many_unknown),
        cmocka_unit_test(too_many_unknown_in_turns),
        cmocka_unit_test(the_longest_text_is_read_again),
        cmocka_unit_test(nested_too_deep),
        cmocka_unit_test(bad_arguments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
