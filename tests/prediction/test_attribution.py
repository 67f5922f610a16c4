"""LIME, SHAP and integrated gradients: what each must be by its definition, on functions and tiny encoders."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn

from pyro_rationale.config import Config
from pyro_rationale.data.document import make_document
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.errors import ConfigError
from pyro_rationale.fitted import FittedModel
from pyro_rationale.guides import RationaleGuide
from pyro_rationale.nn import ENCODERS
from pyro_rationale.prediction.attribution import ATTRIBUTIONS, Subject, attribute, importance
from tests.support.tiny import SPECS, tiny_model

WORDS = tuple("abcdefghij")
TEXT = make_document("text 1", "d a c f b j")
NAMES = ("lime", "shap", "integrated-gradients")


def reader(kind: str = "regression", encoder: str = "bilstm", pooling: str = "attention") -> FittedModel:
    model = tiny_model(kind, reader=encoder, pooling=pooling)
    nothing = cast(RationaleGuide, nn.Module())
    return FittedModel(Config(), SPECS[kind], Vocabulary(WORDS), model, nothing, torch.device("cpu")).eval()


def computed(name: str, subject: Any, evaluations: int) -> np.ndarray:
    pytest.importorskip(ATTRIBUTIONS[name].library.partition(".")[0], reason=f"the extra {name} is not installed")
    return ATTRIBUTIONS[name].compute(subject, evaluations)


@pytest.mark.parametrize("name", ["lime", "shap"])
def test_of_a_sum_every_word_gets_its_summand(name: str) -> None:
    """Both targets are sums; LIME's linear model is a ridge regression, which falls short by a little."""
    weights = np.random.default_rng(0).normal(size=(8, 2))
    reader = SimpleNamespace(spec=SimpleNamespace(names=("look", "taste")))

    def read(masks: Any) -> np.ndarray:
        return np.asarray(masks) @ weights

    subject = SimpleNamespace(words=tuple("abcdefgh"), seed=1, reader=reader, read=read)
    np.testing.assert_allclose(computed(name, subject, 300), weights, atol=0.1 if name == "lime" else 1e-9)


@pytest.mark.parametrize("kind", list(SPECS))
def test_shap_values_and_integrals_add_up(kind: str) -> None:
    """To what all words do against none, and to what their vectors do against zeros."""
    fitted = reader(kind)
    subject = Subject(fitted, TEXT)
    words = len(TEXT.tokens)
    whole = subject.read([[True] * words]) - subject.read([[False] * words])
    np.testing.assert_allclose(computed("shap", subject, 200).sum(0), whole[0], atol=1e-6)
    with torch.no_grad():
        vectors, owners = fitted.model.encoder.vectors(subject.tokens)
        ends = subject.read_vectors(torch.stack([torch.zeros_like(vectors), vectors]))
    assert owners.tolist() == list(range(words))
    found = computed("integrated-gradients", subject, 60)
    np.testing.assert_allclose(found.sum(0), (ends[1] - ends[0]).numpy(), atol=2e-3)


@pytest.mark.parametrize("pooling", ["last", "mean", "attention"])
@pytest.mark.parametrize("encoder", [name for name in ENCODERS if name != "transformer"])
def test_vectors_are_read_as_their_words(encoder: str, pooling: str) -> None:
    """And what is read changes as `effects` says, so that gradients are of what the other methods explain."""
    for kind in SPECS if encoder == "lstm" else ["regression"]:
        fitted = reader(kind, encoder, pooling)
        subject, other = Subject(fitted, TEXT), make_document("text 2", "a b c h j i")
        with torch.no_grad():
            here, there = (fitted.model.encoder.vectors(Subject(fitted, one).tokens)[0] for one in (TEXT, other))
            numbers = subject.read_vectors(torch.stack([here, there])).numpy()
        values = [Subject(fitted, one).values for one in (TEXT, other)]
        effects = fitted.task.effects(np.stack(values), subject.values[None].repeat(2, 0))
        np.testing.assert_allclose(numbers[1] - numbers[0], effects[1] - effects[0], atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_text_gets_the_same_again_and_one_word_what_it_does(name: str) -> None:
    pytest.importorskip(ATTRIBUTIONS[name].library.partition(".")[0])
    fitted, method = reader(), ATTRIBUTIONS[name]
    np.testing.assert_array_equal(attribute(fitted, TEXT, method, 20), attribute(fitted, TEXT, method, 20))
    assert attribute(fitted, make_document("text", "a"), method, 4).shape == (1, 2)
    assert attribute(fitted, make_document("text", ""), method).shape == (0, 2)


def test_importance_adds_shares_of_scales() -> None:
    fitted = reader()
    fitted.spec = SPECS["regression"].__class__("regression", ("look", "taste"), ((0.0, 1.0), (0.0, 10.0)))
    np.testing.assert_allclose(importance(fitted, np.array([[-0.5, 1.0], [0.0, -5.0]])), [0.6, 0.5])
    np.testing.assert_allclose(importance(fitted, np.array([[1.0], [-5.0]]), aspect=1), [0.1, 0.5])
    np.testing.assert_allclose(importance(reader("multiclass"), np.array([[-2.0]])), [2.0])


def test_what_is_missing_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shap", None)
    with pytest.raises(ConfigError, match=r"^attributions need shap: pip install .*shap"):
        attribute(reader(), TEXT, ATTRIBUTIONS["shap"])
    with pytest.raises(ConfigError, match=r"--method: expected one of .*, got 'lyme'; did you mean lime"):
        ATTRIBUTIONS["lyme"]


def test_an_encoder_without_vectors_has_no_gradients_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("captum")
    fitted = reader()

    def vectors(self: Any, tokens: Any) -> Any:
        raise NotImplementedError("Mine must define vectors() to be explained by its gradients")

    monkeypatch.setattr(type(fitted.model.encoder), "vectors", vectors)
    with pytest.raises(ConfigError, match=r"integrated gradients: Mine must define vectors\(\).*; take another method"):
        attribute(fitted, TEXT, ATTRIBUTIONS["integrated-gradients"])
