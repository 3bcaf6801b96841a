# SPDX-License-Identifier: MIT
"""The installer and its jobs."""
from __future__ import annotations

import time
from ctypes import byref, c_char_p, c_uint64
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

from . import _errors, _structs
from ._api import CONSTANTS
from ._events import Event, EventStream, event_mask
from ._handle import Core, Ref, Service, wait_in_slices
from ._library import (check, decode, encode, encode_json, encode_path, error_object, lib,
                       nanoseconds, options, out, take_json, take_text)
from ._record import Record
from ._source import Source


class InstallJob:
    """An install that runs in the background; dropping the object does not stop it."""
    def __init__(self,
                 installer: "Installer",
                 pointer: Optional[int],
                 stream: Optional[EventStream] = None) -> None:
        self._installer = installer
        self._ref = Ref(pointer, lib.mmgr_install_unref)
        self._stream = stream

    def _text(self, name: str) -> Optional[str]:
        given = out()
        check(
            lib.mmgr_install_text(self._ref.pointer, CONSTANTS["MMGR_INSTALL_TEXT_" + name], given))
        return take_text(given)

    @property
    def id(self) -> int:
        return lib.mmgr_install_id(self._ref.pointer)

    @property
    def status(self) -> str:
        """"waiting", "downloading", "running", "completed", "error", "cancelled" or "paused"."""
        number = lib.mmgr_install_status(self._ref.pointer)
        return decode(lib.mmgr_install_status_name(number)) or "unknown"

    @property
    def is_terminal(self) -> bool:
        return bool(lib.mmgr_install_is_terminal(self._ref.pointer))

    @property
    def inplace(self) -> bool:
        return bool(lib.mmgr_install_is_inplace(self._ref.pointer))

    @property
    def progress(self) -> Tuple[int, int]:
        """Bytes done and in all (0 while unknown)."""
        done, total = c_uint64(), c_uint64()
        lib.mmgr_install_progress(self._ref.pointer, byref(done), byref(total))
        return done.value, total.value

    @property
    def source(self) -> Optional[str]:
        return self._text("SOURCE")

    @property
    def local_path(self) -> Optional[str]:
        """Where the files are now."""
        return self._text("LOCAL_PATH")

    @property
    def config_in(self) -> Optional[str]:
        """The overrides as they were given, JSON."""
        return self._text("CONFIG_IN")

    @property
    def key(self) -> Optional[str]:
        """Key of the record, chosen when the job is planned."""
        return self._text("KEY")

    @property
    def record(self) -> Record:
        """The record that the job made. StateError until it has completed."""
        given = out()
        check(lib.mmgr_install_record(self._ref.pointer, given))
        return Record._from_given(given.value)

    @property
    def error(self) -> Optional[_errors.ModelManagerError]:
        """Why the job ended in "error", or why it paused itself."""
        return error_object(lib.mmgr_install_error(self._ref.pointer))

    def cancel(self) -> None:
        """Cancel; the bytes that were fetched are dropped."""
        self._installer._call(lib.mmgr_installer_cancel, self.id)

    def pause(self) -> None:
        """Pause; the bytes that were fetched are kept, also over a restart."""
        self._installer._call(lib.mmgr_installer_pause, self.id)

    def resume(self) -> None:
        self._installer._call(lib.mmgr_installer_resume, self.id)

    def wait(self, timeout: Optional[float] = None) -> "InstallJob":
        """Wait until the job has ended, in whatever way, or is paused. modelmgr.TimeoutError."""
        job = self.id

        def step(left: int) -> int:
            # A paused job may stay so for ever; waiting on would never return.
            return 0 if self.status == "paused" else lib.mmgr_installer_wait(pointer, job, left)

        with self._installer._use() as pointer:
            if not wait_in_slices(self._installer._core, timeout, step):
                raise _errors.TimeoutError(f"install {job} has not ended in time")
        return self

    def result(self, timeout: Optional[float] = None) -> Record:
        """Wait; the record, or the job's error raised."""
        self.wait(timeout)
        error = self.error
        if error is not None:
            raise error
        if self.status == "completed":
            return self.record
        if self.status == "cancelled":
            raise _errors.CancelledError(f"install {self.id} was cancelled")
        raise _errors.StateError(f"install {self.id} is {self.status}")

    def events(self, timeout: Optional[float] = None) -> Iterator[Event]:
        """This job's install events until it has ended or is paused. modelmgr.TimeoutError.

        From now on, or from the first one if it was submitted with watch=True (for one iteration).
        Events of its downloads come on Manager.events().
        """
        watched, self._stream = self._stream, None
        stream = watched or self._installer._stream()
        # Of a job that ends while it is watched, the last event is on its way at the latest.
        grace = 2.0 if watched or not self.is_terminal else 0
        total = nanoseconds(timeout)
        end = None if total < 0 else time.monotonic_ns() + total
        with stream:
            job = self.id
            while True:
                ended = self.is_terminal
                try:
                    event = stream.get(grace if ended else 0.5)
                except _errors.TimeoutError:
                    if ended or self.status == "paused":
                        return
                    if end is not None and time.monotonic_ns() >= end:
                        raise _errors.TimeoutError(f"install {job} has not ended in time") from None
                    continue
                except _errors.StateError:
                    return
                if event.job == job and event.name.startswith("install."):
                    yield event
                    if event.is_terminal or event.name == "install.paused":
                        return

    def __iter__(self) -> Iterator[Event]:
        return self.events()

    def __repr__(self) -> str:
        return f"<InstallJob {self.id} {self.status} {self.source!r}>"


