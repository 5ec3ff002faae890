"""DifFace: blind face restoration with diffused error contraction (Yue and Loy, 2022).

An estimate of the clean image is noised to an intermediate level, which drowns its errors, and is
then denoised by the prior. Details from the released code (S-Lab licence, non-commercial), whose
estimator is a SwinIR trained for the purpose and whose prior is its own at 512 pixels; here the
estimator is another method of the harness and the prior the shared one.
"""

from dataclasses import dataclass

from torch import Tensor

from bench.core.errors import WrongUsage
from bench.diffusion.noise import Noise
from bench.diffusion.prior import Prior, ddim_step, noised
from bench.methods import DEFAULT, Inner, Method, Problem
from bench.methods.settings import Fraction, Steps, check_spacing

SPACING = "ddim"


@dataclass(frozen=True)
class Settings:
    """`start` is the fraction of the steps that are run, from the estimate noised to that level.

    `estimator` names the method that makes the estimate: by default the released SwinIR at 512
    pixels, else "bicubic".
    """

    steps: Steps = 250
    start: Fraction = 0.4
    eta: Fraction = 0.5
    estimator: str = DEFAULT

    def __post_init__(self) -> None:
        check_spacing(self.steps, SPACING, "settings.difface")
        if not 0 < self.start_index < self.steps:
            raise WrongUsage(
                f"settings.difface.start is {self.start}, of {self.steps} steps index "
                f"{self.start_index}: choose a fraction below 1 that keeps at least one step."
            )

    @property
    def start_index(self) -> int:
        """Return the index of the starting level; sampling begins one index below."""
        return int(self.start * self.steps)


def restore(problem: Problem, settings: Settings) -> Tensor:
    """Noise the estimator's result and denoise it with the prior: [B, 3, h, w] to [B, 3, H, W]."""
    estimate = problem.restored_inside(problem.lr).clamp(-1, 1)
    prior = problem.prior.respaced(settings.steps, SPACING)
    return sample(prior, estimate, settings.start_index, settings.eta, problem.noise)


def sample(prior: Prior, estimate: Tensor, start: int, eta: float, noise: Noise) -> Tensor:
    """Noise the estimate [B, 3, H, W] at index `start`, then run DDIM from the index below it.

    The noise estimate stays the network's own where x0_hat is clipped.
    """
    x = noised(prior.schedule, estimate, noise.normal_like(estimate), start)
    for index in reversed(range(start)):
        prediction = prior.predict(x, index)
        fresh = noise.normal_like(x)
        x = ddim_step(prior.schedule, prediction.x0_hat, prediction.eps, fresh, index, eta)
    return x


METHOD = Method(
    name="difface",
    title="DifFace",
    # At every scale 250 steps, start at index 100 of them, eta 0.5: the released configuration
    # for faces.
    settings=lambda scale: Settings(),
    restore=restore,
    needs=frozenset({"prior"}),
    nfe=lambda s: s.start_index,
    paper="Yue and Loy, DifFace: Blind Face Restoration with Diffused Error Contraction, 2022",
    licence="S-Lab, non-commercial",
    inner=Inner("estimator", published={512: "swinir"}),
)
