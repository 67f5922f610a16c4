"""HardKuma with both constraints of its authors: words kept, and changes of the mask, as rate and span say."""

from __future__ import annotations

from pathlib import Path

from pyro_rationale.build import starting_prior
from pyro_rationale.config import Config
from pyro_rationale.data.corpus import Corpus
from pyro_rationale.experiments.baselines._base import Baseline
from pyro_rationale.experiments.baselines._run import fit_trained
from pyro_rationale.experiments.baselines.hardkuma import OPTIONS
from pyro_rationale.prediction.rationalizer import Rationalizer


def fit_hardkuma_changes(config: Config, corpus: Corpus, folder: Path) -> Rationalizer:
    """A fit that is steered to the changes per word of runs of `span` words at the share `rate`."""
    span = starting_prior(config, 1.0).span
    # A run of kept words has two changes, and there are rate / span runs to a word.
    options = OPTIONS | {"transitions": 2.0 * config.model.rate / span}
    return fit_trained("hardkuma-changes", options, config, corpus, folder)


REGISTERED = Baseline("HardKuma, changes steered as well (Bastings et al. 2019)", fit_hardkuma_changes)
