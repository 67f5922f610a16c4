"""Libraries that only an extra installs, imported when they are needed."""

from __future__ import annotations

import importlib
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
        raise ConfigError(f"{purpose} {name}: pip install 'pyro_rationale[{extra}]'") from None


def arviz() -> Any:
    """ArviZ, 0.23 or 1.x.

    Raises:
        ConfigError: it is not installed.
    """
    return optional("arviz", "diagnostics of draws need")
