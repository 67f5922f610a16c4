"""Searches without a learnt rationale: by fixed choices of words that an encoder reads.

All methods rank the same candidates, and the whole corpus. Fixed choices keep the same share of the words of every text
on both sides, and are read by the encoder of a fitted run, beside its own rationales and the whole texts; so what the
choice of words is worth is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from pyro_rationale.data.batch import Batch
from pyro_rationale.data.bm25 import TfIdf
from pyro_rationale.data.corpus import Document
from pyro_rationale.data.pairs import Indices
from pyro_rationale.evaluation.ranking_baselines import SearchTask
from pyro_rationale.evaluation.significance import holm, paired_test
from pyro_rationale.evaluation.statistic import Statistics, values_of
from pyro_rationale.experiments.baselines._top_k import share_of, top_words
from pyro_rationale.prediction.draws import seed_of

if TYPE_CHECKING:
    from pyro_rationale.fitted import FittedModel

Vectors = NDArray[np.float32]
Flags = NDArray[np.bool_]
Scores = NDArray[np.float64]
RATIONALE, WHOLE = "rationale", "all words"
FIXED = ("title", "first words", "random words", "highest idf", "highest tf-idf")


def choices(task: SearchTask, rate: float, seed: int) -> dict[str, Callable[[Document], Flags]]:
    """The fixed choices of words by name: each gives the mask of a document.

    Args:
        task: its texts say how rare words are.
        rate: share of the words of a document; a title is kept whole, whatever its share.
        seed: of random words.
    """
    index = TfIdf(task.document(i).tokens for i in task.texts)

    def title(document: Document) -> Flags:
        return np.arange(len(document.tokens)) < (document.title or len(document.tokens))

    def first(document: Document) -> Flags:
        return np.arange(len(document.tokens)) < share_of(len(document.tokens), rate)

    def random(document: Document) -> Flags:
        return top_words(np.random.default_rng(seed_of(document, seed)).uniform(0.1, 1, len(document.tokens)), rate)

    def rare(document: Document) -> Flags:
        return top_words(_once(document, [index.idf(word) for word in document.tokens]), rate)

    def rare_and_often(document: Document) -> Flags:
        counts = {word: document.tokens.count(word) for word in set(document.tokens)}
        return top_words(_once(document, [counts[word] * index.idf(word) for word in document.tokens]), rate)

    return dict(zip(FIXED, (title, first, random, rare, rare_and_often), strict=True))


def _once(document: Document, scores: Sequence[float]) -> Scores:
    """Scores of the first occurrence of each word; its repetitions come after all others, and punctuation last."""
    values, seen = np.array(scores, dtype=float), set[str]()
    for i, word in enumerate(document.tokens):
        if word in seen or not any(map(str.isalnum, word)):
            values[i] *= 1e-6
        seen.add(word)
    return values


def by_encoder(
    task: SearchTask, fitted: FittedModel, rate: float, seed: int, batch_size: int = 64
) -> tuple[dict[str, Statistics], dict[str, float]]:
    """The rationales of a run, the whole texts, and the fixed choices, all read by its encoder.

    Returns:
        Figures by name, and the share of words that each keeps.
    """
    texts = Texts.of(task)
    masks = texts.fixed(task, rate, seed)
    masks = {RATIONALE: rationales(fitted, texts.documents, batch_size)} | masks
    return read_by(task, texts, fitted, masks, batch_size), shares_of(masks)


@dataclass(frozen=True)
class Texts:
    """Queries and candidates, each once.

    Attributes:
        index: of each in the corpus, ascending.
        documents: the texts.
    """

    index: Indices
    documents: list[Document]

    @classmethod
    def of(cls, task: SearchTask) -> Texts:
        """The texts of a task: its queries, and all that are ranked for them."""
        index = np.unique(np.concatenate([[query.document for query in task.queries], task.texts]))
        return cls(index, [task.document(i) for i in index])

    def fixed(self, task: SearchTask, rate: float, seed: int) -> dict[str, list[Flags]]:
        """Masks of everything, and of the fixed choices of words."""
        whole = [np.ones(len(document.tokens), dtype=bool) for document in self.documents]
        made = choices(task, rate, seed).items()
        return {WHOLE: whole} | {name: list(map(choice, self.documents)) for name, choice in made}


def read_by(
    task: SearchTask, texts: Texts, fitted: FittedModel, masks: dict[str, list[Flags]], batch_size: int = 64
) -> dict[str, Statistics]:
    """Figures of several choices of words, `WHOLE` among them, of which one encoder reads each."""
    places = np.searchsorted(texts.index, task.texts)
    queries = np.searchsorted(texts.index, [query.document for query in task.queries])
    full = _vectors(fitted, texts.documents, masks[WHOLE], batch_size)
    one_sided = getattr(fitted.model, "match", "masked") == "full"
    found = {}
    for name, own in masks.items():
        vectors = full if name == WHOLE else _vectors(fitted, texts.documents, own, batch_size)
        others = (full if one_sided else vectors)[places]
        found[name] = task.measured((others @ vectors[query]).astype(float) for query in queries)
    return found


def shares_of(masks: dict[str, list[Flags]]) -> dict[str, float]:
    """The share of words that each choice keeps."""
    return {name: sum(map(np.sum, own)) / sum(map(len, own)) for name, own in masks.items()}


@torch.no_grad()
def rationales(fitted: FittedModel, documents: Sequence[Document], batch_size: int) -> list[Flags]:
    """The most probable masks."""
    masks: list[Flags] = []
    for some, batch in batches_in_order(fitted, documents, batch_size):
        rows = (fitted.guide.posterior(batch).discrete().mode > 0.5).cpu().numpy()
        masks += [row[: len(document.tokens)] for document, row in zip(some, rows, strict=True)]
    return masks


@torch.no_grad()
def _vectors(fitted: FittedModel, documents: Sequence[Document], masks: Sequence[Flags], batch_size: int) -> Vectors:
    """Unit vectors of texts, of which only the words of the masks are read, `(N, E)`."""
    model: Any = fitted.model
    found, start = [], 0
    for some, batch in batches_in_order(fitted, documents, batch_size):
        z = torch.zeros_like(batch.mask, dtype=model.encoder.dtype)
        for row, mask in enumerate(masks[start : start + len(some)]):
            z[row, : len(mask)] = torch.as_tensor(mask, dtype=z.dtype, device=z.device)
        found.append(model.embed(batch, z).float().cpu().numpy())
        start += len(some)
    return np.concatenate(found)


def batches_in_order(
    fitted: FittedModel, documents: Sequence[Document], size: int
) -> Iterator[tuple[Sequence[Document], Batch]]:
    """Up to `size` texts at once, in their order, each time with their batch on the device of the model."""
    fitted.eval()
    for start in range(0, len(documents), size):
        some = documents[start : start + size]
        yield some, fitted.encode(some).to(fitted.device)


def compared(
    found: dict[str, Statistics], against: str, draws: int, seed: int, figure: str = "map"
) -> dict[str, float]:
    """Holm-adjusted p-values of paired permutation tests over queries: a figure of each method against that of one."""
    values = {
        name: paired_test(found[against][figure], own[figure], draws, seed).p
        for name, own in found.items()
        if name != against
    }
    return holm(values)


def rows_of(
    found: dict[str, Statistics], shares: dict[str, float], p: dict[str, float], corpus_p: dict[str, float]
) -> list[dict[str, Any]]:
    """One record a method: its share of the words, its figures, and p against the reference, on lists and on all."""
    return [
        {"method": name, "words": shares.get(name), **values_of(own), "p": p.get(name), "corpus_p": corpus_p.get(name)}
        for name, own in found.items()
    ]
