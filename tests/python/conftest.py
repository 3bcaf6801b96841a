# SPDX-License-Identifier: MIT
"""What the tests of the Python package share: the package itself, made models, the loopback hub."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

SOURCE = pathlib.Path(
    os.environ.get("MMGR_SOURCE_ROOT",
                   pathlib.Path(__file__).resolve().parents[2]))
if "MMGR_LIBRARY" in os.environ:
    os.environ["MODELMGR_LIBRARY"] = os.environ["MMGR_LIBRARY"]
sys.path[:0] = [
    str(SOURCE / "bindings/python"),
    str(SOURCE / "tests/hub"),
    str(SOURCE / "tests/models")
]

import make_model  # noqa: E402
from loopback_hub import LoopbackHub  # noqa: E402

import modelmgr  # noqa: E402


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    """Nothing of the machine's own settings leaks into a test."""
    for name in list(os.environ):
        if name.startswith(("HF_", "HUGGING_FACE", "CIVITAI_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name in ("MODELMGR_ROOT", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A tiny pipeline in two variants in a repository, and a sharded one on disk."""
    folder = tmp_path_factory.mktemp("models")
    make_model.make_pipeline(str(folder / "repos/acme/tiny-sd"),
                             "sd-1",
                             variants=("default", "fp16"))
    make_model.make_pipeline(str(folder / "sharded"), "sdxl", shards=2)
    return folder


@pytest.fixture(scope="session")
def pipeline(models):
    return models / "repos/acme/tiny-sd"


@pytest.fixture(scope="session")
def running_hub(models):
    gated = models / "repos/acme/gated"
    gated.mkdir(parents=True)
    (gated / "model.safetensors").write_bytes(b"never served")
    (gated / ".hub.json").write_text(json.dumps({"gated": "manual", "tokens": ["hf_allowed"]}))
    with LoopbackHub(models / "repos") as hub:
        yield hub


@pytest.fixture
def hub(running_hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", running_hub.endpoint)
    yield running_hub
    running_hub.faults.clear()
    running_hub.log.clear()


@pytest.fixture
def manager(tmp_path):
    with modelmgr.Manager(tmp_path / "root") as opened:
        yield opened


@pytest.fixture
def python():
    """Runs a script in a Python of its own, for what must not be seen to crash this one."""
    def run(script, **environment):
        path = str(SOURCE / "bindings/python")
        return subprocess.run([sys.executable, "-c", script],
                              capture_output=True,
                              text=True,
                              timeout=120,
                              env={
                                  **os.environ, "PYTHONPATH": path,
                                  **environment
                              })

    return run
