"""The report in a browser: what readers do with it, on a desk and on a phone."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np
import pytest

from pyro_rationale.reporting.html import Chart, ReportContext, Section, write_report
from pyro_rationale.reporting.html.charts import _draw_predictive
from pyro_rationale.reporting.html.payload import pieces
from pyro_rationale.reporting.plots.posterior import Replicated
from pyro_rationale.reporting.plots.svg import draw_svg
from tests.support.browser import DESKTOP, PHONE, too_wide, violations
from tests.support.report_pages import BINARY, RATING, Drawn, contents, read, speaking

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from pyro_rationale.data.corpus import TargetSpec

TEXTS = ("Good, bad and ugly beer", "plain bitter beer", "<b>sour</b> lager of =1+1", *["a long text of words"] * 25)


def aspects() -> ReportContext:
    """A report of two targets, each with a rationale of its own."""
    spec = replace(RATING, names=("taste", "look"), ranges=RATING.ranges * 2)
    documents = []
    for number, text in enumerate(TEXTS):
        parts = tuple(
            speaking(replace(one, document=replace(one.document, aspect=i)))
            for i, one in enumerate((read(text, number), read(text, number + 1)))
        )
        union = tuple(a or b for a, b in zip(parts[0].kept, parts[1].kept, strict=True))
        both = replace(parts[0], values=(2.5, 3.0), predicted=(2.5, 3.0), interval=((1.0, 4.0),) * 2, kept=union)
        document = replace(both.document, targets=(3.0, 1.0), aspect=None)
        said = (0.5, 0.01 if number == 0 else 0.5)
        both = replace(both, document=document, contributions=None, alternatives=(), information=said)
        documents.append(replace(both, aspects=parts))
    return replace(contents(*TEXTS), spec=spec, documents=tuple(documents))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the pages."""
    folder = tmp_path_factory.mktemp("pages")
    figures = (("documents", "28"), ("a metric with a long name and a long unit behind it, as there are", "0.123"))
    write_report(folder / "rating.html", replace(contents(*TEXTS), metrics=figures))
    write_report(folder / "classes.html", contents(*TEXTS, spec=BINARY))
    write_report(folder / "aspects.html", aspects())
    return folder


def test_numbers_leave_phrases_their_room_on_a_phone(page: Page, tmp_path: Path) -> None:
    """A word as long as this one stands on one line; the report says what its documents are predicted on average."""
    write_report(tmp_path / "page.html", contents(*["uncomfortable, and unprofessional"] * 3))
    page.set_viewport_size(PHONE)
    page.goto(f"file://{tmp_path / 'page.html'}")
    boxes = page.evaluate("""[...document.querySelectorAll(".phrases .w")].map((word) => {
      const range = document.createRange();
      range.selectNodeContents(word);
      return [word.textContent, range.getBoundingClientRect().height];
    })""")
    assert {words for words, _ in boxes} & {"uncomfortable", "unprofessional"}
    assert all(height < 30 for words, height in boxes if " " not in words)
    assert page.locator(".usual").inner_text() == "Mean prediction of all 3 documents: 2.50"


@pytest.mark.parametrize("spec", [RATING, BINARY], ids=["ratings", "classes"])
def test_no_number_of_a_phrase_is_broken_and_no_heading_leaves_its_column(
    page: Page, tmp_path: Path, spec: TargetSpec
) -> None:
    """Wide ones, too, such as -0.0780."""
    context = contents(*["uncomfortable seats", "good"] * 3, spec=spec)
    groups = []
    for group in context.phrases:
        sides = ((side, [replace(phrase, effect=-0.07804) for phrase in side.phrases]) for side in group.sides)
        groups.append(replace(group, sides=tuple(replace(side, phrases=tuple(own)) for side, own in sides)))
    write_report(tmp_path / "page.html", replace(context, phrases=tuple(groups)))
    for size in (PHONE, DESKTOP):
        page.set_viewport_size(size)
        page.goto(f"file://{tmp_path / 'page.html'}")
        numbers = page.locator(".phrases summary > span:not(.w)")
        assert any("0.0780" in text for text in numbers.all_inner_texts())
        tops = """(spans) => spans.map((span) => {
          const range = document.createRange();
          range.selectNodeContents(span.lastChild);
          return [range.getClientRects().length, span.scrollWidth - span.clientWidth];
        })"""
        assert numbers.evaluate_all(tops) == [[1, 0]] * numbers.count()
        assert set(page.locator(".heads > span").evaluate_all(
            "(spans) => spans.map((span) => span.scrollWidth - span.clientWidth)")) == {0}  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["rating", "classes", "aspects"])
