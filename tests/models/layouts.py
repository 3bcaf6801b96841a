# SPDX-License-Identifier: MIT
"""Layouts that no class of the libraries writes, derived from the structures of those that do.

Single-file checkpoints of Stable Diffusion and FLUX, kohya and diffusers LoRAs, IP adapters,
textual inversions. Structures here are {name: [dtype, shape]}. generate_structures.py checks the
mappings by converting the result back with the converters of diffusers.
"""

import re

RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection"
}
UNET_TOP = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.attentions.0": "middle_block.1",
    "controlnet_mid_block": "middle_block_out.0",
    "controlnet_cond_embedding.conv_in": "input_hint_block.0",
    "controlnet_cond_embedding.conv_out": "input_hint_block.14",
}


def unet_name(name, layers=2, attention_ups=()):
    """The LDM name of a UNet or ControlNet tensor. attention_ups: up blocks with attentions."""
    for ours, theirs in UNET_TOP.items():
        if name.startswith(ours + "."):
            return theirs + name[len(ours):]
    step = layers + 1
    if m := re.match(r"mid_block\.resnets\.(\d)\.(\w+)\.(.*)", name):
        return f"middle_block.{2 * int(m[1])}.{RESNET[m[2]]}.{m[3]}"
    if m := re.match(r"(down|up)_blocks\.(\d)\.(resnets|attentions)\.(\d)\.(.*)", name):
        index = int(m[2]) * step + int(m[4]) + (1 if m[1] == "down" else 0)
        side = "input_blocks" if m[1] == "down" else "output_blocks"
        if m[3] == "attentions":
            return f"{side}.{index}.1.{m[5]}"
        part, rest = m[5].split(".", 1)
        return f"{side}.{index}.0.{RESNET[part]}.{rest}"
    if m := re.match(r"down_blocks\.(\d)\.downsamplers\.0\.conv\.(.*)", name):
        return f"input_blocks.{int(m[1]) * step + step}.0.op.{m[2]}"
    if m := re.match(r"up_blocks\.(\d)\.upsamplers\.0\.conv\.(.*)", name):
        place = 2 if int(m[1]) in attention_ups else 1
        return f"output_blocks.{int(m[1]) * step + layers}.{place}.conv.{m[2]}"
    if m := re.match(r"controlnet_down_blocks\.(\d+)\.(.*)", name):
        return f"zero_convs.{m[1]}.0.{m[2]}"
    if m := re.match(r"controlnet_cond_embedding\.blocks\.(\d)\.(.*)", name):
        return f"input_hint_block.{2 * int(m[1]) + 2}.{m[2]}"
    raise ValueError(name)


def ldm_unet(tensors):
    ups = {int(m[1]) for k in tensors if (m := re.match(r"up_blocks\.(\d)\.attentions", k))}
    return {unet_name(k, 2, ups): v for k, v in tensors.items()}


VAE_MID = {
    "mid_block.resnets.0": "mid.block_1", "mid_block.resnets.1": "mid.block_2",
    "mid_block.attentions.0.group_norm": "mid.attn_1.norm",
    "mid_block.attentions.0.to_q": "mid.attn_1.q", "mid_block.attentions.0.to_k": "mid.attn_1.k",
    "mid_block.attentions.0.to_v": "mid.attn_1.v",
    "mid_block.attentions.0.to_out.0": "mid.attn_1.proj_out", "conv_norm_out": "norm_out"
}


def ldm_vae(tensors):
    out = {}
    for name, (dtype, shape) in tensors.items():
        new = name
        for ours, theirs in VAE_MID.items():
            new = new.replace("." + ours + ".", "." + theirs + ".")
        new = re.sub(r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", new)
        new = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", new)
        new = re.sub(r"up_blocks\.(\d)\.resnets\.(\d)",
                     lambda m: f"up.{3 - int(m[1])}.block.{m[2]}", new)
        new = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{3 - int(m[1])}.upsample",
                     new)
        new = new.replace("conv_shortcut", "nin_shortcut")
        # The attention's linear layers are 1x1 convolutions here.
        if ".mid.attn_1." in new and len(shape) == 2:
            shape = shape + [1, 1]
        out[new] = [dtype, shape]
    return out


