# SPDX-License-Identifier: MIT
"""The real huggingface_hub client against the loopback hub: the proof that the hub is faithful.

There is no skip: a missing client is a failure, because nothing else here shows faithfulness.
The client reads its environment when it is imported, so each case runs in a process of its own.
"""

import hashlib
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import sample_repos  # noqa: E402
from loopback_hub import ACCOUNT_TOKEN, LoopbackHub  # noqa: E402

PIPELINE = "acme/pipeline"


@pytest.fixture(scope="module")
def repos(tmp_path_factory):
    return sample_repos.make(tmp_path_factory.mktemp("repos"))


@pytest.fixture
def hub(repos):
    with LoopbackHub(repos, page_size=4, plain_tokens=True) as running:
        yield running


@pytest.fixture
def client(hub, tmp_path):
    """Runs client code; it leaves its answer in `result`, an exception becomes its class name."""
    def run(code, token=None):
        program = textwrap.dedent("""
            import json
            import huggingface_hub as hf
            result = None
            try:
            {}
            except Exception as error:
                result = type(error).__name__
            print("RESULT " + json.dumps(result))
        """).format(textwrap.indent(textwrap.dedent(code), "    "))
        env = {k: v for k, v in os.environ.items()
               if not k.startswith("HF_") and not k.lower().endswith("_proxy")}
        env.update(HF_ENDPOINT=hub.endpoint, HF_HOME=str(tmp_path / "home"), HF_HUB_DISABLE_XET="1",
                   HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
        if token:
            env["HF_TOKEN"] = token
        done = subprocess.run([sys.executable, "-c", program], env=env, cwd=tmp_path, text=True,
                              capture_output=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.rpartition("RESULT ")[2])
    return run


def _visible(root):
    """name -> SHA-256 of what a repository's main revision shows."""
    return {p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in root.rglob("*") if p.is_file()
            and p.name != ".hub.json" and ".revisions" not in p.parts}


def _folder(path):
    return {p.relative_to(path).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in Path(path).rglob("*") if p.is_file()}


def test_client_is_the_pinned_one(client):
    pins = Path(__file__).with_name("requirements.txt").read_text()
    assert "huggingface_hub==" + client("result = hf.__version__") in pins


def test_snapshot_is_byte_equal(client, hub, repos):
    path = client(f"result = hf.snapshot_download('{PIPELINE}')")
    assert _folder(path) == _visible(repos / PIPELINE)
    blobs = Path(path).parent.parent / "blobs"
    for link in (p for p in Path(path).rglob("*.safetensors")):
        assert link.resolve().name == hashlib.sha256(link.read_bytes()).hexdigest()
        assert link.resolve().parent == blobs.resolve()
    log = hub.log.entries()
    assert any(e["host"] == "cdn" and e["status"] == 200 for e in log)
    assert sum("/tree/" in e["path"] for e in log) > 1  # several pages were read


def test_snapshot_of_a_revision_and_a_pull_request(client, repos):
    path = client(f"result = hf.snapshot_download('{PIPELINE}', revision='fp16')")
    assert _folder(path) == _folder(repos / PIPELINE / ".revisions/half")
    path = client(f"result = hf.snapshot_download('{PIPELINE}', revision='refs/pr/1')")
    assert Path(path, "README.md").read_text() == "from a pull request\n"


def test_subfolder_file_at_a_revision(client, repos):
    path = client(f"result = hf.hf_hub_download('{PIPELINE}', 'model.fp16.safetensors', "
                  "subfolder='unet', revision='fp16')")
    source = repos / PIPELINE / ".revisions/half/unet/model.fp16.safetensors"
    assert Path(path).read_bytes() == source.read_bytes()


def test_file_at_a_commit(client, repos):
    path = client(f"""
        commit = hf.HfApi().model_info('{PIPELINE}').sha
        result = hf.hf_hub_download('{PIPELINE}', 'unet/config.json', revision=commit)
    """)
    assert Path(path).read_bytes() == (repos / PIPELINE / "unet/config.json").read_bytes()


def test_legacy_single_segment_id(client, repos):
    path = client("result = hf.snapshot_download('legacy-model')")
    assert _folder(path) == _visible(repos / "legacy-model")


def test_renamed_repo_is_followed(client, repos):
    assert client("result = hf.HfApi().model_info('acme/old-name').id") == PIPELINE
    path = client("result = hf.hf_hub_download('acme/old-name', 'model_index.json')")
    assert Path(path).read_bytes() == (repos / PIPELINE / "model_index.json").read_bytes()
    path = client("result = hf.hf_hub_download('acme/old-name', "
                  "'vae/diffusion_pytorch_model.safetensors')")
    source = repos / PIPELINE / "vae/diffusion_pytorch_model.safetensors"
    assert Path(path).read_bytes() == source.read_bytes()


def test_missing_things_raise_the_right_class(client):
    def download(repo, name="config.json", extra=""):
        return client(f"hf.hf_hub_download('{repo}', '{name}'{extra})")
    assert download("acme/none") == "RepositoryNotFoundError"
    assert download(PIPELINE, "none.json") == "RemoteEntryNotFoundError"
    assert download(PIPELINE, "config.json", ", revision='none'") == "RevisionNotFoundError"
    assert client("hf.snapshot_download('acme/none')") == "RepositoryNotFoundError"
    assert client(f"hf.HfApi().model_info('{PIPELINE}', revision='x')") == "RevisionNotFoundError"
    assert client("hf.HfApi().dataset_info('acme/none')") == "RepositoryNotFoundError"


def test_gated_repo(client):
    code = "result = hf.hf_hub_download('acme/gated', 'model.safetensors') and 'ok'"
    assert client(code) == "GatedRepoError"
    assert client(code, token=ACCOUNT_TOKEN) == "GatedRepoError"
    assert client(code, token=sample_repos.PENDING) == "GatedRepoError"
    assert client(code, token=sample_repos.READER) == "ok"
    assert client("result = hf.HfApi().model_info('acme/gated').gated") == "manual"
    assert client("hf.HfApi().auth_check('acme/gated')") == "GatedRepoError"


def test_private_repo(client):
    code = "result = hf.hf_hub_download('acme/private', 'config.json') and 'ok'"
    assert client(code) == "RepositoryNotFoundError"
    assert client(code, token=ACCOUNT_TOKEN) == "RepositoryNotFoundError"
    assert client(code, token=sample_repos.READER) == "ok"


def test_disabled_repo_and_bad_token(client):
    assert client("hf.HfApi().model_info('acme/disabled')") == "DisabledRepoError"
    code = f"hf.HfApi().model_info('{PIPELINE}')"
    assert client(code, token="hf_" + "x" * 37) == "HfHubHTTPError"
    assert client("result = hf.whoami()['type']", token=ACCOUNT_TOKEN) == "user"


def test_token_never_reaches_the_second_host(client, hub):
    client("hf.hf_hub_download('acme/gated', 'model.safetensors')", token=sample_repos.READER)
    log = hub.log.entries()
    assert [e for e in log if e["host"] == "cdn"]
    assert not [e for e in log if e["host"] == "cdn" and e["has_authorization"]]
    assert {e["authorization"] for e in log if e["host"] == "hub"} == {
        f"Bearer {sample_repos.READER}"}


def test_paginated_tree(client, hub, repos):
    names = client(f"""
        rows = hf.HfApi().list_repo_tree('{PIPELINE}', recursive=True)
        result = [r.path for r in rows if isinstance(r, hf.hf_api.RepoFile)]
    """)
    assert sorted(names) == sorted(_visible(repos / PIPELINE))
    pages = [e for e in hub.log.entries() if "/tree/" in e["path"]]
    assert len(pages) >= 4 and all("cursor=" in e["path"] for e in pages[1:])
    rows = client(f"""
        rows = hf.HfApi().list_repo_tree('{PIPELINE}', 'unet', expand=True)
        result = [[r.path, r.size, r.last_commit.oid, r.lfs and r.lfs.sha256] for r in rows]
    """)
    weights = (repos / PIPELINE / "unet/diffusion_pytorch_model.safetensors").read_bytes()
    assert rows[1][:2] == ["unet/diffusion_pytorch_model.safetensors", len(weights)]
    assert rows[1][3] == hashlib.sha256(weights).hexdigest() and rows[0][3] is None


def test_model_info_with_blobs(client, repos):
    rows = client(f"""
        info = hf.HfApi().model_info('{PIPELINE}', files_metadata=True)
        result = [[s.rfilename, s.size, s.blob_id, s.lfs and s.lfs.sha256] for s in info.siblings]
    """)
    for name, size, blob_id, sha256 in rows:
        data = (repos / PIPELINE / name).read_bytes()
        assert size == len(data)
        if sha256 is None:
            assert blob_id == hashlib.sha1(b"blob %d\0" % size + data).hexdigest()
        else:
            assert sha256 == hashlib.sha256(data).hexdigest()
    assert sum(row[3] is not None for row in rows) == 2
    assert client(f"result = hf.HfApi().model_info('{PIPELINE}', expand=['gated', 'sha']).gated"
                  ) is False


def test_the_clients_own_verification_agrees(client):
    """`verify_repo_checksums` recomputes every git SHA-1 and SHA-256 from the downloaded files."""
    assert client(f"""
        hf.snapshot_download('{PIPELINE}')
        report = hf.HfApi().verify_repo_checksums('{PIPELINE}')
        result = [report.checked_count, report.mismatches, report.missing_paths]
    """) == [10, [], []]


def test_paths_info_refs_commits_and_search(client):
    assert client(f"""
        rows = hf.HfApi().get_paths_info('{PIPELINE}', ['unet', 'README.md', 'none'])
        result = [type(r).__name__ for r in rows]
    """) == ["RepoFolder", "RepoFile"]
    assert client(f"""
        refs = hf.HfApi().list_repo_refs('{PIPELINE}', include_pull_requests=True)
        result = [[r.ref for r in g] for g in (refs.branches, refs.tags, refs.pull_requests)]
    """) == [["refs/heads/main", "refs/heads/fp16"], ["refs/tags/v1.0"], ["refs/pr/1"]]
    assert client(f"""
        commits = hf.HfApi().list_repo_commits('{PIPELINE}')
        result = commits[0].commit_id == hf.HfApi().model_info('{PIPELINE}').sha
    """) is True
    assert client("result = [m.id for m in hf.HfApi().list_models(search='gated')]") == [
        "acme/gated"]


def test_remote_safetensors_header_by_range(client, hub):
    assert client(f"""
        meta = hf.HfApi().parse_safetensors_file_metadata(
            '{PIPELINE}', 'unet/diffusion_pytorch_model.safetensors')
        result = meta.tensors['weight'].shape
    """) == [200_000]
    assert any(e["host"] == "cdn" and e["status"] == 206 for e in hub.log.entries())


def test_xet_headers_do_not_disturb_a_client_without_xet(client, hub, repos):
    path = client("result = hf.hf_hub_download('acme/xet', 'model.safetensors')")
    assert Path(path).read_bytes() == (repos / "acme/xet/model.safetensors").read_bytes()
    assert client("""
        url = hf.hf_hub_url('acme/xet', 'model.safetensors')
        result = len(hf.get_hf_file_metadata(url).xet_file_data.file_hash)
    """) == 64


def test_rate_limited_client_waits_and_succeeds(client, hub):
    hub.faults.install({"kind": "status", "status": 429, "ratelimit_t": 0, "times": 1,
                        "match": "/tree/"})
    assert client(f"result = len(list(hf.HfApi().list_repo_tree('{PIPELINE}')))") > 3
    statuses = [e["status"] for e in hub.log.entries() if "/tree/" in e["path"]]
    assert statuses[:2] == [429, 200]


def test_client_resumes_after_a_cut_by_range(client, hub, repos):
    hub.faults.install({"kind": "truncate", "bytes": 300_000, "host": "cdn", "times": 1})
    path = client(f"result = hf.hf_hub_download('{PIPELINE}', "
                  "'unet/diffusion_pytorch_model.safetensors')")
    source = repos / PIPELINE / "unet/diffusion_pytorch_model.safetensors"
    assert Path(path).read_bytes() == source.read_bytes()


def test_a_corrupted_body_is_seen_as_corrupted(client, hub, repos):
    """Planted fault: the byte comparison used above must be able to fail."""
    hub.faults.install({"kind": "flip", "offset": 12345, "bit": 3, "host": "cdn"})
    path = client(f"result = hf.snapshot_download('{PIPELINE}')")
    got, expected = _folder(path), _visible(repos / PIPELINE)
    assert {name for name in expected if got[name] != expected[name]} == {
        "unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors"}
