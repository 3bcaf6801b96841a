/* SPDX-License-Identifier: MIT */
/* Identification of true structures: every specimen of the model maker against every rule, the
 * layouts that other tools write, near misses, and what identification costs. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <modelmgr/probe.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/json.h"
#include "files.h"
#include "probe/prober.h"

static char *folder;
static mmgr_prober *prober;
static json_t *specimens;

static int make_all(void **state)
{
    char arguments[4200];
    char *text;
    size_t length;

    folder = make_folder();
    snprintf(arguments, sizeof(arguments), "all --out '%s/all'", folder);
    make_model(arguments);
    assert_int_equal(
        mmgr__io_read_file(AT_FDCWD, at(folder, "all/expected.json"), 1 << 20, &text, &length), 0);
    assert_int_equal(mmgr__json_parse(text, length, MMGR_ERR_IO, "expected.json", &specimens),
                     MMGR_OK);
    mmgr__free(text);
    assert_int_equal(mmgr_prober_new(NULL, &prober), MMGR_OK);
    return 0;
}

static int drop_all(void **state)
{
    json_decref(specimens);
    mmgr_prober_unref(prober);
    drop_folder(folder);
    return 0;
}

static const char *specimen_path(const json_t *row)
{
    char name[512];

    snprintf(name, sizeof(name), "all/%s", mmgr__json_text(row, "path"));
    return at(folder, name);
}

static int is_open(const json_t *row, const char *field)
{
    size_t i;
    json_t *item;

    json_array_foreach(json_object_get(row, "open"), i, item)
    {
        if (strcmp(json_string_value(item), field) == 0)
            return 1;
    }
    return 0;
}

static mmgr_probe_result *probe_ok(const char *path, const char *overrides, uint32_t flags)
{
    struct mmgr_probe_options options = {sizeof(options), flags, overrides};
    mmgr_probe_result *result = NULL;
    enum mmgr_result code = mmgr_probe_path(prober, path, &options, &result);

    if (code != MMGR_OK)
        print_error("%s: %s\n", path, mmgr_error_message(mmgr_last_error()));
    assert_int_equal(code, MMGR_OK);
    return result;
}

static void expect_code(enum mmgr_result wanted, const char *path, const char *overrides,
                        uint32_t flags)
{
    struct mmgr_probe_options options = {sizeof(options), flags, overrides};
    mmgr_probe_result *result = (mmgr_probe_result *)&options;
    enum mmgr_result code = mmgr_probe_path(prober, path, &options, &result);

    if (code != wanted)
        print_error("%s: %s, %s\n", path, mmgr_result_name(code),
                    code == MMGR_OK ? mmgr_probe_result_rule(result)
                                    : mmgr_error_message(mmgr_last_error()));
    assert_int_equal(code, wanted);
    assert_ptr_equal(result, &options);
}

static void every_specimen(void **state)
{
    static const char *const names[] = {"type", "base", "format", "variant", "prediction_type"};
    static const enum mmgr_field fields[] = {MMGR_FIELD_TYPE, MMGR_FIELD_BASE, MMGR_FIELD_FORMAT,
                                             MMGR_FIELD_VARIANT, MMGR_FIELD_PREDICTION_TYPE};
    size_t i;
    int wrong = 0;
    json_t *row;

    json_array_foreach(specimens, i, row)
    {
        mmgr_probe_result *result = probe_ok(specimen_path(row), NULL, 0);
        for (size_t f = 0; f < 5; f++) {
            const char *wanted = mmgr__json_text(json_object_get(row, "expected"), names[f]);
            const char *found = mmgr_probe_result_text(result, fields[f]);
            if (is_open(row, names[f]) || (wanted == NULL && found == NULL))
                continue;
            if (wanted == NULL || found == NULL || strcmp(wanted, found) != 0) {
                print_error("%s: %s is %s, not %s (rule %s)\n", mmgr__json_text(row, "id"),
                            names[f], found != NULL ? found : "absent",
                            wanted != NULL ? wanted : "absent", mmgr_probe_result_rule(result));
                wrong++;
            }
        }
        assert_true(mmgr_probe_result_evidence_count(result) > 0);
        assert_true(mmgr_probe_result_bytes_read(result) < 1000000);
        mmgr_probe_result_unref(result);
    }
    assert_true(json_array_size(specimens) >= 60);
    assert_int_equal(wrong, 0);
}

/* SD 1's and SDXL's autoencoders are told apart by name only, so the general rule fits both. */
static int may_both_match(const char *a, const char *b)
{
    return strstr(a, "vae") != NULL && strstr(b, "vae") != NULL && strncmp(b, "sd-1-", 5) == 0;
}

