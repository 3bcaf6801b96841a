# SPDX-License-Identifier: MIT
"""Whole diffusers folders: model_index.json, scheduler, tokenizers and the submodels."""

import gzip
import json
import os
import struct

import stfile

HERE = os.path.dirname(os.path.abspath(__file__))

# A variant as the hub has it: the infix of the file names, and the type of the floating tensors.
VARIANTS = {
    "default": ("", "F32"), "fp32": ("fp32", "F32"), "fp16": ("fp16", "F16"),
    "bf16": ("bf16", "BF16")
}

SCHEDULER_BASE = {
    "beta_end": 0.012, "beta_schedule": "scaled_linear", "beta_start": 0.00085,
    "num_train_timesteps": 1000, "set_alpha_to_one": False, "skip_prk_steps": True,
    "steps_offset": 1, "trained_betas": None, "clip_sample": False
}
# The first release of SD 1 has no prediction_type in its scheduler; its absence means epsilon.
PNDM = {"_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0"} | SCHEDULER_BASE
PNDM_EPS = PNDM | {"_diffusers_version": "0.8.0", "prediction_type": "epsilon"}
PNDM_V = PNDM | {"_diffusers_version": "0.8.0", "prediction_type": "v_prediction"}
EULER = {"_class_name": "EulerDiscreteScheduler", "_diffusers_version": "0.19.0.dev0"
         } | SCHEDULER_BASE | {
             "interpolation_type": "linear", "prediction_type": "epsilon", "sample_max_value": 1.0,
             "timestep_spacing": "leading", "use_karras_sigmas": False
         }
FLOW = {
    "_class_name": "FlowMatchEulerDiscreteScheduler", "_diffusers_version": "0.30.0.dev0",
    "base_image_seq_len": 256, "base_shift": 0.5, "max_image_seq_len": 4096, "max_shift": 1.15,
    "num_train_timesteps": 1000, "shift": 3.0, "use_dynamic_shifting": True
}
FLOW_SCHNELL = FLOW | {"shift": 1.0, "use_dynamic_shifting": False}

CLIP, CLIPP = "CLIPTextModel", "CLIPTextModelWithProjection"
PREPROCESSOR = {
    "crop_size": 224,
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "size": 224,
}
# The depth estimator's image processor, which stands in the feature extractor's place.
DPT_PREPROCESSOR = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "ensure_multiple_of": 1,
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "DPTImageProcessor",
    "image_std": [0.5, 0.5, 0.5],
    "keep_aspect_ratio": False,
    "resample": 2,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": 384, "width": 384},
}
PREPROCESSORS = {"CLIPImageProcessor": PREPROCESSOR, "DPTImageProcessor": DPT_PREPROCESSOR}


def sd(cls, base, unet, scheduler, **more):
    return {
        "class": cls,
        "scheduler": scheduler,
        "extra": {"requires_safety_checker": False},
        "models": {"text_encoder": f"{base}-text_encoder", "unet": unet, "vae": f"{base}-vae"},
        "clip_tokenizers": ["tokenizer"],
        "feature_extractor": "CLIPImageProcessor",
        "absent": ["safety_checker"],
    } | more


def sdxl(cls, unet, **more):
    return {
        "class": cls,
        "scheduler": EULER,
        "extra": {"force_zeros_for_empty_prompt": True},
        "models": {
            "text_encoder": "sdxl-text_encoder", "text_encoder_2": "sdxl-text_encoder_2",
            "unet": unet, "vae": "sdxl-vae"
        },
        "clip_tokenizers": ["tokenizer", "tokenizer_2"],
    } | more


def flux(cls, transformer, scheduler=FLOW):
    return {
        "class": cls,
        "scheduler": scheduler,
        "clip_tokenizers": ["tokenizer"],
        "t5_tokenizers": ["tokenizer_2"],
        "models": {
            "text_encoder": "flux-text_encoder", "text_encoder_2": "flux-text_encoder_2",
            "transformer": transformer, "vae": "flux-vae"
        },
    }


