"""What the command lines share: flags made from dataclasses, and errors that end in one line.

A configuration is written once, as a dataclass whose fields carry ``metadata={"help": ..., "choices": ...,
"metavar": ..., "multiple": ...}`` (:func:`pyro_rationale.data.options.option` makes such fields). The flag's
name, type and default come from the field: ``text_column: str | None = None`` is ``--text-column TEXT``.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, Field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def options_from(*classes: type, show_defaults: bool = True, without: Sequence[str] = ()) -> Decorator:
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
            instances = [
                cls(**{f.name: _value(f, values.pop(f.name)) for f in flags_of(cls)}) for cls in classes
            ]
            return function(*args, *instances, **values)

        command: Callable[..., Any] = wrapped
        for cls in reversed(classes):  # the option applied last stands first in --help
            hints = typing.get_type_hints(cls)
            for item in reversed(flags_of(cls)):
                command = _flag(item, hints[item.name], show_defaults)(command)
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
    """The fields that are flags."""
    return (item for item in fields(cls) if item.init and "help" in item.metadata)


def _value(item: Field[Any], value: Any) -> Any:
    """What click read, as the field wants it: click gives lists for some, `None` for an absent pair."""
    return tuple(value) if isinstance(value, list) else value


def _flag(item: Field[Any], annotation: Any, show_default: bool) -> Decorator:
    """The click option of one field."""
    if item.default is MISSING:
        raise TypeError(f"field {item.name} needs a default to become a flag")
    flag = "--" + item.name.replace("_", "-")
    meta = item.metadata
    settings: dict[str, Any] = {"default": item.default, "help": meta["help"], "metavar": meta.get("metavar")}
    settings["show_default"] = show_default and item.default not in (None, "", ())
    kind = _without_none(annotation)
    if kind is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", item.name, **settings)
    if typing.get_origin(kind) is tuple:
        parts = typing.get_args(kind)
        if len(parts) == 2 and parts[1] is Ellipsis:
            settings |= {"type": _click_type(parts[0], meta), "multiple": True}
        else:
            settings |= {"type": tuple(_click_type(part, {}) for part in parts), "nargs": len(parts)}
    else:
        settings["type"] = _click_type(kind, meta)
    return click.option(flag, item.name, **settings)


def _without_none(annotation: Any) -> Any:
    """`X` of `X | None`."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        kinds = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
        if len(kinds) != 1:
            raise TypeError(f"expected one type besides None, got {annotation}")
        return kinds[0]
    return annotation


def _click_type(kind: Any, meta: Any) -> Any:
    if choices := meta.get("choices"):
        return click.Choice(tuple(choices))
    if typing.get_origin(kind) is typing.Literal:
        return click.Choice(typing.get_args(kind))
    if kind in (str, int, float):
        return kind
    if inspect.isclass(kind) and issubclass(kind, Path):
        return click.Path(path_type=Path)
    raise TypeError(f"no flag can hold a value of type {kind}")
