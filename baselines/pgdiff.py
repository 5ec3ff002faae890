"""PGDiff: Partial Guidance for face restoration (Yang et al., NeurIPS 2023).

Each step's mean is moved towards a smooth target image, by the gradient of the squared distance
between the target and x0_hat; the network is not differentiated. Details from the released code
(S-Lab licence, non-commercial), whose target is made anew at each step by a network of x_t and the
input, and whose prior is its own at 512 pixels. Here the target is fixed, the result of another
method of the harness, and the prior the shared one.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from bench.core.errors import WrongUsage
from bench.core.validation import Positive
from bench.diffusion.noise import Noise
from bench.diffusion.prior import Prior, ancestral_step
from bench.methods import DEFAULT, Inner, Method, Problem
from bench.methods.settings import Fraction, NotNegative, Steps, check_spacing

Target = Callable[[Tensor], Tensor]
"""x_t [B, 3, H, W] -> the image to guide towards, of the same shape."""

SPACING = "ddim"


@dataclass(frozen=True)
class Settings:
    """`passes` is the paper's N: steps strictly between `s_end` and `s_start` run N times.

    Both are fractions of the steps taken. The released code compares indices of a respaced schedule
    with fractions of the 1000 training steps, so with fewer steps it hardly ever repeats any.
    `restorer` names the method that makes the target, by default "bicubic": the released one is a
    network of x_t, the input and t, which no restoration method is.
    """

    steps: Steps = 1000
    guidance: NotNegative = 0.1
    passes: Positive = 1
    s_start: Fraction = 1.0
    s_end: Fraction = 0.7
    restorer: str = DEFAULT

    def __post_init__(self) -> None:
        check_spacing(self.steps, SPACING, "settings.pgdiff")
        if self.s_end > self.s_start:
            raise WrongUsage(
                f"settings.pgdiff.s_end is {self.s_end}, but must be at most s_start, "
                f"{self.s_start}."
            )


def restore(problem: Problem, settings: Settings) -> Tensor:
    """Restore guided by the restorer's result: [B, 3, h, w] to [B, 3, H, W]."""
    target = problem.restored_inside(problem.lr).clamp(-1, 1)
    repeated = range(
        int(settings.s_end * settings.steps) + 1, int(settings.s_start * settings.steps)
    )
    prior = problem.prior.respaced(settings.steps, SPACING)
    x = problem.noise.normal_like(target)
    return sample(
        prior, x, lambda _: target, settings.guidance, settings.passes, repeated, problem.noise
    )


def sample(
    prior: Prior,
    x: Tensor,
    target: Target,
    guidance: float,
    passes: int,
    repeated: range,
    noise: Noise,
) -> Tensor:
    """Run guided ancestral sampling from x_T [B, 3, H, W].

    The indices in `repeated` are passed `passes` times, each pass from the last one's sample and
    with the target of the first.
    """
    for index in reversed(range(len(prior.schedule))):
        goal = target(x)
        for _ in range(passes if index in repeated else 1):
            prediction = prior.predict(x, index)
            gradient = 2 * (prediction.x0_hat - goal)  # of the summed squared error
            variance = prediction.log_variance.exp()
            mean = prediction.mean - guidance * variance * gradient
            x = ancestral_step(mean, prediction.log_variance, noise.normal_like(x), index)
    return x


METHOD = Method(
    name="pgdiff",
    title="PGDiff",
    # At every scale 1000 steps, guidance 0.1, one pass, s_start 1.0 and s_end 0.7: the released
    # defaults for restoration, whose documentation recommends a guidance of 0.05 to 0.1.
    settings=lambda scale: Settings(),
    restore=restore,
    needs=frozenset({"prior"}),
    paper="Yang et al., PGDiff: Guiding Diffusion Models for Versatile Face Restoration via "
    "Partial Guidance, NeurIPS 2023",
    licence="S-Lab, non-commercial",
    inner=Inner("restorer"),
)
