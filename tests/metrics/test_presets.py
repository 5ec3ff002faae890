"""Named sets of metrics."""

from importlib.util import find_spec

import pytest

from bench.core.errors import WrongUsage
from bench.metrics import find_measure
from bench.metrics.presets import PRESETS, metrics_preset
from bench.metrics.pyiqa_any import PREFIX


@pytest.mark.parametrize("name", PRESETS)
def test_every_metric_of_a_preset_exists(name: str) -> None:
    for metric in metrics_preset(name):
        if not metric.startswith(PREFIX) or find_spec("pyiqa"):
            assert find_measure(metric).name == metric


def test_an_unknown_preset_is_refused_with_a_near_one() -> None:
    with pytest.raises(WrongUsage, match="no preset of metrics 'papers': did you mean 'paper'"):
        metrics_preset("papers")