PIPELINES = {
    "sd-1": sd("StableDiffusionPipeline", "sd-1", "sd-1-unet", PNDM),
    "sd-1-inpaint": sd("StableDiffusionInpaintPipeline", "sd-1", "sd-1-inpaint-unet", PNDM),
    "sd-2": sd("StableDiffusionPipeline", "sd-2", "sd-2-unet", PNDM_V),
    "sd-2-base": sd("StableDiffusionPipeline", "sd-2", "sd-2-base-unet", PNDM_EPS),
    "sd-2-inpaint": sd("StableDiffusionInpaintPipeline", "sd-2", "sd-2-inpaint-unet", PNDM_EPS),
    "sd-2-depth": sd("StableDiffusionDepth2ImgPipeline",
                     "sd-2",
                     "sd-2-depth-unet",
                     PNDM_EPS,
                     extra={},
                     absent=[],
                     feature_extractor="DPTImageProcessor",
                     models={
                         "depth_estimator": "sd-2-depth_estimator",
                         "text_encoder": "sd-2-text_encoder",
                         "unet": "sd-2-depth-unet",
                         "vae": "sd-2-vae"
                     }),
    "sdxl": sdxl("StableDiffusionXLPipeline", "sdxl-unet"),
    "sdxl-inpaint": sdxl("StableDiffusionXLInpaintPipeline", "sdxl-inpaint-unet"),
    "sdxl-refiner": sdxl(
        "StableDiffusionXLImg2ImgPipeline",
        "sdxl-refiner-unet",
        absent=["text_encoder", "tokenizer"],
        extra={"force_zeros_for_empty_prompt": False, "requires_aesthetics_score": True},
        models={
            "text_encoder_2": "sdxl-refiner-text_encoder_2", "unet": "sdxl-refiner-unet",
            "vae": "sdxl-vae"
        },
        clip_tokenizers=["tokenizer_2"]),
    "flux-dev": flux("FluxPipeline", "flux-dev-transformer"),
    "flux-schnell": flux("FluxPipeline", "flux-schnell-transformer", FLOW_SCHNELL),
    "flux-fill": flux("FluxFillPipeline", "flux-fill-transformer"),
}
# Full-size structures that go by another name because several families share them.
FULL_ALIASES = {"flux-text_encoder": "clip-embed-large", "flux-text_encoder_2": "t5-xxl"}


def load_structure(name):
    with gzip.open(os.path.join(HERE, "structures", name + ".json.gz"), "rt",
                   encoding="utf-8") as file:
        return json.load(file)


def as_dtype(tensors, dtype):
    """The float tensors in another float type; integers keep theirs, as in the hub's fp16 files."""
    return {k: (dtype if v[0] == "F32" else v[0], v[1]) for k, v in tensors.items()}


def write_json(path, value):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2, ensure_ascii=False)
        file.write("\n")


def byte_letters():
    """CLIP's alphabet of bytes: printable Latin-1 stands for itself, the rest is above U+0100."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = [b for b in range(256) if b not in plain]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(len(moved))]


def write_clip_tokenizer(folder):
    """A legal CLIP tokenizer without merges: each byte, each byte ending a word, two marks."""
    letters = byte_letters()
    tokens = letters + [c + "</w>" for c in letters] + ["<|startoftext|>", "<|endoftext|>"]
    write_json(os.path.join(folder, "vocab.json"), {token: i for i, token in enumerate(tokens)})
    with open(os.path.join(folder, "merges.txt"), "w", encoding="utf-8") as file:
        file.write("#version: 0.2\n")
    marks = {
        "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>"
    }
    write_json(os.path.join(folder, "special_tokens_map.json"), marks)
    write_json(
        os.path.join(folder, "tokenizer_config.json"), marks | {
            "add_prefix_space": False, "do_lower_case": True, "errors": "replace",
            "model_max_length": 77, "tokenizer_class": "CLIPTokenizer"
        })


def sentencepiece_model(pieces):
    """SentencePiece's protobuf: field 1 repeats {1: piece, 2: score, 3: type}, 2 is the trainer."""
    out = bytearray()
    for text, score, kind in pieces:
        raw = text.encode()
        body = b"\x0a" + bytes([len(raw)]) + raw + b"\x15" + struct.pack("<f", score)
        body += b"\x18" + bytes([kind])
        out += b"\x0a" + bytes([len(body)]) + body
    none = b"\xff" * 9 + b"\x01"  # -1 as a varint
    # Unigram model; fields 40 to 43 are the ids of unk, bos, eos and pad.
    trainer = b"\x18\x01\xc0\x02\x02\xc8\x02" + none + b"\xd0\x02\x01\xd8\x02\x00"
    return bytes(out) + b"\x12" + bytes([len(trainer)]) + trainer


