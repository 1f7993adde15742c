"""Raft's numbers under Consul's names, in Prometheus' text and in Consul's JSON."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, generate_latest

from rostra.consensus import events
from rostra.consensus.driver import Consensus
from rostra.consensus.messages import AppendRequest, VoteRequest
from rostra.consensus.metrics import RAFT, Elections, Replication, count_event, observe_step
from rostra.consensus.model import Entry, PeerId, ReadMode
from rostra.consensus.snapshots import MemorySnapshots
from rostra.consensus.storage import MemoryStore
from rostra.gateway.agent_metrics import CounterRecord, metrics_record

from .helpers import Cluster
from .test_catalog_snapshots import until
from .test_driver import leading
from .test_driver_cluster import TIMING, cluster, leader_of

HELD_UP_S = 0.1


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_what_the_leader_does_is_counted_under_consuls_names() -> None:
    names = ("consul_raft_apply", "consul_raft_state_leader", "consul_raft_verify_leader", "consul_raft_commitTime_count")
    before = {name: value(name) for name in names}
    async with leading(lambda: (MemoryStore(), MemorySnapshots())) as consensus:
        await consensus.propose([b"a", b"b"])
        await consensus.read_index(ReadMode.QUORUM)
        assert isinstance(consensus, Consensus)
    gained = {name: value(name) - before[name] for name in names}
    assert gained["consul_raft_apply"] == 2
    assert gained["consul_raft_state_leader"] == 1
    assert gained["consul_raft_verify_leader"] >= 1
    assert gained["consul_raft_commitTime_count"] >= 1
    assert value("consul_raft_commitNumLogs") == 2


async def test_how_late_a_leader_comes_to_its_heartbeats_is_measured(tmp_path: Path) -> None:
    name = "rostra_consensus_heartbeat_delay_seconds_sum"
    async with cluster(tmp_path) as (network, _):
        await leader_of(network)
        before = value(name)
        asyncio.get_running_loop().call_soon(time.sleep, HELD_UP_S)
        await until(lambda: value(name) >= before + HELD_UP_S - TIMING.heartbeat_interval_s)


def test_a_leader_that_is_cut_off_and_a_follower_that_hears_nobody_are_counted() -> None:
    names = ("consul_raft_transition_leader_lease_timeout", "consul_raft_transition_heartbeat_timeout")
    before = [value(name) for name in names]
    count_event(events.LeaderLost(3, events.CUT_OFF))
    count_event(events.LeaderLost(3, "a newer term was seen"))
    count_event(events.HeartbeatTimedOut(None, 3))
    assert [value(name) for name in names] == [number + 1 for number in before]


def test_what_a_leader_sends_to_each_peer_and_how_long_that_takes_is_told_by_peer() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    replication = Replication()
    replication.look(leader.core.progress)

    def numbers(peer_id: str) -> tuple[float, float]:
        sent = value("consul_raft_replication_appendEntries_logs", peer_id=peer_id)
        return sent, value("consul_raft_replication_appendEntries_rpc_sum", peer_id=peer_id)

    before = {peer_id: numbers(peer_id) for peer_id in ("n2", "n3")}
    beats = value("consul_raft_replication_heartbeat_count", peer_id="n3")
    cluster.cut = {"n3"}
    leader.propose(b"a", b"b")
    cluster.now += 0.25
    cluster.deliver()
    replication.look(leader.core.progress)
    assert numbers("n2") == (before["n2"][0] + 2, pytest.approx(before["n2"][1] + 250))
    assert numbers("n3") == (before["n3"][0] + 2, before["n3"][1])
    cluster.cut = set()
    cluster.advance(0.3)
    replication.look(leader.core.progress)
    replication.look(leader.core.progress)
    assert value("consul_raft_replication_heartbeat_count", peer_id="n3") == beats + 1, "one answer is told of once"
    assert value("consul_raft_replication_appendEntries_logs", peer_id="n1") == 0


def test_messages_of_others_are_timed_by_what_they_are() -> None:
    header = "cluster", PeerId("n1", "s1"), PeerId("n2", "s2"), 3
    append = AppendRequest(*header, round=1, previous_index=0, previous_term=0, commit_index=0, entries=[Entry(1, 3, 1, 0, b"a")])
    heartbeat = AppendRequest(*header, round=1, previous_index=0, previous_term=0, commit_index=0)
    names = [f"consul_raft_rpc_{name}_count" for name in ("appendEntries", "appendEntries_processLogs", "processHeartbeat", "requestVote")]
    before = [value(name) for name in names]
    for message in (append, heartbeat, VoteRequest(*header, last_index=0, last_term=0, pre_vote=False)):
        observe_step(message, 0.001)
    assert [value(name) - was for name, was in zip(names, before, strict=True)] == [2, 1, 1, 1]


def test_an_election_takes_from_standing_to_winning_and_a_lost_one_does_not_count() -> None:
    name = "consul_raft_candidate_electSelf"
    before = value(f"{name}_count"), value(f"{name}_sum")
    elections = Elections()
    elections.see(events.BecameCandidate(2, True), 1.0)
    elections.see(events.BecameCandidate(2, False), 2.0)
    elections.see(events.BecameFollower(3, None, "a newer term was seen"), 2.5)
    elections.see(events.ElectionWon(2, 2), 3.0)
    assert value(f"{name}_count") == before[0]
    elections.see(events.BecameCandidate(4, False), 4.0)
    elections.see(events.ElectionWon(4, 2), 4.5)
    assert (value(f"{name}_count"), value(f"{name}_sum")) == (before[0] + 1, pytest.approx(before[1] + 500))


def test_numbers_by_peer_carry_its_id_in_both_forms() -> None:
    RAFT.count("raft.replication.appendEntries.logs", 3, peer_id="n7")
    RAFT.observe("raft.replication.heartbeat", 0.004, peer_id="n7")
    text = generate_latest(REGISTRY).decode()
    assert 'consul_raft_replication_appendEntries_logs{peer_id="n7"} 3.0' in text
    assert 'consul_raft_replication_heartbeat{peer_id="n7",quantile="0.5"} 4.0' in text
    record = metrics_record()
    assert ("consul.raft.replication.appendEntries.logs", {"peer_id": "n7"}) in [(each.name, each.labels) for each in record.counters]
    assert ("consul.raft.replication.heartbeat", {"peer_id": "n7"}) in [(each.name, each.labels) for each in record.samples]


def test_prometheus_sees_consuls_spelling_with_quantiles() -> None:
    RAFT.observe("raft.leader.dispatchLog", 0.002)
    text = generate_latest(REGISTRY).decode()
    assert 'consul_raft_leader_dispatchLog{quantile="0.5"}' in text
    assert "consul_raft_leader_dispatchLog_count" in text
    assert "\nconsul_raft_apply " in text
    assert "consul_raft_apply_total" not in text


def test_the_json_form_has_dots_and_consuls_kinds() -> None:
    RAFT.count("raft.apply")
    record = metrics_record()

    def names(found: list[CounterRecord]) -> set[str]:
        return {each.name for each in found}

    assert {"consul.raft.apply", "consul.raft.state.leader", "consul.raft.transition.heartbeat_timeout"} <= names(record.counters)
    assert {"consul.raft.commitTime", "consul.raft.leader.dispatchLog"} <= names(record.samples)
    assert {"consul.raft.last_index", "consul.raft.commitNumLogs", "consul.server.isLeader"} <= {each.name for each in record.gauges}
