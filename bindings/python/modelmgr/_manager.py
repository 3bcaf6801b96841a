# SPDX-License-Identifier: MIT
"""The manager: one object that owns one of each service, wired together."""
from __future__ import annotations

import weakref
from ctypes import byref
from typing import Any, Callable, Dict, Iterable, Optional, Union

from . import _errors, _structs
from ._config import Config
from ._events import Event, EventStream, event_mask
from ._handle import Core, Service
from ._install import Installer, InstallJob
from ._library import check, encode, encode_json, encode_path, flags, lib, options, out
from ._load import Device, Loaded, LoaderRegistry, LoadService
from ._probe import Prober
from ._queue import DownloadQueue
from ._record import Record
from ._source import Hub
from ._store import Store


class Manager(Service):
    """Everything below one root folder. Use it in a with block, or close() it.

    Closing pauses downloads that run (they stay resumable), ends event streams and releases loaded
    models that are not locked; arrays made of their tensors stay valid.
    """
    def __init__(self,
                 root: Any = None,
                 *,
                 config: Optional[Config] = None,
                 store: Any = None,
                 registry: Optional[LoaderRegistry] = None,
                 device: Union[None, str, Device] = None,
                 read_only: bool = False,
                 lenient: bool = False,
                 watch: bool = False) -> None:
        """Open: create root folder and record store, recover interrupted installs; no network.

        With a config the root is the config's. store names another record store, device the
        execution device. read_only writes nothing at all: no installs, no changes of records.
        lenient takes fields and values of enumerations in records that this release does not know.
        With watch, a "store.changed" event tells that another process has changed records.
        """
        if config is not None and root is not None:
            raise _errors.ArgumentError("root: give it to the config when there is one",
                                        field="root")
        if isinstance(device, str):
            device = Device(device)
        wanted = options(_structs.mmgr_manager_options,
                         root=encode_path(root, "root"),
                         flags=flags("MMGR_MANAGER", read_only=read_only, lenient=lenient,
                                     watch=watch),
                         store_path=encode_path(store, "store"),
                         config=config._ref.pointer if config else None,
                         registry=registry._ref.pointer if registry else None,
                         device=device._ref.pointer if device else None)
        given = out()
        check(lib.mmgr_manager_open(byref(wanted), given))
        core = Core(given.value, lib.mmgr_manager_close, "manager")
        super().__init__(core)
        self._streams: "weakref.WeakSet[EventStream]" = weakref.WeakSet()
        streams = self._streams

        def open_stream(mask: int) -> EventStream:
            stream = EventStream(core, lib.mmgr_manager_bus, mask)
            streams.add(stream)
            return stream

        self._open_stream = open_stream
        self.store = Store._of(core, lib.mmgr_manager_store)
        self.queue = DownloadQueue._of(core, lib.mmgr_manager_queue)
        self.hub = Hub(core, lib.mmgr_manager_hub)
        self.prober = Prober._of(core, lib.mmgr_manager_prober)
        self.installer = Installer(core, lib.mmgr_manager_installer, open_stream)
        self.loader = LoadService(core, lib.mmgr_manager_loader)

    @property
    def config(self) -> Config:
        with self._use() as pointer:
            return Config._from_lent(lib.mmgr_manager_config(pointer))

    def close(self) -> None:
        """Close. BusyError while a model is locked, or from inside one of its own calls."""
        self.loader._release_all()
        for stream in list(self._streams):
            stream.close()
        self.queue._close_streams()
        self._core.close()

    @property
    def closed(self) -> bool:
        return self._core.closed

    def __enter__(self) -> "Manager":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def events(self, groups: Union[None, str, Iterable[str]] = None) -> EventStream:
        """Events from now on, of the groups "download", "install", "load", "store" (None: all)."""
        return self._open_stream(event_mask(groups))

    def install(self, source: Any, **wanted: Any) -> InstallJob:
        """Start an install; options as for Installer.submit()."""
        return self.installer.submit(source, **wanted)

    def install_and_wait(self,
                         source: Any,
                         *,
                         progress: Optional[Callable[[Event], Any]] = None,
                         timeout: Optional[float] = None,
                         **wanted: Any) -> Record:
        """Install and return the record; a failure is raised as the exception of its kind.

        progress is called in this thread with each install event (bytes, total_bytes, parts). When
        the time is up or progress raises, the job goes on until it is cancelled or the manager
        closes.
        """
        job = self.install(source, watch=True, **wanted)
        for event in job.events(timeout):
            if progress is not None:
                progress(event)
        return job.result(timeout)

    def plan(self, source: Any, **wanted: Any) -> Dict[str, Any]:
        """What an install would do; writes nothing."""
        return self.installer.plan(source, **wanted)

    def load(self,
             model: Union[str, Record],
             submodel: Optional[str] = None,
             *,
             context: Any = None) -> Loaded:
        """Load a model by key or record."""
        return self.loader.load(model, submodel, context=context)

    def load_by_name(self,
                     name: str,
                     base: Optional[str] = None,
                     type: Optional[str] = None,
                     submodel: Optional[str] = None,
                     *,
                     context: Any = None) -> Loaded:
        """Load the one model with these attributes. UnknownModelError, AmbiguousModelError."""
        wanted = options(_structs.mmgr_load_options,
                         submodel=encode(submodel, "submodel"),
                         context=encode_json(context, "context"))
        return self.loader._loading(lib.mmgr_manager_load_by_name,
                                    encode(name, "name"),
                                    encode(base, "base"),
                                    encode(type, "type"),
                                    byref(wanted),
                                    getter=lambda manager: manager)
