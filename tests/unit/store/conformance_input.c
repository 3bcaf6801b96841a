/* SPDX-License-Identifier: MIT */
/* The conformance suite of record stores: what is taken from outside, and what is refused. */
#include "conformance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"

/* ---- what a store takes from outside */

static void outsiders_are_refused(void **state)
{
    struct mmgr_store_options options = {.struct_size = sizeof options, .path = store_path()};
    mmgr_record *strange = simple_record("n", "N", "sd-77", "p", "\"x_new\":1"), *record = NULL;
    mmgr_store *store;
    char *json;

    store = open_here(); /* a lenient handle takes what a newer release knows */
    assert_ok(mmgr_store_add(store, strange, NULL));
    close_store(store);
    mmgr_record_unref(strange);
    assert_ok(open_by(&options, &store));
    strange = simple_record("m", "N", "sd-77", "q", "");
    assert_error(mmgr_store_add(store, strange, NULL), MMGR_ERR_INVALID_CONFIG, "sd-77", "base",
                 "m");
    mmgr_record_unref(strange);
    strange = simple_record("m", "N", "sd-1", "q", "\"x_new\":1");
    assert_error(mmgr_store_add(store, strange, NULL), MMGR_ERR_INVALID_CONFIG, "x_new", "x_new",
                 "m");
    mmgr_record_unref(strange);
    strange = simple_record("m", "N", "sd-1", "q", "\"bases\":[\"sd-1\",\"sd-9\"]");
    assert_error(mmgr_store_add(store, strange, NULL), MMGR_ERR_INVALID_CONFIG, "sd-9", "bases",
                 "m");
    mmgr_record_unref(strange);
    /* What the record has already may stay, go, or change its value. */
    assert_ok(mmgr_store_update(store, "n", "{\"name\":\"M\"}", NULL));
    assert_error(mmgr_store_update(store, "n", "{\"name\":\"X\",\"base\":\"sd-78\"}", NULL),
                 MMGR_ERR_INVALID_CONFIG, "sd-78", "base", "n");
    assert_error(mmgr_store_update(store, "n", "{\"name\":\"X\",\"x_other\":1}", NULL),
                 MMGR_ERR_INVALID_CONFIG, "x_other", "x_other", "n");
    assert_ok(mmgr_store_update(store, "n", "{\"x_new\":[1, 2]}", &record));
    assert_ok(mmgr_record_to_json(record, &json));
    assert_non_null(strstr(json, "\"x_new\":[1, 2]"));
    assert_non_null(strstr(json, "\"name\":\"M\""));
    mmgr_string_free(json);
    mmgr_record_unref(record);
    assert_ok(mmgr_store_update(store, "n", "{\"x_new\":null,\"base\":\"flux\"}", NULL));
    assert_error(mmgr_store_update(store, "n", "{\"x_new\":2}", NULL), MMGR_ERR_INVALID_CONFIG,
                 NULL, "x_new", "n");
    close_store(store);
}

