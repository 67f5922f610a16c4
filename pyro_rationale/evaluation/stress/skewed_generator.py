"""The guide starts out telling the label by the first word: do encoder and guide agree on that code?"""

from __future__ import annotations

from collections import deque
from functools import partial

import torch
from torch import Tensor, nn

from pyro_rationale.data.batch import Batch
from pyro_rationale.evaluation.metrics import targets_of
from pyro_rationale.evaluation.stress._base import StressTest, Verdict
from pyro_rationale.evaluation.stress._skew import cost_of_skew, pretrain
from pyro_rationale.evaluation.stress._subject import Subject
from pyro_rationale.evaluation.stress._target import one_target
from pyro_rationale.guides import RationaleGuide
from pyro_rationale.tasks import task_of
from pyro_rationale.training.run import TrainingRun

MILD = (0.6, 0.65)
RUNNING = 1000  # documents over which the accuracy of a leak is taken while it is taught


def skew_generator(fit: TrainingRun, accuracy: float, epochs: int = 30, target: int = 0) -> float:
    """Train the guide alone to keep the first word of a text exactly if its label is 1, until `accuracy` is reached.

    The accuracy is that on the training batches as they come by, which is where the literature takes it. A rating
    counts as 1 above the median of the training texts, a class from the middle of the list on; of several targets
    one counts, number `target`.

    Returns:
        The accuracy reached; less than asked for if `epochs` were not enough.
    """
    guide = fit.fitted.guide
    spec = fit.corpus.spec
    column = targets_of(fit.corpus.train, spec)[:, target : target + 1]
    threshold = task_of(one_target(spec, target)).threshold(column)
    hits: deque[float] = deque(maxlen=RUNNING)

    def reached() -> float:
        return sum(hits) / len(hits) if hits else 0.0

    def loss(batch: Batch) -> Tensor:
        label, known = labels_of(batch, threshold, target)
        chance = first_word(guide, batch).clamp(1e-6, 1 - 1e-6)
        hits.extend(((chance > 0.5) == label)[known].float().tolist())
        return nn.functional.binary_cross_entropy(chance, label.to(chance.dtype), known.to(chance.dtype))

    pretrain(fit, guide, epochs, loss, lambda: len(hits) == RUNNING and reached() >= accuracy)
    return reached()


def first_word(guide: RationaleGuide, batch: Batch) -> Tensor:
    """P(first word is kept | text), `(B,)`, with gradients."""
    q = guide.posterior(batch)
    if not q.has_exact_marginals:  # marginals are sampled then, but nothing comes before the first word
        return q.inclusion(batch.tokens.new_zeros(batch.tokens.shape, dtype=guide.generator.dtype))[:, 0]
    return q.mean[:, 0]


def labels_of(batch: Batch, threshold: float, target: int = 0) -> tuple[Tensor, Tensor]:
    """0 or 1 per document, and whether it is known, bool `(B,)` each."""
    assert batch.targets is not None
    values = batch.targets if batch.targets.dim() == 1 else batch.targets[:, target]
    return values > threshold, ~torch.isnan(values.float())


def check(subject: Subject) -> Verdict:
    """F1 of fits whose guide was trained to keep the first word if the label is 1, against a fresh start."""
    number = subject.number  # 0 where one mask serves all targets, and then the first counts
    kind = f"generator-{number}" if number else "generator"
    return cost_of_skew(subject, kind, subject.settings.skew_accuracy, MILD, partial(skew_generator, target=number))


REGISTERED = StressTest(check, "Skewed generator", "Liu et al. 2022 (FR, NeurIPS), skewed generator", refits=True)
