"""Fits to pairs of similar texts: their batches, their development lists, and the options they do not go with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch

from pyro_rationale.config import Config, ModelOptions, TrainOptions
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.corpus import Corpus
from pyro_rationale.data.pair_batches import NEGATIVES, PairBatches, RankingLists
from pyro_rationale.data.pairs import PairCorpus
from pyro_rationale.distributions import ChainPrior, MaskDistribution
from pyro_rationale.distributions.masks import changes_of
from pyro_rationale.errors import ConfigError
from pyro_rationale.fitted import FittedModel
from pyro_rationale.inference.estimators import ESTIMATORS
from pyro_rationale.inference.estimators._base import check_coupled
from pyro_rationale.inference.terms import best_terms
from pyro_rationale.models import RankingModel
from pyro_rationale.tasks import RankingLikelihood
from pyro_rationale.tasks.ranking import COLDEST, WARMEST
from pyro_rationale.training.distributed import SINGLE_PROCESS, Group
from pyro_rationale.training.validation import DevScore, shift_to

MOST_QUERIES = 400  # whose lists are read after every epoch
TEMPERATURES = 41  # that are compared, evenly on a log scale
TEXTS = 2  # per query, in the cost by which epochs are compared: the query and a similar text
OWN = ("match", "vector_size", "score_temperature", "keep_title", "negatives", "in_batch")


def pair_batches(fitted: FittedModel, corpus: PairCorpus, steps: int) -> PairBatches:
    """The training queries as the options say."""
    config, options = fitted.config, fitted.config.train
    return PairBatches(
        corpus,
        fitted.vocabulary,
        fitted.spec,
        options.batch_size,
        config.seed,
        steps,
        NEGATIVES if options.negatives is None else options.negatives,
        options.in_batch,
        config.unit,
        config.model.keep_title,
    )


def check_pairs(config: Config, corpus: Corpus, group: Group = SINGLE_PROCESS) -> None:
    """Refuse options that have no meaning for pairs of texts, or none without them.

    Raises:
        ConfigError: one is given.
    """
    if not isinstance(corpus, PairCorpus):
        for item in (item for part in (ModelOptions, TrainOptions) for item in fields(part) if item.name in OWN):
            if getattr(config.part_of(item.name), item.name) != item.default:
                flag = item.name.replace("_", "-")
                raise ConfigError(f"--{flag}: is about pairs of texts (--task ranking); leave it out")
        if config.model.own_text or config.train.head_start == "extracts":
            raise ConfigError("--own-text, --head-start extracts: are about pairs of texts (--task ranking)")
        return
    refused = {
        "--devices": group.size > 1,
        "--members": config.members > 1,
        "--laplace": config.train.laplace,
        "--judge": config.train.judge not in (None, "none"),
        "--condition-on-target": config.model.condition_on_target,
    }
    for flag, given in refused.items():
        if given:
            raise ConfigError(f"{flag}: does not go with pairs of texts (--task ranking); leave it out")
    check_coupled(config.estimator, ESTIMATORS[config.estimator])
    if not config.train.in_batch and config.train.negatives == 0:
        raise ConfigError("--negatives 0 with --no-in-batch leaves a query no candidate but the similar text")


@dataclass(frozen=True)
class DevLists:
    """The development queries with their lists of candidates.

    Attributes:
        lists: the queries.
        batches: their texts, by length.
    """

    lists: RankingLists
    batches: Sequence[Batch]

    @classmethod
    def of(cls, fitted: FittedModel, corpus: PairCorpus, split: str = "dev", batch_size: int = 256) -> DevLists:
        """The lists of `MOST_QUERIES` queries at most."""
        return cls.read_by(fitted, RankingLists.of(corpus, split, MOST_QUERIES), batch_size)

    @classmethod
    def read_by(cls, fitted: FittedModel, lists: RankingLists, batch_size: int = 256) -> DevLists:
        """Lists that are made already, with their texts as a model reads them."""
        return cls(lists, [*fitted.batches(lists.documents, batch_size).ordered()])


@torch.no_grad()
def validate_lists(fitted: FittedModel, dev: DevLists, prior: ChainPrior, rate: float | None = None) -> DevScore:
    """Log loss on the lists from mode masks, and ELBO and expected cost of one drawn mask per text.

    Figures are per query: the error is the log loss of a list. The words and changes of the cost are those of a query
    and of one similar text; the KL of the ELBO is that of all texts of the lists, which it is a bound for.

    Args:
        fitted: the model in training.
        dev: the queries.
        prior: the requested prior, under which costs are.
        rate: share of words that mode masks should keep, see :func:`pyro_rationale.training.validation.validate`.
    """
    fitted.eval()
    model, lists = fitted.model, dev.lists
    assert isinstance(model, RankingModel)
    batches = [batch.to(fitted.device) for batch in dev.batches]
    masks = [fitted.guide.posterior(batch) for batch in batches]
    shift = 0.0 if rate is None else shift_to(rate, masks, batches)
    masks = [q.tilt(shift) for q in masks] if shift else masks
    modes, whole = [q.mode for q in masks], _whole(model, batches)
    read = _embedded(model, batches, modes)
    error = -float(lists.log_probs(_in_order(batches, read), model.temperature, whole).mean())
    own = -sum(float(model.own_text(batch, rows).sum()) for batch, rows in zip(batches, read, strict=True))
    drawn, log_likelihood, elbo = _drawn(fitted, dev, batches, masks, whole)
    texts = len(lists.documents)
    kept, words, units, empty, changes = _counts(masks, batches, modes)
    _, _, drawn_units, _, drawn_changes = _counts(masks, batches, drawn)
    share, gain = TEXTS / texts, model.gain
    charged = share * (prior.alpha * drawn_units + prior.gamma * drawn_changes) / gain
    return DevScore(
        error,
        kept / words,
        empty / texts,
        share * units,
        share * changes,
        elbo=elbo,
        expected_cost=charged - log_likelihood,
        shift=shift,
        own_text=share * own,
    )


@torch.no_grad()
def elbo_of_lists(fitted: FittedModel, dev: DevLists) -> float:
    """ELBO in nats per query, of one drawn mask per text, as in :func:`validate_lists`."""
    fitted.eval()
    assert isinstance(fitted.model, RankingModel)
    batches = [batch.to(fitted.device) for batch in dev.batches]
    masks = [fitted.guide.posterior(batch) for batch in batches]
    return _drawn(fitted, dev, batches, masks, _whole(fitted.model, batches))[2]


def _drawn(
    fitted: FittedModel,
    dev: DevLists,
    batches: Sequence[Batch],
    masks: Sequence[MaskDistribution],
    whole: np.ndarray | None,
) -> tuple[list[torch.Tensor], float, float]:
    """A drawn mask of each text, and by these masks log likelihood and ELBO per query."""
    model, lists = fitted.model, dev.lists
    assert isinstance(model, RankingModel)
    with fitted.seeded(0):
        drawn = [q.discrete().sample() for q in masks]
    vectors = _in_order(batches, _embedded(model, batches, drawn))
    log_likelihood = float(lists.log_probs(vectors, model.temperature, whole).mean())
    kl = sum(_kl(model, q, batch, z) for q, batch, z in zip(masks, batches, drawn, strict=True))
    return drawn, log_likelihood, log_likelihood - kl / len(lists.queries)


@torch.no_grad()
def settle_temperature(fitted: FittedModel, dev: DevLists) -> None:
    """Set a temperature that is learned to the one under which the development lists are most probable.

    Training makes similar texts of the training split more alike than new ones are, and so the temperature too low:
    the order of hits is right, and their probabilities are too sure. Every text is read through its mode mask.
    """
    model, likelihood = fitted.model, fitted.model.likelihood
    assert isinstance(model, RankingModel)
    assert isinstance(likelihood, RankingLikelihood)
    if likelihood.fixed is not None or len(dev.lists.queries) == 0:
        return
    fitted.eval()
    batches = [batch.to(fitted.device) for batch in dev.batches]
    modes = [fitted.guide.posterior(batch).mode for batch in batches]
    vectors, whole = _in_order(batches, _embedded(model, batches, modes)), _whole(model, batches)
    learned = model.temperature
    choices = [learned, *np.geomspace(COLDEST, WARMEST, TEMPERATURES).tolist()]
    scores = [float(dev.lists.log_probs(vectors, choice, whole).mean()) for choice in choices]
    if (best := int(np.argmax(scores))) > 0:
        likelihood.set_temperature(choices[best])


def log_probs_of(
    model: RankingModel, dev: DevLists, batches: Sequence[Batch], masks: Sequence[torch.Tensor]
) -> np.ndarray:
    """Log p of the similar texts of each list, `(Q,)`, every text read through its mask."""
    vectors = _in_order(batches, _embedded(model, batches, masks))
    return dev.lists.log_probs(vectors, model.temperature, _whole(model, batches))


def _embedded(
    model: RankingModel, batches: Sequence[Batch], masks: Sequence[torch.Tensor]
) -> list[torch.Tensor]:
    """Vectors of the texts of each batch through their masks."""
    return [model.embed(batch, z) for batch, z in zip(batches, masks, strict=True)]


def _in_order(batches: Sequence[Batch], read: Sequence[torch.Tensor]) -> np.ndarray:
    """Vectors of all batches in the order of the texts."""
    index = torch.cat([batch.index.cpu() for batch in batches if batch.index is not None])
    return torch.cat([rows.float().cpu() for rows in read])[index.argsort()].numpy()


def _whole(model: RankingModel, batches: Sequence[Batch]) -> np.ndarray | None:
    """Vectors of whole texts, where these are what a query is compared with."""
    if model.match != "full":
        return None
    every = [batch.mask.to(model.encoder.dtype) for batch in batches]
    return _in_order(batches, _embedded(model, batches, every))


def _kl(model: RankingModel, q: MaskDistribution, batch: Batch, z: torch.Tensor) -> float:
    """KL(q || p) summed over the texts of a batch."""
    q = q.discrete()
    kl = best_terms(q, model.mask_prior(batch, z.dtype), z if q.has_exact_marginals else z[None]).kl
    return float(kl.sum())


def _counts(
    masks: Sequence[MaskDistribution], batches: Sequence[Batch], values: Sequence[torch.Tensor]
) -> tuple[float, ...]:
    """Kept words, words, kept units, empty masks and changes of some masks, over all texts."""
    rows = [
        (z.sum(), batch.lengths.sum(), q.unit_values(z).sum(), (z.sum(-1) == 0).sum(), changes_of(z, batch.mask).sum())
        for q, batch, z in zip(masks, batches, values, strict=True)
    ]
    return tuple(float(sum(column)) for column in zip(*rows, strict=True))
