"""Commands for weights: list, get, add, convert, verify."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.shared import flag, say
from bench.core.errors import BenchError, WrongUsage

if TYPE_CHECKING:
    from bench.networks.registry.records import PublicCheckpoint


def show(
    name: Annotated[str | None, typer.Argument(help="Show all details of one network.")] = None,
) -> None:
    """List embedded networks, and public ones with their availability."""
    from bench.core.paths import HUB, checkpoints
    from bench.metrics.features.backbones import BACKBONES, LPIPS, missing_backbones
    from bench.networks.hub import KNOWN, hub_file
    from bench.networks.registry.records import find_record, records

    if name is not None:
        parts = [backbone.record for backbone in BACKBONES.values()] if name == LPIPS else [name]
        for part in parts:
            _describe(find_record(part))
        return
    for path in sorted(checkpoints().glob("*.safetensors")):
        say(f"{path.stem:24} embedded")
    say(f"{LPIPS:24} {'not here' if missing_backbones() else 'here':9} LPIPS's backbones")
    for record in records().values():
        here = "here" if record.path.is_file() else "not here"
        size = f"{record.size / 1e6:.0f} MB, " if record.size else ""
        say(f"{record.name:24} {here:9} {record.title} ({size}{record.licence})")
    for hub_name, known in KNOWN.items():
        here = "here" if hub_file(HUB + hub_name).is_file() else "not here"
        say(f"{HUB + hub_name:24} {here:9} {known.title} ({known.licence})")


def _describe(record: PublicCheckpoint) -> None:
    from bench.networks.registry.hashes import expected

    digest = expected(record)
    note = " (recorded at first use; none is published)" if digest and not record.sha256 else ""
    facts = {
        record.name: record.title,
        "file": record.file,
        "sha256": f"{digest or 'not known'}{note}",
        "size": f"{record.size:,} bytes" if record.size else "not known",
        "licence": " ".join(filter(None, [record.licence, record.terms])),
        "sources": " ".join(record.sources) or "no direct download",
        "by hand": record.by_hand,
        "here": str(record.path) if record.path.is_file() else f"no: {record.remedy}",
    }
    for key, value in facts.items():
        if value:
            say(f"{key:24} {value}")


def get(
    name: Annotated[
        str, typer.Argument(help="Name from `bench weights list`, pyiqa:METRIC or hf:OWNER/NAME.")
    ],
    accept_licence: Annotated[
        bool, flag("--accept-licence", "Accept a non-commercial licence without asking.")
    ] = False,
) -> None:
    """Download weights and verify their hash. Interrupted downloads resume."""
    from bench.metrics.features.backbones import LPIPS, fetch_backbones

    if name == LPIPS:
        for path in fetch_backbones():
            say(f"Ready: {path}")
        return
    from bench.core.paths import HUB
    from bench.metrics.pyiqa_any import PREFIX, fetch, pyiqa_metric
    from bench.networks.hub import get_hub_prior
    from bench.networks.registry.obtain import accept, accepted, get_weights
    from bench.networks.registry.records import find_record

    if name.startswith(PREFIX):
        pyiqa_metric(name)  # check that it exists
        _ask(name, "pyiqa's, non-commercial; the authors' own for the weights", accept_licence)
        say(f"Ready: {name}, whose tensors have the sha256 {fetch(name)}")
        return
    if name.startswith(HUB):
        say(f"Ready: {get_hub_prior(name)}, use it with `--prior {name}`.")
        return
    record = find_record(name)
    if record.sources and not accepted(record):
        _ask(record.file, f"{record.licence}. {record.terms}".rstrip(), accept_licence)
        accept(record)
    path = get_weights(name)
    _tell_first_use(record)
    say(f"Ready: {path}")


def _ask(file: str, licence: str, accept_licence: bool) -> None:
    """Ask the user to accept a licence.

    Raises:
        BenchError: the user declines, or the session is not interactive.
    """
    say(f"{file} is under this licence: {licence}")
    if accept_licence:
        return
    if not _at_a_terminal():
        raise BenchError(
            "The licence needs your consent, but the session is not interactive: add "
            "--accept-licence."
        )
    if not typer.confirm("Do you accept it?"):
        raise BenchError(f"{file} was not downloaded because its licence was not accepted.")


def _at_a_terminal() -> bool:
    return sys.stdin.isatty()


def add(
    name: Annotated[str, typer.Argument(help="Name from `bench weights list`.")],
    file: Annotated[Path, typer.Argument(help="Downloaded file.")],
) -> None:
    """Add a manually downloaded checkpoint after verifying its hash."""
    from bench.networks.registry.obtain import add_weights
    from bench.networks.registry.records import find_record

    path = add_weights(name, file)
    _tell_first_use(find_record(name))
    say(f"Added {path}")


def convert(
    file: Annotated[
        Path, typer.Argument(help="Prior in guided-diffusion's layout, or a diffusers folder.")
    ],
    out: Annotated[Path, typer.Option(help="File to write (.safetensors).")],
    size: Annotated[
        int | None, typer.Option(help="Image size in pixels of a guided-diffusion file.", min=1)
    ] = None,
) -> None:
    """Convert a prior trained elsewhere into a file that states its size."""
    from bench.networks.checkpoints import convert_prior

    if out.suffix != ".safetensors":
        raise WrongUsage(f"--out {out} must end with .safetensors.")
    convert_prior(file, size, out)
    say(f"Wrote {out}: use it with `--weights prior={out}`.")


def _tell_first_use(record: PublicCheckpoint) -> None:
    from bench.networks.registry.hashes import expected

    if record.sha256 is None:
        say(
            f"No published hash exists for {record.file}; this one was accepted. From now on "
            f"its sha256 must be {expected(record)}."
        )


def verify() -> None:
    """Verify the hashes of embedded and cached weights."""
    from bench.metrics.features.backbones import BACKBONES, damaged_backbones, missing_backbones
    from bench.networks.registry.hashes import changed_weights

    hashed, found = changed_weights()
    hashed += len(BACKBONES) - len(missing_backbones())
    found += damaged_backbones()
    for line in found:
        say(line)
    if found:
        raise BenchError(f"{len(found)} weight files do not match their hashes.")
    say(f"{hashed} files match their hashes.")
