# SPDX-License-Identifier: MIT
"""The shared library: found, checked, with prototypes; and conversions for every call."""
from __future__ import annotations

import ctypes
import json
import os
from typing import Any, Optional, Type, TypeVar

from . import _errors
from ._api import CONSTANTS, PROTOTYPES

SONAME = "libmodelmgr.so.0.1"
MAJOR, MINOR = CONSTANTS["MMGR_VERSION_MAJOR"], CONSTANTS["MMGR_VERSION_MINOR"]
NO_OFFSET = (1 << 64) - 1  # MMGR_NO_OFFSET
UNKNOWN_SIZE = (1 << 64) - 1  # what the library calls UINT64_MAX where a size is not known
ERROR_NUMBERS = {kind.code: number for number, kind in _errors.BY_NUMBER.items()}

S = TypeVar("S", bound=ctypes.Structure)


def _open() -> ctypes.CDLL:
    named = os.environ.get("MODELMGR_LIBRARY")
    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), SONAME)
    if named:
        path = named
    elif os.path.exists(beside):
        path = beside
    else:
        path = SONAME
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(
            f"cannot load the modelmgr library: {error} (looked at $MODELMGR_LIBRARY, {beside} "
            f"and the system's {SONAME})",
            name="modelmgr",
            path=path) from error
    missing = []
    for name, (result, arguments) in PROTOTYPES.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            missing.append(name)
            continue
        function.restype = result
        function.argtypes = arguments
    if missing:
        raise ImportError(
            f"{path} is no libmodelmgr {MAJOR}.{MINOR}: it lacks {', '.join(missing[:3])}"
            f"{' and more' if len(missing) > 3 else ''}",
            name="modelmgr",
            path=path)
    # Before 1.0 a new minor release may change the interface, as its new soname says.
    found = library.mmgr_version()
    if found // 1000 != MAJOR * 1000 + MINOR:
        raise ImportError(
            f"{path} is libmodelmgr {library.mmgr_version_string().decode()}; this package "
            f"is for {MAJOR}.{MINOR}",
            name="modelmgr",
            path=path)
    return library


lib = _open()


def encode(text: Optional[str], what: str) -> Optional[bytes]:
    """Text for the library. A NUL would end it early and make it mean something else."""
    if text is None:
        return None
    if not isinstance(text, str):
        raise TypeError(f"{what} must be a str, not {type(text).__name__}")
    data = text.encode("utf-8", "surrogateescape")
    if b"\0" in data:
        raise _errors.ArgumentError(f"{what}: contains a NUL character", field=what)
    return data


def encode_path(path: Any, what: str) -> Optional[bytes]:
    if path is None:
        return None
    data = os.fsencode(os.fspath(path))
    if b"\0" in data:
        raise _errors.ArgumentError(f"{what}: contains a NUL character", field=what)
    return data


def encode_json(value: Any, what: str) -> Optional[bytes]:
    """A JSON argument: given as text, or as what json.dumps() takes."""
    if value is None:
        return None
    return encode(value if isinstance(value, str) else json.dumps(value), what)


def decode(data: Optional[bytes]) -> Optional[str]:
    return None if data is None else data.decode("utf-8", "surrogateescape")


def lent_text(address: Optional[int]) -> Optional[str]:
    return decode(ctypes.cast(address, ctypes.c_char_p).value) if address else None


def take_text(pointer: ctypes.c_void_p) -> Optional[str]:
    """Content of a text that the library gave; frees it."""
    if not pointer.value:
        return None
    try:
        return decode(ctypes.cast(pointer, ctypes.c_char_p).value)
    finally:
        lib.mmgr_string_free(pointer)


def take_json(pointer: ctypes.c_void_p) -> Any:
    text = take_text(pointer)
    return None if text is None else json.loads(text)


def out() -> ctypes.c_void_p:
    """Room for an output handle or text."""
    return ctypes.c_void_p()


def options(kind: Type[S], **members: Any) -> S:
    made = kind(**members)
    made.struct_size = ctypes.sizeof(kind)
    for name, value in members.items():
        held = getattr(made, name)
        # ctypes cuts numbers off: -1 would become the largest there is.
        if isinstance(value, int) and isinstance(held, int) and held != value:
            raise _errors.ArgumentError(f"{name}: {value} is out of range", field=name)
    return made


def flags(prefix: str, **wanted: bool) -> int:
    """The sum of the flags of a group, such as MMGR_STORE, that are wanted by name."""
    return sum(CONSTANTS[f"{prefix}_{name.upper()}"] for name, on in wanted.items() if on)


def nanoseconds(timeout: Optional[float]) -> int:
    """None waits for ever, 0 polls."""
    if timeout is None:
        return -1
    if not timeout >= 0:
        raise _errors.ArgumentError("timeout: must be None, 0 or positive", field="timeout")
    return min(int(timeout * 1e9), (1 << 63) - 1)


def make_error(code: int, error: Optional[int]) -> _errors.ModelManagerError:
    """Exception for a code, with the details of a lent mmgr_error where it has that code."""
    kind = _errors.BY_NUMBER.get(code, _errors.ModelManagerError)
    if not error or lib.mmgr_error_code(error) != code:
        return kind(decode(lib.mmgr_result_text(code)) or "")
    offset = lib.mmgr_error_offset(error)
    return kind(decode(lib.mmgr_error_message(error)) or "",
                field=decode(lib.mmgr_error_field(error)),
                subject=decode(lib.mmgr_error_subject(error)),
                os_errno=lib.mmgr_error_os_errno(error),
                http_status=lib.mmgr_error_http_status(error),
                offset=None if offset == NO_OFFSET else offset)


def error_object(error: Optional[int]) -> Optional[_errors.ModelManagerError]:
    """Exception for a job's or event's own error, or None."""
    return make_error(lib.mmgr_error_code(error), error) if error else None


def check(result: int) -> None:
    if result < 0:
        raise make_error(result, lib.mmgr_last_error())


def constant_names(prefix: str, skip: tuple = ()) -> dict:
    """Constants of an enum: {"name in lower case": number}."""
    return {
        name[len(prefix):].lower(): number
        for name, number in CONSTANTS.items() if name.startswith(prefix) and name not in skip
    }
