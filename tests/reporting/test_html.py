"""The report: what it says, that texts are harmless in it, and that it needs nothing but itself."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from dataclasses import replace
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyro_rationale.cli.explain import explain
from pyro_rationale.cli.fit import fit
from pyro_rationale.data import load_corpus
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.errors import harmless
from pyro_rationale.evaluation.evaluate import evaluate_documents, evaluate_predictions
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.inference_data import write_posterior
from pyro_rationale.prediction.netcdf import open_groups
from pyro_rationale.prediction.options import PredictOptions, Size
from pyro_rationale.prediction.predictor import predict as predict_all
from pyro_rationale.reporting.html import ReportContext, Tile, build_report, render, write_report
from pyro_rationale.reporting.html.build import lead_of, margin, source_of, tiles_of
from pyro_rationale.reporting.html.charts import (
    class_charts,
    events,
    prediction_charts,
    prior_guide_charts,
    reliability_charts,
    training_charts,
)
from pyro_rationale.reporting.html.meanings import MEANINGS, meaning_of
from pyro_rationale.reporting.html.payload import effect_lines, pack, pieces, prediction_lines, runs, short, signed
from pyro_rationale.reporting.phrases import Example, Phrase, PhraseGroup, Side
from pyro_rationale.reporting.plots.posterior import MaskDraws
from pyro_rationale.storage import read_json
from pyro_rationale.training.history import EpochRecord, read_history
from tests.support.report_pages import BINARY, CLASSES, NASTY, RATING, Drawn, contents, parse, read, speaking
from tests.support.small_fit import whole

TEMPLATES = files("pyro_rationale.reporting.html").joinpath("templates")
STYLE = "".join(TEMPLATES.joinpath(f"{name}.css").read_text(encoding="utf-8") for name in ("base", "style"))
SCRIPT = files("pyro_rationale.reporting.html").joinpath("templates", "script.js").read_text(encoding="utf-8")


# Harmless.


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


# The same for everybody.


def test_the_same_contents_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_report(tmp_path / name, contents("good beer", "bad beer"))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


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
        for line in ("a", "b", "c", "gold", "control", "bar-edge"):
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


# Documents.


@pytest.mark.parametrize("text", ["Good, bad!  And   ugly", "\U0001f600 a \U0001f600b\U00020000 c", *NASTY])
def test_words_are_found_again_where_scripts_count(text: str) -> None:
    """Scripts count in UTF-16 units."""
    packed = pack(read(text))
    units = packed["t"].encode("utf-16-le")
    end, words = 0, []
    for gap, length in zip(packed["o"][::2], packed["o"][1::2], strict=True):
        words.append(units[2 * (end + gap) : 2 * (end + gap + length)].decode("utf-16-le"))
        end += gap + length
    document = read(text).document
    assert words == [harmless(text)[a:b] for a, b in document.offsets]
    assert packed["p"] == [i % 21 * 5 for i in range(len(words))]


def test_pieces_are_the_text_and_look_as_they_should() -> None:
    one = read("good, bad and ugly")  # good , bad and ugly: kept 0 and 3, gold 0 to 2, at 0, 5, ... 20 %
    found = [(piece.text, piece.classes) for piece in pieces(one)]
    assert found == [
        ("good", "k g"), (",", "s1 g"), (" ", "g"), ("bad", "s1 g"), (" ", ""),
        ("and", "s2 k"), (" ", ""), ("ugly", "s2"),
    ]  # fmt: skip
    assert "".join(text for text, _ in found) == one.document.text
    joined = replace(one, kept=(True,) * 5, inclusion=(1.0,) * 5)
    assert (" ", "k g") in [(piece.text, piece.classes) for piece in pieces(joined)]
    assert [p.text for p in pieces(read(""))] == []


def test_spans_are_for_and_against() -> None:
    """Words 0 and 3 are kept; the first speaks for, the second against."""
    one = speaking(read("good bad and ugly"))
    assert [p.classes for p in pieces(one) if p.text in ("good", "ugly")] == ["k for g", "s2 k against"]
    assert pack(one)["c"] == [[[1, -0.5, 1]], [[-1, 0.5, -1]]]
    assert list(effect_lines(one, RATING)) == [
        ("good", "taste +1 (\N{MINUS SIGN}0.500 if removed, +1 alone)"),
        ("ugly", "taste \N{MINUS SIGN}1 (+0.500 if removed, \N{MINUS SIGN}1 alone)"),
    ]
    assert list(effect_lines(read("good"), RATING)) == []
    assert "the span raises the rating" in render(contents("good"))
    assert "log odds of the predicted label" in render(contents("good", spec=BINARY))
    assert "the span raises" not in render(replace(contents(), documents=(read("good"),)))


def test_targets_have_rationales_of_their_own() -> None:
    """The words of both are underlined; each has its spans, and what these do, under its letter."""
    spec = replace(RATING, names=("taste", "look"), ranges=RATING.ranges * 2)
    one = replace(speaking(read("good bad and ugly")), share=0.05)
    rows = [replace(one, document=replace(one.document, aspect=i)) for i in (0, 1)]
    both = replace(one, values=(2.5, 3.0), predicted=(2.5, 3.0), interval=((1.0, 4.0),) * 2, share=None)
    both = replace(both, document=replace(one.document, targets=(3.0, 1.0)), aspects=tuple(rows), contributions=None)
    packed = pack(both)
    assert packed["m"] == [[[0, 1, 3, 4], [[[1, -0.5, 1]], [[-1, 0.5, -1]]], 5]] * 2
    assert "c" not in packed
    assert [text for text, _ in effect_lines(both, spec)] == ["A good", "A ugly", "B good", "B ugly"]
    assert [said.split()[0] for _, said in effect_lines(both, spec)] == ["taste", "taste", "look", "look"]
    page = render(replace(contents(), spec=spec, documents=(both,), sections=()))
    assert "B ugly" in page
    assert [(p.text, p.letters) for p in pieces(both) if p.kept] == [("good", "AB"), ("ugly", "AB")]
    other = replace(both, aspects=(rows[0], replace(rows[1], kept=(False, False, True, True))), kept=(True, False) * 2)
    other = replace(other, kept=(True, False, True, True))
    marked = [(p.text, p.letters, p.classes) for p in pieces(other) if p.kept]
    assert marked == [("good", "A", "k t0 g"), ("and", "B", "s1 k t1 g"), ("ugly", "AB", "s2 k tt")]


def test_a_long_tail_that_was_not_read_is_cut() -> None:
    one = read("good beer")
    document = replace(one.document, text="good beer" + " and more" * 100)
    packed = pack(replace(one, document=document))
    assert packed["t"] == document.text[:209]
    assert packed["u"] == len(document.text) - 209
    assert list(pieces(replace(one, document=document)))[-1].classes == "un"


def test_what_is_not_known_is_not_there() -> None:
    one = read("good beer", gold=False)
    bare = replace(one, document=replace(one.document, targets=(float("nan"),)), interval=None, alternatives=())
    assert pack(bare).keys() == {"i", "t", "o", "p", "k", "v"}
    page = render(replace(contents(), documents=(bare,), quality=(), sections=(), diagnostics=()))
    for absent in ("<svg", "no gold word", "largest error", "<table"):
        assert absent not in page
    assert "unknown" in page
    assert runs((True, True, False, True)) == [0, 2, 3, 4]
    assert runs(()) == []
    with pytest.raises(ValueError, match="one per word of row 0"):
        pack(replace(one, kept=(True,)))


@pytest.mark.parametrize("spec", [BINARY, CLASSES], ids=["binary", "classes"])
def test_classes_are_named(spec: TargetSpec) -> None:
    page = parse(render(contents("good beer", spec=spec)))
    said = [e.text for e in page.all("dd")]
    assert {"binary": "negative (75 %)", "multiclass": "stout (70 %)"}[spec.kind] in said
    assert spec.classes[1] in said
    assert page.data()["classes"] == list(spec.classes)
    assert list(prediction_charts([read("good beer", spec=spec)], spec)) == []


# Charts.


def test_a_confusion_matrix_is_drawn_and_its_classes_are_a_table() -> None:
    labels = ["good & <b>", "$x$", "fair"]
    figures = {"documents": 12, "precision": 0.5, "recall": 0.25, "f1": 1 / 3}
    metrics = {
        "classes": dict.fromkeys(labels, figures),
        "confusion": {a: {b: 1000 * (a == b) for b in labels} for a in labels},
        "macro_f1": 0.1,
        "averaged_macro_f1": 0.333,
    }
    [chart] = class_charts(metrics)
    assert chart.notes[-1] == "Macro F1: 0.333."
    assert [row[0] for row in chart.rows] == labels
    assert chart.rows[0][1] == "12"
    assert "good &amp; &lt;b&gt;" in chart.drawing
    assert chart.drawing.count("1,000") == 3
    assert not re.search(r"style=|#[0-9a-f]{6}", chart.drawing)
    each = {"a": metrics, "b": {"accuracy": 1.0}, "c": metrics}
    assert [chart.title for chart in class_charts({"aspects": each})] == [
        "True and predicted classes: a", "True and predicted classes: c"
    ]  # fmt: skip
    assert list(class_charts({"mse": 1.0})) == []


def test_charts_are_small_and_take_their_colours_from_the_page() -> None:
    """No style attribute, which the policy forbids, no colour of its own, and ids that no other chart has."""
    context = contents()
    folded = (chart for section in (*context.sections, *context.diagnostics) for chart in section.charts)
    charts = [*context.quality, *folded]
    assert len(charts) == 10
    for chart in charts:
        assert 1_000 < len(chart.drawing) < 8_000
        assert not re.search(r'style=|#[0-9a-f]{6}|class=|<metadata|xlink', chart.drawing)
    page = render(contents())
    ids = set(re.findall(r' id="([^"]+)"', page))
    assert set(re.findall(r'(?:url\(|<use href=")#([\w-]+)', page)) <= ids
    variables = set(re.findall(r"var\((--[\w-]+)\)", page.partition("</style>")[2]))
    assert variables <= set(re.findall(r"(--[\w-]+):", STYLE))


def test_what_figures_ask_for_can_be_done() -> None:
    """Every flag that a figure's meaning names is one of a command, and stands in a piece of its own."""
    known = {name for command in (fit, explain) for parameter in command.params for name in parameter.opts}
    named = {piece for id in MEANINGS for piece, is_flag in meaning_of(f"chart-{id}-0") if is_flag}
    assert named <= known
    assert {"--steps", "--rate", "--condition-on-target"} <= named
    assert "".join(piece for piece, _ in meaning_of("chart-span")) == MEANINGS["span"]
    assert meaning_of("chart-confusion-0") == []
    ids = {chart.id for section in contents().diagnostics for chart in section.charts}
    assert all(meaning_of(id) for id in ids)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("synthetic", "synthetic"),
        ("/home/someone/reviews.csv", "reviews.csv"),
        ("C:\\Users\\someone\\reviews.csv", "reviews.csv"),
        ("beer:/home/someone/reviews/", "beer:reviews"),
        ("/home/someone/reviews.csv (test)", "reviews.csv (test)"),
    ],
)
def test_no_folder_of_the_machine_is_named(data: str, name: str) -> None:
    assert source_of(data) == name


