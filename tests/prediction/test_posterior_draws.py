"""Draws of documents against the laws they are drawn from, and `posterior.nc` that holds them."""

from __future__ import annotations

import math
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pyro_rationale.data import load_corpus
from pyro_rationale.data.batching import encode_batch
from pyro_rationale.data.corpus import Document
from pyro_rationale.data.document import make_document
from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.fitted import FittedModel
from pyro_rationale.guides import ChainGuide
from pyro_rationale.inference.posterior.evidence import all_masks, enumerate_masks
from pyro_rationale.inference.posterior.log_joint import log_joint
from pyro_rationale.inference.posterior.psis import psis
from pyro_rationale.optional import arviz
from pyro_rationale.prediction.inference_data import write_posterior
from pyro_rationale.prediction.netcdf import DITHER, load, open_groups
from pyro_rationale.prediction.options import PredictOptions, Size
from pyro_rationale.prediction.posterior_draws import LONGEST, DocumentDraws, inspect_documents, run_lengths
from pyro_rationale.prediction.predictor import predict
from tests.support.small_fit import table, whole

pytest.importorskip("h5netcdf")
pytest.importorskip("h5py")
SAMPLES = 400


@pytest.fixture(scope="module", params=["relaxed", "recurrent"])
def fitted(request: pytest.FixtureRequest) -> FittedModel:
    return FittedModel.load(whole(guide=request.param), "cpu")


@pytest.fixture(scope="module")
def documents(fitted: FittedModel) -> list[Document]:
    return list(load_corpus(fitted.config.data, fitted.spec).test[:6])


@pytest.fixture(scope="module")
def inspected(fitted: FittedModel, documents: list[Document]) -> list[DocumentDraws]:
    return list(inspect_documents(fitted, documents, SAMPLES, seed=1))


def z_score(values: Any, mean: float) -> float:
    spread = values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean() - mean) / max(float(spread), 1e-12)


def test_masks_come_from_the_guide_and_from_the_prior(fitted: FittedModel, inspected: list[DocumentDraws]) -> None:
    for item in inspected:
        lengths = torch.tensor([len(item.document.tokens)])
        prior = fitted.model.prior.distribution(lengths, int(lengths), torch.float64).mean[0].numpy()
        for draws, mean in ((item.guide, item.inclusion), (item.prior, prior)):
            assert set(np.unique(draws.z)) <= {0, 1}
            kept = draws.z.sum(1)
            assert abs(z_score(kept, mean.sum())) < 4.5
            # Words that are hardly ever kept say nothing one by one.
            clear = (mean > 0.05) & (mean < 0.95)
            error = np.sqrt(mean * (1 - mean) / SAMPLES)[clear]
            assert (np.abs(draws.z.mean(0) - mean)[clear] < 5 * error).all()


def test_they_are_the_draws_that_explain_shows(fitted: FittedModel, inspected: list[DocumentDraws]) -> None:
    documents = [item.document for item in inspected]
    options = PredictOptions(samples=SAMPLES, seed=1, alternatives=SAMPLES + 1)
    for item, reading in zip(inspected, predict(fitted, documents, options), strict=True):
        drawn = {row.tobytes() for row in item.guide.z}
        shown = [other for other in reading.alternatives if other.frequency > 0]
        assert drawn == {np.array(other.mask, dtype=np.uint8).tobytes() for other in shown}
        assert item.guide.prediction.mean(0) == pytest.approx(np.array(reading.averaged), rel=1e-4)
        assert item.inclusion == pytest.approx(np.array(reading.inclusion), abs=1e-6)
        assert item.mode.astype(bool).tolist() == list(reading.mode)


def test_a_document_has_the_same_draws_in_any_company(fitted: FittedModel, inspected: list[DocumentDraws]) -> None:
    alone = next(inspect_documents(fitted, [inspected[3].document], SAMPLES, seed=1))
    assert (alone.guide.z == inspected[3].guide.z).all()
    assert (alone.prior.y == inspected[3].prior.y).all()
    other = next(inspect_documents(fitted, [inspected[3].document], SAMPLES, seed=2))
    assert (other.prior.z != inspected[3].prior.z).any()


