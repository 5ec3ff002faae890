"""SR3: Image Super-Resolution via Iterative Refinement (Saharia et al., TPAMI 2022).

A diffusion model that is trained for the task: at each step its network sees the enlarged input
beside the noisy image. Details from the unofficial code by which it is known (Apache-2.0).
"""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval
from torch import Tensor

from bench.diffusion.sr3 import sample_sr3, sr3_schedule
from bench.images import resize_bicubic_batch
from bench.methods import Method, Problem


@dataclass(frozen=True)
class Settings:
    """Settings of SR3. With fewer `steps` than 2000 the schedule is respaced.

    The network gets the noise level, and was trained on all levels between those of the 2000 steps.
    """

    steps: Annotated[int, Interval(ge=1, le=2000)] = 2000


def restore(problem: Problem, settings: Settings) -> Tensor:
    """Use the upsampled input as condition: [B, 3, h, w] to [B, 3, H, W]."""
    condition = resize_bicubic_batch(problem.lr, problem.size)
    schedule = sr3_schedule().respaced(settings.steps)
    return sample_sr3(problem.network("sr3"), schedule, condition, problem.noise)


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
