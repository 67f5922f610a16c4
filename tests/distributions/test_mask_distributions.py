"""Promises of every mask distribution, for all families: moments, samplers, shapes, lengths, gradients, Pyro."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any, cast

import pyro
import pytest
import torch
from pyro import poutine
from torch import Tensor

from pyro_rationale.distributions import LinearChain, MaskDistribution, RecurrentMask
from tests.support.mask_families import BY_NAME, FAMILIES, LENGTHS, Family
from tests.support.oracle import all_masks, chi_square_z, padded

families = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
learned = pytest.mark.parametrize(
    "family", [family for family in FAMILIES if family.name != "prior"], ids=lambda family: family.name
)
SIZE = 6


def lengths() -> Tensor:
    return torch.tensor(LENGTHS)


def moments(law: MaskDistribution) -> dict[str, Tensor]:
    return {"mean": law.mean, "change": law.change, "entropy": law.entropy(), "variance": law.variance}


@families
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 2e-6)])
def test_moments_are_those_of_the_table(family: Family, dtype: torch.dtype, tolerance: float) -> None:
    parameters = family.draw()
    law = family.make([part.to(dtype) for part in parameters], lengths())
    for row, length in enumerate(LENGTHS):
        exact = family.document(parameters, row, length)
        expected = {
            "mean": padded(exact.mean, SIZE),
            "change": padded(exact.change, SIZE - 1),
            "entropy": exact.entropy,
            "variance": padded(exact.mean * (1 - exact.mean), SIZE),
        }
        for name, value in moments(law).items():
            assert value.dtype == dtype
            torch.testing.assert_close(value[row].double(), expected[name], rtol=tolerance, atol=tolerance)


@families
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 5e-6)])
def test_variances_of_weighted_sums_are_those_of_the_table(
    family: Family, dtype: torch.dtype, tolerance: float
) -> None:
    """Two sets of weights at once, with numbers on the padding too; and their gradients."""
    parameters = [part.requires_grad_() for part in family.draw()]
    law = family.make([part.to(dtype) for part in parameters], lengths())
    weights = torch.randn(2, 3, SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    if not law.has_exact_marginals:
        with pytest.raises(NotImplementedError, match="covariances"):
            law.weighted_variance(weights)
        return
    found, expected = law.weighted_variance(weights.to(dtype)), []
    for row, length in enumerate(LENGTHS):
        exact = family.document(parameters, row, length)
        sums = weights[:, row, :length] @ exact.masks.t()
        mean = torch.stack([exact.expect(value) for value in sums])
        square = torch.stack([exact.expect(value.square()) for value in sums])
        expected.append(square - mean.square())
    known = torch.stack(expected, dim=-1)
    torch.testing.assert_close(found.double(), known, rtol=tolerance, atol=tolerance)
    if family.name != "prior":
        ours, theirs = (torch.autograd.grad(value.double().sum(), parameters) for value in (found, known))
        for our, their in zip(ours, theirs, strict=True):
            torch.testing.assert_close(our, their, rtol=tolerance, atol=10 * tolerance)


@families
@pytest.mark.parametrize("seed", range(4))
def test_the_mode_is_a_most_probable_mask(family: Family, seed: int) -> None:
    parameters = family.draw(seed)
    mode = family.make(parameters, lengths()).mode
    assert mode.shape == (3, SIZE)
    for row, length in enumerate(LENGTHS):
        exact = family.document(parameters, row, length)
        assert mode[row, length:].eq(0).all()
        torch.testing.assert_close(exact.log_prob(mode[row, :length]), exact.log_probs.max())


@families
def test_log_prob_is_the_table_and_sums_to_one(family: Family) -> None:
    parameters = family.draw()
    law = family.make(parameters, lengths())
    for row, length in enumerate(LENGTHS):
        masks = all_masks(length)
        batch = torch.zeros(len(masks), 3, SIZE, dtype=torch.float64)
        batch[:, row, :length] = masks
        log_prob = law.log_prob(batch)
        assert log_prob.shape == (len(masks), 3)
        torch.testing.assert_close(log_prob[:, row], family.document(parameters, row, length).log_probs)
        torch.testing.assert_close(log_prob[:, row].exp().sum(), torch.tensor(1.0, dtype=torch.float64))


@families
def test_log_prob_ignores_what_stands_on_padding(family: Family) -> None:
    law = family.make(family.draw(), lengths())
    masks = law.mode
    dirty = torch.where(law.word_mask, masks, 1.0)
    assert not torch.equal(masks, dirty)
    torch.testing.assert_close(law.log_prob(masks), law.log_prob(dirty))


@families
def test_samples_follow_the_table(family: Family) -> None:
    parameters = family.draw(1)
    torch.manual_seed(5)
    samples = family.make(parameters, lengths()).sample((20_000,))
    assert samples.shape == (20_000, 3, SIZE)
    for row, length in enumerate(LENGTHS):
        assert samples[:, row, length:].eq(0).all()
        # A relaxed sample is above 1/2 as often as the mask is 1, and a HardKuma weight above 0.
        hard = (samples[:, row, :length] > (0.0 if family.name == "hardkuma" else 0.5)).double()
        z = chi_square_z(family.document(parameters, row, length), hard)
        assert abs(z) < 4.5, f"row {row}: chi-square is {z:.1f} standard deviations away"


@families
def test_precise_samples_are_0_1_masks_that_follow_the_table(family: Family) -> None:
    parameters = family.draw(1)
    law = family.make([part.float() for part in parameters], lengths())
    torch.manual_seed(5)
    samples = law.precise_sample((10_000,))
    assert samples.dtype == law.mean.dtype == torch.float32
    assert set(samples.unique().tolist()) == {0.0, 1.0}
    for row, length in enumerate(LENGTHS):
        assert samples[:, row, length:].eq(0).all()
        z = chi_square_z(family.document(parameters, row, length), samples[:, row, :length].double())
        assert abs(z) < 4.5, f"row {row}: chi-square is {z:.1f} standard deviations away"


@families
def test_whether_masks_can_be_drawn_from_given_numbers_is_said(family: Family) -> None:
    law = family.make(family.draw(1), lengths())
    assert law.has_sample_from == ("recurrent" not in family.name)
    uniform = torch.rand(7, 3, SIZE, dtype=torch.float64)
    if law.has_sample_from:
        assert law.expand((7, 3)).has_sample_from
        assert set(law.sample_from(uniform).unique().tolist()) == {0.0, 1.0}
        return
    with pytest.raises(NotImplementedError, match="draws no masks from given numbers"):
        law.sample_from(uniform)


@pytest.mark.parametrize("name", ["chain", "independent", "nonempty-chain", "recurrent", "units-chain"])
def test_precise_samples_keep_rare_words_as_often_as_they_should(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers in float32 cannot tell e^-25 and 1 - e^-25 = 1 - 1.4e-11 from 0 and 1."""
    rare, family = math.exp(-25.0), BY_NAME[name]
    cases = [(25.0, 1 - 1.1 * rare, True), (25.0, 1 - 0.9 * rare, False)]
    if name != "nonempty-chain":  # of which some word is always kept
        cases += [(-25.0, 0.9 * rare, True), (-25.0, 1.1 * rare, False)]
    for logit, uniform, kept in cases:
        parameters = [torch.zeros_like(part) for part in family.draw(batch=(1,), size=3)]
        parameters[0][:] = logit
        if name == "recurrent":
            parameters[0][:] = torch.tensor([-logit, 0.0, 0.0])  # the first weight of its cell is -1
        law = family.make([part.float() for part in parameters], None)

        def constant(*size: Any, dtype: torch.dtype, value: float = uniform, **_: Any) -> Tensor:
            return torch.full(torch.Size(size if isinstance(size[0], int) else size[0]), value, dtype=dtype)

        monkeypatch.setattr(torch, "rand", constant)
        first = int(law.precise_sample()[0, 0])
        monkeypatch.undo()
        assert first == int(kept), (logit, uniform)


