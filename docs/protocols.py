"""Write docs/protocols.md: what the paper protocol changes, measured on faces of yours.

python -m docs.protocols DIR [COUNT]

DIR is a folder of faces of 256 px, COUNT how many of them are taken, 150 if it is left out.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from bench.images import Pixels, read_image, resize_bicubic
from bench.metrics import find
from bench.metrics.protocol import STRICT, Protocol, through_jpeg
from bench.progress import progress
from bench.report import read_published
from bench.resources import resource

FILE = Path(__file__).with_name("protocols.md")
SIZE = 256
COUNT = 150
CHUNK = 8

SCALES = (8, 16)

HEAD = """\
# What the paper protocol changes

Written by `python -m docs.protocols DIR`. Bicubic enlargement of {count} faces of {size} px, which
were reduced by PIL's bicubic filter; means over the faces. What the words of the first column mean
is explained in [metrics.md](metrics.md). "printed" is Bicubic in Table 1 of the paper.
"""

Enlarge = Callable[[Pixels], Pixels]


def rounded(lr: Pixels) -> Pixels:
    """Enlarged by PIL, which rounds to 8 bits: what lies on disk here."""
    return resize_bicubic(lr, SIZE)


def truncated(lr: Pixels) -> Pixels:
    """Enlarged in floating point and cut to 8 bits, as the released scripts cut what they save."""
    channels = [
        Image.fromarray(lr[..., channel].astype(np.float32)).resize(
            (SIZE, SIZE), Image.Resampling.BICUBIC
        )
        for channel in range(3)
    ]
    planes = [np.asarray(channel) for channel in channels]
    return np.stack(planes, axis=-1).clip(0, 255).astype(np.uint8)


WAYS: tuple[tuple[str, Enlarge, Protocol], ...] = (
    ("strict", rounded, STRICT),
    ("strict, but cut to 8 bits", truncated, STRICT),
    ("paper, PNG", rounded, Protocol("paper")),
    ("paper, JPEG", rounded, Protocol("paper", jpeg=True)),
)


def measure(files: Sequence[Path], scale: int) -> list[list[float]]:
    """Means, [ways][metrics]."""
    metrics = [find(name) for name in ("psnr", "ssim", "lpips-vgg")]
    sums = np.zeros((len(WAYS), len(metrics)))
    with progress(f"x{scale}", len(files)) as advance:
        for start in range(0, len(files), CHUNK):
            hr = [resize_bicubic(read_image(file), SIZE) for file in files[start : start + CHUNK]]
            lr = [resize_bicubic(pixels, SIZE // scale) for pixels in hr]
            for i, (_, enlarge, protocol) in enumerate(WAYS):
                sr = [enlarge(pixels) for pixels in lr]
                if protocol.jpeg:
                    sr = [through_jpeg(pixels) for pixels in sr]
                for j, metric in enumerate(metrics):
                    sums[i, j] += sum(metric.under(protocol).score(sr, hr))
            advance(len(hr))
    return (sums / len(files)).tolist()


def text(files: Sequence[Path]) -> str:
    """The whole file."""
    lines = [HEAD.format(count=len(files), size=SIZE)]
    lines += ["| scale | protocol | PSNR | SSIM | LPIPS-VGG |", "| --- | --- | --- | --- | --- |"]
    published = read_published(resource("results/published"))
    for scale in SCALES:
        for (name, _, _), (psnr, ssim, lpips) in zip(WAYS, measure(files, scale), strict=True):
            lines.append(f"| {scale} | {name} | {psnr:.2f} | {ssim:.4f} | {lpips:.4f} |")
        found = (published.find("celeba", scale, "bicubic", name) for name in ("psnr", "lpips"))
        digits = [value.printed if value else "" for value in found]
        lines.append(f"| {scale} | printed | {digits[0]} | | {digits[1]} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the file; returns the exit code."""
    if len(arguments) not in (1, 2):
        print("usage: python -m docs.protocols DIR [COUNT]", file=sys.stderr)
        return 2
    folder, count = Path(arguments[0]), int(arguments[1]) if arguments[1:] else COUNT
    files = sorted(path for path in folder.iterdir() if path.suffix in {".png", ".jpg"})[:count]
    FILE.write_text(text(files), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