static void rules_exclude_each_other(void **state)
{
    size_t i;
    int clashes = 0;
    json_t *row;

    json_array_foreach(specimens, i, row)
    {
        struct mmgr__subject subject;
        const char *winner = NULL;
        int best = -1, second = -1;
        assert_int_equal(mmgr__subject_open(specimen_path(row), &prober->rules, &subject), MMGR_OK);
        for (int pass = 0; pass < 2; pass++) {
            for (size_t r = 0; r < prober->rules.count; r++) {
                struct mmgr__outcome outcome = {0};
                assert_int_equal(mmgr__rule_evaluate(&subject, &prober->rules.items[r], &outcome),
                                 MMGR_OK);
                if (pass == 0 && outcome.matched && outcome.score > best) {
                    best = outcome.score;
                    winner = outcome.rule->name;
                } else if (pass == 1 && outcome.matched && outcome.rule->name != winner) {
                    second = outcome.score > second ? outcome.score : second;
                    if (!may_both_match(winner, outcome.rule->name)) {
                        print_error("%s: %s matches beside %s\n", mmgr__json_text(row, "id"),
                                    outcome.rule->name, winner);
                        clashes++;
                    }
                }
                mmgr__outcome_free(&outcome);
            }
        }
        assert_non_null(winner);
        assert_true(best > second);
        mmgr__subject_close(&subject);
    }
    assert_int_equal(clashes, 0);
}

/* --- layouts of other tools, and near misses, in short: "name:dims name:dims"
 * -------------------------- */

struct sample {
    const char *name, *tensors, *metadata,
        *wanted; /* wanted: "type base format", or NULL: unidentified */
};
#define TE(prefix, part, width) \
    prefix "_text_model_encoder_layers_0_self_attn_" part ".lora_down.weight:16," #width " "
#define UNET_ATTN "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"

