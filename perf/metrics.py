"""One side of a comparison of metrics: `python -m perf.metrics SIDE WORK`.

SIDE is ours or plain, WORK one of:

pictures: all metrics that need no downloaded weights, on pairs of 256 px files: PSNR, SSIM, LPIPS
with both networks, FID, KID and IS with VGG16 instead of Inception, CS, ACC and FACES with Dlib,
PIQE where pyiqa is installed. "plain" calls scikit-image, lpips, torch-fidelity, DeepFace and pyiqa
image by image, as their READMEs show. The environment variable PAIRS sets the number of pairs.

runs: the same pairs as results of 12 methods for the same faces: ours in one pass, theirs one run
after the other.

frechet: the distance between two sets of 1000 features [2048]. "plain" takes scipy's square root of
the covariances' product, as the scripts that most papers use do.
"""

import importlib
import importlib.util
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.core.files import sha256_file, write_bytes
from bench.core.memory import keep_freed_memory
from bench.images import Pixels, encode_png, read_image, resize_bicubic
from bench.metrics import find_measure
from bench.metrics.features.backbones import load_backbone
from bench.metrics.features.cache import FeatureCache, FeatureTable
from bench.metrics.features.inception import Legacy
from bench.metrics.scoring.batching import Wanted, evaluate
from bench.metrics.scoring.compute import Picture, Task
from bench.metrics.scoring.devices import find_devices
from bench.metrics.set_distances import Frechet, Kernel, Score
from bench.metrics.sets.distributions import fitted, frechet_distance
from bench.networks.torchvision_guard import import_torchvision

SIZE, SCALE = 256, 8
PAIRS, RUNS = 60, 12
WIDTH, ROWS = 2048, 1000
SAMPLE = Path(__file__).parents[1] / "datasets" / "sample" / "images"
QUALITY = importlib.util.find_spec("pyiqa") is not None

Runs = list[list[tuple[Path, Path]]]
"""Files of results and of their originals, for each run."""


