"""What ``rostra info`` shows as numbers is a metric, too."""

from __future__ import annotations

from rostra.telemetry.metrics import StatsCollector


def test_numbers_are_gauges_and_the_rest_is_left_out() -> None:
    raft = {"commit_index": "17", "last_contact": "12.500ms", "state": "Follower", "version": "0.1.0", "leader_contact": "never"}
    metrics = StatsCollector("consensus", lambda: {"raft": raft}).collect()
    found = {(sample.name, sample.labels["group"]): sample.value for metric in metrics for sample in metric.samples}
    assert found == {("rostra_consensus_commit_index", "raft"): 17.0, ("rostra_consensus_last_contact", "raft"): 12.5}
