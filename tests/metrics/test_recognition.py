"""CS, ACC and FACES: against DeepFace.verify called by hand, and what becomes of lost faces."""

import importlib.util
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.concurrency import pooled_map
from bench.core.errors import BenchError, WrongUsage
from bench.core.files import write_bytes
from bench.core.paths import cache_folder
from bench.images import Pixels, encode_png, read_image, resize_bicubic
from bench.metrics import find_measure, recognition
from bench.metrics.features.cache import FeatureCache
from bench.metrics.features.extractor import Features
from bench.metrics.protocol import STRICT, Protocol
from bench.metrics.recognition import (
    PAPER,
    SETTINGS,
    Distance,
    FaceMetric,
    Faces,
    Found,
    Recognition,
    Verified,
    configured,
)
from bench.metrics.scoring.evaluate import score_runs
from bench.store.run import Run
from bench.store.schema import RunSpec
from bench.testsets.recipe import plan_testset
from tests.small import RECIPE, prepared

DATA = Path(__file__).parents[3] / "shared" / "data" / "celebahq256"
SAMPLE = Path(__file__).parents[2] / "datasets" / "sample" / "images"
DLIB = Faces("Dlib", "opencv")


@pytest.fixture(scope="module")
def deepface(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The package as the metrics use it, with dlib's weights and no others."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DEEPFACE_HOME", "DEEPFACE_BACKEND_ENGINE", "DEEPFACE_LOG_LEVEL"):
            patch.setenv(name, "")
            patch.delenv(name)  # what is set there is undone in the end
        patch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield recognition.deepface(DLIB.weights)


def faces(count: int) -> list[Pixels]:
    """Real photographs; where these are not beside the repository, sample faces."""
    source = DATA if DATA.is_dir() else SAMPLE
    return [resize_bicubic(read_image(p), 256) for p in sorted(source.glob("*.png"))[:count]]


def metric(kind: type[FaceMetric], **changes: Any) -> FaceMetric:
    setting = Recognition(**{"model": "Dlib", "threshold": 0.07, **changes})
    return kind("x", "X", False, "", 4, 0, setting=setting)


def test_a_link_to_other_weights_is_replaced_at_once(deepface: Any) -> None:
    """Several processes make it at a time, and others read through it."""
    assert DLIB.weights is not None
    link = cache_folder() / "deepface" / ".deepface" / "weights" / DLIB.weights.name
    assert link.resolve() == DLIB.weights.resolve()
    link.unlink()
    link.symlink_to("elsewhere")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(recognition.deepface, [DLIB.weights] * 64))
    assert link.resolve() == DLIB.weights.resolve()
    assert list(link.parent.iterdir()) == [link]


def test_equals_verify_called_by_hand(deepface: Any, tmp_path: Path) -> None:
    hr = faces(2)
    sr = resize_bicubic(resize_bicubic(hr[0], 64), 256)
    paths = [tmp_path / name for name in ("sr.png", "same.png", "other.png")]
    for path, pixels in zip(paths, (sr, *hr), strict=True):
        write_bytes(path, encode_png(pixels))
    seen, *originals = DLIB.extract([sr, *hr])
    verified = []
    for path, original in zip(paths[1:], originals, strict=True):
        expected = deepface.verify(
            str(paths[0]), str(path), model_name="Dlib", enforce_detection=False
        )
        assert metric(Distance).compare(seen, original) == expected["distance"]
        assert metric(Verified).compare(seen, original) == 100.0 * expected["verified"]
        verified.append(expected["verified"])
        for distance in ("euclidean", "euclidean_l2", "angular"):
            expected = deepface.verify(
                *(features["embeddings"][0].tolist() for features in (seen, original)),
                model_name="Dlib",
                distance_metric=distance,
                silent=True,
            )
            changes = {"distance": distance, "threshold": expected["threshold"]}
            assert metric(Distance, **changes).compare(seen, original) == expected["distance"]
            assert metric(Verified, **changes).compare(seen, original) == (
                100.0 * expected["verified"]
            )
    assert verified[0]


