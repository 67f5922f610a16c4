"""Whether a fit is of use: the constant prediction beside it, and what makes it a failure.

A fit has failed if its predictions are worse than the best constant's, or if its masks are no rationales, however good
its predictions are: it never came down to the share of words that was asked for, or it keeps far less than that. The
share of few texts is that of all texts give or take its sampling error, which is taken off before it is judged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pyro_rationale.data.cache.dataset import target_rows
from pyro_rationale.data.corpus import Corpus, Document, TargetSpec
from pyro_rationale.errors import RunError
from pyro_rationale.evaluation.evaluate import Evaluation, compute
from pyro_rationale.evaluation.metrics import MetricInputs, every_metric
from pyro_rationale.evaluation.options import MOSTLY
from pyro_rationale.evaluation.significance import intervals
from pyro_rationale.evaluation.statistic import Metrics, Numbers, Statistic, combined
from pyro_rationale.fitted import FittedModel
from pyro_rationale.run_files import METRICS
from pyro_rationale.storage import read_json
from pyro_rationale.tasks import task_of
from pyro_rationale.tasks._numerals import number_text
from pyro_rationale.training.history import EpochRecord

CONSTANT = "constant"  # its name among the baselines of a run
FAR_LESS = 0.5, 0.1  # than the requested share: where it is to be met, and where it only bounds what is kept
# Times the requested share that a fit may keep of which no epoch came down to it: as many as chosen epochs keep of
# other texts. Beyond the second, sampling error is no excuse: that of a handful of texts would excuse anything.
MOST, ANYHOW = 1.2, 1.5
ERRORS = 2.0  # standard errors by which a share may miss
FEWEST = 10  # documents: on fewer, differences that all happen to have one sign are too common
RISE = 1.05  # of the least dev error: beyond it, a fit has learnt its training texts and not what they have in common
LITTLE = 1 / 3  # of the constant's error: less is said aloud
SMALLER_PRESETS = ("fast", "paper")  # those whose texts `balanced` reads with more knowledge of the language


@dataclass(frozen=True)
class Course:
    """How a fit went, for what to advise where it has failed.

    Attributes:
        meet: whether the share is to be met (`--rate-as target`), and is not only a bound.
        steps: those that were asked for, if they are not those that the preset takes; else 0.
        usual: steps that the preset takes for such texts.
        rise: how dev error rose, as :func:`risen_error` says it; empty if it did not.
        preset: its name.
        ended: whether training ended at the share that was asked for, in masks that had not collapsed: then the share
            that is kept tells whether it is near enough.
    """

    meet: bool = False
    steps: int = 0
    usual: int = 0
    rise: str = ""
    preset: str = ""
    ended: bool = False

    @property
    def few(self) -> str:
        """Advice about too few steps; empty if there were enough, or nobody asked for another number."""
        if not 0 < self.steps < self.usual:
            return ""
        return f"These were few steps: fit again with --steps {self.usual} or more, or leave --steps out"

    @property
    def longer(self) -> str:
        """The way on for a fit that has not come to its end; it says nothing of steps that were not given."""
        return "Train on with --resume and more --steps, or fit again with" if self.steps else "Fit again with"

    @property
    def better(self) -> str:
        """Advice by which predictions may get better than a constant's."""
        if self.rise:
            known = f"Dev error rose from {self.rise}: the fit overfits its training texts. "
            fewer = ["fewer --steps"] if self.steps else []
            return known + "Give it " + _either(["more texts", *fewer, "a higher --rate", *self._preset])
        return self.few or "Try " + _either(
            ["another --seed", "a lower --learning-rate", "a higher --rate", *self._preset]
        )

    @property
    def _preset(self) -> list[str]:
        return ["--preset balanced"] if self.preset in SMALLER_PRESETS else []


def risen_error(history: Sequence[EpochRecord], annealed: int | None) -> str:
    """Between which epochs dev error rose, in words; empty if it did not.

    Only epochs that ended at the final share of words are compared: before that, error rises since words are dropped.

    Args:
        history: the epochs of a fit.
        annealed: the first that ended at the final share; `None` if none did.
    """
    done = [record for record in history if annealed is not None and record.epoch >= annealed]
    done = [record for record in done if math.isfinite(record.dev_error)]
    if not done:
        return ""
    least, last = min(done, key=lambda record: record.dev_error), done[-1]
    if not last.dev_error > RISE * least.dev_error:
        return ""
    return " to ".join(f"{number_text(one.dev_error)} in epoch {one.epoch}" for one in (least, last))


