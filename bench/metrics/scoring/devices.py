"""Scoring on GPUs: devices, float32 without TF32, and distribution of chunks.

Threads decode the chunks to come while the devices compute. A device belongs to one thread, so that
a network is never used by two at a time. Values agree with the CPU's within 1e-4 relative.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue

from bench.core.concurrency import in_order, processors
from bench.core.errors import BenchError, WrongUsage
from bench.metrics.features.cache import FeatureCache
from bench.metrics.scoring.compute import Decoded, Scored, Task, score_tasks

_DECODERS = 8  # threads at most
_IN_ADVANCE = 4  # decoded chunks per device: 50 MB each at 256 px


def find_devices(asked: str) -> tuple[str, ...]:
    """Return the devices of "auto", "cpu", "cuda" (all GPUs) or "cuda:N".

    Raises:
        WrongUsage: an unknown device.
        BenchError: no such GPU.
    """
    import torch

    gpus = tuple(f"cuda:{number}" for number in range(torch.cuda.device_count()))
    if asked == "auto":
        return gpus or ("cpu",)
    if asked == "cpu":
        return ("cpu",)
    name, _, number = asked.partition(":")
    if name != "cuda" or (number and not number.isdecimal()) or asked.endswith(":"):
        raise WrongUsage(f"There is no device {asked!r}: give auto, cpu, cuda or cuda:N.")
    found = gpus if asked == "cuda" else (asked,) if asked in gpus else ()
    if not found:
        known = ", ".join(gpus) or "none"
        raise BenchError(f"No GPU {asked!r} here (found: {known}): use `--device auto`.")
    return found


def described(devices: Sequence[str]) -> list[str]:
    """Return the names of the GPUs for provenance; empty on a CPU."""
    import torch

    return [
        f"{name} {torch.cuda.get_device_name(name)}" for name in devices if name.startswith("cuda")
    ]


@contextmanager
def exact_float32() -> Iterator[None]:
    """Compute float32 on a GPU without TF32, and without algorithms chosen by timing."""
    import torch

    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        ):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def score_on(
    devices: Sequence[str], chunks: Iterable[Sequence[Task]], features: FeatureCache
) -> Iterator[Scored]:
    """Yield the values of each chunk in order, sending chunks to free devices."""
    free: SimpleQueue[str] = SimpleQueue()
    for name in devices:
        free.put(name)

    def compute(chunk: Sequence[Task], decoded: Future[Decoded]) -> Scored:
        device = free.get()
        try:
            return score_tasks(chunk, features, device, decoded.result())
        finally:
            free.put(device)

    with ExitStack() as stack:
        stack.enter_context(exact_float32())
        decoders = stack.enter_context(ThreadPoolExecutor(min(_DECODERS, processors())))
        computers = stack.enter_context(ThreadPoolExecutor(len(devices)))

        def submit(chunk: Sequence[Task]) -> Future[Scored]:
            return computers.submit(compute, chunk, decoders.submit(Decoded.of, chunk))

        yield from in_order(submit, chunks, _IN_ADVANCE * len(devices))
