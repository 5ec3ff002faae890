"""From images to a checkpoint that methods load: a prior, and both forms of the Corrector."""

import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

import pytest
import torch

from bench.core.errors import BenchError, WrongUsage
from bench.core.files import sha256_file
from bench.engine.models import load_models
from bench.methods import Method, configure, find_method
from bench.networks.checkpoints import Card, read_checkpoint
from bench.training import architectures
from bench.training.data import load_training_images
from bench.training.settings import TrainingSettings
from bench.training.tasks import TrainingTask, corrector_task, prior_task, run_task
from tests.small import TINY_CORRECTOR, TINY_PRIOR, photos

SETTINGS = TrainingSettings(steps=3, batch=2, warmup=2, seed=1)
CPU = torch.device("cpu")
DPI: Method[object] = find_method("dpi")


@pytest.fixture(autouse=True)
def tiny_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(architectures, "PRIOR_64", TINY_PRIOR)
    monkeypatch.setattr(architectures, "CORRECTOR_64", TINY_CORRECTOR)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return photos(tmp_path / "faces", count=6, size=16)


def run(
    task: TrainingTask,
    data: Path,
    out: Path,
    settings: TrainingSettings = SETTINGS,
    start: Path | None = None,
) -> Path:
    path = run_task(task, data, settings, out, start)
    assert path is not None
    return path


def prior(data: Path, out: Path, settings: TrainingSettings = SETTINGS) -> Path:
    return run(prior_task(16), data, out, settings)


def corrector(
    data: Path, out: Path, form: Literal["paper", "released"] = "paper", k: int = 2
) -> Path:
    return run(corrector_task(16, 4, k, form), data, out)


