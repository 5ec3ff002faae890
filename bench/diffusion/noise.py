"""Random draws keyed by image, independent of batches.

Every draw comes from a stream keyed by (seed, image, repetition). A batch only collects what its
images draw, so that results do not depend on batch size, order, resume or other images; and
methods that draw alike are compared on the same noise.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bench.core.errors import BenchError

_WORTH_THREADS = 2**18  # draws: some 3 ms of one core, a little more than an image of 256 px


class Noise(Protocol):
    """Source of a sampler's random draws."""

    def normal_like(self, x: Tensor) -> Tensor:
        """Draw standard normal noise with the shape [B, ...], type and device of `x`."""
        ...

    def bernoulli(self, probability: Tensor) -> Tensor:
        """Draw zeros and ones [B, ...] with these probabilities of one."""
        ...


@dataclass(frozen=True)
class StreamKey:
    """Key of a noise stream, which determines all its draws."""

    seed: int
    image: str
    repetition: int = 0

    def generator(self) -> np.random.Generator:
        """Return the stream from its start (Philox, identical on every machine)."""
        name = f"{self.seed}/{self.repetition}/{self.image}".encode()
        key = int.from_bytes(hashlib.sha256(name).digest()[:16])
        return np.random.Generator(np.random.Philox(key=key))


class KeyedNoise:
    """One stream per image of a batch."""

    def __init__(self, keys: Sequence[StreamKey]) -> None:
        self._generators = [key.generator() for key in keys]

    def normal_like(self, x: Tensor) -> Tensor:
        return self._draw(np.random.Generator.standard_normal, x)

    def bernoulli(self, probability: Tensor) -> Tensor:
        return (self._draw(np.random.Generator.random, probability) < probability).to(probability)

    def _draw(self, function: Callable[..., object], x: Tensor) -> Tensor:
        """Draw once from each stream; copies to a GPU are asynchronous."""
        if len(x) != len(self._generators):
            raise BenchError(
                f"Draws for a batch of {len(x)} were asked of {len(self._generators)} streams: "
                "there is one stream per image."
            )
        drawn = torch.empty(x.shape, dtype=torch.float32, pin_memory=x.device.type == "cuda")

        def fill(generator: np.random.Generator, place: npt.NDArray[np.float32]) -> None:
            function(generator, dtype=np.float32, out=place)

        several = drawn.numel() >= _WORTH_THREADS
        each = _threads(torch.get_num_threads()).map if several else map
        deque(each(fill, self._generators, drawn.numpy()), maxlen=0)
        return drawn.to(x.device, x.dtype, non_blocking=True)


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    """Return a pool of threads that draw for different images; NumPy releases the GIL."""
    return ThreadPoolExecutor(count, "noise")
