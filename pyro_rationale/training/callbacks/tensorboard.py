"""TensorBoard: event files in the run folder, so that `tensorboard --logdir runs` finds those of all runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyro_rationale.optional import optional
from pyro_rationale.training.callbacks._tracker import Tracker
from pyro_rationale.training.run_folder import TENSORBOARD


class TensorBoard(Tracker):
    """Writes the figures of a fit as TensorBoard's event files.

    Args:
        folder: for the files; default: `tensorboard` in the run folder. Fits of the scikit-learn interface leave no run
            folder behind: name one there.
    """

    NAME, OPENED = "tensorboard", ("writer",)

    def __init__(self, folder: str | Path | None = None) -> None:
        super().__init__()
        self.folder = folder
        optional("tensorboard", "--log tensorboard needs", "tensorboard")

    def open(self, name: str, options: Mapping[str, Any], folder: Path, known: str | None, step: int) -> str:
        """Open the event file; figures behind `step`, of a session that was killed, are purged."""
        from torch.utils.tensorboard import SummaryWriter

        place = Path(self.folder) if self.folder is not None else folder / TENSORBOARD
        purge = step + 1 if known is not None else None
        self.writer: Any = SummaryWriter(str(place), purge_step=purge)
        if known is None:
            rows = "\n".join(f"| {option} | {value} |" for option, value in options.items())
            self.writer.add_text("options", f"| option | value |\n|---|---|\n{rows}", step)
        return name

    def write(self, figures: Mapping[str, float], step: int) -> None:
        """Write a scalar for each figure."""
        for name, value in figures.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def close(self, state: str) -> None:
        """Close the file."""
        self.writer.close()


REGISTERED = TensorBoard
