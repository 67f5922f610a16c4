"""Divergences between mask distributions against enumeration, and the estimates along prefixes."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.distributions import kl_divergence

from pyro_rationale.distributions import (
    ChainPrior,
    IndependentMask,
    LinearChain,
    NonEmptyMask,
    RecurrentMask,
    cross_energy,
    sequential_entropy,
    sequential_kl,
)
from tests.support.mask_families import BY_NAME, LENGTHS
from tests.support.oracle import Oracle, padded

PRIOR = ChainPrior.from_rate_span(0.3, 4.0)
NONEMPTY = ["nonempty-chain", "nonempty-independent"]
CLOSED = ["chain", "scalar-coupling", "prior", "independent", "relaxed", "straight-through", *NONEMPTY]
TARGETS = ["chain", "scalar-coupling", "prior"]


@pytest.mark.parametrize(("q", "p"), [*itertools.product(CLOSED, TARGETS), *itertools.product(NONEMPTY, NONEMPTY)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_kl_to_a_chain(q: str, p: str, dtype: torch.dtype, tolerance: float) -> None:
    theirs, ours = BY_NAME[p], BY_NAME[q]
    parameters, targets = ours.draw(0), theirs.draw(1)
    lengths = torch.tensor(LENGTHS)
    law = ours.make([part.to(dtype) for part in parameters], lengths)
    prior = theirs.make([part.to(dtype) for part in targets], lengths)
    assert isinstance(prior, LinearChain | NonEmptyMask)
    for row, length in enumerate(LENGTHS):
        exact_q, exact_p = ours.document(parameters, row, length), theirs.document(targets, row, length)
        for found, expected in (
            (kl_divergence(law, prior), exact_q.kl(exact_p)),
            (cross_energy(law, prior), exact_q.cross_energy(exact_p)),
            (cross_energy(law, prior) - law.entropy(), exact_q.kl(exact_p)),
        ):
            assert found.shape == (3,)
            torch.testing.assert_close(found[row].double(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("q", ["chain", "independent", "relaxed"])
def test_gradients_of_the_kl(q: str) -> None:
    """In the parameters of both sides."""
    family, target = BY_NAME[q], BY_NAME["chain"]
    parameters = [part.requires_grad_() for part in family.draw(0)]
    targets = [part.requires_grad_() for part in target.draw(1)]
    lengths = torch.tensor(LENGTHS)
    found = kl_divergence(family.make(parameters, lengths), target.make(targets, lengths)).sum()
    exact = torch.stack(
        [
            family.document(parameters, row, length).kl(target.document(targets, row, length))
            for row, length in enumerate(LENGTHS)
        ]
    ).sum()
    inputs = [*parameters, *targets]
    for ours, theirs in zip(torch.autograd.grad(found, inputs), torch.autograd.grad(exact, inputs), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(
    ("q", "p"),
    [
        ("units-chain", "units-chain"),
        ("units-relaxed", "units-chain"),
        ("units-nonempty-chain", "units-nonempty-chain"),
        ("units-nonempty-chain", "units-chain"),
        ("units-chain", "chain"),
    ],
)
def test_kl_of_masks_by_units(q: str, p: str) -> None:
    """Between masks of whole units, and to a chain that cuts them."""
    lengths = torch.tensor(LENGTHS)
    parameters, targets = BY_NAME[q].draw(0), BY_NAME[p].draw(1)
    kl = kl_divergence(BY_NAME[q].make(parameters, lengths), BY_NAME[p].make(targets, lengths))
    exact = [
        BY_NAME[q].document(parameters, row, length).kl(BY_NAME[p].document(targets, row, length))
        for row, length in enumerate(LENGTHS)
    ]
    torch.testing.assert_close(kl, torch.stack(exact))


def test_prefix_terms_of_units_are_those_of_their_choices() -> None:
    q = BY_NAME["units-recurrent"].make(BY_NAME["units-recurrent"].draw(0), torch.tensor(LENGTHS))
    p = BY_NAME["units-chain"].make(BY_NAME["units-chain"].draw(1), torch.tensor(LENGTHS))
    z = q.sample((7,))
    kl = sequential_kl(q.by_unit, p.by_unit, q.unit_values(z))
    torch.testing.assert_close(sequential_kl(q, p, z).sum(-1), kl.sum(-1))
    entropy = sequential_entropy(q.by_unit, q.unit_values(z))
    torch.testing.assert_close(sequential_entropy(q, z).sum(-1), entropy.sum(-1))


def test_formula_of_the_design_for_independent_words() -> None:
    """alpha sum m + gamma sum (m + m' - 2 m m') + log Z - sum H(m) (docs/explanation/mathematics.md)."""
    (logits,) = BY_NAME["independent"].draw()
    m = torch.sigmoid(logits)
    entropy = -(m * m.log() + (1 - m) * (1 - m).log()).sum(-1)
    changes = (m[:, 1:] + m[:, :-1] - 2 * m[:, 1:] * m[:, :-1]).sum(-1)
    expected = PRIOR.alpha * m.sum(-1) + PRIOR.gamma * changes + PRIOR.log_normalizers(6)[6] - entropy
    prior = PRIOR.distribution(torch.full((3,), 6), 6, torch.float64)
    torch.testing.assert_close(kl_divergence(IndependentMask(logits), prior), expected)


def test_kl_between_independent_masks() -> None:
    family = BY_NAME["independent"]
    (a,), (b,) = family.draw(0), family.draw(1)
    lengths = torch.tensor(LENGTHS)
    found = kl_divergence(IndependentMask(a, lengths), IndependentMask(b, lengths))
    for row, length in enumerate(LENGTHS):
        exact = family.document((a,), row, length).kl(family.document((b,), row, length))
        torch.testing.assert_close(found[row], exact)


def test_kl_of_a_distribution_to_itself_is_zero() -> None:
    for name in ("chain", "independent"):
        family = BY_NAME[name]
        law, twin = (family.make(family.draw(), torch.tensor(LENGTHS)) for _ in range(2))
        torch.testing.assert_close(
            kl_divergence(law, twin), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-12
        )


def test_kl_of_expanded_distributions() -> None:
    family = BY_NAME["chain"]
    law = family.make(family.draw(), torch.tensor(LENGTHS))
    prior = PRIOR.distribution(torch.tensor(LENGTHS), 6, torch.float64)
    plain = kl_divergence(law, prior)
    for q, p in (
        (law.expand((4, 3)), prior),
        (law, prior.expand((4, 3))),
        (law.expand((4, 3)), prior.expand((4, 3))),
    ):
        torch.testing.assert_close(kl_divergence(q, p), plain.expand(4, 3))


def test_a_recurrent_mask_has_no_closed_kl() -> None:
    family = BY_NAME["recurrent"]
    prior = PRIOR.distribution(torch.tensor(LENGTHS), 6, torch.float64)
    with pytest.raises(NotImplementedError):
        kl_divergence(family.make(family.draw(), torch.tensor(LENGTHS)), prior)


@pytest.mark.parametrize("target", TARGETS)
def test_prefix_terms_are_unbiased(target: str) -> None:
    """Weighted by the table's own probabilities, their sums are the exact KL and entropy: no sampling error."""
    family, other = BY_NAME["recurrent"], BY_NAME[target]
    parameters, targets = family.draw(0), other.draw(1)
    lengths = torch.tensor(LENGTHS)
    law, prior = family.make(parameters, lengths), other.make(targets, lengths)
    assert isinstance(law, RecurrentMask)
    assert isinstance(prior, LinearChain)
    for row, length in enumerate(LENGTHS):
        exact: Oracle = family.document(parameters, row, length)
        masks = torch.zeros(2**length, 3, 6, dtype=torch.float64)
        masks[:, row] = torch.stack([padded(mask, 6) for mask in exact.masks])
        kl, entropy = sequential_kl(law, prior, masks), sequential_entropy(law, masks)
        assert kl.shape == entropy.shape == masks.shape
        assert kl[:, row, length:].eq(0).all()
        assert entropy[:, row, length:].eq(0).all()
        assert (kl > -1e-12).all()
        torch.testing.assert_close(
            exact.expect(kl[:, row].sum(-1)), exact.kl(other.document(targets, row, length))
        )
        torch.testing.assert_close(exact.expect(entropy[:, row].sum(-1)), exact.entropy)


