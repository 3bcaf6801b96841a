# SPDX-License-Identifier: MIT
"""Events, pulled: by iteration, with a timeout, or from asyncio."""
from __future__ import annotations

import asyncio
import os
import select
import threading
import time
import weakref
from ctypes import byref, c_uint64
from dataclasses import dataclass, field
from typing import Any, AsyncIterator, Iterable, Iterator, Optional, Tuple, Union

from . import _errors
from ._handle import Core
from ._library import (ERROR_NUMBERS, check, constant_names, decode, error_object, lent_text, lib,
                       nanoseconds, out, take_text)

GROUPS = constant_names("MMGR_EVENTS_")
TEXTS = constant_names("MMGR_EVENT_TEXT_")


@dataclass(frozen=True)
class Part:
    """One file of a multi-file download; total_bytes is 0 while unknown."""

    path: str
    bytes: int
    total_bytes: int


@dataclass(frozen=True)
class Event:
    """One event, such as "install.completed"; sequence and time (ns since 1970) order them."""

    name: str
    sequence: int
    time: int
    job: int
    bytes: int
    total_bytes: int
    source: Optional[str] = None
    local_path: Optional[str] = None
    key: Optional[str] = None
    submodel: Optional[str] = None
    hash: Optional[str] = None
    precision: Optional[str] = None
    context: Optional[str] = None
    error: Optional[_errors.ModelManagerError] = None
    parts: Tuple[Part, ...] = ()
    json: str = field(default="", repr=False)

    @property
    def is_terminal(self) -> bool:
        """Whether it is its job's last."""
        return self.name.startswith(("download.", "install.")) and self.name.endswith(
            (".completed", ".error", ".cancelled"))


def _read_event(pointer: Optional[int]) -> Event:
    parts = []
    for index in range(lib.mmgr_event_part_count(pointer)):
        path, done, total = out(), c_uint64(), c_uint64()
        check(lib.mmgr_event_part(pointer, index, path, byref(done), byref(total)))
        parts.append(Part(lent_text(path.value) or "", done.value, total.value))
    text = out()
    check(lib.mmgr_event_to_json(pointer, text))
    texts = {name: decode(lib.mmgr_event_text(pointer, number)) for name, number in TEXTS.items()}
    return Event(name=decode(lib.mmgr_event_name(pointer)) or "",
                 sequence=lib.mmgr_event_sequence(pointer),
                 time=lib.mmgr_event_time(pointer),
                 job=lib.mmgr_event_job(pointer),
                 bytes=lib.mmgr_event_bytes(pointer),
                 total_bytes=lib.mmgr_event_total_bytes(pointer),
                 error=error_object(lib.mmgr_event_error(pointer)),
                 parts=tuple(parts),
                 json=take_text(text) or "",
                 **texts)


def event_mask(groups: Union[None, str, Iterable[str]]) -> int:
    """Groups "download", "install", "load", "store"; None: all."""
    if groups is None:
        return GROUPS["all"]
    mask = 0
    for group in [groups] if isinstance(groups, str) else groups:
        if group not in GROUPS:
            raise _errors.ArgumentError(f"groups: there is no event group {group!r}",
                                        field="groups")
        mask |= GROUPS[group]
    return mask


class EventStream:
    """Events of a manager from the moment it was opened: `for`, `async for`, or get(timeout).

    Safe from any thread; each event goes to one taker. Closed with the manager at the latest,
    which ends every iteration.
    """
    def __init__(self, core: Core, bus: Any, mask: int) -> None:
        # A byte in this pipe wakes those who wait when the stream is closed.
        self._wake, self._wake_write = os.pipe()
        self._closing = threading.Lock()
        given = out()
        try:
            with core.use() as pointer:
                check(lib.mmgr_listener_open(bus(pointer), mask, given))
        except BaseException:
            os.close(self._wake)
            os.close(self._wake_write)
            raise
        self._listener = Core(given.value, lib.mmgr_listener_close, "event stream")
        self._descriptor = lib.mmgr_listener_fd(given)
        core.retain()
        self._finalizer = weakref.finalize(self, _end_stream, self._listener, core, self._wake,
                                           self._wake_write)

    def close(self) -> None:
        """Drop the events that were not taken, and end every iteration."""
        with self._closing:
            if self._finalizer.alive:
                os.write(self._wake_write, b"x")
                self._finalizer()

    @property
    def closed(self) -> bool:
        return not self._finalizer.alive

    def __enter__(self) -> "EventStream":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _poll(self) -> Optional[Event]:
        given = out()
        with self._listener.use() as pointer:
            result = lib.mmgr_listener_next(pointer, 0, given)
        if result == ERROR_NUMBERS["timeout"]:
            return None
        check(result)
        try:
            return _read_event(given.value)
        finally:
            lib.mmgr_event_unref(given)

    def get(self, timeout: Optional[float] = None) -> Event:
        """The next event. modelmgr.TimeoutError; a timeout of 0 polls, None waits for ever."""
        total = nanoseconds(timeout)
        end = None if total < 0 else time.monotonic_ns() + total
        while True:
            event = self._poll()
            if event is not None:
                return event
            left = None if end is None else (end - time.monotonic_ns()) / 1e9
            if left is not None and left <= 0:
                raise _errors.TimeoutError("no event came in time")
            with self._listener.use():
                poller = select.poll()
                poller.register(self._descriptor, select.POLLIN)
                poller.register(self._wake, select.POLLIN)
                poller.poll(None if left is None else max(1, left * 1000))

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        try:
            return self.get()
        except _errors.StateError:
            raise StopIteration from None

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while True:
            try:
                event = self._poll()
            except _errors.StateError:
                raise StopAsyncIteration from None
            if event is not None:
                return event
            await self._readable()

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()

        def wake() -> None:
            if not ready.done():
                ready.set_result(None)

        try:
            # Duplicates: several tasks may wait on the stream, and close() must not pull a
            # descriptor away from under the loop.
            with self._listener.use():
                descriptors = [os.dup(self._descriptor), os.dup(self._wake)]
        except _errors.StateError:
            return
        try:
            for descriptor in descriptors:
                loop.add_reader(descriptor, wake)
            await ready
        finally:
            for descriptor in descriptors:
                loop.remove_reader(descriptor)
                os.close(descriptor)


def _end_stream(listener: Core, core: Core, wake: int, wake_write: int) -> None:
    listener.close()
    os.close(wake)
    os.close(wake_write)
    core.release()
