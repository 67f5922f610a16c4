"""Pages of the site in a real browser: for everybody, on a phone, with formulas and a search that finds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.browser import PHONE, browser, page, too_wide, violations

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).parents[2]
# The reference and the measurements differ in length alone, and reading the whole package takes long.
LEFT_OUT = "/reference/\n/research/\ntheme/*.py\ntheme/overrides/\n"
SHOWN = ("index", "results", "tutorial", "explanation/mathematics", "notebooks/02_posterior")

__all__ = ["browser", "page"]


@pytest.fixture(scope="module")
def site(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site without reference and research; asked for after the browser, so that nothing is built without one."""
    build = pytest.importorskip("mkdocs.commands.build", reason="pip install 'pyro_rationale[docs]'")
    from mkdocs.config import load_config

    folder: Path = tmp_path_factory.mktemp("site")
    config = load_config(
        str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=False, plugins=["search"], exclude_docs=LEFT_OUT,
        validation={"links": {"not_found": "ignore", "anchors": "ignore"}, "nav": {"not_found": "ignore"}},
        use_directory_urls=False,
    )  # fmt: skip
    build.build(config)
    return folder


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", SHOWN)
def test_everybody_can_read_it(name: str, scheme: Any, site: Path, page: Page) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size(PHONE)
    page.goto((site / f"{name}.html").as_uri())
    assert not too_wide(page)
    assert not violations(page)


def test_formulas_are_set(site: Path, page: Page) -> None:
    page.goto((site / "explanation/mathematics.html").as_uri())
    assert page.locator(".katex-display").count() >= 8
    assert page.locator(".katex-error").count() == 0
    left = page.evaluate("[...document.querySelectorAll('.arithmatex')].filter(e => !e.querySelector('.katex')).length")
    assert left == 0
