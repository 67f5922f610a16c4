"""Cost of Pyro and of this package's layers: our step against the same mathematics written by hand, and against Pyro's.

    python benchmarks/overhead.py [--device cuda] [--quick] [--json overhead.json]

For three of the estimators (relaxed; independent and chain with RLOO, K = 4) the functions below compute the objective
(2) of the design in plain PyTorch: same networks, same compaction, same samples from the same random numbers, closed
KL, no Pyro, no distributions. Before anything is timed their loss and all gradients are checked against ours. All
then take whole steps, with Adam and the clip of the gradient. `SVI` is Pyro's own loop with its own estimators on our
model and guide, at the same K, one particle after the other (its default) and all in one pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pyro
import torch
import torch.nn.functional as F
from pyro.infer import SVI, Trace_ELBO, TraceGraph_ELBO
from pyro.optim import ClippedAdam
from rich.console import Console
from rich.table import Table
from step import Sizes, make_batches, make_trainer
from timing import Action, machine, ratios, take_turns, write
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.distributions import ChainPrior
from pyro_rationale.distributions.scan.scan import backward_logits, follow, linear_recurrence
from pyro_rationale.fitted import pick_device
from pyro_rationale.models.program import local_parameters
from pyro_rationale.training.trainer import Trainer

KINDS = (("relaxed", "relaxed", 1), ("independent", "rloo", 4), ("chain", "rloo", 4))
MOST, LEAST = 1.05, 2.0  # our step over the hand-written one at most; SVI with TraceGraph_ELBO over ours at least
Loss = tuple[Tensor, Tensor]  # whose gradient is taken, and minus the objective, summed over documents


def reconstruction(trainer: Trainer, batch: Batch, z: Tensor) -> Tensor:
    """Kappa log p(y | x, z), `(K, B)`, of masks `(K, B, T)`: gaps closed, LSTM, mean of the states, Normal."""
    encoder: Any = trainer.fitted.model.encoder
    samples = len(z)
    tokens, lengths = batch.tokens.repeat(samples, 1), batch.lengths.repeat(samples)
    flat = z.reshape(-1, z.shape[-1])
    active = (flat > 1e-2) & (torch.arange(flat.shape[1], device=z.device) < lengths[:, None])
    longest = max(1, int(active.sum(-1).max()))
    order = (~active).to(torch.uint8).sort(dim=-1, stable=True).indices[:, :longest]
    present = active.gather(-1, order)
    inputs = encoder.embedding(tokens.gather(-1, order) * present)
    weights = flat.gather(-1, order) * present
    states = encoder.reader(inputs, weights, not z.requires_grad)  # the LSTM itself is nobody's overhead
    pooled = (states * weights[..., None]).sum(1) / weights.sum(-1, keepdim=True).clamp(min=1e-6)
    outputs = encoder.output(pooled).view(samples, len(batch), -1)
    sigma: Any = trainer.fitted.model.likelihood.sigma
    assert batch.targets is not None
    error = (outputs - batch.targets) / sigma
    log_prob = -0.5 * error.square() - sigma.log() - 0.5 * math.log(2 * math.pi)
    return trainer.fitted.model.kappa.to(log_prob.dtype) * log_prob.sum(-1)


def rloo(value: Tensor, log_q: Tensor, penalty: Tensor) -> Loss:
    """Leave-one-out baselines over `(K, B)`, and a penalty `(B,)` that is known exactly."""
    samples = len(value)
    reward = value.detach()
    credit = (reward - reward.mean(0)) * (samples / (samples - 1))
    surrogate = value.sum() - samples * penalty.sum() + (credit * log_q).sum()
    return -surrogate / samples, (penalty - reward.mean(0)).sum()


def penalty_of(trainer: Trainer, mask: Tensor, mean: Tensor, change: Tensor, entropy: Tensor) -> Tensor:
    """KL + (1 - tau) H = E[alpha |z| + gamma |dz|] + log Z - tau H, `(B,)`."""
    prior, tau = trainer.fitted.model.steering, trainer.objective.tau
    assert isinstance(prior, ChainPrior)
    table = prior.log_normalizers(mask.shape[1]).to(mean, non_blocking=True)
    expected = prior.alpha * mean.sum(-1) + prior.gamma * change.sum(-1) + table[mask.sum(-1)]
    return expected - tau * entropy


def independent_parts(trainer: Trainer, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Logits `(B, T)`, mask, penalty."""
    guide: Any = trainer.fitted.guide
    mask = torch.arange(batch.tokens.shape[1], device=batch.tokens.device) < batch.lengths[:, None]
    logits = guide.head(guide.generator(batch.tokens, batch.lengths)).squeeze(-1).masked_fill(~mask, 0.0)
    mean = torch.sigmoid(logits) * mask
    here, ahead = mean[:, :-1], mean[:, 1:]
    change = (here * (1 - ahead) + (1 - here) * ahead) * mask[:, 1:]
    size = logits.abs()
    entropy = ((F.softplus(-size) + size * torch.sigmoid(-size)) * mask).sum(-1)
    return logits, mask, penalty_of(trainer, mask, mean, change, entropy)


