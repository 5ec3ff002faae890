"""Read recorded runs: arrays, draws and the tiny networks that made them.

The README next to the dumps describes the format.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.core.errors import BenchError
from bench.diffusion.prior import ConditionalNetwork, Network
from bench.diffusion.schedule import Schedule, gather
from bench.diffusion.unet import UNet, infer_config

Draw = tuple[str, npt.NDArray[np.float32]]
"""A random function's name and what it returned."""

Case = tuple[str, float]
"""A case and its largest absolute difference."""


class RecordedNoise:
    """Replays recorded draws in order; shapes must agree.

    Each draw is a function name (`randn`, `randn_like` or `bernoulli`) and its values.
    """

    def __init__(self, draws: Sequence[Draw]) -> None:
        self._draws = list(draws)
        self._next = 0

    @property
    def remaining(self) -> int:
        """Return the number of unused draws; 0 after a faithful replay."""
        return len(self._draws) - self._next

    def normal_like(self, x: Tensor) -> Tensor:
        return self._take(("randn", "randn_like"), x)

    def bernoulli(self, probability: Tensor) -> Tensor:
        return self._take(("bernoulli",), probability)

    def _take(self, functions: tuple[str, ...], x: Tensor) -> Tensor:
        if self.remaining == 0:
            raise BenchError(f"The record ends after {self._next} draws, but another is asked for.")
        function, values = self._draws[self._next]
        if function not in functions or values.shape != tuple(x.shape):
            raise BenchError(
                f"Draw {self._next} is {function} of shape {list(values.shape)} in the record, "
                f"but {functions[0]} of shape {list(x.shape)} is asked for."
            )
        self._next += 1
        return torch.from_numpy(values).to(x)


@dataclass
class Dump:
    """One file of recorded arrays, and the names of the results compared so far."""

    arrays: dict[str, npt.NDArray[Any]]
    compared: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, path: Path) -> "Dump":
        with np.load(path) as file:
            return cls({name: file[name] for name in file.files})

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def __getitem__(self, name: str) -> Tensor:
        return torch.from_numpy(self.arrays[name])

    def state(self, prefix: str) -> dict[str, Tensor]:
        """Return a network's state dict, stored as `<prefix>/<name>`."""
        start = prefix + "/"
        return {n.removeprefix(start): self[n] for n in self.arrays if n.startswith(start)}

    def cases(self, pattern: str) -> Iterator[tuple[str, ...]]:
        """Yield the names that match a whole pattern, each with its groups."""
        for name in self.arrays:
            if match := re.fullmatch(pattern, name):
                yield (name, *match.groups())

    def draws(self, case: str) -> list[Draw]:
        """Return the draws of a case in call order, each with the function that made it.

        A file with a single case may omit its name; `case` is then "".
        """
        start = f"{case}_draw" if case else "draw"
        log = json.loads(str(self.arrays[f"{start}_log"]))
        return [(name, self.arrays[f"{start}_{i:04d}"]) for i, (name, _) in enumerate(log)]

    def noise(self, case: str) -> RecordedNoise:
        """Return noise that replays the draws of a case."""
        return RecordedNoise(self.draws(case))

    def schedule(self, case: str) -> Schedule:
        """Return the respaced schedule of a case, by its timestep map or the file's."""
        name = f"{case}_tmap"
        return Schedule.linear().keep(self.arrays[name if name in self else "tmap"])

    def difference(self, name: str, value: Tensor) -> float:
        """Return the largest absolute difference of a computed array from the recorded one."""
        self.compared.add(name)
        return float((value - self[name]).abs().max())

    def untouched(self) -> list[str]:
        """Return the recorded outputs (`*_out`, or `out`) that no check compared."""
        outputs = [n for n in self.arrays if n == "out" or n.endswith("_out")]
        return [n for n in outputs if n not in self.compared]


def tiny_eps(network: Network) -> Network:
    """Damp a random network so that a loop stays bounded, as in every dump."""
    schedule = Schedule.linear()

    def wrapped(x: Tensor, t: Tensor) -> Tensor:
        output = network(x, t)
        eps = gather(np.sqrt(1 - schedule.alpha_bar), t) * x + 0.3 * output[:, :3].tanh()
        return torch.cat([eps, output[:, 3:].tanh()], dim=1)

    return wrapped


def damped_corrector(network: ConditionalNetwork) -> ConditionalNetwork:
    """Return the Corrector of the dumps: the condition, moved a little."""
    return lambda x, t, y: y + 0.2 * torch.tanh(network(x, t, y) - y)


def adm(dump: Dump) -> Network:
    """Return the network of dumps whose `sd/` is an ADM U-Net."""
    state = dump.state("sd")
    unet = UNet(infer_config(state, head_channels=16))
    unet.load_state_dict(state)
    return tiny_eps(unet)


def convolution(dump: Dump) -> Network:
    """Return the damped network of dumps whose `sd/` are two convolutions, `a` and `b`."""
    return tiny_eps(plain_convolution(dump))


def plain_convolution(dump: Dump) -> Network:
    """Return the two convolutions without damping."""
    state = dump.state("sd")

    def network(x: Tensor, t: Tensor) -> Tensor:
        hidden = same_convolution(x, state["a.weight"], state["a.bias"])
        hidden = torch.tanh(hidden + t[:, None, None, None].float() / 1000)
        return same_convolution(hidden, state["b.weight"], state["b.bias"])

    return network


def same_convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve with an odd kernel, zero-padded to the input's size."""
    return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)


def respacing_difference(schedule: Schedule, spacing: str = "even") -> float:
    """Return the largest difference of a recorded schedule's timesteps from ours."""
    ours = Schedule.linear().respaced(len(schedule), spacing).timesteps
    return float(np.abs(ours - schedule.timesteps).max())
