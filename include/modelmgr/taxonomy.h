/* SPDX-License-Identifier: MIT */
/** @file
 * The vocabulary of model records: enumerations that are strings in storage and numbers in C.
 *
 * In every enumeration 0 is "not set", UNKNOWN is the string "unknown", and OTHER stands for a string that
 * this release does not know (a newer one wrote it); the string itself is kept and can be read from the
 * record. Numbers never change between releases.
 */
#ifndef MODELMGR_TAXONOMY_H
#define MODELMGR_TAXONOMY_H

#include "error_codes.h"
#include "types.h"

MMGR_BEGIN_DECLS

/** Which enumeration a generic call is about. */
enum mmgr_taxonomy {
    MMGR_TAXONOMY_TYPE = 1,
    MMGR_TAXONOMY_FORMAT = 2,
    MMGR_TAXONOMY_BASE = 3,
    MMGR_TAXONOMY_VARIANT = 4,
    MMGR_TAXONOMY_PREDICTION = 5,
    MMGR_TAXONOMY_REPO_VARIANT = 6,
    MMGR_TAXONOMY_SUBMODEL = 7,
    MMGR_TAXONOMY_SOURCE_TYPE = 8,
    MMGR_TAXONOMY_EXPERT = 9,
    MMGR_TAXONOMY_FORCE_32_ = MMGR_ENUM_32_BITS
};

/** Numbers that mean the same in every enumeration of the taxonomy. */
enum mmgr_term {
    MMGR_TERM_UNSET = 0,
    MMGR_TERM_UNKNOWN = 1,
    MMGR_TERM_OTHER = 2,
    MMGR_TERM_FORCE_32_ = MMGR_ENUM_32_BITS
};

/** Type of a model. */
enum mmgr_model_type {
    MMGR_TYPE_UNSET = 0,
    MMGR_TYPE_UNKNOWN = 1, /**< "unknown" */
    MMGR_TYPE_OTHER = 2,   /**< a string that this release does not know */
    MMGR_TYPE_ONNX = 10, /**< "onnx" */
    MMGR_TYPE_MAIN = 11, /**< "main" */
    MMGR_TYPE_VAE = 12, /**< "vae" */
    MMGR_TYPE_LORA = 13, /**< "lora" */
    MMGR_TYPE_CONTROLNET = 14, /**< "controlnet" */
    MMGR_TYPE_EMBEDDING = 15, /**< "embedding" */
    MMGR_TYPE_IP_ADAPTER = 16, /**< "ip_adapter" */
    MMGR_TYPE_CLIP_VISION = 17, /**< "clip_vision" */
    MMGR_TYPE_CLIP_EMBED = 18, /**< "clip_embed" */
    MMGR_TYPE_T2I_ADAPTER = 19, /**< "t2i_adapter" */
    MMGR_TYPE_T5_ENCODER = 20, /**< "t5_encoder" */
    MMGR_TYPE_SPANDREL_IMAGE_TO_IMAGE = 21, /**< "spandrel_image_to_image" */
    MMGR_TYPE_CONTROL_LORA = 22, /**< "control_lora" */
    MMGR_TYPE_QWEN3_ENCODER = 23, /**< "qwen3_encoder" */
    MMGR_TYPE_QWEN_VL_ENCODER = 24, /**< "qwen_vl_encoder" */
    MMGR_TYPE_QWEN3_VL_ENCODER = 25, /**< "qwen3_vl_encoder" */
    MMGR_TYPE_MISTRAL_ENCODER = 26, /**< "mistral_encoder" */
    MMGR_TYPE_WAN_T5_ENCODER = 27, /**< "wan_t5_encoder" */
    MMGR_TYPE_GEMMA2_ENCODER = 28, /**< "gemma2_encoder" */
    MMGR_TYPE_SIGLIP = 29, /**< "siglip" */
    MMGR_TYPE_FLUX_REDUX = 30, /**< "flux_redux" */
    MMGR_TYPE_LLAVA_ONEVISION = 31, /**< "llava_onevision" */
    MMGR_TYPE_PROMPT_ENHANCER = 32, /**< "prompt_enhancer" */
    MMGR_TYPE_TEXT_LLM = 33, /**< "text_llm" */
    MMGR_TYPE_EXTERNAL_IMAGE_GENERATOR = 34, /**< "external_image_generator" */
    MMGR_TYPE_PID_DECODER = 35, /**< "pid_decoder" */
    MMGR_TYPE_FORCE_32_ = MMGR_ENUM_32_BITS
};

