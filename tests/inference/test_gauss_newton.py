"""`gauss-newton`: its expansion against autograd, its expectation and its gradient against enumeration."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pyro
import pytest
import torch
from pyro import poutine
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.distributions import LinearChain, RecurrentMask
from pyro_rationale.inference import MaskELBO
from pyro_rationale.inference.estimators import gauss_newton
from pyro_rationale.inference.estimators._base import Programs
from pyro_rationale.inference.estimators.gauss_newton import Expansion, GaussNewton, expand
from pyro_rationale.inference.estimators.muprop import slope, without_slopes
from pyro_rationale.inference.objectives.elbo import observed_log_prob
from pyro_rationale.models import RationaleModel
from tests.support.estimator_checks import DIRECTIONS, DOCUMENTS, exact_gradient, gradients, z_scores
from tests.support.grids import each_value
from tests.support.tiny import exact, in_sentences, texts, tiny_guide, tiny_model

EXACT = ("independent", "chain")
KINDS = ("regression", "ordinal", "binary", "multiclass")


def programs_for(model: RationaleModel, name: str, batch: Batch) -> tuple[Programs, Any]:
    """A guide's programs, and its distribution."""
    guide = tiny_guide(name)
    trace = poutine.trace(guide).get_trace(batch)
    return Programs(model, guide, trace, observed_log_prob, (batch,), {}), trace.nodes["z"]["fn"]


