"""The report's page: texts are harmless in it, it needs nothing but itself, and everybody can use it."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.errors import harmless
from pyro_rationale.reporting.html import render, write_report
from pyro_rationale.reporting.html.payload import pieces
from pyro_rationale.reporting.phrases import Example, Phrase, PhraseGroup, Side
from tests.support.report_pages import (
    BINARY,
    CLASSES,
    NASTY,
    RATING,
    SCRIPT,
    STYLE,
    Drawn,
    contents,
    parse,
    read,
)


def test_whatever_texts_contain_is_text() -> None:
    """Every tag of the page is one that it has with plain texts; the texts come back from its data as they were."""
    nasty = [f"good {text} bad" for text in NASTY]
    spec = replace(BINARY, names=(NASTY[1],), classes=(NASTY[0], NASTY[2]))
    hostile = parse(render(contents(*nasty, spec=spec, title=NASTY[0])))
    tame = parse(render(contents(*["good bad"] * len(nasty), spec=BINARY)))
    kinds = ("script", "style", "link", "img", "meta", "noscript", "form", "article", "b")
    assert {kind: len(hostile.all(kind)) for kind in kinds} == {kind: len(tame.all(kind)) for kind in kinds}
    assert not [e for e in hostile.elements if any(name.startswith("on") for name in e.attributes)]
    assert [document["t"] for document in hostile.data()["documents"]] == [harmless(text) for text in nasty]
    assert hostile.data()["names"] == [NASTY[1]]
    assert hostile.all("h1")[0].text == NASTY[0]
    shown = [e for e in hostile.elements if e.attributes.get("class") == "text" and e.tag == "p"]
    assert len(shown) == len(nasty)


def test_no_letter_disturbs_the_page() -> None:
    html = render(contents(*NASTY, title=NASTY[5]))
    html.encode()  # no half of a pair
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufffe]", html)
    assert "<script>alert" not in html
    assert harmless("a\x00b\ud800c\u202ed") == "a\ufffdb\ufffdc\ufffdd"
    assert harmless("\U0001f600 ẞ\n") == "\U0001f600 ẞ\n"


@given(st.text(max_size=40))
def test_any_text_comes_back(text: str) -> None:
    page = parse(render(contents(f"one {text} two")))
    assert page.data()["documents"][0]["t"] == harmless(f"one {text} two")
    assert len(page.all("script")) == 2


def test_the_page_asks_nothing_of_anybody() -> None:
    page = parse(render(contents("good beer", "bad beer")))
    for element in page.elements:
        for name in ("src", "href", "action", "srcset", "data", "poster"):
            target = element.attributes.get(name)
            assert target is None or target.startswith("#"), (element.tag, name, target)
    assert not page.all("link")
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    assert not re.search(r"fetch|XMLHttp|import\(|innerHTML|outerHTML|insertAdjacent|eval\(|document\.write", SCRIPT)


def test_only_the_pages_own_script_may_run() -> None:
    page = parse(render(contents("good beer")))
    policy = next(e for e in page.all("meta") if e.attributes.get("http-equiv") == "Content-Security-Policy")
    rules = str(policy.attributes["content"])

    def digest(text: str) -> str:
        return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"

    data, script = page.all("script")
    assert data.attributes["type"] == "application/json"
    assert f"script-src {digest(script.text)};" in rules
    assert f"style-src {digest(page.all('style')[0].text)};" in rules
    assert "default-src 'none'" in rules
    assert not [e for e in page.elements if "style" in e.attributes]  # the policy forbids these


def test_the_same_contents_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_report(tmp_path / name, contents("good beer", "bad beer"))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_the_key_says_it_in_plain_words_and_in_full() -> None:
    html = render(contents("good beer"))
    key = html[html.index('<details class="key">') : html.index('id="controls"')]
    line, full = key.split("</summary>")
    assert " how often the model keeps a word" in line
    assert "shade: how often the model keeps this word; in full, inclusion probability under the guide" in full
    for words in ("double line", "marked by annotators"):
        assert words in line
        assert words in full
    words = re.sub(r"<style>.*?</style>|<script.*?</script>|<[^>]+>", " ", html, flags=re.S)
    assert not re.search(r"(?i)twofold|\bgold\b", words)
    assert html.count(">Accuracy</") == 2  # in the menu and above the section


def test_a_page_stays_below_five_megabytes(tmp_path: Path) -> None:
    text = "it's <good> & bad. " * 400
    report = contents()
    long = tuple(replace(read(text, 0), document=replace(read(text, 0).document, id=f"row {i}")) for i in range(3))
    far = Phrase("sour", "a:sour", (0, 359), 0.5, 0.1, (Example(0, "sour"), Example(359, "so sour")))
    farther = replace(far, words="flat", key="a:flat", documents=(358, 359), examples=())
    group = PhraseGroup("taste", "mean prediction", "", (Side("low", (far, farther), 0.5),))
    report = replace(report, documents=long * 120, phrases=(group,))
    write_report(tmp_path / "page.html", report)
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert 4_000_000 < (tmp_path / "page.html").stat().st_size < 5_000_000
    listed = len(parse(html).data()["documents"])
    assert 0 < listed < 360
    assert f"The first {listed} of 360 documents are listed" in html
    assert "1 of the 2 documents that this phrase stands for: those that are listed" in html
    assert "none of the 2 documents that this phrase stands for is listed" in html
    assert html.count("(not listed)") == 1  # no link leads nowhere


def luminance(colour: tuple[float, ...]) -> float:
    """Relative luminance of WCAG 2.2."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Contrast ratio of WCAG 2.2."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def colours(scheme: str) -> dict[str, tuple[float, ...]]:
    """The style sheet's colours, 0 to 1."""
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.S)
    found = {}
    own = "".join(blocks[0 if scheme == "light" else 1 : 4 : 2])  # of both files, without those for print
    for name, value in re.findall(r"--([\w-]+): ([^;]+);", own):
        numbers = [int(value[i : i + 2], 16) for i in (1, 3, 5)] if "#" in value else map(int, value.split())
        found[name] = tuple(n / 255 for n in numbers)
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_have_enough_contrast(scheme: str) -> None:
    """WCAG 2.2 AA: 4.5 for text, shaded or not, 3 for lines and controls; each shade is stronger than the last."""
    c = colours(scheme)
    for ground in ("page", "paper"):
        for text in ("ink", "muted", "accent", "right", "wrong"):
            assert contrast(c[text], c[ground]) >= 4.5, (text, ground)
        for line in ("a", "b", "c", "d", "e", "f", "gold", "control", "bar-edge"):
            assert contrast(c[line], c[ground]) >= 3.0, (line, ground)
    shares = [float(a) for a in re.findall(r"^\.s\d+ \{ background: rgb\(var\(--shade\) / ([\d.]+)\)", STYLE, re.M)]
    assert len(shares) == 10
    steps = []
    for share in shares:
        shaded = tuple(share * s + (1 - share) * p for s, p in zip(c["shade"], c["paper"], strict=True))
        assert contrast(c["ink"], shaded) >= 4.5
        steps.append(contrast(shaded, c["paper"]))
    assert steps == sorted(steps)
    assert steps[-1] > 1.9


