# SPDX-License-Identifier: MIT
"""The loopback hub's own promises: protocol details, ranges, and every scripted fault."""

import gzip
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import sample_repos  # noqa: E402
from hub_faults import KINDS  # noqa: E402
from loopback_hub import ACCOUNT_TOKEN, LoopbackHub  # noqa: E402

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
RESOLVE = f"/acme/pipeline/resolve/main/{WEIGHTS}"
INFO = "/api/models/acme/pipeline?blobs=true"
DATA = bytes(range(256)) * 40


@pytest.fixture(scope="module")
def repos(tmp_path_factory):
    return sample_repos.make(tmp_path_factory.mktemp("repos"))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("files")
    (root / "data.bin").write_bytes(DATA)
    return root


@pytest.fixture(scope="module")
def shared_hub(repos, files):
    with LoopbackHub(repos, files=files) as running:
        yield running


@pytest.fixture
def hub(shared_hub):
    before = dict(shared_hub.options)
    yield shared_hub
    shared_hub.options.update(before)
    shared_hub.faults.clear()
    shared_hub.log.clear()


class Answer:
    def __init__(self, status, headers, body, error=None):
        self.status, self.headers, self.body, self.error = status, headers, body, error

    def __getitem__(self, name):
        return self.headers.get(name)

    @property
    def json(self):
        return json.loads(self.body)


def ask(url, method="GET", body=None, **headers):
    """One request, no redirects followed; a broken body is kept with the error that broke it."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    try:
        target = parts.path + ("?" + parts.query if parts.query else "")
        connection.request(method, target, body,
                           {k.replace("_", "-"): v for k, v in headers.items()})
        reply = connection.getresponse()
        try:
            return Answer(reply.status, reply.headers, reply.read())
        except http.client.IncompleteRead as error:
            return Answer(reply.status, reply.headers, error.partial, error)
        except OSError as error:
            return Answer(reply.status, reply.headers, b"", error)
    finally:
        connection.close()


def raw(url, target, limit=1 << 20):
    """The bytes of an answer, for the ones that no HTTP library accepts."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), 20) as s:
        s.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        out = b""
        while len(out) < limit and (block := s.recv(65536)):
            out += block
        return out


def weights(repos):
    return (repos / "acme/pipeline" / WEIGHTS).read_bytes()


def signed(hub):
    return ask(hub.endpoint + RESOLVE)["Location"]


# ---- metadata --------------------------------------------------------------------------------


def test_every_hub_answer_has_rate_limit_and_request_id(hub):
    for path, bucket in (("/api/models/acme/pipeline", "api"), ("/api/models/none/none", "api"),
                         (RESOLVE, "resolvers"), ("/acme/pipeline", "pages")):
        answer = ask(hub.endpoint + path)
        assert answer["RateLimit"].startswith(f'"{bucket}";r=') and ";t=" in answer["RateLimit"]
        assert f'"fixed window";"{bucket}";q=' in answer["RateLimit-Policy"]
        assert answer["X-Request-Id"]


def test_siblings_only_have_sizes_with_blobs(hub):
    plain = ask(hub.endpoint + "/api/models/acme/pipeline").json["siblings"]
    assert all(set(s) == {"rfilename"} for s in plain)
    rows = {s["rfilename"]: s for s in ask(hub.endpoint + INFO).json["siblings"]}
    assert set(rows[WEIGHTS]["lfs"]) == {"sha256", "size", "pointerSize"}
    assert "lfs" not in rows["README.md"] and "lfs" not in rows["tokenizer/empty.bin"]


