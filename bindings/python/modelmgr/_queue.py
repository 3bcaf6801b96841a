# SPDX-License-Identifier: MIT
"""The download queue."""
from __future__ import annotations

import weakref
from ctypes import byref
from dataclasses import dataclass
from typing import Any, Iterable, Iterator, List, Optional, Tuple, Union

from . import _errors, _structs
from ._api import CONSTANTS
from ._config import Config
from ._events import EventStream, event_mask
from ._handle import Core, Ref, Service, wait_in_slices
from ._library import (UNKNOWN_SIZE, check, decode, encode, encode_path, error_object, lib, options,
                       out, take_text)

TERMINAL = ("completed", "error", "cancelled")


@dataclass(frozen=True)
class DownloadPart:
    """One file of a multi-file job: its source, path below the destination, and what is known."""

    source: str
    path: str
    size: Optional[int] = None
    sha256: Optional[str] = None
    git_sha1: Optional[str] = None


class Download:
    """A job of the download queue."""
    def __init__(self, queue: "DownloadQueue", pointer: Optional[int]) -> None:
        self._queue = queue
        self._ref = Ref(pointer, lib.mmgr_download_unref)

    def _number(self, name: str) -> int:
        return lib.mmgr_download_number(self._ref.pointer,
                                        CONSTANTS["MMGR_DOWNLOAD_NUMBER_" + name])

    def _text(self, name: str) -> Optional[str]:
        given = out()
        check(
            lib.mmgr_download_text(self._ref.pointer, CONSTANTS["MMGR_DOWNLOAD_TEXT_" + name],
                                   given))
        return take_text(given)

    @property
    def id(self) -> int:
        return lib.mmgr_download_id(self._ref.pointer)

    @property
    def status(self) -> str:
        """"idle", "enqueued", "running", "paused", "completed", "error" or "cancelled"."""
        number = lib.mmgr_download_status(self._ref.pointer)
        return decode(lib.mmgr_download_status_name(number)) or "unknown"

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def progress(self) -> Tuple[int, int]:
        """Bytes there and bytes in all (0 while unknown)."""
        return self._number("BYTES"), self._number("TOTAL")

    @property
    def resumed_from(self) -> int:
        return self._number("RESUMED_FROM")

    @property
    def source(self) -> Optional[str]:
        return self._text("SOURCE")

    @property
    def destination(self) -> Optional[str]:
        return self._text("DESTINATION")

    @property
    def path(self) -> Optional[str]:
        """Final path; None while the name is not known."""
        return self._text("PATH")

    @property
    def sha256(self) -> Optional[str]:
        return self._text("SHA256")

    @property
    def content_type(self) -> Optional[str]:
        return self._text("CONTENT_TYPE")

    @property
    def part_sha256(self) -> Tuple[Optional[str], ...]:
        pointer = self._ref.pointer
        return tuple(
            decode(lib.mmgr_download_part_sha256(pointer, index))
            for index in range(self._number("PARTS")))

    @property
    def error(self) -> Optional[_errors.ModelManagerError]:
        return error_object(lib.mmgr_download_error(self._ref.pointer))

    @property
    def priority(self) -> int:
        """Lower is earlier; may be changed while the job waits or runs."""
        return self._number("PRIORITY")

    @priority.setter
    def priority(self, value: int) -> None:
        self._queue._call(lib.mmgr_queue_set_priority, self.id, value)

    def start(self) -> None:
        """Start an idle job or resume a paused one."""
        self._queue._call(lib.mmgr_queue_start, self.id)

    resume = start

    def pause(self) -> None:
        self._queue._call(lib.mmgr_queue_pause, self.id)

    def cancel(self) -> None:
        self._queue._call(lib.mmgr_queue_cancel, self.id)

    def wait(self, timeout: Optional[float] = None) -> "Download":
        """Wait until the job has ended, whatever the outcome. modelmgr.TimeoutError."""
        job = self.id
        with self._queue._use() as pointer:
            if not wait_in_slices(self._queue._core, timeout,
                                  lambda left: lib.mmgr_queue_wait(pointer, job, left)):
                raise _errors.TimeoutError(f"download {job} has not ended in time")
        return self

    def result(self, timeout: Optional[float] = None) -> Optional[str]:
        """Wait; the final path, or the job's error raised."""
        self.wait(timeout)
        error = self.error
        if error is not None:
            raise error
        if self.status == "cancelled":
            raise _errors.CancelledError(f"download {self.id} was cancelled")
        return self.path

    def __repr__(self) -> str:
        return f"<Download {self.id} {self.status} {self.source!r}>"


