"""SR3: Image Super-Resolution via Iterative Refinement (Saharia et al., TPAMI 2022).

A diffusion model that is trained for the task: at each step its network sees the enlarged input
beside the noisy image. Facts from the unofficial code by which it is known (Apache-2.0).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.diffusion.noise import Noise
from bench.diffusion.prior import ConditionalNetwork, ancestral_step, posterior_mean, x0_from_eps
from bench.diffusion.schedule import Schedule
from bench.diffusion.sr3 import sr3_schedule
from bench.images import resize_bicubic_batch
from bench.method import Method, Problem


@dataclass(frozen=True)
class Settings:
    """With fewer `steps` than 2000 the schedule is respaced, which the network allows.

    It is told the noise level, and was trained on all levels between those of the 2000 steps.
    """

    steps: int = 2000


def restore(problem: Problem, settings: Settings) -> Tensor:
    """The condition is the input brought to full size: [B, 3, h, w] to [B, 3, H, W]."""
    condition = resize_bicubic_batch(problem.lr, problem.size)
    schedule = sr3_schedule().respaced(settings.steps)
    return sample(problem.network("sr3"), schedule, condition, problem.noise)


def sample(
    network: ConditionalNetwork, schedule: Schedule, condition: Tensor, noise: Noise
) -> Tensor:
    """Algorithm 2 of the paper with the released variance: condition and result [B, 3, H, W].

    The paper's variance is beta, the code's the smaller one of the posterior; the clean estimate
    is clipped. The last step is the clean estimate, and draws nothing.
    """
    x = noise.normal_like(condition)
    for index in reversed(range(len(schedule))):
        level = torch.full((len(x),), math.sqrt(schedule.alpha_bar[index]), device=x.device)
        eps = network(x, level, condition)
        x0 = x0_from_eps(schedule, x, eps, index).clamp(-1, 1)
        if index == 0:
            return x0
        log_variance = torch.full_like(x, float(schedule.posterior_log_variance[index]))
        mean = posterior_mean(schedule, x0, x, index)
        x = ancestral_step(mean, log_variance, noise.normal_like(x), index)
    return x


METHOD = Method(
    name="sr3",
    title="SR3",
    # 2000 steps: the released configurations, for training and sampling alike.
    settings=lambda scale: Settings(),
    restore=restore,
    needs=frozenset({"sr3"}),
    paper="Saharia et al., Image Super-Resolution via Iterative Refinement, TPAMI 2022",
    licence="Apache-2.0 (the unofficial code)",
)
