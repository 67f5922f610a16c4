"""Options declared on fields: choices, limits, and values from files and from Python."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from pyro_rationale.config import Config, ModelOptions, TrainOptions
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import ConfigError, shown
from pyro_rationale.guides import GUIDES, IndependentGuide
from pyro_rationale.options import as_typed, check_fields, decode, option

NUMBER = "a number that is finite, and no larger than 2^63 - 1 if it is whole"


@dataclass(frozen=True)
class Some:
    share: float = option(0.5, "a share", above=0, below=1, expected="a share between 0 and 1")
    size: int = option(3, "a size", above=0, most=8)
    count: int | None = option(None, "a count", least=0)
    levels: tuple[float, ...] = option((0.1,), "levels", above=0, below=1)
    colour: str = option("red", "a colour", choices=("red", "blue"), also=("auto",))
    quick: bool = option(False, "be quick")
    bare: float = option(0.0, "a number without limits")

    def __post_init__(self) -> None:
        check_fields(self)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"share": 1.0}, "--share: expected a share between 0 and 1, got 1.0"),
        ({"share": float("nan")}, "--share: expected a share between 0 and 1, got nan"),
        ({"size": 0}, "--size: expected a number above 0, got 0"),
        ({"size": 9}, "--size: expected 8 at most, got 9"),
        ({"count": -1}, "--count: expected a number of at least 0, got -1"),
        ({"count": 2**63}, f"--count: expected {NUMBER}, got 9223372036854775808"),
        ({"bare": 10**400}, f"--bare: expected {NUMBER}, got {shown(10**400)}"),
        ({"bare": math.inf}, f"--bare: expected {NUMBER}, got inf"),
        ({"levels": (0.5, 2.0)}, "--levels: expected a number between 0 and 1, got 2.0"),
        ({"colour": "rad"}, "--colour: expected one of auto, red, blue, got 'rad'; did you mean red?"),
    ],
)
def test_choices_and_limits_are_those_of_the_field(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Some(**values)
    assert str(caught.value) == message


def test_values_become_the_types_of_the_fields() -> None:
    given = {"share": np.float32(0.5), "size": np.int64(4), "levels": [0.2, np.float64(0.3)], "count": None}
    some = decode(Some, given)
    assert some == Some(0.5, 4, None, (0.2, 0.3))
    assert [type(value) for value in (some.share, some.size, *some.levels)] == [float, int, float, float]
    assert type(decode(ModelOptions, {"tau": 1}).tau) is float


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 4.5}, "x.size: expected a whole number, got 4.5"),
        ({"size": True}, "x.size: expected a whole number, got True"),
        ({"share": "much"}, "x.share: expected a number, got 'much'"),
        ({"quick": 1}, "x.quick: expected true or false, got 1"),
        ({"levels": 0.2}, "x.levels: expected a list, got 0.2"),
        ({"colour": 3}, "x.colour: expected one of auto, red, blue, got 3"),
        ({"share": None}, "x.share: expected a number, got None"),
        ({"share": 10**400}, f"x.share: expected a number, got {shown(10**400)}"),
        ({"weight": 1}, "x.weight: no such option"),
    ],
)
def test_values_of_another_type_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        decode(Some, values, "x.")
    assert str(caught.value) == message


def test_choices_of_a_registry_are_those_of_the_moment() -> None:
    with pytest.raises(ConfigError, match="--guide: expected one of independent"):
        ModelOptions(guide="mine")
    GUIDES["mine"] = IndependentGuide
    try:
        assert ModelOptions(guide="mine").guide == "mine"
    finally:
        del GUIDES["mine"]


def test_a_configuration_is_changed_in_whichever_part() -> None:
    config = Config().changed(documents=30, guide="chain", seed=4)
    assert config == Config(DataOptions(documents=30), ModelOptions(guide="chain"), TrainOptions(seed=4))
    assert config.changed(guide="relaxed").changed(guide="chain") == config
    with pytest.raises(ConfigError, match="no option of a fit is called colour"):
        config.changed(colour="red")
    with pytest.raises(ConfigError, match="--estimator relaxed does not go with --guide chain"):
        config.changed(estimator="relaxed")


@pytest.mark.parametrize("kind", [DataOptions, ModelOptions, TrainOptions])
def test_defaults_obey_their_own_limits(kind: type[Any]) -> None:
    assert decode(kind, vars(kind())) == kind()


def test_options_as_they_are_typed() -> None:
    values: dict[str, Any] = {"rate": 0.15, "nonempty": False, "quick": True}
    values |= {"target_column": ("look", "smell"), "target_range": (0, 5)}
    assert [as_typed(*item) for item in values.items()] == [
        "--rate 0.15", "--no-nonempty", "--quick", "--target-column look --target-column smell", "--target-range 0 5"
    ]
