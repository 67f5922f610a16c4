"""Methods of the library pyhighlights, fitted on our words and vectors, and read as a :class:`Rationalizer`.

The networks, losses, optimiser, callbacks and training loop are pyhighlights' own. It gets our tokens, our vocabulary
with our word vectors (or, with `--pretrained`, its "stacked" network: a frozen transformer below a GRU), and the share
of words to keep; its masks and predictions go through our metrics. The library predicts one class; for ratings, its
cross entropy becomes half the squared error of standardised ratings, and its Kullback-Leibler divergence that between
normal distributions of variance 1, so that its penalties weigh about what they weigh for classes.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pyro_rationale.build import build_vocabulary
from pyro_rationale.config import Config
from pyro_rationale.data.corpus import Corpus, Document, TargetSpec
from pyro_rationale.data.row_digests import row_digests
from pyro_rationale.data.vocabulary import PADDING, UNKNOWN, Vocabulary
from pyro_rationale.errors import ConfigError, RunError, TrainingError
from pyro_rationale.evaluation.metrics import targets_of
from pyro_rationale.experiments.baselines._base import Baseline
from pyro_rationale.experiments.baselines._storage import MARKER, WEIGHTS, is_finished, write_marker
from pyro_rationale.experiments.same_fit import check_same_settings
from pyro_rationale.fitted import pick_device
from pyro_rationale.nn.pretrained_folders import Base, check_base, find_base, find_folder
from pyro_rationale.nn.seeding import seeded
from pyro_rationale.nn.word_vectors import find_vectors
from pyro_rationale.optional import optional
from pyro_rationale.options import check_fields, option
from pyro_rationale.prediction.decoding import Mask
from pyro_rationale.prediction.draws import uniforms
from pyro_rationale.prediction.rationalizer import Scores
from pyro_rationale.run_files import VOCABULARY
from pyro_rationale.storage import read_json, read_tensors
from pyro_rationale.tasks import Numbers, task_of
from pyro_rationale.training.defaults import resolve

# Options of the configuration that these methods read, besides rate and seed; all else is pyhighlights' own.
READS = ("vectors", "pretrained", "vocabulary", "min_count", "device", "threads")
KINDS = ("binary", "multiclass", "regression", "ordinal")
BATCH = 128  # documents at once, where nothing is trained
CACHED_BYTES = 2**32  # of states of whole texts, at most


@dataclass(frozen=True)
class RivalSettings:
    """Settings of pyhighlights, with its own names; the defaults are those that it registers.

    Its one registered task is a smoke test of five epochs, so `max_epochs` is a bound that early stopping is meant to
    come before, as in the study that its authors publish with it (500 epochs, patience 30, batches of 64).
    """

    hidden_size: int = option(128, "units of its GRUs, each direction", above=0)
    embedding_dim: int = option(128, "size of word vectors learnt from scratch", above=0)
    dropout_rate: float = option(0.0, "dropout on the states of its GRUs", least=0, below=1)
    lr: float = option(1e-3, "learning rate of Adam", above=0)
    batch_size: int = option(32, "documents per step", above=0)
    max_epochs: int = option(100, "at most", above=0)
    patience: int = option(5, "stop after so many epochs without a smaller development loss", least=0)
    sparsity: float = option(1.0, "weight of |share of kept words - rate|", least=0)
    contiguity: float = option(2.0, "weight of the changes of the mask per word", least=0)
    temperature: float = option(1.0, "of the Gumbel softmax", above=0)
    pretrain_epochs: int = option(20, "dar: epochs of the network that reads everything", above=0)

    def __post_init__(self) -> None:
        check_fields(self)


# The library.


@cache
def library() -> SimpleNamespace:
    """Parts of pyhighlights that are used here, and what it registers, read once.

    Raises:
        ConfigError: it is not installed.
    """
    # All of it before the registry is built, which makes Python forget what it imports while that goes on.
    names = ("pyhighlights", "lightning", "pyhighlights.components.tasks", "pyhighlights.components.data",
             "pyhighlights.configurations.keys", "cinnamon.registry")
    modules = [optional(name, "methods of pyhighlights need", "rival") for name in names]
    package, loops, _, data, keys, registry = modules
    registry.Registry.build(directory=Path(package.__file__).parent)
    registered = registry.Registry.freeze_runtime()
    key = keys.NAMESPACE.key("model", "rnp", "gru")
    values = {k: v for k, v in registered[keys.GRU_DR]["values"].items() if k != "scale_floor"}
    component = "pyhighlights.components.models.spp.base.SPP"  # it has the class, and registers no model of it
    registered[key] = {"component": component, "run_method": None, "values": values | {"name": "rnp"}}
    registry.Registry.install_runtime(registered)  # which also takes what building put on Python's path off it
    models = {"rnp": key} | {name: getattr(keys, f"GRU_{name.upper()}") for name in ("fr", "mgr", "mcd", "dr", "dar")}
    return SimpleNamespace(
        data=data, lightning=loops, keys=keys, registry=registry.Registry, key_class=registry.RegistrationKey,
        registered=registered, models=models,
    )


class HalfSquaredError(nn.Module):
    """Half the squared error, summed over the targets that are known: a normal likelihood of variance 1."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean over documents of `outputs` and `targets` `(B, D)`; NaN is no target."""
        error = torch.where(targets.isnan(), 0.0, targets.nan_to_num(0.0) - outputs)
        return 0.5 * error.square().sum(-1).mean()


