"""Short previews: their number of steps changes no network."""

import pytest

from bench.training import tasks


@pytest.fixture(autouse=True)
def short_previews(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sample previews in two steps."""
    monkeypatch.setattr(tasks, "PREVIEW_STEPS", 2)
