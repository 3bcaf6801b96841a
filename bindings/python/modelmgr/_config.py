# SPDX-License-Identifier: MIT
"""App config: where things are and how much of the machine the library may use."""
from __future__ import annotations

from ctypes import byref, c_int64
from typing import Any, Dict, Iterator, Optional

from . import _structs
from ._api import CONSTANTS
from ._handle import Ref
from ._library import check, decode, encode, encode_path, lib, options, out, take_json


class Config:
    """Configuration from setters, the environment, a YAML file and defaults, strongest first.

    Read-only once a service was opened with it. Reads nothing but the file, creates nothing on
    disk.
    """
    def __init__(self,
                 root: Any = None,
                 file: Any = None,
                 *,
                 environment: bool = True,
                 read_file: bool = True,
                 **fields: Any) -> None:
        flags = 0 if environment else CONSTANTS["MMGR_CONFIG_NO_ENVIRONMENT"]
        flags |= 0 if read_file else CONSTANTS["MMGR_CONFIG_NO_FILE"]
        wanted = options(_structs.mmgr_config_options,
                         flags=flags,
                         root=encode_path(root, "root"),
                         file=encode_path(file, "file"))
        given = out()
        check(lib.mmgr_config_new(byref(wanted), given))
        self._ref = Ref(given.value, lib.mmgr_config_unref)
        for field, value in fields.items():
            self.set(field, value)

    @classmethod
    def _from_lent(cls, pointer: int) -> "Config":
        self = cls.__new__(cls)
        self._ref = Ref(lib.mmgr_config_ref(pointer), lib.mmgr_config_unref)
        return self

    def set(self, field: str, value: Any) -> None:
        """Set a field as it would stand in the file; None returns to the weaker sources."""
        if isinstance(value, bool):
            value = "true" if value else "false"
        elif isinstance(value, int):
            value = str(value)
        check(
            lib.mmgr_config_set(self._ref.pointer, encode(field, "field"),
                                encode_path(value, field)))

    def add_token(self, prefix: str, token: Optional[str]) -> None:
        """Bind an access token to "scheme://host[:port][/path]"; None removes it."""
        check(
            lib.mmgr_config_add_token(self._ref.pointer, encode(prefix, "prefix"),
                                      encode(token, "token")))

    def get(self, field: str, default: Optional[str] = None) -> Optional[str]:
        """Value as text; the default when the field is not set. Tokens are never returned."""
        value = decode(lib.mmgr_config_get(self._ref.pointer, encode(field, "field")))
        return default if value is None else value

    def get_number(self, field: str) -> int:
        """Value of a size or number field; sizes are bytes."""
        number = c_int64()
        check(lib.mmgr_config_get_number(self._ref.pointer, encode(field, "field"), byref(number)))
        return number.value

    def origin(self, field: str) -> Optional[str]:
        """"default", "file", "environment" or "setter"; None when there is no such field."""
        return decode(lib.mmgr_config_origin(self._ref.pointer, encode(field, "field")))

    @staticmethod
    def fields() -> Iterator[str]:
        """Names of all fields."""
        index = 0
        while True:
            name = decode(lib.mmgr_config_field_name(index))
            if name is None:
                return
            yield name
            index += 1

    def to_dict(self) -> Dict[str, Any]:
        """{field: {"value", "origin"}}."""
        given = out()
        check(lib.mmgr_config_to_json(self._ref.pointer, given))
        return take_json(given)