class NormalDivergence(nn.Module):
    """Kullback-Leibler divergence between normal distributions of variance 1, by their means."""

    def forward(self, p: Tensor, q: Tensor) -> Tensor:
        """Mean over documents of `KL(q || p)`, `(B, D)` both."""
        return 0.5 * (p - q).square().sum(-1).mean()


def build_network(
    architecture: str, settings: RivalSettings, spec: TargetSpec, rate: float, words: int, width: int,
    folder: Path | None,
) -> Any:
    """The untrained networks of a method, from torch's generator.

    Args:
        architecture: one of its models.
        settings: its own.
        spec: what is predicted.
        rate: share of words to keep.
        words: size of the vocabulary.
        width: of the word vectors.
        folder: of a pretrained transformer, instead of word vectors.
    """
    have = library()
    keys, registered = have.keys, copy.deepcopy(have.registered)

    def put(key: Any, **values: Any) -> None:
        registered[key]["values"].update(values)

    common = {"hidden_size": settings.hidden_size, "dropout_rate": settings.dropout_rate}
    if folder is None:
        for key in (keys.GRU_BACKBONE, keys.UNNORMALISED_GRU_BACKBONE):
            put(key, vocab_size=words, embedding_dim=width, **common)
    else:
        transformers = optional("transformers", "a pretrained network needs", "transformers")
        transformers.utils.logging.disable_progress_bar()
        put(keys.STACKED_BACKBONE, pretrained_model_card=str(folder), **common)
        registered[keys.GRU_BACKBONE] = registered[keys.UNNORMALISED_GRU_BACKBONE] = registered[keys.STACKED_BACKBONE]
    put(keys.MLP_PREDICTOR, num_classes=max(len(spec.classes), len(spec.names)))
    put(keys.SPARSITY_PENALTY, threshold=rate)
    put(keys.SPARSITY_LOSS, coefficient=settings.sparsity)
    put(keys.CONTIGUITY_LOSS, coefficient=settings.contiguity)
    put(keys.ADAM, lr=settings.lr)
    put(keys.LOSS_EARLY_STOPPING, patience=settings.patience)
    if not spec.classes:
        for key, criterion in ((keys.CROSS_ENTROPY, HalfSquaredError), (keys.KL_DIV, NormalDivergence)):
            registered[key] |= {"component": f"{__name__}.{criterion.__name__}", "values": {}}
    model = have.models[architecture]
    put(model, temperature=settings.temperature)
    if architecture == "dar":
        put(model, pretrain_epochs=settings.pretrain_epochs)
    have.registry.install_runtime(registered)
    built = have.registry.from_key(model)
    if folder is not None:
        stacked = [module for module in built.modules() if hasattr(getattr(module, "transformer", None), "frozen")]
        shared = CachedTransformer(stacked[0].transformer)
        for module in stacked:
            module.transformer = shared
    return built