def test_prefix_kl_varies_less_than_the_log_ratio() -> None:
    """Its reason: less variance than that of log q - log p."""
    family = BY_NAME["recurrent"]
    law = family.make(family.draw(batch=(2,), size=40), None)
    assert isinstance(law, RecurrentMask)
    prior = PRIOR.distribution(torch.full((2,), 40), 40, torch.float64)
    masks = law.sample((4000,))
    terms, ratio = sequential_kl(law, prior, masks).sum(-1), law.log_prob(masks) - prior.log_prob(masks)
    gap = (terms - ratio).mean(0) / ((terms - ratio).var(0) / 4000).sqrt()
    assert gap.abs().max() < 4.5
    assert (terms.std(0) < 0.7 * ratio.std(0)).all()


def test_gradients_of_prefix_terms() -> None:
    """With the score of the sample they are the gradient of the exact KL, in expectation over the table."""
    family, other = BY_NAME["recurrent"], BY_NAME["chain"]
    (features,), targets = family.draw(0, batch=(1,), size=4), other.draw(1, batch=(1,), size=4)
    features.requires_grad_()
    law, prior = family.make((features,), None), other.make(targets, None)
    assert isinstance(law, RecurrentMask)
    assert isinstance(prior, LinearChain)
    exact = family.document((features,), 0, 4)
    masks = exact.masks[:, None]
    terms = sequential_kl(law, prior, masks).sum(-1)[:, 0]
    surrogate = exact.probs.detach() @ (terms + terms.detach() * law.log_prob(masks)[:, 0])
    expected = exact.kl(other.document(targets, 0, 4))
    torch.testing.assert_close(
        torch.autograd.grad(surrogate, features)[0], torch.autograd.grad(expected, features)[0]
    )
