"""Build the model and the guide that a configuration describes, for the targets of a corpus."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pyro_rationale.config import Config, ModelOptions
from pyro_rationale.data.cache.dataset import count_words
from pyro_rationale.data.corpus import Document
from pyro_rationale.data.open_vocabulary import OpenVocabulary
from pyro_rationale.data.vectors import sources_of, words_of
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.data.weighting import EQUAL, Weighting
from pyro_rationale.distributions import ChainPrior
from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.guides import GUIDES, RationaleGuide, TargetContext
from pyro_rationale.inference.estimators import ESTIMATORS
from pyro_rationale.inference.objectives.elbo import MaskELBO, Objective, make_objective
from pyro_rationale.inference.objectives.judge import OthersJudge
from pyro_rationale.models import RankingModel, RationaleModel
from pyro_rationale.models.given_others import GivenOthers
from pyro_rationale.nn import ENCODERS, GENERATORS, make_embedding
from pyro_rationale.nn.encoders.transformer import TransformerEncoder
from pyro_rationale.nn.generators import needs_vocabulary
from pyro_rationale.nn.pretrained_folders import is_transformer
from pyro_rationale.nn.whole_texts import WholeTexts
from pyro_rationale.tasks import RankingLikelihood, TargetSpec, task_of

TO_COME = 30  # words of a list per training text, at most: a transformer takes 2 ms to read each
LONGER = 1.131  # default span over that of words kept at random: a coupling of about 0.4 nats per change


def aspects_of(config: Config, spec: TargetSpec) -> int:
    """Number of targets that have masks of their own: all of several with `--masks per-target`; 1 for one mask.

    Raises:
        ConfigError: a price for words that two targets share, and there is one target.
    """
    several = len(spec.names) if config.model.masks == "per-target" else 1
    if config.model.overlap and several == 1:
        raise ConfigError(f"--overlap: {spec.names[0]} is the only target, and shares no words; leave it out")
    return several


def target_summary(
    documents: Sequence[Document], spec: TargetSpec, weighting: Weighting = EQUAL
) -> tuple[list[float] | None, float]:
    """Start values of the model from training texts: its initial outputs, and the loss of the best constant prediction.

    Args:
        documents: training texts.
        spec: what is predicted.
        weighting: weights of the texts.

    Returns:
        The numbers from which training starts (`Task.initial_outputs`), `None` for those of random weights, and the
        loss of the best constant prediction, summed over the targets.

    Raises:
        DataError: one of the targets is unknown for every document.
    """
    task = task_of(spec)
    if task.of_pairs:
        return None, float(task.baseline_loss(torch.zeros(0, 1)).sum())
    targets = torch.from_numpy(weighting.resampled(documents, spec))
    for name, unrated in zip(spec.names, targets.isnan().all(0).tolist(), strict=True):
        if unrated:
            raise DataError(
                f"no training document has a value of {name!r}; leave that --target-column out, or split otherwise "
                "(--split-seed)"
            )
    return task.initial_outputs(targets), max(float(task.baseline_loss(targets).sum()), 1e-6)


def starting_prior(config: Config, gain: float) -> ChainPrior:
    """The prior that the options ask for; `gain` is kappa / (2 sigma^2) (docs/explanation/mathematics.md)."""
    options = config.settled().model
    if options.lambda1 is not None and options.lambda2 is not None:
        return replace(ChainPrior.from_lambdas(options.lambda1, options.lambda2, gain), nonempty=config.nonempty)
    # Words kept at random stand in runs of 1 / (1 - rate).
    span = options.span if options.span is not None else round(LONGER / (1.0 - options.rate), 3)
    return replace(ChainPrior.from_rate_span(options.rate, span), nonempty=config.nonempty)


def build_model(
    config: Config,
    spec: TargetSpec,
    words: int,
    vectors: Tensor | None,
    initial_outputs: Sequence[float] | None = None,
    baseline_loss: float = 1.0,
    vocabulary: Vocabulary | None = None,
) -> RationaleModel:
    """Build the untrained generative model p(z) p(y | x, z)^kappa, a Pyro program.

    `kappa=1.0` in the configuration makes it p(z) p(y | x, z); else kappa is such that a perfect prediction gains
    `nats` over the best constant (docs/explanation/mathematics.md, equation (2)).

    Args:
        config: the configuration; what it leaves open is as with `--preset planted`.
        spec: what is predicted.
        words: vocabulary size.
        vectors: word vectors `(words, E)`, or `None` for ones that are learnt.
        initial_outputs: numbers from which training starts, as `target_summary` gives them.
        baseline_loss: loss of the best constant prediction, likewise.
        vocabulary: the words themselves; needed by pretrained networks.

    Returns:
        The program `model(batch)` of a batch of `B` texts of `T` words at most, with the sites `z`, `(B, T)`, and `y`,
        `(B, D)` for `D` ratings, in scaled units.

    Raises:
        ConfigError: options do not go together, or a library is missing.
    """
    config = config.settled()
    options, task = config.model, task_of(spec)
    if task.of_pairs:
        ranking = _ranking_model(config, words, vectors, baseline_loss, vocabulary)
        ranking.word_dropout = config.train.word_dropout
        return ranking
    aspects = aspects_of(config, spec)
    likelihood = task.make_likelihood(baseline_loss)
    unit = likelihood.gain(1.0)
    kappa = options.kappa if options.kappa is not None else options.nats / (baseline_loss / aspects * unit)
    encoder = _network(ENCODERS[options.encoder], options, words, vectors, vocabulary, task.width)
    if initial_outputs is not None:
        encoder.initialise_output(likelihood.start_from(torch.tensor(initial_outputs)))
    model = RationaleModel(encoder, likelihood, starting_prior(config, likelihood.gain(kappa)), kappa, aspects)
    model.word_dropout = config.train.word_dropout
    if config.train.judge == "others":
        if aspects == 1:
            raise ConfigError("--judge others: is about several targets with masks of their own; leave it out")
        model.given_others = GivenOthers(encoder.output)
    return model


def _ranking_model(
    config: Config, words: int, vectors: Tensor | None, baseline_loss: float, vocabulary: Vocabulary | None
) -> RankingModel:
    """The model of similar texts, untrained but for its encoder.

    The output layer starts orthogonal: it turns the encoder's states and keeps their cosines, so that an encoder that
    was trained before ranks texts from the start as it did.
    """
    options = config.model
    encoder = _network(ENCODERS[options.encoder], options, words, vectors, vocabulary, 1)
    states = encoder.output.in_features
    encoder.output = nn.Linear(states, options.vector_size or states)
    nn.init.orthogonal_(encoder.output.weight)
    nn.init.zeros_(encoder.output.bias)
    likelihood = RankingLikelihood(encoder.width, options.score_temperature)
    kappa = options.kappa if options.kappa is not None else options.nats / baseline_loss
    own, whole = options.own_text * kappa * baseline_loss, None
    if own:
        if not isinstance(encoder, TransformerEncoder):
            raise ConfigError("--own-text: needs an encoder that can read before the fit; take --encoder transformer")
        whole = WholeTexts(encoder)
        if options.tune_encoder == "none":
            encoder.output.requires_grad_(False)  # a few hundred pairs soon turn it away from what all texts say
    return RankingModel(encoder, likelihood, starting_prior(config, kappa), kappa, options.match, own, whole)


def build_guide(
    config: Config,
    words: int,
    vectors: Tensor | None,
    gamma: float,
    spec: TargetSpec | None = None,
    vocabulary: Vocabulary | None = None,
) -> RationaleGuide:
    """Build the untrained amortized guide q(z | x), a Pyro program that keeps about `--start-rate` of the words.

    Args:
        config: the configuration; what it leaves open is as with `--preset planted`, whose guide is `relaxed`.
        words: vocabulary size.
        vectors: word vectors `(words, E)`, or `None` for ones that are learnt.
        gamma: where the couplings of a chain guide start, in nats per change of the mask; other guides have none.
        spec: what is predicted; needed by a guide that reads the target (`condition_on_target`), or has masks of each.
        vocabulary: the words themselves; needed by pretrained networks.

    Returns:
        The program `guide(batch)` with the site `z`, `(B, T)`; `guide.posterior(batch)` is its distribution.

    Raises:
        ConfigError: options do not go together, or a library is missing.
        ValueError: `condition_on_target` without `spec`.
    """
    config = config.settled()
    options, target = config.model, None
    if options.condition_on_target:
        if spec is None:
            raise ValueError("a guide that reads the target must be told what is predicted: pass spec")
        target = TargetContext(spec)
    context = 0 if target is None else target.size
    generator = _network(GENERATORS[config.generator], options, words, vectors, vocabulary, context)
    baseline = ESTIMATORS[config.estimator].make_baseline(generator.width, options.hidden)
    aspects = 1 if spec is None else aspects_of(config, spec)
    kind, own = GUIDES[config.guide], {"aspects": aspects} if aspects > 1 else {}
    if own and not _takes_aspects(kind.from_config):
        raise ConfigError(
            f"--guide {config.guide}: has no mask for each of several targets; take --masks shared, or another guide"
        )
    guide = kind.from_config(config, generator, baseline, target, gamma, **own)
    guide.start_rate(config.train.start_rate)
    return guide


def _takes_aspects(make: Callable[..., Any]) -> bool:
    """Whether a guide can be made for several targets; those of other packages need not know of them."""
    parameters = inspect.signature(make).parameters.values()
    return any(item.name == "aspects" or item.kind is item.VAR_KEYWORD for item in parameters)


def build_vocabulary(options: ModelOptions, documents: Sequence[Document]) -> Vocabulary:
    """The words that networks know once they are trained on `documents`, the special two included.

    The frequent words of these texts come first. Where networks keep the vectors that they are given, words follow
    whose vectors need no training: rarer ones of these texts, by falling count, then those that the source of the
    vectors lists first, which texts to come will have, from up to `TO_COME` per training text. Of new film snippets,
    7 % of the words are not among the frequent ones of 8,500 others; 2 % are unknown to 30,000 words in all.

    Args:
        options: with the least count of a frequent word, the size of the vocabulary, and the source of word vectors.
        documents: the training texts.

    Raises:
        DataError: the source of the vectors cannot be read.
    """
    counts = count_words(documents)
    vocabulary = Vocabulary.of_counts(counts, options.min_count, options.vocabulary)
    if options.vectors is None or not options.freeze_vectors or len(vocabulary) >= options.vocabulary:
        return vocabulary
    sources = sources_of(options.vectors)
    listed = [word for source in sources if not is_transformer(source) for word in words_of(source)]
    to_come = listed[: TO_COME * len(documents)]
    rare: Sequence[str] = Vocabulary.of_counts(counts, 1).words
    if not any(map(is_transformer, sources)):  # which read any word
        has_vector = set(listed)
        rare = [word for word in rare if word in has_vector]
    return vocabulary.extended([*rare, *to_come], options.vocabulary)


def open_if_needed(config: Config, vocabulary: Vocabulary) -> Vocabulary:
    """The vocabulary that the networks of a configuration want: an open one where one of them spells words out."""
    return OpenVocabulary.of(vocabulary) if config.spelling else vocabulary


def _network(
    kind: Any, options: ModelOptions, words: int, vectors: Tensor | None, vocabulary: Vocabulary | None, size: int
) -> Any:
    """An untrained generator or encoder; `size` is that of its context, or of its outputs."""
    is_open = isinstance(vocabulary, OpenVocabulary)
    embedding = make_embedding(words, options.embedding, vectors, options.freeze_vectors, open_vocabulary=is_open)
    if needs_vocabulary(kind):
        return kind.from_config(options, embedding, size, vocabulary=vocabulary)
    return kind.from_config(options, embedding, size)


def build_objective(config: Config) -> Objective:
    """The objective and estimator that the configuration names."""
    overlap = config.model.overlap
    made = make_objective(config.estimator, config.samples, config.tau, config.penalties, config.train.norm, overlap)
    if config.train.judge == "others":
        assert isinstance(made, MaskELBO)  # estimators with another objective are refused
        made.judge = OthersJudge()
    return made
