# SPDX-License-Identifier: MIT
"""Models whose files were moved, and records that were lost: side-cars, relocate, relink, rebuild."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from driver import ALLOW_UNKNOWN, Died, Host, INPLACE, REMOVE_FORCE, REMOVE_INSIDE, REMOVE_KEEP, \
    SIDECAR, database, left_in_staging, put, tree, violations, visible

DRY_RUN = 1
SAME_EXCEPT = ("updated_at",)


@pytest.fixture
def host(root, hub):
    """Without the check of the shared fixture: here models are missing at the end."""
    with Host(root, hub.endpoint) as opened:
        yield opened


def installed(host, source, **options):
    job = host.install(source, **options)
    assert job["status"] == "completed", job
    return job["record"]


def sidecar(record):
    location = Path(record["_location"])
    return (location.parent if location.is_file() else location) / SIDECAR


def records(host):
    """By key, without what a rebuild may change."""
    return {r["key"]: {k: v for k, v in r.items() if k not in SAME_EXCEPT}
            for r in host.records()["records"]}


def identities(root):
    """Of the manifest: {(key, path): (size, hashes, mtime)}, by the database alone."""
    with database(root) as connection:
        return {(key, path): rest for key, path, *rest in connection.execute(
            "SELECT m.key, f.path, f.size, f.sha256, f.git_sha1, f.xxh3, f.blocks, f.mtime_ns, f.device,"
            " f.inode, f.flags FROM mmgr_files f JOIN mmgr_models m USING(id)")}


def reasons(report, name="unresolved", by="key"):
    return {row[by]: row["reason"] for row in report[name]}


# ---- side-cars ---


def test_a_placed_model_has_its_side_car(host, models, hub):
    for source, inside in ((models / "sd1", ""), (models / "emb.safetensors", "emb.safetensors"),
                           ("acme/emb", "learned.safetensors")):
        record = installed(host, source)
        found = json.loads(sidecar(record).read_text())
        assert found["modelmgr_record"] == 1
        assert found["record"]["path"] == inside
        assert found["record"]["key"] == record["key"]
        assert found["record"]["created_at"] == record["created_at"]
        assert [f["path"] for f in found["files"]] == [f["path"] for f in record["_files"]]
        assert not any("device" in f or "inode" in f for f in found["files"])
        assert all(f.get("sha256") or f.get("git_sha1") for f in found["files"])
        assert SIDECAR not in json.dumps(record)


def test_a_side_car_follows_the_record(host, models):
    record = installed(host, models / "emb.safetensors")
    before = sidecar(record).stat().st_ino
    assert host.update(key=record["key"], patch={"description": "words"})["code"] == "ok"
    found = json.loads(sidecar(record).read_text())
    assert found["record"]["description"] == "words" and found["record"]["updated_at"]
    assert sidecar(record).stat().st_ino != before      # replaced, never written over
    assert sorted(os.listdir(sidecar(record).parent)) == [SIDECAR, "emb.safetensors"]


@pytest.mark.parametrize("content", [None, "{", "another", "newer", "link"])
def test_an_update_leaves_what_is_no_side_car_of_the_record(host, models, tmp_path, content):
    record = installed(host, models / "emb.safetensors")
    path = sidecar(record)
    whole = path.read_text()
    if content is None:
        path.unlink()
    elif content == "link":
        path.unlink()
        (tmp_path / "outside.json").write_text(whole)
        path.symlink_to(tmp_path / "outside.json")
    else:
        path.write_text({"another": whole.replace(record["key"], "0" * 32),
                         "newer": whole.replace('"modelmgr_record":1', '"modelmgr_record":2')}
                        .get(content, content))
    before = path.read_text() if path.exists() else None
    assert host.update(key=record["key"], patch={"description": "words"})["code"] == "ok"
    assert (path.read_text() if path.exists() else None) == before
    assert path.is_symlink() == (content == "link")


def test_an_update_succeeds_where_its_side_car_cannot(host, models):
    """Each step of the side-car fails in turn; the record is committed all the same."""
    record = installed(host, models / "emb.safetensors")
    host.arm()
    host.update(key=record["key"], patch={"description": "0"})
    count = host.disarm()["count"]
    late = 0
    for step in range(1, count + 1):
        host.arm(fail=step, errno=5)
        code = host.update(key=record["key"], patch={"description": str(step)})["code"]
        host.disarm()
        now = host.records()["records"][0]["description"]
        assert (now == str(step)) == (code == "ok"), step
        if code == "ok":
            found = json.loads(sidecar(record).read_text())["record"]["description"]
            late += found != str(step)
    assert late >= 3        # opening, writing, syncing, renaming


def test_models_in_place_have_no_side_car(host, models, tmp_path):
    put(tmp_path, {"in/x.safetensors": models / "emb.safetensors"})
    record = installed(host, tmp_path / "in/x.safetensors", flags=INPLACE)
    host.update(key=record["key"], patch={"description": "words"})
    assert list(tree(tmp_path / "in")) == ["x.safetensors"]


def test_a_side_car_is_no_file_of_a_model(host, models, tmp_path):
    """A placed model, side-car and all, is a source like any other."""
    for source in (models / "sd1", models / "emb.safetensors"):
        record = installed(host, source)
        place = Path(record["_location"])
        copy = shutil.copytree(place if place.is_dir() else place.parent, tmp_path / source.name)
        assert (copy / SIDECAR).exists()
        again = installed(host, copy if place.is_dir() else copy / source.name,
                          overrides={"name": "again"})
        assert again["_files"] == record["_files"] and again["hash"] == record["hash"]
        assert json.loads(sidecar(again).read_text())["record"]["key"] == again["key"]
    assert host.sync()["out"] == {"added": [], "missing": [], "orphans": []}


def test_a_removal_takes_the_side_car_and_the_folder(host, root, models):
    for source in (models / "sd1", models / "emb.safetensors"):
        record = installed(host, source)
        (sidecar(record).parent / ".mmgr-0123456789abcdef.tmp").write_text("of a killed update")
        deleted = host.remove(key=record["key"], mode=REMOVE_INSIDE)["out"]
        assert len(deleted) == len(record["_files"])
        assert not any(SIDECAR in path for path in deleted)
        assert not (root / "models/sd-1").exists()
    kept = installed(host, models / "emb.safetensors")
    assert host.remove(key=kept["key"], mode=REMOVE_KEEP)["out"] == []
    assert list(visible(root / "models")) == ["sd-1/embedding/emb/emb.safetensors"]
    assert not sidecar(kept).exists()
    assert host.rebuild()["out"]["added"] == []
    assert left_in_staging(root) == []


def test_a_removal_leaves_the_side_car_of_another(host, root, models):
    """Someone recorded a second file in the folder of a placed model."""
    first = installed(host, models / "emb.safetensors")
    put(sidecar(first).parent, {"second.safetensors": models / "emb2.safetensors"})
    second = installed(host, sidecar(first).parent / "second.safetensors", flags=INPLACE)
    host.update(key=second["key"], patch={"description": "words"})
    assert host.remove(key=second["key"], mode=REMOVE_INSIDE)["code"] == "ok"
    assert json.loads(sidecar(first).read_text())["record"]["key"] == first["key"]
    assert not violations(root)


def test_a_killed_update_leaves_nothing_for_ever(root, models):
    with Host(root) as host:
        record = installed(host, models / "emb.safetensors")
        host.arm()
        host.update(key=record["key"], patch={"description": "0"})
        count = host.disarm()["count"]
    left = 0
    for step in range(1, count + 1):
        host = Host(root)
        host.arm(kill=step)
        with pytest.raises(Died) as died:
            host.update(key=record["key"], patch={"description": str(step)})
        assert died.value.args[0] == -signal.SIGKILL
        host.finish()
        left += len(list(sidecar(record).parent.glob(".mmgr-*")))
        json.loads(sidecar(record).read_text())             # never half of one
    assert left > 0
    with Host(root) as host:
        assert host.remove(key=record["key"], mode=REMOVE_INSIDE)["code"] == "ok"
    assert not (root / "models/sd-1").exists()


# ---- relocate ---


def test_relocate(host, root, models, tmp_path):
    for source in (models / "sd1", models / "emb.safetensors"):
        record = installed(host, source)
        place = Path(record["_location"])
        target = tmp_path / "elsewhere" / source.name
        target.parent.mkdir(exist_ok=True)
        shutil.copytree(place, target) if place.is_dir() else shutil.copy(place, target)
        shutil.rmtree(place if place.is_dir() else place.parent)
        assert host.sync()["out"]["missing"] != []
        answer = host.relocate(key=record["key"], path=str(target))
        assert answer["code"] == "ok", answer
        moved = answer["record"]
        assert moved["path"] == moved["_location"] == str(target)
        assert host.sync()["out"]["missing"] == []
        found = identities(root)
        for file in moved["_files"]:
            st = (target / file["path"] if file["path"] else target).stat()
            size, digest, _, _, _, mtime, device, inode, flags = found[record["key"], file["path"]]
            assert (size, mtime, device, inode) == (
                st.st_size, st.st_mtime_ns, st.st_dev, st.st_ino)
            assert flags == file["flags"] == 2          # it belongs to whoever moved it
            assert digest == file["sha256"]
        left = {k: v for k, v in moved.items() if k not in ("path", "_location", "location",
                                                           "updated_at", "_files")}
        assert left == {k: v for k, v in record.items() if k in left}
        assert host.remove(key=record["key"], mode=REMOVE_INSIDE)["out"] == []
        assert target.exists()


def test_relocate_inside_takes_the_side_car_along(host, root, models):
    record = installed(host, models / "sd1")
    (root / "models/mine").mkdir()
    os.rename(record["_location"], root / "models/mine/sd")
    moved = host.relocate(key=record["key"], path=str(root / "models/mine/sd"))["record"]
    assert moved["path"] == "mine/sd" and {f["flags"] for f in moved["_files"]} == {1}
    assert json.loads(sidecar(moved).read_text())["record"]["updated_at"] == moved["updated_at"]
    host.remove(key=record["key"], mode=REMOVE_INSIDE)
    assert not (root / "models/mine").exists()


def test_a_forced_removal_of_what_was_moved_out(host, models, tmp_path):
    record = installed(host, models / "sd1")
    shutil.move(record["_location"], tmp_path / "out")
    assert host.relocate(key=record["key"], path=str(tmp_path / "out"))["code"] == "ok"
    assert host.remove(key=record["key"], mode=REMOVE_FORCE)["code"] == "ok"
    assert not (tmp_path / "out").exists()


def test_relocate_refuses(host, root, models, tmp_path):
    record = installed(host, models / "sd1")
    other = installed(host, models / "emb.safetensors")
    before = records(host), identities(root)

    def refused(code, path, subject=None, key=record["key"], **more):
        answer = host.relocate(key=key, path=str(path), **more)
        assert answer["code"] == code, answer
        if subject:
            assert answer["subject"] == str(subject)
        assert (records(host), identities(root)) == before

    copy = tmp_path / "copy"
    shutil.copytree(record["_location"], copy)
    refused("unknown_model", copy, key="0" * 32)
    refused("path_not_found", tmp_path / "none", tmp_path / "none")
    refused("path_not_found", models / "emb.safetensors", models / "emb.safetensors")
    refused("path_not_found", copy, key=other["key"])       # a folder for a file
    refused("argument", copy, flags=1)
    refused("argument", "")
    index = copy / "model_index.json"
    index.rename(tmp_path / "index")
    refused("path_not_found", copy, index)
    index.symlink_to(tmp_path / "index")
    refused("unsafe_path", copy, index)
    index.unlink()
    index.mkdir()
    refused("path_not_found", copy, index)
    index.rmdir()
    shutil.copy(tmp_path / "index", index)
    weights = next(copy.rglob("unet/*.safetensors"))
    data = bytearray(weights.read_bytes())
    weights.write_bytes(data[:-1])
    refused("hash_mismatch", copy, weights)
    data[-1] ^= 1
    weights.write_bytes(data)                               # the size alone would not tell
    refused("hash_mismatch", copy, copy)
    twin = tmp_path / "twin.safetensors"
    twin.write_bytes(bytes(Path(other["_location"]).stat().st_size))
    refused("hash_mismatch", twin, twin, key=other["key"])


def test_relocate_to_the_place_of_another(host, root, models):
    first = installed(host, models / "emb.safetensors")
    put(root / "models/lone", {"x.safetensors": models / "emb.safetensors"})
    second = host.register_path(path=str(root / "models/lone/x.safetensors"))["record"]
    answer = host.relocate(key=second["key"], path=first["_location"])
    assert (answer["code"], answer["field"], answer["subject"]) == (
        "duplicate_model", "path", first["key"])


def test_a_read_only_installer_changes_nothing(root, models, tmp_path):
    with Host(root) as host:
        record = installed(host, models / "emb.safetensors")
    shutil.move(record["_location"], tmp_path / "emb.safetensors")
    with Host(root, opened=False) as host:
        assert host.open(root=str(root), ro=True)["code"] == "ok"
        assert host.relocate(key=record["key"], path=str(tmp_path))["code"] == "state"
        assert host.rebuild()["code"] == "state" and host.relink()["code"] == "state"
        dry = host.relink(flags=DRY_RUN, folders=[str(tmp_path)])
        assert [r["key"] for r in dry["out"]["relinked"]] == [record["key"]]


# ---- relink ---


def test_relink_single_files_among_decoys(host, models, tmp_path):
    """Renamed and moved, beside files of the same size, near copies and a link to it."""
    record = installed(host, models / "strange.safetensors", flags=ALLOW_UNKNOWN)
    size = Path(record["_location"]).stat().st_size
    shutil.rmtree(Path(record["_location"]).parent)
    disk = tmp_path / "disk"
    data = bytearray((models / "strange.safetensors").read_bytes())
    assert size > 64 << 10
    data[20 << 10] ^= 1                     # between the samples: only the whole content tells
    put(disk, {"a/new-name.bin": models / "strange.safetensors", "near.safetensors": bytes(data),
               "zero.safetensors": bytes(size), "short.safetensors": bytes(size - 1),
               ".hidden/emb.safetensors": models / "strange.safetensors"})
    (disk / "emb.safetensors").symlink_to(models / "strange.safetensors")
    (disk / "folder").symlink_to(models)
    dry = host.relink(folders=[str(disk)], flags=DRY_RUN)["out"]
    assert dry["dry_run"] and host.sync()["out"]["missing"]
    out = host.relink(folders=[str(disk), str(disk / "a")])["out"]
    assert out == {**dry, "dry_run": False}
    assert out["relinked"] == [{"key": record["key"], "from": record["path"],
                                "to": str(disk / "a/new-name.bin")}]
    assert out["unresolved"] == []
    assert out["hashed_bytes"] == 2 * size  # the zeros differ where the sample looks
    assert host.sync()["out"]["missing"] == []
    again = host.relink(folders=[str(disk)])["out"]
    assert again == {"relinked": [], "unresolved": [], "dry_run": False, "hashed_bytes": 0}


def test_relink_folders(host, models, tmp_path):
    record = installed(host, models / "sd1")
    place = Path(record["_location"])
    whole = sum(f["size"] for f in record["_files"])
    disk = tmp_path / "disk"
    shutil.move(place, disk / "deep/er/renamed")
    decoy = shutil.copytree(disk / "deep/er/renamed", disk / "sd1")
    weights = decoy / "unet/diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    partial = shutil.copytree(disk / "deep/er/renamed", disk / "partial/sd1")
    (partial / "model_index.json").unlink()
    out = host.relink(folders=[str(disk)])["out"]
    assert [r["to"] for r in out["relinked"]] == [str(disk / "deep/er/renamed")]
    assert whole <= out["hashed_bytes"] <= 2 * whole
    assert host.sync()["out"]["missing"] == []
    moved = host.records()["records"][0]
    assert moved["_files"] == [{**f, "flags": 2} for f in record["_files"]]


def test_relink_below_models_dir_by_default(host, root, models):
    assert host.relink()["out"]["relinked"] == []
    one, two = installed(host, models / "emb.safetensors"), installed(host, models / "sd1")
    (root / "models/sorted").mkdir()
    os.rename(Path(one["_location"]).parent, root / "models/sorted/first")
    os.rename(two["_location"], root / "models/sorted/second")
    out = host.relink()["out"]
    assert {r["key"]: r["to"] for r in out["relinked"]} == {
        one["key"]: "sorted/first/emb.safetensors", two["key"]: "sorted/second"}
    assert not violations(root)
    for record in host.records()["records"]:
        assert json.loads(sidecar(record).read_text())["record"]["updated_at"] == \
            record["updated_at"]
    assert host.sync()["out"] == {"added": [], "missing": [], "orphans": []}


def test_relink_without_a_proof(host, models, tmp_path):
    put(tmp_path / "old", {"x.safetensors": models / "emb.safetensors"})
    shutil.copytree(models / "sd1", tmp_path / "old/sd1")
    one = installed(host, tmp_path / "old/x.safetensors", flags=INPLACE)
    two = installed(host, tmp_path / "old/sd1", flags=INPLACE)
    assert one["hash"].startswith("sampled:") and not one["_files"][0]["sha256"]
    shutil.move(tmp_path / "old", tmp_path / "new")
    out = host.relink(folders=[str(tmp_path / "new")])["out"]
    assert reasons(out) == {one["key"]: "no_proof", two["key"]: "no_proof"}
    assert out["hashed_bytes"] == 0
    # the record's own hash, when it is a full one, proves the file or the folder
    for algorithm in ("xxh3", "sha256"):
        for key, name in ((one["key"], "x.safetensors"), (two["key"], "sd1")):
            found = host.hash(path=str(tmp_path / "new" / name), algorithm=algorithm)["hash"]
            host.update(key=key, patch={"hash": found})
        dry = host.relink(folders=[str(tmp_path / "new")], flags=DRY_RUN)["out"]
        assert {r["key"]: r["to"] for r in dry["relinked"]} == {
            one["key"]: str(tmp_path / "new/x.safetensors"), two["key"]: str(tmp_path / "new/sd1")}
    put(tmp_path / "new/sd1", {"unet/more.safetensors": b"of another model"})
    out = host.relink(folders=[str(tmp_path / "new")])["out"]
    assert [r["key"] for r in out["relinked"]] == [one["key"]]
    assert reasons(out) == {two["key"]: "mismatch"}


def test_relink_of_several_copies(host, models, tmp_path):
    record = installed(host, models / "emb.safetensors")
    shutil.rmtree(Path(record["_location"]).parent)
    disk = tmp_path / "disk"
    put(disk, {"a/x.safetensors": models / "emb.safetensors",
               "b/x.safetensors": models / "emb.safetensors"})
    out = host.relink(folders=[str(disk)])["out"]
    assert reasons(out) == {record["key"]: "ambiguous"} and out["relinked"] == []
    # the path that ends most like sd-1/embedding/emb/emb.safetensors
    put(disk, {"c/emb.safetensors": models / "emb.safetensors",
               "d/embedding/emb/emb.safetensors": models / "emb.safetensors"})
    out = host.relink(folders=[str(disk)])["out"]
    assert [r["to"] for r in out["relinked"]] == [str(disk / "d/embedding/emb/emb.safetensors")]


def test_two_lost_models_with_the_same_content_share_no_file(host, models, tmp_path):
    put(tmp_path, {"1/same.safetensors": models / "emb.safetensors",
                   "2/same.safetensors": models / "emb.safetensors"})
    lost = [installed(host, tmp_path / n / "same.safetensors") for n in "12"]
    for record in lost:
        shutil.rmtree(Path(record["_location"]).parent)
    put(tmp_path / "disk", {"same.safetensors": models / "emb.safetensors"})
    dry = host.relink(folders=[str(tmp_path / "disk")], flags=DRY_RUN)["out"]
    out = host.relink(folders=[str(tmp_path / "disk")])["out"]
    for report in (dry, out):
        assert len(report["relinked"]) == 1 and list(reasons(report).values()) == ["not_found"]
    assert out["hashed_bytes"] == (models / "emb.safetensors").stat().st_size


def test_relink_leaves_the_files_of_other_records(host, models, tmp_path):
    lost = installed(host, models / "emb.safetensors")
    put(tmp_path / "disk", {"x.safetensors": models / "emb.safetensors"})
    installed(host, tmp_path / "disk/x.safetensors", flags=INPLACE)
    shutil.rmtree(Path(lost["_location"]).parent)
    out = host.relink(folders=[str(tmp_path / "disk")])["out"]
    assert reasons(out) == {lost["key"]: "not_found"} and out["hashed_bytes"] == 0


def test_relink_arguments(host, tmp_path, models):
    record = installed(host, models / "emb.safetensors")
    shutil.rmtree(Path(record["_location"]).parent)
    assert host.relink(folders=[str(tmp_path / "none")])["code"] == "path_not_found"
    assert host.relink(flags=2)["code"] == "argument"
    assert host.relink(folders=[""])["code"] == "argument"


# ---- rebuild ---


def lose_the_store(root):
    shutil.rmtree(root / "databases")


def test_rebuild_after_the_store_was_lost(root, hub, models, tmp_path):
    put(tmp_path, {"in/x.safetensors": models / "emb2.safetensors"})
    with Host(root, hub.endpoint) as host:
        installed(host, models / "sd1", overrides={"tags": ["a", "b"]})
        installed(host, "acme/more::a/one.safetensors")
        edited = installed(host, models / "emb.safetensors")
        host.update(key=edited["key"], patch={"description": "w\u00f6rds", "tags": ["later"],
                                              "trigger_phrases": ["<emb>"],
                                              "of_a_newer_release": {"a": [1.5, None]}})
        outside = installed(host, tmp_path / "in/x.safetensors", flags=INPLACE)
        before = records(host)
    kept = identities(root)
    lose_the_store(root)
    with Host(root, hub.endpoint) as host:
        assert host.records()["records"] == []
        out = host.rebuild()["out"]
        assert sorted(out["added"]) == sorted(set(before) - {outside["key"]})
        assert {k: v for k, v in out.items() if k != "added"} == {
            "skipped": [], "missing": [], "orphans": []}
        del before[outside["key"]]
        assert records(host) == before
        assert host.rebuild()["out"]["added"] == []
    assert identities(root) == {k: v for k, v in kept.items() if k[0] != outside["key"]}
    assert not violations(root)


def test_rebuild_skips_what_is_not_whole(root, models):
    with Host(root) as host:
        whole = installed(host, models / "emb.safetensors")
        gone = installed(host, models / "emb2.safetensors")
        cut = installed(host, models / "sd1")
    lose_the_store(root)
    os.unlink(gone["_location"])
    index = Path(cut["_location"]) / "model_index.json"
    index.write_text(index.read_text() + " ")
    with Host(root) as host:
        out = host.rebuild()["out"]
        assert out["added"] == [whole["key"]]
        assert reasons(out, "skipped", "path") == {
            str(Path(gone["path"]).parent): "missing", cut["path"]: "changed"}
        assert out["orphans"] and all(cut["path"] in path for path in out["orphans"])


def test_rebuild_gives_no_fresh_keys(root, models):
    with Host(root) as host:
        record = installed(host, models / "emb.safetensors")
        folder = Path(record["_location"]).parent
        shutil.copytree(folder, folder.parent / "copy")
        out = host.rebuild()["out"]
        assert out["added"] == []
        assert reasons(out, "skipped", "path") == {"sd-1/embedding/copy": "duplicate"}
        lose_the_store(root)
    # a file that someone recorded meanwhile stays theirs
    with Host(root) as host:
        taken = host.register_path(path=record["_location"])["record"]
        shutil.rmtree(folder.parent / "copy")
        out = host.rebuild()["out"]
        assert out["added"] == [] and taken["key"] != record["key"]
        assert reasons(out, "skipped", "path") == {"sd-1/embedding/emb": "duplicate"}


def test_a_model_inside_a_recorded_one_stays_a_part_of_it(root, models):
    with Host(root) as host:
        whole, part = installed(host, models / "sd1"), installed(host, models / "emb.safetensors")
    os.rename(Path(part["_location"]).parent, Path(whole["_location"]) / "part")
    lose_the_store(root)
    with Host(root) as host:
        out = host.rebuild()["out"]
        assert out["added"] == [whole["key"]]
        assert reasons(out, "skipped", "path") == {whole["path"] + "/part": "duplicate"}


def change(text, **members):
    found = json.loads(text)
    for name, value in members.items():
        at, _, leaf = name.rpartition("__")
        place = found
        for part in filter(None, at.split("__")):
            place = place[int(part) if part.isdigit() else part]
        place[leaf] = value
    return json.dumps(found)


DEEP = "[" * 5000 + "]" * 5000
HOSTILE = {
    "empty": (lambda t: "", "invalid"),
    "array": (lambda t: "[]", "invalid"),
    "cut": (lambda t: t[:-20], "invalid"),
    "not utf-8": (lambda t: t.replace("emb", "\udcff"), "invalid"),
    "deep": (lambda t: t.replace('"record":', '"x":' + DEEP + ',"record":'), "invalid"),
    "deep files": (lambda t: change(t, files=json.loads("[" * 60 + "]" * 60)), "invalid"),
    "no version": (lambda t: t.replace("modelmgr_record", "other"), "invalid"),
    "version 0": (lambda t: change(t, modelmgr_record=0), "invalid"),
    "version text": (lambda t: change(t, modelmgr_record="1"), "invalid"),
    "newer": (lambda t: change(t, modelmgr_record=2), "newer"),
    "twice": (lambda t: t.replace('"record":', '"record":{},"record":'), "invalid"),
    "no record": (lambda t: t.replace('"record":', '"recorded":'), "invalid"),
    "record text": (lambda t: change(t, record="x"), "invalid"),
    "no key": (lambda t: change(t, record__key=None), "invalid"),
    "key with a slash": (lambda t: change(t, record__key="../x"), "invalid"),
    "key number": (lambda t: change(t, record__key=5), "invalid"),
    "no type": (lambda t: change(t, record__type=None), "invalid"),
    "path up": (lambda t: change(t, record__path="../../../../x.safetensors"), "invalid"),
    "path below": (lambda t: change(t, record__path="a/x.safetensors"), "unsafe"),
    "path absolute": (lambda t: change(t, record__path="/etc/passwd"), "unsafe"),
    "path of a folder": (lambda t: change(t, record__path=""), "invalid"),
    "other file": (lambda t: change(t, record__path="none.safetensors"), "missing"),
    "no files": (lambda t: change(t, files=[]), "invalid"),
    "files object": (lambda t: change(t, files={}), "invalid"),
    "two files": (lambda t: change(t, files=json.loads(t)["files"] * 2), "invalid"),
    "row text": (lambda t: change(t, files=["x"]), "invalid"),
    "size text": (lambda t: change(t, files__0__size="5"), "invalid"),
    "size negative": (lambda t: change(t, files__0__size=-5), "invalid"),
    "other size": (lambda t: change(t, files__0__size=5), "changed"),
    "short hash": (lambda t: change(t, files__0__sha256="ab"), "invalid"),
    "hash number": (lambda t: change(t, files__0__sha256=5), "invalid"),
    "blocks": (lambda t: change(t, files__0__blocks="ab" * 31), "invalid"),
    "mtime text": (lambda t: change(t, files__0__mtime_ns="1"), "invalid"),
}


@pytest.fixture(scope="module")
def shared_root(tmp_path_factory, models):
    root = tmp_path_factory.mktemp("hostile") / "root"
    with Host(root) as host:
        installed(host, models / "emb.safetensors")
        installed(host, models / "sd1")
    lose_the_store(root)
    return root


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_side_cars_of_a_file(shared_root, tmp_path, name):
    spoil, reason = HOSTILE[name]
    root = shutil.copytree(shared_root, tmp_path / "root")
    path = root / "models/sd-1/embedding/emb" / SIDECAR
    path.write_bytes(spoil(path.read_text()).encode("utf-8", "surrogateescape"))
    with Host(root) as host:
        out = host.rebuild()["out"]
        assert reasons(out, "skipped", "path") == {"sd-1/embedding/emb": reason}
        assert len(out["added"]) == 1 and len(host.records()["records"]) == 1


@pytest.mark.parametrize("path,reason", [
    ("../emb/emb.safetensors", "unsafe"), ("/etc/passwd", "unsafe"), ("unet/../x", "unsafe"),
    ("unet//x", "unsafe"), ("", "invalid"), ("unet", "missing"), ("linked", "unsafe"),
    ("folder/passwd", "unsafe"), ("vae/config.json", "invalid")])
def test_hostile_rows_of_a_folder(shared_root, tmp_path, path, reason):
    root = shutil.copytree(shared_root, tmp_path / "root")
    folder = root / "models/sd-1/main/sd1"
    (folder / "linked").symlink_to("/etc/passwd")
    (folder / "folder").symlink_to("/etc")
    text = (folder / SIDECAR).read_text()
    (folder / SIDECAR).write_text(change(text, files__0__path=path))
    with Host(root) as host:
        out = host.rebuild()["out"]
        assert reasons(out, "skipped", "path") == {"sd-1/main/sd1": reason}
        assert len(out["added"]) == 1


def test_side_cars_that_are_no_files(shared_root, tmp_path):
    root = shutil.copytree(shared_root, tmp_path / "root")
    embedding = root / "models/sd-1/embedding/emb" / SIDECAR
    shutil.move(embedding, tmp_path / "outside")
    embedding.symlink_to(tmp_path / "outside")
    main = root / "models/sd-1/main/sd1" / SIDECAR
    with open(main, "ab") as file:
        file.truncate(65 << 20)
    put(root / "models", {SIDECAR: (tmp_path / "outside")})
    (root / "models/pipe").mkdir()
    os.mkfifo(root / "models/pipe" / SIDECAR)
    (root / "models/folder" / SIDECAR).mkdir(parents=True)
    put(root / "models/folder" / SIDECAR, {SIDECAR: (tmp_path / "outside")})
    with Host(root) as host:
        out = host.rebuild()["out"]
        assert out["added"] == []
        assert reasons(out, "skipped", "path") == {
            "": "invalid", "sd-1/embedding/emb": "unsafe", "sd-1/main/sd1": "invalid"}


def test_a_rebuild_that_is_killed_is_done_again(shared_root, tmp_path):
    root, killed = tmp_path / "root", 0
    for step in range(1, 100):
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(shared_root, root)
        host = Host(root)
        host.arm(kill=step)
        try:
            host.rebuild()
        except Died:
            killed += 1
        host.finish()
        with Host(root) as host:
            there = len(host.records()["records"])
            assert len(host.rebuild()["out"]["added"]) == 2 - there
        assert not violations(root)
        if there == 2:
            break
    assert killed > 8