def _either(ways: Sequence[str]) -> str:
    return f"{', '.join(ways[:-1])} or {ways[-1]}"


def constant_evaluation(train: Sequence[Document], documents: Sequence[Document], spec: TargetSpec) -> Evaluation:
    """Errors, on some documents, of the constant that predicts the training targets best."""
    constant = task_of(spec).constant(target_rows(train, len(spec.names)))
    return compute(MetricInputs(documents, spec, values=np.tile(constant, (len(documents), 1))))


def weighs_classes(fitted: FittedModel, corpus: Corpus) -> bool:
    """Whether the fit was not after accuracy: texts had different weights, or classes are named for macro-F1."""
    if not corpus.spec.classes:
        return False
    return fitted.weighting.relative(corpus.train) is not None or fitted.decision is not None


def worse_than_constant(
    statistics: Mapping[str, Statistic], constant: Mapping[str, Statistic], balanced: bool = False
) -> str:
    """In what predictions are worse than the constant, in words; empty if they are not.

    They are if the squared error of ratings is, or both accuracy and log loss of classes are: an overconfident model
    has a log loss worse than the constant's and may still be right more often. Worse means by more than chance: the
    bootstrap interval of the difference, over `FEWEST` documents or more, is on one side of 0.

    Args:
        statistics: of the predictions.
        constant: of the constant, on the same documents.
        balanced: whether the fit weighed classes, and so was not after the most frequent one: then balanced accuracy
            decides, in which a constant is right in one class only.
    """
    told = []
    names = ("mse", "balanced_accuracy") if balanced else ("mse", "accuracy", "log_loss")
    for metric in every_metric():
        if metric.name not in names or metric.name not in statistics:
            continue
        # Of the average over masks, where there is one: that is what the fit predicts.
        one, other = statistics.get(f"averaged_{metric.name}", statistics[metric.name]), constant[metric.name]
        if len(one) < FEWEST:
            return ""
        low, high = intervals({"": combined(_minus, one, other)}, draws=1000, method="percentile")[""]
        if not (high < 0 if metric.better == "higher" else low > 0):  # NaN is neither
            return ""
        told.append(f"{metric.label} {_compared(one.value, other.value, metric.format)}")
    return ", ".join(told)


def failures(
    best_epoch: int, asked: float, kept: float, worse: str, course: Course | None = None, error: float = math.nan
) -> tuple[str, ...]:
    """Reasons why a fit is of no use, a sentence each; none if all is well.

    Args:
        best_epoch: the epoch whose weights were chosen; 0 if no epoch came down to the target rate.
        asked: the target share of words; NaN if unknown.
        kept: the share that is kept, likewise.
        worse: as `worse_than_constant` says it.
        course: how the fit went, if that is known.
        error: standard error of the share that is kept; NaN if unknown.
    """
    told, course = [], course or Course()
    slack = 0.0 if math.isnan(error) else ERRORS * error
    # A bound that is undercut so far leaves most texts without a word, and tells no sampling error.
    least = FAR_LESS[not course.meet] * asked - (slack if course.meet else 0.0)
    near = course.ended and kept <= min(MOST * asked + slack, ANYHOW * asked)
    if not (best_epoch or near):
        share = "" if math.isnan(asked + kept) else f" (asked for {100 * asked:.1f} %, kept {100 * kept:.1f} %)"
        told.append(
            f"training never came down to the requested share of words{share}; these are the last weights. "
            + (course.few or f"{course.longer} shorter --anneal or higher --rate")
        )
    elif kept < least:
        told.append(
            f"rationales keep {100 * kept:.2f} % of the words, far less than the {100 * asked:.1f} % asked for; "
            "they show little of "
            "what a prediction rests on. "
            + (course.few or f"{course.longer} a higher --rate or --nats")
        )
    if worse:
        told.append(f"predictions are worse than a constant's ({worse}); do not use this model. {course.better}")
    return tuple(told)


