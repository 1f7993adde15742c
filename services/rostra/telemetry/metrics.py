"""Metrics of the process, and the small HTTP door (``-metrics-addr``) that shows them beside liveness and readiness.

``/metrics`` is Prometheus' text; ``/health/live`` answers 200 while the event loop turns, whoever leads;
``/health/ready`` answers 200 when every role is ready, else 503 with the names of those that are not.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, Gauge, Histogram, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import REGISTRY, Collector

from rostra.errors import RostraError
from rostra.telemetry.garbage import Garbage

LAG_PERIOD_S: Final = 0.5
REQUEST_TIMEOUT_S: Final = 5.0
MAX_HEAD_BYTES: Final = 8192
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?(ms)?")

_LAG = Histogram(
    "rostra_loop_lag_seconds",
    "How late the event loop came to a timer",
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3),
)
_READY = Gauge("rostra_role_ready", "Whether the role is ready", ["role"])
_TASKS = Gauge("rostra_tasks", "asyncio tasks of the process")


def expose_stats(role: str, stats: Callable[[], Mapping[str, Mapping[str, str]]]) -> Callable[[], None]:
    """Shows a role's numbers as metrics; returns what ends that."""
    collector = StatsCollector(role, stats)
    REGISTRY.register(collector)
    return lambda: REGISTRY.unregister(collector)


async def watch_loop(readiness: Mapping[str, Callable[[], bool]]) -> None:
    """Measures the loop's lag for ever, and has garbage collected between two measurements."""
    loop = asyncio.get_running_loop()
    turn, garbage = 0, Garbage(loop.time())
    while True:
        used_s, due = time.process_time(), loop.time() + LAG_PERIOD_S
        await asyncio.sleep(LAG_PERIOD_S)
        _LAG.observe(max(0.0, loop.time() - due))
        garbage.look(loop.time(), (time.process_time() - used_s) / LAG_PERIOD_S)
        turn += 1
        if turn % 20 == 0:
            for role, ready in readiness.items():
                _READY.labels(role).set(ready())
            _TASKS.set(len(asyncio.all_tasks()))


class StatsCollector(Collector):
    """A role's numbers, read when somebody looks: ``rostra_<role>_<number>{group="…"}``. Those with a unit are milliseconds: ``1.5ms``."""

    def __init__(self, role: str, stats: Callable[[], Mapping[str, Mapping[str, str]]]) -> None:
        self._role = role
        self._stats = stats

    def collect(self) -> Iterable[Metric]:
        families: dict[str, GaugeMetricFamily] = {}
        for group, numbers in self._stats().items():
            for name, value in numbers.items():
                if not _NUMBER.fullmatch(value):
                    continue
                family = families.setdefault(
                    name, GaugeMetricFamily(f"rostra_{self._role}_{name}", f"{name} of the role {self._role}", labels=["group"])
                )
                family.add_metric([group], float(value.removesuffix("ms")))
        return families.values()


class MetricsDoor:
    """A server for GET requests without bodies; one answer a connection."""

    def __init__(self, address: str, readiness: Mapping[str, Callable[[], bool]]) -> None:
        self._address = address
        self._readiness = readiness
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        host, _, port = self._address.rpartition(":")
        try:
            self._server = await asyncio.start_server(self._serve, host.strip("[]") or "127.0.0.1", int(port), limit=MAX_HEAD_BYTES)
        except (OSError, ValueError) as error:
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
            raise RostraError(f"metrics port: cannot listen on {self._address}: {reason}") from None

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                status, content_type, body = self._answer(head.split(b" ", 2)[1].split(b"?")[0])
                headers = f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\nConnection: close"
                writer.write(f"HTTP/1.1 {status}\r\n{headers}\r\n\r\n".encode() + body)
                await writer.drain()
        except (TimeoutError, OSError, IndexError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # not a request, or nobody there to answer
        finally:
            writer.close()

    def _answer(self, path: bytes) -> tuple[str, str, bytes]:
        match path:
            case b"/metrics":
                return "200 OK", CONTENT_TYPE_LATEST, generate_latest()
            case b"/health/live":
                return "200 OK", "text/plain", b"alive\n"
            case b"/health/ready":
                waiting = [role for role, ready in self._readiness.items() if not ready()]
                if waiting:
                    return "503 Service Unavailable", "text/plain", f"not ready: {', '.join(waiting)}\n".encode()
                return "200 OK", "text/plain", b"ready\n"
            case _:
                return "404 Not Found", "text/plain", b"/metrics /health/live /health/ready\n"
