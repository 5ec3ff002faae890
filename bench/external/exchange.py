"""Handing pictures to a program as files, and taking its results back."""

import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.external import process
from bench.external.delivery import Delivery, inspect, read_delivered
from bench.external.installation import Installation
from bench.external.program import Program
from bench.files import write_bytes
from bench.images import IMAGE_SUFFIXES, Pixels, encode_png, resize_bicubic


def restore(
    program: Program, pictures: Mapping[str, Pixels], scale: int, settings: Any
) -> tuple[dict[str, Pixels], Delivery]:
    """Run the program once over LR pictures [h, h, 3] by image id.

    Returns its results [scale * h, scale * h, 3] that are as they should be, and what is wrong
    with the others.

    Raises:
        BenchError: the program is not set up, can't make images of this size, failed, took too
            long, or left pictures that nobody asked for; then nothing is taken from it.
    """
    description = program.description
    installation = Installation(program)
    installation.fingerprint()
    (low,) = {picture.shape[0] for picture in pictures.values()}
    size = program.result_size(scale * low, scale)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        given, taken, log = folder / "input", folder / "output", folder / "log.txt"
        taken.mkdir()
        for below, form in description.inputs.items():
            for image, picture in pictures.items():
                prepared = resize_bicubic(picture, size) if form == "enlarged" else picture
                write_bytes(given / below / f"{image}.png", encode_png(prepared))
        places = {
            "python": installation.python,
            "repository": installation.repository,
            "input": given,
            "output": taken,
            "scale": scale,
            "size": size,
        }
        command = program.command({**asdict(settings), **places})
        limit = description.limits.start + description.limits.image * len(pictures)
        try:
            process.run(
                command,
                installation.repository,
                log,
                limit,
                description.environment.variables,
            )
        except BenchError as error:
            raise BenchError(f"{program.name}: {error}\nAll of it: {installation.log}") from None
        finally:
            if log.exists():
                write_bytes(installation.log, log.read_bytes())
        files = _results(taken, description.result, pictures)
        beside = {
            str(path.relative_to(taken))
            for path in (taken / description.result).parent.glob("*")
            if path not in files.values() and path.suffix.lower() in IMAGE_SUFFIXES
        }
        delivery = inspect(pictures, _inside(taken, files), beside, size)
        if delivery.extra:
            raise BenchError(
                f"{program.name} left other pictures than it was asked for, so that none is "
                f"taken. {delivery} What it printed: {installation.log}"
            )
        good = [i for i in pictures if i not in delivery.missing and i not in delivery.wrong]
        results = {image: read_delivered(files[image], size) for image in good}
    if size != scale * low:
        results = {image: resize_bicubic(p, scale * low) for image, p in results.items()}
    return results, delivery


def _results(folder: Path, pattern: str, images: Mapping[str, Any]) -> dict[str, Path]:
    """Image id -> where its result should be."""
    return {image: folder / pattern.replace("{image}", image) for image in images}


def _inside(folder: Path, files: Mapping[str, Path]) -> dict[str, Path]:
    """Those of the files that are there, and that don't lead out of the folder."""
    root = folder.resolve()
    return {
        image: path
        for image, path in files.items()
        if path.is_file() and path.resolve().is_relative_to(root)
    }
