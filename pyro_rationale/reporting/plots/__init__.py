"""Figures: each function draws into matplotlib axes that it is given, and returns them."""

from pyro_rationale.reporting.plots.comparison import (
    COST_TERMS,
    OBJECTIVE_TERMS,
    bar_scores,
    figures,
    plot_elbo_cost,
    plot_over_lambda,
    plot_terms,
)
from pyro_rationale.reporting.plots.curves import curve_figure, plot_curves
from pyro_rationale.reporting.plots.files import check_figure, require_matplotlib, save_figure
from pyro_rationale.reporting.plots.posterior import (
    plot_khat,
    plot_predictive,
    plot_rates,
    plot_spans,
    posterior_figures,
)
from pyro_rationale.reporting.plots.rationale import plot_inclusion, plot_rationale
from pyro_rationale.reporting.plots.study import plot_answer, plot_variants
from pyro_rationale.reporting.plots.training import plot_training

__all__ = [
    "COST_TERMS",
    "OBJECTIVE_TERMS",
    "bar_scores",
    "check_figure",
    "curve_figure",
    "figures",
    "plot_answer",
    "plot_curves",
    "plot_elbo_cost",
    "plot_inclusion",
    "plot_khat",
    "plot_over_lambda",
    "plot_predictive",
    "plot_rates",
    "plot_rationale",
    "plot_spans",
    "plot_terms",
    "plot_training",
    "plot_variants",
    "posterior_figures",
    "require_matplotlib",
    "save_figure",
]
