"""Commands for reference sets: add, list."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.shared import flag, say, workspace

ReferenceOption = Annotated[
    str | None,
    typer.Option(
        "--reference",
        help=(
            "Reference set of FID and other set metrics: a reference, test set, folder, "
            "archive or statistics file (default: from bench.toml or the recipe, else the "
            "originals)."
        ),
    ),
]

DeviceOption = Annotated[
    str,
    typer.Option("--device", help="Device of the metrics: auto, cpu, cuda (all GPUs) or cuda:N."),
]


def add(
    name: Annotated[str, typer.Argument(help="Name of the reference set.")],
    source: Annotated[
        str,
        typer.Argument(
            help="Test set, folder or archive of images, or statistics file (.npz, .pth)."
        ),
    ],
    extractor: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "Feature extractor: clean-fid, torch-fidelity, pytorch-fid or vgg16; may be "
                "repeated (default: all available; pytorch-fid for a statistics file)."
            )
        ),
    ] = None,
    size: Annotated[int | None, typer.Option(help="Resize images to SIZE pixels.", min=16)] = None,
    keep_features: Annotated[
        bool, flag("--keep-features", "Keep the features, which KID and KD-VGG16 need.")
    ] = False,
    images: Annotated[
        int | None, typer.Option(help="Number of images behind a statistics file.", min=2)
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Compute the statistics of a set of clean images for FID. The command resumes."""
    from bench.api.references import add_reference

    made = add_reference(
        workspace(),
        name,
        source,
        labels=extractor or (),
        size=size,
        keep_features=keep_features,
        images=images,
        device=device,
    )
    say(f"{made} is ready for {', '.join(made.made_by)}, in {made.folder}")


def show() -> None:
    """List the reference sets."""
    from bench.metrics.sets.reference_set import find_reference, references

    for name in references():
        reference = find_reference(name)
        say(f"{name:16} {reference}, {', '.join(reference.made_by)}, from {reference.source}")
    if not references():
        say("There is no reference set: `bench reference add NAME SOURCE` makes one.")
