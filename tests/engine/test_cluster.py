"""Runs on a real Ray cluster of several nodes: what dies, what is done again, what comes out."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

import baselines
from bench.cluster import Cluster
from bench.core.errors import BenchError
from bench.core.files import sha256_file
from bench.diffusion.unet import UNet
from bench.engine.executors.cluster import ENDED_WORKERS, OnCluster
from bench.engine.experiment import Experiment
from bench.engine.run import Finished
from bench.metrics import find_measure
from bench.metrics.features.cache import FeatureCache
from bench.metrics.scoring.batching import evaluate
from bench.metrics.scoring.compute import Picture, Task
from bench.networks.checkpoints import Card, write_checkpoint
from bench.store.run import list_runs
from bench.testsets.manifest import TestSet
from bench.testsets.prepare import prepare
from bench.testsets.recipe import plan_testset
from bench.testsets.sources import open_source
from tests.asked import asked
from tests.command import good
from tests.noisy import pictures
from tests.running import run_method
from tests.small import RECIPE, TINY_PRIOR, photos, small_testset
from tests.small_cluster import METHOD, SmallCluster, small_cluster, until

pytestmark = [
    pytest.mark.cluster,
    # Ray leaves sockets and processes to be cleared away by the interpreter.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallCluster]:
    with small_cluster(tmp_path_factory.mktemp("cache")) as cluster:
        cluster.add_node()
        yield cluster


@pytest.fixture
def connected(ray_cluster: SmallCluster) -> Iterator[Cluster]:
    with Cluster(ray_cluster.address, workers=1) as cluster:
        yield cluster


@dataclass
class Place:
    """A workspace whose own method makes trouble on the cluster, and none in this process."""

    folder: Path
    testset: TestSet

    def trouble(self, **what: Any) -> None:
        (self.folder / "trouble.json").write_text(json.dumps(what))

    def tried(self) -> Counter[str]:
        """How often each image was given to the method."""
        lines = (self.folder / "tried").read_text().splitlines()
        return Counter(line.split()[1] for line in lines)

    def processes(self) -> set[str]:
        """Those that tried any."""
        file = self.folder / "tried"
        return (
            {line.split()[0] for line in file.read_text().splitlines()} if file.exists() else set()
        )

    def run(self, cluster: Cluster | None, results: str = "results", batch: int = 2) -> Finished:
        return run_method(
            "troubled",
            Experiment(
                self.testset,
                self.folder / results,
                {"troubled": {"trouble": str(self.folder / "trouble.json")}},
                batch=batch,
            ),
            executor=OnCluster(cluster) if cluster else None,
        )

    def local(self) -> dict[str, bytes]:
        """The pictures of a run in this process, where all goes well."""
        self.trouble()
        return pictures(self.run(None, "local").run.folder)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    (tmp_path / "baselines").mkdir()
    (tmp_path / "baselines" / "troubled.py").write_text(METHOD)
    (tmp_path / "bench.toml").write_text('metrics = ["psnr"]\nbatch = 1\n')
    shipped = next(iter(baselines.__path__))
    monkeypatch.setattr(baselines, "__path__", [shipped, str(tmp_path / "baselines")])
    monkeypatch.delitem(sys.modules, "baselines.troubled", raising=False)
    return Place(tmp_path, small_testset(tmp_path, count=6))


def test_an_image_that_fails_is_reported_and_the_rest_is_as_here(
    connected: Cluster, place: Place
) -> None:
    """Nor does it matter that the worker first wants more memory than there is."""
    place.trouble(raises="face-2", fits=2)
    finished = place.run(connected, batch=4)
    assert finished.failed.keys() == {"face-2"}
    assert finished.failed["face-2"].startswith("ValueError: a face too many (")
    assert finished.run.finished
    times = {"face-0": 2, "face-1": 2, "face-2": 3, "face-3": 3, "face-4": 1, "face-5": 1}
    assert place.tried() == Counter(times)
    facts = finished.run.description["provenance"]
    assert (facts["cluster"]["workers"], facts["threads"]) == (1, 1)
    whole = place.local()
    assert len(whole) == 6
    assert list(finished.run.records()) == [i for i in place.testset.entries if i != "face-2"]
    assert pictures(finished.run.folder) == {k: v for k, v in whole.items() if k != "face-2.png"}


@pytest.mark.slow
def test_an_image_that_ends_its_workers_is_found_and_reported(
    connected: Cluster, place: Place
) -> None:
    place.trouble(kills="face-1")
    finished = place.run(connected, batch=1)
    assert finished.failed == {"face-1": ENDED_WORKERS}
    # What face-0 gave may end with the worker that face-1 ends, which is then held against face-0.
    assert place.tried() in (
        Counter([*place.testset.entries]) + Counter({"face-1": 1}),
        Counter([*place.testset.entries]) + Counter({"face-1": 2, "face-0": 1}),
    )
    whole = place.local()
    assert pictures(finished.run.folder) == {k: v for k, v in whole.items() if k != "face-1.png"}


@pytest.mark.slow
def test_a_node_that_dies_costs_what_it_had_in_hand(
    ray_cluster: SmallCluster, place: Place
) -> None:
    place.trouble(seconds=0.5)
    node = ray_cluster.add_node()

    def end_it() -> None:
        until(lambda: len(place.processes()) == 2)
        ray_cluster.kill(node)

    with Cluster(ray_cluster.address) as cluster, ThreadPoolExecutor(1) as other:
        ended = other.submit(end_it)
        finished = place.run(cluster, batch=1)
        ended.result()
    assert finished.run.description["provenance"]["cluster"]["nodes"] == 3
    assert (finished.restored, finished.failed) == (6, {})
    assert set(place.tried().values()) <= {1, 2}
    assert sum(place.tried().values()) <= 6 + 1  # of two in hand, one had not begun
    assert pictures(finished.run.folder) == place.local()


@pytest.mark.slow
def test_a_driver_that_is_killed_goes_on_with_the_rest(
    ray_cluster: SmallCluster, place: Place
) -> None:
    place.trouble(seconds=0.5)
    settings = f"troubled.trouble={place.folder / 'trouble.json'}"
    command = [
        *(sys.executable, "-m", "bench", "run", "troubled", "--on", ray_cluster.address),
        *("--set", settings, "--testset", place.testset.name),
    ]
    done = place.folder / "results" / place.testset.name
    with subprocess.Popen(command, cwd=place.folder) as driver:
        until(lambda: len(list(done.rglob("*.png"))) >= 2)
        driver.kill()
    until(lambda: not any(Path("/proc", process).exists() for process in place.processes()))
    place.trouble()
    before = place.tried()
    with Cluster(ray_cluster.address) as cluster:  # has room when the other's workers have ended
        finished = place.run(cluster)
    assert 2 <= 6 - finished.restored < 6
    assert sum((place.tried() - before).values()) == finished.restored
    assert len(list(done.iterdir())) == 1
    assert pictures(done) == place.local()


def test_a_sweep_is_run_there(ray_cluster: SmallCluster, place: Place) -> None:
    place.trouble()
    shutil.copy(place.folder / "trouble.json", place.folder / "other.json")
    settings = f"troubled.trouble={place.folder / 'trouble.json'}"
    with contextlib.chdir(place.folder):
        good(
            *("sweep", "troubled", "--trouble", place.folder / "other.json", "--set", settings),
            *("--on", ray_cluster.address, "--workers", 1, "--testset", place.testset.name),
        )
    assert str(os.getpid()) not in place.processes()
    runs = list_runs(place.folder / "results", place.testset.name)
    assert [run.description["provenance"]["cluster"]["workers"] for run in runs] == [1, 1]
    whole = place.local()
    assert [pictures(run.folder) for run in runs] == [whole, whole]


def test_weights_reach_nodes_that_lack_them(
    connected: Cluster, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path counts from this process's folder, in which the workers aren't."""
    torch.manual_seed(0)
    monkeypatch.chdir(place.folder)
    file = Path("prior.safetensors")
    write_checkpoint(file, UNet(TINY_PRIOR), Card("prior", 16, TINY_PRIOR))
    digest = sha256_file(file)
    threads = torch.get_num_threads()

    def run(results: str, executor: OnCluster | None) -> dict[str, bytes]:
        done = run_method(
            "ddnm",
            Experiment(
                place.testset,
                place.folder / results,
                {"ddnm": {"steps": 3}},
                {"prior": str(file)},
                batch=2,
            ),
            executor=executor,
        )
        assert done.restored == 6
        return pictures(done.run.folder)

    there = run("there", OnCluster(connected))
    assert sha256_file(Path(os.environ["BENCH_CACHE"]) / "received" / digest / file.name) == digest
    torch.set_num_threads(1)
    try:
        assert there == run("here", None)
    finally:
        torch.set_num_threads(threads)


