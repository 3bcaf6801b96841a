# SPDX-License-Identifier: MIT
"""What make_model.py can make, and how each specimen must be identified.

`expected` has the fields type, base, format, variant, prediction_type; None means that the field
is absent. A field named in `open` is not asserted, because the file itself does not tell and
sources of truth differ; `note` says why.
"""

import pipelines


def want(kind, base, fmt, variant=None, prediction=None, open_fields=(), note=None):
    entry = {
        "expected": {
            "type": kind, "base": base, "format": fmt, "variant": variant,
            "prediction_type": prediction
        }
    }
    if open_fields:
        entry["open"] = list(open_fields)
    if note:
        entry["note"] = note
    return entry


EPS, V = "epsilon", "v_prediction"
FLOW_NOTE = "flow matching has no prediction type of its own; epsilon by default"
SD2_NOTE = "a single SD 2 file does not tell its prediction type; v_prediction is the default"


def main_models(fmt):
    flow = {"open_fields": ["prediction_type"], "note": FLOW_NOTE}
    single = {"open_fields": ["prediction_type"], "note": SD2_NOTE} if fmt == "checkpoint" else {}
    table = {
        "sd-1": want("main", "sd-1", fmt, "normal", EPS),
        "sd-1-inpaint": want("main", "sd-1", fmt, "inpaint", EPS),
        "sd-2": want("main", "sd-2", fmt, "normal", V),
        "sd-2-base": want("main", "sd-2", fmt, "normal", EPS),
        "sd-2-inpaint": want("main", "sd-2", fmt, "inpaint", EPS, **single),
        "sd-2-depth": want("main", "sd-2", fmt, "depth", EPS, **single),
        "sdxl": want("main", "sdxl", fmt, "normal", EPS),
        "sdxl-inpaint": want("main", "sdxl", fmt, "inpaint", EPS),
        "sdxl-refiner": want("main", "sdxl-refiner", fmt, "normal", EPS),
        "flux-dev": want("main", "flux", fmt, "dev", EPS, **flow),
        "flux-schnell": want("main", "flux", fmt, "schnell", EPS, **flow),
        "flux-fill": want("main", "flux", fmt, "dev_fill", EPS, **flow),
    }
    if fmt == "checkpoint":
        del table["sd-2-base"]  # the same names and shapes as sd-2
    return table


# One class in a folder with its config.json: specimen name -> structure.
FOLDERS = {
    "vae-sd-1": ("sd-1-vae", want("vae", "sd-1", "diffusers")),
    "vae-sdxl": ("sdxl-vae", want("vae", "sdxl", "diffusers")),
    "vae-flux": ("flux-vae", want("vae", "flux", "diffusers", note="latent_channels 16")),
    "vae-tiny-sd": ("vae-tiny-sd", want("vae", "sd-1", "diffusers")),
    "controlnet-sd-1": ("controlnet-sd-1", want("controlnet", "sd-1", "diffusers")),
    "controlnet-sd-2": ("controlnet-sd-2", want("controlnet", "sd-2", "diffusers")),
    "controlnet-sdxl": ("controlnet-sdxl", want("controlnet", "sdxl", "diffusers")),
    "t2i-sd-1": ("t2i-sd-1", want("t2i_adapter", "sd-1", "diffusers")),
    "t2i-sdxl": ("t2i-sdxl", want("t2i_adapter", "sdxl", "diffusers")),
    "clip-vision-h": ("clip-vision-h", want("clip_vision", "any", "diffusers")),
    "clip-vision-g": ("clip-vision-g", want("clip_vision", "any", "diffusers")),
    "clip-embed-large": ("clip-embed-large",
                         want("clip_embed",
                              "any",
                              "diffusers",
                              open_fields=["variant"],
                              note="hidden_size 768: variant large where that is kept")),
    "flux-transformer": ("flux-dev-transformer",
                         want("main",
                              "flux",
                              "diffusers",
                              "dev",
                              EPS,
                              open_fields=["prediction_type"],
                              note=FLOW_NOTE)),
}

