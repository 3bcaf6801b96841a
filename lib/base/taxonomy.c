/* SPDX-License-Identifier: MIT */
/* The taxonomy's strings and numbers: one table an enumeration, both ways. */
#include <modelmgr/taxonomy.h>

#include <string.h>

struct term {
    int32_t number;
    const char *name;
};

static const struct term types[] = {
    {MMGR_TERM_UNKNOWN, "unknown"},
    {MMGR_TYPE_ONNX, "onnx"},
    {MMGR_TYPE_MAIN, "main"},
    {MMGR_TYPE_VAE, "vae"},
    {MMGR_TYPE_LORA, "lora"},
    {MMGR_TYPE_CONTROLNET, "controlnet"},
    {MMGR_TYPE_EMBEDDING, "embedding"},
    {MMGR_TYPE_IP_ADAPTER, "ip_adapter"},
    {MMGR_TYPE_CLIP_VISION, "clip_vision"},
    {MMGR_TYPE_CLIP_EMBED, "clip_embed"},
    {MMGR_TYPE_T2I_ADAPTER, "t2i_adapter"},
    {MMGR_TYPE_T5_ENCODER, "t5_encoder"},
    {MMGR_TYPE_SPANDREL_IMAGE_TO_IMAGE, "spandrel_image_to_image"},
    {MMGR_TYPE_CONTROL_LORA, "control_lora"},
    {MMGR_TYPE_QWEN3_ENCODER, "qwen3_encoder"},
    {MMGR_TYPE_QWEN_VL_ENCODER, "qwen_vl_encoder"},
    {MMGR_TYPE_QWEN3_VL_ENCODER, "qwen3_vl_encoder"},
    {MMGR_TYPE_MISTRAL_ENCODER, "mistral_encoder"},
    {MMGR_TYPE_WAN_T5_ENCODER, "wan_t5_encoder"},
    {MMGR_TYPE_GEMMA2_ENCODER, "gemma2_encoder"},
    {MMGR_TYPE_SIGLIP, "siglip"},
    {MMGR_TYPE_FLUX_REDUX, "flux_redux"},
    {MMGR_TYPE_LLAVA_ONEVISION, "llava_onevision"},
    {MMGR_TYPE_PROMPT_ENHANCER, "prompt_enhancer"},
    {MMGR_TYPE_TEXT_LLM, "text_llm"},
    {MMGR_TYPE_EXTERNAL_IMAGE_GENERATOR, "external_image_generator"},
    {MMGR_TYPE_PID_DECODER, "pid_decoder"},
};

static const struct term formats[] = {
    {MMGR_TERM_UNKNOWN, "unknown"},
    {MMGR_FORMAT_DIFFUSERS, "diffusers"},
    {MMGR_FORMAT_CHECKPOINT, "checkpoint"},
    {MMGR_FORMAT_LYCORIS, "lycoris"},
    {MMGR_FORMAT_ONNX, "onnx"},
    {MMGR_FORMAT_OLIVE, "olive"},
    {MMGR_FORMAT_EMBEDDING_FILE, "embedding_file"},
    {MMGR_FORMAT_EMBEDDING_FOLDER, "embedding_folder"},
    {MMGR_FORMAT_INVOKEAI, "invokeai"},
    {MMGR_FORMAT_T5_ENCODER, "t5_encoder"},
    {MMGR_FORMAT_BNB_QUANTIZED_INT8B, "bnb_quantized_int8b"},
    {MMGR_FORMAT_BNB_QUANTIZED_NF4B, "bnb_quantized_nf4b"},
    {MMGR_FORMAT_OMI, "omi"},
    {MMGR_FORMAT_QWEN3_ENCODER, "qwen3_encoder"},
    {MMGR_FORMAT_QWEN_VL_ENCODER, "qwen_vl_encoder"},
    {MMGR_FORMAT_QWEN3_VL_ENCODER, "qwen3_vl_encoder"},
    {MMGR_FORMAT_MISTRAL_ENCODER, "mistral_encoder"},
    {MMGR_FORMAT_WAN_T5_ENCODER, "wan_t5_encoder"},
    {MMGR_FORMAT_GEMMA2_ENCODER, "gemma2_encoder"},
    {MMGR_FORMAT_GGUF_QUANTIZED, "gguf_quantized"},
    {MMGR_FORMAT_EXTERNAL_API, "external_api"},
    {MMGR_FORMAT_SDNQ_QUANTIZED, "sdnq_quantized"},
    {MMGR_FORMAT_TRANSFORMERS, "transformers"},
};

