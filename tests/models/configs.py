# SPDX-License-Identifier: MIT
"""The configurations from which generate_structures.py builds real classes.

The published ones of each family, and tiny legal ones that keep the numbers by which a family
is recognised.
"""

DOWN4 = ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"]
UP4 = ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3
XL_DOWN = ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"]
XL_UP = ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"]
REFINER_DOWN = ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"]
REFINER_UP = ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"]

UNET_COMMON = {
    "act_fn": "silu",
    "center_input_sample": False,
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-05,
    "norm_num_groups": 32,
    "out_channels": 4,
    "in_channels": 4,
}
SD1_UNET = UNET_COMMON | {
    "attention_head_dim": 8,
    "block_out_channels": [320, 640, 1280, 1280],
    "cross_attention_dim": 768,
    "down_block_types": DOWN4,
    "up_block_types": UP4,
    "sample_size": 64,
}
SD2_UNET = UNET_COMMON | {
    "attention_head_dim": [5, 10, 20, 20],
    "block_out_channels": [320, 640, 1280, 1280],
    "cross_attention_dim": 1024,
    "down_block_types": DOWN4,
    "up_block_types": UP4,
    "sample_size": 96,
    "use_linear_projection": True,
    "upcast_attention": True,
}
SDXL_UNET = UNET_COMMON | {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "attention_head_dim": [5, 10, 20],
    "block_out_channels": [320, 640, 1280],
    "cross_attention_dim": 2048,
    "down_block_types": XL_DOWN,
    "up_block_types": XL_UP,
    "projection_class_embeddings_input_dim": 2816,
    "sample_size": 128,
    "transformer_layers_per_block": [1, 2, 10],
    "use_linear_projection": True,
}
REFINER_UNET = UNET_COMMON | {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "attention_head_dim": [6, 12, 24, 24],
    "block_out_channels": [384, 768, 1536, 1536],
    "cross_attention_dim": 1280,
    "down_block_types": REFINER_DOWN,
    "up_block_types": REFINER_UP,
    "projection_class_embeddings_input_dim": 2560,
    "sample_size": 128,
    "transformer_layers_per_block": 4,
    "use_linear_projection": True,
}

VAE_SD1 = {
    "act_fn": "silu",
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 2,
    "norm_num_groups": 32,
    "sample_size": 512,
    "scaling_factor": 0.18215,
}
VAE_SDXL = VAE_SD1 | {"sample_size": 1024, "scaling_factor": 0.13025, "force_upcast": True}
VAE_FLUX = VAE_SD1 | {
    "sample_size": 1024,
    "scaling_factor": 0.3611,
    "shift_factor": 0.1159,
    "latent_channels": 16,
    "force_upcast": True,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}

CLIP_COMMON = {
    "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1, "max_position_embeddings": 77,
    "layer_norm_eps": 1e-05, "vocab_size": 49408
}
CLIP_L = CLIP_COMMON | {
    "hidden_act": "quick_gelu", "hidden_size": 768, "intermediate_size": 3072,
    "num_attention_heads": 12, "num_hidden_layers": 12, "projection_dim": 768
}
CLIP_H23 = CLIP_COMMON | {
    "hidden_act": "gelu", "hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16,
    "num_hidden_layers": 23, "projection_dim": 512
}
CLIP_G = CLIP_COMMON | {
    "hidden_act": "gelu", "hidden_size": 1280, "intermediate_size": 5120, "num_attention_heads": 20,
    "num_hidden_layers": 32, "projection_dim": 1280
}
VISION_H = {
    "hidden_act": "gelu", "hidden_size": 1280, "image_size": 224, "intermediate_size": 5120,
    "num_attention_heads": 16, "num_hidden_layers": 32, "patch_size": 14, "projection_dim": 1024
}
VISION_G = VISION_H | {
    "hidden_size": 1664, "intermediate_size": 8192, "num_hidden_layers": 48, "projection_dim": 1280
}
T5_XXL = {
    "d_ff": 10240, "d_kv": 64, "d_model": 4096, "feed_forward_proj": "gated-gelu", "num_heads": 64,
    "num_layers": 24, "vocab_size": 32128, "tie_word_embeddings": False, "is_encoder_decoder": True
}

# The depth estimator of SD 2 depth: a ViT on top of a BiT stem.
DPT_HYBRID = {
    "is_hybrid": True,
    "neck_hidden_sizes": [256, 512, 768, 768],
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "image_size": 384,
}
TINY_DPT = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "image_size": 64,
    "backbone_out_indices": [0, 1, 2, 3],
    "neck_hidden_sizes": [16, 16, 16, 16],
    "fusion_hidden_size": 16,
}