def test_blob_ids_are_gits(hub, repos, tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    rows = {s["rfilename"]: s for s in ask(hub.endpoint + INFO).json["siblings"]}
    for name in ("README.md", "model_index.json"):
        text = subprocess.run(["git", "hash-object", repos / "acme/pipeline" / name], cwd=tmp_path,
                              capture_output=True, text=True, check=True).stdout
        assert rows[name]["blobId"] == text.strip()
    pointer = ask(f"{hub.endpoint}/acme/pipeline/raw/main/{WEIGHTS}").body
    assert pointer.startswith(b"version https://git-lfs.github.com/spec/v1\noid sha256:")
    assert hashlib.sha1(b"blob %d\0" % len(pointer) + pointer).hexdigest() == (
        rows[WEIGHTS]["blobId"])
    assert len(pointer) == rows[WEIGHTS]["lfs"]["pointerSize"]


def test_the_tree_id_is_gits(hub, repos, tmp_path):
    """git itself, given the same blobs (pointers for LFS), arrives at the same tree of `unet`."""
    env = {**os.environ, "GIT_DIR": str(tmp_path / "g")}
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "g"], check=True)
    names = ["unet/config.json", WEIGHTS]
    lines = []
    for name in names:
        body = ask(f"{hub.endpoint}/acme/pipeline/raw/main/{name}").body
        oid = subprocess.run(["git", "hash-object", "-w", "--stdin"], input=body, env=env,
                             capture_output=True, check=True).stdout.decode().strip()
        lines.append(f"100644 blob {oid}\t{name.partition('/')[2]}\n")
    tree = subprocess.run(["git", "mktree"], input="".join(lines).encode(), env=env,
                          capture_output=True, check=True).stdout.decode().strip()
    rows = ask(hub.endpoint + "/api/models/acme/pipeline/tree/main").json
    assert [r["oid"] for r in rows if r["path"] == "unet"] == [tree]


def test_commits_are_deterministic_and_follow_the_files(repos, tmp_path):
    copy = sample_repos.make(tmp_path / "copy")
    with LoopbackHub(repos) as one, LoopbackHub(copy) as two:
        first = ask(one.endpoint + INFO).json["sha"]
        assert ask(two.endpoint + INFO).json["sha"] == first
        (copy / "acme/pipeline/README.md").write_text("changed\n")
        second = ask(two.endpoint + INFO).json["sha"]
        assert second != first and len(second) == 40
        assert ask(f"{two.endpoint}/api/models/acme/pipeline/revision/{first}").status == 404


def test_revision_forms(hub):
    base = hub.endpoint + "/api/models/acme/pipeline"
    sha = ask(base).json["sha"]
    for form in ("main", sha, sha[:10]):
        assert ask(f"{base}/revision/{form}").json["sha"] == sha
    for form in (quote("refs/pr/1", safe=""), "refs/pr/1"):
        assert ask(f"{base}/revision/{form}").json["siblings"] == [{"rfilename": "README.md"}]
        assert ask(f"{hub.endpoint}/acme/pipeline/raw/{form}/README.md").body == (
            b"from a pull request\n")
    assert ask(f"{base}/revision/v1.0").json["sha"].startswith("c0ffee")


def test_expand_is_exclusive_with_blobs(hub):
    base = hub.endpoint + "/api/models/acme/pipeline"
    assert set(ask(base + "?expand%5B%5D=gated&expand%5B%5D=sha").json) == {
        "_id", "id", "gated", "sha"}
    assert ask(base + "?expand=gated&blobs=true").status == 400


def test_tree_pages(hub):
    url = hub.endpoint + "/api/models/acme/pipeline/tree/main?recursive=true&limit=3"
    rows, pages = [], 0
    while url:
        answer = ask(url)
        rows += answer.json
        pages += 1
        link = answer["Link"]
        assert link is None or link.endswith('>; rel="next"')
        url = link[1:link.index(">")] if link else None
    assert pages == 5 and len({r["path"] for r in rows}) == len(rows) == 13
    assert [r["type"] for r in rows].count("directory") == 3
    row = next(r for r in rows if r["path"] == WEIGHTS)
    assert row["lfs"]["oid"] != row["oid"] and len(row["lfs"]["oid"]) == 64
    top = ask(hub.endpoint + "/api/models/acme/pipeline/tree/main").json
    assert not any("/" in r["path"] for r in top)
    below = ask(hub.endpoint + "/api/models/acme/pipeline/tree/main/unet?expand=true").json
    assert {r["path"] for r in below} == {"unet/config.json", WEIGHTS}
    assert all("lastCommit" in r for r in below)
    assert ask(hub.endpoint + "/api/models/acme/pipeline/tree/main/no")["X-Error-Code"] == (
        "EntryNotFound")


