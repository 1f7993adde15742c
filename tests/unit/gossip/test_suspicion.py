"""The suspicion timeout (Lifeguard; gossip-wire section 9.5)."""

from __future__ import annotations

import pytest

from rostra.gossip.suspicion import Suspicion, minimum_timeout_s, timeout_s, wanted_confirmations
from rostra.gossip.timing import LAN

from .vectors import VECTORS


def test_it_takes_as_long_as_a_real_serf_takes() -> None:
    """Five members: 24, 11.381 and 4 s; measured a little more, for the verdict still had to travel."""
    for confirmations, times in enumerate(VECTORS["suspicion_timing"]["seconds_from_suspect_to_dead"].values()):
        computed = timeout_s(confirmations, wanted_confirmations(5, LAN), minimum_timeout_s(5, LAN), 6 * minimum_timeout_s(5, LAN))
        assert computed == pytest.approx(times["expected"])
        assert computed <= times["measured"]


def test_more_accusers_bring_the_deadline_down_to_the_minimum_and_no_further() -> None:
    suspicion = Suspicion("a", 100.0, members=5, timing=LAN)
    assert suspicion.deadline == 124.0
    assert suspicion.confirm("b")
    assert suspicion.confirm("c")
    assert suspicion.deadline == 104.0
    assert not suspicion.confirm("d")
    assert suspicion.deadline == 104.0


def test_the_accuser_does_not_confirm_itself() -> None:
    suspicion = Suspicion("a", 0.0, members=5, timing=LAN)
    assert not suspicion.confirm("a")
    assert suspicion.deadline == 24.0


@pytest.mark.parametrize("members", [1, 2, 3])
def test_where_nobody_can_confirm_the_minimum_is_waited(members: int) -> None:
    assert Suspicion("a", 0.0, members=members, timing=LAN).deadline == 4.0


def test_the_minimum_grows_with_the_logarithm_of_the_pool() -> None:
    assert [minimum_timeout_s(members, LAN) for members in (10, 100, 1000)] == [4.0, 8.0, 12.0]
    assert minimum_timeout_s(50, LAN) == 4 * 1.698  # truncated to a thousandth
