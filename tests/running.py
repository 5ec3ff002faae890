"""Run one method, as `run_suite` runs each of several."""

from bench.engine.executors.work import Executor
from bench.engine.experiment import Experiment
from bench.engine.run import Finished, run_resolved


def run_method(
    name: str,
    experiment: Experiment,
    repetition: int = 0,
    executor: Executor | None = None,
    fail_fast: bool = False,
) -> Finished:
    """Resolve a method and run it once."""
    return run_resolved(experiment.resolve(name), repetition, executor, fail_fast)
