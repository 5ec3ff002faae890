"""FD-DINOv2 and CMMD: small random networks in the released layouts, and the arithmetic.

The released weights are too large for a test. DINOv2 is compared with its equations written out
here, CLIP with the package of its authors, and the kernel with its definition.
"""

import importlib
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from bench.core.errors import BenchError
from bench.core.paths import missing_packages
from bench.images import Pixels, read_image
from bench.metrics import find_measure
from bench.metrics.features.transformers import CLIP, DINOV2, dinov2_state
from bench.metrics.set_distances import extractors
from bench.metrics.sets.distributions import Array, gaussian_mmd
from bench.networks.torchvision_guard import import_torchvision

SAMPLE = Path(__file__).parents[3] / "datasets" / "sample" / "images"
WIDTH, DEPTH, TRAINED = 128, 2, 37
needs_fid = pytest.mark.skipif(
    missing_packages("fid", "torch_fidelity", "timm") is not None,
    reason="torch-fidelity or timm is not installed",
)


class Rows:
    """Features in memory, in pieces of `size`."""

    def __init__(self, rows: Array, size: int = 3) -> None:
        self.rows, self.size = rows, size

    def __len__(self) -> int:
        return len(self.rows)

    def pieces(self, name: str) -> Any:
        for start in range(0, len(self.rows), self.size):
            yield self.rows[start : start + self.size]


def samples() -> tuple[Array, Array]:
    random = np.random.default_rng(0)
    return random.normal(size=(7, 5)), random.normal(0.5, 2, size=(4, 5))


def test_the_gaussian_mmd_is_the_mean_of_its_kernel_over_all_pairs() -> None:
    x, y = samples()
    total = 0.0
    for one, other, sign in ((x, x, 1), (y, y, 1), (x, y, -2)):
        values = [math.exp(-(math.dist(a, b) ** 2) / 18) for a in one for b in other]
        total += sign * sum(values) / len(values)
    assert gaussian_mmd(Rows(x), Rows(y), "pooled", 3) == pytest.approx(total, rel=1e-12)
    assert gaussian_mmd(Rows(x), Rows(y, 2), "pooled", 3) == pytest.approx(total, rel=1e-12)
    assert gaussian_mmd(Rows(x), Rows(x[::-1], 2), "pooled", 3) == pytest.approx(0, abs=1e-15)


def test_cmmd_equals_pyiqas_kernel_distance() -> None:
    import_torchvision()
    pytest.importorskip("pyiqa")
    theirs: Any = importlib.import_module("pyiqa.archs.fid_arch")
    x, y = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in samples())
    cmmd: Any = find_measure("cmmd")
    ours = cmmd.measure(Rows(x), Rows(y))
    assert ours == pytest.approx(float(theirs.mmd_rbf_kernel(x, y)), rel=1e-9)
    assert ours > 0.1


def random_dinov2() -> dict[str, Tensor]:
    """Weights in the released layout. Layer scales are large, so that every block shows."""
    random = torch.Generator().manual_seed(1)

    def draw(*shape: int, scale: float = 0.05) -> Tensor:
        return scale * torch.randn(shape, generator=random)

    state = {
        "cls_token": draw(1, 1, WIDTH, scale=1),
        "mask_token": draw(1, WIDTH),
        "pos_embed": draw(1, 1 + TRAINED**2, WIDTH, scale=1),
        "patch_embed.proj.weight": draw(WIDTH, 3, 14, 14),
        "patch_embed.proj.bias": draw(WIDTH),
        "norm.weight": 1 + draw(WIDTH),
        "norm.bias": draw(WIDTH),
    }
    for block in range(DEPTH):
        for name, shape in (
            ("norm1", ()),
            ("attn.qkv", (3 * WIDTH, WIDTH)),
            ("attn.proj", (WIDTH, WIDTH)),
            ("norm2", ()),
            ("mlp.fc1", (4 * WIDTH, WIDTH)),
            ("mlp.fc2", (WIDTH, 4 * WIDTH)),
        ):
            weight = draw(*shape) if shape else 1 + draw(WIDTH)
            state[f"blocks.{block}.{name}.weight"] = weight
            state[f"blocks.{block}.{name}.bias"] = draw(shape[0] if shape else WIDTH)
        state[f"blocks.{block}.ls1.gamma"] = 1 + draw(WIDTH)
        state[f"blocks.{block}.ls2.gamma"] = 1 + draw(WIDTH)
    return state


