"""Objectives to train by, and the terms that they are made of."""
