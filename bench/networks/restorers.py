"""Face restorers published for 512 px: loading and resizing.

The architectures are spandrel's. Its model descriptors are not used: they expect another value
range than the networks, and let GFPGAN draw its own noise.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.core.errors import BenchError
from bench.core.paths import missing_packages
from bench.images import resize_bicubic_batch, to_model, to_pixels
from bench.networks.pickles import read_pickle
from bench.networks.torchvision_guard import import_torchvision

SIZE = 512
"""Size of the networks' inputs and outputs in pixels."""


@dataclass(frozen=True)
class Restorer:
    """A published restorer: package and name of its architecture."""

    package: str
    name: str

    def require_package(self) -> None:
        """Check that the package is installed.

        Raises:
            BenchError: the package is missing, with the command that installs it.
        """
        if missing := missing_packages("restorers", self.package):
            raise BenchError(f"{self.name} needs a package: {missing}.")

    def import_architecture(self) -> ModuleType:
        """Import the module of the architecture."""
        import_torchvision()  # the package imports it
        with _without_their_warnings():
            return import_module(f"{self.package}.architectures.{self.name}")

    def load(self, path: Path) -> nn.Module:
        """Load a released restorer, a function of images [B, 3, 512, 512].

        GFPGAN's also takes the noise of each layer, see `NoisedGFPGAN`.

        Raises:
            BenchError: the package is missing, or the file is missing, damaged or another
                network's.
        """
        self.require_package()
        state = read_pickle(path)
        architecture = getattr(self.import_architecture(), f"{self.name}Arch")()
        if not architecture.detect(state):
            raise BenchError(f"{path} does not hold the weights of {self.name}.")
        try:
            with _without_their_warnings():
                network: nn.Module = architecture.load(state).model
        except (RuntimeError, KeyError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise BenchError(f"{path} does not fit {self.name}: {reason}") from None
        if self.name == "GFPGAN":
            network = NoisedGFPGAN(network)
        return network.requires_grad_(False).eval()


@contextmanager
def _without_their_warnings() -> Iterator[None]:
    """Silence torch's advice to the package's authors."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
        warnings.filterwarnings("ignore", "torch.meshgrid: ", UserWarning)
        yield


def restore_at_512(lr: Tensor, size: int, network: Callable[[Tensor], Tensor]) -> Tensor:
    """Restore aligned faces like the released code: [B, 3, h, w] to [B, 3, size, size].

    The input is resized to 512 px by bilinear interpolation in 8 bits; OpenCV's integer arithmetic
    differs by one level in 1 of 8 values. The output is clipped to [-1, 1], and resized to another
    `size` by PIL's bicubic filter, like the test sets.
    """
    faces = F.interpolate(lr, (SIZE, SIZE), mode="bilinear", align_corners=False)
    rounded = to_model(to_pixels(faces)).to(lr.device).contiguous()
    restored = network(rounded).clamp(-1, 1)
    return restored if size == SIZE else resize_bicubic_batch(restored, size)


class NoisedGFPGAN(nn.Module):
    """GFPGAN with noise as an input; the released code draws it at every call."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @staticmethod
    def noise_shapes(batch: int) -> list[tuple[int, int, int, int]]:
        """Return the decoder's noise shapes: one of 4 px, then two per power of 2 to 512 px."""
        sides = [2 ** ((layer + 5) // 2) for layer in range(15)]
        return [(batch, 1, side, side) for side in sides]

    def forward(self, x: Tensor, *noise: Tensor) -> Any:
        """Map images [B, 3, 512, 512] in [-1, 1] and noise of `noise_shapes` to the output.

        The checkpoint stores one noise per layer for deterministic use; the given noise replaces it
        for this call.
        """
        stored = {f"stylegan_decoder.noises.noise{i}": layer for i, layer in enumerate(noise)}
        chosen = {"return_rgb": False, "randomize_noise": False}
        return torch.func.functional_call(self.network, stored, (x,), chosen)
