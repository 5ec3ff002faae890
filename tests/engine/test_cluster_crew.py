"""What a crew does with its workers, on a Ray that is a stand-in in this process."""

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench.cluster import Cluster, Crew, Unusable
from bench.cluster.connection import carried, results_in_order
from bench.core.errors import BenchError, WrongUsage
from bench.core.files import sha256
from tests.command import bench as command

ray_exceptions = pytest.importorskip("ray.exceptions", reason="Ray is an extra: cluster")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:google.*")


class Killed(Exception):
    """What work raises whose process is to end."""


@dataclass
class Actor:
    """Runs what it is given when somebody waits for it; `dead` from when its process ended."""

    station: Any
    dead: bool = False
    given: deque[Any] = field(default_factory=deque)

    def call(self, name: str, *arguments: Any) -> object:
        reference = object()
        self.given.append((reference, getattr(self.station, name), arguments))
        return reference

    def __getattr__(self, name: str) -> Any:
        return type("Method", (), {"remote": partial(self.call, name)})


class StandIn:
    """As much of Ray as a crew needs; `order` says which of the waiting workers is heard next.

    A `late` one has an answer only when the worker is through with what it was given next.
    """

    def __init__(self, order: Callable[[int], int] = lambda count: 0, late: bool = False) -> None:
        self.actors: list[Actor] = []
        self.most = 0
        self._order, self._late, self._kept = order, late, dict[Any, Any]()

    def remote(self, station: type) -> "StandIn":
        self._station = station
        return self

    def options(self, **resources: float) -> Any:
        def hire() -> Actor:
            self.actors.append(Actor(self._station()))
            return self.actors[-1]

        return type("Station", (), {"remote": staticmethod(hire)})

    def put(self, value: Any) -> Any:
        return value

    def kill(self, actor: Actor) -> None:
        actor.dead = True

    def wait(self, references: list[Any], num_returns: int, timeout: Any) -> tuple[Any, Any]:
        alive = [actor for actor in self.actors if actor.given and not actor.dead]
        self.most = max(self.most, sum(len(actor.given) for actor in alive))
        actor = alive[self._order(len(alive))]
        reference, work, arguments = actor.given.popleft()
        try:
            self._kept[reference] = work(*arguments)
            if self._late and actor.given:
                _, work, arguments = actor.given[0]
                work(*arguments)
        except Killed:
            actor.dead = True
            self._kept[reference] = ray_exceptions.RayActorError()
        except Exception as error:  # noqa: BLE001 - whatever it is comes back as Ray's
            self._kept[reference] = ray_exceptions.RayTaskError("work", "traceback", error)
        return [reference], []

    def get(self, reference: Any) -> Any:
        value = self._kept.pop(reference)
        if isinstance(value, Exception):
            raise value
        return value


def crew_of(work: Callable[[Any], Any], size: int = 2, ray: StandIn | None = None) -> Crew:
    crew = Crew(ray or StandIn(), lambda files: work, {}, size, {"num_cpus": 1})
    crew.gather()
    return crew


def test_items_are_taken_as_they_are_needed() -> None:
    taken: list[int] = []
    turns = itertools.count()
    ray = StandIn(order=lambda count: next(turns) % count)

    def items() -> Iterator[int]:
        for item in range(20):
            taken.append(item)
            yield item

    results = crew_of(lambda item: item * item, 3, ray).map(items())
    first = next(results)
    assert len(taken) <= 2 * 3 + 1
    assert sorted([first, *results]) == [item * item for item in range(20)]
    assert ray.most == 2 * 3


def test_results_in_order_wait_for_a_slow_one_with_a_bound() -> None:
    taken: list[int] = []
    turns = itertools.count()
    # The first worker has the first items, and is heard last of all from then on.
    ray = StandIn(order=lambda count: count - 1 if next(turns) else 0)

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    results = results_in_order(crew_of(lambda item: -item, 2, ray), items())
    assert next(results) == 0
    assert 10 < len(taken) < 30
    assert list(results) == [-item for item in range(1, 100)]


