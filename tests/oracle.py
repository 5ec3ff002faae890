"""The Gaussian images that samplers are held to, and the repetitions of a test."""

from torch import Tensor

from bench.diffusion.gaussian import GaussianImages
from bench.diffusion.noise import KeyedNoise, StreamKey

SIZE = 8
SCALE = 4
REPETITIONS = 200

GAUSSIAN = GaussianImages.smooth(SIZE)
PRIOR_MEAN = GAUSSIAN.mean.reshape(1, 3, SIZE, SIZE).float()


def noise(count: int) -> KeyedNoise:
    """Return noise streams for `count` repetitions of one image."""
    return KeyedNoise([StreamKey(0, "oracle", repetition) for repetition in range(count)])


def many(image: Tensor) -> Tensor:
    """Repeat an image [1, 3, h, w] for every repetition."""
    return image.expand(REPETITIONS, -1, -1, -1)


def explained(images: Tensor, posterior: Tensor) -> float:
    """Return how far the images' mean is from the prior's to the posterior's (1: all the way)."""
    missed = (images.mean(0, keepdim=True) - posterior).square().mean().sqrt()
    return 1 - float(missed / (PRIOR_MEAN - posterior).square().mean().sqrt())
