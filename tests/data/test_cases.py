"""Small odd files of kinds that people post in bug reports, see tests/cases/README.md: read right, or refused well.

Each file has a row: the documents by their target, or the words of the one line that refuses it. Where a file is read,
but not without a word to the user, the row holds words of that warning too.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.cli.input_texts import gather
from pyro_rationale.data import Corpus, DataOptions, Vocabulary, load_corpus
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.splits import check_parts
from pyro_rationale.data.vectors import load_vectors
from pyro_rationale.errors import RationaleError

CASES = Path(__file__).parents[1] / "cases"
RATINGS = {1.0: 20, 2.0: 21, 3.0: 32, 4.0: 23, 5.0: 24}
HALVES = {"neg": 60, "pos": 60}


@dataclass(frozen=True)
class Case:
    """How one file is read.

    Attributes:
        file: its name.
        target: `--target-column`.
        rows: how many documents have which rating, or which class by its name, or how many there are; `None`: it is
            refused.
        says: pattern of the warning, or of the refusal; empty: no warning at all.
        options: more of `DataOptions`.
        run: classes of the fitted run that reads the file; `None`: it is read in order to fit.
        first: tokens at the beginning of the first document.
        name: of the test, besides that of the file.
    """

    file: str
    target: str = "rating"
    rows: dict[Any, int] | int | None = None
    says: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    run: tuple[str, ...] | None = None
    first: str = "visit 0 :"
    name: str = ""


def case(file: str, **facts: Any) -> Any:
    """A row of the table."""
    made = Case(file, **facts)
    words = [file, made.name, *(f"{key}={value}" for key, value in made.options.items())]
    return pytest.param(made, id=" ".join(filter(None, words)))


BINARY: dict[str, Any] = {"options": {"task": "binary"}}
CLASSES: dict[str, Any] = {"options": {"task": "multiclass"}}


def thrice(file: str) -> dict[str, Any]:
    """Options of a file with too few texts to split: its documents are those of all three splits."""
    return {"options": {"dev_data": file, "test_data": file}}


NEG_POS: dict[str, Any] = {"target": "label", "run": ("neg", "pos")}

TABLES = [
    # quotation marks
    case("tsv_quotes_textfirst.tsv", target="label", rows=HALVES, says="120 rows read of 121 lines"),
    case("tsv_quotes_textlast.tsv", target="label", rows=HALVES, says="120 rows read of 121 lines"),
    case("torchtext612.tsv", target="label", rows={"first": 27, "second": 27}, first="first",
         **thrice("torchtext612.tsv")),
    case("backslash_quote.csv", rows=RATINGS, first='they said " hi "'),
    case("backslash_quote2.csv", rows=RATINGS, first='they said " hi "'),
    case("crlf_newlines.csv", rows=RATINGS, says="120 rows read of 361 lines"),
    # codes are classes as they are written
    case("id_big.csv", target="node", says="numbers like names, such as 1234568; say --task regression"),
    case("id_big.csv", target="node", rows={"1234567": 60, "1234568": 60}, **BINARY),
    case("id_big3.csv", target="node", rows={"1234567": 40, "1234568": 40, "7654321": 40}, **CLASSES),
    case("dates.csv", target="label", rows={"20240101": 60, "20240102": 60}, **BINARY),
    case("labels.csv", target="id", rows={"10000001": 14, "10000002": 12, "none": 14}, first="cheerful room"),
    case("id_underscore.csv", target="label", rows={"1_1": 31, "1_2": 29, "2_1": 29, "2_2": 31}),
    case("id_exponent.csv", target="label", rows={"1E5": 30, "2E5": 30, "3E1": 30, "10": 30}, **CLASSES),
    case("zeros.csv", target="code", rows={"001": 30, "01": 30, "1": 30, "2": 30}, **CLASSES),
    case("label_inf.csv", target="label", rows={"inf": 60, "sup": 60}),
    case("label_spaces.csv", target="label", rows={"very bad": 60, "very good": 60}),
    case("label_case.csv", target="label", rows={"POSITIVE": 30, "Positive": 30, "negative": 30, "positive": 30},
         says="POSITIVE, Positive, positive look alike"),
    case("agnews_ints.csv", target="class_index", rows={1.0: 30, 2.0: 30, 3.0: 30, 4.0: 30}),
    case("agnews_ints.csv", target="class_index", rows={"1": 30, "2": 30, "3": 30, "4": 30}, **CLASSES),
    case("imbalance.csv", target="label", rows={"ham": 118, "spam": 2}),
    case("imbalance1.csv", target="label", rows={"ham": 119, "spam": 1}),
    case("escape.csv", target="lab\x1b]0;title changed\x07", rows={"\x1b[31mA": 16, "B\u202e": 24}, first="cheerful"),
    # ratings as people write them
    case("semicolon_decimal_comma.csv",
         rows={1.0: 8, 1.5: 12, 2.0: 13, 2.5: 15, 3.0: 19, 3.5: 17, 4.0: 14, 4.5: 15, 5.0: 7},
         says="decimal comma, '1,5' is 1.5"),
    case("fraction.csv", rows=RATINGS, says="ratings out of 5, '1/5' is 1"),
    case("stars_word.csv", rows=RATINGS, says="numbers of stars, '1 stars' is 1"),
    case("percent.csv", rows=dict(zip(range(0, 101, 10), (7, 11, 10, 8, 13, 17, 9, 14, 11, 15, 5), strict=True)),
         says="percentages, '10%' is 10"),
    case("arabic_digits.csv", rows=RATINGS),
    case("negatives.csv", rows=120),
    case("mixed.csv", says="line 2: 'rating' is 'N/A'.*--skip-bad-rows"),
    case("mixed.csv", rows={1.0: 19, 2.0: 19, 3.0: 29, 4.0: 20, 5.0: 21}, says="left out 12 of 120 rows, first line 2",
         options={"skip_bad_rows": True}, first="visit 1 :"),
    case("outofrange.csv", rows={**RATINGS, 1.0: 19, 500.0: 1}, says=r"line 2\b.*500"),
    case("outlier.csv", target="y", rows=40, says=r"line 41.*100000", first="cheerful room"),
    case("onetwo.csv", target="label", rows={1.0: 60, 2.0: 60}),
    case("onetwo.csv", target="label", rows={"1": 60, "2": 60}, **BINARY),
    # what a fitted run makes of them
    case("eval_train_12.csv", target="label", rows={"1": 60, "2": 60}, **BINARY),
    case("eval_train_12.csv", target="label", rows={"1": 60, "2": 60}, run=("1", "2"), name="own run"),
    case("eval_test_01.csv", target="label", says="holds 0, 1, and the run's classes are 1, 2", run=("1", "2")),
    case("eval_case.csv", says="'NEG'.*none of the classes neg, pos", **NEG_POS),
    case("eval_newclass.csv", says="'neutral'.*none of the classes neg, pos", **NEG_POS),
    case("eval_onlypos.csv", rows={"pos": 60}, first="visit 2 :", **NEG_POS),
    case("eval_nocolumn.csv", says="has no column 'label'", **NEG_POS),
    case("twoclass_train.csv", target="label", rows=HALVES),
    # too little is left
    case("alldup.csv", says=r": 1 different training texts are too few"),
    case("dupes.csv", says=r": 6 different training texts are too few"),
    case("emojionly.csv", says=r": 4 different training texts are too few"),
    case("oneword.csv", says=r": 4 different training texts are too few"),
    case("oneword_unique.csv", rows=RATINGS, first="word0"),
    case("punct.csv", says=r": 2 different training texts are too few"),
    case("singleclass_dev.csv", target="label", says="one class|only .*'pos'|pos.* only"),
    # scripts
    case("bengali.csv", rows={rating: 3 * count for rating, count in RATINGS.items()}, **thrice("bengali.csv"),
         first="\u0996\u09be\u09ac\u09be\u09b0 \u0996\u09c1\u09ac"),
    case("cjk.csv", rows=RATINGS, first="\u6599"),
    case("rtl.csv", rows=RATINGS, first="\u0627\u0644\u0637\u0639\u0627\u0645 \u0643\u0627\u0646"),
    case("html.csv", rows=RATINGS),
    case("yelp_literal_n.csv", rows=RATINGS, first="visit 0 : cold soup and rude staff . the"),
    case("ellipsis_cells.csv", says=r"line 2: .*is empty.*--skip-bad-rows"),
    case("ellipsis_cells.csv", rows={1.0: 16, 2.0: 17, 3.0: 26, 4.0: 17, 5.0: 16},
         says="left out 16 of 120 rows that rate none", options={"skip_bad_rows": True}, first="visit 1 :"),
    # files as exported elsewhere
    case("bom.csv", rows=RATINGS),
    case("latin1.csv", says="line 2: byte 0xe9 is not UTF-8; in cp1252 the place reads 'caf\u00e9'.*--encoding cp1252"),
    case("latin1.csv", rows=RATINGS, options={"encoding": "cp1252"}),
    case("utf16.csv", says="is UTF-16; save it as UTF-8, or give --encoding utf-16"),
    case("utf16.csv", rows=RATINGS, options={"encoding": "utf-16"}),
    case("nul.csv", says=r"line \d+: holds a zero byte"),
    case("pipe.csv", rows=RATINGS),
    case("pipe.csv", rows=RATINGS, options={"separator": "|"}),
    case("pipe.csv", says="has text.rating.*--separator", options={"separator": ","}),
    case("sep_line.csv", rows=RATINGS),
    case("noheader.csv", says="--no-header"),
    case("noheader.csv", target="1", rows={"1": 60, "2": 60},
         options={"header": False, "text_column": "2", "task": "binary"}),
    case("dupheader.csv", says="line 1: 2 columns are named 'rating'"),
    case("caps_cols.csv", says="name a column with --text-column; it has Text, Rating"),
    case("caps_cols.csv", target="Rating", rows=RATINGS, options={"text_column": "Text"}),
    case("index_col.csv", rows=RATINGS),
    case("array.json", rows=RATINGS),
    case("array.jsonl", rows=RATINGS),
    case("resume.csv", rows={1.0: 24, 2.0: 23, 3.0: 32, 4.0: 21, 5.0: 20}),
    case("tok_train.csv", target="label", rows=HALVES, first="visit : cold"),
    case("rationale_user_col.csv", says="--rationale-column"),
    case("rationale_user_col.csv", rows=RATINGS, options={"rationale_column": "none"}),
    case("markup.csv", target="price [/night]", rows=40, first="cheerful room"),
    case("overflow.jsonl", target="y", says=r"line 40: "),
    case("dupkey.jsonl", target="y", says=r"line 40: .*'y' .*twice"),
    case("date.parquet", target="y", rows=40, first=""),
    case("utf8.parquet", target="y", says="row 1: 'text' cannot be read"),
    case("utf8.parquet", target="y", says="none of its 40 rows can be used .*row 1", options={"skip_bad_rows": True}),
]


def spec_of(classes: tuple[str, ...], target: str) -> TargetSpec:
    """The target of a run on these classes."""
    return TargetSpec("binary" if len(classes) == 2 else "multiclass", (target,), classes=classes)


def by_target(corpus: Corpus) -> Counter[Any]:
    """Number of documents per rating, or per class."""
    targets = [document.targets[0] for part in (corpus.train, corpus.dev, corpus.test) for document in part]
    classes = corpus.spec.classes
    return Counter(classes[int(target)] if classes else round(target, 6) for target in targets)


def load(case: Case, spec: TargetSpec | None) -> Corpus:
    """The corpus of a file; where it is for fitting, with the checks that precede it."""
    corpus = load_corpus(DataOptions(data=case.file, target_column=(case.target,), **case.options), spec)
    if spec is None:
        check_parts(corpus.name, (corpus.train, corpus.dev, corpus.test))
    return corpus


@pytest.mark.parametrize("case", TABLES)
def test_a_table(case: Case, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASES)
    spec = None if case.run is None else spec_of(case.run, case.target)
    caplog.set_level(logging.INFO, "pyro_rationale")
    if case.rows is None:
        with pytest.raises(RationaleError, match=case.says) as told:
            load(case, spec)
        assert case.file in str(told.value)
        assert "\n" not in str(told.value)
        return
    corpus = load(case, spec)
    found = by_target(corpus)
    assert (found.total() if isinstance(case.rows, int) else found) == case.rows
    assert all((corpus.train, corpus.dev, corpus.test)) or spec is not None
    warnings = " ".join(record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING)
    assert re.search(case.says, caplog.text) if case.says else not warnings, caplog.text or "no word about it"
    documents = [*corpus.train, *corpus.dev, *corpus.test]
    first = min(documents, key=lambda document: int(document.id.split()[-1]))
    assert " ".join(first.tokens).startswith(case.first)


# `explain --file`: the texts by their words (none: a line without a prediction), or the refusal.
TEXTS: dict[str, list[str] | str] = {
    "ansi.txt": ["[ 31mred [ 0m soup ] 0 ; title bell"],
    "blankmid.txt": ["lovely soup", "", "rude staff"],
    "bom.txt": ["lovely soup", "rude staff"],
    "crlf.txt": ["lovely soup", "rude staff"],
    "empty.txt": "is empty; expected rows of text",
    "invisible.txt": [""],
    "latin1.txt": "line 1: byte 0xe9 is not UTF-8; in cp1252 the place reads 'café'",
    "maccr.txt": ["lovely soup", "rude staff"],
    "markup.txt": ["[ bold ] lovely [ / bold ] soup [ / x ] [ red ]"],
    "nul.txt": "line 1: holds a zero byte",
    "onlyblank.txt": "is empty; expected rows of text",
    "punct.txt": ["!", "..."],
    "rtl.txt": [
        "\u0627\u0644\u0637\u0639\u0627\u0645 \u0643\u0627\u0646 "
        "\u0631\u0627\u0626\u0639\u064b\u0627 \u062c\u062f\u064b\u0627 ! \U0001f602"
    ],
    "three.txt": ["lovely soup and kind staff", "zz", "the pasta was dull , we paid and left , the pasta was dull"],
    "u2028.txt": ["first part second part third fourth", "next line"],
    "utf16.txt": "is UTF-16; save it as UTF-8",
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_to_explain(name: str) -> None:
    expected = TEXTS[name]
    path = CASES / "explain" / name
    if isinstance(expected, str):
        with pytest.raises(RationaleError, match=re.escape(expected)) as told:
            list(gather((), str(path), 256))
        assert str(path) in str(told.value)
    else:
        assert [" ".join(document.tokens) for document in gather((), str(path), 256)] == expected


# `--vectors`: the known of three words and the first number of the first, or the refusal.
VECTORS: dict[str, tuple[str, float] | str] = {
    "bom.txt": ("the soup", 1.0),
    "comma.txt": "line 1: ",
    "crlf.txt": ("the soup", 1.0),
    "dup.txt": ("the soup", 1.0),
    "empty_token.txt": ("the soup", 1.0),
    "header.txt": ("the soup", 1.0),
    "header_wrong_count.txt": "line 1: the header promises 1000 words, the file has 2",
    "latin_bad.txt": ("the soup", 1.0),
    "merge_conflict.txt": "line 1: ",
    "nan.txt": "line 2: expected a number, got 'nan'",
    "nbsp_token.txt": ("the soup", 1.0),
    "nfd.txt": ("soup caf\u00e9", 2.0),
    "numword_first.txt": ("the soup", 1.0),
    "plain.txt": ("the soup", 1.0),
    "spaces_first.txt": ("the soup", 1.0),
    "spaces_number.txt": "line 3: expected a word and 4 numbers",
    "spaces_tokens.txt": ("the soup", 1.0),
    "trailing_space.txt": ("the soup", 1.0),
    "two_cols_header_like.txt": "line 2: expected a word and 5 numbers",
    "width1_header.txt": ("the soup", 1.0),
}


@pytest.mark.parametrize("name", VECTORS)
def test_word_vectors(name: str) -> None:
    expected, path, vocabulary = VECTORS[name], CASES / "vec" / name, Vocabulary(["the", "soup", "caf\u00e9"])
    if isinstance(expected, str):
        with pytest.raises(RationaleError, match=re.escape(expected)) as told:
            load_vectors(path, vocabulary)
        assert str(path) in str(told.value)
    else:
        vectors = load_vectors(path, vocabulary)
        known = [word for word, has in zip(vocabulary.words, vectors.known.tolist(), strict=True) if has]
        assert (" ".join(known), vectors.matrix[vocabulary.words.index(known[0]), 0].item()) == expected


def test_every_file_has_its_row() -> None:
    tables = {row.values[0].file for row in TABLES}
    assert {path.name for path in CASES.iterdir() if path.is_file()} == tables | {"README.md"}
    assert {path.name for path in (CASES / "explain").iterdir()} == TEXTS.keys()
    assert {path.name for path in (CASES / "vec").iterdir()} == VECTORS.keys()
