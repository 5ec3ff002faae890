"""Fuzz targets: functions that turn bytes into a value or a BenchError, and their seeds."""

import io
import json
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import pandas as pd
import torch
from PIL import Image
from safetensors.torch import save

from bench.cli.options import changed_settings
from bench.core.config import read_config
from bench.core.errors import BenchError
from bench.core.files import sealed_json, write_bytes
from bench.core.names import invalid_filename_reason, stays_below
from bench.diffusion.unet import UNet, UNetConfig
from bench.images import decode, encode_png
from bench.methods.external.program import read_program
from bench.networks.checkpoints import Card, read_checkpoint
from bench.report.published.tables import read_published_table
from bench.report.renderers.escape import csv_text, latex_text, markdown_text, one_line, visible
from bench.sharing.audit import differences_of
from bench.sharing.bundle import Contents, Member, open_bundle, write_bundle
from bench.sharing.compare import compare
from bench.sharing.export import audit_bundle
from bench.sharing.results import bundle_results
from bench.sharing.side_by_side import comparisons_to_json, comparisons_to_markdown
from bench.store.run import Run
from bench.store.schema import FORMAT, Record, RunSpec
from bench.testsets.archives import open_archive
from bench.testsets.manifest import Entry, Manifest, Plan, differences, read_manifest
from bench.testsets.parquet import ParquetSource
from bench.testsets.photographs import Source, identified
from bench.testsets.recipe import find_recipe, plan_testset
from tests.small import picture

KEPT = Path(__file__).parent / "kept"

PNG = encode_png(picture(0, 8))
ENTRY = Entry("a", "hr/a.png", "lr/a.png", "0" * 64, "1" * 64, "a.png", "2" * 64)
MANIFEST = Manifest(1, Plan("tiny", 16, 4, "bicubic", 0, (0, 0, 1, 1)), "none", (ENTRY,))
SPEC = RunSpec("dpi", 1, {"steps": 50}, "0" * 64, {"prior": "1" * 64}, 0)
RUN = {"format": FORMAT, "identity": SPEC.identity, "title": "DPI", "spec": asdict(SPEC)}
TINY = UNetConfig(8, (1,), 1, (), 8, group_channels=4)
SCORE = dict.fromkeys(("image", "metric", "identity", "sr_sha256", "reference_sha256"), "x")


@dataclass(frozen=True)
class Target:
    """`parse` takes bytes and an empty folder; any error but a BenchError is a bug."""

    parse: Callable[[bytes, Path], object]
    seeds: Callable[[], list[bytes]]

    def __call__(self, data: bytes, folder: Path) -> None:
        with suppress(BenchError):
            self.parse(data, folder)


def at(name: str, parse: Callable[[Path], object]) -> Callable[[bytes, Path], object]:
    """Turn a parser of files into one of bytes, which are written to a file of this name."""

    def parse_bytes(data: bytes, folder: Path) -> object:
        write_bytes(folder / name, data)
        return parse(folder / name)

    return parse_bytes


def recipe(file: Path) -> None:
    plan_testset(file.stem, find_recipe(file.stem, file.parent))


def published(file: Path) -> None:
    read_published_table(file, {})


def program(file: Path) -> None:
    made = read_program(file)
    made.command({**asdict(made.settings(4)), **dict.fromkeys(PLACES, "x")})
    for path in (made.description.result, *made.description.inputs):
        assert (Path("/a/b") / path).resolve().is_relative_to("/a/b")


PLACES = ("python", "repository", "input", "output", "scale", "size")


def manifest(file: Path) -> None:
    made = read_manifest(file.parent)
    differences(file.parent, made)
    for entry in made.images:
        for name in (*entry.files, f"images/{entry.id}.png"):
            assert (file.parent / name).resolve().is_relative_to(file.parent.resolve())
    assert made.sha256


def run(file: Path) -> None:
    made = Run(file.parent)
    assert isinstance(made.description["title"], str)
    assert made.spec.identity
    differences_of(made)


