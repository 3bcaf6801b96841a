# SPDX-License-Identifier: MIT
"""Models, repositories and the hub that the tests of the installer share."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import driver  # noqa: E402
from driver import READER, put  # noqa: E402
from loopback_hub import LoopbackHub  # noqa: E402

MAKER = driver.HERE.parent / "models" / "make_model.py"


def make(*arguments):
    subprocess.run([sys.executable, str(MAKER), *map(str, arguments)], check=True,
                   stdout=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """sd1/ (tiny pipeline, fp16 and default), emb.safetensors, hostile/."""
    folder = tmp_path_factory.mktemp("made")
    make("pipeline", "--family", "sd-1", "--out", folder / "sd1", "--variants", "fp16,default")
    make("checkpoint", "--family", "embedding-sd-1", "--out", folder / "emb.safetensors")
    make("checkpoint", "--family", "embedding-sd-2", "--out", folder / "emb2.safetensors")
    make("hostile", "--out", folder / "hostile")
    (folder / "strange.safetensors").write_bytes(_strange())
    return folder


@pytest.fixture(scope="session")
def repos(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("repos")
    shutil.copytree(models / "sd1", folder / "acme/pipe")
    put(folder / "acme/pipe", {".hub.json": {"tags": ["diffusers", "text-to-image"], "revisions": {
        "old": "older"}}})
    put(folder / "acme/pipe/.revisions/older", {"emb.safetensors": models / "emb.safetensors"})
    put(folder / "acme/old-pipe", {".hub.json": {"renamed_to": "acme/pipe"}})
    emb = {"learned.safetensors": models / "emb.safetensors"}
    put(folder / "acme/emb", {**emb, "README.md": b"# An embedding\n"})
    put(folder / "acme/more", {"a/one.safetensors": models / "emb.safetensors",
                               "a/two.safetensors": models / "emb2.safetensors"})
    put(folder / "acme/gated", {**emb, ".hub.json": {"gated": "manual", "tokens": [READER]}})
    put(folder / "acme/private", {**emb, ".hub.json": {"private": [READER]}})
    put(folder / "acme/broken", {"bad.safetensors":
                                 models / "hostile/invalid_file__data_one_byte_short.safetensors"})
    put(folder / "acme/strange", {"strange.safetensors": models / "strange.safetensors"})
    return folder


def _strange():
    """A sound file that no rule knows."""
    header = json.dumps({"of.no.family": {"dtype": "F32", "shape": [300000],
                                          "data_offsets": [0, 1200000]}}).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + bytes(1200000)


@pytest.fixture(scope="session")
def shared_hub(repos, models):
    with LoopbackHub(str(repos), files=str(models), plain_tokens=True) as hub:
        yield hub


@pytest.fixture
def hub(shared_hub):
    shared_hub.faults.install([], replace=True)
    shared_hub.log.clear()
    yield shared_hub
    shared_hub.faults.install([], replace=True)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "root"


@pytest.fixture
def host(root, hub):
    with driver.Host(root, hub.endpoint) as opened:
        yield opened
    assert not driver.violations(root)
