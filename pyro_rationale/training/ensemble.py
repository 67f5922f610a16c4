"""A deep ensemble: fits of one configuration from several seeds, one after the other, in one run folder.

Weights are point estimates. Several of them, found from different starts, say where the data leave the weights open:
members agree on texts like those that they were fitted to, and less so on others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pyro_rationale.config import Config
from pyro_rationale.data.corpus import Corpus
from pyro_rationale.errors import ConfigError
from pyro_rationale.run_files import CONFIG, MEMBERS, METRICS, write_calibration, write_config
from pyro_rationale.training.callbacks import Callback
from pyro_rationale.training.callbacks._base import call
from pyro_rationale.training.distributed import SINGLE_PROCESS, Group
from pyro_rationale.training.fit import fit_run
from pyro_rationale.training.fitted_ensemble import Ensemble
from pyro_rationale.training.prepare import callbacks_of
from pyro_rationale.training.run import TrainingRun
from pyro_rationale.training.run_folder import (
    check_free,
    check_same_config,
    clear_members,
    clear_run,
    continued,
    is_finished,
)


@dataclass
class EnsembleRun:
    """The finished fits of an ensemble.

    Attributes:
        folder: the run folder, with one for each member in it.
        members: their fits.
        fitted: what they are together.
    """

    folder: Path
    members: Sequence[TrainingRun]
    fitted: Ensemble

    @property
    def corpus(self) -> Corpus:
        """Train, dev and test documents, the same for all members."""
        return self.members[0].corpus

    @property
    def steps(self) -> int:
        """Steps of all members."""
        return sum(member.steps for member in self.members)

    @property
    def seconds(self) -> float:
        """Time spent training all members."""
        return sum(member.seconds for member in self.members)

    @property
    def ending(self) -> str:
        """Which epoch's weights each member keeps, and why its training ended, in a line each."""
        return "\n".join(f"member {number}: {member.ending}" for number, member in enumerate(self.members))


class _Opening(Callback):
    """Writes configuration and vocabulary of the ensemble once those of the first member are settled."""

    def __init__(self, folder: Path, config: Config) -> None:
        self.folder, self.members = folder, config.train.members

    def on_fit_start(self, run: TrainingRun) -> None:
        """The first member is built; nothing is trained yet."""
        fitted = run.fitted
        write_config(
            self.folder, fitted.config.changed(members=self.members), fitted.spec, fitted.vocabulary, fitted.rows
        )


def fit_ensemble(
    config: Config,
    folder: Path,
    resume: bool = False,
    force: bool = False,
    callbacks: Sequence[Callback] = (),
    corpus: Corpus | None = None,
    group: Group = SINGLE_PROCESS,
) -> EnsembleRun:
    """Fit every member, from its own seed, to the same splits.

    A fit that was interrupted goes on, with `resume`, in the member where it stood; a finished ensemble may be given
    more members, or more steps for each of them.

    Args:
        config: the configuration, `config.members` of them; the others as for
            :func:`pyro_rationale.training.fit.fit_run`.
        folder: see there.
        resume: see there.
        force: see there.
        callbacks: see there; they are called in the fit of each member, and told which one starts.
        corpus: see there.
        group: must be of this process alone.

    Raises:
        ConfigError: there are several processes, or it is not the configuration of the ensemble to resume.
        RunError: the folder already holds a run, or holds none to resume.
    """
    config = config.changed(members=config.members)
    called = callbacks_of(config, callbacks)
    if not group.is_single:
        raise ConfigError("--members: they are fitted one after the other by one process; leave --devices out")
    call(called, "on_check")  # before the old run is removed; each member has callbacks of its own
    if resume:
        config = continued(config, folder)
        check_same_config(config, folder)
        if not is_finished(config, folder):
            (folder / METRICS).unlink(missing_ok=True)  # of fewer members or steps
    elif force:
        clear_run(folder)
    else:
        check_free(folder)
    if not (folder / CONFIG).exists():
        clear_members(folder)  # a kill came before the first file of the ensemble
    seed, count = config.seed, config.train.members
    done: list[TrainingRun] = []
    for number in range(count):
        call(callbacks, "on_member_start", number, count, sum(run.seconds for run in done))
        own = folder / MEMBERS / str(number)
        opening = [] if done else [_Opening(folder, config)]
        run = fit_run(
            config.changed(members=1, seed=seed + number),
            own,
            resume=(own / CONFIG).exists(),
            callbacks=[*opening, *callbacks],
            corpus=corpus,
            like=done[0] if done else None,
        )
        corpus = run.corpus
        config = run.fitted.config.changed(members=count)  # with what was chosen by the texts, for all members
        done.append(run)
    fitted = Ensemble.of([run.fitted for run in done], folder.name)
    fitted.weighting = done[0].fitted.weighting
    fitted.calibrate(done[0].corpus.dev)
    write_calibration(folder, fitted.calibration)
    return EnsembleRun(folder, done, fitted)