class Installer(Service):
    """From a source string to a model on disk, verified and recorded (Manager.installer)."""
    def __init__(self, core: Core, getter: Any, open_stream: Any) -> None:
        super().__init__(core, getter)
        self._open_stream = open_stream

    def _stream(self) -> EventStream:
        return self._open_stream(event_mask("install"))

    @staticmethod
    def _options(source: Any,
                 *,
                 variant: Optional[str] = None,
                 revision: Optional[str] = None,
                 token: Optional[str] = None,
                 overrides: Union[None, str, dict] = None,
                 name: Optional[str] = None,
                 inplace: bool = False,
                 move: bool = False,
                 allow_unknown: bool = False,
                 priority: int = 0) -> _structs.mmgr_install_options:
        flags = 0
        for wanted, flag in ((inplace, "INPLACE"), (move, "MOVE"), (allow_unknown,
                                                                    "ALLOW_UNKNOWN")):
            flags |= CONSTANTS["MMGR_INSTALL_" + flag] if wanted else 0
        if isinstance(source, Source):
            source = str(source)
        return options(_structs.mmgr_install_options,
                       flags=flags,
                       source=encode_path(source, "source"),
                       variant=encode(variant, "variant"),
                       revision=encode(revision, "revision"),
                       token=encode(token, "token"),
                       overrides=encode_json(overrides, "overrides"),
                       name=encode(name, "name"),
                       priority=priority)

    def plan(self, source: Any, **wanted: Any) -> Dict[str, Any]:
        """What an install would do; writes nothing. Options as for submit()."""
        plan = self._get(lib.mmgr_installer_plan, byref(self._options(source, **wanted)))
        try:
            text = out()
            check(lib.mmgr_plan_to_json(plan, text))
            return take_json(text)
        finally:
            lib.mmgr_plan_free(plan)

    def submit(self, source: Any, *, watch: bool = False, **wanted: Any) -> InstallJob:
        """Start an install. watch=True collects its events for job.events() from the first one on.

        Options: variant, revision, token, overrides (record fields that win over identification),
        name, inplace, move, allow_unknown, priority. A live job for the same source is returned,
        not doubled.
        """
        prepared = self._options(source, **wanted)
        stream = self._stream() if watch else None
        try:
            return InstallJob(self,
                              self._get(lib.mmgr_installer_submit, byref(prepared)).value, stream)
        except BaseException:
            if stream:
                stream.close()
            raise

    def get(self, id: int) -> InstallJob:
        """UnknownJobError when there is no such job."""
        return InstallJob(self, self._get(lib.mmgr_installer_get, id).value)

    def jobs(self, source: Optional[str] = None) -> List[InstallJob]:
        """Jobs in the order of submission, ended ones included until pruned."""
        found = self._get(lib.mmgr_installer_list, encode(source, "source"))
        try:
            return [
                InstallJob(self, lib.mmgr_install_ref(lib.mmgr_install_list_at(found, index)))
                for index in range(lib.mmgr_install_list_count(found))
            ]
        finally:
            lib.mmgr_install_list_free(found)

    def wait_all(self, timeout: Optional[float] = None) -> None:
        """Wait until every job has ended or is paused. modelmgr.TimeoutError."""
        with self._use() as pointer:
            if not wait_in_slices(self._core, timeout,
                                  lambda left: lib.mmgr_installer_wait_all(pointer, left)):
                raise _errors.TimeoutError("installs have not ended in time")

    def prune(self) -> None:
        """Forget the jobs that have ended."""
        self._call(lib.mmgr_installer_prune)

    def register_path(self, path: Any, overrides: Union[None, str, dict] = None) -> Record:
        """Record a model where it is, without a copy."""
        return Record._from_given(
            self._get(lib.mmgr_installer_register_path, encode_path(path, "path"),
                      encode_json(overrides, "overrides")).value)

    def install_path(self, path: Any, overrides: Union[None, str, dict] = None) -> Record:
        """Copy a model into models_dir and record it. Blocks."""
        return Record._from_given(
            self._get(lib.mmgr_installer_install_path, encode_path(path, "path"),
                      encode_json(overrides, "overrides")).value)

    def remove(self, key: str, files: str = "inside") -> List[str]:
        """Remove a record; files: "inside" deletes those in models_dir, "keep" none, "force" all.

        Only files that are still the recorded ones are deleted. Returns their paths.
        """
        if files not in ("inside", "keep", "force"):
            raise _errors.ArgumentError('files: must be "inside", "keep" or "force"', field="files")
        mode = CONSTANTS["MMGR_REMOVE_" + files.upper()]
        return take_json(self._get(lib.mmgr_installer_remove, encode(key, "key"), mode))

    def sync(self) -> Dict[str, Any]:
        """Compare records and disk; changes neither."""
        return take_json(self._get(lib.mmgr_installer_sync))

    def rebuild(self) -> Dict[str, Any]:
        """Add the records of placed models that a lost store had, by their side-cars; then as sync()."""
        return take_json(self._get(lib.mmgr_installer_rebuild))

    def relocate(self, key: str, path: Any) -> Record:
        """Tell the record of a model where its files are now; moves nothing."""
        return Record._from_given(
            self._get(lib.mmgr_installer_relocate, encode(key, "key"), encode_path(path, "path"),
                      0).value)

    def relink(self, *folders: Any, dry_run: bool = False) -> Dict[str, Any]:
        """Find the models whose files were moved, below models_dir or in the given folders. Blocks."""
        wanted = options(_structs.mmgr_relink_options,
                         flags=CONSTANTS["MMGR_RELINK_DRY_RUN"] if dry_run else 0,
                         folder_count=len(folders))
        if folders:
            wanted.folders = (c_char_p * len(folders))(
                *[encode_path(folder, "folders") for folder in folders])
        return take_json(self._get(lib.mmgr_installer_relink, byref(wanted)))
