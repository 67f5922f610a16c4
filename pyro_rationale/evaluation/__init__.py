"""Metrics, significance, calibration, curves and stress tests of fitted models."""