/** Format of a model on disk. */
enum mmgr_model_format {
    MMGR_FORMAT_UNSET = 0,
    MMGR_FORMAT_UNKNOWN = 1, /**< "unknown" */
    MMGR_FORMAT_OTHER = 2,   /**< a string that this release does not know */
    MMGR_FORMAT_DIFFUSERS = 10, /**< "diffusers" */
    MMGR_FORMAT_CHECKPOINT = 11, /**< "checkpoint" */
    MMGR_FORMAT_LYCORIS = 12, /**< "lycoris" */
    MMGR_FORMAT_ONNX = 13, /**< "onnx" */
    MMGR_FORMAT_OLIVE = 14, /**< "olive" */
    MMGR_FORMAT_EMBEDDING_FILE = 15, /**< "embedding_file" */
    MMGR_FORMAT_EMBEDDING_FOLDER = 16, /**< "embedding_folder" */
    MMGR_FORMAT_INVOKEAI = 17, /**< "invokeai" */
    MMGR_FORMAT_T5_ENCODER = 18, /**< "t5_encoder" */
    MMGR_FORMAT_BNB_QUANTIZED_INT8B = 19, /**< "bnb_quantized_int8b" */
    MMGR_FORMAT_BNB_QUANTIZED_NF4B = 20, /**< "bnb_quantized_nf4b" */
    MMGR_FORMAT_OMI = 21, /**< "omi" */
    MMGR_FORMAT_QWEN3_ENCODER = 22, /**< "qwen3_encoder" */
    MMGR_FORMAT_QWEN_VL_ENCODER = 23, /**< "qwen_vl_encoder" */
    MMGR_FORMAT_QWEN3_VL_ENCODER = 24, /**< "qwen3_vl_encoder" */
    MMGR_FORMAT_MISTRAL_ENCODER = 25, /**< "mistral_encoder" */
    MMGR_FORMAT_WAN_T5_ENCODER = 26, /**< "wan_t5_encoder" */
    MMGR_FORMAT_GEMMA2_ENCODER = 27, /**< "gemma2_encoder" */
    MMGR_FORMAT_GGUF_QUANTIZED = 28, /**< "gguf_quantized" */
    MMGR_FORMAT_EXTERNAL_API = 29, /**< "external_api" */
    MMGR_FORMAT_SDNQ_QUANTIZED = 30, /**< "sdnq_quantized" */
    MMGR_FORMAT_TRANSFORMERS = 31, /**< "transformers" */
    MMGR_FORMAT_FORCE_32_ = MMGR_ENUM_32_BITS
};

/** Family that a model is or works with. */
enum mmgr_base_model {
    MMGR_BASE_UNSET = 0,
    MMGR_BASE_UNKNOWN = 1, /**< "unknown" */
    MMGR_BASE_OTHER = 2,   /**< a string that this release does not know */
    MMGR_BASE_ANY = 10, /**< "any" */
    MMGR_BASE_SD_1 = 11, /**< "sd-1" */
    MMGR_BASE_SD_2 = 12, /**< "sd-2" */
    MMGR_BASE_SDXL = 13, /**< "sdxl" */
    MMGR_BASE_SDXL_REFINER = 14, /**< "sdxl-refiner" */
    MMGR_BASE_FLUX = 15, /**< "flux" */
    MMGR_BASE_SD_3 = 16, /**< "sd-3" */
    MMGR_BASE_FLUX2 = 17, /**< "flux2" */
    MMGR_BASE_COGVIEW4 = 18, /**< "cogview4" */
    MMGR_BASE_Z_IMAGE = 19, /**< "z-image" */
    MMGR_BASE_ERNIE_IMAGE = 20, /**< "ernie-image" */
    MMGR_BASE_IDEOGRAM_4 = 21, /**< "ideogram-4" */
    MMGR_BASE_EXTERNAL = 22, /**< "external" */
    MMGR_BASE_QWEN_IMAGE = 23, /**< "qwen-image" */
    MMGR_BASE_ANIMA = 24, /**< "anima" */
    MMGR_BASE_KREA_2 = 25, /**< "krea-2" */
    MMGR_BASE_WAN = 26, /**< "wan" */
    MMGR_BASE_FORCE_32_ = MMGR_ENUM_32_BITS
};

