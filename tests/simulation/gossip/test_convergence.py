"""Pools of real cores on a simulated network: members find together, and agree again after everything a network does to them."""

from __future__ import annotations

import dataclasses

import pytest

from rostra.gossip.key_queries import KeyOperation
from rostra.gossip.queries import QueryAcked, QueryAnswered, QueryRequest
from rostra.gossip.suspicion import minimum_timeout_s
from rostra.gossip.timing import LAN
from rostra.gossip.wire.serf_messages import JoinIntent, KeyRequest, KeyResponse, LeaveIntent, decode_query_payload, encode_serf
from rostra.model.members import MemberChangeKind, MemberStatus

from .simulator import Simulation, user_events

SEEDS = (1, 2, 3)


@pytest.mark.parametrize("count", [2, 3, 10, 50])
def test_members_that_join_one_find_all(count: int) -> None:
    simulation = Simulation(count)
    simulation.start_pool(count)
    assert simulation.is_converged()
    assert simulation.failures_reported() == []


@pytest.mark.parametrize("seed", SEEDS)
def test_members_find_all_though_a_third_of_all_datagrams_is_lost(seed: int) -> None:
    simulation = Simulation(seed)
    simulation.network.loss = 0.33
    simulation.network.duplication = 0.2
    for number in range(12):
        simulation.start(f"m{number}", join="m0" if number else "")
    simulation.run_until(simulation.is_converged, at_most=60)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("count", [3, 5, 20])
def test_a_crash_is_seen_by_all_within_the_suspicion_timeout(seed: int, count: int) -> None:
    simulation = Simulation(seed)
    simulation.start_pool(count)
    simulation.crash("m1")
    took = simulation.run_until(lambda: simulation.all_see("m1", MemberStatus.FAILED), at_most=60)
    # Found by one of n probers within about one round, suspected, confirmed by others, then gossiped.
    assert minimum_timeout_s(count, LAN) <= took <= minimum_timeout_s(count, LAN) + 8
    assert {name for _, _, name in simulation.failures_reported()} == {"m1"}


def test_in_a_pool_of_two_hundred_a_crash_is_found_and_nobody_else_and_the_load_stays_the_same() -> None:
    simulation = Simulation(200)
    names = simulation.start_acquainted(200)
    simulation.run(2)
    simulation.packets_sent.clear()
    simulation.run(5)
    # One ping and one ack a second, however large the pool is (SWIM section 3.3).
    assert sum(simulation.packets_sent.values()) / 5 / len(names) == pytest.approx(2.0, abs=0.2)
    simulation.crash("m7")
    took = simulation.run_until(lambda: simulation.all_see("m7", MemberStatus.FAILED), at_most=60)
    assert minimum_timeout_s(200, LAN) <= took <= minimum_timeout_s(200, LAN) + 6
    assert {name for _, _, name in simulation.failures_reported()} == {"m7"}


@pytest.mark.parametrize("seed", SEEDS)
def test_nobody_reachable_is_declared_failed_under_loss(seed: int) -> None:
    simulation = Simulation(seed)
    simulation.start_pool(10)
    simulation.network.loss = 0.10
    simulation.run(300)
    assert simulation.failures_reported() == []
    simulation.network.loss = 0.0
    simulation.run_until(simulation.is_converged, at_most=60)


@pytest.mark.parametrize("seed", SEEDS)
def test_halves_that_could_not_see_each_other_find_together_again(seed: int) -> None:
    simulation = Simulation(seed)
    names = simulation.start_pool(8)
    simulation.network.partition(names[:4], names[4:])
    simulation.run_until(lambda: all(simulation.status(a, b) is MemberStatus.FAILED for a in names[:4] for b in names[4:]), at_most=120)
    assert all(simulation.status(a, b) is MemberStatus.ALIVE for a in names[:4] for b in names[:4])
    simulation.network.cut.clear()
    simulation.run_until(simulation.is_converged, at_most=240)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("deaf", [True, False], ids=["hears nothing", "is not heard"])
def test_a_one_way_partition_harms_only_whom_it_cuts_off(seed: int, deaf: bool) -> None:
    simulation = Simulation(seed)
    names = simulation.start_pool(8)
    others = [name for name in names if name != "m3"]
    simulation.network.cut |= {(name, "m3") if deaf else ("m3", name) for name in others}
    simulation.run(120)
    failed_for_others = {name for viewer, _, name in simulation.failures_reported() if viewer != "m3"}
    assert failed_for_others <= {"m3"}
    simulation.network.cut.clear()
    simulation.run_until(simulation.is_converged, at_most=240)


