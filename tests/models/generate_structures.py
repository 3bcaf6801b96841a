#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Builds real classes of diffusers and transformers on the meta device.

Writes their tensor names, shapes and config.json to structures/. Run once when a family is added;
tests read only the output. Needs torch, diffusers and transformers (requirements-generate.txt); no
weights are downloaded and no memory is taken for them.
"""

import argparse
import gzip
import json
import os
import sys

import diffusers
import torch
import transformers

import check_layouts
import configs
import layouts

HERE = os.path.dirname(os.path.abspath(__file__))
DTYPES = {torch.float32: "F32", torch.int64: "I64", torch.bool: "BOOL"}
TRANSFORMERS = {
    configs.CLIP: transformers.CLIPTextConfig,
    configs.CLIPP: transformers.CLIPTextConfig,
    configs.VIS: transformers.CLIPVisionConfig,
    configs.T5: transformers.T5Config,
    configs.DPT: transformers.DPTConfig,
}
VERSIONS = {
    "torch": torch.__version__.split("+")[0], "diffusers": diffusers.__version__,
    "transformers": transformers.__version__
}


def tensors_of(model):
    return {k: [DTYPES[v.dtype], list(v.shape)] for k, v in model.state_dict().items()}


def build(name, config):
    with torch.device("meta"):
        if name in TRANSFORMERS:
            model = getattr(transformers, name)(TRANSFORMERS[name](**config))
            model.config.architectures = [name]
            written = json.loads(model.config.to_json_string())
        else:
            model = getattr(diffusers, name).from_config(config)
            written = json.loads(model.to_json_string())
            written.pop("_use_default_values", None)
    return model, written


def untied(model, tensors):
    """Drops the names that save_pretrained leaves out because they alias another tensor."""
    for name in getattr(model, "_tied_weights_keys", None) or []:
        tensors.pop(name, None)
    return tensors


def save(out, name, record):
    text = json.dumps(record, separators=(",", ":"), sort_keys=False).encode()
    with open(os.path.join(out, name + ".json.gz"), "wb") as raw:
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=9, mtime=0) as packed:
            packed.write(text)


def library_structures(out, only):
    built = {}
    for name, (cls, config) in configs.MODELS.items():
        model, written = build(cls, config)
        record = {
            "id": name, "made": "class",
            "library": "transformers" if cls in TRANSFORMERS else "diffusers", "class": cls,
            "versions": VERSIONS, "config": written, "tensors": untied(model, tensors_of(model))
        }
        built[name] = (record, model)
        if only is None or name in only:
            save(out, name, record)
            print(f"{name}: {len(record['tensors'])} tensors")
    return built


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=os.path.join(HERE, "structures"))
    parser.add_argument("ids", nargs="*", help="only these structures")
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    only = set(args.ids) or None
    built = library_structures(args.out, only)
    derived = list(layouts.derive(built))
    for line in check_layouts.check(built, dict(derived)):
        print(line)
    for name, record in derived:
        record = {"id": name, "made": "derived"} | record | {"versions": VERSIONS}
        if only is None or name in only:
            save(args.out, name, record)
            print(f"{name}: {len(record['tensors'])} tensors (derived)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
