"""Attributions after the fact as rationales: an encoder reads whole texts, a library says which words mattered most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pyro_rationale.config import Config
from pyro_rationale.data.corpus import Corpus, Document
from pyro_rationale.experiments.baselines._base import Baseline
from pyro_rationale.experiments.baselines._encoder_only import fit_encoder
from pyro_rationale.experiments.baselines._top_k import all_top_words, scaled
from pyro_rationale.fitted import FittedModel
from pyro_rationale.options import check_fields, option
from pyro_rationale.prediction.attribution import ATTRIBUTIONS, attribute, importance
from pyro_rationale.prediction.decoding import Mask
from pyro_rationale.prediction.rationalizer import ModelRationalizer, Scores


@dataclass(frozen=True)
class AttributionOptions:
    """How often a model is asked about a text."""

    evaluations: int | None = option(None, "predictions from parts of a text that an attribution is made of; default: "
                                     "the method's", least=2, expected="at least 2")

    def __post_init__(self) -> None:
        check_fields(self)


class AttributionRationalizer(ModelRationalizer):
    """Marks the words of the largest absolute attributions, and predicts from them by the encoder that is explained.

    An attribution is computed once for each text.

    Args:
        fitted: an encoder that was trained on whole texts.
        name: of the method, in :data:`~pyro_rationale.prediction.attribution.ATTRIBUTIONS`.
        rate: share of the words of a document.
        evaluations: how often the encoder is asked about a text; `None`: as the method does by itself.
        seed: of what is drawn at random.
    """

    mask_rules = ("top-k",)  # scores of different texts have nothing in common that a threshold could use

    def __init__(self, fitted: FittedModel, name: str, rate: float, evaluations: int | None, seed: int) -> None:
        super().__init__(fitted, name=name)
        self.rate, self.evaluations, self.seed = rate, evaluations, seed
        self._known: dict[tuple[tuple[str, ...], int | None], Scores] = {}

    def marginals(self, documents: Sequence[Document]) -> list[Scores]:
        """Absolute attributions, added over targets, over the document's largest."""
        return [self._score(document) for document in documents]

    def masks(self, documents: Sequence[Document]) -> list[Mask]:
        """The top words."""
        return all_top_words(self.marginals(documents), self.rate)

    def _score(self, document: Document) -> Scores:
        key = document.tokens, document.aspect
        if key not in self._known:
            found = attribute(self.fitted, document, ATTRIBUTIONS[self.name], self.evaluations, self.seed)
            self._known[key] = scaled(importance(self.fitted, found, document.aspect))
        return self._known[key]


def attribution(name: str) -> Baseline:
    """The method of that name on the full-text reader."""
    method = ATTRIBUTIONS[name]

    def fit(
        config: Config, corpus: Corpus, folder: Path, settings: AttributionOptions | None = None
    ) -> AttributionRationalizer:
        method.check_installed()
        fitted, evaluations = fit_encoder(name, config, corpus, folder), (settings or AttributionOptions()).evaluations
        return AttributionRationalizer(fitted, name, config.model.rate, evaluations, config.seed)

    return Baseline(
        f"{method.title}, top words", fit, settings=AttributionOptions, keeps_words=True,
        check_installed=method.check_installed,
    )  # fmt: skip
