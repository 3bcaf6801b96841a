# SPDX-License-Identifier: MIT
"""The command line against the loopback hub: install, fetch, download, interruption, tokens."""

import hashlib
import json
import os
import pty
import re
import signal
import subprocess
from pathlib import Path

import pytest

from cli_tools import MINIMAL, RECORD_FIELDS, Cli, bytes_below, interrupt, snapshot

import make_model  # noqa: E402 - found through cli_tools
from loopback_hub import LoopbackHub  # noqa: E402

TOKEN = "hf_canary_0123456789abcdefghijkl"
SLOW = {"kind": "slow", "host": "cdn", "rate": 400_000}


def config(folder, **settings):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".hub.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="module")
def repos(tmp_path_factory):
    root = tmp_path_factory.mktemp("repos")
    make_model.make_pipeline(str(root / "acme/pipeline"), "sd-1", ("default", "fp16"))
    config(root / "acme/pipeline", tags=["diffusers", "text-to-image"], author="acme",
           revisions={"half": "half"})
    make_model.make_pipeline(str(root / "acme/pipeline/.revisions/half"), "sd-1", ("fp16", ),
                             seed=1)
    embedding = root / "acme/embedding/learned.safetensors"
    for repo in ("embedding", "gated", "private", "unknown", "broken", "several"):
        (root / "acme" / repo).mkdir()
    make_model.make_checkpoint(str(embedding), "embedding-sd-1", sparse=False)
    config(root / "acme/gated", gated="manual", tokens=[TOKEN])
    (root / "acme/gated/learned.safetensors").write_bytes(embedding.read_bytes())
    config(root / "acme/private", private=[TOKEN])
    (root / "acme/private/learned.safetensors").write_bytes(embedding.read_bytes())
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    good = len(header).to_bytes(8, "little") + header + bytes(4)
    (root / "acme/unknown/model.safetensors").write_bytes(good)
    (root / "acme/broken/model.safetensors").write_bytes(good[:-2])
    (root / "acme/several/one.safetensors").write_bytes(good)
    (root / "acme/several/two.safetensors").write_bytes(good)
    return root


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    (folder / "data.bin").write_bytes(bytes(range(256)) * 16384)
    return folder


@pytest.fixture(scope="module")
def shared_hub(repos, files):
    with LoopbackHub(repos, files=files, plain_tokens=True) as running:
        yield running


@pytest.fixture
def hub(shared_hub):
    shared_hub.faults.clear()
    shared_hub.log.clear()
    yield shared_hub
    shared_hub.faults.clear()


@pytest.fixture
def cli(tmp_path, hub):
    return Cli(tmp_path, HF_ENDPOINT=hub.endpoint)


def cdn_ranges(hub):
    """First byte of each ranged request to the CDN."""
    found = [re.match(r"bytes=(\d+)-", entry["range"] or "") for entry in hub.log.entries()
             if entry["host"] == "cdn"]
    return [int(match.group(1)) for match in found if match]


def files_of(cli):
    if not (cli.root / "models").exists():
        return []
    return [path for path in (cli.root / "models").rglob("*") if path.is_file()]


# ---- install ---


def test_install_a_pipeline(cli, repos):
    record = cli.json("install", "acme/pipeline")
    assert RECORD_FIELDS <= set(record)
    assert (record["type"], record["base"], record["format"]) == ("main", "sd-1", "diffusers")
    assert record["source_type"] == "hf_repo_id" and record["repo_variant"] == "fp16"
    assert "acme/pipeline" in record["source"]
    shown = cli.json("show", record["key"])
    rows = {row["path"]: row for row in shown["files"]}
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in rows
    assert "unet/diffusion_pytorch_model.safetensors" not in rows
    for path, row in rows.items():
        data = (repos / "acme/pipeline" / path).read_bytes()
        assert row["size"] == len(data)
        assert row["sha256"] in (None, hashlib.sha256(data).hexdigest())
    assert cli.json("load", record["key"], "--submodel", "unet")["tensors"] > 100
    assert cli.json("list", "--tag", "diffusers")["total"] == 1
    error = cli.fails("duplicate_model", "install", "acme/pipeline")
    assert record["key"] in error["message"]


