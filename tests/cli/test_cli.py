# SPDX-License-Identifier: MIT
"""The command line without a network: usage, records, local installs, and what is said of files."""

import hashlib
import json
import os
import shutil
import subprocess

import pytest

from cli_tools import CLI, RECORD_FIELDS, Cli, snapshot

import hostile  # noqa: E402 - found through cli_tools
import make_model  # noqa: E402

COMMANDS = """install list show set add remove probe inspect hash download fetch load sync relink
    relocate config version cache convert verify import""".split()
RECORD = {"name": "One", "type": "lora", "format": "lycoris", "base": "sd-1", "path": "/x/one",
          "hash": "sampled:00"}


@pytest.fixture
def cli(tmp_path):
    return Cli(tmp_path)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    make_model.make_pipeline(str(folder / "pipe"), "sd-1", ("default", "fp16"))
    make_model.make_checkpoint(str(folder / "embedding.safetensors"), "embedding-sd-1",
                               sparse=False)
    make_model.make_checkpoint(str(folder / "lora.safetensors"), "lora-sd-1")
    hostile.write_corpus(str(folder / "hostile"))
    return folder


def add(cli, **fields):
    path = cli.folder / "record.json"
    path.write_text(json.dumps({**RECORD, **fields}))
    return cli.json("add", path)


# ---- usage ---


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(cli, command):
    for arguments in ([command, "--help"], ["--help", command]):
        result = cli.run(*arguments)
        assert result.status == 0 and result.err == ""
        assert result.out.startswith("Usage: modelmgr") and command in result.out
    assert not cli.root.exists()


def test_help_lists_the_commands(cli):
    result = cli.run("--help")
    assert result.status == 0
    for command in COMMANDS:
        assert f"\n  {command} " in result.out


@pytest.mark.parametrize("arguments,hint", [
    ([], "a command is missing"),
    (["lst"], "did you mean list?"),
    (["frobnicate"], "modelmgr --help"),
    (["list", "--jsn"], "did you mean --json?"),
    (["list", "--frobnicate"], "--help"),
    (["list", "-x"], "unknown option -x"),
    (["list", "--explain"], "list has no option --explain"),
    (["list", "extra"], "modelmgr: list: unexpected argument extra;"),
    (["show"], "show: an argument is missing: show KEY-OR-NAME;"),
    (["list", "--limit"], "--limit needs a value"),
    (["list", "--limit", "-1"], "wants a number"),
    (["list", "--limit", "ten"], "wants a number"),
    (["list", "--json=yes"], "takes no value"),
    (["set", "key", "novalue"], "FIELD=VALUE"),
    (["remove", "key", "--force", "--keep-files"], "exclude each other"),
    (["load", "key", "--repeat", "0"], "1 or more"),
    (["install", "a/b", "--token-env", "MMGR_TEST_UNSET"], "environment variable"),
])
def test_wrong_usage(cli, arguments, hint):
    result = cli.run(*arguments)
    assert result.status == 2 and result.out == ""
    assert result.err.startswith("modelmgr: ") and hint in result.err
    assert result.err.count("\n") == 1
    with_json = cli.run("--json", *arguments)
    assert with_json.status == 2
    assert with_json.doc["error"]["code"] == "argument"
    assert not cli.root.exists()


@pytest.mark.parametrize("arguments", [
    ["download", "http://127.0.0.1:9/x", "x", "--segments", "4"],
    ["download", "http://127.0.0.1:9/x", "x", "--limit-rate", "1M"],
    ["cache", "list"], ["cache", "get", "a/b"],
    ["convert", "key", "--to", "safetensors", "-o", "x"], ["verify", "--all", "--repair"],
    ["import", "hf-cache", "folder"],
])
def test_what_is_not_there_yet_says_so(cli, arguments):
    result = cli.run(*arguments)
    assert result.status == 2 and result.out == ""
    assert "not available in this release" in result.err
    assert f"{arguments[0]}: {arguments[0]}:" not in result.err
    assert cli.run(*arguments, "--json").doc["error"]["code"] == "argument"


