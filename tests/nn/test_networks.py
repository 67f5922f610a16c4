"""Readers, poolings and the BiLSTM: dropped words are not read, padding does not count, gradients are right."""

from __future__ import annotations

import itertools

import pytest
import torch
from pyro.ops.provenance import detach_provenance, get_provenance, track_provenance
from torch import Tensor, nn

from pyro_rationale.nn import ENCODERS, POOLINGS, BiLSTM, Encoder, make_embedding
from pyro_rationale.nn.encoders.lstm import LSTMEncoder
from pyro_rationale.nn.generators.bilstm import reverse_words
from pyro_rationale.nn.kernels.gated_lstm import gated_lstm, mask_gradient_only
from pyro_rationale.nn.packing import compact
from pyro_rationale.nn.pooling import make_pooling
from tests.support.tiny import named_reader

READERS = [name for name in ENCODERS if name != "transformer"]  # that one: test_pretrained.py
KINDS = pytest.mark.parametrize(("reader", "pooling"), list(itertools.product(READERS, POOLINGS)))
WORDS = 9
TOKENS = torch.tensor([[3, 5, 2, 8, 4, 7], [6, 2, 5, 3, 0, 0], [4, 0, 0, 0, 0, 0], [2, 7, 8, 0, 0, 0]])
LENGTHS = torch.tensor([6, 4, 1, 3])
MASKS = torch.tensor(
    [[0, 1, 1, 0, 1, 0], [1, 0, 0, 1, 0, 0], [1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]], dtype=torch.float64
)


def make_encoder(reader: str, pooling: str) -> Encoder:
    return Encoder(make_embedding(WORDS, 3), named_reader(reader, 3, 4), pooling, 2).double()