def test_one_broken_path_between_two_members_is_bridged_by_the_others() -> None:
    simulation = Simulation(4)
    simulation.start_pool(6)
    simulation.network.partition(["m1"], ["m2"])
    simulation.run(180)
    assert simulation.failures_reported() == []


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_a_member_that_leaves_is_seen_as_left_never_as_failed(seed: int, loss: float) -> None:
    simulation = Simulation(seed)
    simulation.start_pool(10)
    simulation.network.loss = loss
    simulation.leave("m4")
    simulation.run_until(lambda: "m4" in simulation.left, at_most=20)
    simulation.run_until(lambda: simulation.all_see("m4", MemberStatus.LEFT), at_most=60)
    assert "m4" not in {name for _, _, name in simulation.failures_reported()}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_member_that_left_comes_back_with_its_first_incarnation(seed: int) -> None:
    simulation = Simulation(seed)
    simulation.start_pool(5)
    simulation.leave("m2")
    simulation.run(20)
    assert simulation.all_see("m2", MemberStatus.LEFT)
    said_at = {viewer: process.core.serf.members.status_ltime("m2") for viewer, process in simulation.processes.items()}
    simulation.start("m2", join="m0")
    simulation.run_until(simulation.is_converged, at_most=20)
    # It has announced itself at a later time than its goodbye, so that no straggler takes the goodbye for news.
    for viewer, ltime in said_at.items():
        assert simulation.processes[viewer].core.serf.members.status_ltime("m2") > ltime


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("downtime_s", [0.5, 3, 60], ids=lambda seconds: f"{seconds}_s")
def test_a_member_that_crashed_comes_back_with_its_first_incarnation(seed: int, downtime_s: float) -> None:
    simulation = Simulation(seed)
    simulation.start_pool(5)
    simulation.crash("m2")
    simulation.run(downtime_s)
    simulation.start("m2", tags={"role": "new"}, join="m0")
    simulation.run_until(simulation.is_converged, at_most=20)


def test_a_crashed_member_that_joins_nobody_is_called_back_by_the_pool() -> None:
    simulation = Simulation(5)
    simulation.start_pool(4)
    simulation.crash("m2")
    simulation.run(60)
    assert simulation.all_see("m2", MemberStatus.FAILED)
    simulation.start("m2")
    # Each of three members tries once in 30 s with probability 1/3.
    simulation.run_until(simulation.is_converged, at_most=600)


def test_a_stalled_member_does_not_take_others_down_with_it() -> None:
    """Lifeguard: whoever is slow itself accuses late, and is itself given time by those who hear its refutation."""
    simulation = Simulation(6)
    simulation.start_pool(20)
    for _ in range(20):
        simulation.pause("m7", 2.5)
        simulation.run(4)
    assert {name for _, _, name in simulation.failures_reported()} <= {"m7"}
    simulation.run_until(simulation.is_converged, at_most=60)


@pytest.mark.parametrize("seed", SEEDS)
def test_new_tags_reach_everyone(seed: int) -> None:
    simulation = Simulation(seed)
    simulation.start_pool(10)
    process = simulation.processes["m3"]
    process.core.set_tags({"role": "changed"}, simulation.now)
    simulation.settle(process)
    assert simulation.run_until(simulation.is_converged, at_most=10) < 5
    updates = simulation.processes["m0"].changes(MemberChangeKind.UPDATED)
    assert [name for _, name in updates] == ["m3"]


@pytest.mark.parametrize("seed", SEEDS)
def test_user_events_reach_everyone_once_though_datagrams_are_doubled_and_lost(seed: int) -> None:
    simulation = Simulation(seed)
    simulation.start_pool(10)
    simulation.network.loss, simulation.network.duplication = 0.2, 0.5
    for number in range(20):
        process = simulation.processes[f"m{number % 10}"]
        process.core.user_event("deploy", str(number).encode(), simulation.now, coalesce=False)
        simulation.settle(process)
        simulation.run(0.3)
    expected = {("deploy", str(number).encode()): 1 for number in range(20)}
    simulation.run_until(lambda: all(user_events(process) == expected for process in simulation.processes.values()), at_most=90)


def test_a_newcomer_is_not_told_of_events_before_its_time() -> None:
    simulation = Simulation(7)
    simulation.start_pool(3)
    process = simulation.processes["m0"]
    process.core.user_event("old", b"", simulation.now, coalesce=False)
    simulation.settle(process)
    simulation.run(5)
    late = simulation.start("late", join="m1")
    simulation.run(60)
    assert user_events(late) == {}


def test_a_query_is_answered_by_everyone_also_through_relays() -> None:
    simulation = Simulation(8, compress=True)
    names = simulation.start_pool(6)
    asker = simulation.processes["m0"]
    asker.core.ask(QueryRequest("_serf_ping", wants_acks=True, relay_factor=2), simulation.now)
    simulation.network.cut |= {("m4", "m0")}  # m4 cannot answer directly
    simulation.settle(asker)
    simulation.run(10)
    acks = sorted(event.responder for _, event in asker.events if isinstance(event, QueryAcked))
    assert acks == names


