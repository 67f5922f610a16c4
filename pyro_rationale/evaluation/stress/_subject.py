"""Subject of a stress test: a run, its labelled test documents, and the options for fitting it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyro_rationale.config import Config
from pyro_rationale.data import load_corpus
from pyro_rationale.data.corpus import Document
from pyro_rationale.data.loading import is_from_memory
from pyro_rationale.data.row_digests import row_digests
from pyro_rationale.data.sampling import sample_documents
from pyro_rationale.errors import ConfigError, DataError, RunError, shown
from pyro_rationale.evaluation.results import train
from pyro_rationale.evaluation.stress._measures import Labels
from pyro_rationale.evaluation.stress._options import RefitOptions, Settings
from pyro_rationale.evaluation.stress._target import OneTarget, about
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.decoding import Mask
from pyro_rationale.prediction.rationalizer import ModelRationalizer
from pyro_rationale.run_files import CONFIG, METRICS, check_rows
from pyro_rationale.tasks import Numbers, Task, task_of
from pyro_rationale.training.run import TrainingRun
from pyro_rationale.training.run_folder import check_same_config

FITS = "fits"  # folder of the refits
Say = Callable[[str], None]


@dataclass
class Subject:
    """A run under test.

    Attributes:
        folder: of the run.
        into: where refits and verdicts go.
        fitted: the run.
        settings: how the tests are done.
        refits: in what its refits differ.
        force: fit again what is there.
        say: is told what goes on.
        target: the name of the target whose masks are tested, where each has masks of its own; empty elsewhere.
    """

    folder: Path
    into: Path
    fitted: FittedModel
    settings: Settings
    refits: RefitOptions
    force: bool = False
    say: Say = lambda line: None
    target: str = ""

    def __post_init__(self) -> None:
        names = self.fitted.spec.names
        own = self.fitted.aspects > 1
        if own and self.target not in names:
            given = f"no target {shown(self.target)}" if self.target else "each target of this run has masks of its own"
            raise ConfigError(f"--target: {given}; name one of {', '.join(names)}")
        if self.target and not own:
            raise ConfigError(f"--target {self.target}: this run has one mask for all that it predicts; leave it out")

    @property
    def config(self) -> Config:
        """Configuration of the run."""
        return self.fitted.config

    @property
    def planted(self) -> bool:
        """Whether the run was fitted on planted reviews."""
        return self.config.data.data == "synthetic"

    @cached_property
    def rationalizer(self) -> ModelRationalizer:
        """The run, as whatever marks words."""
        return self._rationalizer(self.fitted)

    def _rationalizer(self, fitted: FittedModel) -> ModelRationalizer:
        return OneTarget(fitted, self.number) if self.target else ModelRationalizer(fitted)

    @property
    def number(self) -> int:
        """Place of the target under test among those of the run; 0 where there is none."""
        return self.fitted.spec.names.index(self.target) if self.target else 0

    @property
    def task(self) -> Task:
        """Kind of prediction, of the target under test where there is one."""
        return task_of(self.rationalizer.spec, getattr(self.rationalizer, "decision", None))

    @cached_property
    def documents(self) -> list[Document]:
        """Its labelled test documents; of more than `most` so many, drawn by the seed, classes in their shares."""
        documents = self._tested(self.folder, self.fitted)
        if not documents:
            raise DataError(f"{self.config.data.data}: no test document with a target; stress tests need some")
        return self._some(documents)

    def _some(self, documents: list[Document]) -> list[Document]:
        """So many of the documents as are to be looked at; the first of a sorted file would be of one class."""
        most, seed = self.settings.most, self.settings.seed
        return list(sample_documents(documents, most, self.rationalizer.spec, seed).documents)

    @cached_property
    def masks(self) -> list[Mask]:
        """Their rationales."""
        return self.rationalizer.masks(self.documents)

    @cached_property
    def values(self) -> Numbers:
        """`(N, W)`, predicted from them."""
        return self.rationalizer.predict(self.documents, self.masks)

    @property
    def decisions(self) -> Labels:
        """`(N, D)`, the class of every target by these values."""
        return self.task.decisions(self.values)

    def turned(self, values: Numbers) -> NDArray[np.bool_]:
        """`(N, D)`, which decisions other values turn, by the median of whose ratings both go."""
        return self.task.decisions(values, self.values) != self.decisions

    def refit(
        self, name: str, start: Callable[[TrainingRun], None] | None = None, **changes: Any
    ) -> tuple[ModelRationalizer, list[Document]]:
        """The run's configuration fitted again, or taken from its folder; and the test documents of that fit.

        Args:
            name: of the folder, below `into`.
            start: changes the untrained weights.
            changes: options that are not those of the run; without any, without `start` and without smaller refits,
                the run itself is what comes back.

        Raises:
            RunError: the folder holds a fit with other options.
        """
        if start is None and not changes and not self.refits.smaller():
            return self.rationalizer, self.documents
        config = self.config.changed(log=(), **{**self.refits.given(), **changes})
        folder = self.into / FITS / name
        if self.force or not (folder / METRICS).exists():
            self.say(f"fitting {name}")
            resume = not self.force and (folder / CONFIG).exists()
            train(config, folder, resume=resume, force=self.force, start=start)
        else:
            check_same_config(config, folder)
        fitted = FittedModel.load(folder, config.train.device)
        return self._rationalizer(fitted), self._some(self._tested(folder, fitted))

    def _tested(self, folder: Path, fitted: FittedModel) -> list[Document]:
        """Labelled test documents of a fit, as rows about the target under test where there is one."""
        documents = _labelled(folder, fitted)
        if not self.target:
            return documents
        return about(documents, self.number)


def _labelled(folder: Path, fitted: FittedModel) -> list[Document]:
    """Labelled test documents of the run in a folder.

    Raises:
        RunError: the data have changed since the fit, or are in no file.
    """
    options = fitted.config.data
    if is_from_memory(options.data):
        raise RunError(f"{folder}: was fitted in Python, and holds no texts to test it on; fit it to a file")
    corpus = load_corpus(options, fitted.spec, typed=())
    check_rows(folder, row_digests(corpus), options.data)
    return [document for document in corpus.test if document.has_target]
