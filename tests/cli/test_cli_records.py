# SPDX-License-Identifier: MIT
"""Records on the command line: searches, pages, stores in YAML, what is refused."""
import contextlib
import json
import sqlite3
from pathlib import Path

import pytest
from cli_tools import Cli, snapshot

import make_model

RECORD = {"name": "One", "type": "main", "format": "checkpoint", "base": "sd-1", "path": "/x/1"}


@pytest.fixture(params=["modelmgr.db", "models.yaml"])
def cli(request, tmp_path):
    made = Cli(tmp_path)
    made.store = tmp_path / request.param
    return made


def run(cli, *arguments):
    return cli.json("--store", cli.store, *arguments)


def add(cli, *options, **fields):
    path = cli.folder / "record.json"
    path.write_text(json.dumps({**RECORD, **fields}))
    return run(cli, "add", path, *options)


def names(cli, *arguments):
    return [model["name"] for model in run(cli, "list", "--sort", "name", *arguments)["models"]]


def fill(cli):
    for index in range(7):
        add(cli, name=f"m{index}", path=f"/x/m{index}", base="sdxl" if index % 2 else "sd-1",
            file_size=index << 30, tags=["odd", "fine art"] if index % 2 else ["even"],
            description="for photographs of cats" if index == 4 else None)


def test_filters(cli):
    fill(cli)
    assert names(cli, "--filter", "base = sdxl") == ["m1", "m3", "m5"]
    assert names(cli, "--filter", "file_size > 2GiB and tags = odd") == ["m3", "m5"]
    assert names(cli, "--filter", "name in (m1, m2) or description ~ CATS") == ["m1", "m2", "m4"]
    assert names(cli, "--filter", "not tags = 'fine art'", "--base", "sd-1") == \
        ["m0", "m2", "m4", "m6"]
    error = cli.fails("argument", "--store", cli.store, "list", "--filter", "file_sise > 2")
    assert (error["field"], error["offset"]) == ("filter", 0) and "file_size" in error["message"]
    plain = cli.run("--store", cli.store, "list", "--filter", "base = sdxl")
    assert plain.status == 0 and plain.out.count("sdxl") == 3 and "m2" not in plain.out


def test_full_text(cli):
    fill(cli)
    assert names(cli, "--search", "photo") == ["m4"]
    assert names(cli, "--search", "ART fine") == ["m1", "m3", "m5"]
    assert names(cli, "--search", "\"fine art\" -m3") == ["m1", "m5"]
    assert names(cli, "--search", "dogs") == []
    assert cli.fails("argument", "--store", cli.store, "list", "--search", "?")["field"] == "text"


def test_pages(cli):
    fill(cli)
    found, cursor = [], []
    while True:
        page = run(cli, "list", "--sort", "-file_size", "--limit", "3", *cursor)
        found += [model["name"] for model in page["models"]]
        assert page["total"] == 7
        if "cursor" not in page:
            break
        cursor = ["--after", page["cursor"]]
    assert found == [f"m{index}" for index in reversed(range(7))]
    error = cli.fails("argument", "--store", cli.store, "list", "--sort", "name", "--limit", "3",
                      *cursor)
    assert error["field"] == "cursor"


def test_outsiders(cli):
    key = add(cli)["key"]
    before = run(cli, "show", key)
    newer = cli.folder / "newer.json"
    newer.write_text('{"key":"n","name":"N","type":"hologram","format":"checkpoint","base":"sd-77",'
                     '"path":"/x/n","x_big":123456789012345678901234567890,"x_o":{ "a" : [ ] }}')
    error = cli.fails("invalid_config", "--store", cli.store, "add", newer)
    assert (error["field"], error["subject"]) == ("type", "n")
    error = cli.fails("invalid_config", "--store", cli.store, "set", key, "base=sd-9")
    assert (error["field"], error["subject"]) == ("base", key)
    error = cli.fails("invalid_config", "--store", cli.store, "set", key, "type=main", "base=SDXL")
    assert error["field"] == "base"
    assert run(cli, "show", key) == before
    run(cli, "add", newer, "--lenient")
    run(cli, "set", "n", "description=changed")
    text = cli.run("--store", cli.store, "--json", "show", "n").out
    assert '"x_big":123456789012345678901234567890' in text and '"x_o":{ "a" : [ ] }' in text
    assert '"type":"hologram"' in text and '"base":"sd-77"' in text
    assert run(cli, "set", key, "base=sd-9", "--lenient")["base"] == "sd-9"