/* Every member that a record must not have: the error names key and field, and nothing is stored. */
static void bad_input(void **state)
{
    static const struct {
        const char *member, *field;
    } cases[] = {
        {"\"name\":1", "name"},
        {"\"name\":null", "name"},
        {"\"type\":[]", "type"},
        {"\"type\":\"hologram\"", "type"},
        {"\"format\":\"paper\"", "format"},
        {"\"variant\":\"odd\"", "variant"},
        {"\"prediction_type\":\"prophecy\"", "prediction_type"},
        {"\"source_type\":\"carrier pigeon\"", "source_type"},
        {"\"repo_variant\":\"fp12\"", "repo_variant"},
        {"\"upcast_attention\":\"yes\"", "upcast_attention"},
        {"\"file_size\":-1", "file_size"},
        {"\"file_size\":1.5", "file_size"},
        {"\"file_size\":\"1\"", "file_size"},
        {"\"tags\":\"a\"", "tags"},
        {"\"tags\":[\"a\",1]", "tags"},
        {"\"tags\":[\"\"]", "tags"},
        {"\"trigger_phrases\":{}", "trigger_phrases"},
        {"\"default_settings\":[]", "default_settings"},
        {"\"bases\":[\"flux\"]", "bases"},
        {"\"default_settings\":{\"steps\":0}", "default_settings.steps"},
        {"\"default_settings\":{\"steps\":2.5}", "default_settings.steps"},
        {"\"default_settings\":{\"width\":65}", "default_settings.width"},
        {"\"default_settings\":{\"height\":56}", "default_settings.height"},
        {"\"default_settings\":{\"cfg_scale\":0.5}", "default_settings.cfg_scale"},
        {"\"default_settings\":{\"cfg_rescale_multiplier\":1}",
         "default_settings.cfg_rescale_multiplier"},
        {"\"default_settings\":{\"vae_precision\":\"fp8\"}", "default_settings.vae_precision"},
        {"\"default_settings\":{\"scheduler\":1}", "default_settings.scheduler"},
        {"\"default_settings\":{\"cpu_only\":1}", "default_settings.cpu_only"},
        {"\"default_settings\":{\"preprocessor\":\"canny\"}", "default_settings.preprocessor"},
        {"\"default_settings\":{\"steps\":1,\"steps\":2}", "default_settings"},
        {"\"cpu_only\":true", "cpu_only"}, /* of other kinds */
        {"\"has_dual_expert\":\"yes\"", "has_dual_expert"},
        {"\"boundary_ratio\":\"0.5\"", "boundary_ratio"},
        {"\"expert\":\"middle\"", "expert"},
        {"\"submodels\":[]", "submodels"},
        {"\"path\":\"../up\"", "path"},
        {"\"path\":\".\"", "path"},
        {"\"path\":\"././/\"", "path"},
        {"\"type\":\"embedding\"", "format"}, /* the format that it has is none of the new type */
        {"\"path\":\"a/../../b\"", "path"},
        {"\"vae\":\"../vae\"", "vae"},
        {"\"hash\":\"nocolon\"", "hash"},
        {"\"source_url\":\"ftp://x\"", "source_url"},
        {"\"created_at\":\"yesterday\"", "created_at"},
        {"\"description\":\"a\\u0000b\"", "description"},
        {"\"description\":\"\\ud800\"", "description"},
        {"\"name\":\"a\\u0007\"", "name"},
        {"\"config_path\":\"c\"", "config_path"}, /* no field of this kind */
        {"\"image_encoder_model_id\":\"x\"", "image_encoder_model_id"},
        {"\"no_such_field\":1", "no_such_field"},
        {"\"name\":\"abc\xff\"", "name"},
        {"\"tags\":[\"a\",\"\xc3\"],\"name\":\"N\"", "tags"},
        {"\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]", "x"},
        {"\"name\":\"twice\",\"name\":\"again\"", "name"},
    };
    struct mmgr_store_options options = {.struct_size = sizeof options, .path = store_path()};
    mmgr_store *store;

    assert_ok(open_by(&options, &store));
    add_record(store, "k", "N", "sd-1", "p", "\"description\":\"kept\"");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mmgr_record *record = NULL;
        char patch[256];

        snprintf(patch, sizeof patch, "{\"description\":\"lost\",%s}", cases[i].member);
        if (strstr(cases[i].member, "description") != NULL)
            snprintf(patch, sizeof patch, "{%s}", cases[i].member);
        if (mmgr_store_update(store, "k", patch, &record) != MMGR_ERR_INVALID_CONFIG)
            fail_msg("%s was not refused", patch);
        assert_string_equal(mmgr_error_field(mmgr_last_error()), cases[i].field);
        assert_string_equal(mmgr_error_subject(mmgr_last_error()), "k");
        assert_ok(mmgr_store_get(store, "k", &record));
        assert_string_equal(mmgr_record_text(record, MMGR_FIELD_DESCRIPTION), "kept");
        mmgr_record_unref(record);
    }
    close_store(store);
}

/* Another kind: what only the old one had goes, what is given again as it was counts as no change. */
static void kind_changes(void **state)
{
    struct mmgr_store_options options = {.struct_size = sizeof options, .path = store_path()};
    mmgr_record *record = NULL;
    mmgr_store *store;
    char *json;

    store = open_here();
    add_record(store, "k", "N", "sd-1", "p",
               "\"vae\":\"v\",\"default_settings\":{\"steps\":20}");
    close_store(store);
    assert_ok(open_by(&options, &store));
    assert_ok(mmgr_store_get(store, "k", &record));
    assert_ok(mmgr_record_to_json(record, &json));
    mmgr_record_unref(record);
    assert_ok(mmgr_store_update(store, "k", json, &record));
    assert_string_equal(mmgr_record_text(record, MMGR_FIELD_VAE), "v");
    mmgr_record_unref(record);
    mmgr_string_free(json);
    assert_ok(mmgr_store_update(store, "k", "{\"type\":\"lora\"}", &record));
    assert_null(mmgr_record_text(record, MMGR_FIELD_VAE));
    assert_null(mmgr_record_text(record, MMGR_FIELD_DEFAULT_SETTINGS));
    mmgr_record_unref(record);
    assert_ok(mmgr_store_update(store, "k", "{\"default_settings\":{\"weight\":0.5}}", NULL));
    assert_ok(mmgr_store_update(store, "k", "{\"format\":\"lycoris\"}", &record));
    assert_string_equal(mmgr_record_text(record, MMGR_FIELD_DEFAULT_SETTINGS), "{\"weight\":0.5}");
    mmgr_record_unref(record);
    close_store(store);
}

/* A text of this length, as a patch of the description. */
static enum mmgr_result set_description(mmgr_store *store, size_t length)
{
    char *patch = malloc(length + 64);
    int start = sprintf(patch, "{\"description\":\"");
    enum mmgr_result result;

    memset(patch + start, 'x', length);
    strcpy(patch + start + length, "\"}");
    result = mmgr_store_update(store, "k", patch, NULL);
    free(patch);
    return result;
}

