"""Pack exports and audit them.

    manifest.json                               hashes of all that follows
    table.json, table.csv, table.md             the table, as `bench report` prints it
    testsets/<test set>/manifest.json           hashes of its files, without the images
    results/<test set>/<run>/run.json, ...      the run's folder: settings, provenance, records,
                                                failures, scores; on request the images

Unpacked into a workspace, these are where bench would have put them.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.core.errors import BenchError
from bench.core.files import SEAL, parse_json, seal_matches
from bench.core.tables import parse_table
from bench.core.validation import read_back
from bench.report.renderers.escape import one_line
from bench.sharing.audit import Audit, code_part, differences_of
from bench.sharing.bundle import Bundle
from bench.store.run import Run
from bench.store.schema import RunSpec, parse_description
from bench.testsets.manifest import FILE_NAME, Manifest, TestSet, parse_manifest

DESCRIPTION = "run.json"
RECORDS = "records.parquet"
TABLES = (RECORDS, "failures.parquet", "scores.parquet")
PRINTED = ("table.json", "table.csv", "table.md")


def export_files(
    testset: TestSet, runs: Sequence[Run], table: Sequence[str], pictures: bool
) -> dict[str, Path | bytes]:
    """Return archive name -> file or bytes; `table` holds the texts of `PRINTED`.

    Raises:
        BenchError: a run is under way, or not as it was written.
    """
    files: dict[str, Path | bytes] = {
        name: text.encode() for name, text in zip(PRINTED, table, strict=True)
    }
    files[f"testsets/{testset.name}/{FILE_NAME}"] = testset.folder / FILE_NAME
    for run in runs:
        _require_whole(run)
        inside = f"results/{testset.name}/{run.folder.name}"
        for name in (DESCRIPTION, *TABLES):
            if (path := run.folder / name).exists():
                files[f"{inside}/{name}"] = path
        if pictures:
            for image in run.written():
                files[f"{inside}/images/{image}.png"] = run.picture(image)
    return files


def _require_whole(run: Run) -> None:
    """Check that a run is finished, not being scored, and unchanged.

    Raises:
        BenchError: the run is unfinished, is being scored, or has changed.
    """
    if not run.finished or any(run.folder.glob("*.jsonl")):
        raise BenchError(
            f"{run.folder} is not finished: complete it with `bench run` and `bench evaluate`."
        )
    if found := differences_of(run):
        raise BenchError(f"{found[0]} Fix this first; `bench verify` lists all problems.")


def audit_bundle(bundle: Bundle) -> Audit:
    """Verify all hashes of an archive and the consistency of its runs.

    Nothing is written to disk.

    Raises:
        BenchError: a description, a table or a manifest in it can't be read.
    """
    if found := bundle.differences():
        return Audit((), tuple(found))
    known = set(PRINTED)
    manifests = {}
    for name in named(bundle, "testsets", FILE_NAME):
        data, where = bundle.read(name), f"{bundle.path}: {name}"
        manifests[name.split("/")[1]] = parse_manifest(data, where)
        found += _unsealed(data, where)
        known.add(name)
    origins = []
    for name in named(bundle, "results", DESCRIPTION):
        inside = name.removesuffix(f"/{DESCRIPTION}")
        origin, lines = _audit_run(bundle, inside, manifests)
        origins.append(origin)
        found += lines
        known |= {name, *_pictures(bundle, inside), *(f"{inside}/{table}" for table in TABLES)}
    found += [
        f"{bundle.path}: {name} is not part of an export."
        for name in bundle.members
        if name not in known
    ]
    return Audit(tuple(origins), tuple(found))


def _audit_run(
    bundle: Bundle, inside: str, manifests: Mapping[str, Manifest]
) -> tuple[str, list[str]]:
    """Audit a run in an archive: origins, and one line per mismatch."""
    _, testset, folder = inside.split("/")
    name, where = f"{inside}/{DESCRIPTION}", f"{bundle.path}: {inside}"
    data = bundle.read(name)
    found = _unsealed(data, f"{bundle.path}: {name}")
    description = parse_description(parse_json(data, where, "a run's description"), where)
    spec = read_back(RunSpec, description["spec"], where)
    if folder != f"{spec.method}-{spec.identity[:12]}":
        found.append(f"{where} holds a different run than its name states.")
    if testset not in manifests or manifests[testset].sha256 != spec.testset:
        found.append(f"{where} belongs to a different test set than the packed one.")
    written, pictures = _written(bundle, inside), _pictures(bundle, inside)
    found += _differing_pictures(bundle, inside, written)
    what = f"{len(pictures)} pictures" if pictures else "no pictures"
    code = code_part(spec, description["provenance"])
    facts = f"{description['title']} on {testset} ({spec.testset[:12]})"
    return one_line(f"{folder}: {facts}, {len(written)} images, {what}, {code}"), found


def named(bundle: Bundle, room: str, file: str) -> Iterator[str]:
    """Yield the archive's files of a name, one per test set or run."""
    depth = {"testsets": 3, "results": 4}[room]
    for name in bundle.members:
        parts = name.split("/")
        if (parts[0], parts[-1], len(parts)) == (room, file, depth):
            yield name


def _written(bundle: Bundle, inside: str) -> dict[str, str]:
    """Return image -> recorded hash of a run, validating its other tables.

    Raises:
        BenchError: no records, or one that can't be read.
    """
    tables = {
        table: parse_table(bundle.read(name), f"{bundle.path}: {name}")
        for table in TABLES
        if (name := f"{inside}/{table}") in bundle.members
    }
    if RECORDS not in tables:
        raise BenchError(f"{bundle.path} lacks {inside}/{RECORDS}: export it again.")
    records = tables[RECORDS]
    if not {"image", "sha256"} <= set(records.columns):
        raise BenchError(
            f"{bundle.path}: {inside}/{RECORDS} has no images and hashes: another version wrote it."
        )
    return {str(i): str(sha) for i, sha in zip(records["image"], records["sha256"], strict=True)}


def _pictures(bundle: Bundle, inside: str) -> list[str]:
    """Return the names of a run's images in an archive."""
    return [name for name in bundle.members if name.startswith(f"{inside}/images/")]


def _differing_pictures(bundle: Bundle, inside: str, written: Mapping[str, str]) -> list[str]:
    """Return a line per image of a run that differs from its record."""
    there = _pictures(bundle, inside)
    wanted = {f"{inside}/images/{image}.png": digest for image, digest in written.items()}
    lines = [
        f"{bundle.path}: {name} is not in the records."
        for name in there
        if wanted.get(name) != bundle.members[name].sha256
    ]
    if there:
        lines += [
            f"{bundle.path}: {name} is missing." for name in wanted if name not in bundle.members
        ]
    return lines


def _unsealed(data: bytes, where: str) -> list[str]:
    return [] if seal_matches(data) else [f"{where} has changed since it was written ({SEAL})."]
