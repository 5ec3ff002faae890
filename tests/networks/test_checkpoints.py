"""Checkpoints: what comes back, and what is refused."""

import hashlib
import io
import json
import os
import pickle
import struct
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bench.core.errors import BenchError
from bench.diffusion.unet import UNet
from bench.networks.checkpoints import (
    Card,
    convert_prior,
    read_checkpoint,
    write_checkpoint,
)
from bench.networks.pickles import read_pickle
from tests.small import TINY_PRIOR

CARD = Card("prior", 16, TINY_PRIOR, training={"seed": 3})


def network(seed: int = 0) -> UNet:
    torch.manual_seed(seed)
    made = UNet(TINY_PRIOR)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.1)
    return made


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "prior.safetensors"
    write_checkpoint(path, network(), CARD)
    return path


def test_weights_and_card_come_back(checkpoint: Path) -> None:
    read = read_checkpoint(checkpoint, "prior")
    assert read.card == CARD
    assert read.sha256 == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    for name, value in network().state_dict().items():
        assert read.state[name].dtype == torch.float32
        assert torch.equal(read.state[name], value.half().float())  # kept as float16


def test_weights_are_given_to_a_network_for_inference(checkpoint: Path) -> None:
    given, expected = network(seed=1), network().half().float()
    read_checkpoint(checkpoint, "prior").load_into(given)
    assert not given.training
    assert not any(parameter.requires_grad for parameter in given.parameters())
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([0, 999])
    with torch.no_grad():
        assert torch.equal(given(x, t), expected(x, t))


def test_the_same_weights_give_the_same_file(checkpoint: Path, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "again.safetensors", network(), CARD)
    assert (tmp_path / "again.safetensors").read_bytes() == checkpoint.read_bytes()


def test_a_network_of_another_shape_is_refused_in_one_sentence(checkpoint: Path) -> None:
    read = read_checkpoint(checkpoint, "prior")
    deeper = UNet(replace(TINY_PRIOR, res_blocks=2))
    with pytest.raises(
        BenchError, match=r"does not fit its network: \S+ is \[64, 32, 3, 3\] there"
    ):
        read.load_into(deeper)
    wider = UNet(replace(TINY_PRIOR, out_channels=3))
    with pytest.raises(BenchError, match=r"does not fit its network: out\.2\.weight is \[6, 32"):
        read.load_into(wider)


def test_another_kind_is_refused(checkpoint: Path) -> None:
    with pytest.raises(BenchError, match=r"safetensors holds a prior, but a corrector is needed"):
        read_checkpoint(checkpoint, "corrector")


