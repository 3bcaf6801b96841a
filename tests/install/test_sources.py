# SPDX-License-Identifier: MIT
"""Every form of source ends as a recorded model, or as the error of its own."""

import hashlib
import json
import os
import pathlib
import shutil
from urllib.parse import quote

import pytest

from driver import ALLOW_UNKNOWN, Host, INPLACE, MOVE, READER, left_in_staging, put, rows, \
    sha256, tree, visible

FP16 = ["text_encoder/model.fp16.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.fp16.safetensors"]
FULL = [name.replace(".fp16", "") for name in FP16]


KNOWN = {"type": "lora", "base": "sd-1", "format": "lycoris"}


def weights(job):
    return sorted(f["path"] for f in job["record"]["_files"] if f["path"].endswith(".safetensors"))


def fetched(hub, suffix=".safetensors"):
    """Requests for bytes of weight files that were answered with bytes."""
    return [e for e in hub.log.entries() if e["method"] == "GET" and e["sent"] > 1000 and
            (suffix in e["path"] or e["host"] == "cdn")]


@pytest.mark.parametrize("source,expected", [
    ("acme/pipe", FP16), ("acme/pipe:fp16", FP16), ("acme/pipe:fp32", FULL),
    ("acme/pipe:default", FULL), ("acme/pipe@main", FP16), ("hf:acme/pipe", FP16),
    ("acme/pipe:onnx", None)])
def test_a_repository_by_variant(host, models, root, source, expected):
    job = host.install(source)
    if expected is None:
        assert job["status"] == "error", job
        assert left_in_staging(root) == []
        return
    assert job["status"] == "completed", job
    record = job["record"]
    assert weights(job) == expected
    assert (record["type"], record["base"], record["format"]) == ("main", "sd-1", "diffusers")
    assert record["path"] == "sd-1/main/pipe" and record["name"] == "pipe"
    for name, digest in visible(record["_location"]).items():
        assert sha256(models / "sd1" / name) == digest


@pytest.mark.parametrize("source,path", [
    ("acme/pipe:fp16:vae", "pipe_vae"), ("acme/pipe::vae", "pipe_vae")])
def test_a_subfolder(host, models, source, path):
    job = host.install(source)
    assert job["status"] == "completed", job
    assert job["record"]["type"] == "vae"
    assert job["record"]["path"].split("/")[-1] == path
    assert sorted(visible(job["record"]["_location"])) == [
        "config.json", "diffusion_pytorch_model.fp16.safetensors"]


@pytest.mark.parametrize("source", [
    "acme/more::a/one.safetensors", "acme/more:fp16:a/one.safetensors",
    "acme/more::/a/one.safetensors", "hf:acme/more@main::a/one.safetensors"])
def test_one_file_of_a_repository(host, models, source):
    job = host.install(source)
    assert job["status"] == "completed", job
    record = job["record"]
    assert record["path"] == "sd-1/embedding/one/one.safetensors"
    assert [f["path"] for f in record["_files"]] == [""]
    assert sha256(record["_location"]) == sha256(models / "emb.safetensors")


def test_pasted_addresses(host, hub, models):
    for page in ("acme/emb", "acme/pipe/tree/main/vae", "acme/more/blob/main/a/one.safetensors",
                 "acme/more/resolve/main/a/two.safetensors"):
        address = f"{hub.endpoint}/{page}"
        job = host.install(address)
        assert job["status"] == "completed", (address, job)
        assert job["record"]["source_type"] == "hf_repo_id", address


def test_a_revision_is_pinned_to_its_commit(host, hub):
    job = host.install("acme/pipe@old")
    assert job["status"] == "completed", job
    commit = job["record"]["_revision"]
    assert len(commit) == 40
    assert weights(job) == [""] or job["record"]["_location"].endswith("emb.safetensors")
    again = host.install("acme/pipe", revision="old")
    assert again["error"]["code"] == "duplicate_model"


def test_a_url_with_a_name_from_the_server(host, hub, models):
    job = host.install(f"{hub.cdn}/files/emb.safetensors?cd=" +
                       quote('attachment; filename="Sweet Thing.safetensors"'))
    assert job["status"] == "completed", job
    record = job["record"]
    assert record["_location"].endswith("/Sweet Thing.safetensors"), record
    assert record["name"] == "Sweet Thing" and record["source_type"] == "url"
    assert record["_files"][0]["sha256"] == sha256(models / "emb.safetensors")