def test_errors(hub):
    def headers(path, token=None):
        extra = {"Authorization": f"Bearer {token}"} if token else {}
        answer = ask(hub.endpoint + path, **extra)
        return answer.status, answer["X-Error-Code"], answer["X-Error-Message"]
    gated = "/acme/gated/resolve/main/model.safetensors"
    assert headers("/api/models/no/no")[:2] == (401, "RepoNotFound")
    assert headers("/api/models/no/no", ACCOUNT_TOKEN)[:2] == (404, "RepoNotFound")
    assert headers("/api/models/acme/private") == headers("/api/models/no/no")
    assert headers("/api/models/acme/private", sample_repos.READER)[0] == 200
    assert headers("/api/models/acme/pipeline/revision/no")[:2] == (404, "RevisionNotFound")
    assert headers("/acme/pipeline/resolve/main/no")[:2] == (404, "EntryNotFound")
    assert headers(gated)[:2] == (401, "GatedRepo")
    assert headers(gated, ACCOUNT_TOKEN)[:2] == (403, "GatedRepo")
    assert "awaiting a review" in headers(gated, sample_repos.PENDING)[2]
    assert headers(gated, sample_repos.READER)[0] == 302
    assert headers("/api/models/acme/gated")[0] == 200  # the listing stays public
    assert headers("/api/models/acme/disabled") == (
        403, None, "Access to this resource is disabled.")
    assert headers("/api/models/acme/pipeline", "hf_wrong") == (
        401, None, "Invalid credentials in Authorization header")
    assert headers("/api/whoami-v2")[0] == 401
    hub.options["bare_401"] = True
    assert headers("/api/models/no/no")[:2] == (401, None)


def test_renames_are_relative_307_that_keep_the_query(hub):
    answer = ask(hub.endpoint + "/api/models/acme/old-name/revision/refs%2Fpr%2F1?blobs=true")
    assert (answer.status, answer["Location"]) == (
        307, "/api/models/acme/pipeline/revision/refs%2Fpr%2F1?blobs=true")
    answer = ask(hub.endpoint + "/acme/old-name/resolve/main/unet/config.json")
    assert (answer.status, answer["Location"]) == (
        307, "/acme/pipeline/resolve/main/unet/config.json")


def test_quota_is_enforced_when_given(repos):
    with LoopbackHub(repos, quota={"api": 2}, window=10**7) as hub:
        url = hub.endpoint + "/api/models/acme/pipeline"
        assert [ask(url).status for _ in range(3)] == [200, 200, 429]
        answer = ask(url)
        assert answer["RateLimit"].startswith('"api";r=0;t=') and int(answer["Retry-After"]) > 0
        assert ask(hub.endpoint + RESOLVE).status == 302  # the buckets are separate


# ---- bytes -----------------------------------------------------------------------------------


def test_lfs_file_is_a_signed_redirect_to_the_second_origin(hub, repos):
    for method in ("GET", "HEAD"):
        answer = ask(hub.endpoint + RESOLVE, method)
        assert answer.status == 302 and answer["Location"].startswith(hub.cdn + "/")
        assert answer["X-Linked-Size"] == str(len(weights(repos)))
        sha256 = hashlib.sha256(weights(repos)).hexdigest()
        assert answer["X-Linked-Etag"] == f'"{sha256}"'
        assert answer["X-Repo-Commit"] == ask(hub.endpoint + INFO).json["sha"]
        # The redirect has a length of its own: a client must not take it for the file's.
        assert int(answer["Content-Length"]) != len(weights(repos))
        assert sha256 not in answer["Location"] and "X-Xet-Hash" not in answer.headers
    whole = ask(answer["Location"])
    assert whole.body == weights(repos) and "X-Linked-Etag" not in whole.headers
    assert sha256 not in whole["ETag"]
    assert ask(hub.endpoint + RESOLVE, If_None_Match=f'"{sha256}"').status == 304


