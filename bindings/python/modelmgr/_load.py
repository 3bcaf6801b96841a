# SPDX-License-Identifier: MIT
"""Loading: the service with its caches, loaded models, devices, and loaders written in Python."""
from __future__ import annotations

import contextlib
import ctypes
import threading
import weakref
from ctypes import byref, c_uint64
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

from . import _errors, _structs
from ._handle import Core, Ref, Service
from ._lend import failed, forget_failure, function_type, give_back, lend, lent, raise_with_cause
from ._library import (check, constant_names, decode, encode, encode_json, lib, options, out)
from ._record import Record
from ._tensor import DeviceMemory, TensorSet

CACHE_NUMBERS = constant_names("MMGR_CACHE_")
UNBOUNDED = (1 << 64) - 1


class Device:
    """A device by name: "cpu", or "fake:BYTES", a test device of that capacity in host memory."""
    def __init__(self, name: str) -> None:
        given = out()
        check(lib.mmgr_device_open(encode(name, "name"), given))
        self._ref = Ref(given.value, lib.mmgr_device_unref)

    @property
    def name(self) -> str:
        return decode(lib.mmgr_device_name(self._ref.pointer)) or ""

    @property
    def memory(self) -> Tuple[int, Optional[int]]:
        """Free bytes and bytes in all; None where there is no bound."""
        free, total = c_uint64(), c_uint64()
        check(lib.mmgr_device_memory(self._ref.pointer, byref(free), byref(total)))
        return free.value, None if total.value == UNBOUNDED else total.value

    def __repr__(self) -> str:
        return f"<Device {self.name}>"


@dataclass(frozen=True)
class LoadRequest:
    """What a loader is asked to load; submodel None means the whole model."""

    record: Record
    path: str
    submodel: Optional[str]
    variant: Optional[str]


def _request(pointer: int) -> LoadRequest:
    asked = ctypes.cast(pointer, ctypes.POINTER(_structs.mmgr_load_request)).contents
    return LoadRequest(Record._from_lent(asked.record),
                       decode(asked.path) or "", decode(asked.submodel), decode(asked.variant))


_LOAD_FN = function_type(_structs.mmgr_loader_ops, "load")
_ESTIMATE_FN = function_type(_structs.mmgr_loader_ops, "estimate")
_OBJECT_FREE_FN = function_type(_structs.mmgr_load_result, "object_free")
_free_object = _OBJECT_FREE_FN(lambda number: lent.pop(number, None) and None)


@_LOAD_FN
def _load(number, request, result):
    try:
        loader = lent[number]
        made = getattr(loader, "load", loader)(_request(request))
        answer = ctypes.cast(result, ctypes.POINTER(_structs.mmgr_load_result)).contents
        if isinstance(made, TensorSet):
            with made._use() as pointer:
                answer.tensors = lib.mmgr_tensor_set_ref(pointer)
        elif made is None:
            raise TypeError("the loader returned None")
        else:
            answer.object_free = _free_object
            answer.bytes = int(getattr(made, "nbytes", 0))
            answer.object = lend(made)
        return 0
    except BaseException as error:
        # An exception that leaves a callback is lost, and the result garbage.
        return failed(error)


@_ESTIMATE_FN
def _estimate(number, request):
    try:
        return int(lent[number].estimate(_request(request)))
    except BaseException:
        return 0  # unknown


class LoaderRegistry:
    """Loaders by kind of model: the built-in ones, and those added before a manager opens."""
    def __init__(self) -> None:
        given = out()
        check(lib.mmgr_loader_registry_new(given))
        self._ref = Ref(given.value, lib.mmgr_loader_registry_unref)

    def add(self, base: str, type: str, format: str, loader: Any) -> None:
        """Add a loader for a kind of model; base "any" is the fallback for every base.

        loader is called with a LoadRequest, or is an object with load(request) and, if it likes,
        estimate(request) -> bytes. It returns a TensorSet (see read_tensors()), or any object,
        which Loaded.object gives back; its nbytes counts in the RAM cache. LoaderClashError when a
        loader of the host is there already.
        """
        if not callable(getattr(loader, "load", loader)):
            raise TypeError("a loader must be callable, or have a method load()")
        estimate = _estimate if hasattr(loader, "estimate") else _ESTIMATE_FN()
        ops = options(_structs.mmgr_loader_ops,
                      api_version=1,
                      name=b"python",
                      load=_load,
                      estimate=estimate)
        texts = [
            encode(text, what)
            for text, what in ((base, "base"), (type, "type"), (format, "format"))
        ]
        number = lend(loader)
        try:
            check(
                lib.mmgr_loader_registry_add(self._ref.pointer, *texts, byref(ops), number,
                                             give_back))
        except BaseException:
            lent.pop(number, None)
            raise


class _Life:
    """The C side of a loaded model: its locks, itself, and its hold on the service."""
    def __init__(self, pointer: Optional[int], service: Core) -> None:
        self.core = Core(pointer, lib.mmgr_loaded_unref, "loaded model")
        self.service = service
        self.locks: List[Core] = []
        self.guard = threading.Lock()
        service.retain()

    def end(self) -> None:
        with contextlib.suppress(_errors.ModelManagerError):
            while self.locks:
                self.locks.pop().close()
        self.core.close()
        self.service.release()