def no_better_than_constant(test: Metrics, baselines: Mapping[str, Metrics], balanced: bool = False) -> str:
    """How a constant predicts, `better` or `as well`, and a comparison, in words; empty where the fit does better.

    Of few texts that may be chance, and then it is no failure (:func:`worse_than_constant`); but nothing shows that
    the model has learnt anything. What is clearly better, :func:`better_baseline` says.
    """
    name, sign, own = _judged(test, balanced)
    constant = baselines.get(CONSTANT, {}).get(name)
    if own is None or constant is None or sign * (own - constant) < 0:
        return ""
    how = "better" if _clearly_better(name, sign, own, constant) else "as well"
    return f"{how} ({_compared(constant, own, '.4g' if name == 'mse' else '%')})"


def little_explained(test: Metrics, baselines: Mapping[str, Metrics]) -> str:
    """How much of the differences between texts is predicted, in words, where it is less than a third; empty elsewhere.

    It is 1 - error / error of the constant. Whoever knows that little of an answer knows little of its reasons.
    """
    name, sign, own = _judged(test, False)
    constant = baselines.get(CONSTANT, {}).get(name)
    if own is None or constant is None:
        return ""
    left, whole = (own, constant) if sign > 0 else (1.0 - own, 1.0 - constant)
    explained = 1.0 - left / whole if whole > 0 else math.nan
    if not 0.0 < explained < LITTLE:
        return ""
    return f"{100 * explained:.0f} % of the {'squared error' if sign > 0 else 'errors'} of a constant"


def shared_words(test: Metrics) -> str:
    """A doubt where most of the words kept for one target are kept for another too; else empty."""
    shared = test.get("shared", 0.0)
    if not shared > MOSTLY:
        return ""
    return (
        f"{100 * shared:.0f} % of the words that are kept for one target are kept for another too: they speak of the "
        "text as a whole rather than of one target"
    )


def stored_doubt(folder: Path) -> str:
    """The doubt of :func:`shared_words` about the test texts of a run; empty if it cannot be had.

    Args:
        folder: of the run.
    """
    try:
        return shared_words(read_json(folder / METRICS)["test"])
    except (RunError, KeyError, TypeError, AttributeError):
        return ""


def better_baseline(
    test: Metrics, baselines: Mapping[str, Metrics], balanced: bool = False
) -> tuple[str, str] | None:
    """The baseline that predicts best, if that is clearly better than the fit does, and a comparison in words.

    Clearly: by more than a fiftieth of the squared error, or by two points of accuracy; of macro-F1, if the fit weighed
    classes (`balanced`). Rankings are compared among all texts, for BM25 may have chosen the candidates of the lists.
    """
    name, sign, own = _judged(test, balanced)
    others = {baseline: row[name] for baseline, row in baselines.items() if name in row}
    if own is None or not others:
        return None
    best = min(others, key=lambda baseline: sign * others[baseline])
    if not _clearly_better(name, sign, own, others[best]):
        return None
    forms = {
        "mse": (".4g", "squared error"), "accuracy": ("%", "accuracy"), "macro_f1": (".3f", "macro F1"),
        "corpus_map": (".3f", "MAP among all texts"),
    }  # fmt: skip
    form, label = forms[name]
    return best, f"{label} {_compared(others[best], own, form)}"


def _judged(test: Metrics, balanced: bool) -> tuple[str, float, float | None]:
    """Name, sign (1 where less is better, else -1) and value of the figure that a fit is judged by.

    It is that of the average over masks, where there is one, for that is what the fit predicts.
    """
    if "map" in test:
        name, sign = "corpus_map", -1.0
    else:
        name, sign = ("mse", 1.0) if "mse" in test else ("macro_f1" if balanced else "accuracy", -1.0)
    return name, sign, test.get(f"averaged_{name}", test.get(name))


def _clearly_better(name: str, sign: float, own: float, other: float) -> bool:
    """Whether the figure of another method is better than the fit's by more than :func:`better_baseline` lets pass."""
    return sign * (own - other) > (0.02 * own if name == "mse" else 0.02)


def _minus(one: Numbers, other: Numbers) -> Numbers:
    return one - other


def _compared(one: float, other: float, form: str) -> str:
    values = (f"{100 * value:.1f} %" if form == "%" else number_text(value, form) for value in (one, other))
    return " against ".join(values)