def test_what_ends_workers_is_singled_out() -> None:
    tried: list[tuple[int, ...]] = []
    ray = StandIn()

    def work(unit: tuple[int, ...]) -> int:
        tried.append(unit)
        if 2 in unit:
            raise Killed
        return sum(unit)

    def lost(unit: tuple[int, ...], why: str) -> tuple[list[Any], list[Any]]:
        if len(unit) == 1:
            return [], ["lost"]
        return [unit[: len(unit) // 2], unit[len(unit) // 2 :]], []

    units = [(0, 1, 2, 3), (4, 5), (6, 7)]
    results = list(crew_of(work, 1, ray).map(units, lost))
    assert sorted(map(str, results)) == sorted(["1", "lost", "3", "9", "13"])
    guilty = [unit for unit in tried if 2 in unit]
    assert guilty == [(0, 1, 2, 3)] * 2 + [(2, 3)] * 2 + [(2,)] * 2
    assert len(tried) - len(guilty) == 4
    assert len(ray.actors) == 1 + 6


def test_who_was_before_it_is_not_taken_for_what_ends_workers() -> None:
    """Though its answers are lost with them."""

    def work(item: int) -> int:
        if item == 1:
            raise Killed
        return item

    crew = crew_of(work, 1, StandIn(late=True))
    results = list(crew.map(range(4), lambda item, why: ([], [f"{item} is lost"])))
    assert sorted(map(str, results)) == ["0", "1 is lost", "2", "3"]


def test_a_worker_that_says_it_is_unusable_is_replaced_and_nothing_blamed() -> None:
    broken = iter([True, True, True])

    def work(item: int) -> int:
        if item == 1 and next(broken, False):
            raise Unusable("the GPU is gone")
        return item

    assert sorted(crew_of(work).map(range(4))) == [0, 1, 2, 3]


def test_workers_that_end_again_and_again_end_the_work() -> None:
    def work(item: int) -> int:
        raise Unusable("the GPU is gone")

    with pytest.raises(BenchError, match=r"die as soon as they start \(the GPU is gone\)"):
        list(crew_of(work).map(range(4)))


def test_an_item_that_may_not_be_lost_says_so() -> None:
    def work(item: int) -> int:
        raise Killed

    with pytest.raises(BenchError, match="died twice on the same batch"):
        list(crew_of(work).map([1]))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (WrongUsage("face-1 is torn."), "^face-1 is torn.$"),
        (ModuleNotFoundError("no", name="bench"), "bench is not installed on every machine"),
    ],
)
def test_what_work_raises_is_raised_here(error: Exception, told: str) -> None:
    def work(item: int) -> int:
        raise error

    with pytest.raises(BenchError, match=told):
        list(crew_of(work).map([1]))


def test_a_file_is_sent_to_who_lacks_it_and_read_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    digest, file = sha256(b"weights"), tmp_path / "w.pt"
    file.write_bytes(b"weights")
    found: list[Path] = []

    def gather() -> None:
        def make(files: Any) -> Any:
            found.append(files[digest])
            return None

        ray = StandIn()
        monkeypatch.setattr("ray.get", lambda value: value)
        Crew(ray, make, {digest: file}, 1, {"num_cpus": 1}).gather()

    gather()
    monkeypatch.setattr(Path, "is_file", lambda self: self != file and self.exists())
    gather()  # the driver's path is not there
    file.unlink()
    gather()  # nor can it send the file, which this machine has by now
    kept = tmp_path / "cache" / "received" / digest / "w.pt"
    assert found == [file, kept, kept]
    assert kept.read_bytes() == b"weights"


@pytest.mark.parametrize("address", ["here", "host", "ray://host", "http://host:1", "host:x", ""])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(WrongUsage, match="is not an address"):
        Cluster(address)


@pytest.mark.parametrize(
    ("cpus", "gpus", "workers"), [(1, 0, 8), (3, 0, 2), (1, 0.1, 8), (1, 0.5, 4), (4, 0.5, 2)]
)
def test_a_machine_carries_what_both_allow(cpus: int, gpus: float, workers: int) -> None:
    assert carried({"CPU": 8.0, "GPU": 2.0}, cpus, gpus) == workers
    assert carried({"memory": 1.0}, cpus, gpus) == 0


def test_a_tenth_of_a_gpu_is_had_ten_times() -> None:
    assert carried({"CPU": 99.0, "GPU": 1.0}, 1, 0.1) == 10


@pytest.mark.parametrize("gpus", [-1.0, 1.5])
def test_gpus_that_can_not_be_had_are_refused(gpus: float) -> None:
    with pytest.raises(WrongUsage, match="is not possible"):
        Cluster("ray", gpus=gpus)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_an_address_where_nothing_answers_is_told_at_once(address: str) -> None:
    with Cluster(address) as cluster, pytest.raises(BenchError, match=r"at 127\.0\.0\.1:1 \("):
        cluster.ask(int)


@pytest.mark.parametrize("arguments", [["run"], ["evaluate"], ["prepare", "sample"]])
def test_options_of_workers_need_a_cluster(arguments: list[str]) -> None:
    outcome = command(*arguments, "--workers", "2")
    assert (outcome.code, "--workers needs a cluster" in outcome.err) == (2, True), outcome