def test_xet_headers_where_configured(hub):
    answer = ask(hub.endpoint + "/acme/xet/resolve/main/model.safetensors")
    assert len(answer["X-Xet-Hash"]) == 64 and 'rel="xet-auth"' in answer["Link"]
    assert answer["X-Xet-Hash"] not in answer["X-Linked-Etag"]
    rows = ask(hub.endpoint + "/api/models/acme/xet/tree/main").json
    assert rows[0]["xetHash"] == answer["X-Xet-Hash"]


def test_signed_urls_are_checked(hub, repos):
    url = signed(hub)
    assert ask(url, Authorization="Bearer x").status == 400
    assert ask(url.replace("Signature=", "Signature=A")).status == 403
    later = url.replace("Expires=", "Expires=9")
    assert ask(later).status == 403
    hub.options["url_ttl"] = -1
    expired = ask(signed(hub))
    assert expired.status == 403 and b"expired" in expired.body
    assert ask(hub.cdn + "/unknown").status == 404


def test_a_very_large_object_needs_a_range(repos):
    with LoopbackHub(repos, cdn_whole_limit=1000) as hub:
        assert ask(signed(hub)).status == 400
        assert ask(signed(hub), Range="bytes=0-9").body == weights(repos)[:10]


def test_git_file_goes_through_resolve_cache_with_its_query(hub, repos):
    name = "tokenizer/naïve file+1.txt"
    answer = ask(f"{hub.endpoint}/acme/pipeline/resolve/main/{quote(name)}")
    location = answer["Location"]
    data = (repos / "acme/pipeline" / name).read_bytes()
    sha1 = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    assert answer.status == 307 and location.startswith("/api/resolve-cache/models/acme/pipeline/")
    assert location.endswith(f"&etag=%22{sha1}%22") and answer["X-Linked-Etag"] == f'"{sha1}"'
    final = ask(hub.endpoint + location, Accept_Encoding="identity")
    assert (final.status, final.body, final["ETag"]) == (200, data, f'"{sha1}"')
    assert final["Content-Length"] == str(len(data))
    assert ask(hub.endpoint + location.partition("?")[0]).status == 404  # the query was lost
    zipped = ask(hub.endpoint + location, Accept_Encoding="gzip")
    assert gzip.decompress(zipped.body) == data and zipped["Content-Length"] is None
    assert zipped["ETag"] == f'W/"{sha1}"' and zipped["Content-Encoding"] == "gzip"
    assert ask(hub.endpoint + location, If_None_Match=f'W/"{sha1}"').status == 304


def test_git_file_directly_when_so_configured(repos):
    with LoopbackHub(repos, plain="direct") as hub:
        answer = ask(hub.endpoint + "/acme/pipeline/resolve/main/unet/config.json",
                     Accept_Encoding="identity")
        assert answer.status == 200 and answer["X-Repo-Commit"] and answer["ETag"]


@pytest.mark.parametrize("header, first, last", [
    ("bytes=0-0", 0, 0), ("bytes=10-19", 10, 19), ("bytes=10230-", 10230, 10239),
    ("bytes=-5", 10235, 10239), ("bytes=10000-99999", 10000, 10239),
    ("bytes=-99999", 0, 10239)])
def test_ranges(hub, header, first, last):
    answer = ask(hub.cdn + "/files/data.bin", Range=header)
    assert answer.status == 206 and answer.body == DATA[first:last + 1]
    assert answer["Content-Range"] == f"bytes {first}-{last}/{len(DATA)}"