static const struct sample samples[] = {
    {"kohya_flux",
     "lora_unet_double_blocks_0_img_attn_proj.lora_down.weight:16,3072 "
     "lora_unet_double_blocks_0_img_attn_proj.alpha: " TE("lora_te1", "k_proj", 768),
     NULL, "lora flux lycoris"},
    {"onetrainer_flux",
     "lora_transformer_single_transformer_blocks_0_attn_to_k.lora_down.weight:16,3072 "
     "lora_transformer_single_transformer_blocks_0_attn_to_k.dora_scale:1,3072 "
     "lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_down.weight:16,768",
     NULL, "lora flux lycoris"},
    {"aitoolkit_flux",
     "diffusion_model.double_blocks.0.img_attn.proj.lora_A.weight:16,3072 "
     "diffusion_model.double_blocks.0.img_attn.proj.lora_B.weight:3072,16",
     "\"software\":\"{\\\"name\\\":\\\"ai-toolkit\\\"}\"", "lora flux lycoris"},
    {"xlabs_flux",
     "double_blocks.0.processor.qkv_lora1.down.weight:16,3072 "
     "double_blocks.0.processor.proj_lora2.up.weight:3072,16",
     NULL, "lora flux lycoris"},
    {"peft_flux", "base_model.model.single_blocks.0.linear1.lora_A.weight:16,3072", NULL,
     "lora flux lycoris"},
    {"onetrainer_bfl_flux", "transformer.double_blocks.0.img_attn.qkv.1.lora_down.weight:16,3072",
     NULL, "lora flux lycoris"},
    {"peft_diffusers_flux",
     "base_model.model.single_transformer_blocks.0.attn.to_q.lora_A.weight:16,3072 "
     "base_model.model.transformer_blocks.0.attn.add_q_proj.lora_A.weight:16,3072",
     NULL, "lora flux lycoris"},
    {"lokr_flux",
     "diffusion_model.double_blocks.0.img_attn.qkv.lokr_w1:16,16 "
     "diffusion_model.double_blocks.0.img_attn.qkv.lokr_w2:16,16",
     NULL, "lora flux lycoris"},
    {"klein_lora", "diffusion_model.double_blocks.0.img_attn.proj.lora_A.weight:16,4096", NULL,
     NULL},
    {"flux2_diffusers_lora",
     "transformer.single_transformer_blocks.0.attn.to_qkv_mlp_proj.lora_A.weight:16,3072", NULL,
     NULL},
    {"z_image_lora", "diffusion_model.layers.0.attention.to_q.lora_A.weight:16,3840", NULL, NULL},
    {"qwen_lora",
     "transformer.transformer_blocks.0.attn.add_q_proj.lora_A.weight:16,3072 "
     "transformer.transformer_blocks.0.img_mlp.net.2.lora_A.weight:16,12288",
     NULL, NULL},
    {"wan_lora", "diffusion_model.blocks.0.cross_attn.k.lora_A.weight:16,5120", NULL, NULL},
    {"sd_3_lora",
     "lora_unet_joint_blocks_0_context_block_attn_qkv.lora_down.weight:16,1536 " TE("lora_te2",
                                                                                    "k_proj", 1280),
     NULL, NULL},
    {"text_encoders_only", TE("lora_te1", "k_proj", 768) TE("lora_te2", "k_proj", 1280), NULL,
     "lora sdxl lycoris"},
    {"sd_1_text_encoder_only", TE("lora_te", "k_proj", 768), NULL, "lora sd-1 lycoris"},
    {"sd_2_text_encoder_only", TE("lora_te", "k_proj", 1024), NULL, "lora sd-2 lycoris"},
    {"loha_sdxl",
     "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.hada_w1_a:640,8 "
     "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.hada_w1_b:8,2048",
     NULL, "lora sdxl lycoris"},
    {"lokr_sd_1",
     UNET_ATTN ".lokr_w1:16,16 " UNET_ATTN ".lokr_w2_a:20,8 " UNET_ATTN ".lokr_w2_b:8,48", NULL,
     "lora sd-1 lycoris"},
    {"lokr_sd_2",
     UNET_ATTN ".lokr_w1_a:16,4 " UNET_ATTN ".lokr_w1_b:4,16 " UNET_ATTN ".lokr_w2:20,64", NULL,
     "lora sd-2 lycoris"},
    {"diff_sd_1", UNET_ATTN ".diff:320,768", NULL, "lora sd-1 lycoris"},
    {"peft_named_sd_1",
     "base_model.model.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.lora_A."
     "default.weight:8,768",
     NULL, "lora sd-1 lycoris"},
    {"processor_sd_1",
     "mid_block.attentions.0.transformer_blocks.0.attn2.processor.to_k_lora.down.weight:4,768",
     NULL, "lora sd-1 lycoris"},
    {"self_attention_sd_1",
     "lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight:8,320,1,1", NULL,
     "lora sd-1 lycoris"},
    {"by_metadata", "lora_unet_down_blocks_0_resnets_0_conv1.lora_down.weight:8,320,3,3",
     "\"ss_base_model_version\":\"sd_v2_v\"", "lora sd-2 lycoris"},
    {"slider_k1", "lora_unet_up_blocks_1_attentions_2_transformer_blocks_1_attn1_to_v.alpha:", NULL,
     "lora sdxl lycoris"},
    {"instantx",
     "controlnet_blocks.0.weight:3072,3072 controlnet_blocks.0.bias:3072 "
     "controlnet_x_embedder.weight:3072,64 transformer_blocks.0.attn.add_q_proj.weight:3072,3072",
     NULL, "controlnet flux checkpoint"},
    {"qwen_controlnet",
     "controlnet_blocks.0.weight:3072,3072 controlnet_x_embedder.weight:3072,64 "
     "txt_norm.weight:3584",
     NULL, NULL},
    {"bare_controlnet",
     "input_hint_block.0.weight:16,3,3,3 zero_convs.0.0.weight:320,320,1,1 "
     "input_blocks.0.0.weight:320,4,3,3 "
     "input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight:320,768",
     NULL, "controlnet sd-1 checkpoint"},
    {"flux_2_vae",
     "encoder.conv_in.weight:128,3,3,3 decoder.conv_in.weight:512,32,3,3 bn.running_mean:128", NULL,
     "vae flux2 checkpoint"},
    {"vae-with-prefix",
     "first_stage_model.encoder.conv_in.weight:128,3,3,3 "
     "first_stage_model.decoder.conv_in.weight:512,4,3,3",
     NULL, "vae sd-1 checkpoint"},
    {"My-SDXL-vae", "encoder.conv_in.weight:128,3,3,3 decoder.conv_in.weight:512,4,3,3", NULL,
     "vae sdxl checkpoint"},
    {"sd3_vae", "encoder.conv_in.weight:128,3,3,3 decoder.conv_in.weight:512,16,3,3", NULL,
     "vae sd-3 checkpoint"},
    {"wan_vae", "encoder.conv_in.weight:96,3,3,3,3 decoder.conv_in.weight:384,16,3,3,3", NULL,
     NULL},
    {"one_word", "<cat>:768", NULL, "embedding sd-1 embedding_file"},
    {"one_word_of_four", "<cat>:4,1024", NULL, "embedding sd-2 embedding_file"},
    {"small_network", "a.weight:768 b.bias:768", NULL, NULL},
    {"upscaler", "conv_first.weight:64,3,3,3 body.0.rdb1.conv1.weight:32,64,3,3", NULL, NULL},
    {"ip_plus", "image_proj.latents:1,16,768 ip_adapter.1.to_k_ip.weight:320,768", NULL,
     "ip_adapter sd-1 checkpoint"},
    {"nothing", "", NULL, NULL},
};

