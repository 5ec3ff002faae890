"""A program of others as a method: a real one, with an environment that clashes with ours."""

import dataclasses
import errno
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

import baselines
import bench.methods.catalogue
from bench.core.errors import BenchError, WrongUsage
from bench.core.files import sha256_file
from bench.diffusion.noise import KeyedNoise, StreamKey
from bench.engine.experiment import Experiment
from bench.engine.provenance import OUTSIDE
from bench.engine.run import Finished
from bench.images import Pixels, read_image, resize_bicubic, to_model, to_pixels
from bench.methods import Method, Problem, configure, find_method, method_names
from bench.methods.authoring.conformance import STAND_INS, check_method
from bench.methods.external import exchange, process
from bench.methods.external.installation import Installation
from bench.methods.external.process import clean_environment
from bench.methods.external.program import Limits, Program, Weights
from bench.testsets.manifest import TestSet
from tests.command import good
from tests.running import run_method
from tests.small import picture, small_testset
from tests.small_program import describe, git, install, program_repository

SCALE = 4
LR = {f"face-{seed}": picture(seed, 4) for seed in range(3)}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the program's repository, and with bench's cache where it is set up."""
    folder = tmp_path_factory.mktemp("place")
    program = describe(folder / "baselines", program_repository(folder / "program"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(folder / "cache"))
        install(program)
        yield folder


@pytest.fixture
def program(place: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """The program, found as a method beside ours."""
    own = str(place / "baselines")
    monkeypatch.setattr(baselines, "__path__", [*baselines.__path__, own])
    return describe(place / "baselines", place / "program")


@pytest.fixture
def installed(program: Program) -> Installation:
    return Installation(program)


def changed(program: Program, **changes: Any) -> Program:
    return dataclasses.replace(
        program, description=dataclasses.replace(program.description, **changes)
    )


def restore(program: Program, **settings: Any) -> tuple[dict[str, Pixels], str]:
    chosen = dataclasses.replace(program.settings(SCALE), **settings)
    results, delivery = exchange.run_program(program, LR, SCALE, chosen)
    return results, str(delivery)


def enlarged(lr: Pixels, brighter: int, scale: int = SCALE) -> Pixels:
    large = lr.repeat(scale, 0).repeat(scale, 1)
    return np.minimum(large.astype(int) + brighter, 255).astype(np.uint8)


# What comes back


def test_the_program_runs_in_its_own_environment(installed: Installation) -> None:
    results, wrong = restore(installed.program)
    assert wrong == ""
    assert results.keys() == LR.keys()
    for image, lr in LR.items():
        assert np.array_equal(results[image], enlarged(lr, brighter=5))
    assert np.__version__ != "0.1"
    assert f"numpy 0.1 in {installed.python.parents[1]}" in installed.log.read_text()


def test_settings_are_those_of_the_scale_and_may_be_changed(program: Program) -> None:
    method = find_method("enlarger")
    assert method.settings(8).brighter == 0
    configured = method.configured(4, {"mischief": "x"})
    assert dataclasses.asdict(configured) == {"brighter": 5, "mischief": "x"}
    with pytest.raises(WrongUsage, match=r"settings\.enlarger has no 'brightr': did you mean"):
        method.configured(4, {"brightr": 1})
    with pytest.raises(WrongUsage, match=r"brighter is 'much', but must be a whole number"):
        method.configured(4, {"brighter": "much"})
    results, _ = restore(program, brighter=30)
    assert np.array_equal(results["face-1"], enlarged(LR["face-1"], brighter=30))


@pytest.mark.parametrize(
    ("mischief", "said"),
    [
        ("missing", "Missing: face-1."),
        ("small", "Wrong: face-1 (8 x 16, not 16 x 16)."),
        ("transparent", "Wrong: face-1 (transparent)."),
        ("text", "Wrong: face-1 (no image, or a damaged one)."),
        ("truncated", "Wrong: face-1 (no image, or a damaged one)."),
        ("outside", "Missing: face-1."),
        ("link", "Missing: face-1."),
    ],
)
def test_what_is_right_is_taken_and_the_rest_is_listed(
    program: Program, mischief: str, said: str
) -> None:
    results, wrong = restore(program, mischief=mischief)
    assert wrong == said
    assert list(results) == ["face-0", "face-2"]


def test_other_pictures_make_all_of_them_doubtful(program: Program) -> None:
    with pytest.raises(BenchError, match=r"no result was accepted\. Not asked for: another\.png\."):
        restore(program, mischief="extra")
    elsewhere = changed(program, result="{image}-large.png")
    missing = r"Missing: face-0, face-1, face-2\. Not asked for: face-0\.png, face-1\.png, face-2"
    with pytest.raises(BenchError, match=missing):
        restore(elsewhere)


def test_a_failure_shows_the_end_of_the_log(installed: Installation) -> None:
    with pytest.raises(BenchError) as failure:
        restore(installed.program, mischief="crash")
    first, *_, last, where = str(failure.value).splitlines()
    assert first == "enlarger: python failed with exit code 1. The end of its output:"
    assert last == "    RuntimeError: out of memory, says the program"
    assert where == f"Full output: {installed.log}"
    assert "faces face-0.png face-1.png face-2.png" in installed.log.read_text()


def test_a_program_that_admits_its_failure_has_failed(program: Program) -> None:
    with pytest.raises(BenchError, match="it printed 'Failed inference', which means"):
        restore(program, mischief="admit")


def test_a_program_has_a_time_limit(program: Program) -> None:
    limits = dataclasses.replace(program.description.limits, start=0.7, image=0.1)
    started = time.monotonic()
    with pytest.raises(BenchError, match=r"(?s)did not end within 1 seconds.*going to sleep"):
        restore(changed(program, limits=limits), mischief="hang")
    assert time.monotonic() - started < 20  # and not the minute that it sleeps


def test_a_program_has_a_memory_limit(program: Program) -> None:
    limits = dataclasses.replace(program.description.limits, memory=0.2)
    with pytest.raises(BenchError, match=r"(?s)failed with exit code 1.*MemoryError"):
        restore(changed(program, limits=limits), mischief="hoard")
    _, wrong = restore(program, mischief="hoard")  # the limit, and nothing else, stopped it
    assert wrong == ""


def test_a_program_that_prints_without_end_is_ended(
    installed: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "LOG", 2**20)
    with pytest.raises(BenchError, match=r"(?s)python printed more than 1 MiB.*still at work"):
        restore(installed.program, mischief="babble")
    assert "numpy 0.1" in installed.log.read_text()[:20]


def test_what_a_program_leaves_has_a_limit(program: Program, tmp_path: Path) -> None:
    limits = dataclasses.replace(program.description.limits, output=2**-6)
    with pytest.raises(BenchError, match=r"python wrote more than 0\.015625 GiB of results"):
        restore(changed(program, limits=limits), mischief="flood")
    quick = ("sh", "-c", "head -c 20000000 /dev/zero > {output}/x; exit 0")  # over before a look
    with pytest.raises(BenchError, match="sh wrote more than"):
        restore(changed(program, limits=limits, command=quick))
    beside = ("sh", "-c", f"head -c 20000000 /dev/zero > {tmp_path}/x")
    _, wrong = restore(changed(program, limits=limits, command=beside))
    assert wrong == "Missing: face-0, face-1, face-2."


def test_what_a_program_starts_has_its_memory_limit_too(program: Program) -> None:
    limits = dataclasses.replace(program.description.limits, memory=0.25)
    command = ("sh", "-c", "sleep 0.2; sh -c 'ulimit -d'")
    restore(changed(program, command=command, limits=limits))
    assert Installation(program).log.read_text().strip() == str(2**28 // 1024)


def test_inputs_can_only_be_read(program: Program) -> None:
    restore(changed(program, command=("ls", "-la", "{input}")))
    lines = Installation(program).log.read_text().splitlines()
    modes = {line.split()[-1]: line.split()[0] for line in lines[1:]}
    assert modes["."] == "dr-xr-xr-x"
    assert {modes[f"{image}.png"] for image in LR} == {"-r--r--r--"}


@pytest.mark.parametrize("kind", ["absent", "full"])
def test_a_temporary_folder_without_room_is_named(
    program: Program, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if kind == "full":
        monkeypatch.setattr(exchange, "write_bytes", full)
    else:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(BenchError, match=rf"The temporary folder {tmp_path} can't be .*set TMPDIR"):
        restore(program)


def test_nothing_that_a_program_started_outlives_it(program: Program, tmp_path: Path) -> None:
    left = tmp_path / "left"
    command = ("sh", "-c", f"(sleep 1; touch {left}) & exit 1")
    with pytest.raises(BenchError, match="sh failed with exit code 1, and printed nothing"):
        restore(changed(program, command=command))
    time.sleep(1.5)
    assert not left.exists()


def test_a_command_that_is_not_there(program: Program) -> None:
    with pytest.raises(BenchError, match=r"enlarger: ./no-such can't be started: No such file"):
        restore(changed(program, command=("./no-such",)))


def test_the_environment_is_clean(
    installed: Installation, monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    for name in ("PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV", "BENCH_TOKEN", "GIT_DIR"):
        monkeypatch.setenv(name, str(place))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    restore(installed.program)
    (line,) = [
        line for line in installed.log.read_text().splitlines() if line.startswith("environ")
    ]
    seen = set(line.partition("[")[2].strip("]").replace("'", "").split(", "))
    assert not seen & {"PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV", "BENCH_TOKEN", "GIT_DIR"}
    assert seen >= {"PATH", "CUDA_VISIBLE_DEVICES", "PYTHONNOUSERSITE"}
    assert clean_environment({"PATH": "x", "AWS_SECRET": "y"}).keys() & {"PATH", "AWS_SECRET"} == {
        "PATH"
    }


def test_variables_of_the_description_are_set(program: Program) -> None:
    environment = dataclasses.replace(
        program.description.environment, install=(), variables={"MINE": "1"}
    )
    other = dataclasses.replace(
        changed(program, command=("env",), environment=environment), name="other"
    )
    installation = install(other)
    _, wrong = restore(other)
    assert wrong == "Missing: face-0, face-1, face-2."
    assert "MINE=1" in installation.log.read_text().splitlines()


def test_inputs_are_laid_out_and_enlarged_as_described(program: Program, tmp_path: Path) -> None:
    inputs = {"test/LR": "lr", "test/HR": "enlarged"}
    copy = ("cp", "-r", "{input}/test", str(tmp_path / "seen"))
    described = changed(program, inputs=inputs, command=copy, size=32, reduced=True)
    results, wrong = restore(described)
    assert (results, wrong) == ({}, "Missing: face-0, face-1, face-2.")
    for image, lr in LR.items():
        assert np.array_equal(read_image(tmp_path / f"seen/LR/{image}.png"), lr)
        expected = resize_bicubic(lr, 32)
        assert np.array_equal(read_image(tmp_path / f"seen/HR/{image}.png"), expected)


def test_larger_results_are_reduced_where_the_description_allows_it(program: Program) -> None:
    command = tuple(word.replace("{scale}", "8") for word in program.description.command)
    large = changed(program, command=command, size=32, reduced=True)
    results, wrong = restore(large)
    assert wrong == ""
    for image, lr in LR.items():
        assert np.array_equal(results[image], resize_bicubic(enlarged(lr, 5, 8), 16))
    with pytest.raises(WrongUsage, match=r"produces 32 px images, but 16 px are needed: prepare"):
        restore(changed(large, reduced=False))
    with pytest.raises(WrongUsage, match=r"produces 8 px images.* of at most 8 px with --size"):
        restore(changed(large, size=8))
    with pytest.raises(WrongUsage, match=r"supports x8 and x16 only, not x4\."):
        restore(changed(program, scales=(8, 16)))


# As a method


def test_doctor_says_what_is_set_up(
    installed: Installation, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def row() -> str:
        (found,) = [line for line in good("doctor").out.splitlines() if "enlarger" in line]
        return " ".join(found.split())

    monkeypatch.chdir(place)
    assert row() == "enlarger set up"
    monkeypatch.setenv("BENCH_CACHE", str(place / "empty"))
    remedy = "run `bench external setup enlarger`."
    assert row() == f"enlarger missing -> enlarger is not installed: {remedy}"


@pytest.fixture
def testset(tmp_path: Path) -> TestSet:
    return small_testset(tmp_path, count=5, scale=SCALE)


def run(testset: TestSet, **settings: Any) -> Finished:
    results = testset.folder.parents[1] / "results"
    return run_method("enlarger", Experiment(testset, results, {"enlarger": settings}, batch=2))


def test_it_is_an_ordinary_method(installed: Installation, testset: TestSet) -> None:
    assert "enlarger" in method_names()
    method = find_method("enlarger")
    assert (method.title, method.kind, method.licence) == ("Enlarger", "external", "none needed")
    finished = run(testset)
    assert finished.restored == 5
    faces = [line for line in installed.log.read_text().splitlines() if line.startswith("faces")]
    assert faces == ["faces " + " ".join(f"face-{seed}.png" for seed in range(5))], "in one call"
    for image in testset.entries:
        expected = enlarged(testset.lr(image), brighter=5)
        assert np.array_equal(read_image(finished.run.picture(image)), expected)
    assert {record.evaluations for record in finished.run.records().values()} == {None}
    assert finished.run.description["provenance"]["not_promised"] == [OUTSIDE]
    assert run(testset).restored == 0
    finished.run.picture("face-3").unlink()
    assert run(testset).restored == 1
    assert "faces face-3.png\n" in installed.log.read_text()


def test_what_came_back_is_kept_and_the_rest_handed_over_again(
    installed: Installation, testset: TestSet
) -> None:
    first = run(testset, mischief="missing")  # leaves out the second picture of a call
    assert (first.restored, list(first.failed)) == (4, ["face-1"])
    broken = "enlarger did not return every image. Missing: face-1. Its log: "
    assert first.failed["face-1"].startswith(broken)
    finished = run(testset, mischief="missing")
    assert finished.restored == 1
    assert "faces face-1.png\n" in installed.log.read_text()
    assert finished.run.finished
    assert list(finished.run.records()) == list(testset.entries)


def test_the_identity_covers_all_that_the_pictures_depend_on(
    installed: Installation, testset: TestSet, place: Path
) -> None:
    fingerprint = installed.fingerprint()
    assert fingerprint["commit"] == git(place / "program", "rev-parse", "HEAD")
    first = run(testset).run.spec
    assert first.weights == fingerprint
    assert run(testset, brighter=6).run.spec.identity != first.identity
    changes: list[dict[str, Any]] = [
        {"command": (*installed.program.description.command, "--more")},
        {"result": "x/{image}.png"},
        {"inputs": {"x": "lr"}},
        {"size": 16},
        {"reduced": True},
    ]
    for change in changes:
        other = Installation(changed(installed.program, **change)).fingerprint()
        assert other["program"] != fingerprint["program"], change
    told = changed(installed.program, title="X", batch=7, limits=Limits(1, 1))
    assert Installation(told).fingerprint() == fingerprint


def test_weights_are_part_of_the_identity_and_checked(installed: Installation) -> None:
    place = installed.repository / "weights.bin"
    weights = Weights(source="the author's page", files=("weights.bin",))
    program = changed(installed.program, weights=(weights,))
    with pytest.raises(
        BenchError, match=r"needs weights\.bin: get it from the author's page and pl"
    ):
        restore(program)
    try:
        place.write_bytes(b"\x07")
        results, _ = restore(program)
        assert np.array_equal(results["face-0"], enlarged(LR["face-0"], brighter=5 + 7))
        digest = sha256_file(place)
        assert Installation(program).fingerprint()["weights.bin"] == digest
        known = dataclasses.replace(weights, sha256={"weights.bin": digest})
        Installation(changed(program, weights=(known,))).fingerprint()
        place.write_bytes(b"\x08")
        with pytest.raises(BenchError, match=f"is not the published file.* not {digest}"):
            restore(changed(program, weights=(known,)))
    finally:
        place.unlink(missing_ok=True)


def test_a_changed_repository_is_refused(installed: Installation) -> None:
    file = installed.repository / "enlarge.py"
    before = file.read_bytes()
    try:
        file.write_bytes(before + b"\n")
        with pytest.raises(BenchError, match=r"has changed since installation: run `bench exter"):
            restore(installed.program)
    finally:
        file.write_bytes(before)


def test_it_passes_the_test_of_every_method(program: Program) -> None:
    assert check_method(find_method("enlarger")) == []


def test_another_method_can_make_use_of_it(program: Program) -> None:
    dr2 = find_method("dr2")

    def enhanced_by(name: str) -> Tensor:
        noise = KeyedNoise([StreamKey(0, image) for image in LR])
        problem = Problem(to_model(list(LR.values())), SCALE, noise, STAND_INS)
        return configure(dr2, SCALE, 4 * SCALE, {"dr2": {"enhancer": name}}).restore(problem)

    # At scale 1 bicubic changes nothing, and the program adds what its settings say at the scale.
    own = to_pixels(enhanced_by("bicubic"))
    brighter = [np.minimum(picture, 250) + np.uint8(5) for picture in own]
    assert np.array_equal(to_pixels(enhanced_by("enlarger")), brighter)


def test_a_part_of_another_methods_help_is_no_result(
    program: Program, testset: TestSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def borrow(problem: Problem, settings: Any) -> Tensor:
        lender = find_method("enlarger")
        return -lender.restore(problem, lender.configured(SCALE, {"mischief": "missing"}))

    borrower = Method("borrower", "Borrower", program.settings, borrow)
    monkeypatch.setattr(bench.methods.catalogue, "find_method", lambda name: borrower)
    results = testset.folder.parent / "results"
    finished = run_method("borrower", Experiment(testset, results, batch=4))
    # Of a batch it leaves out the second picture; single ones it gives back.
    assert finished.failed == {}
    for image in testset.entries:
        negative = 255 - enlarged(testset.lr(image), brighter=5)
        assert np.array_equal(read_image(finished.run.picture(image)), negative)
