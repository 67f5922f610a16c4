"""The checks that tests of pages rest on find what they look for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.browser import PHONE, open_page, too_wide, violations

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HEAD = '<!doctype html><html lang="en"><title>A page</title><main><h1>A page</h1>'


def test_a_sound_page_has_neither_width_nor_violations(page: Page) -> None:
    page.set_viewport_size(PHONE)
    page.set_content(HEAD + '<div style="overflow-x:auto"><p style="width:900px">This scrolls.</p></div>')
    assert too_wide(page) == []
    assert violations(page) == []


def test_a_wide_element_and_a_pale_one_are_found(page: Page) -> None:
    page.set_viewport_size(PHONE)
    page.set_content(HEAD + '<p class="wide" style="width:900px;color:#ccc;background:#fff">Pale words</p>')
    assert any(line.startswith("p.wide: 9") for line in too_wide(page))
    assert [line.split()[0] for line in violations(page)] == ["color-contrast"]
    assert violations(page, "image-alt") == []
    assert violations(page, "color-contrast") == violations(page)


def test_an_error_of_a_script_fails_its_test(browser: Browser) -> None:
    opened = open_page(browser)
    shown = next(opened)
    with shown.expect_event("pageerror"):
        shown.set_content("<script>throw new Error('broken')</script>")
    with pytest.raises(AssertionError, match="broken"):
        next(opened)
