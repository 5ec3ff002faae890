"""Face restoration networks published for 512 pixels: loaded as released, and led up to.

The architectures are those of spandrel, whose descriptors are not used for running them: they
expect another range than the networks do, and let GFPGAN draw its own noise.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.errors import BenchError
from bench.images import resize_bicubic_batch, to_model, to_pixels
from bench.kinds import Kind
from bench.resources import missing_packages
from bench.torchvision_guard import import_torchvision
from bench.weights import read_pickle

SIZE = 512
"""Height and width that the networks take and give."""

ARCHITECTURES: dict[Kind, tuple[str, str]] = {
    "codeformer": ("spandrel_extra_arches", "CodeFormer"),
    "gfpgan": ("spandrel", "GFPGAN"),
    "restoreformer": ("spandrel", "RestoreFormer"),
    "swinir": ("spandrel", "SwinIR"),
}
"""Kind -> package, and name of the architecture in it."""


def require_package(kind: Kind) -> None:
    """See that the package is installed that has a restorer's architecture.

    Raises:
        BenchError: it is not, with the command that installs it.
    """
    package, name = ARCHITECTURES[kind]
    if missing := missing_packages("restorers", package):
        raise BenchError(f"The architecture of {name} is in a package: {missing}.")


def import_architecture(kind: Kind) -> ModuleType:
    """The module of a restorer's architecture."""
    import_torchvision()  # which the package imports
    package, name = ARCHITECTURES[kind]
    with _without_their_warnings():
        return import_module(f"{package}.architectures.{name}")


@contextmanager
def _without_their_warnings() -> Iterator[None]:
    """Of what torch advises the package's authors: another architecture's import, and SwinIR's."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
        warnings.filterwarnings("ignore", "torch.meshgrid: ", UserWarning)
        yield


def load_restorer(kind: Kind, path: Path) -> nn.Module:
    """A released restorer, for inference: images [B, 3, 512, 512] to what its authors return.

    GFPGAN's also takes the noise of each layer, see `NoisedGFPGAN`.

    Raises:
        BenchError: the package is missing, or the file is missing, damaged or another network's.
    """
    require_package(kind)
    state = {n.removeprefix("module."): v for n, v in read_pickle(path).items()}
    name = ARCHITECTURES[kind][1]
    architecture = getattr(import_architecture(kind), f"{name}Arch")()
    if not architecture.detect(state):
        raise BenchError(f"{path} does not hold the weights of {name}.")
    try:
        with _without_their_warnings():
            network: nn.Module = architecture.load(state).model
    except (RuntimeError, KeyError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BenchError(f"{path} does not fit {name}: {reason}") from None
    if kind == "gfpgan":
        network = NoisedGFPGAN(network)
    return network.requires_grad_(False).eval()


def restore_at_512(lr: Tensor, size: int, network: Callable[[Tensor], Tensor]) -> Tensor:
    """The released way of a face that is aligned: images [B, 3, h, w] to [B, 3, size, size].

    The face is brought to 512 pixels by bilinear interpolation in 8 bits, as OpenCV does it up to
    its integer arithmetic: a level of 255 at one value of eight. The network's answer is clipped
    to [-1, 1]. Results of another size are made of that by PIL's bicubic filter, as the test sets.
    """
    faces = F.interpolate(lr, (SIZE, SIZE), mode="bilinear", align_corners=False)
    rounded = to_model(to_pixels(faces)).to(lr.device).contiguous()
    restored = network(rounded).clamp(-1, 1)
    return restored if size == SIZE else resize_bicubic_batch(restored, size)


class NoisedGFPGAN(nn.Module):
    """GFPGAN with its noise passed in: the released code draws it anew at each call."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @staticmethod
    def noise_shapes(batch: int) -> list[tuple[int, int, int, int]]:
        """Of the decoder's layers: one of 4 x 4 pixels, then two of each power of 2 up to 512."""
        sides = [2 ** ((layer + 5) // 2) for layer in range(15)]
        return [(batch, 1, side, side) for side in sides]

    def forward(self, x: Tensor, *noise: Tensor) -> Any:
        """Images [B, 3, 512, 512] in [-1, 1] and noise of `noise_shapes` to the authors' results.

        The checkpoint holds a noise of each layer for use without randomness, in whose place the
        given one is put for this call.
        """
        stored = {f"stylegan_decoder.noises.noise{i}": layer for i, layer in enumerate(noise)}
        chosen = {"return_rgb": False, "randomize_noise": False}
        return torch.func.functional_call(self.network, stored, (x,), chosen)
