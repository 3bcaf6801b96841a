# SPDX-License-Identifier: MIT
"""Handles dropped in any order, closed twice, used after close, from many threads, after a fork."""
import gc
import itertools
import os
import random
import threading
import time

import pytest
import tensors

import modelmgr


def odd(tmp_path, name="odd"):
    path = tmp_path / f"{name}.safetensors"
    return path, tensors.write(path, {"weight": ("F32", [32, 32])})


def make_everything(root, path):
    """One of each kind of object that holds a C handle, most of them of one manager."""
    manager = modelmgr.Manager(root)
    job = manager.install(str(path),
                          overrides=tensors.LORA,
                          allow_unknown=True,
                          inplace=True,
                          watch=True)
    record = job.result(60)
    loaded = manager.load(record)
    return {
        "manager": manager,
        "job": job,
        "record": record,
        "loaded": loaded,
        "store": manager.store,
        "queue": manager.queue,
        "hub": manager.hub,
        "prober": manager.prober,
        "loader": manager.loader,
        "installer": manager.installer,
        "config": manager.config,
        "events": manager.events(),
        "tensors": loaded.tensors,
        "tensor": loaded.tensors["weight"],
        "array": loaded.tensors["weight"].numpy(),
        "checkpoint": modelmgr.Checkpoint(path),
        "infos": modelmgr.Checkpoint(path).tensors,
        "source": modelmgr.Source(str(path)),
        "result": modelmgr.probe(path, allow_unknown=True),
    }


@pytest.mark.parametrize("seed", range(8))
def test_any_order_of_dropping(tmp_path, seed):
    path, data = odd(tmp_path)
    things = make_everything(tmp_path / "root", path)
    order = sorted(things)
    random.Random(seed).shuffle(order)
    for name in order:
        if "array" in things and name != "array":
            assert things["array"].tobytes() == data["weight"]
        del things[name]
        gc.collect()
    # The last holder closed the manager: its root can be opened again, with what was recorded.
    with modelmgr.Manager(tmp_path / "root") as again:
        assert len(again.store) == 1


@pytest.mark.parametrize("seed", range(3))
def test_cycles_are_collected_in_any_order(tmp_path, seed):
    path, _ = odd(tmp_path)
    things = list(make_everything(tmp_path / "root", path).items())
    random.Random(seed).shuffle(things)

    class Node:
        pass

    nodes = []
    for name, thing in things:
        node = Node()
        node.thing = thing
        nodes.append(node)
    for node, following in zip(nodes, itertools.chain(nodes[1:], nodes[:1])):
        node.following = following
    del nodes, things, node, following, thing
    gc.collect()
    with modelmgr.Manager(tmp_path / "root") as again:
        assert len(again.store) == 1


def test_no_thread_and_no_descriptor_is_left(tmp_path):
    def held():
        gc.collect()
        return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))

    path, _ = odd(tmp_path)
    make_everything(tmp_path / "first", path)
    before = held()
    for index in range(5):
        things = make_everything(tmp_path / str(index), path)
        assert held() > before  # the count does see what is open
        if index % 2:
            things["manager"].close()
        del things
    assert held() == before


def test_everything_raises_after_close_and_nothing_crashes(tmp_path):
    path, data = odd(tmp_path)
    things = make_everything(tmp_path / "root", path)
    manager, job, loaded = things["manager"], things["job"], things["loaded"]
    manager.close()
    manager.close()
    assert manager.closed
    for use in (
            lambda: manager.config,
            lambda: manager.events(),
            lambda: manager.install(str(path)),
            lambda: manager.plan(str(path)),
            lambda: manager.load(things["record"]),
            lambda: manager.load_by_name("x"),
            lambda: things["store"].search(),
            lambda: things["store"].get("x"),
            lambda: things["queue"].jobs(),
            lambda: things["queue"].join(0),
            lambda: things["hub"].fetch("acme/tiny-sd"),
            lambda: things["prober"].probe(path),
            lambda: things["loader"].statistics,
            lambda: things["installer"].jobs(),
            lambda: things["installer"].wait_all(0),
            lambda: things["events"].get(0),
            lambda: job.cancel(),
            lambda: job.wait(0),
            lambda: loaded.lock(),
            lambda: loaded.tensors,
            lambda: loaded.record,
            lambda: things["queue"].submit(str(path), tmp_path / "copy"),
    ):
        with pytest.raises(modelmgr.StateError):
            use()
    # Snapshots need no service.
    assert job.status == "completed" and job.record == things["record"]
    assert things["tensor"].tobytes() == data["weight"]
    assert things["config"].get("models_dir")


