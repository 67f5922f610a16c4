"""Whether a planted opinion moves the prediction to the side to which it moves the rating.

    python benchmarks/effects.py runs/planted

A planted rating is the mean valence of its opinion words, so the true effect of an opinion is known: what the mean of
the kept opinions changes by. Without an opinion, what is left is the mean of the training ratings. Every kept opinion
word, and every span that holds one, is removed from the shown mask, and stands alone, which are the effects that
`explain` shows of spans: without a word, they begin at the mean prediction. Counted are all of them, and those that
move the rating by more than its noise. A run with a mask for each target counts every target by its own mask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from bars import table

from pyro_rationale.data import load_corpus
from pyro_rationale.data.aspects import by_aspect
from pyro_rationale.data.corpora.synthetic import VALENCE
from pyro_rationale.data.corpus import Document
from pyro_rationale.data.document import spans_of
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.decoding import Mask
from pyro_rationale.prediction.rationalizer import ModelRationalizer
from pyro_rationale.tasks import Numbers

Predict = Callable[[Sequence[Document], Sequence[Sequence[bool]]], Numbers]


@dataclass(frozen=True)
class Effect:
    """Change that a part of a mask makes to the rating of a text.

    Attributes:
        what: `word removed`, `span removed`, `word alone` or `span alone`.
        truth: change of the rating, on its scale of 0 to 1.
        change: change of the prediction, on the same scale.
    """

    what: str
    truth: float
    change: float

    @property
    def right(self) -> bool:
        """Whether both changes have one sign."""
        return self.truth * self.change > 0.0


def effects_of(
    documents: Sequence[Document], masks: Sequence[Mask], predict: Predict, middle: Sequence[float]
) -> list[Effect]:
    """Effects of each kept opinion word and of each span that holds one.

    Args:
        documents: planted reviews of one target, or rows about one target each.
        masks: those that are shown.
        predict: predictions `(N, D)` from masks of documents.
        middle: the rating of each target without an opinion.
    """
    wanted: list[tuple[Document, str, float]] = []
    before: list[Mask] = []
    after: list[Mask] = []
    for document, mask in zip(documents, masks, strict=True):
        assert document.opinion is not None
        carrying = [i for i, (own, kept) in enumerate(zip(document.opinion, mask, strict=True)) if own and kept]
        parts = [("word", (i, i + 1)) for i in carrying] + [("span", run) for run in spans_of(mask)]
        for what, (start, end) in parts:
            inside = [start <= i < end for i in range(len(mask))]
            left = [i for i in carrying if not inside[i]]
            if len(left) == len(carrying):
                continue
            truth = _rating(document, left, middle) - _rating(document, carrying, middle)
            wanted.append((document, f"{what} removed", truth))
            before.append(mask)
            after.append(tuple(kept and not own for kept, own in zip(mask, inside, strict=True)))
            own = [i for i in carrying if inside[i]]
            truth = _rating(document, own, middle) - _rating(document, [], middle)
            wanted.append((document, f"{what} alone", truth))
            before.append((False,) * len(mask))
            after.append(tuple(inside))
    if not wanted:
        return []
    asked = [document for document, *_ in wanted]
    changes = predict(asked, after) - predict(asked, before)
    return [
        Effect(what, truth, float(change[document.aspect or 0]))
        for (document, what, truth), change in zip(wanted, changes, strict=True)
    ]


def _rating(document: Document, opinions: Sequence[int], middle: Sequence[float]) -> float:
    """Mean valence of opinion words, by their places."""
    valences = [VALENCE[document.tokens[i]] for i in opinions]
    return sum(valences) / len(valences) if valences else middle[document.aspect or 0]


def summary(found: Sequence[Effect], noise: float) -> list[tuple[str, ...]]:
    """Rows of a table: what is done to what, how many there are, and the share of right signs."""
    rows: list[tuple[str, ...]] = []
    for what in ("span removed", "span alone", "word removed", "word alone"):
        for least, name in ((noise, f"more than {noise:g}"), (0.0, "any")):
            own = [one for one in found if one.what == what and abs(one.truth) > least]
            share = f"{100 * np.mean([one.right for one in own]):.1f} %" if own else "-"
            rows.append((what, name, str(len(own)), share))
    return rows


@click.command(help=__doc__)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--documents", default=500, show_default=True, help="test texts")
def main(run: Path, documents: int) -> None:
    """Print the table."""
    fitted = FittedModel.load(run, "cpu")
    corpus = load_corpus(fitted.config.data, fitted.spec, typed=())
    middle = np.mean([document.targets for document in corpus.train], axis=0).tolist()
    texts = list(corpus.test[:documents])
    rows = texts if fitted.aspects == 1 else by_aspect(texts, fitted.aspects)
    model = ModelRationalizer(fitted)
    base = fitted.calibration.base if fitted.calibration is not None and fitted.config.nonempty else None

    def read(documents: Sequence[Document], masks: Sequence[Sequence[bool]]) -> Numbers:
        values = model.predict(documents, masks)
        if base is not None:
            values[[not any(mask) for mask in masks]] = base
        return values

    found = effects_of(rows, model.masks(rows), read, middle)
    head = ("effect", "change of the rating", "number", "right sign")
    click.echo(table(head, summary(found, fitted.config.data.noise)))


if __name__ == "__main__":
    main()
