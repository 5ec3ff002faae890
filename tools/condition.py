"""Replace DPI's condition y_t by others, to see what its results owe to the Corrector.

python -m tools.condition FACES [--scale 8] [--count 40]

FACES is a folder of faces that no network was trained on, cropped to 64 px. Print a table of DPI,
DDNM, and DPI with other conditions, and write docs/images/dpi-condition-xSCALE.png: y_t, x_t and
x0_hat of the first face that ships. See docs/decisions/dpi-against-ddnm.md.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import bench
from baselines import ddnm
from bench.core.memory import keep_freed_memory
from bench.core.paths import resource
from bench.diffusion.noise import KeyedNoise, StreamKey
from bench.diffusion.operators import SeparableOperator, bicubic
from bench.diffusion.prior import ConditionalNetwork, Prediction, Prior, posterior_mean
from bench.dpi.masks import on_grid
from bench.dpi.sampler import DPISettings, base_condition, states
from bench.engine.models import load_models
from bench.images import read_image, resize_bicubic, resize_bicubic_batch, to_model, to_pixels
from bench.methods import configure

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SIZE, STEPS, TAU, K = 64, 50, 100.0, 2
SHOWN = (898, 511, 307, 103)
"""Steps of the 1000-step schedule that the figure shows."""
ZOOM = 2
METRICS = ("lpips-alex", "lpips-vgg", "psnr", "ssim", "lr-psnr")


@dataclass(frozen=True)
class Faces:
    """Faces [B, 3, 64, 64] in [-1, 1] by name."""

    names: Sequence[str]
    hr: Tensor
    scale: int

    @classmethod
    def read(cls, paths: Sequence[Path], scale: int) -> "Faces":
        """Read images, resized to 64 px."""
        pictures = [resize_bicubic(read_image(path), SIZE) for path in paths]
        return cls([path.stem for path in paths], to_model(pictures), scale)

    @property
    def operator(self) -> SeparableOperator:
        return bicubic(SIZE, self.scale)

    @property
    def lr(self) -> Tensor:
        return resize_bicubic_batch(self.hr, SIZE // self.scale)

    def noise(self, seed: int = 0) -> KeyedNoise:
        return KeyedNoise([StreamKey(seed, name) for name in self.names])


@dataclass(frozen=True)
class ConsistentPrior(Prior):
    """A prior with data-consistent x0_hat at every step, as DDNM's."""

    faces: Faces | None = None

    def predict(self, x: Tensor, index: int, clip: bool = True) -> Prediction:
        assert self.faces is not None
        found = super().predict(x, index, clip)
        missing = self.faces.lr - self.faces.operator(found.x0_hat)
        x0_hat = found.x0_hat + self.faces.operator.pseudo_inverse(missing)
        mean = posterior_mean(self.schedule, x0_hat, x, index)
        return replace(found, x0_hat=x0_hat, mean=mean)


def constant(y: Tensor) -> ConditionalNetwork:
    """Return a Corrector that answers with the grid of these images [B, 3, 64, 64]."""
    return lambda x, timesteps, condition: on_grid(y[..., ::K, ::K], K)


def with_ddnm(prior: Prior, faces: Faces, seed: int = 0) -> Tensor:
    """Return DDNM's results [B, 3, 64, 64]."""
    settings = replace(ddnm.Settings(), steps=STEPS)
    respaced = prior.respaced(STEPS, "strided")
    noise = faces.noise(seed)
    return ddnm.sample(respaced, faces.lr, faces.operator, settings, noise)[0].clamp(-1, 1)


def variants(
    prior: Prior, corrector: ConditionalNetwork, faces: Faces
) -> Mapping[str, tuple[Prior, ConditionalNetwork]]:
    """Return name -> the prior and the Corrector that make a variant of DPI."""
    drawn = [with_ddnm(prior, faces, seed) for seed in (7, 8, 9, 10)]
    consistent = ConsistentPrior(prior.network, prior.schedule, prior.prediction, faces)
    return {
        "DPI": (prior, corrector),
        "y is the pseudo-inverse of the input": (
            prior,
            constant(faces.operator.pseudo_inverse(faces.lr)),
        ),
        "y is the mean of four samples of DDNM": (prior, constant(torch.stack(drawn).mean(0))),
        "y is a sample of DDNM": (prior, constant(drawn[0])),
        "y is the ground truth": (prior, constant(faces.hr)),
        "data-consistent x0_hat": (consistent, corrector),
    }


def run(prior: Prior, corrector: ConditionalNetwork, faces: Faces) -> tuple[Tensor, list[Tensor]]:
    """Return the results of DPI, and y_t, x_t and x0_hat at the steps shown."""
    settings: DPISettings = configure(
        "dpi", faces.scale, SIZE, {"dpi": {"steps": STEPS, "tau": TAU}}
    ).settings
    base = base_condition(faces.lr, SIZE, settings)
    respaced, shown = prior.respaced(STEPS), []
    for index, state in zip(
        range(STEPS - 1, -2, -1),
        states(prior, corrector, base, settings, faces.noise()),
        strict=True,
    ):
        if state.t in SHOWN:
            y = state.y[..., ::K, ::K].repeat_interleave(K, -1).repeat_interleave(K, -2)
            shown += [y, state.x, respaced.predict(state.x, index).x0_hat]
    return state.x, shown


def scores(result: Tensor, faces: Faces) -> list[str]:
    """Return cells of the table: means of the metrics."""
    cells = []
    for name in METRICS:
        metric, reference = bench.metric(name), faces.lr if name == "lr-psnr" else faces.hr
        pairs = zip(to_pixels(result), to_pixels(reference), strict=True)
        values = [float(metric(sr, expected)) for sr, expected in pairs]
        cells.append(f"{np.mean(values):.{2 if 'psnr' in name else 4}f}")
    return cells


def main(arguments: Sequence[str]) -> None:
    """Print the table and write the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--scale", type=int, default=8)
    parser.add_argument("--count", type=int, default=40)
    given = parser.parse_args(arguments)
    keep_freed_memory()
    shipped = sorted((resource("datasets") / "sample" / "images").glob("*.png"))[:1]
    faces = Faces.read(sorted(given.faces.glob("*.png"))[: given.count], given.scale)
    models: Any = load_models(
        configure("dpi", given.scale, SIZE), SIZE, {}, torch.device("cpu")
    ).models
    rows: list[Tensor] = []
    with torch.inference_mode():
        one = Faces.read(shipped, given.scale)
        for prior, corrector in variants(models.prior, models.corrector, one).values():
            result, shown = run(prior, corrector, one)
            rows.append(torch.cat([*shown, result], dim=-1))
        picture = torch.cat(rows, dim=-2).repeat_interleave(ZOOM, -1).repeat_interleave(ZOOM, -2)
        Image.fromarray(to_pixels(picture)[0]).save(IMAGES / f"dpi-condition-x{given.scale}.png")
        print(f"| x{given.scale}, {len(faces.names)} faces | {' | '.join(METRICS)} |")
        print(f"| --- |{' --- |' * len(METRICS)}")
        print(f"| DDNM | {' | '.join(scores(with_ddnm(models.prior, faces), faces))} |")
        for name, (prior, corrector) in variants(models.prior, models.corrector, faces).items():
            result, _ = run(prior, corrector, faces)
            print(f"| {name} | {' | '.join(scores(result, faces))} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
