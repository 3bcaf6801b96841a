# SPDX-License-Identifier: MIT
"""Installing from the loopback hub and from disk; every tensor as safetensors reads it."""
import os
import pathlib
import shutil

import pytest
import safetensors
import tensors
from loopback_hub import LoopbackHub

import modelmgr

SUBMODELS = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model"
}


def reference(path):
    """{name: (dtype, shape, bytes)} as the safetensors package reads a file."""
    return {
        name: (found["dtype"], tuple(found["shape"]), bytes(found["data"]))
        for name, found in safetensors.deserialize(pathlib.Path(path).read_bytes())
    }


def as_loaded(loaded):
    return {
        name: (tensor.dtype, tensor.shape, tensor.numpy().tobytes())
        for name, tensor in loaded.tensors.items()
    }


def staging(manager):
    folder = pathlib.Path(manager.config.get("models_dir")) / ".staging"
    return sorted(
        str(path) for path in folder.rglob("*") if path.is_file() and "lock" not in path.name)


@pytest.mark.parametrize("variant", ["default", "fp16"])
def test_every_tensor_of_an_installed_pipeline_is_what_safetensors_reads(
        hub, manager, pipeline, variant):
    record = manager.install_and_wait("acme/tiny-sd", variant=variant)
    assert (record.base, record.type, record.format) == ("sd-1", "main", "diffusers")
    suffix = ".fp16" if variant == "fp16" else ""
    for submodel, stem in SUBMODELS.items():
        expected = reference(pipeline / submodel / f"{stem}{suffix}.safetensors")
        with manager.load(record.key, submodel) as loaded:
            assert loaded.tensors.device == "cpu"
            assert as_loaded(loaded) == expected, submodel
            assert len(expected) > 10
    assert staging(manager) == []


def test_a_sharded_pipeline_is_loaded_whole(manager, models):
    record = manager.installer.install_path(models / "sharded")
    expected = {}
    shards = sorted((models / "sharded/unet").glob("*-of-*.safetensors"))
    assert len(shards) > 1
    for shard in shards:
        expected.update(reference(shard))
    with manager.load(record, "unet") as loaded:
        assert as_loaded(loaded) == expected


def test_progress_events_and_record(hub, manager):
    seen = []
    record = manager.install_and_wait("acme/tiny-sd:fp16",
                                      progress=seen.append,
                                      name="chosen",
                                      overrides={
                                          "description": "words",
                                          "tags": ["t"]
                                      })
    assert (record.name, record.description, record.tags) == ("chosen", "words", ["t"])
    assert record.source_type == "hf_repo_id" and record.repo_variant == "fp16"
    names = [event.name for event in seen]
    assert names[-1] == "install.completed" and names.count("install.completed") == 1
    assert seen[-1].key == record.key
    assert "install.downloads_complete" in names
    downloading = [event for event in seen if event.name == "install.downloading"]
    assert downloading and downloading[-1].parts
    assert all(event.bytes <= event.total_bytes for event in downloading if event.total_bytes)
    stored = manager.store.get(record.key)
    assert stored == record and os.path.isdir(stored.location)
    assert all(file.owned for file in stored.files) and any(file.sha256 for file in stored.files)
    assert sum(file.size for file in stored.files) == stored.file_size


def test_install_from_a_url(manager, tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "empty").mkdir()
    data = tensors.write(tmp_path / "files/some-lora.safetensors", {"weight": ("BF16", [16, 16])})
    with LoopbackHub(tmp_path / "empty", files=tmp_path / "files") as server:
        url = server.endpoint + "/files/some-lora.safetensors"
        record = manager.install_and_wait(url, overrides=tensors.LORA, allow_unknown=True, timeout=60)
    assert record.source == url and record.source_type == "url" and "some-lora" in record.name
    with manager.load(record) as loaded:
        assert loaded.tensors["weight"].numpy().tobytes() == data["weight"]


def test_plan_writes_nothing(hub, manager):
    models_dir = pathlib.Path(manager.config.get("models_dir"))
    before = sorted(models_dir.rglob("*")) if models_dir.exists() else []
    plan = manager.plan("acme/tiny-sd:fp16")
    assert plan["total_bytes"] == sum(file["size"] for file in plan["files"]) > 0
    assert all(file["action"] == "download" for file in plan["files"])
    assert any(file["path"] == "unet/diffusion_pytorch_model.fp16.safetensors"
               for file in plan["files"])
    assert (sorted(models_dir.rglob("*")) if models_dir.exists() else []) == before
    assert len(manager.store) == 0