def test_ranges_that_are_ignored_or_refused(hub):
    url = hub.endpoint + "/files/data.bin"
    for header in ("bytes=5-2", "bytes=x-", "items=0-1", "bytes=0-1,4-5", "bytes=-"):
        assert ask(url, Range=header).status == 200
    for header in ("bytes=10240-", "bytes=99999-100000", "bytes=-0"):
        answer = ask(url, Range=header)
        assert (answer.status, answer["Content-Range"]) == (416, "bytes */10240")
    assert ask(url, "HEAD", Range="bytes=0-1").status == 200


def test_conditional_requests(hub):
    url = hub.endpoint + "/files/data.bin"
    answer = ask(url)
    etag, date = answer["ETag"], answer["Last-Modified"]
    for good in (etag, date):
        assert ask(url, Range="bytes=1-2", If_Range=good).status == 206
    for bad in ('"other"', "W/" + etag, "Thu, 01 Jan 1970 00:00:00 GMT"):
        assert ask(url, Range="bytes=1-2", If_Range=bad).status == 200
    weak = ask(url + "?etag=weak")["ETag"]
    assert weak.startswith("W/")
    assert ask(url + "?etag=weak", Range="bytes=1-2", If_Range=weak).status == 200
    assert ask(url, If_None_Match=f'"x", {etag}').status == 304
    assert ask(url, If_Modified_Since=date).status == 304
    assert ask(url, If_Match='"x"').status == 412 and ask(url, If_Match=etag).status == 200


def test_plain_file_options(hub):
    url = hub.endpoint + "/files/data.bin"
    answer = ask(url + "?cd=" + quote('attachment; filename="../../x"') + "&ct=text/html")
    assert answer["Content-Disposition"] == 'attachment; filename="../../x"'
    assert answer["Content-Type"] == "text/html"
    answer = ask(url + "?etag=none&lm=none&ranges=none", Range="bytes=0-1")
    assert answer.status == 200 and answer["ETag"] is answer["Last-Modified"] is None
    assert answer["Accept-Ranges"] is None
    assert ask(url + "?token=t").status == 401
    for bad in ("../data.bin", "%2e%2e/data.bin", "a%2f..%2fdata.bin", "none"):
        assert ask(f"{hub.endpoint}/files/{bad}").status == 404


def test_keep_alive(hub):
    parts = urlsplit(hub.endpoint)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    for _ in range(3):
        connection.request("GET", "/files/data.bin")
        assert connection.getresponse().read() == DATA
    connection.close()
    assert len({e["client_port"] for e in hub.log.entries()}) == 1


# ---- faults ----------------------------------------------------------------------------------

URL = "/files/data.bin"
FAULT_CASES = {}


def case(kind, fault, **headers):
    def register(check):
        FAULT_CASES.setdefault(kind, []).append((fault, headers, check))
        return check
    return register


@case("truncate", {"bytes": 100})
def _(a):
    assert a.error and a.body == DATA[:100] and a["Content-Length"] == "10240"


@case("content-length", {"delta": 5})
def _(a):
    assert a.error and a.body == DATA and a["Content-Length"] == "10245"


@case("content-length", {"value": ["100", "200"]})
def _(a):
    assert a.headers.get_all("Content-Length") == ["100", "200"]


@case("ignore-range", {}, Range="bytes=5-9")
def _(a):
    assert a.status == 200 and a.body == DATA


@case("content-range", {"delta": 3}, Range="bytes=5-9")
def _(a):
    assert a["Content-Range"] == "bytes 8-12/10240" and a.body == DATA[5:10]


@case("content-range", {"delta": 0, "total_delta": 7}, Range="bytes=5-9")
def _(a):
    assert a["Content-Range"] == "bytes 5-9/10247"


@case("content-range", {"value": None}, Range="bytes=5-9")
def _(a):
    assert a.status == 206 and a["Content-Range"] is None


