"""Parameters of the estimators: flags of a fit by their names, with their defaults, and errors that name them."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import Field, dataclass, fields
from typing import Any

from pyro_rationale.config import ModelOptions, TrainOptions
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import RationaleError, TrainingError
from pyro_rationale.options import check_fields, option
from pyro_rationale.training.callbacks import Callback

RENAMED = {"seed": "random_state"}
OMITTED = ("condition_on_target", "log")  # evidence of labelled texts has no place here; trackers are callbacks
OWN = ("max_words", "task", "tokenizer", "target_range", "validation_fraction", "random_state", "callbacks")


@dataclass(frozen=True)
class SplitOptions:
    """Parameters that are no flag of a fit."""

    validation_fraction: float = option(0.1, "share of the texts for early stopping", above=0, below=1,
                                        expected="a share between 0 and 1")

    def __post_init__(self) -> None:
        check_fields(self)


def class_weight_of(given: Any) -> Any:
    """`None`, a name or a mapping, as scikit-learn has it, as the flag has it."""
    if isinstance(given, Mapping):
        return ",".join(f"{label}={float(weight):.12g}" for label, weight in given.items()) or "none"
    return "none" if given is None else given


def options_of(kind: type[Any]) -> Iterator[Field[Any]]:
    """The fields that are parameters."""
    return (item for item in fields(kind) if item.name not in RENAMED and item.name not in OMITTED)


def signature() -> inspect.Signature:
    """Signature of the estimators: every option of model and training, and their own parameters."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    options = [
        inspect.Parameter(item.name, keyword, default=item.default, annotation=typing.get_type_hints(kind)[item.name])
        for kind in (ModelOptions, TrainOptions, DataOptions, SplitOptions)
        for item in options_of(kind)
        if kind is not DataOptions or item.name in OWN
    ]
    return inspect.Signature([
        inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY),
        *options,
        inspect.Parameter("random_state", keyword, default=TrainOptions().seed, annotation=Any),
        inspect.Parameter("callbacks", keyword, default=(), annotation=Sequence[Callback]),
    ])


@contextmanager
def naming_parameters() -> Iterator[None]:
    """The package's errors as scikit-learn has them: ValueErrors that name parameters, not flags."""
    try:
        yield
    except TrainingError:
        raise TrainingError("the loss is not finite; lower learning_rate") from None
    except RationaleError as problem:
        message = re.sub(r"--([a-z][a-z0-9-]*)", lambda flag: flag[1].replace("-", "_"), str(problem))
        raise ValueError(message) from None