def test_nobody_is_barred_and_nothing_is_wider_than_a_phone(
    page: Page, written: Path, name: str, scheme: str
) -> None:
    """All folds are open; the first document lies within two screens of a phone. Dark pages differ in colours alone.

    The last of several pages has buttons for both ways and few documents, whose colours are soon checked.
    """
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size(PHONE if scheme == "light" else DESKTOP)
    page.goto(f"file://{written / name}.html#sort=length-&page=2")
    assert page.locator("#list article").count() == len(TEXTS) - 20
    if scheme == "light":
        assert page.evaluate("document.querySelector('#list article').getBoundingClientRect().top") < 1600
    page.evaluate("document.querySelectorAll('details').forEach((fold) => (fold.open = true))")
    assert not too_wide(page)
    assert not violations(page, *(["color-contrast"] if scheme == "dark" else []))


def test_the_address_says_what_is_shown(page: Page, written: Path) -> None:
    page.goto(f"file://{written / 'rating.html'}")
    page.fill("#search", "Beer")
    page.wait_for_url(re.compile("#q=Beer$"))
    assert page.locator("#status").inner_text() == "2 documents found, of 28: 1 to 2 shown"
    assert page.locator("mark.hit").all_inner_texts() == ["beer", "beer"]
    page.click("#filters > summary")
    page.select_option("#sort", "length-")
    assert page.evaluate("location.hash") == "#q=Beer&sort=length-"
    page.fill("#search", "")
    page.wait_for_url(re.compile("#sort=length-$"))
    page.click("nav >> text=Next >> nth=0")
    assert page.evaluate("location.hash") == "#sort=length-&page=2"
    page.goto("about:blank")
    page.goto(f"file://{written / 'rating.html'}#q=sour&in=kept&show=all&size=50&sort=nonsense&page=7")
    assert page.locator("#status").inner_text() == "0 documents found, of 28"
    assert page.input_value("#search") == "sour"
    assert page.is_checked("#within")
    assert page.input_value("#sort") == "order"


def test_one_document_has_an_address_of_its_own(page: Page, written: Path) -> None:
    page.goto(f"file://{written / 'rating.html'}")
    page.click("#list article >> nth=1 >> h3 a")
    page.wait_for_selector("#narrowed:not([hidden])")
    assert page.evaluate("location.hash") == "#doc=row%201"
    assert page.locator("#list article h3").all_inner_texts() == ["row 1"]
    page.click("#narrowed button")
    assert page.locator("#list article").count() == 20
    assert page.evaluate("location.hash") == ""


def test_a_phrase_leads_to_its_documents(page: Page, written: Path) -> None:
    page.goto(f"file://{written / 'rating.html'}")
    first = page.locator(".phrases > li").first
    count = int(first.locator("summary > span").nth(1).inner_text().split()[0])
    words = first.locator(".w").inner_text()
    first.locator("summary").click()
    first.locator(".examples a").last.click()
    page.wait_for_selector("#narrowed:not([hidden])")
    assert words in page.locator("#narrowed").inner_text()
    assert page.locator("#status").inner_text().startswith(f"{count} document")


def test_a_phrase_may_hold_a_colon(page: Page, tmp_path: Path) -> None:
    write_report(tmp_path / "page.html", contents(*["open 12:30 daily"] * 3))
    page.goto(f"file://{tmp_path / 'page.html'}")
    phrases = page.evaluate("JSON.parse(document.getElementById('data').textContent).phrases")
    (key, *_) = [key for key, (words, _) in phrases.items() if words == "12:30"]
    page.goto(f"file://{tmp_path / 'page.html'}#phrase={quote(key)}")
    page.wait_for_selector("#narrowed:not([hidden])")
    assert f"“12:30” ({key.partition(':')[0]})" in page.locator("#narrowed").inner_text()
    assert page.locator("mark.hit").first.inner_text() == "12:30"


