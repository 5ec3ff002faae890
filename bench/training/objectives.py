"""Per-image losses of the prior, the Corrector and SR3."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from bench.diffusion.prior import ConditionalNetwork, Network, Parametrisation
from bench.diffusion.schedule import Schedule, Table, gather, q_posterior_mean, q_sample
from bench.dpi.masks import fixed_mask, on_grid


@dataclass(frozen=True)
class Losses:
    """Losses of a batch, each [B]: objective, timestep of 1000, unweighted squared error."""

    objective: Tensor
    t: Tensor
    error: Tensor


def draw_timesteps(count: int, schedule: Schedule, generator: torch.Generator) -> Tensor:
    """Draw uniform schedule indices [count] on the generator's device."""
    return torch.randint(len(schedule), (count,), generator=generator, device=generator.device)


def draw_noise(x: Tensor, generator: torch.Generator) -> Tensor:
    """Draw standard normal noise in the shape of x, from a generator on its device."""
    return torch.randn(x.shape, generator=generator, device=x.device)


def prior_loss(
    network: Network,
    schedule: Schedule,
    x0: Tensor,
    t: Tensor,
    noise: Tensor,
    weight: Table | None = None,
    prediction: Parametrisation = "eps",
) -> Losses:
    """Return the hybrid loss of Nichol and Dhariwal 2021, L_simple and a weighted L_vlb.

    The variational term trains the variance alone: the mean enters it detached. Its weight is
    `variance_weight`. `weight` multiplies the squared error of the prediction per index (default:
    1). `error` is that of eps for either parametrisation.
    """
    x_t = q_sample(schedule, x0, t, noise)
    output, variance = network(x_t, t).float().chunk(2, dim=1)
    signal = gather(np.sqrt(schedule.alpha_bar), t)
    level = gather(np.sqrt(1.0 - schedule.alpha_bar), t)
    if prediction == "eps":
        eps, target = output, noise
    else:
        eps, target = signal * output + level * x_t, signal * noise - level * x0
    simple = (output - target).square().mean(dim=(1, 2, 3))
    error = (eps - noise).square().mean(dim=(1, 2, 3))
    if weight is not None:
        simple = gather(weight, t).flatten() * simple
    variational = _variational_bound(schedule, x0, x_t, t, eps.detach(), variance)
    objective = simple + gather(variance_weight(schedule), t).flatten() * variational
    return Losses(objective, t, error.detach())


def even_weight(schedule: Schedule, power: float = 1 / 3) -> Table:
    """Return the weight SNR^-power of the eps error per index, which balances noise levels.

    On photographs of faces, the error of the best linear filter falls as SNR^(2/3) at strong noise,
    and its root, the size of the gradient, as SNR^(1/3). Unweighted, the noisiest steps, which
    determine colours and pose, are learned last. With a weight capped at weak noise, as by min(SNR,
    gamma) (Hang et al. 2023), the last steps, which determine sharpness, are learned last.
    """
    return (schedule.alpha_bar / (1.0 - schedule.alpha_bar)) ** -power


def velocity_weight(schedule: Schedule) -> Table:
    """Return the weight 2 sqrt(alpha_bar (1 - alpha_bar)) of the v error per index, at most 1.

    It equals sech(log SNR / 2). On faces the v error at the first and last steps is five to ten
    times that at SNR = 1; with this weight, all steps contribute about equally. Without it, the
    ends dominate, and the steps with an SNR of 0.5 to 10, which determine detail, are learned last.
    """
    return 2.0 * np.sqrt(schedule.alpha_bar * (1.0 - schedule.alpha_bar))


def variance_weight(schedule: Schedule) -> Table:
    """Return the weight of the variational term per index.

    The term scales with the square of the range of the log variance, between beta_tilde and beta,
    which falls from 0.6 at the first step to 1e-5 at the last. With a constant weight, as in the
    paper, a short training learns the variance only at the first few steps; on a respaced schedule,
    where the range is wide again, samples then stay grainy. Below a range of 0.01, float32 does not
    resolve the term.
    """
    log_range = np.log(schedule.betas) - schedule.posterior_log_variance
    return np.square(0.1 / np.maximum(log_range, 0.01))


