"""Methods of other libraries that say after the fact which words a prediction rests on, by name.

Each public module here registers one as an :class:`AttributionMethod`. None is implemented here: `lime`, `shap` and
`captum` are extras.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyro_rationale.registry import Registry, lazy_names

if TYPE_CHECKING:
    from pyro_rationale.prediction.attribution._base import AttributionMethod, Subject, attribute, importance
    from pyro_rationale.prediction.attribution._texts import Attribution, attributions

ATTRIBUTIONS: Registry[AttributionMethod] = Registry("attributions", __name__, "--method")

__all__ = [
    "ATTRIBUTIONS", "Attribution", "AttributionMethod", "Subject", "attribute", "attributions", "importance",
]  # fmt: skip

__getattr__ = lazy_names(
    __name__,
    {"_base": "AttributionMethod Subject attribute importance", "_texts": "Attribution attributions"},
)
