"""Base of the estimators: the fit, the predictions, and what both leave of torch as it was."""

from __future__ import annotations

import typing
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from numbers import Integral, Number
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Tags, check_random_state, metadata_routing
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted

from pyro_rationale.config import Config, ModelOptions, TrainOptions
from pyro_rationale.data.corpus import Corpus, Document, TargetSpec
from pyro_rationale.data.document import document_maker, with_words
from pyro_rationale.data.loading import FROM_MEMORY
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.splits import three_way_split
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.errors import RunError
from pyro_rationale.evaluation.evaluate import evaluate
from pyro_rationale.evaluation.model_card import write_card
from pyro_rationale.evaluation.verdict import constant_evaluation, weighs_classes, worse_than_constant
from pyro_rationale.fitted import FittedModel
from pyro_rationale.nn.seeding import GENERATOR_LOCK
from pyro_rationale.options import decode
from pyro_rationale.prediction.options import DecodeOptions, ExplainOptions
from pyro_rationale.prediction.predictor import predict
from pyro_rationale.prediction.rationalizer import ModelRationalizer
from pyro_rationale.prediction.shown_masks import decode_all
from pyro_rationale.sklearn.inputs import check_texts
from pyro_rationale.sklearn.parameters import SplitOptions, class_weight_of, naming_parameters, options_of, signature
from pyro_rationale.tasks import Numbers
from pyro_rationale.training.ensemble import fit_ensemble
from pyro_rationale.training.fit import fit_run
from pyro_rationale.training.run import TrainingRun
from pyro_rationale.training.run_folder import check_free, start_run

BATCH = 64  # texts that are read at once


