"""What every method promises, whichever it is: a new file in baselines/ is tested by this too."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from baselines import ddnm, ilvr
from bench.diffusion.noise import KeyedNoise, StreamKey
from bench.diffusion.prior import Prior
from bench.diffusion.schedule import Schedule
from bench.errors import BenchError, WrongUsage
from bench.images import to_model, to_pixels
from bench.method import Method, Models, Network, Problem, configure, find_method, method_names
from bench.weights import Kind

SCALE = 4
CHEAP = {"steps": 6}


def network(x: Tensor, t: Tensor) -> Tensor:
    """A smooth nonlinear stand-in for a prior: six channels, bounded."""
    pooled = torch.nn.functional.avg_pool2d(x, 3, stride=1, padding=1)
    return torch.cat([0.9 * x + 0.1 * torch.tanh(pooled), torch.tanh(pooled)], dim=1)


def corrector(condition: Tensor, t: Tensor, y_T: Tensor) -> Tensor:
    return y_T + 0.1 * torch.tanh(condition)


def noised(x: Tensor, *noise: Tensor) -> tuple[Tensor]:
    """Stand-in for GFPGAN: at 512 px, with the noise of its last layer."""
    return (0.9 * x + 0.1 * noise[-1],)


NETWORKS: Mapping[Kind, Network] = {
    "sr3": lambda x, level, condition: 0.5 * torch.tanh(x) + level[0] * (x - condition),
    "codeformer": lambda x, fidelity: (fidelity * x,),
    "gfpgan": noised,
    "restoreformer": lambda x: (torch.tanh(x), None),
    "swinir": lambda x: x.square(),
}
MODELS = Models(Prior(network, Schedule.linear()), corrector, NETWORKS)


def pictures(count: int) -> list[Any]:
    generator = np.random.default_rng(0)
    return list(generator.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8))


class CountedNoise(KeyedNoise):
    """Streams that count how often they were drawn from."""

    draws = 0

    def normal_like(self, x: Tensor) -> Tensor:
        self.draws += 1
        return super().normal_like(x)


def restore(method: Method[Any], lr: list[Any], names: list[str], seed: int = 0) -> Tensor:
    return restore_counting(method, lr, names, seed)[0]


def restore_counting(
    method: Method[Any], lr: list[Any], names: list[str], seed: int = 0
) -> tuple[Tensor, int]:
    """The result, and how many draws it took."""
    overrides = CHEAP if hasattr(method.settings(SCALE), "steps") else {}
    configured = configure(method, SCALE, 8 * SCALE, {method.name: overrides})
    noise = CountedNoise([StreamKey(seed, name) for name in names])
    with torch.no_grad():
        restored = configured.restore(Problem(to_model(lr), SCALE, noise, MODELS))
    return restored, noise.draws


@pytest.fixture(params=method_names())
def method(request: pytest.FixtureRequest) -> Method[Any]:
    return find_method(request.param)


def test_shape_and_range(method: Method[Any]) -> None:
    restored = restore(method, pictures(2), ["a", "b"])
    assert restored.shape == (2, 3, 8 * SCALE, 8 * SCALE)
    assert restored.dtype == torch.float32
    assert restored.isfinite().all()


def test_same_call_same_result(method: Method[Any]) -> None:
    first, second = (restore(method, pictures(2), ["a", "b"]) for _ in range(2))
    assert torch.equal(first, second)


def test_independent_of_batch_and_order(method: Method[Any]) -> None:
    lr = pictures(3)
    together = to_pixels(restore(method, lr, ["a", "b", "c"]))
    turned = to_pixels(restore(method, lr[::-1], ["c", "b", "a"]))[::-1]
    alone = [to_pixels(restore(method, [p], [n]))[0] for p, n in zip(lr, "abc", strict=True)]
    for other in (turned, alone):
        for expected, picture in zip(together, other, strict=True):
            assert psnr(expected, picture) > 60


def psnr(a: Any, b: Any) -> float:
    squared = float(((a.astype(float) - b.astype(float)) ** 2).mean())
    return float("inf") if squared == 0 else 10 * np.log10(255**2 / squared)


def test_no_global_randomness_and_no_files(method: Method[Any], tmp_path: Path) -> None:
    before = torch.get_rng_state()
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        restore(method, pictures(1), ["a"])
    finally:
        os.chdir(here)
    assert torch.equal(torch.get_rng_state(), before)
    assert list(tmp_path.iterdir()) == []


def test_the_seed_matters_where_there_is_noise(method: Method[Any]) -> None:
    (first, draws), (second, _) = (
        restore_counting(method, pictures(1), ["a"], seed) for seed in (0, 1)
    )
    assert torch.equal(first, second) == (draws == 0)


def test_describes_itself(method: Method[Any]) -> None:
    assert method.title
    assert method.name in method_names()
    assert method.revision >= 1
    with pytest.raises(WrongUsage, match=rf"settings\.{method.name} has no 'stepz'"):
        method.configured(SCALE, {"stepz": 1})


def test_a_need_that_is_not_named_is_an_error() -> None:
    problem = Problem(to_model(pictures(1)), SCALE, KeyedNoise([StreamKey(0, "a")]), Models())
    with pytest.raises(BenchError, match="`needs` does not name it"):
        _ = problem.prior


def test_unknown_method_names_the_nearest() -> None:
    with pytest.raises(WrongUsage, match="did you mean ddrm or ddnm"):
        find_method("ddmn")


def test_ddnm_keeps_the_input() -> None:
    restored = restore(find_method("ddnm"), lr := pictures(2), ["a", "b"])
    measured = ddnm.OPERATORS["bicubic"](8 * SCALE, SCALE)(restored)
    assert (measured - to_model(lr)).abs().max() < 1e-4  # float32 over a few steps


def test_ilvr_keeps_the_low_frequencies_only() -> None:
    x = torch.randn(1, 3, 32, 32)
    low = ilvr.low_pass(x, 8)
    assert low.var() < 0.1 * x.var()
    ones = torch.ones(1, 3, 32, 32)
    torch.testing.assert_close(ilvr.low_pass(ones, 8), ones)


@pytest.mark.parametrize(
    ("length", "repeat", "walk"),
    [
        (1, 1, [(3, 2), (2, 1), (1, 0), (0, -1)]),
        (2, 2, [(3, 2), (2, 1), (1, 0), (0, 1), (1, 2), (2, 1), (1, 0), (0, -1)]),
    ],
)
def test_time_travel(length: int, repeat: int, walk: list[tuple[int, int]]) -> None:
    assert list(ddnm.time_travel(4, length, repeat)) == walk