FLUX_DEV = {
    "attention_head_dim": 128,
    "guidance_embeds": True,
    "in_channels": 64,
    "joint_attention_dim": 4096,
    "num_attention_heads": 24,
    "num_layers": 19,
    "num_single_layers": 38,
    "patch_size": 1,
    "pooled_projection_dim": 768,
}

CONTROLNET_EXTRA = {
    "conditioning_embedding_out_channels": [16, 32, 96, 256],
    "controlnet_conditioning_channel_order": "rgb"
}


def controlnet(unet):
    """A ControlNet's config is its UNet's without the up path."""
    drop = {"center_input_sample", "out_channels", "sample_size", "up_block_types"}
    return {k: v for k, v in unet.items() if k not in drop} | CONTROLNET_EXTRA


TINY_UNET = {"block_out_channels": [32, 64, 64, 64], "layers_per_block": 1, "norm_num_groups": 16}
TINY_XL = {
    "addition_time_embed_dim": 8, "block_out_channels": [32, 64, 64], "layers_per_block": 1,
    "norm_num_groups": 16, "attention_head_dim": [2, 4,
                                                  4], "transformer_layers_per_block": [1, 1, 2]
}
TINY_VAE = {"block_out_channels": [32, 32, 64, 64], "layers_per_block": 1, "norm_num_groups": 16}
TINY_CLIP = {
    "vocab_size": 514, "bos_token_id": 512, "eos_token_id": 513, "pad_token_id": 513,
    "intermediate_size": 64, "num_hidden_layers": 1
}
TINY_T5 = {"d_ff": 64, "d_kv": 8, "d_model": 32, "num_heads": 4, "num_layers": 2, "vocab_size": 384}
TINY_FLUX = {
    "attention_head_dim": 16, "num_attention_heads": 4, "joint_attention_dim": 32, "num_layers": 2,
    "num_single_layers": 4, "pooled_projection_dim": 64, "axes_dims_rope": [4, 4, 8]
}


def tiny_clip(base, hidden, heads=4):
    # The projection keeps pace with the width, so that pooled sizes add up in the UNet.
    return base | TINY_CLIP | {
        "hidden_size": hidden, "num_attention_heads": heads, "projection_dim": hidden
    }


UNET, VAE, TAESD = "UNet2DConditionModel", "AutoencoderKL", "AutoencoderTiny"
CNET, T2I, FLUX = "ControlNetModel", "T2IAdapter", "FluxTransformer2DModel"
CLIP, CLIPP = "CLIPTextModel", "CLIPTextModelWithProjection"
VIS, T5 = "CLIPVisionModelWithProjection", "T5EncoderModel"
DPT = "DPTForDepthEstimation"

