"""Counters of the DNS role. Answers are counted in plain lists, which a collector reads: nothing else is as cheap."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import REGISTRY, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from rostra.dns.wire import Rcode, Transport

ANSWERS: Final[dict[Transport, list[int]]] = {transport: [0] * 16 for transport in Transport}
"""Answers by transport and by response code, the low half of the fourth byte of an answer."""

DROPPED: Final = Counter("rostra_dns_dropped_total", "Messages that got no answer, by reason", ("reason",))
ERRORS: Final = Counter("rostra_dns_errors_total", "Questions that failed by a fault of ours")
PENDING: Final = Gauge("rostra_dns_pending_questions", "Questions that wait for a view or a recursor")
CONNECTIONS: Final = Gauge("rostra_dns_tcp_connections", "Open TCP connections")

NO_QUESTION: Final = DROPPED.labels("no_question")
BUSY: Final = DROPPED.labels("busy")
RATE_LIMITED: Final = DROPPED.labels("rate_limited")
SEND_FAILED: Final = DROPPED.labels("send_failed")
TOO_MANY_CONNECTIONS: Final = DROPPED.labels("too_many_connections")

_RCODE_NAMES: Final = {code.value: code.name for code in Rcode}


def _answers() -> CounterMetricFamily:
    return CounterMetricFamily("rostra_dns_answers", "Answers by transport and response code", labels=("transport", "rcode"))


ANSWERED: Final = _answers()
"""What the collector below gives, without its figures: for the reference."""


class _Answers(Collector):
    def collect(self) -> Iterable[Metric]:
        family = _answers()
        for transport, counts in ANSWERS.items():
            for code, count in enumerate(counts):
                if count:
                    family.add_metric((transport.value, _RCODE_NAMES.get(code, str(code))), count)
        yield family


REGISTRY.register(_Answers())
