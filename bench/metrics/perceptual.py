"""LPIPS: perceptual distance between two images.

Zhang, Isola, Efros, Shechtman, Wang: The Unreasonable Effectiveness of Deep Features as a
Perceptual Metric (2018). The `lpips` package has the layers and the linear heads, the backbones
come from `bench.metrics.features.backbones`. The distance is computed here: the package's own
forward would run the network on an original again for each of its results. Nothing is downloaded
here.
"""

import importlib
import importlib.util
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from bench.core.errors import BenchError
from bench.core.files import sha256_file
from bench.images import Pixels
from bench.metrics.base import Metric, batches, package_version
from bench.metrics.features.backbones import BACKBONES, GET, LPIPS, backbone_path, load_backbone
from bench.metrics.inputs import SIGNED, TO_509, UNIT
from bench.metrics.inputs import batch as input_batch
from bench.metrics.protocol import Protocol
from bench.networks.torchvision_guard import import_torchvision

if TYPE_CHECKING:
    from torch import Tensor

Span = Literal["signed", "unit", "to 509"]

_SPANS = {"signed": "[-1, 1]", "unit": "[0, 1]", "to 509": "[-1, 509]"}
_LEVELS = {"signed": SIGNED, "unit": UNIT, "to 509": TO_509}

_PACKAGES = ("lpips", "torchvision")
_BATCH_PIXELS = 4 * 256 * 256  # VGG16 takes about 100 MB for a picture of 256 x 256


@dataclass(frozen=True)
class Lpips(Metric):
    """LPIPS version 0.1, on the input range of its authors, [-1, 1].

    Papers print values of other inputs and of another pooling, which compare with each other only:
    the scripts released with DPI feed twice the 8-bit values less one, up to 509; PnP-DM's (by
    taming-transformers) feed [0, 1]; DAPS and InverseBench (by piq, `replace_pooling`) average
    where VGG16 takes the maximum.

    Attributes:
        net: the `lpips` package's name of the network.
        backbone: ours.
        heads: sha256 of the package's file of linear heads.
        span: input range.
        pooling: between the blocks of VGG16.
    """

    records = (LPIPS,)

    net: str
    backbone: str
    heads: str
    span: Span = "signed"
    pooling: Literal["max", "average"] = "max"

    @property
    def identity(self) -> str:
        pooling = "" if self.pooling == "max" else ", average pooling"
        return (
            f"{self.name}: lpips {package_version('lpips')} version 0.1, RGB in "
            f"{_SPANS[self.span]}, float32, "
            f"heads {self.heads}, {self.backbone} {BACKBONES[self.backbone].sha256}{pooling}"
        )

    def unavailable(self) -> str | None:
        for package in _PACKAGES:
            if importlib.util.find_spec(package) is None:
                return f"LPIPS needs the package {package}: run `pip install {package}`."
        if not backbone_path(self.backbone).is_file():
            return f"LPIPS needs its {BACKBONES[self.backbone].title} backbone: run `{GET}`."
        return None

    def under(self, protocol: Protocol) -> Self:
        changed = super().under(protocol)
        if protocol.name == "paper":
            return replace(changed, span="to 509")
        if self.net == "vgg" and protocol.name == "daps":
            return replace(changed, pooling="average")
        if self.net == "vgg" and protocol.name == "pnp-dm":
            return replace(changed, span="unit")
        return changed

    def _smallest(self) -> int:
        return 32  # below that AlexNet's deepest features are empty

    def _values(self, sr: Sequence[Pixels], hr: Sequence[Pixels]) -> list[float]:
        import torch

        network = _network(replace(self, span="signed", jpeg=False), self.device)

        def seen(pictures: list[Pixels]) -> "Iterator[Tensor]":
            return _directions(network, input_batch(pictures, _LEVELS[self.span], self.device))

        distinct = list({id(original): original for original in hr}.values())  # runs share them
        values: dict[int, float] = {}
        with torch.inference_mode():
            for some in batches(distinct, _BATCH_PIXELS, self.device):
                originals = list(seen([distinct[number] for number in some]))
                places = {id(distinct[number]): place for place, number in enumerate(some)}
                against = [i for i, original in enumerate(hr) if id(original) in places]
                for batch in batches([sr[index] for index in against], _BATCH_PIXELS, self.device):
                    indices = [against[number] for number in batch]
                    at = [places[id(hr[index])] for index in indices]
                    theirs = ([layer[place] for place in at] for layer in originals)
                    found = _distances(network, seen([sr[i] for i in indices]), theirs)
                    values.update(zip(indices, found.tolist(), strict=True))
        return [values[index] for index in range(len(sr))]