def records(file: Path) -> None:
    made = Run(file.parent)
    for image in made.written():
        assert made.picture(image).parent == file.parent / "images"


def scores(file: Path) -> None:
    table = Run(file.parent).scores()
    assert table is None or table["value"].mean() is not None


def photographs(source: Source) -> None:
    """Read the ids and the first few photographs."""
    ids = source.ids(None)[:3]
    for photograph in source.photographs(set(ids)):
        assert photograph.id in ids
        assert invalid_filename_reason(photograph.id) is None


def names(data: bytes, folder: Path) -> None:
    """Read each line as a path within a source."""
    lines = data.decode(errors="surrogateescape").split("\n")
    for name in identified(lines, "the source"):
        assert (folder / f"{name}.png").parent == folder
        write_bytes(folder / f"{name}.png", b"")
        assert one_line(name)
    for line in lines:
        if stays_below(line):
            assert (folder / line).resolve().is_relative_to(folder)


def texts(data: bytes, folder: Path) -> None:
    text = data.decode(errors="surrogateescape")
    for shown in (visible(text), one_line(text), csv_text(text)):
        shown.encode()
        assert not any(c in shown for c in "\x1b\x9b\r\x08\x07\0")
    assert "<" not in markdown_text(text)
    bare = latex_text(text).replace("\\{", "").replace("\\}", "")
    assert bare.count("{") == bare.count("}")


def saved(value: object, old: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=not old)
    return buffer.getvalue()


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture(1, 8)).save(buffer, kind)
    return buffer.getvalue()


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/b.png", PNG)
    return buffer.getvalue()


