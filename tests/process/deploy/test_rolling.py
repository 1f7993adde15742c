"""An upgrade, from the last version to this one and from this one to itself: three servers replaced under load."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..harness.program import this_rostra
from .previous import NoHistory, last_version, program_of
from .rolling import Writers, restart_all

pytestmark = pytest.mark.process


def test_three_servers_are_replaced_without_a_failed_write(tmp_path: Path) -> None:
    _assert_unharmed(restart_all(tmp_path, this_rostra(), this_rostra()))


def test_the_last_version_is_replaced_by_this_one_without_a_failed_write(tmp_path: Path) -> None:
    try:
        version = last_version()
    except NoHistory as error:
        pytest.skip(str(error))
    old = program_of(version, tmp_path / "old")
    print(f"from {version}:", old.run(tmp_path, "version").stdout)
    _assert_unharmed(restart_all(tmp_path, old, this_rostra()))


def _assert_unharmed(load: Writers) -> None:
    assert load.failed == []
    assert len(load.acknowledged) > 20
    assert load.handed_over
