"""Read and write checkpoints. `bench.networks.registry` knows their paths.

Ours are safetensors that carry their own description; others are `.pt` files in the layout of
the code that published them, read without running any code of theirs.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from bench.core.errors import BenchError, WrongUsage
from bench.core.files import sha256_cached, write_bytes
from bench.core.validation import read_back
from bench.diffusion.prior import Parametrisation
from bench.diffusion.sr3 import SR3Config, infer_sr3_config
from bench.diffusion.unet import UNet, UNetConfig, infer_config
from bench.networks.diffusers_unet import DiffusersConfig, DiffusersUNet, read_folder
from bench.networks.pickles import read_pickle

# Head width of all public checkpoints in guided-diffusion's layout that the tables use. The tensors
# show neither it nor the number of groups, which is always 32.
PUBLIC_HEAD_CHANNELS = 64

# The same for the public checkpoints of SR3, whose sizes are told by their widths; both are for x8.
PUBLIC_NORM_GROUPS = 32
PUBLIC_SR3_SIZES = {(1, 2, 4, 8, 8): 128, (1, 2, 4, 8, 8, 16, 16): 512}


@dataclass(frozen=True)
class Card:
    """Description of a checkpoint in its header.

    `prediction` is what a prior's network predicts; released priors predict eps.
    """

    kind: str
    size: int
    unet: SR3Config | UNetConfig | DiffusersConfig
    scale: int | None = None
    k: int | None = None
    training: Mapping[str, Any] | None = None
    prediction: Parametrisation = "eps"

    def to_json(self) -> dict[str, Any]:
        """Return the header's values. The default `prediction` is omitted, as older files do."""
        values = asdict(self)
        if self.prediction == "eps":
            del values["prediction"]
        return values


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint: tensors in float32, card, and file hash."""

    path: Path
    sha256: str
    card: Card
    state: Mapping[str, Tensor]

    def load_into(self, network: nn.Module) -> None:
        """Load these weights into a network, for inference.

        Raises:
            BenchError: the shapes or names differ.
        """
        self._check_fit(network)
        network.load_state_dict(self.state)
        network.requires_grad_(False).eval()

    def build(self, architecture: Callable[[Any], nn.Module]) -> nn.Module:
        """Build the network that the card describes, with these weights, for inference.

        Raises:
            BenchError: the card describes an impossible network, or the tensors do not fit it.
        """
        shape = self.card.unet
        if not isinstance(shape, DiffusersConfig) and not self._possible(shape):
            raise BenchError(f"{self.path} describes an impossible network: download it again.")
        try:
            with torch.device("meta"):  # takes no memory, whatever its size
                described = architecture(shape)
        except BenchError:
            raise
        except Exception as error:  # noqa: BLE001 - what layers say of numbers that don't agree
            raise BenchError(
                f"{self.path} describes an impossible network ({error}): download it again."
            ) from None
        self._check_fit(described)
        network = architecture(shape)
        self.load_into(network)
        return network

    def _possible(self, shape: SR3Config | UNetConfig) -> bool:
        """Return True if a shape is plausible for these tensors."""
        numbers = [n for v in asdict(shape).values() for n in (v if isinstance(v, tuple) else [v])]
        levels = len(shape.channel_mult)
        # Every block has its own tensors. Building more would only waste time before the refusal.
        return bool(levels) and min(numbers) >= 1 and levels * shape.res_blocks <= len(self.state)

    def _check_fit(self, network: nn.Module) -> None:
        there = {name: list(value.shape) for name, value in self.state.items()}
        wanted = {name: list(value.shape) for name, value in network.state_dict().items()}
        for name in (*wanted, *there):
            if there.get(name) != wanted.get(name):
                raise BenchError(
                    f"{self.path} does not fit its network: {name} is {there.get(name, 'absent')} "
                    f"there, and should be {wanted.get(name, 'absent')}: give another checkpoint."
                )


def prior_network(shape: UNetConfig | DiffusersConfig) -> nn.Module:
    """Build the network of a prior: an ADM U-Net, or one from diffusers.

    Raises:
        BenchError: diffusers is not installed.
    """
    return DiffusersUNet(shape) if isinstance(shape, DiffusersConfig) else UNet(shape)


def write_checkpoint(path: Path, network: nn.Module, card: Card) -> None:
    """Write weights as float16 safetensors with their card in the header."""
    _write(path, {name: value.half() for name, value in network.state_dict().items()}, card)


def _write(path: Path, state: Mapping[str, Tensor], card: Card) -> None:
    whole = {name: value.contiguous() for name, value in state.items()}
    write_bytes(path, save(whole, metadata={"bench": json.dumps(card.to_json())}))


def convert_prior(
    path: Path, size: int | None, out: Path, training: Mapping[str, Any] | None = None
) -> Card:
    """Convert a prior in guided-diffusion's or diffusers' layout into a checkpoint of bench.

    `path` is a file of guided-diffusion's layout, which needs the training `size` in pixels, or a
    folder that diffusers saved, which states it. `training` has known facts for the card.

    Raises:
        BenchError: the input can't be read, or is not such a prior.
        WrongUsage: a file without a size, or a folder of another size.
    """
    if path.is_dir():
        saved = read_folder(path)
        if size not in (None, saved.size):
            raise WrongUsage(f"{path} states that it is for {saved.size} px: remove --size.")
        card = Card("prior", saved.size, saved.shape, prediction=saved.prediction)
        checkpoint = Checkpoint(path, "", card, saved.state)
        checkpoint.build(prior_network)
    elif size is None:
        raise WrongUsage(f"{path} does not state its training size: give --size.")
    else:
        checkpoint = read_checkpoint(path, "prior")
        card = replace(checkpoint.card, size=size)
    card = replace(card, training=training)
    _write(out, checkpoint.state, card)
    return card


def read_card(path: Path) -> Card:
    """Read the card in the header of a checkpoint of bench.

    Raises:
        BenchError: no such file, or not a checkpoint of ours.
    """
    if not path.is_file():
        raise BenchError(f"There are no weights at {path}.")
    return _read_safetensors(path)[0]


def read_checkpoint(path: Path, kind: str) -> Checkpoint:
    """Read a checkpoint of bench, or a released prior or SR3.

    Raises:
        BenchError: no such file, not a checkpoint, truncated, or of another kind.
    """
    if path.is_file() and path.suffix == ".safetensors":
        card, state = _read_safetensors(path)
    else:
        state = read_pickle(path)
        try:
            card, state = _released_sr3(state) if kind == "sr3" else (_released_prior(state), state)
        except BenchError as error:
            raise BenchError(f"{path}: {error}") from None
    if card.kind != kind:
        raise BenchError(f"{path} holds a {card.kind}, but a {kind} is needed.")
    return Checkpoint(path, sha256_cached(path), card, state)


def _released_prior(state: Mapping[str, Tensor]) -> Card:
    if any(name.startswith(("model.map_", "map_noise", "enc.", "model.enc.")) for name in state):
        raise BenchError(
            "This is a network with EDM's preconditioning, whose inputs and outputs are scaled "
            "otherwise: give a prior that predicts eps, in guided-diffusion's layout."
        )
    if (
        "input_blocks.0.0.weight" in state
        and "input_blocks.1.0.in_layers.0.weight" in state
        and any(name.endswith(".0.op.weight") for name in state)
    ):
        raise BenchError(
            "This is a network of improved-diffusion, which reduces by convolutions: only those of "
            "guided-diffusion with resblock_updown are supported."
        )
    return Card("prior", 256, infer_config(state, PUBLIC_HEAD_CHANNELS))


def _released_sr3(state: Mapping[str, Tensor]) -> tuple[Card, dict[str, Tensor]]:
    """Return the network in a released SR3 file, without its schedule tables."""
    start = "denoise_fn."
    network = {n.removeprefix(start): v for n, v in state.items() if n.startswith(start)}
    unet = infer_sr3_config(network, PUBLIC_NORM_GROUPS)
    if unet.channel_mult not in PUBLIC_SR3_SIZES:
        raise BenchError("This is not a released SR3 network (128 or 512 px).")
    return Card("sr3", PUBLIC_SR3_SIZES[unet.channel_mult], unet, scale=8), network


def _read_safetensors(path: Path) -> tuple[Card, dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get("bench")
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise BenchError(f"{path} is damaged or not a safetensors file ({error}).") from None
    if header is None:
        raise BenchError(
            f"{path} does not state its contents, because `bench train` did not write it: "
            "give a prior in guided-diffusion's layout as a .pt file."
        )
    try:
        values = json.loads(header)
    except (ValueError, RecursionError):
        values = None
    return read_back(Card, values, str(path)), state
