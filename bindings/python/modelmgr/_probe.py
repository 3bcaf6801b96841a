# SPDX-License-Identifier: MIT
"""Looking at model files without loading them: checkpoints, identification, hashes."""
from __future__ import annotations

from collections.abc import Mapping
from ctypes import byref, c_uint64
from dataclasses import dataclass
from typing import Any, Dict, Iterator, Optional, Tuple, Union

from . import _errors, _structs
from ._api import CONSTANTS
from ._handle import Core, Ref, Service
from ._library import (check, constant_names, decode, encode, encode_json, encode_path, lent_text,
                       lib, options, out, take_json, take_text)

FIELDS = constant_names("MMGR_FIELD_")


@dataclass(frozen=True)
class TensorInfo:
    """What a header says of a tensor: strides in elements; offset and bytes within its file."""

    name: str
    dtype: str
    shape: Tuple[int, ...]
    strides: Tuple[int, ...]
    offset: int
    bytes: int
    file: str


def contiguous_strides(shape: Tuple[int, ...]) -> Tuple[int, ...]:
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


class TensorInfos(Mapping):
    """The tensors of a checkpoint by name, in the order of their file."""
    def __init__(self, ref: Ref) -> None:
        self._ref = ref

    def __len__(self) -> int:
        return lib.mmgr_checkpoint_tensor_count(self._ref.pointer)

    def __iter__(self) -> Iterator[str]:
        pointer = self._ref.pointer
        for index in range(len(self)):
            yield decode(lib.mmgr_checkpoint_tensor_name(pointer, index)) or ""

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        try:
            self[name]
        except KeyError:
            return False
        return True

    def __getitem__(self, name: str) -> TensorInfo:
        index = c_uint64()
        try:
            check(lib.mmgr_checkpoint_find(self._ref.pointer, encode(name, "name"), byref(index)))
        except (_errors.UnknownTensorError, _errors.ArgumentError):
            raise KeyError(name) from None
        return self._at(index.value)

    def _at(self, index: int) -> TensorInfo:
        pointer = self._ref.pointer
        rank = lib.mmgr_checkpoint_tensor_rank(pointer, index)
        shape = lib.mmgr_checkpoint_tensor_shape(pointer, index)
        strides = lib.mmgr_checkpoint_tensor_strides(pointer, index)
        sizes = tuple(shape[:rank]) if rank else ()
        file = lib.mmgr_checkpoint_tensor_file(pointer, index)
        return TensorInfo(
            name=decode(lib.mmgr_checkpoint_tensor_name(pointer, index)) or "",
            dtype=decode(lib.mmgr_dtype_name(lib.mmgr_checkpoint_tensor_dtype(pointer, index)))
            or "",
            shape=sizes,
            strides=tuple(strides[:rank]) if strides else contiguous_strides(sizes),
            offset=lib.mmgr_checkpoint_tensor_offset(pointer, index),
            bytes=lib.mmgr_checkpoint_tensor_bytes(pointer, index),
            file=decode(lib.mmgr_checkpoint_file_path(pointer, file)) or "")


class Checkpoint:
    """A model file, folder or sharded index, read from headers alone; nothing in it is executed."""
    def __init__(self,
                 path: Any,
                 *,
                 component: Optional[str] = None,
                 variant: Optional[str] = None) -> None:
        wanted = options(_structs.mmgr_checkpoint_options,
                         component=encode(component, "component"),
                         variant=encode(variant, "variant"))
        given = out()
        check(lib.mmgr_checkpoint_open(encode_path(path, "path"), byref(wanted), given))
        self._held: Optional[Ref] = Ref(given.value, lib.mmgr_checkpoint_unref)

    @property
    def _ref(self) -> Ref:
        if self._held is None:
            raise _errors.StateError("the checkpoint is closed")
        return self._held

    def close(self) -> None:
        self._held = None

    def __enter__(self) -> "Checkpoint":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    @property
    def format(self) -> str:
        return decode(lib.mmgr_checkpoint_format(self._ref.pointer)) or ""

    @property
    def bytes_read(self) -> int:
        """Bytes read from disk to open it."""
        return lib.mmgr_checkpoint_bytes_read(self._ref.pointer)

    @property
    def files(self) -> Tuple[str, ...]:
        pointer = self._ref.pointer
        return tuple(
            decode(lib.mmgr_checkpoint_file_path(pointer, index)) or ""
            for index in range(lib.mmgr_checkpoint_file_count(pointer)))

    @property
    def metadata(self) -> Dict[str, str]:
        pointer, found = self._ref.pointer, {}
        for index in range(lib.mmgr_checkpoint_metadata_count(pointer)):
            key, value = out(), out()
            check(lib.mmgr_checkpoint_metadata_at(pointer, index, key, value))
            found[lent_text(key.value) or ""] = lent_text(value.value) or ""
        return found

    @property
    def tensors(self) -> TensorInfos:
        return TensorInfos(self._ref)


