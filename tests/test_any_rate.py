"""`--any-rate`: the encoder also reads the likeliest words at other shares, and the guide hears nothing of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pyro_rationale.data.batch import Batch
from pyro_rationale.errors import ConfigError
from pyro_rationale.fitting import Fit, prepare
from pyro_rationale.losses import SHARES, likeliest
from small_fit import small


def fit_of(folder: Path, **options: Any) -> tuple[Fit, Batch]:
    fit = prepare(small(**options), folder)
    return fit, next(iter(fit.trainer.batches.epoch(0)))


@pytest.mark.parametrize("guide", ["chain", "relaxed", "hardkuma", "recurrent"])
def test_the_words_are_the_likeliest_of_each_text(tmp_path: Path, guide: str) -> None:
    fit, batch = fit_of(tmp_path / "run", guide=guide, tau=None)
    fit.fitted.eval()
    torch.manual_seed(0)
    mask = likeliest(fit.fitted.guide, batch)
    assert mask.dtype == torch.bool
    assert not bool((mask & ~batch.mask).any())
    shares = mask.sum(-1) / batch.lengths
    assert bool((shares >= 1 / batch.lengths).all())
    assert bool((shares <= SHARES[1] + 1 / batch.lengths).all())
    assert float(shares.std()) > 0.1  # a share per document
    if guide == "recurrent":  # its marginals are samples: another look, others
        return
    marginals = fit.fitted.guide.posterior(batch).mean.detach()
    for row, chosen, inside in zip(marginals, mask, batch.mask, strict=True):
        left = row[inside & ~chosen]
        assert not len(left) or float(row[chosen].min()) >= float(left.max())


def test_the_encoder_alone_learns_from_them(tmp_path: Path) -> None:
    def gradients(folder: str, weight: float) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        fit, batch = fit_of(tmp_path / folder, guide="chain", any_rate=weight)
        torch.manual_seed(1)
        fit.trainer._objective_loss(batch)[0].backward()
        model, guide = fit.fitted.model, fit.fitted.guide
        return (
            {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None},
            {name: p.grad.clone() for name, p in guide.named_parameters() if p.grad is not None},
        )

    model, guide = gradients("without", 0.0)
    more, same = gradients("with", 1.0)
    assert all(torch.equal(guide[name], same[name]) for name in guide)
    assert guide.keys() == same.keys()
    assert any(not torch.allclose(model[name], more[name]) for name in model)


def test_a_weight_below_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match="--any-rate: expected a number of at least 0"):
        small(any_rate=-1.0)
