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
PEER: Final = "peer_id"
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
    """``described``: dotted name, without ``consul.``, to kind and what it measures. Those in ``by_peer`` are kept for each other server
    on its own, with its node ID in the label ``peer_id``. Any thread may count."""

    def __init__(self, described: Mapping[str, tuple[Kind, str]], by_peer: Iterable[str] = ()) -> None:
        self.described = described
        self.by_peer = frozenset(by_peer)
        self._counts: dict[str, dict[str, float]] = {}
        self._times: dict[str, dict[str, _Times]] = {}
        self._watched: dict[str, Callable[[], float]] = {}
        for name, (kind, _) in described.items():
            DOTTED[prometheus_name(name)] = PREFIX + name, kind
            for_all = name not in self.by_peer
            if kind is Kind.SAMPLE:
                self._times[name] = {"": _Times()} if for_all else {}
            else:
                self._counts[name] = {"": 0.0} if for_all else {}
        REGISTRY.register(self)

    def count(self, name: str, by: float = 1, *, peer_id: str = "") -> None:
        """Adds to a counter."""
        counts = self._counts[name]
        counts[peer_id] = counts.get(peer_id, 0.0) + by

    def set(self, name: str, value: float) -> None:
        """Sets a gauge."""
        self._counts[name][""] = value

    def watch(self, name: str, value: Callable[[], float]) -> None:
        """A gauge that is asked for when somebody looks."""
        self._watched[name] = value

    def observe(self, name: str, seconds: float, *, peer_id: str = "") -> None:
        """Something took so long."""
        times = self._times[name]
        if peer_id not in times:
            times[peer_id] = _Times()
        times[peer_id].add(seconds * 1000)

    def collect(self) -> Iterable[Metric]:
        for name, (kind, what) in self.described.items():
            shown = prometheus_name(name)
            labels = [PEER] if name in self.by_peer else []
            match kind:
                case Kind.COUNTER:  # without Prometheus' ending "_total", which Consul's names lack
                    yield _filled(UnknownMetricFamily(shown, what, labels=labels), self._counts[name])
                case Kind.GAUGE:
                    values = {"": self._watched[name]()} if name in self._watched else self._counts[name]
                    yield _filled(GaugeMetricFamily(shown, what, labels=labels), values)
                case Kind.SAMPLE:
                    family = SummaryMetricFamily(shown, what, labels=labels)
                    for peer_id, times in sorted(self._times[name].items()):
                        label = {PEER: peer_id} if peer_id else {}
                        family.add_metric(list(label.values()), times.count, times.sum_ms)
                        for quantile, value in times.quantiles():
                            family.add_sample(shown, {**label, "quantile": str(quantile)}, value)
                    yield family


def _filled(family: UnknownMetricFamily | GaugeMetricFamily, values: Mapping[str, float]) -> Metric:
    for peer_id, value in sorted(values.items()):
        family.add_metric([peer_id] if peer_id else [], value)
    return family


DOTTED: Final[dict[str, tuple[str, Kind]]] = {}
"""Prometheus' name to Consul's and its kind, of everything that goes by Consul's."""


def prometheus_name(name: str) -> str:
    """``raft.commitTime`` as Consul's Prometheus exporter spells it."""
    return (PREFIX + name).replace(".", "_")