def test_close_waits_for_calls_in_other_threads(tmp_path):
    manager = modelmgr.Manager(tmp_path / "root")
    outcomes = []

    def work(number):
        index = 0
        try:
            while True:
                manager.store.add({
                    "name": f"{number}-{index}",
                    "type": "lora",
                    "format": "lycoris",
                    "base": "sd-1",
                    "path": f"/{number}-{index}"
                })
                index += 1
        except modelmgr.StateError:
            outcomes.append(index)

    threads = [threading.Thread(target=work, args=(number, )) for number in range(3)]
    for thread in threads:
        thread.start()
    while len(manager.store) < 5:
        time.sleep(0.01)
    manager.close()
    for thread in threads:
        thread.join(60)
    assert len(outcomes) == 3
    with modelmgr.Manager(tmp_path / "root") as again:
        assert len(again.store) == sum(outcomes)


def test_a_waiter_learns_that_the_manager_closes(tmp_path, hub):
    hub.faults.install([{"kind": "stall", "host": "cdn", "bytes": 10, "seconds": 60}])
    manager = modelmgr.Manager(tmp_path / "root")
    job = manager.install("acme/tiny-sd:fp16")
    caught = []

    def wait():
        try:
            caught.append(job.wait().status)
        except modelmgr.StateError as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    while not hub.log.entries():
        time.sleep(0.01)
    manager.close()
    thread.join(60)
    assert caught and (caught[0] == "paused" or isinstance(caught[0], modelmgr.StateError))


def test_a_child_after_fork_can_neither_use_nor_harm(tmp_path):
    path, _ = odd(tmp_path)
    things = make_everything(tmp_path / "root", path)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            things["store"].search()
        except modelmgr.StateError:
            status = 0
        finally:
            things.clear()
            gc.collect()
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(things["store"]) == 1
    things["manager"].close()


@pytest.mark.parametrize("ending", ["", "sys.exit(0)", "manager.close()", "del manager, loaded"])
def test_leaving_python_with_everything_open(tmp_path, python, ending):
    path, _ = odd(tmp_path)
    done = python(f"""
import sys, modelmgr
modelmgr.set_log("debug", lambda *line: None)
registry = modelmgr.LoaderRegistry()
registry.add("sdxl", "lora", "lycoris", lambda request: "x")
manager = modelmgr.Manager({str(tmp_path / 'root')!r}, registry=registry)
record = manager.install_and_wait({str(path)!r}, overrides={tensors.LORA!r},
                                  allow_unknown=True, inplace=True)
loaded = manager.load(record)
array, events, store = loaded.tensors["weight"].memoryview(), manager.events(), manager.store
print(len(store))
{ending}
""")
    assert done.returncode == 0 and done.stdout.strip() == "1" and done.stderr == ""


def test_leaving_python_with_a_locked_model(tmp_path, python):
    path, _ = odd(tmp_path)
    done = python(f"""
import modelmgr
manager = modelmgr.Manager({str(tmp_path / 'root')!r})
record = manager.install_and_wait({str(path)!r}, overrides={tensors.LORA!r},
                                  allow_unknown=True, inplace=True)
loaded = manager.load(record).lock()
""")
    assert done.returncode == 0 and done.stderr == ""
