"""The questions on a table of meals: the table, which variants are asked, and the figures of an answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyro_rationale.experiments.studies.cells import StudyCell
from pyro_rationale.experiments.studies.question_variants import QUESTIONS
from pyro_rationale.experiments.studies.questions import RULE_QUESTION
from pyro_rationale.experiments.studies.small_questions import (
    NOISE,
    SMALL,
    STARS,
    TABLE,
    small_answer,
    small_study,
    write_meals,
)

figure_module = pytest.importorskip("matplotlib.figure")


def meals(path: Path, documents: int = 800, seed: int = 0) -> list[dict[str, Any]]:
    write_meals(path, documents, seed)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_marked_word_carries_the_rating(tmp_path: Path) -> None:
    rows = meals(tmp_path / "m.jsonl")
    rest = []
    for row in rows:
        (place,) = np.flatnonzero(row["rationale"])
        assert len(row["rationale"]) == len(row["text"])
        assert row["text"][place - 3 : place] == ["the", "food", "was"]
        assert sum(word in STARS for word in row["text"]) == 2  # the staff has one, too
        rest.append(row["stars"] - STARS[row["text"][place]])
    assert np.std(rest) == pytest.approx(NOISE, abs=4 * NOISE / np.sqrt(2 * len(rows)))
    places = [(np.argmax(row["rationale"]) + 0.5) / len(row["text"]) for row in rows]
    assert np.mean(places) == pytest.approx(0.55, abs=0.1)  # anywhere; the word ends its clause


def test_a_seed_makes_a_table(tmp_path: Path) -> None:
    first, again, other = (meals(tmp_path / f"{i}.jsonl", 20, seed) for i, seed in enumerate((0, 0, 1)))
    assert first == again != other


def test_every_arm_is_one_of_the_whole_study_and_a_configuration(tmp_path: Path) -> None:
    known = [variant for question in QUESTIONS.values() for variant in question.variants]
    assert list(SMALL) == list(QUESTIONS)
    study = small_study(tmp_path)
    for number, question in SMALL.items():
        assert question.title == QUESTIONS[number].title
        assert len(question.variants) >= 2
        assert all(variant in known for variant in question.variants)
        tables = {study.config(StudyCell(variant, 0)).data.data for variant in question.variants}
        assert tables == {str(tmp_path / TABLE)}
    assert all(variant.rules for variant in SMALL[RULE_QUESTION].variants)


def test_an_answer_has_a_row_per_arm_and_its_figure_the_numbers(tmp_path: Path) -> None:
    from pyro_rationale.reporting.plots import plot_answer, plot_variants

    study = small_study(tmp_path, documents=60, steps=4, anneal=2, hidden=4)
    rows = small_answer(study, 6)
    assert [row["variant"] for row in rows] == [variant.name for variant in SMALL[6].variants]
    figure = figure_module.Figure(layout="constrained")
    panels = figure.subplots(1, 2)
    plot_answer(panels, rows, ("mse", "error_reading_all"))
    widths = [[bar.get_width() for bar in axes.patches] for axes in panels]
    assert widths[0] == pytest.approx([row["mse"][0] for row in rows])
    assert widths[1] == pytest.approx([0.0, rows[1]["error_reading_all"][0], 0.0])
    shares = plot_variants(figure.add_subplot(), rows, "selected")
    assert [text.get_text() for text in shares.texts] == [f"{100 * row['selected'][0]:.3g} %" for row in rows]
    assert [text.get_text() for text in panels[1].texts][::2] == ["\u2013", "\u2013"]
    assert [label.get_text() for label in panels[0].get_yticklabels()] == [row["variant"] for row in rows]
    assert panels[0].get_xlabel() == "squared error"
    seeds: list[dict[str, Any]] = [{"variant": "a", "mse": [1.0, 0.25]}, {"variant": "b", "mse": [2.0, None]}]
    spread = plot_variants(figure.add_subplot(), seeds, "mse")
    assert spread.get_xlim()[1] > 2.0
    lines: Any = spread.collections[0]
    assert [segment[:, 0].tolist() for segment in lines.get_segments()] == [[0.75, 1.25], [2.0, 2.0]]
    figure.draw_without_rendering()