static const struct term bases[] = {
    {MMGR_TERM_UNKNOWN, "unknown"},
    {MMGR_BASE_ANY, "any"},
    {MMGR_BASE_SD_1, "sd-1"},
    {MMGR_BASE_SD_2, "sd-2"},
    {MMGR_BASE_SDXL, "sdxl"},
    {MMGR_BASE_SDXL_REFINER, "sdxl-refiner"},
    {MMGR_BASE_FLUX, "flux"},
    {MMGR_BASE_SD_3, "sd-3"},
    {MMGR_BASE_FLUX2, "flux2"},
    {MMGR_BASE_COGVIEW4, "cogview4"},
    {MMGR_BASE_Z_IMAGE, "z-image"},
    {MMGR_BASE_ERNIE_IMAGE, "ernie-image"},
    {MMGR_BASE_IDEOGRAM_4, "ideogram-4"},
    {MMGR_BASE_EXTERNAL, "external"},
    {MMGR_BASE_QWEN_IMAGE, "qwen-image"},
    {MMGR_BASE_ANIMA, "anima"},
    {MMGR_BASE_KREA_2, "krea-2"},
    {MMGR_BASE_WAN, "wan"},
};

static const struct term variants[] = {
    {MMGR_TERM_UNKNOWN, "unknown"},
    {MMGR_VARIANT_NORMAL, "normal"},
    {MMGR_VARIANT_INPAINT, "inpaint"},
    {MMGR_VARIANT_DEPTH, "depth"},
    {MMGR_VARIANT_LARGE, "large"},
    {MMGR_VARIANT_GIGANTIC, "gigantic"},
    {MMGR_VARIANT_SCHNELL, "schnell"},
    {MMGR_VARIANT_DEV, "dev"},
    {MMGR_VARIANT_DEV_FILL, "dev_fill"},
    {MMGR_VARIANT_KLEIN_4B, "klein_4b"},
    {MMGR_VARIANT_KLEIN_4B_BASE, "klein_4b_base"},
    {MMGR_VARIANT_KLEIN_9B, "klein_9b"},
    {MMGR_VARIANT_KLEIN_9B_BASE, "klein_9b_base"},
    {MMGR_VARIANT_TURBO, "turbo"},
    {MMGR_VARIANT_ZBASE, "zbase"},
    {MMGR_VARIANT_KREA2_TURBO, "krea2_turbo"},
    {MMGR_VARIANT_KREA2_BASE, "krea2_base"},
    {MMGR_VARIANT_GENERATE, "generate"},
    {MMGR_VARIANT_EDIT, "edit"},
    {MMGR_VARIANT_T2V_A14B, "t2v_a14b"},
    {MMGR_VARIANT_I2V_A14B, "i2v_a14b"},
    {MMGR_VARIANT_TI2V_5B, "ti2v_5b"},
    {MMGR_VARIANT_A14B, "a14b"},
    {MMGR_VARIANT_5B, "5b"},
    {MMGR_VARIANT_QWEN3_4B, "qwen3_4b"},
    {MMGR_VARIANT_QWEN3_8B, "qwen3_8b"},
    {MMGR_VARIANT_QWEN3_06B, "qwen3_06b"},
    {MMGR_VARIANT_COW_MISTRAL3_SMALL, "cow_mistral3_small"},
    {MMGR_VARIANT_MISTRAL3_24B, "mistral3_24b"},
    {MMGR_VARIANT_RES2K_SR4X, "res2k_sr4x"},
    {MMGR_VARIANT_RES2KTO4K_SR4X, "res2kto4k_sr4x"},
};

static const struct term predictions[] = {
    {MMGR_TERM_UNKNOWN, "unknown"},
    {MMGR_PREDICTION_EPSILON, "epsilon"},
    {MMGR_PREDICTION_V_PREDICTION, "v_prediction"},
    {MMGR_PREDICTION_SAMPLE, "sample"},
};

static const struct term repo_variants[] = {
    {MMGR_TERM_UNKNOWN, "unknown"},
    {MMGR_REPO_VARIANT_DEFAULT, "default"},
    {MMGR_REPO_VARIANT_FP16, "fp16"},
    {MMGR_REPO_VARIANT_FP32, "fp32"},
    {MMGR_REPO_VARIANT_ONNX, "onnx"},
    {MMGR_REPO_VARIANT_OPENVINO, "openvino"},
    {MMGR_REPO_VARIANT_FLAX, "flax"},
};

