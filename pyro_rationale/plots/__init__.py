"""Figures: each function draws into matplotlib axes that it is given, and returns them."""

from pyro_rationale.plots.comparison import (
    COST_TERMS,
    OBJECTIVE_TERMS,
    bar_scores,
    figures,
    plot_elbo_cost,
    plot_over_lambda,
    plot_terms,
    require_matplotlib,
)

__all__ = [
    "COST_TERMS",
    "OBJECTIVE_TERMS",
    "bar_scores",
    "figures",
    "plot_elbo_cost",
    "plot_over_lambda",
    "plot_terms",
    "require_matplotlib",
]
