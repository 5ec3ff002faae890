"""Gradients through the prior, in micro-batches."""

from collections.abc import Callable
from dataclasses import fields

import torch
from torch import Tensor

from bench.diffusion.operators import SeparableOperator
from bench.diffusion.prior import Prediction, Prior

# Pixels of the images whose activations are kept at a time: two of 256 px, for which ffhq_10m.pt
# keeps 3.4 GiB. Activation checkpointing would halve that, and took 1.4 times as long.
PIXELS_AT_ONCE = 2 * 256**2

Objective = Callable[[Tensor, Tensor], Tensor]
"""(x0_hat [B, 3, H, W], measurement [B, ...]) -> one value per image [B]."""


def misfit(operator: SeparableOperator) -> Objective:
    """Return the objective ||y - A x0_hat||, the norm for each image and not its square."""
    return lambda x0_hat, y: (y - operator(x0_hat)).flatten(1).norm(dim=1)


def guided(
    prior: Prior, x: Tensor, y: Tensor, objective: Objective, index: int, clip: bool = True
) -> tuple[Prediction, Tensor]:
    """Return the prediction at x_t and the gradient of an objective of x0_hat with respect to x_t.

    The batch is split so that its size does not decide how much memory the backward pass takes.
    The objective has one value per image, so images do not influence each other.

    Args:
        prior: on the schedule that `index` belongs to.
        x: x_t [B, 3, H, W].
        y: what the objective compares with, one per image [B, ...].
        objective: differentiable in x0_hat.
        index: into the schedule.
        clip: clip x0_hat to [-1, 1] inside the gradient.
    """
    at_once = max(1, PIXELS_AT_ONCE // (x.shape[-2] * x.shape[-1]))
    parts = zip(torch.split(x, at_once), torch.split(y, at_once), strict=True)
    done = [_guided_part(prior, part, of, objective, index, clip) for part, of in parts]
    predictions, gradients = zip(*done, strict=True)
    whole = {
        field.name: torch.cat([getattr(prediction, field.name) for prediction in predictions])
        for field in fields(Prediction)
    }
    return Prediction(**whole), torch.cat(gradients)


def _guided_part(
    prior: Prior, x: Tensor, y: Tensor, objective: Objective, index: int, clip: bool
) -> tuple[Prediction, Tensor]:
    """Differentiate with respect to x_t only, even with frozen weights or gradients disabled."""
    with torch.enable_grad():
        tracked = x.detach().requires_grad_()
        prediction = prior.predict(tracked, index, clip)
        (gradient,) = torch.autograd.grad(objective(prediction.x0_hat, y).sum(), tracked)
    detached = {f.name: getattr(prediction, f.name).detach() for f in fields(prediction)}
    return Prediction(**detached), gradient
