"""Raft's numbers under Consul's names, in Prometheus' text and in Consul's JSON."""

from __future__ import annotations

from prometheus_client import REGISTRY, generate_latest

from rostra.consensus import events
from rostra.consensus.driver import Consensus
from rostra.consensus.metrics import RAFT, count_event
from rostra.consensus.model import ReadMode
from rostra.consensus.snapshots import MemorySnapshots
from rostra.consensus.storage import MemoryStore
from rostra.gateway.agent_metrics import CounterRecord, metrics_record

from .test_driver import leading


def value(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0.0


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


def test_a_leader_that_is_cut_off_and_a_follower_that_hears_nobody_are_counted() -> None:
    names = ("consul_raft_transition_leader_lease_timeout", "consul_raft_transition_heartbeat_timeout")
    before = [value(name) for name in names]
    count_event(events.LeaderLost(3, events.CUT_OFF))
    count_event(events.LeaderLost(3, "a newer term was seen"))
    count_event(events.HeartbeatTimedOut(None, 3))
    assert [value(name) for name in names] == [number + 1 for number in before]


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
