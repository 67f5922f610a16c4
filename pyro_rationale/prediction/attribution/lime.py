"""LIME (Ribeiro, Singh and Guestrin 2016): a linear model of the predictions from random parts of the text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyro_rationale.prediction.attribution._base import AttributionMethod, Subject, library
from pyro_rationale.tasks import Numbers


def compute(subject: Subject, evaluations: int) -> Numbers:
    """Weights of the words in the linear model of each target."""
    words = len(subject.words)
    # The library cuts strings into words: it is given the words' numbers, and leaves some of them out.
    numbered = " ".join(map(str, range(words)))

    def read(texts: Sequence[str]) -> Numbers:
        masks = np.zeros((len(texts), words), dtype=bool)
        for mask, text in zip(masks, texts, strict=True):
            mask[[int(number) for number in text.split()]] = True
        return subject.read(masks)

    targets = list(range(len(subject.reader.spec.names)))
    explainer = library("lime.lime_text", "lime").LimeTextExplainer(
        class_names=list(map(str, targets)), feature_selection="none", split_expression=" ", bow=False,
        mask_string="", random_state=subject.seed,
    )  # fmt: skip
    found = explainer.explain_instance(
        numbered, read, labels=targets, num_features=words, num_samples=max(2, evaluations)
    )
    weights = np.zeros((words, len(targets)))
    for target in targets:
        for word, weight in found.local_exp[target]:
            weights[word, target] = weight
    return weights


REGISTERED = AttributionMethod("LIME", "lime.lime_text", "lime", 1000, compute)
