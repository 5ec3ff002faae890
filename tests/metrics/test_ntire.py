"""The NTIRE ranking: formula, thresholds, AdaFace's network and alignment; LMD and Deg."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.core.errors import BenchError
from bench.images import Pixels, read_image, resize_bicubic
from bench.metrics import find_measure, landmarks, ntire, recognition
from bench.metrics.base import FeatureMetric
from bench.metrics.features import adaface
from bench.metrics.features.extractor import Features
from bench.metrics.presets import PRESETS
from bench.metrics.protocol import Protocol
from bench.testsets.align import five_points

SAMPLE = Path(__file__).parents[2] / "datasets" / "sample" / "images"
FACES = Path(__file__).parents[3] / "shared" / "data" / "celebahq256"

DLIB_THERE = pytest.mark.skipif(
    landmarks.LANDMARKS.unavailable() is not None, reason="dlib and its landmarks are not installed"
)


def face(size: int = 256) -> Pixels:
    source = FACES if FACES.is_dir() else SAMPLE
    return resize_bicubic(read_image(min(source.glob("*.png"))), size)


def test_the_score_is_the_challenges_formula() -> None:
    score = find_measure("ntire-score")
    assert [part.name for part in score.parts] == [
        *("clipiqa", "pyiqa:maniqa", "musiq", "pyiqa:qalign", "niqe", "fid-ffhq")
    ]
    # The terms of the evaluation code, one by one.
    assert score.combined([0.7, 0.5, 75.0, 4.0, 4.0, 40.0]) == pytest.approx(
        0.7 + 0.5 + 0.75 + 0.8 + 0.6 + 0.6
    )
    # NIQE above 10 and FID above 100 add nothing, rather than something negative.
    assert score.combined([0.7, 0.5, 75.0, 4.0, 12.0, 140.0]) == pytest.approx(2.75)


def test_the_score_says_which_part_is_missing() -> None:
    reason = find_measure("ntire-score").unavailable()
    assert reason is not None
    assert reason.split(":")[0] in {"CLIP-IQA", "MANIQA", "MUSIQ", "QALIGN", "NIQE", "FID (FFHQ)"}
    fid = find_measure("ntire-score").parts[-1]
    assert "bench reference add ffhq" in str(fid.unavailable())


def test_the_scores_fid_keeps_its_resizing_under_every_protocol() -> None:
    score = find_measure("ntire-score")
    paper = score.under(Protocol("paper", jpeg=False))
    assert paper.parts[-1].identity == score.parts[-1].identity


def test_the_preset_has_the_score_and_its_check() -> None:
    assert {"ntire-score", "id-adaface", "ntire-id-2026"} <= set(PRESETS["ntire-faces"])


@pytest.mark.parametrize(
    ("year", "recipe", "least"),
    [
        ("2025", "wider", 0.3),
        ("2026", "wider", 0.2),
        ("2026", "webphoto", 0.25),
        ("2025", "lfw", 0.6),
    ],
)
def test_an_identity_fails_below_its_years_threshold(year: str, recipe: str, least: float) -> None:
    check = find_measure(f"ntire-id-{year}").of_testset(recipe, "real")
    assert isinstance(check, ntire.IdentityFailed)

    def at(cosine: float) -> float | str:
        other = np.array([cosine, math.sqrt(1 - cosine**2)])
        return check.compare(
            {"embedding": np.array([1.0, 0.0]), "found": np.ones(1)},
            {"embedding": other, "found": np.ones(1)},
        )

    assert (at(least - 1e-6), at(least + 1e-6)) == (100.0, 0.0)
    assert check.key != find_measure(f"ntire-id-{year}").of_testset("celeba", "real").key


def test_a_test_set_without_a_threshold_is_refused() -> None:
    check = find_measure("ntire-id-2025").of_testset("sample", "bicubic")
    assert "thresholds for wider, webphoto, lfw, celebchild, celeba" in str(check.unavailable())


@pytest.mark.parametrize("name", ["id-adaface", "lmd"])
def test_an_image_without_a_face_has_a_reason(name: str) -> None:
    metric = find_measure(name)
    assert isinstance(metric, FeatureMetric)
    there = {"embedding": np.ones(2), "points": np.ones((68, 2)), "found": np.ones(1)}
    lost = {**there, "found": np.zeros(1)}
    assert metric.compare(lost, there) == "no face was found"
    assert str(metric.compare(there, lost)).startswith("no face was found in the ")


@DLIB_THERE
def test_lmd_is_the_shift_of_a_shifted_face() -> None:
    pixels = face()
    moved = np.roll(pixels, (3, 4), (0, 1))
    sr, hr = landmarks.LANDMARKS.extract([moved, pixels])
    metric = find_measure("lmd")
    assert isinstance(metric, FeatureMetric)
    assert metric.compare(hr, hr) == 0
    # 3 down and 4 to the right are 5 px; dlib's points are whole pixels, its box moves by steps.
    assert metric.compare(sr, hr) == pytest.approx(5, abs=1.5)


@DLIB_THERE
def test_landmarks_are_the_same_in_processes() -> None:
    pictures = [face(), *[np.full((64, 64, 3), level, np.uint8) for level in range(16)]]
    alone = landmarks.LANDMARKS.extract(pictures[:2])
    together = landmarks.LANDMARKS.extract(pictures)
    for one, other in zip(alone, together, strict=False):
        assert {k: v.tolist() for k, v in one.items()} == {k: v.tolist() for k, v in other.items()}
    assert together[0]["found"][0] == 1
    assert together[1]["found"][0] == 0


def features_of(angle: float) -> Features:
    turned = [math.cos(angle), math.sin(angle)]
    return {"embeddings": np.array([turned]), "found": np.ones(1)}


@pytest.mark.skipif(
    recognition.Faces("Dlib", "opencv").unavailable() is not None,
    reason="DeepFace is not installed",
)
def test_deg_is_the_angle_between_embeddings() -> None:
    metric = find_measure("deg")
    assert isinstance(metric, recognition.Angle)
    # DeepFace rounds distances to six digits; near 0 the arc cosine makes 0.06 degrees of that.
    found = metric.compare(features_of(0.3), features_of(0.8))
    assert found == pytest.approx(math.degrees(0.5), abs=2e-4)
    assert metric.compare(features_of(0.3), features_of(0.3)) == pytest.approx(0, abs=0.06)
    assert metric._value(-1e-7) == 0  # a rounded cosine above 1 has no arc cosine


def test_ir_50_has_the_released_names_and_shapes() -> None:
    """Names and counts as the checkpoints of AdaFace have them: 24 blocks, 43.6 million values."""
    state = adaface.ir_50().state_dict()
    assert state["input_layer.0.weight"].shape == (64, 3, 3, 3)
    assert state["input_layer.2.weight"].shape == (64,)
    assert state["body.3.shortcut_layer.0.weight"].shape == (128, 64, 1, 1)
    assert state["body.23.res_layer.4.weight"].shape == (512, 512, 3, 3)
    assert "body.24.res_layer.0.weight" not in state
    assert "body.0.shortcut_layer.0.weight" not in state  # 64 to 64 channels: a max pooling
    assert state["output_layer.3.weight"].shape == (512, 512 * 7 * 7)
    assert "output_layer.4.weight" not in state  # the last normalisation has no affine part
    values = sum(tensor.numel() for tensor in adaface.ir_50().parameters())
    assert values == pytest.approx(43.6e6, rel=0.01)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Random weights of AdaFace, in the layout of the released file."""
    path = tmp_path / "adaface.ckpt"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = {f"model.{name}": value for name, value in adaface.ir_50().state_dict().items()}
    torch.save({"state_dict": {**state, "head.kernel": torch.ones(2)}, "epoch": 3}, path)
    monkeypatch.setattr(adaface, "checkpoint_path", lambda name: path)
    monkeypatch.setattr(adaface, "checkpoint_missing", lambda name: None)
    adaface._network.cache_clear()
    return path