def test_keys_are_rotated_on_a_running_pool_without_losing_a_member() -> None:
    old, new = bytes(range(16)), bytes(range(32))
    simulation = Simulation(9, keys=[old])
    simulation.start_pool(5)
    process = simulation.processes["m2"]
    for operation, key in ((KeyOperation.INSTALL, new), (KeyOperation.USE, new), (KeyOperation.REMOVE, old)):
        asked = process.core.ask(QueryRequest(operation.value, encode_serf(KeyRequest(key=key))), simulation.now)
        simulation.settle(process)
        simulation.run(10)
        answers = [event for _, event in process.events if isinstance(event, QueryAnswered) and event.key == asked]
        assert len(answers) == 5
        assert all(isinstance(answer := decode_query_payload(event.payload), KeyResponse) and answer.result for event in answers)
    assert all(process.core.keys == (new,) for process in simulation.processes.values())
    simulation.run(60)
    assert simulation.is_converged()
    assert simulation.failures_reported() == []


def test_force_leave_turns_failed_into_left_everywhere_and_prune_erases() -> None:
    simulation = Simulation(10)
    simulation.start_pool(5)
    simulation.crash("m1")
    simulation.crash("m2")
    simulation.run(40)
    process = simulation.processes["m0"]
    process.core.force_leave("m1", simulation.now, prune=False)
    process.core.force_leave("m2", simulation.now, prune=True)
    simulation.settle(process)
    simulation.run(60)
    assert simulation.all_see("m1", MemberStatus.LEFT)
    assert simulation.all_see("m2", None)
    simulation.run(120)
    assert simulation.all_see("m2", None)


def test_a_living_member_contradicts_when_it_is_forced_to_leave() -> None:
    simulation = Simulation(11)
    simulation.start_pool(5)
    process = simulation.processes["m0"]
    process.core.force_leave("m3", simulation.now, prune=False)
    simulation.settle(process)
    simulation.run(10)
    assert simulation.is_converged()
    simulation.crash("m3")
    simulation.run(60)
    assert simulation.all_see("m3", MemberStatus.FAILED)


def test_a_goodbye_of_a_former_life_that_only_one_heard_is_contradicted() -> None:
    simulation = Simulation(13)
    simulation.start_pool(4)
    late = simulation.processes["m1"].core.serf.members
    late.on_leave_intent(LeaveIntent(ltime=50, node="m3"), simulation.now)
    assert simulation.status("m1", "m3") is MemberStatus.LEAVING
    simulation.run_until(simulation.is_converged, at_most=120)


def test_a_goodbye_of_a_former_life_at_the_same_lamport_time_is_forgotten() -> None:
    simulation = Simulation(14)
    simulation.start_pool(4)
    for name, process in simulation.processes.items():
        if name == "m1":
            process.core.serf.members.on_leave_intent(LeaveIntent(ltime=50, node="m3"), simulation.now)
        else:
            process.core.serf.members.on_join_intent(JoinIntent(ltime=50, node="m3"), simulation.now)
    assert simulation.status("m1", "m3") is MemberStatus.LEAVING
    simulation.run_until(simulation.is_converged, at_most=60)


def test_members_long_gone_are_reaped() -> None:
    timing = dataclasses.replace(LAN, reconnect_timeout_s=120, tombstone_timeout_s=60)
    simulation = Simulation(12, timing=timing)
    simulation.start_pool(4)
    simulation.leave("m1")
    simulation.crash("m2")
    simulation.run(55)
    assert simulation.all_see("m1", MemberStatus.LEFT)
    assert simulation.all_see("m2", MemberStatus.FAILED)
    simulation.run(40)
    assert simulation.all_see("m1", None)
    assert simulation.all_see("m2", MemberStatus.FAILED)
    simulation.run(120)
    assert simulation.all_see("m2", None)
    simulation.run(300)
    assert simulation.all_see("m2", None)


@pytest.mark.parametrize("seed", range(100, 106))
def test_after_any_trouble_the_pool_agrees(seed: int) -> None:
    """Crashes, restarts, leaves, pauses, cuts, loss and changes of tags at random, then quiet."""
    simulation = Simulation(seed)
    names = simulation.start_pool(8)
    rng = simulation.rng
    for step in range(40):
        name = rng.choice(names[1:])  # m0 stays, so that there is someone to join
        match rng.randrange(7):
            case 0 if name in simulation.processes:
                simulation.crash(name)
            case 1 if name in simulation.processes:
                simulation.leave(name)
            case 2 if name not in simulation.processes:
                simulation.start(name, tags={"step": str(step)}, join="m0")
            case 3 if name in simulation.processes:
                simulation.pause(name, rng.uniform(0, 6))
            case 4:
                simulation.network.cut = {(a, b) for a in names for b in names if a != b and rng.random() < 0.15}
            case 5:
                simulation.network.loss = rng.choice([0.0, 0.1, 0.3])
            case _ if name in simulation.processes and not simulation.processes[name].core.is_finished:
                simulation.processes[name].core.set_tags({"step": str(step)}, simulation.now)
                simulation.settle(simulation.processes[name])
        simulation.run(rng.uniform(0, 5))
    simulation.network.cut.clear()
    simulation.network.loss = 0.0
    simulation.run(30)  # whoever was leaving is gone now
    for name in names:
        if name not in simulation.processes:
            simulation.start(name)
        simulation.join(name, "m0")  # its first join may have met a cut
    simulation.run_until(simulation.is_converged, at_most=600)