def lying_header(data: bytes) -> bytes:
    """The first tensor claims bytes that are not there."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    name = next(key for key in header if key != "__metadata__")
    header[name]["data_offsets"][1] += 2**40
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data[:-1], id="a byte short"),
        pytest.param(lambda data: data[:1000], id="cut in its header"),
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: b"<!DOCTYPE html><html></html>", id="a web page"),
        pytest.param(lambda data: b"\xff" * 8 + data[8:], id="a header of 2^64 bytes"),
        pytest.param(lying_header, id="a tensor beyond the end"),
    ],
)
def test_damaged_safetensors_are_refused(
    checkpoint: Path, damage: Callable[[bytes], bytes]
) -> None:
    checkpoint.write_bytes(damage(checkpoint.read_bytes()))
    with pytest.raises(BenchError, match=r"safetensors is damaged or not a safetensors file \("):
        read_checkpoint(checkpoint, "prior")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "does not state its contents, because `bench train` did not write it"),
        ({"bench": "{"}, "is damaged, or another version's: it is not an object"),
        ({"bench": "[]"}, "is damaged, or another version's: it is not an object"),
        ({"bench": '{"kind": "prior"}'}, "is damaged, or another version's: .* lacks 'size'"),
        (
            {"bench": json.dumps({**asdict(CARD), "kind": "gan"})},
            r"prior\.safetensors holds a gan, but a prior is needed",
        ),
    ],
)
def test_a_missing_or_damaged_card_is_told(
    checkpoint: Path, metadata: dict[str, str] | None, message: str
) -> None:
    save_file(load_file(checkpoint), checkpoint, metadata=metadata)
    with pytest.raises(BenchError, match=message):
        read_checkpoint(checkpoint, "prior")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"There are no weights at .*nothing\.pt"):
        read_checkpoint(tmp_path / "nothing.pt", "prior")


def saved(value: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def test_a_checkpoint_in_guided_diffusions_layout_is_read(tmp_path: Path) -> None:
    wide = replace(TINY_PRIOR, channels=64, head_channels=64)
    state: dict[str, Tensor] = UNet(wide).half().state_dict()
    (tmp_path / "prior.pt").write_bytes(saved(state))
    read = read_checkpoint(tmp_path / "prior.pt", "prior")
    assert read.card == Card("prior", 256, wide)
    read.load_into(UNet(wide))
    with pytest.raises(BenchError, match="holds a prior, but a corrector is needed"):
        read_checkpoint(tmp_path / "prior.pt", "corrector")


@pytest.mark.parametrize("wrapper", ["ema", "params_ema", "params", "state_dict", "model", "net"])
def test_wrapped_checkpoints_of_parallel_training_are_read(tmp_path: Path, wrapper: str) -> None:
    wide = replace(TINY_PRIOR, channels=64, head_channels=64)
    state: dict[str, Tensor] = UNet(wide).state_dict()
    wrapped = {wrapper: {f"module.{name}": value for name, value in state.items()}, "step": 7}
    (tmp_path / "prior.pt").write_bytes(saved(wrapped))
    read = read_checkpoint(tmp_path / "prior.pt", "prior")
    assert read.state.keys() == state.keys()
    assert all(torch.equal(read.state[name], value) for name, value in state.items())


def test_averaged_weights_come_first_which_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = {"a": torch.ones(2)}
    both = {"model": {"a": torch.zeros(2)}, "ema": state, "optimizer": {"lr": 0.1}}
    (tmp_path / "prior.pt").write_bytes(saved(both))
    assert torch.equal(read_pickle(tmp_path / "prior.pt")["a"], state["a"])
    assert "holds ema and model: took ema." in capsys.readouterr().err


def test_a_prior_of_another_size_is_converted(tmp_path: Path) -> None:
    wide = replace(TINY_PRIOR, channels=64, head_channels=64)
    state: dict[str, Tensor] = UNet(wide).state_dict()
    (tmp_path / "prior.pt").write_bytes(saved(state))
    convert_prior(tmp_path / "prior.pt", 128, tmp_path / "prior.safetensors")
    read = read_checkpoint(tmp_path / "prior.safetensors", "prior")
    assert read.card == Card("prior", 128, wide)
    assert all(torch.equal(read.state[name], value) for name, value in state.items())


class Code:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


WHOLE = saved({"a": torch.ones(3, 3), "b": torch.zeros(2)})
LEGACY = saved({"a": torch.ones(3, 3)}, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<!DOCTYPE html><html>Virus scan warning</html>", id="a web page"),
        pytest.param(b"hello", id="text"),
        *(pytest.param(WHOLE[:size], id=f"zip of {size}") for size in (1, 40, 700)),
        *(pytest.param(LEGACY[:size], id=f"legacy of {size}") for size in (1, 40, 200, 380)),
    ],
)
def test_damaged_pickles_are_refused(tmp_path: Path, data: bytes) -> None:
    assert data not in (WHOLE, LEGACY)
    path = tmp_path / "prior.pt"
    path.write_bytes(data)
    with pytest.raises(BenchError, match=r"prior\.pt is truncated, not a PyTorch checkpoint, or"):
        read_checkpoint(path, "prior")


@pytest.mark.parametrize("form", [pickle.dumps, saved])
def test_code_in_a_pickle_does_not_run(tmp_path: Path, form: Callable[[Any], bytes]) -> None:
    path, trace = tmp_path / "prior.pt", tmp_path / "trace"
    path.write_bytes(form({"a": Code(trace)}))
    with pytest.raises(BenchError, match="or contains more than tensors") as caught:
        read_checkpoint(path, "prior")
    assert not trace.exists()
    assert "weights_only" not in str(caught.value)  # PyTorch's text says how to run it


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([torch.ones(2)], r"prior\.pt is not a state dict of tensors\."),
        ({"other": {"a": torch.ones(2)}}, r"prior\.pt is not a state dict of tensors\."),
        ({"a": torch.ones(2)}, r"prior\.pt: These weights are not an ADM U-Net"),
    ],
)
def test_other_contents_of_a_pickle_are_refused(tmp_path: Path, value: Any, message: str) -> None:
    (tmp_path / "prior.pt").write_bytes(saved(value))
    with pytest.raises(BenchError, match=message):
        read_checkpoint(tmp_path / "prior.pt", "prior")


def test_a_card_keeps_what_the_network_predicts(tmp_path: Path) -> None:
    network = UNet(TINY_PRIOR)
    for prediction in ("eps", "v"):
        path = tmp_path / f"{prediction}.safetensors"
        write_checkpoint(path, network, Card("prior", 16, TINY_PRIOR, prediction=prediction))
        assert read_checkpoint(path, "prior").card.prediction == prediction
    old = (tmp_path / "eps.safetensors").read_bytes()
    assert b"prediction" not in old  # files of eps networks are those written before the field