def tarred(mode: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        member = tarfile.TarInfo("a.png")
        member.size = len(PNG)
        archive.addfile(member, io.BytesIO(PNG))
    return buffer.getvalue()


def parquet(rows: list[dict[str, object]]) -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame(rows).to_parquet(buffer, index=False)
    return buffer.getvalue()


def text_of(value: object) -> bytes:
    return json.dumps(value).encode()


def shipped(folder: str) -> list[bytes]:
    """Return the small TOML files of a folder of the project."""
    files = sorted((Path(__file__).parents[2] / folder).glob("*.toml"))
    return [data for file in files if len(data := file.read_bytes()) < 4000]


def tensors() -> list[bytes]:
    card = {"bench": json.dumps(asdict(Card("prior", 8, TINY)))}
    return [save({"a.weight": torch.zeros(2, 3)}, card)]


def pickles() -> list[bytes]:
    state = {"out.2.weight": torch.zeros(3, 2, 3, 3), "out.2.bias": torch.zeros(3)}
    prior = {name: value[:1] for name, value in UNet(TINY).state_dict().items()}
    return [saved(state), saved({"params": state}), saved(state, old=True), saved(prior)]


def checkpoint(file: Path) -> None:
    with suppress(BenchError):
        read_checkpoint(file, "sr3")
    read_checkpoint(file, "prior").build(UNet)


def exported(file: Path) -> None:
    """Do all that bench does with a stranger's archive."""
    bundle = open_bundle(file)
    for name in bundle.members:
        assert (file.parent / name).resolve().is_relative_to(file.parent.resolve())
    with suppress(BenchError):
        audit_bundle(bundle)
    for result in bundle_results(bundle):
        comparison = compare(result, result, [])
        assert comparisons_to_markdown([comparison], [result])
        assert json.loads(comparisons_to_json([comparison], [result]))


def export_of(files: dict[str, bytes | Path]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write_bundle(Path(folder) / "a.tar", files)
        return (Path(folder) / "a.tar").read_bytes()


def resealed(data: bytes) -> bytes:
    """Seal JSON as a stranger would; anything but an object stays as it is."""
    with suppress(ValueError, RecursionError):
        if isinstance(value := json.loads(data), dict):
            return sealed_json(value)
    return data


def export_of_run(data: bytes) -> bytes:
    """Return an export of a run with this description."""
    inside = f"results/tiny/dpi-{SPEC.identity[:12]}"
    return export_of(
        {
            f"{inside}/run.json": resealed(data),
            f"{inside}/records.parquet": parquet([RECORD]),
            f"{inside}/scores.parquet": parquet([{**SCORE, "value": 1.5, "note": ""}]),
        }
    )


def export_with_manifest(data: bytes) -> bytes:
    """Return an archive that begins with this manifest."""
    sealed, buffer = resealed(data), io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        member = tarfile.TarInfo("manifest.json")
        member.size = len(sealed)
        archive.addfile(member, io.BytesIO(sealed))
    return buffer.getvalue()


RECORD = asdict(Record("a", "0" * 64, 0.5, 50))

TARGETS = {
    "configuration": Target(at("bench.toml", read_config), lambda: shipped(".")),
    "recipe": Target(at("odd.toml", recipe), lambda: shipped("datasets")),
    "program": Target(at("odd.toml", program), lambda: shipped("baselines")),
    "published": Target(at("odd.toml", published), lambda: shipped("results/published")),
    "manifest": Target(at("manifest.json", manifest), lambda: [text_of(asdict(MANIFEST))]),
    "run": Target(at("run.json", run), lambda: [text_of({**RUN, "provenance": {}})]),
    "journal": Target(at("records.jsonl", records), lambda: [text_of(RECORD) + b"\n"]),
    "records": Target(at("records.parquet", records), lambda: [parquet([RECORD])]),
    "noted scores": Target(
        at("scores.jsonl", scores), lambda: [text_of({**SCORE, "value": 1.5, "note": ""}) + b"\n"]
    ),
    "scores": Target(
        at("scores.parquet", scores), lambda: [parquet([{**SCORE, "value": 1.5, "note": ""}])]
    ),
    "image": Target(
        lambda data, folder: decode(data, "odd"),
        lambda: [PNG, *map(encoded, ("JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM"))],
    ),
    "archive": Target(
        at("odd", lambda file: photographs(open_archive(file))),
        lambda: [zipped(), tarred("w"), tarred("w:gz")],
    ),
    "export": Target(
        at("a.tar", exported), lambda: [export_of_run(text_of({**RUN, "provenance": {}}))]
    ),
    "exported run": Target(
        lambda data, folder: at("a.tar", exported)(export_of_run(data), folder),
        lambda: [text_of({**RUN, "provenance": {"packages": {"torch": "2"}, "commit": "a"}})],
    ),
    "export's manifest": Target(
        lambda data, folder: at("a.tar", exported)(export_with_manifest(data), folder),
        lambda: [text_of(asdict(Contents(1, (Member("table.md", 1, "0" * 64),))))],
    ),
    "table of images": Target(
        at("odd.parquet", lambda file: photographs(ParquetSource((file,)))),
        lambda: [parquet([{"image": {"bytes": PNG, "path": "a.png"}}])],
    ),
    "safetensors": Target(at("odd.safetensors", checkpoint), tensors),
    "pickle": Target(at("odd.pt", checkpoint), pickles),
    "settings": Target(
        lambda data, folder: changed_settings(data.decode(errors="surrogateescape").split("\n")),
        lambda: [b"dpi.steps=50\ndr2.enhancer='x'\nddnm.eta=[1.5, {a = 1}]"],
    ),
    "names": Target(names, lambda: ["a.png\nb/c d.JPG\n\N{GRINNING FACE}.webp".encode(), b"..\\x"]),
    "texts": Target(texts, lambda: [b"=1 \x1b[0m <b> \\x{y}$ | ` *", "\u202e\ufeff".encode()]),
}


@cache
def seeds(name: str) -> list[bytes]:
    """Return a target's own seeds and the inputs that once broke it.

    They are made once: torch's legacy format holds addresses, which differ from call to call.
    """
    kept = [file.read_bytes() for file in sorted((KEPT / name).glob("*"))]
    return [*TARGETS[name].seeds(), *kept]
