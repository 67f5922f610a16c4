"""Measurements of the inference itself: `python -m pyro_rationale.study NAME`, one module per study."""
