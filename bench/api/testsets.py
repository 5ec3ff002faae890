"""Test sets: `bench.prepare` and `bench.testset`."""

from collections.abc import Sequence
from pathlib import Path

from bench.api.workspace import workspace
from bench.core.concurrency import OrderedMap
from bench.core.config import Workspace
from bench.core.errors import BenchError, WrongUsage
from bench.core.files import write_bytes
from bench.core.names import invalid_filename_reason
from bench.core.suggest import look_up
from bench.testsets.align import ALIGNER
from bench.testsets.manifest import NoiseUnit, TestSet, open_testset
from bench.testsets.prepare import Prepared
from bench.testsets.prepare import prepare as build
from bench.testsets.recipe import find_recipe, plan_testset
from bench.testsets.sources import open_source


def prepare(
    dataset: str,
    *,
    source: str | Path | None = None,
    scale: int | None = None,
    size: int | None = None,
    count: int | None = None,
    degradation: str | None = None,
    align: bool = False,
    name: str | None = None,
    noise: float | None = None,
    noise_unit: NoiseUnit | None = None,
) -> TestSet:
    """Prepare a test set in the current workspace, or verify the existing one.

    Args:
        dataset: name of a recipe, such as "celeba", "ffhq" or "sample".
        source: folder, zip, tar or Parquet file of images, or "hf:OWNER/NAME" (default: the
            recipe's).
        scale: downsampling factor (default: 8).
        size: height and width of the HR images in pixels (default: bench.toml's or the recipe's).
        count: number of images, the first by name (default: the recipe's, or all).
        degradation: "bicubic", "blind" or "severe" (default: "bicubic", or none if the recipe has
            no ground truth).
        align: bring photographs to FFHQ alignment first.
        name: name of the test set (default: made of dataset, size and scale).
        noise: standard deviation of white noise that is added to the LR images, which are then
            neither rounded to 8 bits nor clipped.
        noise_unit: "signed" if `noise` counts in [-1, 1], as DPS and DAPS state it, "unit" if in
            [0, 1], as DiffPIR does.

    Raises:
        BenchError: the source cannot be read, an image is unusable, or a file has changed.

    Example:
        >>> testset = prepare("sample", scale=8, size=64, count=2)
        >>> testset.name, len(testset.entries)
        ('sample-64-x8', 2)
    """
    scales = None if scale is None else [scale]
    (made,) = prepare_scales(
        workspace(),
        dataset,
        None if source is None else str(source),
        scales,
        size,
        count,
        degradation,
        align,
        name,
        noise=noise,
        noise_unit=noise_unit,
    )
    return made.testset


def prepare_scales(
    here: Workspace,
    dataset: str,
    source: str | None = None,
    scales: Sequence[int] | None = None,
    size: int | None = None,
    count: int | None = None,
    degradation: str | None = None,
    align: bool = False,
    name: str | None = None,
    spread: OrderedMap | None = None,
    noise: float | None = None,
    noise_unit: NoiseUnit | None = None,
) -> list[Prepared]:
    """Prepare a test set per scale, decoding every photograph once; see `prepare`."""
    recipe = find_recipe(dataset, here.datasets)
    source = source or recipe.source
    if source is None:
        raise WrongUsage(
            f"{recipe.title} does not ship with bench: give its images with --source DIR. "
            f"Origin: {recipe.origin}."
        )
    aligned, seed = ALIGNER if align else None, here.config.seed
    size = here.config.size if size is None else size
    plans = [
        plan_testset(dataset, recipe, scale, size, degradation, seed, aligned, noise, noise_unit)
        for scale in (dict.fromkeys(scales) if scales else [None])
    ]
    if name is not None and (invalid_filename_reason(name) or name.startswith((".", "-"))):
        raise WrongUsage(f"--name {name!r} can't be a folder's name: give a plain one.")
    if name is not None and len(plans) > 1:
        raise WrongUsage("--name names one test set: give one --scale with it.")
    suffix = "-aligned" if align else ""
    targets = {here.testsets / (name or f"{plan.name}{suffix}"): plan for plan in plans}
    made = build(targets, recipe, open_source(source), count, spread=spread)
    for item in made:
        write_bytes(_last(here), item.testset.name.encode())
    return made


def testset(name: str | None = None) -> TestSet:  # noqa: PT028 - no test
    """Open a prepared test set of the current workspace and verify every file.

    Args:
        name: name of the test set (default: bench.toml's, else the last one prepared).

    Raises:
        BenchError: no such test set, or a file has changed.

    Example:
        >>> _ = prepare("sample", scale=8, size=64, count=2)
        >>> opened = testset("sample-64-x8")
        >>> opened.lr(next(iter(opened.entries))).shape
        (8, 8, 3)
    """
    here = workspace()
    chosen, _ = choose_testset(here, name)
    return open_testset(testset_folder(here, chosen))


def choose_testset(here: Workspace, name: str | None) -> tuple[str, str]:
    """Return the name of the chosen test set and its origin ("" if given).

    Raises:
        BenchError: none is named and none was prepared.
    """
    if name is not None:
        return name, ""
    if here.config.testset is not None:
        return here.config.testset, str(here.config_file)
    if last := last_prepared(here):
        return last, "the last one prepared"
    raise BenchError("No test set is prepared: start with `bench prepare sample --scale 8`.")


def testset_folder(here: Workspace, name: str) -> Path:
    """Return the folder of a prepared test set.

    Raises:
        WrongUsage: no such test set; the message suggests close names.
    """
    there = {of: here.testsets / of for of in prepared_testsets(here)}
    few = f"prepared are {', '.join([*there][:8])}." if there else "`bench prepare` makes one."
    return look_up(name, there, "There is no test set", few)


def prepared_testsets(here: Workspace) -> list[str]:
    """Return the names of the test sets of a workspace."""
    return sorted(path.parent.name for path in here.testsets.glob("*/manifest.json"))


def last_prepared(here: Workspace) -> str | None:
    """Return the name of the test set that was prepared last, if any."""
    return _last(here).read_text(errors="replace").strip() if _last(here).is_file() else None


def _last(here: Workspace) -> Path:
    return here.testsets / ".last"