def test_the_chi_square_notices_another_table() -> None:
    family = BY_NAME["chain"]
    parameters = family.draw(1)
    samples = family.make(parameters, lengths()).sample((20_000,))
    wrong = family.document([parameters[0] + 0.1, parameters[1]], 0, SIZE)
    assert chi_square_z(wrong, samples[:, 0]) > 5


@learned
@pytest.mark.parametrize("quantity", ["mean", "change", "entropy", "log_prob"])
def test_gradients_are_those_of_the_table(family: Family, quantity: str) -> None:
    """Gradients of random linear combinations of each quantity, against autograd through the table of all masks."""
    parameters = [part.requires_grad_() for part in family.draw(2)]
    law = family.make(parameters, lengths())
    masks = law.sample().detach().round()
    ours, theirs = [], []
    for row, length in enumerate(LENGTHS):
        exact = family.document(parameters, row, length)
        pairs = {
            "mean": (law.mean[row, :length], exact.mean),
            "change": (law.change[row, : length - 1], exact.change),
            "entropy": (law.entropy()[row], exact.entropy),
            "log_prob": (law.log_prob(masks)[row], exact.log_prob(masks[row, :length])),
        }
        found, expected = pairs[quantity]
        weights = torch.randn(found.shape, dtype=torch.float64)
        ours.append((found * weights).sum())
        theirs.append((expected * weights).sum())
    found_gradients = torch.autograd.grad(torch.stack(ours).sum(), parameters)
    exact_gradients = torch.autograd.grad(torch.stack(theirs).sum(), parameters)
    for found, expected in zip(found_gradients, exact_gradients, strict=True):
        assert expected.abs().sum() > 0
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-9)


