# SPDX-License-Identifier: MIT
"""Life of C handles: freed once, in an order that the library allows, never used after that.

Snapshots (records, jobs, tensor sets, ...) are counted by the library; a Ref holds one count.
Services are closed, and must not be closed while a call or a dependent object uses them; Core sees
to that, in whatever order Python drops the objects.
"""
from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from typing import Any, Callable, Iterator, Optional

from . import _errors
from ._library import ERROR_NUMBERS, check, nanoseconds, out

SLICE_NS = 200_000_000  # how long Ctrl-C may have to wait


def _drop(pid: int, function: Callable[[int], Any], pointer: int) -> None:
    # Handles do not survive fork: their threads are not there in the child.
    if os.getpid() == pid:
        function(pointer)


class Ref:
    """One reference to a counted object. It lives as long as anything that uses the object."""

    __slots__ = ("pointer", "_finalizer", "__weakref__")

    def __init__(self, pointer: Optional[int], unref: Callable[[int], Any]) -> None:
        if not pointer:
            raise _errors.StateError("the library gave no object")
        self.pointer = pointer
        self._finalizer = weakref.finalize(self, _drop, os.getpid(), unref, pointer)

    def __copy__(self) -> "Ref":
        return self

    def __deepcopy__(self, _memo: Any) -> "Ref":
        return self

    def __reduce__(self) -> Any:
        raise TypeError("objects of the library cannot be pickled")


class Core:
    """A service's C handle, shared by the Python object that owns it and its dependents.

    The handle is closed when the owner asks for it, or when the last holder is gone.
    """
    def __init__(self, pointer: Optional[int], close: Callable[[int], Optional[int]],
                 what: str) -> None:
        self._pointer: Optional[int] = pointer
        self._close = close
        self._what = what
        self._pid = os.getpid()
        self._holders = 0
        self._users: dict = {}  # thread id -> calls in progress
        self._closing = False
        self._changed = threading.Condition(threading.RLock())

    def hold(self, holder: Any) -> None:
        """Keep the handle open while this Python object lives (unless closed explicitly)."""
        self.retain()
        weakref.finalize(holder, self.release)

    def retain(self) -> None:
        with self._changed:
            self._holders += 1

    def release(self) -> None:
        with self._changed:
            self._holders -= 1
            last = self._holders == 0 and self._pointer is not None
        if last:
            with contextlib.suppress(_errors.ModelManagerError):
                self.close()

    @property
    def closed(self) -> bool:
        return self._pointer is None

    @property
    def closing(self) -> bool:
        return self._closing or self._pointer is None

    @contextlib.contextmanager
    def use(self) -> Iterator[int]:
        """The pointer, for calls that may run on several threads; close() waits for them."""
        me = threading.get_ident()
        with self._changed:
            if self._pointer is None or (self._closing and me not in self._users):
                raise _errors.StateError(f"the {self._what} is closed", subject=self._what)
            if os.getpid() != self._pid:
                raise _errors.StateError(f"the {self._what} was opened before a fork",
                                         subject=self._what)
            pointer = self._pointer
            self._users[me] = self._users.get(me, 0) + 1
        try:
            yield pointer
        finally:
            with self._changed:
                self._users[me] -= 1
                if not self._users[me]:
                    del self._users[me]
                    self._changed.notify_all()

    def close(self) -> None:
        """Close once every running call has returned; waiting ones notice and give up."""
        with self._changed:
            if self._pointer is None or os.getpid() != self._pid:
                self._pointer = None  # handles do not survive fork
                return
            if threading.get_ident() in self._users:
                raise _errors.BusyError(
                    f"the {self._what} cannot be closed from inside one of its own calls",
                    subject=self._what)
            if self._closing:
                raise _errors.BusyError(f"the {self._what} is being closed", subject=self._what)
            self._closing = True
            try:
                while self._users:
                    self._changed.wait()
            except BaseException:
                self._closing = False
                raise
            pointer = self._pointer
        try:
            # The lock is not held: the library joins threads that may call into Python.
            result = self._close(pointer)
            if result is not None:
                check(result)
        except BaseException:
            with self._changed:
                self._closing = False
            raise
        with self._changed:
            self._pointer = None
            self._closing = False


class Service:
    """Base of the Python objects for services. Those of a manager share the manager's core."""
    def __init__(self, core: Core, getter: Optional[Callable[[int], int]] = None) -> None:
        self._core = core
        self._getter = getter
        core.hold(self)

    @contextlib.contextmanager
    def _use(self) -> Iterator[int]:
        with self._core.use() as pointer:
            yield self._getter(pointer) if self._getter else pointer

    def _call(self, function: Any, *arguments: Any) -> None:
        with self._use() as pointer:
            check(function(pointer, *arguments))

    def _get(self, function: Any, *arguments: Any) -> Any:
        """Call whose last argument is an output handle or text."""
        result = out()
        with self._use() as pointer:
            check(function(pointer, *arguments, result))
        return result


def wait_in_slices(core: Core, timeout: Optional[float], step: Callable[[int], int]) -> bool:
    """Wait by step(nanoseconds) -> result, heeding Ctrl-C and close(). False on timeout."""
    total = nanoseconds(timeout)
    end = None if total < 0 else time.monotonic_ns() + total
    while True:
        left = SLICE_NS if end is None else min(SLICE_NS, max(0, end - time.monotonic_ns()))
        result = step(left)
        if result != ERROR_NUMBERS["timeout"]:
            check(result)
            return True
        if end is not None and time.monotonic_ns() >= end:
            return False
        if core.closing:
            raise _errors.StateError("the service was closed while it was waited for")
