"""Pickles, run folders, pipelines and searches of the estimators, and what is said without scikit-learn."""

from __future__ import annotations

import importlib
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pyro_rationale.optional import install_command

pytest.importorskip("sklearn")

from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from pyro_rationale.fitted import FittedModel
from pyro_rationale.sklearn import RationaleClassifier
from tests.support.tiny_estimators import LABELS, ONE, TEXTS, tiny

# Ten steps reach nothing, and say so.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_pickle_holds_the_model_and_no_folder(fitted: dict[str, Any], tmp_path: Path) -> None:
    for model in fitted.values():
        content = pickle.dumps(model)
        twin = pickle.loads(content)
        assert np.array_equal(twin._values(TEXTS, "average"), model._values(TEXTS, "average"))
        assert twin.get_params() == model.get_params()
        assert twin.explain(TEXTS[:2], samples=5) == model.explain(TEXTS[:2], samples=5)
        assert str(tmp_path.parent.parent).encode() not in content
        assert len(content) < 100_000


def test_a_pickle_of_another_version_says_so(fitted: dict[str, Any]) -> None:
    state = fitted["one"].fitted_.__getstate__()
    with pytest.raises(Exception, match="pickle of format 0, this version reads"):
        FittedModel.__new__(FittedModel).__setstate__({**state, "format": 0})


def test_a_saved_model_is_a_run(fitted: dict[str, Any], tmp_path: Path) -> None:
    fitted["one"].save(tmp_path / "run")
    loaded = FittedModel.load(tmp_path / "run", "cpu")
    assert loaded.config == fitted["one"].fitted_.config
    for name, weight in loaded._tensors().items():
        assert torch.equal(weight, fitted["one"].fitted_._tensors()[name])
    with pytest.raises(ValueError, match=r"run: already holds files; save to another folder, or remove .* first$"):
        fitted["one"].save(tmp_path / "run")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"file: is a file; save to another folder, or remove this one first$"):
        fitted["one"].save(tmp_path / "file")


def test_pipeline_search_and_cross_validation() -> None:
    texts = np.array(TEXTS, dtype=object)
    lower = FunctionTransformer(lambda some: [text.lower() for text in some])
    pipeline = make_pipeline(lower, tiny(RationaleClassifier, steps=2, anneal=1))
    scores = cross_val_score(pipeline, texts, LABELS, cv=2, error_score="raise")
    assert scores.shape == (2,)
    assert np.isfinite(scores).all()
    search = GridSearchCV(
        pipeline, {"rationaleclassifier__hidden": [4, 5]}, scoring="neg_log_loss", cv=2, error_score="raise"
    ).fit(TEXTS, LABELS)
    assert search.best_params_["rationaleclassifier__hidden"] in (4, 5)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_[-1].fitted_.config.model.hidden == search.best_params_["rationaleclassifier__hidden"]
    assert np.isfinite(cross_val_score(tiny(steps=2, anneal=1), TEXTS, ONE, cv=2, error_score="raise")).all()


def test_without_scikit_learn_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("pyro_rationale.sklearn")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError) as caught:
        importlib.import_module("pyro_rationale.sklearn")
    assert str(caught.value) == f"pyro_rationale.sklearn needs scikit-learn: {install_command('sklearn')}"
