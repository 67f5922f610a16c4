"""A mixture of distributions over masks against enumeration."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pyro_rationale.distributions import IndependentMask, MaskDistribution, MixtureMask, sequential_entropy
from tests.support.mask_families import BY_NAME, LENGTHS, Family
from tests.support.oracle import Oracle, all_masks, chi_square_z

FAMILIES = [BY_NAME[name] for name in ("chain", "independent", "nonempty-chain", "recurrent", "units-chain")]
families = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
SEEDS = (0, 1, 2)


def mixture(family: Family, lengths: Tensor | None = None) -> tuple[MixtureMask, list[Oracle]]:
    """Three parts for three documents, and the table of each document."""
    drawn = [family.draw(seed) for seed in SEEDS]
    q = MixtureMask([family.make(parameters, lengths) for parameters in drawn])
    sizes = [q.event_shape[0]] * 3 if lengths is None else lengths.tolist()
    tables = []
    for row, size in enumerate(sizes):
        parts = torch.stack([family.document(parameters, row, size).log_probs for parameters in drawn])
        tables.append(Oracle(parts.logsumexp(0)))
    return q, tables


def closed(family: Family) -> bool:
    return "recurrent" not in family.name


@families
def test_probabilities_and_conditionals(family: Family) -> None:
    q, tables = mixture(family)
    for row, table in enumerate(tables):
        masks = table.masks[table.probs > 0]
        values = masks[:, None].expand(-1, 3, -1)
        torch.testing.assert_close(q.log_prob(values)[:, row], table.log_prob(masks))
        torch.testing.assert_close(q.word_log_probs(values).sum(-1)[:, row], table.log_prob(masks), atol=1e-6, rtol=0)


@families
def test_moments_and_padding(family: Family) -> None:
    if not closed(family):
        pytest.skip("its marginals are sampled")
    q, tables = mixture(family, None if "units" in family.name else torch.tensor(LENGTHS))
    for row, table in enumerate(tables):
        torch.testing.assert_close(q.mean[row, : table.n], table.mean)
        torch.testing.assert_close(q.change[row, : table.n - 1], table.change)
        assert float(q.mean[row, table.n :].abs().sum()) == 0.0
        mode = q.mode[row, : table.n]
        own = torch.stack([part.mode[row, : table.n] for part in q.parts])
        apart = (own[:, None] != own).sum((1, 2))
        assert any(torch.equal(mode, z) for z in own[apart == apart.min()])


@families
def test_parts_weighed_by_what_they_have_drawn(family: Family) -> None:
    """The mean over masks of what their own parts say is the mean over parts of what each says of its masks."""
    q, _ = mixture(family)
    masks = all_masks(q.event_shape[0]).to(q.parts[0].mean.dtype)
    values = masks[:, None].expand(-1, 3, -1)
    weights = q.responsibilities(values)  # (M, masks, documents)
    assert weights.shape == (3, len(masks), 3)
    torch.testing.assert_close(weights.sum(0), torch.ones_like(weights[0]))
    says = torch.randn(3, len(masks), 3, dtype=weights.dtype)
    mixed = (q.log_prob(values).exp() * (weights * says).sum(0)).sum(0)
    each = torch.stack([(part.log_prob(values).exp() * own).sum(0) for part, own in zip(q.parts, says, strict=True)])
    torch.testing.assert_close(mixed, each.mean(0), atol=1e-5, rtol=1e-5)
    assert IndependentMask(torch.zeros(3, 4)).responsibilities(torch.ones(3, 4)) is None


def test_a_mask_that_no_part_can_draw_is_of_all() -> None:
    never = BY_NAME["nonempty-chain"]
    q = MixtureMask([never.make(never.draw(seed), None) for seed in SEEDS])
    empty = torch.zeros(q.batch_shape + q.event_shape, dtype=q.mean.dtype)
    torch.testing.assert_close(q.responsibilities(empty), torch.full((3, *q.batch_shape), 1 / 3, dtype=q.mean.dtype))


def test_the_mode_is_that_of_the_many_and_not_of_the_surest() -> None:
    """Two parts that waver around two words, and one that is sure of another word alone."""
    wavering, sure = torch.tensor([[0.6, 0.6, -4.0, -4.0]]), torch.tensor([[-9.0, -9.0, -9.0, 9.0]])
    lengths = torch.tensor([4])
    q = MixtureMask([IndependentMask(logits, lengths) for logits in (wavering, wavering, sure)])
    assert q.log_prob(torch.tensor([[0.0, 0.0, 0.0, 1.0]])) > q.log_prob(torch.tensor([[1.0, 1.0, 0.0, 0.0]]))
    assert q.mode.tolist() == [[1.0, 1.0, 0.0, 0.0]]


@families
def test_samples(family: Family) -> None:
    q, tables = mixture(family)
    torch.manual_seed(0)
    draws = [q.sample(torch.Size([4000]))]
    if q.has_sample_from:
        draws.append(q.sample_from(torch.rand(4000, 3, q.event_shape[0], dtype=torch.float64)))
    for z in draws:
        assert all(abs(chi_square_z(table, z[:, row])) < 4 for row, table in enumerate(tables))


def test_masks_from_numbers_need_every_part_to_give_them() -> None:
    assert mixture(BY_NAME["chain"])[0].has_sample_from
    q, _ = mixture(BY_NAME["recurrent"])
    assert not q.has_sample_from
    with pytest.raises(NotImplementedError, match="RecurrentMask draws no masks from given numbers"):
        q.sample_from(torch.rand(3, q.event_shape[0]))


def test_entropy_is_that_of_the_mixture() -> None:
    q, tables = mixture(BY_NAME["chain"])
    torch.manual_seed(0)
    z = q.sample(torch.Size([20000]))
    terms = sequential_entropy(q, z).sum(-1).mean(0)
    torch.testing.assert_close(terms, torch.stack([table.entropy for table in tables]), atol=0.02, rtol=0)


def test_relaxed_parts_have_a_discrete_mixture() -> None:
    q, tables = mixture(BY_NAME["relaxed"])
    masks = all_masks(6)
    values = q.discrete().log_prob(masks[:, None].expand(-1, 3, -1))
    for row, table in enumerate(tables):
        torch.testing.assert_close(values[:, row], table.log_probs)
    assert q.mode.unique().tolist() == [0.0, 1.0]


def test_a_view_shares_its_parts() -> None:
    q, _ = mixture(BY_NAME["chain"])
    wide: MaskDistribution = q.expand((2, 3))
    assert wide.sample(torch.Size([5])).shape == (5, 2, 3, 6)
    torch.testing.assert_close(wide.mean[1], q.mean)
    torch.testing.assert_close(wide.mode[1], q.mode)


def test_parts_of_other_documents_are_refused() -> None:
    family = BY_NAME["chain"]
    with pytest.raises(ValueError, match="several shapes"):
        MixtureMask([family.make(family.draw(0, size=size), None) for size in (5, 6)])