def dinov2_by_hand(state: dict[str, Tensor], images: Tensor) -> Tensor:
    """DINOv2's forward pass in float64: pre-norm blocks with layer scale, then the class token."""
    s = {name: value.double() for name, value in state.items()}
    x = functional.conv2d(
        images.double(), s["patch_embed.proj.weight"], s["patch_embed.proj.bias"], stride=14
    )
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([s["cls_token"].expand(len(x), -1, -1), x], dim=1) + s["pos_embed"]

    def norm(x: Tensor, name: str) -> Tensor:
        return functional.layer_norm(x, (WIDTH,), s[f"{name}.weight"], s[f"{name}.bias"], eps=1e-6)

    def linear(x: Tensor, name: str) -> Tensor:
        return functional.linear(x, s[f"{name}.weight"], s[f"{name}.bias"])

    for block in range(DEPTH):
        at = f"blocks.{block}"
        qkv = linear(norm(x, f"{at}.norm1"), f"{at}.attn.qkv")
        heads = qkv.reshape(*qkv.shape[:2], 3, WIDTH // 64, 64)
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        mixed = (q @ k.transpose(-1, -2) / 8).softmax(-1) @ v
        mixed = linear(mixed.transpose(1, 2).flatten(2), f"{at}.attn.proj")
        x = x + s[f"{at}.ls1.gamma"] * mixed
        hidden = functional.gelu(linear(norm(x, f"{at}.norm2"), f"{at}.mlp.fc1"))
        x = x + s[f"{at}.ls2.gamma"] * linear(hidden, f"{at}.mlp.fc2")
    return norm(x, "norm")[:, 0]


def faces() -> list[Pixels]:
    """Three faces, the last of another size."""
    paths = sorted(SAMPLE.iterdir())[:3]
    return [
        read_image(path)[: 64 + 16 * (i == 2), : 64 + 16 * (i == 2)] for i, path in enumerate(paths)
    ]


def normalised(pixels: Pixels, side: int, mean: tuple[float, ...], std: tuple[float, ...]) -> Array:
    """The released preprocessing: PIL's bicubic filter on 8 bits, then channel statistics."""
    resized = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
    return ((np.asarray(resized) / 255 - mean) / std).transpose(2, 0, 1)


def unverified(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Use stand-ins in a cache folder, whose hashes are not the published ones."""
    monkeypatch.setenv("BENCH_CACHE", str(cache))
    monkeypatch.setattr("bench.metrics.features.extractor.checkpoint_missing", lambda name: None)


@needs_fid
def test_dinov2_is_what_its_equations_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = random_dinov2()
    torch.save(state, tmp_path / "dinov2_vitl14_pretrain.pth")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    found = [features["pooled"] for features in DINOV2.extract(faces())]
    images = np.stack([normalised(p, 224, DINOV2.mean, DINOV2.std) for p in faces()])
    expected = dinov2_by_hand(dinov2_state(state, 16), torch.from_numpy(images))
    # float32 over two blocks; the features are of the order of 1.
    np.testing.assert_allclose(found, expected, atol=2e-4)
    assert np.abs(found[0] - found[1]).max() > 0.05


def cubic(distance: float) -> float:
    """The cubic convolution kernel with a = -0.75, as PyTorch has it."""
    d, a = abs(distance), -0.75
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0


def test_positions_are_interpolated_by_the_released_ratio() -> None:
    """Position i is sampled at (i + 0.5) / ratio - 0.5 of the trained grid, ratio 16.1 / 37."""
    values = np.random.default_rng(3).normal(size=37)
    column = torch.from_numpy(values).float().view(1, 37, 1).expand(37, 37, 1).reshape(1, -1, 1)
    positions = torch.cat([torch.full((1, 1, 1), 9.0), column], dim=1)
    state = {"pos_embed": positions, "mask_token": torch.zeros(1, 1)}
    found = dinov2_state(state, 16)
    assert found.keys() == {"pos_embed"}
    assert found["pos_embed"][0, 0, 0] == 9
    row = found["pos_embed"][0, 1:].view(16, 16)[5]
    for i in range(16):
        at = (i + 0.5) * 37 / 16.1 - 0.5
        near = range(math.floor(at) - 1, math.floor(at) + 3)
        expected = sum(cubic(at - n) * values[min(max(n, 0), 36)] for n in near)
        assert row[i].item() == pytest.approx(expected, abs=1e-5), i
    assert dinov2_state(state, 37)["pos_embed"].equal(positions)


class Published(nn.Module):
    """CLIP's state dict as OpenAI publishes it: TorchScript with the text network's tensors."""

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual
        self.text_projection = nn.Parameter(torch.zeros(4, 32))

    def forward(self, x: Tensor) -> Tensor:
        seen: Tensor = self.visual(x)
        return seen


@needs_fid
def test_clip_equals_its_authors_package_and_has_unit_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_torchvision()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its use of pkg_resources
        authors: Any = pytest.importorskip("clip.model")
    torch.manual_seed(2)
    visual = authors.VisionTransformer(336, 14, 64, 2, 1, 32).eval()
    for parameter in visual.parameters():
        parameter.data = parameter.data.half().float()  # published in half precision
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, and how CLIP is published
        jit: Any = torch.jit
        traced = jit.trace(Published(visual), torch.zeros(1, 3, 336, 336))
        traced.save(str(tmp_path / "ViT-L-14-336px.pt"))
    unverified(monkeypatch, tmp_path)
    found = np.stack([features["pooled"] for features in CLIP.extract(faces())])
    images = np.stack([normalised(p, 336, CLIP.mean, CLIP.std) for p in faces()])
    with torch.inference_mode():
        expected = visual(torch.from_numpy(images).float())
    expected = expected / expected.norm(dim=-1, keepdim=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)  # float32, unit vectors
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)
    assert np.abs(found[0] - found[1]).max() > 1e-3


@needs_fid
@pytest.mark.parametrize(
    ("extractor", "file"),
    [(DINOV2, "dinov2_vitl14_pretrain.pth"), (CLIP, "ViT-L-14-336px.pt")],
    ids=["dinov2", "clip"],
)
def test_other_weights_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extractor: Any, file: str
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    remedy = f"{file} is missing: run `bench weights get {extractor.weights}`."
    assert extractor.unavailable() == remedy
    torch.save({"weight": torch.zeros(2)}, tmp_path / file)
    unverified(monkeypatch, tmp_path)
    with pytest.raises(BenchError, match="does not hold the weights of"):
        extractor.extract(faces())


def test_references_can_be_made_for_both() -> None:
    assert extractors(("dinov2", "clip")) == [DINOV2, CLIP]
    with pytest.raises(BenchError, match="There is no extractor 'dino'"):
        extractors(("dino",))
