# SPDX-License-Identifier: MIT
"""Drives tests/install/host.c, and checks a root folder by sqlite3 and the file tree alone."""

import contextlib
import hashlib
import json
import os
import queue
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "hub"))
sys.path.insert(0, str(HERE.parent / "models"))

INPLACE, MOVE, ALLOW_UNKNOWN = 1, 2, 4
REMOVE_INSIDE, REMOVE_KEEP, REMOVE_FORCE = 0, 1, 2
TERMINAL = ("completed", "error", "cancelled")
SIDECAR = ".modelmgr.json"
READER = "hf_canary0123456789reader"   # the token of the private and the gated repository


class Died(Exception):
    """The host ended before it answered; args[0] is its status."""


class Host:
    """One process of the host. Commands are methods: host.submit(source=...)."""

    def __init__(self, root, endpoint="http://127.0.0.1:9", env=None, opened=True, wrap=(),
                 **options):
        self.events, self.lines, self._answers = [], [], queue.Queue()
        home = str(root) + "-home"
        os.makedirs(home, exist_ok=True)
        environment = {"PATH": os.environ["PATH"], "HOME": home, "HF_HOME": home + "/hf",
                       "HF_ENDPOINT": endpoint, "LC_ALL": "C.UTF-8", **(env or {})}
        for name in ("ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"):
            if name in os.environ:
                environment[name] = os.environ[name]
        self.stderr = open(home + "/stderr", "ab")
        self.process = subprocess.Popen([*wrap, os.environ["MMGR_INSTALL_HOST"]], env=environment,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.stderr, **options)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if opened:
            answer = self.open(root=str(root))
            assert answer["code"] == "ok", answer

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)
            value = json.loads(line)
            if "ev" in value:
                self.events.append(value["ev"])
            else:
                self._answers.put(value)
        self._answers.put(None)

    def send(self, do, **arguments):
        try:
            self.process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass

    def answer(self):
        value = self._answers.get(timeout=120)
        if value is None:
            self._answers.put(None)
            raise Died(self.process.wait())
        return value

    def __getattr__(self, do):
        def call(**arguments):
            self.send(do, **arguments)
            if do == "at":
                return None
            answer = self.answer()
            while answer.get("re") != do:   # answers of a handler, steps of a trace
                answer = self.answer()
            return answer
        return call

    def install(self, source, **options):
        """Submit and wait; the job's final state, with its record."""
        answer = self.submit(source=str(source), **options)
        assert answer["code"] == "ok", answer
        self.settle(answer["job"])
        return self.job(job=answer["job"])

    def settle(self, job):
        """Wait for the end of a job and for its last event, which another thread prints."""
        assert self.wait(job=job)["code"] == "ok"
        for _ in range(1000):
            if any(e["job"] == job and e["event"].split(".")[1] in TERMINAL
                   for e in list(self.events)):
                return
            time.sleep(0.01)
        raise AssertionError("no last event")

    def names(self, job=None):
        """Event names without repetition of progress."""
        found = []
        for event in self.events:
            if job is None or event["job"] == job:
                if not found or found[-1] != event["event"]:
                    found.append(event["event"])
        return found

    def finish(self):
        """Close stdin; the status of the process."""
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        status = self.process.wait(120)
        self._reader.join(10)
        self.stderr.close()
        return status

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        status = self.finish()
        if unused[0] is None:
            assert status == 0, f"the host ended with {status}"


def put(folder, files):
    for name, content in files.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copy(content, path)
        else:
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            path.write_bytes(data)


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def tree(folder):
    """relative path -> sha256 of all regular files below a folder, hidden ones too."""
    folder = Path(folder)
    return {str(p.relative_to(folder)): sha256(p) for p in sorted(folder.rglob("*"))
            if p.is_file() and not p.is_symlink()}


def visible(folder):
    return {name: value for name, value in tree(folder).items()
            if not any(part.startswith(".") for part in name.split("/"))}


