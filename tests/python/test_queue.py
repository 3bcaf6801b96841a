# SPDX-License-Identifier: MIT
"""The download queue from Python."""
import hashlib

import pytest

import modelmgr
from loopback_hub import LoopbackHub

DATA = bytes(range(256)) * 2000


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    (folder / "data.bin").write_bytes(DATA)
    (folder / "empty").mkdir()
    with LoopbackHub(folder / "empty", files=folder) as running:
        yield running


@pytest.fixture
def url(server):
    yield server.endpoint + "/files/data.bin"
    server.faults.clear()


@pytest.fixture
def queue(tmp_path):
    with modelmgr.DownloadQueue() as opened:
        yield opened


def test_download(queue, url, tmp_path):
    with queue.events() as events:
        job = queue.submit(url, tmp_path / "out.bin", sha256=hashlib.sha256(DATA).hexdigest())
        assert job.result(60) == str(tmp_path / "out.bin")
        names = []
        while not names or names[-1] != "download.completed":
            names.append(events.get(10).name)
    assert names[0] == "download.enqueued"
    assert (tmp_path / "out.bin").read_bytes() == DATA
    assert job.status == "completed" and job.is_terminal and job.progress == (len(DATA), len(DATA))
    assert job.sha256 == hashlib.sha256(DATA).hexdigest() and job.error is None
    assert [one.id for one in queue] == [job.id] and queue.get(job.id).source == url
    with pytest.raises(modelmgr.StateError):
        job.cancel()
    queue.prune()
    assert queue.jobs() == []


def test_parts(queue, url, tmp_path):
    sha256 = hashlib.sha256(DATA).hexdigest()
    parts = [
        modelmgr.DownloadPart(url, "a/one.bin", len(DATA), sha256),
        modelmgr.DownloadPart(url, "two.bin")
    ]
    job = queue.submit(parts=parts, destination=tmp_path / "folder", label="both").wait(60)
    assert job.status == "completed", job.error
    assert (tmp_path / "folder/a/one.bin").read_bytes() == DATA
    assert (tmp_path / "folder/two.bin").read_bytes() == DATA
    assert job.part_sha256[0] == sha256
    with pytest.raises(modelmgr.UnsafePathError):
        queue.submit(parts=[modelmgr.DownloadPart(url, "../x")], destination=tmp_path / "folder")


def test_failures(queue, url, tmp_path):
    with pytest.raises(modelmgr.HashMismatchError):
        queue.submit(url, tmp_path / "a", sha256="0" * 64).result(60)
    missing = queue.submit(url.replace("data", "gone"), tmp_path / "b")
    with pytest.raises(modelmgr.ModelManagerError) as caught:
        missing.result(60)
    assert missing.status == "error" and caught.value.http_status == 404
    assert sorted(path.name for path in tmp_path.iterdir()) == []
    for arguments in ((None, tmp_path / "x"), (url, None), ("ftp://example.com/a", tmp_path / "x"),
                      (str(tmp_path / "gone"), tmp_path / "x")):
        with pytest.raises(modelmgr.ModelManagerError):
            queue.submit(*arguments)
    with pytest.raises(modelmgr.UnsafePathError):
        queue.submit(url, tmp_path, filename="../x")
    with pytest.raises(modelmgr.UnknownJobError):
        queue.get(99)


def test_hold_start_priority_cancel(queue, url, tmp_path, server):
    held = queue.submit(url, tmp_path / "held", hold=True, priority=3)
    assert held.status == "idle" and held.priority == 3
    held.priority = 5
    assert held.priority == 5
    with pytest.raises(modelmgr.TimeoutError):
        held.wait(0)
    held.start()
    assert held.result(60) == str(tmp_path / "held")
    server.faults.install([{"kind": "slow", "rate": 2000}])
    slow = queue.submit(url, tmp_path / "slow")
    slow.cancel()
    with pytest.raises(modelmgr.CancelledError):
        slow.result(60)
    assert not (tmp_path / "slow").exists()
    queue.join(60)


def test_pause_and_resume(queue, url, tmp_path, server):
    server.faults.install([{"kind": "slow", "rate": 20000}])
    with queue.events() as events:
        job = queue.submit(url, tmp_path / "slow")
        while events.get(30).name != "download.running":
            pass
        job.pause()
        queue.join(60)
        assert job.status == "paused"
        server.faults.clear()
        job.resume()
        assert job.result(60) == str(tmp_path / "slow")
    assert (tmp_path / "slow").read_bytes() == DATA


def test_use_after_close(url, tmp_path):
    queue = modelmgr.DownloadQueue()
    job = queue.submit(url, tmp_path / "a", hold=True)
    queue.close()
    queue.close()
    for use in (lambda: queue.jobs(), lambda: job.start(), lambda: queue.events(),
                lambda: queue.submit(url, tmp_path / "b"), lambda: job.wait(0)):
        with pytest.raises(modelmgr.StateError):
            use()
    assert job.source == url
