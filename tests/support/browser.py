"""Fixtures and checks for pages in a real browser: Chromium without a window, driven by Playwright.

A test asks for the fixture `page`; where no Chromium is installed it is skipped:

    from tests.support.browser import PHONE, too_wide, violations

    def test_page(page: Page) -> None:
        page.set_viewport_size(PHONE)
        page.goto("http://127.0.0.1:8000")
        assert not too_wide(page)
        assert not violations(page)

A page on whose console an error is written, or whose script raises one, fails its test at the end.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, ViewportSize

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# The sandbox needs rights that containers lack; small shared memory is common in them too.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip
PHONE: ViewportSize = {"width": 400, "height": 800}
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
PATIENCE = 60_000  # milliseconds that a step may take on a busy machine

# Elements that end to the right of the window, though nothing around them scrolls. Each takes part in the layout.
WIDE = """() => {
  const edge = document.documentElement.clientWidth, found = [];
  const scrolls = e => {
    for (let up = e.parentElement; up && up !== document.documentElement; up = up.parentElement)
      if (/auto|scroll|hidden|clip/.test(getComputedStyle(up).overflowX)) return true;
    return false;
  };
  if (document.documentElement.scrollWidth > edge) found.push(`page: ${document.documentElement.scrollWidth} px`);
  for (const e of document.body.querySelectorAll('*')) {
    const box = e.getBoundingClientRect();
    if (box.width && box.height && box.right > edge + 1 && !scrolls(e))
      found.push(`${e.tagName.toLowerCase()}.${e.getAttribute('class') || ''}: ${Math.round(box.right)} px`);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser without a window, for the tests of one module.

    It is closed with the module, not the session: while it runs, its event loop counts as this thread's, and tests
    elsewhere start loops of their own.
    """
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (apt-get install chromium)")
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (pip install playwright)")
    with api.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page of a fresh profile; a script's error, or one on the console, fails the test."""
    yield from open_page(browser)


def open_page(browser: Browser) -> Iterator[Page]:
    """Gives an empty page, once, and closes it.

    Raises:
        AssertionError: at the end: a script has raised an error, or one was written on the console.
    """
    context = browser.new_context(viewport=DESKTOP)
    context.set_default_timeout(PATIENCE)
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    yield opened
    context.close()
    assert not wrong, f"errors in the page: {wrong}"


def too_wide(page: Page) -> list[str]:
    """Elements that end to the right of the window, with the pixel where they end; those that scroll are left out."""
    found: list[str] = page.evaluate(WIDE)
    return found


def violations(page: Page, *rules: str) -> list[str]:
    """Problems of accessibility that axe-core finds in a page, a line for each element; by all rules, or only some."""
    from axe_playwright_python.sync_playwright import Axe

    only: dict[str, Any] = {"runOnly": {"type": "rule", "values": list(rules)}} if rules else {}
    result = Axe().run(page, options={"resultTypes": ["violations"], **only})
    return [
        f"{rule['id']} ({rule['impact']}): {node['html'][:200]} {node.get('failureSummary', '')}"
        for rule in result.response["violations"]
        for node in rule["nodes"]
    ]
