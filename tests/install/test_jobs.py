# SPDX-License-Identifier: MIT
"""Jobs while they run: control in each state, faults of network and disk, other processes."""

import errno
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from driver import Host, REMOVE_FORCE, REMOVE_INSIDE, REMOVE_KEEP, TERMINAL, left_in_staging, \
    put, rows, sha256, tree, violations, visible
from loopback_hub import LoopbackHub

SLOW = {"kind": "slow", "host": "cdn", "rate": 3_000_000}


def bytes_sent(hub):
    return sum(e["sent"] for e in hub.log.entries() if e["host"] == "cdn")


def until(check, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = check()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError("it did not come about")


def status(host, job):
    return host.job(job=job)["status"]


def running(host, job, least=1):
    until(lambda: host.job(job=job)["bytes"] >= least)


def one_end(host, job):
    ends = [e["event"] for e in host.events
            if e["job"] == job and e["event"].split(".")[1] in TERMINAL]
    assert len(ends) == 1, ends
    assert [e for e in host.events if e["job"] == job][-1]["event"] == ends[0]
    return ends[0]


def test_pause_and_resume(host, hub, root):
    hub.faults.install(SLOW)
    job = host.submit(source="acme/pipe")["job"]
    running(host, job, 6_000_000)
    assert host.pause(job=job)["code"] == "ok"
    until(lambda: status(host, job) == "paused")
    assert host.pause(job=job)["code"] == "ok"
    assert host.wait_all()["code"] == "ok"
    assert host.wait(job=job, seconds=0)["code"] == "timeout"
    kept = host.job(job=job)["bytes"]
    hub.faults.install([], replace=True)
    assert host.resume(job=job)["code"] == "ok"
    host.settle(job)
    done = host.job(job=job)
    assert done["status"] == "completed" and kept <= done["total"], done
    assert "install.paused" in host.names()
    assert one_end(host, job) == "install.completed"
    assert bytes_sent(hub) < done["total"] + 3_000_000
    for call in (host.pause, host.resume, host.cancel):
        assert call(job=job)["code"] == "state"
    assert host.resume(job=99)["code"] == "unknown_job"


def test_the_last_word_counts(host, hub):
    hub.faults.install(SLOW)
    job = host.submit(source="acme/pipe")["job"]
    running(host, job)
    for _ in range(5):
        assert host.pause(job=job)["code"] == "ok"
        assert host.resume(job=job)["code"] == "ok"
    hub.faults.install([], replace=True)
    assert host.wait(job=job)["code"] == "ok"
    assert status(host, job) == "completed"


@pytest.mark.parametrize("state", ["waiting", "downloading", "paused", "recovered", "completed"])
def test_cancel(root, hub, state):
    hub.faults.install(SLOW)
    with Host(root, hub.endpoint) as host:
        job = host.submit(source="acme/pipe")["job"]
        if state != "waiting":
            running(host, job)
        if state == "paused":
            host.pause(job=job)
            until(lambda: status(host, job) == "paused")
        if state == "completed":
            hub.faults.install([], replace=True)
            host.settle(job)
        if state == "recovered":
            assert host.close()["jobs"] == ["paused"]
            assert host.open(root=str(root))["code"] == "ok"
            host.events.clear()
            [job] = [j["id"] for j in host.jobs()["jobs"]]
            assert status(host, job) == "paused" and left_in_staging(root)
        answer = host.cancel(job=job)
        assert answer["code"] == ("state" if state == "completed" else "ok"), answer
        host.settle(job)
        if state != "completed":
            assert status(host, job) == "cancelled" and one_end(host, job) == "install.cancelled"
            assert rows(root) == []
        assert left_in_staging(root) == []
        again = host.submit(source="acme/pipe")["job"]
        assert again != job
        host.cancel(job=again)
        host.wait(job=again)
    assert not violations(root)


@pytest.mark.parametrize("action,end", [
    ("decide_cancel", "install.cancelled"), ("cancel", "install.cancelled"),
    ("decide_fail", "install.error")])
def test_a_handler_ends_the_job(host, hub, root, action, end):
    hub.faults.install(SLOW)
    host.at(event="install.downloading", action=action)
    job = host.install("acme/pipe")
    assert job["status"] == end.split(".")[1], job
    assert one_end(host, job["id"]) == end
    if action == "decide_fail":
        assert job["error"]["code"] == "cancelled"
    assert left_in_staging(root) == []


def test_a_handler_pauses_the_job(host, hub):
    hub.faults.install(SLOW)
    host.at(event="install.downloading", action="decide_pause")
    job = host.submit(source="acme/pipe")["job"]
    until(lambda: status(host, job) == "paused")
    hub.faults.install([], replace=True)
    host.resume(job=job)
    host.wait(job=job)
    assert status(host, job) == "completed"


def test_a_handler_sees_the_completed_job_and_cannot_close(host, models):
    host.at(event="install.completed", action="record")
    assert host.install(models / "emb.safetensors")["status"] == "completed"
    assert until(lambda: [x for x in host.lines if b'"re":"at"' in x])[0].count(b'"code":"ok"')
    host.at(event="install.completed", action="close")
    assert host.install(models / "emb2.safetensors")["status"] == "completed"
    said = until(lambda: [x for x in host.lines if b'"re":"at"' in x][1:])
    assert b'"code":"busy"' in said[0]


def test_close_while_downloading_then_resume_fetches_the_rest(root, hub):
    hub.faults.install(SLOW)
    with Host(root, hub.endpoint) as host:
        job = host.submit(source="acme/pipe", overrides={"description": "kept"})["job"]
        running(host, job, 4_000_000)
        assert host.close()["jobs"] == ["paused"]
        assert host.open(root=str(root))["code"] == "ok"
        [paused] = host.jobs(source="acme/pipe")["jobs"]
        assert paused["status"] == "paused" and paused["config_in"]
        hub.faults.install([], replace=True)
        host.events.clear()
        assert host.resume(job=paused["id"])["code"] == "ok"
        assert host.wait(job=paused["id"])["code"] == "ok"
        done = host.job(job=paused["id"])
        assert done["status"] == "completed", done
        assert done["record"]["key"] == paused["key"]
        assert done["record"]["description"] == "kept"
    assert bytes_sent(hub) < done["total"] + 2_000_000
    assert not violations(root) and left_in_staging(root) == []


def test_a_new_submission_takes_the_interrupted_job_up(root, hub):
    hub.faults.install(SLOW)
    with Host(root, hub.endpoint) as host:
        running(host, host.submit(source="acme/pipe")["job"], 2_000_000)
    hub.faults.install([], replace=True)
    with Host(root, hub.endpoint) as host:
        [paused] = host.jobs()["jobs"]
        job = host.install("acme/pipe")
        assert job["id"] == paused["id"] and job["status"] == "completed"
        assert host.prune()["code"] == "ok" and host.jobs()["jobs"] == []


def test_a_job_goes_on_at_the_hub_that_is_configured_now(root, hub, repos):
    """The hub of the first try is gone; what came from it is not fetched again."""
    with LoopbackHub(repos) as first:
        first.faults.install(SLOW)
        with Host(root, first.endpoint) as host:
            running(host, host.submit(source="acme/pipe")["job"], 4_000_000)
    with Host(root, hub.endpoint) as host:
        job = host.install("acme/pipe")
        assert job["status"] == "completed", job
        assert job["record"]["source_url"] == f"{hub.endpoint}/acme/pipe"
    assert bytes_sent(hub) < job["total"] - 1_000_000
    assert not violations(root) and left_in_staging(root) == []


def test_the_same_source_twice_is_one_job(host, hub):
    hub.faults.install(SLOW)
    first, second = host.submit(source="acme/pipe"), host.submit(source="hf:acme/pipe")
    assert first["job"] == second["job"]
    assert len(host.jobs()["jobs"]) == 1
    host.cancel(job=first["job"])
    host.wait(job=first["job"])


def test_a_wrong_hash_twice_drops_the_bytes(host, hub, root):
    hub.faults.install({"kind": "flip", "host": "cdn", "offset": 5000, "bit": 1})
    job = host.install("acme/emb")
    assert job["error"]["code"] == "hash_mismatch", job
    assert left_in_staging(root) == [] and rows(root) == []
    hub.faults.install([], replace=True)
    assert host.install("acme/emb")["status"] == "completed"


def test_a_truncated_body_is_continued(host, hub):
    hub.faults.install({"kind": "truncate", "host": "cdn", "bytes": 1_000_000, "times": 3})
    job = host.install("acme/pipe")
    assert job["status"] == "completed", job
    assert any(e["range"] and e["range"] != "bytes=0-" for e in hub.log.entries()
               if e["host"] == "cdn")
    assert bytes_sent(hub) < job["total"] + 1_000_000


def test_a_full_disk_keeps_the_bytes(host, hub, root):
    assert host.arm(fail=60, times=10**9, errno=errno.ENOSPC)["code"] == "ok"
    job = host.install("acme/pipe")
    assert job["status"] == "error" and job["error"]["code"] == "no_space", job
    assert host.disarm()["code"] == "ok"
    assert rows(root) == [] and not violations(root)
    job = host.install("acme/pipe")
    assert job["status"] == "completed", job


def test_a_really_full_disk(root, hub, tmp_path):
    """A file system of 6 MiB; the pipeline has 14."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "none", small],
                      stderr=subprocess.DEVNULL).returncode:
        pytest.skip("mounting needs rights")
    try:
        with Host(small / "root", hub.endpoint) as host:
            job = host.install("acme/pipe")
            assert job["error"]["code"] == "no_space", job
            subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)
            assert host.install("acme/pipe")["status"] == "completed"
        assert not violations(small / "root")
    finally:
        subprocess.run(["umount", small], check=False)


def test_two_processes_at_once(root, hub):
    hub.faults.install(SLOW)
    with Host(root, hub.endpoint) as one, Host(root, hub.endpoint) as two:
        jobs = [(h, h.submit(source="acme/pipe")["job"]) for h in (one, two)]
        ends = []
        for host, job in jobs:
            host.wait(job=job)
            ends.append(host.job(job=job))
        assert sorted(e["status"] for e in ends) == ["completed", "error"], ends
        [error] = [e["error"]["code"] for e in ends if "error" in e]
        assert error in ("busy", "duplicate_model")
        total = next(e["total"] for e in ends if e["status"] == "completed")
    assert len(rows(root)) == 1 and not violations(root) and left_in_staging(root) == []
    assert bytes_sent(hub) <= total


def test_many_processes_with_clashing_names(root, hub, models, tmp_path):
    hosts = [Host(root, hub.endpoint) for _ in range(4)]
    for number, host in enumerate(hosts):
        put(tmp_path / str(number), {"Same.safetensors": models / "emb.safetensors"})
        host.send("submit", source=str(tmp_path / str(number) / "Same.safetensors"))
    for host in hosts:
        host.wait(job=host.answer()["job"])
        assert host.job(job=1)["status"] == "completed"
        assert host.finish() == 0
    assert sorted(r["location"].parent.name for r in rows(root)) == [
        "Same", "Same~2", "Same~3", "Same~4"]
    assert not violations(root)


def test_many_installs_at_once(host, hub, models, tmp_path):
    jobs = []
    for number in range(8):
        put(tmp_path / str(number), {f"m{number}.safetensors": models / "emb.safetensors"})
        path = tmp_path / str(number) / f"m{number}.safetensors"
        jobs.append(host.submit(source=str(path))["job"])
    jobs.append(host.submit(source="acme/pipe")["job"])
    jobs.append(host.submit(source="acme/emb")["job"])
    assert host.wait_all()["code"] == "ok"
    for job in jobs:
        host.settle(job)
    assert {status(host, job) for job in jobs} == {"completed"}
    for job in jobs:
        one_end(host, job)


def test_remove(host, models, root, tmp_path):
    put(tmp_path, {"in/x.safetensors": models / "emb.safetensors"})
    stays = host.install(tmp_path / "in/x.safetensors", flags=1)["record"]
    answer = host.remove(key=stays["key"], mode=REMOVE_INSIDE)
    assert answer["code"] == "ok" and answer["out"] == []
    assert (tmp_path / "in/x.safetensors").exists()
    forced = host.install(tmp_path / "in/x.safetensors", flags=1)["record"]
    answer = host.remove(key=forced["key"], mode=REMOVE_FORCE)
    assert answer["out"] == [str(tmp_path / "in/x.safetensors")]
    assert not (tmp_path / "in/x.safetensors").exists() and (tmp_path / "in").exists()
    inside = host.install(models / "sd1")["record"]
    expected = sorted(f"{inside['_location']}/{n}" for n in visible(inside["_location"]))
    answer = host.remove(key=inside["key"], mode=REMOVE_INSIDE)
    assert sorted(answer["out"]) == expected
    assert not (root / "models/sd-1").exists() and (root / "models").exists()
    assert host.remove(key=inside["key"], mode=REMOVE_INSIDE)["code"] == "unknown_model"
    assert host.remove(key="../../etc", mode=REMOVE_INSIDE)["code"] == "unknown_model"
    assert host.remove(key=inside["key"], mode=7)["code"] == "argument"
    assert left_in_staging(root) == []


def test_remove_that_keeps_the_files(host, models, root):
    record = host.install(models / "emb.safetensors")["record"]
    assert host.remove(key=record["key"], mode=REMOVE_KEEP)["out"] == []
    assert os.path.exists(record["_location"]) and rows(root) == []
    assert host.sync()["out"]["orphans"] == [record["_location"]]
    os.unlink(record["_location"])


def test_remove_touches_only_what_was_recorded(host, models, root):
    record = host.install(models / "sd1")["record"]
    place = root / "models" / record["path"]
    changed, foreign = place / "unet/config.json", place / "unet/notes.txt"
    changed.write_text(changed.read_text() + " ")
    foreign.write_text("mine")
    shutil.copy(place / "vae/config.json", place / "vae/copy.json")
    os.rename(place / "vae/copy.json", place / "vae/config.json")     # the same bytes, another file
    answer = host.remove(key=record["key"], mode=REMOVE_INSIDE)
    assert answer["code"] == "ok"
    assert sorted(str(p.relative_to(place)) for p in place.rglob("*") if p.is_file()) == [
        "unet/config.json", "unet/notes.txt", "vae/config.json"]
    assert str(changed) not in answer["out"]
    shutil.rmtree(place)


def test_remove_follows_no_link(host, models, root, tmp_path):
    record = host.install(models / "sd1")["record"]
    place = root / "models" / record["path"]
    os.rename(place, tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", place)
    before = tree(tmp_path / "elsewhere")
    answer = host.remove(key=record["key"], mode=REMOVE_INSIDE)
    assert answer["code"] == "unsafe_path" and tree(tmp_path / "elsewhere") == before
    assert len(rows(root)) == 1
    os.unlink(place)
    os.rename(tmp_path / "elsewhere", place)
    os.rename(place / "unet", tmp_path / "unet")
    os.symlink(tmp_path / "unet", place / "unet")
    before = tree(tmp_path / "unet")
    assert host.remove(key=record["key"], mode=REMOVE_INSIDE)["code"] == "ok"
    assert tree(tmp_path / "unet") == before
    shutil.rmtree(place)


def test_a_record_that_points_outside_deletes_nothing(host, models, root, tmp_path):
    record = host.install(models / "emb.safetensors")["record"]
    victim = tmp_path / "victim.safetensors"
    os.link(record["_location"], victim)          # the same device, inode and size
    for path in (str(victim), "../../victim.safetensors"):
        host.update(key=record["key"], patch={"path": path})
        answer = host.remove(key=record["key"], mode=REMOVE_INSIDE)
        assert victim.exists(), (path, answer)
        if answer["code"] == "ok":
            break
    shutil.rmtree(Path(record["_location"]).parent)    # the file, and the side-car beside it


def test_an_install_follows_no_link_out_of_models(root, hub, models, tmp_path):
    (tmp_path / "outside").mkdir()
    (root / "models").mkdir(parents=True)
    os.symlink(tmp_path / "outside", root / "models/sd-1")
    with Host(root, hub.endpoint) as host:
        job = host.install(models / "emb.safetensors")
        assert job["error"]["code"] == "unsafe_path", job
    assert list((tmp_path / "outside").rglob("*")) == []


def test_remove_in_a_read_only_folder_changes_nothing(hub, models):
    """As another user, since root may delete anywhere."""
    if os.geteuid() != 0:
        pytest.skip("needs another user")
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        root = base / "root"
        put(base / "ro", {"x.safetensors": models / "emb.safetensors"})
        with Host(root, hub.endpoint) as host:
            record = host.install(base / "ro/x.safetensors", flags=1)["record"]
        os.chmod(base, 0o755)
        for path in [root, *root.rglob("*"), base / "root-home", *(base / "root-home").rglob("*")]:
            os.chown(path, 65534, 65534)
        host = Host(root, hub.endpoint, opened=False, user=65534, group=65534, extra_groups=[])
        if host.open(root=str(root))["code"] != "ok":
            pytest.skip("another user cannot run the host")
        answer = host.remove(key=record["key"], mode=REMOVE_FORCE)
        assert answer["code"] == "permission", answer
        assert len(rows(root)) == 1 and (base / "ro/x.safetensors").exists()
        assert left_in_staging(root) == []
        assert host.finish() == 0


def test_sync(host, models, root):
    kept = host.install(models / "sd1")["record"]
    gone = host.install(models / "emb.safetensors")["record"]
    os.unlink(gone["_location"])
    put(root / "models/sd-1/lora",
        {"found.safetensors": models / "emb2.safetensors", "notes.txt": b"x"})
    before = tree(root / "models")
    out = host.sync()["out"]
    assert out["missing"] == [{"key": gone["key"], "path": gone["path"]}]
    assert out["orphans"] == [str(root / "models/sd-1/lora/found.safetensors")]
    assert out["added"] == []
    assert tree(root / "models") == before and len(rows(root)) == 2
    host.remove(key=gone["key"], mode=REMOVE_INSIDE)
    shutil.rmtree(root / "models/sd-1/lora")
    assert host.sync()["out"] == {"added": [], "missing": [], "orphans": []}
    assert kept["key"] == rows(root)[0]["key"]
    # one file of many is enough to miss
    next((root / "models").rglob("unet/*.safetensors")).unlink()
    assert host.sync()["out"]["missing"] == [{"key": kept["key"], "path": kept["path"]}]
    host.remove(key=kept["key"], mode=REMOVE_INSIDE)


def test_a_local_source_that_changed_is_copied_anew(root, hub, models, tmp_path):
    shutil.copytree(models / "sd1", tmp_path / "src")
    with Host(root, hub.endpoint) as host:
        host.arm(fail=70, times=10**9, errno=errno.ENOSPC)
        assert host.install(tmp_path / "src")["error"]["code"] == "no_space"
        host.disarm()
        with open(tmp_path / "src/model_index.json", "a", encoding="utf-8") as index:
            index.write("\n")
        job = host.install(tmp_path / "src")
        assert job["status"] == "completed", job
        assert visible(job["record"]["_location"]) == visible(tmp_path / "src")
    assert not violations(root)


def test_a_moved_source_that_changed_stays(root, hub, models, tmp_path):
    """The copy is in its place; a file that was written to meanwhile is not deleted."""
    put(tmp_path, {"src.safetensors": models / "emb.safetensors"})
    with Host(root, hub.endpoint) as host:
        host.at(event="install.running", action="record")
        job = host.install(tmp_path / "src.safetensors", flags=2)
        assert job["status"] == "completed" and not (tmp_path / "src.safetensors").exists()
        assert sha256(job["record"]["_location"]) == sha256(models / "emb.safetensors")