@pytest.mark.parametrize("reader", ["lstm", "cnn"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_expansion_is_that_of_the_reconstruction(kind: str, reader: str) -> None:
    """Slopes are muprop's; the quadratic form is J' H J, J and H by torch.autograd.functional, document by document."""
    batch = texts(kind=kind)
    model = tiny_model(kind, kappa=1.5, reader=reader)
    programs, q = programs_for(model, "chain", batch)
    found = expand(programs, q)
    torch.testing.assert_close(found.slopes, slope(programs, q))
    torch.testing.assert_close(found.point, q.mean.detach())
    quadratic = torch.einsum("db,dbs,dbt->bst", found.curvatures, found.rows, found.rows)
    for row, length in enumerate(batch.lengths.tolist()):
        one = replace(batch, tokens=batch.tokens[row : row + 1], lengths=batch.lengths[row : row + 1])
        assert batch.targets is not None
        target = batch.targets[row : row + 1]
        point = found.point[row : row + 1]

        def output(z: Tensor, one: Batch = one) -> Tensor:
            return model.encoder(one.tokens, z, one.lengths)[0]

        def loss(outputs: Tensor, target: Tensor = target) -> Tensor:
            likelihood, targets = model.likelihood.observe(outputs[None], target)
            return 1.5 * likelihood.log_prob(targets).sum()

        jacobian = torch.autograd.functional.jacobian(output, point)[:, 0]
        hessian = torch.autograd.functional.hessian(loss, output(point).detach())
        torch.testing.assert_close(quadratic[row], jacobian.t() @ hessian @ jacobian)
        assert float(quadratic[row, :length, :length].abs().max()) > 1e-4


@pytest.mark.parametrize("name", [*EXACT, "nonempty-chain", "sentences"])
def test_its_expectation_is_that_of_the_table(name: str) -> None:
    """The mean of what is taken out of the rewards is what is put back, and so are the gradients of both."""
    model, guide = tiny_model(kappa=1.5), tiny_guide("independent" if name == "independent" else "chain")
    batch = in_sentences(DOCUMENTS) if name == "sentences" else DOCUMENTS
    model.nonempty = guide.nonempty = name == "nonempty-chain"
    guide.whole_units = name == "sentences"
    trace = poutine.trace(guide).get_trace(batch)
    q: Any = trace.nodes["z"]["fn"]
    expansion = expand(Programs(model, guide, trace, observed_log_prob, (batch,), {}), q)
    means, expected = expansion.mean_quadratic(q), []
    for row, one in enumerate(exact(model, guide, batch)):
        masks = torch.zeros(len(one.q.masks), *batch.tokens.shape, dtype=torch.float64)
        masks[:, row, : one.q.n] = one.q.masks
        expected.append(one.q.expect(expansion.quadratic(masks)[:, row]))
    torch.testing.assert_close(means, torch.stack(expected))
    head = list(guide.head.parameters())
    for ours, theirs in zip(
        torch.autograd.grad(means.sum(), head, retain_graph=True),
        torch.autograd.grad(torch.stack(expected).sum(), head),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


@each_value("name,tau,samples", EXACT, [1.0, 0.3], [2, 4])
def test_unbiased(name: str, tau: float, samples: int) -> None:
    model, guide = tiny_model(kappa=1.5), tiny_guide(name)
    found = gradients(MaskELBO("gauss-newton", samples, tau), model, guide, 6_000)
    assert z_scores(found, exact_gradient(model, guide, tau)).abs().max() < 4


@pytest.mark.parametrize("kind", ["ordinal", "binary", "multiclass"])
def test_unbiased_for_levels_and_classes(kind: str) -> None:
    batch = texts((4, 2, 1), padding=1, kind=kind)
    model, guide = tiny_model(kind, kappa=1.5), tiny_guide("chain")
    found = gradients(MaskELBO("gauss-newton", 4, 0.5), model, guide, 4_000, batch)
    assert z_scores(found, exact_gradient(model, guide, 0.5, batch)).abs().max() < 4


@pytest.mark.parametrize("how", ["nonempty", "sentences"])
def test_unbiased_given_a_word_and_for_sentences(how: str) -> None:
    batch = in_sentences(DOCUMENTS) if how == "sentences" else DOCUMENTS
    model, guide = tiny_model(kappa=1.5), tiny_guide("chain")
    model.nonempty = guide.nonempty = how == "nonempty"
    guide.whole_units = how == "sentences"
    found = gradients(MaskELBO("gauss-newton", 4, 0.5), model, guide, 4_000, batch)
    assert z_scores(found, exact_gradient(model, guide, 0.5, batch)).abs().max() < 4


def test_unbiased_whatever_the_expansion(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong slopes and curvatures cost variance only."""

    def wrong(programs: Programs, q: LinearChain) -> Expansion:
        right, numbers = expand(programs, q), torch.Generator().manual_seed(1)
        rows = torch.randn(2, *DOCUMENTS.tokens.shape, dtype=torch.float64, generator=numbers)
        copies = len(right.point) // len(DOCUMENTS)
        h = torch.tensor([[2.0], [-1.0]], dtype=torch.float64).expand(2, len(right.point))
        return right._replace(slopes=right.slopes + 0.5, curvatures=h, rows=rows.repeat(1, copies, 1))

    monkeypatch.setattr(gauss_newton, "expand", wrong)
    model, guide = tiny_model(kappa=1.5), tiny_guide("chain")
    found = gradients(MaskELBO("gauss-newton", 4, 0.3), model, guide, 6_000)
    assert z_scores(found, exact_gradient(model, guide, 0.3)).abs().max() < 4


def test_unbiased_with_fewer_directions_than_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The linear term is whole, and the quadratic one of the largest curvature of three classes alone."""
    batch = texts((4, 2, 1), padding=1, kind="multiclass")
    model, guide = tiny_model("multiclass", kappa=1.5), tiny_guide("chain")
    programs, q = programs_for(model, "chain", batch)
    whole = expand(programs, q)
    monkeypatch.setattr(gauss_newton, "DIRECTIONS", 1)
    part = expand(programs, q)
    torch.testing.assert_close(part.slopes, whole.slopes)
    assert part.curvatures.shape == (1, 3)
    torch.testing.assert_close(part.curvatures[0].abs(), whole.curvatures.abs().amax(0))
    found = gradients(MaskELBO("gauss-newton", 4, 0.5), model, guide, 4_000, batch)
    assert z_scores(found, exact_gradient(model, guide, 0.5, batch)).abs().max() < 4


def test_a_product_of_ratings_and_linear_encoder_leaves_nothing() -> None:
    """Where the encoder is linear in the mask the expansion is the reconstruction, and gradients do not vary."""
    model, guide = tiny_model(kappa=1.5), tiny_guide("chain")
    taps = torch.randn(2, DOCUMENTS.tokens.shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    class Linear(torch.nn.Module):
        dtype = torch.float64

        def __init__(self) -> None:
            super().__init__()
            self.taps = torch.nn.Parameter(taps)

        def forward(self, tokens: Tensor, z: Tensor, lengths: Tensor) -> Tensor:
            return z @ self.taps.t()

    model.encoder = Linear()  # type: ignore[assignment]
    spread = {
        name: gradients(MaskELBO(name, 4), model, guide, 400)[:, :DIRECTIONS].std(0).max()
        for name in ("sum-and-sample", "gauss-newton")
    }
    assert spread["sum-and-sample"] > 1e-2
    assert spread["gauss-newton"] < 1e-9


def test_without_slopes_and_without_an_encoder_it_is_what_it_is_based_on() -> None:
    """Bit for bit: skipped slopes are those of sum-and-sample, and a program of one's own has a linear term alone."""
    model, guide = tiny_model(kappa=1.5), tiny_guide("chain")

    def one(estimator: str, program: Any) -> Tensor:
        torch.manual_seed(3)
        return gradients(MaskELBO(estimator, 4, 0.5), program, guide, 40)

    with without_slopes():
        assert torch.equal(one("gauss-newton", model), one("sum-and-sample", model))
    program = partial(RationaleModel.forward, model)
    torch.testing.assert_close(one("gauss-newton", program), one("sum-and-sample", program))


def test_refuses_what_has_no_covariances() -> None:
    assert GaussNewton.refusal(LinearChain) is None
    assert "use --estimator muprop" in str(GaussNewton.refusal(RecurrentMask))
    pyro.clear_param_store()
