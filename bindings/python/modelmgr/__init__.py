# SPDX-License-Identifier: MIT
"""Finds, downloads, identifies, records and loads machine-learning models.

    import modelmgr

    with modelmgr.Manager("models-root") as manager:
        record = manager.install_and_wait("org/name", progress=lambda event: print(event.bytes))
        with manager.load(record.key, "unet") as unet:
            weight = unet.tensors["conv_in.weight"].numpy()   # no copy

Errors are exceptions by kind (UnknownModelError, GatedError, ...), all of them ModelManagerError. The shared
library is the one of $MODELMGR_LIBRARY, else the one beside this package, else the system's.
"""
from __future__ import annotations

from . import _errors
from ._config import Config
from ._errors import *  # noqa: F401,F403  (the exceptions, one a kind)
from ._events import Event, EventStream, Part
from ._install import Installer, InstallJob
from ._library import decode as _decode, lib as _lib, check as _check, out as _out
from ._library import take_json as _take_json
from ._load import Device, Loaded, LoaderRegistry, LoadRequest, LoadService
from ._log import set_log
from ._manager import Manager
from ._probe import Checkpoint, Prober, ProbeResult, TensorInfo, hash_path, inspect, probe
from ._queue import Download, DownloadPart, DownloadQueue
from ._record import ManifestFile, Record
from ._source import Hub, Metadata, RepoFile, Source
from ._store import Records, Store
from ._tensor import Tensor, TensorSet, read_tensors

__version__ = "0.1.0"


def library_version() -> str:
    """Version of the shared library in use."""
    return _decode(_lib.mmgr_version_string()) or ""


def library_info() -> dict:
    """Version, schema, features and libraries of the shared library in use."""
    given = _out()
    _check(_lib.mmgr_version_info(given))
    return _take_json(given)


__all__ = [name for name, thing in vars(_errors).items() if name.endswith("Error")]
__all__ += [ "Checkpoint",
    "Config",
    "Device",
    "Download",
    "DownloadPart",
    "DownloadQueue",
    "Event",
    "EventStream",
    "Hub",
    "InstallJob",
    "Installer",
    "LoadRequest",
    "LoadService",
    "Loaded",
    "LoaderRegistry",
    "Manager",
    "ManifestFile",
    "Metadata",
    "Part",
    "ProbeResult",
    "Prober",
    "Record",
    "Records",
    "RepoFile",
    "Source",
    "Store",
    "Tensor",
    "TensorInfo",
    "TensorSet",
    "hash_path",
    "inspect",
    "library_info",
    "library_version",
    "probe",
    "read_tensors",
    "set_log",
     ]
