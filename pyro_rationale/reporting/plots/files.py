"""Figures as files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from pyro_rationale.errors import ConfigError
from pyro_rationale.optional import optional
from pyro_rationale.storage import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = (".png", ".svg", ".pdf")
DPI = 150


def require_matplotlib(otherwise: str = "") -> None:
    """Find out before any work whether figures can be drawn.

    Args:
        otherwise: what else the user can do, to end the message with.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        optional("matplotlib", "figures need")
    except ConfigError as problem:
        raise ConfigError(f"{problem}{otherwise}") from None


def check_figure(path: Path) -> None:
    """Find out before any work whether the figure that `--figure` names can be drawn and written.

    Raises:
        ConfigError: matplotlib is missing, the folder does not exist, or the name says no kind of figure.
    """
    require_matplotlib()
    if path.suffix.lower() not in KINDS:
        raise ConfigError(f"--figure {path}: expected a name that ends in {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--figure {path}: there is no such folder to write into; make it first")


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, which belongs to no window."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure, in the format that its name ends in, as a whole or not at all."""
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix.lstrip(".").lower(), dpi=DPI)
    write_bytes(path, content.getvalue())
