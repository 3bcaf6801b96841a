# SPDX-License-Identifier: MIT
"""What the README shows is true of this tree: the C compiles, the Python names exist, files are there."""
import os
import pathlib
import re
import subprocess
import sys

import pytest

SOURCE = pathlib.Path(os.environ["MMGR_SOURCE_ROOT"])
TEXT = (SOURCE / "README.md").read_text()
PAGES = ["README.md", "NEWS.md", "CONTRIBUTING.md", "SECURITY.md", "bindings/python/README.md"]


def block(title, text=TEXT):
    """The indented lines of a section."""
    section = text.split(f"## {title}\n")[1].split("\n## ")[0]
    return "\n".join(line[4:] for line in section.splitlines() if line.startswith("    ") or not line)


def c_errors(tmp_path, code):
    includes, body = code.split("\n", 1)
    (tmp_path / "readme.c").write_text(f"{includes}\nint main(void) {{ {body}\n return 0; }}\n")
    return subprocess.run(["cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
                           f"-I{SOURCE / 'include'}", str(tmp_path / "readme.c")],
                          capture_output=True, text=True).stderr


def test_the_c_example_compiles(tmp_path):
    code = block("From C").strip()
    assert code.startswith("#include <modelmgr/modelmgr.h>") and c_errors(tmp_path, code) == ""
    assert "mmgr_gone" in c_errors(tmp_path, code + "\nmmgr_gone();")


@pytest.mark.parametrize("page", ["README.md", "bindings/python/README.md"])
def test_the_python_examples_use_names_that_exist(page):
    sys.path.insert(0, str(SOURCE / "bindings/python"))
    import modelmgr
    text = (SOURCE / page).read_text()
    names = set(re.findall(r"modelmgr\.([A-Za-z_]+)", text)) - {"yaml", "h", "probe", "so"}
    assert names and all(hasattr(modelmgr, name) for name in names)
    methods = set(re.findall(r"manager\.([a-z_]+)", text))
    assert methods and all(hasattr(modelmgr.Manager, name) or name in ("installer", "store", "queue")
                           for name in methods)


def test_every_file_that_is_named_is_there():
    missing = []
    for page in PAGES:
        for name in re.findall(r"`(?:\./)?((?:docs|examples|include|tests|bindings|lib)/[\w./-]*)`",
                               (SOURCE / page).read_text()):
            if "AREA" not in name and not (SOURCE / name).exists():
                missing.append((page, name))
    assert missing == []
