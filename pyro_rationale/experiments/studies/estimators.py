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
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import click
import torch
from rich.console import Console
from rich.progress import track

from pyro_rationale.build import build_guide, build_model, starting_prior, target_summary
from pyro_rationale.config import Config
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.batching import BucketedBatches, encode_batch
from pyro_rationale.data.corpus import Document
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import ConfigError
from pyro_rationale.experiments.studies.common import Row, run_documents, show
from pyro_rationale.experiments.studies.estimator_variants import (
    NEURAL,
    PAPER,
    REFERENCE,
    EstimatorVariant,
    default,
    estimator_variants,
)
from pyro_rationale.fitted import FittedModel
from pyro_rationale.guides import RationaleGuide
from pyro_rationale.inference.gradient_variance import GRADIENTS, BatchSpread, Gradient, batch_spread, cost_ratio
from pyro_rationale.inference.objectives.elbo import MaskELBO
from pyro_rationale.inference.variance import (
    exact_gradient,
    fit_baseline,
    gradient_bias,
    plain_network,
    settled,
)
from pyro_rationale.models import RationaleModel
from pyro_rationale.models.program import local_parameters
from pyro_rationale.nn.baseline import StandardisedBaseline
from pyro_rationale.options import check_writable, json_option, options_from, split_option, write_result
from pyro_rationale.training.auxiliary_losses import full_text_loss

WINDOW = 10  # words of the texts whose masks are enumerated
SHORT = 8  # of those texts
FITTING = 4  # masks per document while a baseline learns
COPIES = 20  # of each document in a pass


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
        """Of the score functions: a relaxed guide's is the independent one."""
        guide = self.fitted.config.guide
        return "independent" if guide == "relaxed" else guide

    def twin(self, family: str, estimator: str) -> RationaleGuide:
        """The same network as a guide of another way of sampling; its baseline is left out."""
        config = self.fitted.config
        other = Config(
            config.data,
            replace(config.model, guide=family),
            replace(config.train, estimator=estimator, samples=None, penalties="exact"),
        )
        shape = self.guide.generator.embedding.weight
        guide = build_guide(other, shape.shape[0], torch.zeros(shape.shape), 0.0, self.fitted.spec)
        guide.baseline = None
        weights = {k: v for k, v in self.guide.state_dict().items() if not k.startswith("baseline.")}
        guide.load_state_dict(weights)
        settled(guide)
        return guide.to(self.fitted.device)


def untrained(fitted: FittedModel, documents: Sequence[Document]) -> tuple[RationaleModel, RationaleGuide]:
    """Fresh networks of a run's configuration; word vectors that were given are kept."""
    config, words = fitted.config, len(fitted.vocabulary)
    vectors = fitted.guide.generator.embedding.weight.detach().cpu() if config.model.vectors else None
    centre, spread = target_summary(documents, fitted.spec)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = build_model(config, fitted.spec, words, vectors, centre, spread)
        guide = build_guide(config, words, vectors, starting_prior(config, model.gain).gamma, fitted.spec)
    return model.to(fitted.device), guide.to(fitted.device)


def windows(fitted: FittedModel, guide: RationaleGuide, documents: Sequence[Document]) -> Batch:
    """Of the first documents' stretches of ten words, those on whose masks the guide is least decided."""
    pieces = [
        replace(d, tokens=d.tokens[at : at + WINDOW], gold=None, opinion=None, maps=None)
        for d in documents[:64]
        for at in range(0, max(1, len(d.tokens) - WINDOW + 1), WINDOW)
    ]
    batch = encode_batch(pieces, fitted.vocabulary, fitted.spec).to(fitted.device)
    with torch.no_grad():
        undecided = guide.posterior(batch).discrete().entropy()
    best = undecided.topk(min(SHORT, len(pieces))).indices.tolist()
    return encode_batch([pieces[i] for i in best], fitted.vocabulary, fitted.spec).to(fitted.device)


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


