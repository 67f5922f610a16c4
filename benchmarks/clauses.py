"""Where in a gold clause the words stand that a fit leaves out, and what it marks in their place.

    python benchmarks/clauses.py runs/benchmark/planted

For every fit of METHOD at the gold rate, with and without tied ratings: how much of the first third of each gold clause
it keeps (that is where the aspect is named, or soon to be) and how much of the rest, how many clauses it keeps nothing
of, and of the words that it keeps wrongly, the share that stand no more than three words from a gold clause. Own masks.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from bars import spread, table

from pyro_rationale.data.corpus import Document
from pyro_rationale.data.document import spans_of
from pyro_rationale.experiments.benchmark.runner import FIT, Corpora
from pyro_rationale.experiments.benchmark.spec import read_plan
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.decoding import Mask, unlabelled
from pyro_rationale.prediction.rationalizer import ModelRationalizer
from pyro_rationale.run_files import WEIGHTS

NEAR = 3  # words


def measured(documents: Sequence[Document], masks: Sequence[Mask]) -> list[float]:
    """First third kept, rest kept, clauses untouched, wrong words near a clause."""
    first, rest, untouched, near = [], [], [], []
    for document, mask in zip(documents, masks, strict=True):
        assert document.gold is not None
        kept, around = np.asarray(mask, dtype=bool), np.zeros(len(mask), dtype=bool)
        for start, end in spans_of(document.gold):
            cut = start + max(1, (end - start) // 3)
            first.append(float(kept[start:cut].mean()))
            rest.append(float(kept[cut:end].mean()))
            untouched.append(float(not kept[start:end].any()))
            around[max(0, start - NEAR) : end + NEAR] = True
        near += around[kept & ~np.asarray(document.gold, dtype=bool)].astype(float).tolist()
    return [statistics.mean(values) if values else float("nan") for values in (first, rest, untouched, near)]


@click.command(help=__doc__)
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--plan", "path", default="benchmarks/configs/planted.toml", show_default=True,
              type=click.Path(path_type=Path), help="what was run there")
@click.option("--method", "methods", multiple=True, default=("chain",), show_default=True,
              help="one that is a fit of this package's trainer; repeat it")
def main(out: Path, path: Path, methods: tuple[str, ...]) -> None:
    """Prints the table."""
    plan = read_plan(path)
    corpora, rows = Corpora(plan), []
    for own in plan.corpora:
        for method in methods:
            folders = [path.parent for path in sorted(out.glob(f"{own.name}/1x/{method}/seed-*/{FIT}/{WEIGHTS}"))]
            documents = corpora[own].test
            texts = [unlabelled(document) for document in documents]
            models = [ModelRationalizer(FittedModel.load(folder, "cpu")) for folder in folders]
            if models:
                values = [measured(documents, model.masks(texts)) for model in models]
                rows.append([own.name, method, str(len(values)), *map(spread, zip(*values, strict=True))])
    head = ("corpus", "method", "seeds", "first third", "rest", "clauses untouched", "wrong words near one")
    click.echo(table(head, rows))


if __name__ == "__main__":
    main()
