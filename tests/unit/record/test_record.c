/* SPDX-License-Identifier: MIT */
/* Records: JSON in and out, unknown members byte for byte, sparse patches, builders, manifests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <modelmgr/error.h>

#include "base/alloc.h"
#include "base/record.h"

#define MINIMAL                                                                 \
    "\"key\":\"k1\",\"name\":\"N\",\"type\":\"main\",\"format\":\"diffusers\"," \
    "\"base\":\"sd-1\",\"path\":\"sd-1/main/N\""

static mmgr_record *make(const char *json)
{
    mmgr_record *record = NULL;

    if (mmgr_record_from_json(json, &record) != MMGR_OK)
        fail_msg("%s", mmgr_error_message(mmgr_last_error()));
    return record;
}

/* The record after a patch; releases the one given. */
static mmgr_record *patch(mmgr_record *record, const char *json)
{
    mmgr_record_builder *builder;
    mmgr_record *patched = NULL;

    assert_int_equal(mmgr_record_builder_new(record, &builder), MMGR_OK);
    if (mmgr_record_builder_merge(builder, json) != MMGR_OK ||
        mmgr_record_builder_build(builder, &patched) != MMGR_OK)
        fail_msg("%s", mmgr_error_message(mmgr_last_error()));
    mmgr_record_builder_free(builder);
    mmgr_record_unref(record);
    return patched;
}

static void assert_stored(const mmgr_record *record, const char *wanted)
{
    char *json = mmgr__record_stored_json(record);

    assert_non_null(json);
    assert_string_equal(json, wanted);
    mmgr__free(json);
}

#define ALL_FIELDS                                                                      \
    "{\"key\":\"a-b_C9\",\"name\":\"Näme \\\"q\\\"\",\"type\":\"main\","                \
    "\"format\":\"checkpoint\","                                                        \
    "\"base\":\"sdxl\",\"bases\":[\"sdxl\",\"sd-1\"],\"path\":\"/m/x.safetensors\","    \
    "\"hash\":\"sha256:00ff\",\"description\":\"two\\nlines\",\"source\":\"org/name\"," \
    "\"source_type\":\"hf_repo_id\",\"source_url\":\"https://h/x\","                    \
    "\"revision\":\"abc\","                                                             \
    "\"source_api_response\":\"{\\\"a\\\": 1}\",\"config_path\":\"c.yaml\","            \
    "\"variant\":\"inpaint\","                                                          \
    "\"prediction_type\":\"v_prediction\",\"upcast_attention\":true,"                   \
    "\"repo_variant\":\"fp16\","                                                        \
    "\"vae\":\"v/x\",\"trigger_phrases\":[\"a, b\"],\"tags\":[\"t1\",\"t2\"],"          \
    "\"default_settings\":{\"cfg_scale\":7.50,\"steps\":20},\"cover_image\":\"c.png\"," \
    "\"file_size\":9223372036854775807,\"created_at\":\"2024-01-31T12:00:00.000Z\","    \
    "\"updated_at\":\"2024-01-31T12:00:00.001Z\"}"

static void all_fields_round_trip(void **state)
{
    mmgr_record *record = make(ALL_FIELDS), *again;
    char *json;

    assert_stored(record, ALL_FIELDS);
    assert_int_equal(mmgr_record_term(record, MMGR_FIELD_BASE), MMGR_BASE_SDXL);
    assert_int_equal(mmgr_record_term(record, MMGR_FIELD_VARIANT), MMGR_VARIANT_INPAINT);
    assert_int_equal(mmgr_record_term(record, MMGR_FIELD_NAME), 0);
    assert_string_equal(mmgr_record_text(record, MMGR_FIELD_FILE_SIZE), "9223372036854775807");
    assert_string_equal(mmgr_record_text(record, MMGR_FIELD_UPCAST_ATTENTION), "true");
    assert_int_equal(mmgr_record_list_size(record, MMGR_FIELD_TAGS), 2);
    assert_string_equal(mmgr_record_list_item(record, MMGR_FIELD_TAGS, 1), "t2");
    assert_null(mmgr_record_list_item(record, MMGR_FIELD_TAGS, 2));
    assert_string_equal(mmgr_record_location(record), "/m/x.safetensors");
    /* What is shown can be read again: nulls and the location do no harm. */
    assert_int_equal(mmgr_record_to_json(record, &json), MMGR_OK);
    again = make(json);
    assert_stored(again, ALL_FIELDS);
    mmgr_string_free(json);
    mmgr_record_unref(again);
    mmgr_record_unref(record);
}

