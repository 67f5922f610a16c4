"""Every method that is compared, by name: `fit_method(name, config, corpus, folder)` gives its :class:`Rationalizer`.

`config.model.rate` is the share of words that it may keep, `config.train.seed` its seed; networks, optimiser, batches
and steps are those of the configuration, the same for all. A folder holds one method on one corpus at one rate with
one seed; once it is finished it is read and nothing is fitted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pyro_rationale.build import starting_prior
from pyro_rationale.config import Config
from pyro_rationale.data.corpus import Corpus
from pyro_rationale.errors import ConfigError
from pyro_rationale.experiments.baselines.attention import fit_attention
from pyro_rationale.experiments.baselines.encoder_only import (
    FixedMaskRationalizer,
    FullTextMarker,
    RandomMarker,
    fit_reader,
)
from pyro_rationale.experiments.baselines.runs import fit_marker
from pyro_rationale.experiments.baselines.tfidf import fit_tfidf
from pyro_rationale.prediction.rationalizer import ModelRationalizer, Rationalizer

Fitter = Callable[[Config, Corpus, Path], Rationalizer]


@dataclass(frozen=True)
class Method:
    """A way to mark words and to predict from them.

    Attributes:
        title: for tables.
        fit: configuration, corpus, folder -> marker; returns at once where the folder holds a finished one.
        ours: whether it is one of this project's own, and not a baseline.
        steered: whether training steers to the share of words; the others rank all words and keep the top ones.
    """

    title: str
    fit: Fitter
    ours: bool = False
    steered: bool = True


# The options by which fits differ. What a method does not mention is the default, whatever the base says.
PLAIN: dict[str, Any] = {
    "estimator": "auto", "samples": None, "penalties": "exact", "norm": "l0", "condition_on_target": False,
    "control": "auto", "transitions": None, "entropy": None,
}
HARDKUMA: dict[str, Any] = {**PLAIN, "guide": "hardkuma", "tau": None}
# Lei et al. (2016): one mask, penalties as part of the sampled cost, no baseline, no entropy. Their rate is held by
# this package's control of it, as that of all fits: they tune lambda1 by hand.
PAPER: dict[str, Any] = {"estimator": "reinforce", "samples": 1, "penalties": "sampled", "tau": 0.0}


def _run(name: str, title: str, ours: bool = False, **flags: Any) -> Method:
    return Method(title, partial(_fit_run, name, {**PLAIN, **flags}), ours)


def _fit_run(name: str, flags: dict[str, Any], config: Config, corpus: Corpus, folder: Path) -> Rationalizer:
    return fit_marker(name, config, flags, corpus, folder)


def _steered_changes(config: Config, corpus: Corpus, folder: Path) -> Rationalizer:
    """HardKuma with both constraints of its authors: words kept, and changes of the mask, as rate and span say."""
    span = starting_prior(config, 1.0).span
    # A run of kept words has two changes, and there are rate / span runs to a word.
    flags = HARDKUMA | {"transitions": 2.0 * config.model.rate / span}
    return _fit_run("hardkuma-changes", flags, config, corpus, folder)


def _full_text(config: Config, corpus: Corpus, folder: Path) -> Rationalizer:
    return _named("full-text", FullTextMarker(fit_reader("full-text", "full", config, corpus, folder)))


def _random(config: Config, corpus: Corpus, folder: Path) -> Rationalizer:
    fitted = fit_reader("random", "random", config, corpus, folder)
    return _named("random", RandomMarker(fitted, config.model.rate, config.seed))


def _attention(kind: str, name: str, config: Config, corpus: Corpus, folder: Path) -> Rationalizer:
    return fit_attention(name, kind, config, corpus, folder)


def _fresh(config: Config, corpus: Corpus, folder: Path) -> Rationalizer:
    """The two fits of Jain et al. (2020): what soft attention marks, and a reader that has seen nothing else."""
    marker = fit_attention("soft-attention", "soft", config, corpus, folder / "marker")
    chosen = (marker.masks(corpus.train), marker.masks(corpus.dev))
    fitted = fit_reader("fresh", "given", config, corpus, folder / "reader", chosen)
    return _named("fresh", FixedMaskRationalizer(fitted, marker))


def _named(name: str, marker: ModelRationalizer) -> ModelRationalizer:
    marker.name = name
    return marker


def _ranked(title: str, fit: Fitter) -> Method:
    return Method(title, fit, steered=False)


METHODS: dict[str, Method] = {
    "chain": _run("chain", "chain guide", ours=True, guide="chain"),
    "relaxed": _run("relaxed", "relaxed guide", ours=True, guide="relaxed"),
    "independent": _run("independent", "independent guide", ours=True, guide="independent"),
    "recurrent": _run("recurrent", "recurrent guide", ours=True, guide="recurrent"),
    "hardkuma": _run("hardkuma", "HardKuma (Bastings et al. 2019)", **HARDKUMA),
    "hardkuma-changes": Method("HardKuma, changes steered as well (Bastings et al. 2019)", _steered_changes),
    "reinforce-independent": _run(
        "reinforce-independent", "REINFORCE, independent (Lei et al. 2016)", guide="independent", **PAPER
    ),
    "reinforce-recurrent": _run(
        "reinforce-recurrent", "REINFORCE, recurrent (Lei et al. 2016)", guide="recurrent", **PAPER
    ),
    "budget": _ranked("budgeted top-k (SPECTRA without pairs)", partial(_attention, "budget", "budget")),
    "soft-attention": _ranked("soft attention, top words", partial(_attention, "soft", "soft-attention")),
    "sparse-attention": _ranked("1.5-entmax attention, top words", partial(_attention, "sparse", "sparse-attention")),
    "hard-attention": _ranked("hard attention, top words", partial(_attention, "hard", "hard-attention")),
    "fresh": _ranked("soft attention, top words, read by a reader of their own (FRESH)", _fresh),
    "tfidf": _ranked("tf-idf, linear, top words", partial(fit_tfidf, "tfidf")),
    "random": _ranked("random words", _random),
    "full-text": _ranked("full text", _full_text),
}


def fit_method(name: str, config: Config, corpus: Corpus, folder: Path) -> Rationalizer:
    """Fit a method, or read it from its folder if it is finished; a fit that was cut short goes on.

    Args:
        name: a key of `METHODS`.
        config: its `model.rate` is the target share of words, its `train.seed` the seed; `data` must be what the
            corpus was read with.
        corpus: train and dev documents to fit on. Test documents are never looked at in order to choose anything.
        folder: of this method, corpus, rate and seed alone.

    Raises:
        ConfigError: no such method, penalties in place of a rate, or a folder of other options.
        RunError: the folder is damaged.
    """
    if name not in METHODS:
        raise ConfigError(f"{name}: no such method; there are {', '.join(METHODS)}")
    return METHODS[name].fit(config, corpus, folder)
