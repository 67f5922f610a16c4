"""The first test documents of a run with their rationales, as Markdown: nobody chose them.

    python benchmarks/rationales.py --run RUN [--count 10]
"""

from __future__ import annotations

from pathlib import Path

import click
import torch

from pyro_rationale.commands import run_command
from pyro_rationale.data import load_corpus
from pyro_rationale.explain import describe
from pyro_rationale.fit import format_target
from pyro_rationale.posterior import ReadingOptions, read
from pyro_rationale.render import spans
from pyro_rationale.runs import Fitted

SPECIAL = str.maketrans({c: f"\\{c}" for c in "\\`*_[]<>#|~"})


def marked(text: str, kept: list[tuple[int, int]], end: int) -> str:
    """The text up to `end` in Markdown with the kept spans in bold."""
    parts, last = [], 0
    for start, stop in kept:
        parts += [text[last:start].translate(SPECIAL), "**", text[start:stop].translate(SPECIAL), "**"]
        last = stop
    tail = " …" if len(text) > end else ""
    return " ".join("".join([*parts, text[last:end].translate(SPECIAL), tail]).split())


@click.command()
@click.option("--run", "folder", required=True, type=click.Path(path_type=Path), help="folder of a fitted run")
@click.option("--count", default=10, show_default=True, help="documents")
def main(folder: Path, count: int) -> None:
    """Print them."""
    torch.set_num_threads(1)
    fitted = Fitted.load(folder, "cpu")
    documents = load_corpus(fitted.config.data, fitted.spec).test[:count]
    options = ReadingOptions(alternatives=0)
    for document, reading in zip(documents, read(fitted, documents, options), strict=True):
        told = "; ".join(describe(reading, fitted.spec, options.level))
        truth = ", ".join(format_target(document, fitted.spec))
        end = document.offsets[-1][1] if document.offsets else 0
        text = marked(document.text, list(spans(document, reading.kept)), end)
        click.echo(f"- {text}\n  <br>*{told}; true {truth}*\n")


if __name__ == "__main__":
    run_command(main)
