"""The catalog's metrics."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from rostra.telemetry.consul_names import ConsulMetrics, Kind

APPLIED_INDEX: Final = Gauge("rostra_catalog_applied_index", "Last log entry applied")
APPLIED: Final = Counter("rostra_catalog_applied_entries", "Log entries applied")
APPLY_SECONDS: Final = Histogram(
    "rostra_catalog_apply_batch_seconds",
    "Time to apply the entries of one message and publish what they changed",
    buckets=(0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1),
)
ATTACHED: Final = Gauge("rostra_catalog_attached", "Whether the catalog is attached to consensus (1) or not (0)")
NODES: Final = Gauge("rostra_catalog_nodes_count", "Nodes")
SERVICES: Final = Gauge("rostra_catalog_service_instances_count", "Service instances")
CHECKS: Final = Gauge("rostra_catalog_checks_count", "Checks")
TOPICS: Final = Gauge("rostra_catalog_published_topics_count", "Topics that are published")
WATCHES: Final = Gauge("rostra_catalog_watch_streams_count", "Watch streams")
WRITES_PENDING: Final = Gauge("rostra_catalog_pending_writes_count", "Writes whose fate is not known yet")
READ_ROUNDS: Final = Counter(
    "rostra_catalog_read_rounds", "Rounds asked of consensus; a leader in this process needs none", ["consistency"]
)
DUTIES: Final = Counter("rostra_catalog_duty_commands", "Commands that reconciling proposed", ["kind"])

STATE_MACHINE: Final = ConsulMetrics(
    {
        "raft.fsm.apply": (Kind.SAMPLE, "Milliseconds to apply committed entries to the catalog, a batch at a time"),
        "raft.fsm.lastRestoreDuration": (Kind.GAUGE, "Milliseconds that loading a snapshot took the last time"),
        "raft.fsm.restore": (Kind.SAMPLE, "Milliseconds to load a snapshot into the catalog"),
        "raft.fsm.snapshot": (Kind.SAMPLE, "Milliseconds to capture the catalog for a snapshot"),
        "raft.restore": (Kind.COUNTER, "Times a snapshot has taken the place of the catalog"),
        "raft.restoreUserSnapshot": (Kind.SAMPLE, "Milliseconds to restore a backup that a user gave"),
        "raft.snapshot.create": (Kind.SAMPLE, "Milliseconds to encode the catalog as a snapshot and hand it over"),
    }
)
"""The catalog is the state machine of Raft: these go by Consul's names."""


def restored(seconds: float) -> None:
    """A snapshot is loaded."""
    STATE_MACHINE.count("raft.restore")
    STATE_MACHINE.observe("raft.fsm.restore", seconds)
    STATE_MACHINE.set("raft.fsm.lastRestoreDuration", seconds * 1000)