def test_a_test_set_is_prepared_there_as_here(connected: Cluster, tmp_path: Path) -> None:
    plan = plan_testset("tiny", RECIPE, None, 16, "blind", seed=0)
    source = open_source(str(photos(tmp_path / "photos", 9)))
    here = prepare({tmp_path / "here": plan}, RECIPE, source, None, workers=1)
    there = prepare({tmp_path / "there": plan}, RECIPE, source, None, spread=connected.map)
    assert here[0].testset.manifest == there[0].testset.manifest
    assert pictures(tmp_path / "here") == pictures(tmp_path / "there")


def test_what_is_wrong_with_an_item_is_told_as_here(connected: Cluster, tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", 3)
    (folder / "torn.png").write_bytes(b"\x89PNG")
    plan = plan_testset("tiny", RECIPE, 4, 16, "bicubic", seed=0)
    with pytest.raises(BenchError, match=r"torn\.png"):
        prepare(
            {tmp_path / "set": plan},
            RECIPE,
            open_source(str(folder)),
            None,
            spread=connected.map,
        )


def test_pictures_are_scored_there_as_here(connected: Cluster, tmp_path: Path) -> None:
    measure = find_measure("psnr")
    files = sorted(photos(tmp_path / "photos", 20).iterdir())
    pairs = [Picture(path, sha256_file(path)) for path in files]
    tasks = [Task(sr.path.stem, measure, measure.key, sr, pairs[0]) for sr in pairs]
    features = FeatureCache(tmp_path / "features")
    (there,) = evaluate([asked(tasks)], features, connected.map)
    (here,) = evaluate([asked(tasks)], features)
    assert there.equals(here)


def test_a_worker_sees_the_gpus_that_it_was_given(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with small_cluster(tmp_path_factory.mktemp("cache")) as ray_cluster:
        ray_cluster.add_node(gpus=1)
        with Cluster(ray_cluster.address, workers=1) as cluster:
            assert cluster.gpus == 1
            for gpus, seen in ((0, ""), (1, "0")):
                found = cluster.map(os.getenv, ["CUDA_VISIBLE_DEVICES"], gpus=gpus)
                assert list(found) == [seen]


def test_parts_of_items_under_way_reach_the_watch(connected: Cluster) -> None:
    def make(files: Any) -> Any:
        def slow(item: int, tell: Any) -> int:
            import time

            tell(0.25 * item)
            time.sleep(4)  # the driver looks once a second
            tell(0.0)
            return 10 * item

        return slow

    parts: list[float] = []
    with connected.crew(make, {}) as crew:
        assert sorted(crew.map([1, 2], watch=parts.append)) == [10, 20]
        assert {0.25, 0.5} <= set(parts)
        # Without a watch nothing is noted, and the function takes the item alone.
        with pytest.raises(Exception, match="tell"):
            list(crew.map([1]))
