"""Atomic files: JSON and tensors, written to a temporary file beside the target and then moved onto it."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyro_rationale.errors import ConfigError, RunError

if TYPE_CHECKING:
    from torch import Tensor


def user_path(path: str | os.PathLike[str]) -> Path:
    """A path as the user wrote it, with `~` and `~name` as home folders.

    Raises:
        ConfigError: there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigError(f"{path}: there is no user of that name, so no home folder; check the path") from None


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` by `content` in one step: a kill at any moment leaves the old file or the new one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def remove_leftovers(path: Path) -> None:
    """Remove what a kill in the middle of `write_bytes(path, ...)` left beside it."""
    for left in path.parent.glob(f".{path.name}.*"):
        left.unlink(missing_ok=True)


def finite(value: Any) -> Any:
    """Plain values for JSON: NaN and infinity become None, tuples lists, numbers of NumPy and torch Python's.

    Args:
        value: numbers, strings, arrays, and mappings and sequences of them.
    """
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if hasattr(value, "tolist"):
        return finite(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_json(value: Any, indent: int | None = None) -> str:
    """Strict JSON, through :func:`finite`."""
    return json.dumps(finite(value), indent=indent, ensure_ascii=False, allow_nan=False)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON; numbers that are not finite become null."""
    write_bytes(path, (to_json(value, indent=2) + "\n").encode())


def parse_json(text: str | bytes) -> Any:
    """The value that a JSON text holds.

    Raises:
        ValueError: it is no JSON in UTF-8, holds a key twice, or is nested too deeply.
    """

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            raise ValueError(f"the key {next(n for n in names if names.count(n) > 1)!r} stands there twice")
        return found

    def whole(digits: str) -> int:
        if len(digits) > 300:
            raise ValueError(f"a number of {len(digits)} digits")
        return int(digits)

    try:
        text = text.decode() if isinstance(text, bytes) else text
        return json.loads(text, object_pairs_hook=distinct, parse_int=whole)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        RunError: the file is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path}: no such file; is this a run folder of pyro_rationale.fit?") from None
    except (OSError, ValueError) as problem:
        raise RunError(f"{path}: unreadable ({problem}); fit again or restore the file") from None


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Any = None) -> None:
    """Write tensors as safetensors, with `facts` (anything JSON can hold) in the header."""
    from safetensors.torch import save  # only here: torch takes seconds to import

    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_bytes(path, save(whole, metadata={"facts": json.dumps(facts)}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], Any]:
    """The tensors, on the CPU, and the facts.

    Raises:
        RunError: the file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("facts", "null"))
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118 (not a dict)
    except FileNotFoundError:
        raise RunError(f"{path}: no such file; the run has not got so far: fit with --resume") from None
    except (OSError, ValueError, SafetensorError) as problem:
        raise RunError(f"{path}: unreadable ({problem}); fit again or restore the file") from None
