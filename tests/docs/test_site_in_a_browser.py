"""Pages of the site in a real browser: for everybody, on a phone, with formulas and a search that finds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
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
DARK = ("results", "notebooks/02_posterior")
# What people type, and a page that is to be among the first three.
FOUND = {
    "install": "install",
    "BERT": "how-to/transformers",
    "German": "how-to/languages",
    "class imbalance": "how-to/imbalance",
    "how long": "install",
    "choose rate": "how-to/choose",
}

__all__ = ["browser", "page"]


@pytest.fixture(scope="module")
def site(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the site without reference and research; nothing is built where there is no browser."""
    build = pytest.importorskip("mkdocs.commands.build", reason="pip install 'pyro_rationale[docs]'")
    from mkdocs.config import load_config

    folder: Path = tmp_path_factory.mktemp("site")
    config = load_config(
        str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=False, plugins=["search"], exclude_docs=LEFT_OUT,
        validation={"links": {"not_found": "ignore", "anchors": "ignore"}, "nav": {"not_found": "ignore"}},
        use_directory_urls=False,
    )  # fmt: skip
    build.build(config)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and prints nothing."""

    def log_message(self, *_: object) -> None: ...


@pytest.mark.parametrize("name", SHOWN)
def test_everybody_can_read_it(name: str, site: str, page: Page) -> None:
    if name in DARK:
        page.emulate_media(color_scheme="dark")
    page.set_viewport_size(PHONE)
    page.goto(f"{site}/{name}.html")
    assert not too_wide(page)
    page.evaluate("document.querySelectorAll('.katex-html').forEach(part => part.remove())")  # hidden from readers
    assert not violations(page)


def test_formulas_are_set(site: str, page: Page) -> None:
    page.goto(f"{site}/explanation/mathematics.html")
    assert page.locator(".katex-display").count() >= 8
    assert page.locator(".katex-error").count() == 0
    left = page.evaluate("[...document.querySelectorAll('.arithmatex')].filter(e => !e.querySelector('.katex')).length")
    assert left == 0


def test_the_search_finds(site: str, page: Page) -> None:
    for sought, found in FOUND.items():
        page.goto(f"{site}/index.html?q={sought}")
        first = page.locator("#mkdocs-search-results article a").first
        first.wait_for(state="attached")  # in a window that opens when somebody types
        links = page.locator("#mkdocs-search-results article a").evaluate_all("all => all.slice(0, 3).map(a => a.href)")
        assert any(found in link for link in links), (sought, links)
