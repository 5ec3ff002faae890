"""The commands that look and tell: methods, datasets, verify, doctor, weights."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.shared import prepared, testset_folder, workspace
from bench.errors import BenchError


def methods() -> None:
    """List the methods with what they need."""
    from bench.method import find_method, method_names

    for name in method_names():
        method = find_method(name)
        needs = ", ".join(sorted(method.needs)) or "nothing"
        typer.echo(f"{name:12} {method.title:10} needs {needs}. {method.paper}".rstrip())


def datasets() -> None:
    """List the recipes, and the test sets that are prepared here."""
    from bench.testset.recipe import find_recipe, recipe_names

    for name in recipe_names():
        recipe = find_recipe(name)
        typer.echo(f"{name:12} {recipe.title}: {recipe.licence}")
    for name in prepared(workspace()):
        typer.echo(f"prepared: {name}")


def verify(
    testset: Annotated[str, typer.Argument(help="Name of a prepared test set.")],
) -> None:
    """Hash every file of a test set again and report every difference."""
    from bench.testset.manifest import differences, read_manifest

    folder = testset_folder(workspace(), testset)
    manifest = read_manifest(folder)
    found = differences(folder, manifest)
    for line in found:
        typer.echo(line)
    if found:
        raise BenchError(f"{len(found)} files of {testset} are not what was prepared.")
    typer.echo(f"{testset}: {2 * len(manifest.images)} files are as they were prepared.")


def doctor() -> None:
    """Say what is installed and here, and for all that is missing the command that gets it."""
    from importlib.metadata import PackageNotFoundError, version

    from bench import metrics
    from bench.resources import cache_folder, checkpoints
    from bench.weights import PUBLIC

    def line(name: str, state: str, remedy: str = "") -> None:
        typer.echo(f"{name:24} {state}{f'  ->  {remedy}' if remedy else ''}")

    typer.echo("Packages")
    for package in ("bench", "torch", "torchvision", "lpips", "scikit-image"):
        try:
            line(f"  {package}", version(package))
        except PackageNotFoundError:
            line(f"  {package}", "missing", "make install")
    typer.echo("Device")
    for name, value in _device():
        line(f"  {name}", value)
    typer.echo("Weights")
    for path in sorted(checkpoints().glob("*.safetensors")):
        line(f"  {path.stem}", "embedded")
    for public in PUBLIC:
        if (cache_folder() / public.file).is_file():
            line(f"  {public.name}", "here")
        else:
            get = f"download {public.sources[1]}, then bench weights add {public.name} FILE"
            line(f"  {public.name}", "missing", get)
    typer.echo("Metrics")
    for metric in metrics.all_metrics().values():
        reason = metric.unavailable()
        line(f"  {metric.title}", "missing" if reason else "works here", reason or "")
    typer.echo("Test sets")
    there = prepared(workspace())
    for name in there:
        line(f"  {name}", "prepared")
    if not there:
        line("  none", "", "bench prepare sample --scale 8")


def _device() -> list[tuple[str, str]]:
    import torch

    ram = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    facts = [
        ("processor", f"{platform.machine()}, {torch.get_num_threads()} threads"),
        ("memory", f"{ram:.0f} GiB"),
    ]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            memory = f"{properties.total_memory / 2**30:.0f} GiB"
            facts.append((f"GPU {index}", f"{properties.name}, {memory}"))
    else:
        facts.append(("GPU", "none: everything runs on the CPU"))
    free = shutil.disk_usage(Path.cwd()).free
    facts.append(("disk", f"{free / 2**30:.0f} GiB free"))
    return facts


def weights_list() -> None:
    """List the networks that are embedded, and the public ones that can be added."""
    from bench.resources import cache_folder, checkpoints
    from bench.weights import PUBLIC

    for path in sorted(checkpoints().glob("*.safetensors")):
        typer.echo(f"{path.stem:20} embedded")
    for public in PUBLIC:
        here = "here" if (cache_folder() / public.file).is_file() else "not here"
        typer.echo(
            f"{public.name:20} {here}: {public.file}, sha256 {public.sha256}, "
            f"licence: {public.licence}"
        )


def weights_get(
    name: Annotated[str, typer.Argument(help="What to fetch: lpips, or as a metric names it.")],
) -> None:
    """Fetch weights that metrics need, verified by hash."""
    from bench.metrics.backbones import fetch_backbones
    from bench.metrics.downloads import get

    for path in fetch_backbones() if name == "lpips" else [get(name)]:
        typer.echo(f"Ready: {path}")


def weights_add(
    name: Annotated[str, typer.Argument(help="Name of a public checkpoint, such as prior-256.")],
    file: Annotated[Path, typer.Argument(help="The file that you downloaded.")],
) -> None:
    """Add a checkpoint that was downloaded by hand, after checking its hash."""
    from bench.weights import add_weights

    typer.echo(f"Added {add_weights(name, file)}")
