"""Executor on several devices of one machine, one process each.

Processes, not threads: a method's loop is Python, and two loops in one process would compete for
the GIL. The messages are those of `bench.engine.executors.work`.
"""

import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from bench.core.concurrency import end_with_parent
from bench.core.errors import BenchError
from bench.engine.executors.local import ThisProcess, Worker
from bench.engine.executors.work import (
    Assignment,
    Executor,
    Outcome,
    Unit,
    Watch,
    Workers,
    no_watch,
)
from bench.engine.provenance import provenance
from bench.methods import look_in, method_folders


def this_machine() -> Executor:
    """Return an executor on all GPUs; with one GPU or none, on this process."""
    count = torch.cuda.device_count()
    if count < 2:
        return ThisProcess()
    return Devices([torch.device("cuda", index) for index in range(count)])


@dataclass(frozen=True)
class _Helper:
    """A process with a worker on a device, and the connection to it."""

    device: torch.device
    process: BaseProcess
    connection: Connection

    def receive(self) -> Any:
        """Return the next message.

        Raises:
            BenchError: the helper failed or is gone.
        """
        try:
            answer = self.connection.recv()
        except (EOFError, ConnectionError):
            raise self._gone() from None
        if isinstance(answer, BenchError):
            raise answer
        return answer

    def send(self, unit: Unit) -> None:
        """Send a unit.

        Raises:
            BenchError: the helper process is gone.
        """
        try:
            self.connection.send(unit)
        except ConnectionError:
            raise self._gone() from None

    def _gone(self) -> BenchError:
        return BenchError(
            f"The process for {self.device} was killed, perhaps out of memory: "
            "run the same command again to continue."
        )

    def end(self) -> None:
        self.process.terminate()
        self.process.join()
        self.connection.close()


class Devices:
    """Executor on several devices; methods without networks run in this process."""

    def __init__(self, devices: Sequence[torch.device]) -> None:
        self._devices = devices

    def provenance(self) -> dict[str, Any]:
        return {**provenance(self._devices[0]), "devices": len(self._devices)}

    @contextmanager
    def ready(self, assignment: Assignment) -> Iterator[Workers]:
        if not assignment.weights:
            with ThisProcess(torch.device("cpu")).ready(assignment) as restore:
                yield restore
            return
        with ExitStack() as stack:
            helpers = [_start(assignment, device) for device in self._devices]
            for helper in helpers:
                stack.callback(helper.end)
            for helper in helpers:
                helper.receive()  # confirms that it has loaded the method
            yield partial(_spread, helpers)


def _start(assignment: Assignment, device: torch.device) -> _Helper:
    context = multiprocessing.get_context("spawn")  # a copy of this process could not use CUDA
    here, there = context.Pipe()
    folders = method_folders()
    process = context.Process(target=_serve, args=(there, assignment, device, folders), daemon=True)
    process.start()
    there.close()  # so that the pipe ends with the process
    return _Helper(device, process, here)


def _serve(
    connection: Connection, assignment: Assignment, device: torch.device, folders: list[str]
) -> None:
    """Load the method in the helper process, then restore units until the parent closes."""
    end_with_parent()
    look_in(folders)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        worker = Worker(assignment, device)
        connection.send(None)
        while True:
            connection.send(worker.restore(connection.recv(), connection.send))
    except BenchError as error:
        connection.send(error)
    except EOFError:
        pass  # the parent has left


def _spread(
    helpers: Sequence[_Helper], units: Iterable[Unit], watch: Watch = no_watch
) -> Iterator[Outcome]:
    """Send units to idle helpers.

    A helper has one unit at a time: with two, both ends of a pipe could wait for the other to read.
    Before the outcome it sends numbers, its progress in the unit.
    """
    remaining = iter(units)
    busy: dict[Connection, _Helper] = {}
    parts: dict[Connection, float] = {}

    def give(helper: _Helper) -> None:
        busy.pop(helper.connection, None)
        if (unit := next(remaining, None)) is not None:
            helper.send(unit)
            busy[helper.connection] = helper

    for helper in helpers:
        give(helper)
    while busy:
        for ready in wait(list(busy)):
            assert isinstance(ready, Connection)
            helper = busy[ready]
            answer = helper.receive()
            if isinstance(answer, float | int):
                parts[ready] = answer
                watch(sum(parts.values()))
                continue
            give(helper)  # before the outcome is looked at
            yield answer