class CachedTransformer(nn.Module):
    """One frozen transformer for all networks, which keeps its states of whole texts: the same numbers, in less time.

    Its weights are none of the networks', so they are neither given to an optimiser nor written.

    Args:
        backbone: pyhighlights' own, frozen.
    """

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self.own, self.output_size = (backbone.eval(),), backbone.output_size
        self.states: dict[bytes, Tensor] = {}
        self.bytes = 0

    def encode(self, features: Tensor, mask: Tensor, selection_mask: Tensor | None = None) -> Tensor:
        """States `(B, T, E)` of pieces, as the backbone's own `encode`."""
        backbone = self.own[0].to(features.device)
        if selection_mask is not None and (selection_mask.requires_grad or bool((selection_mask < mask).any())):
            states: Tensor = backbone.encode(features, mask, selection_mask)
            return states
        lengths = mask.sum(1).long().tolist()
        names = [row[:length].numpy().tobytes() for row, length in zip(features.cpu(), lengths, strict=True)]
        new = [i for i, name in enumerate(names) if name not in self.states]
        found = {name: self.states[name] for name in names if name in self.states}
        if new:
            made = backbone.encode(features[new], mask[new])
            for i, row in zip(new, made, strict=True):
                found[names[i]] = row[: lengths[i]].clone()
                if self.bytes < CACHED_BYTES:
                    self.states[names[i]] = found[names[i]]
                    self.bytes += found[names[i]].nbytes
        result = next(iter(found.values())).new_zeros(*features.shape, self.output_size)
        for i, name in enumerate(names):
            result[i, : lengths[i]] = found[name]
        return result


# Documents.


class Collate:
    """Batches of pyhighlights from documents.

    Args:
        vocabulary: numbers of the words.
        folder: of a pretrained transformer, whose tokenizer cuts the words into pieces instead.
    """

    def __init__(self, vocabulary: Vocabulary, folder: Path | None) -> None:
        data = library().data
        if folder is None:
            numbers = {word: i for i, word in enumerate(vocabulary.words) if i > UNKNOWN}
            tokenizer, longest = data.VocabularyTokenizer(numbers, UNKNOWN, PADDING), None
        else:
            tokenizer, longest = data.HuggingFaceTokenizer(str(folder)), _positions(folder)
        self.collate = data.HighlightCollator(tokenizer, longest)

    def examples(self, documents: Sequence[Document]) -> list[Any]:
        """Documents as its examples; the label is the index, without gold."""
        make = library().data.HighlightExample
        return [make(sample_id=i, tokens=document.tokens, label=i) for i, document in enumerate(documents)]

    def __call__(self, examples: Sequence[Any], targets: Tensor | None = None) -> Any:
        """A batch; `targets` are those of all documents."""
        batch = self.collate(examples)
        if targets is not None:
            batch.y_true = targets[batch.y_true]
        return batch


def _positions(folder: Path) -> int:
    """Pieces that a transformer reads at most."""
    about = read_json(folder / "config.json")
    room = int(about.get("max_position_embeddings", 512))
    roberta = about.get("model_type") in ("roberta", "xlm-roberta", "camembert", "mpnet")
    return room - 2 if roberta else room  # whose positions begin behind the number of padding


def _labelled(documents: Sequence[Document], spec: TargetSpec) -> tuple[list[Document], Numbers]:
    """Documents that have a target, and their targets `(N, D)`."""
    targets = targets_of(documents, spec)
    known = np.flatnonzero((~np.isnan(targets)).any(axis=1)).tolist()
    return [documents[i] for i in known], targets[known]


# Fits.


def rival(architecture: str, title: str) -> Baseline:
    """A method of pyhighlights as a baseline."""
    return Baseline(
        f"{title}, pyhighlights", partial(fit_rival, architecture), settings=RivalSettings, reads=READS,
        keeps_words=True, check_installed=library,
    )