def double(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


def soft_masks() -> Tensor:
    inside = torch.arange(TOKENS.shape[1]) < LENGTHS[:, None]
    return (0.1 + 0.8 * torch.rand(TOKENS.shape, dtype=torch.float64)) * inside


def through(z: Tensor) -> Tensor:
    """A mask that has a gradient, with equal numbers: a straight-through estimator hands such masks to the encoder."""
    return z.clone().requires_grad_()


# The gated LSTM.


@pytest.mark.parametrize(("rows", "length", "width"), [(2, 3, 2), (1, 3, 2), (3, 1, 2), (1, 1, 3), (3, 2, 1)])
def test_gated_lstm_gradients(rows: int, length: int, width: int) -> None:
    arguments = [double(rows, length, 4 * width), double(4 * width, width), torch.rand(rows, length).double()]
    for argument in arguments:
        argument.requires_grad_()
    assert torch.autograd.gradcheck(gated_lstm, tuple(arguments))


def test_gated_lstm_gradient_of_the_weights_alone() -> None:
    shapes = (3, 5, 8), (8, 2), (3, 5)
    arguments = tuple(torch.rand(shape, dtype=torch.float64, requires_grad=True) for shape in shapes)
    expected = torch.autograd.grad(gated_lstm(*arguments).square().sum(), arguments[2])[0]
    with mask_gradient_only():
        states = gated_lstm(*arguments)
    found = torch.autograd.grad(states.square().sum(), arguments, allow_unused=True)
    assert [value is None for value in found] == [True, True, False]
    assert torch.equal(found[2], expected)


@pytest.mark.parametrize("block", [1, 12, 1000])
def test_gated_lstm_gradients_in_blocks_of_words(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, however many words are computed at once: one, two with one left over, or all."""
    arguments = (double(3, 5, 8), double(8, 2), torch.rand(3, 5).double())
    for value in arguments:
        value.requires_grad_()
    expected = torch.autograd.grad(gated_lstm(*arguments).square().sum(), arguments)
    monkeypatch.setattr("pyro_rationale.nn.kernels.gated_lstm.BLOCK", block)
    found = torch.autograd.grad(gated_lstm(*arguments).square().sum(), arguments)
    with mask_gradient_only():
        alone = torch.autograd.grad(gated_lstm(*arguments).square().sum(), arguments[2])
    assert all(torch.equal(one, other) for one, other in zip((*found, *alone), (*expected, expected[2]), strict=True))


def test_gated_lstm_gradients_at_hard_weights() -> None:
    """At 0 and 1 too, where a straight-through estimator asks for them."""
    weights = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]], dtype=torch.float64, requires_grad=True)
    projected, recurrent = double(2, 3, 8).requires_grad_(), double(8, 2).requires_grad_()
    assert torch.autograd.gradcheck(gated_lstm, (projected, recurrent, weights))


@pytest.mark.parametrize("at", [0, 2])
def test_gated_lstm_keeps_gradients_under_provenance(at: int) -> None:
    """Pyro's `TraceGraph_ELBO` wraps whatever depends on a sample."""
    arguments = [double(2, 3, 8).requires_grad_(), double(8, 2).requires_grad_(), torch.rand(2, 3).double()]
    plain = torch.autograd.grad(gated_lstm(*arguments).sum(), arguments[:2])
    watched = [track_provenance(a, frozenset({"z"})) if i == at else a for i, a in enumerate(arguments)]
    states = gated_lstm(*watched)
    assert get_provenance(states) == {"z"}
    torch.testing.assert_close(torch.autograd.grad(detach_provenance(states).sum(), arguments[:2]), plain)


@pytest.mark.parametrize(("rows", "length"), [(1, 4), (4, 1), (2, 3)])
def test_gated_lstm_leaves_its_input_alone(rows: int, length: int) -> None:
    projected = double(rows, length, 8).requires_grad_()
    before = projected.detach().clone()
    gated_lstm(projected, double(8, 2), torch.rand(rows, length).double()).sum().backward()
    assert torch.equal(projected, before)


def test_gated_lstm_leaves_the_incoming_gradient_alone() -> None:
    """The backward pass works in place; a gradient laid out as it likes it must be copied first."""
    projected = double(2, 3, 8).requires_grad_()
    states = gated_lstm(projected, double(8, 2), torch.ones(2, 3, dtype=torch.float64))
    incoming = double(3, 2, 2).transpose(0, 1)
    before = incoming.clone()
    (once,) = torch.autograd.grad(states, projected, incoming, retain_graph=True)
    assert torch.equal(incoming, before)
    (twice,) = torch.autograd.grad(states, projected, incoming)
    assert torch.equal(once, twice)


def test_gated_lstm_is_torchs_at_weight_one() -> None:
    """Values and gradients of all four parameters."""
    reader = LSTMEncoder(3, 4).double()
    inputs, ones = double(5, 7, 3), torch.ones(5, 7, dtype=torch.float64)
    target = double(5, 7, 4)
    results = []
    for hard in (True, False):
        states = reader(inputs, ones, hard)
        results.append((states, torch.autograd.grad((states * target).sum(), list(reader.parameters()))))
    torch.testing.assert_close(results[0], results[1])


def test_gated_lstm_copies_its_state_at_weight_zero() -> None:
    reader = LSTMEncoder(3, 4).double()
    inputs = double(1, 5, 3)
    weights = torch.tensor([[0.0, 1.0, 0.0, 1.0, 0.0]], dtype=torch.float64)
    states = reader(inputs, weights, False)
    kept = reader(inputs[:, [1, 3]], weights[:, [1, 3]], True)
    assert torch.equal(states[:, 0], torch.zeros(1, 4, dtype=torch.float64))
    torch.testing.assert_close(states[:, 1], kept[:, 0])
    assert torch.equal(states[:, 2], states[:, 1])
    torch.testing.assert_close(states[:, 4], kept[:, 1])


# Compaction.


def test_compaction_keeps_order_and_nothing_else() -> None:
    kept = compact(TOKENS, MASKS, LENGTHS)
    assert kept.words.tolist() == [[5, 2, 4], [6, 3, 0], [4, 0, 0], [0, 0, 0]]
    assert kept.weights.tolist() == [[1, 1, 1], [1, 1, 0], [1, 0, 0], [0, 0, 0]]
    assert kept.lengths.tolist() == [3, 2, 1, 0]


def test_compaction_of_nothing_is_well_formed() -> None:
    kept = compact(TOKENS, torch.zeros_like(MASKS), LENGTHS)
    assert kept.words.shape == (4, 1)
    assert not kept.words.any()
    assert not kept.lengths.any()


def test_compaction_never_keeps_padding() -> None:
    kept = compact(TOKENS, torch.ones_like(MASKS), LENGTHS)
    assert kept.lengths.tolist() == LENGTHS.tolist()
    assert torch.equal(kept.words, TOKENS)


def test_compaction_reads_all_words_of_a_straight_through_mask_only() -> None:
    assert compact(TOKENS, through(MASKS), LENGTHS).lengths.tolist() == LENGTHS.tolist()
    relaxed = torch.where(MASKS > 0, 0.9, 1e-4).requires_grad_()
    assert compact(TOKENS, relaxed, LENGTHS).lengths.tolist() == [3, 2, 1, 0]
    assert compact(TOKENS, relaxed.detach(), LENGTHS).lengths.tolist() == [3, 2, 1, 0]


# Every reader with every pooling.


@KINDS
@pytest.mark.parametrize("straight_through", [False, True])
@pytest.mark.parametrize("padding", [0, 3])
def test_dropped_words_are_not_read(reader: str, pooling: str, straight_through: bool, padding: int) -> None:
    """A mask gives what the text without the dropped words gives, by the fast and by the differentiable path."""
    encoder = make_encoder(reader, pooling)
    tokens, masks = (nn.functional.pad(part, (0, padding)) for part in (TOKENS, MASKS))
    found = encoder(tokens, through(masks) if straight_through else masks, LENGTHS)
    for row, mask in enumerate(MASKS):
        words = TOKENS[row, mask > 0][None]
        if words.shape[1]:
            alone = encoder(words, torch.ones_like(words).double(), torch.tensor([words.shape[1]]))
        else:
            alone = encoder.output(torch.zeros(1, encoder.reader.width, dtype=torch.float64))
        torch.testing.assert_close(found[row], alone[0])


@KINDS
def test_other_words_do_move_the_output(reader: str, pooling: str) -> None:
    """The test above would be passed by an encoder that reads nothing."""
    encoder = make_encoder(reader, pooling)
    kept = encoder(TOKENS, MASKS, LENGTHS)
    other = torch.where((MASKS > 0) & (torch.arange(6) < 2), (TOKENS % 7) + 1, TOKENS)
    moved = (encoder(other, MASKS, LENGTHS) - kept).abs().amax(-1)
    assert (moved[:3] > 1e-6).all()
    dropped = torch.where(MASKS == 0, (TOKENS % 7) + 1, TOKENS)
    torch.testing.assert_close(encoder(dropped, MASKS, LENGTHS), kept, rtol=0, atol=0)


@KINDS
@pytest.mark.parametrize("padding", [0, 4])
def test_soft_masks_and_padding(reader: str, pooling: str, padding: int) -> None:
    """A document by itself gives the same as within a padded batch."""
    encoder = make_encoder(reader, pooling)
    masks = soft_masks()
    tokens, padded = (nn.functional.pad(part, (0, padding)) for part in (TOKENS, masks))
    found = encoder(tokens, padded, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = encoder(TOKENS[row : row + 1, :length], masks[row : row + 1, :length], LENGTHS[row : row + 1])
        torch.testing.assert_close(found[row], alone[0])


@KINDS
def test_soft_masks_approach_hard_ones(reader: str, pooling: str) -> None:
    encoder = make_encoder(reader, pooling)
    hard = encoder(TOKENS, MASKS, LENGTHS)[:3]
    inside = torch.arange(TOKENS.shape[1]) < LENGTHS[:, None]
    distances = []
    for far in (1e-1, 3e-2, 1.1e-2):
        soft = (far + (1 - 2 * far) * MASKS) * inside
        distances.append(float((encoder(TOKENS, soft, LENGTHS)[:3] - hard).detach().abs().max()))
    assert distances[0] > distances[1] > distances[2]
    assert distances[2] < 0.2 * distances[0]


@KINDS
def test_gradients_at_soft_masks(reader: str, pooling: str) -> None:
    encoder = make_encoder(reader, pooling)
    masks = soft_masks()[:, :4].requires_grad_()
    lengths = LENGTHS.clamp(max=4)
    assert torch.autograd.gradcheck(lambda z: encoder(TOKENS[:, :4], z, lengths), masks)


@KINDS
def test_straight_through_gradients_reach_dropped_words(reader: str, pooling: str) -> None:
    """The gradient of each word, kept or dropped, is the slope of the soft path at the hard mask."""
    encoder = make_encoder(reader, pooling)
    z = through(MASKS[:3])
    (slopes,) = torch.autograd.grad(encoder(TOKENS[:3], z, LENGTHS[:3])[:, 0].sum(), z)
    inside = torch.arange(TOKENS.shape[1]) < LENGTHS[:3, None]
    assert not slopes[~inside].any()
    reached = slopes[0] != 0
    if (reader, pooling) == ("cnn", "last"):  # the first word stands before the three kept ones of the last window
        assert not reached[0]
        reached = reached[1:]
    assert reached.all()


@KINDS
def test_inserting_a_word_by_degrees(reader: str, pooling: str) -> None:
    """Finite differences of a dropped word's weight, on the differentiable path itself."""
    encoder = make_encoder(reader, pooling)
    z = through(MASKS[:2])
    (slopes,) = torch.autograd.grad(encoder(TOKENS[:2], z, LENGTHS[:2])[:, 0].sum(), z)
    inputs = encoder.embedding(TOKENS[:2])

    def output(weights: Tensor) -> Tensor:
        states = encoder.reader(inputs, weights, False)
        return encoder.output(encoder.pooling(states, weights, LENGTHS[:2]))[:, 0].sum()

    step = 1e-6
    for row, t in ((0, 0), (0, 3), (0, 5), (1, 1), (1, 2)):
        nudged = MASKS[:2].clone()
        nudged[row, t] += step
        rise = (output(nudged) - output(MASKS[:2])) / step
        assert float(rise.detach()) == pytest.approx(float(slopes[row, t]), rel=1e-3, abs=1e-6)


@KINDS
@pytest.mark.parametrize("straight_through", [False, True])
def test_an_empty_mask_gives_the_bias_and_finite_gradients(
    reader: str, pooling: str, straight_through: bool
) -> None:
    encoder = make_encoder(reader, pooling)
    empty = torch.zeros_like(MASKS)
    z = through(empty) if straight_through else empty
    outputs = encoder(TOKENS, z, LENGTHS)
    torch.testing.assert_close(outputs, encoder.output.bias.expand(4, 2))
    outputs.sum().backward()
    gradients = [parameter.grad for parameter in encoder.parameters()] + ([z.grad] if straight_through else [])
    assert all(gradient is None or torch.isfinite(gradient).all() for gradient in gradients)


@KINDS
def test_leading_sample_dimensions(reader: str, pooling: str) -> None:
    encoder = make_encoder(reader, pooling)
    masks = torch.stack([MASKS, soft_masks(), MASKS.flip(0) * (TOKENS > 0)])[:, None].expand(3, 2, 4, 6)
    outputs = encoder(TOKENS, masks, LENGTHS)
    assert outputs.shape == (3, 2, 4, 2)
    for s in range(3):
        torch.testing.assert_close(outputs[s, 1], encoder(TOKENS, masks[s, 1], LENGTHS))


def test_dropout_is_for_training_only() -> None:
    encoder = Encoder(make_embedding(WORDS, 3), named_reader("lstm", 3, 4), "mean", 2, dropout=0.5).double()
    ones = (TOKENS > 0).double()
    assert not torch.equal(encoder(TOKENS, ones, LENGTHS), encoder(TOKENS, ones, LENGTHS))
    encoder.eval()
    assert torch.equal(encoder(TOKENS, ones, LENGTHS), encoder(TOKENS, ones, LENGTHS))


# Pooling by hand.


def test_poolings_by_hand() -> None:
    states = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [9.0, 9.0]]])
    weights, lengths = torch.tensor([[0.5, 1.0, 0.0]]), torch.tensor([2])
    assert make_pooling("last", 2)(states, weights, lengths).tolist() == [[3.0, 6.0]]
    torch.testing.assert_close(
        make_pooling("mean", 2)(states, weights, lengths), torch.tensor([[3.5 / 1.5, 7.0 / 1.5]])
    )
    attention = make_pooling("attention", 2)
    scores = attention.get_submodule("score")(states)[0, :, 0]
    shares = scores[:2].exp() * weights[0, :2]
    expected = (states[0, :2] * shares[:, None]).sum(0) / shares.sum()
    torch.testing.assert_close(attention(states, weights, lengths)[0], expected)


