"""The training loop: reproducible, taken up bit for bit, refused where it would mislead."""

import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.core.errors import BenchError, Terminated
from bench.diffusion.schedule import Schedule
from bench.diffusion.unet import UNet
from bench.training.checkpoint import TrainingCheckpoint
from bench.training.data import TrainingImages
from bench.training.loop import Objective, Trained, train
from bench.training.objectives import Losses, draw_noise, draw_timesteps, prior_loss
from bench.training.processes import native_precision
from bench.training.settings import TrainingSettings
from tests.small import TINY_PRIOR

SCHEDULE = Schedule.linear()
SETTINGS = TrainingSettings(steps=6, batch=3, learning_rate=1e-3, warmup=2, seed=5)


def images(count: int = 8, seed: int = 0) -> TrainingImages:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8, generator=generator)
    return TrainingImages(pixels, f"hash {seed}")


def loss(network: nn.Module, x0: Tensor, generator: torch.Generator) -> Losses:
    t = draw_timesteps(len(x0), SCHEDULE, generator)
    return prior_loss(network, SCHEDULE, x0, t, draw_noise(x0, generator))


def interrupted(at: int, *signals: signal.Signals) -> Objective:
    """The loss, with signals in the midst of the step of this number, counted from 0."""
    calls = 0

    def stopping(network: nn.Module, x0: Tensor, generator: torch.Generator) -> Losses:
        nonlocal calls
        if calls == at:
            for number in signals:
                signal.raise_signal(number)
        calls += 1
        return loss(network, x0, generator)

    return stopping


def trained(
    folder: Path,
    settings: TrainingSettings = SETTINGS,
    using: Objective = loss,
    data: TrainingImages | None = None,
    every: int = 500,
) -> Trained:
    torch.manual_seed(settings.seed)
    network = UNet(TINY_PRIOR)
    given = data or images()
    facts = settings.facts() | {"data_sha256": given.sha256}
    checkpoint = TrainingCheckpoint(folder / "x.pt", facts)
    result = train(network, using, given, settings, checkpoint, every=every)
    assert result is not None
    return result


def state_of(folder: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(folder / "x.pt", weights_only=True)
    return state


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
    other = trained(tmp_path / "other", replace(SETTINGS, seed=6))
    assert not same(other, whole)


@pytest.mark.parametrize(
    ("at", "number", "raised"),
    [
        (0, signal.SIGINT, KeyboardInterrupt),
        (2, signal.SIGINT, KeyboardInterrupt),
        (4, signal.SIGTERM, Terminated),
    ],
)
def test_a_training_stopped_by_a_signal_goes_on_bit_for_bit(
    whole: Trained,
    tmp_path: Path,
    at: int,
    number: signal.Signals,
    raised: type[KeyboardInterrupt],
) -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        trained(tmp_path, using=interrupted(at, number))
    assert caught.type is raised
    state = state_of(tmp_path)
    assert state["step"] == len(state["losses"]) == at + 1  # its step was finished first
    resumed = trained(tmp_path)
    assert same(resumed, whole)
    assert (resumed.final_loss, resumed.curve) == (whole.final_loss, whole.curve)


def test_a_killed_training_goes_on_from_its_last_checkpoint(whole: Trained, tmp_path: Path) -> None:
    # The second Ctrl-C does not wait, and nothing is saved: like a kill.
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, using=interrupted(5, signal.SIGINT, signal.SIGINT), every=2)
    assert state_of(tmp_path)["step"] == 4
    assert same(trained(tmp_path), whole)


def test_signals_do_as_before_once_training_is_over(tmp_path: Path) -> None:
    numbers = signal.SIGINT, signal.SIGTERM
    before = [signal.getsignal(number) for number in numbers]
    trained(tmp_path / "a", replace(SETTINGS, steps=1))
    assert [signal.getsignal(number) for number in numbers] == before
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "b", using=interrupted(0, signal.SIGINT))
    assert [signal.getsignal(number) for number in numbers] == before


def test_training_works_in_a_thread_where_no_signal_arrives(whole: Trained, tmp_path: Path) -> None:
    results: list[Trained] = []
    thread = threading.Thread(target=lambda: results.append(trained(tmp_path)))
    thread.start()
    thread.join()
    assert same(results[0], whole)


def test_a_finished_training_is_not_trained_again(whole: Trained, tmp_path: Path) -> None:
    trained(tmp_path)

    def never(*_: object) -> Losses:
        raise AssertionError

    assert same(trained(tmp_path, using=never), whole)


def test_before_the_rate_falls_the_number_of_steps_does_not_matter(tmp_path: Path) -> None:
    longer = replace(SETTINGS, steps=12)
    assert longer.learning_rate_at(5) == SETTINGS.learning_rate
    expected = trained(tmp_path / "longer", longer)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "taken up", replace(SETTINGS, steps=9), interrupted(3, signal.SIGINT))
    assert same(trained(tmp_path / "taken up", longer), expected)


def test_the_average_is_not_the_last_weights_and_follows_fast_at_first(tmp_path: Path) -> None:
    result = trained(tmp_path)
    state = state_of(tmp_path)
    assert not torch.equal(state["network"]["out.2.bias"], state["average"]["out.2.bias"])
    assert torch.equal(result.network.state_dict()["out.2.bias"], state["average"]["out.2.bias"])
    # With a constant decay of 0.999 six steps would leave it at 0.6 % of the way.
    travelled = state["average"]["out.2.bias"].norm() / state["network"]["out.2.bias"].norm()
    assert travelled > 0.5


