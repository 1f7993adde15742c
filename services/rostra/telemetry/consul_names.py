"""Metrics under Consul's own names, for dashboards and alerts that were made for it
(https://developer.hashicorp.com/consul/docs/agent/telemetry): counters, gauges, and times in milliseconds with quantiles.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily, SummaryMetricFamily, UnknownMetricFamily
from prometheus_client.registry import REGISTRY, Collector

PREFIX: Final = "consul."
QUANTILES: Final = (0.5, 0.9, 0.99)
KEPT: Final = 512
KEPT_S: Final = 60.0
"""Quantiles are of at most so many times, and none older than this."""


class Kind(Enum):
    """What a number is."""

    COUNTER = "counter"
    GAUGE = "gauge"
    SAMPLE = "sample"


class _Times:
    def __init__(self) -> None:
        self.count, self.sum_ms = 0, 0.0
        self._latest: deque[tuple[float, float]] = deque(maxlen=KEPT)

    def add(self, milliseconds: float) -> None:
        self.count += 1
        self.sum_ms += milliseconds
        self._latest.append((time.monotonic(), milliseconds))

    def quantiles(self) -> Iterable[tuple[float, float]]:
        since = time.monotonic() - KEPT_S
        found = sorted(value for at, value in tuple(self._latest) if at >= since)
        for quantile in QUANTILES:
            yield quantile, found[min(len(found) - 1, int(len(found) * quantile))] if found else math.nan


class ConsulMetrics(Collector):
    """``described``: dotted name, without ``consul.``, to kind and what it measures. Any thread may count."""

    def __init__(self, described: Mapping[str, tuple[Kind, str]]) -> None:
        self.described = described
        self._counts = {name: 0.0 for name, (kind, _) in described.items() if kind is not Kind.SAMPLE}
        self._times = {name: _Times() for name, (kind, _) in described.items() if kind is Kind.SAMPLE}
        self._watched: dict[str, Callable[[], float]] = {}
        for name, (kind, _) in described.items():
            DOTTED[prometheus_name(name)] = PREFIX + name, kind
        REGISTRY.register(self)

    def count(self, name: str, by: float = 1) -> None:
        """Adds to a counter."""
        self._counts[name] += by

    def set(self, name: str, value: float) -> None:
        """Sets a gauge."""
        self._counts[name] = value

    def watch(self, name: str, value: Callable[[], float]) -> None:
        """A gauge that is asked for when somebody looks."""
        self._watched[name] = value

    def observe(self, name: str, seconds: float) -> None:
        """Something took so long."""
        self._times[name].add(seconds * 1000)

    def collect(self) -> Iterable[Metric]:
        for name, (kind, what) in self.described.items():
            shown = prometheus_name(name)
            match kind:
                case Kind.COUNTER:  # without Prometheus' ending "_total", which Consul's names lack
                    yield UnknownMetricFamily(shown, what, self._counts[name])
                case Kind.GAUGE:
                    yield GaugeMetricFamily(shown, what, self._watched[name]() if name in self._watched else self._counts[name])
                case Kind.SAMPLE:
                    times = self._times[name]
                    family = SummaryMetricFamily(shown, what, times.count, times.sum_ms)
                    for quantile, value in times.quantiles():
                        family.add_sample(shown, {"quantile": str(quantile)}, value)
                    yield family


DOTTED: Final[dict[str, tuple[str, Kind]]] = {}
"""Prometheus' name to Consul's and its kind, of everything that goes by Consul's."""


def prometheus_name(name: str) -> str:
    """``raft.commitTime`` as Consul's Prometheus exporter spells it."""
    return (PREFIX + name).replace(".", "_")