/* A header from "name:dims name:dims"; F16 tensors one after the other. */
static void put_sample(const struct sample *sample, const char *path)
{
    char json[8192], spec[4096], *rest = spec, *word;
    size_t length = (size_t)snprintf(json, sizeof(json), "{\"__metadata__\":{%s}",
                                     sample->metadata != NULL ? sample->metadata : "");
    uint64_t begin = 0;

    snprintf(spec, sizeof(spec), "%s", sample->tensors);
    while ((word = strsep(&rest, " ")) != NULL) {
        char *colon = strrchr(word, ':'), *dims = colon, *dim;
        uint64_t bytes = 2;
        if (colon == NULL)
            continue;
        *dims++ = '\0';
        length += (size_t)snprintf(json + length, sizeof(json) - length,
                                   ",\"%s\":{\"dtype\":\"F16\",\"shape\":[%s],", word, dims);
        while (*dims != '\0' && (dim = strsep(&dims, ",")) != NULL) {
            bytes *= strtoull(dim, NULL, 10);
            if (dims == NULL)
                break;
        }
        length +=
            (size_t)snprintf(json + length, sizeof(json) - length, "\"data_offsets\":[%llu,%llu]}",
                             (unsigned long long)begin, (unsigned long long)(begin + bytes));
        begin += bytes;
    }
    snprintf(json + length, sizeof(json) - length, "}");
    put_safetensors(path, json, begin);
}

