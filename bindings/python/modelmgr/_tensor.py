# SPDX-License-Identifier: MIT
"""Named tensor sets: what a loaded model is, seen from Python without a copy."""
from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Mapping
from typing import Any, Iterator, Optional, Tuple

from . import _errors, _structs
from ._handle import Core, Ref
from ._library import check, decode, encode, encode_path, lib, out

ORDER = "<" if sys.byteorder == "little" else ">"
# Array-interface type of each element type, and the ml_dtypes type of those that NumPy has not.
ELEMENTS = {
    "BOOL": ("|b1", None),
    "U8": ("|u1", None),
    "I8": ("|i1", None),
    "I16": ("i2", None),
    "U16": ("u2", None),
    "F16": ("f2", None),
    "BF16": ("u2", "bfloat16"),
    "I32": ("i4", None),
    "U32": ("u4", None),
    "F32": ("f4", None),
    "C64": ("c8", None),
    "F64": ("f8", None),
    "I64": ("i8", None),
    "U64": ("u8", None),
    "F8_E4M3": ("|u1", "float8_e4m3fn"),
    "F8_E5M2": ("|u1", "float8_e5m2"),
    "F8_E8M0": ("|u1", "float8_e8m0fnu"),
    "F8_E4M3FNUZ": ("|u1", "float8_e4m3fnuz"),
    "F8_E5M2FNUZ": ("|u1", "float8_e5m2fnuz"),
}


class DeviceMemory:
    """Ties tensors on a device to the lock under which they are there."""
    def __init__(self, lock: Core, device: int) -> None:
        self.lock = lock
        self.device = device

    def download(self, address: Optional[int], size: int) -> Any:
        host = (ctypes.c_ubyte * size)()
        with self.lock.use():
            check(lib.mmgr_device_download(self.device, host, address, size))
        return host


class Tensor:
    """One tensor, lent by its set; it keeps the set's memory alive.

    NumPy sees the memory itself: `numpy.asarray(tensor)` or `tensor.numpy()`, read-only, because
    the RAM cache shares it. Types that NumPy has not (BF16, F8) come as ml_dtypes types where that
    package is installed, else as uint16 or uint8; elements of 4 and 6 bits come as their packed
    bytes, flat, in uint8.
    """

    __slots__ = ("_keep", "_device", "_address", "name", "dtype", "shape", "strides", "nbytes",
                 "__weakref__")

    def __init__(self, keep: Any, pointer: Any, device: Optional[DeviceMemory]) -> None:
        found = ctypes.cast(pointer, ctypes.POINTER(_structs.mmgr_tensor)).contents
        rank = found.rank
        self._keep = keep
        self._device = device
        self._address: Optional[int] = found.data
        self.name: str = decode(found.name) or ""
        self.dtype: str = decode(lib.mmgr_dtype_name(found.dtype)) or "unknown"
        self.shape: Tuple[int, ...] = tuple(found.shape[:rank]) if rank else ()
        self.strides: Tuple[int, ...] = tuple(found.strides[:rank]) if rank else ()  # in elements
        self.nbytes: int = found.bytes

    def memoryview(self) -> memoryview:
        """The bytes, read-only and without a copy (a copy for tensors on a device)."""
        if not self.nbytes:
            return memoryview(b"")
        if self._device is not None:
            raw = self._device.download(self._address, self.nbytes)
        else:
            raw = (ctypes.c_ubyte * self.nbytes).from_address(self._address or 0)
            # The view holds raw, and raw the memory.
            raw._keep = self._keep  # type: ignore[attr-defined]
        return memoryview(raw).cast("B").toreadonly()

    def tobytes(self) -> bytes:
        return self.memoryview().tobytes()

    @property
    def __array_interface__(self) -> dict:
        kind = ELEMENTS.get(self.dtype)
        shape, strides = self.shape, None
        if kind is None:
            typestr, shape = "|u1", (self.nbytes, )
        else:
            typestr = kind[0] if kind[0][0] == "|" else ORDER + kind[0]
            size = int(typestr[2:])
            strides = tuple(step * size for step in self.strides)
        if not self.nbytes or self._device is not None:
            data: Any = self.memoryview()
            return {"version": 3, "typestr": typestr, "shape": shape, "data": data, "offset": 0}
        return {
            "version": 3,
            "typestr": typestr,
            "shape": shape,
            "strides": strides,
            "data": (self._address, True)
        }

    def numpy(self) -> Any:
        """NumPy array over the tensor's memory (a copy for tensors on a device)."""
        import numpy
        if not self.nbytes:
            typestr = self.__array_interface__["typestr"]
            array = numpy.empty(self.shape, dtype=typestr)
            array.flags.writeable = False
        else:
            array = numpy.asarray(self)
        name = ELEMENTS.get(self.dtype, (None, None))[1]
        if name is not None:
            try:
                import ml_dtypes
            except ImportError:
                return array
            element = getattr(ml_dtypes, name, None)
            if element is not None:
                array = array.view(element)
        return array

    def __repr__(self) -> str:
        return f"<Tensor {self.name!r} {self.dtype} {list(self.shape)}>"


