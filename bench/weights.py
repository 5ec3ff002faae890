"""Checkpoints: reading and writing them, and finding the one that a test set needs.

Ours are safetensors that carry their own description; others are `.pt` files in the layout of
the code that published them, read without running any code of theirs.
"""

import json
import textwrap
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bench.diffusion.sr3 import SR3Config, infer_sr3_config
from bench.diffusion.unet import UNetConfig, infer_config
from bench.errors import BenchError, WrongUsage
from bench.files import replacing, sha256_file
from bench.resources import cache_folder, checkpoints
from bench.typed import read_back

Kind = Literal["prior", "corrector", "sr3", "codeformer", "gfpgan", "restoreformer", "swinir"]
"""What a method may need. The first three can be trained here, the others were published."""

TRAINED_BY: dict[Kind, str] = {"prior": "prior", "corrector": "crt", "sr3": "sr3"}
"""Kind -> the command that trains it."""

# Every public checkpoint of guided-diffusion's layout that the tables use has heads this wide;
# it is the one number that their tensors do not show.
PUBLIC_HEAD_CHANNELS = 64

# The same for the public checkpoints of SR3, whose sizes are told by their widths; both are for x8.
PUBLIC_NORM_GROUPS = 32
PUBLIC_SR3_SIZES = {(1, 2, 4, 8, 8): 128, (1, 2, 4, 8, 8, 16, 16): 512}


# Names under which a state dict lies in published files; the first that is there counts.
WRAPPERS = ("params_ema", "params", "state_dict")


@dataclass(frozen=True)
class Card:
    """What a checkpoint of ours says of itself, in its header."""

    kind: Kind
    size: int
    unet: SR3Config | UNetConfig
    scale: int | None = None
    k: int | None = None
    training: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read: its tensors in float32, its card, and its file's hash."""

    path: Path
    sha256: str
    card: Card
    state: Mapping[str, Tensor]

    def load_into(self, network: nn.Module) -> None:
        """Give the network these weights, for inference.

        Raises:
            BenchError: the shapes or names differ.
        """
        try:
            network.load_state_dict(self.state)
        except RuntimeError as error:
            _, first, *_ = map(str.strip, str(error).splitlines())
            reason = textwrap.shorten(first, 200)  # it may name every tensor
            raise BenchError(f"{self.path} does not fit its network: {reason}") from None
        network.requires_grad_(False).eval()


@dataclass(frozen=True)
class PublicWeights:
    """A checkpoint published elsewhere, which is never shipped; `sha256` is "" if none is known."""

    name: str
    kind: Kind
    size: int
    file: str
    sha256: str
    licence: str
    sources: tuple[str, ...]


PUBLIC = (
    PublicWeights(
        "prior-256",
        "prior",
        256,
        "ffhq_10m.pt",
        "81d535743156ec6be34d8668e6920da94f0614074d7793a16c8fa9e306237faa",
        "none stated",
        (
            "the Google Drive folder 1jElnRoFv7b31fG0v6pTSQkelbSX3xGZh of the DPS release",
            "https://huggingface.co/deepinv/diffunet/resolve/main/diffusion_ffhq_10m.pt",
        ),
    ),
    PublicWeights(
        "codeformer",
        "codeformer",
        512,
        "codeformer.pth",
        "1009e537e0c2a07d4cabce6355f53cb66767cd4b4297ec7a4a64ca4b8a5684b7",
        "S-Lab, non-commercial",
        ("https://github.com/sczhou/CodeFormer/releases/download/v0.1.0/codeformer.pth",),
    ),
    PublicWeights(
        "gfpgan",
        "gfpgan",
        512,
        "GFPGANv1.4.pth",
        "e2cd4703ab14f4d01fd1383a8a8b266f9a5833dacee8e6a79d3bf21a1b6be5ad",
        "Apache-2.0, with parts under other terms",
        ("https://github.com/TencentARC/GFPGAN/releases/download/v1.3.0/GFPGANv1.4.pth",),
    ),
    PublicWeights(
        "restoreformer",
        "restoreformer",
        512,
        "RestoreFormer.pth",
        "",
        "Apache-2.0, with parts under other terms",
        ("https://github.com/TencentARC/GFPGAN/releases/download/v1.3.4/RestoreFormer.pth",),
    ),
    PublicWeights(
        "swinir",
        "swinir",
        512,
        "swinir_restoration512_L1.pth",
        "",
        "S-Lab, non-commercial",
        ("https://github.com/zsyOAOA/DifFace/releases/download/V1.0/swinir_restoration512_L1.pth",),
    ),
)


def write_checkpoint(path: Path, network: nn.Module, card: Card) -> None:
    """Write weights as float16 safetensors with their card in the header."""
    state = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    with replacing(path) as temporary:
        save_file(state, temporary, metadata={"bench": json.dumps(asdict(card))})


