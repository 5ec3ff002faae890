"""Options of commands that can run on a cluster."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from bench.core.errors import WrongUsage

if TYPE_CHECKING:
    from bench.cluster import Cluster
    from bench.engine.executors.work import Executor

PlaceOption = Annotated[
    str | None,
    typer.Option(
        "--on",
        help=(
            "Run on a Ray cluster: ray (start one for this command), HOST:PORT, "
            "ray://HOST:PORT or auto (default: run in this process)."
        ),
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(help="Number of workers (default: as many as fit on the cluster).", min=1),
]
CpusOption = Annotated[int | None, typer.Option(help="CPU threads per worker (default: 1).", min=1)]
GpusOption = Annotated[
    float | None,
    typer.Option(help="GPUs per worker, such as 0.5 (default: 1 if the cluster has any).", min=0),
]


def opened(
    place: str | None, workers: int | None, cpus: int | None = None, gpus: float | None = None
) -> AbstractContextManager[Cluster | None]:
    """Open the cluster described by the options, or return None to run in this process.

    Raises:
        WrongUsage: an address that is none, or options of workers without a cluster.
        BenchError: Ray is not installed.
    """
    if place is None:
        given = {"--workers": workers, "--cpus-per-worker": cpus, "--gpus-per-worker": gpus}
        for option, value in given.items():
            if value is not None:
                raise WrongUsage(f"{option} needs a cluster: name it with --on.")
        return nullcontext()
    from bench.cluster import Cluster

    return Cluster(place, workers, cpus or 1, gpus)


def executor_on(cluster: Cluster | None) -> Executor | None:
    """Return the executor on a cluster; None for this machine."""
    if cluster is None:
        return None
    from bench.engine.executors.cluster import OnCluster

    return OnCluster(cluster)
