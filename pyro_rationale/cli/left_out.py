"""Words that a pretrained transformer could not read: a line at the end of fit, evaluate, explain and predict."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyro_rationale.fitted import FittedModel

log = logging.getLogger(__name__)


@contextmanager
def telling_left_out(fitted: FittedModel) -> Iterator[None]:
    """A warning at the end where words were read in part, or not at all, in between."""
    before = left_out(fitted)
    yield
    pieces, words = (now - then for now, then in zip(left_out(fitted), before, strict=True))
    told = []
    if pieces:
        told.append(f"{pieces:,} pieces of words that were to be read, of whole texts too, did not fit into the "
                    "transformer, and were left out; fit with a lower --max-words, or --rate")  # fmt: skip
    if words:
        told.append(f"{words:,} different words are so long that only their first pieces were read; --tokenizer or "
                    "cleaner texts may cut them")  # fmt: skip
    if told:
        log.warning("%s", ". ".join(told))


def left_out(fitted: FittedModel) -> tuple[int, int]:
    """Pieces of kept words that did not fit, in all masks read so far, and different words too long to be read whole.

    Both are 0 without a pretrained transformer.
    """
    parts: set[Any] = {*fitted.model.modules(), *fitted.guide.modules()}
    tables = {part.pieces for part in parts if hasattr(part, "pieces")}
    return sum(getattr(part, "cut_pieces", 0) for part in parts), sum(getattr(table, "cut", 0) for table in tables)
