"""A service and a check as the node holds them: as they were registered, and as they fare. Values; a change is a new one."""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from rostra.model.catalog import Check, HealthStatus, Service

MANY: Final = 1 << 30


class HeldService(Struct, frozen=True):
    """A service as it is told to the catalog, and as it was registered: others may have overridden its tags."""

    service: Service
    registered: Service


class HeldCheck(Struct, frozen=True):
    """A check as it fares, and as it was registered. Runs before the first count as enough of either kind, as with Consul: the first
    result is believed at once."""

    check: Check
    registered: Check
    ttl_deadline: float | None = None
    critical_since: float | None = None
    successes: int = MANY
    failures: int = MANY


def after_run(held: HeldCheck, result: HealthStatus) -> tuple[HeldCheck, HealthStatus | None]:
    """Counts a result, and says which status it makes, if any: thresholds are numbers of results in a row. A warning is no failure."""
    definition = held.check.definition
    if result is not HealthStatus.CRITICAL:
        successes = held.successes + 1
        return replace(held, successes=successes, failures=0), result if successes >= definition.success_before_passing else None
    failures = held.failures + 1
    status = None
    if failures >= definition.failures_before_critical:
        status = HealthStatus.CRITICAL
    elif failures >= (definition.failures_before_warning or definition.failures_before_critical):
        status = HealthStatus.WARNING
    return replace(held, successes=0, failures=failures), status


def fares(held: HeldCheck, status: HealthStatus, output: str, now: float) -> HeldCheck:
    """With that status and output; its ``check`` is the same object where neither is news."""
    since = now if held.critical_since is None else held.critical_since
    critical_since = since if status is HealthStatus.CRITICAL else None
    if held.check.status is not status or held.check.output != output:
        return replace(held, check=replace(held.check, status=status, output=output), critical_since=critical_since)
    return held if held.critical_since == critical_since else replace(held, critical_since=critical_since)
