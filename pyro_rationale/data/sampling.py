"""A few documents of many: drawn at random by a seed, class by class, and given in the order in which they stand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pyro_rationale.data.corpus import Document, TargetSpec


@dataclass(frozen=True)
class Sample:
    """Some of the documents of a split, or all.

    Attributes:
        documents: in the order in which they stand in the split.
        whole: number of documents that they were drawn from.
        by_class: whether each class has its share in the split.
        seed: of the draw.
    """

    documents: Sequence[Document]
    whole: int
    by_class: bool
    seed: int

    @property
    def drawn(self) -> bool:
        """Whether any document was left out."""
        return len(self.documents) < self.whole

    def told(self, split: str) -> str:
        """How the documents were drawn, in a sentence; nothing where they are all.

        Args:
            split: name of the split, or `all`.
        """
        if not self.drawn:
            return ""
        where = "all splits" if split == "all" else f"the {split} split"
        share = ", each class with its share" if self.by_class else ""
        return (
            f"{len(self.documents):,} of the {self.whole:,} documents of {where}, drawn at random{share} "
            f"(seed {self.seed}), in the order of the file."
        )


def sample_documents(documents: Sequence[Document], number: int, spec: TargetSpec, seed: int = 0) -> Sample:
    """Draw documents without replacement; where they are no more than wanted, all of them.

    Files are often sorted by class or date, and the first of them stand for nothing. Of a single target of classes,
    each class gets its share of the places, to the nearest whole number; documents without a label count as a class.

    Args:
        documents: those of a split.
        number: of documents that are wanted.
        spec: what is predicted.
        seed: of the draw.
    """
    whole, by_class = len(documents), bool(spec.classes) and len(spec.names) == 1
    if whole <= number:
        return Sample(documents, whole, by_class, seed)
    draws = np.random.default_rng(seed)
    if not by_class:
        chosen = draws.choice(whole, number, replace=False).tolist()
        return Sample([documents[i] for i in sorted(chosen)], whole, by_class, seed)
    groups: dict[float | None, list[int]] = defaultdict(list)
    for i, document in enumerate(documents):
        groups[document.targets[0] if document.has_target else None].append(i)
    keys = sorted(groups, key=lambda key: (key is None, key or 0.0))  # whatever the order of the file
    places = _places([len(groups[key]) for key in keys], number)
    chosen = [i for key, count in zip(keys, places, strict=True)
              for i in draws.choice(groups[key], count, replace=False).tolist()]  # fmt: skip
    return Sample([documents[i] for i in sorted(chosen)], whole, by_class, seed)


def _places(sizes: Sequence[int], number: int) -> list[int]:
    """Share out places by size, what is left over to those that rounding down took most from."""
    exact = np.array(sizes) * number / sum(sizes)
    places = np.floor(exact).astype(int)
    most = np.argsort(places - exact, kind="stable")[: number - int(places.sum())]
    places[most] += 1
    taken: list[int] = places.tolist()
    return taken
