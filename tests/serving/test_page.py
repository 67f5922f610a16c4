"""The page in a real browser: marks while one types, words that are struck out, and readers of all kinds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pyro_rationale.prediction.labels import in_percent
from pyro_rationale.prediction.options import ExplainOptions
from tests.prediction.test_aspect_faces import fitted as two_aspects  # noqa: F401
from tests.prediction.test_predictor import fake
from tests.support.browser import DESKTOP, PHONE, too_wide, violations
from tests.support.served import served

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
MINUS = "\N{MINUS SIGN}"
HOSTILE = "\N{BEER MUG} The <img src=x onerror=alert(1)> good <b>maybe</b> bad & the " + "x" * 90


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with served(fake()) as place:
        yield place


def until(page: Page, expression: str, value: Any = None) -> None:
    """Wait until an expression is true. (Playwright's own way would need a page that lets strings be run.)"""
    for _ in range(1200):
        if page.evaluate(expression, value):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"not so within a minute: {expression}")


def write(page: Page, text: str) -> None:
    """Write a text, and wait until it is explained."""
    page.fill("#text", text)
    until(page, "text => state.text === text && state.answer !== null", text)


def marked(page: Page) -> list[str]:
    """The runs of marked words, with the letters or signs before them."""
    return page.locator("#words mark").all_inner_texts()


def is_sound(page: Page) -> None:
    """Nothing is too wide on a phone, and axe finds nothing, on light and on dark."""
    page.set_viewport_size(PHONE)
    assert too_wide(page) == []
    assert violations(page) == []
    page.emulate_media(color_scheme="dark")
    assert violations(page, "color-contrast") == []


def test_words_are_marked_and_struck_out(page: Page, address: str) -> None:
    page.goto(address)
    assert page.inner_text(".empty") == "It appears here while you write."
    write(page, "the good the bad the")
    assert marked(page) == ["+good", f"{MINUS}bad"]
    assert page.locator("#spans tbody tr").all_inner_texts()[0].split()[:2] == ["good", "+1.20"]
    before = page.inner_text(".value")
    page.locator(".word", has_text="bad").click()
    page.wait_for_selector("#changed:not([hidden])")
    until(page, "state.answer.words[3].struck")
    assert page.inner_text("#changed").startswith("Without “bad”: stars +")
    assert page.inner_text(".was").strip() == f"was {before}"
    assert marked(page) == ["+good"]
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    until(page, "state.answer.words[1].struck")
    assert page.inner_text("#changed").startswith("Without “good”, “bad”: stars")
    assert page.evaluate("document.activeElement.textContent") == "good"  # where the reader was
    page.click("#restore")
    until(page, "!state.answer.words.some((word) => word.struck)")
    assert marked(page) == ["+good", f"{MINUS}bad"]
    assert page.locator("#changed").is_hidden()
    page.evaluate("field.value = 'the bad'")  # as just written: what is shown is of the text before
    page.locator(".word", has_text="good").click()
    assert page.evaluate("state.struck.size") == 0
    page.evaluate("field.value = state.text")
    page.locator("#alternatives button").last.click()
    assert page.locator("#alternatives button").last.get_attribute("aria-pressed") == "true"
    assert marked(page) != ["+good", f"{MINUS}bad"]
    page.click("#clear")
    until(page, "state.answer === null")
    assert page.locator(".result").first.is_hidden()


def test_words_that_the_model_does_not_know_are_named(page: Page, address: str) -> None:
    page.goto(address)
    write(page, "the good the bad")
    assert page.inner_text("#status") == "4 of 4 words known to the model"
    write(page, "the goood film, the bad goood \N{BEER MUG}")
    doubt = "not to be relied on: the model knows 3 of 8 words; was it fitted to texts of another language, or subject?"
    assert page.inner_text("#status") == f"{doubt}; not known: “goood”, “film”, “,”, “\N{BEER MUG}”"
    titles = [word.get_attribute("title") or "" for word in page.locator(".word").all()]
    assert [title.startswith("not known to the model; kept with probability 0.") for title in titles] == [
        False, True, True, True, False, False, True, True,
    ]  # fmt: skip
    page.locator(".word", has_text="film").click()
    until(page, "state.answer.words[2].struck")
    assert "film" not in page.inner_text("#status")
    write(page, "the " + " ".join(f"w{n}" for n in range(9)))
    assert page.inner_text("#status").endswith("“w0”, “w1”, “w2”, “w3”, “w4” and 4 more")
    write(page, "x" * 90 + " good")
    is_sound(page)