def write_t5_tokenizer(folder):
    normal = ["\u2581"] + [chr(c) for c in range(33, 127)]
    pieces = [("<pad>", 0.0, 3), ("</s>", 0.0, 3), ("<unk>", 0.0, 2)]
    pieces += [(text, -2.0 - i / 64, 1) for i, text in enumerate(normal)]
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "spiece.model"), "wb") as file:
        file.write(sentencepiece_model(pieces))
    extra = [f"<extra_id_{i}>" for i in range(100)]
    special = [(0, "<pad>"), (1, "</s>"), (2, "<unk>")]
    special += [(len(pieces) + 99 - i, token) for i, token in reversed(list(enumerate(extra)))]
    flags = {
        "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True
    }
    space = {
        "type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True
    }
    write_json(
        os.path.join(folder, "tokenizer.json"), {
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": [
                {"id": i, "content": token} | flags for i, token in special
            ], "normalizer": None, "pre_tokenizer": space, "decoder": space, "post_processor": {
                "type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}, {
                    "SpecialToken": {"id": "</s>", "type_id": 0}
                }], "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {
                    "SpecialToken": {"id": "</s>", "type_id": 0}
                }, {"Sequence": {"id": "B", "type_id": 0}}, {
                    "SpecialToken": {"id": "</s>", "type_id": 0}
                }], "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}}
            }, "model": {
                "type": "Unigram", "unk_id": 2, "byte_fallback": False,
                "vocab": [[text, score]
                          for text, score, _ in pieces] + [[token, 0.0] for _, token in special[3:]]
            }
        })
    marks = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    write_json(os.path.join(folder, "special_tokens_map.json"),
               marks | {"additional_special_tokens": extra})
    write_json(
        os.path.join(folder, "tokenizer_config.json"), marks | {
            "additional_special_tokens": extra, "extra_ids": 100, "model_max_length": 512,
            "tokenizer_class": "T5Tokenizer"
        })


def write_weights(folder, stem, tensors, variant="default", shards=1, seed=0, sparse=False):
    """One weight file of a variant, or shards with their index; named as the hub names them."""
    infix, dtype = VARIANTS[variant]
    tensors = as_dtype(tensors, dtype)
    dotted = f".{infix}" if infix else ""
    meta = {"format": "pt"}
    if shards <= 1:
        path = os.path.join(folder, f"{stem}{dotted}.safetensors")
        return stfile.write(path, tensors, meta, seed=seed, sparse=sparse)
    sizes = {name: stfile.nbytes(*spec) for name, spec in tensors.items()}
    total, at, groups = sum(sizes.values()), 0, [{} for _ in range(shards)]
    for name, spec in tensors.items():
        groups[min(at * shards // max(total, 1), shards - 1)][name] = spec
        at += sizes[name]
    groups = [group for group in groups if group]
    where = {}
    for number, group in enumerate(groups, 1):
        file = f"{stem}{dotted}-{number:05d}-of-{len(groups):05d}.safetensors"
        stfile.write(os.path.join(folder, file), group, meta, seed=seed, sparse=sparse)
        where.update({name: file for name in group})
    index = f"{stem}.safetensors.index.{infix}.json" if infix else f"{stem}.safetensors.index.json"
    write_json(os.path.join(folder, index),
               {"metadata": {"total_size": total}, "weight_map": dict(sorted(where.items()))})
    return total


def stem_of(structure):
    return "model" if structure["library"] == "transformers" else "diffusion_pytorch_model"


def write_model_folder(folder, structure, variants=("default", ), shards=1, seed=0, sparse=False):
    """config.json and the weights of one class in each variant. Returns the bytes of data."""
    config = dict(structure["config"])
    if structure["library"] == "transformers":
        first = VARIANTS[variants[0]][1]
        config["torch_dtype"] = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}[first]
        config.pop("dtype", None)
    write_json(os.path.join(folder, "config.json"), config)
    return sum(
        write_weights(folder, stem_of(structure), structure["tensors"], variant, shards, seed,
                      sparse) for variant in variants)


def write_pipeline(out,
                   family,
                   variants=("default", ),
                   shards=1,
                   seed=0,
                   full=False,
                   shard_parts=("unet", "transformer")):
    """A whole diffusers folder. Tiny with data, or with `full` the true sizes as sparse files."""
    spec = PIPELINES[family]
    index = {"_class_name": spec["class"], "_diffusers_version": "0.35.2"} | spec.get("extra", {})
    index |= {part: [None, None] for part in spec.get("absent", [])}
    index["scheduler"] = ["diffusers", spec["scheduler"]["_class_name"]]
    write_json(os.path.join(out, "scheduler", "scheduler_config.json"), spec["scheduler"])
    for part in spec["clip_tokenizers"]:
        index[part] = ["transformers", "CLIPTokenizer"]
        write_clip_tokenizer(os.path.join(out, part))
    for part in spec.get("t5_tokenizers", []):
        index[part] = ["transformers", "T5TokenizerFast"]
        write_t5_tokenizer(os.path.join(out, part))
    if extractor := spec.get("feature_extractor"):
        index["feature_extractor"] = ["transformers", extractor]
        write_json(os.path.join(out, "feature_extractor", "preprocessor_config.json"),
                   PREPROCESSORS[extractor])
    total = 0
    for part, name in spec["models"].items():
        structure = load_structure(FULL_ALIASES.get(name, name) if full else f"tiny-{name}")
        index[part] = [structure["library"], structure["class"]]
        total += write_model_folder(os.path.join(out, part),
                                    structure,
                                    variants,
                                    shards if part in shard_parts else 1,
                                    seed,
                                    sparse=full)
    write_json(os.path.join(out, "model_index.json"), dict(sorted(index.items())))
    return total
