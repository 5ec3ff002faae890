"""What every method promises, whichever it is: a new file in baselines/ is tested by this too."""

from typing import Any

import pytest
import torch
from torch import Tensor

from baselines import ddnm, ilvr
from bench.core.errors import BenchError, WrongUsage
from bench.diffusion.noise import KeyedNoise, StreamKey
from bench.diffusion.operators import OPERATORS
from bench.diffusion.prior import Prior
from bench.diffusion.schedule import Schedule
from bench.images import to_model
from bench.methods import Method, Models, Problem, find_method, method_names
from bench.methods.authoring.conformance import STAND_INS, check_method, pictures, quick

SCALE = 4


class CountedNoise(KeyedNoise):
    """Streams that count how often they were drawn from."""

    draws = 0

    def normal_like(self, x: Tensor) -> Tensor:
        self.draws += 1
        return super().normal_like(x)


def restore(method: Method[Any], seed: int) -> tuple[Tensor, int]:
    """The result, and how many draws it took."""
    lr = to_model(pictures(8))
    noise = CountedNoise([StreamKey(seed, str(place)) for place in range(len(lr))])
    with torch.no_grad():
        restored = quick(method, 8 * SCALE, SCALE).restore(Problem(lr, SCALE, noise, STAND_INS))
    return restored, noise.draws


@pytest.fixture(params=method_names())
def method(request: pytest.FixtureRequest) -> Method[Any]:
    return find_method(request.param)


# External programs are not installed here; how they are run is tested with one that is.
@pytest.mark.parametrize(
    "name", [name for name in method_names() if find_method(name).kind != "external"]
)
def test_keeps_every_promise(name: str) -> None:
    assert check_method(find_method(name)) == []


def test_the_seed_matters_where_there_is_noise(method: Method[Any]) -> None:
    if method.kind == "external":
        pytest.skip("its program is not installed here")
    (first, draws), (second, _) = (restore(method, seed) for seed in (0, 1))
    assert torch.equal(first, second) == (draws == 0)


def test_describes_itself(method: Method[Any]) -> None:
    assert method.title
    assert method.name in method_names()
    assert method.revision >= 1
    assert method.kind in {"plain", "zero-shot", "trained", "external"}
    with pytest.raises(WrongUsage, match=rf"settings\.{method.name} has no 'stepz'"):
        method.configured(SCALE, {"stepz": 1})


def test_a_need_that_is_not_named_is_an_error() -> None:
    lr = to_model(pictures(8))
    problem = Problem(lr, SCALE, KeyedNoise([StreamKey(0, "a")]), Models())
    with pytest.raises(BenchError, match="`needs` does not name it"):
        _ = problem.prior


def test_unknown_method_names_the_nearest() -> None:
    with pytest.raises(WrongUsage, match="did you mean 'ddrm', 'ddnm' or"):
        find_method("ddmn")


def test_ddnm_keeps_the_input() -> None:
    lr = to_model(pictures(8))
    restored, _ = restore(find_method("ddnm"), seed=0)
    measured = OPERATORS["bicubic"](restored.shape[-1], SCALE)(restored)
    assert (measured - lr).abs().max() < 1e-4  # float32 over a few steps


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


ZERO_SHOT = [
    *("ddnm", "ddrm", "dps", "pigdm", "reddiff", "diffpir", "daps", "ilvr", "dr2", "difface"),
    *("mpgd", "sitcom", "mcg", "fps"),
    *("pgdiff", "pnpdm", "sr3", "dpi"),
]


@pytest.mark.parametrize("name", ZERO_SHOT)
def test_the_expected_nfe_are_those_that_are_counted(name: str) -> None:
    calls = 0

    def counted(network: Any) -> Any:
        def call(x: Tensor, *conditions: Any) -> Any:
            nonlocal calls
            calls += len(x)
            return network(x, *conditions)

        return call

    networks = {kind: counted(network) for kind, network in STAND_INS.networks.items()}
    models = Models(Prior(networks["prior"], Schedule.linear()), networks["corrector"], networks)
    configured = quick(find_method(name), 64, 8)
    noise = KeyedNoise([StreamKey(0, "a"), StreamKey(0, "b")])
    with torch.no_grad():
        configured.restore(Problem(torch.zeros(2, 3, 8, 8), 8, noise, models, ("a", "b")))
    assert configured.method.expected_nfe(configured.settings) == calls / 2
