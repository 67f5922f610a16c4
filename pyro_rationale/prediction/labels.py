"""Words for the numbers that a guide gives, the same wherever they are shown."""

from __future__ import annotations


def tau_label(tau: float) -> str:
    """The weight of the entropy that a guide was fitted with; below 1 it comes out sharper than the ELBO makes it."""
    return f"tau {tau:g}, which sharpens it" if tau < 1.0 else f"tau {tau:g}"


def inclusion_label(tau: float) -> str:
    """The name of the probability that a word is kept, which says whose it is and that it is not calibrated."""
    return f"inclusion probability under the guide (tau {tau:g}{', sharpened' if tau < 1.0 else ''}, not calibrated)"
