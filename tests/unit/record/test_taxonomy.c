/* SPDX-License-Identifier: MIT */
/* Every term both ways, the special numbers, and the kind and field tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <modelmgr/taxonomy.h>

#include "base/fields.h"

/* How many strings each enumeration has, "unknown" included: a term that is dropped by mistake
 * shows. */
static const struct {
    enum mmgr_taxonomy taxonomy;
    int count, last;
} sizes[] = {
    {MMGR_TAXONOMY_TYPE, 27, MMGR_TYPE_PID_DECODER},
    {MMGR_TAXONOMY_FORMAT, 23, MMGR_FORMAT_TRANSFORMERS},
    {MMGR_TAXONOMY_BASE, 18, MMGR_BASE_WAN},
    {MMGR_TAXONOMY_VARIANT, 31, MMGR_VARIANT_RES2KTO4K_SR4X},
    {MMGR_TAXONOMY_PREDICTION, 4, MMGR_PREDICTION_SAMPLE},
    {MMGR_TAXONOMY_REPO_VARIANT, 7, MMGR_REPO_VARIANT_FLAX},
    {MMGR_TAXONOMY_SUBMODEL, 20, MMGR_SUBMODEL_FEATURE_EXTRACTOR},
    {MMGR_TAXONOMY_SOURCE_TYPE, 6, MMGR_SOURCE_TYPE_CIVITAI},
    {MMGR_TAXONOMY_EXPERT, 4, MMGR_EXPERT_NONE},
};

static void both_ways(void **state)
{
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        int count = 0;

        for (int32_t term = -3; term < 200; term++) {
            const char *name = mmgr_term_name(sizes[i].taxonomy, term);

            if (name == NULL)
                continue;
            count++;
            assert_int_equal(mmgr_term_parse(sizes[i].taxonomy, name), term);
        }
        assert_int_equal(count, sizes[i].count);
        assert_non_null(mmgr_term_name(sizes[i].taxonomy, sizes[i].last));
        assert_null(mmgr_term_name(sizes[i].taxonomy, sizes[i].last + 1));
    }
}

static void special_terms(void **state)
{
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        enum mmgr_taxonomy taxonomy = sizes[i].taxonomy;

        assert_string_equal(mmgr_term_name(taxonomy, MMGR_TERM_UNKNOWN), "unknown");
        assert_null(mmgr_term_name(taxonomy, MMGR_TERM_UNSET));
        assert_null(mmgr_term_name(taxonomy, MMGR_TERM_OTHER));
        assert_int_equal(mmgr_term_parse(taxonomy, NULL), MMGR_TERM_UNSET);
        assert_int_equal(mmgr_term_parse(taxonomy, "of a later release"), MMGR_TERM_OTHER);
        assert_int_equal(mmgr_term_parse(taxonomy, "UNKNOWN"), MMGR_TERM_OTHER);
        assert_int_equal(mmgr_term_parse(taxonomy, ""), taxonomy == MMGR_TAXONOMY_REPO_VARIANT
                                                            ? (int)MMGR_REPO_VARIANT_DEFAULT
                                                            : (int)MMGR_TERM_UNSET);
    }
    assert_int_equal(mmgr_term_parse(MMGR_TAXONOMY_REPO_VARIANT, "default"),
                     MMGR_REPO_VARIANT_DEFAULT);
    assert_null(mmgr_term_name((enum mmgr_taxonomy)0, MMGR_TERM_UNKNOWN));
    assert_null(mmgr_term_name((enum mmgr_taxonomy)99, MMGR_TERM_UNKNOWN));
    assert_int_equal(mmgr_term_parse((enum mmgr_taxonomy)99, "x"), 0);
}

