# SPDX-License-Identifier: MIT
"""Events by pull: blocking, polling, from asyncio, and when the stream or manager closes."""
import asyncio
import json
import os
import threading
import time

import pytest
import tensors

import modelmgr


def fields(index):
    return {
        "name": f"m{index}",
        "type": "lora",
        "format": "lycoris",
        "base": "sd-1",
        "path": f"/models/m{index}.safetensors"
    }


def test_pull(manager):
    with manager.events("store") as events:
        with pytest.raises(modelmgr.TimeoutError):
            events.get(0)
        added = manager.store.add(fields(1))
        manager.store.update(added.key, name="new")
        manager.store.delete(added.key)
        got = [events.get(10) for _ in range(3)]
    assert [event.name for event in got] == ["store.added", "store.updated", "store.deleted"]
    assert {event.key for event in got} == {added.key}
    assert [event.sequence for event in got] == sorted(event.sequence for event in got)
    assert json.loads(got[0].json)["event"] == "store.added"
    assert abs(got[0].time / 1e9 - time.time()) < 3600


def test_groups(manager):
    with manager.events("install") as events:
        manager.store.add(fields(1))
        with pytest.raises(modelmgr.TimeoutError):
            events.get(0)
    with pytest.raises(modelmgr.ArgumentError):
        manager.events("nonsense")


def test_every_stream_gets_every_event(manager):
    with manager.events("store") as first, manager.events(["store", "load"]) as second:
        manager.store.add(fields(1))
        assert first.get(10).sequence == second.get(10).sequence


def test_closing_ends_an_iteration_in_another_thread(manager):
    events = manager.events("store")
    got = []
    thread = threading.Thread(target=lambda: got.extend(events))
    thread.start()
    manager.store.add(fields(1))
    while not got:
        time.sleep(0.01)
    events.close()
    thread.join(30)
    assert not thread.is_alive() and len(got) == 1 and events.closed
    with pytest.raises(modelmgr.StateError):
        events.get(0)
    events.close()


def test_closing_the_manager_ends_its_streams(tmp_path):
    manager = modelmgr.Manager(tmp_path / "root")
    events = manager.events()
    got = []
    thread = threading.Thread(target=lambda: got.extend(events))
    thread.start()
    manager.close()
    thread.join(30)
    assert not thread.is_alive() and events.closed


def test_no_descriptor_is_left(manager):
    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    manager.events().close()
    before = descriptors()
    for _ in range(50):
        stream = manager.events()
        with pytest.raises(modelmgr.TimeoutError):
            stream.get(0)
        del stream
    assert descriptors() == before


def test_asyncio(manager):
    async def main():
        names, ticks = [], 0

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.001)

        ticking = asyncio.ensure_future(tick())
        stream = manager.events("store")
        loop = asyncio.get_running_loop()

        def work():
            for index in range(5):
                time.sleep(0.02)
                manager.store.add(fields(index))

        adding = loop.run_in_executor(None, work)
        async for event in stream:
            names.append(event.name)
            if len(names) == 5:
                stream.close()
        await adding
        ticking.cancel()
        return names, ticks

    names, ticks = asyncio.run(asyncio.wait_for(main(), 60))
    assert names == ["store.added"] * 5
    assert ticks > 1  # the loop went on while nothing came


def test_asyncio_close_from_elsewhere_and_cancel(manager):
    async def main():
        stream = manager.events("store")

        async def read():
            return [event async for event in stream]

        reading = [asyncio.ensure_future(read()) for _ in range(2)]
        await asyncio.sleep(0.05)
        reading[0].cancel()
        stream.close()
        assert await reading[1] == []
        with pytest.raises(asyncio.CancelledError):
            await reading[0]

    asyncio.run(asyncio.wait_for(main(), 60))


def test_load_events_carry_the_callers_context(manager, tmp_path):
    path = tmp_path / "odd.safetensors"
    tensors.write(path, {"odd": ("F32", [4])})
    record = tensors.install(manager, path)
    with manager.events("load") as events:
        manager.load(record.key, context={"session": 7})
        started, completed = events.get(10), events.get(10)
    assert (started.name, completed.name) == ("load.started", "load.completed")
    assert json.loads(completed.context) == {"session": 7} and completed.key == record.key


def test_an_error_event_carries_the_error(manager, tmp_path):
    path = tmp_path / "odd.safetensors"
    tensors.write(path, {"odd": ("F32", [4])})
    job = manager.install(str(path), watch=True)
    last = list(job.events(60))[-1]
    assert last.name == "install.error" and last.is_terminal
    assert isinstance(last.error, modelmgr.UnidentifiedError)
    assert isinstance(job.error, modelmgr.UnidentifiedError)
