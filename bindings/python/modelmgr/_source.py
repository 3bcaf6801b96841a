# SPDX-License-Identifier: MIT
"""Source strings, and what hubs say of a repository."""
from __future__ import annotations

from ctypes import byref
from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple, Union

from . import _structs
from ._api import CONSTANTS
from ._errors import ModelManagerError
from ._handle import Ref, Service
from ._lend import failed, forget_failure, function_type, give_back, lend, lent, raise_with_cause
from ._library import (UNKNOWN_SIZE, check, constant_names, decode, encode, encode_json, lib,
                       options, out, take_json)

KINDS = {
    number: name
    for name, number in constant_names("MMGR_SOURCE_",
                                       skip=tuple(n for n in CONSTANTS
                                                  if n.startswith(("MMGR_SOURCE_PART_",
                                                                   "MMGR_SOURCE_TYPE_")))).items()
}


class Source:
    """A parsed source string: kind is "local", "url", "huggingface" or "civitai"."""

    __slots__ = ("_ref", )

    def __init__(self, text: str) -> None:
        given = out()
        check(lib.mmgr_source_parse(encode(text, "source"), given))
        self._ref = Ref(given.value, lib.mmgr_source_unref)

    @classmethod
    def _from_lent(cls, pointer: int) -> "Source":
        self = cls.__new__(cls)
        self._ref = Ref(lib.mmgr_source_ref(pointer), lib.mmgr_source_unref)
        return self

    def _part(self, name: str) -> Optional[str]:
        return decode(lib.mmgr_source_part(self._ref.pointer,
                                           CONSTANTS["MMGR_SOURCE_PART_" + name]))

    @property
    def kind(self) -> str:
        return KINDS[lib.mmgr_source_kind(self._ref.pointer)]

    @property
    def path(self) -> Optional[str]:
        return self._part("PATH")

    @property
    def url(self) -> Optional[str]:
        return self._part("URL")

    @property
    def repo(self) -> Optional[str]:
        return self._part("REPO")

    @property
    def revision(self) -> Optional[str]:
        return self._part("REVISION")

    @property
    def variant(self) -> Optional[str]:
        return self._part("VARIANT")

    @property
    def subfolder(self) -> Optional[str]:
        return self._part("SUBFOLDER")

    @property
    def endpoint(self) -> Optional[str]:
        return self._part("ENDPOINT")

    def __str__(self) -> str:
        """The canonical source string, which parses back to the same source."""
        return self._part("TEXT") or ""

    def __repr__(self) -> str:
        return f"<Source {self.kind} {self}>"

    def __eq__(self, other: object) -> bool:
        return str(self) == str(other) if isinstance(other, Source) else NotImplemented

    def __hash__(self) -> int:
        return hash(str(self))


@dataclass(frozen=True)
class RepoFile:
    """A file of a repository; size is None when the hub does not say."""

    path: str
    url: Optional[str]
    size: Optional[int]
    sha256: Optional[str]
    git_sha1: Optional[str]


