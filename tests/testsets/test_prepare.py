"""Preparation: what is built from a folder, taken up after a stop, confirmed or refused."""

import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bench.testsets.build
from bench.core.errors import BenchError
from bench.core.files import sha256_file, write_bytes
from bench.images import Pixels, encode_png, resize_bicubic
from bench.sharing.audit import audit_testset
from bench.testsets.manifest import Plan, TestSet, open_testset
from bench.testsets.prepare import Prepared, prepare
from bench.testsets.recipe import plan_testset
from bench.testsets.sources import open_source
from tests.small import RECIPE, photos, picture, prepared

WHOLE = (0.0, 0.0, 1.0, 1.0)


def plan(scale: int = 4, size: int | None = None) -> Plan:
    return plan_testset("tiny", RECIPE, scale, size)


def built(
    source: Path, folder: Path, made: Plan | None = None, count: int | None = None
) -> TestSet:
    outcome = prepared(made or plan(), source, folder, count)
    assert not outcome.was_there
    return outcome.testset


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder: relative name -> bytes."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_pictures_are_reduced_and_reduced_again_by_pillows_bicubic(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos", count=3, size=40)
    testset = built(source, tmp_path / "set")
    assert list(testset.entries) == ["face-0", "face-1", "face-2"]
    for seed, image in enumerate(testset.entries):
        hr = resize_bicubic(picture(seed, 40), 16)
        np.testing.assert_array_equal(testset.hr(image), hr)
        np.testing.assert_array_equal(testset.lr(image), resize_bicubic(hr, 4))


def test_a_picture_of_the_right_size_is_not_touched(tmp_path: Path) -> None:
    testset = built(photos(tmp_path / "photos"), tmp_path / "set")
    np.testing.assert_array_equal(testset.hr("face-1"), picture(1))