def test_the_result_stands_in_one_line() -> None:
    metrics = {"documents": 200, "mse": 0.5, "covered": 0.91, "selected": 0.1, "elbo": -7.0}
    said = "200 documents; squared error 0.500; truth in 90 % intervals 91 % of 200 (± 4); 10.0 % of the words kept"
    assert lead_of(metrics, 0.9) == said
    assert lead_of({}, 0.9) == ""


def test_the_result_stands_beside_what_others_have() -> None:
    """The error is that of the predictions that are shown; others of more texts say of how many."""
    metrics = {"documents": 70, "mse": 1.5, "averaged_mse": 1.453}
    others = {"tfidf": {"documents": 70, "mse": 1.24}, "constant": {"documents": 70, "mse": 2.21}, "mine": {"mse": 1.0}}
    assert lead_of(metrics, 0.9, True, others) == (
        "70 documents; squared error 1.45; a constant has 2.21, tf-idf on all words 1.24"
    )
    assert lead_of(metrics, 0.9, False, {"full-text": {"documents": 225, "mse": 1.33}}) == (
        "70 documents; squared error 1.50; same encoder on all words (1/2 steps) has 1.33 (of all 225 test texts)"
    )
    assert lead_of({"documents": 9, "accuracy": 0.8}, 0.9, False, {"constant": {"documents": 9, "accuracy": 0.5}}) == (
        "9 documents; 80 % of the predictions right; the most frequent class has 50 %"
    )
    tiles = {tile.label: tile for tile in tiles_of(metrics | {"covered": 0.84}, 0.9, averaged=True, rated=70)}
    assert tiles["squared error"] == Tile("squared error", "1.453", "from the kept words alone 1.5")
    assert tiles["truth in interval"].note == (
        "90 % expected; ± 9 points: two standard errors of a share of 70"
    )


