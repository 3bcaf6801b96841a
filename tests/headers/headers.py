#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Compiles every public header alone and twice, as C99, C11 and C++17, with all warnings as errors.

    headers.py INCLUDE_DIR HEADER...
    headers.py --self-test

Uses gcc and clang, those that are installed; one C and one C++ compiler at the least. Answers in
TAP, one case a header.
"""

import os
import shutil
import subprocess
import sys
import tempfile

COMMON = ["-fsyntax-only", "-pedantic-errors", "-Wall", "-Wextra", "-Werror", "-Wundef", "-Wpadded"]
C_ONLY = ["-Wstrict-prototypes", "-Wmissing-prototypes", "-Wc++-compat"]
C_STANDARDS = ["c99", "c11"]
CXX_STANDARDS = ["c++17"]


def compilations():
    """(label, command) of every compiler and standard that this machine can try."""
    found = []
    for compiler in ("gcc", "clang"):
        if shutil.which(compiler):
            for standard in C_STANDARDS:
                found.append((f"{compiler} {standard}",
                              [compiler, "-x", "c", "-std=" + standard, *COMMON, *C_ONLY]))
    for compiler in ("g++", "clang++"):
        if shutil.which(compiler):
            for standard in CXX_STANDARDS:
                found.append((f"{compiler} {standard}",
                              [compiler, "-x", "c++", "-std=" + standard, *COMMON]))
    return found


def header_faults(include_dir, name, commands, folder):
    """What the compilers say to a file that includes nothing but this header, twice."""
    source = os.path.join(folder, "alone.c")
    with open(source, "w", encoding="utf-8") as file:
        # The declaration keeps a header that holds only macros from being an empty unit.
        file.write(f"#include <modelmgr/{name}>\n#include <modelmgr/{name}>\nextern int alone;\n")
    faults = []
    for label, command in commands:
        result = subprocess.run([*command, "-I", include_dir, source], capture_output=True,
                                text=True)
        if result.returncode:
            faults.append(f"{label}: {result.stderr.strip()}")
    return faults


def check(include_dir, names):
    """Name -> faults, for all headers."""
    commands = compilations()
    labels = " ".join(label for label, _ in commands)
    if "c11" not in labels or "c++17" not in labels:
        sys.exit("Bail out! a C and a C++ compiler are needed")
    with tempfile.TemporaryDirectory() as folder:
        return {name: header_faults(include_dir, name, commands, folder) for name in names}


def self_test():
    samples = {
        "good.h": ("#ifndef A\n#define A\n#include <stdint.h>\n"
                   "struct mmgr_a { uint32_t x; };\n#endif\n", True),
        "macros.h": ("#define MMGR_X 1\n", True),
        "not_alone.h": ("#ifndef B\n#define B\nuint32_t mmgr_b(void);\n#endif\n", False),
        "not_twice.h": ("struct mmgr_c { int x; };\n", False),
        "gnu.h": ("#ifndef D\n#define D\nstruct mmgr_d { int n; int x[0]; };\n#endif\n", False),
        "cxx.h": ("#ifndef E\n#define E\nint mmgr_e(int class);\n#endif\n", False),
        "padded.h": ("#ifndef F\n#define F\nstruct mmgr_f { char a; int b; };\n#endif\n", False),
        "unprototyped.h": ("#ifndef G\n#define G\nint mmgr_g();\n#endif\n", False),
    }
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "modelmgr"))
        for name, (text, _) in samples.items():
            with open(os.path.join(folder, "modelmgr", name), "w", encoding="utf-8") as file:
                file.write(text)
        for name, faults in check(folder, samples).items():
            if bool(faults) == samples[name][1]:
                print(f"self-test: wrong answer for {name}: {faults or 'no fault found'}")
                wrong += 1
    return 1 if wrong else 0


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    include_dir = arguments[0]
    names = [os.path.basename(path) for path in arguments[1:]]
    missing = {n for n in os.listdir(os.path.join(include_dir, "modelmgr")) if n.endswith(".h")}
    missing -= set(names)
    print(f"1..{len(names) + 1}")
    not_ = "not " if missing else ""
    print(f"{not_}ok 1 - all headers are installed {' '.join(sorted(missing))}")
    failed = bool(missing)
    for number, (name, faults) in enumerate(check(include_dir, names).items(), 2):
        print(f"{'not ' if faults else ''}ok {number} - {name}")
        for line in "\n".join(faults).splitlines():
            print(f"# {line}")
        failed |= bool(faults)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
