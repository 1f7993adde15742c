"""What a hub counts. One process has one hub, so there are no labels for it."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge

RECONNECTS = Counter("rostra_views_reconnects", "Streams to a catalog that broke or could not be opened", ["stream"])
LIVE_TOPICS = Gauge("rostra_views_live_topics", "Topics kept up to date by a catalog")
TOPICS_CAME_LIVE = Counter("rostra_views_topics_came_live", "Topics that a catalog began to keep up to date: whole, or resumed", ["how"])
BARRIERS = Counter("rostra_views_barriers", "Barriers sent", ["consistency"])
BARRIER_READS = Counter("rostra_views_barrier_reads", "Reads that these barriers served", ["consistency"])
QUEUE_DEPTH = Gauge("rostra_views_queue_depth", "Requests that wait: reads for a barrier, writes for their fate, blocking reads", ["queue"])


class BarrierTally:
    """Barriers of one consistency and the reads they served, counted as plain numbers where every read passes, and shown now and then."""

    __slots__ = ("_consistency", "barriers", "reads")

    def __init__(self, consistency: str) -> None:
        self._consistency: Final = consistency
        self.barriers = 0
        self.reads = 0

    def show(self) -> None:
        """Adds what was counted since the last time to the metrics."""
        BARRIERS.labels(self._consistency).inc(self.barriers)
        BARRIER_READS.labels(self._consistency).inc(self.reads)
        self.barriers = self.reads = 0
