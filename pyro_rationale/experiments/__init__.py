"""Comparisons over many fits: baselines, benchmark grids, studies of the inference."""