class DownloadQueue(Service):
    """Jobs that bring files from URLs or local paths to their place, resumably and verified."""
    def __init__(self,
                 config: Optional[Config] = None,
                 *,
                 max_parallel: int = 0,
                 max_retries: int = 0,
                 quiet: bool = False) -> None:
        """Open a queue on its own; a manager has one already (Manager.queue)."""
        wanted = options(_structs.mmgr_queue_options,
                         config=config._ref.pointer if config else None,
                         max_parallel=max_parallel,
                         max_retries=max_retries,
                         flags=CONSTANTS["MMGR_QUEUE_QUIET"] if quiet else 0)
        given = out()
        check(lib.mmgr_queue_open(byref(wanted), given))
        self._config = config
        super().__init__(Core(given.value, lib.mmgr_queue_close, "download queue"))
        self._owned = True
        self._streams: "weakref.WeakSet[EventStream]" = weakref.WeakSet()

    @classmethod
    def _of(cls, core: Core, getter: Any) -> "DownloadQueue":
        self = cls.__new__(cls)
        Service.__init__(self, core, getter)
        self._owned = False
        self._streams = weakref.WeakSet()
        return self

    def close(self) -> None:
        """Pause what runs and close a queue that was opened on its own."""
        if self._owned:
            self._close_streams()
            self._core.close()

    def _close_streams(self) -> None:
        for stream in list(self._streams):
            stream.close()

    def __enter__(self) -> "DownloadQueue":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def events(self) -> EventStream:
        """Download events of this queue's bus from now on."""
        getter = self._getter or (lambda pointer: pointer)
        stream = EventStream(self._core, lambda pointer: lib.mmgr_queue_bus(getter(pointer)),
                             event_mask("download"))
        self._streams.add(stream)
        return stream

    def submit(self,
               source: Union[None, str, Any] = None,
               destination: Any = None,
               *,
               filename: Optional[str] = None,
               parts: Iterable[DownloadPart] = (),
               token: Optional[str] = None,
               sha256: Optional[str] = None,
               size: int = 0,
               priority: int = 0,
               hold: bool = False,
               preserve_partial: bool = False,
               move: bool = False,
               overwrite: bool = False,
               label: Optional[str] = None) -> Download:
        """Submit a job for one file (source) or several (parts)."""
        flags = 0
        for wanted_flag, name in ((hold, "HOLD"), (preserve_partial, "PRESERVE_PARTIAL"),
                                  (move, "MOVE"), (overwrite, "OVERWRITE")):
            flags |= CONSTANTS["MMGR_DOWNLOAD_" + name] if wanted_flag else 0
        built = self._parts(parts)
        try:
            wanted = options(_structs.mmgr_download_options,
                             flags=flags,
                             source=encode_path(source, "source"),
                             destination=encode_path(destination, "destination"),
                             filename=encode(filename, "filename"),
                             parts=built,
                             token=encode(token, "token"),
                             sha256=encode(sha256, "sha256"),
                             size=size,
                             priority=priority,
                             label=encode(label, "label"))
            return Download(self, self._get(lib.mmgr_queue_submit, byref(wanted)).value)
        finally:
            lib.mmgr_parts_free(built)

    @staticmethod
    def _parts(parts: Iterable[DownloadPart]) -> Any:
        parts = list(parts)
        if not parts:
            return None
        built = out()
        check(lib.mmgr_parts_new(built))
        try:
            for part in parts:
                check(
                    lib.mmgr_parts_add(built, encode(part.source, "source"),
                                       encode(part.path, "path"),
                                       UNKNOWN_SIZE if part.size is None else part.size,
                                       encode(part.sha256, "sha256"),
                                       encode(part.git_sha1, "git_sha1")))
        except BaseException:
            lib.mmgr_parts_free(built)
            raise
        return built

    def get(self, id: int) -> Download:
        """UnknownJobError when there is no such job."""
        return Download(self, self._get(lib.mmgr_queue_get, id).value)

    def jobs(self) -> List[Download]:
        """All jobs in the order of submission, ended ones included until pruned."""
        found = self._get(lib.mmgr_queue_list)
        try:
            return [
                Download(self, lib.mmgr_download_ref(lib.mmgr_download_list_at(found, index)))
                for index in range(lib.mmgr_download_list_count(found))
            ]
        finally:
            lib.mmgr_download_list_free(found)

    def __iter__(self) -> Iterator[Download]:
        return iter(self.jobs())

    def join(self, timeout: Optional[float] = None) -> None:
        """Wait until every job that waits or runs has ended or is paused. modelmgr.TimeoutError."""
        with self._use() as pointer:
            if not wait_in_slices(self._core, timeout,
                                  lambda left: lib.mmgr_queue_join(pointer, left)):
                raise _errors.TimeoutError("downloads have not ended in time")

    def prune(self) -> None:
        self._call(lib.mmgr_queue_prune)

    def start_all(self) -> None:
        self._call(lib.mmgr_queue_start_all)

    def pause_all(self) -> None:
        self._call(lib.mmgr_queue_pause_all)

    def cancel_all(self) -> None:
        self._call(lib.mmgr_queue_cancel_all)