static const struct term submodels[] = {
    {MMGR_TERM_UNKNOWN, "unknown"},
    {MMGR_SUBMODEL_UNET, "unet"},
    {MMGR_SUBMODEL_TRANSFORMER, "transformer"},
    {MMGR_SUBMODEL_TEXT_ENCODER, "text_encoder"},
    {MMGR_SUBMODEL_TEXT_ENCODER_2, "text_encoder_2"},
    {MMGR_SUBMODEL_TOKENIZER, "tokenizer"},
    {MMGR_SUBMODEL_TOKENIZER_2, "tokenizer_2"},
    {MMGR_SUBMODEL_VAE, "vae"},
    {MMGR_SUBMODEL_VAE_DECODER, "vae_decoder"},
    {MMGR_SUBMODEL_VAE_ENCODER, "vae_encoder"},
    {MMGR_SUBMODEL_SCHEDULER, "scheduler"},
    {MMGR_SUBMODEL_SAFETY_CHECKER, "safety_checker"},
    {MMGR_SUBMODEL_TRANSFORMER_2, "transformer_2"},
    {MMGR_SUBMODEL_TEXT_ENCODER_3, "text_encoder_3"},
    {MMGR_SUBMODEL_TOKENIZER_3, "tokenizer_3"},
    {MMGR_SUBMODEL_PE, "pe"},
    {MMGR_SUBMODEL_PE_TOKENIZER, "pe_tokenizer"},
    {MMGR_SUBMODEL_CONTROLNET, "controlnet"},
    {MMGR_SUBMODEL_IMAGE_ENCODER, "image_encoder"},
    {MMGR_SUBMODEL_FEATURE_EXTRACTOR, "feature_extractor"},
};

static const struct term source_types[] = {
    {MMGR_TERM_UNKNOWN, "unknown"},
    {MMGR_SOURCE_TYPE_PATH, "path"},
    {MMGR_SOURCE_TYPE_URL, "url"},
    {MMGR_SOURCE_TYPE_HF_REPO_ID, "hf_repo_id"},
    {MMGR_SOURCE_TYPE_EXTERNAL, "external"},
    {MMGR_SOURCE_TYPE_CIVITAI, "civitai"},
};

static const struct term experts[] = {
    {MMGR_TERM_UNKNOWN, "unknown"},
    {MMGR_EXPERT_HIGH, "high"},
    {MMGR_EXPERT_LOW, "low"},
    {MMGR_EXPERT_NONE, "none"},
};

#define TABLE(terms) {terms, sizeof(terms) / sizeof((terms)[0])}

/* By enum mmgr_taxonomy. */
static const struct {
    const struct term *terms;
    size_t count;
} tables[] = {
    {NULL, 0},
    [MMGR_TAXONOMY_TYPE] = TABLE(types),
    [MMGR_TAXONOMY_FORMAT] = TABLE(formats),
    [MMGR_TAXONOMY_BASE] = TABLE(bases),
    [MMGR_TAXONOMY_VARIANT] = TABLE(variants),
    [MMGR_TAXONOMY_PREDICTION] = TABLE(predictions),
    [MMGR_TAXONOMY_REPO_VARIANT] = TABLE(repo_variants),
    [MMGR_TAXONOMY_SUBMODEL] = TABLE(submodels),
    [MMGR_TAXONOMY_SOURCE_TYPE] = TABLE(source_types),
    [MMGR_TAXONOMY_EXPERT] = TABLE(experts),
};

static int known_table(enum mmgr_taxonomy taxonomy)
{
    return (int)taxonomy > 0 && (size_t)taxonomy < sizeof tables / sizeof tables[0];
}

const char *mmgr_term_name(enum mmgr_taxonomy taxonomy, int32_t term)
{
    if (!known_table(taxonomy))
        return NULL;
    for (size_t i = 0; i < tables[taxonomy].count; i++) {
        if (tables[taxonomy].terms[i].number == term)
            return tables[taxonomy].terms[i].name;
    }
    return NULL;
}

int32_t mmgr_term_parse(enum mmgr_taxonomy taxonomy, const char *name)
{
    if (name == NULL || !known_table(taxonomy))
        return MMGR_TERM_UNSET;
    if (name[0] == '\0')
        return taxonomy == MMGR_TAXONOMY_REPO_VARIANT ? (int32_t)MMGR_REPO_VARIANT_DEFAULT
                                                      : (int32_t)MMGR_TERM_UNSET;
    for (size_t i = 0; i < tables[taxonomy].count; i++) {
        if (strcmp(tables[taxonomy].terms[i].name, name) == 0)
            return tables[taxonomy].terms[i].number;
    }
    return MMGR_TERM_OTHER;
}
