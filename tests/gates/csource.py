# SPDX-License-Identifier: MIT
"""Reads C sources for the gates: blanks comments and strings, finds functions and exports."""

import os
import re

_TOKEN = re.compile(
    r"//[^\n]*"
    r"|/\*.*?\*/"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'(?:\\.|[^'\\\n])*'",
    re.S,
)


def root():
    """Top of the source tree."""
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def blank(text, keep_strings=False):
    """The text with comments (and the insides of strings) blanked; lines keep their places."""

    def replace(match):
        token = match.group(0)
        if token[0] in "\"'":
            if keep_strings:
                return token
            return token[0] + " " * (len(token) - 2) + token[0]
        return re.sub(r"[^\n]", " ", token)

    return _TOKEN.sub(replace, text)


def without_directives(code):
    """Blanked code with preprocessor lines (and their continuations) emptied."""
    return re.sub(
        r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: re.sub(r"[^\n]", " ", m.group(0)), code,
        flags=re.M,
    )


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def closing(code, start):
    """Offset of the bracket that closes the one at start, or the end of the code."""
    pairs = {"(": ")", "{": "}", "[": "]"}
    opener, closer = code[start], pairs[code[start]]
    depth = 0
    for offset in range(start, len(code)):
        if code[offset] == opener:
            depth += 1
        elif code[offset] == closer:
            depth -= 1
            if depth == 0:
                return offset
    return len(code)


def functions(text):
    """(name, first line, number of lines) of every function body in a C source."""
    code = without_directives(blank(text))
    found = []
    offset = 0
    while True:
        offset = code.find("{", offset)
        if offset < 0:
            return found
        end = closing(code, offset)
        head = code[:offset].rstrip()
        if head.endswith(")"):
            start = max(head.rfind(";"), head.rfind("}")) + 1
            signature = head[start:]
            name = re.search(r"(\w+)\s*\(", signature)
            start += len(signature) - len(signature.lstrip())
            first = line_of(code, start)
            if name:
                found.append((name.group(1), first, line_of(code, end) - first + 1))
        offset = end + 1


def declarations(text):
    """(name, return type, parameters, offset) of each MMGR_API function in a header."""
    code = without_directives(blank(text))
    found = []
    for match in re.finditer(r"\bMMGR_API\b([^;{(]*?)(\w+)\s*\(", code):
        opening = match.end() - 1
        parameters = code[opening + 1 : closing(code, opening)]
        found.append((match.group(2), " ".join(match.group(1).split()), parameters, match.start()))
    return found


def data_exports(text):
    """Line numbers of MMGR_API declarations that are not functions."""
    code = without_directives(blank(text))
    return [line_of(code, m.start()) for m in re.finditer(r"\bMMGR_API\b[^(;]*;", code)]


def files_below(top, *endings):
    """Paths below top, relative to the tree, that end in one of the endings; sorted."""
    base = root() if top is None else top
    found = []
    for folder, folders, names in os.walk(base):
        folders[:] = sorted(
            name for name in folders
            if not name.startswith((".", "build")) and name != "__pycache__"
        )
        for name in sorted(names):
            if name.endswith(endings):
                found.append(os.path.join(folder, name))
    return found