@learned
def test_gradcheck(family: Family) -> None:
    parameters = [part.requires_grad_() for part in family.draw(3, size=4)]
    masks = family.make(parameters, torch.tensor([4, 2, 1])).sample().detach().round()

    def outputs(*parts: Tensor) -> tuple[Tensor, ...]:
        law = family.make(parts, torch.tensor([4, 2, 1]))
        return law.mean, law.change, law.entropy(), law.log_prob(masks)

    assert torch.autograd.gradcheck(outputs, parameters)
    assert torch.autograd.gradgradcheck(outputs, parameters)


@families
@pytest.mark.parametrize("batch", [(), (1,), (2, 3)])
@pytest.mark.parametrize("with_lengths", [True, False])
def test_shapes(family: Family, batch: tuple[int, ...], with_lengths: bool) -> None:
    words = torch.full(batch, 3) if with_lengths else None
    law = family.make(family.draw(batch=batch, size=4), words)
    assert law.batch_shape == batch
    assert law.event_shape == (4,)
    assert law.event_dim == 1
    assert law.mean.shape == law.mode.shape == law.word_mask.shape == law.variance.shape == (*batch, 4)
    assert law.change.shape == (*batch, 3)
    assert law.entropy().shape == batch
    assert int(law.word_mask.sum()) == (3 if with_lengths else 4) * len(torch.ones(batch).reshape(-1))
    assert law.sample().shape == (*batch, 4)
    samples = law.sample((5, 2))
    assert samples.shape == (5, 2, *batch, 4)
    assert law.log_prob(samples).shape == (5, 2, *batch)
    if with_lengths:
        assert law.lengths is not None
        assert law.lengths.shape == batch


@families
def test_expand_is_a_view_of_the_same_distribution(family: Family) -> None:
    parameters = family.draw()
    law = family.make(parameters, lengths())
    wide = law.expand((5, 3))
    assert type(wide) is type(law)
    assert wide.batch_shape == (5, 3)
    assert wide.origin.batch_shape == (3,)
    for name, value in moments(law).items():
        spread = moments(wide)[name]
        torch.testing.assert_close(spread, value.expand(5, *value.shape))
        if name != "variance":  # the one that is computed on demand
            assert spread.data_ptr() == value.data_ptr(), f"{name} was computed twice"
    assert wide.mode.shape == wide.word_mask.shape == (5, 3, SIZE)
    assert wide.lengths is not None
    assert wide.lengths.shape == (5, 3)
    samples = wide.sample((2,))
    assert samples.shape == (2, 5, 3, SIZE)
    assert len({tuple(row) for row in samples.reshape(10, -1).tolist()}) > 1, "copies must be drawn independently"
    torch.testing.assert_close(wide.log_prob(samples), law.log_prob(samples))
    with pytest.raises(ValueError, match="cannot expand"):
        law.expand((5,))


