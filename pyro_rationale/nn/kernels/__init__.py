"""Recurrent networks with gradients written out and launches replayed from CUDA graphs."""
