"""`bench import`: pictures that were made elsewhere become a run, all of them or none."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.core.files import sha256_file, write_bytes
from bench.images import encode_png, read_image
from bench.store.run import Run, list_runs
from tests.command import bench as command
from tests.command import good
from tests.small import picture, small_testset


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a test set of four images, and results for all of them in `made`."""
    (tmp_path / "bench.toml").write_text('metrics = ["psnr"]\ntestset = "tiny-16-x4"\n')
    monkeypatch.chdir(tmp_path)
    small_testset(tmp_path)
    for seed in range(4):
        write_bytes(tmp_path / "made" / f"face-{seed}.png", encode_png(picture(seed)))
    return tmp_path


def runs(home: Path) -> list[Run]:
    return list_runs(home / "results", "tiny-16-x4")


def refused(*arguments: str, code: int = 1) -> str:
    outcome = command("import", *arguments)
    assert outcome.code == code, outcome
    return outcome.err.splitlines()[-1].removeprefix("error: ")


def test_imported_pictures_are_a_run_like_any_other(home: Path) -> None:
    lines = good("import", "theirs", "made", "--title", "Their method").out.splitlines()
    (run,) = runs(home)
    assert lines[0] == f"theirs: 4 images imported, 4 of 4 are there, in {run.folder}"
    for seed in range(4):
        assert np.array_equal(read_image(run.picture(f"face-{seed}")), picture(seed))
    assert run.finished
    assert run.description["provenance"]["imported"] == str(home / "made")
    records = run.records().values()
    assert {(record.seconds, record.evaluations) for record in records} == {(None, None)}
    good("evaluate")
    (row,) = json.loads(good("report", "theirs", "--json").out)["methods"]
    assert (row["title"], row["images_done"]) == ("Their method", 4)
    # The results are the HR images themselves.
    assert row["scores"]["psnr"]["value"] == "Infinity"


def test_the_same_files_are_the_same_run_and_others_another(home: Path) -> None:
    good("import", "theirs", "made")
    assert "theirs: was imported already, 4 of 4 are there" in good("import", "theirs", "made").out
    shutil.copytree("made", "copy")
    good("import", "theirs", "copy")
    assert len(runs(home)) == 1, "the files count, not the folder"
    write_bytes(home / "copy" / "face-2.png", encode_png(picture(9)))
    good("import", "theirs", "copy")
    assert len(runs(home)) == 2
    assert len({run.spec.identity for run in runs(home)}) == 2


def test_lost_pictures_are_imported_again(home: Path) -> None:
    good("import", "theirs", "made")
    (run,) = runs(home)
    before = sha256_file(run.picture("face-1"))
    run.picture("face-1").unlink()
    assert "theirs: 1 images imported, 4 of 4" in good("import", "theirs", "made").out
    assert sha256_file(run.picture("face-1")) == before


def test_all_that_is_wrong_is_listed_and_nothing_imported(home: Path) -> None:
    made = home / "made"
    (made / "face-0.png").unlink()
    write_bytes(made / "face-1.png", encode_png(picture(1, size=8)))
    (made / "face-2.png").write_text("no picture")
    Image.new("L", (16, 16)).save(made / "face-3.png")
    (made / "deeper").mkdir()
    write_bytes(made / "deeper" / "face-9.png", encode_png(picture(9)))
    expected = (
        "Nothing was imported from made. Missing: face-0. Wrong: face-1 (8 x 8, not 16 x 16), "
        "face-2 (no image, or a damaged one), face-3 (mode L, not RGB). "
        "Not asked for: deeper/face-9.png."
    )
    assert refused("theirs", "made") == expected
    assert refused("theirs", "made", "--partial") == expected, "it excuses missing ones only"
    assert not runs(home)


def test_missing_ones_can_be_allowed(home: Path) -> None:
    (home / "made" / "face-0.png").unlink()
    said = refused("theirs", "made")
    assert said == (
        "Nothing was imported from made. Missing: face-0. --partial imports the others."
    )
    out = good("import", "theirs", "made", "--partial").out
    assert out.startswith("theirs: 3 images imported, 3 of 4 are there, in ")
    good("evaluate")
    (row,) = json.loads(good("report", "--json").out)["methods"]
    assert row["images_done"] == 3


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ddnm", "There is a method ddnm already, "),
        ("vqfr", "There is a method vqfr already, "),
        ("Theirs", "'Theirs' can't be a method's name: use small letters and digits"),
        ("../x", "'../x' can't be a method's name"),
        ("lambda", "'lambda' can't be a method's name"),
        ("a" * 31, "can't be a method's name: use small letters and digits, in words joined by hy"),
    ],
)
def test_names_that_cannot_be(home: Path, name: str, said: str) -> None:
    assert said in refused(name, "made", code=2)
    assert not runs(home)


def test_a_folder_that_holds_nothing(home: Path) -> None:
    assert refused("theirs", "nowhere") == (
        "nowhere is not a folder: give one with the results as image files."
    )
    (home / "empty").mkdir()
    assert refused("theirs", "empty").startswith("empty holds no images")


def test_methods_lists_what_was_imported() -> None:
    good("import", "theirs", "made")
    rows = {row["name"]: row for row in json.loads(good("methods", "--json").out)["methods"]}
    assert (rows["theirs"]["type"], rows["theirs"]["runs"]) == ("imported", False)
    assert "its results were imported" in rows["theirs"]["reason"]
