"""Hashes of the code, which must be equal on all machines of a cluster."""

from pathlib import Path

from bench.core.files import sha256, sha256_json
from bench.core.paths import resource


def code() -> str:
    """Return the hash of bench's code and methods, independent of where they are installed."""
    rooms = (Path(__file__).parents[1], resource("baselines"))
    return sha256_json(
        [{name: sha256(text) for name, text in programs(room).items()} for room in rooms]
    )


def programs(folder: Path) -> dict[str, bytes]:
    """Return relative name -> Python or TOML file of a folder, without bundled folders."""
    files = sorted((*folder.rglob("*.py"), *folder.rglob("*.toml")))
    named = {path.relative_to(folder).as_posix(): path for path in files}
    return {n: path.read_bytes() for n, path in named.items() if not n.startswith("shipped/")}
