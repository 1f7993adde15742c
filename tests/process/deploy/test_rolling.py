"""An upgrade, from this version to itself: three servers replaced under load."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..harness.program import this_rostra
from .rolling import restart_all

pytestmark = pytest.mark.process


def test_three_servers_are_replaced_without_a_failed_write(tmp_path: Path) -> None:
    load = restart_all(tmp_path, this_rostra(), this_rostra())
    assert load.failed == []
    assert len(load.acknowledged) > 20
    assert load.handed_over
