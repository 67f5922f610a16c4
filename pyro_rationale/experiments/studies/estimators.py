"""Bias, variance and time of the gradient estimators, on networks before and after training.

For every run, and for untrained networks of the same configuration: the variance of the gradient of the guide's
parameters over repeated draws of masks on fixed batches, times the encoder evaluations that a draw takes, with RLOO at
K = 2 as 1; the time of a whole step over that of the bare networks; and the bias, against the enumeration of all masks
of windows of ten words.

An evaluation is one mask that the encoder reads, forwards and backwards. They are counted where they are read: of
equal masks of one document one is (`nn/compact.py`), the slope of muprop is one more, and Pyro's own objective draws
its masks one by one and reads each.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch

from pyro_rationale.build import build_guide, build_model, starting_prior, target_summary
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.corpus import Document
from pyro_rationale.errors import ConfigError
from pyro_rationale.experiments.studies.common import Row
from pyro_rationale.fitted import FittedModel, word_vectors
from pyro_rationale.guides import GUIDES, RationaleGuide
from pyro_rationale.inference.estimators import ESTIMATORS
from pyro_rationale.inference.objectives.elbo import MaskELBO, Objective, make_objective
from pyro_rationale.inference.variance import (
    BatchSpread,
    Gradient,
    batch_spread,
    cost_ratio,
    exact_gradient,
    fit_baseline,
    gradient_bias,
    plain_network,
    settled,
)
from pyro_rationale.models import RationaleModel
from pyro_rationale.models.program import local_parameters
from pyro_rationale.nn.baseline import StandardisedBaseline
from pyro_rationale.nn.seeding import seeded
from pyro_rationale.training.auxiliary_losses import full_text_loss

WINDOW = 10  # words of the texts whose masks are enumerated
COMPARED = (
    *("reinforce", "rloo", "disarm", "nvil", "muprop", "sum-and-sample", "gauss-newton", "tracegraph"),
    *("straight-through", "relaxed"),
)  # whose rows the study names
SHORT = 8  # of those texts
FITTING = 4  # masks per document while a baseline learns
COPIES = 20  # of each document in a pass


@dataclass(frozen=True)
class EstimatorVariant:
    """An estimator with its options, a row of the table."""

    estimator: str
    samples: int
    penalties: str = "exact"
    guide: str = ""  # family, where it is not the run's own
    neural: bool = False  # has a neural baseline
    note: str = ""

    @property
    def name(self) -> str:
        """Name for the table."""
        return f"{self.estimator}-{self.samples}" + (f" ({self.note})" if self.note else "")

    def objective(self, tau: float) -> Objective:
        """Objective with the estimator."""
        return make_objective(self.estimator, self.samples, tau, self.penalties)


REFERENCE = EstimatorVariant("rloo", 2)
PAPER = EstimatorVariant("reinforce", 1, "sampled", note="the paper's")
NEURAL = tuple(EstimatorVariant("tracegraph", k, "sampled", neural=True, note="neural baseline") for k in (1, 4))


def default(guide: str) -> EstimatorVariant:
    """Variant that a fit of a guide takes by default."""
    estimator = GUIDES[guide].default_estimator
    return EstimatorVariant(estimator, ESTIMATORS[estimator].default_samples)


def estimator_variants(guide: str) -> list[EstimatorVariant]:
    """All variants that serve the family of a guide; a relaxed guide is the independent family, sampled otherwise.

    Raises:
        ConfigError: masks that no score function serves, such as HardKuma weights.
    """
    family = GUIDES[score_family(guide)].family
    if ESTIMATORS[REFERENCE.estimator].refusal(family):
        raise ConfigError(f"--run: --guide {guide} has one estimator, by its own weights; there is nothing to compare")
    independent = score_family(guide) == "independent"
    rows = [PAPER]
    for penalties in ("sampled", "exact"):
        rows += [EstimatorVariant("reinforce", 4, penalties)]
        rows += [EstimatorVariant("rloo", k, penalties) for k in (2, 4)]
        rows += [EstimatorVariant("disarm", k, penalties) for k in (2, 4) if independent]
        rows += [EstimatorVariant("nvil", k, penalties, neural=True) for k in (1, 4)]
    rows += [EstimatorVariant("muprop", k) for k in (2, 4)] + [EstimatorVariant("sum-and-sample", k) for k in (2, 4, 8)]
    if ESTIMATORS["gauss-newton"].refusal(family) is None:
        rows += [EstimatorVariant("gauss-newton", k) for k in (8, 16)]
    rows += [EstimatorVariant("tracegraph", 1, "sampled", note="no baseline")]
    rows += NEURAL
    rows += [EstimatorVariant("straight-through", 4)]
    if independent:
        rows += [EstimatorVariant("straight-through", 4, guide="relaxed", note="relaxed backwards")]
        rows += [EstimatorVariant("relaxed", k, guide="relaxed") for k in (1, 4)]
    for name, other in ESTIMATORS.items():  # those of other packages, as a fit takes them
        if name not in COMPARED and other.refusal(family) is None and other.make_baseline(1, 1) is None:
            rows.append(EstimatorVariant(name, other.default_samples, other.penalties[0]))
    return rows


def score_family(guide: str) -> str:
    """The guide with the masks of a guide and served by score functions: a relaxed one counts as independent."""
    return "independent" if guide == "relaxed" else guide


@dataclass(frozen=True)
class Networks:
    """A model and a guide of one configuration, and which texts they are measured on."""

    name: str
    fitted: FittedModel
    model: RationaleModel
    guide: RationaleGuide
    batches: list[Batch]
    others: list[Batch]
    short: Batch

    @property
    def family(self) -> str:
        """Family of the guide for score-function estimators."""
        return score_family(self.fitted.config.guide)

    def twin(self, family: str, estimator: str) -> RationaleGuide:
        """Guide of another family or estimator with the weights of this one, without its baseline."""
        other = self.fitted.config.changed(guide=family, estimator=estimator, samples=None, penalties="exact")
        weights = {k: v for k, v in self.guide.state_dict().items() if not k.startswith("baseline.")}
        vectors = word_vectors(weights)
        vocabulary, vectors = self.fitted.vocabulary, None if vectors is None else vectors.cpu()
        guide = build_guide(other, len(vocabulary), vectors, 0.0, self.fitted.spec, vocabulary)
        guide.baseline = None
        guide.load_state_dict(weights)
        settled(guide)
        return guide.to(self.fitted.device)


def untrained(fitted: FittedModel, documents: Sequence[Document]) -> tuple[RationaleModel, RationaleGuide]:
    """Fresh networks of a run's configuration; word vectors that were given are kept."""
    config, vocabulary, words = fitted.config, fitted.vocabulary, len(fitted.vocabulary)
    vectors = word_vectors(fitted.guide.state_dict()) if config.model.vectors else None
    vectors = None if vectors is None else vectors.cpu()
    centre, spread = target_summary(documents, fitted.spec)
    with seeded(config.seed, torch.device("cpu")):
        model = build_model(config, fitted.spec, words, vectors, centre, spread, vocabulary)
        guide = build_guide(config, words, vectors, starting_prior(config, model.gain).gamma, fitted.spec, vocabulary)
    return model.to(fitted.device), guide.to(fitted.device)


