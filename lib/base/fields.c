/* SPDX-License-Identifier: MIT */
/* The tables of record fields and of model kinds. */
#include "base/fields.h"

#include <string.h>

#define KIB 1024u
#define MIB (1024u * KIB)

/* Order of this table is the order of the members in JSON. */
static const struct mmgr__field fields[] = {
    {MMGR_FIELD_KEY, "key", MMGR__FIELD_TEXT, 0, 1, 1, 64},
    {MMGR_FIELD_NAME, "name", MMGR__FIELD_TEXT, 0, 1, 1, 4 * KIB},
    {MMGR_FIELD_TYPE, "type", MMGR__FIELD_TERM, MMGR_TAXONOMY_TYPE, 1, 1, 64},
    {MMGR_FIELD_FORMAT, "format", MMGR__FIELD_TERM, MMGR_TAXONOMY_FORMAT, 1, 1, 64},
    {MMGR_FIELD_BASE, "base", MMGR__FIELD_TERM, MMGR_TAXONOMY_BASE, 1, 1, 64},
    {MMGR_FIELD_BASES, "bases", MMGR__FIELD_LIST, MMGR_TAXONOMY_BASE, 0, 1, 16 * KIB},
    {MMGR_FIELD_PATH, "path", MMGR__FIELD_TEXT, 0, 1, 1, 8 * KIB},
    {MMGR_FIELD_HASH, "hash", MMGR__FIELD_TEXT, 0, 0, 1, 1 * KIB},
    {MMGR_FIELD_DESCRIPTION, "description", MMGR__FIELD_TEXT, 0, 0, 1, 1 * MIB},
    {MMGR_FIELD_SOURCE, "source", MMGR__FIELD_TEXT, 0, 0, 1, 16 * KIB},
    {MMGR_FIELD_SOURCE_TYPE, "source_type", MMGR__FIELD_TERM, MMGR_TAXONOMY_SOURCE_TYPE, 0, 1, 64},
    {MMGR_FIELD_SOURCE_URL, "source_url", MMGR__FIELD_TEXT, 0, 0, 1, 16 * KIB},
    {MMGR_FIELD_REVISION, "revision", MMGR__FIELD_TEXT, 0, 0, 1, 1 * KIB},
    {MMGR_FIELD_SOURCE_API_RESPONSE, "source_api_response", MMGR__FIELD_TEXT, 0, 0, 1, 16 * MIB},
    {MMGR_FIELD_CONFIG_PATH, "config_path", MMGR__FIELD_TEXT, 0, 0, 0, 8 * KIB},
    {MMGR_FIELD_VARIANT, "variant", MMGR__FIELD_TERM, MMGR_TAXONOMY_VARIANT, 0, 0, 64},
    {MMGR_FIELD_PREDICTION_TYPE, "prediction_type", MMGR__FIELD_TERM, MMGR_TAXONOMY_PREDICTION, 0,
     0, 64},
    {MMGR_FIELD_UPCAST_ATTENTION, "upcast_attention", MMGR__FIELD_BOOL, 0, 0, 0, 8},
    {MMGR_FIELD_REPO_VARIANT, "repo_variant", MMGR__FIELD_TERM, MMGR_TAXONOMY_REPO_VARIANT, 0, 1,
     64},
    {MMGR_FIELD_VAE, "vae", MMGR__FIELD_TEXT, 0, 0, 0, 8 * KIB},
    {MMGR_FIELD_IMAGE_ENCODER_MODEL_ID, "image_encoder_model_id", MMGR__FIELD_TEXT, 0, 0, 0,
     1 * KIB},
    {MMGR_FIELD_CONVERTED_AT, "converted_at", MMGR__FIELD_REAL, 0, 0, 0, 40},
    {MMGR_FIELD_CPU_ONLY, "cpu_only", MMGR__FIELD_BOOL, 0, 0, 0, 8},
    {MMGR_FIELD_EXPERT, "expert", MMGR__FIELD_TERM, MMGR_TAXONOMY_EXPERT, 0, 0, 64},
    {MMGR_FIELD_HAS_DUAL_EXPERT, "has_dual_expert", MMGR__FIELD_BOOL, 0, 0, 0, 8},
    {MMGR_FIELD_BOUNDARY_RATIO, "boundary_ratio", MMGR__FIELD_REAL, 0, 0, 0, 40},
    {MMGR_FIELD_LATENT_CHANNELS, "latent_channels", MMGR__FIELD_NUMBER, 0, 0, 0, 24},
    {MMGR_FIELD_COND_IN_CHANNELS, "cond_in_channels", MMGR__FIELD_NUMBER, 0, 0, 0, 24},
    {MMGR_FIELD_SUBMODELS, "submodels", MMGR__FIELD_OBJECT, 0, 0, 0, 256 * KIB},
    {MMGR_FIELD_PROVIDER_ID, "provider_id", MMGR__FIELD_TEXT, 0, 0, 0, 1 * KIB},
    {MMGR_FIELD_PROVIDER_MODEL_ID, "provider_model_id", MMGR__FIELD_TEXT, 0, 0, 0, 1 * KIB},
    {MMGR_FIELD_CAPABILITIES, "capabilities", MMGR__FIELD_OBJECT, 0, 0, 0, 256 * KIB},
    {MMGR_FIELD_TRIGGER_PHRASES, "trigger_phrases", MMGR__FIELD_LIST, 0, 0, 1, 256 * KIB},
    {MMGR_FIELD_TAGS, "tags", MMGR__FIELD_LIST, 0, 0, 1, 256 * KIB},
    {MMGR_FIELD_DEFAULT_SETTINGS, "default_settings", MMGR__FIELD_OBJECT, 0, 0, 1, 256 * KIB},
    {MMGR_FIELD_COVER_IMAGE, "cover_image", MMGR__FIELD_TEXT, 0, 0, 1, 1 * MIB},
    {MMGR_FIELD_FILE_SIZE, "file_size", MMGR__FIELD_NUMBER, 0, 0, 1, 24},
    {MMGR_FIELD_CREATED_AT, "created_at", MMGR__FIELD_TIME, 0, 0, 1, 40},
    {MMGR_FIELD_UPDATED_AT, "updated_at", MMGR__FIELD_TIME, 0, 0, 1, 40},
};
#define FIELD_COUNT (sizeof fields / sizeof fields[0])
_Static_assert(FIELD_COUNT < MMGR__FIELD_MAX, "records hold one slot a field id");