def measure(networks: Networks, effort: Budget) -> tuple[list[Row], Spreads]:
    """The table of one state of the networks, and the variances behind it, batch by batch."""
    tau = networks.fitted.config.tau
    rows = estimator_variants(networks.fitted.config.guide)
    console = Console(stderr=True)
    quiet = not console.is_terminal
    torch.manual_seed(effort.seed)
    baselines = {penalties: fitted_baseline(networks, penalties, effort.fitting) for penalties in ("exact", "sampled")}
    guides: dict[EstimatorVariant, RationaleGuide] = {}
    spreads: Spreads = {}
    for row in track(rows, f"{networks.name}: variance", console=console, transient=True, disable=quiet):
        guides[row] = guide = networks.twin(row.guide or networks.family, row.estimator)
        if row.neural:
            baseline = baselines[row.penalties]
            guide.baseline = plain_network(baseline) if row.estimator == "tracegraph" else baseline
        torch.manual_seed(effort.seed + 1)
        copies = min(COPIES, max(1, effort.draws // 2))
        spreads[row] = [
            batch_spread(row.objective(tau), networks.model, guide, batch, effort.draws, copies, effort.gradient)
            for batch in networks.batches
        ]
    times = step_times(guides, networks, effort.timed)
    exact = exact_gradient(networks.model, networks.guide, networks.short, tau) if effort.short else None
    figures = []
    for row in track(rows, f"{networks.name}: bias", console=console, transient=True, disable=quiet):
        torch.manual_seed(effort.seed + 2)
        known = _figures(row, spreads, times[row])
        if exact is not None:
            objective = row.objective(tau)
            bias = gradient_bias(objective, networks.model, guides[row], networks.short, exact, effort.short)
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
    order = BucketedBatches(documents, fitted.vocabulary, fitted.spec, size, seed).epoch(0)
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


@click.command("estimators")
@click.option("--run", "folders", required=True, multiple=True, type=click.Path(path_type=Path),
              help="folder of a fitted run; repeat it for other guides")
@split_option
@click.option("--state", default="both", show_default=True, type=click.Choice(["both", "trained", "untrained"]),
              help="of the networks")
@click.option("--draws", default=100, show_default=True, type=click.IntRange(3),
              help="gradients per document and estimator")
@click.option("--batches", default=10, show_default=True, type=click.IntRange(1), help="batches the variance is over")
@click.option("--batch", "size", default=16, show_default=True, type=click.IntRange(1), help="documents in a batch")
@click.option("--gradient", default="parameters", show_default=True, type=click.Choice(GRADIENTS),
              help="the guide's whole gradient, or what reaches the features of its words")
@click.option("--bias-draws", default=20000, show_default=True, type=click.IntRange(0),
              help="masks per short text and estimator; 0: no bias")
@click.option("--baseline-steps", default=300, show_default=True, type=click.IntRange(0),
              help="steps in which neural baselines learn, the rest held fixed")
@click.option("--timed-steps", default=10, show_default=True, type=click.IntRange(0), help="steps timed; 0: none")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="of batches and masks")
@click.option("--threads", default=2, show_default=True, type=click.IntRange(1, 1024), help="CPU threads")
@json_option
@options_from(DataOptions, show_defaults=False)
def study(
    flags: DataOptions,
    folders: tuple[Path, ...],
    split: str,
    state: str,
    draws: int,
    batches: int,
    size: int,
    gradient: Gradient,
    bias_draws: int,
    baseline_steps: int,
    timed_steps: int,
    seed: int,
    threads: int,
    json_path: Path | None,
) -> None:
    """Bias, variance and time of the gradient estimators.

    The variance is the trace of the covariance of one document's gradient in the guide's parameters; times the
    masks that the encoder reads for it, RLOO at K = 2 is 1; +- is the jackknife's standard error over batches. The
    bias is looked for on windows of ten words, the largest difference to the enumerated gradient in standard errors:
    an unbiased estimator stays below 4.
    """
    check_writable("--json", json_path)
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    effort = Budget(draws, gradient, bias_draws, baseline_steps, timed_steps, seed)
    result: dict[str, Any] = {**vars(effort), "batches": batches, "batch": size, "runs": []}
    for folder in folders:
        fitted, documents = run_documents(folder, flags, split)
        guide, tau = fitted.config.guide, fitted.config.tau
        estimator_variants(guide)  # refuses a guide that has none, before anything is measured
        entry: dict[str, Any] = {"run": str(folder), "guide": guide, "tau": tau}
        for networks in states(fitted, documents, batches, size, seed):
            if state not in ("both", networks.name):
                continue
            rows, spreads = measure(networks, effort)
            show(f"{guide} guide, {networks.name} ({folder}), tau = {tau:g}", rows, digits=3)
            if networks.family == guide:
                entry[f"bar, {networks.name}"] = found = bar(default(guide), spreads)
                print(told(found))
            entry[networks.name] = rows
        result["runs"].append(entry)
        write_result(json_path, result)


def bar(ours: EstimatorVariant, spreads: Spreads) -> dict[str, Any]:
    """How many times below the paper's estimator and below Pyro's own the default is, with standard errors."""
    found: dict[str, Any] = {"default": ours.name}
    for other in filter(spreads.__contains__, (PAPER, *NEURAL)):
        found[other.name] = vars(cost_ratio(spreads[other], spreads[ours]))
    return found


def told(found: dict[str, Any]) -> str:
    """The same in a sentence."""
    below = [f"{ratio['value']:.3g} (se {ratio['error']:.2g}) below {name}" for name, ratio in found.items()
             if name != "default"]
    return f"variance x masks read of {found['default']}, the default, times: {', '.join(below)}\n"