def hf_clip(tensors):
    # Checkpoints of that time also hold the position buffer, which newer classes no longer save.
    return {"text_model.embeddings.position_ids": ["I64", [1, 77]]} | tensors


OPEN_CLIP = {
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj"
}


def open_clip(tensors, layers):
    """OpenCLIP's names of a text model; `layers` may be one more than the model keeps."""
    width = tensors["text_model.embeddings.token_embedding.weight"][1][1]
    out = {
        "logit_scale": ["F32", []], "text_projection": ["F32", [width, width]],
        "positional_embedding": tensors["text_model.embeddings.position_embedding.weight"],
        "token_embedding.weight": tensors["text_model.embeddings.token_embedding.weight"]
    }
    for part in ("weight", "bias"):
        out[f"ln_final.{part}"] = tensors[f"text_model.final_layer_norm.{part}"]
        for layer in range(layers):
            to = f"transformer.resblocks.{layer}."
            # All layers are alike, so the first one gives the shapes.
            source = "text_model.encoder.layers.0."
            for ours, theirs in OPEN_CLIP.items():
                out[f"{to}{theirs}.{part}"] = tensors[f"{source}{ours}.{part}"]
            shape = tensors[f"{source}self_attn.q_proj.{part}"][1]
            out[f"{to}attn.in_proj_{part}"] = ["F32", [3 * shape[0], *shape[1:]]]
    return out


def prefixed(prefix, tensors):
    return {prefix + k: v for k, v in tensors.items()}


SCHEDULE = [
    "betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod", "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod", "posterior_variance", "posterior_log_variance_clipped",
    "posterior_mean_coef1", "posterior_mean_coef2"
]


def ldm_checkpoint(unet, vae, text):
    schedule = {name: ["F32", [1000]]
                for name in SCHEDULE} if "cond_stage_model" in next(iter(text)) else {}
    return schedule | prefixed("model.diffusion_model.", ldm_unet(unet)) \
        | prefixed("first_stage_model.", ldm_vae(vae)) | text


FLUX_TOP = {
    "time_text_embed.timestep_embedder.linear_1": "time_in.in_layer",
    "time_text_embed.timestep_embedder.linear_2": "time_in.out_layer",
    "time_text_embed.text_embedder.linear_1": "vector_in.in_layer",
    "time_text_embed.text_embedder.linear_2": "vector_in.out_layer",
    "time_text_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
    "time_text_embed.guidance_embedder.linear_2": "guidance_in.out_layer",
    "context_embedder": "txt_in",
    "x_embedder": "img_in",
    "proj_out": "final_layer.linear",
    "norm_out.linear": "final_layer.adaLN_modulation.1",
}
FLUX_DOUBLE = {
    "norm1.linear": "img_mod.lin",
    "norm1_context.linear": "txt_mod.lin",
    "attn.to_q": "img_attn.qkv",
    "attn.to_k": "img_attn.qkv",
    "attn.to_v": "img_attn.qkv",
    "attn.add_q_proj": "txt_attn.qkv",
    "attn.add_k_proj": "txt_attn.qkv",
    "attn.add_v_proj": "txt_attn.qkv",
    "ff.net.0.proj": "img_mlp.0",
    "ff.net.2": "img_mlp.2",
    "ff_context.net.0.proj": "txt_mlp.0",
    "ff_context.net.2": "txt_mlp.2",
    "attn.norm_q": "img_attn.norm.query_norm",
    "attn.norm_k": "img_attn.norm.key_norm",
    "attn.norm_added_q": "txt_attn.norm.query_norm",
    "attn.norm_added_k": "txt_attn.norm.key_norm",
    "attn.to_out.0": "img_attn.proj",
    "attn.to_add_out": "txt_attn.proj",
}
FLUX_SINGLE = {
    "norm.linear": "modulation.lin",
    "attn.to_q": "linear1",
    "attn.to_k": "linear1",
    "attn.to_v": "linear1",
    "proj_mlp": "linear1",
    "proj_out": "linear2",
    "attn.norm_q": "norm.query_norm",
    "attn.norm_k": "norm.key_norm",
}