def test_what_is_trained_can_be_used(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    paths = prior(data, out), corrector(data, out)
    assert paths == (out / "prior-16.safetensors", out / "corrector-16-x4.safetensors")
    loaded = load_models(
        configure(DPI, 4, 16), 16, {"prior": str(paths[0]), "corrector": str(paths[1])}, CPU
    )
    assert loaded.models.prior is not None
    assert loaded.models.corrector is not None
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([3, 500])
    assert loaded.models.prior.predict(x, 5).x0_hat.isfinite().all()
    corrected = loaded.models.corrector(x, t, x)
    assert corrected.shape == x.shape
    assert not torch.equal(corrected, x)  # an untrained Corrector adds nothing to its condition


def test_the_averaged_weights_are_written(data: Path, tmp_path: Path) -> None:
    path = prior(data, tmp_path)
    state = torch.load(tmp_path / "prior-16.checkpoint.pt", weights_only=True)
    written = read_checkpoint(path, "prior").state
    assert state["step"] == 3
    for name, value in state["average"].items():
        assert torch.equal(written[name], value.half().float())
    assert any(
        not torch.equal(written[name], v.half().float()) for name, v in state["network"].items()
    )


def test_pictures_and_log_lie_beside_what_was_trained(data: Path, tmp_path: Path) -> None:
    prior(data, tmp_path / "out")
    corrector(data, tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    for name in ("prior-16", "corrector-16-x4"):
        kinds = ("samples.png", "curve.png")
        assert {f"{name}.safetensors", f"{name}.checkpoint.pt"} <= names
        assert {f"{name}-{kind}" for kind in kinds} <= names
        assert list((tmp_path / "out" / "log" / name).glob("events.*"))
    assert len(names) == 9


def test_a_kill_between_the_last_state_and_its_pictures_costs_no_picture(
    data: Path, tmp_path: Path
) -> None:
    prior(data, tmp_path)
    pictures = [tmp_path / f"prior-16-{kind}.png" for kind in ("samples", "curve")]
    before = [path.read_bytes() for path in pictures]
    for path in pictures:
        path.unlink()
    prior(data, tmp_path)
    assert [path.read_bytes() for path in pictures] == before


def test_the_card_says_what_was_done(data: Path, tmp_path: Path) -> None:
    facts = {
        **asdict(SETTINGS),
        "images": 6,
        "data_sha256": load_training_images(data, 16).sha256,
    }
    card = read_checkpoint(prior(data, tmp_path), "prior").card
    assert replace(card, training=None) == Card("prior", 16, TINY_PRIOR, prediction="v")
    assert card.training is not None
    loss, curve = card.training["final_loss"], card.training["curve"]
    assert card.training == {**facts, "objective": "velocity", "final_loss": loss, "curve": curve}
    assert loss > 0
    assert sum(mean > 0 for mean in curve) >= 3  # three steps of two images, in 20 buckets
    card = read_checkpoint(corrector(data, tmp_path, "released"), "corrector").card
    assert replace(card, training=None) == Card("corrector", 16, TINY_CORRECTOR, 4, 2)
    assert card.training is not None
    assert card.training["objective"] == "released"
    assert card.training["degradation"] == "bicubic"


@pytest.mark.parametrize("degradation", ["blind", "severe"])
def test_a_corrector_learns_a_degradation_of_its_own(
    data: Path, tmp_path: Path, degradation: str
) -> None:
    path = run(corrector_task(16, 1, 2, "paper", degradation), data, tmp_path)
    assert path == tmp_path / "corrector-16-x1.safetensors"
    card = read_checkpoint(path, "corrector").card
    assert (card.scale, card.k) == (1, 2)
    assert card.training is not None
    assert card.training["degradation"] == degradation
    with pytest.raises(WrongUsage, match=f"--degradation {degradation} has no scale 4"):
        corrector_task(16, 4, 2, "paper", degradation)


def test_a_corrector_may_learn_from_a_priors_estimates(data: Path, tmp_path: Path) -> None:
    first, second = (
        prior(data, tmp_path / f"prior{seed}", replace(SETTINGS, seed=seed)) for seed in (1, 2)
    )
    plain = corrector(data, tmp_path / "plain")
    one, other = (
        run(corrector_task(16, 4, 2, "paper", prior=p), data, tmp_path / f"from-{p.parent.name}")
        for p in (first, second)
    )
    states = [read_checkpoint(path, "corrector").state for path in (plain, one, other)]
    for a, b in ((0, 1), (1, 2)):
        assert any(not torch.equal(states[a][n], states[b][n]) for n in states[a])
    training = read_checkpoint(one, "corrector").card.training
    assert training is not None
    assert training["prior_sha256"] == sha256_file(first)


def test_a_prior_that_does_not_fit_is_refused(data: Path, tmp_path: Path) -> None:
    path = prior(data, tmp_path)
    with pytest.raises(WrongUsage, match=r"prior-16.safetensors is for 16 px, not 32"):
        corrector_task(32, 4, 2, "paper", prior=path)
    with pytest.raises(WrongUsage, match="--prior and --form released exclude each other"):
        corrector_task(16, 4, 2, "released", prior=path)
    with pytest.raises(BenchError, match="holds a corrector"):
        corrector_task(16, 4, 2, "paper", prior=corrector(data, tmp_path))


def test_blind_degradations_are_drawn_from_the_steps_generator() -> None:
    task = corrector_task(16, 1, 2, "paper", "blind")
    x0 = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    network = task.network(task.card.unet)  # untrained: it gives its condition back
    errors = []
    for seed in (0, 0, 1):
        generator = torch.Generator().manual_seed(seed)
        errors.append(task.objective(network, x0, generator).error.tolist())
    assert errors[0] == errors[1] != errors[2]


def test_the_seed_decides_the_file_and_the_data_do(data: Path, tmp_path: Path) -> None:
    first = prior(data, tmp_path / "a").read_bytes()
    torch.manual_seed(99)  # a global state that must not matter
    assert prior(data, tmp_path / "b").read_bytes() == first
    other = prior(data, tmp_path / "c", replace(SETTINGS, seed=2))
    assert other.read_bytes() != first


@pytest.mark.parametrize(("form", "k"), [("released", 2), ("paper", 4)])
def test_another_objective_does_not_go_on_with_a_checkpoint(
    data: Path, tmp_path: Path, form: Literal["paper", "released"], k: int
) -> None:
    before = corrector(data, tmp_path).read_bytes()
    with pytest.raises(BenchError, match=r"x4\.checkpoint\.pt belongs to another training run \("):
        corrector(data, tmp_path, form, k)
    assert corrector(data, tmp_path).read_bytes() == before


def test_other_images_need_a_word(data: Path, tmp_path: Path) -> None:
    prior(data, tmp_path / "out")
    (data / "face-0.png").unlink()
    longer = replace(SETTINGS, steps=4)
    with pytest.raises(BenchError, match="The images are not those that"):
        prior(data, tmp_path / "out", longer)
    path = run_task(prior_task(16), data, longer, tmp_path / "out", changed_data=True)
    assert path is not None
    training = read_checkpoint(path, "prior").card.training
    assert training is not None
    assert (training["steps"], training["images"]) == (4, 5)


def test_a_training_may_begin_with_other_weights(data: Path, tmp_path: Path) -> None:
    start = corrector(data, tmp_path / "a")
    one_step, at_8 = replace(SETTINGS, steps=1), corrector_task(16, 8, 2, "paper")
    fresh = run(at_8, data, tmp_path / "b", one_step)
    taken = run(at_8, data, tmp_path / "c", one_step, start)
    first, state = read_checkpoint(start, "corrector"), read_checkpoint(taken, "corrector").state
    # One step, at the learning rate 5e-4 / 2, moves no weight by more than that.
    for name, value in first.state.items():
        torch.testing.assert_close(state[name], value, atol=1e-3, rtol=1e-3)
    assert any(not torch.equal(state[name], value) for name, value in first.state.items())
    assert fresh.read_bytes() != taken.read_bytes()
    training = read_checkpoint(taken, "corrector").card.training
    assert training is not None
    assert training["start_sha256"] == first.sha256
    with pytest.raises(
        BenchError, match=r"belongs to another training run \(start corrector-16-x4"
    ):
        run(at_8, data, tmp_path / "c", one_step)
    with pytest.raises(BenchError, match="holds a corrector, but a prior is needed"):
        run(prior_task(16), data, tmp_path / "d", one_step, start)


def test_weights_of_another_architecture_are_no_beginning(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = prior(data, tmp_path / "a")
    monkeypatch.setattr(architectures, "PRIOR_64", replace(TINY_PRIOR, channel_mult=(1, 1)))
    with pytest.raises(BenchError, match=r"prior-16\.safetensors does not fit its network: "):
        run(prior_task(16), data, tmp_path / "b", start=start)


PROCESS = """
import sys, torch
from dataclasses import replace
from pathlib import Path
from bench.training import architectures
from bench.training.tasks import prior_task, run_task
from tests.small import TINY_PRIOR
from tests.training.test_tasks import SETTINGS
architectures.PRIOR_64 = TINY_PRIOR
data, out = map(Path, sys.argv[1:])
print(run_task(prior_task(16), data, replace(SETTINGS, batch=4), out))
"""


def test_two_processes_train_what_one_trains_in_two_passes(data: Path, tmp_path: Path) -> None:
    (tmp_path / "process.py").write_text(PROCESS)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    words = [*launch, str(tmp_path / "process.py"), str(data), str(tmp_path / "two")]
    root = Path(__file__).parents[2]
    environment = {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {"None", str(tmp_path / "two" / "prior-16.safetensors")}
    two = read_checkpoint(tmp_path / "two" / "prior-16.safetensors", "prior").state
    passes = replace(SETTINGS, batch=4, accumulate=2)
    one = read_checkpoint(prior(data, tmp_path / "one", passes), "prior").state
    start = read_checkpoint(prior(data, tmp_path / "none", replace(passes, steps=1)), "prior").state
    moved = sum(float((one[name] - start[name]).abs().mean()) for name in one)
    apart = sum(float((one[name] - two[name]).abs().mean()) for name in one)
    assert apart < 0.02 * moved  # Adam magnifies the rounding of gradients that are nearly zero


@pytest.mark.parametrize(
    ("size", "scale", "k", "message"),
    [
        (16, 3, 2, "scale 3 is not a divisor of the size 16 above 1: choose one"),
        (16, 1, 2, "scale 1 is not a divisor of the size 16"),
        (16, 0, 2, "scale 0 is not a divisor of the size 16"),
        (16, 4, 3, "k 3 is not a divisor of the size 16"),
        (16, 4, 0, "k 0 is not a divisor of the size 16"),
        (9, 3, 3, "Size 9 does not fit the network: choose a multiple of 2"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(size: int, scale: int, k: int, message: str) -> None:
    with pytest.raises(WrongUsage, match=message):
        corrector_task(size, scale, k, "paper")


@pytest.mark.parametrize(("size", "multiple"), [(0, 2), (-2, 2), (15, 2), (100, 16), (200, 32)])
def test_a_prior_of_an_odd_size_is_refused(size: int, multiple: int) -> None:
    message = f"Size {size} does not fit the network: choose a multiple of {multiple}"
    with pytest.raises(WrongUsage, match=message):
        prior_task(size)