def test_global_options_stand_before_or_after(cli):
    before = subprocess.run([CLI, "--root", cli.root, "--json", "list"], env=cli.env,
                            capture_output=True, check=True)
    after = subprocess.run([CLI, "list", f"--root={cli.root}", "--json"], env=cli.env,
                           capture_output=True, check=True)
    assert json.loads(before.stdout) == json.loads(after.stdout) == {"models": [], "total": 0}


def test_two_dashes_end_the_options(cli):
    assert "-no-such" in cli.fails("path_not_found", "hash", "--", "--no-such")["message"]


def test_root_comes_from_the_environment(cli):
    for env, root in (({"MODELMGR_ROOT": str(cli.folder / "a")}, cli.folder / "a"),
                      ({"XDG_DATA_HOME": str(cli.folder / "b")}, cli.folder / "b/modelmgr"),
                      ({}, cli.folder / "home/.local/share/modelmgr")):
        done = subprocess.run([CLI, "config", "root"], env={**cli.env, **env}, text=True,
                              capture_output=True, check=True)
        assert done.stdout.strip() == str(root)


# ---- looking creates nothing ---


def test_looking_at_a_missing_root_creates_nothing(cli, models):
    before = snapshot(cli.folder)
    assert cli.json("list") == {"models": [], "total": 0}
    cli.fails("unknown_model", "show", "nobody")
    cli.fails("unknown_model", "load", "nobody")
    cli.json("config")
    cli.json("version")
    cli.json("probe", models / "embedding.safetensors")
    cli.json("inspect", models / "embedding.safetensors")
    cli.json("hash", models / "embedding.safetensors")
    plan = cli.json("install", models / "pipe", "--dry-run")
    assert plan["total_bytes"] > 0
    assert snapshot(cli.folder) == before


def test_looking_at_an_existing_root_changes_nothing(cli, models):
    key = cli.json("install", models / "embedding.safetensors")["key"]
    before = snapshot(cli.folder)
    cli.json("list")
    cli.json("show", key)
    cli.json("install", models / "pipe", "--dry-run")
    cli.json("load", key)
    assert snapshot(cli.folder) == before


# ---- records ---


def test_add_show_list(cli):
    record = add(cli, tags=["x", "y"], trigger_phrases=["a b"], description="naïve ✓")
    assert RECORD_FIELDS <= set(record)
    assert len(record["key"]) == 32 and int(record["key"], 16) >= 0
    assert record["variant"] is None and record["tags"] == ["x", "y"]
    assert record["created_at"].endswith("Z") and record["description"] == "naïve ✓"
    shown = cli.json("show", record["key"])
    assert shown.pop("files") == []
    assert shown == record
    assert cli.json("show", "One")["key"] == record["key"]
    listed = cli.json("list")
    assert set(listed) == {"models", "total"}
    assert listed["total"] == 1 and listed["models"] == [record]
    human = cli.run("show", "One")
    assert human.status == 0 and record["key"] in human.out and "naïve ✓" in human.out


def test_add_keeps_a_given_key_and_reads_standard_input(cli):
    text = json.dumps({**RECORD, "key": "my_key-1"})
    result = cli.run("--json", "add", "-", stdin=text)
    assert result.status == 0 and result.doc["key"] == "my_key-1"
    (cli.folder / "record.json").write_text(text)
    error = cli.fails("duplicate_model", "add", cli.folder / "record.json")
    assert "my_key-1" in error["message"] or error["subject"] == "my_key-1"


def test_add_refuses_bad_records(cli):
    path = cli.folder / "record.json"
    cli.fails("path_not_found", "add", path)
    path.write_text("not json")
    cli.fails("invalid_config", "add", path)
    path.write_text(json.dumps({**RECORD, "upcast_attention": "perhaps"}))
    cli.fails("invalid_config", "add", path)
    path.write_text(json.dumps({key: value for key, value in RECORD.items() if key != "type"}))
    assert cli.fails("invalid_config", "add", path)["field"] == "type"
    path.write_bytes(b"{}\0")
    cli.fails("invalid_file", "add", path)
    assert not cli.root.exists(), "a bad record makes no root"


