"""One pass of a frozen transformer over all texts of a fit, before its first step.

Left to the first epoch, texts would be read in the batches of the epoch, which hold texts of many lengths in no order,
and nobody could say how long it will take.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pyro_rationale.nn.features import TransformerFeatures
from pyro_rationale.nn.pretrained_folders import find_base
from pyro_rationale.storage import user_path

if TYPE_CHECKING:
    from pyro_rationale.training.run import TrainingRun

TEXTS = 64  # read at once, of like length


def read_ahead(run: TrainingRun, progress: Callable[[int, int], None]) -> None:
    """Store the states of all texts of a fit, or find them in the folder of `--cache`.

    A fit that is too short to read every training text leaves those to its steps. So do several processes without a
    common folder, each of which reads its share of a batch.

    Args:
        run: the fit.
        progress: called with the words read so far, and all.
    """
    config, corpus = run.fitted.config, run.corpus
    own = [part for part in run.fitted.guide.modules() if isinstance(part, TransformerFeatures) and part.store]
    cache, name = config.data.cache, config.model.pretrained
    if not own or name is None or not (cache or run.group.is_single):
        return
    whole = config.train.steps * config.train.batch_size >= len(corpus.train)
    splits = [part for part in (corpus.train if whole else (), corpus.dev, corpus.test if whole else ()) if part]
    for features in own:
        most, texts, words = features.store.most if features.store else 0, [], 0
        for batch in (batch for part in splits for batch in run.fitted.batches(part, TEXTS).ordered()):
            if words > most:  # further texts are read when their turn comes
                break
            read = batch.texts if batch.aspects is not None else batch
            texts.append(read.tokens)
            words += int(read.lengths.sum())
        folder = user_path(cache) if cache and whole else None
        identity = f"{find_base(name).sha256[:16]}-{run.fitted.device.type}"
        features.read_ahead(texts, folder, identity, progress)