static void other_layouts(void **state)
{
    int wrong = 0;

    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        char name[256], found[256] = "unidentified";
        mmgr_probe_result *result = NULL;
        snprintf(name, sizeof(name), "%s.safetensors", samples[i].name);
        put_sample(&samples[i], at(folder, name));
        enum mmgr_result code = mmgr_probe_path(prober, at(folder, name), NULL, &result);
        if (code == MMGR_OK)
            snprintf(found, sizeof(found), "%s %s %s",
                     mmgr_probe_result_text(result, MMGR_FIELD_TYPE),
                     mmgr_probe_result_text(result, MMGR_FIELD_BASE),
                     mmgr_probe_result_text(result, MMGR_FIELD_FORMAT));
        else if (code != MMGR_ERR_UNIDENTIFIED)
            snprintf(found, sizeof(found), "%s", mmgr_error_message(mmgr_last_error()));
        const char *wanted = samples[i].wanted != NULL ? samples[i].wanted : "unidentified";
        if (strcmp(found, wanted) != 0) {
            print_error("%s: %s, not %s\n", samples[i].name, found, wanted);
            wrong++;
        }
        mmgr_probe_result_unref(result);
    }
    assert_int_equal(wrong, 0);
}

/* --- fields, overrides, unknown and broken files
 * ----------------------------------------------------- */

static void expect_text(const mmgr_probe_result *result, enum mmgr_field field, const char *wanted)
{
    const char *found = mmgr_probe_result_text(result, field);

    if (wanted == NULL)
        assert_null(found);
    else
        assert_string_equal(found != NULL ? found : "(absent)", wanted);
}

static void further_fields(void **state)
{
    char arguments[4200], *json;
    mmgr_probe_result *r = probe_ok(at(folder, "all/checkpoint/sd-2.safetensors"), NULL, 0);

    expect_text(r, MMGR_FIELD_NAME, "sd-2");
    expect_text(r, MMGR_FIELD_DESCRIPTION, "main model \"sd-2\" for sd-2");
    expect_text(r, MMGR_FIELD_UPCAST_ATTENTION, "true");
    expect_text(r, MMGR_FIELD_REPO_VARIANT, NULL);
    expect_text(r, MMGR_FIELD_CONFIG_PATH, NULL);
    assert_true(strtoull(mmgr_probe_result_text(r, MMGR_FIELD_FILE_SIZE), NULL, 10) > UINT64_C(1)
                                                                                          << 30);
    assert_string_equal(mmgr_probe_result_rule(r), "sd-2-checkpoint");
    assert_int_equal(mmgr_probe_result_to_json(r, &json), MMGR_OK);
    json_t *root = NULL;
    assert_int_equal(mmgr__json_parse(json, strlen(json), MMGR_ERR_IO, "result", &root), MMGR_OK);
    assert_string_equal(mmgr__json_text(root, "rule"), "sd-2-checkpoint");
    assert_true(json_is_true(json_object_get(root, "upcast_attention")));
    assert_true(json_is_integer(json_object_get(root, "file_size")));
    assert_true(json_array_size(json_object_get(root, "evidence")) >= 2);
    assert_true(json_array_size(json_object_get(root, "runners_up")) >= 1);
    json_decref(root);
    mmgr_string_free(json);
    mmgr_probe_result *same = mmgr_probe_result_ref(r);
    mmgr_probe_result_unref(r);
    expect_text(same, MMGR_FIELD_TYPE, "main");
    mmgr_probe_result_unref(same);

    put_text(at(folder, "all/checkpoint/sd-2.yaml"), "model: {}\n");
    r = probe_ok(at(folder, "all/checkpoint/sd-2.safetensors"), NULL, 0);
    assert_non_null(
        strstr(mmgr_probe_result_text(r, MMGR_FIELD_CONFIG_PATH), "all/checkpoint/sd-2.yaml"));
    mmgr_probe_result_unref(r);

    snprintf(arguments, sizeof(arguments), "pipeline --family sd-1 --variants fp16 --out '%s/half'",
             folder);
    make_model(arguments);
    r = probe_ok(at(folder, "half/"), NULL, 0);
    expect_text(r, MMGR_FIELD_REPO_VARIANT, "fp16");
    expect_text(r, MMGR_FIELD_NAME, "half");
    mmgr_probe_result_unref(r);

    make_dir(at(folder, "adapter"));
    put_text(at(folder, "adapter/image_encoder.txt"),
             "InvokeAI/ip_adapter_sd_image_encoder\nmore\n");
    put_sample(&(struct sample){"",
                                "image_proj.norm.weight:768 ip_adapter.1.to_k_ip.weight:320,768",
                                NULL, ""},
               at(folder, "adapter/ip_adapter.safetensors"));
    r = probe_ok(at(folder, "adapter"), NULL, 0);
    expect_text(r, MMGR_FIELD_TYPE, "ip_adapter");
    expect_text(r, MMGR_FIELD_FORMAT, "invokeai");
    expect_text(r, MMGR_FIELD_IMAGE_ENCODER_MODEL_ID, "InvokeAI/ip_adapter_sd_image_encoder");
    mmgr_probe_result_unref(r);
}

