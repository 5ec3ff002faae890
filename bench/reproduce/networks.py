"""Networks of a reproduction: public checkpoints, and Correctors to train."""

from collections.abc import Iterator
from pathlib import Path

from bench.api.results import chosen_metrics
from bench.core.errors import BenchError
from bench.core.files import sha256_cached
from bench.engine.models import choose_device
from bench.methods import Configured, configure
from bench.metrics.features.backbones import LPIPS, fetch_backbones, missing_backbones
from bench.metrics.protocol import protocols
from bench.networks.find import find_network
from bench.networks.kinds import find_kind
from bench.networks.registry.obtain import accepted, get_weights
from bench.networks.registry.records import find_record, records
from bench.reproduce.steps import Request, Step
from bench.training.settings import preset
from bench.training.tasks import corrector_task, run_task

Need = tuple[str, int, int]
"""Kind of network, scale, and k of a Corrector (0 for other kinds)."""

PAPER_K = 2
"""Default spacing k of a Corrector's grid."""


def weights(request: Request) -> Iterator[Step]:
    """Yield a step per public checkpoint of a method or metric."""
    wanted: dict[str, None] = {}
    for kind, scale, _ in _needs(request):
        stem = find_kind(kind).file_stem(request.size, scale)
        if stem in records() and kind not in request.config.weights:
            wanted[stem] = None
    for metric in chosen_metrics(request.workspace, request.metrics):
        for protocol in protocols(request.suite.protocol, request.testsets()[0].plan.recipe):
            wanted |= dict.fromkeys(metric.under(protocol).records)
    for name in wanted:
        yield _backbones() if name == LPIPS else _public(name, request.options.embedded)


def _public(name: str, embedded: bool) -> Step:
    record, what = find_record(name), f"weights {name}"

    def fetch() -> Step:
        got = get_weights(name)
        return Step(what, "done", digest=sha256_cached(got))

    if record.path.is_file():
        return Step(what, "done", digest=sha256_cached(record.path))
    if embedded:
        return Step(what, "left out", "it is not shipped with bench")
    size = f"{record.size / 1e6:.0f} MB, {record.licence}" if record.size else record.licence
    if not record.sources:
        action = f"download {record.file} from {record.by_hand}, then `bench weights add {name}`"
        return Step(what, "missing", action)
    if not accepted(record):
        return Step(what, "missing", f"{size}: accept the licence with `bench weights get {name}`")
    return Step(what, "to do", size, perform=fetch)


def _backbones() -> Step:
    what = "weights lpips"

    def fetch() -> Step:
        fetch_backbones()
        return Step(what, "done")

    if not missing_backbones():
        return Step(what, "done")
    return Step(what, "to do", "AlexNet and VGG16", perform=fetch)


def training(request: Request) -> Iterator[Step]:
    """Yield a step per unpublished network; Correctors are trained."""
    for kind, scale, k in _needs(request):
        if kind in request.config.weights or find_kind(kind).file_stem(request.size, scale) in (
            records()
        ):
            continue
        what = f"{kind} for {request.size} px"
        if not find_kind(kind).every_scale:
            what += f", x{scale}" if scale > 1 else ", blind"
        if k not in {0, PAPER_K}:
            what += f", k = {k}"
        try:
            path = find_trained(request, kind, scale, k)
        except BenchError as error:
            if request.options.embedded:
                yield Step(what, "left out", "none ships with bench")
            elif kind == "corrector":
                yield _corrector(request, what, scale, k)
            else:
                yield Step(what, "missing", str(error))
            continue
        yield Step(what, "done", str(path), sha256_cached(path))


def _corrector(request: Request, what: str, scale: int, k: int) -> Step:
    images = request.options.training
    # A batch of 32 images of 256 px takes 10 GB at once.
    passes = 8 if choose_device().type == "cpu" else None
    settings = preset("paper", steps=request.options.training_steps, accumulate=passes)
    cost = f"training of {settings.steps:,} steps of {settings.batch} images"
    if images is None:
        learns = request.suite.training_data
        return Step(what, "missing", f"{cost}: give --training-images DIR ({learns})")

    def train() -> Step:
        degradation = "bicubic" if scale > 1 else "blind"
        task = corrector_task(request.size, scale, k, "paper", degradation)
        path = _trained(request, scale, k)
        run_task(task, images, settings, path.parent)
        return Step(what, "done", str(path), sha256_cached(path))

    return Step(what, "to do", cost, perform=train)


def _needs(request: Request) -> list[Need]:
    """Return the networks of all runs, inner methods included."""
    needs: dict[Need, None] = {}
    for testset in request.testsets():
        for run in request.runs(testset):
            configured = configure(run.method, testset.plan.scale, request.size, run.settings)
            for need in configured.needs:
                k = spacing(configured) if need == "corrector" else 0
                every = find_kind(need).every_scale or find_kind(need).trained_by is None
                needs[need, 1 if every else testset.plan.scale, k] = None
    return list(needs)


def spacing(configured: Configured) -> int:
    """Return the k of a method's Corrector."""
    return int(getattr(configured.settings, "k", PAPER_K))


def _trained(request: Request, scale: int, k: int) -> Path:
    """Return the path of a trained Corrector."""
    stem = find_kind("corrector").file_stem(request.size, scale)
    folder = stem if k == PAPER_K else f"{stem}-k{k}"
    return request.here.root / "weights" / folder / f"{stem}.safetensors"


def find_trained(request: Request, kind: str, scale: int, k: int) -> Path:
    """Return the file of a network.

    Raises:
        BenchError: the file is missing.
    """
    if k and (path := _trained(request, scale, k)).is_file():
        return path
    if k not in (0, PAPER_K):
        raise BenchError(f"There is no {kind} for k = {k}.")
    return find_network(kind, request.size, scale)
