#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs a test program beside the loopback hub.

    run_with_hub.py PROGRAM [ARGUMENT...]

The program finds the hub in MMGR_TEST_HUB and MMGR_TEST_CDN, and in MMGR_TEST_FILES the folder
behind /files/ with big.bin (3 MB) and small.bin. The repository org/private wants the token
hf_reader; its weights.safetensors lies behind a redirect to the second origin.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "hub"))

from loopback_hub import LoopbackHub  # noqa: E402


def main():
    with tempfile.TemporaryDirectory(prefix="mmgr-curl-") as top:
        files, repo = Path(top, "files"), Path(top, "repos", "org", "private")
        files.mkdir()
        repo.mkdir(parents=True)
        source = random.Random(7)
        (files / "big.bin").write_bytes(source.randbytes(3_000_000))
        (files / "small.bin").write_bytes(source.randbytes(20_000))
        (repo / "weights.safetensors").write_bytes(source.randbytes(400_000))
        (repo / ".hub.json").write_text(json.dumps({"private": ["hf_reader"]}), encoding="utf-8")
        os.symlink(repo / "weights.safetensors", files / "weights.safetensors")
        with LoopbackHub(str(Path(top, "repos")), files=str(files), plain_tokens=True) as hub:
            environment = {name: value for name, value in os.environ.items()
                           if not name.lower().endswith("_proxy")}
            environment.update(MMGR_TEST_HUB=hub.endpoint, MMGR_TEST_CDN=hub.cdn,
                               MMGR_TEST_FILES=str(files))
            return subprocess.run(sys.argv[1:], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