static void configs_without_weights_we_read(void **state)
{
    make_dir(at(folder, "bin"));
    put_text(at(folder, "bin/config.json"),
             "{\"_class_name\":\"ControlNetModel\",\"cross_attention_dim\":768}");
    put_text(at(folder, "bin/diffusion_pytorch_model.bin"), "x");
    mmgr_probe_result *r = probe_ok(at(folder, "bin"), NULL, 0);
    expect_text(r, MMGR_FIELD_TYPE, "controlnet");
    mmgr_probe_result_unref(r);
    put_text(at(folder, "bin/config.json"), "{\"_class_name\":\"Nobody\"}");
    expect_code(MMGR_ERR_UNSUPPORTED, at(folder, "bin"), NULL, 0);
    put_text(at(folder, "bin/config.json"), "{\"_class_name\":");
    expect_code(MMGR_ERR_INVALID_FILE, at(folder, "bin"), NULL, MMGR_PROBE_ALLOW_UNKNOWN);
}

static void merged_lora_stays_a_main_model(void **state)
{
    struct sample merged = {
        "",
        UNET_ATTN
        ".lora_down.weight:8,768 "
        "model.diffusion_model.input_blocks.0.0.weight:320,4,3,3 "
        "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight:320,768 "
        "first_stage_model.decoder.conv_in.weight:512,4,3,3 "
        "first_stage_model.encoder.conv_in.weight:128,3,3,3 "
        "model_ema.diffusion_modelinput_blocks00weight:320,4,3,3",
        NULL, ""};
    put_sample(&merged, at(folder, "merged.safetensors"));
    mmgr_probe_result *r = probe_ok(at(folder, "merged.safetensors"), NULL, 0);
    expect_text(r, MMGR_FIELD_TYPE, "main");
    expect_text(r, MMGR_FIELD_BASE, "sd-1");
    expect_text(r, MMGR_FIELD_VARIANT, "normal");
    mmgr_probe_result_unref(r);
}

