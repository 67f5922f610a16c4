"""A fit with its test table: training, then the metrics of the weights that were chosen."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from pyro_rationale.config import Config
from pyro_rationale.data.corpus import Corpus
from pyro_rationale.data.pairs import PairCorpus
from pyro_rationale.distributions import AspectPriors
from pyro_rationale.errors import ConfigError, RunError, reason_of, shown
from pyro_rationale.evaluation.evaluate import Evaluation, Progress, evaluate
from pyro_rationale.evaluation.metrics import Metrics
from pyro_rationale.evaluation.model_card import card_intervals, write_card
from pyro_rationale.evaluation.objective_report import prior_masks
from pyro_rationale.evaluation.options import SAMPLES
from pyro_rationale.evaluation.ranking import evaluate_ranked, rank, worse_than_chance
from pyro_rationale.evaluation.ranking_baselines import baselines_of
from pyro_rationale.evaluation.significance import standard_error
from pyro_rationale.evaluation.verdict import (
    CONSTANT,
    Course,
    constant_evaluation,
    failures,
    risen_error,
    weighs_classes,
    worse_than_constant,
)
from pyro_rationale.fitted import FittedModel
from pyro_rationale.options import decode
from pyro_rationale.prediction.rationalizer import ModelRationalizer
from pyro_rationale.run_files import METRICS
from pyro_rationale.storage import read_json, write_json
from pyro_rationale.training.callbacks import Callback
from pyro_rationale.training.defaults import usual_steps
from pyro_rationale.training.ensemble import EnsembleRun, fit_ensemble
from pyro_rationale.training.fit import fit_run
from pyro_rationale.training.run import TrainingRun


@dataclass(frozen=True)
class RunMetrics:
    """Contents of `metrics.json`, whose presence says that a run is finished.

    Attributes:
        data: corpus that the run was fitted on, as `--data` names it.
        guide: name of the guide.
        estimator: name of the gradient estimator.
        seed: of the fit.
        test: metrics of the test split by name; empty if the corpus has no test documents.
        prior: `rate`, `span`, `alpha`, `gamma`, `lambda1` and `lambda2` of p(z), and the `share` of words and the
            length of a `run` under it in the training texts, not there in older runs.
        prior_asked: those of the prior that the options ask for.
        seconds: of training.
        epochs: number of epochs.
        best_epoch: the epoch whose weights were chosen; 0 if no epoch came down to the target rate.
        recoveries: rollbacks to an earlier epoch after a collapse.
        restarts: fits begun again from other weights.
        noise_floor: mean squared error that no model can undercut, where the corpus knows it.
        leaks: counts of documents that the training split shares with the others, where they were counted.
        baselines: errors on the test split of other predictions, by their names: the best constant, and what the
            command `fit` adds; of pairs of texts, figures of random order and of BM25.
        failures: what makes the fit a failure, a sentence each.
        members: metrics of each member of an ensemble on the test split, by its number; empty for a single model, of
            which `epochs`, `best_epoch`, `recoveries` and `restarts` are; an ensemble's are the members' sums, and its
            best epoch is the least.
        curves: what figures of the test split are drawn of, by name: lists of numbers.
        constraint: nats per kept `word` and per `change` that training charged beside the prior, to hold the share of
            kept words; empty for runs of older versions, whose prior has it in it.
        documents: texts of each split by its name; empty for runs of older versions.
        intervals: 95 % bootstrap intervals, over documents, of figures in `test` by name; empty for older runs.
        priors: p(z) of each target that has masks of its own, as `prior`, by its name; `prior` holds their means then.
        decision: the rule that names the classes of each target, by its name, as
            :meth:`~pyro_rationale.tasks.Decision.record` has it; empty where none was asked for.
    """

    data: str
    guide: str
    estimator: str
    seed: int
    test: Metrics
    prior: dict[str, float]
    prior_asked: dict[str, float]
    seconds: float = 0.0
    epochs: int = 0
    best_epoch: int = 0
    recoveries: int = 0
    restarts: int = 0
    noise_floor: float | None = None
    leaks: dict[str, Any] | None = None
    baselines: dict[str, Metrics] = field(default_factory=dict)
    failures: tuple[str, ...] = ()
    members: dict[str, Metrics] = field(default_factory=dict)
    curves: dict[str, Any] = field(default_factory=dict)
    constraint: dict[str, float] = field(default_factory=dict)
    priors: dict[str, dict[str, float]] = field(default_factory=dict)
    documents: dict[str, int] = field(default_factory=dict)
    intervals: dict[str, list[float]] = field(default_factory=dict)
    decision: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> RunMetrics:
        """Read `metrics.json` of a finished run; fields of other versions are ignored.

        Raises:
            RunError: the file is missing, damaged or of another version.
        """
        stored = read_json(folder / METRICS)
        try:
            values = {item.name: stored[item.name] for item in fields(cls) if item.name in stored}
            for name in ("test", "prior", "prior_asked"):
                values[name] = _figures(values[name], name)
            for name in ("baselines", "members", "constraint", "priors"):
                values[name] = _figures(values.get(name, {}), name)
            metrics = decode(cls, values)
            aspects = metrics.test.get("aspects", {})
            if not isinstance(aspects, dict) or not all(isinstance(figures, dict) for figures in aspects.values()):
                raise ConfigError(f"test.aspects: expected figures by name, got {shown(aspects)}")
            unknown = dict.fromkeys(_PRIOR, math.nan)
            if "failures" not in stored and "best_epoch" in stored:  # what was only a warning then
                asked, kept = metrics.prior_asked.get("rate", math.nan), metrics.test.get("selected", math.nan)
                metrics = replace(metrics, failures=failures(metrics.best_epoch, asked, kept, ""))
            return replace(metrics, prior=unknown | metrics.prior, prior_asked=unknown | metrics.prior_asked)
        except (KeyError, TypeError, ConfigError) as problem:
            reason = f"{folder / METRICS}: not a result of this version ({reason_of(problem)})"
            raise RunError(f"{reason}; fit again with --force") from None

    def save(self, folder: Path) -> None:
        """Write `metrics.json`."""
        write_json(folder / METRICS, asdict(self), listed=True)


_PRIOR = ("rate", "span", "alpha", "gamma", "lambda1", "lambda2")


def _figures(values: Any, where: str) -> Any:
    """Numbers, and dictionaries of them, as they were before JSON made null of those that are not finite.

    Raises:
        ConfigError: something else is among them.
    """
    if isinstance(values, dict):
        return {name: _figures(value, f"{where}.{name}") for name, value in values.items()}
    if values is None:
        return math.nan
    if isinstance(values, bool) or not isinstance(values, (int, float)):
        raise ConfigError(f"{where}: expected a number, got {shown(values)}")
    return values


def finish_run(
    fit: TrainingRun, baselines: Mapping[str, Metrics] | None = None, progress: Progress | None = None
) -> RunMetrics:
    """Evaluate a finished fit on its test split and close its run folder by writing `metrics.json`.

    Args:
        fit: the finished fit.
        baselines: errors on the test split of other predictions, by their names; the constant's are added.
        progress: called with the numbers of test documents that are done and of all.
    """
    metrics = _measured(fit, baselines, progress)
    fit.tell("on_evaluated", asdict(metrics))
    return metrics


def _measured(fit: TrainingRun, baselines: Mapping[str, Metrics] | None, progress: Progress | None) -> RunMetrics:
    """The metrics of a finished fit, written into its run folder."""
    fitted, config = fit.fitted, fit.fitted.config
    own, rows, worse = _test_table(fit, progress)
    selected = None if own is None else own.statistics.get("selected")
    steered = config.model.lambda1 is None  # penalties that were given ask for no share of words
    metrics = RunMetrics(
        data=config.data.data,
        guide=config.guide,
        estimator=config.estimator,
        seed=config.seed,
        prior_asked=fit.prior.describe(fitted.model.gain),
        epochs=len(fit.history),
        best_epoch=fit.selection.best_epoch,
        recoveries=fit.selection.recoveries,
        restarts=fit.selection.restarts,
        noise_floor=fit.corpus.noise_floor,
        leaks=None if fit.corpus.leaks is None else asdict(fit.corpus.leaks),
        failures=failures(
            fit.selection.best_epoch if steered else 1,
            fit.prior.rate if steered else math.nan,
            math.nan if own is None else own.metrics.get("selected", math.nan),
            worse,
            _course(fit),
            math.nan if selected is None else standard_error(selected),
        ),
        **_shared_fields(fit, own, rows | dict(baselines or {})),
    )
    metrics.save(fit.folder)
    write_card(fit.folder)
    return metrics


def _course(fit: TrainingRun) -> Course:
    """How a fit went. Fewer steps than the preset takes are some that were asked for; early stopping is no lack."""
    config, selection = fit.fitted.config, fit.selection
    usual, steps = usual_steps(config, fit.corpus), config.train.steps
    sound = fit.fitted.aspects == 1 and bool(fit.history) and not fit.history[-1].event  # one share, and no collapse
    return Course(
        selection.meet,
        0 if "steps" in fit.chosen or steps == usual else steps,
        usual,
        risen_error(fit.history, selection.annealed_epoch),
        config.model.preset,
        sound and selection.annealed_epoch is not None,
    )


def finish_ensemble(
    fit: EnsembleRun, baselines: Mapping[str, Metrics] | None = None, progress: Progress | None = None
) -> RunMetrics:
    """Evaluate an ensemble and its members on the test split; write `metrics.json` of each and of all together.

    Args:
        fit: the finished fits.
        baselines: as for :func:`finish_run`.
        progress: see there; called for each member, and for all together.
    """
    each = [_measured(member, baselines, progress) for member in fit.members]
    own, rows, worse = _test_table(fit, progress)
    told = [f"member {i}: {failure}" for i, metrics in enumerate(each) for failure in metrics.failures]
    first = each[0]
    metrics = replace(
        first,
        epochs=sum(metrics.epochs for metrics in each),
        best_epoch=min(metrics.best_epoch for metrics in each),
        recoveries=sum(metrics.recoveries for metrics in each),
        restarts=sum(metrics.restarts for metrics in each),
        failures=(*told, *failures(1, first.prior_asked["rate"], math.nan, worse)),
        members={str(i): metrics.test for i, metrics in enumerate(each)},
        **_shared_fields(fit, own, rows | dict(baselines or {})),
    )
    metrics.save(fit.folder)
    write_card(fit.folder)
    for member, record in zip(fit.members, each, strict=True):
        member.tell("on_evaluated", asdict(record) | {"ensemble": metrics.test})
    return metrics


def _shared_fields(
    fit: TrainingRun | EnsembleRun, own: Evaluation | None, baselines: dict[str, Metrics]
) -> dict[str, Any]:
    """Fields of :class:`RunMetrics` that say the same of one model and of an ensemble.

    Args:
        fit: the finished fit.
        own: its evaluation on the test split; `None` without test texts.
        baselines: figures of other predictions, by their names.
    """
    fitted, model = fit.fitted, fit.fitted.model
    return {
        "test": {} if own is None else own.metrics,
        "prior": model.prior.describe(model.gain) | prior_masks(fitted, fit.corpus.train),
        "seconds": round(fit.seconds, 1),
        "baselines": baselines,
        "curves": {} if own is None else dict(own.curves),
        "constraint": asdict(model.constraint),
        "priors": _priors(fitted),
        "documents": _sizes(fit.corpus),
        "intervals": {} if own is None else card_intervals(own.statistics),
        "decision": _decision(fitted),
    }


def _decision(fitted: FittedModel) -> dict[str, Any]:
    """The rule that names the classes of each target; empty for the most probable one."""
    spec = fitted.spec
    return {} if fitted.decision is None else fitted.decision.record(spec.names, spec.classes)


def _sizes(corpus: Corpus) -> dict[str, int]:
    return {split: len(getattr(corpus, split)) for split in ("train", "dev", "test")}


def _priors(fitted: FittedModel) -> dict[str, dict[str, float]]:
    """Parameters of p(z) of each target that has masks of its own, by its name."""
    prior = fitted.model.prior
    chains = prior.chains if isinstance(prior, AspectPriors) else ()
    return {name: chain.describe(fitted.model.gain) for name, chain in zip(fitted.spec.names, chains, strict=False)}


def _test_table(
    fit: TrainingRun | EnsembleRun, progress: Progress | None
) -> tuple[Evaluation | None, dict[str, Metrics], str]:
    """The test split evaluated, metrics of the constant by its name, and in what it is better; no texts, nothing.

    In the constant's place stand random order and BM25 for pairs of texts.
    """
    documents, spec = fit.corpus.test, fit.corpus.spec
    if not documents:
        return None, {}, ""
    if isinstance(fit.corpus, PairCorpus):
        ranking = rank(fit.fitted, fit.corpus)
        return evaluate_ranked(fit.fitted, ranking), baselines_of(ranking), worse_than_chance(ranking)
    own = evaluate(
        ModelRationalizer(fit.fitted), documents, objective=True, samples=SAMPLES, progress=progress
    )
    constant = constant_evaluation(fit.corpus.train, documents, spec)
    balanced = weighs_classes(fit.fitted, fit.corpus)
    return own, {CONSTANT: constant.metrics}, worse_than_constant(own.statistics, constant.statistics, balanced)


def train(
    config: Config,
    folder: Path | str,
    resume: bool = False,
    force: bool = False,
    callbacks: Sequence[Callback] = (),
    corpus: Corpus | None = None,
    start: Callable[[TrainingRun], None] | None = None,
) -> tuple[TrainingRun, RunMetrics]:
    """Fit one model into a run folder and evaluate it on the test split.

    The best constant is evaluated beside it (`metrics.baselines`), but no other baseline of the command `fit`. With
    `preset="best"` this is one of its models; :func:`train_ensemble` fits all.

    Args:
        config: the configuration. Options that are not given are chosen from the texts, as by `fit`.
        folder: the run folder.
        resume: go on from the folder's checkpoint, or from the start if there is none yet.
        force: start anew in a folder that holds a run.
        callbacks: called as training goes on, after those of every fit.
        corpus: documents that are at hand already, instead of those that `config.data` names.
        start: may change the untrained weights before the first step.

    Returns:
        The finished run, whose `fitted` predicts texts, and its metrics: `test` by name, errors in the user's units,
        and `failures`, empty if the model is of use.

    Raises:
        DataError: the texts cannot be read.
        ConfigError: options do not go together, or `members` is above 1.
        RunError: the folder holds a run already, or none to resume.
        TrainingError: the loss is not finite.
    """
    fit = fit_run(config, Path(folder), resume, force, callbacks, corpus, start)
    return fit, finish_run(fit)


def train_ensemble(
    config: Config,
    folder: Path | str,
    resume: bool = False,
    force: bool = False,
    callbacks: Sequence[Callback] = (),
    corpus: Corpus | None = None,
) -> tuple[EnsembleRun, RunMetrics]:
    """Fit the members of an ensemble into a run folder and evaluate them and their mixture on the test split.

    Args:
        config: the configuration, with `members` above 1; the others as for :func:`train`.
        folder: see there.
        resume: see there.
        force: see there.
        callbacks: see there.
        corpus: see there.
    """
    fit = fit_ensemble(config, Path(folder), resume, force, callbacks, corpus)
    return fit, finish_ensemble(fit)
