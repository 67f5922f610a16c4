"""The public names of the package: all there, imported when they are used, and free of torch until then."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pyro_rationale as pr


@pytest.mark.parametrize("name", pr.__all__)
def test_public_names_exist(name: str) -> None:
    if name.startswith("Rationale"):
        pytest.importorskip("sklearn")
    assert getattr(pr, name) is not None


def test_each_name_is_listed() -> None:
    assert set(pr.__all__) <= set(dir(pr))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'fit_everything'"):
        pr.fit_everything  # noqa: B018


LIGHT = [
    "import pyro_rationale",
    "from pyro_rationale import Config, DataOptions",
    "import pyro_rationale as pr; [list(getattr(pr, name)) for name in pr.__all__ if name.isupper()]",
    *(f"from pyro_rationale.__main__ import commands; commands({words}, standalone_mode=False)"
      for words in (["--help"], ["fit", "--help"], ["study", "--help"], ["prepare", "--help"])),
]


@pytest.mark.parametrize("program", LIGHT)
def test_names_and_help_need_no_torch(program: str) -> None:
    check = "import sys; assert not {'torch', 'pyro'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", f"{program}\n{check}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
