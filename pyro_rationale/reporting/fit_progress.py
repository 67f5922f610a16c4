"""Progress of a fit on the terminal: one bar from the first text to the last baseline, and a line now and then."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

from rich.text import Text

from pyro_rationale.reporting.terminal import Pace, Terminal, duration, progress_bar
from pyro_rationale.training.callbacks import Callback
from pyro_rationale.training.history import MEMORIZED

# Modules that need torch are imported by the functions that use them: `--help` and a mistyped flag come at once.
if TYPE_CHECKING:
    from pyro_rationale.training.ensemble import EnsembleRun
    from pyro_rationale.training.history import EpochRecord, StepRecord
    from pyro_rationale.training.run import TrainingRun

MOST_LINES = 12  # about epochs, unless all are asked for
SILENCE = 60.0  # seconds after which a line says how far the fit is, where there is no bar
# Seconds that something takes before the first step until a line says what it is: what is refused at once, for a column
# that is not there, stays one line.
PREPARING = 5.0
# What a part of the fit takes, in steps of training, each times all of these.
READING, EVALUATION, READER = 0.3, 0.05, 0.3
WHOLE = ("warm-up", "training")  # stages whose time left is that of the whole fit
# Beginnings of events, and what they mean to somebody who has never seen one.
MEANT = {
    MEMORIZED: "that happens where texts are few; there is nothing to do, it only takes longer",
    "collapse": "that happens now and then; there is nothing to do",
}


class FitProgress(Callback):
    """A bar on a terminal, whose share of done work and time left are of the whole fit, and a line for some epochs.

    Args:
        console: where the bar and the lines are printed.
        quiet: print nothing.
        verbose: a line for every epoch, with all of its figures, and all settings that were chosen.
        reader: whether the encoder is trained on whole texts after the fit, as a baseline.
    """

    def __init__(self, console: Terminal, quiet: bool = False, verbose: bool = False, reader: bool = False) -> None:
        self.console, self.quiet, self.verbose, self.reader = console, quiet, verbose, reader
        self.bar = progress_bar(console, "figures", share=True, quiet=quiet)
        self.task = self.bar.add_task("reading the texts", total=None, figures="")
        self.dev = math.nan
        self.drawn = self.spoken = time.monotonic()
        self.stage, self.pace = "", Pace()
        self.member, self.members = 0, 1
        self.steps, self.fitted, self.reading = 0, False, 0.0
        self._waiting: threading.Timer | None = None
        self._best: EpochRecord | None = None  # of the epochs without a line, if none was better

    def __enter__(self) -> FitProgress:
        self.bar.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the bar off the screen."""
        self._begun()
        self.bar.stop()

    def say(self, text: str | Text) -> None:
        """Print a line, unless nothing is to be printed."""
        self.spoken = time.monotonic()
        if not self.quiet:
            self.console.say(text)

    def on_preparation(self, what: str) -> None:
        """Show what begins before the first step; where there is no bar, a line if it takes a while."""
        self.bar.update(self.task, description=what, figures="")
        self._begun()
        if not (self.console.is_terminal or self.member):
            self._waiting = threading.Timer(PREPARING, self.say, (what,))
            self._waiting.daemon = True
            self._waiting.start()

    def _begun(self) -> None:
        """Drop the line that waits: the preparation it tells of has ended."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def on_corpus_progress(self, source: str, done: int, total: int | None) -> None:
        """Show how far the texts are cut into words."""
        many = f"{done:,} texts" if total is None else f"{done:,} of {total:,} texts"
        self.bar.update(self.task, description="cutting texts into words", figures=many)

    def on_reader_progress(self, done: int, total: int) -> None:
        """Show how far the encoder is trained on whole texts; one line at the start where there is no terminal."""
        if done == 1:
            self._enter("baseline" if self.fitted else "judge", total, 0)
            if not self.console.is_terminal:
                self.say(f"training the encoder on whole texts, {total:,} step{'s' * (total != 1)}")
        name = f"the encoder on whole texts, step {done:,} of {total:,}"
        part = READER * self.steps * done / total if self.fitted else 0.0
        self._draw(name, self._trained() + part, self.pace.left(done), "")

    def on_test_progress(self, done: int, total: int) -> None:
        """Show how many texts of the test split are measured."""
        if time.monotonic() - self.drawn > 0.2 or done == total:
            reader = READER * self.steps * self.reader
            self._draw("measuring", self._trained() + reader, "", f"{done:,} of {total:,} texts")

    def on_member_start(self, number: int, count: int, seconds: float) -> None:
        """Say which member of an ensemble comes next, and how long all others will take if they are like the first."""
        self.member, self.members, self.dev, self.stage, self.fitted = number, count, math.nan, "", False
        left = f"; about {duration(seconds / number * (count - number))} left" if number and seconds else ""
        self.say(Text.assemble((f"member {number + 1} of {count}", "bold"), left))

    def on_fit_start(self, run: TrainingRun) -> None:
        """Say what is fitted: corpus, word vectors, prior, and the error that a constant has."""
        self._begun()
        self.steps = run.epochs * len(run.trainer.batches)
        self.reading = READING if run.fitted.config.model.pretrained else 0.0
        self.bar.update(self.task, total=self._whole(), completed=0, figures="")
        if self.quiet:
            return
        if not self.member:  # all but the seed is as the first member had it
            self._introduce(run)
        if run.history:
            self.say(f"resumed after epoch {len(run.history)}, step {run.trainer.step}")
            self.dev = math.nan if run.history[-1].untrained else run.history[-1].dev_error

    def _introduce(self, run: TrainingRun) -> None:
        from pyro_rationale.data.cache.dataset import target_rows
        from pyro_rationale.data.duplicates import summary
        from pyro_rationale.data.pairs import PairCorpus
        from pyro_rationale.reporting.prior_words import prior_words
        from pyro_rationale.training.defaults import choices

        corpus, fitted = run.corpus, run.fitted
        spec = corpus.spec
        sizes = f"{len(corpus.train):,} train, {len(corpus.dev):,} dev, {len(corpus.test):,} test"
        what = f": {sizes}; {spec.kind} of {', '.join(spec.names)}"
        if isinstance(corpus, PairCorpus):
            queries = (f"{len(corpus.queries[split]):,} {split}" for split in ("train", "dev", "test"))
            what = f": {sizes}; queries: {', '.join(queries)}"
        if remark := fitted.task.remark(target_rows(corpus.train, len(spec.names))):
            what += f" ({remark})"
        self.say(Text.assemble((corpus.name, "bold"), what))
        if corpus.leaks is not None:
            self.say(summary(corpus))
        if run.vectors is not None:
            tokens = run.vectors.token_coverage(corpus.train, fitted.vocabulary)
            self.say(f"word vectors: {100 * run.vectors.coverage:.1f} % of {len(fitted.vocabulary):,} words, "
                     f"{100 * tokens:.1f} % of the running text")  # fmt: skip
        threads = "" if run.threads is None else f", --threads {run.threads}"
        prior = run.prior.describe(fitted.model.gain)
        start = " to begin with; its rate and span are learned" if fitted.config.prior == "learned" else ""
        self.say(f"prior: {prior_words(prior, fitted.config.unit)}{start}")
        for line in choices(fitted.config, run.chosen, every=self.verbose):
            self.say(line)
        self.say(
            f"guide {fitted.config.guide}, estimator {fitted.config.estimator}, seed {fitted.config.seed}, "
            f"{fitted.device}{threads}; run folder {run.folder}"
        )
        constant = run.memorization.constant
        beside = f"; {fitted.task.constant_name} has {constant:.4f}" if math.isfinite(constant) else ""
        self.say(f"dev error: {fitted.task.error_name}{beside}")

    def on_features_progress(self, run: TrainingRun, done: int, total: int) -> None:
        """Show how far the transformer has read; one line at the start where there is no terminal."""
        base = run.fitted.config.model.pretrained
        if self.stage != "reading":
            self._enter("reading", total, 0)
            if not self.console.is_terminal:
                self.say(f"reading {total:,} words with {base}, once")
        part = self.reading * self.steps * done / max(total, 1)
        left = self.pace.left(done)
        self._draw(f"reading with {base}", self._before() + part, left and f"{left} of this", f"{total:,} words")

    def on_step_end(self, run: TrainingRun, record: StepRecord) -> None:
        """Move the bar."""
        now, position, batches = time.monotonic(), run.trainer.position, len(run.trainer.batches)
        if now - self.drawn < 0.2 and position < batches:
            return
        done, stage = run.trainer.epoch * batches + position, "warm-up" if record.warmup else "training"
        self.steps = run.epochs * batches  # more of them after a restart
        own = self._whole() - self._before() - self.reading * self.steps
        if self.stage != stage or self.pace.total != own:
            self._enter(stage, own, done)
        dev = "" if math.isnan(self.dev) else f"dev error {self.dev:.3f}"
        figures = dev if record.warmup else f"kept {100 * record.rate:.1f} %  {dev}"
        name = f"{stage} {min(run.trainer.epoch + 1, run.epochs)}/{run.epochs}"
        self._draw(name, self._before() + self.reading * self.steps + done, self.pace.left(done), figures)

    def on_epoch_end(self, run: TrainingRun, record: EpochRecord) -> None:
        """One line, of few epochs if there are many; what went wrong is always said, and so is the best epoch so far.

        An epoch of the warm-up alone has trained no guide whose masks could be scored.
        """
        if not record.untrained:
            self.dev = record.dev_error
        every = 1 if self.verbose else max(1, math.ceil(run.epochs / MOST_LINES))
        unusual = record.event not in ("", "best")
        if (record.epoch - 1) % every and not unusual and record.epoch < run.epochs:
            self._best = record if record.event == "best" else self._best
            return
        best, self._best = self._best, None
        if best is not None and record.event != "best":
            self._say_epoch(run, best)
        self._say_epoch(run, record)

    def _say_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        options = run.fitted.config.train
        warmup = "the encoder alone, on " + (
            "random parts of texts" if options.warmup_texts == "masked" else "whole texts"
        )
        if options.head_start == "extracts":
            warmup = "the guide alone, on extracts of texts"
        longer = self._restarted(run, record) if record.event.startswith(MEMORIZED) else ""
        event = f"  {explained(record.event, longer)}" if record.event else ""
        target = "" if math.isnan(record.target) else f" (target {100 * record.target:.1f} %)"
        if self.verbose:
            line = f"epoch {record.epoch:3d}  loss {record.loss:8.4f}  "
            line += f"warm-up: {warmup}" if record.untrained else (
                f"kept {100 * record.kept:5.1f} %{target}  "
                f"dev: {run.fitted.task.error_name} {record.dev_error:.4f}  kept {100 * record.dev_rate:5.1f} %  "
                f"empty {100 * record.dev_empty:.1f} %"
            )
            self.say(line + event)
            return
        line = f"epoch {record.epoch:2d}/{run.epochs}  "
        if record.untrained:
            self.say(f"{line}warm-up: {warmup}{event}")
            return
        kept = f"keeps {100 * record.dev_rate:.1f} % of the {run.fitted.config.unit}s"
        line += f"dev error {record.dev_error:.4f}  {kept}"
        self.say(f"{line}{target}{event}")

    def _restarted(self, run: TrainingRun, record: EpochRecord) -> str:
        """By how much a fit takes longer that begins again, and how long it takes from now; the countdown knows it."""
        before = [other.step for other in run.history if other.step < record.step and other.event.startswith(MEMORIZED)]
        pace = run.seconds / record.step
        longer, left = record.step - max(before, default=0), run.epochs * len(run.trainer.batches) - record.step
        self.pace.put_off(longer * pace)
        return f": {duration(longer * pace)} more, at most {duration(left * pace)} from now" if pace else ""

    def on_fit_end(self, run: TrainingRun) -> None:
        """Show that training has ended."""
        best, self._best = self._best, None
        if best is not None:
            self._say_epoch(run, best)
        self.fitted = True
        self._draw("measuring", self._trained(), "", "")

    def ended(self, fit: TrainingRun | EnsembleRun) -> None:
        """Say which epoch is kept, why training ended, and how long it took."""
        self.say(f"{fit.ending}; {duration(fit.seconds)}")

    def _whole(self) -> float:
        """Work of the whole fit, in steps of training."""
        return self.steps * (self.members * (self.reading + 1.0) + READER * self.reader + EVALUATION)

    def _before(self) -> float:
        """Work of the members that are fitted already."""
        return self.steps * self.member * (self.reading + 1.0)

    def _trained(self) -> float:
        """Work until this member is fitted; 0 before the first step."""
        return self._before() + self.steps * (self.reading + 1.0) * self.fitted

    def _enter(self, stage: str, total: float, done: float) -> None:
        """Begin a stage; one that is timed by itself has a time left of its own."""
        if stage in WHOLE and self.stage in WHOLE:
            self.pace.go_on(total, done)
        else:
            self.pace = Pace(total, done)
        self.stage = stage

    def _draw(self, name: str, done: float, left: str, figures: str) -> None:
        self.drawn = time.monotonic()
        told = "  ".join(part for part in (left, figures) if part)
        self.bar.update(self.task, description=name, completed=done, total=self._whole() or None, figures=told)
        if not self.console.is_terminal and self.drawn - self.spoken > SILENCE:
            self.say(f"{name}: {told}" if told else name)


def explained(event: str, longer: str = "") -> str:
    """An event of an epoch, with what it means if it looks worse than it is, and how much longer the fit takes."""
    meant = (meaning for begun, meaning in MEANT.items() if event.startswith(begun))
    meaning = "" if event.endswith("recoveries") else next(meant, "")
    return f"{event} ({meaning}{longer})" if meaning else event
