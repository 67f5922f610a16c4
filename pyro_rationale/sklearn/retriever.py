"""Similar texts behind scikit-learn's interface: texts in, vectors and searches out, with the words they rest on.

    retriever = RationaleRetriever(rate=0.15).fit(questions, groups)
    retriever.index(questions).search("my phone does not start")[0].document_explanation

The trainer is that of `python -m pyro_rationale.fit --task ranking`, and so are the parameters. Needs the extra
`sklearn`.
"""

from __future__ import annotations

import typing
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import metadata_routing
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from pyro_rationale.data.document import Document, with_words
from pyro_rationale.data.files.text import check_whole
from pyro_rationale.data.loading import FROM_MEMORY
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.pairs import PairCorpus, Query, components_of, pair_corpus, queries_of
from pyro_rationale.data.splits import three_way_split
from pyro_rationale.errors import shown
from pyro_rationale.evaluation.metrics.ranking import ranking_statistics
from pyro_rationale.nn.seeding import GENERATOR_LOCK
from pyro_rationale.prediction.embedding import Embedded, ModelEmbedder
from pyro_rationale.prediction.index import Index, index_of
from pyro_rationale.prediction.marked_text import MarkedText
from pyro_rationale.prediction.retrieval import search
from pyro_rationale.sklearn.base import RationaleEstimator, own_torch
from pyro_rationale.sklearn.inputs import check_texts, is_missing
from pyro_rationale.sklearn.parameters import naming_parameters
from pyro_rationale.training.fit import fit_run

__all__ = ["RationaleRetriever"]

Corpus = Mapping[str, str] | Sequence[str]