def test_the_page_can_be_used_without_eyes_or_mouse() -> None:
    page = parse(render(contents("good beer", "bad beer")))
    ids = [e.attributes["id"] for e in page.elements if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    for element in page.elements:
        for name in ("aria-labelledby", "for"):
            for target in str(element.attributes.get(name) or "").split():
                assert target in ids, target
    labelled = {e.attributes["for"] for e in page.all("label")}
    assert {e.attributes["id"] for e in [*page.all("input"), *page.all("select")]} == labelled
    pictures = [e for e in page.all("svg") if e.attributes.get("aria-hidden") != "true"]
    assert len(pictures) == 10
    assert all(e.attributes.get("role") == "img" and e.attributes.get("aria-labelledby") for e in pictures)
    assert page.all("a")[0].attributes == {"class": "skip", "href": "#documents"}
    parts = [e.attributes["href"] for e in page.all("a")[1:6]]
    assert parts == [f"#{e.attributes['id']}" for e in page.all("h2")]  # every part of the page can be jumped to
    assert parts == ["#phrases", "#documents", "#quality", "#calibration", "#diagnostics"]
    assert page.all("html")[0].attributes["lang"] == "en"
    assert set(re.findall(r'\bat\("([\w-]+)"\)', SCRIPT)) <= set(ids)  # what the script looks for is there
    levels = [int(e.tag[1]) for e in page.elements if re.fullmatch("h[1-6]", e.tag)]
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))


BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no browser on this machine")
@pytest.mark.parametrize("spec", [RATING, BINARY, CLASSES], ids=["rating", "binary", "classes"])
def test_a_browser_shows_the_documents(tmp_path: Path, spec: TargetSpec) -> None:
    """The script draws every text as the templates do, and nothing is said on the console."""
    report = contents("Good, bad and ugly beer", *NASTY, "plain", "", spec=spec)
    write_report(tmp_path / "page.html", report)
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", f"file://{tmp_path / 'page.html'}"]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    assert b"CONSOLE" not in done.stderr
    page = parse(done.stdout.decode())
    assert {"regression": "2.5", "binary": "negative (75\u00a0%)", "multiclass": "stout (70\u00a0%)"}[spec.kind] in [
        e.text for e in page.all("dd")
    ]
    shown = Drawn(done.stdout.decode()).texts
    assert len(shown) == len(report.documents)
    for letters, one in zip(shown, report.documents, strict=True):
        assert letters == [(letter, piece.classes) for piece in pieces(one, spec) for letter in piece.text]