@contextlib.contextmanager
def database(root):
    """A copy of the record store, opened: the reader must not be the one that recovers the log."""
    source = Path(root, "databases")
    if not (source / "modelmgr.db").exists():
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        for path in source.glob("modelmgr.db*"):
            shutil.copy(path, folder)
        connection = sqlite3.connect(Path(folder, "modelmgr.db"))
        try:
            yield connection
        finally:
            connection.close()


def rows(root):
    """Records by the database alone: [{"key", "location", "files": {path: (size, sha256)}}]."""
    with database(root) as connection:
        if connection is None or not connection.execute(
                "SELECT 1 FROM sqlite_master WHERE name = 'mmgr_models'").fetchone():
            return []
        found = []
        for number, key, path in connection.execute(
                "SELECT id, key, path FROM mmgr_models").fetchall():
            files = connection.execute("SELECT path, size, sha256 FROM mmgr_files WHERE id = ?",
                                       (number,))
            found.append({"key": key, "location": Path(root, "models", path),
                          "files": {name: (size, digest) for name, size, digest in files}})
        return found


def sidecar_of(row):
    """Where the side-car of a record's model lies."""
    location = row["location"]
    return (location.parent if "" in row["files"] else location) / SIDECAR


def sidecar_faults(root, row):
    """What is wrong with the side-car of a record; only a placed model must have one."""
    path, models = sidecar_of(row), Path(root, "models")
    placed = models in path.parents and len(path.relative_to(models).parts) == 4
    if not path.is_file():
        return [f"record {row['key']} has no side-car"] if placed else []
    found = json.loads(path.read_text())
    files = {file["path"]: (file["size"], file.get("sha256")) for file in found["files"]}
    wrong = []
    if found["record"]["key"] != row["key"]:
        wrong.append(f"{path} is the side-car of {found['record']['key']}, not {row['key']}")
    if files != row["files"]:
        wrong.append(f"{path} lists other files than the record")
    return wrong


def journals(root):
    """The journals in staging: {folder: content}."""
    found = {}
    staging = Path(root, "models", ".staging")
    for path in staging.glob("*/journal.json") if staging.is_dir() else ():
        found[path.parent.name] = json.loads(path.read_text())
    return found


def violations(root, wanted=None):
    """What is wrong with a root at rest. `wanted`: sets of file hashes that a model may have."""
    root, wrong = Path(root), []
    owned = set()
    for row in rows(root):
        location = row["location"]
        if not row["files"]:
            wrong.append(f"record {row['key']} has no files")
        owned.add(sidecar_of(row))
        wrong += sidecar_faults(root, row)
        for name, (size, digest) in row["files"].items():
            path = location / name if name else location
            owned.add(path)
            if not path.is_file():
                wrong.append(f"record {row['key']} lacks {path}")
            elif path.stat().st_size != size:
                wrong.append(f"{path} has {path.stat().st_size} bytes, not {size}")
            elif digest and sha256(path) != digest:
                wrong.append(f"{path} has other bytes")
        if wanted is not None:
            have = frozenset(sha256(location / n if n else location) for n in row["files"]
                             if (location / n if n else location).is_file())
            if have not in wanted:
                wrong.append(f"record {row['key']} is not the whole model: {sorted(row['files'])}")
    claimed = []
    for journal in journals(root).values():
        if journal["state"] == "placing":
            claimed.append(root / "models" / journal["folder"])
        if journal["state"] == "removing":
            claimed.append(Path(journal["location"]))
    models = root / "models"
    for path in models.rglob("*") if models.is_dir() else ():
        relative = path.relative_to(models)
        if path.is_dir() or relative.parts[0] == ".staging":
            continue
        if path not in owned and not any(c == path or c in path.parents for c in claimed):
            wrong.append(f"{relative} belongs to no record and no journal")
    return wrong


def left_in_staging(root):
    """What a root at rest without unfinished jobs should not have."""
    staging = Path(root, "models", ".staging")
    found = staging.iterdir() if staging.is_dir() else ()
    return sorted(p.name for p in found if p.name != "place.lock")