# Folders of another shape: specimen name -> (structure, path of the weights without suffix).
LAYOUT_FOLDERS = {
    "t5-encoder": ("t5-xxl", "text_encoder_2/model", want("t5_encoder", "any", "t5_encoder")),
    "lora-sd-1": ("lora-diffusers-sd-1", "pytorch_lora_weights", want("lora", "sd-1", "diffusers")),
    "lora-sdxl": ("lora-diffusers-sdxl", "pytorch_lora_weights", want("lora", "sdxl", "diffusers")),
    "embedding-sd-1": ("embedding-diffusers-sd-1", "learned_embeds",
                       want("embedding", "sd-1", "embedding_folder")),
    "embedding-sdxl": ("embedding-sdxl", "learned_embeds",
                       want("embedding", "sdxl", "embedding_folder")),
}

# Single files: specimen name -> structure. Those of the main families are "ldm-..." or "bfl-...".
FILES = {
    "vae-sd-1": ("ldm-vae-sd-1", want("vae", "sd-1", "checkpoint")),
    "vae-sdxl": ("ldm-vae-sdxl",
                 want("vae", "sdxl", "checkpoint", note="told from sd-1 by the file name only")),
    "vae-flux": ("bfl-vae-flux", want("vae", "flux", "checkpoint")),
    "controlnet-sd-1": ("ldm-controlnet-sd-1", want("controlnet", "sd-1", "checkpoint")),
    "controlnet-sd-2": ("ldm-controlnet-sd-2", want("controlnet", "sd-2", "checkpoint")),
    "controlnet-sdxl": ("controlnet-sdxl",
                        want("controlnet",
                             "sdxl",
                             "checkpoint",
                             note="diffusers names in one file, as SDXL ControlNets are shared")),
    "ip-adapter-sd-1": ("ip-adapter-sd-1", want("ip_adapter", "sd-1", "checkpoint")),
    "ip-adapter-sdxl": ("ip-adapter-sdxl", want("ip_adapter", "sdxl", "checkpoint")),
    "lora-sd-1": ("lora-kohya-sd-1", want("lora", "sd-1", "lycoris")),
    "lora-sd-2": ("lora-kohya-sd-2", want("lora", "sd-2", "lycoris")),
    "lora-sdxl": ("lora-kohya-sdxl", want("lora", "sdxl", "lycoris")),
    "embedding-sd-1": ("embedding-sd-1", want("embedding", "sd-1", "embedding_file")),
    "embedding-sd-2": ("embedding-sd-2", want("embedding", "sd-2", "embedding_file")),
    "embedding-sdxl": ("embedding-sdxl", want("embedding", "sdxl", "embedding_file")),
}

# Real key lists of tests/fixtures/state_dicts whose families belong to the seed.
STATE_DICTS = {
    "flux_lora_diffusers_format": want("lora", "flux", "lycoris"),
    "flux_lora_kohya_format": want("lora", "flux", "lycoris"),
    "flux_control_lora_format": want("control_lora", "flux", "lycoris", open_fields=["format"]),
    "sdxl_slider_lora_kohya_layout": want("lora", "sdxl", "lycoris"),
    "xlabs_flux_controlnet_state_dict": want("controlnet", "flux", "checkpoint"),
    "xlabs_flux_ip_adapter_v2_state_dict": want("ip_adapter", "flux", "checkpoint"),
}


def checkpoint_structure(family):
    if family in FILES:
        return FILES[family][0]
    return ("bfl-" if family.startswith("flux") else "ldm-") + family


def specimens():
    """Every specimen: {id, kind, family, path, expected, open?, note?}.

    The path is relative to the folder that `all` fills.
    """
    rows = []

    def add(kind, family, path, entry):
        rows.append({"id": f"{kind}/{family}", "kind": kind, "family": family, "path": path}
                    | entry)

    for family, entry in main_models("diffusers").items():
        assert family in pipelines.PIPELINES
        add("pipeline", family, f"pipeline/{family}", entry)
    for family, entry in main_models("checkpoint").items():
        add("checkpoint", family, f"checkpoint/{family}.safetensors", entry)
    for family, (_, entry) in FILES.items():
        add("checkpoint", family, f"checkpoint/{family}.safetensors", entry)
    for family, (_, entry) in FOLDERS.items():
        add("folder", family, f"folder/{family}", entry)
    for family, (_, _, entry) in LAYOUT_FOLDERS.items():
        add("folder", family, f"folder/{family}", entry)
    for family, entry in STATE_DICTS.items():
        add("state-dict", family, f"state-dict/{family}.safetensors", entry)
    return rows
