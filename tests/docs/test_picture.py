"""The picture of a document: `benchmarks/picture.py`."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from tests.support.small_fit import refusal, whole

pytest.importorskip("matplotlib")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def picture() -> Any:
    return runpy.run_path(str(ROOT / "benchmarks" / "picture.py"))["main"]


def test_a_picture_of_one_document(picture: Any, tmp_path: Path) -> None:
    path = tmp_path / "rationale.svg"
    picture(["--run", str(whole()), "--number", "2", str(path)], standalone_mode=False)
    assert "<svg" in path.read_text(encoding="utf-8")


def test_there_are_only_so_many(
    picture: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rationale.png"
    message = refusal(capfd, picture, "--run", whole(), "--number", 10_000, path)
    assert message.startswith("--number 10000: there are ")
    assert not path.exists()


def test_the_picture_of_the_readme_is_a_small_one() -> None:
    stored = ROOT / "docs" / "rationale.png"
    assert stored.read_bytes().startswith(b"\x89PNG")
    assert stored.stat().st_size < 200_000
    assert all("rationale.png" in (ROOT / page).read_text() for page in ("README.md", "docs/index.md"))
