"""``raft_multiplier``: the times of the protocol, and what they promise together."""

from __future__ import annotations

import dataclasses

import pytest

from rostra.consensus.lease import CLOCK_RATE_MARGIN
from rostra.consensus.timing import DEVELOPMENT_TIMING, Timing, scaled_timing


@pytest.mark.parametrize("multiplier", range(1, 11))
def test_every_time_grows_with_the_multiplier(multiplier: int) -> None:
    times, once = dataclasses.astuple(scaled_timing(multiplier)), dataclasses.astuple(scaled_timing(1))
    assert times == pytest.approx([multiplier * each for each in once])


def test_at_1_a_dead_leader_is_stood_for_soon_enough_to_be_replaced_within_1_5_s() -> None:
    assert scaled_timing(1).heartbeat_timeout_s * 2 <= 1.0


@pytest.mark.parametrize("timing", [scaled_timing(1), scaled_timing(10), DEVELOPMENT_TIMING])
def test_a_leader_is_out_of_office_and_its_lease_over_before_anybody_may_vote(timing: Timing) -> None:
    assert timing.lease_timeout_s <= timing.heartbeat_timeout_s
    assert timing.heartbeat_timeout_s * CLOCK_RATE_MARGIN < timing.heartbeat_timeout_s
    assert timing.heartbeat_interval_s * 2 <= timing.heartbeat_timeout_s, "one lost heartbeat is no reason to stand"