/** Variant of a model within its family (one flat list). */
enum mmgr_model_variant {
    MMGR_VARIANT_UNSET = 0,
    MMGR_VARIANT_UNKNOWN = 1, /**< "unknown" */
    MMGR_VARIANT_OTHER = 2,   /**< a string that this release does not know */
    MMGR_VARIANT_NORMAL = 10, /**< "normal" */
    MMGR_VARIANT_INPAINT = 11, /**< "inpaint" */
    MMGR_VARIANT_DEPTH = 12, /**< "depth" */
    MMGR_VARIANT_LARGE = 13, /**< "large" */
    MMGR_VARIANT_GIGANTIC = 14, /**< "gigantic" */
    MMGR_VARIANT_SCHNELL = 15, /**< "schnell" */
    MMGR_VARIANT_DEV = 16, /**< "dev" */
    MMGR_VARIANT_DEV_FILL = 17, /**< "dev_fill" */
    MMGR_VARIANT_KLEIN_4B = 18, /**< "klein_4b" */
    MMGR_VARIANT_KLEIN_4B_BASE = 19, /**< "klein_4b_base" */
    MMGR_VARIANT_KLEIN_9B = 20, /**< "klein_9b" */
    MMGR_VARIANT_KLEIN_9B_BASE = 21, /**< "klein_9b_base" */
    MMGR_VARIANT_TURBO = 22, /**< "turbo" */
    MMGR_VARIANT_ZBASE = 23, /**< "zbase" */
    MMGR_VARIANT_KREA2_TURBO = 24, /**< "krea2_turbo" */
    MMGR_VARIANT_KREA2_BASE = 25, /**< "krea2_base" */
    MMGR_VARIANT_GENERATE = 26, /**< "generate" */
    MMGR_VARIANT_EDIT = 27, /**< "edit" */
    MMGR_VARIANT_T2V_A14B = 28, /**< "t2v_a14b" */
    MMGR_VARIANT_I2V_A14B = 29, /**< "i2v_a14b" */
    MMGR_VARIANT_TI2V_5B = 30, /**< "ti2v_5b" */
    MMGR_VARIANT_A14B = 31, /**< "a14b" */
    MMGR_VARIANT_5B = 32, /**< "5b" */
    MMGR_VARIANT_QWEN3_4B = 33, /**< "qwen3_4b" */
    MMGR_VARIANT_QWEN3_8B = 34, /**< "qwen3_8b" */
    MMGR_VARIANT_QWEN3_06B = 35, /**< "qwen3_06b" */
    MMGR_VARIANT_COW_MISTRAL3_SMALL = 36, /**< "cow_mistral3_small" */
    MMGR_VARIANT_MISTRAL3_24B = 37, /**< "mistral3_24b" */
    MMGR_VARIANT_RES2K_SR4X = 38, /**< "res2k_sr4x" */
    MMGR_VARIANT_RES2KTO4K_SR4X = 39, /**< "res2kto4k_sr4x" */
    MMGR_VARIANT_FORCE_32_ = MMGR_ENUM_32_BITS
};

/** What a diffusion model predicts. */
enum mmgr_prediction_type {
    MMGR_PREDICTION_UNSET = 0,
    MMGR_PREDICTION_UNKNOWN = 1, /**< "unknown" */
    MMGR_PREDICTION_OTHER = 2,   /**< a string that this release does not know */
    MMGR_PREDICTION_EPSILON = 10, /**< "epsilon" */
    MMGR_PREDICTION_V_PREDICTION = 11, /**< "v_prediction" */
    MMGR_PREDICTION_SAMPLE = 12, /**< "sample" */
    MMGR_PREDICTION_FORCE_32_ = MMGR_ENUM_32_BITS
};

/** Flavour of the files in a repository. "default" is also written "". */
enum mmgr_repo_variant {
    MMGR_REPO_VARIANT_UNSET = 0,
    MMGR_REPO_VARIANT_UNKNOWN = 1, /**< "unknown" */
    MMGR_REPO_VARIANT_OTHER = 2,   /**< a string that this release does not know */
    MMGR_REPO_VARIANT_DEFAULT = 10, /**< "default" */
    MMGR_REPO_VARIANT_FP16 = 11, /**< "fp16" */
    MMGR_REPO_VARIANT_FP32 = 12, /**< "fp32" */
    MMGR_REPO_VARIANT_ONNX = 13, /**< "onnx" */
    MMGR_REPO_VARIANT_OPENVINO = 14, /**< "openvino" */
    MMGR_REPO_VARIANT_FLAX = 15, /**< "flax" */
    MMGR_REPO_VARIANT_FORCE_32_ = MMGR_ENUM_32_BITS
};