class Metadata:
    """What a hub says of a repository."""

    __slots__ = ("_ref", )

    def __init__(self, json: Any) -> None:
        """From the form of to_dict(), or the hub's own answer; dict or text."""
        given = out()
        check(lib.mmgr_metadata_from_json(encode_json(json, "json"), given))
        self._ref = Ref(given.value, lib.mmgr_metadata_unref)

    @classmethod
    def _from_given(cls, pointer: Optional[int]) -> "Metadata":
        self = cls.__new__(cls)
        self._ref = Ref(pointer, lib.mmgr_metadata_unref)
        return self

    def _text(self, name: str) -> Optional[str]:
        return decode(lib.mmgr_metadata_text(self._ref.pointer, CONSTANTS["MMGR_METADATA_" + name]))

    @property
    def type(self) -> Optional[str]:
        return self._text("TYPE")

    @property
    def id(self) -> Optional[str]:
        return self._text("ID")

    @property
    def name(self) -> Optional[str]:
        return self._text("NAME")

    @property
    def author(self) -> Optional[str]:
        return self._text("AUTHOR")

    @property
    def revision(self) -> Optional[str]:
        return self._text("REVISION")

    @property
    def last_modified(self) -> Optional[str]:
        return self._text("LAST_MODIFIED")

    @property
    def page_url(self) -> Optional[str]:
        return self._text("PAGE_URL")

    @property
    def response(self) -> Optional[str]:
        """The hub's answer, verbatim."""
        return self._text("RESPONSE")

    @property
    def tags(self) -> Tuple[str, ...]:
        pointer = self._ref.pointer
        return tuple(
            decode(lib.mmgr_metadata_tag(pointer, index)) or ""
            for index in range(lib.mmgr_metadata_tag_count(pointer)))

    @property
    def files(self) -> Tuple[RepoFile, ...]:
        pointer = self._ref.pointer
        return tuple(
            self._file(pointer, index) for index in range(lib.mmgr_metadata_file_count(pointer)))

    @staticmethod
    def _file(pointer: int, index: int) -> RepoFile:
        path, url, sha256, git_sha1 = [
            decode(
                lib.mmgr_metadata_file_text(pointer, index,
                                            CONSTANTS["MMGR_METADATA_FILE_" + name]))
            for name in ("PATH", "URL", "SHA256", "GIT_SHA1")
        ]
        size = lib.mmgr_metadata_file_size(pointer, index)
        return RepoFile(path or "", url, None if size == UNKNOWN_SIZE else size, sha256, git_sha1)

    def select(self, variant: Optional[str] = None, subfolder: Optional[str] = None) -> "Metadata":
        """The same metadata with only the files that make up the model."""
        given = out()
        check(
            lib.mmgr_metadata_select(self._ref.pointer, encode(variant, "variant"),
                                     encode(subfolder, "subfolder"), given))
        return Metadata._from_given(given.value)

    def to_dict(self) -> Dict[str, Any]:
        given = out()
        check(lib.mmgr_metadata_to_json(self._ref.pointer, given))
        return take_json(given)


_ACCEPTS_FN = function_type(_structs.mmgr_fetcher_ops, "accepts")
_FETCH_FN = function_type(_structs.mmgr_fetcher_ops, "fetch")


@_ACCEPTS_FN
def _accepts(number, source):
    try:
        return 1 if lent[number][0].accepts(Source._from_lent(source)) else 0
    except BaseException as error:
        failed(error)
        return 0


@_FETCH_FN
def _fetch(number, source, token, result):
    try:
        made = lent[number][0].fetch(Source._from_lent(source), decode(token))
        if not isinstance(made, Metadata):
            made = Metadata(made)
        result[0] = lib.mmgr_metadata_ref(made._ref.pointer)
        return 0
    except BaseException as error:
        return failed(error)


class Hub(Service):
    """Access to the hubs (Manager.hub)."""
    def add_fetcher(self, name: str, fetcher: Any) -> None:
        """Add access to another site; it is asked before the built-in ones.

        fetcher has accepts(source) -> bool, without I/O, and fetch(source, token) -> Metadata, or what
        Metadata() takes.
        """
        ops = options(_structs.mmgr_fetcher_ops,
                      api_version=1,
                      name=encode(name, "name"),
                      accepts=_accepts,
                      fetch=_fetch)
        number = lend((fetcher, ops))  # ops holds the name, which may not have been copied
        try:
            self._call(lib.mmgr_hub_add_fetcher, byref(ops), number, give_back)
        except BaseException:
            lent.pop(number, None)
            raise

    def fetch(self, source: Union[str, Source], token: Optional[str] = None) -> Metadata:
        """Metadata of a repository. Blocks until the answer is there."""
        if not isinstance(source, Source):
            source = Source(source)
        forget_failure()
        try:
            return Metadata._from_given(
                self._get(lib.mmgr_hub_fetch, source._ref.pointer, encode(token, "token")).value)
        except ModelManagerError as error:
            raise_with_cause(error)
