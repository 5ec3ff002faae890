"""Write docs/results/protocols.md and its figure: strict and paper protocol on your faces.

python -m tools.protocols DIR [COUNT]

DIR is a folder of 256 px faces, COUNT the number of faces (default: 150).
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from bench.core.files import write_bytes
from bench.core.paths import resource
from bench.core.progress import progress
from bench.images import Pixels, read_image, resize_bicubic
from bench.metrics import find
from bench.metrics.protocol import STRICT, Protocol, through_jpeg
from bench.report.figures import canvas
from bench.report.published.tables import published_value, read_published

FILE = Path(__file__).parents[1] / "docs" / "results" / "protocols.md"
PICTURE = FILE.parents[1] / "images" / "protocols.png"
SIZE = 256
COUNT = 150
CHUNK = 8

SCALES = (8, 16)

HEAD = """\
# What the paper protocol changes

Written by `python -m tools.protocols DIR`. Bicubic enlargement of {count} faces of {size} px, which
were reduced by PIL's bicubic filter; means over the faces. The entries of
the protocol column are explained in [metrics.md](../reference/metrics.md).
"printed" is Bicubic in Table 1 of the paper.

![LPIPS-VGG under each protocol](../images/{picture})

On the range that its authors define, LPIPS is nearly twice what the paper prints, and neither JPEG
nor the way of rounding explains that; fed with values up to 509, as the released script does, it
comes near. PSNR and SSIM hardly move.
"""

Enlarge = Callable[[Pixels], Pixels]


def rounded(lr: Pixels) -> Pixels:
    """Upsample with PIL, which rounds to 8 bits, as bench writes images."""
    return resize_bicubic(lr, SIZE)


def truncated(lr: Pixels) -> Pixels:
    """Upsample in floating point and truncate to 8 bits, as the released scripts save images."""
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
    ("strict, truncated instead of rounded", truncated, STRICT),
    ("paper, PNG", rounded, Protocol("paper")),
    ("paper, JPEG", rounded, Protocol("paper", jpeg=True)),
)


def measure(files: Sequence[Path], scale: int) -> list[list[float]]:
    """Return the mean scores [ways][metrics]."""
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


def text(values: Mapping[int, list[list[float]]], count: int) -> str:
    """Return the text of the file, given the values by scale."""
    lines = [HEAD.format(count=count, size=SIZE, picture=PICTURE.name)]
    lines += ["| scale | protocol | PSNR | SSIM | LPIPS-VGG |", "| --- | --- | --- | --- | --- |"]
    for scale, rows in values.items():
        for (name, _, _), (psnr, ssim, lpips) in zip(WAYS, rows, strict=True):
            lines.append(f"| {scale} | {name} | {psnr:.2f} | {ssim:.4f} | {lpips:.4f} |")
        digits = [printed(scale, name) for name in ("psnr", "lpips")]
        lines.append(f"| {scale} | printed | {digits[0]} | | {digits[1]} |")
    return "\n".join(lines) + "\n"


def printed(scale: int, metric: str) -> str:
    """Return the value of Bicubic in the paper's Table 1, as printed."""
    tables = read_published(resource("results/published"))
    found = published_value(tables, "celeba", scale, "bicubic", metric)
    return found.printed if found else ""


def picture(values: Mapping[int, list[list[float]]]) -> bytes:
    """Plot LPIPS by protocol, with a line at the paper's number, as PNG."""
    with canvas.drawing():
        figure = canvas.blank(2 * canvas.COLUMN, 1.3)
        axes = figure.add_subplot()
        for (scale, rows), colour, marker in zip(
            values.items(), canvas.COLOURS, canvas.MARKERS, strict=False
        ):
            lpips = [row[-1] for row in rows]
            axes.plot(lpips, range(len(WAYS)), marker, color=colour, label=f"x{scale}")
            axes.axvline(
                float(printed(scale, "lpips")), ls=":", color=colour, label=f"x{scale}, printed"
            )
        axes.set_yticks(range(len(WAYS)), [name for name, _, _ in WAYS])
        axes.set_ylim(len(WAYS) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.set_xlabel("LPIPS-VGG of Bicubic")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        canvas.fit(axes, 0.05, 0.05, 2 * canvas.COLUMN - 0.05, 1.25)
        return canvas.encode(figure, ".png")


def main(arguments: Sequence[str]) -> int:
    """Write the file; return the exit code."""
    if len(arguments) not in (1, 2):
        print("usage: python -m tools.protocols DIR [COUNT]", file=sys.stderr)
        return 2
    folder, count = Path(arguments[0]), int(arguments[1]) if arguments[1:] else COUNT
    files = sorted(path for path in folder.iterdir() if path.suffix in {".png", ".jpg"})[:count]
    values = {scale: measure(files, scale) for scale in SCALES}
    write_bytes(PICTURE, picture(values))
    write_bytes(FILE, text(values, len(files)).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
