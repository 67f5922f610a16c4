"""Figures as files: refused before the work, written as a whole."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.errors import ConfigError
from pyro_rationale.optional import install_command
from pyro_rationale.reporting.plots import check_figure, require_matplotlib, save_figure
from pyro_rationale.reporting.plots.files import KINDS, new_figure

pytest.importorskip("matplotlib")


@pytest.mark.parametrize("kind", KINDS)
def test_the_name_says_the_format(tmp_path: Path, kind: str) -> None:
    check_figure(tmp_path / f"a{kind.upper()}")
    save_figure(new_figure(1.0, 1.0), tmp_path / f"a{kind.upper()}")
    assert (tmp_path / f"a{kind.upper()}").read_bytes()[:5] in (b"\x89PNG\r", b"<?xml", b"%PDF-")


def test_what_cannot_be_written_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"a.doc: expected a name that ends in .png, .svg or .pdf"):
        check_figure(tmp_path / "a.doc")
    with pytest.raises(ConfigError, match="there is no such folder"):
        check_figure(tmp_path / "no" / "a.png")
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=rf"^figures need matplotlib: {re.escape(install_command('viz'))}, or walk$"):
        require_matplotlib(", or walk")


def test_a_figure_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    """Figures of curves and studies used to be written in place, so that a failure left half a file."""

    class Failing:
        def savefig(self, target: Any, **options: Any) -> None:
            target.write(b"half")
            raise OSError("disk full")

    (tmp_path / "a.png").write_bytes(b"old")
    with pytest.raises(OSError, match="disk full"):
        save_figure(Failing(), tmp_path / "a.png")  # type: ignore[arg-type]
    assert (tmp_path / "a.png").read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [tmp_path / "a.png"]
