# SPDX-License-Identifier: MIT
"""Which shared library the package takes, and what it says when that is the wrong one."""
import os
import shutil
import subprocess


def test_the_named_library_is_taken(python):
    done = python("import modelmgr; print(modelmgr.library_version())")
    assert done.stdout.strip() == "0.1.0", done.stderr


def test_a_missing_library_is_an_import_error_that_says_where(python, tmp_path):
    done = python("import modelmgr", MODELMGR_LIBRARY=str(tmp_path / "none.so"))
    assert done.returncode == 1
    for wanted in ("ImportError", "none.so", "MODELMGR_LIBRARY"):
        assert wanted in done.stderr


def test_the_library_beside_the_package_is_found(tmp_path, python):
    import modelmgr
    copy = tmp_path / "modelmgr"
    shutil.copytree(os.path.dirname(modelmgr.__file__), copy)
    shutil.copy(os.environ["MODELMGR_LIBRARY"], copy / "libmodelmgr.so.0.1")
    done = python("import modelmgr, os; print(os.path.dirname(modelmgr.__file__))",
                  MODELMGR_LIBRARY="",
                  PYTHONPATH=str(tmp_path))
    assert done.stdout.strip() == str(copy), done.stderr


def build(tmp_path, source):
    (tmp_path / "other.c").write_text(source)
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-o",
         str(tmp_path / "other.so"),
         str(tmp_path / "other.c")],
        check=True)
    return str(tmp_path / "other.so")


def test_another_library_is_refused(python, tmp_path):
    done = python("import modelmgr",
                  MODELMGR_LIBRARY=build(tmp_path, "int nothing(void) { return 0; }"))
    assert "ImportError" in done.stderr and "lacks" in done.stderr


def test_another_minor_version_is_refused(python, tmp_path):
    import modelmgr
    names = set(modelmgr._library.PROTOTYPES) - {"mmgr_version", "mmgr_version_string"}
    source = "\n".join(f"int {name}(void) {{ return 0; }}" for name in sorted(names))
    source += "\nunsigned mmgr_version(void) { return 2000; }"
    source += '\nconst char *mmgr_version_string(void) { return "0.2.0"; }\n'
    done = python("import modelmgr", MODELMGR_LIBRARY=build(tmp_path, source))
    assert "ImportError" in done.stderr and "0.2.0" in done.stderr
