#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Writes the rule files as C texts: embed.py OUT.c RULES.yaml..."""

import os
import sys

ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "?": "\\?"}


def literal(line):
    """A line as a C string; bytes beyond ASCII as octal, which ends after three digits."""
    out = []
    for byte in line.encode():
        char = chr(byte)
        plain = ESCAPES.get(char, char)
        out.append(plain if 32 <= byte < 127 or char in ESCAPES else f"\\{byte:03o}")
    return '"' + "".join(out) + '"'


def main(out, *paths):
    lines = ['#include "probe/rules.h"', "", "const struct mmgr__rule_file mmgr__rule_files[] = {"]
    for path in sorted(paths, key=os.path.basename):
        with open(path, encoding="utf-8") as file:
            text = file.read().splitlines(keepends=True)
        lines.append(f"    {{{literal(os.path.basename(path))},")
        lines += ["     " + literal(line) for line in text] or ['     ""']
        lines.append("    },")
    lines += ["    {0},", "};", ""]
    with open(out, "w", encoding="ascii") as file:
        file.write("\n".join(lines))


if __name__ == "__main__":
    main(*sys.argv[1:])
