"""Metrics, confidence intervals, calibration and robustness of classifiers and segmenters."""
