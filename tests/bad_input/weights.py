"""Checkpoints: truncated, of other networks, with wrong metadata, or with code inside."""

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from bench.core.files import write_bytes
from bench.diffusion.unet import UNet
from bench.networks.checkpoints import Card, write_checkpoint
from tests.bad_input.case import RESTORE, Refused
from tests.small import TINY_CORRECTOR, TINY_PRIOR

CARD = Card("prior", 16, TINY_PRIOR)
RAN = "a-program-ran"


class Program:
    """Runs a command that leaves a file behind when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, (f"touch {RAN}",)


def saved(value: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def state() -> dict[str, torch.Tensor]:
    return UNet(TINY_PRIOR).state_dict()


def header(text: bytes, length: int | None = None, data: bytes = b"") -> bytes:
    """Return a safetensors file with this header and possibly a wrong length."""
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(offsets: tuple[int, int], shape: tuple[int, ...] = (4,)) -> bytes:
    """Return a header with one float32 tensor at these offsets."""
    return json.dumps({"x": {"dtype": "F32", "shape": shape, "data_offsets": offsets}}).encode()


def described(**changes: Any) -> bytes:
    """Return a checkpoint with some values of its card replaced."""
    text = json.dumps({**asdict(CARD), **changes})
    return save(state(), {"bench": text})


def network(**changes: Any) -> bytes:
    return described(unet={**asdict(TINY_PRIOR), **changes})


def torn(home: Path) -> None:
    file = home / "prior.safetensors"
    write_bytes(home / "odd.safetensors", file.read_bytes()[:-1000])


def card(value: Card, config: Any = TINY_PRIOR) -> Callable[[Path], None]:
    return lambda home: write_checkpoint(home / "odd.safetensors", UNet(config), value)


def safetensors(data: Callable[[], bytes], *says: str) -> Refused:
    return Refused(
        f"{RESTORE} odd.safetensors",
        ("odd.safetensors", *says),
        lambda home: write_bytes(home / "odd.safetensors", data()),
    )


def pytorch(data: Callable[[], bytes], *says: str) -> Refused:
    return Refused(
        f"{RESTORE} odd.pt",
        ("odd.pt", *says),
        lambda home: write_bytes(home / "odd.pt", data()),
    )


def zip_of_code() -> bytes:
    """Return a zip in PyTorch's layout with our pickle in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Program()))
        archive.writestr("archive/version", "3")
    return buffer.getvalue()


DAMAGED = ("is damaged or not a safetensors file",)
AGAIN = ("truncated, not a PyTorch checkpoint, or contains more than tensors", "download it again")
CARD_DAMAGED = ("is damaged, or another version's",)
PAGE = b"<!DOCTYPE html><html><title>Sign in</title></html>"

REFUSED = {
    "weights that are not there": Refused(f"{RESTORE} x.pt", ("no prior at x.pt",)),
    "a folder of weights": Refused(f"{RESTORE} photos", ("no prior at photos",)),
    "half of a safetensors file": Refused(
        f"{RESTORE} odd.safetensors", ("odd.safetensors", *DAMAGED), torn
    ),
    "no bytes of safetensors": safetensors(lambda: b"", *DAMAGED),
    "a header longer than the file": safetensors(lambda: header(b"{}", 2**40), *DAMAGED),
    "a header that is no JSON": safetensors(lambda: header(b"{{"), *DAMAGED),
    "a header without end": safetensors(lambda: header(b"[" * 100_000), *DAMAGED),
    "tensors beyond the file's end": safetensors(lambda: header(tensor((0, 16))), *DAMAGED),
    "tensors of another length": safetensors(
        lambda: header(tensor((0, 8)), data=bytes(8)), *DAMAGED
    ),
    "tensors of terabytes": safetensors(
        lambda: header(tensor((0, 16), (2**40, 2**40)), data=bytes(16)), *DAMAGED
    ),
    "safetensors of others": safetensors(lambda: save(state()), "does not state its contents"),
    "a card that is no JSON": safetensors(lambda: save(state(), {"bench": "{"}), *CARD_DAMAGED),
    "a card that is a list": safetensors(lambda: save(state(), {"bench": "[]"}), *CARD_DAMAGED),
    "a card without end": safetensors(
        lambda: save(state(), {"bench": "[" * 100_000}), *CARD_DAMAGED
    ),
    "a card of a later version": safetensors(lambda: described(form=2), *CARD_DAMAGED, "'form'"),
    "a card of an unknown kind": safetensors(lambda: described(kind="gan"), "holds a gan, but a"),
    "a card of no channels": safetensors(lambda: network(channels=0), "odd.safetensors"),
    "a card of negative channels": safetensors(lambda: network(channels=-32)),
    "a card of a billion channels": safetensors(
        lambda: network(channels=2**30), "describes an impossible network"
    ),
    "a card of no levels": safetensors(lambda: network(channel_mult=[])),
    "a card of no heads": safetensors(lambda: network(head_channels=0)),
    "a card of no groups": safetensors(lambda: network(group_channels=0)),
    "a card of other blocks": safetensors(lambda: network(res_blocks=2), "does not fit"),
    "another network's tensors": Refused(
        f"{RESTORE} odd.safetensors",
        ("odd.safetensors does not fit its network",),
        card(CARD, replace(TINY_PRIOR, channels=64)),
    ),
    "a Corrector for a prior": Refused(
        f"{RESTORE} odd.safetensors",
        ("odd.safetensors holds a corrector, but a prior is needed",),
        card(Card("corrector", 16, TINY_CORRECTOR, 4, 2), TINY_CORRECTOR),
    ),
    "a prior of another size": Refused(
        f"{RESTORE} odd.safetensors",
        ("odd.safetensors was trained for size 64", "the test set has size 16", "give another"),
        card(Card("prior", 64, TINY_PRIOR)),
    ),
    "safetensors called .pt": pytorch(lambda: described(), *AGAIN),
    "a .pt called safetensors": safetensors(lambda: saved(state()), *DAMAGED),
    "no bytes of PyTorch": pytorch(lambda: b"", *AGAIN),
    "a web page as .pt": pytorch(lambda: PAGE, *AGAIN),
    "half of a .pt": pytorch(lambda: saved(state())[:2000], *AGAIN),
    "a pickle with a program": pytorch(lambda: pickle.dumps({"a": Program()}), *AGAIN),
    "a .pt with a program": pytorch(lambda: saved({"a": Program()}), *AGAIN),
    "a .pt of old with a program": pytorch(
        lambda: saved({"a": Program()}, _use_new_zipfile_serialization=False), *AGAIN
    ),
    "a zip with a program": pytorch(zip_of_code, *AGAIN),
    "a whole network in a .pt": pytorch(lambda: saved(torch.nn.Linear(2, 2)), *AGAIN),
    "a list in a .pt": pytorch(lambda: saved([1, 2]), "is not a state dict of tensors"),
    "an empty .pt": pytorch(lambda: saved({}), "odd.pt"),
    "numbers for names in a .pt": pytorch(lambda: saved({1: torch.zeros(2)}), "odd.pt"),
    "another network in a .pt": pytorch(lambda: saved({"conv.weight": torch.zeros(3)}), "odd.pt"),
    "weights add: a web page": Refused(
        "weights add gfpgan odd.pt", ("odd.pt",), lambda home: write_bytes(home / "odd.pt", PAGE)
    ),
    "weights add: another file": Refused(
        "weights add prior-256 prior.safetensors",
        ("prior.safetensors is not ffhq_10m.pt", "sha256"),
    ),
}
