"""Answers to the questions that the paper leaves open, from cells of a study."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from pyro_rationale.experiments.seeds import mean_sd
from pyro_rationale.experiments.studies.cells import Measures, Study, StudyCell
from pyro_rationale.experiments.studies.common import Row
from pyro_rationale.experiments.studies.question_variants import Question

COLUMNS = (
    *("mse", "accuracy", "selected", "empty", "precision", "opinion_recall", "lexicon_lift", "error_reading_all"),
)
RULE_QUESTION = 2
SLOW = ("tracegraph", "straight-through")  # two to four times as long as the others


def run_cells(
    study: Study, questions: Sequence[Question], seeds: int, on_start: Callable[[StudyCell], None] = lambda cell: None
) -> None:
    """Run all cells but those that other processes hold: the slowest first, those that read others' last."""
    variants = {variant.name: variant for question in questions for variant in question.variants}.values()
    order = sorted(variants, key=lambda v: (bool(v.attention), v.flags.get("estimator") not in SLOW))
    cells = [StudyCell(variant, seed) for variant in order for seed in range(seeds)]
    study.run_all(cells, on_start)


def answer(question: Question, study: Study, seeds: int, by_rule: bool) -> list[Row]:
    """A row per variant (or per variant and rule): its name, then measure -> [mean, sd]."""
    rows: list[Row] = []
    for variant in question.variants:
        measures = [study.measures(variant, seed) for seed in range(seeds)]
        if by_rule:
            guide = variant.flags["guide"]
            for rule in measures[0]["rules"]:
                if any(rule not in cell["rules"] for cell in measures):
                    continue  # cells of older versions have no masks by `agreeing`
                rows.append(_row(f"{guide}: {rule}", [cell["rules"][rule] for cell in measures], ()))
        else:
            rows.append(_row(variant.name, measures, question.columns))
    known = {name for row in rows for name, value in row.items() if value is not None}
    return [{name: row.get(name) for name in row if name in known} for row in rows]


def _row(name: str, cells: Sequence[Measures], more: tuple[str, ...]) -> Row:
    row: Row = {"variant": name}
    for measure in dict.fromkeys((*COLUMNS, *more)):
        values = [cell.get(measure) for cell in cells]
        usable = [float(v) for v in values if isinstance(v, (int, float)) and math.isfinite(v)]
        row[measure] = list(mean_sd(usable)) if usable else None
    return row
