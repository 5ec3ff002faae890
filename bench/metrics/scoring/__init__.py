"""Scoring of runs: what is computed when, in which batches, and on which devices."""
