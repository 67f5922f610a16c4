"""Rationale models behind scikit-learn's interface: texts in, predictions, intervals and rationales out.

    model = RationaleRegressor(rate=0.1).fit(texts, ratings)
    model.predict(more)
    model.explain(more)[0].spans

The trainer is that of `python -m pyro_rationale.fit`, and so are the parameters: every flag of the model and of
training, by its name and with its default, but for `--seed`, which is `random_state` here. Needs the extra `sklearn`.
"""

from __future__ import annotations

from pyro_rationale.optional import install_command

try:
    import sklearn  # noqa: F401
except ModuleNotFoundError:
    raise ImportError(f"pyro_rationale.sklearn needs scikit-learn: {install_command('sklearn')}") from None

from pyro_rationale.sklearn.classifier import RationaleClassifier
from pyro_rationale.sklearn.regressor import RationaleRegressor

__all__ = ["RationaleClassifier", "RationaleRegressor"]
