"""Runs side by side on one test set, and the runs to put there: `pyro_rationale.compare` without the terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from pyro_rationale.build import starting_prior
from pyro_rationale.config import Config
from pyro_rationale.data.corpus import Document
from pyro_rationale.distributions import AspectPriors, ChainPrior
from pyro_rationale.errors import RunError
from pyro_rationale.evaluation.evaluate import evaluate_average, evaluate_documents
from pyro_rationale.evaluation.metrics import Metrics
from pyro_rationale.evaluation.objective_report import all_terms, in_precision, iwae_bound
from pyro_rationale.evaluation.options import ComparisonOptions
from pyro_rationale.evaluation.results import train
from pyro_rationale.fitted import FittedModel
from pyro_rationale.guides import own_guides
from pyro_rationale.inference.objectives.decomposition import (
    Setting,
    Terms,
    cost_from_objective,
    direct_cost,
    objective,
    residual,
)
from pyro_rationale.run_files import CONFIG, EPOCHS, METRICS, read_config
from pyro_rationale.tasks import task_of
from pyro_rationale.training.callbacks import Callback
from pyro_rationale.training.history import EpochRecord, flatness, read_history
from pyro_rationale.training.run_folder import check_same_config, continued

OBJECTIVES = {"elbo": 1.0, "expected-cost": 0.0}  # by the weight of the entropy, tau
FACTORS = tuple(2.0 ** (step / 2) for step in range(-10, 9))  # of lambda1, for the curves over it
COMPARED = ("agreeing", "mode", "threshold", "sample")  # rules of decoding that every guide has
HOW = ("cache", "workers")  # options of the data that change no text
Scores = dict[str, float]


@dataclass(frozen=True)
class Compared:
    """One run on the test set.

    Attributes:
        name: of its folder, with parents where another run's folder is called the same.
        folder: of the run.
        guide: its family.
        tau: the run's weight of the entropy.
        scores: by the names of `scores`.
        rules: by test-time rule, the metrics of `pyro_rationale.evaluation.evaluate`.
        curve: ELBO and expected cost of this q at other lambda1.
        history: what `epochs.jsonl` says, an epoch each.
        priors: `alpha` and `gamma` of p(z) of each target that has masks of its own, by its name.
    """

    name: str
    folder: Path
    guide: str
    tau: float
    scores: Scores
    rules: dict[str, Metrics]
    curve: list[Scores]
    history: list[EpochRecord]
    priors: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def objective(self) -> str:
        """The objective that the run was fitted by, in words."""
        known = {tau: name for name, tau in OBJECTIVES.items()}
        return known.get(self.tau, f"tau {self.tau:g}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self) | {"folder": str(self.folder), "objective": self.objective}


def scores(
    terms: Terms, setting: Setting, requested: ChainPrior, steering: ChainPrior | AspectPriors | None = None
) -> Scores:
    """Means over documents of all terms; nats, or the paper's units (scaled rating squared; nats for classes).

    Args:
        terms: of the run's documents.
        setting: of the run, with its p(z).
        requested: prior of the options, equal for runs with equal options. Each run learns a p(z) of its own, and kappa
            and sigma are set by its own errors, so that values of (2) are not comparable. Those of `asked_cost`
            (tau = 0) and `asked_free`, which is the cost less H(q) / gain (tau = 1), are: they are minus (2) over gain,
            without its constants.
        steering: p(z) times the constraint that held the share of kept words in training; default: there was none.
            Equation (3) is checked for it as well.
    """
    charged = replace(setting, prior=setting.prior if steering is None else steering)
    trained = terms.under(charged.prior)
    lambda1, lambda2 = setting.lambdas
    each1, each2 = setting.lambdas_of(terms.aspects)
    apart = residual(terms, setting)
    common, at = terms.under(requested), replace(setting, prior=requested)
    share = float(terms.kept.sum() / terms.words.sum())
    entropy = float(terms.entropy.sum() / terms.words.sum())
    values = {
        "objective": objective(terms, setting.kappa, setting.tau),
        "objective_tau1": objective(terms, setting.kappa, 1.0),
        "objective_tau0": objective(terms, setting.kappa, 0.0),
        "elbo": objective(terms, 1.0, 1.0),
        "reconstruction": setting.kappa * terms.log_likelihood,
        "log_likelihood": terms.log_likelihood,
        "kl": terms.kl,
        "entropy": terms.entropy,
        "log_z": terms.log_normalizer,
        "error": terms.error,
        "penalty_kept": each1 * terms.kept,
        "penalty_changes": each2 * terms.changes,
        "cost": direct_cost(terms, setting),
        "cost_from_elbo": cost_from_objective(terms, setting),
        "asked_elbo": objective(common, 1.0, 1.0),
        "asked_cost": direct_cost(common, at),
        "asked_free": direct_cost(common, at) - terms.entropy / setting.gain,
        "trained_objective": objective(trained, setting.kappa, setting.tau),
        "trained_cost": direct_cost(trained, charged),
        "trained_cost_from_elbo": cost_from_objective(trained, charged),
        "kept": terms.kept,
        "changes": terms.changes,
    }
    means = {name: float(value.mean()) for name, value in values.items()}
    means |= {"residual": apart.mean, "residual_worst": apart.worst}
    means |= {"trained_residual": residual(trained, charged).mean}
    means |= {"constraint_word": charged.prior.alpha - setting.prior.alpha}
    means |= {"constraint_change": charged.prior.gamma - setting.prior.gamma}
    means |= {"share": share, "flatness": flatness(entropy, share)}
    sigma = math.nan if setting.sigma is None else setting.sigma
    means |= {"gain": setting.gain, "tau": setting.tau, "kappa": setting.kappa, "sigma": sigma}
    return means | {"alpha": setting.prior.alpha, "gamma": setting.prior.gamma, "lambda1": lambda1, "lambda2": lambda2}


def over_lambda(terms: Terms, setting: Setting) -> list[Scores]:
    """One q under other penalties on words: ELBO (kappa = tau = 1) and expected cost at each lambda1.

    Nothing is fitted again: the cost is then a straight line in lambda1, while the ELBO has a best lambda1, where the
    prior expects as many words as q keeps (log Z sees to that). `lambda1` 0 or below has no place on a log axis:
    a prior that favours words is scanned from its size.
    """
    rows = []
    lambda1 = abs(setting.lambdas[0]) or 1.0 / setting.gain
    for factor in FACTORS:
        alpha = factor * lambda1 * setting.gain
        if alpha > 100.0:  # nothing would be kept
            break
        before = setting.prior
        prior = before.changed(alpha=alpha) if isinstance(before, AspectPriors) else replace(before, alpha=alpha)
        other = terms.under(prior)
        cost = direct_cost(other, replace(setting, prior=prior))
        elbo = objective(other, 1.0, 1.0)
        rows.append({"lambda1": factor * lambda1, "elbo": float(elbo.mean()), "cost": float(cost.mean())})
    return rows


def compare_run(
    name: str,
    folder: Path,
    documents: Sequence[Document],
    how: ComparisonOptions,
    device: str = "auto",
    batch_size: int = 64,
    seed: int = 0,
) -> Compared:
    """Everything about one run.

    Args:
        name: what to call it.
        folder: of a finished run.
        documents: with targets, read by the run's own `TargetSpec`.
        how: draws and precision.
        device: to compute on.
        batch_size: documents at once.
        seed: of all draws.

    Raises:
        RunError: no usable run.
    """
    fitted = FittedModel.load_single(folder, device)
    precise = in_precision(fitted, getattr(torch, how.dtype))
    tau = fitted.config.tau
    setting = Setting.of(precise.model, tau)
    terms = all_terms(precise, documents, how.draws, batch_size, seed)
    results = scores(terms, setting, starting_prior(fitted.config, setting.gain), precise.model.steering)
    results["iwae"] = iwae_bound(precise, documents, how.iwae, batch_size, seed)
    rules = {rule: evaluate_documents(fitted, documents, rule, batch_size=batch_size, seed=seed) for rule in COMPARED}
    rules["average"] = evaluate_average(fitted, documents, how.draws, batch_size, seed)
    history = read_history(folder / EPOCHS)
    chains = setting.prior.chains if isinstance(setting.prior, AspectPriors) else ()
    priors = {
        target: {"alpha": chain.alpha, "gamma": chain.gamma}
        for target, chain in zip(fitted.spec.names, chains, strict=False)
    }
    curve = over_lambda(terms, setting)
    return Compared(name, folder, fitted.config.guide, tau, results, rules, curve, history, priors)


# Which runs go together.


def check_same_target(folders: Sequence[Path]) -> None:
    """Make sure that all runs predict the same.

    Raises:
        RunError: they do not, or one is no run.
    """
    first = None
    for folder in folders:
        if not folder.is_dir():
            raise RunError(f"{folder}: no such run folder; make one with python -m pyro_rationale.fit --out {folder}")
        spec = read_config(folder)[1]
        if first is None:
            first = spec
        if spec != first:
            what = task_of(spec).describe(), task_of(first).describe()
            raise RunError(f"{folder}: predicts {what[0]}, and {folders[0]} predicts {what[1]}; compare like with like")


def short_names(folders: Sequence[Path]) -> list[str]:
    """The folders' own names, with as many parents as it takes to tell them apart."""
    parts = [folder.absolute().parts for folder in folders]
    names = []
    for own in parts:
        others = [other for other in parts if other != own]
        size = 1
        while size < len(own) and any(other[-size:] == own[-size:] for other in others):
            size += 1
        names.append("/".join(own[-size:]))
    return names


