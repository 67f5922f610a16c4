"""Options, written once as fields of dataclasses: as flags, TOML keys, JSON values and scikit-learn parameters.

A field made by :func:`option` says what the option is for, which values it takes and where `--help` lists it. Its
name, type and default are those of the field: `text_column: str | None = None` is `--text-column TEXT`. A value from
a file or a parameter becomes the field's type by :func:`convert`, and the limits of all fields are checked by
:func:`check_fields`, which the dataclass calls from `__post_init__`.
"""

from __future__ import annotations

import functools
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from pyro_rationale.errors import ConfigError, no_choice, shown
from pyro_rationale.storage import to_json, write_json

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
BY_TEXTS = "by texts"  # a default that differs from texts to texts
LARGEST = 2**63 - 1  # whole numbers beyond it fit neither into tensors nor into arrays
NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def option(
    default: Any,
    help: str,
    *,
    choices: Iterable[str] | None = None,
    also: tuple[str, ...] = (),
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
    expected: str | None = None,
    group: str | None = None,
    common: bool = False,
    metavar: str | None = None,
    planted: Any = None,
    usual: Any = None,
) -> Any:
    """A dataclass field that describes an option.

    Args:
        default: what stands for it where it is not given; immutable. `None` with `planted`: it is chosen once the texts
            are known, and is of the field's type from then on.
        help: one line for `--help`.
        choices: names that it takes; a registry is read when it is needed, without importing what it names.
        also: names besides, listed first: `auto`.
        above: a number, or each number of a tuple, must be greater.
        least: smallest value.
        below: a number must be less.
        most: largest value.
        expected: what is expected, for the message about a number beyond the limits.
        group: heading of `--help` that it is listed under.
        common: whether `--help` shows it, and not only `--help-all`.
        metavar: what stands for its value in `--help`.
        planted: its value under the preset `planted`, where the default is to be chosen by the texts.
        usual: what is mostly chosen for it, if not that value, as `--help` shows it: a value, or `BY_TEXTS`.
    """
    if isinstance(default, (list, dict)):
        raise TypeError(f"expected an immutable default, got {default!r}")
    metadata = {
        "help": help, "choices": choices, "also": also, "above": above, "least": least, "below": below, "most": most,
        "expected": expected, "group": group, "common": common, "metavar": metavar, "planted": planted,
        "usual": usual,
    }
    return field(default=default, metadata=metadata)


def flag(name: str) -> str:
    """The flag of a field: `--text-column` for `text_column`."""
    return "--" + name.replace("_", "-")


def as_typed(name: str, value: Any) -> str:
    """An option as one types it: `--rate 0.15`, `--no-nonempty`, `--target-column look --target-column smell`."""
    if isinstance(value, bool):
        return flag(name) if value else flag(f"no_{name}")
    if isinstance(value, tuple):  # numbers stand behind one flag, names behind one each
        numbers = not any(isinstance(item, str) for item in value)
        return f"{flag(name)} {' '.join(map(str, value))}" if numbers else " ".join(as_typed(name, v) for v in value)
    return f"{flag(name)} {value:g}" if isinstance(value, float) else f"{flag(name)} {value}"


# Values.


def names(item: Field[Any]) -> tuple[str, ...] | None:
    """The names that an option takes, or `None` if it is not a choice."""
    choices = item.metadata.get("choices")
    return None if choices is None else (*item.metadata.get("also", ()), *choices)


def check_fields(instance: DataclassInstance) -> None:
    """Check every option of a dataclass against the choices and limits that its field declares.

    Raises:
        ConfigError: one is none of its choices, or beyond its limits; the message names the flag.
    """
    for item in _described(type(instance)):
        value = getattr(instance, item.name)
        if value is None and item.default is None:
            continue
        values = value if isinstance(value, tuple) else (value,)
        choices = names(item)
        if choices is not None:
            for choice in values:
                if choice not in choices and choice not in item.metadata["choices"]:
                    raise ConfigError(no_choice(flag(item.name), choice, choices))
        for number in values:
            if isinstance(number, (int, float)) and (complaint := _beyond(number, item.metadata)):
                raise ConfigError(f"{flag(item.name)}: expected {complaint}, got {shown(number)}")


_LIMITS = ("above", "least", "below", "most")


def _beyond(number: float, limits: Mapping[str, Any]) -> str | None:
    """Description of the expected number where `number` is beyond its limits, `None` where it is within."""
    above, least, below, most = (limits.get(name) for name in _LIMITS)
    low = (above is not None and not number > above) or (least is not None and not number >= least)
    high = (below is not None and not number < below) or (most is not None and not number <= most)
    usable = abs(number) <= LARGEST if isinstance(number, int) else math.isfinite(number)
    if usable and not (low or high):
        return None
    if limits.get("expected"):
        return str(limits["expected"])
    if not (low or high):
        return "a number that is finite, and no larger than 2^63 - 1 if it is whole"
    if most is not None and high and not low:
        return f"{most:g} at most"
    if below is not None:
        return f"a number between {above:g} and {below:g}" if above is not None else f"a number below {below:g}"
    return f"a number above {above:g}" if above is not None else f"a number of at least {least or 0:g}"


