"""The training loop: reproducible, taken up bit for bit, refused where it would mislead."""

import signal
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.diffusion.schedule import Schedule
from bench.diffusion.unet import UNet
from bench.errors import BenchError
from bench.training.data import TrainingImages
from bench.training.loop import Trained, TrainingSettings, train
from bench.training.objectives import draw_timesteps, prior_loss
from tests.small import TINY_PRIOR

SCHEDULE = Schedule.linear()
SETTINGS = TrainingSettings(steps=6, batch=3, learning_rate=1e-3, warmup=2, seed=5)


def images(count: int = 8, seed: int = 0) -> TrainingImages:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8, generator=generator)
    return TrainingImages(pixels, f"hash {seed}")


def loss(network: nn.Module, x0: Tensor, generator: torch.Generator) -> Tensor:
    t = draw_timesteps(len(x0), SCHEDULE, generator)
    noise = torch.randn(x0.shape, generator=generator)
    return prior_loss(network, SCHEDULE, x0, t, noise)


def interrupted(at: int, times: int = 1) -> Callable[[nn.Module, Tensor, torch.Generator], Tensor]:
    """The loss, with Ctrl-C in the midst of the step of this number, counted from 0."""
    calls = 0

    def stopping(network: nn.Module, x0: Tensor, generator: torch.Generator) -> Tensor:
        nonlocal calls
        if calls == at:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
        calls += 1
        return loss(network, x0, generator)

    return stopping


def trained(
    folder: Path,
    settings: TrainingSettings = SETTINGS,
    using: Callable[[nn.Module, Tensor, torch.Generator], Tensor] = loss,
    data: TrainingImages | None = None,
    task: dict[str, str] | None = None,
    save_every: int = 500,
) -> Trained:
    torch.manual_seed(settings.seed)
    network = UNet(TINY_PRIOR)
    checkpoint = folder / "x.pt"
    return train(network, using, data or images(), settings, checkpoint, save_every, task)


