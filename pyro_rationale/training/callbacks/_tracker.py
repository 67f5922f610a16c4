"""Base of the callbacks of `--log`: which figures of a fit go to an experiment tracker, under which names."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from pyro_rationale import __version__
from pyro_rationale.data.files.text import log
from pyro_rationale.errors import ConfigError, reason_of
from pyro_rationale.storage import note, read_manifest
from pyro_rationale.training.callbacks._base import Callback
from pyro_rationale.training.history import EpochRecord
from pyro_rationale.training.run import TrainingRun

NOTE = "trackers"  # in the manifest of the run folder: how each tracker knows the run, for `--resume`
FINISHED, FAILED, INTERRUPTED = "finished", "failed", "interrupted"


class Tracker(Callback):
    """Base of the callbacks that write to an experiment tracker through its own library.

    Options and sizes of the splits are written at the start, the figures of each epoch under `train/` and `dev/` with
    the number of steps so far, and the results at the end under `test/` and `baselines/`, with those of the whole
    ensemble of a member under `ensemble/`. A resumed fit goes on in the same record. A tracker that cannot be opened is
    an error; one that fails later, a full disk say, is left out with a warning, and the fit goes on.
    """

    NAME: ClassVar[str]
    OPENED: ClassVar[tuple[str, ...]] = ()  # attributes that `open` sets; a copy has none of them

    def __init__(self) -> None:
        self.is_open = False
        self.of: Path | None = None  # the run folder whose record was opened last

    def __getstate__(self) -> dict[str, Any]:
        """The settings: a copy, such as scikit-learn's `clone` makes, or a pickle has no record open."""
        settings = {name: value for name, value in self.__dict__.items() if name not in self.OPENED}
        return settings | {"is_open": False, "of": None}

    def check(self) -> None:
        """Find out, without opening a record, whether one can be opened: is there a key, does the server answer?"""

    def open(self, name: str, options: Mapping[str, Any], folder: Path, known: str | None, step: int) -> str:
        """Open a record.

        Args:
            name: of the run.
            options: by name, as plain values.
            folder: the run folder.
            known: by what the tracker knows a run that is resumed; `None` for a new one.
            step: number of steps so far.

        Returns:
            By what the tracker will know this run.
        """
        raise NotImplementedError

    def write(self, figures: Mapping[str, float], step: int) -> None:
        """Write figures, all finite, by name."""
        raise NotImplementedError

    def close(self, state: str) -> None:
        """Close the record: `FINISHED`, `FAILED` or `INTERRUPTED`."""
        raise NotImplementedError

    # Hooks.

    def on_check(self) -> None:
        """Make sure that a record can be opened, while the run that it would replace is still there.

        Raises:
            ConfigError: that is not possible.
        """
        try:
            self.check()
        except Exception as problem:
            raise self._refusal(problem) from problem

    def on_fit_start(self, run: TrainingRun) -> None:
        """Open the record.

        Raises:
            ConfigError: that is not possible; nothing is trained.
        """
        self._begin(run)

    def _begin(self, run: TrainingRun) -> None:
        """Open the record of a fit, and close that of another member of its ensemble: all share the callbacks."""
        self._safely(lambda: self.close(FINISHED))
        self.is_open, self.of = False, run.folder
        if not run.group.main:
            return
        trackers = read_manifest(run.folder)["notes"].get(NOTE)
        known = trackers.get(self.NAME) if isinstance(trackers, dict) else None
        try:
            made = self.open(run_name(run.folder), options_of(run), run.folder, known, run.trainer.step)
        except Exception as problem:
            raise self._refusal(problem) from problem
        self.is_open = True
        note(run.folder, **{NOTE: (trackers if isinstance(trackers, dict) else {}) | {self.NAME: made}})

    def _refusal(self, problem: Exception) -> ConfigError:
        return ConfigError(f"--log {self.NAME}: {_reason(problem)}; mend that, or leave it out")

    def on_epoch_end(self, run: TrainingRun, record: EpochRecord) -> None:
        """Write the figures of the epoch."""
        self._safely(lambda: self.write(epoch_figures(record), record.step))

    def on_evaluated(self, run: TrainingRun, metrics: Mapping[str, Any]) -> None:
        """Write the results and close the record; it is opened again if that of a later member came in between."""
        if self.of not in (None, run.folder):
            try:
                self._begin(run)
            except Exception as problem:
                log.warning("--log %s: %s; the results are not written there", self.NAME, _reason(problem))
        parts = {name: metrics.get(name, {}) for name in ("test", "baselines", "ensemble")}
        if "dev" in metrics:  # of scikit-learn's interface
            parts["validation"] = metrics["dev"]
        figures = flat(parts) | flat({name: metrics.get(name) for name in ("best_epoch", "seconds")})
        self._safely(lambda: self.write(figures, run.trainer.step))
        self._safely(lambda: self.close(FINISHED))
        self.is_open = False

    def on_exception(self, run: TrainingRun, problem: BaseException) -> None:
        """Close the record of a fit that is interrupted or fails."""
        self._safely(lambda: self.close(INTERRUPTED if isinstance(problem, KeyboardInterrupt) else FAILED))
        self.is_open = False

    def _safely(self, act: Callable[[], None]) -> None:
        if not self.is_open:
            return
        try:
            act()
        except Exception as problem:
            self.is_open = False
            log.warning("--log %s: %s; the fit goes on without it", self.NAME, _reason(problem))


def _reason(problem: Exception) -> str:
    return reason_of(problem, 300).rstrip(".") or type(problem).__name__


def run_name(folder: Path) -> str:
    """Name of a run, that of its folder; of a member of an ensemble that of the ensemble's folder and its number."""
    folder = folder.resolve()
    if folder.parent.name == "members":
        return f"{folder.parent.parent.name}-{folder.name}"
    return folder.name


def options_of(run: TrainingRun) -> dict[str, Any]:
    """Options of a fit with sizes and versions, as plain values by names such as `model.guide`."""
    fitted, corpus = run.fitted, run.corpus
    values = {f"{part}.{name}": value for part, own in fitted.config.to_dict().items() for name, value in own.items()}
    sizes = {f"documents.{split}": len(getattr(corpus, split)) for split in ("train", "dev", "test")}
    more = {"target.kind": fitted.spec.kind, "target.names": fitted.spec.names, "version": __version__}
    return {
        name: ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
        for name, value in (values | sizes | more).items()
    }


def epoch_figures(record: EpochRecord) -> dict[str, float]:
    """Figures of an epoch: `dev_error` as `dev/error`, `loss` as `train/loss`; an untrained guide has none on dev."""
    figures = {}
    for name, value in asdict(record).items():
        on_dev = name.startswith("dev_")
        if isinstance(value, str) or name in ("epoch", "step") or (on_dev and record.untrained):
            continue
        figures[f"dev/{name.removeprefix('dev_')}" if on_dev else f"train/{name}"] = float(value)
    return flat(figures | {"epoch": record.epoch})


def flat(values: Mapping[str, Any], above: str = "") -> dict[str, float]:
    """The finite numbers of nested mappings, by their path with slashes; those of confusion matrices are too many."""
    found: dict[str, float] = {}
    for name, value in values.items():
        if name == "confusion":
            continue
        if isinstance(value, Mapping):
            found |= flat(value, f"{above}{name}/")
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            found[f"{above}{name}"] = float(value)
    return found
