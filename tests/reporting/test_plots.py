"""Figures hold the numbers that they are given."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from operator import methodcaller
from typing import Any

import numpy as np
import pytest

from pyro_rationale.errors import harmless
from pyro_rationale.evaluation.calibration import Curve
from pyro_rationale.evaluation.rate_curves import Curve as RateCurve
from pyro_rationale.reporting.plots import (
    curve_figure,
    plot_inclusion,
    plot_khat,
    plot_predictive,
    plot_rates,
    plot_rationale,
    plot_spans,
    plot_training,
)
from pyro_rationale.reporting.plots.calibration import plot_reliability
from pyro_rationale.reporting.plots.predictions import plot_predictions
from pyro_rationale.reporting.plots.svg import draw_svg
from pyro_rationale.reporting.plots.uncertainty import plot_pit
from pyro_rationale.training.history import EpochRecord

figure_module = pytest.importorskip("matplotlib.figure")
TOKENS = ["a", "$5", "look", ",", "dull", "x" * 30]
INCLUSION = [0.0, 0.2, 0.9, 0.5, 1.0, 0.1]
KEPT = [False, False, True, False, True, False]
GOLD = [False, True, True, False, False, False]


@pytest.fixture
def axes() -> Iterator[Any]:
    figure = figure_module.Figure(figsize=(6, 3), layout="constrained")
    panel = figure.subplots()
    yield panel
    figure.draw_without_rendering()  # whatever was drawn can be rendered


def names(axes: Any) -> list[str]:
    return list(axes.get_legend_handles_labels()[1])


def test_spans_are_shares_of_all_runs(axes: Any) -> None:
    guide, prior = [30, 60, 10, 0, 0], [90, 9, 0.5, 0.3, 0.2]
    assert plot_spans(axes, guide, prior) is axes
    heights = [[bar.get_height() for bar in group] for group in axes.containers]
    assert heights[0] == pytest.approx([0.3, 0.6, 0.1, 0.0][: len(heights[0])])
    assert heights[1][:2] == pytest.approx([0.9, 0.09])
    assert [sum(group) for group in heights] == pytest.approx([1.0, 1.0])
    assert names(axes) == ["guide, mean 1.80 words", "prior, mean 1.12 words"]
    assert axes.get_xticklabels()[-1].get_text().endswith("+")


def test_spans_of_masks_that_keep_nothing(axes: Any) -> None:
    plot_spans(axes, np.zeros(50), np.zeros(50))
    assert names(axes) == ["guide, no word kept", "prior, no word kept"]


@pytest.mark.parametrize("plot", [plot_rates, plot_spans])
def test_no_legend_lies_on_the_line_of_what_was_asked_for(axes: Any, plot: Any) -> None:
    plot(axes, np.full(40, 0.2), np.full(40, 0.3), 0.5 if plot is plot_rates else 30.0)
    assert any(name.startswith("prior asked for") for name in names(axes))
    axes.figure.draw_without_rendering()
    assert axes.get_legend().get_window_extent().y0 >= axes.get_window_extent().y1


def test_rates_above_the_last_bin_are_counted_in_it(axes: Any) -> None:
    rates = np.concatenate([np.full(995, 0.1), np.full(5, 0.9)])
    assert plot_rates(axes, rates.reshape(10, 100), np.full(50, 0.05)) is axes
    patches: list[Any] = list(axes.patches)
    shares = [patch.get_data().values for patch in patches]
    assert [share.sum() for share in shares] == pytest.approx([1.0, 1.0])
    assert shares[0][-1] == pytest.approx(0.005)
    assert names(axes) == ["guide, mean of documents 0.104", "prior, mean of documents 0.050"]


def test_predictive_check_leaves_out_what_nobody_knows(axes: Any) -> None:
    random = np.random.default_rng(0)
    observed = random.normal(size=300)
    drawn = random.normal(size=(200, 300))
    drawn[:, 7] = 1e6
    observed[7] = np.nan
    plot_predictive(axes, drawn, observed, "look")
    band, middle, truth = (patch.get_data() for patch in axes.patches)
    assert truth.values.sum() == pytest.approx(1.0)
    assert truth.edges.max() < 10
    inside = (band.baseline <= truth.values) & (truth.values <= band.values)
    assert inside.mean() > 0.7
    assert (band.baseline <= middle.values).all()
    assert axes.get_xlabel() == "look"


@pytest.mark.parametrize("classes", [(), ("no", "yes")])
@pytest.mark.parametrize(("size", "shape"), [((6.4, 4.0), (1, 1)), ((10.0, 4.0), (1, 2)), ((10.0, 6.4), (2, 2))])
def test_the_legend_of_the_predictive_check_hides_nothing(
    size: tuple[float, float], shape: tuple[int, int], classes: tuple[str, ...]
) -> None:
    random = np.random.default_rng(0)
    figure = figure_module.Figure(figsize=size, layout="constrained")
    panels = np.ravel(figure.subplots(*shape))
    for axes in panels:
        plot_predictive(axes, random.integers(0, 2, (100, 40)), np.ones(40), "look", classes)
    figure.draw_without_rendering()
    for axes in panels:
        legend = axes.get_legend().get_window_extent()
        assert axes.transData.inverted().transform(legend.get_points())[0, 1] > axes.dataLim.y1


def test_rating_axes_end_where_the_scale_ends(axes: Any) -> None:
    random = np.random.default_rng(0)
    observed, drawn = random.normal(2.5, 2.0, 300).clip(0.0, 5.0), random.normal(2.5, 2.0, (50, 300))
    plot_predictive(axes, drawn, observed, "look", scale=(0.0, 5.0))
    assert axes.get_xlim() == (0.0, 5.0)
    _, middle, truth = (patch.get_data() for patch in axes.patches)
    assert truth.values.sum() == pytest.approx(1.0)
    assert middle.values[0] == pytest.approx((drawn <= 0.2).mean(), abs=0.02)  # what lies beyond counts at the end
    axes.clear()
    plot_predictions(axes, observed, observed, (0.0, 5.0))
    assert axes.get_xlim() == axes.get_ylim() == (0.0, 5.0)


def test_ratings_of_few_levels_have_a_bar_each(axes: Any) -> None:
    drawn = np.array([[1.0, 3.0, 5.0, 5.0], [1.0, 1.0, 3.0, 5.0]])
    plot_predictive(axes, drawn, [1.0, 5.0, 5.0, 5.0], "stars", scale=(1.0, 5.0))
    assert [bar.get_height() for bar in axes.containers[0]] == [0.25, 0.0, 0.75]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "3", "5"]


def test_dollars_in_the_names_of_targets_and_classes_are_no_formulas(axes: Any) -> None:
    """A column `price $_{$` ended in a ValueError when its figure was written, and `$ or $` lost its dollars."""
    plot_predictive(axes, np.array([[0, 1, 1, 1], [0, 0, 1, 1]]), [0, 1, 1, 1], "price $_{$", ("$_{$ no", "yes"))
    assert axes.get_xlabel() == "price $_{$"


def test_predictive_check_of_classes(axes: Any) -> None:
    drawn = np.array([[0, 1, 1, 1], [0, 0, 1, 1]])
    plot_predictive(axes, drawn, [0, 1, 1, 1], "label", ("no", "yes"))
    bars = axes.containers[0]
    assert [bar.get_height() for bar in bars] == [0.25, 0.75]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["no", "yes"]


def test_shapes_of_weights(axes: Any) -> None:
    plot_khat(axes, [0.1, 0.7, -5.0, 0.9, np.inf, 8.0, np.nan, 0.2])
    shares = [label.rpartition(": ")[2] for label in names(axes)]
    assert shares == ["57 % of documents", "14 % of documents", "29 % of documents"]
    points = np.concatenate([np.asarray(line.get_ydata()) for line in axes.lines[1:]])
    assert sorted(points.tolist()) == [-1.0, 0.1, 0.2, 0.7, 0.9, 3.0, 3.0]


def test_shapes_where_nothing_is_known(axes: Any) -> None:
    plot_khat(axes, [np.nan, np.nan])
    assert axes.texts[0].get_text() == "no document has a target"


def test_words_stand_in_their_shades(axes: Any) -> None:
    assert plot_rationale(axes, TOKENS, INCLUSION, KEPT, GOLD, columns=24) is axes
    assert [text.get_text() for text in axes.texts] == TOKENS
    assert [patch.get_alpha() for patch in axes.patches] == pytest.approx([0.85 * p for p in INCLUSION])
    axes.figure.canvas.figure.draw_without_rendering()
    for text, shade in zip(axes.texts, axes.patches, strict=True):
        letters, box = text.get_window_extent(), shade.get_window_extent()
        assert letters.x0 >= box.x0 - 2
        assert letters.x1 <= box.x1 + 2
        assert letters.width > 0.9 * box.width or len(text.get_text()) < 3
    assert axes.texts[4].get_position()[1] == axes.texts[0].get_position()[1]
    assert axes.texts[5].get_position()[1] > axes.texts[0].get_position()[1]
    assert len(axes.lines) == sum(KEPT) + sum(GOLD)


def test_what_no_space_divides_is_not_divided(axes: Any) -> None:
    words = ["So", "bad", "!", "It", "'", "s", "(", "sad", ")"]
    spaced = [word in ("bad", "It", "(") for word in words]
    plot_rationale(axes, words, [0.0] * 9, columns=6, spaced=spaced)
    places = {text.get_text(): (int(text.get_position()[0]), int(text.get_position()[1])) for text in axes.texts}
    assert places == {
        **{"So": (0, 0), "bad": (0, 1), "!": (3, 1)},
        **{"It": (0, 2), "'": (2, 2), "s": (3, 2)},
        **{"(": (0, 3), "sad": (1, 3), ")": (4, 3)},
    }


def test_inclusion_is_a_bar_per_word(axes: Any) -> None:
    assert plot_inclusion(axes, TOKENS, INCLUSION, np.array(KEPT), np.array(GOLD)) is axes
    kept, others = axes.containers
    assert [bar.get_height() for bar in kept] == [0.9, 1.0]
    assert [bar.get_height() for bar in others] == [0.0, 0.2, 0.5, 0.1]
    assert names(axes) == ["annotated rationale", "kept", "not kept"]
    assert len(axes.get_xticks()) == len(TOKENS)


def test_of_long_texts_only_likely_words_are_named(axes: Any) -> None:
    plot_inclusion(axes, TOKENS * 20, INCLUSION * 20)
    assert len(axes.get_xticks()) == 20 * sum(p >= 0.5 for p in INCLUSION)


def test_training(axes: Any) -> None:
    history = [EpochRecord(1, 10, 2.0, 0.5, 0.4, 1.0, 0.9, 0.05, 0.4, event="best"),
               EpochRecord(2, 20, 1.0, 0.2, 0.13, 1.0, 0.5, 0.02, 0.1, event="collapse (rate): restarted")]
    assert plot_training(axes, history, "rate") is axes
    assert [np.asarray(line.get_ydata())[-1] for line in axes.lines[:3]] == [0.2, 0.1, 0.13]
    assert len(axes.lines) == 4
    with pytest.raises(ValueError, match="expected one of error, rate"):
        plot_training(axes, history, "speed")


def test_the_warm_up_is_grey_and_sets_no_scale(axes: Any) -> None:
    """Its loss is that of another objective, far above what follows."""
    history = [EpochRecord(i, 10 * i, loss, 0.5, 0.4, 1.0, 0.9, warmup=float(i < 3)) for i, loss in
               enumerate((90.0, 80.0, 1.5, 1.0), 1)]  # fmt: skip
    plot_training(axes, history, "loss")
    low, high = axes.get_ylim()
    assert 0.9 < low < 1.0
    assert 1.5 < high < 1.6
    assert [text.get_text() for text in axes.texts] == ["warm-up"]
    assert len(axes.patches) == 1


def test_each_warm_up_of_a_fit_that_began_anew_is_grey(axes: Any) -> None:
    history = [EpochRecord(i, 10 * i, 1.0, 0.5, 0.4, 1.0, 0.9, warmup=float(i in (1, 2, 5))) for i in range(1, 8)]
    plot_training(axes, history, "loss")
    places = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in axes.patches]
    assert places == [(0, 20), (40, 50)]


def test_shares_of_words_are_per_cent_on_a_log_scale() -> None:
    points = [{"selected": share, "mse": 0.1, "span": 1.0} for share in (0.02, 0.1, 0.5, 1.0)]
    figure = curve_figure([RateCurve("run", "threshold", points)])
    ticks = figure.axes[0].xaxis
    assert figure.axes[0].get_xscale() == "log"
    assert [ticks.get_major_formatter()(value) for value in (0.02, 0.1, 1.0)] == ["2 %", "10 %", "100 %"]


def test_points_of_a_curve_have_the_bars_of_their_noise() -> None:
    points = [{"selected": share, "mse": 0.1} for share in (0.02, 0.1, 0.5)]
    margins = [{"mse": 0.02}, {"mse": 0.01}, {}]
    (axes,) = curve_figure([RateCurve("run", "threshold", points, margins)]).axes
    bars: Any = axes.collections[0]
    assert [segment.tolist() for segment in bars.get_segments()] == [
        [[0.02, pytest.approx(0.08)], [0.02, pytest.approx(0.12)]],
        [[0.1, pytest.approx(0.09)], [0.1, pytest.approx(0.11)]],
    ]


def test_predictions_and_reliability_name_their_reference(axes: Any) -> None:
    plot_predictions(axes, np.arange(4000) % 5, np.arange(4000) % 4, (0.0, 5.0))
    assert names(axes) == ["y = x", "document"]
    assert len(np.asarray(axes.lines[1].get_xdata())) == 1334  # every third
    axes.clear()
    curve = Curve(*(np.array(values) for values in ([0.0, 0.5], [0.5, 1.0], [90, 3], [0.2, 0.7], [0.1, 0.8])))
    plot_reliability(axes, {"gold": curve})
    assert names(axes) == ["perfect calibration", "gold"]
    full, hollow = axes.lines[2:]
    assert (full.get_xdata(), hollow.get_xdata()) == ([0.2], [0.7])
    assert hollow.get_markerfacecolor() == "white"


def test_the_band_of_right_distributions_is_what_the_legend_calls_it(axes: Any) -> None:
    plot_pit(axes, [10] * 20)
    handles = dict(zip(names(axes), axes.get_legend_handles_labels()[0], strict=True))
    band = handles["if right: 95 % of bins"].get_path().get_extents(handles["if right: 95 % of bins"].get_transform())
    (low, high), spread = axes.transData.inverted().transform(band)[:, 1], 1.96 * np.sqrt(0.05 * 0.95 / 200)
    assert [low, high] == pytest.approx([0.05 - spread, 0.05 + spread])


def test_names_of_runs_are_no_formulas_and_none_is_hidden(axes: Any) -> None:
    curve = Curve(*(np.array(values) for values in ([0.0, 0.5], [0.5, 1.0], [90, 3], [0.2, 0.7], [0.1, 0.8])))
    plot_reliability(axes, {"_a $\\foo$ \x1b[31m": curve, "b $x_{$": curve})
    axes.figure.canvas.draw()
    assert names(axes)[1:] == [r" _a \$\foo\$ " + "\ufffd[31m", r"b \$x_{\$"]


def test_a_drawing_of_the_report_may_hold_any_name() -> None:
    for name in ("\x1b[31m \x00", "\ufffe \u202e", "<b> & $\\foo$"):
        assert escape(harmless(name)) in draw_svg(methodcaller("set_title", name), "a")