def test_weights_are_those_of_the_model_and_the_guide(fitted: FittedModel, inspected: list[DocumentDraws]) -> None:
    for item in inspected:
        batch = encode_batch([item.document], fitted.vocabulary, fitted.spec)
        with torch.no_grad():
            q = fitted.guide.posterior(batch).discrete()
            z = torch.from_numpy(item.guide.z).float()[:, None]
            expected = (log_joint(fitted.model, batch, z) - q.log_prob(z))[:, 0].double()
        weights = item.weights
        assert weights.log_weight == pytest.approx(expected.numpy(), rel=1e-4, abs=2e-3)
        assert weights.log_likelihood is not None
        parts = float(fitted.model.kappa) * weights.log_likelihood + weights.log_prior - weights.log_q
        assert weights.log_weight == pytest.approx(parts)
        assert weights.khat == float(psis(torch.from_numpy(weights.log_weight)[:, None]).k)
        shares = torch.from_numpy(weights.log_weight).softmax(0)
        assert weights.ess == pytest.approx(1.0 / float(shares.square().sum()))
        assert weights.elpd == pytest.approx(math.log(np.exp(weights.log_likelihood).mean()))


def test_ratings_are_drawn_around_the_predictions(fitted: FittedModel, inspected: list[DocumentDraws]) -> None:
    batch = encode_batch([inspected[0].document], fitted.vocabulary, fitted.spec)
    noise = fitted.task.noise(fitted.model.predictive(batch, torch.zeros(1, *batch.tokens.shape)))
    assert noise is not None
    noise = noise[0, 0]
    for draws in (inspected[0].guide, inspected[0].prior):
        scores = (draws.y - draws.prediction) / noise
        assert abs(z_score(scores[:, 0], 0.0)) < 4.5
        assert abs(z_score(scores[:, 0] ** 2, 1.0)) < 4.5


def test_runs_are_counted() -> None:
    z = np.array([[1, 1, 0, 1, 0, 1, 1, 1], [0] * 8, [1] * 8, [0, 1, 0, 0, 0, 0, 0, 1]], dtype=np.uint8)
    spans, kept, count = run_lengths(z)
    assert spans.tolist() == [3, 0, 1, 2]
    assert kept.tolist() == [6, 0, 8, 2]
    expected = np.zeros((4, LONGEST), dtype=int)
    expected[0, [0, 1, 2]] = 1
    expected[2, 7] = 1
    expected[3, 0] = 2
    assert count.tolist() == expected.tolist()
    long = run_lengths(np.ones((1, 3 * LONGEST), dtype=np.uint8))[2]
    assert long[0].tolist() == [0] * (LONGEST - 1) + [1]


# The file.


def test_the_file_holds_what_was_drawn(
    fitted: FittedModel, documents: list[Document], inspected: list[DocumentDraws], tmp_path: Path
) -> None:
    unrated = replace(documents[2], id=documents[1].id, targets=(math.nan,), gold=None)
    chosen = [*documents[:2], unrated, *documents[3:]]
    write_posterior(tmp_path / "p.nc", fitted, chosen, Size(SAMPLES, 4), seed=1)
    with open_groups(tmp_path / "p.nc") as tree:
        names = [d.id for d in chosen]
        names[2] += " (2)"
        assert list(tree["guide/document"].values) == names
        rated = [0, 1, 3, 4, 5]
        for group in ("observed_data", "posterior", "posterior_predictive", "log_likelihood"):
            assert list(tree[f"{group}/document"].values) == [names[i] for i in rated]
        for i, item in enumerate(inspected):
            n = len(item.document.tokens)
            for group, draws in (("guide", item.guide), ("prior", item.prior)):
                here = {name: tree[f"{group}/{name}"].isel(document=i).values for name in ("z", "rate", "prediction")}
                assert here["z"].reshape(SAMPLES, -1)[:, :n].tolist() == draws.z.tolist()
                assert not here["z"][..., n:].any()
                assert here["rate"].ravel() == pytest.approx(draws.rate)
                assert here["prediction"].ravel() == pytest.approx(draws.prediction[:, 0], rel=1e-5)
            assert list(tree["constant_data/tokens"][i].values[:n]) == list(item.document.tokens)
            gold = tree["constant_data/gold"][i].values[:n].tolist()
            assert gold == ([-1] * n if i == 2 else [int(flag) for flag in item.document.gold or ()])
            khat = float(tree["sample_stats/khat"][i])
            assert math.isnan(khat) if i == 2 else khat == item.weights.khat
        likelihood = tree["log_likelihood/y"].values.reshape(SAMPLES, -1)
        for column, i in enumerate(rated):
            resampled = inspected[i].posterior
            assert resampled is not None
            assert np.abs(likelihood[:, column] - resampled.log_likelihood).max() <= DITHER
            stored = tree["posterior/z"].isel(document=column).values.reshape(SAMPLES, -1)
            assert stored[:, : resampled.draws.z.shape[1]].tolist() == resampled.draws.z.tolist()
        totals = sum(item.prior.span_count for item in inspected)
        assert tree["prior/span_count"].values.reshape(SAMPLES, -1).tolist() == np.asarray(totals).tolist()
        assert tree["posterior/z"].dtype == np.int8
        assert "independent" in tree.attrs["sampling"]
        label = "inclusion probability under the guide (tau 0.25, sharpened, not calibrated)"
        assert tree.attrs["inclusion"] == tree["sample_stats/inclusion"].attrs["description"] == label