@case("partial", {"bytes": 64})
def _(a):
    assert a.status == 206 and a.body == DATA[:64]


@case("short-range", {"bytes": 2}, Range="bytes=5-9")
def _(a):
    assert a["Content-Range"] == "bytes 5-6/10240" and a.body == DATA[5:7]


@case("multipart", {}, Range="bytes=5-9")
def _(a):
    assert a["Content-Type"].startswith("multipart/byteranges") and DATA[5:10] in a.body


@case("flip", {"offset": 7, "bit": 2}, Range="bytes=5-9")
def _(a):
    assert a.body == DATA[5:7] + bytes([DATA[7] ^ 4]) + DATA[8:10]


@case("swap", {"etag": '"new"'})
def _(a):
    assert a["ETag"] == '"new"' and a.body == bytes(b ^ 0x5A for b in DATA)


@case("status", {"status": 503, "retry_after": "7"})
def _(a):
    assert (a.status, a["Retry-After"]) == (503, "7")


@case("status", {"status": 429, "ratelimit_t": 9})
def _(a):
    assert (a.status, a["RateLimit"]) == (429, '"api";r=0;t=9')


@case("stall", {"bytes": 10, "seconds": 0.05})
def _(a):
    assert a.body == DATA


@case("slow", {"rate": 100_000})
def _(a):
    assert a.body == DATA


@case("reset", {"bytes": 100})
def _(a):
    assert isinstance(a.error, ConnectionResetError)


@case("gzip", {})
def _(a):
    assert a["Content-Encoding"] == "gzip" and gzip.decompress(a.body) == DATA


@case("gzip", {"zeros": 1_000_000})
def _(a):
    assert len(a.body) < 5000 and len(gzip.decompress(a.body)) == 1_000_000


@case("chunked", {})
def _(a):
    assert a["Content-Length"] is None and a.body == DATA and a.error is None


@case("chunked", {"bytes": 100})
def _(a):
    assert a.error


@case("chunked", {"bad": True})
def _(a):
    assert a.error


@case("close-delimited", {})
def _(a):
    assert a["Content-Length"] is None and a.body == DATA


@case("close-delimited", {"bytes": 100})
def _(a):
    assert a.error is None and a.body == DATA[:100]  # nothing in HTTP gives the cut away


@case("redirect", {"loop": True})
def _(a):
    assert (a.status, a["Location"]) == (302, URL)


@case("redirect", {"location": "ftp://127.0.0.1/x", "status": 301})
def _(a):
    assert (a.status, a["Location"]) == (301, "ftp://127.0.0.1/x")


@case("redirect", {})
def _(a):
    assert (a.status, a["Location"]) == (302, None)


@case("html", {})
def _(a):
    assert a.status == 200 and a["Content-Type"].startswith("text/html") and b"<form" in a.body


@case("expired", {})
def _(a):
    assert a.status == 403 and b"expired" in a.body


@case("empty", {})
def _(a):
    assert (a.status, a.body, a["Content-Length"]) == (200, b"", "0")


@case("no-content", {})
def _(a):
    assert (a.status, a.body, a["Content-Length"]) == (204, b"", None)


@case("endless", {"limit": 300_000})
def _(a):
    assert a["Content-Length"] is None and len(a.body) >= 300_000


@case("lfs-pointer", {})
def _(a):
    assert a.status == 200 and a.body.startswith(b"version https://git-lfs")


@case("header", {"set": {"ETag": '"' + "e" * 8000 + '"'}, "drop": ["Last-Modified"]})
def _(a):
    assert len(a["ETag"]) == 8002 and a["Last-Modified"] is None


@pytest.mark.parametrize("kind, index", [(k, i) for k, v in FAULT_CASES.items()
                                         for i in range(len(v))])