def test_a_snapshot_of_links_is_copied(host, models, tmp_path):
    """As the hub client's cache has it: every file a relative link to its blob."""
    snapshot, blobs = tmp_path / "hub/snapshots/tiny", tmp_path / "hub/blobs"
    blobs.mkdir(parents=True)
    for path in sorted(p for p in (models / "sd1").rglob("*") if p.is_file()):
        link = snapshot / path.relative_to(models / "sd1")
        link.parent.mkdir(parents=True, exist_ok=True)
        blob = blobs / hashlib.sha256(str(path).encode()).hexdigest()
        blob.write_bytes(path.read_bytes())
        link.symlink_to(os.path.relpath(blob, link.parent))
    job = host.install(snapshot)
    assert job["status"] == "completed", job
    assert job["record"]["path"] == "sd-1/main/tiny"
    assert visible(job["record"]["_location"]) == tree(models / "sd1")
    assert not any(p.is_symlink() for p in pathlib.Path(job["record"]["_location"]).rglob("*"))


def test_local_file_and_folder_are_copied(host, models, root):
    before = tree(models / "sd1")
    one = host.install(models / "emb.safetensors")
    two = host.install(models / "sd1", name="My: pipe")
    assert one["status"] == two["status"] == "completed", (one, two)
    assert one["record"]["path"] == "sd-1/embedding/emb/emb.safetensors"
    assert one["record"]["source_type"] == "path"
    assert two["record"]["name"] == "My: pipe"
    assert two["record"]["path"].startswith("sd-1/main/My")
    assert ":" not in two["record"]["path"]
    assert visible(two["record"]["_location"]) == before == tree(models / "sd1")
    assert host.names(one["id"]) == ["install.running", "install.completed"]
    assert left_in_staging(root) == []


def test_in_place_and_move(host, models, tmp_path):
    shutil.copytree(models / "sd1", tmp_path / "there")
    shutil.copytree(models / "sd1", tmp_path / "goes")
    (tmp_path / "goes/.keep").write_text("hidden files are no part of the model")
    stays = host.install(tmp_path / "there", flags=INPLACE)
    goes = host.install(tmp_path / "goes", flags=MOVE)
    assert stays["status"] == goes["status"] == "completed", (stays, goes)
    assert stays["inplace"] and stays["record"]["_location"] == str(tmp_path / "there")
    assert stays["record"]["path"] == str(tmp_path / "there")
    assert all(f["flags"] for f in stays["record"]["_files"]) and tree(tmp_path / "there")
    assert list(tree(tmp_path / "goes")) == [".keep"]
    assert sorted(visible(goes["record"]["_location"])) == sorted(visible(models / "sd1"))


def test_register_path_and_install_path(host, models, tmp_path):
    path = tmp_path / "mine.safetensors"
    shutil.copy(models / "emb.safetensors", path)
    shutil.copy(models / "emb2.safetensors", tmp_path / "two.safetensors")
    answer = host.register_path(path=str(path), overrides={"description": "mine"})
    assert answer["code"] == "ok" and answer["record"]["description"] == "mine"
    assert answer["record"]["_location"] == str(path)
    copied = host.install_path(path=str(tmp_path / "two.safetensors"))
    assert copied["record"]["path"] == "sd-2/embedding/two/two.safetensors"
    assert (tmp_path / "two.safetensors").exists()
    again = host.register_path(path=str(path))
    assert (again["code"], again["subject"]) == ("duplicate_model", answer["record"]["key"])
    assert host.register_path(path=str(tmp_path / "none"))["code"] == "path_not_found"
    assert host.install_path(path=str(models / "hostile"))["code"] != "ok"


@pytest.mark.parametrize("source,code", [
    ("acme/none", "repo_not_found"), ("acme/pipe@none", "revision_not_found"),
    ("acme/pipe::none.safetensors", "entry_not_found"), ("acme/gated", "gated"),
    ("acme/private", "repo_not_found"), ("acme/more", "ambiguous_source")])
def test_what_the_hub_refuses(host, root, source, code):
    job = host.install(source)
    assert job["status"] == "error", job
    assert job["error"]["code"] == code, job
    message = job["error"]["message"]
    assert source.split("@")[0].split(":")[0] in message or "none" in message
    assert host.names()[-1] == "install.error" and left_in_staging(root) == [] and rows(root) == []


@pytest.mark.parametrize("source,code", [
    ("./missing", "path_not_found"), ("/missing/x", "path_not_found"),
    ("a/b/c", "unsupported_source"),
    ("ftp://x/y", "unsupported_source"), ("", "unsupported_source")])
def test_what_is_refused_at_once(host, source, code):
    assert host.submit(source=source)["code"] == code