def test_list_filters_order_and_pages(cli):
    for index, base in enumerate(["sd-1", "sdxl", "sd-1"]):
        add(cli, name=f"m{index}", base=base, path=f"/x/{index}", tags=["t", f"t{index}"],
            type="lora" if index < 2 else "controlnet",
            format="lycoris" if index < 2 else "checkpoint")

    def names(*arguments):
        return [model["name"] for model in cli.json("list", *arguments)["models"]]

    assert names("--base", "sd-1", "--sort", "name") == ["m0", "m2"]
    assert names("--type", "controlnet") == ["m2"]
    assert names("--format", "lycoris", "--sort", "-name") == ["m1", "m0"]
    assert names("--name", "m1") == ["m1"]
    assert names("--tag", "t", "--tag", "t2") == ["m2"]
    assert names("--base", "no-such-base") == []
    page = cli.json("list", "--sort", "name", "--limit", "1", "--offset", "1")
    assert [model["name"] for model in page["models"]] == ["m1"] and page["total"] == 3
    assert cli.json("list", "--limit", "0") == {"models": [], "total": 3}
    cli.fails("argument", "list", "--sort", "no_such_field")


def test_list_for_people_is_aligned(cli):
    add(cli, name="short", path="/x/1")
    add(cli, name="a rather long name ✓", path="/x/2", file_size=3 << 20)
    result = cli.run("list")
    lines = result.out.splitlines()
    assert result.status == 0 and len(lines) == 3
    assert lines[0].split() == ["key", "name", "type", "base", "format", "size"]
    column = lines[0].index("type")
    assert [line[column:].split()[0] for line in lines[1:]] == ["lora", "lora"]
    assert any(line.endswith("3.0 MiB") for line in lines)


def test_names_cannot_steer_the_terminal(cli):
    record = add(cli, name="evil\u202ename", description="red\x1b[31m\x07")
    shown = cli.run("list").out + cli.run("show", record["key"]).out
    assert "\x1b" not in shown and "\x07" not in shown and "\u202e" not in shown
    assert "evil\\u202ename" in shown and "red\\x1b[31m\\x07" in shown
    assert cli.json("show", record["key"])["name"] == "evil\u202ename"


def test_show_by_ambiguous_name(cli):
    keys = [add(cli, path=f"/x/{i}")["key"] for i in range(2)]
    error = cli.fails("ambiguous_model", "show", "One")
    assert all(key in error["message"] for key in keys)
    assert cli.json("show", keys[1])["path"] == "/x/1"


def test_set_changes_and_clears(cli):
    key = add(cli, type="main", format="checkpoint")["key"]
    changed = cli.json("set", key, "description=two words = fine", "tags=a, b",
                       "trigger_phrases=[\"p, q\"]", "upcast_attention=true", "variant=inpaint",
                       'default_settings={"steps": 30}')
    assert changed["description"] == "two words = fine"
    assert changed["tags"] == ["a", "b"] and changed["trigger_phrases"] == ["p, q"]
    assert changed["upcast_attention"] is True and changed["variant"] == "inpaint"
    assert changed["default_settings"] == {"steps": 30}
    cleared = cli.json("set", key, "description=", "variant=")
    assert cleared["description"] is None and cleared["variant"] is None
    assert cleared["tags"] == ["a", "b"]


def test_set_refuses(cli):
    key = add(cli)["key"]
    before = cli.json("show", key)
    assert cli.fails("invalid_config", "set", key, "no_such=1")["field"] == "no_such"
    assert cli.fails("invalid_config", "set", key, "description=x",
                     "upcast_attention=perhaps")["field"] == "upcast_attention"
    assert cli.fails("invalid_config", "set", key, "name=")["field"] == "name"
    cli.fails("unknown_model", "set", "0" * 32, "name=x")
    assert cli.json("show", key) == before


