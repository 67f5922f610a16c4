"""Rationales and predictions of fitted models, as objects, as draws and as files."""
