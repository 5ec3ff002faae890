"""My Method: what it does, then the paper and the licence of its code."""

from dataclasses import dataclass

from torch import Tensor

from bench.core.errors import WrongUsage
from bench.images import resize_bicubic_batch
from bench.methods import Method, Problem


@dataclass(frozen=True)
class Settings:
    """Settings, which determine the results. `sharpness` 0 is plain bicubic enlargement."""

    sharpness: float = 0.5

    def __post_init__(self) -> None:
        if self.sharpness < 0:
            raise WrongUsage(f"sharpness is {self.sharpness}: choose 0 or more.")


def published(scale: int) -> Settings:
    """Return the settings for a scale, such as the published ones."""
    return Settings()


def restore(problem: Problem, settings: Settings) -> Tensor:
    """Enlarge each image on its own: [B, 3, h, w] to [B, 3, H, W], both in [-1, 1].

    `problem.noise.normal_like(x)` is the only source of randomness. A method that names "prior"
    in its `needs` finds it as `problem.prior`.
    """
    large = resize_bicubic_batch(problem.lr, problem.size)
    smooth = resize_bicubic_batch(problem.lr, problem.size // 2)
    blurred = resize_bicubic_batch(smooth, problem.size)
    return (large + settings.sharpness * (large - blurred)).clamp(-1, 1)


METHOD = Method(
    name="my-method",
    title="My Method",
    settings=published,
    restore=restore,
    needs=frozenset(),
    revision=1,  # raise it with every change that alters the numbers
    paper="",
    licence="",
)