#define DENOISER                                                                                    \
    MMGR_FIELD_VARIANT, MMGR_FIELD_PREDICTION_TYPE, MMGR_FIELD_UPCAST_ATTENTION, MMGR_FIELD_VAE,    \
        MMGR_FIELD_EXPERT, MMGR_FIELD_HAS_DUAL_EXPERT, MMGR_FIELD_BOUNDARY_RATIO
#define SINGLE_FILE MMGR_FIELD_CONFIG_PATH, MMGR_FIELD_CONVERTED_AT
#define ENCODER     MMGR_FIELD_CPU_ONLY

/* Pairs that this release knows. Others (of newer releases, of a host's own families) are
 * accepted with any field. */
static const struct mmgr__kind kinds[] = {
    {"main", "diffusers", {DENOISER, MMGR_FIELD_SUBMODELS}},
    {"main", "checkpoint", {DENOISER, SINGLE_FILE}},
    {"main", "bnb_quantized_nf4b", {DENOISER, SINGLE_FILE}},
    {"main", "gguf_quantized", {DENOISER, SINGLE_FILE}},
    {"main", "sdnq_quantized", {DENOISER, MMGR_FIELD_SUBMODELS}},
    {"main", "onnx", {DENOISER}},
    {"main", "olive", {DENOISER}},
    {"onnx", "onnx", {DENOISER}},
    {"onnx", "olive", {DENOISER}},
    {"vae", "diffusers", {ENCODER, MMGR_FIELD_LATENT_CHANNELS}},
    {"vae", "checkpoint", {ENCODER, MMGR_FIELD_LATENT_CHANNELS, SINGLE_FILE}},
    {"lora", "lycoris", {MMGR_FIELD_VARIANT, MMGR_FIELD_EXPERT}},
    {"lora", "diffusers", {MMGR_FIELD_VARIANT, MMGR_FIELD_EXPERT}},
    {"lora", "omi", {MMGR_FIELD_VARIANT, MMGR_FIELD_EXPERT}},
    {"control_lora", "lycoris", {0}},
    {"control_lora", "diffusers", {0}},
    {"controlnet", "diffusers", {MMGR_FIELD_COND_IN_CHANNELS}},
    {"controlnet", "checkpoint", {MMGR_FIELD_COND_IN_CHANNELS, SINGLE_FILE}},
    {"embedding", "embedding_file", {0}},
    {"embedding", "embedding_folder", {0}},
    {"ip_adapter", "invokeai", {MMGR_FIELD_IMAGE_ENCODER_MODEL_ID}},
    {"ip_adapter", "checkpoint", {0}},
    {"t2i_adapter", "diffusers", {0}},
    {"clip_vision", "diffusers", {ENCODER}},
    {"clip_embed", "diffusers", {MMGR_FIELD_VARIANT, ENCODER}},
    {"t5_encoder", "t5_encoder", {ENCODER}},
    {"t5_encoder", "bnb_quantized_int8b", {ENCODER}},
    {"t5_encoder", "gguf_quantized", {ENCODER}},
    {"wan_t5_encoder", "wan_t5_encoder", {ENCODER}},
    {"wan_t5_encoder", "gguf_quantized", {ENCODER}},
    {"qwen3_encoder", "qwen3_encoder", {MMGR_FIELD_VARIANT, ENCODER}},
    {"qwen3_encoder", "checkpoint", {MMGR_FIELD_VARIANT, ENCODER}},
    {"qwen3_encoder", "gguf_quantized", {MMGR_FIELD_VARIANT, ENCODER}},
    {"qwen_vl_encoder", "qwen_vl_encoder", {ENCODER}},
    {"qwen_vl_encoder", "checkpoint", {ENCODER}},
    {"qwen3_vl_encoder", "qwen3_vl_encoder", {ENCODER}},
    {"qwen3_vl_encoder", "checkpoint", {ENCODER}},
    {"mistral_encoder", "mistral_encoder", {MMGR_FIELD_VARIANT, ENCODER}},
    {"mistral_encoder", "checkpoint", {MMGR_FIELD_VARIANT, ENCODER}},
    {"mistral_encoder", "gguf_quantized", {MMGR_FIELD_VARIANT, ENCODER}},
    {"gemma2_encoder", "gemma2_encoder", {ENCODER}},
    {"siglip", "diffusers", {0}},
    {"flux_redux", "checkpoint", {0}},
    {"llava_onevision", "diffusers", {0}},
    {"prompt_enhancer", "diffusers", {0}},
    {"text_llm", "diffusers", {0}},
    {"text_llm", "transformers", {0}},
    {"text_llm", "gguf_quantized", {0}},
    {"spandrel_image_to_image", "checkpoint", {0}},
    {"external_image_generator",
     "external_api",
     {MMGR_FIELD_PROVIDER_ID, MMGR_FIELD_PROVIDER_MODEL_ID, MMGR_FIELD_CAPABILITIES}},
    {"pid_decoder", "checkpoint", {MMGR_FIELD_VARIANT}},
    {"unknown", "unknown", {0}},
};

const struct mmgr__field *mmgr__field_at(uint32_t index)
{
    return index < FIELD_COUNT ? &fields[index] : NULL;
}

const struct mmgr__field *mmgr__field_by_id(enum mmgr_field id)
{
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (fields[i].id == id)
            return &fields[i];
    }
    return NULL;
}

const struct mmgr__field *mmgr__field_by_name(const char *name)
{
    /* Called for each member of each record that is read: most rows are passed at their first letter. */
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (fields[i].name[0] == name[0] && strcmp(fields[i].name, name) == 0)
            return &fields[i];
    }
    return NULL;
}

const struct mmgr__kind *mmgr__kind_find(const char *type, const char *format)
{
    if (type == NULL || format == NULL)
        return NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].type, type) == 0 && strcmp(kinds[i].format, format) == 0)
            return &kinds[i];
    }
    return NULL;
}

const char *mmgr_field_name(enum mmgr_field field)
{
    const struct mmgr__field *found = mmgr__field_by_id(field);

    return found != NULL ? found->name : NULL;
}
