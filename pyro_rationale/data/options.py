"""The data half of a configuration: which corpus, read how. Flags are made from these fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pyro_rationale.options import check_fields, option
from pyro_rationale.tasks import TASKS


@dataclass(frozen=True)
class DataOptions:
    """Which texts to read, and how. Every field is a flag: `text_column` is `--text-column`."""

    GROUP: ClassVar[str] = "Data"

    data: str = option(
        "synthetic",
        "synthetic, imdb, movie-sentences, vader-movies, vader-amazon; beer:, eraser:, r2a:, hatexplain: or "
        "yelp-hat:FOLDER; or a path",
        common=True,
    )
    text_column: str | None = option(None, "column with the text (CSV, TSV, JSONL, Parquet)", common=True)
    target_column: tuple[str, ...] = option((), "column to predict; repeat it for several aspects", common=True)
    task: str = option("auto", "what the target is", choices=("auto", *TASKS))
    target_range: tuple[float, float] | None = option(None, "lowest and highest rating; else read off the data")
    skip_bad_rows: bool = option(False, "leave unusable rows out, and say how many, instead of stopping")
    drop_leaks: bool = option(False, "leave training texts out that stand, or nearly stand, in dev or test too")
    dev_data: str | None = option(None, "development file (tables, beer, eraser, r2a); else split off")
    test_data: str | None = option(None, "test file (tables, beer, eraser, r2a); else split off")
    annotations: str | None = option(None, "beer: annotations.json with gold rationales (used as test set)")
    aspect: str | None = option(None, "synthetic, beer and r2a: the rated aspect, by name or number (r2a: its task)")
    max_words: int = option(256, "cut texts after this many words", least=1, expected="at least 1")
    split_seed: int = option(0, "seed of the split, and of the planted reviews")
    documents: int = option(10000, "synthetic: training documents (dev and test: a quarter each, 10,000 at most)",
                            common=True)
    correlation: float = option(0.0, "synthetic: how strongly the aspects' ratings go together, 0 to 1")
    noise: float = option(0.05, "synthetic: standard deviation of the rating around the clause's valence")
    cache: str | None = option(
        None,
        "folder for fetched sources (default: the user's cache folder); tables and planted reviews are kept there as "
        "Arrow files and read from disk",
    )
    workers: int = option(1, "--cache: processes that cut texts into words", least=1, expected="at least 1")

    def __post_init__(self) -> None:
        check_fields(self)
