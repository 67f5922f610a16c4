"""Things found by name: guides, corpora, encoders, estimators, tasks, metrics and the like.

A folder of the package is a registry: each of its public modules registers one thing, under the module's own name
(`sum_and_sample.py` is `sum-and-sample`), by a module-level name `REGISTERED`. Modules whose name begins with an
underscore hold what the others share. Another package adds to a registry through an entry point, whose name is the
thing's and whose object is the thing::

    [project.entry-points."pyro_rationale.guides"]
    flip = "my_package.flip:FlipGuide"

Names are listed without importing any module; a module is imported when its thing is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from typing import Any, Generic, TypeVar

from pyro_rationale.errors import ConfigError, no_choice

T = TypeVar("T")
ENTRY = "REGISTERED"


def lazy_names(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """A `__getattr__` for a package whose names are imported when they are first used (PEP 562).

    Args:
        package: its `__name__`.
        modules: for each of its modules, the names that it defines, with spaces between them.
    """
    module_of = {name: module for module, names in modules.items() for name in names.split()}

    def find(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{module_of[name]}"), name)

    return find


class Registry(MutableMapping[str, T], Generic[T]):
    """A dictionary of named extensions (guides, encoders, metrics, ...), each imported when it is first looked up.

    A notebook adds one with `GUIDES["flip"] = FlipGuide`, and takes it back with `del GUIDES["flip"]`.

    Args:
        group: the last part of the entry points' group: `guides` for `pyro_rationale.guides`.
        package: the folder whose public modules register things.
        flag: how a command line names such a thing, for error messages: `--guide`.
        first: names to list first, in this order; the others follow by the alphabet, those of other packages last.

    Raises:
        ConfigError: on a name that is not registered, or whose package cannot be imported.
    """

    def __init__(self, group: str, package: str, flag: str, first: tuple[str, ...] = ()) -> None:
        self.group, self.package, self.flag, self.first = group, package, flag, first
        self._loaded: dict[str, T] = {}
        self._added: dict[str, T] = {}  # by assignment, in this process

    @cached_property
    def _modules(self) -> dict[str, str]:
        """Module of each of our own things, by the thing's name."""
        here = sorted(entry.name.removesuffix(".py") for entry in files(self.package).iterdir())
        names = [name for name in here if name.isidentifier() and not name.startswith("_")]
        modules = {name.replace("_", "-"): f"{self.package}.{name}" for name in names}
        return {name: modules.pop(name) for name in self.first if name in modules} | modules

    @cached_property
    def _plugins(self) -> dict[str, EntryPoint]:
        """Entry points of other packages by name; ours come first, and cannot be replaced."""
        points = entry_points(group=f"pyro_rationale.{self.group}")
        return {point.name: point for point in points if point.name not in self._modules}

    def __iter__(self) -> Iterator[str]:
        yield from dict.fromkeys((*self._modules, *self._plugins, *self._added))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in self._modules or name in self._plugins or name in self._added

    def __setitem__(self, name: str, thing: T) -> None:
        self._added[name] = thing

    def __delitem__(self, name: str) -> None:
        del self._added[name]

    def __getitem__(self, name: str) -> T:
        if name in self._added:
            return self._added[name]
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def get(self, name: str, default: Any = None) -> Any:
        """The thing of that name, or `default` where the name is not registered."""
        return self[name] if name in self else default  # noqa: SIM401  this is `get`

    def _load(self, name: str) -> T:
        if name in self._modules:
            thing: T = getattr(import_module(self._modules[name]), ENTRY)
            return thing
        if name in self._plugins:
            point = self._plugins[name]
            try:
                plugin: T = point.load()
            except (ImportError, AttributeError) as problem:
                raise ConfigError(f"{self.flag} {name}: {point.value} cannot be imported ({problem})") from problem
            return plugin
        raise ConfigError(self.unknown(name))

    def check(self, name: str) -> None:
        """Refuse a name that is not registered, without importing anything.

        Raises:
            ConfigError: the name is unknown; the message lists those that are known.
        """
        if name not in self:
            raise ConfigError(self.unknown(name))

    def unknown(self, name: str) -> str:
        """The message about a name that is not registered."""
        return no_choice(self.flag, name, self)

    def source(self, name: str) -> Any:
        """Module that registers a thing of ours, or the entry point's value; for documentation."""
        return self._modules[name] if name in self._modules else self._plugins[name].value