static void unset_fields_are_null(void **state)
{
    mmgr_record *record = make("{" MINIMAL "}");
    char *json;

    assert_int_equal(mmgr_record_to_json(record, &json), MMGR_OK);
    assert_non_null(strstr(json, "\"location\":null"));
    assert_non_null(strstr(json, "\"description\":null"));
    assert_non_null(strstr(json, "\"bases\":[\"sd-1\"]"));
    assert_non_null(strstr(json, "\"image_encoder_model_id\":null"));
    assert_null(mmgr_record_text(record, MMGR_FIELD_DESCRIPTION));
    assert_null(mmgr_record_location(record));
    mmgr_string_free(json);
    mmgr_record_unref(record);
}

static void fresh_keys(void **state)
{
    static const char json[] =
        "{\"name\":\"N\",\"type\":\"lora\",\"format\":\"lycoris\",\"base\":\"any\",\"path\":\"p\"}";
    mmgr_record *one = make(json), *two = make(json);
    const char *key = mmgr_record_text(one, MMGR_FIELD_KEY);

    assert_int_equal(strlen(key), 32);
    assert_int_equal(strspn(key, "0123456789abcdef"), 32);
    assert_string_not_equal(key, mmgr_record_text(two, MMGR_FIELD_KEY));
    mmgr_record_unref(one);
    mmgr_record_unref(two);
}

/* Numbers that no C type holds, escapes, white space inside: all as they came. */
static void unknown_members_byte_for_byte(void **state)
{
    static const char unknown[] =
        "\"big\":123456789012345678901234567890,\"tiny\":1.000000000000000000001e-400,"
        "\"neg\":-0.0,\"sp ace\": { \"a\" : [ 1e5, 1E+5 ],  \"b\":null },"
        "\"es\\u0063\":\"\\u00e9\\/\"";
    char json[1024], wanted[1024];
    mmgr_record *record;
    char *shown;

    snprintf(json, sizeof json, "{" MINIMAL ",%s}", unknown);
    record = make(json);
    snprintf(
        wanted, sizeof wanted,
        "{\"key\":\"k1\",\"name\":\"N\",\"type\":\"main\",\"format\":\"diffusers\","
        "\"base\":\"sd-1\","
        "\"bases\":[\"sd-1\"],\"path\":\"sd-1/main/N\",%s}",
        /* white space before a value is part of the member, blanks inside too */
        unknown);
    assert_stored(record, wanted);
    assert_int_equal(mmgr_record_to_json(record, &shown), MMGR_OK);
    assert_non_null(strstr(shown, unknown));
    mmgr_string_free(shown);

    /* A patch of something else keeps them; one of their own replaces or removes by decoded
     * name. */
    record = patch(record, "{\"description\":\"d\"}");
    assert_int_equal(mmgr_record_to_json(record, &shown), MMGR_OK);
    assert_non_null(strstr(shown, unknown));
    mmgr_string_free(shown);
    record =
        patch(record, "{\"esc\":null,\"neg\":-0.00,\"big\":null,\"sp ace\":null,\"none\":null}");
    assert_int_equal(mmgr_record_to_json(record, &shown), MMGR_OK);
    assert_non_null(strstr(shown, "\"tiny\":1.000000000000000000001e-400,\"neg\":-0.00}"));
    assert_null(strstr(shown, "big"));
    mmgr_string_free(shown);
    record = patch(record, "{\"tiny\":null,\"neg\":null}");
    assert_null(record->extra);
    mmgr_record_unref(record);
}