# The generator.


@pytest.mark.parametrize("layers", [1, 2])
def test_bilstm_is_torchs_packed_one(layers: int) -> None:
    bilstm = BiLSTM(make_embedding(WORDS, 3), 4, layers).double()
    reference = nn.LSTM(3, 4, layers, batch_first=True, bidirectional=True).double()
    for layer in range(layers):
        for ours, suffix in ((bilstm.forwards[layer], ""), (bilstm.backwards[layer], "_reverse")):
            for name, value in ours.named_parameters():
                reference.get_parameter(f"{name[:-1]}{layer}{suffix}").data.copy_(value)
    packed = nn.utils.rnn.pack_padded_sequence(
        bilstm.embedding(TOKENS), LENGTHS, batch_first=True, enforce_sorted=False
    )
    expected, _ = nn.utils.rnn.pad_packed_sequence(reference(packed)[0], batch_first=True)
    inside = torch.arange(TOKENS.shape[1]) < LENGTHS[:, None]
    torch.testing.assert_close(bilstm(TOKENS, LENGTHS)[inside], expected[inside])


def test_bilstm_does_not_see_padding() -> None:
    bilstm = BiLSTM(make_embedding(WORDS, 3), 4, layers=2).double()
    garbage = torch.where(TOKENS > 0, TOKENS, 7)
    wider = nn.functional.pad(garbage, (0, 4), value=5)
    narrow, wide = bilstm(TOKENS, LENGTHS), bilstm(wider, LENGTHS)
    inside = torch.arange(TOKENS.shape[1]) < LENGTHS[:, None]
    torch.testing.assert_close(wide[:, :6][inside], narrow[inside])
    assert narrow.shape == (4, 6, bilstm.width)


