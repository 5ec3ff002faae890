"""Images of the page: each stored once under its hash, with thumbnails."""

import io
import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from bench.core.concurrency import parallel_map, processors
from bench.core.files import write_bytes
from bench.core.progress import track
from bench.report.page.section import Section

THUMBNAIL = 160
"""Side of a thumbnail in pixels; smaller images need none."""


def place_pictures(folder: Path, sections: Sequence[Section]) -> None:
    """Copy every image into the page's folder and remove unused ones.

    Images are linked where the file system allows it, else copied. Existing files are kept, so
    that a stopped command resumes.
    """
    layers = [layer for section in sections for layer in section.layers]
    pictures = {
        folder / "pictures" / f"{name}.png": file
        for layer in layers
        for file, name in layer.pictures.values()
    }
    thumbnails = {
        folder / "thumbnails" / f"{name}.jpg": file
        for layer in layers
        if layer.size > THUMBNAIL
        for file, name in layer.pictures.values()
    }
    for target, source in pictures.items():
        _link(source, target)
    missing = [(source, target) for target, source in thumbnails.items() if not target.is_file()]
    workers = processors() if len(missing) > 200 else 1  # starting one takes a second
    made = parallel_map(_make_thumbnail, missing, workers)
    for _ in track(made, "Thumbnails", len(missing)):
        pass
    for there in (*folder.glob("pictures/*.png"), *folder.glob("thumbnails/*.jpg")):
        if there not in pictures and there not in thumbnails:
            there.unlink()


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileExistsError:
        return
    except OSError:  # another disk, or one without links
        write_bytes(target, source.read_bytes())


def _make_thumbnail(job: tuple[Path, Path]) -> None:
    source, target = job
    buffer = io.BytesIO()
    with Image.open(source) as picture:
        small = picture.convert("RGB").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BICUBIC)
    small.save(buffer, "JPEG", quality=88)
    write_bytes(target, buffer.getvalue())
