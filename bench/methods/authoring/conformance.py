"""Conformance checks of a method, on small images with stand-in networks."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.core.errors import BenchError, WrongUsage
from bench.diffusion.noise import KeyedNoise, StreamKey
from bench.diffusion.prior import Prior
from bench.diffusion.schedule import Schedule
from bench.images import Pixels, resize_bicubic, to_model, to_pixels
from bench.methods import Configured, Method, Models, Problem, configure
from bench.methods.authoring.witness import witness
from bench.networks.kinds import KINDS

QUICK_STEPS = 6
"""Sampling steps during a check, if the settings allow."""

ALIKE = 60.0
"""Least PSNR in dB between results of different batch sizes, whose sums differ in order."""

OVERSHOOT = 4.0
"""Largest absolute value allowed. Results are clipped later; DDNM reaches 2.7 here."""


def check_method(method: Method[Any], size: int = 32, scale: int = 4) -> list[str]:
    """Return the conformance tests that a method fails at a size in pixels, as sentences.

    The tests cover shape and range, determinism, independence of an image's result from its batch
    and their order, and side effects on the input, the random states of Python, NumPy and torch,
    the process's settings, and files.

    Raises:
        BenchError: the method can't run, such as an external program that is not installed.
    """
    trial = _Trial(method, size, scale)
    try:
        return [*_of_results(trial), *trial.findings]
    except BenchError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it belongs into the report
        return [f"It raised {type(error).__name__}: {error}", *trial.findings]


@dataclass
class _Trial:
    """Calls a method and records side effects on the process."""

    method: Method[Any]
    size: int
    scale: int
    findings: list[str] = field(default_factory=list)

    def restore(self, lr: Tensor, names: Sequence[str], seed: int = 0) -> Tensor:
        """Call the method once; `seed` sets the global random states, which must not matter."""
        noise = KeyedNoise([StreamKey(0, name) for name in names])
        problem = Problem(lr, self.scale, noise, STAND_INS, names)
        configured = quick(self.method, self.size, self.scale)
        with torch.no_grad(), witness(self.findings, seed):
            return configured.restore(problem)


def _of_results(trial: _Trial) -> list[str]:
    lr = pictures(trial.size // trial.scale)
    names = [f"face-{place}" for place in range(len(lr))]
    given = to_model(lr)
    first = trial.restore(given, names)
    broken = _of_tensor(first, (len(lr), 3, trial.size, trial.size))
    if broken:
        return broken
    if not torch.equal(given, to_model(lr)):
        broken.append("It changes its input.")
    if not torch.equal(first, trial.restore(to_model(lr), names, seed=1)):
        broken.append(
            "Repeating a call changes the result: it uses randomness besides problem.noise."
        )
    expected = to_pixels(first)
    turned = to_pixels(trial.restore(to_model(lr[::-1]), names[::-1]))[::-1]
    if not _alike(expected, turned):
        broken.append("An image's result depends on the order of its batch.")
    alone = [
        to_pixels(trial.restore(to_model([picture]), [name]))[0]
        for picture, name in zip(lr, names, strict=True)
    ]
    if not _alike(expected, alone):
        broken.append("An image's result depends on the other images in its batch.")
    return broken


def pictures(side: int) -> list[Pixels]:
    """Return three smooth images [side, side, 3] that span black to white."""
    coarse = np.random.default_rng(0).integers(0, 256, (3, 2, 2, 3), dtype=np.uint8)
    coarse[:, 0, 0], coarse[:, 1, 1] = 0, 255
    return [resize_bicubic(picture, side) for picture in coarse]


_NETWORKS = {kind.name: kind.stand_in for kind in KINDS.values()}

STAND_INS = Models(Prior(_NETWORKS["prior"], Schedule.linear()), _NETWORKS["corrector"], _NETWORKS)
"""A stand-in for every kind of network."""


def quick(method: Method[Any], size: int, scale: int, steps: int = QUICK_STEPS) -> Configured:
    """Configure a method with its published settings, but at most `steps` steps if possible."""
    overrides = {
        name: min(value, steps)
        for name, value in asdict(method.settings(scale)).items()
        if name.split("_")[-1] == "steps" and isinstance(value, int)  # such as ode_steps
    }
    try:
        return configure(method, scale, size, {method.name: overrides})
    except WrongUsage:  # as ILVR, which refines down to one of its steps
        return configure(method, scale, size, {})


def _of_tensor(restored: Any, shape: tuple[int, ...]) -> list[str]:
    if not isinstance(restored, Tensor) or tuple(restored.shape) != shape:
        what = list(restored.shape) if isinstance(restored, Tensor) else type(restored).__name__
        return [f"It returns {what}, not a tensor of shape {list(shape)}."]
    if restored.dtype != torch.float32:
        return [f"It returns {restored.dtype}, not torch.float32."]
    if not restored.isfinite().all():
        return ["It returns values that are not finite."]
    low, high = float(restored.min()), float(restored.max())
    if max(-low, high) > OVERSHOOT or low >= 0:
        return [f"Its values reach from {low:.3g} to {high:.3g}, but [-1, 1] is expected."]
    return []


def _alike(expected: Sequence[Pixels], found: Sequence[Pixels]) -> bool:
    pairs = zip(expected, found, strict=True)
    errors = [float(((a.astype(float) - b.astype(float)) ** 2).mean()) for a, b in pairs]
    return all(error <= 255**2 / 10 ** (ALIKE / 10) for error in errors)
