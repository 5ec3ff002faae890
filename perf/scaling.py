"""How far one driver reaches: `python -m perf.scaling workers|driver|ray`.

- "workers": images a second of a real method on a local Ray with 1 and with 2 workers of one
  thread, and in this process.
- "driver": the real driver with the real store, and workers that sleep in place of computing:
  images a second for 1, 8, 64 and 512 of them, the driver's own processor time, and what went
  through it.
- "ray": the real bookkeeping over a real Ray. Four idle actors answer at once, with as many calls
  waiting as 4, 64 and 512 workers would have.
"""

import heapq
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

import bench.cluster.crew
from bench.cluster import Cluster
from bench.engine.cluster import OnCluster
from bench.engine.experiment import Experiment
from bench.engine.run import run_method
from bench.engine.work import Assignment, Executor, Outcome, Restored, Unit, Workers
from bench.engine.worker import ThisProcess
from bench.files import write_bytes
from bench.images import Pixels, encode_png
from bench.resources import resource
from bench.testset.manifest import TestSet
from bench.testset.prepare import prepare
from bench.testset.recipe import Recipe, plan_testset
from bench.testset.sources import open_source

SECONDS = 1.0  # that a sleeping worker takes for an image
IMAGES = 256  # of the largest simulation; fewer workers get fewer


@dataclass
class Sleepers:
    """An executor of `count` workers that sleep, two units in hand, in one process.

    Every one of them gives the same picture, and is done `SECONDS` for each image behind the
    moment at which it began. `bytes` is what pictures took on the way in and out.
    """

    count: int
    picture: Pixels
    bytes: int = 0

    def provenance(self) -> dict[str, Any]:
        return {}

    @contextmanager
    def ready(self, assignment: Assignment) -> Iterator[Workers]:
        yield self._restore

    def _restore(self, units: Iterable[Unit]) -> Iterator[Outcome]:
        given = iter(units)
        free = [time.monotonic()] * self.count  # when each worker will have done what it has
        under_way: list[tuple[float, int, Unit]] = []
        number = 0
        while True:
            while len(under_way) < 2 * self.count and (unit := next(given, None)) is not None:
                begins = max(heapq.heappop(free), time.monotonic())
                ends = begins + SECONDS * len(unit)
                heapq.heappush(free, ends)
                heapq.heappush(under_way, (ends, number, unit))
                number += 1
            if not under_way:
                return
            ends, _, unit = heapq.heappop(under_way)
            time.sleep(max(0.0, ends - time.monotonic()))
            pictures = dict.fromkeys(unit.images, self.picture)
            self.bytes += sum(p.nbytes for p in (*unit.lr, *pictures.values()))
            yield Outcome((Restored(pictures, SECONDS, 0),), {}, 0)


@dataclass
class Watched:
    """An executor, and when each of its outcomes came."""

    inner: Executor
    came: list[float] = field(default_factory=list)

    def provenance(self) -> Mapping[str, Any]:
        return self.inner.provenance()

    @contextmanager
    def ready(self, assignment: Assignment) -> Iterator[Workers]:
        with self.inner.ready(assignment) as restore:

            def watched(units: Iterable[Unit]) -> Iterator[Outcome]:
                for outcome in restore(units):
                    self.came.append(time.perf_counter())
                    yield outcome

            yield watched


def workers() -> Iterator[tuple[str, ...]]:
    """What 1 and 2 workers do of a method of our own, DDNM in 5 steps at 64 px, units of 4."""
    yield "workers", "seconds until the first unit", "units a second from then on"
    with tempfile.TemporaryDirectory() as name:
        testset = _testset(Path(name), 48, 64)

        def timed(executor: Executor, label: str) -> tuple[str, ...]:
            watched = Watched(executor)
            start = time.perf_counter()
            settings = {"ddnm": {"steps": 5}}
            experiment = Experiment(testset, Path(name) / label, settings, batch=4)
            run_method("ddnm", experiment, executor=watched)
            first, *others = watched.came
            return label, f"{first - start:.1f}", f"{len(others) / (others[-1] - first):.2f}"

        yield timed(ThisProcess(), "this process")
        for count in (1, 2):
            with Cluster("ray", workers=count) as cluster:
                yield timed(OnCluster(cluster), f"{count}, on Ray")


def driver() -> Iterator[tuple[str, ...]]:
    """The driver and the store at 256 px, with workers that sleep."""
    yield "workers", "images", "images a second", "the driver's ms an image", "MB a second"
    with tempfile.TemporaryDirectory() as name:
        testset = _testset(Path(name), IMAGES, 256)
        picture = testset.hr(next(iter(testset.entries)))
        for count in (1, 8, 64, 512):
            part = _part(testset, min(IMAGES, max(8, count * 4)))
            sleepers = Sleepers(count, picture)
            experiment = Experiment(part, Path(name) / str(count), batch=1)
            start, busy = time.perf_counter(), time.process_time()
            done = run_method("bicubic", experiment, executor=sleepers).restored
            seconds, busy = time.perf_counter() - start, time.process_time() - busy
            rate, cost = f"{done / seconds:.1f}", f"{1000 * busy / done:.1f}"
            yield str(count), str(done), rate, cost, f"{sleepers.bytes / seconds / 1e6:.1f}"


def ray() -> Iterator[tuple[str, ...]]:
    """Units of an image through a crew of four actors that answer at once."""
    yield "calls waiting", "units", "result", "units a second", "the driver's ms a unit"
    result = np.zeros((256, 256, 3), np.uint8)
    with Cluster("ray", workers=4) as cluster:
        for shown, value in (("a face of 256 px", result), ("nothing", None)):
            for in_hand in (2, 32, 256):
                bench.cluster.crew._IN_HAND = in_hand  # noqa: SLF001 - what is measured
                with cluster.crew(_Answer(value), {}, gpus=0) as crew:
                    calls = 4 * in_hand
                    units = max(512, 2 * calls)
                    start, busy = time.perf_counter(), time.process_time()
                    done = sum(1 for _ in crew.map(range(units)))
                    seconds, busy = time.perf_counter() - start, time.process_time() - busy
                yield (
                    str(calls),
                    str(done),
                    shown,
                    f"{done / seconds:.0f}",
                    f"{1000 * busy / done:.2f}",
                )


@dataclass(frozen=True)
class _Answer:
    """Makes a function that returns the same, whatever it is called with."""

    value: Any

    def __call__(self, files: Mapping[str, Path]) -> Any:
        return lambda item: self.value


def _testset(folder: Path, count: int, size: int) -> TestSet:
    """The sample faces, repeated and brought to a size."""
    faces = sorted((resource("datasets") / "sample" / "images").glob("*.png"))
    for number in range(count):
        with Image.open(faces[number % len(faces)]) as face:
            picture = np.asarray(face.convert("RGB").resize((size, size)))
        write_bytes(folder / "photos" / f"{number:05}.png", encode_png(picture))
    recipe = Recipe("Sample", "", "", "", "", size=size)
    plan = plan_testset("sample", recipe, 8)
    source = open_source(str(folder / "photos"))
    return prepare({folder / "testsets" / "faces": plan}, recipe, source, None)[0].testset


def _part(testset: TestSet, count: int) -> TestSet:
    images = testset.manifest.images[:count]
    return replace(testset, manifest=replace(testset.manifest, images=images))


def main(what: str) -> None:
    """Print one table."""
    header, *rows = {"workers": workers, "driver": driver, "ray": ray}[what]()
    table = Table(*header)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    main(sys.argv[1])
