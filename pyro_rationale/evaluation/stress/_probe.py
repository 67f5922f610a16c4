"""A probe: how well a small network predicts labels from given features, beside the same with shuffled labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pyro_rationale.evaluation.stress._measures import UNKNOWN, Labels
from pyro_rationale.nn.seeding import seeded

Features = NDArray[np.float64]
FOLDS, SHUFFLES, STEPS, WIDTH, DECAY = 5, 3, 100, 24, 1e-2
FEWEST = 10  # documents of each class, or a probe says nothing


@dataclass(frozen=True)
class Probe:
    """Accuracies of a probe on documents that it was not fitted on, the classes weighing the same.

    Attributes:
        accuracy: 0 to 1.
        control: the same with labels shuffled among the documents, the mean of several shuffles.
    """

    accuracy: float
    control: float

    @property
    def gap(self) -> float:
        """Points (hundredths) above the control."""
        return 100.0 * (self.accuracy - self.control)


def probe(features: Features, labels: Labels, seed: int = 0) -> Probe | None:
    """Cross-validated accuracy and its control; `None` where there are not two classes with enough documents.

    Args:
        features: `(N, F)`.
        labels: `(N,)` class numbers, `UNKNOWN` where there is none.
        seed: of folds, shuffles and weights.
    """
    features, labels = features[labels != UNKNOWN], labels[labels != UNKNOWN]
    counts = np.bincount(labels) if len(labels) else np.zeros(1)
    if (counts >= FEWEST).sum() < 2:
        return None
    frequent = np.isin(labels, np.flatnonzero(counts >= FEWEST))
    features, labels = features[frequent], np.unique(labels[frequent], return_inverse=True)[1]
    random = np.random.default_rng(seed)
    fold = random.permutation(len(labels)) % FOLDS
    answers = [labels] + [random.permutation(labels) for _ in range(SHUFFLES)]
    with seeded(seed), torch.enable_grad():
        true, *shuffled = cross_validated(features, np.stack(answers), fold)
    return Probe(true, float(np.mean(shuffled)))


def cross_validated(features: Features, answers: Labels, fold: Labels) -> list[float]:
    """Balanced accuracy for every row of `answers` `(R, N)`, the document's fold being left out.

    The networks of all folds and rows, one hidden layer each, are fitted side by side: `R * FOLDS` of them.
    """
    rows, documents = answers.shape
    classes = int(answers.max()) + 1
    spread = features.std(0)
    scaled = (features - features.mean(0))[:, spread > 0] / spread[spread > 0]
    x = torch.from_numpy(np.clip(scaled, -5, 5)).float()
    y = torch.from_numpy(np.repeat(answers, FOLDS, axis=0))  # (R * FOLDS, N)
    left_out = torch.from_numpy(np.stack([fold == k for k in range(FOLDS)] * rows))
    weight = balancing(y, ~left_out, classes)
    width = max(1, x.shape[1])
    if x.shape[1] == 0:
        x = torch.zeros(documents, 1)
    first = nn.Parameter(torch.randn(len(y), width, WIDTH) / width**0.5)
    bias = nn.Parameter(torch.zeros(len(y), 1, WIDTH))
    last = nn.Parameter(torch.randn(len(y), WIDTH, classes) / WIDTH**0.5)
    end = nn.Parameter(torch.zeros(len(y), 1, classes))
    optimizer = torch.optim.AdamW([first, bias, last, end], lr=0.02, weight_decay=DECAY)
    for step in range(STEPS + 1):
        logits = torch.relu(x @ first + bias) @ last + end  # (R * FOLDS, N, C)
        if step == STEPS:
            break
        losses = nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none").view_as(y)
        optimizer.zero_grad()
        (losses * weight).sum().backward()
        optimizer.step()
    hits = (logits.detach().argmax(-1) == y).float() * left_out
    correct = torch.stack([(hits * (y == c)).sum(-1).view(rows, FOLDS).sum(-1) for c in range(classes)], dim=-1)
    total = torch.stack([((y == c) & left_out).sum(-1).view(rows, FOLDS).sum(-1) for c in range(classes)], dim=-1)
    return [float(value) for value in (correct / total).mean(-1)]


def balancing(labels: Tensor, used: Tensor, classes: int) -> Tensor:
    """Weights `(M, N)` under which the classes count the same among the `used` documents, summing to 1 a row."""
    weight = torch.zeros(labels.shape)
    for c in range(classes):
        members = (labels == c) & used
        weight += members / members.sum(-1, keepdim=True).clamp(min=1) / classes
    return weight