def relaxed_by_hand(trainer: Trainer, batch: Batch) -> Loss:
    """One relaxed mask, differentiated through."""
    logits, mask, penalty = independent_parts(trainer, batch)
    uniform = torch.rand(1, *logits.shape, dtype=logits.dtype, device=logits.device)
    z = torch.sigmoid((logits + torch.logit(uniform)) / trainer.fitted.guide.temperature) * mask
    value = reconstruction(trainer, batch, z)
    loss = (penalty - value).sum()
    return loss, loss.detach()


def independent_by_hand(trainer: Trainer, batch: Batch) -> Loss:
    """K masks of independent words."""
    logits, mask, penalty = independent_parts(trainer, batch)
    samples = trainer.objective.num_particles
    with torch.no_grad():
        chance = torch.sigmoid(logits) * mask
        uniform = torch.rand(samples, *logits.shape, dtype=logits.dtype, device=logits.device)
        z = (uniform < chance).to(logits.dtype)
    log_q = (z * logits).sum(-1) - (F.softplus(logits) * mask).sum(-1)
    return rloo(reconstruction(trainer, batch, z), log_q, penalty)


def chain_by_hand(trainer: Trainer, batch: Batch) -> Loss:
    """K masks of a linear chain, whose recurrences are ours as well: they are timed elsewhere."""
    guide: Any = trainer.fitted.guide
    samples = trainer.objective.num_particles
    mask = torch.arange(batch.tokens.shape[1], device=batch.tokens.device) < batch.lengths[:, None]
    features = guide.generator(batch.tokens, batch.lengths)
    fields = guide.head(features).squeeze(-1) * mask
    coupling = guide.joint(torch.cat([features[:, :-1], features[:, 1:]], -1)).squeeze(-1) * mask[:, 1:]
    messages = backward_logits(fields, coupling)
    around = F.pad(coupling, (1, 0))
    off, on = messages - around, messages + around
    after_off, after_on = torch.sigmoid(off) * mask, torch.sigmoid(on) * mask
    with torch.no_grad():
        uniform = torch.rand(samples, *off.shape, dtype=off.dtype, device=off.device)
        z = follow(uniform < after_off, uniform < after_on).to(off.dtype)
    mean = linear_recurrence(after_on - after_off, after_off)
    before = mean[:, :-1]
    change = ((1 - before) * torch.sigmoid(off[:, 1:]) + before * torch.sigmoid(-on[:, 1:])) * mask[:, 1:]
    doubt = [F.softplus(-x.abs()) + x.abs() * torch.sigmoid(-x.abs()) for x in (off, on)]
    entropy = ((doubt[0] + F.pad(before, (1, 0)) * (doubt[1] - doubt[0])) * mask).sum(-1)
    here, ahead = z[..., :-1], z[..., 1:]
    score = (fields * z).sum(-1) - (coupling * (here + ahead - 2 * here * ahead)).sum(-1)
    log_q = score - (F.softplus(off) * mask).sum(-1)
    return rloo(reconstruction(trainer, batch, z), log_q, penalty_of(trainer, mask, mean, change, entropy))


BY_HAND: dict[str, Callable[[Trainer, Batch], Loss]] = {
    "relaxed": relaxed_by_hand, "independent": independent_by_hand, "chain": chain_by_hand
}


def check(trainer: Trainer, batch: Batch, by_hand: Callable[[Trainer, Batch], Loss]) -> float:
    """Largest deviation of the hand-written loss and gradients from ours, relative to each gradient's size.

    Raises:
        SystemExit: it is more than rounding; then it is not the same mathematics, and timing it would mean nothing.
    """
    found = []
    for ours in (True, False):
        for parameter in trainer.named.values():
            parameter.grad = None
        torch.manual_seed(1)
        if ours:
            with local_parameters(), trainer.fitted.model.constrained():
                estimate = trainer.objective.estimate(trainer.fitted.model, trainer.fitted.guide, batch)
            loss, value = estimate.surrogate, -estimate.objective(trainer.objective.tau).sum()
        else:
            loss, value = by_hand(trainer, batch)
        loss.backward()
        found.append([value.detach(), *(p.grad for p in trainer.named.values() if p.grad is not None)])
    worst = max(float((a - b).norm() / b.norm().clamp_min(1e-6)) for a, b in zip(*found, strict=True))
    if not worst < 1e-3:
        raise SystemExit(f"{by_hand.__name__}: loss or gradients deviate by {worst:.2g}; expected rounding")
    return worst


def hand_action(trainer: Trainer, batches: list[Batch], by_hand: Callable[[Trainer, Batch], Loss]) -> Action:
    """Whole steps of the hand-written kind."""
    weights = list(trainer.named.values())
    device = trainer.fitted.device
    ready = [batch.pin_memory() if device.type == "cuda" else batch for batch in batches]
    optimizer = torch.optim.Adam(weights, lr=1e-9, fused=device.type == "cuda")

    def step(chunk: int) -> None:
        for batch in ready[:chunk]:
            optimizer.zero_grad(set_to_none=True)
            loss, _ = by_hand(trainer, batch.to(device, non_blocking=True))
            (loss / (len(batch) * trainer.scale)).backward()
            torch.nn.utils.clip_grad_norm_(weights, 5.0)
            optimizer.step()

    return step