def test_store_option_and_foreign_database(cli):
    store = cli.folder / "elsewhere/other.db"
    (cli.folder / "record.json").write_text(json.dumps(RECORD))
    cli.json("--store", store, "add", cli.folder / "record.json")
    assert cli.json("--store", store, "list")["total"] == 1
    assert cli.json("list")["total"] == 0
    relative = cli.json("list", "--store", "elsewhere/other.db", cwd=cli.folder)
    assert relative["total"] == 1
    foreign = cli.folder / "foreign.db"
    foreign.write_bytes(b"this is not a database at all" * 100)
    before = foreign.read_bytes()
    cli.fails("store_incompatible", "--store", foreign, "list")
    assert foreign.read_bytes() == before


# ---- local installs ---


def test_install_a_local_file(cli, models):
    record = cli.json("install", models / "embedding.safetensors")
    assert RECORD_FIELDS <= set(record)
    assert (record["type"], record["base"], record["format"]) == ("embedding", "sd-1",
                                                                  "embedding_file")
    assert record["source_type"] == "path"
    shown = cli.json("show", record["key"])
    data = (models / "embedding.safetensors").read_bytes()
    assert [set(row) for row in shown["files"]] == [{"path", "size", "sha256"}]
    assert shown["files"][0]["size"] == len(data)
    assert shown["files"][0]["sha256"] in (None, hashlib.sha256(data).hexdigest())
    assert (models / "embedding.safetensors").read_bytes() == data, "the source stays"
    error = cli.fails("duplicate_model", "install", models / "embedding.safetensors")
    assert record["key"] in error["message"]


def test_install_options(cli, models):
    record = cli.json("install", models / "embedding.safetensors", "--name", "Nice one", "--set",
                      "description=by hand", "--set", "tags=a,b")
    assert (record["name"], record["description"], record["tags"]) == ("Nice one", "by hand",
                                                                       ["a", "b"])
    assert cli.fails("invalid_config", "install", models / "lora.safetensors", "--set",
                     "frob=1")["field"] == "frob"


def test_install_in_place_and_remove(cli, models, tmp_path):
    copy = tmp_path / "mine.safetensors"
    data = (models / "embedding.safetensors").read_bytes()
    copy.write_bytes(data)
    record = cli.json("install", copy, "--inplace")
    assert record["path"] == str(copy)
    removed = cli.json("remove", record["key"])
    assert removed == {"key": record["key"], "deleted": []} and copy.exists()
    record = cli.json("install", copy, "--inplace")
    assert cli.json("remove", record["key"], "--force")["deleted"] == [str(copy)]
    assert not copy.exists()


def test_remove(cli, models):
    key = cli.json("install", models / "embedding.safetensors")["key"]
    deleted = cli.json("remove", key)["deleted"]
    assert deleted and all(os.path.isabs(path) and not os.path.exists(path) for path in deleted)
    assert cli.json("list")["total"] == 0
    cli.fails("unknown_model", "remove", key)
    key = cli.json("install", models / "embedding.safetensors")["key"]
    kept = cli.json("remove", key, "--keep-files")
    assert kept == {"key": key, "deleted": []}
    assert any(path.suffix == ".safetensors" for path in cli.root.rglob("*"))


def test_dry_run_of_a_folder(cli, models):
    plan = cli.json("install", models / "pipe", "--dry-run")
    assert {"repo", "revision", "variant", "files", "total_bytes", "destination"} <= set(plan)
    assert all({"path", "size", "sha256", "action"} <= set(row) for row in plan["files"])
    assert plan["total_bytes"] == sum(row["size"] for row in plan["files"])
    assert os.path.isabs(plan["destination"])
    human = cli.run("install", models / "pipe", "--dry-run")
    assert human.status == 0 and "Nothing has been written." in human.out


def test_install_events(cli, models):
    result = cli.run("install", models / "pipe", "--events")
    assert result.status == 0, result.err
    names = [event["event"] for event in result.lines]
    assert names[-1] == "install.completed" and names.count("install.completed") == 1
    assert "install.running" in names
    assert {"version", "event", "sequence", "time", "job"} <= set(result.lines[-1])
    sequences = [event["sequence"] for event in result.lines]
    assert sequences == sorted(set(sequences))
    assert result.lines[-1]["key"] == cli.json("list")["models"][0]["key"]


