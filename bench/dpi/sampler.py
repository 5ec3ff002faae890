"""Diffusion Prior Interpolation (AAAI-25): Algorithm 1, in the paper's and the released form."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Interval
from torch import Tensor

from bench.core.validation import Positive
from bench.diffusion.noise import Noise
from bench.diffusion.prior import (
    ConditionalNetwork,
    Prediction,
    Prior,
    ancestral_step,
    ddim_step,
    eps_from_x0,
    noised,
    posterior_mean,
)
from bench.dpi.masks import (
    edge_probability,
    fixed_mask,
    fixed_mask_on,
    on_grid,
    released_edge_probability,
)
from bench.images import resize_bicubic_batch
from bench.methods.settings import (
    TRAINING_STEPS,
    Fraction,
    NotNegative,
    PositiveFloat,
    Steps,
    check_spacing,
)


@dataclass(frozen=True)
class DPISettings:
    """Settings of DPI.

    `tau` is the timestep where stage I (fixed mask) ends and stage II (adaptive mask) begins, `s`
    sharpens the mask's probabilities, `omega` weighs the condition by w = t / omega, `k` is the
    grid's spacing. In the "paper" form `tau` and `omega` are timesteps of the 1000-step schedule,
    in the "released" form indices of the respaced schedule. `sampler` "ddim" with 20 steps is the
    paper's DPI_20.

    The ablations of the paper's Table 4: `correction` "refined" corrects the condition of the step
    before (line 15), "once" corrects y_T anew at every step (w/o Refine), "none" keeps y_T (w/o
    CRT); `weighted` False sets w = 1 (w/o Weight); tau = 0 leaves out stage II.
    """

    tau: Annotated[float, Interval(ge=0, le=TRAINING_STEPS)]
    s: NotNegative
    omega: PositiveFloat
    k: Positive = 2
    steps: Steps = 1000
    sampler: Literal["ddpm", "ddim"] = "ddpm"
    eta: Fraction = 1.0
    spacing: Literal["even", "ddim", "strided"] = "even"
    form: Literal["paper", "released"] = "paper"
    correction: Literal["refined", "once", "none"] = "refined"
    weighted: bool = True

    def __post_init__(self) -> None:
        check_spacing(self.steps, self.spacing, "settings.dpi")

    @property
    def off_grid(self) -> float:
        """Return the value of a condition off its grid, as in the released code."""
        return 1e-6 if self.form == "released" else 0.0


@dataclass(frozen=True)
class State:
    """State of sampling: x_t and y_t [B, 3, H, W] at t from 1000 to 0 (the result)."""

    t: int
    x: Tensor
    y: Tensor


def sample(
    prior: Prior, corrector: ConditionalNetwork, base: Tensor, settings: DPISettings, noise: Noise
) -> Tensor:
    """Super-resolve: base condition I_L^bc [B, 3, H / k, W / k] to images [B, 3, H, W].

    All in [-1, 1]; `prior` is on its training schedule and is respaced here.
    """
    for state in states(prior, corrector, base, settings, noise):
        last = state
    return last.x


def states(
    prior: Prior, corrector: ConditionalNetwork, base: Tensor, settings: DPISettings, noise: Noise
) -> Iterator[State]:
    """Yield the states of `sample`: one before each step, and the result."""
    prior = prior.respaced(settings.steps, settings.spacing)
    y = y_T = initial_condition(base, settings)
    x = noise.normal_like(y_T)
    for index in reversed(range(len(prior.schedule))):
        yield State(int(prior.schedule.timesteps[index]) + 1, x, y)
        x, y, _ = step(prior, corrector, x, y, y_T, index, settings, noise)
    yield State(0, x, y)


def base_condition(lr: Tensor, size: int, settings: DPISettings) -> Tensor:
    """Return I_L^bc: inputs [B, 3, h, w] resized by PIL to the grid of `size` px, in 8 bits."""
    return resize_bicubic_batch(lr, size // settings.k)


def initial_condition(base: Tensor, settings: DPISettings) -> Tensor:
    """Return y_T of Eq. 11: the base condition [B, 3, H / k, W / k] on the grid of [B, 3, H, W]."""
    grid = fixed_mask(settings.k * base.shape[-1], settings.k).to(base)
    return on_grid(base, settings.k) + settings.off_grid * (1 - grid)


def step(
    prior: Prior,
    corrector: ConditionalNetwork,
    x: Tensor,
    y: Tensor,
    y_T: Tensor,
    index: int,
    settings: DPISettings,
    noise: Noise,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run one step of Algorithm 1: x_t, y_t to x_{t-1}, y_{t-1}, and x0_hat.

    The released form differs: one noise for x' and y' (line 3 and 6), no condition in the last
    step, t counted from 0, the mask's normalisation, and a Corrector that is told
    index * (1000 // steps) whatever the spacing.
    """
    released = settings.form == "released"
    prediction = prior.predict(x, index)
    x_noise = noise.normal_like(x)
    y_noise = x_noise if released else noise.normal_like(x)
    x_prime, y_prime = _posterior_samples(
        prior, prediction, x, y, index, settings, x_noise, y_noise
    )
    if released and index == 0:
        return x_prime, y, prediction.x0_hat

    m_f = fixed_mask_on(x.device, x.dtype, x.shape[-1], settings.k)
    t = index if released else int(prior.schedule.timesteps[index]) + 1
    if t <= settings.tau:
        probability = (released_edge_probability if released else edge_probability)(
            y, settings.k, settings.s
        )
        m_a = on_grid(noise.bernoulli(probability), settings.k)
        w = t / settings.omega if settings.weighted else 1.0
        x_next = (1 - m_a) * x_prime + m_a * (w * y_prime + (1 - w) * x_prime)
        y_prime = x_next
    else:
        x_next = (1 - m_f) * x_prime + m_f * y_prime

    if settings.correction == "none":
        return x_next, y, prediction.x0_hat
    if settings.correction == "once":
        _, y_prime = _posterior_samples(
            prior, prediction, x, y_T, index, settings, x_noise, y_noise
        )
    timesteps = torch.full((len(x),), _told(prior, index, settings), device=x.device)
    y_next = corrector(y_prime * m_f, timesteps, y_T * m_f) * m_f + settings.off_grid
    return x_next, y_next, prediction.x0_hat


