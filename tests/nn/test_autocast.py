"""Networks in bfloat16: gradients within its rounding, the rest in float32, fits that end in the same place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pyro_rationale.build import build_guide, build_model, build_objective
from pyro_rationale.config import Config, ModelOptions, TrainOptions
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import ConfigError
from pyro_rationale.guides import RationaleGuide
from pyro_rationale.models import RationaleModel
from pyro_rationale.models.program import local_parameters
from pyro_rationale.nn import Encoder, autocast, make_embedding
from pyro_rationale.nn.autocast import bfloat16_problem, reduced
from tests.support.small_fit import fit_small
from tests.support.tiny import named_reader

SPEC = TargetSpec("regression", ("rating",), ((0.0, 1.0),))
EPSILON = 2.0**-8  # spacing of bfloat16 at 1
PROBLEM = bfloat16_problem("cpu")
BFLOAT16 = pytest.mark.skipif(PROBLEM is not None, reason=f"no bfloat16 on this CPU: {PROBLEM}")


def texts() -> Batch:
    torch.manual_seed(5)
    lengths = torch.tensor([11, 14, 9, 14, 12, 13])
    tokens = torch.randint(2, 30, (6, 14)) * (torch.arange(14) < lengths[:, None])
    return Batch(tokens, lengths, torch.rand(6, 1))


def built(guide: str) -> tuple[Config, RationaleModel, RationaleGuide]:
    torch.manual_seed(0)
    config = Config(DataOptions(), ModelOptions(guide=guide, hidden=16, embedding=8), TrainOptions())
    return config, build_model(config, SPEC, 30, None, [0.5], 0.1), build_guide(config, 30, None, 0.5)


def gradients(guide: str, dtype: torch.dtype | None) -> tuple[Tensor, dict[str, Tensor]]:
    """The objective's surrogate and its gradients, from the same random numbers."""
    config, model, made = built(guide)
    torch.manual_seed(1)
    with local_parameters(), reduced(dtype):
        surrogate = build_objective(config).estimate(model, made, texts()).surrogate
    surrogate.backward()
    named = [*model.named_parameters(), *made.named_parameters()]
    return surrogate.detach(), {name: value.grad for name, value in named if value.grad is not None}


def apart(one: Tensor, other: Tensor) -> float:
    """Distance over size."""
    return float(((one - other).norm() / other.norm().clamp_min(1e-12)).detach())


@BFLOAT16
@pytest.mark.parametrize("guide", ["relaxed", "chain"])
def test_gradients_agree_within_rounding(guide: str) -> None:
    exact, expected = gradients(guide, None)
    value, found = gradients(guide, torch.bfloat16)
    assert found.keys() == expected.keys()
    assert {value.dtype, *(gradient.dtype for gradient in found.values())} == {torch.float32}
    assert 0 < apart(value, exact) < 8 * EPSILON
    together = [torch.cat([part[name].flatten() for name in expected]) for part in (found, expected)]
    assert EPSILON / 16 < apart(*together) < 8 * EPSILON  # it did compute in bfloat16, and no worse than that


@BFLOAT16
@pytest.mark.parametrize("reader", ["lstm", "bilstm", "rcnn", "cnn"])
@pytest.mark.parametrize("soft", [False, True])
def test_every_reader(reader: str, soft: bool) -> None:
    torch.manual_seed(0)
    encoder = Encoder(make_embedding(30, 8), named_reader(reader, 8, 16), "mean", 1)
    batch = texts()
    z = torch.rand(6, 14) * batch.mask if soft else (torch.rand(6, 14) < 0.5) * batch.mask.float()
    z.requires_grad_(soft)
    exact = encoder(batch.tokens, z, batch.lengths)
    with reduced(torch.bfloat16):
        found = encoder(batch.tokens, z, batch.lengths)
    assert found.dtype == torch.float32
    assert 0 < apart(found, exact) < 4 * EPSILON
    found.sum().backward()
    gradient = encoder.embedding.weight.grad
    assert gradient is not None
    assert torch.isfinite(gradient).all()


@BFLOAT16
def test_outside_nothing_is_reduced() -> None:
    guide = built("chain")[2]
    before = guide.posterior(texts()).mean
    with reduced(torch.bfloat16):
        within = guide.posterior(texts()).mean
    assert torch.equal(guide.posterior(texts()).mean, before)
    assert not torch.equal(within, before)


@BFLOAT16
def test_a_fit_ends_in_the_same_place(tmp_path: Path) -> None:
    """The fit reads whole texts throughout, where the networks do all the work."""
    options: dict[str, Any] = {"documents": 200, "warmup": 1000, "steps": 60, "hidden": 16, "patience": 99}
    errors = []
    for precision in ("float32", "bf16"):
        fit, _ = fit_small(tmp_path / precision, precision=precision, learning_rate=0.02, **options)
        losses = [record.loss for record in fit.history]
        errors.append(losses[-1] / losses[0])
    assert max(errors) < 0.2
    assert errors[1] == pytest.approx(errors[0], abs=0.03)


def test_the_flag() -> None:
    with pytest.raises(ConfigError, match="--precision: expected one of float32, tf32, bf16, got 'half'"):
        TrainOptions(precision="half")


def test_a_processor_without_bfloat16_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autocast, "bfloat16_problem", lambda device: "could not create a primitive descriptor")
    expected = r"--precision bf16: not on this cpu \(could not create .*\); use --precision float32"
    with pytest.raises(ConfigError, match=expected):
        fit_small(tmp_path / "run", precision="bf16")
    assert not (tmp_path / "run").exists()


def test_the_probe_draws_no_random_numbers() -> None:
    before = torch.get_rng_state()
    bfloat16_problem.__wrapped__("cpu")
    assert torch.equal(torch.get_rng_state(), before)