def inspect(path: Any, **wanted: Any) -> Checkpoint:
    """Open a model's headers: tensors and metadata. Options as for Checkpoint."""
    return Checkpoint(path, **wanted)


class ProbeResult(Mapping):
    """What a model is: a read-only mapping of the identified fields, with the evidence."""

    __slots__ = ("_ref", "_fields")

    def __init__(self, pointer: Optional[int]) -> None:
        self._ref = Ref(pointer, lib.mmgr_probe_result_unref)
        self._fields = self.to_dict()

    def __getitem__(self, field: str) -> Any:
        return self._fields[field]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __getattr__(self, field: str) -> Any:
        if field in FIELDS:
            return decode(lib.mmgr_probe_result_text(self._ref.pointer, FIELDS[field]))
        raise AttributeError(f"a probe result has no field {field!r}")

    @property
    def rule(self) -> str:
        """Name of the rule that won; "unknown" when none did."""
        return decode(lib.mmgr_probe_result_rule(self._ref.pointer)) or ""

    @property
    def evidence(self) -> Tuple[str, ...]:
        pointer = self._ref.pointer
        return tuple(
            decode(lib.mmgr_probe_result_evidence(pointer, index)) or ""
            for index in range(lib.mmgr_probe_result_evidence_count(pointer)))

    @property
    def bytes_read(self) -> int:
        return lib.mmgr_probe_result_bytes_read(self._ref.pointer)

    def to_dict(self) -> Dict[str, Any]:
        given = out()
        check(lib.mmgr_probe_result_to_json(self._ref.pointer, given))
        return take_json(given)

    def __repr__(self) -> str:
        return f"<ProbeResult {self.base}/{self.type}/{self.format} by rule {self.rule}>"


class Prober(Service):
    """Identification by rules that are data; a host may add its own."""
    def __init__(self, rules_folder: Any = None) -> None:
        wanted = options(_structs.mmgr_prober_options,
                         rules_folder=encode_path(rules_folder, "rules_folder"))
        given = out()
        check(lib.mmgr_prober_new(byref(wanted), given))
        super().__init__(Core(given.value, lib.mmgr_prober_unref, "prober"))

    @classmethod
    def _of(cls, core: Core, getter: Any) -> "Prober":
        self = cls.__new__(cls)
        Service.__init__(self, core, getter)
        return self

    def add_rules(self, name: str, text: str) -> None:
        """Add the rules of a text in rule-file form, before anything was identified."""
        self._call(lib.mmgr_prober_add_rules, encode(name, "name"), encode(text, "text"))

    def probe(self,
              path: Any,
              *,
              overrides: Union[None, str, dict] = None,
              allow_unknown: bool = False) -> ProbeResult:
        """Identify a file or folder from headers and configs. UnidentifiedError, ..."""
        wanted = options(_structs.mmgr_probe_options,
                         overrides=encode_json(overrides, "overrides"),
                         flags=CONSTANTS["MMGR_PROBE_ALLOW_UNKNOWN"] if allow_unknown else 0)
        return ProbeResult(
            self._get(lib.mmgr_probe_path, encode_path(path, "path"), byref(wanted)).value)


def probe(path: Any, **wanted: Any) -> ProbeResult:
    """Identify a file or folder with the built-in rules. Options as for Prober.probe()."""
    return Prober().probe(path, **wanted)


def hash_path(path: Any, algorithm: Optional[str] = None) -> str:
    """"algorithm:hex" of a file or folder; "sampled" (the default), "xxh3" or "sha256"."""
    given = out()
    check(lib.mmgr_hash_path(encode_path(path, "path"), encode(algorithm, "algorithm"), given))
    return take_text(given) or ""
