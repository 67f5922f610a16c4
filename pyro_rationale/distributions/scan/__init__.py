"""Recurrences along binary chains, with gradients, on CPU and GPU; `scan` is the interface."""
