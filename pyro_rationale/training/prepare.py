"""From a configuration to a training run that has not taken a step, or goes on from its checkpoint."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from pyro_rationale.build import (
    build_guide,
    build_model,
    build_objective,
    build_vocabulary,
    open_if_needed,
    starting_prior,
    target_summary,
)
from pyro_rationale.config import Config
from pyro_rationale.data import load_corpus
from pyro_rationale.data.batching import Batches, BucketedBatches
from pyro_rationale.data.cache.dataset import target_rows, word_keys
from pyro_rationale.data.corpus import Corpus, Document
from pyro_rationale.data.pairs import PairCorpus
from pyro_rationale.data.row_digests import row_digests, weight_digests
from pyro_rationale.data.splits import check_parts
from pyro_rationale.data.text_lengths import cut_to, fitting_length
from pyro_rationale.data.vectors import WordVectors, warn_of_language
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.data.weighting import Weighting, warn_of_rare_classes, without_weightless
from pyro_rationale.data.word_classes import Exclusion
from pyro_rationale.distributions import ChainPrior
from pyro_rationale.errors import DataError
from pyro_rationale.fitted import FittedModel, pick_device
from pyro_rationale.guides import RationaleGuide
from pyro_rationale.models import RationaleModel
from pyro_rationale.nn.autocast import check_bfloat16
from pyro_rationale.nn.encoders.transformer import TransformerEncoder
from pyro_rationale.nn.pretrained_folders import find_folder, use_copy
from pyro_rationale.nn.seeding import seeded
from pyro_rationale.nn.word_vectors import find_vectors
from pyro_rationale.run_files import COPY, METRICS, check_pretrained, read_config
from pyro_rationale.tasks import task_of
from pyro_rationale.training.callbacks import ALWAYS, CALLBACKS, Callback
from pyro_rationale.training.callbacks._base import call, check_callbacks
from pyro_rationale.training.checkpoint import stored_vectors, weights_of
from pyro_rationale.training.corpus_figures import examples_of, median_words, words_of_units
from pyro_rationale.training.defaults import chosen, most_restarts, resolve
from pyro_rationale.training.distributed import SINGLE_PROCESS, Group, check_shares
from pyro_rationale.training.idle_options import warn_of_idle
from pyro_rationale.training.laplace import check_last_layer
from pyro_rationale.training.memorization import MAX_CHECKED, MemorizationCheck, constant_error
from pyro_rationale.training.model_selection import ModelSelection
from pyro_rationale.training.pairs import DevLists, check_pairs, pair_batches
from pyro_rationale.training.rate_control import (
    LONG,
    STEADY,
    AspectControls,
    Control,
    LagrangianControl,
    PenaltyRamp,
    RateControl,
    Schedule,
)
from pyro_rationale.training.run import TrainingRun
from pyro_rationale.training.run_folder import (
    check_free,
    check_ours,
    check_same_config,
    check_same_corpus,
    check_same_epochs,
    clear_run,
    continued,
    differing_options,
    has_checkpoint,
    is_finished,
    start_run,
    stored_vocabulary,
)
from pyro_rationale.training.trainer import Trainer


def prepare_run(
    config: Config,
    folder: Path,
    resume: bool = False,
    force: bool = False,
    callbacks: Sequence[Callback] = (),
    corpus: Corpus | None = None,
    group: Group = SINGLE_PROCESS,
    like: TrainingRun | None = None,
) -> TrainingRun:
    """Read the data, build everything, open the run folder.

    Args:
        config: the configuration; with `resume` the folder's own, save for `RESUMABLE_OPTIONS`. What is not given is
            chosen by :func:`pyro_rationale.training.defaults.resolve`, or is that of the run to resume.
        folder: the run folder.
        resume: go on from the folder's checkpoint, or from the start if there is none yet.
        force: start anew in a folder that holds a run.
        callbacks: called after those of every fit and those that `--log` and `--callback` name.
        corpus: documents in memory, instead of those that `config.data` names.
        group: the processes that make this fit; only the main one knows the folder.
        like: a fit of the same texts and options, whose vocabulary and word vectors are taken instead of those that
            `--vectors` names; a resumed fit has its own in its folder.

    Raises:
        DataError: the corpus cannot be read, or not every process reads the same.
        ConfigError: the configuration is not that of the run to resume, or there are more processes than documents in
            a batch.
        RunError: the folder already holds a run, or holds none to resume.
    """
    called = callbacks_of(config, callbacks)  # before anything is read: a library may be missing
    config, typed = _checked_config(config, folder, resume, force, called, group)
    if resume and config.model.pretrained is not None:
        use_copy(config.model.pretrained, folder / COPY)
    torch.manual_seed(config.seed)
    device = group.device(pick_device(config.train.device))
    if config.train.precision == "bf16":
        check_bfloat16(device)
    corpus = _read_corpus(config, typed, called) if corpus is None else _as_read(corpus, config)
    given, texts = config, corpus
    config = group.broadcast(lambda: resolve(given, texts))
    options, spec = config.train, corpus.spec
    resumed = folder if resume else None
    vocabulary, vectors = _words_of(config, corpus, like, resumed, typed, called, group)
    matrix = None if vectors is None else vectors.matrix
    weighting = Weighting.of(options.class_weight, spec, corpus.train)
    task_of(spec).check_decide(options.decide)
    centre, spread = target_summary(corpus.train, spec, weighting)
    if group.main:
        warn_of_rare_classes(corpus)
        warn_of_idle(given, config)

    def untrained() -> tuple[RationaleModel, RationaleGuide]:
        model = build_model(config, spec, len(vocabulary), matrix, centre, spread, vocabulary)
        if model.given_others is not None:
            targets = task_of(spec).encode(target_rows(corpus.train, len(spec.names)), str)
            model.given_others.measure(torch.from_numpy(targets))
        gamma = starting_prior(config, model.gain).gamma
        return model, build_guide(config, len(vocabulary), matrix, gamma, spec, vocabulary)

    def reinitialize(seed: int) -> dict[str, torch.Tensor]:
        with seeded(seed, torch.device("cpu")):
            return weights_of(*untrained())

    def batches(documents: Sequence[Document], steps: int | None = None) -> BucketedBatches:
        return fitted.batches(documents, options.batch_size, config.seed, steps, weighted=True)

    model, guide = untrained()
    if isinstance(model.encoder, TransformerEncoder) and (remedy := config.for_hard_masks):
        model.encoder.transformer.check_relaxed(remedy)
    check_pairs(config, corpus, group)
    if options.laplace:
        check_last_layer(model)
    prior = starting_prior(config, model.gain)
    rows = row_digests(corpus) | weight_digests(corpus)
    fitted = FittedModel(config, spec, vocabulary, model.to(device), guide.to(device), device, folder.name, rows)
    fitted.weighting = weighting
    fitted.text_keys = torch.from_numpy(word_keys(corpus.train))
    examples = examples_of(corpus)
    steps = options.epoch_of(examples)
    train: Batches
    lists = None
    if isinstance(corpus, PairCorpus):
        train, lists = pair_batches(fitted, corpus, steps), DevLists.of(fitted, corpus)
    else:
        train = batches(corpus.train, steps)
    check_shares(options.batch_size, examples, train.whole, group.size)
    rate = config.model.rate if config.model.lambda1 is None else None
    controls = build_controls(config, prior, fitted.aspects, corpus)
    scale = spread / fitted.aspects * model.gain
    trainer = Trainer(fitted, build_objective(config), controls, train, scale=scale, group=group)
    known = random.Random(config.seed).sample(
        range(len(corpus.train)), min(MAX_CHECKED, len(corpus.train), len(corpus.dev))
    )
    constant = math.inf  # nothing is worse
    if not isinstance(corpus, PairCorpus):
        constant = constant_error(corpus.dev, spec, fitted.aspects, weighting)
    run = TrainingRun(
        folder,
        corpus,
        fitted,
        trainer,
        ModelSelection(
            trainer, prior, rate, model.gain, options.patience, reinitialize, meet=options.rate_as == "target",
            most_restarts=most_restarts(config),
        ),
        batches(corpus.dev),
        prior,
        vectors,
        MemorizationCheck(batches([corpus.train[i] for i in sorted(known)]), constant, prior.rate),
        lists=lists,
        chosen=chosen(given, config),
        callbacks=called,
    )
    if group.main:
        _open(run, resume, force)
    run.synchronize()
    return run


def _checked_config(
    config: Config, folder: Path, resume: bool, force: bool, called: Sequence[Callback], group: Group
) -> tuple[Config, set[str] | None]:
    """The configuration of all processes, once the main one has checked that it goes with the run folder.

    Returns:
        The configuration, and, of a run to resume, the options that are set anew: those that differ from its own.
    """
    typed: set[str] | None = None
    if group.main:
        if resume:
            config = continued(config, folder)
            check_same_config(config, folder)
            typed = {name for name, *_ in differing_options(read_config(folder)[0], config)}
            has_checkpoint(folder)
        else:
            (check_ours if force else check_free)(folder)
        call(called, "on_check")
    own = config, typed
    return group.broadcast(lambda: own)


def _read_corpus(config: Config, typed: set[str] | None, called: Sequence[Callback]) -> Corpus:
    """The corpus that the options name; every split of it must hold texts."""
    call(called, "on_preparation", "reading the texts")
    corpus = load_corpus(config.data, progress=partial(call, called, "on_corpus_progress"), typed=typed)
    check_parts(corpus.name, (corpus.train, corpus.dev, corpus.test))
    return corpus


def _as_read(corpus: Corpus, config: Config) -> Corpus:
    """A corpus in memory, without texts of no weight, and cut as one that is read from files would be."""
    if not isinstance(corpus, PairCorpus):
        corpus = without_weightless(corpus)
    if corpus.max_words is not None or config.data.max_words is not None:
        return corpus
    length = fitting_length(corpus)
    return corpus.cut_to(length) if isinstance(corpus, PairCorpus) else cut_to(corpus, length)


def _words_of(
    config: Config,
    corpus: Corpus,
    like: TrainingRun | None,
    resumed: Path | None,
    typed: set[str] | None,
    called: Sequence[Callback],
    group: Group,
) -> tuple[Vocabulary, WordVectors | None]:
    """The vocabulary, and vectors of its words if the options ask for some.

    Args:
        config: with all options chosen.
        corpus: the texts.
        like: a fit that has them already.
        resumed: folder of the run to resume, which has its vectors in the checkpoint.
        typed: of a run to resume, the options that are set anew.
        called: callbacks, told what is loaded.
        group: the processes; the main one reads files for all.
    """
    options, source = config.model, config.model.vectors
    if options.pretrained is not None:
        find_folder(options.pretrained)  # before vectors of its words are looked for

    def words() -> Vocabulary:
        if like is not None:
            return like.fitted.vocabulary.extended(())  # a copy; of an open one, the words that it lists
        # What the words of a run to resume are from may be gone.
        stored = None if resumed is None else stored_vocabulary(resumed, config, corpus)
        return stored or build_vocabulary(options, corpus.train)

    vocabulary = group.broadcast(words)
    if len(vocabulary) == len(Vocabulary(())) < options.vocabulary:
        raise DataError(f"{corpus.name}: no word occurs {options.min_count} times in training texts; lower --min-count")
    if config.exclusion:
        vocabulary.excluded = Exclusion.of(config.exclusion)
    found = None if like is None else like.vectors
    if source and resumed is not None and found is None:
        found = group.broadcast(lambda: stored_vectors(resumed, source))
    if loaded := [*filter(None, (options.pretrained, source if found is None else None))]:
        call(called, "on_preparation", f"loading {' and '.join(loaded)}")
    vocabulary = open_if_needed(config, vocabulary)
    if source and found is None:
        # A run folder from elsewhere decides on no cache.
        cache = config.data.cache if typed is None or "cache" in typed else None
        found = group.broadcast(lambda: find_vectors(source, vocabulary, cache))
        if group.main:
            warn_of_language(source, found, corpus.train, vocabulary)
    return vocabulary, found


def callbacks_of(config: Config, callbacks: Sequence[Callback]) -> list[Callback]:
    """The callbacks of every fit, those that `--log` and `--callback` name, and others.

    Raises:
        ConfigError: a library is missing, or something is no callback.
    """
    check_callbacks(callbacks)
    named = dict.fromkeys((*ALWAYS, *config.train.log, *config.train.callback))
    return [*(CALLBACKS[name]() for name in named), *callbacks]


def _open(run: TrainingRun, resume: bool, force: bool) -> None:
    """Resume or begin the run in its folder."""
    folder, config = run.folder, run.fitted.config
    if resume and has_checkpoint(folder):
        check_same_corpus(run.fitted, folder)
        check_pretrained(folder, config)
        check_same_epochs(config, folder, examples_of(run.corpus))
        run.resume()
        check_same_config(config, folder, trained=run.trained or run.exhausted)
        if not is_finished(config, folder):
            (folder / METRICS).unlink(missing_ok=True)  # of fewer steps
    elif force:
        clear_run(folder)
    elif not resume:
        check_free(folder)  # once more: reading the corpus takes long enough for another fit to have come
    start_run(folder, run.fitted)


def build_controls(config: Config, prior: ChainPrior, aspects: int, corpus: Corpus) -> Control | AspectControls:
    """The control that the options name, or one for each of several targets that have masks of their own."""
    control = build_control(config, prior, corpus)
    return control if aspects == 1 else AspectControls(tuple(replace(control) for _ in range(aspects)))


def build_control(config: Config, prior: ChainPrior, corpus: Corpus) -> Control:
    """The control of the share of kept words that the options name, with its schedule.

    Args:
        config: of the fit.
        prior: that was asked for.
        corpus: the texts; gains go by their length, and by that of what is kept as a whole.
    """
    options = config.train
    rate = config.model.rate if config.model.lambda1 is None else prior.rate
    schedule = Schedule(options.warmup, options.anneal, rate, options.schedule, options.start_rate)
    if config.control == "penalties":
        return PenaltyRamp(schedule, prior)
    if config.control == "lagrangian":
        return LagrangianControl(schedule, prior, options.lagrange_rate, options.transitions)
    meet, words = options.rate_as == "target", words_of_units(corpus, config.unit)
    steady = STEADY if meet and config.unit == "word" and median_words(corpus) >= LONG else {}
    return RateControl(schedule, prior, meet=meet, words=words, **steady)
