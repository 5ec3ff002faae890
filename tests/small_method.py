"""A user's own method for tests, with settings to sweep and no cost."""

from pathlib import Path

from tests.small import small_testset

SHADE = '''
"""Bicubic, darkened: a method with settings and no cost."""

from dataclasses import dataclass
from typing import Literal

from bench.images import resize_bicubic_batch
from bench.methods import Method


@dataclass(frozen=True)
class Settings:
    dark: float = 0.5
    level: int = 1
    hour: Literal["noon", "dusk"] = "noon"


def restore(problem, settings):
    large = resize_bicubic_batch(problem.lr, problem.size) * settings.dark / settings.level
    return (large + 0.1 * problem.noise.normal_like(large)).clamp(-1, 1)


METHOD = Method(
    name="shade",
    title="Shade",
    settings=lambda scale: Settings(),
    restore=restore,
    variants={"w/o Light": {"dark": 0.0}, "at Dusk": {"hour": "dusk"}},
)
'''


def shade_workspace(root: Path) -> Path:
    """Make a workspace with the method and a test set of two images, measured by PSNR."""
    (root / "bench.toml").write_text(
        'testset = "tiny-16-x4"\nmetrics = ["psnr", "lr-psnr"]\n[settings.shade]\nlevel = 2\n'
    )
    (root / "baselines").mkdir()
    (root / "baselines" / "shade.py").write_text(SHADE)
    small_testset(root, count=2)
    return root
