"""What is to be built: plans, ids, crop boxes, and the recipes of the datasets."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bench.testsets.recipe
from bench.core.errors import BenchError, WrongUsage
from bench.core.files import sha256, write_bytes
from bench.images import decode
from bench.testsets.build import framed
from bench.testsets.manifest import Plan
from bench.testsets.recipe import find_recipe, plan_testset, recipe_files, selection_notes
from bench.testsets.sources import FolderSource, open_source
from tests.small import RECIPE, small_testset

WHOLE = (0.0, 0.0, 1.0, 1.0)
NOWHERE = Path("/nowhere")  # a workspace without recipes of its own


def plan(scale: int = 4, size: int | None = None) -> Plan:
    return plan_testset("tiny", RECIPE, scale, size, "bicubic", seed=0)


@pytest.mark.parametrize("size", [16, 17, 0, -4])
@pytest.mark.parametrize("scale", [3, 0, 1, -4, 32])
def test_a_scale_must_divide_the_size(size: int, scale: int) -> None:
    with pytest.raises(WrongUsage, match=rf"^Scale {scale} does not divide {size} px into"):
        plan(scale, size)


def test_an_unknown_degradation_lists_the_known() -> None:
    with pytest.raises(
        WrongUsage, match=r"no degradation 'bicubik' here: choose bicubic or blind or severe\."
    ):
        plan_testset("tiny", RECIPE, 4, 16, "bicubik", seed=0)


def test_the_name_tells_recipe_size_and_scale() -> None:
    assert plan(scale=8, size=32).name == "tiny-32-x8"
    assert replace(plan(), degradation="blind", scale=1).name == "tiny-16-blind"


def test_ids_tell_nested_folders_apart_and_leave_out_what_is_no_image(tmp_path: Path) -> None:
    names = ("b.png", "a/b.JPG", "a/c/d.e.png", "notes.txt", ".hidden.png", ".git/x.png")
    for name in names:
        write_bytes(tmp_path / name, b"")
    (tmp_path / "folder.png").mkdir()
    source = FolderSource(tmp_path)
    assert source.ids(None) == ["a__b", "a__c__d.e", "b"]
    taken = {photo.id: photo.source for photo in source.photographs({"a__b", "a__c__d.e"})}
    assert taken == {"a__b": "a/b.JPG", "a__c__d.e": "a/c/d.e.png"}


@pytest.mark.parametrize("names", [("a.png", "a.jpg"), ("a/b.png", "a__b.png")])
def test_files_that_would_share_an_id_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        write_bytes(tmp_path / name, b"")
    with pytest.raises(BenchError, match="would get the same name: rename one of them"):
        FolderSource(tmp_path).ids(None)


def gradient(height: int, width: int) -> Image.Image:
    """Red grows by one per column, green by one per row."""
    rows, columns = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([columns, rows, 0 * rows], axis=2).astype(np.uint8))


@pytest.mark.parametrize(
    ("height", "width", "crop", "middle", "side"),
    [
        (100, 100, WHOLE, (49.5, 49.5), 100),
        (60, 100, WHOLE, (49.5, 29.5), 60),  # the central square of a wide image
        (100, 60, WHOLE, (29.5, 49.5), 60),
        (100, 100, (0.18, 0.264, 0.82, 0.904), (49.5, 57.9), 64),
        (100, 200, (0.5, 0.0, 1.0, 0.5), (149.5, 24.5), 50),  # a square within the box
    ],
)
def test_the_crop_box_is_where_the_fractions_say(
    height: int,
    width: int,
    crop: tuple[float, float, float, float],
    middle: tuple[float, float],
    side: int,
) -> None:
    found = framed(gradient(height, width), 16, crop, "x").astype(float)
    # Rounding to 8 bits moves a pixel by a half at most, though it may move all the same way.
    assert found[..., :2].mean(axis=(0, 1)) == pytest.approx(middle, abs=0.501)
    # From the second pixel to the last but one: at the border bicubic lacks half of its support.
    assert found[:, 14, 0] - found[:, 1, 0] == pytest.approx(13 * side / 16, abs=1)
    assert found[14, :, 1] - found[1, :, 1] == pytest.approx(13 * side / 16, abs=1)


def test_a_crop_of_exactly_the_size_is_not_too_small() -> None:
    # 0.82 * 300 - 0.18 * 300 is 191.99999999999997 in floating point.
    crop = (0.18, 0.264, 0.82, 0.904)
    assert framed(gradient(300, 300), 192, crop, "x").shape == (192, 192, 3)
    with pytest.raises(
        BenchError, match="x has 191 usable pixels in an image of 299 x 299, less than"
    ):
        framed(gradient(299, 299), 192, crop, "x")


def test_every_recipe_can_be_read_and_its_source_is_there() -> None:
    names = ["celeba", "celebchild", "ffhq", "lfw", "sample", "webphoto", "wider"]
    assert list(recipe_files(NOWHERE)) == names
    for name in names:
        recipe = find_recipe(name, NOWHERE)
        assert plan_testset(name, recipe, size=64).crop == (0.18, 0.264, 0.82, 0.904)
        assert plan_testset(name, recipe).crop == WHOLE
        assert recipe.ground_truth == (name in {"celeba", "ffhq", "sample"})
    sample = open_source(str(find_recipe("sample", NOWHERE).source))
    assert len(sample.ids(None)) == 40
    (first,) = sample.photographs({"face-00"})
    assert decode(first.data, first.name).size == (256, 256)


def test_a_recipe_is_found_by_its_name_and_a_wrong_box_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        WrongUsage, match=r"no dataset 'celebb': did you mean 'celeba' or 'celebchild'\?"
    ):
        find_recipe("celebb", NOWHERE)
    fields = ["title", "origin", "licence", "alignment", "selection"]
    text = "\n".join(f'{field} = "x"' for field in fields) + "\n[framing]\n64 = "
    monkeypatch.setattr(bench.testsets.recipe, "resource", lambda name: tmp_path)
    for box in ([0.5, 0, 0.5, 1], [0, 0, 1.1, 1], [-0.1, 0, 1, 1], [0, 0.9, 1, 0.1]):
        (tmp_path / "bad.toml").write_text(f"{text}{box}")
        with pytest.raises(
            BenchError, match=r"bad\.toml: framing\.64 is not a box inside the image"
        ):
            find_recipe("bad", NOWHERE)


def test_other_names_and_another_release_are_told(tmp_path: Path) -> None:
    testset = small_testset(tmp_path)
    entries = testset.manifest.images
    files = "".join(f"{entry.id} {entry.source_sha256}\n" for entry in entries)
    names = "".join(f"{entry.id}\n" for entry in entries)
    known = replace(
        RECIPE,
        count=4,
        names_sha256=sha256(names.encode()),
        files_sha256=sha256(files.encode()),
    )
    assert selection_notes(known, testset.manifest) == []
    other = replace(known, files_sha256="0")
    (note,) = selection_notes(other, testset.manifest)
    assert note == "The files differ from the known release of Tiny."
    (note,) = selection_notes(replace(known, names_sha256="0"), testset.manifest)
    assert note == "The image names differ from Tiny's list."
    (note,) = selection_notes(replace(known, count=5), testset.manifest)
    assert note == "Tiny has 5 images, this test set 4."
