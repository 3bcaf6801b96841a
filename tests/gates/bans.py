#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""House rules that a machine can hold: banned calls in lib/, white space, SPDX lines, lengths.

    bans.py [TREE]        checks TREE (default: this one)
    bans.py --self-test   plants one fault of each kind and must find them all

tests/gates/exemptions.txt holds the exceptions, one a line: RULE PATH REASON. An exemption that
is no longer needed is a fault as well.
"""

import os
import re
import sys
import tempfile

import csource

# Rule name -> (functions, the files that may call them, what to use instead).
CALLS = {
    "alloc": (
        "malloc calloc realloc reallocarray free strdup strndup asprintf vasprintf aligned_alloc "
        "posix_memalign memalign alloca",
        ("lib/base/alloc.c",), "base/alloc.h"),
    "text": (
        "sprintf vsprintf strcpy strcat strncat stpcpy gets atoi atol atoll atof strtok",
        (), "the bounded text functions of base/"),
    "print": (
        "printf vprintf fprintf vfprintf dprintf puts fputs putchar fputc perror",
        (), "the log door; the library never prints"),
    "process": (
        "exit _exit _Exit quick_exit abort system popen fork vfork execv execve execvp execl "
        "execlp posix_spawn posix_spawnp",
        (), "an error code; the library never ends or starts a process"),
    "global": (
        "setlocale chdir fchdir umask signal sigaction sigprocmask setenv putenv unsetenv srand",
        (), "nothing: process-wide state belongs to the host"),
    "io": (
        "fopen fopen64 freopen fdopen creat rename renameat renameat2 unlink unlinkat remove rmdir "
        "fsync fdatasync syncfs mkdir mkdirat mkstemp mkostemp mkdtemp tmpfile link linkat symlink "
        "symlinkat truncate ftruncate fallocate posix_fallocate write writev pwrite pwritev "
        "copy_file_range sendfile",
        ("lib/base/io.c",), "base/io.h"),
}
OPEN_FLAGS = re.compile(r"\bO_(CREAT|WRONLY|RDWR|TRUNC|APPEND|TMPFILE)\b")
TEXT_FILES = (".c", ".h", ".inc", ".py", ".sh", ".build", ".map", ".yaml", ".yml", ".in", ".wrap",
              ".txt")
SPDX_FILES = (".c", ".h", ".inc", ".py", ".sh", ".build", ".map", ".wrap")
SPDX_ROOTS = ("lib", "include", "examples", "tests", "bindings", "subprojects", ".ci")
FUNCTION_NOTE, FUNCTION_LIMIT = 80, 120
FILE_LIMIT = 700
COLUMN_NOTE, COLUMN_LIMIT = 100, 120


class Report:
    """Collects faults, notes and the exemptions that were used."""

    def __init__(self, exemptions):
        self.faults, self.notes = [], []
        self.exemptions = exemptions
        self.used = set()

    def fault(self, rule, name, line, text):
        if (rule, name) in self.exemptions:
            self.used.add((rule, name))
            return
        self.faults.append(f"{name}:{line}: {text} [{rule}]")


def read_exemptions(tree):
    path = os.path.join(tree, "tests", "gates", "exemptions.txt")
    found = {}
    if os.path.exists(path):
        for number, line in enumerate(csource.read(path).splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            words = line.split(None, 2)
            if len(words) < 3:
                raise SystemExit(f"{path}:{number}: an exemption is RULE PATH REASON")
            found[words[0], words[1]] = words[2]
    return found


def check_calls(report, name, text):
    code = csource.blank(text)
    for rule, (functions, doors, instead) in CALLS.items():
        if name in doors:
            continue
        # A member (ops->free, ops.free) or a pointer ((*free)(...)) is not the C library's.
        pattern = r"(?<![\w.])(?<!->)(" + "|".join(functions.split()) + r")\s*\("
        for match in re.finditer(pattern, code):
            report.fault(rule, name, csource.line_of(code, match.start()),
                         f"{match.group(1)}(): use {instead}")
    if name not in CALLS["io"][1]:
        for match in re.finditer(r"(?<![\w.])(?<!->)(open|openat|open64|openat2)\s*\(", code):
            opening = match.end() - 1
            if OPEN_FLAGS.search(code[opening : csource.closing(code, opening)]):
                report.fault("io", name, csource.line_of(code, match.start()),
                             f"{match.group(1)}() for writing: use {CALLS['io'][2]}")


def check_lengths(report, name, text):
    if "generated" in "\n".join(text.splitlines()[:6]).lower():
        return
    lines = text.count("\n")
    if lines > FILE_LIMIT:
        report.fault("file-length", name, 1, f"{lines} lines, {FILE_LIMIT} are allowed")
    for function, line, length in csource.functions(text):
        if length > FUNCTION_LIMIT:
            report.fault("function-length", name, line,
                         f"{function}() has {length} lines, {FUNCTION_LIMIT} are allowed")
        elif length > FUNCTION_NOTE:
            report.notes.append(f"{name}:{line}: {function}() has {length} lines, aim for "
                                f"{FUNCTION_NOTE}")


def check_text(report, name, data):
    if b"\r" in data:
        report.fault("carriage-return", name, data[: data.index(b"\r")].count(b"\n") + 1,
                     "carriage return")
    if data and not data.endswith(b"\n"):
        report.fault("final-newline", name, data.count(b"\n") + 1, "no newline at the end")
    wide = 0
    for number, line in enumerate(data.decode("utf-8").split("\n"), 1):
        if line != line.rstrip():
            report.fault("trailing-space", name, number, "space at the end of the line")
        if "\t" in line:
            report.fault("tab", name, number, "tab")
        if len(line) > COLUMN_LIMIT and name.endswith((".c", ".h", ".py")):
            report.fault("columns", name, number,
                         f"{len(line)} columns, {COLUMN_NOTE} are meant, {COLUMN_LIMIT} allowed")
        wide += COLUMN_NOTE < len(line) <= COLUMN_LIMIT
    if wide and name.endswith((".c", ".h", ".py")):
        report.notes.append(f"{name}: {wide} line(s) over {COLUMN_NOTE} columns")


def wants_spdx(name):
    top = name.split("/")[0]
    if top in SPDX_ROOTS and name.endswith(SPDX_FILES):
        return True
    return name in ("meson.build", "meson_options.txt") or name.startswith(".ci/")


def tree_files(tree):
    for path in csource.files_below(tree, *TEXT_FILES):
        name = os.path.relpath(path, tree).replace(os.sep, "/")
        unpacked = name.startswith("subprojects/") and name.count("/") > 1 \
            and not name.startswith("subprojects/packagefiles/")
        if not unpacked and not name.startswith("tests/fixtures/"):
            yield name, path
    ci = os.path.join(tree, ".ci")
    for name in sorted(os.listdir(ci)) if os.path.isdir(ci) else []:
        yield ".ci/" + name, os.path.join(ci, name)


def check(tree):
    report = Report(read_exemptions(tree))
    for name, path in tree_files(tree):
        with open(path, "rb") as file:
            data = file.read()
        check_text(report, name, data)
        text = data.decode("utf-8")
        top = "\n".join(text.split("\n")[:3])
        if wants_spdx(name) and "SPDX-License-Identifier: MIT" not in top:
            report.fault("spdx", name, 1, "no SPDX line at the top")
        if name.endswith((".c", ".h")):
            if name.startswith("lib/"):
                check_calls(report, name, text)
            if name.startswith(("lib/", "include/", "examples/")):
                check_lengths(report, name, text)
    for rule, name in sorted(set(report.exemptions) - report.used):
        report.faults.append(f"tests/gates/exemptions.txt: '{rule} {name}' is not needed any more")
    return report


SPDX = "/* SPDX-License-Identifier: MIT */\n"


def self_test_samples():
    """File -> (text, the rule it must break or None)."""
    long_body = "    x();\n"
    samples = {
        "lib/base/alloc.c": (SPDX + "void *a(void) { return malloc(4); }\n", None),
        "lib/base/io.c": (SPDX + "int a(void) { return open(p, O_CREAT); }\n", None),
        "lib/store/fine.c": (
            SPDX + "// free(x);\n/* printf(\"a\") */\nconst char *t = \"exit(1) \\\" abort()\";\n"
            "void a(void)\n{\n    ops->free(x);\n    ops.write(1);\n    mmgr__free(x);\n"
            "    snprintf(b);\n    fd = open(path, O_RDONLY | O_CLOEXEC);\n"
            "    char c = '\"';\n    (void)c; /* malloc( */\n}\n"
            "struct s {\n    void (*free)(void *memory);\n};\n", None),
        "lib/store/long_ok.c": (SPDX + "void a(void)\n{\n" + long_body * 90 + "}\n", None),
        "lib/store/long.c": (SPDX + "void a(void)\n{\n" + long_body * 130 + "}\n",
                             "function-length"),
        "lib/store/big.c": (SPDX + "int x;\n" * 701, "file-length"),
        "lib/store/exempt.c": (SPDX + "void a(void) { write(1, b, 2); }\n", None),
        "lib/store/open.c": (SPDX + "int a(void) { return openat(d, p,\n O_WRONLY, f(2)); }\n",
                             "io"),
        "lib/store/space.c": (SPDX + "int x; \n", "trailing-space"),
        "lib/store/tab.c": (SPDX + "\tint x;\n", "tab"),
        "lib/store/end.c": (SPDX + "int x;", "final-newline"),
        "lib/store/crlf.c": (SPDX + "int x;\r\n", "carriage-return"),
        "lib/store/wide.c": (SPDX + "int " + "x" * 130 + ";\n", "columns"),
        "lib/store/naked.c": ("int x;\n", "spdx"),
        "tests/store/naked.py": ("x = 1\n", "spdx"),
        ".ci/run": ("#!/bin/bash\n", "spdx"),
        "tests/gates/exemptions.txt": (
            "# SPDX-License-Identifier: MIT\nio lib/store/exempt.c wakes a descriptor\n", None),
    }
    for rule, (functions, _, _) in CALLS.items():
        for function in functions.split():
            samples[f"lib/hub/{rule}_{function}.c"] = (
                SPDX + f"void a(void)\n{{\n    x = {function} (y);\n}}\n", rule)
    return samples


def self_test():
    samples = self_test_samples()
    wrong = []
    with tempfile.TemporaryDirectory() as tree:
        for name, (text, _) in samples.items():
            path = os.path.join(tree, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8", newline="") as file:
                file.write(text)
        faults = check(tree).faults
        for name, (_, rule) in samples.items():
            found = [fault for fault in faults if fault.startswith(name + ":")]
            if (rule is None and found) or (rule and not any(f"[{rule}]" in f for f in found)):
                wrong.append(f"{name}: {found or 'no fault found'}")
        with open(os.path.join(tree, "tests/gates/exemptions.txt"), "a", encoding="utf-8") as file:
            file.write("io lib/store/gone.c stale\n")
        if not any("not needed any more" in fault for fault in check(tree).faults):
            wrong.append("a stale exemption was not noticed")
    return wrong


def main(arguments):
    if arguments == ["--self-test"]:
        wrong = self_test()
        for text in wrong:
            print(f"self-test: wrong answer for {text}")
        return 1 if wrong else 0
    report = check(arguments[0] if arguments else csource.root())
    for note in report.notes:
        print(f"note: {note}")
    print("\n".join(report.faults) if report.faults else "the house rules hold")
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