def test_members_that_no_table_knows_are_set_and_cleared(cli):
    key = add(cli)["key"]
    error = cli.fails("invalid_config", "--store", cli.store, "set", key, "x_count=3")
    assert (error["field"], error["subject"]) == ("x_count", key)
    long = "x_" + "n" * 100
    changed = run(cli, "set", key, "--lenient", "x_count=3", 'x_list=["a"]', "x_text=some text",
                  f"{long}=1")
    assert (changed["x_count"], changed["x_list"], changed["x_text"]) == (3, ["a"], "some text")
    assert changed[long] == 1
    changed = run(cli, "set", key, "x_count=", f"{long}=")
    assert "x_count" not in changed and long not in changed and changed["x_list"] == ["a"]


@pytest.mark.parametrize("field,text,reason", [
    ("file_size", "1GiB", "must be a number, not text"),
    ("upcast_attention", "yes", "must be true or false, not text"),
    ("default_settings", "{", "expected near end of file"),
    ("default_settings", "steps", "must be an object, not text"),
    ("tags", '["a"', "expected near end of file"),
    ("tags", b"a,\xff", "not valid UTF-8"),
    ("description", b"\xff", "not valid UTF-8"),
])
def test_values_that_a_field_cannot_have(cli, field, text, reason):
    key = add(cli, tags=["kept"])["key"]
    before = run(cli, "show", key)
    text = text if isinstance(text, str) else text.decode(errors="surrogateescape")
    error = cli.fails("invalid_config", "--store", cli.store, "set", key, f"{field}={text}")
    assert error["field"] == field and reason in error["message"]
    assert run(cli, "show", key) == before


def test_lists_as_text(cli):
    key = add(cli)["key"]
    assert run(cli, "set", key, "tags= real life , b,c ")["tags"] == ["real life", "b", "c"]
    assert run(cli, "set", key, 'tags=["x,y"]')["tags"] == ["x,y"]
    assert run(cli, "set", key, "tags=")["tags"] is None


def test_record_files_that_are_none(cli):
    path = cli.folder / "record.json"
    path.write_bytes(b'{"name":"a\0b"}')
    assert "NUL" in cli.fails("invalid_file", "--store", cli.store, "add", path)["message"]
    path.write_bytes(b" " * ((16 << 20) + 1))
    assert "16 MiB" in cli.fails("too_large", "--store", cli.store, "add", path)["message"]
    assert not cli.root.exists()


def break_row(cli, key):
    with contextlib.closing(sqlite3.connect(cli.store)) as database, database:
        database.execute("UPDATE mmgr_models SET record = json_set(record, '$.file_size', 'big')"
                         " WHERE key = ?", (key,))


def test_a_broken_row_is_named_and_can_be_removed(tmp_path):
    cli = Cli(tmp_path)
    cli.store = tmp_path / "modelmgr.db"
    add(cli, key="whole")
    add(cli, key="broken", path="/x/2")
    break_row(cli, "broken")
    for command in (["show", "broken"], ["set", "broken", "name=x"], ["remove", "broken"]):
        error = cli.fails("invalid_config", "--store", cli.store, *command)
        assert (error["field"], error["subject"]) == ("file_size", "broken")
    assert run(cli, "remove", "broken", "--keep-files") == {"key": "broken", "deleted": []}
    cli.fails("unknown_model", "--store", cli.store, "show", "broken")
    assert run(cli, "show", "whole")["key"] == "whole"


def test_looking_makes_no_store_of_a_slip_of_the_pen(cli):
    cli.root.mkdir()
    for command in (["list"], ["list", "--json"]):
        assert cli.run("--store", cli.store, *command).status == 0
    cli.fails("unknown_model", "--store", cli.store, "show", "x")
    assert not cli.store.exists()


def test_several_bases(cli):
    add(cli, name="both", bases=["sd-1", "sdxl"], tags=["t"])
    add(cli, name="one", path="/x/2")
    assert names(cli, "--base", "sdxl") == ["both"]
    assert names(cli, "--base", "sd-1") == ["both", "one"]
    assert names(cli, "--filter", "bases = sdxl") == ["both"]
    assert names(cli, "--filter", "base = sdxl") == []


def test_a_yaml_store_by_hand(tmp_path):
    cli = Cli(tmp_path)
    cli.store = tmp_path / "mine.yaml"
    cli.store.write_text("# my models\n\nmodelmgr_store: 1\nmodels:\n  first:\n    path: /x/first\n"
                         "    name: First\n    base: sd-1\n    type: main\n    format: diffusers\n")
    assert run(cli, "list")["total"] == 1
    run(cli, "set", "first", "description=said by the tool")
    add(cli, key="second", path="/x/second")
    text = cli.store.read_text()
    assert text.startswith("# my models\n\nmodelmgr_store: 1\nmodels:\n  first:\n    path: /x/first\n"
                           "    name: First\n    base: sd-1\n    type: main\n    format: diffusers\n")
    assert text.index("second:") > text.index("description: said by the tool")
    cli.store.write_text(text.replace("type: main", "type: [main]", 1))
    before = snapshot(tmp_path)
    error = cli.fails("invalid_config", "--store", cli.store, "list")
    assert f"{cli.store}:9:11: " in error["message"]
    assert (error["field"], error["subject"]) == ("type", "first")
    assert {path: data for path, data in snapshot(tmp_path).items() if "root" not in path} == \
        {path: data for path, data in before.items() if "root" not in path}