def test_fault(hub, kind, index):
    fault, headers, check = FAULT_CASES[kind][index]
    hub.faults.install({"kind": kind, "match": URL, "times": 1, **fault})
    check(ask(hub.endpoint + URL, **headers))
    honest = ask(hub.endpoint + URL, **headers)  # used up: the next answer is an honest one
    expected = DATA[5:10] if headers else DATA
    assert honest.body == expected and honest.error is None
    assert [e["faults"] for e in hub.log.entries()] == [["f1"], []]


def test_json_faults(hub):
    hub.faults.install([
        {"kind": "json-drop", "fields": ["size", "lfs"], "match": "blobs", "times": 1},
        {"kind": "json-siblings", "names": ["../../x", "a\0b", "C:\\x"], "match": "unet"},
        {"kind": "json-file", "name": "README.md", "set": {"size": -1}, "match": "tree/main?"},
        {"kind": "json-set", "set": {"sha": None}, "match": "revision/fp16"}])
    assert all(set(s) == {"rfilename", "blobId"} for s in ask(hub.endpoint + INFO).json["siblings"])
    assert "size" in ask(hub.endpoint + INFO).json["siblings"][0]
    base = hub.endpoint + "/api/models/acme/pipeline"
    rows = ask(base + "/tree/main/unet").json
    assert [r["path"] for r in rows][2:] == ["../../x", "a\0b", "C:\\x"]
    rows = ask(base + "/tree/main?expand=false").json
    assert [r["size"] for r in rows if r["path"] == "README.md"] == [-1]
    assert ask(base + "/revision/fp16").json["sha"] is None
    hub.faults.install({"kind": "json-siblings", "names": ["/etc/x"], "replace": True}, True)
    assert [s["rfilename"] for s in ask(hub.endpoint + INFO).json["siblings"]] == ["/etc/x"]
    hub.faults.install({"kind": "json-raw", "text": "[" * 10, "repeat": 100}, True)
    assert ask(hub.endpoint + INFO).body == b"[" * 1000


def test_faults_below_http(hub):
    hub.faults.install([{"kind": "raw", "text": "HTTP/1.1 100 Continue\r\n\r\n", "repeat": 50,
                         "match": "data.bin?a"}, {"kind": "disconnect", "match": "data.bin?b"}])
    assert raw(hub.endpoint, URL + "?a").count(b"100 Continue") == 50
    assert raw(hub.endpoint, URL + "?b") == b""


def test_every_fault_kind_is_tested():
    elsewhere = {"json-drop", "json-siblings", "json-file", "json-set", "json-raw", "raw",
                 "disconnect"}
    assert KINDS == set(FAULT_CASES) | elsewhere


def test_fault_matching(hub):
    hub.faults.install([
        {"kind": "status", "status": 500, "host": "cdn", "after": 1, "times": 2, "match": URL},
        {"kind": "status", "status": 502, "method": "HEAD", "match": "?m"},
        {"kind": "truncate", "bytes": 1, "range": "with", "match": "?r"}])
    assert [ask(hub.cdn + URL).status for _ in range(4)] == [200, 500, 500, 200]
    assert ask(hub.endpoint + URL).status == 200
    assert ask(hub.endpoint + URL + "?m").status == 200
    assert ask(hub.endpoint + URL + "?m", "HEAD").status == 502
    assert ask(hub.endpoint + URL + "?r").error is None
    assert ask(hub.endpoint + URL + "?r", Range="bytes=0-9").body == DATA[:1]
    hub.faults.install({"kind": "status", "status": 503, "cycle": [1, 1, 0], "match": "?c"})
    assert [ask(hub.endpoint + URL + "?c").status for _ in range(6)] == [503, 503, 200] * 2
    with pytest.raises(ValueError):
        hub.faults.install({"kind": "no such fault"})


def test_faults_combine_on_the_second_origin(hub, repos):
    hub.faults.install([{"kind": "flip", "offset": 0, "host": "cdn"},
                        {"kind": "truncate", "bytes": 2, "host": "cdn"}])
    answer = ask(signed(hub))
    data = weights(repos)
    assert answer.body == bytes([data[0] ^ 1, data[1]]) and answer.error


