"""PSNR and SSIM against other ways to compute them, and what all metrics have in common."""

import importlib
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

import bench.metrics
from bench.core.errors import BenchError
from bench.images import Pixels, resize_bicubic
from bench.metrics import all_metrics, find
from bench.metrics.pixel import luma

SHARED = Path(__file__).parents[2].parent / "shared"
PSNR, SSIM = find("psnr"), find("ssim")


def pattern(a: int, b: int, c: int, height: int = 24, width: int = 20) -> Pixels:
    """A picture [height, width, 3] that only arithmetic makes."""
    y, x, channel = np.mgrid[0:height, 0:width, 0:3]
    values: Pixels = (a * x * x + b * y * x + c * channel * y + 7 * channel).astype(np.uint8)
    return values


def ssim_by_formula(one: Pixels, two: Pixels) -> float:
    """The paper's equation 13, with windows spelt out."""
    line = np.exp(-np.square(np.arange(-5, 6)) / (2 * 1.5**2))
    weights = np.outer(line, line) / line.sum() ** 2

    def mean(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        windows = sliding_window_view(values, (11, 11), axis=(0, 1))
        means: npt.NDArray[np.float64] = np.einsum("abcij,ij->abc", windows, weights)
        return means

    x, y = one.astype(np.float64), two.astype(np.float64)
    mx, my = mean(x), mean(y)
    vx, vy, vxy = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * mx * my + c1) * (2 * vxy + c2)
    return float((top / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean())


def camera_and_noise() -> tuple[Pixels, Pixels]:
    """scikit-image's photograph, and the same with the noise of its own test, as RGB."""
    camera = importlib.import_module("skimage.data").camera()
    noise = np.random.RandomState(5).randn(*camera.shape)
    noisy = np.clip(camera + 20 * noise, 0, 255).astype(np.uint8)
    return np.repeat(noisy[..., None], 3, axis=2), np.repeat(camera[..., None], 3, axis=2)


def test_psnr_of_ones_against_twos() -> None:
    ones = np.ones((9, 7, 3), np.uint8)
    assert PSNR.score([ones], [2 * ones])[0] == pytest.approx(48.1308036, abs=1e-7)


def test_psnr_does_not_wrap_around() -> None:
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    assert PSNR.score([black, white], [white, black]) == [0.0, 0.0]


def test_psnr_of_equal_pictures_is_infinite() -> None:
    picture = pattern(1, 2, 3)
    assert PSNR.score([picture], [picture.copy()]) == [math.inf]


def test_ssim_of_equal_pictures_is_one() -> None:
    picture = pattern(1, 2, 3)
    assert SSIM.score([picture], [picture.copy()]) == pytest.approx([1.0])


@settings(deadline=None, max_examples=20)
@given(st.tuples(*[st.integers(0, 40)] * 6), st.integers(11, 30), st.integers(11, 30))
def test_ssim_is_the_papers_formula(
    numbers: tuple[int, int, int, int, int, int], height: int, width: int
) -> None:
    one, two = pattern(*numbers[:3], height, width), pattern(*numbers[3:], height, width)
    assert SSIM.score([one], [two])[0] == pytest.approx(ssim_by_formula(one, two), abs=1e-9)


def test_recorded_values() -> None:
    one, two = pattern(3, 1, 5), pattern(3, 1, 6)
    assert PSNR.score([one], [two])[0] == pytest.approx(13.949688155374, abs=1e-9)
    assert SSIM.score([one], [two])[0] == pytest.approx(0.751660074993, abs=1e-9)


def test_ssim_of_a_noisy_photograph() -> None:
    noisy, camera = camera_and_noise()
    similarity = importlib.import_module("skimage.metrics").structural_similarity
    _, full = similarity(
        noisy[..., 0],
        camera[..., 0],
        gaussian_weights=True,
        use_sample_covariance=False,
        data_range=255,
        full=True,
    )
    value = SSIM.score([noisy], [camera])[0]
    assert value == pytest.approx(full[5:-5, 5:-5].mean(), abs=1e-12)
    # What IPOL's imdiff, another implementation, gives for these two (scikit-image #4913).
    assert value == pytest.approx(0.357959091663361, abs=1e-5)
    assert abs(value - full.mean()) > 1e-5, "the border must not count"


def test_golden() -> None:
    path = SHARED / "golden" / "dpi.npz"
    if not path.is_file():
        pytest.skip("the golden vectors are not beside the repository")
    with np.load(path) as golden:
        small, original = golden["lr_x8"], golden["gt256"]
        psnr, ssim = float(golden["psnr"]), float(golden["ssim"])
    picture = resize_bicubic(small, 256)
    assert PSNR.score([picture], [original])[0] == pytest.approx(psnr, abs=1e-9)
    assert SSIM.score([picture], [original])[0] == pytest.approx(ssim, abs=1e-7)


@pytest.mark.parametrize("name", ["psnr", "ssim"])
def test_values_do_not_depend_on_company(name: str) -> None:
    pictures = [pattern(k, 2, 3, height=20 + k) for k in range(4)]
    originals = [pattern(k, 2, 4, height=20 + k) for k in range(4)]
    metric = find(name)
    together = metric.score(pictures, originals)
    assert together[::-1] == metric.score(pictures[::-1], originals[::-1])
    alone = [metric.score([p], [o])[0] for p, o in zip(pictures, originals, strict=True)]
    assert together == alone
    assert len(set(together)) == 4


SMALL = np.zeros((32, 32, 3), np.uint8)


@pytest.mark.parametrize("name", ["psnr", "ssim", "lpips-alex", "lpips-vgg"])
@pytest.mark.parametrize(
    ("sr", "hr", "message"),
    [
        ([], [], "no images"),
        ([SMALL], [SMALL, SMALL], "1 pictures and 2 originals"),
        ([SMALL, SMALL], [SMALL, SMALL[:, :31]], "picture 1 is 32x32 but its original is 31x32"),
        ([SMALL[..., 0]], [SMALL[..., 0]], r"picture 0 is uint8 of shape \[32, 32\]"),
        ([SMALL / 255], [SMALL / 255], "picture 0 is float64"),
    ],
)
def test_refusals(name: str, sr: list[Pixels], hr: list[Pixels], message: str) -> None:
    with pytest.raises(BenchError, match=message):
        find(name).score(sr, hr)


@pytest.mark.parametrize(("name", "smallest"), [("ssim", 11), ("lpips-alex", 32)])
def test_too_small_a_picture_is_refused(name: str, smallest: int) -> None:
    picture = np.zeros((smallest - 1, 64, 3), np.uint8)
    with pytest.raises(BenchError, match=f"64x{smallest - 1}: give at least {smallest} pixels"):
        find(name).score([picture], [picture])


def test_all_metrics_in_order() -> None:
    metrics = all_metrics()
    assert list(metrics)[:8] == [
        *("psnr", "psnr-y", "ssim", "lpips-alex", "lpips-vgg"),
        *("lpips-vgg-average", "lpips-vgg-unit", "fid"),
    ]
    shown = [metrics[name] for name in ("psnr", "ssim", "lpips-alex", "lpips-vgg")]
    assert [m.title for m in shown] == ["PSNR", "SSIM", "LPIPS-Alex", "LPIPS-VGG"]
    assert [m.higher_is_better for m in shown] == [True, True, False, False]
    assert [(m.unit, m.digits) for m in shown] == [("dB", 2), ("", 4), ("", 4), ("", 4)]
    assert all(metrics[name].name == name for name in metrics)
    assert len({m.identity for m in metrics.values()}) == len(metrics)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("snr", "did you mean 'psnr'"),
        ("LPIPS-VGG", "did you mean 'lpips-vgg'"),
        ("x", "`bench doctor` lists all"),
    ],
)
def test_unknown_metric_names_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(BenchError, match=hint):
        find(name)