def test_install_variant_and_revision(cli):
    default = cli.json("install", "acme/pipeline", "--variant", "default")
    paths = [row["path"] for row in cli.json("show", default["key"])["files"]]
    assert "unet/diffusion_pytorch_model.safetensors" in paths
    half = cli.json("install", "acme/pipeline", "--revision", "half")
    assert half["key"] != default["key"]
    plan = cli.json("install", "acme/pipeline@half", "--dry-run", "--variant", "fp32")
    assert plan["revision"] and all("files" != row["path"] for row in plan["files"])


def test_dry_run_writes_nothing(cli, repos):
    before = snapshot(cli.folder)
    plan = cli.json("install", "acme/pipeline", "--dry-run")
    assert set(plan) >= {"repo", "revision", "variant", "files", "total_bytes", "destination"}
    assert plan["repo"] == "acme/pipeline" and plan["variant"] == "fp16"
    assert re.fullmatch("[0-9a-f]{40}", plan["revision"])
    for row in plan["files"]:
        assert set(row) >= {"path", "size", "sha256", "action"} and row["action"] == "download"
        data = (repos / "acme/pipeline" / row["path"]).read_bytes()
        assert row["size"] == len(data)
        assert row["sha256"] in (None, hashlib.sha256(data).hexdigest())
    assert plan["total_bytes"] == sum(row["size"] for row in plan["files"])
    assert os.path.isabs(plan["destination"])
    human = cli.run("install", "acme/pipeline", "--dry-run")
    assert human.status == 0 and "acme/pipeline" in human.out
    assert snapshot(cli.folder) == before


def test_install_for_people(cli):
    result = cli.run("install", "acme/embedding", "--name", "Mine")
    assert result.status == 0
    assert result.out.startswith("Installed ") and "Mine" in result.out
    assert "\x1b" not in result.out + result.err


def test_install_is_silent_when_asked(cli):
    for option in ("--quiet", "--no-progress", "--json"):
        other = Cli(cli.folder / option, **{k: v for k, v in cli.env.items() if k == "HF_ENDPOINT"})
        assert other.run("install", "acme/embedding", option).err == ""


def test_events(cli):
    result = cli.run("install", "acme/pipeline", "--events")
    assert result.status == 0, result.err
    names = [event["event"] for event in result.lines]
    for name in ("install.downloading", "install.downloads_complete", "install.running"):
        assert name in names
    assert names[-1] == "install.completed"
    downloading = [e for e in result.lines if e["event"] == "install.downloading"]
    assert any(event.get("parts") for event in downloading)


def test_events_of_a_failure(cli):
    result = cli.run("install", "acme/unknown", "--events")
    assert result.status == 1
    assert "install.completed" not in [line.get("event") for line in result.lines]
    assert result.lines[-1]["error"]["code"] == "unidentified"


@pytest.mark.parametrize("code,source", [
    ("repo_not_found", "acme/no-such"), ("revision_not_found", "acme/pipeline@no-such"),
    ("entry_not_found", "acme/pipeline::no/such/file.safetensors"),
    ("unidentified", "acme/unknown"), ("invalid_file", "acme/broken"),
    ("ambiguous_source", "acme/several"), ("gated", "acme/gated"),
    ("unsupported_source", "gopher://acme/x"),
])
def test_failures_by_name(cli, code, source):
    error = cli.fails(code, "install", source)
    thing = source.split("@")[-1].split("::")[-1]
    assert thing in error["message"] + (error["subject"] or ""), error
    assert cli.json("list")["total"] == 0
    if code in ("repo_not_found", "gated"):
        assert error["http_status"] in (401, 403, 404)


def test_private_repository(cli):
    cli.fails("repo_not_found", "install", "acme/private")
    record = cli.json("install", "acme/private", "--token-env", "MY_TOKEN", env={"MY_TOKEN": TOKEN})
    assert record["type"] == "embedding"
    assert cli.json("fetch", "acme/private", env={"HF_TOKEN": TOKEN})["id"] == "acme/private"


def test_wrong_bytes_are_refused(cli, hub):
    hub.faults.install({"kind": "flip", "host": "cdn", "offset": 5000, "bit": 3})
    cli.fails("hash_mismatch", "install", "acme/embedding")
    assert cli.json("list")["total"] == 0
    assert not [path for path in files_of(cli) if ".staging" not in path.parts]
    hub.faults.clear()
    assert cli.json("install", "acme/embedding")["type"] == "embedding"


