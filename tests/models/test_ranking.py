"""The model of similar texts against enumeration: three documents of four words, two of which are queries."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import Predictive, TraceGraph_ELBO
from pyro.poutine import Trace
from torch import Tensor

from pyro_rationale.data.ranking_batch import RankingBatch
from pyro_rationale.errors import ConfigError
from pyro_rationale.inference import MaskELBO
from pyro_rationale.inference.objectives.elbo import observed_log_prob
from pyro_rationale.models import RankingModel
from pyro_rationale.models.program import local_parameters
from pyro_rationale.models.ranking import without_each
from pyro_rationale.nn import Encoder, make_embedding
from pyro_rationale.tasks import RankingLikelihood
from tests.support.estimator_checks import DIRECTIONS, directions, gradients, z_scores
from tests.support.oracle import Oracle
from tests.support.tiny import (
    PRIOR,
    WORDS,
    document,
    guide_table,
    named_reader,
    outputs_on_all_masks,
    texts,
    tiny_guide,
)

LENGTHS = (4, 3, 4)


def three(padding: int = 0) -> RankingBatch:
    """Three documents; the first and the last are queries, of which the first may not choose itself."""
    batch = texts(LENGTHS, padding, kind=None)
    allowed = torch.tensor([[False, True, True], [True, True, False]])
    return RankingBatch(
        batch.tokens, batch.lengths, queries=torch.tensor([0, 2]), allowed=allowed, positive=torch.tensor([2, 1])
    )


OWN = 2.5  # nats


class Whole:
    """States of whole texts as a network reads them that is not trained; here any will do."""

    def __call__(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        sizes, words = lengths.double(), tokens.double()
        return torch.stack([words.sum(-1).sin(), sizes.cos(), words[:, 0].sin(), words[:, 1]], -1)


def tiny_ranking(
    match: str = "masked", kappa: float = 1.5, temperature: float | None = None, own_text: float = 0.0
) -> RankingModel:
    """A model whose vectors move well with the mask."""
    torch.manual_seed(5)
    encoder = Encoder(make_embedding(WORDS, 3), named_reader("lstm", 3, 4), "mean", 3)
    with torch.no_grad():
        encoder.output.weight.mul_(3.0)
    likelihood = RankingLikelihood(3, temperature)
    with torch.no_grad():
        if temperature is None:
            likelihood.position.fill_(1.0)
    whole: Any = Whole() if own_text else None
    return RankingModel(encoder, likelihood, PRIOR, kappa, match, own_text, whole).double()


def tables(model: RankingModel, batch: RankingBatch) -> list[Tensor]:
    """Unit vectors of each document under all of its masks, the empty one first."""
    result = []
    for row in range(len(batch)):
        outputs = outputs_on_all_masks(model, document(batch, row))
        outputs = torch.cat([model.empty[None], outputs[1:]])
        result.append(outputs / outputs.norm(dim=-1, keepdim=True))
    return result


def joint_table(model: RankingModel, batch: RankingBatch) -> Tensor:
    """sum_i log p(y_i | x, z) for every mask of every document, `(16, 8, 16)`."""
    vectors = tables(model, batch)
    whole = [table[-1] for table in vectors]
    temperature = float(model.temperature)
    total = torch.zeros([len(table) for table in vectors], dtype=torch.float64)
    assert batch.positive is not None
    for i, query in enumerate(batch.queries.tolist()):
        logits: dict[int, Tensor] = {}
        for j in batch.allowed[i].nonzero()[:, 0].tolist():
            shape = [1, 1, 1]
            if model.match == "full":
                shape[query] = -1
                logits[j] = (vectors[query] @ whole[j]).reshape(shape) / temperature
            else:
                cosines = vectors[query] @ vectors[j].T
                shape[query], shape[j] = cosines.shape if query < j else cosines.T.shape[::-1]
                logits[j] = (cosines if query < j else cosines.T).reshape(shape) / temperature
        normaliser = torch.stack(torch.broadcast_tensors(*logits.values())).logsumexp(0)
        total = total + logits[int(batch.positive[i])] - normaliser
    return total


def exact_objective(
    model: RankingModel, guide: Any, batch: RankingBatch, tau: float, features: list[Tensor] | None = None
) -> Tensor:
    """Objective (2) of the batch, each document's KL once."""
    ones = [document(batch, row) for row in range(len(batch))]
    bodies = [guide.generator(one.tokens, one.lengths) for one in ones] if features is None else features
    q = [guide_table(guide, body) for body in bodies]
    weights = torch.einsum("a,b,c->abc", *(table.probs for table in q))
    value = float(model.kappa) * (weights * joint_table(model, batch)).sum()
    if model.own_nats:
        for table, one, vectors in zip(q, ones, tables(model, batch), strict=True):
            whole = model.encoder.output(Whole()(one.tokens, one.lengths)).detach()[0]
            value = value + model.own_nats * (table.probs * (vectors @ (whole / whole.norm()) - 1.0)).sum()
    for table in q:
        p = Oracle.penalty(model.prior.alpha, model.prior.gamma, table.n)
        value = value - table.cross_energy(p) + tau * table.entropy
    return value


