# SPDX-License-Identifier: MIT
"""Sources, config, records, checkpoints, probing, hashing: what needs no service."""
import copy
import hashlib
import os
import pickle

import pytest
import tensors

import modelmgr


def test_version():
    assert modelmgr.library_version() == modelmgr.__version__
    info = modelmgr.library_info()
    assert info["version"] == modelmgr.__version__
    assert "sqlite3" in info["libraries"] or "sqlite" in info["libraries"]


# ---- errors


def test_exceptions_are_of_one_family_by_kind():
    names = [name for name in modelmgr.__all__ if name.endswith("Error")]
    assert len(names) > 40
    assert all(issubclass(getattr(modelmgr, name), modelmgr.ModelManagerError) for name in names)


def test_an_error_names_code_and_subject(tmp_path):
    missing = tmp_path / "missing.safetensors"
    with pytest.raises(modelmgr.PathNotFoundError) as caught:
        modelmgr.Checkpoint(missing)
    assert caught.value.code == "path_not_found"
    assert str(missing) in caught.value.message
    assert caught.value.offset is None


def test_an_error_in_a_file_names_its_place(tmp_path):
    path = tmp_path / "broken.safetensors"
    path.write_bytes((20).to_bytes(8, "little") + b'{"a": nonsense      ' + bytes(8))
    with pytest.raises(modelmgr.InvalidFileError) as caught:
        modelmgr.Checkpoint(path)
    assert caught.value.offset is not None and 8 <= caught.value.offset <= 28


def test_text_with_nul_is_refused_not_cut(tmp_path):
    tensors.write(tmp_path / "a.safetensors", {"t": ("F32", [1])})
    with pytest.raises(modelmgr.ArgumentError):
        modelmgr.Checkpoint(str(tmp_path / "a.safetensors") + "\0.bin")
    with pytest.raises(modelmgr.ArgumentError):
        modelmgr.Source("acme/tiny\0")


def test_wrong_python_types_are_type_errors():
    with pytest.raises(TypeError):
        modelmgr.Source(7)
    with pytest.raises(TypeError):
        modelmgr.Checkpoint(None and 1 or 3.5)
    with pytest.raises(TypeError):
        modelmgr.hash_path("x", algorithm=b"sha256")


# ---- sources


@pytest.mark.parametrize("text, parts", [
    ("acme/tiny", ("huggingface", "acme/tiny", None, None, None)),
    ("acme/tiny@v2", ("huggingface", "acme/tiny", "v2", None, None)),
    ("acme/tiny:fp16", ("huggingface", "acme/tiny", None, "fp16", None)),
    ("acme/tiny:fp16:unet", ("huggingface", "acme/tiny", None, "fp16", "unet")),
    ("acme/tiny::unet", ("huggingface", "acme/tiny", None, None, "unet")),
    ("https://example.com/a.safetensors", ("url", None, None, None, None)),
])
def test_sources(text, parts):
    source = modelmgr.Source(text)
    assert (source.kind, source.repo, source.revision, source.variant, source.subfolder) == parts
    assert modelmgr.Source(str(source)) == source
    assert len({source, modelmgr.Source(text)}) == 1


def test_a_path_that_is_there_is_local_and_one_that_is_not_is_missing(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"")
    assert modelmgr.Source(str(path)).kind == "local"
    assert modelmgr.Source(str(path)).path == str(path)
    with pytest.raises(modelmgr.PathNotFoundError):
        modelmgr.Source(str(tmp_path / "gone"))


# ---- config


def test_config_sources_and_setters(tmp_path, monkeypatch):
    config = modelmgr.Config(tmp_path)
    assert os.path.isabs(config.get("models_dir"))
    assert config.origin("models_dir") == "default"
    config.set("models_dir", tmp_path / "elsewhere")
    assert config.get("models_dir") == str(tmp_path / "elsewhere")
    assert config.origin("models_dir") == "setter"
    config.set("models_dir", None)
    assert config.origin("models_dir") == "default"
    assert "models_dir" in list(modelmgr.Config.fields())
    assert set(config.to_dict()) >= {"models_dir"}
    with pytest.raises(modelmgr.InvalidConfigError) as caught:
        config.set("no_such_field", "1")
    assert caught.value.field == "no_such_field"
    assert config.get("no_such_field") is None


def test_config_tokens_are_never_shown(tmp_path):
    config = modelmgr.Config(tmp_path)
    config.add_token("https://example.com/private", "hf_secretsecret")
    assert "hf_secretsecret" not in repr(config.to_dict())
    with pytest.raises(modelmgr.ArgumentError):
        config.add_token("https://*.example.com", "hf_x")