# Structure id: (class, config). CLIP*, T5* and DPT are of transformers, the others of diffusers.
MODELS = {
    "sd-1-unet": (UNET, SD1_UNET),
    "sd-1-inpaint-unet": (UNET, SD1_UNET | {"in_channels": 9}),
    "sd-2-unet": (UNET, SD2_UNET),
    "sd-2-base-unet": (UNET, SD2_UNET | {"sample_size": 64, "upcast_attention": False}),
    "sd-2-inpaint-unet": (UNET, SD2_UNET
                          | {"in_channels": 9, "sample_size": 64, "upcast_attention": False}),
    "sd-2-depth-unet": (UNET, SD2_UNET
                        | {"in_channels": 5, "sample_size": 64, "upcast_attention": False}),
    "sdxl-unet": (UNET, SDXL_UNET),
    "sdxl-inpaint-unet": (UNET, SDXL_UNET | {"in_channels": 9}),
    "sdxl-refiner-unet": (UNET, REFINER_UNET),
    "sd-1-vae": (VAE, VAE_SD1),
    "sd-2-vae": (VAE, VAE_SD1 | {"sample_size": 768}),
    "sdxl-vae": (VAE, VAE_SDXL),
    "flux-vae": (VAE, VAE_FLUX),
    "vae-tiny-sd": (TAESD, {}),
    "sd-1-text_encoder": (CLIP, CLIP_L),
    "sd-2-depth_estimator": (DPT, DPT_HYBRID),
    "sd-2-text_encoder": (CLIP, CLIP_H23),
    "sdxl-text_encoder": (CLIP, CLIP_L),
    "sdxl-text_encoder_2": (CLIPP, CLIP_G),
    "sdxl-refiner-text_encoder_2": (CLIPP, CLIP_G),
    "clip-embed-large": (CLIP, CLIP_L),
    "clip-vision-h": (VIS, VISION_H),
    "clip-vision-g": (VIS, VISION_G),
    "t5-xxl": (T5, T5_XXL),
    "flux-dev-transformer": (FLUX, FLUX_DEV),
    "flux-schnell-transformer": (FLUX, FLUX_DEV | {"guidance_embeds": False}),
    "flux-fill-transformer": (FLUX, FLUX_DEV | {"in_channels": 384, "out_channels": 64}),
    "controlnet-sd-1": (CNET, controlnet(SD1_UNET)),
    "controlnet-sd-2": (CNET, controlnet(SD2_UNET)),
    "controlnet-sdxl": (CNET, controlnet(SDXL_UNET)),
    "t2i-sd-1": (T2I, {
        "adapter_type": "full_adapter", "channels": [320, 640, 1280, 1280], "downscale_factor": 8,
        "in_channels": 3, "num_res_blocks": 2
    }),
    "t2i-sdxl": (T2I, {
        "adapter_type": "full_adapter_xl", "channels": [320, 640, 1280, 1280],
        "downscale_factor": 16, "in_channels": 3, "num_res_blocks": 2
    }),
    # Tiny: small on purpose, but cross_attention_dim and in_channels are the family's.
    "tiny-sd-1-unet": (UNET, SD1_UNET | TINY_UNET),
    "tiny-sd-1-inpaint-unet": (UNET, SD1_UNET | TINY_UNET | {"in_channels": 9}),
    "tiny-sd-2-unet": (UNET, SD2_UNET | TINY_UNET | {"attention_head_dim": [2, 4, 4, 4]}),
    "tiny-sd-2-base-unet": (
        UNET, SD2_UNET | TINY_UNET
        | {"attention_head_dim": [2, 4, 4, 4], "sample_size": 64, "upcast_attention": False}),
    "tiny-sd-2-inpaint-unet": (UNET, SD2_UNET | TINY_UNET | {
        "attention_head_dim": [2, 4, 4, 4], "in_channels": 9, "sample_size": 64,
        "upcast_attention": False
    }),
    "tiny-sd-2-depth-unet": (UNET, SD2_UNET | TINY_UNET | {
        "attention_head_dim": [2, 4, 4, 4], "in_channels": 5, "sample_size": 64,
        "upcast_attention": False
    }),
    "tiny-sdxl-unet": (UNET, SDXL_UNET | TINY_XL
                       | {"projection_class_embeddings_input_dim": 128 + 6 * 8}),
    "tiny-sdxl-inpaint-unet": (
        UNET, SDXL_UNET | TINY_XL
        | {"in_channels": 9, "projection_class_embeddings_input_dim": 128 + 6 * 8}),
    "tiny-sdxl-refiner-unet": (UNET, REFINER_UNET | TINY_XL | {
        "block_out_channels": [32, 64, 64, 64], "attention_head_dim": [2, 4, 4, 4],
        "transformer_layers_per_block": 1, "projection_class_embeddings_input_dim": 128 + 5 * 8
    }),
    "tiny-sd-1-vae": (VAE, VAE_SD1 | TINY_VAE),
    "tiny-sd-2-vae": (VAE, VAE_SD1 | TINY_VAE | {"sample_size": 768}),
    "tiny-sdxl-vae": (VAE, VAE_SDXL | TINY_VAE),
    "tiny-flux-vae": (VAE, VAE_FLUX | TINY_VAE),
    "tiny-sd-2-depth_estimator": (DPT, TINY_DPT),
    "tiny-sd-1-text_encoder": (CLIP, tiny_clip(CLIP_L, 768, 12)),
    "tiny-sd-2-text_encoder": (CLIP, tiny_clip(CLIP_H23, 1024, 16)),
    "tiny-sdxl-text_encoder": (CLIP, tiny_clip(CLIP_L, 64)),
    "tiny-sdxl-text_encoder_2": (CLIPP, tiny_clip(CLIP_G, 128)),
    "tiny-sdxl-refiner-text_encoder_2": (CLIPP, tiny_clip(CLIP_G, 128)),
    "tiny-flux-text_encoder": (CLIP, tiny_clip(CLIP_L, 64)),
    "tiny-flux-text_encoder_2": (T5, T5_XXL | TINY_T5),
    "tiny-flux-dev-transformer": (FLUX, FLUX_DEV | TINY_FLUX),
    "tiny-flux-schnell-transformer": (FLUX, FLUX_DEV | TINY_FLUX | {"guidance_embeds": False}),
    "tiny-flux-fill-transformer": (FLUX,
                                   FLUX_DEV | TINY_FLUX | {"in_channels": 384, "out_channels": 64}),
}
