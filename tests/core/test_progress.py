"""The progress bar: whole units and the part of those under way."""

from typing import Any

import pytest
from rich.progress import Progress

from bench.core.progress import progress


def test_a_part_under_way_is_added_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[float] = []
    update = Progress.update

    def spy(self: Progress, task: Any, **values: Any) -> None:
        if "completed" in values:
            shown.append(values["completed"])
        update(self, task, **values)

    monkeypatch.setattr(Progress, "update", spy)
    with progress("work", 10, done=2) as advance:
        advance(0, part=1.5)
        advance(0, part=0)
        advance(4)
        advance(0, "2 failed", part=0.5)
        advance(4, part=0)
    assert shown == [3.5, 2, 6, 6.5, 10]