def flux_name(name):
    base, part = name.rsplit(".", 1)
    if m := re.match(r"(single_)?transformer_blocks\.(\d+)\.(.*)", base):
        kind, table = ("single_blocks", FLUX_SINGLE) if m[1] else ("double_blocks", FLUX_DOUBLE)
        new = f"{kind}.{m[2]}.{table[m[3]]}"
        return f"{new}.scale" if new.endswith(("query_norm", "key_norm")) else f"{new}.{part}"
    return f"{FLUX_TOP[base]}.{part}"


def bfl_flux(tensors):
    """The original FLUX files: query, key, value (and a single block's MLP) are one tensor."""
    out = {}
    for name, (dtype, shape) in tensors.items():
        new = flux_name(name)
        merged = out[new][1][0] + shape[0] if new in out else shape[0]
        out[new] = [dtype, [merged, *shape[1:]]]
    return out


def lora_modules(tensors, attention_only=False):
    """The layers that trainers wrap: (module, in, out, is a 1x1 convolution)."""
    pattern = r"(.*\.attentions\.\d+\..*)\.weight$" if not attention_only else \
        r"(.*\.attn[12]\.to_(?:q|k|v|out\.0))\.weight$"
    for name, (_, shape) in tensors.items():
        if (m := re.match(pattern, name)) and len(shape) in (2, 4):
            yield m[1], shape[1], shape[0], len(shape) == 4


def kohya_pair(out, name, rank, inner, outer, conv=False):
    tail = [1, 1] if conv else []
    out[f"{name}.alpha"] = ["F32", []]
    out[f"{name}.lora_down.weight"] = ["F32", [rank, inner, *tail]]
    out[f"{name}.lora_up.weight"] = ["F32", [outer, rank, *tail]]


def kohya_lora(unet, text_encoders, rank, ldm_names=False):
    """text_encoders: {"lora_te": tensors} or {"lora_te1": ..., "lora_te2": ...}."""
    out = {}
    for prefix, tensors in text_encoders.items():
        for name, (_, shape) in tensors.items():
            if m := re.match(r"(text_model\.encoder\.layers\..*(?:_proj|fc[12]))\.weight$", name):
                kohya_pair(out, f"{prefix}_{m[1].replace('.', '_')}", rank, shape[1], shape[0])
    for module, inner, outer, conv in lora_modules(unet):
        # SDXL's trainer works on the original UNet, and its names are the original ones.
        module = unet_name(module + ".weight").removesuffix(".weight") if ldm_names else module
        kohya_pair(out, "lora_unet_" + module.replace(".", "_"), rank, inner, outer, conv)
    return out


def diffusers_lora(unet, rank):
    out = {}
    for module, inner, outer, _ in lora_modules(unet, attention_only=True):
        out[f"unet.{module}.lora.down.weight"] = ["F32", [rank, inner]]
        out[f"unet.{module}.lora.up.weight"] = ["F32", [outer, rank]]
    return out


def ip_adapter(model, tensors, clip_width, tokens=4):
    """A key and a value layer for each cross attention, numbered among all attention layers."""
    cross = model.config.cross_attention_dim
    out = {
        "image_proj.proj.weight": ["F32", [tokens * cross, clip_width]],
        "image_proj.proj.bias": ["F32", [tokens * cross]],
        "image_proj.norm.weight": ["F32", [cross]], "image_proj.norm.bias": ["F32", [cross]]
    }
    for number, processor in enumerate(model.attn_processors):
        layer = processor.removesuffix(".processor")
        if layer.endswith(".attn2"):
            shape = tensors[f"{layer}.to_k.weight"][1]
            for part in ("k", "v"):
                out[f"ip_adapter.{number}.to_{part}_ip.weight"] = ["F32", shape]
    return out


XL_SPEC = {
    "modelspec.sai_model_spec": "1.0.0", "modelspec.resolution": "1024x1024",
    "modelspec.architecture": "stable-diffusion-xl-v1-base"
}


