# SPDX-License-Identifier: MIT
"""Small repositories for the hub's own tests: one of each kind that the protocol tells apart."""

import json
import random
from pathlib import Path

READER = "hf_granted_reader"     # admitted to the gated and the private repository
PENDING = "hf_pending_reader"    # asked for the gated repository, not admitted yet


def _safetensors(seed, count):
    """A valid safetensors file with one F32 tensor of random bytes."""
    data = random.Random(seed).randbytes(count * 4)
    header = json.dumps({"weight": {"dtype": "F32", "shape": [count],
                                    "data_offsets": [0, len(data)]}}).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data


def _write(root, files):
    for name, data in files.items():
        path = Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())


def make(root):
    """Fill root; returns it."""
    root = Path(root)
    _write(root, {
        "acme/pipeline/.hub.json": json.dumps({
            "tags": ["diffusers", "safetensors"], "pipeline_tag": "text-to-image",
            "library_name": "diffusers", "card": {"license": "mit"},
            "revisions": {"fp16": "half", "refs/pr/1": {"folder": "pr1"},
                          "v1.0": {"folder": ".", "kind": "tag", "commit": "c0ffee" + "0" * 34}},
        }),
        "acme/pipeline/.gitattributes": "*.safetensors filter=lfs diff=lfs merge=lfs -text\n",
        "acme/pipeline/README.md": "---\nlicense: mit\n---\n# Pipeline\n",
        "acme/pipeline/model_index.json": json.dumps({
            "_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"]}),
        "acme/pipeline/unet/config.json": json.dumps({"_class_name": "UNet2DConditionModel"}),
        "acme/pipeline/unet/diffusion_pytorch_model.safetensors": _safetensors(1, 200_000),
        "acme/pipeline/vae/config.json": json.dumps({"_class_name": "AutoencoderKL"}),
        "acme/pipeline/vae/diffusion_pytorch_model.safetensors": _safetensors(2, 50_000),
        "acme/pipeline/tokenizer/merges.txt": "#version: 0.2\na b\nab c\n",
        "acme/pipeline/tokenizer/naïve file+1.txt": "a name that needs quoting\n",
        "acme/pipeline/tokenizer/empty.bin": b"",
        "acme/pipeline/.revisions/half/model_index.json": '{"_class_name": "Half"}',
        "acme/pipeline/.revisions/half/unet/model.fp16.safetensors": _safetensors(3, 30_000),
        "acme/pipeline/.revisions/pr1/README.md": "from a pull request\n",
        "acme/gated/.hub.json": json.dumps({"gated": "manual", "tokens": [READER],
                                            "pending": [PENDING]}),
        "acme/gated/config.json": "{}",
        "acme/gated/model.safetensors": _safetensors(4, 1000),
        "acme/private/.hub.json": json.dumps({"private": [READER]}),
        "acme/private/config.json": '{"model_type": "secret"}',
        "acme/disabled/.hub.json": json.dumps({"disabled": True}),
        "acme/disabled/config.json": "{}",
        "acme/old-name/.hub.json": json.dumps({"renamed_to": "acme/pipeline"}),
        "acme/xet/.hub.json": json.dumps({"xet": True}),
        "acme/xet/model.safetensors": _safetensors(5, 1000),
        "legacy-model/config.json": '{"model_type": "bert", "architectures": ["BertModel"]}',
        "legacy-model/model.safetensors": _safetensors(6, 1000),
    })
    return root