def test_a_picture_without_a_face_is_embedded_whole_only_where_the_setting_says(
    deepface: Any,
) -> None:
    face, grey = faces(1)[0], np.full((256, 256, 3), 128, np.uint8)
    seen, lost = DLIB.extract([face, grey])
    assert (seen["found"][0], lost["found"][0]) == (1, 0)
    assert metric(Distance).compare(lost, seen) == "no face was found"
    assert metric(Verified).compare(seen, lost) == "no face was found in the original"
    assert metric(Found).compare(lost, seen) == 0.0
    assert metric(Found).compare(seen, lost) == 100.0
    expected = deepface.verify(grey, face[:, :, ::-1], model_name="Dlib", enforce_detection=False)
    assert metric(Distance, whole=True).compare(lost, seen) == expected["distance"]


@pytest.mark.usefixtures("deepface")
def test_the_nearest_of_several_faces_counts() -> None:
    one, other = faces(2)
    both = np.concatenate([one, other], axis=1)
    seen, first, second = DLIB.extract([both, one, other])
    assert len(seen["embeddings"]) == 2
    for alone in (first, second):
        found = metric(Distance).compare(seen, alone)
        assert isinstance(found, float)
        assert found < 0.02  # the same face in another picture


@pytest.mark.usefixtures("deepface")
def test_several_processes_embed_as_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers: list[int] = []

    def counted(function: Any, pictures: Any, workers: int) -> Any:
        numbers.append(workers)
        return pooled_map(function, pictures, workers)

    one, other = faces(2)
    pictures = [one, np.full((256, 256, 3), 128, np.uint8), other]
    monkeypatch.setattr("bench.metrics.features.extractor.pooled_map", counted)
    monkeypatch.setattr("bench.metrics.features.extractor._WORTH_PROCESSES", 1)
    found = {}
    for count in ("1", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", count)
        found[count] = DLIB.extract(pictures)
    assert numbers == [1, 2]
    assert [features["found"][0] for features in found["2"]] == [1, 0, 1]
    for serial, parallel in zip(found["1"], found["2"], strict=True):
        np.testing.assert_array_equal(serial["embeddings"], parallel["embeddings"])


@pytest.mark.usefixtures("deepface")
def test_originals_are_embedded_once_for_all_metrics_and_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: Counter[bytes] = Counter()
    extract = Faces.extract

    def counted(self: Faces, pictures: Sequence[Pixels], device: str = "cpu") -> list[Features]:
        seen.update(pixels.tobytes() for pixels in pictures)
        return extract(self, pictures)

    monkeypatch.setattr(Faces, "extract", counted)
    for index, pixels in enumerate(faces(2)):
        write_bytes(tmp_path / "photos" / f"{index}.png", encode_png(pixels))
    plan = plan_testset("tiny", RECIPE, 4, 256, "bicubic", seed=0)
    testset = prepared(plan, tmp_path / "photos", tmp_path / "testsets" / plan.name).testset
    for repetition, size in enumerate((64, 128)):
        spec = RunSpec("m", 1, {}, testset.manifest.sha256, {}, 0, repetition)
        run = Run.open(tmp_path / "results", testset.name, "M", spec, {})
        restored = {
            image: resize_bicubic(resize_bicubic(testset.hr(image), size), 256)
            for image in testset.entries
        }
        run.write(restored, seconds=1.0, evaluations=0)
    columns = [find_measure(name) for name in ("cs-dlib", "acc-dlib", "faces-dlib")]
    score_runs(testset, tmp_path / "results", columns)
    assert set(seen.values()) == {1}
    assert len(seen) == 6
    table = run.scores()
    assert table is not None
    assert list(table["metric"]) == ["cs-dlib", "acc-dlib", "faces-dlib"] * 2
    original = testset.manifest.images[0].hr_sha256
    assert original is not None
    kept = FeatureCache(tmp_path / "results" / testset.name / "features")
    assert kept.has(DLIB.identity, original)


def test_tensorflow_and_torch_are_not_touched(tmp_path: Path) -> None:
    program = (
        "import sys, numpy; from bench.metrics.recognition import Faces;"
        "Faces('Dlib', 'opencv').extract([numpy.zeros((32, 32, 3), numpy.uint8)]);"
        "print(sorted({'tensorflow', 'keras', 'torch'} & set(sys.modules)))"
    )
    environment = os.environ | {"BENCH_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_names_stand_for_settings() -> None:
    def setting(name: str) -> Recognition:
        measure = find_measure(name)
        assert isinstance(measure, FaceMetric)
        return measure.setting

    assert setting("cs") == Recognition("VGG-Face", 0.68, "opencv", "cosine", whole=False)
    assert setting("acc-paper") == PAPER == Recognition("VGG-Face", 0.4, whole=True)
    assert setting("acc-arcface").model == "ArcFace"
    assert setting("faces-facenet512").threshold == 0.3


def test_the_paper_protocol_takes_the_papers_setting() -> None:
    cs, dlib = find_measure("cs"), find_measure("cs-dlib")
    assert isinstance(cs, Distance)
    assert cs.under(STRICT) == cs
    assert cs.under(Protocol("paper")).setting == PAPER
    assert dlib.under(Protocol("paper")) == dlib


def test_settings_of_ones_own() -> None:
    tables = {"mine": {"model": "Dlib", "threshold": 0.1, "detector": "skip"}}
    own = configured(tables, "bench.toml.recognition")
    assert list(own) == ["cs-mine", "acc-mine", "faces-mine"]
    assert own["acc-mine"].title == "ACC (mine)"
    assert "threshold 0.1" in own["acc-mine"].key
    with pytest.raises(WrongUsage, match=r"recognition\.mine has no 'treshold': did you mean"):
        configured({"mine": {"model": "Dlib", "treshold": 0.1}}, "bench.toml.recognition")


def test_identities_differ_where_values_may() -> None:
    options: list[dict[str, Any]] = [
        {},
        {"threshold": 0.1},
        {"distance": "euclidean"},
        {"whole": True},
        {"detector": "skip"},
        {"model": "ArcFace"},
    ]
    keys = {metric(kind, **o).key for o in options for kind in (Distance, Verified)}
    assert len(keys) == 2 * len(options)


NO_FACE: dict[str, Pixels] = {
    "grey": np.full((256, 256, 3), 128, np.uint8),
    "black": np.zeros((64, 64, 3), np.uint8),
    "noise": np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8),
    "stripes": np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (256, 1, 3)),
    "16 px of noise": np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8),
}


