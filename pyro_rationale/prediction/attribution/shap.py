"""SHAP (Lundberg and Lee 2017) by its partition explainer: Owen values of a tree of neighbouring words."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyro_rationale.prediction.attribution._base import AttributionMethod, Subject, library
from pyro_rationale.tasks import Numbers

BATCH = 64  # masks that are read at once


def compute(subject: Subject, evaluations: int) -> Numbers:
    """Owen values of the words for each target."""
    words = len(subject.words)
    if words == 1:  # no tree
        return subject.read([[True]]) - subject.read([[False]])
    text = " ".join(subject.words)
    offsets: list[tuple[int, int]] = []
    for word in subject.words:
        start = offsets[-1][1] + 1 if offsets else 0
        offsets.append((start, start + len(word)))

    def tokenizer(given: str, return_offsets_mapping: bool = True) -> dict[str, Any]:
        """Numbers of the words, from 1; the library asks about an empty text, too."""
        some = words if given == text else 0
        return {"input_ids": list(range(1, some + 1)), "offset_mapping": offsets[:some]}

    shap = library("shap", "shap")
    masker = shap.maskers.Text(tokenizer, mask_token=0, collapse_mask_token=False, output_type="token_ids")
    explainer = shap.explainers.Partition(lambda numbers: subject.read(np.asarray(numbers) > 0), masker)
    found = explainer([text], max_evals=evaluations, batch_size=BATCH, silent=True)
    return np.asarray(found.values[0], dtype=float).reshape(words, -1)


REGISTERED = AttributionMethod("SHAP, partition", "shap", "shap", 500, compute)