def test_a_share_of_few_is_uncertain_even_where_all_are_right() -> None:
    assert [margin(1.0, 10), margin(0.84, 70), margin(0.9, 100_000)] == ["19", "9", "0.2"]


def test_the_shown_rationale_has_its_share_of_the_draws_and_its_prediction() -> None:
    one = replace(read("good beer"), share=0.05, values=(2.25,))
    assert (pack(one)["f"], pack(one)["w"]) == (5, [2.25])
    assert [pack(replace(one, share=share))["f"] for share in (0.0, 0.004, 1.0)] == [0, 0.4, 1 * 100]
    report = replace(contents(), documents=(one,))
    page = render(report)
    assert "5 % of the draws are this mask" in page
    assert "The prediction averages over the masks that the model finds probable" in page
    assert ("from these words alone", "2.25") in prediction_lines(one, RATING, "90 %", averaged=True)[0]
    mode = render(replace(report, averaged=False))
    assert "the prediction rests on these words alone" in mode
    assert "averages over" not in mode
    assert "<dt>from these words alone</dt>" not in mode


def test_curves_of_what_was_recorded() -> None:
    old = [EpochRecord(e, e, 0.1 * e, 0.2, 0.2, 0.0, 0.5, dev_error=0.1, event="best" * (e == 2)) for e in (1, 2, 3)]
    charts = {chart.id: chart for chart in training_charts(old)}
    assert charts.keys() == {"chart-loss", "chart-rate", "chart-error"}  # no ELBO in that run
    assert charts["chart-rate"].header == ("epoch", "step", "training, expected", "target")
    assert charts["chart-error"].notes == ("Epoch 2 was chosen.",)
    assert charts["chart-loss"].rows[2] == ("3", "3", "0.3")
    assert list(training_charts([])) == []


