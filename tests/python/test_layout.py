# SPDX-License-Identifier: MIT
"""The ctypes tables agree with C: structs by their layout, functions and constants by name."""
import ctypes
import os
import pathlib
import re
import subprocess

import pytest
from modelmgr import _api, _structs

SOURCE = pathlib.Path(os.environ["MMGR_SOURCE_ROOT"])


def layout_of_c():
    text = subprocess.run([os.environ["MMGR_LAYOUT"]], check=True, capture_output=True,
                          text=True).stdout
    found, members = {}, None
    for line in text.splitlines():
        kind, name, *numbers = line.split()
        if kind == "struct":
            members = []
            found[name] = (int(numbers[0]), members)
        else:
            members.append((name, int(numbers[0]), int(numbers[1])))
    return found


def differences(classes, in_c):
    wrong = []
    for kind in classes:
        size, members = in_c[kind.__name__]
        here = [(name, getattr(kind, name).offset, getattr(kind, name).size)
                for name, *_ in kind._fields_]
        if ctypes.sizeof(kind) != size or here != members:
            wrong.append(kind.__name__)
    return wrong


def test_structs_are_laid_out_as_in_c():
    in_c = layout_of_c()
    assert {kind.__name__ for kind in _structs.ALL} == set(in_c)
    assert differences(_structs.ALL, in_c) == []


def test_a_wrong_struct_is_noticed():
    class mmgr_load_options(ctypes.Structure):
        _fields_ = [("struct_size", ctypes.c_uint32), ("flags", ctypes.c_uint64),
                    ("submodel", ctypes.c_char_p), ("context", ctypes.c_char_p)]

    assert differences([mmgr_load_options], layout_of_c()) == ["mmgr_load_options"]


def headers():
    text = "".join(path.read_text() for path in sorted((SOURCE / "include/modelmgr").glob("*.h")))
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S)


def test_every_exported_function_has_a_prototype():
    in_map = set(
        re.findall(r"^\s+(mmgr_\w+);", (SOURCE / "lib/modelmgr.map").read_text(), flags=re.M))
    assert in_map == set(_api.PROTOTYPES)
    exported = subprocess.run(["nm", "-D", "--defined-only", os.environ["MODELMGR_LIBRARY"]],
                              check=True,
                              capture_output=True,
                              text=True).stdout
    assert {line.split()[-1].split("@")[0]
            for line in exported.splitlines() if " T " in line} == set(_api.PROTOTYPES)


def test_prototypes_have_as_many_arguments_as_the_headers_say():
    for name, (_, arguments) in _api.PROTOTYPES.items():
        declared = re.search(rf"\b{name}\(((?:[^()]|\([^()]*\))*)\);", headers()).group(1).strip()
        flat = re.sub(r"\([^()]*\)", "", declared)
        assert len(arguments) == (0 if declared == "void" else flat.count(",") + 1), name


@pytest.mark.parametrize("name, value", [
    ("MMGR_EVENT_INSTALL_COMPLETED", 23),
    ("MMGR_FIELD_REVISION", 28),
    ("MMGR_NONE", -1),
    ("MMGR_EVENTS_ALL", 0xffffffff),
    ("MMGR_DTYPE_U64", 22),
    ("MMGR_INSTALL_MOVE", 2),
])
def test_constants(name, value):
    assert _api.CONSTANTS[name] == value


def test_every_enumerator_of_the_headers_is_a_constant():
    names = set(re.findall(r"^\s+(MMGR_[A-Z0-9_]+)\s*=", headers(), flags=re.M))
    names = {
        name
        for name in names
        if not name.endswith("_FORCE_32_") and not name.startswith(("MMGR_ERR_", "MMGR_OK",
                                                                    "MMGR_DONE"))
    }
    assert names - {"MMGR_RESULT_FORCE_32_"} <= set(_api.CONSTANTS)