def test_what_is_found_can_be_downloaded(page: Page, written: Path) -> None:
    """A text that a spreadsheet would take for a formula is none; marks are elements that browsers know."""
    page.goto(f"file://{written / 'rating.html'}#q=l")
    page.fill("#search", "lager")
    page.wait_for_url(re.compile("#q=lager$"))
    page.click("#filters > summary")
    with page.expect_download() as download:
        page.click("#download")
    rows = Path(download.value.path()).read_text(encoding="utf-8-sig").split("\n")
    assert rows[0].strip() == "id,text,prediction,low,high,truth,rationale,kept share"
    assert len(rows) == 3
    assert rows[1].startswith("row 2,<b>sour</b> lager of =1+1,2.5,1,4,3,")
    assert page.locator("#list mark.k").count() > 0


def test_words_of_two_targets_carry_letters(page: Page, written: Path) -> None:
    page.goto(f"file://{written / 'aspects.html'}")
    marks = page.locator("#list article").first.locator("mark.k")
    letters = [mark.get_attribute("data-letters") for mark in marks.all()]
    assert [letter for letter in letters if letter] == ["A", "B", "A", "B"]


def test_texts_whose_words_say_little_are_told_apart(page: Page, written: Path, tmp_path: Path) -> None:
    """Below the target that they say little about, or in one line about all of them; `$&` in a name is itself."""
    page.goto(f"file://{written / 'aspects.html'}")
    said = "taken together, these words say little about look: predicted nearly as for a text not read"
    assert page.locator("#list .little").all_inner_texts() == [said]
    assert page.locator("#list article").first.locator(".about-target").nth(1).locator(".little").count() == 1
    context = aspects()
    spec = replace(context.spec, names=("taste", "$& <b>" + "x" * 80))
    shared = [replace(one, aspects=(), information=(0.0, 0.0)) for one in context.documents[:3]]
    documents = (shared[0], replace(shared[1], information=(0.5, 0.5)), replace(shared[2], information=None))
    write_report(tmp_path / "page.html", replace(context, spec=spec, documents=documents, phrases=()))
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.set_viewport_size(PHONE)
        page.goto(f"file://{tmp_path / 'page.html'}")
        assert page.locator("#list .little").all_inner_texts() == [said.replace("look", ", ".join(spec.names))]
        assert not too_wide(page)
        assert not violations(page, "color-contrast")


def test_the_marks_of_one_target_can_be_shown(page: Page, written: Path) -> None:
    """Words of the others lose their marks, words that are not kept get a shade; folds stay, the address says it."""
    page.goto(f"file://{written / 'aspects.html'}")
    first = page.locator("#list article").first
    assert first.locator("span[class*=s], mark[class*=s]").all_inner_texts()
    assert not first.locator(".text span[class^=s]").count()  # of both, no word is shaded that none keeps
    first.locator("summary").first.click()
    page.click("label[for=marks-1]")
    letters = {mark.get_attribute("data-letters") for mark in first.locator("mark.k").all()} - {None}
    assert letters == {"B"}
    assert first.locator(".text span[class^=s]").count()
    assert first.locator("details").first.get_attribute("open") is not None
    assert page.evaluate("location.hash") == "#marks=B"
    page.goto("about:blank")
    page.goto(f"file://{written / 'aspects.html'}#marks=A")
    assert page.is_checked("#marks-0")
    assert {mark.get_attribute("data-letters") for mark in page.locator("#list mark.k").all()} - {None} == {"A"}
    page.click("label[for=marks-all]")
    assert page.evaluate("location.hash") == ""


def test_the_script_marks_the_words_of_targets_as_the_page_without_it(page: Page, written: Path) -> None:
    page.goto(f"file://{written / 'aspects.html'}")
    context = aspects()
    for letters, one in zip(Drawn(page.content()).texts, context.documents, strict=False):
        assert letters == [(letter, piece.classes) for piece in pieces(one, context.spec) for letter in piece.text]


