"""The beer reviews of the paper, in its own file format: `--data beer:FOLDER --aspect aroma`.

BeerAdvocate withdrew the corpus; it is neither shipped nor fetched. Source of the formats: the files that Lei,
Barzilay and Jaakkola published with "Rationalizing Neural Predictions" (EMNLP 2016).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyro_rationale.data.corpora import CorpusLoader, aspect_number, data_path, find_file
from pyro_rationale.data.corpus import Corpus, TargetSpec
from pyro_rationale.data.document import Document, make_document
from pyro_rationale.data.files.text import Faults, check_whole, exists, read_lines, shown
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.targets import adapt_spec, number_of, read_cell
from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.storage import parse_json, user_path

ASPECTS = ("appearance", "aroma", "palate", "taste", "overall")
_OTHER_NAMES = {"look": 0, "smell": 1, "feel": 2, "mouthfeel": 2}
_ANNOTATIONS = "annotations.json"


def load_beer(options: DataOptions, spec: TargetSpec | None = None) -> Corpus:
    """Read one aspect of the beer reviews; ratings are in [0, 1].

    A folder is searched for `reviews.aspectN.train.txt.gz` and `.heldout.` (the paper's decorrelated sets) or else
    `reviews.260k.train.txt.gz` and `.heldout.`, and for `annotations.json`; `.gz` may be missing. Training reviews
    come from the first, dev reviews from the second (or `dev_data`), and test reviews, with gold rationales, from
    the third (or `annotations`). Without annotations the test reviews are those of `test_data`, or every second
    held-out one. `--data` is `beer:FOLDER`, `beer:FILE` or the folder alone.
    """
    aspect = aspect_number(options.aspect, ASPECTS, _OTHER_NAMES)
    known = adapt_spec("beer", TargetSpec("regression", (ASPECTS[aspect],), ((0.0, 1.0),)), spec)
    train_path, held_path, gold_path = _paths(options, aspect)
    train, held = (_documents(path, _review, aspect, options) for path in (train_path, held_path))
    if gold_path is not None:
        return Corpus(options.data, known, train, held, _documents(gold_path, _annotation, aspect, options))
    if options.test_data:
        test = _documents(user_path(options.test_data), _review, aspect, options)
        return Corpus(options.data, known, train, held, test)
    if len(held) < 2:
        raise DataError(f"{held_path}: one review cannot be dev and test; give {_ANNOTATIONS} or --test-data")
    return Corpus(options.data, known, train, held[::2], held[1::2])


def _paths(options: DataOptions, aspect: int) -> tuple[Path, Path, Path | None]:
    """The files of training, held-out and annotated reviews."""
    path = data_path(options, "beer")
    gold = user_path(options.annotations) if options.annotations else None
    if path.is_dir():
        train, held = _find(path, aspect, "train"), _find(path, aspect, "heldout", options.dev_data)
        if gold is None and not options.test_data and exists(path / _ANNOTATIONS):
            gold = path / _ANNOTATIONS
        return train, held, gold
    if not options.dev_data:
        raise ConfigError(f"--data beer:{path}: name the held-out reviews with --dev-data, or give their folder")
    return path, user_path(options.dev_data), gold


def _find(folder: Path, aspect: int, part: str, given: str | None = None) -> Path:
    names = [f"reviews.{which}.{part}.txt{gz}" for which in (f"aspect{aspect}", "260k") for gz in (".gz", "")]
    path = find_file(folder, names, given)
    if path is None:
        remedy = "put the paper's files there, or choose --aspect"
        raise DataError(f"{folder}: holds neither {names[0]} nor {names[2]}; {remedy}")
    return path


def _review(where: str, line: str, aspect: int, max_words: int | None) -> Document:
    """A line `y1 y2 ...<TAB>words`. Raises ValueError with what is wrong with it."""
    ratings, tab, text = line.partition("\t")
    if not tab:
        raise ValueError("has no tab between ratings and words")
    rating = _rating(ratings.split(), aspect)
    words = text.split()
    if not words:
        raise ValueError("has no words")
    return make_document(where, words, (rating,), max_words)


def _annotation(where: str, line: str, aspect: int, max_words: int | None) -> Document:
    """An object of `annotations.json`: `x` words, `y` ratings, `"0"` ... spans of words. Raises ValueError."""
    try:
        value = parse_json(line)
    except ValueError as error:
        raise ValueError(f"is not JSON ({getattr(error, 'msg', error)})") from None
    words = value.get("x") if isinstance(value, dict) else None
    if not isinstance(words, list) or not words or not all(isinstance(w, str) and w for w in words):
        raise ValueError("has no list of words 'x'")
    check_whole("its text", words)
    ratings = value.get("y")
    if not isinstance(ratings, list):
        raise ValueError("has no list of ratings 'y'")
    spans = value.get(str(aspect))
    if not isinstance(spans, list | None):
        raise ValueError(f"the spans of {ASPECTS[aspect]} are {shown(spans)}, not a list")
    return make_document(where, words, (_rating(ratings, aspect),), max_words, [spans])


def _rating(ratings: list[Any], aspect: int) -> float:
    if len(ratings) <= aspect:
        raise ValueError(f"has {len(ratings)} ratings, none for {ASPECTS[aspect]} (number {aspect})")
    rating = number_of(read_cell({ASPECTS[aspect]: ratings[aspect]}, ASPECTS[aspect]))
    if rating is None:
        raise ValueError(f"{ASPECTS[aspect]} is {shown(ratings[aspect])}, not a number")
    if not 0 <= rating <= 1:
        raise ValueError(f"{ASPECTS[aspect]} is {rating:g}, outside the range 0 to 1")
    return rating


def _documents(
    path: Path, parse: Callable[[str, str, int, int | None], Document], aspect: int, options: DataOptions
) -> tuple[Document, ...]:
    faults = Faults(path, options.skip_bad_rows)
    most = options.max_words
    documents = tuple(faults.parsed(read_lines(path), lambda where, line: parse(where, line, aspect, most)))
    faults.report()
    if not documents:
        raise DataError(f"{path}: none of its {faults.rows} lines can be used (first fault: {faults.first})")
    return documents


REGISTERED = CorpusLoader(
    load_beer,
    "the beer reviews of Lei, Barzilay and Jaakkola (EMNLP 2016), one aspect rated from 0 to 1",
    options=("aspect", "annotations", "dev_data", "test_data"),
    layout=("reviews.*.txt*",),
)
