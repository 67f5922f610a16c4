"""Time of a training step of every guide and estimator, as a ratio to the bare networks in the same run.

    python benchmarks/step.py --quick                                  # the bars, one batch size
    python benchmarks/step.py --device cuda --json step.json           # the whole grid

The floor is what nobody can avoid: two embeddings, a BiLSTM and the encoder's LSTM on the whole texts, forward and
backward, and Adam, on the same batches; no sampling, no mask, no penalty, no Pyro. A step is the trainer's own, with
the control of the rate, the clip and the record. It reads compacted texts, so its K encoder passes are short. Learning
rates are 1e-9, so that the share of kept words stays where it was set. Steps of all kinds take turns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
import torch
from rich.console import Console
from rich.table import Table
from timing import Action, machine, ratios, take_turns, write
from torch import Tensor, nn

from pyro_rationale.build import build_guide, build_model, build_objective, starting_prior
from pyro_rationale.config import PLANTED, Config, ModelOptions, TrainOptions
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.fitted import FittedModel, pick_device
from pyro_rationale.nn.kernels import cuda_graph as replay
from pyro_rationale.training.options import PRECISIONS
from pyro_rationale.training.rate_control import RateControl, Schedule
from pyro_rationale.training.trainer import CHECKED, Trainer

F = TypeVar("F", bound=Callable[..., Any])
SPEC = TargetSpec("regression", ("rating",), ((0.0, 1.0),))
ONE, MANY, FEW = (1,), (4, 8), (1, 4, 8)
GRID: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("relaxed", "relaxed", FEW),
    ("relaxed", "straight-through", FEW),
    ("hardkuma", "relaxed", FEW),
    ("independent", "reinforce", FEW),
    ("independent", "rloo", MANY),
    ("independent", "disarm", MANY),
    ("independent", "nvil", FEW),
    ("independent", "muprop", MANY),
    ("independent", "sum-and-sample", MANY),
    ("independent", "straight-through", FEW),
    ("independent", "tracegraph", FEW),
    ("chain", "reinforce", FEW),
    ("chain", "rloo", MANY),
    ("chain", "nvil", FEW),
    ("chain", "muprop", MANY),
    ("chain", "sum-and-sample", MANY),
    ("chain", "gauss-newton", MANY),
    ("chain", "straight-through", FEW),
    ("chain", "tracegraph", FEW),
    ("recurrent", "reinforce", FEW),
    ("recurrent", "rloo", MANY),
    ("recurrent", "nvil", FEW),
    ("recurrent", "muprop", MANY),
    ("recurrent", "sum-and-sample", MANY),
    ("recurrent", "straight-through", FEW),
    ("recurrent", "tracegraph", FEW),
)
# Most that a step may take of the floor, batches of 64: on the CPU, on a GPU.
BARS: dict[tuple[str, str, int], tuple[float, float | None]] = {
    ("relaxed", "relaxed", 1): (1.15, 1.2),
    ("chain", "sum-and-sample", 8): (1.6, 1.5),  # the default
    ("chain", "muprop", 4): (1.6, 1.5),
    ("chain", "rloo", 4): (1.6, 1.5),
    ("independent", "rloo", 4): (1.6, 1.6),
    ("recurrent", "muprop", 4): (3.0, None),
    ("recurrent", "rloo", 4): (3.0, None),
}


@dataclass(frozen=True)
class Sizes:
    """Settings that all steps share."""

    batch: int
    words: int
    hidden: int
    vocabulary: int
    rate: float
    device: torch.device
    sharp: float = 0.0


def size_options(command: F) -> F:
    """Decorator: the flags of sizes that steps have in common; the function gets words, hidden, vocabulary, rate."""
    for option in (  # the one applied last stands first in --help
        click.option("--rate", default=0.15, show_default=True, help="share of words that the guides keep"),
        click.option("--vocabulary", default=5000, show_default=True),
        click.option("--hidden", default=200, show_default=True),
        click.option("--words", default=150, show_default=True),
    ):
        command = option(command)
    return command


def make_batches(sizes: Sizes, count: int = 8) -> list[Batch]:
    """Texts of `words` random words each, on the CPU, as they come from the data."""
    random = torch.Generator().manual_seed(0)
    shape = (sizes.batch, sizes.words)
    return [
        Batch(
            torch.randint(2, sizes.vocabulary, shape, generator=random),
            torch.full((sizes.batch,), sizes.words),
            torch.rand(sizes.batch, 1, generator=random),
        )
        for _ in range(count)
    ]


class Bare(nn.Module):
    """The networks alone: word vectors and BiLSTM of the generator, word vectors, LSTM and output of the encoder."""

    def __init__(self, vocabulary: int, embedding: int, hidden: int) -> None:
        super().__init__()
        self.ours, self.theirs = (nn.Embedding(vocabulary, embedding, padding_idx=0) for _ in range(2))
        self.generator = nn.LSTM(embedding, hidden, batch_first=True, bidirectional=True)
        self.encoder = nn.LSTM(embedding, hidden, batch_first=True)
        self.head, self.output = nn.Linear(2 * hidden, 1), nn.Linear(hidden, 1)

    def forward(self, batch: Batch) -> Tensor:
        """A loss that needs all of it."""
        assert batch.targets is not None
        logits: Tensor = self.head(self.generator(self.ours(batch.tokens))[0])
        outputs: Tensor = self.output(self.encoder(self.theirs(batch.tokens))[0].mean(1))
        return (outputs - batch.targets).square().sum() + logits.square().mean()


def bare_action(sizes: Sizes, batches: list[Batch], precision: str) -> Action:
    """A step of the bare networks."""
    torch.manual_seed(0)
    networks = Bare(sizes.vocabulary, PLANTED["embedding"], sizes.hidden).to(sizes.device)
    cuda = sizes.device.type == "cuda"
    optimizer = torch.optim.Adam(networks.parameters(), lr=1e-9, fused=cuda)
    ready = [batch.pin_memory() if cuda else batch for batch in batches]

    def step(chunk: int) -> None:
        for batch in ready[:chunk]:
            here = batch.to(sizes.device, non_blocking=True)
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(sizes.device.type, torch.bfloat16, enabled=precision == "bf16"):
                loss = networks(here)
            loss.backward()
            optimizer.step()

    return step


@torch.no_grad()
def decide(guide: Any, sizes: Sizes) -> None:
    """Give an untrained guide opinions: scores of words that differ by `sharp` nats, above 0 for the share `rate`."""
    batch = make_batches(sizes, 1)[0].to(sizes.device)
    head = guide.cell.direct if hasattr(guide, "cell") else guide.head
    scores = guide.generator(batch.tokens, batch.lengths) @ head.weight[0]
    scale = sizes.sharp / scores.std()
    head.weight.mul_(scale)
    head.bias.fill_(-float((scores * scale).quantile(1 - sizes.rate)))


def make_trainer(sizes: Sizes, guide: str, estimator: str, samples: int, **train: Any) -> Trainer:
    """The trainer of that guide and estimator, with an untrained guide that keeps the share `rate`."""
    torch.manual_seed(0)
    options = TrainOptions(
        estimator=estimator, samples=samples, batch_size=sizes.batch, anneal=0, learning_rate=1e-9, **train
    )
    config = Config(DataOptions(), ModelOptions(guide=guide, hidden=sizes.hidden, rate=sizes.rate), options).settled()
    model = build_model(config, SPEC, sizes.vocabulary, None, [0.5], 0.1)
    prior = starting_prior(config, model.gain)
    built = build_guide(config, sizes.vocabulary, None, prior.gamma)
    built.start_rate(sizes.rate)
    built.to(sizes.device)
    if sizes.sharp:
        decide(built, sizes)
    vocabulary = Vocabulary([])
    fitted = FittedModel(config, SPEC, vocabulary, model.to(sizes.device), built.to(sizes.device), sizes.device)
    control = RateControl(Schedule(0, 0, sizes.rate), prior)
    trainer = Trainer(fitted, build_objective(config), control, None, scale=0.1 * model.gain)  # type: ignore[arg-type]
    trainer._begun = CHECKED  # the first steps of a fit check everything; it is the others that take the time
    return trainer


def actions_of(
    sizes: Sizes, batches: list[Batch], kinds: list[tuple[str, str, int]], **train: Any
) -> Iterator[tuple[str, Action]]:
    """A step of each kind, by name."""
    for guide, estimator, samples in kinds:
        trainer = make_trainer(sizes, guide, estimator, samples, **train)

        def step(chunk: int, trainer: Trainer = trainer) -> None:
            for _ in trainer.steps(batches[:chunk]):
                pass

        yield f"{guide}, {estimator}, K = {samples}", step


@click.command()
@click.option("--device", default="cpu", show_default=True)
@click.option("--steps", default=8, show_default=True, help="rounds that count")
@click.option("--batch", "sizes", multiple=True, default=(64, 256), show_default=True, help="documents")
@size_options
@click.option("--sharp", default=0.0, show_default=True, help="nats by which scores of words differ, as after training")
@click.option("--only", multiple=True, help="guides or estimators to measure; may be repeated  [default: all]")
@click.option("--quick", is_flag=True, help="what has a bar, at the first batch size")
@click.option("--precision", default="float32", type=click.Choice(PRECISIONS), help="of our networks and the floor's")
@click.option("--graphs/--no-graphs", default=True, help="on a GPU: recurrences replayed from CUDA graphs")
@click.option("--threads", default=1, show_default=True)
@click.option("--json", "out", type=click.Path(path_type=Path), help="write the figures here, too")
def main(
    device: str,
    steps: int,
    sizes: tuple[int, ...],
    words: int,
    hidden: int,
    vocabulary: int,
    rate: float,
    sharp: float,
    only: tuple[str, ...],
    quick: bool,
    precision: str,
    graphs: bool,
    threads: int,
    out: Path | None,
) -> None:
    """Print the table."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    if precision == "tf32":
        torch.set_float32_matmul_precision("high")
    replay.GRAPHS = graphs
    place = pick_device(device)
    kinds = list(BARS) if quick else [(g, e, k) for g, e, samples in GRID for k in samples]
    kinds = [kind for kind in kinds if not only or set(only) & {*kind[:2], ", ".join(map(str, kind))}]
    facts: dict[str, Any] = {"benchmark": "step", **machine(place), "words": words, "hidden": hidden, "rate": rate}
    facts |= {"precision": precision, "graphs": graphs, "sharp": sharp}
    rows: list[dict[str, Any]] = []
    for size in sizes[:1] if quick else sizes:
        rows += measure(Sizes(size, words, hidden, vocabulary, rate, place, sharp), kinds, steps, precision=precision)
        write(out, {**facts, "rows": rows})
    title = f"{facts['device']}, {words} words, hidden {hidden}, {100 * rate:.0f} % kept, {precision}"
    Console().print(table(rows, title))