def test_targets_stand_below_the_text_side_by_side(page: Page, written: Path) -> None:
    """Beside it they made a document of four targets 1,300 pixels tall."""
    page.set_viewport_size(DESKTOP)
    page.goto(f"file://{written / 'aspects.html'}")
    article = page.locator("#list article").first
    text, *cells = [article.locator(css).bounding_box() for css in (".text", ".about-target >> nth=0",
                                                                    ".about-target >> nth=1")]  # fmt: skip
    assert text
    assert all(cell and cell["y"] >= text["y"] + text["height"] for cell in cells)
    assert cells[0]
    assert cells[1]
    assert cells[0]["y"] == cells[1]["y"]
    assert not article.locator("details[open]").count()
    assert article.locator(".about-target >> nth=0 >> summary").inner_text().startswith("2 spans")


@pytest.mark.parametrize("name", ["rating", "classes", "aspects"])
def test_the_first_document_is_seen_early(page: Page, written: Path, name: str) -> None:
    page.set_viewport_size({"width": 1200, "height": 900})
    page.goto(f"file://{written / name}.html")
    assert page.evaluate("document.querySelector('#list article').getBoundingClientRect().top") < 850
    assert page.evaluate("document.querySelector('.key').getBoundingClientRect().height") < 40  # one line
    assert not page.locator("#sort").is_visible()
    page.goto("about:blank")
    page.goto(f"file://{written / name}.html#sort=length-")  # a choice that was sent is in view
    assert page.locator("#sort").is_visible()


def test_marks_of_a_run_of_kept_words_have_no_holes(page: Page, tmp_path: Path) -> None:
    """Every pixel between the first and the last word of "waste of money" belongs to a shaded mark."""
    one = read("a waste of money")
    one = replace(one, kept=(False, True, True, True), inclusion=(0.0, 1.0, 0.5, 0.8))
    write_report(tmp_path / "page.html", replace(contents(), documents=(speaking(one),)))
    page.goto(f"file://{tmp_path / 'page.html'}")
    boxes = page.locator("#list .text mark").evaluate_all(
        "(marks) => marks.map((m) => [m.getBoundingClientRect().left, m.getBoundingClientRect().right, m.className])"
    )
    assert all(" k" in look and look.startswith("s") for *_, look in boxes)
    assert all(abs(right - left) < 0.5 for (_, right, _), (left, _, _) in pairwise(boxes))


def test_an_interval_says_where_its_scale_ends(page: Page, written: Path) -> None:
    page.goto(f"file://{written / 'rating.html'}")
    assert page.locator("#list .scale").first.locator(".end").all_inner_texts() == ["0", "5"]


def test_the_legend_of_the_predictive_check_does_not_overlap(page: Page, tmp_path: Path) -> None:
    """The page's letters are wider than those the figure is laid out with."""
    numbers = np.random.default_rng(0).uniform(size=(40, 30))
    target = Replicated(numbers, numbers[0], "taste", (), (0.0, 1.0))
    drawing = draw_svg(lambda axes: _draw_predictive(axes, target), "predictive")
    chart = Chart("chart-predictive-0", "Ratings", "Ratings", drawing)
    write_report(tmp_path / "page.html", replace(contents("good"), sections=(Section("x", "x", (chart,)),)))
    page.goto(f"file://{tmp_path / 'page.html'}")
    boxes = page.locator("#chart-predictive-0 svg text").evaluate_all(
        "(all) => all.map((t) => [t.textContent, t.getBoundingClientRect().toJSON()])"
    )
    legend = [box for text, box in boxes if text in ("observed", "their median", "90 % of replicated data sets")]
    assert len(legend) == 3
    for i, one in enumerate(legend):
        for other in legend[:i]:
            apart = one["left"] >= other["right"] or other["left"] >= one["right"]
            assert apart or one["top"] >= other["bottom"] - 3 or other["top"] >= one["bottom"] - 3


def test_diagnostics_open_when_they_are_asked_for(page: Page, written: Path) -> None:
    page.goto(f"file://{written / 'rating.html'}")
    assert not page.locator("#chart-loss").is_visible()
    page.click("nav >> text=Diagnostics")
    page.wait_for_selector("#chart-loss", state="visible")