def test_offline(cli, hub):
    cli.fails("offline", "install", "acme/pipeline", env={"HF_HUB_OFFLINE": "1"})
    cli.fails("offline", "fetch", "acme/pipeline", env={"HF_HUB_OFFLINE": "1"})
    assert hub.log.entries() == []


def test_a_token_shows_nowhere(cli, hub):
    env = {"MY_TOKEN": TOKEN, "HF_TOKEN": TOKEN}
    process = cli.start("install", "acme/gated", "--token-env", "MY_TOKEN", env=env)
    arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    said = [out, err, arguments.decode()]
    for arguments in (["config"], ["list"], ["install", "acme/gated", "--dry-run"],
                      ["install", "acme/no-such"], ["fetch", "acme/gated"], ["version"],
                      ["show", "learned"], ["install", "acme/pipeline", "--events"]):
        for more in ([], ["--json"]):
            result = cli.run(*arguments, *more, env=env)
            said += [result.out, result.err]
    said += [path.read_bytes().decode("latin-1") for path in cli.folder.rglob("*")
             if path.is_file()]
    assert not any(TOKEN in text for text in said)
    sent = [entry for entry in hub.log.entries() if entry["has_authorization"]]
    assert sent and all(entry["host"] == "hub" for entry in sent)


def test_the_smallest_host(cli):
    env = {**cli.env, "MODELMGR_ROOT": str(cli.root)}
    done = subprocess.run([MINIMAL, "acme/pipeline", "unet"], env=env, capture_output=True,
                          text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^F16 .*, \d+ bytes$", done.stdout, re.M) and "tensors in all" in done.stdout
    assert "install.completed" in done.stderr
    again = subprocess.run([MINIMAL, "acme/no-such"], env=env, capture_output=True, text=True,
                           timeout=120, check=False)
    assert again.returncode == 3 and "minimal: repo_not_found: acme/no-such" in again.stderr
    assert cli.json("list")["total"] == 1


# ---- interruption ---


@pytest.mark.parametrize("number,status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_install_goes_on(cli, hub, repos, number, status):
    hub.faults.install(SLOW)
    process = cli.start("install", "acme/pipeline")
    result = interrupt(process, lambda: bytes_below(cli.root / "models") > 1_000_000, number)
    assert result.status == status, result.err
    assert result.out == "" and "goes on where it stopped" in result.err
    assert cli.json("list")["total"] == 0
    kept = bytes_below(cli.root / "models/.staging")
    assert kept > 1_000_000
    hub.faults.clear()
    hub.log.clear()
    record = cli.json("install", "acme/pipeline")
    assert any(first > 0 for first in cdn_ranges(hub)), "the second install resumed"
    for row in cli.json("show", record["key"])["files"]:
        data = (repos / "acme/pipeline" / row["path"]).read_bytes()
        assert row["sha256"] in (None, hashlib.sha256(data).hexdigest())
    staging = cli.root / "models/.staging"
    assert [path for path in staging.rglob("*") if path.is_file() and path.stat().st_size] == []


def test_interrupted_install_with_json(cli, hub):
    hub.faults.install(SLOW)
    process = cli.start("--json", "install", "acme/pipeline")
    result = interrupt(process, lambda: bytes_below(cli.root / "models") > 1_000_000)
    assert result.status == 130
    assert set(result.doc) == {"error"} and result.doc["error"]["code"] == "cancelled"


def test_a_second_interrupt_ends_at_once(cli, hub):
    hub.faults.install({"kind": "stall", "host": "cdn", "bytes": 100_000, "seconds": 30})
    process = cli.start("install", "acme/pipeline")

    def first_was_sent():
        process.send_signal(signal.SIGINT)
        return True

    result = interrupt(process, lambda: bytes_below(cli.root / "models") > 50_000
                       and first_was_sent())
    assert result.status == 130


def test_interrupted_download_goes_on(cli, hub, files):
    url = hub.cdn + "/files/data.bin"
    hub.faults.install({"kind": "slow", "match": "/files/", "rate": 400_000})
    process = cli.start("download", url, "out.bin")

    def parts():
        return [p for p in cli.folder.glob(".out.bin.mmgr-part*") if p.stat().st_size > 500_000]

    result = interrupt(process, parts)
    assert result.status == 130 and "goes on where it stopped" in result.err
    assert not (cli.folder / "out.bin").exists()
    hub.faults.clear()
    report = cli.json("download", url, "out.bin")
    data = (files / "data.bin").read_bytes()
    assert 0 < report["resumed_from"] < len(data)
    assert (cli.folder / "out.bin").read_bytes() == data
    assert report["bytes"] == len(data) and report["sha256"] == hashlib.sha256(data).hexdigest()


# ---- download and fetch ---


def test_download(cli, hub, files):
    data = (files / "data.bin").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    report = cli.json("download", hub.endpoint + "/files/data.bin", "copy.bin", "--sha256", digest)
    assert set(report) == {"path", "bytes", "sha256", "resumed_from"}
    assert os.path.samefile(cli.folder / report["path"], cli.folder / "copy.bin")
    assert (report["bytes"], report["sha256"], report["resumed_from"]) == (len(data), digest, 0)
    (cli.folder / "into").mkdir()
    report = cli.json("download", hub.endpoint + "/files/data.bin", "into")
    assert (cli.folder / "into/data.bin").read_bytes() == data
    assert sorted(p.name for p in cli.folder.iterdir()) == ["copy.bin", "home", "into"]


def test_download_failures(cli, hub):
    url = hub.endpoint + "/files/data.bin"
    cli.fails("hash_mismatch", "download", url, "x.bin", "--sha256", "0" * 64)
    assert not (cli.folder / "x.bin").exists()
    error = cli.fails("entry_not_found", "download", hub.endpoint + "/files/no-such", "y.bin")
    assert error["http_status"] == 404
    cli.fails("unsupported_source", "download", "nonsense://x/y", "z.bin")
    refused = cli.run("--json", "download", "http://127.0.0.1:1/x", "z.bin")
    assert refused.status == 1 and refused.doc["error"]["code"] == "network"
    assert refused.doc["error"]["retryable"] is True


def test_fetch(cli, hub):
    before = snapshot(cli.folder)
    for source in ("acme/pipeline", hub.endpoint + "/acme/pipeline"):
        found = cli.json("fetch", source)
        assert {"type", "id", "name", "author", "tags", "last_modified", "files"} <= set(found)
        assert (found["type"], found["id"]) == ("huggingface", "acme/pipeline")
        assert "diffusers" in found["tags"]
        assert any(row["path"] == "model_index.json" for row in found["files"])
    human = cli.run("fetch", "acme/pipeline")
    assert human.status == 0 and "model_index.json" in human.out
    cli.fails("repo_not_found", "fetch", "acme/no-such")
    cli.fails("revision_not_found", "fetch", "acme/pipeline@no-such")
    assert snapshot(cli.folder) == before


# ---- progress ---


def on_terminal(cli, *arguments):
    """What appears on a terminal of 100 columns."""
    leader, follower = pty.openpty()
    subprocess.run(["stty", "cols", "100", "rows", "30"], stdin=follower, check=True)
    process = subprocess.Popen(cli.command(arguments), env=cli.env, stdout=subprocess.PIPE,
                               stderr=follower, stdin=subprocess.DEVNULL)
    os.close(follower)
    seen = b""
    while True:
        try:
            data = os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        seen += data
    os.close(leader)
    process.stdout.read()
    assert process.wait(timeout=60) == 0, seen
    return seen.decode()


def test_bars_on_a_terminal(cli, hub):
    hub.faults.install({"kind": "slow", "host": "cdn", "rate": 3_000_000})
    seen = on_terminal(cli, "install", "acme/pipeline")
    assert "total" in seen and "100%" in seen and "/s" in seen and "left" in seen
    assert re.search(r"unet/\S*\.\.\S*safetensors .*100%", seen), "one bar a file"
    for line in re.sub(r"\x1b\[[0-9]*[A-Z]", "", seen).replace("\r", "").split("\n"):
        assert len(line) <= 99, line


def test_lines_without_a_terminal(cli, hub):
    hub.faults.install({"kind": "slow", "host": "cdn", "rate": 2_000_000})
    result = cli.run("install", "acme/pipeline")
    assert result.status == 0
    lines = result.err.splitlines()
    assert lines and all(re.match(r"modelmgr: +\d+% ", line) for line in lines), result.err
    assert len(lines) < 30
