"""`bench export`, `bench verify` of an archive and `bench compare`, from end to end."""

import json
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from bench.core.errors import BenchError
from bench.core.files import BLANK, SEAL, seal
from bench.sharing.bundle import open_bundle, write_bundle
from bench.sharing.export import audit_bundle
from bench.sharing.results import bundle_results
from tests.command import bench as command
from tests.command import good
from tests.small import photos

CONFIG = 'size = 16\nmetrics = ["psnr"]\nmethods = ["bicubic"]\n'
TESTSET = "ffhq-16-x4"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a test set of two pictures and two results on it."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("BENCH_CACHE", str(home / "cache"))
        (home / "bench.toml").write_text(CONFIG)
        photos(home / "photos", count=2, size=16)
        good("prepare", "ffhq", "--source", "photos", "--scale", 4)
        good("run", "bicubic")
        hr = home / "testsets" / TESTSET / "hr"
        good("import", "theirs", hr, "--title", "Theirs")
        good("evaluate")
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it as the current folder."""
    shutil.copytree(made, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "home"


def run_of(home: Path, method: str) -> Path:
    (folder,) = (home / "results" / TESTSET).glob(f"{method}-*")
    return folder


def test_an_export_holds_what_leads_back_to_the_bytes(home: Path) -> None:
    out = good("export", "--out", "all.tar").out
    assert f"Packed 2 runs on {TESTSET} into all.tar" in out
    with tarfile.open("all.tar") as tar:
        names = tar.getnames()
    for method in ("bicubic", "theirs"):
        inside = f"results/{TESTSET}/{run_of(home, method).name}"
        assert {f"{inside}/run.json", f"{inside}/scores.parquet"} <= set(names)
    assert names[:5] == [
        *("manifest.json", "table.json", "table.csv", "table.md"),
        f"testsets/{TESTSET}/manifest.json",
    ]
    assert not any(name.endswith(".png") for name in names)
    bundle = open_bundle(Path("all.tar"))
    assert json.loads(bundle.read("table.json"))["methods"][0]["name"] == "bicubic"
    good("export", "--out", "again.tar")
    assert Path("again.tar").read_bytes() == Path("all.tar").read_bytes()


def test_an_archive_is_verified_and_says_what_it_holds(home: Path) -> None:
    good("export", "bicubic", "--out", "one.tar", "--pictures")
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
    outcome = good("verify", "one.tar")
    assert "Bicubic on ffhq-16-x4" in outcome.out
    assert "2 images, 2 pictures, revision 1 at" in outcome.out
    assert "one.tar: 9 files are intact." in outcome.out
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*")} == before
    data = bytearray(Path("one.tar").read_bytes())
    place = data.rindex(b"IEND")
    data[place] ^= 1
    Path("one.tar").write_bytes(data)
    outcome = command("verify", "one.tar")
    assert outcome.code == 1
    assert "images/face-1.png has changed." in outcome.out
    data[20] ^= 1
    Path("one.tar").write_bytes(data)
    assert "its header has changed" in command("verify", "one.tar").err


def test_unpacked_into_a_workspace_it_is_a_result(home: Path) -> None:
    good("export", "bicubic", "--out", "one.tar", "--pictures")
    shutil.rmtree(home / "results")
    with tarfile.open("one.tar") as tar:
        tar.extractall(home, filter="data")
    assert "Bicubic" in good("report").out
    good("verify", "results")


def test_only_what_is_whole_is_exported(home: Path) -> None:
    folder = run_of(home, "bicubic")
    (folder / "images" / "face-0.png").unlink()
    outcome = command("export", "bicubic", "--out", "x.tar")
    assert outcome.code == 1
    assert "face-0.png is missing. Fix this first" in outcome.err
    (folder / "scores.jsonl").write_bytes(b"")
    assert "is not finished: complete it" in command("export", "bicubic", "--out", "x.tar").err
    assert not Path("x.tar").exists()
    outcome = command("export", "--out", "x.zip")
    assert (outcome.code, "use x.tar" in outcome.err) == (2, True)


Files = dict[str, bytes]


def repacked(home: Path, change: Mapping[str, bytes | None]) -> Path:
    """An export with files put in the place of some; None takes one out. All of it is sealed."""
    good("export", "bicubic", "--out", "one.tar", "--pictures")
    bundle = open_bundle(Path("one.tar"))
    files: dict[str, bytes | Path] = {name: bundle.read(name) for name in bundle.members}
    for name, data in change.items():
        if data is None:
            del files[name]
        else:
            files[name] = data
    write_bundle(home / "odd.tar", files)
    return home / "odd.tar"


def described(home: Path, **changes: Any) -> tuple[str, bytes]:
    """A run's description with other values, sealed: its name in the archive, and its bytes."""
    folder = run_of(home, "bicubic")
    value = {**json.loads((folder / "run.json").read_text()), **changes, SEAL: BLANK}
    return f"results/{TESTSET}/{folder.name}/run.json", seal(json.dumps(value).encode())


def test_what_a_stranger_made_up_is_found(home: Path) -> None:
    inside = f"results/{TESTSET}/{run_of(home, 'bicubic').name}"
    spec = json.loads((run_of(home, "bicubic") / "run.json").read_text())["spec"]
    other = (run_of(home, "theirs") / "images" / "face-0.png").read_bytes()
    manifest = f"testsets/{TESTSET}/manifest.json"
    cases: list[tuple[dict[str, bytes | None], str]] = [
        ({f"{inside}/images/face-0.png": other}, "face-0.png is not in the records."),
        ({f"{inside}/images/face-0.png": None}, "face-0.png is missing."),
        ({f"{inside}/images/face-9.png": other}, "face-9.png is not in the records."),
        ({"run-me.sh": b"#!"}, "run-me.sh is not part of an export."),
        ({manifest: None}, "belongs to a different test set than the packed one."),
        (
            dict([described(home, spec={**spec, "seed": 9})]),
            "holds a different run than its name states",
        ),
        ({f"{inside}/run.json": described(home)[1].replace(b"Bicubic", b"Best")}, "has changed"),
    ]
    for change, says in cases:
        found = audit_bundle(open_bundle(repacked(home, change))).found
        assert any(says in line for line in found), (says, found)
    assert audit_bundle(open_bundle(repacked(home, {}))).found == ()


