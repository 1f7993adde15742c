"""The gateway's own metrics. Counting costs an addition; what is counted by label is looked up once, here."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge

CONNECTIONS: Final = Gauge("rostra_gateway_connections", "HTTP connections that are open")
BLOCKED: Final = Gauge("rostra_gateway_blocked_queries", "Blocking queries that wait")
REQUESTS: Final = Counter("rostra_gateway_requests", "HTTP requests, by how they were answered", ["way"])
REFUSED: Final = Counter("rostra_gateway_refused", "Requests and connections refused by a limit, or as no HTTP", ["why"])

FROM_MEMO: Final = REQUESTS.labels("memo")
FROM_VIEW: Final = REQUESTS.labels("view")
FROM_ROUTE: Final = REQUESTS.labels("route")
