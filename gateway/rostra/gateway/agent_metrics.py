"""``/v1/agent/metrics`` (https://developer.hashicorp.com/consul/api-docs/agent#view-metrics).

The JSON form shows this process's metrics since start in Consul's shape. Those of Raft go by Consul's names, the rest by ours.
"""

from __future__ import annotations

import time
from typing import Any

from msgspec import Struct
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from rostra.gateway.answer import VARY, Answer
from rostra.gateway.ask import Ask
from rostra.gateway.catalog import render_json
from rostra.gateway.settings import GatewaySettings
from rostra.telemetry.consul_names import DOTTED, Kind


class GaugeRecord(Struct, rename="pascal"):
    """A value as it is."""

    name: str
    value: float
    labels: dict[str, str]


class CounterRecord(Struct, rename="pascal"):
    """A sum since start."""

    name: str
    count: int
    rate: float
    sum: float
    min: float
    max: float
    mean: float
    stddev: float
    labels: dict[str, str]


class MetricsRecord(Struct, rename="pascal"):
    """``/v1/agent/metrics``."""

    timestamp: str
    gauges: list[GaugeRecord]
    points: list[Any]
    counters: list[CounterRecord]
    samples: list[CounterRecord]


class Metrics:
    """The endpoint."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings

    async def metrics(self, ask: Ask) -> Answer:
        """Prometheus' form is always on: it costs nothing until it is asked for."""
        if ask.parameters.get("format") == "prometheus":
            return Answer(200, ((b"Content-Type", CONTENT_TYPE_LATEST.encode()), VARY), generate_latest(REGISTRY))
        return render_json(ask, metrics_record(), self._settings)


def metrics_record() -> MetricsRecord:
    """The registry in Consul's shape: counters and gauges by sample, histograms and summaries by their sums."""
    timestamp = time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC", time.gmtime())
    record = MetricsRecord(timestamp, [], [], [], [])
    for metric in REGISTRY.collect():
        totals: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
        for sample in metric.samples:
            suffix = sample.name.removeprefix(metric.name)
            labels = tuple(sorted((key, value) for key, value in sample.labels.items() if key != "le"))
            if metric.name in DOTTED and DOTTED[metric.name][1] is Kind.COUNTER:
                record.counters.append(_sum(metric.name, int(sample.value), sample.value, dict(labels)))
            elif metric.type == "counter" and suffix == "_total":
                record.counters.append(_sum(metric.name, 1, sample.value, dict(labels)))
            elif metric.type in ("histogram", "summary") and suffix in ("_sum", "_count"):
                totals.setdefault(labels, {})[suffix] = sample.value
            elif metric.type in ("gauge", "unknown"):
                record.gauges.append(GaugeRecord(_dotted(sample.name), sample.value, dict(labels)))
        for labels, found in totals.items():
            record.samples.append(_sum(metric.name, int(found.get("_count", 0)), found.get("_sum", 0.0), dict(labels)))
    return record


def _sum(name: str, count: int, total: float, labels: dict[str, str]) -> CounterRecord:
    mean = total / count if count else 0.0
    return CounterRecord(_dotted(name), count, 0.0, total, 0.0, 0.0, mean, 0.0, labels)


def _dotted(name: str) -> str:
    if name in DOTTED:
        return DOTTED[name][0]
    return name.replace("_", ".", 2) if name.startswith("rostra_") else name