def stretches(document: Document) -> list[Document]:
    """Each ten words of a text as a text of their own, with as much of the title as is in them."""
    bare = replace(document, gold=None, opinion=None, maps=None, rationales=None, sentences=None)
    return [
        replace(
            bare,
            tokens=document.tokens[at : at + WINDOW],
            offsets=document.offsets[at : at + WINDOW],
            title=min(max(document.title - at, 0), WINDOW),
        )
        for at in range(0, max(1, len(document.tokens) - WINDOW + 1), WINDOW)
    ]


def windows(fitted: FittedModel, guide: RationaleGuide, documents: Sequence[Document]) -> Batch:
    """Stretches of ten words of the first documents, those on whose masks the guide is least decided."""
    pieces = [piece for document in documents[:64] for piece in stretches(document)]
    batch = fitted.encode(pieces).to(fitted.device)
    with torch.no_grad():
        entropy = guide.posterior(batch).discrete().entropy()
    assert batch.index is not None  # a stretch has a row for each target that has masks of its own
    undecided = entropy.new_zeros(len(pieces)).index_add(0, batch.index, entropy)
    best = undecided.topk(min(SHORT, len(pieces))).indices.tolist()
    return fitted.encode([pieces[i] for i in best]).to(fitted.device)


def fitted_baseline(networks: Networks, penalties: str, steps: int) -> StandardisedBaseline:
    """A neural baseline that has learnt to predict the signal, everything else held fixed."""
    config = networks.fitted.config
    guide = networks.twin(networks.family, "nvil")
    baseline = StandardisedBaseline(guide.generator.width, config.model.hidden).to(networks.fitted.device)
    guide.baseline = baseline
    learning = MaskELBO("nvil", FITTING, config.tau, penalties)
    fit_baseline(learning, networks.model, guide, networks.others, steps)
    return baseline


def step_times(
    guides: dict[EstimatorVariant, RationaleGuide], networks: Networks, steps: int
) -> dict[EstimatorVariant, float]:
    """Median time of a whole step over that of the bare networks on the full texts; they take turns."""
    tau, model = networks.fitted.config.tau, networks.model
    objectives = {row: row.objective(tau) for row in guides}
    body = copy.deepcopy(networks.guide.generator)
    ratios: dict[EstimatorVariant, list[float]] = {row: [] for row in guides}
    for number in range(steps + 1):
        batch = networks.batches[number % len(networks.batches)]
        started = _now(networks)
        (full_text_loss(model, batch) + body(batch.tokens, batch.lengths).square().mean()).backward()
        floor = _now(networks) - started
        for row, guide in guides.items():
            started = _now(networks)
            with local_parameters():
                objectives[row].estimate(model, guide, batch).surrogate.backward()
            if number:  # the first round warms up
                ratios[row].append((_now(networks) - started) / floor)
            guide.zero_grad(set_to_none=True)
        model.zero_grad(set_to_none=True)
        body.zero_grad(set_to_none=True)
    return {row: median(values) if values else float("nan") for row, values in ratios.items()}


