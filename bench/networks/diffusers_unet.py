"""Priors of diffusers: a `UNet2DModel` with a DDPM schedule, such as google/ddpm-celebahq-256.

`bench weights convert FOLDER` converts the output of `save_pretrained` into one file with the
architecture in its header; diffusers builds the network when it is loaded. Such networks predict
eps or v but no variance, so the ancestral step uses the fixed small variance.
"""

import importlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from bench.core.errors import BenchError
from bench.core.files import read_json
from bench.core.paths import missing_packages
from bench.diffusion.prior import Parametrisation
from bench.networks.pickles import read_pickle
from bench.networks.torchvision_guard import import_torchvision

CONFIG = "config.json"
WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")

SCHEDULE = {"num_train_timesteps": 1000, "beta_start": 0.0001, "beta_end": 0.02}
"""DDPM's linear schedule, used by all priors here."""

PREDICTIONS: Mapping[str, Parametrisation] = {"epsilon": "eps", "v_prediction": "v"}

_ATTENTION = re.compile(r"(attentions\.\d+\.)(query|key|value|proj_attn)(?=\.)")
_RENAMED = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


@dataclass(frozen=True)
class DiffusersConfig:
    """Architecture of a `UNet2DModel`, as its config.json states it."""

    diffusers: str


@dataclass(frozen=True)
class Saved:
    """Contents of a diffusers folder: architecture, size in pixels, prediction, and tensors."""

    shape: DiffusersConfig
    size: int
    prediction: Parametrisation
    state: Mapping[str, Tensor]


class DiffusersUNet(nn.Module):
    """A `UNet2DModel` with a prior's signature: x [B, 3, H, W], timesteps [B] to [B, 3, H, W].

    Raises:
        BenchError: diffusers is not installed, or can't build it.
    """

    def __init__(self, shape: DiffusersConfig) -> None:
        super().__init__()
        if missing := missing_packages("diffusers", "diffusers"):
            raise BenchError(f"A prior of diffusers needs its package: {missing}.")
        import_torchvision()  # imported by diffusers if installed
        package: Any = importlib.import_module("diffusers")
        config = json.loads(shape.diffusers)
        self.unet: nn.Module = package.UNet2DModel.from_config(config)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        output: Tensor = self.unet(x, t).sample
        return output


def read_folder(folder: Path) -> Saved:
    """Read the U-Net in a diffusers folder or its subfolder `unet`.

    Raises:
        BenchError: the folder has no network, or not an unconditional prior of RGB images on DDPM's
            linear schedule.
    """
    inner = folder / "unet" if (folder / "unet" / CONFIG).is_file() else folder
    if not (inner / CONFIG).is_file():
        raise BenchError(f"{folder} holds no {CONFIG}: give a folder that diffusers saved.")
    config = read_json(inner / CONFIG, "a configuration of diffusers")
    kind = config.get("_class_name") if isinstance(config, dict) else None
    if kind != "UNet2DModel":
        raise BenchError(f"{inner / CONFIG} describes {kind}: only a UNet2DModel is supported.")
    channels = (config.get("in_channels"), config.get("out_channels"))
    size = config.get("sample_size")
    if channels != (3, 3) or config.get("num_class_embeds") or not isinstance(size, int):
        raise BenchError(
            f"{inner / CONFIG} is not an unconditional network of square RGB images: channels "
            f"{channels[0]} to {channels[1]}, size {size}."
        )
    prediction = _prediction(folder)
    kept = {name: value for name, value in config.items() if name != "_name_or_path"}
    shape = DiffusersConfig(json.dumps(kept, sort_keys=True))
    state = {
        f"unet.{_present_name(name)}": tensor.float() for name, tensor in _tensors(inner).items()
    }
    return Saved(shape, size, prediction, state)


def _present_name(name: str) -> str:
    """Return a tensor's name in diffusers' present attention blocks, as its own loader does.

    Checkpoints of 2022, such as google/ddpm-celebahq-256, have the names before release 0.18.
    """
    return _ATTENTION.sub(lambda found: found[1] + _RENAMED[found[2]], name)


def _prediction(folder: Path) -> Parametrisation:
    """Return the prediction type; the scheduler must be DDPM's linear one."""
    places = (folder / "scheduler" / "scheduler_config.json", folder / "scheduler_config.json")
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        return "eps"
    config = read_json(file, "a configuration of diffusers")
    for name, expected in SCHEDULE.items():
        if (found := config.get(name, expected)) != expected:
            raise BenchError(f"{file} has {name} {found}: only DDPM's {expected} is supported.")
    if (found := config.get("beta_schedule", "linear")) != "linear":
        raise BenchError(f"{file} has a {found} schedule: only DDPM's linear one is supported.")
    found = config.get("prediction_type", "epsilon")
    if found not in PREDICTIONS:
        raise BenchError(f"{file} predicts {found}: only epsilon and v_prediction are supported.")
    return PREDICTIONS[found]


def _tensors(folder: Path) -> Mapping[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if file is None:
        raise BenchError(f"{folder} holds none of {', '.join(WEIGHTS)}: download all its files.")
    if file.suffix == ".bin":
        return read_pickle(file)
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise BenchError(f"{file} is damaged ({error}): download it again.") from None