def convert(item: Field[Any], annotation: Any, value: Any, where: str) -> Any:
    """A value from TOML, JSON, Python or click, as the field's type: lists become tuples, NumPy's numbers plain ones.

    Args:
        item: the field.
        annotation: its type, resolved.
        value: what was given.
        where: how messages name it: a flag, a key, a parameter.

    Raises:
        ConfigError: it is of another type.
    """
    if value is None and item.default is None:
        return None
    if names(item) is not None and annotation is str and not isinstance(value, str):
        raise ConfigError(no_choice(where, value, names(item) or ()))
    return _plain(value, annotation, where)


def _plain(value: Any, annotation: Any, where: str) -> Any:
    kind = _without_none(annotation)
    if value is None and kind is not annotation:
        return None
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        value = value.item()
    whole, parts = typing.get_origin(kind), typing.get_args(kind)
    if whole is tuple:
        if isinstance(value, str) and kind is not annotation and str in typing.get_args(annotation):
            value = (value,)
        if isinstance(value, (list, tuple)) and (parts[-1] is Ellipsis or len(parts) == len(value)):
            return tuple(_plain(part, parts[0], where) for part in value)
        raise ConfigError(f"{where}: expected a list, got {shown(value)}")
    if whole is dict:
        if isinstance(value, dict):
            return {key: _plain(part, parts[1], f"{where}.{key}") for key, part in value.items()}
        raise ConfigError(f"{where}: expected names with values, got {shown(value)}")
    if kind is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST:
        return float(value)
    if kind in NAMES and (not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)):
        raise ConfigError(f"{where}: expected {NAMES[kind]}, got {shown(value)}")
    return str(value) if kind is str else value


def decode(cls: type[T], values: Mapping[str, Any], where: str = "", others: Iterable[str] = ()) -> T:
    """An instance of a dataclass from plain values; options that are missing take their defaults.

    Args:
        cls: the dataclass.
        values: by the names of its fields.
        where: put before a name in messages.
        others: names that may stand beside them, and are left alone.

    Raises:
        ConfigError: a name that is no option, or a value of another type or beyond its limits.
    """
    known, hints = {item.name: item for item in fields(cls)}, typing.get_type_hints(cls)
    for name in values.keys() - known.keys() - set(others):
        raise ConfigError(f"{where}{name}: no such option")
    return cls(**{n: convert(known[n], hints[n], v, f"{where}{n}") for n, v in values.items() if n in known})


# Flags.


class Flag(click.Option):
    """A flag with the heading that `--help` lists it under.

    Args:
        group: the heading.
        common: whether `--help` shows it, and not only `--help-all`.
    """

    def __init__(self, *args: Any, group: str, common: bool, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.group, self.common = group, common

    def get_help_extra(self, ctx: click.Context) -> Any:
        """Words in brackets behind the help text; those in place of a default without parentheses of their own."""
        extra = super().get_help_extra(ctx)
        if isinstance(self.show_default, str):
            extra["default"] = self.show_default
        return extra


def rare_option(*names: str, **settings: Any) -> Decorator:
    """A click option that only `--help-all` shows."""
    return click.option(*names, cls=Flag, group="Options", common=False, **settings)


def options_from(
    *classes: type, show_defaults: bool = True, without: Sequence[str] = (), rare: Sequence[str] = ()
) -> Decorator:
    """Decorator: a flag per described field; the function gets one instance per class, in their order.

    ::

        @click.command()
        @options_from(DataOptions)
        @click.option("--run", ...)
        def main(data: DataOptions, run: Path) -> None: ...

    The instances come first and by position, other click parameters by name. Fields without a ``help`` text
    keep their defaults and get no flag. Errors raised by a class's ``__post_init__`` reach the user as they are.

    Args:
        classes: dataclasses.
        show_defaults: name the defaults in ``--help``; not where something else stands in for them.
        without: fields that keep their defaults and get no flag, for commands that mean something else by the name.
        rare: fields whose flags only ``--help-all`` shows, for commands where they seldom matter.

    Raises:
        TypeError: two classes describe one flag, an annotation has no click type, or no class has a field that is to
            be left out.
    """
    owners: dict[str, type] = {}
    for cls in classes:
        for item in _described(cls):
            if item.name in owners:
                raise TypeError(f"{item.name} is a field of both {owners[item.name].__name__} and {cls.__name__}")
            owners[item.name] = cls
    if unknown := set(without) - set(owners):
        raise TypeError(f"no class has a flag {', '.join(sorted(unknown))} that could be left out")

    def flags_of(cls: type) -> list[Field[Any]]:
        return [item for item in _described(cls) if item.name not in without]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*args: Any, **values: Any) -> Any:
            instances: list[Any] = [
                decode(cls, {item.name: values.pop(item.name) for item in flags_of(cls)}) for cls in classes
            ]
            return function(*args, *instances, **values)

        command: Callable[..., Any] = wrapped
        for cls in reversed(classes):  # the option applied last stands first in --help
            hints = typing.get_type_hints(cls)
            for item in reversed(flags_of(cls)):
                command = _flag(cls, item, hints[item.name], show_defaults, item.name in rare)(command)
        return command

    return decorate


