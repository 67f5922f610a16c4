"""Libraries that only an extra installs, imported when they are needed."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import shlex
import warnings
from typing import Any

from pyro_rationale.errors import ConfigError


def optional(name: str, purpose: str, extra: str = "viz") -> Any:
    """A module of an extra.

    Args:
        name: `matplotlib`, `arviz`, `xarray`, `h5netcdf`...
        purpose: what needs it, for the message ("figures need").
        extra: that installs it.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # ArviZ 0.23 announces its successor at every import
            return importlib.import_module(name)
    except ImportError:
        raise ConfigError(f"{purpose} {name}: {install_command(extra)}") from None


def install_command(extra: str) -> str:
    """The `pip install` line that brings what an extra needs.

    Packages are named one by one: pyro_rationale is on no index, where its name with an extra could be looked up.

    Args:
        extra: `viz`, `sklearn`, `glove` ...
    """
    packages = _requirements(extra)
    if not packages:  # a checkout that was never installed, or installed before the extra was there
        return f"pip install '.[{extra}]' in the checkout"
    return "pip install " + " ".join(map(shlex.quote, packages))


def _requirements(extra: str) -> list[str]:
    """Requirements of an extra and of the extras that it names; none where the package is not installed."""
    try:
        lines = importlib.metadata.requires("pyro_rationale") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    packages: list[str] = []
    for line in lines:
        package, _, marker = line.partition(";")
        if re.search(rf"extra == [\"']{extra}[\"']", marker) is None:
            continue
        own = re.fullmatch(r"pyro[-_]rationale\[(.*)\]", package.strip())
        packages += [p for name in own[1].split(",") for p in _requirements(name)] if own else [package.strip()]
    return packages


def arviz() -> Any:
    """ArviZ, 0.23 or 1.x.

    Raises:
        ConfigError: it is not installed.
    """
    return optional("arviz", "diagnostics of draws need")