def test_the_loss_falls_on_data_that_never_change(tmp_path: Path) -> None:
    grey = TrainingImages(torch.full((4, 3, 8, 8), 90, dtype=torch.uint8), "grey")
    settings = TrainingSettings(steps=60, batch=4, learning_rate=2e-3, warmup=5, seed=1)
    trained(tmp_path, settings, data=grey)
    losses = state_of(tmp_path)["losses"]
    assert len(losses) == 60
    # An untrained network predicts no noise at all, and errs by its variance, which is 1.
    assert sum(losses[:5]) / 5 > 0.9
    assert sum(losses[-10:]) / 10 < 0.6


def test_the_final_loss_is_the_mean_over_the_last_tenth(tmp_path: Path) -> None:
    result = trained(tmp_path, replace(SETTINGS, steps=20, batch=2))
    losses = state_of(tmp_path)["losses"]
    assert result.final_loss == pytest.approx(sum(losses[-2:]) / 2)


def test_every_image_is_seen_once_per_epoch_flipped_or_not(tmp_path: Path) -> None:
    data = images(8)
    seen: list[Tensor] = []

    def watching(network: nn.Module, x0: Tensor, generator: torch.Generator) -> Losses:
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


def test_too_few_images_for_a_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="2 images do not fill a batch of 3: give more images or"):
        trained(tmp_path, data=images(2))


def test_a_loss_that_is_no_number_ends_the_training(tmp_path: Path) -> None:
    def broken(network: nn.Module, x0: Tensor, generator: torch.Generator) -> Losses:
        whole = loss(network, x0, generator)
        return replace(whole, objective=whole.objective * torch.nan)

    with pytest.raises(BenchError, match="The loss is nan at step 0: lower the learning rate"):
        trained(tmp_path, using=broken)
    assert not (tmp_path / "x.pt").exists()


def test_a_batch_in_parts_is_shared_evenly_and_moves_the_weights_as_often(tmp_path: Path) -> None:
    parts: list[int] = []

    def counting(network: nn.Module, x0: Tensor, generator: torch.Generator) -> Losses:
        parts.append(len(x0))
        return loss(network, x0, generator)

    settings = replace(SETTINGS, steps=2, batch=4, accumulate=2)
    trained(tmp_path, settings, counting)
    assert parts == [2, 2, 2, 2]
    moments = state_of(tmp_path)["optimizer"]["state"][0]
    assert moments["step"] == 2
    with pytest.raises(BenchError, match="A batch of 4 does not split evenly into 3 passes"):
        trained(tmp_path / "odd", replace(settings, accumulate=3))


def test_parts_add_up_to_the_gradient_of_the_whole(tmp_path: Path) -> None:
    """With a loss that draws nothing, two passes of 4 images are one of 8."""

    def plain(network: nn.Module, x0: Tensor, generator: torch.Generator) -> Losses:
        t = torch.full((len(x0),), 300)
        error = (network(x0, t)[:, :3] - x0.abs()).square().mean(dim=(1, 2, 3))
        return Losses(error, t, error.detach())

    half = images(8).pixels[..., :4]
    symmetric = TrainingImages(torch.cat([half, half.flip(-1)], -1), "a flip changes nothing")
    settings = replace(SETTINGS, steps=3, batch=8)
    one = trained(tmp_path / "one", settings, plain, symmetric)
    two = trained(tmp_path / "two", replace(settings, accumulate=2), plain, symmetric)
    for name, value in one.network.state_dict().items():
        # Adam divides by the gradient's own size: where that is rounding alone, single weights
        # may part by the learning rate, 1e-3; on the mean by less than a tenth of it.
        assert (two.network.state_dict()[name] - value).abs().mean() < 1e-4


def test_mixed_precision_trains_other_weights_and_leaves_no_trace(
    whole: Trained, tmp_path: Path
) -> None:
    mixed = trained(tmp_path / "mixed", replace(SETTINGS, precision="bfloat16"))
    assert not same(mixed, whole)
    assert all(value.dtype == torch.float32 for value in mixed.network.state_dict().values())
    assert same(trained(tmp_path / "after"), whole)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(
    ("units", "expected"),
    [
        ({"amx_bf16": False, "avx512_bf16": True}, "bfloat16"),
        ({"amx_bf16": True, "avx512_bf16": False}, "bfloat16"),
        ({"bf16": True}, "bfloat16"),
        ({"amx_bf16": False, "avx512_bf16": False}, "float32"),
        ({}, "float32"),
    ],
)
def test_the_native_precision_follows_the_processors_units(
    units: dict[str, bool], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: units)
    assert native_precision() == expected


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_float16_without_a_gpu_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="float16 needs a GPU: choose --precision bfloat16"):
        trained(tmp_path, replace(SETTINGS, precision="float16"))


def test_the_average_follows_the_weights_by_the_complement_of_its_decay(tmp_path: Path) -> None:
    """After each step average = decay * average + (1 - decay) * weights (Polyak averaging)."""
    seen: list[list[Tensor]] = []

    def watching(network: nn.Module, x0: Tensor, generator: torch.Generator) -> Losses:
        seen.append([p.detach().clone() for p in network.parameters()])
        return loss(network, x0, generator)

    # Without the fall of the learning rate, one step more begins with the same six.
    settings = replace(SETTINGS, decay_share=0.0)
    whole = trained(tmp_path / "six", settings, using=watching)
    trained(tmp_path / "seven", replace(settings, steps=7), using=watching)
    weights = [*seen[:6], seen[12]]  # before each step, and after the sixth
    average = weights[0]
    for step, now in enumerate(weights[1:]):
        decay = min(SETTINGS.ema, (1 + step) / (10 + step))
        average = [decay * a + (1 - decay) * w for a, w in zip(average, now, strict=True)]
    for mine, theirs in zip(average, whole.network.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs.detach())
