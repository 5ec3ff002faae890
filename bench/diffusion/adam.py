"""Adam for images that are optimised while they are sampled.

torch.optim would import the compiler, which changes environment variables and writes files.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Adam:
    """State of Adam (Kingma and Ba 2015, Algorithm 1) after `steps` steps; each [B, 3, H, W].

    Every pixel has its own moments, so images do not influence each other.
    """

    first: Tensor
    second: Tensor
    steps: int = 0
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8

    @classmethod
    def start(
        cls, x: Tensor, betas: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8
    ) -> "Adam":
        """Return the state before the first step of optimising x."""
        return cls(torch.zeros_like(x), torch.zeros_like(x), 0, betas, epsilon)

    def next(self, gradient: Tensor) -> "Adam":
        """Return the state after one more gradient."""
        one, two = self.betas
        return replace(
            self,
            first=one * self.first + (1 - one) * gradient,
            second=two * self.second + (1 - two) * gradient.square(),
            steps=self.steps + 1,
        )

    def moved(self, x: Tensor, learning_rate: float) -> Tensor:
        """Return x after this state's step."""
        one, two = self.betas
        deviation = (self.second / (1 - two**self.steps)).sqrt() + self.epsilon
        return x - learning_rate * self.first / (1 - one**self.steps) / deviation
