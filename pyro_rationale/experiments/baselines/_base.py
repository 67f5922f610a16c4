"""The record that a baseline registers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from pyro_rationale.prediction.rationalizer import Rationalizer


def _needs_nothing() -> None:
    """All that the method needs is there."""


@dataclass(frozen=True)
class Baseline:
    """A way to mark words and to predict from them, by which rationale models are compared.

    Attributes:
        title: name for tables.
        fit: takes a configuration, a corpus and a folder (a path). It fits on the training and development documents
            of the corpus into the folder, reads the folder if it is finished, and resumes a fit that was interrupted.
            `config.model.rate` is the share of words that may be kept, `config.train.seed` the seed; networks,
            optimiser, batches and steps are those of the configuration, unless `reads` says otherwise.
            A folder holds one method on one corpus at one rate with one seed. Raises ConfigError if the folder holds a
            fit of other options, RunError if it is damaged.
        encoder_only: whether its folder holds an encoder that was trained on masks from elsewhere, and so can judge
            the rationales of other methods.
        settings: options of its own that benchmarks may set, a dataclass whose fields are made by
            :func:`pyro_rationale.options.option`; an instance is then the fourth argument of `fit`, which may be left
            out.
        reads: options of the configuration that `fit` reads, besides rate and seed; `None` for all.
        keeps_words: whether it marks single words whatever the text, so that masks over sentences and words to leave
            out are not for it.
        check_installed: raises ConfigError if a library is missing that `fit` needs.
    """

    title: str
    fit: Callable[..., Rationalizer]
    encoder_only: bool = False
    settings: type[DataclassInstance] | None = None
    reads: tuple[str, ...] | None = None
    keeps_words: bool = False
    check_installed: Callable[[], object] = _needs_nothing