class TensorSet(Mapping):
    """Tensors by name, in the order of their file."""
    def __init__(self, keep: Any, pointer: int, device: Optional[DeviceMemory] = None) -> None:
        self._keep = keep
        self._pointer = pointer
        self._device = device

    @classmethod
    def _share(cls, lent: int) -> "TensorSet":
        ref = Ref(lib.mmgr_tensor_set_ref(lent), lib.mmgr_tensor_set_unref)
        return cls(ref, ref.pointer)

    @contextlib.contextmanager
    def _use(self) -> Iterator[int]:
        """The set, which on a device is there only under its lock."""
        if self._device is None:
            yield self._pointer
        else:
            with self._device.lock.use():
                yield self._pointer

    def __len__(self) -> int:
        with self._use() as pointer:
            return lib.mmgr_tensor_set_count(pointer)

    def _name(self, index: int) -> str:
        with self._use() as pointer:
            found = lib.mmgr_tensor_set_at(pointer, index)
            return decode(ctypes.cast(found, ctypes.POINTER(
                _structs.mmgr_tensor)).contents.name) or ""

    def __iter__(self) -> Iterator[str]:
        return (self._name(index) for index in range(len(self)))

    def __getitem__(self, name: str) -> Tensor:
        found = out()
        try:
            with self._use() as pointer:
                check(lib.mmgr_tensor_set_find(pointer, encode(name, "name"), found))
                return Tensor(self._keep, found.value, self._device)
        except (_errors.UnknownTensorError, _errors.ArgumentError):
            raise KeyError(name) from None

    def __contains__(self, name: object) -> bool:
        try:
            self[name]  # type: ignore[index]
        except (KeyError, TypeError):
            return False
        return True

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        with self._use() as pointer:
            return lib.mmgr_tensor_set_bytes(pointer)

    @property
    def device(self) -> str:
        """Name of the device that holds the data."""
        with self._use() as pointer:
            return decode(lib.mmgr_device_name(lib.mmgr_tensor_set_device(pointer))) or ""

    def __repr__(self) -> str:
        return f"<TensorSet of {len(self)} tensors, {self.nbytes} bytes on {self.device}>"


def read_tensors(path: Any,
                 *,
                 component: Optional[str] = None,
                 variant: Optional[str] = None) -> TensorSet:
    """Load the tensors of a file, folder or index into RAM, outside of any cache."""
    given = out()
    check(
        lib.mmgr_tensor_set_read(encode_path(path, "path"), encode(component, "component"),
                                 encode(variant, "variant"), given))
    ref = Ref(given.value, lib.mmgr_tensor_set_unref)
    return TensorSet(ref, ref.pointer)
