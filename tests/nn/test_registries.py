"""Encoders and generators of another package: the protocol is all that is asked of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pyro_rationale.errors import ConfigError
from pyro_rationale.fitted import FittedModel
from pyro_rationale.nn import ENCODERS, GENERATORS
from tests.support.small_fit import fit_small, small


class BagOfVectors(nn.Module):
    """An encoder with word vectors of its own and no layer called `output`."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.width = outputs
        self.table = nn.Embedding(500, outputs)
        self.start = nn.Parameter(torch.zeros(outputs))

    @classmethod
    def from_config(cls, options: Any, embedding: nn.Embedding, outputs: int) -> BagOfVectors:
        return cls(outputs)

    @property
    def dtype(self) -> torch.dtype:
        return self.start.dtype

    @torch.no_grad()
    def initialise_output(self, values: Tensor) -> None:
        self.start.copy_(values)

    def forward(self, tokens: Tensor, z: Tensor, lengths: Tensor) -> Tensor:
        return self.start + (z[..., None] * self.table(tokens % 500)).sum(-2) / lengths[:, None]


class Windows(nn.Module):
    """A generator without a recurrence and without an `embedding`."""

    def __init__(self, vectors: nn.Embedding, context: int) -> None:
        super().__init__()
        self.table, self.width = vectors, 6
        self.layer = nn.Conv1d(vectors.embedding_dim, 6, 3, padding=1)
        self.told = nn.Linear(context, 6) if context else None

    @classmethod
    def from_config(cls, options: Any, embedding: nn.Embedding, context: int) -> Windows:
        return cls(embedding, context)

    @property
    def dtype(self) -> torch.dtype:
        return self.layer.weight.dtype

    def forward(self, tokens: Tensor, lengths: Tensor, context: Tensor | None = None) -> Tensor:
        features = torch.tanh(self.layer(self.table(tokens).transpose(1, 2))).transpose(1, 2)
        return features if context is None or self.told is None else features + self.told(context)[:, None]


@pytest.fixture
def registered() -> Iterator[None]:
    ENCODERS["bag"], GENERATORS["windows"] = BagOfVectors, Windows
    yield
    del ENCODERS["bag"], GENERATORS["windows"]


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("more", [{"guide": "chain"}, {"guide": "chain", "condition_on_target": True}])
def test_networks_of_ones_own_are_fitted_and_loaded(tmp_path: Path, more: dict[str, Any]) -> None:
    fit_small(tmp_path / "run", encoder="bag", generator="windows", documents=60, steps=6, **more)
    fitted = FittedModel.load(tmp_path / "run")
    assert isinstance(fitted.model.encoder, BagOfVectors)
    assert isinstance(fitted.guide.generator, Windows)


def test_names_are_checked() -> None:
    known = "lstm, bilstm, rcnn, cnn, transformer"
    with pytest.raises(ConfigError, match=f"--encoder: expected one of {known}, got 'lstms'"):
        small(encoder="lstms")
    with pytest.raises(ConfigError, match="--generator: expected one of auto, bilstm, central, stacked, transformer"):
        small(generator="windows")