def test_jobs(hub, manager):
    job = manager.install("acme/tiny-sd:fp16")
    assert job.result(60).key == job.key
    assert job.status == "completed" and job.is_terminal and job.error is None and not job.inplace
    done, total = job.progress
    assert done == total > 0
    assert modelmgr.Source(job.source).repo == "acme/tiny-sd"
    assert manager.installer.get(job.id).record == job.record
    assert [one.id for one in manager.installer.jobs()] == [job.id]
    manager.installer.wait_all(10)
    assert list(job) == []  # nothing is new any more
    with pytest.raises(modelmgr.StateError):
        job.cancel()
    manager.installer.prune()
    assert manager.installer.jobs() == []
    with pytest.raises(modelmgr.UnknownJobError):
        manager.installer.get(job.id)


@pytest.mark.parametrize("source, error, status", [
    ("acme/nobody", "RepoNotFoundError", None),
    ("acme/tiny-sd@nowhere", "RevisionNotFoundError", 404),
    ("acme/tiny-sd::no/such/file.safetensors", "EntryNotFoundError", None),
    ("acme/gated", "GatedError", None),
])
def test_failures_are_exceptions_by_kind(hub, manager, source, error, status):
    with pytest.raises(getattr(modelmgr, error)) as caught:
        manager.install_and_wait(source, timeout=60)
    assert caught.value.message
    if status:
        assert caught.value.http_status == status
    assert len(manager.store) == 0
    for job in manager.installer.jobs():
        with pytest.raises(modelmgr.StateError):
            job.resume()


def test_what_a_failed_install_leaves_is_resumable_or_gone(hub, tmp_path):
    with modelmgr.Manager(tmp_path / "root") as manager:
        with pytest.raises(modelmgr.GatedError):
            manager.install_and_wait("acme/gated", timeout=60)
        left = staging(manager)
    with modelmgr.Manager(tmp_path / "root") as manager:
        assert [job.status for job in manager.installer.jobs()] == ["paused"] * bool(left)
        for job in manager.installer.jobs():
            job.cancel()
            assert job.status == "cancelled"
        assert staging(manager) == []


@pytest.mark.parametrize("source, error", [
    ("./gone", "PathNotFoundError"),
    ("ftp://example.com/a", "UnsupportedSourceError"),
    ("", "ModelManagerError"),
    (None, "ModelManagerError"),
])
def test_nonsense_is_refused_at_once(manager, source, error):
    with pytest.raises(getattr(modelmgr, error)):
        manager.install(source)
    assert manager.installer.jobs() == []


def test_a_wrong_hash_installs_nothing(hub, manager):
    hub.faults.install([{"kind": "flip", "host": "cdn", "offset": 5000, "bit": 0}])
    with pytest.raises(modelmgr.HashMismatchError):
        manager.install_and_wait("acme/tiny-sd:fp16", timeout=120)
    assert len(manager.store) == 0


def test_installing_twice_is_a_duplicate_naming_the_key(hub, manager):
    key = manager.install_and_wait("acme/tiny-sd:fp16").key
    with pytest.raises(modelmgr.DuplicateModelError) as caught:
        manager.install_and_wait("acme/tiny-sd:fp16", timeout=60)
    assert caught.value.subject == key


def test_cancel(hub, manager):
    hub.faults.install([{"kind": "slow", "host": "cdn", "rate": 2000}])
    job = manager.install("acme/tiny-sd:fp16", watch=True)
    with pytest.raises(modelmgr.TimeoutError):
        job.wait(0)
    for event in job.events(60):
        if event.name == "install.downloading":
            job.cancel()
    assert job.status == "cancelled"
    with pytest.raises(modelmgr.CancelledError):
        job.result()
    with pytest.raises(modelmgr.StateError):
        job.record
    assert len(manager.store) == 0


def test_pause_and_resume(hub, manager):
    hub.faults.install([{"kind": "slow", "host": "cdn", "rate": 2000}])
    job = manager.install("acme/tiny-sd:fp16", watch=True)
    for event in job.events(60):
        if event.name == "install.downloading":
            job.pause()
            break
    assert job.wait(60).status == "paused"
    hub.faults.clear()
    job.resume()
    assert job.result(60).name


def test_local_models(manager, tmp_path, models):
    copied = manager.installer.install_path(models / "sharded", {"name": "copied"})
    assert copied.location.startswith(manager.config.get("models_dir"))
    assert copied.name == "copied"
    deleted = manager.installer.remove(copied.key)
    assert deleted and not os.path.exists(copied.location) and (models / "sharded").is_dir()
    with pytest.raises(modelmgr.UnknownModelError):
        manager.installer.remove(copied.key)
    inplace = manager.installer.register_path(models / "sharded")
    assert inplace.location == str(models / "sharded")
    assert manager.installer.remove(inplace.key, files="inside") == []
    with pytest.raises(modelmgr.ArgumentError):
        manager.installer.remove(inplace.key, files="all")