def measure(sizes: Sizes, kinds: list[tuple[str, str, int]], steps: int, **train: Any) -> list[dict[str, Any]]:
    """A row for each kind, at one batch size."""
    batches = make_batches(sizes)
    actions = {"floor": bare_action(sizes, batches, train.get("precision", "float32"))}
    actions |= dict(actions_of(sizes, batches, kinds, **train))
    cuda = sizes.device.type == "cuda"
    seconds = take_turns(actions, steps, sizes.device, chunk=8 if cuda else 1, warmup=2 if cuda else 1)
    rows: list[dict[str, Any]] = [{"step": "floor", "batch": sizes.batch, **ratios(seconds["floor"], seconds["floor"])}]
    for kind, (name, values) in zip(kinds, list(seconds.items())[1:], strict=True):
        bar = BARS.get(kind, (None, None))[cuda] if sizes.batch == 64 else None
        rows.append({"step": name, "batch": sizes.batch, **ratios(values, seconds["floor"]), "bar": bar})
    return rows


def table(rows: list[dict[str, Any]], title: str) -> Table:
    """For people."""
    made = Table(title=f"time of a training step over the bare networks ({title})")
    for column in ("guide, estimator, samples", "batch", "median", "lowest", "highest", "ms", "bar", ""):
        made.add_column(column, justify="left" if column.startswith("guide") else "right")
    for row in rows:
        bar = row.get("bar")
        verdict = "" if bar is None else "met" if row["ratio"] <= bar else "missed"
        figures = (f"{row[name]:.2f}" for name in ("ratio", "lowest", "highest"))
        shown = "" if bar is None else f"{bar:g}"
        made.add_row(row["step"], str(row["batch"]), *figures, f"{row['ms']:.1f}", shown, verdict)
    return made


if __name__ == "__main__":
    main()
