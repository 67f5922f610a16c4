"""What regressor and classifier share: parameters, the fit, the readings."""

from __future__ import annotations

import typing
import warnings
from collections.abc import Sequence
from dataclasses import fields
from numbers import Integral
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Tags, check_random_state, metadata_routing
from sklearn.utils.validation import check_is_fitted

from pyro_rationale.config import Config, ModelOptions, TrainOptions
from pyro_rationale.data.corpus import Corpus, Document, TargetSpec
from pyro_rationale.data.document import make_document
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.splits import three_way_split
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.options import names
from pyro_rationale.prediction.predictor import DecodeOptions, PredictOptions, Reading, decode_all, read
from pyro_rationale.sklearn.inputs import TURN, check_texts, naming_parameters, own_torch, plain
from pyro_rationale.tasks import Numbers
from pyro_rationale.training.fit import fit_run
from pyro_rationale.training.run_folder import check_free, start_run

RENAMED = {"seed": "random_state"}
OMITTED = ("condition_on_target",)  # what it adds (evidence of labelled texts) has no place in this interface
OWN = ("max_words", "target_range", "validation_fraction", "random_state")
FROM_MEMORY = "texts"  # stands for `--data` in the configuration


class RationaleEstimator(BaseEstimator):
    """What regressor and classifier share; see them."""

    # As scikit-learn's own readers of texts do it: the texts are no metadata to be routed.
    __metadata_request__fit: typing.ClassVar = {"texts": metadata_routing.UNUSED}
    __metadata_request__predict: typing.ClassVar = {"texts": metadata_routing.UNUSED}
    __metadata_request__score: typing.ClassVar = {"texts": metadata_routing.UNUSED}

    def __init__(
        self,
        *,
        guide: str = "relaxed",
        encoder: str = "lstm",
        pooling: str = "mean",
        hidden: int = 64,
        layers: int = 1,
        embedding: int = 50,
        vectors: str | None = None,
        freeze_vectors: bool = False,
        vocabulary: int = 20000,
        min_count: int = 2,
        dropout: float = 0.0,
        rate: float = 0.13,
        span: float | None = None,
        lambda1: float | None = None,
        lambda2: float | None = None,
        nats: float = 200.0,
        kappa: float | None = None,
        tau: float | None = None,
        temperature: float = 0.3,
        estimator: str = "auto",
        samples: int | None = None,
        penalties: str = "exact",
        norm: str = "l0",
        control: str = "auto",
        lagrange_rate: float = 0.05,
        transitions: float | None = None,
        learning_rate: float = 3e-3,
        batch_size: int = 64,
        steps: int = 1500,
        epoch_steps: int | None = None,
        patience: int = 6,
        warmup: int = 0,
        anneal: int = 400,
        any_rate: float = 0.0,
        entropy: float | None = None,
        clip: float = 5.0,
        ema: float = 0.0,
        device: str = "auto",
        threads: int = 2,
        precision: str = "float32",
        max_words: int = 256,
        target_range: tuple[float, float] | None = None,
        validation_fraction: float = 0.1,
        random_state: Any = 0,
    ) -> None:
        given = dict(locals())
        for name in self._get_param_names():
            setattr(self, name, given[name])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags

    # Fitting.

    def _fit(self, documents: list[Document], spec: TargetSpec, labels: Sequence[int] | None) -> None:
        config = self._config()
        with naming_parameters(), own_torch():
            corpus = self._split(documents, spec, labels, config)
            with TemporaryDirectory(prefix="pyro-rationale-") as folder:
                fit = fit_run(config, Path(folder) / "fit", corpus=corpus)
        self.fitted_, self.history_, self.n_iter_ = fit.fitted, fit.history, len(fit.history)
        if not fit.selection.best:
            event = f" (the last: {fit.history[-1].event})" if fit.history[-1].event else ""
            message = f"no epoch came down to the share of words asked for{event}; raise steps, or lower anneal"
            warnings.warn(message, ConvergenceWarning, stacklevel=3)

    def _config(self) -> Config:
        """The parameters as a configuration.

        Raises:
            ValueError: one has no such value.
        """
        with naming_parameters():
            data = DataOptions(data=FROM_MEMORY, max_words=plain("max_words", self.max_words, int))
            if data.max_words < 1:
                raise ValueError(f"max_words: expected at least 1, got {data.max_words}")
            share = plain("validation_fraction", self.validation_fraction, float)
            if not 0.0 < share < 1.0:
                raise ValueError(f"validation_fraction: expected a share between 0 and 1, got {share}")
            seed = self.random_state
            if not isinstance(seed, Integral) or isinstance(seed, bool):
                seed = check_random_state(seed).randint(2**31 - 1)
            model, train = (self._part(kind) for kind in (ModelOptions, TrainOptions))
            return Config(data, ModelOptions(**model), TrainOptions(**train, seed=int(seed)))

    def _part(self, kind: type) -> dict[str, Any]:
        """The parameters that are fields of `kind`, with plain types."""
        hints = typing.get_type_hints(kind)
        return {
            item.name: plain(item.name, getattr(self, item.name), hints[item.name], names(item))
            for item in fields(kind)
            if item.name not in RENAMED and item.name not in OMITTED
        }

    def _documents(self, texts: Any, targets: Sequence[tuple[float, ...]], most: int) -> list[Document]:
        checked = check_texts(texts)
        return [make_document(f"text {i}", checked[i], row, most) for i, row in enumerate(targets)]

    def _split(
        self, documents: list[Document], spec: TargetSpec, labels: Sequence[int] | None, config: Config
    ) -> Corpus:
        """Training and validation texts: copies of a text stay together, classes keep their shares."""
        if not len(Vocabulary.build(documents, config.model.min_count)) > len(Vocabulary(())):
            raise ValueError(
                f"empty vocabulary: no word occurs min_count={config.model.min_count} times in the texts"
            )
        share = float(self.validation_fraction)
        copies = [document.text for document in documents]
        train, dev, _ = three_way_split(documents, config.seed, copies, labels, (1.0 - share, share, 0.0))
        if not dev:
            warnings.warn(
                f"validation_fraction={share:g} of {len(documents)} texts is none: they are judged by what they were "
                "fitted to",
                stacklevel=4,
            )
        for i, name in enumerate(spec.names):
            if np.isnan([document.targets[i] for document in train]).all():
                raise ValueError(f"target {name!r} has no value among the training texts; leave it out of y")
        return Corpus(FROM_MEMORY, spec, train, dev or train, ())

    # Reading.

    def _unlabelled(self, texts: Any) -> list[Document]:
        check_is_fitted(self, "fitted_")
        checked = check_texts(texts)
        return self._documents(checked, [()] * len(checked), self.fitted_.config.data.max_words)

    def _values(self, texts: Any) -> Numbers:
        """`(N, W)` as `Reading.values`, from the most probable rationales."""
        documents = self._unlabelled(texts)
        with TURN:
            return self.fitted_.task.clip(decode_all(self.fitted_, documents, DecodeOptions())[1])

    def _readings(self, texts: Any, level: float, samples: int, alternatives: int) -> list[Reading]:
        documents = self._unlabelled(texts)
        with naming_parameters(), TURN:
            options = PredictOptions(
                seed=self.fitted_.config.seed,
                samples=plain("samples", samples, int),
                alternatives=plain("alternatives", alternatives, int),
                level=plain("level", level, float),
            )
            return list(read(self.fitted_, documents, options))

    def save(self, folder: str | Path) -> None:
        """Write the fitted model as a run folder, for `python -m pyro_rationale.explain --run FOLDER`.

        Raises:
            ValueError: the folder holds files already.
        """
        check_is_fitted(self, "fitted_")
        folder = Path(folder)
        with naming_parameters():
            check_free(folder)
            start_run(folder, self.fitted_.config, self.fitted_.spec, self.fitted_.vocabulary)
            self.fitted_.save(folder)


def check_given(estimator: Any, y: Any) -> None:
    if y is None:
        raise ValueError(f"{type(estimator).__name__} requires y to be passed, but the target y is None")