def top(page: Page, selector: str) -> float:
    """Where an element begins, in pixels from the top of the page."""
    found: float = page.evaluate("s => document.querySelector(s).getBoundingClientRect().top + scrollY", selector)
    return found


def test_the_marked_words_stand_directly_below_the_text(page: Page, two_aspects: Any) -> None:  # noqa: F811
    """The predictions of four targets once came between, with 400 px of nothing under the text."""
    with served(two_aspects) as place:
        page.goto(place)
        write(page, "the bad maybe the good")
        for size in (DESKTOP, PHONE):
            page.set_viewport_size(size)
            bottom = page.evaluate("document.querySelector('.entry').getBoundingClientRect().bottom + scrollY")
            assert 0 < top(page, ".rests") - bottom < 30
            rows = [top(page, f".target:nth-child({n})") for n in (1, 2)]
            assert rows[1] - rows[0] < 100
        assert top(page, ".predicted") > top(page, "#words")
        figure = page.evaluate("document.querySelector('.value').getBoundingClientRect().top")
        assert abs(figure - page.evaluate("document.querySelector('.target h3').getBoundingClientRect().top")) < 15


def test_a_sign_stays_with_its_word(page: Page, address: str) -> None:
    page.goto(address)
    write(page, "good the bad the " * 12 + "good" * 40)
    apart = """() => [...document.querySelectorAll('.sign')].filter(sign => {
      const word = sign.nextElementSibling.getClientRects()[0];
      return Math.abs(sign.getClientRects()[0].top - word.top) > 12;
    }).length"""
    for width in range(300, 400, 7):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.locator(".sign").count() > 20
        assert page.evaluate(apart) == 0
        assert too_wide(page) == []


def test_numbers_of_the_table_fit_a_phone(page: Page, address: str) -> None:
    page.goto(address)
    write(page, "the good the bad the maybe the " + "good" * 30)
    page.set_viewport_size(PHONE)
    cells = page.locator("#spans td").all_inner_texts()
    assert {MINUS + "1.20", "+1.20"} <= set(cells)
    assert all(len(cell) <= 6 for cell in cells)
    inside = page.evaluate("(() => { const box = document.querySelector('.table'); "
                           "return box.scrollWidth <= box.clientWidth; })()")
    assert inside


def test_an_effect_that_is_hardly_any_has_no_sign(page: Page, address: str) -> None:
    """The page said of 0.08 on a scale of 1 to 5, which is what chance does, that it spoke for the prediction."""
    page.goto(address)
    write(page, "the good the bad the")
    page.evaluate("state.answer.targets[0].spans[1].effect = -0.079, show()")
    assert marked(page) == ["+good", "bad"]
    assert page.locator("#spans tbody tr").nth(1).locator("td.against").count() == 0
    assert "no sign: hardly any effect" in page.inner_text("#legend")
    assert f"{MINUS} lowers" not in page.inner_text("#legend")
    page.evaluate("state.answer.targets[0].spans[1].effect = -0.081, show()")
    assert marked(page) == ["+good", f"{MINUS}bad"]


def test_how_many_words_are_marked_is_said_of_each_text(page: Page, address: str) -> None:
    """The head once promised about 10 % of the words, of which a short text keeps more than half."""
    page.goto(address)
    assert "from some of the words of a text, and marks them." in page.inner_text("header")
    write(page, "the good the bad")
    assert "2 of 4 words are marked (50 %)" in page.inner_text("#legend")


