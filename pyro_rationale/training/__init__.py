"""Optimisation of a model and its guide: trainer, schedules, callbacks, checkpoints, run folders, processes."""