static void unknown_terms_survive(void **state)
{
    mmgr_record *record =
        make("{\"key\":\"k\",\"name\":\"N\",\"type\":\"hologram\",\"format\":\"xyz-9\","
             "\"base\":\"sd-99\",\"path\":\"p\",\"variant\":\"New One\","
             "\"config_path\":\"c\",\"image_encoder_model_id\":\"i\"}");

    assert_int_equal(mmgr_record_term(record, MMGR_FIELD_TYPE), MMGR_TERM_OTHER);
    assert_int_equal(mmgr_record_term(record, MMGR_FIELD_BASE), MMGR_TERM_OTHER);
    assert_string_equal(mmgr_record_text(record, MMGR_FIELD_TYPE), "hologram");
    record = patch(record, "{\"tags\":[\"x\"]}");
    assert_string_equal(mmgr_record_text(record, MMGR_FIELD_VARIANT), "New One");
    assert_string_equal(mmgr_record_list_item(record, MMGR_FIELD_BASES, 0), "sd-99");
    mmgr_record_unref(record);
}

static void default_variant_is_empty_text(void **state)
{
    mmgr_record *record = make("{" MINIMAL ",\"repo_variant\":\"\"}");

    assert_int_equal(mmgr_record_term(record, MMGR_FIELD_REPO_VARIANT), MMGR_REPO_VARIANT_DEFAULT);
    assert_string_equal(mmgr_record_text(record, MMGR_FIELD_REPO_VARIANT), "default");
    record = patch(record, "{\"repo_variant\":null}");
    assert_null(mmgr_record_text(record, MMGR_FIELD_REPO_VARIANT));
    mmgr_record_unref(record);
}

static void sparse_patch(void **state)
{
    mmgr_record *record =
        make("{" MINIMAL ",\"description\":\"old\",\"tags\":[\"a\"],\"vae\":\"v\"}");

    record = patch(record, " { \"description\" : null , \"name\" : \"M\" } ");
    assert_null(mmgr_record_text(record, MMGR_FIELD_DESCRIPTION));
    assert_string_equal(mmgr_record_text(record, MMGR_FIELD_NAME), "M");
    assert_string_equal(mmgr_record_text(record, MMGR_FIELD_TAGS), "[\"a\"]");
    assert_string_equal(mmgr_record_text(record, MMGR_FIELD_VAE), "v");
    record = patch(record, "{}");
    assert_string_equal(mmgr_record_text(record, MMGR_FIELD_NAME), "M");
    record = patch(record, "{\"tags\":[]}");
    assert_null(mmgr_record_text(record, MMGR_FIELD_TAGS));
    assert_int_equal(mmgr_record_list_size(record, MMGR_FIELD_TAGS), 0);
    mmgr_record_unref(record);
}

static void merge_is_all_or_nothing(void **state)
{
    mmgr_record *record = make("{" MINIMAL ",\"x\":1}"), *after;
    mmgr_record_builder *builder;

    assert_int_equal(mmgr_record_builder_new(record, &builder), MMGR_OK);
    assert_int_equal(
        mmgr_record_builder_merge(builder, "{\"name\":\"changed\",\"x\":2,\"tags\":5}"),
        MMGR_ERR_INVALID_CONFIG);
    assert_string_equal(mmgr_error_field(mmgr_last_error()), "tags");
    assert_string_equal(mmgr_error_subject(mmgr_last_error()), "k1");
    assert_non_null(strstr(mmgr_error_message(mmgr_last_error()), "k1"));
    assert_int_equal(mmgr_record_builder_build(builder, &after), MMGR_OK);
    assert_string_equal(mmgr_record_text(after, MMGR_FIELD_NAME), "N");
    assert_string_equal(after->extra, "\"x\":1");
    mmgr_record_unref(after);
    mmgr_record_builder_free(builder);
    mmgr_record_unref(record);
}

static void bases_follow_the_base(void **state)
{
    mmgr_record *record = make("{" MINIMAL "}");

    record = patch(record, "{\"base\":\"sdxl\"}");
    assert_string_equal(mmgr_record_text(record, MMGR_FIELD_BASES), "[\"sdxl\"]");
    record = patch(record, "{\"base\":\"sd-2\",\"bases\":[\"sd-2\",\"sd-1\",\"sd-2\"]}");
    assert_string_equal(mmgr_record_text(record, MMGR_FIELD_BASES), "[\"sd-2\",\"sd-1\"]");
    record = patch(record, "{\"bases\":null}");
    assert_string_equal(mmgr_record_text(record, MMGR_FIELD_BASES), "[\"sd-2\"]");
    mmgr_record_unref(record);
}

