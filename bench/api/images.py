"""Single images: `bench.restore` and `bench.metric`."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.api.workspace import workspace
from bench.core.errors import BenchError, WrongUsage
from bench.diffusion.noise import KeyedNoise, StreamKey
from bench.engine.models import choose_device, load_models
from bench.images import Pixels, read_image, to_model, to_pixels
from bench.methods import Problem, configure
from bench.metrics import find
from bench.metrics.scoring.devices import exact_float32, find_devices
from bench.networks.kinds import check_kinds

Image = str | Path | Pixels | Tensor
"""A file, uint8 [H, W, 3], or a tensor [3, H, W] in [0, 1]."""

Images = Image | Sequence[Image]
"""One image, several, or a tensor [B, 3, H, W] in [0, 1]."""


def restore(
    method: str,
    lr: Image,
    *,
    scale: int = 8,
    settings: Mapping[str, Any] | None = None,
    weights: Mapping[str, str] | None = None,
    seed: int = 0,
    name: str = "image",
) -> Pixels:
    """Restore one image without a test set or a run.

    Args:
        method: name, such as "ddnm".
        lr: square LR image: a file, uint8 [h, h, 3], or a tensor [3, h, h] in [0, 1].
        scale: the result has scale * h pixels each way.
        settings: settings of the method, in addition to bench.toml's.
        weights: kind of network -> checkpoint file, in addition to bench.toml's.
        seed: seed of the noise.
        name: image id; it keys the noise, so equal names and seeds give equal noise.

    Returns:
        The restored image, uint8 [scale * h, scale * h, 3].

    Raises:
        BenchError: an unknown method or setting, missing weights, or an unusable image.

    Example:
        >>> import numpy as np
        >>> bench.restore("bicubic", np.zeros((8, 8, 3), np.uint8), scale=8).shape
        (64, 64, 3)
    """
    here = workspace()
    pixels = as_pixels(lr)
    height, width, _ = pixels.shape
    if height != width:
        raise WrongUsage(f"The LR image is {width}x{height} pixels: give a square one.")
    size = scale * height
    merged = {key: dict(values) for key, values in here.config.settings.items()}
    merged.setdefault(method, {}).update(settings or {})
    made = configure(method, scale, size, merged)
    device = choose_device()
    check_kinds(weights or {}, "weights")
    chosen = {**here.config.weights, **(weights or {})}
    models = load_models(made, size, chosen, device).models
    noise = KeyedNoise([StreamKey(seed, name)])
    problem = Problem(to_model([pixels]).to(device), scale, noise, models)
    with torch.no_grad():
        return to_pixels(made.restore(problem))[0]


def metric(name: str, device: str = "cpu") -> Callable[..., Any]:
    """Return a metric as a function of one or several pairs of images.

    Args:
        name: name of a per-image metric, such as "psnr" or "lpips-vgg".
        device: where its networks compute: "auto", "cpu" or "cuda:N".

    Returns:
        A function (sr, hr=None) -> float, or list of floats for several images. Images are files,
        uint8 [H, W, 3], or tensors [3, H, W] or [B, 3, H, W] in [0, 1]; `hr` is left out for
        metrics without a reference. Tensors are rounded to 8 bits, as files are.

    Raises:
        BenchError: an unknown metric, one of whole sets, or one that cannot be computed here.

    Example:
        >>> import numpy as np
        >>> black, grey = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 16, np.uint8)
        >>> round(bench.metric("psnr")(grey, black), 2)
        24.05
    """
    found = find(name).on(find_devices(device)[0])
    if reason := found.unavailable():
        raise BenchError(reason)

    def score(sr: Images, hr: Images | None = None) -> float | list[float]:
        """Compare results with their references."""
        if hr is None and found.reference != "itself":
            raise WrongUsage(f"{found.title} compares with a reference: pass hr as well.")
        pictures = as_list(sr)
        with exact_float32():
            values = found.score(pictures, pictures if hr is None else as_list(hr))
        return values if _is_many(sr) else values[0]

    return score


def as_list(images: Images) -> list[Pixels]:
    """Return images as uint8 [H, W, 3]; see `Images`."""
    several: Any = images if _is_many(images) else [images]
    return [as_pixels(image) for image in several]


def as_pixels(image: Image) -> Pixels:
    """Return an image as uint8 [H, W, 3]; see `Image`.

    Raises:
        WrongUsage: another shape, type or range.
    """
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if isinstance(image, Tensor):
        if image.ndim != 3 or image.shape[0] != 3 or not image.is_floating_point():
            raise WrongUsage(
                f"A tensor is {image.dtype} of shape {list(image.shape)}: give floats [3, H, W]."
            )
        if not 0 <= float(image.min()) <= float(image.max()) <= 1:
            raise WrongUsage("A tensor has values outside of [0, 1]: scale it first.")
        return to_pixels(2 * image[None] - 1)[0]
    pixels = np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise WrongUsage(
            f"An array is {pixels.dtype} of shape {list(pixels.shape)}: give uint8 [H, W, 3]."
        )
    return pixels


def _is_many(images: Images) -> bool:
    return isinstance(images, list | tuple) or (isinstance(images, Tensor) and images.ndim == 4)
