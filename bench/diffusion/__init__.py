"""Diffusion models: schedule, network, prior, linear operators, noise streams."""