static void every_kind(void **state)
{
    /* One of each pair of the two releases that are documented, with what that pair has of its own. */
    static const char *const kinds[][3] = {
        {"main", "diffusers",
         "\"variant\":\"inpaint\",\"vae\":\"v\",\"prediction_type\":\"epsilon\","
         "\"submodels\":{\"unet\":{\"path_or_prefix\":\"u\"}},"
         "\"default_settings\":{\"vae\":\"k\",\"vae_precision\":\"fp16\",\"scheduler\":\"euler\",\"steps\":20,"
         "\"cfg_scale\":7.5,\"cfg_rescale_multiplier\":0.7,\"width\":1024,\"height\":64,\"guidance\":3.5,"
         "\"cpu_only\":false,\"fp8_storage\":null}"},
        {"main", "checkpoint",
         "\"config_path\":\"c.yaml\",\"upcast_attention\":true,\"converted_at\":1712345678.25"},
        {"main", "bnb_quantized_nf4b", "\"variant\":\"dev\""},
        {"main", "gguf_quantized",
         "\"expert\":\"high\",\"has_dual_expert\":true,\"boundary_ratio\":0.875"},
        {"onnx", "onnx", "\"upcast_attention\":false,\"prediction_type\":\"v_prediction\""},
        {"onnx", "olive", ""},
        {"vae", "diffusers", "\"cpu_only\":true,\"latent_channels\":16"},
        {"vae", "checkpoint", "\"config_path\":\"c.yaml\",\"converted_at\":1"},
        {"lora", "lycoris",
         "\"trigger_phrases\":[\"a b\",\"c\"],\"expert\":\"low\","
         "\"default_settings\":{\"weight\":0.75,\"weight_min\":0,\"weight_max\":1.5}"},
        {"lora", "diffusers", ""},
        {"control_lora", "lycoris", "\"default_settings\":{\"preprocessor\":null}"},
        {"controlnet", "diffusers",
         "\"cond_in_channels\":3,\"default_settings\":{\"preprocessor\":\"canny_image_processor\"}"},
        {"controlnet", "checkpoint", "\"config_path\":\"c.yaml\""},
        {"embedding", "embedding_file", ""},
        {"embedding", "embedding_folder", ""},
        {"ip_adapter", "invokeai", "\"image_encoder_model_id\":\"org/enc\""},
        {"ip_adapter", "checkpoint", ""},
        {"t2i_adapter", "diffusers", ""},
        {"clip_vision", "diffusers", "\"cpu_only\":false"},
        {"clip_embed", "diffusers", "\"variant\":\"large\",\"cpu_only\":true"},
        {"t5_encoder", "t5_encoder", "\"cpu_only\":true"},
        {"t5_encoder", "bnb_quantized_int8b", ""},
        {"qwen3_encoder", "qwen3_encoder", "\"variant\":\"qwen3_4b\",\"cpu_only\":true"},
        {"spandrel_image_to_image", "checkpoint", ""},
        {"text_llm", "gguf_quantized", ""},
        {"siglip", "diffusers", ""},
        {"flux_redux", "checkpoint", ""},
        {"external_image_generator", "external_api",
         "\"provider_id\":\"p\",\"provider_model_id\":\"m\",\"capabilities\":{\"modes\":[\"txt2img\"]}"},
        {"unknown", "unknown", ""},
    };
    struct mmgr_store_options options = {.struct_size = sizeof options, .path = store_path()};
    mmgr_store *store;

    assert_ok(open_by(&options, &store));
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        char json[1024], key[32];
        mmgr_record *record, *got = NULL;

        snprintf(key, sizeof key, "kind%zu", i);
        snprintf(json, sizeof json,
                 "{\"key\":\"%s\",\"name\":\"N\",\"base\":\"sd-2\",\"path\":\"%s\",\"type\":\"%s\","
                 "\"format\":\"%s\"%s%s}",
                 key, key, kinds[i][0], kinds[i][1], kinds[i][2][0] != '\0' ? "," : "", kinds[i][2]);
        record = record_of(json);
        assert_ok(mmgr_store_add(store, record, NULL));
        assert_ok(mmgr_store_get(store, key, &got));
        for (int field = 1; mmgr_field_name((enum mmgr_field)field) != NULL; field++) {
            const char *text = mmgr_record_text(record, (enum mmgr_field)field);

            if (text != NULL)
                assert_string_equal(mmgr_record_text(got, (enum mmgr_field)field), text);
            assert_int_equal(mmgr_record_term(got, (enum mmgr_field)field),
                             mmgr_record_term(record, (enum mmgr_field)field));
        }
        mmgr_record_unref(record);
        mmgr_record_unref(got);
    }
    add_record(store, "k", "N", "sd-1", "big", "");
    assert_ok(set_description(store, 1 << 20));
    assert_error(set_description(store, (1 << 20) + 1), MMGR_ERR_INVALID_CONFIG, "longer",
                 "description", "k");
    close_store(store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int conformance_input(void)
{
    const struct CMUnitTest tests[] = {
        TEST(outsiders_are_refused),
        TEST(bad_input),
        TEST(every_kind),
        TEST(kind_changes),
    };

    return cmocka_run_group_tests_name(backend->name, tests, NULL, NULL);
}
