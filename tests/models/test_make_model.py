# SPDX-License-Identifier: MIT
"""The models made here, judged by the reference implementation of safetensors (and diffusers)."""

import itertools
import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import safetensors

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import families  # noqa: E402
import hostile  # noqa: E402
import make_model  # noqa: E402
import pipelines  # noqa: E402
import stfile  # noqa: E402

# Where the reference is laxer than we are. Everything else it must judge as we do.
LAXER = {
    "duplicate_name_same_range": "keeps the last of two equal names",
    "duplicate_name_by_escape": "the same, one of them spelt with \\u0061",
    "duplicate_metadata_key": "keeps the last of two equal keys",
    "leading_space": "no longer tests that the header begins with a brace",
    "name_nul_escape": "a name with U+0000 cannot be a C string",
    "name_4097_bytes": "no limit on names; ours is 4096 bytes",
    "name_of_a_megabyte": "the same",
    "shape_5000_dims": "no limit on the rank",
}

SPECIMENS = families.specimens()
HOSTILE_FILES = sorted(hostile.CASES)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    out = tmp_path_factory.mktemp("hostile")
    hostile.write_corpus(str(out))
    return out


def reference_header(path):
    """{name: (dtype, shape)} as the reference reads them, without touching the data."""
    with safetensors.safe_open(path, "numpy") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}
        return {name: (s.get_dtype(), list(s.get_shape())) for name, s in slices.items()}


def reference_accepts(path):
    try:
        reference_header(path)
    except (safetensors.SafetensorError, OSError):
        return False
    return True


def same_as_reference(path):
    """Every tensor's type, shape and bytes, by the reference, equal what read_header finds."""
    with open(path, "rb") as file:
        whole = file.read()
    _, rows, start = stfile.read_header(path)
    found = dict(safetensors.deserialize(whole))
    assert found.keys() == rows.keys()
    for name, (dtype, shape, begin, end) in rows.items():
        theirs = found[name]
        assert (theirs["dtype"], list(theirs["shape"])) == (dtype, shape), name
        assert bytes(theirs["data"]) == whole[start + begin:start + end], name
    return len(rows)


@pytest.mark.parametrize("name", HOSTILE_FILES)
def test_hostile_file(corpus, name):
    code, rest = name.removesuffix(".safetensors").split("__")
    assert reference_accepts(corpus / name) == (code == "ok" or rest in LAXER)


@pytest.mark.parametrize("name", [n for n in HOSTILE_FILES if n.startswith("ok__")])
def test_legal_file_reads_alike(corpus, name):
    if "metadata_key_by_escape" in name:
        assert reference_header(corpus / name) == {"a": ("F32", [2])}
        return
    assert same_as_reference(corpus / name) >= 0