def fitted_elsewhere(folders: Sequence[Path]) -> list[str]:
    """Lines about runs that were fitted on other texts than the first: its test set may hold theirs."""
    first = asdict(read_config(folders[0])[0].data)
    notes = []
    for folder in folders[1:]:
        own = asdict(read_config(folder)[0].data)
        differ = {name: value for name, value in own.items() if name not in HOW and value != first[name]}
        if differ:
            said = ", ".join(f"--{name.replace('_', '-')} {value}" for name, value in differ.items())
            notes.append(f"{folder} was fitted on other texts ({said}); some of the test texts may be among them")
    return notes


# Runs to compare.


def grid(config: Config, guides: Sequence[str] | None = None) -> dict[str, Config]:
    """Both objectives for each guide, otherwise as `config`; by the names of their folders."""
    configs = {}
    for guide in own_guides() if guides is None else guides:
        for name, tau in OBJECTIVES.items():
            configs[f"{guide}-{name}"] = config.changed(guide=guide, tau=tau)
    return configs


def fit_grid(configs: dict[str, Config], into: Path, callback: Callable[[str], Callback]) -> list[Path]:
    """Fit what is missing, one after another; what is finished is kept, what was interrupted goes on.

    Args:
        configs: by the names of the run folders.
        into: where the folders are.
        callback: makes the callback of a run, by its name; not called for runs that are finished.

    Raises:
        ConfigError: a folder holds a run with other options.
        RunError: a folder holds something else.
    """
    folders = {into / name: config for name, config in configs.items()}
    for folder, config in folders.items():  # all of them, before hours of work
        if (folder / CONFIG).exists():
            check_same_config(continued(config, folder), folder)
    for folder, config in folders.items():
        if not (folder / METRICS).exists():
            train(config, folder, resume=(folder / CONFIG).exists(), callbacks=[callback(folder.name)])
    return list(folders)
