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
    assert lines[0] == f"theirs: 4 images imported, 4 of 4 present, in {run.folder}"
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
    assert "theirs: was imported already, 4 of 4 present" in good("import", "theirs", "made").out
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
    Image.new("RGBA", (16, 16), (9, 9, 9, 128)).save(made / "face-3.png")
    (made / "deeper").mkdir()
    write_bytes(made / "deeper" / "face-9.png", encode_png(picture(9)))
    expected = (
        "Nothing was imported from made. Missing: face-0. Wrong: face-1 (8 x 8, not 16 x 16), "
        "face-2 (no image, or a damaged one), face-3 (transparent). "
        "Not asked for: deeper/face-9.png. To accept that, add --ignore-extra"
    )
    assert refused("theirs", "made") == f"{expected} --partial --resize lanczos."
    only = refused("theirs", "made", "--partial")
    assert only == f"{expected} --resize lanczos.", "it excuses missing ones only"
    assert not runs(home)


def test_missing_ones_can_be_allowed(home: Path) -> None:
    (home / "made" / "face-0.png").unlink()
    said = refused("theirs", "made")
    assert said == (
        "Nothing was imported from made. Missing: face-0. --partial imports the others."
    )
    out = good("import", "theirs", "made", "--partial").out
    assert out.startswith("theirs: 3 images imported, 3 of 4 present, in ")
    good("evaluate")
    (row,) = json.loads(good("report", "--json").out)["methods"]
    assert row["images_done"] == 3


# --- As others' programs write results --------------------------------------------------------


def test_the_pattern_of_restoration_programs_is_proposed_and_works(home: Path) -> None:
    made = home / "made"
    (home / "out" / "restored_faces").mkdir(parents=True)
    (home / "out" / "cmp").mkdir()
    for seed in range(4):
        shutil.copy(made / f"face-{seed}.png", f"out/restored_faces/face-{seed}_00.png")
        shutil.copy(made / f"face-{seed}.png", f"out/cmp/face-{seed}_00.png")
    said = refused("theirs", "out")
    assert said.endswith("add --pattern 'cmp/{image}_00' --ignore-extra."), said
    chosen = ("--pattern", "restored_faces/{image}_00")
    assert "To accept that, add --ignore-extra." in refused("theirs", "out", *chosen)
    assert "4 of 4 present" in good("import", "theirs", "out", *chosen, "--ignore-extra").out


def test_grey_and_opaque_images_become_rgb(home: Path) -> None:
    grey = Image.fromarray(picture(0)[:, :, 0])
    grey.save(home / "made" / "face-0.png")
    Image.fromarray(picture(1)).convert("RGBA").save(home / "made" / "face-1.png")
    good("import", "theirs", "made")
    (run,) = runs(home)
    assert np.array_equal(read_image(run.picture("face-0")), np.asarray(grey.convert("RGB")))
    assert np.array_equal(read_image(run.picture("face-1")), picture(1))


@pytest.mark.parametrize(
    ("name", "filter_"),
    [
        ("lanczos", Image.Resampling.LANCZOS),
        ("bicubic", Image.Resampling.BICUBIC),
        ("area", Image.Resampling.BOX),
    ],
)
def test_results_of_another_size_are_resized_by_the_named_filter(
    home: Path, name: str, filter_: Image.Resampling
) -> None:
    large = picture(5, size=32)
    write_bytes(home / "made" / "face-0.png", encode_png(large))
    assert "To accept that, add --resize lanczos." in refused("theirs", "made")
    good("import", "theirs", "made", "--resize", name)
    (run,) = runs(home)
    expected = np.asarray(Image.fromarray(large).resize((16, 16), filter_))
    assert np.array_equal(read_image(run.picture("face-0")), expected)
    assert run.spec.settings == {"resize": name}


def test_an_image_that_is_not_square_is_not_resized(home: Path) -> None:
    write_bytes(home / "made" / "face-0.png", encode_png(picture(5, size=32, width=16)))
    assert "face-0 (16 x 32, not 16 x 16)" in refused("theirs", "made", "--resize", "area")


@pytest.mark.parametrize("pattern", ["face", "{image}{image}"])
def test_a_pattern_without_one_image_is_refused(pattern: str) -> None:
    said = refused("theirs", "made", "--pattern", pattern, code=2)
    assert (
        said
        == f"--pattern {pattern!r} must contain {{image}} exactly once, such as '{{image}}_00'."
    )


def test_two_files_of_one_image_are_refused(home: Path) -> None:
    shutil.copytree(home / "made", home / "made" / "x")
    said = refused("theirs", "made", "--pattern", "{image}3", code=1)
    assert "Missing: face-0" in said
    (home / "made" / "face-0_00.png").write_bytes((home / "made" / "face-0.png").read_bytes())
    (home / "made" / "face-0_00.jpg").write_bytes((home / "made" / "face-0.png").read_bytes())
    assert "would get the same name" in refused("theirs", "made", "--pattern", "{image}_00")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ddnm", "There is a method ddnm already, "),
        ("vqfr", "There is a method vqfr already, "),
        ("Theirs", "'Theirs' can't be a method's name: use lowercase letters and digits"),
        ("../x", "'../x' can't be a method's name"),
        ("lambda", "'lambda' can't be a method's name"),
        (
            "a" * 31,
            "can't be a method's name: use lowercase letters and digits, in words joined by hy",
        ),
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
