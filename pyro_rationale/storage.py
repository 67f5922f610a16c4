"""Atomic files: JSON, tensors and others, written to a temporary file beside the target and then moved onto it.

The files of a run are *listed*: `manifest.json` beside them holds their digests, and whoever reads a listed file checks
it. A new content is listed, beside the old one, before the file is replaced, so that a kill at any moment leaves a file
that is listed. Folders without a manifest, those of older versions, are read unchecked.
"""

from __future__ import annotations

import glob
import hashlib
import json
import math
import os
import secrets
import tomllib
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyro_rationale.errors import ConfigError, RunError, shown

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK = 1 << 20  # bytes that are read at once
MANIFEST = "manifest.json"
MANIFEST_FORMAT = "pyro_rationale manifest 1"


def user_path(path: str | os.PathLike[str]) -> Path:
    """A path as the user wrote it, with `~` and `~name` as home folders.

    Raises:
        ConfigError: there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigError(f"{path}: there is no user of that name, so no home folder; check the path") from None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Context that gives an empty file beside `path`, to be filled, and moves it onto `path` at the end, in one step.

    A kill at any moment leaves the old file or the new one. After an error the old one stands; an error of the
    operating system that names no file, such as a full disk, names `path`. A device or a pipe is written into.
    """
    special = path.exists() and not (path.is_file() or path.is_dir())
    partial = path if special else path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        partial.touch(exist_ok=special)  # with the permissions that umask leaves
        yield partial
        if not special:
            handle = os.open(partial, os.O_RDWR)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
            os.replace(partial, path)
    except BaseException as problem:
        if not special:
            partial.unlink(missing_ok=True)
        if isinstance(problem, OSError) and problem.filename == str(partial):
            problem.filename = None
        with naming(path):
            raise


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Context in which an error of the operating system that names no file, such as a full disk, names `path`."""
    try:
        yield
    except OSError as problem:
        if problem.errno and problem.filename is None:
            raise OSError(problem.errno, os.strerror(problem.errno), str(path)) from problem
        raise


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Context that holds a lock, the file `path`, which is made and removed again; `False` where another has it.

    The system releases a lock when its process ends, also by a kill; a file that is left over locks nothing. Where
    locking is impossible, as in a folder that cannot be written to, work goes on without a lock.
    """
    from filelock import FileLock, Timeout  # only here: few commands write what others may be writing

    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
        free = True
    except Timeout:
        free = False
    except (OSError, NotImplementedError):
        free = True
    try:
        yield free
    finally:
        if lock.is_locked:
            with suppress(OSError):  # Windows removes no open file; filelock does it there
                path.unlink(missing_ok=True)  # while it is held: afterwards it might be that of another process
            lock.release()


def write_bytes(path: Path, content: bytes, listed: bool = False) -> None:
    """Replace `path` by `content` in one step: a kill at any moment leaves the old file or the new one.

    Args:
        path: the file.
        content: what it will hold.
        listed: list it in the manifest of its folder.
    """
    if listed:
        _list(path, content)
    with replacing(path) as partial:
        partial.write_bytes(content)


def remove_leftovers(path: Path) -> None:
    """Remove what a kill in the middle of `replacing(path)` left beside it."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        left.unlink(missing_ok=True)


def content_of(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        OSError: it cannot be read, or is a pipe or a device, which could make us wait, or never end.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError("a pipe or a device, not a regular file")
    return path.read_bytes()


def checksum(path: Path, size: int | None = None) -> int:
    """CRC-32 of a file, or of its first `size` bytes."""
    value, left = 0, path.stat().st_size if size is None else size
    with path.open("rb") as file:
        while block := file.read(min(left, _BLOCK)):
            value, left = zlib.crc32(block, value), left - len(block)
    return value


# The manifest of a folder.


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder: `files`, the digests that each file may have, and `notes` on the folder.

    Raises:
        RunError: it is damaged.
    """
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = parse_json(content_of(path))
        if manifest["format"] != MANIFEST_FORMAT:
            raise ValueError(f"of format {shown(manifest['format'])}, not {MANIFEST_FORMAT!r}")
        if not isinstance(manifest["notes"], dict) or not all(isinstance(d, list) for d in manifest["files"].values()):
            raise ValueError("not a list of digests for each file")
    except FileNotFoundError:
        return {"format": MANIFEST_FORMAT, "files": {}, "notes": {}}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        remedy = "restore it, or delete it to take the files beside it as they are"
        raise RunError(f"{path}: no list of the files of a run ({problem}); {remedy}") from None
    return manifest


