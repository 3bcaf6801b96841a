# SPDX-License-Identifier: MIT
"""modelmgr import: reports, what people see, dry runs, and sources that stay as they are."""

import json
import sqlite3

import pytest

from cli_tools import Cli, snapshot

YAML = """__metadata__: {version: 3.0.0}
sd-1/lora/One: {path: sd-1/lora/one.safetensors, description: first}
sd-1/vae/Two: {path: two.pt}
lonely: {path: x}
"""


@pytest.fixture
def cli(tmp_path):
    return Cli(tmp_path)


@pytest.fixture
def invokeai(tmp_path):
    """A root of InvokeAI with one model that is there, one that is not, and one broken row."""
    root = tmp_path / "invokeai"
    (root / "databases").mkdir(parents=True)
    (root / "models/sd-1/lora").mkdir(parents=True)
    (root / "models/sd-1/lora/one.safetensors").write_bytes(b"weights")
    path = root / "databases/invokeai.db"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE models(id TEXT NOT NULL PRIMARY KEY, config TEXT NOT NULL,"
                     " created_at DATETIME NOT NULL)")
    for key, name in (("k-1", "one"), ("k-2", "two")):
        config = {"key": key, "name": name, "type": "lora", "format": "lycoris", "base": "sd-1",
                  "path": f"sd-1/lora/{name}.safetensors", "hash": "blake3:00", "cpu_only": None,
                  "weight": 0.75}
        database.execute("INSERT INTO models VALUES(?, ?, '2024-08-29 10:00:00.500')",
                         (key, json.dumps(config)))
    database.execute("INSERT INTO models VALUES('k-3', 'no JSON', '')")
    database.commit()
    database.close()
    return path


@pytest.fixture
def models_yaml(tmp_path):
    path = tmp_path / "old/configs/models.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(YAML)
    return path


def test_a_database(cli, invokeai):
    before = snapshot(invokeai.parent.parent)
    report = cli.json("import", "invokeai", invokeai)
    assert report["added"] == ["k-1", "k-2"] and report["names"] == ["one", "two"]
    assert report["missing"] == ["k-2"] and report["linked_bytes"] == 0
    assert [item["key"] for item in report["skipped"]] == ["k-3"]
    assert report["skipped"][0]["code"] == "invalid_config"
    assert report["source"] == str(invokeai) and not report["dry_run"]
    assert report["models_dir"] == str(invokeai.parent.parent / "models")
    shown = cli.json("show", "k-1")
    assert shown["created_at"] == "2024-08-29T10:00:00.500Z" and shown["hash"] == "blake3:00"
    assert shown["location"] == f"{report['models_dir']}/sd-1/lora/one.safetensors"
    assert shown["weight"] == 0.75
    again = cli.json("import", "invokeai", invokeai)
    assert again["added"] == []
    assert [item["code"] for item in again["skipped"]] == ["duplicate_model"] * 2 + [
        "invalid_config"]
    assert snapshot(invokeai.parent.parent) == before


def test_a_models_yaml(cli, models_yaml, tmp_path):
    report = cli.json("import", "yaml", "old/configs/models.yaml", "--models-dir", "elsewhere")
    assert report["names"] == ["One", "Two"] and len(report["missing"]) == 2
    assert report["models_dir"] == str(tmp_path / "elsewhere")
    assert "line 4" in report["skipped"][0]["reason"]
    one = cli.json("show", "One")
    assert one["path"] == str(tmp_path / "elsewhere/sd-1/lora/one.safetensors")
    assert (one["format"], one["description"]) == ("lycoris", "first")
    assert models_yaml.read_text() == YAML


def test_what_people_see(cli, invokeai):
    planned = cli.run("import", "invokeai", invokeai, "--dry-run")
    assert planned.status == 0 and planned.err == ""
    assert planned.out.startswith("Would add 2 model(s)\n  one\n  two\nSkipped 1\n  k-3: ")
    assert not cli.root.exists(), "a dry run creates nothing"
    done = cli.run("import", "invokeai", invokeai)
    assert done.out == planned.out.replace("Would add", "Added")
    assert done.out.endswith("Without their files 1\n  k-2\n")
    # All skipped is no failure.
    again = cli.run("import", "invokeai", invokeai)
    assert again.status == 0 and again.out.startswith("Added 0 model(s)\nSkipped 3\n  one: ")


def test_a_dry_run_of_a_filled_store(cli, invokeai):
    cli.json("import", "invokeai", invokeai)
    before = cli.json("list")
    report = cli.json("import", "invokeai", invokeai, "--dry-run")
    assert report["dry_run"] and report["added"] == [] and len(report["skipped"]) == 3
    assert cli.json("list") == before


def test_failures(cli, tmp_path):
    cli.fails("path_not_found", "import", "invokeai", "nowhere.db")
    cli.fails("path_not_found", "import", "yaml", "nowhere.yaml")
    text = tmp_path / "text"
    text.write_text("no database\n" * 20)
    assert str(text) in cli.fails("invalid_file", "import", "invokeai", text)["message"]
    old = tmp_path / "models.yaml"
    old.write_text("__metadata__: {version: 2.3.0}\n")
    assert "2.3.0" in cli.fails("invalid_file", "import", "yaml", old)["message"]
    assert cli.json("list")["total"] == 0


@pytest.mark.parametrize("arguments,hint", [
    (["import", "invokeai"], "an argument is missing: import "),
    (["import", "comfyui", "x"], "not comfyui"),
    (["import", "hf-cache", "x"], "not available in this release"),
    (["import", "yaml", "x", "--force"], "no option --force"),
])
def test_usage(cli, arguments, hint):
    result = cli.run(*arguments)
    assert result.status == 2 and hint in result.err and result.out == ""
    assert not cli.root.exists()
