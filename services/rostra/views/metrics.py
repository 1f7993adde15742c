"""What a hub counts. One process has one hub, so there are no labels for it."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

RECONNECTS = Counter("rostra_views_reconnects", "Streams to a catalog that broke or could not be opened", ["stream"])
LIVE_TOPICS = Gauge("rostra_views_live_topics", "Topics kept up to date by a catalog")
TOPICS_CAME_LIVE = Counter("rostra_views_topics_came_live", "Topics that a catalog began to keep up to date: whole, or resumed", ["how"])
BARRIERS = Counter("rostra_views_barriers", "Barriers sent", ["consistency"])
REQUESTS_PER_BARRIER = Histogram(
    "rostra_views_requests_per_barrier", "Reads that shared a barrier", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096)
)
QUEUE_DEPTH = Gauge("rostra_views_queue_depth", "Requests that wait: reads for a barrier, writes for their fate, blocking reads", ["queue"])