def test_an_epoch_of_the_warm_up_has_no_figures_of_masks() -> None:
    """The highest ELBO and the largest share of words were those of a guide that had not taken a step."""
    history = [
        EpochRecord(1, 1, 0.9, 1.0, 0.5, 0.0, 0.0, 0.3, 1.0, dev_elbo=9.0, warmup=1.0),
        EpochRecord(2, 2, 0.5, 0.7, 0.4, 0.0, 0.5, 0.2, 0.3, dev_elbo=-8.0, warmup=0.5),
    ]
    charts = {chart.id: chart for chart in training_charts(history)}
    assert charts["chart-rate"].rows == (("1", "1", "-", "-", "0.5"), ("2", "2", "0.4", "0.3", "0.4"))
    assert [row[2] for row in charts["chart-elbo"].rows] == ["-", "\N{MINUS SIGN}8"]
    assert [row[2] for row in charts["chart-loss"].rows] == ["0.9", "0.5"]


def test_consecutive_epochs_of_one_event_are_told_together() -> None:
    words = ["", "stopped", "stopped", "best", "stopped"]
    history = [EpochRecord(i, i, 0.1, 0.2, 0.2, 0.0, 0.5, event=event) for i, event in enumerate(words, 1)]
    assert events(history) == ("Epochs 2 to 3: stopped.", "Epoch 5: stopped.")


# From a run.


