"""A fitted model: the networks with what is needed to use them on texts, to store them and to read them again."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pyro_rationale.build import build_guide, build_model, open_if_needed
from pyro_rationale.config import Config
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.batching import BucketedBatches, encode_batch
from pyro_rationale.data.cache.columns import NO_WORD
from pyro_rationale.data.cache.dataset import word_keys
from pyro_rationale.data.document import Document, make_document, with_words
from pyro_rationale.data.files.text import check_whole
from pyro_rationale.data.open_vocabulary import OpenVocabulary
from pyro_rationale.data.tokenizers import TOKENIZERS, Tokenizer
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.data.weighting import EQUAL, Weighting
from pyro_rationale.errors import ConfigError, DataError, RunError, reason_of
from pyro_rationale.guides import RationaleGuide
from pyro_rationale.models import RationaleModel
from pyro_rationale.nn.features import FeatureStore, TransformerFeatures
from pyro_rationale.nn.last_layer import LastLayer
from pyro_rationale.nn.pretrained import Transformer
from pyro_rationale.nn.pretrained_folders import Base, check_base, find_base
from pyro_rationale.nn.seeding import seeded
from pyro_rationale.run_files import (
    CONFIG,
    FORMAT,
    MEMBERS,
    TEXTS,
    VOCABULARY,
    WEIGHTS,
    check_ended,
    check_found,
    check_pretrained,
    read_calibration,
    read_config,
    read_rows,
    write_calibration,
    write_config,
)
from pyro_rationale.storage import read_tensors, write_tensors
from pyro_rationale.tasks import Calibration, Decision, TargetSpec, Task, task_of

if TYPE_CHECKING:
    from pyro_rationale.prediction.explanation import Explanations
    from pyro_rationale.prediction.predictor import Prediction


def pick_device(name: str) -> torch.device:
    """`auto` is a GPU where there is one.

    Raises:
        ConfigError: the name is unknown, or there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, dtype=torch.float64, device=device).item()  # the prior's tables need float64
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as problem:
        reason = str(problem).splitlines()[0]
        raise ConfigError(f"--device {name}: not usable here ({reason}); try --device auto") from None
    return device