@pytest.mark.usefixtures("deepface")
@pytest.mark.parametrize("detector", sorted({setting.detector for setting in SETTINGS.values()}))
@pytest.mark.parametrize("picture", NO_FACE)
def test_no_detector_takes_what_is_no_face_for_one(detector: str, picture: str) -> None:
    """Else DeepFace embeds the whole image, and everything would be verified."""
    (seen,) = Faces("Dlib", detector).extract([NO_FACE[picture]])
    original = {"embeddings": np.ones((1, 128)), "found": np.array([1.0])}
    assert seen["found"][0] == 0
    assert metric(Found, detector=detector).compare(seen, original) == 0.0
    assert metric(Verified, detector=detector).compare(seen, original) == "no face was found"
    assert metric(Verified, detector=detector).compare(seen, seen) == "no face was found"


@pytest.mark.parametrize(("distance", "value"), [(0.069, 100.0), (0.07, 100.0), (0.0701, 0.0)])
def test_acc_is_100_up_to_the_threshold(
    distance: float, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    acc = find_measure("acc-dlib")
    assert isinstance(acc, Verified)
    assert acc.setting.threshold == 0.07
    monkeypatch.setattr(FaceMetric, "distance", lambda self, sr, hr: distance)
    face = {"embeddings": np.ones((1, 2)), "found": np.array([1.0])}
    assert acc.compare(face, face) == value


def test_without_weights_or_packages_the_command_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    assert find_measure("cs-arcface").unavailable() == (
        "arcface_weights.onnx is missing: run `bench weights get arcface`."
    )
    found = importlib.util.find_spec
    for lost in ("dlib", "werkzeug"):
        monkeypatch.setattr(
            "bench.core.paths.find_spec", lambda n, lost=lost: None if n == lost else found(n)
        )
        assert find_measure("acc-dlib").unavailable() == (
            f"{lost} not installed: run `pip install -e '.[recognition]'`."
        )
    with pytest.raises(BenchError, match="Recognition: werkzeug not installed"):
        DLIB.extract(faces(1))


@pytest.mark.usefixtures("deepface")
def test_an_unknown_model_is_told() -> None:
    with pytest.raises(BenchError, match="DeepFace can't embed faces by Nobody"):
        Faces("Nobody", "opencv").extract(faces(1))