@pytest.mark.parametrize("source", ["./no-such", "../no-such", "/no/such/path", "~/no-such"])
def test_missing_local_path(cli, source):
    error = cli.fails("path_not_found", "install", source)
    assert "no" in error["message"]
    cli.fails("path_not_found", "install", source, "--dry-run")


def test_unsupported_source(cli):
    cli.fails("unsupported_source", "install", "ftp://example.org/model.safetensors")
    cli.fails("unsupported_source", "install", "two words and more")


def test_unidentified_and_broken_files(cli, models, tmp_path):
    good = models / "hostile/ok__one_tensor.safetensors"
    error = cli.fails("unidentified", "install", good)
    assert "ok__one_tensor" in error["message"] or "ok__one_tensor" in (error["subject"] or "")
    record = cli.json("install", good, "--allow-unknown")
    assert record["type"] == "unknown"
    broken = models / "hostile/invalid_file__header_len_beyond_file.safetensors"
    error = cli.fails("invalid_file", "install", broken)
    assert "header_len_beyond_file" in error["message"] + (error["subject"] or "")
    assert cli.json("list")["total"] == 1


def test_sync(cli, models):
    assert cli.json("sync") == {"added": [], "missing": [], "orphans": []}
    record = cli.json("install", models / "embedding.safetensors")
    lost = cli.json("show", record["key"])
    stray = cli.root / "models/sd-1/lora/stray"
    stray.mkdir(parents=True)
    (stray / "x.safetensors").write_bytes(b"x")
    for path in list(cli.root.rglob("embedding*.safetensors")):
        path.unlink()
    report = cli.json("sync")
    assert set(report) == {"added", "missing", "orphans"}
    assert [row["key"] for row in report["missing"]] == [record["key"]]
    assert any("stray" in path for path in report["orphans"])
    assert lost["path"] == report["missing"][0]["path"]
    cli.fails("model_not_found", "load", record["key"])


def test_sync_rebuild(cli, models):
    keys = sorted(cli.json("install", models / name)["key"] for name in ("embedding.safetensors",
                                                                         "pipe"))
    cli.json("set", keys[0], "description=words")
    before = [cli.json("show", key) for key in keys]
    shutil.rmtree(cli.root / "databases")
    broken = cli.root / "models/broken"
    broken.mkdir()
    (broken / ".modelmgr.json").write_text("{}")
    assert cli.json("sync")["added"] == [] and cli.json("list")["total"] == 0
    report = cli.json("sync", "--rebuild")
    assert sorted(report["added"]) == keys and report["missing"] == report["orphans"] == []
    assert report["skipped"] == [{"path": "broken", "reason": "invalid"}]
    after = [cli.json("show", key) for key in keys]
    for record in before + after:
        record.pop("updated_at")
    assert after == before
    human = cli.run("sync", "--rebuild")
    assert human.status == 0 and "broken (invalid)" in human.out and "0 missing" in human.out


def test_relink(cli, models, tmp_path):
    assert cli.json("relink") == {"relinked": [], "unresolved": [], "dry_run": False,
                                  "hashed_bytes": 0}
    record = cli.json("install", models / "embedding.safetensors")
    lost = cli.json("install", models / "lora.safetensors")
    disk = tmp_path / "disk"
    disk.mkdir()
    target = disk / "moved.safetensors"
    os.rename(record["location"], target)
    os.unlink(lost["location"])
    dry = cli.json("relink", disk, "--dry-run")
    assert dry["dry_run"] and cli.json("show", record["key"])["path"] == record["path"]
    assert "1 would be relinked, 1 unresolved" in cli.run("relink", disk, "--dry-run").out
    report = cli.json("relink", disk, models / "hostile")
    assert report["relinked"] == [{"key": record["key"], "from": record["path"],
                                   "to": str(target)}]
    assert report["unresolved"] == [{"key": lost["key"], "path": lost["path"],
                                     "reason": "not_found"}]
    assert cli.json("show", record["key"])["location"] == str(target)
    human = cli.run("relink", disk)
    assert human.status == 0 and f"{lost['path']} (not_found)" in human.out
    cli.fails("path_not_found", "relink", tmp_path / "none")


