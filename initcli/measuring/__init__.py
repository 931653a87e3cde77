"""Measurements of values: moments, histograms, fits."""
