"""Networks that saw a test set's images in training are named under its table."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.core.files import sha256_file
from bench.core.paths import checkpoints
from bench.networks.checkpoints import write_checkpoint
from bench.networks.registry.records import find_record, records
from bench.report.tables.contamination import EMBEDDED, contamination_notes
from bench.report.tables.table import Row
from bench.store.run import Run
from bench.store.schema import RunSpec
from bench.testsets.recipe import recipe_files
from bench.training.tasks import prior_task

PRIOR = find_record("prior-256").sha256 or ""
OWN = sha256_file(checkpoints() / "prior-64.safetensors")


def run(tmp_path: Path, method: str, **weights: str) -> Run:
    return Run.open(tmp_path, "set", method, RunSpec(method, 1, {}, "t", weights, 0), {})


def notes(tmp_path: Path, recipe: str) -> list[str]:
    runs = [
        run(tmp_path, "bicubic"),
        run(tmp_path, "ddnm", prior=PRIOR),
        run(tmp_path, "dpi", prior=PRIOR, corrector="f" * 64),
        run(tmp_path, "ddrm", prior=OWN),
    ]
    rows = [Row(r.spec.method, r.spec.method.upper(), {}, 0) for r in runs]
    return list(contamination_notes(rows, runs, recipe))


def test_every_network_that_may_have_seen_the_images_is_named_once(tmp_path: Path) -> None:
    (note,) = notes(tmp_path, "ffhq")
    assert note.startswith("DDNM, DPI: prior-256 was trained on FFHQ; sources disagree whether")
    assert notes(tmp_path, "celeba") == [f"DDRM: the embedded prior-64 was {EMBEDDED['celeba']}."]
    assert notes(tmp_path, "lfw") == []


def test_a_network_of_ones_own_states_its_dataset(tmp_path: Path) -> None:
    file = tmp_path / "prior-16.safetensors"
    task = prior_task(16).with_dataset("ffhq")
    card = replace(task.card, training=dict(task.facts))
    write_checkpoint(file, task.network(card.unet), card)
    digest = sha256_file(file)
    facts = {"weights": {"prior": str(file)}}
    spec = RunSpec("ddnm", 1, {}, "t", {"prior": digest}, 0)
    made = Run.open(tmp_path / "results", "set", "ddnm", spec, facts)
    row = Row("ddnm", "DDNM", {}, 0)
    (note,) = contamination_notes([row], [made], "ffhq")
    assert note == f"DDNM: sha256 {digest[:8]} was trained on ffhq, as its card states."
    assert not list(contamination_notes([row], [made], "lfw"))
    write_checkpoint(file, task.network(card.unet), card)  # another network by now
    assert not list(contamination_notes([row], [made], "ffhq"))


@pytest.mark.parametrize("name", records())
def test_statements_are_about_recipes_that_exist(name: str, tmp_path: Path) -> None:
    assert find_record(name).trained_on.keys() <= recipe_files(tmp_path).keys()
