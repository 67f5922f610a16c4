"""Bad places to start a fit from, and what they cost: shared by the skewed predictor and the skewed generator."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from pyro_rationale.data.batch import Batch
from pyro_rationale.data.corpus import Document
from pyro_rationale.data.vocabulary import UNKNOWN, Vocabulary
from pyro_rationale.evaluation.evaluate import targets_of
from pyro_rationale.evaluation.stress.measures import SENTENCE_ENDS, agreement, skill
from pyro_rationale.evaluation.stress.subject import FITS, Subject
from pyro_rationale.evaluation.stress.verdict import Row, Verdict, judged, unfit
from pyro_rationale.guides import RationaleGuide, RecurrentGuide
from pyro_rationale.prediction.draws import seeded
from pyro_rationale.prediction.rationalizer import ModelRationalizer
from pyro_rationale.storage import read_json, write_json
from pyro_rationale.training.auxiliary_losses import reading_loss
from pyro_rationale.training.run import TrainingRun

DEAREST = 10.0  # points of F1 that the milder settings may cost
RUNNING = 1000  # documents over which the accuracy of a leak is taken while it is taught
START = "start.json"  # in the folder of a refit: how far its start was skewed


def first_sentences(tokens: Tensor, lengths: Tensor, ends: Sequence[int]) -> Tensor:
    """Bool `(B, T)`: the words up to and with the first that ends a sentence; the whole text where none does."""
    end = torch.isin(tokens, torch.tensor(list(ends), device=tokens.device))
    before = end.long().cumsum(-1) - end.long()  # sentence ends in front of each word
    inside = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
    return (before == 0) & inside


def end_tokens(vocabulary: Vocabulary) -> list[int]:
    """Numbers of the words that end a sentence, as far as the vocabulary has them."""
    return [number for number in vocabulary.encode(sorted(SENTENCE_ENDS)) if number != UNKNOWN]


def skew_predictor(fit: TrainingRun, epochs: int) -> None:
    """Train the encoder alone, on first sentences, for so many epochs: it now expects the answer there.

    The fit's own random numbers stay as they are, so that it differs from an unskewed one by its start alone.
    """
    model = fit.fitted.model
    ends = end_tokens(fit.fitted.vocabulary)

    def loss(batch: Batch) -> Tensor:
        mask = first_sentences(batch.tokens, batch.lengths, ends)
        return reading_loss(model, batch, mask) / (len(batch) * fit.trainer.scale)

    _pretrain(fit, model.encoder, epochs, loss)


def skew_generator(fit: TrainingRun, accuracy: float, epochs: int = 30) -> float:
    """Train the guide alone to keep the first word of a text exactly if its label is 1, until `accuracy` is reached.

    The accuracy is that on the training batches as they come by, which is where the literature takes it. A rating
    counts as 1 above the median of the training texts, a class from the middle of the list on; of several targets
    the first counts.

    Returns:
        The accuracy reached; less than asked for if `epochs` were not enough.
    """
    guide = fit.fitted.guide
    threshold = fit.fitted.task.threshold(targets_of(fit.corpus.train, fit.corpus.spec))
    hits: deque[float] = deque(maxlen=RUNNING)

    def reached() -> float:
        return sum(hits) / len(hits) if hits else 0.0

    def loss(batch: Batch) -> Tensor:
        label, known = labels_of(batch, threshold)
        chance = first_word(guide, batch).clamp(1e-6, 1 - 1e-6)
        hits.extend(((chance > 0.5) == label)[known].float().tolist())
        return nn.functional.binary_cross_entropy(chance, label.to(chance.dtype), known.to(chance.dtype))

    _pretrain(fit, guide, epochs, loss, lambda: len(hits) == RUNNING and reached() >= accuracy)
    return reached()


def first_word(guide: RationaleGuide, batch: Batch) -> Tensor:
    """P(first word is kept | text), `(B,)`, with gradients."""
    if isinstance(guide, RecurrentGuide):  # its marginals are sampled, but nothing comes before the first word
        features = guide.generator(batch.tokens, batch.lengths)[:, :1]
        return guide.distribution(features, torch.ones_like(batch.lengths)).mean[:, 0]
    return guide.posterior(batch).mean[:, 0]


def labels_of(batch: Batch, threshold: float) -> tuple[Tensor, Tensor]:
    """0 or 1 per document, and whether it is known, bool `(B,)` each."""
    assert batch.targets is not None
    target = batch.targets if batch.targets.dim() == 1 else batch.targets[:, 0]
    return target > threshold, ~torch.isnan(target.float())


def _pretrain(
    fit: TrainingRun,
    module: nn.Module,
    epochs: int,
    loss: Callable[[Batch], Tensor],
    done: Callable[[], bool] = lambda: False,
) -> None:
    """Adam on one network with the fit's own batches, learning rate and clip; the fit's optimiser stays fresh."""
    options = fit.fitted.config.train
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=options.learning_rate)
    module.train()
    with seeded(fit.fitted.config.seed):
        for epoch in range(epochs):
            for batch in fit.trainer.batches.epoch(epoch):
                optimizer.zero_grad(set_to_none=True)
                loss(batch.to(fit.fitted.device)).backward()
                torch.nn.utils.clip_grad_norm_(parameters, options.clip)
                optimizer.step()
                if done():
                    return


def cost_of_skew(
    subject: Subject,
    kind: str,
    levels: Sequence[float],
    mild: Sequence[float],
    skew: Callable[[TrainingRun, float], float | None],
) -> Verdict:
    """Fit once from a fresh start and once from every skewed one, and compare the F1.

    Args:
        subject: the run.
        kind: a name for the refits' folders.
        levels: how strong the skew is.
        mild: those of them that the verdict is about.
        skew: changes the weights of a prepared fit; may return the leak's accuracy.
    """
    bar = f"F1 falls by {DEAREST:.0f} points at most"
    if not any(document.gold for document in subject.documents):
        return unfit("there is no annotation to compute an F1 against", bar)
    rows = [_row("no skew", *subject.refit("plain"))]
    for level in levels:
        name = f"{kind}-{level:g}"
        row = _row(f"{level:g}", *subject.refit(name, partial(_started, skew, level)))
        rows.append({**row, "reached": _reached(subject.into / FITS / name)})
    costs = {row["skew"]: 100.0 * (rows[0]["judged"] - row["judged"]) for row in rows[1:]}
    milder = [f"{level:g}" for level in levels if level in mild] or [f"{levels[0]:g}"]
    figure = ", ".join([f"F1 {100 * rows[0]['judged']:.1f}", *(f"at {k} {-cost:+.1f}" for k, cost in costs.items())])
    bar = f"{bar} at {', '.join(milder)}"
    taught = {row["skew"] for row in rows[1:] if row["reached"] is None or row["reached"] >= float(row["skew"])}
    milder = [name for name in milder if name in taught]
    if not milder:
        return unfit("the first word could not be taught to tell the label", bar, figure, rows)
    worst = max(milder, key=lambda name: costs[name])
    reason = f"at {worst} the fit does not get away from where it starts"
    return judged(costs[worst] <= DEAREST, figure, bar, reason, rows)


def _started(skew: Callable[[TrainingRun, float], float | None], level: float, fit: TrainingRun) -> None:
    """Skew a prepared fit, and note in its folder how far that went."""
    write_json(fit.folder / START, {"level": level, "reached": skew(fit, level)})


def _reached(folder: Path) -> float | None:
    facts = read_json(folder / START)
    return None if facts["reached"] is None else float(facts["reached"])


def _row(name: str, marker: ModelRationalizer, documents: Sequence[Document]) -> Row:
    masks = marker.masks(documents)
    found = agreement(documents, masks)
    return {"skew": name, **found, "skill": skill(marker.predict(documents, masks), documents, marker.spec)}
