"""Terms of the objective on labelled documents: ELBO, KL, entropy and the expected cost of Lei et al. (2016)."""

from __future__ import annotations

from pyro_rationale.evaluation.metrics._base import Metric, MetricFamily, MetricInputs


def _compute(inputs: MetricInputs) -> dict[str, float]:
    from pyro_rationale.evaluation.objective_report import objective_report

    assert inputs.fitted is not None
    return objective_report(inputs.fitted, inputs.documents, batch_size=inputs.batch_size, seed=inputs.seed)


REGISTERED = MetricFamily(
    (
        Metric("elbo", "ELBO (nats per document)", ".4g", "higher"),
        Metric("expected_cost", "expected cost of the paper", ".4g", "lower"),
        Metric("kl", "KL from the prior (nats)"),
        Metric("entropy", "entropy of the guide (nats)"),
        Metric("elbo_given_target", "ELBO of the guide that sees the target", ".4g", "higher"),
        Metric("expected_cost_given_target", "its expected cost of the paper", ".4g", "lower"),
        Metric("kl_given_target", "its KL from the prior (nats)"),
        Metric("entropy_given_target", "its entropy (nats)"),
    ),
    _compute,
    needs=("fitted",),
)
