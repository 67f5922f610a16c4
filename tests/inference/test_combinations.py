"""Every guide with every estimator, encoder, pooling and kind of target: it trains, or it is refused by name."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.guides import GUIDES
from pyro_rationale.inference.estimators import ESTIMATORS
from pyro_rationale.training.prepare import prepare_run
from tests.support.grids import each_value
from tests.support.small_fit import fit_small, sixteen, small, table
from tests.support.tiny_bert import make_tiny_bert

PATHWISE = {"relaxed": ("relaxed", "straight-through"), "hardkuma": ("relaxed",)}
VALID = [
    (guide, estimator)
    for guide, estimator in itertools.product(GUIDES, ESTIMATORS)
    if (estimator in PATHWISE[guide] if guide in PATHWISE else estimator != "relaxed")
    and (estimator != "disarm" or guide == "independent")
    and (estimator != "gauss-newton" or guide != "recurrent")
]
WORDS = "the room was lovely dirty and we liked hated it not so very much again".split()


def texts(seed: int, count: int = 30) -> list[str]:
    """Short texts, none twice."""
    generator = torch.Generator().manual_seed(seed)
    picks = [torch.randint(len(WORDS), (4 + i % 5,), generator=generator).tolist() for i in range(count)]
    return [" ".join([*(WORDS[w] for w in pick), f"n{i}"]) for i, pick in enumerate(picks)]


@pytest.mark.parametrize(("guide", "estimator"), VALID)
@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_every_combination_trains(tmp_path: Path, guide: str, estimator: str, every: bool) -> None:
    """Two steps with each encoder and pooling, or with three in turn: finite, and no parameter is left out."""
    networks = list(itertools.product(("lstm", "bilstm", "rcnn", "cnn"), ("last", "mean", "attention")))
    for encoder, pooling in networks if every else networks[VALID.index((guide, estimator)) % 4 :: 4]:
        config = small(guide=guide, estimator=estimator, encoder=encoder, pooling=pooling, batch_size=8)
        trainer = prepare_run(config, tmp_path / encoder / pooling, corpus=sixteen()).trainer
        before = {name: value.detach().clone() for name, value in trainer.named.items()}
        for record in trainer.run_epoch():
            assert math.isfinite(record.loss)
            assert 0.0 < record.rate < 1.0
            assert record.entropy > 0.0
        assert trainer.step == 2
        idle = [name for name, value in trainer.named.items() if torch.equal(value, before[name])]
        assert idle == [], f"{encoder}, {pooling}"
        assert all(bool(torch.isfinite(value).all()) for value in trainer.named.values())


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("bert"), ("the", "beer", "was"), positions=128)


@pytest.mark.parametrize(("guide", "estimator"), VALID)
def test_every_combination_trains_a_transformer(tmp_path: Path, bert: Path, guide: str, estimator: str) -> None:
    """Two finite steps on hard, relaxed or straight-through masks, and every tuned parameter of the encoder moves."""
    options = {"pretrained": str(bert), "encoder": "transformer", "tune_encoder": "top:1", "generator": "bilstm"}
    trainer = prepare_run(
        small(guide=guide, estimator=estimator, batch_size=8, samples=2, **options), tmp_path, corpus=sixteen()
    ).trainer
    before = {name: value.detach().clone() for name, value in trainer.named.items() if "transformer" in name}
    assert len(before) == 16
    records = list(trainer.run_epoch())
    assert trainer.step == len(records) == 2
    assert all(math.isfinite(record.loss) for record in records)
    assert all(bool(torch.isfinite(value).all()) for value in trainer.named.values())
    assert [name for name, value in before.items() if torch.equal(value, trainer.named[name])] == []


@pytest.mark.parametrize(
    ("guide", "estimator"), sorted(set(itertools.product(GUIDES, ESTIMATORS)) - set(VALID))
)
def test_every_other_combination_is_refused(guide: str, estimator: str) -> None:
    with pytest.raises(ConfigError, match=rf"^--estimator {estimator}\b.*--guide {guide}"):
        small(guide=guide, estimator=estimator)


REGRESSION = ("stars", [f"{1 + 0.13 * i:.2f}" for i in range(30)])
ASPECTS = ("stars,food", [f"{1 + 0.13 * i:.2f},{'' if i % 3 else 0.07 * i}" for i in range(30)])
LEVELS = ("stars", [str(1 + i % 5) for i in range(30)])
LEVELED = ("stars,food", [f"{1 + i % 5},{'' if i % 3 else i % 4}" for i in range(30)])
TONE = ("tone", [("bad", "good")[i % 2] for i in range(30)])
TONES = ("clean,quiet", [f"{i % 2},{'' if i % 3 else i // 3 % 2}" for i in range(30)])
KIND = ("kind", [("x", "y", "z")[i % 3] for i in range(30)])


KINDS: dict[str, tuple[tuple[str, list[str]], str, str]] = {
    "regression": (REGRESSION, "regression", "mse"),
    "aspects": (ASPECTS, "regression", "mse"),
    "levels": (LEVELS, "ordinal", "mse"),
    "aspects in levels": (LEVELED, "ordinal", "mse"),
    "binary": (TONE, "binary", "accuracy"),
    "binary aspects": (TONES, "binary", "accuracy"),
    "multiclass": (KIND, "multiclass", "accuracy"),
}


@each_value("target,guide", list(KINDS), ["relaxed", "chain"])
def test_every_kind_of_target_is_fitted(tmp_path: Path, target: str, guide: str) -> None:
    (header, targets), kind, measure = KINDS[target]
    rows = [f"{text},{target}" for text, target in zip(texts(1), targets, strict=True)]
    path = table(tmp_path / "a.csv", f"text,{header}", rows)
    names = tuple(header.split(","))
    fit, metrics = fit_small(tmp_path / "run", data=str(path), target_column=names, guide=guide)
    assert fit.fitted.spec.kind == kind
    assert fit.fitted.spec.names == names
    assert all(math.isfinite(record.loss) for record in fit.history)
    assert math.isfinite(metrics.test[measure])
    assert math.isfinite(metrics.test["elbo"])
    assert "f1" not in metrics.test


def test_an_aspect_that_no_training_document_rates(tmp_path: Path) -> None:
    rows = [f"{text},{i % 5}," for i, text in enumerate(texts(2))]
    train = table(tmp_path / "train.csv", "text,stars,food", [*rows, "the last,1,1", "the first,2,3"])
    test = table(tmp_path / "test.csv", "text,stars,food", ["the end,1,2", "an end,2,3"])
    options: dict[str, Any] = {"data": str(train), "target_column": ("stars", "food")}
    options |= {"dev_data": str(test), "test_data": str(test)}
    fit_small(tmp_path / "fine", **options)
    table(train, "text,stars,food", rows)
    with pytest.raises(DataError, match="'food'"):
        fit_small(tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()
