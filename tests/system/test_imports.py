"""Every module imports, alone and in any order, under one name only; the folders are as packaging needs them."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import pyro_rationale
from tests.support.every_module import circles, import_all, module_names

ROOT = Path(__file__).parents[2]
HOME = Path(pyro_rationale.__file__).parent.parent


def test_every_module_imports_in_any_order() -> None:
    script = (ROOT / "tests" / "support" / "every_module.py").read_text()
    environment = {**os.environ, "PYTHONPATH": str(HOME)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-", str(HOME), "1"],
        input=script,
        env=environment,
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{len(module_names())} modules from {HOME}\n"


def test_the_tests_use_one_name_only() -> None:
    assert not {"models", "guides"} & set(sys.modules)


def test_the_import_check_sees_a_second_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "models", sys)
    with pytest.raises(ImportError, match="top-level package: models"):
        import_all(["pyro_rationale"], HOME)


def test_the_import_check_sees_another_copy(tmp_path: Path) -> None:
    with pytest.raises(ImportError, match="not from"):
        import_all(["pyro_rationale"], tmp_path)


def test_the_import_check_sees_a_circle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One import statement closes it, or a name that a package looks up when it is used."""
    (tmp_path / "ring").mkdir()
    modules = {
        "__init__": "",
        **{"a": "import ring.b", "b": "from ring import c", "c": "from ring import a", "d": "import json"},
        **{"e": "import ring.f", "f": "import importlib; importlib.import_module('ring.e')"},
    }
    for name, text in modules.items():
        (tmp_path / "ring" / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    for first, seen in (("b", ["ring.a imports ring.b"]), ("d", []), ("e", ["ring.f imports ring.e"])):
        with circles("ring") as found:
            importlib.import_module(f"ring.{first}")
        assert found == seen
        for name in [name for name in sys.modules if name.partition(".")[0] == "ring"]:
            del sys.modules[name]


@pytest.mark.parametrize("name", ["models", "guides"])
def test_the_rooms_at_the_top_are_linked_into_the_package(name: str) -> None:
    link = ROOT / "pyro_rationale" / name
    assert link.is_symlink(), f"{link} is no link: a checkout without symbolic links (core.symlinks)?"
    assert os.readlink(link) == f"../{name}"
    assert f"pyro_rationale.{name}" in module_names()


def test_every_folder_with_code_is_a_package() -> None:
    """Wheels leave out folders without `__init__.py`; an import from the checkout would not notice."""
    rooms = [ROOT / name for name in ("pyro_rationale", "models", "guides")]
    folders = {path.parent for room in rooms for path in room.rglob("*.py")}
    assert len(folders) >= 3
    assert not [folder for folder in folders if not (folder / "__init__.py").exists()]