static void overrides(void **state)
{
    const char *lora = at(folder, "all/checkpoint/lora-sd-1.safetensors");
    mmgr_probe_result *r = probe_ok(
        lora, "{\"name\":\"mine\",\"base\":\"sd-2\",\"trigger_phrases\":[\"a\",\"b\"]}", 0);

    expect_text(r, MMGR_FIELD_TYPE, "lora");
    expect_text(r, MMGR_FIELD_BASE, "sd-2");
    expect_text(r, MMGR_FIELD_NAME, "mine");
    expect_text(r, MMGR_FIELD_TRIGGER_PHRASES, "[\"a\",\"b\"]");
    mmgr_probe_result_unref(r);
    /* What is given chooses among rules that fit: the name alone says SDXL, the caller SD 1. */
    put_sample(&(struct sample){"",
                                "encoder.conv_in.weight:128,3,3,3 decoder.conv_in.weight:512,4,3,3",
                                NULL, ""},
               at(folder, "xl_vae.safetensors"));
    r = probe_ok(at(folder, "xl_vae.safetensors"), "{\"base\":\"sd-1\"}", 0);
    assert_string_equal(mmgr_probe_result_rule(r), "sd-1-vae-checkpoint");
    mmgr_probe_result_unref(r);

    expect_code(MMGR_ERR_UNIDENTIFIED, lora, "{\"type\":\"embedding\"}", 0);
    expect_code(MMGR_ERR_UNIDENTIFIED, lora,
                "{\"type\":\"embedding\",\"base\":\"sd-1\",\"format\":\"embedding_file\"}", 0);
    expect_code(MMGR_ERR_INVALID_CONFIG, lora, "{\"type\":\"lroa\"}", 0);
    expect_code(MMGR_ERR_INVALID_CONFIG, lora, "{\"colour\":\"red\"}", 0);
    expect_code(MMGR_ERR_INVALID_CONFIG, lora, "{\"upcast_attention\":\"perhaps\"}", 0);
    expect_code(MMGR_ERR_INVALID_CONFIG, lora, "[]", 0);
    expect_code(MMGR_ERR_INVALID_CONFIG, lora, "{", 0);
    /* A model that no rule knows, described in full by the caller. */
    put_sample(&(struct sample){"", "conv_first.weight:64,3,3,3", NULL, ""},
               at(folder, "up.safetensors"));
    expect_code(MMGR_ERR_UNIDENTIFIED, at(folder, "up.safetensors"), "{\"base\":\"any\"}", 0);
    r = probe_ok(
        at(folder, "up.safetensors"),
        "{\"type\":\"spandrel_image_to_image\",\"base\":\"any\",\"format\":\"checkpoint\"}", 0);
    assert_string_equal(mmgr_probe_result_rule(r), "given");
    expect_text(r, MMGR_FIELD_TYPE, "spandrel_image_to_image");
    mmgr_probe_result_unref(r);
}

static void unknown_and_broken(void **state)
{
    put_sample(&(struct sample){"", "conv_first.weight:64,3,3,3", NULL, ""},
               at(folder, "what.safetensors"));
    expect_code(MMGR_ERR_UNIDENTIFIED, at(folder, "what.safetensors"), NULL, 0);
    mmgr_probe_result *r = probe_ok(at(folder, "what.safetensors"), NULL, MMGR_PROBE_ALLOW_UNKNOWN);
    expect_text(r, MMGR_FIELD_TYPE, "unknown");
    expect_text(r, MMGR_FIELD_BASE, "unknown");
    expect_text(r, MMGR_FIELD_FORMAT, "unknown");
    expect_text(r, MMGR_FIELD_NAME, "what");
    assert_string_equal(mmgr_probe_result_rule(r), "unknown");
    mmgr_probe_result_unref(r);
    /* Broken is an error, also where unknown is welcome. */
    assert_int_equal(truncate(at(folder, "what.safetensors"), 40), 0);
    expect_code(MMGR_ERR_INVALID_FILE, at(folder, "what.safetensors"), NULL,
                MMGR_PROBE_ALLOW_UNKNOWN);
    put_file(at(folder, "x.ckpt"), "\200\2}q\0.", 6);
    expect_code(MMGR_ERR_UNSUPPORTED, at(folder, "x.ckpt"), NULL, MMGR_PROBE_ALLOW_UNKNOWN);
    expect_code(MMGR_ERR_PATH_NOT_FOUND, at(folder, "nowhere"), NULL, 0);
    expect_code(MMGR_ERR_ARGUMENT, "", NULL, 0);
    expect_code(MMGR_ERR_ARGUMENT, "x", NULL, 2);
    /* A pipeline with one broken part is broken. */
    char arguments[4200];
    snprintf(arguments, sizeof(arguments), "pipeline --family sd-1 --out '%s/cut'", folder);
    make_model(arguments);
    assert_int_equal(truncate(at(folder, "cut/vae/diffusion_pytorch_model.safetensors"), 5000), 0);
    expect_code(MMGR_ERR_INVALID_FILE, at(folder, "cut"), NULL, MMGR_PROBE_ALLOW_UNKNOWN);
}