def test_control_over_http_and_the_log(hub):
    ask(hub.endpoint + URL, Range="bytes=0-4", Authorization=f"Bearer {ACCOUNT_TOKEN}")
    entry = ask(hub.cdn + "/_log").json[0]
    assert (entry["host"], entry["method"], entry["path"], entry["range"], entry["status"],
            entry["sent"], entry["has_authorization"], entry["done"]) == (
        "hub", "GET", URL, "bytes=0-4", 206, 5, True, True)
    assert ACCOUNT_TOKEN not in json.dumps(entry)
    fault = json.dumps([{"kind": "empty", "match": URL}])
    assert ask(hub.endpoint + "/_faults", "POST", fault).json[0]["used"] == 0
    assert ask(hub.endpoint + URL).body == b""
    assert ask(hub.endpoint + "/_faults").json[0]["used"] == 1
    assert len(ask(hub.endpoint + f"/_log?since={entry['n']}").json) == 1
    assert ask(hub.endpoint + "/_faults", "POST", '[{"kind": "x"}]').status == 400
    assert ask(hub.endpoint + "/_options", "POST", '{"page_size": 2}').json["page_size"] == 2
    assert len(ask(hub.endpoint + "/api/models/acme/pipeline/tree/main").json) == 2
    assert ask(hub.endpoint + "/_reset", "POST").status == 200
    assert ask(hub.endpoint + "/_log").json == [] == ask(hub.endpoint + "/_faults").json


def test_as_a_program_with_files_and_sigterm(repos, files, tmp_path):
    (tmp_path / "faults.json").write_text('[{"kind": "status", "status": 418, "times": 1}]')
    program = Path(__file__).with_name("loopback_hub.py")
    with subprocess.Popen(
            [sys.executable, program, "--repos", repos, "--files", files,
             "--port-file", tmp_path / "ports", "--log", tmp_path / "log",
             "--faults", tmp_path / "faults.json"], stdout=subprocess.PIPE, text=True) as process:
        try:
            lines = [process.stdout.readline().strip() for _ in range(2)]
            assert (tmp_path / "ports").read_text().split() == lines
            assert urlsplit(lines[0]).port != urlsplit(lines[1]).port
            assert [ask(lines[0] + URL).status for _ in range(2)] == [418, 200]
            with socket.create_connection((urlsplit(lines[0]).hostname, urlsplit(lines[0]).port)):
                time.sleep(0.05)  # an idle connection must not keep the program alive
                process.send_signal(signal.SIGTERM)
                assert process.wait(timeout=20) == 0
        finally:
            process.kill()
    logged = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [e["status"] for e in logged] == [418, 200]


def test_a_replaced_file_is_gone_from_its_old_signed_url(tmp_path):
    repos = sample_repos.make(tmp_path)
    with LoopbackHub(repos) as hub:
        old, data = signed(hub), weights(repos)
        assert ask(old).body == data
        (repos / "acme/pipeline" / WEIGHTS).write_bytes(b"new weights")
        assert ask(old).status == 404
        assert ask(signed(hub)).body == b"new weights"


def test_signed_urls_outlive_the_hub_process(repos):
    with LoopbackHub(repos) as hub:
        url = urlsplit(signed(hub))
    with LoopbackHub(repos) as hub:
        assert ask(f"{hub.cdn}{url.path}?{url.query}").body == weights(repos)


def test_a_sparse_file_is_served_and_hashed(repos, tmp_path):
    folder = tmp_path / "repos/acme/sparse"
    folder.mkdir(parents=True)
    with open(folder / "model.safetensors", "wb") as stream:
        stream.truncate(1 << 28)
    with LoopbackHub(tmp_path / "repos") as hub:
        url = ask(hub.endpoint + "/acme/sparse/resolve/main/model.safetensors")["Location"]
        answer = ask(url, Range=f"bytes={(1 << 28) - 4}-")
        assert answer.body == bytes(4)