@dataclass
class FittedModel:
    """A fitted model with its guide, vocabulary and calibration, which predicts and explains texts.

    :func:`pyro_rationale.load` reads one from a run folder; a fit has it as `run.fitted`, an estimator as `fitted_`.

    Attributes:
        config: all options of the fit.
        spec: what is predicted: names, ranges and classes.
        vocabulary: the words that it knows.
        model: p(z) p(y | x, z)^kappa, a Pyro program.
        guide: q(z | x), a Pyro program.
        device: device of model and guide.
        name: name of the run folder.
        rows: digests of the rows that it was fitted on, by split.
        text_keys: keys of the training texts, where they are known.
        calibration: calibration of predictions, fitted to development texts; `None` in runs of older versions.
        weighting: weights of the texts, of a fit under way.
    """

    config: Config
    spec: TargetSpec
    vocabulary: Vocabulary
    model: RationaleModel
    guide: RationaleGuide
    device: torch.device
    name: str = "run"
    rows: Mapping[str, str] = field(default_factory=dict)
    text_keys: torch.Tensor | None = None
    calibration: Calibration | None = None
    weighting: Weighting = EQUAL

    @property
    def task(self) -> Task:
        """The task: how targets of this kind are evaluated and shown."""
        return task_of(self.spec, self.decision)

    def task_for(self, rule: str) -> Task:
        """The task for predictions that are made by a rule: `average` over masks, or `mode`, from a single one."""
        return self.task.alone if rule == "mode" else self.task

    @property
    def decision(self) -> Decision | None:
        """The rule that chooses the label of a text (`--decide`); `None`: the most probable class."""
        return None if self.calibration is None else self.calibration.decision

    @property
    def aspects(self) -> int:
        """Number of masks per text: one for each target, or one for all. See :mod:`pyro_rationale.data.aspects`."""
        return self.model.aspects

    @property
    def tokenizer(self) -> Tokenizer:
        """Splits a text into the words that the model reads."""
        return TOKENIZERS[self.config.data.tokenizer]

    @property
    def noises(self) -> tuple[float, float] | None:
        """Two standard deviations of ratings: of predictions, before it is adapted to each text, and of inference.

        The first is sigma, the error on development texts; the second is sigma / sqrt(kappa), that of p(y | x, z) to
        the power of kappa. Both are shares of the scale; `None` for a target without noise.
        """
        sigma = self.model.likelihood.noise
        return None if sigma is None else (sigma, sigma / math.sqrt(float(self.model.kappa)))

    def eval(self) -> FittedModel:
        """Switch to evaluation mode: no dropout."""
        self.model.eval()
        self.guide.eval()
        return self

    def merge_lora(self) -> FittedModel:
        """Add the low-rank updates of `--tune-... lora:R` to the transformer's weights in memory: it reads faster.

        For predictions only: a merged model is trained no further, and saves what it was loaded with.

        Raises:
            ConfigError: there are no such updates.
        """
        parts = [part for network in (self.model, self.guide) for part in network.modules()]
        if not any([part.merge() for part in parts if isinstance(part, Transformer)]):
            raise ConfigError("no low-rank updates to merge: fit with --tune-encoder lora:8 or so")
        return self

    def forget_texts(self) -> None:
        """Clear the caches of texts read so far: a transformer's states, and words that were new.

        Predictions stay as they are. Call it now and then while reading an endless stream of texts.
        """
        for store in self._feature_stores():
            store.clear()
        if isinstance(self.vocabulary, OpenVocabulary):
            self.vocabulary.forget()

    def bound_texts(self) -> FittedModel:
        """Bound the cache of a transformer's states to half a gigabyte, for endless streams of texts."""
        for store in self._feature_stores():
            store.bound()
        return self

    def _feature_stores(self) -> list[FeatureStore]:
        parts = (part for part in self.guide.modules() if isinstance(part, TransformerFeatures))
        return [part.store for part in parts if part.store is not None]

    def seeded(self, seed: int) -> AbstractContextManager[None]:
        """Random numbers from `seed` inside; torch's generators are as before outside."""
        return seeded(seed, self.device)

    def documents(self, texts: str | Iterable[str | Document]) -> list[Document]:
        """Texts as the model reads them: cut into words, as many as in training. Documents stay as they are.

        Raises:
            DataError: a string holds half a character.
        """
        made: list[Document] = []
        for i, text in enumerate([texts] if isinstance(texts, str) else texts, 1):
            if isinstance(text, str):
                try:
                    check_whole(f"text {i}", text)
                except ValueError as fault:
                    raise DataError(f"{fault}; mend the text, or leave it out") from None
                size = self.config.data.max_words
                text = make_document(f"text {i}", text, max_words=size, tokenizer=self.tokenizer)
            made.append(text)
        return made

    def encode(self, documents: Sequence[Document]) -> Batch:
        """Documents as one batch with all that the networks read."""
        how: dict[str, Any] = {"unit": self.config.unit, "aspects": self.aspects}
        return encode_batch(documents, self.vocabulary, self.spec, titles=self.config.model.keep_title, **how)

    def batches(
        self,
        documents: Sequence[Document],
        batch_size: int,
        seed: int = 0,
        steps: int | None = None,
        weighted: bool = False,
    ) -> BucketedBatches:
        """Documents in batches of similar lengths, see :class:`~pyro_rationale.data.batching.BucketedBatches`.

        With `weighted`, for training and what steers it, they have the weights of the fit.
        """
        weights = self.weighting.relative(documents) if weighted else None
        return BucketedBatches(
            documents,
            self.vocabulary,
            self.spec,
            batch_size,
            seed,
            steps,
            self.config.unit,
            self.aspects,
            weights,
            self.config.model.keep_title,
        )

    def device_batches(self, documents: Sequence[Document], batch_size: int) -> Iterator[Batch]:
        """Each document once, on the model's device, the shortest first; `index` of a batch says which it holds."""
        for batch in self.batches(documents, batch_size).ordered():
            yield batch.to(self.device)

    def count_training_texts(self, documents: Sequence[Document]) -> int:
        """How many of the documents have the words of a training text; 0 where these are not known."""
        if self.text_keys is None:
            return 0
        keys = word_keys(documents)
        return int(np.count_nonzero(np.isin(keys, self.text_keys.numpy()) & (keys != NO_WORD)))

    def predict(
        self, texts: str | Iterable[str | Document], batch_size: int = 1, threads: int = 0, **options: Any
    ) -> list[Prediction]:
        """Predict texts, with rationales, alternatives and all else that the guide says about them.

        Args:
            texts: strings or documents.
            batch_size: texts of like lengths to process together; 1 gives each the numbers that it gets alone, to the
                last bit.
            threads: that work ahead; 0 for none.
            options: fields of :class:`~pyro_rationale.prediction.options.PredictOptions`: `samples`, `decode` ...

        Returns:
            A prediction per text, in their order. `predicted` is what the commands show, averaged over drawn masks;
            `values` is from the kept words alone; both are in the user's units, or probabilities of classes.

        Raises:
            DataError: a text holds no word, or half a character.
            ConfigError: an option has no such value, or needs development texts that the run lacks.
        """
        from pyro_rationale.prediction.options import PredictOptions
        from pyro_rationale.prediction.predictor import predict

        return list(predict(self, with_words(self.documents(texts)), PredictOptions(**options), batch_size, threads))

    def predict_interval(
        self,
        texts: str | Iterable[str | Document],
        method: str = "mixture",
        level: float = 0.9,
        batch_size: int = 64,
        **options: Any,
    ) -> Any:
        """Intervals of ratings, or sets of classes, that hold the true value with a given probability.

        Args:
            texts: strings or documents.
            method: `mixture`, of the predictive distribution; or `conformal`, as much as held-out development texts
                needed, which holds for texts like these whether the model is right or wrong.
            level: the probability.
            batch_size: texts of like lengths to process together.
            options: other fields of :class:`~pyro_rationale.prediction.options.PredictOptions`: `samples`, `seed`.

        Returns:
            Low and high ends `(N, D, 2)` of ratings; for classes a list with a tuple of labels per target and text.

        Raises:
            ConfigError: the run has too few development texts for conformal ones.
        """
        how = {"alternatives": 0, "interval": method, "level": level, **options}
        made = self.predict(texts, batch_size, **how)
        classes = self.spec.classes
        if not classes:
            return np.array([prediction.interval for prediction in made], dtype=float).reshape(len(made), -1, 2)
        return [
            tuple(tuple(classes[number] for number in numbers) for numbers in prediction.classes or ())
            for prediction in made
        ]

    def explain(self, texts: str | Iterable[str | Document], **options: Any) -> Explanations:
        """Predictions with their rationales; a notebook shows them as marked texts.

        Args:
            texts: strings or documents.
            options: `decode`, `samples`, `alternatives`, `predict`, `interval`, `level`, `seed`, `contributions` and
                `answers` of :class:`~pyro_rationale.prediction.options.ExplainOptions`.
        """
        from pyro_rationale.prediction.explanation import explain
        from pyro_rationale.prediction.options import ExplainOptions

        return explain(self, with_words(self.documents(texts)), ExplainOptions(**options))

    def calibrate(self, documents: Sequence[Document]) -> None:
        """Fit noise, temperature, conformal scores and rule of classes to held-out documents with targets."""
        from pyro_rationale.prediction.calibration import calibrate

        self.calibration = calibrate(self, documents)

    def evaluate(self, documents: Sequence[Document], **options: Any) -> dict[str, Any]:
        """Compute metrics on labelled documents, by name.

        Args:
            documents: with targets, and gold rationales if there are any.
            options: arguments of :func:`~pyro_rationale.evaluation.evaluate.evaluate_documents`: `decode`, `lexicon`...
                The figures of averages over masks (`averaged_mse` ...) need `samples=50`, say.

        Returns:
            The figures by the names of docs/reference/metrics.md, errors in the user's units, shares from 0 to 1.
        """
        from pyro_rationale.evaluation.evaluate import evaluate_documents

        return evaluate_documents(self, documents, **options)

    def save(self, folder: Path | str) -> None:
        """Write the weights and the final prior; configuration and vocabulary as well, unless the folder has them.

        Raises:
            RunError: the folder holds another run.
        """
        folder = self._opened(Path(folder))
        if self.text_keys is not None:
            write_tensors(folder / TEXTS, {"words": self.text_keys}, {"format": FORMAT}, listed=True)
        write_calibration(folder, self.calibration)
        write_tensors(folder / WEIGHTS, self._tensors(), {"format": FORMAT}, listed=True)

    def _opened(self, folder: Path) -> Path:
        """The folder with configuration and vocabulary, which are written unless it has them.

        Raises:
            RunError: it holds another run.
        """
        if not (folder / CONFIG).exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_config(folder, self.config, self.spec, self.vocabulary, self.rows)
        elif read_config(folder) != (self.config, self.spec) or Vocabulary.load(folder / VOCABULARY) != self.vocabulary:
            raise RunError(f"{folder}: holds a run of another configuration, target or vocabulary; name another folder")
        return folder

    def _tensors(self) -> dict[str, torch.Tensor]:
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        return tensors | {f"guide.{k}": v for k, v in self.guide.state_dict().items()}

    # Copies and pickles hold what a run folder holds, as plain values: they can be read where there is no GPU.

    def __getstate__(self) -> dict[str, Any]:
        weights = {name: tensor.cpu().numpy().copy() for name, tensor in self._tensors().items()}
        facts = {"format": FORMAT, "config": self.config.to_dict(), "device": str(self.device), "name": self.name}
        facts["calibration"] = None if self.calibration is None else self.calibration.to_dict()
        if self.config.model.pretrained is not None:
            facts["base"] = asdict(find_base(self.config.model.pretrained))
        facts["rows"], facts["text_keys"] = dict(self.rows), None if self.text_keys is None else self.text_keys.numpy()
        return facts | {"spec": self.spec, "vocabulary": self.vocabulary, "weights": weights}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Raises RunError: it was pickled by another version."""
        if state.get("format") != FORMAT:
            raise RunError(f"a pickle of format {state.get('format')}, this version reads {FORMAT}; fit again")
        config = Config.from_dict(state["config"])
        if base := state.get("base"):
            check_base(Base(**base))
        tensors = {name: torch.tensor(values) for name, values in state["weights"].items()}
        try:
            place = pick_device(state["device"])
        except ConfigError:  # fitted on a machine with a GPU
            place = torch.device("cpu")
        with torch.random.fork_rng(devices=[]):  # networks are built at random before the weights go in
            made = assemble(config, state["spec"], state["vocabulary"], tensors, place, Path(state["name"]))
        if (known := state.get("calibration")) is not None:
            made.calibration = Calibration.from_dict(known, len(made.spec.names))
        made.rows = state.get("rows", {})  # older pickles have neither
        if (keys := state.get("text_keys")) is not None:
            made.text_keys = torch.tensor(keys)
        self.__dict__.update(vars(made.eval()))

    @classmethod
    def load(cls, folder: Path | str, device: str = "auto") -> FittedModel:
        """Load a fitted model from a run folder.

        Args:
            folder: as `fit`, :func:`pyro_rationale.train` or `save` wrote it; that of an ensemble as well.
            device: `cpu`, `cuda`, `cuda:1`, or `auto`: a GPU where there is one.

        Raises:
            RunError: it is missing, damaged, unfinished, or of another version.
            ConfigError: there is no such device.
        """
        folder = Path(folder)
        check_found(folder)
        config, spec = read_config(folder)
        if config.members > 1:
            from pyro_rationale.training.fitted_ensemble import load_ensemble  # which is made of fitted models

            return load_ensemble(folder, config, device)
        check_ended(folder)
        check_pretrained(folder, config)
        vocabulary = Vocabulary.load(folder / VOCABULARY)
        tensors, _ = read_tensors(folder / WEIGHTS)
        place = pick_device(device)
        fitted = assemble(config, spec, vocabulary, tensors, place, folder)
        fitted.rows = read_rows(folder)
        if (folder / TEXTS).exists():
            fitted.text_keys = read_tensors(folder / TEXTS)[0].get("words")
        fitted.calibration = read_calibration(folder, spec)
        return fitted.bound_texts().eval()

    @classmethod
    def load_single(cls, folder: Path | str, device: str = "auto") -> FittedModel:
        """Load a single model, not an ensemble, from a run folder, where weights or a loss are needed.

        Raises:
            RunError: as for `load`.
            ConfigError: it is that of an ensemble.
        """
        fitted = cls.load(folder, device)
        if (members := fitted.config.members) > 1:
            one = Path(folder) / MEMBERS / "0"
            raise ConfigError(f"{folder}: this is asked of one model, and there are {members}; name {one}")
        return fitted


def check_weights(tensors: Mapping[str, torch.Tensor], model: RationaleModel) -> None:
    """Refuse weights that no fit ends with.

    Args:
        tensors: by the names that they have in the file.
        model: with these weights.

    Raises:
        RuntimeError: some are not finite, or kappa or the noise is not positive.
        ConfigError: the prior is beyond its limits.
    """
    for name, value in tensors.items():
        if not bool(value.isfinite().all()):
            raise RuntimeError(f"{name} holds a number that is not finite")
    noise = model.likelihood.noise
    if float(model.kappa) <= 0 or (noise is not None and noise <= 0):
        raise RuntimeError(f"expected kappa and sigma above 0, got {float(model.kappa):g} and {noise}")
    model.prior  # noqa: B018  a prior checks its parameters


def word_vectors(tensors: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
    """Word vectors among the weights of a network; `None` where it has no layer of that name."""
    return next((value for name, value in tensors.items() if name.endswith(".embedding.weight")), None)


def assemble(
    config: Config,
    spec: TargetSpec,
    vocabulary: Vocabulary,
    tensors: dict[str, torch.Tensor],
    device: torch.device,
    folder: Path,
) -> FittedModel:
    """Build the networks at the sizes of the stored weights and fill them in."""
    try:
        stored = word_vectors(tensors)
        shape = torch.Size([len(vocabulary), config.model.embedding]) if stored is None else stored.shape
        if len(shape) != 2 or shape[0] != len(vocabulary):
            raise RuntimeError(f"{len(vocabulary)} words in {VOCABULARY}, word vectors of shape {tuple(shape)}")
        vectors = torch.zeros(shape)
        vocabulary = open_if_needed(config, vocabulary)
        model = build_model(config, spec, len(vocabulary), vectors, vocabulary=vocabulary)
        guide = build_guide(config, len(vocabulary), vectors, 0.0, spec, vocabulary)
        if (factor := tensors.get("model.last_layer.factor")) is not None:
            model.last_layer = LastLayer(torch.zeros_like(factor))
        model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
        guide.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("guide.")})
        check_weights(tensors, model)
    except (RuntimeError, KeyError, ConfigError) as problem:
        reason = reason_of(problem)
        raise RunError(f"{folder / WEIGHTS}: weights do not fit the configuration ({reason}); fit again") from None
    return FittedModel(config, spec, vocabulary, model.to(device), guide.to(device), device, folder.name)


load = FittedModel.load  # `pyro_rationale.load`