def test_config_is_read_only_once_used(tmp_path):
    config = modelmgr.Config(tmp_path)
    with modelmgr.Manager(config=config) as manager:
        with pytest.raises(modelmgr.StateError):
            config.set("models_dir", "/tmp")
        assert manager.config.get("models_dir") == config.get("models_dir")
    with pytest.raises(modelmgr.ArgumentError):
        modelmgr.Manager(tmp_path, config=config)


# ---- records

FIELDS = {
    "name": "tiny",
    "type": "lora",
    "format": "lycoris",
    "base": "sd-1",
    "path": "/m/tiny.safetensors",
    "tags": ["a", "b"]
}


def test_a_record_is_an_immutable_mapping():
    record = modelmgr.Record(FIELDS)
    assert len(record.key) == 32
    assert record["name"] == record.name == "tiny"
    assert record.description is None and "description" in record
    record.tags.append("c")
    record["tags"].append("c")
    assert record.tags == ["a", "b"]
    with pytest.raises(TypeError):
        record["name"] = "other"
    with pytest.raises(AttributeError):
        record.no_such_field
    assert dict(record) == record.to_dict()


def test_replace_makes_a_new_record():
    record = modelmgr.Record(FIELDS)
    other = record.replace(name="other", tags=None)
    assert (other.key, other.name, record.name) == (record.key, "other", "tiny")
    assert not other.tags
    assert other != record and record == modelmgr.Record(record.to_dict())


def test_a_wrong_field_is_named():
    with pytest.raises(modelmgr.InvalidConfigError) as caught:
        modelmgr.Record({**FIELDS, "file_size": "many"})
    assert caught.value.field == "file_size"


def test_records_are_copied_but_not_pickled():
    record = modelmgr.Record(FIELDS)
    assert copy.copy(record) == copy.deepcopy(record) == record
    with pytest.raises(TypeError):
        pickle.dumps(record)


# ---- checkpoints and hashes


def test_checkpoint(tmp_path):
    path = tmp_path / "a.safetensors"
    data = tensors.write(path, {
        "x": ("F16", [2, 3]),
        "scalar": ("I64", []),
        "empty": ("F32", [0, 4])
    }, {"format": "pt"})
    with modelmgr.inspect(path) as checkpoint:
        assert checkpoint.format == "safetensors"
        assert checkpoint.metadata == {"format": "pt"}
        assert list(checkpoint.tensors) == ["x", "scalar", "empty"]
        info = checkpoint.tensors["x"]
        assert (info.dtype, info.shape, info.strides, info.bytes) == ("F16", (2, 3), (3, 1), 12)
        assert path.read_bytes()[info.offset:info.offset + info.bytes] == data["x"]
        assert checkpoint.tensors["scalar"].shape == ()
        assert checkpoint.tensors["empty"].bytes == 0
        assert info.file == "a.safetensors" and checkpoint.files == ("a.safetensors", )
        assert 0 < checkpoint.bytes_read <= path.stat().st_size
        assert "y" not in checkpoint.tensors and 3 not in checkpoint.tensors
        with pytest.raises(KeyError):
            checkpoint.tensors["y"]
        kept = checkpoint.tensors
    assert kept["x"].bytes == 12  # a view that was taken keeps what it needs
    with pytest.raises(modelmgr.StateError):
        checkpoint.tensors
    checkpoint.close()


def test_hashes(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"x" * 100000)
    assert modelmgr.hash_path(path, "sha256") == "sha256:" + \
                              hashlib.sha256(b"x" * 100000).hexdigest()
    assert modelmgr.hash_path(path).startswith("sampled:")
    with pytest.raises(modelmgr.ArgumentError):
        modelmgr.hash_path(path, "md5")


def test_probe(pipeline):
    result = modelmgr.probe(pipeline)
    assert (result.base, result.type, result.format) == ("sd-1", "main", "diffusers")
    assert result["base"] == "sd-1" and result.rule and result.evidence
    assert 0 < result.bytes_read < 1 << 20


def test_probe_says_what_it_cannot_know(tmp_path):
    path = tmp_path / "a.safetensors"
    tensors.write(path, {"nothing.known": ("F32", [2])})
    with pytest.raises(modelmgr.UnidentifiedError):
        modelmgr.probe(path)
    assert modelmgr.probe(path, allow_unknown=True).type == "unknown"


def test_metadata_from_json():
    with pytest.raises(modelmgr.ProtocolError):
        modelmgr.Metadata({"siblings": 3})


# ---- log


def test_log_lines_come_to_the_function(tmp_path):
    lines = []
    modelmgr.set_log("debug", lambda level, component, message: lines.append((level, component)))
    try:
        with modelmgr.Manager(tmp_path / "root") as manager:
            manager.store.search()
            with pytest.raises(modelmgr.ModelManagerError):
                manager.store.get("0" * 32)
    finally:
        modelmgr.set_log("off")
    assert all(level in ("error", "warning", "info", "debug") and component
               for level, component in lines)
    with pytest.raises(ValueError):
        modelmgr.set_log("loud")
