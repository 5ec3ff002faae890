"""Commands for test sets: prepare, datasets, verify, sheet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bench.cli.options import ClusterOptions, option_groups
from bench.cli.shared import TestsetOption, flag, open_testset_named, say, workspace
from bench.core.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Callable

NoiseUnit = Literal["signed", "unit"]
"""Units of noise; importing `bench.testsets.manifest.NoiseUnit` would cost the help seconds."""


@option_groups
def prepare(
    *,
    dataset: Annotated[str, typer.Argument(help="Recipe, such as celeba or sample.")],
    scale: Annotated[
        list[int] | None,
        typer.Option(help="Downscaling factor; repeat it to build several test sets (default: 8)."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(help="Images: a folder, zip, tar or Parquet file, or hf:OWNER/NAME."),
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="HR size in pixels (default: from bench.toml or the recipe).")
    ] = None,
    count: Annotated[int | None, typer.Option(help="Use only the first COUNT images.")] = None,
    degradation: Annotated[
        str | None, typer.Option(help="Degradation: bicubic, blind or severe.")
    ] = None,
    noise: Annotated[
        float | None,
        typer.Option(
            help=(
                "Standard deviation of Gaussian noise on the LR images, which then "
                "stay unquantised."
            )
        ),
    ] = None,
    noise_unit: Annotated[
        NoiseUnit | None,
        typer.Option(help="Pixel range of --noise: signed for [-1, 1], unit for [0, 1]."),
    ] = None,
    align: Annotated[bool, flag("--align", "Align photographs as in FFHQ first.")] = False,
    name: Annotated[
        str | None, typer.Option(help="Test set name (default: generated, such as celeba-64-x8).")
    ] = None,
    machines: ClusterOptions,
) -> None:
    """Build test sets of HR and LR images.

    A manifest records how each was made, with the hash of every file.
    """
    from bench.api.testsets import prepare_scales
    from bench.testsets.recipe import find_recipe, selection_notes, small_input_notes

    opened = machines.opened()
    here = workspace()
    recipe = find_recipe(dataset, here.datasets)
    if size is None and here.config.size is not None and (source or recipe.source):
        say(f"HR size {here.config.size} px, from {here.config_file}; override it with --size.")
    if size is None and here.config_file is None:
        say(
            f"No bench.toml is here: HR size {recipe.size} px, the recipe's. `bench init` writes "
            "one for the networks that ship, of 64 px.",
            err=True,
        )
    with opened as cluster:
        spread = cluster.map if cluster else None
        made = prepare_scales(
            *(here, dataset, source, scale, size, count, degradation, align, name, spread),
            noise=noise,
            noise_unit=noise_unit,
        )
    for note in selection_notes(recipe, made[0].testset.manifest, count):
        say(f"Note: {note}")
    for item in made:
        for note in small_input_notes(item.testset.manifest):
            say(f"Note: {item.testset.name}: {note}")
        plan, testset = item.testset.manifest.plan, item.testset
        noise_words = f" with noise of {plan.sigma:g} in [-1, 1]" if plan.noise else ""
        hr = f"HR {plan.size} px" if testset.ground_truth else "no ground truth"
        verb = "already exists and is intact" if item.was_there else "is ready"
        say(
            f"{testset.name} {verb}: {len(testset.manifest.images)} images, "
            f"LR {plan.size // plan.scale} px{noise_words}, {hr}, in {testset.folder}"
        )


def datasets(context: typer.Context) -> None:
    """List dataset recipes and prepared test sets."""
    if context.invoked_subcommand is not None:
        return
    from bench.api.testsets import prepared_testsets
    from bench.testsets.manifest import read_manifest
    from bench.testsets.recipe import find_recipe, recipe_files

    here = workspace()
    made_of = {
        name: read_manifest(here.testsets / name).plan.recipe for name in prepared_testsets(here)
    }
    for name in recipe_files(here.datasets):
        recipe = find_recipe(name, here.datasets)
        say(f"{name:12} {recipe.title}: {recipe.licence}")
        if recipe.source:
            say(f"{'':12} images: {recipe.source}")
        if sets := [made for made, recipe_name in made_of.items() if recipe_name == name]:
            say(f"{'':12} prepared: {', '.join(sets)}")


def datasets_add(
    name: Annotated[str, typer.Argument(help="Name of the recipe.")],
    path: Annotated[Path, typer.Argument(help="Folder or archive of images; nothing is copied.")],
    size: Annotated[int, typer.Option(help="HR size in pixels.", min=1)] = 256,
    licence: Annotated[str, typer.Option(help="Licence or terms of use.")] = "not stated",
) -> None:
    """Write a recipe for your own images."""
    from bench.testsets.recipe import add_recipe

    file = add_recipe(name, path, workspace().datasets, size, licence)
    say(f"Wrote {file}: `bench prepare {name}` builds a test set of it.")


def verify(
    target: Annotated[str, typer.Argument(help="Test set, results folder or archive.")],
) -> None:
    """Verify the hashes of a test set, an archive or results.

    For results, trace each run to its test set, weights and code.
    """
    from bench.api.testsets import testset_folder
    from bench.sharing.audit import Audit, audit_runs, audit_testset
    from bench.sharing.bundle import open_bundle
    from bench.sharing.export import audit_bundle
    from bench.store.run import runs_within
    from bench.testsets.manifest import read_manifest

    here, path = workspace(), Path(target)
    what = target
    count: Callable[[], int]  # at the end, since a damaged set can't be counted
    if path.is_file():
        bundle = open_bundle(path)
        audit, count = audit_bundle(bundle), lambda: len(bundle.members)
    elif runs := runs_within(path) if path.is_dir() else []:
        what = f"{len(runs)} runs in {path}"
        audit, count = (
            audit_runs(runs, here.testsets),
            lambda: sum(len(run.written()) for run in runs),
        )
    else:
        inside = (path / "manifest.json").is_file()
        folder = path if inside else testset_folder(here, target)
        audit, count = (
            Audit((), tuple(audit_testset(folder))),
            lambda: sum(len(entry.files) for entry in read_manifest(folder).images),
        )
    for line in (*audit.origins, *audit.found):
        say(line)
    if audit.found:
        raise BenchError(f"{len(audit.found)} files of {what} have changed or are missing.")
    say(f"{what}: {count()} files are intact.")


def sheet(
    file: Annotated[Path, typer.Argument(help="PNG file to write.")],
    testset_name: TestsetOption = None,
    faces: Annotated[int, typer.Option(help="Number of faces.", min=1)] = 24,
) -> None:
    """Save a contact sheet of a test set.

    It shows LR beside HR, four faces per row.
    """
    from bench.core.files import write_bytes
    from bench.images import encode_png
    from bench.report.tables import collect

    testset = open_testset_named(workspace(), testset_name)
    write_bytes(file, encode_png(collect.contact_sheet(testset, faces)))
    say(f"Saved {file}")
