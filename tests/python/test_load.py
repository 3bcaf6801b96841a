# SPDX-License-Identifier: MIT
"""Loading: locks, devices, caches, loaders written in Python."""
import gc
import threading

import numpy as np
import pytest
import tensors

import modelmgr


def installed(manager, tmp_path, name="odd", shape=(64, 64)):
    path = tmp_path / f"{name}.safetensors"
    data = tensors.write(path, {"weight": ("F32", list(shape)), "bias": ("F16", [8])})
    record = tensors.install(manager, path)
    return record, data


def test_lock_unlock_and_views(manager, tmp_path):
    record, data = installed(manager, tmp_path)
    loaded = manager.load(record)
    assert loaded.record.key == record.key and loaded.object is None and not loaded.locked
    with loaded:
        assert loaded.locked
        weight = loaded.tensors["weight"].numpy()
        with loaded:
            inner = loaded.tensors["weight"].numpy()
        assert loaded.locked
    assert not loaded.locked
    assert np.shares_memory(weight, inner)
    assert np.shares_memory(weight, loaded.state_dict["weight"].numpy())
    with pytest.raises(modelmgr.StateError):
        loaded.unlock()
    loaded.release()
    loaded.release()
    manager.loader.unload()
    gc.collect()
    assert weight.tobytes() == data["weight"]
    with pytest.raises(modelmgr.StateError):
        loaded.tensors
    with pytest.raises(modelmgr.StateError):
        loaded.lock()


def test_a_second_load_is_a_hit_on_the_same_memory(manager, tmp_path):
    record, _ = installed(manager, tmp_path)
    first, second = manager.load(record.key), manager.load(record.key)
    assert np.shares_memory(first.tensors["weight"].numpy(), second.tensors["weight"].numpy())
    statistics = manager.loader.statistics
    assert statistics["hits"] == 1 and statistics["misses"] == 1 and statistics["models"] == 1
    assert statistics["ram_bytes"] >= first.tensors.nbytes


def test_a_locked_model_keeps_the_manager_open(tmp_path):
    manager = modelmgr.Manager(tmp_path / "root")
    record, data = installed(manager, tmp_path)
    loaded = manager.load(record).lock()
    with pytest.raises(modelmgr.BusyError):
        loaded.release()
    with pytest.raises(modelmgr.BusyError):
        manager.close()
    assert len(manager.store) == 1
    view = loaded.tensors["weight"].numpy()
    loaded.unlock()
    manager.close()
    assert loaded.released and view.tobytes() == data["weight"]
    with pytest.raises(modelmgr.StateError):
        loaded.lock()
    with pytest.raises(modelmgr.StateError):
        manager.load(record)


def test_a_device_with_little_memory(tmp_path):
    with modelmgr.Manager(tmp_path / "root", device="fake:20000") as manager:
        small, data = installed(manager, tmp_path, "small")
        other, _ = installed(manager, tmp_path, "other")
        big, _ = installed(manager, tmp_path, "big", (200, 200))
        with manager.load(small) as loaded:
            on_device = loaded.tensors["weight"]
            assert loaded.tensors.device.startswith("fake")
            copy = on_device.numpy()
            assert copy.tobytes() == data["weight"]
            assert loaded.state_dict["weight"].numpy().tobytes() == data["weight"]
            with pytest.raises(modelmgr.DeviceMemoryError):
                manager.load(other).lock()  # no room while the first is locked
        with pytest.raises(modelmgr.StateError):
            on_device.numpy()  # it is no longer held there
        assert copy.tobytes() == data["weight"]
        with manager.load(other):
            pass
        assert manager.loader.statistics["offloads"] >= 1
        with pytest.raises(modelmgr.DeviceMemoryError):
            manager.load(big).lock()


@pytest.mark.parametrize("device", ["cpu", "fake:40000"])
def test_many_threads_load_lock_and_unload(tmp_path, device):
    failures = []
    config = modelmgr.Config(tmp_path / "root", max_cache_ram="40000")

    with modelmgr.Manager(config=config, device=device) as manager:
        kinds = [installed(manager, tmp_path, name) for name in ("one", "two", "three")]

        def work(number):
            try:
                kept = []
                for turn in range(30):
                    record, data = kinds[(number + turn) % 3]
                    loaded = manager.load(record)
                    kept.append((loaded.state_dict["weight"].numpy(), data["weight"]))
                    try:
                        with loaded:
                            assert loaded.tensors["weight"].tobytes() == data["weight"]
                    except modelmgr.DeviceMemoryError:
                        pass  # the others have it all
                    if turn % 7 == 0:
                        manager.loader.unload(record.key)
                for array, expected in kept:
                    assert array.tobytes() == expected
            except BaseException as error:  # reported by the test's own thread
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number, )) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert manager.loader.statistics["evictions"] > 0