def same(one: Trained, other: Trained) -> bool:
    states = one.network.state_dict(), other.network.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A training that nobody disturbed."""
    return trained(tmp_path_factory.mktemp("whole"))


def test_the_same_seed_gives_the_same_weights_and_another_others(
    whole: Trained, tmp_path: Path
) -> None:
    again = trained(tmp_path / "again")
    assert same(again, whole)
    assert again.final_loss == whole.final_loss
    torch.manual_seed(SETTINGS.seed)  # the same initial weights, but other batches and noise
    other = train(
        UNet(TINY_PRIOR), loss, images(), replace(SETTINGS, seed=6), tmp_path / "other.pt"
    )
    assert not same(other, whole)


@pytest.mark.parametrize("at", [0, 2, 4])
def test_a_training_stopped_by_ctrl_c_goes_on_bit_for_bit(
    whole: Trained, tmp_path: Path, at: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, using=interrupted(at))
    state = torch.load(tmp_path / "x.pt", weights_only=True)
    assert state["step"] == len(state["losses"]) == at + 1  # its step was finished first
    resumed = trained(tmp_path)
    assert same(resumed, whole)
    assert resumed.final_loss == whole.final_loss


def test_a_killed_training_goes_on_from_its_last_checkpoint(whole: Trained, tmp_path: Path) -> None:
    # The second Ctrl-C does not wait, and nothing is saved: like a kill.
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, using=interrupted(5, times=2), save_every=2)
    assert torch.load(tmp_path / "x.pt", weights_only=True)["step"] == 4
    assert same(trained(tmp_path), whole)


def test_ctrl_c_does_as_before_once_training_is_over(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    trained(tmp_path / "a", replace(SETTINGS, steps=1))
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "b", using=interrupted(0))
    assert signal.getsignal(signal.SIGINT) is before


def test_training_works_in_a_thread_where_no_signal_arrives(whole: Trained, tmp_path: Path) -> None:
    results: list[Trained] = []
    thread = threading.Thread(target=lambda: results.append(trained(tmp_path)))
    thread.start()
    thread.join()
    assert same(results[0], whole)


def test_a_finished_training_is_not_trained_again(whole: Trained, tmp_path: Path) -> None:
    trained(tmp_path)

    def never(*_: object) -> Tensor:
        raise AssertionError

    assert same(trained(tmp_path, using=never), whole)


def test_before_the_rate_falls_the_number_of_steps_does_not_matter(tmp_path: Path) -> None:
    longer = replace(SETTINGS, steps=12)
    assert longer.learning_rate_at(5) == SETTINGS.learning_rate
    expected = trained(tmp_path / "longer", longer)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "taken up", replace(SETTINGS, steps=9), interrupted(3))
    assert same(trained(tmp_path / "taken up", longer), expected)


def test_the_average_is_not_the_last_weights_and_follows_fast_at_first(tmp_path: Path) -> None:
    result = trained(tmp_path)
    state = torch.load(tmp_path / "x.pt", weights_only=True)
    assert not torch.equal(state["network"]["out.2.bias"], state["average"]["out.2.bias"])
    assert torch.equal(result.network.state_dict()["out.2.bias"], state["average"]["out.2.bias"])
    # With a constant decay of 0.999 six steps would leave it at 0.6 % of the way.
    travelled = state["average"]["out.2.bias"].norm() / state["network"]["out.2.bias"].norm()
    assert travelled > 0.5


def test_the_loss_falls_on_data_that_never_change(tmp_path: Path) -> None:
    grey = TrainingImages(torch.full((4, 3, 8, 8), 90, dtype=torch.uint8), "grey")
    settings = TrainingSettings(steps=60, batch=4, learning_rate=2e-3, warmup=5, seed=1)
    trained(tmp_path, settings, data=grey)
    losses = torch.load(tmp_path / "x.pt", weights_only=True)["losses"]
    assert len(losses) == 60
    # An untrained network predicts no noise at all, and errs by its variance, which is 1.
    assert sum(losses[:5]) / 5 > 0.9
    assert sum(losses[-10:]) / 10 < 0.6


def test_the_final_loss_is_the_mean_over_the_last_tenth(tmp_path: Path) -> None:
    result = trained(tmp_path, replace(SETTINGS, steps=20, batch=2))
    losses = torch.load(tmp_path / "x.pt", weights_only=True)["losses"]
    assert result.final_loss == pytest.approx(sum(losses[-2:]) / 2)


def test_every_image_is_seen_once_per_epoch_flipped_or_not(tmp_path: Path) -> None:
    data = images(8)
    seen: list[Tensor] = []

    def watching(network: nn.Module, x0: Tensor, generator: torch.Generator) -> Tensor:
        seen.extend(x0)
        return loss(network, x0, generator)

    trained(tmp_path, replace(SETTINGS, steps=4, batch=2), watching, data)
    originals = data.batch(torch.arange(8))
    kinds = []
    for original in originals:
        plain = sum(torch.equal(one, original) for one in seen)
        flipped = sum(torch.equal(one, original.flip(-1)) for one in seen)
        assert plain + flipped == 1
        kinds.append(flipped)
    assert 0 < sum(kinds) < 8
    assert [torch.equal(a, b) for a, b in zip(seen, originals, strict=True)] != [True] * 8


@pytest.mark.parametrize(
    ("change", "data", "task"),
    [
        ({"seed": 6}, 0, {}),
        ({"learning_rate": 2e-3}, 0, {}),
        ({"batch": 4}, 0, {}),
        ({"precision": "bfloat16"}, 0, {}),
        ({}, 1, {}),
        ({}, 0, {"objective": "released"}),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(
    tmp_path: Path, change: dict[str, Any], data: int, task: dict[str, str]
) -> None:
    one_step = replace(SETTINGS, steps=1)
    trained(tmp_path, one_step)
    before = (tmp_path / "x.pt").read_bytes()
    with pytest.raises(BenchError, match=r"x\.pt belongs to a training with another objective, "):
        trained(tmp_path, replace(one_step, **change), data=images(seed=data), task=task)
    assert (tmp_path / "x.pt").read_bytes() == before


@pytest.mark.parametrize("data", [b"", b"torn", b"PK\x03\x04"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.pt").write_bytes(data)
    with pytest.raises(BenchError, match=r"x\.pt is damaged \(\w+\): remove it to start anew\."):
        trained(tmp_path)


def test_too_few_images_for_a_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="2 images don't fill a batch of 3: give more images or"):
        trained(tmp_path, data=images(2))


def test_a_loss_that_is_no_number_ends_the_training(tmp_path: Path) -> None:
    def broken(network: nn.Module, x0: Tensor, generator: torch.Generator) -> Tensor:
        return loss(network, x0, generator) * torch.nan

    with pytest.raises(BenchError, match="The loss is nan at step 0: lower the learning rate"):
        trained(tmp_path, using=broken)
    assert not (tmp_path / "x.pt").exists()


def test_the_learning_rate_warms_up_stays_and_falls_to_nearly_zero() -> None:
    settings = TrainingSettings(steps=100, learning_rate=1.0, warmup=10, decay_share=0.2)
    rates = [settings.learning_rate_at(step) for step in range(100)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert set(rates[10:81]) == {1.0}
    assert rates[80:] == pytest.approx([1 - step / 20 for step in range(20)])


def test_the_identity_is_that_of_settings_data_and_task_without_the_steps() -> None:
    base = SETTINGS.identity("data", {})
    assert replace(SETTINGS, steps=99).identity("data", {}) == base
    changes: dict[str, Any] = {"batch": 4, "learning_rate": 1.0, "warmup": 1, "decay_share": 0.1}
    changes |= {"ema": 0.5, "seed": 1, "precision": "bfloat16"}
    assert changes.keys() | {"steps"} == asdict(SETTINGS).keys()
    others = [replace(SETTINGS, **{k: v}).identity("data", {}) for k, v in changes.items()]
    others += [SETTINGS.identity("other", {}), SETTINGS.identity("data", {"k": 2})]
    assert len({base, *others}) == len(changes) + 3
