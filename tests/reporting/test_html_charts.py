"""Charts and figures of the report."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from pyro_rationale.cli.explain import explain
from pyro_rationale.cli.fit import fit
from pyro_rationale.config import Config
from pyro_rationale.reporting.advice import followed
from pyro_rationale.reporting.html import Chart, Section, Tile, render
from pyro_rationale.reporting.html.build import lead_of, margin, source_of, tiles_of, without_absent
from pyro_rationale.reporting.html.charts import (
    class_charts,
    events,
    training_charts,
    uncertainty_charts,
)
from pyro_rationale.reporting.html.meanings import MEANINGS, explained, flagged, meaning_of
from pyro_rationale.reporting.html.payload import pack, prediction_lines
from pyro_rationale.training.history import EpochRecord
from pyro_rationale.training.options import ModelOptions
from tests.support.report_pages import RATING, STYLE, contents, read


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


def test_no_macro_f1_counts_a_class_that_no_document_has() -> None:
    """It was 0.467 of negative reviews alone, where that of all was 0.869."""
    rows = {"negative": {"documents": 9, "precision": 1.0, "recall": 0.9, "f1": 0.95},
            "positive": {"documents": 0, "precision": 0.0, "recall": 0.0, "f1": 0.0}}  # fmt: skip
    confusion = {"negative": {"negative": 8, "positive": 1}, "positive": {"negative": 0, "positive": 0}}
    metrics = {"documents": 9, "accuracy": 0.9, "macro_f1": 0.47, "averaged_macro_f1": 0.47, "classes": rows,
               "confusion": confusion}  # fmt: skip
    told = without_absent(metrics)
    assert told.keys() == metrics.keys() - {"macro_f1", "averaged_macro_f1"}
    [chart] = class_charts(told)
    assert chart.notes[-1] == "No macro F1: none of the documents is positive."
    known = metrics | {"classes": {name: row | {"documents": 4} for name, row in rows.items()}}
    assert without_absent(known) == known
    several = {"macro_f1": 0.5, "aspects": {"a": known, "b": metrics}}
    assert "macro_f1" not in without_absent(several)
    assert "macro_f1" in without_absent(several)["aspects"]["a"]
    assert without_absent({"macro_f1": 0.5, "aspects": {"a": known}})["macro_f1"] == 0.5


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
    pieces = [piece for id in MEANINGS for piece in flagged(meaning_of(f"chart-{id}-0"))]
    named = {piece.rstrip(".,:;") for piece, is_flag in pieces if is_flag}
    assert named <= known
    assert {"--steps", "--rate", "--condition-on-target", "--prior", "--class-weight", "--task"} <= named
    assert "".join(piece for piece, _ in flagged(meaning_of("chart-span"))) == MEANINGS["span"]
    assert meaning_of("chart-confusion-0") == ""
    ids = {chart.id for section in contents().diagnostics for chart in section.charts}
    assert all(meaning_of(id) for id in ids)


def test_no_comma_stands_at_the_beginning_of_a_line() -> None:
    """Punctuation behind a flag may not be parted from it."""
    assert flagged("take --a-b, --nats or --tau.") == [
        ("take ", False), ("--a-b,", True), (" ", False), ("--nats", True), (" or ", False), ("--tau.", True),
    ]  # fmt: skip
    assert '<span class="flag"><code>--condition-on-target</code>,</span>' in render(
        replace(contents(), sections=(Section("x", "x", tuple(explained([khat_chart()]))),))
    )


def khat_chart() -> Chart:
    """A chart of importance weights, without a drawing."""
    return Chart("chart-khat", "Trust in importance weights", "", "")


def test_nobody_is_told_to_do_what_the_run_does() -> None:
    config = Config(model=ModelOptions(tau=1.0))
    done = followed(config, RATING)
    assert done == {"--prior learned", "--tau 1"}  # what --prior auto comes to
    assert "--prior learned" not in meaning_of("chart-kept", done)
    assert "--tau" not in meaning_of("chart-reliability", done)
    [chart] = explained([khat_chart()], done)
    assert chart.meaning.endswith("For a guide nearer to the posterior: --condition-on-target and fewer --nats.")
    assert meaning_of("chart-khat", {"--condition-on-target", "--tau 1"}).endswith("posterior: fewer --nats.")
    assert meaning_of("chart-khat").endswith("--condition-on-target, --tau 1 and fewer --nats.")
    model = replace(config.model, prior="fixed", tau=0.5, condition_on_target=True)
    train = replace(config.train, class_weight="balanced")
    other = followed(replace(config, model=model, train=train), replace(RATING, kind="ordinal"))
    assert other == {"--condition-on-target", "--class-weight balanced", "--task ordinal"}
    assert "--class-weight" not in meaning_of("chart-frequencies-0", other)
    assert "--task" not in meaning_of("chart-predictive-0", other)


def test_the_error_says_what_it_is_and_the_warm_up_is_told_of_where_it_is_drawn() -> None:
    history = [EpochRecord(i, 10 * i, 0.5, 0.8, 0.5, 0.1, 0.5, 0.3, 0.4) for i in (1, 2, 3)]
    charts = {chart.id: chart for chart in training_charts(history, "cross entropy in nats")}
    assert "dev: cross entropy in nats" in charts["chart-error"].drawing
    assert "or nats" not in charts["chart-error"].drawing
    assert charts["chart-loss"].notes == ()
    assert not any("warm-up" in chart.drawing for chart in charts.values())
    warm = [replace(history[0], warmup=1.0), *history[1:]]
    charts = {chart.id: chart for chart in training_charts(warm)}
    assert charts["chart-loss"].notes[0].startswith("The warm-up, on a grey ground,")
    assert ">warm-up</text>" in charts["chart-loss"].drawing


def test_four_targets_have_four_colours() -> None:
    counts = {name: [2.0] * 10 for name in ("appearance", "aroma", "palate", "taste", "overall", "price")}
    [chart] = (one for one in uncertainty_charts({"pit": counts}) if one.id == "chart-coverage")
    strokes = set(re.findall(r'stroke="var\((--[a-z])\)"', chart.drawing))
    assert strokes == {"--a", "--b", "--c", "--d", "--e", "--f"}


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
    told = "10.0 % of the words kept, 71 % of them for several targets"
    assert lead_of({"selected": 0.1, "shared": 0.71}, 0.9) == told
    assert lead_of({"selected": 0.1, "shared": 0.5}, 0.9) == "10.0 % of the words kept"
    more = "; averaged over 500 masks per document (fit and evaluate: 50)"
    assert lead_of(metrics, 0.9, True, samples=500) == said + more
    assert lead_of(metrics, 0.9, True, samples=50) == said


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


def test_the_shown_rationale_has_its_probability_and_its_prediction() -> None:
    one = replace(read("good beer"), probability=0.05, values=(2.25,))
    assert (pack(one)["f"], pack(one)["w"]) == ("5 %", [2.25])
    found = [pack(replace(one, probability=p))["f"] for p in (0.0, 0.00004, 0.004, 1.0)]
    assert found == ["0 %", "<0.1 %", "0.4 %", "100 %"]
    report = replace(contents(), documents=(one,))
    page = render(report)
    assert "this rationale has probability 5 %" in page
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
