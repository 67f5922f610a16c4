"""Reviews with the attention maps of several people, as in YELP-HAT: `--data yelp-hat:FOLDER`.

Source of the layout: Sen, Hartvigsen, Yin, Kong and Rundensteiner, "Human Attention Maps for Text Classification"
(ACL 2020), and its repository.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

from pyro_rationale.data.corpora import LABEL_OPTIONS, CorpusLoader, data_path
from pyro_rationale.data.corpora._annotated import Example, Part, assemble
from pyro_rationale.data.corpus import Corpus, TargetSpec
from pyro_rationale.data.files.tables import Row, Table, read_table
from pyro_rationale.data.files.text import Faults, shown
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.targets import cell_of, read_cell
from pyro_rationale.errors import DataError

LABEL, TEXT, MAP = "Input.label", "Input.text", "Answer.html_output"
_MARKED = "active"

Span = tuple[int, int]


def load_yelp_hat(options: DataOptions, spec: TargetSpec | None = None) -> Corpus:
    """Read the CSV files of a folder, or one file: a row per review and annotator.

    Rows of the same text are one document with several maps. It is read as running text: punctuation at the end of a
    marked word is marked with it. The documents are split 80/10/10. The annotator's own answer
    (`Answer.Q1Answer`) is not used: the label is the review's.
    """
    path = data_path(options, "yelp-hat")
    paths = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    if not paths:
        raise DataError(f"{path}: holds no .csv file; put the annotators' tables there")
    tables = [read_table(path) for path in paths]
    for table in tables:
        for name in (LABEL, TEXT, MAP):
            if table.columns.count(name) != 1:
                raise DataError(f"{table.path}, line 1: has not one column {name!r}; it needs {LABEL}, {TEXT}, {MAP}")
    return assemble(options, spec, "label", _parts(tables, options), [], [])


def _parts(tables: list[Table], options: DataOptions) -> list[Part]:
    """One part per file; a text belongs to the file that has it first."""
    first: dict[str, Row] = {}
    maps: dict[str, list[list[Span]]] = {}

    def parse(_: str, row: Row) -> tuple[str, list[Span]]:
        if row.fault:
            raise ValueError(row.fault)
        text = str(row.cells[TEXT])
        if not text.strip():
            raise ValueError(f"the text in {TEXT!r} is empty")
        known = first.get(text, row)
        if cell_of(row.cells[LABEL]) != cell_of(known.cells[LABEL]):
            raise ValueError(f"{LABEL!r} is {shown(row.cells[LABEL])}, unlike {known.where} of the same text")
        read_cell(row.cells, LABEL)
        spans = _marked(text, str(row.cells[MAP]))
        first.setdefault(text, row)
        return text, spans

    found = []
    for table in tables:
        faults, known = Faults(table.path, options.skip_bad_rows), len(first)
        for text, spans in faults.parsed(((row.where, row) for row in table.rows()), parse):
            maps.setdefault(text, []).append(spans)
        found.append((table.path.name, faults, list(first.items())[known:]))
    return [
        Part(
            faults,
            [
                Example(row.where, f"{name} {row.where}", text, cell_of(row.cells[LABEL]), tuple(maps[text]))
                for text, row in own
            ],
        )
        for name, faults, own in found
    ]


def _marked(text: str, written: str) -> list[Span]:
    """The characters of the words that a map marks: HTML with a `<span>` per word, or a 0 or 1 per word."""
    spans = [match.span() for match in re.finditer(r"\S+", text)]
    flags = written.split()
    if set(flags) <= {"0", "1"}:
        marks = [flag == "1" for flag in flags]
    else:
        parser = _Spans()
        parser.feed(written)
        parser.end_word()
        marks = [marked for _, marked in parser.words]
        other = [forms[0] for (forms, _), (a, b) in zip(parser.words, spans, strict=False) if text[a:b] not in forms]
        if other and len(marks) == len(spans):
            raise ValueError(f"its map has the word {shown(other[0])}, which is not at that place in its text")
    if len(marks) != len(spans):
        raise ValueError(f"its map has {len(marks)} words and its text {len(spans)}")
    return [span for span, marked in zip(spans, marks, strict=True) if marked]


class _Spans(HTMLParser):
    """Words inside `<span>` elements, each with whether its element is of the class `active`.

    Browser extensions leave elements inside such a span (`pri<i class="...">ce</i>`). It is one word all the same, with
    what they hold or without it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.words: list[tuple[tuple[str, ...], bool]] = []
        self.marked: bool | None = None
        self.pieces: list[tuple[str, bool]] = []  # text of the span, and whether it stands in an element inside
        self.inside, self.divided = 0, False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A word begins, or an element inside it."""
        if tag == "span":
            self.end_word()
            self.marked = _MARKED in (dict(attrs).get("class") or "").split()
        else:
            self.inside, self.divided = self.inside + 1, True

    def handle_endtag(self, tag: str) -> None:
        """A word ends, or an element inside it."""
        if tag == "span":
            self.end_word()
        else:
            self.inside = max(0, self.inside - 1)

    def handle_data(self, data: str) -> None:
        """Text in or between words."""
        self.pieces.append((data, self.inside > 0))

    def end_word(self) -> None:
        """Note what the span held."""
        if self.marked is not None:
            whole = "".join(text for text, _ in self.pieces)
            if self.divided:
                own = "".join(text for text, inside in self.pieces if not inside)
                forms = tuple(filter(None, ("".join(form.split()) for form in (whole, own))))
                self.words += [(forms, self.marked)] if forms else []
            else:
                self.words += [((word,), self.marked) for word in whole.split()]
        self.marked, self.pieces, self.inside, self.divided = None, [], 0, False


REGISTERED = CorpusLoader(
    load_yelp_hat,
    "reviews with the attention maps of several people (Sen et al., ACL 2020)",
    options=LABEL_OPTIONS,
    layout=("ham_part*.csv",),
)
