"""Near copies: processor seconds of cutting texts into words, of `near_pairs`, and of MinHash run by run in Python.

    python benchmarks/near_copies.py
    python benchmarks/near_copies.py --documents 100000

Run by run means what libraries do: hash one run of three words, permute the hash 64 times, keep the least of each.
"""

from __future__ import annotations

import hashlib
import time

import click
import numpy as np

from pyro_rationale.data import DataOptions
from pyro_rationale.data.corpora.synthetic import load_synthetic
from pyro_rationale.data.duplicates import number_words
from pyro_rationale.data.minhash import near_pairs
from pyro_rationale.data.tokenizers.unicode import tokenize

PRIME, PERMUTATIONS = np.uint64((1 << 61) - 1), 64


def run_by_run(tokens: tuple[str, ...], factors: np.ndarray, terms: np.ndarray) -> np.ndarray:
    """The MinHash sketch of a text, `(64,)`."""
    least = np.full(PERMUTATIONS, np.iinfo(np.uint64).max)
    for i in range(len(tokens) - 2):
        digest = hashlib.sha1(" ".join(tokens[i : i + 3]).encode()).digest()[:4]
        least = np.minimum(least, (factors * np.uint64(int.from_bytes(digest, "little")) + terms) % PRIME)
    return least


@click.command()
@click.option("--documents", default=5000, show_default=True, help="synthetic reviews")
def main(documents: int) -> None:
    """Print the seconds of the three."""
    train = load_synthetic(DataOptions(documents=documents)).train
    factors, terms = np.random.default_rng(0).integers(1, 2**32, size=(2, PERMUTATIONS), dtype=np.uint64)
    words, starts = number_words([train])
    actions = {
        "cut into words": lambda: [tokenize(document.text) for document in train],
        "near_pairs": lambda: near_pairs(words, starts, np.arange(len(train))),
        "run by run": lambda: [run_by_run(document.tokens, factors, terms) for document in train],
    }
    for name, action in actions.items():
        start = time.process_time()
        action()
        click.echo(f"{name:15} {time.process_time() - start:8.2f} s")


if __name__ == "__main__":
    main()