def make_runs(folder: Path, runs: int, faces: int) -> Runs:
    """Write the files of each run: faces enlarged from a size of its own, and the originals."""
    samples = sorted(SAMPLE.glob("*.png"))
    made: Runs = [[] for _ in range(runs)]
    for index in range(faces):
        face = resize_bicubic(read_image(samples[index % len(samples)]), SIZE)
        face = np.roll(face, index // len(samples), axis=1)  # no two files are equal
        hr = write(folder / "hr" / f"{index}.png", face)
        for run, pairs in enumerate(made):
            blurred = resize_bicubic(resize_bicubic(face, SIZE // SCALE + run), SIZE)
            pairs.append((write(folder / f"run-{run}" / f"{index}.png", blurred), hr))
    return made


def write(path: Path, pixels: Pixels) -> Path:
    """Write an image to a file and return its path."""
    write_bytes(path, encode_png(pixels))
    return path


def extractor_class() -> Any:
    """Return VGG16 as a feature extractor of torch-fidelity, instead of Inception."""
    base: Any = importlib.import_module("torch_fidelity.feature_extractor_base")
    state = load_backbone("vgg16")

    class Vgg(base.FeatureExtractorBase):  # type: ignore[misc]
        def __init__(self, name: str, features_list: list[str], **options: Any) -> None:
            super().__init__(name, features_list)
            modules = importlib.import_module("torchvision.models")
            with torch.device("meta"):
                layers = modules.vgg16().features
            tensors = {k.partition(".")[2]: torch.from_numpy(v) for k, v in state.items()}
            layers.load_state_dict(tensors, assign=True)
            self.layers: nn.Module = layers.requires_grad_(False).eval()

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return "pooled", "logits"

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return {"isc": "logits"}.get(metric, "pooled")

        @staticmethod
        def can_be_compiled() -> bool:
            return False

        def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
            pooled = self.layers(pictures.float() / 127.5 - 1).mean(dim=(2, 3))
            named = {"pooled": pooled, "logits": pooled}
            return tuple(named[name] for name in self.features_list)

    return Vgg


class Vgg16(Legacy):
    """Our extractor with the same network."""

    def unavailable(self) -> str | None:
        return None

    def network(self, device: str = "cpu") -> Any:
        return NETWORK[0]


NETWORK: list[Any] = []


def ours(runs: Runs, folder: Path) -> None:
    """Compute all metrics in one pass over the files."""
    source = Vgg16("torch-fidelity", "torch_fidelity", "inception-torch-fidelity")
    names = ["psnr", "ssim", "lpips-alex", "lpips-vgg", "cs-dlib", "acc-dlib", "faces-dlib"]
    measures = [find_measure(name) for name in names + ["piqe"] * QUALITY]
    measures += [
        Frechet("fid", "FID", False, "", 2, 0, source=source, least=2),
        Kernel("kid", "KID", False, "", 5, 0, source=source, least=2),
        Score("is", "IS", True, "", 3, 0, source=source, least=10),
    ]
    keys = [measure.key for measure in measures]
    tables = []
    for pairs in runs:
        tasks = []
        for sr, hr in pairs:
            files = [Picture(path, sha256_file(path)) for path in (sr, hr)]
            tasks += [Task(hr.stem, *by, *files) for by in zip(measures, keys, strict=True)]
        tables.append(Wanted(partial(list, tasks), lambda: None, lambda rows: None))
    with tempfile.TemporaryDirectory(dir=folder) as kept:
        evaluate(tables, FeatureCache(Path(kept)), devices=find_devices("auto"))


@cache
def lpips_network(net: str) -> Any:
    """Return LPIPS as its README does; random weights cost the same and need no download."""
    return importlib.import_module("lpips").LPIPS(net=net, pnet_rand=True, verbose=False)


def plain(runs: Runs, folder: Path) -> None:
    """Make the calls of the packages' READMEs, one pair after the other."""
    lpips: Any = importlib.import_module("lpips")
    skimage: Any = importlib.import_module("skimage.metrics")
    io: Any = importlib.import_module("skimage.io")
    deepface: Any = importlib.import_module("deepface.DeepFace")
    fidelity: Any = importlib.import_module("torch_fidelity")
    networks = [lpips_network(net) for net in ("alex", "vgg")]
    piqe = importlib.import_module("pyiqa").create_metric("piqe", device="cpu") if QUALITY else None
    for pairs in runs:
        for sr, hr in pairs:
            one, other = io.imread(sr), io.imread(hr)
            skimage.peak_signal_noise_ratio(other, one)
            skimage.structural_similarity(
                other, one, channel_axis=-1, gaussian_weights=True, sigma=1.5, data_range=255
            )
            for network in networks:
                network(*(lpips.im2tensor(lpips.load_image(str(path))) for path in (sr, hr)))
            deepface.verify(str(sr), str(hr), model_name="Dlib", enforce_detection=False)
            if piqe is not None:
                piqe(str(sr))
        fidelity.calculate_metrics(
            input1=str(pairs[0][0].parent), input2=str(pairs[0][1].parent), feature_extractor="vgg",
            fid=True, kid=True, isc=True, kid_subset_size=len(pairs),
            isc_splits=min(10, len(pairs)), cuda=False, cache=False, verbose=False, batch_size=1,
            save_cpu_ram=True,
        )  # fmt: skip


def pictures(side: str, count: int, faces: int) -> float:
    """Return the seconds for all metrics of `count` runs on `faces` faces, without loading."""
    import_torchvision()
    warnings.simplefilter("ignore")  # the packages make deprecated calls
    vgg = extractor_class()
    importlib.import_module("torch_fidelity").register_feature_extractor("vgg", vgg)
    NETWORK.append(vgg("vgg", ["pooled", "logits"]))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        runs = make_runs(folder, count, faces)
        warm = make_runs(folder / "warm", 1, 2)
        if side == "ours":
            keep_freed_memory()
        measure = ours if side == "ours" else plain
        ours([warm[0][:1]], folder)  # prepares Dlib's weights for both
        measure(warm, folder)
        start = time.perf_counter()
        measure(runs, folder)
        return time.perf_counter() - start


def frechet(side: str) -> float:
    """Return the seconds for one distance."""
    random = np.random.default_rng(0)
    spread = np.exp(-np.arange(WIDTH) / 400)
    one, other = (np.abs(random.standard_normal((ROWS, WIDTH))) * spread for _ in range(2))

    def root() -> None:
        linalg: Any = importlib.import_module("scipy.linalg")
        covariances = [np.cov(rows, rowvar=False) for rows in (one, other)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the product is singular, as usual with FID
            linalg.sqrtm(covariances[0] @ covariances[1])

    def eigenvalues() -> None:
        frechet_distance(*(fitted(table(rows), "x") for rows in (one, other)))

    work: Callable[[], None] = eigenvalues if side == "ours" else root
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def table(rows: np.ndarray[Any, np.dtype[np.float64]]) -> FeatureTable:
    """Return the rows of an array as a feature table without files."""

    class Given(FeatureCache):
        def read(self, extractor: str, picture: str) -> dict[str, Any]:
            return {"x": rows[int(picture)]}

    return FeatureTable(Given(Path()), "", tuple(map(str, range(len(rows)))))


def main(side: str, work: str) -> None:
    """Print the seconds of one side."""
    count = int(os.environ.get("PAIRS", PAIRS))
    match work:
        case "pictures":
            seconds = pictures(side, 1, count)
        case "runs":
            seconds = pictures(side, RUNS, max(1, count // RUNS))
        case _:
            seconds = frechet(side)
    print(seconds)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
