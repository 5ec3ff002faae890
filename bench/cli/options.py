"""Options shared by commands that run or plan methods, and what they describe.

A command takes a group of options as one parameter, a dataclass with one option per field.
"""

from __future__ import annotations

import inspect
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from bench.cli.shared import TestsetOption, flag, value_of
from bench.core.errors import WrongUsage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.cluster import Cluster
    from bench.core.config import Workspace
    from bench.engine.executors.work import Executor
    from bench.engine.experiment import Experiment
    from bench.testsets.manifest import TestSet

Precision = Literal["float32", "bfloat16", "float16"]
"""Precision of networks; importing `bench.core.config.Precision` would slow the help down."""


ChangesOption = Annotated[
    list[str] | None, typer.Option("--set", help="Setting as METHOD.NAME=VALUE; may be repeated.")
]
SeedOption = Annotated[int | None, typer.Option(help="Random seed (default: from bench.toml).")]
PriorOption = Annotated[str | None, typer.Option(help="Prior: a checkpoint or hf:OWNER/NAME.")]
CorrectorOption = Annotated[str | None, typer.Option(help="Corrector checkpoint.")]
PrecisionOption = Annotated[
    Precision | None, typer.Option(help="Precision of the networks (default: from bench.toml).")
]
CompiledOption = Annotated[
    bool, flag("--compile", "Compile the networks; takes about a minute once.")
]
FailFastOption = Annotated[bool, flag("--fail-fast", "Stop at the first image that fails.")]


def option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option per field of its parameters that are dataclasses.

    Options without a default come first.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}

    def called(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        command(**given)

    expanded = []
    for name, parameter in inspect.signature(command).parameters.items():
        own = [parameter]
        if name in groups:
            own = [*inspect.signature(groups[name]).parameters.values()]
            hints |= get_type_hints(groups[name], include_extras=True)
        expanded += [p.replace(kind=p.KEYWORD_ONLY, annotation=hints[p.name]) for p in own]
    expanded.sort(key=lambda p: p.default is not p.empty)
    called.__name__, called.__doc__ = command.__name__, command.__doc__
    # typer reads the options from these two.
    called.__signature__ = inspect.Signature(expanded)  # type: ignore[attr-defined]
    called.__annotations__ = {p.name: p.annotation for p in expanded}
    return called


@dataclass(frozen=True)
class SuiteOptions:
    """Options that choose methods and a test set.

    Raises:
        WrongUsage: methods are given together with --all.
    """

    methods: Annotated[
        list[str] | None, typer.Argument(help="Methods (default: those in bench.toml).")
    ] = None
    testset_name: TestsetOption = None
    every: Annotated[bool, flag("--all", "Run every method whose prerequisites are met.")] = False

    def __post_init__(self) -> None:
        if self.every and self.methods:
            raise WrongUsage(f"--all and {self.methods[0]} exclude each other: choose one.")

    def names(self, here: Workspace, experiment: Experiment) -> Sequence[str]:
        """Return the named methods, all that can run here, or those of bench.toml."""
        from bench.engine.availability import all_methods

        if self.every:
            size, scale = experiment.plan.size, experiment.plan.scale
            found = all_methods(size, scale, experiment.settings, experiment.weights, here.results)
            return [method.name for method in found if method.runs]
        return self.methods or here.config.methods


@dataclass(frozen=True)
class ExperimentOptions:
    """Options of an experiment; the defaults are those of bench.toml."""

    changes: ChangesOption = None
    seed: SeedOption = None
    batch: Annotated[
        int | None,
        typer.Option(
            help=(
                "Batch size (default: from bench.toml, else 8 on a CPU and as many as fit on a "
                "GPU)."
            ),
            min=1,
        ),
    ] = None
    prior: PriorOption = None
    corrector: CorrectorOption = None
    weights: Annotated[
        list[str] | None,
        typer.Option(help="Checkpoint of any network as KIND=FILE; may be repeated."),
    ] = None
    repeat: Annotated[
        int, typer.Option(help="Number of repetitions, each with its own noise.", min=1)
    ] = 1

    def on(
        self,
        here: Workspace,
        testset: TestSet,
        precision: Precision | None = None,
        compiled: bool = False,
    ) -> Experiment:
        """Return the experiment on a test set.

        Raises:
            WrongUsage: a setting or checkpoint is malformed.
        """
        from bench.api.results import experiment_on

        return experiment_on(
            here,
            testset,
            settings=changed_settings(self.changes or []),
            weights=self._weights(),
            seed=self.seed,
            repetitions=self.repeat,
            precision=precision,
            batch=self.batch,
            compiled=compiled,
        )

    def _weights(self) -> dict[str, str]:
        """Return kind -> checkpoint from --weights, --prior and --corrector.

        Raises:
            WrongUsage: an item is not KIND=FILE.
        """
        options = {"prior": self.prior, "corrector": self.corrector}
        chosen = {kind: file for kind, file in options.items() if file}
        for choice in self.weights or ():
            kind, equals, file = choice.partition("=")
            if not (equals and kind and file):
                raise WrongUsage(f"--weights {choice} is not of the form KIND=FILE.")
            chosen[kind] = file
        return chosen


@dataclass(frozen=True)
class ClusterOptions:
    """Options of commands that can run on a cluster."""

    place: Annotated[
        str | None,
        typer.Option(
            "--on",
            help=(
                "Run on a Ray cluster: ray (start one for this command), HOST:PORT, "
                "ray://HOST:PORT or auto (default: run in this process)."
            ),
        ),
    ] = None
    workers: Annotated[
        int | None,
        typer.Option(help="Number of workers (default: as many as fit on the cluster).", min=1),
    ] = None

    def opened(self) -> AbstractContextManager[Cluster | None]:
        """Return a context manager of the cluster, or of None to run in this process.

        Raises:
            WrongUsage: an invalid address, or options of workers without --on.
            BenchError: Ray is not installed.
        """
        options = asdict(self)
        if self.place is None:
            for name, value in options.items():
                if value is not None:
                    option = f"--{name.replace('_', '-')}"
                    raise WrongUsage(f"{option} needs a cluster: name it with --on.")
            return nullcontext()
        from bench.cluster import Cluster

        cpus, gpus = options.get("cpus_per_worker"), options.get("gpus_per_worker")
        return Cluster(self.place, self.workers, cpus or 1, gpus)


@dataclass(frozen=True)
class WorkerOptions(ClusterOptions):
    """Options of commands that run methods on a cluster."""

    cpus_per_worker: Annotated[
        int | None, typer.Option(help="CPU threads per worker (default: 1).", min=1)
    ] = None
    gpus_per_worker: Annotated[
        float | None,
        typer.Option(
            help="GPUs per worker, such as 0.5 (default: 1 if the cluster has any).", min=0
        ),
    ] = None


def executor_on(cluster: Cluster | None) -> Executor | None:
    """Return the executor on a cluster; None for this machine."""
    if cluster is None:
        return None
    from bench.engine.executors.cluster import OnCluster

    return OnCluster(cluster)


def changed_settings(changes: list[str]) -> dict[str, dict[str, Any]]:
    """Parse --set into method -> setting -> value, with values read as TOML.

    Raises:
        WrongUsage: an item is not METHOD.NAME=VALUE.
    """
    settings: dict[str, dict[str, Any]] = {}
    for change in changes:
        target, equals, text = change.partition("=")
        method, dot, name = target.partition(".")
        if not (equals and dot and method and name):
            raise WrongUsage(f"--set {change} is not of the form METHOD.NAME=VALUE.")
        settings.setdefault(method, {})[name] = value_of(text)
    return settings
