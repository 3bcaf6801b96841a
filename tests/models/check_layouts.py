# SPDX-License-Identifier: MIT
"""Converts the derived single-file layouts back with the converters of diffusers.

They do it for real checkpoints. The result must have the names and shapes of the class. Meta
tensors stand in for the data.
"""

import torch
from diffusers.loaders import single_file_utils as convert


def as_meta(tensors):
    kinds = {"F32": torch.float32, "I64": torch.int64}
    return {k: torch.empty(v[1], dtype=kinds[v[0]], device="meta") for k, v in tensors.items()}


def shapes(tensors):
    return {k: list(v.shape) for k, v in tensors.items()}


def compare(what, got, record, ignore=()):
    want = {k: v[1] for k, v in record["tensors"].items()}
    got = {k: v for k, v in shapes(got).items() if k not in ignore}
    wrong = [k for k in sorted(want.keys() | got.keys()) if want.get(k) != got.get(k)]
    if wrong:
        rows = [f"  {k}: class {want.get(k)}, converted {got.get(k)}" for k in wrong[:10]]
        raise SystemExit(f"{what}: {len(wrong)} tensors differ\n" + "\n".join(rows))
    return f"{what}: {len(want)} tensors as in the class after converting back"


def check(built, derived):
    for name, row in derived.items():
        sources = row["source"]
        if name.startswith("ldm-") and sources[0].endswith("-unet"):
            model = built[sources[0]][1]
            both = as_meta(row["tensors"])
            yield compare(f"{name} unet",
                          convert.convert_ldm_unet_checkpoint(dict(both), dict(model.config)),
                          built[sources[0]][0])
            vae = convert.convert_ldm_vae_checkpoint(dict(both), dict(built[sources[1]][1].config))
            yield compare(f"{name} vae", vae, built[sources[1]][0])
        elif name in ("ldm-vae-sd-1", "ldm-vae-sdxl", "bfl-vae-flux"):
            vae = convert.convert_ldm_vae_checkpoint(as_meta(row["tensors"]),
                                                     dict(built[sources[0]][1].config))
            yield compare(name, vae, built[sources[0]][0])
        elif name.startswith("bfl-flux"):
            got = convert.convert_flux_transformer_checkpoint_to_diffusers(as_meta(row["tensors"]))
            yield compare(name, got, built[sources[0]][0])
        elif name.startswith("ldm-controlnet"):
            got = convert.convert_controlnet_checkpoint(as_meta(row["tensors"]),
                                                        dict(built[sources[0]][1].config))
            yield compare(name, got, built[sources[0]][0])
    yield from check_text_models(built, derived)


def check_text_models(built, derived):
    for name, prefix, target in [("ldm-sd-1", "cond_stage_model.transformer.", "sd-1-text_encoder"),
                                 ("ldm-sdxl", "conditioner.embedders.0.transformer.",
                                  "sdxl-text_encoder")]:
        got = convert.convert_ldm_clip_checkpoint(as_meta(derived[name]["tensors"]), prefix)
        yield compare(f"{name} text", got, built[target][0], {"text_model.embeddings.position_ids"})
    for name, prefix, target in [
        ("ldm-sd-2", "cond_stage_model.model.", "sd-2-text_encoder"),
        ("ldm-sdxl", "conditioner.embedders.1.model.", "sdxl-text_encoder_2"),
        ("ldm-sdxl-refiner", "conditioner.embedders.0.model.", "sdxl-refiner-text_encoder_2")
    ]:
        record, model = built[target]
        got = convert.convert_open_clip_checkpoint(model,
                                                   as_meta(derived[name]["tensors"]),
                                                   prefix=prefix)
        # SD 2's projection and last layer are in the file, but not in the class.
        extra = {k
                 for k in got
                 if k not in record["tensors"]} if target == "sd-2-text_encoder" else set()
        assert all("text_projection" in k or ".layers.23." in k for k in extra), extra
        yield compare(f"{name} open text", got, record,
                      extra | {"text_model.embeddings.position_ids"})