def note(folder: Path, **notes: Any) -> None:
    """Keep something, anything that JSON can hold, in the manifest of a folder."""
    manifest = read_manifest(folder)
    if any(manifest["notes"].get(name) != value for name, value in notes.items()):
        write_json(folder / MANIFEST, {**manifest, "notes": manifest["notes"] | notes})


def check_listed(path: Path) -> None:
    """Refuse a file that differs from what its folder's manifest lists; others are accepted.

    Raises:
        RunError: another file stands in its place, or the manifest is damaged.
    """
    if path.exists() and not path.is_file():
        raise RunError(f"{path}: unreadable (not a regular file); fit again or restore the file")
    digests = read_manifest(path.parent)["files"].get(path.name)
    if digests is not None and path.exists() and _digest(path) not in digests:
        remedy = f"restore it, or delete {MANIFEST} beside it to take the files as they are"
        raise RunError(f"{path}: not the file that the run wrote, for its digest is another; {remedy}")


def _list(path: Path, content: bytes) -> None:
    """List the digest that a file will have, beside the one that it has."""
    manifest = read_manifest(path.parent)
    now = [_digest(path)] if path.is_file() else []
    new = hashlib.blake2b(content, digest_size=16).hexdigest()
    if now != [new] or new not in manifest["files"].get(path.name, ()):
        write_json(path.parent / MANIFEST, {**manifest, "files": manifest["files"] | {path.name: [new, *now]}})


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


# JSON.


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


def write_json(path: Path, value: Any, listed: bool = False) -> None:
    """Write `value` as indented JSON; numbers that are not finite become null. See :func:`write_bytes`."""
    write_bytes(path, (to_json(value, indent=2) + "\n").encode(), listed)


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
    """Read JSON, listed or not.

    Raises:
        RunError: the file is missing, damaged, or not the one that is listed.
    """
    try:
        check_listed(path)
        return parse_json(path.read_bytes())
    except FileNotFoundError:
        raise RunError(f"{path}: no such file; is this a run folder of pyro_rationale.fit?") from None
    except (OSError, ValueError) as problem:
        raise RunError(f"{path}: unreadable ({problem}); fit again or restore the file") from None


def read_toml(path: Path, where: str = "", remedy: str = "name a TOML file") -> dict[str, Any]:
    """Contents of a TOML file, with or without a byte order mark.

    Args:
        path: of the file.
        where: what messages begin with; default: the path.
        remedy: what to do where it cannot be read.

    Raises:
        ConfigError: it cannot be read, or is not TOML.
    """
    where = where or str(path)
    try:
        return tomllib.loads(content_of(path).decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise ConfigError(f"{where}: cannot be read ({reason}); {remedy}") from None
    except tomllib.TOMLDecodeError as problem:
        raise ConfigError(f"{where}: not TOML ({problem})") from None
    except RecursionError:
        raise ConfigError(f"{where}: not TOML of options (nested too deeply)") from None


# Tensors.


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Any = None, listed: bool = False) -> None:
    """Write tensors as safetensors, with `facts` (anything JSON can hold) in the header. See :func:`write_bytes`."""
    from safetensors.torch import save  # only here: torch takes seconds to import

    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_bytes(path, save(whole, metadata={"facts": json.dumps(facts)}), listed)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], Any]:
    """The tensors, on the CPU, and the facts.

    Raises:
        RunError: the file is missing, damaged, or not the one that is listed.
    """
    from safetensors import SafetensorError, safe_open

    try:
        check_listed(path)
        with safe_open(path, framework="pt") as file:
            facts = parse_json((file.metadata() or {}).get("facts", "null"))
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118 (not a dict)
    except FileNotFoundError:
        raise RunError(f"{path}: no such file; the run has not got so far: fit with --resume") from None
    except (OSError, ValueError, SafetensorError) as problem:
        raise RunError(f"{path}: unreadable ({problem}); fit again or restore the file") from None
