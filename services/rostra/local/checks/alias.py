"""Alias: the health of another node or service. Critical if one of its checks is, else a warning if one is, else passing."""

from __future__ import annotations

from collections.abc import Iterable

from rostra.local.checks.outcome import Outcome, critical, passing
from rostra.model.catalog import Check, HealthStatus


def alias_outcome(node: str, service_id: str, *, exists: bool, checks: Iterable[Check]) -> Outcome:
    """What an alias of ``service_id`` on ``node``, or of the node itself where that is empty, says. ``exists``: whether the service does;
    ``checks``: all of that node's but the alias itself. Those of the node count for its services too."""
    if service_id and not exists:
        return critical(f"Service {service_id} could not be found on node {node}")
    relevant = sorted((check for check in checks if check.service_id in ("", service_id)), key=lambda check: check.check_id)
    if not relevant:
        return passing("No checks found.")
    worst = max(relevant, key=lambda check: check.status.severity)
    if worst.status is HealthStatus.PASSING:
        return passing("All checks passing.")
    return Outcome(worst.status, f'Aliased check "{worst.name}" failing: {worst.output}')