class RationaleRetriever(TransformerMixin, RationaleEstimator):
    """Scikit-learn estimator that finds similar texts by a few words of each.

    Args:
        rate: share of words kept.
        steps, anneal: length of training, and the part of it in which the share of words comes down to `rate`.
        validation_fraction: share of the queries that early stopping is judged by; similar texts stay together.
        task, target_range: must be as they are.
        others: the flags of `python -m pyro_rationale.fit` (see its `--help`), such as `negatives` and `match`.

    Attributes:
        fitted_: :class:`pyro_rationale.fitted.FittedModel`, the Pyro model and its guide.
        history_: one :class:`pyro_rationale.training.history.EpochRecord` per epoch.
        n_iter_: epochs.
        index_: :class:`pyro_rationale.prediction.index.Index` of the texts given to :meth:`index`.
    """

    __metadata_request__transform: typing.ClassVar = {"texts": metadata_routing.UNUSED}

    def fit(
        self,
        texts: Any = None,
        groups: Any = None,
        *,
        pairs: Iterable[tuple[Any, Any]] | None = None,
        corpus: Corpus | None = None,
    ) -> RationaleRetriever:
        """Fit to texts and groups, in which texts of one group are similar, or to pairs of similar texts.

        A set of similar texts is used as a whole for training or for validation, so at least about
        `0.5 / validation_fraction` sets are needed: more than five by default.

        Args:
            texts: list, array or series of strings.
            groups: a label per text; texts without one (`None`, NaN) are similar to none.
            pairs: instead of these two, pairs of a query and a text that is similar to it: texts, or keys of `corpus`.
            corpus: further texts, from which wrong candidates are taken as well; a mapping from keys to texts, or a
                list, whose keys are its positions.

        Raises:
            ValueError: unusable texts, groups, pairs or parameters.
            TrainingError: the loss is not finite.
        """
        config = self._config()
        if config.data.task not in ("auto", "ranking") or self.target_range is not None:
            raise ValueError("task and target_range are for ratings and classes; leave them out of a retriever")
        config = config.changed(task="ranking")
        if config.members > 1:
            raise ValueError("members: a retriever is a single model; leave it out")
        documents, queries = self._queries(texts, groups, pairs, corpus, config.data)
        with naming_parameters(), own_torch():
            made = self._divided(documents, queries, config.seed)
            with TemporaryDirectory(prefix="pyro-rationale-") as folder:
                fit = fit_run(config, Path(folder) / "fit", callbacks=self.callbacks or (), corpus=made)
                fit.tell("on_evaluated", {})
        self.fitted_, self.history_, self.n_iter_ = fit.fitted, list(fit.history), len(fit.history)
        if hasattr(self, "index_"):
            del self.index_  # of other weights
        if not fit.selection.best:
            message = "no epoch came down to the share of words asked for; raise steps, or lower anneal"
            warnings.warn(message, ConvergenceWarning, stacklevel=2)
        return self

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> NDArray[np.float32]:
        """Vectors of the texts that it is fitted to; arguments as for :meth:`fit`."""
        return self.fit(X, y, **fit_params).transform(X)

    def transform(self, texts: Any) -> NDArray[np.float32]:
        """Unit vectors `(N, E)`, whose products are the scores of a search."""
        return self._embedded(texts).vectors

    def explain(self, texts: Any) -> list[MarkedText]:
        """The texts with the words that their vectors are made of."""
        checked = check_texts(texts)
        return self._embedded(checked).marked(self._unlabelled(checked))

    def index(self, corpus: Corpus) -> RationaleRetriever:
        """Make texts searchable; texts that were indexed before are forgotten.

        Args:
            corpus: a mapping from ids to texts, or a list, whose ids are "1", "2", ...
        """
        check_is_fitted(self, "fitted_")
        with naming_parameters(), GENERATOR_LOCK:
            self.index_: Index = index_of(self._embedder(), self._documents_of(corpus))
        return self

    def search(self, texts: Any, top: int = 10) -> Any:
        """The indexed texts that are most like a query, best first.

        Args:
            texts: one query, or several.
            top: hits per query, at most 100.

        Returns:
            The hits of the query: `.id`, `.score`, `.probability`, `.query_explanation`, `.document_explanation` of
            each. For several queries a list of them.

        Raises:
            ValueError: nothing was indexed, or a query has no word.
        """
        check_is_fitted(self, "fitted_")
        if not hasattr(self, "index_"):
            raise ValueError("there is nothing to search yet; give texts to index() first")
        queries = self._unlabelled([texts] if isinstance(texts, str) else texts)
        with naming_parameters(), GENERATOR_LOCK:
            found = search(self._embedder(), self.index_, queries, top)
        return found[0] if isinstance(texts, str) else found

    def score(
        self,
        texts: Any = None,
        groups: Any = None,
        *,
        pairs: Iterable[tuple[Any, Any]] | None = None,
        corpus: Corpus | None = None,
    ) -> float:
        """Mean average precision of each query's ranking of all other texts; arguments as for :meth:`fit`."""
        check_is_fitted(self, "fitted_")
        documents, queries = self._queries(texts, groups, pairs, corpus, self.fitted_.config.data)
        with naming_parameters(), GENERATOR_LOCK:
            asked = self._embedder().encode([documents[query.document] for query in queries], query=True).vectors
            found = self._embedder().encode(documents).vectors
        scores, relevant = [], []
        for query, row in zip(queries, asked @ found.T, strict=True):
            others = np.delete(np.arange(len(documents)), query.document)
            scores.append(row[others])
            relevant.append(np.isin(others, query.positives))
        return ranking_statistics(scores, relevant)["map"].value

    # Input.

    def _embedder(self) -> ModelEmbedder:
        return ModelEmbedder(self.fitted_)

    def _embedded(self, texts: Any) -> Embedded:
        documents = self._unlabelled(texts)
        with naming_parameters(), GENERATOR_LOCK:
            return self._embedder().encode(with_words(documents), query=True)

    def _documents_of(self, corpus: Corpus) -> list[Document]:
        """Texts with their ids."""
        texts = check_texts(list(corpus.values()) if isinstance(corpus, Mapping) else corpus)
        keys: Iterable[Any] = corpus if isinstance(corpus, Mapping) else range(1, len(texts) + 1)
        documents = self._documents(texts, [()] * len(texts), self.fitted_.config.data)
        return [replace(document, id=str(key)) for document, key in zip(documents, keys, strict=True)]

    def _queries(
        self,
        texts: Any,
        groups: Any,
        pairs: Iterable[tuple[Any, Any]] | None,
        corpus: Corpus | None,
        data: DataOptions,
    ) -> tuple[list[Document], tuple[Query, ...]]:
        """Documents, each once, cut into words as `data` says, and queries among them."""
        if pairs is not None:
            if texts is not None or groups is not None:
                raise ValueError("give texts and groups, or pairs and a corpus, not both")
            every, found = texts_of_pairs(pairs, corpus)
        elif texts is None or groups is None:
            raise ValueError(f"{type(self).__name__} needs texts and groups, or pairs=[(query, positive), ...]")
        elif corpus is not None:
            raise ValueError("corpus goes with pairs; give more texts with groups of their own instead")
        else:
            every = check_texts(texts, least=2)
            labels = list(groups)
            check_consistent_length(every, labels)
            found = pairs_of(labels)
        if not found:
            raise ValueError("no two texts are similar; expected some group of two or more, or some pair")
        with naming_parameters():
            return with_words(self._documents(every, [()] * len(every), data)), queries_of(found)

    def _divided(self, documents: Sequence[Document], queries: Sequence[Query], seed: int) -> PairCorpus:
        """Training and validation queries; texts that are similar, directly or through others, stay together."""
        share = float(self.validation_fraction)
        groups = components_of(queries, documents)  # copies of a text stay together as well
        train, dev, _ = three_way_split(queries, seed, groups, None, (1.0 - share, share, 0.0))
        if not train or not dev:
            sets = len(set(groups))
            raise ValueError(
                f"{sets} sets of similar texts cannot be divided by validation_fraction={share:g}; give "
                f"{int(0.5 / share) + 1} of them or more, or a larger validation_fraction"
            )
        split = {"train": tuple(train), "dev": tuple(dev), "test": ()}
        return pair_corpus(FROM_MEMORY, documents, split)


