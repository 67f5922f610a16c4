"""Evidence for each of several answers: which words would speak for a rating or a label, if it were the true one.

For an answer c there is the posterior over rationales, p(z | x, y = c) proportional to p(z) p(y = c | x, z)^kappa, and
the evidence p(y = c | x), the mean of p(y = c | x, z) over the prior's rationales. Both are estimated from weighted
draws of a guide, of q(z | x, y = c) where it reads targets, else of q(z | x), with the largest weights smoothed
(Vehtari et al. 2024). The Pareto shape k-hat says how far to believe it. For the evidence kappa is 1: it is to compare
answers, not to find words.

The prior's rationales are mostly others than those that the prediction is made of, and weights from one to the other
are heavy-tailed. So answers are compared by their predictive density, the mean of p(y = c | x, z) over the guide's
rationales, which needs no weights; it picks the true one of two ratings as often as the prediction does, the evidence
less often (`benchmarks/answers.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_rationale.data.document import Document
from pyro_rationale.errors import ConfigError, listed, shown
from pyro_rationale.inference.posterior.psis import psis
from pyro_rationale.nn.seeding import seeded
from pyro_rationale.prediction.decoding import Mask, unlabelled
from pyro_rationale.prediction.draws import seed_of
from pyro_rationale.prediction.mask_table import Masks, draw_masks, in_rows, log_densities
from pyro_rationale.tasks import Numbers, TargetSpec, Task, to_numbers

if TYPE_CHECKING:
    from pyro_rationale.fitted import FittedModel

DRAWS = 1000  # masks of each text, at least


@dataclass(frozen=True)
class Question:
    """An answer that is asked about: number of the target, its value in the user's units, and that value in words."""

    target: int
    value: float
    label: str


@dataclass(frozen=True)
class Answer:
    """One answer to what a target of a text is, as if it were known to be the true one.

    Attributes:
        target: name of the target.
        value: the answer, in the user's units or as the number of a class.
        label: the answer in words.
        log_evidence: log p(y = answer | x), in nats; of ratings the density on the scale from 0 to 1.
        evidence_khat: Pareto shape of the weights that it is the mean of.
        log_predictive: log of the mean of p(y = answer | x, z) over rationales that the guide draws without the answer.
        khat: Pareto shape of the weights for what follows; above 0.7 these numbers cannot be trusted.
        ess: effective number of draws.
        mask: the most probable of the drawn rationales, given the answer.
        inclusion: P(word is kept | text, answer), `n` numbers.
        values: predicted from `mask`.
    """

    target: str
    value: float
    label: str
    log_evidence: float
    evidence_khat: float
    log_predictive: float
    khat: float
    ess: float
    mask: Mask
    inclusion: tuple[float, ...]
    values: tuple[float, ...]


def parse_answers(task: Task, answers: Sequence[Any]) -> list[Question]:
    """Answers as they are typed: `positive`, `4`, or with several targets `taste=4`.

    Raises:
        ConfigError: one is none of the labels, no rating within the scale, or of no target.
    """
    return [_parse(task, answer) for answer in answers]


def _parse(task: Task, answer: Any) -> Question:
    text, names = str(answer), task.spec.names
    name, mark, cell = text.partition("=")
    if mark and name in names:
        number = names.index(name)
    elif len(names) == 1:
        number, cell = 0, text
    else:
        raise ConfigError(f"--for {shown(text)}: of which target? The run predicts {listed(names)}: {names[0]}=...")
    try:
        value = task.answer(cell.strip(), number)
    except ValueError as problem:
        raise ConfigError(f"--for {shown(text)}: {problem}") from None
    return Question(number, value, task.spec.classes[int(value)] if task.spec.classes else f"{value:.4g}")


