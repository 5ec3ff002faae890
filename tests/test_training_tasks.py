"""From images to a checkpoint that methods load: a prior, and both forms of the Corrector."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

import pytest
import torch

from bench.config import Weights
from bench.engine.models import load_models
from bench.errors import BenchError, WrongUsage
from bench.method import Method, configure, find_method
from bench.training import tasks
from bench.training.data import load_training_images
from bench.training.loop import TrainingSettings
from bench.training.tasks import train_corrector, train_prior
from bench.weights import Card, read_checkpoint
from tests.small import TINY_CORRECTOR, TINY_PRIOR, photos

SETTINGS = TrainingSettings(steps=3, batch=2, warmup=2, seed=1)
CPU = torch.device("cpu")
DPI: Method[object] = find_method("dpi")


@pytest.fixture(autouse=True)
def tiny_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "SMALL_PRIOR", TINY_PRIOR)
    monkeypatch.setattr(tasks, "SMALL_CORRECTOR", TINY_CORRECTOR)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return photos(tmp_path / "faces", count=4, size=16)


def corrector(
    data: Path, out: Path, form: Literal["paper", "released"] = "paper", k: int = 2
) -> Path:
    return train_corrector(data, 16, 4, k, form, SETTINGS, out)


def test_what_is_trained_can_be_used(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prior, crt = train_prior(data, 16, SETTINGS, out), corrector(data, out)
    assert (prior, crt) == (out / "prior-16.safetensors", out / "corrector-16-x4.safetensors")
    loaded = load_models(configure(DPI, 4, 16), 16, Weights(str(prior), str(crt)), CPU)
    assert loaded.models.prior is not None
    assert loaded.models.corrector is not None
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([3, 500])
    assert loaded.models.prior.predict(x, 5).x0_hat.isfinite().all()
    corrected = loaded.models.corrector(x, t, x)
    assert corrected.shape == x.shape
    assert not torch.equal(corrected, x)  # an untrained Corrector adds nothing to its condition


def test_the_averaged_weights_are_written(data: Path, tmp_path: Path) -> None:
    path = train_prior(data, 16, SETTINGS, tmp_path)
    state = torch.load(tmp_path / "prior-16.checkpoint.pt", weights_only=True)
    written = read_checkpoint(path, "prior").state
    assert state["step"] == 3
    for name, value in state["average"].items():
        assert torch.equal(written[name], value.half().float())
    assert any(
        not torch.equal(written[name], v.half().float()) for name, v in state["network"].items()
    )


def test_the_card_says_what_was_done(data: Path, tmp_path: Path) -> None:
    facts = {
        **asdict(SETTINGS),
        "images": 4,
        "data_sha256": load_training_images(data, 16).sha256,
    }
    card = read_checkpoint(train_prior(data, 16, SETTINGS, tmp_path), "prior").card
    assert replace(card, training=None) == Card("prior", 16, TINY_PRIOR)
    assert card.training is not None
    loss = card.training["final_loss"]
    assert card.training == {**facts, "objective": "snr 5", "final_loss": loss}
    assert 0 < loss < 10
    card = read_checkpoint(corrector(data, tmp_path, "released"), "corrector").card
    assert replace(card, training=None) == Card("corrector", 16, TINY_CORRECTOR, 4, 2)
    assert card.training is not None
    assert card.training["objective"] == "released"


def test_the_seed_decides_the_file_and_the_data_do(data: Path, tmp_path: Path) -> None:
    first = train_prior(data, 16, SETTINGS, tmp_path / "a").read_bytes()
    torch.manual_seed(99)  # a global state that must not matter
    assert train_prior(data, 16, SETTINGS, tmp_path / "b").read_bytes() == first
    other = train_prior(data, 16, replace(SETTINGS, seed=2), tmp_path / "c")
    assert other.read_bytes() != first


@pytest.mark.parametrize(("form", "k"), [("released", 2), ("paper", 4)])
def test_another_objective_does_not_go_on_with_a_checkpoint(
    data: Path, tmp_path: Path, form: Literal["paper", "released"], k: int
) -> None:
    before = corrector(data, tmp_path).read_bytes()
    with pytest.raises(BenchError, match=r"corrector-16-x4\.checkpoint\.pt belongs to a training"):
        corrector(data, tmp_path, form, k)
    assert corrector(data, tmp_path).read_bytes() == before


def test_a_corrector_may_begin_with_that_of_another_scale(data: Path, tmp_path: Path) -> None:
    start = corrector(data, tmp_path / "a")
    one_step = replace(SETTINGS, steps=1)

    def begun(out: Path, given: Path | None) -> Path:
        return train_corrector(data, 16, 8, 2, "paper", one_step, out, given)

    fresh, taken = begun(tmp_path / "b", None), begun(tmp_path / "c", start)
    first, state = read_checkpoint(start, "corrector"), read_checkpoint(taken, "corrector").state
    # One step, at the learning rate 5e-4 / 2, moves no weight by more than that.
    for name, value in first.state.items():
        torch.testing.assert_close(state[name], value, atol=1e-3, rtol=1e-3)
    assert any(not torch.equal(state[name], value) for name, value in first.state.items())
    assert fresh.read_bytes() != taken.read_bytes()
    training = read_checkpoint(taken, "corrector").card.training
    assert training is not None
    assert training["start_sha256"] == first.sha256
    with pytest.raises(BenchError, match="belongs to a training with another objective"):
        begun(tmp_path / "c", None)


@pytest.mark.parametrize(
    ("size", "scale", "k", "message"),
    [
        (16, 3, 2, "scale 3 does not divide the size 16: choose another"),
        (16, 1, 2, "scale 1 does not divide the size 16"),
        (16, 4, 3, "k 3 does not divide the size 16"),
        (16, 4, 0, "k 0 does not divide the size 16"),
        (9, 3, 3, "Size 9 does not fit the network: choose a multiple of 2"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(
    tmp_path: Path, size: int, scale: int, k: int, message: str
) -> None:
    with pytest.raises(WrongUsage, match=message):
        train_corrector(tmp_path, size, scale, k, "paper", SETTINGS, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("size", "multiple"), [(0, 2), (-2, 2), (15, 2), (100, 32)])
def test_a_prior_of_an_odd_size_is_refused(tmp_path: Path, size: int, multiple: int) -> None:
    message = f"Size {size} does not fit the network: choose a multiple of {multiple}"
    with pytest.raises(WrongUsage, match=message):
        train_prior(tmp_path, size, SETTINGS, tmp_path / "out")
