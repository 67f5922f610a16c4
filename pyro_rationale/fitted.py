"""A run folder, and the fitted model that it holds.

    manifest.json        digests of the files below, and of the rows of every split
    config.json          configuration, target, versions
    vocabulary.json      the words
    pretrained.json      name and digest of the transformer that the networks stand on, if there is one
    pretrained/          the transformer itself, with --self-contained
    epochs.jsonl         one line per epoch
    checkpoint.safetensors  where training stands (weights, optimiser, random states, control)
    training_texts.safetensors  keys of the training texts, by which copies of them are known again
    model.safetensors    weights of the chosen epoch
    reader.safetensors   weights of an encoder that was trained on whole texts: a baseline, and the judge of --judge mcd
    calibration.json     what the development texts say about the noise of predictions, and conformal scores
    metrics.json         the test table; its presence says that the run is finished
    README.md            the model card, see :mod:`pyro_rationale.evaluation.model_card`

The folder of an ensemble (`--members`) has configuration, vocabulary, manifest and `metrics.json`, and in members/0,
members/1 ... a run folder for each member.
"""

from __future__ import annotations

import copy
import math
import shlex
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pyro_rationale import __version__
from pyro_rationale.build import build_guide, build_model, open_if_needed
from pyro_rationale.config import Config
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.batching import BucketedBatches, encode_batch
from pyro_rationale.data.cache.columns import NO_WORD
from pyro_rationale.data.cache.dataset import word_keys
from pyro_rationale.data.document import Document, make_document
from pyro_rationale.data.open_vocabulary import OpenVocabulary
from pyro_rationale.data.tokenizers import TOKENIZERS, Tokenizer
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.data.weighting import EQUAL, Weighting
from pyro_rationale.errors import ConfigError, RunError, shown
from pyro_rationale.guides import MixtureGuide, RationaleGuide
from pyro_rationale.models import EnsembleModel, RationaleModel
from pyro_rationale.nn.features import FeatureStore, TransformerFeatures
from pyro_rationale.nn.last_layer import LastLayer
from pyro_rationale.nn.pretrained import Base, Transformer, check_base, copy_base, find_base, use_copy
from pyro_rationale.options import decode
from pyro_rationale.storage import MANIFEST, note, read_json, read_manifest, read_tensors, write_json, write_tensors
from pyro_rationale.tasks import TASKS, Calibration, TargetSpec, Task, task_of

if TYPE_CHECKING:
    from pyro_rationale.prediction.explanation import Explanations
    from pyro_rationale.prediction.predictor import Prediction

FORMAT = 1  # of the run folder; raised when older folders can no longer be read

CONFIG, VOCABULARY, EPOCHS = "config.json", "vocabulary.json", "epochs.jsonl"
PRETRAINED, COPY = "pretrained.json", "pretrained"  # record of the transformer; folder with it, if it is copied
CHECKPOINT, WEIGHTS, METRICS = "checkpoint.safetensors", "model.safetensors", "metrics.json"
TEXTS, READER, CALIBRATION = "training_texts.safetensors", "reader.safetensors", "calibration.json"
CARD = "README.md"
MEMBERS = "members"  # folder of an ensemble's runs