def test_bilstm_sees_both_sides() -> None:
    bilstm = BiLSTM(make_embedding(WORDS, 3), 4).double()
    plain = bilstm(TOKENS[:1], LENGTHS[:1])
    other = TOKENS[:1].clone()
    other[0, 3] = 6
    assert ((bilstm(other, LENGTHS[:1]) - plain).abs().amax(-1) > 1e-9).all()


def test_reverse_words() -> None:
    values = torch.arange(10).reshape(2, 5, 1)
    assert reverse_words(values, torch.tensor([3, 5]))[..., 0].tolist() == [[2, 1, 0, 3, 4], [9, 8, 7, 6, 5]]


# Embeddings.


def test_embeddings_start_where_they_are_told() -> None:
    vectors = torch.randn(WORDS, 3)
    vectors[0] = 0.0
    embedding = make_embedding(WORDS, 5, vectors)
    assert torch.equal(embedding.weight, vectors)
    assert embedding.weight.requires_grad
    assert embedding.embedding_dim == 3
    assert embedding.weight.data_ptr() != vectors.data_ptr()
    assert not make_embedding(WORDS, 5, vectors, frozen=True).weight.requires_grad
    fresh = make_embedding(1000, 5, seed_scale=0.1)
    assert not fresh.weight[0].any()
    assert float(fresh.weight[1:].detach().std()) == pytest.approx(0.1, rel=0.05)