static void large_checkpoint_reads_little(void **state)
{
    struct mmgr__io_counters before, after;
    struct stat st;
    char arguments[4200];

    snprintf(arguments, sizeof(arguments),
             "checkpoint --family flux-dev --dtype F16 --sparse --out '%s/big.safetensors'",
             folder);
    make_model(arguments);
    assert_int_equal(stat(at(folder, "big.safetensors"), &st), 0);
    assert_true((uint64_t)st.st_size > UINT64_C(12000000000));
    mmgr__io_counters(&before);
    mmgr_probe_result *r = probe_ok(at(folder, "big.safetensors"), NULL, 0);
    mmgr__io_counters(&after);
    assert_true(after.read_bytes - before.read_bytes < 1000000);
    assert_int_equal(mmgr_probe_result_bytes_read(r), after.read_bytes - before.read_bytes);
    expect_text(r, MMGR_FIELD_VARIANT, "dev");
    mmgr_probe_result_unref(r);
}

struct worker {
    pthread_t thread;
    size_t first;
    int wrong;
};

static void *probe_many(void *argument)
{
    struct worker *worker = argument;
    size_t count = json_array_size(specimens);

    for (size_t i = 0; i < count; i++) {
        const json_t *row = json_array_get(specimens, (i + worker->first) % count);
        const char *wanted = mmgr__json_text(json_object_get(row, "expected"), "type");
        char path[4200];
        mmgr_probe_result *result = NULL;
        snprintf(path, sizeof(path), "%s/all/%s", folder, mmgr__json_text(row, "path"));
        if (mmgr_probe_path(prober, path, NULL, &result) != MMGR_OK ||
            strcmp(mmgr_probe_result_text(result, MMGR_FIELD_TYPE), wanted) != 0)
            worker->wrong++;
        mmgr_probe_result_unref(result);
    }
    return NULL;
}

static void several_threads(void **state)
{
    struct worker workers[4] = {0};

    for (size_t i = 0; i < 4; i++) {
        workers[i].first = i * 7;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, probe_many, &workers[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_int_equal(workers[i].wrong, 0);
    }
}

static void allocation_failures(void **state)
{
    const char *path = at(folder, "all/pipeline/sd-1");
    uint64_t live = mmgr__alloc_live();
    int refusals = 0, done = 0;

    for (uint64_t number = 1; !done; number += 1 + number / 40) {
        mmgr_probe_result *result = NULL;
        mmgr__alloc_fail_at(number, 1);
        enum mmgr_result code = mmgr_probe_path(prober, path, NULL, &result);
        mmgr__alloc_fail_at(0, 0);
        if (code == MMGR_OK) {
            mmgr_probe_result_unref(result);
            done = 1;
        } else {
            assert_int_equal(code, MMGR_ERR_NO_MEMORY);
            refusals++;
        }
        assert_int_equal(mmgr__alloc_live(), live);
    }
    assert_true(refusals > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_specimen),
        cmocka_unit_test(rules_exclude_each_other),
        cmocka_unit_test(other_layouts),
        cmocka_unit_test(further_fields),
        cmocka_unit_test(configs_without_weights_we_read),
        cmocka_unit_test(merged_lora_stays_a_main_model),
        cmocka_unit_test(overrides),
        cmocka_unit_test(unknown_and_broken),
        cmocka_unit_test(large_checkpoint_reads_little),
        cmocka_unit_test(several_threads),
        cmocka_unit_test(allocation_failures),
    };

    return cmocka_run_group_tests_name("probe", tests, make_all, drop_all);
}
