"""The zero-shot samplers beyond DDNM and ILVR: against exact posteriors, and piece by piece."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from baselines import ddrm, dps
from bench.diffusion import guidance
from bench.diffusion.guidance import guided
from bench.diffusion.operators import (
    SeparableOperator,
    average_pooling,
    bicubic,
    resize_matrix,
)
from bench.diffusion.prior import Prior
from bench.diffusion.schedule import Schedule
from tests.oracle import GAUSSIAN, REPETITIONS, SCALE, SIZE, explained, many, noise
from tests.parity import check_for
from tests.parity.basis import PatchBasis, RecordedBasis, SeparableBasis
from tests.recorded import Dump, convolution

both_operators = pytest.mark.parametrize(
    "operator", [average_pooling(SIZE, SCALE), bicubic(SIZE, SCALE)], ids=["average", "bicubic"]
)


def whole_matrix(operator: SeparableOperator) -> Tensor:
    return torch.kron(torch.eye(3), torch.kron(operator.matrix, operator.matrix))


# The operators' singular value decomposition


def assert_near(a: Tensor, b: Tensor) -> None:
    # float32 products over at most 32 pixels per axis
    torch.testing.assert_close(a, b, atol=2e-5, rtol=0)


@given(
    kind=st.sampled_from([bicubic, average_pooling]),
    shape=st.sampled_from([(16, 4), (16, 8), (32, 4), (32, 16)]),
    seed=st.integers(0, 2**31),
)
@settings(deadline=None, max_examples=20)
def test_svd_laws(
    kind: Callable[[int, int], SeparableOperator], shape: tuple[int, int], seed: int
) -> None:
    operator = kind(*shape)
    svd, low = operator.svd(), shape[0] // shape[1]
    x = torch.randn(2, 3, shape[0], shape[0], generator=torch.Generator().manual_seed(seed))
    spectrum = svd.spectrum(x)
    assert_near(svd.image(spectrum), x)
    torch.testing.assert_close(spectrum.norm(), x.norm(), atol=0, rtol=1e-5)
    seen = svd.singular * spectrum[..., :low, :low]
    assert_near(svd.measured(operator(x)), seen)
    spectrum[..., :low, :low] = 0
    assert operator(svd.image(spectrum)).abs().max() < 2e-5, "the rest is the null space"
    one_axis = torch.linalg.svdvals(operator.matrix)
    assert_near(svd.singular, torch.outer(one_axis, one_axis))


# DDRM


def run_ddrm(operator: SeparableOperator, y: Tensor, **changed: Any) -> Tensor:
    prior = GAUSSIAN.prior().respaced(20, "strided")
    return ddrm.sample(prior, many(y), operator, ddrm.Settings(**changed), noise(REPETITIONS))


@both_operators
def test_ddrm_meets_the_posterior(operator: SeparableOperator) -> None:
    y = operator(GAUSSIAN.draw(1, seed=5))
    posterior = GAUSSIAN.posterior_mean(operator, y)
    images = run_ddrm(operator, y)
    assert explained(images, posterior) > 0.85
    assert (operator(images) - y).abs().max() < 0.02  # the last estimate is not projected
    assert images.var(0).mean() > 5e-3, "the null space is sampled, not filled with one value"


def test_ddrm_without_the_measurement_fails() -> None:
    operator = bicubic(SIZE, SCALE)
    y = operator(GAUSSIAN.draw(1, seed=5))
    images = run_ddrm(operator, y, eta_b=0.0)
    assert explained(images, GAUSSIAN.posterior_mean(operator, y)) < 0.1


def test_ddrm_follows_a_noisy_measurement_less() -> None:
    operator, sigma_y = bicubic(SIZE, SCALE), 0.1
    clean = operator(GAUSSIAN.draw(1, seed=5))
    y = clean + sigma_y * noise(1).normal_like(clean)
    a = whole_matrix(operator).double()
    spread = a @ GAUSSIAN.covariance @ a.T + sigma_y**2 * torch.eye(len(a))
    innovation = torch.linalg.solve(spread, y.double().flatten() - a @ GAUSSIAN.mean)
    posterior = GAUSSIAN.mean + GAUSSIAN.covariance @ a.T @ innovation
    posterior = posterior.reshape(1, 3, SIZE, SIZE).float()
    told = explained(run_ddrm(operator, y, sigma_y=sigma_y), posterior)
    untold = explained(run_ddrm(operator, y), posterior)
    assert told > 0.8
    assert told > untold + 0.3


def dense_ddrm(
    prior: Prior,
    y: Tensor,
    a: Tensor,
    v: Tensor,
    start: Tensor,
    draw: Callable[[Tensor], Tensor],
    chosen: ddrm.Settings,
) -> Tensor:
    """DDRM for any matrix A [m, n], one coefficient at a time as the paper prints it.

    `v` [n, n] are right singular vectors, the m measured ones first; `y` is [B, m] and `start`
    [B, n]. `draw` gives a step's [B, n], told which coefficients are cleaner than y.
    """
    m, n = a.shape
    s = (a @ v[:, :m]).norm(dim=0)
    y_bar = y @ (a @ v[:, :m] / s) / s
    alpha_bar = prior.schedule.alpha_bar
    shape = (len(y), 3, math.isqrt(n // 3), math.isqrt(n // 3))
    sigma = np.sqrt((1 - alpha_bar) / alpha_bar)
    eta, eta_b, sigma_y = chosen.eta, chosen.eta_b, chosen.sigma_y

    x_bar = float(sigma[-1]) * start
    for i in range(m):
        if s[i] * sigma[-1] > sigma_y:
            spread = math.sqrt(sigma[-1] ** 2 - float(sigma_y / s[i]) ** 2)
            x_bar[:, i] = y_bar[:, i] + spread * start[:, i]
    x = x_bar @ v.T / float(sigma[-1])
    for index in range(len(sigma) - 1, 0, -1):
        prediction = prior.predict(x.reshape(shape), index, clip=False)
        x0_bar, eps_bar = prediction.x0_hat.flatten(1) @ v, prediction.eps.flatten(1) @ v
        level = float(sigma[index - 1])
        kept, fresh = math.sqrt(1 - eta**2) * level, eta * level
        cleaner = torch.cat([s * level < sigma_y, torch.zeros(n - m, dtype=torch.bool)])
        z = draw(cleaner)
        x_bar = x0_bar + kept * eps_bar + fresh * z
        for i in range(m):
            if cleaner[i]:
                pull = (y_bar[:, i] - x0_bar[:, i]) * s[i] / sigma_y
                x_bar[:, i] = x0_bar[:, i] + kept * pull + fresh * z[:, i]
            else:
                spread = math.sqrt(level**2 - float(sigma_y * eta_b / s[i]) ** 2)
                mixed = (1 - eta_b) * x0_bar[:, i] + eta_b * y_bar[:, i]
                x_bar[:, i] = mixed + spread * z[:, i]
        x = math.sqrt(alpha_bar[index - 1]) * (x_bar @ v.T)
    return prior.predict(x.reshape(shape), 0, clip=False).x0_hat


@pytest.mark.parametrize(("sigma_y", "eta_b"), [(0.0, 1.0), (0.0, 0.6), (0.05, 1.0), (0.05, 0.6)])
@both_operators
def test_ddrm_in_the_papers_form(operator: SeparableOperator, sigma_y: float, eta_b: float) -> None:
    prior = GAUSSIAN.prior().respaced(10, "strided")
    y = operator(GAUSSIAN.draw(2, seed=3))
    chosen = ddrm.Settings(sigma_y=sigma_y, eta_b=eta_b)
    a = whole_matrix(operator)
    v = torch.linalg.svd(a)[2].T
    pixels = noise(2)

    def draw(cleaner: Tensor | None = None) -> Tensor:
        return pixels.normal_like(torch.zeros(2, 3, SIZE, SIZE)).flatten(1) @ v

    dense = dense_ddrm(prior, y.flatten(1), a, v, draw(), draw, chosen)
    ours = ddrm.sample(prior, y, operator, chosen, noise(2))
    torch.testing.assert_close(ours, dense, atol=1e-4, rtol=0)


class Recorder:
    """Random draws as the reference makes them, kept as a dump keeps them."""

    def __init__(self, case: str) -> None:
        self.case = case
        self.generator = torch.Generator().manual_seed(0)
        self.shapes: list[tuple[int, ...]] = []
        self.arrays: dict[str, Any] = {}

    def draw(self, *shape: int) -> Tensor:
        values = torch.randn(shape, generator=self.generator)
        self.arrays[f"{self.case}_draw_{len(self.shapes):04d}"] = values.numpy()
        self.shapes.append(shape)
        return values

    def log(self) -> dict[str, Any]:
        log = json.dumps([["randn", shape] for shape in self.shapes])
        return {**self.arrays, f"{self.case}_draw_log": np.array(log)}


@pytest.mark.parametrize("sigma", [0.0, 0.1, 30.0])  # the last is noisier than x_T itself
@pytest.mark.parametrize("kind", ["avg", "bic"])
def test_ddrm_in_a_recorded_basis(kind: str, sigma: float) -> None:
    """A record of three draws a step in the reference's basis passes the comparison."""
    size, steps, batch, measured, pixels = 16, 6, 2, 48, 768
    operator = {"avg": average_pooling, "bic": bicubic}[kind](size, SCALE)
    singular = torch.full((measured,), 0.25)
    basis: RecordedBasis = PatchBasis(size, SCALE)
    if kind == "bic":
        one_axis = torch.from_numpy(resize_matrix(size, size // SCALE)).float()
        values = torch.svd(one_axis, some=False)[1]
        singular = (values[:, None] * values[None]).flatten().repeat_interleave(3)
        basis = SeparableBasis.recorded(size, SCALE, singular)
    a, v = whole_matrix(operator), basis.image(torch.eye(pixels)).flatten(1).T
    gram = torch.cat([singular**2, torch.zeros(pixels - measured)]).diag()
    torch.testing.assert_close(v.T @ v, torch.eye(pixels), atol=1e-5, rtol=0)
    torch.testing.assert_close(v.T @ a.T @ a @ v, gram, atol=1e-5, rtol=0)

    case = f"{kind}{SCALE}_s{sigma}"
    recorder = Recorder(case)
    weights = {"a": (16, 3, 5, 5), "b": (6, 16, 5, 5)}
    state = {f"sd/{name}.weight": 0.1 * recorder.draw(*shape) for name, shape in weights.items()}
    state |= {f"sd/{name}.bias": recorder.draw(shape[0]) for name, shape in weights.items()}
    ref = recorder.draw(batch, 3, size, size)
    dump = Dump({name: value.numpy() for name, value in (state | {"ref": ref}).items()})
    prior = Prior(convolution(dump), Schedule.linear().respaced(steps, "strided"))

    recorder = Recorder(case)
    y = ref.flatten(1) @ a.T + sigma * recorder.draw(batch, measured)
    start = recorder.draw(batch, 3, size, size).flatten(1)

    def draw(cleaner: Tensor) -> Tensor:
        z = recorder.draw(batch, pixels).clone()
        some = recorder.draw(batch, int(cleaner.sum()))
        z[:, :measured] = recorder.draw(batch, measured)
        z[:, cleaner] = some
        return z

    out = dense_ddrm(prior, y, a, v, start, draw, ddrm.Settings(sigma_y=sigma))
    cleaner_counts = [shape[1] for shape in recorder.shapes[3::3]]
    if sigma == 0.1:  # what this is about: steps that are cleaner than a part of the measurement
        assert any(0 < count <= (measured if kind == "avg" else 47) for count in cleaner_counts)
    draw(torch.zeros(pixels, dtype=torch.bool))  # of the last step, without effect
    results = {"y": y, "sing": singular, "x0": out, "out": out}
    dump.arrays |= {f"{case}_{name}": value.numpy() for name, value in results.items()}
    dump.arrays |= recorder.log()
    check = check_for(Path("ddrm.npz"))
    assert check is not None
    differences = dict(check(dump))
    assert not dump.untouched()
    assert max(differences.values()) < 1e-4, differences


# DPS


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
@both_operators
def test_dps_meets_the_posterior(
    operator: SeparableOperator, sampler: Literal["ddpm", "ddim"]
) -> None:
    y = operator(GAUSSIAN.draw(1, seed=5))
    posterior = GAUSSIAN.posterior_mean(operator, y)

    def run(scale: float) -> Tensor:
        chosen = dps.Settings(scale=scale, sampler=sampler)
        prior = GAUSSIAN.prior().respaced(100)
        return dps.sample(prior, many(y), operator, chosen, noise(REPETITIONS))

    images = run(1.0)
    assert explained(images, posterior) > 0.85
    assert images.var(0).mean() > 5e-3, "the null space is sampled, not filled with one value"
    assert explained(run(0.0), posterior) < 0.1, "without guidance the prior goes its own way"


def test_dps_gradient_is_that_of_the_misfit() -> None:
    operator, prior, index = bicubic(SIZE, SCALE), GAUSSIAN.prior(), 400
    x = noise(2).normal_like(torch.zeros(2, 3, SIZE, SIZE)).double()
    y = operator(GAUSSIAN.draw(2, seed=5)).double()
    direction = GAUSSIAN.draw(2, seed=6).double()

    def misfits(at: Tensor) -> Tensor:
        return (y - operator(prior.predict(at, index).x0_hat)).flatten(1).norm(dim=1)

    def misfit(x0_hat: Tensor, y: Tensor) -> Tensor:
        return (y - operator(x0_hat)).flatten(1).norm(dim=1)

    with torch.no_grad():  # as the engine calls it
        _, gradient = guided(prior, x, y, misfit, index)
        slope = (misfits(x + 1e-5 * direction) - misfits(x - 1e-5 * direction)) / 2e-5
    assert slope.abs().min() > 1e-3
    # The operator's matrices are float32, but the differences are taken in float64.
    torch.testing.assert_close((gradient * direction).flatten(1).sum(1), slope, rtol=1e-4, atol=0)
    assert not x.requires_grad


class Kept:
    """What autograd keeps for the way back: bytes now, and the most there ever were."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def pack(self, tensor: Tensor) -> "Keeper":
        return Keeper(tensor, self)


class Keeper:
    """One kept tensor, which counts as long as a graph refers to it."""

    def __init__(self, tensor: Tensor, kept: Kept) -> None:
        self.tensor, self.kept, self.size = tensor, kept, tensor.numel() * tensor.element_size()
        kept.now += self.size
        kept.most = max(kept.most, kept.now)

    def __del__(self) -> None:
        self.kept.now -= self.size


def test_dps_keeps_no_more_for_more_images_or_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    operator = bicubic(SIZE, SCALE)
    images = GAUSSIAN.draw(8, seed=5)

    def network(x: Tensor, t: Tensor) -> Tensor:
        return x.tanh().sin().tanh()

    def run(batch: int, steps: int) -> tuple[int, Tensor]:
        prior, kept = Prior(network, Schedule.linear().respaced(steps)), Kept()
        y = operator(images[:batch])
        with torch.autograd.graph.saved_tensors_hooks(kept.pack, lambda keeper: keeper.tensor):
            result = dps.sample(prior, y, operator, dps.Settings(), noise(batch))
        assert kept.now == 0
        return kept.most, result

    whole, together = run(8, 4)
    monkeypatch.setattr(guidance, "PIXELS_AT_ONCE", 2 * SIZE**2)
    two, _ = run(2, 4)
    eight, apart = run(8, 4)
    longer, _ = run(8, 16)
    one_image = 3 * SIZE**2 * 4
    assert two >= 2 * 3 * one_image, "the activations of the network are among it"
    assert eight == longer == two
    assert whole > 3 * two
    torch.testing.assert_close(apart, together)
    monkeypatch.setattr(guidance, "PIXELS_AT_ONCE", 1)
    assert run(8, 4)[0] < two