/* Another kind drops what it has no place for, but refuses what the same patch asks for. */
static void change_of_kind(void **state)
{
    mmgr_record *record =
        make("{" MINIMAL ",\"variant\":\"inpaint\",\"vae\":\"v\",\"tags\":[\"a\"]}");

    record = patch(record, "{\"type\":\"vae\"}");
    assert_null(mmgr_record_text(record, MMGR_FIELD_VARIANT));
    assert_null(mmgr_record_text(record, MMGR_FIELD_VAE));
    assert_non_null(mmgr_record_text(record, MMGR_FIELD_TAGS));
    mmgr_record_unref(record);
}

/* What a newer release stored stays, though our table does not know it for this kind. */
static void stored_form_is_read_leniently(void **state)
{
    static const char json[] =
        "{\"key\":\"k\",\"name\":\"N\",\"type\":\"vae\",\"format\":\"diffusers\","
        "\"base\":\"sd-1\",\"bases\":[\"sd-1\"],\"path\":\"p\",\"variant\":\"dev\"}";
    mmgr_record_builder *builder;
    mmgr_record *record;

    assert_int_equal(mmgr_record_from_json(json, &record), MMGR_ERR_INVALID_CONFIG);
    assert_string_equal(mmgr_error_field(mmgr_last_error()), "variant");
    assert_int_equal(mmgr_record_builder_new(NULL, &builder), MMGR_OK);
    assert_int_equal(mmgr__record_builder_load(builder, json, strlen(json)), MMGR_OK);
    assert_int_equal(mmgr__record_builder_finish(builder, &record), MMGR_OK);
    mmgr_record_builder_free(builder);
    assert_stored(record, json);
    record = patch(record, "{\"name\":\"N\"}");
    assert_stored(record, json);
    mmgr_record_unref(record);
}

static void builder_set(void **state)
{
    static const struct {
        enum mmgr_field field;
        const char *value, *text;
    } cases[] = {
        {MMGR_FIELD_NAME, "M", "M"},
        {MMGR_FIELD_TAGS, "a, b ,,a", "[\"a\",\"b\"]"},
        {MMGR_FIELD_TAGS, " [\"x,y\", \"z\"]", "[\"x,y\",\"z\"]"},
        {MMGR_FIELD_TAGS, "", NULL},
        {MMGR_FIELD_UPCAST_ATTENTION, "true", "true"},
        {MMGR_FIELD_FILE_SIZE, "18", "18"},
        {MMGR_FIELD_DEFAULT_SETTINGS, "{ \"a b\" : 1.0 }", "{\"a b\":1.0}"},
        {MMGR_FIELD_DEFAULT_SETTINGS, NULL, NULL},
        {MMGR_FIELD_VARIANT, "depth", "depth"},
    };
    mmgr_record_builder *builder;
    mmgr_record *base = make("{" MINIMAL "}"), *record;

    assert_int_equal(mmgr_record_builder_new(base, &builder), MMGR_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(mmgr_record_builder_set(builder, cases[i].field, cases[i].value), MMGR_OK);
        assert_int_equal(mmgr_record_builder_build(builder, &record), MMGR_OK);
        if (cases[i].text != NULL)
            assert_string_equal(mmgr_record_text(record, cases[i].field), cases[i].text);
        else
            assert_null(mmgr_record_text(record, cases[i].field));
        mmgr_record_unref(record);
    }
    assert_int_equal(mmgr_record_builder_set(builder, (enum mmgr_field)99, "x"), MMGR_ERR_ARGUMENT);
    assert_int_equal(mmgr_record_builder_set(NULL, MMGR_FIELD_NAME, "x"), MMGR_ERR_ARGUMENT);
    mmgr_record_builder_free(builder);
    mmgr_record_builder_free(NULL);
    mmgr_record_unref(base);
}

