"""Integrated gradients on an encoder that reads whole texts: the top words by absolute attribution."""

from pyro_rationale.experiments.baselines._attribution import attribution

REGISTERED = attribution("integrated-gradients")