def _told(prior: Prior, index: int, settings: DPISettings) -> int:
    """Return the timestep for the Corrector, which was trained on x_{t-1} at t.

    On a respaced schedule x_{t-1} is as noisy as the next step taken, so the Corrector gets the
    timestep after that one; the released code ignores this.
    """
    if settings.form == "released":
        return index * (TRAINING_STEPS // settings.steps)
    return int(prior.schedule.timesteps[index - 1]) + 1 if index else 0


def _posterior_samples(
    prior: Prior,
    prediction: Prediction,
    x: Tensor,
    y: Tensor,
    index: int,
    settings: DPISettings,
    x_noise: Tensor,
    y_noise: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return x'_{t-1} and y'_{t-1}: the prior's step, and the same step with y_t as x0."""
    schedule = prior.schedule
    if settings.sampler == "ddim":
        eps = eps_from_x0(schedule, x, prediction.x0_hat, index)
        x_prime = ddim_step(schedule, prediction.x0_hat, eps, x_noise, index, settings.eta)
        return x_prime, ddim_step(schedule, y, eps, y_noise, index, settings.eta)
    x_prime = ancestral_step(prediction.mean, prediction.log_variance, x_noise, index)
    y_noised = noised(schedule, y, prediction.eps, index)  # Eq. 6
    mean = posterior_mean(schedule, y, y_noised, index)  # Eq. 7
    return x_prime, ancestral_step(mean, prediction.log_variance, y_noise, index)