def given(context: click.Context | None = None) -> set[str]:
    """Names of the parameters that the user set, on the command line or by the environment."""
    context = context or click.get_current_context()
    defaults = (None, ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)
    return {name for name in context.params if context.get_parameter_source(name) not in defaults}


def with_given(base: T, flags: Any, names: set[str]) -> T:
    """`base` with the fields in `names` replaced by those of `flags`: "as in the run, except what I typed"."""
    known = {f.name for f in fields(base)}
    return replace(base, **{name: getattr(flags, name) for name in names & known})


def _described(cls: type) -> Iterator[Field[Any]]:
    """The fields that are options."""
    return (item for item in fields(cls) if item.init and "help" in item.metadata)


def _flag(cls: type, item: Field[Any], annotation: Any, show_default: bool, rare: bool = False) -> Decorator:
    """The click option of one field."""
    if item.default is MISSING:
        raise TypeError(f"field {item.name} needs a default to become a flag")
    meta, name = item.metadata, flag(item.name)
    settings: dict[str, Any] = {
        "cls": Flag,
        "default": item.default,
        "help": meta["help"],
        "metavar": meta.get("metavar"),
        "show_default": show_default and (_by_texts(item) or item.default not in (None, "", ())),
        "group": meta.get("group") or getattr(cls, "GROUP", "Options"),
        "common": bool(meta.get("common")) and not rare,
    }
    kind = _without_none(annotation)
    if kind is bool:
        return click.option(f"{name}/--no-{name[2:]}", item.name, **settings)
    if typing.get_origin(kind) is tuple:
        parts = typing.get_args(kind)
        if len(parts) == 2 and parts[1] is Ellipsis:
            settings |= {"type": _click_type(parts[0], item), "multiple": True}
        else:
            settings |= {"type": tuple(_click_type(part) for part in parts), "nargs": len(parts)}
    else:
        settings["type"] = _click_type(kind, item)
    return click.option(name, item.name, **settings)


def _by_texts(item: Field[Any]) -> str | None:
    """Default that `--help` shows of an option whose value is chosen once the texts are known; `None` of others."""
    planted, usual = item.metadata.get("planted"), item.metadata.get("usual")
    if planted is None:
        return None
    value = planted if usual is None else usual
    return ("no", "yes")[value] if isinstance(value, bool) else f"{value}"


def _without_none(annotation: Any) -> Any:
    """`X` of `X | None`; `tuple[str, ...]` of `str | tuple[str, ...] | None`, a name that may be repeated."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        kinds = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
        if kinds == [str, tuple[str, ...]]:
            return kinds[1]
        if len(kinds) != 1:
            raise TypeError(f"expected one type besides None, got {annotation}")
        return kinds[0]
    return annotation


class _Names(click.Choice[str]):
    """Names that an option takes; others that its registry knows (`package.module:function`) are looked up at once."""

    def __init__(self, item: Field[Any]) -> None:
        super().__init__(names(item) or ())
        self.registry = item.metadata["choices"]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value not in self.choices and value in self.registry:
            self.registry[value]  # typed by the user, who thereby has it imported
            return value
        return super().convert(value, param, ctx)


def _click_type(kind: Any, item: Field[Any] | None = None) -> Any:
    if item is not None and item.metadata.get("choices") is not None:
        return _Names(item)
    if typing.get_origin(kind) is typing.Literal:
        return click.Choice(typing.get_args(kind))
    if kind in (str, int, float):
        return kind
    if inspect.isclass(kind) and issubclass(kind, Path):
        return click.Path(path_type=Path)
    raise TypeError(f"no flag can hold a value of type {kind}")


# Flags that several commands have.

SPLITS = ("auto", "train", "dev", "test", "all")
STANDARD_OUTPUT = Path("-")

run_option = click.option(
    "--run", "folder", required=True, type=click.Path(path_type=Path), help="folder of a fitted run"
)
split_option = click.option(
    "--split", default="auto", show_default=True, type=click.Choice(SPLITS),
    help="auto: the test split, or all of a file that the run was not fitted on",
)
json_option = click.option(
    "--json", "json_path", type=click.Path(path_type=Path),
    help="write the results to this file; - prints them, without the table",
)
device_option = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1")
batch_size_option = click.option(
    "--batch-size", default=64, show_default=True, type=click.IntRange(min=1), help="documents at once"
)
threads_option = rare_option("--threads", type=click.IntRange(1, 1024), help="CPU threads; default: as torch chooses")


def write_result(path: Path | None, result: Any) -> None:
    """Write results as JSON to the file of `--json`, to standard output for `-`; nothing for `None`."""
    if path == STANDARD_OUTPUT:
        print(to_json(result, indent=2))
    elif path is not None:
        write_json(path, result)