def corpus(folder: Path, kind: str) -> dict[str, Any]:
    """Options of a fit on a small table of another kind of target."""
    random = np.random.default_rng(2)
    words = ["good", "bad", "dull", "fine", "a", "the", "film", "was"]
    texts = [" ".join(random.choice(words, 12)) for _ in range(60)]
    if kind == "two ratings":
        rows = [f"{text},{random.integers(1, 6)},{random.integers(1, 6)}" for text in texts]
        columns: tuple[str, ...] = ("look", "smell")
    else:
        labels = ["no", "yes"] if kind == "binary" else ["a", "b", "c"]
        rows = [f"{text},{labels[i % len(labels)]}" for i, text in enumerate(texts)]
        columns = ("label",)
    path = table(folder / "data.csv", ",".join(["text", *columns]), rows)
    task = {"task": "regression"} if kind == "two ratings" else {}  # of five levels, they would be ordinal
    return {"data": str(path), "text_column": "text", "target_column": columns, **task}


@pytest.mark.parametrize(
    ("kind", "prediction", "y"),
    [("two ratings", ("target",), ("target",)), ("binary", (), ()), ("multiclass", ("class",), ())],
)
def test_every_kind_of_target(tmp_path: Path, kind: str, prediction: tuple[str, ...], y: tuple[str, ...]) -> None:
    from tests.support.small_fit import fit_small

    fit_small(tmp_path / "run", **corpus(tmp_path, kind))
    fitted = FittedModel.load(tmp_path / "run", "cpu")
    test = load_corpus(fitted.config.data, fitted.spec).test
    write_posterior(tmp_path / "p.nc", fitted, test[:3], Size(40, 2))
    with open_groups(tmp_path / "p.nc") as tree:
        dims = ("chain", "draw", "document")
        for group in ("guide", "prior", "posterior"):
            assert tree[f"{group}/prediction"].dims == (*dims, *prediction)
        for group in ("guide_predictive", "prior_predictive", "posterior_predictive"):
            assert tree[f"{group}/y"].dims == (*dims, *y)
        assert tree["observed_data/y"].dims == ("document", *y)
        observed = np.array([document.targets for document in test[:3]])
        assert tree["observed_data/y"].values.reshape(3, -1).tolist() == observed.tolist()
        # Powers of the probabilities of classes are no density: nothing that az.loo could take for one is stored.
        assert ("log_likelihood" in tree.children) == (kind == "two ratings")
        if kind != "two ratings":
            drawn = tree["prior_predictive/y"].values
            assert drawn.dtype == np.int32
            classes = len(fitted.spec.classes)
            assert set(np.unique(drawn)) <= set(range(classes))
            shares = np.stack([(drawn == c).mean((0, 1)) for c in range(classes)], -1)
            means = tree["prior/prediction"].values.mean((0, 1))
            assert shares[:, 1] == pytest.approx(means if kind == "binary" else means[:, 1], abs=0.3)


