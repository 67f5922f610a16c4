"""An index holds what a search needs; making it again goes on where it stopped."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from pyro_rationale.data.document import Document, make_document
from pyro_rationale.errors import ConfigError, DataError, RunError
from pyro_rationale.prediction import index as made
from pyro_rationale.prediction.embedding import Embedded, Floats
from pyro_rationale.prediction.index import (
    DOCUMENTS,
    INDEX,
    NEIGHBOURS,
    PARTS,
    TEXTS,
    VECTORS,
    Index,
    best_columns,
    check_model,
    index_of,
    make_index,
    packed,
)
from pyro_rationale.prediction.marked_text import MarkedText
from tests.support.word_embedder import WordEmbedder, corpus


@pytest.fixture
def parts_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made, "PART", 2)


@pytest.mark.usefixtures("parts_of_two")
def test_an_index_on_disk_is_that_in_memory(tmp_path: Path) -> None:
    told: list[int] = []
    stored = make_index(WordEmbedder(), iter(corpus()), tmp_path / "index", "corpus.jsonl", progress=told.append)
    held = index_of(WordEmbedder(), corpus())
    assert told == [2, 2, 2]
    assert not (tmp_path / "index" / PARTS).exists()
    np.testing.assert_array_equal(stored.vectors, held.vectors)
    assert list(stored.entries) == list(held.entries)
    assert len(stored) == stored.facts["texts"] == 5
    assert stored.facts["kept"] == held.facts["kept"] == sum(sum(entry.marked.mask) for entry in held.entries)
    assert stored.entries[-1].id == "c1"
    assert stored.entries[1:3] == [stored.entries[1], stored.entries[2]]
    with pytest.raises(IndexError):
        stored.entries[5]


def test_entries_show_the_kept_words_of_the_text(tmp_path: Path) -> None:
    text = "Please help: my “Phone” is \ud800 broken"
    document = make_document("x", text, max_words=6)
    index = make_index(WordEmbedder(), [document], tmp_path / "index")
    entry = index.entries[0]
    assert entry.marked.text == text
    assert [text[start:end] for start, end in entry.marked.spans] == ["Phone"]
    assert entry.marked == index_of(WordEmbedder(), [document]).entries[0].marked
    assert str(entry.marked).startswith("Please help: my “[Phone]” is")


@pytest.mark.parametrize("words", [1, 7, 8, 9, 16])
def test_masks_are_packed_to_bits(words: int) -> None:
    masks = [np.random.default_rng(i).random(words + i) < 0.5 for i in range(3)]
    bits = packed(masks)
    assert len(bits) == sum(-(-len(mask) // 8) for mask in masks)
    start = 0
    for mask in masks:
        size = -(-len(mask) // 8)
        np.testing.assert_array_equal(np.unpackbits(bits[start : start + size], count=len(mask)).astype(bool), mask)
        start += size


@pytest.mark.usefixtures("parts_of_two")
def test_it_goes_on_after_the_last_finished_part(tmp_path: Path) -> None:
    def interrupted() -> Iterator[Document]:
        yield from corpus()[:4]
        raise KeyboardInterrupt

    folder = tmp_path / "index"
    with pytest.raises(KeyboardInterrupt):
        make_index(WordEmbedder(), interrupted(), folder)
    with pytest.raises(RunError, match="not finished; go on"):
        Index.load(folder)
    embedder = WordEmbedder()
    index = make_index(embedder, corpus(), folder)
    assert embedder.read == ["c1"]
    np.testing.assert_array_equal(index.vectors, index_of(WordEmbedder(), corpus()).vectors)


@pytest.mark.usefixtures("parts_of_two")
def test_a_part_whose_texts_have_changed_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    with pytest.raises(DataError, match="'a1' stands twice"):
        make_index(WordEmbedder(), [*corpus()[:4], corpus()[0]], folder)
    changed = corpus()
    changed[1] = make_document("a2", "something else")
    (folder / PARTS / "000001.safetensors").write_bytes(b"damaged")
    embedder = WordEmbedder()
    index = make_index(embedder, changed, folder)
    assert embedder.read == ["a1", "a2", "b1", "b2", "c1"]
    assert index.entries[1].marked.text == "something else"


def test_an_index_of_another_model_is_not_gone_on_with(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    with pytest.raises(DataError, match="no text with a word"):
        make_index(WordEmbedder(), corpus()[-1:], folder)
    with pytest.raises(RunError, match="a part of an index by another model"):
        make_index(WordEmbedder(digest="2"), corpus(), folder)
    index = make_index(WordEmbedder(digest="2"), corpus(), folder, force=True)
    check_model(index, WordEmbedder(digest="2"), folder)
    with pytest.raises(ConfigError, match=r"--index .*: made with another model"):
        check_model(index, WordEmbedder(), folder)
    with pytest.raises(RunError, match="holds a finished index; search it, or replace it with --force"):
        make_index(WordEmbedder(digest="2"), corpus(), folder)


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(RunError, match="holds other files"):
        make_index(WordEmbedder(), corpus(), tmp_path)
    with pytest.raises(RunError, match="no index there"):
        Index.load(tmp_path)


def test_damage_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    make_index(WordEmbedder(), corpus(), folder)
    text = (folder / TEXTS).read_bytes()
    (folder / TEXTS).write_bytes(text.replace(b'"id"', b'"no"', 1))
    with pytest.raises(RunError, match="damaged at text 1"):
        Index.load(folder).entries[0]
    (folder / TEXTS).write_bytes(text[:-5])
    with pytest.raises(RunError, match=r"texts\.jsonl: missing or damaged"):
        Index.load(folder)
    facts = json.loads((folder / INDEX).read_text())
    (folder / INDEX).write_text(json.dumps(facts | {"format": "of tomorrow"}))
    (folder / "manifest.json").unlink()
    with pytest.raises(RunError, match="not an index of this version"):
        Index.load(folder)


@pytest.mark.parametrize("name", [INDEX, "manifest.json", VECTORS, DOCUMENTS, TEXTS])
def test_a_lost_or_damaged_file_is_made_again_by_force(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "index"
    vectors = make_index(WordEmbedder(), corpus(), folder).vectors.copy()
    (folder / name).write_text("{}")
    with pytest.raises(RunError, match=rf"{name}: .*make the index again with --force$"):
        Index.load(folder)
    (folder / name).unlink()
    if name != "manifest.json":  # without it the other files are taken as they are
        with pytest.raises(RunError, match=rf"{name}: missing.*; make the index again with --force$"):
            Index.load(folder)
    again = make_index(WordEmbedder(), corpus(), folder, force=True)
    np.testing.assert_array_equal(again.vectors, vectors)


def test_arrays_of_something_else_are_damage(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    make_index(WordEmbedder(), corpus(), folder)
    shutil.copy(folder / VECTORS, folder / DOCUMENTS)
    (folder / "manifest.json").unlink()
    with pytest.raises(RunError, match=r"documents\.safetensors: missing or damaged; make the index again"):
        Index.load(folder)


def test_a_pickled_index_needs_no_folder(tmp_path: Path) -> None:
    index = make_index(WordEmbedder(), corpus(), tmp_path / "index")
    copy = pickle.loads(pickle.dumps(index))
    assert copy.entries == list(index.entries)
    np.testing.assert_array_equal(copy.nearest(index.vectors)[0], index.nearest(index.vectors)[0])


def test_the_nearest_are_those_of_the_whole_matrix() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(300, 8)).astype(np.float32)
    index = Index(vectors, [], {})
    rows, scores = index.nearest(vectors[:270], 7)
    whole = vectors[:270] @ vectors.T
    np.testing.assert_array_equal(rows, np.argsort(-whole, axis=1, kind="stable")[:, :7])
    np.testing.assert_allclose(scores, np.sort(whole, axis=1)[:, ::-1][:, :7], rtol=1e-6)
    assert index.nearest(vectors[:0], 7)[0].shape == (0, 7)
    assert index.nearest(vectors[:1], 1000)[0].shape == (1, 300)


def test_ties_stand_in_the_order_of_the_corpus() -> None:
    scores = np.array([[1.0, 3.0, 2.0, 2.0, 2.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    assert best_columns(scores, 3).tolist() == [[1, 2, 3], [0, 1, 2]]
    assert best_columns(scores, 5).tolist() == [[1, 2, 3, 4, 0], [0, 1, 2, 3, 4]]


def test_inverted_lists_find_almost_all_of_the_nearest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    faiss = pytest.importorskip("faiss", reason="the extra 'search' is not installed")
    monkeypatch.setattr(made, "APPROXIMATE_FROM", 1000)
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 16))
    vectors = centres[rng.integers(40, size=1500)] + 0.5 * rng.normal(size=(1500, 16))
    unit: Floats = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    class Given(WordEmbedder):
        def encode(self, documents: Sequence[Document], query: bool = False) -> Embedded:
            places = [int(document.id) for document in documents]
            return Embedded(unit[places], [np.ones(1, dtype=bool)] * len(places))

    texts = [Document(str(i), "word", ("word",), ((0, 4),)) for i in range(1500)]
    index = make_index(Given(), texts, tmp_path / "index")
    assert index.facts["approximate"]
    exact = Index(unit, [], {})
    rows, scores = index.nearest(unit[:200], 10)
    true, near = exact.nearest(unit[:200], 10)
    found = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(rows.tolist(), true.tolist(), strict=True)])
    assert found > 0.95
    assert (rows[:, 0] == np.arange(200)).all()
    np.testing.assert_allclose(scores[:, 0], near[:, 0], rtol=1e-6)
    copy = pickle.loads(pickle.dumps(index))
    np.testing.assert_array_equal(copy.nearest(unit[:5], 10)[0], rows[:5])
    path = tmp_path / "index" / NEIGHBOURS
    whole = path.read_bytes()
    for content in (b"", whole[:1000], whole[:-9], b"\0" * 40 + whole[40:]):
        path.write_bytes(content)
        with pytest.raises(RunError, match=r"neighbours\.faiss: damaged; make the index again with --force"):
            Index.load(tmp_path / "index")
    manifest = tmp_path / "index" / "manifest.json"  # that of an older version does not list it
    manifest.write_text(manifest.read_text().replace(NEIGHBOURS, "other"))
    for content in (b"", whole[:1000], faiss.serialize_index(faiss.IndexFlatIP(16)).tobytes()):
        path.write_bytes(content)
        with pytest.raises(RunError, match=r"neighbours\.faiss of the index: damaged; make the index again"):
            Index.load(tmp_path / "index").nearest(unit[:5], 10)


def test_marked_text_is_harmless_and_complete() -> None:
    document = make_document("x", "keep <b>this</b> and \x1b[31m that" + " tail" * 300, max_words=6)
    marked = MarkedText.of(document, [True] * 4 + [False] * 2)
    assert "<b>" not in marked._repr_html_()
    assert "\x1b" not in str(marked)
    assert "more characters not read" in str(marked)
    assert marked.kept == "keep <b>this</b> and \ufffd["
    assert MarkedText.of(make_document("y", " "), []).kept == "(nothing)"