class RationaleEstimator(BaseEstimator):
    """Base of regressor and classifier: parameters, the fit, the predictions."""

    # Like scikit-learn's own vectorisers of texts: the texts are no metadata to be routed.
    __metadata_request__fit: typing.ClassVar = {"texts": metadata_routing.UNUSED}
    __metadata_request__predict: typing.ClassVar = {"texts": metadata_routing.UNUSED}
    __metadata_request__score: typing.ClassVar = {"texts": metadata_routing.UNUSED}

    def __init__(self, **parameters: Any) -> None:
        bound = self.__signature.bind(self, **parameters)
        bound.apply_defaults()
        for name in self._get_param_names():
            setattr(self, name, bound.arguments[name])

    __init__.__signature__ = __signature = signature()  # type: ignore[attr-defined]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags

    def _check_given(self, y: Any) -> None:
        """Refuse a missing `y`, in scikit-learn's words."""
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")

    # Fitting.

    def _fit(
        self, documents: list[Document], spec: TargetSpec, labels: Sequence[int] | None, sample_weight: Any
    ) -> None:
        config = self._config()
        if sample_weight is not None:
            documents, labels = self._weighted(documents, labels, sample_weight)
        with naming_parameters(), own_torch():
            corpus = self._split(with_words(documents), spec, labels, config)
            fitted: FittedModel
            fits: Sequence[TrainingRun]
            with TemporaryDirectory(prefix="pyro-rationale-") as folder:
                if config.members > 1:
                    ensemble = fit_ensemble(config, Path(folder) / "fit", callbacks=self.callbacks or (), corpus=corpus)
                    fitted, fits = ensemble.fitted, ensemble.members
                else:
                    fit = fit_run(config, Path(folder) / "fit", callbacks=self.callbacks or (), corpus=corpus)
                    fitted, fits = fit.fitted, [fit]
                own = evaluate(ModelRationalizer(fitted), corpus.dev, scores=False)
                for fit in fits:
                    fit.tell("on_evaluated", {"dev" if len(fits) == 1 else "ensemble": own.metrics})
        constant = constant_evaluation(corpus.train, corpus.dev, spec)
        worse = worse_than_constant(own.statistics, constant.statistics, weighs_classes(fitted, corpus))
        self.fitted_, self.history_ = fitted.bound_texts(), [epoch for fit in fits for epoch in fit.history]
        self.n_iter_ = len(self.history_)
        for fit in (fit for fit in fits if not fit.selection.best):
            event = f" (the last: {fit.history[-1].event})" if fit.history[-1].event else ""
            message = f"no epoch came down to the share of words asked for{event}; raise steps, or lower anneal"
            warnings.warn(message, ConvergenceWarning, stacklevel=3)
        if worse:
            message = f"on the validation texts predictions are worse than a constant's ({worse}); do not use this"
            warnings.warn(message, ConvergenceWarning, stacklevel=3)

    @staticmethod
    def _weighted(
        documents: list[Document], labels: Sequence[int] | None, sample_weight: Any
    ) -> tuple[list[Document], Sequence[int] | None]:
        """The documents with their weights, and their labels, without those of weight 0."""
        if isinstance(sample_weight, Number):
            sample_weight = np.full(len(documents), sample_weight)
        weights = check_array(
            sample_weight, ensure_2d=False, dtype=np.float64, ensure_non_negative=True, input_name="sample_weight"
        )
        if weights.ndim != 1:
            raise ValueError(f"Sample weights must be 1D array or scalar, got {weights.ndim}D array")
        check_consistent_length(documents, weights)
        if not weights.any():
            raise ValueError("sample_weight: every weight is zero; give some text a weight above 0")
        kept = np.flatnonzero(weights).tolist()
        if len(kept) < 2:
            raise ValueError(f"sample_weight: {len(kept)} texts have a weight above 0, and a minimum of 2 is required")
        chosen = [replace(documents[i], weight=float(weights[i])) for i in kept]
        return chosen, None if labels is None else [labels[i] for i in kept]

    def _config(self) -> Config:
        """The parameters as a configuration.

        Raises:
            ValueError: one has no such value.
        """
        with naming_parameters():
            own = {"max_words": self.max_words, "task": self.task, "tokenizer": self.tokenizer}
            data = decode(DataOptions, {"data": FROM_MEMORY, **own})
            decode(SplitOptions, {"validation_fraction": self.validation_fraction})
            seed = self.random_state
            if not isinstance(seed, Integral) or isinstance(seed, bool):
                seed = check_random_state(seed).randint(2**31 - 1)
            model, train = (
                {item.name: getattr(self, item.name) for item in options_of(kind)}
                for kind in (ModelOptions, TrainOptions)
            )
            train["class_weight"] = class_weight_of(self.class_weight)
            return Config(data, decode(ModelOptions, model), decode(TrainOptions, {**train, "seed": int(seed)}))

    def _documents(self, texts: list[str], targets: Sequence[tuple[float, ...]], data: DataOptions) -> list[Document]:
        with naming_parameters():
            make = document_maker(data)
            return [make(f"text {i}", *pair) for i, pair in enumerate(zip(texts, targets, strict=True), 1)]

    def _split(
        self, documents: list[Document], spec: TargetSpec, labels: Sequence[int] | None, config: Config
    ) -> Corpus:
        """Training and validation texts: copies of a text stay together, classes keep their shares."""
        if not len(Vocabulary.build(documents, config.model.min_count)) > len(Vocabulary(())):
            raise ValueError(
                f"empty vocabulary: no word occurs min_count={config.model.min_count} times in the texts"
            )
        share = float(self.validation_fraction)
        texts = [document.text for document in documents]
        train, dev, _ = three_way_split(documents, config.seed, texts, labels, (1.0 - share, share, 0.0))
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

    # Predictions.

    def _unlabelled(self, texts: Any) -> list[Document]:
        check_is_fitted(self, "fitted_")
        checked = check_texts(texts)
        return self._documents(checked, [()] * len(checked), self.fitted_.config.data)

    def _values(self, texts: Any, rule: str) -> Numbers:
        """`(N, W)` as `Prediction.predicted`: averaged over rationales, or from the shown ones."""
        if rule == "mode":
            documents = self._unlabelled(texts)
            with naming_parameters(), GENERATOR_LOCK:
                return self.fitted_.task.clip(decode_all(self.fitted_, with_words(documents), DecodeOptions())[1])
        with self._predicting(texts, alternatives=0, predict=rule) as (fitted, documents, options):
            made = [prediction.predicted for prediction in predict(fitted, documents, options, BATCH)]
        return np.array(made, dtype=float).reshape(len(made), self.fitted_.task.width)

    @contextmanager
    def _predicting(self, texts: Any, **options: Any) -> Iterator[tuple[FittedModel, list[Document], ExplainOptions]]:
        """Arguments of `predict` and `explain`, inside the lock of torch's generator; no contributions by default."""
        documents = self._unlabelled(texts)
        given = {"contributions": "none", **options}
        with naming_parameters(), GENERATOR_LOCK:
            yield self.fitted_, with_words(documents), decode(ExplainOptions, given)

    def save(self, folder: str | Path) -> None:
        """Write the fitted model as a run folder, for `python -m pyro_rationale.explain --run FOLDER`.

        Raises:
            ValueError: the folder holds files already, or is a file.
        """
        check_is_fitted(self, "fitted_")
        folder = Path(folder)
        try:
            check_free(folder)
        except RunError:  # its remedies are those of a command
            what = "already holds files" if folder.is_dir() else "is a file"
            raise ValueError(f"{folder}: {what}; save to another folder, or remove this one first") from None
        with naming_parameters():
            start_run(folder, self.fitted_)
            self.fitted_.save(folder)
            write_card(folder)


@contextmanager
def own_torch() -> Iterator[None]:
    """Torch's random numbers, threads and treatment of denormal numbers are afterwards as they were before."""
    with GENERATOR_LOCK:
        threads = torch.get_num_threads()
        flushed = bool(torch.tensor(1e-40) * 1.0 == 0.0)
        try:
            with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
                yield
        finally:
            torch.set_num_threads(threads)
            torch.set_flush_denormal(flushed)