@pytest.mark.filterwarnings("ignore:Estimated shape parameter", "ignore:overflow encountered")
def test_loo_of_the_posterior_is_the_log_evidence_and_that_of_the_guide_is_not(tmp_path: Path) -> None:
    az = arviz()
    fitted = FittedModel.load(whole(guide="chain", kappa=1e-3, max_words=8), "cpu")
    model, guide, samples = fitted.model, fitted.guide, 4000
    assert isinstance(guide, ChainGuide)
    batch = fitted.encode(documents := load_corpus(fitted.config.data, fitted.spec).test[:4])
    with torch.no_grad():  # ratings that masks make a difference of 2 nats to, and a guide that has learnt nothing
        model.encoder.output.weight.mul_(4.0)
        weighed, unweighed = (enumerate_masks(model, batch, kappa=kappa).log_joint for kappa in (1.0, 0.0))
        kappa = 2.0 / float(((weighed - unweighed).amax(0) - (weighed - unweighed).amin(0)).max())
        model.kappa.fill_(kappa)
        guide.head.weight.zero_()
        guide.head.bias.fill_(-float(model.prior.alpha))
        guide.joint.bias.fill_(float(model.prior.gamma))
    table = enumerate_masks(model, batch)
    constant = model.likelihood.log_power_normalizer(kappa)
    exact = table.evidence.numpy() + constant
    write_posterior(tmp_path / "p.nc", fitted, documents, Size(samples, 4), seed=1)
    with open_groups(tmp_path / "p.nc") as tree:
        assert (tree["sample_stats/khat"] < 0.7).all()
        result = az.loo(load(tmp_path / "p.nc"), pointwise=True, reff=1.0)
        each = np.asarray((result.loo_i if hasattr(result, "loo_i") else result.elpd_i).values)
        assert each == pytest.approx(exact, abs=0.02)
        masks = all_masks(0, 2**8, 8, weighed)
        for i, posterior in enumerate(table.log_posterior.exp().unbind(1)):
            found = tree["posterior/z"].isel(document=i).values.reshape(samples, -1)[:, :8].mean(0)
            assert found == pytest.approx((posterior @ masks).numpy(), abs=0.05)
        # Draws of the guide, taken for those of the posterior.
        likelihood = tree["sample_stats/log_weight"] - tree["sample_stats/log_prior"] + tree["sample_stats/log_q"]
        wrong = constant - np.log(np.exp(-likelihood).mean(("chain", "draw"))).values
        assert np.abs(wrong - exact).max() > 0.08


def test_texts_without_targets_and_without_words(fitted: FittedModel, tmp_path: Path) -> None:
    texts = [make_document("empty", "", (), 40), make_document("short", "nice look", (), 40)]
    write_posterior(tmp_path / "p.nc", fitted, texts, Size(16, 4))
    with open_groups(tmp_path / "p.nc") as tree:
        assert "observed_data" not in tree.children
        assert not {"log_likelihood", "posterior", "posterior_predictive"} & set(tree.children)
        assert np.isnan(tree["sample_stats/log_weight"].values).all()
        assert tree["constant_data/lengths"].values.tolist() == [0, 2]
        assert not tree["guide/z"].isel(document=0).values.any()
        assert (tree["guide/rate"].isel(document=0).values == 0).all()


def test_memory_does_not_grow_with_the_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted, size = FittedModel.load(whole(guide="relaxed"), "cpu"), Size(1000, 4)
    document = load_corpus(fitted.config.data, fitted.spec).test[0]
    monkeypatch.setattr("pyro_rationale.prediction.inference_data.BLOCK", 2**18)  # a document or two at once

    def peak(count: int) -> int:
        chosen = [replace(document, id=str(i)) for i in range(count)]
        tracemalloc.start()
        try:
            write_posterior(tmp_path / "p.nc", fitted, chosen, size)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(2)  # what the first use of a library leaves behind
    few, many = peak(2), peak(12)
    more = 10 * 3 * size.samples * len(document.tokens)  # bytes of masks alone
    assert many - few < more / 8


def test_sizes() -> None:
    assert Size(500, 4).draws == 125
    assert Size(501, 4).draws == 126
    with pytest.raises(ConfigError, match="--chains"):
        Size(500, 0)
    with pytest.raises(ConfigError, match=r"--samples: expected at least 4 draws per chain \(16\), got 15"):
        Size(15, 4)


def test_no_documents_are_refused(fitted: FittedModel, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least one document"):
        write_posterior(tmp_path / "p.nc", fitted, [])