def test_what_cannot_be_read_in_an_archive_is_named(home: Path) -> None:
    inside = f"results/{TESTSET}/{run_of(home, 'bicubic').name}"
    cases: list[tuple[dict[str, bytes | None], str]] = [
        ({f"{inside}/records.parquet": b"x"}, "records.parquet is damaged"),
        ({f"{inside}/scores.parquet": b"x"}, "scores.parquet is damaged"),
        ({f"{inside}/run.json": b"[" * 5000}, "is damaged"),
        (dict([described(home, variants=3)]), "variants is absent or wrong"),
        ({f"testsets/{TESTSET}/manifest.json": b"{}"}, "is not a manifest of format 1"),
    ]
    for change, says in cases:
        archive = repacked(home, change)
        for read in (audit_bundle, bundle_results):
            with pytest.raises(BenchError, match=says) as caught:
                read(open_bundle(archive))
            assert "odd.tar" in str(caught.value)  # and not a temporary folder
    with pytest.raises(BenchError, match=r"lacks results/.*records\.parquet"):
        audit_bundle(open_bundle(repacked(home, {f"{inside}/records.parquet": None})))


def test_a_title_that_means_harm_is_shown_as_text(home: Path) -> None:
    archive = repacked(home, dict([described(home, title="=1\x1b[31m\nodd.tar: <script>")]))
    for out in (good("verify", archive).out, good("compare", archive, "theirs").out):
        assert "<script>" in out
        assert "\x1b" not in out
        assert "\nodd.tar: <script>" not in out  # a line of its own could say anything


def test_results_are_compared_wherever_they_lie(home: Path) -> None:
    good("export", "--out", "all.tar")
    folder = run_of(home, "theirs")
    for one in ("bicubic", "all.tar:bicubic", run_of(home, "bicubic").name[:10]):
        for other in ("theirs", "all.tar:theirs", folder, f"results/{TESTSET}:theirs"):
            value = json.loads(good("compare", one, other, "--json").out)
            (made,) = value["comparisons"]
            assert [made[side]["title"] for side in "ab"] == ["Bicubic", "Theirs"]
            assert made["metrics"][0]["b"] == "Infinity"  # they are the originals
            assert made["metrics"][0]["better_images"] == 2
            assert (made["images"], made["identical_pictures"]) == (2, 0)


def test_a_run_below_the_root_of_the_file_system_is_compared(home: Path) -> None:
    """It has no folders above it that could be a workspace."""
    with TemporaryDirectory() as made:
        shutil.copytree(run_of(home, "bicubic"), made, dirs_exist_ok=True)
        out = good("compare", made, "bicubic").out
    assert "2 of 2 images are byte-identical." in out


def test_an_archive_without_results_is_said_to_be_one(home: Path) -> None:
    write_bundle(home / "empty.tar", {"table.md": b"nothing"})
    assert "empty.tar holds no results" in command("compare", "empty.tar", "bicubic").err
    assert "empty.tar: 1 files are intact." in good("verify", "empty.tar").out


def test_two_archives_are_compared_run_by_run(home: Path) -> None:
    good("export", "--out", "all.tar")
    good("export", "bicubic", "--out", "one.tar")
    out = good("compare", "all.tar", "one.tar").out
    assert "2 of 2 images are byte-identical." in out
    assert "No recorded fact of how they were made differs." in out
    assert f"Without a counterpart: {run_of(home, 'theirs').name} of all.tar." in out
    markdown = good("compare", "all.tar", "one.tar", "--markdown").out
    assert markdown.startswith("### Bicubic, Bicubic\n")


def test_a_test_set_that_is_part_of_another_is_compared_on_that_part(home: Path) -> None:
    good("prepare", "ffhq", "--source", "photos", "--scale", 4, "--count", 1, "--name", "part")
    good("run", "bicubic", "--testset", "part")
    out = good("compare", f"results/{TESTSET}:bicubic", "results/part").out
    assert "compared are the 1 images whose HR and LR files are the same in both" in out
    assert "1 of 1 images are byte-identical" in out
    good("prepare", "ffhq", "--source", "photos", "--scale", 2, "--name", "other")
    good("run", "bicubic", "--testset", "other")
    outcome = command("compare", "results/other", "results/part")
    assert outcome.code == 1
    assert "without a common image" in outcome.err


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("nope.tar", "bicubic"), 2, "nope.tar does not exist"),
        (("nope.tar:x", "bicubic"), 2, "nope.tar does not exist"),
        (("bicubic", "nope"), 1, "There are no results of nope"),
        (("bicubic", "theirs", "--json", "--markdown"), 2, "exclude each other"),
        ((f"results/{TESTSET}:x", "theirs"), 1, "has no result 'x': it holds"),
        (("bench.toml", "theirs"), 1, "is not an archive written by `bench export`"),
    ],
)
def test_what_cannot_be_compared_is_said(
    home: Path, words: tuple[str, ...], code: int, says: str
) -> None:
    outcome = command("compare", *words)
    assert outcome.code == code
    assert says in outcome.err
