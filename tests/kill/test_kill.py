# SPDX-License-Identifier: MIT
"""A host is killed, or fails, at each numbered step of the disk, and is started again.

The steps are those that pass the library's door to the disk, and the store's points before and
after its commits. What must hold is checked with sqlite3 and the file tree alone
(driver.violations). Every point is visited with MMGR_KILL=full; otherwise an even sample."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import driver
from driver import Died, Host, journals, left_in_staging, rows, sha256, tree, violations

FULL = os.environ.get("MMGR_KILL") == "full"
NOWHERE = "http://127.0.0.1:9"
HUB_SOURCE = "acme/pipe::vae"


def sample(count, most):
    """1 … count, or at most `most` of them, evenly spread, with both ends."""
    if FULL or count <= most:
        return list(range(1, count + 1))
    return sorted({1 + round(i * (count - 1) / (most - 1)) for i in range(most)})


class Scenario:
    """What is killed. `wanted`: the file hashes of the whole model."""

    def __init__(self, name, hub, models):
        self.name, self.hub, self.models = name, hub, models
        self.source = {"hub": HUB_SOURCE, "local": str(models / "small"),
                       "remove": str(models / "small")}[name]
        folder = models / "small"
        files = [p for p in folder.rglob("*") if p.is_file()]
        if name == "hub":
            files = [models / "sd1/vae/config.json",
                     models / "sd1/vae/diffusion_pytorch_model.fp16.safetensors"]
        self.wanted = {frozenset(sha256(p) for p in files)}

    def prepare(self, root):
        shutil.rmtree(root, ignore_errors=True)
        if self.name == "remove":
            with Host(root, NOWHERE) as host:
                assert host.install(self.source)["status"] == "completed"

    def act(self, host, **point):
        """Arm and do it; the number of steps. Died when it was killed."""
        key = host.records()["records"][0]["key"] if self.name == "remove" else None
        assert host.arm(**point)["code"] == "ok"
        if self.name == "remove":
            self.answer = host.remove(key=key, mode=driver.REMOVE_INSIDE)
        else:
            self.answer = host.install(self.source)
        return host.disarm()["count"]

    def kill(self, root, at):
        """1 when it was killed at that step."""
        self.prepare(root)
        host = Host(root, self.hub.endpoint)
        try:
            self.act(host, kill=at)
        except Died as died:
            assert died.args[0] == -signal.SIGKILL, died
            host.finish()
            return 1
        assert host.finish() == 0
        return 0

    def complete(self, root):
        """Bring it to its end with the network there."""
        with Host(root, self.hub.endpoint) as host:
            paused = host.jobs()["jobs"]
            assert len(paused) <= 1, paused
            for job in paused:
                assert job["status"] == "paused", job
                assert host.resume(job=job["id"])["code"] == "ok"
                host.settle(job["id"])
                assert host.job(job=job["id"])["status"] == "completed", host.job(job=job["id"])
            if self.name == "remove":
                for record in host.records()["records"]:
                    assert host.remove(key=record["key"], mode=driver.REMOVE_INSIDE)["code"] == "ok"
            elif not host.records()["records"]:
                assert not paused
                assert host.install(self.source)["status"] == "completed"

    def check_end(self, root):
        found = violations(root, self.wanted)
        if len(rows(root)) != (0 if self.name == "remove" else 1):
            found.append(f"{len(rows(root))} records")
        left = [name for name in tree(root / "models") if not name.startswith(".staging/")]
        if self.name == "remove" and left:
            found.append("files are left")
        found += [f"{name} is left in staging" for name in left_in_staging(root)]
        return found


def state(root):
    return tree(root / "models") if (root / "models").is_dir() else {}, rows(root)


def reopen(root):
    """Open and close without a network: recovery alone. What it did wrong."""
    with Host(root, NOWHERE) as host:
        busy = [j for j in host.jobs()["jobs"] if j["status"] != "paused"]
    return violations(root) + [f"a job is {j['status']}" for j in busy]


def after_a_kill(scenario, root):
    """All that must hold from a killed host to the completed work: violations, as texts."""
    found = [f"before recovery: {v}" for v in violations(root, scenario.wanted)]
    found += [f"after recovery: {v}" for v in reopen(root)]
    once = state(root)
    found += [f"after the second recovery: {v}" for v in reopen(root)]
    if state(root) != once:
        found.append("the second recovery changed something")
    scenario.complete(root)
    return found + scenario.check_end(root)


@pytest.fixture(scope="session")
def small(models):
    """A model of few and small files, so that a sweep over all steps is quick."""
    folder = models / "small"
    if not folder.exists():
        folder.mkdir()
        shutil.copy(models / "sd1/vae/config.json", folder)
        shutil.copy(models / "sd1/vae/diffusion_pytorch_model.fp16.safetensors", folder)
    return folder


@pytest.fixture(params=["hub", "local", "remove"])
def scenario(request, hub, models, small):
    return Scenario(request.param, hub, models)


def steps(scenario, root):
    """How many steps the undisturbed work has, and that it works."""
    scenario.prepare(root)
    with Host(root, scenario.hub.endpoint) as host:
        count = scenario.act(host)
    assert scenario.check_end(root) == []
    return count


def test_kill_at_each_step(scenario, tmp_path):
    root = tmp_path / "root"
    count = steps(scenario, root)
    points = sample(count, {"hub": 30, "local": 16, "remove": 10}[scenario.name])
    killed, found = 0, []
    for point in points:
        killed += scenario.kill(root, point)
        found += [f"step {point}: {v}" for v in after_a_kill(scenario, root)]
    print(f"{scenario.name}: {count} steps, killed at {killed} of {len(points)}")
    assert found == []
    # A run has a few steps fewer when its bytes arrive in fewer pieces, as on a busy machine.
    assert killed >= len(points) - max(2, len(points) // 5)


def test_kill_again_during_recovery(scenario, tmp_path):
    root = tmp_path / "root"
    count = steps(scenario, root)
    late = [p for p in range(1, count + 1) if p > count - 14]
    found, killed = [], 0
    for point in sample(len(late), 3):
        for second in range(1, 40) if FULL else (1, 4, 9):
            if not scenario.kill(root, late[point - 1]):
                break
            host = Host(root, NOWHERE, opened=False)
            try:
                host.arm(kill=second)
                host.open(root=str(root))
                host.close()
            except Died:
                killed += 1
            host.finish()
            found += [f"steps {late[point - 1]}, {second}: {v}"
                      for v in after_a_kill(scenario, root)]
    print(f"{scenario.name}: killed twice at {killed}")
    assert found == [] and killed > 0


@pytest.mark.parametrize("name,code", [("EIO", "io"), ("ENOSPC", "no_space")])
def test_an_error_at_each_step(scenario, tmp_path, name, code):
    root = tmp_path / "root"
    count = steps(scenario, root)
    found, failed = [], 0
    for point in sample(count, 8 if scenario.name == "hub" else 6):
        scenario.prepare(root)
        with Host(root, scenario.hub.endpoint) as host:
            scenario.act(host, fail=point, errno=getattr(errno, name))
            answer = scenario.answer
            error = answer.get("error", {}).get("code") or answer["code"]
            if error != "ok":
                failed += 1
                if error != code:
                    found.append(f"step {point}: {error} instead of {code}: {answer}")
            found += [f"step {point}: {v}" for v in violations(root, scenario.wanted)]
            if scenario.name == "remove":
                for record in host.records()["records"]:
                    host.remove(key=record["key"], mode=driver.REMOVE_INSIDE)
            elif error != "ok":
                again = host.install(scenario.source)
                if again["status"] != "completed":
                    found.append(f"step {point}: the second try ends {again}")
        found += reopen(root)
        found += [f"step {point}: {v}" for v in scenario.check_end(root)]
    assert found == [] and failed > 0


def test_the_sweep_notices_an_installer_without_a_journal(hub, models, small, tmp_path):
    """The control: journals are thrown away before the restart, as if none had been written."""
    root, scenario = tmp_path / "root", Scenario("local", hub, models)
    count, found = steps(scenario, root), []
    for point in range(count, 0, -1):
        scenario.kill(root, point)
        lost = [name for name, journal in journals(root).items() if journal["state"] == "placing"]
        for name in lost:
            os.unlink(root / "models/.staging" / name / "journal.json")
        found = violations(root, scenario.wanted) + reopen(root) if lost else []
        if found:
            break
    assert any("belongs to no record" in v for v in found), found


def test_the_sweep_notices_a_record_without_its_bytes(hub, models, small, tmp_path):
    """The control: a file of the recorded model is cut, or gone."""
    root, scenario = tmp_path / "root", Scenario("local", hub, models)
    steps(scenario, root)
    path = next(p for p in (root / "models").rglob("config.json"))
    path.write_bytes(path.read_bytes()[:-1])
    assert any("bytes, not" in v for v in scenario.check_end(root))
    path.unlink()
    assert any("lacks" in v for v in scenario.check_end(root))
    shutil.rmtree(root / "databases")
    assert any("belongs to no record" in v for v in scenario.check_end(root))


def test_the_sweep_notices_a_record_without_its_side_car(hub, models, small, tmp_path):
    """The control: the side-car is gone, or is that of another model or of other files."""
    root, scenario = tmp_path / "root", Scenario("local", hub, models)
    steps(scenario, root)
    [path] = (root / "models").rglob(driver.SIDECAR)
    whole = path.read_text()
    path.write_text(whole.replace(rows(root)[0]["key"], "0" * 32))
    assert any("is the side-car of" in v for v in scenario.check_end(root))
    path.write_text(whole.replace('"size":', '"size":1', 1))
    assert any("lists other files" in v for v in scenario.check_end(root))
    path.unlink()
    assert any("has no side-car" in v for v in scenario.check_end(root))


def test_kill_at_each_system_call(hub, models, small, tmp_path):
    """The same from outside: the kernel's calls are counted, those of SQLite among them."""
    root, scenario = tmp_path / "root", Scenario("local", hub, models)
    killed, found = 0, []
    for call in ("renameat2", "renameat,rename", "fsync,fdatasync", "unlinkat,unlink", "pwrite64",
                 "mkdirat,mkdir", "openat2", "openat", "ftruncate,fallocate"):
        step = 7 if call == "openat" else 1
        for when in range(1, 400, step):
            scenario.prepare(root)
            host = Host(root, hub.endpoint, opened=False, wrap=(
                "strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
                "-e", f"inject={call}:signal=KILL:when={when}"))
            try:
                host.open(root=str(root))
                host.install(scenario.source)
                host.close()
            except Died:
                pass
            if host.finish() == 0:
                break
            killed += 1
            found += [f"{call} {when}: {v}" for v in after_a_kill(scenario, root)]
    print(f"killed at {killed} system calls")
    assert found == [] and killed >= 50


if __name__ == "__main__":
    sys.exit(subprocess.call([sys.executable, "-m", "pytest", "-q", "-s", str(Path(__file__))]))
