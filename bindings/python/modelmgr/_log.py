# SPDX-License-Identifier: MIT
"""The library's log lines, for a Python function or the logging module."""
from __future__ import annotations

import atexit
import logging
from typing import Callable, Optional

from ._api import CONSTANTS, LOG_FN
from ._library import decode, lib

LEVELS = ("off", "error", "warning", "info", "debug")
LOGGING = {
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG
}
NUMBERS = {CONSTANTS["MMGR_LOG_" + name.upper()]: name for name in LEVELS}

LogFunction = Callable[[str, str, str], None]
_current: Optional[LogFunction] = None


def _to_logging(level: str, component: str, message: str) -> None:
    logging.getLogger("modelmgr." + component).log(LOGGING.get(level, logging.DEBUG), "%s", message)


# One hook for all: a thread that was already writing may still call it after a change.
@LOG_FN
def _hook(level, component, message, _user):
    function = _current
    if function is not None:
        try:
            function(NUMBERS.get(level, "debug"), decode(component) or "", decode(message) or "")
        except Exception:  # there is nobody here to whom an exception could go
            logging.getLogger("modelmgr").exception("a log function failed")


def set_log(level: str, function: Optional[LogFunction] = None) -> None:
    """Pass the library's log lines to function(level, component, message), from any thread.

    level is the least severe that is passed on: "error", "warning", "info" or "debug"; "off" ends
    it. Without a function the lines go to the loggers "modelmgr.<component>" of the logging
    module.
    """
    global _current
    if level not in LEVELS:
        raise ValueError(f"level must be one of {', '.join(LEVELS)}")
    if level == "off":
        lib.mmgr_set_log(CONSTANTS["MMGR_LOG_OFF"], LOG_FN(), None)
        _current = None
        return
    _current = function or _to_logging
    lib.mmgr_set_log(CONSTANTS["MMGR_LOG_" + level.upper()], _hook, None)


atexit.register(set_log, "off")