static void building_twice_keeps_the_key(void **state)
{
    mmgr_record_builder *builder;
    mmgr_record *one, *two;

    assert_int_equal(mmgr_record_builder_new(NULL, &builder), MMGR_OK);
    assert_int_equal(mmgr_record_builder_build(builder, &one), MMGR_ERR_INVALID_CONFIG);
    assert_string_equal(mmgr_error_field(mmgr_last_error()), "name");
    assert_int_equal(mmgr_record_builder_merge(builder,
                                               "{\"name\":\"N\",\"type\":\"vae\",\"format\":"
                                               "\"diffusers\",\"base\":\"any\",\"path\":\"p\"}"),
                     MMGR_OK);
    assert_int_equal(mmgr_record_builder_build(builder, &one), MMGR_OK);
    assert_int_equal(mmgr_record_builder_build(builder, &two), MMGR_OK);
    assert_string_equal(mmgr_record_text(one, MMGR_FIELD_KEY),
                        mmgr_record_text(two, MMGR_FIELD_KEY));
    mmgr_record_unref(one);
    mmgr_record_unref(two);
    mmgr_record_builder_free(builder);
}

static void manifest(void **state)
{
    mmgr_record *base = make("{" MINIMAL "}"), *record, *more;
    mmgr_record_builder *builder;
    char name[16], hash[] = "ab";

    assert_int_equal(mmgr_record_builder_new(base, &builder), MMGR_OK);
    for (int i = 0; i < 5; i++) {
        struct mmgr__file file = {
            .path = name, .size = (uint64_t)i, .sha256 = hash, .flags = MMGR_FILE_OWNED};

        snprintf(name, sizeof name, "f%d", i);
        assert_int_equal(mmgr__record_builder_add_file(builder, &file), MMGR_OK);
    }
    assert_int_equal(mmgr_record_builder_build(builder, &record), MMGR_OK);
    mmgr_record_builder_free(builder);
    assert_int_equal(mmgr_record_file_count(record), 5);
    assert_string_equal(mmgr_record_file_path(record, 4), "f4");
    assert_int_equal(mmgr_record_file_size(record, 4), 4);
    assert_string_equal(mmgr_record_file_hash(record, 0, "sha256"), "ab");
    assert_null(mmgr_record_file_hash(record, 0, "xxh3"));
    assert_null(mmgr_record_file_path(record, 5));
    assert_int_equal(mmgr_record_file_flags(record, 0), MMGR_FILE_OWNED);
    /* A builder on a record with five files has room for the sixth. */
    assert_int_equal(mmgr_record_builder_new(record, &builder), MMGR_OK);
    for (int i = 0; i < 5; i++)
        assert_int_equal(mmgr__record_builder_add_file(builder, &record->files[i]), MMGR_OK);
    assert_int_equal(mmgr_record_builder_build(builder, &more), MMGR_OK);
    assert_int_equal(mmgr_record_file_count(more), 10);
    mmgr__record_builder_clear_files(builder);
    mmgr_record_unref(more);
    assert_int_equal(mmgr_record_builder_build(builder, &more), MMGR_OK);
    assert_int_equal(mmgr_record_file_count(more), 0);
    mmgr_record_unref(more);
    mmgr_record_builder_free(builder);
    mmgr_record_unref(record);
    mmgr_record_unref(base);
}

static void location_comes_from_the_store(void **state)
{
    mmgr_record *base = make("{" MINIMAL "}"), *record;
    mmgr_record_builder *builder;
    char *json;

    assert_int_equal(mmgr_record_builder_new(base, &builder), MMGR_OK);
    assert_int_equal(mmgr__record_builder_set_location(builder, "/models/sd-1/main/N"), MMGR_OK);
    assert_int_equal(mmgr_record_builder_build(builder, &record), MMGR_OK);
    assert_string_equal(mmgr_record_location(record), "/models/sd-1/main/N");
    assert_int_equal(mmgr_record_to_json(record, &json), MMGR_OK);
    assert_non_null(strstr(json, "\"location\":\"/models/sd-1/main/N\""));
    mmgr_string_free(json);
    mmgr_record_unref(record);
    mmgr_record_builder_free(builder);
    /* Not taken from outside. */
    record = make("{" MINIMAL ",\"location\":\"/etc/passwd\"}");
    assert_null(mmgr_record_location(record));
    assert_null(record->extra);
    mmgr_record_unref(record);
    mmgr_record_unref(base);
}