def _variational_bound(
    schedule: Schedule, x0: Tensor, x_t: Tensor, t: Tensor, eps: Tensor, variance: Tensor
) -> Tensor:
    """Return one term of the variational bound in bits per dimension [B]."""
    alpha_bar = gather(schedule.alpha_bar, t)
    x0_hat = ((x_t - (1 - alpha_bar).sqrt() * eps) / alpha_bar.sqrt()).clamp(-1, 1)
    mean = q_posterior_mean(schedule, x0_hat, x_t, t)
    low = gather(schedule.posterior_log_variance, t)
    high = gather(np.log(schedule.betas), t)
    log_variance = low + (variance + 1) / 2 * (high - low)  # Eq. 5
    true_mean = q_posterior_mean(schedule, x0, x_t, t)
    divergence = 0.5 * (
        log_variance
        - low
        - 1
        + (low - log_variance).exp()
        + (true_mean - mean).square() * (-log_variance).exp()
    )
    likelihood = -_discretised_log_likelihood(x0, mean, 0.5 * log_variance)
    term = torch.where(t[:, None, None, None] == 0, likelihood, divergence)
    return term.mean(dim=(1, 2, 3)) / math.log(2)


def _discretised_log_likelihood(x: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Return log p of 8-bit x in [-1, 1] under a Gaussian (Ho et al. 2020, Eq. 13)."""
    inverse_std = (-log_std).exp()
    upper = torch.special.ndtr((x - mean + 1 / 255) * inverse_std)
    lower = torch.special.ndtr((x - mean - 1 / 255) * inverse_std)
    upper = torch.where(x > 0.999, torch.ones_like(upper), upper)
    lower = torch.where(x < -0.999, torch.zeros_like(lower), lower)
    return (upper - lower).clamp_min(1e-12).log()


def released_corrector_loss(
    corrector: ConditionalNetwork,
    schedule: Schedule,
    x0: Tensor,
    base: Tensor,
    t: Tensor,
    noise: Tensor,
    posterior_noise: Tensor,
) -> Tensor:
    """Return the released code's Corrector loss, one value per image [B].

    The Corrector sees the noised low-resolution condition y_T, never the ground truth x0
    [B, 3, H, W], whose grid it must predict. `base` is I_L^bc [B, 3, H / k, W / k]. The mean runs
    over all pixels, the zeros off the grid included.
    """
    k = x0.shape[-1] // base.shape[-1]
    m_f = fixed_mask(x0.shape[-1], k).to(x0)
    y_T = on_grid(base, k)
    y = _posterior_sample(schedule, y_T, t, noise, posterior_noise)
    return (m_f * (x0 - corrector(y * m_f, t, y_T))).square().mean(dim=(1, 2, 3))


def corrector_loss(
    corrector: ConditionalNetwork,
    schedule: Schedule,
    x0: Tensor,
    base: Tensor,
    t: Tensor,
    generator: torch.Generator,
    prior: Network | None = None,
) -> Tensor:
    """Return the paper's Corrector loss, Omega L_prior + (1 - Omega) L_gap (Eq. 15 to 18) [B].

    L_prior feeds the Corrector a posterior sample of the ground truth x0 [B, 3, H, W]; L_gap feeds
    it one of its own output for y_T, as in sampling. The paper only says that Omega "decreases over
    t"; here it is (t + 1) / T, so that L_gap gains weight as the noise falls and the two samples
    become less alike (Eq. 16). Each image contributes to one of the losses, to L_prior with
    probability Omega, which has the same expectation at half the cost. `base` is I_L^bc; the mean
    runs over the grid only. With a prior, posterior samples use its noise estimate, as in sampling
    (Eq. 6); without one, they use the true noise.
    """
    k = x0.shape[-1] // base.shape[-1]
    m_f = fixed_mask(x0.shape[-1], k).to(x0)
    y_T = on_grid(base, k)

    def answer(clean: Tensor) -> Tensor:
        noise, posterior_noise = (draw_noise(x0, generator) for _ in range(2))
        if prior is not None:
            with torch.no_grad():
                noise = prior(q_sample(schedule, x0, t, noise), t)[:, :3].float()
        sample = _posterior_sample(schedule, clean, t, noise, posterior_noise)
        return corrector(sample * m_f, t, y_T) * m_f

    with torch.no_grad():
        own = answer(y_T).float()
    omega = (t + 1).float() / len(schedule)
    is_prior = torch.rand(len(x0), generator=generator, device=x0.device) < omega
    clean = torch.where(is_prior[:, None, None, None], x0, own)
    return (m_f * x0 - answer(clean)).square().mean(dim=(1, 2, 3)) * k**2


def corrector_answers(
    corrector: ConditionalNetwork, schedule: Schedule, x0: Tensor, base: Tensor
) -> Tensor:
    """Return a Corrector's results on noised conditions as previews [5 N, 3, H / k, W / k].

    Rows of N images on the grid: the base condition, the Corrector's outputs for posterior samples
    of the ground truth at high, medium and low noise, and the ground truth itself.
    """
    k = x0.shape[-1] // base.shape[-1]
    m_f = fixed_mask(x0.shape[-1], k).to(x0)
    y_T = on_grid(base, k)
    generator = torch.Generator(x0.device).manual_seed(0)
    rows = [base]
    for share in (0.9, 0.5, 0.1):
        t = torch.full((len(x0),), int(share * len(schedule)), device=x0.device)
        draws = [draw_noise(x0, generator) for _ in range(2)]
        sample = _posterior_sample(schedule, x0, t, draws[0], draws[1])
        rows.append(corrector(sample * m_f, t, y_T)[..., ::k, ::k])
    return torch.cat([*rows, x0[..., ::k, ::k]])


def _posterior_sample(
    schedule: Schedule, x0: Tensor, t: Tensor, noise: Tensor, posterior_noise: Tensor
) -> Tensor:
    """Draw x_{t-1} from x0 and x_t with the fixed small variance [B, 3, H, W]."""
    mean = q_posterior_mean(schedule, x0, q_sample(schedule, x0, t, noise), t)
    deviation = gather(np.exp(0.5 * schedule.posterior_log_variance), t)
    return mean + (t > 0)[:, None, None, None] * deviation * posterior_noise


def draw_noise_levels(count: int, schedule: Schedule, generator: torch.Generator) -> Tensor:
    """Draw noise levels sqrt(alpha_bar) [count], uniform between neighbours of the schedule.

    As in SR3, the network learns all levels, not only those of its steps. The released code draws
    one pair of neighbours per batch; here each image has its own.
    """
    levels = np.sqrt(np.append(1.0, schedule.alpha_bar))
    t = draw_timesteps(count, schedule, generator)
    high, low = (gather(levels, i).flatten() for i in (t, t + 1))
    return high + (low - high) * torch.rand(count, generator=generator, device=t.device)


def timesteps_of(level: Tensor, schedule: Schedule) -> Tensor:
    """Return the first indices at least as noisy as the levels sqrt(alpha_bar) [B]."""
    noisiness = torch.from_numpy(-np.sqrt(schedule.alpha_bar)).to(level)  # ascending
    return torch.searchsorted(noisiness, -level).clamp_max(len(schedule) - 1)


def sr3_loss(
    network: ConditionalNetwork,
    schedule: Schedule,
    x0: Tensor,
    condition: Tensor,
    level: Tensor,
    noise: Tensor,
    norm: Literal["l1", "l2"] = "l1",
) -> Losses:
    """Return SR3's loss, the eps error (Saharia et al. 2021, Eq. 6).

    `x0`, its enlarged input `condition` and `noise` are [B, 3, H, W], `level` [B]. The released
    configurations take the L1 norm, and the mean over all pixels. Timesteps are told out of 1000,
    whatever the length of the schedule.
    """
    signal = level[:, None, None, None]
    x_t = signal * x0 + (1 - signal.square()).sqrt() * noise
    difference = network(x_t, level, condition).float() - noise
    error = difference.square().mean(dim=(1, 2, 3))
    objective = difference.abs().mean(dim=(1, 2, 3)) if norm == "l1" else error
    t = timesteps_of(level, schedule) * 1000 // len(schedule)
    return Losses(objective, t, error.detach())
