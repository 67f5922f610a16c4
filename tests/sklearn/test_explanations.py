"""Explanations of the estimators, as objects and as HTML."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")


from tests.support.tiny_estimators import RATINGS, TEXTS, TINY, UNSEEN, tiny

# Ten steps reach nothing, and say so.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("name", ["one", "two", "binary", "three"])
def test_explanations(fitted: dict[str, Any], name: str) -> None:
    model = fitted[name]
    texts = TEXTS[:3] + UNSEEN
    explanations = model.explain(texts, samples=100, alternatives=3)
    predicted = model.predict(texts)
    assert [e.text for e in explanations] == texts
    for text, e, value in zip(texts, explanations, predicted.tolist(), strict=True):
        assert len(e.tokens) == len(e.offsets) == len(e.inclusion) == len(e.mask) <= TINY["max_words"]
        assert [text[a:b].lower() for a, b in e.offsets] == list(e.tokens)
        assert all(0 <= p <= 1 for p in e.inclusion)
        inside = tuple(any(a <= start and end <= b for a, b in e.spans) for start, end in e.offsets)
        assert inside == e.mask
        if name in ("binary", "three"):
            assert e.prediction == value
            assert sum(e.probabilities.values()) == pytest.approx(1)
            assert max(e.probabilities, key=e.probabilities.get) == value
            assert e.interval is None
        else:
            assert e.prediction == pytest.approx(tuple(value) if name == "two" else value)
            assert np.shape(e.interval) == ((2, 2) if name == "two" else (2,))
            assert e.probabilities is None
        for own in e.targets.values() if name == "two" else (e,):  # each of two targets has a mask of its own
            assert [other.mask for other in own.alternatives[:1]] == [own.mask]
            assert len({other.mask for other in own.alternatives}) == len(own.alternatives) <= 3
        assert all(other.prediction == e.from_rationale for other in e.alternatives[:1])
        assert str(e.tokens) not in repr(e)
        assert "\n" not in repr(e)
        assert str(e).startswith("predicted ")


class Parts(HTMLParser):
    """Tags in their order, and the text between underlines and in all."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.underlined = ""
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert {name for name, _ in attrs} <= {"style", "title", "dir"}
        self.open.append(tag)
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if "u" in self.open:
            self.underlined += data


@pytest.mark.parametrize("text", [*UNSEEN, TEXTS[0], "word " * 400 + "<script>alert(1)</script>"])
def test_html_is_the_text_and_nothing_of_it_is_obeyed(fitted: dict[str, Any], text: str) -> None:
    e = fitted["one"].explain([text], samples=10)[0]
    page = Parts()
    page.feed(e._repr_html_())
    assert not page.open
    assert page.seen <= {"div", "span", "u", "details", "summary", "ul", "li"}
    assert page.underlined == "".join(text[a:b] for a, b in e.spans).replace("\u202e", "\ufffd")
    assert text[:50].replace("\u202e", "\ufffd") in page.text
    assert "\u202e" not in page.text
    assert len(page.text) < 1500 + len(text)


@pytest.mark.parametrize("words", [0, 50])
def test_html_is_escaped_where_nothing_is_shaded(fitted: dict[str, Any], words: int) -> None:
    """In words, between them (where `<br>` stands: it is no word), and in what was not read."""
    text = "word " * words + "<b>& so</b><br><script>alert(1)</script>" + " word" * 3
    e = fitted["one"].explain([text], samples=2)[0]
    for p in (0.0, 1.0):
        bare = replace(e, inclusion=(p,) * len(e.tokens), mask=(False,) * len(e.tokens), spans=(), alternatives=())
        page = Parts()
        page.feed(bare._repr_html_())
        assert page.seen == {"div", "span"} if p or words else page.seen == {"div"}
        assert text in page.text
        assert "&lt;script" in bare._repr_html_() or p
        assert "<<" not in bare._repr_html_()


def test_names_of_targets_and_labels_are_escaped() -> None:
    frame = pytest.importorskip("pandas").DataFrame(RATINGS[:, :2], columns=["<i>look", "taste"])
    html = tiny().fit(TEXTS, frame).explain(TEXTS[:2], samples=5)._repr_html_()
    assert html.count("&lt;i&gt;look: ") >= 2
    assert "<i>" not in html