@pytest.fixture
def new_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a module into the metrics folder for one test."""

    def write(source: str) -> None:
        (tmp_path / "added_by_test.py").write_text(source)
        monkeypatch.setattr(bench.metrics, "__path__", [*bench.metrics.__path__, str(tmp_path)])
        monkeypatch.setattr(bench.metrics, "_scanned", bench.metrics._scanned.__wrapped__)
        monkeypatch.delitem(sys.modules, "bench.metrics.added_by_test", raising=False)

    return write


def test_a_new_file_adds_a_metric(new_module: Callable[[str], None]) -> None:
    new_module(
        "from bench.metrics.pixel import Psnr\n"
        "METRICS = (Psnr('early', 'E', higher_is_better=True, unit='', digits=1, place=5),)\n"
    )
    assert next(iter(all_metrics())) == "early"
    assert find("early").title == "E"


def test_a_name_twice_is_refused(new_module: Callable[[str], None]) -> None:
    new_module("from bench.metrics.pixel import METRICS as METRICS\n")
    with pytest.raises(BenchError, match="defines psnr, psnr-y, ssim twice"):
        all_metrics()


def test_listing_metrics_imports_nothing_heavy() -> None:
    code = (
        "import sys; from bench.metrics import all_metrics\n"
        "for m in all_metrics().values(): m.title, m.identity, m.unavailable()\n"
        "print([n for n in ('torch', 'pandas', 'scipy', 'skimage', 'lpips') if n in sys.modules])"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout.strip() == "[]"


def test_luma_is_that_of_matlab() -> None:
    """rgb2ycbcr of black, white, red, green and blue, from its documented matrix."""
    colours = [[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]
    found = luma(np.array([colours], np.uint8))[0]
    np.testing.assert_allclose(found, [16, 235, 81.481, 144.553, 40.966], atol=1e-9)


def test_psnr_on_luma_equals_scikit_images() -> None:
    random = np.random.default_rng(0)
    sr, hr = random.integers(0, 256, (2, 24, 20, 3), dtype=np.uint8)
    color, metrics = (importlib.import_module(f"skimage.{name}") for name in ("color", "metrics"))
    lumas = [color.rgb2ycbcr(pixels)[..., 0] for pixels in (hr, sr)]
    expected = metrics.peak_signal_noise_ratio(*lumas, data_range=255)
    assert find("psnr-y").score([sr], [hr]) == pytest.approx([expected], rel=1e-9)
    assert find("psnr-y").score([hr], [hr]) == [math.inf]
