# SPDX-License-Identifier: MIT
"""The record store."""
from __future__ import annotations

from ctypes import byref, c_char_p, c_int, c_uint64, c_void_p
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Union

from . import _structs
from ._api import CONSTANTS
from ._config import Config
from ._handle import Core, Service
from ._library import (check, decode, encode, encode_json, encode_path, flags, lib, options, out,
                       take_json, take_text)
from ._record import Record

_PAGE = 256  # records in memory at once while all are visited


class Records(List[Record]):
    """Records found by a search.

    total counts those that the limit cut off, too (0 when not counted); cursor says where the next
    page starts, and is None after the last.
    """

    total: int = 0
    cursor: Optional[str] = None


class Store(Service):
    """Model records in a SQLite or YAML file. Safe from any thread; shared between processes."""
    def __init__(self,
                 path: Any = None,
                 config: Optional[Config] = None,
                 *,
                 read_only: bool = False,
                 lenient: bool = False) -> None:
        """Open a store on its own; a manager has one already (Manager.store).

        lenient takes fields and values of enumerations that this release does not know; without it
        they are refused, but kept where they are.
        """
        wanted = options(_structs.mmgr_store_options,
                         path=encode_path(path, "path"),
                         flags=flags("MMGR_STORE", read_only=read_only, lenient=lenient),
                         config=config._ref.pointer if config else None)
        given = out()
        check(lib.mmgr_store_open(byref(wanted), given))
        self._config = config
        super().__init__(Core(given.value, lib.mmgr_store_close, "store"))
        self._owned = True

    @classmethod
    def _of(cls, core: Core, getter: Any) -> "Store":
        self = cls.__new__(cls)
        Service.__init__(self, core, getter)
        self._owned = False
        return self

    def close(self) -> None:
        """Close a store that was opened on its own; that of a manager is closed with it."""
        if self._owned:
            self._core.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    @property
    def version(self) -> str:
        """Version of the schema."""
        with self._use() as pointer:
            return decode(lib.mmgr_store_version(pointer)) or ""

    def get(self, key: str) -> Record:
        """The record of a key, with its manifest. UnknownModelError when there is none."""
        return Record._from_given(self._get(lib.mmgr_store_get, encode(key, "key")).value)

    __getitem__ = get

    def get_by_name(self,
                    name: str,
                    base: Optional[str] = None,
                    type: Optional[str] = None) -> Record:
        """The one record of that name. UnknownModelError, AmbiguousModelError."""
        return Record._from_given(
            self._get(lib.mmgr_store_get_by_name, encode(name, "name"), encode(base, "base"),
                      encode(type, "type")).value)

    def resolve(self, record: Record, field: str = "path") -> Optional[str]:
        """Absolute form of a record's "path", "vae" or "config_path"; None when it has none."""
        number = CONSTANTS.get("MMGR_FIELD_" + field.upper(), 0)
        return take_text(self._get(lib.mmgr_store_resolve, record._ref.pointer, number))

    def exists(self, key: str) -> bool:
        found = c_int()
        self._call(lib.mmgr_store_exists, encode(key, "key"), byref(found))
        return bool(found.value)

    __contains__ = exists

    def add(self, record: Union[Record, dict]) -> Record:
        """Add a record; returns it as stored. DuplicateModelError when key or path is taken."""
        if not isinstance(record, Record):
            record = Record(record)
        return Record._from_given(self._get(lib.mmgr_store_add, record._ref.pointer).value)

    def add_all(self, records: Iterable[Union[Record, dict]]) -> None:
        """Add many records in one transaction: all of them or none."""
        made = [record if isinstance(record, Record) else Record(record) for record in records]
        pointers = (c_void_p * len(made))(*[record._ref.pointer for record in made])
        self._call(lib.mmgr_store_add_many, pointers, len(made))

    def changes(self) -> int:
        """A number that grows when another process or handle has changed records in between."""
        number = c_uint64()
        self._call(lib.mmgr_store_changes, byref(number))
        return number.value

    def update(self, key: str, changes: Optional[dict] = None, **fields: Any) -> Record:
        """Change some fields; None clears one. Returns the record as stored."""
        patch = encode_json({**(changes or {}), **fields}, "changes")
        return Record._from_given(self._get(lib.mmgr_store_update, encode(key, "key"), patch).value)

    def delete(self, key: str) -> None:
        """Delete a record; files are not touched (Installer.remove() does that)."""
        self._call(lib.mmgr_store_delete, encode(key, "key"))

    def import_from(self,
                    kind: str,
                    path: Any,
                    *,
                    models_dir: Any = None,
                    dry_run: bool = False) -> Dict[str, Any]:
        """Record the models of another tool: kind is "invokeai" (its database) or "yaml" (models.yaml).

        Returns the report: "added" (keys), "names", "skipped" (with a reason each), "missing" and so on.
        The source is only read, and models that cannot be taken over stop no others.
        """
        kinds = {"invokeai": "MMGR_IMPORT_INVOKEAI", "yaml": "MMGR_IMPORT_MODELS_YAML"}
        if kind not in kinds:
            raise ValueError(f'kind must be "invokeai" or "yaml", not {kind!r}')
        wanted = options(_structs.mmgr_import_options,
                         path=encode_path(path, "path"),
                         models_dir=encode_path(models_dir, "models_dir"),
                         flags=CONSTANTS["MMGR_IMPORT_DRY_RUN"] if dry_run else 0)
        wanted.kind = CONSTANTS[kinds[kind]]
        return take_json(self._get(lib.mmgr_store_import, byref(wanted)))

    def search(self,
               *,
               name: Optional[str] = None,
               type: Optional[str] = None,
               format: Optional[str] = None,
               base: Optional[str] = None,
               path: Any = None,
               hash: Optional[str] = None,
               source: Optional[str] = None,
               tags: Sequence[str] = (),
               filter: Optional[str] = None,
               text: Optional[str] = None,
               sort: Optional[str] = None,
               limit: int = 0,
               offset: int = 0,
               cursor: Optional[str] = None,
               count: bool = True) -> Records:
        """Records for which all given conditions hold; all records without conditions.

        filter is an expression such as "file_size > 2GiB and tags = anime" (docs/filters.md), text
        what a person types to find models. cursor is that of the page before; count=False saves
        counting what the limit cuts off.
        """
        if isinstance(tags, str):
            raise TypeError("tags must be a sequence of str")
        wanted = options(_structs.mmgr_search_options,
                         tag_count=len(tags),
                         name=encode(name, "name"),
                         type=encode(type, "type"),
                         format=encode(format, "format"),
                         base=encode(base, "base"),
                         path=encode_path(path, "path"),
                         hash=encode(hash, "hash"),
                         source=encode(source, "source"),
                         filter=encode(filter, "filter"),
                         text=encode(text, "text"),
                         sort=encode(sort, "sort"),
                         cursor=encode(cursor, "cursor"),
                         limit=limit,
                         offset=offset,
                         flags=flags("MMGR_SEARCH", no_total=not count))
        if tags:
            wanted.tags = (c_char_p * len(tags))(*[encode(tag, "tags") for tag in tags])
        found = self._get(lib.mmgr_store_search, byref(wanted))
        try:
            records = Records(
                Record._from_lent(lib.mmgr_record_list_at(found, index))
                for index in range(lib.mmgr_record_list_count(found)))
            records.total = lib.mmgr_record_list_total(found)
            records.cursor = decode(lib.mmgr_record_list_cursor(found))
            return records
        finally:
            lib.mmgr_record_list_free(found)

    def __iter__(self) -> Iterator[Record]:
        """All records, page by page."""
        page = self.search(limit=_PAGE, count=False)
        yield from page
        while page.cursor is not None:
            page = self.search(limit=_PAGE, count=False, cursor=page.cursor)
            yield from page

    def __len__(self) -> int:
        return self.search(limit=1).total

    def __bool__(self) -> bool:
        return True