@families
def test_expanding_a_single_document(family: Family) -> None:
    parameters = family.draw(batch=(1,))
    law = family.make(parameters, torch.tensor([4])).expand((7,))
    assert law.sample().shape == (7, SIZE)
    assert law.mean.shape == law.mode.shape == (7, SIZE)
    assert law.log_prob(law.mode).shape == (7,)


@families
def test_more_padding_changes_nothing(family: Family) -> None:
    parameters = family.draw()
    longer = [torch.cat([part, torch.full((3, 3, *part.shape[2:]), 9.0)], dim=1) for part in parameters]
    law, padded_law = family.make(parameters, lengths()), family.make(longer, lengths())
    assert padded_law.event_shape == (SIZE + 3,)
    for name, value in moments(law).items():
        wide = moments(padded_law)[name]
        torch.testing.assert_close(wide[..., : value.shape[-1]] if value.dim() > 1 else wide, value)
    assert padded_law.mean[:, SIZE:].eq(0).all()
    assert padded_law.change[:, SIZE - 1 :].eq(0).all()
    assert torch.equal(padded_law.mode[:, :SIZE], law.mode)
    masks = law.mode
    torch.testing.assert_close(padded_law.log_prob(torch.nn.functional.pad(masks, (0, 3))), law.log_prob(masks))


@learned
def test_numbers_on_padding_are_never_read(family: Family) -> None:
    """NaN behind a document reaches neither a value nor a gradient."""
    clean, dirty = family.draw(), [part.clone() for part in family.draw()]
    for part in dirty:
        missing = SIZE - part.shape[1]
        for row, length in enumerate(LENGTHS):
            part[row, length - missing :] = torch.nan
    gradients = []
    for parts in (clean, dirty):
        parameters = [part.clone().requires_grad_() for part in parts]
        law = family.make(parameters, lengths())
        value = law.mean.sum() + law.change.square().sum() + law.entropy().sum() + law.log_prob(law.mode).sum()
        gradients.append(torch.autograd.grad(value, parameters))
        assert torch.isfinite(law.sample()).all()
    for found, expected in zip(gradients[1], gradients[0], strict=True):
        torch.testing.assert_close(found, expected)


@families
def test_one_word(family: Family) -> None:
    parameters = family.draw(batch=(2,), size=1)
    law = family.make(parameters, torch.tensor([1, 1]))
    exact = family.document(parameters, 1, 1)
    torch.testing.assert_close(law.mean[1], exact.mean)
    torch.testing.assert_close(law.entropy()[1], exact.entropy)
    assert law.change.shape == (2, 0)
    assert law.sample((4,)).shape == (4, 2, 1)
    torch.testing.assert_close(law.log_prob(law.mode)[1], exact.log_probs.max())


@families
def test_a_document_without_words_is_certain(family: Family) -> None:
    law = family.make(family.draw(), torch.tensor([6, 0, 0]))
    assert law.sample((3,))[:, 1:].eq(0).all()
    assert law.mean[1:].eq(0).all()
    assert law.entropy()[1:].eq(0).all()
    assert law.log_prob(law.mode)[1:].eq(0).all()
    assert law.log_prob(law.mode)[0] < 0


@families
def test_a_site_of_a_pyro_program(family: Family) -> None:
    law = family.make(family.draw(), lengths())

    def program() -> Tensor:
        with pyro.plate("particles", 4, dim=-2), pyro.plate("documents", 3, dim=-1):
            return pyro.sample("z", law)

    trace = poutine.trace(program).get_trace()
    trace.compute_log_prob()
    site = trace.nodes["z"]
    value = site["value"]
    assert isinstance(value, Tensor)
    assert value.shape == (4, 3, SIZE)
    assert site["log_prob"].shape == (4, 3)
    assert law.has_rsample == (family.name.removeprefix("units-") in ("relaxed", "straight-through", "hardkuma"))
    chosen = cast(torch.BoolTensor, torch.tensor([True, False, True]))
    masked = poutine.trace(poutine.mask(program, mask=chosen)).get_trace()
    masked.compute_log_prob()
    assert masked.nodes["z"]["log_prob"][:, 1].eq(0).all()
    halved = poutine.trace(poutine.scale(poutine.replay(program, trace=trace), scale=0.5)).get_trace()
    halved.compute_log_prob()
    torch.testing.assert_close(halved.nodes["z"]["log_prob"], site["log_prob"] / 2)