def pairs_of(groups: Sequence[Any]) -> list[tuple[int, int]]:
    """All pairs of positions with one label, in both orders; a missing label is like no other."""
    members: dict[Any, list[int]] = {}
    for i, group in enumerate(groups):
        if not is_missing(group):
            members.setdefault(group, []).append(i)
    return [(i, j) for own in members.values() for i in own for j in own if i != j]


def texts_of_pairs(
    pairs: Iterable[Any], corpus: Corpus | None
) -> tuple[list[str], list[tuple[int, int]]]:
    """Texts of a corpus and of pairs, each once, and the pairs as positions among them.

    Raises:
        ValueError: a pair is none, names a key that is not in the corpus, or is a text with itself.
    """
    keyed: Mapping[Any, str] = {}
    if corpus is not None:
        keyed = corpus if isinstance(corpus, Mapping) else dict(enumerate(check_texts(corpus)))
    texts = check_texts(list(keyed.values())) if keyed else []
    places: dict[Any, int] = {("key", key): i for i, key in enumerate(keyed)}
    for i, text in enumerate(texts):
        places.setdefault(("text", text), i)

    def place(value: Any, number: int) -> int:
        if isinstance(value, np.integer):
            value = int(value)
        try:
            known = places.get(("key", value), places.get(("text", value)))
        except TypeError:
            known = None
        if known is not None:
            return known
        if not isinstance(value, str):
            raise ValueError(f"pair {number}: {shown(value)} is no text, and no key of the corpus")
        check_whole(f"pair {number}: {shown(value)}", value)
        texts.append(value)
        return places.setdefault(("text", value), len(texts) - 1)

    found = []
    for number, pair in enumerate(pairs, 1):
        if isinstance(pair, str) or len(pair) != 2:
            raise ValueError(f"pair {number}: expected a query and a text that is similar to it, got {shown(pair)}")
        one, other = (place(value, number) for value in pair)
        if one == other:
            raise ValueError(f"pair {number}: a text is paired with itself; leave it out")
        found.append((one, other))
    return texts, found
