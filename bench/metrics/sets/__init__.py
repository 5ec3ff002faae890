"""Distances between sets of features, and reference sets."""
