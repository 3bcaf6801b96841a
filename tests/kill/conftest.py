# SPDX-License-Identifier: MIT
"""The driver, the models and the hub of the installer's tests."""

import importlib.util
import sys
from pathlib import Path

INSTALL = Path(__file__).resolve().parent.parent / "install"
sys.path.insert(0, str(INSTALL))

_spec = importlib.util.spec_from_file_location("install_conftest", INSTALL / "conftest.py")
shared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(shared)
models, repos, shared_hub, hub = shared.models, shared.repos, shared.shared_hub, shared.hub
