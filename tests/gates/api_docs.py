#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Each public function has a complete comment, names only real errors, and has a ctypes entry.

    api_docs.py [TREE]        checks TREE (default: this one)
    api_docs.py --self-test   plants one fault of each kind and must find them all
"""

import os
import re
import sys
import tempfile

import csource

HEADERS = os.path.join("include", "modelmgr")
BINDING = os.path.join("bindings", "python", "modelmgr", "_api.py")


def comment_before(text, offset):
    """The documentation comment right before offset, without its frame; None when absent."""
    head = text[:offset].rstrip()
    if not head.endswith("*/"):
        return None
    start = head.rfind("/*")
    body = head[start:-2]
    if not body.startswith("/**") or "@file" in body:
        return None
    return "\n".join(re.sub(r"^\s*\*? ?", "", line) for line in body[3:].split("\n")).strip()


def parameter_names(parameters):
    """Names of the parameters; the name of a function pointer counts too."""
    names = []
    depth, start = 0, 0
    parameters += ","
    for offset, char in enumerate(parameters):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            part = parameters[start:offset].strip()
            start = offset + 1
            pointer = re.search(r"\(\s*\*\s*(\w+)", part)
            plain = re.search(r"(\w+)\s*(?:\[[^\]]*\])?$", part)
            if pointer:
                names.append(pointer.group(1))
            elif plain and part != "void":
                names.append(plain.group(1))
    return names


def function_faults(comment, return_type, parameters):
    if comment is None:
        return ["no documentation comment right before it"]
    faults = []
    summary = comment.split("\n")[0]
    if not summary or summary.startswith(("@", "Thread-safety:", "Since:")):
        faults.append("the comment has no summary")
    if return_type.split() != ["void"] and not re.search(r"@returns?\b", comment):
        faults.append("no @return")
    if not re.search(r"^Thread-safety: *\S", comment, re.M):
        faults.append("no 'Thread-safety:' line")
    if not re.search(r"^Since: *\d+\.\d+", comment, re.M):
        faults.append("no 'Since:' line")
    for name in parameter_names(parameters):
        if not re.search(r"@param(?:\[[a-z, ]+\])?\s+(?:\w+,\s*)*" + name + r"\b", comment):
            faults.append(f"parameter {name} has no @param")
    return faults


def error_names(tree):
    """Names of all result codes: the enumerators that the headers define."""
    names = set()
    for path in csource.files_below(os.path.join(tree, HEADERS), ".h"):
        code = csource.blank(csource.read(path))
        names.update(re.findall(r"\b(MMGR_ERR_\w+)\s*=", code))
    return names


def check(tree):
    faults, count = [], 0
    known_errors = error_names(tree)
    binding = os.path.join(tree, BINDING)
    bound = None
    if os.path.exists(binding):
        bound = set(re.findall(r"\bmmgr_\w+", csource.read(binding)))
    for path in csource.files_below(os.path.join(tree, HEADERS), ".h"):
        name = os.path.relpath(path, tree)
        text = csource.read(path)
        for function, return_type, parameters, offset in csource.declarations(text):
            count += 1
            found = function_faults(comment_before(text, offset), return_type, parameters)
            if bound is not None and function not in bound:
                found.append(f"no entry in {BINDING}")
            line = csource.line_of(text, offset)
            faults += [f"{name}:{line}: {function}(): {fault}" for fault in found]
        for match in re.finditer(r"\bMMGR_ERR_[A-Z0-9_]*[A-Z0-9]\b", text):
            if match.group(0) not in known_errors:
                line = csource.line_of(text, match.start())
                faults.append(f"{name}:{line}: {match.group(0)} is not an error code")
    if count == 0:
        faults.append("no public function found: nothing was checked")
    return faults, count


GOOD = """/**
 * Do it.
 *
 * @param thing     Thing.
 * @param[out] out  Given.
 * @return MMGR_OK, or MMGR_ERR_KNOWN.
 *
 * Thread-safety: safe.
 * Since: 0.1
 */
MMGR_API enum mmgr_result mmgr_do(const mmgr_thing *thing, char **out);
"""


def self_test():
    cases = [
        ("complete", GOOD, None),
        ("no comment", "int x;\nMMGR_API int mmgr_do(void);\n", "no documentation comment"),
        ("file comment", "/** @file\n * Things. */\nMMGR_API int mmgr_do(void);\n",
         "no documentation"),
        ("no summary", GOOD.replace(" * Do it.\n *\n", ""), "no summary"),
        ("no return", GOOD.replace("@return ", ""), "no @return"),
        ("void needs none", GOOD.replace("@return ", "").replace("enum mmgr_result", "void"), None),
        ("void pointer", GOOD.replace("@return ", "").replace("enum mmgr_result", "void *"),
         "no @return"),
        ("no threads", GOOD.replace("Thread-safety: safe.", ""), "Thread-safety"),
        ("no since", GOOD.replace("Since: 0.1", ""), "Since"),
        ("no parameter", GOOD.replace("@param thing ", ""), "parameter thing"),
        ("ghost error", GOOD.replace("ERR_KNOWN", "ERR_GHOST"), "MMGR_ERR_GHOST"),
        ("unbound", GOOD.replace("mmgr_do", "mmgr_undo"), "_api.py"),
        ("nothing", "/* MMGR_API int mmgr_do(void); */\n", "nothing was checked"),
    ]
    wrong = 0
    for name, header, wanted in cases:
        with tempfile.TemporaryDirectory() as tree:
            for folder in (HEADERS, os.path.dirname(BINDING)):
                os.makedirs(os.path.join(tree, folder))
            with open(os.path.join(tree, HEADERS, "a.h"), "w", encoding="utf-8") as file:
                file.write("enum mmgr_result { MMGR_ERR_KNOWN = -1 };\n" + header)
            with open(os.path.join(tree, BINDING), "w", encoding="utf-8") as file:
                file.write('("mmgr_do", [])\n')
            text = "\n".join(check(tree)[0])
        if (wanted is None and text) or (wanted is not None and wanted not in text):
            print(f"self-test: wrong answer for '{name}': {text or 'no fault found'}")
            wrong += 1
    return 1 if wrong else 0


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    faults, count = check(arguments[0] if arguments else csource.root())
    print("\n".join(faults) if faults else f"{count} public functions are documented")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
