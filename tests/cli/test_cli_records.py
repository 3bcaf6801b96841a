# SPDX-License-Identifier: MIT
"""Records on the command line: searches, pages, stores in YAML, what is refused."""
import json

import pytest
from cli_tools import Cli, snapshot

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