def fit_rival(
    architecture: str, config: Config, corpus: Corpus, folder: Path, settings: RivalSettings | None = None
) -> RivalRationalizer:
    """Fit a method into a folder, or read the finished one.

    Raises:
        ConfigError: pyhighlights is not installed or cannot predict this target, or the folder holds another fit.
        RunError: the folder is damaged.
        TrainingError: no epoch had a finite development loss.
    """
    name, settings, spec = f"pyhighlights-{architecture}", settings or RivalSettings(), corpus.spec
    if spec.kind not in KINDS or (spec.classes and len(spec.names) > 1):
        raise ConfigError(f"{name}: predicts one class, or ratings, not {task_of(spec).describe()}; leave it out, or "
                          "name one column with --target-column")
    library()
    torch.set_num_threads(config.train.threads or 1)
    torch.set_flush_denormal(True)
    options = resolve(config, corpus).model
    if is_finished(name, config, corpus, folder):
        return read_rival(architecture, config, spec, folder, settings, options.rate)
    vocabulary = build_vocabulary(options, corpus.train)
    base = find_folder(options.pretrained) if options.pretrained else None
    vectors = None
    if options.vectors and base is None:
        vectors = find_vectors(options.vectors, vocabulary, config.data.cache).matrix
    width = settings.embedding_dim if vectors is None else vectors.shape[1]
    documents, targets = _labelled(corpus.train, spec)
    centre, scale = np.zeros(len(spec.names)), np.ones(len(spec.names))
    if not spec.classes:
        centre, scale = np.nanmean(targets, 0), np.maximum(np.nanstd(targets, 0), 1e-6)
    collate = Collate(vocabulary, base)

    def loader(documents: Sequence[Document], targets: Numbers, shuffle: bool) -> Any:
        if spec.classes:
            known = torch.from_numpy(targets[:, 0]).long()
        else:
            known = torch.from_numpy((targets - centre) / scale).float()
        return DataLoader(collate.examples(documents), settings.batch_size, shuffle=shuffle,  # type: ignore[arg-type]
                          collate_fn=partial(collate, targets=known))

    with seeded(config.seed), _quiet():
        model = build_network(architecture, settings, spec, options.rate, len(vocabulary), width, base)
        if vectors is not None:
            model.load_embeddings(vectors)
        dev = _labelled(corpus.dev, spec)
        train(name, model, config, settings, loader(documents, targets, True), loader(*dev, False) if dev[0] else None)
    facts: dict[str, Any] = {"settings": asdict(settings), "width": width}
    facts |= {"centre": centre.tolist(), "scale": scale.tolist()}
    if options.pretrained:
        facts["pretrained"] = asdict(find_base(options.pretrained))
    write_marker(name, config, spec, vocabulary, row_digests(corpus), model.state_dict(), folder, **facts)
    return RivalRationalizer(name, spec, model, collate, pick_device(config.train.device), centre, scale)


def read_rival(
    architecture: str, config: Config, spec: TargetSpec, folder: Path, settings: RivalSettings, rate: float
) -> RivalRationalizer:
    """A finished method from its folder.

    Raises:
        ConfigError: it was made with other settings, or stands on another transformer than the one installed.
        RunError: the folder is damaged.
    """
    facts = read_json(folder / MARKER)
    tensors, _ = read_tensors(folder / WEIGHTS)
    vocabulary = Vocabulary.load(folder / VOCABULARY)
    try:
        check_same_settings(facts["settings"], settings, folder)
        width, centre, scale = facts["width"], np.array(facts["centre"]), np.array(facts["scale"])
        base = None
        if "pretrained" in facts:
            check_base(Base(**facts["pretrained"]))
            base = find_folder(facts["pretrained"]["name"])
        with seeded(0), _quiet():
            model = build_network(architecture, settings, spec, rate, len(vocabulary), width, base)
        model.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as problem:
        raise RunError(f"{folder}: damaged ({problem}); remove the folder to fit it again") from None
    name, collate, device = f"pyhighlights-{architecture}", Collate(vocabulary, base), pick_device(config.train.device)
    return RivalRationalizer(name, spec, model, collate, device, centre, scale)


