"""Exchange images with a program through files."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.core.errors import BenchError
from bench.core.files import write_bytes
from bench.images import IMAGE_SUFFIXES, Pixels, encode_png, resize_bicubic
from bench.methods.external import process
from bench.methods.external.delivery import Delivery, inspect, read_delivered
from bench.methods.external.installation import Installation
from bench.methods.external.program import Program


def run_program(
    program: Program, pictures: Mapping[str, Pixels], scale: int, settings: Any
) -> tuple[dict[str, Pixels], Delivery]:
    """Run the program once over LR images [h, h, 3] by image id.

    Returns the valid results [scale * h, scale * h, 3], and an error for each of the others.

    Raises:
        BenchError: the program is not set up, can't make images of this size, failed, timed out,
            or left unexpected images; none of its results are used then.
    """
    (low,) = {picture.shape[0] for picture in pictures.values()}
    size = program.result_size(scale * low, scale)
    installation = Installation(program)
    installation.fingerprint()  # hashed now, so that exactly the named files are run
    with _told_of_no_room():
        folder = tempfile.TemporaryDirectory(prefix="bench-")
    with folder as name:
        given, taken, log = (Path(name, part) for part in ("input", "output", "log.txt"))
        with _told_of_no_room():
            _write_inputs(program, pictures, size, given, taken)
        places = {"input": given, "output": taken, "scale": scale, "size": size}
        limits = program.description.limits
        seconds = limits.start + limits.image * len(pictures)
        bounds = process.Bounds(seconds, limits.memory, taken, limits.output)
        _call(installation, {**asdict(settings), **places}, log, bounds)
        results, delivery = _collect(program, taken, list(pictures), size)
    if size != scale * low:
        results = {image: resize_bicubic(p, scale * low) for image, p in results.items()}
    return results, delivery


@contextmanager
def _told_of_no_room() -> Iterator[None]:
    """Explain how to get room where the temporary folder can't be written."""
    try:
        yield
    except OSError as error:
        folder = os.environ.get("TMPDIR") or tempfile.gettempdir()
        raise BenchError(
            f"The temporary folder {folder} can't be written ({error.strerror}): set TMPDIR to a "
            "folder with room."
        ) from None


def _write_inputs(
    program: Program, pictures: Mapping[str, Pixels], size: int, given: Path, taken: Path
) -> None:
    """Write the program's inputs, read-only."""
    taken.mkdir()
    for below, form in program.description.inputs.items():
        for image, picture in pictures.items():
            prepared = resize_bicubic(picture, size) if form == "enlarged" else picture
            write_bytes(given / below / f"{image}.png", encode_png(prepared))
    for path in (given, *given.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)


def _call(
    installation: Installation, values: Mapping[str, Any], log: Path, bounds: process.Bounds
) -> None:
    """Run the program's command, keeping its output."""
    program, repository = installation.program, installation.repository
    variables, failure = program.description.environment.variables, program.description.failure
    where = {"python": installation.python, "repository": repository}
    command = program.command({**values, **where})
    try:
        process.run_command(command, repository, log, variables, bounds)
        if failure and failure in log.read_text(encoding="utf-8", errors="replace"):
            raise BenchError(f"it printed {failure!r}, which means that it failed.")
    except BenchError as error:
        raise BenchError(f"{program.name}: {error}\nFull output: {installation.log}") from None
    finally:
        write_bytes(installation.log, log.read_bytes())


def _collect(
    program: Program, folder: Path, images: list[str], size: int
) -> tuple[dict[str, Pixels], Delivery]:
    """Return image id -> valid result [size, size, 3], reading only inside the folder.

    Raises:
        BenchError: unexpected images next to the results, so that their assignment is unclear.
    """
    pattern = program.description.result
    places = {image: folder / pattern.replace("{image}", image) for image in images}
    root = folder.resolve()
    files = {
        image: place
        for image, place in places.items()
        if place.is_file() and place.resolve().is_relative_to(root)
    }
    beside = {p for p in (folder / pattern).parent.glob("*") if p.suffix.lower() in IMAGE_SUFFIXES}
    extra = [str(place.relative_to(folder)) for place in beside - set(places.values())]
    delivery = inspect(images, files, extra, size)
    if delivery.extra:
        raise BenchError(
            f"{program.name} wrote unexpected files, so no result was accepted. "
            f"{delivery} Its output: {Installation(program).log}"
        )
    good = [image for image in files if image not in delivery.wrong]
    return {image: read_delivered(files[image], size) for image in good}, delivery