class Loaded:
    """A model in RAM. `with loaded:` brings it to the execution device and holds it there.

    Tensors in RAM, and the arrays made of them, stay valid as long as they are referenced, whatever
    happens to this object. Tensors on another device are there until the unlock.
    """
    def __init__(self, service: Core, pointer: Optional[int]) -> None:
        self._life = _Life(pointer, service)
        self._finalizer = weakref.finalize(self, self._life.end)

    @property
    def record(self) -> Record:
        with self._life.core.use() as pointer:
            return Record._from_lent(lib.mmgr_loaded_record(pointer))

    @property
    def state_dict(self) -> Optional[TensorSet]:
        """The tensors in RAM; None when a loader of the host made an object of its own."""
        with self._life.core.use() as pointer:
            lent = lib.mmgr_loaded_state_dict(pointer)
            return TensorSet._share(lent) if lent else None

    @property
    def object(self) -> Any:
        """What a loader written in Python returned; None for tensors."""
        with self._life.core.use() as pointer:
            number = lib.mmgr_loaded_object(pointer)
            return lent.get(number) if number else None

    @property
    def tensors(self) -> TensorSet:
        """The tensors on the execution device while locked, else those in RAM."""
        with self._life.guard:
            lock = self._life.locks[-1] if self._life.locks else None
        found = self._device_tensors(lock) if lock else self.state_dict
        if found is None:
            raise _errors.StateError("this model is an object of its loader, not a set of tensors")
        return found

    def _device_tensors(self, lock: Core) -> Optional[TensorSet]:
        lent = lock.lent_set  # type: ignore[attr-defined]
        if not lent:
            return None
        with lock.use():
            device = lib.mmgr_tensor_set_device(lent)
            # The CPU's set is counted and outlives the lock; memory of other devices may not.
            if lib.mmgr_device_name(device) == b"cpu":
                return TensorSet._share(lent)
            return TensorSet(self, lent, DeviceMemory(lock, device))

    def lock(self) -> "Loaded":
        """Bring it to the device and hold it there; locks nest. DeviceMemoryError: no room."""
        given = out()
        with self._life.core.use() as pointer:
            check(lib.mmgr_loaded_lock(pointer, given))
            lock = Core(pointer, lib.mmgr_loaded_unlock, "lock of a loaded model")
            lock.lent_set = given.value  # type: ignore[attr-defined]
            with self._life.guard:
                self._life.locks.append(lock)
        return self

    def unlock(self) -> None:
        """Give the last lock back. StateError when it is not locked."""
        with self._life.guard:
            if not self._life.locks:
                raise _errors.StateError("the model is not locked")
            lock = self._life.locks.pop()
        lock.close()

    @property
    def locked(self) -> bool:
        return bool(self._life.locks)

    def __enter__(self) -> "Loaded":
        return self.lock()

    def __exit__(self, *_: Any) -> None:
        self.unlock()

    def release(self) -> None:
        """Let the cache drop the model when it needs the room. BusyError while it is locked."""
        if self._life.locks:
            raise _errors.BusyError("the model is locked")
        self._finalizer()

    @property
    def released(self) -> bool:
        return not self._finalizer.alive


class LoadService(Service):
    """Loads models into RAM and keeps them in its caches (Manager.loader)."""
    def __init__(self, core: Core, getter: Any) -> None:
        super().__init__(core, getter)
        self._loaded: "weakref.WeakSet[Loaded]" = weakref.WeakSet()

    def load(self,
             model: Union[str, Record],
             submodel: Optional[str] = None,
             *,
             context: Any = None) -> Loaded:
        """Load a model by key or record, or find it in the RAM cache.

        submodel is required for pipelines; context (JSON) comes back in the load events.
        """
        wanted = options(_structs.mmgr_load_options,
                         submodel=encode(submodel, "submodel"),
                         context=encode_json(context, "context"))
        if isinstance(model, Record):
            return self._loading(lib.mmgr_load_service_load, model._ref.pointer, byref(wanted))
        return self._loading(lib.mmgr_load_service_load_by_key, encode(model, "model"),
                             byref(wanted))

    def _loading(self, function: Any, *arguments: Any, getter: Any = None) -> Loaded:
        given = out()
        forget_failure()
        with self._core.use() as core:
            pointer = (getter or self._getter or (lambda same: same))(core)
            try:
                check(function(pointer, *arguments, given))
            except _errors.ModelManagerError as error:
                raise_with_cause(error)
            loaded = Loaded(self._core, given.value)
        self._loaded.add(loaded)
        return loaded

    def unload(self, key: Optional[str] = None) -> None:
        """Drop a model (None: all) from the caches: at once, or with its last holder."""
        self._call(lib.mmgr_load_service_unload, encode(key, "key"))

    @property
    def statistics(self) -> Dict[str, int]:
        """Hits, misses, evictions, and what is in RAM and on the device."""
        with self._use() as pointer:
            return {
                name: lib.mmgr_load_service_number(pointer, number)
                for name, number in CACHE_NUMBERS.items()
            }

    def _release_all(self) -> None:
        for loaded in list(self._loaded):
            loaded.release()

    def __iter__(self) -> Iterator[Loaded]:
        return iter([loaded for loaded in self._loaded if not loaded.released])
