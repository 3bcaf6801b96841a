# SPDX-License-Identifier: MIT
"""One add to a YAML store is killed, or fails, at each of its system calls, as strace counts them.

What the file holds is read with PyYAML alone: the records before, byte for byte, or those after."""
import os
import signal
import subprocess

import pytest
import yaml

HOST = os.environ["MMGR_YAML_HOST"]
HEAD = "# mine\n"
# Calls of one kind share a counter; the loader's own are among them, so all are visited until none is left.
CALLS = ("rename,renameat,renameat2", "fsync,fdatasync", "unlink,unlinkat", "pwrite64", "pread64", "fchmod,fchown",
         "fcntl", "newfstatat,fstat,stat,lstat", "openat", "close", "write")
# After these the file may be the new one although the add says that it failed: the sync of the folder.
LATE = {"fsync,fdatasync", "openat"}


def run(path, key, inject=None, *more):
    wrap = []
    if inject is not None:
        call, what = inject
        wrap = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:{what}"]
    return subprocess.run([*wrap, HOST, str(path), key, *more], capture_output=True, text=True, timeout=60)


@pytest.fixture
def store(tmp_path):
    """Path of a store with one record, and its bytes."""
    folder = tmp_path / "store"
    folder.mkdir()
    path = folder / "models.yaml"
    path.write_text(HEAD)
    assert run(path, "old").stdout == "ok\n"
    return path, path.read_bytes()


def keys(path):
    """Of the records; None when the file is none of the two that it may be."""
    try:
        root = yaml.safe_load(path.read_text())
        found = sorted(root["models"])
    except (yaml.YAMLError, KeyError, TypeError, OSError):
        return None
    whole = all(set(model) >= {"name", "path", "updated_at"} for model in root["models"].values())
    return found if whole and root["modelmgr_store"] == 1 and path.read_text().startswith(HEAD) else None


def violations(path, before, result, late):
    """What is wrong after an add that was disturbed."""
    killed = result.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)
    now = keys(path)
    found = []
    if path.read_bytes() != before and now != ["new", "old"]:
        found.append(f"holds {now}")
    if result.returncode == 0 and now != ["new", "old"]:
        found.append("lacks what was added")
    if result.returncode != 0 and not killed and not late and path.read_bytes() != before:
        found.append(f"changed by an add that failed: {result.stdout}")
    again = run(path, "last")
    if again.stdout != "ok\n" or "last" not in (keys(path) or []):
        found.append(f"does not go on: {again.stdout}")
    if os.listdir(path.parent) != [path.name]:
        found.append(f"left {os.listdir(path.parent)}")
    return found


def sweep(store, what, calls, *more):
    """The violations, and how many calls were met."""
    path, before = store
    found, met = [], 0
    for call in calls:
        for when in range(1, 1000):
            path.write_bytes(before)
            result = run(path, "new", (call, f"{what}:when={when}"), *more)
            undisturbed = result.returncode == 0
            found += [f"{call} {when}: {v}" for v in violations(path, before, result, call in LATE)]
            met += not undisturbed
            if undisturbed and run_counts(path, before, call, more) < when:
                break
    return found, met


def run_counts(path, before, call, more, cache={}):
    """How many calls of a kind an undisturbed add makes."""
    if (call, more) not in cache:
        path.write_bytes(before)
        log = path.parent.parent / "log"
        subprocess.run(["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={call}", HOST, str(path), "new", *more],
                       check=True, capture_output=True, timeout=60)
        cache[call, more] = len(log.read_text().splitlines())
    return cache[call, more]


def test_kill_at_each_system_call(store):
    found, met = sweep(store, "signal=KILL", CALLS)
    print(f"killed at {met} system calls")
    assert found == [] and met >= 40


@pytest.mark.parametrize("name", ["EIO", "ENOSPC"])
def test_an_error_at_each_system_call(store, name):
    found, met = sweep(store, f"error={name}", CALLS[:9])
    print(f"{name}: {met} calls failed")
    assert found == [] and met >= 15


def test_the_sweep_notices_a_save_in_place(store):
    """The control: without a temporary file a kill leaves half a store."""
    found, _ = sweep(store, "signal=KILL", ("pwrite64",), "careless")
    assert any("holds" in v for v in found), found