def test_relocate(cli, models, tmp_path):
    record = cli.json("install", models / "embedding.safetensors")
    target = tmp_path / "there.safetensors"
    cli.fails("path_not_found", "relocate", record["key"], target)
    os.rename(record["location"], target)
    moved = cli.json("relocate", record["key"], target)
    assert set(moved) >= RECORD_FIELDS and moved["location"] == str(target)
    assert moved["key"] in cli.run("relocate", record["key"], target).out
    assert cli.run("--quiet", "relocate", record["key"], target).out == ""
    cli.fails("hash_mismatch", "relocate", record["key"], models / "lora.safetensors")
    cli.fails("unknown_model", "relocate", "none", target)
    assert cli.run("relocate", record["key"]).status == 2


# ---- load ---


def test_load(cli, models):
    key = cli.json("install", models / "pipe", "--name", "pipe")["key"]
    report = cli.json("load", key, "--submodel", "unet")
    assert {"key", "submodel", "tensors", "bytes", "device", "seconds"} <= set(report)
    assert (report["key"], report["submodel"], report["device"]) == (key, "unet", "cpu")
    assert set(report["seconds"]) == {"open", "load", "lock"}
    assert all(value >= 0 for value in report["seconds"].values())
    assert report["tensors"] > 100 and report["bytes"] > 1_000_000
    again = cli.json("load", "pipe", "--submodel", "vae", "--repeat", "3")
    assert len(again["runs"]) == 3
    human = cli.run("load", key, "--submodel", "unet")
    assert human.status == 0 and "cpu" in human.out
    cli.fails("submodel_required", "load", key)
    error = cli.fails("unknown_submodel", "load", key, "--submodel", "no_such")
    assert '"no_such"' in error["message"]
    cli.fails("no_device", "load", key, "--submodel", "unet", "--device", "warp:7")
    cli.fails("unknown_model", "load", "nobody")


def test_load_on_a_device_that_is_too_small(cli, models):
    key = cli.json("install", models / "pipe")["key"]
    assert cli.json("load", key, "--submodel", "vae", "--device", "fake:64000000")["device"]
    cli.fails("device_memory", "load", key, "--submodel", "unet", "--device", "fake:1000")


# ---- files ---


def test_probe(cli, models):
    found = cli.json("probe", models / "pipe")
    assert {"type", "base", "format", "variant", "prediction_type", "name"} <= set(found)
    assert (found["type"], found["base"], found["format"]) == ("main", "sd-1", "diffusers")
    assert (found["variant"], found["prediction_type"]) == ("normal", "epsilon")
    assert "rule" not in found and "evidence" not in found
    explained = cli.json("probe", models / "pipe", "--explain")
    assert explained["rule"] and explained["evidence"]
    assert all(isinstance(piece, str) for piece in explained["evidence"])
    human = cli.run("probe", models / "pipe", "--explain")
    assert human.status == 0 and explained["rule"] in human.out
    cli.fails("path_not_found", "probe", "no-such")
    cli.fails("unidentified", "probe", models / "hostile/ok__one_tensor.safetensors")
    unknown = cli.json("probe", models / "hostile/ok__one_tensor.safetensors", "--allow-unknown")
    assert unknown["type"] == "unknown"


def test_inspect(cli, models):
    seen = cli.json("inspect", models / "embedding.safetensors")
    assert set(seen) == {"format", "metadata", "tensors"} and seen["format"] == "safetensors"
    raw = (models / "embedding.safetensors").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:8 + length])
    header.pop("__metadata__", None)
    assert {row["name"] for row in seen["tensors"]} == set(header)
    for row in seen["tensors"]:
        assert set(row) == {"name", "dtype", "shape", "offset", "bytes", "file"}
        begin, end = header[row["name"]]["data_offsets"]
        assert (row["dtype"], row["shape"]) == (header[row["name"]]["dtype"],
                                                header[row["name"]]["shape"])
        assert (row["offset"], row["bytes"]) == (8 + length + begin, end - begin)
        assert row["file"] == "embedding.safetensors"
    folder = cli.json("inspect", models / "pipe/unet")
    assert folder["format"] == "folder" and len(folder["tensors"]) > 100
    human = cli.run("inspect", models / "embedding.safetensors")
    assert human.status == 0 and "tensor(s)" in human.out


