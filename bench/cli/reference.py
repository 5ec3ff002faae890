"""The commands about reference sets: add, list."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.shared import say, workspace

ReferenceOption = Annotated[
    str | None,
    typer.Option(
        "--reference",
        help="What set metrics such as FID compare with: a reference, test set, folder, archive or "
        "statistics file (default: bench.toml's, the recipe's, or the originals).",
    ),
]

DeviceOption = Annotated[
    str,
    typer.Option("--device", help="Where metrics are computed: auto, cpu, cuda (all) or cuda:N."),
]


def add(
    name: Annotated[str, typer.Argument(help="Name for `--reference`.")],
    source: Annotated[
        str,
        typer.Argument(help="Test set, folder or archive of images, or statistics (.npz, .pth)."),
    ],
    extractor: Annotated[
        list[str] | None,
        typer.Option(
            help="clean-fid, torch-fidelity, pytorch-fid or vgg16; may be repeated "
            "(default: all that can run; pytorch-fid for statistics)."
        ),
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Resize images to this many pixels.", min=16)
    ] = None,
    keep_features: Annotated[
        bool, typer.Option("--keep-features", help="Keep features, for KID and KD-VGG16.")
    ] = False,
    images: Annotated[
        int | None, typer.Option(help="Images that a statistics file was made from.", min=2)
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Compute the statistics of clean images, which FID compares results with; resumable."""
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
    from bench.metrics.reference_set import find_reference, references

    for name in references():
        reference = find_reference(name)
        say(f"{name:16} {reference}, {', '.join(reference.made_by)}, from {reference.source}")
    if not references():
        say("There is no reference set: `bench reference add NAME SOURCE` makes one.")
