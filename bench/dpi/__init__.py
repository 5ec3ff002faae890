"""Diffusion Prior Interpolation: masks, Corrector, sampler."""
