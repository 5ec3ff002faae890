"""Settings of a training run, and named presets."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from bench.core.config import Precision


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of a training run.

    `batch` counts the images of an optimiser step over all processes and all `accumulate` passes.
    The learning rate warms up linearly over `warmup` steps, stays constant, and decays linearly to
    zero over the last `decay_share` of the steps. Before the decay nothing depends on `steps`, so a
    run may be resumed with another number of steps. `ema` is the decay of the averaged weights,
    which are the result of training.
    """

    steps: int = 10_000
    batch: int = 16
    accumulate: int = 1
    learning_rate: float = 5e-4
    warmup: int = 200
    decay_share: float = 0.3
    weight_decay: float = 0.0
    ema: float = 0.999
    seed: int = 0
    precision: Precision = "float32"
    compiled: bool = False

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        remaining = (self.steps - step) / max(1.0, self.decay_share * self.steps)
        return self.learning_rate * min(1.0, (step + 1) / self.warmup, remaining)

    def ema_decay_at(self, step: int) -> float:
        """Return the EMA decay at a step, smaller early on."""
        return min(self.ema, (1 + step) / (10 + step))

    def facts(self) -> dict[str, Any]:
        """Return the settings that a resumed run must match: all but the number of steps."""
        return {name: value for name, value in asdict(self).items() if name != "steps"}


SMALL = TrainingSettings()
"""Default of `bench train`: 64 px networks on a CPU."""

PAPER = TrainingSettings(
    steps=100_000,
    batch=32,
    learning_rate=1e-5,
    warmup=1,
    decay_share=0.0,
    weight_decay=0.01,
    ema=0.9999,
)
"""The paper's Corrector: batch 32, 100k steps, AdamW at 1e-5, EMA 0.9999, on 49k images of FFHQ.

Neither the paper nor its code names a weight decay: 0.01 is AdamW's own.
"""

PRESETS = {"small": SMALL, "paper": PAPER}


def preset(name: str, **changes: Any) -> TrainingSettings:
    """Return a named configuration with the changes that are not None."""
    return replace(PRESETS[name], **{key: v for key, v in changes.items() if v is not None})