@DLIB_THERE
def test_adaface_embeds_the_aligned_face_in_blue_green_red(weights: Path) -> None:
    pixels = face()
    (found, lost) = adaface.ADAFACE.extract([pixels, np.zeros((64, 64, 3), np.uint8)])
    assert found["found"][0] == 1
    assert lost["found"][0] == 0
    (points,) = landmarks.LANDMARKS.extract([pixels])
    cut = adaface.aligned(pixels, points["points"]).astype(np.float32)
    seen = torch.from_numpy(cut[..., ::-1].copy()).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(adaface._network("cpu")(seen))[0]
    # Two orders of the same arithmetic in float32.
    np.testing.assert_allclose(found["embedding"], expected.numpy(), atol=1e-5)


@DLIB_THERE
def test_an_aligned_face_has_its_points_at_arcfaces() -> None:
    pixels = face()
    (points,) = landmarks.LANDMARKS.extract([pixels])
    placed = five_points(np.asarray(points["points"], np.float64))
    # A bright dot on each eye lands where ArcFace has the eyes, but for what a similarity can't do.
    for number in (0, 1):
        marked = np.zeros_like(pixels)
        x, y = np.round(placed[number]).astype(int)
        marked[y - 2 : y + 3, x - 2 : x + 3] = 255
        cut = adaface.aligned(marked, points["points"])[..., 0].astype(float)
        rows, columns = np.indices(cut.shape)
        middle = [(columns * cut).sum() / cut.sum(), (rows * cut).sum() / cut.sum()]
        assert np.abs(np.array(middle) - adaface._FIVE[number]).max() < 4


def test_another_file_is_refused_by_name(weights: Path) -> None:
    torch.save({"state_dict": {"model.input_layer.0.weight": torch.ones(1)}}, weights)
    with pytest.raises(BenchError, match="is not AdaFace's IR-50"):
        adaface._network("cpu")


def test_derived_columns_are_computed_from_their_parts() -> None:
    score = find_measure("ntire-score")
    names = [measure.name for measure in score.computed]
    assert {"clipiqa", "musiq", "niqe", "fid-ffhq"} <= set(names)
    assert "ntire-score" not in names  # nothing of its own is stored
    assert [m.name for m in find_measure("psnr").computed] == ["psnr"]


def test_parts_follow_a_reference() -> None:
    class Reference:
        identity = "ffhq 70000"

        def __str__(self) -> str:
            return "ffhq"

        def lacks(self, *arguments: Any, **options: Any) -> None:
            return None

    reference: Any = Reference()
    score = find_measure("ntire-score").against(reference)
    assert score.reference_name == "ffhq"
    assert "ffhq 70000" in score.identity
    assert replace(score).key == score.key