def read_checkpoint(path: Path, kind: Kind) -> Checkpoint:
    """Read a safetensors checkpoint of ours, or a published prior or SR3 as it was released.

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
    return Checkpoint(path, sha256_file(path), card, state)


def _released_prior(state: Mapping[str, Tensor]) -> Card:
    return Card("prior", 256, infer_config(state, PUBLIC_HEAD_CHANNELS))


def _released_sr3(state: Mapping[str, Tensor]) -> tuple[Card, dict[str, Tensor]]:
    """The network within a released SR3, whose file also holds the tables of its schedule."""
    start = "denoise_fn."
    network = {n.removeprefix(start): v for n, v in state.items() if n.startswith(start)}
    unet = infer_sr3_config(network, PUBLIC_NORM_GROUPS)
    if unet.channel_mult not in PUBLIC_SR3_SIZES:
        raise BenchError("This is none of the SR3 networks that were released, 128 or 512 px.")
    return Card("sr3", PUBLIC_SR3_SIZES[unet.channel_mult], unet, scale=8), network


def _read_safetensors(path: Path) -> tuple[Card, dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get("bench")
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise BenchError(f"{path} is damaged or no safetensors file ({error}).") from None
    if header is None:
        raise BenchError(
            f"{path} does not say what it holds: it was not written by `bench train`. "
            "A prior in guided-diffusion's layout is taken as a .pt file."
        )
    try:
        values = json.loads(header)
    except ValueError:
        values = None
    return read_back(Card, values, str(path)), state


def read_pickle(path: Path) -> dict[str, Tensor]:
    """Tensors by name from a PyTorch file, numbers in float32, without running any code in it.

    A state dict that lies in the file under one of the usual names is taken out of it.

    Raises:
        BenchError: no such file, truncated, or no state dict.
    """
    if not path.is_file():
        raise BenchError(f"There are no weights at {path}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd pickles, which are refused below
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except Exception:  # noqa: BLE001 - damaged pickles raise a wide variety of types
        # PyTorch's own text is left out: it advises to run the code in the file.
        raise BenchError(
            f"{path} is truncated, no PyTorch checkpoint, or holds more than tensors: "
            "download it again."
        ) from None
    if isinstance(state, dict):
        state = next((state[name] for name in WRAPPERS if name in state), state)
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise BenchError(f"{path} is not a state dict of tensors.")
    return {n: v.float() if v.is_floating_point() else v for n, v in state.items()}


def find_weights(kind: Kind, size: int, scale: int) -> Path:
    """The checkpoint of a kind for results of this size at this scale.

    Raises:
        BenchError: there is none here, with how to get it.
    """
    if kind == "prior":
        return find_prior(size)
    return find_trained(kind, size, scale) if kind in TRAINED_BY else find_public(kind)


def find_prior(size: int) -> Path:
    """The prior for images of this size.

    Raises:
        BenchError: there is none here, with how to get or avoid needing it.
    """
    if (path := checkpoints() / f"prior-{size}.safetensors").is_file():
        return path
    for public in PUBLIC:
        if public.kind == "prior" and public.size == size:
            if (path := cache_folder() / public.file).is_file():
                return path
            raise BenchError(
                f"The prior for {size} px, {public.file}, is not here. Get it from "
                f"{public.sources[-1]} and run `bench weights add {public.name} FILE`, or prepare "
                "the test set at the embedded prior's size with `--size 64`."
            )
    raise BenchError(
        f"There is no prior for {size} px: train one with `bench train prior --size {size} "
        "--data FACES --out DIR` and give it with `--prior`, or prepare the test set at the "
        "embedded prior's size with `--size 64`."
    )


def find_trained(kind: Kind, size: int, scale: int) -> Path:
    """The network that was trained for images of this size at this scale.

    Raises:
        BenchError: there is none here, with the command that trains it.
    """
    name = f"{kind}-{size}-x{scale}.safetensors"
    for folder in (checkpoints(), cache_folder()):
        if (path := folder / name).is_file():
            return path
    raise BenchError(
        f"There is no {kind} for {size} px at x{scale}: train one with `bench train "
        f"{TRAINED_BY[kind]} --size {size} --scale {scale} --data FACES --out DIR` and give it "
        f"with `--weights {kind}=FILE`."
    )


def find_public(name: str) -> Path:
    """The checkpoint that was published under this name, where it was downloaded.

    Raises:
        BenchError: it is not here, with the command that gets it.
    """
    public = _public(name)
    if (path := cache_folder() / public.file).is_file():
        return path
    raise BenchError(
        f"The weights of {name}, {public.file}, are not here (licence: {public.licence}): get them "
        f"with `bench weights get {name}`, or give them with `--weights {name}=FILE`."
    )


def _public(name: str) -> PublicWeights:
    found = next((p for p in PUBLIC if p.name == name), None)
    if found is None:
        raise WrongUsage(f"{name!r} is not known: choose {', '.join(p.name for p in PUBLIC)}.")
    return found


def add_weights(name: str, file: Path) -> Path:
    """Copy a public checkpoint to where `find_weights` looks, after checking its hash if known.

    Raises:
        BenchError: an unknown name, no such file, or another file's hash.
    """
    public = _public(name)
    if not file.is_file():
        raise BenchError(f"There is no file {file}.")
    if public.sha256 and (digest := sha256_file(file)) != public.sha256:
        raise BenchError(
            f"{file} is not {public.file}: its sha256 is {digest}, not {public.sha256}."
        )
    target = cache_folder() / public.file
    with replacing(target) as temporary, file.open("rb") as source, temporary.open("wb") as out:
        while block := source.read(1 << 24):
            out.write(block)
    return target
