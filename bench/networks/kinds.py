"""Kinds of networks: how each is loaded, trained and tested.

A new kind is a new entry of `KINDS`; if it can be downloaded, also a table in
`registry/records.toml`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.core.files import sha256_cached
from bench.core.suggest import look_up
from bench.diffusion.corrector import Corrector
from bench.diffusion.sr3 import SR3UNet
from bench.networks.checkpoints import Card, prior_network, read_checkpoint
from bench.networks.restorers import Restorer

Network = Callable[..., Any]
"""A network of any signature, known to its method."""


@dataclass(frozen=True)
class LoadedNetwork:
    """A network for inference, its file hash, and its card if bench trained it."""

    network: nn.Module
    sha256: str
    card: Card | None = None


@dataclass(frozen=True)
class NetworkKind:
    """A kind of network.

    Attributes:
        name: what methods name in `needs`, and users in `--weights NAME=FILE`.
        architecture: builds the network from the shape in its card; or a published restorer.
        stand_in: a small function of the same signature, for conformance tests.
        trained_by: the subcommand of `bench train`; None for published networks.
        every_scale: True if one network serves all scales.
    """

    name: str
    architecture: Callable[[Any], nn.Module] | Restorer
    stand_in: Network
    trained_by: str | None = None
    every_scale: bool = False

    def file_stem(self, size: int, scale: int | None) -> str:
        """Return the file stem or record name of a network for this size and scale."""
        if self.trained_by is None:
            return self.name  # published for one size only
        if self.every_scale or scale is None:
            return f"{self.name}-{size}"
        return f"{self.name}-{size}-x{scale}"

    def require_package(self) -> None:
        """Check that the architecture's package is installed.

        Raises:
            BenchError: the package is missing, with the command that installs it.
        """
        if isinstance(self.architecture, Restorer):
            self.architecture.require_package()

    def load(self, path: Path) -> LoadedNetwork:
        """Load a network for inference.

        Raises:
            BenchError: the file is missing, damaged or of another kind, or a package is missing.
        """
        if isinstance(self.architecture, Restorer):
            return LoadedNetwork(self.architecture.load(path), sha256_cached(path))
        checkpoint = read_checkpoint(path, self.name)
        network = checkpoint.build(self.architecture)
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return LoadedNetwork(network, checkpoint.sha256, checkpoint.card)


def _prior(x: Tensor, t: Tensor) -> Tensor:
    """Stand-in prior: map [B, 3, H, W] smoothly to bounded eps and variance [B, 6, H, W]."""
    pooled = torch.nn.functional.avg_pool2d(x, 3, stride=1, padding=1)
    return torch.cat([0.9 * x + 0.1 * torch.tanh(pooled), torch.tanh(pooled)], dim=1)


KINDS: Mapping[str, NetworkKind] = {
    kind.name: kind
    for kind in (
        NetworkKind("prior", prior_network, _prior, trained_by="prior", every_scale=True),
        NetworkKind(
            "corrector",
            Corrector,
            lambda condition, t, y_T: y_T + 0.1 * torch.tanh(condition),
            trained_by="crt",
        ),
        NetworkKind(
            "sr3",
            SR3UNet,
            lambda x, level, condition: 0.5 * torch.tanh(x) + level[0] * (x - condition),
            trained_by="sr3",
        ),
        NetworkKind(
            "codeformer",
            Restorer("spandrel_extra_arches", "CodeFormer"),
            lambda x, fidelity: (fidelity * x,),
        ),
        NetworkKind(
            "gfpgan",
            Restorer("spandrel", "GFPGAN"),
            lambda x, *noise: (0.9 * x + 0.1 * noise[-1],),  # the last noise buffer has 512 px
        ),
        NetworkKind(
            "restoreformer", Restorer("spandrel", "RestoreFormer"), lambda x: (torch.tanh(x), None)
        ),
        NetworkKind("swinir", Restorer("spandrel", "SwinIR"), lambda x: x.square()),
    )
}
"""Name -> kind of network."""


def find_kind(name: str, where: str = "needs") -> NetworkKind:
    """Return the kind of this name; `where` is its origin for messages.

    Raises:
        WrongUsage: no such kind; the message suggests close names.
    """
    return look_up(name, KINDS, f"{where} has no", f"known are {', '.join(KINDS)}.")


def check_kinds(names: Iterable[str], where: str) -> None:
    """Check that every name is a kind of network.

    Raises:
        WrongUsage: an unknown kind; see `find_kind`.
    """
    for name in names:
        find_kind(name, where)