def train(name: str, model: Any, config: Config, settings: RivalSettings, texts: Any, dev: Any) -> None:
    """Train networks by Lightning, as pyhighlights' task does, and keep those of the smallest development loss.

    Raises:
        TrainingError: there is no such epoch.
    """
    have = library()
    device = pick_device(config.train.device)
    where = {"accelerator": "cpu", "devices": 1}
    if device.type != "cpu":
        where = {"accelerator": "gpu" if device.type == "cuda" else device.type, "devices": [device.index or 0]}
    with TemporaryDirectory() as folder:
        callbacks = []
        if dev is not None:
            callbacks = [have.registry.from_key(key)
                         for key in (have.keys.LOSS_EARLY_STOPPING, have.keys.LOSS_CHECKPOINT)]
            callbacks[1].dirpath, callbacks[1].save_weights_only = folder, True
        trainer = have.lightning.Trainer(
            **where, max_epochs=settings.max_epochs, callbacks=callbacks, default_root_dir=folder, logger=False,
            enable_checkpointing=dev is not None, enable_progress_bar=False, enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        try:
            trainer.fit(model, texts, dev)
        except SystemExit:  # how Lightning ends after Ctrl-C
            raise KeyboardInterrupt from None
        if dev is None:
            return
        best = callbacks[1].best_model_path
        if not best or not np.isfinite(float(callbacks[1].best_model_score)):
            raise TrainingError(f"{name}: no epoch with a finite development loss; try a smaller lr")
        with torch.serialization.safe_globals([have.key_class, frozenset, set]):
            state = torch.load(best, map_location="cpu", weights_only=True)["state_dict"]
        model.load_state_dict(state)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what Lightning says about machines and workers."""
    names = ("lightning.pytorch", "lightning.fabric", "lightning", "pyhighlights", "cinnamon")
    logs = [logging.getLogger(name) for name in names]
    levels = [log.level for log in logs]
    try:
        for log in logs:
            log.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)


class RivalRationalizer:
    """Fitted networks of pyhighlights as a :class:`~pyro_rationale.prediction.rationalizer.Rationalizer`.

    Args:
        name: of the method.
        spec: what is predicted.
        model: the networks.
        collate: makes its batches.
        device: to compute on.
        centre: means of the ratings, `(D,)`.
        scale: standard deviations of the ratings, `(D,)`.
    """

    def __init__(
        self, name: str, spec: TargetSpec, model: Any, collate: Collate, device: torch.device,
        centre: NDArray[np.float64], scale: NDArray[np.float64],
    ) -> None:
        self.name, self.spec, self.collate, self.device = name, spec, collate, device
        self.model, self.centre, self.scale = model.to(device).eval(), centre, scale

    def marginals(self, documents: Sequence[Document]) -> list[Scores]:
        """P(word is kept | text) under its selector; 0 for words behind the last that a transformer reads."""
        scores = [np.zeros(len(document.tokens)) for document in documents]
        model = self.model
        head = model.inference_head
        for batch, chosen in self._batches(documents):
            with seeded(0):  # it also draws a mask, which is not used
                logits, _ = model.select(batch, model.selectors[head], model.selector_backbones[head])
            kept = (torch.softmax(logits.double(), -1)[..., 1] * batch.mask).cpu().numpy()
            for row, i in zip(kept, chosen, strict=True):
                scores[i][: len(row)] = row[: len(scores[i])]
        return scores

    def masks(self, documents: Sequence[Document]) -> list[Mask]:
        """Its own masks: drawn where it draws them at evaluation, in the same way for the same words, else the mode."""
        masks = []
        for document, score in zip(documents, self.marginals(documents), strict=True):
            if self.model.sample_at_evaluation:
                drawn = uniforms([document], max(len(score), 1), 0, [1])[0][0, 0, : len(score)].numpy()
                kept = drawn < score
            else:
                kept = score > 0.5
            if self.model.repair_empty_selections and len(score) and not kept.any():
                kept[score.argmax()] = True
            masks.append(tuple(kept.tolist()))
        return masks

    def predict(self, documents: Sequence[Document], masks: Sequence[Sequence[bool]]) -> Numbers:
        """Predictions of its predictor from the kept words.

        Raises:
            ValueError: a mask is not as long as its document.
        """
        for document, mask in zip(documents, masks, strict=True):
            if len(mask) != len(document.tokens):
                raise ValueError(f"{document.id}: a mask of {len(mask)} flags for {len(document.tokens)} words")
        outputs = np.zeros((len(documents), max(len(self.spec.classes), len(self.spec.names))))
        for batch, chosen in self._batches(documents):
            kept = torch.zeros_like(batch.mask)
            for row, i in enumerate(chosen):
                own = torch.tensor(masks[i][: kept.shape[1]], dtype=kept.dtype)
                kept[row, : len(own)] = own
            logits = self.model.predict(batch, kept.to(self.device) * batch.mask)
            outputs[chosen] = logits.double().cpu().numpy()
        if not self.spec.classes:
            return outputs * self.scale + self.centre
        if len(self.spec.classes) == 2:
            outputs = outputs[:, 1:] - outputs[:, :1]
        return task_of(self.spec).from_linear(outputs)

    def _batches(self, documents: Sequence[Document]) -> Iterator[tuple[Any, list[int]]]:
        """Batches of documents of like lengths, and which documents they hold."""
        examples = self.collate.examples(documents)
        order = sorted(range(len(documents)), key=lambda i: len(documents[i].tokens))
        with torch.inference_mode():
            for start in range(0, len(order), BATCH):
                chosen = order[start : start + BATCH]
                yield self.collate([examples[i] for i in chosen]).to(self.device), chosen
