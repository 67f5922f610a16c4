"""Options that say which texts to read, and how: the data part of a configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pyro_rationale.data.corpora import CORPORA
from pyro_rationale.data.tokenizers import TOKENIZERS
from pyro_rationale.errors import ConfigError
from pyro_rationale.options import BY_TEXTS, check_fields, option
from pyro_rationale.tasks import TASKS


@dataclass(frozen=True)
class DataOptions:
    """Which texts to read, and how. Every field is a flag: `text_column` is `--text-column`."""

    GROUP: ClassVar[str] = "Data"

    data: str = option(
        "synthetic",
        f"one of {', '.join(CORPORA)}, those with files of your own as NAME:FOLDER; or the path of a table or a folder",
        common=True,
    )
    text_column: str | tuple[str, ...] | None = option(
        None, "column with the text (CSV, TSV, JSONL, Parquet); --task ranking: repeat it for the other", common=True
    )
    target_column: tuple[str, ...] = option((), "column to predict; repeat it for several aspects", common=True)
    rationale_column: str | None = option(
        None, "column with gold rationales; none: there are none [default: rationale or rationales, if there is one]"
    )
    weight_column: str | None = option(None, "column with weights of the rows in a fit: one of weight 2 counts as two")
    encoding: str | None = option(None, "encoding of the table [default: UTF-8]")
    separator: str | None = option(None, "character between the fields of a CSV or TSV file; tab for tabs [default: "
                                         "likeliest]")
    header: bool = option(True, "the first line of a CSV or TSV file names the columns; else they are 1, 2, 3, ...")
    task: str = option("auto", "what the target is", choices=TASKS, also=("auto",))
    target_range: tuple[float, float] | None = option(None, "lowest and highest rating; else read off the data")
    skip_bad_rows: bool = option(False, "leave unusable rows out, and say how many, instead of stopping")
    drop_leaks: bool = option(False, "leave out training texts that also occur, exactly or nearly, in dev or test")
    dev_data: str | None = option(None, "development file (tables, beer, eraser, r2a); else split off")
    test_data: str | None = option(None, "test file (tables, beer, eraser, r2a); else split off")
    annotations: str | None = option(None, "beer: annotations.json with gold rationales (used as test set)")
    aspect: str | None = option(None, "synthetic, beer and r2a: the rated aspect, by name or number (r2a: its task)")
    max_words: int | None = option(None, "cut texts after this many words; default: 256 to 1,024, so that at most 5 % "
                                   "of all words are cut off", least=1, expected="at least 1", planted=256,
                                   usual=BY_TEXTS)
    tokenizer: str = option(
        "unicode", "how texts are split into words; or a function of yours as package.module:function",
        choices=TOKENIZERS,
    )
    split_seed: int = option(0, "seed of the split, and of the synthetic reviews")
    documents: int = option(10000, "synthetic, questions: training documents (dev and test: a quarter each, 10,000 or "
                                   "960 at most)", least=4, expected="at least 4", common=True)
    correlation: float = option(0.0, "synthetic: correlation of the aspects' latent ratings, 0 to 1", least=0, most=1,
                                expected="a number from 0 to 1")
    ambiguity: float = option(0.0, "questions: share of the questions that leave one of three things unsaid", least=0,
                              most=1, expected="a share from 0 to 1")
    title_pairs: bool = option(False, "pairs of texts: train on a title and its body as a pair, too")
    noise: float = option(0.05, "synthetic: standard deviation of the rating around the clause's valence", least=0,
                          expected="a standard deviation of 0 or more")
    cache: str | None = option(
        None,
        "folder for fetched sources (default: the user's cache folder); tables and synthetic reviews are kept there "
        "as Arrow files and read from disk, and so are the states of a frozen transformer",
    )
    workers: int = option(1, "--cache: processes that cut texts into words", least=1, expected="at least 1")

    def __post_init__(self) -> None:
        columns = self.text_columns
        if isinstance(self.text_column, tuple) and len(columns) < 2:  # one name as a text, as run folders have it
            object.__setattr__(self, "text_column", columns[0] if columns else None)
        check_fields(self)
        for flag, value in (("--data", self.data), ("--dev-data", self.dev_data), ("--test-data", self.test_data)):
            if value is not None and not str(value).strip():  # a variable that is not set, say
                raise ConfigError(f"{flag}: is empty; name a corpus, a file or a folder")
        if self.encoding is not None and not _is_text_encoding(self.encoding):
            raise ConfigError(f"--encoding: there is no encoding {self.encoding!r}; try utf-8, utf-16 or cp1252")
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n\0'):
            raise ConfigError(f"--separator: expected one character, or tab, got {self.separator!r}")

    @property
    def text_columns(self) -> tuple[str, ...]:
        """Names of the text columns given by `--text-column`."""
        return (self.text_column,) if isinstance(self.text_column, str) else tuple(self.text_column or ())

    @property
    def delimiter(self) -> str | None:
        """The character of `--separator`."""
        return "\t" if self.separator in ("tab", r"\t") else self.separator


def _is_text_encoding(name: str) -> bool:
    try:
        bytes(range(256)).decode(name, errors="replace")
    except (LookupError, ValueError):  # no text, or not for files
        return False
    return True
