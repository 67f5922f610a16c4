"""Bad places to start a fit from, and what they cost: shared by the skewed predictor and the skewed generator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from pyro_rationale.data.batch import Batch
from pyro_rationale.data.corpus import Document
from pyro_rationale.evaluation.stress._base import Row, Verdict, judged, unfit
from pyro_rationale.evaluation.stress._measures import agreement, skill
from pyro_rationale.evaluation.stress._subject import FITS, Subject
from pyro_rationale.nn.seeding import seeded
from pyro_rationale.prediction.rationalizer import ModelRationalizer
from pyro_rationale.storage import read_json, write_json
from pyro_rationale.training.run import TrainingRun

DEAREST = 10.0  # points of F1 that the milder settings may cost
START = "start.json"  # in the folder of a refit: how far its start was skewed


def pretrain(
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


def _row(name: str, rationalizer: ModelRationalizer, documents: Sequence[Document]) -> Row:
    masks = rationalizer.masks(documents)
    measured = agreement(documents, masks)
    predicted = skill(rationalizer.predict(documents, masks), documents, rationalizer.spec, rationalizer.decision)
    return {"skew": name, **measured, "skill": predicted}