def test_inspect_names_cannot_steer_the_terminal(cli, models):
    for name in ("ok__name_ansi_escape", "ok__name_rtl_override", "ok__name_every_escape"):
        path = models / f"hostile/{name}.safetensors"
        assert cli.json("inspect", path)["tensors"]
        human = cli.run("inspect", path)
        assert human.status == 0
        assert not any(ord(c) < 32 and c != "\n" or 0x202a <= ord(c) <= 0x202e for c in human.out)


def test_inspect_refuses_hostile_files(cli, models):
    cli.fails("path_not_found", "inspect", "no-such.safetensors")
    error = cli.fails("invalid_file", "inspect",
                      models / "hostile/invalid_file__header_len_beyond_file.safetensors")
    assert error["offset"] is not None or error["subject"]
    for name in ("unsafe_path__index_parent", "unsafe_path__index_absolute"):
        cli.fails("unsafe_path", "inspect", models / "hostile" / name)


@pytest.mark.parametrize("algorithm", [None, "sampled", "xxh3", "sha256"])
def test_hash(cli, models, algorithm):
    path = models / "embedding.safetensors"
    more = ["--algorithm", algorithm] if algorithm else []
    said = cli.json("hash", path, *more)
    assert set(said) == {"algorithm", "hash"}
    assert said["algorithm"] == (algorithm or "sampled")
    assert said["hash"].startswith(said["algorithm"] + ":")
    if algorithm == "sha256":
        assert said["hash"] == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    assert cli.run("hash", path, *more).out.startswith(said["hash"])
    assert cli.json("hash", models / "pipe", *more)["hash"].startswith(said["algorithm"] + ":")


def test_hash_refuses(cli, models):
    cli.fails("path_not_found", "hash", "no-such")
    cli.fails("argument", "hash", models / "embedding.safetensors", "--algorithm", "crc32")


# ---- about ---


def test_config(cli):
    everything = cli.json("config")
    assert everything["root"] == {"value": str(cli.root), "origin": "setter"}
    assert all({"value", "origin"} <= set(entry) for entry in everything.values()
               if isinstance(entry, dict) and "origin" in entry)
    assert cli.json("config", "root") == {"root": everything["root"]}
    assert cli.run("config", "models_dir").out == f"{cli.root}/models\n"
    assert "(default)" in cli.run("config").out
    assert "no_such" in cli.fails("argument", "config", "no_such")["message"]
    cli.root.mkdir()
    (cli.root / "modelmgr.yaml").write_text("no_such_field: 1\n")
    assert cli.fails("invalid_config", "config")["field"] == "no_such_field"


def test_version(cli):
    said = cli.json("version")
    assert {"version", "schema", "features", "libraries"} <= set(said)
    assert "sqlite3" in str(said["libraries"]) or "sqlite" in str(said["libraries"])
    assert said["version"] in cli.run("version").out
    assert cli.run("--version").out == cli.run("version").out


# ---- output ---


def test_a_reader_that_leaves_is_no_drama(cli, models):
    process = cli.start("inspect", models / "hostile/ok__20000_tensors.safetensors")
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(timeout=60) == 141 and err == ""


def test_output_that_cannot_be_written_is_a_failure(cli):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(cli.command(["version"]), env=cli.env, stdout=full,
                              stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1 and "standard output" in done.stderr


def test_the_tools_of_this_test_can_fail(cli):
    with pytest.raises(AssertionError):
        cli.fails("unknown_model", "frobnicate")
    with pytest.raises(AssertionError):
        cli.json("frobnicate")