def test_the_marked_rationale_is_named_among_the_others(page: Page, address: str) -> None:
    page.goto(address)
    write(page, "the good maybe the bad")
    above = [line for line in page.locator("#alternatives li").all_inner_texts() if line.endswith("(marked above)")]
    assert len(above) == 1
    assert "good" in above[0]
    assert "bad" in above[0]


def test_a_hostile_text_is_a_text(page: Page, address: str) -> None:
    page.goto(address)
    write(page, HOSTILE)
    assert page.evaluate("document.getElementById('words').textContent.replace(/[+\\u2212]/g, '')") == HOSTILE
    assert page.locator("#words img, #words b, #spans b, #alternatives img").count() == 0
    is_sound(page)


def test_words_of_each_target(page: Page, two_aspects: Any) -> None:  # noqa: F811
    with served(two_aspects, options=ExplainOptions("mode", samples=20)) as place:
        page.goto(place)
        write(page, "the bad maybe the good")
        assert marked(page) == ["A\N{NO-BREAK SPACE}bad", "AB\N{NO-BREAK SPACE}maybe", "B\N{NO-BREAK SPACE}good"]
        assert page.locator(".target h3").all_inner_texts() == ["A <staff>", "B food"]
        page.get_by_label("B food", exact=True).check()
        assert marked(page) == ["+maybe", "+good"]
        page.locator(".word", has_text="good").click()
        until(page, "state.answer.words[4].struck")
        assert f"food {MINUS}" in page.inner_text("#changed")
        assert page.get_by_label("B food", exact=True).is_checked()
        is_sound(page)


def test_targets_that_the_words_say_little_about_are_named(page: Page, two_aspects: Any) -> None:  # noqa: F811
    """Below each where targets have words of their own, else in one line; nothing of runs of older versions."""
    with served(two_aspects) as place:
        page.goto(place)
        write(page, "the bad maybe the good")
        until(page, "MODEL !== null")
        assert page.locator(".little").count() == 0
        more = ": predicted nearly as for a text not read"
        for nats, names in ((0.1, []), (0.099, ["<staff>", "food"])):
            page.evaluate("x => { for (const t of state.answer.targets) t.information = x; show(); }", nats)
            said = [f"taken together, these words say little about {name}{more}" for name in names]
            assert page.locator(".target .little").all_inner_texts() == said
        is_sound(page)
        page.evaluate("MODEL.own_rationales = false, show()")
        (line,) = page.locator("#predictions > .little").all_inner_texts()
        assert line == f"taken together, these words say little about <staff>, food{more}"
        assert page.locator(".target .little").count() == 0
        is_sound(page)


def test_probabilities_are_those_of_the_terminal(page: Page, address: str) -> None:
    """The page once showed one in 200 as 1 %, and one of 0.996 as certain."""
    page.goto(address)
    chances = [0.0, 2e-4, 0.001, 0.005, 0.0094, 0.0096, 0.99, 0.9904, 0.9906, 0.996, 0.999, 0.9998, 1.0, 1 + 1e-15]
    found = page.evaluate("chances => chances.map(percent)", chances)
    assert found == [in_percent(chance) for chance in chances]
    assert found[:6] == ["0 %", "<0.1 %", "0.1 %", "0.5 %", "0.9 %", "1 %"]
    assert found[-7:] == ["99 %", "99.1 %", "99.6 %", "99.9 %", ">99.9 %", "100 %", "100 %"]


def test_classes_have_bars(page: Page) -> None:
    with served(fake("multiclass")) as place:
        page.goto(place)
        write(page, "good good the")
        assert page.inner_text(".value") == "high"
        assert [row.split()[0] for row in page.locator(".shares li").all_inner_texts()] == ["high", "mid", "low"]
        assert page.inner_text(".predicted .note:last-child").endswith("from the marked words alone: high, 69 %")
        page.locator(".word").first.click()
        until(page, "state.answer.words[0].struck")
        assert page.inner_text("#changed").startswith(f"Without “good”: high {MINUS}")
        is_sound(page)
