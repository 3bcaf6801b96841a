#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Exported symbols = global names of the version script = MMGR_API functions of the public headers.

    symbols.py LIB MAP HEADER...
    symbols.py --self-test        builds small libraries with planted differences
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile

import csource


def exported(library):
    """Names that the dynamic symbol table defines, without versions and version nodes."""
    lines = subprocess.run(
        ["nm", "-D", "--defined-only", library], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    names = set()
    for line in lines:
        kind, name = line.split()[-2:]
        if kind != "A":
            names.add(name.split("@")[0])
    return names


def mapped(path, faults):
    """Global names of the version script."""
    text = csource.blank(csource.read(path), keep_strings=True)
    text = re.sub(r"^\s*#[^\n]*", "", text, flags=re.M)
    names = []
    for node, body in re.findall(r"(\w[\w.]*)\s*\{(.*?)\}", text, re.S):
        scope = "global"
        for token in re.findall(r"global\s*:|local\s*:|[^\s;]+", body):
            if token.endswith(":"):
                scope = token.rstrip(": \t\n")
            elif scope == "global":
                names.append(token)
                if re.search(r"[*?\[]", token):
                    faults.append(f"{path}: node {node} exports by wildcard: {token}")
    for name in sorted({name for name in names if names.count(name) > 1}):
        faults.append(f"{path}: {name} is listed twice")
    if not re.search(r"local\s*:\s*\*\s*;", text):
        faults.append(f"{path}: no 'local: *;'")
    return set(names)


def declared(headers, faults):
    names = set()
    for header in headers:
        text = csource.read(header)
        for name, _, _, _ in csource.declarations(text):
            names.add(name)
            if not name.startswith("mmgr_") or name.startswith("mmgr__"):
                faults.append(f"{header}: {name} is public without the prefix mmgr_")
        for line in csource.data_exports(text):
            faults.append(f"{header}:{line}: MMGR_API on something that is not a function")
    return names


def check(library, map_path, headers):
    faults = []
    sets = {
        "exported by the library": exported(library),
        "in the map": mapped(map_path, faults),
        "declared in the headers": declared(headers, faults),
    }
    everything = set().union(*sets.values())
    if not everything:
        faults.append("no symbols at all: nothing was compared")
    for name in sorted(everything):
        missing = [where for where, names in sets.items() if name not in names]
        if missing:
            faults.append(f"{name}: not {' and not '.join(missing)}")
    return faults, len(everything)


def build(folder, source, map_text, header):
    paths = [os.path.join(folder, name) for name in ("x.c", "x.map", "x.h", "x.so")]
    for path, text in zip(paths, (source, map_text, header)):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    compiler = shlex.split(os.environ.get("CC", "cc"))
    subprocess.run(
        [*compiler, "-shared", "-fPIC", "-o", paths[3], paths[0],
         "-Wl,--version-script=" + paths[1]], check=True,
    )
    return check(paths[3], paths[1], [paths[2]])[0]


def self_test():
    source = "int mmgr_a(void) { return 1; }\nint mmgr_b(void) { return 2; }\n" \
             "int other(void) { return 3; }\n"
    good_map = "MMGR_0.1 {\n  global: /* mmgr_ghost; */\n    mmgr_a;\n    mmgr_b;\n" \
               "  local: *;\n};\n"
    half_header = "#define MMGR_API\n/* MMGR_API int mmgr_no(void); */\n" \
                  "MMGR_API int mmgr_a(void);\n"
    good_header = half_header + "MMGR_API int\nmmgr_b(void);\n"
    cases = [
        ("good", source, good_map, good_header, None),
        ("not declared", source, good_map, half_header, "mmgr_b"),
        ("not exported", source, good_map.replace("    mmgr_b;\n", ""), good_header, "mmgr_b"),
        ("ghost in the map", source, good_map.replace("mmgr_b;", "mmgr_b; mmgr_c;"), good_header,
         "mmgr_c"),
        ("extra export", source, good_map.replace("mmgr_b;", "mmgr_b; other;"), good_header,
         "other"),
        ("wildcard", source, good_map.replace("mmgr_b;", "mmgr_*;"), good_header, "wildcard"),
        ("data", source, good_map, good_header + "MMGR_API extern int mmgr_d;\n", "not a function"),
    ]
    wrong = 0
    for name, code, map_text, header, wanted in cases:
        with tempfile.TemporaryDirectory() as folder:
            faults = build(folder, code, map_text, header)
        text = "\n".join(faults)
        if (wanted is None and faults) or (wanted is not None and wanted not in text):
            print(f"self-test: wrong answer for '{name}': {text or 'no fault found'}")
            wrong += 1
    return 1 if wrong else 0


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    if len(arguments) < 3:
        print(__doc__)
        return 2
    faults, count = check(arguments[0], arguments[1], arguments[2:])
    print("\n".join(faults) if faults else f"{count} symbols: library, map and headers agree")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
