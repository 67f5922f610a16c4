"""From cells to rows: mean and standard deviation over seeds, and tests against the reference method.

Two tests say two things. Over documents: what each method did on a document, in all its seeds together, is swapped
between the two, document by document; that is about *these fits* on other documents. Over seeds: figures of fits are
exchanged between the methods; that is about the *methods*, and with five seeds each p can be .008 at least. The largest
p over documents within one seed shows whether every single fit agrees.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyro_rationale.errors import RunError
from pyro_rationale.evaluation.significance import added, holm, paired_test, seeds_test
from pyro_rationale.evaluation.statistic import Statistic, quotient
from pyro_rationale.experiments.benchmark.runner import VIEWS, BenchmarkRunner
from pyro_rationale.experiments.benchmark.spec import Cell, CorpusPlan, Rate
from pyro_rationale.experiments.seeds import mean_sd
from pyro_rationale.tasks import TASKS, cost_names

AGREEMENT = ("f1", "precision", "recall", "opinion_recall")
SELECTION = ("selected", "span", "empty", "seconds", "seconds_per_text")
FAITHFULNESS = ("comprehensiveness", "sufficiency", "judge_kept_mse", "judge_kept_accuracy")  # before a judge
MEASURES = (*AGREEMENT, *cost_names(), *FAITHFULNESS, *SELECTION)
DRAWS = 9999
Figures = dict[str, Any]
Counts = Mapping[str, Mapping[int, dict[str, Statistic]]]  # by method and seed


@dataclass(frozen=True)
class Test:
    """A method against the reference in one figure.

    Attributes:
        difference: mean over seeds, method less reference.
        documents: p over documents, all seeds together.
        holm: the same, adjusted for the number of methods in the table.
        seeds: p over seeds.
        worst: the largest p over documents within one seed; NaN if no seed is shared.
    """

    difference: float
    documents: float
    holm: float
    seeds: float
    worst: float


@dataclass(frozen=True)
class Line:
    """A method in a table.

    Attributes:
        method: its name.
        title: its name for people.
        seeds: of which there are cells.
        means: by measure.
        sds: by measure; `None` for a single seed.
        values: by measure, per seed.
        tests: by measure, `f1` and the task's; none for the reference.
    """

    method: str
    title: str
    seeds: list[int]
    means: dict[str, float]
    sds: dict[str, float | None]
    values: dict[str, list[float]]
    tests: dict[str, Test] = field(default_factory=dict)


@dataclass(frozen=True)
class Block:
    """One table: a corpus, a target rate, a view.

    Attributes:
        corpus: its name.
        rate: label of the target rate.
        share: the target as a share of words.
        view: a key of :data:`pyro_rationale.experiments.benchmark.runner.VIEWS`.
        reference: the method tested against.
        lines: of methods, in the order of the file.
    """

    corpus: str
    rate: str
    share: float
    view: str
    reference: str
    lines: list[Line]


def summarise(runner: BenchmarkRunner, draws: int = DRAWS) -> list[Block]:
    """Tables of all finished cells; methods and seeds without a cell are left out."""
    blocks = []
    plan = runner.plan
    finished = {cell: runner.read(cell) for cell in plan.cells() if runner.state(cell) == "finished"}
    for corpus in plan.corpora:
        for rate in corpus.rates:
            cells = {cell: facts for cell, facts in finished.items() if (cell.corpus, cell.rate) == (corpus, rate)}
            blocks += [
                block for view in VIEWS if (block := _block(runner, corpus, rate, view, cells, draws)).lines
            ]
    return blocks


def _block(
    runner: BenchmarkRunner, corpus: CorpusPlan, rate: Rate, view: str, cells: Mapping[Cell, Figures], draws: int
) -> Block:
    plan, lines, counts = runner.plan, [], {}
    share = math.nan
    for method in plan.methods:
        by_seed = {c.seed: (c, f) for c, f in cells.items() if c.method == method and view in f["views"]}
        if not by_seed:
            continue
        facts = [facts for _, facts in by_seed.values()]
        share = float(facts[0]["rate"]["share"])
        values = {measure: _values(measure, view, facts) for measure in MEASURES}
        values = {measure: row for measure, row in values.items() if row}
        lines.append(Line(
            method, facts[0]["title"], list(by_seed),
            {measure: mean_sd(row)[0] for measure, row in values.items()},
            {measure: mean_sd(row)[1] for measure, row in values.items()},
            values,
        ))
        counts[method] = {
            seed: figures_of(runner.documents(cell), view, facts["kind"]) for seed, (cell, facts) in by_seed.items()
        }
    _test(lines, counts, plan.reference, draws)
    return Block(corpus.name, rate.label, share, view, plan.reference, lines)


def _values(measure: str, view: str, facts: Sequence[Figures]) -> list[float]:
    """Values of a measure over the seeds that have it."""
    whole = measure in ("seconds", "seconds_per_text")
    values = [cell.get(measure) if whole else cell["views"][view].get(measure) for cell in facts]
    return [float(value) for value in values if value is not None and math.isfinite(value)]


def figures_of(documents: Figures, view: str, kind: str) -> dict[str, Statistic]:
    """F1 over words and the task's figure as functions of sums over documents, from stored counts.

    Raises:
        RunError: the counts are not there.
    """
    try:
        own = documents["views"][view]
        annotated = [number is not None for number in documents["gold"]]
        gold = [number or 0 for number in documents["gold"]]
        kept = [number * flag for number, flag in zip(own["kept"], annotated, strict=True)]
        figures = {}
        if any(gold):
            total = [a + b for a, b in zip(kept, gold, strict=True)]
            figures["f1"] = quotient([2 * number for number in own["hits"]], total)
        if any(documents["known"]):
            figures[TASKS[kind].cost_name] = quotient(own["cost"], documents["known"])
        return figures
    except (KeyError, TypeError) as problem:
        raise RunError(f"documents.json of a cell: {problem} is missing; delete that cell and run again") from None


def _test(lines: Sequence[Line], counts: Counts, reference: str, draws: int) -> None:
    """Fill in the tests of all lines against the reference."""
    base = next((line for line in lines if line.method == reference), None)
    if base is None:
        return
    for measure in ("f1", *cost_names()):
        counted = [line for line in lines if all(measure in figures for figures in counts[line.method].values())]
        rows = {
            line.method: _compare(line, base, counts, measure, draws)
            for line in counted
            if line is not base and base in counted
        }
        adjusted = holm({method: row["documents"] for method, row in rows.items()})
        for line in lines:
            if line.method in rows:
                line.tests[measure] = Test(**rows[line.method], holm=adjusted[line.method])


def _compare(line: Line, base: Line, counts: Counts, measure: str, draws: int) -> dict[str, float]:
    own, other = counts[line.method], counts[base.method]
    shared = [seed for seed in line.seeds if seed in base.seeds]
    pairs = [(own[seed][measure], other[seed][measure]) for seed in shared]
    every = math.nan
    if pairs:
        every = paired_test(added([a for a, _ in pairs]), added([b for _, b in pairs]), draws).p
    single = [paired_test(a, b, draws).p for a, b in pairs]
    return {
        "difference": line.means[measure] - base.means[measure],
        "documents": every,
        "seeds": seeds_test(line.values[measure], base.values[measure]).p,
        "worst": max(single, default=math.nan),
    }