def _now(networks: Networks) -> float:
    if networks.fitted.device.type == "cuda":
        torch.cuda.synchronize(networks.fitted.device)
    return time.perf_counter()


@dataclass(frozen=True)
class Budget:
    """How much is drawn.

    Attributes:
        draws: gradients per document and estimator, for the variance.
        gradient: which, of `GRADIENTS`.
        short: masks per short text and estimator, for the bias; 0: no bias.
        fitting: steps in which neural baselines learn.
        timed: steps for the times.
        seed: of it all.
    """

    draws: int
    gradient: Gradient
    short: int
    fitting: int
    timed: int
    seed: int


Spreads = dict[EstimatorVariant, list[BatchSpread]]


Progress = Callable[[Sequence[EstimatorVariant], str], Iterable[EstimatorVariant]]


def measure(
    networks: Networks, budget: Budget, progress: Progress = lambda rows, title: rows
) -> tuple[list[Row], Spreads]:
    """Table of one state of the networks, and the variances behind it, batch by batch.

    Args:
        networks: model and guide.
        budget: number of draws.
        progress: shows how far it is; given the rows and a title.
    """
    tau = networks.fitted.config.tau
    rows = estimator_variants(networks.fitted.config.guide)
    torch.manual_seed(budget.seed)
    baselines = {penalties: fitted_baseline(networks, penalties, budget.fitting) for penalties in ("exact", "sampled")}
    guides: dict[EstimatorVariant, RationaleGuide] = {}
    spreads: Spreads = {}
    for row in progress(rows, f"{networks.name}: variance"):
        guides[row] = guide = networks.twin(row.guide or networks.family, row.estimator)
        if row.neural:
            baseline = baselines[row.penalties]
            guide.baseline = plain_network(baseline) if row.estimator == "tracegraph" else baseline
        torch.manual_seed(budget.seed + 1)
        copies = min(COPIES, max(1, budget.draws // 2))
        spreads[row] = [
            batch_spread(row.objective(tau), networks.model, guide, batch, budget.draws, copies, budget.gradient)
            for batch in networks.batches
        ]
    times = step_times(guides, networks, budget.timed)
    exact = exact_gradient(networks.model, networks.guide, networks.short, tau) if budget.short else None
    figures = []
    for row in progress(rows, f"{networks.name}: bias"):
        torch.manual_seed(budget.seed + 2)
        known = _figures(row, spreads, times[row])
        if exact is not None:
            objective = row.objective(tau)
            bias = gradient_bias(objective, networks.model, guides[row], networks.short, exact, budget.short)
            known |= {"bias z": bias.z, "relative bias": bias.relative, "of it noise": bias.noise}
        figures.append(known)
    return figures, spreads


def _figures(row: EstimatorVariant, spreads: Spreads, seconds: float) -> Row:
    own = spreads[row]
    relative = cost_ratio(own, spreads[REFERENCE])
    return {
        "estimator": row.name,
        "penalties": row.penalties,
        "masks read": sum(s.evaluations for s in own) / len(own),
        "variance": sum(s.variance for s in own) / len(own),
        "variance x masks": relative.value,
        "+-": relative.error,
        "time": seconds,
    }


def states(fitted: FittedModel, documents: Sequence[Document], batches: int, size: int, seed: int) -> list[Networks]:
    """The run's networks, and fresh ones of its configuration, with the same texts to measure them on."""
    order = fitted.batches(documents, size, seed).epoch(0)
    everything = [batch.to(fitted.device) for batch in order]
    if len(everything) <= batches:
        raise ConfigError(
            f"--batches {batches}: the split holds {len(everything)} batches of {size} documents, and some must be "
            "left for the baselines to learn on; take fewer, or a smaller --batch"
        )
    pairs = [("trained", fitted.model, fitted.guide), ("untrained", *untrained(fitted, documents))]
    found = []
    for name, model, guide in pairs:
        settled(model)
        settled(guide)
        short = windows(fitted, guide, documents)
        found.append(Networks(name, fitted, model, guide, everything[:batches], everything[batches:], short))
    return found


def bar(ours: EstimatorVariant, spreads: Spreads) -> dict[str, Any]:
    """How many times below the paper's estimator and below Pyro's own the default is, with standard errors."""
    found: dict[str, Any] = {"default": ours.name}
    for other in filter(spreads.__contains__, (PAPER, *NEURAL)):
        found[other.name] = vars(cost_ratio(spreads[other], spreads[ours]))
    return found