def test_other_files_are_no_stores(tmp_path):
    cli = Cli(tmp_path)
    for name, text in (("other.yaml", "__metadata__:\n  version: 3.0.0\n"), ("list.yaml", "- a\n"),
                       ("newer.yaml", "modelmgr_store: 2\nmodels: {}\n"), ("broken.yaml", "a: [b\n"),
                       ("binary.yaml", "\0\1\2")):
        store = tmp_path / name
        store.write_text(text)
        error = cli.fails("store_incompatible", "--store", store, "list")
        assert str(store) in error["message"]
        assert store.read_text() == text
    assert "newer release" in cli.fails("store_incompatible", "--store", tmp_path / "newer.yaml",
                                        "list")["message"]


@pytest.mark.parametrize("settings,field,reason", [
    ({"steps": 0}, "steps", "must be at least 1"),
    ({"cfg_rescale_multiplier": 1}, "cfg_rescale_multiplier", "must be at least 0 and less than 1"),
    ({"width": 8}, "width", "must be at least 64"),
    ({"width": 100}, "width", "must be a multiple of 8"),
    ({"width": "64"}, "width", "must be a whole number"),
    ({"vae_precision": "fp8"}, "vae_precision", "must be one of fp16, fp32"),
    ({"weight": 1}, "weight", "does not exist for models of type main"),
])
def test_default_settings_that_are_refused_say_what_they_must_be(tmp_path, settings, field, reason):
    cli = Cli(tmp_path)
    path = tmp_path / "record.json"
    path.write_text(json.dumps({**RECORD, "key": "k", "default_settings": settings}))
    error = cli.fails("invalid_config", "add", path)
    assert (error["field"], error["subject"]) == (f"default_settings.{field}", "k")
    assert error["message"].endswith(f' {reason}')


def test_relink_says_that_a_folder_is_not_there(tmp_path):
    cli = Cli(tmp_path)
    assert cli.json("relink", tmp_path)["relinked"] == []
    error = cli.fails("path_not_found", "relink", tmp_path, tmp_path / "none")
    assert error["subject"] == str(tmp_path / "none")


def test_a_store_behind_a_uri_is_refused_without_its_password(tmp_path):
    cli = Cli(tmp_path)
    error = cli.fails("unsupported", "--store", "postgresql://user:secret@host/db", "list")
    assert "URI" in error["message"] and "secret" not in json.dumps(error)
    assert not cli.root.exists()


def placed(cli):
    source = cli.folder / "embedding.safetensors"
    make_model.make_checkpoint(str(source), "embedding-sd-1", sparse=False)
    return run(cli, "install", source)


def test_a_side_car_for_the_files_of_another_model(cli):
    model = placed(cli)
    cli.store.unlink()
    add(cli, key="taker", path=model["path"])
    result = cli.run("--store", cli.store, "--json", "sync", "--rebuild")
    assert [(item["path"], item["reason"]) for item in result.doc["skipped"]] == \
        [(str(Path(model["path"]).parent), "duplicate")]
    assert "those of another model" in result.err and model["key"] not in result.err


def test_a_broken_row_comes_back_from_its_side_car(tmp_path):
    cli = Cli(tmp_path)
    cli.store = tmp_path / "modelmgr.db"
    key = placed(cli)["key"]
    break_row(cli, key)
    cli.fails("invalid_config", "--store", cli.store, "show", key)
    run(cli, "remove", key, "--keep-files")
    assert run(cli, "sync", "--rebuild")["added"] == [key]
    assert run(cli, "show", key)["file_size"] > 0


def test_what_show_prints_can_be_added_elsewhere(cli):
    model = placed(cli)
    run(cli, "set", model["key"], "--lenient", "x_more=[1]", "tags=a,b")
    shown = cli.run("--store", cli.store, "--json", "show", model["key"]).out
    other = Cli(cli.folder / "other")
    copy = other.json("add", "-", "--lenient", stdin=shown)
    expected = json.loads(shown)
    assert expected.pop("files") and "files" not in copy
    for record in (copy, expected):
        del record["location"], record["updated_at"]
    assert copy == expected
    assert other.json("show", model["key"])["files"] == []