@pytest.mark.parametrize("match", ["masked", "full"])
def test_log_likelihood_of_every_mask_is_that_of_the_table(match: str) -> None:
    model, batch = tiny_ranking(match), three()
    table = joint_table(model, batch)
    for places in itertools.islice(itertools.product(range(16), range(8), range(16)), 0, None, 97):
        masks = [Oracle(torch.zeros(2**n)).masks[place] for n, place in zip(LENGTHS, places, strict=True)]
        z = torch.stack([torch.nn.functional.pad(mask, (0, 4 - len(mask))) for mask in masks])
        assert torch.isclose(model.log_likelihood(batch, z).sum(), table[places])


def test_a_queries_own_text_and_texts_that_are_no_candidates_make_no_difference() -> None:
    model, batch = tiny_ranking(), three()
    alone = replace(batch, allowed=torch.tensor([[False, False, True], [False, True, False]]))
    assert torch.allclose(model.log_likelihood(alone, batch.mask.double()), torch.zeros(2, dtype=torch.float64))


def test_a_text_of_which_every_word_is_passed_over_has_the_vector_of_none() -> None:
    model, batch = tiny_ranking(), three()
    model.word_dropout = 0.999
    torch.manual_seed(0)
    z = batch.mask.double()[None]
    vectors = traced(model, batch, z).nodes["y"]["infer"]["vectors"]
    assert torch.allclose(vectors, torch.nn.functional.normalize(model.empty, dim=0).expand_as(vectors))
    assert not torch.allclose(traced(model.eval(), batch, z).nodes["y"]["infer"]["vectors"], vectors)
    model.train()
    assert torch.allclose(model.embed(batch, z), model.eval().embed(batch, z))  # what reads whole texts misses nothing


def test_padding_makes_no_difference() -> None:
    model = tiny_ranking()
    plain, padded = (model.log_likelihood(batch, batch.mask.double()) for batch in (three(), three(3)))
    assert torch.allclose(plain, padded)


@pytest.mark.parametrize(("tau", "own_text"), [(1.0, 0.0), (0.3, 0.0), (0.7, OWN)])
@pytest.mark.parametrize("name", ["independent", "chain"])
def test_objective_is_unbiased(name: str, tau: float, own_text: float) -> None:
    """Many draws, of copies in one pass; the KL of each document counts once, however many queries it serves."""
    model, guide, batch = tiny_ranking(own_text=own_text), tiny_guide(name), three(1)
    expected = float(exact_objective(model, guide, batch, tau).detach())
    found = []
    with torch.no_grad():
        for _ in range(6):
            many = batch.repeated(40)
            estimate = MaskELBO("reinforce", 8, tau).estimate(model, guide, many)
            found.append(estimate.objective(tau).reshape(40, 3).sum(-1))
    values = torch.cat(found)
    assert abs(float(values.mean()) - expected) < 4 * float(values.std()) / math.sqrt(len(values))


def exact_gradient(model: RankingModel, guide: Any, tau: float, batch: RankingBatch) -> Tensor:
    """Gradient of minus the objective: projections in the features, then the output bias."""
    ones = [document(batch, row) for row in range(len(batch))]
    features = [guide.generator(one.tokens, one.lengths).detach().requires_grad_() for one in ones]
    loss = -exact_objective(model, guide, batch, tau, features)
    *slopes, bias = torch.autograd.grad(loss, [*features, model.encoder.output.bias])
    ways = directions(guide.generator.width, batch)
    projected = sum((ways[:, row, : s.shape[1]] * s[0]).sum((-1, -2)) for row, s in enumerate(slopes))
    return torch.cat([torch.as_tensor(projected), bias])


@pytest.mark.parametrize(
    ("name", "estimator", "samples", "match", "own_text"),
    [
        ("chain", "rloo", 4, "masked", 0.0),
        ("chain", "muprop", 3, "masked", 0.0),
        ("chain", "rloo", 2, "full", 0.0),
        ("independent", "disarm", 4, "masked", 0.0),
        ("recurrent", "muprop", 2, "masked", 0.0),
        ("chain", "rloo", 4, "masked", OWN),
        ("chain", "muprop", 3, "masked", OWN),
        ("chain", "rloo", 2, "full", OWN),
    ],
)
def test_gradients_are_unbiased(name: str, estimator: str, samples: int, match: str, own_text: float) -> None:
    """The signal of a mask is averaged over other draws of its partners; the mean gradient stays the exact one."""
    torch.manual_seed(0)
    model, guide, batch = tiny_ranking(match, own_text=own_text), tiny_guide(name), three(1)
    objective = MaskELBO(estimator, samples, 1.0)
    found = torch.cat([gradients(objective, model, guide, 50 * samples, batch) for _ in range(10)])
    scores = z_scores(found, exact_gradient(model, guide, 1.0, batch)).abs()
    if match == "full":
        scores = scores[:DIRECTIONS]  # the hook sees the first of two passes of the encoder
    assert float(scores.max()) < 4


