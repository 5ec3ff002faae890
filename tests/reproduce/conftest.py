"""The machine on which published tables are rehearsed."""

from pathlib import Path

import pytest

from tests import rehearsal


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder with LPIPS's backbones, which are never random, in an otherwise empty cache."""
    try:
        rehearsal.bring_backbones(tmp_path)
    except FileNotFoundError:
        pytest.skip("LPIPS's backbones are not on this machine")
    return tmp_path