def answers_of(
    fitted: FittedModel, document: Document, asked: Sequence[Question], samples: int, seed: int = 0
) -> tuple[Answer, ...]:
    """Rationales and evidence for each answer, of one document.

    Args:
        fitted: the model, in evaluation mode.
        document: a text with words.
        asked: the answers; of a document that is asked about one target, those to others are left out.
        samples: draws of masks; at least 1000 are taken.
        seed: together with the text, of the draws.
    """
    if not asked:  # seeding torch's generators takes longer than a prediction
        return ()
    model, guide = fitted.model, fitted.guide
    found: list[Answer] = []
    drawn: tuple[Masks, Tensor, Numbers] | None = None
    without: tuple[Masks, Tensor] | None = None
    with seeded(seed_of(document, seed)):
        for question in (one for one in asked if document.aspect in (None, one.target)):
            batch = fitted.encode([_answered(document, question, fitted.spec)]).to(fitted.device)
            if drawn is None or guide.target is not None:
                q = guide.posterior(batch, see_target=guide.target is not None).discrete()
                p = model.mask_prior(batch, q.mean.dtype)
                masks = draw_masks(q, max(samples, DRAWS))

                def encoded(z: Tensor, batch: Any = batch) -> Tensor:
                    z = z.to(fitted.device, model.encoder.dtype)
                    outputs: Tensor = model.encoder(batch.tokens, z, batch.lengths)
                    return outputs

                drawn = masks, in_rows(masks, encoded), log_densities(masks, p, q, fitted.device)
                if guide.target is None:
                    without = drawn[:2]
                elif without is None:
                    masks = draw_masks(guide.posterior(batch, see_target=False).discrete(), max(samples, DRAWS))
                    without = masks, in_rows(masks, encoded)
            assert without is not None
            found.append(_answer(fitted, document, question, batch.targets, *drawn, *without))
    return tuple(found)


def _answered(document: Document, question: Question, spec: TargetSpec) -> Document:
    """The document with the answer as its only known target."""
    targets = [math.nan] * len(spec.names)
    targets[question.target] = question.value
    return replace(unlabelled(document), targets=tuple(targets))


def _answer(
    fitted: FittedModel,
    document: Document,
    question: Question,
    targets: Tensor | None,
    masks: Masks,
    outputs: Tensor,
    log_densities: Numbers,
    free: Masks,
    free_outputs: Tensor,
) -> Answer:
    """An answer from distinct masks, the encoder's outputs for them, and their log p and log q.

    The last two arguments are masks that were drawn without the answer, and outputs for them.
    """
    assert targets is not None
    likelihood, kappa = fitted.model.likelihood, float(fitted.model.kappa)
    log_prior, log_q = log_densities.T
    log_likelihood = _log_likelihoods(likelihood, outputs, targets)
    log_joint = kappa * log_likelihood + log_prior
    both = np.stack([log_joint - log_q, log_likelihood + log_prior - log_q], axis=-1)
    smoothed = psis(torch.from_numpy(both[masks.index]))
    weights, plain = smoothed.log_weights.unbind(-1)
    khat, evidence_khat = smoothed.k.tolist()
    usable = bool(weights.max() > -math.inf)
    chances = (weights if usable else torch.zeros_like(weights)).softmax(0).numpy()
    shares = np.bincount(masks.index, chances, minlength=len(masks.packed))
    words = len(document.tokens)
    best = int(log_joint.argmax())
    flags = masks.unpacked()[:, :words]
    values = fitted.task.values(likelihood(outputs[best : best + 1]))[0, 0]
    return Answer(
        target=fitted.spec.names[question.target],
        value=question.value,
        label=question.label,
        log_evidence=float(plain.logsumexp(0)) - math.log(len(plain)),
        evidence_khat=evidence_khat,
        log_predictive=_log_mean(_log_likelihoods(likelihood, free_outputs, targets)[free.index]),
        khat=khat,
        ess=float(1.0 / np.square(chances).sum()),
        mask=tuple((flags[best] > 0).tolist()),
        inclusion=tuple((shares @ flags).tolist()),
        values=tuple(fitted.task.clip(values).tolist()),
    )


def _log_likelihoods(likelihood: Any, outputs: Tensor, targets: Tensor) -> NDArray[Any]:
    """Log p(y | x, z) of masks, `(U,)`, from the encoder's outputs for them."""
    distribution, known = likelihood.observe(outputs, targets)
    return to_numbers(distribution.log_prob(known)[:, 0])


def _log_mean(values: NDArray[Any]) -> float:
    return float(np.logaddexp.reduce(values)) - math.log(len(values))
