"""What TTL checks were last told outlives the process, until its time ends."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from rostra.local.ttl_states import TtlStates
from rostra.model.catalog import HealthStatus


def test_a_state_is_found_again_with_the_time_that_is_left(tmp_path: Path) -> None:
    TtlStates(tmp_path / "ttl").keep("service:web", HealthStatus.WARNING, "so so", 110.0)
    TtlStates(tmp_path / "ttl").keep("mem", HealthStatus.PASSING, "old", 100.0)
    TtlStates(tmp_path / "ttl").keep("mem", HealthStatus.PASSING, "new", 120.0)
    found = sorted(TtlStates(tmp_path / "ttl").load(100.0))
    assert found == [("mem", HealthStatus.PASSING, "new", 20.0), ("service:web", HealthStatus.WARNING, "so so", 10.0)]


def test_what_is_over_is_forgotten_and_so_is_what_cannot_be_read(tmp_path: Path) -> None:
    states = TtlStates(tmp_path)
    states.keep("over", HealthStatus.PASSING, "", 100.0)
    (tmp_path / "torn.json").write_text('{"check_id": "x", "sta')
    (tmp_path / "odd.json").write_text('{"check_id": "x", "status": "fine", "output": "", "expires": 1e9}')
    assert states.load(100.0) == []
    assert list(tmp_path.iterdir()) == []


def test_a_check_that_is_gone_leaves_nothing_behind(tmp_path: Path) -> None:
    states = TtlStates(tmp_path)
    states.keep("../etc/passwd", HealthStatus.PASSING, "", 100.0)
    assert len(list(tmp_path.iterdir())) == 1
    states.forget("../etc/passwd")
    states.forget("never there")
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder_nothing_is_kept() -> None:
    states = TtlStates(None)
    states.keep("a", HealthStatus.PASSING, "", 1.0)
    states.forget("a")
    assert states.load(0.0) == []


def test_a_heartbeat_that_cannot_be_written_down_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "ttl").write_text("a file where the folder should be")
    states = TtlStates(tmp_path / "ttl")
    with caplog.at_level(logging.WARNING, "rostra.local"):
        for _ in range(3):
            states.keep("a", HealthStatus.PASSING, "", 1.0)
    assert len(caplog.records) == 1
