"""Training again from a checkpoint's card gives the same file, or says why it can't."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench.core.errors import BenchError
from bench.core.files import sha256_file
from bench.core.paths import checkpoints
from bench.networks.checkpoints import read_card
from bench.training.again import _start, _task, train_again
from bench.training.settings import SMALL
from bench.training.tasks import TrainingTask, corrector_task, prior_task, run_task, sr3_task
from tests.command import good
from tests.small import photos

FEW = replace(SMALL, steps=2, batch=2, learning_rate=1e-3)


def tasks() -> dict[str, TrainingTask]:
    return {
        "a prior of eps": prior_task(16, "eps"),
        "a prior of v": prior_task(16, "v"),
        "a Corrector": corrector_task(16, 4, 2, "paper"),
        "a blind Corrector": corrector_task(16, 1, 2, "released", "blind"),
        "SR3": sr3_task(16, 4, "l2"),
        "a prior of a known dataset": prior_task(16).with_dataset("ffhq"),
    }


@pytest.mark.parametrize("name", tasks())
def test_the_card_is_the_recipe(name: str, tmp_path: Path) -> None:
    data = photos(tmp_path / "faces", 4)
    first = run_task(tasks()[name], data, FEW, tmp_path / "first")
    assert first is not None
    second = tmp_path / "again"
    good("train", "again", first, "--data", data, "--out", second)
    assert sha256_file(second / first.name) == sha256_file(first)


def test_a_start_is_found_by_its_hash_or_asked_for(tmp_path: Path) -> None:
    data = photos(tmp_path / "faces", 4)
    start = run_task(prior_task(16), data, FEW, tmp_path / "start")
    made = run_task(prior_task(16), data, FEW, tmp_path / "made", start)
    assert start is not None
    assert made is not None
    with pytest.raises(BenchError, match=r"began with prior-16 of sha256 .*give it with --start-f"):
        train_again(made, data, tmp_path / "again")
    again = train_again(made, data, tmp_path / "again", start)
    assert again is not None
    assert sha256_file(again) == sha256_file(made)
    with pytest.raises(BenchError, match="started from random weights: remove --start-from"):
        train_again(start, data, tmp_path / "other", made)


def test_other_images_are_refused_or_allowed(tmp_path: Path) -> None:
    made = run_task(prior_task(16), photos(tmp_path / "faces", 4), FEW, tmp_path / "made")
    assert made is not None
    others = photos(tmp_path / "others", 5)
    with pytest.raises(BenchError, match="differs from the images that the network was trained on"):
        train_again(made, others, tmp_path / "again")
    assert train_again(made, others, tmp_path / "again", changed_data=True)


MAKEFILE = (Path(__file__).parents[2] / "Makefile").read_text(encoding="utf-8")
RETRAINED = re.findall(r"^MODELS := (.*)$", MAKEFILE, re.MULTILINE)[0].split()
"""The networks of `make models`, in order."""


def test_make_models_retrains_all_but_the_prior() -> None:
    shipped = {path.stem for path in checkpoints().glob("*.safetensors")}
    assert shipped - set(RETRAINED) == {"prior-64"}  # it began with a file that is gone


@pytest.mark.parametrize("name", RETRAINED)
def test_these_embedded_networks_can_be_trained_again(name: str) -> None:
    path = checkpoints() / f"{name}.safetensors"
    card = read_card(path)
    task = _task(path, card)
    assert (task.card.kind, task.card.unet, task.name) == (card.kind, card.unet, name)
    start = _start(path, dict(card.training or {}), None)
    assert start is None or start.stem in RETRAINED[: RETRAINED.index(name)]
