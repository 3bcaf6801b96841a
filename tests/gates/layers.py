#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Holds the layer table: an include in lib/ may only point down, and never sideways within a row.

    layers.py [TREE]      checks TREE (default: this one)
    layers.py --self-test plants one fault of each kind and must find them all
"""

import os
import re
import sys
import tempfile

import csource

ROWS = [
    ["base"],
    ["format"],
    ["store", "hub", "transfer", "probe", "device"],
    ["install", "load"],
    ["manager"],
]
RANK = {folder: rank for rank, row in enumerate(ROWS) for folder in row}
# The generators: no C that is compiled into the library.
NO_LAYER = {"gen"}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+(["<])([^">]+)[">]', re.M)


def includes(path):
    text = csource.blank(csource.read(path), keep_strings=True)
    for match in INCLUDE.finditer(text):
        yield csource.line_of(text, match.start()), match.group(1), match.group(2)


def check_library_file(tree, path, faults):
    name = os.path.relpath(path, tree)
    parts = os.path.relpath(path, os.path.join(tree, "lib")).split(os.sep)
    folder = parts[0]
    if len(parts) == 1 or folder in NO_LAYER:
        return
    if folder not in RANK:
        faults.append(f"{name}: folder lib/{folder} has no row in the layer table")
        return
    for line, quote, target in includes(path):
        where = f"{name}:{line}"
        if ".." in target.split("/"):
            faults.append(f'{where}: "{target}" climbs out of its folder')
            continue
        if target.startswith("modelmgr/"):
            continue
        other = target.split("/")[0] if "/" in target else folder
        if quote == "<" and other not in RANK:
            continue
        if quote == '"' and "/" in target and other not in RANK:
            faults.append(f'{where}: "{target}" is in no layer')
        elif other != folder and RANK.get(other, 0) > RANK[folder]:
            faults.append(f"{where}: {folder} includes {target}, which lies above it")
        elif other != folder and RANK.get(other, -1) == RANK[folder]:
            faults.append(f"{where}: {folder} includes {target}, which lies in its own row")


def check_public_file(tree, path, faults):
    """Public headers and examples see nothing of lib/."""
    name = os.path.relpath(path, tree)
    for line, _, target in includes(path):
        inside = [folder for folder in RANK if target.startswith(folder + "/")]
        if inside or ".." in target.split("/"):
            faults.append(f"{name}:{line}: includes {target}, which is not public")


def check(tree):
    faults = []
    for path in csource.files_below(os.path.join(tree, "lib"), ".c", ".h"):
        check_library_file(tree, path, faults)
    for top in ("include", "examples"):
        for path in csource.files_below(os.path.join(tree, top), ".c", ".h"):
            check_public_file(tree, path, faults)
    return faults


def self_test():
    samples = {
        "lib/base/ok.c": '#include <stdio.h>\n#include "modelmgr/types.h"\n#include "base/str.h"\n',
        "lib/store/ok.c": '#include "base/str.h"\n#include "format/view.h"\n#include "local.h"\n'
                          '/* #include "manager/manager.h" */\n// #include "install/x.h"\n',
        "lib/base/up.c": '#include "format/view.h"\n',
        "lib/store/side.c": '#  include "hub/hub.h"\n',
        "lib/load/side.c": '#include <install/plan.h>\n',
        "lib/probe/up.h": '#include "manager/manager.h"\n',
        "lib/device/climb.c": '#include "../base/str.h"\n',
        "lib/extra/new.c": "int x;\n",
        "lib/hub/where.c": '#include "nowhere/x.h"\n',
        "include/modelmgr/leak.h": '#include "base/alloc.h"\n',
        "examples/leak.c": '#include "store/store.h"\n',
    }
    expected = {name for name in samples if not name.endswith("ok.c")}
    with tempfile.TemporaryDirectory() as tree:
        for name, text in samples.items():
            path = os.path.join(tree, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        found = {fault.split(":")[0] for fault in check(tree)}
    return expected ^ found


def main(arguments):
    if arguments == ["--self-test"]:
        wrong = self_test()
        for name in sorted(wrong):
            print(f"self-test: wrong answer for {name}")
        return 1 if wrong else 0
    faults = check(arguments[0] if arguments else csource.root())
    print("\n".join(faults) if faults else "every include points down")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