def traced(model: RankingModel, batch: RankingBatch, z: Tensor) -> Any:
    """The model under given masks `(K, B, T)`."""
    with pyro.plate("particles", len(z), dim=-2):
        trace = poutine.trace(poutine.condition(model, {"z": z})).get_trace(batch)
    trace.compute_log_prob(site_filter=lambda name, _site: name == "y")
    return trace


def test_credit_is_the_mean_over_all_draws_of_the_others() -> None:
    """By its definition, one document, mask and draw of the others after the other."""
    torch.manual_seed(1)
    model, batch, draws = tiny_ranking(), three(), 3
    z = (torch.rand(draws, 3, 4, dtype=torch.float64) < 0.5).double() * batch.mask
    expected = torch.zeros(draws, 3, dtype=torch.float64)
    for d, k, others in itertools.product(range(3), range(draws), range(draws)):
        mixed = z[others].clone()
        mixed[d] = z[k, d]
        terms = model.log_likelihood(batch, mixed)
        for i, query in enumerate(batch.queries.tolist()):
            if query == d or batch.allowed[i, d]:
                expected[k, d] += 1.5 * terms[i].detach() / draws
    assert torch.allclose(model.credit(batch, traced(model, batch, z)), expected)


class _JointReward(RankingModel):
    """Credits every mask with all that one draw of all texts is worth."""

    def credit(self, batch: RankingBatch, trace: Trace) -> Tensor:
        return observed_log_prob(trace).detach().sum(-1, keepdim=True).expand(-1, len(batch))


def test_signal_of_a_text_varies_less_than_with_the_luck_of_others() -> None:
    """Why partners are averaged over: the gradient has a smaller variance than that of the joint reward."""
    guide, batch = tiny_guide("chain"), three(1)
    spreads = []
    for kind in (RankingModel, _JointReward):
        torch.manual_seed(0)
        model = tiny_ranking()
        model.__class__ = kind
        found = [gradients(MaskELBO("rloo", 4, 1.0), model, guide, 160, batch) for _ in range(4)]
        spreads.append(float(torch.cat(found).var(0).sum()))
    assert spreads[0] < 0.9 * spreads[1]


def test_sum_of_all_others_is_exact_where_one_candidate_is_left() -> None:
    values = torch.tensor([[1.0, -torch.inf, 3.0, 700.0], [-torch.inf, 2.0, -torch.inf, -torch.inf]]).double()
    rows = [torch.stack([torch.cat([v[:j], v[j + 1 :]]).logsumexp(0) for j in range(4)]) for v in values]
    assert torch.equal(without_each(values), torch.stack(rows))


def test_program_has_both_sites_and_their_plates() -> None:
    model, batch = tiny_ranking(), three()
    trace = poutine.trace(model).get_trace(batch)
    trace.compute_log_prob()
    assert trace.nodes["z"]["log_prob"].shape == (3,)
    assert trace.nodes["y"]["log_prob"].shape == (2,)
    assert [frame.name for frame in trace.nodes["y"]["cond_indep_stack"]] == ["queries"]
    drawn = Predictive(model, num_samples=20)(replace(batch, positive=None))["y"]
    assert set(drawn[:, 0].flatten().tolist()) <= {1, 2}


def test_pyros_own_objective_runs_on_it() -> None:
    """Its estimate of the ELBO is that of the table, within what a few draws can say."""
    torch.manual_seed(0)
    model, guide, batch = tiny_ranking(kappa=1.0), tiny_guide("chain"), three()
    expected = float(exact_objective(model, guide, batch, 1.0).detach())
    with local_parameters():
        losses = [TraceGraph_ELBO(max_plate_nesting=1).loss(model, guide, batch) for _ in range(20)]
    values = -torch.tensor(losses)
    assert abs(float(values.mean()) - expected) < 4 * float(values.std()) / math.sqrt(len(values))


def test_an_empty_mask_has_the_learnt_vector() -> None:
    model, batch = tiny_ranking(), three()
    z = batch.mask.double()
    z[1] = 0.0
    vectors = model.embed(batch, z)
    assert torch.allclose(vectors[1], model.empty / model.empty.norm())
    assert torch.allclose(vectors.norm(dim=-1), torch.ones(3, dtype=torch.float64))


def test_titles_are_read_whatever_the_mask_keeps() -> None:
    model, batch = tiny_ranking(), replace(three(), titles=torch.tensor([2, 0, 1]))
    z = torch.zeros(3, 4, dtype=torch.float64)
    z[:, 3] = batch.mask[:, 3]
    whole = z.clone()
    whole[0, :2], whole[2, :1] = 1.0, 1.0
    assert torch.equal(model.embed(batch, z), model.embed(three(), whole))


@pytest.mark.parametrize("estimator", ["sum-and-sample", "gauss-newton"])
def test_estimators_with_masks_of_single_documents_are_refused(estimator: str) -> None:
    with pytest.raises(ConfigError, match="takes masks of each document by itself"):
        MaskELBO(estimator, 4, 1.0).estimate(tiny_ranking(), tiny_guide("chain"), three())