def test_corpus_is_complete(corpus):
    manifest = json.loads((corpus / "manifest.json").read_text())
    assert len(manifest) >= 150
    topics = {row["topic"] for row in manifest}
    assert topics >= {"S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "6.1", "6.2"}
    assert {row["expected"] for row in manifest} == {"ok", "invalid_file", "unsafe_path"}
    assert {row["path"] for row in manifest} == {p for p in os.listdir(corpus)} - {"manifest.json"}
    assert all("invalid_file__" + rest + ".safetensors" in hostile.CASES for rest in LAXER)


def test_all_dtypes_are_in_the_corpus(corpus):
    header = reference_header(corpus / "ok__all_dtypes.safetensors")
    assert {dtype for dtype, _ in header.values()} == set(stfile.DTYPE_BITS)


def test_planted_bugs_are_seen(tmp_path):
    """Controls: the comparisons above fail on a wrong byte, a wrong shape and a wrong end."""
    path = tmp_path / "x.safetensors"
    stfile.write(path, {"a": ("F32", [2, 3]), "b": ("I8", [4])})
    assert same_as_reference(path) == 2
    good = path.read_bytes()
    path.write_bytes(good.replace(b"[2,3]", b"[2,4]"))
    assert not reference_accepts(path)
    path.write_bytes(good[:-1])
    assert not reference_accepts(path)
    path.write_bytes(good.replace(b'"a"', b'"c"'))
    with pytest.raises(AssertionError):
        assert reference_header(path).keys() == {"a", "b"}


def test_writer_layout(tmp_path):
    path = tmp_path / "x.safetensors"
    tensors = {
        "z": ("F64", [1]), "b": ("F16", [3]), "a": ("F16", [1]), "c": ("U8", [5]), "n": ("F32", [])
    }
    stfile.write(path, tensors, {"format": "pt"})
    raw = path.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    assert size % 8 == 0 and raw[8:9] == b"{"
    head = json.loads(raw[8:8 + size])
    assert list(head) == ["__metadata__", "z", "n", "a", "b", "c"]
    assert [head[k]["data_offsets"] for k in "znabc"] == [[0, 8], [8, 12], [12, 14], [14, 20],
                                                          [20, 25]]
    assert len(raw) == 8 + size + 25
    assert same_as_reference(path) == 5


def test_writer_refuses_wrong_data(tmp_path):
    with pytest.raises(ValueError):
        stfile.write(tmp_path / "x", {"a": ("F32", [2])}, data={"a": bytes(7)})
    with pytest.raises(ValueError):
        stfile.write(tmp_path / "x", {"a": ("F4", [3])})


def weight_files(folder):
    return sorted(
        os.path.join(base, name) for base, _, names in os.walk(folder) for name in names
        if name.endswith(".safetensors"))


@pytest.mark.parametrize("family", sorted(pipelines.PIPELINES))
def test_tiny_pipeline(tmp_path, family):
    total = make_model.make_pipeline(tmp_path, family, ("fp16", "default"))
    files = weight_files(tmp_path)
    assert total == sum(os.path.getsize(f) - stfile.read_header(f)[2] for f in files) < 64 << 20
    index = json.loads((tmp_path / "model_index.json").read_text())
    parts = {k: v for k, v in index.items() if isinstance(v, list)}
    for part, (library, _) in parts.items():
        assert (tmp_path / part).is_dir() == (library is not None), part
    for part, name in pipelines.PIPELINES[family]["models"].items():
        structure = pipelines.load_structure(f"tiny-{name}")
        stem = pipelines.stem_of(structure)
        for infix, float_type in [("", "F32"), (".fp16", "F16")]:
            path = tmp_path / part / f"{stem}{infix}.safetensors"
            want = {
                k: (float_type if v[0] == "F32" else v[0], v[1])
                for k, v in structure["tensors"].items()
            }
            assert reference_header(path) == want
            assert same_as_reference(path) == len(want)
        config = json.loads((tmp_path / part / "config.json").read_text())
        assert config.get("_class_name") or config["architectures"]
    assert len(files) == 2 * len(pipelines.PIPELINES[family]["models"])


def test_tiny_data_are_weights_and_not_zeros(tmp_path):
    make_model.make_pipeline(tmp_path, "sd-1", ("fp16", ))
    with safetensors.safe_open(tmp_path / "unet/diffusion_pytorch_model.fp16.safetensors",
                               "numpy") as file:
        values = file.get_tensor("conv_in.weight")
    assert values.dtype == np.float16
    assert np.isfinite(values).all() and 0.02 < np.abs(values).mean() < 0.03


@pytest.mark.parametrize("variant,index_name",
                         [("default", "diffusion_pytorch_model.safetensors.index.json"),
                          ("fp16", "diffusion_pytorch_model.safetensors.index.fp16.json")])
def test_shards(tmp_path, variant, index_name):
    make_model.make_pipeline(tmp_path, "sdxl", (variant, ), shards=3)
    unet = tmp_path / "unet"
    index = json.loads((unet / index_name).read_text())
    found = {
        name: os.path.basename(path)
        for path in weight_files(unet)
        for name in reference_header(path)
    }
    assert index["weight_map"] == found
    assert sorted(set(found.values())) == sorted(os.path.basename(p) for p in weight_files(unet))
    assert len(set(found.values())) == 3
    structure = pipelines.load_structure("tiny-sdxl-unet")
    assert found.keys() == structure["tensors"].keys()
    float_type = pipelines.VARIANTS[variant][1]
    assert index["metadata"]["total_size"] == sum(
        stfile.nbytes(float_type, shape) for _, shape in structure["tensors"].values())


def test_shards_and_whole_hold_the_same_data(tmp_path):
    make_model.make_pipeline(tmp_path / "whole", "sd-1")
    make_model.make_pipeline(tmp_path / "parts", "sd-1", shards=2)
    tensors = []
    for folder in ("whole", "parts"):
        blobs = {}
        for path in weight_files(tmp_path / folder / "unet"):
            with open(path, "rb") as file:
                blobs |= {k: bytes(v["data"]) for k, v in safetensors.deserialize(file.read())}
        tensors.append(blobs)
    assert tensors[0] == tensors[1]


def test_seed_decides_the_bytes(tmp_path):
    for name, seed in [("a", 1), ("b", 1), ("c", 2)]:
        make_model.make_pipeline(tmp_path / name, "sd-1", seed=seed)
    for file in weight_files(tmp_path / "a"):
        same, other = (open(file.replace(str(tmp_path / "a"), str(tmp_path / x)), "rb").read()
                       for x in "bc")
        assert open(file, "rb").read() == same != other


@pytest.mark.parametrize("row", SPECIMENS, ids=[r["id"] for r in SPECIMENS])
def test_specimen_opens(tmp_path, row):
    """Each specimen as `all` makes it: real header, no disk taken except by tiny pipelines."""
    path = tmp_path / os.path.basename(row["path"])
    make_model.make_specimen(path, row)
    files = weight_files(path) if path.is_dir() else [path]
    assert files
    for file in files:
        assert reference_header(file)
        if row["kind"] != "pipeline":
            assert os.stat(file).st_blocks * 512 < 2 << 20


def test_full_pipeline_has_the_size_of_the_real_one(tmp_path):
    total = make_model.make_pipeline(tmp_path, "sdxl", ("fp16", ), sparse=True)
    assert 6.9e9 < total < 7.0e9
    for path in weight_files(tmp_path):
        assert reference_header(path)
        assert os.stat(path).st_blocks * 512 < 2 << 20


# Sizes of the real files in bytes; ours differ by metadata and the types of a few buffers only.
REAL_SIZES = {"sd-1": 2_132_625_894, "sdxl": 6_938_078_334, "flux-dev": 23_802_932_552}


@pytest.mark.parametrize("family", sorted(REAL_SIZES))
def test_checkpoint_has_the_size_of_the_real_file(tmp_path, family):
    make_model.make_checkpoint(tmp_path / "x.safetensors", family)
    assert abs(os.path.getsize(tmp_path / "x.safetensors") - REAL_SIZES[family]) < 200_000


def shapes_of(family):
    return {
        k: v[1]
        for k, v in pipelines.load_structure(families.checkpoint_structure(family))
        ["tensors"].items()
    }


@pytest.mark.parametrize("family,key,axis,value", [
    ("sd-1", "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight", -1,
     768),
    ("sd-2", "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight", -1,
     1024),
    ("sdxl", "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight", -1,
     2048),
    ("sdxl-refiner",
     "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight", -1, 1280),
    ("sd-1", "model.diffusion_model.input_blocks.0.0.weight", 1, 4),
    ("sd-1-inpaint", "model.diffusion_model.input_blocks.0.0.weight", 1, 9),
    ("sd-2-depth", "model.diffusion_model.input_blocks.0.0.weight", 1, 5),
    ("sdxl-inpaint", "model.diffusion_model.input_blocks.0.0.weight", 1, 9),
    ("flux-dev", "guidance_in.out_layer.weight", 0, 3072),
    ("flux-dev", "double_blocks.0.img_attn.norm.key_norm.scale", 0, 128),
    ("flux-fill", "img_in.weight", 1, 384),
    ("vae-sd-1", "decoder.conv_in.weight", 1, 4),
    ("vae-flux", "decoder.conv_in.weight", 1, 16),
    ("controlnet-sd-1", "control_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight", -1,
     768),
    ("controlnet-sdxl", "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight", -1,
     2048),
    ("ip-adapter-sd-1", "ip_adapter.1.to_k_ip.weight", -1, 768),
    ("ip-adapter-sdxl", "ip_adapter.1.to_k_ip.weight", -1, 2048),
    ("lora-sd-1",
     "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight", 1,
     768),
    ("lora-sdxl", "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.lora_down.weight", 1,
     2048),
    ("embedding-sd-2", "emb_params", -1, 1024),
])
def test_identifying_shape(family, key, axis, value):
    assert shapes_of(family)[key][axis] == value


def test_schnell_has_no_guidance():
    assert not any(k.startswith("guidance_in") for k in shapes_of("flux-schnell"))


@pytest.mark.parametrize("family,cross,channels", [("sd-1", 768, 4), ("sd-1-inpaint", 768, 9),
                                                   ("sd-2", 1024, 4), ("sd-2-depth", 1024, 5),
                                                   ("sdxl", 2048, 4), ("sdxl-inpaint", 2048, 9),
                                                   ("sdxl-refiner", 1280, 4)])
def test_tiny_unet_keeps_the_identifying_numbers(family, cross, channels):
    for prefix in ("", "tiny-"):
        structure = pipelines.load_structure(f"{prefix}{family}-unet")
        config = structure["config"]
        assert (config["cross_attention_dim"], config["in_channels"]) == (cross, channels)
        assert structure["tensors"]["conv_in.weight"][1][1] == channels


def test_every_structure_is_used_and_records_its_versions():
    used = {f"tiny-{m}" for p in pipelines.PIPELINES.values() for m in p["models"].values()}
    used |= {
        pipelines.FULL_ALIASES.get(m, m)
        for p in pipelines.PIPELINES.values()
        for m in p["models"].values()
    }
    used |= {
        v[0]
        for table in (families.FOLDERS, families.LAYOUT_FOLDERS, families.FILES)
        for v in table.values()
    }
    used |= {families.checkpoint_structure(f) for f in families.main_models("checkpoint")}
    names = {f.removesuffix(".json.gz") for f in os.listdir(os.path.join(HERE, "structures"))}
    assert names == used
    for name in names:
        assert set(
            pipelines.load_structure(name)["versions"]) == {"torch", "diffusers", "transformers"}


def test_specimens_are_told_apart():
    assert len({r["id"]
                for r in SPECIMENS}) == len({r["path"]
                                             for r in SPECIMENS}) == len(SPECIMENS)
    for a, b in itertools.combinations((r for r in SPECIMENS if r["kind"] == "pipeline"), 2):
        if not {a["family"], b["family"]} <= {"sd-2-base", "sd-2"}:
            assert a["expected"] != b["expected"], (a["id"], b["id"])


@pytest.mark.parametrize("name", sorted(families.STATE_DICTS))
def test_state_dict(tmp_path, name):
    source = os.path.join(make_model.FIXTURES, "state_dicts", name + ".json")
    make_model.make_state_dict(tmp_path / "x.safetensors", source)
    with open(source, encoding="utf-8") as file:
        keys = json.load(file)["keys"]
    header = reference_header(tmp_path / "x.safetensors")
    assert header.keys() == keys.keys()
    for key, shape in keys.items():
        assert header[key] == ("F16", make_model.unrecorded_shape(key) if shape is None else shape)


def run_tool(*args):
    return subprocess.run(
        [sys.executable, os.path.join(HERE, "make_model.py"), *args],
        capture_output=True,
        text=True)


def test_command_line(tmp_path):
    out = str(tmp_path / "x")
    assert json.loads(run_tool("expected").stdout) == SPECIMENS
    assert {r["kind"]
            for r in json.loads(run_tool("expected", "--kind", "folder").stdout)} == {"folder"}
    assert len(run_tool("list").stdout.splitlines()) == len(SPECIMENS)
    assert run_tool("folder", "--family", "t2i-sdxl", "--out", out, "--sparse").returncode == 0
    assert sorted(os.listdir(out)) == ["config.json", "diffusion_pytorch_model.safetensors"]
    wrong = run_tool("checkpoint", "--family", "sd-9", "--out", out)
    assert wrong.returncode == 1 and "sd-9" in wrong.stderr and "sdxl-refiner" in wrong.stderr


@pytest.mark.parametrize("family", sorted(pipelines.PIPELINES))
def test_diffusers_loads_the_tiny_pipeline(tmp_path, family):
    diffusers = pytest.importorskip("diffusers", reason="optional: the real library")
    make_model.make_pipeline(tmp_path, family, ("fp16", ), shards=2)
    pipe = diffusers.DiffusionPipeline.from_pretrained(str(tmp_path),
                                                       variant="fp16",
                                                       local_files_only=True)
    assert type(pipe).__name__ == pipelines.PIPELINES[family]["class"]
