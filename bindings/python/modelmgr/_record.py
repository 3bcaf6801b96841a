# SPDX-License-Identifier: MIT
"""Model records: immutable snapshots of what is known of a model."""
from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Dict, Iterator, Optional, Tuple

from ._api import CONSTANTS
from ._handle import Ref
from ._library import check, decode, encode_json, lib, out, take_text


@dataclass(frozen=True)
class ManifestFile:
    """One file of a model; path is relative to the model's, "" when the model is that file."""

    path: str
    size: int
    sha256: Optional[str]
    git_sha1: Optional[str]
    xxh3: Optional[str]
    owned: bool
    linked: bool


class Record(Mapping):
    """A model record: a read-only mapping of JSON field names, with the fields as attributes too.

    Fields that are not set are None. Two records are equal when all their fields are.
    """

    __slots__ = ("_ref", "_fields")

    def __init__(self, fields: Any) -> None:
        """Make a record of a dict (or JSON text); without a key it gets a fresh one."""
        given = out()
        check(lib.mmgr_record_from_json(encode_json(fields, "fields"), given))
        self._adopt(given.value)

    def _adopt(self, pointer: Optional[int]) -> None:
        self._ref = Ref(pointer, lib.mmgr_record_unref)
        text = out()
        check(lib.mmgr_record_to_json(self._ref.pointer, text))
        self._fields: Dict[str, Any] = json.loads(take_text(text) or "{}")

    @classmethod
    def _from_given(cls, pointer: Optional[int]) -> "Record":
        self = cls.__new__(cls)
        self._adopt(pointer)
        return self

    @classmethod
    def _from_lent(cls, pointer: int) -> "Record":
        return cls._from_given(lib.mmgr_record_ref(pointer))

    def __getitem__(self, field: str) -> Any:
        return _copy(self._fields[field])

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __getattr__(self, field: str) -> Any:
        if not field.startswith("_") and field in self._fields:
            return _copy(self._fields[field])
        raise AttributeError(f"a model record has no field {field!r}")

    def __eq__(self, other: object) -> bool:
        return self._fields == other._fields if isinstance(other, Record) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._fields.get("key"))

    def __dir__(self) -> list:
        return sorted(set(super().__dir__()) | set(self._fields))

    def __repr__(self) -> str:
        return (
            f"<Record {self._fields.get('key')} {self._fields.get('name')!r} "
            f"{self._fields.get('base')}/{self._fields.get('type')}/{self._fields.get('format')}>")

    @property
    def location(self) -> Optional[str]:
        """Absolute path of the model, where it is known."""
        return decode(lib.mmgr_record_location(self._ref.pointer))

    @property
    def files(self) -> Tuple[ManifestFile, ...]:
        """The manifest. Records of a search have none; get the record by key."""
        pointer = self._ref.pointer
        return tuple(
            self._file(pointer, index) for index in range(lib.mmgr_record_file_count(pointer)))

    @staticmethod
    def _file(pointer: int, index: int) -> ManifestFile:
        flags = lib.mmgr_record_file_flags(pointer, index)
        sha256, git_sha1, xxh3 = [
            decode(lib.mmgr_record_file_hash(pointer, index, algorithm))
            for algorithm in (b"sha256", b"git-sha1", b"xxh3")
        ]
        return ManifestFile(decode(lib.mmgr_record_file_path(pointer, index)) or "",
                            lib.mmgr_record_file_size(pointer, index),
                            sha256,
                            git_sha1,
                            xxh3,
                            owned=bool(flags & CONSTANTS["MMGR_FILE_OWNED"]),
                            linked=bool(flags & CONSTANTS["MMGR_FILE_LINKED"]))

    def replace(self, **changes: Any) -> "Record":
        """A new record with some fields changed (None clears)."""
        builder = out()
        check(lib.mmgr_record_builder_new(self._ref.pointer, builder))
        try:
            check(lib.mmgr_record_builder_merge(builder, encode_json(changes, "changes")))
            built = out()
            check(lib.mmgr_record_builder_build(builder, built))
        finally:
            lib.mmgr_record_builder_free(builder)
        return Record._from_given(built.value)

    def to_dict(self) -> Dict[str, Any]:
        return _copy(self._fields)


def _copy(value: Any) -> Any:
    """Lists and objects are handed out as copies, so that the record stays what it is."""
    if isinstance(value, list):
        return [_copy(item) for item in value]
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return value