def our_action(trainer: Trainer, batches: list[Batch]) -> Action:
    """Our steps."""

    def step(chunk: int) -> None:
        for _ in trainer.steps(batches[:chunk]):
            pass

    return step


def svi_action(trainer: Trainer, batches: list[Batch], elbo: Any) -> Action:
    """Steps of Pyro's SVI; its parameters live in a store of their own."""
    store: dict[str, Any] = {}
    svi = SVI(trainer.fitted.model, trainer.fitted.guide, ClippedAdam({"lr": 1e-9}), elbo)

    def step(chunk: int) -> None:
        with pyro.get_param_store().scope(store.get("state")) as state, pyro.validation_enabled(False):
            for batch in batches[:chunk]:
                svi.step(batch.to(trainer.fitted.device))
        store["state"] = state

    return step


def measure(sizes: Sizes, steps: int, quick: bool) -> list[dict[str, Any]]:
    """A row for each contender of each kind."""
    batches = make_batches(sizes)
    rows: list[dict[str, Any]] = []
    chunk = 8 if sizes.device.type == "cuda" else 1
    for guide, estimator, samples in KINDS:
        name = f"{guide}, {estimator}, K = {samples}"
        trainer = make_trainer(sizes, guide, estimator, samples)
        deviation = check(trainer, batches[0].to(sizes.device), BY_HAND[guide])
        actions = {
            "by hand": hand_action(trainer, batches, BY_HAND[guide]),
            "ours": our_action(make_trainer(sizes, guide, estimator, samples), batches),
        }
        if guide != "relaxed":
            elbos: dict[str, Any] = {
                "SVI, TraceGraph_ELBO": TraceGraph_ELBO(num_particles=samples, max_plate_nesting=1),
                "SVI, Trace_ELBO": Trace_ELBO(num_particles=samples, max_plate_nesting=1),
                "SVI, Trace_ELBO, one pass": Trace_ELBO(samples, max_plate_nesting=1, vectorize_particles=True),
                "SVI, TraceGraph_ELBO, one pass": TraceGraph_ELBO(
                    samples, max_plate_nesting=1, vectorize_particles=True
                ),
            }
            for label, elbo in list(elbos.items())[: 1 if quick else None]:
                actions[label] = svi_action(make_trainer(sizes, guide, estimator, samples), batches, elbo)
        seconds = take_turns(actions, steps, sizes.device, chunk)
        for label, values in seconds.items():
            row = {"step": name, "batch": sizes.batch, "what": label, "deviation": deviation}
            rows.append(row | ratios(values, seconds["by hand"]) | ours_first(values, seconds["ours"]))
    return rows


def ours_first(values: list[float], ours: list[float]) -> dict[str, float]:
    """The median quotient to our step of the same round."""
    return {"over ours": ratios(values, ours)["ratio"]}


def verdict(row: dict[str, Any]) -> str:
    """Whether the row meets its bar, if it has one."""
    if row["what"] == "ours":
        return f"<= {MOST} " + ("met" if row["ratio"] <= MOST else "missed")
    if row["what"] == "SVI, TraceGraph_ELBO":
        return f">= {LEAST} x ours " + ("met" if row["over ours"] >= LEAST else "missed")
    return ""


@click.command()
@click.option("--device", default="cpu", show_default=True)
@click.option("--steps", default=12, show_default=True, help="rounds that count")
@click.option("--batch", default=64, show_default=True)
@click.option("--words", default=150, show_default=True)
@click.option("--hidden", default=200, show_default=True)
@click.option("--rate", default=0.15, show_default=True, help="share of words that the guides keep")
@click.option("--quick", is_flag=True, help="of Pyro's estimators TraceGraph_ELBO only")
@click.option("--threads", default=1, show_default=True)
@click.option("--json", "out", type=click.Path(path_type=Path), help="write the figures here, too")
def main(
    device: str, steps: int, batch: int, words: int, hidden: int, rate: float, quick: bool, threads: int,
    out: Path | None,
) -> None:
    """Print the table."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    place = pick_device(device)
    rows = measure(Sizes(batch, words, hidden, 5000, rate, place), steps, quick)
    facts: dict[str, Any] = {"benchmark": "overhead", **machine(place), "words": words, "hidden": hidden, "rate": rate}
    write(out, {**facts, "rows": [{**row, "bar": verdict(row)} for row in rows]})
    table = Table(title=f"our step, and others ({facts['device']}, batches of {batch}, {words} words, hidden {hidden})")
    for column in ("step", "", "ms", "over by hand", "lowest", "highest", "over ours", "bar"):
        table.add_column(column, justify="left" if column in ("step", "") else "right")
    for row in rows:
        figures = [f"{row[name]:.2f}" for name in ("ratio", "lowest", "highest", "over ours")]
        table.add_row(row["step"], row["what"], f"{row['ms']:.1f}", *figures, verdict(row))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
