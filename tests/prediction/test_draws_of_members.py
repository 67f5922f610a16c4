"""Draws for `posterior.nc` of ensembles and of models with unsure weights: what they predict is what is predicted."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pyro_rationale.build import build_guide, build_model, target_summary
from pyro_rationale.data import Vocabulary, load_corpus
from pyro_rationale.fitted import FittedModel
from pyro_rationale.inference.posterior.log_joint import log_joint
from pyro_rationale.nn.last_layer import LastLayer
from pyro_rationale.prediction.decoding import evaluating, predictive
from pyro_rationale.prediction.options import PredictOptions
from pyro_rationale.prediction.posterior_draws import DocumentDraws, inspect_documents
from pyro_rationale.prediction.predictor import predict
from pyro_rationale.tasks import log_prob_of_known, to_numbers
from pyro_rationale.training.fitted_ensemble import Ensemble
from tests.support.small_fit import small

SAMPLES = 300


@pytest.fixture(scope="module", params=["ensemble", "laplace", "ensemble of laplace", "one"])
def drawn(request: pytest.FixtureRequest) -> tuple[FittedModel, list[DocumentDraws]]:
    members = [untrained(seed, "laplace" in request.param) for seed in (1, 2)]
    fitted = Ensemble.of(members, "both") if "ensemble" in request.param else members[0]
    documents = list(load_corpus(fitted.config.data).test[:3])
    return fitted, list(inspect_documents(fitted, documents, SAMPLES, seed=1))


def untrained(seed: int, laplace: bool) -> FittedModel:
    """A model with weights from which words differ, and so do the masks of texts."""
    config = small(documents=24, guide="chain", hidden=4, embedding=4)
    corpus = load_corpus(config.data)
    vocabulary, (centre, spread) = Vocabulary.build(corpus.train), target_summary(corpus.train, corpus.spec)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model(config, corpus.spec, len(vocabulary), None, centre, spread, vocabulary)
        guide = build_guide(config, len(vocabulary), None, 0.5, corpus.spec, vocabulary)
        for weights in (*model.parameters(), *guide.parameters()):
            if weights.dim() > 1:
                weights.data *= 6.0
        if laplace:
            output = model.encoder.output
            size = output.in_features + 1
            model.last_layer = LastLayer(torch.randn(output.out_features, size, size).tril() / size)
    return FittedModel(config, corpus.spec, vocabulary, model, guide, torch.device("cpu")).eval()


def test_guide_and_prior_predict_as_predictions_are_made(drawn: tuple[FittedModel, list[DocumentDraws]]) -> None:
    """Masks of the guide are read by the members that may have drawn them, those of the prior by all."""
    fitted, inspected = drawn
    for item in inspected:
        with evaluating(fitted):
            batch = fitted.encode([item.document])
            q = fitted.guide.posterior(batch).discrete()
            for draws in (item.guide, item.prior):
                z = torch.from_numpy(draws.z).to(fitted.model.encoder.dtype)[:, None]
                said = predictive(fitted, batch, z, q.responsibilities(z) if draws is item.guide else None)
                np.testing.assert_allclose(draws.prediction, fitted.task.values(said)[:, 0], rtol=1e-4, atol=1e-4)
                noise = fitted.task.noise(said)
                assert noise is not None
                scores = (draws.y - draws.prediction) / noise[:, 0]
                assert 0.7 < np.square(scores).mean() < 1.3
                if draws is item.guide:
                    assert batch.targets is not None
                    logs = to_numbers(log_prob_of_known(said, batch.targets))[:, 0]
        assert item.weights.elpd == pytest.approx(np.logaddexp.reduce(logs) - math.log(SAMPLES), rel=1e-3, abs=1e-3)
    options = PredictOptions(samples=SAMPLES, seed=1)
    for item, reading in zip(inspected, predict(fitted, [item.document for item in inspected], options), strict=True):
        assert item.guide.prediction.mean(0) == pytest.approx(np.array(reading.averaged), rel=1e-4)


def test_importance_weights_are_those_of_the_program(drawn: tuple[FittedModel, list[DocumentDraws]]) -> None:
    """One joint density: trained weights, and the mean likelihood of the members."""
    fitted, inspected = drawn
    for item in inspected:
        assert item.posterior is not None
        with evaluating(fitted):
            batch = fitted.encode([item.document])
            z = torch.from_numpy(item.guide.z).to(fitted.model.encoder.dtype)[:, None]
            expected = log_joint(fitted.model, batch, z) - fitted.guide.posterior(batch).discrete().log_prob(z)
            rows = torch.from_numpy(item.posterior.draws.z).to(z.dtype)[:, None]
            outputs = fitted.model.encoder(batch.tokens, rows, batch.lengths)
            said = fitted.task.values(fitted.model.likelihood(outputs))[:, 0]
        assert item.weights.log_weight == pytest.approx(to_numbers(expected)[:, 0], rel=1e-4, abs=2e-3)
        np.testing.assert_allclose(item.posterior.draws.prediction, said, rtol=1e-4, atol=1e-4)
