"""The state of a training on disk: refused where it would mislead, whole or absent always."""

import errno
import shutil
from collections import namedtuple
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch
from torch import nn

from bench.core.errors import BenchError
from bench.training.checkpoint import TrainingCheckpoint
from bench.training.settings import PAPER, SMALL, TrainingSettings, preset

FACTS = {"batch": 16, "objective": "paper", "data_sha256": "one"}


def checkpoint(folder: Path, **changes: Any) -> TrainingCheckpoint:
    return TrainingCheckpoint(folder / "x.pt", FACTS | changes)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    assert checkpoint(tmp_path).load() is None
    checkpoint(tmp_path).save({"step": 3, "weights": torch.arange(3)})
    state = checkpoint(tmp_path).load()
    assert state is not None
    assert state["step"] == 3
    assert torch.equal(state["weights"], torch.arange(3))


def test_a_checkpoint_of_another_training_is_refused_by_what_differs(tmp_path: Path) -> None:
    checkpoint(tmp_path).save({"step": 3})
    before = (tmp_path / "x.pt").read_bytes()
    message = (
        r"belongs to another training run \(batch 16 there, 8 now; k None there, 4 now\): give"
    )
    with pytest.raises(BenchError, match=message):
        checkpoint(tmp_path, batch=8, k=4).load()
    assert (tmp_path / "x.pt").read_bytes() == before


def test_other_images_are_refused_unless_told(tmp_path: Path) -> None:
    checkpoint(tmp_path).save({"step": 3})
    other = checkpoint(tmp_path, data_sha256="two")
    with pytest.raises(BenchError, match=r"The images are not those .* --changed-data to continue"):
        other.load()
    state = other.load(changed_data=True)
    assert state is not None
    assert state["step"] == 3


def test_facts_are_kept_as_plain_values_whatever_type_they_came_in(tmp_path: Path) -> None:
    class Precision(StrEnum):
        BFLOAT16 = "bfloat16"

    facts = {"precision": Precision.BFLOAT16, "factors": (1, 2)}
    checkpoint(tmp_path, **facts).save({"step": 3})
    for again in (facts, {"precision": "bfloat16", "factors": [1, 2]}):
        state = checkpoint(tmp_path, **again).load()
        assert state is not None
        assert state["step"] == 3


@pytest.mark.parametrize("data", [b"", b"torn", b"PK\x03\x04"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.pt").write_bytes(data)
    with pytest.raises(BenchError, match=r"x\.pt is damaged \(\w+\): remove it to start again\."):
        checkpoint(tmp_path).load()


def test_a_disk_that_fills_while_saving_leaves_the_former_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint(tmp_path).save({"step": 3})

    def full(state: object, file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(BenchError, match=r"x\.pt can't be written: the disk is full"):
        checkpoint(tmp_path).save({"step": 4})
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["x.pt"]
    state = checkpoint(tmp_path).load()
    assert state is not None
    assert state["step"] == 3


def test_too_little_room_is_found_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = nn.Linear(1024, 1024, bias=False)  # 2^20 parameters: 32 MiB for two states
    usage = namedtuple("usage", ["total", "used", "free"])
    asked: list[Path] = []

    def free(mebibytes: int) -> None:
        def there(path: Path) -> Any:
            asked.append(path)
            return usage(0, 0, mebibytes << 20)

        monkeypatch.setattr(shutil, "disk_usage", there)

    inside = TrainingCheckpoint(tmp_path / "not" / "yet" / "x.pt", FACTS)
    free(31)
    with pytest.raises(
        BenchError, match=r"yet has 31 MiB free, but .* needs 32: free some space, or"
    ):
        inside.check_room(network)
    free(33)
    inside.check_room(network)
    assert asked == [tmp_path, tmp_path]  # what is not there yet will lie where its parent lies


def test_the_learning_rate_warms_up_stays_and_falls_to_nearly_zero() -> None:
    settings = TrainingSettings(steps=100, learning_rate=1.0, warmup=10, decay_share=0.2)
    rates = [settings.learning_rate_at(step) for step in range(100)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert set(rates[10:81]) == {1.0}
    assert rates[80:] == pytest.approx([1 - step / 20 for step in range(20)])


def test_the_facts_of_settings_are_all_but_the_steps() -> None:
    facts = SMALL.facts()
    assert "steps" not in facts
    assert TrainingSettings(**facts, steps=SMALL.steps) == SMALL


def test_the_papers_preset_is_its_configuration_throughout() -> None:
    paper = preset("paper", batch=8, seed=None)
    assert paper == preset("paper", batch=8)
    assert (paper.batch, paper.steps, paper.learning_rate, paper.ema) == (8, 100_000, 1e-5, 0.9999)
    assert {PAPER.learning_rate_at(step) for step in (0, 50_000, 99_999)} == {1e-5}
