# SPDX-License-Identifier: MIT
"""Imports from Python."""
import json
import sqlite3

import pytest

import modelmgr


@pytest.fixture
def store(tmp_path):
    with modelmgr.Store(tmp_path / "a.db") as opened:
        yield opened


@pytest.fixture
def database(tmp_path):
    """A database that its connection still has open, with what it wrote in the log alone."""
    path = tmp_path / "root/databases/invokeai.db"
    path.parent.mkdir(parents=True)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE models(id TEXT PRIMARY KEY, config TEXT, created_at TEXT)")
    config = {"name": "One", "type": "lora", "format": "lycoris", "base": "sd-1", "path": "one"}
    connection.execute("INSERT INTO models VALUES('key-1', ?, '')", (json.dumps(config), ))
    connection.commit()
    yield path
    connection.close()


def test_a_database(store, database, tmp_path):
    planned = store.import_from("invokeai", database, dry_run=True)
    assert planned["dry_run"] and planned["added"] == ["key-1"] and len(store) == 0
    report = store.import_from("invokeai", str(database))
    assert report["added"] == report["missing"] == ["key-1"] and report["skipped"] == []
    assert store["key-1"].path == str(tmp_path / "root/models/one")
    again = store.import_from("invokeai", database)
    assert again["skipped"][0]["code"] == "duplicate_model"


def test_a_models_yaml(store, tmp_path):
    path = tmp_path / "models.yaml"
    path.write_text("__metadata__: {version: 3.0.0}\nsd-1/vae/V: {path: v.pt}\n")
    report = store.import_from("yaml", path, models_dir=tmp_path / "elsewhere")
    assert report["names"] == ["V"] and report["models_dir"] == str(tmp_path / "elsewhere")
    assert store.get_by_name("V").path == str(tmp_path / "elsewhere/v.pt")


def test_failures(store, tmp_path):
    with pytest.raises(ValueError, match="invokeai"):
        store.import_from("comfyui", tmp_path)
    with pytest.raises(modelmgr.PathNotFoundError):
        store.import_from("yaml", tmp_path / "none.yaml")
    path = tmp_path / "x.db"
    path.write_bytes(b"no database" * 20)
    with pytest.raises(modelmgr.InvalidFileError) as caught:
        store.import_from("invokeai", path)
    assert caught.value.subject == str(path)