static void a_few_numbers(void **state)
{
    assert_int_equal(mmgr_term_parse(MMGR_TAXONOMY_BASE, "sd-1"), MMGR_BASE_SD_1);
    assert_int_equal(mmgr_term_parse(MMGR_TAXONOMY_TYPE, "t5_encoder"), MMGR_TYPE_T5_ENCODER);
    assert_int_equal(mmgr_term_parse(MMGR_TAXONOMY_FORMAT, "t5_encoder"), MMGR_FORMAT_T5_ENCODER);
    assert_int_equal(mmgr_term_parse(MMGR_TAXONOMY_SUBMODEL, "unet"), MMGR_SUBMODEL_UNET);
}

static void fields_have_ids_and_names(void **state)
{
    const struct mmgr__field *field;
    uint32_t count = 0;

    for (uint32_t i = 0; (field = mmgr__field_at(i)) != NULL; i++, count++) {
        assert_ptr_equal(mmgr__field_by_id(field->id), field);
        assert_ptr_equal(mmgr__field_by_name(field->name), field);
        assert_string_equal(mmgr_field_name(field->id), field->name);
        assert_true(field->max_bytes > 0);
        assert_true((int)field->id < MMGR__FIELD_MAX);
    }
    assert_int_equal(count, MMGR_FIELD_CAPABILITIES);
    assert_null(mmgr_field_name((enum mmgr_field)0));
    assert_null(mmgr_field_name((enum mmgr_field)(MMGR_FIELD_CAPABILITIES + 1)));
}

/* The pairs that the seed's records had, with what today's releases added to them. */
static void kinds_of_the_seed(void **state)
{
    static const struct {
        const char *type, *format, *fields;
    } wanted[] = {
        {"main", "diffusers",
         "variant prediction_type upcast_attention vae expert has_dual_expert boundary_ratio submodels"},
        {"main", "checkpoint",
         "variant prediction_type upcast_attention vae expert has_dual_expert boundary_ratio "
         "config_path converted_at"},
        {"main", "bnb_quantized_nf4b",
         "variant prediction_type upcast_attention vae expert has_dual_expert boundary_ratio "
         "config_path converted_at"},
        {"vae", "diffusers", "cpu_only latent_channels"},
        {"vae", "checkpoint", "cpu_only latent_channels config_path converted_at"},
        {"controlnet", "diffusers", "cond_in_channels"},
        {"controlnet", "checkpoint", "cond_in_channels config_path converted_at"},
        {"lora", "lycoris", "variant expert"},
        {"lora", "diffusers", "variant expert"},
        {"t5_encoder", "t5_encoder", "cpu_only"},
        {"t5_encoder", "bnb_quantized_int8b", "cpu_only"},
        {"embedding", "embedding_file", ""},
        {"embedding", "embedding_folder", ""},
        {"ip_adapter", "invokeai", "image_encoder_model_id"},
        {"ip_adapter", "checkpoint", ""},
        {"t2i_adapter", "diffusers", ""},
        {"spandrel_image_to_image", "checkpoint", ""},
        {"clip_vision", "diffusers", "cpu_only"},
        {"clip_embed", "diffusers", "variant cpu_only"},
        {"onnx", "onnx", "variant prediction_type upcast_attention vae expert has_dual_expert boundary_ratio"},
        {"text_llm", "gguf_quantized", ""},
        {"external_image_generator", "external_api",
         "provider_id provider_model_id capabilities"},
    };

    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        const struct mmgr__kind *kind = mmgr__kind_find(wanted[i].type, wanted[i].format);
        char text[256] = "";

        assert_non_null(kind);
        for (size_t k = 0; kind->fields[k] != 0; k++) {
            size_t used = strlen(text);

            snprintf(text + used, sizeof text - used, "%s%s", used > 0 ? " " : "",
                     mmgr_field_name(kind->fields[k]));
        }
        assert_string_equal(text, wanted[i].fields);
    }
    assert_null(mmgr__kind_find("main", "embedding_file"));
    assert_null(mmgr__kind_find(NULL, "diffusers"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ways),         cmocka_unit_test(special_terms),
        cmocka_unit_test(a_few_numbers),     cmocka_unit_test(fields_have_ids_and_names),
        cmocka_unit_test(kinds_of_the_seed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