def test_a_report_of_a_run_says_what_evaluate_says(tmp_path: Path) -> None:
    pytest.importorskip("h5netcdf")
    fitted = FittedModel.load(whole(guide="chain"), "cpu")
    documents = load_corpus(fitted.config.data, fitted.spec).test
    write_posterior(tmp_path / "posterior.nc", fitted, documents, Size(40, 4))
    options = PredictOptions(samples=40)
    stored = read_json(whole(guide="chain") / "metrics.json")

    def report() -> ReportContext:
        with open_groups(tmp_path / "posterior.nc") as draws:
            predictions = list(predict_all(fitted, documents, options))
            evaluation = evaluate_predictions(predictions, fitted.spec, fitted)
            return build_report(
                predictions, options, fitted.config, fitted.spec, fitted.name,
                metrics=evaluation.metrics, curves=evaluation.curves,
                history=read_history(whole(guide="chain") / "epochs.jsonl"), stored=stored, draws=draws,
            )  # fmt: skip

    found = report()
    measured = evaluate_predictions(found.documents, fitted.spec).metrics
    assert measured.pop("covered") == measured["covered_90"]
    known = evaluate_documents(fitted, documents, samples=40)
    conformal = {name for name in known if name.startswith("conformal")}
    assert conformal <= evaluate_predictions(found.documents, fitted.spec, fitted).metrics.keys()
    assert measured == pytest.approx({name: known[name] for name in known.keys() - conformal}, abs=1e-5)
    labels = {tile.label for tile in found.tiles}
    assert {"squared error", "words kept", "nothing kept", "precision", "opinion recall", "ELBO"} <= labels
    assert [label for label, _ in found.metrics].count("IOU F1 (ERASER)") == 1
    assert len(found.metrics) > len(found.tiles)
    assert len(found.quality) == 1
    assert [len(section.charts) for section in found.sections] == [3]
    assert [len(section.charts) for section in found.diagnostics] == [4, 2, 2]
    assert found.lead.startswith(f"{len(documents)} documents; squared error ")
    write_report(tmp_path / "report.html", found)
    page = parse((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert len(page.data()["documents"]) == len(documents)
    assert [len(document["p"]) for document in page.data()["documents"]] == [len(d.tokens) for d in documents]
    assert render(report()) == render(found)


def test_prior_and_guide_are_those_of_the_stored_draws(tmp_path: Path) -> None:
    pytest.importorskip("h5netcdf")
    fitted = FittedModel.load(whole(guide="chain"), "cpu")
    documents = load_corpus(fitted.config.data, fitted.spec).test
    write_posterior(tmp_path / "posterior.nc", fitted, documents, Size(400, 4))
    requested = {"rate": 0.4, "span": 3.0}
    with open_groups(tmp_path / "posterior.nc") as draws:
        masks = MaskDraws.of(draws)
        assert np.array_equal(masks.rates, draws["guide/rate"].values)
        prior = {name: draws.attrs[f"prior_{name}"] for name in ("rate", "span")}
        kept, span = prior_guide_charts(masks, prior, requested)
    rows = np.array([[float(cell.removesuffix(" %")) for cell in row[1:]] for row in kept.rows])
    assert rows.sum(0) == pytest.approx([100.0, 100.0], abs=1.0)
    means = f"mean {masks.rates.mean():.3g} under the guide, {masks.prior_rates.mean():.3g} under the prior"
    assert means in kept.description
    assert "Prior asked for: keeps 40 % of the words in runs of 3." in kept.notes
    assert "prior asked for, mean 0.400" in kept.drawing
    assert "prior asked for, mean 3.00 words" in span.drawing
    told, _ = prior_guide_charts(masks, prior | {"share": 0.163, "run": 6.47}, requested)
    assert "Prior, learned: keeps 16.3 % of the words in runs of 6.47." in told.notes  # not those of an endless text
    readings = list(predict_all(fitted, documents, PredictOptions(samples=1)))
    assert masks.rates.mean() == pytest.approx(np.mean([np.mean(r.inclusion) for r in readings]), abs=0.02)
    expected = 0.0
    for document in documents:  # exact, word by word
        lengths = torch.tensor([len(document.tokens)])
        expected += float(fitted.model.prior.distribution(lengths, int(lengths)).mean.mean()) / len(documents)
    assert masks.prior_rates.mean() == pytest.approx(expected, abs=0.02)
    kept, _ = prior_guide_charts(masks, prior, prior)
    assert "asked for" not in kept.drawing
    assert [note.partition(":")[0] for note in kept.notes] == ["Prior", "Guide"]
    assert "Guide: q(z | x), tau 1; it has not seen the targets." in kept.notes


def test_reliability_is_of_all_words_with_gold() -> None:
    one = read("good, bad and ugly")
    (chart,) = reliability_charts([one, read("no gold here", gold=False)])
    assert sum(int(row[3]) for row in chart.rows) == len(one.document.tokens)
    assert {row[0] for row in chart.rows} == {"annotated rationale"}
    assert list(reliability_charts([read("no gold here", gold=False)])) == []


def test_errors_are_of_what_was_expected_and_not_of_what_is_shown() -> None:
    shown = read("good beer")
    assert evaluate_predictions([shown], RATING).metrics["mse"] == pytest.approx((3.0 - 2.5) ** 2)
    clipped = replace(shown, values=(5.0,), expected=(6.0,))
    assert evaluate_predictions([clipped], RATING).metrics["mse"] == pytest.approx((3.0 - 6.0) ** 2)


def test_intervals_are_counted() -> None:
    inside = read("good beer")
    outside = replace(inside, interval=((4.0, 5.0),))
    unrated = replace(inside, document=replace(inside.document, targets=(float("nan"),)))
    assert evaluate_predictions([inside, outside, outside, unrated], RATING).metrics["covered"] == pytest.approx(1 / 3)
    assert "covered" not in evaluate_predictions([read("good beer", spec=BINARY)], BINARY).metrics


# In a browser, where there is one.

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
        assert letters == [(letter, piece.classes) for piece in pieces(one) for letter in piece.text]


def test_numbers_have_three_digits_and_no_exponent() -> None:
    assert [short(value) for value in (4.0, 0.5, 1.234, 999.7, 12345.6)] == ["4", "0.500", "1.23", "1000", "12346"]
    assert [signed(value) for value in (0.25, -0.0, -0.25)] == ["+0.250", "+0", "\N{MINUS SIGN}0.250"]