def test_the_manifest_says_what_lies_there_and_where_it_came_from(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos")
    testset = built(source, tmp_path / "set")
    assert testset.manifest.plan == Plan("tiny", 16, 4, "bicubic", 0, WHOLE)
    assert testset.manifest.licence == "none"
    for entry in testset.manifest.images:
        assert list(entry.files) == [f"hr/{entry.id}.png", f"lr/{entry.id}.png"]
        for name, digest in entry.files.items():
            assert digest == sha256_file(testset.folder / name)
        assert entry.source_sha256 == sha256_file(source / entry.source)
    named = {e.hr for e in testset.manifest.images} | {e.lr for e in testset.manifest.images}
    assert set(contents(testset.folder)) == named | {"manifest.json"}
    assert open_testset(testset.folder) == testset


def test_two_builds_are_equal_to_the_byte_with_one_process_or_several(tmp_path: Path) -> None:
    images = open_source(str(photos(tmp_path / "photos", count=70, size=20)))
    severe = plan_testset("tiny", RECIPE, None, 16, "severe")
    for made in (plan(), severe):
        found = []
        for workers in (1, 3):
            folder = tmp_path / f"{made.name}-{workers}"
            prepare({folder: made}, RECIPE, images, None, workers)
            found.append(contents(folder))
        assert found[0] == found[1]


def test_the_identity_follows_pictures_and_plan_alone(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos")
    first = built(source, tmp_path / "a").manifest
    assert built(source, tmp_path / "b").manifest.sha256 == first.sha256
    assert replace(first, licence="another").sha256 == first.sha256
    others = [
        built(source, tmp_path / "c", plan(scale=2)).manifest,
        built(source, tmp_path / "d", count=3).manifest,
        built(photos(tmp_path / "more", size=17), tmp_path / "e").manifest,
    ]
    assert len({manifest.sha256 for manifest in [first, *others]}) == 4


def test_decomposed_names_of_macos_make_the_test_set_of_composed_ones(tmp_path: Path) -> None:
    names = {form: unicodedata.normalize(form, "Zo\u00eb") for form in ("NFC", "NFD")}
    assert names["NFC"] != names["NFD"]
    made = []
    for form, name in names.items():
        write_bytes(tmp_path / form / f"{name}.png", encode_png(picture(1)))
        made.append(built(tmp_path / form, tmp_path / f"set-{form}").manifest)
    assert made[0].sha256 == made[1].sha256
    assert made[1].images[0].id == names["NFC"]


def test_copies_of_a_cloud_client_are_named_and_change_nothing(tmp_path: Path) -> None:
    testset = built(photos(tmp_path / "photos"), tmp_path / "set")
    copy = tmp_path / "set" / "lr" / "face-1 (1).png"
    copy.write_bytes((tmp_path / "set" / "lr" / "face-1.png").read_bytes())
    assert open_testset(tmp_path / "set") == testset
    (line,) = audit_testset(tmp_path / "set")
    assert "lr/face-1 (1).png" in line


class Stop(Exception):
    """What stops a preparation here."""


def stop_after(monkeypatch: pytest.MonkeyPatch, count: int) -> list[str]:
    """Raise when more than `count` images were degraded; the list grows with each of them."""
    degraded: list[str] = []

    def bicubic(hr: Pixels, scale: int) -> Pixels:
        if len(degraded) == count:
            raise Stop
        degraded.append("")
        return resize_bicubic(hr, len(hr) // scale)

    monkeypatch.setattr(bench.testsets.build, "bicubic", bicubic)
    return degraded


def damage_a_picture(source: Path, folder: Path) -> None:
    write_bytes(folder / "lr" / "face-1.png", b"torn")


def remove_a_picture(source: Path, folder: Path) -> None:
    (folder / "hr" / "face-0.png").unlink()


def tear_the_journal(source: Path, folder: Path) -> None:
    journal = folder / ".progress.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])


def change_a_source(source: Path, folder: Path) -> None:
    write_bytes(source / "face-1.png", encode_png(picture(99)))


def nothing(source: Path, folder: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("between", "redone"),
    [
        (nothing, 3),
        (damage_a_picture, 4),
        (remove_a_picture, 4),
        (tear_the_journal, 4),
        (change_a_source, 4),
    ],
)
def test_a_stopped_preparation_is_taken_up_as_if_it_had_not_been(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    between: Callable[[Path, Path], None],
    redone: int,
) -> None:
    source, folder = photos(tmp_path / "photos", count=6), tmp_path / "set"
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(Stop):
            prepared(plan(), source, folder)
    assert not (folder / "manifest.json").exists()
    between(source, folder)
    with monkeypatch.context() as patch:
        degraded = stop_after(patch, 99)
        built(source, folder)
    assert len(degraded) == redone
    assert contents(folder) == contents(built(source, tmp_path / "undisturbed").folder)


def test_pictures_of_a_stopped_preparation_with_another_plan_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, folder = photos(tmp_path / "photos"), tmp_path / "set"
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(Stop):
            prepared(plan(scale=4), source, folder)
    built(source, folder, plan(scale=2))
    expected = built(source, tmp_path / "undisturbed", plan(scale=2)).folder
    assert contents(folder) == contents(expected)


def test_pictures_of_a_stopped_preparation_of_more_images_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, folder = photos(tmp_path / "photos", count=6), tmp_path / "set"
    with monkeypatch.context() as patch:
        stop_after(patch, 5)
        with pytest.raises(Stop):
            prepared(plan(), source, folder)
    built(source, folder, count=2)
    assert contents(folder) == contents(built(source, tmp_path / "undisturbed", count=2).folder)


def test_the_same_set_is_confirmed_and_not_written_again(tmp_path: Path) -> None:
    source, folder = photos(tmp_path / "photos"), tmp_path / "set"
    first = built(source, folder)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert prepared(plan(), source, folder) == Prepared(first, True)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == times


def test_a_damaged_set_is_not_confirmed(tmp_path: Path) -> None:
    source, folder = photos(tmp_path / "photos"), tmp_path / "set"
    built(source, folder)
    write_bytes(folder / "hr" / "face-2.png", b"")
    with pytest.raises(BenchError, match=r"hr/face-2\.png has changed\. Test set set has changed"):
        prepared(plan(), source, folder)


def test_another_set_in_the_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    source, folder = photos(tmp_path / "photos"), tmp_path / "set"
    built(source, folder)
    before = contents(folder)
    changed = photos(tmp_path / "changed")
    write_bytes(changed / "face-3.png", encode_png(picture(99)))
    others: list[tuple[Plan, Path, int | None]] = [
        (plan(scale=2), source, None),
        (plan(size=8), source, None),
        (replace(plan(), seed=1), source, None),
        (plan(), source, 3),
        (plan(), changed, None),
        (plan(), photos(tmp_path / "more", count=5), None),
    ]
    for other, images, count in others:
        with pytest.raises(BenchError, match="holds a test set made from other images or settings"):
            prepared(other, images, folder, count)
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("made", "count", "message"),
    [
        ({"a.png": b"no image"}, None, r"a\.png can't be read as an image"),
        (
            {"a.png": encode_png(picture(0, 15, width=40))},
            None,
            (
                r"a\.png has 15 usable pixels in an image of 40 x 15, less than the 16 px of the "
                "test set"
            ),
        ),
        ({"a.txt": b""}, None, r"photos holds no images \(\.bmp, .*\.png"),
        ({}, None, r"photos does not exist: give --source a folder, a zip, tar or"),
        ({"a.png": encode_png(picture())}, 2, "photos holds 1 images, but --count is 2"),
        ({"a.png": encode_png(picture())}, 0, "--count is 0, but must be at least 1"),
    ],
)
def test_an_unusable_source_is_refused_and_leaves_no_test_set(
    tmp_path: Path, made: dict[str, bytes], count: int | None, message: str
) -> None:
    for name, data in made.items():
        write_bytes(tmp_path / "photos" / name, data)
    with pytest.raises(BenchError, match=message):
        prepared(plan(), tmp_path / "photos", tmp_path / "set", count)
    assert not (tmp_path / "set" / "manifest.json").exists()


def test_the_first_images_are_taken_and_all_where_a_recipe_has_fewer(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos", count=4)
    for recipe_count, count, taken in [(None, 3, 3), (2, None, 2), (2, 3, 3), (9, None, 4)]:
        recipe = replace(RECIPE, count=recipe_count)
        folder = tmp_path / f"{recipe_count}-{count}"
        testset = prepared(plan(), source, folder, count, recipe).testset
        assert list(testset.entries) == [f"face-{seed}" for seed in range(taken)]