def test_options_that_make_no_sense(host, hub, models):
    emb = str(models / "emb.safetensors")
    assert host.submit(source=emb, overrides={"nonsense": 1})["code"] == "invalid_config"
    assert host.submit(source=emb, overrides={"path": "/etc/passwd"})["code"] == "invalid_config"
    assert host.submit(source=emb, overrides=[1])["code"] == "invalid_config"
    assert host.submit(source=emb, flags=INPLACE | MOVE)["code"] == "argument"
    assert host.submit(source=emb, flags=64)["code"] == "argument"
    assert host.install("acme/emb", flags=INPLACE)["error"]["code"] == "argument"


def test_offline(root, hub, models):
    with Host(root, hub.endpoint, env={"HF_HUB_OFFLINE": "1"}) as host:
        assert host.submit(source="acme/pipe")["code"] == "offline"
        assert host.install(models / "emb.safetensors")["status"] == "completed"


def test_a_renamed_repository_is_the_same_model(host):
    first = host.install("acme/old-pipe")
    assert first["status"] == "completed", first
    assert first["record"]["name"] == "pipe"
    for other in ("acme/pipe", "acme/pipe:fp16", "acme/old-pipe"):
        again = host.install(other)
        assert again["error"]["code"] == "duplicate_model", other
        assert again["error"]["subject"] == first["record"]["key"]
    assert host.install("acme/pipe:fp32")["record"]["path"] == "sd-1/main/pipe~2"


def test_a_private_repository_and_its_token(root, hub, models):
    with Host(root, hub.endpoint) as host:
        job = host.install("acme/private", token=READER)
        assert job["status"] == "completed", job
        gated = host.install("acme/gated", token=READER)
        assert gated["status"] == "completed", gated
        host.records()
        seen = b"".join(host.lines)
    assert READER.encode() not in seen
    for path in [*root.rglob("*"), *root.parent.glob("root-home/**/*")]:
        if path.is_file():
            assert READER.encode() not in path.read_bytes(), path
    requests = hub.log.entries()
    assert any(READER in (e["authorization"] or "") for e in requests if e["host"] == "hub")
    assert not any(e["has_authorization"] for e in requests if e["host"] == "cdn")


def test_what_a_record_says(host, hub, models):
    job = host.install("acme/pipe")
    record = job["record"]
    assert record["source"] == "acme/pipe" and record["source_type"] == "hf_repo_id"
    response = record["source_api_response"]
    response = response if isinstance(response, dict) else json.loads(response)
    assert response["id"] == "acme/pipe"
    assert "diffusers" in record["tags"]
    assert record["_revision"] == response["sha"]
    assert record["_source_url"] == f"{hub.endpoint}/acme/pipe"
    assert record["file_size"] == sum(f["size"] for f in record["_files"])
    assert record["hash"].startswith("sampled:")
    assert len(record["_files"]) >= 9
    for item in record["_files"]:
        path = f"{record['_location']}/{item['path']}"
        assert item["sha256"] == hashlib.sha256(open(path, "rb").read()).hexdigest(), item
        assert item["flags"] & 1 == job["record"]["_files"][0]["flags"] & 1
    host.close()
    assert host.open(root=str(record["_location"]).split("/models/")[0])["code"] == "ok"
    kept = host.records()["records"]
    assert kept == [record]


def test_events_of_a_download(host, hub):
    job = host.install("acme/pipe")
    assert host.names() == ["install.downloading", "install.downloads_complete", "install.running",
                            "install.completed"]
    for event in host.events:
        assert event["source"] == "acme/pipe" and event["job"] == job["id"], event
    last = [e for e in host.events if e["event"] == "install.downloading"][-1]
    assert {"bytes", "total_bytes", "local_path", "parts"} <= set(last)
    assert last["total_bytes"] == sum(p["total_bytes"] for p in last["parts"])
    done = host.events[-1]
    assert done["key"] == job["record"]["key"]
    assert done["total_bytes"] == last["total_bytes"] == job["total"] == job["bytes"]


def test_overrides_win(host, models):
    given = {"name": "Mine", "description": "d", "base": "sd-2", "prediction_type": "v_prediction",
             "key": "chosen-key"}
    job = host.install(models / "sd1", overrides=given)
    assert job["status"] == "completed", job
    assert {k: job["record"][k] for k in given} == given
    assert job["record"]["path"] == "sd-2/main/Mine" and job["key"] == "chosen-key"
    taken = host.install(models / "emb.safetensors", overrides={"key": "chosen-key"})
    assert (taken["error"]["code"], taken["error"]["subject"]) == ("duplicate_model", "chosen-key")