def kohya_metadata(version, rank, v2="False"):
    return {
        "ss_network_module": "networks.lora", "ss_network_dim": str(rank),
        "ss_network_alpha": str(rank // 2), "ss_base_model_version": version, "ss_v2": v2
    }


def derive(built):
    """Yields (id, {"source", "metadata", "tensors"}) for every derived layout."""
    t = {name: record["tensors"] for name, (record, _) in built.items()}
    pt = {"format": "pt"}

    def row(sources, tensors, metadata=None):
        return {"source": sources, "metadata": metadata, "tensors": tensors}

    sd1 = prefixed("cond_stage_model.transformer.", hf_clip(t["sd-1-text_encoder"]))
    sd2 = prefixed("cond_stage_model.model.", open_clip(t["sd-2-text_encoder"], 24))
    big = open_clip(t["sdxl-text_encoder_2"], 32)
    xl = prefixed("conditioner.embedders.0.transformer.", hf_clip(t["sdxl-text_encoder"])) \
        | prefixed("conditioner.embedders.1.model.", big)
    refiner = prefixed("conditioner.embedders.0.model.", big)
    for family, vae, text, metadata in [("sd-1", "sd-1-vae", sd1, pt),
                                        ("sd-1-inpaint", "sd-1-vae", sd1, pt),
                                        ("sd-2", "sd-2-vae", sd2, pt),
                                        ("sd-2-inpaint", "sd-2-vae", sd2, pt),
                                        ("sd-2-depth", "sd-2-vae", sd2, pt),
                                        ("sdxl", "sdxl-vae", xl, XL_SPEC),
                                        ("sdxl-inpaint", "sdxl-vae", xl, pt),
                                        ("sdxl-refiner", "sdxl-vae", refiner, pt)]:
        unet = f"{family}-unet"
        yield f"ldm-{family}", row([unet, vae], ldm_checkpoint(t[unet], t[vae], text), metadata)
    for family in ("flux-dev", "flux-schnell", "flux-fill"):
        yield f"bfl-{family}", row([f"{family}-transformer"], bfl_flux(t[f"{family}-transformer"]))
    for name, vae in [("ldm-vae-sd-1", "sd-1-vae"), ("ldm-vae-sdxl", "sdxl-vae"),
                      ("bfl-vae-flux", "flux-vae")]:
        yield name, row([vae], ldm_vae(t[vae]))
    for family in ("sd-1", "sd-2"):
        source = f"controlnet-{family}"
        yield f"ldm-{source}", row([source], prefixed("control_model.", ldm_unet(t[source])))
    for family, width in [("sd-1", 1024), ("sdxl", 1280)]:
        record, model = built[f"{family}-unet"]
        yield f"ip-adapter-{family}", row([record["id"]], ip_adapter(model, record["tensors"],
                                                                     width))
    yield "lora-kohya-sd-1", row(["sd-1-unet", "sd-1-text_encoder"],
                                 kohya_lora(t["sd-1-unet"], {"lora_te": t["sd-1-text_encoder"]},
                                            32), kohya_metadata("sd_v1", 32))
    yield "lora-kohya-sd-2", row(["sd-2-unet", "sd-2-text_encoder"],
                                 kohya_lora(t["sd-2-unet"], {"lora_te": t["sd-2-text_encoder"]},
                                            32), kohya_metadata("sd_v2_v", 32, "True"))
    encoders = {"lora_te1": t["sdxl-text_encoder"], "lora_te2": t["sdxl-text_encoder_2"]}
    yield "lora-kohya-sdxl", row(["sdxl-unet", "sdxl-text_encoder", "sdxl-text_encoder_2"],
                                 kohya_lora(t["sdxl-unet"], encoders, 16, True),
                                 kohya_metadata("sdxl_base_v1-0", 16))
    for family in ("sd-1", "sdxl"):
        yield f"lora-diffusers-{family}", row([f"{family}-unet"],
                                              diffusers_lora(t[f"{family}-unet"], 4), pt)
    yield "embedding-sd-1", row([], {"emb_params": ["F32", [5, 768]]})
    yield "embedding-sd-2", row([], {"emb_params": ["F32", [5, 1024]]})
    yield "embedding-sdxl", row([], {"clip_g": ["F32", [5, 1280]], "clip_l": ["F32", [5, 768]]})
    yield "embedding-diffusers-sd-1", row([], {"<a-new-word>": ["F32", [768]]}, pt)