def test_errors(hub, manager, tmp_path):
    with pytest.raises(modelmgr.UnknownModelError):
        manager.load("0" * 32)
    pipeline = manager.install_and_wait("acme/tiny-sd:fp16", name="tiny")
    with pytest.raises(modelmgr.SubmodelRequiredError):
        manager.load(pipeline.key)
    with pytest.raises(modelmgr.UnknownSubmodelError):
        manager.load(pipeline.key, "no_such_part")
    assert len(manager.load_by_name("tiny", "sd-1", "main", "unet").tensors) > 10
    with pytest.raises(modelmgr.UnknownModelError):
        manager.load_by_name("tiny", "sdxl")
    with pytest.raises(modelmgr.NoDeviceError):
        modelmgr.Device("warp:0")


def test_devices():
    free, total = modelmgr.Device("fake:5000").memory
    assert (free, total) == (5000, 5000)
    assert modelmgr.Device("cpu").name == "cpu"


# ---- loaders in Python


class Engine:
    """What a host makes of a model."""
    def __init__(self, request):
        self.path, self.submodel = request.path, request.submodel
        self.sum = sum(
            float(np.asarray(tensor).astype("f8").sum())
            for tensor in modelmgr.read_tensors(request.path).values())
        self.nbytes = 1000


def test_a_loader_that_makes_an_object(tmp_path):
    registry = modelmgr.LoaderRegistry()
    registry.add("any", "lora", "lycoris", Engine)
    with modelmgr.Manager(tmp_path / "root", registry=registry) as manager:
        record, _ = installed(manager, tmp_path)
        loaded = manager.load(record)
        engine = loaded.object
        assert isinstance(engine,
                          Engine) and engine.path == record.location and engine.submodel is None
        assert manager.load(record).object is engine
        assert loaded.state_dict is None
        with pytest.raises(modelmgr.StateError):
            loaded.tensors
        with loaded:
            assert loaded.object is engine
        assert manager.loader.statistics["ram_bytes"] == 1000


def test_objects_are_freed_with_the_cache(tmp_path):
    import weakref
    registry = modelmgr.LoaderRegistry()
    registry.add("any", "lora", "lycoris", Engine)
    with modelmgr.Manager(tmp_path / "root", registry=registry) as manager:
        record, _ = installed(manager, tmp_path)
        alive = weakref.ref(manager.load(record).object)
        gc.collect()
        assert alive() is not None  # the cache has it
        manager.loader.unload()
        gc.collect()
        assert alive() is None


def test_a_loader_that_gives_tensors(tmp_path):
    class Loader:
        calls = 0

        def load(self, request):
            self.calls += 1
            return modelmgr.read_tensors(request.path)

        def estimate(self, request):
            return 100

    loader, registry = Loader(), modelmgr.LoaderRegistry()
    registry.add("any", "lora", "lycoris", loader)
    with modelmgr.Manager(tmp_path / "root", registry=registry) as manager:
        record, data = installed(manager, tmp_path)
        with manager.load(record) as loaded:
            assert loaded.tensors["weight"].tobytes() == data["weight"]
        assert loader.calls == 1


@pytest.mark.parametrize("failure", [ValueError("broken"), KeyboardInterrupt("stop"), None])
def test_an_exception_in_a_loader_comes_out_of_load(tmp_path, failure):
    def loader(request):
        if failure:
            raise failure

    registry = modelmgr.LoaderRegistry()
    registry.add("any", "lora", "lycoris", loader)
    with modelmgr.Manager(tmp_path / "root", registry=registry) as manager:
        record, _ = installed(manager, tmp_path)
        if isinstance(failure, KeyboardInterrupt):
            with pytest.raises(KeyboardInterrupt):
                manager.load(record)
        else:
            with pytest.raises(modelmgr.PluginError) as caught:
                manager.load(record)
            assert caught.value.__cause__ is failure if failure else isinstance(
                caught.value.__cause__, TypeError)


def test_a_manager_cannot_be_closed_from_its_own_loader(tmp_path):
    def loader(request):
        with pytest.raises(modelmgr.BusyError):
            manager.close()
        return "made"

    registry = modelmgr.LoaderRegistry()
    registry.add("any", "lora", "lycoris", loader)
    with modelmgr.Manager(tmp_path / "root", registry=registry) as manager:
        record, _ = installed(manager, tmp_path)
        assert manager.load(record).object == "made"


def test_clashes_and_wrong_loaders():
    registry = modelmgr.LoaderRegistry()
    registry.add("sd-1", "lora", "lycoris", lambda request: "x")
    with pytest.raises(modelmgr.LoaderClashError):
        registry.add("sd-1", "lora", "lycoris", lambda request: "y")
    with pytest.raises(TypeError):
        registry.add("sd-1", "vae", "checkpoint", 5)


def test_registered_loaders_are_given_back(tmp_path):
    from modelmgr._lend import lent
    before = set(lent)
    registry = modelmgr.LoaderRegistry()
    registry.add("sd-1", "lora", "lycoris", lambda request: "x")
    mine = set(lent) - before
    assert len(mine) == 1
    manager = modelmgr.Manager(tmp_path / "root", registry=registry)
    del registry
    gc.collect()
    assert mine <= set(lent)  # the manager holds it
    manager.close()
    del manager
    gc.collect()
    assert not mine & set(lent)