def test_bad_options_are_refused_before_anything_is_fetched(host, hub, root):
    """Nothing is left that the next install of the same source would take up."""
    for field, bad in (("type", "no such type "), ("tags", [1]), ("created_at", "x"),
                       ("key", "a/b")):
        answer = host.submit(source="acme/pipe", overrides={field: bad})
        assert answer["code"] == "invalid_config", (field, answer)
    for name in ("", "a\x01b"):
        assert host.submit(source="acme/pipe", name=name)["code"] == "invalid_config"
    assert fetched(hub) == [] and left_in_staging(root) == [] and host.jobs()["jobs"] == []


def test_overrides_that_failed_are_gone_when_they_are_not_given_again(host, root):
    job = host.install("acme/pipe", overrides={"type": "lora"})
    assert job["error"]["code"] == "unidentified", job
    job = host.install("acme/pipe")
    assert job["status"] == "completed" and left_in_staging(root) == [], job


def test_names_that_no_model_may_have(host, models, tmp_path, root):
    for name in (b"new\nline.txt", b"latin-\xf6.txt"):
        folder = tmp_path / "model"
        shutil.copytree(models / "sd1", folder)
        with open(os.fsencode(folder) + b"/" + name, "wb") as stream:
            stream.write(b"x")
        job = host.install(folder)
        assert job["error"]["code"] == "unsafe_path", job
        assert left_in_staging(root) == [] and rows(root) == []
        shutil.rmtree(folder)


def test_names_clash_also_by_case(host, models, tmp_path):
    paths = []
    for folder, name in (("a", "Thing"), ("b", "Thing"), ("c", "thing"), ("d", "../../Thing")):
        put(tmp_path / folder, {"x.safetensors": models / "emb.safetensors"})
        job = host.install(tmp_path / folder / "x.safetensors", name=name)
        assert job["status"] == "completed", job
        paths.append(job["record"]["path"].split("/")[2])
    assert paths[:3] == ["Thing", "Thing~2", "thing~3"]
    assert "/" not in paths[3] and not paths[3].startswith("..")


def test_an_unknown_model_keeps_its_bytes_for_overrides(host, hub, root):
    job = host.install("acme/strange")
    assert job["error"]["code"] == "unidentified", job
    assert len(left_in_staging(root)) == 1 and rows(root) == []
    before = len(fetched(hub))
    job = host.install("acme/strange", overrides=KNOWN)
    assert job["status"] == "completed", job
    assert job["record"]["type"] == "lora" and left_in_staging(root) == []
    assert len(fetched(hub)) == before


def test_an_unknown_file_of_a_url_is_not_fetched_again_after_a_restart(root, hub):
    source = f"{hub.cdn}/files/strange.safetensors"
    with Host(root, hub.endpoint) as host:
        assert host.install(source)["error"]["code"] == "unidentified"
    before = len(fetched(hub))
    with Host(root, hub.endpoint) as host:
        [waiting] = host.jobs()["jobs"]
        assert waiting["status"] == "paused"
        job = host.install(source, overrides=KNOWN)
        assert job["status"] == "completed" and job["id"] == waiting["id"], job
        assert job["key"] == waiting["key"]
    assert len(fetched(hub)) == before


def test_allow_unknown(host):
    job = host.install("acme/strange", flags=ALLOW_UNKNOWN)
    assert job["status"] == "completed" and job["record"]["type"] == "unknown", job


def test_broken_weights_leave_nothing(host, root):
    job = host.install("acme/broken")
    assert job["error"]["code"] == "invalid_file", job
    assert rows(root) == [] and left_in_staging(root) == []


def test_every_hostile_file_by_path(host, models, root, tmp_path):
    for path in sorted((models / "hostile").iterdir()):
        code = path.name.split("__")[0]
        if code not in ("invalid_file", "unsafe_file") or not path.is_file():
            continue
        job = host.install(path)
        assert job["status"] == "error" and job["error"]["code"] == code, (path.name, job)
    assert rows(root) == [] and left_in_staging(root) == []


def test_a_plan_writes_nothing(root, hub, models):
    with Host(root, hub.endpoint, opened=False) as host:
        assert host.open(root=str(root), ro=True)["code"] == "ok"
        plan = host.plan(source="acme/pipe")["plan"]
        assert plan["repo"] == "acme/pipe" and plan["variant"] == "fp16"
        assert plan["total_bytes"] == sum(f["size"] for f in plan["files"])
        assert sorted(f["path"] for f in plan["files"] if "safetensors" in f["path"]) == FP16
        assert {f["action"] for f in plan["files"]} == {"download"}
        local = host.plan(source=str(models / "emb.safetensors"))["plan"]
        assert local["destination"] == str(root / "models/sd-1/embedding/emb")
        assert host.submit(source="acme/pipe")["code"] == "state"
        assert host.plan(source="acme/none")["code"] == "repo_not_found"
    assert not root.exists()
