"""Additions of the build of the site to the pages: `docs/theme`."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
THEME = ROOT / "docs" / "theme"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def page_of() -> Any:
    return runpy.run_path(str(THEME / "notebooks.py"))["page_of"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_a_page(page_of: Any, path: Path) -> None:
    page = page_of(path)
    assert page.startswith("# ")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert all("".join(cell["source"]).replace("](../docs/", "](../") in page for cell in cells)
    assert page.count("data:image/png") == sum("image/png" in json.dumps(cell.get("outputs")) for cell in cells)
    assert all(re.search(r'alt="Figure: .+?"', image) for image in re.findall(r"<img.*?>", page))


def test_rationales_of_notebooks_are_highlighted(page_of: Any) -> None:
    page = page_of(NOTEBOOKS[0])
    shown = [block for block in re.findall(r"<pre.*?</pre>", page, flags=re.DOTALL) if "<mark>" in block]
    assert len(shown) >= 4
    assert all("[" not in block for block in shown)


def test_formulas_need_nothing_from_elsewhere() -> None:
    """KaTeX comes along, and names no file that does not."""
    styles = (THEME / "katex" / "katex.min.css").read_text(encoding="utf-8")
    assert all((THEME / "katex" / name).is_file() for name in re.findall(r"url\((fonts/[^)]+\.woff2)\)", styles))
    assert (THEME / "katex" / "LICENSE").is_file()
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for name in re.findall(r"theme/[\w./-]+\.(?:js|css)", settings):
        assert (ROOT / "docs" / name).is_file()
    for path in [*THEME.glob("*.js"), *THEME.glob("*.css"), *THEME.glob("overrides/*")]:
        assert "//" not in re.sub(r"^\s*//.*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE), path
