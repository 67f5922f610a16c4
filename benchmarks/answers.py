"""Whether the fit of answers that `explain --for` shows picks the true one of two ratings as often as the prediction.

    python benchmarks/answers.py runs/planted

The other rating is that of a random training text, at least a tenth of the scale away. By the fit that is shown the
rating of the larger predictive density is picked, by evidence that of the larger log p(y = c | x), by the prediction
the nearer one. Targets with masks of their own are asked about one by one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from pyro_rationale.data import load_corpus
from pyro_rationale.data.aspects import by_aspect
from pyro_rationale.data.corpus import Document
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.answers import Question, answers_of
from pyro_rationale.prediction.decoding import evaluating
from pyro_rationale.prediction.options import PredictOptions
from pyro_rationale.prediction.predictor import predict
from pyro_rationale.tasks import Numbers

Pair = tuple[int, float, float]  # a target, and two ratings of it
LEAST = 0.1  # of the scale, between the two ratings


@dataclass(frozen=True)
class Choice:
    """Which of two ratings of a text is picked.

    Attributes:
        fit: whether the true one has the larger predictive density.
        evidence: whether the true one has the larger evidence.
        prediction: whether the prediction is nearer to the true one.
        khat: the larger Pareto shape of the two estimates of evidence; above 0.7 they are unsure.
    """

    fit: bool
    evidence: bool
    prediction: bool
    khat: float


def others(documents: Sequence[Document], pool: Numbers, least: Numbers, seed: int) -> list[Pair]:
    """Target, true rating and a wrong one of each document that is rated.

    Args:
        documents: of one target, or rows about one target each.
        pool: ratings of training texts `(N, D)`, NaN where there is none.
        least: distance between the two ratings at least, `(D,)`.
        seed: of the wrong ratings.
    """
    rng = np.random.default_rng(seed)
    found = []
    for document in documents:
        target = document.aspect or 0
        true = document.targets[target]
        far = pool[np.abs(pool[:, target] - true) >= least[target], target]
        found.append((target, true, float(rng.choice(far)) if len(far) else math.nan))
    return found


def choices(fitted: FittedModel, documents: Sequence[Document], asked: Sequence[Pair]) -> list[Choice]:
    """Both choices for each document with two ratings."""
    options = PredictOptions(alternatives=0)
    rated = [(document, one) for document, one in zip(documents, asked, strict=True) if not any(map(math.isnan, one))]
    readings = predict(fitted, [document for document, _ in rated], options, batch_size=64)
    made = []
    with evaluating(fitted):
        for (document, (target, true, wrong)), reading in zip(rated, readings, strict=True):
            pair = [Question(target, value, f"{value:g}") for value in (true, wrong)]
            right, other = answers_of(fitted, document, pair, options.samples)
            predicted = reading.predicted[target]
            made.append(
                Choice(
                    right.log_predictive > other.log_predictive,
                    right.log_evidence > other.log_evidence,
                    abs(predicted - true) < abs(predicted - wrong),
                    max(right.evidence_khat, other.evidence_khat),
                )
            )
    return made


def sign_test(one: int, other: int) -> float:
    """Two-sided p of so many texts that only one, and only the other way picks rightly."""
    count, least = one + other, min(one, other)
    tail = sum(math.comb(count, k) for k in range(least + 1)) / 2**count
    return min(1.0, 2.0 * tail)


@click.command(help=__doc__)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--documents", default=250, show_default=True, help="test texts")
@click.option("--seed", default=0, show_default=True, help="of the wrong ratings")
def main(run: Path, documents: int, seed: int) -> None:
    """Print what each way picks."""
    fitted = FittedModel.load(run, "cpu")
    if fitted.spec.classes:
        raise click.UsageError(f"{run}: predicts labels; name a run that predicts ratings")
    corpus = load_corpus(fitted.config.data, fitted.spec, typed=())
    texts = list(corpus.test[:documents])
    rows = texts if fitted.aspects == 1 else by_aspect(texts, fitted.aspects)
    pool = np.array([document.targets for document in corpus.train], dtype=float)
    low, high = np.array(fitted.spec.ranges, dtype=float).T
    found = choices(fitted, rows, others(rows, pool, LEAST * (high - low), seed))
    ways = {name: np.array([getattr(one, name) for one in found]) for name in ("fit", "evidence", "prediction")}
    unsure = _share(one.khat > 0.7 for one in found)
    click.echo(f"{len(found)} pairs of ratings; k-hat of the evidence above 0.7 in {unsure}")
    for name, right in ways.items():
        other = ways["prediction"]
        p = sign_test(int((right & ~other).sum()), int((other & ~right).sum()))
        click.echo(f"{name}: picks the true one in {_share(right)}; against the prediction p = {p:.2g}")


def _share(flags: Iterable[Any]) -> str:
    return f"{100 * np.mean(list(flags)):.1f} %"


if __name__ == "__main__":
    main()