def test_an_unknown_kind_only_when_allowed(manager, tmp_path):
    path = tmp_path / "odd.safetensors"
    tensors.write(path, {"odd": ("F32", [4])})
    with pytest.raises(modelmgr.UnidentifiedError):
        manager.install_and_wait(str(path), timeout=60)
    record = manager.install_and_wait(str(path), allow_unknown=True, inplace=True, timeout=60)
    assert record.type == "unknown" and record.location == str(path)


def test_sync(manager, tmp_path):
    path = tmp_path / "odd.safetensors"
    tensors.write(path, {"odd": ("F32", [4])})
    record = tensors.install(manager, path)
    path.unlink()
    assert [missing["key"] for missing in manager.installer.sync()["missing"]] == [record.key]
    with pytest.raises(modelmgr.ModelNotFoundError):
        manager.load(record.key)


def test_relocate_and_relink(manager, tmp_path):
    path = tmp_path / "lora.safetensors"
    tensors.write(path, {"weight": ("BF16", [16, 16])})
    record = manager.install_and_wait(str(path), overrides=tensors.LORA, allow_unknown=True)
    found = tmp_path / "disk/found.safetensors"
    found.parent.mkdir()
    os.rename(record.location, found)
    dry = manager.installer.relink(found.parent, dry_run=True)
    assert dry["dry_run"] and manager.store.get(record.key) == record
    report = manager.installer.relink(tmp_path / "disk", str(found.parent))
    assert report["relinked"] == dry["relinked"] and report["unresolved"] == []
    assert [(row["key"], row["to"]) for row in report["relinked"]] == [(record.key, str(found))]
    assert report["hashed_bytes"] == record.file_size
    assert manager.installer.relink()["relinked"] == []
    again = found.rename(tmp_path / "again.safetensors")
    moved = manager.installer.relocate(record.key, again)
    assert moved.location == str(again) and moved == manager.store.get(record.key)
    with manager.load(record.key) as loaded:
        assert loaded.tensors["weight"].shape == (16, 16)
    for error, key, place in ((modelmgr.UnknownModelError, "none", again),
                              (modelmgr.PathNotFoundError, record.key, found)):
        with pytest.raises(error):
            manager.installer.relocate(key, place)
    with pytest.raises(modelmgr.ArgumentError):
        manager.installer.relink("")


def test_rebuild(tmp_path):
    root = tmp_path / "root"
    with modelmgr.Manager(root) as manager:
        path = tmp_path / "lora.safetensors"
        tensors.write(path, {"weight": ("BF16", [16, 16])})
        record = manager.install_and_wait(str(path), overrides=tensors.LORA, allow_unknown=True)
    shutil.rmtree(root / "databases")
    with modelmgr.Manager(root) as manager:
        assert manager.installer.rebuild() == {
            "added": [record.key], "skipped": [], "missing": [], "orphans": []}
        found = manager.store.get(record.key)
        assert found.to_dict() == {**record.to_dict(), "updated_at": found.updated_at}
        assert found.files == record.files


def test_hub_metadata(hub, manager):
    metadata = manager.hub.fetch("acme/tiny-sd")
    assert (metadata.type, metadata.id) == ("huggingface", "acme/tiny-sd")
    assert len(metadata.revision) == 40
    selected = metadata.select("fp16")
    paths = {file.path for file in selected.files}
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in paths
    assert "unet/diffusion_pytorch_model.safetensors" not in paths
    assert all(file.size is not None and file.url.startswith(hub.endpoint)
               for file in selected.files)
    again = modelmgr.Metadata(metadata.to_dict())
    assert again.files == metadata.files
    with pytest.raises(modelmgr.RepoNotFoundError):
        manager.hub.fetch("acme/nobody")


class Fetcher:
    """Another site, in Python."""
    def __init__(self, answer):
        self.answer, self.asked = answer, []

    def accepts(self, source):
        return source.repo == "other/site"

    def fetch(self, source, token):
        self.asked.append((str(source.repo), token))
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def test_a_fetcher_in_python(hub, manager):
    answer = manager.hub.fetch("acme/tiny-sd").to_dict()
    fetcher = Fetcher({**answer, "id": "other/site"})
    manager.hub.add_fetcher("other", fetcher)
    assert manager.hub.fetch("other/site", token="t0ken").id == "other/site"
    assert fetcher.asked == [("other/site", "t0ken")]
    assert manager.hub.fetch("acme/tiny-sd").id == "acme/tiny-sd"
    for failure, kind in ((ValueError("broken"), modelmgr.PluginError),
                          (modelmgr.RepoNotFoundError("gone"), modelmgr.RepoNotFoundError)):
        fetcher.answer = failure
        with pytest.raises(kind) as caught:
            manager.hub.fetch("other/site")
        assert caught.value.__cause__ is failure


def test_offline(tmp_path, hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with modelmgr.Manager(tmp_path / "offline") as manager:
        with pytest.raises(modelmgr.OfflineError):
            manager.install_and_wait("acme/tiny-sd", timeout=60)
    assert hub.log.entries() == []