def pick_device(name: str) -> torch.device:
    """`auto` is a GPU where there is one.

    Raises:
        ConfigError: the name is unknown, or there is no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, dtype=torch.float64, device=device).item()  # the prior's tables need float64
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as problem:
        reason = str(problem).splitlines()[0]
        raise ConfigError(f"--device {name}: not usable here ({reason}); try --device auto") from None
    return device


@dataclass
class FittedModel:
    """A model, its guide, and all that is needed to use them on texts."""

    config: Config
    spec: TargetSpec
    vocabulary: Vocabulary
    model: RationaleModel
    guide: RationaleGuide
    device: torch.device
    name: str = "run"
    rows: Mapping[str, str] = field(default_factory=dict)  # digests of the rows that it was fitted on, by split
    text_keys: torch.Tensor | None = None  # keys of the words of the training texts, where they are known
    calibration: Calibration | None = None  # of predictions, by development texts; runs of older versions have none
    weighting: Weighting = EQUAL  # of the texts of a fit under way

    @property
    def task(self) -> Task:
        """The kind of target: how it is measured and shown."""
        return task_of(self.spec)

    @property
    def aspects(self) -> int:
        """Masks of a text: one for each of several targets, or one for all. See :mod:`pyro_rationale.data.aspects`."""
        return self.model.aspects

    @property
    def tokenizer(self) -> Tokenizer:
        """Splits a text into the words that the model reads."""
        return TOKENIZERS[self.config.data.tokenizer]

    @property
    def noises(self) -> tuple[float, float] | None:
        """Noise of predicted ratings before what was read changes it, and of those that inference is for.

        The first is sigma, the error on development texts; the second is sigma / sqrt(kappa), that of p(y | x, z) to
        the power of kappa. Both are shares of the scale; `None` for a target without noise.
        """
        sigma = self.model.likelihood.noise
        return None if sigma is None else (sigma, sigma / math.sqrt(float(self.model.kappa)))

    def eval(self) -> FittedModel:
        """Switch dropout off."""
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
        """Forget what was kept of the texts read so far: a transformer's states of them, and words that were new.

        Predictions stay as they are. Whoever reads texts without end calls it now and then, between them.
        """
        for store in self._feature_stores():
            store.clear()
        if isinstance(self.vocabulary, OpenVocabulary):
            self.vocabulary.forget()

    def bound_texts(self) -> FittedModel:
        """Keep a transformer's states of half a gigabyte of words at most, as one does who reads texts without end."""
        for store in self._feature_stores():
            store.bound()
        return self

    def _feature_stores(self) -> list[FeatureStore]:
        parts = (part for part in self.guide.modules() if isinstance(part, TransformerFeatures))
        return [part.store for part in parts if part.store is not None]

    @contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        """Random numbers from `seed` inside; torch's generators are as before outside."""
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield

    def documents(self, texts: str | Iterable[str | Document]) -> list[Document]:
        """Texts as the model reads them: cut into words, as many as in training. Documents stay as they are."""
        texts = [texts] if isinstance(texts, str) else texts
        size, tokenizer = self.config.data.max_words, self.tokenizer
        return [
            make_document(f"text {i}", text, max_words=size, tokenizer=tokenizer) if isinstance(text, str) else text
            for i, text in enumerate(texts, 1)
        ]

    def encode(self, documents: Sequence[Document]) -> Batch:
        """Documents as one batch with all that the networks read."""
        how: dict[str, Any] = {"sentences": self.config.by_sentence, "aspects": self.aspects}
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
            self.config.by_sentence,
            self.aspects,
            weights,
            self.config.model.keep_title,
        )

    def count_training_texts(self, documents: Sequence[Document]) -> int:
        """How many of the documents have the words of a training text; 0 where these are not known."""
        if self.text_keys is None:
            return 0
        keys = word_keys(documents)
        return int(np.count_nonzero(np.isin(keys, self.text_keys.numpy()) & (keys != NO_WORD)))

    def predict(
        self, texts: str | Iterable[str | Document], batch_size: int = 1, threads: int = 0, **options: Any
    ) -> list[Prediction]:
        """Rationales and predictions of texts, with everything that the guide says about them.

        Args:
            texts: strings or documents.
            batch_size: texts of like lengths to process together; 1 gives each the numbers that it gets alone, to the
                last bit.
            threads: that work ahead; 0 for none.
            options: fields of :class:`~pyro_rationale.prediction.predictor.PredictOptions`: `samples`, `decode` ...
        """
        from pyro_rationale.prediction.predictor import PredictOptions, predict

        return list(predict(self, self.documents(texts), PredictOptions(**options), batch_size, threads))

    def predict_interval(
        self,
        texts: str | Iterable[str | Document],
        method: str = "mixture",
        level: float = 0.9,
        batch_size: int = 64,
        **options: Any,
    ) -> Any:
        """Regions that hold each target with a probability: an interval of a rating, a set of classes.

        Args:
            texts: strings or documents.
            method: `mixture`, of the predictive distribution; or `conformal`, as much as held-out development texts
                needed, which holds for texts like these whether the model is right or wrong.
            level: the probability.
            batch_size: texts of like lengths to process together.
            options: other fields of :class:`~pyro_rationale.prediction.predictor.PredictOptions`: `samples`, `seed`.

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
        """Predictions with their most probable rationales; a notebook shows them as marked texts.

        Args:
            texts: strings or documents.
            options: `samples`, `alternatives`, `predict`, `interval`, `level`, `seed`, `contributions` and `answers` of
                :class:`~pyro_rationale.prediction.options.ExplainOptions`.
        """
        from pyro_rationale.prediction.explanation import explain
        from pyro_rationale.prediction.options import ExplainOptions

        return explain(self, self.documents(texts), ExplainOptions(**options))

    def calibrate(self, documents: Sequence[Document]) -> None:
        """Fit noise, temperature and conformal scores of predictions to held-out documents with targets."""
        from pyro_rationale.prediction.calibration import calibrate

        self.calibration = calibrate(self, documents)

    def evaluate(self, documents: Sequence[Document], **options: Any) -> dict[str, Any]:
        """Metrics on labelled documents by name.

        Args:
            documents: with targets, and gold rationales if there are any.
            options: arguments of :func:`~pyro_rationale.evaluation.evaluate.evaluate_documents`: `decode`, `lexicon`...
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
        self.__dict__.update(vars(made.eval()))

    @classmethod
    def load(cls, folder: Path | str, device: str = "auto") -> FittedModel:
        """Read a run folder.

        Raises:
            RunError: it is missing, damaged, unfinished, or of another version.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise RunError(f"{folder}: no such run folder; {_remedy(folder)}")
        config, spec = read_config(folder)
        if config.train.members > 1:
            return load_ensemble(folder, config, device)
        if not any((folder / name).exists() for name in (WEIGHTS, METRICS)) and (folder / CHECKPOINT).exists():
            raise RunError(_unfinished(folder))
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
        """Read the run folder of a single model, for what asks for the weights or the loss of one.

        Raises:
            RunError: as for `load`.
            ConfigError: it is that of an ensemble.
        """
        fitted = cls.load(folder, device)
        if isinstance(fitted, Ensemble):
            one = Path(folder) / MEMBERS / "0"
            raise ConfigError(f"{folder}: this is asked of one model, and there are {len(fitted.members)}; name {one}")
        return fitted


@dataclass
class Ensemble(FittedModel):
    """Several models of one target, fitted from different seeds, as one model whose predictions they make together.

    Masks are from each member's guide equally often, and every member reads every mask: P(kept) is the mean over the
    members, and p(y | x, z) the mixture of theirs.
    """

    members: tuple[FittedModel, ...] = ()

    @classmethod
    def of(cls, members: Sequence[FittedModel], name: str) -> Ensemble:
        """The ensemble of some fitted models.

        Args:
            members: at least one; the first one's configuration stands for all.
            name: of the run.

        Raises:
            RunError: they predict something else, or know other words.
        """
        first = members[0]
        if any((member.spec, member.vocabulary) != (first.spec, first.vocabulary) for member in members):
            raise RunError(f"{name}: its members predict something else, or know other words; fit again")
        if isinstance(first.vocabulary, OpenVocabulary):  # words have one number for all members
            fresh = [copy.deepcopy(m) if getattr(m.vocabulary, "has_grown", False) else m for m in members]
            for member in fresh[1:]:
                member.vocabulary.join(fresh[0].vocabulary)  # type: ignore[attr-defined]
            members, vocabulary = fresh, fresh[0].vocabulary
        else:
            vocabulary = first.vocabulary
        model = EnsembleModel([member.model for member in members])
        guide = MixtureGuide([member.guide for member in members])
        config = first.config.changed(members=len(members))
        made = cls(config, first.spec, vocabulary, model, guide, first.device, name, first.rows, first.text_keys)
        made.members = tuple(members)
        return made

    def save(self, folder: Path | str) -> None:
        """Write configuration and vocabulary, and a run folder for each member.

        Raises:
            RunError: the folder holds another run.
        """
        folder = self._opened(Path(folder))
        for number, member in enumerate(self.members):
            member.save(folder / MEMBERS / str(number))
        write_calibration(folder, self.calibration)

    def __getstate__(self) -> dict[str, Any]:
        return {"name": self.name, "members": list(self.members), "calibration": self.calibration}

    def __setstate__(self, state: dict[str, Any]) -> None:
        made = Ensemble.of(state["members"], state["name"])
        made.calibration = state["calibration"]
        self.__dict__.update(vars(made.eval()))


def load_ensemble(folder: Path, config: Config, device: str) -> Ensemble:
    """Read the run folder of an ensemble.

    Raises:
        RunError: a member is missing, damaged or unfinished.
    """
    folders = [folder / MEMBERS / str(number) for number in range(config.train.members)]
    for number, member in enumerate(folders):
        if not (member / WEIGHTS).exists():
            told = f"member {number} of {len(folders)} is not fitted yet; go on with --out {folder} --resume"
            raise RunError(f"{member}: {told}")
    ensemble = Ensemble.of([FittedModel.load(member, device) for member in folders], folder.name)
    ensemble.calibration = read_calibration(folder, ensemble.spec)
    ensemble.eval()
    return ensemble


def write_config(
    folder: Path, config: Config, spec: TargetSpec, vocabulary: Vocabulary, rows: Mapping[str, str]
) -> None:
    """Write configuration and vocabulary; the configuration, which resuming needs, comes first.

    Args:
        folder: the run folder.
        config: of the fit.
        spec: the target.
        vocabulary: the words.
        rows: digests of the rows of each split.
    """
    note(folder, rows=rows)
    facts = {"format": FORMAT, "version": __version__, "torch": torch.__version__.split("+")[0]}
    write_json(folder / CONFIG, facts | {"config": config.to_dict(), "target": asdict(spec)}, listed=True)
    vocabulary.save(folder / VOCABULARY, listed=True)
    if config.model.pretrained is not None:
        write_json(folder / PRETRAINED, asdict(find_base(config.model.pretrained)), listed=True)
        if config.train.self_contained:
            copy_base(config.model.pretrained, folder / COPY)


def check_pretrained(folder: Path, config: Config) -> None:
    """Make sure that the transformer a run was fitted on is the one that is found here.

    Raises:
        RunError: its record in the run folder is missing or damaged.
        ConfigError: it is not there, or another; both digests are named.
    """
    if config.model.pretrained is None:
        return
    use_copy(config.model.pretrained, folder / COPY)
    stored = read_json(folder / PRETRAINED)
    try:
        base = Base(str(config.model.pretrained), str(stored["sha256"]), stored.get("licence"))
    except (KeyError, TypeError, AttributeError):
        raise RunError(f"{folder / PRETRAINED}: holds no digest of a transformer; fit again") from None
    check_base(base)


def read_rows(folder: Path) -> dict[str, str]:
    """Digests of the rows that the run was fitted on, by split; empty for runs of older versions.

    Raises:
        RunError: the manifest is damaged.
    """
    rows = read_manifest(folder)["notes"].get("rows", {})
    if not isinstance(rows, dict):
        raise RunError(f"{folder / MANIFEST}: damaged (rows: expected names with values); restore it, or delete it")
    return rows


def _remedy(folder: Path) -> str:
    """Run folders whose names are like that of a folder that does not exist, or how it is made."""
    around = [place for place in (folder.parent, Path("runs")) if place.is_dir()]
    runs = {path.parent.name: path.parent for place in around for path in place.glob(f"*/{CONFIG}")}
    near = get_close_matches(folder.name, list(runs), n=1)
    return f"did you mean {runs[near[0]]}?" if near else f"make one with python -m pyro_rationale.fit --out {folder}"


def _unfinished(folder: Path) -> str:
    """Why the run folder of a fit that has not ended cannot be read, and whether it may still be running."""
    seconds = time.time() - (folder / CHECKPOINT).stat().st_mtime
    age = f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
    again = f"go on with python -m pyro_rationale.fit --out {shlex.quote(str(folder))} --resume"
    return f"{folder}: the fit has not ended; its last checkpoint is {age} old: wait if it is still running, or {again}"


def check_rows(folder: Path, rows: Mapping[str, str], data: str) -> None:
    """Refuse a folder whose fit, or result, is of other rows than the data hold now.

    Args:
        folder: of a run, a baseline or a cell; one of an older version, which holds no digests, is accepted.
        rows: digests of the rows as they are now, of the splits that matter.
        data: as `--data` names them.

    Raises:
        RunError: the rows of a split have changed.
    """
    known = read_rows(folder)
    if changed := [split for split, digest in rows.items() if known.get(split, digest) != digest]:
        what = f"{data} has changed since ({', '.join(changed)})"
        raise RunError(f"{folder}: {what}; restore the data, or fit again into another folder or with --force")


def write_calibration(folder: Path, calibration: Calibration | None) -> None:
    """Store what a fit found out about its predictions, if it did."""
    if calibration is not None:
        write_json(folder / CALIBRATION, calibration.to_dict(), listed=True)


def read_calibration(folder: Path, spec: TargetSpec) -> Calibration | None:
    """The calibration that a fit has stored; `None` for runs of older versions.

    Raises:
        RunError: the file is damaged.
    """
    path = folder / CALIBRATION
    if not path.exists():
        return None
    try:
        return Calibration.from_dict(read_json(path), len(spec.names))
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        reason = " ".join(str(problem).split())[:200]
        raise RunError(f"{path}: not a calibration of this version ({reason}); restore it, or fit again") from None


def read_config(folder: Path) -> tuple[Config, TargetSpec]:
    """Configuration and target of a run folder.

    Raises:
        RunError: as for `FittedModel.load`.
    """
    path = folder / CONFIG
    facts = read_json(path)
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        found = facts.get("format") if isinstance(facts, dict) else None
        raise RunError(f"{path}: run folder of format {found}, this version reads {FORMAT}; fit again with this one")
    try:
        config, spec = Config.from_dict(facts["config"]), read_target(facts["target"])
    except (ConfigError, KeyError, TypeError, AttributeError) as problem:
        remedy = "install the package that adds what is missing, or fit again"
        raise RunError(f"{path}: not a configuration of this version ({problem}); {remedy}") from None
    TOKENIZERS.check_trusted(config.data.tokenizer, path)
    if config.model.tau is None and config.is_settled:  # of before runs recorded it, when a chain's was 0.25 too
        config = config.changed(tau=0.25 if config.guide == "chain" else config.tau)
    return config, spec


def read_target(values: Mapping[str, Any]) -> TargetSpec:
    """A target that was written as JSON.

    Raises:
        ConfigError: it is none, or of a task that is not installed.
        AttributeError: it is no mapping.
        TypeError: its kind or its names are missing.
    """
    spec = decode(TargetSpec, values, "target.")
    TASKS.check(spec.kind)
    if not spec.names or (spec.ranges and len(spec.ranges) != len(spec.names)):
        raise ConfigError(f"target: {len(spec.names)} names and {len(spec.ranges)} ranges")
    if not all(low < high and math.isfinite(high - low) for low, high in spec.ranges):
        raise ConfigError(f"target.ranges: expected a lower and a higher number each, got {shown(spec.ranges)}")
    if len(set(spec.classes)) != len(spec.classes) or len(spec.classes) == 1:
        raise ConfigError(f"target.classes: expected two or more distinct ones, got {shown(spec.classes)}")
    TASKS[spec.kind].check_spec(spec)
    return spec


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
        reason = " ".join(str(problem).split())[:200]
        raise RunError(f"{folder / WEIGHTS}: weights do not fit the configuration ({reason}); fit again") from None
    return FittedModel(config, spec, vocabulary, model.to(device), guide.to(device), device, folder.name)


load = FittedModel.load  # `pyro_rationale.load`
