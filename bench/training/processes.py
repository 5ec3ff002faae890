"""Processes of a training run, and signals that stop it."""

import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from bench.core.config import Precision
from bench.core.errors import BenchError, Terminated
from bench.core.locks import locked
from bench.core.progress import notice
from bench.training.settings import TrainingSettings

if TYPE_CHECKING:
    from accelerate import Accelerator


def native_precision() -> Precision:
    """Return bfloat16 where the GPU, or without one the CPU, has units for it, else float32."""
    if torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        able = torch.cpu.get_capabilities()
        native = any(able.get(name, False) for name in ("amx_bf16", "avx512_bf16", "bf16"))
    return "bfloat16" if native else "float32"


@contextmanager
def accelerated(settings: TrainingSettings) -> Iterator["Accelerator"]:
    """Provide Accelerate for this process group, reset afterwards.

    Accelerate keeps it for the process, and would refuse a second training with another precision.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState

    names = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
    if settings.precision == "float16" and not torch.cuda.is_available():
        raise BenchError("float16 needs a GPU: choose --precision bfloat16 or float32.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about absent devices
        accelerator = Accelerator(
            mixed_precision=names[settings.precision],
            gradient_accumulation_steps=settings.accumulate,
            dynamo_backend="inductor" if settings.compiled else "no",
        )
    try:
        yield accelerator
    finally:
        accelerator.free_memory()
        if accelerator.num_processes == 1:
            AcceleratorState._reset_state(reset_partial_state=True)  # noqa: SLF001
            GradientState._reset_state()  # noqa: SLF001


def exclusive(folder: Path) -> AbstractContextManager[None]:
    """Lock a training folder against other runs; see `bench.core.locks`.

    Of several processes that train together, only the first takes the lock, and it fails instead of
    waiting: the others would already have read the state that the earlier run is still changing.

    Raises:
        BenchError: the folder can't be written, or processes that train together would wait.
    """
    if int(os.environ.get("RANK", "0")):
        return nullcontext()

    def refuse(sentence: str) -> None:
        raise BenchError(f"{sentence.partition(':')[0]}: give another --out, or stop that one.")

    return locked(folder, refuse if int(os.environ.get("WORLD_SIZE", "1")) > 1 else notice)


@contextmanager
def stops(accelerator: "Accelerator") -> Iterator[Callable[[], int]]:
    """Defer Ctrl-C and SIGTERM to the end of a step.

    Yield a function that returns the number of the signal, or 0 before one arrives; processes that
    train together get the same answer. A second signal stops at once. Outside the main thread,
    where Python neither delivers signals nor allows handlers, no signal is deferred.
    """
    caught: list[int] = []

    def told() -> int:
        if accelerator.num_processes == 1:
            return caught[0] if caught else 0
        own = torch.tensor(caught[0] if caught else 0, device=accelerator.device)
        return int(accelerator.gather(own[None]).max())

    if threading.current_thread() is not threading.main_thread():
        yield told
        return

    def stop(number: int, _: object) -> None:
        if caught:
            raise Terminated if number == signal.SIGTERM else KeyboardInterrupt
        caught.append(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
