"""Rationales and predictions of fitted models, as objects, as posterior draws and as files."""
