"""`posterior.nc` where targets have masks of their own: all that is about masks has the dimension `target`."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pyro_rationale.build import build_guide, build_model
from pyro_rationale.data import Vocabulary, load_corpus
from pyro_rationale.data.aspects import asked
from pyro_rationale.data.document import Document
from pyro_rationale.distributions import AspectPriors, ChainPrior
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.inference_data import write_posterior
from pyro_rationale.prediction.netcdf import open_groups
from pyro_rationale.prediction.options import Size
from pyro_rationale.prediction.posterior_draws import LONGEST, inspect_documents
from pyro_rationale.reporting.plots.posterior import MaskDraws
from tests.support.small_fit import small

pytest.importorskip("h5netcdf")
pytest.importorskip("h5py")
SIZE = Size(samples=16, chains=2)


@pytest.fixture(scope="module")
def untrained() -> tuple[FittedModel, list[Document]]:
    """Four aspects; of the second document one is unknown, of the third all."""
    config = small(documents=24, guide="chain", aspect="all")
    corpus = load_corpus(config.data)
    vocabulary = Vocabulary.build(corpus.train)
    torch.manual_seed(0)
    model = build_model(config, corpus.spec, len(vocabulary), None)
    guide = build_guide(config, len(vocabulary), None, 0.5, corpus.spec)
    one, other, last = corpus.test[:3]
    documents = [one, replace(other, targets=(math.nan, *other.targets[1:])), replace(last, targets=())]
    return FittedModel(config, corpus.spec, vocabulary, model, guide, torch.device("cpu"), "four").eval(), documents


def test_all_about_masks_has_the_target_last(untrained: tuple[FittedModel, list[Document]], tmp_path: Path) -> None:
    fitted, documents = untrained
    write_posterior(tmp_path / "posterior.nc", fitted, documents, SIZE)
    with open_groups(tmp_path / "posterior.nc") as tree:
        assert tree["guide/z"].dims == ("chain", "draw", "document", "word", "target")
        assert tree["guide"].coords["target"].values.tolist() == list(fitted.spec.names)
        for name in ("rate", "spans", "span", "prediction"):
            assert tree[f"prior/{name}"].dims == ("chain", "draw", "document", "target")
        assert tree["sample_stats/khat"].dims == ("document", "target")
        assert tree["sample_stats/inclusion"].dims == ("document", "word", "target")
        khat = tree["sample_stats/khat"].values
        assert np.isnan(khat).tolist() == [[False] * 4, [True, False, False, False], [True] * 4]
        assert tree["posterior"].sizes["document"] == 2
        missing = tree["posterior/rate"].values[:, :, 1, 0]
        assert np.isnan(missing).all()
        assert (tree["posterior/z"].values[:, :, 1, :, 0].max()) <= 0
        assert np.isfinite(tree["posterior/rate"].values[:, :, 1, 1:]).all()
        unknown = np.isnan(tree["log_likelihood/y"].values[:, :, 1]).all(axis=(0, 1))
        assert unknown.tolist() == [True, False, False, False]
        kept = tree["guide/z"].values.sum(3)
        lengths = np.array([len(document.tokens) for document in documents])[:, None]
        np.testing.assert_allclose(tree["guide/rate"].values, kept / lengths, rtol=1e-5)
        draws = MaskDraws.of(tree)
        assert draws.runs.shape == draws.prior_runs.shape == (LONGEST,)
        assert draws.runs.sum() == tree["guide/spans"].values.sum()


def test_each_target_s_draws_are_those_of_its_row(untrained: tuple[FittedModel, list[Document]]) -> None:
    fitted, documents = untrained
    (joined,) = inspect_documents(fitted, documents[:1], 8)
    (row,) = inspect_documents(fitted, [asked(documents[0], 2)], 8)
    np.testing.assert_array_equal(joined.guide.z[..., 2], row.guide.z)
    np.testing.assert_array_equal(joined.guide.prediction[:, 2], row.guide.prediction[:, 2])
    np.testing.assert_array_equal(joined.weights.log_weight[:, 2], row.weights.log_weight)
    np.testing.assert_array_equal(joined.inclusion[:, 2], row.inclusion)


def test_each_target_has_its_own_prior_and_constraint(
    untrained: tuple[FittedModel, list[Document]], tmp_path: Path
) -> None:
    fitted, documents = untrained
    before, names = (fitted.model.prior, fitted.model.steering), fitted.spec.names
    chains = tuple(ChainPrior.from_rate_span(0.1 + 0.05 * i, 3.0) for i in range(len(names)))
    try:
        fitted.model.prior = AspectPriors(chains)
        fitted.model.steering = AspectPriors(tuple(replace(one, alpha=one.alpha + i) for i, one in enumerate(chains)))
        write_posterior(tmp_path / "posterior.nc", fitted, documents, SIZE)
    finally:
        fitted.model.prior, fitted.model.steering = before
    with open_groups(tmp_path / "posterior.nc") as tree:
        priors, charged = (json.loads(tree.attrs[name]) for name in ("priors", "constraints"))
        assert list(priors) == list(charged) == list(names)
        rates = [priors[name]["rate"] for name in names]
        assert rates == pytest.approx([0.1, 0.15, 0.2, 0.25], rel=1e-4)
        assert tree.attrs["prior_rate"] == pytest.approx(sum(rates) / 4)
        assert [charged[name]["word"] for name in names] == pytest.approx([0, 1, 2, 3], abs=1e-4)