@families
def test_the_mask_method_of_pyro_still_works(family: Family) -> None:
    law = family.make(family.draw(), lengths())
    chosen = torch.tensor([True, False, True])
    torch.testing.assert_close(law.mask(chosen).log_prob(law.mode), law.log_prob(law.mode) * chosen)


@families
def test_copies(family: Family) -> None:
    law = family.make([part.requires_grad_() for part in family.draw()], lengths())
    law.entropy()  # now it holds results that hang on a graph
    with torch.no_grad():
        plain = family.make(family.draw(), lengths())
        expected = plain.entropy()
    for twin in (copy.copy(law), copy.deepcopy(plain), pickle.loads(pickle.dumps(plain))):
        torch.testing.assert_close(twin.entropy().detach(), expected)
        torch.testing.assert_close(twin.log_prob(plain.mode).detach(), plain.log_prob(plain.mode))
        assert repr(twin).startswith(type(law).__name__)


@families
def test_values_are_validated(family: Family) -> None:
    law = family.make(family.draw(), lengths())
    with pytest.raises(ValueError, match="within the support"):
        law.log_prob(torch.full((3, SIZE), 1.5, dtype=torch.float64))
    with pytest.raises(ValueError, match="within the support"):
        law.log_prob(torch.full((3, SIZE), torch.nan, dtype=torch.float64))
    with pytest.raises(ValueError, match="match event_shape"):
        law.log_prob(torch.zeros(3, SIZE - 1, dtype=torch.float64))
    with pytest.raises(ValueError, match="broadcastable"):
        law.log_prob(torch.zeros(2, SIZE, dtype=torch.float64))
    assert law.support.is_discrete


@families
@pytest.mark.parametrize("bad", [[7, 4, 1], [6, -1, 1]])
def test_lengths_are_validated(family: Family, bad: list[int]) -> None:
    with pytest.raises((ValueError, IndexError), match=r"lengths|out of range|out of bounds"):
        family.make(family.draw(), torch.tensor(bad))


@learned
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_parameters_are_validated(family: Family, value: float) -> None:
    parameters = family.draw()
    parameters[0][1, 2] = value
    with pytest.raises(ValueError, match="finite"):
        family.make(parameters, lengths())


def test_no_words_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one word"):
        LinearChain(torch.zeros(3, 0), torch.zeros(3, 0))


def test_validation_can_be_switched_off() -> None:
    loose = LinearChain(torch.full((2, 3), torch.nan), 0.5, validate_args=False)
    assert loose.log_prob(torch.full((2, 3), 7.0)).shape == (2,)
    pyro.enable_validation(False)
    LinearChain(torch.full((2, 3), torch.nan), 0.5)
    pyro.enable_validation(True)
    with pytest.raises(ValueError, match="finite"):
        LinearChain(torch.full((2, 3), torch.nan), 0.5)


def test_results_made_without_gradients_are_not_kept_for_those_who_want_them() -> None:
    fields = torch.randn(2, 5, requires_grad=True)
    law = LinearChain(fields, 0.5)
    with torch.no_grad():
        assert not law.mean.requires_grad
    law.mean.sum().backward()
    assert fields.grad is not None
    assert fields.grad.abs().sum() > 0


def test_recurrent_features_broadcast_over_samples() -> None:
    family = BY_NAME["recurrent"]
    law = family.make(family.draw(batch=(2, 3)), None)
    assert isinstance(law, RecurrentMask)
    samples = law.sample((5,))
    one_by_one = torch.stack([law.log_prob(sample) for sample in samples])
    torch.testing.assert_close(law.log_prob(samples), one_by_one)
