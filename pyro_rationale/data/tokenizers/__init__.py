"""Tokenizers by name: each public module here registers one; `package.module:function` names one of the user's own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from pyro_rationale.errors import ConfigError
from pyro_rationale.registry import Registry

TRUSTED = "PYRO_RATIONALE_TOKENIZER"
"""Environment variable: the tokenizer that run folders may import."""

Tokens = tuple[tuple[str, ...], tuple[tuple[int, int], ...]]


class Tokenizer(Protocol):
    """A callable that splits a text into the tokens that a model reads.

    Attributes:
        version: changes with the rules, so that cached tokens of other rules are not used.
    """

    @property
    def version(self) -> str:
        """A string that changes with the rules."""
        ...

    def __call__(self, text: str, limit: int | None = None) -> Tokens:
        """Split a text.

        Args:
            text: any string; the empty one has no tokens.
            limit: return no more than the first so many tokens.

        Returns:
            The tokens, and for each the `(start, end)` characters of `text` that it stands for.
        """
        ...


@dataclass(frozen=True)
class FunctionTokenizer:
    """A function of the user's own as a tokenizer.

    Attributes:
        name: for messages.
        function: returns the words of a text in their order; or pairs of a word and its `(start, end)` characters,
            where a word is not spelled as in the text. Words that are blank are left out, the others taken as they are.
        version: see :class:`Tokenizer`.
    """

    name: str
    function: Callable[[str], Iterable[Any]]
    version: str

    def __call__(self, text: str, limit: int | None = None) -> Tokens:
        """The tokens of a text, see :class:`Tokenizer`.

        Raises:
            ConfigError: the function fails, or returns something else or words that are not in the text.
        """
        try:
            pairs = list(islice(self._pairs(text), limit))
        except ConfigError:
            raise
        except Exception as problem:  # of code that is not ours
            what = f"{type(problem).__name__}: {problem}"
            raise ConfigError(f"--tokenizer {self.name}: fails on the text {text[:40]!r} ({what})") from problem
        return tuple(word for word, _ in pairs), tuple(span for _, span in pairs)

    def _pairs(self, text: str) -> Iterable[tuple[str, tuple[int, int]]]:
        position = 0
        for item in self.function(text):
            if isinstance(item, str):
                if not item.strip():
                    continue
                start = text.find(item, position)
                word, span = item, (start, start + len(item))
            else:
                word, span = self._pair(item)
            if not position <= span[0] < span[1] <= len(text):
                raise ConfigError(
                    f"--tokenizer {self.name}: returned {word!r}, which is not in the text from character {position} "
                    "on; return pairs of a word and its (start, end) if it is spelled otherwise"
                )
            position = span[1]
            yield word, span

    def _pair(self, item: Any) -> tuple[str, tuple[int, int]]:
        match item:
            case (str(word), (int(start), int(end))) if word:
                return word, (start, end)
        raise ConfigError(f"--tokenizer {self.name}: expected words, or pairs of a word and (start, end), got {item!r}")


class TokenizerRegistry(Registry[Tokenizer]):
    """Tokenizers by name, and functions by `package.module:function`, imported when they are first asked for."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or _is_path(name)

    def __setitem__(self, name: str, thing: Any) -> None:
        super().__setitem__(name, _adapted(name, thing))

    def _load(self, name: str) -> Tokenizer:
        if super().__contains__(name) or not _is_path(name):
            return _adapted(name, super()._load(name))
        module, _, attribute = name.partition(":")
        try:
            thing: Any = import_module(module)
            for part in attribute.split("."):
                thing = getattr(thing, part)
        except Exception as problem:  # of code that is not ours
            raise ConfigError(
                f"--tokenizer {name}: cannot be imported ({problem}); a module of the current folder is found with "
                "PYTHONPATH=."
            ) from problem
        return _adapted(name, thing)

    def check_trusted(self, name: str, folder: str | os.PathLike[str]) -> None:
        """Refuse to call what a folder names, unless the user has named it, in this process or by `TRUSTED`.

        That its module is imported says nothing: `os:system` would be called with the texts.

        Args:
            name: a tokenizer.
            folder: a file or folder that names it.

        Raises:
            ConfigError: it is a function that nobody but the folder asks for.
        """
        if super().__contains__(name) or not _is_path(name):
            return
        if name not in self._loaded and os.environ.get(TRUSTED) != name:
            raise ConfigError(
                f"{folder}: texts were cut by --tokenizer {name}, code that a run folder may not import by itself; if "
                f"you trust it, set {TRUSTED}={name}"
            )


def _is_path(name: object) -> bool:
    if not isinstance(name, str):
        return False
    parts = name.split(":")
    return len(parts) == 2 and all(part.isidentifier() for half in parts for part in half.split("."))


def _adapted(name: str, thing: Any) -> Tokenizer:
    """A tokenizer as it is; a class of them made; a function wrapped."""
    if isinstance(thing, type):
        thing = thing()
    if not callable(thing):
        raise ConfigError(f"--tokenizer {name}: expected a function, got {type(thing).__name__}")
    if hasattr(thing, "version"):
        tokenizer: Tokenizer = thing
        return tokenizer
    return FunctionTokenizer(name, thing, _version_of(name, thing))


def _version_of(name: str, function: Any) -> str:
    """Changes with the file that defines a function, and with the release of its package."""
    file = getattr(sys.modules.get(getattr(function, "__module__", "")), "__file__", None)
    try:
        facts = Path(file).stat() if file else None
    except OSError:
        facts = None
    return f"{name} {facts.st_size} {facts.st_mtime_ns}" if facts else name


TOKENIZERS = TokenizerRegistry("tokenizers", __name__, "--tokenizer", ("unicode", "words"))
