"""Reading recorded runs: arrays, draws and the tiny networks they were made with.

The format is described in the README beside the dumps.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.diffusion.noise import RecordedNoise
from bench.diffusion.prior import ConditionalNetwork, Network
from bench.diffusion.schedule import Schedule, gather


@dataclass
class Dump:
    """One file of recorded arrays; remembers which results were compared."""

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
        """A network's state dict, stored as `<prefix>/<name>`."""
        start = prefix + "/"
        return {n.removeprefix(start): self[n] for n in self.arrays if n.startswith(start)}

    def cases(self, pattern: str) -> Iterator[tuple[str, ...]]:
        """Names that match a pattern wholly, each with the pattern's groups."""
        for name in self.arrays:
            if match := re.fullmatch(pattern, name):
                yield (name, *match.groups())

    def noise(self, case: str) -> RecordedNoise:
        """The draws of a case, in call order."""
        log = json.loads(str(self.arrays[f"{case}_draw_log"]))
        return RecordedNoise(
            [(name, self.arrays[f"{case}_draw_{i:04d}"]) for i, (name, _) in enumerate(log)]
        )

    def difference(self, name: str, value: Tensor) -> float:
        """Largest absolute difference of a computed array from the recorded one."""
        self.compared.add(name)
        return float((value - self[name]).abs().max())

    def untouched(self) -> list[str]:
        """Recorded outputs (`*_out`) that no check compared."""
        return [n for n in self.arrays if n.endswith("_out") and n not in self.compared]


def tiny_eps(network: Network) -> Network:
    """The wrapper of every dump: damps a random network so that a loop stays bounded."""
    schedule = Schedule.linear()

    def wrapped(x: Tensor, t: Tensor) -> Tensor:
        output = network(x, t)
        eps = gather(np.sqrt(1 - schedule.alpha_bar), t) * x + 0.3 * output[:, :3].tanh()
        return torch.cat([eps, output[:, 3:].tanh()], dim=1)

    return wrapped


def damped_corrector(network: ConditionalNetwork) -> ConditionalNetwork:
    """The Corrector of the dumps: the condition, moved a little."""
    return lambda x, t, y: y + 0.2 * torch.tanh(network(x, t, y) - y)


def convolution_network(state: dict[str, Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """The two-layer network of some dumps."""

    def network(x: Tensor, t: Tensor) -> Tensor:
        hidden = F.conv2d(x, state["a.weight"], state["a.bias"], padding=2)
        hidden = torch.tanh(hidden + t[:, None, None, None].float() / 1000)
        return F.conv2d(hidden, state["b.weight"], state["b.bias"], padding=2)

    return network
