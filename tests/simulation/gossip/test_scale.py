"""What holds for pools of any size, at a size that a test can afford; ``benchmarks/gossip_simulation.py`` has the large ones."""

from __future__ import annotations

import random

import pytest

from rostra.gossip.broadcasts import retransmit_limit
from rostra.gossip.membership import NodeSuspected
from rostra.gossip.suspicion import minimum_timeout_s
from rostra.gossip.timing import LAN
from rostra.model.members import MemberStatus

from .lifeguard import LIFEGUARD, SWIM, Anomaly, run
from .sharing import Overlay
from .simulator import Simulation


def test_lifeguard_spares_nearly_all_whom_blocked_members_would_accuse_in_vain() -> None:
    """The paper: less than a fiftieth of SWIM's false positives."""
    anomaly = Anomaly(members=32, blocked=4, blocked_s=16.384, free_s=1.024, seconds=35)
    without, with_it = (run(anomaly, parts, seed=1) for parts in (SWIM, LIFEGUARD))
    assert without.false_positives > 500
    assert with_it.false_positives <= without.false_positives / 50
    assert with_it.at_healthy <= without.at_healthy / 50
    assert with_it.packets_per_member_s <= without.packets_per_member_s


@pytest.mark.parametrize("seed", [1, 2])
def test_a_crash_costs_every_member_a_bounded_number_of_packets_and_is_known_when_the_formulas_say(seed: int) -> None:
    members = 150
    simulation = Simulation(seed)
    simulation.start_acquainted(members)
    simulation.run(2)
    simulation.packets_sent.clear()
    simulation.crash("m7")
    crashed_at = simulation.now
    simulation.run_until(lambda: simulation.all_see("m7", MemberStatus.FAILED), at_most=60)
    took = simulation.now - crashed_at
    suspected = [
        at - crashed_at for process in simulation.processes.values() for at, event in process.events if isinstance(event, NodeSuspected)
    ]
    assert len(suspected) >= members - 1  # everyone hears of it
    assert max(suspected) - min(suspected) < 2
    assert min(suspected) + minimum_timeout_s(members, LAN) <= took <= min(suspected) + minimum_timeout_s(members, LAN) + 2
    # The suspicion, as many confirmations as are wanted, and the verdict, each so many times; and two packets a second for probes.
    limit = retransmit_limit(LAN.retransmit_mult, members) * LAN.suspicion_mult
    assert sum(simulation.packets_sent.values()) / members - 2 * took < limit


def test_a_table_over_a_shared_one_is_a_table() -> None:
    rng = random.Random(4)
    for _ in range(200):
        shared = {key: rng.random() for key in range(rng.randrange(6))}
        before = dict(shared)
        overlay, plain = Overlay(shared), dict(shared)
        for _ in range(30):
            key = rng.randrange(8)
            match rng.randrange(4):
                case 0:
                    overlay[key] = plain[key] = rng.random()
                case 1 if key in plain:
                    del overlay[key], plain[key]
                case 2:
                    assert overlay.pop(key, None) == plain.pop(key, None)
                case _:
                    assert (key in overlay) == (key in plain)
                    assert overlay.get(key) == plain.get(key)
            assert len(overlay) == len(plain)
            assert bool(overlay) == bool(plain)
            assert {key: overlay[key] for key in overlay} == plain
            assert dict(overlay.items()) == plain
            assert sorted(overlay.values()) == sorted(plain.values())
            assert set(overlay.keys()) == set(plain)
        assert shared == before