/** Part of a pipeline. */
enum mmgr_submodel {
    MMGR_SUBMODEL_UNSET = 0,
    MMGR_SUBMODEL_UNKNOWN = 1, /**< "unknown" */
    MMGR_SUBMODEL_OTHER = 2,   /**< a string that this release does not know */
    MMGR_SUBMODEL_UNET = 10, /**< "unet" */
    MMGR_SUBMODEL_TRANSFORMER = 11, /**< "transformer" */
    MMGR_SUBMODEL_TEXT_ENCODER = 12, /**< "text_encoder" */
    MMGR_SUBMODEL_TEXT_ENCODER_2 = 13, /**< "text_encoder_2" */
    MMGR_SUBMODEL_TOKENIZER = 14, /**< "tokenizer" */
    MMGR_SUBMODEL_TOKENIZER_2 = 15, /**< "tokenizer_2" */
    MMGR_SUBMODEL_VAE = 16, /**< "vae" */
    MMGR_SUBMODEL_VAE_DECODER = 17, /**< "vae_decoder" */
    MMGR_SUBMODEL_VAE_ENCODER = 18, /**< "vae_encoder" */
    MMGR_SUBMODEL_SCHEDULER = 19, /**< "scheduler" */
    MMGR_SUBMODEL_SAFETY_CHECKER = 20, /**< "safety_checker" */
    MMGR_SUBMODEL_TRANSFORMER_2 = 21, /**< "transformer_2" */
    MMGR_SUBMODEL_TEXT_ENCODER_3 = 22, /**< "text_encoder_3" */
    MMGR_SUBMODEL_TOKENIZER_3 = 23, /**< "tokenizer_3" */
    MMGR_SUBMODEL_PE = 24, /**< "pe" */
    MMGR_SUBMODEL_PE_TOKENIZER = 25, /**< "pe_tokenizer" */
    MMGR_SUBMODEL_CONTROLNET = 26, /**< "controlnet" */
    MMGR_SUBMODEL_IMAGE_ENCODER = 27, /**< "image_encoder" */
    MMGR_SUBMODEL_FEATURE_EXTRACTOR = 28, /**< "feature_extractor" */
    MMGR_SUBMODEL_FORCE_32_ = MMGR_ENUM_32_BITS
};

/** Where a model came from. */
enum mmgr_source_type {
    MMGR_SOURCE_TYPE_UNSET = 0,
    MMGR_SOURCE_TYPE_UNKNOWN = 1, /**< "unknown" */
    MMGR_SOURCE_TYPE_OTHER = 2,   /**< a string that this release does not know */
    MMGR_SOURCE_TYPE_PATH = 10, /**< "path" */
    MMGR_SOURCE_TYPE_URL = 11, /**< "url" */
    MMGR_SOURCE_TYPE_HF_REPO_ID = 12, /**< "hf_repo_id" */
    MMGR_SOURCE_TYPE_EXTERNAL = 13, /**< "external" */
    MMGR_SOURCE_TYPE_CIVITAI = 14, /**< "civitai" */
    MMGR_SOURCE_TYPE_FORCE_32_ = MMGR_ENUM_32_BITS
};

/** Which half of a two-expert denoiser a file holds. */
enum mmgr_expert {
    MMGR_EXPERT_UNSET = 0,
    MMGR_EXPERT_UNKNOWN = 1, /**< "unknown" */
    MMGR_EXPERT_OTHER = 2,   /**< a string that this release does not know */
    MMGR_EXPERT_HIGH = 10, /**< "high": for much noise */
    MMGR_EXPERT_LOW = 11, /**< "low": for little noise */
    MMGR_EXPERT_NONE = 12, /**< "none": not divided */
    MMGR_EXPERT_FORCE_32_ = MMGR_ENUM_32_BITS
};

/**
 * String of a term, such as "sd-1" for MMGR_BASE_SD_1.
 *
 * @param taxonomy  Enumeration.
 * @param term      A number of it.
 * @return Static text, or NULL for 0 (unset), OTHER and numbers that do not exist.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API const char *mmgr_term_name(enum mmgr_taxonomy taxonomy, int32_t term);

/**
 * Number of a string.
 *
 * @param taxonomy  Enumeration.
 * @param name      String, or NULL.
 * @return The term; 0 for NULL and "" (but "" is MMGR_REPO_VARIANT_DEFAULT among the repo variants);
 *   MMGR_TERM_OTHER for a string that this release does not know.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API int32_t mmgr_term_parse(enum mmgr_taxonomy taxonomy, const char *name);

MMGR_END_DECLS
#endif
