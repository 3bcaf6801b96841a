# SPDX-License-Identifier: MIT
"""What Python lends to the library: objects by number, and the exceptions of functions it calls."""
from __future__ import annotations

import itertools
import threading
from typing import Any, Dict, NoReturn, Optional

from . import _errors
from ._api import USER_FREE_FN
from ._library import ERROR_NUMBERS

lent: Dict[int, Any] = {}
_numbers = itertools.count(1)
_failure = threading.local()


def lend(thing: Any) -> int:
    """Keep an object until give_back is called with its number."""
    number = next(_numbers)
    lent[number] = thing
    return number


# Functions for the library are made once: one that is running must not be freed.
@USER_FREE_FN
def give_back(number):
    lent.pop(number, None)


def function_type(struct: Any, member: str) -> Any:
    """ctypes type of a function pointer in a struct."""
    return dict(struct._fields_)[member]


def failed(error: BaseException) -> int:
    """Keep an exception of a called function for whoever called the library; the code for it."""
    _failure.exception = error
    if isinstance(error, _errors.ModelManagerError):
        return ERROR_NUMBERS.get(error.code, ERROR_NUMBERS["plugin"])
    return ERROR_NUMBERS["plugin"]


def forget_failure() -> None:
    _failure.exception = None


def raise_with_cause(error: _errors.ModelManagerError) -> NoReturn:
    """Raise an error of the library, with the exception of a called function as its cause."""
    cause: Optional[BaseException] = getattr(_failure, "exception", None)
    _failure.exception = None
    if cause is not None and not isinstance(cause, Exception):
        raise cause  # such as KeyboardInterrupt
    if cause is None:
        raise error
    raise error from cause
