# SPDX-License-Identifier: MIT
"""Runs the modelmgr command line for the tests: own root, own home, nothing of the caller's."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
for folder in ("hub", "models"):
    sys.path.insert(0, str(HERE.parent / folder))

CLI = os.environ.get("MODELMGR_CLI", str(HERE.parent.parent / "build/examples/cli/modelmgr"))
MINIMAL = os.environ.get("MODELMGR_MINIMAL", str(Path(CLI).parent.parent / "minimal"))

RECORD_FIELDS = set("""key name type format base bases path hash description source source_type
    source_api_response config_path variant prediction_type upcast_attention repo_variant vae
    trigger_phrases tags default_settings cover_image file_size created_at updated_at""".split())
ERROR_FIELDS = {"code", "message", "field", "subject", "http_status", "os_errno", "offset",
                "retryable"}
EXIT_CODES = {
    "path_not_found": 3, "unknown_model": 3, "model_not_found": 3, "repo_not_found": 3,
    "revision_not_found": 3, "entry_not_found": 3, "unknown_submodel": 3, "no_device": 3,
    "ambiguous_model": 4, "ambiguous_source": 4, "unsafe_file": 5, "unsafe_path": 5,
    "refused_address": 5, "argument": 2, "submodel_required": 2,
}


class Result:
    """How one call ended."""

    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    @property
    def doc(self):
        """The one JSON document on standard output."""
        return json.loads(self.out)

    @property
    def lines(self):
        return [json.loads(line) for line in self.out.splitlines()]


class Cli:
    """The tool on one root folder."""

    def __init__(self, folder, **environment):
        self.folder = Path(folder)
        self.root = self.folder / "root"
        home = self.folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        kept = {name: value for name, value in os.environ.items()
                if name in ("PATH", "LD_LIBRARY_PATH", "TMPDIR") or name.endswith("SAN_OPTIONS")}
        self.env = {**kept, "HOME": str(home), "LC_ALL": "C.UTF-8", **environment}

    def command(self, arguments):
        return [CLI, "--root", str(self.root), *map(str, arguments)]

    def run(self, *arguments, env=None, stdin=None, cwd=None):
        done = subprocess.run(self.command(arguments), env={**self.env, **(env or {})}, timeout=120,
                              input=stdin, cwd=cwd or self.folder, capture_output=True, text=True,
                              check=False)
        return Result(done.returncode, done.stdout, done.stderr)

    def json(self, *arguments, **more):
        """The document of a call that must succeed."""
        result = self.run("--json", *arguments, **more)
        assert result.status == 0, result.out + result.err
        return result.doc

    def fails(self, code, *arguments, **more):
        """The error object of a call that must fail with this code, in both of its forms."""
        result = self.run("--json", *arguments, **more)
        assert result.out.count("\n") == 1, result.out + result.err
        document = result.doc
        assert set(document) == {"error"}
        error = document["error"]
        assert set(error) == ERROR_FIELDS
        assert error["code"] == code, error
        assert result.status == EXIT_CODES.get(code, 1)
        assert error["message"] and "\n" not in error["message"]
        assert any(line.startswith("modelmgr: ") and line.endswith(error["message"])
                   for line in result.err.splitlines()), result.err
        plain = self.run(*arguments, **more)
        assert plain.status == result.status
        assert plain.out == "", "an error leaves nothing on standard output"
        assert plain.err.startswith("modelmgr: ")
        return error

    def start(self, *arguments, env=None):
        return subprocess.Popen(self.command(arguments), env={**self.env, **(env or {})},
                                cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True)


def interrupt(process, ready, number=signal.SIGINT):
    """Sends the signal as soon as ready() is true; returns how the process ended."""
    deadline = time.monotonic() + 60
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the moment to interrupt never came"
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return Result(process.returncode, out, err)


def snapshot(folder):
    """Every path below a folder with its size and content, to see that nothing was written."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        found[str(path)] = path.read_bytes() if path.is_file() else None
    return found


def bytes_below(folder):
    """Bytes that lie below a folder, while files come and go."""
    total = 0
    for path in Path(folder).rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            pass
    return total
