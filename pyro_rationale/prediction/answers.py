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
from pyro_rationale.prediction.decoding import Mask, predictive, unlabelled
from pyro_rationale.prediction.draws import seed_of
from pyro_rationale.prediction.mask_table import Masks, draw_masks, in_rows, log_densities
from pyro_rationale.tasks import Numbers, TargetSpec, Task, log_prob_of_known, to_numbers
from pyro_rationale.tasks._numerals import rating_text

if TYPE_CHECKING:
    from pyro_rationale.data.batch import Batch
    from pyro_rationale.distributions import MaskDistribution
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
    return Question(number, value, task.spec.classes[int(value)] if task.spec.classes else rating_text(value))


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
    own = [question for question in asked if document.aspect in (None, question.target)]
    if not own:  # seeding torch's generators takes longer than a prediction
        return ()
    guide, encoder = fitted.guide, fitted.model.encoder
    batches = [fitted.encode([_answered(document, one, fitted.spec)]).to(fitted.device) for one in own]
    found: list[Answer] = []
    drawn: _Drawn | None = None
    said: Numbers | None = None
    with seeded(seed_of(document, seed)):
        for number, (question, batch) in enumerate(zip(own, batches, strict=True)):
            if drawn is None or guide.target is not None:
                q = guide.posterior(batch, see_target=guide.target is not None).discrete()
                p = fitted.model.mask_prior(batch, q.mean.dtype)
                masks = draw_masks(q, max(samples, DRAWS))

                def encoded(z: Tensor, batch: Batch = batch) -> Tensor:
                    outputs: Tensor = encoder(batch.tokens, z.to(fitted.device, encoder.dtype), batch.lengths)
                    return outputs

                drawn = _Drawn(q, masks, in_rows(masks, encoded), log_densities(masks, p, q, fitted.device))
                if said is None:
                    free = q if guide.target is None else guide.posterior(batch, see_target=False).discrete()
                    others = masks if guide.target is None else draw_masks(free, max(samples, DRAWS))
                    said = _log_predictive(fitted, batches, others, free)
            assert said is not None
            found.append(_answer(fitted, document, question, batch, drawn, float(said[number])))
    return tuple(found)


@dataclass(frozen=True)
class _Drawn:
    """Distinct masks of one document, drawn from `q`: the encoder's outputs for them, and their log p and log q."""

    q: MaskDistribution
    masks: Masks
    outputs: Tensor
    log_densities: Numbers


def _answered(document: Document, question: Question, spec: TargetSpec) -> Document:
    """The document with the answer as its only known target."""
    targets = [math.nan] * len(spec.names)
    targets[question.target] = question.value
    return replace(unlabelled(document), targets=tuple(targets))


def _answer(
    fitted: FittedModel, document: Document, question: Question, batch: Batch, drawn: _Drawn, log_predictive: float
) -> Answer:
    """An answer from masks that were drawn with it, where the guide reads targets; `batch` has it as its target."""
    masks, likelihood, kappa = drawn.masks, fitted.model.likelihood, float(fitted.model.kappa)
    log_prior, log_q = drawn.log_densities.T
    log_likelihood = _log_likelihoods(likelihood, drawn.outputs, batch.targets)
    log_joint = kappa * log_likelihood + log_prior
    both = np.stack([log_joint - log_q, log_likelihood + log_prior - log_q], axis=-1)
    smoothed = psis(torch.from_numpy(both[masks.index]))
    weights, plain = smoothed.log_weights.unbind(-1)
    khat, evidence_khat = smoothed.k.tolist()
    usable = bool(weights.max() > -math.inf)
    chances = (weights if usable else torch.zeros_like(weights)).softmax(0).numpy()
    shares = np.bincount(masks.index, chances, minlength=len(masks.packed))
    words = len(document.tokens)
    flags = masks.unpacked()[:, :words]
    best = np.array([log_joint.argmax()])
    z = torch.from_numpy(masks.unpacked(best)).to(fitted.device, fitted.model.encoder.dtype)
    values = fitted.task.values(predictive(fitted, batch, z, drawn.q.responsibilities(z)))[0]
    return Answer(
        target=fitted.spec.names[question.target],
        value=question.value,
        label=question.label,
        log_evidence=float(plain.logsumexp(0)) - math.log(len(plain)),
        evidence_khat=evidence_khat,
        log_predictive=log_predictive,
        khat=khat,
        ess=float(1.0 / np.square(chances).sum()),
        mask=tuple((flags[best[0]] > 0).tolist()),
        inclusion=tuple((shares @ flags).tolist()),
        values=tuple(fitted.task.clip(values).tolist()),
    )


def _log_predictive(
    fitted: FittedModel, batches: Sequence[Batch], masks: Masks, q: MaskDistribution
) -> Numbers:
    """Log of the mean of p(y | x, z) over masks drawn from `q`, for the targets of each batch, as predictions are made.

    Members of an ensemble read each mask as much as they are likely to have drawn it, and weights that are not one
    number each (`--laplace`) are integrated out.
    """

    def each(z: Tensor) -> Tensor:
        z = z.to(fitted.device, fitted.model.encoder.dtype)
        distribution = predictive(fitted, batches[0], z, q.responsibilities(z))
        logs = [log_prob_of_known(distribution, one.targets) for one in batches if one.targets is not None]
        return torch.stack(logs, -1)

    logs = to_numbers(in_rows(masks, each)[:, 0])[masks.index]
    return np.logaddexp.reduce(logs, axis=0) - math.log(len(logs))


def _log_likelihoods(likelihood: Any, outputs: Tensor, targets: Tensor | None) -> NDArray[Any]:
    """Log p(y | x, z) of masks, `(U,)`, from the encoder's outputs for them."""
    distribution, known = likelihood.observe(outputs, targets)
    return to_numbers(distribution.log_prob(known)[:, 0])