def _directions(network: Any, pictures: "Tensor") -> "Iterator[Tensor]":
    """Yield each layer's features of [B, 3, H, W] as unit vectors [B, h, w, C]."""
    import torch

    features = network.scaling_layer(pictures)
    for number in range(1, 1 + network.L):
        features = getattr(network.net, f"slice{number}")(features)
        vectors = features.permute(0, 2, 3, 1)
        yield vectors / (torch.linalg.vector_norm(vectors, dim=-1, keepdim=True) + 1e-10)


def _distances(network: Any, sr: "Iterable[Tensor]", hr: "Iterable[Sequence[Tensor]]") -> "Tensor":
    """Return LPIPS [B] from two sets of `_directions`.

    At every place of a layer the sum of squared differences, weighted by the layer's head; over
    places the mean, over layers the sum. The first set is written over.
    """
    import torch

    layers = []
    for ours, theirs, head in zip(sr, hr, network.lins, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            one.sub_(other).square_()
        layers.append((ours @ head.model[-1].weight.flatten()).mean((1, 2)))
    return torch.stack(layers).sum(0)


@cache
def _network(metric: Lpips, device: str) -> Any:
    """Load the `lpips` package's module with its heads and our backbone, once per device.

    Raises:
        BenchError: the heads or the backbone are not the ones that the identity names.
    """
    import torch

    import_torchvision()
    lpips = importlib.import_module("lpips")
    # On "meta" nothing is allocated or drawn: the package would fill VGG16's 138 million weights
    # from the global random stream, to be replaced right after.
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")  # the package names torchvision's weights the old way
        network = lpips.LPIPS(net=metric.net, pretrained=False, pnet_rand=True, verbose=False)
    heads = _heads(metric, Path(str(lpips.__file__)).parent)
    trunk = load_backbone(metric.backbone)
    state = network.state_dict()
    for name in state:
        match name.split("."):
            case ["net", _, layer, part]:
                state[name] = torch.from_numpy(trunk[f"features.{layer}.{part}"])
            case ["lins", number, *rest]:  # the package lists its heads twice
                state[name] = heads[".".join([f"lin{number}", *rest])]
            case [head, *_] if head.startswith("lin"):
                state[name] = heads[name]
    network.load_state_dict(state, strict=True, assign=True)
    # Inputs are channels last too, which saves a sixth of the convolutions' time.
    if metric.pooling == "average":
        _average_instead(network)
    network = network.eval().requires_grad_(False)
    return network.to(device, memory_format=torch.channels_last)


def _average_instead(network: Any) -> None:
    """Replace every max pooling of the trunk by average pooling."""
    from torch import nn

    for block in network.net.children():
        for name, layer in block.named_children():
            if isinstance(layer, nn.MaxPool2d):
                setattr(block, name, nn.AvgPool2d(layer.kernel_size, layer.stride, layer.padding))


def _heads(metric: Lpips, package: Path) -> "dict[str, Tensor]":
    import torch

    path = package / "weights" / "v0.1" / f"{metric.net}.pth"
    if not path.is_file() or sha256_file(path) != metric.heads:
        raise BenchError(
            f"{metric.title}: the package lpips {package_version('lpips')} has linear heads that "
            "differ from version 0.1.4: run `pip install lpips==0.1.4`."
        )
    heads: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return heads


ALEX = ("alex", "alexnet", "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0")
_VGG = ("vgg", "vgg16", "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868")

METRICS = (
    Lpips("lpips-alex", "LPIPS-Alex", False, "", 4, 30, *ALEX),
    Lpips("lpips-vgg", "LPIPS-VGG", False, "", 4, 31, *_VGG),
    Lpips(
        "lpips-vgg-average", "LPIPS-VGG (avg. pooling)", False, "", 4, 32, *_VGG, pooling="average"
    ),
    Lpips("lpips-vgg-unit", "LPIPS-VGG ([0, 1])", False, "", 4, 33, *_VGG, span="unit"),
)