static void references(void **state)
{
    uint64_t before = mmgr__alloc_live();
    mmgr_record *record = make(ALL_FIELDS);

    assert_ptr_equal(mmgr_record_ref(record), record);
    mmgr_record_unref(record);
    assert_string_equal(mmgr_record_text(record, MMGR_FIELD_KEY), "a-b_C9");
    mmgr_record_unref(record);
    mmgr_record_unref(NULL);
    assert_int_equal(mmgr__alloc_live(), before);
    assert_null(mmgr_record_text(NULL, MMGR_FIELD_KEY));
    assert_int_equal(mmgr_record_list_count(NULL), 0);
    assert_null(mmgr_record_list_at(NULL, 0));
    mmgr_record_list_free(NULL);
}

static void times(void **state)
{
    int64_t ns;

    assert_int_equal(mmgr__parse_time("1970-01-01T00:00:00Z", &ns), 1);
    assert_int_equal(ns, 0);
    assert_int_equal(mmgr__parse_time("2038-01-19T03:14:08.5Z", &ns), 1);
    assert_true(ns == INT64_C(2147483648500000000));
    assert_int_equal(mmgr__parse_time("2024-02-30T00:00:00Z", &ns), 0);
    assert_int_equal(mmgr__parse_time("2024-02-29 00:00:00Z", &ns), 0);
    assert_int_equal(mmgr__parse_time("2024-02-29T00:00:00", &ns), 0);
    assert_int_equal(mmgr__parse_time("2024-02-29T24:00:00Z", &ns), 0);
    assert_int_equal(mmgr__parse_time("9999-02-28T00:00:00Z", &ns), 0);
    assert_int_equal(mmgr__parse_time("", &ns), 0);
}

/* Every allocation fails once: the error is typed, nothing leaks, nothing changes. */
static void memory_runs_out(void **state)
{
    mmgr_record *base = make("{" MINIMAL ",\"x\":1}");
    uint64_t before = mmgr__alloc_live();
    int failures = 0, done = 0;

    for (uint64_t k = 1; !done; k++) {
        mmgr_record_builder *builder = NULL;
        mmgr_record *record = NULL, *patched = NULL;
        enum mmgr_result result;

        mmgr__alloc_fail_at(k, 0);
        result = mmgr_record_from_json(ALL_FIELDS, &record);
        if (result == MMGR_OK)
            result = mmgr_record_builder_new(base, &builder);
        if (result == MMGR_OK)
            result =
                mmgr_record_builder_merge(builder, "{\"y\":2,\"tags\":[\"a\\n\\u0041\"],\"x\":3}");
        if (result == MMGR_ERR_INVALID_CONFIG)
            result =
                mmgr_record_builder_merge(builder, "{\"y\":2,\"tags\":[\"a\\u0041\"],\"x\":3}");
        if (result == MMGR_OK)
            result = mmgr_record_builder_build(builder, &patched);
        mmgr__alloc_fail_at(0, 0);
        done = result == MMGR_OK;
        if (!done) {
            assert_int_equal(result, MMGR_ERR_NO_MEMORY);
            failures++;
        }
        mmgr_record_builder_free(builder);
        mmgr_record_unref(record);
        mmgr_record_unref(patched);
        assert_int_equal(mmgr__alloc_live(), before);
    }
    assert_true(failures > 50);
    mmgr_record_unref(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_fields_round_trip),
        cmocka_unit_test(unset_fields_are_null),
        cmocka_unit_test(fresh_keys),
        cmocka_unit_test(unknown_members_byte_for_byte),
        cmocka_unit_test(unknown_terms_survive),
        cmocka_unit_test(default_variant_is_empty_text),
        cmocka_unit_test(sparse_patch),
        cmocka_unit_test(merge_is_all_or_nothing),
        cmocka_unit_test(bases_follow_the_base),
        cmocka_unit_test(change_of_kind),
        cmocka_unit_test(stored_form_is_read_leniently),
        cmocka_unit_test(builder_set),
        cmocka_unit_test(building_twice_keeps_the_key),
        cmocka_unit_test(manifest),
        cmocka_unit_test(location_comes_from_the_store),
        cmocka_unit_test(references),
        cmocka_unit_test(times),
        cmocka_unit_test(memory_runs_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
